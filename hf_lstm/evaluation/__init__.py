# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Scores that need no download, for `evaluate`, for `Trainer` and as plain functions; a translator at work."""

import importlib
from typing import TYPE_CHECKING

from .reports import entity_report, format_report, format_scores, tagging_scores, token_report


if TYPE_CHECKING:
    from .token_classification import TokenClassificationMetric, make_compute_metrics
    from .translator import Translator

__all__ = [
    "TokenClassificationMetric",
    "Translator",
    "entity_report",
    "format_report",
    "format_scores",
    "make_compute_metrics",
    "tagging_scores",
    "token_report",
]


_LATE = {
    "TokenClassificationMetric": "token_classification",
    "Translator": "translator",
    "make_compute_metrics": "token_classification",
}


def __getattr__(name: str):
    """What needs `evaluate` or `datasets`, whose imports take seconds, is imported when it is asked for."""
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Metrics that need no download: for `evaluate`, for `Trainer`, and as plain functions."""

from .reports import conlleval_report, entity_report, format_report, tagging_scores, token_report
from .token_classification import TokenClassificationMetric, make_compute_metrics


__all__ = [
    "TokenClassificationMetric",
    "conlleval_report",
    "entity_report",
    "format_report",
    "make_compute_metrics",
    "tagging_scores",
    "token_report",
]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What every configuration refuses: names that it does not have, and values that could not work."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.utils import logging


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there

# Names that transformers itself, or a file it wrote, hands to a configuration beside the declared fields.
_TRANSFORMERS_NAMES = frozenset(
    {
        "attn_implementation",
        "auto_map",
        "experts_implementation",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "per_layer_config",
        "quantization_config",
        "torch_dtype",
    }
)

_DTYPES = ("float64", "double", "float32", "float", "float16", "half", "bfloat16")
_MOST_LABELS = 1_000_000  # more than any model has


@strict
class CheckedConfig(PreTrainedConfig):
    """
    A configuration that refuses a misspelt name, and tells what the name is here that people know from elsewhere.
    """

    _auto_class: ClassVar[str | None] = "AutoConfig"  # saved configurations carry their code
    _elsewhere: ClassVar[dict[str, str]] = {}  # names that other libraries have, and what to use

    def __post_init__(self, **kwargs: Any):
        for name in self._undeclared(kwargs):
            raise ValueError(self._refusal(name, kwargs[name]))
        self._validate_labels(self.id2label, kwargs.get("num_labels"))  # transformers would fail, or work for long
        self._validate_dtype(self.dtype if self.dtype is not None else kwargs.get("torch_dtype"))
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """As in transformers. Keys that other tools added to the file are kept; a misspelt field is refused."""
        foreign = cls._undeclared(config_dict)
        for name in [*foreign, *cls._undeclared(kwargs)]:
            if (name in cls._elsewhere and name in kwargs) or (
                name not in cls._elsewhere and cls._closest_field(name)
            ):
                raise ValueError(cls._refusal(name, config_dict.get(name, kwargs.get(name))))
        known = {name: value for name, value in config_dict.items() if name not in foreign}
        loaded = super().from_dict(known, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        for name in foreign:
            logger.warning_once(f"`{name}` is no field of `{cls.__name__}`; it is kept but has no effect.")
            setattr(config, name, config_dict[name])
        return loaded

    @classmethod
    def _undeclared(cls, names) -> list[str]:
        """The names that are neither fields nor known to transformers."""
        fields = cls._field_names()
        return [
            name
            for name in names
            if name not in fields and name not in _TRANSFORMERS_NAMES and not name.startswith("_")
        ]

    @classmethod
    def _refusal(cls, name: str, value: Any) -> str:
        hint = f"See the fields of `{cls.__name__}`."
        if advice := cls._elsewhere.get(name):
            hint = f"{advice[0].upper()}{advice[1:]}."
        elif guess := cls._closest_field(name):
            hint = f"Did you mean `{guess}`?"
        return f"`{name}` (given as {value!r}) is no field of `{cls.__name__}`. {hint}"

    @classmethod
    def _closest_field(cls, name: str) -> str | None:
        matches = difflib.get_close_matches(name, cls._field_names(), n=1, cutoff=0.8)
        return matches[0] if matches else None

    @classmethod
    def _field_names(cls) -> list[str]:
        return [field.name for field in dataclasses.fields(cls)]

    @staticmethod
    def _validate_labels(names: Any, number: int | None = None):
        """Refuse names of labels, or a number of them, that no head could have."""
        if names is not None:
            if not isinstance(names, Mapping):
                raise ValueError(
                    f"`id2label` must map the number of each label to its name, got {names!r:.60}. Use "
                    "`dict(enumerate(names))`."
                )
            numbers = sorted(int(key) if str(key).isdecimal() else -1 for key in names)
            if numbers != list(range(len(numbers))):
                raise ValueError(
                    f"`id2label` must number the labels from 0 on, without gaps, got {[*names]!r:.60}. Use "
                    "`dict(enumerate(names))`."
                )
            if wrong := [name for name in names.values() if not isinstance(name, str)]:
                raise ValueError(f"`id2label` must name labels by text, got {wrong[0]!r}. Use `str` of each.")
        given = len(names) if number is None and names is not None else number
        if given is not None and (type(given) is not int or not 1 <= given <= _MOST_LABELS):
            raise ValueError(f"`num_labels` must be a whole number from 1 to {_MOST_LABELS:,}, got {given!r}.")

    @staticmethod
    def _validate_dtype(dtype: Any):
        """Refuse what is no type of weights."""
        # By name: a folder in ONNX is read where there is no torch.
        name = dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
        if dtype is not None and name not in _DTYPES and not name.startswith("float8_"):
            raise ValueError(
                f"`dtype` must be a floating-point type of torch, such as 'float32' or 'bfloat16', got {dtype!r}."
            )

    def _at_least(self, least: int, *names: str):
        """Refuse whole numbers below `least`; None is for each field to allow."""
        for name in names:
            value = getattr(self, name)
            if value is not None and value < least:
                hint = " Use 0 for none." if least == 0 else ""
                raise ValueError(f"`{name}` must be a whole number of at least {least}, got {value!r}.{hint}")

    def _probabilities(self, *names: str):
        for name in names:
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"`{name}` is a probability and must be at least 0 and less than 1, got {value!r}.")

    def _finite(self, *names: str, or_zero: bool = False):
        for name in names:
            value = getattr(self, name)
            if not (math.isfinite(value) and (value > 0 or (or_zero and value == 0))):
                expected, hint = ("of at least 0", " Use 0 for none.") if or_zero else ("above 0", "")
                raise ValueError(f"`{name}` must be a finite number {expected}, got {value!r}.{hint}")

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A GRU adds nothing to the shared configuration but its name."""

from huggingface_hub.dataclasses import strict

from .configuration_recurrent import RecurrentConfig


@strict
class GRUConfig(RecurrentConfig):
    r"""
    Configuration of a gated recurrent unit network (Cho et al. 2014). All fields: [`RecurrentConfig`].

    Example:

    ```python
    >>> from hf_lstm import GRUConfig, GRUModel

    >>> model = GRUModel(GRUConfig(vocab_size=1000, hidden_size=64, bidirectional=True))
    >>> model.config.output_size
    128
    ```
    """

    model_type = "gru"


__all__ = ["GRUConfig"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a plain recurrent network adds to the shared configuration."""

from typing import Literal

from huggingface_hub.dataclasses import strict

from .configuration_recurrent import RecurrentConfig
from .configuration_stack import RecurrentStackConfig


@strict
class RNNConfig(RecurrentConfig):
    r"""
    Configuration of a plain recurrent network (Elman 1990). All other fields: [`RecurrentConfig`].

    Args:
        nonlinearity (`str`, defaults to `"tanh"`): `"tanh"` or `"relu"`.
        initializer (`str`, defaults to `"orthogonal"`): One more than in [`RecurrentConfig`]: `"identity"` makes the
            recurrent weights the identity, the biases zero and draws the input weights from N(0, 0.001), for
            `nonlinearity="relu"` (Le et al. 2015, section 2).

    Example:

    ```python
    >>> from hf_lstm import RNNConfig, RNNModel

    >>> model = RNNModel(RNNConfig(vocab_size=1000, hidden_size=64, nonlinearity="relu", initializer="identity"))
    >>> bool(model.layers[0].weight_hh_l0.trace() == 64)
    True
    ```
    """

    model_type = "rnn"

    nonlinearity: Literal["tanh", "relu"] = "tanh"
    initializer: Literal["orthogonal", "uniform", "identity"] = "orthogonal"

    def validate_recurrent(self):
        """The shared rules, and those of the plain network's own fields."""
        super().validate_recurrent()
        check_rnn(self)


def check_rnn(config: RecurrentStackConfig) -> None:
    """The rules of the plain network's own fields, in whatever configuration they stand."""
    if config.initializer == "identity" and config.nonlinearity != "relu":
        raise ValueError(
            f'`initializer="identity"` needs `nonlinearity="relu"`, got {config.nonlinearity!r}: with tanh the '
            'state decays from the first step. Use `nonlinearity="relu"` or `initializer="orthogonal"`.'
        )
    if config.chrono_max_length is not None:
        raise ValueError(
            f"`chrono_max_length={config.chrono_max_length!r}` says where gates begin, which a plain network does "
            'not have. Use `LSTMConfig` or `GRUConfig`, or `nonlinearity="relu", initializer="identity"`.'
        )


__all__ = ["RNNConfig"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A stack whose family is a field: for models that read features of anything but texts."""

from typing import Literal

from huggingface_hub.dataclasses import strict

from .configuration_lstm import check_lstm
from .configuration_rnn import check_rnn
from .configuration_stack import RecurrentStackConfig


# The fields that one family alone has.
_OF_CELL = {"projection_size": "lstm", "forget_gate_bias": "lstm", "nonlinearity": "rnn"}


@strict
class CellStackConfig(RecurrentStackConfig):
    r"""
    What every stack of recurrent layers has, and which cells these have.

    Args:
        cell (`str`, *optional*): `"lstm"`, `"gru"` or `"rnn"`. `None` means what the class of the model is named
            after, `"lstm"` for one that is named after none.
        projection_size, forget_gate_bias: Of `"lstm"`, as in [`LSTMConfig`].
        nonlinearity: Of `"rnn"`, as in [`RNNConfig`].
        initializer: As in [`RecurrentStackConfig`]; with `"rnn"` as in [`RNNConfig`].
    """

    cell: Literal["lstm", "gru", "rnn"] | None = None
    projection_size: int | None = None
    forget_gate_bias: float | int | None = 1.0
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    initializer: Literal["orthogonal", "uniform", "identity"] = "orthogonal"

    @property
    def cell_type(self) -> str:
        """The family, as `cell` says."""
        return self.cell or "lstm"

    @property
    def state_size(self) -> int:
        """Size of the output of one direction of a layer: the projection where there is one."""
        return self.hidden_size if self.projection_size is None else self.projection_size

    def validate_recurrent(self):
        """The rules of the stack, and those of its cells."""
        super().validate_recurrent()
        cell = self.cell_type
        for name, home in _OF_CELL.items():
            if cell != home and getattr(self, name) != getattr(type(self), name):
                raise ValueError(
                    f"`{name}={getattr(self, name)!r}` is of `cell={home!r}`, and means nothing with `cell={cell!r}`. "
                    "Leave it out."
                )
        if cell == "lstm":
            check_lstm(self)
        if cell == "rnn":
            check_rnn(self)
        elif self.initializer == "identity":
            raise ValueError(
                f"`initializer='identity'` is of `cell='rnn'`, got `cell={cell!r}`. Use `initializer='orthogonal'`."
            )

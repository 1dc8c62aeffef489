# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The families by name, for a model whose family is a field of its configuration."""

from .gru import GRULayer
from .layers import RecurrentLayer
from .lstm import LSTMLayer
from .modeling_recurrent import RecurrentModel
from .rnn import RNNLayer


LAYERS = {"lstm": LSTMLayer, "gru": GRULayer, "rnn": RNNLayer}  # by `model_type`


class FamilyModel(RecurrentModel):
    """A backbone of texts of the family that its configuration is of: a part of a model of several."""

    _auto_class = None

    @property
    def layer_class(self) -> type[RecurrentLayer]:
        return LAYERS[self.config.model_type]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The families by name, for a model whose family is a field of its configuration."""

from .gru import GRULayer
from .lstm import LSTMLayer
from .rnn import RNNLayer


LAYERS = {"lstm": LSTMLayer, "gru": GRULayer, "rnn": RNNLayer}

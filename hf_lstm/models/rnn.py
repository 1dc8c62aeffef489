# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Plain recurrent network: the equation. Dimensions as in `modeling_recurrent.py`."""

import torch
from torch import nn

from .configuration_rnn import RNNConfig
from .layers import RecurrentLayer


class RNNLayer(RecurrentLayer):
    r"""
    Plain recurrent layer (Elman 1990), with f = tanh or relu, as `torch.nn.RNN`:

        h' = f(W_ih x + b_ih + W_hh h + b_hh)
    """

    num_gates = 1

    def __init__(self, config: RNNConfig, input_size: int):
        super().__init__(config, input_size)
        self.nonlinearity = config.nonlinearity
        self.cudnn_mode = f"RNN_{config.nonlinearity.upper()}"

    def kernel(self, inputs, state, weights, bidirectional):
        train = torch.is_grad_enabled()
        run = torch.rnn_relu if self.nonlinearity == "relu" else torch.rnn_tanh
        outputs, h = run(inputs, state[0], weights, self.bias, 1, 0.0, train, bidirectional, True)
        return outputs, (h,)

    def cell(self, inputs, state, weights):
        run = torch.rnn_relu_cell if self.nonlinearity == "relu" else torch.rnn_tanh_cell
        return (run(inputs, state[0], *weights),)

    def _initial_value(self, name, parameter, config: RNNConfig):
        if config.initializer != "identity" or name.startswith("bias"):
            return super()._initial_value(name, parameter, config)
        value = torch.empty_like(parameter, dtype=torch.float32)
        return nn.init.eye_(value) if name.startswith("weight_hh") else nn.init.normal_(value, std=0.001)

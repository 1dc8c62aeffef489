# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""GRU: the equations, and the named classes."""

import torch

from .configuration_gru import GRUConfig
from .modeling_recurrent import RecurrentForCausalLM, RecurrentLayer, RecurrentModel, RecurrentPreTrainedModel


class GRULayer(RecurrentLayer):
    r"""
    Gated recurrent unit (Cho et al. 2014), with the reset gate applied after the recurrent product as in cuDNN; rows
    of the weights in the order r, z, n of `torch.nn.GRU`:

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)      reset gate
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)      update gate
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))   candidate
        h' = (1 - z) * n + z * h
    """

    num_gates = 3

    def kernel(self, inputs, state, weights, bidirectional):
        train = torch.is_grad_enabled()
        outputs, h = torch.gru(inputs, state[0], weights, self.bias, 1, 0.0, train, bidirectional, True)
        return outputs, (h,)

    def cell(self, inputs, state, weights):
        return (torch.gru_cell(inputs, state[0], *weights),)


class GRUPreTrainedModel(RecurrentPreTrainedModel):
    """Base of the GRU models: their configuration and layer."""

    config: GRUConfig
    layer_class = GRULayer
    _no_split_modules = ["GRULayer"]


class GRUModel(GRUPreTrainedModel, RecurrentModel):
    r"""
    Embedding and a stack of GRU layers. Arguments and outputs: [`RecurrentModel.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import GRUConfig, GRUModel

    >>> model = GRUModel(GRUConfig(vocab_size=100, hidden_size=8, num_hidden_layers=2)).eval()
    >>> len(model(torch.tensor([[5, 6, 7]]), output_hidden_states=True).hidden_states)
    3
    ```
    """


class GRUForCausalLM(GRUPreTrainedModel, RecurrentForCausalLM):
    r"""
    GRU language model. Arguments and outputs: [`RecurrentForCausalLM.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import GRUConfig, GRUForCausalLM

    >>> model = GRUForCausalLM(GRUConfig(vocab_size=100, hidden_size=8)).eval()
    >>> model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, num_beams=3).shape
    torch.Size([1, 7])
    ```
    """

    model_class = GRUModel


__all__ = ["GRUForCausalLM", "GRUModel", "GRUPreTrainedModel"]

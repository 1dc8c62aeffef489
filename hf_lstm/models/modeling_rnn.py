# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Plain recurrent network: the equation, and the named classes."""

import torch
from torch import nn

from .classification import RecurrentForSequenceClassification, RecurrentForTokenClassification
from .configuration_rnn import RNNConfig
from .layers import RecurrentLayer
from .modeling_recurrent import RecurrentForCausalLM, RecurrentModel, RecurrentPreTrainedModel


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


class RNNPreTrainedModel(RecurrentPreTrainedModel):
    """Base of the RNN models: their configuration and layer."""

    config: RNNConfig
    layer_class = RNNLayer
    _no_split_modules = ["RNNLayer"]


class RNNModel(RNNPreTrainedModel, RecurrentModel):
    r"""
    Embedding and a stack of plain recurrent layers. Arguments and outputs: [`RecurrentModel.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import RNNConfig, RNNModel

    >>> model = RNNModel(RNNConfig(vocab_size=100, hidden_size=8)).eval()
    >>> model(torch.tensor([[5, 6, 7]])).cache.get_seq_length()
    3
    ```
    """


class RNNForCausalLM(RNNPreTrainedModel, RecurrentForCausalLM):
    r"""
    Language model over a plain recurrent network. Arguments and outputs: [`RecurrentForCausalLM.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import RNNConfig, RNNForCausalLM

    >>> model = RNNForCausalLM(RNNConfig(vocab_size=100, hidden_size=8)).eval()
    >>> ids = torch.tensor([[5, 6, 7]])
    >>> model(ids, labels=ids).logits.shape
    torch.Size([1, 3, 100])
    ```
    """

    model_class = RNNModel


class RNNForTokenClassification(RNNPreTrainedModel, RecurrentForTokenClassification):
    r"""
    Plain recurrent tagger. Arguments and outputs: [`RecurrentForTokenClassification.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import RNNConfig, RNNForTokenClassification

    >>> labels = ["O", "B-PER", "I-PER"]
    >>> config = RNNConfig(vocab_size=100, hidden_size=8, use_crf=True, id2label=dict(enumerate(labels)))
    >>> model = RNNForTokenClassification(config).eval()
    >>> model(torch.tensor([[5, 6, 7]])).predictions.shape
    torch.Size([1, 3])
    ```
    """

    model_class = RNNModel


class RNNForSequenceClassification(RNNPreTrainedModel, RecurrentForSequenceClassification):
    r"""
    Plain recurrent classifier of texts. Arguments and outputs: [`RecurrentForSequenceClassification.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import RNNConfig, RNNForSequenceClassification

    >>> config = RNNConfig(vocab_size=100, hidden_size=8, bidirectional=True, num_labels=4)
    >>> model = RNNForSequenceClassification(config).eval()
    >>> model(torch.tensor([[5, 6, 7]])).logits.shape
    torch.Size([1, 4])
    ```
    """

    model_class = RNNModel


__all__ = [
    "RNNForCausalLM",
    "RNNForSequenceClassification",
    "RNNForTokenClassification",
    "RNNModel",
    "RNNPreTrainedModel",
]

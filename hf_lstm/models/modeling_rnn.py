# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The named classes of the family; its equations are in `rnn.py`."""

from .configuration_rnn import RNNConfig
from .language_modeling import RecurrentForCausalLM
from .modeling_recurrent import RecurrentModel
from .pretrained import RecurrentPreTrainedModel
from .rnn import RNNLayer
from .sequence_classification import RecurrentForSequenceClassification
from .token_classification import RecurrentForTokenClassification


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

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The named classes of the family; its equations are in `lstm.py`."""

from .configuration_lstm import LSTMConfig
from .language_modeling import RecurrentForCausalLM
from .lstm import LSTMLayer
from .modeling_recurrent import RecurrentModel
from .pretrained import RecurrentPreTrainedModel
from .sequence_classification import RecurrentForSequenceClassification
from .token_classification import RecurrentForTokenClassification


class LSTMPreTrainedModel(RecurrentPreTrainedModel):
    """Base of the LSTM models: their configuration and layer."""

    config: LSTMConfig
    layer_class = LSTMLayer
    _no_split_modules = ["LSTMLayer"]


class LSTMModel(LSTMPreTrainedModel, RecurrentModel):
    r"""
    Embedding and a stack of LSTM layers. Arguments and outputs: [`RecurrentModel.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMModel

    >>> model = LSTMModel(LSTMConfig(vocab_size=100, hidden_size=8, bidirectional=True)).eval()
    >>> ids, mask = torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]])
    >>> model(ids, attention_mask=mask).last_hidden_state.shape
    torch.Size([2, 3, 16])
    ```
    """


class LSTMForCausalLM(LSTMPreTrainedModel, RecurrentForCausalLM):
    r"""
    LSTM language model. Arguments and outputs: [`RecurrentForCausalLM.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=100, hidden_size=8)).eval()
    >>> model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, do_sample=False).shape
    torch.Size([1, 7])
    ```
    """

    model_class = LSTMModel


class LSTMForTokenClassification(LSTMPreTrainedModel, RecurrentForTokenClassification):
    r"""
    LSTM tagger. Arguments and outputs: [`RecurrentForTokenClassification.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMForTokenClassification

    >>> labels = ["O", "B-PER", "I-PER"]
    >>> config = LSTMConfig(vocab_size=100, hidden_size=8, use_crf=True, id2label=dict(enumerate(labels)))
    >>> model = LSTMForTokenClassification(config).eval()
    >>> model(torch.tensor([[5, 6, 7]])).predictions.shape
    torch.Size([1, 3])
    ```
    """

    model_class = LSTMModel


class LSTMForSequenceClassification(LSTMPreTrainedModel, RecurrentForSequenceClassification):
    r"""
    LSTM classifier of texts. Arguments and outputs: [`RecurrentForSequenceClassification.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMForSequenceClassification

    >>> config = LSTMConfig(vocab_size=100, hidden_size=8, bidirectional=True, num_labels=4)
    >>> model = LSTMForSequenceClassification(config).eval()
    >>> model(torch.tensor([[5, 6, 7]])).logits.shape
    torch.Size([1, 4])
    ```
    """

    model_class = LSTMModel


__all__ = [
    "LSTMForCausalLM",
    "LSTMForSequenceClassification",
    "LSTMForTokenClassification",
    "LSTMModel",
    "LSTMPreTrainedModel",
]

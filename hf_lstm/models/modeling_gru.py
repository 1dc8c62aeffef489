# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The named classes of the family; its equations are in `gru.py`."""

from .configuration_gru import GRUConfig
from .gru import GRULayer
from .language_modeling import RecurrentForCausalLM
from .modeling_recurrent import RecurrentModel
from .pretrained import RecurrentPreTrainedModel
from .sequence_classification import RecurrentForSequenceClassification
from .token_classification import RecurrentForTokenClassification


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


class GRUForTokenClassification(GRUPreTrainedModel, RecurrentForTokenClassification):
    r"""
    GRU tagger. Arguments and outputs: [`RecurrentForTokenClassification.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import GRUConfig, GRUForTokenClassification

    >>> labels = ["O", "B-PER", "I-PER"]
    >>> config = GRUConfig(vocab_size=100, hidden_size=8, use_crf=True, id2label=dict(enumerate(labels)))
    >>> model = GRUForTokenClassification(config).eval()
    >>> model(torch.tensor([[5, 6, 7]])).predictions.shape
    torch.Size([1, 3])
    ```
    """

    model_class = GRUModel


class GRUForSequenceClassification(GRUPreTrainedModel, RecurrentForSequenceClassification):
    r"""
    GRU classifier of texts. Arguments and outputs: [`RecurrentForSequenceClassification.forward`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import GRUConfig, GRUForSequenceClassification

    >>> config = GRUConfig(vocab_size=100, hidden_size=8, bidirectional=True, num_labels=4)
    >>> model = GRUForSequenceClassification(config).eval()
    >>> model(torch.tensor([[5, 6, 7]])).logits.shape
    torch.Size([1, 4])
    ```
    """

    model_class = GRUModel


__all__ = [
    "GRUForCausalLM",
    "GRUForSequenceClassification",
    "GRUForTokenClassification",
    "GRUModel",
    "GRUPreTrainedModel",
]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The head that gives labels to a whole sequence. Dimensions as in `modeling_recurrent.py`; K labels."""

from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple

from .classification import RecurrentClassifier
from .configuration_recurrent import RecurrentConfig, SequenceClassificationOptions
from .ngrams import NgramScores
from .pretrained import refuse_unknown
from .sequence_labels import LabelsSequences, SequencePooler
from .text_inputs import TextInputs, reads_nothing, takes_text


class RecurrentForSequenceClassification(LabelsSequences, RecurrentClassifier):
    """
    A backbone, a [`SequencePooler`] and a linear layer: for one label of several, for several at once, or for numbers,
    as `config.problem_type` says or the labels suggest.
    """

    _auto_class = "AutoModelForSequenceClassification"
    options_class = SequenceClassificationOptions
    pipeline_task = "text-classification"
    metric = "accuracy"
    head_parts = ("pooler", "score")

    def __init__(self, config: RecurrentConfig):
        super().__init__(config)
        self.loss_type = "ForSequenceClassification"  # whatever the name of a subclass
        self.pooler = SequencePooler(self.config)
        self.score = nn.Linear(self.pooler.output_size, config.num_labels)
        self.ngrams = NgramScores(self.config) if config.ngram_buckets else None
        self.post_init()

    @can_return_tuple
    @reads_nothing
    @takes_text
    def forward(
        self,
        text: TextInputs,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        r"""
        Inputs: [`TextInputs`]; all other arguments that are not described here: [`RecurrentModel.forward`].

        Args:
            labels (`torch.LongTensor` of shape `(B,)`, or `torch.Tensor` of shape `(B, K)`, *optional*): The label of
                each sequence, -100 for none; with `problem_type="multi_label_classification"` a number from 0 to 1
                for each label; with `"regression"` the numbers, of shape `(B,)` where K is 1. Without a `problem_type`
                it is the last with K = 1, the second for floating-point numbers, and is written down in `config`.

        Returns:
            [`~transformers.modeling_outputs.SequenceClassifierOutput`]: `loss`, `logits` of shape `(B, K)`,
            `hidden_states`.

        Raises:
            `ValueError`: For labels that do not fit `problem_type`, K or the batch.
        """
        refuse_unknown(kwargs)
        features, hidden_states, real = self._encode(text, output_hidden_states)
        logits = self.score(self.pooler(features, real))
        if self.ngrams is not None and not self.training:
            logits = logits + self.ngrams(text)
        self._warn_if_head_is_frozen(logits)
        loss = None if labels is None else self._loss(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=hidden_states)

    def onnx_outputs(self, graph, hidden_states, packing):
        logits = graph.linear(graph.pooled(hidden_states, self.pooler, packing), self.score)
        if self.ngrams is not None:
            logits = graph.Add(logits, graph.ngram_scores(self.ngrams, packing))
        return {"logits": graph.output(logits, "B", self.num_labels)}

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The head that gives a label to each token, with or without a conditional random field. Dimensions as in
`modeling_recurrent.py`; K labels.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import ModelOutput
from transformers.utils import can_return_tuple

from .classification import RecurrentClassifier
from .configuration_recurrent import RecurrentConfig, TokenClassificationOptions
from .crf import LinearChainCRF
from .losses import linear_cross_entropy
from .padding import Padding, next_labels
from .pretrained import refuse_unknown
from .text_inputs import TextInputs, reads_nothing, takes_text
from .tracing import is_exported


@dataclass
class TokenClassifierOutput(ModelOutput):
    """
    Output of [`RecurrentForTokenClassification`].

    Args:
        loss (`torch.Tensor` of shape `()`, with `labels`): Cross-entropy, or with a CRF the negative log-likelihood of
            the labels, a token, in nats.
        logits (`torch.Tensor` of shape `(B, T, K)`): Scores of the labels. With a CRF, outside training: logarithms of
            their posterior probabilities, whose largest is raised where that is not the label of the best path, so
            that `argmax` is always `predictions`.
        predictions (`torch.LongTensor` of shape `(B, T)`, with a CRF, outside training): The best path that the tag
            scheme allows; -100 at padding and at tokens left out.
        marginals (`torch.Tensor` of shape `(B, T, K)`, with `output_marginals=True`): Posterior probabilities.
        entity_probabilities (`torch.Tensor` of shape `(B, T)`, with `output_entity_probabilities=True`): At all tokens
            of an entity of `predictions` the probability that the sentence has exactly this one.
        hidden_states (`tuple` of `torch.Tensor`, *optional*): As in [`RecurrentModel.forward`].
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    predictions: torch.Tensor | None = None
    marginals: torch.Tensor | None = None
    entity_probabilities: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class NeighbourPrediction(nn.Module):
    """
    What a tagger learns beside its labels, from the tokens alone (Rei 2017, equations 5 to 8): from the output h_t of
    each direction, the token w that it reads next, with p(w) = softmax(E tanh(W h_t + b)) and E the input embedding.
    """

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        sizes = config.state_size, config.input_size
        self.dense = nn.ModuleList(nn.Linear(*sizes) for _ in range(config.num_directions))

    def forward(
        self, features: torch.Tensor, input_ids: torch.LongTensor, padding: Padding | None, embedding: torch.Tensor
    ) -> torch.Tensor:
        """Outputs (B, T, D * P), tokens (B, T), the table (V, E) -> the sum of all losses, a scalar, in nats."""
        losses = []
        for direction, (dense, outputs) in enumerate(
            zip(self.dense, features.chunk(len(self.dense), dim=-1), strict=True)
        ):
            following = next_labels(input_ids, padding, direction)
            losses.append(linear_cross_entropy(dense(outputs).tanh(), embedding, None, following, num_items=1))
        return sum(losses)


class RecurrentForTokenClassification(RecurrentClassifier):
    """
    A backbone, a linear layer over the labels, and with `config.use_crf` a linear-chain CRF over their sequence (Huang
    et al. 2015; Lample et al. 2016). Reads in both directions unless the configuration says otherwise.
    """

    _auto_class = "AutoModelForTokenClassification"
    options_class = TokenClassificationOptions
    pipeline_task = "token-classification"
    metric = "f1"
    accepts_loss_kwargs = True
    bidirectional_by_default = True
    head_parts = ("classifier", "crf")

    def __init__(self, config: RecurrentConfig):
        super().__init__(config)
        config = self.config
        self.classifier = nn.Linear(config.output_size, config.num_labels)
        self.crf = None
        if config.use_crf:
            self.crf = LinearChainCRF(config.num_labels, label_names(config), config.tag_scheme)
        self.neighbours = NeighbourPrediction(config) if config.lm_loss_coef else None
        self.post_init()

    # Trainer takes every argument with "label" in its name for one that an evaluation must have.
    @can_return_tuple
    @reads_nothing
    @takes_text
    def forward(
        self,
        text: TextInputs,
        labels: torch.LongTensor | None = None,
        tag_mask: torch.Tensor | None = None,
        allowed_tags: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_marginals: bool = False,
        output_entity_probabilities: bool = False,
        num_items_in_batch: int | torch.Tensor | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        r"""
        Inputs: [`TextInputs`]; all other arguments that are not described here: [`RecurrentModel.forward`].

        Args:
            labels (`torch.LongTensor` of shape `(B, T)`, *optional*): The label of each token; -100 where there is
                none, as at padding and at the later pieces of a word.
            tag_mask (`torch.Tensor` of shape `(B, T)`, boolean or integer, *optional*): 0 at tokens that are to be
                left out, as those with `labels` of -100 are: to a CRF their neighbours follow one another.
            allowed_tags (`torch.BoolTensor` of shape `(B, T, K)`, *optional*): In place of `labels`, for sentences
                labelled in part, with a CRF: the labels that each token may have. The loss is the negative logarithm
                of the probability of all paths through them.
            output_marginals (`bool`, defaults to `False`): Return the posterior probabilities, with a CRF.
            output_entity_probabilities (`bool`, defaults to `False`): Return those of the predicted entities, with a
                CRF, outside training.
            num_items_in_batch (`int` or `torch.Tensor`, *optional*): Divide the summed loss by this number, which
                Trainer counts over an accumulated batch, instead of by the number of labels.

        Returns:
            [`TokenClassifierOutput`]

        Raises:
            `ValueError`: For labels of another shape or range, and for a CRF in training mode without labels.
        """
        refuse_unknown(kwargs)
        features, hidden_states, real = self._encode(text, output_hidden_states)
        scores = self.classifier(features)
        self._warn_if_head_is_frozen(scores)
        if labels is not None:
            self._check_labels(labels, scores.shape)
        if tag_mask is not None:
            real = real & (tag_mask != 0)
        if labels is not None:
            real = real & (labels != -100)
        if self.crf is None:
            self._refuse_without_crf(
                allowed_tags=allowed_tags is not None,
                output_marginals=output_marginals,
                output_entity_probabilities=output_entity_probabilities,
            )
            loss = None
            if labels is not None:
                targets = labels.masked_fill(~real, -100).flatten()
                loss = F.cross_entropy(scores.flatten(0, 1).float(), targets, ignore_index=-100, reduction="sum")
                loss = loss + self._neighbour_loss(features, text)
            return TokenClassifierOutput(
                loss=self._mean(loss, real, num_items_in_batch), logits=scores, hidden_states=hidden_states
            )
        if output_entity_probabilities and is_exported():
            raise ValueError(
                "`output_entity_probabilities=True` looks at the predictions, and `torch.export` records nothing that "
                "depends on values. Leave it out, and take the posteriors of the tokens: `output_marginals=True`."
            )
        loss = None
        if labels is not None or allowed_tags is not None:
            loss = self.crf(scores, labels, real, allowed_tags).sum()
            loss = loss + self._neighbour_loss(features, text)
        elif self.training:
            raise ValueError(
                "`labels` are missing, and a CRF is trained by its own loss. Pass them, or call `model.eval()` for "
                "predictions. Trainer takes them away for `label_smoothing_factor`, which a CRF does not have: set it "
                "to 0."
            )
        outputs = TokenClassifierOutput(
            loss=self._mean(loss, real, num_items_in_batch), logits=scores, hidden_states=hidden_states
        )
        if output_marginals:
            outputs.marginals = self.crf.marginals(scores, real)
        if not self.training:
            outputs.logits = self.crf.posterior_logits(scores, real)
            outputs.predictions = outputs.logits.argmax(-1).masked_fill(~real, -100)
            if output_entity_probabilities:
                outputs.entity_probabilities = self.crf.entity_probabilities(scores, outputs.predictions, real)
        return outputs

    def _neighbour_loss(self, features: torch.Tensor, text: TextInputs) -> torch.Tensor | float:
        """The summed loss of [`NeighbourPrediction`] times its factor; 0 outside training."""
        if self.neighbours is None or not self.training:
            return 0.0
        if text.input_ids is None:
            raise ValueError(
                "`input_ids` are missing, which a model with `lm_loss_coef` is trained to predict. Pass them instead "
                "of `inputs_embeds`, or set `lm_loss_coef=0`."
            )
        padding = self._padding(text.attention_mask, *text.input_ids.shape, 0)
        losses = self.neighbours(features, text.input_ids, padding, self.model.embed_tokens.weight)
        return self.config.lm_loss_coef * losses

    def _check_labels(self, labels: torch.Tensor, shape: torch.Size) -> None:
        if labels.shape != shape[:2]:
            raise ValueError(
                f"`labels` has shape {tuple(labels.shape)}, expected {tuple(shape[:2])}: a label for each token."
            )
        if self.crf is not None or labels.device.type != "cpu":  # the CRF checks them itself
            return
        wrong = (labels != -100) & ((labels < 0) | (labels >= self.num_labels))
        if wrong.any():
            raise ValueError(
                f"`labels` holds {labels[wrong][0]}, but `num_labels` is {self.num_labels}: give numbers from 0 to "
                f"{self.num_labels - 1}, and -100 where there is no label."
            )

    @staticmethod
    def _refuse_without_crf(**given: bool) -> None:
        for name, value in given.items():
            if value:
                raise ValueError(f"`{name}` was given, but this model has no CRF: set `use_crf=True` in its config.")

    @staticmethod
    def _mean(loss: torch.Tensor | None, real: torch.Tensor, num_items: int | torch.Tensor | None):
        """The summed loss for each label; 0 where there is none at all."""
        if loss is None:
            return None
        return loss / (real.sum().clamp(min=1) if num_items is None else torch.as_tensor(num_items).to(loss.device))

    def onnx_outputs(self, graph, hidden_states, packing):
        scores = graph.linear(hidden_states, self.classifier)
        if self.crf is None:
            return {"logits": graph.output(packing.unpack(scores), "B", "T", self.num_labels)}
        predictions, logits = graph.decoded(scores, self.crf, packing)
        return {
            "predictions": graph.output(predictions, "B", "T", integers=True),
            "logits": graph.output(logits, "B", "T", self.num_labels),
        }


def label_names(config: RecurrentConfig) -> list[str]:
    """The names of the labels in the order of their numbers."""
    return [config.id2label[i] for i in range(config.num_labels)]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The head that gives a label to each token, with or without a conditional random field. Dimensions as in
`modeling_recurrent.py`; K labels, M of the decoder (`tag_folding.py`).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import ModelOutput
from transformers.utils import can_return_tuple, logging

from .classification import RecurrentClassifier
from .configuration_recurrent import RecurrentConfig, TokenClassificationOptions
from .crf import LinearChainCRF
from .losses import check_labels, divisor, linear_cross_entropy
from .padding import Padding, next_labels
from .pretrained import refuse_unknown
from .tag_folding import folding_of
from .text_inputs import TextInputs, reads_nothing, takes_text
from .tracing import is_exported


logger = logging.get_logger(f"transformers.{__name__}")


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

    With labels in BIO and a `tag_scheme` that marks the ends of entities too, such as "BIOES", it decodes in that one:
    see [`TagFolding`]. What goes in and what comes out is BIO. The names of the labels are those that the
    configuration has when they are needed, so they may be given after construction, as `run_ner.py` does.
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
        self._named = label_names(config), config.tag_scheme
        self.folding, self._steps_to_watch = folding_of(*self._named), 10
        names = self._named[0] if self.folding is None else self.folding.names
        self.classifier = nn.Linear(config.output_size, len(names))
        self.crf = LinearChainCRF(len(names), names, config.tag_scheme) if config.use_crf else None
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
                of the probability of all paths through them; with a `tag_scheme` of its own, all of the decoder's.
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
        self._read_names()
        features, hidden_states, real = self._encode(text, output_hidden_states)
        scores = self.classifier(features)  # (B, T, M)
        self._warn_if_head_is_frozen(scores)
        if labels is not None:
            self._check_labels(labels, scores.shape)
        if tag_mask is not None:
            real = real & (tag_mask != 0)
        if labels is not None:
            real = real & (labels != -100)
        labels, allowed_tags, logits = self._for_decoder(labels, allowed_tags, scores, real)
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
                loss=self._mean(loss, real, num_items_in_batch), logits=logits, hidden_states=hidden_states
            )
        if output_entity_probabilities and is_exported():
            raise ValueError(
                "`output_entity_probabilities=True` looks at the predictions, and `torch.export` records nothing that "
                "depends on values. Leave it out, and take the posteriors of the tokens: `output_marginals=True`."
            )
        loss = None
        if labels is not None and self.training:
            self._warn_of_forbidden(labels, real)
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
            loss=self._mean(loss, real, num_items_in_batch), logits=logits, hidden_states=hidden_states
        )
        if output_marginals:
            outputs.marginals = self.crf.marginals(scores, real)
            if self.folding is not None:
                outputs.marginals = self.folding.add(outputs.marginals)
        if not self.training:
            outputs.logits = self.crf.posterior_logits(scores, real, self.folding)
            outputs.predictions = outputs.logits.argmax(-1).masked_fill(~real, -100)
            if output_entity_probabilities:
                path = outputs.predictions if self.folding is None else self.crf.decode(scores, real)[0]
                outputs.entity_probabilities = self.crf.entity_probabilities(scores, path, real)
        return outputs

    def _for_decoder(self, labels, allowed_tags, scores, real):
        """Labels and sets of them as the decoder has them; and its scores, (B, T, M), as the user has them."""
        if self.folding is None:
            return labels, allowed_tags, scores
        labels = None if labels is None else self.folding.expand(labels, real)
        if allowed_tags is not None:
            expected = (*scores.shape[:2], self.num_labels)
            if allowed_tags.shape != expected:
                raise ValueError(f"`allowed_tags` has shape {tuple(allowed_tags.shape)}, expected {expected}.")
            allowed_tags = self.folding.permitted(allowed_tags)
        return labels, allowed_tags, self.folding.log_add(scores)

    def _read_names(self) -> None:
        """Take the names of the labels from the configuration, if they are not those of the last time."""
        named = label_names(self.config), self.config.tag_scheme
        if named == self._named:
            return
        folding = folding_of(*named)
        names, number = named[0] if folding is None else folding.names, self.classifier.out_features
        if len(names) != number:
            raise ValueError(
                f"`id2label` names {named[0][:6]} and so on, for which `tag_scheme={named[1]!r}` needs {len(names)} "
                f"labels of the decoder, but the model was built with {number}. Name the labels before it is built."
            )
        if self.crf is not None:
            self.crf.name_labels(names, named[1])
        self.folding, self._named, self._steps_to_watch = folding, named, 10

    def _warn_of_forbidden(self, labels: torch.LongTensor, real: torch.BoolTensor) -> None:
        """Say it, in the first steps of training, where many labels break the rules by which the CRF will decode."""
        if self._steps_to_watch and not torch.compiler.is_compiling():
            self._steps_to_watch -= 1
            forbidden, entities = self.crf.forbidden(labels, real)
            if forbidden > 0.05 * entities:
                self._steps_to_watch = 0
                logger.warning(
                    f"`labels` have {forbidden} transitions that `tag_scheme={self.config.tag_scheme!r}` forbids, in "
                    f"{entities} entities: the model can never predict them. If the data are in IOB1, where `I-` "
                    "begins an entity, set `tag_scheme='IOB1'`, or convert them: `hf_lstm.data.convert_tag_column`."
                )

    def check_configuration(self) -> None:
        """As in [`RecurrentPreTrainedModel`]; nor may the names of the labels ask for other weights."""
        super().check_configuration()
        self._read_names()

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
        if self.crf is None or self.folding is not None:  # a CRF checks its own
            check_labels(labels, self.num_labels)

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
        return loss / divisor(real.sum() if num_items is None else num_items, loss)

    def onnx_outputs(self, graph, hidden_states, packing):
        self._read_names()
        scores = graph.linear(hidden_states, self.classifier)
        if self.crf is None:
            logits = scores if self.folding is None else graph.folded(scores, self.folding)
            return {"logits": graph.output(packing.unpack(logits), "B", "T", self.num_labels)}
        predictions, logits = graph.decoded(scores, self.crf, packing, self.folding)
        return {
            "predictions": graph.output(predictions, "B", "T", integers=True),
            "logits": graph.output(logits, "B", "T", self.num_labels),
        }


def label_names(config: RecurrentConfig) -> list[str]:
    """The names of the labels in the order of their numbers."""
    return [config.id2label[i] for i in range(config.num_labels)]

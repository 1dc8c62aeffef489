# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The heads that classify: tokens, with or without a conditional random field, and whole sequences. Dimensions as in
`modeling_recurrent.py`; K labels.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import ModelOutput, SequenceClassifierOutput
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)
from transformers.utils import can_return_tuple, logging

from .configuration_recurrent import RecurrentConfig
from .crf import LinearChainCRF
from .layers import Padding, is_exported, next_labels
from .losses import linear_cross_entropy
from .modeling_recurrent import RecurrentModel, RecurrentPreTrainedModel, refuse_unknown


logger = logging.get_logger(__name__)


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


class RecurrentClassifier(RecurrentPreTrainedModel):
    """What the heads that classify share: a backbone whose state nobody asks for, and a head that peft has to keep."""

    model_class: type[RecurrentModel]
    head_parts: tuple[str, ...]  # modules beside the backbone

    def __init__(self, config: RecurrentConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = self.model_class(self.config)

    def _encode(self, input_ids, attention_mask, inputs_embeds, output_hidden_states, **word_features):
        """Outputs of the backbone (B, T, D * P), its hidden states, and where the real tokens are, (B, T)."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            use_cache=False,
            output_hidden_states=output_hidden_states,
            return_dict=False,  # an output object costs as much as a small layer
            **word_features,
        )
        features, hidden_states = outputs[0], outputs[1] if len(outputs) > 1 else None
        if attention_mask is None:
            return features, hidden_states, features.new_ones(features.shape[:2], dtype=torch.bool)
        return features, hidden_states, attention_mask != 0

    def head_modules(self) -> list[str]:
        """The names of the modules beside the backbone that have parameters: what `modules_to_save` of peft needs."""
        parts = {name: getattr(self, name) for name in self.head_parts}
        return [name for name, part in parts.items() if part is not None and any(True for _ in part.parameters())]

    def _keep_head(self, config: Any) -> None:
        """Add the head to what an adapter of peft trains and saves as a whole, unless it is read for inference."""
        if hasattr(config, "modules_to_save") and not config.inference_mode:
            named = list(config.modules_to_save or ())
            config.modules_to_save = [*named, *(name for name in self.head_modules() if name not in named)]

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """As in transformers; the head is trained and saved with the adapter."""
        self._keep_head(adapter_config)
        super().add_adapter(adapter_config, adapter_name)

    @property
    def peft_config(self) -> dict[str, Any]:
        """The configurations of the adapters that peft has put into this model, by their names."""
        return self._peft_config

    @peft_config.setter
    def peft_config(self, configs: dict[str, Any]) -> None:
        # Peft sets this before it wraps the parts of a head that it knows itself, those named classifier and score.
        for config in configs.values():
            if config.task_type in ("TOKEN_CLS", "SEQ_CLS"):
                self._keep_head(config)
        self._peft_config = configs

    @peft_config.deleter
    def peft_config(self) -> None:
        del self._peft_config

    def _warn_if_head_is_frozen(self, scores: torch.Tensor) -> None:
        """In training: a new head that stays as it was drawn spoils all else, and peft does not save it."""
        if not (self.training and scores.requires_grad):
            return
        parts = {name: getattr(self, name).parameters() for name in self.head_modules()}
        frozen = [name for name, parameters in parts.items() if not any(p.requires_grad for p in parameters)]
        if frozen:
            logger.warning_once(
                f"The head is not trained, but other parameters are: all of {frozen} are frozen. With peft, give the "
                f"adapter `modules_to_save={frozen}`, as `hf_lstm.interop.peft.lora_config` does: otherwise they are "
                "not saved with it either."
            )


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
    accepts_loss_kwargs = True  # Trainer: the loss divides by `num_items_in_batch` itself
    bidirectional_by_default = True
    head_parts = ("classifier", "crf")

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES[f"hf_lstm.{cls.__name__}"] = cls.__name__  # read by `pipeline`

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
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        char_ids: torch.LongTensor | None = None,
        shape_ids: torch.LongTensor | None = None,
        context_ids: torch.LongTensor | None = None,
        context_spans: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
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
        All arguments that are not described here: [`RecurrentModel.forward`].

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
            ValueError: for labels of another shape or range, and for a CRF in training mode without labels.
        """
        refuse_unknown(kwargs)
        features, hidden_states, real = self._encode(
            input_ids,
            attention_mask,
            inputs_embeds,
            output_hidden_states,
            char_ids=char_ids,
            shape_ids=shape_ids,
            context_ids=context_ids,
            context_spans=context_spans,
        )
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
                loss = loss + self._neighbour_loss(features, input_ids, attention_mask)
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
            loss = loss + self._neighbour_loss(features, input_ids, attention_mask)
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

    def _neighbour_loss(self, features, input_ids, attention_mask) -> torch.Tensor | float:
        """The summed loss of [`NeighbourPrediction`] times its factor; 0 outside training."""
        if self.neighbours is None or not self.training:
            return 0.0
        if input_ids is None:
            raise ValueError(
                "`input_ids` are missing, which a model with `lm_loss_coef` is trained to predict. Pass them instead "
                "of `inputs_embeds`, or set `lm_loss_coef=0`."
            )
        padding, embedding = self._padding(attention_mask, *input_ids.shape, 0), self.model.embed_tokens.weight
        return self.config.lm_loss_coef * self.neighbours(features, input_ids, padding, embedding)

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


def label_names(config: RecurrentConfig) -> list[str]:
    """The names of the labels in the order of their numbers."""
    return [config.id2label[i] for i in range(config.num_labels)]


class SequencePooler(nn.Module):
    """
    One vector for a sequence, from the real positions only; zeros for a sequence without any. By `config.pooling`:

    - `"last"`: the output of each direction at the end of its way;
    - `"mean"`, `"max"`: over the positions;
    - `"concat"`: all three side by side, last, max, mean (Howard & Ruder 2018, section 3.3);
    - `"attention"`: a weighted mean, with weights softmax(u · tanh(W h + b)) (Yang et al. 2016, equations 5 to 7).
    """

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        self.pooling, self.num_directions = config.pooling, config.num_directions
        self.output_size = config.output_size * (3 if self.pooling == "concat" else 1)
        if self.pooling == "attention":
            self.dense = nn.Linear(config.output_size, config.output_size)
            self.context = nn.Linear(config.output_size, 1, bias=False)

    def forward(self, hidden_states: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Outputs (B, T, D * P), zero at padding, and where the real positions are (B, T) -> (B, output_size)."""
        if self.pooling == "concat":
            return torch.cat([getattr(self, f"_{way}")(hidden_states, real) for way in ("last", "max", "mean")], -1)
        return getattr(self, f"_{self.pooling}")(hidden_states, real)

    def _last(self, hidden_states, real):
        ends = (real.shape[1] - 1 - real.flip(1).int().argmax(1), real.int().argmax(1))
        rows = torch.arange(real.shape[0], device=real.device)  # `len` would fix the batch size of an exported graph
        parts = hidden_states.chunk(self.num_directions, dim=-1)
        return torch.cat([part[rows, end] for part, end in zip(parts, ends, strict=False)], dim=-1)

    def _mean(self, hidden_states, real):
        return hidden_states.masked_fill(~real[..., None], 0).sum(1) / real.sum(1, keepdim=True).clamp(min=1)

    def _max(self, hidden_states, real):
        maxima = hidden_states.masked_fill(~real[..., None], -torch.inf).amax(1)
        return maxima.where(real.any(1, keepdim=True), 0)

    def _attention(self, hidden_states, real):
        scores = self.context(self.dense(hidden_states).tanh()).squeeze(-1)
        scores = scores.masked_fill(~real, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~real, 0)
        return (weights[..., None] * hidden_states).sum(1)


class RecurrentForSequenceClassification(RecurrentClassifier):
    """
    A backbone, a [`SequencePooler`] and a linear layer: for one label of several, for several at once, or for numbers,
    as `config.problem_type` says or the labels suggest.
    """

    _auto_class = "AutoModelForSequenceClassification"
    accepts_loss_kwargs = False  # Trainer: the loss is a mean over the examples of a batch
    head_parts = ("pooler", "score")

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES[f"hf_lstm.{cls.__name__}"] = cls.__name__

    def __init__(self, config: RecurrentConfig):
        super().__init__(config)
        self.loss_type = "ForSequenceClassification"  # whatever the name of a subclass
        self.pooler = SequencePooler(self.config)
        self.score = nn.Linear(self.pooler.output_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        char_ids: torch.LongTensor | None = None,
        shape_ids: torch.LongTensor | None = None,
        context_ids: torch.LongTensor | None = None,
        context_spans: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        r"""
        All arguments that are not described here: [`RecurrentModel.forward`].

        Args:
            labels (`torch.LongTensor` of shape `(B,)`, or `torch.Tensor` of shape `(B, K)`, *optional*): The label of
                each sequence; with `problem_type="multi_label_classification"` a 0 or 1 for each label, as
                floating-point numbers; with `"regression"` the numbers.

        Returns:
            [`~transformers.modeling_outputs.SequenceClassifierOutput`]: `loss`, `logits` of shape `(B, K)`,
            `hidden_states`.
        """
        refuse_unknown(kwargs)
        features, hidden_states, real = self._encode(
            input_ids,
            attention_mask,
            inputs_embeds,
            output_hidden_states,
            char_ids=char_ids,
            shape_ids=shape_ids,
            context_ids=context_ids,
            context_spans=context_spans,
        )
        logits = self.score(self.pooler(features, real))
        self._warn_if_head_is_frozen(logits)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=hidden_states)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Speech: a stack of recurrent layers over the features of sound, and its heads, which recognise what is said or name
what is heard. The loss is in `ctc.py`. Dimensions as in `modeling_recurrent.py`; F features of a step, V labels of
CTC, U labels of the longest row.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from transformers.modeling_outputs import CausalLMOutputWithPast, SequenceClassifierOutput
from transformers.utils import can_return_tuple

from .cache import RecurrentCache, WithCache, one_cache
from .cells import LAYERS
from .configuration_speech import RecurrentSpeechConfig, SoundStackConfig
from .ctc import ctc_losses, real_first
from .layers import RecurrentLayer
from .losses import check_labels, divisor
from .padding import Padding
from .pretrained import RecurrentPreTrainedModel, refuse_unknown
from .sequence_labels import LabelsSequences, SequencePooler
from .spec_augment import hide_at_random
from .stack import RecurrentModelOutput, RecurrentStack
from .text_inputs import TextInputs, reads_nothing


PRIOR_MOMENTUM = 0.99  # of the mean of posteriors, from batch to batch


@dataclass
class RecurrentCTCOutput(WithCache, CausalLMOutputWithPast):
    """
    [`~transformers.modeling_outputs.CausalLMOutput`] with a state, which is read by either of its names; `logits` has
    shape `(B, T, V)`, and gives all probability to the blank at padding.
    """


class RecurrentSpeechPreTrainedModel(RecurrentPreTrainedModel):
    """Base of the models of speech, of any family of cells; a class that is named after one builds no other."""

    config: RecurrentSpeechConfig
    main_input_name = "input_features"
    named_cell: ClassVar[str | None] = None
    acts_when_set = {f"mask_{part}_{what}" for part in ("time", "feature") for what in ("prob", "length", "min_masks")}
    acts_when_set |= {"ctc_loss_reduction", "ctc_zero_infinity", "inputs_to_logits_ratio"}
    _no_split_modules = ["LSTMLayer", "GRULayer", "RNNLayer"]

    def __init__(self, config: RecurrentSpeechConfig, *args, **kwargs):
        cell = self.named_cell or "lstm"
        if config.cell is None:
            config = copy.deepcopy(config)
            config.cell = cell
        elif self.named_cell not in (None, config.cell):
            raise ValueError(
                f"`cell={config.cell!r}` in the configuration is not what `{type(self).__name__}` is named after. Use "
                f"`{config.cell.upper()}{type(self).__name__.removeprefix(cell.upper())}` or an Auto class."
            )
        super().__init__(config, *args, **kwargs)

    @property
    def layer_class(self) -> type[RecurrentLayer]:
        """The layer of the family."""
        return LAYERS[self.config.cell]


class RecurrentSpeechModel(RecurrentSpeechPreTrainedModel, RecurrentStack):
    """
    The stack over the features of sound, (B, T, F). Training hides parts of them, as `config` says (SpecAugment).
    Arguments and outputs: [`RecurrentModel.forward`], with `input_features` in place of the inputs of a text.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import RecurrentSpeechConfig, RecurrentSpeechModel

    >>> model = RecurrentSpeechModel(RecurrentSpeechConfig(feature_size=40, hidden_size=8, bidirectional=True)).eval()
    >>> model(torch.randn(2, 50, 40)).last_hidden_state.shape
    torch.Size([2, 50, 16])
    ```
    """

    _auto_class = "AutoModel"
    pipeline_task = "feature-extraction"
    features_name, step_name = "input_features", "step"

    @reads_nothing
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: RecurrentCache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        past_key_values: RecurrentCache | None = None,
        **kwargs: Any,
    ) -> RecurrentModelOutput | tuple:
        r"""
        Args:
            input_features (`torch.Tensor` of shape `(B, T, F)`): Of a feature extractor.
            attention_mask (`torch.Tensor` of shape `(B, T)`, *optional*), and all others: As in
                [`RecurrentModel.forward`], where the output is described too.
        """
        refuse_unknown(kwargs)
        cache = one_cache(cache, past_key_values)
        features = self.embed(TextInputs(inputs_embeds=input_features))
        if self.training and (self.config.mask_time_prob or self.config.mask_feature_prob):
            past = 0 if cache is None else cache.get_seq_length()
            padding = self._padding(attention_mask, *features.shape[:2], past)
            features = hide_at_random(features, padding, self.config)
        return self.read(features, attention_mask, cache, use_cache, output_hidden_states, return_dict)


def checked_labels(labels: torch.Tensor, like: torch.Tensor, config: SoundStackConfig) -> torch.Tensor:
    """
    The labels, (B, U), on the device of a batch.

    Raises:
        `ValueError`: For labels out of range, blanks among them, or another batch.
    """
    if labels.ndim != 2 or len(labels) != len(like):
        raise ValueError(
            f"`labels` has shape {tuple(labels.shape)}, expected (batch, labels) with a batch of {len(like)}."
        )
    check_labels(labels, config.vocab_size, size="vocab_size")
    if (labels == config.pad_token_id).any():
        raise ValueError(
            f"`labels` holds {config.pad_token_id}, `pad_token_id`, which is the blank. Put -100 where there is no "
            "label; `processor.pad` does so."
        )
    return labels.to(like.device)


class RecurrentForCTC(RecurrentSpeechPreTrainedModel):
    r"""
    A recogniser: the stack and a linear layer over labels, one of which is the blank, trained by CTC (Graves et al.
    2006). With one direction it recognises while it listens: it takes the state of the call before and gives the next.

    Args:
        config ([`RecurrentSpeechConfig`]): Configuration.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMForCTC, RecurrentSpeechConfig

    >>> model = LSTMForCTC(RecurrentSpeechConfig(feature_size=40, hidden_size=8, vocab_size=12))
    >>> features, labels = torch.randn(2, 50, 40), torch.tensor([[3, 4, 5], [6, 6, -100]])
    >>> outputs = model(features, labels=labels)
    >>> outputs.loss.ndim, outputs.logits.shape
    (0, torch.Size([2, 50, 12]))
    ```
    """

    _auto_class = "AutoModelForCTC"
    pipeline_task = "automatic-speech-recognition"
    metric = "wer"
    carries_state = True
    accepts_loss_kwargs = True

    def __init__(self, config: RecurrentSpeechConfig):
        super().__init__(config)
        self.loss_type = "ForCTC"
        self.model = RecurrentSpeechModel(self.config)
        self.lm_head = nn.Linear(self.config.output_size, self.config.vocab_size)
        if self.config.ctc_label_prior_weight:
            prior = torch.full((self.config.vocab_size,), 1 / self.config.vocab_size)
            self.register_buffer("label_prior", prior)
        self.post_init()

    @can_return_tuple
    @reads_nothing
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        cache: RecurrentCache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        num_items_in_batch: int | torch.Tensor | None = None,
        past_key_values: RecurrentCache | None = None,
        **kwargs: Any,
    ) -> RecurrentCTCOutput:
        r"""
        Args:
            input_features (`torch.Tensor` of shape `(B, T, F)`), attention_mask (`torch.Tensor` of shape `(B, T)`,
                *optional*), cache ([`RecurrentCache`], *optional*), use_cache (`bool`, *optional*),
                output_hidden_states (`bool`, *optional*): As in [`RecurrentSpeechModel.forward`].
            labels (`torch.LongTensor` of shape `(B, U)`, *optional*): What is said, without blanks; -100 for none.
            num_items_in_batch (`int` or `torch.Tensor`, *optional*): What the sum of the losses is divided by, of
                Trainer: the number of labels in all that is accumulated. The labels of the batch by default.

        Returns:
            [`RecurrentCTCOutput`]: `loss`, `logits`, `cache`, `hidden_states`.

        Raises:
            `ValueError`: For labels out of range, blanks among them, or more than the steps of their row can hold.
        """
        outputs = self.model(
            input_features,
            attention_mask,
            one_cache(cache, past_key_values),
            use_cache,
            output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        logits = self.lm_head(outputs.last_hidden_state)
        padding = self._padding(attention_mask, *logits.shape[:2], 0)
        if padding is not None:
            logits = self._blank_at_padding(logits, padding)
        loss = None
        if labels is not None:
            loss = self._loss(logits, padding, labels, num_items_in_batch)
        return RecurrentCTCOutput(loss, logits, outputs.cache, outputs.hidden_states)

    def _blank_at_padding(self, logits: torch.Tensor, padding: Padding) -> torch.Tensor:
        """Logits (B, T, V) that are certain of the blank at padding, where decoders look too."""
        blank = logits.new_full((self.config.vocab_size,), torch.finfo(logits.dtype).min / 2)
        blank[self.config.pad_token_id] = 0
        return torch.where(padding.mask[..., None], logits, blank)

    def _loss(self, logits, padding: Padding | None, labels: torch.Tensor, num_items) -> torch.Tensor:
        """The sum of the losses, divided as `config.ctc_loss_reduction` says; of no label at all it is 0."""
        config = self.config
        labels = checked_labels(labels, logits, config)
        if hasattr(self, "_loss_function"):  # somebody's own
            return self.loss_function(logits=logits, labels=labels, config=config)
        real = Padding(labels != -100)
        logits, steps = real_first(logits, padding)
        log_probs = logits.float().log_softmax(-1)
        log_prior = self._log_prior(log_probs, steps) if config.ctc_label_prior_weight else None
        losses = ctc_losses(
            log_probs,
            steps,
            real.pack(labels).clamp(min=0),
            real.lengths,
            config.pad_token_id,
            log_prior,
            config.ctc_zero_infinity,
        )
        if config.ctc_loss_reduction == "sum":
            return losses.sum()
        return losses.sum() / divisor(real.lengths.sum() if num_items is None else num_items, losses)

    def _log_prior(self, log_probs: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Logarithms of the prior, to the power that `config` says; training brings the mean of posteriors up."""
        if self.training:
            real = torch.arange(log_probs.shape[1], device=log_probs.device) < steps[:, None]
            if real.any():
                mean = log_probs.detach()[real].exp().mean(0)
                self.label_prior.lerp_(mean.to(self.label_prior), 1 - PRIOR_MOMENTUM)
        return self.config.ctc_label_prior_weight * self.label_prior.float().log()

    def onnx_outputs(self, graph, hidden_states, packing):
        scores = graph.linear(packing.unpack(hidden_states), self.lm_head)
        blank = np.full(self.config.vocab_size, np.finfo(np.float32).min / 2, np.float32)
        blank[self.config.pad_token_id] = 0
        scores = graph.Where(graph.Unsqueeze(packing.mask, [2]), scores, blank)
        return {"logits": graph.output(scores, "B", "T", self.config.vocab_size)}


class RecurrentForAudioClassification(LabelsSequences, RecurrentSpeechPreTrainedModel):
    r"""
    What is heard, of several labels: the stack, a [`SequencePooler`] and a linear layer.

    Args:
        config ([`RecurrentSpeechConfig`]): Configuration.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMForAudioClassification, RecurrentSpeechConfig

    >>> model = LSTMForAudioClassification(RecurrentSpeechConfig(feature_size=40, hidden_size=8, num_labels=10))
    >>> model(torch.randn(2, 50, 40), labels=torch.tensor([3, 7])).logits.shape
    torch.Size([2, 10])
    ```
    """

    _auto_class = "AutoModelForAudioClassification"
    pipeline_task = "audio-classification"
    metric = "accuracy"

    def __init__(self, config: RecurrentSpeechConfig):
        super().__init__(config)
        self.loss_type = "ForSequenceClassification"
        self.num_labels = self._built["num_labels"] = config.num_labels
        self.model = RecurrentSpeechModel(self.config)
        self.pooler = SequencePooler(self.config)
        self.score = nn.Linear(self.pooler.output_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    @reads_nothing
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        r"""
        Args:
            input_features (`torch.Tensor` of shape `(B, T, F)`), attention_mask (`torch.Tensor` of shape `(B, T)`,
                *optional*), output_hidden_states (`bool`, *optional*): As in [`RecurrentSpeechModel.forward`].
            labels: As in [`RecurrentForSequenceClassification.forward`].

        Returns:
            [`~transformers.modeling_outputs.SequenceClassifierOutput`]: `loss`, `logits` of shape `(B, K)`,
            `hidden_states`.

        Raises:
            `ValueError`: For labels that do not fit `problem_type`, K or the batch.
        """
        options = {"use_cache": False, "output_hidden_states": output_hidden_states, "return_dict": True}
        outputs = self.model(input_features, attention_mask, **options, **kwargs)
        features = outputs.last_hidden_state
        real = features.new_ones(features.shape[:2], dtype=torch.bool)
        if attention_mask is not None:
            real = attention_mask != 0
        logits = self.score(self.pooler(features, real))
        loss = None if labels is None else self._loss(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states)

    def onnx_outputs(self, graph, hidden_states, packing):
        logits = graph.linear(graph.pooled(hidden_states, self.pooler, packing), self.score)
        return {"logits": graph.output(logits, "B", self.num_labels)}


class LSTMForCTC(RecurrentForCTC):
    """[`RecurrentForCTC`] of LSTM cells."""

    named_cell = "lstm"


class GRUForCTC(RecurrentForCTC):
    """[`RecurrentForCTC`] of GRU cells."""

    named_cell = "gru"


class LSTMForAudioClassification(RecurrentForAudioClassification):
    """[`RecurrentForAudioClassification`] of LSTM cells."""

    named_cell = "lstm"


class GRUForAudioClassification(RecurrentForAudioClassification):
    """[`RecurrentForAudioClassification`] of GRU cells."""

    named_cell = "gru"


__all__ = [
    "GRUForAudioClassification",
    "GRUForCTC",
    "LSTMForAudioClassification",
    "LSTMForCTC",
    "RecurrentForAudioClassification",
    "RecurrentForCTC",
    "RecurrentSpeechModel",
    "RecurrentSpeechPreTrainedModel",
]

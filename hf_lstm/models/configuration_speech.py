# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Configuration of recurrent models of speech."""

from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict

from .configuration_cells import CellStackConfig
from .configuration_stack import RecurrentStackConfig


# What people type who come from other models of speech, and what it is here.
_ELSEWHERE = {
    "activation_dropout": "use `hidden_dropout`, which acts between layers",
    "attention_dropout": "there is no attention here",
    "apply_spec_augment": "set `mask_time_prob` and `mask_feature_prob` to 0 for none",
    "blank_token_id": "the blank of CTC is `pad_token_id`",
    "conv_stride": "frames are stacked by the feature extractor, see `frame_stacking` there",
    "final_dropout": "use `output_dropout`",
    "feat_proj_dropout": "use `input_dropout`",
    "gradient_checkpointing": "call `gradient_checkpointing_enable()`, or set it in `TrainingArguments`",
    "input_feat_per_channel": "use `feature_size`",
    "input_size": "use `feature_size`",
    "layerdrop": "there is none here",
    "num_feature_extract_layers": "frames are stacked by the feature extractor, see `frame_stacking` there",
    "num_mel_bins": "use `feature_size`: mel bands times stacked frames",
}


@strict
class SoundStackConfig(CellStackConfig):
    r"""
    What every recogniser reads and names: fields and defaults are those of [`RecurrentStackConfig`] and
    [`CellStackConfig`] unless they are given here.

    Args:
        feature_size (`int`, defaults to 240): Size of the features of a step, F: of the feature extractor,
            `feature_size` there times `frame_stacking`.
        vocab_size (`int`, defaults to 32): The number of labels, V, the blank among them.
        pad_token_id (`int`, defaults to 0): The blank (Graves et al. 2006, section 3.1), which is what
            `Wav2Vec2CTCTokenizer` pads with.
        num_hidden_layers (`int`, defaults to 3), layer_norm (`bool`, defaults to `True`): Deep networks of speech
            learn slowly without normalisation between the layers.
        bidirectional (`bool`, *optional*): `None` means True. False for a model that recognises while it listens.
        mask_time_prob (`float`, defaults to 0.0): The share of steps that training hides in spans, each all features
            of `mask_time_length` steps (SpecAugment, Park et al. 2019, section 2); spans may overlap. What is hidden
            is 0, the mean of normalised features.
        mask_time_length (`int`, defaults to 10): Steps of a span. Each begins at a step drawn anew.
        mask_time_min_masks (`int`, defaults to 0): The fewest spans of a sequence, where `mask_time_prob` is above 0.
        mask_feature_prob (`float`, defaults to 0.0): The share of features that training hides in bands, each
            throughout the sequence.
        mask_feature_length (`int`, defaults to 10): Features of a band.
        mask_feature_min_masks (`int`, defaults to 0): The fewest bands of a sequence, where `mask_feature_prob` is
            above 0.
        stacked_frames (`int`, defaults to 1): How many frames a step holds side by side, of which a band hides the
            same features.

    Raises:
        `ValueError`: For a value out of range, a pair of values that cannot work, or a misspelt name.
    """

    _elsewhere: ClassVar[dict[str, str]] = RecurrentStackConfig._elsewhere | _ELSEWHERE
    # What `Trainer.evaluate` leaves out, so that metrics get the logits alone.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["cache", "past_key_values", "hidden_states"]

    feature_size: int = 240
    vocab_size: int = 32
    pad_token_id: int = 0
    num_hidden_layers: int = 3
    layer_norm: bool = True
    mask_time_prob: float | int = 0.0
    mask_time_length: int = 10
    mask_time_min_masks: int = 0
    mask_feature_prob: float | int = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    stacked_frames: int = 1

    def __post_init__(self, **kwargs: Any):
        if self.bidirectional is None:
            self.bidirectional = True
        super().__post_init__(**kwargs)

    def validate_recurrent(self):
        """The rules of the stack, and those between the fields of speech."""
        super().validate_recurrent()
        self._at_least(1, "feature_size", "stacked_frames", "mask_time_length", "mask_feature_length")
        self._at_least(0, "mask_time_min_masks", "mask_feature_min_masks")
        self._at_least(2, "vocab_size")
        self._probabilities("mask_time_prob", "mask_feature_prob")
        if not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(
                f"`pad_token_id`, the blank, must lie between 0 and vocab_size - 1 = {self.vocab_size - 1}, got "
                f"{self.pad_token_id!r}."
            )
        if self.feature_size % self.stacked_frames:
            raise ValueError(
                f"`stacked_frames={self.stacked_frames}` must divide `feature_size={self.feature_size}`: a step holds "
                "the features of so many frames."
            )


@strict
class RecurrentSpeechConfig(SoundStackConfig):
    r"""
    Configuration of a [`RecurrentForCTC`] or [`RecurrentForAudioClassification`]: of the stack, whose fields and
    defaults are those of [`SoundStackConfig`], and of what surrounds it. D * P is the size of the stack's outputs, V
    the number of labels.

    Args:
        ctc_loss_reduction (`str`, defaults to `"mean"`): `"mean"` divides the sum of the losses by the number of
            labels, over all of a batch that is accumulated; `"sum"` does not.
        ctc_zero_infinity (`bool`, defaults to `False`): True to take 0 for the loss of a sequence whose labels do not
            fit its steps, and for its gradient; False for an error that names it.
        ctc_label_prior_weight (`float`, defaults to 0.0): For an aligner: the power of the labels' prior
            probabilities, of which the mean over the training data is kept, that training divides posteriors by
            (Huang et al. 2024, equation 6); labels then last as long as they are heard.
        inputs_to_logits_ratio (`int`, defaults to 480): Samples of a step: those from frame to frame times the number
            of stacked frames. Pipelines make times of it.
        pooling (`str`, defaults to `"mean"`): What a classifier reads of a sequence, see [`SequencePooler`].

    Raises:
        `ValueError`: For a value out of range, a pair of values that cannot work, or a misspelt name.

    Example:

    ```python
    >>> from hf_lstm import LSTMForCTC, RecurrentSpeechConfig

    >>> config = RecurrentSpeechConfig(feature_size=120, vocab_size=30, hidden_size=64, mask_time_prob=0.1)
    >>> model = LSTMForCTC(config)
    >>> model.config.cell, model.config.bidirectional
    ('lstm', True)
    ```
    """

    model_type = "recurrent_speech"

    ctc_loss_reduction: Literal["mean", "sum"] = "mean"
    ctc_zero_infinity: bool = False
    ctc_label_prior_weight: float | int = 0.0
    inputs_to_logits_ratio: int = 480
    pooling: Literal["last", "mean", "max", "concat", "attention"] = "mean"

    def validate_recurrent(self):
        """The rules of the stack and of sounds, and those of the heads."""
        super().validate_recurrent()
        self._at_least(1, "inputs_to_logits_ratio")
        self._probabilities("ctc_label_prior_weight")


__all__ = ["RecurrentSpeechConfig"]

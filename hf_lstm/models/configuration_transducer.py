# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Configuration of recurrent transducers."""

import copy
from typing import ClassVar

from huggingface_hub.dataclasses import strict

from .configuration_speech import SoundStackConfig


# What people type who come from other transducers, and what it is here.
_ELSEWHERE = {
    "blank_token_id": "the blank is `pad_token_id`",
    "encoder_config": "the fields of the encoder are those of the configuration itself",
    "hidden_act": "the joint network has tanh",
    "inputs_to_logits_ratio": "a step is `samples_per_step` of the feature extractor long",
    "joint_hidden": "use `joint_size`",
    "joint_hidden_size": "use `joint_size`",
    "max_symbols": "use `max_symbols_per_step`",
    "pred_hidden": "use `decoder_hidden_size`",
    "pred_rnn_layers": "use `num_decoder_layers`",
    "prediction_hidden_size": "use `decoder_hidden_size`",
}


@strict
class RecurrentTransducerConfig(SoundStackConfig):
    r"""
    Configuration of a [`RecurrentForRNNT`]: of its encoder, whose fields and defaults are those of
    [`SoundStackConfig`], and of the two networks above it.

    Args:
        decoder_hidden_size (`int`, defaults to 256): Units of a layer of the prediction network, which has the cells
            of the encoder, one direction, and its layer normalisation.
        num_decoder_layers (`int`, defaults to 1): Its layers.
        decoder_embedding_size (`int`, *optional*): Size of what it reads of a label. `None` means
            `decoder_hidden_size`.
        decoder_dropout (`float`, defaults to 0.0): Its dropout rate, on embeddings, between layers, and on outputs.
        joint_size (`int`, *optional*): Units of the joint network, J. `None` means `decoder_hidden_size`.
        max_symbols_per_step (`int`, defaults to 10): The most labels that decoding gives at one step.

    Raises:
        `ValueError`: For a value out of range, a pair of values that cannot work, or a misspelt name.

    Example:

    ```python
    >>> from hf_lstm import LSTMForRNNT, RecurrentTransducerConfig

    >>> config = RecurrentTransducerConfig(feature_size=120, vocab_size=30, hidden_size=64, decoder_hidden_size=32)
    >>> model = LSTMForRNNT(config)
    >>> model.config.cell, model.config.joint_size
    ('lstm', 32)
    ```
    """

    model_type = "recurrent_transducer"
    _elsewhere: ClassVar[dict[str, str]] = SoundStackConfig._elsewhere | _ELSEWHERE
    keys_to_ignore_at_inference: ClassVar[list[str]] = [*SoundStackConfig.keys_to_ignore_at_inference, "steps"]

    decoder_hidden_size: int = 256
    num_decoder_layers: int = 1
    decoder_embedding_size: int | None = None
    decoder_dropout: float | int = 0.0
    joint_size: int | None = None
    max_symbols_per_step: int = 10

    def __post_init__(self, **kwargs):
        for name in ("decoder_embedding_size", "joint_size"):
            if getattr(self, name) is None:
                setattr(self, name, self.decoder_hidden_size)
        super().__post_init__(**kwargs)

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Refused: pipelines would make times of it that are not those of a transducer."""
        raise ValueError(
            "The outputs of a transducer do not follow the clock, so that pipelines can neither give times nor join "
            "chunks: leave `return_timestamps` and `chunk_length_s` out. `model.generate` gives the steps of labels."
        )

    def validate_recurrent(self):
        """The rules of the stack and of sounds, and those of the networks above."""
        super().validate_recurrent()
        names = "decoder_hidden_size", "num_decoder_layers", "decoder_embedding_size", "joint_size"
        self._at_least(1, *names, "max_symbols_per_step")
        self._probabilities("decoder_dropout")

    def for_decoder(self) -> "RecurrentTransducerConfig":
        """The configuration of the layers of the prediction network."""
        config = copy.deepcopy(self)
        config.hidden_size, config.num_hidden_layers = self.decoder_hidden_size, self.num_decoder_layers
        config.feature_size, config.stacked_frames = self.decoder_embedding_size, 1
        config.hidden_sizes = config.projection_size = config.chrono_max_length = None
        config.bidirectional = config.residual_connections = False
        config.input_dropout = config.output_dropout = self.decoder_dropout
        config.hidden_dropout = self.decoder_dropout if self.num_decoder_layers > 1 else 0.0
        return config


__all__ = ["RecurrentTransducerConfig"]

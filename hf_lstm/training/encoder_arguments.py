# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Options of the command line for models that read a pretrained encoder, as the examples of `examples/` have them."""

from dataclasses import dataclass, fields
from functools import partial
from typing import Literal

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.hf_argparser import HfArg

from ..models.text_reader import TextReader
from .transfer import EncoderTrainer


@dataclass
class EncoderArguments:
    """The pretrained encoder that words are read with, if there is one."""

    encoder: str | None = HfArg(default=None, help="A pretrained encoder, as BERT: its name on the Hub, or a folder.")
    train_encoder: bool = HfArg(default=True, help="False: it is frozen, and reads each text once.")
    encoder_learning_rate: float = HfArg(default=1e-4, help="Highest learning rate of the encoder.")
    layer_decay: float = HfArg(default=1.0, help="Factor of that rate from each layer of it to the one below.")
    encoder_pooling: Literal["first", "last", "mean"] = HfArg(
        default="first", help="What a word of several pieces is."
    )
    encoder_layers: Literal["last", "mix"] = HfArg(default="last", help="Its output, or a learned mean of its layers.")
    encoder_dropout: float = HfArg(default=0.0, help="Dropout rate on what it gives.")
    remembered_tokens: int | None = HfArg(
        default=None, help="Tokens of which is kept what frozen models say; else 300,000, or all on disk; 0: none."
    )
    remember_in: str | None = HfArg(default=None, help="A folder that is there, to keep it in on disk, not in memory.")

    def __post_init__(self):
        for each in [] if self.encoder else fields(self):
            value = getattr(self, each.name)
            if value != each.default and "remember" not in each.name:  # which models of characters do as well
                raise ValueError(f"`{each.name}` is {value!r} without an `encoder`, which it is about. Give one.")

    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer of the encoder, the option `encoder_tokenizer` of ours."""
        return AutoTokenizer.from_pretrained(self.encoder) if self.encoder else None

    def build(self, auto_class: type, config: PreTrainedConfig) -> PreTrainedModel:
        """
        A model of random weights, above the encoder if there is one.

        Args:
            auto_class (`type`): An Auto class, such as `AutoModelForTokenClassification`.
            config (`PreTrainedConfig`): The configuration without the encoder.
        """
        if not self.encoder:
            return auto_class.from_config(config)
        for name in ("train_encoder", "encoder_pooling", "encoder_layers", "encoder_dropout"):
            setattr(config, name, getattr(self, name))
        model = auto_class._model_mapping[type(config)].from_encoder_pretrained(self.encoder, config)
        if not self.train_encoder:
            self.remember(model.base_model.piece_encoder)
        return model

    def remember(self, reader: TextReader) -> None:
        """
        Let frozen models remember what they said.

        Args:
            reader ([`~text_reader.TextReader`]): What reads with them.
        """
        reader.remember(self.remembered_tokens, self.remember_in)

    def trainer(self, base: type) -> partial:
        """
        A trainer with the learning rates of the encoder, if there is one.

        Args:
            base (`type`): The trainer without them.
        """
        if not self.encoder:
            return partial(base)
        rates = {name: getattr(self, name) for name in ("encoder_learning_rate", "layer_decay")}
        return partial(type(base.__name__, (EncoderTrainer, base), {}), **rates)

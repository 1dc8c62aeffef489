# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The arguments of `examples/train_speech_recognition.py`: what is heard, how, and the network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from transformers import ProcessorMixin
from transformers.hf_argparser import HfArg

from ..hub.cards import TrainingData
from ..models.configuration_speech import RecurrentSpeechConfig
from ..models.feature_extraction_speech import RecurrentFeatureExtractor
from .arguments import _Source


@dataclass
class SpeechArguments(_Source):
    """What to train on: tables of sounds, a dataset of the Hub, or by default 180 spoken digits."""

    train_file: str | None = HfArg(
        default=None, help="A table, csv, tsv, json, jsonl or parquet: names of files, relative to it, and texts."
    )
    validation_file: str | None = HfArg(default=None, help="The same to choose the epoch; else a tenth of them.")
    test_file: str | None = HfArg(default=None, help="The same for the final scores; else those are of validation.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of tables.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    audio_column: str = HfArg(default="audio", help="The column of sounds.")
    text_column: str = HfArg(default="text", help="The column of what is said.")
    separator: str | None = HfArg(default=None, help="What stands between cells of a csv or tsv.")
    encoding: str = HfArg(default="utf-8", help="Encoding of the tables.")

    @property
    def source(self) -> str:
        return "240 spoken digits of the Free Spoken Digit Dataset" if self.built_in else super().source

    def training_data(self, splits: Mapping[str, Mapping[str, int]]) -> TrainingData:
        """As of the others, with the licence of the digits that come along."""
        found = super().training_data(splits)
        if not self.built_in:
            return found
        about = (
            "From the [Free Spoken Digit Dataset](https://github.com/Jakobovski/free-spoken-digit-dataset), under CC "
            "BY-SA 4.0. They are a toy, and no measure of recognition."
        )
        return replace(found, license="cc-by-sa-4.0", description=about)


@dataclass
class RecognizerArguments:
    """The features, the network and its training."""

    language: str | None = HfArg(default=None, help="For the model card: the language that is spoken, as 'en'.")
    license: str | None = HfArg(default=None, help="For the model card: the licence of the model, as 'apache-2.0'.")
    sampling_rate: int = HfArg(default=16_000, help="Samples a second, Hz, to which sounds are resampled.")
    feature_size: int = HfArg(default=80, help="Mel bands; or the size of features that files hold.")
    num_deltas: int = HfArg(default=0, help="1 for slopes of features beside them, 2 for those of the slopes too.")
    frame_stacking: int = HfArg(default=3, help="Frames, of 10 ms each, of a step.")
    cell: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    hidden_size: int = HfArg(default=192, help="Units of a layer, in each direction.")
    num_hidden_layers: int = HfArg(default=3, help="Layers.")
    bidirectional: bool = HfArg(default=True, help="False for a model that recognises while it listens.")
    dropout: float = HfArg(default=0.3, help="Dropout rate between layers and on the output.")
    input_dropout: float = HfArg(default=0.0, help="Dropout rate on the features.")
    variational_dropout: bool = HfArg(default=False, help="One mask for all steps of a sound.")
    mask_time_prob: float = HfArg(default=0.1, help="The share of steps that training hides, in spans.")
    mask_time_length: int = HfArg(default=5, help="Steps of a span.")
    mask_feature_prob: float = HfArg(default=0.1, help="The share of features that training hides, in bands.")
    mask_feature_length: int = HfArg(default=8, help="Features of a band.")
    speed: float = HfArg(default=0.15, help="Sounds are played faster or slower by at most this share.")
    join: int = HfArg(default=1, help="Up to so many sounds are put one after the other in training.")
    ctc_label_prior_weight: float = HfArg(default=0.0, help="Above 0 for a model that aligns, see the configuration.")
    average: float = HfArg(default=0.0, help="Decay of the average of weights that is evaluated and kept; 0: none.")
    patience: int = HfArg(default=20, help="Evaluations without a better WER after which training ends.")

    def feature_extractor(self) -> RecurrentFeatureExtractor:
        """One that is to be fitted to the training data."""
        names = ("feature_size", "sampling_rate", "num_deltas", "frame_stacking")
        return RecurrentFeatureExtractor(**{name: getattr(self, name) for name in names})

    def config(
        self, processor: ProcessorMixin | RecurrentFeatureExtractor, id2label: dict[int, str] | None = None
    ) -> RecurrentSpeechConfig:
        """
        The configuration of a new network.

        Args:
            processor ([`RecurrentSpeechProcessor`] or [`RecurrentFeatureExtractor`]): Of the model.
            id2label (`dict[int, str]`, *optional*): Of a classifier.
        """
        names = ("cell", "hidden_size", "num_hidden_layers", "bidirectional", "input_dropout", "variational_dropout")
        names += ("mask_time_prob", "mask_time_length", "mask_feature_prob", "mask_feature_length")
        names += ("ctc_label_prior_weight",)
        extractor = getattr(processor, "feature_extractor", processor)
        of_text, tokenizer = {"id2label": id2label}, getattr(processor, "tokenizer", None)
        if tokenizer is not None:
            of_text = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        return RecurrentSpeechConfig(
            **{name: getattr(self, name) for name in names},
            **of_text,
            hidden_dropout=self.dropout if self.num_hidden_layers > 1 else 0.0,
            output_dropout=self.dropout,
            feature_size=extractor.step_size,
            stacked_frames=extractor.frame_stacking * (extractor.num_deltas + 1),
            inputs_to_logits_ratio=extractor.samples_per_step,
        )

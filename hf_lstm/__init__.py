# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""LSTM, GRU and plain recurrent networks as first-class Hugging Face models."""

__version__ = "0.1.0"
__url__ = ""  # "https://github.com/OWNER/NAME" once it is published: whatever names the address reads it here

import transformers

from .hub import folders
from .models.cache import RecurrentCache
from .models.configuration_encoder_decoder import RecurrentEncoderDecoderConfig
from .models.configuration_gru import GRUConfig
from .models.configuration_lstm import LSTMConfig
from .models.configuration_recurrent import RecurrentConfig
from .models.configuration_rnn import RNNConfig
from .models.configuration_speech import RecurrentSpeechConfig
from .models.configuration_transducer import RecurrentTransducerConfig
from .models.feature_extraction_speech import RecurrentFeatureExtractor
from .models.modeling_encoder_decoder import RecurrentEncoderDecoderForConditionalGeneration
from .models.modeling_gru import (
    GRUForCausalLM,
    GRUForSequenceClassification,
    GRUForTokenClassification,
    GRUModel,
    GRUPreTrainedModel,
)
from .models.modeling_lstm import (
    LSTMForCausalLM,
    LSTMForSequenceClassification,
    LSTMForTokenClassification,
    LSTMModel,
    LSTMPreTrainedModel,
)
from .models.modeling_rnn import (
    RNNForCausalLM,
    RNNForSequenceClassification,
    RNNForTokenClassification,
    RNNModel,
    RNNPreTrainedModel,
)
from .models.modeling_speech import (
    GRUForAudioClassification,
    GRUForCTC,
    LSTMForAudioClassification,
    LSTMForCTC,
    RecurrentForAudioClassification,
    RecurrentForCTC,
    RecurrentSpeechModel,
    RecurrentSpeechPreTrainedModel,
)
from .models.modeling_transducer import (
    GRUForRNNT,
    LSTMForRNNT,
    RecurrentForRNNT,
    RecurrentTransducerPreTrainedModel,
)
from .models.processing_speech import RecurrentSpeechProcessor
from .models.saving import SavingMixin
from .models.tokenization_lstm import LSTMTokenizer
from .models.tokenization_translation import TranslationTokenizer


__all__ = [
    "GRUConfig",
    "GRUForAudioClassification",
    "GRUForCTC",
    "GRUForCausalLM",
    "GRUForRNNT",
    "GRUForSequenceClassification",
    "GRUForTokenClassification",
    "GRUModel",
    "GRUPreTrainedModel",
    "LSTMConfig",
    "LSTMForAudioClassification",
    "LSTMForCTC",
    "LSTMForCausalLM",
    "LSTMForRNNT",
    "LSTMForSequenceClassification",
    "LSTMForTokenClassification",
    "LSTMModel",
    "LSTMPreTrainedModel",
    "LSTMTokenizer",
    "RNNConfig",
    "RNNForCausalLM",
    "RNNForSequenceClassification",
    "RNNForTokenClassification",
    "RNNModel",
    "RNNPreTrainedModel",
    "RecurrentCache",
    "RecurrentConfig",
    "RecurrentEncoderDecoderConfig",
    "RecurrentEncoderDecoderForConditionalGeneration",
    "RecurrentFeatureExtractor",
    "RecurrentForAudioClassification",
    "RecurrentForCTC",
    "RecurrentForRNNT",
    "RecurrentSpeechConfig",
    "RecurrentSpeechModel",
    "RecurrentSpeechPreTrainedModel",
    "RecurrentSpeechProcessor",
    "RecurrentTransducerConfig",
    "RecurrentTransducerPreTrainedModel",
    "TranslationTokenizer",
]


def _register() -> None:
    """Make our classes known to the Auto classes; `exist_ok`, lest an "lstm" of transformers' own break the import."""
    of_texts = {"AutoTokenizer": LSTMTokenizer}
    of_sounds = {"AutoFeatureExtractor": RecurrentFeatureExtractor, "AutoProcessor": RecurrentSpeechProcessor}
    families = {
        LSTMPreTrainedModel: of_texts,
        GRUPreTrainedModel: of_texts,
        RNNPreTrainedModel: of_texts,
        # A folder names the other tokenizer, too.
        RecurrentEncoderDecoderForConditionalGeneration: {"AutoTokenizer": TranslationTokenizer},
        RecurrentSpeechPreTrainedModel: of_sounds,
        RecurrentTransducerPreTrainedModel: of_sounds,
    }
    for family, readers in families.items():
        config = family.config_class
        transformers.AutoConfig.register(config.model_type, config, exist_ok=True)
        for auto_class, each in (readers | family.heads()).items():
            getattr(transformers, auto_class).register(config, each, exist_ok=True)


_register()
SavingMixin.hub = folders

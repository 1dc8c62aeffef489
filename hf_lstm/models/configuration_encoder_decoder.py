# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Configuration of an encoder, of any kind, and a recurrent decoder that attends to what it gives."""

import copy
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .config_checks import CheckedConfig
from .configuration_gru import GRUConfig
from .configuration_lstm import LSTMConfig
from .configuration_recurrent import FEATURES_OF_WORDS
from .configuration_rnn import RNNConfig
from .encoder_options import config_of, fields_of


FAMILIES = {config.model_type: config for config in (LSTMConfig, GRUConfig, RNNConfig)}

# What people type who come from other encoder-decoders of transformers, and what it is here.
_ELSEWHERE = {
    "attention_heads": "use `num_attention_heads`",
    "attention_type": "use `attention`",
    "d_model": "use `hidden_size` of `encoder` and `decoder`",
    "dropout": "use `input_dropout`, `hidden_dropout` and `output_dropout` of `encoder` and `decoder`",
    "feed_input": "use `input_feeding`",
    "hidden_size": "it is a field of `encoder` and of `decoder`",
    "label_smoothing_factor": "use `label_smoothing`, or give it to the trainer",
    "num_hidden_layers": "it is a field of `encoder` and of `decoder`",
    "share_embeddings": "use `share_encoder_decoder_embeddings`",
    "tie_encoder_decoder": "use `share_encoder_decoder_embeddings`, which shares the embeddings alone",
    "vocab_size": "it is a field of `encoder` and of `decoder`",
}


@strict
class RecurrentEncoderDecoderConfig(CheckedConfig):
    r"""
    Configuration of a [`RecurrentEncoderDecoderForConditionalGeneration`].

    Args:
        encoder ([`~transformers.PreTrainedConfig`] or `dict`, *optional*): What reads the source: an [`LSTMConfig`],
            [`GRUConfig`] or [`RNNConfig`], which reads in both directions unless it says otherwise, or the
            configuration of any encoder that `AutoModel` builds. `None` means an `LSTMConfig`.
        decoder ([`LSTMConfig`], [`GRUConfig`], [`RNNConfig`] or `dict`, *optional*): What writes the target: its
            fields of a stack, of a text, `tie_word_embeddings`, `output_layer` and `lm_head_bias`; `output_dropout`
            acts on what the output layer reads. `None` means an `LSTMConfig` of two layers.
        attention (`str`, defaults to `"scaled_dot"`): `"scaled_dot"` (Vaswani et al. 2017, equation 1), `"general"`
            (Luong et al. 2015, equation 8) or `"additive"` (Bahdanau et al. 2015, appendix A.1.2); see `attention.py`.
        num_attention_heads (`int`, defaults to 1): Attention of several heads, each over its own part of the
            encoder's features (Vaswani et al. 2017, section 3.2.2).
        attention_size (`int`, *optional*): Size of queries and keys, all heads together; the units of an additive
            attention. `None` means the size of the output of the decoder's first layer.
        attention_dropout (`float`, defaults to 0.0): Dropout rate on the weights of the attention.
        input_feeding (`bool`, defaults to `False`): Feed what the output layer read of a step to the first layer at
            the next (Luong et al. 2015, section 3.3). The decoder then runs step by step, which takes several times
            as long in training.
        bridge (`str`, *optional*): What the states of the decoder begin from: `"final"`, the output of each direction
            of the encoder where it ends; `"mean"`, the mean of its outputs; `"none"`, zeros. The former go through a
            layer, s_0 = tanh(W_s x) (Bahdanau et al. 2015, appendix A.2.2). `None` means what suits the encoder:
            `"final"` for a recurrent one, else `"mean"`.
        label_smoothing (`float`, defaults to 0.0): What training takes from the probability of the right token and
            spreads over all (Szegedy et al. 2016, section 7).
        share_encoder_decoder_embeddings (`bool`, defaults to `False`): Use one embedding for source and target, of
            one vocabulary, which is the output embedding too ("three-way tying", Press & Wolf 2017, section 3).
        train_encoder (`bool`, defaults to `True`): False for a pretrained encoder that is frozen and read without
            dropout.
        tie_word_embeddings (`bool`, *optional*): Use the embedding of the target as output embedding. `None` means
            what `decoder` says.
        pad_token_id, bos_token_id, eos_token_id (`int`, *optional*): Special tokens of the target; `None` means those
            of `decoder`.
        decoder_start_token_id (`int`, *optional*): What the target begins with. `None` means `bos_token_id`.

    Raises:
        `ValueError`: For a value out of range, a pair of values that cannot work, or a misspelt name.

    Example:

    ```python
    >>> from hf_lstm import GRUConfig, RecurrentEncoderDecoderConfig

    >>> special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    >>> source = GRUConfig(vocab_size=500, hidden_size=64, **special)
    >>> target = GRUConfig(vocab_size=400, hidden_size=64, num_hidden_layers=2, **special)
    >>> config = RecurrentEncoderDecoderConfig(encoder=source, decoder=target, attention="additive")
    >>> config.encoder.bidirectional, config.decoder_start_token_id
    (True, 2)
    ```
    """

    model_type = "recurrent_encoder_decoder"
    _elsewhere: ClassVar[dict[str, str]] = _ELSEWHERE
    # What `Trainer.evaluate` leaves out, so that metrics get the logits alone.
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "cache",
        "past_key_values",
        "decoder_hidden_states",
        "decoder_attentions",
        "cross_attentions",
        "encoder_last_hidden_state",
        "encoder_hidden_states",
        "encoder_attentions",
    ]

    encoder: PreTrainedConfig | dict | None = None
    decoder: PreTrainedConfig | dict | None = None
    attention: Literal["scaled_dot", "general", "additive"] = "scaled_dot"
    num_attention_heads: int = 1
    attention_size: int | None = None
    attention_dropout: float | int = 0.0
    input_feeding: bool = False
    bridge: Literal["final", "mean", "none"] | None = None
    label_smoothing: float | int = 0.0
    share_encoder_decoder_embeddings: bool = False
    train_encoder: bool = True
    tie_word_embeddings: bool | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | None = None
    is_encoder_decoder: bool = True

    def __post_init__(self, **kwargs: Any):
        self.encoder = self._part("encoder", LSTMConfig(), bidirectional=True)
        self.decoder = self._part("decoder", LSTMConfig(num_hidden_layers=2), bidirectional=False)
        if self.decoder is self.encoder:
            self.decoder = copy.deepcopy(self.decoder)  # what is set of one, such as `vocab_size`, is not of the other
        self.bridge = self.bridge or ("final" if self.has_recurrent_encoder else "mean")
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(self.decoder, name, None))
        if self.decoder_start_token_id is None:
            self.decoder_start_token_id = self.bos_token_id
        super().__post_init__(**kwargs)
        self.validate_recurrent()

    def _follow_tying(self):
        """One answer to whether the output layer is tied: here, where transformers looks, and in `decoder`."""
        if self.tie_word_embeddings is None:
            self.tie_word_embeddings = getattr(self.decoder, "tie_word_embeddings", False)
        elif self.tie_word_embeddings != getattr(self.decoder, "tie_word_embeddings", None):
            self.decoder = copy.deepcopy(self.decoder)
            self.decoder.tie_word_embeddings = self.tie_word_embeddings

    def to_dict(self) -> dict[str, Any]:
        """As in transformers; of the parts, what differs from their defaults."""
        fields = super().to_dict()
        for name in ("encoder", "decoder"):
            fields[name] = fields_of(getattr(self, name))
        return fields

    def _remove_keys_not_serialized(self, d: dict[str, Any]) -> None:
        super()._remove_keys_not_serialized(d)
        d.pop("use_cache", None)  # which Trainer turns off in every model that it is given

    def _part(self, name: str, default: PreTrainedConfig, bidirectional: bool) -> PreTrainedConfig:
        """The configuration of a part, with what `bidirectional=None` means there."""
        given = getattr(self, name)
        config = config_of(default if given is None else given, name, FAMILIES)
        if getattr(config, "bidirectional", False) is None:
            config = copy.deepcopy(config)
            config.bidirectional = bidirectional
        return config

    @property
    def has_recurrent_encoder(self) -> bool:
        """Whether the encoder is one of ours."""
        return self.encoder.model_type in FAMILIES

    @property
    def source_size(self) -> int:
        """Size of the encoder's features, S."""
        if self.has_recurrent_encoder:
            return self.encoder.output_size
        adapted = getattr(self.encoder, "add_adapter", False)  # of speech
        return self.encoder.output_hidden_size if adapted else self.encoder.hidden_size

    @property
    def query_size(self) -> int:
        """Size of queries and keys, all heads together."""
        return self.attending_size if self.attention_size is None else self.attention_size

    @property
    def attending_size(self) -> int:
        """Size of the output of the first layer of the decoder, which attends."""
        return self.decoder.of_layer(0).output_size

    @property
    def readout_size(self) -> int:
        """Size of what the output layer reads."""
        tied = self.decoder.tie_word_embeddings and self.decoder.output_layer != "mixture"
        return self.decoder.input_size if tied else self.decoder.output_size

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder_config: PreTrainedConfig, decoder_config: PreTrainedConfig, **kwargs: Any
    ) -> "RecurrentEncoderDecoderConfig":
        """As of [`~transformers.EncoderDecoderConfig`]: the configuration of two parts."""
        return cls(encoder=encoder_config, decoder=decoder_config, **kwargs)

    def validate_recurrent(self):
        """The rules between fields; transformers runs it on construction and before saving."""
        self._follow_tying()  # here, since a field may be set later, as by `from_pretrained(..., field=value)`
        if not self.is_encoder_decoder:
            raise ValueError("`is_encoder_decoder=False` is of models without an encoder. Leave it out.")
        self._at_least(1, "num_attention_heads", "attention_size")
        self._probabilities("attention_dropout", "label_smoothing")
        self._validate_encoder()
        self._validate_decoder()
        self._validate_heads()
        self._validate_sharing()
        if self.input_feeding and self.decoder.recurrent_weight_dropout:
            raise ValueError(
                f"`recurrent_weight_dropout={self.decoder.recurrent_weight_dropout!r}` of `decoder` has one mask for "
                "all steps, and `input_feeding=True` runs step by step. Leave one of the two out."
            )
        if self.label_smoothing and self.decoder.output_layer != "softmax":
            raise ValueError(
                f"`label_smoothing={self.label_smoothing!r}` needs `output_layer='softmax'` in `decoder`, got "
                f"{self.decoder.output_layer!r}. Leave one of the two out."
            )

    def _validate_encoder(self):
        if self.encoder.is_encoder_decoder:
            raise ValueError(
                f"`encoder` is of the kind {self.encoder.model_type!r}, which has a decoder of its own. Give the "
                "configuration of an encoder alone."
            )
        if not self.has_recurrent_encoder and getattr(self.encoder, "hidden_size", None) is None:
            raise ValueError(
                f"`encoder` is of the kind {self.encoder.model_type!r}, which has no `hidden_size`, the size of its "
                "features. Give the configuration of an encoder that has one."
            )

    def _validate_decoder(self):
        decoder = self.decoder
        if decoder.model_type not in FAMILIES:
            raise ValueError(
                f"`decoder` is of the kind {decoder.model_type!r}, but must be recurrent: an `LSTMConfig`, "
                "`GRUConfig` or `RNNConfig`. For two transformers there is `EncoderDecoderModel`."
            )
        if decoder.bidirectional:
            raise ValueError(
                "`bidirectional=True` of `decoder` cannot write from left to right: the backward direction sees the "
                "tokens to be predicted. Use `bidirectional=False`."
            )
        if decoder.vocab_size is None:
            raise ValueError(
                "`vocab_size=None` of `decoder` leaves nothing to predict. Set it to the number of tokens."
            )
        for name in FEATURES_OF_WORDS:
            if value := getattr(decoder, name):
                raise ValueError(
                    f"`{name}={value!r:.60}` of `decoder` gives it features of whole words, which tokens that are "
                    "being generated do not have. Leave it out."
                )
        for name in ("activation_regularization", "temporal_activation_regularization"):
            if value := getattr(decoder, name):
                raise ValueError(f"`{name}={value!r}` of `decoder` is of language models. Leave it out.")
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
            value = getattr(self, name)
            for token_id in value if isinstance(value, list) else [value]:
                if token_id is not None and not 0 <= token_id < decoder.vocab_size:
                    most = decoder.vocab_size - 1
                    raise ValueError(
                        f"`{name}` must lie between 0 and vocab_size - 1 = {most} of `decoder`, got {value!r}."
                    )

    def _validate_heads(self):
        heads = self.num_attention_heads
        for name, size in (("`attention_size`", self.query_size), ("size of what `encoder` gives", self.source_size)):
            if size % heads:
                raise ValueError(
                    f"`num_attention_heads={heads!r}` must divide the {name}, {size}, of which each has a part. "
                    "Change one of the two."
                )

    def _validate_sharing(self):
        if not self.share_encoder_decoder_embeddings:
            return
        sizes = [
            (getattr(each, "vocab_size", None), getattr(each, "input_size", None))
            for each in (self.encoder, self.decoder)
        ]
        if not self.has_recurrent_encoder or sizes[0] != sizes[1]:
            raise ValueError(
                "`share_encoder_decoder_embeddings=True` needs a recurrent `encoder` with the vocabulary and the "
                f"embedding size of `decoder`, got (vocab_size, embedding_size) of {sizes[0]} and {sizes[1]}. Train "
                "one tokenizer on both languages, and set `embedding_size` alike."
            )
        if not self.decoder.tie_word_embeddings:
            raise ValueError(
                "`share_encoder_decoder_embeddings=True` makes one embedding of three, but `decoder` has "
                "`tie_word_embeddings=False`. Leave one of the two out."
            )
        if not self.train_encoder:
            raise ValueError(
                "`share_encoder_decoder_embeddings=True` with `train_encoder=False` freezes the decoder's embedding, "
                "too. Leave one of the two out."
            )


__all__ = ["RecurrentEncoderDecoderConfig"]

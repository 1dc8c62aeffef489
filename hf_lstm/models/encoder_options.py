# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The fields of a pretrained encoder of transformers that a text model reads beside, or in place of, its words."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from .configuration_stack import RecurrentStackConfig


# What a file says of a part and what is not of its shape.
_NOT_OF_A_PART = ("_name_or_path", "auto_map", "dtype", "transformers_version")


def config_of(
    given: PreTrainedConfig | dict, name: str, families: dict[str, type[PreTrainedConfig]] | None = None
) -> PreTrainedConfig:
    """
    The configuration of a part, given as one or as what a file says of it.

    Args:
        given (`PreTrainedConfig` or `dict`): The configuration.
        name (`str`): The field that has it, to be named in errors.
        families (`dict`, *optional*): Classes of configurations by `model_type`, before those of transformers.

    Raises:
        `ValueError`: If it is neither, or of no kind that is known.
    """
    if isinstance(given, PreTrainedConfig):
        return given
    kind = given.get("model_type") if isinstance(given, dict) else None
    if kind is None:
        raise ValueError(
            f"`{name}` must be a configuration, or a `dict` of one with its `model_type`, got {given!r:.60}. Use "
            "`LSTMConfig(...)`, or `AutoConfig.from_pretrained(...)`."
        )
    fields = {field: value for field, value in given.items() if field not in ("model_type", "transformers_version")}
    if kind in (families or ()):
        return families[kind].from_dict(fields)
    if kind not in CONFIG_MAPPING:
        raise ValueError(
            f"`model_type={kind!r}` of `{name}` is no kind of model that transformers knows. Give a configuration, "
            "such as `AutoConfig.from_pretrained(...)` returns."
        )
    return AutoConfig.for_model(kind, **fields)


def fields_of(part: PreTrainedConfig) -> dict[str, Any]:
    """What a file says of a part: where it differs from the defaults of its kind."""
    fields = part.to_diff_dict() | {"model_type": part.model_type}
    return {name: value for name, value in fields.items() if name not in _NOT_OF_A_PART}


@strict
class EncoderOptions(RecurrentStackConfig):
    r"""
    What a text model has that reads a pretrained encoder.

    Args:
        encoder ([`~transformers.PreTrainedConfig`] or `dict`, *optional*): The configuration of an encoder that
            `AutoModel` builds, such as BERT, whose `last_hidden_state` the first layer reads beside the embedding of
            each token. See [`PieceEncoder`].
        encoder_layers (`str`, defaults to `"last"`): `"last"` for the output of the encoder, `"mix"` for a learned
            mean of all its layers (Peters et al. 2018, equation 1).
        encoder_pooling (`str`, defaults to `"first"`): What a token is of several pieces: `"first"` or `"last"` of
            them, or their `"mean"`.
        encoder_dropout (`float`, defaults to 0.0): Dropout rate on what the encoder gives.
        encoder_max_length (`int`, *optional*): The most pieces that the encoder reads at once, those that stand
            around a text included. Longer texts are read in windows. `None` means as many as it has positions for.
        encoder_stride (`int`, *optional*): How many pieces two windows share. Each piece is taken from the window in
            which it has more around it. `None` means 128, or half of a window with room for no more.
        encoder_special_ids (`list` of two `list[int]`, *optional*): The ids that stand before and behind each text
            that the encoder reads: `tokenizer.encoder_special_ids`. `None` for none.
        train_encoder (`bool`, defaults to `True`): False for an encoder that is frozen and read without dropout.
    """

    encoder: PreTrainedConfig | dict | None = None
    encoder_layers: Literal["last", "mix"] = "last"
    encoder_pooling: Literal["first", "last", "mean"] = "first"
    encoder_dropout: float | int = 0.0
    encoder_max_length: int | None = None
    encoder_stride: int | None = None
    encoder_special_ids: list[list[int]] | None = None
    train_encoder: bool = True

    def __post_init__(self, **kwargs: Any):
        if self.encoder is not None:
            self.encoder = config_of(self.encoder, "encoder")
        super().__post_init__(**kwargs)

    @property
    def encoder_size(self) -> int:
        """Size of what the encoder tells of a token; 0 without one."""
        return 0 if self.encoder is None else self.encoder.hidden_size

    @property
    def encoder_window(self) -> int:
        """The most pieces that the encoder reads at once, without those that stand around a text."""
        longest = self.encoder_max_length or positions_of(self.encoder)
        return longest - sum(map(len, self.encoder_special_ids or ()))

    @property
    def encoder_overlap(self) -> int:
        """How many pieces two windows share."""
        if self.encoder_stride is not None:
            return self.encoder_stride
        return 128 if self.encoder_window > 128 else self.encoder_window // 2

    def to_dict(self) -> dict[str, Any]:
        """As in transformers; of the encoder, what differs from its defaults."""
        fields = super().to_dict()
        if self.encoder is not None:
            fields["encoder"] = fields_of(self.encoder)
        return fields

    def validate_recurrent(self):
        """The rules of the stack, and those of the encoder."""
        super().validate_recurrent()
        if self.encoder is None:
            return
        self._probabilities("encoder_dropout")
        self._at_least(1, "encoder_max_length")
        self._at_least(0, "encoder_stride")
        kind = self.encoder.model_type
        if kind not in CONFIG_MAPPING:
            raise ValueError(
                f"`encoder` is of the kind {kind!r}, whose code is not in transformers, and would not travel in the "
                "folder of this model. Give an encoder of transformers."
            )
        missing = [name for name in ("hidden_size", "vocab_size") if getattr(self.encoder, name, None) is None]
        if self.encoder.is_encoder_decoder or missing:
            raise ValueError(
                f"`encoder` is of the kind {kind!r}, which is no encoder of text with a `hidden_size` and a "
                "`vocab_size`. Give the configuration of one, such as BERT."
            )
        around = self.encoder_special_ids
        if around is not None and len(around) != 2:
            raise ValueError(
                f"`encoder_special_ids` must be two lists, of the ids before and behind a text, got {around!r:.60}. "
                "Use `tokenizer.encoder_special_ids`."
            )
        if self.encoder_window <= self.encoder_overlap:
            raise ValueError(
                f"`encoder_stride={self.encoder_stride!r}` of windows with room for {self.encoder_window} pieces "
                "leaves nothing to read anew. Make it smaller, or `encoder_max_length` larger."
            )


def positions_of(encoder: PreTrainedConfig) -> int:
    """The most pieces that an encoder has positions for."""
    longest = max(getattr(encoder, "max_position_embeddings", None) or 0, 0) or 512  # XLNet: -1
    # RoBERTa and its kin count from the id behind padding.
    pad = encoder.pad_token_id or 0
    return longest - pad - 1 if 0 < pad < 9 else longest

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
An encoder of any kind and a recurrent decoder that attends to it, for translation and whatever else makes a text of
something. Dimensions as in `attention.py`; the equations are in `decoder.py`.
"""

import dataclasses
import inspect
import os
import re
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput
from transformers.utils import can_return_tuple, logging

from .cache import CACHE_NAME, WithCache, one_cache
from .configuration_encoder_decoder import RecurrentEncoderDecoderConfig
from .decoder import DecoderCache, DecoderOutput, RecurrentDecoder, Source
from .encoder_decoder_generation import EncoderDecoderGenerationMixin
from .family_model import FamilyModel
from .layers import RecurrentLayer, computes_as
from .losses import check_labels, divisor, linear_cross_entropy
from .output_layers import can_fuse, fused_loss, output_layer
from .padding import Padding
from .pretrained import RecurrentPreTrainedModel, refuse_unknown
from .text_inputs import TextInputs
from .tracing import is_exported


logger = logging.get_logger(f"transformers.{__name__}")


@dataclass
class RecurrentSeq2SeqLMOutput(WithCache, Seq2SeqLMOutput):
    """[`~transformers.modeling_outputs.Seq2SeqLMOutput`], whose state is read by either of its names."""


class RecurrentEncoder(FamilyModel):
    """The encoder where it is recurrent: a backbone of texts."""

    def forward(self, *args, output_attentions: bool | None = None, logits_to_keep: int | None = None, **kwargs):
        """As [`RecurrentModel.forward`]; of attention and logits, which it has none of, it says nothing."""
        return super().forward(*args, **kwargs)


class RecurrentEncoderDecoderForConditionalGeneration(RecurrentPreTrainedModel, EncoderDecoderGenerationMixin):
    r"""
    An encoder, recurrent or any that `AutoModel` builds, and a recurrent decoder with attention.

    Args:
        config ([`RecurrentEncoderDecoderConfig`]): Configuration.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, RecurrentEncoderDecoderConfig, RecurrentEncoderDecoderForConditionalGeneration

    >>> part = LSTMConfig(vocab_size=50, hidden_size=8, pad_token_id=0, bos_token_id=2, eos_token_id=3)
    >>> config = RecurrentEncoderDecoderConfig(encoder=part, decoder=part)
    >>> model = RecurrentEncoderDecoderForConditionalGeneration(config).eval()
    >>> source, labels = torch.tensor([[5, 6, 7, 3]]), torch.tensor([[8, 9, 3]])
    >>> model(source, labels=labels).logits.shape
    torch.Size([1, 3, 50])
    >>> model.generate(source, num_beams=3, max_new_tokens=4, min_new_tokens=4).shape
    torch.Size([1, 5])
    ```
    """

    config: RecurrentEncoderDecoderConfig
    _auto_class = "AutoModelForSeq2SeqLM"
    _no_split_modules = ["LSTMLayer", "GRULayer", "RNNLayer"]
    pipeline_task = "translation"
    metric = "bleu"
    carries_state = True
    accepts_loss_kwargs = True

    def __init__(self, config: RecurrentEncoderDecoderConfig):
        super().__init__(config)
        config = self.config
        self.loss_type = "ForConditionalGeneration"
        if config.has_recurrent_encoder:
            self.encoder = RecurrentEncoder(config.encoder.for_head("the encoder of a RecurrentEncoderDecoder", None))
        else:
            self.encoder = AutoModel.from_config(config.encoder, dtype=torch.get_default_dtype())
        self.decoder = RecurrentDecoder(config)
        config.encoder, config.decoder = self.encoder.config, self.decoder.config
        self.lm_head = output_layer(config.decoder)
        self._tied_weights_keys = {"lm_head.weight": "decoder.embed_tokens.weight"}
        if config.share_encoder_decoder_embeddings:
            self._tied_weights_keys |= {"encoder.embed_tokens.weight": "decoder.embed_tokens.weight"}
        self.main_input_name = self.encoder.main_input_name  # `pixel_values` of an encoder of images
        self._encoder_takes = set(inspect.signature(self.encoder.forward).parameters)
        if "decoder_input_ids" in self._encoder_takes:
            raise ValueError(
                f"`encoder` is of the kind {config.encoder.model_type!r}, which `AutoModel` builds with a decoder of "
                "its own. Give the configuration of an encoder alone."
            )
        self.post_init()
        self.train()

    @classmethod
    def family(cls) -> type[PreTrainedModel]:
        return RecurrentEncoderDecoderForConditionalGeneration

    def _init_weights(self, module: nn.Module) -> None:
        if module is self.lm_head:
            PreTrainedModel._init_weights(self, module)
        else:
            super()._init_weights(module)

    def check_configuration(self) -> None:
        super().check_configuration()
        for part in (self.encoder, self.decoder):
            if hasattr(part, "check_configuration"):
                part.check_configuration()

    def train(self, mode: bool = True):
        """As in torch; an encoder that is not trained is frozen, and read without dropout."""
        super().train(mode)
        if not self.config.train_encoder:
            self.encoder.eval().requires_grad_(False)  # here, since `from_pretrained` makes parameters anew
        return self

    @classmethod
    def from_encoder_decoder_pretrained(
        cls, encoder: str | os.PathLike, decoder: str | os.PathLike | PreTrainedConfig, **kwargs: Any
    ) -> "RecurrentEncoderDecoderForConditionalGeneration":
        """
        A model whose encoder is pretrained, after [`~transformers.EncoderDecoderModel`]. What joins the two begins at
        random and is to be trained.

        Args:
            encoder (`str`): Folder or name on the Hub of a model that `AutoModel` loads.
            decoder (`str` or [`LSTMConfig`], [`GRUConfig`], [`RNNConfig`]): The configuration of a decoder that begins
                at random; or the folder of a language model of ours, whose embeddings, first layer and output layer
                it begins with.
            kwargs: Fields of [`RecurrentEncoderDecoderConfig`]; arguments of `from_pretrained` for the encoder or the
                decoder with `encoder_` or `decoder_` in front.

        Raises:
            `ValueError`: For a decoder that is not recurrent, or fields that do not fit.

        Example:

        ```python
        >>> from hf_lstm import LSTMConfig, LSTMModel, RecurrentEncoderDecoderForConditionalGeneration

        >>> LSTMModel(LSTMConfig(vocab_size=50, hidden_size=8, bidirectional=True)).save_pretrained("./runs/encoder")
        >>> decoder = LSTMConfig(vocab_size=40, hidden_size=8, pad_token_id=0, bos_token_id=2, eos_token_id=3)
        >>> build = RecurrentEncoderDecoderForConditionalGeneration.from_encoder_decoder_pretrained
        >>> model = build("./runs/encoder", decoder, attention="general")
        ```
        """
        parts = {"encoder_": {}, "decoder_": {}}
        own = {field.name for field in dataclasses.fields(RecurrentEncoderDecoderConfig)}
        for name in [name for name in kwargs if name not in own]:
            if prefix := next((each for each in parts if name.startswith(each)), None):
                parts[prefix][name.removeprefix(prefix)] = kwargs.pop(name)
        read = AutoModel.from_pretrained(encoder, **parts["encoder_"])
        language_model = None
        if isinstance(decoder, (str, os.PathLike)):
            language_model = AutoModelForCausalLM.from_pretrained(decoder, **parts["decoder_"])
            decoder = language_model.config
        model = cls(RecurrentEncoderDecoderConfig(encoder=read.config, decoder=decoder, **kwargs))
        model.encoder.load_state_dict(read.state_dict())
        if language_model is not None:
            model._begin_with(language_model)
        return model

    def _begin_with(self, language_model: PreTrainedModel) -> None:
        """Copy what fits of a language model into the decoder."""
        given = {f"decoder.{name}": tensor for name, tensor in language_model.base_model.state_dict().items()}
        given |= {name: tensor for name, tensor in language_model.state_dict().items() if name.startswith("lm_head.")}
        own = self.state_dict()
        fitting = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
        self.load_state_dict(fitting, strict=False)
        if left := sorted(given.keys() - fitting.keys()):
            logger.warning(f"These weights of the language model do not fit the decoder, and are left out: {left}.")

    def get_encoder(self, *args, **kwargs) -> nn.Module:
        """As in transformers."""
        return self.encoder

    def get_decoder(self) -> RecurrentDecoder:
        """As in transformers."""
        return self.decoder

    def get_input_embeddings(self) -> nn.Module | None:
        """The embedding of the source."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, embeddings: nn.Module) -> None:
        """As in transformers."""
        self.encoder.set_input_embeddings(embeddings)
        if self.config.share_encoder_decoder_embeddings:
            self.decoder.set_input_embeddings(embeddings)

    def get_output_embeddings(self) -> nn.Module:
        """The output layer."""
        return self.lm_head

    def set_output_embeddings(self, layer: nn.Module) -> None:
        """As in transformers."""
        self.lm_head = layer

    def prepare_decoder_input_ids_from_labels(self, labels: torch.LongTensor) -> torch.LongTensor:
        """
        What the decoder reads to predict `labels`, (B, T): at each label the one before it, at the first
        `decoder_start_token_id`, and the padding token where there is none (-100).
        """
        return self._read_before(labels)[0]

    def _read_before(self, labels: torch.LongTensor) -> tuple[torch.LongTensor, torch.Tensor]:
        """The tokens before labels, wherever these stand, and their mask."""
        start, pad = self.config.decoder_start_token_id, self.config.pad_token_id
        if start is None:
            raise ValueError(
                "`decoder_start_token_id` of the configuration is None: nothing says what a target begins with. Set "
                "it, or `bos_token_id`, or give `decoder_input_ids`."
            )
        padding = Padding(labels != -100)
        first = padding.pack(labels).roll(1, dims=1)
        first[:, :1] = start
        ids = padding.unpack(first).masked_fill(~padding.mask, start if pad is None else pad)
        return ids, padding.mask

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | tuple | None = None,
        cache: DecoderCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        num_items_in_batch: int | torch.Tensor | None = None,
        output_logits: bool | None = None,
        past_key_values: DecoderCache | None = None,
        pixel_values: torch.Tensor | None = None,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        char_ids: torch.LongTensor | None = None,
        shape_ids: torch.LongTensor | None = None,
        **kwargs: Any,
    ) -> RecurrentSeq2SeqLMOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(N, S)`), attention_mask, inputs_embeds, pixel_values,
                input_values, input_features, token_type_ids, char_ids, shape_ids, kwargs: What the encoder reads;
                Trainer drops columns of a data set by any other name than these. The mask may have its zeros anywhere;
                of an encoder of speech that shortens its input it is that of the input.
            decoder_input_ids (`torch.LongTensor` of shape `(B, T)`, *optional*), decoder_inputs_embeds: What the
                decoder reads, which begins with `decoder_start_token_id`. B is N or a multiple of it: rows that follow
                each other share a source. Made of `labels` if absent.
            decoder_attention_mask (`torch.Tensor` of shape `(B, T)`, *optional*): 0 at padding, anywhere. If absent,
                padding tokens are told by their id.
            encoder_outputs (`tuple` or [`~transformers.modeling_outputs.BaseModelOutput`], *optional*): What the
                encoder gave, in place of its inputs, with the `attention_mask` of these.
            cache ([`DecoderCache`], *optional*), use_cache: As in [`RecurrentModel.forward`].
            labels (`torch.LongTensor` of shape `(B, T)`, *optional*): The target without its first token, -100 where
                there is none, anywhere.
            output_attentions (`bool`, *optional*): Return `cross_attentions`, one tensor of shape `(B, K, T, S)` in a
                tuple: what the decoder looked at.
            output_hidden_states (`bool`, *optional*): Return those of encoder and decoder.
            logits_to_keep, num_items_in_batch, output_logits: As in [`RecurrentForCausalLM.forward`].

        Returns:
            [`RecurrentSeq2SeqLMOutput`]: `loss` (in nats; with label smoothing in training), `logits` of shape
            `(B, T, V)`, `cache`, `decoder_hidden_states`, `cross_attentions`, `encoder_last_hidden_state`,
            `encoder_hidden_states`, `encoder_attentions`.

        Raises:
            `ValueError`: For inputs, masks, labels or a cache that do not fit the model or each other.
        """
        output_hidden_states = self._or_config(output_hidden_states, "output_hidden_states")
        output_attentions = self._or_config(output_attentions, "output_attentions")
        read = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        if encoder_outputs is None:
            inputs = {"input_ids": input_ids, "inputs_embeds": inputs_embeds, "attention_mask": attention_mask}
            inputs |= {"pixel_values": pixel_values, "input_values": input_values, "input_features": input_features}
            inputs |= {"token_type_ids": token_type_ids, "char_ids": char_ids, "shape_ids": shape_ids}
            encoder_outputs = self._encode(inputs | read | kwargs)
        else:
            refuse_unknown(kwargs)
            if not isinstance(encoder_outputs, dict):
                encoder_outputs = BaseModelOutput(*encoder_outputs)
        source = self._source(encoder_outputs, attention_mask)
        if labels is not None:
            check_labels(labels, self.config.decoder.vocab_size, "labels", "vocab_size")
            if labels.ndim != 2:
                raise ValueError(f"`labels` has shape {tuple(labels.shape)}, expected (batch, length).")
        cache = one_cache(cache, past_key_values)
        use_cache = self._keeps_state(cache, use_cache)
        text = TextInputs(decoder_input_ids, decoder_attention_mask, inputs_embeds=decoder_inputs_embeds)
        decoded = self._read_target(self._target(text, labels, cache, use_cache), source, cache, use_cache)
        if output_logits is None:
            output_logits = not (labels is not None and self.training)
        readout, logits, loss = decoded.readout, None, None
        if isinstance(logits_to_keep, torch.Tensor) or logits_to_keep:
            whole = isinstance(logits_to_keep, int)
            readout = readout[:, -logits_to_keep:] if whole else readout[:, logits_to_keep]
        if output_logits or (labels is not None and not can_fuse(self.lm_head)):
            logits = self.lm_head(readout)
        if labels is not None:
            loss = self._loss(readout, logits, labels, num_items_in_batch)
        return RecurrentSeq2SeqLMOutput(
            loss=loss,
            logits=logits if output_logits else None,
            decoder_hidden_states=decoded.hidden_states if output_hidden_states else None,
            decoder_attentions=() if output_attentions else None,  # it has none to itself
            cross_attentions=(decoded.weights,) if output_attentions else None,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.get("hidden_states"),
            encoder_attentions=encoder_outputs.get("attentions"),
            **{CACHE_NAME: decoded.cache},
        )

    def _or_config(self, value: bool | None, name: str) -> bool:
        return bool(getattr(self.config, name, False) if value is None else value)

    def _encode(self, inputs: dict[str, Any]) -> BaseModelOutput:
        """The outputs of the encoder for those of the inputs that are given."""
        own = self.config.has_recurrent_encoder
        named = {name: value for name, value in inputs.items() if value is not None}
        if not own:
            self.check_source(named)
        if not own and "attention_mask" not in self._encoder_takes:
            named.pop("attention_mask", None)  # it is of what the encoder gives
        if not own and "kwargs" not in self._encoder_takes:
            refuse_unknown({name: named.pop(name) for name in [*named] if name not in self._encoder_takes})
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.train_encoder):
            return self.encoder(**named, **({"use_cache": False} if own else {}), return_dict=True)

    def check_source(self, given: dict[str, Any]) -> None:
        """
        Refuse inputs, by name, of which none is what the encoder reads.

        Raises:
            `ValueError`: If there is none.
        """
        name = self.main_input_name
        if given.get(name) is None and given.get("inputs_embeds") is None:
            others = [f"`{other}`" for other, value in given.items() if isinstance(value, torch.Tensor)]
            raise ValueError(
                f"`{name}` is missing{', got ' * bool(others)}{', '.join(others)}: it is what the encoder reads. Give "
                "it, or `encoder_outputs`."
            )

    def _source(self, outputs: BaseModelOutput, attention_mask: torch.Tensor | None) -> Source:
        """What the encoder gave, and which of it is real."""
        features = outputs.last_hidden_state
        if features.ndim != 3 or features.shape[2] != self.config.source_size:
            raise ValueError(
                f"`encoder_outputs` has features of shape {tuple(features.shape)}, expected (batch, length, "
                f"{self.config.source_size}). Pass what `model.get_encoder()` gives."
            )
        rows, length = features.shape[:2]
        if attention_mask is not None and attention_mask.shape[1] != length:
            if not hasattr(self.encoder, "_get_feature_vector_attention_mask"):
                raise ValueError(
                    f"`attention_mask` covers {attention_mask.shape[1]} positions, but the encoder gave {length} "
                    "features. Pass the mask of the source; for an encoder that shortens it, `encoder_outputs` and "
                    "the mask of these."
                )
            attention_mask = self.encoder._get_feature_vector_attention_mask(length, attention_mask)
        return Source(features, self._padding(attention_mask, rows, length, 0))

    def _keeps_state(self, cache: DecoderCache | None, use_cache: bool | None) -> bool:
        """Whether the state after the target is returned."""
        if use_cache is None and cache is None:
            wanted = getattr(self.config, "use_cache", True)  # where Trainer says that it is not
            return bool(wanted and self.config.decoder.use_cache and not self.training)
        return use_cache is not False

    def _target(
        self, text: TextInputs, labels: torch.Tensor | None, cache: DecoderCache | None, keeps_state: bool
    ) -> TextInputs:
        """What the decoder reads, made of labels where nothing is given, with a mask where that says anything."""
        ids, mask = text.input_ids, text.attention_mask
        if ids is None and text.inputs_embeds is None:
            if labels is None:
                raise ValueError(
                    "`decoder_input_ids` is missing, and there are no `labels` to make it of. Give one of the two. "
                    "Where Trainer takes the labels away, for `label_smoothing_factor`, the collator makes it: "
                    "`DataCollatorForSeq2Seq(tokenizer, model=model)`."
                )
            ids, mask = self._read_before(labels)
        elif mask is None and cache is None and ids is not None and not is_exported():
            mask = self.mask_of(ids)
        if mask is text.attention_mask:
            return text
        # At the end of a target padding changes the state after it, and nothing else.
        return TextInputs(ids, mask if keeps_state or not Padding(mask).is_front else None)

    def mask_of(self, decoder_input_ids: torch.LongTensor) -> torch.Tensor | None:
        """The mask of a target, (B, T), by the id of padding; None where that tells nothing."""
        pad = self.config.pad_token_id
        return None if pad in (None, self.config.decoder_start_token_id) else decoder_input_ids != pad

    def _read_target(self, text: TextInputs, *args) -> DecoderOutput:
        """What the decoder makes of a target; errors call its inputs what a user calls them."""
        try:
            return self.decoder(text, *args)
        except ValueError as error:
            message = re.sub(r"`(input_ids|inputs_embeds|attention_mask)`", r"`decoder_\1`", str(error))
            raise ValueError(message) from error

    def _loss(self, readout, logits, labels, num_items_in_batch) -> torch.Tensor:
        """Cross-entropy of the labels, in nats."""
        if labels.shape != readout.shape[:2]:
            raise ValueError(
                f"`labels` has shape {tuple(labels.shape)}, expected {tuple(readout.shape[:2])}: a label for each "
                "position with logits. Leave `logits_to_keep` out when training."
            )
        smoothing = self.config.label_smoothing if self.training else 0.0
        if logits is None and smoothing:
            layer = self.lm_head
            return linear_cross_entropy(readout, layer.weight, layer.bias, labels, num_items_in_batch, smoothing)
        if logits is None:
            return fused_loss(self.lm_head, readout, labels, num_items_in_batch)
        num_items = (labels != -100).sum() if num_items_in_batch is None else num_items_in_batch
        precise = logits.flatten(0, 1).to(torch.promote_types(logits.dtype, torch.float32))
        total = F.cross_entropy(precise, labels.flatten(), reduction="sum", label_smoothing=smoothing)
        return total / divisor(num_items, logits)

    def _has_plain_steps(self) -> bool:
        layers = ((layer, RecurrentLayer) for layer in self.decoder.layers)
        own = (self, RecurrentEncoderDecoderForConditionalGeneration), (self.decoder, RecurrentDecoder)
        return not self.training and all(computes_as(module, home) for module, home in (*own, *layers))

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args, **kwargs) -> nn.Embedding:
        """As in transformers, of the source; of source and target where they share one vocabulary."""
        if self.config.share_encoder_decoder_embeddings:
            self._check_resizable(new_num_tokens)
            embeddings = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
            self.config.encoder.vocab_size = self.config.decoder.vocab_size = embeddings.num_embeddings
            return embeddings
        return self.encoder.resize_token_embeddings(new_num_tokens, *args, **kwargs)

    def _check_resizable(self, new_num_tokens: int | None) -> None:
        if self.config.decoder.output_layer != "softmax":
            raise ValueError(
                f"`new_num_tokens={new_num_tokens}`: an output layer of the kind {self.config.decoder.output_layer!r} "
                "cannot be resized here. Use `output_layer='softmax'`."
            )

    def resize_decoder_token_embeddings(self, new_num_tokens: int, *args, **kwargs) -> nn.Embedding:
        """
        The same for the target where it has a vocabulary of its own, and for the output layer.

        Raises:
            `ValueError`: If both share one.
        """
        if self.config.share_encoder_decoder_embeddings:
            raise ValueError(
                f"`new_num_tokens={new_num_tokens}` would part the vocabularies of source and target, which "
                "`share_encoder_decoder_embeddings=True` makes one. Use `resize_token_embeddings`."
            )
        self._check_resizable(new_num_tokens)
        embeddings = self.decoder.resize_token_embeddings(new_num_tokens, *args, **kwargs)
        if embeddings.num_embeddings != self.lm_head.out_features:
            self.lm_head = self._get_resized_lm_head(self.lm_head, embeddings.num_embeddings)
            self.tie_weights()
        self.config.decoder.vocab_size = embeddings.num_embeddings
        return embeddings


__all__ = ["RecurrentEncoderDecoderForConditionalGeneration"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What the models of all families share: the backbone, then the heads. Beneath it: the layer and the treatment of padding
in `layers.py`, the state between two calls in `cache.py`, the loss in `losses.py`; the
equations of a family in `modeling_lstm.py`, `modeling_gru.py`, `modeling_rnn.py`.

Dimensions, the same everywhere: B batch, T time steps, E embedding, H hidden units, P output units of one direction
(H, or the projection of an LSTM), D directions, G gates, L layers, V vocabulary. Everything is batch-first, states
included.
"""

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from inspect import unwrap
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import can_return_tuple

from .cache import (
    CACHE_NAME,
    CACHE_NAMES,
    RecurrentCache,
    State,
    WithCache,
    check_cache_kind,
    one_cache,
)
from .configuration_recurrent import RecurrentConfig
from .context import ContextEncoder
from .crf import LinearChainCRF
from .generation import RecurrentGenerationMixin
from .layers import (
    Documents,
    Padding,
    RecurrentLayer,
    SequenceDropout,
    bare_layer,
    dropped_types,
    is_exported,
    next_labels,
    refuse_adapter,
    run_layer,
)
from .output_layers import AdaptiveSoftmax, ClusteredOutput, can_fuse, default_cutoffs, fused_loss, output_layer
from .saving import SavingMixin
from .text_inputs import CharacterEncoder, replace_at_random


class RecurrentPreTrainedModel(SavingMixin, PreTrainedModel):
    """Loading, saving, initialisation and input checks, for every recurrent model."""

    config: RecurrentConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = [*CACHE_NAMES]
    bidirectional_by_default = False
    layer_class: type[RecurrentLayer]

    def __init__(self, config: RecurrentConfig):
        config.validate_recurrent()  # once more: `from_pretrained(..., field=value)` sets fields after the first check
        if config.bidirectional is None:
            config = copy.deepcopy(config)  # for another head of the same configuration
            config.bidirectional = self.bidirectional_by_default
        super().__init__(config)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, RecurrentLayer):
            module.init_weights(self.config)
        elif isinstance(module, LinearChainCRF):
            module.init_weights()
        elif isinstance(module, (nn.Linear, nn.Conv1d)) and module is not getattr(self, "lm_head", None):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def save_pretrained(self, *args, **kwargs):
        """As in transformers; the folder carries the code of the class and names all Auto classes of its family."""
        family = self.layer_class
        module = family.__module__.rsplit(".", 1)[-1]  # "modeling_lstm"
        prefix = family.__name__.removesuffix("Layer")  # "LSTM"
        own = type(self)
        sharded = own.__bases__[0].__name__ == "FSDPModule"
        if sharded:  # with the class that FSDP2 made of ours, torch's files would travel
            own = own.__bases__[1]
        # Transformers adds the configuration and the saved class. A subclass travels with the file that defines it, in
        # which the other heads are not.
        at_home = own.__module__ == family.__module__ != "__main__"
        known = vars(sys.modules[family.__module__]) if at_home else {}
        heads = {auto: prefix + head for auto, head in AUTO_CLASSES.items() if prefix + head in known}
        self.config.auto_map = {auto: f"{module}.{name}" for auto, name in heads.items()}
        weights = kwargs.get("state_dict")
        if sharded and weights:  # tied ones were gathered twice
            kwargs["state_dict"] = weights | {a: weights[b] for a, b in self.all_tied_weights_keys.items()}
        present, self.__class__ = type(self), own
        try:
            return super().save_pretrained(*args, **kwargs)
        finally:
            self.__class__ = present

    def _padding(self, attention_mask: torch.Tensor | None, batch_size: int, length: int, past: int) -> Padding | None:
        """The padding of the current positions; None if every one is real."""
        if attention_mask is None:
            return None
        if attention_mask.is_floating_point() or attention_mask.is_complex():
            raise ValueError(
                "`attention_mask` must be boolean or integer, 1 at real tokens and 0 at padding, got "
                f"{attention_mask.dtype}. Pass `attention_mask.long()` if it holds zeros and ones."
            )
        # With a cache, `generate` passes the mask of all tokens so far.
        if attention_mask.shape not in ((batch_size, length), (batch_size, past + length)):
            raise ValueError(
                f"`attention_mask` has shape {tuple(attention_mask.shape)}, expected {(batch_size, length)}"
                + (f" or, with the {past} tokens of the cache, {(batch_size, past + length)}." if past else ".")
            )
        mask = attention_mask[:, -length:] != 0
        return None if not is_exported() and mask.all() else Padding(mask)


@dataclass
class RecurrentModelOutput(WithCache, BaseModelOutputWithPast):
    """
    As [`~transformers.modeling_outputs.BaseModelOutputWithPast`], and one field more.

    Args:
        raw_hidden_state (`torch.Tensor` of shape `(B, T, D * P)`, with `output_raw=True`): `last_hidden_state` before
            its dropout.
    """

    raw_hidden_state: torch.Tensor | None = None


class RecurrentModel(RecurrentPreTrainedModel):
    """Embedding and a stack of recurrent layers, without a head."""

    _auto_class = "AutoModel"

    def __init__(self, config: RecurrentConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.input_size, padding_idx=config.pad_token_id)
        self.char_encoder = CharacterEncoder(config, self.layer_class) if config.char_vocab_size else None
        self.embed_shapes = None
        if config.shape_vocab_size:
            self.embed_shapes = nn.Embedding(config.shape_vocab_size, config.shape_embedding_size, padding_idx=0)
        self.context_encoder = ContextEncoder(config, type(self)) if config.context_models else None
        self.input_dropout = SequenceDropout(config.input_dropout, config.variational_dropout)
        self.hidden_dropout = SequenceDropout(config.hidden_dropout, config.variational_dropout)
        self.output_dropout = SequenceDropout(config.output_dropout, config.variational_dropout)
        configs = [config.of_layer(i) for i in range(config.num_hidden_layers)]
        sizes = [config.feature_size, *(each.output_size for each in configs)]
        self.layers = nn.ModuleList(map(self.layer_class, configs, sizes))
        norms = sizes[1:] if config.layer_norm else []
        self.norms = nn.ModuleList(nn.LayerNorm(size, eps=config.layer_norm_eps) for size in norms)
        self.residual_connections = config.residual_connections  # reading a configuration takes microseconds
        self.gradient_checkpointing = False
        self.post_init()

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: RecurrentCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        char_ids: torch.LongTensor | None = None,
        shape_ids: torch.LongTensor | None = None,
        context_ids: torch.LongTensor | None = None,
        context_spans: torch.LongTensor | None = None,
        output_raw: bool = False,
        position_ids: torch.LongTensor | None = None,
        past_key_values: RecurrentCache | None = None,
        **kwargs: Any,
    ) -> RecurrentModelOutput | tuple:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(B, T)`): Token ids, smaller than `config.vocab_size`.
            attention_mask (`torch.Tensor` of shape `(B, T)`, boolean or integer, *optional*): 0 at padding, which may
                stand anywhere and changes nothing else. With `cache` the mask of all tokens so far is
                understood too.
            cache ([`RecurrentCache`], *optional*): The state to continue from; it is advanced. `past_key_values`
                is another name for it.
            inputs_embeds (`torch.Tensor` of shape `(B, T, E)`): Embeddings, in place of `input_ids`.
            use_cache (`bool`, *optional*): Return the final state. Defaults to `config.use_cache`, and to False in
                training and in two directions, where nothing can continue from it.
            output_hidden_states (`bool`, *optional*): Return the embeddings and the output of each layer.
            return_dict (`bool`, *optional*): False for a tuple of what is not None. Defaults to `config.return_dict`.
            char_ids (`torch.LongTensor` of shape `(B, T, C)`): The characters of each token, 0 behind the last one;
                for a model with `char_vocab_size`.
            shape_ids (`torch.LongTensor` of shape `(B, T)`): The shape of each token; for a model with
                `shape_vocab_size`.
            context_ids (`torch.LongTensor` of shape `(B, C)`): The characters of the whole text, 0 at padding; for a
                model with `context_models`.
            context_spans (`torch.LongTensor` of shape `(B, T, 2)`): The places of the first and the last character of
                each token in `context_ids`, counted from the first that is no padding; 0 for a token without any.
            output_raw (`bool`, defaults to `False`): Return the output of the last layer before its dropout, too.
            position_ids (`torch.LongTensor` of shape `(B, T)`, *optional*): Where they begin anew within a row, as
                those of packed batches do, a text of its own begins, which is read as though it were alone. They have
                no other meaning.

        Returns:
            [`RecurrentModelOutput`]: `last_hidden_state` of shape `(B, T, D * P)`, zero at padding; `cache`
            ([`RecurrentCache`]); `hidden_states`, L + 1 tensors, the first of shape `(B, T, E)`, E with the features
            of characters and shapes; `raw_hidden_state`.

        Raises:
            ValueError: for inputs, a mask or a cache that do not fit the model or each other.
        """
        refuse_unknown(kwargs, position_ids)
        hidden_states = self._embed(input_ids, inputs_embeds)
        hidden_states = self._with_word_features(hidden_states, char_ids, shape_ids, context_ids, context_spans)
        batch_size, length = hidden_states.shape[:2]
        given_cache = one_cache(cache, past_key_values)
        cache = self._cache(given_cache, use_cache, batch_size)
        padding = self._padding(attention_mask, batch_size, length, cache.get_seq_length() if cache is not None else 0)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if padding is not None and (inputs_embeds is not None or output_hidden_states):
            hidden_states = padding.clear(hidden_states)  # given embeddings may hold anything at padding, even NaN
        documents = None
        if position_ids is not None:
            documents = self._documents(position_ids, (batch_size, length), padding, given_cache, use_cache)
        if documents is not None:
            hidden_states, padding, cache = documents.split(hidden_states), documents.padding, None
        hidden_states = self.input_dropout(hidden_states)

        all_hidden_states = [hidden_states]
        for i, layer in enumerate(self.layers):
            inputs = self.hidden_dropout(hidden_states) if i else hidden_states
            state = cache.layers[i].states if cache is not None else None
            record = cache is not None and cache.layers[i].record_past
            outputs, state, steps = run_layer(layer, inputs, state, padding, cache is not None, record)
            if cache is not None:
                cache.update(state, i, length, steps)
            hidden_states = self._finish_layer(i, outputs, hidden_states, padding)
            all_hidden_states.append(hidden_states)
        raw = hidden_states if output_raw else None
        hidden_states = all_hidden_states[-1] = self.output_dropout(hidden_states)
        if documents is not None:
            all_hidden_states = list(
                map(documents.join, all_hidden_states if output_hidden_states else [hidden_states])
            )
            hidden_states, raw = all_hidden_states[-1], None if raw is None else documents.join(raw)
        cache = cache if use_cache is not False else None
        all_hidden_states = tuple(all_hidden_states) if output_hidden_states else None
        if return_dict is None:
            return_dict = self.config.return_dict
        if not return_dict:
            return tuple(each for each in (hidden_states, cache, all_hidden_states, raw) if each is not None)
        return RecurrentModelOutput(hidden_states, cache, all_hidden_states, raw_hidden_state=raw)

    def _finish_layer(
        self, i: int, outputs: torch.Tensor, inputs: torch.Tensor, padding: Padding | None
    ) -> torch.Tensor:
        """What follows the recurrence of layer i: residual connection, normalisation, zeros at padding."""
        if self.residual_connections and i:
            outputs = outputs + inputs
        if self.norms:
            outputs = self.norms[i](outputs)
            outputs = outputs if padding is None else padding.clear(outputs)
        return outputs

    @property
    def _table(self) -> nn.Embedding:
        """The input embedding, within an adapter of peft that hides its sizes."""
        return getattr(self.embed_tokens, "base_layer", self.embed_tokens)

    def _embed(self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> torch.Tensor:
        """Check the inputs and embed them: (B, T) -> (B, T, E)."""
        if (input_ids is None) == (inputs_embeds is None):
            given = "neither" if input_ids is None else "both"
            raise ValueError(f"Pass exactly one of `input_ids` and `inputs_embeds`, got {given}.")
        name, inputs = ("input_ids", input_ids) if inputs_embeds is None else ("inputs_embeds", inputs_embeds)
        sizes = () if inputs_embeds is None else (self._table.embedding_dim,)
        if inputs.ndim != 2 + len(sizes) or inputs.shape[2:] != sizes or 0 in inputs.shape:
            expected = ", ".join(["(batch", "length", *map(str, sizes)]) + ")"
            raise ValueError(f"`{name}` has shape {tuple(inputs.shape)}, expected {expected} with at least one token.")
        if inputs.is_floating_point() == (inputs_embeds is None):
            kind = "whole numbers (`torch.long`)" if inputs_embeds is None else "floating-point numbers"
            raise ValueError(f"`{name}` must hold {kind}, got {inputs.dtype}.")
        if inputs_embeds is not None:
            return inputs_embeds
        if self.training and (rate := self.config.word_dropout):
            input_ids = replace_at_random(input_ids, self.config.unk_token_id, rate)
        try:
            embeddings = self.embed_tokens(input_ids)
        except IndexError:  # asked for afterwards, since looking at every id costs as much as a small layer
            raise ValueError(
                f"`input_ids` holds ids from {input_ids.min()} to {input_ids.max()}, but `vocab_size` is "
                f"{self._table.num_embeddings}. Use the model's own tokenizer, or `resize_token_embeddings`."
            ) from None
        if self.training and (rate := self.config.embedding_dropout):
            vocab_size = self._table.num_embeddings
            embeddings = embeddings * dropped_types(input_ids, vocab_size, rate, embeddings.dtype)
        return embeddings

    def _with_word_features(self, embeddings, char_ids, shape_ids, context_ids, context_spans) -> torch.Tensor:
        """Append what else the model reads of the tokens and their context: (B, T, E) -> (B, T, feature_size)."""
        features = [embeddings]
        for name, ids, size, encoder in (
            ("char", char_ids, "(batch, length, characters)", self.char_encoder),
            ("shape", shape_ids, "(batch, length)", self.embed_shapes),
        ):
            if (ids is None) != (encoder is None):
                state = "are missing" if ids is None else "were given"
                raise ValueError(
                    f"`{name}_ids` {state}, but `{name}_vocab_size` is {getattr(self.config, f'{name}_vocab_size')}. "
                    "Build model and tokenizer with the same options: `LSTMTokenizer.train_from_iterator` has "
                    "`characters` and `word_shapes`, which it keeps."
                )
            if encoder is None:
                continue
            if ids.ndim != size.count(",") + 1 or ids.shape[:2] != embeddings.shape[:2] or ids.is_floating_point():
                raise ValueError(
                    f"`{name}_ids` has shape {tuple(ids.shape)} and type {ids.dtype}, expected whole numbers of shape "
                    f"{size} with batch and length {tuple(embeddings.shape[:2])}."
                )
            try:
                features.append(encoder(ids))
            except IndexError:
                raise ValueError(
                    f"`{name}_ids` holds ids from {ids.min()} to {ids.max()}, but `{name}_vocab_size` is "
                    f"{getattr(self.config, f'{name}_vocab_size')}. Use the model's own tokenizer."
                ) from None
        if self.context_encoder is not None:
            features.append(self.context_encoder(context_ids, context_spans, embeddings.shape[:2]))
        elif context_ids is not None:
            raise ValueError("`context_ids` were given, but the model has no `context_models`. Leave them out.")
        return torch.cat(features, dim=-1) if len(features) > 1 else embeddings

    def _documents(self, position_ids, shape, padding, cache, use_cache) -> Documents | None:
        """The documents of packed rows; None if there is one a row."""
        documents = Documents(position_ids, shape, padding)
        if not documents.are_packed:
            return None
        for name, value in (("cache", cache), ("use_cache", use_cache or None)):
            if value is not None:
                raise ValueError(
                    f"`position_ids` begin anew within a row, so several texts are packed into it, and `{name}` would "
                    "be the state of one. Leave it out, or give each text a row of its own."
                )
        return documents

    def _cache(self, cache: RecurrentCache | None, use_cache: bool | None, batch_size: int) -> RecurrentCache | None:
        """The cache to continue from and to advance; a new one if the final state is wanted; else None."""
        if cache is None:
            by_default = self.config.use_cache and not self.training and not self.config.bidirectional
            wanted = by_default if use_cache is None else use_cache
            return RecurrentCache(self.config) if wanted else None
        self._check_cache(cache, batch_size)
        return cache if use_cache is not False else cache.copy()

    def _check_cache(self, cache: Any, batch_size: int) -> None:
        """Refuse a cache of another kind, model or batch size."""
        check_cache_kind(cache)
        layers, model_type = [bare_layer(layer) for layer in self.layers], self.config.model_type
        directions = layers[0].num_directions
        if directions == 2 and cache.get_seq_length():
            raise ValueError(
                "`cache` cannot continue a bidirectional model, whose backward direction starts at the end. "
                "Pass the whole sequence at once."
            )
        expected = [[(batch_size, directions, size) for size in layer.state_sizes] for layer in layers]
        found = [[tuple(state.shape) for state in layer.states or ()] for layer in cache.layers]
        wrong = [pair for pair in zip(found, expected, strict=False) if pair[0] and pair[0] != pair[1]]
        if (cache.model_type, len(found)) != (model_type, len(self.layers)) or wrong:
            shapes, needed = wrong[0] if wrong else (next(filter(None, found), None), expected[0])
            raise ValueError(
                f"`cache` is the state of a {cache.model_type!r} model with {len(found)} layers and states "
                f"of shape {shapes}, but this {model_type!r} model has "
                f"{len(self.layers)} layers and needs {needed} for a batch of {batch_size}. Pass the state of this "
                "model; `cache.batch_repeat_interleave(n)` repeats it for n beams or sequences."
            )

    def load_context_models(self, forward: RecurrentPreTrainedModel, backward: RecurrentPreTrainedModel) -> None:
        """
        Copy the weights of two language models of characters, with or without their heads, to where
        `config.context_models` has made room.

        Raises:
            ValueError: if there is no room, or a model has other sizes than its configuration there.
        """
        if self.context_encoder is None:
            raise ValueError("`context_models` is None in the configuration of this model: give it the two to come.")
        models = {"forward": forward, "backward": backward}
        for (name, model), own in zip(models.items(), self.context_encoder.models, strict=True):
            given = model.base_model.state_dict()
            shapes = {key: tuple(tensor.shape) for key, tensor in given.items()}
            if shapes != {key: tuple(tensor.shape) for key, tensor in own.state_dict().items()}:
                raise ValueError(f"`{name}` does not fit its configuration in `context_models`: {model.base_model}.")
            own.load_state_dict(given)

    def load_torch_weights(self, module: nn.RNNBase) -> None:
        """
        Copy the weights of a `torch.nn.LSTM`, `GRU` or `RNN` of the same sizes into the layers.

        Raises:
            ValueError: if the module is of another kind or size.
        """
        given = module.state_dict()
        for i, layer in enumerate(self.layers):
            wanted = {name: name.replace("_l0", f"_l{i}") for name in layer.state_dict()}
            shapes = {name: tuple(given[theirs].shape) for name, theirs in wanted.items() if theirs in given}
            if shapes != {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}:
                raise ValueError(
                    f"`module` {module} does not fit layer {i}, {layer}. Make the sizes and options equal."
                )
            layer.load_state_dict({name: given[theirs] for name, theirs in wanted.items()})
        if f"weight_ih_l{len(self.layers)}" in given:
            raise ValueError(f"`module` {module} has more layers than `num_hidden_layers={len(self.layers)}`.")


# What collators of packed batches say beside `position_ids`, once more in other words.
PACKING = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")


def refuse_unknown(kwargs: dict[str, Any], position_ids: torch.Tensor | None = None) -> None:
    """Refuse what a forward pass cannot honour; libraries may pass switches of other models that are off."""
    used = [name for name, value in kwargs.items() if value is not None and value is not False]
    if position_ids is not None:
        used = [name for name in used if name not in PACKING]
    if not used:
        return
    advice = "Leave it out."
    if used[0] == "position_ids":
        advice = "Leave it out, and put one text a row."
    elif used[0] in PACKING:
        advice = "Pass the `position_ids` of the packed texts, too, where the model takes them; or put one text a row."
    raise TypeError(f"`{used[0]}` is no argument of a recurrent model's forward pass. {advice}")


@dataclass
class RecurrentCausalLMOutput(WithCache, CausalLMOutputWithPast):
    """[`~transformers.modeling_outputs.CausalLMOutputWithPast`], whose state is read by either of its names."""


class RecurrentForCausalLM(RecurrentPreTrainedModel, RecurrentGenerationMixin):
    """A backbone and an output layer over the vocabulary, tied to the embedding if the configuration says so."""

    _auto_class = "AutoModelForCausalLM"
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
    accepts_loss_kwargs = True  # Trainer: the loss divides by `num_items_in_batch` itself
    model_class: type[RecurrentModel]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # Trainer shifts labels for label smoothing, and `pipeline` accepts a model, by this list of class names.
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[f"hf_lstm.{cls.__name__}"] = cls.__name__

    def __init__(self, config: RecurrentConfig):
        if config.bidirectional:
            raise ValueError(
                "`bidirectional=True` cannot model language from left to right: the backward direction sees the "
                "tokens to be predicted. Use `bidirectional=False`."
            )
        for name in ("char_vocab_size", "shape_vocab_size", "context_models"):
            if value := getattr(config, name):
                raise ValueError(
                    f"`{name}={value!r:.60}` gives the model features of whole words, which tokens that are being "
                    "generated do not have. Leave it out; a model of characters is one whose tokens are characters."
                )
        if config.output_layer == "adaptive" and config.adaptive_cutoffs is None:
            config = copy.deepcopy(config)
            config.adaptive_cutoffs = default_cutoffs(config.vocab_size)  # kept when the vocabulary grows
        super().__init__(config)
        self.loss_type = "ForCausalLM"  # whatever the name of a subclass
        config = self.config
        self.model = self.model_class(config)
        features = config.input_size if config.tie_word_embeddings else config.output_size
        self.projection = nn.Identity()
        if features != config.output_size and config.output_layer != "mixture":
            self.projection = nn.Linear(config.output_size, features, bias=False)
        self.lm_head, self.has_linear_output = output_layer(config), config.output_layer == "softmax"
        self.penalties = config.activation_regularization, config.temporal_activation_regularization
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        tables = self.lm_head.tables_of_tokens() if isinstance(self.lm_head, AdaptiveSoftmax) else ()
        if any(module is table for table in tables):
            PreTrainedModel._init_weights(self, module)  # as one output layer
        else:
            super()._init_weights(module)

    def get_output_embeddings(self) -> nn.Module | None:
        """The output layer; None for an adaptive softmax that is not tied, which has several."""
        self._check_fused_head()
        return None if isinstance(self.lm_head, AdaptiveSoftmax) else super().get_output_embeddings()

    def _check_fused_head(self) -> None:
        """Refuse the forward pass that trl puts in place of ours where the output is not weight @ hidden states."""
        forward = vars(self).get("forward")
        code = getattr(getattr(forward, "__func__", forward), "__code__", None)
        if code is None or "fused_lm_head" not in code.co_varnames:
            return
        projects = not isinstance(self.projection, nn.Identity)
        names = {"output_layer": not self.has_linear_output, "embedding_size": projects}
        penalties = ("activation_regularization", "temporal_activation_regularization")
        names |= {name: self.training and bool(getattr(self.config, name)) for name in penalties}
        for name in (name for name, holds in names.items() if holds):
            raise ValueError(
                f"`{name}={getattr(self.config, name)!r}` would be left out: trl replaces the forward pass by one "
                "that multiplies the hidden states by the weight of the output layer. It needs a model with "
                "`output_layer='softmax'`, with an `embedding_size` like its outputs or `tie_word_embeddings=False`, "
                "and without penalties of activations. `Trainer` trains all others."
            )

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args, **kwargs) -> nn.Embedding:
        """As in transformers; of an adaptive softmax the last cluster grows or shrinks."""
        if new_num_tokens is not None and isinstance(self.lm_head, ClusteredOutput):
            self.lm_head.check_size(new_num_tokens)
        embeddings = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        if isinstance(self.lm_head, AdaptiveSoftmax):
            last, size = self.lm_head.tail[-1], embeddings.num_embeddings - self.lm_head.cutoffs[-1]
            last[1] = super()._get_resized_lm_head(last[1], size)
        return embeddings

    def _get_resized_lm_head(self, old_lm_head: nn.Module, *args, **kwargs) -> nn.Module:
        resized = super()._get_resized_lm_head(old_lm_head, *args, **kwargs)
        if type(old_lm_head) is nn.Linear:
            return resized
        for name in ("weight", "bias", "out_features"):
            setattr(old_lm_head, name, getattr(resized, name))
        return old_lm_head

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: RecurrentCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        num_items_in_batch: int | torch.Tensor | None = None,
        output_logits: bool | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: RecurrentCache | None = None,
        **kwargs: Any,
    ) -> RecurrentCausalLMOutput:
        r"""
        All arguments that are not described here: [`RecurrentModel.forward`].

        Args:
            labels (`torch.LongTensor` of shape `(B, T)`, *optional*): Usually `input_ids`; each real position is
                trained to predict the label of the next real one. -100 and padding are left out.
            logits_to_keep (`int` or `torch.LongTensor`, defaults to 0): Compute logits for the last so many positions,
                or for the positions given, only; 0 for all.
            num_items_in_batch (`int` or `torch.Tensor`, *optional*): Divide the summed loss by this number, which
                Trainer counts over an accumulated batch, instead of by the number of labels.
            output_logits (`bool`, *optional*): Whether to return logits. Without them a loss is computed in a way that
                never holds the logits of the batch. Defaults to False in training with labels, and to True otherwise.
            shift_labels (`torch.LongTensor` of shape `(B, T)`, *optional*): In place of `labels`, the label that each
                position is trained to predict itself, so that the last one of a piece of a text has one too. -100 and
                padding are left out.

        Returns:
            [`RecurrentCausalLMOutput`]: `loss` (in nats), `logits` of shape `(B, T, V)`,
            `cache` ([`RecurrentCache`]), `hidden_states`.
        """
        shift_labels = kwargs.pop("shift_labels", None)  # Trainer takes a named argument for labels of evaluation
        refuse_unknown(kwargs, position_ids)
        has_labels = labels is not None or shift_labels is not None
        penalised = self.training and has_labels and any(self.penalties)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            cache=one_cache(cache, past_key_values),
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            return_dict=False,  # an output object costs as much as a small cell
            output_raw=penalised,
            position_ids=position_ids,
        )
        hidden_states, *rest = outputs
        raw = rest.pop() if penalised else None
        all_hidden_states = rest.pop() if rest and isinstance(rest[-1], tuple) else None
        cache = rest.pop() if rest else None
        if isinstance(logits_to_keep, torch.Tensor):
            hidden_states = hidden_states[:, logits_to_keep]
        elif logits_to_keep:
            hidden_states = hidden_states[:, -logits_to_keep:]
        if not self.has_linear_output:
            refuse_adapter(self.lm_head, "lm_head")
        hidden_states = self.projection(hidden_states)
        logits = loss = None
        if output_logits is None:
            output_logits = not (has_labels and self.training)
        if output_logits or (has_labels and not self._can_fuse_loss()):
            logits = self.lm_head(hidden_states)
        if has_labels:
            following, padding = self._following(
                hidden_states.shape[:2], labels, shift_labels, attention_mask, position_ids
            )
            loss = self._loss(hidden_states, logits, labels, following, num_items_in_batch)
        if penalised:
            loss = loss + self._activation_penalty(outputs[0], raw, following, padding, num_items_in_batch)
        return RecurrentCausalLMOutput(
            loss=loss,
            logits=logits if output_logits else None,
            hidden_states=all_hidden_states,
            **{CACHE_NAME: cache},
        )

    def _can_fuse_loss(self) -> bool:
        """Whether loss and output layer can be computed together: nobody has replaced, wrapped or sharded either."""
        return can_fuse(self.lm_head) and not hasattr(self, "_loss_function")

    def _following(
        self, shape, labels, shift_labels, attention_mask, position_ids
    ) -> tuple[torch.Tensor, Padding | None]:
        """What each position is to predict, (B, T), -100 for nothing, and the padding."""
        name, given = ("labels", labels) if shift_labels is None else ("shift_labels", shift_labels)
        if given.shape != shape:
            raise ValueError(
                f"`{name}` has shape {tuple(given.shape)}, expected {tuple(shape)}: a label for each position with "
                "logits. Leave `logits_to_keep` out when training."
            )
        past = attention_mask.shape[1] - shape[1] if attention_mask is not None else 0
        padding = self._padding(attention_mask, *shape, past)
        if shift_labels is not None:
            return shift_labels if padding is None else shift_labels.masked_fill(~padding.mask, -100), padding
        if position_ids is not None:
            labels = labels.masked_fill(Documents(position_ids, shape, padding).starts, -100)
        return next_labels(labels, padding), padding

    def _loss(self, hidden_states, logits, labels, following, num_items_in_batch) -> torch.Tensor:
        """Cross-entropy of the next real token, in nats; without logits, from the inputs of the output layer."""
        if logits is None:
            return fused_loss(self.lm_head, hidden_states, following, num_items_in_batch)
        return self.loss_function(
            logits,
            labels,
            vocab_size=logits.shape[-1],
            num_items_in_batch=num_items_in_batch,
            shift_labels=following.contiguous(),
        )

    def _activation_penalty(self, dropped, raw, following, padding, num_items_in_batch) -> torch.Tensor:
        """
        AR and TAR (Merity et al. 2018, section 4.6) of the outputs of the last layer, `dropped` and `raw`, (B, T, P):
        alpha h_t^2 and beta (h_t - h_u)^2, u the next real position, both a mean over the units and over the positions
        that have something to predict, as the loss itself is. So the parts of an accumulated batch add up to the
        penalty of the whole.
        """
        if padding is not None:
            dropped, raw, following = (padding.pack(each) for each in (dropped, raw, following))
        counts = following != -100
        num_items = counts.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        (alpha, beta), precise = self.penalties, torch.promote_types(raw.dtype, torch.float32)
        penalty = 0.0
        if alpha:
            penalty = alpha * dropped.to(precise).square().mean(-1)[counts].sum()
        if beta:
            followed = counts[:, :-1] if padding is None else counts[:, :-1] & ~padding.trailing[:, 1:]
            change = raw[:, 1:].to(precise) - raw[:, :-1]
            penalty = penalty + beta * change.square().mean(-1)[followed].sum()
        return penalty / num_items.to(raw.device)

    # Single steps, for the loop of `generate`.

    def step_function(self, states: list[State]) -> Callable[[torch.LongTensor], torch.Tensor]:
        model, embed = self.model, self.model.embed_tokens
        cells = [layer.cell_function() for layer in model.layers]
        bare = not (model.norms or model.residual_connections)

        def step(token: torch.LongTensor) -> torch.Tensor:
            hidden_states = embed(token)
            for i, cell in enumerate(cells):
                states[i] = cell(hidden_states, states[i])
                outputs = states[i][0]
                hidden_states = outputs if bare else model._finish_layer(i, outputs, hidden_states, None)
            return self.lm_head(self.projection(hidden_states))

        return step

    def _has_plain_steps(self) -> bool:
        layers = ((layer, RecurrentLayer) for layer in self.model.layers)
        for module, home in ((self, RecurrentForCausalLM), (self.model, RecurrentModel), *layers):
            hooked = module._forward_hooks or module._forward_pre_hooks or hasattr(module, "_hf_hook")
            own = "forward" in vars(module) or unwrap(type(module).forward) is not unwrap(home.forward)
            if hooked or own:
                return False
        return not self.training


# Head by Auto class: a saved folder names them all, and `hf_lstm/__init__.py` registers them.
AUTO_CLASSES = {
    "AutoModel": "Model",
    "AutoModelForCausalLM": "ForCausalLM",
    "AutoModelForSequenceClassification": "ForSequenceClassification",
    "AutoModelForTokenClassification": "ForTokenClassification",
}

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The backbone of texts: what it reads of them, and the stack of layers, which is in `stack.py`. Beneath that: a layer in
`layers.py`, the treatment of padding in `padding.py`, the state between two calls in `cache.py`; the equations of the
families are in `lstm.py`, `gru.py`, `rnn.py`. The heads: `language_modeling.py`, `token_classification.py`,
`sequence_classification.py`.

Dimensions, the same everywhere: B batch, T time steps, E embedding, H hidden units, P output units of one direction
(H, or the projection of an LSTM), D directions, G gates, L layers, V vocabulary. Everything is batch-first, states
included.
"""

from typing import Any

import torch
from torch import nn

from .cache import RecurrentCache
from .configuration_recurrent import RecurrentConfig
from .context import ContextEncoder
from .pieces import PieceEncoder, ReadsEncoder
from .pretrained import RecurrentPreTrainedModel
from .stack import RecurrentModelOutput, RecurrentStack
from .text_inputs import CharacterEncoder, TextInputs, dropped_types, reads_nothing, replace_at_random


class RecurrentModel(ReadsEncoder, RecurrentStack):
    """Embedding of a text, or features of anything else, and a stack of recurrent layers, without a head."""

    _auto_class = "AutoModel"

    main_input_name = "input_ids"
    pipeline_task = "feature-extraction"

    def add_inputs(self, config: RecurrentConfig) -> None:
        """The embeddings of tokens, and what else is read of them."""
        super().add_inputs(config)
        if not config.feature_size:
            raise ValueError(
                "`embedding_size=0` leaves nothing to read without `encoder`, characters, shapes or context. Raise "
                "it, or give one of them."
            )
        if config.vocab_size is not None and config.input_size:
            self.embed_tokens = nn.Embedding(config.vocab_size, config.input_size, padding_idx=config.pad_token_id)
        if config.char_vocab_size:
            self.char_encoder = CharacterEncoder(config, self.layer_class)
        if config.shape_vocab_size:
            self.embed_shapes = nn.Embedding(config.shape_vocab_size, config.shape_embedding_size, padding_idx=0)
        if config.context_models:
            self.context_encoder = ContextEncoder(config, type(self))
        if config.encoder is not None:
            self.piece_encoder = PieceEncoder(config)

    @reads_nothing
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
        encoder_ids: torch.LongTensor | None = None,
        encoder_spans: torch.LongTensor | None = None,
        **kwargs: Any,
    ) -> RecurrentModelOutput | tuple:
        r"""
        Args:
            input_ids, attention_mask, char_ids, shape_ids, context_ids, context_spans, encoder_ids, encoder_spans,
            inputs_embeds: [`TextInputs`]. With `cache` the mask of all tokens so far is understood too.
            cache ([`RecurrentCache`], *optional*): The state to continue from; it is advanced. `past_key_values` is
                another name for it.
            use_cache (`bool`, *optional*): Return the final state. Defaults to `config.use_cache`, and to False in
                training and in two directions, where nothing can continue from it.
            output_hidden_states (`bool`, *optional*): Return the embeddings and the output of each layer.
            return_dict (`bool`, *optional*): False for a tuple of what is not None. Defaults to `config.return_dict`.
            output_raw (`bool`, defaults to `False`): Return the output of the last layer before its dropout, too.
            position_ids (`torch.LongTensor` of shape `(B, T)`, *optional*): Where they begin anew within a row, as
                those of packed batches do, a text of its own begins, which is read as though it were alone. They have
                no other meaning.

        Returns:
            [`RecurrentModelOutput`]: `last_hidden_state` of shape `(B, T, D * P)`, zero at padding; `cache`
            ([`RecurrentCache`]); `hidden_states`, L + 1 tensors, the first of shape `(B, T, E)`, E with the features
            of characters and shapes; `raw_hidden_state`.

        Raises:
            `ValueError`: For inputs, a mask or a cache that do not fit the model or each other.
        """
        others = char_ids, shape_ids, context_ids, context_spans, encoder_ids, encoder_spans
        text = TextInputs(input_ids, attention_mask, *others, inputs_embeds)
        return self.read(
            self.embed(text),
            attention_mask,
            cache,
            use_cache,
            output_hidden_states,
            return_dict,
            output_raw,
            position_ids,
            past_key_values,
            is_finite=inputs_embeds is None,
            **kwargs,
        )

    def embed(self, text: TextInputs) -> torch.Tensor:
        """
        What the first layer reads, (B, T, F); at padding it may be anything where embeddings are given.

        Raises:
            `ValueError`: For inputs that do not fit the model or each other.
        """
        return self._with_word_features(self._embed(text), text)

    @property
    def embeds_size(self) -> int:
        """Size of `inputs_embeds`, E, to which other features are appended."""
        return self.config.input_size

    @property
    def reads_features(self) -> bool:
        """Whether it has no vocabulary."""
        return self.config.vocab_size is None

    @property
    def _table(self) -> nn.Embedding:
        """The input embedding, within an adapter of peft that hides its sizes."""
        return getattr(self.embed_tokens, "base_layer", self.embed_tokens)

    def _embed(self, text: TextInputs) -> torch.Tensor:
        """Check the inputs and embed them: (B, T) -> (B, T, E)."""
        input_ids, table = text.input_ids, self.embed_tokens
        if (input_ids is None) == (text.inputs_embeds is None):
            given = "neither" if input_ids is None else "both"
            raise ValueError(f"Pass exactly one of `input_ids` and `inputs_embeds`, got {given}.")
        if input_ids is None:
            return super().embed(text)
        if table is None and self.reads_features:
            raise ValueError(
                "`input_ids` were given to a model without a vocabulary (`vocab_size=None`), which reads features: "
                f"pass them as `inputs_embeds` of shape (batch, length, {self.embeds_size})."
            )
        if input_ids.ndim != 2 or 0 in input_ids.shape:
            raise ValueError(
                f"`input_ids` has shape {tuple(input_ids.shape)}, expected (batch, length) with at least one token."
            )
        if input_ids.is_floating_point():
            raise ValueError(f"`input_ids` must hold whole numbers (`torch.long`), got {input_ids.dtype}.")
        if table is None:  # it reads no words, but what is beside them
            return next(self.parameters()).new_zeros(*input_ids.shape, 0)
        if self.training and (rate := self.config.word_dropout):
            input_ids = replace_at_random(input_ids, self.config.unk_token_id, rate)
        try:
            embeddings = table(input_ids)
        except IndexError:  # asked for afterwards, since looking at every id costs as much as a small layer
            raise ValueError(
                f"`input_ids` holds ids from {input_ids.min()} to {input_ids.max()}, but `vocab_size` is "
                f"{self._table.num_embeddings}. Use the model's own tokenizer, or `resize_token_embeddings`."
            ) from None
        if self.training and (rate := self.config.embedding_dropout):
            vocab_size = self._table.num_embeddings
            embeddings = embeddings * dropped_types(input_ids, vocab_size, rate, embeddings.dtype)
        return embeddings

    def _with_word_features(self, embeddings: torch.Tensor, text: TextInputs) -> torch.Tensor:
        """Append what else the model reads of the tokens and their context: (B, T, E) -> (B, T, F)."""
        features = [embeddings]
        for name, ids, size, encoder in (
            ("char", text.char_ids, "(batch, length, characters)", self.char_encoder),
            ("shape", text.shape_ids, "(batch, length)", self.embed_shapes),
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
        for name, field, reader in (
            ("context", "context_models", self.context_encoder),
            ("encoder", "encoder", self.piece_encoder),
        ):
            ids, spans = getattr(text, f"{name}_ids"), getattr(text, f"{name}_spans")
            if reader is not None:
                features.append(reader(ids, spans, embeddings.shape[:2]))
            elif ids is not None:
                raise ValueError(f"`{name}_ids` were given, but the model has no `{field}`. Leave them out.")
        return torch.cat(features, dim=-1) if len(features) > 1 else embeddings

    def load_context_models(self, forward: RecurrentPreTrainedModel, backward: RecurrentPreTrainedModel) -> None:
        """
        Copy the weights of two language models of characters, with or without their heads, to where
        `config.context_models` has made room.

        Raises:
            `ValueError`: If there is no room, or a model has other sizes than its configuration there.
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

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What a token means where it stands, by the states of language models of characters: contextual string embeddings
(Akbik, Blythe & Vollgraf 2018, section 2.2). Dimensions as in `modeling_recurrent.py`; C characters of the longest
text of a batch, F features of a token.
"""

from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from .configuration_recurrent import RecurrentConfig
from .layers import SequenceDropout
from .tracing import is_exported


class ContextEncoder(nn.Module):
    r"""
    Features of a token from the whole text around it: what a language model of characters, reading forwards, has in
    its last layer after the last character of the token, and what another one, reading backwards, has there after the
    first.

    The two are frozen unless `config.train_context_models` says otherwise: they run without dropout even in training,
    and once for all texts of a batch. The backward one is a language model of reversed text, `text[::-1]`.

    Args:
        config ([`RecurrentConfig`]): Configuration, with `context_models`.
        model_class (`type`): The backbone of the two.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM, LSTMForTokenClassification, LSTMTokenizer

    >>> texts = ["Ada met Bob", "Bob sang"]
    >>> characters = LSTMTokenizer.train_from_iterator(texts, "char", show_progress=False)
    >>> fields = {"vocab_size": len(characters), "hidden_size": 8, "pad_token_id": 0}
    >>> forward, backward = [LSTMForCausalLM(LSTMConfig(**fields)) for _ in range(2)]  # to be trained, of course

    >>> tokenizer = LSTMTokenizer.train_from_iterator(texts, "word", context_tokenizer=characters, show_progress=False)
    >>> contexts = [forward.config.to_dict(), backward.config.to_dict()]
    >>> tagger = LSTMForTokenClassification(LSTMConfig(vocab_size=len(tokenizer), context_models=contexts))
    >>> tagger.model.load_context_models(forward, backward)
    >>> tagger(**tokenizer(texts, padding=True, return_tensors="pt")).logits.shape
    torch.Size([2, 3, 2])
    ```
    """

    def __init__(self, config: RecurrentConfig, model_class: type[PreTrainedModel]):
        super().__init__()
        configs, size = config.context_configs, config.context_projection_size
        self.vocab_size, self.frozen = configs[0].vocab_size, not config.train_context_models
        self.models = nn.ModuleList(model_class(each) for each in configs)
        self.memory: _Memory | None = None
        self.dropout = SequenceDropout(config.context_dropout, config.variational_dropout)
        self.projection = nn.Identity()
        if size is not None:
            self.projection = nn.Linear(sum(each.output_size for each in configs), size, bias=False)
        self.train()

    def train(self, mode: bool = True) -> "ContextEncoder":
        """As in torch, but frozen language models stay as they are in evaluation."""
        super().train(mode)
        if self.frozen:
            self.models.requires_grad_(False).eval()  # `from_pretrained` makes new parameters, that can be trained
        return self

    def remember(self, max_tokens: int = 300_000) -> None:
        """
        Keep what the frozen language models say of each text, so that an epoch but the first does not ask them again.
        It takes one number for each feature of each token, is no part of what is saved, and is forgotten when the
        weights change.

        Args:
            max_tokens (`int`, *optional*, defaults to 300,000): Of how many tokens; later texts are not kept. 0 ends
                it, and frees the memory.

        Raises:
            `ValueError`: If the language models are trained, too.
        """
        if not self.frozen:
            raise ValueError(
                "`train_context_models` is True: what language models say changes while they are trained."
            )
        self.memory = _Memory(max_tokens) if max_tokens > 0 else None

    def forward(self, ids: torch.LongTensor, spans: torch.LongTensor, shape: torch.Size) -> torch.Tensor:
        """
        Characters (B, C), 0 at padding, and the first and last of each token (B, T, 2), counted from the first that is
        no padding -> (B, T, F), zeros for tokens without characters. `shape` is (B, T).
        """
        self._check(ids, spans, shape)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.memory is None or is_exported():
                states = self._states(ids, spans)
            else:
                states = self.memory.recall(ids, spans, self._states, self.models)
        return self.projection(self.dropout(states))

    def _states(self, ids: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
        """Of both language models, (B, T, F), zeros for tokens without characters."""
        real = ids != 0
        places = spans + real.int().argmax(1)[:, None, None]  # of the first and the last character, in `ids`
        # Reversed, each text has its padding at the other end, where it changes nothing either.
        backwards = ids.shape[1] - 1 - places[..., 0]
        features = [
            _states_at(self.models[0], ids, real, places[..., 1]),
            _states_at(self.models[1], ids.flip(1), real.flip(1), backwards),
        ]
        return torch.cat(features, dim=-1) * (spans[..., 1:] != 0)

    def _check(self, ids, spans, shape) -> None:
        if ids is None or spans is None:
            name = "context_ids" if ids is None else "context_spans"
            raise ValueError(
                f"`{name}` are missing, but the model has `context_models`. Build the tokenizer with "
                "`context_tokenizer`, an option of `LSTMTokenizer.train_from_iterator`."
            )
        for name, value, expected in (("ids", ids, (shape[0], None)), ("spans", spans, (*shape, 2))):
            fits = len(value.shape) == len(expected) and all(
                size is None or size == found for size, found in zip(expected, value.shape, strict=True)
            )
            if not fits or value.is_floating_point():
                wanted = ", ".join("characters" if size is None else str(size) for size in expected)
                raise ValueError(
                    f"`context_{name}` has shape {tuple(value.shape)} and type {value.dtype}, expected whole numbers "
                    f"of shape ({wanted})."
                )
        if ids.device.type != "cpu" or is_exported():
            return
        if not 0 <= ids.min() <= ids.max() < self.vocab_size:
            raise ValueError(
                f"`context_ids` holds ids from {ids.min()} to {ids.max()}, but `vocab_size` in `context_models` is "
                f"{self.vocab_size}. Use the model's own tokenizer."
            )
        if not 0 <= spans.min() <= spans.max() or (spans.amax((1, 2)) >= (ids != 0).sum(1).clamp(min=1)).any():
            raise ValueError(
                f"`context_spans` holds places from {spans.min()} to {spans.max()}, which are not all in the texts of "
                "`context_ids`. Encode both together."
            )


class _Memory:
    """The states of texts that were read before, by their characters and the places of their tokens."""

    def __init__(self, max_tokens: int):
        self.room, self.texts, self.weights = max_tokens, {}, None

    def recall(self, ids: torch.Tensor, spans: torch.Tensor, read: Callable, models: nn.Module) -> torch.Tensor:
        """What `read(ids, spans)` returns, (B, T, F), called with the rows of texts that are new."""
        weights = [(each._version, each.dtype, each.device) for each in models.parameters()]
        if weights != self.weights:
            self.room += sum(map(len, self.texts.values()))
            self.texts, self.weights = {}, weights
        has_characters = spans[..., 1] != 0  # (B, T)
        host = [each.cpu().numpy() for each in (ids, spans, has_characters)]
        keys = [(row[row != 0].tobytes(), places[some].tobytes()) for row, places, some in zip(*host, strict=True)]
        new = [i for i, key in enumerate(keys) if key not in self.texts]
        found = {}
        if new:
            states = read(ids[new], spans[new])
            found = {keys[i]: row[has_characters[i]] for i, row in zip(new, states, strict=True)}
        rows = torch.cat([self.texts[key] if key in self.texts else found[key] for key in keys])
        for key, row in found.items():
            if len(row) <= self.room:
                self.texts[key] = row
                self.room -= len(row)
        result = rows.new_zeros(*has_characters.shape, rows.shape[-1])
        result[has_characters] = rows
        return result


def _states_at(model: PreTrainedModel, ids, real, places) -> torch.Tensor:
    """The outputs of a language model at some places of each row: (B, C), (B, T) -> (B, T, P)."""
    outputs = model(ids, attention_mask=real, use_cache=False, return_dict=True).last_hidden_state
    return outputs.gather(1, places[..., None].expand(-1, -1, outputs.shape[-1]))

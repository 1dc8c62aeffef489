# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What a model reads of a text, and what a token is besides its id: its characters and its shape. Dimensions as in
`modeling_recurrent.py`; C characters of the longest word of a batch, N distinct words of a batch, F features.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints

import torch
import torch.nn.functional as F
from torch import nn

from .cache import CACHE_NAMES
from .configuration_recurrent import RecurrentConfig
from .layers import RecurrentLayer, refuse_adapter, run_layer
from .padding import Padding
from .tracing import is_exported


HASH_BASE = 6364136223846793005  # the multiplier of Knuth's MMIX generator


class TextInputs(NamedTuple):
    """
    All that a model may read of a batch of texts, as one value.

    Args:
        input_ids (`torch.LongTensor` of shape `(B, T)`): Token ids, smaller than `config.vocab_size`.
        attention_mask (`torch.Tensor` of shape `(B, T)`, boolean or integer, *optional*): 0 at padding, which may
            stand anywhere and changes nothing else.
        char_ids (`torch.LongTensor` of shape `(B, T, C)`): The characters of each token, 0 behind the last one; for a
            model with `char_vocab_size`.
        shape_ids (`torch.LongTensor` of shape `(B, T)`): The shape of each token; for a model with
            `shape_vocab_size`.
        context_ids (`torch.LongTensor` of shape `(B, C)`): The characters of the whole text, 0 at padding; for a model
            with `context_models`.
        context_spans (`torch.LongTensor` of shape `(B, T, 2)`): The places of the first and the last character of each
            token in `context_ids`, counted from the first that is no padding; 0 for a token without any.
        encoder_ids (`torch.LongTensor` of shape `(B, S)`): The pieces of the whole text, -1 at padding; for a model
            with `encoder`.
        encoder_spans (`torch.LongTensor` of shape `(B, T, 2)`): The places of the first and the last piece of each
            token in `encoder_ids`, from 1 on over those that are no padding; 0 for a token without any.
        inputs_embeds (`torch.Tensor` of shape `(B, T, E)`): Embeddings, or features of anything else, in place of
            `input_ids`.
    """

    input_ids: torch.LongTensor | None = None
    attention_mask: torch.Tensor | None = None
    char_ids: torch.LongTensor | None = None
    shape_ids: torch.LongTensor | None = None
    context_ids: torch.LongTensor | None = None
    context_spans: torch.LongTensor | None = None
    encoder_ids: torch.LongTensor | None = None
    encoder_spans: torch.LongTensor | None = None
    inputs_embeds: torch.Tensor | None = None


def takes_text(forward: Callable) -> Callable:
    """
    For a `forward(self, text, ...)`: it is called with the fields of [`TextInputs`] in place of that value, the first
    two by position or name, all else by name; the signature, which Trainer and the export of torch read, says so.
    """
    fields, (own, _, *others) = TextInputs._fields, inspect.signature(forward).parameters.values()

    @functools.wraps(forward)
    def with_fields(self, input_ids=None, attention_mask=None, **kwargs: Any):
        given = {name: kwargs.pop(name) for name in fields[2:] if name in kwargs}
        return forward(self, TextInputs(input_ids, attention_mask, **given), **kwargs)

    def parameter(name: str, kind) -> inspect.Parameter:
        return inspect.Parameter(name, kind, default=None, annotation=get_type_hints(TextInputs)[name])

    by_place, by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    named = [each if each.kind is each.VAR_KEYWORD else each.replace(kind=by_name) for each in others]
    parameters = [parameter(name, by_name if i > 1 else by_place) for i, name in enumerate(fields)]
    with_fields.__signature__ = inspect.Signature([own, *parameters, *named])
    with_fields.__annotations__ = {each.name: each.annotation for each in [*parameters, *named]}
    return with_fields


def reads_nothing(forward: Callable) -> Callable:
    """
    For the `forward` of a model: texts, or sounds, none of which has a token are read as rows of one that is padding,
    of which neither the outputs nor the state say anything: no tags, and zeros for a whole text.
    """
    names = list(inspect.signature(forward).parameters)[1:]

    @functools.wraps(forward)
    def with_padding(self, *args, **kwargs: Any):
        named = (kwargs[name] for name in ("input_ids", "inputs_embeds", "input_features") if name in kwargs)
        values = next((each for each in [*args[:1], *named] if each is not None), None)
        if values is not None and not isinstance(values, torch.Tensor):
            raise ValueError(
                f"The inputs are a {type(values).__name__}, {values!r:.60}: give tensors, such as those of "
                '`tokenizer(texts, padding=True, return_tensors="pt")`, by their names: `model(**inputs)`.'
            )
        if values is None or is_exported() or values.ndim < 2 or values.shape[1] or not len(values):
            return forward(self, *args, **kwargs)
        kwargs |= dict(zip(names, args, strict=False))
        given = {name: kwargs[name] for name in CACHE_NAMES if hasattr(kwargs.get(name), "copy")}
        kwargs |= {name: cache.copy() for name, cache in given.items()}
        kwargs |= {name: _one_step(name, value) for name, value in kwargs.items() if torch.is_tensor(value)}
        kwargs |= {"attention_mask": torch.zeros(len(values), 1, dtype=torch.long, device=values.device)}
        kwargs.pop("position_ids", None)
        as_dict = kwargs.get("return_dict")
        if "return_dict" in names:
            kwargs["return_dict"] = True
        outputs = _without_steps(forward(self, **kwargs), next(iter(given.values()), None))
        as_dict = self.config.return_dict if as_dict is None else as_dict
        return outputs if as_dict or "return_dict" not in names else outputs.to_tuple()

    return with_padding


def _one_step(name: str, values: torch.Tensor) -> torch.Tensor:
    """Values of no step, (B, 0, .), as those of one that is padding; a list without numbers may be one of floats."""
    if values.ndim < 2 or values.shape[1] or name in ("context_ids", "encoder_ids"):
        return values
    sizes = {"char_ids": (1,), "context_spans": (2,), "encoder_spans": (2,)}.get(name, values.shape[2:])
    dtype = torch.long if name.endswith(("ids", "spans", "labels")) else values.dtype
    return torch.full((len(values), 1, *sizes), -100 if "labels" in name else 0, dtype=dtype, device=values.device)


def _without_steps(outputs, cache):
    """Outputs of one step as those of none, and the state before it."""
    for name, value in list(outputs.items()):
        if name in CACHE_NAMES:
            for layer in value.layers:
                layer.seen_tokens = 0
            outputs[name] = value if cache is None else cache
        elif isinstance(value, tuple):
            outputs[name] = tuple(each[:, :0] for each in value)
        elif value.ndim > (2 if name == "logits" else 1):  # the logits of a whole text have two dimensions
            outputs[name] = value[:, :0]
    return outputs


class CharacterEncoder(nn.Module):
    """
    Features of a word from its characters: the largest output of each filter of a convolution (Ma & Hovy 2016, section
    2.1), or the final states of a recurrent layer in both directions (Lample et al. 2016, section 4.1). Each distinct
    word of a batch is encoded once, and no feature depends on the padding of a word.
    """

    def __init__(self, config: RecurrentConfig, layer_class: type[RecurrentLayer]):
        super().__init__()
        size, features = config.char_embedding_size, config.char_hidden_size
        self.embed_chars = nn.Embedding(config.char_vocab_size, size, padding_idx=0)
        self.dropout = nn.Dropout(config.char_dropout)
        self.recurrent = config.char_encoder == "recurrent"
        if self.recurrent:
            directions = {"hidden_size": features // 2, "bidirectional": True, "num_hidden_layers": 1}
            self.layer = layer_class(type(config)(initializer=config.initializer, **directions), size)
        else:
            width = config.char_kernel_size
            self.convolution = nn.Conv1d(size, features, width, padding=width // 2)

    def forward(self, char_ids: torch.LongTensor) -> torch.Tensor:
        """Character ids (B, T, C), 0 behind the last character -> (B, T, F), zeros for words without characters."""
        refuse_adapter(self.embed_chars, "char_encoder.embed_chars")
        words, index = distinct_rows(char_ids.flatten(0, 1))  # (N, C), (B * T,)
        vectors = self.dropout(self.embed_chars.weight)
        if self.recurrent:
            features = self._last_states(words, vectors)
        else:
            refuse_adapter(self.convolution, "char_encoder.convolution")
            filters = self.convolution
            features = _Convolution.apply(vectors, filters.weight, filters.bias, words, torch.is_grad_enabled())
        return features.index_select(0, index).view(*char_ids.shape[:2], -1)

    def _last_states(self, words: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        _, state, _ = run_layer(self.layer, F.embedding(words, vectors), None, Padding(words != 0), True)
        return state[0].flatten(1)


class _Convolution(torch.autograd.Function):
    """
    The largest output of each filter over the characters of a word, zero for a word without any: vectors (V, E),
    filters (F, E, K), bias (F,), words (N, C) -> (N, F). A filter's output is a sum of what each of its K places makes
    of a character, which is looked up; gradients go to the places of the maxima only.
    """

    # 3.7 times faster than `torch.nn.Conv1d` in training (260 words of 12 characters, 50 filters).

    @staticmethod
    def forward(ctx, vectors, filters, bias, words, differentiable):
        (number, size, width), length = filters.shape, words.shape[1]
        with torch.autocast(vectors.device.type, enabled=False):
            tables = vectors @ filters.permute(1, 2, 0).reshape(size, -1)  # (V, K * F)
        tables = tables.view(-1, width, number).transpose(0, 1).contiguous()  # (K, V, F)
        tables[:, 0] = 0  # nothing at padding,
        tables[width // 2, 0] = torch.finfo(tables.dtype).min / 2  # and no maximum
        around = F.pad(words, (width // 2, width // 2))  # (N, C + K - 1)
        scores = F.embedding(around[:, :length].T, tables[0])  # (C, N, F): maxima over the first are fastest
        for k in range(1, width):
            scores += F.embedding(around[:, k : k + length].T, tables[k])
        maxima, empty = scores.amax(0), words[:, :1] == 0
        if differentiable:
            place = _last_place_of(maxima, scores)
            characters = torch.stack([around[:, k:].gather(1, place) for k in range(width)])  # (K, N, F)
            ctx.save_for_backward(vectors, filters, characters, empty)
        return maxima.add_(bias).masked_fill_(empty, 0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        vectors, filters, characters, empty = ctx.saved_tensors
        (number, size, width), grad = filters.shape, grad.masked_fill(empty, 0)
        tables = grad.new_zeros(width, len(vectors), number).scatter_add_(1, characters, grad.expand_as(characters))
        tables[:, 0] = 0
        tables = tables.transpose(0, 1).flatten(1)  # (V, K * F)
        places = filters.permute(2, 0, 1).reshape(-1, size)  # (K * F, E)
        grad_filters = (tables.T @ vectors).view(width, number, size).permute(1, 2, 0)
        return tables @ places, grad_filters, grad.sum(0), None, None


def _last_place_of(maxima: torch.Tensor, values: torch.Tensor) -> torch.LongTensor:
    """The last place of `maxima` along the first dimension of `values`, which it overwrites."""
    length = values.shape[0]
    places = torch.arange(length, dtype=values.dtype, device=values.device).view(-1, *[1] * maxima.dim())
    return values.sub_(maxima).sign_().mul_(length).add_(places).amax(0).long()  # below 0 unless largest


def distinct_rows(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The distinct rows of a matrix of integers, and for each row its place among them: (R, C) -> (N, C), (R,). By one
    number a row, its polynomial in `HASH_BASE` modulo 2 ** 64.
    """
    # 15 times faster than `torch.unique` of rows (1,600 words of 20 characters, one thread).
    if is_exported():  # in a graph their number cannot depend on the values
        return rows, torch.arange(rows.shape[0], device=rows.device)
    factors = torch.full(rows.shape[1:], HASH_BASE, dtype=torch.long, device=rows.device).cumprod(0)
    _, index = (rows * factors).sum(1).unique(return_inverse=True)
    number = int(index.max()) + 1
    first = index.new_empty(number).scatter_(0, index, torch.arange(len(rows), device=rows.device))
    words = rows[first]
    if not torch.equal(words[index], rows):  # two rows with one number
        return rows.unique(dim=0, return_inverse=True)
    return words, index


def replace_at_random(ids: torch.LongTensor, replacement: int, rate: float) -> torch.LongTensor:
    """Word dropout: each id becomes `replacement` with probability `rate`."""
    return ids.masked_fill(torch.rand(ids.shape, device=ids.device) < rate, replacement)


def dropped_types(input_ids: torch.Tensor, vocab_size: int, rate: float, dtype: torch.dtype) -> torch.Tensor:
    """A factor for each token, (B, T, 1), that drops all occurrences of a type together (Merity et al. 2018, 4.3)."""
    return F.dropout(torch.ones(vocab_size, 1, dtype=dtype, device=input_ids.device), rate)[input_ids]

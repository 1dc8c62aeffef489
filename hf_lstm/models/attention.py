# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Attention of a decoder to what an encoder gives, by its own class for each score. Dimensions as in
`modeling_recurrent.py`, and T steps of the target, S steps of the source, N sources, B rows of the target, a multiple
of N; A the size of queries and keys, F of the encoder's features, K heads.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init


class Memory(NamedTuple):
    """
    What attention reads of a batch of sources, computed once for all steps of the target.

    Args:
        keys (`torch.Tensor` of shape `(N, K, A / K, S)`).
        values (`torch.Tensor` of shape `(N, K, S, F / K)`): Zero at padding.
        mask (`torch.BoolTensor` of shape `(N, 1, 1, S)`, *optional*): True at real positions; None if all are.
        source (`torch.Tensor` of shape `(N, S, F)`): The features that it was made of.
    """

    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor | None
    source: torch.Tensor

    def select(self, rows: torch.Tensor) -> "Memory":
        """Of these sources alone."""
        return Memory(*(None if each is None else each[rows] for each in self))


class Attention(nn.Module):
    """
    Weights over the steps of a source, and the mean of its features by them: with q_t the query of step t and k_s the
    key of step s,

        a_ts = softmax over s of score(q_t, k_s),   c_t = sum over s of a_ts v_s

    The values v are the features themselves; each of several heads has its part of them, of a projection, and of the
    queries and keys (Vaswani et al. 2017, section 3.2.2). A source without a real step has weights and context 0.

    Args:
        query_size (`int`): Size of what the decoder gives.
        source_size (`int`): F.
        size (`int`): A.
        num_heads (`int`, defaults to 1): K, which divides F and A.
        dropout (`float`, defaults to 0.0): Dropout rate on the weights.
    """

    def __init__(self, query_size: int, source_size: int, size: int, num_heads: int = 1, dropout: float = 0.0):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.key = nn.Linear(source_size, size, bias=False)
        self.value = nn.Linear(source_size, source_size, bias=False) if num_heads > 1 else nn.Identity()

    def memory(self, source: torch.Tensor, mask: torch.Tensor | None) -> Memory:
        """Features (N, S, F), zero at padding, and a mask (N, S), True at real positions, or None."""
        keys = self._split(self.key(source)).transpose(2, 3)
        mask = None if mask is None else mask[:, None, None]
        return Memory(keys, self._split(self.value(source)), mask, source)

    def _split(self, features: torch.Tensor) -> torch.Tensor:
        """(N, S, K * X) -> (N, K, S, X)."""
        return features.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, states: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            states (`torch.Tensor` of shape `(B, T, query_size)`): What the decoder gives. Each source has B / N rows,
                one after the other, such as its beams.
            memory ([`Memory`]): By [`~Attention.memory`].

        Returns:
            `tuple`: the contexts, of shape `(B, T, F)`, and the weights, of shape `(B, K, T, S)`.
        """
        rows, steps = states.shape[:2]
        sources, _, length, _ = memory.values.shape  # `len` would be a constant where a graph is recorded
        queries = self.queries(states).reshape(sources, -1, self.key.out_features)  # (N, B / N * T, A)
        scores = self.scores(self._split(queries), memory.keys)  # (N, K, B / N * T, S)
        if memory.mask is not None:
            scores = scores.masked_fill(~memory.mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1)
        if memory.mask is not None:
            weights = weights * memory.mask  # 0 where no step is real
        weights = F.dropout(weights, self.dropout, self.training)
        contexts = weights @ memory.values  # (N, K, B / N * T, F / K)
        contexts = contexts.transpose(1, 2).reshape(rows, steps, -1)
        weights = weights.unflatten(2, (-1, steps)).transpose(1, 2).reshape(rows, self.num_heads, steps, length)
        return contexts, weights

    def queries(self, states: torch.Tensor) -> torch.Tensor:
        """(B, T, query_size) -> (B, T, A)."""
        raise NotImplementedError

    def scores(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """(N, K, T, A / K) and (N, K, A / K, S) -> (N, K, T, S)."""
        raise NotImplementedError


class GeneralAttention(Attention):
    """score(h_t, s) = h_t W s (Luong et al. 2015, equation 8); the queries are the states themselves."""

    def __init__(self, query_size: int, source_size: int, size: int, num_heads: int = 1, dropout: float = 0.0):
        if size != query_size:
            raise ValueError(
                f"`attention_size={size}` is of projected queries; those of `attention='general'` are the states "
                f"themselves, of size {query_size}. Leave it out, or use `attention='scaled_dot'`."
            )
        super().__init__(query_size, source_size, size, num_heads, dropout)

    def queries(self, states: torch.Tensor) -> torch.Tensor:
        return states

    def scores(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return queries @ keys


class ScaledDotAttention(Attention):
    """
    score(h_t, s) = (W_q h_t) . (W_k s) / sqrt(A / K): the dot product (Luong et al. 2015, section 3.1) of projections
    of one size, scaled (Vaswani et al. 2017, equation 1).
    """

    def __init__(self, query_size: int, source_size: int, size: int, num_heads: int = 1, dropout: float = 0.0):
        super().__init__(query_size, source_size, size, num_heads, dropout)
        self.query = nn.Linear(query_size, size, bias=False)
        self.scale = (size // num_heads) ** -0.5

    def queries(self, states: torch.Tensor) -> torch.Tensor:
        return self.query(states) * self.scale

    def scores(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return queries @ keys


class AdditiveAttention(Attention):
    """score(h_t, s) = v . tanh(W h_t + U s + b) (Bahdanau et al. 2015, appendix A.1.2)."""

    draws_own_weights = True

    def __init__(self, query_size: int, source_size: int, size: int, num_heads: int = 1, dropout: float = 0.0):
        super().__init__(query_size, source_size, size, num_heads, dropout)
        self.query = nn.Linear(query_size, size)
        self.energy = nn.Parameter(torch.empty(num_heads, size // num_heads))

    def init_weights(self) -> None:
        """Draw what no layer draws: v, so that scores have about the variance of a unit."""
        init.normal_(self.energy, std=self.energy.shape[1] ** -0.5)

    def queries(self, states: torch.Tensor) -> torch.Tensor:
        return self.query(states)

    def scores(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        units = torch.tanh(queries[:, :, :, None] + keys.transpose(2, 3)[:, :, None])  # (N, K, T, S, A / K)
        return (units @ self.energy[:, None, :, None]).squeeze(-1)


ATTENTIONS = {"general": GeneralAttention, "scaled_dot": ScaledDotAttention, "additive": AdditiveAttention}

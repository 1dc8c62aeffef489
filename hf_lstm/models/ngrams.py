# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A linear model of the n-grams of a text, beside what recurrent layers make of it. Dimensions as in
`modeling_recurrent.py`; K labels, V buckets, N n-grams of a text, C characters of the longest word of a batch.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init

from .configuration_recurrent import RecurrentConfig
from .padding import Padding
from .text_inputs import HASH_BASE, TextInputs, distinct_rows


EDGE = -1  # in place of a character, where a word begins and ends
LEAST_CHARACTERS = 3
NONE = torch.iinfo(torch.long).min  # of no n-gram
Entries = tuple[torch.LongTensor, torch.Tensor]  # buckets and values


class NgramScores(nn.Module):
    r"""
    Scores of labels by the n-grams of a text, with a path of their own to the logits: what recurrent layers make of
    the text adds to a linear model (Wang & Manning 2012; n-grams by hashes as in Joulin et al. 2017, section 2.2).
    With V buckets, and |.| the Euclidean norm,

        x_b = (1 + ln tf_b) idf_b,   scores = sum over kinds of n-grams of W x / |x|, + c

    where tf_b of the n-grams are in bucket b. There are two kinds: of 1 to `ngram_order` tokens; and where the model
    reads characters, of 3 to `char_ngram_order` characters of each word, its edges included. idf_b = ln((1 + D) / (1 +
    d_b)) + 1, where d_b of D texts have any in bucket b (Salton & Buckley 1988).

    W and c are found by [`~ngram_fitting.fit_ngrams`], and take no part in training: its optimizer would learn n-grams
    by heart, and the network would have nothing left to learn.

    Args:
        config ([`RecurrentConfig`]): Configuration, with `ngram_buckets`.
    """

    draws_own_weights = True

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        self.buckets, self.order, self.char_order = config.ngram_buckets, config.ngram_order, config.char_ngram_order
        self.reads_characters = config.char_vocab_size > 0 and self.char_order >= LEAST_CHARACTERS
        self.register_buffer("idf", torch.empty(self.buckets))
        self.register_buffer("weight", torch.empty(self.buckets, config.num_labels))
        self.register_buffer("bias", torch.empty(config.num_labels))

    def init_weights(self) -> None:
        """Until they are found."""
        init.ones_(self.idf)
        init.zeros_(self.weight)
        init.zeros_(self.bias)

    def forward(self, text: TextInputs) -> torch.Tensor:
        """A batch of texts -> (B, K)."""
        if text.input_ids is None:
            raise ValueError("`input_ids` are None, of which n-grams are, with `ngram_buckets`: give them.")
        return self.bias + sum(
            (F.embedding(buckets, self.weight) * values[..., None]).sum(1) for buckets, values in self.vectors(text)
        )

    def vectors(self, text: TextInputs) -> list[Entries]:
        """Of each kind of n-grams x / |x|: the buckets of a text, (B, N), and their values; 0 behind the last."""
        return [self.weighed(*each) for each in self.features(text)]

    def weighed(self, buckets: torch.LongTensor, values: torch.Tensor) -> Entries:
        """Those of one kind, with 1 + ln tf, as x / |x|."""
        return buckets, F.normalize(values * self.idf[buckets], eps=torch.finfo(values.dtype).tiny)

    def features(self, text: TextInputs) -> list[Entries]:
        """Of tokens, and of characters: the distinct buckets of a text, (B, N), and 1 + ln tf, 0 behind the last."""
        return [self._distinct(codes) for codes in self._codes(text)]

    def _distinct(self, codes: torch.LongTensor) -> Entries:
        codes = codes.remainder(self.buckets).where(codes != NONE, self.buckets).sort(1).values
        first = F.pad(codes[:, 1:] != codes[:, :-1], (1, 0), value=True)
        place = first.cumsum(1) - 1  # of each code among the distinct ones
        real = codes < self.buckets
        counts = torch.zeros_like(codes).scatter_add_(1, place, real.long())
        buckets = torch.zeros_like(codes).scatter_(1, place, codes.where(real, 0))
        longest = max(1, int((counts > 0).sum(1).max()))
        counts = counts[:, :longest]
        return buckets[:, :longest], (1 + counts.clamp(min=1).to(self.idf.dtype).log()) * (counts > 0)

    def _codes(self, text: TextInputs) -> list[torch.LongTensor]:
        ids, mask = text.input_ids, text.attention_mask
        padding = Padding(torch.ones_like(ids, dtype=torch.bool) if mask is None else mask != 0)
        parts = [torch.cat(_of_rows(padding.pack(ids), padding.lengths, range(1, self.order + 1)), 1)]
        if self.reads_characters:
            words, index = distinct_rows(text.char_ids.flatten(0, 1))  # (N, C)
            lengths = (words != 0).sum(1)
            edged = F.pad(words, (1, 1), value=0)
            edged[:, 0] = EDGE
            edged = edged.scatter(1, lengths[:, None] + 1, EDGE)
            lengths = (lengths + 2) * (lengths > 0)
            of_words = torch.cat(_of_rows(edged, lengths, range(LEAST_CHARACTERS, self.char_order + 1)), 1)
            found = of_words[index].view(*ids.shape, -1)
            parts.append(found.masked_fill(~padding.mask[..., None], NONE).flatten(1))
        return parts


def _of_rows(symbols: torch.LongTensor, lengths: torch.LongTensor, orders: range) -> list[torch.LongTensor]:
    """The numbers of the n-grams of each order, (B, T) each, of rows (B, T) with padding behind them."""
    places, found = torch.arange(symbols.shape[1], device=symbols.device), []
    code = torch.zeros_like(symbols)
    for order in range(1, orders.stop):
        code = code * HASH_BASE + F.pad(symbols[:, order - 1 :], (0, min(order - 1, symbols.shape[1]))) + 7
        if order in orders:
            fits = places + order <= lengths[:, None]
            found.append((code * HASH_BASE + order).where(fits, NONE))
    return found

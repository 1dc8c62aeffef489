# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The n-grams of a text in ONNX operators. Dimensions as in `ngrams.py`."""

import numpy as np

from ..models.ngrams import EDGE, LEAST_CHARACTERS, NONE, NgramScores
from ..models.text_inputs import HASH_BASE
from .onnx_operators import INT64, Graph, Packing, array


def ngram_scores(g: Graph, scores: NgramScores, packing: Packing) -> str:
    """As [`NgramScores`], of the inputs of the graph: (B, K)."""
    tokens = g.Transpose(packing.pack("input_ids"), perm=[1, 0])  # (B, T)
    kinds = [_codes(g, tokens, g.Unsqueeze(packing.lengths, [1]), range(1, scores.order + 1))]
    if scores.reads_characters:
        kinds.append(_of_characters(g, scores, packing))
    total = array(scores.bias)
    for codes in kinds:
        total = g.Add(total, _of_kind(g, scores, codes))
    return total


def _of_characters(g: Graph, scores: NgramScores, packing: Packing) -> str:
    """The numbers of the n-grams of characters: (B, N)."""
    words = packing.pack("char_ids")  # (T, B, C)
    lengths = g.ReduceSum(g.Cast(g.Not(g.Equal(words, 0)), to=INT64), [2])  # (T, B, 1)
    words = g.Pad(words, [0, 0, 1] * 2)
    place = g.Range(0, g.Squeeze(g.Shape(words, start=2), [0]), 1)
    at_edge = g.Or(g.Equal(place, 0), g.Equal(place, g.Add(lengths, 1)))
    lengths = g.Mul(g.Add(lengths, 2), g.Cast(g.Greater(lengths, 0), to=INT64))
    orders = range(LEAST_CHARACTERS, scores.char_order + 1)
    codes = _codes(g, g.Where(at_edge, EDGE, words), lengths, orders)  # (T, B, .)
    codes = g.Transpose(g.Where(packing.real, codes, NONE), perm=[1, 0, 2])
    return g.Reshape(codes, g.Concat(g.Shape(codes, end=1), [-1], axis=0))


def _codes(g: Graph, symbols: str, lengths: str, orders: range) -> str:
    """The numbers of the n-grams of rows of symbols, (..., L) with lengths (..., 1) -> (..., N)."""
    number, found = g.Shape(symbols, start=-1), []
    place, code = g.Range(0, g.Squeeze(number, [0]), 1), g.Mul(symbols, 0)
    for order in range(1, orders.stop):
        # Behind the last symbol it is the last again: an n-gram that reaches there is none.
        following = g.Gather(symbols, g.Min(g.Add(place, order - 1), g.Sub(number, 1)), axis=-1)
        code = g.Add(g.Add(g.Mul(code, HASH_BASE), following), 7)
        if order in orders:
            fits = g.LessOrEqual(g.Add(place, order), lengths)
            found.append(g.Where(fits, g.Add(g.Mul(code, HASH_BASE), order), NONE))
    return g.Concat(*found, axis=-1) if len(found) > 1 else found[0]


def _of_kind(g: Graph, scores: NgramScores, codes: str) -> str:
    """W x / |x| of n-grams of one kind: (B, N) -> (B, K)."""
    buckets = g.Where(g.Equal(codes, NONE), scores.buckets, g.Mod(codes, scores.buckets))
    number = g.Shape(buckets, start=1)
    buckets, _ = g.TopK(buckets, number, largest=0, outputs=2)  # all, in their order
    before = g.Slice(g.Pad(buckets, [0, 1, 0, 0], -1), [0], number, [1])
    differs = g.Cast(g.Not(g.Equal(buckets, before)), to=INT64)
    place, zeros = g.Sub(g.CumSum(differs, 1), 1), g.Mul(buckets, 0)  # of each among the distinct ones
    real = g.Less(buckets, scores.buckets)
    counts = g.ScatterElements(zeros, place, g.Cast(real, to=INT64), axis=1, reduction="add")
    buckets = g.ScatterElements(zeros, place, g.Where(real, buckets, 0), axis=1)
    weights = g.Gather(array(scores.idf), buckets)
    tf = g.Add(g.Log(g.CastLike(g.Max(counts, 1), weights)), 1.0)
    values = g.Mul(g.Where(g.Greater(counts, 0), tf, 0.0), weights)
    values = g.Div(values, g.Max(g.ReduceL2(values, axes=[1]), float(np.finfo(np.float32).tiny)))
    products = g.MatMul(g.Unsqueeze(values, [1]), g.Gather(array(scores.weight), buckets))  # (B, 1, K)
    return g.Squeeze(products, [1])

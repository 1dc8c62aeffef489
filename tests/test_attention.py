# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Attention of a decoder, by every score, against torch's own and against a loop from the equations."""

import pytest
import torch
import torch.nn.functional as F
from families import MASKS, assert_close
from reference import attend

from hf_lstm.models.attention import ATTENTIONS, Memory


each_kind = pytest.mark.parametrize("kind", ATTENTIONS)
each_number = pytest.mark.parametrize("heads", [1, 2, 4])
MASK = torch.tensor([MASKS["left"][0], MASKS["right"][0], MASKS["holes"][0], MASKS["empty row"][0]]).bool()


def build(kind, heads=1, dropout=0.0, size=8, source_size=12):
    attention = ATTENTIONS[kind](8, source_size, size, heads, dropout).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    return attention


def problem(rows=4, steps=3):
    return torch.randn(rows, steps, 8, dtype=torch.float64), torch.randn(4, 7, 12, dtype=torch.float64)


def clean(source, mask):
    return source.masked_fill(~mask[..., None], 0)


@each_number
@each_kind
def test_equals_the_loop(kind, heads):
    attention, (states, source) = build(kind, heads), problem()
    contexts, weights = attention(states, attention.memory(clean(source, MASK), MASK))
    assert contexts.shape == (4, 3, 12) and weights.shape == (4, heads, 3, 7)
    for row in range(4):
        for step in range(3):
            context, a = attend(attention, states[row, step], source[row, MASK[row]])
            assert_close(contexts[row, step], context, 1e-12)
            assert_close(weights[row, :, step, MASK[row]], a, 1e-12)
    assert not weights.transpose(1, 3)[~MASK].any() and not contexts[3].any()


@each_number
@pytest.mark.parametrize("kind", ["scaled_dot", "general"])
def test_equals_the_attention_of_torch(kind, heads):
    """`F.scaled_dot_product_attention` over the same queries, keys and values."""
    attention, (states, source) = build(kind, heads), problem()
    mask = MASK[:3]  # where nothing is real, torch's is NaN, or the mean of all
    states, source = states[:3], clean(source[:3], mask)
    queries = states if kind == "general" else states @ attention.query.weight.T

    def split(values):
        return values.unflatten(-1, (heads, -1)).transpose(1, 2)

    values = source if heads == 1 else source @ attention.value.weight.T
    expected = F.scaled_dot_product_attention(
        split(queries),
        split(source @ attention.key.weight.T),
        split(values),
        attn_mask=mask[:, None, None],
        scale=1.0 if kind == "general" else None,
    )
    contexts, _ = attention(states, attention.memory(source, mask))
    assert_close(contexts, expected.transpose(1, 2).flatten(2), 1e-12)


@each_kind
def test_padding_gets_no_weight_and_no_gradient(kind):
    attention, (states, source) = build(kind, 2), problem()
    source.requires_grad_()
    contexts, weights = attention(states, attention.memory(source, MASK))
    contexts.square().sum().backward()
    assert not source.grad[~MASK].any() and source.grad[MASK].any() and source.grad.isfinite().all()
    assert_close(weights.sum(-1), MASK.any(1).double()[:, None, None].expand(-1, 2, 3), 1e-12)
    assert all(p.grad.isfinite().all() for p in attention.parameters())


@each_kind
def test_extreme_scores_stay_finite(kind):
    attention, (states, source) = build(kind), problem()
    for dtype in (torch.float32, torch.bfloat16):
        attention = attention.to(dtype)
        source = (1000 * source).to(dtype)
        contexts, weights = attention((30 * states).to(dtype), attention.memory(clean(source, MASK), MASK))
        assert contexts.isfinite().all() and weights.isfinite().all()
        source = source / 1000


@each_kind
def test_rows_of_one_source_follow_each_other(kind):
    attention, (_, source) = build(kind, 2), problem()
    states, _ = problem(rows=12)
    shared = attention(states, attention.memory(source, MASK))
    repeated = attention.memory(source.repeat_interleave(3, 0), MASK.repeat_interleave(3, 0))
    assert_close(shared, attention(states, repeated), 1e-12)


@each_kind
def test_some_of_the_sources(kind):
    attention, (states, source) = build(kind), problem()
    rows = torch.tensor([2, 0])
    for mask in (None, MASK):
        memory = attention.memory(source, mask)
        selected = memory.select(rows)
        assert isinstance(selected, Memory) and len(selected.source) == 2
        expected = [each[rows] for each in attention(states, memory)]
        assert_close(attention(states[rows], selected), expected, 1e-12)


@each_kind
def test_a_source_without_steps(kind):
    attention, (states, source) = build(kind, 2), problem()
    contexts, weights = attention(states, attention.memory(source[:, :0], None))
    assert contexts.shape == (4, 3, 12) and not contexts.any() and weights.shape == (4, 2, 3, 0)


@each_kind
def test_dropout_acts_on_the_weights_in_training(kind):
    attention, (states, source) = build(kind, dropout=0.5), problem(steps=50)
    memory = attention.memory(source, None)
    plain = attention.eval()(states, memory)[1]
    contexts, weights = attention.train()(states, memory)
    kept = weights != 0
    assert 0.4 < kept.double().mean() < 0.6
    assert_close(weights[kept], 2 * plain[kept], 1e-12)
    assert_close(contexts, torch.einsum("nkts,nsf->ntf", weights, source), 1e-12)


def test_a_size_of_queries_that_general_attention_cannot_have():
    with pytest.raises(ValueError, match=r"`attention_size=4` .* of size 8.*scaled_dot"):
        build("general", size=4)

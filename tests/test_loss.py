# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The cross-entropy that holds no logits, against torch's own."""

import pytest
import torch
from families import assert_close, each_family, random_ids, without_and_with_logits
from torch.nn import functional as F

from hf_lstm.models import losses
from hf_lstm.models.losses import linear_cross_entropy


def problem(dtype=torch.float32, bias=True, rows=23, size=5, classes=11, ignored=6):
    hidden = torch.randn(rows, size, dtype=dtype, requires_grad=True)
    weight = torch.randn(classes, size, dtype=dtype, requires_grad=True)
    bias = torch.randn(classes, dtype=dtype, requires_grad=True) if bias else None
    targets = torch.randint(classes, (rows,))
    targets[torch.randperm(rows)[:ignored]] = -100
    return hidden, weight, bias, targets


def value_and_gradients(loss, hidden, weight, bias):
    inputs = [tensor for tensor in (hidden, weight, bias) if tensor is not None]
    return [loss.detach(), *torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("rows_at_a_time", [1, 4, 100])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("num_items", [None, 7, torch.tensor(40)], ids=str)
def test_equals_cross_entropy(rows_at_a_time, bias, num_items, monkeypatch):
    monkeypatch.setattr(losses, "rows_at_a_time", lambda weight: rows_at_a_time)
    hidden, weight, bias, targets = problem(bias=bias)
    loss = linear_cross_entropy(hidden, weight, bias, targets, num_items)
    logits = F.linear(hidden, weight, bias)
    expected = F.cross_entropy(logits, targets, reduction="sum") / (17 if num_items is None else num_items)
    ours, theirs = (value_and_gradients(each, hidden, weight, bias) for each in (3 * loss, 3 * expected))
    assert_close(ours, theirs, 1e-5)


@pytest.mark.parametrize("rows_at_a_time", [1, 4, 100])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("smoothing", [0.1, 0.9])
def test_label_smoothing_equals_that_of_torch(rows_at_a_time, bias, smoothing, monkeypatch):
    monkeypatch.setattr(losses, "rows_at_a_time", lambda weight: rows_at_a_time)
    hidden, weight, bias, targets = problem(bias=bias)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    expected = criterion(F.linear(hidden, weight, bias), targets)
    loss = linear_cross_entropy(hidden, weight, bias, targets, smoothing=smoothing)
    ours, theirs = (value_and_gradients(each, hidden, weight, bias) for each in (3 * loss, 3 * expected))
    assert_close(ours, theirs, 1e-5)
    halved = linear_cross_entropy(hidden, weight, bias, targets, torch.tensor(34), smoothing)
    assert_close(halved, expected / 2, 1e-5)


@pytest.mark.parametrize("rows_at_a_time", [4, 100])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_label_smoothing_in_other_dtypes(dtype, rows_at_a_time, monkeypatch):
    monkeypatch.setattr(losses, "rows_at_a_time", lambda weight: rows_at_a_time)
    hidden, weight, bias, targets = problem(dtype)
    loss = linear_cross_entropy(hidden, weight, bias, targets, smoothing=0.3)
    ours = value_and_gradients(loss, hidden, weight, bias)
    wide = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight, bias)]
    theirs = value_and_gradients(F.cross_entropy(F.linear(*wide), targets, label_smoothing=0.3), *wide)
    assert ours[0].dtype == torch.promote_types(dtype, torch.float32) and all(g.dtype == dtype for g in ours[1:])
    tolerance = {torch.float64: 1e-6, torch.bfloat16: 0.02, torch.float16: 0.003}[dtype]
    assert_close([each.double() for each in ours], [each.double() for each in theirs], tolerance)
    hidden, weight, bias, targets = (
        each.detach().float() if each.is_floating_point() else each for each in (hidden, weight, bias, targets)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = linear_cross_entropy(hidden, weight, bias, targets, smoothing=0.3)
    assert_close(under_autocast.double(), theirs[0], 0.02)


def test_label_smoothing_of_many_classes():
    """The columns that only align the rows of scores, which are -inf, have no share of what is spread."""
    for classes in (15, 16, 17, 33):
        hidden, weight, bias, targets = problem(classes=classes)
        loss = linear_cross_entropy(hidden, weight, bias, targets, smoothing=0.5)
        expected = F.cross_entropy(F.linear(hidden, weight, bias), targets, label_smoothing=0.5)
        assert_close(*(value_and_gradients(each, hidden, weight, bias) for each in (loss, expected)), 1e-5)


def test_shapes_and_partial_gradients():
    hidden, weight, bias, targets = problem(rows=24)
    flat = linear_cross_entropy(hidden, weight, bias, targets)
    assert_close(linear_cross_entropy(hidden.view(4, 6, 5), weight, bias, targets.view(4, 6)), flat, 0)
    (grad,) = torch.autograd.grad(linear_cross_entropy(hidden.detach(), weight, bias, targets), [weight])
    assert_close(grad, torch.autograd.grad(flat, [weight])[0], 0)
    with torch.no_grad():
        assert_close(linear_cross_entropy(hidden, weight, bias, targets), flat.detach(), 0)


def test_extreme_logits_stay_finite():
    hidden, weight, bias, targets = problem()
    loss = linear_cross_entropy(1000 * hidden, weight, bias, targets)
    expected = F.cross_entropy(F.linear(1000 * hidden, weight, bias), targets)
    assert expected > 100
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_dtypes(dtype):
    hidden, weight, bias, targets = problem(dtype)
    ours = value_and_gradients(linear_cross_entropy(hidden, weight, bias, targets), hidden, weight, bias)
    wide = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight, bias)]
    theirs = value_and_gradients(F.cross_entropy(F.linear(*wide), targets), *wide)
    assert ours[0].dtype == torch.promote_types(dtype, torch.float32) and all(g.dtype == dtype for g in ours[1:])
    tolerance = {torch.float64: 1e-6, torch.bfloat16: 0.02, torch.float16: 0.003}[dtype]
    assert_close([each.double() for each in ours], [each.double() for each in theirs], tolerance)


def test_autocast():
    hidden, weight, bias, targets = problem()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, bias, targets)
    ours = value_and_gradients(loss, hidden, weight, bias)
    theirs = value_and_gradients(F.cross_entropy(F.linear(hidden, weight, bias), targets), hidden, weight, bias)
    assert loss.dtype == torch.float32 and all(g.dtype == torch.float32 for g in ours)
    assert_close(ours, theirs, 0.03)


def test_no_label_at_all():
    hidden, weight, bias, _ = problem()
    targets = torch.full((23,), -100)
    assert linear_cross_entropy(hidden, weight, bias, targets) == 0  # where torch's mean over nothing is NaN
    for smoothing in (0.0, 0.2):
        loss = linear_cross_entropy(hidden, weight, bias, targets, 5, smoothing)
        assert loss == 0 and not any(g.any() for g in value_and_gradients(loss, hidden, weight, bias)[1:])


@pytest.mark.parametrize("fields", [{}, {"tie_word_embeddings": False, "lm_head_bias": False}], ids=str)
@each_family
def test_model_trains_alike_with_and_without_logits(family, fields):
    model = family.build("ForCausalLM", **fields).train()
    ids, mask = random_ids(), torch.tensor([[0, 1, 1, 1, 0, 1, 1]] * 3)
    results = without_and_with_logits(model, ids, mask)
    assert_close(results[0], results[1], 1e-5)


def test_logits_are_there_when_wanted():
    from families import LSTM

    model, ids = LSTM.build("ForCausalLM"), random_ids()
    assert model(ids, labels=ids).logits is not None
    assert model(ids, labels=ids, output_logits=False).logits is None
    model.train()
    assert model(ids).logits is not None
    model.loss_function = lambda logits, labels, **kwargs: logits.sum()  # a loss of the user's own sees logits
    assert_close(model(ids, labels=ids).loss, model(ids).logits.sum(), 1e-3)
    del model._loss_function
    handle = model.lm_head.register_forward_hook(lambda module, inputs, output: output * 0)
    assert_close(model(ids, labels=ids).loss, torch.tensor(31.0).log(), 1e-4)
    handle.remove()
    model.lm_head = torch.nn.Sequential(model.lm_head)
    assert model(ids, labels=ids).loss.isfinite()

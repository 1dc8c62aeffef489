# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The training path of the LSTM in bf16 on a CPU: in fp64 it equals `torch.lstm`, and in bf16 it is near to that."""

import copy

import pytest
import torch
from families import LSTM, assert_close, each_direction, each_mask, states

from hf_lstm.models import lstm


LENGTH = 11  # the path is for 8 steps and more
LOSSES = {"outputs": (1, 0, 0), "final output": (0, 1, 0), "cell": (0, 0, 1), "all": (1, 1, 1)}


def build_layer(bidirectional=False, dtype=torch.float64, **fields):
    return LSTM.head("Model")(LSTM.config(bidirectional=bidirectional, **fields)).layers[0].to(dtype)


def random_arguments(layer, length=LENGTH, batch=3):
    """Inputs and state with gradients, then the weights."""
    options = {"dtype": layer.weight_hh_l0.dtype, "requires_grad": True}
    inputs = torch.randn(batch, length, layer.input_size, **options)
    h, c = (torch.randn(layer.num_directions, batch, layer.hidden_size, **options) for _ in range(2))
    return inputs, h, c, *layer.parameters()


def run(layer, inputs, h, c, *weights):
    outputs, state = layer.kernel(inputs, (h, c), list(weights), layer.num_directions == 2)
    return outputs, *state


def run_torch(layer, inputs, h, c, *weights):
    return torch.lstm(inputs, (h, c), weights, layer.bias, 1, 0.0, True, layer.num_directions == 2, True)


@pytest.fixture
def calls(monkeypatch):
    """A list that grows by an entry for each direction on the path, which runs for any type, size and processor."""
    found = []
    forward = lstm.LSTMSequence.forward
    monkeypatch.setattr(lstm.LSTMSequence, "forward", staticmethod(lambda *args: found.append(args) or forward(*args)))
    monkeypatch.setattr(lstm.LSTMLayer, "_by_hand", lstm.LSTMLayer._may_train_by_hand)
    return found


@each_direction
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_gradients_equal_torch(calls, bidirectional, bias, loss):
    layer = build_layer(bidirectional, bias=bias)
    arguments = random_arguments(layer)
    results = []
    factors = [torch.randn_like(tensor) for tensor in run_torch(layer, *arguments)]
    for kernel in (run, run_torch):
        values = kernel(layer, *arguments)
        total = sum((v * f).sum() * used for v, f, used in zip(values, factors, LOSSES[loss], strict=True) if used)
        results.append([*values, *torch.autograd.grad(total, arguments, materialize_grads=True)])
    assert len(calls) == layer.num_directions
    assert_close(results[0], results[1], 1e-10)


@each_direction
def test_numerical_gradient(calls, bidirectional):
    layer = build_layer(bidirectional, hidden_size=3, embedding_size=2)
    arguments = random_arguments(layer, length=8, batch=2)
    assert torch.autograd.gradcheck(lambda *tensors: run(layer, *tensors), arguments)
    assert calls


@each_direction
def test_bf16_is_near_the_truth(calls, bidirectional):
    """Each value and gradient within the rounding of bf16, 2 ** -8, of what fp64 gives; torch is as near."""
    layer = build_layer(bidirectional, torch.bfloat16, hidden_size=64, embedding_size=64)
    arguments = random_arguments(layer, length=30, batch=16)
    exact = [tensor.detach().double().requires_grad_() for tensor in arguments]
    results = []
    for kernel, tensors in ((run, arguments), (run_torch, arguments), (run_torch, exact)):
        values = kernel(layer, *tensors)
        total = sum(value.float().pow(2).sum() for value in values)
        results.append([*values, *torch.autograd.grad(total, tensors)])
    assert len(calls) == layer.num_directions
    for ours, theirs, truth in zip(*results, strict=True):
        error = (ours - truth).norm() / truth.norm()
        assert error <= 2**-6 and error <= 2.5 * (theirs - truth).norm() / truth.norm()


@each_mask
@each_direction
def test_model_under_any_mask_equals_torch(calls, monkeypatch, bidirectional, mask):
    """Padding columns and dropped weights: a loss on the outputs at real positions and on the final states."""
    model = LSTM.build("Model", bidirectional=bidirectional, recurrent_weight_dropout=0.4).double().train()
    mask = torch.cat([mask, mask], dim=1)
    inputs = torch.randn(*mask.shape, model.config.input_size, dtype=torch.float64, requires_grad=True)
    weights = [parameter for layer in model.layers for parameter in layer.parameters()]
    results = []
    for by_hand in (True, False):
        if not by_hand:
            monkeypatch.setattr(lstm.LSTMLayer, "_by_hand", lambda self, tensors: False)
        torch.manual_seed(0)
        outputs = model(inputs_embeds=inputs, attention_mask=mask, use_cache=True)
        values = [outputs.last_hidden_state, *states(outputs)]
        results.append(
            [*values, *torch.autograd.grad(sum(value.pow(2).sum() for value in values), [inputs, *weights])]
        )
    assert len(calls) >= len(model.layers)
    assert_close(results[0], results[1], 1e-9)


@pytest.mark.parametrize("frozen", ["weights", "inputs and state"])
def test_what_is_frozen_gets_no_gradient(calls, frozen):
    layer = build_layer()
    inputs, h, c, *weights = random_arguments(layer)
    tensors = {"weights": weights, "inputs and state": [inputs, h, c]}[frozen]
    trained = [tensor for tensor in (inputs, h, c, *weights) if all(tensor is not other for other in tensors)]
    expected = torch.autograd.grad(run_torch(layer, inputs, h, c, *weights)[0].sum(), trained)
    for tensor in tensors:
        tensor.requires_grad_(False)
    run(layer, inputs, h, c, *weights)[0].sum().backward()
    assert_close([tensor.grad for tensor in trained], list(expected), 1e-10)
    assert all(tensor.grad is None for tensor in tensors)
    assert len(calls) == 1


@each_direction
def test_outputs_may_change_in_place_and_a_graph_be_kept(calls, bidirectional):
    layer = build_layer(bidirectional)
    arguments = random_arguments(layer)
    expected = torch.autograd.grad(2 * run_torch(layer, *arguments)[0].sum(), arguments)
    outputs, h, c = run(layer, *arguments)
    outputs.mul_(2)
    h.zero_()
    c.zero_()
    for _ in range(2):
        found = torch.autograd.grad(outputs.sum() + h.sum() + c.sum(), arguments, retain_graph=True)
        assert_close(found, expected, 1e-10)


@each_direction
def test_second_derivatives_equal_torch(calls, bidirectional):
    layer = build_layer(bidirectional)
    arguments = random_arguments(layer)
    results = []
    for kernel in (run, run_torch):
        total = sum(value.sum() for value in kernel(layer, *arguments))
        first = torch.autograd.grad(total, arguments, create_graph=True)
        results.append([*first, *torch.autograd.grad(sum(each.pow(2).sum() for each in first), arguments)])
    assert_close(results[0], results[1], 1e-9)


def test_checkpointed_and_copied_models_train_alike(calls):
    model = LSTM.build("ForCausalLM").train()
    twins = [model, copy.deepcopy(model), copy.deepcopy(model)]
    twins[1].gradient_checkpointing_enable()
    ids = torch.randint(1, 31, (3, LENGTH))
    for twin in twins:
        twin(ids, labels=ids).loss.backward()
    assert len(calls) == 8  # two layers, three models, once more with checkpoints
    for name, parameter in model.named_parameters():
        for twin in twins[1:]:
            assert torch.equal(parameter.grad, twin.get_parameter(name).grad), name


def test_where_it_runs(monkeypatch):
    """In bf16, autocast too, from 448 units on, where the processor has bf16 and no tiles; fp32 stays with torch."""
    found, layers = [], {}
    forward = lstm.LSTMSequence.forward
    monkeypatch.setattr(lstm.LSTMSequence, "forward", staticmethod(lambda *args: found.append(args) or forward(*args)))
    for has_it in (True, False):
        monkeypatch.setattr(lstm, "has_bf16_without_tiles", lambda has_it=has_it: has_it)
        for size in (16, 448):
            layer = layers.setdefault(size, build_layer(dtype=torch.float32, hidden_size=size, embedding_size=8))
            inputs = torch.randn(2, 8, 8)
            layer(inputs)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                layer(inputs)
            assert not found
            with torch.autocast("cpu", torch.bfloat16):
                layer(inputs)
            assert len(found) == (has_it and size == 448)
            found.clear()

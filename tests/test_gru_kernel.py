# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The training path of the GRU on a CPU against `torch.gru`, of which it is a faster twin."""

import copy

import pytest
import torch
from families import GRU, assert_close, each_direction, each_mask, states

from hf_lstm.models import gru


LENGTH = 11  # the path is for 8 steps and more
LOSSES = {"outputs": (1, 0), "final state": (0, 1), "both": (1, 1)}
TOLERANCES = {torch.float32: (1e-5, 1e-4), torch.float64: (1e-10, 1e-10)}  # values, gradients


def build_layer(bidirectional=False, dtype=torch.float32, **fields):
    return GRU.head("Model")(GRU.config(bidirectional=bidirectional, **fields)).layers[0].to(dtype)


def random_arguments(layer, length=LENGTH, batch=3):
    """Inputs and state with gradients, then the weights."""
    options = {"dtype": layer.weight_hh_l0.dtype, "requires_grad": True}
    inputs = torch.randn(batch, length, layer.input_size, **options)
    state = torch.randn(layer.num_directions, batch, layer.hidden_size, **options)
    return inputs, state, *layer.parameters()


def run(layer, inputs, state, *weights):
    outputs, (final,) = layer.kernel(inputs, (state,), list(weights), layer.num_directions == 2)
    return outputs, final


def run_torch(layer, inputs, state, *weights):
    return torch.gru(inputs, state, weights, layer.bias, 1, 0.0, True, layer.num_directions == 2, True)


@pytest.fixture
def calls(monkeypatch):
    """A list that grows by an entry for each direction that runs on the path."""
    found = []
    forward = gru.GRUSequence.forward
    monkeypatch.setattr(gru.GRUSequence, "forward", staticmethod(lambda *args: found.append(args) or forward(*args)))
    return found


@each_direction
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_values_and_gradients_equal_torch(calls, bidirectional, bias, loss, dtype):
    layer = build_layer(bidirectional, dtype, bias=bias)
    arguments = random_arguments(layer)
    results = []
    factors = [torch.randn_like(tensor) for tensor in run_torch(layer, *arguments)]
    for kernel in (run, run_torch):
        values = kernel(layer, *arguments)
        total = sum((v * f).sum() * used for v, f, used in zip(values, factors, LOSSES[loss], strict=True) if used)
        results.append((values, torch.autograd.grad(total, arguments)))
    assert len(calls) == layer.num_directions
    (values, gradients), (expected, expected_gradients) = results
    assert_close(values, expected, TOLERANCES[dtype][0])
    assert_close(gradients, expected_gradients, TOLERANCES[dtype][1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_as_close_to_the_truth_as_torch(calls, dtype):
    layer = build_layer(True, dtype)
    arguments = random_arguments(layer)
    exact = [tensor.detach().double().requires_grad_() for tensor in arguments]
    results = []
    for kernel, tensors in ((run, arguments), (run_torch, arguments), (run_torch, exact)):
        values = kernel(layer, *tensors)
        results.append([*values, *torch.autograd.grad(sum(value.sum() for value in values), tensors)])
    assert len(calls) == 2
    for ours, theirs, truth in zip(*results, strict=True):
        assert (ours - truth).norm() <= 1.2 * (theirs - truth).norm() + 1e-3 * truth.norm()


@each_direction
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_numerical_gradient(calls, bidirectional, bias):
    layer = build_layer(bidirectional, torch.double, bias=bias, hidden_size=3, embedding_size=2)
    arguments = random_arguments(layer, length=8, batch=2)
    assert torch.autograd.gradcheck(lambda *tensors: run(layer, *tensors), arguments)
    assert calls


@each_mask
@each_direction
def test_model_under_any_mask_equals_torch(calls, monkeypatch, bidirectional, mask):
    """The layers as models call them: a loss on the outputs at real positions and on the final states."""
    model = GRU.build("Model", bidirectional=bidirectional)
    mask = torch.cat([mask, mask], dim=1)
    inputs = torch.randn(*mask.shape, model.config.input_size, requires_grad=True)
    weights = [parameter for layer in model.layers for parameter in layer.parameters()]
    results = []
    for by_hand in (True, False):
        if not by_hand:
            monkeypatch.setattr(type(model.layers[0]), "_by_hand", lambda self, tensors: False)
        outputs = model(inputs_embeds=inputs, attention_mask=mask, use_cache=True)
        values = [outputs.last_hidden_state, *states(outputs)]
        gradients = torch.autograd.grad(sum(value.pow(2).sum() for value in values), [inputs, *weights])
        results.append((values, gradients))
    assert len(calls) >= len(model.layers)
    assert_close(results[0][0], results[1][0])
    assert_close(results[0][1], results[1][1], 1e-4)


@pytest.mark.parametrize("frozen", ["weights", "inputs and state"])
def test_what_is_frozen_gets_no_gradient(calls, frozen):
    layer = build_layer()
    inputs, state, *weights = random_arguments(layer)
    tensors = {"weights": weights, "inputs and state": [inputs, state]}[frozen]
    trained = [tensor for tensor in (inputs, state, *weights) if all(tensor is not other for other in tensors)]
    expected = torch.autograd.grad(run_torch(layer, inputs, state, *weights)[0].sum(), trained)
    for tensor in tensors:
        tensor.requires_grad_(False)
    run(layer, inputs, state, *weights)[0].sum().backward()
    assert_close([tensor.grad for tensor in trained], list(expected), 1e-4)
    assert all(tensor.grad is None for tensor in tensors)
    assert len(calls) == 1


@each_direction
def test_outputs_may_change_in_place_and_a_graph_be_kept(bidirectional):
    layer = build_layer(bidirectional)
    arguments = random_arguments(layer)
    expected = torch.autograd.grad(2 * run_torch(layer, *arguments)[0].sum(), arguments)
    outputs, final = run(layer, *arguments)
    outputs.mul_(2)
    final.zero_()
    for _ in range(2):
        found = torch.autograd.grad(outputs.sum() + final.sum(), arguments, retain_graph=True)
        assert_close(found, expected, 1e-4)


def test_inference_short_inputs_and_transforms_stay_with_torch(calls, monkeypatch):
    layer = build_layer(True)
    inputs, state, *weights = random_arguments(layer)
    expected = run_torch(layer, inputs, state, *weights)
    with torch.no_grad():
        assert_close(run(layer, inputs, state, *weights), expected)
    detached = [tensor.detach() for tensor in (inputs, state, *weights)]
    assert_close(run(layer, *detached), expected)
    run(layer, inputs[:, :7], state, *weights)
    torch.func.grad(lambda tensor: run(layer, tensor, state, *weights)[0].sum())(inputs.detach())
    compiled = torch.compile(lambda *tensors: run(layer, *tensors), backend="eager")
    assert_close(compiled(inputs, state, *weights), expected)
    with monkeypatch.context() as patch:
        patch.setattr(torch.jit, "is_tracing", lambda: True)  # a trace that holds a Python function cannot be saved
        run(layer, inputs, state, *weights)
    assert not calls
    run(layer, inputs, state, *weights)
    assert len(calls) == 2


@each_direction
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_second_derivatives_equal_torch(calls, bidirectional, bias):
    layer = build_layer(bidirectional, torch.double, bias=bias)
    inputs, state, *weights = random_arguments(layer)
    results = []
    for kernel in (run, run_torch):
        # One weight depends on another, whose gradient must not be counted twice.
        outputs, final = kernel(layer, inputs, state, weights[0], weights[1] * weights[0].mean(), *weights[2:])
        first = torch.autograd.grad(outputs.sum() + final.sum(), [inputs, state, *weights], create_graph=True)
        second = torch.autograd.grad(sum(gradient.pow(2).sum() for gradient in first), [inputs, state, *weights])
        results.append([*first, *second])
    assert len(calls) == layer.num_directions
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def test_checkpointed_and_copied_models_train_alike(calls):
    model = GRU.build("ForCausalLM").train()
    twins = [model, copy.deepcopy(model), copy.deepcopy(model)]
    twins[1].gradient_checkpointing_enable()
    ids = torch.randint(1, 31, (3, LENGTH))
    for twin in twins:
        twin(ids, labels=ids).loss.backward()
    assert len(calls) == 8  # two layers, three models, once more with checkpoints
    for name, parameter in model.named_parameters():
        for twin in twins[1:]:
            assert torch.equal(parameter.grad, twin.get_parameter(name).grad), name

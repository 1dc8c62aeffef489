# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The training paths of LSTM and GRU on a CPU against torch's own kernels, of which they are faster twins. That of the
LSTM is for bf16; what it computes is told apart from rounding in fp32 and fp64, where it is made to run as well.
"""

import copy

import pytest
import torch
from families import GRU, LSTM, assert_close, each_direction, each_mask, states

from hf_lstm.models import gru, lstm


LENGTH = 11  # the paths are for 8 steps and more
FUNCTIONS = {LSTM: lstm.LSTMSequence, GRU: gru.GRUSequence}
TOLERANCES = {torch.float32: (1e-5, 1e-4), torch.float64: (1e-10, 1e-10)}  # values, gradients
LOSSES = {"outputs": (1, 0, 0), "final output": (0, 1, 0), "cell": (0, 0, 1), "all": (1, 1, 1)}
each_family = pytest.mark.parametrize("family", FUNCTIONS, ids=str)
with_and_without_bias = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])


def build_layer(family, bidirectional=False, dtype=torch.float64, **fields):
    return family.head("Model")(family.config(bidirectional=bidirectional, **fields)).layers[0].to(dtype)


def random_arguments(layer, length=LENGTH, batch=3):
    """Inputs and state with gradients, then the weights."""
    options = {"dtype": layer.weight_hh_l0.dtype, "requires_grad": True}
    inputs = torch.randn(batch, length, layer.input_size, **options)
    state = [torch.randn(layer.num_directions, batch, layer.hidden_size, **options) for _ in layer.state_names]
    return inputs, *state, *layer.parameters()


def split(layer, tensors):
    number = len(layer.state_names)
    return tensors[:number], tensors[number:]


def run(layer, inputs, *tensors):
    """Outputs, and the tensors of the final state."""
    state, weights = split(layer, tensors)
    outputs, state = layer.kernel(inputs, state, list(weights), layer.num_directions == 2)
    return outputs, *state


def run_torch(layer, inputs, *tensors):
    state, weights = split(layer, tensors)
    kernel, state = (torch.lstm, state) if len(state) == 2 else (torch.gru, state[0])
    return kernel(inputs, state, weights, layer.bias, 1, 0.0, True, layer.num_directions == 2, True)


def recorded(monkeypatch, family) -> list:
    """A list that grows by an entry for each direction on the path."""
    found, function = [], FUNCTIONS[family]
    forward = function.forward
    monkeypatch.setattr(function, "forward", staticmethod(lambda *args: found.append(args) or forward(*args)))
    return found


@pytest.fixture
def calls(monkeypatch, family):
    """As `recorded`; the path runs for any type, size and processor."""
    monkeypatch.setattr(family.head("Model").layer_class, "_by_hand", lambda self, t: self._may_train_by_hand(t))
    return recorded(monkeypatch, family)


@each_direction
@with_and_without_bias
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(
    "family, loss",
    [(family, loss) for family in FUNCTIONS for loss in LOSSES if (family, loss) != (GRU, "cell")],
    ids=str,
)
def test_values_and_gradients_equal_torch(calls, family, bidirectional, bias, loss, dtype):
    layer = build_layer(family, bidirectional, dtype, bias=bias)
    arguments = random_arguments(layer)
    results = []
    factors = [torch.randn_like(tensor) for tensor in run_torch(layer, *arguments)]
    for kernel in (run, run_torch):
        values = kernel(layer, *arguments)
        total = sum((v * f).sum() for v, f, used in zip(values, factors, LOSSES[loss], strict=False) if used)
        results.append((values, torch.autograd.grad(total, arguments, materialize_grads=True)))
    assert len(calls) == layer.num_directions
    (values, gradients), (expected, expected_gradients) = results
    assert_close(values, expected, TOLERANCES[dtype][0])
    assert_close(gradients, expected_gradients, TOLERANCES[dtype][1])


@pytest.mark.parametrize(
    "family, dtype, size, times",
    [(LSTM, torch.bfloat16, 64, 2.5), (GRU, torch.bfloat16, 10, 1.2), (GRU, torch.float16, 10, 1.2)],
    ids=str,
)
def test_half_precision_is_as_near_to_the_truth_as_torch(calls, family, dtype, size, times):
    """That is what fp64 gives."""
    layer = build_layer(family, True, dtype, hidden_size=size, embedding_size=size)
    arguments = random_arguments(layer, length=30, batch=16)
    exact = [tensor.detach().double().requires_grad_() for tensor in arguments]
    results = []
    for kernel, tensors in ((run, arguments), (run_torch, arguments), (run_torch, exact)):
        values = kernel(layer, *tensors)
        total = sum(value.float().pow(2).sum() for value in values)
        results.append([*values, *torch.autograd.grad(total, tensors)])
    assert len(calls) == 2
    for ours, theirs, truth in zip(*results, strict=True):
        error = (ours - truth).norm() / truth.norm()
        assert error <= 2**-6 and error <= times * (theirs - truth).norm() / truth.norm() + 1e-3


@each_family
@each_direction
@with_and_without_bias
def test_numerical_gradient(calls, family, bidirectional, bias):
    layer = build_layer(family, bidirectional, bias=bias, hidden_size=3, embedding_size=2)
    arguments = random_arguments(layer, length=8, batch=2)
    assert torch.autograd.gradcheck(lambda *tensors: run(layer, *tensors), arguments)
    assert calls


@each_family
@each_mask
@each_direction
def test_model_under_any_mask_equals_torch(calls, monkeypatch, family, bidirectional, mask):
    """With dropped weights: a loss on the outputs at real positions and on the final states."""
    model = family.build("Model", bidirectional=bidirectional, recurrent_weight_dropout=0.4).double().train()
    mask = torch.cat([mask, mask], dim=1)
    inputs = torch.randn(*mask.shape, model.config.input_size, dtype=torch.float64, requires_grad=True)
    weights = [parameter for layer in model.layers for parameter in layer.parameters()]
    results = []
    for by_hand in (True, False):
        if not by_hand:
            monkeypatch.setattr(type(model.layers[0]), "_by_hand", lambda self, tensors: False)
        torch.manual_seed(0)
        outputs = model(inputs_embeds=inputs, attention_mask=mask, use_cache=True)
        values = [outputs.last_hidden_state, *states(outputs)]
        gradients = torch.autograd.grad(sum(value.pow(2).sum() for value in values), [inputs, *weights])
        results.append([*values, *gradients])
    assert len(calls) >= len(model.layers)
    assert_close(results[0], results[1], 1e-9)


@each_family
@pytest.mark.parametrize("frozen", ["weights", "inputs and state"])
def test_what_is_frozen_gets_no_gradient(calls, family, frozen):
    layer = build_layer(family)
    arguments = random_arguments(layer)
    number = 1 + len(layer.state_names)
    tensors, trained = arguments[number:], arguments[:number]
    if frozen != "weights":
        tensors, trained = trained, tensors
    expected = torch.autograd.grad(run_torch(layer, *arguments)[0].sum(), trained)
    for tensor in tensors:
        tensor.requires_grad_(False)
    run(layer, *arguments)[0].sum().backward()
    assert_close([tensor.grad for tensor in trained], list(expected), 1e-10)
    assert all(tensor.grad is None for tensor in tensors)
    assert len(calls) == 1


@each_family
@each_direction
def test_outputs_may_change_in_place_and_a_graph_be_kept(calls, family, bidirectional):
    layer = build_layer(family, bidirectional)
    arguments = random_arguments(layer)
    expected = torch.autograd.grad(2 * run_torch(layer, *arguments)[0].sum(), arguments)
    outputs, *final = run(layer, *arguments)
    outputs.mul_(2)
    for tensor in final:
        tensor.zero_()
    for _ in range(2):
        total = outputs.sum() + sum(tensor.sum() for tensor in final)
        found = torch.autograd.grad(total, arguments, retain_graph=True)
        assert_close(found, expected, 1e-10)
    assert len(calls) == layer.num_directions


@each_family
def test_inference_short_inputs_and_transforms_stay_with_torch(calls, monkeypatch, family):
    layer = build_layer(family, True)
    inputs, *others = random_arguments(layer)
    expected = run_torch(layer, inputs, *others)
    with torch.no_grad():
        assert_close(run(layer, inputs, *others), expected)
    assert_close(run(layer, *[tensor.detach() for tensor in (inputs, *others)]), expected)
    run(layer, inputs[:, :7], *others)
    torch.func.grad(lambda tensor: run(layer, tensor, *others)[0].sum())(inputs.detach())
    compiled = torch.compile(lambda *tensors: run(layer, *tensors), backend="eager")
    assert_close(compiled(inputs, *others), expected)
    with monkeypatch.context() as patch:
        patch.setattr(torch.jit, "is_tracing", lambda: True)  # a trace that holds a Python function cannot be saved
        run(layer, inputs, *others)
    assert not calls
    run(layer, inputs, *others)
    assert len(calls) == 2


@each_family
@each_direction
@with_and_without_bias
def test_second_derivatives_equal_torch(calls, family, bidirectional, bias):
    layer = build_layer(family, bidirectional, bias=bias)
    arguments = random_arguments(layer)
    inputs, *tensors = arguments
    state, weights = split(layer, tensors)
    results = []
    for kernel in (run, run_torch):
        # One weight depends on another, whose gradient must not be counted twice.
        values = kernel(layer, inputs, *state, weights[0], weights[1] * weights[0].mean(), *weights[2:])
        first = torch.autograd.grad(sum(value.sum() for value in values), arguments, create_graph=True)
        second = torch.autograd.grad(sum(gradient.pow(2).sum() for gradient in first), arguments)
        results.append([*first, *second])
    assert len(calls) == layer.num_directions
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


@each_family
def test_checkpointed_and_copied_models_train_alike(calls, family):
    model = family.build("ForCausalLM").train()
    twins = [model, copy.deepcopy(model), copy.deepcopy(model)]
    twins[1].gradient_checkpointing_enable()
    ids = torch.randint(1, 31, (3, LENGTH))
    for twin in twins:
        twin(ids, labels=ids).loss.backward()
    assert len(calls) == 8  # two layers, three models, once more with checkpoints
    for name, parameter in model.named_parameters():
        for twin in twins[1:]:
            assert torch.equal(parameter.grad, twin.get_parameter(name).grad), name


def test_where_that_of_the_lstm_runs(monkeypatch):
    """In bf16, autocast too, from 448 units on, where the processor has bf16 and no tiles; fp32 stays with torch."""
    found, layers = recorded(monkeypatch, LSTM), {}
    for has_it in (True, False):
        monkeypatch.setattr(lstm, "has_bf16_without_tiles", lambda has_it=has_it: has_it)
        for size in (16, 448):
            layer = layers.setdefault(size, build_layer(LSTM, dtype=torch.float32, hidden_size=size, embedding_size=8))
            inputs = torch.randn(2, 8, 8)
            layer(inputs)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                layer(inputs)
            assert not found
            with torch.autocast("cpu", torch.bfloat16):
                layer(inputs)
            assert len(found) == (has_it and size == 448)
            found.clear()


def test_that_of_the_gru_runs_in_every_type(monkeypatch):
    found = recorded(monkeypatch, GRU)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        build_layer(GRU, dtype=dtype, hidden_size=16, embedding_size=8)(torch.randn(2, 8, 8, dtype=dtype))
        assert len(found) == 1 and not found.clear()

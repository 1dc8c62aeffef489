# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The flow of gradients and the gates, against Jacobians, finite differences and the equations of the families."""

import math
import re

import numpy as np
import pytest
import torch
from families import GRU, LSTM, PLAIN_TRAINING, RNN, assert_close, each_direction, each_family, random_ids
from reference import STEP
from torch import nn
from torch.nn import functional as F
from transformers import Trainer, TrainerCallback, TrainingArguments

from hf_lstm import LSTMTokenizer
from hf_lstm.evaluation import diagnostics
from hf_lstm.evaluation.diagnostics import GateActivations, GradientFlowCallback, gate_activations, gradient_flow


PICTURE = b"\x89PNG\r\n\x1a\n"


def parameters_of(layer, direction: int) -> dict[str, torch.Tensor]:
    """As the loops of `reference.py` want them."""
    suffix = ("_l0", "_l0_reverse")[direction]
    named = {name: value.detach() for name, value in layer.named_parameters()}
    return {name.removesuffix(suffix): value for name, value in named.items() if name.endswith(suffix)}


def unit_vector(size: int) -> torch.Tensor:
    return F.normalize(
        torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float32).double(), dim=0
    )


@pytest.mark.parametrize(
    "family, fields",
    [
        (LSTM, {}),
        (LSTM, {"projection_size": 3}),
        (GRU, {}),
        (GRU, {"bias": False}),
        (RNN, {}),
        (RNN, {"nonlinearity": "relu"}),
    ],
    ids=lambda value: str(value),
)
def test_flow_is_the_product_of_jacobians(family, fields):
    """Pascanu et al. 2013, equation 5, with Jacobians of the slow loop."""
    model = family.build("Model", num_hidden_layers=1, hidden_size=5, **fields).double()
    (layer,), config = model.layers, model.config
    ids = random_ids(1, 9)
    p, sizes = parameters_of(layer, 0), layer.state_sizes

    def step(x, state):
        return torch.cat(STEP[config.model_type](x, state.split(sizes), p, config))

    state, jacobians = torch.zeros(sum(sizes), dtype=torch.double), []
    for x in model.embed_tokens(ids)[0].detach():
        jacobians.append(torch.autograd.functional.jacobian(lambda s, x=x: step(x, s), state))
        state = step(x, state)
    gradient = torch.cat([unit_vector(sizes[0]), torch.zeros(sum(sizes[1:]))])
    expected = []
    for jacobian in reversed(jacobians):
        expected.append([part.norm() for part in (*gradient.split(sizes), gradient)])
        gradient = jacobian.T @ gradient

    flow = gradient_flow(model, ids)
    found = np.stack([*flow.parts.values(), flow.norms])[:, 0, 0]
    np.testing.assert_allclose(found, np.array(expected).T, rtol=1e-9, atol=0)
    assert list(flow.parts) == ["h", "c"][: len(sizes)]


def run_with(model, xs, ends, change=None):
    """
    Outputs of the stack by the slow loops, at the end of the way of each direction; `change` is a layer, a direction,
    a position and what is added to the state that is handed on there.
    """
    config = model.config
    for i, layer in enumerate(model.layers):
        outputs = []
        for d in range(config.num_directions):
            p, hs = parameters_of(layer, d), {}
            state = tuple(torch.zeros(size, dtype=torch.double) for size in layer.state_sizes)
            for t in range(len(xs)) if d == 0 else reversed(range(len(xs))):
                state = STEP[config.model_type](xs[t], state, p, config)
                if change is not None and change[:3] == (i, d, t):
                    added = change[3].split(layer.state_sizes)
                    state = tuple(a + b for a, b in zip(state, added, strict=True))
                hs[t] = state[0]
            outputs.append([hs[t] for t in range(len(xs))])
        ys = [torch.cat(parts) for parts in zip(*outputs, strict=True)]
        if config.residual_connections and i:
            ys = [y + x for x, y in zip(xs, ys, strict=True)]
        if config.layer_norm:
            norm = model.norms[i]
            ys = [F.layer_norm(y, y.shape, norm.weight, norm.bias, norm.eps) for y in ys]
        xs = ys
    return [xs[end].chunk(config.num_directions)[d] for d, end in enumerate(ends)]


@each_direction
@each_family
@torch.no_grad()
def test_flow_through_layers_is_that_of_finite_differences(family, bidirectional):
    T = 4
    fields = {"residual_connections": True, "layer_norm": True, "bidirectional": bidirectional}
    model = family.build("Model", hidden_size=3, embedding_size=4, **fields).double()
    for norm in model.norms:
        norm.weight.uniform_(0.5, 2)
    ids = random_ids(1, T)
    xs, ends = list(model.embed_tokens(ids)[0]), (T - 1, 0)[: model.config.num_directions]
    u, flow = unit_vector(3), gradient_flow(model, ids)
    assert flow.norms.shape == (2, len(ends), T)
    size = sum(model.layers[0].state_sizes)
    for i, d, lag in np.ndindex(flow.norms.shape):
        t = T - 1 - lag if d == 0 else lag
        gradient = []
        for e in torch.eye(size, dtype=torch.double) * 1e-6:
            above, below = (u @ run_with(model, xs, ends, (i, d, t, sign * e))[d] for sign in (1, -1))
            gradient.append((above - below) / 2e-6)
        assert flow.norms[i, d, lag] == pytest.approx(torch.stack(gradient).norm().item(), rel=1e-6, abs=1e-9)


def diagonal_network(factor: float, T: int):
    """h' = relu(factor * h + 1): the gradient changes by `factor` a step, in a state that is always positive."""
    model = RNN.build("Model", num_hidden_layers=1, nonlinearity="relu")
    (layer,) = model.layers
    with torch.no_grad():
        layer.weight_hh_l0.copy_(factor * torch.eye(10))
        layer.weight_ih_l0.zero_()
        layer.bias_ih_l0.fill_(1)
        layer.bias_hh_l0.zero_()
    return gradient_flow(model, random_ids(2, T))


@pytest.mark.parametrize(
    "factor, memory, growth",
    [(0.5, 7, 1), (0.875, 35, 1), (1.0, 50, 1), (1.25, 50, 1.25**49), (2**-30, 1, 1), (0, 1, 1)],
)
def test_figures_of_a_network_whose_gradient_is_known(factor, memory, growth):
    flow = diagonal_network(factor, 50)
    np.testing.assert_allclose(flow.norms[0, 0], np.power(float(factor), np.arange(50)), rtol=1e-9)
    assert flow.decay_rate == pytest.approx(factor, rel=1e-6)
    assert flow.memory_length() == memory and flow.growth == pytest.approx(growth)
    assert flow.memory_length(0.75) == min(memory, {0.5: 1, 0.875: 3}.get(factor, memory))


@each_direction
@each_family
def test_flow_does_not_depend_on_padding(family, bidirectional):
    """Positions that are padding do not count as steps; a lag is the mean over the rows that reach it."""
    model = family.build("Model", bidirectional=bidirectional)
    short, long = random_ids(1, 3), random_ids(1, 5)
    embeddings = torch.full((2, 7, 6), torch.nan)
    first = torch.tensor([[0, 1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0]])
    second = torch.tensor([[0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1]])
    embeddings[first == 1] = model.embed_tokens(short)[0].detach()
    embeddings[second == 1] = model.embed_tokens(long)[0].detach()
    one, other, both = (
        gradient_flow(model, inputs_embeds=embeddings, attention_mask=mask).norms
        for mask in (first, second, first + second)
    )
    np.testing.assert_allclose(one, gradient_flow(model, short).norms, rtol=1e-9)
    np.testing.assert_allclose(both[..., :3], (one + other[..., :3]) / 2, rtol=1e-9)
    np.testing.assert_allclose(both[..., 3:], other[..., 3:], rtol=1e-9)


def test_step_cuts_the_sequence():
    model, ids = LSTM.build("ForCausalLM"), random_ids(2, 8)
    flow = gradient_flow(model, ids, step=4)
    np.testing.assert_array_equal(flow.norms, gradient_flow(model.model, ids[:, :5]).norms)
    for step in (-1, 8):
        with pytest.raises(ValueError, match=f"`step` must lie between 0 and T - 1 = 7, got {step}"):
            gradient_flow(model, ids, step=step)


@each_family
def test_flow_leaves_no_trace_and_needs_nothing(family):
    """Neither generator nor gradients nor modes change; dropout, frozen weights and autocast make no difference."""
    fields = {"hidden_dropout": 0.5, "embedding_dropout": 0.5, "word_dropout": 0.5, "unk_token_id": 1}
    model, ids = family.build("ForSequenceClassification", **fields), random_ids()
    expected = gradient_flow(model, ids).norms
    model.train()
    model.model.layers[1].eval()
    modes = [module.training for module in model.modules()]
    before = torch.get_rng_state()
    model.requires_grad_(False)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(gradient_flow(model, ids).norms, expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert modes == [module.training for module in model.modules()]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_flow_of_a_model_that_reads_characters():
    """What the characters tell is part of the inputs."""
    model = LSTM.build("ForTokenClassification", char_vocab_size=9)
    ids, chars = random_ids(), torch.randint(1, 9, (3, 7, 4))
    assert not np.array_equal(*(gradient_flow(model, ids, char_ids=c).norms for c in (chars, chars.flip(2))))


def test_models_of_others_are_refused():
    with pytest.raises(ValueError, match="`model` is a Linear"):
        gradient_flow(nn.Linear(2, 2), random_ids())


@pytest.fixture(scope="module")
def tokenizer():
    return LSTMTokenizer.train_from_iterator(["the cat sat on the mat and left"], kind="word", show_progress=False)


@pytest.mark.parametrize(
    "family, fields",
    [(LSTM, {}), (LSTM, {"bias": False}), (LSTM, {"projection_size": 4}), (GRU, {}), (GRU, {"bias": False})],
    ids=str,
)
@each_direction
def test_gates_obey_the_equations(tokenizer, family, fields, bidirectional):
    """With the gates that are returned, each state follows from the one before; and the states are the model's own."""
    text = "the cat sat on the mat"
    model = family.build("Model", vocab_size=len(tokenizer), bidirectional=bidirectional, **fields).double()
    outputs = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
    activations = gate_activations(model, tokenizer, text)
    assert activations.tokens == text.split()
    D, H, hidden = model.config.num_directions, 10, outputs.hidden_states
    for i, layer in enumerate(model.layers):
        for d in range(D):
            p = parameters_of(layer, d)
            gates = {name: torch.tensor(values[i, d]) for name, values in activations.gates.items()}
            states = {name: torch.tensor(values[i, d]) for name, values in activations.states.items()}
            assert_close(states["h"], hidden[i + 1][0].chunk(D, dim=-1)[d], 1e-12)
            x, order = hidden[i][0], range(6) if d == 0 else range(5, -1, -1)
            before = {name: torch.zeros(values.shape[1], dtype=torch.double) for name, values in states.items()}
            candidate = slice(2 * H, 3 * H)
            for t in order:
                now = {name: values[t] for name, values in (gates | states).items()}
                a = p["weight_ih"][candidate] @ x[t] + (p["bias_ih"][candidate] if "bias_ih" in p else 0)
                b = p["weight_hh"][candidate] @ before["h"] + (p["bias_hh"][candidate] if "bias_hh" in p else 0)
                if family is LSTM:
                    assert_close(now["c"], now["f"] * before["c"] + now["i"] * (a + b).tanh(), 1e-12)
                    h = now["o"] * now["c"].tanh()
                    assert_close(now["h"], p["weight_hr"] @ h if "weight_hr" in p else h, 1e-12)
                else:
                    n = (a + now["r"] * b).tanh()
                    assert_close(now["h"], (1 - now["z"]) * n + now["z"] * before["h"], 1e-12)
                before = {name: now[name] for name in states}


def test_saturation_counts_tokens():
    gate = np.array([[0.05, 0.5], [0.95, 0.95], [0.0, 0.89], [0.5, 0.11]])[None, None]  # T 4, H 2
    left, right = GateActivations(list("abcd"), {"f": gate}, {}).saturation()["f"]
    assert left.tolist() == [[[0.5, 0.0]]] and right.tolist() == [[[0.25, 0.25]]]


def test_gates_are_refused_where_there_are_none(tokenizer):
    with pytest.raises(ValueError, match="RNNModel, which has no gates"):
        gate_activations(RNN.build("Model", vocab_size=len(tokenizer)), tokenizer, "the cat")
    with pytest.raises(ValueError, match="`text` '' has no tokens"):
        gate_activations(GRU.build("Model", vocab_size=len(tokenizer)), tokenizer, "")


def test_pictures(tmp_path, tokenizer):
    model = LSTM.build("Model", vocab_size=len(tokenizer), bidirectional=True)
    gradient_flow(model, random_ids(2, 30, len(tokenizer))).plot(tmp_path / "flow.png", "flow")
    for i, text in enumerate(["the cat $a", "the cat " * 40]):  # few tokens are written out, dollars and all
        gate_activations(model, tokenizer, text).plot(tmp_path / f"gates{i}.png", layer=0, direction=1)
    for name in ("flow", "gates0", "gates1"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PICTURE)


class Recorder(TrainerCallback):
    """What a logger such as TensorBoard gets to see."""

    def __init__(self):
        self.logs = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.logs.append((state.global_step, dict(logs)))


def train(tmp_path, model, every=None, **arguments):
    data = [{"input_ids": row, "labels": row} for row in random_ids(24, 12)]
    arguments = PLAIN_TRAINING | {"output_dir": str(tmp_path), "max_steps": 6, "logging_steps": 2} | arguments
    recorder = Recorder()
    trainer = Trainer(model, TrainingArguments(**arguments), train_dataset=data, callbacks=[recorder])
    if every:
        trainer.add_callback(GradientFlowCallback(trainer, trainer.data_collator(data[:4]), every=every))
    trainer.train()
    return recorder.logs


@each_family
def test_callback_does_not_disturb_training(family, tmp_path):
    """The same weights bit for bit, with dropout; and every log that there would be without it."""
    runs = []
    for every in (None, 1):
        torch.manual_seed(0)
        model = family.build("ForCausalLM", hidden_dropout=0.5)
        logs = train(tmp_path, model, every, learning_rate=0.5)
        kept = [(step, log) for step, log in logs if "loss" in log]
        runs.append((kept, logs, list(model.parameters())))
    (plain, _, weights), (watched, logs, others) = runs
    assert len(plain) == 3 and plain == watched
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
    flows = [(step, log) for step, log in logs if "gradient_flow/layer_1/memory" in log]
    assert [step for step, _ in flows] == list(range(7))
    assert len({log["gradient_flow/layer_0/rate"] for _, log in flows}) == 7  # it follows the weights
    names = {f"gradient_flow/layer_{i}/{name}" for i in range(2) for name in ("rate", "memory", "growth")}
    assert all(names == {name for name in log if name.startswith("gradient")} for _, log in flows)


@pytest.fixture
def warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(diagnostics.logger, "warning", messages.append)
    return messages


@pytest.mark.parametrize(
    "family, scale, kind, remedy",
    [
        (RNN, 0.1, "vanishing", "`LSTMConfig` or `GRUConfig`"),
        (LSTM, 0.1, "vanishing", "Set `chrono_max_length` to .*, or raise `forget_gate_bias`, now -3.0"),
        (GRU, 0.1, "vanishing", "Set `chrono_max_length` to the steps over which is to be remembered. Use"),
        (RNN, 5.0, "exploding", "`max_grad_norm=1.0`"),
    ],
    ids=str,
)
def test_callback_warns_once_and_says_what_to_do(tmp_path, warnings, family, scale, kind, remedy):
    fields = {"forget_gate_bias": -3.0} if family is LSTM else {"nonlinearity": "relu"} if family is RNN else {}
    model = family.build("ForCausalLM", **fields)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.bias_ih_l0[10:20] -= 3.0 * (family is GRU)  # the update gate lets go of the state
            layer.weight_hh_l0.copy_(scale * torch.eye(10).repeat(layer.num_gates, 1))
    train(tmp_path, model, 1, learning_rate=0.0, max_steps=3)
    assert len(warnings) == 1
    assert warnings[0].startswith(f"Step 0: {kind} gradients: ") and re.search(remedy, warnings[0])


@each_family
def test_callback_keeps_quiet_about_a_healthy_network(tmp_path, warnings, family):
    fields = {"nonlinearity": "relu", "initializer": "identity"} if family is RNN else {"initializer": "orthogonal"}
    fields |= {"forget_gate_bias": 2.0} if family is LSTM else {}
    torch.manual_seed(1)
    model = family.build("ForCausalLM", hidden_size=32, initializer_range=0.1, **fields)
    if family is GRU:
        with torch.no_grad():
            for layer in model.model.layers:
                layer.bias_ih_l0[32:64] = 2.0  # the update gate holds the state
    train(tmp_path, model, 3, learning_rate=1e-3)
    assert warnings == []


@pytest.mark.parametrize("norm, told", [(99.0, False), (101.0, True), (math.nan, True), (math.inf, True)])
def test_callback_watches_the_norm_of_all_gradients(tmp_path, warnings, norm, told):
    """Against the median of those before, of which there have to be some."""
    arguments = TrainingArguments(output_dir=str(tmp_path), max_grad_norm=2.0, learning_rate=0.5, report_to="none")
    trainer = Trainer(GRU.build("ForCausalLM"), arguments)
    callback = GradientFlowCallback(trainer, {"input_ids": random_ids()})
    for value in (1e4, 1.0, 10.0, 12.0, 10.0, norm, 1.0, norm):
        callback.on_log(arguments, trainer.state, trainer.control, {"grad_norm": value, "loss": 1.0})
    callback.on_log(arguments, trainer.state, trainer.control, {"eval_loss": 1.0})
    assert len(warnings) == told
    if told:
        assert "`max_grad_norm`, now 2" in warnings[0] and "now 0.5" in warnings[0]


def test_callback_refuses_what_it_cannot_measure(tmp_path):
    with pytest.raises(ValueError, match=r"`inputs` has \['labels'\]"):
        GradientFlowCallback(None, {"labels": random_ids()})
    with pytest.raises(ValueError, match="`every` must be a number of steps of at least 1, got 0"):
        GradientFlowCallback(None, {"input_ids": random_ids()}, every=0)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Layers against the equations, against torch's own modules, and against numerical gradients."""

from itertools import pairwise

import pytest
import torch
from families import FAMILIES, GRU, LSTM, MASKS, assert_close, each_direction, each_family, each_mask, each_variant
from reference import run_layer, run_model
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hf_lstm.models.padding import Padding, cost_of, join_rows


def torch_twin(family, config):
    """The module of torch with the sizes of `config`."""
    fields = {"nonlinearity": config.nonlinearity} if family.name == "RNN" else {}
    if family.name == "LSTM" and config.projection_size:
        fields["proj_size"] = config.projection_size
    return family.torch_class(
        config.input_size,
        config.hidden_size,
        config.num_hidden_layers,
        bias=config.bias,
        batch_first=True,
        bidirectional=config.bidirectional,
        **fields,
    )


def plain_variants():
    """The variants that torch's modules have too."""
    return [
        pytest.param(family, fields, id=f"{family}, {fields}")
        for family in FAMILIES
        for fields in (
            {"num_hidden_layers": 1},
            {"num_hidden_layers": 3},
            {"bias": False},
            *({"LSTM": [{"projection_size": 4}], "GRU": [], "RNN": [{"nonlinearity": "relu"}]}[family.name]),
        )
    ]


@each_direction
@each_variant
def test_model_equals_the_equations(family, fields, bidirectional):
    model = family.build("Model", bidirectional=bidirectional, **fields)
    ids = [3, 1, 4, 1, 5, 9, 2]
    assert_close(model(torch.tensor([ids])).last_hidden_state[0], run_model(model, ids))


@each_direction
@pytest.mark.parametrize(("family", "fields"), plain_variants())
def test_outputs_and_gradients_equal_torch(family, fields, bidirectional):
    model = family.build("Model", bidirectional=bidirectional, **fields)
    twin = torch_twin(family, model.config)
    model.load_torch_weights(twin)
    ours = torch.randn(3, 7, model.config.input_size, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    outputs = model(inputs_embeds=ours, use_cache=True)
    expected, final = twin(theirs)
    assert_close(outputs.last_hidden_state, expected)
    assert_states_equal(outputs, final, model.config.num_directions)
    weight = torch.randn_like(expected)
    (outputs.last_hidden_state * weight).sum().backward()
    (expected * weight).sum().backward()
    assert_close(ours.grad, theirs.grad, 1e-4)
    assert_gradients_equal(model, twin)


def assert_states_equal(outputs, final, directions):
    """Our states against the final state of torch's module, which is returned as a tuple."""
    final = final if isinstance(final, tuple) else (final,)
    for i, layer in enumerate(outputs.cache.layers):
        rows = slice(i * directions, (i + 1) * directions)
        assert_close(list(layer.states), [tensor[rows].transpose(0, 1) for tensor in final])
    return final


def assert_gradients_equal(model, twin):
    for i, layer in enumerate(model.layers):
        for name, parameter in layer.named_parameters():
            assert_close(parameter.grad, getattr(twin, name.replace("_l0", f"_l{i}")).grad, 1e-4)


@each_direction
@pytest.mark.parametrize(("family", "fields"), plain_variants())
def test_right_padding_equals_packed_sequence(family, fields, bidirectional):
    model = family.build("Model", bidirectional=bidirectional, **fields)
    twin = torch_twin(family, model.config)
    model.load_torch_weights(twin)
    mask = torch.tensor(MASKS["right"])
    ours = torch.randn(3, 7, model.config.input_size, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    outputs = model(inputs_embeds=ours, attention_mask=mask, use_cache=True)
    packed = pack_padded_sequence(theirs, mask.sum(1), batch_first=True, enforce_sorted=False)
    expected, final = twin(packed)
    expected, _ = pad_packed_sequence(expected, batch_first=True, total_length=7)
    assert_close(outputs.last_hidden_state, expected)
    d = model.config.num_directions
    final = assert_states_equal(outputs, final, d)
    # A loss on everything that comes out: outputs, and the final state of the last layer.
    weight, state_weight = torch.randn_like(expected), torch.randn_like(final[-1][-d:])
    ours_loss = (outputs.last_hidden_state * weight).sum()
    ours_loss += (outputs.cache.layers[-1].states[-1].transpose(0, 1) * state_weight).sum()
    ours_loss.backward()
    ((expected * weight).sum() + (final[-1][-d:] * state_weight).sum()).backward()
    assert_close(ours.grad, theirs.grad, 1e-4)
    assert not ours.grad[mask == 0].any()
    assert_gradients_equal(model, twin)


@each_mask
@each_direction
@each_variant
def test_layer_under_any_mask_equals_the_loop_over_real_positions(family, fields, bidirectional, mask):
    """From a state that is not zero, outputs and final state of each row are those of the row without its padding."""
    config = family.config(bidirectional=bidirectional, **fields)
    layer = family.head("Model")(config).layers[0]
    inputs = torch.randn(*mask.shape, config.input_size)
    state = tuple(torch.randn(len(mask), config.num_directions, size) for size in layer.state_sizes)
    for return_steps in (False, True) if not bidirectional else (False,):
        outputs, final, _ = layer(inputs, state, Padding(mask.bool()), True, return_steps)
        for row, real in enumerate(mask.bool()):
            xs, before = list(inputs[row][real]), [tensor[row] for tensor in state]
            if not xs:
                assert all(torch.equal(tensor[row], old) for tensor, old in zip(final, before, strict=True))
                continue
            expected, expected_final = run_layer(layer, xs, config.of_layer(0), before)
            assert_close(outputs[row][real], torch.stack(expected))
            assert_close(
                [tensor[row] for tensor in final], [torch.stack(part) for part in zip(*expected_final, strict=True)]
            )


# What the layer is given, and the way it is to take: for an LSTM forward, for one in both directions, for the others.
SEQUENCE, STEPS, HELD, PADDED, JOINED = "_run_sequence", "_run_steps", "_run_held", "_run_padded", "_run_joined"
BRANCHES = {
    "one step": (torch.ones(3, 1), True, ("_run_step", STEPS, "_run_step or steps")),
    "one step, padded": (torch.tensor([[1], [0], [1]]), True, (STEPS, STEPS, STEPS)),
    "few positions": (torch.ones(1, 4), True, (SEQUENCE, SEQUENCE, SEQUENCE)),
    "few positions, padded": (torch.tensor([[0, 1], [1, 1]]), False, (HELD, HELD, PADDED)),
    "fresh": (torch.ones(2, 9), False, (SEQUENCE, SEQUENCE, SEQUENCE)),
    "from a state": (torch.ones(2, 9), True, (SEQUENCE, SEQUENCE, SEQUENCE)),
    "right": (torch.tensor(MASKS["right"]), False, (HELD, HELD, PADDED)),
    "right, from a state": (torch.tensor(MASKS["right"]), True, (HELD, PADDED, PADDED)),
    "left": (torch.tensor(MASKS["left"]), False, (HELD, HELD, PADDED)),
    "left, from a state": (torch.tensor(MASKS["left"]), True, (PADDED, PADDED, PADDED)),
    "both sides": (torch.tensor([[0, 1, 1, 1, 0], [0] * 5, [1, 1, 1, 0, 0]]), False, (HELD, HELD, PADDED)),
    "empty row, from a state": (torch.tensor([[0] * 5, [1] * 5, [1, 1, 1, 0, 0]]), True, (HELD, PADDED, PADDED)),
    "holes": (torch.tensor(MASKS["holes"]), False, (PADDED, PADDED, PADDED)),
    "holes, from a state": (torch.tensor(MASKS["holes"]), True, (PADDED, PADDED, PADDED)),
}
each_branch = pytest.mark.parametrize("branch", BRANCHES)
each_plain_variant = pytest.mark.parametrize(
    ("family", "fields"),
    [pytest.param(family, {"bias": False} if family.name == "GRU" else {}, id=family.name) for family in FAMILIES]
    + [pytest.param(LSTM, {"projection_size": 2}, id="LSTM, projection")],
)


def build_branch(branch, family, fields, bidirectional, dtype):
    """A small layer of the family and the tensors to differentiate: inputs, state, parameters."""
    mask, given_state, _ = BRANCHES[branch]
    config = family.config(hidden_size=3, embedding_size=2, bidirectional=bidirectional, **fields)
    layer = family.head("Model")(config).layers[0].to(dtype)
    sizes = layer.state_sizes if given_state else ()
    state = [torch.randn(len(mask), layer.num_directions, size, dtype=dtype, requires_grad=True) for size in sizes]
    inputs = torch.randn(*mask.shape, 2, dtype=dtype, requires_grad=True)
    return config, layer, mask.bool(), inputs, state


def run_branch(layer, mask, inputs, state):
    padding = None if mask.all() else Padding(mask)
    outputs, final, _ = layer(inputs, tuple(state) or None, padding, True)
    return outputs, *final


def run_by_the_loop(layer, config, mask, inputs, state):
    """As `run_branch`, by the reference, row by row over the real positions."""
    outputs, finals = [], []
    for row, real in enumerate(mask):
        before = [tensor[row] for tensor in state] or [
            inputs.new_zeros(layer.num_directions, size) for size in layer.state_sizes
        ]
        ys, final = run_layer(layer, list(inputs[row][real]), config, before)
        ys = iter(ys)
        outputs.append(torch.stack([next(ys) if r else inputs.new_zeros(config.output_size) for r in real]))
        finals.append([torch.stack(part) for part in zip(*final, strict=True)])
    return torch.stack(outputs), *(torch.stack(part) for part in zip(*finals, strict=True))


@each_branch
@each_direction
@each_plain_variant
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)], ids=str)
def test_values_and_gradients_of_each_branch_equal_the_loop(
    branch, family, fields, bidirectional, dtype, tolerance, monkeypatch
):
    config, layer, *arguments = build_branch(branch, family, fields, bidirectional, dtype)
    taken = []
    for name in ("_run_step", STEPS, SEQUENCE, HELD, PADDED):
        method = getattr(type(layer), name)
        monkeypatch.setattr(type(layer), name, lambda *args, n=name, m=method: taken.append(n) or m(*args))
    values, expected = run_branch(layer, *arguments), run_by_the_loop(layer, config, *arguments)
    way = expected_way(branch, family, bidirectional)
    assert taken[0] == way
    assert_close(values, expected, tolerance)
    factors = [torch.randn_like(tensor) for tensor in values]
    wanted = [arguments[1], *arguments[2], *layer.parameters()]
    gradients = [
        torch.autograd.grad(sum((v * f).sum() for v, f in zip(each, factors, strict=True)), wanted)
        for each in (values, expected)
    ]
    assert_close(*gradients, 10 * tolerance)
    taken.clear()
    with torch.no_grad():
        assert_close(run_branch(layer, *arguments), expected, tolerance)
    short = branch.startswith("few") and family.name == "LSTM" and not fields and not bidirectional
    assert taken[0] == (STEPS if short else way)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit.trace:DeprecationWarning")
def test_a_trace_of_few_positions_serves_other_lengths():
    """The choice for the length of the example must not be recorded."""
    model = LSTM.build("Model")
    inputs = torch.randn(2, 9, model.config.input_size)
    with torch.no_grad():
        layer = model.layers[0].requires_grad_(False)
        traced = torch.jit.trace(lambda inputs: layer(inputs)[0], inputs[:, :2])
        assert_close(traced(inputs), layer(inputs)[0])


def expected_way(branch, family, bidirectional):
    way = BRANCHES[branch][2][bidirectional if family.name == "LSTM" else 2]
    return (STEPS if bidirectional else "_run_step") if way == "_run_step or steps" else way


@each_branch
@each_direction
@each_plain_variant
def test_numerical_gradient_of_each_branch(branch, family, fields, bidirectional):
    _, layer, mask, inputs, state = build_branch(branch, family, fields, bidirectional, torch.double)
    names = [name for name, _ in layer.named_parameters()]

    def run(inputs, *rest):
        parameters = dict(zip(names, rest[len(state) :], strict=True))
        arguments = (inputs, rest[: len(state)] or None, None if mask.all() else Padding(mask), True)
        outputs, final, _ = torch.func.functional_call(layer, parameters, arguments)
        return outputs, *final

    assert torch.autograd.gradcheck(run, (inputs, *state, *layer.parameters()), fast_mode=True)


def ragged_mask(kind: str) -> torch.Tensor:
    """Of 7 sequences, one much longer than the others."""
    if kind == "holes":
        mask = torch.rand(7, 12) < 0.3
        mask[0] = True
        return mask
    lengths = torch.tensor([12, 1, 3, 2, 4, 5, 0 if kind == "empty row" else 1])
    mask = torch.arange(12) < lengths[:, None]
    if kind == "empty":
        return torch.zeros_like(mask)
    if kind == "one row":
        return mask[2:3]
    return mask.flip(1) if kind == "left" else mask


each_ragged_mask = pytest.mark.parametrize("kind", ["right", "left", "holes", "empty row", "empty", "one row"])
each_resetting_variant = pytest.mark.parametrize(
    ("family", "fields"),
    [
        pytest.param(LSTM, {}, id="LSTM"),
        pytest.param(LSTM, {"projection_size": 2}, id="LSTM, projection"),
        pytest.param(LSTM, {"bias": False}, id="LSTM, no bias"),
        pytest.param(GRU, {}, id="GRU"),
        pytest.param(GRU, {"bias": False}, id="GRU, no bias"),
    ],
)


def build_joined(kind, family, fields, bidirectional, dtype, monkeypatch):
    """A small layer that is to join even the few sequences of this mask, and inputs to differentiate."""
    config = family.config(hidden_size=3, embedding_size=2, bidirectional=bidirectional, **fields)
    layer = family.head("Model")(config).layers[0].to(dtype)
    monkeypatch.setattr(type(layer), "least_saved", 0)
    mask = ragged_mask(kind)
    return config, layer, mask, torch.randn(*mask.shape, 2, dtype=dtype, requires_grad=True)


@each_ragged_mask
@each_direction
@each_resetting_variant
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)], ids=str)
def test_joined_sequences_equal_the_loop(kind, family, fields, bidirectional, dtype, tolerance, monkeypatch):
    config, layer, mask, inputs = build_joined(kind, family, fields, bidirectional, dtype, monkeypatch)
    padding, taken, run = Padding(mask), [], type(layer)._run_joined
    monkeypatch.setattr(type(layer), JOINED, lambda *args: taken.append(1) or run(*args))
    outputs, final, steps = layer(inputs, None, padding)
    assert (taken, final, steps) == ([1], None, [])
    expected = run_by_the_loop(layer, config, mask, inputs, [])[0]
    assert_close(outputs, expected, tolerance)
    assert not outputs[~mask].any()
    factor = torch.randn_like(expected)
    wanted = [inputs, *layer.parameters()]
    ours, theirs = (
        torch.autograd.grad((each * factor).sum() + 0 * sum(p.sum() for p in wanted), wanted)
        for each in (outputs, expected)
    )
    assert_close(ours, theirs, 10 * tolerance)
    assert not ours[0][~mask].any()
    with torch.no_grad():
        assert_close(layer(inputs, None, padding)[0], expected, tolerance)
    assert len(taken) == 2


@each_ragged_mask
@each_direction
@each_resetting_variant
def test_numerical_gradient_of_joined_sequences(kind, family, fields, bidirectional, monkeypatch):
    _, layer, mask, inputs = build_joined(kind, family, fields, bidirectional, torch.double, monkeypatch)
    names = [name for name, _ in layer.named_parameters()]

    def run(inputs, *parameters):
        arguments = (inputs, None, Padding(mask))
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), arguments)[0]

    assert torch.autograd.gradcheck(run, (inputs, *layer.parameters()), fast_mode=True)


@each_direction
@each_resetting_variant
def test_what_a_sequence_is_joined_to_does_not_matter(family, fields, bidirectional, monkeypatch):
    """Bit for bit: nothing of the sequence before, however large, passes a gap."""
    _, layer, mask, inputs = build_joined("right", family, fields, bidirectional, torch.float32, monkeypatch)
    row = max(range(1, len(mask)), key=lambda row: int(mask[row].sum()))
    results = []
    for scale in (1, 1e6):
        others = torch.arange(len(mask))[:, None, None] != row
        outputs = layer(torch.where(others, inputs * scale, inputs), None, Padding(mask))[0]
        results.append([outputs[row], torch.autograd.grad(outputs[row].sum(), inputs)[0]])
        assert not results[-1][1][others[:, 0, 0]].any()
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("state", [False, True], ids=["fresh", "from a state"])
def test_sequences_are_not_joined_where_a_state_is_given_or_wanted(state, monkeypatch):
    _, layer, mask, inputs = build_joined("right", LSTM, {}, False, torch.float32, monkeypatch)
    monkeypatch.setattr(type(layer), JOINED, None)
    given = tuple(torch.randn(len(mask), 1, 3) for _ in range(2)) if state else None
    assert layer(inputs, given, Padding(mask), not state)[0].shape == (*mask.shape, 3)


def test_joining_waits_for_enough_padding_and_work():
    layer = LSTM.head("Model")(LSTM.config()).layers[0]
    inputs = torch.randn(1, 1, layer.input_size)
    assert Padding(torch.arange(20) < torch.arange(16, 21)[:, None]).joined is None
    ragged = Padding(ragged_mask("right"))
    assert ragged.joined is not None
    assert not layer._joins(inputs, ragged)  # too small a layer
    large = LSTM.head("Model")(LSTM.config(hidden_size=512)).layers[0]
    assert large._joins(torch.randn(1, 1, large.input_size), ragged)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_joined_rows_hold_every_position_once_with_gaps_between(count):
    lengths = torch.randint(0, 30, (count,)).tolist()
    cost, steps, places = join_rows(lengths)
    rows = [sorted((start, start + n) for (r, start), n in zip(places, lengths, strict=True) if r == row)
            for row in range(count)]  # fmt: skip
    used = [row for row in rows if row]
    assert rows[: len(used)] == used
    assert cost == cost_of(len(used), steps)
    for row in used:
        assert row[0][0] == 0
        assert row[-1][1] <= steps
        assert all(start == end + 1 for (_, end), (start, _) in pairwise(row))
    assert sum(lengths) < len(used) * steps  # padding is read from a gap


def test_long_padding_leaves_the_lstm_cell_alone():
    layer = LSTM.head("Model")(LSTM.config()).layers[0]
    mask = torch.zeros(1, 3000, dtype=torch.bool)
    mask[:, :5] = True
    inputs = torch.randn(1, 3000, layer.input_size)
    _, padded, _ = layer(inputs, None, Padding(mask), True)
    _, plain, _ = layer(inputs[:, :5], None, None, True)
    assert_close(list(padded), list(plain), 1e-6)


@each_mask
@each_direction
@each_variant
@pytest.mark.parametrize("given_state", [False, True], ids=["fresh", "from a state"])
def test_padding_may_hold_any_finite_value(family, fields, bidirectional, mask, given_state):
    """Padded inputs change nothing, bit for bit; outputs and gradients there are exact zeros."""
    config = family.config(bidirectional=bidirectional, **fields)
    layer, padding = family.head("Model")(config).layers[0], Padding(mask.bool())
    state = tuple(torch.randn(len(mask), config.num_directions, size) for size in layer.state_sizes)
    real, results = torch.randn(*mask.shape, config.input_size), []
    factor = torch.randn(*mask.shape, layer.num_directions * layer.output_size)
    for filling in (0.0, 300 * torch.randn_like(real)):
        inputs = torch.where(padding.mask[..., None], real, filling).requires_grad_()
        outputs, final, _ = layer(inputs, state if given_state else None, padding, True)
        loss = (outputs * factor).sum() + sum(tensor.sum() for tensor in final)
        gradients = torch.autograd.grad(loss, [inputs, *layer.parameters()])
        assert not outputs[~padding.mask].any()
        assert not gradients[0][~padding.mask].any()
        results.append([outputs, *final, *gradients])
    for zeros, anything in zip(*results, strict=True):
        assert torch.equal(zeros, anything)


@each_family
def test_state_dict_of_torch_loads(family):
    config = family.config(num_hidden_layers=1, bidirectional=True)
    layer, twin = family.head("Model")(config).layers[0], torch_twin(family, config)
    assert list(layer.state_dict()) == list(twin.state_dict())
    layer.load_state_dict(twin.state_dict())
    assert torch.equal(layer.weight_hh_l0_reverse, twin.weight_hh_l0_reverse)


@each_family
def test_torch_weights_of_another_size_are_refused(family):
    model = family.build("Model")
    for module in (
        family.torch_class(6, 10, 1),
        family.torch_class(6, 10, 3),
        family.torch_class(6, 11, 2),
        family.torch_class(6, 10, 2, bias=False),
    ):
        with pytest.raises(ValueError, match="`module`"):
            model.load_torch_weights(module)


@each_family
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_dtype_runs_forward_and_backward(family, dtype):
    model = family.build("ForCausalLM").to(dtype)
    ids, mask = torch.randint(1, 31, (3, 7)), torch.tensor(MASKS["holes"])
    reference = family.build("ForCausalLM")
    reference.load_state_dict(model.state_dict())
    outputs = model(ids, attention_mask=mask, labels=ids)
    outputs.loss.backward()
    assert outputs.logits.dtype == dtype
    assert outputs.cache.layers[0].states[0].dtype == dtype
    assert model.model.layers[0].weight_hh_l0.grad.isfinite().all()
    tolerance = {torch.float64: 1e-5, torch.float32: 0, torch.bfloat16: 0.15, torch.float16: 0.02}[dtype]
    assert_close(outputs.logits.float()[mask == 1], reference(ids, attention_mask=mask).logits[mask == 1], tolerance)


@each_direction
@each_variant
def test_cudnn_gets_what_torchs_own_module_gives_it(family, fields, bidirectional, monkeypatch):
    """Without a GPU: the call by which both lay their weights side by side, once, and again when they have moved."""
    fields = {name: value for name, value in fields.items() if name not in ("hidden_sizes", "hidden_size")}
    config = family.config(bidirectional=bidirectional, **(fields | {"num_hidden_layers": 1}))
    layer, twin, calls = family.head("Model")(config).layers[0], torch_twin(family, config), []
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda *args: calls.append(args), raising=False)
    monkeypatch.setattr("torch.backends.cudnn.rnn.get_cudnn_mode", lambda name: name)  # numbers of a library, else
    monkeypatch.setattr("hf_lstm.models.layers._fits_cudnn", lambda weights: True)
    layer.flatten_parameters()
    layer.flatten_parameters()
    assert len(calls) == 1
    weights, *arguments = calls[0]
    per_direction = (4 if twin.bias else 2) + (twin.proj_size > 0)
    sizes = [twin.input_size, twin.mode, twin.hidden_size, twin.proj_size, twin.num_layers, twin.batch_first]
    assert arguments == [per_direction, *sizes, twin.bidirectional]
    assert [weight.shape for weight in weights] == [weight.shape for weight in twin._flat_weights]
    for parameter in layer.parameters():
        parameter.data = parameter.data.clone()
    layer.flatten_parameters()
    assert len(calls) == 2

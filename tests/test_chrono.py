# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The start of the gates for long memory (Tallec & Ollivier 2018, section 2), by what it says of memories."""

import pytest
import torch
from families import GRU, LSTM, RNN
from safetensors.torch import load_file, save_file

from hf_lstm.evaluation.diagnostics import gradient_flow


LONGEST = 400
each_gated = pytest.mark.parametrize("family", [LSTM, GRU], ids=str)
each_initializer = pytest.mark.parametrize("initializer", ["orthogonal", "uniform"])


def build(family, **fields):
    return family.build("Model", **({"chrono_max_length": LONGEST, "initializer": "orthogonal"} | fields))


def directions_of(layer):
    """Of each direction its biases, as sums of the two vectors, in rows of gates."""
    names = [name for name, _ in layer.named_parameters() if name.startswith("bias_ih")]
    sums = [layer.get_parameter(name) + layer.get_parameter(name.replace("ih", "hh")) for name in names]
    return [each.detach().view(layer.num_gates, layer.hidden_size) for each in sums]


def largest_gap(values: torch.Tensor, low: float, high: float) -> float:
    """Between the distribution of the values and the uniform one (Kolmogorov & Smirnov), in units of 1 / sqrt(n)."""
    n = len(values)
    expected = (values.sort().values - low) / (high - low)
    found = torch.arange(n + 1) / n
    return n**0.5 * max((expected - found[1:]).abs().max(), (expected - found[:-1]).abs().max()).item()


@each_initializer
@each_gated
def test_biases_are_distributed_as_in_the_paper(family, initializer):
    """exp(b_f) is uniform on [1, T_max - 1] in each layer and direction, and b_i = -b_f; all else is as ever."""
    torch.manual_seed(0)
    fields = {"hidden_sizes": [700, 900], "hidden_size": 900, "bidirectional": True, "initializer": initializer}
    layers = build(family, **fields, embedding_size=2).layers
    directions = [gates for layer in layers for gates in directions_of(layer)]
    assert len(directions) == 4
    for gates in directions:
        u = gates[1].double().exp()
        assert u.min() >= 1 - 1e-6 and u.max() <= LONGEST - 1 + 1e-3
        assert largest_gap(u, 1, LONGEST - 1) < 1.63  # the 99 per cent point
        rest = gates[2:]
        if family is LSTM:
            assert torch.equal(gates[0], -gates[1])
        else:
            rest = gates[[0, 2]]
        bound = 0 if initializer == "orthogonal" else 2 * gates.shape[1] ** -0.5
        assert rest.abs().max() <= bound and (not bound or rest.std() > 0)
    assert len({gates[1].sort().values[0].item() for gates in directions}) == 4  # each is a draw of its own


@each_gated
def test_memories_reach_from_two_steps_to_the_longest(family):
    """
    Without input a state decays to 1 - 1 / tau of itself a step: tau is uniform between 2 and T_max, and what a new
    step brings in has the weight 1 / tau.
    """
    torch.manual_seed(0)
    (layer,) = build(family, num_hidden_layers=1, hidden_size=2000).double().layers
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if name.startswith("weight"):
                weight.zero_()
        state = tuple(torch.ones(1, 1, 2000, dtype=torch.float64) for _ in layer.state_names)
        _, after, _ = layer(torch.zeros(1, 1, layer.input_size, dtype=torch.float64), state)
        tau = 1 / (1 - after[-1].flatten())
        assert tau.min() > 2 - 1e-6 and tau.max() < LONGEST + 1e-2
        assert tau.mean().item() == pytest.approx((2 + LONGEST) / 2, rel=0.03)
        layer.bias_ih_l0[(layer.num_gates - (2 if family is LSTM else 1)) * 2000 :][:2000] = 1e3  # candidate: 1
        _, brought, _ = layer(torch.zeros(1, 1, layer.input_size, dtype=torch.float64), tuple(0 * s for s in state))
        torch.testing.assert_close(brought[-1].flatten(), 1 / tau, atol=1e-6, rtol=1e-6)


@each_gated
def test_gradients_reach_further_back(family):
    torch.manual_seed(0)
    inputs, fields = torch.rand(4, 300, 2), {"vocab_size": None, "embedding_size": 2, "pad_token_id": None}
    fields |= {"num_hidden_layers": 1, "hidden_size": 32}
    lengths = (None, 30, 300)
    reach = [
        gradient_flow(build(family, chrono_max_length=length, **fields), inputs_embeds=inputs).norms[0, 0, 200]
        for length in lengths
    ]
    assert reach[0] < reach[1] < reach[2]


@each_initializer
@each_gated
def test_weights_are_those_without_it(family, initializer):
    models = []
    for longest in (None, LONGEST):
        torch.manual_seed(0)
        models.append(build(family, chrono_max_length=longest, num_hidden_layers=1, initializer=initializer))
    for name in ("weight_ih_l0", "weight_hh_l0"):
        assert torch.equal(*(model.layers[0].get_parameter(name) for model in models))


@each_gated
def test_saved_and_loaded_whole_and_in_part(family, tmp_path):
    model = build(family, hidden_size=50)
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    missing = next(name for name in weights if name.endswith("layers.1.bias_ih_l0"))
    for gone in (False, True):
        if gone:
            del weights[missing]
            save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        loaded = family.head("Model").from_pretrained(tmp_path)
        assert loaded.config.chrono_max_length == LONGEST
        for name, parameter in loaded.named_parameters():
            assert torch.equal(parameter, model.get_parameter(name)) == (not (gone and name in missing)), name
    u = directions_of(loaded.layers[1])[0][1].exp()
    assert 1 <= u.min() < u.max() <= LONGEST and u.mean() > LONGEST / 4


@each_gated
def test_characters_of_words_are_no_long_text(family):
    fields = {"char_vocab_size": 20, "char_encoder": "recurrent", "char_hidden_size": 20}
    model = build(family, **fields)
    for gates in directions_of(next(m for m in model.modules() if hasattr(m, "embed_chars")).layer):
        assert gates.unique().tolist() == ([0.0, 1.0] if family is LSTM else [0.0])


def test_impossible_settings_are_refused():
    for family, fields, words in (
        (LSTM, {"forget_gate_bias": 5.0}, "`forget_gate_bias=5.0` and `chrono_max_length=400`"),
        (LSTM, {"bias": False}, "`bias=False`"),
        (GRU, {"bias": False}, "`bias=False`"),
        (RNN, {}, '`chrono_max_length=400`.*plain.*`LSTMConfig` or `GRUConfig`.*initializer="identity"'),
    ):
        with pytest.raises(ValueError, match=words):
            family.config_class(chrono_max_length=LONGEST, **fields)
    LSTM.config_class(chrono_max_length=LONGEST, forget_gate_bias=None)

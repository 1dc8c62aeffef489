# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The regularisation of Merity et al. (2018): dropout of the recurrent weights, AR and TAR, and layers that taper."""

from itertools import pairwise

import pytest
import torch
from families import (
    GRU,
    LSTM,
    MASKS,
    PLAIN_TRAINING,
    assert_close,
    assert_parts_add_up,
    each_direction,
    each_family,
    each_mask,
    each_variant,
    features,
    random_ids,
)
from reference import run_layer
from transformers import Trainer, TrainingArguments

from hf_lstm import RecurrentCache
from hf_lstm.models import layers
from hf_lstm.models.padding import Padding
from hf_lstm.models.text_inputs import dropped_types


RATE = 0.4
PENALTIES = {"activation_regularization": 2.0, "temporal_activation_regularization": 1.0}


def build_layer(family, dtype=torch.float64, **fields):
    """A layer in training mode and its configuration."""
    config = family.config(recurrent_weight_dropout=RATE, **fields)
    return family.head("Model")(config).layers[0].to(dtype).train(), config.of_layer(0)


def recurrent_names(layer) -> list[str]:
    return [name for name, _ in layer.named_parameters() if name.startswith("weight_hh")]


def draw_masks(layer) -> dict[str, torch.Tensor]:
    """A mask of zeros and ones for each recurrent weight."""
    return {name: (torch.rand_like(getattr(layer, name)) > RATE).double() for name in recurrent_names(layer)}


@pytest.fixture
def use_masks(monkeypatch):
    """Let a layer drop by given masks, in the order of its directions, and count how often it asks for one."""

    def use(masks) -> list:
        drawn, queue = [], list(masks.values())

        def drop_weights(weight, rate):
            assert rate == RATE
            drawn.append(rate)
            return weight * queue[(len(drawn) - 1) % len(queue)] / (1 - rate)

        monkeypatch.setattr(layers, "drop_weights", drop_weights)
        return drawn

    return use


class Dropped:
    """The parameters of a layer by name, the recurrent ones masked, for the reference loop."""

    def __init__(self, layer, masks):
        for name, parameter in layer.named_parameters():
            setattr(self, name, parameter * masks[name] / (1 - RATE) if name in masks else parameter)


def by_the_loop(layer, config, masks, mask, inputs):
    rows = []
    for row, real in enumerate(mask):
        ys = iter(run_layer(Dropped(layer, masks), list(inputs[row][real]), config)[0] if real.any() else [])
        rows.append(torch.stack([next(ys) if r else inputs.new_zeros(config.output_size) for r in real]))
    return torch.stack(rows)


WAYS = {  # the way of the layer, whether the state is asked for, and a mask
    "_run_sequence": (False, torch.ones(3, 9)),
    "_run_step": (False, torch.ones(3, 1)),
    "_run_steps": (False, torch.tensor([[1], [0], [1]])),
    "_run_held": (True, torch.tensor(MASKS["left"])),
    "_run_padded": (True, torch.tensor(MASKS["holes"])),
    "_run_joined": (False, (torch.arange(12) < torch.tensor([12, 1, 3, 2, 4, 5, 0])[:, None])),
}


@each_direction
@pytest.mark.parametrize("way", WAYS)
@each_variant
def test_every_way_of_the_layer_drops_recurrent_weights(family, fields, bidirectional, way, use_masks, monkeypatch):
    """Values and gradients are those of the loop with the same masks; what was dropped has no gradient."""
    layer, config = build_layer(family, bidirectional=bidirectional, **fields)
    return_state, mask = WAYS[way]
    if way == "_run_joined":
        monkeypatch.setattr(type(layer), "least_saved", 0)
    if (way == "_run_joined" and not layer.can_reset) or (way == "_run_held" and not layer.can_hold):
        way = "_run_padded"
    if way == "_run_step" and bidirectional:
        way = "_run_steps"
    taken, run = [], getattr(type(layer), way)
    monkeypatch.setattr(type(layer), way, lambda *args: taken.append(1) or run(*args))
    mask, masks = mask.bool(), draw_masks(layer)
    drawn = use_masks(masks)
    inputs = torch.randn(*mask.shape, layer.input_size, dtype=torch.float64, requires_grad=True)
    outputs, _, _ = layer(inputs, None, None if mask.all() else Padding(mask), return_state)
    assert taken and len(drawn) == layer.num_directions
    expected = by_the_loop(layer, config, masks, mask, inputs)
    assert_close(outputs, expected, 1e-12)
    factor, wanted = torch.randn_like(expected), [inputs, *layer.parameters()]
    ours, theirs = (
        torch.autograd.grad((each * factor).sum(), wanted, materialize_grads=True) for each in (outputs, expected)
    )
    assert_close(list(ours), list(theirs), 1e-11)
    for (name, _), gradient in zip(layer.named_parameters(), ours[1:], strict=True):
        if name in masks:
            assert not gradient[masks[name] == 0].any()
            assert mask.shape[1] == 1 or gradient[masks[name] == 1].any()


@each_family
def test_a_layer_runs_on_the_weights_that_are_drawn(family):
    layer, _ = build_layer(family, torch.float32)
    inputs = torch.randn(3, 20, layer.input_size)
    torch.manual_seed(3)
    weight = layers.drop_weights(layer.weight_hh_l0, RATE)
    torch.manual_seed(3)
    outputs = layer(inputs)[0]
    expected = torch.func.functional_call(layer.eval(), {"weight_hh_l0": weight}, (inputs,))[0]
    assert torch.equal(outputs, expected)
    assert not torch.allclose(outputs, layer(inputs)[0], atol=1e-3)


@each_family
def test_dropped_weights_are_right_on_average_and_drawn_for_each_pass(family):
    layer, _ = build_layer(family, hidden_size=10)
    (weights,) = layer._weights(torch.float64)
    draws = torch.stack([layer._drop_recurrent([weights])[0][1] for _ in range(4000)])
    kept = (draws != 0).double().mean(0)
    assert kept.sub(1 - RATE).abs().max() < 5 * (RATE * (1 - RATE) / 4000) ** 0.5  # of each weight on its own
    assert_close(draws[draws != 0], (weights[1] / (1 - RATE)).expand_as(draws)[draws != 0], 1e-12)
    inputs = torch.randn(1, 9, layer.input_size, dtype=torch.float64).expand(4, 9, -1)
    first, second = layer(inputs)[0], layer(inputs)[0]
    assert_close(first, first[:1].expand_as(first), 1e-12)  # one mask for all rows
    assert not torch.equal(first, second)


@each_family
def test_chunks_of_a_sequence_draw_their_own_masks(family, use_masks):
    model = family.build("Model", recurrent_weight_dropout=RATE).train()
    drawn, cache = use_masks({"weight_hh_l0": torch.ones(1)}), None
    for chunk in random_ids(2, 9).split(3, dim=1):
        cache = model(chunk, cache=cache, use_cache=True).cache
    assert len(drawn) == 3 * 2  # chunks x layers


@each_family
def test_nothing_but_training_knows_of_the_dropout(family, tmp_path):
    plain, ids = family.build("ForCausalLM"), random_ids()
    model = family.build("ForCausalLM", recurrent_weight_dropout=RATE)
    assert list(model.state_dict()) == list(plain.state_dict())
    model.load_state_dict(plain.state_dict())
    assert torch.equal(model(ids).logits, plain(ids).logits)
    arguments = {"max_new_tokens": 5, "do_sample": False}
    assert torch.equal(model.generate(ids, **arguments), plain.generate(ids, **arguments))
    model.train()(ids, labels=ids).loss.backward()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    model.save_pretrained(tmp_path)
    loaded = family.head("ForCausalLM").from_pretrained(tmp_path)
    assert loaded.model.layers[0].recurrent_weight_dropout == RATE
    assert torch.equal(loaded(ids).logits, plain(ids).logits)


@each_family
def test_gradient_checkpointing_draws_the_same_mask_again(family):
    model = family.build("Model", recurrent_weight_dropout=RATE, hidden_dropout=0.2).train()
    ids, gradients = random_ids(3, 12), []
    for enabled in (False, True):
        if enabled:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        torch.manual_seed(1)
        model(ids).last_hidden_state.square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert_close(gradients[1], gradients[0])
    assert (gradients[0][1] == 0).any() or (gradients[0][2] == 0).any()


@each_family
def test_dropout_of_adapted_weights(family):
    """peft computes the weight that is dropped."""
    import peft

    base = family.build("ForCausalLM", recurrent_weight_dropout=RATE)
    targets = ["layers.0.weight_hh_l0"]
    model = peft.get_peft_model(base, peft.LoraConfig(r=2, target_parameters=targets, init_lora_weights=False))
    ids = random_ids()
    assert torch.equal(model.eval()(ids).logits, model(ids).logits)
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)
    model(input_ids=ids, labels=ids).loss.backward()
    assert any(p.grad is not None and p.grad.any() for name, p in model.named_parameters() if "lora" in name)


def slow_penalty(dropped, raw, mask, targets, num_items):
    """AR and TAR, number by number: (T, P) of each row, and what each position predicts, -100 for nothing."""
    alpha, beta = PENALTIES.values()
    total = 0.0
    for row, real in enumerate(mask.bool().tolist()):
        places = [t for t, r in enumerate(real) if r]
        for place, following in pairwise(places):
            if targets[row, following] == -100:
                continue
            total = (
                total + alpha * sum(dropped[row, place, i] ** 2 for i in range(dropped.shape[2])) / dropped.shape[2]
            )
            change = [raw[row, following, i] - raw[row, place, i] for i in range(raw.shape[2])]
            total = total + beta * sum(each**2 for each in change) / len(change)
    return total / num_items


@each_mask
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@each_family
def test_penalty_equals_the_definition(family, mask, dropout):
    """Of what the backbone returns from the same seed; the rest of the loss is what it is without a penalty."""
    fields = {"output_dropout": dropout, "layer_norm": True, "embedding_size": 5}
    model = family.build("ForCausalLM", **fields, **PENALTIES).double().train()
    plain = family.build("ForCausalLM", **fields).double().train()
    plain.load_state_dict(model.state_dict())
    ids = random_ids()
    labels = ids.clone()
    labels[1, 3] = -100
    torch.manual_seed(0)
    outputs = model.model(ids, attention_mask=mask, output_raw=True)
    dropped, raw = outputs.last_hidden_state, outputs.raw_hidden_state
    assert torch.equal(dropped, raw) == (dropout == 0)
    for num_items in (None, torch.tensor(7)):
        losses = []
        for each in (model, plain):
            torch.manual_seed(0)
            losses.append(each(ids, attention_mask=mask, labels=labels, num_items_in_batch=num_items).loss)
        count = num_items
        if count is None:
            count = sum((labels[row][real][1:] != -100).sum() for row, real in enumerate(mask.bool()))
        expected = slow_penalty(dropped, raw, mask, labels, count)
        assert expected > 1e-3
        assert_close(losses[0] - losses[1], expected, 1e-10)


@each_family
def test_penalty_of_a_full_batch_is_the_papers_mean(family):
    """As awd-lstm-lm: the mean of the squares over all positions with a target, without padding."""
    model = family.build("ForCausalLM", **PENALTIES).train()
    plain = family.build("ForCausalLM").train()
    plain.load_state_dict(model.state_dict())
    ids = random_ids()
    raw = model.model(ids).last_hidden_state
    expected = 2 * raw[:, :-1].pow(2).mean() + (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
    assert_close(model(ids, labels=ids).loss - plain(ids, labels=ids).loss, expected)
    logits = model(ids, labels=ids, output_logits=True)  # the loss that is not fused
    assert_close(logits.loss, model(ids, labels=ids).loss)
    assert_close(model.eval()(ids, labels=ids).loss, plain.eval()(ids, labels=ids).loss, 0)


@each_family
def test_penalised_batches_add_up(family, tmp_path):
    """Gradients of a batch in parts are those of the whole, by hand and in Trainer."""
    model = family.build("ForCausalLM", **PENALTIES).train()
    ids = random_ids(4, 7)
    labels = ids.masked_fill(torch.rand(4, 7) < 0.4, -100)
    assert_parts_add_up(model, ids, labels)
    trained = []
    for batch, steps in ((4, 1), (1, 4)):
        twin = family.build("ForCausalLM", **PENALTIES)
        twin.load_state_dict(model.state_dict())
        settings = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps, "max_steps": 1}
        arguments = TrainingArguments(output_dir=str(tmp_path), **(PLAIN_TRAINING | settings))
        data = [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]
        Trainer(twin, arguments, train_dataset=data).train()
        trained.append(list(twin.parameters()))
    assert_close(trained[1], trained[0])
    assert not torch.allclose(trained[0][0], next(model.parameters()), atol=1e-4)


@each_family
def test_penalty_under_autocast_and_checkpointing(family):
    model, ids = family.build("ForCausalLM", **PENALTIES, initializer_range=0.3).train(), random_ids()
    expected = model(ids, labels=ids).loss
    model.gradient_checkpointing_enable()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(ids, labels=ids).loss
    loss.backward()
    assert loss.dtype == torch.float32 and abs(loss / expected - 1) < 0.02


@each_family
def test_dropouts_alone_in_training(family):
    """As for Monte Carlo dropout (Gal & Ghahramani 2016): each part has a mode of its own."""
    model = family.build("Model", input_dropout=0.5, hidden_dropout=0.5, output_dropout=0.5)
    ids = random_ids()
    for name in ("input_dropout", "hidden_dropout", "output_dropout"):
        model.eval().get_submodule(name).train()
        assert not torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state), name
    model.eval()
    assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)


def test_embedding_dropout_scales_what_it_keeps():
    """Merity et al. 2018, section 4.3: whole word types, and 1 / (1 - p) for the others."""
    factors = dropped_types(torch.arange(5000)[None], 5000, 0.1, torch.float64)
    assert factors.shape == (1, 5000, 1)
    assert_close(factors[factors != 0], torch.full_like(factors[factors != 0], 1 / 0.9), 1e-12)
    assert 0.08 < (factors == 0).double().mean() < 0.12


# What tapers: the contract suite holds for these sizes; here is what it does not ask for.


@each_family
def test_awd_sizes_tie_without_a_projection(family):
    model = family.head("ForCausalLM")(family.config_class(vocab_size=50, hidden_sizes=[23, 23, 8]))
    assert model.lm_head.weight is model.model.embed_tokens.weight and model.lm_head.weight.shape == (50, 8)
    assert not list(model.projection.parameters())
    assert [(layer.input_size, layer.hidden_size) for layer in model.model.layers] == [(8, 23), (23, 23), (23, 8)]


@each_family
def test_equal_sizes_are_the_plain_stack(family):
    tapering, plain = family.build("Model", hidden_sizes=[10, 10]), family.build("Model")
    tapering.load_state_dict(plain.state_dict())
    ids = random_ids()
    assert torch.equal(features(tapering(ids)), features(plain(ids)))


@each_family
def test_cache_of_other_sizes_is_refused(family):
    sizes = {"hidden_sizes": [10, 8], "hidden_size": 8}
    model, ids = family.build("Model", **sizes), random_ids()
    other = family.build("Model", hidden_sizes=[10, 7], hidden_size=7)
    with pytest.raises(ValueError, match=r"`cache`.*\(3, 1, 7\).*needs \[\(3, 1, 8\)"):
        model(ids, cache=other(ids).cache)
    model(ids, cache=RecurrentCache(model.config))


@pytest.mark.parametrize("family", [LSTM, GRU], ids=str)
def test_generation_of_a_tapering_stack(family):
    """The loop over single steps, beams and drafts give what whole forward passes give."""
    sizes = {"hidden_sizes": [10, 8, 5], "hidden_size": 5, "num_hidden_layers": 3, "recurrent_weight_dropout": 0.5}
    sizes |= {"projection_size": 4} if family is LSTM else {}
    model, ids = family.build("ForCausalLM", **sizes), random_ids(2, 4)
    expected = ids
    for _ in range(6):
        expected = torch.cat([expected, model(expected).logits[:, -1:].argmax(-1)], dim=1)
    arguments = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    assert torch.equal(model.generate(ids, **arguments), expected)
    assert torch.equal(model.generate(ids[:1], prompt_lookup_num_tokens=2, **arguments), expected[:1])
    assert_close(
        model.generate(ids, num_beams=3, **arguments), model.generate(ids, num_beams=3, use_cache=False, **arguments)
    )

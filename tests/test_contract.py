# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What every model of every family promises, each promise an equation. The table of models is in `families.py`."""

import copy

import families
import pytest
import torch
from families import (
    GRU,
    HEADS,
    LSTM,
    MASKS,
    STATEFUL_HEADS,
    assert_close,
    assert_parts_add_up,
    each_family,
    each_head,
    each_mask,
    each_stateful_head,
    each_variant,
    features,
    random_ids,
    states,
)
from reference import run_language_model


@each_mask
@each_stateful_head
@each_variant
def test_padded_equals_unpadded(family, fields, head, mask):
    model = family.build(head, **fields)
    ids = random_ids()
    outputs = model(ids, attention_mask=mask, output_hidden_states=True)
    for row, real in enumerate(mask.bool()):
        if not real.any():
            assert all(not state[row].any() for state in states(outputs))
            continue
        alone = model(ids[row : row + 1, real], output_hidden_states=True)
        assert_close(features(outputs)[row][real], features(alone)[0])
        assert_close([s[row] for s in states(outputs)], [s[0] for s in states(alone)])
        assert_close([h[row][real] for h in outputs.hidden_states], [h[0] for h in alone.hidden_states])


@each_mask
@each_family
def test_padded_equals_unpadded_in_both_directions(family, mask):
    model = family.build("Model", bidirectional=True)
    ids = random_ids()
    outputs = model(ids, attention_mask=mask, use_cache=True)
    without_state = model(ids, attention_mask=mask)
    for row, real in enumerate(mask.bool()):
        if real.any():
            alone = model(ids[row : row + 1, real], use_cache=True)
            assert_close(outputs.last_hidden_state[row][real], alone.last_hidden_state[0])
            assert_close(without_state.last_hidden_state[row][real], alone.last_hidden_state[0])
            assert_close([s[row] for s in states(outputs)], [s[0] for s in states(alone)])


@each_mask
@each_family
def test_what_stands_at_padding_does_not_matter(family, mask):
    """Not even NaN: neither for the outputs nor for the gradients."""
    model = family.build("ForCausalLM")
    ids = random_ids()
    results = []
    for filler in (0.0, float("nan")):
        embeds = model.get_input_embeddings()(ids).detach().masked_fill(mask[..., None] == 0, filler).requires_grad_()
        outputs = model(inputs_embeds=embeds, attention_mask=mask, labels=ids)
        model.zero_grad()
        outputs.loss.backward()
        results.append(
            [outputs.logits, outputs.loss, embeds.grad, *(p.grad.clone() for p in model.model.layers.parameters())]
        )
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert not results[0][0][mask == 0].sub(model.lm_head.bias).any()  # zero features at padding


@each_head
@each_variant
def test_batched_equals_single(family, fields, head):
    model = family.build(head, **fields)
    ids = random_ids(5, 7)
    outputs = model(ids)
    assert_close(features(outputs), torch.cat([features(model(row[None])) for row in ids]))


@pytest.mark.parametrize("sizes", [[3, 4], [1] * 7, [1, 5, 1]], ids=str)
@each_stateful_head
@each_variant
def test_whole_equals_chunks(family, fields, head, sizes):
    model = family.build(head, **fields)
    ids = random_ids()
    whole, cache, parts = model(ids), None, []
    for chunk in ids.split(sizes, dim=1):
        outputs = model(chunk, cache=cache, use_cache=True)
        cache = outputs.cache
        parts.append(features(outputs))
    assert_close(torch.cat(parts, dim=1), features(whole))
    assert_close(states(outputs), states(whole))
    assert cache.get_seq_length() == 7


@each_mask
@each_family
def test_whole_equals_chunks_under_a_mask(family, mask):
    """With the mask of the chunk, and with that of all tokens so far, as `generate` passes it."""
    model = family.build("ForCausalLM")
    ids = random_ids()
    whole = model(ids, attention_mask=mask)
    for full in (False, True):
        first = model(ids[:, :3], attention_mask=mask[:, :3])
        rest_mask = mask if full else mask[:, 3:]
        rest = model(ids[:, 3:], attention_mask=rest_mask, cache=first.cache)
        real = mask[:, 3:].bool()
        assert_close(rest.logits[real], whole.logits[:, 3:][real])
        assert_close(states(rest), states(whole))


@each_family
def test_logits_equal_the_equations(family):
    for fields in ({}, {"embedding_size": None}, {"tie_word_embeddings": False}):
        model = family.build("ForCausalLM", **fields)
        ids = [3, 1, 4, 1, 5]
        assert_close(model(torch.tensor([ids])).logits[0], run_language_model(model, ids), 1e-4)


def slow_loss(model, ids, mask, labels):
    """Mean negative log-likelihood, in nats, of each real label after the first of its row."""
    losses = []
    for row, real in enumerate(mask.bool()):
        words, targets = ids[row][real].tolist(), labels[row][real].tolist()
        if words:
            log_probabilities = run_language_model(model, words).log_softmax(-1)
            losses += [-log_probabilities[t - 1, targets[t]] for t in range(1, len(words)) if targets[t] != -100]
    return torch.stack(losses).mean(), len(losses)


@each_mask
@each_family
def test_loss_counts_real_labels_only(family, mask):
    model = family.build("ForCausalLM")
    ids = random_ids()
    labels = ids.clone()
    labels[1, 3] = -100
    expected, count = slow_loss(model, ids, mask, labels)
    assert_close(model(ids, attention_mask=mask, labels=labels).loss, expected, 1e-4)
    halved = model(ids, attention_mask=mask, labels=labels, num_items_in_batch=torch.tensor(2 * count)).loss
    assert_close(halved, expected / 2, 1e-4)


@each_family
def test_accumulated_gradients_equal_one_big_batch(family):
    model = family.build("ForCausalLM")
    ids = random_ids(4, 7)
    labels = ids.masked_fill(torch.rand(4, 7) < 0.4, -100)
    assert_parts_add_up(model, ids, labels)


@each_head
@each_family
def test_tuple_equals_dict(family, head):
    model = family.build(head)
    ids = random_ids()
    as_dict = model(ids, output_hidden_states=True).to_tuple()
    as_tuple = model(ids, output_hidden_states=True, return_dict=False)
    assert isinstance(as_tuple, tuple) and len(as_tuple) == len(as_dict) == (3 if head in STATEFUL_HEADS else 2)
    assert torch.equal(as_tuple[0], as_dict[0])
    model.config.return_dict = False
    assert isinstance(model(ids), tuple)


@each_head
@each_variant
def test_hidden_states(family, fields, head):
    model = family.build(head, **fields)
    hidden_states = model(random_ids(), output_hidden_states=True).hidden_states
    config = model.config
    sizes = config.hidden_sizes or [config.state_size] * config.num_hidden_layers
    expected = [config.input_size, *(config.num_directions * size for size in sizes)]
    assert [h.shape[-1] for h in hidden_states] == expected
    model.config.output_hidden_states = True
    assert model(random_ids()).hidden_states is not None


@each_stateful_head
@each_family
def test_cache_is_returned_where_wanted(family, head):
    model = family.build(head)
    ids = random_ids()
    assert model(ids).cache is not None
    assert model(ids, use_cache=False).cache is None
    model.train()
    assert model(ids).cache is None
    assert model(ids, use_cache=True).cache is not None
    cache = model(ids, use_cache=True).cache
    assert model(ids, cache=cache, use_cache=False).cache is None
    assert cache.get_seq_length() == 7  # asked for no cache: the given one stays where it was


@each_head
@each_family
def test_embeddings_in_place_of_ids(family, head):
    model = family.build(head)
    ids = random_ids()
    assert torch.equal(features(model(ids)), features(model(inputs_embeds=model.get_input_embeddings()(ids))))


@each_family
def test_logits_to_keep(family):
    model = family.build("ForCausalLM")
    ids = random_ids()
    logits = model(ids).logits
    assert_close(model(ids, logits_to_keep=2).logits, logits[:, -2:])
    assert_close(model(ids, logits_to_keep=torch.tensor([0, 4])).logits, logits[:, [0, 4]])


@each_head
@each_family
def test_boolean_and_integer_masks_agree(family, head):
    model = family.build(head)
    ids, mask = random_ids(), torch.tensor([[1, 1, 0, 0, 1, 1, 0]] * 3)
    expected = features(model(ids, attention_mask=mask))
    for dtype in (torch.bool, torch.uint8, torch.int32):
        assert torch.equal(features(model(ids, attention_mask=mask.to(dtype))), expected)
    assert torch.equal(features(model(ids, attention_mask=torch.ones_like(mask))), features(model(ids)))


CHECKPOINTING = [None, {"use_reentrant": False}, {"use_reentrant": True}]


def gradients_with(model, checkpointing: dict | None, compute) -> list[torch.Tensor | None]:
    """The gradients of all parameters by the scalar `compute()`."""
    if checkpointing:
        model.gradient_checkpointing_enable(checkpointing)
    model.zero_grad()
    compute().backward()
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


@each_stateful_head
@each_variant
def test_gradient_checkpointing_changes_no_gradient(family, fields, head):
    model = family.build(head, **fields).train()
    ids, mask = random_ids(), torch.tensor([[0, 1, 1, 1, 1, 1, 0]] * 3)
    state = model(ids, use_cache=True).cache.detach()

    def compute():
        outputs = model(ids, attention_mask=mask, cache=state.copy(), use_cache=True)
        return features(outputs).square().sum() + sum(s.sum() for s in states(outputs))

    plain, *others = [gradients_with(model, checkpointing, compute) for checkpointing in CHECKPOINTING]
    for gradients in others:
        assert_close(gradients, plain)


@each_variant
def test_gradient_checkpointing_hands_on_the_gradient_of_a_state(family, fields):
    model, ids = family.build("Model", **fields).train(), random_ids()

    def compute():  # the last state alone, through one of a single token, and one that was kept with its graph
        state = model(ids[:, :3], use_cache=True).cache
        state = model(ids[:, 3:4], cache=state, use_cache=True).cache
        return sum(s.square().sum() for s in states(model(ids[:, 4:], cache=state, use_cache=True)))

    plain, *others = [gradients_with(model, checkpointing, compute) for checkpointing in CHECKPOINTING]
    for gradients in others:
        assert_close(gradients, plain)


@each_family
def test_gradient_checkpointing_reaches_the_encoder_of_characters(family):
    fields = {"char_vocab_size": 9, "char_encoder": "recurrent", "char_hidden_size": 6}
    model, ids, chars = family.build("Model", **fields).train(), random_ids(), torch.randint(1, 9, (3, 7, 4))

    def compute():
        return model(ids, char_ids=chars).last_hidden_state.square().sum()

    plain, *others = [gradients_with(model, checkpointing, compute) for checkpointing in CHECKPOINTING]
    assert all(gradient.any() for gradient in plain)
    for gradients in others:
        assert_close(gradients, plain)


@each_family
def test_gradient_checkpointing_on_inputs_without_gradient(family):
    model, inputs = family.build("Model", vocab_size=None, pad_token_id=None).train(), torch.randn(3, 7, 6)

    def compute():
        return model(inputs_embeds=inputs).last_hidden_state.square().sum()

    plain, *others = [gradients_with(model, checkpointing, compute) for checkpointing in CHECKPOINTING]
    for gradients in others:
        assert_close(gradients, plain)
    assert not inputs.requires_grad


@each_family
def test_gradient_checkpointing_recomputes_in_the_backward_pass(family, monkeypatch):
    model = family.build("Model").train()
    calls, kernel = [], type(model).layer_class.kernel
    monkeypatch.setattr(type(model).layer_class, "kernel", lambda *args: (calls.append(1), kernel(*args))[1])
    model.gradient_checkpointing_enable()
    outputs = model(random_ids()).last_hidden_state
    assert len(calls) == 2
    outputs.sum().backward()
    assert len(calls) == 4


@each_stateful_head
@each_variant
def test_autocast_agrees_with_fp32_within_bf16_rounding(family, fields, head):
    model = family.build(head, initializer_range=0.3, **fields)
    ids, mask = random_ids(), torch.tensor([[1, 1, 1, 0, 1, 1, 1]] * 3)
    expected = features(model(ids, attention_mask=mask))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(ids, attention_mask=mask)
        step = model(ids[:, :1], cache=outputs.cache)
    assert states(outputs)[0].dtype == states(step)[0].dtype == torch.bfloat16
    assert features(outputs)[mask == 1].sub(expected[mask == 1]).abs().max() < 0.06 * expected.abs().max().clamp(min=1)


@each_family
def test_dropout(family):
    """Each rate acts in training only, with its own structure."""
    ids = torch.tensor([[5, 6, 5, 7, 5, 6, 8, 5]] * 2)
    base = {"num_hidden_layers": 2, "embedding_size": 50, "hidden_size": 50}
    for rate in ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout"):
        model = family.build("Model", **base, **{rate: 0.5})
        assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)
        model.train()
        assert not torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)

    model = family.build("Model", **base, embedding_dropout=0.5).train()
    embedded = model(ids, output_hidden_states=True).hidden_states[0]
    dropped = ~embedded.any(-1)
    for token in ids.unique():
        assert dropped[ids == token].float().mean() in (0, 1)  # all occurrences of a type together
    kept = embedded[~dropped]
    assert_close(kept, 2 * model.embed_tokens(ids)[~dropped])

    for variational in (False, True):
        model = family.build("Model", **base, output_dropout=0.5, variational_dropout=variational).train()
        zeros = model(ids).last_hidden_state == 0
        assert 0.3 < zeros.float().mean() < 0.7
        assert (zeros == zeros[:, :1]).all().item() is variational
        assert not torch.equal(zeros[0], zeros[1])


@each_head
@each_variant
def test_save_and_load_is_bit_equal(family, fields, head, tmp_path):
    model = family.build(head, **fields)
    model.save_pretrained(tmp_path)
    loaded = family.head(head).from_pretrained(tmp_path)
    ids = random_ids()
    assert torch.equal(features(loaded(ids)), features(model(ids)))
    saved, read = (
        {k: v for k, v in each.config.to_dict().items() if k != "_name_or_path"} for each in (model, loaded)
    )
    assert read == saved | {"dtype": read["dtype"], "transformers_version": read["transformers_version"]}
    assert not [m for m in loaded.modules() for p in m.parameters(recurse=False) if p.is_meta]


@each_family
def test_missing_weights_are_initialised(family, tmp_path):
    """A backbone saved alone loads into a model with a head, and a checkpoint without layers gets initial ones."""
    backbone = family.build("Model")
    backbone.save_pretrained(tmp_path / "backbone")
    model = family.head("ForCausalLM").from_pretrained(tmp_path / "backbone")
    assert torch.equal(model.model.layers[1].weight_hh_l0, backbone.layers[1].weight_hh_l0)
    assert 0.5 < model.projection.weight.abs().max() <= (6 / (10 + 6)) ** 0.5 and not model.lm_head.bias.any()

    weights = {name: value for name, value in backbone.state_dict().items() if "layers.1" not in name}
    backbone.save_pretrained(tmp_path / "partial", state_dict=weights)
    loaded = family.head("Model").from_pretrained(tmp_path / "partial")
    assert torch.equal(loaded.layers[0].weight_hh_l0, backbone.layers[0].weight_hh_l0)
    bound = backbone.config.hidden_size**-0.5
    for name, parameter in loaded.layers[1].named_parameters():
        assert parameter.abs().max() <= max(bound, 1) and parameter.abs().max() > bound / 4, name


@each_head
@each_family
def test_meta_device(family, head):
    with torch.device("meta"):
        model = family.build(head)
    assert all(p.is_meta for p in model.parameters())
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in family.build(head).named_parameters()
    }


@pytest.mark.parametrize("fields", [{}, {"embedding_size": None}, {"tie_word_embeddings": False}], ids=str)
@each_family
def test_tying(family, fields):
    model = family.build("ForCausalLM", **fields)
    tied = model.lm_head.weight is model.model.embed_tokens.weight
    assert tied is model.config.tie_word_embeddings
    clone = copy.deepcopy(model)
    assert (clone.lm_head.weight is clone.model.embed_tokens.weight) is tied


@pytest.mark.parametrize("size", [20, 40])
@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
@each_family
def test_resize_token_embeddings(family, tie, size, tmp_path):
    model = family.build("ForCausalLM", tie_word_embeddings=tie)
    ids = random_ids(vocab_size=15)
    before = model(ids).logits
    model.resize_token_embeddings(size)
    after = model(ids, labels=ids)
    assert after.logits.shape[-1] == model.config.vocab_size == len(model.lm_head.weight) == size
    assert_close(after.logits[..., :20], before[..., :20])
    assert after.loss.isfinite()
    model.save_pretrained(tmp_path)
    assert torch.equal(family.head("ForCausalLM").from_pretrained(tmp_path)(ids).logits, after.logits)


@each_family
def test_initialisation(family):
    """The schemes of the configuration, by their defining properties."""
    fields = {"hidden_size": 40, "embedding_size": 30, "num_hidden_layers": 1}
    layer = family.build("Model", **fields, initializer="orthogonal").layers[0]
    for block in layer.weight_hh_l0.split(40):
        assert_close(block @ block.T, torch.eye(40))
    assert layer.weight_ih_l0.abs().max() <= (6 / 70) ** 0.5 < layer.weight_ih_l0.abs().max() * 1.05
    forget = 1.0 if family.name == "LSTM" else 0.0
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    assert set(bias[40:80].tolist()) <= {forget} and not bias[:40].any()

    layer = family.build("Model", **fields, initializer="uniform").layers[0]
    for parameter in (layer.weight_ih_l0, layer.weight_hh_l0):
        assert 0.95 * 40**-0.5 < parameter.abs().max() <= 40**-0.5
    if family.name == "LSTM":
        assert set((layer.bias_ih_l0 + layer.bias_hh_l0)[40:80].tolist()) == {1.0}
        layer = family.build("Model", **fields, forget_gate_bias=None).layers[0]
        assert (layer.bias_ih_l0 + layer.bias_hh_l0)[40:80].std() > 0
    if family.name == "RNN":
        layer = family.build("Model", **fields, initializer="identity", nonlinearity="relu").layers[0]
        assert torch.equal(layer.weight_hh_l0, torch.eye(40)) and layer.weight_ih_l0.std() < 0.002


def test_the_table_covers_every_registered_head():

    for family in families.FAMILIES:
        named = {head.__name__ for head in family.head("PreTrainedModel").heads().values()}
        assert named == {family.name + head for head in HEADS}


@pytest.mark.slow
@pytest.mark.parametrize("family, padding", [(LSTM, "left"), (GRU, "holes")], ids=str)
def test_compiled_equals_eager(family, padding):
    """The whole forward pass is one graph as long as no mask has to be looked at."""
    torch._dynamo.reset()
    model, ids, mask = family.build("ForCausalLM"), random_ids(), torch.tensor(MASKS[padding])
    assert_close(torch.compile(model, backend="eager", fullgraph=True)(ids).logits, model(ids).logits)
    compiled = torch.compile(model, backend="eager")
    assert_close(compiled(ids, attention_mask=mask).logits, model(ids, attention_mask=mask).logits)


@each_head
@each_family
def test_device_map_and_dtype_on_loading(family, head, tmp_path):
    model, ids = family.build(head), random_ids()
    model.save_pretrained(tmp_path)
    for device_map in ("auto", "cpu", {"": "cpu"}):
        loaded = family.head(head).from_pretrained(tmp_path, device_map=device_map)
        assert torch.equal(features(loaded(ids)), features(model(ids)))
    loaded = family.head(head).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16} and features(loaded(ids)).dtype == torch.bfloat16

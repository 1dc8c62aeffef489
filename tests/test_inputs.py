# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Bad input gets an error that names it, or the right answer; never a wrong answer."""

import pytest
import torch
from families import GRU, LSTM, RNN, assert_close, each_family, each_head, each_stateful_head, features, random_ids
from transformers import DynamicCache


IDS = torch.ones(2, 5, dtype=torch.long)
EMBEDS = torch.zeros(2, 5, 6)

# What is passed, and what the error says.
BAD = {
    "nothing": ({}, "exactly one of `input_ids` and `inputs_embeds`, got neither"),
    "ids and embeddings": ({"input_ids": IDS, "inputs_embeds": EMBEDS}, "got both"),
    "empty batch": ({"input_ids": IDS[:0]}, r"`input_ids` has shape \(0, 5\)"),
    "lists": ({"input_ids": IDS.tolist()}, r"The inputs are a list.*`tokenizer\("),
    "one sequence without batch": ({"input_ids": IDS[0]}, r"`input_ids` has shape \(5,\)"),
    "three dimensions": ({"input_ids": IDS[None]}, r"`input_ids` has shape \(1, 2, 5\)"),
    "float ids": ({"input_ids": IDS.float()}, "`input_ids` must hold whole numbers.*float32"),
    "integer embeddings": ({"inputs_embeds": EMBEDS.long()}, "`inputs_embeds` must hold floating-point.*int64"),
    "embeddings of another size": ({"inputs_embeds": EMBEDS[..., :4]}, r"`inputs_embeds` has shape \(2, 5, 4\).*6\)"),
    "id too large": ({"input_ids": IDS * 31}, "ids from 31 to 31, but `vocab_size` is 31"),
    "negative id": ({"input_ids": IDS * -1}, "ids from -1 to -1"),
    "float mask": (
        {"input_ids": IDS, "attention_mask": IDS.float()},
        "`attention_mask` must be boolean or integer.*float32",
    ),
    "additive mask": ({"input_ids": IDS, "attention_mask": (1 - IDS) * -1e9}, "`attention_mask` must be boolean"),
    "mask too short": ({"input_ids": IDS, "attention_mask": IDS[:, :4]}, r"`attention_mask` has shape \(2, 4\)"),
    "mask too long": ({"input_ids": IDS, "attention_mask": IDS.repeat(1, 2)}, r"`attention_mask` has shape \(2, 10\)"),
    "mask of another batch": ({"input_ids": IDS, "attention_mask": IDS[:1]}, r"`attention_mask` has shape \(1, 5\)"),
    "four-dimensional mask": ({"input_ids": IDS, "attention_mask": IDS[:, None, None]}, "`attention_mask` has shape"),
}
BAD_CACHES = {
    "`cache` is a DynamicCache": DynamicCache(),
    "`cache` is a tuple": ((IDS,),),
}


@pytest.mark.parametrize(("inputs", "message"), BAD.values(), ids=BAD)
@each_head
@each_family
def test_bad_input_is_refused(family, head, inputs, message):
    model = family.build(head)
    with pytest.raises(ValueError, match=message):
        model(**inputs)


@pytest.mark.parametrize(("message", "cache"), BAD_CACHES.items(), ids=["store of keys and values", "tuple"])
@each_stateful_head
@each_family
def test_bad_cache_is_refused(family, head, message, cache):
    with pytest.raises(ValueError, match=message):
        family.build(head)(IDS, cache=cache)


@pytest.mark.parametrize("argument", ["seq_idx", "token_type_ids", "output_attentions", "input_idss"])
@each_head
@each_family
def test_arguments_without_meaning_are_refused(family, head, argument):
    model = family.build(head)
    with pytest.raises(TypeError, match=f"`{argument}`"):
        model(IDS, **{argument: IDS})
    model(IDS, **{argument: None})  # a library that passes the switches of every model may go on
    model(IDS, **{argument: False})


@each_family
def test_cache_that_does_not_fit_is_refused(family):
    model = family.build("ForCausalLM")
    other = GRU if family is LSTM else LSTM
    strangers = {
        "of a 'gru' model" if family is LSTM else "of a 'lstm' model": other.build("ForCausalLM"),
        "with 3 layers": family.build("ForCausalLM", num_hidden_layers=3),
        r"shape \[\(2, 1, 12\)": family.build("ForCausalLM", hidden_size=12),
    }
    for message, stranger in strangers.items():
        with pytest.raises(ValueError, match=message):
            model(IDS, cache=stranger(IDS).cache)
    cache = model(random_ids(3, 5)).cache
    with pytest.raises(ValueError, match=r"batch of 2.*batch_repeat_interleave"):
        model(IDS, cache=cache)
    assert cache.get_seq_length() == 5  # refused before anything was changed


@each_family
def test_continuing_a_bidirectional_model_is_refused(family):
    model = family.build("Model", bidirectional=True)
    assert model(IDS).cache is None
    cache = model(IDS, use_cache=True).cache
    with pytest.raises(ValueError, match="bidirectional"):
        model(IDS, cache=cache)


@each_family
def test_labels_of_the_wrong_shape_are_refused(family):
    model = family.build("ForCausalLM")
    with pytest.raises(ValueError, match=r"`labels` has shape \(2, 4\), expected \(2, 5\)"):
        model(IDS, labels=IDS[:, :4])
    with pytest.raises(ValueError, match="`logits_to_keep`"):
        model(IDS, labels=IDS, logits_to_keep=1)


@each_stateful_head
@each_family
def test_nan_embeddings_stay_in_their_row(family, head):
    """The right answer to NaN is NaN from there on in that row, and nothing in the others."""
    model = family.build(head)
    embeds = torch.randn(3, 5, 6)
    expected = features(model(inputs_embeds=embeds))
    embeds[1, 2] = float("nan")
    found = features(model(inputs_embeds=embeds))
    assert found[1, 2:].isnan().all()
    assert_close(found[[0, 2]], expected[[0, 2]], 1e-6)
    assert_close(found[1, :2], expected[1, :2], 1e-6)


@each_family
def test_file_that_is_no_state_is_refused(family, tmp_path):
    from hf_lstm import RecurrentCache

    model = family.build("Model")
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"`path`.*is no saved state"):
        RecurrentCache.load_file(tmp_path / "model.safetensors")


def test_padding_everywhere():
    """A batch of empty rows: zeros, and a state that stays where it was."""
    for family in (LSTM, GRU, RNN):
        model = family.build("Model")
        state = model(IDS).cache
        before = [s.clone() for layer in state.layers for s in layer.states]
        outputs = model(IDS, attention_mask=IDS * 0, cache=state)
        assert not outputs.last_hidden_state.any()
        assert all(
            torch.equal(a, b) for a, b in zip((s for la in state.layers for s in la.states), before, strict=True)
        )

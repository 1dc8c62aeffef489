# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Several texts in one row, told apart by `position_ids` that begin anew: each is read as though it were alone."""

import pytest
import torch
from families import FAMILIES, PLAIN_TRAINING, assert_close, each_family, each_variant, random_ids
from transformers import DataCollatorWithFlattening, Trainer, TrainingArguments

from hf_lstm import RecurrentCache


LENGTHS = [[4, 1, 6, 2], [3, 10]]  # of the texts in each row


def packed():
    """Two rows of 13 tokens, their position ids, and the texts one by one."""
    ids = random_ids(2, 13)
    positions = torch.tensor([[t for length in row for t in range(length)] for row in LENGTHS])
    texts = [text for row, lengths in zip(ids, LENGTHS, strict=True) for text in row.split(lengths)]
    return ids, positions, texts


def joined(parts: list[torch.Tensor]) -> torch.Tensor:
    """Features of the texts one by one (1, t, F) -> (2, 13, F)."""
    return torch.cat(parts, dim=1).view(2, 13, -1)


@each_variant
def test_each_text_is_alone(family, fields):
    model = family.build("ForCausalLM", **fields)
    ids, positions, texts = packed()
    outputs = model(ids, position_ids=positions, output_hidden_states=True)
    alone = [model(text[None], output_hidden_states=True) for text in texts]
    assert_close(outputs.logits, joined([each.logits for each in alone]))
    for i, hidden_states in enumerate(outputs.hidden_states):
        assert_close(hidden_states, joined([each.hidden_states[i] for each in alone]))
    assert outputs.cache is None
    assert (model(ids).logits - outputs.logits).abs().max() > 0.01  # the state would run from one into the next


@each_family
def test_both_directions_and_padding(family):
    """Padding within a text and around it, at which position ids mean nothing."""
    model = family.build("Model", bidirectional=True)
    ids, positions, texts = packed()
    mask = torch.ones(2, 16, dtype=torch.long)
    mask[0, [0, 3, 15]] = mask[1, [0, 1, 2]] = 0
    spread = [torch.zeros(2, 16, dtype=torch.long).masked_scatter(mask == 1, each) for each in (ids, positions)]
    outputs = model(spread[0], attention_mask=mask, position_ids=spread[1]).last_hidden_state
    assert_close(outputs[mask == 1].view(2, 13, -1), joined([model(text[None]).last_hidden_state for text in texts]))
    assert (outputs[mask == 0] == 0).all()


@each_family
def test_loss_and_gradients(family):
    """No text predicts the first token of the next, whatever its label."""
    model = family.build("ForCausalLM").train()
    ids, positions, texts = packed()
    count = sum(len(text) - 1 for text in texts)
    results = []
    for packs in (True, False):
        model.zero_grad()
        if packs:
            loss = model(ids, position_ids=positions, labels=ids).loss
        else:
            several = [text[None] for text in texts if len(text) > 1]
            loss = sum(model(text, labels=text, num_items_in_batch=count).loss for text in several)
        loss.backward()
        results.append([loss, *(p.grad.clone() for p in model.parameters())])
    assert_close(*results)


@each_family
def test_flattening_collator_with_trainer(family, tmp_path):
    """A step of `Trainer` over a flattened batch is one over a padded batch."""
    rows = [{"input_ids": text.tolist()} for text in packed()[2]]
    after = []
    for collator in (DataCollatorWithFlattening(return_seq_idx=True, return_flash_attn_kwargs=True), pad):
        torch.manual_seed(0)
        model = family.build("ForCausalLM")
        options = PLAIN_TRAINING | {"max_steps": 2, "per_device_train_batch_size": 6}
        Trainer(model, TrainingArguments(tmp_path, **options), collator, rows).train()
        after.append(list(model.parameters()))
    assert_close(*after)


def pad(rows: list[dict]) -> dict[str, torch.Tensor]:
    ids = [torch.tensor(row["input_ids"]) for row in rows]
    values = {
        "input_ids": (ids, 0),
        "attention_mask": ([torch.ones_like(row) for row in ids], 0),
        "labels": (ids, -100),
    }
    pad_sequence = torch.nn.utils.rnn.pad_sequence
    return {name: pad_sequence(tensors, True, filler) for name, (tensors, filler) in values.items()}


def test_position_ids_that_only_count_change_nothing():
    """Those of one text a row, as other libraries pass them, from any number on and with any at padding."""
    model = FAMILIES[0].build("ForCausalLM")
    ids, mask = random_ids(2, 5), torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    positions = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)
    outputs = model(ids, attention_mask=mask, position_ids=positions)
    expected = model(ids, attention_mask=mask)
    assert torch.equal(outputs.logits, expected.logits)
    more = random_ids(2, 3)
    following = model(more, cache=outputs.cache, position_ids=torch.arange(5, 8)[None])
    assert torch.equal(following.logits, model(more, cache=expected.cache).logits)


def test_what_cannot_be_packed_is_refused():
    model = FAMILIES[0].build("ForCausalLM")
    ids, positions, _ = packed()
    with pytest.raises(ValueError, match=r"`position_ids` begin anew .* `use_cache`"):
        model(ids, position_ids=positions, use_cache=True)
    with pytest.raises(ValueError, match=r"`position_ids` begin anew .* `cache`"):
        model(ids, position_ids=positions, cache=RecurrentCache(model.config))
    with pytest.raises(ValueError, match=r"`position_ids` has shape \(2, 12\)"):
        model(ids, position_ids=positions[:, 1:])
    with pytest.raises(TypeError, match=r"`cu_seq_lens_q` .* `position_ids` of the packed texts"):
        model(ids, cu_seq_lens_q=torch.tensor([0, 4, 13]))
    tagger = FAMILIES[0].build("ForTokenClassification", num_labels=3)
    with pytest.raises(TypeError, match=r"`position_ids` .* one text a row"):
        tagger(ids, position_ids=positions)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Folders that version 0.1.0 saved, in `saved_by_0.1.0`: they load, every weight bit for bit, and compute what they
computed then. `expected.safetensors` has inputs and outputs of that version; the code that it saved beside the weights
is left out.
"""

from pathlib import Path

import pytest
import torch
import transformers
from families import assert_close
from safetensors.torch import load_file
from without_package import TEXTS, flatten

import hf_lstm


FOLDERS = Path(__file__).parent / "saved_by_0.1.0"
MODELS = sorted(folder.name for folder in FOLDERS.iterdir() if folder.name != "LSTMTokenizer")


def part(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}


def test_there_is_a_folder_of_each_head():
    heads = ("Model", "ForCausalLM", "ForTokenClassification", "ForSequenceClassification")
    assert sorted(family + head for family in ("LSTM", "GRU", "RNN") for head in heads) == MODELS


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_the_same_bits(name):
    model = getattr(hf_lstm, name).from_pretrained(FOLDERS / name)
    saved, own = load_file(FOLDERS / name / "model.safetensors"), model.state_dict()
    tied = set(model.all_tied_weights_keys)
    assert saved.keys() | tied == own.keys() | tied
    assert all(torch.equal(own[key], tensor) for key, tensor in saved.items())


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_same(name):
    """To rounding: which bits a kernel of torch gives depends on the processor."""
    auto_class = getattr(transformers, getattr(hf_lstm, name)._auto_class)
    model = auto_class.from_pretrained(FOLDERS / name)
    assert type(model) is getattr(hf_lstm, name)
    tensors = load_file(FOLDERS / name / "expected.safetensors")
    inputs, expected = part(tensors, "input"), part(tensors, "output")
    with torch.no_grad():
        found = flatten("", dict(model(**inputs)))
    state = [found.pop(key) for key in sorted(found) if "cache" in key or "past_key_values" in key]
    assert_close(state, [expected.pop(key) for key in sorted(expected) if key.startswith("state.")])
    if "beams" in expected:
        beams = model.generate(inputs["input_ids"][:1], num_beams=3, max_new_tokens=8, do_sample=False)
        assert torch.equal(beams, expected.pop("beams"))
    assert {key.removeprefix(".") for key in found} == expected.keys()
    assert_close([found[f".{key}"] for key in expected], list(expected.values()))


def test_tokenizer():
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDERS / "LSTMTokenizer")
    assert type(tokenizer) is hf_lstm.LSTMTokenizer
    found = tokenizer(TEXTS, padding=True, return_tensors="pt")
    expected = part(load_file(FOLDERS / "LSTMTokenizer" / "expected.safetensors"), "output")
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)

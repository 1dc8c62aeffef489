# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Each example runs for two steps on tiny data, and leaves what it promises."""

import importlib.util
import json
import math
from pathlib import Path

import datasets
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer


EXAMPLES = Path(__file__).parents[1] / "examples"
TEXT = "".join(f"The cat number {i} sat on the mat. The dog saw the cat and left.\n" for i in range(60))


def load(name: str):
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def command_line(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    options = {
        "train_file": text,
        "output_dir": tmp_path / "run",
        "vocab_size": 300,
        "block_size": 16,
        "hidden_size": 8,
        "max_steps": 2,
        "per_device_eval_batch_size": 4,  # does not divide the number of blocks
        "prompts": "The cat",
        "use_cpu": True,
    }
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def perplexities(run: Path) -> dict[str, float]:
    return json.loads((run / "eval_results.json").read_text())["perplexity"]


def is_png(path: Path) -> bool:
    picture = path.read_bytes()
    return picture.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in picture[-12:] and len(picture) > 5_000


@pytest.mark.parametrize("family", ["lstm", "gru", "rnn"])
def test_language_model(tmp_path, command_line, capsys, family):
    pytest.importorskip("matplotlib")
    load("train_language_model").main([*command_line, "--model_type", family])
    run = tmp_path / "run"
    assert is_png(run / "training_curve.png")
    assert set(perplexities(run)) == {"unigram", "trigram", family.upper()}
    assert "\nThe cat" in capsys.readouterr().out  # the text that it generated

    # What was saved is what was measured: the held-out tail of the text, in blocks of 16 targets, has this perplexity.
    tokenizer, model = AutoTokenizer.from_pretrained(run), AutoModelForCausalLM.from_pretrained(run).eval()
    assert model.config.model_type == family
    held_out = [tokenizer(line)["input_ids"] + [tokenizer.eos_token_id] for line in TEXT.splitlines()[-6:]]
    stream = torch.tensor([token for line in held_out for token in line])
    blocks = torch.stack([stream[i : i + 17] for i in range(0, len(stream) - 16, 16)])
    with torch.no_grad():
        loss = model(input_ids=blocks, labels=blocks).loss.item()
    assert perplexities(run)[family.upper()] == pytest.approx(math.exp(loss), rel=1e-4)


def test_language_model_resumes(tmp_path, command_line, monkeypatch):
    pytest.importorskip("matplotlib")
    example = load("train_language_model")
    example.main([*command_line, "--save_strategy", "steps", "--save_steps", "1", "--save_total_limit", "2"])
    straight = perplexities(tmp_path / "run")
    steps = []
    training_step = Trainer.training_step
    monkeypatch.setattr(Trainer, "training_step", lambda *args, **kw: steps.append(1) or training_step(*args, **kw))
    example.main([*command_line, "--resume_from_checkpoint", str(tmp_path / "run" / "checkpoint-1")])
    assert len(steps) == 1
    assert perplexities(tmp_path / "run") == pytest.approx(straight, rel=1e-6)


def test_language_model_refuses_a_missing_file(command_line):
    command_line[1] += ".missing"
    with pytest.raises(ValueError, match=r"`train_file` is '.*missing'"):
        load("train_language_model").main(command_line)


def test_picture_needs_no_display_and_names_what_is_missing(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from hf_lstm.plotting import plot_training_curve

    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    history = [{"step": 1, "loss": 2.0}, {"step": 2, "eval_loss": 1.5}, {"step": 2, "train_runtime": 3.0}]
    plot_training_curve(history, tmp_path / "curve.png", baselines={"trigram": 1.7})
    assert is_png(tmp_path / "curve.png")
    with pytest.raises(ValueError, match="`log_history` holds no"):
        plot_training_curve([{"step": 2, "train_runtime": 3.0}], tmp_path / "none.png")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install hf-lstm\[plot\]"):
        plot_training_curve(history, tmp_path / "curve.png")

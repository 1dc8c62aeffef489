# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Every snippet of the README and every example of a docstring runs."""

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import hf_lstm
from hf_lstm import LSTMConfig, LSTMForCausalLM, LSTMTokenizer


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.M | re.S)
MODULES = [importlib.import_module(f"hf_lstm.{module.name}") for module in pkgutil.iter_modules(hf_lstm.__path__)]
TEXT = ["This module provides a list of words.", "Return a list of the words in the string.", ""] * 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with what the README assumes: a text, and a small model where `make train` puts its own."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "my_text.txt").write_text("\n".join(TEXT))
    for name in ("train", "dev"):
        (folder / f"{name}.txt").write_text("Ada B-PER\nsang O\n\nin O\nNew B-LOC\nYork I-LOC\n\n" * 5)
    tokenizer = LSTMTokenizer.train_from_iterator(TEXT, vocab_size=300, show_progress=False)
    model = LSTMForCausalLM(LSTMConfig(vocab_size=len(tokenizer), hidden_size=8, pad_token_id=0, eos_token_id=3))
    for part in (model, tokenizer):
        part.save_pretrained(folder / "runs" / "python_docs_lm")
    return folder


def test_python_snippets_of_the_readme(folder, monkeypatch):
    """In their order and in one namespace, as a reader would."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")
    snippets = [code for language, code in SNIPPETS if language == "python"]
    assert len(snippets) == 4
    namespace = {}
    for code in snippets:
        apart = "ForTokenClassification" in code  # its names are not meant for what follows
        exec(compile(code, "README.md", "exec"), {} if apart else namespace)
    assert (folder / "runs" / "my_tagger" / "crf.py").is_file()
    assert (folder / "runs" / "my_model" / "modeling_lstm.py").is_file()
    assert namespace["branch"].get_seq_length() < namespace["state"].get_seq_length()


def test_shell_snippets_of_the_readme(folder):
    lines = [line for language, code in SNIPPETS if language == "bash" for line in code.splitlines()]
    assert len(lines) == 4
    for line in lines:
        command = shlex.split(line)
        if command[:2] == ["pip", "install"]:
            url = re.search(r'^Repository = "(.*)"', (ROOT / "pyproject.toml").read_text(), flags=re.M)[1]
            assert command[2] == f"git+{url}"
        elif command[0] == "make":
            subprocess.run(["make", "--dry-run", *command[1:]], cwd=ROOT, check=True, capture_output=True)
        else:
            script = [sys.executable, str(ROOT / command[1]), *command[2:], "--max_steps", "2", "--report_to", "none"]
            subprocess.run([*script, "--use_cpu", "--vocab_size", "300"], cwd=folder, check=True, capture_output=True)
            assert (folder / "runs" / "my_text" / "model.safetensors").is_file()


def test_files_that_the_documents_name_exist():
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (ROOT / link).exists(), f"{document} links to {link}"


def public_objects():
    """Modules, and the classes and functions that they define, with an example in their docstring."""
    for module in MODULES:
        for name, thing in [(module.__name__, module), *inspect.getmembers(module)]:
            defined = thing is module or getattr(thing, "__module__", None) == module.__name__
            if defined and ">>>" in (thing.__doc__ or ""):
                yield pytest.param(thing, id=f"{module.__name__.removeprefix('hf_lstm.')}.{name}")


@pytest.mark.parametrize("thing", list(public_objects()))
def test_docstring_examples(thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"^\s*```.*$", "", inspect.getdoc(thing), flags=re.M)  # the closing fence would be expected output
    test = doctest.DocTestParser().get_doctest(text, {}, thing.__name__, None, None)
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test).failed == 0


def test_every_public_class_has_an_example():
    """But for the bases, which nobody builds."""
    bases = {"RecurrentConfig"} | {f"{family}PreTrainedModel" for family in ("LSTM", "GRU", "RNN")}
    for name in set(hf_lstm.__all__) - bases:
        assert ">>>" in getattr(hf_lstm, name).__doc__, name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_everything_public_has_a_docstring(module):
    for name, thing in inspect.getmembers(module):
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__ and callable(thing):
            assert thing.__doc__, f"{module.__name__}.{name}"

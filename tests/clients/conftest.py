# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Programs of other people that use our models: `make test-clients`, in an environment of its own. What they are told to
do stands in `docs/clients.md`, whose snippets the tests run; what they printed is kept by `--record FILE`.
"""

import importlib.metadata
import json
from pathlib import Path

import pytest
import torch
from chats import CHATS, build_chat_model


@pytest.fixture(scope="session")
def chat_model():
    """Model and tokenizer."""
    torch.manual_seed(0)
    return build_chat_model()


@pytest.fixture
def folder(tmp_path, monkeypatch, chat_model) -> Path:
    """The working folder of the page, with the model in `my_model` and its chats."""
    monkeypatch.chdir(tmp_path)
    for part in chat_model:
        part.save_pretrained("my_model")
    Path("chats.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in CHATS))
    return tmp_path


# What the programs printed.

RECORD: dict = {}


def pytest_addoption(parser):
    parser.addoption("--record", help="write what the clients printed into this file")


@pytest.fixture
def record(request):
    """A function that keeps text which a client printed, under the names of its packages."""

    def keep(packages: str, *parts: str) -> None:
        RECORD.setdefault(packages, []).extend(str(part).strip() for part in parts)

    return keep


def pytest_deselected(items):
    RECORD["left out"] = True


def pytest_sessionfinish(session, exitstatus):
    """Write the file, if all tests ran and passed."""
    file = session.config.getoption("--record")
    if file and exitstatus == 0 and "left out" not in RECORD:
        parts = ["# What the clients printed", "Written by `make test-clients`. How to run each: `docs/clients.md`."]
        parts[1] += " The model is a toy that has learnt six sentences: its scores are no results."
        for packages, texts in sorted(RECORD.items()):
            versions = [f"{name} {importlib.metadata.version(name)}" for name in packages.split()]
            parts += [f"## {', '.join(versions)}", *(f"```text\n{text}\n```" for text in texts)]
        Path(file).write_text("\n\n".join(parts) + "\n", encoding="utf-8")

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a person gets who installs the package: every room, and imports that go one way."""

import ast
import importlib
import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import transformers
from processes import ROOT

import hf_lstm


PACKAGE = Path(hf_lstm.__file__).parent
ROOMS = sorted(folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file())
# What the files of each room may import of the others, see CONTRIBUTING.md.
MAY_IMPORT = {
    "models": set(),
    "data": {"models"},
    "evaluation": {"models", "data"},
    "hub": {"models", "evaluation"},
    "interop": {"models"},
    "training": {"models", "data", "hub"},
    "demo": {"models", "data", "evaluation", "hub", "interop", "training"},
}


def imports_of(file: Path) -> set[str]:
    """The rooms that a file imports from, the package itself left out."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("hf_lstm")):
            home = list(file.relative_to(PACKAGE).parts[:-1])
            base = home[: len(home) + 1 - node.level] if node.level else []
            path = [*base, *(node.module or "").removeprefix("hf_lstm").strip(".").split(".")]
            found |= {next(filter(None, path), "")}
    return found & set(ROOMS)


def test_every_room_is_known():
    assert set(ROOMS) == MAY_IMPORT.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room):
    for file in (PACKAGE / room).glob("*.py"):
        assert imports_of(file) - {room} <= MAY_IMPORT[room], file


@pytest.mark.slow
def test_a_wheel_has_every_file(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True
    )
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    expected = {str(file.relative_to(PACKAGE.parent)) for file in PACKAGE.rglob("*.py")}
    assert expected <= names and "hf_lstm/py.typed" in names


@pytest.mark.parametrize(
    "name",
    ["data.text", "evaluation.diagnostics", "models.classification", "training.averaging", "training.card_trainer"],
)
def test_warnings_follow_the_verbosity_of_transformers(name):
    logger, before = importlib.import_module(f"hf_lstm.{name}").logger, transformers.logging.get_verbosity()
    try:
        for level in (logging.ERROR, logging.INFO):
            transformers.logging.set_verbosity(level)
            assert logger.getEffectiveLevel() == level
    finally:
        transformers.logging.set_verbosity(before)

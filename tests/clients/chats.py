# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A small model that has learnt a few chats, and the pieces of code of pages in `docs/`."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from hf_lstm import LSTMForCausalLM, LSTMTokenizer


ROOT = Path(__file__).resolve().parents[2]
FACTS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red", "sand": "yellow"}
CHATS = [
    [{"role": "user", "content": f"what colour is the {thing} ?"}, {"role": "assistant", "content": f"it is {colour}"}]
    for thing, colour in FACTS.items()
]
QUESTIONS = [chat[0]["content"] for chat in CHATS]


def snippets(section: str, language: str, page: str = "clients") -> list[str]:
    """The pieces of code in a language under a heading of a page."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    text = re.search(rf"^##? {re.escape(section)}\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S)[1]
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)
    assert found, f"docs/{page}.md has no {language} under {section!r}"
    return found


def run_snippet(section: str, number: int = 0, **names) -> dict:
    """Run a piece of Python of the page; what it defines comes back."""
    code = snippets(section, "python")[number]
    exec(compile(code, f"docs/clients.md, {section}", "exec"), names)
    return names


# Put in front of the path of a program, it makes `import hf_lstm` fail there, wherever the package is.
NOT_INSTALLED = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hf_lstm":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""


def program(command: str, folder: Path, installed: bool = True) -> tuple[list[str], dict]:
    """What `subprocess` needs to run a command of the page in a folder, with or without hf_lstm."""
    name, *arguments = shlex.split(command)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    environment.pop("PYTHONPATH", None)
    if not installed:
        (folder / "path").mkdir(exist_ok=True)
        (folder / "path" / "sitecustomize.py").write_text(NOT_INSTALLED)
        environment["PYTHONPATH"] = str(folder / "path")
    return [str(Path(sys.executable).parent / name), *arguments], {"cwd": folder, "env": environment}


def run(command: str, folder: Path, installed: bool = True) -> str:
    """What a command prints."""
    command, options = program(command, folder, installed)
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_chat_model(steps: int = 150) -> tuple[LSTMForCausalLM, LSTMTokenizer]:
    """The model of the page, which has learnt the facts, as chats, and its tokenizer with their template."""
    folder = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            (code,) = snippets("The model of this page", "python")
            names = {}
            exec(compile(code.replace("max_steps=150", f"max_steps={steps}"), "docs/clients.md", "exec"), names)
        finally:
            os.chdir(folder)
    assert names["chats"] == CHATS
    return names["trainer"].model.eval(), names["tokenizer"]

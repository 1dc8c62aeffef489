# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The models of the demo, and how they are named."""

import os
from argparse import ArgumentParser, Namespace
from typing import Any, NamedTuple

from transformers import AutoModelForCTC, AutoProcessor, AutoTokenizer


class Loaded(NamedTuple):
    """A model and its tokenizer, or its processor."""

    model: Any
    tokenizer: Any


def load(argument: str, name: str, auto_class: type) -> Loaded:
    """
    A model from a folder or the Hub, whose code will run.

    Args:
        argument (`str`): What the user has to change if there is none.
        name (`str`): Folder or id on the Hub.
        auto_class (`type`): The Auto class of the model.

    Returns:
        [`Loaded`]: The model, in evaluation mode, with its tokenizer.

    Raises:
        `ValueError`: for a name without such a model.
    """
    try:
        reader = AutoProcessor if auto_class is AutoModelForCTC else AutoTokenizer
        tokenizer = reader.from_pretrained(name, trust_remote_code=True)
        return Loaded(auto_class.from_pretrained(name, trust_remote_code=True).eval(), tokenizer)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`{argument}` is {name!r}, from which no such model can be loaded: {error}\nRun `make demo`, which "
            f"trains one first, or pass `--{argument}` with a folder or a name of the Hub."
        ) from error


def parse(description: str, command_line: list[str] | None = None) -> Namespace:
    """
    The names of the models, from the command line or else from the variables TAGGER, LANGUAGE_MODEL, TRANSLATOR and
    RECOGNIZER, and the port.

    Args:
        description (`str`): What `--help` says of the program.
        command_line (`list[str]`, *optional*): The arguments; by default those of the process.

    Returns:
        `Namespace`: `tagger`, `language_model`, `translator`, `recognizer` and `port`.
    """
    parser = ArgumentParser(description=description)
    names = {
        "tagger": "./runs/python_docs_tagger",
        "language_model": "./runs/python_docs_lm",
        "translator": "./runs/tatoeba_en_zh",
        "recognizer": "./runs/spoken_digits",
    }
    for argument, name in names.items():
        default = os.environ.get(argument.upper(), name)
        parser.add_argument(f"--{argument}", default=default, help=f"Folder or name on the Hub ({default}).")
    parser.add_argument("--port", type=int, help="Port to serve at; else the first free one from 7860 on.")
    return parser.parse_args(command_line)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Text for language models: where it comes from, and how it is cut into blocks.

Glossary: B blocks, T predicted tokens a block.
"""

import ast
import os
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, load_dataset
from transformers import PreTrainedTokenizerBase


# The loaders of `datasets`, by the extension of a file.
LOADERS = {"txt": "text", "json": "json", "jsonl": "json", "csv": "csv", "parquet": "parquet"}

HELD_OUT = 0.1  # share of the documents that are held out where no validation data is given

_NOT_DOCUMENTATION = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
# A paragraph of prose: 40 characters and more, from a capital or a quotation mark to the end of a sentence.
_PROSE = re.compile(r"""["'`*(]*[A-Z].{38,}[.:!?)"]""")


def load_text(
    train_file: str | os.PathLike | None = None,
    validation_file: str | os.PathLike | None = None,
    *,
    dataset_name: str | None = None,
    dataset_config_name: str | None = None,
    text_column: str = "text",
    sample_by: str = "line",
) -> DatasetDict:
    """
    Documents to train and to evaluate a language model on: from files, from the Hub, or [`python_docs`] where neither
    is named. Without validation data the last tenth of the documents is held out. Empty documents are left out.

    Args:
        train_file (`str` or `os.PathLike`, *optional*):
            A file of type txt, json, jsonl, csv or parquet. A row is a document.
        validation_file (`str` or `os.PathLike`, *optional*): The same for evaluation.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        text_column (`str`, *optional*, defaults to `"text"`): Column that holds the text.
        sample_by (`str`, *optional*, defaults to `"line"`):
            What a document is in a txt file: a `"line"`, a `"paragraph"` (blank lines between) or the `"document"`.

    Returns:
        `DatasetDict`: The splits `"train"` and `"validation"`, each with the one column `"text"`.

    Raises:
        `ValueError`: If a file is missing or of unknown type, the column or split is missing, or there is no text.
    """
    if train_file is not None and dataset_name is not None:
        raise ValueError(f"`dataset_name` is {dataset_name!r} and `train_file` {train_file!r}: give one of the two.")
    if validation_file is not None and train_file is None:
        raise ValueError(f"`validation_file` is {validation_file!r} without `train_file`: give both, or neither.")

    if dataset_name is not None:
        splits = load_dataset(dataset_name, dataset_config_name)
    elif train_file is not None:
        splits = {"train": _read(train_file, "train_file", sample_by)}
        if validation_file is not None:
            splits["validation"] = _read(validation_file, "validation_file", sample_by)
    else:
        splits, text_column = {"train": python_docs()}, "text"
    if "train" not in splits:
        raise ValueError(f"`dataset_name` {dataset_name!r} has the splits {list(splits)}: it has to have 'train'.")

    splits = {name: _documents(splits[name], name, text_column) for name in ("train", "validation") if name in splits}
    if "validation" not in splits:
        if len(splits["train"]) < 2:
            raise ValueError(
                "One document cannot be split: name a `validation_file`, or cut a txt file into more of them with "
                '`sample_by="line"` or `"paragraph"`.'
            )
        halves = splits["train"].train_test_split(test_size=HELD_OUT, shuffle=False)
        splits = {"train": halves["train"], "validation": halves["test"]}
    return DatasetDict(splits)


def python_docs(seed: int = 0) -> Dataset:
    """
    The English prose of the documentation that ships with CPython, which needs no download: the topics of `help()`,
    taken from the language reference, and the docstrings of the standard library. About 200,000 words; what they are
    depends on the version of Python.

    A topic or a module is a document. Only paragraphs of prose are kept, unwrapped into one line each, and each of
    them once, in the first document that has it: topics quote each other, and no paragraph may stand in training as
    well as in held-out documents.

    Args:
        seed (`int`, *optional*, defaults to 0): Seed of the order, so that a share of it is a fair sample.

    Returns:
        `Dataset`: The columns `"name"` (topic or file) and `"text"`.
    """
    documents, seen = [], set()
    for name, text in _raw_python_docs():
        paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
        prose = [p for p in paragraphs if _PROSE.fullmatch(p) and ">>>" not in p and not (p in seen or seen.add(p))]
        if prose:
            documents.append({"name": name, "text": "\n".join(prose)})
    random.Random(seed).shuffle(documents)
    return Dataset.from_list(documents)


def make_blocks(documents: Dataset, tokenizer: PreTrainedTokenizerBase, block_size: int) -> Dataset:
    """
    Tokenize documents, join them with an end-of-sequence token after each, and cut the stream into blocks.

    A block holds `block_size + 1` tokens, and begins with the last token of the block before it. A causal model does
    not predict the first token of its input, so every token of the stream, its first one apart, is a target exactly
    once. An incomplete last block is left out.

    Args:
        documents (`Dataset`): Documents in a column `"text"`.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer; its `eos_token` marks the end of a document.
        block_size (`int`): Number of predicted tokens a block, T.

    Returns:
        `Dataset`: B rows of `input_ids` and `labels`, the same `T + 1` tokens: a causal model shifts them itself.

    Raises:
        `ValueError`: If the tokenizer has no `eos_token`, or the text is too short for one block.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("`tokenizer` has no `eos_token`, which marks the end of a document: set one.")
    if block_size < 1:
        raise ValueError(f"`block_size` is {block_size}: a block has to predict at least one token.")
    end = [tokenizer.eos_token_id]
    tokens = documents.map(
        lambda rows: {"input_ids": [ids + end for ids in tokenizer(rows["text"])["input_ids"]]},
        batched=True,
        remove_columns=documents.column_names,
        desc="Tokenizing",
    )
    stream = np.concatenate(tokens.with_format("numpy")["input_ids"][:])  # (number of tokens,)
    if len(stream) <= block_size:
        raise ValueError(
            f"`block_size` is {block_size} and the text has {len(stream)} tokens: give a smaller size or more text."
        )
    blocks = np.lib.stride_tricks.sliding_window_view(stream, block_size + 1)[::block_size]  # (B, T + 1)
    return Dataset.from_dict({"input_ids": blocks, "labels": blocks})


def _read(path: str | os.PathLike, argument: str, sample_by: str) -> Dataset:
    path = Path(path)
    loader = LOADERS.get(path.suffix.lstrip(".").lower())
    if loader is None:
        raise ValueError(f"`{argument}` is {str(path)!r}: its name has to end in one of {', '.join(LOADERS)}.")
    if not path.is_file():
        raise ValueError(f"`{argument}` is {str(path)!r}, which is not a file: check the path.")
    options = {"sample_by": sample_by} if loader == "text" else {}
    return load_dataset(loader, data_files=str(path), split="train", **options)


def _documents(dataset: Dataset, split: str, text_column: str) -> Dataset:
    """The documents of a split that are not empty, in the one column `"text"`."""
    if text_column not in dataset.column_names:
        raise ValueError(f"`text_column` is {text_column!r}, but the {split} data has {dataset.column_names}.")
    dataset = dataset.filter(lambda row: bool(row[text_column] and row[text_column].strip()))
    dataset = dataset.select_columns(text_column).rename_columns({text_column: "text"})
    if len(dataset) == 0:
        raise ValueError(f"The {split} data holds no text in the column `{text_column}`: check the file.")
    return dataset


def _raw_python_docs() -> Iterator[tuple[str, str]]:
    from pydoc_data.topics import topics

    yield from topics.items()
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library)
        if not _NOT_DOCUMENTATION.intersection(name.parts):
            yield name.as_posix(), _docstrings(path.read_bytes())


def _docstrings(source: bytes) -> str:
    """The docstrings of a module, its classes and its functions, a blank line between each two."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # not a module but a template or a test file
        return ""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return "\n\n".join(ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds))

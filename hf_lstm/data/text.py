# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Text for language models, and how it is cut into blocks.

Glossary: B blocks, T predicted tokens a block.
"""

import os
from collections.abc import Sequence

import numpy as np
from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase

from .documentation import python_docs
from .files import HELD_OUT, check_sources, hold_out, read_splits


def load_text(
    train_file: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    validation_file: str | os.PathLike | None = None,
    test_file: str | os.PathLike | None = None,
    *,
    dataset_name: str | None = None,
    dataset_config_name: str | None = None,
    text_column: str = "text",
    sample_by: str = "line",
    keep_blank: bool = False,
) -> DatasetDict:
    """
    Documents to train and to evaluate a language model on: from files, from the Hub, or [`python_docs`] where neither
    is named. Without validation data the last tenth of the documents is held out, or of the characters, if there is
    one document and `sample_by="document"`.

    Args:
        train_file (`str`, `os.PathLike` or a list of them, *optional*):
            A txt, tokens, raw, json, jsonl, csv or tsv file, plain or gzipped, or a parquet file; or several, which
            follow one another. A row is a document.
        validation_file (`str` or `os.PathLike`, *optional*): The same for evaluation.
        test_file (`str` or `os.PathLike`, *optional*): The same for the final score.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        text_column (`str`, *optional*, defaults to `"text"`): Column that holds the text.
        sample_by (`str`, *optional*, defaults to `"line"`):
            What a document is in a txt file: a `"line"`, a `"paragraph"` (blank lines between) or the `"document"`.
        keep_blank (`bool`, *optional*, defaults to `False`):
            Keep documents without text. In WikiText, whose perplexities count an end of each line, some lines are so.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and, where there is one, `"test"`, each with the one column
        `"text"`.

    Raises:
        `ValueError`: If a file is missing or of unknown type, the column or split is missing, or there is no text.
    """
    files = {"train": train_file, "validation": validation_file, "test": test_file}
    files = {split: path for split, path in files.items() if path is not None}
    check_sources(files, dataset_name)
    if dataset_name is None and not files:
        splits, text_column = {"train": python_docs()}, "text"
    else:
        splits = read_splits(files, dataset_name, dataset_config_name, sample_by)
    splits = {name: _documents(rows, name, text_column, keep_blank) for name, rows in splits.items()}
    if "validation" not in splits:
        splits["train"], splits["validation"] = _hold_out(splits["train"], sample_by)
    order = [name for name in ("train", "validation", "test") if name in splits]
    return DatasetDict({name: splits[name] for name in order})


def encode_text(documents: Dataset, tokenizer: PreTrainedTokenizerBase, reverse: bool = False) -> Dataset:
    """
    Documents as token ids, with an end-of-sequence token after each.

    Args:
        documents (`Dataset`): Documents in a column `"text"`.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer; its `eos_token` marks the end of a document.
        reverse (`bool`, *optional*, defaults to `False`):
            Put the last token of each document first, for a language model that reads backwards. With a tokenizer of
            characters that is `text[::-1]`, the text that [`~contextual_recurrent.ContextEncoder`] expects.

    Returns:
        `Dataset`: A row of `input_ids` for each document.

    Raises:
        `ValueError`: If the tokenizer has no `eos_token`.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("`tokenizer` has no `eos_token`, which marks the end of a document: set one.")
    step = -1 if reverse else 1

    def encode(rows):
        return {"input_ids": [[*ids[::step], tokenizer.eos_token_id] for ids in tokenizer(rows["text"])["input_ids"]]}

    return documents.map(encode, batched=True, remove_columns=documents.column_names, desc="Tokenizing")


def make_blocks(tokens: Dataset, block_size: int) -> Dataset:
    """
    Join tokenized documents, and cut the stream into blocks.

    A block holds `block_size + 1` tokens, and begins with the last token of the block before it. A causal model does
    not predict the first token of its input, so every token of the stream, its first one apart, is a target exactly
    once. An incomplete last block is left out.

    Args:
        tokens (`Dataset`): Documents as [`encode_text`] returns them.
        block_size (`int`): Number of predicted tokens a block, T.

    Returns:
        `Dataset`: B rows of `input_ids` and `labels`, the same `T + 1` tokens: a causal model shifts them itself.

    Raises:
        `ValueError`: If the text is too short for one block.
    """
    if block_size < 1:
        raise ValueError(f"`block_size` is {block_size}: a block has to predict at least one token.")
    stream = np.concatenate(tokens.with_format("numpy")["input_ids"][:])  # (number of tokens,)
    if len(stream) <= block_size:
        raise ValueError(
            f"`block_size` is {block_size} and the text has {len(stream)} tokens: give a smaller size or more text."
        )
    blocks = np.lib.stride_tricks.sliding_window_view(stream, block_size + 1)[::block_size]  # (B, T + 1)
    return Dataset.from_dict({"input_ids": blocks, "labels": blocks})


def _hold_out(documents: Dataset, sample_by: str) -> tuple[Dataset, Dataset]:
    """The documents to train on and the last tenth, be it of the only one."""
    if len(documents) > 1 or sample_by != "document":
        return hold_out(documents, shuffle=False)
    text = documents[0]["text"]
    cut = int((1 - HELD_OUT) * len(text))
    return Dataset.from_dict({"text": [text[:cut]]}), Dataset.from_dict({"text": [text[cut:]]})


def _documents(dataset: Dataset, split: str, text_column: str, keep_blank: bool) -> Dataset:
    """The documents of a split, without those that are blank unless told so, in the one column `"text"`."""
    if text_column not in dataset.column_names:
        raise ValueError(f"`text_column` is {text_column!r}, but the {split} data has {dataset.column_names}.")
    with_text = dataset.filter(lambda row: bool(row[text_column] and row[text_column].strip()))
    if len(with_text) == 0:
        raise ValueError(f"The {split} data holds no text in the column `{text_column}`: check the file.")
    dataset = dataset.filter(lambda row: row[text_column] is not None) if keep_blank else with_text
    return dataset.select_columns(text_column).rename_columns({text_column: "text"})

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Text for language models, and how it is cut into blocks.

Glossary: B blocks, T predicted tokens a block.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from datasets import Dataset, DatasetDict, Features, IterableDataset, Value, concatenate_datasets
from datasets.exceptions import DatasetGenerationError
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from .documentation import python_docs
from .files import (
    HELD_OUT,
    ROW_FILES,
    TEXT_FILES,
    check_file,
    extension,
    files_by_split,
    hold_out,
    read_lines,
    source_of,
)
from .rows import read_parquet, read_rows, splits_of_hub, text_of


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


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
    streaming: bool = False,
    held_out_documents: int = 1000,
    encoding: str = "utf-8",
) -> dict[str, Dataset | IterableDataset]:
    """
    Documents to train and to evaluate a language model on, from files or from the Hub. Without arguments it reads the
    documentation that ships with Python, [`python_docs`], and a warning says so. Without validation data the last
    tenth of the documents is held out, or of the characters, if there is one document and `sample_by="document"`.

    Args:
        train_file (`str`, `os.PathLike` or a list of them, *optional*):
            A txt, tokens, raw, json, jsonl, csv or tsv file, plain or gzipped, or a parquet file; or several, which
            follow one another. A row is a document. In files of text all cells are text, whatever they look like.
        validation_file (`str` or `os.PathLike`, *optional*): The same for evaluation.
        test_file (`str` or `os.PathLike`, *optional*): The same for the final score.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        text_column (`str`, *optional*, defaults to `"text"`): Column that holds the text.
        sample_by (`str`, *optional*, defaults to `"line"`):
            What a document is in a txt file: a `"line"`, a `"paragraph"` (blank lines between) or the `"document"`.
            [`encode_text`] ends each document, so each line, with the end-of-sequence token.
        keep_blank (`bool`, *optional*, defaults to `False`):
            Keep documents without text. In WikiText, whose perplexities count an end of each line, some lines are so.
        streaming (`bool`, *optional*, defaults to `False`):
            Read the text to train on while training, for what memory and disk cannot hold. The others are read whole.
        held_out_documents (`int`, *optional*, defaults to 1000):
            With `streaming` and without validation data, so many documents at the beginning are held out.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the files; that of parquet is its own.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and, where there is one, `"test"`, each with the one column
        `"text"`; with `streaming` a `dict` of them, in which `"train"` is an `IterableDataset`.

    Raises:
        `ValueError`: If a file is missing, damaged, in another encoding or of unknown type, the column or split is
            missing, or there is no text.
    """
    files = files_by_split(train_file, validation_file, test_file, dataset_name)
    if dataset_name is None and not files:
        logger.warning(
            "`train_file` and `dataset_name` are None: the text is Python's own documentation. Give one for another."
        )
        splits, text_column = {"train": python_docs()}, "text"
    elif dataset_name is not None:
        splits = splits_of_hub(dataset_name, dataset_config_name, streaming)
    else:
        files = {split: [path] if isinstance(path, (str, os.PathLike)) else path for split, path in files.items()}
        options = (text_column, sample_by, encoding, streaming)
        splits = {
            split: concatenate_datasets([_read_file(path, f"{split}_file", *options) for path in paths])
            for split, paths in files.items()
        }
    if streaming and not isinstance(splits["train"], IterableDataset):
        splits["train"] = splits["train"].to_iterable_dataset()
    splits = {name: _documents(rows, name, text_column, keep_blank) for name, rows in splits.items()}
    if "validation" not in splits:
        halve, how = (_hold_out_first, held_out_documents) if streaming else (_hold_out, sample_by)
        splits["train"], splits["validation"] = halve(splits["train"], how)
    splits = {name: splits[name] for name in ("train", "validation", "test") if name in splits}
    if not streaming:
        return DatasetDict(splits)
    return {name: rows if name == "train" else _whole(rows) for name, rows in splits.items()}


def encode_text(
    documents: Dataset | IterableDataset, tokenizer: PreTrainedTokenizerBase, reverse: bool = False
) -> Dataset | IterableDataset:
    """
    Documents as token ids, with an end-of-sequence token after each.

    Args:
        documents (`Dataset` or `IterableDataset`): Documents in a column `"text"`; a stream is tokenized when read.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer; its `eos_token` marks the end of a document.
        reverse (`bool`, *optional*, defaults to `False`):
            Put the last token of each document first, for a language model that reads backwards. With a tokenizer of
            characters that is `text[::-1]`, the text that [`~models.context.ContextEncoder`] expects.

    Returns:
        `Dataset` or `IterableDataset`: A row of `input_ids` for each document.

    Raises:
        `ValueError`: If the tokenizer has no `eos_token`.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("`tokenizer` has no `eos_token`, which marks the end of a document: set one.")
    step = -1 if reverse else 1

    def encode(rows):
        return {"input_ids": [[*ids[::step], tokenizer.eos_token_id] for ids in tokenizer(rows["text"])["input_ids"]]}

    options = {} if isinstance(documents, IterableDataset) else {"desc": "Tokenizing"}
    return documents.map(encode, batched=True, remove_columns=documents.column_names or ["text"], **options)


def make_blocks(tokens: Dataset | IterableDataset, block_size: int) -> Dataset | IterableDataset:
    """
    Join tokenized documents, and cut the stream into blocks.

    A block holds `block_size + 1` tokens, and begins with the last token of the block before it. A causal model does
    not predict the first token of its input, so every token of the stream, its first one apart, is a target exactly
    once. An incomplete last block is left out.

    Args:
        tokens (`Dataset` or `IterableDataset`): Documents as [`encode_text`] returns them; a stream is cut when read.
        block_size (`int`): Number of predicted tokens a block, T.

    Returns:
        `Dataset` or `IterableDataset`: B rows of `input_ids` and `labels`, the same `T + 1` tokens: a causal model
        shifts them itself.

    Raises:
        `ValueError`: If the text is too short for one block.
    """
    if block_size < 1:
        raise ValueError(f"`block_size` is {block_size}: a block has to predict at least one token.")
    if isinstance(tokens, IterableDataset):
        return IterableDataset.from_generator(_cut, gen_kwargs={"tokens": tokens, "block_size": block_size})
    stream = np.concatenate(tokens.with_format("numpy")["input_ids"][:])  # (number of tokens,)
    if len(stream) <= block_size:
        raise _too_short(block_size, len(stream))
    blocks = np.lib.stride_tricks.sliding_window_view(stream, block_size + 1)[::block_size]  # (B, T + 1)
    return Dataset.from_dict({"input_ids": blocks, "labels": blocks})


def _cut(tokens: IterableDataset, block_size: int) -> Iterator[dict[str, np.ndarray]]:
    """The blocks of a stream, of which no more than a document and a block is held."""
    rest, found = np.empty(0, dtype=np.int64), False
    for row in tokens:
        rest = np.append(rest, np.asarray(row["input_ids"], dtype=np.int64))
        number = max(0, len(rest) - 1) // block_size
        for start in range(0, number * block_size, block_size):
            block, found = rest[start : start + block_size + 1], True
            yield {"input_ids": block, "labels": block}
        rest = rest[number * block_size :]
    if not found:
        raise _too_short(block_size, len(rest))


def _too_short(block_size: int, tokens: int) -> ValueError:
    return ValueError(
        f"`block_size` is {block_size} and the text has {tokens} tokens: give a smaller size or more text."
    )


def _hold_out_first(documents: IterableDataset, number: int) -> tuple[IterableDataset, Dataset]:
    """What is left of a stream, and its beginning."""
    train = documents.skip(number)
    if number < 1 or next(iter(train), None) is None:
        raise ValueError(
            f"`held_out_documents` is {number}, and has to leave something to train on, and something to evaluate: "
            "give another number, or validation data."
        )
    return train, _whole(documents.take(number))


def _whole(rows: Dataset | IterableDataset) -> Dataset:
    return Dataset.from_list(list(rows)) if isinstance(rows, IterableDataset) else rows


def _hold_out(documents: Dataset, sample_by: str) -> tuple[Dataset, Dataset]:
    """The documents to train on and the last tenth, be it of the only one."""
    if len(documents) > 1 or sample_by != "document":
        remedy = ', or cut one of text into more rows with `sample_by="line"` or `"paragraph"`'
        return hold_out(documents, shuffle=False, remedy=remedy)
    text = documents[0]["text"]
    cut = int((1 - HELD_OUT) * len(text))
    return Dataset.from_dict({"text": [text[:cut]]}), Dataset.from_dict({"text": [text[cut:]]})


def _documents(
    dataset: Dataset | IterableDataset, split: str, text_column: str, keep_blank: bool
) -> Dataset | IterableDataset:
    """The documents of a split, without those that are blank unless told so, in the one column `"text"`."""
    columns = dataset.column_names or list(next(iter(dataset), {}))  # a stream of json has to be looked into
    if text_column not in columns:
        raise ValueError(f"`text_column` is {text_column!r}, but the {split} data has {columns}: name one.")
    dataset = dataset.select_columns([text_column])
    dataset = dataset if text_column == "text" else dataset.rename_columns({text_column: "text"})
    if not dataset.features or dataset.features["text"] not in (Value("string"), Value("large_string")):
        source = f"`text_column` is {text_column!r} of the {split} data"
        as_text = partial(_as_text, source=source)
        dataset = dataset.map(as_text, with_indices=True, features=Features(text=Value("string")))
    with_text = dataset.filter(lambda row: bool(row["text"] and row["text"].strip()))
    if next(iter(with_text), None) is None:
        raise ValueError(f"`text_column` is {text_column!r}, where the {split} data holds no text: check the file.")
    return dataset.filter(lambda row: row["text"] is not None) if keep_blank else with_text


def _as_text(row: dict, index: int, source: str) -> dict[str, str | None]:
    return {"text": text_of(row["text"], source, f"row {index}")}


def _read_file(
    path: str | os.PathLike, argument: str, text_column: str, sample_by: str, encoding: str, streaming: bool
) -> Dataset | IterableDataset:
    """The documents of a file."""
    if extension(path) not in (*ROW_FILES, *TEXT_FILES):
        endings = ", ".join((*ROW_FILES, *TEXT_FILES))
        raise ValueError(f"{source_of(path, argument)}: its name has to end in one of {endings}.")
    if extension(path) == "parquet":
        return read_parquet(path, argument, streaming)
    if extension(path) in ROW_FILES:
        options = {"column": text_column}
    else:
        options, text_column = {"sample_by": sample_by}, "text"
    options |= {"path": str(path), "argument": argument, "encoding": encoding}
    features = Features({text_column: Value("string")})
    if streaming:
        return IterableDataset.from_generator(_generate, features, gen_kwargs=options)
    state = check_file(path, argument).stat()  # by which the cache knows whether the file has changed
    try:
        return Dataset.from_generator(
            _generate, features, gen_kwargs=options | {"version": f"{state.st_mtime_ns} {state.st_size}"}
        )
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None


def _generate(
    path: str, argument: str, encoding: str, column: str | None = None, sample_by: str = "line", version: str = ""
) -> Iterator[dict[str, str | None]]:
    """The documents of a file of rows, which has the `column`, or of lines."""
    if column is not None:
        for place, (cell,) in read_rows(path, argument, {"text_column": column}, encoding):
            yield {column: text_of(cell, source_of(path, argument), place)}
        return
    lines = read_lines(path, argument, encoding)
    if sample_by == "document":
        text = "".join(read_lines(path, argument, encoding, keep_ends=True))
        yield {"text": text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")}
    elif sample_by == "paragraph":
        for blank, paragraph in itertools.groupby(lines, lambda line: not line.strip()):
            if not blank:
                yield {"text": "\n".join(paragraph)}
    else:
        yield from ({"text": line} for line in lines)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Classified texts."""

import os
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase

from .documentation import sorted_docs
from .files import ROW_LOADERS, extension, files_by_split, hold_out, read_lines, read_splits
from .labels import class_labels


def load_classified(
    train_file: str | os.PathLike | None = None,
    validation_file: str | os.PathLike | None = None,
    test_file: str | os.PathLike | None = None,
    *,
    dataset_name: str | None = None,
    dataset_config_name: str | None = None,
    text_column: str = "text",
    label_column: str = "label",
    separator: str | None = None,
    label_end: str | None = None,
    encoding: str = "utf-8",
    problem_type: str = "single_label_classification",
) -> DatasetDict:
    """
    Labelled texts to train and to evaluate a classifier on: from files, from the Hub, or [`sorted_docs`] where neither
    is named. Without validation data a tenth of the training texts, drawn at random, is held out. Empty texts are left
    out.

    Args:
        train_file (`str` or `os.PathLike`, *optional*):
            A file of type json, jsonl, csv, tsv (with names of columns and without quoting) or parquet; or of any
            other type with a label and a text in each line, plain or gzipped.
        validation_file (`str` or `os.PathLike`, *optional*): The same for choosing an epoch.
        test_file (`str` or `os.PathLike`, *optional*): The same for the final score.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        text_column (`str`, *optional*, defaults to `"text"`): Column that holds the text, where columns have names.
        label_column (`str`, *optional*, defaults to `"label"`): Column of the label.
        separator (`str`, *optional*):
            What stands between label and text in a line; by default a tab in a line that has one, else a space.
        label_end (`str`, *optional*):
            What ends the part of a label that counts, as `":"` where labels are like `LOC:city` in TREC.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of files with a label in each line.
        problem_type (`str`, *optional*, defaults to `"single_label_classification"`):
            `"multi_label_classification"`: the column has lists of labels, or strings that are split at spaces;
            `"regression"`: it has numbers.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and, where it is given, `"test"`, with the columns `"text"`
        and `"label"`: a `ClassLabel`, a sequence of them, or a number. All splits share the names of the labels.

    Raises:
        `ValueError`: If a file, a column or the training split is missing, or a line has no label.
    """
    files = files_by_split(train_file, validation_file, test_file, dataset_name)
    if dataset_name is None and not files:
        return sorted_docs()
    if dataset_name is None and extension(train_file) not in ROW_LOADERS:
        splits = {
            split: _labelled_lines(Path(path), f"{split}_file", separator, encoding) for split, path in files.items()
        }
        text_column, label_column = "text", "label"
    else:
        splits = read_splits(files, dataset_name, dataset_config_name)
    for split, rows in splits.items():
        for argument, column in (("text_column", text_column), ("label_column", label_column)):
            if column not in rows.column_names:
                raise ValueError(
                    f"`{argument}` is {column!r}, but the {split} data has {rows.column_names}: name one."
                )
        rows = rows.select_columns([text_column, label_column]).rename_columns(
            {old: new for old, new in ((text_column, "text"), (label_column, "label")) if old != new}
        )
        rows = rows.filter(lambda row: bool(row["text"] and row["text"].strip()) and row["label"] is not None)
        splits[split] = _named_labels(rows, problem_type, label_end)
    if "validation" not in splits:
        splits["train"], splits["validation"] = hold_out(splits["train"], shuffle=True)
    if problem_type != "regression":
        splits = class_labels(splits)
    return DatasetDict(splits)


def class_names(dataset: Dataset) -> list[str]:
    """
    The names of the K labels of [`load_classified`], in the order of their ids; of numbers there is one, `"score"`.

    Args:
        dataset (`Dataset`): A split.

    Returns:
        `list[str]`: The names.
    """
    feature = dataset.features["label"]
    return getattr(getattr(feature, "feature", feature), "names", ["score"])


def encode_classified(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int | None = None) -> Dataset:
    """
    The inputs of a classifier and its `labels`: the id of a label, a number, or for several labels 1 for each that a
    text has and 0 for the others.

    Args:
        dataset (`Dataset`): A split of [`load_classified`].
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer.
        max_length (`int`, *optional*): Tokens of a text that are read.

    Returns:
        `Dataset`: As many rows.
    """
    several = hasattr(dataset.features["label"], "feature")
    number = len(class_names(dataset))

    def encode(rows):
        encoded = tokenizer(rows["text"], truncation=max_length is not None, max_length=max_length)
        encoded["labels"] = rows["label"]
        if several:
            encoded["labels"] = [np.isin(range(number), ids).astype(float) for ids in rows["label"]]
        return encoded

    return dataset.map(encode, batched=True, remove_columns=["text", "label"], desc="Tokenizing")


def _labelled_lines(path: Path, argument: str, separator: str | None, encoding: str) -> Dataset:
    """The columns `"text"` and `"label"` of a file with a label in front of each text."""
    if not path.is_file():
        raise ValueError(f"`{argument}` is {str(path)!r}, which is not a file: check the path.")
    rows = []
    for number, line in enumerate(read_lines(path, encoding), start=1):
        if not line.strip():
            continue
        between = separator or ("\t" if "\t" in line else " ")
        label, found, text = line.partition(between)
        if not (label and found):
            raise ValueError(
                f"`{argument}` is {str(path)!r}, which has no label before {between!r} in line {number}: correct the "
                "line, or give the right `separator`."
            )
        rows.append({"text": text, "label": label})
    return Dataset.from_list(rows)


def _named_labels(rows: Dataset, problem_type: str, label_end: str | None) -> Dataset:
    """The rows with labels as strings, lists of strings or numbers."""
    labels = rows["label"][:]
    if problem_type == "regression":
        return Dataset.from_dict({"text": rows["text"][:], "label": [float(label) for label in labels]})
    feature = rows.features["label"]
    feature = getattr(feature, "feature", feature)

    def name(label):
        label = feature.int2str(label) if isinstance(feature, ClassLabel) else str(label)
        return label.split(label_end)[0] if label_end else label

    if problem_type == "multi_label_classification":
        labels = [label.split() if isinstance(label, str) else label for label in labels]
        labels = [[name(part) for part in label] for label in labels]
    else:
        labels = [name(label) for label in labels]
    return Dataset.from_dict({"text": rows["text"][:], "label": labels})

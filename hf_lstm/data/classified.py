# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Classified texts."""

import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from .columns import CONLLU_COLUMNS
from .documentation import sorted_docs
from .files import ROW_FILES, extension, files_by_split, hold_out, read_lines, source_of
from .labels import check_labels, class_labels, say_unseen
from .rows import Rows, list_of, rows_of_file, rows_of_hub, say_left_out, text_of


FASTTEXT_LABEL = re.compile(r"(?<!\S)__label__\S+(?:\s+|$)")
SECRET = {"-1", "-1.0"}  # labels of the texts of a test whose answers are not given away
_COLUMN_LINES = 20  # so many lines of one number of words, some of them apart, are no texts

logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


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
    is named. Without validation data a tenth of the training texts, drawn at random, is held out. Texts that are
    empty or have no label are left out, which is said, as is a split without labels.

    Args:
        train_file (`str` or `os.PathLike`, *optional*):
            A file of type json, jsonl, csv, tsv (with names of columns and without quoting) or parquet; or of any
            other type with a label and a text in each line, plain or gzipped, as fastText has them (`__label__x`).
            In files of text all cells are text, whatever they look like.
        validation_file (`str` or `os.PathLike`, *optional*): The same for choosing an epoch.
        test_file (`str` or `os.PathLike`, *optional*): The same for the final score.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        text_column (`str`, *optional*, defaults to `"text"`): Column that holds the text, where columns have names.
        label_column (`str`, *optional*, defaults to `"label"`): Column of the label.
        separator (`str`, *optional*):
            What stands between label and text in a line; by default a tab in a line that has one, else a space. In a
            csv, what stands between cells.
        label_end (`str`, *optional*):
            What ends the part of a label that counts, as `":"` where labels are like `LOC:city` in TREC.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the files; that of parquet is its own.
        problem_type (`str`, *optional*, defaults to `"single_label_classification"`):
            `"multi_label_classification"`: the column has lists of labels, or strings that are split at spaces;
            `"regression"`: it has numbers.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and, where it is given, `"test"`, with the columns `"text"`
        and `"label"`: a `ClassLabel`, a sequence of them, or a number. All splits share the names of the labels, in
        the order of a `ClassLabel` of the data, else sorted.

    Raises:
        `ValueError`: If a file, a column or the training split is missing, a line has no label, or what is read for
            labels cannot be labels. The message has the file and the line.
    """
    files = files_by_split(train_file, validation_file, test_file, dataset_name)
    if dataset_name is None and not files:
        return sorted_docs()
    columns = {"text_column": text_column, "label_column": label_column}
    if dataset_name is not None:
        rows = rows_of_hub(dataset_name, dataset_config_name, columns)
    else:
        rows = {
            split: rows_of_file(path, f"{split}_file", columns, encoding, separator)
            if extension(path) in ROW_FILES
            else _labelled_lines(path, f"{split}_file", separator, encoding)
            for split, path in files.items()
        }
    splits = {split: _labelled(part, problem_type, label_end) for split, part in rows.items()}
    splits = _with_labels(splits, rows)
    if problem_type == "regression":
        splits = {split: Dataset.from_dict(part) for split, part in splits.items()}
    else:
        several = problem_type == "multi_label_classification"
        counts = {
            split: Counter(name for label in part["label"] for name in (label if several else [label]))
            for split, part in splits.items()
        }
        say_unseen(counts, "label_column")
        check_labels(counts["train"], rows["train"].source, "Name another `label_column`, or give the `separator`.")
        declared = (part.names.get("label_column", []) for part in rows.values())
        splits = class_labels(splits, [[_counted(name, label_end) for name in each] for each in declared], several)
    if "validation" not in splits:
        splits["train"], splits["validation"] = hold_out(splits["train"], shuffle=True)
    return DatasetDict({split: splits[split] for split in ("train", "validation", "test") if split in splits})


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


def _labelled_lines(path: str | os.PathLike, argument: str, separator: str | None, encoding: str) -> Rows:
    """The texts and labels of a file with a label in front of each text, or of fastText with several."""
    source = source_of(path, argument)
    texts, labels, places, fields, blank = [], [], [], set(), 0
    for number, line in enumerate(read_lines(path, argument, encoding), start=1):
        if not line.strip():
            blank += 1
            continue
        conllu = len(line.split("\t")) == len(CONLLU_COLUMNS) and line.split("\t")[0].isdecimal()
        found = FASTTEXT_LABEL.findall(line) if line.startswith("__label__") else []
        if found:
            label, text = " ".join(part.strip() for part in found), FASTTEXT_LABEL.sub("", line)
        else:
            between = separator or ("\t" if "\t" in line else " ")
            label, known, text = line.partition(between)
            if not (label and known):
                raise ValueError(
                    f"{source}, which has no label before {between!r} in line {number}: correct the line, or give the "
                    "right `separator`."
                )
        texts.append(text)
        labels.append(label)
        places.append(f"line {number}")
        fields.add(len(line.split()))
        columns = blank and len(fields) == 1 and len(texts) >= _COLUMN_LINES
        if columns or conllu or line.startswith("-DOCSTART-"):
            raise ValueError(
                f"{source}, which has a token a line, {max(fields)} columns and blank lines between sentences: give a "
                "file with a label and a text in each line. Columns are read by `load_tagged`, and to train a tagger."
            )
    return Rows(source, {"text_column": texts, "label_column": labels}, places, {})


def _labelled(rows: Rows, problem_type: str, label_end: str | None) -> dict[str, list]:
    """The texts that have a label, and the labels: strings, lists of strings or numbers. What is left out is said."""
    kept, left_out = {"text": [], "label": []}, {"text": [], "label": []}
    for text, label, place in zip(*rows.cells.values(), rows.places, strict=True):
        text = text_of(text, rows.source, place)
        label = _label(label, problem_type, label_end, rows.source, place)
        if text and text.strip() and label is not None:
            kept["text"].append(text)
            kept["label"].append(label)
        else:
            left_out["label" if label is None else "text"].append(place)
    for what, places in left_out.items():
        say_left_out(rows, f"a {what}", places)
    return kept


def _label(
    label: Any, problem_type: str, label_end: str | None, source: str, place: str
) -> str | list[str] | float | None:
    """The label of one text, None if it has none."""
    text = None if isinstance(label, list) else text_of(label, source, place)
    parts = label if text is None else list_of(text, source, place)
    if problem_type == "multi_label_classification":
        parts = parts if parts is not None or text is None else text.split()
        if parts is None or None in parts:
            return None
        return list(dict.fromkeys(_counted(text_of(part, source, place), label_end) for part in parts))
    if isinstance(parts, list) or (text and text.startswith("__label__") and len(text.split()) > 1):
        raise ValueError(
            f"{source}, {place}: several labels, {str(label)[:60]!r}. Give `problem_type` "
            "'multi_label_classification', or one label a text."
        )
    if text is None or not text.strip():
        return None
    if problem_type != "regression":
        return _counted(text, label_end)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{source}, {place}: the label {text[:40]!r} is no number. Name another `label_column`.")
    return number


def _with_labels(splits: dict[str, dict[str, list]], rows: Mapping[str, Rows]) -> dict[str, dict[str, list]]:
    """Without splits that have no labels: those of a test whose answers are kept secret are missing, or all -1."""
    new = SECRET - set(map(str, splits["train"]["label"]))
    for split, part in list(splits.items()):
        if not set(map(str, part["label"])) <= (new if split != "train" else set()):
            continue
        if split == "train" or not rows[split].places:
            raise ValueError(f"{rows[split].source}, which has no text with a label: check it, and the columns.")
        logger.warning(f"{rows[split].source}, which has no labels: the {split} data are left out.")
        del splits[split]
    return splits


def _counted(label: str, label_end: str | None) -> str:
    """The part of a label that counts."""
    return label.split(label_end)[0] if label_end else label

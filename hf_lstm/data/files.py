# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the readers share: which files there are, their lines, and holding out a share."""

import codecs
import gzip
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset


# Files with a row of cells for each text or sentence, and those whose lines or paragraphs are texts.
ROW_FILES = ("json", "jsonl", "csv", "tsv", "parquet")
TEXT_FILES = ("txt", "tokens", "raw")  # .tokens and .raw are those of WikiText
HELD_OUT = 0.1  # share of the documents that are held out where no validation data is given


def files_by_split(train_file, validation_file, test_file, dataset_name: str | None) -> dict:
    """
    The files that are given, by their splits.

    Raises:
        `ValueError`: If there are files beside a name on the Hub, or files without one to train on.
    """
    files = {"train": train_file, "validation": validation_file, "test": test_file}
    files = {split: path for split, path in files.items() if path is not None}
    if files and dataset_name is not None:
        raise ValueError(f"`dataset_name` is {dataset_name!r} and files are given, {files}: give one of the two.")
    if files and "train" not in files:
        raise ValueError(f"`train_file` is None where other files are given, {files}: name a file to train on.")
    return files


def hold_out(dataset: Dataset, shuffle: bool, remedy: str = "") -> tuple[Dataset, Dataset]:
    """Nine tenths of the rows to train on, and one to evaluate on."""
    if len(dataset) < 2:
        raise ValueError(
            f"`validation_file` is None, and {len(dataset)} row of training data cannot be split: name a file{remedy}."
        )
    halves = dataset.train_test_split(test_size=HELD_OUT, shuffle=shuffle, seed=0)
    return halves["train"], halves["test"]


def extension(path: str | os.PathLike) -> str:
    """The last one, before that of a gzipped file: "csv" for a.csv.gz."""
    path = Path(path)
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lstrip(".").lower()


def source_of(path: str | os.PathLike, argument: str) -> str:
    """What messages call a file: the argument that names it, of which `files` has several."""
    return f"`{argument}` {'has' if argument == 'files' else 'is'} {str(path)!r}"


def check_file(path: str | os.PathLike, argument: str) -> Path:
    """The path, if it is that of a file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{source_of(path, argument)}, which is not a file: check the path.")
    return path


def read_lines(path: str | os.PathLike, argument: str, encoding: str, keep_ends: bool = False) -> Iterator[str]:
    """
    The lines of a file of text, plain or gzipped, without a byte order mark. They end at a line feed, or, in a file
    that has none, at a carriage return: what else Python takes for the end of a line, as U+0085, may be a token.
    """
    path = check_file(path, argument)
    source, number = source_of(path, argument), 0
    with open(path, "rb") as file:
        opened = gzip.open if file.read(2) == b"\x1f\x8b" else open
    try:
        with opened(path, "rb") as file:
            codec = _codec(file.read(4), source, encoding)
        with opened(path, "rt", encoding=codec, newline="\n") as file:
            for number, line in enumerate(file, start=1):
                lines = [line]
                if number == 1 and not line.endswith("\n"):  # the file has no line feed
                    lines = re.findall("[^\r]+\r?|\r", line)
                yield from lines if keep_ends else (line.removesuffix("\n").removesuffix("\r") for line in lines)
    except UnicodeError as error:
        line = number + 1 + (error.object[: error.start].count(b"\n") if isinstance(error, UnicodeDecodeError) else 0)
        raise ValueError(
            f"{source}, which is not {encoding} in line {line}: give the `encoding` that it has, such as 'latin-1', "
            "or convert the file."
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{source}, a damaged gzip file behind line {number}: fetch it again.") from error


def _codec(start: bytes, source: str, encoding: str) -> str:
    """The encoding with the byte order mark, if the file does not begin with that of another one."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(f"`encoding` is {encoding!r}, which is unknown: give 'utf-8' or its like.") from error
    marks = {"utf-8": [codecs.BOM_UTF8], "utf-16": [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE]}
    for other, found in marks.items():
        if start.startswith(tuple(found)) and not name.startswith(other):
            raise ValueError(f"{source}, which begins with the mark of {other}: give `encoding={other!r}`.")
    return "utf-8-sig" if name == "utf-8" else encoding

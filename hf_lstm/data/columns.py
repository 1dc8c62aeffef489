# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Column files: a token a line, its fields in columns, and an empty line between sentences."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .files import read_lines


# The columns of CoNLL-U, https://universaldependencies.org/format.html
CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


def read_columns(
    path: Path,
    columns: Mapping[str, int | str] | None,
    column_names: Sequence[str] | None,
    separator: str | None,
    comment: str | None,
    encoding: str,
) -> dict[str, list[list[str]]]:
    """For each column of the dataset its sentences, lists of fields."""
    conllu = ".conllu" in path.suffixes
    if conllu:
        column_names = column_names or CONLLU_COLUMNS
        columns = columns or {"tokens": "form", "tags": "upos"}
        separator, comment = separator or "\t", comment or "#"
    columns = columns or {"tokens": 0, "tags": -1}
    indices = {name: _column_index(column, column_names) for name, column in columns.items()}
    sentences = {name: [] for name in columns}
    for rows in _sentences(path, separator, comment, encoding):
        if conllu:
            rows = [row for row in rows if row[0].isdecimal()]
        if not rows:
            continue
        width = len(rows[0])
        for name, index in indices.items():
            if not -width <= index < width:
                raise ValueError(f"`columns` names {columns[name]!r}, but {str(path)!r} has {width} columns.")
            sentences[name].append([row[index] for row in rows])
    if not sentences["tokens"]:
        raise ValueError(f"`files` has {str(path)!r}, which holds no sentence: check the file.")
    return sentences


def _sentences(path: Path, separator: str | None, comment: str | None, encoding: str) -> Iterator[list[list[str]]]:
    """Sentences as lists of rows of fields."""
    if not path.is_file():
        raise ValueError(f"`files` has {str(path)!r}, which is not a file: check the path.")
    rows, width = [], None
    for number, line in enumerate(read_lines(path, encoding), start=1):
        if number == 1:
            line = line.removeprefix("\ufeff")  # a byte order mark
        if not line.strip(" \t"):
            if rows:
                yield rows
            rows = []
        elif not line.startswith("-DOCSTART-") and not (comment and line.startswith(comment)):
            fields = line.split(separator) if separator else _fields(line)
            width = width or len(fields)
            if len(fields) != width:
                raise ValueError(
                    f"`files` has {str(path)!r}, with {len(fields)} columns in line {number} and {width} before: "
                    "correct the line, or give the right `separator`."
                )
            rows.append(fields)
    if rows:
        yield rows


def _fields(line: str) -> list[str]:
    """Not `line.split()`: a token may be a space of another kind, such as U+3000."""
    return line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def _column_index(column: int | str, column_names: Sequence[str] | None) -> int:
    if isinstance(column, int):
        return column
    if column_names is None or column not in column_names:
        known = "no `column_names` are given" if column_names is None else f"`column_names` is {list(column_names)}"
        raise ValueError(f"`columns` names {column!r}, but {known}: give an index, or the names of all columns.")
    return list(column_names).index(column)

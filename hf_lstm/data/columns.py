# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Column files: a token a line, its fields in columns, and an empty line between sentences."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from transformers.utils import logging

from .files import read_lines, source_of


# The columns of CoNLL-U, https://universaldependencies.org/format.html
CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_LOOKED_AT = 1000  # lines at the beginning that tell CoNLL-U, whose comments may be many

logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


def read_columns(
    path: str | os.PathLike,
    argument: str,
    columns: Mapping[str, int | str | None],
    column_names: Sequence[str] | None,
    separator: str | None,
    comment: str | None,
    encoding: str,
) -> dict[str, list[list[str]]]:
    """For each column of the dataset its sentences, lists of fields. A column that is None is the usual one."""
    source = source_of(path, argument)
    lines = read_lines(path, argument, encoding)
    start = list(itertools.islice(lines, _LOOKED_AT))
    conllu = _is_conllu(path, start, separator)
    if conllu:
        column_names = column_names or CONLLU_COLUMNS
        separator, comment = separator or "\t", comment or "#"
    defaults = {"tokens": "form", "tags": "upos"} if conllu else {"tokens": 0, "tags": -1}
    columns = {name: defaults[name] if column is None else column for name, column in columns.items()}
    called = {name: f"`columns` names {column!r}" for name, column in columns.items()}
    if argument != "files":  # `load_tagged_splits`
        called = {name: f"`{name.removesuffix('s')}_column` is {column!r}" for name, column in columns.items()}
    indices = {
        name: _column_index(column, column_names, f"{source}: {called[name]}") for name, column in columns.items()
    }
    sentences = {name: [] for name in columns}
    for rows in _sentences(itertools.chain(start, lines), source, separator, comment):
        rows = [(number, fields) for number, fields in rows if not conllu or fields[0].isdecimal()]
        if not rows:
            continue
        if not sentences["tokens"]:
            indices = _check_width(rows[0][1], indices, called, source, rows[0][0])
        for name, index in indices.items():
            for number, fields in rows:
                if not fields[index]:
                    raise ValueError(
                        f"{source}, where the {name} are empty in line {number} ({called[name]}): correct the line, "
                        "or give another column or the right `separator`."
                    )
            sentences[name].append([fields[index] for _, fields in rows])
    if not sentences["tokens"]:
        raise ValueError(f"{source}, which holds no sentence: check the file.")
    lengths = {len(tokens) for tokens in sentences["tokens"]}
    if lengths == {1} and len(sentences["tokens"]) > 1:
        logger.warning(
            f"{source}, whose {len(sentences['tokens']):,} sentences have one token each: a blank line ends a "
            "sentence, and should not stand behind each token."
        )
    return sentences


def _is_conllu(path: str | os.PathLike, lines: Iterable[str], separator: str | None) -> bool:
    """By its name, or by a first line that is no comment and has ten fields, the first of which numbers the token."""
    if ".conllu" in (suffix.lower() for suffix in Path(path).suffixes):
        return True
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "").split("\t")
    numbered = re.fullmatch(r"1|0\.1|1-\d+", first[0])
    return separator in (None, "\t") and len(first) == len(CONLLU_COLUMNS) and bool(numbered)


def _sentences(
    lines: Iterable[str], source: str, separator: str | None, comment: str | None
) -> Iterator[list[tuple[int, list[str]]]]:
    """Sentences as lists of the number of a line and its fields."""
    rows, width = [], None
    for number, line in enumerate(lines, start=1):
        if not line.strip(" \t") or line.startswith("-DOCSTART-"):
            if rows:
                yield rows
            rows = []
        elif not (comment and line.startswith(comment)):
            fields = line.split(separator) if separator else _fields(line)
            width = width or len(fields)
            if len(fields) != width:
                raise ValueError(
                    f"{source}, with {len(fields)} columns in line {number} and {width} before: correct the line, or "
                    "give the right `separator`."
                )
            rows.append((number, fields))
    if rows:
        yield rows


def _fields(line: str) -> list[str]:
    """Not `line.split()`: a token may be a space of another kind, such as U+3000."""
    return line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def _check_width(
    fields: list[str], indices: Mapping[str, int], called: Mapping[str, str], source: str, number: int
) -> dict[str, int]:
    """The indices from the left, if the file has these columns, and others for the tags than for the tokens."""
    width = len(fields)
    for name, index in indices.items():
        if not -width <= index < width:
            raise ValueError(
                f"{called[name]}, but {source}, with {width} columns: give another one, or the right `separator`."
            )
    indices = {name: index % width for name, index in indices.items()}
    for name, index in indices.items():
        if name != "tokens" and index == indices["tokens"]:
            raise ValueError(
                f"{source}, where the {name} would be the tokens: line {number}, {' '.join(fields)[:60]!r}, has "
                f"{width} columns. Give the `separator` that the file has, or another column."
            )
    return indices


def _column_index(column: int | str, column_names: Sequence[str] | None, called: str) -> int:
    if column_names is not None and column in column_names:
        return list(column_names).index(column)
    if isinstance(column, int) or re.fullmatch(r"-?\d+", column, re.ASCII):  # as a command line has it
        return int(column)
    known = "no `column_names` are given" if column_names is None else f"`column_names` is {list(column_names)}"
    raise ValueError(f"{called}, but {known}: give an index, or the names of all columns.")

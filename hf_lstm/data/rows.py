# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Files with a row of cells for each text or sentence: csv, tsv, json, jsonl, parquet, and data sets of the Hub. What a
file of text holds is text: "NA" and "01" are what they are, and the same rows come from every type.
"""

import ast
import csv
import itertools
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow
from datasets import ClassLabel, Dataset, IterableDataset, load_dataset
from datasets.exceptions import DatasetGenerationError
from transformers.utils import logging

from .files import check_file, extension, read_lines, source_of


logger = logging.get_logger(f"transformers.{__name__}")

LONGEST_CELL = 2**31 - 1  # the csv module would stop at 128 KiB


_SURROGATE = re.compile("[\ud800-\udfff]")
_PART = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]*)?|null|[Nn]a[Nn]|None|True|False|\.\.\.)"""
_LIST = re.compile(rf"\s*\[\s*(?:{_PART}(?:\s*,\s*{_PART})*\s*,?\s*)?\]\s*", re.DOTALL)
_PRINTED = re.compile(rf"\s*\[\s*{_PART}(?:\s+{_PART})+\s*\]\s*", re.DOTALL)


class Rows(NamedTuple):
    """
    The rows of a split.

    Args:
        source (`str`): What messages call it.
        cells (`dict[str, list]`): The cells of each column, under the name of the argument that names the column.
        places (`list[str]`): Where each row stands, "line 3" or "row 0".
        names (`dict[str, list[str]]`): Of the columns that are a `ClassLabel`, its names; their cells are names too.
    """

    source: str
    cells: dict[str, list]
    places: list[str]
    names: dict[str, list[str]]


def say_left_out(rows: Rows, what: str, places: list[str]) -> None:
    """Say how many rows a reader leaves out for want of something, and where the first one stands."""
    if places:
        logger.warning(f"{rows.source}: {len(places):,} rows without {what} are left out, such as {places[0]}.")


def rows_of_file(
    path: str | os.PathLike,
    argument: str,
    columns: Mapping[str, int | str],
    encoding: str,
    separator: str | None = None,
    optional: Collection[str] = (),
) -> Rows:
    """
    The columns, named by argument, of a csv, tsv, json, jsonl or parquet file that an argument names. The cells of an
    optional one that is not there are None.
    """
    source = source_of(path, argument)
    if extension(path) == "parquet":
        return rows_of_dataset(read_parquet(path, argument), source, _data_of(argument), columns, optional)
    places, cells = [], {name: [] for name in columns}
    for place, row in read_rows(path, argument, columns, encoding, separator, optional):
        places.append(place)
        for column, cell in zip(cells.values(), row, strict=True):
            column.append(cell)
    return Rows(source, {name: _whole_numbers(column) for name, column in cells.items()}, places, {})


def names_of_columns(path: str | os.PathLike, argument: str, encoding: str) -> list[str]:
    """Those of a json, jsonl or parquet file, as its first row has them."""
    if extension(path) == "parquet":
        return read_parquet(path, argument).column_names
    lines = read_lines(path, argument, encoding, keep_ends=True)
    _, first = next(_json_rows(lines, source_of(path, argument)), ("", {}))
    return list(first) if isinstance(first, dict) else []


def rows_of_hub(
    dataset_name: str, dataset_config_name: str | None, columns: Mapping[str, str], optional: Collection[str] = ()
) -> dict[str, Rows]:
    """The same of the splits of a data set of the Hub."""
    return {
        split: rows_of_dataset(
            rows, f"`dataset_name` is {dataset_name!r}, {split}", f"{split} data", columns, optional
        )
        for split, rows in splits_of_hub(dataset_name, dataset_config_name).items()
    }


def splits_of_hub(
    dataset_name: str, dataset_config_name: str | None, streaming: bool = False
) -> dict[str, Dataset | IterableDataset]:
    """The splits of a data set of the Hub that we use."""
    splits = load_dataset(dataset_name, dataset_config_name, streaming=streaming)
    if "train" not in splits:
        raise ValueError(f"`dataset_name` {dataset_name!r} has the splits {list(splits)}: it has to have 'train'.")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def read_parquet(path: str | os.PathLike, argument: str, streaming: bool = False) -> Dataset | IterableDataset:
    """The rows of a parquet file."""
    path = check_file(path, argument)
    try:
        return load_dataset("parquet", data_files=str(path), split="train", streaming=streaming)
    except (DatasetGenerationError, pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{source_of(path, argument)}, a damaged parquet file: fetch it again.") from error


def rows_of_dataset(
    dataset: Dataset, source: str, where: str, columns: Mapping[str, str], optional: Collection[str] = ()
) -> Rows:
    """Columns of a `Dataset`, labels by their names; those that a class does not have, as -1, are None."""
    _check_columns(columns, dataset.column_names, where, optional)
    cells, names = {}, {}
    for argument, column in columns.items():
        if column not in dataset.column_names:
            cells[argument] = [None] * len(dataset)
            continue
        feature = dataset.features[column]
        feature, values = getattr(feature, "feature", feature), dataset[column][:]
        if isinstance(feature, ClassLabel):
            names[argument] = found = feature.names
            values = [_name(value, found) for value in values]
        cells[argument] = _whole_numbers(values)
    return Rows(source, cells, [f"row {i}" for i in range(len(dataset))], names)


def read_rows(
    path: str | os.PathLike,
    argument: str,
    columns: Mapping[str, int | str],
    encoding: str,
    separator: str | None = None,
    optional: Collection[str] = (),
) -> Iterator[tuple[str, list]]:
    """
    Of each row of a json, jsonl or csv file, or of any other, which has tabs, where it stands and the cells of some
    columns. Columns by number are those of a csv or tsv whose first line is a row, and names none.
    """
    lines, source = read_lines(path, argument, encoding, keep_ends=True), source_of(path, argument)
    where, kind = _data_of(argument), extension(path)
    if kind not in ("json", "jsonl"):
        yield from _csv_rows(lines, source, columns, where, kind != "csv", separator, optional)
        return
    for place, row in _json_rows(lines, source):
        if not isinstance(row, dict):
            raise ValueError(f"{source}, {place}: {str(row)[:40]!r} is no object. Name the columns of each row.")
        if not row.keys() >= set(columns.values()):
            _check_columns(columns, list(row), f"{where} in {place}", optional)
        yield place, [row.get(column) for column in columns.values()]


def text_of(value: Any, source: str, place: str) -> str | None:
    """A cell as text; None if it is missing."""
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, (list, dict, bytes)):
        raise ValueError(f"{source}, {place}: {str(value)[:40]!r} is no text. Name another column, or write a string.")
    text = str(value)
    if _SURROGATE.search(text):
        raise ValueError(f"{source}, {place}: {text[:40]!r} has half a character, a lone surrogate. Correct it.")
    return text


def list_of(text: str, source: str, place: str) -> list | None:
    """The list that a cell of text is, if it is one: that of Python or json, as pandas writes it into a csv."""
    if _PRINTED.fullmatch(text):
        raise ValueError(
            f"{source}, {place}: {text[:40]!r} is a list as numpy prints it, which cannot be read for certain. Write "
            "strings with spaces between the parts, or a jsonl or parquet file."
        )
    if not _LIST.fullmatch(text):
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        parts = re.findall(_PART, text, re.DOTALL)
    if "..." in parts:
        raise ValueError(
            f"{source}, {place}: {text[:40]!r} is a list that was cut short when it was printed. Write all."
        )
    try:
        return [None if part in ("null", "nan", "NaN") else ast.literal_eval(part) for part in parts]
    except (SyntaxError, ValueError) as error:  # "007", or a backslash that begins nothing
        raise ValueError(
            f"{source}, {place}: {text[:40]!r} is no list that can be read, {error}. Correct it."
        ) from error


def _csv_rows(
    lines: Iterator[str],
    source: str,
    columns: Mapping[str, int | str],
    where: str,
    tabs: bool,
    separator: str | None,
    optional: Collection[str],
) -> Iterator[tuple[str, list[str | None]]]:
    """A tsv has no quotes: a quotation mark is one of the text."""
    csv.field_size_limit(LONGEST_CELL)
    separator = {"\\t": "\t"}.get(separator, separator)  # as a command line has it
    if separator is not None and (len(separator) != 1 or separator in '\r\n"'):
        raise ValueError(f"`separator` is {separator!r}: give the one character between cells, such as ';'.")
    options = {"quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
    reader = csv.reader(lines, delimiter=separator or ("\t" if tabs else ","), **options)
    by_number = all(isinstance(column, int) for column in columns.values())
    try:
        header = first = next(reader, [])
        if by_number:
            header = list(range(len(first)))
            columns = {name: header[n] if n < 0 and -n <= len(header) else n for name, n in columns.items()}
        _check_columns(columns, header, where, optional, "; or put a line with names before line 1, if that is a row")
        indices = [header.index(column) if column in header else None for column in columns.values()]
        for row in itertools.chain([first] if by_number else [], reader):
            if row and len(row) != len(header):
                raise ValueError(
                    f"{source}, line {reader.line_num}: {len(row)} cells where line 1 "
                    f"{'has' if by_number else 'names'} {len(header)}. Correct the line"
                    f"{'' if tabs else ', or put a cell with commas into quotation marks'}."
                )
            if row:
                yield f"line {reader.line_num}", [None if index is None else row[index] for index in indices]
    except csv.Error as error:
        raise ValueError(f"{source}, line {reader.line_num}: {error}. Correct the line.") from error


def _json_rows(lines: Iterator[str], source: str) -> Iterator[tuple[str, Any]]:
    """An object a line, a list of objects, or an object of columns."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    number, first = next(numbered, (1, "[]"))
    try:
        whole = json.loads(first)
    except json.JSONDecodeError:
        whole = None
    try:
        if isinstance(whole, dict):
            yield f"line {number}", whole
            for number, line in numbered:
                yield f"line {number}", json.loads(line)
            return
        rest = "".join(_filled(numbered, number))
        if whole is None or rest:
            whole = json.loads("\n" * (number - 1) + first + rest)
    except json.JSONDecodeError as error:
        line = number if isinstance(whole, dict) else error.lineno
        raise ValueError(f"{source}, line {line}: {error.msg}, column {error.colno}. Correct the line.") from error
    if isinstance(whole, dict) and {type(column) for column in whole.values()} == {list}:
        if len({len(column) for column in whole.values()}) > 1:
            raise ValueError(f"{source}, whose columns {list(whole)} differ in length: correct the file.")
        whole = [dict(zip(whole, row, strict=True)) for row in zip(*whole.values(), strict=True)]
    if not isinstance(whole, list):
        raise ValueError(f"{source}, which is no list of objects: write one, or an object a line.")
    for i, row in enumerate(whole):
        yield f"row {i}", {"text": row} if isinstance(row, str) else row


def _filled(numbered: Iterator[tuple[int, str]], before: int) -> Iterator[str]:
    """The lines, with line feeds for the blank ones between them, so that an error names the right line."""
    for number, line in numbered:
        yield "\n" * (number - before - 1) + line
        before = number


def _data_of(argument: str) -> str:
    """What messages call the data of a file: `files` and the like say nothing about the split."""
    return f"{argument.removesuffix('_file')} data" if argument.endswith("_file") else "data"


def _check_columns(
    columns: Mapping[str, int | str], found: list, where: str, optional: Collection[str] = (), or_else: str = ""
) -> None:
    """Refuse a column that is not there, or there twice."""
    for argument, column in columns.items():
        if found.count(column) != 1 and not (argument in optional and column not in found):
            often = " more than once" if column in found else ""
            raise ValueError(f"`{argument}` is {column!r}, but the {where} has {found}{often}: name one{or_else}.")


def _name(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_name(part, names) for part in value]
    return names[value] if value is not None and 0 <= value < len(names) else None


def _whole_numbers(cells: list) -> list:
    """Numbers that are floats only because pandas has no other gap among integers, as they were."""
    floats = [cell for cell in cells if isinstance(cell, float) and cell == cell]
    numbers = itertools.chain(floats, (cell for cell in cells if isinstance(cell, int)))
    if not floats or not all(float(number).is_integer() for number in numbers):
        return cells
    return [int(cell) if isinstance(cell, float) and cell == cell else cell for cell in cells]

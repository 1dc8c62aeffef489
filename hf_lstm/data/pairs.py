# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Pairs of a source and a target text, for translation."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset, DatasetDict, Features, Value
from transformers import BatchEncoding, PreTrainedTokenizerBase
from transformers.utils import logging

from .files import HELD_OUT, ROW_FILES, extension, files_by_split, read_lines, source_of
from .pair_checks import slipped_line, swapped_pairs
from .pair_splits import split_pairs
from .rows import Rows, names_of_columns, rows_of_file, rows_of_hub, say_left_out, splits_of_hub, text_of


BUILT_IN = "tatoeba_en_zh.tsv"  # see the file of that name that ends in .md
_NAMED = 5  # places that a message names
_SIDES = ("source", "target")
_COLUMNS = ("source_column", "target_column", "attribution_column")
_OBJECTS = ("json", "jsonl", "parquet")  # of which a cell may be one, and which have names of columns

logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


class _Format(NamedTuple):
    """What the readers of pairs are told of a file, see [`read_pairs`]."""

    source_column: int | str | None
    target_column: int | str | None
    attribution_column: int | str | None
    source_lang: str | None
    target_lang: str | None
    separator: str | None
    encoding: str
    strict: bool


def read_pairs(
    files: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    source_column: int | str | None = None,
    target_column: int | str | None = None,
    attribution_column: int | str | None = None,
    source_lang: str | None = None,
    target_lang: str | None = None,
    separator: str | None = None,
    encoding: str = "utf-8",
    strict: bool = False,
) -> Dataset:
    """
    Pairs of texts, each a source and its translation, from a file or from two parallel ones.

    A warning says which pairs are left out, since a side of them is empty, and which ones should be looked at: those
    that seem to be swapped, which different scripts tell, as Latin and Chinese, and those with one text on both sides.

    Args:
        files (`str`, `os.PathLike` or two of them):
            A file with a pair a row: json, jsonl, csv, tsv (without quoting) or parquet; or of any other type, with
            tabs, as Tatoeba has them. Or two files of any type, the sources and the targets, whose lines with one
            number belong together. Plain or gzipped. In files of text all cells are text, whatever they look like.
        source_column (`int` or `str`, *optional*):
            Column of the source. In a csv or tsv a number, from 0, or negative from the right, says that its first
            line is a pair and names no columns. By default `"source"`; 0 in a file of another type; and
            `"translation"` with `source_lang`, where cells may be objects and columns are not called `"source"`.
        target_column (`int` or `str`, *optional*): The same for the target: `"target"`, 1, `"translation"`.
        attribution_column (`int` or `str`, *optional*):
            Column that says whom a pair is from, which many licences want kept. By default `"attribution"` where there
            is one, and the third column of Tatoeba's files.
        source_lang (`str`, *optional*):
            Language of the source, as `"en"`. Where a cell is an object, as in `{"translation": {"en": "Hi.", "de":
            "Hallo."}}`, the key of the source; elsewhere it only tells its script.
        target_lang (`str`, *optional*): The same for the target.
        separator (`str`, *optional*): What stands between cells of a csv or tsv.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the files; that of parquet is its own.
        strict (`bool`, *optional*, defaults to `False`): Refuse the file where there would be a warning.

    Returns:
        `Dataset`: The columns `"source"`, `"target"` and, if there is such a column, `"attribution"`, all text.

    Raises:
        `ValueError`: If a file or a column is missing or damaged, two files differ in the number of lines, there is no
            pair, or with `strict` for a pair that seems wrong. The message has the file and the line.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_lstm.data import read_pairs

    >>> _ = Path("train.en").write_text("Hi.\\nThank you.\\n")
    >>> _ = Path("train.de").write_text("Hallo.\\nDanke.\\n")
    >>> read_pairs(["train.en", "train.de"])[1]
    {'source': 'Thank you.', 'target': 'Danke.'}
    ```
    """
    options = (source_lang, target_lang, separator, encoding, strict)
    return _read(files, "files", _Format(source_column, target_column, attribution_column, *options))


def load_pairs(
    train_file: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    validation_file: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    test_file: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    *,
    dataset_name: str | None = None,
    dataset_config_name: str | None = None,
    source_column: int | str | None = None,
    target_column: int | str | None = None,
    attribution_column: int | str | None = None,
    source_lang: str | None = None,
    target_lang: str | None = None,
    separator: str | None = None,
    encoding: str = "utf-8",
    strict: bool = False,
) -> DatasetDict:
    """
    Pairs to train and to evaluate a translator on: from files, from the Hub, or, where neither is named, a few short
    English sentences of Tatoeba with their Chinese translation, which need no download. Without validation data a
    tenth of the pairs is held out by [`split_pairs`].

    Args:
        train_file (`str`, `os.PathLike` or two of them, *optional*): A file or two parallel ones, see [`read_pairs`].
        validation_file (`str`, `os.PathLike` or two of them, *optional*): The same for choosing an epoch.
        test_file (`str`, `os.PathLike` or two of them, *optional*): The same for the final score.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        source_column (`int` or `str`, *optional*): See [`read_pairs`], as for the arguments that follow.
        target_column (`int` or `str`, *optional*): Column of the target.
        attribution_column (`int` or `str`, *optional*): Column that says whom a pair is from.
        source_lang (`str`, *optional*): Language of the source.
        target_lang (`str`, *optional*): Language of the target.
        separator (`str`, *optional*): What stands between cells of a csv or tsv.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the files.
        strict (`bool`, *optional*, defaults to `False`): Refuse a file where there would be a warning.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and, where it is given or built in, `"test"`.

    Raises:
        `ValueError`: As [`read_pairs`], and if the training split is missing.
    """
    files = files_by_split(train_file, validation_file, test_file, dataset_name)
    if dataset_name is None and not files:
        return split_pairs(read_pairs(Path(__file__).with_name(BUILT_IN)), test=HELD_OUT, validation=HELD_OUT)
    options = (source_lang, target_lang, separator, encoding, strict)
    form = _Format(source_column, target_column, attribution_column, *options)
    if dataset_name is not None:
        names = splits_of_hub(dataset_name, dataset_config_name)["train"].column_names if form.source_lang else ()
        rows = rows_of_hub(dataset_name, dataset_config_name, _columns(form, "parquet", names), _optional(form))
        splits = {split: _pairs(part, form) for split, part in rows.items()}
    else:
        splits = {split: _read(paths, f"{split}_file", form) for split, paths in files.items()}
    if "validation" not in splits:
        try:
            splits |= split_pairs(splits["train"], test=0, validation=HELD_OUT)
        except ValueError as error:
            raise ValueError(
                f"`validation_file` is None, and no tenth can be held out: name a file. {error}"
            ) from error
    return DatasetDict({split: splits[split] for split in ("train", "validation", "test") if split in splits})


def encode_pairs(
    pairs: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    target_tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    max_length: int | None = None,
    bpe_dropout: float = 0.0,
) -> Dataset:
    """
    The inputs of a translator, and its `labels`.

    Args:
        pairs (`Dataset`): A split of [`load_pairs`].
        tokenizer ([`PreTrainedTokenizerBase`]): What encodes the source, and as `text_target` the target.
        target_tokenizer ([`PreTrainedTokenizerBase`], *optional*): What encodes the target instead, where the encoder
            is somebody else's and `tokenizer` its own.
        max_length (`int`, *optional*): Pairs with more tokens than that on a side are left out, and counted: from
            targets that are cut a model learns to end too soon.
        bpe_dropout (`float`, *optional*, defaults to 0.0): For training: cut texts into other tokens each time that
            they are read, see [`LSTMTokenizer.with_bpe_dropout`]. Give the trainer `remove_unused_columns=False`.

    Returns:
        `Dataset`: `input_ids`, what else the tokenizer gives, and `labels`; a row for each pair that is not left out.

    Raises:
        `ValueError`: If no pair is left, and for `bpe_dropout` of a tokenizer without merges.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from hf_lstm import TranslationTokenizer
    >>> from hf_lstm.data import encode_pairs

    >>> pairs = Dataset.from_dict({"source": ["the cat", "the dog"], "target": ["die Katze", "der Hund"]})
    >>> tokenizer = TranslationTokenizer.train_from_iterator(pairs, "word", show_progress=False)
    >>> encode_pairs(pairs, tokenizer)[0]
    {'input_ids': [4, 5, 3], 'attention_mask': [1, 1, 1], 'labels': [7, 5, 3]}
    ```
    """

    def encode(rows: dict[str, list], source: PreTrainedTokenizerBase = tokenizer) -> BatchEncoding:
        if target_tokenizer is None:
            return source(rows["source"], text_target=rows["target"], verbose=False)
        return source(rows["source"], verbose=False) | {"labels": target_tokenizer(rows["target"])["input_ids"]}

    encoded = pairs.map(encode, batched=True, remove_columns=pairs.column_names, desc="Tokenizing")
    if max_length is not None:
        sides = zip(encoded["input_ids"], encoded["labels"], strict=True)
        fit = [i for i, pair in enumerate(sides) if max(map(len, pair)) <= max_length]
        if not fit:
            raise ValueError(
                f"`max_length` is {max_length}, and none of the {len(pairs):,} pairs is so short: raise it."
            )
        if len(fit) < len(pairs):
            logger.warning(
                f"{len(pairs) - len(fit):,} of {len(pairs):,} pairs have more than `max_length={max_length}` tokens "
                "on a side, and are left out."
            )
            pairs, encoded = pairs.select(fit), encoded.select(fit)
    if not bpe_dropout:
        return encoded
    noisy = tokenizer.with_bpe_dropout(bpe_dropout)
    return pairs.with_transform(lambda rows: encode(rows, noisy))


def _read(files: str | os.PathLike | Sequence[str | os.PathLike], argument: str, form: _Format) -> Dataset:
    """The pairs of a file or two that an argument names."""
    paths = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    if len(paths) == 2:
        return _pairs(_parallel_rows(paths, argument, form), form)
    if len(paths) != 1:
        raise ValueError(f"`{argument}` has {len(paths)} files: give one, or one of sources and one of targets.")
    objects = extension(paths[0]) in _OBJECTS and form.source_lang
    names = names_of_columns(paths[0], argument, form.encoding) if objects else ()
    columns = _columns(form, extension(paths[0]), names)
    tabs = extension(paths[0]) not in ROW_FILES and not form.separator
    if tabs and "\t" not in next(read_lines(paths[0], argument, form.encoding), ""):
        raise ValueError(
            f"{source_of(paths[0], argument)}, whose first line has no tab: give two files, of sources and of "
            "targets, or one with a pair a line."
        )
    rows = rows_of_file(paths[0], argument, columns, form.encoding, form.separator, _optional(form))
    guessed = _optional(form) and columns["attribution_column"] == 2  # the third of columns without names
    if guessed and not any("attribution" in str(cell).casefold() for cell in rows.cells["attribution_column"]):
        del rows.cells["attribution_column"]
    return _pairs(rows, form)


def _columns(form: _Format, kind: str, names: Sequence[str]) -> dict[str, int | str]:
    """
    The columns of a kind of file by the names of the arguments, those that are None as they usually are. The `names`
    are those that the file has, where its cells may be objects.
    """
    columns = list(form[: len(_COLUMNS)])
    objects = kind in _OBJECTS
    if not objects:  # a command line has numbers as strings
        columns = [int(name) if re.fullmatch(r"-?\d+", str(name), re.ASCII) else name for name in columns]
    by_number = isinstance(columns[0], int) or (columns[0] is None and kind not in ROW_FILES)
    plain = "source" in names and "translation" not in names
    side = "translation" if objects and form.source_lang and not plain else None
    usual = (0, 1, 2) if by_number else (side or "source", side or "target", "attribution")
    columns = [default if column is None else column for column, default in zip(columns, usual, strict=True)]
    if len({type(column) for column in columns}) > 1:
        raise ValueError(
            f"`source_column`, `target_column` and `attribution_column` are {columns}: give the names of all, or the "
            "numbers of all, where the first line names none."
        )
    return dict(zip(_COLUMNS, columns, strict=True))


def _optional(form: _Format) -> tuple[str, ...]:
    return ("attribution_column",) if form.attribution_column is None else ()


def _parallel_rows(paths: list[str | os.PathLike], argument: str, form: _Format) -> Rows:
    """The lines of two files."""
    for name, column in zip(_COLUMNS, form, strict=False):
        if column is not None:
            raise ValueError(
                f"`{name}` is {column!r}, but `{argument}` has two files, whose lines are texts: leave it out."
            )
    for path in paths:
        if extension(path) in ROW_FILES:
            raise ValueError(
                f"`{argument}` has {str(path)!r}, with a pair a row, and another one: give this one alone."
            )
    sides = [list(read_lines(path, argument, form.encoding)) for path in paths]
    numbers, source = [len(side) for side in sides], f"`{argument}` has {str(paths[0])!r} and {str(paths[1])!r}"
    if numbers[0] != numbers[1]:
        raise ValueError(
            f"{source}, with {numbers[0]:,} and {numbers[1]:,} lines, but lines with one number belong together. By "
            f"their lengths the {'first' if numbers[0] < numbers[1] else 'second'} file lacks a line at or near line "
            f"{slipped_line(*sides)}: add it, or take its partner out."
        )
    columns = dict(zip(_COLUMNS[:2], sides, strict=True))
    return Rows(source, columns, [f"line {i + 1}" for i in range(numbers[0])], {})


def _pairs(rows: Rows, form: _Format) -> Dataset:
    """The pairs of which no side is empty; the others are said, and so are those that seem wrong."""
    attributions = rows.cells.get("attribution_column", [None] * len(rows.places))
    kept, places, left_out = {"source": [], "target": [], "attribution": []}, [], {side: [] for side in _SIDES}
    sides = zip(rows.cells["source_column"], rows.cells["target_column"], strict=True)
    for cells, attribution, place in zip(sides, attributions, rows.places, strict=True):
        texts = [_text(cell, side, form, rows.source, place) for cell, side in zip(cells, _SIDES, strict=True)]
        empty = [side for side, text in zip(_SIDES, texts, strict=True) if not (text and text.strip())]
        if empty:
            left_out[empty[0]].append(place)
            continue
        places.append(place)
        for column, text in zip(kept.values(), [*texts, text_of(attribution, rows.source, place)], strict=True):
            column.append(text)
    for side, without in left_out.items():
        if without and form.strict:
            raise ValueError(f"{rows.source}, {without[0]}: the {side} is empty. Correct it, or leave out `strict`.")
        say_left_out(rows, f"a {side}", without)
    if not places:
        raise ValueError(f"{rows.source}, which holds no pair: check the file, and the columns.")
    _say_doubts(kept["source"], kept["target"], rows.source, places, form)
    if not any(kept["attribution"]):
        del kept["attribution"]
    return Dataset.from_dict(kept, features=Features({column: Value("string") for column in kept}))


def _text(cell: Any, side: str, form: _Format, source: str, place: str) -> str | None:
    """A side of a pair, which may stand in an object under its language."""
    if not isinstance(cell, dict):
        return text_of(cell, source, place)
    language = getattr(form, f"{side}_lang")
    if language not in cell:
        raise ValueError(
            f"{source}, {place}: `{side}_lang` is {language!r}, but there are the languages {list(cell)}: name one."
        )
    return text_of(cell[language], source, place)


def _say_doubts(sources: list[str], targets: list[str], source: str, places: list[str], form: _Format) -> None:
    """Speak of pairs that are swapped, and of copies; with `strict` refuse them."""
    copied = [i for i, pair in enumerate(zip(sources, targets, strict=True)) if pair[0].strip() == pair[1].strip()]
    scripts, swapped = swapped_pairs(sources, targets, form.source_lang, form.target_lang)
    doubts = {
        f"seem to be swapped, a source in {scripts[1]} script and a target in {scripts[0]}. Exchange their sides, or "
        "columns or files where it is all of them": swapped,
        "have one text on both sides: a model learns to copy by them. Leave them out, or translate them": copied,
    }
    for doubt, found in doubts.items():
        if found:
            named = ", ".join(places[i] for i in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
            message = f"{source}: {len(found):,} of {len(places):,} pairs ({named}) {doubt}."
            if form.strict:
                raise ValueError(message)
            logger.warning(message)

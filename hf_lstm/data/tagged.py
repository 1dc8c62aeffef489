# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Tagged sentences: reading, writing, and the inputs of a tagger."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from datasets import ClassLabel, Dataset, DatasetDict, Features
from datasets import Sequence as SequenceFeature
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from .columns import read_columns
from .documentation import unwritten_docs
from .files import ROW_FILES, extension, files_by_split, hold_out, source_of
from .labels import check_labels, label_names, say_unseen, tagged_dataset
from .rows import Rows, list_of, rows_of_file, rows_of_hub, say_left_out, text_of
from .tag_schemes import convert_tags, entity_types, infer_scheme, say_iob1, say_repairs, tag_names


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


def load_tagged(
    files: str | os.PathLike | Mapping[str, str | os.PathLike],
    columns: Mapping[str, int | str] | None = None,
    *,
    column_names: Sequence[str] | None = None,
    separator: str | None = None,
    comment: str | None = None,
    encoding: str = "utf-8",
) -> DatasetDict:
    """
    Tagged sentences from files with a token a line and a column a tag: the files of the CoNLL shared tasks, CoNLL-U,
    and their like. A blank line ends a sentence, and so does one that begins with `-DOCSTART-`. Plain or gzipped.

    In CoNLL-U, which is known by `.conllu` in the name of the file or by its ten columns with the number of a token,
    comments, the ranges of multiword tokens (id `8-9`) and empty nodes (`8.1`) are left out.

    Tags are given as they are in the files. A warning says where they are in IOB1, which other schemes misread:
    [`convert_tag_column`] writes them in another one.

    Args:
        files (`str`, `os.PathLike` or `Mapping`): File of the split `"train"`, or a file for each split by its name.
        columns (`Mapping[str, int | str]`, *optional*):
            What to read: the column of the file, by its index (negative from the right) or its name, for each column
            of the dataset. `"tokens"` has to be among them. `{"tokens": 0, "tags": -1}` by default, in CoNLL-U
            `{"tokens": "form", "tags": "upos"}`.
        column_names (`Sequence[str]`, *optional*): Names of the file's columns; those of CoNLL-U are known.
        separator (`str`, *optional*): What separates columns: a tab in a line that has one, else any number of spaces.
        comment (`str`, *optional*):
            How lines to leave out begin. Only CoNLL-U has comments by default: elsewhere `#` may be a token.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the files.

    Returns:
        `DatasetDict`: The splits, with the column `"tokens"` and for each other column a sequence of `ClassLabel`. All
        splits share the names of the labels, `O` first and the others sorted.

    Raises:
        `ValueError`: If a file is missing, damaged, in another encoding or holds no sentence, a column does not exist
            or is empty in a line, the tags would be the tokens, or lines differ in the number of columns.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_lstm.data import load_tagged

    >>> _ = Path("train.txt").write_text("Ada NNP B-PER\\nsang VBD O\\n\\nBerlin NNP B-LOC\\n")
    >>> train = load_tagged("train.txt", {"tokens": 0, "ner_tags": 2})["train"]
    >>> train[0]
    {'tokens': ['Ada', 'sang'], 'ner_tags': [2, 0]}
    >>> train.features["ner_tags"].feature.names
    ['O', 'B-LOC', 'B-PER']
    ```
    """
    files = files if isinstance(files, Mapping) else {"train": files}
    columns = {"tokens": None, "tags": None} if columns is None else columns
    if "tokens" not in columns:
        raise ValueError(f'`columns` is {dict(columns)}: it has to name the column of the "tokens".')
    for path in files.values():
        if extension(path) in {"json", "jsonl", "parquet"} or (extension(path) == "csv" and not separator):
            raise ValueError(f"`files` has {str(path)!r}, with a sentence a row: `load_tagged_splits` reads those.")
    splits = {
        name: read_columns(path, "files", columns, column_names, separator, comment, encoding)
        for name, path in files.items()
    }
    names = {}
    for column in columns.keys() - {"tokens"}:
        counts = [Counter(tag for tags in split[column] for tag in tags) for split in splits.values()]
        check_labels(counts[0], f"`columns` has {column!r}", "Take another column for tags.", refuse=False)
        say_iob1((tags for split in splits.values() for tags in split[column]), f"`columns` has {column!r}")
        names[column] = label_names(tag for each in counts for tag in each)
    names = {column: names[column] for column in columns if column != "tokens"}
    return DatasetDict({name: tagged_dataset(split, names) for name, split in splits.items()})


def load_tagged_splits(
    train_file: str | os.PathLike | None = None,
    validation_file: str | os.PathLike | None = None,
    test_file: str | os.PathLike | None = None,
    *,
    dataset_name: str | None = None,
    dataset_config_name: str | None = None,
    token_column: int | str | None = None,
    tag_column: int | str | None = None,
    separator: str | None = None,
    comment: str | None = None,
    encoding: str = "utf-8",
) -> DatasetDict:
    """
    Tagged sentences to train and to evaluate a tagger on: from files, from the Hub, or [`unwritten_docs`] where
    neither is named. Without validation data the last tenth of the training sentences is held out. Sentences without a
    token or without tags are left out, and white space within a token, which only some formats allow, becomes `_`; a
    warning says how many there were. Each file is read as what its own name says.

    Args:
        train_file (`str` or `os.PathLike`, *optional*):
            A file of type json, jsonl, csv, tsv or parquet with a sentence a row, in lists (in a csv as Python or json
            writes them) or in strings, which are split at spaces; or of any other type with a token a line, see
            [`load_tagged`]. In files of text all cells are text, whatever they look like.
        validation_file (`str` or `os.PathLike`, *optional*): The same for choosing an epoch.
        test_file (`str` or `os.PathLike`, *optional*): The same for the final score.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        token_column (`int` or `str`, *optional*):
            Column that holds the tokens: its index in files with a token a line, where that is 0 by default (`"form"`
            in CoNLL-U), else its name, by default `"tokens"`.
        tag_column (`int` or `str`, *optional*): The same for the tags; the last column (`"upos"`), else `"tags"`.
        separator (`str`, *optional*): See [`load_tagged`], as for the arguments that follow; in a csv that of cells.
        comment (`str`, *optional*): How lines to leave out begin.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the files; that of parquet is its own.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and, where it is given, `"test"`, with the columns
        `"tokens"` and `"tags"`, a sequence of `ClassLabel`, whose names all splits share, in the order of a
        `ClassLabel` of the data, else sorted.

    Raises:
        `ValueError`: If a file, a column or the training split is missing, a sentence has not one tag a token, or what
            is read for tags cannot be tags. The message has the file and the line.
    """
    files = files_by_split(train_file, validation_file, test_file, dataset_name)
    if dataset_name is None and not files:
        return unwritten_docs()
    of_rows = {"token_column": token_column or "tokens", "tag_column": tag_column or "tags"}
    if dataset_name is not None:
        rows = rows_of_hub(dataset_name, dataset_config_name, of_rows)
    else:
        of_columns = {"tokens": token_column, "tags": tag_column}
        rows = {
            split: rows_of_file(path, f"{split}_file", of_rows, encoding, separator)
            if extension(path) in ROW_FILES
            else _rows_of_columns(path, f"{split}_file", of_columns, separator, comment, encoding)
            for split, path in files.items()
        }
    splits = {}
    for split, part in rows.items():
        splits[split] = _sentences(part)
        if not splits[split]["tokens"] and (split == "train" or not part.places):
            raise ValueError(f"{part.source}, which has no sentence with tags: check it, and the columns.")
        if not splits[split]["tokens"]:
            logger.warning(f"{part.source}, which has no tags: the {split} data are left out.")
            del splits[split]
    counts = {split: Counter(tag for tags in part["tags"] for tag in tags) for split, part in splits.items()}
    check_labels(counts["train"], rows["train"].source, "Name another `tag_column`, or give the `separator`.")
    say_unseen(counts, "tag_column")
    labels = label_names(
        (tag for each in counts.values() for tag in each), [part.names.get("tag_column", []) for part in rows.values()]
    )
    if wrong := [label for label in labels if not label or set(label) & set("\t\n\r")]:  # before a training, not after
        raise ValueError(f"`tag_column` holds the tag {wrong[0]!r}: none may be empty, or have a tab or a line break.")
    splits = {split: tagged_dataset(part, {"tags": labels}) for split, part in splits.items()}
    if "validation" not in splits:
        splits["train"], splits["validation"] = hold_out(splits["train"], shuffle=False)
    return DatasetDict({split: splits[split] for split in ("train", "validation", "test") if split in splits})


def tag_strings(dataset: Dataset, tag_column: str = "tags") -> list[list[str]]:
    """
    The tags of sentences by name.

    Args:
        dataset (`Dataset`): Sentences, for instance a split of [`load_tagged_splits`].
        tag_column (`str`, *optional*, defaults to `"tags"`): A column of `ClassLabel` sequences.

    Returns:
        `list[list[str]]`: A list for each sentence.
    """
    names = dataset.features[tag_column].feature.names
    return [[names[i] for i in row] for row in dataset[tag_column]]


def convert_tag_column(splits: DatasetDict, column: str, target: str, source: str | None = None) -> DatasetDict:
    """
    Tagged sentences with one column of tags in another scheme.

    Args:
        splits (`DatasetDict`): The splits, for instance from [`load_tagged`].
        column (`str`): A column of `ClassLabel` sequences.
        target (`str`): The scheme to write, one of `tag_schemes.SCHEMES`.
        source (`str`, *optional*): The scheme of the tags; read off all splits by default, where tags have types, and
            to be named for bare letters. Tags that are not well formed are read leniently; a warning says how many.

    Returns:
        `DatasetDict`: The same, but for that column and the names of its labels, which the target has for all types.

    Raises:
        `ValueError`: If the column holds no tags of entities.
    """
    feature = getattr(next(iter(splits.values())).features.get(column), "feature", None)
    if not isinstance(feature, ClassLabel):
        raise ValueError(f"`column` is {column!r}, which has to be a column of `ClassLabel` sequences.")
    old = feature.names
    tags = {name: tag_strings(split, column) for name, split in splits.items()}
    source = source or infer_scheme((row for split in tags.values() for row in split), more=[old])
    if source is None:
        raise ValueError(
            f"`column` is {column!r}, whose labels {old[:5]} are no tags of entities: give another one, or the scheme "
            "of bare letters as `source`."
        )
    say_repairs((row for split in tags.values() for row in split), source, f"`column` is {column!r}")
    names = tag_names(entity_types(old), target)
    converted = {}
    for name, split in splits.items():
        columns = {other: split[other][:] for other in split.column_names}
        columns[column] = [[names.index(tag) for tag in convert_tags(row, source, target)] for row in tags[name]]
        features = Features(split.features | {column: SequenceFeature(ClassLabel(names=names))})
        converted[name] = Dataset.from_dict(columns, features=features)
    return DatasetDict(converted)


def encode_tagged(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, tag_column: str = "tags", label_all_tokens: bool = False
) -> Dataset:
    """
    The inputs of a tagger and its `labels`: the tag of each word at its first token, and -100 at its others.

    Args:
        dataset (`Dataset`): Sentences, with the columns `"tokens"` and `tag_column`.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer.
        tag_column (`str`, *optional*, defaults to `"tags"`): Column of the tags, ids. A warning says where they are in
            IOB1, which a CRF cannot tell from BIO: [`convert_tag_column`] writes them in another scheme.
        label_all_tokens (`bool`, *optional*, defaults to `False`): Label the other tokens of a word too, as it is
            itself, with `I-` for `B-`: for tokenizers of pieces of words, whose models a pipeline asks for a label of
            each piece. Tags of entities have to be in BIO.

    Returns:
        `Dataset`: As many rows.
    """
    feature = getattr(dataset.features[tag_column], "feature", None)
    names = feature.names if isinstance(feature, ClassLabel) else []
    if names:
        say_iob1(tag_strings(dataset, tag_column), f"`tag_column` is {tag_column!r}")
    number = {name: i for i, name in enumerate(names)}
    inside = {i: number.get(f"I{name[1:]}", i) for name, i in number.items() if name.partition("-")[0] == "B"}

    def encode(rows):
        encoded = tokenizer(rows["tokens"], is_split_into_words=True)
        encoded["labels"] = []
        for i, tags in enumerate(rows[tag_column]):
            words = encoded.word_ids(i)
            firsts = [word is not None and (t == 0 or words[t - 1] != word) for t, word in enumerate(words)]
            labels = [tags[word] if first else -100 for word, first in zip(words, firsts, strict=True)]
            if label_all_tokens:
                rest = [-100 if word is None else inside.get(tags[word], tags[word]) for word in words]
                labels = [a if first else b for a, b, first in zip(labels, rest, firsts, strict=True)]
            encoded["labels"].append(labels)
        return encoded

    return dataset.map(encode, batched=True, remove_columns=dataset.column_names, desc="Tokenizing")


def write_tagged(
    path: str | os.PathLike,
    tokens: Iterable[Sequence[str]],
    *tags: Iterable[Sequence[str]],
    separator: str | None = None,
) -> None:
    """
    Write sentences with a token a line and a column a tag. With true tags and then predicted ones conlleval reads it.

    Args:
        path (`str` or `os.PathLike`): The file to write, in UTF-8.
        tokens (`Iterable[Sequence[str]]`): Tokens of the sentences.
        tags (`Iterable[Sequence[str]]`): Columns of tags of the sentences, in their order.
        separator (`str`, *optional*): What separates columns; conlleval has the option `-d`. By default a blank, or a
            tab where a token or a tag has a blank.

    Raises:
        `ValueError`: If a sentence has a tag too many or too few, or a token is empty or holds the separator.
    """
    sentences = list(zip(tokens, *tags, strict=True))
    if separator is None:
        fields = (field for sentence in sentences for column in sentence for field in column)
        separator = "\t" if any(" " in field for field in fields) else " "
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for i, columns in enumerate(sentences):
            lengths = [len(column) for column in columns]
            if len(set(lengths)) > 1:
                raise ValueError(
                    f"`tags` of sentence {i} has {lengths[1:]} tags for {lengths[0]} tokens: give one each."
                )
            for row in zip(*columns, strict=True):
                if not all(row) or any(mark in field for field in row for mark in (separator, "\n", "\r")):
                    raise ValueError(
                        f"`tokens` has {row[0]!r} in sentence {i}: no field of {row} may be empty, or hold a line "
                        f"break or the separator {separator!r}. Replace it, or give another `separator`."
                    )
                file.write(separator.join(row) + "\n")
            file.write("\n")


def _rows_of_columns(
    path: str | os.PathLike,
    argument: str,
    columns: Mapping[str, int | str | None],
    separator: str | None,
    comment: str | None,
    encoding: str,
) -> Rows:
    sentences = read_columns(path, argument, columns, None, separator, comment, encoding)
    cells = {"token_column": sentences["tokens"], "tag_column": sentences["tags"]}
    places = [f"sentence {i}" for i in range(len(sentences["tokens"]))]
    return Rows(source_of(path, argument), cells, places, {})


def _sentences(rows: Rows) -> dict[str, list[list[str]]]:
    """The tokens and the tags of the sentences. What is left out or changed is said."""
    kept, left_out, changed = {"tokens": [], "tags": []}, {"tokens": [], "tags": []}, []
    parts = (_parts(cells, rows) for cells in rows.cells.values())
    for tokens, tags, place in zip(*parts, rows.places, strict=True):
        if tags is None or (tags and set(tags) == {None}):  # ids of no class, as -1
            left_out["tags"].append(place)
        elif not tokens and not tags:
            left_out["tokens"].append(place)
        elif len(tokens or []) != len(tags):
            raise ValueError(
                f"{rows.source}, {place}: {len(tags)} tags for {len(tokens or [])} tokens. Give one each."
            )
        elif None in tokens or None in tags or "" in tags:
            raise ValueError(f"{rows.source}, {place}: a token or a tag is missing, {tokens!r:.60}. Give one each.")
        else:
            kept["tokens"].append(["_".join(token.split()) or "_" for token in tokens])
            kept["tags"].append(tags)
            changed += [token for token, new in zip(tokens, kept["tokens"][-1], strict=True) if token != new]
    for what, places in left_out.items():
        say_left_out(rows, what, places)
    if changed:
        logger.warning(
            f"{rows.source}: {len(changed):,} tokens are empty or hold white space, such as {changed[0]!r}: that "
            "becomes '_', since words in text have none."
        )
    of_rows = not rows.places or not rows.places[0].startswith("sentence")  # columns speak of this themselves
    if of_rows and len(kept["tokens"]) > 1 and all(len(tokens) == 1 for tokens in kept["tokens"]):
        raise ValueError(
            f"{rows.source}, whose {len(kept['tokens']):,} rows have one token each: a row has to be a sentence, in "
            "lists or with spaces between the tokens. A token a line is read from files that end in .txt, with a "
            "blank line between sentences."
        )
    return kept


def _parts(cells: list, rows: Rows) -> list[list[str | None] | None]:
    """The cells as lists of text: lists, or strings that are either all lists or else are split at white space."""
    texts = [
        (cell, place) for cell, place in zip(cells, rows.places, strict=True) if isinstance(cell, str) and cell.strip()
    ]
    opened = [cell.lstrip()[:1] == "[" for cell, _ in texts]
    written = [
        list_of(text[0], rows.source, text[1]) if found else None for text, found in zip(texts, opened, strict=True)
    ]
    if all(opened) and None in written and any(part is not None for part in written):
        cell, place = texts[written.index(None)]
        raise ValueError(
            f"{rows.source}, {place}: {cell[:40]!r} is no list, as other rows are. Was it cut short? Correct it."
        )
    if written and None not in written:
        written = iter(written)
        cells = [next(written) if isinstance(cell, str) and cell.strip() else cell for cell in cells]
    found = []
    for cell, place in zip(cells, rows.places, strict=True):
        if isinstance(cell, list):
            found.append([text_of(part, rows.source, place) for part in cell])
        else:
            text = text_of(cell, rows.source, place)
            found.append(text if text is None else text.split())
    return found

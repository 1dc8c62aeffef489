# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Tagged sentences: reading, writing, and the inputs of a tagger."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features
from datasets import Sequence as SequenceFeature
from transformers import PreTrainedTokenizerBase

from .columns import read_columns
from .documentation import unwritten_docs
from .files import ROW_LOADERS, extension, files_by_split, hold_out, read_splits
from .labels import label_names, tagged_dataset
from .tag_schemes import convert_tags, entity_types, infer_scheme, tag_names


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
    and their like. A blank line ends a sentence; lines that begin with `-DOCSTART-` are left out. Plain or gzipped.

    In CoNLL-U, which is known by `.conllu` in the name of the file, comments, the ranges of multiword tokens (id
    `8-9`) and empty nodes (`8.1`) are left out.

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
        `ValueError`: If a file is missing or holds no sentence, a column does not exist, or lines differ in the number
            of columns.

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
    if columns is not None and "tokens" not in columns:
        raise ValueError(f'`columns` is {dict(columns)}: it has to name the column of the "tokens".')
    splits = {
        name: read_columns(Path(path), columns, column_names, separator, comment, encoding)
        for name, path in files.items()
    }
    names = {column: label_names(split[column] for split in splits.values()) for column in _tag_columns(splits)}
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
    token are left out, and white space within a token, which only some formats allow, becomes `_`.

    Args:
        train_file (`str` or `os.PathLike`, *optional*):
            A file of type json, jsonl, csv, tsv or parquet with a sentence a row, in lists or in strings, which are
            split at spaces; or of any other type with a token a line, see [`load_tagged`].
        validation_file (`str` or `os.PathLike`, *optional*): The same for choosing an epoch.
        test_file (`str` or `os.PathLike`, *optional*): The same for the final score.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        token_column (`int` or `str`, *optional*):
            Column that holds the tokens: its index in files with a token a line, where that is 0 by default (`"form"`
            in CoNLL-U), else its name, by default `"tokens"`.
        tag_column (`int` or `str`, *optional*): The same for the tags; the last column (`"upos"`), else `"tags"`.
        separator (`str`, *optional*): See [`load_tagged`], as for the arguments that follow.
        comment (`str`, *optional*): How lines to leave out begin.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of files with a token a line.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and, where it is given, `"test"`, with the columns
        `"tokens"` and `"tags"`, a sequence of `ClassLabel`, whose names all splits share.

    Raises:
        `ValueError`: If a file, a column or the training split is missing, or a sentence has not one tag a token.
    """
    files = files_by_split(train_file, validation_file, test_file, dataset_name)
    if dataset_name is None and not files:
        return unwritten_docs()
    columns = {"tokens": token_column, "tags": tag_column}
    if dataset_name is None and extension(train_file) not in ROW_LOADERS:
        conllu = ".conllu" in Path(train_file).suffixes
        defaults = {"tokens": "form", "tags": "upos"} if conllu else {"tokens": 0, "tags": -1}
        columns = {name: defaults[name] if column is None else column for name, column in columns.items()}
        splits = load_tagged(files, columns, separator=separator, comment=comment, encoding=encoding)
        splits = {name: _named_tags(split, name, columns={}) for name, split in splits.items()}
    else:
        splits = read_splits(files, dataset_name, dataset_config_name)
        columns = {name: name if column is None else column for name, column in columns.items()}
        splits = {name: _named_tags(split, name, columns) for name, split in splits.items()}
    if "validation" not in splits:
        splits["train"], splits["validation"] = hold_out(splits["train"], shuffle=False)
    labels = label_names(split["tags"] for split in splits.values())
    if wrong := [label for label in labels if not label or set(label) & set("\t\n\r")]:  # before a training, not after
        raise ValueError(f"`tag_column` holds the tag {wrong[0]!r}: none may be empty, or have a tab or a line break.")
    return DatasetDict({name: tagged_dataset(split[:], {"tags": labels}) for name, split in splits.items()})


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
        source (`str`, *optional*): The scheme of the tags; read off all splits by default. Tags that are not well
            formed are read leniently.

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
        raise ValueError(f"`column` is {column!r}, whose labels {old[:5]} are no tags of entities: give another one.")
    names = tag_names(entity_types(old), target)
    converted = {}
    for name, split in splits.items():
        columns = {other: split[other][:] for other in split.column_names}
        columns[column] = [[names.index(tag) for tag in convert_tags(row, source, target)] for row in tags[name]]
        features = Features(split.features | {column: SequenceFeature(ClassLabel(names=names))})
        converted[name] = Dataset.from_dict(columns, features=features)
    return DatasetDict(converted)


def encode_tagged(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, tag_column: str = "tags") -> Dataset:
    """
    The inputs of a tagger and its `labels`: the tag of each word at its first token, and -100 at its others.

    Args:
        dataset (`Dataset`): Sentences, with the columns `"tokens"` and `tag_column`.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer.
        tag_column (`str`, *optional*, defaults to `"tags"`): Column of the tags, ids.

    Returns:
        `Dataset`: As many rows.
    """

    def encode(rows):
        encoded = tokenizer(rows["tokens"], is_split_into_words=True)
        encoded["labels"] = []
        for i, tags in enumerate(rows[tag_column]):
            words = encoded.word_ids(i)
            firsts = (word is not None and (t == 0 or words[t - 1] != word) for t, word in enumerate(words))
            labels = [tags[word] if first else -100 for word, first in zip(words, firsts, strict=True)]
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


def _tag_columns(splits: Mapping[str, Mapping[str, list]]) -> list[str]:
    return [column for column in next(iter(splits.values())) if column != "tokens"]


def _named_tags(dataset: Dataset, split: str, columns: Mapping[str, int | str]) -> Dataset:
    """The columns `"tokens"` and `"tags"`, both of them lists of strings, without empty sentences."""
    for name, column in columns.items():
        if column not in dataset.column_names:
            argument = {"tokens": "token_column", "tags": "tag_column"}[name]
            raise ValueError(f"`{argument}` is {column!r}, but the {split} data has {dataset.column_names}: name one.")
    token_column, tag_column = (columns.get(name, name) for name in ("tokens", "tags"))
    feature = dataset.features[tag_column]
    label = getattr(feature, "feature", None)
    rows = {"tokens": [], "tags": []}
    for i, (tokens, tags) in enumerate(zip(dataset[token_column], dataset[tag_column], strict=True)):
        tokens, tags = (row.split() if isinstance(row, str) else row or [] for row in (tokens, tags))
        if len(tokens) != len(tags):
            counts = f"{len(tags)} tags for {len(tokens)} tokens"
            raise ValueError(
                f"`tag_column` {tag_column!r} has {counts} in row {i} of the {split} data: give one each."
            )
        if tokens:
            rows["tokens"].append(["_".join(str(token).split()) or "_" for token in tokens])
            rows["tags"].append([label.int2str(tag) if isinstance(label, ClassLabel) else str(tag) for tag in tags])
    return Dataset.from_dict(rows)

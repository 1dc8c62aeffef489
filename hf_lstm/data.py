# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Text for language models, where it comes from and how it is cut into blocks; tagged text; and classified texts.

Glossary: B blocks, T predicted tokens a block.
"""

import ast
import csv
import gzip
import os
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_dataset
from datasets import Sequence as SequenceFeature
from transformers import PreTrainedTokenizerBase

from .tag_schemes import convert_tags, entity_types, infer_scheme, tag_names


# The loaders of `datasets`, by the extension of a file.
LOADERS = {"txt": "text", "json": "json", "jsonl": "json", "csv": "csv", "tsv": "csv", "parquet": "parquet"}
ROW_FORMATS = LOADERS.keys() - {"txt"}  # files whose columns have names

# Parts of the documentation that are told apart: the language reference, and packages.
DOC_CLASSES = ("language", "asyncio", "email", "http", "logging", "tkinter", "unittest", "xml")

HELD_OUT = 0.1  # share of the documents that are held out where no validation data is given

# The columns of CoNLL-U, https://universaldependencies.org/format.html
CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")

# How a word of a text is written where it is not spoken: its case, then the mark behind it, as in "lower" or "Title.".
CASES, MARKS = ("lower", "Title", "UPPER"), ("", ",", ".", ":", ";", "?")

_NOT_DOCUMENTATION = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
# A paragraph of prose: 40 characters and more, from a capital or a quotation mark to the end of a sentence.
_PROSE = re.compile(r"""["'`*(]*[A-Z].{38,}[.:!?)"]""")
_UNSPOKEN = "()[]{}\"'`*“”‘’-–—"  # what surrounds words and is not restored
# Neither names of code nor abbreviations with points.
_SPOKEN_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|\d+(?:[.,]\d+)*")
_SENTENCE_END = re.compile(r"""(?:(?<=[.?!])|(?<=[.?!][)"'”]))\s+(?![("'`*“]*[a-z])""")
_RARE = 50  # a label with fewer examples is not learned


def load_text(
    train_file: str | os.PathLike | None = None,
    validation_file: str | os.PathLike | None = None,
    *,
    dataset_name: str | None = None,
    dataset_config_name: str | None = None,
    text_column: str = "text",
    sample_by: str = "line",
) -> DatasetDict:
    """
    Documents to train and to evaluate a language model on: from files, from the Hub, or [`python_docs`] where neither
    is named. Without validation data the last tenth of the documents is held out. Empty documents are left out.

    Args:
        train_file (`str` or `os.PathLike`, *optional*):
            A file of type txt, json, jsonl, csv, tsv or parquet. A row is a document.
        validation_file (`str` or `os.PathLike`, *optional*): The same for evaluation.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of files.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        text_column (`str`, *optional*, defaults to `"text"`): Column that holds the text.
        sample_by (`str`, *optional*, defaults to `"line"`):
            What a document is in a txt file: a `"line"`, a `"paragraph"` (blank lines between) or the `"document"`.

    Returns:
        `DatasetDict`: The splits `"train"` and `"validation"`, each with the one column `"text"`.

    Raises:
        `ValueError`: If a file is missing or of unknown type, the column or split is missing, or there is no text.
    """
    if train_file is not None and dataset_name is not None:
        raise ValueError(f"`dataset_name` is {dataset_name!r} and `train_file` {train_file!r}: give one of the two.")
    if validation_file is not None and train_file is None:
        raise ValueError(f"`validation_file` is {validation_file!r} without `train_file`: give both, or neither.")

    if dataset_name is not None:
        splits = load_dataset(dataset_name, dataset_config_name)
    elif train_file is not None:
        splits = {"train": _read(train_file, "train_file", sample_by)}
        if validation_file is not None:
            splits["validation"] = _read(validation_file, "validation_file", sample_by)
    else:
        splits, text_column = {"train": python_docs()}, "text"
    if "train" not in splits:
        raise ValueError(f"`dataset_name` {dataset_name!r} has the splits {list(splits)}: it has to have 'train'.")

    splits = {name: _documents(splits[name], name, text_column) for name in ("train", "validation") if name in splits}
    if "validation" not in splits:
        if len(splits["train"]) < 2:
            raise ValueError(
                "One document cannot be split: name a `validation_file`, or cut a txt file into more of them with "
                '`sample_by="line"` or `"paragraph"`.'
            )
        halves = splits["train"].train_test_split(test_size=HELD_OUT, shuffle=False)
        splits = {"train": halves["train"], "validation": halves["test"]}
    return DatasetDict(splits)


def python_docs(seed: int = 0) -> Dataset:
    """
    The English prose of the documentation that ships with CPython, which needs no download: the topics of `help()`,
    taken from the language reference, and the docstrings of the standard library. About 200,000 words; what they are
    depends on the version of Python.

    A topic or a module is a document. Only paragraphs of prose are kept, unwrapped into one line each, and each of
    them once, in the first document that has it: topics quote each other, and no paragraph may stand in training as
    well as in held-out documents.

    Args:
        seed (`int`, *optional*, defaults to 0): Seed of the order, so that a share of it is a fair sample.

    Returns:
        `Dataset`: The columns `"name"` (topic or file) and `"text"`.
    """
    documents, seen = [], set()
    for name, text in _raw_python_docs():
        paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
        prose = [p for p in paragraphs if _PROSE.fullmatch(p) and ">>>" not in p and not (p in seen or seen.add(p))]
        if prose:
            documents.append({"name": name, "text": "\n".join(prose)})
    random.Random(seed).shuffle(documents)
    return Dataset.from_list(documents)


def make_blocks(documents: Dataset, tokenizer: PreTrainedTokenizerBase, block_size: int) -> Dataset:
    """
    Tokenize documents, join them with an end-of-sequence token after each, and cut the stream into blocks.

    A block holds `block_size + 1` tokens, and begins with the last token of the block before it. A causal model does
    not predict the first token of its input, so every token of the stream, its first one apart, is a target exactly
    once. An incomplete last block is left out.

    Args:
        documents (`Dataset`): Documents in a column `"text"`.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer; its `eos_token` marks the end of a document.
        block_size (`int`): Number of predicted tokens a block, T.

    Returns:
        `Dataset`: B rows of `input_ids` and `labels`, the same `T + 1` tokens: a causal model shifts them itself.

    Raises:
        `ValueError`: If the tokenizer has no `eos_token`, or the text is too short for one block.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("`tokenizer` has no `eos_token`, which marks the end of a document: set one.")
    if block_size < 1:
        raise ValueError(f"`block_size` is {block_size}: a block has to predict at least one token.")
    end = [tokenizer.eos_token_id]
    tokens = documents.map(
        lambda rows: {"input_ids": [ids + end for ids in tokenizer(rows["text"])["input_ids"]]},
        batched=True,
        remove_columns=documents.column_names,
        desc="Tokenizing",
    )
    stream = np.concatenate(tokens.with_format("numpy")["input_ids"][:])  # (number of tokens,)
    if len(stream) <= block_size:
        raise ValueError(
            f"`block_size` is {block_size} and the text has {len(stream)} tokens: give a smaller size or more text."
        )
    blocks = np.lib.stride_tricks.sliding_window_view(stream, block_size + 1)[::block_size]  # (B, T + 1)
    return Dataset.from_dict({"input_ids": blocks, "labels": blocks})


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
        name: _read_columns(Path(path), columns, column_names, separator, comment, encoding)
        for name, path in files.items()
    }
    names = {column: _label_names(split[column] for split in splits.values()) for column in _tag_columns(splits)}
    return DatasetDict({name: _tagged_dataset(split, names) for name, split in splits.items()})


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
    tags = {name: [[old[i] for i in row] for row in split[column]] for name, split in splits.items()}
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
    files = {"train": train_file, "validation": validation_file, "test": test_file}
    files = {split: path for split, path in files.items() if path is not None}
    _check_sources(files, dataset_name)
    if dataset_name is None and not files:
        return unwritten_docs()
    columns = {"tokens": token_column, "tags": tag_column}
    if dataset_name is None and _extension(train_file) not in ROW_FORMATS:
        conllu = ".conllu" in Path(train_file).suffixes
        defaults = {"tokens": "form", "tags": "upos"} if conllu else {"tokens": 0, "tags": -1}
        columns = {name: defaults[name] if column is None else column for name, column in columns.items()}
        splits = load_tagged(files, columns, separator=separator, comment=comment, encoding=encoding)
        splits = {name: _named_tags(split, name, columns={}) for name, split in splits.items()}
    else:
        splits = _splits(files, dataset_name, dataset_config_name)
        columns = {name: name if column is None else column for name, column in columns.items()}
        splits = {name: _named_tags(split, name, columns) for name, split in splits.items()}
    if "validation" not in splits:
        splits["train"], splits["validation"] = _held_out(splits["train"], shuffle=False)
    labels = _label_names(split["tags"] for split in splits.values())
    return DatasetDict({name: _tagged_dataset(split[:], {"tags": labels}) for name, split in splits.items()})


def unwritten_docs(window: int = 48, seed: int = 0) -> DatasetDict:
    """
    The prose of [`python_docs`] as it would come from speech recognition, and for each word how it is to be written:
    for learning to restore capitals and punctuation. It needs no download, and has about 130,000 words.

    Sentences with names of code or other things that nobody can write down by ear are left out, and each sentence is
    there once. The words of a document are cut into windows, which begin and end anywhere, so that full stops are not
    where a window ends.

    Args:
        window (`int`, *optional*, defaults to 48): Most words of a window.
        seed (`int`, *optional*, defaults to 0): Seed of the order of the documents.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and `"test"`, of 80, 10 and 10 % of the documents, with the
        columns `"tokens"` and `"tags"`, see [`unwrite`]. Sentences with a label that is rare are left out: in these
        texts nothing is asked or shouted.

    Raises:
        `ValueError`: If `window` is less than 1.
    """
    if window < 1:
        raise ValueError(f"`window` is {window}: give the number of words, at least 1.")
    documents = _unwritten(python_docs(seed)["text"])
    counts = Counter(label for document in documents for _, labels in document for label in labels)
    names = [case + mark for mark in MARKS for case in CASES if counts[case + mark] >= _RARE]
    ends = {"train": (0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1)}
    splits = {}
    for split, (start, end) in ends.items():
        columns = {"tokens": [], "tags": []}
        for document in documents[int(start * len(documents)) : int(end * len(documents))]:
            kept = [pair for pair in document if set(pair[1]).issubset(names)]
            for column, parts in zip(columns.values(), zip(*kept, strict=True), strict=False):
                values = [value for part in parts for value in part]
                column += [values[i : i + window] for i in range(0, len(values), window)]
        splits[split] = _tagged_dataset(columns, {"tags": names})
    return DatasetDict(splits)


def unwrite(text: str) -> tuple[list[str], list[str]] | None:
    """
    The words of a text in lower case without punctuation, and for each of them a label that says how it was written:
    a case of `CASES` and the mark of `MARKS` behind it. Brackets, quotation marks and dashes between words are lost.

    Args:
        text (`str`): Any text.

    Returns:
        `tuple[list[str], list[str]]`: Words and labels, which [`rewrite`] turns into text again; `None` if a word is
        not one that can be heard, such as `__init__`, or has capitals in other places.

    Example:

    ```python
    >>> from hf_lstm.data import rewrite, unwrite

    >>> unwrite("The file (a ZIP archive), too.")
    (['the', 'file', 'a', 'zip', 'archive', 'too'], ['Title', 'lower', 'lower', 'UPPER', 'lower,', 'lower.'])
    >>> rewrite(*unwrite("The file (a ZIP archive), too."))
    'The file a ZIP archive, too.'
    ```
    """
    words, labels = [], []
    for raw in text.split():
        written = raw.strip(_UNSPOKEN)
        mark = written[-1] if written and written[-1] in MARKS[1:] else ""
        written = written.removesuffix(mark).strip(_UNSPOKEN)
        if not written and not mark:
            continue
        word = written.lower()
        cases = [case for case in CASES if _SPOKEN_WORD.fullmatch(written) and _in_case(word, case) == written]
        if not cases:
            return None
        words.append(word)
        labels.append(cases[0] + mark)
    return words, labels


def rewrite(words: Sequence[str], labels: Sequence[str]) -> str:
    """
    The text that has these words and is written as the labels say, the inverse of [`unwrite`].

    Args:
        words (`Sequence[str]`): Words in lower case.
        labels (`Sequence[str]`): A label for each: a case of `CASES` and a mark of `MARKS`.

    Returns:
        `str`: The text.
    """
    pairs = ((word, *re.fullmatch(r"(\w+)(.?)", label).groups()) for word, label in zip(words, labels, strict=True))
    return " ".join(_in_case(word, case) + mark for word, case, mark in pairs)


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
    files = {"train": train_file, "validation": validation_file, "test": test_file}
    files = {split: path for split, path in files.items() if path is not None}
    _check_sources(files, dataset_name)
    if dataset_name is None and not files:
        return sorted_docs()
    if dataset_name is None and _extension(train_file) not in ROW_FORMATS:
        splits = {split: _labelled_lines(Path(path), separator, encoding) for split, path in files.items()}
        text_column, label_column = "text", "label"
    else:
        splits = _splits(files, dataset_name, dataset_config_name)
    for split, rows in splits.items():
        for argument, column in (("text_column", text_column), ("label_column", label_column)):
            if column not in rows.column_names:
                raise ValueError(f"`{argument}` is {column!r}, but the {split} data has {rows.column_names}.")
        rows = rows.select_columns([text_column, label_column]).rename_columns(
            {old: new for old, new in ((text_column, "text"), (label_column, "label")) if old != new}
        )
        rows = rows.filter(lambda row: bool(row["text"] and row["text"].strip()) and row["label"] is not None)
        splits[split] = _named_labels(rows, problem_type, label_end)
    if "validation" not in splits:
        splits["train"], splits["validation"] = _held_out(splits["train"], shuffle=True)
    if problem_type != "regression":
        splits = _class_labels(splits)
    return DatasetDict(splits)


def sorted_docs(per_class: int = 220, seed: int = 0) -> DatasetDict:
    """
    Paragraphs of [`python_docs`], each with the part of the documentation that it comes from: the reference of the
    language, or one of some packages of the standard library. A text classification that needs no download.

    Args:
        per_class (`int`, *optional*, defaults to 220): Most paragraphs of a part.
        seed (`int`, *optional*, defaults to 0): Seed of the choice and of the split.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and `"test"`, of 70, 15 and 15 % of the paragraphs, with
        the columns `"text"` and `"label"`.
    """
    paragraphs = {label: [] for label in DOC_CLASSES}
    for name, text in zip(*(python_docs(seed)[column] for column in ("name", "text")), strict=True):
        label = name.split("/")[0] if "/" in name else name.removesuffix(".py") if name.endswith(".py") else "language"
        if label in paragraphs:
            paragraphs[label] += text.splitlines()
    chooser, rows = random.Random(seed), []
    for label, texts in paragraphs.items():
        rows += [{"text": text, "label": label} for text in chooser.sample(texts, min(per_class, len(texts)))]
    chooser.shuffle(rows)
    ends = {"train": (0, 0.7), "validation": (0.7, 0.85), "test": (0.85, 1)}
    share = {split: rows[int(a * len(rows)) : int(b * len(rows))] for split, (a, b) in ends.items()}
    return DatasetDict(_class_labels({split: Dataset.from_list(part) for split, part in share.items()}))


def write_tagged(
    path: str | os.PathLike,
    tokens: Iterable[Sequence[str]],
    *tags: Iterable[Sequence[str]],
    separator: str = " ",
) -> None:
    """
    Write sentences with a token a line and a column a tag. With true tags and then predicted ones conlleval reads it.

    Args:
        path (`str` or `os.PathLike`): The file to write, in UTF-8.
        tokens (`Iterable[Sequence[str]]`): Tokens of the sentences.
        tags (`Iterable[Sequence[str]]`): Columns of tags of the sentences, in their order.
        separator (`str`, *optional*, defaults to `" "`): What separates columns; conlleval has the option `-d`.

    Raises:
        `ValueError`: If a sentence has a tag too many or too few, or a token is empty or holds the separator.
    """
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for i, columns in enumerate(zip(tokens, *tags, strict=True)):
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


def _read_columns(
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
    for number, line in enumerate(_lines(path, encoding), start=1):
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
                    f"{str(path)!r} has {len(fields)} columns in line {number} and {width} before: correct the line, "
                    "or give the right `separator`."
                )
            rows.append(fields)
    if rows:
        yield rows


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines end at a line feed only: other characters that Python takes for one, as U+0085, may be tokens."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with (gzip.open if zipped else open)(path, "rt", encoding=encoding, newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")


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


def _tag_columns(splits: Mapping[str, Mapping[str, list]]) -> list[str]:
    return [column for column in next(iter(splits.values())) if column != "tokens"]


def _label_names(splits: Iterable[list[list[str]]]) -> list[str]:
    names = {tag for split in splits for tags in split for tag in tags}
    return sorted(names, key=lambda name: (name != "O", name))


def _tagged_dataset(split: Mapping[str, list], names: Mapping[str, list[str]]) -> Dataset:
    ids = {column: {name: i for i, name in enumerate(labels)} for column, labels in names.items()}
    columns = {column: [[ids[column][tag] for tag in tags] for tags in split[column]] for column in names}
    features = {column: SequenceFeature(ClassLabel(names=labels)) for column, labels in names.items()}
    return Dataset.from_dict(
        {"tokens": split["tokens"], **columns}, features=Features(tokens=SequenceFeature(Value("string")), **features)
    )


def _named_tags(dataset: Dataset, split: str, columns: Mapping[str, int | str]) -> Dataset:
    """The columns `"tokens"` and `"tags"`, both of them lists of strings, without empty sentences."""
    for name, column in columns.items():
        if column not in dataset.column_names:
            argument = {"tokens": "token_column", "tags": "tag_column"}[name]
            raise ValueError(f"`{argument}` is {column!r}, but the {split} data has {dataset.column_names}.")
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


def _check_sources(files: Mapping[str, str | os.PathLike], dataset_name: str | None) -> None:
    if files and dataset_name is not None:
        raise ValueError(f"`dataset_name` is {dataset_name!r} and files are given, {files}: give one of the two.")
    if files and "train" not in files:
        raise ValueError(f"`train_file` is None where other files are given, {files}: name a file to train on.")


def _splits(
    files: Mapping[str, str | os.PathLike],
    dataset_name: str | None,
    dataset_config_name: str | None = None,
) -> dict[str, Dataset]:
    """The splits of files with rows, or of a dataset of the Hub."""
    if dataset_name is None:
        return {split: _read(path, f"{split}_file", "line") for split, path in files.items()}
    splits = load_dataset(dataset_name, dataset_config_name)
    if "train" not in splits:
        raise ValueError(f"`dataset_name` {dataset_name!r} has the splits {list(splits)}: it has to have 'train'.")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def _held_out(dataset: Dataset, shuffle: bool) -> tuple[Dataset, Dataset]:
    """Nine tenths of the rows to train on, and one to evaluate on."""
    if len(dataset) < 2:
        raise ValueError("One row of training data cannot be split: name a `validation_file`.")
    halves = dataset.train_test_split(test_size=HELD_OUT, shuffle=shuffle, seed=0)
    return halves["train"], halves["test"]


def _unwritten(texts: Iterable[str]) -> list[list[tuple[list[str], list[str]]]]:
    """Words and labels of the sentences of each text that have them, each sentence once."""
    seen, documents = set(), []
    for text in texts:
        fresh = [sentence for sentence in _split_sentences(text) if not (sentence in seen or seen.add(sentence))]
        documents.append([pair for pair in map(unwrite, fresh) if pair])
    return documents


def _split_sentences(text: str) -> Iterator[str]:
    """They end with a paragraph, that is a line, or with a mark before a word that does not begin in lower case."""
    for paragraph in text.splitlines():
        yield from _SENTENCE_END.split(paragraph)


def _extension(path: str | os.PathLike) -> str:
    return Path(path).suffix.lstrip(".").lower()


def _labelled_lines(path: Path, separator: str | None, encoding: str) -> Dataset:
    """The columns `"text"` and `"label"` of a file with a label in front of each text."""
    if not path.is_file():
        raise ValueError(f"`train_file`, `validation_file` or `test_file` is {str(path)!r}, which is not a file.")
    rows = []
    for number, line in enumerate(_lines(path, encoding), start=1):
        if not line.strip():
            continue
        between = separator or ("\t" if "\t" in line else " ")
        label, found, text = line.partition(between)
        if not (label and found):
            raise ValueError(
                f"{str(path)!r} has no label before {between!r} in line {number}: correct the line, or give the right "
                "`separator`."
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


def _class_labels(splits: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The splits with ids for the names of labels."""
    columns = {split: rows["label"][:] for split, rows in splits.items()}
    several = any(isinstance(label, list) for labels in columns.values() for label in labels)
    lists = [label if several else [label] for labels in columns.values() for label in labels]
    names = sorted({name for label in lists for name in label})
    ids = {name: i for i, name in enumerate(names)}
    feature = ClassLabel(names=names)
    features = Features(text=Value("string"), label=SequenceFeature(feature) if several else feature)
    return {
        split: Dataset.from_dict(
            {
                "text": splits[split]["text"][:],
                "label": [[ids[part] for part in label] if several else ids[label] for label in labels],
            },
            features=features,
        )
        for split, labels in columns.items()
    }


def _in_case(word: str, case: str) -> str:
    return {"lower": word, "Title": word[:1].upper() + word[1:], "UPPER": word.upper()}[case]


def _read(path: str | os.PathLike, argument: str, sample_by: str) -> Dataset:
    path = Path(path)
    loader = LOADERS.get(_extension(path))
    if loader is None:
        raise ValueError(f"`{argument}` is {str(path)!r}: its name has to end in one of {', '.join(LOADERS)}.")
    if not path.is_file():
        raise ValueError(f"`{argument}` is {str(path)!r}, which is not a file: check the path.")
    options = {"sample_by": sample_by} if loader == "text" else {}
    if _extension(path) == "tsv":
        options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    return load_dataset(loader, data_files=str(path), split="train", **options)


def _documents(dataset: Dataset, split: str, text_column: str) -> Dataset:
    """The documents of a split that are not empty, in the one column `"text"`."""
    if text_column not in dataset.column_names:
        raise ValueError(f"`text_column` is {text_column!r}, but the {split} data has {dataset.column_names}.")
    dataset = dataset.filter(lambda row: bool(row[text_column] and row[text_column].strip()))
    dataset = dataset.select_columns(text_column).rename_columns({text_column: "text"})
    if len(dataset) == 0:
        raise ValueError(f"The {split} data holds no text in the column `{text_column}`: check the file.")
    return dataset


def _raw_python_docs() -> Iterator[tuple[str, str]]:
    from pydoc_data.topics import topics

    yield from topics.items()
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library)
        if not _NOT_DOCUMENTATION.intersection(name.parts):
            yield name.as_posix(), _docstrings(path.read_bytes())


def _docstrings(source: bytes) -> str:
    """The docstrings of a module, its classes and its functions, a blank line between each two."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # not a module but a template or a test file
        return ""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return "\n\n".join(ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds))

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Data that need no download, from the documentation that ships with CPython: its prose, its paragraphs by topic, and its
sentences as they would come from speech recognition.
"""

import ast
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from datasets import Dataset, DatasetDict

from .labels import class_labels, tagged_dataset


# Parts of the documentation that are told apart: the language reference, and packages.
DOC_CLASSES = ("language", "asyncio", "email", "http", "logging", "tkinter", "unittest", "xml")
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
    columns = {
        split: {name: [row[name] for row in part] for name in ("text", "label")} for split, part in share.items()
    }
    return DatasetDict(class_labels(columns))


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
        splits[split] = tagged_dataset(columns, {"tags": names})
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


def _in_case(word: str, case: str) -> str:
    return {"lower": word, "Title": word[:1].upper() + word[1:], "UPPER": word.upper()}[case]


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

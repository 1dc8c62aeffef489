# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Files of n-gram models in the format of the ARPA, which SRILM, KenLM, Kaldi and others write and read (the man page
`ngram-format` of SRILM describes it): base-10 logarithms of probabilities and of back-off weights, as text, possibly
compressed by gzip.

    \\data\\
    ngram 1=4
    ngram 2=2

    \\1-grams:
    -0.9    one     -0.3
    ...
    \\end\\

Glossary: N n-grams of one length, n that length.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np


# What stands for the logarithm of 0, and for the probability of `<s>`, which is never predicted.
LOG10_ZERO = -99.0
BLANKS = re.compile(r"[ \t]+")  # no other character parts fields: a word may hold, say, a no-break space
MAGIC_OF_GZIP = b"\x1f\x8b"


class ArpaSection(NamedTuple):
    """The n-grams of one length."""

    grams: np.ndarray  # (N, n), ids of words
    log10_probs: np.ndarray  # (N,)
    log10_backoffs: np.ndarray  # (N,), NaN where there is none


def write_arpa(file: str | PathLike, words: Sequence[str], sections: Sequence[ArpaSection]) -> None:
    """
    Args:
        file (`str` or `PathLike`): Where to write; compressed if the name ends in `.gz`.
        words (`Sequence[str]`): The word of each id.
        sections (`Sequence[ArpaSection]`): Those of length 1, 2, ...

    Raises:
        `ValueError`: For a word that is empty, has a blank or stands there twice.
    """
    seen = set()
    for word in words:
        if not word or word in seen or re.search(r"\s", word):
            why = "stands there twice" if word in seen else "is empty or has a blank"
            raise ValueError(f"`words` has {word!r}, which {why}: a file cannot hold it.")
        seen.add(word)
    # No time and no name in the head of a compressed file: the same model gives the same bytes.
    with open(file, "wb") as raw:
        if str(file).endswith(".gz"):
            with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed:
                packed.writelines(line.encode() for line in _lines_of(words, sections))
        else:
            raw.writelines(line.encode() for line in _lines_of(words, sections))


def _lines_of(words: Sequence[str], sections: Sequence[ArpaSection]) -> Iterator[str]:
    yield "\\data\\\n"
    yield from (f"ngram {n}={len(section.grams)}\n" for n, section in enumerate(sections, start=1))
    for n, section in enumerate(sections, start=1):
        yield f"\n\\{n}-grams:\n"
        for gram, prob, backoff in zip(*(values.tolist() for values in section), strict=True):
            text = f"{prob:.10g}\t{' '.join(words[i] for i in gram)}"
            yield f"{text}\n" if backoff != backoff else f"{text}\t{backoff:.10g}\n"
    yield "\n\\end\\\n"


def read_arpa(file: str | PathLike) -> tuple[list[str], list[ArpaSection]]:
    """
    Args:
        file (`str` or `PathLike`): The file; whether it is compressed by gzip is seen from its first bytes.

    Returns:
        `tuple`: The words, in the order of the file, and the sections of length 1, 2, ...

    Raises:
        `ValueError`: For a file that is damaged or of another format; it names the line.
    """
    reader = _Reader(file)
    try:
        return reader.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise reader.error(f"cannot be unpacked ({error}); is the file whole?", reader.number + 1) from None


class _Reader:
    """One pass over a file, which knows at what line it is."""

    def __init__(self, file: str | PathLike):
        self.file, self.number, self.mark = file, 0, "\\data\\"
        self.ids: dict[str, int] = {}

    def error(self, what: str, number: int | None = None) -> ValueError:
        return ValueError(f"Line {number or self.number} of `file` {str(self.file)!r} {what}")

    def read(self) -> tuple[list[str], list[ArpaSection]]:
        with Path(self.file).open("rb") as raw:
            packed = raw.read(2) == MAGIC_OF_GZIP
            raw.seek(0)
            with gzip.open(raw) if packed else raw as stream:
                lines = self.lines(stream)
                counts, line = self.head(lines)
                sections = []
                for n, count in enumerate(counts, start=1):
                    if line != f"\\{n}-grams:":
                        raise self.error(f"is {line[:40]!r}: `\\{n}-grams:` should stand there.")
                    section, line = self.section(lines, n, count, last=n == len(counts))
                    sections.append(section)
                if line != "\\end\\":
                    raise self.error(f"is {line[:40]!r}: `\\end\\` should stand there.")
        return list(self.ids), sections

    def lines(self, stream) -> Iterator[str]:
        """Those that hold something."""
        for number, raw in enumerate(stream, start=1):
            self.number = number
            try:
                line = raw.decode().strip(" \t\r\n")
            except UnicodeDecodeError as error:
                raise self.error(f"is not UTF-8 ({error.reason}).") from None
            if line:
                yield line
        self.number += 1
        raise self.error(f"is missing: the file ends before `{self.mark}`. Is it whole, and an ARPA file?")

    def head(self, lines: Iterator[str]) -> tuple[list[int], str]:
        """How many n-grams there are of each length, and the line behind."""
        while next(lines) != self.mark:  # SRILM allows text before
            pass
        self.mark = "\\end\\"
        counts: list[int] = []
        for line in lines:
            match = re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line)
            if not match:
                break
            if int(match[1]) != len(counts) + 1:
                raise self.error(f"is {line!r}: `ngram {len(counts) + 1}=` should stand there.")
            counts.append(int(match[2]))
        if not counts:
            raise self.error(f"is {line[:40]!r}: the number of n-grams should stand there, such as `ngram 1=5`.")
        return counts, line

    def section(self, lines: Iterator[str], n: int, count: int, last: bool) -> tuple[ArpaSection, str]:
        grams, probs, backoffs, numbers = [], [], [], []
        for line in lines:
            if line[0] == "\\" and (line == "\\end\\" or re.fullmatch(r"\\\d+-grams:", line)):
                break
            fields = BLANKS.split(line)
            if not n + 1 <= len(fields) <= n + 2 - last:
                raise self.error(f"has {len(fields)} fields: a {n}-gram has {n + 1}{'' if last else f' or {n + 2}'}.")
            probs.append(self.value(fields[0]))
            if probs[-1] > 0:
                raise self.error(f"has the probability 10^{fields[0]}, which is above 1.")
            backoffs.append(self.value(fields[n + 1]) if len(fields) > n + 1 else np.nan)
            grams.append(self.gram(fields[1 : n + 1]))
            numbers.append(self.number)
        if len(grams) != count:
            raise self.error(f"ends the {n}-grams, of which there are {len(grams)}, but {count} by the head.")
        grams = np.array(grams, dtype=np.int64).reshape(-1, n)
        if n > 1 and len(grams):
            _, first, times = np.unique(grams, axis=0, return_index=True, return_counts=True)
            if (times > 1).any():
                twice = (grams == grams[first[times > 1][0]]).all(1).nonzero()[0]
                raise self.error(f"has an n-gram that line {numbers[twice[0]]} has too.", numbers[twice[1]])
        return ArpaSection(grams, np.array(probs), np.array(backoffs, dtype=float)), line

    def value(self, field: str) -> float:
        try:
            value = float(field)
        except ValueError:
            value = np.nan
        if value != value or value == np.inf:
            raise self.error(f"has {field[:40]!r} where a logarithm should stand.")
        return max(value, LOG10_ZERO)

    def gram(self, words: list[str]) -> list[int]:
        if len(words) == 1:
            if words[0] in self.ids:
                raise self.error(f"has the word {words[0]!r}, which stands there already.")
            self.ids[words[0]] = len(self.ids)
        try:
            return [self.ids[word] for word in words]
        except KeyError as error:
            raise self.error(f"has {error.args[0]!r}, which is not among the 1-grams.") from None


__all__ = ["ArpaSection", "read_arpa", "write_arpa"]

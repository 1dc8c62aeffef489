# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Pretrained word vectors: GloVe, word2vec (text and binary) and fastText files, plain or gzipped, read as a stream.

A file of two million words is never held in memory: a line is looked at, and its numbers are parsed only if its word
is wanted.

Glossary: E numbers a vector, V vocabulary, N words of a file.
"""

import codecs
import gzip
import os
import zlib
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm


CHUNK = 1 << 20  # bytes read at a time from a binary file
_FASTTEXT_MODEL = b"\xba\x16\x4f\x2f"  # how a model of fastText begins, which holds more than vectors


@dataclass
class Coverage:
    """
    How much of a vocabulary a file of vectors has, and what was odd in the file.

    Args:
        exact (`int`): Words that the file has as they are.
        lower (`int`): Words that it has in lower case only.
        missing (`int`): Words that it does not have.
        duplicates (`int`): Wanted words that the file has once more; the first vector counts.
        bad_lines (`list[int]`): Numbers of the lines (or binary records) that were skipped because they are damaged.

    Example:

    ```python
    >>> from hf_lstm.data.vectors import Coverage

    >>> print(Coverage(exact=6, lower=1, missing=1))
    8 words: 6 exact (75.0 %), 1 in lower case (12.5 %), 1 missing (12.5 %)
    ```
    """

    exact: int = 0
    lower: int = 0
    missing: int = 0
    duplicates: int = 0
    bad_lines: list[int] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of the words that have a vector, exact or in lower case."""
        return (self.exact + self.lower) / max(self.exact + self.lower + self.missing, 1)

    def __str__(self) -> str:
        total = self.exact + self.lower + self.missing
        parts = {"exact": self.exact, "in lower case": self.lower, "missing": self.missing}
        shares = (f"{count:,} {name} ({100 * count / max(total, 1):.1f} %)" for name, count in parts.items())
        odd = {"duplicates": self.duplicates, "bad lines": len(self.bad_lines)}
        return ", ".join([f"{total:,} words: {next(shares)}", *shares, *(f"{n:,} {k}" for k, n in odd.items() if n)])


class WordVectors(NamedTuple):
    """
    Vectors of words.

    Args:
        words (`list[str]`): N words, in the order of the file.
        vectors (`torch.Tensor` of shape `(N, E)`): Their vectors.
        coverage (`Coverage`): How many of the words asked for there are.
    """

    words: list[str]
    vectors: torch.Tensor
    coverage: Coverage


class MatchedVectors(NamedTuple):
    """
    An embedding matrix for a vocabulary.

    Args:
        matrix (`torch.Tensor` of shape `(V + extra, E)`): A row for each id, and one for each additional word.
        found (`torch.Tensor` of shape `(V + extra,)`): Which rows come from the file; the others are random.
        extra_words (`list[str]`): Additional words, whose ids begin at V.
        coverage (`Coverage`): How much of the vocabulary the file has.
    """

    matrix: torch.Tensor
    found: torch.Tensor
    extra_words: list[str]
    coverage: Coverage


def read_vectors(
    path: str | os.PathLike,
    words: Collection[str] | None = None,
    *,
    max_words: int | None = None,
    lower: bool = True,
    binary: bool | None = None,
    skip_bad_lines: bool = False,
    encoding: str = "utf-8",
    progress: bool = True,
) -> WordVectors:
    """
    Vectors of words from a file of GloVe (a line is a word and E numbers, with spaces or tabs between), of word2vec or
    fastText (`.vec`; the first line has N and E), or of word2vec's binary kind; each of them plain or gzipped.

    Args:
        path (`str` or `os.PathLike`): The file.
        words (`Collection[str]`, *optional*): Words to keep; by default all of the file.
        max_words (`int`, *optional*): Read this many words of the file only, which usually has frequent ones first.
        lower (`bool`, *optional*, defaults to `True`): Whether to keep the lower case of each of the `words` too.
        binary (`bool`, *optional*): Whether the file is binary; by default if its name has `.bin`.
        skip_bad_lines (`bool`, *optional*, defaults to `False`):
            Whether to skip damaged lines, and count them in the coverage, rather than to stop at them. The numbers of
            a line are looked at only if its word is kept.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the words.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar over the bytes of the file.

    Returns:
        [`WordVectors`]: The words that the file has, their vectors, and the coverage of `words`.

    Raises:
        `ValueError`: If the file is missing, empty, truncated, or a line is damaged or has another number of numbers.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_lstm.data.vectors import read_vectors

    >>> _ = Path("glove.txt").write_text("the 0.5 1.0\\nof 0.25 2.0\\n")
    >>> words, vectors, coverage = read_vectors("glove.txt", ["The", "cat"], progress=False)
    >>> words, vectors.tolist(), coverage.lower, coverage.missing
    (['the'], [[0.5, 1.0]], 1, 1)
    ```
    """
    wanted = None if words is None else {*words, *(word.lower() for word in words if lower)}
    file = _VectorFile(path, max_words, binary, skip_bad_lines, encoding, progress)
    kept, coverage = file.collect(wanted)
    if words is None:
        coverage.exact = len(kept)
    else:
        for word in dict.fromkeys(words):
            _source(word, kept, lower, coverage)
    vectors = np.stack(list(kept.values())) if kept else np.empty((0, file.size), np.float32)
    return WordVectors(list(kept), torch.from_numpy(vectors), coverage)


def match_vectors(
    vocab: Mapping[str, int],
    path: str | os.PathLike,
    *,
    extra_words: int = 0,
    seed: int = 0,
    max_words: int | None = None,
    lower: bool = True,
    binary: bool | None = None,
    skip_bad_lines: bool = False,
    encoding: str = "utf-8",
    progress: bool = True,
) -> MatchedVectors:
    """
    The embedding matrix of a vocabulary from a file of vectors. A word takes its own vector, else that of its lower
    case; words with neither take random normal numbers of the standard deviation of the vectors found.

    Args:
        vocab (`Mapping[str, int]`): Ids of words, as `tokenizer.get_vocab()` returns them.
        path (`str` or `os.PathLike`): The file, see [`read_vectors`].
        extra_words (`int`, *optional*, defaults to 0):
            How many words to add at most: the first ones of the file that are not in the vocabulary. A tagger that
            leaves its embeddings as they are gains from words that only the test data have.
        seed (`int`, *optional*, defaults to 0): Seed of the random rows.
        max_words (`int`, *optional*): See [`read_vectors`], as for the arguments that follow.
        lower (`bool`, *optional*, defaults to `True`): Whether a word may take the vector of its lower case.
        binary (`bool`, *optional*): Whether the file is binary; by default if its name has `.bin`.
        skip_bad_lines (`bool`, *optional*, defaults to `False`): Whether to skip damaged lines and count them.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the words.
        progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar.

    Returns:
        [`MatchedVectors`]: The matrix, which of its rows come from the file, the additional words, and the coverage.

    Raises:
        `ValueError`: If the vocabulary is empty, has a negative id, the file shares no word with it, or for the
            reasons of [`read_vectors`].

    Example:

    ```python
    >>> from pathlib import Path
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMModel
    >>> from hf_lstm.data.vectors import match_vectors

    >>> _ = Path("glove.txt").write_text("the 0.5 1.0\\ncat 0.25 2.0\\n")
    >>> vocab = {"<pad>": 0, "The": 1}
    >>> matrix, found, extra_words, coverage = match_vectors(vocab, "glove.txt", extra_words=1, progress=False)
    >>> extra_words, found.tolist()
    (['the'], [False, True, True])
    >>> model = LSTMModel(LSTMConfig(vocab_size=len(matrix), embedding_size=matrix.shape[1], hidden_size=4))
    >>> with torch.no_grad():
    ...     _ = model.get_input_embeddings().weight.copy_(matrix)
    ```
    """
    if not vocab or min(vocab.values()) < 0:
        raise ValueError(f"`vocab` has {len(vocab)} words: give at least one, and ids from 0.")
    if extra_words < 0:
        raise ValueError(f"`extra_words` is {extra_words}: give the number of words to add at most, or 0.")
    wanted = {*vocab, *(word.lower() for word in vocab if lower)}
    file = _VectorFile(path, max_words, binary, skip_bad_lines, encoding, progress)
    kept, coverage = file.collect(wanted, vocab, extra_words)
    added = [word for word in kept if word not in vocab][:extra_words]
    sources = {vocab[word]: source for word in vocab if (source := _source(word, kept, lower, coverage)) is not None}
    size = max(vocab.values()) + 1
    sources |= {size + i: word for i, word in enumerate(added)}
    if not sources:
        raise ValueError(
            f"`vocab` has {len(vocab)} words, and {str(path)!r} none of them: check that they are whole words."
        )
    vectors = torch.from_numpy(np.stack([kept[word] for word in sources.values()]))
    rows = torch.tensor(list(sources))
    matrix = torch.randn(size + len(added), vectors.shape[1], generator=torch.Generator().manual_seed(seed))
    matrix *= vectors.std(correction=0)
    matrix[rows] = vectors
    found = torch.zeros(len(matrix), dtype=torch.bool)
    found[rows] = True
    return MatchedVectors(matrix, found, added, coverage)


def _source(word: str, kept: Container[str], lower: bool, coverage: Coverage) -> str | None:
    """The word whose vector `word` takes, counted in the coverage."""
    if word in kept:
        coverage.exact += 1
        return word
    if lower and word.lower() in kept:
        coverage.lower += 1
        return word.lower()
    coverage.missing += 1
    return None


class _VectorFile:
    """
    A file of vectors. Its records are the number of a line (of a record in a binary file), a word, and the bytes of
    its numbers. Words are cut out of bytes: as text, a line would end at any of the line breaks of Unicode, some of
    which GloVe has as words or in words.
    """

    def __init__(self, path, max_words, binary, skip_bad_lines, encoding, progress):
        self.path, self.max_words, self.skip_bad_lines, self.encoding = Path(path), max_words, skip_bad_lines, encoding
        self.binary = ".bin" in self.path.suffixes if binary is None else binary
        self.progress, self.size, self.bad_lines = progress, 0, []
        if not self.path.is_file():
            raise ValueError(f"`path` is {str(path)!r}, which is not a file: check the path.")
        if max_words is not None and max_words < 1:
            raise ValueError(f"`max_words` is {max_words}: give at least 1, or None for all words of the file.")

    def collect(
        self, wanted: Container[str] | None, vocab: Container[str] = (), extra_words: int = 0
    ) -> tuple[dict[str, np.ndarray], Coverage]:
        """The vectors of the wanted words and of the first words that are not in the vocabulary."""
        kept, extra, coverage = {}, 0, Coverage(bad_lines=self.bad_lines)
        for number, word, numbers in self:
            if wanted is not None and word not in wanted and extra >= extra_words:
                continue
            if word in kept:
                coverage.duplicates += 1
                continue
            vector = self._vector(number, numbers)
            if vector is not None:
                kept[word] = vector
                extra += word not in vocab
        return kept, coverage

    def __iter__(self) -> Iterator[tuple[int, str, bytes]]:
        size = self.path.stat().st_size
        bar = tqdm(total=size, unit="B", unit_scale=True, desc=self.path.name, disable=not self.progress)
        with open(self.path, "rb") as raw, bar:
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"
            file = gzip.GzipFile(fileobj=raw) if zipped else raw
            try:
                records = self._binary_records(file) if self.binary else self._text_records(file)
                for i, (number, word, numbers) in enumerate(records):
                    if i == self.max_words:
                        break
                    if i % 4096 == 0:
                        bar.update(raw.tell() - bar.n)
                    try:
                        yield number, word.decode(self.encoding), numbers
                    except UnicodeDecodeError:
                        self._bad(number, f"the word {word!r} is not {self.encoding}")
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(f"`path` is {str(self.path)!r}, a damaged gzip file: fetch it again.") from error
            bar.update(raw.tell() - bar.n)

    def _text_records(self, file: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
        first = file.readline().removeprefix(codecs.BOM_UTF8)
        expected = self._read_header(first)
        if expected is None:
            self.size = _trailing_numbers(first)
            if not self.size:
                raise ValueError(f"`path` is {str(self.path)!r}, with no vector in line 1, {first[:60]!r}: check it.")
            yield from self._text_record(1, first)
        lines = 0
        for number, line in enumerate(file, start=2):
            if line.strip(b"\r\n"):
                lines += 1
                yield from self._text_record(number, line)
        if expected is not None and (not lines or (lines < expected and not self.skip_bad_lines)):
            raise self._truncated(lines, expected)

    def _text_record(self, number: int, line: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """The record of a line, if it is not damaged. Most have single spaces, and are not taken apart."""
        line = line.rstrip()
        word, _, numbers = line.partition(b" ")
        count = line.count(b" ")
        if line[:1] in (b" ", b"\t", b""):
            count = len(line.split())
            return self._bad(number, "it has no word before the first space" if count else "it has 0 numbers")
        if (
            count != self.size or b"\t" in line or b"  " in line
        ):  # or spaces in the word: GloVe 840B has some like that
            word, *found = line.rsplit(None, self.size)
            count = len(found)
            if count == self.size and b" " in word:
                count += _trailing_numbers(word) if _trailing_numbers(word) == len(word.split()) - 1 else 0
            numbers = line[len(word) :]
        if count != self.size:
            return self._bad(number, f"it has {count} numbers where {self.size} are expected")
        yield number, word, numbers

    def _binary_records(self, file: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
        """A word, a space and E floats of 32 bits, little-endian; some writers end a record with a line feed."""
        header = file.readline(100)
        if header.startswith(_FASTTEXT_MODEL):
            raise ValueError(f"`path` is {str(self.path)!r}, a model of fastText: give its vectors, the .vec file.")
        expected = self._read_header(header)
        if expected is None:
            raise ValueError(
                f"`path` is {str(self.path)!r}, which does not begin with two numbers, as a binary file of word2vec "
                "does: give `binary=False` if it is text."
            )
        buffer, start = b"", 0
        for number in range(1, expected + 1):
            space = buffer.find(b" ", start)
            while space < 0 or len(buffer) < space + 1 + 4 * self.size:
                chunk = file.read(CHUNK)
                if not chunk:
                    raise self._truncated(number - 1, expected)
                buffer, start = buffer[start:] + chunk, 0
                space = buffer.find(b" ")
            word, start = buffer[start:space].lstrip(b"\n"), space + 1 + 4 * self.size
            yield number, word, buffer[space + 1 : start]

    def _read_header(self, line: bytes) -> int | None:
        """The number of words, if the line is a header; sets the size of the vectors."""
        fields = line.split()
        if len(fields) != 2 or not all(field.isdigit() for field in fields):
            return None
        self.size = int(fields[1])
        if self.size < 1:
            raise ValueError(f"`path` is {str(self.path)!r}, with vectors of size 0 by its first line: check it.")
        return int(fields[0])

    def _vector(self, number: int, numbers: bytes) -> np.ndarray | None:
        """The vector, of shape (E,), if the record is not damaged."""
        try:
            vector = np.frombuffer(numbers, "<f4") if self.binary else np.array(numbers.split(), np.float32)
        except ValueError as error:
            return self._bad(number, str(error))
        if len(vector) != self.size or not np.isfinite(vector).all():
            return self._bad(number, f"it does not have {self.size} finite numbers")
        return vector.astype(np.float32)

    def _truncated(self, words: int, expected: int) -> ValueError:
        return ValueError(
            f"`path` is {str(self.path)!r}, with {words} words, but {expected} by its header: fetch it again."
        )

    def _bad(self, number: int, reason: str) -> None:
        if not self.skip_bad_lines:
            kind = "record" if self.binary else "line"
            raise ValueError(
                f"`path` is {str(self.path)!r}, {kind} {number}: {reason}. Correct the file, or give "
                "`skip_bad_lines=True`."
            )
        self.bad_lines.append(number)


def _trailing_numbers(line: bytes) -> int:
    """How many numbers stand at the end of a line, behind its first field."""
    count = 0
    for field_ in reversed(line.split()[1:]):
        try:
            float(field_)
        except ValueError:
            break
        count += 1
    return count

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Vectors from every kind of file: what is kept, what is counted, what is refused, and how much memory it takes."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
import torch

from hf_lstm.data.vectors import Coverage, match_vectors, read_vectors
from hf_lstm.training.arguments import TaggerArguments


# Words that are traps: with spaces (as GloVe 840B has), with Unicode's line breaks and spaces, numbers, case.
WORDS = [
    "the",
    ",",
    "The",
    ". . .",
    "at name@domain.com",
    "a\x85b",
    "\u2028",
    "\xa0",
    "12",
    "7 8x",
    "naïve",
    "北京",
    "-",
]
VECTORS = np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype(np.float32)
KINDS = ("glove", "word2vec", "fasttext", "binary", "binary_lines")


def contents(kind: str, words=WORDS, vectors=VECTORS) -> bytes:
    header = f"{len(words)} {vectors.shape[1]}\n".encode()
    if kind.startswith("binary"):
        end = b"\n" if kind == "binary_lines" else b""
        rows = zip(words, vectors, strict=True)
        return header + b"".join(word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) + end for word, row in rows)
    lines = [f"{word} {' '.join(map(repr, map(float, row)))}" for word, row in zip(words, vectors, strict=True)]
    end = " \n" if kind == "fasttext" else "\n"
    return (b"" if kind == "glove" else header) + "".join(line + end for line in lines).encode()


def write(folder, kind: str, data: bytes | None = None, zipped: bool = False):
    path = folder / (kind + (".bin" if kind.startswith("binary") else ".vec") + (".gz" if zipped else ""))
    data = contents(kind) if data is None else data
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


def without_spaces(kind: str):
    """Binary files end a word at its first space."""
    rows = [i for i, word in enumerate(WORDS) if " " not in word or not kind.startswith("binary")]
    return [WORDS[i] for i in rows], VECTORS[rows]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file(tmp_path, kind, zipped):
    words, vectors = without_spaces(kind)
    path = write(tmp_path, kind, contents(kind, words, vectors), zipped)
    read = read_vectors(path, progress=False)
    assert read.words == words
    assert read.vectors.dtype == torch.float32 and torch.equal(read.vectors, torch.from_numpy(vectors))
    assert read.coverage == Coverage(exact=len(words))
    assert read_vectors(path, max_words=3, progress=False).words == words[:3]
    some = read_vectors(path, {"北京", "12", "unknown"}, progress=False)
    assert some.words == ["12", "北京"]
    assert torch.equal(some.vectors, torch.from_numpy(vectors[[words.index("12"), words.index("北京")]]))
    assert some.coverage == Coverage(exact=2, missing=1)


@pytest.mark.parametrize("between", ["\t", "  ", " \t", "\t\t", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
@pytest.mark.parametrize("header", ["", "13 4"])
def test_tabs_or_several_spaces_between_the_numbers(tmp_path, between, end, header):
    """Between word and numbers, between the numbers, or both; in every line or in some."""
    numbers = [list(map(repr, map(float, row))) for row in VECTORS]
    for lines in (
        [between.join([word, *row]) for word, row in zip(WORDS, numbers, strict=True)],
        [word + between + " ".join(row) for word, row in zip(WORDS, numbers, strict=True)],
        [word + " " + between.join(row) for word, row in zip(WORDS, numbers, strict=True)],
        [[" ", between][i % 2].join([word, *row]) for i, (word, row) in enumerate(zip(WORDS, numbers, strict=True))],
    ):
        for mark in ("", "\ufeff"):  # a byte order mark
            text = mark + "".join(line + end for line in [header, *lines] if line)
            read = read_vectors(write(tmp_path, "glove", text.encode()), progress=False)
            assert read.words == WORDS and torch.equal(read.vectors, torch.from_numpy(VECTORS))


def test_blank_lines_and_a_header_alone(tmp_path):
    for text in (b"a 1 2\r\n\r\nb 3 4\r\n", b"2 2\r\na 1 2\r\n\r\nb 3 4\r\n\r\n", b"a 1 2\n\nb 3 4\n"):
        assert read_vectors(write(tmp_path, "glove", text), progress=False).words == ["a", "b"]
    for skip in (False, True):
        for text in (b"2 2\n", b"2 2", b"0 2\n", b"2 2\n\n\r\n"):
            with pytest.raises(ValueError, match=r"with 0 words, but \d by its header"):
                read_vectors(write(tmp_path, "glove", text), skip_bad_lines=skip, progress=False)
    with pytest.raises(ValueError, match="with 1 words, but 3 by its header"):  # blank lines are no words
        read_vectors(write(tmp_path, "glove", b"3 2\na 1 2\n\n\n\n"), progress=False)


def test_the_tagging_example_may_skip_bad_lines(tmp_path):
    path = str(write(tmp_path, "glove", b"a 1 2\nb 1 x\nc 3 4\n"))
    arguments = TaggerArguments(vectors=path)
    with pytest.raises(ValueError, match="line 2: could not convert"):
        arguments.known_words()
    arguments = TaggerArguments(vectors=path, skip_bad_lines=True)
    assert sorted(arguments.known_words()) == ["a", "a", "c", "c"]  # `min_frequency` times
    assert arguments.matched_vectors({"a": 0, "b": 1}).coverage == Coverage(exact=1, missing=1, bad_lines=[2])
    assert TaggerArguments().known_words() == [] and TaggerArguments().matched_vectors({"a": 0}) is None


def test_binary_or_not_can_be_said(tmp_path):
    words, vectors = without_spaces("binary")
    path = tmp_path / "vectors"
    path.write_bytes(contents("binary", words, vectors))
    assert read_vectors(path, binary=True, progress=False).words == words
    path = tmp_path / "text.bin"
    path.write_bytes(contents("word2vec"))
    assert read_vectors(path, binary=False, progress=False).words == WORDS


def test_records_that_straddle_the_chunks_of_a_binary_file(tmp_path, monkeypatch):
    words, vectors = without_spaces("binary")
    path = write(tmp_path, "binary", contents("binary_lines", words, vectors))
    for chunk in (1, 7, 64):
        monkeypatch.setattr("hf_lstm.data.vectors.CHUNK", chunk)
        read = read_vectors(path, progress=False)
        assert read.words == words and torch.equal(read.vectors, torch.from_numpy(vectors))


def test_case_is_matched_exactly_and_then_lowered(tmp_path):
    path = write(tmp_path, "glove")
    vocab = {"The": 0, "THE": 2, "the": 3, ",": 5, "Cat": 6, "NAÏVE": 7}
    match = match_vectors(vocab, path, progress=False)
    assert match.coverage == Coverage(exact=3, lower=2, missing=1)
    assert match.matrix.shape == (8, 4) and match.extra_words == []
    assert match.found.tolist() == [True, False, True, True, False, True, False, True]
    expected = torch.from_numpy(VECTORS[[WORDS.index(word) for word in ("The", "the", "the", ",", "naïve")]])
    assert torch.equal(match.matrix[match.found], expected)
    exact = match_vectors(vocab, path, lower=False, progress=False)
    assert exact.coverage == Coverage(exact=3, missing=3)
    assert read_vectors(path, vocab, progress=False).coverage == match.coverage
    assert read_vectors(path, vocab, lower=False, progress=False).coverage == exact.coverage
    assert str(match.coverage) == "6 words: 3 exact (50.0 %), 2 in lower case (33.3 %), 1 missing (16.7 %)"
    assert match.coverage.share == pytest.approx(5 / 6)


def test_missing_words_take_random_rows_of_the_same_spread(tmp_path):
    path = write(tmp_path, "glove", contents("glove", ["a", "b"], np.array([[0.0, 3.0], [6.0, 3.0]])))
    vocab = {word: i for i, word in enumerate(["a", "b", *(f"missing{i}" for i in range(5000))])}
    match = match_vectors(vocab, path, progress=False)
    random = match.matrix[~match.found]
    assert random.std().item() == pytest.approx(4.5**0.5, rel=0.05)  # the numbers 0, 3, 6, 3
    assert random.mean().item() == pytest.approx(0, abs=0.1)
    assert torch.equal(match.matrix, match_vectors(vocab, path, progress=False).matrix)
    assert not torch.equal(match.matrix, match_vectors(vocab, path, seed=1, progress=False).matrix)


def test_the_vocabulary_grows_by_the_first_words_of_the_file(tmp_path):
    path = write(tmp_path, "glove")
    vocab = {"<pad>": 0, "The": 1, ",": 2}
    for extra, expected in ((0, []), (2, ["the", ". . ."]), (100, [word for word in WORDS if word not in vocab])):
        match = match_vectors(vocab, path, extra_words=extra, progress=False)
        assert match.extra_words == expected
        assert match.matrix.shape == (3 + len(expected), 4)
        assert match.found.tolist() == [False] + [True] * (2 + len(expected))
        rows = [WORDS.index(word) for word in ["The", ",", *expected]]
        assert torch.equal(match.matrix[1:], torch.from_numpy(VECTORS[rows]))
        assert match.coverage == Coverage(exact=2, missing=1)


def test_of_two_vectors_the_first_counts(tmp_path):
    path = write(tmp_path, "glove", b"a 1 2\nb 3 4\na 5 6\nc 7 8\nc 9 9\na 0 0\n")
    read = read_vectors(path, progress=False)
    assert (read.words, read.vectors.tolist()) == (["a", "b", "c"], [[1, 2], [3, 4], [7, 8]])
    assert read.coverage.duplicates == 3
    assert read_vectors(path, ["a"], progress=False).coverage.duplicates == 2  # of the wanted word
    assert "2 duplicates" in str(match_vectors({"a": 0}, path, progress=False).coverage)


@pytest.mark.parametrize(
    "line, reason",
    [
        (b"b 1", "it has 1 numbers where 2 are expected"),
        (b"b 1 2 3", "it has 3 numbers where 2 are expected"),
        (b"b", "it has 0 numbers where 2 are expected"),
        (b"", "it has 0 numbers"),
        (b" 1 2", "it has no word"),
        (b"b 1 x", "could not convert string to float"),
        (b"b 1 nan", "it does not have 2 finite numbers"),
        (b"b\xff 1 2", "the word b'b.*' is not utf-8"),
    ],
)
def test_damaged_lines_are_named_or_skipped(tmp_path, line, reason):
    path = write(tmp_path, "glove", b"a 1 2\n" + line + b" \nc 3 4\n")
    with pytest.raises(ValueError, match=rf"glove\.vec', line 2: {reason}.*\. Correct the file, or give `skip_bad"):
        read_vectors(path, progress=False)
    read = read_vectors(path, skip_bad_lines=True, progress=False)
    assert (read.words, read.coverage.bad_lines) == (["a", "c"], [2])
    assert "1 bad lines" in str(read.coverage)


def test_damaged_records_of_a_binary_file(tmp_path):
    vectors = np.array([[1.0, 2.0], [np.inf, 0.0], [3.0, 4.0]], np.float32)
    path = write(tmp_path, "binary", contents("binary", ["a", "b", "c"], vectors))
    with pytest.raises(ValueError, match=r"binary\.bin', record 2: it does not have 2 finite numbers"):
        read_vectors(path, progress=False)
    assert read_vectors(path, ["a", "c"], progress=False).words == ["a", "c"]  # numbers of other words are not read
    read = read_vectors(path, skip_bad_lines=True, progress=False)
    assert (read.words, read.coverage.bad_lines) == (["a", "c"], [2])


def test_extra_words_pass_over_damaged_lines(tmp_path):
    path = write(tmp_path, "glove", b"a 1 2\nb 1 x\nc 3 4\nd 5 6\n")
    match = match_vectors({"a": 0}, path, extra_words=1, skip_bad_lines=True, progress=False)
    assert (match.extra_words, match.matrix.tolist()) == (["c"], [[1, 2], [3, 4]])


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files_are_refused(tmp_path, kind):
    words, vectors = without_spaces(kind)
    data = contents(kind, words, vectors)
    if kind != "glove":  # which does not say how many words it has
        shorter = contents(kind, words[:-1], vectors[:-1]).split(b"\n", 1)[1]
        path = write(tmp_path, kind, data.split(b"\n", 1)[0] + b"\n" + shorter)
        with pytest.raises(ValueError, match=f"with {len(words) - 1} words, but {len(words)} by its header"):
            read_vectors(path, progress=False)
    path = write(tmp_path, kind, zipped=True, data=data)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"a damaged gzip file: fetch it again"):
        read_vectors(path, progress=False)


def test_other_bad_input_is_refused(tmp_path):
    good = write(tmp_path, "glove")
    with pytest.raises(ValueError, match=r"`path` is '.*none\.txt', which is not a file"):
        read_vectors(tmp_path / "none.txt")
    with pytest.raises(ValueError, match=r"with no vector in line 1, b''"):
        read_vectors(write(tmp_path, "empty", b""), progress=False)
    with pytest.raises(ValueError, match=r"with no vector in line 1, b'<html>"):
        read_vectors(write(tmp_path, "page", b"<html> not found\n"), progress=False)
    with pytest.raises(ValueError, match="vectors of size 0"):
        read_vectors(write(tmp_path, "zero", b"3 0\n"), progress=False)
    with pytest.raises(ValueError, match="does not begin with two numbers"):
        read_vectors(good, binary=True, progress=False)
    with pytest.raises(ValueError, match=r"a model of fastText: give its vectors, the \.vec file"):
        read_vectors(write(tmp_path, "binary", struct.pack("<ii", 793712314, 12)), progress=False)
    with pytest.raises(ValueError, match="`max_words` is 0"):
        read_vectors(good, max_words=0)
    with pytest.raises(ValueError, match="`extra_words` is -1"):
        match_vectors({"a": 0}, good, extra_words=-1)
    with pytest.raises(ValueError, match="`vocab` has 1 words: give at least one, and ids from 0"):
        match_vectors({"a": -1}, good)
    with pytest.raises(ValueError, match=r"`vocab` has 1 words, and .* none of them"):
        match_vectors({"Ġcat": 0}, good, progress=False)


def test_other_encodings(tmp_path):
    path = write(tmp_path, "glove", "naïve 1 2\n".encode("latin-1"))
    assert read_vectors(path, encoding="latin-1", progress=False).words == ["naïve"]


def test_progress_is_shown_over_the_bytes_of_the_file(tmp_path, capsys):
    path = write(tmp_path, "glove", zipped=True)
    read_vectors(path, progress=False)
    assert capsys.readouterr().err == ""
    read_vectors(path)
    shown = capsys.readouterr().err
    assert "glove.vec.gz: 100%" in shown


def test_memory_is_that_of_the_wanted_words(tmp_path):
    """12,000 vectors of 100 numbers take 5 MB as numbers and 24 MB as text; sixty of them 24 kB."""
    vectors = np.random.default_rng(0).normal(size=(12_000, 100)).astype(np.float32)
    words = [f"w{i}" for i in range(len(vectors))]
    for kind in ("glove", "binary"):
        path = write(tmp_path, kind, contents(kind, words, vectors))
        tracemalloc.start()
        read = read_vectors(path, words[::200], progress=False)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert torch.equal(read.vectors, torch.from_numpy(vectors[::200]))
        assert peak < 4e6  # two chunks of a binary file, 1 MiB each, are the larger part


def test_real_glove_vectors(shared_data):
    path = shared_data / "glove_twitter_25d_12k" / "glove.twitter.27B.25d.norvig12k.txt.gz"
    words, vectors, coverage = read_vectors(path, progress=False)
    assert (len(words), vectors.shape, coverage.exact) == (11_925, (11_925, 25), 11_925)
    assert words[:3] == ["the", "of", "and"]
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    assert words == [row[0] for row in rows]
    assert torch.equal(vectors, torch.tensor([[float(number) for number in row[1:]] for row in rows]))
    similar = torch.nn.functional.normalize(vectors, dim=1)
    scores = similar @ similar[words.index("monday")]
    nearest = [words[i] for i in scores.topk(6).indices.tolist()]
    assert {"tuesday", "wednesday", "thursday", "friday"} & set(nearest)
    match = match_vectors({"Monday": 0, "qwxyz": 1, "the": 2}, path, progress=False)
    assert match.coverage == Coverage(exact=1, lower=1, missing=1)
    assert torch.equal(match.matrix[0], vectors[words.index("monday")])

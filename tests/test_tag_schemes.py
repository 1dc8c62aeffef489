# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Tag schemes: every short sequence of tags against regular expressions, against conlleval's rules and seqeval."""

import importlib
import itertools
import re

import pytest
from datasets import DatasetDict

from hf_lstm.data import convert_tag_column
from hf_lstm.data.labels import tagged_dataset
from hf_lstm.data.tag_schemes import (
    SCHEMES,
    Span,
    convert_tags,
    entity_types,
    infer_scheme,
    is_well_formed,
    read_spans,
    tag_names,
    write_spans,
)
from hf_lstm.training.arguments import TaggerArguments


TYPES = ("PER", "LOC")
# A well-formed entity, its tokens as letters, where nothing depends on what stands before it.
PATTERNS = {"BIO": "BI*", "BIOES": "BI*E|S", "BILOU": "BI*L|U", "BMES": "BM*E|S"}

each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def all_sequences(scheme: str, longest: int):
    names = tag_names(TYPES, scheme)
    for length in range(longest + 1):
        yield from itertools.product(names, repeat=length)


def all_spans(length: int, start: int = 0):
    """Every way to lay entities over a sentence."""
    if start >= length:
        yield []
        return
    yield from all_spans(length, start + 1)
    for end in range(start + 1, length + 1):
        for kind in TYPES:
            yield from ([Span(kind, start, end), *rest] for rest in all_spans(length, end))


def conlleval_starts(before: str, tag: str) -> bool:
    """The table of `startOfChunk` in conlleval, for the tags that the shared tasks used."""
    (letter, _, kind), (last, _, last_kind) = tag.partition("-"), before.partition("-")
    return (last, letter) in {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")} or (letter != "O" and kind != last_kind)


def conlleval_ends(before: str, tag: str) -> bool:
    """The table of `endOfChunk`."""
    (letter, _, kind), (last, _, last_kind) = tag.partition("-"), before.partition("-")
    return (last, letter) in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")} or (last != "O" and kind != last_kind)


def conlleval_spans(tags) -> list[Span]:
    spans, start = [], None
    for t, (before, tag) in enumerate(itertools.pairwise(["O", *tags, "O"])):
        if start is not None and conlleval_ends(before, tag):
            spans.append(Span(before[2:], start, t))
            start = None
        if conlleval_starts(before, tag):
            start = t
    return spans


def regex_spans(tags, scheme: str) -> list[Span]:
    """Well-formed entities: the longest runs of one type, letters matched by the pattern of the scheme."""
    spans, t = [], 0
    while t < len(tags):
        kind, run = tags[t][2:], ""
        for tag in itertools.takewhile(lambda tag: tag != "O" and tag[2:] == kind, tags[t:]):  # noqa: B023
            run += tag[0]
        match = re.match(PATTERNS[scheme], run)
        if match:
            spans.append(Span(kind, t, t + match.end()))
        t += match.end() if match else 1
    return spans


def test_known_sentences():
    spans = [Span("PER", 0, 3), Span("PER", 3, 4), Span("LOC", 4, 6), Span("LOC", 7, 8)]
    written = {
        "IOB1": "I-PER I-PER I-PER B-PER I-LOC I-LOC O I-LOC",
        "BIO": "B-PER I-PER I-PER B-PER B-LOC I-LOC O B-LOC",
        "BIOES": "B-PER I-PER E-PER S-PER B-LOC E-LOC O S-LOC",
        "BILOU": "B-PER I-PER L-PER U-PER B-LOC L-LOC O U-LOC",
        "BMES": "B-PER M-PER E-PER S-PER B-LOC E-LOC O S-LOC",
    }
    for source, target in itertools.product(written, repeat=2):
        assert convert_tags(written[source].split(), source, target, strict=True) == written[target].split()
    for scheme, tags in written.items():
        assert write_spans(reversed(spans), 8, scheme) == tags.split()
        assert infer_scheme([tags.split()]) == scheme
    assert convert_tags(["I-A"], "iob", "iobes") == ["S-A"]  # other names


@each_scheme
def test_spans_survive_writing_and_reading(scheme):
    count = 0
    for length in range(6):
        for spans in all_spans(length):
            tags = write_spans(spans, length, scheme)
            assert read_spans(tags, scheme) == read_spans(tags, scheme, strict=True) == spans
            assert is_well_formed(tags, scheme)
            count += 1
    assert count > 500


@pytest.mark.parametrize("scheme", ["IOB1", "BIO"])
def test_lenient_reading_is_conllevals(scheme):
    for tags in all_sequences(scheme, 5):
        assert read_spans(tags, scheme) == read_spans(tags) == conlleval_spans(tags)


@pytest.mark.parametrize("scheme", PATTERNS)
def test_strict_reading_is_the_pattern_of_the_scheme(scheme):
    for tags in all_sequences(scheme, 4):
        assert read_spans(tags, scheme, strict=True) == regex_spans(tags, scheme)


def test_strict_reading_of_iob1():
    """`B` where no entity of the type ends is not IOB1, and its entity does not count; the one after it does."""
    assert read_spans(["B-PER", "I-PER", "O", "I-PER"], "IOB1", strict=True) == [Span("PER", 3, 4)]
    assert read_spans(["I-PER", "B-PER", "I-LOC"], "IOB1", strict=True) == conlleval_spans(["I-PER", "B-PER", "I-LOC"])
    assert read_spans(["I-LOC", "B-PER"], "IOB1", strict=True) == [Span("LOC", 0, 1)]


@pytest.mark.parametrize("scheme, theirs", [("BIO", "IOB2"), ("BIOES", "IOBES"), ("BILOU", "BILOU")])
def test_seqeval_reads_the_same(scheme, theirs):
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import Entities

    their_scheme = getattr(importlib.import_module("seqeval.scheme"), theirs)
    for tags in all_sequences(scheme, 4):
        entities = Entities([list(tags)], scheme=their_scheme).entities[0]
        assert read_spans(tags, scheme, strict=True) == [Span(e.tag, e.start, e.end) for e in entities]
        if scheme != "BILOU":  # whose letters the default mode of seqeval does not know
            assert read_spans(tags) == [Span(kind, start, end + 1) for kind, start, end in get_entities(list(tags))]


@each_scheme
def test_conversion_repairs_or_refuses(scheme):
    for tags in all_sequences(scheme, 3):
        repaired = convert_tags(tags, scheme, scheme)
        assert is_well_formed(repaired, scheme)
        assert read_spans(repaired) == read_spans(tags)
        if is_well_formed(tags, scheme):
            assert repaired == list(tags)
        else:
            with pytest.raises(ValueError, match=f"at token \\d, where {scheme} writes"):
                convert_tags(tags, scheme, "BIO", strict=True)


def test_odd_but_valid_tags():
    assert read_spans([]) == []
    assert read_spans(["B-creative-work", "I-creative-work"]) == [Span("creative-work", 0, 2)]
    assert read_spans(["B-PER.NAM", "I-PER.NOM"]) == [Span("PER.NAM", 0, 1), Span("PER.NOM", 1, 2)]
    assert read_spans(list("BMESSO")) == [Span("", 0, 3), Span("", 3, 4), Span("", 4, 5)]  # words of Chinese
    assert convert_tags(list("BMESS"), "BMES", "BIO") == ["B", "I", "I", "B", "B"]


def test_unknown_tags_and_schemes_are_refused():
    for tag in ("PER", "b-PER", "B_PER", "B-", "X-PER", "", "0", "O-PER"):
        remedy = {"b-PER": "write it as 'B-PER'", "B_PER": "write it as 'B-PER'"}.get(tag, "write a tag as")
        with pytest.raises(ValueError, match=f"`tags` has '{tag}', which is unknown: {remedy}"):
            read_spans(["O", tag])
    with pytest.raises(ValueError, match="`tags` has 'S-PER', but the letters of `scheme` BIO are B, I"):
        read_spans(["S-PER"], "BIO")
    with pytest.raises(ValueError, match="`tags` has 'I-PER', but the letters of `scheme` BMES are B, M, E, S"):
        convert_tags(["I-PER"], "BMES", "BIO")
    with pytest.raises(ValueError, match="`scheme` is 'BOI': give one of IOB1, BIO"):
        convert_tags(["O"], "BIO", "BOI")
    with pytest.raises(ValueError, match="`scheme` is None, but the strict reading needs one"):
        read_spans(["O"], strict=True)


@pytest.mark.parametrize(
    "spans", [[("A", 0, 2), ("A", 1, 3)], [("A", 1, 1)], [("A", 2, 1)], [("A", 2, 4)], [("A", -1, 1)]]
)
def test_impossible_spans_are_refused(spans):
    with pytest.raises(ValueError, match=r"`spans` has Span\(.*\) after .* in a sentence of 3 tokens"):
        write_spans(spans, 3, "BIO")


def test_scheme_from_tags():
    assert infer_scheme([["O", "O"], []]) == "BIO"
    assert infer_scheme([["O", "I-PER", "B-PER"]]) == "IOB1"
    noisy = [["B-PER", "O", "B-PER"], ["O", "I-PER"]]  # one error in BIO
    assert infer_scheme(noisy) == "BIO"
    assert infer_scheme([["O"]], more=[["O", "B-PER", "M-PER", "E-PER", "S-PER"]]) == "BMES"
    assert infer_scheme([["I-PER"]], more=[["B-PER", "B-PER", "O", "B-PER"]]) == "IOB1"  # which has no say in this
    for scheme in ("BIO", "BIOES", "BILOU", "BMES"):
        assert infer_scheme([tag_names([""], scheme)]) is None  # bare letters: somebody has to say it
        assert infer_scheme([tag_names(TYPES, scheme)]) == scheme
        assert infer_scheme([sorted(tag_names(TYPES, scheme))]) == scheme
    assert infer_scheme([["NOUN", "VERB", "X"], ["-LRB-", "PRP$", "S"]]) is None
    with pytest.raises(ValueError, match="`sequences` has tags of two kinds, 'B-PER' and 'PER'"):
        infer_scheme([["B-PER", "O", "PER"]])
    with pytest.raises(ValueError, match=r"`sequences` has the letters \['L', 'M'\], which no scheme has together"):
        infer_scheme([["M-PER", "L-PER"]])


@pytest.mark.parametrize("classes", ["U L O", "S M L", "B E S", "I S", "L U", "B I O"])
def test_classes_that_are_letters_are_no_scheme(classes):
    """A truecaser's upper and lower, sizes of clothes: no two of them may become one."""
    assert infer_scheme([classes.split()]) is None
    splits = DatasetDict(
        train=tagged_dataset({"tokens": [classes.split()], "tags": [classes.split()]}, {"tags": classes.split()})
    )
    with pytest.raises(
        ValueError, match=r"are no tags of entities: give another one, or the scheme of bare letters as"
    ):
        convert_tag_column(splits, "tags", "BIOES")


def test_bare_letters_with_a_scheme_that_is_given():
    tags = ["B", "M", "E", "S", "B", "E"]
    splits = DatasetDict(
        train=tagged_dataset({"tokens": [list("abcdef")], "tags": [tags]}, {"tags": sorted(set(tags))})
    )
    bio = convert_tag_column(splits, "tags", "BIO", source="BMES")["train"]
    assert [bio.features["tags"].feature.names[i] for i in bio["tags"][0]] == ["B", "I", "I", "B", "B", "I"]
    assert TaggerArguments(data_scheme="BMES").scheme_of([tags]) == "BMES"
    assert TaggerArguments().scheme_of([tags]) is None
    assert TaggerArguments().scheme_of([["B-PER", "I-PER"]]) == "BIO"
    assert TaggerArguments(data_scheme="none").scheme_of([["E-mail", "S-mail"]]) is None


@pytest.mark.parametrize("tags", [["B_PER", "I_PER", "O"], ["b-PER", "i-PER"], ["B:PER", "I:PER", "O"]])
def test_tags_that_are_nearly_tags_get_a_hint(monkeypatch, tags):
    messages = []
    monkeypatch.setattr("hf_lstm.data.tag_schemes.logger.warning", messages.append)
    assert infer_scheme([["NN", "VB"], ["B_1", "M_1"], ["B-side", "A-side"][1:]]) is None and not messages
    assert infer_scheme([tags]) is None
    assert len(messages) == 1 and "is taken for a plain class: write it as 'B-PER'" in messages[0]


def test_names_of_labels():
    assert tag_names(["PER", "LOC"], "BIO") == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert tag_names(["PER", "PER"], "BMES") == ["O", "B-PER", "M-PER", "E-PER", "S-PER"]
    assert tag_names([""], "BILOU") == ["O", "B", "I", "L", "U"]
    assert entity_types(["O", "B-PER", "I-LOC", "S-PER"]) == ["LOC", "PER"]
    for scheme in SCHEMES:
        assert entity_types(tag_names(TYPES, scheme)) == sorted(TYPES)

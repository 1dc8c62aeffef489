# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Entities as tags, one a token: reading them, writing them, and converting between the schemes in use.

| scheme | first | inside | last | single | also called |
|---|---|---|---|---|---|
| IOB1 | `I`, or `B` right after an entity of the same type | `I` | `I` | as first | IOB |
| BIO | `B` | `I` | `I` | `B` | IOB2 |
| BIOES | `B` | `I` | `E` | `S` | IOBES |
| BILOU | `B` | `I` | `L` | `U` | BIOLU |
| BMES | `B` | `M` | `E` | `S` | BMEWO with `S` for `W` |

A tag is a letter and a type, `B-PER`, or `O` outside of entities. A bare letter, as in the segmentation of Chinese
words, belongs to an entity without a type, if somebody says that it is a tag: classes are named S, M and L too.
Sources: Ramshaw & Marcus 1995; Tjong Kim Sang & Veenstra 1999.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from transformers.utils import logging

from ..models.crf import LETTERS, OTHER_NAMES


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


class Span(NamedTuple):
    """
    An entity: its type and its tokens, `tokens[start:end]`.

    Args:
        type (`str`): Type of the entity; empty for tags without a type.
        start (`int`): Index of its first token.
        end (`int`): Index behind its last token.
    """

    type: str
    start: int
    end: int


_SAME_MEANING = {"M": "I", "L": "E", "U": "S"}  # every scheme in the letters of BIOES
_TAG = re.compile(r"([BIESMLU])(?:-(.+))?")
_NEAR_TAG = re.compile(r"([BIESMLU])[-_:/.|–](.+)", re.IGNORECASE)

SCHEMES = tuple(LETTERS)


def read_spans(tags: Sequence[str], scheme: str | None = None, strict: bool = False) -> list[Span]:
    """
    The entities of one sentence.

    The lenient reading takes every token that is not `O` into an entity, by the rules of conlleval, the scorer of the
    CoNLL shared tasks, and for the letters that it does not know by those of seqeval's default mode: an entity begins
    with `B` or `S`, after `O`, after `E` or `S`, and wherever the type changes. The strict reading keeps of these
    entities the ones that are written just as the scheme writes them, as seqeval's strict mode does.

    Args:
        tags (`Sequence[str]`): Tags of the tokens.
        scheme (`str`, *optional*): One of `SCHEMES`. The lenient reading needs it only to refuse foreign letters.
        strict (`bool`, *optional*, defaults to `False`): Whether an entity counts only if it is well formed.

    Returns:
        `list[Span]`: The entities in their order.

    Raises:
        `ValueError`: If a tag or the scheme is unknown, or the strict reading has no scheme.

    Example:

    ```python
    >>> from hf_lstm.data.tag_schemes import read_spans

    >>> read_spans(["B-PER", "I-PER", "O", "I-LOC"])
    [Span(type='PER', start=0, end=2), Span(type='LOC', start=3, end=4)]
    >>> read_spans(["B-PER", "I-PER", "O", "I-LOC"], "BIO", strict=True)
    [Span(type='PER', start=0, end=2)]
    ```
    """
    scheme = None if scheme is None else _named(scheme)
    if strict and scheme is None:
        raise ValueError(f"`scheme` is None, but the strict reading needs one: give one of {', '.join(SCHEMES)}.")
    spans, start, last, last_kind = [], 0, "O", ""
    for t, tag in enumerate([*tags, "O"]):
        letter, kind = _parsed(tag, scheme)
        if letter in "BSO" or last in "ESO" or kind != last_kind:
            if last != "O":
                spans.append(Span(last_kind, start, t))
            start = t
        last, last_kind = letter, kind
    if not strict:
        return spans
    canonical, tags = write_spans(spans, len(tags), scheme), list(tags)
    return [span for span in spans if tags[span.start : span.end] == canonical[span.start : span.end]]


def write_spans(spans: Iterable[Span | tuple[str, int, int]], length: int, scheme: str) -> list[str]:
    """
    The tags of one sentence, the inverse of [`read_spans`].

    Args:
        spans (`Iterable[Span]`): Entities in any order, none of them empty and no two of them over one token.
        length (`int`): Number of tokens.
        scheme (`str`): One of `SCHEMES`.

    Returns:
        `list[str]`: A tag for each token.

    Raises:
        `ValueError`: If the scheme is unknown, or an entity is empty, outside of the sentence or over another.
    """
    name = _named(scheme)
    letters = LETTERS[name]
    tags, before = ["O"] * length, Span("", 0, 0)
    for span in sorted((Span(*span) for span in spans), key=lambda span: span.start):
        kind, start, end = span
        if not before.end <= start < end <= length:
            raise ValueError(
                f"`spans` has {span} after {before} in a sentence of {length} tokens: entities have to lie within the "
                "sentence, must not be empty and must not overlap."
            )
        first, inside, last, single = letters
        if name == "IOB1" and not (before.end == start > 0 and before.type == kind):
            first = single = "I"
        middle = end - start - 2
        written = [single] if middle < 0 else [first, *[inside] * middle, last]
        tags[start:end] = [f"{letter}-{kind}" if kind else letter for letter in written]
        before = span
    return tags


def convert_tags(tags: Sequence[str], source: str, target: str, strict: bool = False) -> list[str]:
    """
    The tags of one sentence in another scheme, by way of its entities.

    Args:
        tags (`Sequence[str]`): Tags of the tokens.
        source (`str`): Scheme of the tags, one of `SCHEMES`.
        target (`str`): Scheme to write, one of `SCHEMES`.
        strict (`bool`, *optional*, defaults to `False`):
            Whether to refuse tags that are not well formed, which are otherwise read leniently and so repaired.

    Returns:
        `list[str]`: As many tags.

    Raises:
        `ValueError`: If a tag or a scheme is unknown, or, with `strict`, the tags are not well formed.

    Example:

    ```python
    >>> from hf_lstm.data.tag_schemes import convert_tags

    >>> convert_tags(["I-PER", "I-PER", "B-PER", "O"], "IOB1", "BIOES")
    ['B-PER', 'E-PER', 'S-PER', 'O']
    ```
    """
    spans = read_spans(tags, source)
    if strict:
        canonical = write_spans(spans, len(tags), source)
        for t, (tag, right) in enumerate(zip(tags, canonical, strict=True)):
            if tag != right:
                raise ValueError(
                    f"`tags` has {tag!r} at token {t}, where {_named(source)} writes {right!r}: correct the tags, or "
                    "leave `strict` out to have them read leniently."
                )
    return write_spans(spans, len(tags), target)


def is_well_formed(tags: Sequence[str], scheme: str) -> bool:
    """
    Whether the tags of one sentence are just those that the scheme writes for their entities.

    Args:
        tags (`Sequence[str]`): Tags of the tokens.
        scheme (`str`): One of `SCHEMES`.

    Returns:
        `bool`: False for an entity without a beginning or an end, and for letters of other schemes.

    Raises:
        `ValueError`: If a tag is of no scheme, or the scheme is unknown.
    """
    return list(tags) == write_spans(read_spans(tags), len(tags), scheme)


def infer_scheme(sequences: Iterable[Sequence[str]], more: Iterable[Sequence[str]] = ()) -> str | None:
    """
    The scheme of tags, from the letters they have. IOB1 and BIO have the same letters: it is IOB1 where more entities
    begin with `I` than with a `B` that IOB1 would not write, so that a few errors do not matter. A scheme has types
    somewhere: bare letters may be classes, such as the sizes S, M and L. A warning says where tags are nearly such.

    Args:
        sequences (`Iterable[Sequence[str]]`): Tags of sentences.
        more (`Iterable[Sequence[str]]`, *optional*):
            Further tags that only show which letters there are: predictions, or the names of all labels.

    Returns:
        `str` or `None`: One of `SCHEMES`, `"BIO"` if all tags are `O`; `None` if the tags are plain classes, as parts
        of speech are, or letters without a type.

    Raises:
        `ValueError`: If tags of entities and other tags are mixed, or the letters belong to no one scheme.
    """
    sequences = [list(tags) for tags in sequences]
    names = {tag for tags in [*sequences, *more] for tag in tags}
    foreign = sorted(tag for tag in names if tag != "O" and not _TAG.fullmatch(tag))
    if foreign:
        ours = sorted(tag for tag in names if "-" in tag and _TAG.fullmatch(tag))
        if ours:
            raise ValueError(f"`sequences` has tags of two kinds, {ours[0]!r} and {foreign[0]!r}: {_REMEDY}")
        near = [tag for tag in sorted(names - {"O"}) if _NEAR_TAG.fullmatch(tag)]
        if len(near) == len(names - {"O"}) and {"B", "I"} <= {tag[0].upper() for tag in near}:
            logger.warning(f"`sequences` has {near[0]!r}, which is taken for a plain class: {_hint(near[0])}")
        return None
    if names - {"O"} and not any("-" in tag for tag in names):
        return None
    letters = {tag[0] for tag in names} - {"O"}
    fitting = [name for name, scheme in LETTERS.items() if letters <= set(scheme)]
    if not fitting:
        raise ValueError(f"`sequences` has the letters {sorted(letters)}, which no scheme has together: {_REMEDY}")
    if fitting[0] != "IOB1":
        return fitting[0]
    return "IOB1" if _balance_of_iob1(sequences) > 0 else "BIO"


def say_iob1(sequences: Iterable[Sequence[str]], source: str) -> None:
    """
    A warning where tags are in IOB1: whoever takes it for BIO, as a CRF does that sees the names of the labels only,
    loses most entities.

    Args:
        sequences (`Iterable[Sequence[str]]`): Tags of sentences, of any kind.
        source (`str`): What the message calls them.
    """
    sequences = [list(tags) for tags in sequences]
    names = {tag for tags in sequences for tag in tags} - {"O"}
    if not names or not all(_TAG.fullmatch(tag) and "-" in tag and tag[0] in "BI" for tag in names):
        return
    if _balance_of_iob1(sequences) > 0:
        begun = [tags[span.start][0] == "I" for tags in sequences for span in read_spans(tags)]
        logger.warning(
            f"{source}, in IOB1: {sum(begun):,} of {len(begun):,} entities begin with I. A CRF takes it for BIO, and "
            'loses them: write the tags in BIO with `convert_tag_column(splits, column, "BIO")` before training.'
        )


def say_repairs(sequences: Iterable[Sequence[str]], scheme: str, source: str) -> None:
    """
    A warning where tags are not those that the scheme writes for their entities, so that the lenient reading repairs
    them.

    Args:
        sequences (`Iterable[Sequence[str]]`): Tags of sentences.
        scheme (`str`): One of `SCHEMES`.
        source (`str`): What the message calls them.
    """
    total, repaired = 0, Counter()
    for tags in sequences:
        total += 1
        pairs = zip(tags, convert_tags(tags, scheme, scheme), strict=True)
        wrong = [f"{tag!r} to {right!r}" for tag, right in pairs if tag != right]
        repaired.update(wrong)
        repaired["sentences"] += bool(wrong)
    sentences = repaired.pop("sentences", 0)
    if sentences:
        logger.warning(
            f"{source}, in {_named(scheme)}: {repaired.total():,} tags of {sentences:,} of {total:,} sentences are "
            f"not well formed and are repaired, most often {repaired.most_common(1)[0][0]}."
        )


def tag_names(types: Iterable[str], scheme: str) -> list[str]:
    """
    All tags that a scheme has for entities of these types: `O`, and then type by type.

    Args:
        types (`Iterable[str]`): Types of entities; the order is kept.
        scheme (`str`): One of `SCHEMES`.

    Returns:
        `list[str]`: Names of the labels of a tagger.

    Raises:
        `ValueError`: If the scheme is unknown.
    """
    letters = dict.fromkeys(LETTERS[_named(scheme)])  # each of them once, in their order
    return ["O", *(f"{letter}-{kind}" if kind else letter for kind in dict.fromkeys(types) for letter in letters)]


def entity_types(tags: Iterable[str]) -> list[str]:
    """
    The types of entities among tags or names of labels, sorted.

    Args:
        tags (`Iterable[str]`): Tags of any scheme.

    Returns:
        `list[str]`: Each type once.

    Raises:
        `ValueError`: If a tag is of no scheme.
    """
    return sorted({_parsed(tag, None)[1] for tag in tags if tag != "O"})


_REMEDY = "write a tag as `O` or as one of the letters B, I, E, S, M, L, U with a type, such as 'B-PER'."


def _hint(tag: str) -> str:
    """What to write instead of a tag."""
    near = _NEAR_TAG.fullmatch(tag)
    return f"write it as '{near[1].upper()}-{near[2]}'. Else {_REMEDY}" if near else _REMEDY


def _named(scheme: str) -> str:
    """The name that we use of a scheme."""
    name = str(scheme).upper()
    name = OTHER_NAMES.get(name, name)
    if name not in LETTERS:
        raise ValueError(f"`scheme` is {scheme!r}: give one of {', '.join([*SCHEMES, *OTHER_NAMES])}.")
    return name


@lru_cache(maxsize=4096)
def _parsed(tag: str, scheme: str | None) -> tuple[str, str]:
    """The letter of a tag, in those of BIOES, and its type."""
    if tag == "O":
        return "O", ""
    match = _TAG.fullmatch(tag)
    if not match:
        raise ValueError(f"`tags` has {tag!r}, which is unknown: {_hint(tag)}")
    letter, kind = match.groups(default="")
    if scheme is not None and letter not in LETTERS[scheme]:
        raise ValueError(
            f"`tags` has {tag!r}, but the letters of `scheme` {scheme} are "
            f"{', '.join(dict.fromkeys(LETTERS[scheme]))}: give the scheme that the tags have."
        )
    return _SAME_MEANING.get(letter, letter), kind


def _balance_of_iob1(sequences: list[list[str]]) -> int:
    """Number of entities that only IOB1 writes like that, less the number of those that only BIO does."""
    balance = 0
    for tags in sequences:
        before = None
        for span in read_spans(tags):
            follows = before is not None and before.end == span.start and before.type == span.type
            balance += 1 if tags[span.start][0] == "I" else 0 if follows else -1
            before = span
    return balance

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Scores of sequences of tags: entity by entity, token by token, and as the tables that people know.

In all functions references and predictions are sentences of tags, a string a token: `[["B-PER", "O"], ["O"]]`. With
`label_names` they may be ids instead, lists or the rows of an array; tokens whose reference is -100 are left out.
A ratio without a denominator is 0.

Glossary: B sentences, T tokens, K labels.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..data.tag_schemes import infer_scheme, read_spans


Report = dict[str, dict[str, float]]
IGNORED = -100  # id of the positions that are left out
ACCURACY, MICRO, MACRO, WEIGHTED = AVERAGES = "accuracy", "micro avg", "macro avg", "weighted avg"


class _Counts(NamedTuple):
    """How many there are of each kind: in truth, among those found, and among those found that are right."""

    true: Counter
    found: Counter
    right: Counter


def tagging_scores(
    references: Sequence[Sequence],
    predictions: Sequence[Sequence],
    label_names: Sequence[str] | None = None,
    scheme: str | None = None,
) -> dict:
    """
    All scores of a tagger.

    Args:
        references (`Sequence[Sequence]`): True tags, or ids, of B sentences.
        predictions (`Sequence[Sequence]`): Predicted tags, or ids, of as many tokens.
        label_names (`Sequence[str]`, *optional*): Names of the K labels, for ids.
        scheme (`str`, *optional*):
            Scheme of the tags, which the strict reading depends on. Read off the tags and `label_names` by default,
            see [`~tag_schemes.infer_scheme`].

    Returns:
        `dict`: `"overall_accuracy"` of the tokens, and their [`token_report`] under `"tokens"`. Unless the tags are
        plain classes such as parts of speech, `"overall_precision"`, `"overall_recall"` and `"overall_f1"` of the
        entities in conlleval's lenient reading, as seqeval has them; the same as `"strict_precision"` and so on where
        only well-formed entities count; and the two [`entity_report`]s under `"entities"` and `"strict_entities"`.

    Raises:
        `ValueError`: If the two differ in length, an id has no name, or a tag is not one of the scheme.
    """
    references, predictions = _aligned(references, predictions, label_names)
    tokens = token_report(references, predictions)
    scores = {"overall_accuracy": tokens.get(ACCURACY, 0.0)}
    if scheme is None:
        scheme = infer_scheme(references, [*predictions, label_names or []])
    if scheme is not None:
        for prefix, name, strict in (("overall", "entities", False), ("strict", "strict_entities", True)):
            report = entity_report(references, predictions, scheme=scheme, strict=strict)
            for score in ("precision", "recall", "f1"):
                scores[f"{prefix}_{score}"] = report[MICRO]["f1-score" if score == "f1" else score]
            scores[name] = report
    return scores | {"tokens": tokens}


def entity_report(
    references: Sequence[Sequence],
    predictions: Sequence[Sequence],
    label_names: Sequence[str] | None = None,
    *,
    scheme: str | None = None,
    strict: bool = False,
) -> Report:
    """
    Precision, recall and F1 of entities. One is right if its type, its first and its last token are.

    Args:
        references (`Sequence[Sequence]`): True tags, or ids, of B sentences.
        predictions (`Sequence[Sequence]`): Predicted tags, or ids, of as many tokens.
        label_names (`Sequence[str]`, *optional*): Names of the K labels, for ids.
        scheme (`str`, *optional*): Scheme of the tags; the strict reading reads it off them if it is not given.
        strict (`bool`, *optional*, defaults to `False`):
            Whether only well-formed entities count, as in seqeval's strict mode; else all do, as in conlleval. See
            [`~tag_schemes.read_spans`].

    Returns:
        `dict[str, dict[str, float]]`: A row for each type that occurs, by name (`"_"` is the empty one), and the rows
        `"micro avg"`, `"macro avg"` and `"weighted avg"`. A row has `"precision"`, `"recall"`, `"f1-score"` and
        `"support"`, the number of true entities.

    Raises:
        `ValueError`: If the two differ in length, an id has no name, or a tag is not one of the scheme.

    Example:

    ```python
    >>> from hf_lstm.evaluation import entity_report, format_report

    >>> report = entity_report([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "O", "O"]])
    >>> report["micro avg"]
    {'precision': 1.0, 'recall': 0.5, 'f1-score': 0.6666666666666666, 'support': 2}
    ```
    """
    references, predictions = _aligned(references, predictions, label_names)
    if strict and scheme is None:
        scheme = infer_scheme(references, [*predictions, label_names or []])
    counts = _entity_counts(references, predictions, scheme, strict)
    return _report(sorted(counts.true | counts.found), counts)


def token_report(
    references: Sequence[Sequence],
    predictions: Sequence[Sequence],
    label_names: Sequence[str] | None = None,
    *,
    tags: Sequence[str] | None = None,
    micro_avg: bool = False,
) -> Report:
    """
    Precision, recall and F1 of each tag, the dictionary of scikit-learn's `classification_report` over all tokens.

    Args:
        references (`Sequence[Sequence]`): True tags, or ids, of B sentences.
        predictions (`Sequence[Sequence]`): Predicted tags, or ids, of as many tokens.
        label_names (`Sequence[str]`, *optional*): Names of the K labels, for ids.
        tags (`Sequence[str]`, *optional*):
            Tags to report, in this order, for example all but `O`. By default all that occur, sorted.
        micro_avg (`bool`, *optional*, defaults to `False`):
            Whether the average over tokens is always a row `"micro avg"`. By default it is, as in scikit-learn, the
            number `"accuracy"` where all tags are reported: precision, recall and F1 are then equal to it.

    Returns:
        `dict[str, dict[str, float]]`: A row for each tag, then `"accuracy"` (a number) or `"micro avg"`,
        `"macro avg"` and `"weighted avg"`. A row has `"precision"`, `"recall"`, `"f1-score"` and `"support"`.

    Raises:
        `ValueError`: If the two differ in length or an id has no name.
    """
    references, predictions = _aligned(references, predictions, label_names)
    counts = _token_counts(references, predictions)
    present = sorted(counts.true | counts.found)
    tags = present if tags is None else tags
    report = _report(tags, counts)
    if micro_avg or not present or not set(present).issubset(tags):
        return report
    accuracy = {ACCURACY: report.pop(MICRO)["f1-score"]}
    return {tag: report.pop(tag) for tag in tags} | accuracy | report


def format_report(report: Report, digits: int = 2) -> str:
    """
    A report as a table of text, in the format of scikit-learn and seqeval.

    Args:
        report (`dict[str, dict[str, float]]`): What [`token_report`] or [`entity_report`] returned.
        digits (`int`, *optional*, defaults to 2): Digits behind the point.

    Returns:
        `str`: The table; every line ends with a line feed.
    """
    width = max(digits, *map(len, report))
    lines = [_line("", _COLUMNS, width), ""]
    lines += [_line(name, _cells(row, digits), width) for name, row in report.items() if name not in AVERAGES]
    lines.append("")
    for name, row in report.items():
        if name == ACCURACY:
            lines.append(_line(name, ["", "", f"{row:.{digits}f}", report[WEIGHTED]["support"]], width))
        elif name in AVERAGES:
            lines.append(_line(name, _cells(row, digits), width))
    return "".join(line + "\n" for line in lines)


def format_scores(scores: dict) -> str:
    """
    The scores of a tagger as text: the table of tokens, and where tags have a scheme that of entities and their F1.

    Args:
        scores (`dict`): What [`tagging_scores`] returned.

    Returns:
        `str`: The tables, with an empty line after each.
    """
    parts = [format_report(scores["tokens"])]
    if "entities" in scores:
        parts.append(format_report(scores["entities"]))
        parts.append(f"F1 of entities {scores['overall_f1']:.2%}, of well-formed entities {scores['strict_f1']:.2%}")
    return "\n".join(parts)


def _aligned(
    references: Sequence[Sequence], predictions: Sequence[Sequence], label_names: Sequence[str] | None = None
) -> tuple[list[list[str]], list[list[str]]]:
    """
    The tags of the positions that count, as names.

    Args:
        references (`Sequence[Sequence]`): True tags, or ids, of B sentences.
        predictions (`Sequence[Sequence]`): Predicted tags, or ids, of as many tokens.
        label_names (`Sequence[str]`, *optional*): Names of the K labels, for ids.

    Returns:
        `tuple`: References and predictions, without the positions where the reference is -100.

    Raises:
        `ValueError`: If the two differ in length, or an id has no name.
    """
    if len(references) != len(predictions):
        raise ValueError(
            f"`predictions` has {len(predictions)} sentences and `references` {len(references)}: give one for each."
        )
    kept = ([], [])
    for i, rows in enumerate(zip(references, predictions, strict=True)):
        reference, prediction = (row.tolist() if hasattr(row, "tolist") else list(row) for row in rows)
        if len(reference) != len(prediction):
            raise ValueError(
                f"`predictions` has {len(prediction)} tokens in sentence {i} and `references` {len(reference)}: "
                "give a tag for each token."
            )
        counted = [t for t, tag in enumerate(reference) if tag != IGNORED]
        kept[0].append([_name(reference[t], "references", label_names) for t in counted])
        kept[1].append([_name(prediction[t], "predictions", label_names) for t in counted])
    return kept


_COLUMNS = ("precision", "recall", "f1-score", "support")


def _name(tag: str | int, argument: str, label_names: Sequence[str] | None) -> str:
    if isinstance(tag, str):
        return tag
    if label_names is None:
        raise ValueError(f"`{argument}` has the id {tag}: give names of tags, or `label_names` to find them by.")
    if not 0 <= tag < len(label_names):
        raise ValueError(
            f"`{argument}` has the id {tag} and `label_names` {len(label_names)} names: every id needs one, and a "
            f"position to leave out has {IGNORED} among the references."
        )
    return label_names[tag]


def _entity_counts(references: list[list[str]], predictions: list[list[str]], scheme, strict: bool) -> _Counts:
    counts = _Counts(Counter(), Counter(), Counter())
    for tags in zip(references, predictions, strict=True):
        expected, actual = (read_spans(row, scheme, strict) for row in tags)
        for counter, spans in zip(counts, (expected, actual, set(expected).intersection(actual)), strict=True):
            counter.update(span.type or "_" for span in spans)
    return counts


def _token_counts(references: list[list[str]], predictions: list[list[str]]) -> _Counts:
    counts = _Counts(Counter(), Counter(), Counter())
    for expected, actual in zip(references, predictions, strict=True):
        counts.true.update(expected)
        counts.found.update(actual)
        counts.right.update(a for a, b in zip(expected, actual, strict=True) if a == b)
    return counts


def _report(kinds: Sequence[str], counts: _Counts) -> Report:
    """A row for each kind and the three averages over them."""
    rows = {kind: _row(*(counter[kind] for counter in counts)) for kind in kinds}
    support = sum(row["support"] for row in rows.values())

    def average(weights: dict[str, float]) -> dict[str, float]:
        means = {
            name: _ratio(sum(weights[kind] * rows[kind][name] for kind in rows), sum(weights.values()))
            for name in _COLUMNS[:3]
        }
        return means | {"support": support}

    return rows | {
        MICRO: _row(*(sum(counter[kind] for kind in rows) for counter in counts)),
        MACRO: average(dict.fromkeys(rows, 1)),
        WEIGHTED: average({kind: row["support"] for kind, row in rows.items()}),
    }


def _row(true: int, found: int, right: int) -> dict[str, float]:
    return {
        "precision": _ratio(right, found),
        "recall": _ratio(right, true),
        "f1-score": _ratio(2 * right, true + found),
        "support": true,
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def _cells(row: dict[str, float], digits: int) -> list:
    return [*(f"{row[column]:.{digits}f}" for column in _COLUMNS[:3]), row["support"]]


def _line(name: str, cells: Sequence, width: int) -> str:
    return f"{name:>{width}} " + "".join(f" {cell:>9}" for cell in cells)

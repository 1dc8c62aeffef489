# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Names of labels: their order, whether there can be so many, and the features of `datasets` that they become."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from datasets import ClassLabel, Dataset, Features, Value
from datasets import Sequence as SequenceFeature
from transformers.utils import logging

from ..models.text_inputs import TextInputs


MANY, MOST = 100, 1000  # labels that may be looked at twice, and such that cost much
RARE_SHARE = 0.4  # of many labels, those that occur once: words have half, the largest sets of labels a third

logger = logging.get_logger(f"transformers.{__name__}")


def label_names(found: Iterable[str], declared: Iterable[Sequence[str]] = ()) -> list[str]:
    """The names of labels: those that a `ClassLabel` has in its order; others sorted, `O` first, integers by value."""
    names = dict.fromkeys(name for each in declared for name in each)
    rest = set(found) - names.keys()
    numbers = all(re.fullmatch(r"-?\d+", name, re.ASCII) for name in rest)
    return [*names, *sorted(rest, key=lambda name: (name != "O", int(name) if numbers else 0, name))]


def check_labels(counts: Counter, source: str, remedy: str, refuse: bool = True) -> None:
    """Refuse what was read for labels if it is as various as words are, and speak of a number that costs much."""
    once = sum(count == 1 for count in counts.values())
    if len(counts) > MANY and once > RARE_SHARE * len(counts):
        message = (
            f"{source}: {len(counts):,} labels, {once:,} of which occur once, such as "
            f"{min(counts, key=counts.get)!r}, look like words. {remedy}"
        )
        if refuse:
            raise ValueError(message)
        logger.warning(message)
    elif len(counts) > MOST:
        logger.warning(
            f"{source}: {len(counts):,} labels, and a CRF has a weight for each of their {len(counts) ** 2:,} pairs. "
            f"{remedy}"
        )


def say_unseen(counts: Mapping[str, Counter], argument: str) -> None:
    """Say which labels no training row has, by the counts of each split: nothing can be learnt of them."""
    for split, count in counts.items():
        if unseen := [name for name in count if name not in counts["train"]]:
            logger.warning(
                f"`{argument}` has {len(unseen)} label(s) in the {split} data that no training row has, such as "
                f"{unseen[0]!r} ({count[unseen[0]]} times): no model can learn them. Are they misspelt?"
            )


def without_labels(dataset: Dataset) -> Dataset:
    """The inputs of a model alone: neither labels nor the text that they were made of."""
    return dataset.select_columns([name for name in dataset.column_names if name in TextInputs._fields])


def tagged_dataset(split: Mapping[str, list], names: Mapping[str, list[str]]) -> Dataset:
    """A split of sentences, its tags as numbers under the names of each column."""
    ids = {column: {name: i for i, name in enumerate(labels)} for column, labels in names.items()}
    columns = {column: [[ids[column][tag] for tag in tags] for tags in split[column]] for column in names}
    features = {column: SequenceFeature(ClassLabel(names=labels)) for column, labels in names.items()}
    return Dataset.from_dict(
        {"tokens": split["tokens"], **columns}, features=Features(tokens=SequenceFeature(Value("string")), **features)
    )


def class_labels(
    splits: Mapping[str, Mapping[str, list]], declared: Iterable[Sequence[str]] = (), several: bool = False
) -> dict[str, Dataset]:
    """The splits, texts with a label or with `several`, with ids for the names of labels."""
    lists = [label if several else [label] for rows in splits.values() for label in rows["label"]]
    names = label_names((name for label in lists for name in label), declared)
    ids = {name: i for i, name in enumerate(names)}
    feature = ClassLabel(names=names)
    features = Features(text=Value("string"), label=SequenceFeature(feature) if several else feature)
    return {
        split: Dataset.from_dict(
            {
                "text": rows["text"],
                "label": [[ids[part] for part in label] if several else ids[label] for label in rows["label"]],
            },
            features=features,
        )
        for split, rows in splits.items()
    }

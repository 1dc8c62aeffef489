# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Names of labels turned into the features of `datasets`."""

from collections.abc import Iterable, Mapping

from datasets import ClassLabel, Dataset, Features, Value
from datasets import Sequence as SequenceFeature


def label_names(splits: Iterable[list[list[str]]]) -> list[str]:
    """The names that occur in sentences of tags, sorted, `O` first."""
    names = {tag for split in splits for tags in split for tag in tags}
    return sorted(names, key=lambda name: (name != "O", name))


def tagged_dataset(split: Mapping[str, list], names: Mapping[str, list[str]]) -> Dataset:
    """A split of sentences, its tags as numbers under the names of each column."""
    ids = {column: {name: i for i, name in enumerate(labels)} for column, labels in names.items()}
    columns = {column: [[ids[column][tag] for tag in tags] for tags in split[column]] for column in names}
    features = {column: SequenceFeature(ClassLabel(names=labels)) for column, labels in names.items()}
    return Dataset.from_dict(
        {"tokens": split["tokens"], **columns}, features=Features(tokens=SequenceFeature(Value("string")), **features)
    )


def class_labels(splits: Mapping[str, Dataset]) -> dict[str, Dataset]:
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

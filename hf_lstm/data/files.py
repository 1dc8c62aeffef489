# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the loaders share: reading files and datasets of the Hub, and holding out a share."""

import csv
import gzip
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from datasets import Dataset, IterableDataset, concatenate_datasets, load_dataset


# The loaders of `datasets`, by the extension of a file.
ROW_LOADERS = {"json": "json", "jsonl": "json", "csv": "csv", "tsv": "csv", "parquet": "parquet"}
LOADERS = ROW_LOADERS | {"txt": "text", "tokens": "text", "raw": "text"}  # .tokens and .raw are those of WikiText
HELD_OUT = 0.1  # share of the documents that are held out where no validation data is given


def files_by_split(train_file, validation_file, test_file, dataset_name: str | None) -> dict:
    """
    The files that are given, by their splits.

    Raises:
        `ValueError`: If there are files beside a name on the Hub, or files without one to train on.
    """
    files = {"train": train_file, "validation": validation_file, "test": test_file}
    files = {split: path for split, path in files.items() if path is not None}
    if files and dataset_name is not None:
        raise ValueError(f"`dataset_name` is {dataset_name!r} and files are given, {files}: give one of the two.")
    if files and "train" not in files:
        raise ValueError(f"`train_file` is None where other files are given, {files}: name a file to train on.")
    return files


def read_splits(
    files: Mapping[str, str | os.PathLike | Sequence[str | os.PathLike]],
    dataset_name: str | None,
    dataset_config_name: str | None = None,
    sample_by: str = "line",
    streaming: bool = False,
) -> dict[str, Dataset | IterableDataset]:
    """The splits of files with rows, of which there can be several for a split, or of a dataset of the Hub."""
    if dataset_name is None:
        paths = {split: [path] if isinstance(path, (str, os.PathLike)) else path for split, path in files.items()}
        return {
            split: concatenate_datasets([_read_rows(path, f"{split}_file", sample_by, streaming) for path in several])
            for split, several in paths.items()
        }
    splits = load_dataset(dataset_name, dataset_config_name, streaming=streaming)
    if "train" not in splits:
        raise ValueError(f"`dataset_name` {dataset_name!r} has the splits {list(splits)}: it has to have 'train'.")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def _read_rows(path: str | os.PathLike, argument: str, sample_by: str, streaming: bool) -> Dataset | IterableDataset:
    path = Path(path)
    loader = LOADERS.get(extension(path))
    if loader is None:
        raise ValueError(f"`{argument}` is {str(path)!r}: its name has to end in one of {', '.join(LOADERS)}.")
    if not path.is_file():
        raise ValueError(f"`{argument}` is {str(path)!r}, which is not a file: check the path.")
    options = {"sample_by": sample_by} if loader == "text" else {}
    if extension(path) == "tsv":
        options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    return load_dataset(loader, data_files=str(path), split="train", streaming=streaming, **options)


def hold_out(dataset: Dataset, shuffle: bool) -> tuple[Dataset, Dataset]:
    """Nine tenths of the rows to train on, and one to evaluate on."""
    if len(dataset) < 2:
        raise ValueError(
            f"`validation_file` is None, and {len(dataset)} row of training data cannot be split: name a file, or cut "
            'one of text into more rows with `sample_by="line"` or `"paragraph"`.'
        )
    halves = dataset.train_test_split(test_size=HELD_OUT, shuffle=shuffle, seed=0)
    return halves["train"], halves["test"]


def extension(path: str | os.PathLike) -> str:
    """The last one, before that of a gzipped file: "csv" for a.csv.gz."""
    return Path(os.fspath(path).removesuffix(".gz")).suffix.lstrip(".").lower()


def read_lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines end at a line feed only: other characters that Python takes for one, as U+0085, may be tokens."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with (gzip.open if zipped else open)(path, "rt", encoding=encoding, newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")

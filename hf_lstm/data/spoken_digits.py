# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Spoken digits that come with the package, see `spoken_digits.md`: a toy to learn to recognise."""

import csv
import io
from pathlib import Path

from datasets import Audio, Dataset, DatasetDict

from .files import hold_out
from .sound import read_sound, wav_of


NAME = "spoken_digits"


def spoken_digits() -> DatasetDict:
    """
    240 digits of six speakers, from the Free Spoken Digit Dataset, under CC BY-SA 4.0.

    Returns:
        `DatasetDict`: `"train"` (162), `"validation"` (18) and `"test"` (60), with the columns `"audio"` (an `Audio`
        that is not decoded, of 8 kHz) and `"text"`, a digit in words.

    Raises:
        `ImportError`: If soundfile is not installed.
    """
    samples, rate = read_sound(Path(__file__).with_name(f"{NAME}.ogg"))
    table = Path(__file__).with_name(f"{NAME}.tsv").read_text(encoding="utf-8")
    splits = {"train": [], "test": []}
    for row in csv.DictReader(io.StringIO(table), delimiter="\t"):
        start, number = int(row["start"]), int(row["samples"])
        sound = {"path": f"{row['recording']}.wav", "bytes": wav_of(samples[start : start + number], rate)}
        splits[row["split"]].append({"audio": sound, "text": row["text"]})
    found = {name: Dataset.from_list(rows).cast_column("audio", Audio(decode=False)) for name, rows in splits.items()}
    train, validation = hold_out(found["train"], shuffle=True)
    return DatasetDict(train=train, validation=validation, test=found["test"])

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Sounds and what is said in them, to train recognisers on. Dimensions as in `feature_extraction_speech.py`: N frames, M
features of a frame; U labels.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Audio, Dataset, DatasetDict
from torch.utils.data import Dataset as TorchDataset
from transformers.utils import logging

from ..models.ctc import steps_needed
from ..models.feature_extraction_speech import RecurrentFeatureExtractor
from ..models.processing_speech import RecurrentSpeechProcessor
from .files import ROW_FILES, extension, files_by_split, hold_out
from .rows import rows_of_file, say_left_out, splits_of_hub, text_of
from .sound import read_frames, read_sound
from .spoken_digits import spoken_digits


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


def load_speech(
    train_file: str | os.PathLike | None = None,
    validation_file: str | os.PathLike | None = None,
    test_file: str | os.PathLike | None = None,
    *,
    dataset_name: str | None = None,
    dataset_config_name: str | None = None,
    audio_column: str = "audio",
    text_column: str = "text",
    separator: str | None = None,
    encoding: str = "utf-8",
) -> DatasetDict:
    """
    Sounds and texts to train and to evaluate on: from tables, from the Hub, or [`spoken_digits`] where neither is
    named. Without validation data a tenth of the training sounds, drawn at random, is held out. Sounds without a text
    are left out, which is said; an empty text says that nobody speaks.

    Args:
        train_file (`str` or `os.PathLike`, *optional*):
            A table with names of columns: csv, tsv, json, jsonl or parquet. Names of files are relative to its folder.
        validation_file (`str` or `os.PathLike`, *optional*): The same for choosing an epoch.
        test_file (`str` or `os.PathLike`, *optional*): The same for the final score.
        dataset_name (`str`, *optional*): Name of a dataset on the Hub, or its folder, instead of tables.
        dataset_config_name (`str`, *optional*): Configuration of that dataset.
        audio_column (`str`, *optional*, defaults to `"audio"`):
            Column that names the file of a sound, of any kind that [`read_sound`] reads; or of features, as
            [`read_frames`] does. In a dataset it is of type `Audio`, too.
        text_column (`str`, *optional*, defaults to `"text"`): Column of what is said.
        separator (`str`, *optional*): What stands between cells of a csv or tsv.
        encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of the tables.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and, where it is given, `"test"`, with the columns
        `"audio"` (an `Audio` that is not decoded: `"path"` and `"bytes"`) and `"text"`.

    Raises:
        `ValueError`: If a table, a column, the training split or a file that a table names is missing. The message
            has the table and the line.
    """
    files = files_by_split(train_file, validation_file, test_file, dataset_name)
    if dataset_name is None and not files:
        return spoken_digits()
    columns = {"audio_column": audio_column, "text_column": text_column}
    if dataset_name is not None:
        splits = splits_of_hub(dataset_name, dataset_config_name)
        splits = {split: _of_dataset(rows, split, columns) for split, rows in splits.items()}
    else:
        splits = {
            split: _of_table(path, f"{split}_file", columns, separator, encoding) for split, path in files.items()
        }
    if "validation" not in splits:
        splits["train"], splits["validation"] = hold_out(splits["train"], shuffle=True)
    return DatasetDict({split: splits[split] for split in ("train", "validation", "test") if split in splits})


def _of_table(path, argument: str, columns: dict[str, str], separator: str | None, encoding: str) -> Dataset:
    if extension(path) not in ROW_FILES:
        raise ValueError(f"`{argument}` is {str(path)!r}: give a table of type {', '.join(ROW_FILES)}.")
    rows = rows_of_file(path, argument, columns, encoding, separator)
    folder, sounds, missing = Path(path).parent, {"audio": [], "text": []}, []
    for place, name, text in zip(rows.places, rows.cells["audio_column"], rows.cells["text_column"], strict=True):
        text = text_of(text, rows.source, place)
        if text is None or name is None:
            missing.append(place)
            continue
        if isinstance(name, dict):  # of a parquet file that datasets wrote
            sound = {"path": name.get("path"), "bytes": name.get("bytes")}
        else:
            sound = {"path": str(folder / str(name)), "bytes": None}
        if sound["bytes"] is None and not Path(sound["path"] or "").is_file():
            raise ValueError(
                f"{rows.source}, {place}: there is no file {str(sound['path'])!r}. Names are relative to the folder "
                "of the table; name another `audio_column`, or correct the line."
            )
        sounds["audio"].append(sound)
        sounds["text"].append(text)
    say_left_out(rows, "a sound or a text", missing)
    return Dataset.from_dict(sounds).cast_column("audio", Audio(decode=False))


def _of_dataset(rows: Dataset, split: str, columns: dict[str, str]) -> Dataset:
    for argument, name in columns.items():
        if name not in rows.column_names:
            raise ValueError(f"`{argument}` is {name!r}, but the {split} data has {rows.column_names}: name one.")
    rows = rows.select_columns(list(columns.values()))
    for argument, name in columns.items():
        if name != argument.removesuffix("_column"):
            rows = rows.rename_column(name, argument.removesuffix("_column"))
    return rows.cast_column("audio", Audio(decode=False))


def encode_speech(
    dataset: Dataset, processor: RecurrentSpeechProcessor, split: str = "train", num_proc: int | None = None
) -> Dataset:
    """
    Frames of sounds and labels of texts. Sounds that are too short for their labels are left out of training data,
    which is said, and characters that the tokenizer does not have are counted.

    Args:
        dataset (`Dataset`): A split of [`load_speech`].
        processor ([`RecurrentSpeechProcessor`]): Its feature extractor makes the frames, its tokenizer the labels.
        split (`str`, defaults to `"train"`): What it is of: nothing is left out of others.
        num_proc (`int`, *optional*): Processes that work at it.

    Returns:
        `Dataset`: `"frames"` of shape `(N, feature_size)`, not normalised, `"labels"`, `"text"` and `"seconds"`.

    Raises:
        `ValueError`: If no sound is left.
    """
    extractor, tokenizer = processor.feature_extractor, processor.tokenizer

    def encode(row: dict[str, Any]) -> dict[str, Any]:
        frames, seconds = frames_of(row["audio"], extractor)
        labels = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        return {"frames": frames, "labels": labels, "seconds": seconds, "text": row["text"]}

    encoded = dataset.map(encode, remove_columns=dataset.column_names, num_proc=num_proc, desc="Reading sounds")
    unknown = Counter(
        character
        for text, labels in zip(encoded["text"], encoded["labels"], strict=True)
        if tokenizer.unk_token_id in labels
        for character in text
        if tokenizer.unk_token_id in tokenizer(character, add_special_tokens=False)["input_ids"]
    )
    if unknown:
        logger.warning(
            f"The {split} data have {sum(unknown.values()):,} characters that the tokenizer does not have: "
            f"{', '.join(f'{each!r} ({number:,})' for each, number in unknown.most_common(10))}."
        )
    if split != "train":
        return encoded
    kept = encoded.filter(lambda row: _fits(row, extractor.frame_stacking))
    return _left_out(encoded, kept, "for what is said in them")


def encode_sounds(
    dataset: Dataset,
    extractor: RecurrentFeatureExtractor,
    label_names: Sequence[str],
    split: str = "train",
    num_proc: int | None = None,
) -> Dataset:
    """
    Frames of sounds and the labels that their texts are.

    Args:
        dataset (`Dataset`): A split of [`load_speech`].
        extractor ([`RecurrentFeatureExtractor`]): Makes the frames.
        label_names (`Sequence[str]`): Names of the K labels, in the order of their ids.
        split (`str`, defaults to `"train"`): What it is of: sounds too short for a step are left out of training.
        num_proc (`int`, *optional*): Processes that work at it.

    Returns:
        `Dataset`: `"frames"` of shape `(N, feature_size)`, not normalised, `"labels"`, a number, and `"seconds"`.

    Raises:
        `ValueError`: For a label that is not among the names, or if no sound is left.
    """
    ids = {name: i for i, name in enumerate(label_names)}
    if unknown := sorted(set(dataset["text"]) - ids.keys()):
        raise ValueError(f"The {split} data have the label {unknown[0]!r}, which the training data do not have.")

    def encode(row: dict[str, Any]) -> dict[str, Any]:
        frames, seconds = frames_of(row["audio"], extractor)
        return {"frames": frames, "labels": ids[row["text"]], "seconds": seconds}

    encoded = dataset.map(encode, remove_columns=dataset.column_names, num_proc=num_proc, desc="Reading sounds")
    if split != "train":
        return encoded
    return _left_out(encoded, encoded.filter(lambda row: len(row["frames"]) >= extractor.frame_stacking), "for a step")


def _left_out(rows: Dataset, kept: Dataset, why: str) -> Dataset:
    """The rows that are kept, and a word of the others."""
    if lost := len(rows) - len(kept):
        logger.warning(
            f"{lost:,} of {len(rows):,} sounds of the training data are left out: they are too short {why}."
        )
    if not len(kept):
        raise ValueError(f"No sound of the training data is long enough {why}: look at the data.")
    return kept


def _fits(row: dict[str, Any], stacking: int) -> bool:
    labels = torch.tensor([row["labels"]], dtype=torch.long)
    return int(steps_needed(labels, torch.tensor([labels.shape[1]]))[0]) <= len(row["frames"]) // stacking


def frames_of(sound: dict[str, Any], extractor: RecurrentFeatureExtractor) -> tuple[np.ndarray, float]:
    """Frames of an `Audio` that is not decoded, (N, feature_size), and its seconds."""
    given = sound["bytes"] if sound.get("bytes") is not None else sound["path"]
    if not isinstance(given, bytes) and (frames := read_frames(given)) is not None:
        if frames.shape[1] != extractor.feature_size:
            raise ValueError(
                f"{str(given)!r} has frames of {frames.shape[1]} features, but `feature_size` of the feature "
                f"extractor is {extractor.feature_size}. Give it the size of the frames."
            )
        return frames, len(frames) * extractor.hop_length / extractor.sampling_rate
    samples, rate = read_sound(given, extractor.sampling_rate)
    return extractor.frames_of(samples), len(samples) / rate


class SpeechRows(TorchDataset):
    """
    What a model reads of rows of [`encode_speech`] or [`encode_sounds`], drawn anew each time where training changes
    them.

    Args:
        dataset (`Dataset`): The rows.
        processor ([`RecurrentSpeechProcessor`] or [`RecurrentFeatureExtractor`]): Normalises and stacks the frames.
        speed (`float`, defaults to 0.0): Play each sound faster or slower, by a factor from 1 / (1 + speed) to
            1 + speed (Ko et al. 2015): frames are interpolated.
        join (`int`, defaults to 1): Put up to so many sounds one after the other, as many as are drawn: a model of
            short sounds learns to hear where words end. Of texts alone.

    Raises:
        `ValueError`: For a value out of range.

    Example:

    ```python
    >>> rows = SpeechRows(encode_speech(splits["train"], processor), processor, speed=0.15)  # doctest: +SKIP
    >>> rows[0]["input_features"].shape  # doctest: +SKIP
    (32, 240)
    ```
    """

    def __init__(
        self,
        dataset: Dataset,
        processor: RecurrentSpeechProcessor | RecurrentFeatureExtractor,
        speed: float = 0.0,
        join: int = 1,
    ):
        if not 0 <= speed < 1:
            raise ValueError(f"`speed` must be at least 0 and less than 1, got {speed!r}.")
        tokenizer = getattr(processor, "tokenizer", None)
        if join < 1 or (join > 1 and tokenizer is None):
            raise ValueError(f"`join` must be a whole number of at least 1, and 1 for labels, got {join!r}.")
        self.frames = [np.asarray(frames, np.float32) for frames in dataset.with_format("numpy")["frames"]]
        self.labels, self.speed, self.join = list(dataset["labels"]), speed, join
        self.extractor = getattr(processor, "feature_extractor", processor)
        self.delimiter = None if tokenizer is None else tokenizer.word_delimiter_token_id

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, i: int) -> dict[str, Any]:
        number = 1 + int(torch.randint(self.join, ())) if self.join > 1 else 1
        chosen = [i, *torch.randint(len(self), (number - 1,)).tolist()]
        frames = np.concatenate([self._at_some_speed(self.frames[k]) for k in chosen])
        labels = self.labels[i]
        for k in chosen[1:]:
            labels = [*labels, *[self.delimiter] * bool(labels), *self.labels[k]]
        return {"input_features": self.extractor.step(frames=frames)[0], "labels": labels}

    def _at_some_speed(self, frames: np.ndarray) -> np.ndarray:
        """Frames (N, M) at a speed drawn at random."""
        if not self.speed or len(frames) < 2:
            return frames
        factor = (1 + self.speed) ** (2 * float(torch.rand(())) - 1)
        places = np.arange(0, len(frames) - 1, factor, dtype=np.float64)
        left = places.astype(np.int64)
        share = (places - left).astype(np.float32)[:, None]
        return frames[left] * (1 - share) + frames[left + 1] * share


class DataCollatorForSpeech:
    """
    Pads rows with `input_features` and `labels`, which are numbers or lists; the latter are padded with -100.

    Args:
        processor ([`RecurrentSpeechProcessor`] or [`RecurrentFeatureExtractor`]): Of the model.
    """

    def __init__(self, processor: RecurrentSpeechProcessor | RecurrentFeatureExtractor):
        self.extractor = getattr(processor, "feature_extractor", processor)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        features = [{"input_features": row["input_features"]} for row in rows]
        labels = [torch.tensor(row["labels"], dtype=torch.long) for row in rows]
        batch = dict(self.extractor.pad(features, padding=True, return_tensors="pt"))
        if not labels[0].ndim:
            return batch | {"labels": torch.stack(labels)}
        return batch | {"labels": torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)}


__all__ = ["DataCollatorForSpeech", "SpeechRows", "encode_sounds", "encode_speech", "frames_of", "load_speech"]

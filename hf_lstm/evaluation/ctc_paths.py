# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Where labels stand in time: what greedy decoding, the search and the alignment return.

Glossary: B batch, T steps, V labels with the blank, U labels of a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


REDUCE = {"mean": np.mean, "min": np.min, "product": np.prod}


class TimedText(NamedTuple):
    """A word or a character: what it is, when it begins and ends in seconds, and how certain it is, 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class LabelPath:
    """
    One way through the steps.

    Args:
        labels (`tuple[int, ...]`): The labels, U of them, without blanks and repetitions.
        first, last (`tuple[int, ...]`): The first and the last step at which each is heard.
        confidence (`tuple[float, ...]`): The mean of its probability over these steps.
        log_prob (`float`): log p of the path.

    Example:

    ```python
    >>> from hf_lstm.evaluation.ctc_paths import LabelPath

    >>> path = LabelPath((1, 2, 3, 1), first=(0, 3, 5, 8), last=(1, 3, 5, 9), confidence=(0.5, 1, 1, 1), log_prob=-1.0)
    >>> path.text(["", "a", "b", "|"], delimiter="|")
    'ab a'
    >>> [word.text for word in path.words(["", "a", "b", "|"], delimiter="|", seconds_per_step=0.03)]
    ['ab', 'a']
    ```
    """

    labels: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]
    confidence: tuple[float, ...]
    log_prob: float

    def text(self, spelling: Sequence[str], delimiter: str | None = "|") -> str:
        """
        Args:
            spelling (`Sequence[str]`): What each of the V labels is written as.
            delimiter (`str`, *optional*, defaults to `"|"`): The spelling of what stands between words.
        """
        written = [spelling[label] for label in self.labels]
        return " ".join("".join(" " if each == delimiter else each for each in written).split())

    def words(
        self,
        spelling: Sequence[str],
        delimiter: str | None = "|",
        seconds_per_step: float = 1.0,
        seconds_of_step: float | None = None,
        reduce: str = "mean",
    ) -> list[TimedText]:
        """
        Words with times.

        Args:
            spelling (`Sequence[str]`): What each of the V labels is written as.
            delimiter (`str`, *optional*, defaults to `"|"`): The spelling of what stands between words; `None` where
                nothing does: all is one word.
            seconds_per_step (`float`, *optional*, defaults to 1.0): From the beginning of a step to that of the next.
            seconds_of_step (`float`, *optional*): How much sound a step reads, where frames overlap. A step then
                stands for the `seconds_per_step` in the middle of what it reads.
            reduce (`str`, *optional*, defaults to `"mean"`): How the confidences of labels become that of their word:
                `"mean"`, `"min"`, or `"product"`.

        Returns:
            `list[TimedText]`: In the order of time.

        Raises:
            `ValueError`: For another `reduce`, or times that are not above 0.
        """
        if reduce not in REDUCE:
            raise ValueError(f"`reduce` is {reduce!r}: give one of {', '.join(REDUCE)}.")
        seconds_of_step = seconds_per_step if seconds_of_step is None else seconds_of_step
        if not (seconds_per_step > 0 and seconds_of_step > 0):
            raise ValueError(
                f"`seconds_per_step` is {seconds_per_step} and `seconds_of_step` {seconds_of_step}: give more than 0."
            )
        shift = (seconds_of_step - seconds_per_step) / 2
        found, word = [], []
        for u in [*range(len(self.labels)), None]:
            if u is not None and spelling[self.labels[u]] != delimiter:
                word.append(u)
            elif word:
                text = "".join(spelling[self.labels[i]] for i in word)
                start = self.first[word[0]] * seconds_per_step + shift
                end = (self.last[word[-1]] + 1) * seconds_per_step + shift
                confidence = float(REDUCE[reduce]([self.confidence[i] for i in word]))
                found.append(TimedText(text, start, end, confidence))
                word = []
        return found

    def characters(
        self, spelling: Sequence[str], seconds_per_step: float = 1.0, seconds_of_step: float | None = None
    ) -> list[TimedText]:
        """Each label with times, the delimiter too; arguments as of [`~LabelPath.words`]."""
        found = []
        for row in zip(self.labels, self.first, self.last, self.confidence, strict=True):
            one = LabelPath(*((value,) for value in row), log_prob=self.log_prob)
            found += one.words(spelling, None, seconds_per_step, seconds_of_step)
        return found


def log_prob_rows(log_probs: Any, lengths: Any = None, name: str = "log_probs") -> tuple[np.ndarray, np.ndarray]:
    """
    Log-probabilities as one kind of array.

    Args:
        log_probs (`np.ndarray` or `torch.Tensor` of shape `(B, T, V)` or `(T, V)`): Natural logarithms.
        lengths (`Sequence[int]`, *optional*): How many steps of each row are real; all by default.

    Returns:
        `tuple`: Double precision, (B, T, V), and lengths, (B,).

    Raises:
        `ValueError`: For other shapes, lengths that do not fit, NaN at a real step, or values above 0: those of a
            model before its softmax.
    """
    if hasattr(log_probs, "detach"):
        log_probs = log_probs.detach().double().cpu().numpy()
    values = np.asarray(log_probs, dtype=np.float64)
    if values.ndim not in (2, 3) or not values.shape[-1]:
        raise ValueError(f"`{name}` has the shape {values.shape}: give (T, V), or (B, T, V).")
    values = values[None] if values.ndim == 2 else values
    rows, steps, _ = values.shape
    if hasattr(lengths, "detach"):
        lengths = lengths.detach().cpu().numpy()
    lengths = np.full(rows, steps) if lengths is None else np.atleast_1d(np.asarray(lengths, dtype=np.int64))
    if lengths.shape != (rows,) or (lengths < 0).any() or (lengths > steps).any():
        raise ValueError(f"`lengths` is {lengths.tolist()}: give {rows} numbers from 0 to {steps}.")
    if rows and steps:
        real = np.arange(steps) < lengths[:, None]
        highest = np.where(real, values.max(-1), -np.inf)  # NaN where there is one
        if not (highest.max() <= 1e-3):
            row, step = np.argwhere(~(highest <= 1e-3))[0]
            raise ValueError(
                f"`{name}` has {highest[row, step]:.3g} in row {row} at step {step}, and a logarithm of a probability "
                "is at most 0: give `logits.log_softmax(-1)`."
            )
    return values, lengths


__all__ = ["LabelPath", "TimedText", "log_prob_rows"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
When the labels of a known text are heard: the best path through connectionist temporal classification (Graves et al.
2006), and the probability of each label at each step.

The labels with a blank before, between and behind them are S = 2 U + 1 positions, of which the even ones are blanks.
A path stays at its position, goes on to the next one, or leaves a blank out between two different labels.

Glossary: B batch, T steps, V labels with the blank, U labels of a text, S positions.
"""

from typing import Any, NamedTuple

import numpy as np

from .ctc_paths import LabelPath, log_prob_rows


def forced_alignment(
    log_probs: Any,
    labels: Any,
    lengths: Any = None,
    label_lengths: Any = None,
    blank: int = 0,
    log_prior: Any = None,
) -> LabelPath | list[LabelPath]:
    """
    The most probable path that spells the labels (Viterbi 1967).

    Args:
        log_probs (`np.ndarray` or `torch.Tensor` of shape `(T, V)` or `(B, T, V)`): Logarithms of probabilities.
        labels (`Sequence[int]`, or shape `(B, U)`): The labels, without blanks; rows padded with -100, or lists.
        lengths (shape `(B,)`, *optional*): How many steps of each row are real.
        label_lengths (shape `(B,)`, *optional*): How many labels of each row count; all that are not -100 by default.
        blank (`int`, *optional*, defaults to 0): The label of nothing.
        log_prior (shape `(V,)`, *optional*): Taken from `log_probs` before the search, as in training with priors of
            labels (Huang et al. 2024, "Less Peaky and More Accurate CTC Forced Alignment by Label Priors"): the
            logarithms of the priors, times their weight.

    Returns:
        `LabelPath` or `list[LabelPath]`: A path for each row; for `log_probs` of shape `(T, V)` the one. Its
        `confidence` and `log_prob` are those of `log_probs`, whatever the prior.

    Raises:
        `ValueError`: For labels that need more steps than there are, that are blank or outside the V, or to which no
            path of a probability above 0 leads.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lstm.evaluation.forced_alignment import forced_alignment

    >>> probs = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]])
    >>> path = forced_alignment(np.log(probs), [1, 2])
    >>> path.first, path.last
    ((1, 3), (2, 3))
    ```
    """
    rows = _Rows.of(log_probs, labels, lengths, label_lengths, blank, log_prior)
    batch, steps, size = rows.emissions.shape
    score, pointers = rows.before(), np.zeros((steps, batch, size), dtype=np.int8)
    choices = np.empty((3, batch, size))
    for t in range(steps):
        _choices(score, rows.skip, choices)
        pointers[t] = choices.argmax(0)
        now = np.where(pointers[t] == 0, choices[0], np.where(pointers[t] == 1, choices[1], choices[2]))
        real = (t < rows.lengths)[:, None]
        score = np.where(real, now + rows.emissions[:, t], score)
        pointers[t][~real[:, 0]] = 0
    # The last position is the last blank, or the last label, which stands before it.
    index = np.arange(batch)
    end = 2 * rows.counts
    before_end = np.where(rows.counts > 0, score[index, np.maximum(end - 1, 0)], -np.inf)
    place = end - (before_end > score[index, end])
    rows.require_paths(score[index, place])
    places = np.empty((steps, batch), dtype=np.int64)
    for t in range(steps - 1, -1, -1):
        places[t] = place
        place = place - pointers[t, index, place]
    paths = [rows.path(row, places[: rows.lengths[row], row]) for row in range(batch)]
    return paths[0] if rows.single else paths


class CTCPosteriors(NamedTuple):
    """
    Where a text is, given that it is said.

    Args:
        positions (`np.ndarray` of shape `(T, 2 U + 1)`): The probability that a path is at each position at each step:
            blank, label 1, blank, label 2, ..., blank. The rows add up to 1.
        labels (`np.ndarray` of shape `(T, V)`): The same by labels, which is the softmax less the gradient of the CTC
            loss by what goes into it.
        log_prob (`float`): log p(labels), the sum over all paths.
    """

    positions: np.ndarray
    labels: np.ndarray
    log_prob: float


def ctc_posteriors(
    log_probs: Any,
    labels: Any,
    lengths: Any = None,
    label_lengths: Any = None,
    blank: int = 0,
    log_prior: Any = None,
) -> CTCPosteriors | list[CTCPosteriors]:
    """
    The occupation of each position at each step, by the forward-backward algorithm (Graves et al. 2006, section 4.1).

    Args:
        log_probs, labels, lengths, label_lengths, blank, log_prior: As of [`forced_alignment`]. With a prior,
            `log_prob` is that of posteriors divided by it.

    Returns:
        `CTCPosteriors` or `list[CTCPosteriors]`: For each row, of its real steps; for `log_probs` of shape `(T, V)`
        the one.

    Raises:
        `ValueError`: As [`forced_alignment`].

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lstm.evaluation.forced_alignment import ctc_posteriors

    >>> posteriors = ctc_posteriors(np.log([[0.2, 0.8], [0.5, 0.5]]), [1])
    >>> posteriors.positions.round(2).tolist()
    [[0.11, 0.89, 0.0], [0.0, 0.56, 0.44]]
    ```
    """
    rows = _Rows.of(log_probs, labels, lengths, label_lengths, blank, log_prior)
    batch, steps, size = rows.emissions.shape
    # forward[:, t]: all that leads to a position by step t, with it; backward[:, t]: all that leads on to the end.
    forward, backward = np.empty((batch, steps, size)), np.empty((batch, steps, size))
    score, choices = rows.before(), np.empty((3, batch, size))
    for t in range(steps):
        _choices(score, rows.skip, choices)
        score = _log_add(choices) + rows.emissions[:, t]
        forward[:, t] = score
    index = np.arange(batch)
    last = np.full((batch, size), -np.inf)
    last[index, 2 * rows.counts] = 0
    last[index, np.maximum(2 * rows.counts - 1, 0)] = 0
    # Read from the end, a label is left out before the position that it leads to.
    skip = np.concatenate([rows.skip[:, 2:], np.zeros((batch, 2), dtype=bool)], axis=1)[:, ::-1]
    score = last
    for t in range(steps - 1, -1, -1):
        if t + 1 < steps:
            _choices((score + rows.emissions[:, t + 1])[:, ::-1], skip, choices)
            score = np.where((t + 1 < rows.lengths)[:, None], _log_add(choices)[:, ::-1], last)
        backward[:, t] = score
    found = []
    for row, (length, count) in enumerate(zip(rows.lengths, rows.counts, strict=True)):
        both = forward[row, :length, : 2 * count + 1] + backward[row, :length, : 2 * count + 1]
        log_prob = float(_log_add(both[-1:].T)[0]) if length else (0.0 if not count else -np.inf)
        rows.require_paths(np.array([log_prob]), row)
        positions = np.exp(both - log_prob)
        by_label = np.zeros((length, rows.log_probs.shape[2]))
        np.add.at(by_label.T, rows.extended[row, : 2 * count + 1], positions.T)
        found.append(CTCPosteriors(positions, by_label, log_prob))
    return found[0] if rows.single else found


class _Rows(NamedTuple):
    """What both need."""

    log_probs: np.ndarray  # (B, T, V)
    lengths: np.ndarray  # (B,)
    counts: np.ndarray  # (B,), of labels
    extended: np.ndarray  # (B, S), the label of each position
    skip: np.ndarray  # (B, S), whether the blank before may be left out
    emissions: np.ndarray  # (B, T, S), less the prior
    single: bool

    @classmethod
    def of(cls, log_probs, labels, lengths, label_lengths, blank, log_prior) -> "_Rows":
        single = np.ndim(log_probs) == 2
        log_probs, lengths = log_prob_rows(log_probs, lengths)
        labels, counts = _label_rows([labels] if single else labels, label_lengths)
        batch, steps, number = log_probs.shape
        if len(labels) != batch:
            raise ValueError(f"`labels` has {len(labels)} rows, and `log_probs` has {batch}.")
        if not 0 <= blank < number:
            raise ValueError(f"`blank` is {blank}: give a label from 0 to {number - 1}.")
        real = np.arange(labels.shape[1]) < counts[:, None]
        wrong = real & ((labels < 0) | (labels >= number) | (labels == blank))
        if wrong.any():
            row, u = np.argwhere(wrong)[0]
            raise ValueError(
                f"`labels` of row {row} has {labels[row, u]} in place {u}: labels are from 0 to {number - 1} without "
                f"the blank, {blank}."
            )
        needed = counts + ((labels[:, 1:] == labels[:, :-1]) & real[:, 1:]).sum(1)
        if (needed > lengths).any():
            row = int((needed > lengths).argmax())
            raise ValueError(
                f"`labels` of row {row}, {counts[row]} of them, need {needed[row]} steps (one each, and a blank "
                f"between equal ones), but there are {lengths[row]}: give more of the sound, or less of the text."
            )
        extended = np.full((batch, 2 * labels.shape[1] + 1), blank)
        extended[:, 1::2] = np.where(real, labels, blank)
        skip = np.zeros(extended.shape, dtype=bool)
        skip[:, 3::2] = (labels[:, 1:] != labels[:, :-1]) & real[:, 1:]
        scores = log_probs if log_prior is None else log_probs - _prior(log_prior, number)
        emissions = np.take_along_axis(
            scores, np.broadcast_to(extended[:, None], (batch, steps, extended.shape[1])), 2
        )
        return cls(log_probs, lengths, counts, extended, skip, emissions, single)

    def before(self) -> np.ndarray:
        """Scores before the first step, (B, S): a path comes from before the first blank, by which it may go past."""
        score = np.full(self.extended.shape, -np.inf)
        score[:, 0] = 0
        return score

    def require_paths(self, scores: np.ndarray, row: int | None = None) -> None:
        if not (scores > -np.inf).all():
            row = int((~(scores > -np.inf)).argmax()) if row is None else row
            raise ValueError(f"`labels` of row {row} have the probability 0 by `log_probs`: no path spells them.")

    def path(self, row: int, places: np.ndarray) -> LabelPath:
        """Of the position at each step, (T,)."""
        steps = np.arange(len(places))
        taken = self.log_probs[row, steps, self.extended[row, places]]
        heard = (places % 2 == 1).nonzero()[0]  # each label takes steps that follow each other
        starts = np.flatnonzero(np.diff(places[heard], prepend=-1)) if len(heard) else heard
        ends = np.append(starts[1:], len(heard)) if len(heard) else heard
        means = np.add.reduceat(np.exp(taken[heard]), starts) / (ends - starts) if len(heard) else heard
        labels = self.extended[row, places[heard[starts]]]
        values = (labels, heard[starts], heard[ends - 1], means)
        return LabelPath(*(tuple(value.tolist()) for value in values), log_prob=float(taken.sum()))


def _label_rows(labels: Any, label_lengths: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels (B, U), and how many of each row count."""
    rows = [row.tolist() if hasattr(row, "tolist") else list(row) for row in labels]
    if label_lengths is None:
        counts = [next((u for u, label in enumerate(row) if label == -100), len(row)) for row in rows]
    else:
        counts = np.atleast_1d(np.asarray(label_lengths)).tolist()
        if len(counts) != len(rows) or any(not 0 <= n <= len(row) for n, row in zip(counts, rows, strict=True)):
            raise ValueError(f"`label_lengths` is {counts}: give the number of labels of each of {len(rows)} rows.")
    counts = np.array(counts, dtype=np.int64)
    padded = np.full((len(rows), int(counts.max(initial=0))), -100, dtype=np.int64)
    for row, count, values in zip(padded, counts, rows, strict=True):
        row[:count] = values[:count]
    return padded, counts


def _prior(log_prior: Any, number: int) -> np.ndarray:
    prior = np.asarray(log_prior.detach().cpu() if hasattr(log_prior, "detach") else log_prior, dtype=np.float64)
    if prior.shape != (number,) or not np.isfinite(prior).all():
        raise ValueError(f"`log_prior` has the shape {prior.shape}: give {number} finite numbers, one of each label.")
    return prior


def _choices(score: np.ndarray, skip: np.ndarray, out: np.ndarray) -> None:
    """Into (3, B, S): what comes to each position from itself, the one before, and the one before that."""
    out[0] = score
    out[1:, :, :2] = -np.inf
    out[1, :, 1:] = score[:, :-1]
    out[2, :, 2:] = np.where(skip[:, 2:], score[:, :-2], -np.inf)


def _log_add(values: np.ndarray) -> np.ndarray:
    """log sum exp over the first dimension; -inf where all are."""
    highest = values.max(0)
    shift = np.where(highest > -np.inf, highest, 0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - shift).sum(0)) + shift


__all__ = ["CTCPosteriors", "ctc_posteriors", "forced_alignment"]

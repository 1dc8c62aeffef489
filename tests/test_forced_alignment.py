# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Alignment and occupation of labels against the enumeration of all paths, and against the gradient of torch."""

import math
from itertools import groupby, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hf_lstm.evaluation.forced_alignment import ctc_posteriors, forced_alignment


TEXTS = [[1], [1, 2], [1, 1], [2, 1, 2], [1, 1, 2], [], [2, 2, 2]]


def random_log_probs(*shape: int, seed: int = 0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=shape) * 2
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def paths_of(labels: list[int], steps: int, size: int) -> list[tuple[int, ...]]:
    paths = product(range(size), repeat=steps)
    return [path for path in paths if [label for label, _ in groupby(path) if label] == labels]


def runs_of(path: tuple[int, ...]) -> list[tuple[int, int]]:
    runs, t = [], 0
    for label, run in groupby(path):
        n = len(list(run))
        if label:
            runs.append((t, t + n - 1))
        t += n
    return runs


@pytest.mark.parametrize("labels", TEXTS, ids=str)
@pytest.mark.parametrize("prior", [False, True])
def test_alignment_equals_enumeration(labels, prior):
    for seed in range(3):
        log_probs = random_log_probs(6, 3, seed=seed)
        log_prior = 0.7 * np.log([0.8, 0.15, 0.05]) if prior else np.zeros(3)
        steps = np.arange(6)
        best = max(paths_of(labels, 6, 3), key=lambda path: (log_probs - log_prior)[steps, path].sum())
        found = forced_alignment(log_probs, labels, log_prior=log_prior if prior else None)
        assert found.labels == tuple(labels)
        assert [*zip(found.first, found.last, strict=True)] == runs_of(best)
        assert found.log_prob == pytest.approx(log_probs[steps, best].sum())
        means = [
            np.exp(log_probs[a : b + 1, label]).mean() for label, (a, b) in zip(labels, runs_of(best), strict=True)
        ]
        np.testing.assert_allclose(found.confidence, means)


@pytest.mark.parametrize("labels", TEXTS, ids=str)
@pytest.mark.parametrize("prior", [False, True])
def test_posteriors_equal_enumeration(labels, prior):
    log_probs = random_log_probs(6, 3, seed=1)
    log_prior = 0.7 * np.log([0.8, 0.15, 0.05]) if prior else np.zeros(3)
    positions, total = np.zeros((6, 2 * len(labels) + 1)), 0.0
    for path in paths_of(labels, 6, 3):
        p = math.exp((log_probs - log_prior)[np.arange(6), path].sum())
        total += p
        u = -1
        for t, label in enumerate(path):
            u += bool(label) and (t == 0 or label != path[t - 1])
            positions[t, 2 * u + 1 if label else 2 * u + 2] += p
    found = ctc_posteriors(log_probs, labels, log_prior=log_prior if prior else None)
    assert found.log_prob == pytest.approx(math.log(total))
    np.testing.assert_allclose(found.positions, positions / total, atol=1e-12)
    np.testing.assert_allclose(found.labels.sum(1), 1)


def batch_of_texts(seed: int = 2) -> tuple[np.ndarray, list[int], np.ndarray, list[list[int]]]:
    texts, lengths = [[1, 2, 2, 3], [], [4, 4], [1, 2, 3, 4, 1]], [12, 5, 3, 5]
    log_probs = random_log_probs(4, 12, 5, seed=seed)
    log_probs[2, 3:] = np.nan  # padding is not read
    padded = np.full((4, 6), -100)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    return log_probs, lengths, padded, texts


def test_a_batch_is_its_rows():
    log_probs, lengths, padded, texts = batch_of_texts()
    aligned = forced_alignment(torch.tensor(log_probs), torch.tensor(padded), torch.tensor(lengths))
    occupied = ctc_posteriors(log_probs, padded, lengths)
    assert forced_alignment(log_probs, texts, lengths) == aligned
    counts = [len(text) for text in texts]
    assert forced_alignment(log_probs, np.where(padded < 0, 1, padded), lengths, counts) == aligned
    for row, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        assert forced_alignment(log_probs[row, :length], text) == aligned[row]
        for one, other in zip(ctc_posteriors(log_probs[row, :length], text), occupied[row], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)


def test_posteriors_are_softmax_less_gradient():
    log_probs, lengths, padded, texts = batch_of_texts()
    logits = torch.tensor(np.nan_to_num(log_probs), requires_grad=True)
    losses = F.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1), torch.tensor(padded), lengths, [*map(len, texts)], reduction="none"
    )
    losses.sum().backward()
    expected = (logits.softmax(-1) - logits.grad).detach()
    for row, (found, length) in enumerate(zip(ctc_posteriors(log_probs, padded, lengths), lengths, strict=True)):
        np.testing.assert_allclose(found.labels, expected[row, :length], atol=1e-9)
        assert found.log_prob == pytest.approx(-losses[row].item())


def test_long_sounds():
    """Neither underflows."""
    log_probs = random_log_probs(3000, 30, seed=3)
    labels = np.random.default_rng(0).integers(1, 30, 200).tolist()
    path, posteriors = forced_alignment(log_probs, labels), ctc_posteriors(log_probs, labels)
    assert path.labels == tuple(labels) and path.log_prob < posteriors.log_prob
    np.testing.assert_allclose(posteriors.positions.sum(1), 1)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([1, 1, 2, 1], {}, r"row 0, 4 of them, need 5 steps .* but there are 4"),
        ([1, 0], {}, "has 0 in place 1"),
        ([1, 3], {}, "has 3 in place 1: labels are from 0 to 2 without the blank, 0"),
        ([1], {"blank": 3}, "`blank` is 3"),
        ([1], {"log_prior": [0.0, 0.0]}, r"`log_prior` has the shape \(2,\)"),
        ([1], {"label_lengths": [2]}, r"`label_lengths` is \[2\]"),
        ([1], {"lengths": [5]}, r"`lengths` is \[5\]"),
    ],
)
def test_what_does_not_fit(labels, options, message):
    for function in (forced_alignment, ctc_posteriors):
        with pytest.raises(ValueError, match=message):
            function(random_log_probs(4, 3), labels, **options)


def test_impossible_labels():
    log_probs = random_log_probs(2, 4, 3)
    log_probs[1, :, 2] = -np.inf
    for function in (forced_alignment, ctc_posteriors):
        with pytest.raises(ValueError, match="row 1 have the probability 0"):
            function(log_probs, [[1], [2]])
        with pytest.raises(ValueError, match="`labels` has 1 rows, and `log_probs` has 2"):
            function(log_probs, [[1]])

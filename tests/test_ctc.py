# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The loss of CTC against the sum over all ways in which labels can be heard, and what training hides."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck

from hf_lstm import RecurrentSpeechConfig
from hf_lstm.models.ctc import ctc_losses, steps_needed
from hf_lstm.models.padding import Padding
from hf_lstm.models.spec_augment import draw_spans, hide_at_random


def spelt(path) -> list[int]:
    """What the labels of all steps spell: equal ones that follow each other once, and no blank."""
    return [label for label, _ in itertools.groupby(path) if label]


def enumerated(scores: torch.Tensor, labels: list[int]) -> torch.Tensor:
    """-log of the sum over all paths (T, V) that spell the labels."""
    paths = [path for path in itertools.product(range(scores.shape[1]), repeat=len(scores)) if spelt(path) == labels]
    return -torch.stack([sum(scores[t, label] for t, label in enumerate(path)) for path in paths]).logsumexp(0)


ROWS = [([1, 2], 4), ([2, 2], 4), ([1], 3), ([], 2), ([1, 2, 1], 4)]


def batch(dtype=torch.float64):
    log_probs = torch.randn(len(ROWS), 4, 3, dtype=dtype).log_softmax(-1)
    labels = torch.tensor([[*row, *[1] * (3 - len(row))] for row, _ in ROWS])
    return log_probs, torch.tensor([n for _, n in ROWS]), labels, torch.tensor([len(row) for row, _ in ROWS])


def test_the_loss_is_the_sum_over_all_paths():
    log_probs, steps, labels, lengths = batch()
    found = ctc_losses(log_probs, steps, labels, lengths)
    expected = [enumerated(log_probs[i, :n], row) for i, (row, n) in enumerate(ROWS)]
    assert torch.allclose(found, torch.stack(expected))


def test_the_loss_with_a_prior():
    """Scores that are no probabilities any more, and their gradient."""
    log_probs, steps, labels, lengths = batch()
    prior = 0.4 * torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64).log()
    found = ctc_losses(log_probs, steps, labels, lengths, log_prior=prior)
    expected = [enumerated(log_probs[i, :n] - prior, row) for i, (row, n) in enumerate(ROWS)]
    assert torch.allclose(found, torch.stack(expected))
    logits = torch.randn(len(ROWS), 4, 3, dtype=torch.float64, requires_grad=True)
    for each in (None, prior):
        assert gradcheck(lambda x, p=each: ctc_losses(x.log_softmax(-1), steps, labels, lengths, log_prior=p), logits)


def test_labels_that_do_not_fit():
    log_probs = torch.randn(2, 2, 3, requires_grad=True)
    rows = log_probs.log_softmax(-1), torch.tensor([2, 2]), torch.tensor([[1, 1], [1, 2]]), torch.tensor([2, 2])
    assert steps_needed(rows[2], rows[3]).tolist() == [3, 2]
    with pytest.raises(ValueError, match="row 0, 2 of them, need 3 steps, but there are 2, and 1 of 2 rows"):
        ctc_losses(*rows)
    for prior in (None, torch.tensor([0.1, 0.2, 0.3])):
        found = ctc_losses(*rows, log_prior=prior, zero_infinity=True)
        assert found[0] == 0 and found[1] > -10 and found.isfinite().all()
        (gradient,) = torch.autograd.grad(found.sum(), log_probs, retain_graph=True)
        assert gradient.isfinite().all()
        if prior is None:
            assert not gradient[0].any()


def test_spans_are_where_they_may_be():
    torch.manual_seed(0)
    lengths = torch.tensor([50, 20, 3, 0])
    drawn = torch.stack([draw_spans(lengths, 50, 0.2, 5, 0) for _ in range(2000)]).float()
    for row, length in enumerate(lengths.tolist()):
        assert not drawn[:, row, length:].any()
    # Two spans a row of 50, four fifths of one on average in a row of 20; starts are drawn without repetition.
    assert drawn[:, 0].sum(1).max() == 10 and abs(drawn[:, 0].sum(1).mean() - 9.5) < 0.3
    assert abs(drawn[:, 1].sum(1).mean() - 0.8 * 5) < 0.2 and drawn[:, 1].sum(1).unique().tolist() == [0, 5]
    assert not draw_spans(lengths, 50, 0.0, 5, 3).any()
    assert (draw_spans(lengths, 50, 0.01, 5, 2)[0].sum() >= 6) and draw_spans(lengths, 50, 0.9, 100, 1)[2].sum() == 3


def test_what_is_hidden():
    """Steps of a row at its real positions, wherever these are; bands in all frames of a step."""
    torch.manual_seed(0)
    fields = {"feature_size": 12, "stacked_frames": 3, "mask_time_length": 2, "mask_feature_length": 2}
    mask = torch.tensor([[0, 1, 1, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1]]).bool()
    config = RecurrentSpeechConfig(**fields, mask_time_prob=0.4)
    hidden = hide_at_random(torch.ones(2, 8, 12), Padding(mask), config) == 0
    assert (hidden.all(2) == hidden.any(2)).all() and hidden.any() and not hidden[0, ~mask[0]].any()
    config = RecurrentSpeechConfig(**fields, mask_feature_prob=0.5)
    hidden = (hide_at_random(torch.ones(2, 8, 12), None, config) == 0).view(2, 8, 3, 4)
    assert (hidden == hidden[:, :1, :1]).all() and (hidden[:, 0, 0].sum(1) == 2).all()

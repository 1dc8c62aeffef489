# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The n-gram models against a second implementation, written from the equations with dictionaries and sets."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from hf_lstm.evaluation.ngram import FALLBACK_DISCOUNTS, NgramModel


V = 12


def zipf_blocks(rows: int, length: int, seed: int) -> np.ndarray:
    """Blocks in which every token depends on the one before, some tokens are rare, and the last never occurs."""
    rng = np.random.default_rng(seed)
    steps = rng.zipf(1.5, size=(rows, length)) % (V - 1)
    return np.cumsum(steps, axis=1) % (V - 1)


class SlowKneserNey:
    """Chen & Goodman (1999), section 3, term by term."""

    def __init__(self, blocks: np.ndarray, order: int):
        highest = Counter(tuple(row[i : i + order]) for row in blocks.tolist() for i in range(len(row) - order + 1))
        self.counts = {order: highest}
        for n in range(order - 1, 0, -1):
            fronts = defaultdict(set)
            for gram in highest:
                tail = gram[order - n - 1 :]  # the (n + 1)-gram at the end
                fronts[tail[1:]].add(tail[0])
            self.counts[n] = {gram: len(front) for gram, front in fronts.items()}

    def discount(self, n: int, count: int) -> float:
        of = Counter(self.counts[n].values())
        if not (of[1] and of[2] and of[3]):
            return FALLBACK_DISCOUNTS[min(count, 3) - 1]
        y = of[1] / (of[1] + 2 * of[2])
        values = [k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3)]
        if any(not 0 < value < k for k, value in enumerate(values, start=1)):
            values = FALLBACK_DISCOUNTS
        return values[min(count, 3) - 1]

    def prob(self, gram: tuple[int, ...]) -> float:
        n = len(gram)
        if n == 0:
            return 1 / V
        followers = {g: count for g, count in self.counts[n].items() if g[:-1] == gram[:-1]}
        lower = self.prob(gram[1:])
        if not followers:
            return lower
        total = sum(followers.values())
        gamma = sum(self.discount(n, count) for count in followers.values()) / total
        count = followers.get(gram, 0)
        return (count - (self.discount(n, count) if count else 0)) / total + gamma * lower


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [2, 60])  # with two blocks of text the discounts cannot be estimated
def test_log_prob_equals_the_slow_reference(order, rows):
    train, test = zipf_blocks(rows, 20, seed=0), zipf_blocks(5, 9, seed=1)
    reference = SlowKneserNey(train, order)
    expected = [
        [math.log(reference.prob(tuple(row[max(0, t - order + 1) : t + 1]))) for t in range(1, len(row))]
        for row in test.tolist()
    ]
    np.testing.assert_allclose(NgramModel(V, order).fit(train).log_prob(test), expected, rtol=1e-12)


def test_both_ways_to_set_the_discounts_are_tested():
    estimated = SlowKneserNey(zipf_blocks(60, 20, seed=0), order=3)
    assert estimated.discount(3, 1) not in FALLBACK_DISCOUNTS
    assert SlowKneserNey(zipf_blocks(2, 20, seed=0), order=1).discount(1, 1) == FALLBACK_DISCOUNTS[0]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_sum_to_one(order):
    train = zipf_blocks(40, 20, seed=0)
    model = NgramModel(V, order).fit(train)
    seen, unseen = train[0, :3], [V - 1] * 3
    for history in (seen, unseen, [*seen[:2], V - 1], [V - 1, *seen[1:]]):
        for length in (1, 2, 3):
            blocks = np.array([[*history[:length], token] for token in range(V)])
            last = np.exp(model.log_prob(blocks)[:, -1])
            assert last.min() > 0
            assert last.sum() == pytest.approx(1, abs=1e-12)


def test_unigram_by_hand():
    # Token 0 is counted three times, 1 twice, 2 and 3 once, 4 never: n1 = 2, n2 = 1, n3 = 1, n4 = 0, y = 2 / (2 + 2).
    # The discounts are 1 - 2 y 1/2 = 0.5, 2 - 3 y 1/1 = 0.5 and 3 - 4 y 0/1 = 3, out of range: 0.5, 1 and 1.5 instead.
    model = NgramModel(vocab_size=5, order=1).fit(np.array([[0, 1, 0, 2, 0, 1, 3]]))
    gamma = (1.5 + 1 + 0.5 + 0.5) / 7
    expected = np.array([1.5, 1, 0.5, 0.5, 0]) / 7 + gamma / 5
    np.testing.assert_allclose(np.exp(model.log_prob(np.array([[4, 0, 1, 2, 3, 4]]))), expected[None], rtol=1e-12)


def test_perplexity_is_that_of_all_targets():
    train, test = zipf_blocks(40, 20, seed=0), zipf_blocks(5, 9, seed=1)
    model = NgramModel(V).fit(train)
    log_prob = model.log_prob(test)
    assert log_prob.shape == (5, 8)
    assert model.perplexity(test) == pytest.approx(math.exp(-log_prob.sum() / 40), rel=1e-12)


@pytest.mark.parametrize("order", [1, 3, 8])
def test_what_follows_changes_nothing(order):
    train, test = zipf_blocks(40, 20, seed=0), zipf_blocks(5, 9, seed=1)
    model = NgramModel(V, order).fit(train)
    for length in range(2, 9):
        np.testing.assert_array_equal(model.log_prob(test[:, :length]), model.log_prob(test)[:, : length - 1])


def test_history_helps_where_there_is_one():
    cycle = np.arange(600).reshape(20, 30) % 7
    unigram, trigram = (NgramModel(7, order).fit(cycle).perplexity(cycle) for order in (1, 3))
    assert unigram == pytest.approx(7, rel=0.01)
    assert trigram < 1.1


def test_bad_input_is_refused():
    blocks = zipf_blocks(3, 8, seed=0)
    with pytest.raises(ValueError, match="`order` is 0"):
        NgramModel(V, order=0)
    with pytest.raises(ValueError, match="`vocab_size` is 50000 with `order` 5"):
        NgramModel(50_000, order=5)
    with pytest.raises(ValueError, match="call `fit` first"):
        NgramModel(V).log_prob(blocks)
    with pytest.raises(ValueError, match="`input_ids` has the shape"):
        NgramModel(V).fit(blocks[0])
    with pytest.raises(ValueError, match="at least 3 tokens"):
        NgramModel(V).fit(blocks[:, :2])
    with pytest.raises(ValueError, match="`vocab_size` is 4: give ids from 0 to 3"):
        NgramModel(4).fit(blocks)

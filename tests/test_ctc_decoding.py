# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Decoding against the enumeration of all paths, with language model, lexicon and hot phrases."""

import math
import pickle
import random
from collections import defaultdict
from itertools import groupby, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hf_lstm.data.sound import build_ctc_tokenizer
from hf_lstm.evaluation.ctc_decoding import CTCBeamSearch, greedy
from hf_lstm.evaluation.ctc_paths import LabelPath
from hf_lstm.evaluation.forced_alignment import forced_alignment
from hf_lstm.evaluation.ngram import NgramModel
from hf_lstm.evaluation.word_scoring import NgramScorer


LABELS = ["", "a", "b", "|"]
SENTENCES = ["a b", "ab a", "ba", "ab ab a", "b b", "a"]


def random_log_probs(steps: int, labels: int = 4, seed: int = 0, sharp: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(steps, labels)) * sharp
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def spelt(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in groupby(path) if label)


def enumerated(log_probs: np.ndarray) -> tuple[dict, dict]:
    """Of each label sequence: p, and its best path with log p."""
    probs, best = defaultdict(float), {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        value = sum(log_probs[t, label] for t, label in enumerate(path))
        labels = spelt(path)
        probs[labels] += math.exp(value)
        if value > best.get(labels, (-math.inf,))[0]:
            best[labels] = (value, path)
    return probs, best


def credit_of(words: list[str], phrases: dict[str, float]) -> float:
    """The rule of hot phrases from the words alone: what ends first counts first, and of that the longest."""
    given = []  # (first word, word behind, credit)
    for end in range(1, len(words) + 1):
        for start in range(end):
            phrase = " ".join(words[start:end])
            if phrase in phrases:
                inside = sum(gain for first, _, gain in given if first >= start)
                given.append((start, end, max(0.0, phrases[phrase] * len(phrase) - inside)))
                break
    return sum(gain for *_, gain in given)


def expected_texts(log_probs, scorer=None, alpha=0.0, beta=0.0, lexicon=None, phrases=None) -> dict[str, tuple]:
    """text -> (acoustic, language, total), of all texts."""
    found = defaultdict(float)
    for labels, p in enumerated(log_probs)[0].items():
        words = "".join(LABELS[label] for label in labels).split("|")
        if lexicon is None or all(word in lexicon for word in words if word):
            found[" ".join(filter(None, words))] += p
    texts = {}
    for text, p in found.items():
        if p > 0:
            language = scorer.log_prob(text) if scorer else 0.0
            credit = credit_of(text.split(), phrases or {})
            total = math.log(p) + alpha * language + beta * len(text.split()) + credit
            texts[text] = (math.log(p), language, total)
    return texts


CASES = {
    "nothing": {},
    "words": {"beta": 0.7},
    "language_model": {"alpha": 0.8, "beta": 0.5},
    "lexicon": {"lexicon": ["a", "ab", "bb"]},
    "hot": {"hot_phrases": {"ab": 0.9, "a b": 0.4}},
    "nested": {"hot_phrases": {"b": 0.3, "a b": 0.5, "b a": 0.8, "a b a": 0.6}},
    "all": {"alpha": 0.8, "beta": 0.5, "lexicon": ["a", "ab", "b"], "hot_phrases": {"a b": 0.6, "b a": 0.7}},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_search_equals_enumeration(case, seed):
    options = CASES[case]
    log_probs = random_log_probs(6, seed=seed)
    scorer = NgramScorer(NgramModel.of_sentences(SENTENCES, order=3)) if "alpha" in options else None
    search = CTCBeamSearch(LABELS, beam_size=10_000, min_prob=0.0, language_model=scorer, **options)
    found = search(log_probs)[0]
    phrases = options.get("hot_phrases")
    expected = expected_texts(
        log_probs, scorer, options.get("alpha", 0), options.get("beta", 0), options.get("lexicon"), phrases
    )
    assert {each.text for each in found} == expected.keys()
    for each in found:
        np.testing.assert_allclose((each.acoustic, each.language, each.total), expected[each.text], atol=1e-9)
    totals = [each.total for each in found]
    assert totals == sorted(totals, reverse=True)
    if case == "nothing":
        assert sum(math.exp(each.acoustic) for each in found) == pytest.approx(1)


def slow_search(log_probs: np.ndarray, beam_size: int) -> dict[tuple, float]:
    """Hannun et al. (2014), algorithm 1, without a language model: the prefixes that are kept at the end, with p."""
    beams = {(): (1.0, 0.0)}
    for probs in np.exp(log_probs):
        found = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, label) in beams.items():
            found[prefix][0] += (blank + label) * probs[0]
            for c, p in enumerate(probs[1:], start=1):
                if prefix and c == prefix[-1]:
                    found[prefix][1] += label * p
                    found[(*prefix, c)][1] += blank * p
                else:
                    found[(*prefix, c)][1] += (blank + label) * p
        beams = dict(sorted(found.items(), key=lambda item: -sum(item[1]))[:beam_size])
    return {prefix: sum(p) for prefix, p in beams.items()}


@pytest.mark.parametrize("beam_size", [1, 2, 7])
def test_a_narrow_search_keeps_what_the_slow_one_keeps(beam_size):
    for seed in range(3):
        log_probs = random_log_probs(40, seed=seed)
        search = CTCBeamSearch(["", "a", "b", "c"], delimiter=None, beam_size=beam_size, min_prob=0.0)
        found = {each.path.labels: math.exp(each.acoustic) for each in search(log_probs)[0]}
        assert found == pytest.approx(slow_search(log_probs, beam_size))


def test_what_is_skipped_would_not_have_been_kept(monkeypatch):
    searches = [guided(beam_size=4), guided(lexicon=["a", "b", "ab", "bb"]), CTCBeamSearch(LABELS, beam_size=5)]
    sounds = [random_log_probs(50, seed=seed) for seed in range(4)]
    found = [search(sound) for search in searches for sound in sounds]
    monkeypatch.setattr(CTCBeamSearch, "_limits", lambda self, beams, blank: [0.0] * len(beams))
    assert found == [search(sound) for search in searches for sound in sounds]


def test_paths_are_the_best():
    log_probs = random_log_probs(6, labels=3, seed=5)
    best = enumerated(log_probs)[1]
    for each in CTCBeamSearch(["", "a", "b"], delimiter=None, beam_size=1000, min_prob=0.0)(log_probs)[0]:
        value, path = best[each.path.labels]
        runs, t = [], 0
        for label, run in groupby(path):
            n = len(list(run))
            if label:
                runs.append((t, t + n - 1, np.exp(log_probs[t : t + n, label]).mean()))
            t += n
        assert each.path.log_prob == pytest.approx(value)
        assert [*zip(each.path.first, each.path.last, strict=True)] == [run[:2] for run in runs]
        np.testing.assert_allclose(each.path.confidence, [run[2] for run in runs])


def test_improbable_labels_are_impossible():
    log_probs = random_log_probs(6, seed=2)
    pruned = np.where(np.exp(log_probs) >= 0.1, log_probs, -np.inf)
    pruned[:, 0] = log_probs[:, 0]
    expected = expected_texts(pruned)
    found = CTCBeamSearch(LABELS, beam_size=10_000, min_prob=0.1)(log_probs)[0]
    assert {each.text: each.acoustic for each in found} == pytest.approx({k: v[0] for k, v in expected.items()})


def guided(beam_size: int = 8, **options) -> CTCBeamSearch:
    scorer = NgramScorer(NgramModel.of_sentences(SENTENCES, order=3))
    phrases = {"a b": 0.6, "b a": 0.7}
    return CTCBeamSearch(LABELS, beam_size=beam_size, language_model=scorer, beta=0.5, hot_phrases=phrases, **options)


def test_chunks_equal_the_whole():
    """To the last digit, also of a state that was stored in between."""
    log_probs, chance = random_log_probs(300, seed=3), random.Random(0)
    search = guided(lexicon=["a", "b", "ab", "ba", "bb"])
    whole = search.advance(search.start(), log_probs)
    for trial in range(20):
        state, t = search.start(), 0
        while t < len(log_probs):
            step = chance.choice([0, 1, 1, 7, 50])
            state, t = search.advance(state, log_probs[t : t + step]), t + step
            if trial < 2:
                state = pickle.loads(pickle.dumps(state))
        for final in (True, False):
            assert search.results(state, final) == search.results(whole, final)


def test_a_state_is_a_value():
    """What is read later, here or in another branch, does not change it."""
    log_probs, other = random_log_probs(60, seed=4), random_log_probs(60, seed=5)
    search = guided()
    state = search.advance(search.start(), log_probs[:30])
    before = search.results(state, final=False)
    first = search.results(search.advance(state, other[30:]))
    second = search.results(search.advance(state, log_probs[30:]))
    assert search.results(state, final=False) == before
    assert second == search(log_probs)[0] != first
    assert first == search(np.concatenate([log_probs[:30], other[30:]]))[0]


def test_batches_of_tensors_and_lengths():
    rows = [random_log_probs(length, seed=length) for length in (9, 4, 0)]
    batch = torch.full((3, 9, 4), torch.nan)
    for row, values in zip(batch, rows, strict=True):
        row[: len(values)] = torch.tensor(values)
    search = CTCBeamSearch(LABELS, beam_size=100)
    for found, alone in zip(search(batch.double(), torch.tensor([9, 4, 0])), rows, strict=True):
        assert [each.text for each in found] == [each.text for each in search(alone)[0]]
    assert search(batch, [9, 4, 0])[2][0].text == ""
    assert greedy(batch, [9, 4, 0])[1].labels == greedy(rows[1])[0].labels


def test_long_sounds_do_not_underflow():
    """Steps that are certain of nothing, whose probability is below all numbers; the state is stored."""
    log_probs = random_log_probs(3000, seed=1, sharp=1.0)
    search = CTCBeamSearch(LABELS, beam_size=4)
    state = search.advance(search.start(), log_probs)
    best = search.results(pickle.loads(pickle.dumps(state)))[0]
    labels = torch.tensor([best.path.labels])
    whole = F.ctc_loss(torch.tensor(log_probs)[:, None], labels, [3000], [labels.shape[1]], reduction="sum")
    assert best.path.log_prob < best.acoustic <= -float(whole) + 1e-6 < -800
    aligned = forced_alignment(log_probs, labels[0])
    assert best.path.log_prob <= aligned.log_prob + 1e-6


def test_memory_of_a_stream():
    """What the search has left is forgotten: only the prefixes that it holds know their children."""
    search = CTCBeamSearch(LABELS, beam_size=4, min_prob=0.0)
    state = search.advance(search.start(), random_log_probs(500, seed=6))
    kept, known = {id(beam[0]) for beam in state.beams}, 0
    for beam in state.beams:
        prefix = beam[0]
        while prefix is not None:
            known += len(prefix.children) if id(prefix) not in kept else 0
            prefix = prefix.parent
    assert known < 50


def test_partial_results():
    """Credit is lent while a phrase is under way, and taken back at the end or with another label."""
    search = CTCBeamSearch(LABELS, hot_phrases=["ab a"], hot_weight=2.0)
    log_probs = np.log([[0.01, 0.97, 0.01, 0.01], [0.01, 0.01, 0.97, 0.01], [0.02, 0.01, 0.96, 0.01]])
    state = search.advance(search.start(), log_probs[:2])
    best = search.results(state, final=False)[0]
    assert best.text == "ab" and best.total == pytest.approx(best.acoustic + 4)
    ended = search.results(state)[0]
    assert ended.total == pytest.approx(ended.acoustic)
    other = search.advance(state, np.log([[0.01, 0.97, 0.01, 0.01]]))
    found = {each.text: each for each in search.results(other, final=False)}
    assert found["aba"].total == pytest.approx(found["aba"].acoustic)


def test_phrases_are_words():
    """Neither the beginning of a longer word nor its end is the phrase."""
    credit = {}
    search = CTCBeamSearch(LABELS, beam_size=10_000, min_prob=0.0, hot_phrases=["ab"])
    for each in search(random_log_probs(6, seed=7))[0]:
        credit[each.text] = each.total - each.acoustic
    assert credit["ab"] == pytest.approx(2) and credit["b ab"] == pytest.approx(2)
    assert credit["aba"] == pytest.approx(0) and credit["aab"] == pytest.approx(0)


def test_a_lexicon_lets_nothing_else_out():
    """Not even a word that the end of the sound cuts off."""
    log_probs = np.log(
        [[0.04, 0.9, 0.03, 0.03], [0.03, 0.03, 0.9, 0.04], [0.04, 0.03, 0.03, 0.9], [0.03, 0.9, 0.03, 0.04]]
    )
    search = CTCBeamSearch(LABELS, beam_size=1, lexicon=["ab", "abb"])
    assert [each.text for each in search(log_probs)[0]] == ["ab"]
    assert [each.text for each in search(log_probs[:1])[0]] == [""]
    state = search.advance(search.start(), log_probs)
    assert search.results(state, final=False)[0].text == "ab a"
    assert search.results(state)[0].path.labels == (1, 2, 3)


def test_labels_as_words():
    """Without a delimiter the language model scores labels, as of Chinese."""
    scorer = NgramScorer(NgramModel.of_sentences(["a b", "b a b", "a a"], order=2))
    log_probs = random_log_probs(5, labels=3, seed=8)
    search = CTCBeamSearch(
        ["", "a", "b"],
        delimiter=None,
        language_model=scorer,
        alpha=1.3,
        beam_size=1000,
        min_prob=0.0,
        hot_phrases={"ab": 0.5},
    )
    probs = enumerated(log_probs)[0]
    for each in search(log_probs)[0]:
        text = " ".join(each.text)
        language = scorer.log_prob(text)
        total = math.log(probs[each.path.labels]) + 1.3 * language + each.text.count("ab")
        assert (each.language, each.total) == pytest.approx((language, total))


def test_labels_of_a_tokenizer():
    tokenizer = build_ctc_tokenizer(["call me"])
    search = CTCBeamSearch.of_tokenizer(tokenizer, beam_size=4, hot_phrases=["call me"])
    assert search.labels == ["", "", "|", "a", "c", "e", "l", "m"] and search.blank == tokenizer.pad_token_id
    ids = [token for i in tokenizer("call me").input_ids for token in (i, 0)]
    log_probs = np.log(np.full((len(ids), 8), 0.01) + 0.92 * np.eye(8)[ids])
    assert search(log_probs)[0][0].text == "call me"


def test_labels_that_never_come():
    found = CTCBeamSearch(["", "a", "", "|"], beam_size=1000, min_prob=0.0)(random_log_probs(4))[0]
    assert all(2 not in each.path.labels for each in found)


def test_greedy():
    path = [0, 1, 1, 0, 1, 2, 2, 2, 0, 3, 1, 0]
    log_probs = np.full((12, 4), math.log(0.1))
    log_probs[np.arange(12), path] = np.log([0.5, 0.6, 0.8, 0.7, 0.9, 0.5, 0.6, 0.7, 0.9, 0.4, 0.9, 0.9])
    found = greedy(log_probs)[0]
    assert found.labels == (1, 1, 2, 3, 1) and found.text(LABELS) == "aab a"
    assert found.first == (1, 4, 5, 9, 10) and found.last == (2, 4, 7, 9, 10)
    np.testing.assert_allclose(found.confidence, [0.7, 0.9, 0.6, 0.4, 0.9])
    assert found.log_prob == pytest.approx(log_probs.max(1).sum())
    words = found.words(LABELS, seconds_per_step=0.03, seconds_of_step=0.045)
    assert [word.text for word in words] == ["aab", "a"]
    np.testing.assert_allclose([word[1:3] for word in words], [[0.0375, 0.2475], [0.3075, 0.3375]])
    np.testing.assert_allclose([word.confidence for word in words], [2.2 / 3, 0.9])
    reduced = [found.words(LABELS, reduce=how)[0].confidence for how in ("min", "product")]
    np.testing.assert_allclose(reduced, [0.6, 0.7 * 0.9 * 0.6])
    characters = found.characters(LABELS, seconds_per_step=0.5)
    assert characters[3] == ("|", 4.5, 5.0, pytest.approx(0.4)) and len(characters) == 5


def test_beam_equals_greedy_of_a_model_that_is_certain():
    rng = np.random.default_rng(0)
    log_probs = random_log_probs(200, labels=30, seed=9, sharp=0.3)
    log_probs[np.arange(200), rng.integers(0, 30, 200) * rng.integers(0, 2, 200)] += 20
    log_probs -= np.log(np.exp(log_probs).sum(-1, keepdims=True))
    best = CTCBeamSearch(["", *map(chr, range(97, 125)), "|"])(log_probs)[0][0]
    path = greedy(log_probs)[0]
    assert (best.path.labels, best.path.first, best.path.last) == (path.labels, path.first, path.last)
    np.testing.assert_allclose(best.path.confidence, path.confidence)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blank": 4}, "`blank` is 4"),
        ({"alpha": -0.5}, "`alpha` is -0.5"),
        ({"beam_size": 0}, "`beam_size` is 0"),
        ({"min_prob": 1.0}, "`min_prob` 1.0"),
        ({"delimiter": " "}, "`delimiter` is ' '"),
        ({"lexicon": ["a", "ac"]}, r"`lexicon`: 'ac' has \['c'\]"),
        ({"lexicon": []}, "no word"),
        ({"lexicon": "ab"}, "lists of texts"),
        ({"lexicon": ["a"], "delimiter": None}, "needs a `delimiter`"),
        ({"hot_phrases": ["A b"]}, r"`hot_phrases`: 'A b' has \['A'\]"),
        ({"hot_phrases": {"a": -1.0}}, "weight of a hot phrase is -1.0"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        CTCBeamSearch(LABELS, **options)


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        (np.zeros((3, 5)) - 2, r"shape \(3, 5\): give \(T, 4\)"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.array([[-1.0, -2, -3, -4], [0, 5, -1, 2]]), "5 in row 0 at step 1"),
        (np.full((2, 4), np.nan), "nan in row 0 at step 0"),
        (np.full((2, 4), -np.inf), "At step 0 nothing"),
    ],
)
def test_input_that_does_not_fit(log_probs, message):
    search = CTCBeamSearch(LABELS)
    with pytest.raises(ValueError, match=message):
        search.advance(search.start(), log_probs)


def test_other_errors():
    with pytest.raises(ValueError, match=r"`lengths` is \[4\]: give 1 numbers from 0 to 3"):
        greedy(random_log_probs(3), [4])
    path = LabelPath((1,), (0,), (0,), (1.0,), 0.0)
    with pytest.raises(ValueError, match="`reduce` is 'max'"):
        path.words(LABELS, reduce="max")
    with pytest.raises(ValueError, match="`seconds_per_step` is 0"):
        path.words(LABELS, seconds_per_step=0)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Our own loop of greedy decoding and sampling: equal to that of transformers, but for its random numbers."""

import pytest
import torch
from families import LSTM, assert_close, each_family, random_ids, states, variants
from test_generation import build, generate, left_padded, loop_of_transformers
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hf_lstm.models.generation import NUCLEUS, TokenSelector, draw
from hf_lstm.models.language_modeling import RecurrentForCausalLM


class Odd(StoppingCriteria):
    """Ends a row at an odd token, each row by itself."""

    def __call__(self, input_ids, scores, **kwargs):
        return input_ids[:, -1] % 2 == 1


class Forbid(LogitsProcessor):
    """Forbids the token before."""

    def __call__(self, input_ids, scores):
        return scores.scatter(1, input_ids[:, -1:], -torch.inf)


def count_calls(monkeypatch, model):
    """How often the whole forward pass runs: once in our loop."""
    calls = []
    forward = RecurrentForCausalLM.forward

    def counted(self, *args, **kwargs):
        calls.append(1)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(RecurrentForCausalLM, "forward", counted)
    return calls


OPTIONS = {
    "plain": {},
    "ends": {"eos_token_id": [3, 4, 5, 6, 7, 8, 9], "max_new_tokens": 30},
    "never ends": {"eos_token_id": None},
    "penalties": {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    "not at once": {"eos_token_id": [3, 4, 5, 6, 7, 8, 9], "min_new_tokens": 5},
    "criterion": {"stopping_criteria": StoppingCriteriaList([Odd()])},
    "criterion without end token": {"stopping_criteria": StoppingCriteriaList([Odd()]), "eos_token_id": None},
    "processor": {"logits_processor": LogitsProcessorList([Forbid()])},
    "time": {"max_time": 1000.0},
    "long": {"eos_token_id": None, "max_new_tokens": 150},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@each_family
def test_greedy_equals_the_loop_of_transformers(family, options, monkeypatch):
    model = build(family)
    ids, mask, _ = left_padded()
    inputs = {"ids": ids, "attention_mask": mask, "do_sample": False} | options
    expected = loop_of_transformers(model, **inputs)
    calls = count_calls(monkeypatch, model)
    assert torch.equal(generate(model, **inputs), expected)
    assert len(calls) == 1


@each_family
def test_variants_equal_the_loop_of_transformers(family, monkeypatch):
    ids = random_ids(2, 5)
    for fields in variants(family).values():
        model = build(family, **fields)
        expected = loop_of_transformers(model, ids, do_sample=False)
        calls = count_calls(monkeypatch, model)
        assert torch.equal(generate(model, ids, do_sample=False), expected)
        assert len(calls) == 1
        monkeypatch.undo()


@each_family
def test_state_after_decoding(family):
    """That of a forward pass over all tokens but the last, which the model has not seen."""
    model, ids = build(family), random_ids(2, 5)
    out = generate(model, ids, do_sample=False, eos_token_id=None, return_dict_in_generate=True)
    assert out.past_key_values.get_seq_length() == out.sequences.shape[1] - 1
    assert_close(states(out), states(model(out.sequences[:, :-1])))


def test_state_after_an_interruption():
    """A streamer that raises leaves a cache that has seen all tokens but the last, as in transformers."""
    model, ids = build(LSTM), random_ids(1, 5)
    cache = model(ids[:, :-1]).past_key_values

    class Interrupting:
        tokens = []

        def put(self, value):
            self.tokens += value.flatten().tolist()
            if len(self.tokens) == 9:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(model, ids, past_key_values=cache, do_sample=False, eos_token_id=None, streamer=Interrupting())
    assert cache.get_seq_length() == 8
    expected = model(torch.tensor([Interrupting.tokens[:8]]))
    assert_close([state for layer in cache.layers for state in layer.states], states(expected))


def test_whoever_changes_the_model_is_heard(monkeypatch):
    """Hooks, wrapped or overridden forward passes, training mode: the whole forward pass runs for each token."""
    ids = random_ids(1, 5)
    for part in (lambda m: m, lambda m: m.model, lambda m: m.model.layers[1]):
        model, calls = build(LSTM, eos_token_id=None), []
        part(model).register_forward_hook(lambda *_, calls=calls: calls.append(1))
        generate(model, ids, do_sample=False)
        assert len(calls) == 12
        model, calls = build(LSTM, eos_token_id=None), []
        forward = part(model).forward
        part(model).forward = lambda *args, f=forward, calls=calls, **kwargs: calls.append(1) or f(*args, **kwargs)
        generate(model, ids, do_sample=False)
        assert len(calls) == 12

    class Biased(LSTM.head("ForCausalLM")):
        def forward(self, *args, **kwargs):
            outputs = super().forward(*args, **kwargs)
            outputs.logits[..., 7] += 100
            return outputs

    assert (generate(Biased(build(LSTM).config).eval(), ids, do_sample=False)[0, 5:] == 7).all()
    model = build(LSTM, hidden_dropout=0.9, eos_token_id=None).train()
    assert not torch.equal(generate(model, ids, do_sample=False), generate(model, ids, do_sample=False, seed=1))


def test_autocast_is_honoured():
    model, ids = build(LSTM), random_ids(2, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = generate(model, ids, do_sample=False, return_dict_in_generate=True)
        expected = generate(model, ids, do_sample=False, return_dict_in_generate=True, output_scores=True)
    assert torch.equal(out.sequences, expected.sequences)
    assert [s.dtype for s in states(out)] == [s.dtype for s in states(expected)]


WARPERS = {
    "none": [],
    "temperature": [TemperatureLogitsWarper(0.7)],
    "top-k": [TopKLogitsWarper(5)],
    "top-p": [TopPLogitsWarper(0.6)],
    "top-p 0": [TopPLogitsWarper(0.0)],
    "all": [TemperatureLogitsWarper(1.3), TopKLogitsWarper(9), TopPLogitsWarper(0.8)],
    "k beyond the vocabulary": [TopKLogitsWarper(500), TopPLogitsWarper(0.9)],
    "another order": [TopPLogitsWarper(0.8), TemperatureLogitsWarper(1.3)],
    "two of a kind": [TopKLogitsWarper(9), TopKLogitsWarper(4)],
    "keeps three": [TopPLogitsWarper(0.1, min_tokens_to_keep=3)],
    "finite filter": [TopKLogitsWarper(4, filter_value=-3.0)],
    "unknown ones": [RepetitionPenaltyLogitsProcessor(2.0), TopKLogitsWarper(9), MinPLogitsWarper(0.1)],
}


@pytest.mark.parametrize("warpers", WARPERS.values(), ids=WARPERS)
def test_samples_follow_the_distribution_that_the_processors_define(warpers):
    draws, scores, ids = 40_000, torch.randn(1, 23) * 1.5, torch.tensor([[4, 9]])
    expected = LogitsProcessorList(warpers)(ids, scores.clone()).softmax(-1)[0]
    tokens = TokenSelector(warpers, do_sample=True)(ids.expand(draws, -1), scores.expand(draws, -1))
    frequencies = tokens.bincount(minlength=23) / draws
    assert (frequencies[expected == 0] == 0).all()
    deviation = (expected * (1 - expected) / draws).sqrt()
    assert ((frequencies - expected).abs() <= 4.5 * deviation + 1e-6).all()


@pytest.mark.parametrize("spread", [0.01, 5.0], ids=["flat", "peaked"])
def test_nucleus_of_a_large_vocabulary(spread):
    """The same tokens stay, whether the nucleus fits in the first look or the whole vocabulary has to be sorted."""
    scores = torch.randn(2, 2 * NUCLEUS) * spread
    kept = TopPLogitsWarper(0.9)(None, scores.clone()).isfinite()
    assert (kept.sum(-1).max() < NUCLEUS) == (spread == 5.0)
    selector = TokenSelector([TopPLogitsWarper(0.9)], do_sample=True)
    for _ in range(300):
        assert kept.gather(1, selector(None, scores)[:, None]).all()


def test_draw_never_takes_what_has_no_probability(monkeypatch):
    probabilities = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]])
    for number, index in ((0.0, 1), (0.2499, 1), (0.25, 3), (1 - 2**-53, 3)):
        monkeypatch.setattr(torch, "rand_like", lambda t, number=number: torch.full_like(t, number))
        assert draw(probabilities).item() == index
        assert draw(probabilities * 3e-38).item() == index


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 0.0])
def test_draw_from_no_distribution_is_refused(value):
    with pytest.raises(ValueError, match="not finite or all 0"):
        draw(torch.tensor([[0.5, 0.5], [value, 0.0]]))


def test_seed():
    model, ids = build(LSTM, eos_token_id=None), random_ids(2, 5)
    first, again, other = (generate(model, ids, seed=seed, do_sample=True) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Beam search of an encoder-decoder: against all sequences there are, a search by hand, and that of transformers."""

import functools
import itertools

import pytest
import torch
from families import GRU, LSTM, MASKS, assert_close, first_fast, random_ids
from test_encoder_decoder_generation import generate, loop_of_transformers, writer

from hf_lstm.models.attention import Attention
from hf_lstm.models.beam_search import Beams


STOPPING = [False, True, "never"]
PENALTIES = [0.0, 1.0, 2.5, -1.0]
each_rule = pytest.mark.parametrize("early_stopping", STOPPING, ids=str)
each_penalty = pytest.mark.parametrize("length_penalty", PENALTIES)
# The default penalty under each rule, and each penalty under the default rule, in each run.
each_pair = pytest.mark.parametrize(
    ("early_stopping", "length_penalty"),
    [
        pytest.param(rule, penalty, marks=() if rule is False or penalty == 1 else pytest.mark.slow)
        for rule in STOPPING
        for penalty in PENALTIES
    ],
)
MASK = torch.tensor([*MASKS["left"], MASKS["holes"][0]])


def tiny(**fields):
    """Four tokens, of which 3 ends a sequence; nothing is padding."""
    special = {"pad_token_id": None, "unk_token_id": None, "bos_token_id": 2, "eos_token_id": 3}
    return writer(target={"vocab_size": 4, **special}, end=0.5, **fields)


def log_p_after(model, source):
    """A function of a hypothesis, its tokens, to the log-probabilities of the next one."""

    encoded = model.get_encoder()(source)

    @functools.cache
    def log_p(tokens):
        outputs = model(encoder_outputs=encoded, decoder_input_ids=torch.tensor([[2, *tokens]]))
        return outputs.logits[0, -1].log_softmax(-1).tolist()

    return log_p


@each_pair
def test_finds_the_best_of_all_sequences(length_penalty, early_stopping):
    """With as many beams as there are prefixes, it is exhaustive."""
    model, source, steps = tiny(), random_ids(1, 4, 23), 3
    log_p, found = log_p_after(model, source), []
    for length in range(1, steps + 1):
        for tokens in itertools.product(range(4), repeat=length):
            whole = 3 not in tokens[:-1] and (tokens[-1] == 3 or length == steps)
            if whole:
                total = sum(log_p(tokens[:i])[token] for i, token in enumerate(tokens))
                found.append((total / length**length_penalty, tokens))
    found.sort(reverse=True)
    options = {"num_beams": 40, "num_return_sequences": 10, "max_new_tokens": steps, "do_sample": False}
    options |= {"length_penalty": length_penalty, "early_stopping": early_stopping}
    for more in ({}, {"output_scores": True}):  # ours, and that of transformers
        out = generate(model, source, return_dict_in_generate=True, **options, **more)
        assert_close(out.sequences_scores, torch.tensor([score for score, _ in found[:10]]))
        for row, (_, tokens) in zip(out.sequences.tolist(), found, strict=False):
            assert tuple(row[1 : 1 + len(tokens)]) == tokens


def search_by_hand(log_p, k, longest, length_penalty, early_stopping, end=3):
    """
    The k best finished hypotheses, as (score, tokens). At each step the best 2 k continuations of k beams are looked
    at; of the best k those that end are finished; the best that do not end go on. It is over when no beam can beat the
    worst of k finished ones, by its score at its present length, or, with "never", at the length that suits it best.
    """
    beams, finished = [(0.0, ())], []
    for length in range(1, longest + 1):
        continued = [(score + p, (*tokens, token)) for score, tokens in beams for token, p in enumerate(log_p(tokens))]
        continued = sorted(continued, reverse=True)[: 2 * k]
        ends = [tokens[-1] == end or length == longest for _, tokens in continued]
        if not (early_stopping is True and len(finished) == k):
            new = [
                (score / length**length_penalty, tokens)
                for (score, tokens), over in list(zip(continued, ends, strict=True))[:k]
                if over
            ]
            finished = sorted(finished + new, reverse=True)[:k]
        beams = [beam for beam, over in zip(continued, ends, strict=True) if not over][:k]
        if not beams or (early_stopping is True and len(finished) == k):
            break
        at = longest if early_stopping == "never" and length_penalty > 0 else length
        if len(finished) == k and beams[0][0] / at**length_penalty <= finished[-1][0]:
            break
    return finished


@each_pair
@first_fast("fields", {"whole": {}, "fed": {"encoder": GRU, "input_feeding": True, "attention": "additive"}})
def test_equals_a_search_by_hand(length_penalty, early_stopping, fields):
    model, source = writer(**fields, end=1.0), random_ids(2, 7, 23)
    options = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 8, "do_sample": False}
    options |= {"length_penalty": length_penalty, "early_stopping": early_stopping}
    out = generate(model, source, attention_mask=MASK[:2], return_dict_in_generate=True, **options)
    for row in range(2):
        words = source[row : row + 1, MASK[row].bool()]
        hypotheses = search_by_hand(log_p_after(model, words), 3, 8, length_penalty, early_stopping)
        for i, (score, tokens) in enumerate(hypotheses):
            assert_close(out.sequences_scores[3 * row + i].item(), score, 1e-4)
            assert tuple(out.sequences[3 * row + i, 1 : 1 + len(tokens)].tolist()) == tokens


SEARCHES = {
    "3 beams": {"num_beams": 3},
    "n best": {"num_beams": 4, "num_return_sequences": 4},
    "more beams than tokens": {"num_beams": 40, "num_return_sequences": 40},
    "two ends": {"num_beams": 3, "eos_token_id": [3, 7, 9]},
    "no end": {"num_beams": 3, "eos_token_id": None},
    "least length": {"num_beams": 3, "min_new_tokens": 4},
    "first token": {"num_beams": 3, "forced_bos_token_id": 8},
    "last token": {"num_beams": 3, "forced_eos_token_id": 3},
    "bad words": {"num_beams": 3, "bad_words_ids": [[5], [6, 7]]},
    "no repetition": {"num_beams": 3, "no_repeat_ngram_size": 2},
    "repetition penalty": {"num_beams": 3, "repetition_penalty": 1.4},
    "suppressed": {"num_beams": 3, "suppress_tokens": [5, 8], "begin_suppress_tokens": [3]},
    "one token": {"num_beams": 3, "max_new_tokens": 1},
    "decay": {"num_beams": 3, "exponential_decay_length_penalty": (3, 1.5)},
}
each_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)


def assert_same(ours, theirs):
    assert torch.equal(ours.sequences, theirs.sequences)
    assert_close(ours.sequences_scores, theirs.sequences_scores)
    assert torch.equal(ours.beam_indices, theirs.beam_indices)


@first_fast("early_stopping", {"False": False, "True": True, "never": "never"})
@each_search
def test_equals_the_loop_of_transformers(search, early_stopping):
    model, source = writer(end=1.0), random_ids(4, 7, 23)
    options = {"early_stopping": early_stopping, "attention_mask": MASK, "do_sample": False} | search
    theirs = loop_of_transformers(model, source, **options)
    assert_same(generate(model, source, return_dict_in_generate=True, **options), theirs)
    if early_stopping is False:
        assert torch.equal(generate(model, source, use_cache=False, **options), theirs.sequences)


@pytest.mark.slow
@each_rule
@each_penalty
@pytest.mark.parametrize("end", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("num_beams", [2, 3, 5])
def test_equals_the_loop_of_transformers_for_more_models(num_beams, end, length_penalty, early_stopping):
    options = {"num_beams": num_beams, "num_return_sequences": num_beams, "do_sample": False, "max_new_tokens": 15}
    options |= {"length_penalty": length_penalty, "early_stopping": early_stopping, "attention_mask": MASK}
    for seed in range(4):
        torch.manual_seed(seed)
        model, source = writer(end=end, encoder=(LSTM, GRU)[seed % 2], input_feeding=seed > 1), random_ids(4, 7, 23)
        ours = generate(model, source, return_dict_in_generate=True, **options)
        assert_same(ours, loop_of_transformers(model, source, **options))


def allowed(batch_id, tokens):
    """What may follow depends on the number of the source, and on what stands before."""
    return [3, 4 + batch_id, 8 + batch_id, 12 + (batch_id + len(tokens)) % 4]


COUNTING = {
    "tokens that are allowed": {"prefix_allowed_tokens_fn": allowed},
    "repetition penalty": {"repetition_penalty": 1.4},
    "of the source": {"encoder_repetition_penalty": 4.0},
    "no n-gram of the source": {"encoder_no_repeat_ngram_size": 1},
}


@first_fast("early_stopping", {"True": True, "False": False, "never": "never"})
@pytest.mark.parametrize("more", COUNTING.values(), ids=COUNTING)
def test_processors_that_count_the_rows(more, early_stopping, monkeypatch):
    """They are given the rows of all sources, also when those of some are done."""
    options = {"early_stopping": early_stopping, "attention_mask": MASK, "do_sample": False, "num_beams": 3}
    options |= {"num_return_sequences": 2, "max_new_tokens": 12, "return_dict_in_generate": True}
    unfinished, some = Beams.unfinished, []

    def seen(self):
        going = unfinished(self)
        some.append(bool(going.any() and not going.all()))
        return going

    monkeypatch.setattr(Beams, "unfinished", seen)
    for seed in range(12):
        torch.manual_seed(seed)
        model, source = writer(end=2.0), random_ids(4, 7)
        ours = generate(model, source, **options, **more)
        assert_same(ours, loop_of_transformers(model, source, **options, **more))
        if any(some) and not torch.equal(generate(model, source, **options).sequences, ours.sequences):
            return
    raise AssertionError("no source was done before the others, or the processor had no effect")


@each_rule
def test_a_source_does_not_depend_on_the_others(early_stopping):
    model, source = writer(end=2.0), random_ids(4, 7, 23)
    options = {"num_beams": 4, "num_return_sequences": 3, "early_stopping": early_stopping, "do_sample": False}
    options |= {"max_new_tokens": 15, "return_dict_in_generate": True}
    out = generate(model, source, attention_mask=MASK, **options)
    for row in range(4):
        alone = generate(model, source[row : row + 1, MASK[row].bool()], **options)
        length = alone.sequences.shape[1]
        ours = out.sequences[3 * row : 3 * row + 3]
        assert torch.equal(ours[:, :length], alone.sequences)
        assert_close(out.sequences_scores[3 * row : 3 * row + 3], alone.sequences_scores)
        assert (ours[:, length:] == 3).all()  # as transformers fills where the id of padding is 0


def test_sources_that_are_done_are_computed_no_further(monkeypatch):
    calls, forward, fewest = [], Attention.forward, []

    def counted(self, states, memory):
        calls.append(len(states))
        return forward(self, states, memory)

    monkeypatch.setattr(Attention, "forward", counted)
    for seed in range(6):
        torch.manual_seed(seed)
        generate(writer(end=1.0), random_ids(4, 7), num_beams=3, do_sample=False, early_stopping=True)
        assert calls[0] == 12 and calls == sorted(calls, reverse=True)
        fewest.append(calls[-1])
        calls.clear()
    assert min(fewest) == 3


def test_scores_are_those_of_a_forward_pass():
    model, source = writer(end=0.5), random_ids(3, 6, 23)
    out = generate(model, source, num_beams=4, num_return_sequences=2, do_sample=False, return_dict_in_generate=True)
    log_p = model(source, decoder_input_ids=out.sequences[:, :-1]).logits.log_softmax(-1)
    for row, tokens in enumerate(out.sequences[:, 1:]):
        length = int((tokens == 3).int().argmax()) + 1 if (tokens == 3).any() else len(tokens)
        total = log_p[row, :length].gather(1, tokens[:length, None]).sum()
        assert_close(out.sequences_scores[row], total / length)
    assert out.cache is None  # of no hypothesis alone


def test_a_source_without_a_hypothesis_is_an_error():
    model, source = writer(), random_ids(2, 6, 23)
    with pytest.raises(ValueError, match="not finite or all 0"):
        generate(model, source, num_beams=3, do_sample=False, suppress_tokens=list(range(31)))
    torch.nn.init.constant_(model.lm_head.weight, torch.nan)
    with pytest.raises(ValueError, match="not finite or all 0"):
        generate(model, source, num_beams=3, do_sample=False)


@pytest.mark.parametrize("early_stopping", STOPPING, ids=str)
def test_a_prefix_and_its_state(early_stopping):
    model, source = writer(end=1.0), random_ids(2, 6, 23)
    prefix = torch.tensor([[2, 7, 8], [2, 9, 4]])
    options = {"num_beams": 3, "num_return_sequences": 2, "early_stopping": early_stopping, "do_sample": False}
    options |= {"decoder_input_ids": prefix, "return_dict_in_generate": True}
    ours = generate(model, source, **options)
    assert_same(ours, loop_of_transformers(model, source, **options))
    assert torch.equal(ours.sequences[:, :3], prefix.repeat_interleave(2, 0))
    cache = model(source, decoder_input_ids=prefix[:, :-1]).cache
    cache.batch_repeat_interleave(3)
    before = [state.clone() for layer in cache.layers for state in layer.states]
    assert torch.equal(generate(model, source, cache=cache.copy(), **options).sequences, ours.sequences)
    assert_close([state for layer in cache.layers for state in layer.states], before, 0)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""`generate` in every mode: with the state cache it gives what recomputation from the first token gives."""

import copy
import itertools
import re
import sys
import threading
from pathlib import Path

import pytest
import torch
import transformers
from families import LSTM, assert_close, each_family, random_ids, states
from transformers import DynamicCache, StaticCache, TextIteratorStreamer, TextStreamer
from transformers.modeling_outputs import CausalLMOutputWithPast

from hf_lstm import LSTMForCausalLM, LSTMTokenizer, RecurrentCache
from hf_lstm.models.generation import TESTED, RecurrentGenerationMixin


MODES = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "num_return_sequences": 3},
    "top-k and top-p": {"do_sample": True, "top_k": 7, "top_p": 0.9, "temperature": 0.7},
    "beams": {"do_sample": False, "num_beams": 4, "num_return_sequences": 2},
    "beam sampling": {"do_sample": True, "num_beams": 3},
    "penalties": {"do_sample": False, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    "guidance": {"do_sample": False, "guidance_scale": 1.7},
}
each_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def build(family, **fields):
    """A language model whose greedy text does not settle into a loop at once, as it does with tied embeddings."""
    defaults = {"tie_word_embeddings": False, "eos_token_id": 2, "hidden_size": 32, "embedding_size": 16}
    model = family.build("ForCausalLM", **(defaults | fields))
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.mul_(3 if family.name != "RNN" else 1.5)  # a plain network is chaotic beyond 3 ** 0.5
        if model.config.pad_token_id is not None:
            layer = getattr(model.lm_head, "head", model.lm_head)  # of an adaptive softmax, the most frequent tokens
            layer.bias[model.config.pad_token_id] = -100  # `generate` masks padding that it finds in a prompt
    return model


def generate(model, ids=None, seed=0, **kwargs):
    transformers.set_seed(seed)
    return model.generate(ids, **({"max_new_tokens": 12} | kwargs))


def loop_of_transformers(model, ids=None, **kwargs):
    """The same tokens by the loop of transformers, which runs where scores are asked for."""
    return generate(model, ids, return_dict_in_generate=True, output_scores=True, **kwargs).sequences


def left_padded():
    """Three prompts of different lengths as a left-padded batch, its mask, and the prompts themselves."""
    ids = random_ids(3, 6)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]])
    return ids.masked_fill(mask == 0, 0), mask, [row[real.bool()][None] for row, real in zip(ids, mask, strict=True)]


@each_mode
@each_family
def test_cached_equals_recomputed(family, mode):
    model, ids = build(family), random_ids(2, 5)
    cached = loop_of_transformers(model, ids, **mode)
    assert torch.equal(cached, generate(model, ids, use_cache=False, **mode))
    assert cached[:, 5:].unique().numel() > 2


@each_mode
@each_family
def test_cached_equals_recomputed_with_left_padding(family, mode):
    model = build(family)
    ids, mask, _ = left_padded()
    cached = loop_of_transformers(model, ids, attention_mask=mask, **mode)
    assert torch.equal(cached, generate(model, ids, attention_mask=mask, use_cache=False, **mode))


@pytest.mark.parametrize("mode", ["greedy", "beams"])  # penalties count the padding of the prompt, in transformers
@each_family
def test_batch_of_unequal_prompts_equals_one_at_a_time(family, mode):
    model = build(family)
    ids, mask, prompts = left_padded()
    batch = generate(model, ids, attention_mask=mask, **MODES[mode])
    count = len(batch) // 3
    for row, prompt in enumerate(prompts):
        alone = generate(model, prompt, **MODES[mode])[:, prompt.shape[1] :]
        ours = batch[row * count : (row + 1) * count, 6 : 6 + alone.shape[1]]
        assert torch.equal(ours, alone)
        assert (batch[row * count : (row + 1) * count, 6 + alone.shape[1] :] == 0).all()


@each_family
def test_scores_equal_a_forward_pass(family):
    model, ids = build(family), random_ids(2, 5)
    out = generate(
        model, ids, do_sample=False, return_dict_in_generate=True, output_logits=True, output_hidden_states=True
    )
    logits = model(out.sequences[:, :-1]).logits[:, 4:]
    assert_close(torch.stack(out.logits, dim=1), logits)
    assert len(out.hidden_states) == len(out.logits) and len(out.hidden_states[0]) == 3
    assert out.past_key_values.get_seq_length() == out.sequences.shape[1] - 1


@each_family
def test_beam_search_finds_the_best_of_all_sequences(family):
    """With as many beams as there are prefixes, beam search is exhaustive: it equals brute force."""
    model = build(family, vocab_size=5, eos_token_id=None)
    ids, steps = torch.tensor([[1, 2]]), 3
    continuations = torch.tensor(list(itertools.product(range(5), repeat=steps)))
    sequences = torch.cat([ids.expand(len(continuations), -1), continuations], dim=1)
    log_probabilities = model(sequences[:, :-1]).logits[:, 1:].log_softmax(-1)
    totals = log_probabilities.gather(2, continuations[..., None]).sum((1, 2))
    out = generate(
        model,
        ids,
        do_sample=False,
        num_beams=25,
        num_return_sequences=5,
        max_new_tokens=steps,
        return_dict_in_generate=True,
        output_scores=True,
    )
    best = totals.topk(5)
    assert torch.equal(out.sequences, sequences[best.indices])
    assert_close(out.sequences_scores, best.values / steps)


@each_family
def test_embeddings_as_prompt(family):
    model, ids = build(family), random_ids(2, 5)
    expected = generate(model, ids, do_sample=False)[:, 5:]
    embeds = model.get_input_embeddings()(ids)
    assert torch.equal(generate(model, inputs_embeds=embeds, do_sample=False), expected)
    assert torch.equal(generate(model, ids, inputs_embeds=embeds, do_sample=False)[:, 5:], expected)


@each_family
def test_chunked_prefill(family):
    model, ids = build(family), random_ids(2, 11)
    assert torch.equal(
        generate(model, ids, do_sample=False, prefill_chunk_size=4), generate(model, ids, do_sample=False)
    )


@each_family
def test_negative_prompt(family):
    model, ids = build(family), random_ids(1, 5)
    mode = {"do_sample": False, "guidance_scale": 2.0, "negative_prompt_ids": random_ids(1, 3)}
    cached = generate(model, ids, **mode)
    assert torch.equal(cached, generate(model, ids, use_cache=False, **mode))
    assert not torch.equal(cached, generate(model, ids, do_sample=False))


def test_guidance_equals_its_equation():
    """log p = log p(x|c) * s + (1 - s) * log p(x), each from a pass over all tokens."""
    model, ids, negative = build(LSTM), random_ids(1, 5), random_ids(1, 3)
    out = generate(model, ids, do_sample=False, guidance_scale=2.0, negative_prompt_ids=negative, max_new_tokens=6)
    for step in range(out.shape[1] - 5):
        with_prompt = model(out[:, : 5 + step]).logits[0, -1].log_softmax(-1)
        without = model(torch.cat([negative, out[:, 5 : 5 + step]], dim=1)).logits[0, -1].log_softmax(-1)
        assert out[0, 5 + step] == (2 * with_prompt - without).argmax()


@pytest.mark.parametrize("sizes", [[5, 7], [1, 1, 10], [4, 4, 4]], ids=str)
@each_family
def test_continuation_from_a_returned_state(family, sizes):
    """Generating in parts, each from the state that the last one returned, gives the text of one call."""
    model, ids = build(family, eos_token_id=None), random_ids(2, 5)
    whole = generate(model, ids, do_sample=False, max_new_tokens=sum(sizes))
    cache, text = None, ids
    for size in sizes:
        out = generate(
            model, text, do_sample=False, max_new_tokens=size, past_key_values=cache, return_dict_in_generate=True
        )
        cache, text = out.past_key_values, out.sequences
    assert torch.equal(text, whole)


@each_family
def test_continuation_with_the_new_tokens_only(family):
    """Who keeps the state need not keep the text: new tokens, and a mask as long as the old and the new ones."""
    model, ids, more = build(family, eos_token_id=None), random_ids(1, 5), random_ids(1, 4)
    state = model(ids).past_key_values
    expected = generate(model, torch.cat([ids, more], dim=1), do_sample=False)[:, 9:]
    mask = torch.ones(1, 9, dtype=torch.long)
    assert torch.equal(
        generate(model, more, attention_mask=mask, past_key_values=state, do_sample=False)[:, 4:], expected
    )


@each_family
def test_continuation_of_a_left_padded_batch(family):
    model = build(family, eos_token_id=None)
    ids, mask, _ = left_padded()
    whole = generate(model, ids, attention_mask=mask, do_sample=False, max_new_tokens=10)
    first = generate(model, ids, attention_mask=mask, do_sample=False, max_new_tokens=4, return_dict_in_generate=True)
    longer = torch.cat([mask, mask.new_ones(3, 4)], dim=1)
    rest = generate(
        model,
        first.sequences,
        attention_mask=longer,
        past_key_values=first.past_key_values,
        do_sample=False,
        max_new_tokens=6,
    )
    assert torch.equal(rest, whole)


@each_family
def test_state_travels_through_a_file(family, tmp_path):
    model, ids = build(family, eos_token_id=None), random_ids(2, 5)
    out = generate(model, ids, do_sample=False, max_new_tokens=4, return_dict_in_generate=True)
    out.past_key_values.save_file(tmp_path / "state.safetensors")
    loaded = RecurrentCache.load_file(tmp_path / "state.safetensors")
    assert loaded.get_seq_length() == 8 and loaded.model_type == model.config.model_type
    assert (tmp_path / "state.safetensors").stat().st_size < 2048
    expected = generate(model, out.sequences, do_sample=False, past_key_values=out.past_key_values)
    assert torch.equal(generate(model, out.sequences, do_sample=False, past_key_values=loaded), expected)


@pytest.mark.parametrize(
    "duplicate", [RecurrentCache.copy, copy.copy, copy.deepcopy], ids=["copy", "copy.copy", "deepcopy"]
)
@each_family
def test_branches_do_not_disturb_each_other(family, duplicate):
    model, ids = build(family, eos_token_id=None), random_ids(2, 5)
    out = generate(model, ids, do_sample=False, max_new_tokens=4, return_dict_in_generate=True)
    trunk = out.past_key_values
    before = [state.clone() for state in states(out)]
    branch = duplicate(trunk)
    one = generate(model, out.sequences, do_sample=False, past_key_values=branch)
    assert_close(states(out), before, 0)
    assert trunk.get_seq_length() == 8 < branch.get_seq_length()
    assert torch.equal(generate(model, out.sequences, do_sample=False, past_key_values=trunk), one)


@each_family
def test_one_state_for_several_sequences(family):
    model, ids = build(family, eos_token_id=None), random_ids(1, 5)
    cache = model(ids[:, :-1]).past_key_values
    cache.batch_repeat_interleave(3)
    expected = generate(model, ids, do_sample=True, num_return_sequences=3)
    assert torch.equal(generate(model, ids, do_sample=True, num_return_sequences=3, past_key_values=cache), expected)


def assistants(family, model):
    """Models that agree with the main one always, sometimes and hardly ever."""
    noisy = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in noisy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter) * parameter.std())
    return {"itself": copy.deepcopy(model), "noisy": noisy, "other": build(family, hidden_size=4, num_hidden_layers=1)}


@pytest.mark.parametrize("which", ["itself", "noisy", "other"])
@each_family
def test_assisted_decoding_equals_greedy(family, which):
    model = build(family, eos_token_id=None)
    assistant = assistants(family, model)[which]
    for seed in range(5):
        transformers.set_seed(seed)
        ids = random_ids(1, 4)
        expected = generate(model, ids, do_sample=False, max_new_tokens=30)
        assert torch.equal(
            generate(model, ids, do_sample=False, max_new_tokens=30, assistant_model=assistant), expected
        )


@each_family
def test_assisted_decoding_saves_calls(family, monkeypatch):
    """An assistant that is always right lets the main model check many tokens in one call."""
    model = build(family, eos_token_id=None)
    assistant = copy.deepcopy(model)
    assistant.generation_config.assistant_confidence_threshold = 0.0  # draft on, however flat the distribution
    calls, forward = [], model.forward
    monkeypatch.setattr(model, "forward", lambda *args, **kwargs: (calls.append(1), forward(*args, **kwargs))[1])
    generate(model, random_ids(1, 4), do_sample=False, max_new_tokens=30, assistant_model=assistant)
    assert len(calls) <= 6


@each_family
def test_assistant_of_another_family(family):
    model, assistant = (
        build(family),
        transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=31, n_embd=8, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2)
        ),
    )
    ids = random_ids(1, 4)
    expected = generate(model, ids, do_sample=False)
    assert torch.equal(generate(model, ids, do_sample=False, assistant_model=assistant.eval()), expected)
    expected = generate(assistant, ids, do_sample=False, pad_token_id=0)
    assert torch.equal(generate(assistant, ids, do_sample=False, pad_token_id=0, assistant_model=model), expected)


@each_family
def test_prompt_lookup_equals_greedy(family):
    model = build(family)
    for seed in range(5):
        transformers.set_seed(seed)
        ids = random_ids(1, 3).repeat(1, 4)
        expected = generate(model, ids, do_sample=False, max_new_tokens=30)
        assert torch.equal(
            generate(model, ids, do_sample=False, max_new_tokens=30, prompt_lookup_num_tokens=4), expected
        )


@each_family
def test_assisted_sampling_follows_the_distribution_of_the_model(family):
    """Speculative sampling (Leviathan et al. 2023) keeps the distribution of the main model: here, of token two."""
    model = build(family, vocab_size=4, eos_token_id=None, pad_token_id=None)
    assistant = build(family, vocab_size=4, hidden_size=4, eos_token_id=None, pad_token_id=None)
    for each in (model, assistant):
        each.lm_head.weight.data *= 0.3
    ids, counts, trials = torch.tensor([[1]]), torch.zeros(4), 400
    for seed in range(trials):
        out = generate(model, ids, seed, do_sample=True, top_k=0, max_new_tokens=2, assistant_model=assistant)
        counts[out[0, 2]] += 1
    first = model(ids).logits[0, -1].softmax(-1)
    second = torch.stack([model(torch.tensor([[1, t]])).logits[0, -1].softmax(-1) for t in range(4)])
    expected = first @ second
    standard_error = (expected * (1 - expected) / trials).sqrt()
    assert ((counts / trials - expected).abs() < 4 * standard_error + 1e-3).all()


@each_family
def test_state_after_assisted_decoding(family):
    """The returned state is that of the returned text, and generation continues from it."""
    model = build(family, eos_token_id=None)
    out = generate(
        model,
        random_ids(1, 4),
        do_sample=False,
        assistant_model=assistants(family, model)["noisy"],
        return_dict_in_generate=True,
    )
    assert out.past_key_values.get_seq_length() == out.sequences.shape[1] - 1
    assert_close(states(out), states(model(out.sequences[:, :-1])))
    expected = generate(model, out.sequences, do_sample=False)
    assert torch.equal(generate(model, out.sequences, do_sample=False, past_key_values=out.past_key_values), expected)
    assert not out.past_key_values.layers[0].past  # nothing is recorded once assistance is over


@each_family
def test_crop_goes_back_exactly(family):
    model, ids = build(family), random_ids(2, 9)
    cache = model(ids[:, :4]).past_key_values
    cache.activate_past_recording()
    model(ids[:, 4:8], past_key_values=cache)
    model(ids[:, 8:], past_key_values=cache)
    cache.crop(-3)
    assert cache.get_seq_length() == 6
    assert_close([s for layer in cache.layers for s in layer.states], states(model(ids[:, :6])))
    with pytest.raises(ValueError, match="activate_past_recording"):
        cache.crop(-1)  # what was recorded is forgotten
    cache.crop(0)
    assert cache.get_seq_length() == 6
    model(ids[:, 6:8], past_key_values=cache)
    cache.crop(7)  # a positive number: so many tokens stay
    assert_close([s for layer in cache.layers for s in layer.states], states(model(ids[:, :7])))


@each_family
def test_crop_without_recording_is_refused(family):
    model = build(family)
    cache = model(random_ids(2, 4)).past_key_values
    with pytest.raises(ValueError, match="cannot take back 2 tokens"):
        cache.crop(-2)


@each_family
def test_reset_and_batch_operations(family):
    model, ids = build(family), random_ids(3, 5)
    out = model(ids)
    cache, before = out.past_key_values, [s.clone() for s in states(out)]
    cache.batch_select_indices(torch.tensor([2, 0]))
    assert_close(states(out), [s[[2, 0]] for s in before], 0)
    cache.reorder_cache(torch.tensor([1, 1]))
    assert_close(states(out), [s[[0, 0]] for s in before], 0)
    cache.batch_repeat_interleave(2)
    assert cache.batch_size == 4
    cache.reset()
    assert cache.get_seq_length() == 0 and cache.batch_size == -1
    assert_close(model(ids, past_key_values=cache).logits, out.logits, 0)


@each_family
def test_detach_and_to(family):
    model = build(family)
    cache = model(random_ids(2, 5)).past_key_values
    assert cache.layers[0].states[0].requires_grad
    assert not cache.detach().layers[0].states[0].requires_grad
    assert cache.to(torch.float64).layers[1].states[0].dtype == torch.float64


@each_family
def test_state_has_a_fixed_size(family):
    """The state after 2,000 tokens takes the memory of the state after one, and nothing else is kept."""
    model = build(family, eos_token_id=None, pad_token_id=None)
    sizes = []
    for steps in (2, 2000):
        out = generate(model, torch.tensor([[1]]), do_sample=False, max_new_tokens=steps, return_dict_in_generate=True)
        tensors = [
            t for layer in out.past_key_values.layers for t in vars(layer).values() if isinstance(t, torch.Tensor)
        ]
        sizes.append(sum(s.numel() for s in states(out)) + sum(t.numel() for t in tensors))
        assert all(len(layer.past) == 0 for layer in out.past_key_values.layers)
    assert sizes[0] == sizes[1] <= 2 * 2 * 32


@pytest.fixture(scope="module")
def tokenizer():
    return LSTMTokenizer.train_from_iterator(["a rose is a rose is a rose", "the cat sat on the mat"], kind="char")


@pytest.mark.parametrize("assisted", [False, True], ids=["plain", "assisted"])
@each_family
def test_streaming(family, tokenizer, assisted, capsys):
    model = build(family, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    inputs = tokenizer("a rose", return_tensors="pt")
    kwargs = {"do_sample": False, "max_new_tokens": 10} | ({"prompt_lookup_num_tokens": 2} if assisted else {})
    expected = tokenizer.decode(model.generate(**inputs, **kwargs)[0], skip_special_tokens=True)
    model.generate(**inputs, streamer=TextStreamer(tokenizer, skip_special_tokens=True), **kwargs)
    assert capsys.readouterr().out.rstrip("\n") == expected.rstrip("\n")

    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=30)
    thread = threading.Thread(target=model.generate, kwargs={**inputs, "streamer": streamer, **kwargs})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert "a rose" + text == expected


@pytest.mark.parametrize("more", [{}, {"prompt_lookup_num_tokens": 2}], ids=["plain", "assisted"])
@each_family
def test_stop_strings(family, more):
    """They need the tokenizer, which `generate` hands on to each forward pass."""
    tokenizer = LSTMTokenizer.train_from_iterator(["abcdefghijklmnopqrstuvwxyz "], "char", show_progress=False)
    model = build(family, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, eos_token_id=None)
    inputs = tokenizer("a rose", return_tensors="pt")
    options = {"do_sample": False, "max_new_tokens": 10, "suppress_tokens": [0, 1, 2, 3]} | more
    text = tokenizer.decode(model.generate(**inputs, **options)[0])
    stop = text[8:10]
    stopped = model.generate(**inputs, **options, stop_strings=stop, tokenizer=tokenizer)[0]
    assert tokenizer.decode(stopped) == text[: text.index(stop, 6) + 2]


@pytest.mark.parametrize("kind", ["word", "char", "bpe", "unigram", "wordpiece"])
def test_stop_strings_without_letters(kind):
    """Whatever is in the vocabulary, the text ends where the decoded text first has a stop string."""
    corpus = ["été 123 où! 45\n", "ÿ 6 ñ\nüß? 1"]
    options = {"keep_newlines": True} if kind in ("word", "wordpiece") else {}
    tokenizer = LSTMTokenizer.train_from_iterator(corpus, kind, vocab_size=300, show_progress=False, **options)
    torch.manual_seed(1)
    model = build(LSTM, vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=3)
    inputs = tokenizer(["123", "6 ñ"], padding=True, padding_side="left", return_tensors="pt")
    options = {"max_new_tokens": 30, "do_sample": True, "suppress_tokens": [0, 1, 2, 3]}
    torch.manual_seed(0)
    free = model.generate(**inputs, **options)
    start = inputs["input_ids"].shape[1]
    texts = [[tokenizer.decode(row[:end]) for end in range(start, len(row) + 1)] for row in free]
    stops = [texts[0][9][-3:], texts[1][20][-2:]]
    for stop in [*stops, stops, "not there", "\n"]:
        torch.manual_seed(0)
        found = model.generate(**inputs, **options, stop_strings=stop, tokenizer=tokenizer)
        strings = [stop] if isinstance(stop, str) else stop
        for row, whole, steps in zip(found, free, texts, strict=True):
            begins = [steps[0].count(each) for each in strings]
            ends = [
                i
                for i, text in enumerate(steps)
                if any(text.count(each) > before for each, before in zip(strings, begins, strict=True))
            ]
            size = start + (ends[0] if ends else len(steps) - 1)
            assert row[:size].tolist() == whole[:size].tolist() and not row[size:].any(), (stop, steps)
    with pytest.raises(ValueError, match="`stop_strings`"):
        model.generate(**inputs, stop_strings=["a", ""], tokenizer=tokenizer)


@each_family
def test_what_cannot_work_is_refused(family):
    model, ids = build(family), random_ids(2, 5)
    before = model.generation_config.to_dict()
    for implementation in ("static", "dynamic", "offloaded", "quantized"):
        with pytest.raises(ValueError, match=f"cache_implementation='{implementation}'"):
            generate(model, ids, cache_implementation=implementation)
    with pytest.raises(NotImplementedError, match="left-padded"):
        generate(model, ids, cache_implementation="paged")
    with pytest.raises(NotImplementedError, match="left-padded"):
        model.generate_batch([[1, 2, 3]])
    with pytest.raises(NotImplementedError, match="left-padded"):
        model.init_continuous_batching()
    gpt2 = transformers.GPT2Config(vocab_size=31, n_embd=8, n_layer=2, n_head=2)
    for foreign in (DynamicCache(config=gpt2), StaticCache(config=gpt2, max_cache_len=9)):
        with pytest.raises(ValueError, match="RecurrentCache"):
            generate(model, ids, past_key_values=foreign)
    with pytest.raises(ValueError, match="`input_ids` has 5 tokens, but"):
        generate(model, ids, past_key_values=model(random_ids(2, 8)).past_key_values)
    with pytest.raises(ValueError, match="model_kwargs"):
        generate(model, ids, max_new_tokns=3)
    for name in ("num_beams", "num_return_sequences"):
        for number in (0, -1, 1.5):
            with pytest.raises(ValueError, match=f"`{name}` must be a whole number from 1 to inf, got {number!r}"):
                generate(model, ids, **{"num_beams": 2, name: number})
    for name, token in {"pad_token_id": -100, "forced_eos_token_id": [3, 31], "forced_bos_token_id": 31}.items():
        with pytest.raises(ValueError, match=rf"`{name}` .* 0 to 30, got {re.escape(repr(token))}"):
            generate(model, ids, **{name: token})
    assert model.generation_config.to_dict() == before


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
@each_family
def test_both_names_of_the_state(family, name):
    """Transformers calls it `cache` from 5.24 on and `past_key_values` before; a user may say either, anywhere."""
    model, ids = build(family, eos_token_id=None), random_ids(2, 6)
    first = model(ids[:, :4])
    assert first.cache is first.past_key_values and isinstance(first.cache, RecurrentCache)
    for each, start in ((model, first), (model.model, model.model(ids[:, :4]))):
        continued = each(ids[:, 4:], **{name: start.cache.copy()})
        assert_close(states(continued), states(each(ids)))
    out = generate(model, ids, do_sample=False, return_dict_in_generate=True)
    again = generate(model, ids, do_sample=False, **{name: model(ids[:, :4]).cache})
    assert torch.equal(again, out.sequences)
    prepared = model.prepare_inputs_for_generation(ids, next_sequence_length=2, **{name: first.cache})
    assert prepared["cache"] is first.cache and torch.equal(prepared["input_ids"], ids[:, -2:])


def test_two_different_states_are_refused():
    model, ids = build(LSTM), random_ids(2, 4)
    one, two = (model(ids).cache for _ in range(2))
    for call in (model, model.model, model.generate):
        with pytest.raises(ValueError, match="`cache` and `past_key_values` are two names"):
            call(ids, cache=one, past_key_values=two)


class ByTheOldName(LSTMForCausalLM):
    """What a person may have written who knows one of the names."""

    def forward(self, input_ids=None, attention_mask=None, past_key_values=None, use_cache=None, **kwargs):
        outputs = self.model(input_ids, attention_mask, past_key_values=past_key_values, use_cache=use_cache)
        logits = self.lm_head(outputs.last_hidden_state)
        return CausalLMOutputWithPast(logits=logits, past_key_values=outputs.past_key_values)


class HandedOn(LSTMForCausalLM):
    """By its place."""

    def forward(self, input_ids=None, attention_mask=None, past_key_values=None, **kwargs):
        return super().forward(input_ids, attention_mask, past_key_values, **kwargs)


@pytest.mark.parametrize("mode", ["greedy", "beams"])
@pytest.mark.parametrize("kind", [ByTheOldName, HandedOn])
def test_a_subclass_that_knows_one_name(kind, mode):
    config = LSTM.config(tie_word_embeddings=False, eos_token_id=2, hidden_size=32, embedding_size=16)
    model, ids = kind(config).eval(), random_ids(2, 5)
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.mul_(3)
    cached = generate(model, ids, **MODES[mode])
    assert torch.equal(cached, generate(model, ids, use_cache=False, **MODES[mode]))
    plain = LSTMForCausalLM(config).eval()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(cached, generate(plain, ids, **MODES[mode])) and cached[:, 5:].unique().numel() > 2


@each_family
def test_an_output_is_read_by_both_names(family):
    model, ids = build(family), random_ids(2, 4)
    for outputs in (model(ids), model.model(ids)):
        for name in ("cache", "past_key_values"):
            assert outputs[name] is outputs.get(name) is getattr(outputs, name) is not None and name in outputs
        outputs.cache = other = RecurrentCache(model.config)
        assert outputs.past_key_values is outputs["cache"] is other
    assert "cache" not in model(ids, use_cache=False)


def test_a_transformers_that_nobody_tested(monkeypatch):
    """It is tried on a tiny model before the first `generate`: one that loses the state is refused."""
    model, ids = build(LSTM), random_ids(2, 5)
    module = sys.modules[RecurrentGenerationMixin.__module__]
    assert not module.is_untested()
    expected = generate(model, ids, num_beams=3, do_sample=False)
    monkeypatch.setattr(module, "TESTED", (5, 0))
    module.beams_follow_state.cache_clear()
    random_state = torch.get_rng_state()
    assert module.beams_follow_state(type(model)) and torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(generate(model, ids, num_beams=3, do_sample=False), expected)
    odd = type(
        "Odd", (LSTMForCausalLM,), {"__init__": lambda self, config, more: LSTMForCausalLM.__init__(self, config)}
    )
    assert odd(model.config, "more").generate(ids, max_new_tokens=2).shape == (2, 7)
    module.beams_follow_state.cache_clear()
    monkeypatch.setattr(RecurrentCache, "reorder_cache", lambda self, beam_idx: None)
    with pytest.raises(RuntimeError, match=r"use_cache=False"):
        generate(model, ids, num_beams=3, do_sample=False)
    assert torch.equal(generate(model, ids, num_beams=3, do_sample=False, use_cache=False), expected)
    model.generation_config.use_cache = False
    assert torch.equal(generate(model, ids, num_beams=3, do_sample=False), expected)
    module.beams_follow_state.cache_clear()


@each_family
def test_an_empty_prompt_says_what_to_do(family):
    with pytest.raises(ValueError, match=r"prompt is empty text.*`tokenizer.bos_token_id`"):
        build(family).generate(torch.zeros(1, 0, dtype=torch.long), max_new_tokens=3)


def test_the_bound_is_the_newest_version_that_was_tested():
    bounds = re.findall(r'"transformers.*,<([\d.]+)"', (Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert set(bounds) == {f"{TESTED[0]}.{TESTED[1] + 1}"}

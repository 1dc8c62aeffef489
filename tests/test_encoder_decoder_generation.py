# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""`generate` of an encoder-decoder in every mode but beam search, which has a file of its own."""

import copy
import sys

import pytest
import torch
import transformers
from families import GRU, LSTM, MASKS, RNN, SPECIAL, assert_close, encoder_decoder, first_fast, random_ids, states
from reference import run_encoder_decoder
from transformers import TextStreamer

from hf_lstm import LSTMTokenizer
from hf_lstm.models.generation import RecurrentGenerationMixin


MODES = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "num_return_sequences": 3},
    "top-k and top-p": {"do_sample": True, "top_k": 7, "top_p": 0.9, "temperature": 0.7},
    "beams": {"do_sample": False, "num_beams": 4, "num_return_sequences": 2},
    "beam sampling": {"do_sample": True, "num_beams": 3},
    "penalties": {"do_sample": False, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
    "of the source": {"do_sample": False, "encoder_repetition_penalty": 1.5, "encoder_no_repeat_ngram_size": 2},
    "first token": {"do_sample": False, "forced_bos_token_id": 8, "bad_words_ids": [[9], [5, 6]]},
}
VARIANTS = {
    "lstm": {},
    "fed": {"encoder": GRU, "attention": "additive", "num_attention_heads": 2, "input_feeding": True},
    "rnn": {"encoder": RNN, "attention": "general", "bridge": "none", "target": {"num_hidden_layers": 3}},
    "1 layer": {"target": {"num_hidden_layers": 1}, "input_feeding": True},
}
each_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
each_variant = first_fast("fields", VARIANTS, 2)
LEFT = torch.tensor(MASKS["left"])


def writer(end: float | None = None, source=(), target=(), encoder=LSTM, **fields):
    """
    A model that writes texts which do not settle into a loop at once, and never padding; `end` is added to the score
    of the token that ends them.
    """
    target = {"tie_word_embeddings": False, "num_hidden_layers": 2, **dict(target)}
    model = encoder_decoder(encoder, source={"vocab_size": 31, **dict(source)}, target=target, **fields)
    with torch.no_grad():
        for layer in (*model.encoder.layers, *model.decoder.layers):
            for parameter in layer.parameters():
                parameter.mul_(1.5 if encoder is RNN else 3)
        if end is not None:
            model.lm_head.bias[3] += end
        if model.config.pad_token_id is not None:
            model.lm_head.bias[model.config.pad_token_id] = -100
    return model


def without_end(fields):
    """A model of a variant whose texts have no end."""
    return writer(**(fields | {"target": {**fields.get("target", {}), "eos_token_id": None}}))


def generate(model, ids=None, seed=0, **kwargs):
    transformers.set_seed(seed)
    return model.generate(ids, **({"max_new_tokens": 12} | kwargs))


def loop_of_transformers(model, ids=None, **kwargs):
    """By the loops of transformers, which run where scores are asked for."""
    return generate(model, ids, **(kwargs | {"return_dict_in_generate": True, "output_scores": True}))


def sources():
    """Three sources of different lengths as a left-padded batch, its mask, and the sources themselves."""
    ids = random_ids(3, 7).masked_fill(LEFT == 0, 0)
    return ids, LEFT, [row[real.bool()][None] for row, real in zip(ids, LEFT, strict=True)]


def test_greedy_text_is_that_of_the_equations():
    for fields in VARIANTS.values():
        model, source = writer(**fields).double(), random_ids(2, 5)
        found = generate(model, source, do_sample=False, max_new_tokens=8)
        for words, row in zip(source, found, strict=True):
            tokens = [2]
            for _ in range(8):
                tokens.append(int(run_encoder_decoder(model, words, tokens)[0][-1].argmax()))
                if tokens[-1] == 3:
                    break
            assert row[: len(tokens)].tolist() == tokens and not row[len(tokens) :].any()


@each_mode
@first_fast("fields", VARIANTS, {"fed"})
def test_cached_equals_recomputed(fields, mode):
    model = writer(**fields)
    ids, mask, _ = sources()
    cached = loop_of_transformers(model, ids, attention_mask=mask, **mode)
    again = loop_of_transformers(model, ids, attention_mask=mask, use_cache=False, **mode)
    assert torch.equal(cached.sequences, again.sequences)
    assert cached.sequences[:, 1:].unique().numel() > 2
    if not mode["do_sample"]:  # the loop of our own
        assert torch.equal(generate(model, ids, attention_mask=mask, **mode), cached.sequences)


@pytest.mark.parametrize("mode", ["greedy", "beams", "penalties", "first token"])
@each_variant
def test_a_source_does_not_depend_on_the_batch(fields, mode):
    """Padded on the left, with a mask, or with none where the id of padding tells."""
    model = writer(**fields, end=0.5)
    ids, mask, alone = sources()
    singles = [generate(model, each, **MODES[mode]) for each in alone]
    for batch in (generate(model, ids, attention_mask=mask, **MODES[mode]), generate(model, ids, **MODES[mode])):
        count = len(batch) // 3
        for row, expected in enumerate(singles):
            length = expected.shape[1]
            ours = batch[row * count : (row + 1) * count]
            assert torch.equal(ours[:, :length], expected)
            assert torch.isin(ours[:, length:], torch.tensor([0, 3])).all()


def test_padding_that_is_the_end_is_not_guessed():
    """Where one token says both, what stands at the end of a source may be its end: only a mask tells."""
    special = {"pad_token_id": 3, "eos_token_id": 3}
    model = writer(source=special)
    ids = torch.cat([random_ids(2, 4), torch.tensor([[3], [3]])], 1)
    found = generate(model, ids, do_sample=False)
    assert torch.equal(found, generate(model, ids, attention_mask=torch.ones_like(ids), do_sample=False))


def test_sampling_follows_the_distribution_of_the_model():
    model, source = writer(), random_ids(1, 5)
    expected = model(source, decoder_input_ids=torch.tensor([[2]])).logits[0, -1].softmax(-1)
    for options in ({"top_k": 0}, {"top_k": 5}, {"top_k": 0, "temperature": 2.0}):
        wanted = expected.log().div(options.get("temperature", 1.0))
        if options["top_k"]:
            wanted = wanted.masked_fill(wanted < wanted.topk(5).values[-1], -torch.inf)
        wanted = wanted.softmax(-1)
        out = generate(model, source, do_sample=True, num_return_sequences=4000, max_new_tokens=1, **options)
        counts = out[:, 1].bincount(minlength=31) / 4000
        error = (wanted * (1 - wanted) / 4000).sqrt()
        assert ((counts - wanted).abs() < 4.5 * error + 1e-3).all()
    seeds = [generate(model, source, seed=seed, do_sample=True) for seed in (1, 1, 2)]
    assert torch.equal(seeds[0], seeds[1]) and not torch.equal(seeds[0], seeds[2])


@first_fast("mode", MODES, {"greedy", "sampling", "beams"})
def test_outputs_of_the_encoder_in_place_of_a_source(mode):
    model = writer()
    ids, mask, _ = sources()
    encoded = model.get_encoder()(ids, attention_mask=mask)
    before = encoded.last_hidden_state.clone()
    mode = {name: value for name, value in mode.items() if not name.startswith("encoder_")}
    expected = generate(model, ids, attention_mask=mask, **mode)
    assert torch.equal(generate(model, encoder_outputs=encoded, attention_mask=mask, **mode), expected)
    assert torch.equal(encoded.last_hidden_state, before) and len(encoded.last_hidden_state) == 3
    embeds = model.get_input_embeddings()(ids)
    assert torch.equal(generate(model, inputs_embeds=embeds, attention_mask=mask, **mode), expected)


def prefixes():
    """Beginnings of targets of different lengths, padded on the left, and themselves."""
    rows = [[2, 7], [2, 5, 6, 9], [2]]
    ids = torch.tensor([[0] * (4 - len(row)) + row for row in rows])
    return ids, torch.tensor([[0] * (4 - len(row)) + [1] * len(row) for row in rows]), rows


@first_fast("use_cache", {"cached": True, "recomputed": False})
@pytest.mark.parametrize("mode", ["greedy", "beams"])
@first_fast("fields", VARIANTS, {"fed"})
def test_a_prefix_of_the_target(fields, mode, use_cache):
    """Padded on the left, with a mask or by the id of padding, it is continued as each alone."""
    model = writer(**fields)
    source, mask, _ = sources()
    ids, target_mask, rows = prefixes()
    options = {"attention_mask": mask, "use_cache": use_cache, **MODES[mode]}
    given = [{"decoder_input_ids": ids, "decoder_attention_mask": target_mask}, {"decoder_input_ids": ids}]
    batches = [generate(model, source, **options, **each) for each in given]
    assert torch.equal(*batches)
    assert torch.equal(batches[0], loop_of_transformers(model, source, **options, **given[0]).sequences)
    count = len(batches[0]) // 3
    assert torch.equal(batches[0][:, :4], ids.repeat_interleave(count, 0))
    for i, row in enumerate(rows):
        alone = {"decoder_input_ids": torch.tensor([row]), "attention_mask": mask[i : i + 1], **MODES[mode]}
        expected = generate(model, source[i : i + 1], **alone)[:, len(row) :]
        assert torch.equal(batches[0][i * count : (i + 1) * count, 4 : 4 + expected.shape[1]], expected)


def test_a_prefix_gets_a_start_token_where_it_has_none():
    model = writer()
    source, mask, _ = sources()
    expected = generate(model, source, attention_mask=mask, decoder_input_ids=torch.tensor([[2, 7, 8]] * 3))
    for given in ([[7, 8]], [[0, 2, 7, 8]], [[0, 0, 2, 7, 8]]):
        found = generate(model, source, attention_mask=mask, decoder_input_ids=torch.tensor(given * 3))
        skipped = len(given[0]) - 3 if given[0][0] == 0 else 0
        assert torch.equal(found[:, skipped:], expected)


def test_padding_that_is_generated_is_a_token():
    """Recomputed or not, what the model has written itself is read, also a token with the id of padding."""
    model = writer()
    model.lm_head.bias.data[0] = 1.5
    ids, mask, _ = sources()
    out = generate(model, ids, attention_mask=mask, do_sample=False, eos_token_id=None)
    assert (out[:, 1:-1] == 0).any()
    assert torch.equal(
        out, generate(model, ids, attention_mask=mask, do_sample=False, eos_token_id=None, use_cache=False)
    )


@pytest.mark.parametrize("sizes", [[5, 7], [1, 1, 10]], ids=str)
@each_variant
def test_continuation_from_a_returned_state(fields, sizes):
    model = without_end(fields)
    source, mask, _ = sources()
    ids, target_mask, _ = prefixes()
    for start, real in ((None, None), (ids, target_mask)):
        options = {"attention_mask": mask, "do_sample": False, "return_dict_in_generate": True}
        first = {"decoder_input_ids": start, "decoder_attention_mask": real} if start is not None else {}
        whole = generate(model, source, **options, **first, max_new_tokens=12).sequences
        cache = None
        for size in sizes:
            out = generate(model, source, **options, **first, max_new_tokens=size, cache=cache)
            cache, first = out.cache, {"decoder_input_ids": out.sequences}
            assert cache.get_seq_length() == out.sequences.shape[1] - 1
            if real is not None:
                real = torch.nn.functional.pad(real, (0, size), value=1)
                first["decoder_attention_mask"] = real
        assert torch.equal(out.sequences, whole)
        assert_close(states(out), states(model(source, mask, whole[:, :-1], None if real is None else real[:, :-1])))
    with pytest.raises(ValueError, match=r"`decoder_input_ids` has 3 tokens, but `cache` has seen"):
        generate(model, source, attention_mask=mask, decoder_input_ids=whole[:, :3], cache=cache)


@each_variant
def test_what_is_returned_on_request(fields):
    """The shapes that transformers documents; scores are those of a forward pass."""
    model = without_end(fields)
    heads, layers = model.config.num_attention_heads, model.config.decoder.num_hidden_layers
    source, mask, _ = sources()
    options = {"attention_mask": mask, "do_sample": False, "max_new_tokens": 5, "return_dict_in_generate": True}
    wanted = {"output_scores": True, "output_logits": True, "output_attentions": True, "output_hidden_states": True}
    out = generate(model, source, **options, **wanted)
    assert torch.equal(out.sequences, generate(model, source, **options).sequences)
    whole = model(source, mask, out.sequences[:, :-1], output_attentions=True, output_hidden_states=True)
    assert_close(torch.stack(out.logits, 1), whole.logits)
    assert_close(torch.stack(out.scores, 1), whole.logits)
    assert len(out.cross_attentions) == len(out.decoder_hidden_states) == 5
    assert [step[0].shape for step in out.cross_attentions] == [(3, heads, 1, 7)] * 5
    assert_close(torch.cat([step[0] for step in out.cross_attentions], 2), whole.cross_attentions[0])
    assert all(len(step) == layers + 1 for step in out.decoder_hidden_states)
    assert_close(torch.cat([step[-1] for step in out.decoder_hidden_states], 1), whole.decoder_hidden_states[-1])
    assert [h.shape for h in out.encoder_hidden_states] == [(3, 7, 5), (3, 7, 8)]
    assert out.decoder_attentions == ((),) * 5
    transitions = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
    log_p = whole.logits.log_softmax(-1).gather(2, out.sequences[:, 1:, None])[..., 0]
    assert_close(transitions, log_p)

    beams = generate(model, source, **options, **wanted, num_beams=3, num_return_sequences=2)
    assert beams.sequences.shape == (6, 6) and beams.scores[0].shape == (9, 31)
    assert beams.cross_attentions[2][0].shape == (9, heads, 1, 7)
    transitions = model.compute_transition_scores(beams.sequences, beams.scores, beams.beam_indices)
    assert_close(transitions.sum(1) / 5, beams.sequences_scores)


def test_lengths():
    model, (source, mask, _) = writer(target={"eos_token_id": None}), sources()
    assert generate(model, source, attention_mask=mask, max_new_tokens=4).shape == (3, 5)
    assert model.generate(source, attention_mask=mask, max_length=4).shape == (3, 4)
    prefix = torch.tensor([[2, 7, 8]] * 3)
    options = {"attention_mask": mask, "decoder_input_ids": prefix}
    assert model.generate(source, max_length=6, **options).shape == (3, 6)
    assert model.generate(source, max_new_tokens=6, num_beams=2, **options).shape == (3, 9)


@pytest.mark.parametrize("mode", ["greedy", "sampling", "beams"])
@first_fast("fields", VARIANTS)
def test_a_source_without_tokens(fields, mode):
    """Of no step, or of padding alone: what is written is what the model writes of nothing."""
    model = writer(**fields)
    nothing, padding = torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, 5, dtype=torch.long)
    expected = generate(model, nothing, **MODES[mode])
    assert torch.equal(generate(model, padding, attention_mask=padding, **MODES[mode]), expected)
    assert torch.equal(generate(model, padding, **MODES[mode]), expected)
    assert torch.equal(generate(model, nothing, attention_mask=nothing, **MODES[mode]), expected)
    one = generate(model, nothing[:1], **MODES["greedy"])
    if mode == "greedy":
        tokens = [2]
        for _ in range(one.shape[1] - 1):
            tokens.append(int(run_encoder_decoder(model, [], tokens)[0][-1].argmax()))
        assert one[0].tolist() == tokens


def test_a_source_much_longer_than_any():
    model = writer()
    source = random_ids(2, 350)
    for mode in ("greedy", "beams"):
        out = generate(model, source, **MODES[mode])
        assert torch.equal(out, generate(model, source, use_cache=False, **MODES[mode]))


def assistants(model):
    """Models that agree with the main one always, sometimes and hardly ever."""
    noisy = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in noisy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter) * parameter.std())
    other = writer(encoder=GRU, source={"hidden_size": 2}, target={"hidden_size": 4, "eos_token_id": None})
    return {"itself": copy.deepcopy(model), "noisy": noisy, "other": other}


@first_fast("which", {"noisy": "noisy", "lookup": "lookup", "itself": "itself", "other": "other"}, 2)
@first_fast("fields", VARIANTS, {"fed"})
def test_assisted_decoding_equals_greedy(fields, which):
    model = without_end(fields)
    help = {"prompt_lookup_num_tokens": 3}
    if which != "lookup":
        help = {"assistant_model": assistants(model)[which]}
    for seed in range(2):
        transformers.set_seed(seed)
        source = random_ids(1, 5)
        options = {"do_sample": False, "max_new_tokens": 15}
        expected = generate(model, source, **options)
        out = generate(model, source, **options, **help, return_dict_in_generate=True)
        assert torch.equal(out.sequences, expected)
        assert_close(states(out), states(model(source, decoder_input_ids=expected[:, :-1])))
    more = {"output_attentions": True, "output_hidden_states": True, "output_scores": True}
    detailed = generate(model, source, **options, **help, **more, return_dict_in_generate=True)
    whole = model(source, decoder_input_ids=expected[:, :-1], output_attentions=True)
    assert torch.equal(detailed.sequences, expected) and len(detailed.scores) == 15
    # Of later steps transformers picks the wrong ones of those that it gets.
    assert [step[0].shape for step in detailed.cross_attentions] == [whole.cross_attentions[0][:, :, :1].shape] * 15
    assert_close(detailed.cross_attentions[0][0], whole.cross_attentions[0][:, :, :1])


@pytest.mark.slow
def test_assisted_sampling_follows_the_distribution_of_the_model():
    special = dict.fromkeys(SPECIAL) | {"bos_token_id": 1}
    model, assistant = (writer(target={"vocab_size": 4, **special}) for _ in range(2))
    source, counts, trials = random_ids(1, 5), torch.zeros(4), 150
    for seed in range(trials):
        out = generate(model, source, seed, do_sample=True, top_k=0, max_new_tokens=2, assistant_model=assistant)
        counts[out[0, 2]] += 1
    log_p = [model(source, decoder_input_ids=torch.tensor([[1, t]])).logits[0].softmax(-1) for t in range(4)]
    expected = sum(log_p[t][0, t] * log_p[t][1] for t in range(4))
    error = (expected * (1 - expected) / trials).sqrt()
    assert ((counts / trials - expected).abs() < 4 * error + 1e-3).all()


@pytest.fixture(scope="module")
def tokenizer():
    texts = ["abcdefghijklmnopqrstuvwxyz "]
    return LSTMTokenizer.train_from_iterator(texts, "char", show_progress=False)


def test_streaming(tokenizer, capsys):
    model = writer(target={"vocab_size": len(tokenizer)})
    source = random_ids(1, 5)
    options = {"do_sample": False, "max_new_tokens": 10, "suppress_tokens": [0, 1, 2]}
    for more in ({}, {"prompt_lookup_num_tokens": 2}):
        text = tokenizer.decode(generate(model, source, **options)[0], skip_special_tokens=True)
        generate(model, source, streamer=TextStreamer(tokenizer, skip_special_tokens=True), **options, **more)
        assert text and capsys.readouterr().out.rstrip("\n") == text.rstrip("\n")
    with pytest.raises(ValueError, match="`streamer` cannot be used with beam search"):
        generate(model, source, streamer=TextStreamer(tokenizer), num_beams=2)


@pytest.mark.parametrize("more", [{}, {"num_beams": 2}, {"prompt_lookup_num_tokens": 2}], ids=str)
def test_stop_strings(tokenizer, more):
    model = writer(target={"vocab_size": len(tokenizer), "eos_token_id": None})
    source = random_ids(1, 5)
    options = {"do_sample": False, "max_new_tokens": 10, "suppress_tokens": [0, 1, 2, 3]} | more
    text = tokenizer.decode(generate(model, source, **options)[0], skip_special_tokens=True)
    stop = text[3:5]
    stopped = generate(model, source, **options, stop_strings=stop, tokenizer=tokenizer)[0]
    found = tokenizer.decode(stopped, skip_special_tokens=True)
    assert found.endswith(stop) and found.count(stop) == 1
    if "num_beams" not in more:
        assert found == text[: text.index(stop) + 2]


def test_a_transformers_that_nobody_tested(monkeypatch):
    """It is tried on a tiny model before the first `generate`, also for a class that is built in another way."""
    module = sys.modules[RecurrentGenerationMixin.__module__]
    model, source = writer(), random_ids(2, 5)
    expected = generate(model, source, num_beams=3)
    monkeypatch.setattr(module, "TESTED", (5, 0))
    module.beams_follow_state.cache_clear()
    assert torch.equal(generate(model, source, num_beams=3), expected)
    own = type(model)
    odd = type("Odd", (own,), {"__init__": lambda self, config, more: own.__init__(self, config)})
    assert odd(model.config, "more").eval().generate(source, max_new_tokens=2).shape[0] == 2
    module.beams_follow_state.cache_clear()


def test_labels_are_handed_on_by_trainer():
    model, (ids, mask, _) = writer(), sources()
    expected = generate(model, ids, attention_mask=mask)
    assert torch.equal(generate(model, ids, attention_mask=mask, labels=random_ids(3, 4)), expected)


def test_hooks_and_wrappers_are_honoured():
    """Who changes what a part computes changes what is generated."""
    model, source = writer(), random_ids(2, 5)
    for num_beams in (1, 3):
        options = {"do_sample": False, "num_beams": num_beams}
        plain = generate(model, source, **options)
        for part in (model.decoder.layers[0], model.decoder.attention, model.lm_head):

            def hook(module, inputs, output):
                return (output[0].flip(-1), *output[1:]) if isinstance(output, tuple) else output.flip(-1)

            handle = part.register_forward_hook(hook)
            changed = generate(model, source, **options)
            assert not torch.equal(changed, plain)
            assert torch.equal(changed, generate(model, source, use_cache=False, **options))
            handle.remove()
        assert torch.equal(generate(model, source, **options), plain)


def test_what_cannot_work_is_refused():
    model, source = writer(), random_ids(2, 5)
    with pytest.raises(ValueError, match=r"`guidance_scale=2.0` is of models without an encoder"):
        generate(model, source, guidance_scale=2.0)
    for options in ({"encoder_repetition_penalty": 1.2}, {"encoder_no_repeat_ngram_size": 2}):
        with pytest.raises(ValueError, match=rf"`{next(iter(options))}=.* have 40 and 31 tokens"):
            generate(writer(source={"vocab_size": 40}), source, **options)
    for name in ("static", "dynamic", "offloaded", "quantized"):
        with pytest.raises(ValueError, match=f"cache_implementation='{name}'"):
            generate(model, source, cache_implementation=name)
    with pytest.raises(ValueError, match="`cache` is a DynamicCache"):
        generate(model, source, cache=transformers.DynamicCache())
    with pytest.raises(ValueError, match="model_kwargs"):
        generate(model, source, max_new_tokns=3)
    for name in ("num_beams", "num_return_sequences"):
        with pytest.raises(ValueError, match=f"`{name}` must be a whole number from 1 to inf, got 0"):
            generate(model, source, **{"num_beams": 2, name: 0})
    for name in ("pad_token_id", "forced_bos_token_id", "forced_eos_token_id"):
        with pytest.raises(ValueError, match=f"`{name}` .* 0 to 30, got 31"):
            generate(model, source, **{name: 31})
    with pytest.raises(ValueError, match="batch of 6"):
        cache = model(source, decoder_input_ids=torch.tensor([[2], [2]])).cache
        generate(model, source, num_beams=3, cache=cache, decoder_input_ids=torch.tensor([[2, 5], [2, 5]]))
    for prefix in (torch.tensor([2, 5]), torch.zeros(2, 0, dtype=torch.long)):
        with pytest.raises(ValueError, match="`decoder_input_ids` has shape"):
            generate(model, source, decoder_input_ids=prefix)
    with pytest.raises(ValueError, match="2 sources"):
        generate(model, source, decoder_input_ids=torch.tensor([[2, 5]] * 3))
    with pytest.raises(ValueError, match="`attention_mask`"):
        generate(model, source, attention_mask=torch.ones(2, 7, dtype=torch.long))
    for modes in (
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
        {"penalty_alpha": 0.6, "top_k": 4},
    ):
        with pytest.raises(ValueError, match="trust_remote_code"):
            generate(model, source, **modes)
    with pytest.raises(ValueError, match="batch_size = 1"):
        generate(model, source, prompt_lookup_num_tokens=2)

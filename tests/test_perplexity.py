# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Perplexity, the neural cache and dynamic evaluation, each against a loop over single tokens or segments in fp64."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from families import LSTM, each_family, random_ids
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from hf_lstm.evaluation import perplexity
from hf_lstm.evaluation.perplexity import (
    DynamicEvaluation,
    NeuralCache,
    Perplexity,
    evaluate_perplexity,
    gradient_rms,
    join_tokens,
    tune_dynamic_evaluation,
    tune_neural_cache,
)


V = 31
DROPOUT = {"input_dropout": 0.5, "hidden_dropout": 0.5, "output_dropout": 0.5}


def build(family=LSTM, **fields):
    return family.build("ForCausalLM", **fields).double()


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=V, n_positions=8, n_embd=8, n_layer=2, n_head=2)).double().eval()


def text(length: int = 38) -> torch.Tensor:
    """Tokens of which many come back, for a cache to find them."""
    return random_ids(1, length, 9)[0]


def read_slowly(family, model, tokens) -> tuple[torch.Tensor, torch.Tensor]:
    """With torch's own module, token by token: distributions (N - 1, V) and outputs of the last layer (N - 1, P)."""
    config = model.config
    rnn = family.torch_class(config.input_size, config.hidden_size, config.num_hidden_layers, batch_first=True)
    rnn.load_state_dict(
        {
            f"{name.removesuffix('_l0')}_l{i}": value
            for i, layer in enumerate(model.model.layers)
            for name, value in layer.state_dict().items()
        }
    )
    rnn, state, outputs = rnn.double(), None, []
    with torch.no_grad():
        for token in tokens[:-1]:
            output, state = rnn(model.model.embed_tokens.weight[token][None, None], state)
            outputs.append(output[0, 0])
        outputs = torch.stack(outputs)
        return model.lm_head(model.projection(outputs)).softmax(-1), outputs


def cache_slowly(cache: NeuralCache, probs, outputs, tokens) -> torch.Tensor:
    """Distributions (N - 1, V), from the definition: one position, and one that it remembers, at a time."""
    mixed = []
    for t, (p, h) in enumerate(zip(probs, outputs, strict=True)):
        scores = torch.zeros(V, dtype=torch.double)
        for i in range(max(0, t - cache.cache_size), t):
            scores[tokens[i + 1]] += math.exp(cache.theta * float(h @ outputs[i]))
        share = cache.interpolation if t else 0.0
        mixed.append((1 - share) * p + share * scores / max(scores.sum(), 1e-300))
    return torch.stack(mixed)


def loss_of(probs, tokens) -> float:
    return F.nll_loss(probs.log(), tokens[1:]).item()


def adapt_slowly(model, tokens, options: DynamicEvaluation, rows: int = 1):
    """Distributions of each row (rows, T, V) before the step on their segment, and the outputs of the last layer."""
    model, original = copy.deepcopy(model), dict(model.named_parameters())
    rms = options.gradient_rms
    average = rms and sum(each.mean() for each in rms.values()) / len(rms)
    inputs, targets = tokens[:-1].view(rows, -1), tokens[1:].view(rows, -1)
    probs, outputs, state = [], [], None
    for start in range(0, inputs.shape[1], options.segment_length):
        part = slice(start, start + options.segment_length)
        result = model(inputs[:, part], cache=state, output_hidden_states=True)
        state = result.cache.detach()
        model.zero_grad()
        F.cross_entropy(result.logits.flatten(0, 1), targets[:, part].flatten()).backward()
        probs.append(result.logits.detach().softmax(-1))
        outputs.append(result.hidden_states[-1].detach())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                way_back = original[name] - parameter
                if rms is None:
                    parameter += options.decay * way_back - options.learning_rate * parameter.grad
                    continue
                step = options.learning_rate / (rms[name] + options.epsilon)
                pull = torch.minimum(options.decay * rms[name] / average, torch.tensor(1.0))
                parameter += pull * way_back - step * parameter.grad
    return torch.cat(probs, dim=1), torch.cat(outputs, dim=1)


@pytest.mark.parametrize("output_layer", ["softmax", "adaptive", "mixture"])
def test_without_logits(output_layer, monkeypatch):
    """Only a cache needs what the output layer says of all tokens; and what is computed without it is the same."""
    model, tokens = build(output_layer=output_layer, num_softmaxes=2), text()
    rms = gradient_rms(model, tokens, batch_size=1)
    dynamic = DynamicEvaluation(1e-2, 1e-2, rms, segment_length=4)
    probs, probs_adapted = read_slowly(LSTM, model, tokens)[0], adapt_slowly(model, tokens[:37], dynamic)[0][0]
    layer = type(model.lm_head)

    def refuse(self, hidden, forward=layer.forward):
        assert self is not model.lm_head
        return forward(self, hidden)

    with monkeypatch.context() as patched:
        patched.setattr(layer, "forward", refuse)
        assert math.isclose(evaluate_perplexity(model, tokens).loss, loss_of(probs, tokens), abs_tol=1e-12)
        adapted = evaluate_perplexity(model, tokens[:37], dynamic_evaluation=dynamic)
        with pytest.raises(AssertionError):
            evaluate_perplexity(model, tokens, neural_cache=NeuralCache())
    assert math.isclose(adapted.loss, loss_of(probs_adapted, tokens[:37]), abs_tol=1e-12)


@pytest.mark.parametrize("block_size", [1, 4, 37, 512])
@each_family
def test_one_stream_equals_single_tokens(family, block_size):
    model, tokens = build(family, **DROPOUT), text()
    result = evaluate_perplexity(model, tokens, block_size=block_size)
    probs, _ = read_slowly(family, model, tokens)
    assert result == (pytest.approx(loss_of(probs, tokens), abs=1e-12), 37)
    assert result.perplexity == pytest.approx(math.exp(loss_of(probs, tokens)))


@pytest.mark.parametrize("most_logits", [2**22, 5 * V])
@pytest.mark.parametrize("block_size", [1, 4, 512])
def test_streams(block_size, most_logits, monkeypatch):
    """Each token but the first is predicted once, whatever the number of streams; the loss weighs tokens equally."""
    monkeypatch.setattr(perplexity, "MOST_LOGITS", most_logits)
    model, tokens = build(), text()
    for edges in ([0, 19, 37], [0, 10, 19, 28, 37], [0, 6, 12, 17, 22, 27, 32, 37]):
        losses = 0.0
        for start, end in pairwise(edges):
            stream = tokens[start : end + 1]
            losses += (end - start) * loss_of(read_slowly(LSTM, model, stream)[0], stream)
        result = evaluate_perplexity(model, tokens, batch_size=len(edges) - 1, block_size=block_size)
        assert result == (pytest.approx(losses / 37, abs=1e-12), 37)


@pytest.mark.parametrize("most_logits", [2**22, 20 * V])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("kind", ["ours", "gpt2"])
def test_windows(kind, batch_size, most_logits, monkeypatch):
    monkeypatch.setattr(perplexity, "MOST_LOGITS", most_logits)
    tokens = text()
    model = build() if kind == "ours" else gpt2()
    losses = 0.0
    for start in range(0, 37, 8):
        inputs, targets = tokens[start : start + 8], tokens[start + 1 : start + 9]
        with torch.no_grad():
            logits = model(inputs[None, : len(targets)]).logits[0]
        losses += F.cross_entropy(logits, targets, reduction="sum").item()
    result = evaluate_perplexity(model, tokens, batch_size=batch_size, block_size=8, carry_state=False)
    assert result == (pytest.approx(losses / 37, abs=1e-12), 37)


CACHES = [NeuralCache(0.0, 0.5), NeuralCache(3.0, 0.3, cache_size=5), NeuralCache(50.0, 0.9, cache_size=1)]


@pytest.mark.parametrize("queries", [256, 3])
@pytest.mark.parametrize("block_size", [1, 5, 512])
@pytest.mark.parametrize("cache", CACHES, ids=str)
def test_neural_cache(cache, block_size, queries, monkeypatch):
    monkeypatch.setattr(perplexity, "QUERIES", queries)
    model, tokens = build(), text()
    probs = cache_slowly(cache, *read_slowly(LSTM, model, tokens), tokens)
    torch.testing.assert_close(probs.sum(-1), torch.ones(37, dtype=torch.double))
    result = evaluate_perplexity(model, tokens, block_size=block_size, neural_cache=cache)
    assert result.loss == pytest.approx(loss_of(probs, tokens), abs=1e-10)


def test_probabilities_with_a_cache_sum_to_one():
    """Of all tokens that could come last, the others being the same."""
    model, tokens, cache = build(), text(12), NeuralCache(3.0, 0.4, cache_size=6)
    before = 10 * evaluate_perplexity(model, tokens[:-1], neural_cache=cache).loss
    total = 0.0
    for token in range(V):
        tokens[-1] = token
        total += math.exp(before - 11 * evaluate_perplexity(model, tokens, neural_cache=cache).loss)
    assert total == pytest.approx(1, abs=1e-9)


@each_family
def test_neural_cache_of_streams_and_windows(family):
    """A cache for each stream; one for all windows, each of which begins with the state of zeros."""
    model, tokens, cache = build(family), text(33), NeuralCache(2.0, 0.4, cache_size=11)
    streams = [tokens[:17], tokens[16:]]
    losses = [loss_of(cache_slowly(cache, *read_slowly(family, model, s), s), s) for s in streams]
    result = evaluate_perplexity(model, tokens, batch_size=2, block_size=5, neural_cache=cache)
    assert result.loss == pytest.approx(sum(losses) / 2, abs=1e-10)

    windows = [read_slowly(family, model, tokens[i : i + 8]) for i in range(0, 32, 7)]
    probs, outputs = (torch.cat(each) for each in zip(*windows, strict=True))
    expected = loss_of(cache_slowly(cache, probs, outputs, tokens), tokens)
    for batch_size in (1, 2, 100):
        options = {"batch_size": batch_size, "block_size": 7, "carry_state": False}
        result = evaluate_perplexity(model, tokens, neural_cache=cache, **options)
        assert result.loss == pytest.approx(expected, abs=1e-10)


def statistics(model, length: int = 3):
    return gradient_rms(model, text(61), batch_size=2, segment_length=length)


@each_family
def test_gradient_rms(family):
    model, tokens = build(family, **DROPOUT), text(31)
    inputs, targets, state = tokens[:-1].view(2, 15), tokens[1:].view(2, 15), None
    squares = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for start in range(0, 15, 4):  # the last segment has three tokens
        result = model(inputs[:, start : start + 4], cache=state)
        state = result.cache.detach()
        model.zero_grad()
        F.cross_entropy(result.logits.flatten(0, 1), targets[:, start : start + 4].flatten()).backward()
        for name, parameter in model.named_parameters():
            squares[name] += parameter.grad**2 / 4
    ours = gradient_rms(model.train(), tokens, batch_size=2, segment_length=4)
    assert ours.keys() == squares.keys()
    for name, square in squares.items():
        torch.testing.assert_close(ours[name], square.sqrt())


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("kind", ["gradient descent", "rms"])
@each_family
def test_dynamic_evaluation(family, kind, rows):
    model, tokens = build(family, **DROPOUT), text(33)
    rms = statistics(model) if kind == "rms" else None
    options = DynamicEvaluation(3e-3 if rms else 0.3, 0.2, rms, segment_length=3)
    probs, _ = adapt_slowly(model, tokens, options, rows)
    expected = loss_of(probs.flatten(0, 1), tokens)
    result = evaluate_perplexity(model, tokens, batch_size=rows, dynamic_evaluation=options)
    assert result == (pytest.approx(expected, abs=1e-10), 32)
    assert abs(expected - evaluate_perplexity(model, tokens, batch_size=rows).loss) > 1e-3  # it did adapt


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_dynamic_evaluation_that_changes_nothing(decay):
    """Steps of size 0, from which there is no way back; and a text of one segment, counted before the first step."""
    model, tokens = build(), text()
    plain = evaluate_perplexity(model, tokens).loss
    rms = {name: torch.ones_like(parameter) for name, parameter in model.named_parameters()}
    for options in (
        DynamicEvaluation(0.0, decay),
        DynamicEvaluation(0.0, decay, rms),
        DynamicEvaluation(0.5, decay, segment_length=37),
    ):
        assert evaluate_perplexity(model, tokens, dynamic_evaluation=options).loss == pytest.approx(plain, abs=1e-12)


def test_cache_and_dynamic_evaluation_together():
    model, tokens, cache = build(), text(), NeuralCache(2.0, 0.3, cache_size=9)
    options = DynamicEvaluation(0.2, 0.01, segment_length=4)
    probs, outputs = (each[0] for each in adapt_slowly(model, tokens, options))
    expected = loss_of(cache_slowly(cache, probs, outputs, tokens), tokens)
    result = evaluate_perplexity(model, tokens, neural_cache=cache, dynamic_evaluation=options)
    assert result.loss == pytest.approx(expected, abs=1e-10)


def test_dynamic_evaluation_of_another_model():
    """In windows, for a transformer: the parameters change between windows, and only there."""
    model, tokens = gpt2(), text(17)
    other, losses = copy.deepcopy(model), []
    for start in range(0, 16, 8):
        result = other(tokens[None, start : start + 8])
        losses.append(F.cross_entropy(result.logits[0], tokens[start + 1 : start + 9]))
        losses[-1].backward()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter -= 0.1 * parameter.grad
        other.zero_grad()
    options = DynamicEvaluation(0.1, segment_length=8)
    result = evaluate_perplexity(model, tokens, carry_state=False, dynamic_evaluation=options)
    assert result.loss == pytest.approx(sum(losses).item() / 2, abs=1e-10)


@pytest.mark.parametrize("error", [False, True], ids=["to the end", "after an error"])
@each_family
def test_the_model_is_as_before(family, error):
    model, tokens = build(family, **DROPOUT).train(), text(60)
    model.model.layers[1].eval()
    model.model.embed_tokens.weight.grad = torch.ones_like(model.model.embed_tokens.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    options = {"neural_cache": NeuralCache(), "dynamic_evaluation": DynamicEvaluation(0.1, 0.1, statistics(model))}
    if error:
        calls = iter([None] * 5)
        hook = model.register_forward_pre_hook(lambda *_: next(calls))  # an error at the sixth segment
        with pytest.raises(StopIteration):
            evaluate_perplexity(model, tokens, **options)
        hook.remove()
    else:
        losses = [evaluate_perplexity(model, tokens, **options).loss for _ in range(2)]
        assert losses[0] == losses[1]  # no dropout, nothing left behind
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(p.requires_grad for p in model.parameters()) and torch.is_grad_enabled()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["model.embed_tokens.weight"]
    assert model.model.embed_tokens.weight.grad.eq(1).all()


def test_frozen_parameters_stay():
    model, tokens = build(tie_word_embeddings=False), text()
    model.model.requires_grad_(False)
    expected = build(tie_word_embeddings=False)
    expected.load_state_dict(model.state_dict())
    losses, state = [], None
    for start in range(0, 37, 5):
        result = expected(tokens[None, start : start + 5][:, : 37 - start], cache=state)
        state = result.cache.detach()
        targets = tokens[start + 1 : start + 6]
        loss = F.cross_entropy(result.logits[0], targets)
        losses += [loss.item() * len(targets)]
        gradients = torch.autograd.grad(loss, list(expected.lm_head.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(expected.lm_head.parameters(), gradients, strict=True):
                parameter -= 0.5 * gradient
    result = evaluate_perplexity(model, tokens, dynamic_evaluation=DynamicEvaluation(0.5))
    assert result.loss == pytest.approx(sum(losses) / 37, abs=1e-10)
    with pytest.raises(ValueError, match="no parameter with `requires_grad`"):
        evaluate_perplexity(model.requires_grad_(False), tokens, dynamic_evaluation=DynamicEvaluation(0.5))


@pytest.mark.parametrize("options", [None, DynamicEvaluation(0.1, 0.01, segment_length=4)], ids=["static", "dynamic"])
def test_tuned_cache(options):
    """One pass finds what an evaluation of each pair finds."""
    model, tokens, reading = build(), text(), {"batch_size": 2, "block_size": 6, "dynamic_evaluation": options}
    tuned = tune_neural_cache(model, tokens, [0.0, 2.0, 9.0], [0.0, 0.2, 0.6], cache_size=8, **reading)
    assert len(tuned.losses) == 9
    for (theta, share), loss in tuned.losses.items():
        result = evaluate_perplexity(model, tokens, neural_cache=NeuralCache(theta, share, 8), **reading)
        assert loss == pytest.approx(result.loss, abs=1e-12)
    assert tuned.losses[tuned.best.theta, tuned.best.interpolation] == min(tuned.losses.values())
    assert tuned.best.cache_size == 8


def test_tuned_dynamic_evaluation():
    """A pair with which the model diverges is not the best, even if its loss is no number."""
    model, tokens = build(), text()
    rms = statistics(model)
    tuned = tune_dynamic_evaluation(model, tokens, [1e200, 1e-3, 1e-2], [0.0, 0.1], gradient_rms=rms, batch_size=2)
    assert math.isnan(tuned.losses[1e200, 0.0])
    finite = {pair: loss for pair, loss in tuned.losses.items() if math.isfinite(loss)}
    for (rate, decay), loss in finite.items():
        options = DynamicEvaluation(rate, decay, rms)
        assert loss == evaluate_perplexity(model, tokens, batch_size=2, dynamic_evaluation=options).loss
    best = tuned.best
    assert len(finite) >= 4 and finite[best.learning_rate, best.decay] == min(finite.values())
    assert best.gradient_rms is rms


def test_low_precision_is_scored_in_fp32():
    model, tokens = build(), text(200)
    exact = evaluate_perplexity(model, tokens, neural_cache=NeuralCache()).loss
    low = evaluate_perplexity(model.bfloat16(), tokens, neural_cache=NeuralCache()).loss
    assert low == pytest.approx(exact, rel=0.02)


def test_inputs_of_all_kinds():
    model, tokens = build(), text()
    expected = evaluate_perplexity(model, tokens)
    for same in (tokens.tolist(), tokens.numpy(), tokens.int()):
        assert evaluate_perplexity(model, same) == expected
    assert join_tokens([[1, 2], [], [3]]).tolist() == [1, 2, 3]
    assert join_tokens([{"input_ids": [1, 2]}, {"input_ids": [3]}], eos_token_id=9).tolist() == [1, 2, 9, 3, 9]


def test_units():
    result = Perplexity(loss=1.5, tokens=40)
    assert result.bits_per_token == pytest.approx(math.log2(result.perplexity))
    assert result.perplexity_per(40) == result.perplexity
    assert math.log(result.perplexity_per(20)) == pytest.approx(3.0)
    assert Perplexity(1e4, 1).perplexity == math.inf


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"token_ids": [5]}, r"`token_ids` has the shape \(1,\)"),
        ({"token_ids": [[5, 6]]}, r"`token_ids` has the shape \(1, 2\)"),
        ({"token_ids": [0.5, 1.0]}, "float32: give one text"),
        ({"token_ids": [5, V]}, f"holds ids from 5 to {V}, but `vocab_size` is {V}"),
        ({"token_ids": [5, -100]}, "holds ids from -100 to 5"),
        ({"batch_size": 38}, "`batch_size` is 38 for 37 tokens to predict"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"block_size": 0}, "`block_size` is 0"),
        ({"dynamic_evaluation": DynamicEvaluation(0.1, 0.1, {"w": torch.ones(2)})}, "`gradient_rms` has the shape"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluate_perplexity(**({"model": build(), "token_ids": text()} | arguments))


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda: LSTM.build("Model"), "`model` is a LSTMModel, no language model"),
        (lambda: LSTM.build("ForTokenClassification"), "`model` is a LSTMForTokenClassification, no language model"),
        (lambda: torch.nn.LSTM(2, 2), "`model` is a LSTM, no language model"),
        (gpt2, "`model`, a GPT2LMHeadModel, keeps no state.*carry_state=False"),
    ],
)
def test_models_that_do_not_fit(model, message):
    with pytest.raises(ValueError, match=message):
        evaluate_perplexity(model(), text())


@pytest.mark.parametrize(
    "options, fields, message",
    [
        (NeuralCache, {"theta": -1.0}, "`theta` is -1.0"),
        (NeuralCache, {"theta": math.inf}, "`theta` is inf"),
        (NeuralCache, {"interpolation": 1.0}, "`interpolation` is 1.0"),
        (NeuralCache, {"cache_size": 0}, "`cache_size` is 0"),
        (DynamicEvaluation, {"learning_rate": -0.1}, "`learning_rate` is -0.1"),
        (DynamicEvaluation, {"learning_rate": 0.1, "decay": 1.1}, "`decay` is 1.1"),
        (DynamicEvaluation, {"learning_rate": 0.1, "epsilon": math.nan}, "`epsilon` is nan"),
        (DynamicEvaluation, {"learning_rate": 0.1, "segment_length": 0}, "`segment_length` is 0"),
    ],
)
def test_options_out_of_range(options, fields, message):
    with pytest.raises(ValueError, match=message):
        options(**fields)


def test_nothing_to_try():
    with pytest.raises(ValueError, match="is empty"):
        tune_neural_cache(build(), text(), thetas=[])
    with pytest.raises(ValueError, match="is empty"):
        tune_dynamic_evaluation(build(), text(), [], [0.1])

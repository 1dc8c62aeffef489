# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The CRF, against enumeration of all label sequences, and the tagging schemes, against their definitions in words."""

import copy
import itertools

import pytest
import torch
from families import MASKS, assert_close
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from hf_lstm.models import crf as crf_module
from hf_lstm.models.crf import LinearChainCRF, allowed_transitions


BIO = ["O", "B-X", "I-X", "B-Y", "I-Y"]
LABELS = {
    "IOB1": ["O", "I-X", "B-X", "I-Y", "B-Y"],
    "BIO": BIO,
    "BIOES": ["O", "B-X", "I-X", "E-X", "S-X"],
    "BILOU": ["O", "B-X", "I-X", "L-X", "U-X"],
    "BMES": ["B-X", "M-X", "E-X", "S-X", "O"],
    "none": ["NOUN", "VERB", "ADJ"],
}
each_scheme = pytest.mark.parametrize("scheme", LABELS)
each_mask = pytest.mark.parametrize("mask", [None, *map(torch.tensor, MASKS.values())], ids=["no mask", *MASKS])


def build(scheme="BIO", scale=2.0, labels=None, dtype=torch.float64):
    """A CRF with random parameters large enough to matter, and scores for three sentences of seven tokens."""
    labels = labels or LABELS[scheme]
    crf = LinearChainCRF(len(labels), labels, scheme).to(dtype)
    for parameter in crf.parameters():
        nn.init.normal_(parameter, std=scale / 2)
    return crf, scale * torch.randn(3, 5, len(labels), dtype=dtype)


def cut(mask):
    return None if mask is None else mask[:, :5]


def entities(path, names, scheme):
    """First, last and type of the entities of a legal path, read label by label as a person would."""
    found, start = [], None
    for t, name in enumerate(names[i] for i in path):
        prefix, _, kind = name.partition("-")
        if scheme == "none":
            found.append((t, t, name))
            continue
        if prefix == "O":
            start = None
            continue
        follows = start is not None and found[-1][2] == kind and found[-1][1] == t - 1
        if prefix in "BSU" or not follows:
            found.append((t, t, kind))
        else:
            found[-1] = (found[-1][0], t, kind)
        start = None if prefix in "ELSU" else t
    return found


def is_legal(path, names, scheme):
    """From the definitions of the schemes: every entity is written in the one way the scheme has for it."""
    if scheme == "none":
        return True
    written = ["O"] * len(path)
    previous = None
    for first, last, kind in entities(path, names, scheme):
        size = last - first + 1
        inside = {"BMES": "M"}.get(scheme, "I")
        if scheme == "IOB1":
            touches = previous is not None and previous[1] == first - 1 and previous[2] == kind
            prefixes = ("B" if touches else "I") + "I" * (size - 1)
        elif scheme == "BIO":
            prefixes = "B" + "I" * (size - 1)
        else:
            end, single = ("L", "U") if scheme == "BILOU" else ("E", "S")
            prefixes = single if size == 1 else "B" + inside * (size - 2) + end
        written[first : last + 1] = [f"{prefix}-{kind}" for prefix in prefixes]
        previous = (first, last, kind)
    return written == [names[i] for i in path]


class Enumeration:
    """All sequences of one sentence, its left-out positions removed, with their scores."""

    def __init__(self, crf, scores, keep, names=None, scheme="none"):
        self.positions = keep.nonzero().squeeze(1).tolist()
        rows = scores[keep]
        self.paths = list(itertools.product(range(crf.num_labels), repeat=len(rows)))
        if names is not None:
            self.paths = [path for path in self.paths if is_legal(path, names, scheme)]
        self.index = torch.tensor(self.paths).long().view(len(self.paths), len(rows))  # (paths, tokens)
        total = rows[torch.arange(len(rows)), self.index].sum(1)  # (paths,)
        if len(rows):
            total = total + crf.start_transitions[self.index[:, 0]] + crf.end_transitions[self.index[:, -1]]
            total = total + crf.transitions[self.index[:, :-1], self.index[:, 1:]].sum(1)
        self.scores = total
        self.probabilities = total.softmax(0)


def keeps(scores, mask):
    return torch.ones(scores.shape[:2], dtype=torch.bool) if mask is None else mask.bool()


def enumerate_all(crf, scores, mask, scheme):
    return [
        Enumeration(crf, row, keep, LABELS[scheme], scheme)
        for row, keep in zip(scores, keeps(scores, mask), strict=True)
    ]


def gradients(loss, crf, scores):
    return torch.autograd.grad((loss * torch.tensor([1.0, -2.0, 0.5])).sum(), [scores, *crf.parameters()])


def enumerated_loss(crf, scores, keep, permitted):
    """-log of the share of the sequences whose every label is permitted, (B, T, K)."""
    losses = []
    for row, kept, sets in zip(scores, keep, permitted, strict=True):
        every = Enumeration(crf, row, kept)
        fits = sets[kept][torch.arange(int(kept.sum())), every.index].all(1)
        losses.append(every.scores.logsumexp(0) - every.scores[fits].logsumexp(0))
    return torch.stack(losses)


@pytest.mark.parametrize("wide", [False, True], ids=["scaled", "logarithms"])
@each_mask
def test_likelihood_and_gradient(mask, wide):
    crf, scores = build()
    if wide:
        with torch.no_grad():
            crf.transitions[0, 1] -= 800
    scores.requires_grad_()
    labels = torch.randint(5, (3, 5))
    labels[0, 2] = labels[2, 4] = -100
    keep = keeps(scores, cut(mask)) & (labels != -100)
    expected = enumerated_loss(crf, scores, keep, nn.functional.one_hot(labels.clamp(min=0), 5).bool())
    loss = crf(scores, labels, cut(mask))
    assert_close(loss, expected, 1e-9)
    assert_close(gradients(loss, crf, scores), gradients(expected, crf, scores), 1e-9)


@each_mask
def test_partly_labelled(mask):
    crf, scores = build()
    scores.requires_grad_()
    allowed = torch.rand(3, 5, 5) < 0.4
    allowed[0, 0] = False  # nothing is known
    known = allowed | ~allowed.any(-1, keepdim=True)
    expected = enumerated_loss(crf, scores, keeps(scores, cut(mask)), known)
    loss = crf(scores, mask=cut(mask), allowed=allowed)
    assert_close(loss, expected, 1e-9)
    assert_close(gradients(loss, crf, scores), gradients(expected, crf, scores), 1e-9)


def test_one_allowed_label_is_a_label():
    crf, scores = build()
    labels = torch.randint(5, (3, 5))
    allowed = nn.functional.one_hot(labels, 5).bool()
    assert_close(crf(scores, allowed=allowed), crf(scores, labels), 1e-9)
    assert_close(crf(scores, allowed=torch.ones_like(allowed)), torch.zeros(3, dtype=torch.float64), 1e-9)


def test_gradcheck():
    crf, scores = build()
    names = [name for name, _ in crf.named_parameters()]
    labels = torch.randint(5, (3, 5))
    labels[1, 1] = -100

    def loss(scores, *parameters):
        return torch.func.functional_call(crf, dict(zip(names, parameters, strict=True)), (scores, labels))

    parameters = [parameter.detach().requires_grad_() for parameter in crf.parameters()]
    assert torch.autograd.gradcheck(loss, (scores.requires_grad_(), *parameters))


def test_second_derivative_is_refused():
    crf, scores = build()
    scores.requires_grad_()
    with pytest.raises(RuntimeError, match="second derivative"):
        torch.autograd.grad(crf(scores, torch.zeros(3, 5).long()).sum(), scores, create_graph=True)


@each_mask
@each_scheme
def test_decoding(scheme, mask):
    crf, scores = build(scheme)
    mask = cut(mask)
    labels, totals = crf.decode(scores, mask)
    several, probabilities = crf.decode_nbest(scores, 4, mask)
    marginals, logits = crf.marginals(scores, mask), crf.posterior_logits(scores, mask)
    assert torch.equal(several[:, 0], labels)
    for b, every in enumerate(enumerate_all(crf, scores, mask, scheme)):
        order = every.scores.argsort(descending=True)[:4]
        assert_close(totals[b], every.scores[order[0]], 1e-9)
        assert_close(probabilities[b, : len(order)], every.probabilities[order], 1e-9)
        found = [path[every.positions].tolist() for path in several[b, : len(order)]]
        assert found == [list(every.paths[i]) for i in order]
        assert (several[b, len(order) :] == -100).all() and (probabilities[b, len(order) :] == 0).all()
        left_out = [t for t in range(5) if t not in every.positions]
        assert (labels[b, left_out] == -100).all() and (several[b][:, left_out] == -100).all()
        assert (marginals[b, left_out] == 0).all() and (logits[b, left_out] == 0).all()
        expected = (nn.functional.one_hot(every.index, crf.num_labels) * every.probabilities[:, None, None]).sum(0)
        assert_close(marginals[b, every.positions], expected, 1e-9)
        best = labels[b, every.positions]
        assert torch.equal(logits[b, every.positions].argmax(-1), best)
        agree = expected.argmax(-1) == best
        assert_close(logits[b, every.positions].softmax(-1)[agree], expected[agree], 1e-9)
        assert logits.isfinite().all()


@each_mask
@each_scheme
def test_entity_probabilities(scheme, mask):
    crf, scores = build(scheme, 1.0)
    mask, names = cut(mask), LABELS[scheme]
    labels, _ = crf.decode_nbest(scores, 3, mask)
    labels = labels[:, -1]  # not the best: the entities need not be the most probable ones
    found = crf.entity_probabilities(scores, labels, mask)
    for b, every in enumerate(enumerate_all(crf, scores, mask, scheme)):
        if (labels[b] == -100).all():
            assert (found[b] == 0).all()
            continue
        sets = [set(entities(path, names, scheme)) for path in every.paths]
        path = labels[b, every.positions].tolist()
        expected = torch.stack([every.probabilities[every.index[:, t] == i].sum() for t, i in enumerate(path)])
        for entity in entities(path, names, scheme):
            share = every.probabilities[torch.tensor([entity in each for each in sets])].sum()
            expected[entity[0] : entity[1] + 1] = share
        assert_close(found[b, every.positions], expected, 1e-9)
        assert (found[b, [t for t in range(5) if t not in every.positions]] == 0).all()


def test_entities_of_illegal_labels():
    """I-X after O counts as an entity, and of a sum over IOB1's ways to write one none is lost."""
    crf, scores = build("BIO", 1.0)
    illegal, legal = torch.tensor([[0, 2, 2, 0, 4]] * 3), torch.tensor([[0, 1, 2, 0, 3]] * 3)
    legal, illegal = (crf.entity_probabilities(scores, labels) for labels in (legal, illegal))
    assert_close(illegal[:, :4], legal[:, :4], 1e-12)
    assert_close(illegal[:, 4], legal[:, 4], 1e-12)


@each_scheme
def test_allowed_transitions_are_those_of_legal_sequences(scheme):
    names = LABELS[scheme] + (["I-Z", "B-Z"] if scheme == "IOB1" else [])
    allowed, k = allowed_transitions(names, scheme), len(names)
    for path in itertools.product(range(k), repeat=3):
        steps = zip((k, *path), (*path, k), strict=True)
        assert all(bool(allowed[i, j]) for i, j in steps) == is_legal(path, names, scheme), [names[i] for i in path]


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["O", "I-X", "I-Y"], "IOB1"),
        (BIO, "BIO"),
        (["O", "B-X"], "BIO"),
        (LABELS["BIOES"], "BIOES"),
        (LABELS["BILOU"], "BILOU"),
        (LABELS["BMES"], "BMES"),
        (["B", "M", "E", "S"], "none"),  # letters without a type may be classes: a scheme has to be named
        (["U", "L", "O"], "none"),
        (["S-X", "O"], "BIOES"),
        (["NOUN", "VERB"], "none"),
        (["0", "1", "2"], "none"),
        (["B-X", "I-X", "Q-X", "O"], "none"),
        ([*BIO, "[CLS]"], "none"),
        (["O"], "none"),
    ],
    ids=str,
)
def test_automatic_scheme(labels, scheme):
    assert torch.equal(allowed_transitions(labels), allowed_transitions(labels, scheme))


def test_other_names_of_schemes():
    assert torch.equal(allowed_transitions(BIO, "IOB2"), allowed_transitions(BIO, "bio"))
    assert torch.equal(allowed_transitions(LABELS["BIOES"], "IOBES"), allowed_transitions(LABELS["BIOES"]))
    assert torch.equal(allowed_transitions(LABELS["BILOU"], "biolu"), allowed_transitions(LABELS["BILOU"]))
    assert torch.equal(allowed_transitions(BIO, "IOB"), allowed_transitions(BIO, "IOB1"))
    assert not torch.equal(allowed_transitions(BIO, "IOB1"), allowed_transitions(BIO))


@pytest.mark.parametrize("scheme", ["IOB1", "BIO", "BIOES", "BILOU", "BMES"])
def test_incomplete_label_sets(scheme):
    """Whatever labels are missing, each one can be reached and left, and each length has a legal sentence."""
    prefixes = dict.fromkeys(crf_module.LETTERS[scheme])
    full = ["O", *(f"{prefix}-{kind}" for kind in "XY" for prefix in prefixes)]
    for size in range(1, len(full) + 1):
        for names in itertools.combinations(full, size):
            allowed, k = allowed_transitions(names, scheme), len(names)
            reach = (torch.eye(k + 1, dtype=torch.bool) | allowed).float().matrix_power(k + 1) > 0
            assert reach[k].all() and reach[:, k].all(), names
            walk = allowed[k, :k].float()
            for _ in range(4):
                assert (walk.bool() & allowed[:k, k]).any(), names
                walk = (walk @ allowed[:k, :k].float()).clamp(max=1)


def test_conll_2003():
    """Its labels in IOB1 lack B-PER: persons begin with I-PER all the same, and "auto" does not shut them out."""
    labels = ["O", "I-PER", "I-LOC", "B-LOC"]
    for scheme in ("IOB1", "auto"):
        allowed = allowed_transitions(labels, scheme)
        assert allowed[4, 1] and allowed[0, 1] and allowed[2, 1] and allowed[1, 1]
    assert allowed_transitions(labels, "IOB1")[3, 3] and not allowed_transitions(labels, "IOB1")[0, 3]


@each_scheme
def test_no_illegal_transition_is_ever_decoded(scheme):
    names = LABELS[scheme]
    allowed, k = allowed_transitions(names, scheme), len(names)
    for trial in range(25):
        crf, _ = build(scheme, scale=10 ** (trial % 5 - 1), dtype=torch.float32)
        scores = torch.randn(8, 12, k) * 10.0 ** (trial % 7 - 1)
        scores[torch.rand(8, 12, k) < 0.2] = [-torch.inf, torch.finfo(torch.float32).min, 1e4, 0.0][trial % 4]
        mask = torch.rand(8, 12) < 0.8
        several, probabilities = crf.decode_nbest(scores, 3, mask)
        paths = torch.cat((crf.decode(scores, mask)[0], several.flatten(0, 1)))
        for path, keep in zip(paths, torch.cat((mask, mask.repeat_interleave(3, 0))), strict=True):
            path = path[keep].tolist()
            assert -100 not in path or set(path) == {-100}
            if path and path[0] != -100:
                assert all(allowed[i, j] for i, j in zip((k, *path), (*path, k), strict=True))
        assert (probabilities >= 0).all() and probabilities.sum(1).max() < 1 + 1e-4
        marginals = crf.marginals(scores, mask)
        assert marginals.isfinite().all()
        assert_close(marginals.sum(-1), mask.float(), 1e-4)


@pytest.mark.parametrize("spread", [1, 8, 25, 100, 1000], ids=str)
@each_scheme
def test_scaled_recursion_equals_logarithms(scheme, spread, monkeypatch):
    """Adversarial scores that put off the worth of an unlikely label as long as they can, at all spreads."""
    crf, _ = build(scheme, 1.0, dtype=torch.float32)
    scores = torch.zeros(4, 40, crf.num_labels)
    scores[:2] = spread * torch.randint(0, 2, (2, 40, crf.num_labels))
    scores[2:, :20] = spread * torch.rand(crf.num_labels) / 4
    scores[2:, 20:] = -spread * torch.rand(2, 20, crf.num_labels)
    labels = torch.randint(crf.num_labels, (4, 40))

    def results():
        for parameter in crf.parameters():
            parameter.grad = None
        loss = crf(scores, labels)
        loss.sum().backward()
        return [loss.detach(), crf.transitions.grad, crf.marginals(scores), crf.entity_probabilities(scores, labels)]

    scaled = results()
    monkeypatch.setattr(crf_module, "_scaling_period", lambda *_: 0)
    for ours, expected in zip(scaled, results(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-5, atol=2e-5)


def test_scaling_of_wide_transitions(monkeypatch):
    """At the edge of what the period lets through, in fp32, the result is that of logarithms in fp64."""
    periods = set()
    for spread in (0.1, 2.0, 5.0, 12.0, 30.0, 40.0):
        crf, _ = build("none", dtype=torch.float32)
        nn.init.uniform_(crf.transitions, -spread / 2, spread / 2)
        scores, labels = 50 * torch.randn(4, 60, 3), torch.randint(3, (4, 60))
        transitions = crf.transitions.detach() - crf.transitions.max().detach()
        periods.add(crf_module._scaling_period(scores, transitions, False))
        loss = crf(scores, labels)
        (grad,) = torch.autograd.grad(loss.sum(), crf.transitions)
        with monkeypatch.context() as patch:
            patch.setattr(crf_module, "_scaling_period", lambda *_: 0)
            double = copy.deepcopy(crf).double()
            expected = double(scores.double(), labels)
            (expected_grad,) = torch.autograd.grad(expected.sum(), double.transitions)
        torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(grad.double(), expected_grad, rtol=1e-4, atol=1e-3)
    assert {0, 1, 8} < periods


@pytest.mark.parametrize("value", [1e4, -1e4, torch.inf, -torch.inf, torch.finfo(torch.float32).min / 2], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_odd_input_gives_finite_losses(value, dtype):
    crf, _ = build("BIOES", dtype=torch.float32)
    scores = torch.randn(4, 6, 5).to(dtype)
    scores[0, 1:3], scores[1, 2, 2], scores[2, :, 1] = value, value, value
    scores.requires_grad_()
    labels = torch.tensor([[2, 1, 1, 0, 3, 1], [3, 2, 2, 4, 1, 0], [1] * 6, [-100] * 6])  # nothing legal among them
    allowed = torch.rand(4, 6, 5) < 0.3
    for loss in (crf(scores, labels), crf(scores, allowed=allowed)):
        assert loss.dtype == torch.float32 and loss.isfinite().all() and (loss >= -1e-3).all()
        (grad,) = torch.autograd.grad(loss.sum(), scores)
        assert grad.dtype == dtype and grad.isfinite().all()
    for result in (*crf.decode(scores), crf.marginals(scores), crf.posterior_logits(scores)):
        assert result.isfinite().all()


def test_large_scores_lose_no_accuracy():
    crf, scores = build(dtype=torch.float32)
    labels = torch.randint(5, (3, 5))
    assert_close(crf(scores + 1e4, labels), crf((scores + 1e4) - 1e4, labels), 1e-5)


def test_padding_may_hold_anything():
    crf, scores = build(dtype=torch.float32)
    mask = torch.tensor([[1, 0, 1, 1, 0]] * 3)
    labels = torch.randint(5, (3, 5))
    dirty = scores.masked_fill(mask[..., None] == 0, torch.nan).requires_grad_()
    loss = crf(dirty, labels.masked_fill(mask == 0, 77), mask)
    assert_close(loss, crf(scores[:, [0, 2, 3]], labels[:, [0, 2, 3]]), 1e-5)
    (grad,) = torch.autograd.grad(loss.sum(), dirty)
    assert (grad[:, [1, 4]] == 0).all() and grad.isfinite().all()
    assert crf.posterior_logits(dirty, mask).isfinite().all()


@pytest.mark.parametrize(("batch", "length", "k"), [(2, 1, 5), (2, 5000, 5), (2, 4, 1), (0, 4, 5), (2, 0, 5)])
def test_sizes(batch, length, k):
    names = BIO[:k]
    crf = LinearChainCRF(k, names)
    scores, labels = torch.randn(batch, length, k, requires_grad=True), torch.randint(k, (batch, length))
    loss = crf(scores, labels)
    loss.sum().backward()
    assert loss.shape == (batch,) and loss.isfinite().all() and scores.grad.isfinite().all()
    decoded, score = crf.decode(scores)
    several, probabilities = crf.decode_nbest(scores, 2)
    assert decoded.shape == (batch, length) and score.shape == (batch,)
    assert several.shape == (batch, 2, length) and probabilities.shape == (batch, 2)
    assert_close(crf.marginals(scores).sum(-1), torch.ones(batch, length), 1e-5)
    assert crf.posterior_logits(scores).shape == scores.shape
    assert crf.entity_probabilities(scores, decoded).shape == (batch, length)
    if length == 5000:  # the posterior of a whole long sentence, against the same in fp64
        double = copy.deepcopy(crf).double()
        torch.testing.assert_close(loss.double(), double(scores.double(), labels), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("batch", "length", "k"), [(1, 1, 5), (1, 4, 1), (1, 1, 1), (2, 1, 5), (1, 4, 5)])
def test_best_score_is_the_sum_of_its_parts(batch, length, k):
    """Also where nothing but the shape of a tensor tells a view from a copy."""
    crf = LinearChainCRF(k).double()
    scores, start, end = torch.randn(batch, length, k).double(), crf.start_transitions, crf.end_transitions
    before = scores.clone()
    for mask in (None, torch.arange(length).expand(batch, -1) == 0):
        paths, best = crf.decode(scores, mask)
        for row, path in enumerate(path[path != -100].tolist() for path in paths):
            expected = start[path[0]] + end[path[-1]] + sum(scores[row, t, y] for t, y in enumerate(path))
            expected += sum(crf.transitions[pair] for pair in itertools.pairwise(path))
            assert_close(best[row], expected, 1e-12)
    assert torch.equal(scores, before)


def test_autocast_and_precision():
    crf, scores = build(dtype=torch.float32)
    scores.requires_grad_()
    labels = torch.randint(5, (3, 5))
    with torch.autocast("cpu", torch.bfloat16):
        loss, decoded = crf(scores, labels), crf.decode(scores)[0]
        (grad,) = torch.autograd.grad(loss.sum(), scores)
        transitions = torch.autograd.grad(crf(scores, labels).sum(), crf.transitions)[0]
    assert torch.equal(loss, crf(scores, labels)) and torch.equal(decoded, crf.decode(scores)[0])
    assert torch.equal(grad, torch.autograd.grad(crf(scores, labels).sum(), scores)[0])
    assert torch.equal(transitions, torch.autograd.grad(crf(scores, labels).sum(), crf.transitions)[0])
    assert copy.deepcopy(crf).double()(scores, labels).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_constraints_survive_conversion(dtype):
    crf, scores = build(dtype=torch.float32)
    rounded = copy.deepcopy(crf).to(dtype).float()
    assert torch.equal(copy.deepcopy(crf).to(dtype).decode(scores)[0], rounded.decode(scores)[0])
    fresh = LinearChainCRF(5, BIO)
    fresh.load_state_dict(crf.state_dict())
    assert torch.equal(fresh.decode(scores)[0], crf.decode(scores)[0])
    assert set(crf.state_dict()) == {"transitions", "start_transitions", "end_transitions"}


class TaggerConfig(PreTrainedConfig):
    model_type = "crf_test_tagger"


class Tagger(PreTrainedModel):
    config_class = TaggerConfig

    def __init__(self, config):
        super().__init__(config)
        self.projection = nn.Linear(4, 5)
        self.crf = LinearChainCRF(5, BIO)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, LinearChainCRF):
            module.init_weights()
        else:
            super()._init_weights(module)


def test_pretrained_model(tmp_path):
    """`from_pretrained` builds on the meta device: neither loaded parameters nor constraints may be lost."""
    model = Tagger(TaggerConfig())
    nn.init.normal_(model.crf.transitions)
    model.save_pretrained(tmp_path)
    scores = 3 * torch.randn(4, 9, 5)
    loaded = Tagger.from_pretrained(tmp_path)
    assert torch.equal(loaded.crf.transitions, model.crf.transitions)
    assert torch.equal(loaded.crf.decode(scores)[0], model.crf.decode(scores)[0])
    assert_close(loaded.crf.marginals(scores), model.crf.marginals(scores), 0)
    half = Tagger.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.crf.transitions.dtype == torch.bfloat16 and half.crf.decode(scores)[1].isfinite().all()


def test_parameters_missing_from_a_checkpoint_are_initialised(tmp_path):
    model = Tagger(TaggerConfig())
    state = {name: value for name, value in model.state_dict().items() if "start" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    loaded = Tagger.from_pretrained(tmp_path)
    assert loaded.crf.start_transitions.abs().max() <= 0.1
    assert torch.equal(loaded.crf.end_transitions, model.crf.end_transitions)


def test_meta_device():
    with torch.device("meta"):
        crf = LinearChainCRF(5, BIO)
    crf = crf.to_empty(device="cpu")
    crf.init_weights()
    assert all(parameter.abs().max() <= 0.1 for parameter in crf.parameters())
    path = crf.decode(torch.tensor([[[0.0, 0.0, 9.0, 0.0, 0.0]]]))[0]
    assert BIO[path.item()] != "I-X"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu():
    crf, scores = build(dtype=torch.float32)
    labels, mask = torch.randint(5, (3, 5)), torch.tensor([[1, 0, 1, 1, 0]] * 3)
    on_gpu = copy.deepcopy(crf).cuda()
    given = scores.cuda(), mask.cuda()
    assert_close(on_gpu(given[0], labels.cuda(), given[1]).cpu(), crf(scores, labels, mask), 1e-4)
    assert torch.equal(on_gpu.decode(*given)[0].cpu(), crf.decode(scores, mask)[0])
    assert_close(on_gpu.posterior_logits(*given).cpu(), crf.posterior_logits(scores, mask), 1e-4)
    found = on_gpu.entity_probabilities(given[0], labels.cuda(), given[1]).cpu()
    assert_close(found, crf.entity_probabilities(scores, labels, mask), 1e-5)


def test_equals_pytorch_crf():
    import torchcrf

    crf, scores = build("none", dtype=torch.float32)
    other = torchcrf.CRF(3, batch_first=True)
    other.load_state_dict(crf.state_dict())
    labels, mask = torch.randint(3, (3, 5)), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]).bool()
    assert_close(crf(scores, labels, mask), -other(scores, labels, mask, reduction="none"), 1e-5)
    assert [path[path >= 0].tolist() for path in crf.decode(scores, mask)[0]] == other.decode(scores, mask)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda crf, s: LinearChainCRF(0), "num_labels"),
        (lambda crf, s: LinearChainCRF(3, BIO), "labels"),
        (lambda crf, s: LinearChainCRF(5, BIO, "IOBX"), "scheme"),
        (lambda crf, s: crf(s[..., :4], torch.zeros(3, 5).long()), "scores"),
        (lambda crf, s: crf(s, torch.zeros(3, 4).long()), "labels"),
        (lambda crf, s: crf(s, torch.full((3, 5), 5)), "labels"),
        (lambda crf, s: crf(s, torch.full((3, 5), -1)), "labels"),
        (lambda crf, s: crf(s, torch.zeros(3, 5)), "labels"),
        (lambda crf, s: crf(s), "allowed"),
        (lambda crf, s: crf(s, allowed=torch.ones(3, 5).bool()), "allowed"),
        (lambda crf, s: crf.decode(s, torch.ones(3, 5)), "mask"),
        (lambda crf, s: crf.decode_nbest(s, 0), "n"),
    ],
)
def test_errors_name_the_argument(call, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        call(*build())

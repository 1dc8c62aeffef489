# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Adaptive softmax and mixture of softmaxes: their probabilities, losses and gradients against slow definitions."""

import itertools
import subprocess
import sys
import types

import pytest
import torch
from families import (
    ADAPTIVE,
    FAMILIES,
    LSTM,
    MIXTURE,
    UNTIED_ADAPTIVE,
    Family,
    assert_close,
    each_mask,
    random_ids,
    without_and_with_logits,
)
from processes import environment
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hf_lstm.models import output_layers
from hf_lstm.models.output_layers import (
    AdaptiveSoftmax,
    MixtureOfSoftmaxes,
    TiedAdaptiveSoftmax,
    _MixtureCrossEntropy,
    can_fuse,
    default_cutoffs,
)


CUTOFFS, VOCAB_SIZE, FEATURES = [4, 7, 13], 19, 8
LAYERS = {
    "adaptive": lambda bias: AdaptiveSoftmax(FEATURES, VOCAB_SIZE, CUTOFFS, 2, bias),
    "tied adaptive": lambda bias: TiedAdaptiveSoftmax(FEATURES, VOCAB_SIZE, CUTOFFS, bias),
    "mixture": lambda bias: MixtureOfSoftmaxes(FEATURES, 5, VOCAB_SIZE, 3, bias),
}
OUTPUTS = {
    "adaptive": UNTIED_ADAPTIVE,
    "tied adaptive": ADAPTIVE,
    "mixture": MIXTURE | {"tie_word_embeddings": False, "lm_head_bias": False},
    "tied mixture": MIXTURE,
}

each_layer = pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
each_output = pytest.mark.parametrize("fields", OUTPUTS.values(), ids=OUTPUTS)
each_family_and_output = pytest.mark.parametrize(
    ("family", "fields"),
    [pytest.param(f, fields, id=f"{f}, {name}") for f in FAMILIES for name, fields in OUTPUTS.items()],
)


def make(build, bias: bool = True, dtype=torch.float64):
    """A layer whose parameters are all large enough for differences to show."""
    layer = build(bias)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer.to(dtype)


def examples(dtype=torch.float64, rows: int = 40):
    """Features that want a gradient, and tokens of which some are left out."""
    hidden, targets = torch.randn(rows, FEATURES, dtype=dtype), torch.randint(VOCAB_SIZE, (rows,))
    targets[torch.randperm(rows)[: rows // 4]] = -100
    return hidden.requires_grad_(), targets


def probability(layer, h: torch.Tensor, token: int) -> torch.Tensor:
    """Of one token after one vector of features, from the parameters, by definition."""
    if isinstance(layer, MixtureOfSoftmaxes):
        prior, total = torch.softmax(layer.prior.weight @ h, 0), 0
        blocks = zip(prior, layer.latent.weight.split(5), layer.latent.bias.split(5), strict=True)
        for pi, weight, bias in blocks:
            scores = layer.weight @ torch.tanh(weight @ h + bias)
            scores = scores if layer.bias is None else scores + layer.bias
            total = total + pi * torch.softmax(scores, 0)[token]
        return total
    cluster = sum(token >= first for first in CUTOFFS)
    first, end = [0, *CUTOFFS][cluster], [*CUTOFFS, VOCAB_SIZE][cluster]
    tied = isinstance(layer, TiedAdaptiveSoftmax)
    if tied:
        rows = [layer.weight[i] @ h + (0 if layer.bias is None else layer.bias[i]) for i in range(VOCAB_SIZE)]
        head = torch.cat([torch.stack(rows[: CUTOFFS[0]]), layer.clusters(h)])
    else:
        head = layer.head(h)
    of_head = torch.softmax(head, 0)
    if cluster == 0:
        return of_head[token]
    scores = torch.stack(rows[first:end]) if tied else layer.tail[cluster - 1](h)
    return of_head[CUTOFFS[0] + cluster - 1] * torch.softmax(scores, 0)[token - first]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@each_layer
def test_probabilities_equal_the_definition(build, bias):
    layer, hidden = make(build, bias), torch.randn(2, 3, FEATURES, dtype=torch.float64)
    log_probabilities = layer(hidden).detach()
    assert_close(log_probabilities.exp().sum(-1), torch.ones(2, 3, dtype=torch.float64), 1e-12)
    with torch.no_grad():
        expected = [[[probability(layer, h, token) for token in range(VOCAB_SIZE)] for h in row] for row in hidden]
    assert_close(log_probabilities.exp(), torch.tensor(expected, dtype=torch.float64), 1e-12)


def test_adaptive_equals_torch():
    layer, (hidden, targets) = make(LAYERS["adaptive"], bias=False), examples()
    theirs = nn.AdaptiveLogSoftmaxWithLoss(FEATURES, VOCAB_SIZE, CUTOFFS, div_value=2).double()
    theirs.load_state_dict(layer.state_dict())  # the names are the same as well
    assert_close(layer(hidden), theirs.log_prob(hidden), 1e-12)
    real = targets != -100
    assert_close(layer.loss(hidden, targets), theirs(hidden[real], targets[real]).loss, 1e-12)


@pytest.mark.parametrize("rows_at_a_time", [1, 7, 1000])
@pytest.mark.parametrize("num_items", [None, 7, torch.tensor(40)], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@each_layer
def test_loss_and_gradients_equal_those_of_the_probabilities(build, bias, num_items, rows_at_a_time, monkeypatch):
    for name in ("output_layers", "losses"):
        monkeypatch.setattr(f"hf_lstm.models.{name}.rows_at_a_time", lambda weight: rows_at_a_time)
    layer, (hidden, targets) = make(build, bias), examples()
    inputs = [hidden, *layer.parameters()]
    loss = 3 * layer.loss(hidden, targets, num_items)
    real = targets != -100
    chosen = layer(hidden)[real].gather(1, targets[real][:, None])
    expected = -3 * chosen.sum() / (30 if num_items is None else num_items)
    assert_close(loss, expected, 1e-10)
    assert_close(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), 1e-10)
    shaped = layer.loss(hidden.view(4, 10, -1), targets.view(4, 10), num_items)
    assert_close(3 * shaped, loss, 1e-12)


def test_gradient_of_the_mixture_is_that_of_finite_differences():
    sizes = (6, 3, 4), (6, 3), (5, 4), (5,)
    inputs = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    rest = torch.randint(5, (6,)), torch.tensor(0.3)
    assert torch.autograd.gradcheck(lambda *tensors: _MixtureCrossEntropy.apply(*tensors, *rest), inputs)


@each_layer
def test_extreme_scores_stay_finite(build):
    layer, (hidden, targets) = make(build, dtype=torch.float32), examples(torch.float32)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter *= 300
    real = targets != -100
    loss, log_probabilities = layer.loss(hidden, targets), layer(hidden)
    assert log_probabilities.isfinite().all() and loss > 500
    torch.testing.assert_close(loss, nn.functional.nll_loss(log_probabilities[real], targets[real]))
    loss.backward()
    assert all(tensor.grad.isfinite().all() for tensor in (hidden, *layer.parameters()))


@pytest.mark.parametrize("how", ["bfloat16", "float16", "autocast"])
@each_layer
def test_lower_precision(build, how):
    layer, (hidden, targets) = make(build, dtype=torch.float32), examples(torch.float32)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter *= 0.3
    inputs = [hidden, *layer.parameters()]
    expected = layer.loss(hidden, targets)
    gradients, logits = torch.autograd.grad(expected, inputs), layer(hidden)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
        if how != "autocast":
            layer.to(getattr(torch, how))
            hidden = hidden.detach().to(getattr(torch, how)).requires_grad_()
        loss, low = layer.loss(hidden, targets), layer(hidden)
    assert loss.dtype == torch.float32 and low.dtype == (torch.float16 if how == "float16" else torch.bfloat16)
    ours = torch.autograd.grad(loss, [hidden, *layer.parameters()])
    assert [g.dtype for g in ours] == [p.dtype for p in (hidden, *layer.parameters())]
    assert_close(loss, expected, 0.05)
    assert_close(low.float(), logits, 0.1)
    assert_close([g.float() for g in ours], list(gradients), 0.02)


@each_layer
def test_no_label_at_all(build):
    layer, (hidden, targets) = make(build), examples()
    nothing = torch.full_like(targets, -100)
    assert layer.loss(hidden, nothing) == 0  # where torch's mean over nothing is NaN
    loss = layer.loss(hidden, nothing, num_items=5)
    gradients = torch.autograd.grad(loss, [hidden, *layer.parameters()])
    assert loss == 0 and not any(gradient.any() for gradient in gradients)


def test_only_clusters_that_occur_are_computed(monkeypatch):
    layer, hidden, computed = make(LAYERS["tied adaptive"]), examples()[0], []
    cross_entropy = output_layers.linear_cross_entropy

    def recorded(features, weight, bias, targets, num_items):
        computed.append((len(features), len(weight)))
        return cross_entropy(features, weight, bias, targets, num_items)

    monkeypatch.setattr(output_layers, "linear_cross_entropy", recorded)
    layer.loss(hidden, torch.tensor([0, 3, 8, 3, 18] + [-100] * 35))
    assert computed == [(5, 4 + 3), (0, 3), (1, 6), (1, 6)]


class Largest(TorchDispatchMode):
    """Sees the number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("name", ["adaptive", "mixture"])
def test_training_never_holds_the_scores_of_the_batch(name, monkeypatch):
    for module in ("output_layers", "losses"):
        monkeypatch.setattr(f"hf_lstm.models.{module}.rows_at_a_time", lambda weight: 30)
    layer, (hidden, targets) = make(LAYERS[name]), examples(rows=4000)
    with Largest() as seen:
        layer.loss(hidden, targets).backward()
    assert seen.elements <= 4000 * 3 * FEATURES < 4000 * VOCAB_SIZE * 3
    with Largest() as seen:
        layer(hidden)
    assert seen.elements == 4000 * VOCAB_SIZE


@each_mask
@each_family_and_output
def test_model_trains_alike_with_and_without_logits(family: Family, fields, mask):
    model = family.build("ForCausalLM", **fields).train()
    ids = random_ids()
    results = without_and_with_logits(model, ids, mask)
    assert_close(results[0], results[1], 1e-4)
    assert_close(model.eval()(ids, attention_mask=mask, labels=ids, num_items_in_batch=9).loss, results[0][0], 1e-4)


@each_output
def test_whoever_changes_the_layer_is_heard(fields):
    model, ids = LSTM.build("ForCausalLM", **fields).train(), random_ids()
    assert can_fuse(model.lm_head)
    part = [module for module in model.lm_head.modules() if type(module) is nn.Linear][-1]
    handle = part.register_forward_hook(lambda module, inputs, output: output * 0)
    assert not can_fuse(model.lm_head)
    handle.remove()
    torch.nn.utils.parametrizations.weight_norm(part)
    assert not can_fuse(model.lm_head) and model(ids, labels=ids).loss.isfinite()


@each_output
def test_best_of_all_sequences(fields):
    """Beams as wide as the tree find the most probable of all continuations; the fast loop is the greedy one."""
    cutoffs = {"adaptive_cutoffs": [2, 3]} if fields["output_layer"] == "adaptive" else {}
    model = LSTM.build("ForCausalLM", vocab_size=5, pad_token_id=None, **(fields | cutoffs))
    prompt = torch.tensor([[1, 4]])
    every = torch.tensor(list(itertools.product(range(5), repeat=3)))
    logits = model(torch.cat([prompt.expand(125, -1), every], 1)).logits[:, 1:-1]
    scores = logits.log_softmax(-1).gather(2, every[..., None]).sum((1, 2))
    found = model.generate(prompt, max_new_tokens=3, num_beams=25, do_sample=False)
    assert found[0, 2:].tolist() == every[scores.argmax()].tolist()

    expected = prompt
    for _ in range(6):
        expected = torch.cat([expected, model(expected).logits[:, -1:].argmax(-1)], 1)
    assert torch.equal(model.generate(prompt, max_new_tokens=6, do_sample=False), expected)


@each_output
def test_resize(fields, tmp_path):
    """More rows for the last cluster, or fewer; which of the old tokens is likelier than another does not change."""
    model, ids = LSTM.build("ForCausalLM", **fields), random_ids(vocab_size=12)
    before = model(ids).logits
    for size in (20, 40):
        model.resize_token_embeddings(size)
        after = model(ids, labels=ids)
        assert after.logits.shape[-1] == model.config.vocab_size == size
        assert_close(after.logits.exp().sum(-1), torch.ones(3, 7), 1e-5)
        if fields["output_layer"] == "adaptive":
            assert_close(after.logits[..., :12], before[..., :12])  # no cluster but the last has changed
        assert_close(model.train()(ids, labels=ids).loss, after.loss, 1e-4)
        model.eval().save_pretrained(tmp_path)
        assert torch.equal(LSTM.head("ForCausalLM").from_pretrained(tmp_path)(ids).logits, after.logits)
    embeddings = model.get_input_embeddings()
    tied = fields.get("tie_word_embeddings", True)
    assert (getattr(model.get_output_embeddings(), "weight", None) is embeddings.weight) is tied


@pytest.mark.parametrize("fields", [ADAPTIVE, UNTIED_ADAPTIVE], ids=["tied", "untied"])
def test_resize_that_would_empty_a_cluster_is_refused(fields):
    model, ids = LSTM.build("ForCausalLM", **fields), random_ids(vocab_size=12)
    before = model(ids).logits
    with pytest.raises(ValueError, match=r"`new_num_tokens=12` .* begins at token 12\. Keep 13"):
        model.resize_token_embeddings(12)
    assert torch.equal(model(ids).logits, before)


@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
def test_usual_cutoffs_are_written_down(tie, tmp_path):
    config = LSTM.config(vocab_size=60, output_layer="adaptive", tie_word_embeddings=tie)
    model, ids = LSTM.head("ForCausalLM")(config).eval(), random_ids()
    assert config.adaptive_cutoffs is None  # left as it was, for a model of another size
    assert model.config.adaptive_cutoffs == default_cutoffs(60) == [2, 6, 20]
    model.resize_token_embeddings(600)
    model.save_pretrained(tmp_path)
    loaded = LSTM.head("ForCausalLM").from_pretrained(tmp_path)
    assert loaded.config.adaptive_cutoffs == [2, 6, 20]
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert_close(loaded(ids).logits, model(ids).logits)


@pytest.mark.parametrize("size", [3, 4, 10, 100, 268_000])
def test_usual_cutoffs_fit_every_vocabulary(size):
    model = LSTM.build("ForCausalLM", vocab_size=size, embedding_size=2, hidden_size=2, output_layer="adaptive")
    assert model(torch.tensor([[1, 2]])).logits.shape == (1, 2, size)


@each_family_and_output
def test_initialisation(family, fields):
    """Tables of tokens are drawn with `initializer_range`; what is missing from a checkpoint is drawn as well."""
    fields = fields | {"vocab_size": 2000, "hidden_size": 40, "embedding_size": 30, "initializer_range": 0.3}
    head = family.build("ForCausalLM", **fields).lm_head
    tables = head.tables_of_tokens() if isinstance(head, AdaptiveSoftmax) else [head]
    for table in tables:
        sample = table.weight[1:]  # the first is padding
        assert 0.3 * (1 - 3 / sample.numel() ** 0.5) < sample.std() < 0.3 * (1 + 3 / sample.numel() ** 0.5)
    for name, parameter in head.named_parameters():
        assert parameter.any() != name.endswith("bias"), name


def test_backbone_gets_an_output_layer(tmp_path):
    backbone, ids = LSTM.build("Model"), random_ids()
    backbone.save_pretrained(tmp_path)
    for fields in OUTPUTS.values():
        model = LSTM.head("ForCausalLM").from_pretrained(tmp_path, **fields)
        assert_close(model(ids).logits.exp().sum(-1), torch.ones(3, 7), 1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_softmaxes": 0}, r"`num_softmaxes` must be .* got 0"),
        ({"adaptive_div_value": 0.5}, r"`adaptive_div_value` must be .* got 0\.5"),
        ({"adaptive_cutoffs": []}, r"`adaptive_cutoffs` must rise .* got \[\]"),
        ({"adaptive_cutoffs": [0, 4]}, r"`adaptive_cutoffs` must rise"),
        ({"adaptive_cutoffs": [5, 5]}, r"`adaptive_cutoffs` must rise"),
        ({"adaptive_cutoffs": [5, 31]}, r"vocab_size - 1 = 30 at most, got \[5, 31\]"),
        ({"vocab_size": 2, "output_layer": "adaptive"}, r"needs at least 3 tokens, got `vocab_size=2`"),
    ],
)
def test_configurations_that_cannot_work(fields, message):
    with pytest.raises(ValueError, match=message):
        LSTM.config(**fields)


THERE = """
import sys
sys.modules["hf_lstm"] = None
import torch
from transformers import AutoModelForCausalLM
for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
    ids = torch.tensor([[1, 2, 3]])
    loss = model.train()(ids, labels=ids).loss.item()
    written = model.eval().generate(ids, max_new_tokens=5, do_sample=False)
    torch.save([model(ids).logits, written, loss], folder + "/answers")
    model.save_pretrained(folder + "/again")
"""


@pytest.fixture(scope="module")
def travelled(tmp_path_factory):
    """A model of each kind, and its folder after a visit to a process in which `import hf_lstm` fails."""
    root, models = tmp_path_factory.mktemp("travelled"), {}
    for name, fields in OUTPUTS.items():
        torch.manual_seed(0)
        models[name] = LSTM.build("ForCausalLM", **fields), root / name
        models[name][0].save_pretrained(root / name)
    command = [sys.executable, "-c", THERE, *(str(folder) for _, folder in models.values())]
    done = subprocess.run(command, env=environment(root / "home"), cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return models


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTPUTS)
def test_travels(travelled, name):
    """There and back."""
    (model, folder), ids = travelled[name], torch.tensor([[1, 2, 3]])
    logits, tokens, loss = torch.load(folder / "answers")
    assert torch.equal(logits, model(ids).logits)
    assert torch.equal(tokens, model.generate(ids, max_new_tokens=5, do_sample=False))
    assert loss == pytest.approx(model.train()(ids, labels=ids).loss.item(), abs=1e-5)
    again = LSTM.head("ForCausalLM").from_pretrained(folder / "again")
    assert torch.equal(again(ids).logits, logits)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (ADAPTIVE, "`output_layer='adaptive'`"),
        (UNTIED_ADAPTIVE, "`output_layer='adaptive'`"),
        (MIXTURE, "`output_layer='mixture'`"),
        ({}, "`embedding_size=6`"),
        ({"embedding_size": 10, "activation_regularization": 1.0}, "`activation_regularization=1.0`"),
    ],
)
def test_a_forward_pass_with_an_output_layer_of_its_own_is_refused(fields, message):
    """As that of trl, which multiplies by the weight of what it takes for a linear layer of the outputs."""
    model = LSTM.build("ForCausalLM", **fields)

    def forward(self, *args, fused_lm_head=False, **kwargs):
        hidden_states = self.base_model(*args, **kwargs).last_hidden_state
        return hidden_states @ self.get_output_embeddings().weight.T

    model.forward = types.MethodType(forward, model)
    with pytest.raises(ValueError, match=message):
        model.train()(random_ids(), fused_lm_head=True)

    plain, ids = LSTM.build("ForCausalLM", embedding_size=10, lm_head_bias=False), random_ids()
    expected = plain(ids).logits
    plain.forward = types.MethodType(forward, plain)
    assert_close(plain(ids, fused_lm_head=True), expected)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Transducers: the loss against the sum over all ways, decoding against slow loops and against all there is to find,
pieces against the whole, folders, and errors that help.
"""

import itertools
import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
import without_package
from families import PLAIN_TRAINING, assert_close
from processes import environment
from safetensors.torch import load_file
from torch.autograd import gradcheck
from transformers import AutoConfig, Trainer, TrainingArguments, pipeline

from hf_lstm import (
    GRUForRNNT,
    LSTMForRNNT,
    RecurrentFeatureExtractor,
    RecurrentForRNNT,
    RecurrentSpeechProcessor,
    RecurrentTransducerConfig,
)
from hf_lstm.data.sound import build_ctc_tokenizer
from hf_lstm.models import transducer
from hf_lstm.models.transducer import joint_losses, transducer_losses


SIZES = {"feature_size": 6, "hidden_size": 7, "num_hidden_layers": 2, "vocab_size": 5, "initializer": "uniform"}
SIZES |= {"decoder_hidden_size": 8, "decoder_embedding_size": 3, "joint_size": 9}
ROWS = [([1, 2], 4), ([2, 2, 1], 2), ([], 3), ([1], 1), ([], 0)]  # labels, steps
LENGTHS = (12, 5, 0, 9)

each_cell = pytest.mark.parametrize("cell", ("lstm", "gru", "rnn"))


def ways(steps: int, labels: int):
    """All orders of `steps` blanks, one of them last, and of labels: (t, u, whether a label follows) each."""

    def onward(t: int, u: int):
        if t == steps:
            yield from [[]] if u == labels else []
            return
        yield from ([(t, u, False), *rest] for rest in onward(t + 1, u))
        if u < labels:
            yield from ([(t, u, True), *rest] for rest in onward(t, u + 1))

    return onward(0, 0)


def enumerated(logits: torch.Tensor, labels: list[int], steps: int) -> torch.Tensor:
    """-log of the sum over all ways of one row, (T, U + 1, V)."""
    scores = logits.log_softmax(-1)
    found = [sum(scores[t, u, labels[u] if on else 0] for t, u, on in way) for way in ways(steps, len(labels))]
    return -torch.stack(found).logsumexp(0) if steps else logits.sum() * 0


def looped(logits: torch.Tensor, labels: list[int]) -> torch.Tensor:
    """The same by a double loop over equation 16 of Graves 2012."""
    scores, alpha = logits.log_softmax(-1), {}
    for t in range(len(logits)):
        for u in range(len(labels) + 1):
            terms = [alpha[t - 1, u] + scores[t - 1, u, 0]] if t else []
            terms += [alpha[t, u - 1] + scores[t, u - 1, labels[u - 1]]] if u else []
            alpha[t, u] = torch.stack(terms).logsumexp(0) if terms else scores[0, 0, 0] * 0
    return -(alpha[t, u] + scores[t, u, 0])


def batch(dtype=torch.float64):
    """Parts of a joint network, and what is said."""
    torch.manual_seed(0)
    parts = [torch.randn(*shape, dtype=dtype) for shape in ((5, 4, 6), (5, 4, 6), (3, 6), (3,))]
    labels = torch.tensor([[*row, *[1] * (3 - len(row))] for row, _ in ROWS])
    said = torch.tensor([n for _, n in ROWS]), labels, torch.tensor([len(row) for row, _ in ROWS])
    return parts, said


def logits_of(encoded, predicted, weight, bias):
    return (encoded[:, :, None] + predicted[:, None]).tanh() @ weight.T + bias


@pytest.mark.parametrize("elements, kept", [(1, 0), (100, 1 << 20), (1 << 18, 0), (1 << 18, 1 << 20)])
def test_the_loss_is_the_sum_over_all_ways(elements, kept, monkeypatch):
    monkeypatch.setattr(transducer, "CHUNK_ELEMENTS", elements)
    monkeypatch.setattr(transducer, "KEPT_ELEMENTS", kept)
    parts, said = batch()
    parts = [part.requires_grad_() for part in parts]
    logits = logits_of(*parts)
    expected = torch.stack([enumerated(logits[i], row, n) for i, (row, n) in enumerate(ROWS)])
    weights = torch.arange(1.0, 6.0)
    gradients = torch.autograd.grad(expected @ weights.double(), [logits, *parts], retain_graph=True)
    plain, fused = transducer_losses(logits, *said), joint_losses(*parts, *said)
    assert_close([plain, fused], [expected, expected], 1e-12)
    assert plain[4] == 0 and fused[4] == 0
    (found,) = torch.autograd.grad(plain @ weights.double(), logits, retain_graph=True)
    assert_close(found, gradients[0], 1e-12)
    assert_close(torch.autograd.grad(fused @ weights.double(), parts), gradients[1:], 1e-12)
    with torch.no_grad():
        assert torch.equal(joint_losses(*parts, *said), fused)


def test_the_gradient_is_that_of_the_loss():
    parts, said = batch()
    parts = [part.requires_grad_() for part in parts]
    assert gradcheck(lambda *given: transducer_losses(logits_of(*given), *said), parts)
    assert gradcheck(lambda *given: joint_losses(*given, *said), parts)
    assert gradcheck(lambda *given: joint_losses(*given, None, *said), parts[:3])


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.bfloat16, 1e-2)])
def test_longer_rows_against_a_loop(dtype, tolerance):
    torch.manual_seed(1)
    labels, logits = torch.randint(1, 11, (2, 17)), (3 * torch.randn(2, 40, 18, 11)).to(dtype).requires_grad_()
    said = torch.tensor([40, 23]), labels, torch.tensor([17, 9])
    losses = transducer_losses(logits, *said)
    assert losses.dtype == torch.float32
    exact = logits.detach().double().requires_grad_()
    expected = torch.stack(
        [looped(exact[i, :t, : u + 1], labels[i, :u].tolist()) for i, t, u in ((0, 40, 17), (1, 23, 9))]
    )
    assert_close(losses.double(), expected, 1e-3)
    losses.sum().backward(), expected.sum().backward()
    assert_close(logits.grad.double(), exact.grad, tolerance)


def test_the_loss_of_half_precision_is_whole():
    """As under autocast, where the layers compute in bf16."""
    parts, said = batch(torch.float32)
    parts = [part.requires_grad_() for part in parts]
    expected = joint_losses(*parts, *said)
    with torch.autocast("cpu", torch.bfloat16):
        found = joint_losses(*parts, *said)
    assert found.dtype == torch.float32
    assert_close(found, expected, 0.05)
    gradients = torch.autograd.grad(expected.sum(), parts)
    assert_close(torch.autograd.grad(found.sum(), parts), gradients, 0.1)


def build(cell="lstm", blank: float = 0.0, **fields) -> RecurrentForRNNT:
    """A model that says much, less with a bias of the blank."""
    torch.manual_seed(1)
    model = RecurrentForRNNT(RecurrentTransducerConfig(cell=cell, **SIZES | {"bidirectional": False} | fields)).eval()
    with torch.no_grad():
        model.joint.encoder_projector.weight.normal_(0, 0.7)
        model.joint.decoder_projector.weight.normal_(0, 0.7)
        model.joint.head.weight.normal_(0, 1.2)
        # All labels are as probable on average.
        mean = nodes(model, 2 * torch.randn(30, 6), [*range(1, model.config.vocab_size)]).mean((0, 1))
        model.joint.head.bias.sub_(mean)[0] += blank
    return model


def sounds(rows=LENGTHS) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask = (torch.arange(max(rows)) < torch.tensor(rows)[:, None]).long()
    return 2 * torch.randn(len(rows), max(rows), 6), mask


def nodes(model, features, labels: list[int]) -> torch.Tensor:
    """Logits of one sound, (T, F), at all nodes: (T, U + 1, V)."""
    encoded = model.model(features[None]).last_hidden_state[0]
    predicted = model.decoder(torch.tensor([[0, *labels]])).last_hidden_state[0]
    joint = model.joint
    added = joint.encoder_projector(encoded)[:, None] + joint.decoder_projector(predicted)
    return joint.head(added.tanh())


LABELS = torch.tensor([[1, 2, 2, 4], [3, -100, -100, -100], [-100] * 4, [4, 1, -100, -100]])


@each_cell
@pytest.mark.parametrize("bidirectional", (False, True))
def test_the_loss_of_a_model(cell, bidirectional):
    model, (features, mask) = build(cell, bidirectional=bidirectional), sounds()
    garbage = features.masked_fill(mask[..., None] == 0, torch.nan)
    expected = sum(
        looped(nodes(model, features[i, :n], row), row)
        for i, n in enumerate(LENGTHS)
        if (row := [label for label in LABELS[i].tolist() if label > 0])
    )
    assert_close(model(garbage, mask, labels=LABELS).loss, expected / 7)
    assert_close(model(garbage, mask, labels=LABELS, num_items_in_batch=20).loss, expected / 20)
    holes = torch.tensor([[0, 1, 0, 1, 1, 1, 0, 0, 1]])
    apart = LABELS[1:2, [1, 0, 2, 3]]  # a label behind a place without one
    found = model(
        features[1:2, :5].new_zeros(1, 9, 6).masked_scatter(holes[..., None] > 0, features[1, :5]), holes, apart
    )
    assert_close(found.loss, model(features[1:2, :5], labels=LABELS[1:2]).loss)
    outputs = model.train()(features, mask, labels=LABELS)
    assert outputs.logits is None and outputs.cache is None
    assert_close(outputs.loss, expected / 7)
    outputs.loss.backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters() if p.ndim == 2)
    nothing = model(features, mask, labels=torch.full((4, 2), -100)).loss
    nothing.backward()
    assert nothing == 0


def test_a_head_that_is_wrapped_has_the_same_loss():
    model, (features, mask) = build(), sounds()
    expected = model(features, mask, labels=LABELS).loss
    called = []
    model.joint.head.register_forward_hook(lambda *_: called.append(1))
    assert_close(model(features, mask, labels=LABELS).loss, expected)
    assert called


def heard_slowly(model, features, most: int) -> tuple[list[int], list[int], float]:
    """Labels, their steps, and the log-probability of the greedy way: node by node."""
    labels, steps, score = [], [], 0.0
    encoded = model.joint.encoder_projector(model.model(features[None]).last_hidden_state[0])
    for t in range(len(features)):
        for _ in range(most + 1):
            predicted = model.decoder(torch.tensor([[0, *labels]])).last_hidden_state[0, -1]
            scores = model.joint(encoded[t], model.joint.decoder_projector(predicted)).log_softmax(-1)
            if len(steps) - sum(step < t for step in steps) == most:
                break
            best = int(scores.argmax())
            score += float(scores[best])
            if best == 0:
                break
            labels.append(best)
            steps.append(t)
    return labels, steps, score


def collapsed(ids: list[int]) -> list[int]:
    """What CTC reads of a path."""
    return [label for before, label in zip([0, *ids], ids, strict=False) if label not in (0, before)]


def without_fill(sequences, steps) -> list[tuple[list[int], list[int]]]:
    return [
        ([label for label in row if label], [t for t in places if t >= 0])
        for row, places in zip(sequences.tolist(), steps.tolist(), strict=True)
    ]


@each_cell
@pytest.mark.parametrize("blank, most", [(0.0, 3), (1.0, 1), (2.0, 10), (3.0, 2)])
@torch.no_grad()
def test_greedy_is_node_by_node(cell, blank, most):
    model, (features, mask) = build(cell, blank, max_symbols_per_step=most), sounds((29, 5, 0, 9))
    garbage = features.masked_fill(mask[..., None] == 0, torch.nan)
    found = model.generate(garbage, attention_mask=mask)
    outputs = model(garbage, mask)
    for i, (labels, steps) in enumerate(without_fill(found.sequences, found.steps)):
        slow = heard_slowly(model, features[i, : mask[i].sum()], most) if mask[i].any() else ([], [], 0.0)
        assert (labels, steps) == slow[:2]
        assert abs(found.sequences_scores[i] - slow[2]) < 1e-4
        assert collapsed(outputs.logits[i].argmax(-1).tolist()) == labels
        assert outputs.steps[i].max() == mask[i].sum() - 1
    assert (found.sequences.shape, found.steps.shape) == (found.steps.shape, found.sequences.shape)


@each_cell
def test_greedy_has_something_to_hear(cell):
    """That the tests here are of models that say labels of several kinds, some again, and nothing at some steps."""
    found = build(cell, 2.0, max_symbols_per_step=3).generate(sounds((29,))[0])
    [(labels, steps)] = without_fill(found.sequences, found.steps)
    assert len({*labels}) > 1 and len({*steps}) < 29 < len(labels)
    assert any(pair[0] == pair[1] for pair in itertools.pairwise(labels))


@each_cell
@torch.no_grad()
def test_pieces_are_the_whole(cell, tmp_path):
    """Of any length, none included; greedily and with beams; the state is a value that can be kept and branched."""
    model, (features, _) = build(cell, 2.0, max_symbols_per_step=3), sounds((23, 23))
    whole, beams = model.generate(features), model.generate(features, num_beams=3, num_return_sequences=2)
    rng = np.random.default_rng(0)
    for trial in (0, 3, 9):
        cuts = sorted(rng.integers(0, 24, trial))
        labels, cache, state, hypotheses = [[], []], None, None, None
        for piece in np.split(features.numpy(), cuts, axis=1):
            found = model.generate(torch.tensor(piece), cache=cache)
            cache = found.cache
            for row, (own, steps) in zip(labels, without_fill(found.sequences, found.steps), strict=True):
                row += zip(own, steps, strict=True)
            several = model.generate(
                torch.tensor(piece), num_beams=3, num_return_sequences=2, cache=state, beams=hypotheses
            )
            state, hypotheses = several.cache, several.beams
            if trial == 3:
                cache.save_file(tmp_path / "state")
                model.generate(features, cache=cache.copy())  # a branch
                cache = type(cache).load_file(tmp_path / "state")
                model.generate(features, num_beams=3, cache=state.copy(), beams=hypotheses)
        expected = [[*zip(*row, strict=True)] for row in without_fill(whole.sequences, whole.steps)]
        assert labels == expected
        assert torch.equal(several.sequences, beams.sequences) and torch.equal(several.steps, beams.steps)
        assert_close(several.sequences_scores, beams.sequences_scores)
    logits, cache = [], None
    for piece in features.split(5, 1):
        outputs = model(piece, cache=cache)
        cache = outputs.cache
        logits.append(outputs)
    steps = torch.cat([each.steps[0][each.steps[0] >= 0] for each in logits])
    alone = model(features[:1])
    assert torch.equal(steps, alone.steps[0])
    assert_close(torch.cat([each.logits[0][each.steps[0] >= 0] for each in logits]), alone.logits[0])


@torch.no_grad()
def test_pieces_of_rows_that_end_at_different_times():
    model, (features, mask) = build(blank=2.0, max_symbols_per_step=3), sounds((20, 11, 3))
    whole, cache, found = model.generate(features, mask), None, [[], [], []]
    for piece, real in zip(features.split(4, 1), mask.split(4, 1), strict=True):
        outputs = model.generate(piece, real, cache=cache)
        cache = outputs.cache.to(torch.float32)
        for row, (labels, steps) in zip(found, without_fill(outputs.sequences, outputs.steps), strict=True):
            row += zip(labels, steps, strict=True)
    assert found == [[*zip(*row, strict=True)] for row in without_fill(whole.sequences, whole.steps)]
    assert cache.layers[-1].states[1].flatten().tolist() == [20, 11, 3]


@torch.no_grad()
def test_beams_that_hold_everything_are_exact():
    """Each hypothesis has the probability of all its ways, as the loss says; the best one is the best there is."""
    model, (features, _) = build(blank=2.0, vocab_size=3, max_symbols_per_step=3), sounds((3,))
    found = model.generate(features, num_beams=5000, num_return_sequences=40)
    rows = [labels for labels, _ in without_fill(found.sequences, found.steps)]
    assert len({*map(tuple, rows)}) == 40
    for labels, score in zip(rows, found.sequences_scores.tolist(), strict=True):
        if len(labels) <= 3:  # else there are ways with more labels at a step
            assert abs(score + float(looped(nodes(model, features[0], labels), labels))) < 1e-4
    every = [[]]
    for length in range(3):
        every += [[*row, label] for row in every if len(row) == length for label in (1, 2)]
    exact = {tuple(row): -float(looped(nodes(model, features[0], row), row)) for row in every}
    assert next(row for row in rows if len(row) <= 3) == list(max(exact, key=exact.get))
    graves = model.generate(features, num_beams=5000, num_return_sequences=40, length_penalty=1.0)
    for (labels, _), score in zip(without_fill(graves.sequences, graves.steps), graves.sequences_scores, strict=True):
        if len(labels) <= 3:
            assert abs(score - exact[tuple(labels)] / max(1, len(labels))) < 1e-4


@torch.no_grad()
def test_beams_of_a_batch():
    """Padding and batch mates change nothing; more beams find what is at least as probable; none is above its loss."""
    model, (features, mask) = build(blank=2.0, max_symbols_per_step=3), sounds()
    garbage = features.masked_fill(mask[..., None] == 0, torch.nan)
    found = model.generate(garbage, mask, num_beams=4, num_return_sequences=3)
    rows = without_fill(found.sequences, found.steps)
    for i, n in enumerate(LENGTHS):
        if not n:
            assert rows[3 * i] == ([], []) and found.sequences_scores[3 * i : 3 * i + 3].tolist() == [
                0,
                -math.inf,
                -math.inf,
            ]
            continue
        alone = model.generate(features[i : i + 1, :n], num_beams=4, num_return_sequences=3)
        assert rows[3 * i : 3 * i + 3] == without_fill(alone.sequences, alone.steps)
        assert_close(found.sequences_scores[3 * i : 3 * i + 3], alone.sequences_scores)
        wide = model.generate(features[i : i + 1, :n], num_beams=30)
        assert wide.sequences_scores[0] >= found.sequences_scores[3 * i] - 1e-5
        for (labels, steps), score in zip(rows[3 * i :][:3], found.sequences_scores[3 * i :], strict=False):
            assert score <= -looped(nodes(model, features[i, :n], labels), labels) + 1e-4
            assert steps == sorted(steps) and all(0 <= step < n for step in steps)


@each_cell
def test_a_folder_loads(tmp_path, cell):
    fields = {"num_decoder_layers": 2, "hidden_sizes": [5, 7], "bidirectional": True}
    model, (features, mask) = build(cell, 3.0, **fields), sounds()
    expected = model(features, mask, labels=LABELS)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    own = "modeling_transducer.RecurrentForRNNT"
    assert config["auto_map"] == {
        "AutoConfig": "configuration_transducer.RecurrentTransducerConfig",
        "AutoModelForRNNT": own,
        "AutoModelForTDT": own,
    }
    for auto_class in ("AutoModelForRNNT", "AutoModelForTDT"):
        loaded = getattr(transformers, auto_class).from_pretrained(tmp_path)
        assert type(loaded) is RecurrentForRNNT
        outputs = loaded(features, mask, labels=LABELS)
        assert torch.equal(outputs.logits, expected.logits) and outputs.loss == expected.loss
    assert AutoConfig.from_pretrained(tmp_path).cell == cell
    for named, other in ((LSTMForRNNT, "lstm"), (GRUForRNNT, "gru")):
        if other == cell:
            assert type(named.from_pretrained(tmp_path)) is named
        else:
            with pytest.raises(ValueError, match="`cell="):
                named.from_pretrained(tmp_path)


THERE = """
import sys
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForRNNT
from without_package import NotInstalled

sys.meta_path.insert(0, NotInstalled())
model = AutoModelForRNNT.from_pretrained("folder", trust_remote_code=True)
given = load_file("given")
outputs = model(given["features"], given["mask"], labels=given["labels"])
found = model.generate(given["features"], given["mask"], num_beams=3)
assert not [name for name in sys.modules if name.split(".")[0] == "hf_lstm"]
save_file({"logits": outputs.logits.contiguous(), "loss": outputs.loss, "sequences": found.sequences}, "result")
model.save_pretrained("again")
"""


@torch.no_grad()
def test_a_folder_travels(tmp_path):
    """To where hf_lstm cannot be imported: the same bits, and the same folder again."""
    model, (features, mask) = build(blank=2.0, max_symbols_per_step=3), sounds()
    model.save_pretrained(tmp_path / "folder")
    without_package.save_file({"features": features, "mask": mask, "labels": LABELS}, tmp_path / "given")
    shutil.copy(without_package.__file__, tmp_path)
    (tmp_path / "there.py").write_text(THERE)
    options = {"cwd": tmp_path, "env": environment(tmp_path / "home"), "capture_output": True, "text": True}
    run = subprocess.run([sys.executable, "there.py"], timeout=200, **options)
    assert run.returncode == 0, run.stderr
    result, outputs = load_file(tmp_path / "result"), model(features, mask, labels=LABELS)
    assert_close([result["logits"], result["loss"]], [outputs.logits, outputs.loss])
    assert torch.equal(result["sequences"], model.generate(features, mask, num_beams=3).sequences)
    names = [{file.name for file in (tmp_path / each).iterdir()} - {"README.md"} for each in ("folder", "again")]
    assert names[0] == names[1]
    changed = [
        name
        for name in names[0]
        if (tmp_path / "folder" / name).read_bytes() != (tmp_path / "again" / name).read_bytes()
    ]
    assert changed == []
    assert type(RecurrentForRNNT.from_pretrained(tmp_path / "again")) is RecurrentForRNNT


def test_trainer_and_pipeline(tmp_path):
    """Three sounds learnt by heart, with metrics of what is heard; then files, features and text from one folder."""
    extractor = RecurrentFeatureExtractor(feature_size=8, sampling_rate=8000)
    tokenizer = build_ctc_tokenizer(["three", "see", "two"])
    time = np.arange(4000) / 8000
    waves = [
        np.sin(2 * np.pi * pitch * time[:n]).astype(np.float32)
        for pitch, n in ((300, 4000), (900, 3000), (2000, 2500))
    ]
    processor = RecurrentSpeechProcessor(extractor.fit(waves), tokenizer)
    texts = ["three", "see", "two"]
    read = processor(waves, sampling_rate=8000, text=texts, return_tensors="pt")
    rows = [{name: values[i] for name, values in read.items()} for i in range(3)]
    fields = {
        "feature_size": extractor.step_size,
        "hidden_size": 24,
        "decoder_hidden_size": 24,
        "num_hidden_layers": 1,
    }
    torch.manual_seed(0)
    model = LSTMForRNNT(RecurrentTransducerConfig(vocab_size=len(tokenizer), bidirectional=False, **fields))

    def metrics(prediction):
        heard = processor.batch_decode(prediction.predictions.argmax(-1))
        return {"right": sum(a == b for a, b in zip(heard, texts, strict=True))}

    options = {"learning_rate": 0.02, "optim": "adamw_torch", "max_steps": 60, "per_device_train_batch_size": 3}
    arguments = TrainingArguments(tmp_path / "runs", **PLAIN_TRAINING | options)
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, compute_metrics=metrics)
    trainer.train()
    assert trainer.evaluate()["eval_right"] == 3
    model.eval()
    found = model.generate(read["input_features"], read["attention_mask"], num_beams=3)
    assert tokenizer.batch_decode(found.sequences, group_tokens=False) == texts
    model.save_pretrained(tmp_path / "folder")
    processor.save_pretrained(tmp_path / "folder")
    listen = pipeline("automatic-speech-recognition", str(tmp_path / "folder"))
    assert type(listen.model) is RecurrentForRNNT
    assert [each["text"] for each in listen(waves, batch_size=3)] == texts
    with pytest.raises(ValueError, match="leave `return_timestamps`"):
        listen(waves[0], return_timestamps="char")
    with pytest.raises(ValueError, match="leave `return_timestamps`"):
        listen(waves[0], chunk_length_s=1)


def test_training_hides_parts_and_drops():
    model, (features, mask) = build(mask_time_prob=0.5, mask_time_length=3), sounds()
    assert model(features, mask, labels=LABELS).loss == model(features, mask, labels=LABELS).loss
    model.train()
    assert model(features, mask, labels=LABELS).loss != model(features, mask, labels=LABELS).loss
    model = build(decoder_dropout=0.5).train()
    assert model(features, mask, labels=LABELS).loss != model(features, mask, labels=LABELS).loss
    assert not model.decoder.embed_tokens.weight[0].any()


@pytest.mark.parametrize(
    "labels, message",
    [
        ([[1, 2], [3, 4]], "expected (batch, labels) with a batch of 4"),
        ([[5]] * 4, "`labels` holds 5, but `vocab_size` is 5"),
        ([[1, 0]] * 4, "`labels` holds 0, `pad_token_id`, which is the blank"),
        ([[1]] * 4, "`labels` of row 2, 1 of them, need a step, but there is none, and so it is with 1 of 4 rows"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(ValueError) as error:
        build()(*sounds(), labels=torch.tensor(labels))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"decoder_hidden_size": 0}, "`decoder_hidden_size`"),
        ({"joint_size": 0}, "`joint_size`"),
        ({"max_symbols_per_step": 0}, "`max_symbols_per_step`"),
        ({"decoder_dropout": 1.0}, "`decoder_dropout`"),
        ({"pad_token_id": 5}, "`pad_token_id`"),
        ({"blank_token_id": 3}, "`pad_token_id`"),
        ({"pred_hidden": 3}, "Use `decoder_hidden_size`"),
        ({"ctc_zero_infinity": True}, "`ctc_zero_infinity`"),
    ],
)
def test_fields_that_cannot_work(fields, message):
    with pytest.raises(ValueError, match=message):
        RecurrentTransducerConfig(**SIZES | fields)


def test_what_is_refused():
    model, (features, _) = build(), sounds()
    cache = model(features).cache
    with pytest.raises(ValueError, match="`labels` are those of a whole sound"):
        model(features, labels=LABELS, cache=cache)
    with pytest.raises(ValueError, match="`num_return_sequences=3` must lie between 1 and `num_beams=2`"):
        model.generate(features, num_beams=2, num_return_sequences=3)
    with pytest.raises(ValueError, match="Pass both of an earlier output"):
        model.generate(features, num_beams=2, cache=cache)
    with pytest.raises(ValueError, match="`cache` is"):
        model.generate(features, cache=model.model(features).cache)
    with pytest.raises(ValueError, match="`beams` are those of 4 rows, but the batch has 1"):
        model.generate(features[:1], num_beams=2, cache=model(features[:1]).cache, beams=[[]] * 4)
    with pytest.raises(ValueError, match="bidirectional"):
        both = build(bidirectional=True)
        both.generate(features, cache=both(features, use_cache=True).cache)
    with pytest.raises(ValueError, match="`input_features` has shape"):
        model.generate(features[..., :3])
    with pytest.raises(TypeError, match="`temperature`"):
        model.generate(features, temperature=2)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A state that is carried through a text, against torch's own modules in a plain loop, one row at a time."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from families import GRU, LSTM, PLAIN_TRAINING, RNN, assert_close, each_family, random_ids
from processes import ROOT, environment
from torch import nn
from torch.nn import functional as F
from transformers import TrainerCallback, TrainingArguments

from hf_lstm.distributed import end_processes
from hf_lstm.training.stateful import StatefulTrainer, TokenStreams


TEXT = torch.from_numpy(np.random.default_rng(0).integers(0, 31, 175))  # 3 rows of 58 steps
DOCUMENTS = [TEXT[a:b].tolist() for a, b in ((0, 40), (40, 41), (41, 43), (43, 43), (43, 66), (66, 80), (80, 117))]
ROWS = Dataset.from_dict({"input_ids": DOCUMENTS, "number": list(range(len(DOCUMENTS)))})
DROPOUT = {"embedding_dropout": 0.1, "output_dropout": 0.3, "hidden_dropout": 0.2}


def build(family=LSTM, **fields):
    torch.manual_seed(0)
    sizes = {"tie_word_embeddings": False, "pad_token_id": None, "initializer_range": 0.3}
    return family.build("ForCausalLM", **(sizes | fields)).double().train()


def trainer_for(model, folder, text=TEXT, rows=3, steps=10, trainer_class=StatefulTrainer, options=(), **arguments):
    defaults = PLAIN_TRAINING | {"output_dir": str(folder), "num_train_epochs": 2, "seed": 3}
    defaults |= {"per_device_train_batch_size": rows, "per_device_eval_batch_size": 1}
    arguments = TrainingArguments(**(defaults | arguments))
    options = {"train_dataset": text, "eval_dataset": text, "sequence_length": steps, **dict(options)}
    return trainer_class(model, arguments, **options)


def parameters(model):
    return [p.detach().clone() for p in model.parameters()]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Bare(nn.Module):
    """Torch's modules with the weights of one of our models."""

    def __init__(self, model, torch_class):
        super().__init__()
        config = model.config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.recurrent = torch_class(config.embedding_size, config.hidden_size, config.num_hidden_layers)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        self.double().load(model)

    @torch.no_grad()
    def load(self, model):
        for mine, theirs in self.pairs(model):
            mine.copy_(theirs)

    def pairs(self, model):
        yield self.embedding.weight, model.model.embed_tokens.weight
        yield self.head.weight, model.lm_head.weight
        yield self.head.bias, model.lm_head.bias
        for i, layer in enumerate(model.model.layers):
            for name, parameter in layer.named_parameters():
                yield getattr(self.recurrent, name.replace("_l0", f"_l{i}")), parameter

    def loss(self, ids, state):
        """Summed over the tokens of one row, each predicting the next, and the state, detached."""
        outputs, state = self.recurrent(self.embedding(ids[:-1])[:, None], state)
        loss = F.cross_entropy(self.head(outputs[:, 0]), ids[1:], reduction="sum")
        return loss, tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


def split(text, rows):
    """Where rows begin, and the last targets of them."""
    ends = [i * (len(text) - 1) // rows for i in range(rows + 1)]
    return list(pairwise(ends))


def train_by_hand(bare, epochs, rows=3, accumulation=1, rate=lambda step: 0.1, clip=None, text=TEXT):
    """Gradient descent on the mean over the tokens of a step; `epochs` holds the lengths of their chunks."""
    step = 0
    for lengths in epochs:
        states, ends = [None] * rows, np.cumsum([0, *lengths])
        for first in range(0, len(lengths), accumulation):
            losses, tokens = [], 0
            for k in range(first, min(first + accumulation, len(lengths))):
                for row, (start, end) in enumerate(split(text, rows)):
                    ids = text[start + ends[k] : min(start + ends[k + 1], end) + 1]
                    if len(ids) > 1:
                        loss, states[row] = bare.loss(ids, states[row])
                        losses, tokens = [*losses, loss], tokens + len(ids) - 1
            bare.zero_grad()
            (sum(losses) / tokens).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(bare.parameters(), clip)
            with torch.no_grad():
                for parameter in bare.parameters():
                    parameter -= rate(step) * parameter.grad
            step += 1


def assert_same_weights(bare, model, tolerance=1e-10):
    for mine, theirs in bare.pairs(model):
        assert_close(theirs.detach(), mine.detach(), tolerance)


# Labels that are shifted already


@pytest.mark.parametrize("training", [True, False], ids=["fused", "with logits"])
@pytest.mark.parametrize("mask", [None, [[0, 1, 1, 1, 0, 1, 1]] * 3], ids=["no mask", "mask"])
@each_family
def test_shifted_labels(family, mask, training):
    model, ids, following = build(family).train(training), random_ids(), random_ids()
    following[1, 2] = -100
    mask = None if mask is None else torch.tensor(mask)
    logits = model(ids, attention_mask=mask, output_logits=True).logits
    counted = following if mask is None else following.masked_fill(mask == 0, -100)
    expected = F.cross_entropy(logits.flatten(0, 1), counted.flatten(), reduction="sum")
    for labels in (None, ids):  # transformers, too, ignores labels beside those
        outputs = model(ids, attention_mask=mask, labels=labels, shift_labels=following, num_items_in_batch=4)
        assert (outputs.logits is None) == training
        assert_close(outputs.loss.double(), expected / 4, 1e-5)
    mean = model(ids, attention_mask=mask, shift_labels=following).loss
    assert_close(mean.double(), expected / (counted != -100).sum(), 1e-5)


def test_shifted_labels_of_another_shape():
    with pytest.raises(ValueError, match=r"`shift_labels` has shape \(3, 6\), expected \(3, 7\)"):
        build()(random_ids(), shift_labels=random_ids(length=6))


# The data


def targets(streams):
    """Of each row, the tokens that it predicts, after their predecessor; and the same as numbers of the text."""
    rows = [[] for _ in range(streams.batch_size)]
    for chunk in streams:
        real = chunk.get("attention_mask", torch.ones_like(chunk["input_ids"])).bool()
        assert torch.equal(real, chunk["shift_labels"] != -100)
        for row, ids, following, own in zip(rows, chunk["input_ids"], chunk["shift_labels"], real, strict=True):
            row += zip(ids[own].tolist(), following[own].tolist(), strict=True)
    return rows


@pytest.mark.parametrize("size, rows, processes", [(175, 3, 1), (174, 4, 1), (150, 2, 3), (5, 2, 2), (2, 1, 1)])
@pytest.mark.parametrize("variable", [False, True])
def test_every_token_is_a_target_once(size, rows, processes, variable):
    numbers = torch.arange(size)  # each token tells its place
    for epoch in range(3):
        drawn = []
        for process in range(processes):
            shared = {"num_processes": processes, "process_index": process, "variable_length": variable}
            streams = TokenStreams(numbers, rows, 10, **shared)
            length = len(streams)
            streams.set_epoch(epoch)
            assert len(streams) == length
            chunks = list(streams)
            widths = [chunk["input_ids"].shape[1] for chunk in chunks]
            assert [chunk["position"] for chunk in chunks] == np.cumsum([0, *widths])[:-1].tolist()
            assert variable or all(width == 10 for width in widths[:-1])
            drawn += targets(streams)
        assert [pair for row in drawn for pair in row] == [(i, i + 1) for i in range(size - 1)]
        assert {len(row) for row in drawn} <= {(size - 1) // len(drawn), (size - 1) // len(drawn) + 1}


def test_variable_lengths():
    streams = TokenStreams(torch.zeros(700_001, dtype=torch.long), 1, 70, variable_length=True, seed=5)
    twin = TokenStreams(torch.zeros(700_001, dtype=torch.long), 1, 70, variable_length=True, seed=5)
    drawn = []
    for epoch in range(3):
        streams.set_epoch(epoch)
        lengths = streams._widths
        short = lengths < 52
        assert lengths.sum() == 700_000 and abs(short.mean() - 0.05) < 0.01
        assert abs(lengths[~short].mean() - 70) < 0.5 and abs(lengths[~short].std() - 5) < 0.2
        assert abs(lengths[short].mean() - 35) < 1
        drawn.append(lengths.tolist())
    assert len(set(map(len, drawn))) == 1 and drawn[0] != drawn[1] != drawn[2]
    twin.set_epoch(2)
    assert twin._widths.tolist() == drawn[2]


@pytest.mark.parametrize("rows, processes, steps", [(1, 1, 4), (3, 1, 7), (2, 2, 50), (4, 3, 7)])
def test_documents_stay_apart(rows, processes, steps):
    found = []
    for process in range(processes):
        options = {"reset_at": "document", "num_processes": processes, "process_index": process}
        read = [[] for _ in range(rows)]
        for k, chunk in enumerate(TokenStreams(ROWS, rows, steps, **options)):
            anew = chunk.get("restart", torch.full((rows,), k == 0))
            for row in range(rows):
                real = chunk["shift_labels"][row] != -100
                if anew[row] and real.any():
                    read[row].append([int(chunk["input_ids"][row, 0])])
                if real.any():
                    assert read[row][-1][-1] == int(chunk["input_ids"][row, 0])
                    read[row][-1] += chunk["shift_labels"][row, real].tolist()
        found += [document for row in read for document in row]
    assert sorted(found) == sorted(document for document in DOCUMENTS if len(document) > 1)


# Training


@pytest.mark.parametrize("accumulation", [1, 3])
@each_family
def test_training_equals_a_plain_loop(family, accumulation, tmp_path):
    """The last chunk is short, and the last step has fewer chunks."""
    model = build(family)
    bare = Bare(model, family.torch_class)
    trainer_for(model, tmp_path, gradient_accumulation_steps=accumulation, max_grad_norm=0.25).train()
    train_by_hand(bare, [[10] * 5 + [8]] * 2, accumulation=accumulation, clip=0.25)
    assert_same_weights(bare, model)


def test_rows_of_unequal_length_and_of_documents(tmp_path):
    """Laid end to end, documents are a text: here one of 117 tokens, in rows of 23 and 24 steps."""
    model = build()
    bare = Bare(model, nn.LSTM)
    trainer_for(model, tmp_path, ROWS, rows=5, steps=7).train()
    train_by_hand(bare, [[7, 7, 7, 3]] * 2, rows=5, text=TEXT[:117])
    assert_same_weights(bare, model)


def test_the_state_matters(tmp_path):
    model = build()
    bare = Bare(model, nn.LSTM)
    trainer_for(model, tmp_path).train()
    bare.loss = lambda ids, state, loss=bare.loss: loss(ids, None)
    train_by_hand(bare, [[10] * 5 + [8]] * 2)
    with pytest.raises(AssertionError):
        assert_same_weights(bare, model, 1e-6)


@pytest.mark.parametrize("rows, steps", [(1, 4), (3, 7), (2, 50)])
@each_family
def test_documents_train_as_though_alone(family, rows, steps, tmp_path):
    """All of an epoch in one step, so that the order in which documents come does not matter."""
    model = build(family)
    bare = Bare(model, family.torch_class)
    trainer_for(
        model, tmp_path, ROWS, rows, steps, options={"reset_at": "document"}, gradient_accumulation_steps=99
    ).train()
    for _ in range(2):
        total = 0
        for document in DOCUMENTS:
            ids, state = torch.tensor(document, dtype=torch.long), None
            for start in range(0, len(ids) - 1, steps):
                loss, state = bare.loss(ids[start : start + steps + 1], state)
                total = total + loss
        bare.zero_grad()
        (total / sum(max(len(document) - 1, 0) for document in DOCUMENTS)).backward()
        with torch.no_grad():
            for parameter in bare.parameters():
                parameter -= 0.1 * parameter.grad
    assert_same_weights(bare, model)


class Rates(TrainerCallback):
    """The learning rates that the scheduler shows."""

    def __init__(self):
        self.rates = []

    def on_step_end(self, args, state, control, lr_scheduler=None, optimizer=None, **kwargs):
        self.rates.append(lr_scheduler.get_last_lr()[0])
        assert optimizer.param_groups[0]["lr"] == self.rates[-1]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_rate_of_variable_lengths(accumulation, tmp_path):
    model, seen = build(), Rates()
    bare = Bare(model, nn.LSTM)
    arguments = {"max_grad_norm": 0.1, "lr_scheduler_type": "linear", "gradient_accumulation_steps": accumulation}
    options = {"variable_length": True, "callbacks": [seen]}
    trainer = trainer_for(model, tmp_path, rows=1, steps=12, options=options, **arguments)
    streams = trainer.get_train_dataloader().dataset
    epochs = []
    for epoch in range(2):
        streams.set_epoch(epoch)
        epochs.append([chunk["input_ids"].shape[1] for chunk in streams])
    trainer.train()
    steps = [lengths[i : i + accumulation] for lengths in epochs for i in range(0, len(lengths), accumulation)]
    assert epochs[0] != epochs[1] and trainer.state.global_step == len(steps)
    decay = [0.1 * (1 - step / len(steps)) for step in range(len(steps) + 1)]
    assert seen.rates == pytest.approx(decay[1:], abs=1e-12)
    train_by_hand(bare, epochs, 1, accumulation, lambda step: decay[step] * np.mean(steps[step]) / 12, clip=0.1)
    assert_same_weights(bare, model)


# Evaluation


@pytest.mark.parametrize("steps", [1, 7, 400])
@each_family
def test_evaluation_reads_the_text_in_one_go(family, steps, tmp_path):
    model = build(family)
    with torch.no_grad():
        expected = Bare(model, family.torch_class).loss(TEXT, None)[0].item() / (len(TEXT) - 1)
    trainer = trainer_for(model, tmp_path, steps=steps)
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] == pytest.approx(expected, rel=1e-6)
    assert metrics["eval_perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
    assert trainer.predict(TEXT).metrics["test_loss"] == metrics["eval_loss"]


def test_evaluation_in_rows_and_of_several_texts(tmp_path):
    model = build()
    bare = Bare(model, nn.LSTM)
    with torch.no_grad():
        rows = [bare.loss(TEXT[start : end + 1], None)[0].item() for start, end in split(TEXT, 4)]
        alone = [bare.loss(torch.tensor(document), None)[0].item() for document in DOCUMENTS if len(document) > 1]
    trainer = trainer_for(model, tmp_path, per_device_eval_batch_size=4)
    trainer.eval_dataset = {"one": TEXT, "two": TEXT[:50]}
    metrics = trainer.evaluate()
    assert metrics["eval_one_loss"] == pytest.approx(sum(rows) / (len(TEXT) - 1), rel=1e-6)
    assert metrics["eval_two_perplexity"] > 1
    by_document = trainer_for(model, tmp_path, ROWS, options={"reset_at": "document"}, per_device_eval_batch_size=3)
    predicted = sum(max(len(document) - 1, 0) for document in DOCUMENTS)
    assert by_document.evaluate()["eval_loss"] == pytest.approx(sum(alone) / predicted, rel=1e-6)


def test_evaluation_leaves_training_alone(tmp_path):
    models = [build(**DROPOUT) for _ in range(2)]
    for model, often in zip(models, ({}, {"eval_strategy": "steps", "eval_steps": 1}), strict=True):
        trainer = trainer_for(model, tmp_path, **often)
        trainer.train()
    assert trainer.state.best_metric is None and any("eval_perplexity" in entry for entry in trainer.state.log_history)
    assert equal(parameters(models[0]), parameters(models[1]))


# Checkpoints

RESUMED = {"optim": "adamw_torch", "learning_rate": 0.01, "save_strategy": "steps", "save_steps": 1}


class Kill(TrainerCallback):
    def on_save(self, args, state, control, **kwargs):
        if state.global_step == 4:
            os._exit(7)


@pytest.mark.parametrize(
    ("family", "text", "options", "accumulation"),
    [
        pytest.param(LSTM, TEXT, {}, 1, id="stream"),
        pytest.param(GRU, TEXT, {"variable_length": True}, 2, id="variable", marks=pytest.mark.slow),
        pytest.param(RNN, ROWS, {"reset_at": "document"}, 1, id="document", marks=pytest.mark.slow),
    ],
)
def test_resume_in_the_middle_of_an_epoch(family, text, options, accumulation, tmp_path):
    """Bit for bit, dropout included: in the first epoch, at its end and in the second."""
    arguments = RESUMED | {"gradient_accumulation_steps": accumulation}
    whole = trainer_for(build(family, **DROPOUT), tmp_path, text, rows=2, options=options, **arguments)
    whole.train()
    steps = whole.state.global_step // 2
    assert steps > 2
    for step in (1, steps, steps + 2):
        arguments["save_strategy"] = "no"
        resumed = trainer_for(build(family, **DROPOUT), tmp_path / "again", text, 2, options=options, **arguments)
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert resumed.state.global_step == 2 * steps
        assert equal(parameters(resumed.model), parameters(whole.model))


def run(*arguments, processes=1):
    """This file as a script, in so many processes; their exit codes and what they said."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    folder = Path(arguments[-1])
    shared = {"TRANSFORMERS_VERBOSITY": "error"}
    if processes > 1:
        shared |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    logs, running = [folder / f"{rank}.log" for rank in range(processes)], []
    for rank, log in enumerate(logs):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
        own = environment(folder / f"home-{rank}", ROOT, **shared, **own)
        command = [sys.executable, __file__, *map(str, arguments)]
        running.append(subprocess.Popen(command, env=own, stdout=log.open("w"), stderr=subprocess.STDOUT))
    codes, end = [None], time.monotonic() + 200
    while None in codes and not any(codes) and time.monotonic() < end:  # where one fails, the other waits for it
        time.sleep(0.1)
        codes = [process.poll() for process in running]
    for process in running:
        process.kill()
        process.wait()
    return codes, "\n".join(log.read_text() for log in logs)


def work_until_killed(folder):
    trainer_for(build(**DROPOUT), folder, rows=2, options={"callbacks": [Kill()]}, **RESUMED).train()


@pytest.mark.slow
def test_resume_after_a_kill(tmp_path):
    codes, log = run("killed", tmp_path)
    assert codes == [7], log
    whole, resumed = (trainer_for(build(**DROPOUT), tmp_path / name, rows=2, **RESUMED) for name in "ab")
    whole.train()
    assert whole.state.global_step // 2 > 4
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert equal(parameters(resumed.model), parameters(whole.model))


def test_resume_refuses_another_text(tmp_path):
    trainer_for(build(), tmp_path, **RESUMED, max_steps=2).train()
    checkpoint = str(tmp_path / "checkpoint-2")
    for other in ({"rows": 2}, {"steps": 9}):
        with pytest.raises(ValueError, match=r"`resume_from_checkpoint` has no state of . streams after .*\(3, 20\)"):
            trainer_for(build(), tmp_path, **(RESUMED | other)).train(resume_from_checkpoint=checkpoint)
    (tmp_path / "checkpoint-2" / "recurrent_state_0_of_1.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no state of 3 streams after 20 tokens.*None"):
        trainer_for(build(), tmp_path, **RESUMED).train(resume_from_checkpoint=checkpoint)
    anew = trainer_for(build(), tmp_path, **(RESUMED | {"save_strategy": "no"}), ignore_data_skip=True)
    anew.train(resume_from_checkpoint=checkpoint)
    assert anew.state.global_step == 12


# Several processes


def work_in_two(folder):
    """Train, evaluate, and train again from a checkpoint in the middle of the second epoch."""
    arguments = {"save_strategy": "steps", "save_steps": 1, "gradient_accumulation_steps": 2, "max_grad_norm": 0.25}
    trainer = trainer_for(build(), folder / "whole", rows=2, **arguments)
    trainer.train()
    rank, middle = trainer.args.process_index, trainer.state.global_step // 2 + 1
    resumed = trainer_for(build(), folder / "resumed", rows=2, **(arguments | {"save_strategy": "no"}))
    resumed.train(resume_from_checkpoint=str(folder / "whole" / f"checkpoint-{middle}"))
    (folder / f"{rank}.json").write_text(json.dumps(trainer.evaluate()))
    torch.save([trainer.model.state_dict(), resumed.model.state_dict()], folder / f"{rank}.pt")
    end_processes()


@pytest.mark.slow
def test_two_processes(tmp_path):
    codes, log = run("two", tmp_path, processes=2)
    assert codes == [0, 0], log
    weights = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    model = build()
    bare = Bare(model, nn.LSTM)
    train_by_hand(bare, [[10] * 4 + [4]] * 2, rows=4, accumulation=2, clip=0.25)
    for whole, resumed in weights:
        assert equal(whole.values(), weights[0][0].values()) and equal(whole.values(), resumed.values())
        model.load_state_dict(whole)
        assert_same_weights(bare, model)
    with torch.no_grad():
        rows = [bare.loss(TEXT[start : end + 1], None)[0].item() for start, end in split(TEXT, 2)]
    for rank in (0, 1):
        metrics = json.loads((tmp_path / f"{rank}.json").read_text())
        assert metrics["eval_loss"] == pytest.approx(sum(rows) / (len(TEXT) - 1), rel=1e-6)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ({"auto_find_batch_size": True}, {}, "`auto_find_batch_size` is True"),
        ({"accelerator_config": {"dispatch_batches": True}}, {}, "`dispatch_batches` is True"),
        ({"accelerator_config": {"split_batches": True}}, {}, "`split_batches` is True"),
        ({"train_sampling_strategy": "group_by_length"}, {}, "`train_sampling_strategy` is 'group_by_length'"),
        ({"label_smoothing_factor": 0.1}, {}, r"`label_smoothing_factor` is 0\.1"),
        ({}, {"compute_metrics": len}, "`compute_metrics` is "),
        ({}, {"sequence_length": 0}, "`sequence_length` is 0"),
        ({}, {"sequence_length": 9, "variable_length": True}, "`sequence_length` is 9 with `variable_length`"),
        ({}, {"reset_at": "line"}, "`reset_at` is 'line'"),
        ({}, {"reset_at": "document", "variable_length": True}, "`variable_length` is True"),
    ],
)
def test_trainer_refuses(arguments, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        trainer_for(build(), tmp_path, options=options, **arguments)


def test_trainer_refuses_what_has_no_state(tmp_path):
    tagger = LSTM.build("ForTokenClassification")
    with pytest.raises(ValueError, match="`model` is a LSTMForTokenClassification, which has no state"):
        trainer_for(tagger, tmp_path)
    for name, call in (("train", "train"), ("eval", "evaluate")):
        trainer = trainer_for(build(), tmp_path, None)
        with pytest.raises(ValueError, match=f"`{name}_dataset` is None"):
            getattr(trainer, call)()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TEXT, 175, 10), r"`tokens` has 174 tokens to predict, which is too few for 175 streams"),
        ((TEXT[:0], 1, 10), r"`tokens` has -?\d tokens to predict"),
        ((TEXT[None], 2, 10), r"`tokens` has shape \(1, 175\)"),
        ((TEXT.float(), 2, 10), r"`tokens` has shape \(175,\) and type torch.float32"),
        ((ROWS.remove_columns("input_ids"), 2, 10), r"`tokens` has the columns \['number'\]"),
        ((TEXT, 0, 10), "`batch_size` is 0"),
    ],
)
def test_streams_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenStreams(*arguments)


def test_streams_refuse_options():
    with pytest.raises(ValueError, match="`tokens` is a Tensor, which does not say where documents end"):
        TokenStreams(TEXT, 2, 10, reset_at="document")
    with pytest.raises(ValueError, match="`process_index` is 2"):
        TokenStreams(TEXT, 2, 10, num_processes=2, process_index=2)


if __name__ == "__main__":
    {"killed": work_until_killed, "two": work_in_two}[sys.argv[1]](Path(sys.argv[2]))

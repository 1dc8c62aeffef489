# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Batches under a budget of tokens: their content is counted anew, training and prediction are redone by hand."""

import json
import socket
import subprocess
import sys
import time
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler
from datasets import Dataset
from families import LSTM, PLAIN_TRAINING, assert_close, each_family
from processes import ROOT, environment
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_lstm import LSTMTokenizer
from hf_lstm.distributed import end_processes
from hf_lstm.training.batching import LengthBatchingTrainer, TokenBudgetBatchSampler, predict


LENGTHS = np.random.default_rng(0).lognormal(2.5, 0.7, 400).astype(int).clip(1, 110)
DISTINCT = np.random.default_rng(1).permutation(np.arange(1_000, 1_300))  # as in speech: no two alike
BUDGETS = {
    "ragged": (LENGTHS, {"max_tokens": 300}),
    "no buckets": (LENGTHS, {"max_tokens": 300, "bucket_width": 0}),
    "few rows": (LENGTHS, {"max_tokens": 300, "max_rows": 7}),
    "padded to 8": (LENGTHS, {"max_tokens": 300, "multiple_of": 8}),
    "wide buckets": (LENGTHS, {"max_tokens": 300, "bucket_width": 0.5}),
    "distinct": (DISTINCT, {"max_tokens": 9_000}),
    "one by one": (LENGTHS[:396], {"max_tokens": 110, "max_rows": 1}),
    "all in one": (LENGTHS, {"max_tokens": 110 * 400}),
}
each_budget = pytest.mark.parametrize(("lengths", "budget"), BUDGETS.values(), ids=BUDGETS)
each_order = pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "longest first"])


def padded(lengths, batch, multiple_of=1):
    longest = max(int(lengths[index]) for index in batch)
    while longest % multiple_of:
        longest += 1
    return longest * len(batch)


@each_budget
@each_order
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_example_once_within_the_budget(lengths, budget, shuffle, processes):
    batches = TokenBudgetBatchSampler(lengths, shuffle=shuffle, num_processes=processes, **budget)
    for epoch in range(8):
        batches.set_epoch(epoch)
        drawn = list(batches)
        assert len(drawn) == len(batches) and len(drawn) % processes == 0
        assert sorted(chain(*drawn)) == list(range(len(lengths)))
        assert all(isinstance(index, int) for batch in drawn for index in batch)
        for batch in drawn:
            assert padded(lengths, batch, budget.get("multiple_of", 1)) <= budget["max_tokens"]
            assert 1 <= len(batch) <= budget.get("max_rows", 400)


@pytest.mark.parametrize("seed", range(40))
def test_the_number_of_batches_never_changes(seed):
    """Small sets, where one batch more or less is a matter of luck."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 12, size=random.integers(1, 15))
    for processes in (1, 2, 3):
        try:
            batches = TokenBudgetBatchSampler(lengths, int(random.integers(12, 40)), num_processes=processes)
        except ValueError as error:
            assert "`num_processes`" in str(error) and len(lengths) < 3 * processes
            continue
        for epoch in range(20):
            batches.set_epoch(epoch)
            drawn = list(batches)
            assert len(drawn) == len(batches) and len(drawn) % processes == 0
            assert sorted(chain(*drawn)) == list(range(len(lengths)))


def test_batches_are_full():
    """Against random batches of equally many rows, and the least number of batches that could hold the tokens."""
    batches = TokenBudgetBatchSampler(np.tile(LENGTHS, 20), max_tokens=1_000)
    real = 20 * LENGTHS.sum()
    assert real / sum(padded(np.tile(LENGTHS, 20), batch) for batch in batches) > 0.95
    assert len(batches) < 1.1 * real / 1_000


@pytest.mark.parametrize(("lengths", "budget"), list(BUDGETS.values())[:6], ids=list(BUDGETS)[:6])
def test_epochs_differ_and_can_be_drawn_again(lengths, budget):
    first, again = (
        TokenBudgetBatchSampler(lengths, seed=5, **budget),
        TokenBudgetBatchSampler(lengths, seed=5, **budget),
    )
    other_seed = TokenBudgetBatchSampler(lengths, seed=6, **budget)
    assert list(first) == list(first) != list(other_seed)
    seen = []
    for epoch in (0, 1, 2):
        first.set_epoch(epoch)
        again.set_epoch(epoch)
        assert list(first) == list(again)
        seen.append({frozenset(batch) for batch in first if len(batch) > 1})
    share = 0.1 if budget.get("bucket_width") != 0 else 0.3  # a long example has few of exactly its length beside it
    assert len(seen[0] & seen[1]) <= share * len(seen[0]) and len(seen[1] & seen[2]) <= share * len(seen[1])


def test_what_is_random_in_an_epoch():
    """Who shares a batch with examples of the same length, and where a sorted order without ties is cut."""
    alike = TokenBudgetBatchSampler([5] * 40, 20)
    distinct = TokenBudgetBatchSampler(DISTINCT, 9_000, bucket_width=0)
    partners, cuts = set(), set()
    for epoch in range(30):
        alike.set_epoch(epoch)
        distinct.set_epoch(epoch)
        partners.update(*(batch for batch in alike if 0 in batch))
        cuts.add(frozenset(map(frozenset, distinct)))
    assert len(partners) > 30 and len(cuts) > 4


def test_batches_come_in_random_order():
    longest = [max(LENGTHS[index] for index in batch) for batch in TokenBudgetBatchSampler(LENGTHS, 300)]
    steps = np.arange(len(longest))
    assert abs(np.corrcoef(steps, longest)[0, 1]) < 0.4  # sorted: about -0.9


def test_longest_first_is_sorted():
    batches = list(TokenBudgetBatchSampler(LENGTHS, 300, shuffle=False))
    flat = [LENGTHS[index] for index in chain(*batches)]
    assert flat == sorted(LENGTHS, reverse=True)
    for batch, following in pairwise(batches):  # none could have taken one row more
        assert padded(LENGTHS, [*batch, following[0]]) > 300


@each_budget
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_accelerate_deals_the_batches_out(lengths, budget, processes):
    shards = []
    for process in range(processes):
        batches = TokenBudgetBatchSampler(lengths, num_processes=processes, **budget)
        shard = BatchSamplerShard(batches, processes, process, even_batches=False)
        batches.set_epoch(3)
        shards.append(list(shard))
        assert len(shards[-1]) == len(shard) == len(batches) // processes
        assert list(SkipBatchSampler(shard, 1)) == shards[-1][1:]
    assert sorted(chain(*chain(*shards))) == list(range(len(lengths)))
    if budget.get("max_rows") is None and len(shards[0]) > 10:  # those that work at once are of similar length
        steps = [[max(lengths[index] for index in batch) for batch in shard] for shard in shards]
        assert np.mean(np.max(steps, axis=0) / np.min(steps, axis=0)) < 1.35  # drawn at random: 2 and more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 10), r"`lengths` has shape \(0,\)"),
        (([[1, 2]], 10), r"`lengths` has shape \(1, 2\)"),
        (([1.5, 2], 10), "`lengths` holds values of type float64"),
        (([3, -1], 10), "`lengths` is -1 at example 1"),
        (([3, 11], 10), "`max_tokens` is 10, but example 1 has 11 steps.*at least 11"),
        (([3], 0), "`max_tokens` is 0: give at least 1"),
    ],
)
def test_sampler_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenBudgetBatchSampler(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_rows": 0}, "`max_rows` is 0"),
        ({"multiple_of": 0}, "`multiple_of` is 0"),
        ({"multiple_of": 16}, "`max_tokens` is 10, but example 0 has 16 steps with its padding"),
        ({"num_processes": 0}, "`num_processes` is 0"),
        ({"num_processes": 4}, "`num_processes` is 4, for which 3 examples in 1 batches"),
        ({"bucket_width": -0.1}, "`bucket_width` is -0.1"),
    ],
)
def test_sampler_refuses_options(options, message):
    with pytest.raises(ValueError, match=message):
        TokenBudgetBatchSampler([3, 2, 1], 10, **options)


# Training. The first token of an example tells which one it is.

ROWS = [
    {"input_ids": [number + 1] + [1 + (number * step) % 30 for step in range(length)]}
    for number, length in enumerate([1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 8, 9, 11, 14])
]


def collate(rows):
    assert all(set(row) == {"input_ids"} for row in rows), "a column that the model does not take"
    ids = [torch.tensor(row["input_ids"]) for row in rows]
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "labels": pad_sequence(ids, batch_first=True, padding_value=-100),
    }


class Recorder(LengthBatchingTrainer):
    """Remembers which examples it was trained on, a list a batch."""

    def training_step(self, model, inputs, *args, **kwargs):
        self.seen = [*getattr(self, "seen", []), (inputs["input_ids"][:, 0] - 1).tolist()]
        return super().training_step(model, inputs, *args, **kwargs)


def build(family=LSTM, **fields):
    torch.manual_seed(0)
    return family.build("ForCausalLM", initializer_range=0.3, **fields)


def trainer_for(model, folder, rows=ROWS, budget=24, max_rows=None, **arguments):
    defaults = PLAIN_TRAINING | {
        "output_dir": str(folder),
        "num_train_epochs": 3,
        "seed": 3,
    }
    arguments = TrainingArguments(**(defaults | arguments))
    options = {"train_dataset": rows, "eval_dataset": rows, "data_collator": collate}
    return Recorder(model, arguments, max_tokens=budget, max_rows=max_rows, **options)


def parameters(model):
    return [p.detach().clone() for p in model.parameters()]


def train_by_hand(model, batches, batches_a_step, epochs):
    """Plain gradient descent on the mean over all tokens that a step predicts."""
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        drawn = list(batches)
        for start in range(0, len(drawn), batches_a_step):
            losses = []
            for index in chain(*drawn[start : start + batches_a_step]):
                ids = torch.tensor([ROWS[index]["input_ids"]])
                losses.append(F.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="none"))
            gradients = torch.autograd.grad(torch.cat(losses).mean(), list(model.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter -= 0.1 * gradient


@each_family
@pytest.mark.parametrize("accumulation", [1, 2])
def test_training_equals_training_by_hand(family, accumulation, tmp_path):
    trainer = trainer_for(build(family).train(), tmp_path, gradient_accumulation_steps=accumulation)
    trainer.train()
    twin = build(family)
    batches = TokenBudgetBatchSampler([len(row["input_ids"]) for row in ROWS], 24, seed=3)
    train_by_hand(twin, batches, accumulation, epochs=3)
    assert_close(parameters(trainer.model), parameters(twin))
    assert trainer.state.global_step == 3 * -(-len(batches) // accumulation)
    epochs = np.array_split(np.arange(3 * len(batches)), 3)
    drawn = [[trainer.seen[step] for step in epoch] for epoch in epochs]
    assert all(sorted(chain(*epoch)) == list(range(len(ROWS))) for epoch in drawn)
    assert drawn[0] != drawn[1] != drawn[2]
    assert trainer.evaluate()["eval_loss"] > 0
    assert len(trainer.predict(ROWS).predictions) == len(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
def test_resume_in_the_middle_of_an_epoch(accumulation, tmp_path):
    """Bit for bit, dropout included."""
    model = {"embedding_dropout": 0.1, "output_dropout": 0.3}
    arguments = {"gradient_accumulation_steps": accumulation, "optim": "adamw_torch", "save_strategy": "steps"}
    whole = trainer_for(build(**model).train(), tmp_path, save_steps=1, **arguments)
    whole.train()
    steps = whole.state.global_step // 3
    assert steps > 2
    for step in (1, steps, steps + 2):
        resumed = trainer_for(build(**model).train(), tmp_path / "again", save_steps=1_000, **arguments)
        resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert resumed.seen == whole.seen[-len(resumed.seen) :] and resumed.state.global_step == 3 * steps
        assert all(torch.equal(a, b) for a, b in zip(parameters(resumed.model), parameters(whole.model), strict=True))


def work(folder):
    """One of two processes: trains, and trains again from a checkpoint in the middle of the second epoch."""
    trainer = trainer_for(build().train(), folder / "whole", save_strategy="steps", save_steps=1)
    trainer.train()
    middle = trainer.state.global_step // 3 + 2
    resumed = trainer_for(build().train(), folder / "resumed")
    resumed.train(resume_from_checkpoint=str(folder / "whole" / f"checkpoint-{middle}"))
    result = {"seen": trainer.seen, "resumed": resumed.seen, "middle": middle}
    (folder / f"{trainer.args.process_index}.json").write_text(json.dumps(result))
    torch.save([parameters(trainer.model), parameters(resumed.model)], folder / f"{trainer.args.process_index}.pt")
    end_processes()


@pytest.mark.slow
def test_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    group["TRANSFORMERS_VERBOSITY"] = "error"
    command, logs = [sys.executable, __file__, str(tmp_path)], [tmp_path / f"{rank}.log" for rank in (0, 1)]
    processes = []
    for rank, log in enumerate(logs):
        own = environment(tmp_path / f"home-{rank}", ROOT, RANK=str(rank), LOCAL_RANK=str(rank), **group)
        processes.append(subprocess.Popen(command, env=own, stdout=log.open("w"), stderr=subprocess.STDOUT))
    codes, end = [None, None], time.monotonic() + 100
    while None in codes and not any(codes) and time.monotonic() < end:  # where one fails, the other waits for it
        time.sleep(0.1)
        codes = [process.poll() for process in processes]
    for process in processes:
        process.kill()
        process.wait()
    assert codes == [0, 0], "\n".join(log.read_text() for log in logs)

    results = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    weights = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    seen = [result["seen"] for result in results]
    batches = TokenBudgetBatchSampler([len(row["input_ids"]) for row in ROWS], 24, seed=3, num_processes=2)
    steps = len(batches) // 2
    assert len(seen[0]) == len(seen[1]) == 3 * steps
    for epoch in range(3):
        own = [set(chain(*one[epoch * steps : (epoch + 1) * steps])) for one in seen]
        assert not own[0] & own[1] and own[0] | own[1] == set(range(len(ROWS)))
        assert sum(map(len, chain(*(one[epoch * steps : (epoch + 1) * steps] for one in seen)))) == len(ROWS)
    twin = build()
    train_by_hand(twin, batches, 2, epochs=3)
    assert_close(weights[0][0], parameters(twin))
    for result, (whole, resumed) in zip(results, weights, strict=True):
        assert result["resumed"] == result["seen"][result["middle"] :]
        assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(whole, weights[0][0], strict=True))


def test_trainer_reads_lengths_from_a_column(tmp_path):
    """Here the column is wrong, to tell which was read; other columns the model does not take."""
    rows = Dataset.from_list([{**row, "length": 12, "name": "x"} for row in ROWS])
    with_column = trainer_for(build(), tmp_path, rows).get_train_dataloader()
    assert max(len(batch["input_ids"]) for batch in with_column) == 2
    without = trainer_for(build(), tmp_path, rows.remove_columns("length")).get_train_dataloader()
    assert max(len(batch["input_ids"]) for batch in without) > 3
    few = trainer_for(build(), tmp_path, rows.remove_columns("length"), max_rows=3).get_train_dataloader()
    assert max(len(batch["input_ids"]) for batch in few) == 3
    assert sum(len(batch["input_ids"]) for batch in without) == len(ROWS)


def test_batches_are_dealt_out_as_they_are(tmp_path, monkeypatch):
    """By any accelerate that we allow: before 1.15 it makes batches even only where all have one size."""
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    drawn = []
    for process in range(2):
        monkeypatch.setattr(Accelerator, "process_index", process)
        trainer = trainer_for(build(), tmp_path)
        monkeypatch.setattr(TrainingArguments, "world_size", 2)
        sampler = trainer.get_train_dataloader().batch_sampler
        assert not sampler.even_batches and trainer.accelerator.even_batches  # those of evaluation stay even
        drawn += [index for batch in sampler for index in batch]
    assert sorted(drawn) == list(range(len(ROWS)))


def test_trainer_refuses(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from ROWS

    with pytest.raises(ValueError, match="`train_dataset` is a Stream, which has no length"):
        trainer_for(build(), tmp_path, Stream(), max_steps=1).train()
    with pytest.raises(ValueError, match="`train_dataset` is empty"):
        trainer_for(build(), tmp_path, []).train()
    with pytest.raises(ValueError, match=r"`train_dataset` has the columns \['words'\].*'input_ids'"):
        trainer_for(build(), tmp_path, [{"words": [1]}]).train()
    with pytest.raises(ValueError, match="`max_tokens` is 14, but example 21 has 15 steps"):
        trainer_for(build(), tmp_path, budget=14).train()
    with pytest.raises(ValueError, match="`auto_find_batch_size` is True"):
        trainer_for(build(), tmp_path, auto_find_batch_size=True)
    for name in ("dispatch_batches", "split_batches"):
        with pytest.raises(ValueError, match=f"`{name}` is True"):
            trainer_for(build(), tmp_path, accelerator_config={name: True})


# Prediction

TEXTS = ["a cat", "the dog sat on the mat", "dog", "the cat and the dog", "sat", "the mat on the dog on the cat"] * 3


@pytest.mark.parametrize("side", ["left", "right"])
@each_family
def test_predictions_equal_those_of_single_examples(family, side):
    tokenizer = LSTMTokenizer.train_from_iterator(TEXTS, kind="word", show_progress=False)
    tokenizer.padding_side = side
    rows = [{**tokenizer(text), "labels": [7], "text": text} for text in TEXTS]
    model = family.build("ForCausalLM", vocab_size=len(tokenizer))
    for dataset in (rows, Dataset.from_list(rows)):
        scores = predict(model, dataset, tokenizer, max_tokens=20, show_progress=False)
        assert len(scores) == len(TEXTS)
        for row, actual in zip(rows, scores, strict=True):
            assert_close(actual, model(torch.tensor([row["input_ids"]])).logits[0].detach())


class Classifier(nn.Module):
    """Scores of as many classes as the batch is long, so that shapes alone cannot tell what they are."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Dropout(0.5).eval()
        self.dropout = nn.Dropout(0.5)
        self.shapes = []

    def forward(self, input_ids, attention_mask=None, fail=None):
        if fail is not None:
            raise RuntimeError("broken")
        self.shapes.append(tuple(input_ids.shape))
        sums = (input_ids * attention_mask).sum(1, keepdim=True) * self.scale
        return SequenceClassifierOutput(logits=self.dropout(sums.expand(-1, input_ids.shape[1])))


def test_prediction_of_classes_leaves_no_trace():
    model, batches = Classifier(), TokenBudgetBatchSampler([len(row["input_ids"]) for row in ROWS], 24, shuffle=False)
    model.dropout.train()
    state = torch.get_rng_state()
    scores = predict(model, ROWS, collate, max_tokens=24, show_progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert [float(score[0]) for score in scores] == [sum(row["input_ids"]) for row in ROWS]
    shapes = {index: (max(len(ROWS[i]["input_ids"]) for i in batch),) for batch in batches for index in batch}
    assert [tuple(score.shape) for score in scores] == [shapes[index] for index in range(len(ROWS))]
    assert all(not score.requires_grad for score in scores)
    assert (model.training, model.dropout.training, model.frozen.training) == (True, True, False)
    assert model.shapes == [(len(b), max(len(ROWS[index]["input_ids"]) for index in b)) for b in batches]
    assert model.shapes[0][1] == 15 and all(rows * steps <= 24 for rows, steps in model.shapes)

    def broken(rows):
        return {**collate(rows), "fail": torch.ones(1)}

    with pytest.raises(RuntimeError, match="broken"):
        predict(model, ROWS, broken, max_tokens=24, show_progress=False)
    assert (model.training, model.dropout.training, model.frozen.training) == (True, True, False)


def test_prediction_takes_what_it_is_told():
    model = build()
    tops = predict(
        model,
        ROWS,
        collate,
        max_tokens=40,
        max_rows=3,
        lengths=[len(row["input_ids"]) for row in ROWS],
        take=lambda outputs, batch: outputs.logits[:, 0].argmax(-1).tolist(),
        show_progress=False,
    )
    assert tops == [int(model(torch.tensor([row["input_ids"]])).logits[0, 0].argmax()) for row in ROWS]


def test_prediction_with_an_adapter():
    import peft

    expected = predict(build(), ROWS, collate, max_tokens=24, show_progress=False)
    model = peft.get_peft_model(build(), peft.LoraConfig(r=2, target_parameters=["layers.0.weight_hh_l0"]))
    assert_close(predict(model, ROWS, collate, max_tokens=24, show_progress=False), expected)


def test_prediction_refuses():
    model = build()
    for options, message in (
        ({"dataset": []}, "`dataset` is empty"),
        ({"dataset": iter(ROWS)}, "`dataset` is a list_iterator, which has no length"),
        ({"max_tokens": 14}, "`max_tokens` is 14, but example 21 has 15 steps"),
        ({"model": model.model}, "`take` is None and the model returns .*, no logits: give a function"),
        ({"lengths": [1, 2]}, "`lengths` has 2 entries for 22 examples"),
        ({"collator": lambda rows: {"input_ids": collate(rows)["input_ids"]}}, "`take` is None and the logits have"),
    ):
        defaults = {"model": model, "dataset": ROWS, "collator": collate, "max_tokens": 24, "show_progress": False}
        with pytest.raises(ValueError, match=message):
            predict(**(defaults | options))


if __name__ == "__main__":
    work(Path(sys.argv[1]))

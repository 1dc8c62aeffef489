# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""WeightAveraging: the average of the weights, against sums over the recorded weights of every step."""

import pytest
import torch
from families import LSTM, PLAIN_TRAINING, assert_close
from transformers import AutoModelForCausalLM, DefaultDataCollator, Trainer, TrainerCallback, TrainingArguments

from hf_lstm.training.averaging import WeightAveraging
from hf_lstm.training.transfer import GradualUnfreezing


STEPS, DECAY = 12, 0.7
WORDS = [[i % 7 + 1, i % 5 + 1, i % 3 + 1] for i in range(24)]
ROWS = [{"input_ids": ids, "labels": ids} for ids in WORDS]
ARGUMENTS = PLAIN_TRAINING | {"max_steps": STEPS, "per_device_train_batch_size": 4, "logging_steps": 1}


class Recorder(TrainerCallback):
    """The weights that a step leaves, and those that an evaluation sees. It stands before the average."""

    def __init__(self):
        self.steps, self.evaluated = [], []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.steps.append(weights_of(model))

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        self.evaluated.append(weights_of(model))


def weights_of(model) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def average(steps: list[torch.Tensor], decay: float = DECAY) -> torch.Tensor:
    factors = [decay ** (len(steps) - 1 - t) for t in range(len(steps))]
    return sum(factor * weights for factor, weights in zip(factors, steps, strict=True)) / sum(factors)


def train(tmp_path, *callbacks, resume=None, **arguments):
    torch.manual_seed(0)
    recorder = Recorder()
    trainer = Trainer(
        LSTM.build("ForCausalLM", hidden_dropout=0.2, num_hidden_layers=2),
        TrainingArguments(str(tmp_path), **(ARGUMENTS | arguments)),
        data_collator=DefaultDataCollator(),
        train_dataset=ROWS,
        eval_dataset=ROWS,
        callbacks=[recorder, *callbacks],
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer, recorder


def losses(trainer) -> list[float]:
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


@pytest.mark.parametrize(
    "optim, evaluation",
    [
        ("sgd", {"eval_strategy": "epoch"}),
        ("adamw_torch", {"eval_strategy": "steps", "eval_steps": 4}),
    ],
)
def test_evaluates_and_ends_with_the_average_and_trains_as_without(tmp_path, optim, evaluation):
    options = evaluation | {"optim": optim, "learning_rate": 0.05}
    plain, plain_recorder = train(tmp_path / "plain", **options)
    averaged, recorder = train(tmp_path / "averaged", WeightAveraging(DECAY), **options)
    assert losses(averaged) == losses(plain)
    assert_close(recorder.steps, plain_recorder.steps, 0)
    every = 4 if evaluation["eval_strategy"] == "steps" else 6
    expected = [average(recorder.steps[:n]) for n in range(every, STEPS + 1, every)]
    assert_close(recorder.evaluated, expected, 1e-6)
    assert_close(weights_of(averaged.model), expected[-1], 1e-6)
    assert (weights_of(plain.model) - expected[-1]).abs().max() > 1e-3


def test_ends_with_the_average_without_evaluation(tmp_path):
    trainer, recorder = train(tmp_path, WeightAveraging(DECAY))
    assert_close(weights_of(trainer.model), average(recorder.steps), 1e-6)
    trainer, recorder = train(tmp_path, WeightAveraging(0))
    assert_close(weights_of(trainer.model), recorder.steps[-1], 0)


@pytest.mark.slow
def test_checkpoints_hold_the_average_and_resuming_goes_on_as_uninterrupted(tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 5, "eval_strategy": "steps", "eval_steps": 3}
    saving["optim"] = "adamw_torch"  # with a state of its own
    whole, recorder = train(tmp_path, WeightAveraging(DECAY), **saving)
    checkpoint = tmp_path / "checkpoint-5"
    saved = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert_close(weights_of(saved), average(recorder.steps[:5]), 1e-6)

    resumed, late = train(tmp_path, WeightAveraging(DECAY), resume=str(checkpoint), **saving)
    assert_close(late.steps, recorder.steps[5:], 0)
    assert_close(late.evaluated, recorder.evaluated[1:], 0)
    assert_close(weights_of(resumed.model), weights_of(whole.model), 0)


def test_the_best_average_is_loaded_at_the_end(tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 3, "eval_strategy": "steps", "eval_steps": 3}
    options = saving | {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}
    trainer, recorder = train(tmp_path, WeightAveraging(DECAY), **options)  # the worst: the first one
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-3")
    assert_close(weights_of(trainer.model), average(recorder.steps[:3]), 1e-6)


@pytest.mark.slow
def test_a_second_training_begins_anew(tmp_path):
    trainer, recorder = train(tmp_path, WeightAveraging(DECAY))
    del recorder.steps[:]
    trainer.train()
    assert_close(weights_of(trainer.model), average(recorder.steps), 1e-6)


@pytest.mark.parametrize("decay", [-0.1, 1, 1.5])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"`decay` is .*: give at least 0 and less than 1"):
        WeightAveraging(decay)


def test_coarse_weights_are_refused(tmp_path):
    model = LSTM.build("ForCausalLM").to(torch.bfloat16)
    arguments = TrainingArguments(str(tmp_path), **ARGUMENTS)
    trainer = Trainer(model, arguments, train_dataset=ROWS, callbacks=[WeightAveraging()])
    with pytest.raises(ValueError, match=r"weights of type torch.bfloat16"):
        trainer.train()


def test_layers_that_join_later_are_averaged_too(tmp_path):
    """Whichever of the two callbacks comes first: what is frozen stands still in the average."""
    for name, order in (("first", 1), ("last", -1)):
        callbacks = [GradualUnfreezing(0.5), WeightAveraging(DECAY)][::order]
        trainer, recorder = train(tmp_path / name, *callbacks)
        assert (recorder.steps[0] - recorder.steps[-1]).ne(0).all()
        assert_close(weights_of(trainer.model), average(recorder.steps), 1e-6)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Averaging of weights: the means, when they begin, and who sees them: evaluation, checkpoints, the end."""

import shutil

import numpy as np
import pytest
import torch
from families import LSTM, PLAIN_TRAINING, random_ids
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import TrainerControl, TrainerState

from hf_lstm import LSTMForCausalLM
from hf_lstm.training.averaging import FILE_NAME, NonMonotonicAveraging


STEPS = 12
ROUNDING = 1e-6  # of means in fp32 of weights about 1


def snapshot(model) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy().copy() for name, p in model.named_parameters()}


def assert_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float = 0.0):
    assert actual.keys() == expected.keys()
    for name in actual:
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=tolerance, err_msg=name)


class Recorder(TrainerCallback):
    """What the weights are after each step, before the averaging sees them, and at each evaluation and checkpoint."""

    def __init__(self):
        self.steps, self.evaluations, self.saves = {}, {}, {}

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.steps[state.global_step] = snapshot(model)

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        self.evaluations[state.global_step] = snapshot(model)

    def on_save(self, args, state, control, model=None, **kwargs):
        self.saves[state.global_step] = snapshot(model)

    def mean(self, first: int, last: int) -> dict[str, np.ndarray]:
        return {
            name: np.mean([self.steps[k][name] for k in range(first, last + 1)], axis=0) for name in self.steps[last]
        }


def train(folder, averaging, *, resume=None, losses=(), dtype=torch.float32, **arguments):
    """A tiny run, whose evaluations report the given losses in turn; the trainer and what was recorded."""
    torch.manual_seed(0)
    model = LSTM.build("ForCausalLM", embedding_size=None, initializer_range=0.3, hidden_dropout=0.3).to(dtype)
    data = [{"input_ids": row, "labels": row} for row in random_ids(16, 6)]
    settings = PLAIN_TRAINING | {"output_dir": str(folder), "max_steps": STEPS, "per_device_train_batch_size": 2}
    settings |= {"optim": "adamw_torch", "learning_rate": 0.02, "logging_strategy": "no"}
    settings |= {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 4}
    recorder, reported = Recorder(), iter(losses)

    class Reporting(Trainer):
        def evaluation_loop(self, *args, **kwargs):
            output = super().evaluation_loop(*args, **kwargs)
            output.metrics["eval_loss"] = next(reported, output.metrics["eval_loss"])
            return output

    callbacks = [recorder, *([averaging] if averaging else [])]
    trainer = Reporting(
        model,
        TrainingArguments(**(settings | arguments)),
        train_dataset=data,
        eval_dataset=data[:4],
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer, recorder


def test_means_equal_those_of_the_recorded_weights(tmp_path):
    averaging = NonMonotonicAveraging(start_step=5)
    trainer, recorder = train(tmp_path, averaging)
    for step in range(2, STEPS + 1, 2):
        expected = recorder.mean(5, step) if step >= 5 else recorder.steps[step]
        assert_same(recorder.evaluations[step], expected, ROUNDING)
    for step in (4, 8, STEPS):
        assert_same(recorder.saves[step], recorder.evaluations[step])
        saved = LSTMForCausalLM.from_pretrained(tmp_path / f"checkpoint-{step}")
        assert_same(snapshot(saved), recorder.saves[step])
    assert_same(snapshot(trainer.model), recorder.mean(5, STEPS), ROUNDING)
    assert averaging.num_averaged == STEPS - 4
    assert (
        np.abs(
            recorder.steps[STEPS]["model.embed_tokens.weight"] - snapshot(trainer.model)["model.embed_tokens.weight"]
        ).max()
        > 1e-3
    )


@pytest.mark.slow
def test_training_goes_on_from_its_own_weights(tmp_path):
    """Step by step those of a run without averaging, bit for bit."""
    _, plain = train(tmp_path / "plain", None, save_strategy="no")
    _, averaged = train(tmp_path / "averaged", NonMonotonicAveraging(start_step=3))
    for step in range(1, STEPS + 1):
        assert_same(averaged.steps[step], plain.steps[step])


def test_tied_weights_are_averaged_once(tmp_path):
    trainer, recorder = train(tmp_path, NonMonotonicAveraging(start_step=1))
    assert trainer.model.lm_head.weight is trainer.model.model.embed_tokens.weight
    names = load_file(tmp_path / f"checkpoint-{STEPS}" / FILE_NAME).keys()
    assert "mean.model.embed_tokens.weight" in names and "mean.lm_head.weight" not in names
    assert_same(snapshot(trainer.model), recorder.mean(1, STEPS), ROUNDING)


def test_half_precision_is_averaged_in_full(tmp_path):
    trainer, recorder = train(tmp_path, NonMonotonicAveraging(start_step=2), dtype=torch.bfloat16)
    means = load_file(tmp_path / f"checkpoint-{STEPS}" / FILE_NAME)
    expected = recorder.mean(2, STEPS)
    for name, value in expected.items():
        np.testing.assert_allclose(means[f"mean.{name}"].numpy(), value, rtol=0, atol=1e-6)
    rounded = {name: means[f"mean.{name}"].bfloat16().double().numpy() for name in expected}
    assert_same(snapshot(trainer.model), rounded)


def algorithm_1(values, n, sign=1):
    """The number of the evaluation that triggers, by the authors' loop; None if none does."""
    logs = []
    for t, v in enumerate(values):
        if t > n and sign * v > min(sign * earlier for earlier in logs[: t - n]):
            return t
        logs.append(v)
    return None


TRIGGERS = [
    ([5, 4, 3, 2, 1, 0.5], 1, None),
    ([5, 4, 3, 3.5, 2, 1], 1, None),  # worse than the last, better than those before it
    ([5, 4, 3, 3.5, 3.6, 1], 1, 4),
    ([5, 6, 7, 8, 9, 10], 1, 2),
    ([5, 6, 7, 8, 9, 10], 3, 4),
    ([5, 6, 7, 8, 9, 10], 5, None),
    ([3, 3, 3, 3, 3, 3], 1, None),  # no worse
]


@pytest.mark.parametrize(("values", "n", "expected"), TRIGGERS)
def test_trigger_by_hand(values, n, expected):
    assert algorithm_1(values, n) == expected
    for sign in (1, -1):
        assert triggered_at(n, [sign * value for value in values], sign == -1) == expected


def triggered_at(n, values, greater_is_better=False):
    """The evaluation after which the callback averages."""
    averaging = NonMonotonicAveraging(n, greater_is_better=greater_is_better)
    model, args, state = torch.nn.Linear(1, 1), TrainingArguments(use_cpu=True, report_to="none"), TrainerState()
    optimizer = torch.optim.SGD(model.parameters())
    averaging.on_train_begin(args, state, TrainerControl(), model=model, optimizer=optimizer)
    for t, value in enumerate(values):
        state.global_step = 10 * t
        averaging.on_evaluate(args, state, TrainerControl(), metrics={"eval_loss": value}, model=model)
        averaging.on_evaluate(args, state, TrainerControl(), metrics={"eval_other": -1e9}, model=model)
        if averaging.num_averaged:
            return t
    return None


def test_trigger_against_the_algorithm_at_random():
    generator, found = np.random.default_rng(0), set()
    for _ in range(300):
        values, n = generator.integers(0, 20, 8).tolist(), int(generator.integers(1, 6))
        expected = algorithm_1(values, n)
        assert triggered_at(n, values) == expected
        found.add(expected)
    assert len(found) > 5


def test_the_mean_begins_with_the_weights_of_the_trigger(tmp_path):
    """Evaluations after steps 2, 4, 6, ...; the fourth is worse than the best of the first two."""
    averaging = NonMonotonicAveraging(1)
    trainer, recorder = train(tmp_path, averaging, losses=[3.0, 2.0, 2.5, 2.6], save_strategy="no")
    assert [step for step, _ in averaging.log] == [2, 4, 6, 8][: len(averaging.log)]
    first = 8
    assert averaging.num_averaged == STEPS - first + 1
    assert_same(recorder.evaluations[8], recorder.steps[8])
    assert_same(recorder.evaluations[10], recorder.mean(first, 10), ROUNDING)
    assert_same(snapshot(trainer.model), recorder.mean(first, STEPS), ROUNDING)
    before = averaging.num_averaged, list(averaging.log)
    trainer.evaluate()  # after training: of the mean, and it changes nothing
    assert (averaging.num_averaged, averaging.log) == before
    assert_same(recorder.evaluations[STEPS], recorder.mean(first, STEPS), ROUNDING)


RUNS = {  # the callback, the losses that are reported after steps 2, 4, ..., and the step of the checkpoint
    "from a step": ({"start_step": 3}, [], 4),
    "after the trigger": ({"non_monotone_interval": 1}, [3.0, 4.0, 5.0], 8),
    "at the trigger": ({"non_monotone_interval": 1}, [3.0, 2.0, 1.5, 2.6], 8),
    "before the trigger": ({"non_monotone_interval": 1}, [3.0, 2.0, 1.5, 1.4, 2.0], 8),
}
KINDS = {"fp32": {}, "bf16": {"dtype": torch.bfloat16}, "restored": {"restore_callback_states_from_checkpoint": True}}
CASES = [("from a step", "fp32"), ("after the trigger", "fp32"), ("at the trigger", "restored")]
CASES += [
    pytest.param(*case, marks=pytest.mark.slow) for case in (("after the trigger", "bf16"), ("at the trigger", "fp32"))
]
CASES += [pytest.param("before the trigger", "fp32", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("run", "kind"), CASES)
def test_resumed_equals_uninterrupted_bit_for_bit(run, kind, tmp_path):
    """Bf16 has means of another type; `Trainer` can put a callback of its own making in the place of ours."""
    fields, losses, step = RUNS[run]
    settings = KINDS[kind]
    whole, recorded = train(tmp_path / "whole", NonMonotonicAveraging(**fields), losses=losses, **settings)
    checkpoint = tmp_path / "resumed" / f"checkpoint-{step}"
    shutil.copytree(tmp_path / "whole" / checkpoint.name, checkpoint)
    assert (checkpoint / FILE_NAME).is_file() == (run != "before the trigger")
    averaging = NonMonotonicAveraging(**fields)
    resumed, again = train(
        tmp_path / "resumed", averaging, resume=str(checkpoint), losses=losses[step // 2 :], **settings
    )
    assert min(again.steps) == step + 1
    for each in range(step + 1, STEPS + 1):
        assert_same(again.steps[each], recorded.steps[each])
    assert_same(snapshot(resumed.model), snapshot(whole.model))
    ours, theirs = (load_file(tmp_path / name / f"checkpoint-{STEPS}" / FILE_NAME) for name in ("whole", "resumed"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_resume_finds_its_checkpoint_or_says_so(tmp_path):
    train(tmp_path, NonMonotonicAveraging(start_step=2))
    moved = tmp_path / "moved" / "here"
    shutil.copytree(tmp_path / "checkpoint-8", moved)
    other = tmp_path / "other"
    with pytest.raises(ValueError, match=r"`output_dir`.*checkpoint-8.*`args.resume_from_checkpoint`"):
        train(other, NonMonotonicAveraging(start_step=2), resume=str(moved))
    _, again = train(other, NonMonotonicAveraging(start_step=2), resume=str(moved), resume_from_checkpoint=str(moved))
    assert_same(again.saves[STEPS], snapshot(LSTMForCausalLM.from_pretrained(tmp_path / f"checkpoint-{STEPS}")))
    train(other, NonMonotonicAveraging(start_step=4), learning_rate=0.03)
    with pytest.raises(ValueError, match="of another run"):
        train(other, NonMonotonicAveraging(start_step=2), resume=str(moved))


@pytest.mark.slow
def test_averaging_may_join_a_run_that_had_none(tmp_path):
    train(tmp_path, None)
    trainer, recorder = train(tmp_path, NonMonotonicAveraging(start_step=3), resume=str(tmp_path / "checkpoint-8"))
    assert_same(snapshot(trainer.model), recorder.mean(9, STEPS), ROUNDING)


@pytest.mark.parametrize("best", [4, 10])
def test_the_best_model_is_loaded_at_the_end(best, tmp_path):
    """Be it one of before the averaging, or a mean."""
    losses = [1.0 if step == best else 2.0 for step in range(2, STEPS + 1, 2)]
    trainer, recorder = train(
        tmp_path, NonMonotonicAveraging(start_step=5), losses=losses, load_best_model_at_end=True, save_steps=2
    )
    assert trainer.state.best_global_step == best
    assert_same(snapshot(trainer.model), recorder.mean(5, best) if best > 5 else recorder.steps[best], ROUNDING)


def test_evaluation_at_the_end_of_epochs(tmp_path):
    settings = {"eval_strategy": "epoch", "save_strategy": "epoch", "max_steps": -1, "num_train_epochs": 2}
    _, recorder = train(tmp_path, NonMonotonicAveraging(start_step=2), **settings)
    for step in (8, 16):
        assert_same(recorder.evaluations[step], recorder.mean(2, step), ROUNDING)
        assert_same(recorder.saves[step], recorder.mean(2, step), ROUNDING)


def test_accumulated_batches_are_one_step(tmp_path):
    averaging = NonMonotonicAveraging(start_step=2)
    trainer, recorder = train(tmp_path, averaging, gradient_accumulation_steps=2, max_steps=6, save_strategy="no")
    assert averaging.num_averaged == 5
    assert_same(snapshot(trainer.model), recorder.mean(2, 6), ROUNDING)


@pytest.mark.slow
def test_a_callback_serves_another_run(tmp_path):
    averaging = NonMonotonicAveraging(start_step=6)
    for name in ("first", "second"):
        trainer, recorder = train(tmp_path / name, averaging, save_strategy="no")
        assert_same(snapshot(trainer.model), recorder.mean(6, STEPS), ROUNDING)


def test_what_cannot_work_is_refused_or_pointed_out(tmp_path, monkeypatch):
    for name in ("non_monotone_interval", "start_step"):
        with pytest.raises(ValueError, match=f"`{name}`.*0"):
            NonMonotonicAveraging(**{name: 0})
    arguments = TrainingArguments(use_cpu=True, report_to="none")
    arguments.deepspeed = {"zero_optimization": {"stage": 3}}
    with pytest.raises(ValueError, match=r"`args.deepspeed`"):
        NonMonotonicAveraging().on_train_begin(arguments, TrainerState(), TrainerControl())
    messages = []
    monkeypatch.setattr("hf_lstm.training.averaging.logger.warning", messages.append)
    train(tmp_path, NonMonotonicAveraging(metric="eval_f1"), max_steps=2)
    assert len(messages) == 1 and "eval_f1" in messages[0]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""`Trainer.hyperparameter_search` with Optuna, for `Trainer` and for those of this package."""

import optuna
import pytest
import torch
from chats import QUESTIONS, run_snippet
from datasets import Dataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from hf_lstm import LSTMConfig, LSTMForCausalLM, LSTMForSequenceClassification
from hf_lstm.training.batching import LengthBatchingTrainer
from hf_lstm.training.stateful import StatefulTrainer
from hf_lstm.training.transfer import FineTuningTrainer


COMPLETE, PRUNED = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED


def test_snippet(folder, record):
    names = run_snippet("Optuna")
    best, trials = names["best"], optuna.load_study(study_name="colours", storage="sqlite:///search.db").trials
    finished = [trial for trial in trials if trial.state == COMPLETE]
    assert len(trials) == 6 and any(trial.state == PRUNED for trial in trials)
    winner = min(finished, key=lambda trial: trial.value)
    assert (best.run_id, best.objective, best.hyperparameters) == (str(winner.number), winner.value, winner.params)
    assert set(winner.params) == {"hidden_size", "learning_rate"}
    assert all(len(trial.intermediate_values) == 4 for trial in finished)  # an evaluation each two of eight steps
    lines = [
        f"{t.number} {t.state.name:8} {t.value if t.value is None else round(t.value, 4)} {t.params}" for t in trials
    ]
    record("optuna", "\n".join([*lines, f"best: {best.hyperparameters}"]))


@pytest.mark.parametrize("kind", [Trainer, LengthBatchingTrainer, FineTuningTrainer, StatefulTrainer])
def test_trials_know_nothing_of_each_other(folder, chat_model, kind):
    """A trial gives what a training alone gives: neither optimizer nor state is left from the one before."""
    _, tokenizer = chat_model
    rows = Dataset.from_dict(tokenizer(QUESTIONS) | {"labels": [0, 1] * 3})
    head, more = LSTMForSequenceClassification, {"data_collator": DataCollatorWithPadding(tokenizer)}
    if kind is LengthBatchingTrainer:
        more["max_tokens"] = 32
    if kind is StatefulTrainer:
        rows = torch.tensor([id for row in rows["input_ids"] for id in row])
        head, more = LSTMForCausalLM, {"sequence_length": 10}

    def build(trial=None):
        return head(LSTMConfig(vocab_size=len(tokenizer), hidden_size=8, pad_token_id=0))

    def trainer(**options):
        options |= {"eval_strategy": "steps", "eval_steps": 5, "max_steps": 5, "per_device_train_batch_size": 2}
        options |= {"save_strategy": "no", "report_to": "none", "use_cpu": True, "disable_tqdm": True}
        arguments = TrainingArguments("search", **options)
        return kind(model_init=build, args=arguments, train_dataset=rows, eval_dataset=rows, **more)

    rates, values = [0.1, 0.001, 0.1], []
    trainer().hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_categorical("learning_rate", [0.1, 0.001])},
        compute_objective=lambda metrics: values.append(metrics["eval_loss"]) or metrics["eval_loss"],
        direction="minimize",
        backend="optuna",
        n_trials=3,
        sampler=InTurn(rates),
    )
    alone = []
    for rate in rates:
        single = trainer(learning_rate=rate)
        single.train()
        alone.append(single.evaluate()["eval_loss"])
    assert values == pytest.approx(alone, rel=1e-6)
    assert values[0] == values[2] != values[1]


class InTurn(optuna.samplers.BaseSampler):
    """Values in a given order."""

    def __init__(self, values: list[float]):
        self.values = values

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, name, distribution):
        return self.values[trial.number]

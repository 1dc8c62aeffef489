# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The card that a trainer leaves: what it measured of the weights that are there; what a person wrote stays."""

import os
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
import torch
from families import GRU, LSTM
from hub_cards import card_errors
from huggingface_hub import ModelCard
from transformers import DefaultDataCollator, Trainer, TrainingArguments
from transformers.utils import PushInProgress

from hf_lstm.hub.cards import Measurement, TrainingData
from hf_lstm.hub.folders import signer
from hf_lstm.training.batching import LengthBatchingTrainer
from hf_lstm.training.card_trainer import CardTrainer
from hf_lstm.training.stateful import StatefulTrainer
from hf_lstm.training.transfer import FineTuningTrainer


ROWS = [{"input_ids": [4, 5, 6 + i % 3], "labels": [4, 5, 6 + i % 3]} for i in range(8)]


def trainer_of(folder: Path, trainer_class=CardTrainer, model=None, eval_dataset=ROWS, **arguments) -> Trainer:
    defaults = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "max_steps": 3}
    defaults |= {"learning_rate": 0.3, "eval_strategy": "steps", "eval_steps": 1}
    arguments = TrainingArguments(str(folder), **(defaults | arguments))
    options = {"data_collator": DefaultDataCollator(), "train_dataset": ROWS, "eval_dataset": eval_dataset}
    return trainer_class(model or LSTM.build("ForCausalLM"), arguments, **options)


def card_of(folder: Path) -> ModelCard:
    text = (folder / "README.md").read_text()
    assert card_errors(text, "model") == ([], [])
    return ModelCard(text)


def measured(folder: Path) -> dict[str, float]:
    return {
        result.metric_name or result.metric_type: result.metric_value
        for result in card_of(folder).data.eval_results or []
    }


def loss_of(model) -> float:
    ids = torch.tensor([row["input_ids"] for row in ROWS])
    with torch.no_grad():
        return model.eval()(ids, labels=ids).loss.item()


def test_training_goes_on_from_the_last_checkpoint(tmp_path):
    trainer_of(tmp_path, save_strategy="steps", save_steps=1, max_steps=2).train()
    trainer = trainer_of(tmp_path)
    trainer.train("last")
    assert [entry["step"] for entry in trainer.state.log_history if "eval_loss" in entry] == [1, 2, 3]
    assert trainer.figures["epochs"] == 3 and trainer.figures["train_seconds"] > 0
    assert trainer.figures["parameters"] == trainer.model.num_parameters()
    trainer.create_model_card()  # which does not give the seconds of the last step for those of the training
    assert "\n\nTrained on 1 thread of a CPU.\n" in card_of(tmp_path).text


def test_card_has_the_last_evaluation(tmp_path):
    trainer = trainer_of(tmp_path)
    trainer.train()
    trainer.create_model_card(language="en", license="mit", tags="toy", model_name="toy", dataset_tags="acme/toy")
    assert measured(tmp_path) == {"loss": pytest.approx(loss_of(trainer.model), rel=1e-5)}
    card = card_of(tmp_path)
    assert (card.data.language, card.data.license, card.data.datasets) == ("en", "mit", ["acme/toy"])
    assert card.data.tags[-2:] == ["toy", "generated_from_trainer"] and card.data.pipeline_tag == "text-generation"
    for fact in (
        "# toy\n",
        "| train | 8 |",
        "| `learning_rate` | `0.3` |",
        "took ",
        "1 thread of a CPU",
        "acme/toy",
    ):
        assert fact in card.text
    assert (tmp_path / "model.safetensors").is_file()  # which nobody had saved


def test_card_has_the_best_weights_where_they_were_loaded(tmp_path):
    best = {"load_best_model_at_end": True, "save_strategy": "steps", "save_steps": 1, "learning_rate": 3.0}
    best["lr_scheduler_type"] = "constant"
    trainer = trainer_of(tmp_path, max_steps=2, **best)
    trainer.train()
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert min(losses) < losses[-1]
    trainer.create_model_card()
    assert measured(tmp_path) == {"loss": min(losses)} == {"loss": pytest.approx(loss_of(trainer.model), rel=1e-5)}


def test_card_has_no_measure_of_other_weights(tmp_path):
    trainer = trainer_of(tmp_path, eval_strategy="no")
    trainer.evaluate()
    trainer.train()
    trainer.create_model_card()
    assert measured(tmp_path) == {} and "## Results" not in card_of(tmp_path).text
    trainer.evaluate()
    trainer.create_model_card()
    assert measured(tmp_path) == {"loss": pytest.approx(loss_of(trainer.model), rel=1e-5)}


def test_card_names_the_splits(tmp_path):
    trainer = trainer_of(tmp_path, eval_dataset={"near": ROWS, "far_away": ROWS[:2]})
    trainer.train()
    trainer.create_model_card()
    splits = {result.dataset_split: result.metric_value for result in card_of(tmp_path).data.eval_results}
    assert list(splits) == ["near", "far_away"] and splits["near"] == pytest.approx(loss_of(trainer.model), rel=1e-5)
    assert "| far_away | 2 |" in card_of(tmp_path).text


def test_what_the_head_is_judged_by_comes_first(tmp_path):
    trainer = trainer_of(tmp_path, eval_strategy="no")
    trainer.compute_metrics = lambda prediction: {"f1": 0.25, "perplexity": 3.0}
    trainer.evaluate()
    trainer.create_model_card()
    assert trainer.model.metric == "perplexity" and list(measured(tmp_path)) == ["perplexity", "loss", "f1"]


def test_details_are_kept_for_the_next_card(tmp_path):
    trainer = trainer_of(tmp_path)
    results = [Measurement("perplexity", 12.5, "test")]
    trainer.create_model_card(data=TrainingData("My diary"), results=results, limitations=["One diary."])
    trainer.create_model_card(license="mit")
    card = card_of(tmp_path)
    assert card.data.license == "mit" and measured(tmp_path) == {"perplexity": 12.5}
    assert "trained on My diary" in card.text and "- One diary." in card.text


@pytest.mark.parametrize("edited", [False, True])
def test_card_that_somebody_edited_stays(tmp_path, edited):
    trainer = trainer_of(tmp_path)
    trainer.create_model_card()
    file, code = tmp_path / "README.md", tmp_path / "crf.py"
    assert signer(file.read_text()) == "create_model_card"
    if edited:
        file.write_text(file.read_text().replace("## Limits", "").replace("# ", "# My ", 1))
    before = file.read_text()
    code.write_text(code.read_text() + "# changed\n")
    trainer.create_model_card(license="mit")
    after = file.read_text()
    assert ("license: mit" in after) != edited and f"| {code.stat().st_size:,} |" in after
    if edited:
        assert [line for line in after.splitlines() if "`crf.py`" not in line] == [
            line for line in before.splitlines() if "`crf.py`" not in line
        ]


def test_saving_leaves_a_card_and_no_other_untrue(tmp_path):
    LSTM.build("ForCausalLM").save_pretrained(tmp_path)
    assert "`LSTMForCausalLM`" in card_of(tmp_path).text
    GRU.build("ForTokenClassification").save_pretrained(tmp_path)
    assert "`GRUForTokenClassification`" in card_of(tmp_path).text and "modeling_lstm.py" not in card_of(tmp_path).text
    (tmp_path / "README.md").write_text("Mine.\n")
    LSTM.build("ForCausalLM").save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "Mine.\n"


@pytest.mark.parametrize("trainer_class", [LengthBatchingTrainer, FineTuningTrainer, StatefulTrainer])
def test_each_trainer_has_the_card(trainer_class):
    assert trainer_class.create_model_card is CardTrainer.create_model_card


def test_card_names_the_budget_of_batches(tmp_path):
    """Else it says that all but the arguments it lists have the defaults of transformers: batches of 8 rows."""
    trainer_of(tmp_path, partial(LengthBatchingTrainer, max_tokens=12, multiple_of=2)).create_model_card()
    assert "by `max_tokens=12` and `multiple_of=2` in place of" in card_of(tmp_path).text


def test_model_of_another_package_has_the_card_of_transformers(tmp_path):

    model = LSTM.build("ForCausalLM")
    trainer = trainer_of(tmp_path, model=model)
    trainer.model = torch.nn.Sequential(model)
    trainer.model.config = model.config
    trainer.create_model_card(license="mit")
    assert "generated automatically" in (tmp_path / "README.md").read_text()


def test_nothing_is_written_where_a_push_reads(tmp_path, monkeypatch):
    """A push of a checkpoint runs in a thread of its own, while training and other pushes go on."""
    trainer = trainer_of(tmp_path, save_strategy="steps", save_steps=1, max_steps=2)
    trainer.train()
    trainer.push_in_progress = PushInProgress([Future()])
    checkpoints, code = [tmp_path / f"checkpoint-{i}" for i in (1, 2)], tmp_path / "lstm.py"
    trainer._push_from_checkpoint(str(checkpoints[0]))
    for file in tmp_path.glob("*.py"):
        os.utime(file, (0, 0))
    trainer._push_from_checkpoint(str(checkpoints[1]))
    assert code.is_file() and {file.stat().st_mtime for file in tmp_path.glob("*.py")} == {0}
    (checkpoints[1] / code.name).write_text("# edited")
    trainer._push_from_checkpoint(str(checkpoints[1]))
    assert code.read_text() == "# edited"

    order = []
    monkeypatch.setattr(trainer.push_in_progress, "wait_until_done", lambda: order.append("waited"))
    monkeypatch.setattr(Trainer, "push_to_hub", lambda *args, **kwargs: order.append("written and pushed"))
    trainer.hub_model_id = "acme/trained"
    trainer.push_to_hub()
    assert order == ["waited", "written and pushed"]

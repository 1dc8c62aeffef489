# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the trainers log arrives in the files of TensorBoard and, offline, of Weights & Biases."""

import copy
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import wandb
from chats import QUESTIONS, run_snippet
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments
from wandb.proto import wandb_internal_pb2

from hf_lstm.training.stateful import StatefulTrainer
from hf_lstm.training.transfer import FineTuningTrainer


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.teardown()  # which forgets the folder of this test


def in_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    (file,) = folder.glob("runs/**/events.*")
    events = EventAccumulator(str(file)).Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def in_wandb() -> dict[str, list[tuple[int, float]]]:
    """The history in the file of the one offline run."""
    wandb.finish()
    wandb.teardown()  # the process that writes the file ends; on a busy machine it is late
    (file,) = Path("wandb").glob("offline-run-*/*.wandb")
    found: dict[str, list] = {}
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for name, value in row.items():
            found.setdefault(name, []).append((row.get("train/global_step"), value))
    return found


def records(file: bytes):
    """The records of a log of LevelDB's format, which has blocks of 32,768 bytes, behind a header of 7."""
    place, parts = 7, b""
    while place + 7 <= len(file):
        if 32_768 - place % 32_768 < 7:
            place += 32_768 - place % 32_768
        _, length, kind = struct.unpack_from("<IHB", file, place)
        parts += file[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def logged(trainer) -> dict[str, list[tuple[int, float]]]:
    """The history of a trainer under the names that both loggers give it."""
    found: dict[str, list] = {}
    for entry in trainer.state.log_history:
        for name, value in entry.items():
            if name not in ("step", "epoch"):
                name = f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"
                found.setdefault(name, []).append((entry["step"], value))
    return found


def assert_arrived(trainer) -> dict[str, list[tuple[int, float]]]:
    expected, board, offline = logged(trainer), in_tensorboard(Path(trainer.args.output_dir)), in_wandb()
    assert "train/loss" in expected
    for name, values in expected.items():
        np.testing.assert_allclose(board[name], values, rtol=1e-5, err_msg=name)
        if not name.startswith("train/train_") and name != "train/total_flos":  # a summary, no history
            np.testing.assert_allclose(offline[name], values, rtol=1e-5, err_msg=name)
    return expected


def test_snippet(folder, record):
    trainer = run_snippet("TensorBoard and Weights & Biases")["trainer"]
    expected = assert_arrived(trainer)
    flow = [name for name in expected if name.startswith("train/gradient_flow/layer_")]
    assert len(flow) == 2 * 3 and [step for step, _ in expected[flow[0]]] == [0, 3, 6]
    lines = [
        f"{name}: {[(step, round(value, 4)) for step, value in expected[name]]}" for name in ("train/loss", *flow)
    ]
    record("tensorboard wandb", "\n".join(lines))


@pytest.mark.parametrize("kind", [Trainer, FineTuningTrainer, StatefulTrainer])
def test_other_trainers(folder, chat_model, kind):
    model, tokenizer = copy.deepcopy(chat_model[0]), chat_model[1]
    rows = [{"input_ids": tokenizer(text)["input_ids"]} for text in QUESTIONS]
    more = {"data_collator": DataCollatorForLanguageModeling(tokenizer, mlm=False)}
    if kind is StatefulTrainer:
        rows = torch.tensor([id for row in rows for id in row["input_ids"]])
        more = {"sequence_length": 10}
    options = {"max_steps": 4, "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "no"}
    options |= {"per_device_train_batch_size": 2, "learning_rate": 1e-4, "use_cpu": True, "disable_tqdm": True}
    arguments = TrainingArguments("logged", report_to=["tensorboard", "wandb"], **options)
    trainer = kind(model, arguments, train_dataset=rows, eval_dataset=rows, **more)
    trainer.train()
    expected = assert_arrived(trainer)
    assert [step for step, _ in expected["eval/loss"]] == [2, 4]

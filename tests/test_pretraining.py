# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Pretraining of classifiers: its loss is that of single predictions, and it changes the backbone alone."""

import copy

import pytest
import torch
from datasets import Dataset
from families import LSTM, PLAIN_TRAINING, assert_close, each_family
from transformers import BertConfig, TrainingArguments

from hf_lstm import LSTMTokenizer
from hf_lstm.training.pretraining import _Neighbours, pretrain


TINY_BERT = BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
TEXTS = ["the cat sat on the mat", "a dog ran", "the dog sat on a mat", "cat", "a cat ran on the mat"] * 4


def tokenizer_of():
    return LSTMTokenizer.train_from_iterator(TEXTS, "word", min_frequency=1, characters=True, show_progress=False)


def rows_of(tokenizer):
    return Dataset.from_dict(dict(tokenizer(TEXTS)) | {"labels": [0, 1] * (len(TEXTS) // 2)})


def build(tokenizer, family=LSTM, **fields):
    sizes = {"vocab_size": len(tokenizer), "char_vocab_size": tokenizer.char_vocab_size}
    return family.build("ForSequenceClassification", num_labels=2, **({"num_hidden_layers": 1} | sizes | fields))


def arguments(folder, **options):
    return TrainingArguments(folder, **(PLAIN_TRAINING | {"num_train_epochs": 1, "learning_rate": 1e-2} | options))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("bidirectional", [True, False])
@each_family
def test_the_loss_is_that_of_single_predictions(family, bidirectional, side):
    tokenizer = tokenizer_of()
    model = build(tokenizer, family, bidirectional=bidirectional).eval()
    wrapped = _Neighbours(model.base_model).eval()
    inputs = tokenizer(TEXTS[:4], padding=True, padding_side=side, return_tensors="pt")
    losses, table = [], model.get_input_embeddings().weight
    for text in TEXTS[:4]:
        one = tokenizer(text, return_tensors="pt")
        ids, outputs = one["input_ids"][0], model.base_model(**one).last_hidden_state[0]
        for direction, (dense, states) in enumerate(
            zip(wrapped.neighbours.dense, outputs.chunk(len(wrapped.neighbours.dense), -1), strict=True)
        ):
            for t in range(len(ids) - 1):
                seen, next_one = (t, t + 1) if direction == 0 else (t + 1, t)
                losses.append(-(table @ dense(states[seen]).tanh()).log_softmax(-1)[ids[next_one]])
    assert len(losses) == (2 if bidirectional else 1) * sum(
        len(tokenizer(text)["input_ids"]) - 1 for text in TEXTS[:4]
    )
    assert_close(wrapped(**inputs)["loss"], torch.stack(losses).mean())


def test_it_learns_the_texts_and_leaves_the_head_alone(tmp_path):
    tokenizer = tokenizer_of()
    model = build(tokenizer)
    before = copy.deepcopy(model.state_dict())
    rows = rows_of(tokenizer)
    first = pretrain(model, rows, tokenizer, arguments(tmp_path, logging_steps=1), 0.1)
    last = pretrain(model, rows, tokenizer, arguments(tmp_path, logging_steps=1), 20)
    assert last < first - 0.3
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    head = {name for name in before if not name.startswith("model.")}
    assert head and not head & changed and changed == before.keys() - head
    assert not list(tmp_path.glob("checkpoint-*"))


def test_options_of_evaluation_and_saving_are_left_to_the_training_that_follows(tmp_path):
    tokenizer = tokenizer_of()
    own = arguments(
        tmp_path,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        logging_steps=0.5,
    )
    pretrain(build(tokenizer), rows_of(tokenizer), tokenizer, own, 1, learning_rate=1e-3)
    assert own.eval_strategy == "epoch" and own.load_best_model_at_end and own.num_train_epochs == 1
    assert own.learning_rate == 1e-2 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_checkpointing": True},
        {"label_smoothing_factor": 0.1},
        {"neftune_noise_alpha": 1.0},
        {"eval_strategy": "epoch", "eval_on_start": True},
        {"eval_strategy": "epoch", "lr_scheduler_type": "reduce_lr_on_plateau"},
    ],
    ids=lambda options: [*options][-1],
)
def test_it_goes_with_what_trainer_has(options, tmp_path):
    """The loss is known where nothing was logged, and the model evaluates or trains as it did."""
    tokenizer = tokenizer_of()
    model, own = build(tokenizer), arguments(tmp_path, logging_strategy="no", **options)
    rows = rows_of(tokenizer).add_column("text", TEXTS)
    assert 0 < pretrain(model, rows, tokenizer, own, 1) < 10
    assert not any(module.training for module in model.modules())
    assert model.is_gradient_checkpointing == own.gradient_checkpointing


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": 2}, "`num_hidden_layers=2` of the model: each direction has then seen"),
        ({"layer_norm": True}, "`layer_norm=True` of the model"),
        ({"encoder": TINY_BERT, "encoder_special_ids": [[2], [3]]}, "`encoder=BertConfig` of the model: each"),
        ({"embedding_size": 0}, "no embedding of tokens"),
    ],
)
def test_what_cannot_be_pretrained(fields, message, tmp_path):
    tokenizer = tokenizer_of()
    with pytest.raises(ValueError, match=message):
        pretrain(build(tokenizer, **fields), rows_of(tokenizer), tokenizer, arguments(tmp_path), 1)

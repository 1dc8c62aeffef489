# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Steps without a target, which leave the model as it is; labels that cannot be, which are refused by name."""

import pytest
import torch
from families import (
    ADAPTIVE,
    GRU,
    LSTM,
    MIXTURE,
    PLAIN_TRAINING,
    RNN,
    UNTIED_ADAPTIVE,
    assert_close,
    each_family,
    random_ids,
)
from transformers import Trainer, TrainingArguments, default_data_collator


PENALTIES = {"activation_regularization": 2.0, "temporal_activation_regularization": 1.0}
OUTPUT_LAYERS = {
    "softmax": {},
    "adaptive": ADAPTIVE,
    "adaptive, untied": UNTIED_ADAPTIVE,
    "mixture": MIXTURE,
    "penalties": PENALTIES,
}
TAGGERS = {"softmax": {}, "crf": {"use_crf": True}, "neighbours": {"lm_loss_coef": 0.1, "num_hidden_layers": 1}}
COUNTS = [None, 0, torch.tensor(0)]


def assert_nothing_moves(model, **inputs):
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss = model.train()(**inputs).loss
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert loss.item() == 0
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is None or not parameter.grad.any()


@pytest.mark.parametrize("fields", OUTPUT_LAYERS.values(), ids=OUTPUT_LAYERS)
@pytest.mark.parametrize("output_logits", [None, True], ids=["fused", "logits"])
@pytest.mark.parametrize("count", COUNTS, ids=["uncounted", "0", "tensor"])
def test_language_model_without_target(fields, output_logits, count):
    ids, options = random_ids(), {"num_items_in_batch": count, "output_logits": output_logits}
    nothing = torch.full_like(ids, -100)
    for inputs in (
        {"input_ids": ids, "labels": nothing},
        {"input_ids": ids, "shift_labels": nothing},
        {"input_ids": ids, "labels": ids, "attention_mask": torch.zeros_like(ids)},
        {"input_ids": ids[:, :1], "labels": ids[:, :1]},
        {"input_ids": ids[:1, :1], "labels": ids[:1, :1]},
    ):
        assert_nothing_moves(LSTM.build("ForCausalLM", **fields), **inputs, **options)


@pytest.mark.parametrize("fields", TAGGERS.values(), ids=TAGGERS)
@pytest.mark.parametrize("count", COUNTS, ids=["uncounted", "0", "tensor"])
def test_tagger_without_target(fields, count):
    ids = random_ids()
    labels, nothing = ids % 3, torch.full_like(ids, -100)
    for inputs in (
        {"input_ids": ids, "labels": nothing},
        {"input_ids": ids, "labels": labels, "tag_mask": torch.zeros_like(ids)},
        {"input_ids": ids, "labels": labels, "attention_mask": torch.zeros_like(ids)},
        {"input_ids": ids[:1, :1], "labels": nothing[:1, :1]},
    ):
        assert_nothing_moves(
            GRU.build("ForTokenClassification", num_labels=3, **fields), **inputs, num_items_in_batch=count
        )


@pytest.mark.parametrize("pooling", ["concat", "attention"])
def test_classifier_without_target(pooling):
    for rows in (3, 1):
        model = RNN.build("ForSequenceClassification", num_labels=3, pooling=pooling)
        assert_nothing_moves(model, input_ids=random_ids(rows), labels=torch.full((rows,), -100))


@pytest.mark.parametrize("fields", OUTPUT_LAYERS.values(), ids=OUTPUT_LAYERS)
@pytest.mark.parametrize("accumulated", [1, 2])
def test_trainer_steps_over_rows_of_one_token(fields, accumulated, tmp_path):
    model = LSTM.build("ForCausalLM", **fields)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    arguments = TrainingArguments(
        tmp_path, max_steps=2, gradient_accumulation_steps=accumulated, per_device_train_batch_size=2, **PLAIN_TRAINING
    )
    rows = [{"input_ids": [5], "labels": [5]}] * 8
    Trainer(model, arguments, train_dataset=rows, data_collator=default_data_collator).train()
    assert all(map(torch.equal, model.parameters(), before))


@pytest.mark.parametrize("fields", [{}, {"use_crf": True}], ids=["softmax", "crf"])
def test_a_part_without_target_adds_nothing_to_an_accumulated_step(fields, tmp_path):
    def train(rows, accumulated):
        torch.manual_seed(0)
        model = LSTM.build("ForTokenClassification", num_labels=3, **fields)
        arguments = TrainingArguments(
            tmp_path,
            max_steps=1,
            gradient_accumulation_steps=accumulated,
            per_device_train_batch_size=1,
            train_sampling_strategy="sequential",
            **PLAIN_TRAINING,
        )
        Trainer(model, arguments, train_dataset=rows, data_collator=default_data_collator).train()
        return list(model.parameters())

    labelled, blank = ({"input_ids": [5, 6], "labels": labels} for labels in ([1, 2], [-100, -100]))
    assert_close(train([blank, labelled], 2), train([labelled], 1), 1e-7)


@each_family
def test_labels_out_of_range(family):
    ids = random_ids()
    for fields in ({}, ADAPTIVE, MIXTURE):
        model = family.build("ForCausalLM", **fields).train()
        for name, value, output_logits in (("labels", 31, None), ("shift_labels", -1, None), ("labels", -5, True)):
            with pytest.raises(ValueError, match=f"`{name}` holds {value}, but `vocab_size` is 31"):
                model(ids, **{name: torch.full_like(ids, value)}, output_logits=output_logits)
    for fields in ({}, {"use_crf": True}):
        model = family.build("ForTokenClassification", num_labels=3, **fields)
        for value in (3, -1):
            with pytest.raises(ValueError, match=f"`labels` holds {value}, but `num_labels` is 3"):
                model(ids, labels=torch.full_like(ids, value))
    model = family.build("ForSequenceClassification", num_labels=3)
    for value in (3, -1):
        with pytest.raises(ValueError, match=f"`labels` holds {value}, but `num_labels` is 3"):
            model(ids, labels=torch.tensor([0, value, 1]))


@pytest.mark.parametrize("head", ["ForCausalLM", "ForTokenClassification"])
def test_labels_that_are_no_whole_numbers(head):
    ids = random_ids()
    with pytest.raises(ValueError, match="`labels` must hold whole numbers"):
        LSTM.build(head, num_labels=31)(ids, labels=ids.float())


SINGLE, SEVERAL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@pytest.mark.parametrize(
    ("problem_type", "num_labels", "labels"),
    [
        (SINGLE, 3, torch.ones(4, 3, dtype=torch.long)),  # lists of labels
        (SINGLE, 3, torch.ones(4)),
        (SINGLE, 3, torch.ones(3, dtype=torch.long)),
        (None, 3, torch.ones(4)),
        (None, 3, torch.ones(4, 2, dtype=torch.long)),
        (SEVERAL, 3, torch.ones(4, dtype=torch.long)),
        (SEVERAL, 3, torch.full((4, 3), 2.0)),
        (SEVERAL, 3, torch.full((4, 3), -100.0)),
        (REGRESSION, 1, torch.full((4,), torch.nan)),
        (REGRESSION, 1, torch.ones(3)),
        (REGRESSION, 2, torch.ones(4)),
    ],
)
def test_labels_that_do_not_fit_the_problem(problem_type, num_labels, labels):
    model = LSTM.build("ForSequenceClassification", num_labels=num_labels, problem_type=problem_type)
    with pytest.raises(ValueError, match="`labels`"):
        model(random_ids(4), labels=labels)


def test_losses_of_a_classifier_are_those_of_torch():
    ids, loss = random_ids(4), torch.nn.functional
    for num_labels, labels, problem_type, expected in (
        (3, torch.tensor([0, 2, -100, 1]), SINGLE, loss.cross_entropy),
        (3, torch.tensor([[0], [2], [-100], [1]]), SINGLE, lambda logits, y: loss.cross_entropy(logits, y[:, 0])),
        (3, torch.rand(4, 3), SEVERAL, loss.binary_cross_entropy_with_logits),
        (1, torch.rand(4), REGRESSION, lambda logits, y: loss.mse_loss(logits[:, 0], y)),
        (1, torch.arange(4), REGRESSION, lambda logits, y: loss.mse_loss(logits[:, 0], y.float())),
        (2, torch.rand(4, 2), REGRESSION, loss.mse_loss),
    ):
        for given in (problem_type, None) if (problem_type, num_labels) != (REGRESSION, 2) else (problem_type,):
            model = LSTM.build("ForSequenceClassification", num_labels=num_labels, problem_type=given)
            outputs = model(ids, labels=labels)
            assert_close(outputs.loss, expected(outputs.logits, labels), 1e-6)
            assert model.config.problem_type == problem_type


@pytest.mark.parametrize("positions", [[1, 3, 4], [0, 1]])
def test_loss_of_kept_positions_uses_their_mask(positions):
    ids, mask = random_ids(), torch.ones(3, 7, dtype=torch.long)
    mask[0, :3] = mask[1, 2:] = 0
    model, following, kept = LSTM.build("ForCausalLM"), random_ids(), torch.tensor(positions)
    logits = model(ids, attention_mask=mask).logits[:, kept]
    real = mask[:, kept].bool()
    expected = torch.nn.functional.cross_entropy(logits[real], following[:, kept][real])
    for options in ({}, {"output_logits": False}):
        inputs = {"attention_mask": mask, "shift_labels": following[:, kept], "logits_to_keep": kept}
        assert_close(model(ids, **inputs, **options).loss, expected)
    with pytest.raises(ValueError, match="`shift_labels`"):
        model(ids, labels=ids[:, kept], logits_to_keep=kept)

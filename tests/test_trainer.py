# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Trainer, the collators, label smoothing and peft, as users call them."""

import pytest
import torch
from families import LSTM, PLAIN_TRAINING, assert_close, each_family, random_ids
from torch.nn import functional as F
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments
from transformers.trainer_pt_utils import LabelSmoother

from hf_lstm import LSTMForCausalLM, LSTMTokenizer


CORPUS = ["the cat sat on the mat", "the dog sat", "a cat and a dog", "the mat on the cat", "a dog on a mat sat"] * 4


@pytest.fixture(scope="module")
def tokenizer():
    return LSTMTokenizer.train_from_iterator(CORPUS, kind="word", show_progress=False)


def trainer_for(model, tokenizer, tmp_path, **arguments):
    defaults = PLAIN_TRAINING | {
        "output_dir": str(tmp_path),
        "max_steps": 1,
        "per_device_train_batch_size": 4,
    }
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    data = [tokenizer(text) for text in CORPUS]
    return Trainer(
        model,
        TrainingArguments(**(defaults | arguments)),
        data_collator=collator,
        train_dataset=data,
        eval_dataset=data,
        processing_class=tokenizer,
    )


def build(family, tokenizer):
    return family.build("ForCausalLM", vocab_size=len(tokenizer), initializer_range=0.3)


@each_family
def test_accumulation_equals_one_big_batch(family, tokenizer, tmp_path):
    """Rows of unequal length: a mean of means would differ."""
    models = []
    for batch, steps in ((8, 1), (4, 2), (2, 4)):
        torch.manual_seed(0)
        model = build(family, tokenizer)
        trainer_for(
            model, tokenizer, tmp_path, per_device_train_batch_size=batch, gradient_accumulation_steps=steps
        ).train()
        models.append(model)
    for model in models[1:]:
        assert_close(list(model.parameters()), list(models[0].parameters()))


@each_family
def test_one_step_equals_a_step_by_hand(family, tokenizer, tmp_path):
    torch.manual_seed(0)
    model, twin = build(family, tokenizer), build(family, tokenizer)
    twin.load_state_dict(model.state_dict())
    trainer = trainer_for(model, tokenizer, tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    logits = twin(batch["input_ids"]).logits  # right-padded: no mask needed for what comes before the padding
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())
    loss.backward()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter -= 0.1 * parameter.grad
    trainer = trainer_for(model, tokenizer, tmp_path)
    trainer.train()
    assert_close(list(model.parameters()), list(twin.parameters()))


@each_family
def test_training_learns_evaluates_and_resumes(family, tokenizer, tmp_path):
    model = build(family, tokenizer)
    arguments = {"learning_rate": 0.05, "optim": "adamw_torch", "save_strategy": "steps", "save_steps": 30}
    trainer = trainer_for(model, tokenizer, tmp_path, max_steps=60, **arguments)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert after < 0.6 * before
    whole = [p.detach().clone() for p in model.parameters()]

    torch.manual_seed(1)
    resumed = trainer_for(build(family, tokenizer), tokenizer, tmp_path, max_steps=60, **arguments)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-30"))
    assert_close(list(resumed.model.parameters()), whole, 0)
    predictions = trainer.predict(trainer.eval_dataset).predictions
    assert predictions.shape[0] == len(CORPUS) and predictions.shape[2] == len(tokenizer)


@each_family
def test_label_smoothing_shifts_the_labels(family, tokenizer, tmp_path):
    """Trainer shifts labels only for class names that it knows: ours, and those of a user's subclass."""
    subclass = type("MyOwnName", (family.head("ForCausalLM"),), {})
    for model_class in (family.head("ForCausalLM"), subclass):
        model = model_class(family.config(vocab_size=len(tokenizer)))
        trainer = trainer_for(model, tokenizer, tmp_path, label_smoothing_factor=0.1)
        batch = next(iter(trainer.get_eval_dataloader()))
        labels = batch["labels"]
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        expected = LabelSmoother(0.1)({"logits": logits[:, :-1]}, labels[:, 1:])
        assert_close(trainer.compute_loss(model, dict(batch)), expected)


def test_a_subclass_with_another_name_trains_with_the_causal_loss():
    """Transformers chooses a loss by the name of the class; this one it would take for a tagger."""

    class ScorerForTokenClassification(LSTMForCausalLM):
        pass

    ids = random_ids()
    model = ScorerForTokenClassification(LSTM.config()).eval()
    assert model.loss_type == "ForCausalLM"  # by which Trainer knows that the first label of a row is not counted
    expected = F.cross_entropy(model(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert_close(model(ids, labels=ids).loss, expected)


@each_family
def test_left_and_right_padding_train_alike(family, tokenizer, tmp_path):
    gradients = []
    for side in ("left", "right"):
        torch.manual_seed(0)
        model = build(family, tokenizer)
        tokenizer.padding_side = side
        batch = DataCollatorForLanguageModeling(tokenizer, mlm=False)([tokenizer(text) for text in CORPUS[:5]])
        model(**batch).loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    tokenizer.padding_side = "right"
    assert_close(gradients[0], gradients[1])


@each_family
def test_bf16_and_checkpointing_train(family, tokenizer, tmp_path):
    model = build(family, tokenizer)
    trainer = trainer_for(model, tokenizer, tmp_path, bf16=True, gradient_checkpointing=True, max_steps=2)
    trainer.train()
    assert all(p.isfinite().all() for p in model.parameters())


@each_family
def test_lora_on_recurrent_weights(family):
    """The weights are parameters of an ordinary module: peft adapts them, and merging changes no output."""
    import peft

    base = family.build("ForCausalLM")
    ids = random_ids()
    before = base(ids).logits
    targets = ["layers.0.weight_hh_l0", "layers.1.weight_ih_l0"]
    model = peft.get_peft_model(base, peft.LoraConfig(r=2, target_parameters=targets, init_lora_weights=False))
    adapted = model(ids).logits
    assert not torch.allclose(adapted, before, atol=1e-3)
    model(input_ids=ids, labels=ids).loss.backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained and all("lora" in name for name in trained)
    assert_close(model.merge_and_unload()(ids).logits, adapted)

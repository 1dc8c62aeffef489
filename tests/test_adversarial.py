# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Adversarial training: its losses and changes are those of a slow loop over single texts."""

import pytest
import torch
from datasets import Dataset
from families import LSTM, PLAIN_TRAINING, assert_close, each_family
from transformers import TrainingArguments

from hf_lstm.training.adversarial import AdversarialTrainer, changed
from hf_lstm.training.arguments import ClassifierArguments


LENGTHS = (5, 2, 7)


def batch(labels=(0, 1, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 31, (3, 7), generator=generator)
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    return {"input_ids": ids * mask, "attention_mask": mask.long(), "labels": torch.tensor(labels)}


def trainer_of(model, tmp_path, **options):
    return AdversarialTrainer(model, TrainingArguments(tmp_path, **PLAIN_TRAINING), **options)


def build(family=LSTM, **fields):
    return family.build("ForSequenceClassification", num_labels=3, **fields).train()


def log_p(model, embeddings):
    return model(inputs_embeds=embeddings[None]).logits[0].log_softmax(-1)


def losses_slowly(model, inputs, kind, epsilon, xi=0.1, direction=None) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and the additional one, text by text without padding."""
    plain, more = [], []
    for i, length in enumerate(LENGTHS):
        embeddings = model.get_input_embeddings()(inputs["input_ids"][i, :length])
        label = inputs["labels"][i]
        if kind == "adversarial":
            loss = -log_p(model, embeddings)[label]
            (gradient,) = torch.autograd.grad(loss, embeddings, retain_graph=True)
            more.append(-log_p(model, embeddings + epsilon * gradient / gradient.norm())[label])
        else:
            said = log_p(model, embeddings).detach()
            d = direction[i, :length]
            d = (xi * d / d.norm()).requires_grad_()
            gradient = torch.autograd.grad((said.exp() * (said - log_p(model, embeddings + d))).sum(), d)[0]
            r = epsilon * gradient / gradient.norm()
            more.append((said.exp() * (said - log_p(model, embeddings + r))).sum())
        if label != -100:
            plain.append(-log_p(model, embeddings)[label])
    return torch.stack(plain).mean(), torch.stack(more).mean()


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
@each_family
def test_adversarial_loss_and_gradients_are_those_of_a_loop(family, epsilon, tmp_path):
    model, inputs = build(family), batch()
    trainer = trainer_of(model, tmp_path, epsilon=epsilon, adversarial_weight=0.7)
    loss = trainer.compute_loss(model, dict(inputs))
    loss.backward()
    found = {name: each.grad for name, each in model.named_parameters()}
    model.zero_grad()
    plain, more = losses_slowly(model, inputs, "adversarial", epsilon)
    assert_close(loss, plain + 0.7 * more, 1e-5)
    assert more > plain
    (plain + 0.7 * more).backward()
    for name, each in model.named_parameters():
        assert_close(found[name], each.grad, 1e-4)


@each_family
def test_virtual_loss_is_that_of_a_loop(family, tmp_path, monkeypatch):
    """Labels say nothing in it, and texts without one count."""
    model, inputs = build(family), batch((0, -100, 2))
    direction = torch.randn(3, 7, 6)
    monkeypatch.setattr(torch, "randn_like", lambda like: direction)
    trainer = trainer_of(model, tmp_path, epsilon=1.5, kind="virtual")
    plain, more = losses_slowly(model, inputs, "virtual", 1.5, direction=direction)
    assert more > 0
    assert_close(trainer.compute_loss(model, dict(inputs)), plain + more, 1e-4)


def test_both_passes_have_the_same_dropout(tmp_path):
    """With hardly a change the loss is hardly another one."""
    model, inputs = build(input_dropout=0.5, hidden_dropout=0.5, output_dropout=0.5), batch()
    trainer = trainer_of(model, tmp_path, epsilon=1e-6)
    torch.manual_seed(3)
    plain = model(**inputs).loss
    torch.manual_seed(3)
    loss = trainer.compute_loss(model, dict(inputs))
    assert_close(loss, 2 * plain, 1e-4)


def test_evaluation_is_that_of_trainer(tmp_path):
    model, inputs = build().eval(), batch()
    assert torch.equal(trainer_of(model, tmp_path).compute_loss(model, dict(inputs)), model(**inputs).loss)


@pytest.mark.parametrize("kind", ["adversarial", "virtual"])
def test_it_trains(kind, tmp_path):
    inputs = batch()
    rows = Dataset.from_list([{name: value[i].tolist() for name, value in inputs.items()} for i in range(3)] * 4)
    model = build().eval()
    before = model(**inputs).loss.item()
    arguments = TrainingArguments(tmp_path, num_train_epochs=15, **PLAIN_TRAINING)
    AdversarialTrainer(model, arguments, train_dataset=rows, kind=kind, epsilon=0.2).train()
    assert model.eval()(**inputs).loss.item() < before


def test_a_change_ends_with_its_context():
    embeddings = torch.nn.Embedding(5, 2)
    ids = torch.tensor([[1, 2]])
    with changed(embeddings, torch.ones(1, 2, 2)) as given:
        moved = embeddings(ids)
    assert_close(moved, embeddings(ids) + 1)
    assert given[0] is moved and not embeddings._forward_hooks


def test_what_is_refused(tmp_path):
    for name in ("epsilon", "adversarial_weight", "xi"):
        with pytest.raises(ValueError, match=f"`{name}` is 0: give a number above 0"):
            trainer_of(build(), tmp_path, **{name: 0})
    with pytest.raises(ValueError, match="`kind` is 'other'"):
        trainer_of(build(), tmp_path, kind="other")
    with pytest.raises(ValueError, match="`model` has no embedding of tokens"):
        trainer_of(build(vocab_size=None, pad_token_id=None), tmp_path)


def test_the_kind_of_changes_needs_their_length():
    with pytest.raises(ValueError, match="`adversarial` is 'virtual' without `epsilon`"):
        ClassifierArguments(adversarial="virtual")

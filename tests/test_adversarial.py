# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Adversarial training: its losses and changes are those of a slow loop over single texts."""

import pytest
import torch
from datasets import Dataset
from families import LSTM, PLAIN_TRAINING, assert_close, each_family
from torch.utils._pytree import tree_leaves
from transformers import BatchEncoding, TrainingArguments

from hf_lstm.training import adversarial
from hf_lstm.training.adversarial import AdversarialTrainer, changed, unit
from hf_lstm.training.arguments import ClassifierArguments


LENGTHS = (5, 2, 7)


def batch(labels=(0, 1, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 31, (3, 7), generator=generator)
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    return {"input_ids": ids * mask, "attention_mask": mask.long(), "labels": torch.tensor(labels)}


def trainer_of(model, tmp_path, options=(), **kwargs):
    return AdversarialTrainer(model, TrainingArguments(tmp_path, **(PLAIN_TRAINING | dict(options))), **kwargs)


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


def test_a_direction_of_tiny_numbers_has_length_1():
    """A model that is sure leaves gradients whose squares are 0 in fp32: divided by that they would be without end."""
    values, real = torch.rand(3, 4, 5) + 0.1, torch.ones(3, 4, 1)
    wanted = unit(values, real)
    for scale in (1e-36, 1e-25, 1e15, 1e30):
        assert_close(unit(scale * values, real), wanted)
    assert_close(wanted.flatten(1).norm(dim=1), torch.ones(3))
    assert not unit(0 * values, real).any()


@pytest.mark.parametrize("kind", ["adversarial", "virtual"])
def test_label_smoothing_is_of_both_losses(kind, tmp_path):
    """It takes the labels out of the inputs, which the second pass needs; a batch without any has no loss, not nan."""
    model, inputs = build(), batch()
    trainer = trainer_of(model, tmp_path, {"label_smoothing_factor": 0.2}, kind=kind, epsilon=1e-6)

    def smoothed(logits, labels):
        return torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)

    plain = smoothed(model(**inputs).logits, inputs["labels"])
    assert_close(trainer.compute_loss(model, inputs), 2 * plain if kind == "adversarial" else plain, 1e-4)
    assert "labels" in inputs
    assert_close(trainer.compute_loss(model, batch([-100] * 3)), torch.tensor(0.0), 1e-5)


@pytest.mark.parametrize("kind", ["adversarial", "virtual"])
def test_embeddings_need_not_be_trained(kind, tmp_path):
    """As in the first epochs of gradual unfreezing."""
    model, inputs = build(), batch()
    trainer = trainer_of(model, tmp_path, kind=kind)
    torch.manual_seed(0)
    wanted = trainer.compute_loss(model, dict(inputs))
    model.base_model.requires_grad_(False)
    torch.manual_seed(0)
    loss = trainer.compute_loss(model, dict(inputs))
    assert_close(loss, wanted)
    loss.backward()
    assert model.get_input_embeddings().weight.grad is None and model.score.weight.grad.any()


def test_masks_of_the_device_of_a_batch_are_kept(tmp_path, monkeypatch):
    """`Trainer` hands over a `BatchEncoding`, in which torch sees no tensors."""
    seen = []
    monkeypatch.setattr(adversarial, "get_device_states", lambda *args: seen.extend(tree_leaves(args)) or ([], []))
    model, inputs = build(), batch()
    trainer_of(model, tmp_path).compute_loss(model, BatchEncoding(inputs))
    assert any(each is inputs["input_ids"] for each in seen)


def test_several_labels_a_text_diverge_each_by_itself(tmp_path, monkeypatch):
    model, inputs = build(problem_type="multi_label_classification"), batch(torch.eye(3).tolist())
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    trainer = trainer_of(model, tmp_path, kind="virtual", epsilon=1.5)
    plain, more = model(**inputs).loss, []
    for i, length in enumerate(LENGTHS):
        embeddings = model.get_input_embeddings()(inputs["input_ids"][i, :length]).detach()
        said = model(inputs_embeds=embeddings[None]).logits[0].detach().sigmoid()

        def divergence(change, said=said, embeddings=embeddings):
            now = model(inputs_embeds=(embeddings + change)[None]).logits[0].sigmoid()
            return (said * (said / now).log() + (1 - said) * ((1 - said) / (1 - now)).log()).mean()

        direction = (0.1 * unit(torch.ones(1, length, 6), torch.ones(1, length, 1))[0]).requires_grad_()
        (gradient,) = torch.autograd.grad(divergence(direction), direction)
        more.append(divergence(1.5 * gradient / gradient.norm()))
    assert_close(trainer.compute_loss(model, dict(inputs)), plain + torch.stack(more).mean(), 1e-4)


@pytest.mark.parametrize("own", [True, False])
def test_batches_that_are_accumulated_are_one(own, tmp_path, monkeypatch):
    """With a loss of the user, too, whose sum over batches is not divided by their number."""

    def loss_of_user(outputs, labels, num_items_in_batch=None):
        loss = torch.nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum")
        return loss / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    inputs = batch((0, 1, 2))
    rows = Dataset.from_list([{name: value[i % 3].tolist() for name, value in inputs.items()} for i in range(4)])
    weights = []
    for size, steps in ((4, 1), (2, 2)):
        torch.manual_seed(0)
        model = build()
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "num_train_epochs": 1}
        function = loss_of_user if own else None
        trainer_of(model, tmp_path, options, kind="virtual", train_dataset=rows, compute_loss_func=function).train()
        weights.append(model.score.weight.detach())
    assert_close(*weights, 1e-5)


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
    for fields in ({"num_labels": 1}, {"num_labels": 3, "problem_type": "regression"}):
        with pytest.raises(ValueError, match="`kind` is 'virtual', but a model with `problem_type="):
            trainer_of(LSTM.build("ForSequenceClassification", **fields), tmp_path, kind="virtual")
    tagger = LSTM.build("ForTokenClassification", num_labels=3).train()
    with pytest.raises(ValueError, match="`kind` is 'virtual', of labels of whole texts, but `logits` have shape"):
        trainer_of(tagger, tmp_path, kind="virtual").compute_loss(tagger, batch(torch.zeros(3, 7).long().tolist()))
    with pytest.raises(ValueError, match="`model` has no embedding of tokens"):
        trainer_of(build(vocab_size=None, pad_token_id=None), tmp_path)


def test_the_kind_of_changes_needs_their_length():
    with pytest.raises(ValueError, match="`adversarial` is 'virtual' without `epsilon`"):
        ClassifierArguments(adversarial="virtual")

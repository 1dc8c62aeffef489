# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Recognisers and classifiers of sound: exact under padding and chunking, losses, folders, and errors that help."""

import pytest
import torch
from families import assert_close
from torch import nn
from transformers import AutoModel, AutoModelForAudioClassification, AutoModelForCTC

from hf_lstm import (
    GRUForAudioClassification,
    GRUForCTC,
    LSTMForAudioClassification,
    LSTMForCTC,
    RecurrentForAudioClassification,
    RecurrentForCTC,
    RecurrentSpeechConfig,
    RecurrentSpeechModel,
)
from hf_lstm.models.ctc import ctc_losses


SIZES = {"feature_size": 6, "hidden_size": 7, "num_hidden_layers": 2, "vocab_size": 9, "num_labels": 4}
SIZES |= {"initializer": "uniform"}
CELLS = ("lstm", "gru", "rnn")
HEADS = (RecurrentForCTC, RecurrentForAudioClassification)
LENGTHS = (12, 5, 0, 9)

each_cell = pytest.mark.parametrize("cell", CELLS)
each_head = pytest.mark.parametrize("head", HEADS)


def build(head, cell="lstm", **fields):
    return head(RecurrentSpeechConfig(cell=cell, **SIZES | fields)).eval()


def sounds() -> tuple[torch.Tensor, torch.Tensor]:
    mask = (torch.arange(12) < torch.tensor(LENGTHS)[:, None]).long()
    return torch.randn(4, 12, 6), mask


@each_cell
def test_the_stack_is_that_of_torch(cell):
    """Layers with normalisation between them, of torch's own modules."""
    model = build(RecurrentSpeechModel, cell, bidirectional=True)
    values = features = torch.randn(3, 12, 6)
    for layer, norm in zip(model.layers, model.norms, strict=True):
        reference = getattr(nn, cell.upper())(values.shape[2], 7, batch_first=True, bidirectional=True)
        reference.load_state_dict(layer.state_dict())
        values = norm(reference(values)[0])
    assert_close(model(features).last_hidden_state, values)


@each_cell
@each_head
def test_padding_and_batch_mates_change_nothing(head, cell):
    """Padding behind, in front and in holes, whatever stands there; a row of padding alone."""
    model, (features, mask) = build(head, cell), sounds()
    together = model(features.masked_fill(mask[..., None] == 0, torch.nan), attention_mask=mask).logits
    for row, length in enumerate(LENGTHS):
        if not length:
            continue
        alone = model(features[row : row + 1, :length]).logits[0]
        own = together[row, :length] if head is RecurrentForCTC else together[row]
        assert_close(own, alone)
        spread = torch.randperm(20)[:length].sort().values  # real steps among 20
        scattered, real = torch.randn(1, 20, 6), torch.zeros(1, 20).long()
        scattered[0, spread], real[0, spread] = features[row, :length], 1
        moved = model(scattered, attention_mask=real).logits[0]
        assert_close(moved[spread] if head is RecurrentForCTC else moved, alone)


@each_cell
def test_chunks_are_the_whole(cell):
    model, features = build(RecurrentForCTC, cell, bidirectional=False), torch.randn(2, 12, 6)
    whole = model(features).logits
    for sizes in ([1] * 12, [5, 7], [3, 1, 8]):
        cache, parts = None, []
        for chunk in features.split(sizes, 1):
            outputs = model(chunk, cache=cache, use_cache=True)
            cache = outputs.cache
            parts.append(outputs.logits)
        assert_close(torch.cat(parts, 1), whole)
    assert model(features).cache is not None and build(RecurrentForCTC, cell)(features).cache is None


def test_padding_is_the_blank():
    model, (features, mask) = build(RecurrentForCTC), sounds()
    logits = model(features, attention_mask=mask).logits
    assert not logits.argmax(-1)[mask == 0].any() and (logits[mask == 0].softmax(-1)[:, 0] == 1).all()
    assert model(torch.zeros(2, 0, 6)).logits.shape == (2, 0, 9)
    assert build(RecurrentForAudioClassification)(torch.zeros(2, 0, 6)).logits.shape == (2, 4)


def test_the_loss_divides_by_all_labels():
    """A batch in two parts has the gradient of the whole; labels may stand among -100 anywhere."""
    model = build(RecurrentForCTC)
    features, mask = torch.randn(4, 12, 6), torch.ones(4, 12).long()
    mask[1, 6:], mask[2, :4] = 0, 0
    labels = torch.tensor([[1, 2, 3, -100], [4, 4, -100, -100], [-100, 5, -100, 6], [-100] * 4])
    whole = model(features, mask, labels)
    log_probs, lengths = whole.logits.log_softmax(-1), torch.tensor([3, 2, 2, 0])
    log_probs[2] = log_probs[2].roll(-4, 0)
    packed = torch.tensor([[1, 2, 3], [4, 4, 1], [5, 6, 1], [1, 1, 1]])
    expected = ctc_losses(log_probs, torch.tensor([12, 6, 8, 12]), packed, lengths).sum() / 7
    assert_close(whole.loss, expected)
    whole.loss.backward()
    gradients = {name: each.grad.clone() for name, each in model.named_parameters()}
    model.zero_grad()
    for rows in (slice(0, 1), slice(1, 4)):
        model(features[rows], mask[rows], labels[rows], num_items_in_batch=7).loss.backward()
    for name, each in model.named_parameters():
        assert_close(each.grad, gradients[name])
    assert model(features, mask, torch.full((4, 3), -100)).loss.isfinite()
    model.config.ctc_loss_reduction = "sum"
    assert_close(model(features, mask, labels, num_items_in_batch=7).loss, 7 * expected)


def test_labels_that_cannot_be():
    model, features = build(RecurrentForCTC), torch.randn(2, 3, 6)
    for labels, message in (
        (torch.tensor([1, 2]), "expected (batch, labels)"),
        (torch.tensor([[1], [9]]), "`vocab_size` is 9"),
        (torch.tensor([[1], [0]]), "which is the blank"),
        (torch.tensor([[1, 1], [2, 2]]), None),
        (torch.tensor([[1, 1, 1], [2, 2, 2]]), "need 5 steps, but there are 3"),
    ):
        if message is None:
            assert model(features, labels=labels).loss.isfinite()
            continue
        with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
            model(features, labels=labels)
    assert build(RecurrentForCTC, ctc_zero_infinity=True)(features, labels=torch.full((2, 3), 2)).loss == 0


def test_a_prior_is_learnt_and_saved(tmp_path):
    model = build(RecurrentForCTC, ctc_label_prior_weight=0.3)
    before = model.label_prior.clone()
    features, labels = torch.randn(2, 12, 6), torch.tensor([[1, 2], [3, 4]])
    model.train()(features, labels=labels).loss.backward()
    mean = model(features).logits.softmax(-1).mean((0, 1))
    assert_close(model.label_prior, 0.99 * before + 0.01 * mean)
    model.save_pretrained(tmp_path)
    assert torch.equal(AutoModelForCTC.from_pretrained(tmp_path).label_prior, model.label_prior)


def test_training_hides_parts_and_evaluation_none():
    model = build(RecurrentForCTC, mask_time_prob=0.5, mask_time_length=3, mask_feature_prob=0.3)
    features = torch.randn(2, 12, 6)
    assert torch.equal(model(features).logits, model(features).logits)
    model.train()
    assert not torch.equal(model(features).logits, model(features).logits)
    model.config.mask_time_prob = model.config.mask_feature_prob = 0.0  # later, too: it is read at each call
    assert torch.equal(model(features).logits, model(features).logits)
    model.check_configuration()


@each_cell
@each_head
def test_a_folder_loads(tmp_path, head, cell):
    model, (features, mask) = build(head, cell, hidden_sizes=[5, 7], hidden_size=7), sounds()
    expected = model(features, attention_mask=mask).logits
    model.save_pretrained(tmp_path)
    auto = AutoModelForCTC if head is RecurrentForCTC else AutoModelForAudioClassification
    assert torch.equal(auto.from_pretrained(tmp_path)(features, attention_mask=mask).logits, expected)
    backbone = AutoModel.from_pretrained(tmp_path)
    assert type(backbone) is RecurrentSpeechModel
    assert_close(backbone(features, mask).last_hidden_state, model.model(features, mask).last_hidden_state)


def test_classes_that_are_named_after_cells(tmp_path):
    for named, cell in ((LSTMForCTC, "lstm"), (GRUForCTC, "gru"), (GRUForAudioClassification, "gru")):
        model = named(RecurrentSpeechConfig(**SIZES))
        assert model.config.cell == cell and type(model.model.layers[0]).__name__.lower() == f"{cell}layer"
    GRUForCTC(RecurrentSpeechConfig(**SIZES)).save_pretrained(tmp_path)
    assert AutoModelForCTC.from_pretrained(tmp_path).config.cell == "gru"
    with pytest.raises(ValueError, match="Use `GRUForCTC`"):
        LSTMForCTC.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="`cell='rnn'`"):
        LSTMForAudioClassification(RecurrentSpeechConfig(cell="rnn", **SIZES))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"pad_token_id": 9}, "`pad_token_id`"),
        ({"stacked_frames": 4}, "`stacked_frames=4`"),
        ({"mask_time_prob": 1.5}, "`mask_time_prob`"),
        ({"mask_time_length": 0}, "`mask_time_length`"),
        ({"cell": "gru", "projection_size": 3}, "`projection_size=3` is of `cell='lstm'`"),
        ({"cell": "rnn", "forget_gate_bias": 2.0}, "`forget_gate_bias=2.0` is of"),
        ({"nonlinearity": "relu"}, "`nonlinearity='relu'` is of `cell='rnn'`"),
        ({"initializer": "identity"}, "`initializer='identity'` is of"),
        ({"cell": "rnn", "initializer": "identity"}, 'needs `nonlinearity="relu"`'),
        ({"projection_size": 9}, "`projection_size`"),
        ({"num_mel_bins": 80}, "Use `feature_size`"),
        ({"vocab_size": 1}, "`vocab_size`"),
    ],
)
def test_fields_that_cannot_work(fields, message):
    with pytest.raises(ValueError, match=message):
        RecurrentSpeechConfig(**SIZES | fields)


def test_features_of_another_size():
    with pytest.raises(ValueError, match="`input_features` has shape"):
        build(RecurrentForCTC)(torch.zeros(1, 5, 7))
    with pytest.raises(ValueError, match="`input_features` must hold floating-point"):
        build(RecurrentForCTC)(torch.zeros(1, 5, 6).long())

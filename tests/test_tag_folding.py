# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A tagger that decodes in BIOES, BILOU or BMES takes and gives BIO: it says what a tagger of the same weights says whose
labels are named in that scheme, tag by tag translated, and probabilities added.
"""

import logging

import pytest
import torch
from families import LSTM, each_family
from torch.testing import assert_close
from transformers import AutoModelForTokenClassification

from hf_lstm.data.tag_schemes import convert_tags, is_well_formed, tag_names
from hf_lstm.interop.onnx import export_onnx
from hf_lstm.models.tag_folding import folding_of


BIO = tag_names(["PER", "LOC"], "BIO")
SCHEMES = ["BIOES", "BILOU", "BMES"]


def named(labels: list[str]) -> dict:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def pair(scheme: str, family=LSTM, **fields):
    """A tagger in BIO that decodes in `scheme`, and one of the same weights with labels of that scheme."""
    fields = {"vocab_size": 20, "tag_scheme": scheme, "use_crf": True} | fields
    ours = family.build("ForTokenClassification", **fields, **named(BIO))
    theirs = family.build("ForTokenClassification", **fields, **named(tag_names(["PER", "LOC"], scheme)))
    torch.nn.init.normal_(ours.classifier.weight, std=10)
    theirs.load_state_dict(ours.state_dict())
    return ours.eval(), theirs.eval()


def inputs(batch: int = 4, length: int = 7) -> dict:
    """Rows with padding at either end and a hole, and an empty one."""
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[0, 5:], mask[1, :2], mask[2, 3], mask[3] = 0, 0, 0, 0
    return {"input_ids": torch.randint(0, 20, (batch, length)), "attention_mask": mask}


def to_bio(values: torch.Tensor, scheme: str) -> torch.Tensor:
    """Probabilities of the tags of `scheme`, (..., M), added up by their names."""
    letters = dict(zip({"BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES"}[scheme], "BIIB", strict=True))
    added = torch.zeros(*values.shape[:-1], len(BIO), dtype=values.dtype)
    for m, name in enumerate(tag_names(["PER", "LOC"], scheme)):
        added[..., BIO.index(name if name == "O" else letters[name[0]] + name[1:])] += values[..., m]
    return added


@pytest.mark.parametrize("scheme", SCHEMES)
def test_labels_are_read_as_spans(scheme):
    folding = folding_of(BIO, scheme)
    labels, real = torch.randint(0, len(BIO), (30, 8)), torch.rand(30, 8) < 0.8
    expanded = folding.expand(labels, real)
    for row, found, there in zip(labels, expanded, real, strict=True):
        tags = convert_tags([BIO[k] for k in row[there]], "BIO", scheme)
        assert [folding.names[m] for m in found[there]] == tags
        assert (found[~there] == -100).all()


@pytest.mark.parametrize("scheme", SCHEMES)
@each_family
def test_it_says_in_bio_what_the_other_says(family, scheme):
    ours, theirs = pair(scheme, family)
    given = inputs(20)
    real = given["attention_mask"].bool()
    names = tag_names(["PER", "LOC"], scheme)
    out = ours(**given, output_marginals=True, output_entity_probabilities=True)
    other = theirs(**given, output_marginals=True, output_entity_probabilities=True)
    assert_close(out.marginals, to_bio(other.marginals, scheme))
    assert_close(out.entity_probabilities, other.entity_probabilities)
    most_probable = real & (out.marginals.argmax(-1) == out.predictions)  # elsewhere the logit of the path is raised
    assert_close(out.logits.softmax(-1)[most_probable], out.marginals[most_probable], atol=2e-6, rtol=0)
    assert torch.equal(out.logits.argmax(-1)[real], out.predictions[real]) and (out.predictions[~real] == -100).all()
    several = 0
    for row, others, there in zip(out.predictions, other.predictions, real, strict=True):
        tags = [BIO[k] for k in row[there]]
        assert tags == convert_tags([names[m] for m in others[there]], scheme, "BIO")
        several += sum(tag.startswith("I-") for tag in tags)
    assert several  # entities of more than one token


@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_the_loss_is_that_of_the_other(crf, training):
    ours, theirs = pair("BIOES", use_crf=crf)
    given, names = inputs(), tag_names(["PER", "LOC"], "BIOES")
    labels = torch.full((4, 7), -100)
    others = labels.clone()
    for b, row in enumerate(given["attention_mask"].bool()):
        there = row.nonzero().flatten()
        tags = convert_tags([BIO[k] for k in torch.randint(0, len(BIO), (len(there),))], "BIO", "BIO")
        labels[b, there] = torch.tensor([BIO.index(tag) for tag in tags], dtype=torch.long)
        written = convert_tags(tags, "BIO", "BIOES")
        others[b, there] = torch.tensor([names.index(tag) for tag in written], dtype=torch.long)
    losses = []
    for model, target in ((ours.train(training), labels), (theirs.train(training), others)):
        loss = model(**given, labels=target).loss
        loss.backward()
        losses.append(loss)
    assert_close(*losses)
    for (name, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_close(one.grad, two.grad, msg=name)


def test_without_a_crf_probabilities_are_added():
    ours, theirs = pair("BIOES", use_crf=False)
    given = inputs()
    expected = to_bio(theirs(**given).logits.softmax(-1), "BIOES")
    assert_close(ours(**given).logits.softmax(-1), expected)


def test_sentences_labelled_in_part():
    ours, theirs = pair("BIOES")
    given, names = inputs(), tag_names(["PER", "LOC"], "BIOES")
    allowed = torch.rand(4, 7, len(BIO)) < 0.5
    letters = dict(zip("BIES", "BIIB", strict=True))
    columns = [BIO.index(name if name == "O" else letters[name[0]] + name[1:]) for name in names]
    losses = [ours(**given, allowed_tags=allowed).loss, theirs(**given, allowed_tags=allowed[..., columns]).loss]
    assert_close(*losses)
    with pytest.raises(ValueError, match="`allowed_tags` has shape"):
        ours(**given, allowed_tags=allowed[..., columns])


@pytest.mark.parametrize("labels", [["O", "B-PER"], ["O", "I-PER", "I-LOC"], ["B", "I"], ["I-A", "O", "B-A", "B-B"]])
def test_labels_that_lack_some(labels):
    """Of each of them the decoder has one at least, and what it predicts can be said."""
    model = LSTM.build("ForTokenClassification", vocab_size=20, tag_scheme="BIOES", use_crf=True, **named(labels))
    assert sorted(set(model.folding.outer)) == list(range(len(labels)))
    given = inputs()
    loss = model.train()(**given, labels=torch.randint(0, len(labels), (4, 7))).loss
    assert loss.isfinite()
    out = model.eval()(**given)
    assert out.logits.shape[-1] == len(labels) and out.predictions.max() < len(labels)


@pytest.mark.parametrize("crf", [True, False])
def test_export(crf, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")  # in the test extra; no wheel for the newest Python
    ours, _ = pair("BIOES", use_crf=crf)
    given = inputs()
    expected = ours(**given)
    path = export_onnx(ours, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(path))
    found = session.run(None, {name: value.numpy() for name, value in given.items()})
    found = {output.name: torch.from_numpy(value) for output, value in zip(session.get_outputs(), found, strict=True)}
    real = given["attention_mask"].bool()
    assert_close(found["logits"][real], expected.logits[real], atol=1e-4, rtol=1e-4)
    if crf:
        assert torch.equal(found["predictions"], expected.predictions)


def test_names_that_come_after_construction(tmp_path):
    """As `run_ner.py` gives them: the model in memory decodes by their rules, as the one that is saved does."""
    model = LSTM.build("ForTokenClassification", vocab_size=20, use_crf=True, num_labels=len(BIO)).eval()
    torch.nn.init.normal_(model.classifier.weight, std=3)
    given = inputs(40)
    given["attention_mask"][:] = 1
    before = model(**given)
    model.config.id2label, model.config.label2id = named(BIO)["id2label"], named(BIO)["label2id"]
    out = model(**given)
    assert not torch.equal(before.predictions, out.predictions)
    assert all(is_well_formed([BIO[k] for k in row], "BIO") for row in out.predictions)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(**given).predictions, out.predictions) and torch.equal(
        loaded(**given).logits, out.logits
    )
    renamed = LSTM.build("ForTokenClassification", vocab_size=20, use_crf=True, num_labels=len(BIO)).eval()
    renamed.load_state_dict(model.state_dict())
    renamed.config.id2label = named(BIO)["id2label"]
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(export_onnx(renamed, tmp_path / "model.onnx")))
    found = session.run(["predictions"], {name: value.numpy() for name, value in given.items()})[0]
    assert torch.equal(torch.from_numpy(found), out.predictions)


def test_names_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"`tag_scheme` is 'BIOES', but none of the labels .*`id2label` before"):
        LSTM.build("ForTokenClassification", tag_scheme="BIOES", num_labels=5)
    model = LSTM.build("ForTokenClassification", vocab_size=20, tag_scheme="BIOES", **named(BIO))
    model.config.id2label = dict(enumerate(["O", "B-A", "B-B", "B-C", "B-D"]))
    for use in (lambda: model(**inputs()), lambda: model.save_pretrained(tmp_path)):
        with pytest.raises(ValueError, match="needs 5 labels of the decoder, but the model was built with 9"):
            use()
    assert not list(tmp_path.iterdir())


def test_names_that_pipelines_do_not_join_are_said(caplog):
    names = named(tag_names(["PER", "MISC"], "BIOES"))
    logging.getLogger("transformers").propagate = True
    LSTM.build("ForTokenClassification", use_crf=True, **names)
    assert "Name the labels in BIO and set `tag_scheme='BIOES'`" in caplog.text


def test_labels_of_another_scheme_are_said(caplog):
    """IOB1 taken for BIO: in training, once."""
    logging.getLogger("transformers").propagate = True
    fields = {"vocab_size": 20, "use_crf": True} | named(BIO)
    inside = torch.tensor([[BIO.index(tag) for tag in ("I-PER", "I-PER", "O", "I-LOC", "O")]])
    given = {"input_ids": torch.randint(0, 20, (1, 5)), "labels": inside}
    right = {"tag_scheme": "IOB1"}, {"tag_scheme": "BIOES"}  # which reads leniently, and repairs
    for other in right:
        LSTM.build("ForTokenClassification", **fields, **other).train()(**given)
    assert not caplog.text
    model = LSTM.build("ForTokenClassification", **fields).train()
    model(**given)
    model(**given)
    assert caplog.text.count("`labels` have 2 transitions that `tag_scheme='auto'` forbids, in 2 entities") == 1


def test_a_folder_with_labels_of_the_decoder_loads_as_one_in_bio(tmp_path):
    _, theirs = pair("BIOES")
    theirs.save_pretrained(tmp_path)
    model = AutoModelForTokenClassification.from_pretrained(tmp_path, **named(BIO)).eval()
    given = inputs()
    real = given["attention_mask"].bool()
    out, other = (each(**given, output_marginals=True).marginals[real] for each in (model, theirs))
    assert_close(out, to_bio(other, "BIOES"))

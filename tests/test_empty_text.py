# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Text without a token, alone or in a batch of nothing else: no tags, the answer to the zero vector, generation from the
first token; in every head, by every way that text takes into a model.
"""

import datasets
import numpy as np
import onnxruntime
import pytest
import torch
from families import FAMILIES, GRU, LSTM, PLAIN_TRAINING, assert_close, each_family, each_head, states
from torch import nn
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    default_data_collator,
    pipeline,
)

from hf_lstm import LSTMTokenizer
from hf_lstm.interop.onnx import export_onnx
from hf_lstm.training.batching import LengthBatchingTrainer, predict, predict_tags


NOTHING = torch.zeros(2, 0, dtype=torch.long)
LABELS = ["O", "B-X", "I-X"]
NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
TEXTS = ["Ann met Bob", "a dog sat ."]
TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForCausalLM": "text-generation",
    "Model": "feature-extraction",
}
CRF = NAMES | {"use_crf": True}


def build(family, head, **fields):
    classifies = {"num_labels": 3} if head.endswith("Classification") else {}
    model = family.build(head, **(classifies | fields))
    if head == "ForSequenceClassification":
        nn.init.normal_(model.score.bias)  # what the zero vector is told by
    return model


@pytest.mark.parametrize("given", ["ids", "mask", "features", "floats"])
@each_head
@each_family
def test_the_outputs_of_no_token(family, head, given):
    model = build(
        family,
        head,
        **({"vocab_size": None, "pad_token_id": None} if given == "features" and head != "ForCausalLM" else {}),
    )
    inputs = {"input_ids": NOTHING}
    if given == "mask":
        inputs["attention_mask"] = NOTHING
    if given == "features":
        inputs = {"inputs_embeds": torch.zeros(2, 0, model.base_model.embeds_size)}
    if given == "floats":  # what `torch.tensor([[]])` makes of a list, in the collator that does not pad
        inputs["input_ids"] = NOTHING.float()
    outputs = model(**inputs, output_hidden_states=True)
    assert [each.shape[:2] for each in outputs.hidden_states] == [(2, 0)] * 3
    if head == "ForSequenceClassification":
        assert torch.equal(outputs.logits, model.score.bias.expand(2, -1))
    else:
        sizes = {"Model": model.config.output_size, "ForCausalLM": 31, "ForTokenClassification": 3}
        assert outputs[0].shape == (2, 0, sizes[head])
    as_tuple = model(**inputs, return_dict=False)
    assert as_tuple[0].shape == outputs[0].shape and len(as_tuple) < len(outputs)


@each_family
def test_the_state_stays(family):
    for head in ("Model", "ForCausalLM"):
        model = build(family, head)
        cache = model(torch.ones(2, 5, dtype=torch.long)).cache
        before = [state.clone() for layer in cache.layers for state in layer.states]
        outputs = model(NOTHING, cache=cache, attention_mask=torch.ones(2, 5, dtype=torch.long))
        assert outputs.cache is cache and cache.get_seq_length() == 5
        assert_close(states(outputs), before, 0)
        outputs = model(NOTHING)
        assert outputs.cache.get_seq_length() == 0 and not any(state.any() for state in states(outputs))


@pytest.mark.parametrize("fields", [{}, CRF, {"char_vocab_size": 9, "shape_vocab_size": 5} | CRF], ids=str)
@pytest.mark.parametrize("family", [LSTM, GRU], ids=str)
def test_training_on_no_token_changes_nothing(family, fields):
    """But the bias of a whole text, which has an answer."""
    model = build(family, "ForTokenClassification", **fields).train()
    inputs = {"input_ids": NOTHING, "labels": NOTHING}
    if "char_vocab_size" in fields:
        inputs |= {"char_ids": torch.zeros(2, 0, 20, dtype=torch.long), "shape_ids": NOTHING}
    loss = model(**inputs).loss
    loss.backward()
    assert loss == 0 and not any(p.grad is None or p.grad.any() for p in model.parameters())
    if fields:
        outputs = model.eval()(**{k: v for k, v in inputs.items() if k != "labels"}, output_marginals=True)
        assert outputs.predictions.shape == (2, 0) and outputs.marginals.shape == (2, 0, 3)
        allowed = torch.ones(2, 0, 3, dtype=torch.bool)
        assert model.train()(**(inputs | {"labels": None}), allowed_tags=allowed).loss == 0

    model = build(family, "ForSequenceClassification").train()
    model(NOTHING, labels=torch.tensor([0, 2])).loss.backward()
    moved = [name for name, p in model.named_parameters() if p.grad is None or p.grad.any()]
    assert moved == ["score.bias"]


def make_tokenizer(kind="word", **options):
    return LSTMTokenizer.train_from_iterator(TEXTS, kind, vocab_size=300, show_progress=False, **options)


def fields_of(tokenizer) -> dict:
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    sizes = {"char_vocab_size": tokenizer.char_vocab_size, "shape_vocab_size": tokenizer.shape_vocab_size}
    return {"vocab_size": len(tokenizer), **ids, **sizes}


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("head", TASKS)
def test_pipelines(head, side, batch_size):
    """With a tokenizer that pads on either side: each text gets the answer that it gets alone."""
    characters = {} if head == "ForCausalLM" else {"characters": True, "word_shapes": True}
    tokenizer = make_tokenizer(**characters)
    tokenizer.padding_side = side
    model = build(LSTM, head, **fields_of(tokenizer), **(NAMES if head == "ForTokenClassification" else {}))
    pipe = pipeline(TASKS[head], model, tokenizer=tokenizer)
    options = {"do_sample": False, "max_new_tokens": 4} if head == "ForCausalLM" else {}
    for texts in (["a dog", ""], ["", "Ann met"], ["", " ", "\n"]):
        answers = pipe(texts, batch_size=batch_size, **options)
        assert len(answers) == len(texts)
        for text, answer in zip(texts, answers, strict=True):
            if head == "ForTokenClassification":
                assert all(entity["word"] in text.split() for entity in answer)
            if head == "ForSequenceClassification" and not text.strip():
                best = model.score.bias.softmax(-1).max(-1)
                assert answer["label"] == f"LABEL_{best.indices}"
                assert answer["score"] == pytest.approx(best.values.item())
            if head == "ForCausalLM" and not text.strip():
                first = torch.tensor([[tokenizer.bos_token_id]])
                expected = model.generate(first, do_sample=False, max_new_tokens=4)[0]
                assert answer[0]["generated_text"].strip() == tokenizer.decode(expected, skip_special_tokens=True)
    pipe("")


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_no_entities_by_any_strategy(strategy):
    tokenizer = make_tokenizer()
    model = build(LSTM, "ForTokenClassification", **fields_of(tokenizer), **CRF)
    pipe = pipeline("token-classification", model, tokenizer=tokenizer, aggregation_strategy=strategy)
    assert pipe("") == [] and pipe(["", ""], batch_size=2) == [[], []]
    assert pipe(["a dog", ""], batch_size=2)[1] == []


@pytest.mark.parametrize("kind", ["word", "char", "bpe", "unigram", "wordpiece"])
def test_in_tensors_no_token_is_one_of_padding(kind):
    tokenizer = make_tokenizer(kind, characters=True)
    for batch in (tokenizer([""], return_tensors="pt"), tokenizer.pad({"input_ids": [[]]}, return_tensors="pt")):
        assert batch["input_ids"].tolist() == [[0]] and batch["attention_mask"].tolist() == [[0]]
    found = tokenizer(["", ""], return_tensors="np", padding=True, return_offsets_mapping=True)
    assert found["offset_mapping"].tolist() == [[[0, 0]], [[0, 0]]] and not found["char_ids"].any()
    assert tokenizer("")["input_ids"] == [] and tokenizer(["", ""], padding=True)["input_ids"] == [[], []]


@pytest.mark.parametrize(
    ("head", "collator"),
    [
        ("ForSequenceClassification", DataCollatorWithPadding),
        ("ForSequenceClassification", None),
        ("ForTokenClassification", DataCollatorForTokenClassification),
        ("ForTokenClassification", None),
        ("ForCausalLM", lambda tokenizer: DataCollatorForLanguageModeling(tokenizer, mlm=False)),
        ("ForCausalLM", None),
    ],
)
@pytest.mark.parametrize("plain", [False, True], ids=["ours", "plain"])
def test_an_empty_row_alone_in_the_last_batch(head, collator, plain, tmp_path):
    """By the collators of transformers, and without padding; with our tokenizer and with that of transformers."""
    tokenizer = make_tokenizer()
    if plain:
        tokenizer.save_pretrained(tmp_path)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    model = build(LSTM, head, vocab_size=len(tokenizer), pad_token_id=0)
    rows = [dict(tokenizer(text)) for text in ("a dog", "Ann met", "")]
    labels = {"ForTokenClassification": [[0, 1], [1, 2], []], "ForSequenceClassification": [1, 0, 2]}
    rows = [row | {"labels": labels[head][i]} for i, row in enumerate(rows)] if head in labels else rows
    if head == "ForCausalLM" and collator is None:
        rows = [row | {"labels": row["input_ids"]} for row in rows]
    arguments = TrainingArguments(tmp_path, per_device_eval_batch_size=2, **PLAIN_TRAINING)
    collate = default_data_collator if collator is None else collator(tokenizer)
    found = Trainer(model, arguments, data_collator=collate).predict(rows)
    assert found.predictions.shape[0] == 3
    loss = torch.tensor(found.metrics["test_loss"])
    assert loss.isfinite()
    if head == "ForSequenceClassification":
        assert_close(torch.tensor(found.predictions[2]), model.score.bias.detach())


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_generation_begins_with_the_first_token(family):
    model = build(family, "ForCausalLM", vocab_size=11, bos_token_id=2, eos_token_id=3)
    options = {"do_sample": False, "max_new_tokens": 5}
    expected = model.generate(torch.tensor([[2]]), **options)[0, 1:]
    assert torch.equal(model.generate(NOTHING, attention_mask=NOTHING, **options)[:, 1:], expected.expand(2, -1))
    ids, mask = torch.tensor([[5, 6, 7], [0, 0, 0]]), torch.tensor([[1, 1, 1], [0, 0, 0]])
    for beams in (1, 2):
        alone = model.generate(torch.tensor([[2]]), num_beams=beams, **options)[0, 1:]
        found = model.generate(ids, attention_mask=mask, num_beams=beams, **options)
        assert torch.equal(found[1, 3 : 3 + len(alone)], alone)
        assert torch.equal(found[0, :3], ids[0])
    model = build(family, "ForCausalLM", vocab_size=11, bos_token_id=None)
    for inputs in ({}, {"input_ids": NOTHING}):
        with pytest.raises(ValueError, match=r"empty text.*`tokenizer.bos_token_id`"):
            model.generate(**inputs, **options)


def test_batches_by_length():
    """In `predict` and in training: an empty row takes the place of one step."""
    tokenizer = make_tokenizer(characters=True)
    rows = [dict(tokenizer(text)) for text in ("", "a dog", "")]
    model = build(LSTM, "ForSequenceClassification", **fields_of(tokenizer))
    found = predict(model, rows, tokenizer, max_tokens=2, show_progress=False)
    assert_close([found[0], found[2]], [model.score.bias.detach()] * 2)
    trainer = LengthBatchingTrainer(
        model,
        TrainingArguments("unused", max_steps=3, **PLAIN_TRAINING),
        train_dataset=[row | {"labels": 1} for row in rows],
        data_collator=DataCollatorWithPadding(tokenizer),
        max_tokens=2,
    )
    trainer.train()
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("fields", [NAMES, CRF], ids=["labels", "CRF"])
def test_tags_of_a_sentence_without_words(fields):
    tokenizer = make_tokenizer()
    model = build(LSTM, "ForTokenClassification", **fields_of(tokenizer), **fields)
    rows = [dict(tokenizer(text)) for text in ("", "a dog")]
    sentences = datasets.Dataset.from_list([row | {"labels": [0] * len(row["input_ids"])} for row in rows])
    best, _ = predict_tags(model, sentences, DataCollatorForTokenClassification(tokenizer), max_tokens=2)
    assert [len(tags) for tags in best] == [0, 2]


@pytest.mark.parametrize("head", TASKS)
def test_in_onnx_by_its_padding(head, tmp_path):
    """A graph takes what the tokenizer makes of no text in tensors."""
    tokenizer = make_tokenizer()
    model = build(LSTM, head, **fields_of(tokenizer), **(CRF if head == "ForTokenClassification" else {}))
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    batch = tokenizer("", return_tensors="np")
    given = {each.name: batch.get(each.name) for each in session.get_inputs()}
    shapes = {
        each.name: [size if isinstance(size, int) else 1 for size in each.shape] for each in session.get_inputs()
    }
    given = {name: np.zeros(shapes[name], np.float32) if x is None else x for name, x in given.items()}
    found = dict(zip([each.name for each in session.get_outputs()], session.run(None, given), strict=True))
    expected = model(**{name: torch.from_numpy(batch[name]) for name in batch})
    name = "last_hidden_state" if head == "Model" else "logits"
    assert_close(torch.from_numpy(found[name]), expected[name].detach(), 1e-5)

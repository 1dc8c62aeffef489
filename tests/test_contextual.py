# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Contextual string embeddings: what a tagger reads of two language models of characters equals what these say of the
text character by character, in any batch and with any padding; frozen, saved and loaded with the tagger.
"""

import json
import subprocess
import sys
import textwrap

import datasets
import pytest
import torch
from families import GRU, LSTM, PLAIN_TRAINING, assert_close, each_family
from processes import environment
from test_examples import load
from transformers import (
    AutoTokenizer,
    DataCollatorForTokenClassification,
    TrainingArguments,
    pipeline,
)

from hf_lstm import LSTMTokenizer
from hf_lstm.training.batching import LengthBatchingTrainer, predict


SENTENCES = [["Ada", "met", "Bob", "."], ["Zoë"], ["a", "cat", "and", "a", "dog", ",", "unseen", "日本"], ["Hi", "!"]]
CORPUS = ["Ada met Bob .", "a cat and a dog , Zoë", "the cat ! Hi"]


@pytest.fixture(scope="module")
def characters():
    return LSTMTokenizer.train_from_iterator(CORPUS, "char", show_progress=False)


def train(context_tokenizer, kind="word", **options):
    given = {"context_tokenizer": context_tokenizer, "show_progress": False, "vocab_size": 300, **options}
    if kind == "word":
        given.setdefault("split_punctuation", False)
    return LSTMTokenizer.train_from_iterator(CORPUS, kind, **given)


@pytest.fixture(scope="module")
def tokenizer(characters):
    """To be left as it is."""
    return train(characters, characters=True)


def language_models(family, characters, **fields):
    """Forward and backward, of different sizes."""
    sizes = ({"hidden_size": 5}, {"hidden_size": 7, "num_hidden_layers": 1})
    given = {"vocab_size": len(characters), "output_dropout": 0.4}
    return [family.build("ForCausalLM", **(given | size | fields)) for size in sizes]


def build(family, tokenizer, models, head="ForTokenClassification", **fields):
    """A model that reads the two language models, with their weights."""
    sizes = {"vocab_size": len(tokenizer), "char_vocab_size": tokenizer.char_vocab_size, "num_labels": 3}
    contexts = {"context_models": [model.config.to_dict() for model in models]}
    model = family.build(head, **(sizes | contexts | fields))
    model.base_model.load_context_models(*models)
    return model


def contextual(model, inputs) -> torch.Tensor:
    """The features (B, T, F) of a batch."""
    encoder = model.base_model.context_encoder
    return encoder(inputs["context_ids"], inputs["context_spans"], inputs["input_ids"].shape)


def slow_features(models, characters, words) -> torch.Tensor:
    """Word by word: the last state after all that has been read up to the end, or down to the beginning, of it."""
    rows = []
    for i, word in enumerate(words):
        before, behind = " ".join([*words[:i], ""]), " ".join(["", *words[i + 1 :]])
        states = []
        for model, text in zip(models, (before + word, (word + behind)[::-1]), strict=True):
            ids = [characters.eos_token_id, *characters(text)["input_ids"]]
            states.append(model.model(torch.tensor([ids])).last_hidden_state[0, -1])
        rows.append(torch.cat(states))
    return torch.stack(rows)


def encode(tokenizer, sentences=SENTENCES, **options):
    return tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt", **options)


@pytest.mark.parametrize("side", ["left", "right"])
@each_family
def test_features_equal_the_language_models_word_by_word(family, side, tokenizer, characters):
    models = language_models(family, characters)
    model = build(family, tokenizer, models)
    inputs = encode(tokenizer, padding_side=side)
    for row, words, mask in zip(contextual(model, inputs), SENTENCES, inputs["attention_mask"].bool(), strict=True):
        assert_close(row[mask], slow_features(models, characters, words))
        assert not row[~mask].any()


@each_family
def test_padding_of_characters_may_stand_on_either_side(family, tokenizer, characters):
    """As pipelines pad them for tokenizers that pad on the left; and what is more on the right changes nothing."""
    model, inputs = build(family, tokenizer, language_models(family, characters)), encode(tokenizer)
    expected, ids = contextual(model, inputs), inputs["context_ids"]
    moved = torch.stack([torch.cat([row[row == 0], row[row != 0]]) for row in ids])
    assert not torch.equal(moved, ids)
    for other in (moved, torch.nn.functional.pad(ids, (3, 0)), torch.nn.functional.pad(ids, (0, 5))):
        assert_close(contextual(model, {**inputs, "context_ids": other}), expected)


def test_sequences_laid_end_to_end_give_the_same_features(tokenizer, characters, monkeypatch):
    """As large batches are run; small ones are not, unless told to."""
    model = build(LSTM, tokenizer, language_models(LSTM, characters))
    inputs, layer = encode(tokenizer), type(model).layer_class
    expected, calls, run = contextual(model, inputs), [], layer._run_joined
    monkeypatch.setattr(layer, "least_saved", 0)
    monkeypatch.setattr(layer, "_run_joined", lambda *args: calls.append(1) or run(*args))
    assert_close(contextual(model, inputs), expected)
    assert len(calls) == 3  # layers of the two models: one call each


@pytest.mark.parametrize("head", ["Model", "ForTokenClassification", "ForSequenceClassification"])
@each_family
def test_batched_equals_single(family, head, tokenizer, characters):
    model = build(family, tokenizer, language_models(family, characters), head)
    batch = model(**encode(tokenizer))[0]
    for row, words in zip(batch, SENTENCES, strict=True):
        alone = model(**encode(tokenizer, [words]))[0][0]
        assert_close(row[: len(words)] if row.ndim == 2 else row, alone)


@each_family
def test_frozen_models_read_the_same_in_training(family, tokenizer, characters):
    """Without their dropout and without gradients, and a step moves everything else."""
    models = language_models(family, characters)
    model, inputs = build(family, tokenizer, models), encode(tokenizer)
    expected = contextual(model, inputs)
    model.train()
    assert torch.equal(contextual(model, inputs), expected)
    assert not contextual(model, inputs).requires_grad
    model(**inputs, labels=torch.zeros_like(inputs["input_ids"])).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == ("context_encoder" in name) != parameter.requires_grad, name


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_is_remembered_is_what_is_read(side, tokenizer, characters, monkeypatch):
    """In other batches too, and only new texts are read; other weights make all texts new."""
    models = language_models(LSTM, characters)
    model = build(LSTM, tokenizer, models)
    batches = [encode(tokenizer, SENTENCES[:3], padding_side=side), encode(tokenizer, SENTENCES[::-1])]
    batches.append(encode(tokenizer, [SENTENCES[1]] * 2 + SENTENCES[:1], padding_side=side))
    expected = [contextual(model, batch) for batch in batches]
    encoder = model.base_model.context_encoder
    encoder.remember()
    read, states = [], encoder.states
    monkeypatch.setattr(encoder, "states", lambda ids, spans: (read.append(len(ids)), states(ids, spans))[1])
    for batch, wanted in zip(batches, expected, strict=True):
        assert_close(contextual(model, batch), wanted)
    assert read == [3, 1]
    model.base_model.load_context_models(*language_models(LSTM, characters))
    assert not torch.allclose(contextual(model, batches[2]), expected[2])
    assert read == [3, 1, 3]
    encoder.remember(max_tokens=5)  # the first text of four tokens and the second of one
    for _ in range(2):
        contextual(model, batches[0])
    assert read == [3, 1, 3, 3, 1]
    encoder.remember(0)
    assert encoder.memory is None
    trained = build(LSTM, tokenizer, models, train_context_models=True)
    with pytest.raises(ValueError, match="`train_context_models` is True"):
        trained.base_model.context_encoder.remember()


@each_family
def test_models_can_be_trained_too(family, tokenizer, characters):
    models = language_models(family, characters)
    model, inputs = build(family, tokenizer, models, train_context_models=True), encode(tokenizer)
    expected = contextual(model, inputs)
    model.train()
    assert not torch.allclose(contextual(model, inputs), expected)  # with their own dropout
    model(**inputs, labels=torch.zeros_like(inputs["input_ids"])).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_projection_and_dropout(tokenizer, characters):
    models, inputs = language_models(LSTM, characters), encode(tokenizer)
    plain = build(LSTM, tokenizer, models)
    model = build(LSTM, tokenizer, models, context_projection_size=4, context_dropout=0.5)
    weight = model.model.context_encoder.projection.weight
    assert weight.requires_grad and weight.shape == (4, 12)
    assert model.config.feature_size == plain.config.feature_size - 8 == model.model.layers[0].input_size
    assert_close(contextual(model, inputs), contextual(plain, inputs) @ weight.T)
    model.train()
    assert not torch.allclose(contextual(model, inputs), contextual(plain, inputs) @ weight.T)


# The tokenizer.


def spelled(row, spans, characters) -> tuple[str, list[str]]:
    """The text of ids of characters, "|" for the boundary and "?" for an unknown one, and the piece at each span."""
    signs = {"</s>": "|", "<unk>": "?"}
    text = "".join(signs.get(token, token) for token in characters.convert_ids_to_tokens(row))
    return text, [text[first : last + 1] if last else "" for first, last in spans]


@pytest.mark.parametrize(
    "words, text, pieces",
    [
        (["Ada", "met"], "|Ada met|", ["Ada", "met"]),
        (["Zoë", "日本"], "|Zoë ??|", ["Zoë", "??"]),
        (["", "Ada", " ", "met\t"], "|Ada met|", ["Ada", "met"]),
        (["a\u00a0 cat", "."], "|a cat .|", ["a", "cat", "."]),
        ([], "||", []),
    ],
)
def test_words_are_joined_by_single_spaces(words, text, pieces, tokenizer, characters):
    found = tokenizer(words, is_split_into_words=True)
    assert spelled(found["context_ids"], found["context_spans"], characters) == (text, pieces)


@pytest.mark.parametrize("kind", ["word", "char", "bpe", "unigram", "wordpiece"])
def test_raw_text_has_the_context_of_its_words(kind, characters):
    """Tokens are pieces of words in most kinds; each has its own place."""
    tokenizer = train(characters, kind)
    for sentence in SENTENCES:
        found = tokenizer("  " + "  ".join(sentence) + "\n")
        assert found["context_ids"] == [3, *characters(" ".join(sentence))["input_ids"], 3]
        spans = [span for span in found["context_spans"] if span != [0, 0]]
        read = {place for first, last in spans for place in range(first, last + 1)}
        assert read == {place for place, sign in enumerate(" ".join(sentence), 1) if sign != " "}
        assert spans == sorted(spans) and len(found["context_spans"]) == len(found["input_ids"])


def test_newlines_are_the_boundary_where_they_are_known():
    characters = LSTMTokenizer.train_from_iterator(["one\ntwo"], "char", show_progress=False)
    tokenizer = train(characters)
    newline = characters.convert_tokens_to_ids("\n")
    assert tokenizer.context_boundary == newline
    assert tokenizer("one")["context_ids"] == [newline, *characters("one")["input_ids"], newline]


def test_added_tokens_pairs_and_parts_of_texts(tokenizer, characters):
    tokenizer = train(characters, add_bos_token=True, add_eos_token=True)
    found = tokenizer(["Ada met", "Hi"], text_pair=["Bob", "! a"], padding=True)
    rows = zip(found["context_ids"], found["context_spans"], strict=True)
    texts = [spelled([i for i in row if i], spans, characters) for row, spans in rows]
    assert [text for text, _ in texts] == ["|Ada met Bob|", "|Hi ! a|"]
    assert [[piece for piece in pieces if piece] for _, pieces in texts] == [["Ada", "met", "Bob"], ["Hi", "!", "a"]]
    cut = tokenizer(SENTENCES[2], is_split_into_words=True, truncation=True, max_length=4)
    assert len(cut["context_spans"]) == 4 and cut["context_spans"][1:3] == [[1, 1], [3, 5]]
    assert "dog" in spelled(cut["context_ids"], [], characters)[0]  # the context is that of the whole text


@pytest.mark.parametrize("side", ["left", "right"])
def test_collator_pads_as_the_tokenizer(side, tokenizer):
    rows = tokenizer(SENTENCES, is_split_into_words=True)
    examples = [{name: rows[name][i] for name in rows} | {"labels": [0] * len(s)} for i, s in enumerate(SENTENCES)]
    tokenizer.padding_side = side
    try:
        batch = DataCollatorForTokenClassification(tokenizer)(examples)
        whole = encode(tokenizer)
        assert batch.keys() == {*whole, "labels"}
        assert all(torch.equal(batch[name], value) for name, value in whole.items())
        lists = tokenizer.pad(rows)
        assert all(lists[name] == value.tolist() for name, value in whole.items())
        single = tokenizer.pad({name: rows[name][0] for name in rows}, return_tensors="pt")
        assert torch.equal(single["context_ids"], torch.tensor(rows["context_ids"][0]))
    finally:
        tokenizer.padding_side = "right"


def test_tokenizer_is_saved_and_retrained_with_its_context(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = tokenizer.train_new_from_iterator(["Bob met"], 50, show_progress=False)
    for other in (AutoTokenizer.from_pretrained(tmp_path), again):
        for sentence in SENTENCES:
            found, expected = (t(sentence, is_split_into_words=True) for t in (other, tokenizer))
            assert [found[name] for name in ("context_ids", "context_spans")] == [
                expected[name] for name in ("context_ids", "context_spans")
            ]


# Saved, trained, in a pipeline.


@each_family
def test_save_and_load_is_bit_equal(family, tokenizer, characters, tmp_path):
    model, inputs = build(family, tokenizer, language_models(family, characters), use_crf=True), encode(tokenizer)
    model.save_pretrained(tmp_path)
    loaded, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    frozen = {name for name, parameter in loaded.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if "context_encoder" in name}


@pytest.mark.slow
def test_loads_where_the_package_is_missing(tokenizer, characters, tmp_path):
    model, inputs = build(LSTM, tokenizer, language_models(LSTM, characters)), encode(tokenizer)
    model.save_pretrained(tmp_path / "tagger")
    tokenizer.save_pretrained(tmp_path / "tagger")
    program = """
        import sys, json, torch
        sys.modules["hf_lstm"] = None
        from transformers import AutoModelForTokenClassification, AutoTokenizer
        sentences = json.load(open("sentences.json"))
        tokenizer = AutoTokenizer.from_pretrained("tagger", trust_remote_code=True)
        model = AutoModelForTokenClassification.from_pretrained("tagger", trust_remote_code=True)
        inputs = tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
        torch.set_num_threads(1)
        torch.save(model(**inputs).logits.detach(), "logits.pt")
    """
    (tmp_path / "sentences.json").write_text(json.dumps(SENTENCES))
    apart = environment(tmp_path / "home")
    command = [sys.executable, "-c", textwrap.dedent(program)]
    run = subprocess.run(command, cwd=tmp_path, env=apart, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert torch.equal(torch.load(tmp_path / "logits.pt"), model(**inputs).logits)


@pytest.mark.parametrize("side", ["left", "right"])
def test_pipeline_in_any_batch(side, characters, tmp_path):
    tokenizer = train(characters)
    tokenizer.padding_side = side
    model = build(LSTM, tokenizer, language_models(LSTM, characters))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    tagger, texts = pipeline("token-classification", str(tmp_path), ignore_labels=[]), [" ".join(s) for s in SENTENCES]
    probabilities = model(**encode(tokenizer)).logits.softmax(-1).max(-1).values
    real = encode(tokenizer)["attention_mask"].bool()
    for options in ({}, {"batch_size": 4}):
        for row, mask, entities in zip(probabilities, real, tagger(texts, **options), strict=True):
            assert [entity["score"] for entity in entities] == pytest.approx(row[mask].tolist(), abs=1e-5)


def test_trainer_learns_what_only_the_context_tells(characters, tmp_path):
    """The tag of a word is the word before it, and all words are unknown."""
    models = language_models(LSTM, characters, hidden_size=32, initializer="orthogonal")
    tokenizer = train(characters)
    model = build(LSTM, tokenizer, models, num_hidden_layers=1, initializer="orthogonal")
    before = {name: value.clone() for name, value in model.state_dict().items() if "context_encoder" in name}
    rows = []
    for first in ("Ada", "Bob", "cat"):
        for second in ("met", "and"):
            encoded = tokenizer([first, second], is_split_into_words=True)
            rows.append({**encoded, "input_ids": [1, 1], "labels": [-100, ("Ada", "Bob", "cat").index(first)]})
    arguments = PLAIN_TRAINING | {"output_dir": str(tmp_path), "optim": "adamw_torch", "learning_rate": 0.03}
    trainer = LengthBatchingTrainer(
        model,
        TrainingArguments(**(arguments | {"num_train_epochs": 40, "weight_decay": 0.1})),
        max_tokens=24,
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=DataCollatorForTokenClassification(tokenizer),
    )
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.2
    scores = predict(model, rows, tokenizer, max_tokens=8, show_progress=False)
    assert [row[1].argmax().item() for row in scores] == [row["labels"][1] for row in rows]
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


# Refusals.


def test_clear_errors(tokenizer, characters):
    models = language_models(LSTM, characters)
    model, inputs = build(LSTM, tokenizer, models), encode(tokenizer)
    ids, spans = inputs["context_ids"], inputs["context_spans"]
    for name, value, match in (
        ("context_ids", None, "`context_ids` are missing"),
        ("context_spans", None, "`context_spans` are missing"),
        ("context_ids", ids[:2], r"`context_ids` has shape \(2, 29\)"),
        ("context_ids", ids.float(), "type torch.float32"),
        ("context_spans", spans[..., 0], r"`context_spans` has shape \(4, 8\)"),
        ("context_ids", ids + 40, "`context_ids` holds ids from 40"),
        ("context_spans", spans + 2, "`context_spans` holds places from 2"),
    ):
        with pytest.raises(ValueError, match=match):
            model(**{**inputs, name: value})
    plain = LSTM.build("ForTokenClassification")
    with pytest.raises(ValueError, match="`context_ids` were given, but the model has no `context_models`"):
        plain(inputs["input_ids"].clamp(max=9), context_ids=ids)
    with pytest.raises(ValueError, match="`context_models` is None in the configuration"):
        plain.model.load_context_models(*models)
    with pytest.raises(ValueError, match="`forward` does not fit its configuration"):
        model.model.load_context_models(*models[::-1])


def test_configuration_errors(characters):
    forward, backward = (model.config.to_dict() for model in language_models(LSTM, characters))
    gru = GRU.config().to_dict()
    for fields, match in (
        ({"context_models": [forward]}, "two 'lstm' models"),
        ({"context_models": [forward, gru]}, r"got \['lstm', 'gru'\]"),
        ({"context_models": [forward, backward | {"vocab_size": 99}]}, "`context_models` have `vocab_size`"),
        ({"context_models": [forward, backward | {"bidirectional": True}]}, "in one direction"),
        ({"context_models": [forward, backward | {"char_vocab_size": 9}]}, "without features of words"),
        ({"context_projection_size": 4}, "`context_projection_size` must be at least 1 and needs `context_models`"),
        ({"context_dropout": 1.0}, "`context_dropout` is a probability"),
    ):
        with pytest.raises(ValueError, match=match):
            LSTM.config(**fields)
    with pytest.raises(ValueError, match=r"`context_models=.*gives the model features of whole words"):
        LSTM.build("ForCausalLM", context_models=[forward, backward])
    for options in ({"kind": "bpe"}, {"kind": "char", "lowercase": True}):
        other = LSTMTokenizer.train_from_iterator(CORPUS, vocab_size=300, show_progress=False, **options)
        with pytest.raises(ValueError, match="`context_tokenizer` is of kind"):
            train(other)


def test_example_reads_language_models(characters, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    models = language_models(LSTM, characters)
    for folder, model in zip(("forward", "backward"), models, strict=True):
        for part in (model, characters):
            part.save_pretrained(tmp_path / folder)
    (tmp_path / "train.txt").write_text("Ada B-PER\nmet O\nBob B-PER\n\n" * 12)
    options = {"train_file": tmp_path / "train.txt", "output_dir": tmp_path / "run", "max_steps": 2, "hidden_size": 6}
    command_line = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    contexts = ["--context_models", str(tmp_path / "forward"), str(tmp_path / "backward")]
    load("train_token_classification").main([*command_line, *contexts, "--use_cpu"])
    tagger = LSTM.head("ForTokenClassification").from_pretrained(tmp_path / "run")
    for own, model in zip(tagger.model.context_encoder.models, models, strict=True):
        expected = model.model.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in own.state_dict().items())
    found = AutoTokenizer.from_pretrained(tmp_path / "run")(["Ada"], is_split_into_words=True)
    assert found["context_spans"] == [[1, 3]]

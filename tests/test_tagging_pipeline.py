# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""`pipeline("token-classification")` over a tagger with characters, shapes and a CRF says what the decoder says."""

import gc

import psutil
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from families import LSTM
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from hf_lstm import LSTMTokenizer
from hf_lstm.data import encode_tagged
from hf_lstm.data.tag_schemes import read_spans


LABELS = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC") for prefix in "BI")]
TEXTS = ["Ada Lovelace met Charles Babbage in London .", "Nobody was there .", "Paris", "in Rome and Paris , 1833"]


ORDINARY = [
    "Ada Lovelace met Charles Babbage in London.",
    "Nobody (Ada) was there, in Rome.",
    "Paris",
    "Rome, Paris...",
]


def saved_tagger(family, folder, tokenizer=None, **fields):
    """Random weights, large enough for entities of more than one word."""
    tokenizer = tokenizer or LSTMTokenizer.train_from_iterator(
        [text.split() for text in TEXTS],
        "word",
        is_split_into_words=True,
        lowercase=True,
        characters=True,
        word_shapes=True,
        show_progress=False,
    )
    model = family.build(
        "ForTokenClassification",
        vocab_size=len(tokenizer),
        char_vocab_size=tokenizer.char_vocab_size,
        shape_vocab_size=tokenizer.shape_vocab_size,
        use_crf=True,
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
        **fields,
    )
    torch.nn.init.normal_(model.classifier.weight, std=2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def decoded(folder, text) -> list[str]:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForTokenClassification.from_pretrained(folder)
    path = model(**tokenizer(text, return_tensors="pt")).predictions[0].tolist()
    return [model.config.id2label[label] for label in path]


@pytest.mark.filterwarnings("error:Tokenizer does not support real words")  # pipelines then join words by a guess
@pytest.mark.parametrize("texts", [TEXTS, ORDINARY], ids=["words and blanks", "ordinary text"])
@pytest.mark.parametrize("scheme", ["auto", "BIOES"])
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_every_aggregation_strategy_agrees_with_the_decoder(strategy, scheme, texts, tmp_path):
    folder, found = saved_tagger(LSTM, tmp_path, tag_scheme=scheme), 0
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tagger = pipeline("token-classification", model=folder, aggregation_strategy=strategy, ignore_labels=[])
    for text, entities in zip(texts, tagger(texts), strict=True):
        tags = decoded(folder, text)
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        words = [text[start:end] for start, end in offsets]
        found += sum(tag != "O" for tag in tags)
        if strategy == "none":
            assert [entity["entity"] for entity in entities] == tags
            assert [text[entity["start"] : entity["end"]] for entity in entities] == words
        else:
            spans = [(kind, offsets[i][0], offsets[j - 1][1]) for kind, i, j in read_spans(tags, "BIO")]
            groups = [(group["entity_group"], group["start"], group["end"]) for group in entities]
            assert [group for group in groups if group[0] != "O"] == spans
        assert all(0 <= entity["score"] <= 1 for entity in entities)
    assert found > 3


@pytest.mark.filterwarnings("error:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_a_text_without_blanks(strategy, tmp_path):
    """Chinese, whose characters were given as words."""
    text = "王小明在北京大学，李四不在。"
    tokenizer = LSTMTokenizer.train_from_iterator([list(text)], "word", is_split_into_words=True, show_progress=False)
    folder = saved_tagger(LSTM, tmp_path, tokenizer, tag_scheme="BIOES")
    tagger = pipeline("token-classification", model=folder, aggregation_strategy=strategy)
    tags, key = decoded(folder, text), "entity" if strategy == "none" else "entity_group"
    expected = [tuple(span) for span in read_spans(tags, "BIO")]
    if strategy == "none":
        expected = [(tag, i, i + 1) for i, tag in enumerate(tags) if tag != "O"]
    assert len(tags) == len(text) and len(expected) > 2
    assert [(entity[key], entity["start"], entity["end"]) for entity in tagger(text)] == [
        (*each,) for each in expected
    ]


def test_given_words_are_tagged_as_the_decoder_tags_them(tmp_path):
    folder = saved_tagger(LSTM, tmp_path, tag_scheme="BIOES")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForTokenClassification.from_pretrained(folder)
    tagger, words = pipeline("token-classification", model=folder, ignore_labels=[]), ["U.S.", ",", "London.", "(a)"]
    path = model(**tokenizer([words], is_split_into_words=True, return_tensors="pt")).predictions[0]
    entities = tagger([words], is_split_into_words=True, delimiter=" ")[0]
    assert [entity["entity"] for entity in entities] == [model.config.id2label[int(label)] for label in path]
    assert [" ".join(words)[entity["start"] : entity["end"]] for entity in entities] == words


def test_scores_are_posteriors(tmp_path):
    """Where the label of the path is also the most probable one."""
    folder = saved_tagger(LSTM, tmp_path)
    model, tokenizer = AutoModelForTokenClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tagger, compared = pipeline("token-classification", model=folder, ignore_labels=[]), 0
    for text in TEXTS:
        out = model(**tokenizer(text, return_tensors="pt"), output_marginals=True)
        best = out.marginals[0].max(-1)
        for entity, label, likeliest, posterior in zip(
            tagger(text), out.predictions[0], best.indices, best.values, strict=True
        ):
            if label == likeliest:
                compared += 1
                assert entity["score"] == pytest.approx(posterior.item(), abs=1e-5)
    assert compared > 5


def test_a_text_gets_the_same_tags_in_any_batch(tmp_path):
    tagger = pipeline("token-classification", model=saved_tagger(LSTM, tmp_path), ignore_labels=[])
    one_by_one = [[entity["entity"] for entity in tagger(text)] for text in TEXTS]
    for batch_size in (2, 4):
        assert [[entity["entity"] for entity in row] for row in tagger(TEXTS, batch_size=batch_size)] == one_by_one


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "char"])
def test_pieces_of_words(kind, tmp_path):
    """The label of a word is that of its first piece: the other pieces have none, and the CRF leaves them out."""
    tokenizer = LSTMTokenizer.train_from_iterator(TEXTS, kind, vocab_size=300, show_progress=False)
    model = LSTM.build("ForTokenClassification", vocab_size=len(tokenizer), use_crf=True, num_labels=5)
    words = TEXTS[0].split()
    inputs = tokenizer([words], is_split_into_words=True, return_tensors="pt")
    of_word = inputs.word_ids()
    firsts = [i for i, word in enumerate(of_word) if i == 0 or of_word[i - 1] != word]
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[0, firsts] = torch.randint(0, 5, (len(words),))
    out = model(**inputs, labels=labels)
    assert (out.predictions[0] != -100).nonzero().flatten().tolist() == firsts
    mask = (labels != -100).long()
    assert torch.equal(model(**inputs, tag_mask=mask).predictions, out.predictions)


def test_every_piece_of_a_word_has_a_label():
    """As transformers' `run_ner.py` gives them with `--label_all_tokens`."""
    tokenizer = LSTMTokenizer.train_from_iterator(TEXTS, "char", show_progress=False)
    features = Features({"tokens": Sequence(Value("string")), "tags": Sequence(ClassLabel(names=LABELS))})
    words, tags = ["Ada", "L.", "in", "Rome"], ["B-PER", "I-PER", "O", "B-LOC"]
    data = Dataset.from_dict({"tokens": [words], "tags": [[LABELS.index(tag) for tag in tags]]}, features=features)
    labels = encode_tagged(data, tokenizer, label_all_tokens=True)[0]["labels"]
    expected = ["B-PER", "I-PER", "I-PER", "I-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "I-LOC", "I-LOC"]
    assert [LABELS[label] for label in labels] == expected
    first = encode_tagged(data, tokenizer)[0]["labels"]
    assert [LABELS[label] for label in first if label != -100] == tags


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("kind", ["word", "bpe", "unigram", "wordpiece", "char"])
def test_offsets_give_the_text_as_it_was_typed(kind, strategy):
    """`word` is what tokens decode to, lowered by this tokenizer; the offsets are of the user's text."""
    text = "Ada LOVELACE met Zoe\u0308 in Łódź"
    options = {"lowercase": True, "unicode_normalizer": "nfc", "vocab_size": 300, "show_progress": False}
    tokenizer = LSTMTokenizer.train_from_iterator([text, *TEXTS], kind, **options)
    model = LSTM.build("ForTokenClassification", vocab_size=len(tokenizer), num_labels=3)
    tagger = pipeline("token-classification", model, tokenizer=tokenizer, aggregation_strategy=strategy)
    found = tagger(text, ignore_labels=[])
    pieces, end = [], 0
    for entity in found:
        pieces.append(text[max(end, entity["start"]) : entity["end"]])  # a letter of several bytes has several tokens
        end = max(end, entity["end"])
    assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    tagger = pipeline("token-classification", model=saved_tagger(LSTM, tmp_path), aggregation_strategy="simple")
    used = []
    for call in range(2_000):
        tagger(f"{TEXTS[call % 4]} word{call} {'x' * (call % 50)}")
        if call % 500 == 499:
            gc.collect()
            used.append(psutil.Process().memory_info().rss)  # now: the peak may be that of another test
    assert used[-1] - used[0] < 800 * 1024  # half a KiB a call


def test_long_texts_in_parts_that_overlap(tmp_path):
    """With `stride`, texts of any lengths and empty ones in one batch."""
    folder = saved_tagger(LSTM, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=6)
    tagger = pipeline("token-classification", folder, tokenizer=tokenizer, aggregation_strategy="first", stride=2)
    texts = ["", *TEXTS, " ".join(TEXTS), " "]
    found = tagger(texts, batch_size=3)
    assert found[0] == found[-1] == []
    for text, entities in zip(texts, found, strict=True):
        spans = [(entity["entity_group"], entity["start"], entity["end"]) for entity in entities]
        assert spans == [(entity["entity_group"], entity["start"], entity["end"]) for entity in tagger(text)]

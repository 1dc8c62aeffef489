# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The linear model of n-grams beside a classifier: as one by dictionaries and scikit-learn, whatever the batch."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset
from families import GRU, LSTM, assert_close, each_family
from sklearn.feature_extraction import DictVectorizer
from sklearn.svm import LinearSVC
from transformers import AutoModelForSequenceClassification

from hf_lstm import LSTMTokenizer
from hf_lstm.models.text_inputs import TextInputs
from hf_lstm.training.ngram_fitting import fit_ngrams


TEXTS = [
    "the cat sat on the mat",
    "a dog sat",
    "the dog and the cat",
    "dogs",
    "no cat sat on a dog and no dog sat on a cat",
    "ab",
    "the the the",
]
LABELS = [0, 1, 0, 1, 2, 2, 0]


@pytest.fixture(scope="module")
def tokenizer():
    return LSTMTokenizer.train_from_iterator(TEXTS, "word", characters=True, show_progress=False)


def build(tokenizer, family=LSTM, buckets=4096, **fields):
    sizes = {"vocab_size": len(tokenizer), "char_vocab_size": tokenizer.char_vocab_size, "num_labels": 3}
    return family.build("ForSequenceClassification", **(sizes | {"ngram_buckets": buckets} | fields))


def encode(tokenizer, texts=TEXTS, **options) -> TextInputs:
    return TextInputs(**tokenizer(texts, padding=True, return_tensors="pt", **options))


def by_dictionaries(texts: list[str], order: int, char_order: int) -> list[list[dict]]:
    """Of each kind of n-grams x / |x| of each text."""

    def of_tokens(text):
        words = text.split()
        return [tuple(words[i : i + n]) for n in range(1, order + 1) for i in range(len(words) - n + 1)]

    def of_characters(text):
        edged = [f"<{word}>" for word in text.split()]
        return [w[i : i + n] for w in edged for n in range(3, char_order + 1) for i in range(len(w) - n + 1)]

    kinds = []
    for grams in (of_tokens, of_characters):
        counts = [Counter(grams(text)) for text in texts]
        having = Counter(gram for count in counts for gram in count)
        idf = {gram: math.log((1 + len(texts)) / (1 + number)) + 1 for gram, number in having.items()}
        rows = [{gram: (1 + math.log(tf)) * idf[gram] for gram, tf in count.items()} for count in counts]
        norms = [math.sqrt(sum(value**2 for value in row.values())) or 1 for row in rows]
        pairs = zip(rows, norms, strict=True)
        kinds.append([{gram: value / norm for gram, value in row.items()} for row, norm in pairs])
    return kinds


def products(rows: list[dict]) -> torch.Tensor:
    """The inner products of all pairs."""
    return torch.tensor([[sum(a[gram] * b.get(gram, 0) for gram in a) for b in rows] for a in rows])


@pytest.mark.parametrize(("order", "char_order"), [(1, 3), (2, 5), (3, 4)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_vectors_are_those_of_dictionaries(tokenizer, side, order, char_order):
    model = build(tokenizer, ngram_order=order, char_ngram_order=char_order, buckets=1 << 22)
    scores, dataset = model.ngrams, Dataset.from_list([{**tokenizer(text), "label": 0} for text in TEXTS])
    fit_ngrams(model, dataset, tokenizer)
    wanted = by_dictionaries(TEXTS, order, char_order)
    for (buckets, values), rows in zip(scores.vectors(encode(tokenizer, padding_side=side)), wanted, strict=True):
        found = [dict(zip(b.tolist(), v.tolist(), strict=True)) for b, v in zip(buckets, values, strict=True)]
        found = [{bucket: value for bucket, value in row.items() if value} for row in found]
        assert [len(row) for row in found] == [len(row) for row in rows]
        assert_close(products(found), products(rows), 1e-6)


def test_scores_are_those_of_scikit_learn(tokenizer):
    model = build(tokenizer, buckets=1 << 20)
    rows = [{**tokenizer(text), "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    fit_ngrams(model, Dataset.from_list(rows), tokenizer, scale=2.0, regularization=0.5)
    merged = [{**a, **b} for a, b in zip(*by_dictionaries(TEXTS, 2, 5), strict=True)]
    named = [{str(gram): value for gram, value in row.items()} for row in merged]
    matrix = DictVectorizer(separator="\n", sparse=False).fit_transform(named)
    for k in range(3):
        machine = LinearSVC(C=0.5).fit(matrix, np.array(LABELS) == k)
        wanted = torch.from_numpy(2 * machine.decision_function(matrix)).float()
        assert_close(model.ngrams(encode(tokenizer))[:, k], wanted, 1e-3)


def fitted(tokenizer, **fields):
    model = build(tokenizer, **fields)
    rows = [{**tokenizer(text), "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    fit_ngrams(model, Dataset.from_list(rows), tokenizer)
    return model


@each_family
def test_they_add_to_the_logits_but_in_training(tokenizer, family):
    model = fitted(tokenizer, family=family)
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    alone = model.score(model.pooler(model.model(**inputs).last_hidden_state, inputs["attention_mask"] != 0))
    assert_close(model(**inputs).logits, alone + model.ngrams(TextInputs(**inputs)))
    assert model.ngrams.weight.abs().sum() > 0
    assert_close(model.train()(**inputs).logits, alone)
    assert not [name for name, _ in model.named_parameters() if name.startswith("ngrams")]


def test_batch_mates_and_padding_change_nothing(tokenizer):
    model = fitted(tokenizer)
    alone = torch.cat([model.ngrams(encode(tokenizer, [text])) for text in TEXTS])
    inputs = encode(tokenizer)
    assert_close(model.ngrams(inputs), alone)
    # Holes: the same tokens with padding among them.
    length = inputs.input_ids.shape[1]
    spread = torch.zeros(len(TEXTS), 2 * length, dtype=torch.long)
    mask, chars = torch.zeros_like(spread), inputs.char_ids.new_zeros(len(TEXTS), 2 * length, inputs.char_ids.shape[2])
    places = 2 * torch.arange(length)
    spread[:, places], mask[:, places], chars[:, places] = inputs.input_ids, inputs.attention_mask, inputs.char_ids
    assert_close(model.ngrams(TextInputs(spread, mask, chars)), alone)


def test_a_folder_keeps_them(tokenizer, tmp_path):
    model = fitted(tokenizer, family=GRU)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize("head", ["ForCausalLM", "ForSequenceClassification"])
def test_those_that_a_folder_lacks_say_nothing(tokenizer, head, tmp_path):
    """A buffer that is not read from a file would hold what was in memory before."""
    LSTM.build(head, vocab_size=31).save_pretrained(tmp_path)
    del [torch.full((4096,), 7.5) for _ in range(100)][:]
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, ngram_buckets=4096)
    assert (model.ngrams.idf == 1).all() and not model.ngrams.weight.any() and not model.ngrams.bias.any()


def test_other_labels_or_buckets_begin_anew(tokenizer, tmp_path):
    model = fitted(tokenizer)
    model.save_pretrained(tmp_path)
    for fields in ({"num_labels": 5}, {"ngram_buckets": 256}):
        loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, ignore_mismatched_sizes=True, **fields)
        assert not loaded.ngrams.weight.any()
        assert torch.equal(loaded.ngrams.idf, model.ngrams.idf if "num_labels" in fields else torch.ones(256))


def test_they_are_of_ids(tokenizer):
    model = build(tokenizer, char_vocab_size=0)
    embeddings = torch.randn(2, 3, model.config.input_size)
    with pytest.raises(
        ValueError, match="`input_ids` are None, of which n-grams are, with `ngram_buckets`: give them"
    ):
        model(inputs_embeds=embeddings)
    model.train()(inputs_embeds=embeddings)


def test_without_characters_there_are_tokens_alone(tokenizer):
    words = LSTMTokenizer.train_from_iterator(TEXTS, "word", show_progress=False)
    model = LSTM.build("ForSequenceClassification", vocab_size=len(words), ngram_buckets=512)
    assert len(model.ngrams.vectors(encode(words))) == 1
    assert len(build(tokenizer, char_ngram_order=0).ngrams.vectors(encode(tokenizer))) == 1


def test_several_labels_a_text(tokenizer):
    model = build(tokenizer, problem_type="multi_label_classification")
    rows = [{**tokenizer(text), "label": [float("cat" in text), float("dog" in text), 0.0]} for text in TEXTS]
    fit_ngrams(model, Dataset.from_list(rows), tokenizer)
    scores = model.ngrams(encode(tokenizer))
    for k, word in enumerate(("cat", "dog")):
        assert [(score > 0).item() for score in scores[:, k]] == [word in text for text in TEXTS]
    assert (scores[:, 2] == -3).all()  # a label that no text has


def fit(model, tokenizer, labels, texts=TEXTS):
    fit_ngrams(model, Dataset.from_dict({**tokenizer(texts), "text": texts, "labels": labels}), tokenizer)
    return model


def test_a_label_that_no_text_has_does_not_win(tokenizer):
    """Not by a score of 0, where those of all others are below."""
    model = fit(build(tokenizer, num_labels=4), tokenizer, LABELS)
    scores = model.ngrams(encode(tokenizer, ["zzz", "qqq xxx"]))
    assert (scores[:, :3] < 0).all() and (scores.argmax(1) != 3).all()
    fit(model, tokenizer, [3] * 7)
    assert not model.ngrams.weight.any() and model.ngrams.bias.tolist() == [-3, -3, -3, 3]


def test_texts_without_a_label_count_in_the_frequencies_alone(tokenizer):
    model = fit(build(tokenizer), tokenizer, [*LABELS, -100, -100], [*TEXTS, "a cat", "the dog"])
    labelled = fit(build(tokenizer), tokenizer, LABELS)
    assert not torch.equal(model.ngrams.idf, labelled.ngrams.idf)
    assert model.ngrams(encode(tokenizer)).argmax(1).tolist() == LABELS
    assert_close(model.ngrams.bias, labelled.ngrams.bias, 0.1)


def test_weights_of_half_precision_get_the_same(tokenizer):
    model, half = (fit(each, tokenizer, LABELS) for each in (build(tokenizer), build(tokenizer).bfloat16()))
    assert half.ngrams.idf.dtype == torch.bfloat16
    assert_close(half.ngrams.weight.float(), model.ngrams.weight, 0.05)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([*"abcabca"], r"`labels` of `dataset` begins with \['a', 'b', 'c'\], but `num_labels` is 3"),
        ([[0], [1, 2], *[[0]] * 5], r"begins with \[\[0\], \[1, 2\]"),
        ([[1.0, 0.0]] * 7, "begins with"),
        ([None, *LABELS[1:]], "begins with"),
        ([7, *LABELS[1:]], "holds 7, but `num_labels` is 3"),
        ([float(label) for label in LABELS], "must hold whole numbers"),
        ([-100] * 7, "`dataset` has 7 texts, and no label"),
    ],
)
def test_labels_that_are_none_of_the_model(tokenizer, labels, message):
    with pytest.raises(ValueError, match=message):
        fit(build(tokenizer), tokenizer, labels)


def test_what_is_refused(tokenizer):
    rows = Dataset.from_list([{**tokenizer(text), "label": 0} for text in TEXTS])
    with pytest.raises(ValueError, match="`model` has no n-grams: build it with `ngram_buckets`"):
        fit_ngrams(build(tokenizer, buckets=0), rows, tokenizer)
    for problem_type in ("regression", None):
        with pytest.raises(ValueError, match="`problem_type` is 'regression'"):
            fit_ngrams(build(tokenizer, num_labels=1, problem_type=problem_type), rows, tokenizer)
    with pytest.raises(ValueError, match=r"`dataset` has the columns .*: give `labels`"):
        fit_ngrams(build(tokenizer), rows.remove_columns("label"), tokenizer)
    for options in ({"scale": math.nan}, {"regularization": 0}):
        with pytest.raises(ValueError, match=r"`scale` is .* and `regularization` is "):
            fit_ngrams(build(tokenizer), rows, tokenizer, **options)
    for fields in ({"ngram_buckets": -1}, {"ngram_order": 0}, {"char_ngram_order": -1}):
        with pytest.raises(ValueError, match=f"`{next(iter(fields))}` must be"):
            LSTM.config(**fields)
    with pytest.raises(ValueError, match="`ngram_buckets=8` are of tokens"):
        LSTM.config(vocab_size=None, pad_token_id=None, ngram_buckets=8)

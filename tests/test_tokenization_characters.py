# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Characters and shapes of tokens: equal to those of the words of the text, in every way to call the tokenizer; padded by
collators and pipelines; saved and loaded. What they should be is computed here from the strings alone.
"""

import copy
import json
import pickle
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from datasets.fingerprint import Hasher
from processes import environment
from torch import nn
from transformers import (
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TokenClassificationPipeline,
)
from transformers.modeling_outputs import TokenClassifierOutput

from hf_lstm import LSTMConfig, LSTMTokenizer
from hf_lstm.models.characters import CACHED_WORDS, SHAPES, _word_table, shape_of


KINDS = ("word", "char", "bpe", "unigram", "wordpiece")
LONG = "Donaudampfschiffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
CORPUS = ["The cat, the McDonald's cafe\u0301 in 1984.", "日本語 😀 and Ünï U.S. $3,000", "the end of THE end\n"]
TEXTS = [
    "The cat!",
    "",
    f"McDonald's  cafe\u0301 {LONG} 1984",
    "日本語 👩‍🚀 Жук İstanbul\u200b the\u00a0end",
    "a\n\nb",
]
ODD_WORDS = ["The", "", " ", "\u200b", "New York", "\u0301", "e\u0301", "😀", LONG, "\n", "don't", "日本語", "-LRB-"]


def train(kind="word", corpus=CORPUS, **options):
    given = {"characters": True, "word_shapes": True, "vocab_size": 400, "show_progress": False, **options}
    return LSTMTokenizer.train_from_iterator(corpus, kind, **given)


@pytest.fixture(scope="module")
def tokenizer():
    """A lower-casing tokenizer of words, to be left as it is."""
    return train(lowercase=True, fold_digits=True)


def words_of(text):
    # Accents are parts of words, not so for Python; a zero-width space at the end of a word is nothing.
    return re.findall(r"[\w\u0301]+|[^\w\s\u0301\u200b]+", text)


def characters_of(word, corpus=CORPUS, min_frequency=1, limit=20):
    """The character ids of a word, from the strings."""
    counts = Counter("".join("".join(corpus).split()))
    known = sorted((c for c in counts if counts[c] >= min_frequency), key=lambda c: (-counts[c], ord(c)))
    if len(word) > limit:
        word = word[: (limit + 1) // 2] + word[len(word) - limit // 2 :]
    return [known.index(character) + 2 if character in known else 1 for character in word]


def filled(rows, length, width, side="right"):
    """Rows of character ids with zeros up to (length, width)."""
    rows = [row + [0] * (width - len(row)) for row in rows]
    gap = [[0] * width] * (length - len(rows))
    return gap + rows if side == "left" else rows + gap


# The table


@pytest.mark.parametrize("min_frequency", [1, 2, 4])
def test_known_characters_are_those_of_a_counter(min_frequency):
    tokenizer = train(char_min_frequency=min_frequency, lowercase=True)
    kept = {c for c, n in Counter("".join("".join(CORPUS).split())).items() if n >= min_frequency}
    assert tokenizer.char_vocab_size == len(kept) + 2
    assert tokenizer.init_kwargs["characters"][0] == "e"  # 8 times, "t" 4 times
    for word in ("The", "end", "😀", "Ж", LONG):
        expected = characters_of(word, min_frequency=min_frequency)
        assert tokenizer(word)["char_ids"] == [expected]


def test_special_tokens_in_the_corpus_have_no_characters():
    assert set(train(corpus=["ab <unk> </s> b"]).init_kwargs["characters"]) == set("ab")


def test_retraining_keeps_the_options_and_makes_a_new_table():
    new = train(char_min_frequency=2, max_word_length=5).train_new_from_iterator(
        ["zz zy xxx"], 50, show_progress=False
    )
    assert new.init_kwargs["characters"] == "xz" and (new.max_word_length, new.shape_vocab_size) == (
        5,
        1 + len(SHAPES),
    )
    assert new("xyz")["char_ids"] == [[2, 1, 3]]
    assert "char_ids" not in train(characters=False).train_new_from_iterator(["a"], 50, show_progress=False)("a")


@pytest.mark.parametrize(("length", "kept"), [(2, "ag"), (3, "abg"), (6, "abcefg"), (7, "abcdefg"), (9, "abcdefg")])
def test_long_words_keep_both_ends(length, kept):
    tokenizer = train(corpus=["abcdefg"], max_word_length=length)
    assert tokenizer("abcdefg")["char_ids"] == [["abcdefg".index(character) + 2 for character in kept]]


def test_words_are_forgotten_when_there_are_too_many(tokenizer):
    table = _word_table(tokenizer.init_kwargs["characters"], tokenizer.max_word_length, None)
    words = [f"w{i}" for i in range(CACHED_WORDS + 10)]
    for start in range(0, len(words), 10_000):
        found = tokenizer(words[start : start + 10_000], is_split_into_words=True)["char_ids"]
        assert found[-1] == characters_of(words[start : start + 10_000][-1])
    assert len(table) <= CACHED_WORDS
    assert tokenizer("w0")["char_ids"] == [characters_of("w0")]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("lower", ["cat", "don't", "a", "cafe\u0301", "naïf", "m²"]),
        ("upper", ["USA", "U.S.", "I", "Ü", "-LRB-", "AT&T"]),
        ("title", ["The", "Don't", "Müller", "Éa", "ǅa"]),
        ("mixed", ["iPhone", "McDonald", "New-York", "'Tis"]),
        ("digits", ["1984", "0", "٣"]),
        ("number", ["3,000", "$5", "-1", "10:30"]),
        ("alphanumeric", ["1980s", "B2B", "語1"]),
        ("punctuation", [".", "...", "$", "😀", "—", "``"]),
        ("other", ["日本語", "\u200b", "\u0301", "½", "أ"]),
    ],
)
def test_shapes(shape, words, tokenizer):
    assert [shape_of(word) for word in words] == [1 + SHAPES.index(shape)] * len(words)
    assert shape_of("") == 0 and tokenizer.shape_vocab_size == 10


# Every way to call


def assert_features(tokenizer, encoded, words, **kwargs):
    """One row of `encoded`, in lists without padding."""
    assert encoded["char_ids"] == [characters_of(word, **kwargs) for word in words]
    assert encoded["shape_ids"] == [shape_of(word) for word in words]
    assert len(encoded["input_ids"]) == len(words)


def test_texts_and_given_words(tokenizer):
    for text, encoded in zip(TEXTS, tokenizer(TEXTS)["char_ids"], strict=True):
        words = words_of(text)
        assert_features(tokenizer, tokenizer(text), words)
        assert_features(tokenizer, tokenizer(words, is_split_into_words=True), words)
        assert encoded == [characters_of(word) for word in words]
    given = [words_of(text) for text in TEXTS]
    assert dict(tokenizer(given, is_split_into_words=True)) == dict(tokenizer(TEXTS))


def test_added_tokens_have_zeros():
    tokenizer = train(add_bos_token=True, add_eos_token=True)
    encoded = tokenizer("The <s> cat", padding="max_length", max_length=7, padding_side="left")
    rows = [[], [], [], characters_of("The"), characters_of("<s>"), characters_of("cat"), []]
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"])[:3] == ["<pad>", "<pad>", "<s>"]
    assert encoded["char_ids"] == filled(rows, 7, 20)
    assert encoded["shape_ids"] == [0, 0, 0, shape_of("The"), shape_of("<s>"), shape_of("cat"), 0]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_pairs(apart, batched):
    tokenizer = train(add_eos_token=True)
    first, second = "The cat", "1984 is the end"
    a, b = (first.split(), second.split()) if apart else (first, second)
    expected = [characters_of(word) for word in first.split()], [characters_of(word) for word in second.split()]
    expected = [*expected[0], [], *expected[1], []]
    calls = [([a, a], [b, b]), ([(a, b), (a, b)],)] if batched else [(a, b), ([(a, b)],)]
    for args in calls:
        found = tokenizer(*args, is_split_into_words=apart)
        rows = found["char_ids"] if isinstance(found["input_ids"][0], list) else [found["char_ids"]]
        assert rows == [expected] * len(rows) and len(rows) == 1 + batched
        cut = tokenizer(*args, is_split_into_words=apart, truncation="only_second", max_length=6)
        rows = cut["char_ids"] if isinstance(cut["input_ids"][0], list) else [cut["char_ids"]]
        assert rows == [[*expected[:5], []]] * len(rows)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("tensors", [None, "pt", "np"])
def test_padding(tokenizer, apart, side, tensors):
    texts = [words_of(text) if apart else text for text in TEXTS]
    rows = [[characters_of(word) for word in words_of(text)] for text in TEXTS]
    T = max(map(len, rows))
    options = {"is_split_into_words": apart, "padding_side": side, "return_tensors": tensors}
    for padding, length, width in ((True, T, 20), ("max_length", 12, 20)):
        batch = tokenizer(texts, padding=padding, max_length=length if length == 12 else None, **options)
        assert np.asarray(batch["char_ids"]).tolist() == [filled(row, length, width, side) for row in rows]
        assert np.asarray(batch["shape_ids"]).astype(bool).tolist() == np.asarray(batch["attention_mask"]).tolist()
        if tensors is not None:
            assert type(batch["char_ids"]) is type(batch["input_ids"])
            assert batch["char_ids"].dtype == batch["shape_ids"].dtype == batch["input_ids"].dtype
    short = tokenizer(texts[:2], padding=True, **options)["char_ids"]
    assert np.asarray(short).shape == (2, 3, 3)  # the longest of "The cat!"


def test_tensors_without_padding_can_be_joined(tokenizer):
    for texts in ("The cat", ["The cat"], ["The cat", "the dog"]):
        batch = tokenizer(texts, return_tensors="pt")
        assert batch["char_ids"].shape == (*batch["input_ids"].shape, 20)
    assert tokenizer("", return_tensors="pt")["char_ids"].shape == (1, 1, 20)
    for tensors in ("pt", "np"):
        with pytest.raises(ValueError, match="padding=True"):
            tokenizer(["The cat", "the"], return_tensors=tensors)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_truncation_and_overflow(apart, side):
    tokenizer = train(add_bos_token=True)
    tokenizer.truncation_side = side
    text = "The cat , the McDonald in 1984 end"
    words = text.split() if apart else text
    options = {"truncation": True, "max_length": 4, "is_split_into_words": apart}
    rows = [[], *(characters_of(word) for word in (text.split()[:3] if side == "right" else text.split()[-3:]))]
    assert tokenizer(words, **options)["char_ids"] == rows
    parts = tokenizer([words, ["The"] if apart else "The"], stride=1, return_overflowing_tokens=True, **options)
    assert len(parts["input_ids"]) == len(parts["char_ids"]) > 3
    for i, (tokens, part) in enumerate(zip(parts["char_ids"], parts["input_ids"], strict=True)):
        known = [word for word in tokenizer.convert_ids_to_tokens(part) if word != "<s>"]
        assert tokens == [[], *map(characters_of, known)], i
    padded = tokenizer(
        [words], stride=1, return_overflowing_tokens=True, padding="max_length", return_tensors="pt", **options
    )
    assert padded["char_ids"].shape == (*padded["input_ids"].shape, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_give_the_text_of_their_tokens(kind):
    tokenizer = train(kind)
    for text in TEXTS:
        encoded = tokenizer(text, return_offsets_mapping=True)
        pieces = [text[start:end].strip() for start, end in encoded["offset_mapping"]]
        assert_features(tokenizer, encoded, pieces)
        if kind == "bpe":
            assert all(piece in text for piece in pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_odd_words_do_not_break_the_alignment(kind):
    options = {"split_punctuation": False} if kind == "word" else {}
    tokenizer = train(kind, **options)
    encoded = tokenizer(ODD_WORDS, is_split_into_words=True)
    of_word = {i: [] for i in range(len(ODD_WORDS))}
    for row, i in zip(encoded["char_ids"], encoded.word_ids(), strict=True):
        of_word[i].append(row)
    if kind == "word":
        for i, word in enumerate(ODD_WORDS):
            assert of_word[i] == [characters_of(part) for part in word.split()]
    for word in ODD_WORDS:
        for how in ({}, {"return_tensors": "pt"}, {"padding": True}):
            tokenizer([word], is_split_into_words=True, **how)
            tokenizer([[word], []], is_split_into_words=True, **({"padding": True} if how else {}))
    tokenizer([], is_split_into_words=True)


# Padding what was encoded before


def as_lists(value):
    return (
        value.tolist() if hasattr(value, "tolist") else [as_lists(v) if not isinstance(v, int) else v for v in value]
    )


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("tensors", ["pt", "np", None])
def test_pad_is_padding_at_once(tokenizer, side, tensors):
    options = {"padding_side": side, "return_tensors": tensors}
    features = [tokenizer(text) for text in TEXTS]
    for padding in ({"padding": True}, {"padding": "max_length", "max_length": 12}):
        expected = tokenizer(TEXTS, **padding, **options)
        for given in (features, [dict(row) for row in features], dict(tokenizer(TEXTS)), tokenizer(TEXTS)):
            padded = tokenizer.pad(given, **padding, **options)
            assert {k: as_lists(v) for k, v in padded.items()} == {k: as_lists(v) for k, v in expected.items()}
            assert {type(value) for value in padded.values()} == {type(expected["char_ids"])}
    alone = tokenizer.pad(dict(features[0]), padding="max_length", max_length=4, **options)
    assert as_lists(alone["char_ids"]) == filled([characters_of(w) for w in words_of(TEXTS[0])], 4, 20, side)
    assert dict(tokenizer.pad(dict(features[0]), padding=False)) == dict(features[0])


def test_pad_takes_tensors_and_trims(tokenizer):
    features = [{k: v[0] for k, v in tokenizer(text, return_tensors="pt").items()} for text in ("The cat", "a")]
    padded = tokenizer.pad(features)
    assert padded["char_ids"].tolist() == tokenizer(["The cat", "a"], padding=True)["char_ids"]
    assert tokenizer.pad([tokenizer("")], return_tensors="pt")["char_ids"].shape == (1, 1, 20)


def test_collators(tokenizer):
    features = [tokenizer(text) for text in ("The cat", "1984")]
    batch = DataCollatorWithPadding(tokenizer)(features)
    expected = tokenizer(["The cat", "1984"], padding=True, return_tensors="pt")
    assert batch.keys() == expected.keys() and all(torch.equal(batch[key], expected[key]) for key in expected)
    labelled = [{**row, "labels": [1] * len(row["input_ids"])} for row in features]
    batch = DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=4)(labelled)
    assert batch["labels"].tolist() == [[1, 1, -100, -100], [1, -100, -100, -100]]
    assert batch["char_ids"].shape == (2, 4, 4) and torch.equal(batch["char_ids"][:, :2], expected["char_ids"])


class SumTagger(PreTrainedModel):
    """Label 1 for words whose character ids have an odd sum, 0 otherwise."""

    config_class = LSTMConfig

    def __init__(self, config):
        super().__init__(config)
        self.unused = nn.Linear(1, 1)
        self.post_init()

    def forward(self, input_ids, char_ids, shape_ids, attention_mask=None):
        odd = char_ids.sum(-1) % 2 + 0 * shape_ids
        return TokenClassifierOutput(logits=10.0 * nn.functional.one_hot(odd, 2))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_pipeline(tokenizer, batch_size):
    texts = [text for text in TEXTS if text] * 2
    tag = TokenClassificationPipeline(
        model=SumTagger(LSTMConfig(num_labels=2)), tokenizer=tokenizer, ignore_labels=[], device="cpu"
    )
    for text, found in zip(texts, tag(texts, batch_size=batch_size), strict=True):
        expected = [f"LABEL_{sum(characters_of(word)) % 2}" for word in words_of(text)]
        assert [token["entity"] for token in found] == expected


# Saving, copying, options


def test_without_the_options_nothing_changes(tmp_path):
    plain = train(characters=False, word_shapes=False)
    assert plain.model_input_names == ["input_ids", "attention_mask"]
    assert (plain.char_vocab_size, plain.shape_vocab_size, plain.max_word_length) == (0, 0, 0)
    assert set(plain("The cat")) == {"input_ids", "attention_mask"}
    plain.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert not {"characters", "max_word_length", "char_min_frequency", "model_input_names"} & set(saved)


@pytest.mark.parametrize(("characters", "shapes"), [(True, False), (False, True)])
def test_one_without_the_other(characters, shapes):
    tokenizer = train(characters=characters, word_shapes=shapes)
    expected = {"input_ids", "attention_mask"} | ({"char_ids"} if characters else {"shape_ids"})
    for batch in (tokenizer(TEXTS, padding=True, return_tensors="pt"), tokenizer.pad(tokenizer(TEXTS))):
        assert set(batch) == set(tokenizer.model_input_names) == expected
    assert bool(tokenizer.char_vocab_size) is characters and bool(tokenizer.shape_vocab_size) is shapes
    assert bool(tokenizer.max_word_length) is characters


def facts(tokenizer):
    names = ("char_vocab_size", "shape_vocab_size", "max_word_length", "model_input_names")
    return [*(getattr(tokenizer, name) for name in names), *(dict(tokenizer(text)) for text in TEXTS)]


def test_saved_copied_and_pickled(tokenizer, tmp_path):
    before = Hasher.hash(tokenizer)
    tokenizer("words never seen before")
    assert Hasher.hash(tokenizer) == before  # `datasets` finds what it has computed with it
    tokenizer.save_pretrained(tmp_path)
    copies = [load.from_pretrained(tmp_path) for load in (LSTMTokenizer, AutoTokenizer)]
    copies += [copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))]
    assert all(facts(other) == facts(tokenizer) for other in copies)
    plain = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert all(plain(text)["input_ids"] == tokenizer(text)["input_ids"] for text in TEXTS)


REMOTE = """
import json, sys

sys.modules["hf_lstm"] = None  # makes `import hf_lstm` fail
from transformers import AutoTokenizer

texts = json.load(sys.stdin)
first = AutoTokenizer.from_pretrained("saved", trust_remote_code=True)
first.save_pretrained("again")
names = ("char_vocab_size", "shape_vocab_size", "max_word_length", "model_input_names")
for tokenizer in (first, AutoTokenizer.from_pretrained("again", trust_remote_code=True)):
    rows = [dict(tokenizer(text)) for text in texts]
    print("REPORT" + json.dumps([*(getattr(tokenizer, name) for name in names), *rows]))
"""


@pytest.mark.slow
def test_loads_where_the_package_is_not_installed(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "saved")
    (tmp_path / "remote.py").write_text(REMOTE)
    run = subprocess.run(
        [sys.executable, "remote.py"],
        input=json.dumps(TEXTS),
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    reports = [json.loads(line.removeprefix("REPORT")) for line in run.stdout.splitlines() if "REPORT" in line]
    assert reports == [facts(tokenizer)] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"characters": False, "max_word_length": 9}, r"`max_word_length` is 9 without characters.*characters=True"),
        ({"characters": False, "char_min_frequency": 2}, r"`char_min_frequency` is 2 without characters"),
        ({"max_word_length": 1}, r"`max_word_length` is 1: give a whole number from 2 up"),
        ({"char_min_frequency": 0}, r"`char_min_frequency` is 0: give a whole number from 1 up"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""`LSTMTokenizer`: what was saved is what is loaded, anywhere; the options do what they say; bad input is refused."""

import ast
import doctest
import json
import pickle
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from processes import environment
from transformers import AutoTokenizer, DataCollatorForTokenClassification, PreTrainedTokenizerFast, TextStreamer

from hf_lstm import LSTMTokenizer


KINDS = ("word", "char", "bpe", "unigram", "wordpiece")
CORPUS = [
    "Hello, world! Don't panic... Ünï 日本語 café\n",
    "  two  spaces, and 2024 digits 😀\n",
    "The cat sat on the mat; the dog sat on the <unk> log.\n",
    "Le chat était assis, naïf: cafe\u0301 et ﬁn.\r\n",
] * 3
NASTY = "Hello,  wörld!\n\nDon't 1984 日本語 café cafe\u0301 😀🤖\tİstanbul ﬁn <s>the cat</s>\r\n  end "
TEXTS = [*CORPUS, NASTY, "", " ", "\n", "the\u00a0cat\u200b sat", "a" * 150]
MASK = "attention_mask"


def train(kind, corpus=CORPUS, **options):
    return LSTMTokenizer.train_from_iterator(corpus, kind, show_progress=False, **{"vocab_size": 500, **options})


@pytest.fixture(scope="module")
def tokenizers():
    """A tokenizer of each kind, to be left as it is."""
    return {kind: train(kind, extra_special_tokens=["<|user|>"]) for kind in KINDS}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def ids(tokenizer, texts=TEXTS, **kwargs):
    return [tokenizer(text, **kwargs)["input_ids"] for text in texts]


# What was saved is what is loaded


OPTIONS = {
    "word": {"lowercase": True, "fold_digits": True, "keep_newlines": True, "split_punctuation": False},
    "char": {"lowercase": True, "min_frequency": 4},
    "bpe": {"add_prefix_space": True, "fold_digits": True, "min_frequency": 3},
    "unigram": {"lowercase": True, "fold_digits": True},
    "wordpiece": {"keep_newlines": True, "lowercase": True},
}


@pytest.mark.parametrize("with_options", [False, True])
def test_saved_is_loaded(kind, with_options, tmp_path):
    tokenizer = train(kind, **(OPTIONS[kind] if with_options else {}))
    tokenizer.save_pretrained(tmp_path / "a")
    expected = ids(tokenizer)
    for load in (LSTMTokenizer, AutoTokenizer):
        loaded = load.from_pretrained(tmp_path / "a")
        assert type(loaded) is LSTMTokenizer
        assert ids(loaded) == expected
        assert loaded.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
        assert [loaded.decode(i) for i in expected] == [tokenizer.decode(i) for i in expected]
        assert loaded.special_tokens_map == tokenizer.special_tokens_map
        loaded.save_pretrained(tmp_path / "b")
        again = LSTMTokenizer.from_pretrained(tmp_path / "b")
        assert ids(again) == expected and len(again) == len(tokenizer)
    for name in ("tokenizer.json", "tokenization_lstm.py"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_plain_transformers_reads_the_same_ids(tokenizers, kind, tmp_path):
    tokenizers[kind].save_pretrained(tmp_path)
    plain = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert ids(plain) == ids(tokenizers[kind])
    assert set(plain("a")) == {"input_ids", MASK}


REMOTE = """
import json, sys

sys.modules["hf_lstm"] = None  # makes `import hf_lstm` fail
from transformers import AutoTokenizer, PreTrainedTokenizerFast

texts, folders = json.loads(sys.stdin.read())
report = {}
for kind, folder in folders.items():
    remote = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    remote.save_pretrained(folder + "-again")
    again = AutoTokenizer.from_pretrained(folder + "-again", trust_remote_code=True)
    retrained = again.train_new_from_iterator(texts, 600, show_progress=False)
    try:
        AutoTokenizer.from_pretrained(folder)
        refused = False
    except ValueError as error:
        refused = "trust_remote_code" in str(error)
    report[kind] = {
        "class": [type(remote).__name__, type(remote).__module__.split(".")[0], type(again).__name__],
        "remote": [remote(text)["input_ids"] for text in texts],
        "again": [again(text)["input_ids"] for text in texts],
        "plain": [PreTrainedTokenizerFast.from_pretrained(folder)(text)["input_ids"] for text in texts],
        "kind": retrained.init_kwargs["kind"],
        "refused": refused,
    }
print("REPORT" + json.dumps(report))
"""


@pytest.mark.slow
def test_loads_where_the_package_is_not_installed(tokenizers, tmp_path):
    folders = {kind: str(tmp_path / kind) for kind in KINDS}
    for kind, folder in folders.items():
        tokenizers[kind].save_pretrained(folder)
    (tmp_path / "remote.py").write_text(REMOTE)
    run = subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-B", "remote.py"],
        input=json.dumps([TEXTS, folders]),
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout[run.stdout.index("REPORT") + len("REPORT") :])
    for kind in KINDS:
        expected = ids(tokenizers[kind])
        assert report[kind]["class"] == ["LSTMTokenizer", "transformers_modules", "LSTMTokenizer"]
        assert report[kind]["kind"] == kind
        assert report[kind]["refused"]
        for how in ("remote", "again", "plain"):
            assert report[kind][how] == expected, (kind, how)


def test_travelling_file_stands_alone():
    path = sys.modules[LSTMTokenizer.__module__].__file__
    tree = ast.parse(Path(path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            travels = node.module in ("characters", "piece_alignment", "saving", "words")
            assert node.level == travels and node.module.split(".")[0] != "hf_lstm"
        if isinstance(node, ast.ClassDef):
            assert not any(isinstance(item, ast.FunctionDef) and item.name == "__init__" for item in node.body)


def test_settings_are_saved(tmp_path):
    tokenizer = train("bpe")
    tokenizer.padding_side, tokenizer.truncation_side, tokenizer.model_max_length = "left", "left", 64
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.padding_side, loaded.truncation_side, loaded.model_max_length) == ("left", "left", 64)
    assert loaded.chat_template == tokenizer.chat_template


def test_settings_of_one_call_are_not_saved(tmp_path):
    tokenizer = train("word")
    before = tokenizer.backend_tokenizer.to_str()
    tokenizer(TEXTS, padding=True, truncation=True, max_length=3, padding_side="left")
    tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text()) == json.loads(before)
    assert LSTMTokenizer.from_pretrained(tmp_path).padding_side == "right"


# Special tokens, padding, truncation, chat


def test_special_tokens_come_first(tokenizers, kind):
    tokenizer = tokenizers[kind]
    specials = ["<pad>", "<unk>", "<s>", "</s>", "<|user|>"]
    assert tokenizer.convert_tokens_to_ids(specials) == [0, 1, 2, 3, 4]
    assert [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id] == [
        0,
        1,
        2,
        3,
    ]
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))  # no id is missing or used twice
    assert tokenizer.vocab_size == len(tokenizer)
    assert tokenizer.all_special_tokens == tokenizers["char"].all_special_tokens
    assert tokenizer("<s><|user|></s>")["input_ids"] == [2, 4, 3]


@pytest.mark.parametrize(("bos", "eos"), [(False, False), (True, False), (False, True), (True, True)])
def test_bos_and_eos(tokenizers, bos, eos, tmp_path):
    def expected(text):
        return [2] * bos + tokenizers["bpe"](text)["input_ids"] + [3] * eos

    tokenizer = train("bpe", extra_special_tokens=["<|user|>"], add_bos_token=bos, add_eos_token=eos)
    tokenizer.save_pretrained(tmp_path)
    loaded = LSTMTokenizer.from_pretrained(tmp_path)
    switched = train("bpe", extra_special_tokens=["<|user|>"])
    switched.add_bos_token, switched.add_eos_token = bos, eos
    for t in (tokenizer, loaded, switched, tokenizer.train_new_from_iterator(CORPUS, 500, show_progress=False)):
        assert (t.add_bos_token, t.add_eos_token) == (bos, eos)
        assert ids(t) == [expected(text) for text in TEXTS]
        assert ids(t, add_special_tokens=False) == ids(tokenizers["bpe"])
    loaded.add_eos_token = not eos  # setting one leaves the other
    assert loaded("The cat")["input_ids"][:1] == expected("The cat")[:1]
    assert (loaded("The cat")["input_ids"][-1] == 3) is (not eos)
    assert LSTMTokenizer.from_pretrained(tmp_path, add_bos_token=True)("")["input_ids"] == [2] + [3] * eos


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_truncation(tokenizers, kind, side):
    tokenizer, texts = tokenizers[kind], ["the cat sat on the mat", "the cat"]
    long, short = ids(tokenizer, texts)
    batch = tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")
    gap = [0] * (len(long) - len(short))
    assert set(batch) == {"input_ids", MASK}
    assert batch["input_ids"].tolist() == [long, gap + short if side == "left" else short + gap]
    assert batch[MASK].sum(1).tolist() == [len(long), len(short)]
    assert batch["input_ids"][batch[MASK] == 0].tolist() == gap
    tokenizer.truncation_side = side
    assert tokenizer(texts[0], truncation=True, max_length=2)["input_ids"] == (
        long[-2:] if side == "left" else long[:2]
    )
    tokenizer.truncation_side = "right"
    assert tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True) == [
        tokenizer.decode(i) for i in (long, short)
    ]


def test_collator_pads_tags(tokenizers):
    rows = [tokenizers["word"](words, is_split_into_words=True) for words in (["the", "cat", "sat"], ["the"])]
    features = [{**row, "labels": [1] * len(row["input_ids"])} for row in rows]
    batch = DataCollatorForTokenClassification(tokenizers["word"])(features)
    assert batch["labels"].tolist() == [[1, 1, 1], [1, -100, -100]]


def test_chat_template(tokenizers, kind, tmp_path):
    tokenizers[kind].save_pretrained(tmp_path)
    tokenizer = LSTMTokenizer.from_pretrained(tmp_path)
    tokenizer.chat_template = "{% for m in messages %}<|user|>{{ m.content }}{{ eos_token }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    messages = [{"role": "user", "content": "the cat sat"}, {"role": "user", "content": "on the mat"}]
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.apply_chat_template(messages, tokenize=False) == "<|user|>the cat sat</s><|user|>on the mat</s>"
    chat = loaded.apply_chat_template(messages)["input_ids"]
    assert chat == [4, *loaded("the cat sat")["input_ids"], 3, 4, *loaded("on the mat")["input_ids"], 3]


# Text and ids


def test_offsets_are_of_the_original_text(kind):
    tokenizer = train(kind, lowercase=True, fold_digits=True)
    encoding = tokenizer(NASTY, return_offsets_mapping=True)
    reached = 0
    rows = zip(encoding["input_ids"], encoding.tokens(), encoding["offset_mapping"], strict=True)
    for token_id, token, (start, end) in rows:
        assert 0 <= start <= end <= len(NASTY)
        assert NASTY[reached:start].strip() == ""  # only white space is skipped
        reached = max(reached, end)
        span = re.sub(r"\d", "0", NASTY[start:end].replace("İ", "I").lower())
        token = tokenizer.decode([token_id]) if kind == "bpe" else token.removeprefix("##").replace("▁", " ")
        if token != "<unk>" and "\ufffd" not in token:  # a part of a character decodes to U+FFFD
            assert token.strip() in span and len(NASTY[start:end].strip()) <= len(token)
    assert NASTY[reached:].strip() == ""


def test_words_given_apart(tokenizers, kind):
    words = ["The", "cat", "sat", ",", "café", "2024", "zzz"]
    encoding = tokenizers[kind](words, is_split_into_words=True, return_offsets_mapping=True)
    assert sorted(set(encoding.word_ids())) == list(range(len(words)))
    assert encoding.word_ids() == sorted(encoding.word_ids())
    for i, word in enumerate(words):
        spans = [s for s, w in zip(encoding["offset_mapping"], encoding.word_ids(), strict=True) if w == i]
        assert (spans[0][0], spans[-1][1]) == (0, len(word))


def test_one_id_per_given_word():
    words = ["U.S.", "don't", "3,000", "the"]
    tokenizer = train("word", [words], split_punctuation=False)
    assert tokenizer(words, is_split_into_words=True).word_ids() == [0, 1, 2, 3]
    assert tokenizer.unk_token_id not in tokenizer(words, is_split_into_words=True)["input_ids"]


def test_prefix_space_makes_given_words_those_of_a_text():
    tokenizer = train("bpe", add_prefix_space=True)
    text = "The cat sat on the mat"
    assert tokenizer(text.split(), is_split_into_words=True)["input_ids"] == tokenizer(text)["input_ids"]
    assert tokenizer.add_prefix_space is True


def test_byte_level_decodes_any_text(tokenizers):
    every = [chr(code) for code in [*range(0xD800), *range(0xE000, 0x11000), *range(0x1F300, 0x1F700)]]
    texts = [*TEXTS, "".join(every), "\r\n \n\t  x  ", "한국어 العربية \u202e"]
    for text in texts:
        encoded = tokenizers["bpe"](text)["input_ids"]
        assert tokenizers["bpe"].decode(encoded) == text
        assert 1 not in encoded or "<unk>" in text


def test_characters_decode_to_the_text():
    tokenizer = train("char", TEXTS)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    plain = [text for text in TEXTS if "<" not in text] + ["the\n\n\ncat"]
    assert [len(i) for i in ids(tokenizer, plain)] == [len(text) for text in plain]  # one id a code point
    assert tokenizer.convert_ids_to_tokens(tokenizer("tЖt")["input_ids"]) == ["t", "<unk>", "t"]


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("word", {}, "Hello , world ! the cat sat"),
        ("word", {"keep_newlines": True}, "Hello , world !\n\nthe cat sat"),
        ("unigram", {}, "Hello, world!\n\nthe cat  sat"),
        ("wordpiece", {}, "Hello, world! the cat sat"),
        ("wordpiece", {"keep_newlines": True}, "Hello, world!\n\nthe cat sat"),
    ],
)
def test_decoding(kind, options, expected):
    tokenizer = train(kind, **options)
    text = "Hello, world!\n\nthe cat  sat"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == expected
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == expected


def test_newline_is_a_token_even_if_the_corpus_has_none(tmp_path):
    tokenizer = train("word", ["the cat sat", "the dog sat"], keep_newlines=True, vocab_size=7, min_frequency=2)
    assert tokenizer.vocab_size == len(tokenizer) == 7  # the model needs no more rows than `vocab_size`
    assert tokenizer.convert_ids_to_tokens(tokenizer("the\nsat")["input_ids"]) == ["the", "\n", "sat"]
    assert "\n" not in tokenizer.all_special_tokens


def test_streaming(tokenizers, kind, capsys):
    tokenizer, text = tokenizers[kind], "the cat sat on the mat\nthe dog sat on the log"
    streamer = TextStreamer(tokenizer, skip_special_tokens=True)
    encoded = tokenizer(text)["input_ids"]
    for token in [2, *encoded, 3]:
        streamer.put(tokenizer(text, return_tensors="pt")["input_ids"].new_tensor([token]))
    streamer.end()
    assert capsys.readouterr().out == tokenizer.decode(encoded) + "\n"


# Training: options against slow references, retraining


@pytest.mark.parametrize("min_frequency", [None, 1, 2, 4])
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("fold_digits", [False, True])
@pytest.mark.parametrize("split_punctuation", [None, False])
def test_word_vocabulary_is_that_of_a_counter(min_frequency, lowercase, fold_digits, split_punctuation):
    corpus = ["The cat, the cat; THE 12 34 99 cats!", "A cat <unk> the dog 56... the dog", "the end (of 7) A a"]
    options = {"min_frequency": min_frequency, "lowercase": lowercase, "fold_digits": fold_digits}
    tokenizer = train("word", corpus, split_punctuation=split_punctuation, **options)

    def words(text):
        text = text.lower() if lowercase else text
        text = re.sub(r"\d", "0", text) if fold_digits else text
        return text.split() if split_punctuation is False else re.findall(r"\w+|[^\w\s]+", text)

    counts = Counter(word for text in corpus for word in words(text.replace("<unk>", " ")))
    kept = {word for word, count in counts.items() if count >= (min_frequency or 1)}
    assert set(tokenizer.get_vocab()) == kept | {"<pad>", "<unk>", "<s>", "</s>"}
    text = "The CAT, sat: 12 77 of <unk> dogs... end"
    tokens = [word if word in kept else "<unk>" for word in words(text.replace("<unk>", "UNKNOWN"))]
    assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == tokens


@pytest.mark.parametrize("kind", ["word", "char"])
def test_vocab_size_keeps_the_most_frequent(kind):
    corpus = ["a a a a a b b b b c c c d d e"]
    assert set(train(kind, corpus, vocab_size=7).get_vocab()) == {"<pad>", "<unk>", "<s>", "</s>"} | (
        set("abc") if kind == "word" else {" ", "a", "b"}
    )


def test_vocab_size_is_an_upper_bound(kind):
    corpus = [f"word{i} and w{i % 7}ord {i * i}" for i in range(300)]
    bound = len(train(kind, corpus, vocab_size=5000)) - 3
    assert len(train(kind, corpus, vocab_size=bound)) <= bound


def test_special_tokens_in_the_corpus_are_not_words(kind):
    tokenizer = train(kind, ["the <unk> cat </s> <unk> <unk> N <pad> sat <unk>"] * 5)
    assert tokenizer("<unk>")["input_ids"] == [1] and tokenizer("</s>")["input_ids"] == [3]
    if kind != "bpe":  # whose alphabet is all bytes
        assert not set("<>/") & set("".join(tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens)))
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


def test_files_and_iterators_train_the_same(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, texts in zip(paths, (CORPUS[:6], CORPUS[6:]), strict=True):
        path.write_bytes("".join(texts).encode())
    for kind in ("word", "char", "bpe"):  # the trainers that are deterministic
        from_files = LSTMTokenizer.train_from_files(paths, kind, vocab_size=500, show_progress=False)
        assert from_files.get_vocab() == train(kind).get_vocab()
        assert train(kind, iter([CORPUS[:5], CORPUS[5:]])).get_vocab() == train(kind).get_vocab()  # batches
    one = LSTMTokenizer.train_from_files(str(paths[0]), kind="word", show_progress=False)
    assert one.get_vocab() == train("word", CORPUS[:6]).get_vocab()


@pytest.mark.parametrize("reload", [False, True])
def test_train_new_from_iterator(kind, reload, tmp_path):
    tokenizer = train(kind, extra_special_tokens=["<|user|>"], add_eos_token=True, **OPTIONS[kind])
    tokenizer.padding_side, tokenizer.chat_template = "left", "{{ messages }}"
    if reload:
        tokenizer.save_pretrained(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    corpus = ["A new corpus: words 12, words 34,\nother Words\n" * 9, "rare\n"]
    new = tokenizer.train_new_from_iterator(iter([corpus]), 400, show_progress=False)
    fresh = train(kind, corpus, vocab_size=400, extra_special_tokens=["<|user|>"], add_eos_token=True, **OPTIONS[kind])
    assert type(new) is LSTMTokenizer
    if kind not in ("unigram", "wordpiece"):  # whose trainers are not deterministic
        assert new.backend_tokenizer.to_str() == fresh.backend_tokenizer.to_str()
    pipeline, expected = (json.loads(t.backend_tokenizer.to_str()) for t in (new, fresh))
    for part in ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"):
        assert pipeline[part] == expected[part]
    assert new.special_tokens_map == fresh.special_tokens_map
    assert new.extra_special_tokens == ["<|user|>"]
    assert (new.padding_side, new.chat_template) == ("left", "{{ messages }}")
    assert new("words 12 <|user|>")["input_ids"][-2:] == [4, 3]


def test_retraining_can_rename_and_add_special_tokens():
    tokenizer = train("word", min_frequency=2)
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    rename = {"<unk>": "[UNK]", "</s>": "[END]"}
    new = tokenizer.train_new_from_iterator(
        ["a a b"], 20, new_special_tokens=["<x>"], special_tokens_map=rename, min_frequency=1, show_progress=False
    )
    assert new.get_vocab() == {"<pad>": 0, "[UNK]": 1, "<s>": 2, "[END]": 3, "<mask>": 4, "<x>": 5, "a": 6, "b": 7}
    assert (new.unk_token, new.eos_token, new.mask_token) == ("[UNK]", "[END]", "<mask>")
    assert new("zzz <x>")["input_ids"] == [1, 5]
    assert tokenizer.unk_token == "<unk>" and "a" not in tokenizer.get_vocab()  # the old one stays as it was
    with pytest.raises(ValueError, match=r"`min_frequency` is 2.*lower it"):
        tokenizer.train_new_from_iterator(["a b c"], 20, show_progress=False)


# Bad input


@pytest.mark.parametrize(
    ("corpus", "options", "message"),
    [
        (CORPUS, {"kind": "words"}, r"`kind` is 'words': choose one of 'word', 'char', 'bpe'"),
        ("a bare string", {}, r"`iterator` is 'a bare string'.*train_from_files"),
        (5, {}, r"`iterator` is 5"),
        ({"text": CORPUS}, {}, r"`iterator` is \{'text'"),
        ([], {}, r"`iterator` holds no text"),
        ([" ", "\n", "<unk>"], {}, r"`iterator` holds no text"),
        (["a", None], {}, r"`iterator` holds None: give strings"),
        ([{"text": "a"}], {}, r"`iterator` holds \{'text': 'a'\}: give strings"),
        (CORPUS, {"vocab_size": 4}, r"`vocab_size` is 4: give a whole number above 4"),
        (CORPUS, {"vocab_size": "big"}, r"`vocab_size` is 'big'"),
        (CORPUS, {"vocab_size": 250}, r"`vocab_size` is 250, too small.*raise it to 260"),
        (CORPUS, {"kind": "unigram", "vocab_size": 10}, r"`vocab_size` is 10, too small"),
        (CORPUS, {"kind": "wordpiece", "vocab_size": 20}, r"`vocab_size` is 20, too small"),
        (
            CORPUS,
            {"kind": "unigram", "min_frequency": 2},
            r"`min_frequency` is 2, but `kind=\"unigram\"`.*leave it out",
        ),
        (CORPUS, {"kind": "char", "split_punctuation": False}, r"`split_punctuation` is False.*`kind=\"word\"`"),
        (CORPUS, {"kind": "bpe", "keep_newlines": True}, r"`keep_newlines` is True"),
        (CORPUS, {"kind": "word", "add_prefix_space": True}, r"`add_prefix_space` is True"),
        (CORPUS, {"min_frequency": 0}, r"`min_frequency` is 0: give a whole number from 1"),
        (CORPUS, {"kind": "word", "min_frequency": 999}, r"`min_frequency` is 999, and nothing"),
        (CORPUS, {"unk_token": ""}, r"`unk_token` holds ''"),
        (CORPUS, {"pad_token": None}, r"`pad_token` holds None"),
        (CORPUS, {"extra_special_tokens": "<x>"}, r"`extra_special_tokens` is the single string '<x>'"),
    ],
)
def test_bad_input_is_refused(corpus, options, message):
    with pytest.raises(ValueError, match=message):
        train(**{"kind": "bpe", "corpus": corpus, **options})


def test_misspelt_options_are_refused(tokenizers, tmp_path):
    with pytest.raises(TypeError, match="min_freq"):
        train("word", min_freq=2)
    with pytest.raises(TypeError, match="min_freq"):
        (tmp_path / "a.txt").write_text("a")
        LSTMTokenizer.train_from_files(tmp_path / "a.txt", min_freq=2)
    with pytest.raises(TypeError, match="min_freq"):
        tokenizers["word"].train_new_from_iterator(CORPUS, 100, min_freq=2)
    with pytest.raises(ValueError, match=r"`special_tokens_map` renames \['<unknown>'\]"):
        tokenizers["word"].train_new_from_iterator(CORPUS, 100, special_tokens_map={"<unknown>": "x"})
    with pytest.raises(ValueError, match=r"`min_frequency` is 2"):
        tokenizers["unigram"].train_new_from_iterator(CORPUS, 100, min_frequency=2)


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`files` names .*nowhere\.txt', which is not a file"):
        LSTMTokenizer.train_from_files([tmp_path / "nowhere.txt"])
    with pytest.raises(ValueError, match=r"`iterator` holds no text"):
        LSTMTokenizer.train_from_files([], show_progress=False)


def test_a_tokenizer_trained_elsewhere_loads_and_is_not_retrained(tmp_path):
    backend = train("bpe").backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>").save_pretrained(tmp_path)
    tokenizer = LSTMTokenizer.from_pretrained(tmp_path)
    assert ids(tokenizer) == ids(train("bpe"))
    with pytest.raises(ValueError, match="`kind` is None"):
        tokenizer.train_new_from_iterator(CORPUS, 100)


def test_docstring_example():
    example = doctest.DocTestFinder(recurse=False).find(LSTMTokenizer, globs={})[0]
    example.examples[-1].want = example.examples[-1].want.replace("```\n", "")
    assert doctest.DocTestRunner().run(example) == (0, 5)


# Options at loading, Unicode, and what is given in place of text


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("load", [LSTMTokenizer, AutoTokenizer])
def test_prefix_space_is_changed_at_loading_and_later(load, trained, tmp_path):
    corpus = ["low lower newest"] * 4
    train("bpe", corpus, add_prefix_space=trained).save_pretrained(tmp_path / "a")
    for wanted in (True, False):
        loaded = load.from_pretrained(tmp_path / "a", add_prefix_space=wanted)
        loaded.save_pretrained(tmp_path / "b")
        switched = load.from_pretrained(tmp_path / "a")
        assert switched.add_prefix_space is trained
        switched.add_prefix_space = wanted
        retrained = loaded.train_new_from_iterator(corpus, 500, show_progress=False)
        for each in (loaded, load.from_pretrained(tmp_path / "b"), switched, retrained):
            assert each.add_prefix_space is wanted
            assert "".join(each.tokenize("low")) == ("Ġlow" if wanted else "low")


TRAINED = {
    "kind": "char",
    "vocab_size": 77,
    "min_frequency": 9,
    "lowercase": True,
    "do_lower_case": True,
    "fold_digits": True,
    "unicode_normalizer": "nfc",
    "split_punctuation": False,
    "keep_newlines": True,
    "characters": True,
    "char_min_frequency": 2,
    "word_shapes": True,
    "context_tokenizer": "characters",
    "strip_accents": True,
    "add_prefix_space": True,
    "max_word_length": 9,
    "padding_side": "middle",
}


@pytest.mark.parametrize("name", TRAINED)
def test_what_depends_on_training_is_refused_at_loading(name, tokenizers, tmp_path):
    tokenizers["word"].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="Padding side" if name == "padding_side" else f"`{name}` is"):
        AutoTokenizer.from_pretrained(tmp_path, **{name: TRAINED[name]})


def test_what_holds_already_is_no_change(tmp_path):
    options = {"lowercase": True, "fold_digits": True, "split_punctuation": False, "keep_newlines": True}
    tokenizer = train("word", unicode_normalizer="nfc", characters=True, word_shapes=True, **options)
    tokenizer.save_pretrained(tmp_path)
    same = options | {"kind": "word", "unicode_normalizer": "nfc", "characters": True, "word_shapes": True}
    loaded = LSTMTokenizer.from_pretrained(tmp_path, do_lower_case=True, strip_accents=None, **same)
    assert ids(loaded) == ids(tokenizer)
    loaded = LSTMTokenizer.from_pretrained(tmp_path, max_word_length=4, padding_side="left", model_max_length=2)
    batch = loaded(["the abcdefgh cat", "x"], padding=True, truncation=True, return_tensors="pt")
    assert batch["char_ids"].shape == (2, 2, 4) and batch[MASK].tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("form", ["NFC", "nfd", "NFKC", "nfkd"])
def test_forms_of_unicode(kind, form, tmp_path):
    """Texts of one form in Unicode's own sense have the ids of one, and the offsets of their own letters."""
    text = "ﬁn cafe\u0301 Zoë nai\u0308ve 각 \u1100\u1161\u11a8 ở"
    tokenizer = train(kind, [text] * 3, unicode_normalizer=form, characters=True)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for each in (tokenizer, loaded, loaded.train_new_from_iterator([text] * 3, 500, show_progress=False)):
        expected = each(unicodedata.normalize(form.upper(), text))
        for other in ("NFC", "NFD"):
            given = unicodedata.normalize(other, unicodedata.normalize(form.upper(), text))
            found = each(given, return_offsets_mapping=True)
            assert found["input_ids"] == expected["input_ids"]
            if kind == "word":  # tokens of other kinds may end within a letter
                assert found["char_ids"] == expected["char_ids"]
                assert [given[start:end] for start, end in found["offset_mapping"]] == given.split()
                apart = each(given.split(), is_split_into_words=True)
                assert apart["char_ids"] == expected["char_ids"]
    with pytest.raises(ValueError, match="`unicode_normalizer` is 'utf-8'"):
        train(kind, unicode_normalizer="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("می\u200cخواهم بروم", ["می\u200cخواهم", "بروم"]),  # Persian: the non-joiner
        ("ශ්\u200dරී ලංකා", ["ශ්\u200dරී", "ලංකා"]),  # Sinhala: the joiner
        ("co\u00adoperate, foo\u200bbar", ["co\u00adoperate", ",", "foo\u200bbar"]),
        ("a\u200c b\u00ad! \u200b", ["a", "b", "!"]),  # at the edge of a word they are nothing
        ("👨\u200d👩\u200d👧 ok", ["👨\u200d👩\u200d👧", "ok"]),
        ("ខ្ញុំ\u200bចូល", ["ខ្ញុំ", "ចូល"]),  # Khmer: it stands for the blank
    ],
    ids=ascii,
)
def test_marks_within_words(text, expected):
    tokenizer = train("word", [text])
    assert tokenizer.tokenize(text) == expected


def test_no_vocabulary_and_no_text(tokenizers, tmp_path):
    for build in (LSTMTokenizer, lambda: LSTMTokenizer(["a text"]), lambda: LSTMTokenizer.from_pretrained(tmp_path)):
        with pytest.raises(ValueError, match=r"no vocabulary.*train_from_iterator.*from_pretrained"):
            build()
    for wrong in ([], [["the", "cat", "sat"]], ["a", None], [1, 2]):
        with pytest.raises(ValueError, match=r"`text` is|text input must be"):
            tokenizers["word"](wrong)
    assert pickle.loads(pickle.dumps(tokenizers["word"])).get_vocab() == tokenizers["word"].get_vocab()

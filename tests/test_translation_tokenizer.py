# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
`TranslationTokenizer`: each side is the tokenizer that it would be alone, in every call; one folder has both, and
loads anywhere. A shared vocabulary and BPE-dropout: any text comes back.
"""

import copy
import doctest
import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from huggingface_hub import HfApi, RepoUrl
from processes import environment
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, DataCollatorForSeq2Seq, PreTrainedTokenizerFast, TextStreamer
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from hf_lstm import LSTMTokenizer, TranslationTokenizer


SOURCES = ["The cat sat on the mat.", "A dog, too!  It sat; the cat ran.", "the dog ran"]
TARGETS = ["猫坐在垫子上。", "一只狗也是！它 坐着；猫跑了。", "狗跑 了"]
PAIRS = list(zip(SOURCES, TARGETS, strict=True))
NAMES = {"input_ids", "attention_mask"}
FILES = {"tokenizer.json", "tokenizer_config.json", "target-tokenizer.json", "target-tokenizer_config.json"}
OWN = ("tokenization_translation", "tokenization_lstm", "characters", "piece_alignment", "words", "saving")
FILES |= {f"{name}.py" for name in OWN}


def train_one(texts, kind="bpe", **options):
    return LSTMTokenizer.train_from_iterator(texts, kind, **{"vocab_size": 300, "show_progress": False, **options})


def train(pairs=PAIRS, kind="bpe", **options):
    options = {"vocab_size": 300, "target_kind": "char", "show_progress": False, **options}
    return TranslationTokenizer.train_from_iterator(pairs, kind, **options)


@pytest.fixture(scope="module")
def tokenizer():
    """English in byte pairs, Chinese in characters; to be left as it is."""
    return train()


@pytest.fixture(scope="module")
def sides():
    """What the sides are alone."""
    return train_one(SOURCES, add_eos_token=True), train_one(TARGETS, "char", add_eos_token=True)


# Each side is what it would be alone


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
@pytest.mark.parametrize("target_kind", ["word", "char", "bpe"])
def test_sides_are_those_that_were_trained_alone(kind, target_kind):
    both = train(kind=kind, target_kind=target_kind, vocab_size=400, target_vocab_size=290)
    source = train_one(SOURCES, kind, vocab_size=400, add_eos_token=True)
    target = train_one(TARGETS, target_kind, vocab_size=290, add_eos_token=True)
    assert both.get_vocab() == source.get_vocab() and both.target.get_vocab() == target.get_vocab()
    assert len(both) == both.vocab_size == len(source) and len(both.target) == len(target)
    found = both(SOURCES, text_target=TARGETS)
    assert found["input_ids"] == source(SOURCES)["input_ids"] and found["labels"] == target(TARGETS)["input_ids"]
    assert both.batch_decode(found["labels"]) == target.batch_decode(found["labels"])
    tokens = target.convert_ids_to_tokens(found["labels"][1])
    assert both.convert_tokens_to_string(tokens) == target.convert_tokens_to_string(tokens)
    assert both.source.batch_decode(found["input_ids"]) == source.batch_decode(found["input_ids"])


def test_a_text_ends_and_does_not_begin(tokenizer):
    """By hand: characters have the ids after the four special tokens."""
    ids = {character: i for i, character in enumerate(["<pad>", "<unk>", "<s>", "</s>"])}
    found = tokenizer(text_target="狗跑?")
    vocab = tokenizer.target.get_vocab()
    assert {name: vocab[name] for name in ids} == ids == {n: tokenizer.get_vocab()[n] for n in ids}
    assert found == {"input_ids": [vocab["狗"], vocab["跑"], 1, 3], "attention_mask": [1, 1, 1, 1]}
    assert tokenizer("")["input_ids"] == [3] and 2 not in tokenizer(SOURCES[0])["input_ids"]


CALLS = {
    "plain": {},
    "longest": {"padding": True},
    "to a length": {"padding": "max_length", "max_length": 40},
    "cut": {"truncation": True, "max_length": 4},
    "cut and padded": {"truncation": True, "max_length": 6, "padding": "max_length", "padding_side": "left"},
    "tensors": {"padding": True, "return_tensors": "pt"},
    "arrays": {"padding": True, "truncation": True, "max_length": 8, "return_tensors": "np", "pad_to_multiple_of": 4},
    "offsets": {"return_offsets_mapping": True},
    "bare": {"add_special_tokens": False, "return_attention_mask": False, "return_length": True},
}


def as_lists(encoded):
    return {name: getattr(value, "tolist", lambda value=value: value)() for name, value in encoded.items()}


@pytest.mark.parametrize("how", CALLS)
@pytest.mark.parametrize("single", [False, True])
def test_every_call_is_that_of_each_side(tokenizer, sides, how, single):
    sources, targets = (SOURCES[0], TARGETS[0]) if single else (SOURCES, TARGETS)
    source, target = (side(texts, **CALLS[how]) for side, texts in zip(sides, (sources, targets), strict=True))
    assert as_lists(tokenizer(sources, **CALLS[how])) == as_lists(source)
    assert as_lists(tokenizer(text_target=targets, **CALLS[how])) == as_lists(target)
    both = tokenizer(sources, text_target=targets, **CALLS[how])
    assert as_lists(both) == as_lists(source) | {"labels": as_lists(target)["input_ids"]}


def test_positional_arguments_and_the_length_of_targets(tokenizer, sides):
    both = tokenizer(SOURCES, None, TARGETS, None, True, True, True, 6)
    assert both["labels"] == sides[1](TARGETS, padding=True, truncation=True, max_length=6)["input_ids"]
    both = tokenizer(SOURCES, text_target=TARGETS, truncation=True, max_length=9, max_target_length=3)
    assert both["input_ids"] == sides[0](SOURCES, truncation=True, max_length=9)["input_ids"]
    assert both["labels"] == sides[1](TARGETS, truncation=True, max_length=3)["input_ids"]


def test_offsets_are_places_in_the_target(tokenizer):
    found = tokenizer(text_target=TARGETS[1], return_offsets_mapping=True, add_special_tokens=False)
    assert [TARGETS[1][start:end] for start, end in found["offset_mapping"]] == list(TARGETS[1])


@pytest.mark.parametrize("targets", [5, [None], ["a", 3]])
def test_an_error_in_the_targets_leaves_the_source_side(tokenizer, sides, targets):
    with pytest.raises(ValueError, match=r"give a string|must be of type `str`"):
        tokenizer(SOURCES, text_target=targets)
    with pytest.raises(ValueError):
        tokenizer(SOURCES, text_target=TARGETS, return_tensors="pt")  # of different lengths
    assert tokenizer.encode(SOURCES[0]) == sides[0].encode(SOURCES[0])
    assert tokenizer.tokenize(SOURCES[0]) == sides[0].tokenize(SOURCES[0])
    assert tokenizer(SOURCES)["input_ids"] == sides[0](SOURCES)["input_ids"]
    with pytest.raises(ValueError, match="`text` or `text_target`"):
        tokenizer()


# What is generated is of the target


def test_labels_that_are_no_tokens_are_explained(tokenizer):
    for each in (tokenizer, tokenizer.source, tokenizer.target):
        for given in ([[5, -100]], np.array([[5, -100]])):
            with pytest.raises(ValueError, match=r"`token_ids` is \[5, -100\]: put `pad_token_id`"):
                each.batch_decode(given)
        with pytest.raises(ValueError, match=r"`token_ids` is .*-100"):
            each.decode(-100)


def test_decoding_is_of_the_target(tokenizer, capsys):
    rows = tokenizer(text_target=TARGETS, padding=True)["input_ids"]
    for given in (rows, np.array(rows), torch.tensor(rows)):
        assert tokenizer.batch_decode(given, skip_special_tokens=True) == TARGETS
        assert tokenizer.decode(given[1], skip_special_tokens=True) == TARGETS[1]
    assert tokenizer.decode(rows[0]) == TARGETS[0] + "</s>" + "<pad>" * rows[0].count(0)
    tokens = tokenizer.convert_ids_to_tokens(rows[0], skip_special_tokens=True)
    assert tokens == list(TARGETS[0]) and tokenizer.convert_tokens_to_string(tokens) == TARGETS[0]
    assert tokenizer.convert_ids_to_tokens(rows[0][0]) == TARGETS[0][0]
    streamer = TextStreamer(tokenizer, skip_special_tokens=True)
    for token in tokenizer(text_target=TARGETS[2])["input_ids"]:
        streamer.put(torch.tensor([token]))
    streamer.end()
    assert capsys.readouterr().out.strip() == TARGETS[2]


def test_source_ids_are_decoded_by_the_source(tokenizer):
    rows = tokenizer(SOURCES)["input_ids"]
    assert type(tokenizer.source) is LSTMTokenizer and not hasattr(tokenizer.source, "target")
    assert tokenizer.source.batch_decode(rows, skip_special_tokens=True) == SOURCES
    assert tokenizer.batch_decode(rows, skip_special_tokens=True, use_source_tokenizer=True) == SOURCES
    assert tokenizer.decode(rows[0], True, use_source_tokenizer=True) == SOURCES[0]
    assert tokenizer.source.convert_ids_to_tokens(rows[2])[:1] == ["the"]


def test_collator(tokenizer, sides):
    features = [dict(tokenizer(source, text_target=target)) for source, target in PAIRS]
    batch = DataCollatorForSeq2Seq(tokenizer)(features)
    expected = sides[0](SOURCES, padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    labels = sides[1](TARGETS, padding=True, return_tensors="pt")
    assert torch.equal(batch["labels"], labels["input_ids"].masked_fill(labels["attention_mask"] == 0, -100))
    # as compute_metrics of run_translation.py
    predictions = np.where(batch["labels"].numpy() != -100, batch["labels"].numpy(), tokenizer.pad_token_id)
    assert tokenizer.batch_decode(predictions, skip_special_tokens=True) == TARGETS


# One folder has both


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def assert_same(one, other):
    texts = [*SOURCES, "unseen: Äöü 东 <s>", ""]
    targets = [*TARGETS, "unseen: 东 <s>", ""]
    found, expected = one(texts, text_target=targets), other(texts, text_target=targets)
    assert found == expected and one.batch_decode(found["labels"]) == other.batch_decode(found["labels"])
    for a, b in ((one, other), (one.target, other.target)):
        assert a.backend_tokenizer.to_str() == b.backend_tokenizer.to_str()
        assert a.special_tokens_map == b.special_tokens_map and a.extra_special_tokens == b.extra_special_tokens
        for name in ("padding_side", "truncation_side", "model_max_length", "add_bos_token", "add_eos_token"):
            assert getattr(a, name) == getattr(b, name)


@pytest.mark.parametrize("load", [TranslationTokenizer, AutoTokenizer])
def test_saved_is_loaded(load, tmp_path):
    tokenizer = train(
        kind="word",
        target_kind="bpe",
        split_punctuation=False,
        lowercase=True,
        target_lowercase=False,
        target_add_prefix_space=True,
        target_extra_special_tokens=["<formal>"],
    )
    tokenizer.padding_side, tokenizer.model_max_length = "left", 50
    tokenizer.target.truncation_side, tokenizer.target.model_max_length = "left", 60
    tokenizer(SOURCES, text_target=TARGETS, padding=True, truncation=True, max_length=3)  # which is not saved
    files = tokenizer.save_pretrained(tmp_path / "a")
    assert {Path(file).name for file in files} == {name for name in FILES if name.endswith("json")}
    assert contents(tmp_path / "a").keys() == FILES
    loaded = load.from_pretrained(tmp_path / "a")
    assert type(loaded) is TranslationTokenizer and type(loaded.target) is LSTMTokenizer
    assert_same(loaded, tokenizer)
    assert loaded.target.init_kwargs["kind"] == "bpe" and loaded.target.add_prefix_space
    assert loaded(text_target="<formal>")["input_ids"] == [4, 3]
    loaded.save_pretrained(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    for copied in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        assert_same(copied, tokenizer)


def test_other_libraries_read_each_file(tokenizer, sides, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    for name, side, text in zip(("tokenizer.json", "target-tokenizer.json"), sides, PAIRS[0], strict=True):
        assert Tokenizer.from_file(str(tmp_path / name)).encode(text).ids == side(text)["input_ids"]
    for load in (LSTMTokenizer, PreTrainedTokenizerFast):
        assert load.from_pretrained(tmp_path)(SOURCES)["input_ids"] == sides[0](SOURCES)["input_ids"]


def test_pushed_is_saved(tokenizer, monkeypatch, tmp_path):
    pushed = {}

    def create_commit(self, repo_id, operations, **kwargs):
        for operation in operations:
            with operation.as_file() as file:
                pushed[operation.path_in_repo] = file.read()

    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **_: RepoUrl(f"https://huggingface.co/{repo_id}"))
    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    tokenizer.push_to_hub("acme/pushed")
    tokenizer.save_pretrained(tmp_path)
    assert pushed.pop("README.md").startswith(b"---")
    assert pushed == contents(tmp_path)


def test_code_of_the_folder_is_enough(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "a")
    there = get_class_from_dynamic_module("tokenization_translation.TranslationTokenizer", tmp_path / "a")
    assert there is not TranslationTokenizer and there.__module__.startswith("transformers_modules.")
    loaded = there.from_pretrained(tmp_path / "a")
    assert_same(loaded, tokenizer)
    assert type(loaded.target).__module__ == type(loaded.source).__module__ != LSTMTokenizer.__module__
    loaded.save_pretrained(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert_same(TranslationTokenizer.from_tokenizers(loaded.source, loaded.target), tokenizer)


REMOTE = """
import json, sys

sys.modules["hf_lstm"] = None  # makes `import hf_lstm` fail
from transformers import AutoTokenizer

folder, sources, targets = json.loads(sys.stdin.read())
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
tokenizer.save_pretrained(folder + "-again")
tokenizer = AutoTokenizer.from_pretrained(folder + "-again", trust_remote_code=True)
batch = tokenizer(sources, text_target=targets)
again = tokenizer.train_new_from_iterator((sources, targets), 300, show_progress=False)
report = {
    "class": [type(tokenizer).__name__, type(tokenizer).__module__.split(".")[0]],
    "batch": dict(batch),
    "texts": tokenizer.batch_decode(batch["labels"], skip_special_tokens=True),
    "noisy": again.with_bpe_dropout(1.0)(sources)["input_ids"],
}
print("REPORT" + json.dumps(report))
"""


def test_loads_where_the_package_is_not_installed(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "a")
    (tmp_path / "remote.py").write_text(REMOTE)
    run = subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-B", "remote.py"],
        input=json.dumps([str(tmp_path / "a"), SOURCES, TARGETS]),
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout[run.stdout.index("REPORT") + len("REPORT") :])
    assert report["class"] == ["TranslationTokenizer", "transformers_modules"]
    assert report["batch"] == dict(tokenizer(SOURCES, text_target=TARGETS)) and report["texts"] == TARGETS
    assert [len(ids) for ids in report["noisy"]] == [len(text.encode()) + 1 for text in SOURCES]
    assert contents(tmp_path / "a") == contents(tmp_path / "a-again")


def test_a_folder_of_one_side_is_refused(sides, tokenizer, tmp_path):
    sides[0].save_pretrained(tmp_path / "one")
    with pytest.raises(ValueError, match=r"target-tokenizer\.json or target-tokenizer_config\.json is missing"):
        TranslationTokenizer.from_pretrained(tmp_path / "one")
    tokenizer.save_pretrained(tmp_path / "two")
    (tmp_path / "two" / "target-tokenizer.json").unlink()
    with pytest.raises(ValueError, match="is missing"):
        AutoTokenizer.from_pretrained(tmp_path / "two")


def test_options_at_loading_are_of_the_source(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, padding_side="left", model_max_length=7, use_fast=True)
    assert (loaded.padding_side, loaded.model_max_length) == ("left", 7)
    assert (loaded.target.padding_side, loaded.target.model_max_length) == ("right", tokenizer.model_max_length)
    with pytest.raises(ValueError, match="`lowercase` is True, but this tokenizer was trained with False"):
        AutoTokenizer.from_pretrained(tmp_path, lowercase=True)
    with pytest.raises(ValueError, match="`eos_token_id` is 4 in `source` and 3 in `target`"):
        AutoTokenizer.from_pretrained(tmp_path, eos_token="!")


# Training, and putting together


def test_two_trained_ones_are_put_together(sides):
    source, target = train_one(SOURCES, add_bos_token=True), train_one(TARGETS, "char")
    target.padding_side = "left"  # set after training
    both = TranslationTokenizer.from_tokenizers(source, target)
    assert both(SOURCES)["input_ids"] == sides[0](SOURCES)["input_ids"]
    assert both(text_target=TARGETS)["input_ids"] == sides[1](TARGETS)["input_ids"]
    assert both.target.padding_side == "left"
    both.add_tokens(["<new>"]), both.target.add_tokens(["<new>", "<other>"])
    assert len(both) == len(source) + 1 and len(both.target) == len(target) + 2
    assert not target.add_eos_token and source.add_bos_token  # they are as they were
    assert target("狗")["input_ids"] == target("狗", add_special_tokens=False)["input_ids"]


def test_sides_are_saved_alone_and_put_together_again(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "both")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "both")
    for name in ("source", "target"):
        getattr(loaded, name).save_pretrained(tmp_path / name)
        config = json.loads((tmp_path / name / "tokenizer_config.json").read_text())
        assert config["tokenizer_class"] == "LSTMTokenizer" and "tokenization_lstm.py" in contents(tmp_path / name)
        assert config["auto_map"]["AutoTokenizer"][0] == "tokenization_lstm.LSTMTokenizer"
        assert not contents(tmp_path / name).keys() & {"target-tokenizer.json", "tokenization_translation.py"}
    sides = [AutoTokenizer.from_pretrained(tmp_path / name) for name in ("source", "target")]
    TranslationTokenizer.from_tokenizers(*sides).save_pretrained(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "both")


def given_by(pad=0, **others):
    """A tokenizer of another library with special tokens of these ids."""
    names = {"pad_token": pad, "unk_token": 1, "bos_token": 2, "eos_token": 3} | others
    vocab = {f"<{name}>": i for name, i in names.items() if i is not None} | {"a": 9}
    backend = Tokenizer(models.WordLevel(vocab, "<unk_token>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **{n: f"<{n}>" for n, i in names.items() if i is not None}
    )


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (given_by(bos_token=None), "`{here}` is a tokenizer without `bos_token`: train one by"),
        (given_by(pad=None, eos_token=None), "`{here}` is a tokenizer without `pad_token`, `eos_token`"),
        (given_by(eos_token=5), "`eos_token_id` is {a} in `source` and {b} in `target`, but they must be the same"),
        ("char", "`{here}` is 'char': give a trained `LSTMTokenizer`"),
        (None, "`{here}` is None: give a trained `LSTMTokenizer`"),
    ],
)
def test_sides_that_do_not_fit_are_refused(sides, other, message, swapped):
    given = (other, sides[1]) if swapped else (sides[0], other)
    a, b = (5, 3) if swapped else (3, 5)
    with pytest.raises(ValueError) as error:
        TranslationTokenizer.from_tokenizers(*given)
    assert message.format(here="source" if swapped else "target", a=a, b=b) in str(error.value)


def test_a_tokenizer_of_two_sides_is_no_side(tokenizer, sides):
    for given in ((tokenizer, sides[1]), (sides[0], tokenizer)):
        with pytest.raises(ValueError, match="of a `TranslationTokenizer` its `source` or its `target`"):
            TranslationTokenizer.from_tokenizers(*given)


def test_a_tokenizer_of_another_library_is_a_side():
    both = TranslationTokenizer.from_tokenizers(given_by(), given_by())
    assert both("a", text_target="a") == {"input_ids": [9, 3], "attention_mask": [1, 1], "labels": [9, 3]}


GIVEN = {
    "tuples": lambda: PAIRS,
    "lists": lambda: [list(pair) for pair in PAIRS],
    "an iterator": lambda: iter(PAIRS),
    "dictionaries": lambda: [{"source": source, "target": target, "id": 1} for source, target in PAIRS],
    "a data set": lambda: Dataset.from_dict({"source": SOURCES, "target": TARGETS}),
    "columns": lambda: (SOURCES, TARGETS),
    "columns of a zip": lambda: tuple(zip(*PAIRS, strict=True)),
    "streams": lambda: (iter(SOURCES), (target for target in TARGETS)),
    "columns of a data set": lambda: tuple(Dataset.from_dict({"a": SOURCES, "b": TARGETS})[name] for name in "ab"),
}


@pytest.mark.parametrize("how", GIVEN)
def test_pairs_are_given_in_many_ways(tokenizer, how):
    assert_same(train(GIVEN[how]()), tokenizer)


def test_a_tuple_of_two_is_columns():
    for columns in ((SOURCES[:2], TARGETS[:2]), tuple(zip(*PAIRS[:2], strict=True))):
        both = train(columns, "word", target_kind="word")
        assert {"cat", "dog"} <= both.get_vocab().keys() and "cat" not in both.target.get_vocab()


def test_options_of_the_sides(sides):
    both = train(lowercase=True, min_frequency=3, pad_token="[PAD]", characters=True, char_min_frequency=2)
    source = train_one(SOURCES, lowercase=True, min_frequency=3, pad_token="[PAD]", add_eos_token=True)
    target = train_one(TARGETS, "char", lowercase=True, pad_token="[PAD]", add_eos_token=True)
    found = both(SOURCES, text_target=["A猫"])
    assert found["input_ids"] == source(SOURCES)["input_ids"] and found["labels"] == target(["A猫"])["input_ids"]
    assert set(found) == NAMES | {"char_ids", "labels"} and set(both(text_target="猫")) == NAMES
    assert len(both.target) == len(target) and both.pad_token == both.target.pad_token == "[PAD]"
    both = train(target_kind="bpe", min_frequency=3, target_lowercase=True, target_vocab_size=280)
    target = train_one(TARGETS, min_frequency=3, lowercase=True, vocab_size=280, add_eos_token=True)
    assert both.target.backend_tokenizer.to_str() == target.backend_tokenizer.to_str()
    assert both("The")["input_ids"] != both("the")["input_ids"]


@pytest.mark.parametrize(
    ("pairs", "options", "message"),
    [
        ([], {}, "Of the source: `iterator` holds no text"),
        ([("a", "")], {}, "Of the target: `iterator` holds no text"),
        ([("a", None)], {}, "Of the target: `iterator` holds None: give strings"),
        (["ab", "cd"], {}, "`pairs` holds 'ab': give tuples of a source and a target"),
        ([("a", "b", "c")], {}, "`pairs` holds ('a', 'b', 'c')"),
        ([{"en": "a", "zh": "b"}], {}, "or dictionaries with `source` and `target`"),
        ({"source": ["a"], "target": ["b"]}, {}, "`pairs` is {'source'"),
        ("ab", {}, "`pairs` is 'ab': give an iterable of pairs"),
        (None, {}, "`pairs` is None: give an iterable of pairs"),
        ((SOURCES, "ab"), {}, "`pairs` holds"),
        (PAIRS, {"kind": "chars"}, "Of the source: `kind` is 'chars'"),
        (PAIRS, {"target_kind": "chars"}, "Of the target: `kind` is 'chars'"),
        (PAIRS, {"vocab_size": 10}, "Of the source: `vocab_size` is 10"),
        (PAIRS, {"target_vocab_size": 3}, "Of the target: `vocab_size` is 3"),
        (PAIRS, {"target_add_prefix_space": True}, "Of the target: `add_prefix_space` is True"),
        (PAIRS, {"add_bos_token": True}, "`add_bos_token` is True: leave it out."),
        (PAIRS, {"target_add_eos_token": False}, "`target_add_eos_token` is False: leave it out."),
    ],
)
def test_bad_input_is_refused(pairs, options, message):
    with pytest.raises(ValueError) as error:
        train(pairs, **options)
    assert message in str(error.value)


def test_misspelt_options_and_files_are_refused(tmp_path):
    for name in ("lower_case", "target_lower_case"):
        with pytest.raises(TypeError, match="'lower_case'"):
            train(**{name: True})
    (tmp_path / "a.txt").write_text("one text\n")
    with pytest.raises(ValueError, match="`pairs` holds 'one text"):
        TranslationTokenizer.train_from_files(tmp_path / "a.txt")


def test_train_new_from_iterator(tokenizer):
    tokenizer = train(lowercase=True, target_lowercase=False)
    sources, targets = ["New texts, and MORE"] * 3, ["新的Text"] * 3
    new = tokenizer.train_new_from_iterator((sources, targets), 310, target_vocab_size=100, show_progress=False)
    expected = train_one(sources, vocab_size=310, lowercase=True, add_eos_token=True)
    target = train_one(targets, "char", vocab_size=100, add_eos_token=True)
    found = new(sources, text_target=targets)
    assert type(new) is TranslationTokenizer and new.get_vocab() == expected.get_vocab()
    assert found["input_ids"] == expected(sources)["input_ids"] and found["labels"] == target(targets)["input_ids"]


# One vocabulary for both


RAW = [
    *('  Two  blanks, a tab\t; "quotes" don\'t -- 3.14%… ', "Ein Mann läuft (schnell)!", "\u00a0a\n", "😀 👩‍👩‍👧", ""),
    *("猫坐在 mat 上。", "《Hello》，世界！ＡＢＣ １２３", "Tom说：“I'm fine”、OK？"),
]


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_shared_vocabulary(kind, tmp_path):
    texts = [*SOURCES, *TARGETS, *(RAW if kind == "char" else [])]
    shared = train_one(texts, kind, vocab_size=400, add_eos_token=True)
    shared.save_pretrained(tmp_path)
    shared = AutoTokenizer.from_pretrained(tmp_path)
    found = shared(SOURCES, text_target=TARGETS)
    assert found["labels"] == shared(TARGETS)["input_ids"] and set(found) == NAMES | {"labels"}
    assert all(ids[-1] == 3 and 2 not in ids for ids in found["input_ids"] + found["labels"])
    for text in RAW:
        assert shared.decode(shared(text_target=text)["input_ids"], skip_special_tokens=True) == text


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_raw_text_of_public_data_comes_back(shared_data, kind):
    """BLEU is measured on raw text."""
    with gzip.open(shared_data / "tatoeba_cmn_eng" / "cmn.txt.gz", "rt", encoding="utf-8") as file:
        pairs = [line.split("\t")[:2] for line, _ in zip(file, range(1500), strict=False)]
    for texts in zip(*pairs, strict=True):
        tokenizer = train_one(texts, kind, vocab_size=5000, add_eos_token=True)
        assert tokenizer.batch_decode(tokenizer(texts)["input_ids"], skip_special_tokens=True) == list(texts)


# BPE-dropout


def test_dropout_cuts_at_random_and_loses_nothing(tmp_path):
    tokenizer = train_one(SOURCES, vocab_size=320, add_eos_token=True)
    expected, saved = tokenizer(SOURCES)["input_ids"], tokenizer.backend_tokenizer.to_str()
    noisy = tokenizer.with_bpe_dropout(0.5)
    cuts = [tuple(noisy(SOURCES[0])["input_ids"]) for _ in range(20)]
    assert len(set(cuts)) > 5
    for cut in cuts:
        assert noisy.decode(cut, skip_special_tokens=True) == SOURCES[0]
        assert len(expected[0]) <= len(cut) <= len(SOURCES[0].encode()) + 1
    # By hand: with every merge left out, a token is a byte; with none, what it was.
    for text in (*SOURCES, *TARGETS, *RAW):
        assert len(tokenizer.with_bpe_dropout(1)(text)["input_ids"]) == len(text.encode()) + 1
    assert tokenizer.with_bpe_dropout(0)(SOURCES)["input_ids"] == expected
    assert pickle.loads(pickle.dumps(noisy)).backend_tokenizer.model.dropout == 0.5  # for workers
    # Neither evaluation nor a folder has dropout.
    assert tokenizer(SOURCES)["input_ids"] == expected and tokenizer.backend_tokenizer.to_str() == saved
    noisy.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["dropout"] is None
    assert AutoTokenizer.from_pretrained(tmp_path)(SOURCES)["input_ids"] == expected
    assert noisy.backend_tokenizer.model.dropout == 0.5  # after a checkpoint training goes on


def test_dropout_of_both_sides(tokenizer, sides, tmp_path):
    both = train(PAIRS, target_kind="bpe", vocab_size=320)
    noisy = both.with_bpe_dropout(1.0)
    found = noisy(SOURCES, text_target=TARGETS)
    assert [len(row) for row in found["input_ids"]] == [len(text.encode()) + 1 for text in SOURCES]
    assert [len(row) for row in found["labels"]] == [len(text.encode()) + 1 for text in TARGETS]
    assert noisy.batch_decode(found["labels"], skip_special_tokens=True) == TARGETS
    noisy.save_pretrained(tmp_path)
    assert_same(AutoTokenizer.from_pretrained(tmp_path), both)
    noisy = tokenizer.with_bpe_dropout(1.0)  # whose target has characters
    found = noisy(SOURCES, text_target=TARGETS)
    assert [len(row) for row in found["input_ids"]] == [len(text.encode()) + 1 for text in SOURCES]
    assert found["labels"] == sides[1](TARGETS)["input_ids"]


@pytest.mark.parametrize("rate", [-0.1, 1.5, True, None, "0.1", float("nan")])
def test_bad_rates_are_refused(tokenizer, rate):
    with pytest.raises(ValueError, match=r"`rate` is .*: give a number from 0 to 1"):
        tokenizer.with_bpe_dropout(rate)


def test_dropout_needs_merges():
    with pytest.raises(ValueError, match="`kind` is 'char', without merges"):
        train_one(TARGETS, "char").with_bpe_dropout(0.1)
    with pytest.raises(ValueError, match="`kind` is 'word', without merges"):
        train(kind="word").with_bpe_dropout(0.1)


def test_docstring_example_of_dropout():
    (example,) = doctest.DocTestFinder(recurse=False).find(LSTMTokenizer.with_bpe_dropout, globs={})
    example.examples[-1].want = example.examples[-1].want.replace("```\n", "")
    assert doctest.DocTestRunner().run(example).failed == 0

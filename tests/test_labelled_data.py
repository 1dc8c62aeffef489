# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The built-in text of taggers and classifiers, and the files that they read."""

import gzip
import json
import re

import datasets
import pytest

from hf_lstm.data import (
    encode_tagged,
    load_classified,
    load_tagged_splits,
    python_docs,
    rewrite,
    sorted_docs,
    unwrite,
    unwritten_docs,
)
from hf_lstm.data.documentation import CASES, DOC_CLASSES, MARKS
from hf_lstm.data.files import HELD_OUT
from hf_lstm.models.tokenization_lstm import LSTMTokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def unwritten(library_read_once):
    return unwritten_docs(window=20)


def plain(text: str) -> str:
    """The text without what is lost: brackets, quotation marks and dashes around words, and marks on their own."""
    words = (re.sub(r"^[^\w]+|[^\w,.:;?]+$", "", word) for word in text.split())
    words = (re.sub(r"[^\w,.:;?]+([,.:;?])$", r"\1", word) for word in words)
    return " ".join(word for word in words if word)


def test_labels_can_be_undone():
    text = "He said (\"in the U-boat\"): Is THAT A file; or, since 1999, 3.14 O'Neill's"
    assert unwrite(text) is None  # O'Neill's has capitals in two places
    words, labels = unwrite(text.removesuffix(" O'Neill's"))
    assert all(word == word.lower() and not set(word) & set("()\"':;?") for word in words)
    assert labels[-2:] == ["lower,", "lower"]
    assert rewrite(words, labels) == "He said in the U-boat: Is THAT A file; or, since 1999, 3.14"


@pytest.mark.parametrize("text", ["call __init__ now.", "use os.path here.", "An IPv6 address.", "e.g. this."])
def test_what_cannot_be_heard_is_refused(text):
    assert unwrite(text) is None


def test_undoing_the_labels_gives_the_documentation(unwritten):
    """Every window, written as its labels say, stands in the documentation."""
    names = unwritten["train"].features["tags"].feature.names
    documents = [plain(text) for text in python_docs()["text"]]
    whole = "\n".join(documents)
    windows = [(row["tokens"], [names[i] for i in row["tags"]]) for row in unwritten["test"]]
    assert all(word == word.lower() for words, _ in windows for word in words)
    written = [rewrite(*window) for window in windows]
    # A window holds whole sentences apart from its first and last one; those between were neighbours or not.
    parts = [part for text in written for part in re.split(r"(?<=[.:?]) ", text)]
    found = sum(part in whole for part in parts)
    assert found >= 0.99 * len(parts) > 500
    assert {row for text in written for row in text.split() if row.isupper() and len(row) > 1}


def test_windows_end_anywhere_and_documents_stay_together(unwritten):
    names = unwritten["train"].features["tags"].feature.names
    assert set(names) <= {case + mark for case in CASES for mark in MARKS}
    lengths = [len(tokens) for tokens in unwritten["train"]["tokens"]]
    assert max(lengths) == 20
    full = [row["tags"][-1] for row in unwritten["train"] if len(row["tags"]) == 20]
    assert 0.02 < sum(names[i].endswith(".") for i in full) / len(full) < 0.25
    words = {split: sum(map(len, rows["tokens"])) for split, rows in unwritten.items()}
    assert words["train"] > 4 * words["test"] > 0 < words["validation"]
    with pytest.raises(ValueError, match="`window` is 0"):
        unwritten_docs(window=0)


ROWS = [{"tokens": [f"Ada{i}", "sang"], "tags": ["B-PER", "O"]} for i in range(20)]


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "conllu", "jsonl", "csv", "parquet"])
def test_tagged_files(tmp_path, kind):
    path = tmp_path / f"train.{kind}"
    lines = "".join("".join(f"{w} _ {t}\n" for w, t in zip(r["tokens"], r["tags"], strict=True)) + "\n" for r in ROWS)
    if kind == "txt":
        path.write_text(lines)
    elif kind == "txt.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif kind == "conllu":
        path.write_text(re.sub(r"(?m)^(\S+) _ (\S+)$", r"1\t\1\t_\t\2" + r"\t_" * 6, lines))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "csv":
        path.write_text("tokens,tags\n" + "".join(f"{' '.join(r['tokens'])},{' '.join(r['tags'])}\n" for r in ROWS))
    else:
        datasets.Dataset.from_list(ROWS).to_parquet(path)
    splits = load_tagged_splits(path)
    assert len(splits["validation"]) == HELD_OUT * len(ROWS)
    names = splits["train"].features["tags"].feature.names
    rows = [row for split in ("train", "validation") for row in splits[split]]
    assert [row["tokens"] for row in rows] == [row["tokens"] for row in ROWS]
    assert [[names[i] for i in row["tags"]] for row in rows] == [row["tags"] for row in ROWS]


def test_tagged_files_refuse_what_does_not_fit(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"tokens": ["a", "b"], "tags": ["O"]}))
    with pytest.raises(ValueError, match=r"`train_file` is '.*', line 1: 1 tags for 2 tokens. Give one each"):
        load_tagged_splits(path)
    with pytest.raises(ValueError, match="`tag_column` is 'ner'"):
        load_tagged_splits(path, tag_column="ner")
    with pytest.raises(ValueError, match="`train_file` is None"):
        load_tagged_splits(test_file=path)
    with pytest.raises(ValueError, match="give one of the two"):
        load_tagged_splits(path, dataset_name="x")


def test_first_tokens_carry_the_tags():
    tokenizer = LSTMTokenizer.train_from_iterator(["ab abab ba"], "char", show_progress=False)
    rows = datasets.Dataset.from_dict({"tokens": [["ab", "a"], ["b"]], "tags": [[3, 1], [2]]})
    assert encode_tagged(rows, tokenizer)["labels"][:] == [[3, -100, 1], [2]]


def test_labelled_lines(tmp_path):
    path = tmp_path / "train.label"
    path.write_bytes("LOC:city Where is \xf0 ?\nNUM:date When was it ?\nLOC:other Where ?\n".encode("latin-1"))
    splits = load_classified(path, path, encoding="latin-1", label_end=":")
    assert splits["train"].features["label"].names == ["LOC", "NUM"]
    assert splits["train"][0] == {"text": "Where is \xf0 ?", "label": 0}
    path.write_text("earn\tthe profit rose\n\nacq\tthey bought it\n")
    assert load_classified(path, path)["train"]["label"][:] == [1, 0]
    path.write_text("earn\n")
    with pytest.raises(ValueError, match=r"`train_file` is '.*', which has no label before ' ' in line 1"):
        load_classified(path)


def test_kinds_of_labels(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text('sentence\tlabel\na "quoted one\t0\nanother\t1\n')
    splits = load_classified(path, path, text_column="sentence")
    assert splits["train"][0] == {"text": 'a "quoted one', "label": 0}
    assert load_classified(path, path, text_column="sentence", problem_type="regression")["train"]["label"][:] == [
        0,
        1,
    ]
    with pytest.raises(ValueError, match="`text_column` is 'text'"):
        load_classified(path)
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "x", "label": ["a", "b"]}\n{"text": "y", "label": []}\n{"text": " ", "label": ["c"]}\n')
    splits = load_classified(path, path, problem_type="multi_label_classification")
    assert splits["train"]["label"][:] == [[0, 1], []]
    assert splits["train"].features["label"].feature.names == ["a", "b"]


def test_parts_of_the_documentation_are_balanced(library_read_once):
    splits = sorted_docs(per_class=50)
    labels = [label for rows in splits.values() for label in rows["label"]]
    assert splits["train"].features["label"].names == sorted(DOC_CLASSES)
    assert {labels.count(i) for i in range(len(DOC_CLASSES))} == {50}
    texts = [text for rows in splits.values() for text in rows["text"]]
    assert len(set(texts)) == len(texts)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Documents from every kind of file, the built-in corpus, and blocks that predict each token once."""

import gzip
import json

import datasets
import numpy as np
import pytest
from datasets import Dataset

from hf_lstm import LSTMTokenizer
from hf_lstm.data import documentation, encode_text, load_text, make_blocks, python_docs


TEXTS = [f"Document number {i}, with a comma." for i in range(20)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write(path, texts, column="text"):
    """Write the texts as what the extension of `path` says, one text a row."""
    dataset = Dataset.from_dict({"id": range(len(texts)), column: texts})
    if path.suffix in (".txt", ".tokens"):
        path.write_text("\n".join(texts), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(dataset.to_list()), encoding="utf-8")
    else:
        {".jsonl": dataset.to_json, ".csv": dataset.to_csv, ".parquet": dataset.to_parquet}[path.suffix](path)
    return path


@pytest.mark.parametrize("extension", ["txt", "tokens", "json", "jsonl", "csv", "parquet", "JSONL"])
def test_every_file_type_is_read(tmp_path, extension):
    path = write(tmp_path / f"text.{extension.lower()}", TEXTS)
    path = path.rename(path.with_suffix(f".{extension}"))
    assert_split(load_text(path))
    zipped = tmp_path / f"zipped.{extension}.gz"
    if extension != "parquet":  # compressed in itself
        zipped.write_bytes(gzip.compress(path.read_bytes()))
        assert_split(load_text(zipped))


def test_a_text_that_nobody_named_is_announced(monkeypatch):
    messages = []
    monkeypatch.setattr("hf_lstm.data.text.logger.warning", messages.append)
    monkeypatch.setattr("hf_lstm.data.text.python_docs", lambda: Dataset.from_dict({"text": TEXTS}))
    assert_split(load_text())
    assert len(messages) == 1 and "Python's own documentation" in messages[0]


def assert_split(splits):
    assert list(splits) == ["train", "validation"]
    assert splits["train"].column_names == splits["validation"].column_names == ["text"]
    assert splits["train"]["text"][:] == TEXTS[:18]  # the last tenth is held out
    assert splits["validation"]["text"][:] == TEXTS[18:]


def test_validation_file_of_another_type_and_column(tmp_path):
    train = write(tmp_path / "a.csv", TEXTS, column="body")
    validation = write(tmp_path / "b.jsonl", ["Held out."], column="body")
    splits = load_text(train, validation, text_column="body")
    assert splits["train"]["text"][:] == TEXTS
    assert splits["validation"]["text"][:] == ["Held out."]


def test_empty_documents_are_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ["", "One.", None, "  ", "Two."]))
    splits = load_text(path)
    assert splits["train"]["text"][:] + splits["validation"]["text"][:] == ["One.", "Two."]


def test_documents_of_a_txt_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One\ntwo.\n\nThree\nfour.\n")
    line, paragraph = (load_text(path, path, sample_by=by)["train"]["text"][:] for by in ("line", "paragraph"))
    assert line == ["One", "two.", "Three", "four."]
    assert [text.strip() for text in paragraph] == ["One\ntwo.", "Three\nfour."]


def test_several_files_and_one_for_the_test(tmp_path):
    paths = [write(tmp_path / name, TEXTS[i::2]) for i, name in enumerate(("a.txt", "b.jsonl"))]
    test = write(tmp_path / "test.txt", ["At last."])
    splits = load_text(paths, test_file=test)
    assert list(splits) == ["train", "validation", "test"]
    assert splits["train"]["text"][:] + splits["validation"]["text"][:] == TEXTS[::2] + TEXTS[1::2]
    assert splits["test"]["text"][:] == ["At last."]


def test_blank_lines_may_be_kept(tmp_path):
    path = tmp_path / "a.tokens"
    path.write_text(" \n = Title = \n \n\nText .\n")
    assert load_text(path, path, keep_blank=True)["train"]["text"][:] == [" ", " = Title = ", " ", "", "Text ."]
    path.write_text(" \n\n")
    with pytest.raises(ValueError, match="where the train data holds no text"):
        load_text(path, path, keep_blank=True)


def test_of_a_single_document_the_last_characters_are_held_out(tmp_path):
    text = "".join(f"line {i}\n" for i in range(30))
    (tmp_path / "a.txt").write_text(text)
    splits = load_text(tmp_path / "a.txt", sample_by="document")
    cut = len(text) * 9 // 10
    assert [splits[name]["text"][:] for name in splits] == [[text[:cut]], [text[cut:]]]


def test_folder_of_a_hub_dataset(tmp_path):
    write(tmp_path / "train.jsonl", TEXTS)
    for split in ("validation", "test"):
        write(tmp_path / f"{split}.jsonl", ["Held out."])
    splits = load_text(dataset_name=str(tmp_path))
    assert list(splits) == ["train", "validation", "test"]
    assert splits["train"]["text"][:] == TEXTS
    assert splits["validation"]["text"][:] == ["Held out."]


def test_bad_input_is_refused(tmp_path):
    good = write(tmp_path / "a.csv", TEXTS)
    blank = tmp_path / "blank.txt"
    blank.write_text(" \n\n")
    with pytest.raises(ValueError, match=r"`train_file` is '.*none\.txt', which is not a file"):
        load_text(tmp_path / "none.txt")
    with pytest.raises(ValueError, match=r"`validation_file` is '.*none\.csv', which is not a file"):
        load_text(good, tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"`train_file` is '.*a\.pdf': its name has to end in one of json, jsonl"):
        load_text(tmp_path / "a.pdf")
    with pytest.raises(ValueError, match=r"`text_column` is 'body', but the train data has \['id', 'text'\]"):
        load_text(good, text_column="body")
    with pytest.raises(ValueError, match="`text_column` is 'text', where the train data holds no text"):
        load_text(blank)
    with pytest.raises(ValueError, match="`validation_file` is None, and 1 row of training data cannot be split"):
        load_text(write(tmp_path / "one.txt", ["One."]))
    with pytest.raises(ValueError, match="`dataset_name` is 'x' and files are given"):
        load_text(good, dataset_name="x")
    with pytest.raises(ValueError, match=r"`train_file` is None where other files are given"):
        load_text(validation_file="b.txt")


def test_python_docs_is_english_and_repeats_nothing(library_read_once):
    corpus = python_docs()
    paragraphs = [paragraph for text in corpus["text"] for paragraph in text.split("\n")]
    assert len(paragraphs) == len(set(paragraphs)) > 1000
    assert sum(len(paragraph.split()) for paragraph in paragraphs) > 50_000
    assert len(set(corpus["name"])) == len(corpus) > 100


def test_python_docs_keeps_prose_once_in_a_fixed_order(monkeypatch):
    quoted = "This paragraph is wrapped,\n   and two documents quote it word by word."
    raw = [
        ("first", f"Title\n*****\n\n{quoted}\n\n   if x > 0:\n       return the_value_of_x_and_all_the_others"),
        ("second", f"{quoted}\n\nThe second document says a thing or two of its own."),
        ("third", quoted),
    ]
    monkeypatch.setattr(documentation, "_raw_python_docs", lambda: iter(raw))
    texts = {row["name"]: row["text"] for row in python_docs()}
    assert texts == {
        "first": "This paragraph is wrapped, and two documents quote it word by word.",
        "second": "The second document says a thing or two of its own.",
    }
    many = [(str(i), f"Document number {i} differs from all the other documents.") for i in range(50)]
    monkeypatch.setattr(documentation, "_raw_python_docs", lambda: iter(many))
    names = python_docs()["name"][:]
    assert names == python_docs()["name"][:] != python_docs(seed=1)["name"][:]
    assert names != [name for name, _ in many]
    assert set(names) == {name for name, _ in many}


def test_docstrings_of_a_module():
    source = (
        b'"""Module."""\nclass A:\n    """Class."""\n    def f(self):\n        """Method."""\n    x = "no docstring"'
    )
    assert [d for d in documentation._docstrings(source).split("\n\n") if d] == ["Module.", "Class.", "Method."]
    assert documentation._docstrings(b"not python $$$") == ""


@pytest.fixture(scope="module")
def tokenizer():
    return LSTMTokenizer.train_from_iterator(TEXTS, "word", show_progress=False)


@pytest.mark.parametrize("block_size", [1, 5, 16])
def test_blocks_predict_every_token_once(tokenizer, block_size):
    stream = [id for text in TEXTS for id in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
    blocks = make_blocks(encode_text(Dataset.from_dict({"text": TEXTS}), tokenizer), block_size)
    assert blocks["input_ids"][:] == blocks["labels"][:]
    ids = np.array(blocks["input_ids"])
    assert ids.shape == ((len(stream) - 1) // block_size, block_size + 1)
    targets = ids[:, 1:].ravel().tolist()
    assert targets == stream[1 : 1 + len(targets)]
    assert len(stream) - 1 - len(targets) < block_size
    assert (ids[1:, 0] == ids[:-1, -1]).all()


def test_text_is_encoded_forwards_and_backwards(tokenizer):
    documents = Dataset.from_dict({"text": [*TEXTS[:2], "", "Zoë\n"]})
    characters = LSTMTokenizer.train_from_iterator([*TEXTS, "Zoë\n"], "char", show_progress=False)
    for each in (tokenizer, characters):
        forwards, backwards = (encode_text(documents, each, reverse)["input_ids"][:] for reverse in (False, True))
        assert forwards == [[*each(text)["input_ids"], each.eos_token_id] for text in documents["text"]]
        assert [row[-2::-1] for row in forwards] == [row[:-1] for row in backwards]
    assert backwards == [[*characters(text[::-1])["input_ids"], characters.eos_token_id] for text in documents["text"]]


def test_blocks_refuse_bad_input(tokenizer):
    documents = Dataset.from_dict({"text": TEXTS[:1]})
    tokens = encode_text(documents, tokenizer)
    with pytest.raises(ValueError, match="`block_size` is 100 and the text has 9 tokens"):
        make_blocks(tokens, 100)
    with pytest.raises(ValueError, match="`block_size` is 0"):
        make_blocks(tokens, 0)
    with pytest.raises(ValueError, match="`tokenizer` has no `eos_token`"):
        encode_text(documents, LSTMTokenizer(tokenizer_object=tokenizer.backend_tokenizer, eos_token=None))

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What files can do to their readers: text that looks like something else, other encodings, damage, other formats."""

import csv
import gzip
import json
import re

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

from hf_lstm.data import convert_tag_column, encode_tagged, load_classified, load_tagged, load_tagged_splits, load_text
from hf_lstm.models.tokenization_lstm import LSTMTokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


# Cells that some reader takes for something that is not there, a number, a date or a truth.
ODD = ["None", "NA", "null", "nan", "N/A", "NaN", "n/a", "#N/A", "-nan", "01", "1", "1.0", "1e5", "2015-01-01", "True"]
ODD += ["2015-01-01 10:00:00", "inf", "-", "#", "a 'b' c", "x;y"]
KINDS = ["csv", "tsv", "json", "jsonl", "parquet"]


def write_rows(path, rows: list[dict]):
    """The rows in a file, written by loops over strings and not by a library of data frames."""
    names, kind = list(rows[0]), path.name.split(".")[1]
    if kind == "parquet":
        Dataset.from_list(rows).to_parquet(path)
        return path
    if kind == "csv":
        quoted = [['"' + str(row[name]).replace('"', '""') + '"' for name in names] for row in rows]
        text = "".join(",".join(row) + "\r\n" for row in [names, *quoted])
    elif kind == "tsv":
        text = "".join("\t".join(row) + "\n" for row in [names, *([str(row[name]) for name in names] for row in rows)])
    elif kind == "json":
        text = json.dumps(rows, indent=1)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def named(splits: DatasetDict, split: str = "train", column: str = "label") -> list:
    names = splits[split].features[column].names
    return [names[i] for i in splits[split][column]]


def sentences(splits: DatasetDict, split: str = "train") -> list[list[tuple[str, str]]]:
    names = splits[split].features["tags"].feature.names
    rows = zip(splits[split]["tokens"], splits[split]["tags"], strict=True)
    return [[(token, names[i]) for token, i in zip(*row, strict=True)] for row in rows]


# 11. Text is text.


@pytest.mark.parametrize("kind", [*KINDS, "csv.gz", "jsonl.gz"])
def test_cells_that_look_like_something_else(tmp_path, said, kind):
    rows = [{"text": cell, "label": ODD[i - 1]} for i, cell in enumerate(ODD)]
    path = write_rows(tmp_path / f"rows.{kind}", rows)
    splits = load_classified(path, path)
    assert splits["train"]["text"][:] == ODD
    assert named(splits) == [row["label"] for row in rows]
    assert splits["train"].features["label"].names == sorted(ODD)
    assert load_text(path, path)["train"]["text"][:] == ODD
    stream = load_text(path, path, streaming=True)["train"]
    assert [row["text"] for row in stream] == ODD
    words = [word for cell in ODD for word in cell.split()]
    path = write_rows(tmp_path / f"tagged.{kind}", [{"tokens": " ".join(words), "tags": " ".join(words)}] * 2)
    assert sentences(load_tagged_splits(path, path)) == [list(zip(words, words, strict=True))] * 2
    assert not said


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_numbers_are_written_as_they_are(tmp_path, said, kind):
    rows = [{"text": 12, "label": 2}, {"text": 13, "label": 10}, {"text": 14, "label": None}, {"text": 15, "label": 1}]
    path = write_rows(tmp_path / f"rows.{kind}", rows)
    splits = load_classified(path, path)
    assert splits["train"]["text"][:] == ["12", "13", "15"] and named(splits) == ["2", "10", "1"]
    assert splits["train"].features["label"].names == ["1", "2", "10"]  # by value
    assert [message.split(": ", 1)[1] for message in said] == [
        f"1 rows without a label are left out, such as {'line 3' if kind == 'jsonl' else 'row 2'}."
    ] * 2
    assert load_text(path, path)["train"]["text"][:] == ["12", "13", "14", "15"]


def test_a_gap_among_whole_numbers(tmp_path):
    """In a csv it is an empty cell; pandas writes the others of a parquet or json file as floats."""
    (tmp_path / "a.csv").write_text("text,label\na,0\nb,\nc,1\n")
    Dataset.from_dict({"text": ["a", "b", "c"], "label": [0.0, None, 1.0]}).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(
        '{"text": "a", "label": 0.0}\n{"text": "b", "label": null}\n{"text": "c", "label": 1.0}\n'
    )
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        splits = load_classified(tmp_path / name, tmp_path / name)
        assert named(splits) == ["0", "1"] and splits["train"]["text"][:] == ["a", "c"]


def test_csv_as_the_csv_module_writes_it(tmp_path, said):
    texts = ['a "quoted" word', "two\nlines", "a, b", " spaces ", "C:\\n", "x" * 200_000]
    path = tmp_path / "a.csv"
    with open(path, "w", newline="", encoding="utf-8-sig") as file:  # with a byte order mark
        csv.writer(file).writerows([["text", "label"], *([text, "a"] for text in texts)])
    assert load_classified(path, path)["train"]["text"][:] == texts
    assert load_text(path, path)["train"]["text"][:] == texts
    path.write_text("text;label\na, b;x\nc;y\n")
    assert load_classified(path, path, separator=";")["train"]["text"][:] == ["a, b", "c"]
    assert not said


@pytest.mark.parametrize(
    "name, content, problem",
    [
        (
            "a.csv",
            "text,label\na,b\nc\n",
            r"line 3: 1 cells where line 1 names 2\. Correct the line, or put a cell with",
        ),
        ("a.csv", "text,label\na,b\nc,d,e\n", "line 3: 3 cells where line 1 names 2"),
        ("a.csv", 'text,label\na,b\n"c,d\ne,f\n', "line 4: unexpected end of data"),
        ("a.tsv", "text\tlabel\na\tb\nc\n", r"line 3: 1 cells where line 1 names 2\. Correct the line\."),
        ("a.jsonl", '{"text": "a", "label": "b"}\n{"text": "a",\n', "line 2: .*Correct the line"),
        ("a.json", '[\n{"text": "a", "label": "b"},\n{"text" "a"}]', "line 3: Expecting ':' delimiter"),
        ("a.json", '{"text": {"0": "a"}}', "which is no list of objects|label_column"),
        ("a.jsonl", '["a"]\n["b"]\n', "line 2: Extra data"),
        ("a.jsonl", '{"text": "\\ud800", "label": "b"}\n', "line 1: .*half a character"),
        ("a.jsonl", '{"text": ["a"], "label": "b"}\n', r"line 1: .*is no text"),
        (
            "a.jsonl",
            '{"text": "a", "label": "b"}\n{"text": "a"}\n',
            r"`label_column` is 'label', but the train data in",
        ),
        ("a.csv", "text,label,text\na,b,c\n", "`text_column` is 'text', but the train data has .* more than once"),
    ],
)
def test_damaged_rows_are_named(tmp_path, name, content, problem):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=problem):
        load_classified(path)
    if "label_column" not in problem:
        with pytest.raises(ValueError, match=problem):
            load_text(path)


def test_json_in_other_shapes(tmp_path):
    for content in (
        '{"text": ["a", "b"], "label": [1, 2]}',
        '\n[{"text": "a", "label": 1},\n\n{"text":"b","label":2}]',
    ):
        path = tmp_path / "a.json"
        path.write_text(content.replace('{"text": [', '{\n"text": ['))
        assert load_classified(path, path)["train"]["text"][:] == ["a", "b"]


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("one", "two, longer"):
        path.write_text(text)
        assert load_text(path, path)["train"]["text"][:] == [text]


# 13. Encodings, marks, line ends, damage: every reader.

LINES = ["Zoë\tB-A", "x\tO", "", "y\tO"]
READERS = {
    "tagged": lambda path, **options: [[t for t, _ in row] for row in sentences(load_tagged(path, **options))],
    "splits": lambda path, **options: [
        [t for t, _ in r] for r in sentences(load_tagged_splits(path, path, **options))
    ],
    "lines": lambda path, **options: named(load_classified(path, path, **options)),
    "text": lambda path, **options: load_text(path, path, **options)["train"]["text"][:],
}
EXPECTED = {
    "tagged": [["Zoë", "x"], ["y"]],
    "splits": [["Zoë", "x"], ["y"]],
    "lines": ["Zoë", "x", "y"],
    "text": [line for line in LINES if line],
}
each_reader = pytest.mark.parametrize("reader", READERS)


@each_reader
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_line_ends_marks_and_encodings(tmp_path, reader, end, encoding):
    path = tmp_path / "a.txt"
    data = end.join([*LINES, ""]).encode(encoding)
    for content in (data, gzip.compress(data)):
        path.write_bytes(content)
        options = {} if encoding.startswith("utf-8") else {"encoding": encoding}
        assert READERS[reader](path, **options) == EXPECTED[reader]


@each_reader
def test_another_encoding_and_damage_are_named(tmp_path, reader):
    path = tmp_path / "a.txt"
    path.write_bytes("x\tO\n\nZoë\tO\n".encode("latin-1"))
    which = r"`(files|train_file|validation_file)` (is|has) '.*a\.txt', "
    with pytest.raises(ValueError, match=which + "which is not utf-8 in line 3: give the `encoding`"):
        READERS[reader](path)
    with pytest.raises(ValueError, match="`encoding` is 'utf8000', which is unknown"):
        READERS[reader](path, encoding="utf8000")
    path.write_bytes("x\tO\n".encode("utf-16"))
    with pytest.raises(ValueError, match=which + "which begins with the mark of utf-16: give `encoding='utf-16'`"):
        READERS[reader](path)
    path.write_bytes("\ufeffx\tO\n".encode())
    with pytest.raises(ValueError, match=which + "which begins with the mark of utf-8: give `encoding='utf-8'`"):
        READERS[reader](path, encoding="latin-1")
    zipped = gzip.compress("".join(f"word{i * i}\tO\n" for i in range(3000)).encode())
    middle = len(zipped) // 2
    for damaged in (zipped[:middle], zipped[:middle] + b"\xff" * 9 + zipped[middle + 9 :]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=which + "a damaged gzip file behind line|not utf-8 in line"):
            READERS[reader](path)


def test_a_damaged_parquet_file_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 nothing PAR1")
    for load in (load_classified, load_tagged_splits, load_text):
        with pytest.raises(ValueError, match=r"`train_file` is '.*a\.parquet', a damaged parquet file"):
            load(path)


# 13. Column files.


@pytest.mark.parametrize(
    "text, options, problem",
    [
        ("a\nb\n", {}, "the tags would be the tokens: line 1, 'a', has 1 columns. Give the `separator`"),
        ("a O\nb O\n", {"separator": "|"}, "the tags would be the tokens: line 1, 'a O', has 1 columns"),
        ("a O\nb O\n", {"tag_column": 0}, "the tags would be the tokens"),
        ("x y\nz\t\n", {}, "the tags are empty in line 2"),
        ("a\tO\t\nb\tO\t\n", {}, "the tags are empty in line 1"),
        ("\ta\tO\n\tb\tO\n", {}, "the tokens are empty in line 1"),
        ("a  O\nb  O\n", {"separator": " ", "tag_column": 1}, "the tags are empty in line 1"),
        ("a O\n\nb O X\n", {}, "with 3 columns in line 3 and 2 before"),
        ("a O\n", {"tag_column": 5}, "`tag_column` is 5, but `train_file` is '.*', with 2 columns"),
        ("a O\n", {"token_column": "form"}, "`token_column` is 'form', but no `column_names` are given"),
    ],
)
def test_columns_that_cannot_be_right(tmp_path, text, options, problem):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem) as error:
        load_tagged_splits(path, **options)
    assert str(path) in str(error.value)


def test_a_missing_file_is_called_by_its_argument(tmp_path):
    good = tmp_path / "a.txt"
    good.write_text("a O\n")
    for split in ("train", "validation", "test"):
        files = {"train_file": good, f"{split}_file": tmp_path / "none.txt"}
        for load in (load_tagged_splits, load_classified, load_text):
            with pytest.raises(ValueError, match=rf"`{split}_file` is '.*none\.txt', which is not a file"):
                load(**files)


@pytest.mark.parametrize("blank", ["", "\n"])
def test_docstart_ends_a_sentence(tmp_path, blank):
    path = tmp_path / "a.txt"
    path.write_text(f"-DOCSTART- O\n{blank}a O\nb B-X\n{blank}-DOCSTART- O\n{blank}c O\n")
    assert sentences(load_tagged(path)) == [[("a", "O"), ("b", "B-X")], [("c", "O")]]


CONLLU = """# sent_id = 1
# text = We can't.
1-2\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
1\tca\tcan\tAUX\tMD\t_\t0\troot\t_\t_
2\tn't\tnot\tPART\tRB\t_\t1\tadvmod\t_\t_

# text = 20 #
1\t#\t#\tSYM\tNN\t_\t1\tdep\t_\t_
1.1\tgone\tgo\tVERB\tVBN\t_\t_\t_\t_\t_
"""


@pytest.mark.parametrize("name", ["en.conllu", "en.CONLLU", "en.txt", "en.conll", "en", "en.CoNLLU.gz", "EN.GZ"])
def test_conllu_under_any_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(CONLLU.encode()) if "gz" in name.lower() else CONLLU.encode())
    expected = [[("ca", "AUX"), ("n't", "PART")], [("#", "SYM")]]
    assert sentences(load_tagged(path)) == sentences(load_tagged_splits(path, path)) == expected
    xpos = load_tagged_splits(path, path, tag_column="xpos")
    assert sentences(xpos) == sentences(load_tagged_splits(path, path, token_column="1", tag_column="4"))
    assert [tag for row in sentences(xpos) for _, tag in row] == ["MD", "RB", "NN"]


def test_each_file_is_read_as_its_own_type(tmp_path):
    contents = {"a.txt": "ca AUX\nn't PART\n\n# SYM\n", "a.conllu": CONLLU}
    contents["a.jsonl"] = '{"tokens": ["ca", "n\'t"], "tags": ["AUX", "PART"]}\n{"tokens": ["#"], "tags": ["SYM"]}\n'
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    for train in contents:
        for validation in contents:
            splits = load_tagged_splits(tmp_path / train, tmp_path / validation)
            assert (
                sentences(splits)
                == sentences(splits, "validation")
                == [[("ca", "AUX"), ("n't", "PART")], [("#", "SYM")]]
            )
    (tmp_path / "b.txt").write_text("good a film\nbad no film\n")
    (tmp_path / "b.csv").write_text("text,label\na film,good\nno film,bad\n")
    splits = load_classified(tmp_path / "b.txt", tmp_path / "b.csv", tmp_path / "b.txt")
    assert splits["train"].to_dict() == splits["validation"].to_dict() == splits["test"].to_dict()


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("as_text", [str, json.dumps])
def test_lists_that_were_written_as_text(tmp_path, kind, as_text):
    rows = [(["It", "'s", 'a "b"', ","], ["O", "O", "B-X", "O"]), (["[", "1"], ["O", "O"]), ([], [])]
    path = write_rows(tmp_path / f"a.{kind}", [{"tokens": as_text(a), "tags": as_text(b)} for a, b in rows])
    expected = [[("It", "O"), ("'s", "O"), ('a_"b"', "B-X"), (",", "O")], [("[", "O"), ("1", "O")]]
    assert sentences(load_tagged_splits(path, path)) == expected
    path = write_rows(
        tmp_path / f"b.{kind}", [{"text": "x", "label": as_text(["a", "b"])}, {"text": "y", "label": "[]"}]
    )
    splits = load_classified(path, path, problem_type="multi_label_classification")
    assert splits["train"]["label"][:] == [[0, 1], []]
    with pytest.raises(ValueError, match=r"several labels, .*Give `problem_type` 'multi_label_classification'"):
        load_classified(path, path)


def test_lists_as_numpy_prints_them_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    for tokens, tags in (
        ("['Ada' 'sang']", "['B-PER' 'O']"),
        ("['Ada', 'sang']", "[1 0]"),
        ("['a' ... 'b']", "[0 0]"),
    ):
        path.write_text(f'tokens,tags\n"{tokens}","{tags}"\n')
        with pytest.raises(ValueError, match=r"line 2: .* is a list as numpy prints it"):
            load_tagged_splits(path)
    path.write_text("tokens,tags\n[ 1 ],O O O\na [,O O\n")  # words, since not all cells are lists
    assert sentences(load_tagged_splits(path, path))[0] == [("[", "O"), ("1", "O"), ("]", "O")]


def test_tokens_that_are_missing(tmp_path, said):
    path = tmp_path / "a.jsonl"
    for row in ('{"tokens": ["a", null], "tags": ["O", "O"]}', '{"tokens": ["a", "b"], "tags": ["O", ""]}'):
        path.write_text(row + "\n" + row + "\n")
        with pytest.raises(ValueError, match=r"line 1: a token or a tag is missing"):
            load_tagged_splits(path)
    path.write_text(
        '{"tokens": ["New York", "", "b"], "tags": ["O", "O", "O"]}\n{"tokens": [], "tags": []}\n'
        '{"tokens": ["c", "d"], "tags": null}\n'
    )
    assert [[t for t, _ in row] for row in sentences(load_tagged_splits(path, path))] == [["New_York", "_", "b"]]
    assert [re.sub(r"^.*?: ", "", message) for message in said[:3]] == [
        "1 rows without tokens are left out, such as line 2.",
        "1 rows without tags are left out, such as line 3.",
        "2 tokens are empty or hold white space, such as 'New York': that becomes '_', since words in text have none.",
    ]


def test_one_token_a_row(tmp_path, said):
    path = tmp_path / "a.csv"
    path.write_text("tokens,tags\nAda,B-PER\nsang,O\n")
    with pytest.raises(ValueError, match="whose 2 rows have one token each: a row has to be a sentence"):
        load_tagged_splits(path)
    path = tmp_path / "a.txt"
    path.write_text("Ada B-PER\n\nsang O\n\n")
    load_tagged_splits(path, path)
    assert "2 sentences have one token each: a blank line ends a sentence" in said[0]
    for name, text in (("b.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n'), ("b.csv", "tokens,tags\na,O\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match="with a sentence a row: `load_tagged_splits` reads those"):
            load_tagged(tmp_path / name)
    assert sentences(load_tagged(tmp_path / "b.csv", separator=",")) == [[("tokens", "tags"), ("a", "O")]]


def test_columns_are_no_labelled_texts(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"w{i} NN B-NP O\n" + "\n" * (i % 5 == 4) for i in range(30)))
    with pytest.raises(ValueError, match="has a token a line, 4 columns and blank lines between sentences"):
        load_classified(path)
    for text in ("-DOCSTART- O\nEU B-ORG\n", CONLLU):
        path.write_text(text)
        with pytest.raises(ValueError, match="has a token a line"):
            load_classified(path)


def test_words_are_no_labels(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"text {i} of its own\tpos\n" for i in range(120)))
    for files in ([path], [path, path]):
        with pytest.raises(ValueError, match=r"120 labels, 120 of which occur once, such as .* look like words"):
            load_classified(*files)
    path.write_text("".join(f"O w{i}\n" for i in range(120)))
    with pytest.raises(
        ValueError, match=r"120 labels, 120 of which occur once.*look like words. Name another `tag_col"
    ):
        load_tagged_splits(path)
    path.write_text("".join(f"w{i} t{i // 2}\n" for i in range(240)))
    assert len(load_tagged_splits(path, path)["train"].features["tags"].feature.names) == 120


# 14. Columns by number, from a command line.


@pytest.mark.parametrize("token, tag", [("0", "1"), ("0", "-2"), ("-3", "1"), (0, -2)])
def test_columns_by_number(tmp_path, token, tag):
    from transformers import HfArgumentParser

    from hf_lstm.training.arguments import TaggedArguments

    path = tmp_path / "a.txt"
    path.write_text("Ada NNP B-PER\nsang VBD O\n")
    line = ["--train_file", str(path), "--validation_file", str(path), "--token_column", str(token)]
    (arguments,) = HfArgumentParser(TaggedArguments).parse_args_into_dataclasses([*line, "--tag_column", str(tag)])
    for splits in (
        load_tagged_splits(**vars(arguments)),
        load_tagged_splits(path, path, token_column=token, tag_column=tag),
    ):
        assert sentences(splits) == [[("Ada", "NNP"), ("sang", "VBD")]]
    assert sentences(load_tagged(path, {"tokens": token, "tags": tag})) == [[("Ada", "NNP"), ("sang", "VBD")]]


# 15. Data of the Hub.


def push(folder, features, **splits):
    folder = folder / f"hub{len(list(folder.iterdir()))}"
    folder.mkdir()
    for name, columns in splits.items():
        Dataset.from_dict(columns, features=features).to_parquet(folder / f"{name}.parquet")
    return str(folder)


def test_labels_keep_the_order_of_their_class(tmp_path, said):
    names = ["positive", "negative", "a third that nobody has"]
    features = Features(text=Value("string"), label=ClassLabel(names=names))
    rows = {"text": ["x", "y"], "label": [0, 1]}
    name = push(tmp_path, features, train=rows, validation=rows, test={"text": ["x", "y"], "label": [-1, -1]})
    splits = load_classified(dataset_name=name)
    assert list(splits) == ["train", "validation"] and splits["train"]["label"][:] == [0, 1]
    assert splits["train"].features["label"].names == names
    assert said[-1].endswith("test, which has no labels: the test data are left out.")
    splits = load_classified(*(f"{name}/{split}.parquet" for split in ("train", "validation", "test")))
    assert list(splits) == ["train", "validation"] and splits["train"].features["label"].names == names
    assert load_classified(dataset_name=name, label_end=" ")["train"].features["label"].names == [*names[:2], "a"]


@pytest.mark.parametrize("problem_type", ["single_label_classification", "regression"])
def test_secret_labels_of_numbers(tmp_path, problem_type):
    kind = "float32" if problem_type == "regression" else "int64"
    features = Features(text=Value("string"), label=Value(kind))
    rows, secret = {"text": ["x", "y"], "label": [0, 1]}, {"text": ["x", "y"], "label": [-1, -1]}
    name = push(tmp_path, features, train=rows, validation=rows, test=secret)
    assert list(load_classified(dataset_name=name, problem_type=problem_type)) == ["train", "validation"]
    name = push(tmp_path, features, train={"text": ["x", "y"], "label": [-1, 1]}, validation=secret, test=rows)
    splits = load_classified(dataset_name=name, problem_type=problem_type)
    assert list(splits) == ["train", "validation", "test"]  # here -1 is a label
    assert len(splits["validation"]) == 2


def test_tags_of_the_hub(tmp_path, said):
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    features = Features(tokens=Sequence(Value("string")), tags=Sequence(ClassLabel(names=names)))
    rows = {"tokens": [["a", "b"], ["c"]], "tags": [[1, 0], [3]]}
    secret = {"tokens": [["a", "b"], ["c"]], "tags": [[-1, -1], [-100]]}
    splits = load_tagged_splits(dataset_name=push(tmp_path, features, train=rows, validation=rows, test=secret))
    assert list(splits) == ["train", "validation"] and splits["train"]["tags"][:] == rows["tags"]
    assert splits["train"].features["tags"].feature.names == names
    assert "2 rows without tags are left out" in said[0] and "the test data are left out" in said[1]
    half = {"tokens": [["a", "b"]], "tags": [[1, -1]]}
    with pytest.raises(ValueError, match="row 0: a token or a tag is missing"):
        load_tagged_splits(dataset_name=push(tmp_path, features, train=rows, validation=half))
    features = Features(tokens=Sequence(Value("string")), tags=Sequence(Value("int64")))
    numbers = {"tokens": [["a", "b", "c"]] * 2, "tags": [[2, 10, 1]] * 2}
    name = push(tmp_path, features, train=numbers, validation=numbers, test=numbers)
    assert load_tagged_splits(dataset_name=name)["train"].features["tags"].feature.names == ["1", "2", "10"]


# 17. fastText.


def test_fasttext_files(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("__label__a __label__b one text\n__label__b another\n")
    with pytest.raises(ValueError, match=r"line 1: several labels, '__label__a __label__b'. Give `problem_type`"):
        load_classified(path, path)
    splits = load_classified(path, path, problem_type="multi_label_classification")
    assert splits["train"]["text"][:] == ["one text", "another"]
    assert splits["train"]["label"][:] == [[0, 1], [1]]
    assert splits["train"].features["label"].feature.names == ["__label__a", "__label__b"]
    path.write_text("__label__a one  text\n__label__b\tanother\n")
    splits = load_classified(path, path)
    assert splits["train"]["text"][:] == ["one  text", "another"] and named(splits) == ["__label__a", "__label__b"]


# IOB1, and repairs.

IOB1 = ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "O", "I-PER", "O"]


def test_iob1_is_said_by_whoever_may_misread_it(tmp_path, said):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"w {tag}\n" for tag in IOB1))
    splits = load_tagged(path)
    assert len(said) == 1 and "`columns` has 'tags', in IOB1: 3 of 4 entities begin with I" in said[0]
    tokenizer = LSTMTokenizer.train_from_iterator(["w"], "word", show_progress=False)
    encode_tagged(splits["train"], tokenizer)
    assert len(said) == 2 and "`tag_column` is 'tags', in IOB1: 3 of 4 entities" in said[1]
    bio = convert_tag_column(splits, "tags", "BIO")
    encode_tagged(bio["train"], tokenizer)
    assert len(said) == 2
    assert [tag for _, tag in sentences(bio)[0]] == ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "O", "B-PER", "O"]


def test_repairs_are_counted(tmp_path, said):
    path = tmp_path / "a.txt"
    path.write_text("a B-X\nb I-X\n\nc O\nd I-X\ne B-X\n\nf B-Y\n")
    convert_tag_column(load_tagged(path), "tags", "BIOES")
    assert (
        len(said) == 1
        and "1 tags of 1 of 3 sentences are not well formed and are repaired, most often 'I-X' to 'B-X'" in said[0]
    )


def test_lists_with_gaps_in_a_csv(tmp_path):
    path = tmp_path / "a.csv"

    def read(cell):
        with open(path, "w", newline="") as file:
            rows = [["['a', 'b']", "['O', 'O']"], [cell, "['O', 'O']"]] * 2
            csv.writer(file).writerows([["tokens", "tags"], *rows])
        return load_tagged_splits(path, path)["train"]["tokens"][1]

    assert read("['c', True]") == ["c", "True"] and read("['nan', '...']") == ["nan", "..."]
    for cell, message in {
        "['c', nan]": "line 3: a token or a tag is missing",
        "['c', ...]": "line 3: .* cut short when it was printed",
        "['c', 007]": "line 3: .* is no list that can be read",
        "['c', 'd": "line 3: .* is no list, as other rows are",
    }.items():
        with pytest.raises(ValueError, match=message):
            read(cell)

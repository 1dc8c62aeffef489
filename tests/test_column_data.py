# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Files with a token a line: odd lines, named columns, CoNLL-U, conversion of schemes, and what is written again."""

import gzip
import json

import pytest
from datasets import Dataset, DatasetDict

from hf_lstm.data import convert_tag_column, load_tagged, load_tagged_splits, write_tagged
from hf_lstm.data.tag_schemes import convert_tags, is_well_formed
from hf_lstm.evaluation import entity_report


CONLL = """-DOCSTART- -X- -X- O

Ada NNP I-NP I-PER
Lovelace NNP I-NP I-PER
Paris NNP B-NP I-LOC

-DOCSTART- -X- -X- O

# SYM O O
Eve NNP I-NP I-PER
Ada NNP B-NP B-PER
"""
CONLLU = """# newdoc id = one
# text = We can't.
1\tWe\twe\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
2\tca\tcan\tAUX\tMD\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_

# text = 20 000 #
1\t20 000\t20000\tNUM\tCD\t_\t0\troot\t_\t_
1.1\tgone\tgo\tVERB\tVBN\t_\t_\t_\t_\t_
2\t#\t#\tSYM\tNN\t_\t1\tdep\t_\t_
"""


def write(path, text: str, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def sentences(split: Dataset, column: str = "tags") -> list[list[tuple[str, str]]]:
    names = split.features[column].feature.names
    pairs = zip(split["tokens"][:], split[column][:], strict=True)
    return [[(token, names[i]) for token, i in zip(*pair, strict=True)] for pair in pairs]


def test_columns_by_index_and_by_name(tmp_path):
    path = write(tmp_path / "eng.train", CONLL)
    tokens = [["Ada", "Lovelace", "Paris"], ["#", "Eve", "Ada"]]
    by_index = load_tagged(path, {"tokens": 0, "pos_tags": 1, "ner_tags": 3})
    by_name = load_tagged(
        {"train": str(path)},
        {"tokens": "word", "pos_tags": "pos", "ner_tags": "ner"},
        column_names=("word", "pos", "chunk", "ner"),
    )
    for splits in (by_index, by_name):
        train = splits["train"]
        assert list(splits) == ["train"] and train.column_names == ["tokens", "pos_tags", "ner_tags"]
        assert train["tokens"][:] == tokens
        assert train.features["ner_tags"].feature.names == ["O", "B-PER", "I-LOC", "I-PER"]
        assert [tag for _, tag in sentences(train, "pos_tags")[1]] == ["SYM", "NNP", "NNP"]
        assert [tag for _, tag in sentences(train, "ner_tags")[1]] == ["O", "I-PER", "B-PER"]
    assert sentences(load_tagged(path)["train"]) == sentences(by_index["train"], "ner_tags")  # the first and the last
    assert load_tagged(path, {"tokens": -4})["train"].column_names == ["tokens"]


def test_conllu(tmp_path):
    path = tmp_path / "en.conllu.gz"
    path.write_bytes(gzip.compress(CONLLU.encode()))
    expected = [[("We", "PRON"), ("ca", "AUX"), ("n't", "PART")], [("20 000", "NUM"), ("#", "SYM")]]
    assert sentences(load_tagged(path)["train"]) == expected
    xpos = load_tagged(path, {"tokens": "form", "tags": "xpos", "relations": "deprel"})["train"]
    assert [tag for _, tag in sentences(xpos)[0]] == ["PRP", "MD", "RB"]
    assert [tag for _, tag in sentences(xpos, "relations")[0]] == ["nsubj", "root", "advmod"]


@pytest.mark.parametrize(
    "text",
    [
        "a O\nb B-X\n\nc O\n",
        "a O\nb B-X\n\nc O",  # no line feed at the end
        "\n\na O\nb B-X\n\n\n \nc O\n\n",  # more blank lines than needed, one with a space
        "a\tO\nb\tB-X\n\t\nc\tO\n",  # a lone tab between sentences, as in WNUT-17
        "a O\r\nb B-X\r\n\r\nc O\r\n",
        "\ufeffa O\nb B-X\n\nc O\n",
        "a   O\n b B-X \n\nc O\n",  # any number of spaces
    ],
)
def test_blank_lines_and_line_ends(tmp_path, text):
    expected = [[("a", "O"), ("b", "B-X")], [("c", "O")]]
    assert sentences(load_tagged(write(tmp_path / "a.txt", text))["train"]) == expected


@pytest.mark.parametrize("token", ["\u3000", "\xa0", "\u2028", "\x85", "\x0b", "a\rb", "\ufeff", "#", "-X-"])
def test_tokens_that_look_like_spaces_or_line_ends(tmp_path, token):
    for separator in (" ", "\t"):
        path = write(tmp_path / "a.txt", f"x{separator}O\n{token}{separator}B-A\n")
        assert sentences(load_tagged(path)["train"]) == [[("x", "O"), (token, "B-A")]]


def test_comments_separators_and_encodings(tmp_path):
    path = write(tmp_path / "a.txt", "# id 1\n#tag|O\nß|B-A\n", encoding="latin-1")
    splits = load_tagged(path, separator="|", comment="# id", encoding="latin-1")
    assert sentences(splits["train"]) == [[("#tag", "O"), ("ß", "B-A")]]
    tab = write(tmp_path / "b.txt", "New York\tB-A\n")
    assert sentences(load_tagged(tab)["train"]) == [[("New York", "B-A")]]


def test_splits_share_the_names_of_labels(tmp_path):
    train, test = write(tmp_path / "a.txt", "a O\nb B-X\n"), write(tmp_path / "b.txt", "c B-A\n")
    splits = load_tagged({"train": train, "test": test})
    assert splits["train"].features == splits["test"].features
    assert splits["test"].features["tags"].feature.names == ["O", "B-A", "B-X"]
    assert sentences(splits["test"]) == [[("c", "B-A")]]


def test_conversion_of_a_column(tmp_path):
    path = write(tmp_path / "a.txt", CONLL)
    splits = load_tagged({"train": path, "test": write(tmp_path / "b.txt", "Ada x y I-PER\n")})
    bioes = convert_tag_column(splits, "tags", "BIOES")
    names = ["O", "B-LOC", "I-LOC", "E-LOC", "S-LOC", "B-PER", "I-PER", "E-PER", "S-PER"]
    assert bioes["train"].features["tags"].feature.names == bioes["test"].features["tags"].feature.names == names
    assert [[tag for _, tag in row] for row in sentences(bioes["train"])] == [
        ["B-PER", "E-PER", "S-LOC"],
        ["O", "S-PER", "S-PER"],
    ]
    assert bioes["train"]["tokens"][:] == splits["train"]["tokens"][:]
    back = convert_tag_column(bioes, "tags", "IOB1")
    assert sentences(back["train"]) == sentences(splits["train"])
    assert sentences(splits["test"]) == [[("Ada", "I-PER")]]
    with pytest.raises(ValueError, match="`column` is 'ner', which has to be a column of `ClassLabel` sequences"):
        convert_tag_column(splits, "ner", "BIO")
    pos = load_tagged(path, {"tokens": 0, "tags": 1})
    with pytest.raises(ValueError, match=r"`column` is 'tags', whose labels \['NNP', 'SYM'\] are no tags of entities"):
        convert_tag_column(pos, "tags", "BIO")


def test_what_is_written_is_read_again(tmp_path):
    tokens = [["Ada", "\u3000", "a\x85b"], ["x"]]
    gold, predicted = [["B-PER", "O", "O"], ["B-LOC"]], [["B-PER", "I-PER", "O"], ["O"]]
    path = tmp_path / "predictions.txt"
    write_tagged(path, tokens, gold, predicted)
    assert path.read_bytes().decode().split("\n")[:2] == ["Ada B-PER B-PER", "\u3000 O I-PER"]
    read = load_tagged(path, {"tokens": 0, "gold": 1, "predicted": 2})["train"]
    assert read["tokens"][:] == tokens
    for column, expected in (("gold", gold), ("predicted", predicted)):
        assert [[tag for _, tag in row] for row in sentences(read, column)] == expected
    for separator in ("\t", None):  # None: a tab, where there are blanks
        write_tagged(path, [["New York"]], [["B-LOC of X"]], separator=separator)
        assert sentences(load_tagged(path)["train"]) == [[("New York", "B-LOC of X")]]


def test_what_cannot_be_read_again_is_not_written(tmp_path):
    for token in ("New\tYork city", "", "a\nb"):
        with pytest.raises(ValueError, match=r"`tokens` has .* in sentence 1: no field of .* may be empty"):
            write_tagged(tmp_path / "a.txt", [["x"], [token]], [["O"], ["O"]])
    with pytest.raises(ValueError, match=r"`tags` of sentence 0 has \[2, 1\] tags for 2 tokens"):
        write_tagged(tmp_path / "a.txt", [["a", "b"]], [["O", "O"]], [["O"]])


def test_bad_files_are_refused(tmp_path):
    good = write(tmp_path / "a.txt", CONLL)
    ragged = write(tmp_path / "ragged.txt", "a O\n\nb O\nc\n")
    with pytest.raises(ValueError, match=r"ragged\.txt', with 1 columns in line 4 and 2 before"):
        load_tagged(ragged)
    with pytest.raises(ValueError, match=r"`files` has '.*none\.txt', which is not a file"):
        load_tagged(tmp_path / "none.txt")
    with pytest.raises(ValueError, match=r"`files` has '.*blank\.txt', which holds no sentence"):
        load_tagged(write(tmp_path / "blank.txt", "\n-DOCSTART- O\n\n"))
    with pytest.raises(ValueError, match=r"`files` has '.*a\.conllu', which holds no sentence"):
        load_tagged(write(tmp_path / "a.conllu", "# text\n1-2\tdu" + "\t_" * 8 + "\n"))
    with pytest.raises(ValueError, match=r"`columns` names 4, but `files` has '.*a\.txt', with 4 columns"):
        load_tagged(good, {"tokens": 0, "tags": 4})
    with pytest.raises(ValueError, match="`columns` names 'ner', but no `column_names` are given"):
        load_tagged(good, {"tokens": 0, "tags": "ner"})
    with pytest.raises(ValueError, match=r"`columns` names 'ner', but `column_names` is \['word', 'tag'\]"):
        load_tagged(good, {"tokens": 0, "tags": "ner"}, column_names=("word", "tag"))
    with pytest.raises(ValueError, match=r"`columns` is {'tags': 1}: it has to name the column of the \"tokens\""):
        load_tagged(good, {"tags": 1})


def count_entities(split: Dataset) -> dict[str, int]:
    tags = [[tag for _, tag in row] for row in sentences(split)]
    rows = entity_report(tags, tags)
    return {name: row["support"] for name, row in rows.items() if "avg" not in name}


def test_conll_2003_has_its_published_counts(shared_data):
    folder = shared_data / "conll2003"
    splits = load_tagged({"validation": folder / "eng.testa.gz", "test": folder / "eng.testb.gz"})
    assert {name: len(split) for name, split in splits.items()} == {"validation": 3250, "test": 3453}
    assert sum(map(len, splits["test"]["tokens"][:])) == 46_435
    bio = convert_tag_column(splits, "tags", "BIO")
    for data in (splits, bio):
        assert count_entities(data["validation"]) == {"LOC": 1837, "MISC": 922, "ORG": 1341, "PER": 1842}
        assert count_entities(data["test"]) == {"LOC": 1668, "MISC": 702, "ORG": 1661, "PER": 1617}
    for row in sentences(bio["test"]):
        assert is_well_formed([tag for _, tag in row], "BIO")
    assert sum(tag[0] == "B" for row in sentences(splits["test"]) for _, tag in row) == 20


def test_wnut_2017_has_its_published_counts(shared_data):
    folder = shared_data / "wnut17"
    splits = load_tagged({"train": folder / "wnut17train.conll", "test": folder / "emerging.test.annotated"})
    assert [len(split) for split in splits.values()] == [3394, 1287]
    assert [sum(map(len, split["tokens"][:])) for split in splits.values()] == [62_730, 23_394]
    expected = {"person": 429, "location": 150, "group": 165, "creative-work": 142, "corporation": 66, "product": 127}
    assert count_entities(splits["test"]) == expected


def test_chinese_data_sets_have_their_published_counts(shared_data):
    resume = load_tagged({split: shared_data / "resume_ner" / f"{split}.char.bmes" for split in ("dev", "test")})
    assert [len(split) for split in resume.values()] == [463, 477]
    assert [sum(map(len, split["tokens"][:])) for split in resume.values()] == [13_890, 15_100]
    assert [sum(count_entities(split).values()) for split in resume.values()] == [1497, 1630]
    bio = convert_tag_column(resume, "tags", "BIO")
    for old, new in zip(sentences(resume["test"]), sentences(bio["test"]), strict=True):
        assert convert_tags([tag for _, tag in old], "BMES", "BIO", strict=True) == [tag for _, tag in new]
    weibo = load_tagged(shared_data / "weibo_ner" / "weiboNER_2nd_conll.dev")["train"]
    assert (len(weibo), sum(map(len, weibo["tokens"][:]))) == (270, 14_509)
    assert count_entities(weibo) == {
        "PER.NAM": 90, "PER.NOM": 208, "ORG.NAM": 47, "ORG.NOM": 5,
        "GPE.NAM": 26, "GPE.NOM": 1, "LOC.NAM": 6, "LOC.NOM": 6,
    }  # fmt: skip


def test_universal_dependencies_have_their_published_counts(shared_data):
    files = {split: shared_data / "ud_english_ewt" / f"en_ewt-ud-{split}.conllu.gz" for split in ("dev", "test")}
    splits = load_tagged(files, {"tokens": "form", "upos": "upos", "xpos": "xpos"})
    assert isinstance(splits, DatasetDict)
    assert [len(split) for split in splits.values()] == [2001, 2077]
    assert [sum(map(len, split["tokens"][:])) for split in splits.values()] == [25_147, 25_094]
    assert len(splits["dev"].features["upos"].feature.names) == 17
    assert len(set(sum(splits["test"]["xpos"][:], []))) == 48  # noqa: RUF017


def test_tags_that_no_column_can_hold(tmp_path):
    """They are refused before a training, at whose end its predictions could not be written."""
    path = tmp_path / "train.jsonl"
    path.write_text(
        "".join(json.dumps({"tokens": ["x", "y"], "tags": [tag, "O"]}) + "\n" for tag in ["A B", "C\tD"] * 10)
    )
    with pytest.raises(ValueError, match=r"`tag_column` holds the tag 'C\\tD'"):
        load_tagged_splits(path)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Readers of sounds and texts, what training makes of them, and error rates."""

import json

import numpy as np
import pytest
import torch
from datasets import Audio, Dataset

from hf_lstm import RecurrentFeatureExtractor, RecurrentSpeechProcessor
from hf_lstm.data import build_ctc_tokenizer, encode_speech, load_speech
from hf_lstm.data.sound import wav_of
from hf_lstm.data.speech import DataCollatorForSpeech, SpeechRows, encode_sounds
from hf_lstm.evaluation.speech import make_ctc_metrics, most_probable_labels, speech_scores


pytest.importorskip("soundfile", reason="pip install soundfile")

RNG = np.random.default_rng(0)


def sound(samples: int) -> np.ndarray:
    return (RNG.standard_normal(samples) * 0.1).astype(np.float32)


def processor(**fields) -> RecurrentSpeechProcessor:
    extractor = RecurrentFeatureExtractor(feature_size=8, sampling_rate=8000, **fields)
    return RecurrentSpeechProcessor(extractor, build_ctc_tokenizer(["one two"]))


@pytest.fixture
def folder(tmp_path):
    """Three sounds and a table of them."""
    (tmp_path / "clips").mkdir()
    for i, samples in enumerate((4000, 3000, 2500)):
        (tmp_path / "clips" / f"{i}.wav").write_bytes(wav_of(sound(samples), 8000))
    rows = [(f"clips/{i}.wav", text) for i, text in enumerate(("one", "two", "one two"))]
    (tmp_path / "a.tsv").write_text("audio\ttext\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    (tmp_path / "a.csv").write_text("audio,text\n" + "".join(f"{a},{b}\n" for a, b in rows), encoding="utf-8")
    lines = "".join(json.dumps({"audio": a, "text": b}) + "\n" for a, b in rows)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    bytes_of = [{"path": None, "bytes": (tmp_path / a).read_bytes()} for a, _ in rows]
    data = Dataset.from_dict({"audio": bytes_of, "text": [b for _, b in rows]})
    data.cast_column("audio", Audio(decode=False)).to_parquet(tmp_path / "a.parquet")
    return tmp_path


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet"])
def test_tables_of_every_kind(folder, kind):
    file = folder / f"a.{kind}"
    splits = load_speech(file, file, file)
    assert list(splits) == ["train", "validation", "test"]
    assert all(rows["text"][:] == ["one", "two", "one two"] for rows in splits.values())
    rows = encode_speech(splits["train"], processor())
    assert [len(frames) for frames in rows["frames"]] == [48, 36, 29] and rows["seconds"][:] == [0.5, 0.375, 0.3125]


def test_the_digits_that_come_along():
    splits = load_speech()
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 162, "validation": 18, "test": 60}
    digits = "zero one two three four five six seven eight nine".split()  # noqa: SIM905
    assert sorted(splits["test"]["text"]) == sorted(digits * 6)
    names = {split: {each["path"] for each in rows["audio"]} for split, rows in splits.items()}
    assert sum(map(len, names.values())) == len(set.union(*names.values())) == 240


def test_what_a_table_cannot_have(folder):
    (folder / "b.tsv").write_text("audio\ttext\nclips/9.wav\tone\n")
    with pytest.raises(ValueError, match=r"line 2: there is no file '.*clips/9.wav'"):
        load_speech(folder / "b.tsv")
    with pytest.raises(ValueError, match="`text_column` is 'said'"):
        load_speech(folder / "a.tsv", text_column="said")
    with pytest.raises(ValueError, match="give a table"):
        load_speech(folder / "clips" / "0.wav")


def test_what_does_not_fit_is_counted(folder, caplog):
    """Too short for its labels, and characters without an id; of test data nothing is left out."""
    (folder / "b.tsv").write_text("audio\ttext\nclips/0.wav\tone\nclips/1.wav\toneoneoneoneone\nclips/2.wav\tx\n")
    data = load_speech(folder / "b.tsv", folder / "b.tsv")
    rows = encode_speech(data["train"], processor())
    assert rows["text"][:] == ["one", "x"]
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "1 of 3 sounds of the training data are left out" in said and "'x' (1)" in said
    assert len(encode_speech(data["validation"], processor(), "validation")) == 3
    with pytest.raises(ValueError, match="is long enough"):
        encode_speech(data["train"].select([1]), processor())


def test_files_of_features(folder):
    for i in range(3):
        np.save(folder / "clips" / f"{i}.npy", sound(80 * (i + 2)).reshape(-1, 8))
    table = (folder / "a.tsv").read_text().replace(".wav", ".npy")
    (folder / "f.tsv").write_text(table)
    rows = encode_speech(load_speech(folder / "f.tsv", folder / "f.tsv")["train"], processor(frame_stacking=1))
    assert [len(frames) for frames in rows["frames"]] == [20, 30, 40] and rows["seconds"][0] == 0.2
    with pytest.raises(ValueError, match="frames of 8 features, but `feature_size`"):
        reader = processor()
        reader.feature_extractor.feature_size = 9
        encode_speech(load_speech(folder / "f.tsv", folder / "f.tsv")["train"], reader)


def test_rows_are_read_joined_and_played_faster(folder):
    reader = processor(frame_stacking=1)
    data = encode_speech(load_speech(folder / "a.tsv", folder / "a.tsv")["train"], reader)
    plain = SpeechRows(data, reader)
    assert np.allclose(plain[1]["input_features"], data.with_format("numpy")[1]["frames"])
    torch.manual_seed(0)
    lengths = {len(SpeechRows(data, reader, speed=0.2)[0]["input_features"]) for _ in range(60)}
    assert min(lengths) >= 47 / 1.2 - 1 and max(lengths) <= 47 * 1.2 + 1 and len(lengths) > 5
    joined = [SpeechRows(data, reader, join=3)[0]["labels"] for _ in range(60)]
    found = set(reader.tokenizer.batch_decode(joined, group_tokens=False))
    assert {"one", "one two", "one one", "one two one"} <= found
    batch = DataCollatorForSpeech(reader)([plain[0], plain[1], {**plain[2], "labels": []}])
    assert batch["input_features"].shape == (3, 48, 8) and batch["attention_mask"].sum(1).tolist() == [48, 36, 29]
    assert (batch["labels"][2] == -100).all()
    for fields, name in (({"speed": 1.5}, "speed"), ({"join": 0}, "join")):
        with pytest.raises(ValueError, match=f"`{name}`"):
            SpeechRows(data, reader, **fields)


def test_labels_of_sounds(folder):
    extractor = processor().feature_extractor
    data = load_speech(folder / "a.tsv", folder / "a.tsv")["train"]
    rows = SpeechRows(encode_sounds(data, extractor, ["one", "one two", "two"]), extractor)
    batch = DataCollatorForSpeech(extractor)([rows[i] for i in range(3)])
    assert batch["labels"].tolist() == [0, 2, 1]
    with pytest.raises(ValueError, match="the label 'one two'"):
        encode_sounds(data, extractor, ["one", "two"])


def test_error_rates():
    """Against counts by hand; a text in which nothing was said makes every word too many."""
    pytest.importorskip("jiwer", reason="pip install jiwer")
    scores = speech_scores(["a b c", "x", "", "noise"], ["a c", "x", "y z", ""])
    assert (scores.substitutions, scores.deletions, scores.insertions, scores.words) == (0, 2, 2, 5)
    assert np.isclose(scores.wer, 100 * 4 / 5) and np.isclose(scores.exact, 25)
    assert np.isclose(scores.cer, 100 * (2 + 0 + 3 + 5) / (3 + 1 + 3))
    with pytest.raises(ValueError, match="has no word"):
        speech_scores(["a"], [""])
    with pytest.raises(ValueError, match="1 `predictions` of 2"):
        speech_scores(["a"], ["a", "b"])


def test_metrics_of_trainer():
    pytest.importorskip("jiwer", reason="pip install jiwer")
    reader = processor()
    ids = reader.tokenizer(["one two", "two"], add_special_tokens=False)["input_ids"]
    logits = torch.zeros(2, 9, len(reader.tokenizer))
    for row, labels in zip(logits, ids, strict=True):
        row[torch.arange(len(labels)), labels] = 1
        row[len(labels) :, 0] = 1
    labels = np.array([[*row, *[-100] * (9 - len(row))] for row in ids])

    class Output:
        predictions, label_ids = most_probable_labels(logits).numpy(), labels

    assert make_ctc_metrics(reader)(Output) == {"wer": 0, "cer": 0}
    Output.predictions = np.where(np.arange(9) < 8, Output.predictions, -100)  # as Trainer pads
    assert make_ctc_metrics(reader)(Output) == {"wer": 0, "cer": 0}

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The features of sound: those of transformers' own functions, the same for every chunking, and errors that help."""

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from hf_lstm import RecurrentFeatureExtractor
from hf_lstm.data.sound import build_ctc_tokenizer, read_frames, read_sound, wav_of


RNG = np.random.default_rng(0)


def sound(samples: int, scale: float = 0.1) -> np.ndarray:
    return (RNG.standard_normal(samples) * scale).astype(np.float32)


def fitted(**fields) -> RecurrentFeatureExtractor:
    return RecurrentFeatureExtractor(feature_size=20, sampling_rate=8000, **fields).fit([sound(8000), sound(4000)])


def test_frames_are_those_of_transformers():
    extractor, samples = RecurrentFeatureExtractor(feature_size=40), sound(16_000)
    filters = mel_filter_bank(257, 40, 20, 8000, 16_000, mel_scale="kaldi", triangularize_in_mel_space=True)
    expected = spectrogram(
        samples,
        window_function(400, "hann"),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=filters,
        mel_floor=1e-6,
        log_mel="log",
    )
    assert np.abs(extractor.frames_of(samples) - expected.T).max() < 1e-4


def test_deltas_are_slopes():
    """Of a line they are its slope, and of that 0; against a loop over the definition."""
    extractor = RecurrentFeatureExtractor(feature_size=3, num_deltas=2, frame_stacking=1)
    frames = sound(3 * 12, 1.0).reshape(12, 3)

    def slope(rows, t):
        at = [rows[max(0, i)] for i in range(t - 4, t + 1)]
        return sum(k * (at[2 + k] - at[2 - k]) for k in (1, 2)) / 10

    first = [slope(frames, t) for t in range(12)]
    # Slopes of what stands before the first frame are 0, as is their own slope there.
    second = [slope([np.zeros(3)] * 4 + first, t + 4) for t in range(12)]
    expected = np.concatenate([frames, first, second], 1)
    assert np.abs(extractor.step(frames=frames)[0] - expected).max() < 1e-5
    line = np.arange(20, dtype=np.float32)[:, None] * np.array([[1.0, 2.0, -3.0]])
    assert np.allclose(extractor.step(frames=line)[0][8:, 3:], [1, 2, -3, 0, 0, 0], atol=1e-5)


@pytest.mark.parametrize(
    "fields", [{}, {"num_deltas": 2}, {"frame_stacking": 4, "hop_length": 300, "win_length": 200}]
)
def test_features_of_pieces_are_those_of_the_whole(fields):
    extractor, samples = fitted(**fields), sound(6000)
    whole, _ = extractor.step(samples)
    assert len(whole) == extractor.stacked(len(samples))
    for trial in range(30):
        cuts = sorted(RNG.integers(0, 6000, trial))
        parts, state = [], None
        for piece in np.split(samples, cuts):
            features, state = extractor.step(piece, state)
            parts.append(features)
        assert np.abs(np.concatenate(parts) - whole).max() < 1e-5
    state, parts = None, []
    for sample in samples[:1600]:
        features, state = extractor.step(sample[None], state)
        parts.append(features)
    assert np.abs(np.concatenate(parts) - whole[: sum(map(len, parts))]).max() < 1e-5
    assert sum(map(len, parts)) == extractor.stacked(1600)


def test_normalised_by_the_training_data_alone(tmp_path):
    sounds = [sound(9000, 0.2), sound(3000, 0.01)]
    extractor = RecurrentFeatureExtractor(feature_size=10, sampling_rate=8000, frame_stacking=1).fit(sounds)
    frames = np.concatenate([extractor.step(each)[0] for each in sounds])
    assert np.abs(frames.mean(0)).max() < 1e-3 and np.abs(frames.std(0) - 1).max() < 1e-3
    extractor.save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is RecurrentFeatureExtractor and loaded.to_dict() == extractor.to_dict()
    assert np.array_equal(loaded.step(sounds[0])[0], extractor.step(sounds[0])[0])


def test_a_batch_is_padded_and_masked():
    extractor = fitted()
    sounds = [sound(4000), sound(100), sound(2000), np.zeros(0)]
    batch = extractor(sounds, sampling_rate=8000, return_tensors="pt")
    assert batch["attention_mask"].sum(1).tolist() == extractor.stacked([4000, 100, 2000, 0]).tolist() == [16, 0, 7, 0]
    assert not batch["input_features"][batch["attention_mask"] == 0].any()
    alone = extractor(torch.tensor(sounds[2]), sampling_rate=8000, return_tensors="np")
    assert np.allclose(batch["input_features"][2, :7], alone["input_features"][0])


def test_whole_numbers_are_samples_of_their_range():
    extractor, samples = fitted(), sound(3000)
    for kind, scale in ((np.int16, 32768), (np.int32, 2**31)):
        whole = np.round(samples.astype(np.float64) * scale).clip(-scale, scale - 1).astype(kind)
        assert np.abs(extractor.step(whole)[0] - extractor.step(whole / scale)[0]).max() < 1e-4


@pytest.mark.parametrize(
    "values, message",
    [
        ({"raw_speech": np.zeros((2, 2, 100))}, "one channel"),
        ({"raw_speech": np.array([0.0, np.nan])}, "number 1"),
        ({"raw_speech": np.zeros(100), "sampling_rate": 16_000}, "`sampling_rate` is 16000"),
        ({"raw_speech": "sound.wav"}, "is a str"),
        ({}, "exactly one"),
        ({"frames": np.zeros((5, 7))}, "expected (frames, 20)"),
    ],
)
def test_bad_input_is_named(values, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        fitted()(**{"sampling_rate": 8000, **values})


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"n_fft": 100}, "`n_fft=100`"),
        ({"num_deltas": 3}, "`num_deltas`"),
        ({"frame_stacking": 0}, "`frame_stacking`"),
        ({"max_frequency": 9000}, "`max_frequency=9000`"),
        ({"mean": [0.0]}, "`mean` has 1"),
        ({"std": [0.0] * 80}, "`std`"),
    ],
)
def test_fields_that_cannot_work(fields, message):
    with pytest.raises(ValueError, match=message):
        RecurrentFeatureExtractor(**fields)


def test_files_of_sound(tmp_path, caplog):
    """Of any kind, rate and number of channels; the mean of several is said."""
    soundfile = pytest.importorskip("soundfile", reason="pip install soundfile")
    pytest.importorskip("soxr", reason="pip install soxr")
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32)
    (tmp_path / "a.wav").write_bytes(wav_of(tone, 8000))
    samples, rate = read_sound(tmp_path / "a.wav")
    assert rate == 8000 and np.abs(samples - tone).max() < 1e-4
    for kind in ("flac", "ogg", "mp3"):
        soundfile.write(tmp_path / f"a.{kind}", tone, 8000)
        samples, _ = read_sound((tmp_path / f"a.{kind}").read_bytes(), 8000)
        assert abs(np.abs(np.fft.rfft(samples)).argmax() * 8000 / len(samples) - 440) < 2
    samples, rate = read_sound(tmp_path / "a.wav", 16_000)
    assert rate == 16_000 and len(samples) == 16_000 and abs(np.abs(np.fft.rfft(samples)).argmax() - 440) < 2
    soundfile.write(tmp_path / "stereo.wav", np.stack([tone, -tone], 1), 8000)
    assert np.abs(read_sound(tmp_path / "stereo.wav")[0]).max() < 1e-4
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match="is no sound"):
        read_sound(tmp_path / "text.wav")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_sound(tmp_path / "none.wav")


def test_files_of_features(tmp_path):
    frames = sound(26, 1.0).reshape(2, 13)
    np.save(tmp_path / "a.npy", frames)
    (tmp_path / "a.mfc").write_bytes((26).to_bytes(4, "big") + frames.astype(">f4").tobytes())
    assert np.array_equal(read_frames(tmp_path / "a.npy"), frames)
    assert np.array_equal(read_frames(tmp_path / "a.mfc"), frames)
    assert read_frames(tmp_path / "a.wav") is None
    (tmp_path / "b.mfc").write_bytes((26).to_bytes(4, "big"))
    with pytest.raises(ValueError, match="is damaged"):
        read_frames(tmp_path / "b.mfc")


def test_a_tokenizer_of_characters():
    tokenizer = build_ctc_tokenizer(["one two", "three"])
    ids = tokenizer("one two", add_special_tokens=False)["input_ids"]
    assert tokenizer.pad_token_id == 0 and tokenizer.decode(ids, group_tokens=False) == "one two"
    assert tokenizer.decode([0, *ids[:2], 0, ids[1], *ids[2:], 0]) == "onne two"
    assert tokenizer.unk_token_id in tokenizer("x", add_special_tokens=False)["input_ids"]
    with pytest.raises(ValueError, match="has no character"):
        build_ctc_tokenizer(["", " "])

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Recognition of whole sounds and of streams: the same text, times and scores, whatever the pieces."""

import numpy as np
import pytest
import torch

from hf_lstm import LSTMForCTC, RecurrentFeatureExtractor, RecurrentSpeechConfig, RecurrentSpeechProcessor
from hf_lstm.data.sound import build_ctc_tokenizer, wav_of
from hf_lstm.evaluation.ctc_decoding import CTCBeamSearch, greedy
from hf_lstm.evaluation.recognizer import GreedyDecoder, SpeechRecognizer


RNG = np.random.default_rng(0)


def sound(samples: int) -> np.ndarray:
    """Noise that comes and goes, so that a random network says something now and then."""
    loud = np.repeat(RNG.random(samples // 400 + 1) > 0.5, 400)[:samples]
    return (RNG.standard_normal(samples) * 0.2 * loud).astype(np.float32)


def recognizer(bidirectional: bool = False, **options) -> SpeechRecognizer:
    torch.manual_seed(3)
    tokenizer = build_ctc_tokenizer(["abc d"])
    extractor = RecurrentFeatureExtractor(feature_size=10, sampling_rate=8000, num_deltas=1)
    extractor.fit([sound(8000)])
    config = RecurrentSpeechConfig(
        feature_size=extractor.step_size,
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_hidden_layers=2,
        bidirectional=bidirectional,
    )
    model = LSTMForCTC(config)
    model.lm_head.weight.data *= 4
    model.lm_head.bias.data[0] = 1.5  # silence now and then
    return SpeechRecognizer(model, RecurrentSpeechProcessor(extractor, tokenizer), **options)


def same(found: dict, expected: dict) -> None:
    assert found["text"] == expected["text"]
    assert np.isclose(found["score"], expected["score"], atol=1e-4)
    for own, other in zip(found["words"], expected["words"], strict=True):
        assert own["text"] == other["text"]
        assert np.allclose([own[k] for k in ("start", "end", "confidence")], [other[k] for k in own if k != "text"])


def pieces(samples: np.ndarray, number: int) -> list[np.ndarray]:
    return np.split(samples, sorted(RNG.integers(0, len(samples), number)))


def test_a_stream_is_the_whole():
    """For 200 random chunkings, and sample by sample."""
    model, samples = recognizer(), sound(6000)
    whole = model(samples)
    assert len(whole["text"]) > 5
    for trial in range(200):
        stream = model.start()
        for piece in pieces(samples, trial % 20):
            stream, _ = model.push(stream, piece)
        _, (result,) = model.finish(stream)
        same(result, whole)
    stream = model.start()
    for sample in samples[:1500]:
        stream, (partial,) = model.push(stream, sample[None])
    same(partial, model(samples[:1500]))


def test_many_streams_in_a_batch_and_branches():
    """Each as though it were alone; a stream that was gone on from is what it was."""
    model = recognizer()
    sounds = [sound(n) for n in (5000, 1200, 3000, 100)]
    streams = [model.start()] * 4
    for part in zip(*(np.array_split(each, 7) for each in sounds), strict=True):
        before, (streams, results) = streams, model.push(streams, part)
    for stream, samples, (partial,) in zip(streams, sounds, results, strict=True):
        same(partial, model(samples))
        assert stream.steps == model.extractor.stacked(len(samples))
    again, _ = model.push(before, part)
    for one, other in zip(again, streams, strict=True):
        assert model.decoder.results(one.decoded)[0].text == model.decoder.results(other.decoded)[0].text


def test_utterances_end_where_they_end():
    """At the same steps for every chunking; together they say what the whole says."""
    model, samples = recognizer(endpoint_seconds=0.12), sound(16_000)
    expected = None
    for trial in range(30):
        stream, found = model.start(), []
        for piece in pieces(samples, trial):
            stream, results = model.push(stream, piece)
            found += [each for each in results if each["final"]]
        found += model.finish(stream)[1]
        expected = expected or found
        assert len(found) == len(expected) > 2
        for own, other in zip(found, expected, strict=True):
            same(own, other)
    assert "".join(each["text"] for each in found).replace(" ", "") == model(samples)["text"].replace(" ", "")
    starts = [word["start"] for each in found for word in each["words"]]
    assert starts == sorted(starts) and starts[-1] > 0.5


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_batch_is_the_single_ones(bidirectional):
    model = recognizer(bidirectional)
    sounds = [sound(n) for n in (5000, 0, 1200, 3000, 100)]
    for found, samples in zip(model(sounds, batch_size=3), sounds, strict=True):
        same(found, model(samples))
    assert model(sounds[1]) == {"text": "", "score": 0.0, "words": []}


def test_sounds_of_every_kind(tmp_path):
    pytest.importorskip("soundfile", reason="pip install soundfile")
    pytest.importorskip("soxr", reason="pip install soxr")
    model, samples = recognizer(), sound(5000)
    (tmp_path / "a.wav").write_bytes(wav_of(samples, 8000))
    (found,) = model([tmp_path / "a.wav"])
    assert found["text"] == model((tmp_path / "a.wav").read_bytes())["text"] == model(samples)["text"]
    assert model({"array": samples, "sampling_rate": 8000}) == model(samples)
    assert isinstance(model(samples, sampling_rate=16_000)["text"], str)
    same(model(model.extractor.frames_of(samples)), model(samples))
    with pytest.raises(ValueError, match="'array' and 'sampling_rate'"):
        model({"array": samples})


def test_the_text_is_that_of_the_tokenizer():
    model, samples = recognizer(), sound(6000)
    inputs = model.processor(samples, sampling_rate=8000, return_tensors="pt")
    ids = model.model(**inputs).logits.argmax(-1)
    assert model(samples)["text"] == " ".join(model.processor.batch_decode(ids)[0].split())


def test_greedy_piece_by_piece():
    """What the function over the whole gives."""
    tokenizer = build_ctc_tokenizer(["abc"])
    log_probs = torch.randn(200, len(tokenizer)).mul(3).log_softmax(-1).numpy()
    decoder, (whole,) = GreedyDecoder(tokenizer), greedy(log_probs)
    for number in (0, 3, 60):
        state = decoder.start()
        for piece in np.split(log_probs, sorted(RNG.integers(0, 200, number))):
            state = decoder.advance(state, piece)
        (found,) = decoder.results(state)
        assert (found.path.labels, found.path.first, found.path.last) == (whole.labels, whole.first, whole.last)
        assert np.allclose(found.path.confidence, whole.confidence) and np.isclose(found.total, whole.log_prob)


def test_a_search_in_a_stream():
    """With words that are listed alone, whatever the pieces; the best of several."""
    model, samples = recognizer(), sound(5000)
    model.decoder = CTCBeamSearch.of_tokenizer(model.processor.tokenizer, lexicon=["ab", "a", "cab"])
    whole = model(samples, n_best=3)
    assert whole["text"] and set(whole["text"].split()) <= {"ab", "a", "cab"}
    scores = [each["score"] for each in whole["n_best"]]
    assert scores == sorted(scores, reverse=True) and scores[0] == whole["score"]
    for trial in range(5):
        stream = model.start()
        for piece in pieces(samples, trial):
            stream, _ = model.push(stream, piece)
        same(model.finish(stream)[1][0], whole)


def test_what_cannot_be():
    with pytest.raises(ValueError, match="needs the end of a sound"):
        recognizer(bidirectional=True).start()
    with pytest.raises(ValueError, match="give a `RecurrentForCTC`"):
        SpeechRecognizer(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="`processor` is None"):
        SpeechRecognizer(recognizer().model)

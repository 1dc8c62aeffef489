# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Recognisers and the features of sound in ONNX: what torch and numpy compute, in streams too; int8 close to it."""

import numpy as np
import pytest
import torch

from hf_lstm import (
    RecurrentFeatureExtractor,
    RecurrentForAudioClassification,
    RecurrentForCTC,
    RecurrentSpeechConfig,
    RecurrentSpeechProcessor,
)
from hf_lstm.data.sound import build_ctc_tokenizer


onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnx onnxruntime")

from hf_lstm.interop.onnx import export_onnx, quantize_onnx, session_of  # noqa: E402
from hf_lstm.interop.onnx_sound import export_features  # noqa: E402


RNG = np.random.default_rng(0)


def build(head=RecurrentForCTC, **fields):
    sizes = {"feature_size": 12, "hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 9, "num_labels": 3}
    return head(RecurrentSpeechConfig(**sizes | fields)).eval()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("head", [RecurrentForCTC, RecurrentForAudioClassification])
def test_both_directions(tmp_path, head, cell):
    """`export_onnx` itself compares what it wrote with the model, at padding of every kind."""
    session = session_of(str(export_onnx(build(head, cell=cell), tmp_path / "model.onnx")))
    assert [each.name for each in session.get_inputs()] == ["input_features", "attention_mask"]


def test_a_stream(tmp_path):
    """Features step by step, with the state in and out, are those of the whole."""
    model = build(bidirectional=False)
    session = session_of(str(export_onnx(model, tmp_path / "model.onnx")))
    features = torch.randn(1, 10, 12)
    state = {
        each.name: np.zeros((1, *each.shape[1:]), np.float32) for each in session.get_inputs() if "past" in each.name
    }
    names, found = [output.name for output in session.get_outputs()], []
    for chunk in features.split([1, 4, 5], 1):
        inputs = {"input_features": chunk.numpy(), "attention_mask": np.ones(chunk.shape[:2], np.int64)} | state
        outputs = dict(zip(names, session.run(names, inputs), strict=True))
        found.append(outputs.pop("logits"))
        state = {name.replace("present", "past_key_values"): value for name, value in outputs.items()}
    assert np.abs(np.concatenate(found, 1) - model(features).logits.detach().numpy()).max() < 1e-5


def test_int8_is_close(tmp_path):
    model, features = build(hidden_size=64, feature_size=40), torch.randn(2, 30, 40)
    path = export_onnx(model, tmp_path / "model.onnx")
    inputs = {"input_features": features.numpy(), "attention_mask": np.ones((2, 30), np.int64)}
    small = quantize_onnx(path)
    assert small.stat().st_size < 0.35 * path.stat().st_size
    exact, close = (session_of(str(each)).run(["logits"], inputs)[0] for each in (path, small))
    assert 0 < np.abs(exact - close).max() < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize("fields", [{}, {"frame_stacking": 1, "preemphasis": 0.0}, {"win_length": 160, "n_fft": 256}])
def test_the_features(tmp_path, fields):
    """Those of numpy, of which the session computes the steps of a stream."""
    extractor = RecurrentFeatureExtractor(feature_size=20, sampling_rate=8000, **fields)
    extractor.fit([RNG.standard_normal(8000) / 10])
    session = session_of(str(export_features(extractor, tmp_path / "features.onnx")))
    samples = (RNG.standard_normal(7000) / 10).astype(np.float32)
    expected, _ = extractor.step(samples)
    rest, found = samples[:0], []
    for chunk in np.split(samples, [100, 130, 3000, 3001]):
        rest = np.concatenate([rest, chunk])
        if len(rest) >= extractor.samples_of_step:
            (steps,) = session.run(None, {"samples": rest[None]})
            found.append(steps[0])
            rest = rest[len(steps[0]) * extractor.samples_per_step :]
    assert np.abs(np.concatenate(found) - expected).max() < 1e-4


def test_deltas_are_not_in_the_graph(tmp_path):
    with pytest.raises(ValueError, match="`num_deltas=1`"):
        export_features(RecurrentFeatureExtractor(num_deltas=1), tmp_path / "features.onnx")


def test_a_saved_folder(tmp_path):
    """Its processor is saved beside the graph."""
    build().save_pretrained(tmp_path / "model")
    processor = RecurrentSpeechProcessor(RecurrentFeatureExtractor(feature_size=4), build_ctc_tokenizer(["abcdef"]))
    processor.save_pretrained(tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx" / "model.onnx")
    assert {"config.json", "model.onnx", "processor_config.json", "vocab.json"} <= {
        file.name for file in (tmp_path / "onnx").iterdir()
    }

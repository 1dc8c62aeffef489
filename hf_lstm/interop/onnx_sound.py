# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The features of sound as a graph of ONNX, for machines that have onnxruntime and nothing else: a Fourier transform as a
convolution, whose filters hold window and pre-emphasis, mel filters, logarithm, normalisation, and the frames of a
step side by side. Dimensions as in `feature_extraction_speech.py`.
"""

import os
from pathlib import Path

import numpy as np

from ..models.feature_extraction_speech import RecurrentFeatureExtractor
from .onnx_operators import FLOAT, Graph


CHECKED = 16_000  # samples of the sound that the export is compared on
TOLERANCE = 1e-3  # of features, whose deviation is 1


def export_features(
    extractor: RecurrentFeatureExtractor, path: str | os.PathLike, *, tolerance: float = TOLERANCE
) -> Path:
    """
    Write a feature extractor as ONNX. The graph reads `samples` of shape `(1, S)`, which fill a step at least, and
    returns `input_features` of shape `(1, T, F)`: T = 1 + (S - n) // m, with n the samples that a step is made of and
    m those from step to step, which its metadata tell: `samples_of_step`, `samples_per_step`, `sampling_rate`. In a
    stream, keep the samples from T * m on for the next call.

    Args:
        extractor ([`RecurrentFeatureExtractor`]): Of a recogniser.
        path (`str` or `os.PathLike`): File to write, usually `"some_folder/features.onnx"`.
        tolerance (`float`, *optional*, defaults to 1e-3): The largest difference allowed on a random sound.

    Returns:
        `Path`: The file.

    Raises:
        `ImportError`: If onnx or onnxruntime is missing.
        `ValueError`: For an extractor with deltas, which read the frames before; or if the graph computes something
            else.
    """
    if extractor.num_deltas:
        raise ValueError(
            f"`num_deltas={extractor.num_deltas}` of the extractor makes features of the frames before, which the "
            "graph does not keep. Use `extractor.step`, or train with `num_deltas=0`."
        )
    from .onnx import session_of  # which imports torch

    path = Path(path)
    graph = build_features(extractor).SerializeToString()
    samples = np.random.default_rng(0).standard_normal(CHECKED + extractor.samples_of_step).astype(np.float32) / 10
    expected, _ = extractor.step(samples)
    (found,) = session_of(graph).run(None, {"samples": samples[None]})
    if found.shape[1:] != expected.shape or not (difference := np.abs(found[0] - expected).max()) <= tolerance:
        raise ValueError(f"The features of the graph differ by {difference:.1e}, more than `tolerance={tolerance}`.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph)
    return path


def build_features(extractor: RecurrentFeatureExtractor):
    """The graph of [`export_features`]."""
    g, k = Graph(), extractor.frame_stacking
    window, filters = extractor.tables()
    length, size = extractor.win_length, extractor.n_fft
    angles = 2 * np.pi / size * np.outer(np.arange(size // 2 + 1), np.arange(length))
    transform = np.concatenate([np.cos(angles), np.sin(angles)]) * window  # (2 * frequencies, length)
    # x[n] - a x[n - 1], where x[-1] = x[0].
    shifted = np.concatenate([transform[:, 1:], np.zeros((len(transform), 1))], 1)
    transform, first = transform - extractor.preemphasis * shifted, transform[:, 0]
    transform[:, 0] -= extractor.preemphasis * first
    sound = g.Unsqueeze("samples", [1])  # (1, 1, S)
    spectrum = g.Conv(sound, transform[:, None].astype(np.float32), strides=[extractor.hop_length])
    halves = [g.Slice(spectrum, [start], [start + size // 2 + 1], [1]) for start in (0, size // 2 + 1)]
    powers = g.Add(*(g.Mul(half, half) for half in halves))  # (1, frequencies, N)
    energies = g.MatMul(g.Transpose(powers, perm=[0, 2, 1]), filters)
    frames = g.Log(g.Max(energies, np.float32(extractor.mel_floor)))
    mean = np.zeros(extractor.frame_size) if extractor.mean is None else np.asarray(extractor.mean)
    std = np.ones(extractor.frame_size) if extractor.std is None else np.asarray(extractor.std)
    frames = g.Div(g.Sub(frames, mean.astype(np.float32)), std.astype(np.float32))
    number = g.Div(g.Shape(frames, start=1, end=2), [k])
    frames = g.Slice(frames, [0], g.Mul(number, [k]), [1])
    steps = g.Reshape(frames, g.Concat([1], number, [extractor.step_size], axis=0))
    outputs = {"input_features": (steps, FLOAT, (1, "steps", extractor.step_size))}
    model = g.model({"samples": (FLOAT, (1, "samples"))}, outputs)
    for name in ("sampling_rate", "samples_of_step", "samples_per_step"):
        model.metadata_props.add(key=name, value=str(getattr(extractor, name)))
    return model

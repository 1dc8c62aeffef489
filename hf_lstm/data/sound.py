# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Sounds and what is said in them: files of sound, folders of them with a table, and a tokenizer of characters."""

import io
import json
import tempfile
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from transformers import Wav2Vec2CTCTokenizer
from transformers.utils import logging


logger = logging.get_logger(f"transformers.{__name__}")

_CEPSTRA = 13  # of a frame in files of Sphinx
INSTALL = "Reading files of sound needs soundfile and soxr: `pip install soundfile soxr`."


def read_sound(file: str | Path | bytes, sampling_rate: int | None = None) -> tuple[np.ndarray, int]:
    """
    The samples of a file of sound, of one channel; of several the mean is taken, which is said once.

    Args:
        file (`str`, `Path` or `bytes`): A file of any kind that libsndfile reads, as wav, flac, ogg and mp3; or what
            is in one.
        sampling_rate (`int`, *optional*): Samples a second of the result, to which others are resampled; by default
            those of the file.

    Returns:
        `tuple`: Samples in [-1, 1], `np.ndarray` of shape `(S,)` of fp32, and their number a second.

    Raises:
        `ImportError`: If soundfile, or soxr where it is needed, is not installed.
        `ValueError`: For a file that is no sound.
        `FileNotFoundError`: If there is no such file.
    """
    try:
        import soundfile
    except ImportError:
        raise ImportError(INSTALL) from None
    if not isinstance(file, bytes) and not Path(file).is_file():
        raise FileNotFoundError(f"There is no file {str(file)!r}.")
    name = f"{len(file):,} bytes" if isinstance(file, bytes) else repr(str(file))
    try:
        samples, rate = soundfile.read(io.BytesIO(file) if isinstance(file, bytes) else str(file), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} is no sound that libsndfile reads, or is damaged: {error}") from None
    if samples.ndim == 2:
        logger.warning_once(f"{name} has {samples.shape[1]} channels, of which the mean is taken, as of all others.")
        samples = samples.mean(1)
    return resampled(samples, rate, sampling_rate or rate), sampling_rate or rate


def wav_of(samples: np.ndarray, rate: int) -> bytes:
    """A file of type wav, 16 bits a sample, of samples (S,) in [-1, 1]."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, rate, len(samples), "NONE", "not compressed"))
        sound.writeframes((samples.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    return file.getvalue()


def read_frames(file: str | Path) -> np.ndarray | None:
    """
    Features that somebody computed of a sound: `.npy` of numpy, or `.mfc` of Sphinx (a big-endian number of values,
    then these, 13 cepstra a frame).

    Args:
        file (`str` or `Path`): The file.

    Returns:
        `np.ndarray` of shape `(N, M)`; None for a file of another kind.

    Raises:
        `ValueError`: For a damaged file.
    """
    kind = Path(file).suffix.lower()
    if kind == ".npy":
        frames = np.load(file)
        if frames.ndim != 2 or frames.dtype.kind != "f":
            raise ValueError(f"{str(file)!r} has an array of shape {frames.shape} of {frames.dtype}, expected frames.")
        return frames.astype(np.float32)
    if kind not in (".mfc", ".mfcc"):
        return None
    data = Path(file).read_bytes()
    number = int.from_bytes(data[:4], "big")
    if len(data) != 4 * (number + 1) or number % _CEPSTRA:
        raise ValueError(
            f"{str(file)!r} is damaged: it tells of {number:,} values of {_CEPSTRA} a frame, and has {len(data):,} "
            "bytes. Fetch it again."
        )
    return np.frombuffer(data, ">f4", offset=4).reshape(-1, _CEPSTRA).astype(np.float32)


def resampled(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Samples (S,) at another number a second."""
    if rate == to:
        return samples
    try:
        import soxr
    except ImportError:
        raise ImportError(INSTALL) from None
    return soxr.resample(samples, rate, to)


def build_ctc_tokenizer(texts: Iterable[str], do_lower_case: bool = False, **kwargs) -> Wav2Vec2CTCTokenizer:
    """
    A tokenizer of the characters of texts, for CTC: the blank, which is also the padding, has id 0; words are
    separated by "|".

    Args:
        texts (iterable of `str`): What is said in the training data.
        do_lower_case (`bool`, defaults to `False`): As of the tokenizer, which writes CAPITALS of what it reads then.
        kwargs: Other arguments of [`~transformers.Wav2Vec2CTCTokenizer`].

    Raises:
        `ValueError`: If there is no character.
    """
    found = sorted(
        {character for text in texts for character in (text.upper() if do_lower_case else text)} - {" ", "|"}
    )
    if not found:
        raise ValueError("`texts` has no character.")
    ids = {token: i for i, token in enumerate(["<pad>", "<unk>", "|", *found])}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
        options = {"bos_token": None, "eos_token": None, "do_lower_case": do_lower_case, **kwargs}
        return Wav2Vec2CTCTokenizer(str(file), **options)


__all__ = ["build_ctc_tokenizer", "read_frames", "read_sound", "resampled", "wav_of"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The features of sound that a recurrent model reads. Nothing of a frame depends on what comes after it, and nothing is
normalised by the sound itself: the features of a sound that comes in pieces are those of the whole.

S samples, N frames, M features of a frame, K frames that are stacked, T steps, F = K * M features of a step.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.audio_utils import mel_filter_bank, window_function
from transformers.utils import logging


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


class SoundState(NamedTuple):
    """
    What is left of a sound that came so far: all that the features of what follows depend on.

    Args:
        samples (`np.ndarray` of shape `(S,)`): Those that later frames begin with.
        frames (`np.ndarray` of shape `(N, .)`): The last frames before deltas, which later ones are differences to.
        stacked (`np.ndarray` of shape `(N, M)`): Frames, fewer than K, of a step that is not complete.
        skipped (`int`): Samples to leave out before the next frame, where frames do not overlap.
    """

    samples: np.ndarray
    frames: np.ndarray | None
    stacked: np.ndarray
    skipped: int = 0


class RecurrentFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Logarithms of mel energies, or features that are given, such as MFCC; their deltas; normalised by means and
    deviations of the training data; several frames side by side.

    Frames begin every `hop_length` samples and are not centred; what does not fill a frame at the end, and frames that
    do not fill a step, are left out.

    Args:
        feature_size (`int`, defaults to 80): Features of a frame: mel bands, or the size of those that are given.
        sampling_rate (`int`, defaults to 16000): Samples a second, Hz.
        hop_length (`int`, *optional*): Samples from frame to frame. `None` means 10 ms.
        win_length (`int`, *optional*): Samples of a frame. `None` means 25 ms.
        n_fft (`int`, *optional*): Length of the Fourier transform, at least `win_length`. `None` means the next power
            of two.
        preemphasis (`float`, defaults to 0.97): x[n] - preemphasis * x[n - 1] within each frame, where x[-1] = x[0].
        min_frequency (`float`, defaults to 20.0), max_frequency (`float`, *optional*): Limits of the mel bands, Hz.
            `None` means half the sampling rate.
        mel_floor (`float`, defaults to 1e-6): What energies are raised to before the logarithm; samples are in
            [-1, 1].
        num_deltas (`int`, defaults to 0): 1 for the slopes of features over the last five frames beside them, 2 for
            those of the slopes too: d_t = sum over k = 1, 2 of k (x_{t-2+k} - x_{t-2-k}) / 10. Before the first frame
            stands the first frame.
        frame_stacking (`int`, defaults to 3): Frames of a step, K, none of which is in another step.
        mean, std (`list[float]`, *optional*): Of each feature of a frame, deltas included: see
            [`~RecurrentFeatureExtractor.fit`]. `None` means 0 and 1.
        padding_value (`float`, defaults to 0.0): What stands at padding.

    Raises:
        `ValueError`: For sizes that cannot work.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lstm import RecurrentFeatureExtractor

    >>> extractor = RecurrentFeatureExtractor(sampling_rate=8000, frame_stacking=3)
    >>> sounds = [np.random.randn(8000) / 10, np.random.randn(4000) / 10]
    >>> extractor = extractor.fit(sounds)
    >>> extractor(sounds, sampling_rate=8000, return_tensors="np")["input_features"].shape
    (2, 32, 240)
    ```
    """

    model_input_names = ["input_features", "attention_mask"]
    _auto_class = "AutoFeatureExtractor"

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16_000,
        hop_length: int | None = None,
        win_length: int | None = None,
        n_fft: int | None = None,
        preemphasis: float = 0.97,
        min_frequency: float = 20.0,
        max_frequency: float | None = None,
        mel_floor: float = 1e-6,
        num_deltas: int = 0,
        frame_stacking: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        padding_value: float = 0.0,
        **kwargs: Any,
    ):
        kwargs.setdefault("return_attention_mask", True)
        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)
        self.hop_length = hop_length or sampling_rate // 100
        self.win_length = win_length or sampling_rate // 40
        self.n_fft = n_fft or 2 ** max(1, (self.win_length - 1).bit_length())
        self.preemphasis, self.mel_floor = preemphasis, mel_floor
        self.min_frequency, self.max_frequency = min_frequency, max_frequency or sampling_rate / 2
        self.num_deltas, self.frame_stacking = num_deltas, frame_stacking
        self.mean, self.std = (None if each is None else [float(x) for x in each] for each in (mean, std))
        self._check()
        self._filters = None

    def _check(self) -> None:
        for name in ("feature_size", "sampling_rate", "hop_length", "win_length", "frame_stacking"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be a whole number of at least 1, got {getattr(self, name)!r}.")
        if self.n_fft < self.win_length:
            raise ValueError(f"`n_fft={self.n_fft}` must be at least `win_length={self.win_length}`.")
        if self.num_deltas not in (0, 1, 2):
            raise ValueError(f"`num_deltas` must be 0, 1 or 2, got {self.num_deltas!r}.")
        if not 0 <= self.min_frequency < self.max_frequency <= self.sampling_rate / 2:
            raise ValueError(
                f"`min_frequency={self.min_frequency}` and `max_frequency={self.max_frequency}` must rise, between 0 "
                f"and half of `sampling_rate={self.sampling_rate}`."
            )
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) != self.frame_size:
                raise ValueError(
                    f"`{name}` has {len(values)} numbers, but a frame has {self.frame_size} features: `feature_size` "
                    "times one more than `num_deltas`."
                )
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"`std` must be above 0 for each feature, got {min(self.std)!r}.")

    @property
    def frame_size(self) -> int:
        """Features of a frame with their deltas, M."""
        return self.feature_size * (self.num_deltas + 1)

    @property
    def step_size(self) -> int:
        """Features of a step, F: `feature_size` of the model's configuration."""
        return self.frame_size * self.frame_stacking

    @property
    def samples_per_step(self) -> int:
        """Samples from step to step: `inputs_to_logits_ratio` of the model's configuration."""
        return self.hop_length * self.frame_stacking

    @property
    def samples_of_step(self) -> int:
        """Samples that a step is made of; its frames overlap."""
        return self.hop_length * (self.frame_stacking - 1) + self.win_length

    def to_dict(self) -> dict[str, Any]:
        """As in transformers; without what is computed."""
        return {name: value for name, value in super().to_dict().items() if not name.startswith("_")}

    def __call__(
        self,
        raw_speech: Any = None,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        frames: Any = None,
    ) -> BatchFeature:
        """
        Args:
            raw_speech (`np.ndarray` of shape `(S,)`, or a list of them): Sounds of one channel, samples in [-1, 1].
            sampling_rate (`int`, *optional*): Samples a second of `raw_speech`.
            padding, max_length, truncation, pad_to_multiple_of, return_attention_mask, return_tensors: As in
                [`~transformers.SequenceFeatureExtractor.pad`], in steps.
            frames (`np.ndarray` of shape `(N, feature_size)`, or a list of them): Frames, in place of sounds: features
                of another kind, such as MFCC.

        Returns:
            [`~transformers.BatchFeature`]: `input_features` of shape `(B, T, F)` and `attention_mask` of shape
            `(B, T)`.

        Raises:
            `ValueError`: For another sampling rate, several channels, samples that are not finite, or frames of
                another size.
        """
        if (raw_speech is None) == (frames is None):
            raise ValueError("Give exactly one of `raw_speech` and `frames`.")
        if frames is None:
            self._check_rate(sampling_rate)
            features = [self.step(sound)[0] for sound in _rows(raw_speech, 1, "raw_speech")]
        else:
            features = [self.step(frames=each)[0] for each in _rows(frames, 2, "frames")]
        return self.pad(
            BatchFeature({"input_features": features}),
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )

    def _check_rate(self, sampling_rate: int | None) -> None:
        if sampling_rate is None:
            logger.warning_once(
                f"`sampling_rate` was not given: the sounds are taken to have {self.sampling_rate} samples a second."
            )
        elif sampling_rate != self.sampling_rate:
            raise ValueError(
                f"`sampling_rate` is {sampling_rate}, but the model reads sounds of {self.sampling_rate} Hz. Resample "
                "them: `hf_lstm.data.read_sound(file, sampling_rate=...)` does."
            )

    def step(
        self, samples: np.ndarray | None = None, state: SoundState | None = None, frames: np.ndarray | None = None
    ) -> tuple[np.ndarray, SoundState]:
        """
        The features of the next piece of a sound, of any length.

        Args:
            samples (`np.ndarray` of shape `(S,)`): The piece.
            state ([`SoundState`], *optional*): What was returned for the piece before; `None` for the first.
            frames (`np.ndarray` of shape `(N, feature_size)`): Frames in place of samples.

        Returns:
            `tuple`: The steps that are complete, `(T, F)`, and the state for the next piece.
        """
        state = state or SoundState(np.zeros(0, np.float32), None, np.zeros((0, self.frame_size), np.float32))
        samples, skipped = self._piece(samples, state)
        if frames is None:
            frames, samples, skipped = self._frames(samples, skipped)
        elif np.shape(frames)[1:] != (self.feature_size,):
            raise ValueError(
                f"`frames` has shape {np.shape(frames)}, expected (frames, {self.feature_size}): `feature_size`."
            )
        frames, past = self._with_deltas(np.asarray(frames, np.float32), state.frames)
        if self.mean is not None:
            frames = frames - np.asarray(self.mean, np.float32)
        if self.std is not None:
            frames = frames / np.asarray(self.std, np.float32)
        frames = np.concatenate([state.stacked, frames])
        steps = len(frames) // self.frame_stacking
        complete, rest = np.split(frames, [steps * self.frame_stacking])
        return complete.reshape(steps, self.step_size), SoundState(samples, past, rest, skipped)

    def frames_of(self, samples: np.ndarray) -> np.ndarray:
        """Logarithms of mel energies of a whole sound (S,), neither normalised nor stacked: (N, feature_size)."""
        samples, skipped = self._piece(samples, SoundState(np.zeros(0, np.float32), None, np.zeros((0, 0))))
        return self._frames(samples, skipped)[0]

    def _piece(self, samples: np.ndarray | None, state: SoundState) -> tuple[np.ndarray, int]:
        """The samples that the next frames are of, those of the state in front, and how many are to be skipped."""
        if samples is None:
            return state.samples, state.skipped
        samples = np.asarray(samples)
        if samples.dtype.kind in "iu":
            kind = np.iinfo(samples.dtype)
            half = (float(kind.max) - kind.min + 1) / 2
            samples = (samples - (half if samples.dtype.kind == "u" else 0)) / half
        samples = samples.astype(np.float32, copy=False)
        if samples.ndim != 1:
            raise ValueError(
                f"`raw_speech` has a sound of shape {samples.shape}, expected (samples,): one channel. Take the mean "
                "of several."
            )
        if not np.isfinite(samples).all():
            wrong = int((~np.isfinite(samples)).argmax())
            raise ValueError(f"`raw_speech` has a sample that is {samples[wrong]}, number {wrong}. Repair the sound.")
        skipped = min(state.skipped, len(samples))
        return np.concatenate([state.samples, samples[skipped:]]), state.skipped - skipped

    def _frames(self, samples: np.ndarray, skipped: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Logarithms of mel energies of the frames that are complete, (N, bands), and what is left of the samples."""
        number = max(0, (len(samples) - self.win_length) // self.hop_length + 1) if not skipped else 0
        if not number:
            return np.zeros((0, self.feature_size), np.float32), samples, skipped
        windows = np.lib.stride_tricks.sliding_window_view(samples, self.win_length)[:: self.hop_length][:number]
        first = np.concatenate([windows[:, :1], windows[:, :-1]], 1)
        window, filters = self.tables()
        spectrum = np.fft.rfft((windows - self.preemphasis * first) * window, self.n_fft)
        energies = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ filters
        begin = number * self.hop_length
        skipped = max(0, begin - len(samples))
        return np.log(np.maximum(energies, self.mel_floor)), samples[begin:].copy(), skipped

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """The window (Hann), and the mel filters, (frequencies, bands)."""
        if self._filters is None:
            filters = mel_filter_bank(
                self.n_fft // 2 + 1,
                self.feature_size,
                self.min_frequency,
                self.max_frequency,
                self.sampling_rate,
                mel_scale="kaldi",
                triangularize_in_mel_space=True,
            )
            self._filters = window_function(self.win_length, "hann").astype(np.float32), filters.astype(np.float32)
        return self._filters

    def _with_deltas(self, frames: np.ndarray, past: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Frames with their deltas, and the last frames without, which later deltas read."""
        if not self.num_deltas or not len(frames):
            return np.concatenate([frames] * (self.num_deltas + 1), 1), past
        before = 4 * self.num_deltas
        if past is None:
            past = np.repeat(frames[:1], before, 0)
        longer, parts = np.concatenate([past, frames]), [frames]
        slopes = longer
        for _ in range(self.num_deltas):
            slopes = (2 * (slopes[4:] - slopes[:-4]) + slopes[3:-1] - slopes[1:-3]) / 10
            parts.append(slopes[-len(frames) :])
        return np.concatenate(parts, 1), longer[-before:]

    def fit(self, raw_speech: Iterable[np.ndarray] | None = None, frames: Iterable[np.ndarray] | None = None):
        """
        Set `mean` and `std` to those of the features of training data, which are read once, one at a time.

        Args:
            raw_speech (iterable of `np.ndarray` of shape `(S,)`), frames (iterable of `np.ndarray` of shape
                `(N, feature_size)`): One of the two.

        Returns:
            The extractor itself.

        Raises:
            `ValueError`: If there is no frame.
        """
        self.mean = self.std = None
        number, total, squares = 0, np.zeros(self.frame_size), np.zeros(self.frame_size)
        for name, sounds in (("samples", raw_speech), ("frames", frames)):
            for sound in sounds if sounds is not None else ():
                steps, _ = self.step(**{name: sound})
                values = steps.reshape(-1, self.frame_size).astype(np.float64)
                number += len(values)
                total += values.sum(0)
                squares += (values**2).sum(0)
        if not number:
            raise ValueError("There is no frame to take the mean of: the sounds are too short, or there is none.")
        mean = total / number
        self.mean = mean.tolist()
        self.std = np.sqrt(np.maximum(squares / number - mean**2, 1e-10)).tolist()
        return self

    def stacked(self, lengths: np.ndarray) -> np.ndarray:
        """How many steps so many samples give."""
        frames = np.maximum(0, (np.asarray(lengths) - self.win_length) // self.hop_length + 1)
        return frames // self.frame_stacking


def _rows(values: Any, ndim: int, name: str) -> list[np.ndarray]:
    """One array, or several, as a list of arrays of so many dimensions."""
    if hasattr(values, "detach"):  # of torch
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray) and values.dtype != object:
        return [values] if values.ndim <= ndim else list(values)
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise ValueError(f"`{name}` is a {type(values).__name__}, expected an array or a list of arrays.")
    if not len(values):
        return [np.zeros(0, np.float32)] if ndim == 1 else []
    if np.ndim(values[0]) < ndim:  # one, as a list of numbers
        return [np.asarray(values)]
    return [each.detach().cpu().numpy() if hasattr(each, "detach") else np.asarray(each) for each in values]


__all__ = ["RecurrentFeatureExtractor"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Recognition of files and of what is just being said, with times and scores. What is said in pieces is recognised as the
whole: the features of a step depend on nothing after it, the state of the network is handed on, and so is that of the
decoder. T steps, V labels.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import AutoModelForCTC, AutoProcessor, PreTrainedModel, ProcessorMixin

from ..data.sound import read_sound, resampled
from ..models.feature_extraction_speech import SoundState
from .ctc_decoding import Hypothesis, greedy
from .ctc_paths import LabelPath


class Decoder(Protocol):
    """What makes words of probabilities, a piece at a time; its state is a value."""

    def start(self) -> Any:
        """The state before the first step."""

    def advance(self, state: Any, log_probs: np.ndarray) -> Any:
        """The state after further steps, of whose labels the logarithms of probabilities are given, `(T, V)`."""

    def results(self, state: Any, final: bool) -> list[Hypothesis]:
        """The best hypotheses, the best first; `final` says that nothing follows."""


@dataclass(frozen=True)
class _Heard:
    """The path so far, the label of the last step, perhaps the blank, and how many steps there were."""

    path: LabelPath
    before: int
    steps: int


class GreedyDecoder:
    """
    The best label of each step, repetitions taken as one (Graves et al. 2006, section 3.2): [`~ctc_decoding.greedy`],
    piece by piece.

    Args:
        tokenizer ([`~transformers.Wav2Vec2CTCTokenizer`]): Which spells.
    """

    def __init__(self, tokenizer):
        self.blank, self.delimiter = tokenizer.pad_token_id, tokenizer.word_delimiter_token
        self.spelling = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))

    def start(self) -> _Heard:
        """Nothing was heard."""
        return _Heard(LabelPath((), (), (), (), 0.0), -1, 0)

    def advance(self, state: _Heard, log_probs: np.ndarray) -> _Heard:
        """What was heard with further steps, `(T, V)`."""
        (new,), path = greedy(log_probs, blank=self.blank), state.path
        first, last = ([step + state.steps for step in steps] for steps in (new.first, new.last))
        old = [path.labels, path.first, path.last, path.confidence]
        if new.first[:1] == (0,) and new.labels[0] == state.before:  # the label that the last piece ended with goes on
            first[0] = path.first[-1]
            lengths = np.array([path.last[-1] - first[0] + 1, new.last[0] + 1])
            confidence = float(np.average([path.confidence[-1], new.confidence[0]], weights=lengths))
            old, added = [each[:-1] for each in old], [new.labels, first, last, (confidence, *new.confidence[1:])]
        else:
            added = [new.labels, first, last, new.confidence]
        parts = (tuple(each) + tuple(more) for each, more in zip(old, added, strict=True))
        before = int(log_probs[-1].argmax()) if len(log_probs) else state.before
        return _Heard(LabelPath(*parts, path.log_prob + new.log_prob), before, state.steps + len(log_probs))

    def results(self, state: _Heard, final: bool = True) -> list[Hypothesis]:
        """The one hypothesis."""
        path = state.path
        return [Hypothesis(path.text(self.spelling, self.delimiter), path, path.log_prob, 0.0, path.log_prob)]


@dataclass(frozen=True)
class SpeechStream:
    """
    All that recognition of what follows depends on: a value, which can be kept and gone on from more than once.

    Args:
        sound ([`SoundState`], *optional*): Of the features.
        states (`list`, *optional*): Of each layer of the network.
        decoded: Of the decoder.
        steps (`int`): How many there were.
        silent (`int`): How many of them, the last ones, are silent.
        begin (`int`): The step that `decoded` began at.
    """

    decoded: Any
    sound: SoundState | None = None
    states: list | None = None
    steps: int = 0
    silent: int = 0
    begin: int = 0


class SpeechRecognizer:
    """
    A trained recogniser at work: [`~SpeechRecognizer.__call__`] for sounds that are there,
    [`~SpeechRecognizer.push`] for such as are just being heard.

    Args:
        model ([`RecurrentForCTC`], `str` or `os.PathLike`): The model, a folder, or a name on the Hub.
        processor ([`RecurrentSpeechProcessor`], *optional*): By default that of the folder.
        decoder ([`Decoder`], *optional*): [`GreedyDecoder`] by default, or a
            [`~ctc_decoding.CTCBeamSearch`] with a language model, a lexicon or hot phrases.
        device (`str` or `torch.device`, *optional*): Where to compute.
        endpoint_seconds (`float`, *optional*): In a stream, end an utterance after so much silence behind a word. What
            ends and begins does not depend on the pieces. `None` for a single utterance.

    Raises:
        `ValueError`: For a model of another kind.

    Example:

    ```python
    >>> from hf_lstm.evaluation.recognizer import SpeechRecognizer

    >>> recognizer = SpeechRecognizer("./runs/spoken_digits")  # doctest: +SKIP
    >>> recognizer("seven.wav")["text"]  # doctest: +SKIP
    'seven'
    >>> stream = recognizer.start()  # doctest: +SKIP
    >>> for piece in pieces:  # doctest: +SKIP
    ...     stream, results = recognizer.push(stream, piece)
    >>> stream, results = recognizer.finish(stream)  # doctest: +SKIP
    ```
    """

    def __init__(
        self,
        model: PreTrainedModel | str | os.PathLike,
        processor: ProcessorMixin | None = None,
        decoder: Decoder | None = None,
        device: str | torch.device | None = None,
        endpoint_seconds: float | None = None,
    ):
        if isinstance(model, (str, os.PathLike)):
            processor = processor or AutoProcessor.from_pretrained(model)
            model = AutoModelForCTC.from_pretrained(model)
        if getattr(model, "pipeline_task", None) != "automatic-speech-recognition":
            raise ValueError(f"`model` is a {type(model).__name__}: give a `RecurrentForCTC`.")
        if processor is None:
            raise ValueError("`processor` is None: give that of the model.")
        self.model, self.processor = model.to(device or model.device).eval(), processor
        self.extractor = processor.feature_extractor
        self.decoder = decoder or GreedyDecoder(processor.tokenizer)
        self.seconds_per_step = self.extractor.samples_per_step / self.extractor.sampling_rate
        self.seconds_of_step = self.extractor.samples_of_step / self.extractor.sampling_rate
        tokenizer = processor.tokenizer
        self.spelling, self.delimiter = (
            tokenizer.convert_ids_to_tokens(range(len(tokenizer))),
            tokenizer.word_delimiter_token,
        )
        steps = None if endpoint_seconds is None else max(1, round(endpoint_seconds / self.seconds_per_step))
        self.endpoint_steps, self.blank = steps, tokenizer.pad_token_id

    def __call__(
        self, sounds: Any, sampling_rate: int | None = None, batch_size: int = 16, n_best: int = 1
    ) -> dict | list[dict]:
        """
        Recognise sounds, those of like length together, which changes no result and not their order.

        Args:
            sounds: A sound, or a list of them: the name of a file; its `bytes`; samples of one channel in [-1, 1], an
                array `(S,)`; a `dict` of `"array"` and `"sampling_rate"`; frames of other features, `(N, M)`.
            sampling_rate (`int`, *optional*): Samples a second of arrays; by default what the model reads.
            batch_size (`int`, defaults to 16): Sounds that are computed together.
            n_best (`int`, defaults to 1): How many hypotheses each sound has; above 1 they are in `"n_best"`.

        Returns:
            `dict`, or a list of them: `"text"`, `"score"`, `"words"`, a list with `"text"`, `"start"`, `"end"`
            (seconds) and `"confidence"`, and `"n_best"`, a list of `"text"` and `"score"`.
        """
        one = not isinstance(sounds, (list, tuple))
        features = [self._features(sound, sampling_rate) for sound in ([sounds] if one else sounds)]
        order = sorted(range(len(features)), key=lambda i: len(features[i]))
        found: list = [None] * len(features)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for i, log_probs in zip(batch, self._log_probs([features[i] for i in batch])[0], strict=True):
                hypotheses = self.decoder.results(self.decoder.advance(self.decoder.start(), log_probs), True)
                found[i] = self._result(hypotheses[0])
                if n_best > 1:
                    found[i]["n_best"] = [{"text": h.text, "score": h.total} for h in hypotheses[:n_best]]
        return found[0] if one else found

    def _features(self, sound: Any, sampling_rate: int | None) -> np.ndarray:
        """Features (T, F) of a sound of any kind."""
        rate = self.extractor.sampling_rate
        if isinstance(sound, dict):
            samples = sound.get("array", sound.get("raw"))
            if samples is None or "sampling_rate" not in sound:
                raise ValueError(f"A sound has the keys {list(sound)}: give 'array' and 'sampling_rate'.")
            sound, sampling_rate = samples, sound["sampling_rate"]
        if isinstance(sound, (str, Path, bytes)):
            return self.extractor.step(read_sound(sound, rate)[0])[0]
        sound = np.asarray(sound)
        if sound.ndim == 2:
            return self.extractor.step(frames=sound)[0]
        if sampling_rate not in (None, rate):
            sound = resampled(sound.astype(np.float32), sampling_rate, rate)
        return self.extractor.step(sound)[0]

    @torch.no_grad()
    def _log_probs(self, features: Sequence[np.ndarray], states: Sequence[list | None] = ()) -> tuple[list, list]:
        """Logarithms of the probabilities of labels (T, V) of each row, and with `states` those after it."""
        lengths = torch.tensor([len(each) for each in features])
        inputs = torch.zeros(len(features), max(1, int(lengths.max())), self.extractor.step_size)
        for row, each in zip(inputs, features, strict=True):
            row[: len(each)] = torch.from_numpy(each)
        mask = (torch.arange(inputs.shape[1]) < lengths[:, None]).long()
        device, dtype = self.model.device, self.model.dtype
        cache = self._joined(states) if states else None
        outputs = self.model(
            inputs.to(device, dtype), mask.to(device), cache=cache, use_cache=bool(states) or None, return_dict=True
        )
        log_probs = outputs.logits.float().log_softmax(-1).cpu().numpy()
        rows = [row[:length] for row, length in zip(log_probs, lengths.tolist(), strict=True)]
        after = []
        if states:
            layers = [layer.states for layer in outputs.cache.layers]
            after = [[tuple(s[i : i + 1].clone() for s in layer) for layer in layers] for i in range(len(rows))]
        return rows, after

    def _joined(self, states: Sequence[list | None]):
        """The states of several streams as those of a batch."""
        cache, shapes = self.model.model.new_cache(), self.model.model.state_shapes(1)
        like = {"device": self.model.device, "dtype": self.model.dtype}
        fresh = [tuple(torch.zeros(shape, **like) for shape in layer) for layer in shapes]
        rows = [each or fresh for each in states]
        for i, layer in enumerate(cache.layers):
            parts = [row[i] for row in rows]
            layer.update(tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True)), 0)
        return cache

    def _result(self, hypothesis: Hypothesis, begin: int = 0) -> dict:
        """A hypothesis with times in seconds, whose steps count from `begin`."""
        shift, seconds = begin * self.seconds_per_step, (self.seconds_per_step, self.seconds_of_step)
        words = [
            word._asdict() | {"start": word.start + shift, "end": word.end + shift}
            for word in hypothesis.path.words(self.spelling, self.delimiter, *seconds)
        ]
        return {"text": hypothesis.text, "score": hypothesis.total, "words": words}

    def start(self) -> SpeechStream:
        """
        A stream in which nothing was heard yet.

        Raises:
            `ValueError`: For a model that reads in both directions, which has to hear the end first.
        """
        if self.model.config.bidirectional:
            raise ValueError(
                "`bidirectional=True` of the model needs the end of a sound before it says anything. Train one with "
                "`bidirectional=False` for streams."
            )
        return SpeechStream(self.decoder.start())

    def push(self, streams: SpeechStream | Sequence[SpeechStream], samples: Any) -> tuple:
        """
        Hear what comes next. Several streams are computed together.

        Args:
            streams ([`SpeechStream`] or a list of them): What was heard so far; they stay as they are.
            samples (`np.ndarray` of shape `(S,)`, or a list of them): The next piece, of any length.

        Returns:
            `tuple`: The streams with the piece, and what is recognised: for each a list of results as of
            [`~SpeechRecognizer.__call__`] with `"final"`: the utterances that ended in it, and, with False, the one
            that goes on.
        """
        one = isinstance(streams, SpeechStream)
        streams, pieces = ([streams], [samples]) if one else (list(streams), list(samples))
        features, sounds = [], []
        for stream, piece in zip(streams, pieces, strict=True):
            steps, sound = self.extractor.step(np.asarray(piece), stream.sound)
            features.append(steps)
            sounds.append(sound)
        streams = [replace(stream, sound=sound) for stream, sound in zip(streams, sounds, strict=True)]
        busy = [i for i, steps in enumerate(features) if len(steps)]
        results = [[] for _ in streams]
        if busy:
            rows, after = self._log_probs([features[i] for i in busy], [streams[i].states for i in busy])
            for i, log_probs, states in zip(busy, rows, after, strict=True):
                streams[i], results[i] = self._heard(replace(streams[i], states=states), log_probs)
        for stream, found in zip(streams, results, strict=True):
            hypothesis = self.decoder.results(stream.decoded, False)[0]
            found.append(self._result(hypothesis, stream.begin) | {"final": False})
        return (streams[0], results[0]) if one else (streams, results)

    def _heard(self, stream: SpeechStream, log_probs: np.ndarray) -> tuple[SpeechStream, list[dict]]:
        """Go on by steps (T, V), and end utterances where enough of them are silent."""
        finals, begin = [], 0
        decoded, silent = stream.decoded, stream.silent
        best = log_probs.argmax(1)
        for t, label in enumerate(best.tolist() if self.endpoint_steps else ()):
            silent = silent + 1 if label == self.blank else 0
            if silent != self.endpoint_steps:
                continue
            decoded, begin = self.decoder.advance(decoded, log_probs[begin : t + 1]), t + 1
            spoken = self.decoder.results(decoded, True)[0]
            if spoken.text:
                finals.append(self._result(spoken, stream.begin) | {"final": True})
                decoded = self.decoder.start()
                stream = replace(stream, begin=stream.steps + t + 1)
        decoded = self.decoder.advance(decoded, log_probs[begin:])
        return replace(stream, decoded=decoded, silent=silent, steps=stream.steps + len(log_probs)), finals

    def finish(self, stream: SpeechStream) -> tuple[SpeechStream, list[dict]]:
        """
        End a stream: what does not fill a step is left out, as of a whole sound.

        Returns:
            `tuple`: A fresh stream, and a list of the last utterance, if a word was heard.
        """
        hypothesis = self.decoder.results(stream.decoded, True)[0]
        result = self._result(hypothesis, stream.begin) | {"final": True}
        return self.start(), [result] if hypothesis.text else []


__all__ = ["Decoder", "GreedyDecoder", "SpeechRecognizer", "SpeechStream"]

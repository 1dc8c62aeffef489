# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Words scored one after the other, as a search for the best sentence asks for them. The state behind a word is a value:
it may be kept, and continued by several words.
"""

import math
from collections.abc import Iterable
from os import PathLike
from typing import Any, Protocol

from .ngram import END, START, UNKNOWN, NgramModel


LOG_10 = math.log(10)
# What KenLM gives to words of which a model without `<unk>` knows nothing.
LOG_PROB_OF_NOTHING = -100 * LOG_10


class WordScorer(Protocol):
    """What a search asks of a language model. All logarithms are natural."""

    def start(self) -> Any:
        """The state at the beginning of a sentence."""

    def step(self, state: Any, word: str) -> tuple[float, Any]:
        """log p(word | state), and the state behind it."""

    def end(self, state: Any) -> float:
        """log p(end of the sentence | state)."""


class _Sentences:
    def log_prob(self: WordScorer, sentence: str) -> float:
        """log p of a sentence and its end, whose words stand between blanks."""
        state, total = self.start(), 0.0
        for word in sentence.split():
            value, state = self.step(state, word)
            total += value
        return total + self.end(state)

    def perplexity(self: WordScorer, sentences: Iterable[str]) -> float:
        """Exponential of the mean of -log p over the words and ends of sentences."""
        sentences = list(sentences)
        number = sum(len(sentence.split()) + 1 for sentence in sentences)
        return math.exp(-sum(map(self.log_prob, sentences)) / number)


class NgramScorer(_Sentences):
    """
    An n-gram model as tables of Python, in which a look-up takes a microsecond.

    Args:
        model ([`NgramModel`]): With `words`: of [`~NgramModel.of_sentences`] or [`~NgramModel.from_arpa`]. Where it
            has `<s>`, sentences begin with it; where it has `</s>`, they end with it.
        unknown (`float`, *optional*, defaults to 0.0): Added to log p of a word that the model does not know, which is
            that of `<unk>`, or -230 where the model has none.

    Raises:
        `ValueError`: If the model does not know the words of its ids, or was not fitted.

    Example:

    ```python
    >>> from hf_lstm.evaluation.ngram import NgramModel
    >>> from hf_lstm.evaluation.word_scoring import NgramScorer

    >>> scorer = NgramScorer(NgramModel.of_sentences(["call me at nine", "call me", "nine"]))
    >>> value, state = scorer.step(scorer.start(), "call")
    >>> round(value, 2), round(scorer.log_prob("call me"), 2)
    (-0.89, -1.97)
    ```
    """

    def __init__(self, model: NgramModel, unknown: float = 0.0):
        if model.words is None:
            raise ValueError("`model` knows no words: make it by `NgramModel.of_sentences` or `NgramModel.from_arpa`.")
        self.order, self.size, self.unknown = model.order, model.vocab_size, unknown
        self.ids = {word: i for i, word in enumerate(model.words)}
        # By a code with V as its base, see `NgramModel`: of each length, the n-grams and the histories.
        self.log_probs, self.log_backoffs = model.log_tables()

    def start(self) -> tuple[int, ...]:
        return (self.ids[START],) if START in self.ids and self.order > 1 else ()

    def step(self, state: tuple[int, ...], word: str) -> tuple[float, tuple[int, ...]]:
        i = self.ids.get(word)
        if i is not None:
            return self._log_prob(state, i), self._behind(state, i)
        i = self.ids.get(UNKNOWN)
        if i is None:
            return LOG_PROB_OF_NOTHING + self.unknown, ()
        return self._log_prob(state, i) + self.unknown, self._behind(state, i)

    def end(self, state: tuple[int, ...]) -> float:
        return self._log_prob(state, self.ids[END]) if END in self.ids else 0.0

    def _behind(self, state: tuple[int, ...], i: int) -> tuple[int, ...]:
        return (*state, i)[1 - self.order :] if self.order > 1 else ()

    def _log_prob(self, state: tuple[int, ...], i: int) -> float:
        """The longest n-gram that the model has, and the weights of the histories that had to be left."""
        weight = 0.0
        for first in range(len(state) + 1):
            history = 0
            for each in state[first:]:
                history = history * self.size + each
            n = len(state) - first + 1
            found = self.log_probs[n - 1].get(history * self.size + i)
            if found is not None:
                return found + weight
            weight += self.log_backoffs[n - 1].get(history, 0.0)
        return LOG_PROB_OF_NOTHING


class KenlmScorer(_Sentences):
    """
    A model of KenLM (Heafield 2011), binary or ARPA, by the package `kenlm`: it maps large files into memory. Its
    states cannot be pickled.

    Args:
        file (`str` or `PathLike`): The file.
        unknown (`float`, *optional*, defaults to 0.0): Added to log p of a word that the model does not know.

    Raises:
        `ImportError`: If kenlm is not installed.
        `ValueError`: If the file cannot be read.
    """

    def __init__(self, file: str | PathLike, unknown: float = 0.0):
        try:
            import kenlm
        except ImportError:
            raise ImportError("Files of KenLM need its package: `pip install kenlm`.") from None
        try:
            self.model = kenlm.Model(str(file))
        except OSError as error:
            raise ValueError(f"`file` {str(file)!r} is no model of KenLM: {error}") from None
        self.order, self.unknown, self._state = self.model.order, unknown, kenlm.State

    def start(self) -> Any:
        state = self._state()
        self.model.BeginSentenceWrite(state)
        return state

    def step(self, state: Any, word: str) -> tuple[float, Any]:
        behind = self._state()
        value = LOG_10 * self.model.BaseScore(state, word, behind)
        return value if word in self.model else value + self.unknown, behind

    def end(self, state: Any) -> float:
        return LOG_10 * self.model.BaseScore(state, END, self._state())


__all__ = ["KenlmScorer", "NgramScorer", "WordScorer"]

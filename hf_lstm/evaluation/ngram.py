# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
N-gram language models with interpolated, modified Kneser-Ney smoothing: what a recurrent model has to beat, and what
guides a search for words.

Glossary: B blocks, T time steps, V vocabulary, n the order (1 unigram, 2 bigram, 3 trigram).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from os import PathLike
from typing import NamedTuple

import numpy as np

from .arpa import LOG10_ZERO, ArpaSection, read_arpa, write_arpa


UNKNOWN, START, END = "<unk>", "<s>", "</s>"

# Where a corpus is too small or too regular to estimate discounts from it: those that KenLM falls back on.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


class NgramModel:
    """
    Interpolated n-gram model, smoothed by the modified method of Kneser and Ney (Kneser & Ney 1995; Chen & Goodman
    1999, section 3). With `h` for the `n - 1` tokens before `w`, and `h'` for the last `n - 2` of them,

        p(w | h) = (c(h w) - D(c(h w))) / c(h)  +  gamma(h) p(w | h'),      gamma(h) = sum_w D(c(h w)) / c(h)

    The counts `c` are those of the text at the highest order, and below it the number of distinct tokens seen in
    front. Under the unigram lies the uniform distribution `1 / V`: every token has a probability, and they sum to one
    over the vocabulary. With `order=1` this is a smoothed unigram model.

    Like a recurrent model that starts each block afresh, it sees nothing before a block: the first token is not
    predicted, and the second from the first alone.

    Args:
        vocab_size (`int`): Number of tokens, V.
        order (`int`, *optional*, defaults to 3): Length n of the n-grams; 3 is a trigram model.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lstm.evaluation.ngram import NgramModel

    >>> blocks = np.array([[0, 1, 2, 0, 1, 3], [0, 1, 2, 2, 1, 0]])
    >>> model = NgramModel(vocab_size=4).fit(blocks)
    >>> model.log_prob(blocks).shape
    (2, 5)
    ```
    """

    def __init__(self, vocab_size: int, order: int = 3):
        if order < 1:
            raise ValueError(f"`order` is {order}: give 1 for a unigram model, 3 for a trigram model.")
        if vocab_size < 1 or vocab_size**order > np.iinfo(np.int64).max:
            raise ValueError(
                f"`vocab_size` is {vocab_size} with `order` {order}: their power has to fit 64 bits, so give a "
                "smaller one of the two, and at least one token."
            )
        self.vocab_size = vocab_size
        self.order = order
        self.words: list[str] | None = None  # of each id, where the model is of words
        self._tables: list[_Table] = []  # at index n - 1, the n-grams

    @classmethod
    def of_sentences(cls, sentences: Iterable[str], order: int = 3, min_count: int = 1) -> "NgramModel":
        """
        A model of words. Each sentence is counted with `<s>` in front and `</s>` behind; what begins with `<s>` has
        no token in front, so that its counts are those of the text at every order, as in KenLM (Heafield et al. 2013,
        section 3). `<s>` is never predicted, and `<unk>` has the share that the uniform distribution gives it.

        Args:
            sentences (`Iterable[str]`): Texts, whose words stand between blanks.
            order (`int`, *optional*, defaults to 3): Length n of the n-grams.
            min_count (`int`, *optional*, defaults to 1): Words that are rarer become `<unk>`.

        Returns:
            [`NgramModel`]: With `words`: `<unk>`, `<s>`, `</s>`, and the others sorted.

        Raises:
            `ValueError`: If there is no word, or a word is `<s>` or `</s>`.

        Example:

        ```python
        >>> from hf_lstm.evaluation.ngram import NgramModel

        >>> model = NgramModel.of_sentences(["call me at nine", "call me", "nine"], order=3)
        >>> model.words
        ['<unk>', '<s>', '</s>', 'at', 'call', 'me', 'nine']
        ```
        """
        texts = [sentence.split() for sentence in sentences]
        counts = Counter(word for text in texts for word in text)
        if not counts or START in counts or END in counts:
            raise ValueError("`sentences` has no word: give texts." if not counts else f"A word is {START} or {END}.")
        words = [UNKNOWN, START, END]
        words += sorted(word for word, count in counts.items() if count >= min_count and word != UNKNOWN)
        ids = {word: i for i, word in enumerate(words)}
        model = cls(len(words), order)
        model.words = words
        model._count([[1, *(ids.get(word, 0) for word in text), 2] for text in texts])
        return model

    def _count(self, sentences: list[list[int]]) -> None:
        """The tables of sentences between 1, `<s>`, and 2, `</s>`."""
        ids = np.array([i for sentence in sentences for i in sentence], dtype=np.int64)
        owner = np.repeat(np.arange(len(sentences)), [len(sentence) for sentence in sentences])
        self._tables, above = [], np.zeros(0, dtype=np.int64)
        for n in range(self.order, 0, -1):
            codes = self._codes(ids[None], n)[0][owner[: max(len(ids) - n + 1, 0)] == owner[n - 1 :]]
            if n < self.order:  # of the text only what nothing stands in front of
                codes = np.concatenate([codes[codes // self.vocab_size ** (n - 1) == 1], above % self.vocab_size**n])
            if n == 1:
                codes = codes[codes != 1]
            codes, counts = np.unique(codes, return_counts=True)
            above = codes
            self._tables.insert(0, _Table.from_counts(codes, counts, self.vocab_size))
        while self.order > 1 and not len(self._tables[-1].codes):  # no sentence is that long
            self._tables.pop()
            self.order -= 1
        # Into the unigrams with the uniform distribution, which `<s>` has no part in.
        table = self._tables[0]
        probs = table.backoffs[0] / (self.vocab_size - 1) + np.bincount(table.codes, table.probs, self.vocab_size)
        probs[1] = 10**LOG10_ZERO
        self._tables[0] = _Table.of_unigrams(probs)

    def to_arpa(self, file: str | PathLike, words: Sequence[str] | None = None) -> None:
        """
        Write the model for other programs: each n-gram with its interpolated probability, and `gamma(h)` as the
        back-off weight of `h`, by which the probabilities are the same.

        Args:
            file (`str` or `PathLike`): Where to; compressed by gzip if the name ends in `.gz`.
            words (`Sequence[str]`, *optional*): The word of each id; needed where the model does not know them.

        Raises:
            `ValueError`: If the model was not fitted, there are not V `words`, or one of them is empty, has a blank or
                stands there twice.
        """
        words = self.words if words is None else list(words)
        if not self._tables or words is None or len(words) != self.vocab_size:
            found = "was not fitted" if not self._tables else f"has {len(words or [])} `words`"
            raise ValueError(f"The model {found}: `to_arpa` needs counts and {self.vocab_size} words, one of each id.")
        sections, prefixes = [], np.zeros(0, dtype=np.int64)
        for n in range(self.order, 0, -1):
            # What is the history of a longer n-gram stands there too, for its weight; a unigram, whatever it is.
            codes = np.union1d(self._tables[n - 1].codes, prefixes) if n > 1 else np.arange(self.vocab_size)
            prefixes = codes // self.vocab_size
            with np.errstate(divide="ignore"):
                log10_probs = np.maximum(np.log10(self._prob(codes, n)), LOG10_ZERO)
            backoffs = np.full(len(codes), np.nan)
            if n < self.order:
                backoffs = np.log10(_look_up(codes, self._tables[n].contexts, self._tables[n].backoffs, np.nan))
            grams = codes[:, None] // self.vocab_size ** np.arange(n - 1, -1, -1) % self.vocab_size
            sections.insert(0, ArpaSection(grams, log10_probs, backoffs))
        write_arpa(file, words, sections)

    @classmethod
    def from_arpa(cls, file: str | PathLike) -> "NgramModel":
        """
        Read a model that [`~NgramModel.to_arpa`] or another program wrote, however it was smoothed.

        Args:
            file (`str` or `PathLike`): The file, which may be compressed by gzip.

        Returns:
            [`NgramModel`]: With `words`, in the order of the file.

        Raises:
            `ValueError`: For a file that is damaged or of another format, with the line; or if the words to the power
                of the order do not fit 64 bits.
        """
        words, sections = read_arpa(file)
        model = cls(len(words), len(sections))
        model.words = words
        model._tables = [_Table.of_unigrams(10 ** sections[0].log10_probs)]
        powers = len(words) ** np.arange(len(sections) - 1, -1, -1, dtype=np.int64)
        for n, (shorter, section) in enumerate(pairwise(sections), start=2):
            contexts, backoffs = shorter.grams @ powers[1 - n :], 10**shorter.log10_backoffs
            given = ~np.isnan(backoffs)
            order = np.argsort(contexts[given])
            contexts, backoffs = contexts[given][order], backoffs[given][order]
            codes = section.grams @ powers[-n:]
            order = np.argsort(codes)
            codes, probs = codes[order], 10 ** section.log10_probs[order]
            # What is read is the sum over all orders: this one's part is what the lower ones leave.
            lower = model._prob(codes % len(words) ** (n - 1), n - 1)
            probs = probs - _look_up(codes // len(words), contexts, backoffs, default=1.0) * lower
            model._tables.append(_Table(codes, probs, contexts, backoffs))
        return model

    def fit(self, input_ids: np.ndarray) -> "NgramModel":
        """
        Count the n-grams within each block.

        Args:
            input_ids (`np.ndarray` of shape `(B, T)`): Token ids; T must be at least `order`.

        Returns:
            [`NgramModel`]: The model itself.

        Raises:
            `ValueError`: If `input_ids` has another shape, or ids outside of the vocabulary.
        """
        input_ids = self._check(input_ids, min_length=self.order)
        codes, counts = np.unique(self._codes(input_ids, self.order), return_counts=True)
        self._tables = [_Table.from_counts(codes, counts, self.vocab_size)]
        for n in range(self.order - 1, 0, -1):
            # Dropping the first token of each distinct n-gram leaves one (n - 1)-gram for each token seen in front.
            codes, counts = np.unique(codes % self.vocab_size**n, return_counts=True)
            self._tables.insert(0, _Table.from_counts(codes, counts, self.vocab_size))
        return self

    def log_prob(self, input_ids: np.ndarray) -> np.ndarray:
        """
        Natural logarithm of the probability of every token but the first of each block, given those before it.

        Args:
            input_ids (`np.ndarray` of shape `(B, T)`): Token ids.

        Returns:
            `np.ndarray` of shape `(B, T - 1)`: Log-probabilities, the targets of `labels=input_ids` in a causal model.

        Raises:
            `ValueError`: If the model was not fitted, `input_ids` has another shape, or ids outside of the vocabulary.
        """
        if not self._tables:
            raise ValueError("`log_prob` needs counts: call `fit` first.")
        input_ids = self._check(input_ids, min_length=2)
        # The first targets of a block have a shorter history, and so a lower order.
        parts = [self._prob(self._codes(input_ids[:, :n], n), n) for n in range(2, self.order)]
        first = max(self.order, 2) - self.order  # a unigram model skips the first token as the others do
        parts.append(self._prob(self._codes(input_ids[:, first:], self.order), self.order))
        return np.log(np.concatenate(parts, axis=1))

    def perplexity(self, input_ids: np.ndarray) -> float:
        """
        Exponential of the mean negative log-probability over the targets of [`~NgramModel.log_prob`].

        Args:
            input_ids (`np.ndarray` of shape `(B, T)`): Token ids.

        Returns:
            `float`: The perplexity.
        """
        return float(np.exp(-self.log_prob(input_ids).mean()))

    def log_tables(self) -> tuple[list[dict[int, float]], list[dict[int, float]]]:
        """
        For looking up n-grams one by one: of each length, log p of the n-grams (the sum over all orders) and
        `log gamma` of the histories, by their codes.

        Raises:
            `ValueError`: If the model was not fitted.
        """
        if not self._tables:
            raise ValueError("`log_tables` needs counts: call `fit` first.")
        log_probs, log_backoffs = [], []
        for n, table in enumerate(self._tables, start=1):
            codes = table.codes if n > 1 else np.arange(self.vocab_size)
            with np.errstate(divide="ignore"):
                log_probs.append(dict(zip(codes.tolist(), np.log(self._prob(codes, n)).tolist(), strict=True)))
                backoffs = np.log(table.backoffs).tolist()
            log_backoffs.append(dict(zip(table.contexts.tolist(), backoffs, strict=True)))
        return log_probs, log_backoffs

    def _codes(self, input_ids: np.ndarray, n: int) -> np.ndarray:
        """Each n-gram as one number with V as its base: (B, T) -> (B, T - n + 1)."""
        length = max(input_ids.shape[1] - n + 1, 0)
        return sum(input_ids[:, i : i + length] * self.vocab_size ** (n - 1 - i) for i in range(n))

    def _prob(self, codes: np.ndarray, n: int) -> np.ndarray:
        """Probability of the last token of each n-gram given the others, of the same shape as `codes`."""
        if n == 0:
            return np.full(codes.shape, 1 / self.vocab_size)
        table = self._tables[n - 1]
        lower = self._prob(codes % self.vocab_size ** (n - 1), n - 1)
        seen = _look_up(codes, table.codes, table.probs, default=0.0)
        return seen + _look_up(codes // self.vocab_size, table.contexts, table.backoffs, default=1.0) * lower

    def _check(self, input_ids: np.ndarray, min_length: int) -> np.ndarray:
        input_ids = np.asarray(input_ids, dtype=np.int64)
        if input_ids.ndim != 2 or input_ids.shape[0] == 0 or input_ids.shape[1] < min_length:
            raise ValueError(
                f"`input_ids` has the shape {input_ids.shape}: give one block or more of at least {min_length} tokens."
            )
        if input_ids.min() < 0 or input_ids.max() >= self.vocab_size:
            raise ValueError(
                f"`input_ids` holds ids from {input_ids.min()} to {input_ids.max()}, but `vocab_size` is "
                f"{self.vocab_size}: give ids from 0 to {self.vocab_size - 1}."
            )
        return input_ids


class _Table(NamedTuple):
    """What n-grams of one length contribute; `codes` and `contexts` are sorted, to be found by bisection."""

    codes: np.ndarray  # (number of distinct n-grams,)
    probs: np.ndarray  # the same: (c(h w) - D(c(h w))) / c(h)
    contexts: np.ndarray  # (number of distinct histories h,)
    backoffs: np.ndarray  # the same: gamma(h)

    @classmethod
    def from_counts(cls, codes: np.ndarray, counts: np.ndarray, vocab_size: int) -> "_Table":
        contexts, index = np.unique(codes // vocab_size, return_inverse=True)
        totals = np.bincount(index, weights=counts)
        discounts = _discounts(counts)[np.minimum(counts, 3) - 1]
        backoffs = np.bincount(index, weights=discounts) / totals
        return cls(codes, (counts - discounts) / totals[index], contexts, backoffs)

    @classmethod
    def of_unigrams(cls, probs: np.ndarray) -> "_Table":
        """That of all tokens, (V,), with nothing left for the uniform distribution."""
        return cls(np.arange(len(probs)), probs, np.zeros(1, dtype=np.int64), np.zeros(1))


def _discounts(counts: np.ndarray) -> np.ndarray:
    """The discounts of n-grams seen once, twice and more often (Chen & Goodman 1999, section 3)."""
    n1, n2, n3, n4 = (np.count_nonzero(counts == i) for i in (1, 2, 3, 4))
    if min(n1, n2, n3) > 0:
        y = n1 / (n1 + 2 * n2)
        discounts = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if np.all((discounts > 0) & (discounts < (1, 2, 3))):
            return discounts
    return np.array(FALLBACK_DISCOUNTS)


def _look_up(keys: np.ndarray, sorted_keys: np.ndarray, values: np.ndarray, default: float) -> np.ndarray:
    """`values` at the place of each key in `sorted_keys`, `default` where it is missing."""
    if not len(sorted_keys):
        return np.full(np.shape(keys), default)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.where(sorted_keys[places] == keys, values[places], default)

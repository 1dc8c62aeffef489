# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
From the probabilities of labels at each step to text: the best path, and a search over texts that sums over their
paths (Graves & Jaitly 2014, "Towards End-to-End Speech Recognition with Recurrent Neural Networks", algorithm 1;
Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs").

A prefix is a sequence of labels without blanks. At each step a search keeps, of each of its best prefixes, the
probability of all paths that spell it and end in a blank, and of those that end in its last label.

Glossary: B batch, T steps, V labels with the blank, U labels of a text.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from .ctc_paths import LabelPath, log_prob_rows
from .hot_phrases import Hot, HotPhrases, lexicon_tree, spell
from .word_scoring import WordScorer


NEVER = -math.inf
# Probabilities of prefixes are scaled up before they would be too small for a number.
SMALL = 1e-60


def greedy(log_probs: Any, lengths: Any = None, blank: int = 0) -> list[LabelPath]:
    """
    The best label of each step, repetitions taken as one, blanks left out (Graves et al. 2006, section 3.2).

    Args:
        log_probs (`np.ndarray` or `torch.Tensor` of shape `(B, T, V)` or `(T, V)`): Logarithms of probabilities.
        lengths (shape `(B,)`, *optional*): How many steps of each row are real.
        blank (`int`, *optional*, defaults to 0): The label of nothing.

    Returns:
        `list[LabelPath]`: Of each row the labels, their steps and the means of their probabilities.

    Raises:
        `ValueError`: For another shape, or values that are no logarithms of probabilities.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lstm.evaluation.ctc_decoding import greedy

    >>> probs = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]])
    >>> path = greedy(np.log(probs))[0]
    >>> path.text(["", "a", "b"]), path.first, path.last
    ('ab', (1, 3), (2, 3))
    ```
    """
    rows, lengths = log_prob_rows(log_probs, lengths)
    paths = []
    for row, length in zip(rows, lengths, strict=True):
        best = row[:length].argmax(-1)
        values = row[np.arange(length), best]
        starts = np.flatnonzero(np.diff(best, prepend=-1))
        ends = np.append(starts[1:], length)[: len(starts)]
        heard = best[starts] != blank
        sums = np.add.reduceat(np.exp(values), starts) if length else np.zeros(0)
        parts = (best[starts], starts, ends - 1, sums / (ends - starts))
        parts = (tuple(part[heard].tolist()) for part in parts)
        paths.append(LabelPath(*parts, log_prob=float(values.sum())))
    return paths


@dataclass(frozen=True)
class Hypothesis:
    """
    A text that was found.

    Args:
        text (`str`): The text.
        path (`LabelPath`): Its best path. Of the part of a sound that a search has read: steps count from its start.
        acoustic (`float`): log p of the labels, the sum over all paths that the search kept.
        language (`float`): log p of the words by the language model, unweighted; 0 without one.
        total (`float`): What texts are ordered by: `acoustic + alpha * language + beta * words + credit`, with the
            credit of hot phrases.
    """

    text: str
    path: LabelPath
    acoustic: float
    language: float
    total: float


class _Prefix:
    """What does not depend on the steps. `children` only remembers what was made before."""

    __slots__ = ("bonus", "children", "hot", "key", "label", "language", "lexicon", "parent", "state", "word", "words")

    def __init__(self, parent, label, key, word, lexicon, state, language, words, hot, bonus):
        self.parent, self.label, self.key = parent, label, key
        self.word, self.lexicon = word, lexicon  # the word under way, and where it is in the lexicon
        self.state, self.language, self.words = state, language, words
        self.hot, self.bonus = hot, bonus
        self.children: dict[int, _Prefix | None] = {}


class BeamState(NamedTuple):
    """
    Where a search is, as a value: it may be kept, continued in several ways, and pickled (where the states of the
    language model can be).

    Args:
        beams (`tuple`): Of each prefix a list: the prefix; the probability of its paths that end in a blank, and in
            its label, both times `exp(-scale)`; log p of the best of either; and these two paths.
        step (`int`): How many steps were read.
        scale (`float`): See `beams`.
    """

    beams: tuple
    step: int
    scale: float

    def __reduce__(self):
        return _state_of, _flat(self)


class CTCBeamSearch:
    """
    Search for the most probable texts. It reads a sound in any number of chunks, with the same result.

    Args:
        labels (`Sequence[str]`): What each of the V labels is written as; `""` for one that must not come.
        blank (`int`, *optional*, defaults to 0): The label of nothing.
        delimiter (`str`, *optional*, defaults to `"|"`): The spelling of the label between words. With `None` each
            label is a word for the language model, as it may be in Chinese.
        beam_size (`int`, *optional*, defaults to 16): How many prefixes are kept.
        min_prob (`float`, *optional*, defaults to 0.001): Labels that are less probable at a step are taken as
            impossible there, unless they are the blank or the most probable one.
        language_model ([`WordScorer`], *optional*): Scores words, when they end.
        alpha (`float`, *optional*, defaults to 0.5): The weight of its logarithms.
        beta (`float`, *optional*, defaults to 0.0): Added for each word.
        lexicon (`Sequence[str]`, *optional*): The words that may come; others cannot.
        hot_phrases (`Sequence[str]` or `Mapping[str, float]`, *optional*): Phrases that are worth more, see
            [`HotPhrases`]; words stand between blanks. A mapping gives each its own weight.
        hot_weight (`float`, *optional*, defaults to 1.0): What each label of such a phrase adds.

    Raises:
        `ValueError`: For sizes that are too small, a delimiter that is no label, or words that no labels
            spell.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lstm.evaluation.ctc_decoding import CTCBeamSearch

    >>> probs = np.array([[0.1, 0.8, 0.1, 0.0], [0.1, 0.1, 0.4, 0.4], [0.2, 0.0, 0.5, 0.3]])
    >>> search = CTCBeamSearch(["", "i", "n", "t"], delimiter=None, hot_phrases=["it"])
    >>> with np.errstate(divide="ignore"):
    ...     log_probs = np.log(probs)
    >>> search(log_probs)[0][0].text
    'it'
    >>> state = search.advance(search.start(), log_probs[:2])
    >>> search.results(search.advance(state, log_probs[2:]))[0].text
    'it'
    ```
    """

    def __init__(
        self,
        labels: Sequence[str],
        blank: int = 0,
        delimiter: str | None = "|",
        beam_size: int = 16,
        min_prob: float = 1e-3,
        language_model: WordScorer | None = None,
        alpha: float = 0.5,
        beta: float = 0.0,
        lexicon: Sequence[str] | None = None,
        hot_phrases: Sequence[str] | Mapping[str, float] | None = None,
        hot_weight: float = 1.0,
    ):
        self.labels = list(labels)
        if not 0 <= blank < len(self.labels):
            raise ValueError(f"`blank` is {blank}: give a label from 0 to {len(self.labels) - 1}.")
        if alpha < 0:
            raise ValueError(f"`alpha` is {alpha}: give a weight of at least 0.")
        if beam_size < 1 or not 0 <= min_prob < 1:
            raise ValueError(
                f"`beam_size` is {beam_size} and `min_prob` {min_prob}: give at least 1, and a probability below 1."
            )
        ids = {text: i for i, text in enumerate(self.labels) if text and i != blank}
        if delimiter is not None and delimiter not in ids:
            raise ValueError(f"`delimiter` is {delimiter!r}, which is not among `labels`: give one, or `None`.")
        if lexicon is not None and delimiter is None:
            raise ValueError("A `lexicon` needs a `delimiter`: without one nothing says where words end.")
        if isinstance(lexicon, str) or isinstance(hot_phrases, str):
            raise ValueError("`lexicon` and `hot_phrases` are lists of texts: give `[text]`, not a text.")
        self.blank, self.delimiter, self.beam_size, self.min_prob = blank, delimiter, beam_size, min_prob
        self.language_model, self.alpha, self.beta = language_model, alpha, beta
        self._between = ids.get(delimiter) if delimiter is not None else None
        self._never = [i for i, text in enumerate(self.labels) if not text or i == blank]
        inside = {text: i for text, i in ids.items() if i != self._between}
        self._lexicon = None if lexicon is None else lexicon_tree(lexicon, inside)
        self._hot = None
        if hot_phrases:
            weights = hot_phrases if isinstance(hot_phrases, Mapping) else dict.fromkeys(hot_phrases, hot_weight)
            spelt = inside if self._between is None else {**inside, " ": self._between}
            phrases = {spell(" ".join(text.split()), spelt, "hot_phrases"): w for text, w in weights.items()}
            self._hot = HotPhrases(phrases, self._between)
        # What one label more can add to what guides the search; log p of a word adds nothing.
        lent, most = (0.0, 0.0) if self._hot is None else (self._hot.highest, max(self._hot.lent.values()))
        self._gain, gain_of_end = lent, max(beta, 0.0) + most
        self._at_ends = math.exp(min(self._gain - gain_of_end, 0.0))

    @classmethod
    def of_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, **options: Any) -> "CTCBeamSearch":
        """
        A search over the characters of a tokenizer: its padding is the blank, and no other special token comes.

        Args:
            tokenizer ([`~transformers.Wav2Vec2CTCTokenizer`]): The tokenizer.
            options: The other arguments of the class.
        """
        tokens, delimiter = tokenizer.convert_ids_to_tokens(range(len(tokenizer))), tokenizer.word_delimiter_token
        special = {*tokenizer.all_special_tokens} - {delimiter}
        labels = ["" if token in special else token for token in tokens]
        return cls(labels, tokenizer.pad_token_id, delimiter, **options)

    def __call__(self, log_probs: Any, lengths: Any = None) -> list[list[Hypothesis]]:
        """
        Args:
            log_probs (`np.ndarray` or `torch.Tensor` of shape `(B, T, V)` or `(T, V)`): Logarithms of probabilities.
            lengths (shape `(B,)`, *optional*): How many steps of each row are real.

        Returns:
            `list[list[Hypothesis]]`: For each row the texts that were found, the best one first.

        Raises:
            `ValueError`: As [`~CTCBeamSearch.advance`].
        """
        rows, lengths = log_prob_rows(log_probs, lengths)
        pairs = zip(rows, lengths, strict=True)
        return [self.results(self.advance(self.start(), row[:length])) for row, length in pairs]

    def start(self) -> BeamState:
        """The state before the first step."""
        state = None if self.language_model is None else self.language_model.start()
        hot = Hot() if self._hot is None else self._hot.begin()
        root = _Prefix(None, -1, 0, "", 0, state, 0.0, 0, hot, 0.0)
        return BeamState(([root, 1.0, 0.0, 0.0, NEVER, None, None],), 0, 0.0)

    def advance(self, state: BeamState, log_probs: Any) -> BeamState:
        """
        Read on.

        Args:
            state (`BeamState`): Of [`~CTCBeamSearch.start`] or of this; it stays as it is.
            log_probs (`np.ndarray` or `torch.Tensor` of shape `(T, V)`): The next steps, none too.

        Returns:
            `BeamState`: The state behind them.

        Raises:
            `ValueError`: For another shape, values that are no logarithms of probabilities, or a step at which nothing
                that is allowed has a probability above 0.
        """
        if np.shape(log_probs)[-1:] != (len(self.labels),) or np.ndim(log_probs) != 2:
            raise ValueError(f"`log_probs` has the shape {tuple(np.shape(log_probs))}: give (T, {len(self.labels)}).")
        rows = log_prob_rows(log_probs)[0][0]
        steps = len(rows)
        keep = rows >= (math.log(self.min_prob) if self.min_prob else np.nextafter(-np.inf, 0))
        if steps:
            keep[np.arange(steps), rows.argmax(1)] = True
        keep[:, self._never] = False
        places, labels = keep.nonzero()
        values = rows[places, labels].tolist()
        bounds = np.searchsorted(places, np.arange(steps + 1)).tolist()
        # One by one, as chunks of other sizes would: numpy's own exp may differ in the last digit.
        candidates = [(i, math.exp(value), value) for i, value in zip(labels.tolist(), values, strict=True)]
        beams, step, scale = state
        for t, log_blank in enumerate(rows[:, self.blank].tolist()):
            found = self._extended(beams, step, log_blank, candidates[bounds[t] : bounds[t + 1]])
            beams, more = self._best(found, step)
            step, scale = step + 1, scale + more
        return BeamState(tuple(beams), step, scale)

    def results(self, state: BeamState, final: bool = True) -> list[Hypothesis]:
        """
        What was found. Texts that several prefixes read as, such as with and without a delimiter at the end, are one:
        their probabilities are summed.

        Args:
            state (`BeamState`): Where the search is.
            final (`bool`, *optional*, defaults to `True`): Whether the sound ends here. If so, the last word is
                scored and the end of the sentence too, a word that is not in the lexicon is left out, and what was
                lent to phrases that are not complete is taken back.

        Returns:
            `list[Hypothesis]`: The best one first.
        """
        whole = self._lexicon is None or not final
        ends = [beam for beam in state.beams if whole or self._may_end(beam[0])]
        best: dict[str, Hypothesis] = {}
        for beam in ends or [_without_word(beam) for beam in state.beams]:
            found = self._hypothesis(beam, state.scale, final)
            other = best.get(found.text)
            if other is not None:
                better = found if found.total > other.total else other
                acoustic = float(np.logaddexp(found.acoustic, other.acoustic))
                total = better.total - better.acoustic + acoustic
                found = Hypothesis(found.text, better.path, acoustic, better.language, total)
            best[found.text] = found
        return sorted(best.values(), key=lambda found: -found.total)

    def _extended(
        self, beams: Sequence[list], step: int, log_blank: float, candidates: list[tuple]
    ) -> dict[int, list]:
        """All prefixes behind one more step, by their keys. `candidates`: label, p, log p."""
        blank, found, between = math.exp(log_blank), {}, self._between
        limits = self._limits(beams, blank) if candidates else [0.0] * len(beams)
        present = {beam[0].key for beam in beams}
        for beam, limit in zip(beams, limits, strict=True):
            prefix, in_blank, in_label, best_blank, best_label, path_blank, path_label = beam
            both = in_blank + in_label
            best, path = (best_blank, path_blank) if best_blank >= best_label else (best_label, path_label)
            stay = found.get(prefix.key)
            if stay is None:
                found[prefix.key] = stay = [prefix, 0.0, 0.0, NEVER, NEVER, None, None]
            stay[1], stay[3], stay[5] = both * blank, best + log_blank, path
            for label, p, log_p in candidates:
                mass, value, before = both * p, best + log_p, path
                if label == prefix.label:
                    if in_label:
                        stay[2] += in_label * p
                        again = best_label + log_p
                        if again > stay[4]:
                            earlier, first, _, certain = path_label
                            stay[4], stay[6] = again, (earlier, first, step, certain + p)
                    # Behind a blank it is the label once more.
                    mass, value, before = in_blank * p, best_blank + log_p, path_blank
                least = limit * self._at_ends if between is None or label == between else limit
                if not mass or (mass < least and hash((prefix.key, label)) not in present):
                    continue
                child = prefix.children[label] if label in prefix.children else self._child(prefix, label)
                if child is None:
                    continue
                entry = found.get(child.key)
                if entry is None:
                    found[child.key] = [child, 0.0, mass, NEVER, value, None, (before, step, step, p)]
                    continue
                entry[2] += mass
                if value > entry[4]:
                    entry[4], entry[6] = value, (before, step, step, p)
        return found

    def _limits(self, beams: Sequence[list], blank: float) -> list[float]:
        """For each prefix, how probable a new one behind it has to be at least, to be among the best ones."""
        if len(beams) < self.beam_size or not blank:
            return [0.0] * len(beams)
        # These stay, and there are as many as are kept; a label within a word adds `_gain` at most.
        scores = [math.log((beam[1] + beam[2]) * blank or 1e-300) + beam[0].bonus for beam in beams]
        least = min(scores) - self._gain
        return [math.exp(min(least - beam[0].bonus, 0.0)) for beam in beams]

    def _best(self, found: dict[int, list], step: int) -> tuple[list, float]:
        """The prefixes that are kept, and the logarithm that their probabilities were divided by."""
        beams = [entry for entry in found.values() if entry[1] or entry[2]]
        if not beams:
            raise ValueError(f"At step {step} nothing has a probability above 0: give finite `log_probs`.")
        if len(beams) > self.beam_size:
            log = math.log
            scored = [(log(entry[1] + entry[2]) + entry[0].bonus, -i) for i, entry in enumerate(beams)]
            order = sorted(scored, reverse=True)
            for _, i in order[self.beam_size :]:
                beams[-i][0].children.clear()  # nothing is kept of what the search has left
            beams = [beams[-i] for _, i in order[: self.beam_size]]
        highest = max([entry[1] + entry[2] for entry in beams])
        if highest >= SMALL:
            return beams, 0.0
        for entry in beams:
            entry[1] /= highest
            entry[2] /= highest
        return beams, math.log(highest)

    def _child(self, prefix: _Prefix, label: int) -> _Prefix | None:
        """A prefix with one label more; `None` if the lexicon has no such word."""
        child = prefix.children[label] = self._new_child(prefix, label)
        return child

    def _new_child(self, prefix: _Prefix, label: int) -> _Prefix | None:
        word, lexicon = prefix.word, prefix.lexicon
        state, language, words, hot = prefix.state, prefix.language, prefix.words, prefix.hot
        ends = self._between is None or label == self._between
        if self._between is None:
            word = self.labels[label]
        if ends:
            if self._lexicon is not None and word and not self._lexicon.ends[lexicon]:
                return None
            if word:
                words += 1
                if self.language_model is not None:
                    value, state = self.language_model.step(state, word)
                    language += value
            word, lexicon = "", 0
        else:
            if self._lexicon is not None:
                lexicon = self._lexicon.children[lexicon].get(label)
                if lexicon is None:
                    return None
            word += self.labels[label]
        if self._hot is not None:
            hot = self._hot.step(hot, label)
        bonus = self.alpha * language + self.beta * words + hot.credit
        # The hash of a pair of 64 bits: that two of the prefixes of a search share one does not happen.
        key = hash((prefix.key, label))
        return _Prefix(prefix, label, key, word, lexicon, state, language, words, hot, bonus)

    def _may_end(self, prefix: _Prefix) -> bool:
        return not prefix.word or self._lexicon.ends[prefix.lexicon]

    def _hypothesis(self, beam: list, scale: float, final: bool) -> Hypothesis:
        prefix = beam[0]
        language, bonus = prefix.language, prefix.bonus
        if final:
            words, state = prefix.words, prefix.state
            if prefix.word:
                words += 1
            if self.language_model is not None:
                if prefix.word:
                    value, state = self.language_model.step(state, prefix.word)
                    language += value
                language += self.language_model.end(state)
            bonus = self.alpha * language + self.beta * words
            if self._hot is not None:
                bonus += self._hot.end(prefix.hot)
        acoustic = math.log(beam[1] + beam[2]) + scale
        path = _path_of(beam)
        return Hypothesis(path.text(self.labels, self.delimiter), path, acoustic, language, acoustic + bonus)


def _without_word(beam: list) -> list:
    """The same without the word under way, which the end of the sound cut off; its probability is that with it."""
    prefix, left = beam[0], 0
    while prefix.word:
        prefix, left = prefix.parent, left + 1
    paths = list(beam[5:])
    for i, path in enumerate(paths):
        for _ in range(left):
            path = path and path[0]
        paths[i] = path
    return [prefix, *beam[1:5], *paths]


def _path_of(beam: list) -> LabelPath:
    prefix, best = beam[0], 3 if beam[3] >= beam[4] else 4
    labels, spans, path = [], [], beam[best + 2]
    while prefix.parent is not None:
        labels.append(prefix.label)
        prefix = prefix.parent
    while path is not None:
        path, first, last, certain = path
        spans.append((first, last, certain / (last - first + 1)))
    columns = zip(*reversed(spans), strict=True) if spans else ((), (), ())
    return LabelPath(tuple(reversed(labels)), *columns, log_prob=beam[best])


def _flat(state: BeamState) -> tuple[list, list, list, int, float]:
    """A state without chains, which pickle would follow too deep: prefixes and parts of paths behind their parents."""

    def chain(link, parent, table: dict, rows: list, values) -> int:
        new = []
        while link is not None and id(link) not in table:
            new.append(link)
            link = parent(link)
        for each in reversed(new):
            before = parent(each)
            table[id(each)] = len(rows)
            rows.append((-1 if before is None else table[id(before)], *values(each)))
        return -1 if link is None and not new else table[id(new[0] if new else link)]

    prefixes, parts, of_prefix, of_part, beams = [], [], {}, {}, []
    fields = ("label", "key", "word", "lexicon", "state", "language", "words", "hot", "bonus")
    for prefix, *numbers, path_blank, path_label in state.beams:
        row = chain(prefix, lambda p: p.parent, of_prefix, prefixes, lambda p: [getattr(p, field) for field in fields])
        paths = [chain(path, lambda p: p[0], of_part, parts, lambda p: p[1:]) for path in (path_blank, path_label)]
        beams.append((row, *numbers, *paths))
    return prefixes, parts, beams, state.step, state.scale


def _state_of(prefixes: list, parts: list, beams: list, step: int, scale: float) -> BeamState:
    """The state that `_flat` made flat."""
    nodes: list = []
    for parent, *values in prefixes:
        nodes.append(_Prefix(nodes[parent] if parent >= 0 else None, *values))
    paths: list = []
    for before, *values in parts:
        paths.append((paths[before] if before >= 0 else None, *values))
    whole = [
        [nodes[row], *numbers, *(paths[i] if i >= 0 else None for i in (in_blank, in_label))]
        for row, *numbers, in_blank, in_label in beams
    ]
    return BeamState(tuple(whole), step, scale)


__all__ = ["BeamState", "CTCBeamSearch", "Hypothesis", "greedy"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Lists that guide a search, as trees over labels: the words of a lexicon, and phrases that are worth more than others.
Nodes are numbers, so that what refers to them is a value; 0 is the root.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class PrefixTree:
    """
    Sequences of labels by their beginnings.

    Args:
        children (`list[dict[int, int]]`): Of each node, where each label leads.
        ends (`list[bool]`): Of each node, whether a sequence ends there.
    """

    def __init__(self):
        self.children: list[dict[int, int]] = [{}]
        self.ends: list[bool] = [False]

    def add(self, labels: Iterable[int]) -> list[int]:
        """The nodes on the way, the root left out."""
        node, way = 0, []
        for label in labels:
            if label not in self.children[node]:
                self.children[node][label] = len(self.children)
                self.children.append({})
                self.ends.append(False)
            node = self.children[node][label]
            way.append(node)
        self.ends[node] = True
        return way


class Hot(NamedTuple):
    """
    How far phrases have come.

    Args:
        open (`tuple[tuple[int, float], ...]`): Of each phrase that may be under way, the node, and what was already
            given for phrases within it; that which began first stands first.
        kept (`float`): What was given for phrases that were completed.
        credit (`float`): The same, with what is lent to the best of those under way.
    """

    open: tuple[tuple[int, float], ...] = ()
    kept: float = 0.0
    credit: float = 0.0


class HotPhrases:
    """
    Phrases that are worth `weight` for each of their labels (in the manner of Zhao et al. 2019, "Shallow-Fusion
    End-to-End Contextual Biasing"). A phrase begins at the beginning of a word and ends at the end of one. While it is
    under way its credit is lent, label by label, and taken back if another label comes. Where phrases end at the same
    place the longest counts, and what was given within a phrase is not given again for the whole.

    Args:
        phrases (`Mapping[tuple[int, ...], float]`): The weight of each phrase, by its labels.
        delimiter (`int`, *optional*): The label between words; without it each label is a word.

    Raises:
        `ValueError`: For a weight that is not above 0.
    """

    def __init__(self, phrases: Mapping[tuple[int, ...], float], delimiter: int | None):
        self.tree, self.delimiter = PrefixTree(), delimiter
        self.highest = max(phrases.values(), default=0.0)  # what a label within a word adds at most
        self.worth: dict[int, float] = {}  # of the phrase that ends at a node
        self.lent: dict[int, float] = {0: 0.0}  # of the best phrase through it
        for labels, weight in phrases.items():
            if not 0 < weight < math.inf:
                raise ValueError(f"The weight of a hot phrase is {weight}: give a number above 0.")
            way = self.tree.add(labels)
            self.worth[way[-1]] = weight * len(way)
            for length, node in enumerate(way, start=1):
                self.lent[node] = max(self.lent.get(node, weight * length), weight * length)

    def begin(self) -> Hot:
        return Hot(((0, 0.0),))

    def step(self, hot: Hot, label: int) -> Hot:
        """Behind one label more."""
        begins = label == self.delimiter
        if not begins and not hot.open and self.delimiter is not None:
            return hot  # within a word that no phrase has
        if begins:
            hot = self._complete(hot)
        elif self.delimiter is None and (0, 0.0) not in hot.open:
            hot = hot._replace(open=(*hot.open, (0, 0.0)))
        children = self.tree.children
        on = tuple((children[node][label], given) for node, given in hot.open if label in children[node])
        if begins:
            on = (*on, (0, 0.0))
        hot = Hot(on, hot.kept)
        if self.delimiter is None:
            hot = self._complete(hot)
        lent = max((self.lent[node] - given for node, given in hot.open), default=0.0)
        return hot._replace(credit=hot.kept + max(lent, 0.0))

    def end(self, hot: Hot) -> float:
        """What is left at the end of the text."""
        return self._complete(hot).kept

    def _complete(self, hot: Hot) -> Hot:
        """At the end of a word: what the longest of the phrases that end here brings."""
        for place, (node, given) in enumerate(hot.open):  # what began first is the longest
            if self.tree.ends[node]:
                gain = max(self.worth[node] - given, 0.0)
                within = tuple(
                    (each, earlier + gain if i <= place else earlier) for i, (each, earlier) in enumerate(hot.open)
                )
                return Hot(within, hot.kept + gain)
        return hot


def spell(text: str, labels: Mapping[str, int], name: str) -> tuple[int, ...]:
    """
    The labels of the characters of a text.

    Raises:
        `ValueError`: For a text that is empty, or has characters that are no labels.
    """
    unknown = sorted({character for character in text if character not in labels})
    if unknown or not text:
        what = f"has {unknown}, which are not among the labels" if unknown else "is empty"
        raise ValueError(f"`{name}`: {text!r} {what}. Write it as the model spells (upper or lower case?).")
    return tuple(labels[character] for character in text)


def lexicon_tree(words: Sequence[str], labels: Mapping[str, int]) -> PrefixTree:
    """
    Raises:
        `ValueError`: For no word at all, or one that the labels cannot spell.
    """
    tree = PrefixTree()
    for word in words:
        tree.add(spell(word, labels, "lexicon"))
    if len(tree.children) == 1:
        raise ValueError("`lexicon` has no word: give a list of words.")
    return tree


__all__ = ["Hot", "HotPhrases", "PrefixTree", "lexicon_tree", "spell"]

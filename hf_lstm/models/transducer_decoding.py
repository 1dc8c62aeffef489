# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What a transducer hears: the greedy path of a batch, and beam search (Graves 2012, section 2.5), both piece by piece.
Dimensions as in `transducer.py`; P units of the prediction network, S rows of a path, W beams.
"""

import heapq
import itertools
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from .cache import RecurrentCache, RecurrentCacheLayer, State
from .padding import Padding


WINDOW = 8  # steps that are looked at together, of which those before the first label count


class TransducerCache(RecurrentCache):
    """
    The state of a transducer between two pieces of a sound: of the layers of the encoder, then of those of the
    prediction network after the last label; last, the output of the latter, and how many steps each row has seen.

    Args:
        config ([`RecurrentTransducerConfig`]): Configuration of the model.
    """

    def __init__(self, config):
        super().__init__(config)
        self.layers += [RecurrentCacheLayer() for _ in range(config.num_decoder_layers + 1)]

    def part(self, first: int, last: int) -> RecurrentCache:
        """The state of some layers, which goes along with this one."""
        other = object.__new__(RecurrentCache)
        other.__dict__ = self.__dict__ | {"layers": self.layers[first:last]}
        return other

    def to(self, *args, **kwargs) -> "TransducerCache":
        """As in [`RecurrentCache`]; numbers of steps stay whole."""
        before = self.layers[-1].states
        super().to(*args, **kwargs)
        if before is not None:
            predicted, seen = self.layers[-1].states
            self.layers[-1].states = predicted, before[1].to(seen.device)
        return self


class Path(NamedTuple):
    """
    A way through the nodes of each row: `logits` (B, S, V) of those on it, certain of the blank behind its end;
    `steps` (B, S) of the sound, -1 behind the end.
    """

    logits: torch.Tensor
    steps: torch.Tensor


def certain(blank: int, like: torch.Tensor) -> torch.Tensor:
    """Logits (V,) that are certain of the blank, of the type and size of `like` (..., V)."""
    row = like.new_full(like.shape[-1:], torch.finfo(like.dtype).min / 2)
    row[blank] = 0
    return row


class Heard(NamedTuple):
    """What the greedy search has found up to a place: step, labels at that step, and the last label, (B,) each."""

    step: torch.Tensor
    number: torch.Tensor
    label: torch.Tensor


def greedy_path(
    scores: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    predict: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor],
    encoded: torch.Tensor,
    steps: torch.Tensor,
    blank: int,
    most: int,
) -> Path:
    """
    At each node the most probable of blank and labels. Steps up to the first label are looked at together, since the
    labels before them are the same (Bataev et al. 2024); rows wait for none.

    Between two equal labels of one step, and behind the last of as many labels as a step may have, stands a row that
    is certain of the blank: a path without repetitions and blanks, as CTC reads it, is what was heard.

    Args:
        scores (`Callable`): The joint network: of steps `(B, N, J)` and predicted `(B, 1, J)` logits `(B, N, V)`.
        predict (`Callable`): The prediction network: advances the rows that a mask `(B,)` tells by labels `(B,)`, and
            gives what it predicts then, `(B, 1, J)`; the mask is None at the beginning, where no label is read.
        encoded (`torch.Tensor` of shape `(B, T, J)`), steps (`torch.LongTensor` of shape `(B,)`): As in
            `transducer.py`.
        blank (`int`): The label of nothing.
        most (`int`): The most labels of a step.
    """
    heard = Heard(*(torch.zeros_like(steps) for _ in range(3)))
    predicted = predict(heard.label, None)
    found = []
    while (heard.step < steps).any():
        index = heard.step[:, None] + torch.arange(WINDOW, device=steps.device)
        window = encoded.take_along_dim(index.clamp(max=encoded.shape[1] - 1)[..., None], 1)
        logits = scores(window, predicted)
        used, given, after = _look(logits.argmax(-1), index < steps[:, None], heard, blank, most)
        row = certain(blank, logits).expand(len(logits), 1, -1)
        last = (used[:, 1:-1].sum(1, keepdim=True) - 1).clamp(min=0)
        places = torch.cat([heard.step[:, None], index, index.gather(1, last)], 1)
        found.append((used, torch.cat([row, logits, row], 1), places))
        if given.any():
            predicted = predict(after.label, given)
        heard = after
    if not found:
        return Path(predicted.new_zeros(len(steps), 0, scores(predicted, predicted).shape[-1]), steps[:, None][:, :0])
    used, logits, places = (torch.cat(each, 1) for each in zip(*found, strict=True))
    padding = Padding(used)
    length = int(padding.lengths.max())
    trailing = padding.trailing[:, :length]
    logits, places = padding.pack(logits)[:, :length], padding.pack(places)[:, :length]
    return Path(logits.where(~trailing[..., None], certain(blank, logits)), places.masked_fill(trailing, -1))


def _look(best, inside, heard: Heard, blank: int, most: int) -> tuple[torch.Tensor, torch.Tensor, Heard]:
    """
    Of the best labels of a window, (B, N), as far as they are `inside`: what of a blank, the window and another blank
    is on the path, (B, N + 2); which rows heard a label; and what is heard by then.
    """
    labelled = (best != blank) & inside
    given, first = labelled.any(1), labelled.int().argmax(1)
    visited = torch.where(given, first + 1, inside.sum(1))
    label = torch.where(given, best.gather(1, first[:, None])[:, 0], heard.label)
    same = given & (first == 0) & (heard.number > 0)
    number = torch.where(same, heard.number + 1, given.long())
    full = number >= most
    step = heard.step + torch.where(given, first + full, visited)
    again = same & (label == heard.label)
    path = torch.arange(best.shape[1], device=best.device) < visited[:, None]
    used = torch.cat([again[:, None], path, full[:, None]], 1)
    return used, given, Heard(step, number.masked_fill(full, 0), label)


def labels_of(path: Path, blank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    What a path says: labels (B, S), the blank behind the last; their steps (B, S), -1 there; and the log-probability
    of each path, (B,).
    """
    log_probs, best = path.logits.float().log_softmax(-1).max(-1)
    padding = Padding(best != blank)
    length = int(padding.lengths.max()) if len(best) and best.shape[1] else 0
    trailing = padding.trailing[:, :length]
    labels, steps = padding.pack(best)[:, :length], padding.pack(path.steps)[:, :length]
    return labels.masked_fill(trailing, blank), steps.masked_fill(trailing, -1), log_probs.sum(1)


class Node:
    """
    Labels since the beginning, as a place in the tree of all of them, and what the prediction network makes of these
    once it is asked.
    """

    def __init__(self, parent: "Node | None" = None, label: int = 0):
        self.parent, self.label, self.length = parent, label, 0 if parent is None else parent.length + 1
        self.children = weakref.WeakValueDictionary()  # a node lives as long as a hypothesis leads through it
        self.predicted: torch.Tensor | None = None  # (J,)
        self.states: list[State] | None = None  # of each layer, of one row

    def child(self, label: int) -> "Node":
        """The same labels and another."""
        found = self.children.get(label)
        if found is None:
            found = self.children[label] = Node(self, label)
        return found

    def labels(self) -> list[int]:
        """The labels, the first one first."""
        found, node = [], self
        while node.parent is not None:
            found.append(node.label)
            node = node.parent
        return found[::-1]


@dataclass(frozen=True)
class TransducerHypothesis:
    """
    Labels, the steps at which they were heard first, the logarithm of their probability, and how many steps it is of.
    """

    node: Node
    steps: tuple[int, ...] = ()
    score: float = 0.0
    seen: int = 0


class BeamSearch:
    """
    Beam search of one sound (Graves 2012, algorithm 1), step by step; the hypotheses are values, and what was found
    for them stays.

    Args:
        scores (`Callable`): The joint network: of steps `(N, J)` and predicted `(N, J)` logits `(N, V)`.
        predict (`Callable`): `predict(label, states)` of the prediction network, for one row: what it predicts after
            the label, `(J,)`, and its states; the states are None at the beginning.
        blank (`int`): The label of nothing.
        width (`int`): W, the hypotheses that are kept.
        most (`int`): The most labels of a step that are added to a hypothesis.
    """

    def __init__(self, scores: Callable, predict: Callable, blank: int, width: int, most: int):
        self.scores, self.predict, self.blank, self.width, self.most = scores, predict, blank, width, most

    def advance(self, beam: list[TransducerHypothesis], encoded: torch.Tensor) -> list[TransducerHypothesis]:
        """The hypotheses after more steps, (T, J); the most probable first."""
        for features in encoded:
            beam = self._step(beam, features)
        return beam

    def _predicted(self, node: Node) -> torch.Tensor:
        if node.predicted is None:
            states = None
            if node.parent is not None:
                self._predicted(node.parent)
                states = node.parent.states
            node.predicted, node.states = self.predict(node.label if node.parent else self.blank, states)
        return node.predicted

    def _step(self, beam: list[TransducerHypothesis], features: torch.Tensor) -> list[TransducerHypothesis]:
        known: dict[Node, list[float]] = {}  # log-probabilities at this step

        def log_probs(nodes: list[Node]) -> list[list[float]]:
            fresh = [node for node in nodes if node not in known]
            if fresh:
                predicted = torch.stack([self._predicted(node) for node in fresh])
                found = self.scores(features.expand_as(predicted), predicted).float().log_softmax(-1)
                known.update(zip(fresh, found.tolist(), strict=True))
            return [known[node] for node in nodes]

        kept = {each.node: each for each in beam}
        log_probs([*kept])
        open_ = [self._merged(each, kept, log_probs) for each in beam]
        # What is open may still be given labels: the probability, the order, and how many it has of this step.
        heap = [(-each.score, i, 0, each) for i, each in enumerate(open_)]
        heapq.heapify(heap)
        number, done, best = len(heap), [], []  # `best`: the W highest scores among the done, the lowest in front
        while heap and not (len(best) == self.width and best[0] > -heap[0][0]):
            _, _, depth, each = heapq.heappop(heap)
            [found] = log_probs([each.node])
            ended = replace(each, score=each.score + found[self.blank], seen=each.seen + 1)
            done.append(ended)
            heapq.heappush(best, ended.score)
            if len(best) > self.width:
                heapq.heappop(best)
            if depth == self.most:
                continue
            for label, log_prob in enumerate(found):
                score = each.score + log_prob
                if label == self.blank or (len(best) == self.width and score < best[0]):
                    continue  # what is less probable than W others is never looked at
                node = each.node.child(label)
                if node not in kept:  # else `_merged` has counted it
                    number += 1
                    longer = TransducerHypothesis(node, (*each.steps, each.seen), score, each.seen)
                    heapq.heappush(heap, (-score, number, depth + 1, longer))
        return sorted(done, key=lambda each: -each.score)[: self.width]

    def _merged(
        self, own: TransducerHypothesis, kept: dict[Node, TransducerHypothesis], log_probs: Callable
    ) -> TransducerHypothesis:
        """A hypothesis with what shorter ones add that become it by labels of this step."""
        way = [own.node]
        while way[-1].parent is not None and len(way) <= self.most:
            way.append(way[-1].parent)
        while len(way) > 1 and way[-1] not in kept:
            way.pop()
        terms, added = [own.score], 0.0
        for node, before in itertools.pairwise(way):
            added += log_probs([before])[0][node.label]
            if before in kept:
                terms.append(kept[before].score + added)
        highest = max(terms)
        if len(terms) == 1 or highest == -math.inf:
            return own
        return replace(own, score=highest + math.log(sum(math.exp(term - highest) for term in terms)))

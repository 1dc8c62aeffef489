# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The labels of a tagger to its users, in BIO, and those in which it decodes, in a scheme that marks ends as well.

A decoder with labels for the last token of an entity and for the only one makes fewer mistakes (Ratinov & Roth 2009,
section 4.1), but pipelines know B and I alone. Both have the same entities, so one is a function of the other:

    decoder     B-X   I-X   E-X   S-X   O         in BIOES; of BILOU and BMES the letters differ
    user        B-X   I-X   I-X   B-X   O

Dimensions: K labels of the user, M of the decoder, otherwise as in `modeling_recurrent.py`.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from transformers.utils import logging

from .crf import LETTERS, Packing, scheme_of


logger = logging.get_logger(f"transformers.{__name__}")

MARKS_ENDS = ("BIOES", "BILOU", "BMES")


class TagFolding:
    """
    The labels in which a tagger decodes, and the way to them and back.

    Args:
        labels (`Sequence[str]`): Names of the K labels of the user: `B-X` and `I-X` of entities, others outside.
        scheme (`str`): That of the decoder, one of `MARKS_ENDS`.

    Attributes:
        names (`list[str]`): Of the M labels of the decoder.
        outer (`list[int]`): The label of the user for each of them.
        members (`np.ndarray` of shape `(K, .)`): Which of them stand for a label of the user, filled up with M.
    """

    def __init__(self, labels: Sequence[str], scheme: str):
        self.names, self.outer = [], []
        number, kinds = {label: k for k, label in enumerate(labels)}, {}
        for label, k in number.items():
            letter, dash, kind = label.partition("-")
            if letter not in ("B", "I"):
                self._add(label, k)
            elif kind not in kinds:
                first, inside = (number.get(f"{letter}{dash}{kind}") for letter in "BI")
                begins = inside if first is None else first  # of data without a B, as those of IOB1 may be
                outer = (begins if inside is not None else None, inside, inside, begins)
                letters = zip(LETTERS[scheme], outer, strict=True)
                kinds[kind] = [None if k is None else self._add(f"{one}{dash}{kind}", k) for one, k in letters]
        places, kind_of = [], []
        for k, label in enumerate(labels):
            letter, _, kind = label.partition("-")
            inner = kinds[kind] if letter in ("B", "I") else [self.outer.index(k)] * 4
            places.append([inner[3] if place is None else place for place in inner])
            kind_of.append(list(kinds).index(kind) if letter in ("B", "I") else -1)
        members = [[m for m, k in enumerate(self.outer) if k == label] for label in range(len(labels))]
        width = max(map(len, members))
        # Arrays on the host, as those of a CRF; M and K stand for what is outside.
        self.members = np.array([[*row, *[len(self.names)] * (width - len(row))] for row in members])
        self._places, self._kinds = np.array([*places, [0] * 4]), np.array([*kind_of, -1])
        self._begins = np.array([label.partition("-")[0] == "B" for label in labels] + [False])

    def _add(self, name: str, outer: int) -> int:
        self.names.append(name)
        self.outer.append(outer)
        return len(self.names) - 1

    def expand(self, labels: torch.LongTensor, real: torch.BoolTensor) -> torch.LongTensor:
        """
        Labels of the user, read leniently as conlleval does -> of the decoder; (B, T), -100 where `real` is False.
        """
        packing = Packing(real)
        labels = packing.pack_labels(labels, len(self._kinds) - 1)  # (T + 2, B)
        kinds, begins, places = (
            torch.from_numpy(each).to(labels.device) for each in (self._kinds, self._begins, self._places)
        )
        kinds = kinds[labels]
        starts = begins[labels] | (kinds != kinds.roll(1, 0))
        goes_on = (kinds == kinds.roll(-1, 0)) & ~starts.roll(-1, 0)
        place = torch.where(starts, torch.where(goes_on, 0, 3), torch.where(goes_on, 1, 2))
        return packing.unpack(places[labels, place], -100)

    def permitted(self, allowed: torch.BoolTensor) -> torch.BoolTensor:
        """Sets of labels of the user, (B, T, K) -> the decoder's that stand for them, (B, T, M)."""
        return allowed[..., self.outer]

    def fold(self, labels: torch.LongTensor) -> torch.LongTensor:
        """Labels of the decoder -> those of the user, of any shape."""
        return torch.tensor(self.outer, device=labels.device)[labels]

    def add(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Probabilities of the decoder's labels, (..., M) -> of the user's, (..., K)."""
        return F.pad(probabilities, (0, 1))[..., self._of(probabilities)].sum(-1)

    def log_add(self, logits: torch.Tensor) -> torch.Tensor:
        """The same for their logarithms: (..., M) -> (..., K)."""
        return F.pad(logits, (0, 1), value=-torch.inf)[..., self._of(logits)].logsumexp(-1)

    def _of(self, values: torch.Tensor) -> torch.LongTensor:
        """The labels of the decoder that stand for each of the user, (K, .), M where there are fewer."""
        return torch.from_numpy(self.members).to(values.device)


def folding_of(labels: Sequence[str], scheme: str) -> TagFolding | None:
    """
    The way between the labels of a user and those of the decoder; `None` where they are the same.

    Args:
        labels (`Sequence[str]`): Names of the labels of the user.
        scheme (`str`): `tag_scheme` of a configuration.

    Raises:
        `ValueError`: If the scheme is of entities and there is no label of an entity, or two have one name.
    """
    scheme = scheme_of(labels, scheme)
    if scheme not in MARKS_ENDS:
        return None
    if len(set(labels)) < len(labels):
        raise ValueError(f"`id2label` gives one name to several labels, {list(labels)!r:.80}: give each its own.")
    letters = {label.partition("-")[0] for label in labels}
    if letters & (set(LETTERS[scheme]) - {"B", "I"}):
        logger.warning_once(
            f"`id2label` has names in {scheme}, {sorted(labels)[:4]} and so on, of which pipelines know `B-` and `I-` "
            f"only: they will cut entities of several tokens. Name the labels in BIO and set `tag_scheme={scheme!r}`: "
            f"the model then decodes in {scheme}, and takes and gives BIO."
        )
        return None
    if not letters & {"B", "I"}:
        raise ValueError(
            f"`tag_scheme` is {scheme!r}, but none of the labels {list(labels)[:4]} begins with `B-` or `I-`. Name "
            "them by `id2label` before the model is built, or set `tag_scheme='auto'`."
        )
    return TagFolding(labels, scheme)

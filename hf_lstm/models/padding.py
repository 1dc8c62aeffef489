# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Where the real positions of a batch are: padding, several documents in a row, and sequences laid end to end. Dimensions
as in `modeling_recurrent.py`.
"""

import heapq
from functools import cached_property

import torch
import torch.nn.functional as F

from .tracing import is_exported


class Padding:
    """
    Where the real positions of a padded batch are, and how to bring those of each row to the front.

    Neither multiplying the input by the mask nor skipping the update of some rows is open to the fused kernels, and a
    bias moves the state even where the input is zero. What is exact for every mask: run each direction over the real
    positions first, padding last, and move the outputs back.

    Args:
        mask (`torch.BoolTensor` of shape `(B, T)`): True at real positions.
    """

    def __init__(self, mask: torch.Tensor):
        self.mask = mask
        self.lengths = mask.sum(1)
        self.trailing = torch.arange(mask.shape[1], device=mask.device) >= self.lengths[:, None]  # (B, T) once moved

    @cached_property
    def is_front(self) -> bool:
        """Whether the real positions of all rows are in front."""
        return torch.equal(self.mask, ~self.trailing)

    @cached_property
    def has_holes(self) -> bool:
        """Whether there is padding between real positions."""
        mask = self.mask
        return not self.is_front and bool((mask[:, 1:] & ~mask[:, :-1]).sum(1).gt(~mask[:, 0]).any())

    @cached_property
    def _orders(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """For each direction its order and the inverse of it, as indices into the B * T flattened positions."""
        real_first = torch.argsort(~self.mask, dim=1, stable=True)
        last_first = self.mask.shape[1] - 1 - torch.argsort(~self.mask.flip(1), dim=1, stable=True)
        offset = torch.arange(len(self.mask), device=self.mask.device)[:, None] * self.mask.shape[1]
        return [
            ((order + offset).flatten(), (order.argsort(1) + offset).flatten()) for order in (real_first, last_first)
        ]

    def pack(self, values: torch.Tensor, direction: int = 0) -> torch.Tensor:
        """Move real positions to the front, in the order in which `direction` reads them: (B, T, .) -> (B, T, .)."""
        return self._take(values, direction, 0)

    def unpack(self, values: torch.Tensor, direction: int = 0) -> torch.Tensor:
        """The inverse of [`~Padding.pack`]."""
        return self._take(values, direction, 1)

    def _take(self, values: torch.Tensor, direction: int, way: int) -> torch.Tensor:
        if direction == 0 and self.is_front:
            return values
        return values.flatten(0, 1).index_select(0, self._orders[direction][way]).view_as(values)

    @cached_property
    def _ends(self) -> list[torch.Tensor]:
        """The position of each row, (B,), that each direction reads last."""
        return [self.mask.shape[1] - 1 - self.mask.flip(1).int().argmax(1), self.mask.int().argmax(1)]

    def last(self, outputs: torch.Tensor, default: torch.Tensor, direction: int = 0) -> torch.Tensor:
        """The outputs, (B, T, P), that `direction` gives last, (B, P); `default` (B, P) for rows of padding only."""
        values = outputs[torch.arange(outputs.shape[0], device=outputs.device), self._ends[direction]]
        return torch.where(self.lengths[:, None] > 0, values, default)

    @cached_property
    def _padded(self) -> torch.Tensor:
        return (~self.mask).flatten().nonzero()[:, 0]  # indices into the B * T flattened positions

    def clear(self, values: torch.Tensor) -> torch.Tensor:
        """Zero at padding, whatever stands there: (B, T, .) -> (B, T, .)."""
        if is_exported():
            return values.masked_fill(~self.mask[..., None], 0)
        return values.flatten(0, 1).index_fill(0, self._padded, 0).view_as(values)  # half the time of `masked_fill`

    @cached_property
    def _lengths(self) -> list[int]:
        return self.lengths.tolist()

    @cached_property
    def most_saved(self) -> int:
        """The cost that joining the sequences could save at most, found sooner than a plan."""
        longest, steps = max(self._lengths), sum(self._lengths) + len(self._lengths)  # a gap after each sequence
        fitting = max(1, steps // (longest + 1))  # with fewer rows the steps cost more, with more the rows
        least = min(cost_of(rows, max(longest, -(-steps // rows) - 1)) for rows in (fitting, fitting + 1))
        return cost_of(*self.mask.shape) - least

    @cached_property
    def joined(self) -> "Joined | None":
        """The sequences end to end in fewer rows, or None where that would save less than 5 % of the time."""
        before = cost_of(*self.mask.shape)
        if self.most_saved <= 0.05 * before:
            return None
        cost, steps, places = join_rows(self._lengths)
        return Joined(self.mask, steps, places, before - cost) if cost < 0.95 * before else None


class Documents:
    """
    Several documents in one row, which `position_ids` that begin anew tell apart, and how to give each a row of its
    own, lest the state run from one into the next.

    Args:
        position_ids (`torch.LongTensor` of shape `(B, T)` or `(1, T)`): One more from each real position to the next
            of the same document; of any value at padding.
        shape (`tuple[int, int]`): B and T.
        padding ([`Padding`], *optional*): Absent if every position is real.

    Attributes:
        starts (`torch.BoolTensor` of shape `(B, T)`): True at the first position of each document.
        are_packed (`bool`): Whether a row holds more than one.
        padding ([`Padding`]): Of the N documents in rows of their own, of shape `(N, S)`.
    """

    def __init__(self, position_ids: torch.Tensor, shape: tuple[int, int], padding: Padding | None):
        (rows, length), device = shape, position_ids.device
        if position_ids.ndim != 2 or position_ids.shape not in ((rows, length), (1, length)):
            raise ValueError(
                f"`position_ids` has shape {tuple(position_ids.shape)}, expected {(rows, length)}: one for each token."
            )
        position_ids = position_ids.expand(rows, length)
        mask = position_ids.new_ones(rows, length, dtype=torch.bool) if padding is None else padding.mask
        self.shape, self._places = (rows, length), mask.flatten().nonzero()[:, 0]  # (M,), the real positions
        row, position = self._places // length, position_ids.flatten()[self._places]
        begins = torch.ones_like(row, dtype=torch.bool)
        begins[1:] = (position[1:] != position[:-1] + 1) | (row[1:] != row[:-1])
        self.starts = begins.new_zeros(rows * length).index_copy_(0, self._places, begins).view(rows, length)
        document, first = begins.cumsum(0) - 1, begins.nonzero()[:, 0]
        self.are_packed = len(first) > int(mask.any(1).sum())
        step = torch.arange(len(row), device=device) - first[document]
        steps = int(step.max()) + 1 if len(row) else 0
        own = torch.zeros(len(first) * steps, dtype=torch.bool, device=device)
        self._own_places = document * steps + step  # (M,), in rows of their own
        self.padding = Padding(own.index_fill_(0, self._own_places, True).view(len(first), steps))

    def split(self, values: torch.Tensor) -> torch.Tensor:
        """(B, T, .) -> (N, S, .), zero at padding."""
        return self._move(values, self._places, self._own_places, tuple(self.padding.mask.shape))

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """The inverse of [`~Documents.split`], zero at padding."""
        return self._move(values, self._own_places, self._places, self.shape)

    @staticmethod
    def _move(values: torch.Tensor, source: torch.Tensor, target: torch.Tensor, shape: tuple[int, int]):
        moved = values.new_zeros(shape[0] * shape[1], *values.shape[2:])
        return moved.index_copy(0, target, values.flatten(0, 1)[source]).unflatten(0, shape)


def next_labels(labels: torch.Tensor, padding: Padding | None, direction: int = 0) -> torch.Tensor:
    """At each real position the label of the one that `direction` reads next, -100 elsewhere: (B, T) -> (B, T)."""
    if padding is None:
        return (
            F.pad(labels[:, 1:], (0, 1), value=-100) if direction == 0 else F.pad(labels[:, :-1], (1, 0), value=-100)
        )
    following = padding.pack(labels, direction).masked_fill(padding.trailing, -100)
    return padding.unpack(F.pad(following[:, 1:], (0, 1), value=-100), direction)


def cost_of(rows: int, steps: int) -> int:
    """Time of a kernel, in units of a row's step: a step has a cost of its own."""
    return steps * (rows + 4)  # that of 0 to 8 rows: fp32 and fp64, H 128 to 1024, one thread of an AMD EPYC


def join_rows(lengths: list[int]) -> tuple[int, int, list[tuple[int, int]]]:
    """
    Lay sequences of these lengths end to end in rows, with a gap after each: the longest first, each in the row that
    is shortest so far (Graham 1969), for several numbers of rows.

    Returns:
        `tuple`: of the cheapest way its cost, its steps, and the row and the first step of each sequence.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    fitting = (sum(lengths) + len(lengths)) // (lengths[order[0]] + 1)  # rows that are no longer than the longest
    ways = []
    for rows in {min(rows, fitting) for rows in (8, 16, 24, 32, fitting)} | {min(fitting + 1, len(lengths))}:
        ends = [(0, row) for row in range(rows)]
        places = [(0, 0)] * len(lengths)
        for sequence in order:
            start, row = ends[0]
            places[sequence] = row, start
            heapq.heapreplace(ends, (start + lengths[sequence] + 1, row))
        # The gap at the end is not needed, as long as there is another.
        steps = max(ends)[0] - (rows < len(lengths))
        ways.append((cost_of(rows, steps), steps, places))
    return min(ways)


class Joined:
    """
    The real positions of a padded batch, sequence after sequence in fewer rows, R, of S steps, with gaps between them.

    Args:
        mask (`torch.BoolTensor` of shape `(B, T)`): True at real positions.
        steps (`int`): S.
        places (`list` of pairs of `int`): Row and first step of each sequence.
        saved (`int`): The cost saved, see `cost_of`.
    """

    def __init__(self, mask: torch.Tensor, steps: int, places: list[tuple[int, int]], saved: int):
        self.saved = saved
        self.shape, rows = mask.shape, 1 + max(row for row, _ in places)
        row, start = torch.tensor(places, device=mask.device)[..., None].unbind(1)  # (B, 1)
        slots = ((start + mask.cumsum(1) - 1) * rows + row)[mask]  # of each real position, time first
        positions = mask.flatten().nonzero()[:, 0]
        gaps = torch.ones(steps * rows, dtype=torch.bool, device=mask.device).index_fill_(0, slots, False)
        self.gaps = gaps.view(steps, rows).t()  # (R, S)
        self._empty = gaps.nonzero()[:, 0]
        self._positions = positions.new_zeros(steps * rows).index_copy_(0, slots, positions)  # any at a gap
        self._slots = self._empty[:1].repeat(mask.numel()).index_copy_(0, positions, slots)

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """(B, T, .) -> (R, S, .), time first in memory, zero at the gaps."""
        values = values.flatten(0, 1).index_select(0, self._positions).index_fill_(0, self._empty, 0)
        return values.unflatten(0, self.gaps.t().shape).transpose(0, 1)

    def split(self, values: torch.Tensor) -> torch.Tensor:
        """The inverse of [`~Joined.join`], with the values of a gap at padding."""
        return values.transpose(0, 1).flatten(0, 1).index_select(0, self._slots).unflatten(0, self.shape)

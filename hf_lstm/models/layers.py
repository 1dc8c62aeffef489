# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The recurrent layer that the families share: padding, dropout over sequences, and the choice of the kernel. Dimensions
as in `modeling_recurrent.py`.
"""

import heapq
from collections.abc import Callable
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .cache import State
from .configuration_recurrent import RecurrentConfig


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
        """Zero at padding, whatever stands there: (B, T, .) -> (B, T, .). Half the time of `masked_fill`."""
        if is_exported():
            return values.masked_fill(~self.mask[..., None], 0)
        return values.flatten(0, 1).index_fill(0, self._padded, 0).view_as(values)

    @cached_property
    def _lengths(self) -> list[int]:
        return self.lengths.tolist()

    @cached_property
    def most_saved(self) -> int:
        """The cost that joining the sequences could save at most, found in a third of the time that a plan takes."""
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
    """
    Time of a kernel, in units of a row's step: a step has a cost of its own, which is that of 0 to 8 rows (fp32 and
    fp64, H 128 to 1024, one thread of an AMD EPYC).
    """
    return steps * (rows + 4)


def join_rows(lengths: list[int]) -> tuple[int, int, list[tuple[int, int]]]:
    """
    Lay sequences of these lengths end to end in rows, with a gap after each: the longest first, each in the row that
    is shortest so far (Graham 1969), for several numbers of rows. 0.1 to 0.4 ms for 32 sequences.

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


class SequenceDropout(nn.Module):
    """
    Dropout on a sequence of shape `(B, T, ...)`: a mask for each step, or one for all steps of a sequence
    ("variational", Gal & Ghahramani 2016, equation 7).
    """

    def __init__(self, rate: float, variational: bool):
        super().__init__()
        self.rate, self.variational = rate, variational

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0:
            return hidden_states
        if not self.variational:
            return F.dropout(hidden_states, self.rate)
        return hidden_states * F.dropout(torch.ones_like(hidden_states[:, :1]), self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, variational={self.variational}"


def dropped_types(input_ids: torch.Tensor, vocab_size: int, rate: float, dtype: torch.dtype) -> torch.Tensor:
    """A factor for each token, (B, T, 1), that drops all occurrences of a type together (Merity et al. 2018, 4.3)."""
    return F.dropout(torch.ones(vocab_size, 1, dtype=dtype, device=input_ids.device), rate)[input_ids]


def drop_weights(weight: torch.Tensor, rate: float) -> torch.Tensor:
    """
    As `F.dropout`, which takes 19 ms forward for the 1.7 million weights of an LSTM of 650 units, where this takes 6
    (fp32, one thread of an AMD EPYC).
    """
    kept = torch.rand(weight.shape, device=weight.device) >= rate
    return weight * kept.to(weight.dtype).div_(1 - rate)


def is_captured() -> bool:
    """Whether a graph is being recorded, which would hold a choice made for the sizes of its example inputs."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def is_exported() -> bool:
    """Whether `torch.export` is recording a graph, in which nothing may depend on the values of a tensor."""
    return getattr(torch.compiler, "is_exporting", lambda: False)()  # torch 2.7 and later


def scan(step: Callable, initial: list[torch.Tensor], steps: list[torch.Tensor], reverse: bool = False):
    """
    A loop in the graph that `torch.export` records: `step(carried, now)` returns what it carries on, of the shapes and
    types of `initial`, and what is stacked for all steps along their first dimension. It may return no tensor that it
    was given, and none twice.
    """
    from torch._higher_order_ops.scan import scan as recorded_loop

    if not torch.compiler.is_dynamo_compiling():
        torch._dynamo.reset()  # else a loop would inherit the sizes of another one from the cache
    initial = [tensor.clone(memory_format=torch.contiguous_format) for tensor in initial]
    return recorded_loop(step, initial, steps, reverse=reverse)


def mark(inputs: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Append a column, 1 at the positions `where`, (B, T), else 0: (B, T, E) -> (B, T, E + 1)."""
    flags = where[..., None].to(inputs.dtype)
    # Time first, as the kernels want it, which then make no copy of their own.
    return torch.cat([inputs.transpose(0, 1), flags.transpose(0, 1)], dim=-1).transpose(0, 1)


def _fits_cudnn(weights: list[torch.Tensor]) -> bool:
    """Whether cuDNN takes these weights, and they are plain parameters of one type."""
    plain = all(type(weight) is nn.Parameter and weight.dtype == weights[0].dtype for weight in weights)
    return plain and all(torch.backends.cudnn.is_acceptable(weight) for weight in weights)


class RecurrentLayer(GradientCheckpointingLayer):
    """
    One recurrent layer in one or two directions. Parameters have the names, shapes and gate order of a
    `torch.nn.LSTM`, `GRU` or `RNN` of one layer, whose state dict loads into it. A family gives `num_gates`,
    `state_names`, a `kernel` over whole sequences and a `cell` for single steps.

    Args:
        config ([`RecurrentConfig`]): Configuration.
        input_size (`int`): Size of the inputs.
    """

    num_gates: int
    state_names: tuple[str, ...] = ("h",)
    can_hold = False  # whether there is a `hold_state`
    can_reset = False  # whether there is a `reset_state`
    least_saved = 20_000_000  # multiplications, for sequences to be laid end to end
    uses_onednn = False  # whether the kernel is oneDNN's on a CPU
    cudnn_mode: str  # name of the kernel in cuDNN

    def __init__(self, config: RecurrentConfig, input_size: int):
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, config.hidden_size, config.state_size
        self.bias, self.num_directions = config.bias, config.num_directions
        self.recurrent_weight_dropout = config.recurrent_weight_dropout
        self._names = [self._register(suffix) for suffix in ("", "_reverse")[: self.num_directions]]
        self._flattened: list[int] = []  # addresses of the parameters when they were laid side by side

    def _register(self, suffix: str) -> list[str]:
        """Register the parameters of one direction, in the order in which torch's kernels take them."""
        gates = self.num_gates * self.hidden_size
        shapes = {"weight_ih_l0": (gates, self.input_size), "weight_hh_l0": (gates, self.output_size)}
        if self.bias:
            shapes |= {"bias_ih_l0": (gates,), "bias_hh_l0": (gates,)}
        if self.output_size != self.hidden_size:
            shapes["weight_hr_l0"] = (self.output_size, self.hidden_size)
        for name, shape in shapes.items():
            self.register_parameter(name + suffix, nn.Parameter(torch.empty(shape)))
        return [name + suffix for name in shapes]

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Size of each tensor of the state: the output, then (LSTM) the cell."""
        return (self.output_size, self.hidden_size)[: len(self.state_names)]

    def kernel(
        self, inputs: torch.Tensor, state: State, weights: list[torch.Tensor], bidirectional: bool
    ) -> tuple[torch.Tensor, State]:
        """Torch's fused kernel: inputs (B, T, E), state of (D, B, .) -> outputs (B, T, D * P), state of (D, B, .)."""
        raise NotImplementedError

    def cell(self, inputs: torch.Tensor, state: State, weights: list[torch.Tensor]) -> State:
        """One step of one direction: inputs (B, E), state of (B, .) -> state of (B, .), the output first."""
        raise NotImplementedError

    def hold_state(
        self, inputs: torch.Tensor, weights: list[list[torch.Tensor]], padding: torch.Tensor
    ) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Change inputs and weights so that at `padding`, (B, T), outputs are zero and the cell stays as it is."""
        return inputs, weights

    def reset_state(
        self, inputs: torch.Tensor, weights: list[list[torch.Tensor]], gaps: torch.Tensor
    ) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Change inputs, zero at `gaps`, (B, T), and weights so that outputs and state are zero there."""
        raise NotImplementedError

    def forward(
        self,
        inputs: torch.Tensor,
        state: State | None = None,
        padding: Padding | None = None,
        return_state: bool = False,
        return_steps: bool = False,
    ) -> tuple[torch.Tensor, State | None, list[State]]:
        """
        Args:
            inputs (`torch.Tensor` of shape `(B, T, E)`): Inputs, finite at padded positions.
            state (`tuple` of `torch.Tensor`, *optional*): The output before, of shape `(B, D, P)`, and for an LSTM the
                cell, of shape `(B, D, H)`. Zeros if absent.
            padding ([`Padding`], *optional*): Absent if every position is real.
            return_state (`bool`): Whether the final state is wanted.
            return_steps (`bool`): Whether the state after each step is wanted.

        Returns:
            `tuple`: outputs of shape `(B, T, D * P)`, zero at padded positions; the final state, or None; and the
            states after each step, an empty list if they are not wanted.
        """
        if inputs.is_cuda:
            self.flatten_parameters()
        dtype = self._compute_dtype(inputs)
        inputs, weights = inputs.to(dtype), self._weights(dtype)
        if self.training and self.recurrent_weight_dropout:
            weights = self._drop_recurrent(weights)
        length, fresh = inputs.shape[1], state is None
        if fresh:
            shape = (inputs.shape[0], self.num_directions)
            state = tuple(inputs.new_zeros(*shape, size) for size in self.state_sizes)
        else:
            state = tuple(tensor.to(inputs) for tensor in state)
        if is_exported():
            return self._run_scan(inputs, state, weights, padding)
        # A sequence kernel called for one step is 5 to 20 times slower than the cell, and returns the last state only.
        if length == 1 and padding is None and self.num_directions == 1:
            return self._run_step(inputs, state, weights[0])
        if length == 1 or return_steps or self._is_short(inputs):
            return self._run_steps(inputs, state, weights, padding, return_steps)
        if padding is None:
            return self._run_sequence(inputs, state, weights)
        if fresh and not return_state and self._joins(inputs, padding):
            return self._run_joined(inputs, weights, padding.joined)
        # Held, a batch of 32 x 48 takes 0.99 to 1.09 times as long as were it not padded; moved, 0.99 to 1.26 times.
        holds = self.can_hold and not padding.has_holes
        if holds and (fresh or (padding.is_front and self.num_directions == 1)):
            return self._run_held(inputs, state, weights, padding, return_state)
        return self._run_padded(inputs, state, weights, padding, return_state)

    def _compute_dtype(self, inputs: torch.Tensor) -> torch.dtype:
        """The type of the weights, or that of autocast, under which torch's own kernels would mix types."""
        if torch.is_autocast_enabled(inputs.device.type):
            return torch.get_autocast_dtype(inputs.device.type)
        return self.weight_hh_l0.dtype

    def _is_short(self, inputs: torch.Tensor) -> bool:
        """
        Whether the cell is faster than oneDNN, which orders the weights anew at each call: in inference, one thread of
        an AMD EPYC, fp32, H 128 to 650: 1.1 to 2.7 times up to B * T = 4, 0.8 to 1.4 times at 6. In both directions it
        is 0.7 to 2.1 times up to 4, in training 0.7 to 1.8.
        """
        if not self.uses_onednn or self.num_directions == 2 or torch.is_grad_enabled() or is_captured():
            return False
        return inputs.device.type == "cpu" and inputs.shape[0] * inputs.shape[1] <= 4

    def _joins(self, inputs: torch.Tensor, padding: Padding) -> bool:
        """
        Whether to run the sequences end to end, which saves as much of the time as there is padding. Random batches of
        32 sentences, 7 tenths padding, take 2.6 to 2.8 times as long otherwise in training and 2.4 to 2.7 times in
        inference (LSTM and GRU of H 256, both directions, fp32, one thread of an AMD EPYC). Laying them so costs 0.2
        to 0.5 ms, the time of 20 million multiplications: with fewer saved, it takes 1.0 to 2 times as long as not. On
        a GPU, only the number of steps counts.
        """
        if not self.can_reset or inputs.device.type != "cpu" or is_captured():
            return False
        weights = self.num_directions * self.num_gates * self.hidden_size * (self.input_size + self.output_size)
        if weights * padding.most_saved < self.least_saved:
            return False
        return padding.joined is not None and weights * padding.joined.saved >= self.least_saved

    def _weights(self, dtype: torch.dtype) -> list[list[torch.Tensor]]:
        """The weights of each direction; to look up attributes would add a tenth to a step of a small cell."""
        own = self._parameters  # a parametrised weight is not among them
        weights = [[own[name] if name in own else getattr(self, name) for name in names] for names in self._names]
        return [[w if w.dtype == dtype else w.to(dtype) for w in direction] for direction in weights]

    def _drop_recurrent(self, weights: list[list[torch.Tensor]]) -> list[list[torch.Tensor]]:
        """
        DropConnect on the hidden-to-hidden weights (Merity et al. 2018, section 2), those kept scaled by 1 / (1 - p).
        The parameters stay as they are, and so does the projection of an LSTM, whose product leaves the layer too.
        """
        rate = self.recurrent_weight_dropout
        return [[w_ih, drop_weights(w_hh, rate), *rest] for w_ih, w_hh, *rest in weights]

    def _run_sequence(self, inputs, state, weights):
        """Every position is real: one call of the fused kernel for both directions."""
        state = tuple(tensor.transpose(0, 1).contiguous() for tensor in state)
        outputs, state = self.kernel(
            inputs, state, [w for direction in weights for w in direction], self.num_directions == 2
        )
        return outputs, tuple(tensor.transpose(0, 1) for tensor in state), []

    def _run_joined(self, inputs, weights, joined):
        """One call of the fused kernel over the sequences end to end, whose state is reset between them."""
        inputs, weights = self.reset_state(joined.join(inputs), weights, joined.gaps)
        shape = (inputs.shape[0], self.num_directions)
        state = tuple(inputs.new_zeros(*shape, size) for size in self.state_sizes)
        outputs, _, _ = self._run_sequence(inputs, state, weights)
        return joined.split(outputs), None, []

    def _run_held(self, inputs, state, weights, padding, return_state):
        """
        Over rows without holes, one call of the fused kernel on positions as they stand: padding in front leaves the
        zeros of a fresh state, padding behind leaves the cell.
        """
        inputs, weights = self.hold_state(inputs, weights, ~padding.mask)
        outputs, final, _ = self._run_sequence(inputs, state, weights)
        if not return_state:
            return outputs, None, []
        h = [
            padding.last(values, state[0][:, d], d) for d, values in enumerate(outputs.split(self.output_size, dim=-1))
        ]
        return outputs, (torch.stack(h, dim=1), *final[1:]), []

    def _run_padded(self, inputs, state, weights, padding, return_state):
        """Each direction reads its real positions first; what the kernel does on the padding is not used."""
        outputs, finals = [], []
        for d in range(self.num_directions):
            packed, direction_weights = padding.pack(inputs, d), weights[d]
            if return_state:
                packed, (direction_weights,) = self.hold_state(packed, [direction_weights], padding.trailing)
            initial = tuple(tensor[:, d] for tensor in state)
            before = tuple(tensor[None].contiguous() for tensor in initial)
            packed_outputs, final = self.kernel(packed, before, direction_weights, False)
            outputs.append(padding.unpack(packed_outputs, d))
            if return_state:
                finals.append((padding.last(outputs[d], initial[0], d), *(tensor[0] for tensor in final[1:])))
        final_state = tuple(torch.stack(tensors, dim=1) for tensors in zip(*finals, strict=True)) if finals else None
        return padding.clear(torch.cat(outputs, dim=-1)), final_state, []

    def _run_step(self, inputs, state, weights):
        """One token of each row: what decoding does."""
        new = self.cell(inputs.squeeze(1), tuple([tensor.squeeze(1) for tensor in state]), weights)
        state = tuple([tensor.unsqueeze(1) for tensor in new])
        return state[0], state, [state]

    def cell_function(self) -> Callable[[torch.Tensor, State], State]:
        """The `cell` of the forward direction with its weights at hand, for a loop over single tokens."""
        weights = [getattr(self, name) for name in self._names[0]]
        dtype = self._compute_dtype(weights[0])
        weights = [weight.to(dtype) for weight in weights]
        return lambda inputs, state: self.cell(inputs.to(dtype), state, weights)

    def _run_steps(self, inputs, state, weights, padding, return_steps):
        """The cell, step by step."""
        outputs, finals, steps = [], [], []
        inputs = inputs.unbind(1)
        for d in range(self.num_directions):
            current = tuple(tensor[:, d] for tensor in state)
            times = range(len(inputs)) if d == 0 else range(len(inputs) - 1, -1, -1)
            direction_outputs = {}
            for t in times:
                new = self.cell(inputs[t], current, weights[d])
                if padding is not None:
                    real = padding.mask[:, t, None]
                    new = tuple(torch.where(real, after, before) for after, before in zip(new, current, strict=True))
                current = new
                direction_outputs[t] = current[0]
                if return_steps:
                    steps.append(tuple(tensor[:, None] for tensor in current))
            outputs.append(torch.stack([direction_outputs[t] for t in range(len(inputs))], dim=1))
            finals.append(current)
        final_state = tuple(torch.stack(tensors, dim=1) for tensors in zip(*finals, strict=True))
        outputs = torch.cat(outputs, dim=-1)
        return outputs if padding is None else padding.clear(outputs), final_state, steps

    def _run_scan(self, inputs, state, weights, padding):
        """
        The cell as the body of a loop in the graph: `torch.export` takes a kernel apart into as many steps as its
        example has, those of `torch.nn.LSTM`, `GRU` and `RNN` too (torch 2.13).
        """
        real = inputs.new_ones(inputs.shape[:2], dtype=torch.bool) if padding is None else padding.mask
        outputs, finals = [], []
        for d, direction_weights in enumerate(weights):

            def step(before, now, direction_weights=direction_weights):
                values, where = now
                after = self.cell(values, tuple(before), direction_weights)
                after = [torch.where(where, *pair) for pair in zip(after, before, strict=True)]
                return after, after[0].clone()

            initial = [tensor[:, d] for tensor in state]
            final, steps = scan(step, initial, [inputs.transpose(0, 1), real.t()[..., None]], reverse=d == 1)
            outputs.append(steps.transpose(0, 1))
            finals.append(final)
        final_state = tuple(torch.stack(tensors, dim=1) for tensors in zip(*finals, strict=True))
        outputs = torch.cat(outputs, dim=-1)
        return outputs if padding is None else padding.clear(outputs), final_state, []

    @torch.no_grad()
    def flatten_parameters(self) -> None:
        """
        Lay the parameters on a CUDA device side by side, as cuDNN wants them: otherwise it copies them at each call.
        As [`torch.nn.RNNBase.flatten_parameters`], but whenever they have been moved, in whatever way.
        """
        weights = [getattr(self, name) for names in self._names for name in names]
        addresses = [weight.data_ptr() for weight in weights]
        if addresses == self._flattened or len(set(addresses)) < len(addresses) or not _fits_cudnn(weights):
            return
        projection = self.output_size if self.output_size != self.hidden_size else 0
        torch._cudnn_rnn_flatten_weight(
            weights,
            len(self._names[0]),
            self.input_size,
            torch.backends.cudnn.rnn.get_cudnn_mode(self.cudnn_mode),
            self.hidden_size,
            projection,
            1,
            True,
            self.num_directions == 2,
        )
        self._flattened = [weight.data_ptr() for weight in weights]

    @torch.no_grad()
    def init_weights(self, config: RecurrentConfig) -> None:
        """Draw the parameters that were not loaded, as `config.initializer` says."""
        for name in (name for names in self._names for name in names):
            parameter = getattr(self, name)
            if not getattr(parameter, "_is_hf_initialized", False):
                init.copy_(parameter, self._initial_value(name, parameter, config))

    def _initial_value(self, name: str, parameter: torch.Tensor, config: RecurrentConfig) -> torch.Tensor:
        value = torch.empty_like(parameter, dtype=torch.float32)
        if config.initializer == "uniform":
            return nn.init.uniform_(value, -(self.hidden_size**-0.5), self.hidden_size**-0.5)
        if name.startswith("bias"):
            return nn.init.zeros_(value)
        scheme = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
        for block in value.split(self.hidden_size) if "weight_hr" not in name else [value]:  # one block a gate
            scheme(block)
        return value

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, output_size={self.output_size}, directions={self.num_directions}"
        )


def bare_layer(layer: nn.Module) -> RecurrentLayer:
    """The layer within the wrappers that peft puts around it, which hide its attributes."""
    while not isinstance(layer, RecurrentLayer):
        layer = layer.base_layer
    return layer


def run_layer(layer: nn.Module, *args) -> tuple[torch.Tensor, State | None, list[State]]:
    """
    Call a layer. Under gradient checkpointing all of the call is computed again, not only what is within the wrappers
    of peft: these put the adapted weights in place for its duration.
    """
    bare = bare_layer(layer)
    if bare is layer:
        return layer(*args)
    if bare.gradient_checkpointing and bare.training:
        return bare._gradient_checkpointing_func(partial(_run_wrapped, layer, bare), *args)
    return _run_wrapped(layer, bare, *args)


def _run_wrapped(layer: nn.Module, bare: RecurrentLayer, *args):
    checkpointing, bare.gradient_checkpointing = bare.gradient_checkpointing, False
    try:
        return layer(*args)
    finally:
        bare.gradient_checkpointing = checkpointing
        # Peft puts a parameter back behind all others. It nests its wrappers in their order, and so names the weights
        # in a file: those of an adapter put in later would be taken for one another when they are loaded.
        for name in (name for names in bare._names for name in names):
            if name in bare._parameters:
                bare._parameters[name] = bare._parameters.pop(name)


def refuse_adapter(module: nn.Module, name: str) -> None:
    """
    Refuse an adapter of peft on a part whose parameters are read as they are: it would change nothing.

    Raises:
        ValueError: if there is one.
    """
    if hasattr(module, "base_layer"):
        raise ValueError(
            f"`target_modules` of an adapter names `{name}`, whose weight this model does not only multiply by. Name "
            f"other modules; `modules_to_save` can train this one, or what it is part of, as a whole."
        )

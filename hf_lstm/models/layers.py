# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The recurrent layer that the families share: the choice of the kernel, padding within it, and dropout over sequences.
Dimensions as in `modeling_recurrent.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from inspect import unwrap

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import _pytree as pytree
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .cache import State
from .configuration_recurrent import RecurrentConfig
from .padding import Padding
from .tracing import is_captured, is_exported, scan


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


def drop_weights(weight: torch.Tensor, rate: float) -> torch.Tensor:
    """As `F.dropout`, but faster on large tensors."""
    # 6 ms forward for the 1.7 million weights of an LSTM of 650 units, and 19 there (fp32, one thread of an AMD EPYC).
    kept = torch.rand(weight.shape, device=weight.device) >= rate
    return weight * kept.to(weight.dtype).div_(1 - rate)


def mark(inputs: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Append a column, 1 at the positions `where`, (B, T), else 0: (B, T, E) -> (B, T, E + 1)."""
    flags = where[..., None].to(inputs.dtype)
    # Time first, as the kernels want it, which then make no copy of their own.
    return torch.cat([inputs.transpose(0, 1), flags.transpose(0, 1)], dim=-1).transpose(0, 1)


def before_and_after(reverse: bool, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of values between steps, (T + 1, ...), those before each and those after each, (T, ...)."""
    return (values[1:], values[:-1]) if reverse else (values[:-1], values[1:])


def in_order(reverse: bool, *tensors: torch.Tensor) -> Iterable[tuple[torch.Tensor, ...]]:
    """The steps of tensors (T, ...) that belong together, from the first to the last, or back."""
    steps = list(zip(*(tensor.unbind() for tensor in tensors), strict=True))
    return reversed(steps) if reverse else steps


def _fits_cudnn(weights: list[torch.Tensor]) -> bool:
    """Whether cuDNN takes these weights, and they are plain parameters of one type."""
    plain = all(type(weight) is nn.Parameter and weight.dtype == weights[0].dtype for weight in weights)
    return plain and all(torch.backends.cudnn.is_acceptable(weight) for weight in weights)


def has_bf16_without_tiles() -> bool:
    """Whether the processor multiplies bf16, but by vectors alone (AVX-512) and not by tiles (AMX)."""
    tests = [getattr(torch.cpu, f"_is_{name}_supported", lambda: False) for name in ("avx512_bf16", "amx_tile")]
    return tests[0]() and not tests[1]()


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
        self.chrono_max_length = config.chrono_max_length  # its own: a word is shorter than a text
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
    def _gradient_checkpointing_func(self) -> Callable:
        """Set by transformers, and called by its base class and by [`run_layer`]."""
        return partial(_checkpoint, self._checkpoint)

    @_gradient_checkpointing_func.setter
    def _gradient_checkpointing_func(self, checkpoint: Callable) -> None:
        self._checkpoint = checkpoint

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

    def _may_train_by_hand(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether a training kernel of our own can run on these tensors, and has enough steps to pay: inputs first."""
        return (
            torch.is_grad_enabled()
            and any(tensor.requires_grad for tensor in tensors)
            and tensors[0].device.type == "cpu"
            # Neither graphs nor the transforms of torch.func take such a function.
            and not is_captured()
            and not torch._C._are_functorch_transforms_active()
            and tensors[0].shape[1] >= 8
        )

    def _compute_dtype(self, inputs: torch.Tensor) -> torch.dtype:
        """The type of the weights, or that of autocast, under which torch's own kernels would mix types."""
        if torch.is_autocast_enabled(inputs.device.type):
            return torch.get_autocast_dtype(inputs.device.type)
        return self.weight_hh_l0.dtype

    def _is_short(self, inputs: torch.Tensor) -> bool:
        """Whether the cell is faster than oneDNN, which orders the weights anew at each call."""
        # In inference, one thread of an AMD EPYC, fp32, H 128 to 650: 1.1 to 2.7 times up to B * T = 4, 0.8 to 1.4 at
        # 6. In both directions it is 0.7 to 2.1 times up to 4, in training 0.7 to 1.8.
        if not self.uses_onednn or self.num_directions == 2 or torch.is_grad_enabled() or is_captured():
            return False
        return inputs.device.type == "cpu" and inputs.shape[0] * inputs.shape[1] <= 4

    def _joins(self, inputs: torch.Tensor, padding: Padding) -> bool:
        """Whether to run the sequences end to end, which saves as much of the time as there is padding."""
        # Random batches of 32 sentences, 7 tenths padding, take 2.6 to 2.8 times as long otherwise in training and 2.4
        # to 2.7 times in inference (LSTM and GRU of H 256, both directions, fp32, one thread of an AMD EPYC). Laying
        # them so costs 0.2 to 0.5 ms, the time of 20 million multiplications: with fewer saved, it takes 1.0 to 2
        # times as long as not. On a GPU, only the number of steps counts.
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

    def _open_forget_gate(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """
        Chrono initialisation of the second gate in a bias, which keeps the state: sigmoid(log(u)) = 1 - 1 / (u + 1),
        so that the memory of a unit reaches over u + 1 steps, from 2 to T_max (Tallec & Ollivier 2018, section 2).
        """
        bias = value[self.hidden_size : 2 * self.hidden_size]
        return bias.uniform_(1, self.chrono_max_length - 1).log_() if "bias_ih" in name else bias.zero_()

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, output_size={self.output_size}, directions={self.num_directions}"
        )


def bare_layer(layer: nn.Module) -> RecurrentLayer:
    """The layer within the wrappers that peft puts around it, which hide its attributes."""
    while not hasattr(type(layer), "cell_function"):  # a copy of the class in a saved folder is another class
        # What an adapter changes, or the copy that it trains as a whole.
        layer = layer.base_layer if hasattr(layer, "base_layer") else layer.cell_function.__self__
    return layer


def computes_as(module: nn.Module, home: type[nn.Module]) -> bool:
    """Whether a module computes what a class says: nothing wraps it, hooks into it or replaces its forward pass."""
    hooked = module._forward_hooks or module._forward_pre_hooks or hasattr(module, "_hf_hook")
    replaced = "forward" in vars(module) or unwrap(type(module).forward) is not unwrap(home.forward)
    return not (hooked or replaced)


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


def _checkpoint(checkpoint: Callable, run: Callable, *args):
    """
    `run(*args)`, computed again in the backward pass. With `use_reentrant=True` torch hands on the gradients of single
    tensors only, not of a state, which is a tuple; and none at all where no argument needs one.
    """
    leaves, structure = pytree.tree_flatten(args)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    if not any(tensor.requires_grad for tensor in tensors):
        leaves = [leaf.detach().requires_grad_() if leaf is tensors[0] else leaf for leaf in leaves]
    returned = None

    def run_leaves(*leaves):
        nonlocal returned
        found, returned = pytree.tree_flatten(run(*pytree.tree_unflatten(leaves, structure)))
        return tuple(found)

    return pytree.tree_unflatten(checkpoint(run_leaves, *leaves), returned)


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
        `ValueError`: If there is one.
    """
    if hasattr(module, "base_layer"):
        raise ValueError(
            f"`target_modules` of an adapter names `{name}`, whose weight this model does not only multiply by. Name "
            f"other modules; `modules_to_save` can train this one, or what it is part of, as a whole."
        )

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Why gates: how far a gradient reaches back in time, and what the gates of a network do with a text.

Let s_t be what a layer hands on at step t, (h_t, c_t) of an LSTM and h_t of the others. The gradient of a loss at step
T reaches the state k steps before through a product of Jacobians (Hochreiter 1991; Bengio et al. 1994; Pascanu et al.
2013, equation 5),

    dL_T / ds_(T-k) = J_(T-k+1)' ... J_T' dL_T / ds_T,      J_t = ds_t / ds_(t-1),

which vanishes where their norms stay below 1 and may explode where they do not. A gated cell keeps a path along which
the Jacobian is a gate, f_t or z_t, that the network can hold near 1.

Dimensions as in `modeling_recurrent.py`.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.utils import logging

from ..distributed import is_sharded
from ..evaluation_mode import evaluation_mode
from ..models.cache import State
from ..models.layers import RecurrentLayer
from ..models.modeling_recurrent import RecurrentModel
from ..models.padding import Padding
from ..models.pretrained import RecurrentPreTrainedModel, recurrent_model
from ..models.stack import RecurrentStack
from ..models.text_inputs import TextInputs
from .plotting import plot_gates, plot_gradient_flow


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there

GATES = {"lstm": {"i": 0, "f": 1, "o": 3}, "gru": {"r": 0, "z": 1}}  # which block of rows of the weights they have


@dataclass(frozen=True)
class GradientFlow:
    """
    Norms of the gradient at the states, by lag: entry k belongs to the state k steps before the one that the loss
    reads. Means over the sequences that reach so far back.

    Args:
        norms (`np.ndarray` of shape `(L, D, T)`): Of the gradient at the whole state of a layer.
        parts (`dict` of `np.ndarray` of shape `(L, D, T)`): Of its parts, `"h"` and for an LSTM `"c"`.
    """

    norms: np.ndarray
    parts: dict[str, np.ndarray]

    @property
    def decay_rate(self) -> np.ndarray:
        """The factor by which the norm changes a step back, (L, D), by a line fitted to its logarithm."""
        return np.apply_along_axis(_rate, -1, self.norms)

    @property
    def growth(self) -> np.ndarray:
        """The largest norm in units of that at lag 0, (L, D): 1 where the gradient only shrinks."""
        first = self.norms[..., 0]
        return np.divide(self.norms.max(-1), first, out=np.zeros_like(first), where=first != 0)

    def memory_length(self, threshold: float = 0.01) -> np.ndarray:
        """The first lag at which the norm is at most `threshold` of that at lag 0, (L, D); T if there is none."""
        low = self.norms <= threshold * self.norms[..., :1]
        return np.where(low.any(-1), low.argmax(-1), self.norms.shape[-1])

    def plot(self, path: str | os.PathLike, title: str = "") -> None:
        """Draw the norms over the lag and save the picture: [`~plotting.plot_gradient_flow`]."""
        plot_gradient_flow({"": self}, path, title)


def _rate(norms: np.ndarray) -> float:
    lags = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    return float(np.exp(np.polyfit(lags, np.log(norms[lags]), 1)[0])) if len(lags) > 1 else 0.0


def gradient_flow(
    model: RecurrentPreTrainedModel,
    input_ids: torch.LongTensor | None = None,
    attention_mask: torch.Tensor | None = None,
    step: int | None = None,
    seed: int = 0,
    **inputs: torch.Tensor,
) -> GradientFlow:
    r"""
    How far the gradient of a loss at one step reaches back. The loss is L = u · y, with y the output of the network at
    that step and u a random direction of length 1 for each sequence, so that the figures tell of the network and not
    of a head. Its gradient is taken at the state of each layer after each step, as the step hands it on: h_t to the
    next step and to the layer above, c_t to the next step; they are the products of Jacobians above, summed over all
    ways through the layers.

    Of a bidirectional network each direction is measured by itself: the loss reads its half of the output at the end
    of its way, and lags count along it.

    The network is run step by step, without dropout, in float64, in which a gradient that vanishes is still a number.
    Neither its gradients nor its mode nor the state of random number generators change.

    Args:
        model ([`RecurrentPreTrainedModel`]): A backbone, or a model with one.
        input_ids, attention_mask, inputs: The fields of [`TextInputs`]. Padding is left out: lags count real
            positions.
        step (`int`, *optional*): Position of the loss; the rest is not read. Defaults to the last one.
        seed (`int`, defaults to 0): Seed of the random directions.

    Returns:
        [`GradientFlow`]

    Raises:
        `ValueError`: For a model of another package, and for a `step` outside of the sequence.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMModel
    >>> from hf_lstm.evaluation.diagnostics import gradient_flow

    >>> ids = torch.randint(100, (4, 50))
    >>> flows = [gradient_flow(LSTMModel(LSTMConfig(vocab_size=100, forget_gate_bias=b)), ids) for b in (0.0, 3.0)]
    >>> flows[0].norms.shape
    (1, 1, 50)
    >>> bool(flows[0].memory_length() < flows[1].memory_length())  # an open forget gate remembers for longer
    True
    ```
    """
    backbone = _backbone(model)
    hidden_states, mask = _embed(backbone, TextInputs(input_ids, attention_mask, **inputs))
    if step is not None:
        if not 0 <= step < mask.shape[1]:
            raise ValueError(f"`step` must lie between 0 and T - 1 = {mask.shape[1] - 1}, got {step!r}.")
        hidden_states, mask = hidden_states[:, : step + 1], mask[:, : step + 1]
    with torch.enable_grad(), torch.autocast(mask.device.type, enabled=False):
        runs, outputs = _replay(backbone, hidden_states, mask)
        names, directions = backbone.layers[0].state_names, backbone.layers[0].num_directions
        norms = np.stack([_norms(runs, outputs, mask, d, seed) for d in range(directions)], axis=2)  # (parts, L, D, T)
    return GradientFlow(norms[-1], dict(zip(names, norms[:-1], strict=True)))


def _norms(runs: list["_Run"], outputs: torch.Tensor, mask: torch.Tensor, direction: int, seed: int) -> np.ndarray:
    """Norms of the gradient at each part of the states of one direction, then at the whole, (parts + 1, L, T)."""
    ends = Padding(mask).last(outputs, outputs.new_zeros(()), direction)  # (B, D * P)
    values = ends.chunk(len(runs[0].states), dim=-1)[direction]
    generator = torch.Generator().manual_seed(seed)
    # Row by row, so that the direction of a sequence does not depend on the size of the batch.
    u = torch.stack([torch.randn(values.shape[1], generator=generator) for _ in values]).to(values)
    states = [[part for state in run.states[direction] for part in state] for run in runs]
    nodes = [part for layer in states for part in layer]
    loss = (F.normalize(u, dim=-1) * values).sum()
    grads = iter(torch.autograd.grad(loss, nodes, retain_graph=True, materialize_grads=True))
    parts, (batch, steps) = len(runs[0].states[direction][0]), mask.shape
    norms = [_length(next(grads)) for _ in nodes]
    norms = torch.stack(norms).view(len(runs), steps, parts, batch).permute(2, 0, 3, 1)  # (parts, L, B, T)
    norms = torch.cat([norms, norms.norm(dim=0, keepdim=True) if parts == 1 else torch.hypot(*norms)[None]])

    after = mask.cumsum(1) if direction else mask.flip(1).cumsum(1).flip(1)
    lags = after[mask] - 1
    longest = int(mask.sum(1).max())
    sums = norms.new_zeros(*norms.shape[:2], longest).index_add_(2, lags, norms[:, :, mask])
    return (sums / torch.bincount(lags, minlength=longest)).cpu().numpy()


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """Euclidean norms, (B, N) -> (B,), of numbers whose squares may be too small to represent."""
    scale = vectors.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny)
    return (vectors / scale).norm(dim=-1) * scale.squeeze(-1)


class Saturation(NamedTuple):
    """Shares of the time that each unit of a gate spends closed and open, two arrays of shape `(L, D, H)`."""

    left: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class GateActivations:
    """
    What the gates of a network do while it reads a text.

    Args:
        tokens (`list` of `str`): The tokens, T of them.
        gates (`dict` of `np.ndarray` of shape `(L, D, T, H)`): Input, forget and output gate `"i"`, `"f"`, `"o"` of an
            LSTM; reset and update gate `"r"`, `"z"` of a GRU.
        states (`dict` of `np.ndarray` of shape `(L, D, T, P)` or `(L, D, T, H)`): `"h"`, and for an LSTM `"c"`, after
            each token.
    """

    tokens: list[str]
    gates: dict[str, np.ndarray]
    states: dict[str, np.ndarray]

    def saturation(self, low: float = 0.1, high: float = 0.9) -> dict[str, Saturation]:
        """
        The share of the tokens at which each unit of a gate is below `low`, "left-saturated", and above `high`,
        "right-saturated" (Karpathy et al. 2015, section 4.2). A forget gate that is right-saturated all the time
        belongs to a cell that remembers; one that is always left-saturated makes the layer feed-forward.
        """
        return {name: Saturation((a < low).mean(2), (a > high).mean(2)) for name, a in self.gates.items()}

    def plot(self, path: str | os.PathLike, layer: int = -1, direction: int = 0, title: str = "") -> None:
        """Draw the gates of one layer over the text and save the picture: [`~plotting.plot_gates`]."""
        gates = {name: values[layer, direction] for name, values in self.gates.items()}
        plot_gates(self.tokens, gates, path, title)


def gate_activations(
    model: RecurrentPreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str
) -> GateActivations:
    r"""
    The gates of each layer and direction at each token of a text, by the equations of the family (see `LSTMLayer` and
    `GRULayer`) from the inputs and states of the network, in float64 and without dropout.

    Args:
        model ([`RecurrentPreTrainedModel`]): An LSTM or a GRU, with a head or without.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        text (`str`): The text, with at least one token.

    Returns:
        [`GateActivations`]

    Raises:
        `ValueError`: For a model without gates, and for a text without tokens.

    Example:

    ```python
    >>> from hf_lstm import GRUConfig, GRUModel, LSTMTokenizer
    >>> from hf_lstm.evaluation.diagnostics import gate_activations

    >>> tokenizer = LSTMTokenizer.train_from_iterator(["the cat sat on the mat"], kind="word", show_progress=False)
    >>> model = GRUModel(GRUConfig(vocab_size=len(tokenizer), hidden_size=8))
    >>> activations = gate_activations(model, tokenizer, "the cat sat")
    >>> activations.gates["z"].shape
    (1, 1, 3, 8)
    >>> activations.saturation()["z"].right.shape
    (1, 1, 8)
    ```
    """
    backbone = _backbone(model)
    if backbone.config.model_type not in GATES:
        raise ValueError(f"`model` is a {type(model).__name__}, which has no gates. Use an LSTM or a GRU.")
    encoded = tokenizer(text, return_tensors="pt")
    inputs = {name: encoded[name].to(backbone.device) for name in TextInputs._fields if name in encoded}
    if not encoded["attention_mask"].any():
        raise ValueError(f"`text` {text!r} has no tokens. Give one with at least one token.")
    with torch.no_grad(), torch.autocast(backbone.device.type, enabled=False):
        runs, _ = _replay(backbone, *_embed(backbone, TextInputs(**inputs)))
        gates = [[_gates(run, d) for d in range(len(run.states))] for run in runs]
    states = [[[torch.cat(part) for part in zip(*d, strict=True)] for d in run.states] for run in runs]
    names, blocks = backbone.layers[0].state_names, GATES[backbone.config.model_type]
    return GateActivations(
        [tokenizer.decode([token]) for token in encoded["input_ids"][0].tolist()],
        {name: _array([[d[k] for d in layer] for layer in gates]) for name, k in blocks.items()},
        {name: _array([[d[k] for d in layer] for layer in states]) for k, name in enumerate(names)},
    )


def _gates(run: "_Run", direction: int) -> list[torch.Tensor]:
    """Sigmoids of the sums that one direction computes at all steps of a single text, G tensors of shape (T, H)."""
    layer, (w_ih, w_hh, *rest) = run.layer, run.weights[direction]
    b_ih, b_hh = rest[:2] if layer.bias else (None, None)
    h = torch.cat([state[0] for state in run.states[direction]])  # (T, P)
    before = F.pad(h[1:], (0, 0, 0, 1)) if direction else F.pad(h[:-1], (0, 0, 1, 0))
    sums = F.linear(run.inputs[0], w_ih, b_ih) + F.linear(before, w_hh, b_hh)
    return list(sums.sigmoid().split(layer.hidden_size, dim=-1))


def _array(layers: list[list[torch.Tensor]]) -> np.ndarray:
    return torch.stack([torch.stack(directions) for directions in layers]).cpu().numpy()


class GradientFlowCallback(TrainerCallback):
    r"""
    Watch the gradients of a training run: every so many steps [`gradient_flow`] is measured on always the same batch,
    and logged for each layer as `gradient_flow/layer_0/rate`, `.../memory` and `.../growth` (`layer_0_reverse` for the
    second direction): [`GradientFlow.decay_rate`], [`~GradientFlow.memory_length`] and [`~GradientFlow.growth`]. The
    training itself is the same, bit for bit.

    Warns, once for each kind, of gradients that vanish or explode, by the measurement or by the `grad_norm` that
    Trainer logs, and says what to change.

    Args:
        trainer ([`~transformers.Trainer`]): The trainer, through whose `log` the figures go.
        inputs (`Mapping`): The batch, as the data collator returns it; what the backbone does not read is left out.
        every (`int`, defaults to 100): Steps between two measurements; the first is before the training.
        min_memory (`int`, defaults to 10): Warn if no layer keeps a hundredth of the gradient for so many steps. Set
            it to the distance that matters to the task.
        max_growth (`float`, defaults to 100.0): Warn if the gradient grows by more than this on its way back.
        max_jump (`float`, defaults to 10.0): Warn if the logged `grad_norm` is more than so many times its median.

    Raises:
        `ValueError`: For an `every` below 1, and for `inputs` without any of the network.

    Example:

    ```python
    >>> import torch
    >>> from transformers import Trainer, TrainingArguments
    >>> from hf_lstm import GRUConfig, GRUForCausalLM
    >>> from hf_lstm.evaluation.diagnostics import GradientFlowCallback

    >>> data = [{"input_ids": row, "labels": row} for row in torch.randint(100, (8, 20))]
    >>> arguments = TrainingArguments(max_steps=2, report_to="none", use_cpu=True, disable_tqdm=True)
    >>> model = GRUForCausalLM(GRUConfig(vocab_size=100, hidden_size=8))
    >>> trainer = Trainer(model, arguments, train_dataset=data)
    >>> trainer.add_callback(GradientFlowCallback(trainer, trainer.data_collator(data[:4]), every=1))
    >>> _ = trainer.train()  # doctest: +ELLIPSIS
    {...}
    >>> ["gradient_flow/layer_0/memory" in log for log in trainer.state.log_history]
    [True, True, True, False]
    ```
    """

    def __init__(
        self,
        trainer: Trainer,
        inputs: Mapping[str, Any],
        every: int = 100,
        min_memory: int = 10,
        max_growth: float = 100.0,
        max_jump: float = 10.0,
    ):
        self.inputs = {name: inputs[name] for name in TextInputs._fields if inputs.get(name) is not None}
        if not {"input_ids", "inputs_embeds"} & self.inputs.keys():
            raise ValueError(
                f"`inputs` has {sorted(inputs)}, but neither `input_ids` nor `inputs_embeds`. Pass what the data "
                "collator makes of some examples."
            )
        if every < 1:
            raise ValueError(f"`every` must be a number of steps of at least 1, got {every!r}.")
        self.trainer, self.every = trainer, every
        self.min_memory, self.max_growth, self.max_jump = min_memory, max_growth, max_jump
        self._warned: set[str] = set()
        self._grad_norms: list[float] = []

    def on_train_begin(self, args, state, control, **kwargs):
        """Measure the network as it was initialised."""
        if is_sharded(kwargs["model"]):
            raise ValueError("The weights are in pieces (FSDP), through which no gradient is followed: use DDP.")
        if state.global_step == 0:
            self._measure(args, state, control, kwargs["model"])

    def on_step_end(self, args, state, control, **kwargs):
        """Measure every so many steps."""
        if state.global_step % self.every == 0:
            self._measure(args, state, control, kwargs["model"])

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Look at the norm of all gradients together, before any clipping."""
        if "grad_norm" not in (logs or {}):
            return
        norm = float(logs["grad_norm"])
        usual = float(np.median(self._grad_norms)) if len(self._grad_norms) >= 5 else math.inf
        if not math.isfinite(norm) or norm > self.max_jump * usual:
            compared = f", {norm / usual:.0f} times its median so far" if math.isfinite(norm) else ""
            self._warn("exploding", state, f"`grad_norm` is {norm:.3g}{compared}", _against_explosion(args))
        if math.isfinite(norm):
            self._grad_norms.append(norm)

    def _measure(self, args, state, control, model) -> None:
        if not state.is_world_process_zero:
            return
        device = next(model.parameters()).device
        flow = gradient_flow(model, **{name: value.to(device) for name, value in self.inputs.items()})
        logging_was_due = control.should_log
        self.trainer.log(_figures(flow))
        control.should_log = logging_was_due  # `log` takes every call for the one that was due
        memory, growth, steps = flow.memory_length().max(0).min(), flow.growth.max(), flow.norms.shape[-1]
        if memory < min(self.min_memory, steps):
            reach = f"a loss keeps less than a hundredth of its gradient {memory} of {steps - 1} steps back"
            self._warn("vanishing", state, reach, _against_vanishing(recurrent_model(model).config))
        if not growth <= self.max_growth:  # NaN included
            reach = f"a gradient grows {growth:.3g} times on its way back over {steps - 1} steps"
            self._warn("exploding", state, reach, _against_explosion(args))

    def _warn(self, kind: str, state, observation: str, remedy: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning(f"Step {state.global_step}: {kind} gradients: {observation}. {remedy}")


def _figures(flow: GradientFlow) -> dict[str, float]:
    figures = {"rate": flow.decay_rate, "memory": flow.memory_length(), "growth": flow.growth}
    return {
        f"gradient_flow/layer_{layer}{'_reverse' * direction}/{name}": float(value)
        for name, values in figures.items()
        for (layer, direction), value in np.ndenumerate(values)
    }


def _against_vanishing(config) -> str:
    orthogonal = ' Use `initializer="orthogonal"`.' if config.initializer == "uniform" else ""
    if config.model_type == "rnn":
        plain = 'a plain network needs `nonlinearity="relu", initializer="identity"`'
        return f"Use a gated family, `LSTMConfig` or `GRUConfig`; {plain}."
    if config.chrono_max_length is not None:
        return f"Raise `chrono_max_length`, now {config.chrono_max_length}.{orthogonal}"
    bias = getattr(config, "forget_gate_bias", None)
    raised = "" if bias is None else f", or raise `forget_gate_bias`, now {bias}"
    return f"Set `chrono_max_length` to the steps over which is to be remembered{raised}.{orthogonal}"


def _against_explosion(args) -> str:
    clip = args.max_grad_norm
    clipping = f"Lower `max_grad_norm`, now {clip:g}" if clip else "Set `max_grad_norm=1.0`"
    return (
        f"{clipping}, lower `learning_rate`, now {args.learning_rate:g}, or train on shorter sequences; a plain "
        "network explodes sooner than `LSTMConfig` and `GRUConfig`."
    )


@dataclass
class _Run:
    """
    One layer, run step by step: its weights for each direction, its inputs (B, T, E), and for each direction and
    position the state after it, of (B, .).
    """

    layer: RecurrentLayer
    weights: list[list[torch.Tensor]]
    inputs: torch.Tensor
    states: list[list[State]]


def _replay(
    backbone: RecurrentStack, hidden_states: torch.Tensor, mask: torch.Tensor
) -> tuple[list[_Run], torch.Tensor]:
    """The stack once more, in the type of `hidden_states`: each layer, and the outputs of the last, (B, T, D * P)."""
    runs = []

    def run(i: int, layer: RecurrentLayer, inputs: torch.Tensor) -> torch.Tensor:
        weights = [[weight.detach() for weight in own] for own in layer._weights(inputs.dtype)]
        states = [_run_direction(layer, inputs, mask, own, d == 1) for d, own in enumerate(weights)]
        runs.append(_Run(layer, weights, inputs, states))
        return torch.cat([torch.stack([state[0] for state in own], dim=1) for own in states], dim=-1)

    def normalize(norm: nn.LayerNorm, outputs: torch.Tensor) -> torch.Tensor:
        weight, bias = (parameter.detach().to(outputs) for parameter in (norm.weight, norm.bias))
        return F.layer_norm(outputs, norm.normalized_shape, weight, bias, norm.eps)

    return runs, backbone.walk(hidden_states, run, normalize)[-1]


def _run_direction(layer, inputs: torch.Tensor, mask: torch.Tensor, weights, reverse: bool) -> list[State]:
    current = tuple(inputs.new_zeros(len(inputs), size).requires_grad_() for size in layer.state_sizes)
    steps = list(zip(inputs.unbind(1), mask[..., None].unbind(1), strict=True))
    states = []
    for values, real in reversed(steps) if reverse else steps:
        # What is handed on, apart from the cell from which the output was computed.
        new = layer.cell(values, current, weights)
        current = tuple(torch.where(real, after, before) for after, before in zip(new, current, strict=True))
        states.append(current)
    return states[::-1] if reverse else states


def _backbone(model: nn.Module) -> RecurrentModel:
    backbone = recurrent_model(model).base_model
    if any(hasattr(layer, "base_layer") for layer in backbone.layers):
        raise ValueError(
            f"`model` is a {type(model).__name__} with adapters of peft on its layers, whose weights are there during "
            "a call only. Pass what `merge_and_unload()` makes of it."
        )
    return backbone


def _embed(backbone: RecurrentModel, text: TextInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """What the first layer reads, (B, T, F), zero at padding, and where the real positions are, (B, T)."""
    with torch.no_grad(), evaluation_mode(backbone):
        values = backbone.embed(text)
        padding = backbone._padding(text.attention_mask, *values.shape[:2], 0)
    mask = values.new_ones(values.shape[:2], dtype=torch.bool) if padding is None else padding.mask
    dtype = torch.float32 if values.device.type == "mps" else torch.float64  # which Apple's GPUs do not have
    return values.masked_fill(~mask[..., None], 0).to(dtype), mask

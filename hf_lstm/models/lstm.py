# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""LSTM: the equations, and its training kernel for bf16 on a CPU. Dimensions as in `modeling_recurrent.py`."""

import torch
import torch.nn.functional as F

from .configuration_lstm import LSTMConfig
from .layers import RecurrentLayer, before_and_after, has_bf16_without_tiles, in_order, mark


class LSTMSequence(torch.autograd.Function):
    r"""
    One direction of [`LSTMLayer`] over whole sequences on a CPU. The loops over time, forward and back, hold only what
    must wait for the step before: a matrix product and elementwise operations. The rest, the gradients of the weights
    above all, is done for all steps at once. Cells, and their gradients, are at least fp32. Blocks of rows of what
    belongs to the gates are in the order i, f, o, g, so that the sigmoids lie side by side.

    Args (of `apply`):
        inputs (`torch.Tensor` of shape `(T, B, E)`): Inputs, time first.
        h, c (`torch.Tensor` of shape `(B, H)`): State before the first step.
        w_ih, w_hh, b_ih, b_hh (`torch.Tensor`): Weights, and biases or None.
        reverse (`bool`): Whether to read from the last step to the first.

    Returns:
        `tuple`: the outputs, of shape `(T, B, H)`, and the cell after the last step, of shape `(B, H)`.
    """

    @staticmethod
    def forward(ctx, inputs, h, c, w_ih, w_hh, b_ih, b_hh, reverse):
        (T, B, _), H = inputs.shape, h.shape[1]
        bias = None if b_ih is None else _swap_gates(b_ih + b_hh)
        gates = F.linear(inputs.flatten(0, 1), _swap_gates(w_ih), bias).view(T, B, 4 * H)
        states = inputs.new_empty(T + 1, B, H)
        cells = inputs.new_empty(T + 1, B, H, dtype=torch.promote_types(inputs.dtype, torch.float32))
        first = -1 if reverse else 0
        states[first], cells[first] = h, c
        w_hh_t, around = _swap_gates(w_hh).t(), [before_and_after(reverse, each) for each in (states, cells)]
        for gate, h_old, h_new, c_old, c_new in in_order(reverse, gates, *around[0], *around[1]):
            gate.addmm_(h_old, w_hh_t)
            gate[:, : 3 * H].sigmoid_()
            gate[:, 3 * H :].tanh_()
            i, f, o, g = gate.to(c_new.dtype).chunk(4, dim=1)
            torch.mul(f, c_old, out=c_new).addcmul_(i, g)
            h_new.copy_(c_new.tanh().mul_(o))
        ctx.reverse = reverse
        ctx.save_for_backward(inputs, h, c, w_ih, w_hh, b_ih, b_hh, gates, states, cells)
        return around[0][1], cells[0 if reverse else -1].to(inputs.dtype)

    @staticmethod
    def backward(ctx, grad, grad_c):
        if torch.is_grad_enabled():  # by `create_graph=True`
            return LSTMSequence._differentiable_backward(ctx, grad, grad_c)
        inputs, _, _, w_ih, w_hh, b_ih, _, gates, states, cells = ctx.saved_tensors
        (_, B, H), need = states.shape, ctx.needs_input_grad
        (before, _), (c_before, c_after) = (before_and_after(ctx.reverse, each) for each in (states, cells))
        # Gradients before the activations; first what a step multiplies by the gradient of its cell or its output.
        i, f, o, g = gates.chunk(4, dim=-1)
        d, tanhs = torch.empty_like(gates), c_after.tanh()
        of_gates = zip(d.chunk(4, dim=-1)[:3], (g, c_before, tanhs), (i, f, o), strict=True)
        for to, factor, sigmoid in of_gates:
            torch.ops.aten.sigmoid_backward(factor.to(d.dtype), sigmoid, grad_input=to)
        torch.ops.aten.tanh_backward(i, g, grad_input=d[..., 3 * H :])
        forget, out = f.to(tanhs.dtype), o.to(tanhs.dtype)
        through = torch.addcmul(out, out * tanhs, tanhs, value=-1)  # of the cell by the output, o (1 - tanh(c')^2)
        dh, dc, w = inputs.new_zeros(B, H), grad_c.to(tanhs.dtype).clone(), _swap_gates(w_hh)
        low = torch.empty_like(dh)  # the gradient of the cell in the type of the gates
        for step, grad_step, through_step, forget_step in in_order(not ctx.reverse, d, grad, through, forget):
            dh.add_(grad_step)
            dc.addcmul_(dh.to(dc.dtype), through_step)
            low.copy_(dc)
            of_gate = step.view(B, 4, H)
            of_gate[:, :2].mul_(low[:, None])
            of_gate[:, 2].mul_(dh)
            of_gate[:, 3].mul_(low)
            dc.mul_(forget_step)
            torch.mm(step, w, out=dh)
        d = d.flatten(0, 1)  # (T * B, 4 * H)
        bias = _swap_gates(d.sum(0)) if b_ih is not None else None
        return (
            (d @ _swap_gates(w_ih)).view_as(inputs) if need[0] else None,
            dh,
            dc.to(inputs.dtype),
            _swap_gates(d.t() @ inputs.flatten(0, 1)) if need[3] else None,
            _swap_gates(d.t() @ before.flatten(0, 1)) if need[4] else None,
            bias if need[5] else None,
            bias if need[6] else None,
            None,
        )

    @staticmethod
    def _differentiable_backward(ctx, grad, grad_c):
        """The gradients through `torch.lstm`, for those who differentiate them once more."""
        tensors = [tensor if tensor is None else tensor.view_as(tensor) for tensor in ctx.saved_tensors[:7]]
        inputs, h, c, *weights = (tensor for tensor in tensors if tensor is not None)
        inputs = inputs.flip(0) if ctx.reverse else inputs
        state, bias = (h[None], c[None]), len(weights) == 4
        outputs, _, c = torch.lstm(inputs, state, weights, bias, 1, 0.0, True, False, False)
        outputs = outputs.flip(0) if ctx.reverse else outputs
        wanted = [tensor for tensor, need in zip(tensors, ctx.needs_input_grad, strict=False) if need]
        grads = iter(torch.autograd.grad((outputs, c[0]), wanted, (grad, grad_c), create_graph=True))
        return tuple(next(grads) if need else None for need in ctx.needs_input_grad)


def _swap_gates(rows: torch.Tensor) -> torch.Tensor:
    """Blocks of rows i, f, g, o in the order i, f, o, g, and the other way round: (4 * H, ...) -> (4 * H, ...)."""
    first, second, third, fourth = rows.chunk(4)
    return torch.cat([first, second, fourth, third])


class LSTMLayer(RecurrentLayer):
    r"""
    Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gate (Gers et al. 2000) and without peepholes;
    rows of the weights in the order i, f, g, o of `torch.nn.LSTM`:

        i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)      input gate
        f = sigmoid(W_if x + b_if + W_hf h + b_hf)      forget gate
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)         candidate
        o = sigmoid(W_io x + b_io + W_ho h + b_ho)      output gate
        c' = f * c + i * g
        h' = o * tanh(c'),  or  W_hr (o * tanh(c'))  with a projection (Sak et al. 2014, equation 6)
    """

    num_gates = 4
    cudnn_mode = "LSTM"
    state_names = ("h", "c")
    can_hold = can_reset = True

    @property
    def uses_onednn(self) -> bool:
        """Whether the kernel is oneDNN's on a CPU: not with a projection."""
        # It could: the recurrence is that of a plain LSTM of weight W_hh W_hr, whose outputs are projected at once
        # afterwards. But that gives away the work saved. Torch's own kernel takes 0.9 to 1.8 times as long at H 256
        # with 8 rows or more, but 0.5 to 1.2 times at H 650, 0.2 to 0.7 at H 1024 (fp32, one thread of an AMD EPYC).
        return self.output_size == self.hidden_size

    def kernel(self, inputs, state, weights, bidirectional):
        if self._by_hand((inputs, *state, *weights)):
            return self._train(inputs, state, weights)
        train = torch.is_grad_enabled()
        outputs, *state = torch.lstm(inputs, state, weights, self.bias, 1, 0.0, train, bidirectional, True)
        return outputs, tuple(state)

    def _by_hand(self, tensors) -> bool:
        """Whether [`LSTMSequence`] is to run: in training in bf16, where it is faster than oneDNN."""
        # One direction, forward and backward, own time by oneDNN's, one thread of an AMD EPYC with AVX-512: H 128 3-5,
        # H 256 1.5-1.7, H 400 1.1-1.3; H 450 0.79 (B 20, T 70); H 512 0.80 (B 32, T 64); H 650 0.65 (B 20, T 35), 0.30
        # (B 1); H 1150 0.76 (B 40, T 70), 0.40 (B 10). Not measured with tiles (AMX), whose products are faster.
        fits = tensors[0].dtype == torch.bfloat16 and self.hidden_size >= 448 and self.uses_onednn
        return fits and self._may_train_by_hand(tensors) and has_bf16_without_tiles()

    def _train(self, inputs, state, weights):
        """As `kernel`, each direction by [`LSTMSequence`]."""
        directions, inputs = len(state[0]), inputs.transpose(0, 1).contiguous()
        size, outputs, cells = len(weights) // directions, [], []
        for d in range(directions):
            own = weights[d * size : (d + 1) * size]
            found = LSTMSequence.apply(inputs, state[0][d], state[1][d], *own, *[None] * (4 - size), d == 1)
            outputs.append(found[0])
            cells.append(found[1])
        final = torch.stack([outputs[0][-1], *(reverse[0] for reverse in outputs[1:])])
        # A copy: what is saved may not change in place.
        return torch.cat(outputs, dim=-1).transpose(0, 1), (final, torch.stack(cells))

    def cell(self, inputs, state, weights):
        if self.output_size == self.hidden_size:
            return torch.lstm_cell(inputs, state, *weights)
        w_ih, w_hh, b_ih, b_hh = [*weights[:-1], None, None][:4]
        gates = F.linear(inputs, w_ih, b_ih) + F.linear(state[0], w_hh, b_hh)
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return F.linear(o.sigmoid() * c.tanh(), weights[-1]), c

    def hold_state(self, inputs, weights, padding):
        """The forget gate open and the other two closed: c' = c and h' = 0."""
        return self._force_gates(inputs, weights, padding, [-1e4, 1e4, 0, -1e4])

    def reset_state(self, inputs, weights, gaps):
        """All three gates closed: c' = 0 and h' = 0."""
        return self._force_gates(inputs, weights, gaps, [-1e4, -1e4, 0, -1e4])

    def _force_gates(self, inputs, weights, where, gates):
        """
        One more input column, 1 at the positions `where`, whose weights open and close the gates: sigmoid(-1e4) is 0
        and sigmoid(1e4) is 1 in every floating-point type, so that the state is exact bit for bit, and no gradient
        comes from these positions or goes to them.
        """
        column = inputs.new_tensor(gates)[:, None].expand(-1, self.hidden_size).reshape(-1, 1)
        return mark(inputs, where), [[torch.cat([w_ih, column], dim=1), *rest] for w_ih, *rest in weights]

    def _initial_value(self, name, parameter, config: LSTMConfig):
        value = super()._initial_value(name, parameter, config)
        if name.startswith("bias") and self.chrono_max_length is not None:
            value[: self.hidden_size] = -self._open_forget_gate(name, value)
        elif name.startswith("bias") and config.forget_gate_bias is not None:
            value[self.hidden_size : 2 * self.hidden_size] = config.forget_gate_bias if "bias_ih" in name else 0.0
        return value

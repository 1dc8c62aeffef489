# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""GRU: the equations, and its training kernel for a CPU. Dimensions as in `modeling_recurrent.py`."""

import torch
import torch.nn.functional as F

from .layers import RecurrentLayer, before_and_after, in_order, mark


class GRUSequence(torch.autograd.Function):
    r"""
    One direction of [`GRULayer`] over whole sequences on a CPU. The loops over time, forward and back, hold only what
    must wait for the step before: matrix products and a few elementwise operations, in place. The rest, the gradients
    of the weights above all, is done for all steps at once.

    Args (of `apply`):
        inputs (`torch.Tensor` of shape `(T, B, E)`): Inputs, time first.
        initial (`torch.Tensor` of shape `(B, H)`): State before the first step.
        w_ih, w_hh, b_ih, b_hh (`torch.Tensor`): Weights, and biases or None.
        reverse (`bool`): Whether to read from the last step to the first.

    Returns:
        `torch.Tensor`: the state after each step, of shape `(T, B, H)`.
    """

    @staticmethod
    def forward(ctx, inputs, initial, w_ih, w_hh, b_ih, b_hh, reverse):
        (T, B, _), H = inputs.shape, initial.shape[1]
        bias, bias_hn = None, initial.new_zeros(H)
        if b_ih is not None:
            bias, bias_hn = torch.cat([b_ih[: 2 * H] + b_hh[: 2 * H], b_ih[2 * H :]]), b_hh[2 * H :]
        gates = F.linear(inputs.flatten(0, 1), w_ih, bias).view(T, B, 3 * H)
        gated = inputs.new_empty(T, B, H)  # W_hn h + b_hn, which r multiplies
        states = inputs.new_empty(T + 1, B, H)
        states[-1 if reverse else 0] = initial
        before, after = before_and_after(reverse, states)
        w_rz, w_n = w_hh[: 2 * H].t(), w_hh[2 * H :].t()
        steps = in_order(reverse, gates[..., : 2 * H], *gates.chunk(3, -1), gated, before, after)
        for rz, r, z, n, m, h, new in steps:
            rz.addmm_(h, w_rz).sigmoid_()
            torch.addmm(bias_hn, h, w_n, out=m)
            n.addcmul_(r, m).tanh_()
            torch.lerp(n, h, z, out=new)
        ctx.reverse = reverse
        ctx.save_for_backward(inputs, initial, w_ih, w_hh, b_ih, b_hh, gates, gated, states)
        return after

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():  # by `create_graph=True`
            return GRUSequence._differentiable_backward(ctx, grad)
        inputs, _, w_ih, w_hh, _, _, gates, gated, states = ctx.saved_tensors
        (T, B, H), need = gated.shape, ctx.needs_input_grad
        r, z, n = gates.chunk(3, dim=-1)
        before, _ = before_and_after(ctx.reverse, states)
        # Gradients before the activations, in an order in which those of the input products, n r z, and those of the
        # recurrent products, r z m, each lie side by side. First what a step multiplies by the gradient of its state.
        d = inputs.new_empty(T, B, 4, H)
        dn, dr, dz, dm = d.unbind(2)
        torch.ops.aten.tanh_backward(1 - z, n, grad_input=dn)
        torch.mul(dn, r, out=dm)
        torch.ops.aten.sigmoid_backward(torch.mul(dn, gated, out=dr), r, grad_input=dr)
        torch.ops.aten.sigmoid_backward(torch.sub(before, n, out=dz), z, grad_input=dz)
        dh = inputs.new_zeros(B, H)
        recurrent = d[:, :, 1:].flatten(2)  # (T, B, 3 * H)
        for d_step, d_recurrent, z_step, grad_step in in_order(not ctx.reverse, d, recurrent, z, grad):
            dh.add_(grad_step)
            d_step.mul_(dh[:, None])
            dh.mul_(z_step).addmm_(d_recurrent, w_hh)
        of_inputs, of_states = d[:, :, :3].flatten(2).flatten(0, 1), recurrent.flatten(0, 1)  # (T * B, 3 * H)
        return (
            (of_inputs @ w_ih.roll(H, 0)).view_as(inputs) if need[0] else None,
            dh,
            (of_inputs.t() @ inputs.flatten(0, 1)).roll(-H, 0) if need[2] else None,
            of_states.t() @ before.flatten(0, 1) if need[3] else None,
            of_inputs.sum(0).roll(-H) if need[4] else None,
            of_states.sum(0) if need[5] else None,
            None,
        )

    @staticmethod
    def _differentiable_backward(ctx, grad):
        """The gradients through `torch.gru`, for those who differentiate them once more."""
        tensors = [tensor if tensor is None else tensor.view_as(tensor) for tensor in ctx.saved_tensors[:6]]
        inputs, initial, *weights = (tensor for tensor in tensors if tensor is not None)
        inputs = inputs.flip(0) if ctx.reverse else inputs
        outputs, _ = torch.gru(inputs, initial[None], weights, len(weights) == 4, 1, 0.0, True, False, False)
        outputs = outputs.flip(0) if ctx.reverse else outputs
        wanted = [tensor for tensor, need in zip(tensors, ctx.needs_input_grad, strict=False) if need]
        grads = iter(torch.autograd.grad(outputs, wanted, grad, create_graph=True))
        return tuple(next(grads) if need else None for need in ctx.needs_input_grad)


class GRULayer(RecurrentLayer):
    r"""
    Gated recurrent unit (Cho et al. 2014), with the reset gate applied after the recurrent product as in cuDNN; rows
    of the weights in the order r, z, n of `torch.nn.GRU`:

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)      reset gate
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)      update gate
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))   candidate
        h' = (1 - z) * n + z * h
    """

    num_gates = 3
    cudnn_mode = "GRU"
    can_reset = True

    def kernel(self, inputs, state, weights, bidirectional):
        if self._by_hand((inputs, *state, *weights)):
            return self._train(inputs, state, weights)
        train = torch.is_grad_enabled()
        outputs, h = torch.gru(inputs, state[0], weights, self.bias, 1, 0.0, train, bidirectional, True)
        return outputs, (h,)

    def _by_hand(self, tensors) -> bool:
        """Whether [`GRUSequence`] is to run: in training, from 8 steps on."""
        # One layer, forward and backward, against `torch.gru`, one thread of an AMD EPYC, fp32: 1.05-1.12 times faster
        # at H 256, B 32, T 64, where 9 tenths are matrix products; 1.12-1.19 at H 650, B 20, T 35; 1.3 at H 128, B 16,
        # T 32; 2.1 at H 256, B 1, T 64; 1.0-1.4 at T 8; 0.9-1.0 at T 4. fp64 and fp16: 1.0-1.4. bf16: 1.2-1.3.
        return self._may_train_by_hand(tensors)

    def _train(self, inputs, state, weights):
        """As `kernel`, each direction by [`GRUSequence`]."""
        directions, inputs = len(state[0]), inputs.transpose(0, 1).contiguous()
        size = len(weights) // directions
        outputs = []
        for d in range(directions):
            own = weights[d * size : (d + 1) * size]
            outputs.append(GRUSequence.apply(inputs, state[0][d], *own, *[None] * (4 - size), d == 1))
        final = torch.stack([outputs[0][-1], *(reverse[0] for reverse in outputs[1:])])
        return torch.cat(outputs, dim=-1).transpose(0, 1), (final,)  # a copy: what is saved may not change in place

    def reset_state(self, inputs, weights, gaps):
        """
        One more input column, 1 at the gaps, whose weights close both gates and take away the bias of the candidate:
        h' = tanh(b_in - b_in) = 0 bit for bit. What gradient comes from the state after reaches b_in twice, with
        opposite signs.
        """
        marked = []
        for w_ih, w_hh, *biases in weights:
            H = self.hidden_size
            column = torch.cat([w_ih.new_full((2 * H,), -1e4), -biases[0][2 * H :] if biases else w_ih.new_zeros(H)])
            marked.append([torch.cat([w_ih, column[:, None]], dim=1), w_hh, *biases])
        return mark(inputs, gaps), marked

    def cell(self, inputs, state, weights):
        return (torch.gru_cell(inputs, state[0], *weights),)

    def _initial_value(self, name, parameter, config):
        value = super()._initial_value(name, parameter, config)
        if name.startswith("bias") and self.chrono_max_length is not None:
            self._open_forget_gate(name, value)
        return value

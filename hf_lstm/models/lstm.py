# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""LSTM: the equations. Dimensions as in `modeling_recurrent.py`."""

import torch
import torch.nn.functional as F

from .configuration_lstm import LSTMConfig
from .layers import RecurrentLayer, mark


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
        train = torch.is_grad_enabled()
        outputs, *state = torch.lstm(inputs, state, weights, self.bias, 1, 0.0, train, bidirectional, True)
        return outputs, tuple(state)

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
        if name.startswith("bias") and config.forget_gate_bias is not None:
            value[self.hidden_size : 2 * self.hidden_size] = config.forget_gate_bias if "bias_ih" in name else 0.0
        return value

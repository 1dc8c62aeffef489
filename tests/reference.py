# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The models once more, as slow loops over one sentence at a time, written from the equations of the papers."""

import torch


def lstm_step(x, state, p, config):
    h, c = state
    pre = p["weight_ih"] @ x + p["weight_hh"] @ h + p.get("bias_ih", 0) + p.get("bias_hh", 0)
    n = config.hidden_size
    i, f, g, o = pre[:n].sigmoid(), pre[n : 2 * n].sigmoid(), pre[2 * n : 3 * n].tanh(), pre[3 * n :].sigmoid()
    c = f * c + i * g
    h = o * c.tanh()
    return (p["weight_hr"] @ h if "weight_hr" in p else h), c


def gru_step(x, state, p, config):
    (h,) = state
    n = config.hidden_size
    zeros = torch.zeros(3 * n, dtype=x.dtype)
    a = p["weight_ih"] @ x + p.get("bias_ih", zeros)
    b = p["weight_hh"] @ h + p.get("bias_hh", zeros)
    r, z = (a + b)[:n].sigmoid(), (a + b)[n : 2 * n].sigmoid()
    new = (a[2 * n :] + r * b[2 * n :]).tanh()
    return ((1 - z) * new + z * h,)


def rnn_step(x, state, p, config):
    (h,) = state
    pre = p["weight_ih"] @ x + p["weight_hh"] @ h + p.get("bias_ih", 0) + p.get("bias_hh", 0)
    return (pre.tanh() if config.nonlinearity == "tanh" else pre.clamp(min=0),)


STEP = {"lstm": lstm_step, "gru": gru_step, "rnn": rnn_step}


def run_layer(layer, xs, config, state=None):
    """Outputs of one layer for the vectors `xs`, and the final state of each direction."""
    outputs, finals = [], []
    for d, suffix in enumerate(("_l0", "_l0_reverse")[: config.num_directions]):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        p = {name: getattr(layer, name + suffix) for name in names if hasattr(layer, name + suffix)}
        sizes = (config.state_size, config.hidden_size)[: 2 if config.model_type == "lstm" else 1]
        current = (
            tuple(torch.zeros(n, dtype=xs[0].dtype) for n in sizes) if state is None else tuple(s[d] for s in state)
        )
        hs = []
        for x in xs if d == 0 else reversed(xs):
            current = STEP[config.model_type](x, current, p, config)
            hs.append(current[0])
        outputs.append(hs if d == 0 else hs[::-1])
        finals.append(current)
    return [torch.cat(parts) for parts in zip(*outputs, strict=True)], finals


def run_model(model, ids):
    """`last_hidden_state` of a backbone for one sentence, a list of token ids: a tensor of shape (T, D * P)."""
    xs = [model.embed_tokens.weight[i] for i in ids]
    for i, layer in enumerate(model.layers):
        ys, _ = run_layer(layer, xs, model.config.of_layer(i))
        if model.config.residual_connections and i:
            ys = [y + x for x, y in zip(xs, ys, strict=True)]
        if model.config.layer_norm:
            norm = model.norms[i]
            centred = [y - y.mean() for y in ys]
            ys = [
                y / (y.pow(2).mean() + model.config.layer_norm_eps).sqrt() * norm.weight + norm.bias for y in centred
            ]
        xs = ys
    return torch.stack(xs)


def run_language_model(model, ids):
    """Logits for one sentence: (T, V)."""
    hidden = run_model(model.model, ids)
    if hasattr(model.projection, "weight"):
        hidden = hidden @ model.projection.weight.T
    return hidden @ model.lm_head.weight.T + model.lm_head.bias

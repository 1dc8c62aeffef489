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


def normalise(y, norm, eps):
    centred = y - y.mean()
    return centred / (centred.pow(2).mean() + eps).sqrt() * norm.weight + norm.bias


def run_model(model, ids):
    """`last_hidden_state` of a backbone for one sentence, a list of token ids: a tensor of shape (T, D * P)."""
    xs = [model.embed_tokens.weight[i] for i in ids]
    for i, layer in enumerate(model.layers):
        ys, _ = run_layer(layer, xs, model.config.of_layer(i))
        if model.config.residual_connections and i:
            ys = [y + x for x, y in zip(xs, ys, strict=True)]
        if model.config.layer_norm:
            ys = [normalise(y, model.norms[i], model.config.layer_norm_eps) for y in ys]
        xs = ys
    return torch.stack(xs)


def run_language_model(model, ids):
    """Logits for one sentence: (T, V)."""
    hidden = run_model(model.model, ids)
    if hasattr(model.projection, "weight"):
        hidden = hidden @ model.projection.weight.T
    return hidden @ model.lm_head.weight.T + model.lm_head.bias


def attend(attention, h, xs):
    """Context (F,) and weights (K, S) of one state, (H,), over the features of a source, (S, F)."""
    kind, heads = type(attention).__name__, attention.num_heads
    size, width = attention.key.out_features // heads, xs.shape[1] // heads
    query = h if kind == "GeneralAttention" else attention.query.weight @ h
    if kind == "AdditiveAttention":
        query = query + attention.query.bias
    values = xs if heads == 1 else xs @ attention.value.weight.T
    contexts, weights = [], []
    for k in range(heads):
        q, scores = query[k * size : (k + 1) * size], []
        for x in xs:
            key = (attention.key.weight @ x)[k * size : (k + 1) * size]
            score = attention.energy[k] @ (q + key).tanh() if kind == "AdditiveAttention" else q @ key
            scores.append(score / size**0.5 if kind == "ScaledDotAttention" else score)
        a = torch.stack(scores).softmax(0) if scores else xs.new_zeros(0)
        contexts.append(a @ values[:, k * width : (k + 1) * width])
        weights.append(a)
    return torch.cat(contexts), torch.stack(weights)


def first_states(model, xs):
    """The states of the decoder before the first token, from the features of a source, (S, F)."""
    decoder, config = model.decoder, model.config
    sizes = [size for layer in decoder.layers for size in layer.state_sizes]
    if config.bridge == "none":
        states = xs.new_zeros(sum(sizes))
    else:
        width = xs.shape[1] // getattr(config.encoder, "num_directions", 1)
        if not len(xs):
            summary = xs.new_zeros(xs.shape[1])
        elif config.bridge == "mean":
            summary = xs.sum(0) / len(xs)
        else:
            summary = torch.cat([xs[-1, :width], xs[0, width:]])  # where each direction ends
        states = (decoder.bridge.weight @ summary + decoder.bridge.bias).tanh()
    parts = iter(states.split(sizes))
    return [tuple(next(parts) for _ in layer.state_sizes) for layer in decoder.layers]


def run_decoder(model, xs, ids):
    """Logits (T, V) and weights (K, T, S) of an encoder-decoder, of features (S, F) and tokens (T,)."""
    decoder, config = model.decoder, model.config
    states, readout = first_states(model, xs), xs.new_zeros(decoder.readout.out_features)
    logits, weights, context = [], [], None
    for token in ids:
        value = decoder.embed_tokens.weight[token]
        for i, layer in enumerate(decoder.layers):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
            p = {name: getattr(layer, f"{name}_l0") for name in names if hasattr(layer, f"{name}_l0")}
            beside = [context] if i else [readout] if config.input_feeding else []
            inputs = torch.cat([value, *beside])
            states[i] = STEP[config.decoder.model_type](inputs, states[i], p, config.decoder.of_layer(i))
            below, value = value, states[i][0]
            if config.decoder.residual_connections and i:
                value = value + below
            if config.decoder.layer_norm:
                value = normalise(value, decoder.norms[i], config.decoder.layer_norm_eps)
            if i == 0:
                context, a = attend(decoder.attention, value, xs)
        readout = (decoder.readout.weight @ torch.cat([value, context])).tanh()
        logits.append(model.lm_head(readout))
        weights.append(a)
    return torch.stack(logits), torch.stack(weights, dim=1)


def run_encoder_decoder(model, source, ids):
    """The same from the tokens of a source, (S,), which may be none."""
    nothing = model.lm_head.weight.new_zeros(0, model.config.source_size)
    return run_decoder(model, run_model(model.encoder, source) if len(source) else nothing, ids)

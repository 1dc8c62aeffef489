# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
An encoder-decoder in ONNX operators, as two graphs: the encoder, which runs once for a batch of sources, and one step
of the decoder, which a loop runs for each token. Dimensions as in `attention.py`; H the size of a state.
"""

import torch

from ..models.attention import Attention
from ..models.decoder import RecurrentDecoder
from ..models.layers import RecurrentLayer
from ..models.modeling_encoder_decoder import RecurrentEncoderDecoderForConditionalGeneration
from .onnx_graph import STATE_NAMES, ModelGraph, ends, features, input_types, mean, stack
from .onnx_operators import BATCH, FLOAT, INT64, LENGTH, LOWEST, Graph, ModelProto, Packing, array


ROWS = "rows"  # name of a dynamic dimension: B
FED = "feed"  # name of the state that input feeding adds


def build_models(model: RecurrentEncoderDecoderForConditionalGeneration) -> dict[str, ModelProto]:
    """
    `encoder_model` and `decoder_model` of a model in evaluation: see [`export_onnx`].

    Raises:
        `ValueError`: If its encoder is none of ours.
    """
    config = model.config
    if not config.has_recurrent_encoder:
        raise ValueError(
            f"`model` has an encoder of the kind {config.encoder.model_type!r}, which is not exported. Export a model "
            "whose `encoder` is an `LSTMConfig`, `GRUConfig` or `RNNConfig`."
        )
    attention = model.decoder.attention
    heads, size = attention.num_heads, attention.key.out_features // attention.num_heads
    keys = (LENGTH, size) if config.attention == "additive" else (size, LENGTH)
    memory = {
        "keys": (FLOAT, (BATCH, heads, *keys)),
        "values": (FLOAT, (BATCH, heads, LENGTH, config.source_size // heads)),
    }
    return {"encoder_model": _encoder(model, memory), "decoder_model": _decoder(model, memory)}


def _state_sizes(decoder: RecurrentDecoder) -> list[dict[str, int]]:
    """For each layer, and for input feeding, the tensors of the state by name and their sizes."""
    names = STATE_NAMES[decoder.config.model_type]
    sizes = [
        {f"{i}.{name}": size for name, size in zip(names, layer.state_sizes, strict=True)}
        for i, layer in enumerate(decoder.layers)
    ]
    return [*sizes, {FED: decoder.feed_size}] if decoder.feed_size else sizes


def _encoder(model: RecurrentEncoderDecoderForConditionalGeneration, memory: dict[str, tuple]) -> ModelProto:
    """The inputs of the encoder -> what attention reads, and where the states of the decoder begin."""
    g, encoder, attention = ModelGraph(), model.encoder, model.decoder.attention
    packing = Packing(g, "attention_mask")
    hidden, _ = stack(g, encoder, features(g, encoder, packing), packing)
    source = packing.unpack(hidden)

    def split(values: str, transposed: bool = False) -> str:
        """(N, S, K * X) -> (N, K, S, X), or (N, K, X, S)"""
        parts = g.Reshape(values, [0, 0, attention.num_heads, -1])
        return g.Transpose(parts, perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3])

    keys = split(g.linear(source, attention.key), model.config.attention != "additive")
    values = {"keys": keys, "values": split(g.linear(source, attention.value))}
    outputs = {name: (values[name], *memory[name]) for name in memory}
    sizes = {name: size for names in _state_sizes(model.decoder) for name, size in names.items()}
    initial = _initial_states(g, model, hidden, packing, sizes)
    outputs |= {f"present.{name}": (initial[name], FLOAT, (BATCH, size)) for name, size in sizes.items()}
    return g.model(input_types(encoder), outputs)


def _initial_states(g: ModelGraph, model, hidden: str, packing: Packing, sizes: dict[str, int]) -> dict[str, str]:
    """As [`RecurrentDecoder.initial_states`], and zeros where it says nothing: (N, H) by name."""
    decoder, rows, begun = model.decoder, g.Unsqueeze(packing.batch_size, [0]), {}
    if decoder.bridge is not None:
        if decoder.bridge_from == "mean":
            summary = mean(g, hidden, packing)
        else:
            summary = ends(g, hidden, packing, model.encoder.config.num_directions)
        states, number = g.Tanh(g.linear(summary, decoder.bridge)), len(decoder.state_sizes)
        parts = g.Split(states, decoder.state_sizes, axis=1, outputs=number) if number > 1 else [states]
        begun = dict(zip(sizes, parts, strict=False))  # not what input feeding adds
    zeros = {name: size for name, size in sizes.items() if name not in begun}
    return begun | {name: g.Expand(0.0, g.Concat(rows, [size], axis=0)) for name, size in zeros.items()}


def _decoder(model: RecurrentEncoderDecoderForConditionalGeneration, memory: dict[str, tuple]) -> ModelProto:
    """One step, as [`RecurrentDecoder.step_function`]; and of its logits the best."""
    g, decoder, kind = ModelGraph(), model.decoder, model.config.attention
    sizes = _state_sizes(decoder)
    states = [[f"past_key_values.{name}" for name in names] for names in sizes]
    inputs = {"tokens": (INT64, (ROWS,)), "top_k": (INT64, (1,)), "attention_mask": (INT64, (BATCH, LENGTH))} | memory
    inputs |= {f"past_key_values.{name}": (FLOAT, (ROWS, size)) for names in sizes for name, size in names.items()}
    context = weights = None

    def run(i: int, layer: RecurrentLayer, values: str) -> str:
        nonlocal context, weights
        if i == 0 and decoder.feed_size:
            values = g.Concat(values, *states[-1], axis=1)
        elif i:
            if i == 1:
                context, weights = _attend(g, decoder.attention, kind, values)
            values = g.Concat(values, context, axis=1)
        states[i] = _cell(g, layer, decoder.config.model_type, values, states[i])
        return states[i][0]

    def normalize(norm: torch.nn.LayerNorm, values: str) -> str:
        return g.LayerNormalization(values, array(norm.weight), array(norm.bias), epsilon=norm.eps)

    values = decoder.walk(g.Gather(array(decoder.embed_tokens.weight), "tokens"), run, normalize, g.Add)[-1]
    if context is None:
        context, weights = _attend(g, decoder.attention, kind, values)
    readout = g.Tanh(_product(g, g.Concat(values, context, axis=1), decoder.readout.weight))
    if decoder.feed_size:
        states[-1] = [readout]
    logits = g.Squeeze(g.vocabulary_logits(g.Unsqueeze(readout, [1]), model.lm_head), [1])
    vocab_size, heads = model.config.decoder.vocab_size, decoder.attention.num_heads
    best = g.TopK(g.LogSoftmax(logits, axis=-1), g.Min("top_k", [vocab_size]), axis=-1, outputs=2)
    outputs = {
        "logits": (logits, FLOAT, (ROWS, vocab_size)),
        "top_scores": (best[0], FLOAT, (ROWS, "top_k")),
        "top_tokens": (best[1], INT64, (ROWS, "top_k")),
        "cross_attentions": (weights, FLOAT, (ROWS, heads, LENGTH)),
    }
    for names, after in zip(sizes, states, strict=True):
        for (name, size), value in zip(names.items(), after, strict=True):
            outputs[f"present.{name}"] = value, FLOAT, (ROWS, size)
    return g.model(inputs, outputs)


def _product(g: Graph, values: str, weight: torch.Tensor, bias: torch.Tensor | None = None) -> str:
    """(B, I) -> (B, O)"""
    return g.Gemm(values, array(weight), *([] if bias is None else [array(bias)]), transB=1)


def _attend(g: Graph, attention: Attention, kind: str, states: str) -> tuple[str, str]:
    """States (B, H) -> contexts (B, F) and weights (B, K, S), as [`Attention.forward`] of one step."""
    heads, sources, queries = attention.num_heads, g.Shape("keys", end=1), states
    if kind == "scaled_dot":
        queries = _product(g, states, attention.query.weight * attention.scale)
    elif kind == "additive":
        queries = _product(g, states, attention.query.weight, attention.query.bias)
    shape = g.Concat(sources, [-1, heads, attention.key.out_features // heads], axis=0)
    queries = g.Transpose(g.Reshape(queries, shape), perm=[0, 2, 1, 3])  # (N, K, B / N, A / K)
    if kind == "additive":
        units = g.Tanh(g.Add(g.Unsqueeze(queries, [3]), g.Unsqueeze("keys", [2])))  # (N, K, B / N, S, A / K)
        scores = g.Squeeze(g.MatMul(units, array(attention.energy)[:, None, :, None]), [4])
    else:
        scores = g.MatMul(queries, "keys")  # (N, K, B / N, S)
    mask = g.Unsqueeze(g.Not(g.Equal("attention_mask", 0)), [1, 2])
    weights = g.Where(mask, g.Softmax(g.Where(mask, scores, LOWEST), axis=-1), 0.0)
    contexts = g.Transpose(g.MatMul(weights, "values"), perm=[0, 2, 1, 3])  # (N, B / N, K, F / K)
    weights = g.Transpose(weights, perm=[0, 2, 1, 3])
    length = g.Shape("attention_mask", start=1)
    return (
        g.Reshape(contexts, [-1, attention.key.in_features]),
        g.Reshape(weights, g.Concat([-1, heads], length, axis=0)),
    )


def _cell(g: Graph, layer: RecurrentLayer, kind: str, inputs: str, state: list[str]) -> list[str]:
    """
    As [`RecurrentLayer.cell`]: inputs (B, E) and state of (B, .) -> state of (B, .). In products and not as ONNX's own
    operator, of which onnxruntime has none in integers for GRU and RNN, nor one with a projection.
    """
    w_ih, w_hh, *rest = layer._weights(torch.float32)[0]
    b_ih, b_hh = rest[:2] if layer.bias else (None, None)
    of_inputs, of_state = _product(g, inputs, w_ih, b_ih), _product(g, state[0], w_hh, b_hh)
    if kind == "rnn":
        return [getattr(g, layer.nonlinearity.capitalize())(g.Add(of_inputs, of_state))]
    if kind == "gru":
        r_i, z_i, n_i = g.Split(of_inputs, axis=1, outputs=3)
        r_h, z_h, n_h = g.Split(of_state, axis=1, outputs=3)
        r, z = g.Sigmoid(g.Add(r_i, r_h)), g.Sigmoid(g.Add(z_i, z_h))
        n = g.Tanh(g.Add(n_i, g.Mul(r, n_h)))
        return [g.Add(n, g.Mul(z, g.Sub(state[0], n)))]
    i, f, c, o = g.Split(g.Add(of_inputs, of_state), axis=1, outputs=4)
    cell = g.Add(g.Mul(g.Sigmoid(f), state[1]), g.Mul(g.Sigmoid(i), g.Tanh(c)))
    outputs = g.Mul(g.Sigmoid(o), g.Tanh(cell))
    return [_product(g, outputs, rest[-1]) if layer.output_size != layer.hidden_size else outputs, cell]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The forward pass of a model in ONNX operators, built from its weights: what `export_onnx` writes.

A recurrent operator of ONNX reads the first `sequence_lens[b]` steps of a row, in both directions, and leaves zeros
behind them. So the ids are brought to the front once, time first, wherever the padding stands; everything is computed
on these packed tensors, (T, B, ...); and the results are brought back at the end.

Dimensions as in `modeling_recurrent.py`; C characters of a word, F features, K labels.
"""

import numpy as np
import torch
from torch import nn

from ..models.crf import LOG_ZERO, LinearChainCRF
from ..models.layers import RecurrentLayer
from ..models.modeling_recurrent import RecurrentModel
from ..models.output_layers import ClusteredOutput, MixtureOfSoftmaxes
from ..models.pretrained import RecurrentPreTrainedModel
from ..models.stack import RecurrentStack
from ..models.tag_folding import TagFolding
from ..models.text_inputs import CharacterEncoder
from .onnx_ngrams import ngram_scores
from .onnx_operators import (
    BATCH,
    DOUBLE,
    FLOAT,
    INT32,
    INT64,
    LENGTH,
    LOWEST,
    Graph,
    ModelProto,
    Packing,
    array,
    linear,
)
from .onnx_pieces import pieces


FORBIDDEN = -1e30  # score of what the CRF forbids; with minus infinity differences would be no numbers
# Blocks of the rows of torch's weights, in the order of ONNX: i f g o -> i o f c, r z n -> z r h.
GATES = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn": [0]}
STATE_NAMES = {"lstm": ("h", "c"), "gru": ("h",), "rnn": ("h",)}


def recurrent(
    g: Graph, layer: RecurrentLayer, kind: str, inputs: str, lengths: str, state=()
) -> tuple[str, list[str]]:
    """
    One layer: inputs (T, B, E) and lengths (B,) -> outputs (T, B, D * P), zero at padding, and the final state, of
    (D, B, .) each.

    ONNX has no projection. Outputs of (T, B, D * H), on which it is applied afterwards, come from a recurrence of the
    weight W_hh W_hr, which reads the output before the projection; so does the state.
    """
    weights = layer._weights(torch.float32)
    projected = layer.output_size != layer.hidden_size
    if projected:
        weights = [[w_ih, (w_hh.double() @ w_hr.double()).float(), *bias] for w_ih, w_hh, *bias, w_hr in weights]
    columns = [np.stack([_gates(kind, tensor) for tensor in each]) for each in zip(*weights, strict=True)]
    w_ih, w_hh, *biases = columns  # (D, G * H, .)
    options = {"hidden_size": layer.hidden_size, "direction": ("forward", "bidirectional")[len(weights) - 1]}
    if kind == "gru":
        options["linear_before_reset"] = 1
    if kind == "rnn":
        options["activations"] = [layer.nonlinearity.capitalize()] * len(weights)
    bias = np.concatenate(biases, 1) if biases else None
    run = getattr(g, kind.upper())
    outputs, *final = run(inputs, w_ih, w_hh, bias, lengths, *state, outputs=1 + len(STATE_NAMES[kind]), **options)
    if projected:  # (T, D, B, H)
        outputs = g.MatMul(outputs, np.stack([array(direction[-1]).T for direction in layer._weights(torch.float32)]))
    return g.Reshape(g.Transpose(outputs, perm=[0, 2, 1, 3]), [0, 0, -1]), final


def _gates(kind: str, tensor: torch.Tensor) -> np.ndarray:
    blocks = array(tensor).reshape(len(GATES[kind]), -1, *tensor.shape[1:])
    return blocks[GATES[kind]].reshape(tensor.shape)


def stack(g: Graph, model: RecurrentStack, values: str, packing: Packing, states=()) -> tuple[str, list[list[str]]]:
    """The layers of a backbone: (T, B, F) -> (T, B, D * P), zero at padding, and the final states."""
    finals = []

    def run(i: int, layer: RecurrentLayer, inputs: str) -> str:
        state = states[i] if states else ()
        outputs, final = recurrent(g, layer, model.config.cell_type, inputs, packing.lengths32, state)
        finals.append(final)
        return outputs

    def normalize(norm: nn.LayerNorm, outputs: str) -> str:
        outputs = g.LayerNormalization(outputs, array(norm.weight), array(norm.bias), epsilon=norm.eps)
        return packing.clear(outputs)

    return model.walk(values, run, normalize, g.Add)[-1], finals


def characters(g: Graph, encoder: CharacterEncoder, kind: str, ids: str) -> str:
    """Characters (T, B, C), 0 behind the last -> features (T, B, F), zeros for words without any."""
    vectors = encoder.embed_chars.weight.detach().clone()
    vectors[0] = 0
    there = g.Not(g.Equal(ids, 0))
    if encoder.recurrent:
        lengths = g.Reshape(g.ReduceSum(g.Cast(there, to=INT32), [2], keepdims=0), [-1])  # (T * B,)
        words = g.Reshape(ids, g.Concat([-1], g.Shape(ids, start=2), axis=0))
        _, (state, *_) = recurrent(
            g, encoder.layer, kind, g.Gather(array(vectors), g.Transpose(words, perm=[1, 0])), lengths
        )
        # The operator RNN of onnxruntime before 1.26 leaves anything as the state of a word without characters.
        state = g.Where(g.Unsqueeze(g.Greater(lengths, np.int32(0)), [0, 2]), state, 0.0)
        return g.Reshape(g.Transpose(state, perm=[1, 0, 2]), g.Concat(g.Shape(ids, end=2), [-1], axis=0))
    # The convolution is a sum of what each of its places makes of each character, which is looked up.
    filters, width = encoder.convolution, encoder.convolution.kernel_size[0]
    tables = torch.einsum("ve,fek->kvf", vectors, filters.weight)
    around = g.Pad(ids, [0, 0, width // 2] * 2)
    scores = None
    for k, table in enumerate(tables):
        end = k + 1 - width or np.iinfo(np.int64).max
        found = g.Gather(array(table), g.Slice(around, [k], [end], [2]))  # (T, B, C, F)
        scores = found if scores is None else g.Add(scores, found)
    maxima = g.ReduceMax(g.Where(g.Unsqueeze(there, [3]), scores, LOWEST), axes=[2], keepdims=0)
    empty = g.Equal(g.ReduceSum(g.Cast(there, to=INT32), [2]), np.int32(0))  # (T, B, 1)
    return g.Where(empty, 0.0, g.Add(maxima, array(filters.bias)))


def features(g: Graph, model: RecurrentModel, packing: Packing) -> str:
    """What the first layer reads, (T, B, F), of the inputs of the graph."""
    parts = []
    if model.reads_features:
        parts.append(packing.clear(packing.pack(model.features_name)))
    elif model.embed_tokens is not None:
        parts.append(g.Gather(array(model.embed_tokens.weight), packing.pack("input_ids")))
    if model.char_encoder is not None:
        parts.append(characters(g, model.char_encoder, model.config.model_type, packing.pack("char_ids")))
    if model.embed_shapes is not None:
        parts.append(g.Gather(array(model.embed_shapes.weight), packing.pack("shape_ids")))
    if model.context_encoder is not None:
        parts.append(contexts(g, model, packing))
    if model.piece_encoder is not None:
        parts.append(pieces(g, model.piece_encoder, packing))
    return g.Concat(*parts, axis=-1) if len(parts) > 1 else parts[0]


def contexts(g: Graph, model: RecurrentModel, packing: Packing) -> str:
    """The states of the two language models of characters at the ends of each token: (T, B, F)."""
    encoder = model.context_encoder
    text = Packing(g, "context_ids")  # 0 at padding
    spans = packing.pack("context_spans")  # (T, B, 2), counted from the first character
    ids, found = text.pack("context_ids"), []
    for direction, language_model in enumerate(encoder.models):
        place = g.Squeeze(g.Slice(spans, [1 - direction], [2 - direction], [2]), [2])  # (T, B)
        if direction:
            ids = g.ReverseSequence(ids, text.lengths, time_axis=0, batch_axis=1)
            place = g.Max(g.Sub(g.Sub(text.lengths, 1), place), 0)
        outputs, _ = stack(g, language_model, g.Gather(array(language_model.embed_tokens.weight), ids), text)
        flat = g.Reshape(outputs, g.Concat([-1], g.Shape(outputs, start=2), axis=0))
        found.append(g.Gather(flat, g.Add(g.Mul(place, text.batch_size), text.rows)))
    has_characters = g.Not(g.Equal(g.Slice(spans, [1], [2], [2]), 0))
    states = g.Where(has_characters, g.Concat(*found, axis=-1), 0.0)
    if isinstance(encoder.projection, nn.Identity):
        return states
    return linear(g, states, encoder.projection.weight, None)


def vocabulary_logits(g: Graph, head: nn.Module, hidden: str) -> str:
    """Any output layer of a language model: (B, T, F) -> (B, T, V)."""
    if isinstance(head, ClusteredOutput):
        (project, *table), *tail = head.tables()
        scores = g.LogSoftmax(linear(g, _projected(g, project, hidden), *table))
        first = head.cutoffs[0]
        parts = [g.Slice(scores, [0], [first], [2])]
        for i, (project, *table) in enumerate(tail, first):
            own = g.LogSoftmax(linear(g, _projected(g, project, hidden), *table))
            parts.append(g.Add(own, g.Slice(scores, [i], [i + 1], [2])))
        return g.Concat(*parts, axis=2)
    if isinstance(head, MixtureOfSoftmaxes):
        prior = g.LogSoftmax(linear(g, hidden, head.prior.weight, None))
        joint = []
        for i, (weight, bias) in enumerate(
            zip(*(tensor.split(head.in_features) for tensor in (head.latent.weight, head.latent.bias)), strict=True)
        ):
            latent = g.Tanh(linear(g, hidden, weight, bias))
            own = g.LogSoftmax(linear(g, latent, head.weight, head.bias))
            joint.append(g.Unsqueeze(g.Add(own, g.Slice(prior, [i], [i + 1], [2])), [0]))
        return g.ReduceLogSumExp(g.Concat(*joint, axis=0), axes=[0], keepdims=0)
    return linear(g, hidden, head.weight, head.bias)


def _projected(g: Graph, project: nn.Module, values: str) -> str:
    return values if isinstance(project, nn.Identity) else linear(g, values, project.weight, project.bias)


class ConditionalRandomField:
    """
    Decoding and posteriors of a [`LinearChainCRF`], for scores (T, B, K) in double precision. As in `crf.py`, "outside
    the sentence" is label K, in which rows stay from their end on, so that no recursion asks for lengths.
    """

    def __init__(self, g: Graph, crf: LinearChainCRF, scores: str, packing: Packing):
        self.g, self.packing = g, packing
        labels = self.num_labels = crf.num_labels
        transitions = np.zeros((labels + 1, labels + 1))
        transitions[:-1, :-1], transitions[-1, :-1], transitions[:-1, -1] = (
            array(each) for each in (crf.transitions, crf.start_transitions, crf.end_transitions)
        )
        self.transitions = np.where(crf._tagging.allowed, transitions, FORBIDDEN)
        self.outside = np.where(np.arange(labels + 1) < labels, FORBIDDEN, 0.0)
        padded = g.Pad(g.Cast(scores, to=DOUBLE), [0] * 5 + [1], np.float64(FORBIDDEN))
        self.scores = g.Where(packing.real, padded, self.outside)  # (T, B, K + 1)

    def _initial(self, *leading: list[int]) -> str:
        shape = self.g.Concat(*leading, self.g.Unsqueeze(self.packing.batch_size, [0]), [1], axis=0)
        return self.g.Expand(self.outside, shape)

    def best_path(self) -> str:
        """The best legal path, (T, B) (Viterbi 1967)."""
        g = self.g

        def forwards(body, before, score):
            paths = body.Add(body.Unsqueeze(before, [2]), self.transitions)  # (B, K + 1, K + 1)
            after = body.Add(body.ReduceMax(paths, axes=[1], keepdims=0), score)
            return after, after

        best = g.scan(forwards, self._initial(), self.scores, DOUBLE)
        origins = g.ArgMax(g.Add(g.Unsqueeze(best, [3]), self.transitions), axis=2, keepdims=0)  # (T, B, K + 1)

        def backwards(body, after, origin):
            label = body.GatherElements(origin, after, axis=1)
            return label, label

        last = g.Expand(self.num_labels, g.Concat(g.Unsqueeze(self.packing.batch_size, [0]), [1], axis=0))
        return g.Squeeze(g.scan(backwards, last, origins, INT64, reverse=True), [2])

    def posterior_logits(self, path: str, folding: TagFolding | None) -> tuple[str, str]:
        """
        `path` in the labels of the user, and logarithms of their posteriors, (T, B, K), raised where `path` has not
        the most probable label.
        """
        g = self.g
        both = np.stack([self.transitions, self.transitions.T])[:, None]

        def step(body, before, score):
            arriving = body.ReduceLogSumExp(body.Add(body.Unsqueeze(before, [3]), both), axes=[2], keepdims=0)
            return body.Add(arriving, score), arriving

        pair = g.Concat(*(g.Unsqueeze(each, [1]) for each in (self.scores, self._reversed(self.scores))), axis=1)
        arriving = g.scan(step, self._initial([2]), pair, DOUBLE)  # (T, 2, B, K + 1)
        left, right = (g.Gather(arriving, i, axis=1) for i in (0, 1))
        through = g.Add(g.Add(left, self._reversed(right)), self.scores)
        posterior = g.LogSoftmax(g.Slice(through, [0], [self.num_labels], [2]), axis=-1)
        if folding is not None:
            path = g.Gather(np.array([*folding.outer, -100]), path)
            posterior = folded(g, posterior, folding, np.float64)
        logits = g.Cast(g.Max(posterior, np.float64(LOG_ZERO)), to=FLOAT)
        label = g.Unsqueeze(path, [2])
        highest = g.ReduceMax(logits, axes=[2])
        raised = g.Where(g.Equal(g.ArgMax(logits, axis=2), label), highest, g.Add(highest, 1e-6))
        number = self.num_labels if folding is None else len(folding.members)
        return path, g.Where(g.Equal(np.arange(number), label), raised, logits)

    def _reversed(self, values: str) -> str:
        return self.g.Slice(values, [-1], [np.iinfo(np.int64).min], [0], [-1])


def folded(g: Graph, logits: str, folding: TagFolding, dtype: type = np.float32) -> str:
    """Logarithms of probabilities, of the labels of a decoder -> of those of the user: (T, B, M) -> (T, B, K)."""
    padded = g.Pad(logits, [0] * 5 + [1], dtype(FORBIDDEN))
    return g.ReduceLogSumExp(g.Gather(padded, folding.members, axis=2), axes=[3], keepdims=0)


def ends(g: Graph, hidden: str, packing: Packing, directions: int) -> str:
    """The output of each direction where it ends: (T, B, D * P), zero at padding -> (B, D * P)."""
    last = packing.last(hidden)
    if directions == 1:
        return last
    half = g.Div(g.Shape(hidden, start=2), [2])
    backward = g.Slice(g.Gather(hidden, 0), half, [np.iinfo(np.int64).max], [1])
    return g.Concat(g.Slice(last, [0], half, [1]), backward, axis=1)


def mean(g: Graph, hidden: str, packing: Packing) -> str:
    """The mean over real positions: (T, B, F), zero at padding -> (B, F)."""
    number = g.Cast(g.Max(packing.lengths, 1), to=FLOAT)
    return g.Div(g.ReduceSum(hidden, [0], keepdims=0), g.Unsqueeze(number, [1]))


def pooled(g: Graph, pooler: nn.Module, hidden: str, packing: Packing) -> str:
    """As [`SequencePooler`]: (T, B, D * P), zero at padding -> (B, .)."""

    def last() -> str:
        return ends(g, hidden, packing, pooler.num_directions)

    def average() -> str:
        return mean(g, hidden, packing)

    def maximum() -> str:
        return packing.some(g.ReduceMax(packing.clear(hidden, LOWEST), axes=[0], keepdims=0))

    def attention() -> str:
        scores = linear(
            g, g.Tanh(linear(g, hidden, pooler.dense.weight, pooler.dense.bias)), pooler.context.weight, None
        )
        weights = g.Softmax(packing.clear(scores, LOWEST), axis=0)
        return g.ReduceSum(g.Mul(weights, hidden), [0], keepdims=0)

    if pooler.pooling == "concat":
        return g.Concat(last(), maximum(), average(), axis=1)
    return {"last": last, "mean": average, "max": maximum, "attention": attention}[pooler.pooling]()


class ModelGraph(Graph):
    """The graph of a whole model, with the parts of which heads are made: see `onnx_outputs` of each head."""

    def output(self, value: str, *shape: int | str, integers: bool = False) -> tuple[str, int, tuple]:
        """An output of the model: its name, type and shape, in which "B" and "T" are batch size and length."""
        return value, INT64 if integers else FLOAT, tuple({"B": BATCH, "T": LENGTH}.get(size, size) for size in shape)

    def linear(self, values: str, layer: nn.Module) -> str:
        """A `torch.nn.Linear`, or `torch.nn.Identity`: (A, B, I) or (B, I) -> (A, B, O) or (B, O)."""
        return _projected(self, layer, values)

    def vocabulary_logits(self, features: str, head: nn.Module) -> str:
        """Any output layer of a language model: (B, T, F) -> (B, T, V)."""
        return vocabulary_logits(self, head, features)

    def pooled(self, hidden_states: str, pooler: nn.Module, packing: Packing) -> str:
        """A [`SequencePooler`]: (T, B, D * P), zero at padding -> (B, .)."""
        return pooled(self, pooler, hidden_states, packing)

    def folded(self, logits: str, folding: TagFolding) -> str:
        """Logarithms of probabilities of a decoder's labels -> of those of the user: (T, B, M) -> (T, B, K)."""
        return folded(self, logits, folding)

    def ngram_scores(self, scores: nn.Module, packing: Packing) -> str:
        """What a [`NgramScores`] says of the texts: (B, K)."""
        return ngram_scores(self, scores, packing)

    def decoded(
        self, scores: str, crf: LinearChainCRF, packing: Packing, folding: TagFolding | None
    ) -> tuple[str, str]:
        """The best path (B, T), -100 at padding, and logarithms of posteriors (B, T, K), of scores (T, B, M)."""
        field = ConditionalRandomField(self, crf, scores, packing)
        path, logits = field.posterior_logits(field.best_path(), folding)
        logits = packing.unpack(logits)
        logits = self.Where(self.Unsqueeze(packing.mask, [2]), logits, 0.0)
        return self.Where(packing.mask, packing.unpack(path), -100), logits


def build_model(model: RecurrentPreTrainedModel) -> ModelProto:
    """
    A model in evaluation. Inputs and outputs have the names and shapes of `forward`; the state of layer i comes in as
    `past_key_values.i.h`, (B, D, .), and for an LSTM `.c`, and goes out as `present.i.h`.
    """
    g, backbone = ModelGraph(), model.base_model
    inputs, states = input_types(backbone), state_shapes(model)
    packing = Packing(g, "attention_mask")
    initial = [[g.Transpose(f"past_key_values.{n}", perm=[1, 0, 2]) for n in names] for names in states]
    hidden, finals = stack(g, backbone, features(g, backbone, packing), packing, initial)
    outputs = model.onnx_outputs(g, hidden, packing)
    for names, before, after in zip(states, initial, finals if states else (), strict=True):
        for name, old, new in zip(names, before, after, strict=True):
            # Of a row without a token, onnxruntime forgets the state.
            kept = g.Where(g.Unsqueeze(g.Greater(packing.lengths, 0), [1]), new, old)
            outputs[f"present.{name}"] = g.Transpose(kept, perm=[1, 0, 2]), FLOAT, names[name]
    before = {f"past_key_values.{name}": (FLOAT, shape) for names in states for name, shape in names.items()}
    return g.model(inputs | before, outputs)


def input_types(backbone: RecurrentModel) -> dict[str, tuple]:
    """The inputs of a model with their types and shapes, but for its state."""
    features = backbone.features_name
    known = {
        "input_ids": None if backbone.reads_features else (BATCH, LENGTH),
        features: (BATCH, LENGTH, backbone.embeds_size) if backbone.reads_features else None,
        "attention_mask": (BATCH, LENGTH),
        "char_ids": (BATCH, LENGTH, "word_length") if backbone.char_encoder else None,
        "shape_ids": (BATCH, LENGTH) if backbone.embed_shapes else None,
        "context_ids": (BATCH, "text_length") if backbone.context_encoder else None,
        "context_spans": (BATCH, LENGTH, 2) if backbone.context_encoder else None,
        "encoder_ids": (BATCH, "pieces") if backbone.piece_encoder else None,
        "encoder_spans": (BATCH, LENGTH, 2) if backbone.piece_encoder else None,
    }
    kinds = {name: FLOAT if name == features else INT64 for name in known}
    return {name: (kinds[name], shape) for name, shape in known.items() if shape}


def state_shapes(model: RecurrentPreTrainedModel) -> list[dict[str, tuple]]:
    """For each layer the tensors of its state and their shapes; empty for a model that cannot continue from one."""
    backbone = model.base_model
    if model.config.bidirectional or not model.carries_state:
        return []
    names = STATE_NAMES[model.config.cell_type]
    return [
        {f"{i}.{name}": (BATCH, 1, layer.hidden_size) for name in names} for i, layer in enumerate(backbone.layers)
    ]

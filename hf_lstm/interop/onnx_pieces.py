# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A pretrained encoder below a model, in ONNX operators: torch records the encoder, and what stands before and behind it
is built here, windows included. Dimensions as in `pieces.py`.
"""

import io
import warnings

import torch
from onnx import compose, load_from_string
from torch import nn

from ..models.pieces import PieceEncoder
from .onnx_operators import ENCODER, INT64, OPSET, Graph, Packing, helper


LARGEST = 2**31 - 2**20  # bytes of a protobuf, with room for all but the encoder


def pieces(g: Graph, reader: PieceEncoder, packing: Packing) -> str:
    """As [`PieceEncoder`], of the inputs of the graph: (T, B, F), zeros for tokens without a piece."""
    text = Packing(g, g.Not(g.Equal("encoder_ids", reader.padding_id)))
    width = g.Squeeze(g.Shape("encoder_ids", start=1), [0])  # S
    ids, lengths, places = windows(g, reader, text, width)
    ids, mask = surrounded(g, reader, ids, lengths)
    states = g.Reshape(encoded(g, reader, ids, mask), [-1, reader.encoder.config.hidden_size])  # (W * (R + ...), F)

    def at(place: str, rows: str) -> str:
        """States at places from 1 on, zeros at 0: (T, B, ...) -> (T, B, ..., F)"""
        place_in_text = g.Add(g.Mul(rows, width), g.Max(g.Sub(place, 1), 0))
        found = g.Gather(states, g.Gather(places, place_in_text))
        return g.Where(g.Unsqueeze(g.Greater(place, 0), [-1]), found, 0.0)

    spans = packing.pack("encoder_spans")  # (T, B, 2)
    first, last = (g.Gather(spans, end, axis=2) for end in (0, 1))
    if reader.pooling != "mean":
        return at(first if reader.pooling == "first" else last, text.rows)
    has_any = g.Cast(g.Greater(last, 0), to=INT64)
    number = g.Mul(g.Add(g.Sub(last, first), 1), has_any)  # (T, B)
    offsets = g.Range(0, g.Max(g.ReduceMax(number, keepdims=0), 1), 1)
    there = g.Cast(g.Less(offsets, g.Unsqueeze(number, [2])), to=INT64)
    place = g.Mul(g.Add(g.Unsqueeze(first, [2]), offsets), there)  # (T, B, M), 0 behind the last
    total = g.ReduceSum(at(place, g.Unsqueeze(text.rows, [1])), [2], keepdims=0)
    return g.Div(total, g.Unsqueeze(g.CastLike(g.Max(number, 1), total), [2]))


def windows(g: Graph, reader: PieceEncoder, text: Packing, width: str) -> tuple[str, str, str]:
    """
    As [`Windows`]: the pieces of each window (W, R), how many they are (W, 1), and where each piece of a text is taken
    from (B * S,), counted over all that the encoder gives.
    """
    step, room = reader.room - reader.stride, g.Min(width, reader.room)  # R
    over = g.Max(g.Sub(text.lengths, reader.room - step + 1), 0)
    numbers = g.Add(g.Div(over, step), 1)  # windows of a text, (B,)
    several = g.Range(0, g.ReduceMax(numbers, keepdims=0), 1)
    of_row, of_text = g.Split(g.NonZero(g.Less(several, g.Unsqueeze(numbers, [1]))), axis=0, outputs=2)
    of_row, starts = g.Reshape(of_row, [-1, 1]), g.Mul(g.Reshape(of_text, [-1, 1]), step)  # (W, 1)
    columns = g.Min(g.Add(starts, g.Range(0, room, 1)), g.Sub(width, 1))
    packed = g.Reshape(g.Transpose(text.pack("encoder_ids"), perm=[1, 0]), [-1])  # (B * S,)
    ids = g.Gather(packed, g.Add(g.Mul(of_row, width), columns))
    lengths = g.Min(g.Sub(g.Gather(text.lengths, of_row), starts), reader.room)
    place = g.Range(0, width, 1)
    window = g.Min(
        g.Div(g.Max(g.Sub(place, (reader.stride + 1) // 2), 0), step), g.Unsqueeze(g.Sub(numbers, 1), [1])
    )  # (B, S)
    within = g.Min(g.Sub(place, g.Mul(window, step)), g.Sub(room, 1))
    before_it = g.Add(g.Unsqueeze(g.Sub(g.CumSum(numbers, 0), numbers), [1]), window)
    around = len(reader.before) + len(reader.behind)
    places = g.Add(g.Mul(before_it, g.Add(room, around)), g.Add(within, len(reader.before)))
    return ids, lengths, g.Reshape(places, [-1])


def surrounded(g: Graph, reader: PieceEncoder, ids: str, lengths: str) -> tuple[str, str]:
    """Windows with what stands before and behind a text, and their mask: (W, R) -> (W, R + ...) each."""
    before, behind, pad = len(reader.before), len(reader.behind), reader.encoder.config.pad_token_id
    ids = g.Pad(ids, [0, before, 0, behind])
    place = g.Range(0, g.Squeeze(g.Shape(ids, start=1), [0]), 1)
    end = g.Add(lengths, before)  # of the pieces
    mask = g.Less(place, g.Max(g.Add(end, behind), 1))  # nothing at all is read as one piece of padding
    ids = g.Where(g.Less(place, end), ids, 0 if pad is None else pad)
    for i, special in enumerate(reader.before):
        ids = g.Where(g.Equal(place, i), special, ids)
    for i, special in enumerate(reader.behind):
        ids = g.Where(g.Equal(place, g.Add(end, i)), special, ids)
    return ids, g.Cast(mask, to=INT64)


class _Recorded(nn.Module):
    """What is recorded: ids and mask (W, R) -> (W, R, F), the layers mixed."""

    def __init__(self, reader: PieceEncoder):
        super().__init__()
        self.encoder, self.mix = reader.encoder, reader.mix

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        outputs = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=self.mix is not None)
        return outputs.last_hidden_state if self.mix is None else self.mix(torch.cat(outputs.hidden_states, -1))


def encoded(g: Graph, reader: PieceEncoder, ids: str, mask_of_windows: str) -> str:
    """
    What the encoder gives, (W, R, F), of ids and mask (W, R).

    Raises:
        `ValueError`: For an encoder that torch cannot record, or that no file has room for.
    """
    kind = reader.encoder.config.model_type
    if 4 * reader.encoder.num_parameters() > LARGEST:
        raise ValueError(
            f"`encoder`, of the kind {kind!r}, has {reader.encoder.num_parameters():,} parameters, more than the 2 GB "
            "that an ONNX file holds. Export a model with a smaller one."
        )
    module, mask = _Recorded(reader).eval(), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    attention = reader.encoder.config._attn_implementation
    reader.encoder.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            module(mask, mask)  # what cannot be run at all is told in words of its own
            recorded = _record(module, mask)
    finally:
        reader.encoder.set_attn_implementation(attention)
    graph = compose.add_prefix(load_from_string(recorded), ENCODER).graph
    for given, value in zip((ids, mask_of_windows), graph.input, strict=True):
        g.nodes.append(helper.make_node("Identity", [given], [value.name], name=value.name))
    g.nodes.extend(graph.node)
    g.constants |= {(ENCODER, each.name): each for each in graph.initializer}
    return graph.output[0].name


def _record(module: nn.Module, example: torch.Tensor) -> bytes:
    """By an example of ids and mask."""
    file, sizes = io.BytesIO(), {0: "windows", 1: "pieces"}
    names = {"input_names": ["ids", "mask"], "output_names": ["states"]}
    # `dynamo=False` needs no other package, and writes operators of our version.
    options = {"dynamic_axes": dict.fromkeys(("ids", "mask", "states"), sizes), "opset_version": OPSET}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module, (example, example), file, dynamo=False, **names, **options)
    except Exception as error:  # of any kind
        raise ValueError(
            f"`encoder` is of the kind {module.encoder.config.model_type!r}, which `torch.onnx.export` cannot record: "
            f"{error!s:.200}. Export a model with another encoder, such as BERT, RoBERTa, ELECTRA, DeBERTa, "
            "DistilBERT or ModernBERT, or run this one in torch."
        ) from error
    return file.getvalue()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Graphs of ONNX operators, and the packed tensors on which models compute: see `onnx_graph.py`, whose dimensions these
are.
"""

import itertools
from collections.abc import Callable

import numpy as np
import torch


try:
    from onnx import ModelProto, TensorProto, helper, numpy_helper
except ImportError as error:
    raise ImportError("The export to ONNX needs onnx: `pip install onnx`.") from error


OPSET, IR_VERSION = 17, 8  # of 2022, which every onnxruntime since 1.12 runs
INT64, INT32, FLOAT, DOUBLE = TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.DOUBLE
LOWEST = float(np.finfo(np.float32).min)
BATCH, LENGTH = "batch_size", "sequence_length"  # names of dynamic dimensions
ENCODER = "encoder/"  # how names begin within a pretrained encoder


class Graph:
    """
    Nodes, appended by calls: `graph.Add(a, b)` is a node of the operator "Add", and returns the name of its output. An
    operand is such a name; an array or a number, which becomes a constant, equal ones the same; or None for none.
    """

    def __init__(self, parent: "Graph | None" = None):
        self.nodes = []
        self._root = parent._root if parent else self
        if parent is None:
            self.constants: dict[tuple, TensorProto] = {}
            self._numbers = itertools.count()

    def __getattr__(self, operator: str) -> Callable:
        if not operator[0].isupper():
            raise AttributeError(operator)

        def append(*operands, outputs: int = 1, **attributes) -> str | list[str]:
            name = self.fresh(operator)
            names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
            inputs = ["" if operand is None else self._named(operand) for operand in operands]
            self.nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
            return name if outputs == 1 else names

        return append

    def fresh(self, name: str) -> str:
        """A name that nothing else has."""
        return f"{name}_{next(self._root._numbers)}"

    def _named(self, operand) -> str:
        if isinstance(operand, str):
            return operand
        array = np.asarray(operand, np.float32 if type(operand) is float else None)
        key = array.dtype.str, array.shape, array.tobytes()
        constants = self._root.constants
        if key not in constants:
            constants[key] = numpy_helper.from_array(array, f"constant_{len(constants)}")
        return constants[key].name

    def scan(self, step: Callable, state: str, inputs: str, kind: int, reverse: bool = False) -> str:
        """
        Call `step(graph, state, input) -> (state, output)` for each of `inputs` along their first dimension, from the
        last to the first with `reverse`. Returns the outputs, in the order of the inputs.
        """
        body = Graph(self)
        names = [self.fresh(name) for name in ("state", "input")]
        results = [body.Identity(result) for result in step(body, *names)]
        types = [helper.make_tensor_value_info(name, kind, None) for name in names + results]
        graph = helper.make_graph(body.nodes, self.fresh("step"), types[:2], types[2:])
        way = [int(reverse)]
        options = {"num_scan_inputs": 1, "scan_input_directions": way, "scan_output_directions": way}
        return self.Scan(state, inputs, outputs=2, body=graph, **options)[1]

    def model(self, inputs: dict[str, tuple], outputs: dict[str, tuple]) -> ModelProto:
        """The graph as a model: of each input by its name type and shape, of each output the value, too."""
        named = [helper.make_node("Identity", [value], [name]) for name, (value, _, _) in outputs.items()]
        graph = helper.make_graph(
            self.nodes + named,
            "hf_lstm",
            [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()],
            [helper.make_tensor_value_info(name, *each[1:]) for name, each in outputs.items()],
            list(self.constants.values()),
        )
        return helper.make_model(
            graph, producer_name="hf_lstm", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )


class Packing:
    """Where the real positions of a mask (B, T) are, and how to bring them to the front, time first, and back."""

    def __init__(self, graph: Graph, mask: str):
        self.graph, g = graph, graph
        self.mask = g.Cast(mask, to=TensorProto.BOOL)
        ones = g.Cast(self.mask, to=INT64)
        self.lengths = g.ReduceSum(ones, [1], keepdims=0)  # (B,)
        self.lengths32 = g.Cast(self.lengths, to=INT32)
        shape = g.Shape(mask)
        self.batch_size, length = (g.Squeeze(g.Gather(shape, [i]), [0]) for i in (0, 1))
        times, self.rows = g.Range(0, length, 1), g.Range(0, self.batch_size, 1)
        # Real positions come first, in their order, then padding.
        count = g.CumSum(ones, 1)
        behind = g.Sub(g.Add(times, g.Unsqueeze(self.lengths, [1])), count)
        rank = g.Where(self.mask, g.Sub(count, 1), behind)  # (B, T)
        order = g.ScatterElements(g.Mul(ones, 0), rank, g.Expand(times, shape), axis=1)
        self._order = g.Add(g.Transpose(order, perm=[1, 0]), g.Mul(self.rows, length))  # (T, B), indices into B * T
        self._rank = g.Add(g.Mul(rank, self.batch_size), g.Unsqueeze(self.rows, [1]))  # (B, T), indices into T * B
        self.real = g.Unsqueeze(g.Less(g.Unsqueeze(times, [1]), self.lengths), [2])  # (T, B, 1)

    def pack(self, values: str) -> str:
        """(B, T, ...) -> (T, B, ...)"""
        return self.graph.Gather(self._flat(values), self._order)

    def unpack(self, values: str) -> str:
        """(T, B, ...) -> (B, T, ...)"""
        return self.graph.Gather(self._flat(values), self._rank)

    def last(self, values: str) -> str:
        """The last real one of each row, the first of a row without any: (T, B, ...) -> (B, ...)"""
        g = self.graph
        step = g.Max(g.Sub(self.lengths, 1), 0)
        return g.Gather(self._flat(values), g.Add(g.Mul(step, self.batch_size), self.rows))

    def clear(self, values: str, value: float = 0.0) -> str:
        """`value` at padding: (T, B, F) -> (T, B, F)"""
        return self.graph.Where(self.real, values, value)

    def some(self, values: str) -> str:
        """Zeros for rows without real positions: (B, F) -> (B, F)"""
        return self.graph.Where(self.graph.Unsqueeze(self.graph.Greater(self.lengths, 0), [1]), values, 0.0)

    def _flat(self, values: str) -> str:
        g = self.graph
        return g.Reshape(values, g.Concat([-1], g.Shape(values, start=2), axis=0))


def array(tensor: torch.Tensor) -> np.ndarray:
    """A parameter as a constant."""
    return tensor.detach().float().cpu().numpy()


def linear(g: Graph, values: str, weight: torch.Tensor, bias: torch.Tensor | None) -> str:
    """(A, B, I) -> (A, B, O), by a product with the weight as it is, which an embedding may share."""
    flat = g.Reshape(values, [-1, weight.shape[1]])
    product = g.Gemm(flat, array(weight), *([] if bias is None else [array(bias)]), transB=1)
    return g.Reshape(product, g.Concat(g.Shape(values, end=-1), [len(weight)], axis=0))

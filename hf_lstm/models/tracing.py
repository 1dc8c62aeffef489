# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Whether torch is recording a graph, and a loop that it can record."""

from collections.abc import Callable

import torch


def is_captured() -> bool:
    """Whether a graph is being recorded, which would hold a choice made for the sizes of its example inputs."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def is_exported() -> bool:
    """Whether `torch.export` is recording a graph, in which nothing may depend on the values of a tensor."""
    return getattr(torch.compiler, "is_exporting", lambda: False)()  # torch 2.7 and later


def scan(step: Callable, initial: list[torch.Tensor], steps: list[torch.Tensor], reverse: bool = False):
    """
    A loop in the graph that `torch.export` records: `step(carried, now)` returns what it carries on, of the shapes and
    types of `initial`, and what is stacked for all steps along their first dimension. It may return no tensor that it
    was given, and none twice.
    """
    from torch._higher_order_ops.scan import scan as recorded_loop

    if not torch.compiler.is_dynamo_compiling():
        torch._dynamo.reset()  # else a loop would inherit the sizes of another one from the cache
    initial = [tensor.clone(memory_format=torch.contiguous_format) for tensor in initial]
    return recorded_loop(step, initial, steps, reverse=reverse)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Several processes: what one of them makes and all of them need, and shards on CPUs."""

import atexit
import os
import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, broadcast_object_list


T = TypeVar("T")


def from_main_process(make: Callable[[], T]) -> T:
    """
    Call a function in the main process only, and give all processes what it returned: for a tokenizer, whose training
    need not run, nor come out the same, in each of them. Every process has to call this.

    Args:
        make (`Callable`): A function without arguments, whose result can be pickled.

    Returns:
        What it returned.

    Example:

    ```python
    >>> from hf_lstm.distributed import from_main_process

    >>> from_main_process(lambda: 1 + 1)  # here the only process is the main one
    2
    ```
    """
    return broadcast_object_list([make() if PartialState().is_main_process else None])[0]


def end_processes() -> None:
    """
    The last call of a script: ends a process that is one of several, with exit code 0, and does nothing in one that is
    alone. Exit functions run and output is written, but the interpreter is not taken apart: a thread of gloo that
    still holds tensors then would need it, and abort the process ("terminate called without an active exception",
    pytorch/pytorch#190489). `destroy_process_group` prevents that only where nothing else refers to the group, as
    FSDP's mesh does; where a model of DDP refers to it last, torch 2.13 waits with Python's lock for a thread that
    waits for that lock, once in about ten runs.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def shard_on_cpu(accelerator: Accelerator, fsdp_plugin_args: dict | None) -> None:
    """
    Let an accelerator that was asked for FSDP shard on CPUs too, where accelerate has only accelerator devices in
    mind, and would use DDP without a word. FSDP2 itself needs nothing but gloo.

    Args:
        accelerator (`accelerate.Accelerator`): It has prepared nothing yet.
        fsdp_plugin_args (`dict`, *optional*): `TrainingArguments.fsdp_plugin_args`; else the environment decides.

    Raises:
        `ValueError`: If FSDP 1 is asked for, which does need such a device.
        `RuntimeError`: If accelerate finds that first.
    """
    state = accelerator.state
    wanted = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"  # accelerate sets it for its plugin, too
    if not wanted or state.distributed_type != DistributedType.MULTI_CPU:
        return
    plugin = FullyShardedDataParallelPlugin(**(fsdp_plugin_args or {}))
    if plugin.fsdp_version != 2:
        raise ValueError(
            f"`fsdp_config` has version {plugin.fsdp_version}: on CPUs give version 2, or leave FSDP out."
        )
    if state.mixed_precision != "no":
        plugin.set_mixed_precision(state.mixed_precision)
    state.fsdp_plugin = plugin
    # New states take their values from the partial one.
    PartialState().distributed_type = state.distributed_type = DistributedType.FSDP


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether some weights of a model are in pieces, those of FSDP2, which only its forward pass puts together."""
    return any(type(parameter.data) is not torch.Tensor for parameter in model.parameters())


__all__ = ["end_processes", "from_main_process", "is_sharded", "shard_on_cpu"]

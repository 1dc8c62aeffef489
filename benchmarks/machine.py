# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the figures depend on: the machine, the versions, and the peers that are there to be compared with."""

import importlib.metadata
import os
import platform
from pathlib import Path

import torch
import transformers

import hf_lstm


# Not among our requirements. flair asks for an older transformers than ours: it needs an environment of its own.
PEERS = ("pytorch-crf",)


def machine(device: str) -> dict:
    """Machine and versions; the load is what else kept it busy in the last minute."""
    return {
        "cpu": _cpuinfo("model name") or platform.processor(),
        "amx": has_amx(),
        "device": torch.cuda.get_device_name(device) if device != "cpu" else "cpu",
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "hf_lstm": hf_lstm.__version__,
    }


def has_amx() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware tiles."""
    return "amx_bf16" in _cpuinfo("flags").split()


def _cpuinfo(field: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")


def peers() -> dict[str, str]:
    """The version of each peer, or how to get it."""
    found = {"transformers (GPT-2)": transformers.__version__}
    for name in PEERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = f"not installed: pip install {name}"
    return found

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
One long call of `generate`: the time and the memory of every ten thousand tokens, which do not grow with the text.

    python benchmarks/endurance.py                                  # results/endurance.json, about ten minutes
    python benchmarks/endurance.py --tokens 1000 --block 100 --hidden_size 64 --output /tmp/endurance.json
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch
from machine import machine
from transformers.generation import BaseStreamer

from hf_lstm import LSTMConfig, LSTMForCausalLM


class Meter(BaseStreamer):
    """Notes the time and the resident memory whenever another block of tokens has been generated."""

    def __init__(self, block: int):
        self.block, self.count, self.blocks = block, -1, []  # the prompt comes first
        self.begin = None

    def put(self, value: torch.Tensor) -> None:
        self.count += 1
        if self.count % self.block == 0:
            now = time.perf_counter()
            if self.begin is not None:
                self.blocks.append({"microseconds": 1e6 * (now - self.begin) / self.block, "MiB": resident()})
            self.begin = now

    def end(self) -> None:
        pass


def resident() -> float:
    """Resident memory of this process in MiB; where the system does not tell it, the most there has been."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--block", type=int, default=10_000, help="tokens between two measurements")
    parser.add_argument("--hidden_size", type=int, default=1024)
    parser.add_argument("--vocab_size", type=int, default=33_000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "results" / "endurance.json")
    args = parser.parse_args()
    torch.manual_seed(0)
    sizes = {"vocab_size": args.vocab_size, "hidden_size": args.hidden_size, "num_hidden_layers": 2}
    model = LSTMForCausalLM(LSTMConfig(**sizes)).eval()
    meter = Meter(args.block)
    model.generate(torch.tensor([[1]]), max_new_tokens=args.tokens, do_sample=True, streamer=meter)
    results = {"machine": machine("cpu"), "sizes": sizes, "parameters": model.num_parameters(), "blocks": meter.blocks}
    args.output.write_text(json.dumps(results, indent=1) + "\n")
    for number, block in enumerate(meter.blocks, 1):
        print(f"{number * args.block:>9,} tokens {block['microseconds']:8.0f} us a token {block['MiB']:9.1f} MiB")


if __name__ == "__main__":
    main()

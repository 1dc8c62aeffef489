# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A training step with two threads on a machine that is busy with other work: what the spinning of GNU OpenMP costs, and
what two settings change. Each setting needs a process of its own, which this script starts:

    python benchmarks/busy.py --load 0 2 6
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time


SETTINGS = {
    "default": {},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def steps(number: int) -> list[float]:
    """Seconds of the training steps of a language model (LSTM, 2 x 256, V 10,000, B 16, T 35)."""
    import torch

    from hf_lstm import LSTMConfig, LSTMForCausalLM

    torch.manual_seed(0)
    model = LSTMForCausalLM(LSTMConfig(vocab_size=10_000, hidden_size=256, num_hidden_layers=2))
    optimizer, ids, seconds = torch.optim.SGD(model.parameters(), lr=0.1), torch.randint(10_000, (16, 35)), []
    for _ in range(number):
        began = time.perf_counter()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
    return seconds[3:]


def measure(settings: dict[str, str], load: int, number: int) -> dict[str, float]:
    """Median and slowest step in a process with these variables, beside `load` processes that compute."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
    try:
        environment = os.environ | {"OMP_NUM_THREADS": "2"} | settings
        command = [sys.executable, __file__, "--steps", str(number), "--child"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
    seconds = json.loads(done.stdout.splitlines()[-1])
    return {"median": statistics.median(seconds), "slowest": max(seconds)}


def main(command_line: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=int, nargs="+", default=[0, 2, 6], help="other processes that compute")
    parser.add_argument("--steps", type=int, default=43, help="steps of a run, of which three warm up")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(command_line)
    if args.child:
        print(json.dumps(steps(args.steps)))
        return
    for load in args.load:
        for name, settings in SETTINGS.items():
            found = measure(settings, load, args.steps)
            print(
                f"load {load}, {name:20} median {found['median']:.3f} s, slowest {found['slowest']:.3f} s", flush=True
            )


if __name__ == "__main__":
    main()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Why gates: how far gradients reach back in plain and in gated networks, and which of them learn to remember.

    python examples/gradient_flow.py          # results/gradient_flow.json and .png, in some hours of one thread
    python examples/gradient_flow.py --lengths 400 --networks GRU --seeds 3     # one run more in the same files
    python examples/gradient_flow.py --quick  # a few steps of tiny networks

The adding problem (Hochreiter & Schmidhuber 1997, section 5.4; Le et al. 2015, section 4.1): each step shows a number
from [0, 1] and a mark, which is 1 at two steps, one in each half of the sequence, and 0 elsewhere; the answer is the
sum of the two marked numbers. Who always answers 1 has a mean squared error of 1/6 = 0.167.
"""

import itertools
import json
import shlex
import sys
from argparse import ArgumentParser
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, set_seed

from hf_lstm import GRUConfig, LSTMConfig, RNNConfig
from hf_lstm.evaluation.adding_problem import (
    adding_problem,
    format_run,
    format_runs,
    learn_adding,
    plot_adding_problem,
)
from hf_lstm.evaluation.diagnostics import GradientFlow, gradient_flow


CHRONO = "chrono"  # gates that begin with memories as long as the sequences
# Configuration, the norm at which gradients are clipped, 0 for not at all, and the learning rate of AdamW.
IDENTITY = {"nonlinearity": "relu", "initializer": "identity"}
NETWORKS = {
    "RNN, tanh": (RNNConfig, {"nonlinearity": "tanh"}, 1.0, 5e-3),
    "RNN, relu": (RNNConfig, {"nonlinearity": "relu"}, 1.0, 5e-3),
    "RNN, relu, not clipped": (RNNConfig, {"nonlinearity": "relu"}, 0.0, 5e-3),
    "RNN, relu, identity": (RNNConfig, IDENTITY, 1.0, 1e-3),
    "RNN, relu, identity, not clipped": (RNNConfig, IDENTITY, 0.0, 1e-3),
    "LSTM, forget bias 0": (LSTMConfig, {"forget_gate_bias": 0.0}, 1.0, 5e-3),
    "LSTM, forget bias 1": (LSTMConfig, {"forget_gate_bias": 1.0}, 1.0, 5e-3),
    "LSTM, forget bias 5": (LSTMConfig, {"forget_gate_bias": 5.0}, 1.0, 5e-3),
    "LSTM, chrono": (LSTMConfig, {}, 1.0, 5e-3),
    "GRU": (GRUConfig, {}, 1.0, 5e-3),
    "GRU, chrono": (GRUConfig, {}, 1.0, 5e-3),
}


def main(command_line: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output_dir", type=Path, default=Path("results"), help="Where table and picture go.")
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 400], help="Lengths of the adding problem.")
    parser.add_argument("--steps", type=int, default=2000, help="Most training steps.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="Seeds of weights and sequences.")
    parser.add_argument("--hidden_size", type=int, default=64, help="Units of each network.")
    parser.add_argument("--batch_size", type=int, default=32, help="Sequences of a training step.")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="Tiny networks and a few steps, to see that it runs.")
    args = parser.parse_args(command_line)
    if args.quick:
        args.lengths, args.steps, args.hidden_size, args.batch_size, args.seeds = [20], 20, 8, 8, [0]
    # What has vanished is too small for the fast arithmetic of a CPU (a loss on the last of 256 steps took 14.6 times
    # as long). It must be set before the first parallel operation of the process, or other threads do not know of it.
    torch.set_flush_denormal(True)

    # 1. The flow of gradients over 200 steps, before any training.
    inputs, _ = adding_problem(16, 200, seed=0)
    names = [name for name in NETWORKS if "not clipped" not in name]  # which starts as the one that is clipped
    flows = {name: gradient_flow(build(name, args.hidden_size, 200), inputs_embeds=inputs) for name in names}

    # 2. Training on the adding problem. What was measured before, by another command, is kept in the file.
    args.output_dir.mkdir(parents=True, exist_ok=True)
    file = args.output_dir / "gradient_flow.json"
    runs = json.loads(file.read_text())["adding_problem"] if file.exists() else []
    options = sys.argv[1:] if command_line is None else command_line
    command = shlex.join(["python", "examples/gradient_flow.py", *options])
    for length, name, seed in itertools.product(args.lengths, args.networks, args.seeds):
        _, _, max_grad_norm, learning_rate = NETWORKS[name]
        outcome = learn_adding(
            build(name, args.hidden_size, length, seed),
            length,
            args.steps,
            batch_size=args.batch_size,
            learning_rate=learning_rate,
            max_grad_norm=max_grad_norm,
            seed=seed,
        )
        run = {"network": name, "length": length, "seed": seed, **outcome, "command": command}
        print(format_run(run), flush=True)
        runs = sorted([old for old in runs if key(old) != key(run)] + [run], key=key)
        write(file, flows, runs)

    # 3. The table, and the picture.
    plot_adding_problem(flows, runs, file.with_suffix(".png"))
    print("\nGradient flow over 200 steps, before training\n")
    print(f"{'':<34}{'rate a step':>14}{'falls to 1 % at lag':>22}{'grows by':>12}")
    for name, flow in flows.items():
        print(f"{name:<34}{flow.decay_rate.item():>14.3f}{flow.memory_length().item():>22}{flow.growth.item():>12.3g}")
    print(f"\n{format_runs(runs)}")


def build(name: str, hidden_size: int, length: int, seed: int = 0):
    """A network that reads two numbers a step, `length` steps, and gives one at the end."""
    config_class, fields, *_ = NETWORKS[name]
    set_seed(seed)
    config = config_class(
        vocab_size=1,  # there are no tokens
        embedding_size=2,
        hidden_size=hidden_size,
        pooling="last",
        num_labels=1,
        problem_type="regression",
        chrono_max_length=length if CHRONO in name else None,
        **fields,
    )
    return AutoModelForSequenceClassification.from_config(config)


def key(run: dict) -> tuple[int, int, int]:
    """What tells a run from others, in the order of the table."""
    return run["length"], list(NETWORKS).index(run["network"]), run["seed"]


def write(file: Path, flows: dict[str, GradientFlow], runs: list[dict]) -> None:
    """The figures as JSON, a run a line."""
    of_flow = {
        name: {
            "decay_rate": flow.decay_rate.item(),
            "memory_length": flow.memory_length().item(),
            "growth": flow.growth.item(),
        }
        for name, flow in flows.items()
    }
    lines = ",\n".join("    " + json.dumps(run) for run in runs)
    file.write_text(f'{{\n  "flow": {json.dumps(of_flow)},\n  "adding_problem": [\n{lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()

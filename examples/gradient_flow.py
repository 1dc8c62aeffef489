# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Why gates: how far gradients reach back in plain and in gated networks, and which of them learn to remember.

    python examples/gradient_flow.py                                   # results/gradient_flow.json and .png
    python examples/gradient_flow.py --lengths 400 --steps 2000 --networks GRU    # one run more in the same files
    python examples/gradient_flow.py --quick                           # a few steps of tiny networks

The adding problem (Hochreiter & Schmidhuber 1997, section 5.4; Le et al. 2015, section 4.1): each step shows a number
from [0, 1] and a mark, which is 1 at two steps, one in each half of the sequence, and 0 elsewhere; the answer is the
sum of the two marked numbers. Who always answers 1 has a mean squared error of 1/6 = 0.167.
"""

import json
import math
import shlex
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from hf_lstm import GRUConfig, LSTMConfig, RNNConfig
from hf_lstm.evaluation.diagnostics import GradientFlow, GradientFlowCallback, gradient_flow
from hf_lstm.evaluation.plotting import draw_gradient_flow, new_figure


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
    "GRU": (GRUConfig, {}, 1.0, 5e-3),
}
SOLVED = 0.01  # mean squared error on sequences that training has not seen


class StopWhenSolved(TrainerCallback):
    """End a run as soon as it has solved the problem, or cannot any more."""

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        loss = metrics["eval_loss"]
        control.should_training_stop |= loss < SOLVED or not math.isfinite(loss)


def main(command_line: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output_dir", type=Path, default=Path("results"), help="Where table and picture go.")
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 400], help="Lengths of the adding problem.")
    parser.add_argument(
        "--steps", type=int, nargs="+", default=[1000, 400], help="Most training steps of each length."
    )
    parser.add_argument("--hidden_size", type=int, default=64, help="Units of each network.")
    parser.add_argument("--batch_size", type=int, default=32, help="Sequences of a training step.")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="Tiny networks and a few steps, to see that it runs.")
    args = parser.parse_args(command_line)
    if args.quick:
        args.lengths, args.steps, args.hidden_size, args.batch_size = [20], [20], 8, 8
    # What has vanished is too small for the fast arithmetic of a CPU (a loss on the last of 256 steps took 14.6 times
    # as long). It must be set before the first parallel operation of the process, or other threads do not know of it.
    torch.set_flush_denormal(True)

    # 1. The flow of gradients over 200 steps, before any training.
    inputs, _ = adding_problem(16, 200, seed=0)
    names = [name for name in NETWORKS if "not clipped" not in name]  # which starts as the one that is clipped
    flows = {name: gradient_flow(build(name, args), inputs_embeds=inputs) for name in names}

    # 2. Training on the adding problem. What was measured before, by another command, is kept in the file.
    args.output_dir.mkdir(parents=True, exist_ok=True)
    file = args.output_dir / "gradient_flow.json"
    runs = json.loads(file.read_text())["adding_problem"] if file.exists() else []
    options = sys.argv[1:] if command_line is None else command_line
    command = shlex.join(["python", "examples/gradient_flow.py", *options])
    for length, steps in zip(args.lengths, args.steps, strict=True):
        for name in args.networks:
            run = train(name, length, steps, args) | {"command": command}
            print(row(run), flush=True)
            runs = [old for old in runs if (old["network"], old["length"]) != (name, length)] + [run]

    # 3. The table, and the picture.
    runs.sort(key=lambda run: (run["length"], list(NETWORKS).index(run["network"])))
    results = {"flow": {name: figures(flow) for name, flow in flows.items()}, "adding_problem": runs}
    file.write_text(json.dumps(results, indent=2) + "\n")
    draw(flows, runs, file.with_suffix(".png"))
    print(report(results))


def figures(flow: GradientFlow) -> dict[str, float]:
    """What there is to say of a network of one layer."""
    return {
        "decay_rate": flow.decay_rate.item(),
        "memory_length": flow.memory_length().item(),
        "growth": flow.growth.item(),
    }


def adding_problem(number: int, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of numbers and marks, (number, length, 2), and their answers, (number,)."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(number, length, generator=generator)
    half = length // 2
    first = torch.randint(half, (number, 1), generator=generator)
    second = torch.randint(half, length, (number, 1), generator=generator)
    marks = torch.zeros(number, length).scatter_(1, torch.cat([first, second], 1), 1.0)
    return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(1)


def rows(number: int, length: int, seed: int) -> list[dict]:
    """The same as a dataset for Trainer."""
    return [{"inputs_embeds": x, "labels": y} for x, y in zip(*adding_problem(number, length, seed), strict=True)]


def build(name: str, args):
    """A network that reads two numbers a step and gives one at the end."""
    config_class, fields, *_ = NETWORKS[name]
    set_seed(0)
    config = config_class(
        vocab_size=1,  # there are no tokens
        embedding_size=2,
        hidden_size=args.hidden_size,
        pooling="last",
        num_labels=1,
        problem_type="regression",
        **fields,
    )
    return AutoModelForSequenceClassification.from_config(config)


def train(name: str, length: int, steps: int, args) -> dict:
    """Train until the problem is solved or the steps are over: what came of it, with the losses on the way."""
    _, _, max_grad_norm, learning_rate = NETWORKS[name]
    model, held_out = build(name, args), rows(500, length, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=args.batch_size,
            per_device_eval_batch_size=500,
            learning_rate=learning_rate,
            lr_scheduler_type="constant",
            max_grad_norm=max_grad_norm,
            eval_strategy="steps",
            eval_steps=50,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(
            model,
            arguments,
            train_dataset=rows(min(steps * args.batch_size, 20_000), length, seed=0),
            eval_dataset=held_out,
            callbacks=[StopWhenSolved()],
        )
        trainer.add_callback(GradientFlowCallback(trainer, trainer.data_collator(held_out[:8]), every=steps // 2))
        trainer.remove_callback(PrinterCallback)
        seconds = trainer.train().metrics["train_runtime"]
    history = trainer.state.log_history
    losses = [[log["step"], log["eval_loss"]] for log in history if "eval_loss" in log]
    return {
        "network": name,
        "length": length,
        "solved": losses[-1][1] < SOLVED,
        "steps": losses[-1][0],
        "mse": losses[-1][1],
        "largest_grad_norm": max(log["grad_norm"] for log in history if "grad_norm" in log),
        "memory": [log["gradient_flow/layer_0/memory"] for log in history if "gradient_flow/layer_0/memory" in log],
        "seconds": seconds,
        "losses": losses,
    }


def row(run: dict) -> str:
    outcome = f"solved in {run['steps']:,} steps" if run["solved"] else f"failed after {run['steps']:,} steps"
    return f"{run['network']:<34}{run['length']:>6}  {outcome:<26}{run['mse']:>8.4f}{run['largest_grad_norm']:>12.3g}"


def report(results: dict) -> str:
    """Both tables as text."""
    lines = ["", "Gradient flow over 200 steps, before training", ""]
    lines += [f"{'':<34}{'rate a step':>14}{'falls to 1 % at lag':>22}{'grows by':>12}"]
    for name, flow in results["flow"].items():
        lines.append(f"{name:<34}{flow['decay_rate']:>14.3f}{flow['memory_length']:>22}{flow['growth']:>12.3g}")
    lines += ["", "Adding problem", "", f"{'':<34}{'length':>6}  {'':<26}{'MSE':>8}{'grad norm <':>12}"]
    return "\n".join([*lines, *map(row, results["adding_problem"])])


def draw(flows: dict[str, GradientFlow], runs: list[dict], path: Path) -> None:
    """The flow on the left; beside it the errors on the adding problem over the steps, a panel for each length."""
    lengths = list(dict.fromkeys(run["length"] for run in runs))
    figure = new_figure(5.5 + 4 * len(lengths), 4.5)
    panels = figure.subplots(1, 1 + len(lengths), width_ratios=[1.3] + [1] * len(lengths), squeeze=False)[0]
    draw_gradient_flow(panels[0], flows)
    panels[0].set_title("Gradient before training")
    colours = {line.get_label(): line.get_color() for line in panels[0].get_lines()}
    for axes, length in zip(panels[1:], lengths, strict=True):
        for run in (run for run in runs if run["length"] == length):
            name = run["network"]
            style = "-" if name in colours else "--"
            colour = colours[name.removesuffix(", not clipped")]
            axes.plot(*zip(*run["losses"], strict=True), color=colour, linestyle=style, linewidth=1.2)
        for level, meaning in ((SOLVED, "solved"), (1 / 6, "always 1")):
            axes.axhline(level, color="black", linestyle=":", linewidth=1)
            axes.annotate(meaning, (0.02, level), xycoords=axes.get_yaxis_transform(), va="top", fontsize="small")
        axes.plot([], [], color="black", linestyle="--", label="dashed: not clipped")
        axes.legend(frameon=False, fontsize="small", loc="lower left")
        axes.set_ylim(2e-3, 1)
        axes.set(title=f"Adding problem, length {length}", xlabel="training step", ylabel="held-out MSE", yscale="log")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()

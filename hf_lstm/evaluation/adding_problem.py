# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The adding problem (Hochreiter & Schmidhuber 1997, section 5.4; Le et al. 2015, section 4.1): each step shows a number
from [0, 1] and a mark, which is 1 at two steps, one in each half of the sequence, and 0 elsewhere; the answer is the
sum of the two marked numbers. Who always answers 1 has a mean squared error of 1/6 = 0.167.

Glossary: B sequences, T steps.
"""

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch.utils.data import IterableDataset
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from .diagnostics import GradientFlow, GradientFlowCallback
from .plotting import draw_gradient_flow, new_figure


SOLVED = 0.01  # mean squared error on sequences that training has not seen


def adding_problem(number: int, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Sequences and their answers.

    Args:
        number (`int`): Number of sequences, B.
        length (`int`): Steps of each, T.
        seed (`int`): Seed of the numbers and marks.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: Numbers and marks, `(B, T, 2)`, and answers, `(B,)`.
    """
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(number, length, generator=generator)
    half = length // 2
    first = torch.randint(half, (number, 1), generator=generator)
    second = torch.randint(half, length, (number, 1), generator=generator)
    marks = torch.zeros(number, length).scatter_(1, torch.cat([first, second], 1), 1.0)
    return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(1)


def learn_adding(
    model: PreTrainedModel,
    length: int,
    steps: int,
    *,
    batch_size: int = 32,
    learning_rate: float = 5e-3,
    max_grad_norm: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Train on a CPU until the problem is solved or the steps are over, with AdamW at a constant rate, on sequences
    of which none comes twice.

    Args:
        model ([`PreTrainedModel`]): Reads two numbers a step, as `inputs_embeds`, and gives one at the end.
        length (`int`): Steps of a sequence, T.
        steps (`int`): Most steps of training.
        batch_size (`int`, *optional*, defaults to 32): Sequences of a step of training.
        learning_rate (`float`, *optional*, defaults to 0.005): Rate of AdamW.
        max_grad_norm (`float`, *optional*, defaults to 1.0): Norm at which gradients are clipped, 0 for not at all.
        seed (`int`, *optional*, defaults to 0): Seed of the sequences of training.

    Returns:
        `dict[str, Any]`: Whether it is `"solved"`, after how many `"steps"`, the `"mse"` then, the
        `"largest_grad_norm"`, the lags of `"memory"` that were measured meanwhile, `"seconds"`, and the `"losses"` on
        the way, a pair of step and held-out error each.
    """
    held_out = _rows(500, length, seed=-1)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=batch_size,
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
            seed=seed,
        )
        trainer = Trainer(
            model,
            arguments,
            train_dataset=_Endless(length, batch_size, seed),
            eval_dataset=held_out,
            callbacks=[_StopWhenSolved()],
        )
        trainer.add_callback(GradientFlowCallback(trainer, trainer.data_collator(held_out[:8]), every=steps // 2))
        trainer.remove_callback(PrinterCallback)
        seconds = trainer.train().metrics["train_runtime"]
    return {**_outcome(trainer.state.log_history), "seconds": seconds, "losses": _losses(trainer.state.log_history)}


def format_run(run: dict[str, Any]) -> str:
    """What came of [`learn_adding`] as a line of text; the run has a `"network"`, a `"length"` and a `"seed"`, too."""
    outcome = f"solved in {run['steps']:,} steps" if run["solved"] else f"failed after {run['steps']:,} steps"
    place = f"{run['network']:<34}{run['length']:>6}{run['seed']:>6}"
    return f"{place}  {outcome:<26}{run['mse']:>8.4f}{run['largest_grad_norm']:>12.3g}"


def format_runs(runs: list[dict[str, Any]]) -> str:
    """A table with a line of [`format_run`] for each run."""
    head = f"{'':<34}{'length':>6}{'seed':>6}  {'':<26}{'MSE':>8}{'grad norm <':>12}"
    return "\n".join(["Adding problem", "", head, *map(format_run, runs)])


def plot_adding_problem(
    flows: Mapping[str, GradientFlow], runs: Sequence[Mapping[str, Any]], path: str | os.PathLike
) -> None:
    """
    Draw how far gradients reach back before training; beside it errors on the adding problem over the steps, a panel
    for each length and a line for each seed. Save the picture.

    Args:
        flows (mapping of `str` to [`~diagnostics.GradientFlow`]): What was measured, by network.
        runs (sequence of mappings): What [`learn_adding`] returned, with the `"length"`, the `"seed"` and the
            `"network"`; a run of a network whose gradients were not clipped has ", not clipped" behind its name.
        path (`str` or `os.PathLike`): File to write; its extension, such as png or svg, says in what format.

    Raises:
        `ImportError`: If matplotlib is missing.
    """
    lengths = list(dict.fromkeys(run["length"] for run in runs))
    figure = new_figure(5.5 + 5 * len(lengths), 6)
    panels = figure.subplots(1, 1 + len(lengths), squeeze=False)[0]
    draw_gradient_flow(panels[0], flows)
    panels[0].set_title("Gradient before training")
    colours = {line.get_label(): line.get_color() for line in panels[0].get_lines()}
    for axes, length in zip(panels[1:], lengths, strict=True):
        _draw_runs(axes, [run for run in runs if run["length"] == length], colours)
        axes.set_title(f"Adding problem, length {length}")
    figure.savefig(path, dpi=100)


def _draw_runs(axes, runs: list[Mapping[str, Any]], colours: Mapping[str, str]) -> None:
    """The errors of runs of one length; in the legend, how many of each network solved the problem."""
    for name in dict.fromkeys(run["network"] for run in runs):
        own = [run for run in runs if run["network"] == name]
        solved = sorted(run["steps"] for run in own if run["solved"])
        when = f", after {', '.join(map(str, solved))} steps" if solved else ""
        label = f"{name}: {len(solved)} of {len(own)}{when}"
        for run in own:
            style = {"linestyle": "-" if name in colours else "--", "linewidth": 1.2, "label": label}
            axes.plot(*zip(*run["losses"], strict=True), color=colours[name.removesuffix(", not clipped")], **style)
            label = None
    for level, meaning in ((SOLVED, "solved"), (1 / 6, "always 1")):
        axes.axhline(level, color="black", linestyle=":", linewidth=1)
        axes.annotate(meaning, (0.02, level), xycoords=axes.get_yaxis_transform(), va="top", fontsize="small")
    axes.legend(frameon=False, fontsize="small", loc="lower left", title="solved by", alignment="left")
    axes.set(ylim=(1e-5, 1), xlabel="training step", ylabel="held-out MSE", yscale="log")
    axes.grid(alpha=0.3)


class _StopWhenSolved(TrainerCallback):
    """End a run as soon as it has solved the problem, or cannot any more."""

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        loss = metrics["eval_loss"]
        control.should_training_stop |= loss < SOLVED or not math.isfinite(loss)


class _Endless(IterableDataset):
    """Rows of the problem, made as they are needed."""

    def __init__(self, length: int, batch_size: int, seed: int):
        self.length, self.batch_size, self.seed = length, batch_size, seed

    def __iter__(self) -> Iterator[dict]:
        for batch in count(self.seed * 1_000_000):
            yield from _rows(self.batch_size, self.length, batch)


def _rows(number: int, length: int, seed: int) -> list[dict]:
    """The problem as a dataset for `Trainer`."""
    return [{"inputs_embeds": x, "labels": y} for x, y in zip(*adding_problem(number, length, seed), strict=True)]


def _losses(history: list[dict]) -> list[list[float]]:
    return [[log["step"], log["eval_loss"]] for log in history if "eval_loss" in log]


def _outcome(history: list[dict]) -> dict[str, Any]:
    steps, loss = _losses(history)[-1]
    return {
        "solved": loss < SOLVED,
        "steps": steps,
        "mse": loss,
        "largest_grad_norm": max(log["grad_norm"] for log in history if "grad_norm" in log),
        "memory": [log["gradient_flow/layer_0/memory"] for log in history if "gradient_flow/layer_0/memory" in log],
    }


__all__ = ["SOLVED", "adding_problem", "format_run", "format_runs", "learn_adding", "plot_adding_problem"]

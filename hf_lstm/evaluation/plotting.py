# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Pictures of training runs and networks. They need matplotlib, as nothing else does: `pip install matplotlib`."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np


def plot_training_curve(
    log_history: list[dict], path: str | os.PathLike, baselines: Mapping[str, float] | None = None, title: str = ""
) -> None:
    """
    Draw the training and evaluation loss of a run over its steps, and save the picture.

    Args:
        log_history (`list` of `dict`): `trainer.state.log_history`, or that of a `trainer_state.json`.
        path (`str` or `os.PathLike`): File to write; its extension, such as png or svg, says in what format.
        baselines (mapping of `str` to `float`, *optional*): Losses of other models, drawn as horizontal lines.
        title (`str`, *optional*): Title of the picture.

    Raises:
        `ImportError`: If matplotlib is missing.
        `ValueError`: If `log_history` holds no loss.
    """
    curves = {"training": "loss", "held out": "eval_loss"}
    points = {name: [(log["step"], log[key]) for log in log_history if key in log] for name, key in curves.items()}
    if not any(points.values()):
        raise ValueError(
            "`log_history` holds no `loss` and no `eval_loss`: train with `logging_strategy` other than 'no'."
        )

    figure = new_figure(7, 4.5)
    axes = figure.add_subplot(title=title, xlabel="step", ylabel="loss (nats per token)")
    for (name, curve), marker in zip(points.items(), (None, "o"), strict=True):
        if curve:
            axes.plot(*zip(*curve, strict=True), marker=marker, markersize=4, label=name)
    for i, (name, loss) in enumerate((baselines or {}).items(), start=2):
        axes.axhline(loss, color=f"C{i}", linestyle="--", linewidth=1, label=f"{name}, held out")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def plot_gradient_flow(flows: Mapping[str, Any], path: str | os.PathLike, title: str = "") -> None:
    """
    Draw how far gradients reach back in one or several networks, and save the picture.

    Args:
        flows (mapping of `str` to [`~diagnostics.GradientFlow`]): What was measured, by a name for the legend.
        path (`str` or `os.PathLike`): File to write; its extension, such as png or svg, says in what format.
        title (`str`, *optional*): Title of the picture.

    Raises:
        `ImportError`: If matplotlib is missing.
    """
    figure = new_figure(7, 4.5)
    draw_gradient_flow(figure.add_subplot(title=title), flows)
    figure.savefig(path, dpi=150)


def draw_gradient_flow(axes, flows: Mapping[str, Any], floor: float = 1e-12) -> None:
    """
    The picture of [`plot_gradient_flow`] on `axes` of matplotlib: a curve for each layer and direction, in units of
    its value at lag 0, down to `floor`.
    """
    for name, flow in flows.items():
        layers, directions, steps = flow.norms.shape
        for i in range(layers):
            for d in range(directions):
                label = [name] if name else []
                label += [f"layer {i}"] * (layers > 1 or not name) + ["backward"] * d
                curve = flow.norms[i, d] / (flow.norms[i, d, 0] or 1)
                axes.plot(range(steps), np.where(curve > 0, curve, np.nan), label=", ".join(label))
    axes.axhline(0.01, color="grey", linestyle=":", linewidth=1)
    axes.annotate("1 %", (0.98, 0.01), xycoords=axes.get_yaxis_transform(), ha="right", va="bottom", fontsize="small")
    bottom, top = axes.dataLim.intervaly
    axes.set(yscale="log", ylim=(max(bottom, floor) / 2, max(top, 1) * 2))
    axes.set(xlabel="lag k (steps back from the loss)", ylabel="norm of the gradient, lag 0 = 1")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")


def plot_gates(
    tokens: Sequence[str], gates: Mapping[str, np.ndarray], path: str | os.PathLike | BinaryIO, title: str = ""
) -> None:
    """
    Draw a heat map for each gate of a layer over a text, from closed (0) to open (1), and save the picture. Units
    stand in the order of their mean over the text, so that those that are open for long lie together.

    Args:
        tokens (sequence of `str`): The tokens, T of them, written below if there are at most 60.
        gates (mapping of `str` to `np.ndarray` of shape `(T, H)`): The gates.
        path (`str`, `os.PathLike` or a binary file): File to write; its extension, such as png or svg, says in what
            format. Into a file that is open goes a png.
        title (`str`, *optional*): Title of the picture.

    Raises:
        `ImportError`: If matplotlib is missing.
    """
    figure = new_figure(min(14, max(5, 2 + 0.2 * len(tokens))), 1 + 1.8 * len(gates))
    figure.suptitle(title)
    rows = figure.subplots(len(gates), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, gates.items(), strict=True):
        order = values.mean(0).argsort()
        image = axes.imshow(values[:, order].T, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        axes.set_ylabel(f"gate {name}\nunit, sorted")
    if len(tokens) <= 60:
        rows[-1].set_xticks(range(len(tokens)), tokens, rotation=90, fontsize="small", parse_math=False)
    else:
        rows[-1].set_xlabel("token")
    figure.colorbar(image, ax=list(rows), label="closed (0) to open (1)")
    figure.savefig(path, dpi=150)


def new_figure(width: float, height: float):
    """An empty figure of matplotlib, sizes in inches, that needs no display."""
    try:
        from matplotlib.figure import Figure  # not pyplot, which looks for a display
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: `pip install matplotlib`.") from error
    return Figure(figsize=(width, height), layout="constrained")

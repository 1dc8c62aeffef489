# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Pictures of training runs. They need matplotlib, which nothing else does: `pip install hf-lstm[plot]`."""

import os
from collections.abc import Mapping


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
    try:
        from matplotlib.figure import Figure  # not pyplot: a bare figure needs no display
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: `pip install hf-lstm[plot]`.") from error
    curves = {"training": "loss", "held out": "eval_loss"}
    points = {name: [(log["step"], log[key]) for log in log_history if key in log] for name, key in curves.items()}
    if not any(points.values()):
        raise ValueError(
            "`log_history` holds no `loss` and no `eval_loss`: train with `logging_strategy` other than 'no'."
        )

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="step", ylabel="loss (nats per token)")
    for (name, curve), marker in zip(points.items(), (None, "o"), strict=True):
        if curve:
            axes.plot(*zip(*curve, strict=True), marker=marker, markersize=4, label=name)
    for i, (name, loss) in enumerate((baselines or {}).items(), start=2):
        axes.axhline(loss, color=f"C{i}", linestyle="--", linewidth=1, label=f"{name}, held out")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)

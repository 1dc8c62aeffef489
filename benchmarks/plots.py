# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The cost of a real token in training, against the length and against the size of the batch, as a picture."""

import statistics
from pathlib import Path

from ragged import Passes, long_batch
from timing import Settings, time_in_turn


LENGTHS = (32, 64, 128, 256, 512, 1024)  # with 16 rows
ROWS = (1, 2, 4, 8, 16, 32, 64)  # of up to 64 steps
LONGEST_PACKED = 512  # beyond, one step of PackedSequence takes most of a minute on a CPU


def costs(passes: Passes, rows: int, length: int, settings: Settings) -> dict[str, float]:
    """Microseconds a real token, of each in turn."""
    batch = long_batch(settings.size(length), settings.size(rows), settings.size(256), settings.device)
    runs = {"hf_lstm": passes.ours([batch], True)}
    if length <= LONGEST_PACKED:
        runs["PackedSequence"] = passes.packed([batch], True)
    taken = time_in_turn(runs.values(), settings)
    return {name: 1e6 * statistics.median(t) / batch.tokens for name, t in zip(runs, taken, strict=True)}


def curves(settings: Settings) -> dict[str, list[dict]]:
    """What the picture shows."""
    passes = Passes(settings, input_size=256, hidden_size=256)
    return {
        "length": [{"x": length} | costs(passes, 16, length, settings) for length in LENGTHS],
        "batch": [{"x": rows} | costs(passes, rows, 64, settings) for rows in ROWS],
    }


def plot(points: dict[str, list[dict]], path: Path) -> None:
    """
    Draw the curves and save the picture.

    Raises:
        `ImportError`: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot: a bare figure needs no display
        from matplotlib.ticker import LogLocator
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: `pip install matplotlib`.") from error
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    titles = {"length": ("16 rows", "longest row (steps)"), "batch": ("up to 64 steps", "rows of a batch")}
    for axes, (kind, (title, label)) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        for name in ("hf_lstm", "PackedSequence"):
            curve = [(point["x"], point[name]) for point in points[kind] if name in point]
            axes.plot(*zip(*curve, strict=True), marker="o", markersize=4, label=name)
        ticks = [point["x"] for point in points[kind]]
        axes.set(title=title, xlabel=label, xscale="log", yscale="log")
        axes.set_xticks(ticks, labels=map(str, ticks))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("training, µs a real token")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=100)

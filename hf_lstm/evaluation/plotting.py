# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Pictures of training runs and networks. They need matplotlib, as nothing else does: `pip install matplotlib`."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from transformers.utils import logging

from .alignments import attention_array


logger = logging.get_logger(f"transformers.{__name__}")


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
        tokens, font = legible(tokens)
        rows[-1].set_xticks(range(len(tokens)), tokens, rotation=90, fontsize="small", parse_math=False, **font)
    else:
        rows[-1].set_xlabel("token")
    figure.colorbar(image, ax=list(rows), label="closed (0) to open (1)")
    figure.savefig(path, dpi=150)


def plot_attention(
    weights: np.ndarray,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    path: str | os.PathLike | BinaryIO,
    title: str = "",
) -> None:
    """
    Draw a heat map of who looked where, and save the picture: a row for each target token, a column for each source
    token, and of several heads a map for each. Characters that no font of the machine has are written as `\\u4f60`.

    Args:
        weights (`np.ndarray` or `torch.Tensor` of shape `(T, S)` or `(heads, T, S)`):
            Weights of attention of one pair.
        source_tokens (sequence of `str`): The S source tokens, special ones included.
        target_tokens (sequence of `str`): The T target tokens.
        path (`str`, `os.PathLike` or a binary file): File to write; its extension, such as png or svg, says in what
            format. Into a file that is open goes a png.
        title (`str`, *optional*): Title of the picture.

    Raises:
        `ImportError`: If matplotlib is missing.
        `ValueError`: If the shapes do not fit, or there are no tokens.
    """
    heads = attention_array(weights, source_tokens, target_tokens)
    if not heads.size:
        raise ValueError(f"`weights` has the shape {heads.shape}: give at least one head and a token of each side.")
    (title, *labels), font = legible([title, *source_tokens, *target_tokens])
    source, target = labels[: len(source_tokens)], labels[len(source_tokens) :]
    # Inches, of cells of 0.26 and letters of 0.09.
    width, height = (
        0.26 * len(source) + 0.09 * max(map(len, target)),
        0.26 * len(target) + 0.09 * max(map(len, source)),
    )
    figure = new_figure(max(3, width * len(heads) + 1.2), max(2, height + 0.8))
    maps = figure.subplots(1, len(heads), sharey=True, squeeze=False)[0]
    for i, (axes, values) in enumerate(zip(maps, heads, strict=True)):
        image = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        axes.set_xticks(range(len(source)), source, rotation=90, fontsize="small", parse_math=False, **font)
        axes.set_yticks(range(len(target)), target, fontsize="small", parse_math=False, **font)
        axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
        axes.set_xlabel(f"head {i}" if len(heads) > 1 else "")
    figure.suptitle(title, parse_math=False, **font)
    figure.colorbar(image, ax=list(maps), label="weight")
    figure.savefig(path, dpi=150)


def plot_speech(
    frames: np.ndarray,
    words: Sequence[Mapping[str, Any]],
    seconds: float,
    path: str | os.PathLike | BinaryIO,
    title: str = "",
) -> None:
    """
    Draw the features of a sound and where its words are, and save the picture.

    Args:
        frames (`np.ndarray` of shape `(N, M)`): The features of the sound, such as logarithms of mel energies.
        words (sequence of mappings): Of each word `"text"`, `"start"` and `"end"` (seconds), and perhaps
            `"confidence"`: what [`~recognizer.SpeechRecognizer`] gives.
        seconds (`float`): From frame to frame.
        path (`str`, `os.PathLike` or a binary file): File to write; its extension, such as png or svg, says in what
            format. Into a file that is open goes a png.
        title (`str`, *optional*): Title of the picture.

    Raises:
        `ImportError`: If matplotlib is missing.
        `ValueError`: If there is no frame.
    """
    if np.ndim(frames) != 2 or not len(frames):
        raise ValueError(f"`frames` has the shape {np.shape(frames)}: give at least one frame of some features.")
    length = len(frames) * seconds
    (title, *labels), font = legible([title, *(word["text"] for word in words)])
    figure = new_figure(min(40, max(5, 2.5 * length)), 3.2)
    axes = figure.add_subplot(xlabel="seconds", ylabel="feature")
    axes.imshow(frames.T, origin="lower", aspect="auto", cmap="magma", extent=(0, length, 0, frames.shape[1]))
    for word, label in zip(words, labels, strict=True):
        axes.axvspan(word["start"], word["end"], color="white", alpha=0.18)
        for edge in (word["start"], word["end"]):
            axes.axvline(edge, color="white", linewidth=0.8)
        sure = f"\n{word['confidence']:.2f}" if "confidence" in word else ""
        middle = (word["start"] + word["end"]) / 2
        axes.text(middle, frames.shape[1], label + sure, ha="center", va="bottom", parse_math=False, **font)
    figure.suptitle(title, parse_math=False, **font)
    figure.savefig(path, dpi=150)


def legible(labels: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """
    Labels that show, and the fonts to show them in: those of matplotlib, and where they lack a character, as they do
    all Chinese ones, others of the machine. What none has is written as Python would escape it.

    Args:
        labels (sequence of `str`): What to write.

    Returns:
        `tuple`: The labels, and the argument of `matplotlib.text.Text` that names the fonts.
    """
    matplotlib = _matplotlib()
    fonts, families = matplotlib.font_manager, list(matplotlib.rcParams["font.family"])
    missing = _missing("".join(labels), fonts.findfont(fonts.FontProperties()))
    # The upright face of each family that is nearest to regular; but one named Last Resort has a box for everything.
    upright = [font for font in fonts.fontManager.ttflist if font.style == "normal" and "Last Resort" not in font.name]
    faces = {font.name: font.fname for font in sorted(upright, key=lambda font: -abs(font.weight - 400))}
    lacking = {name: _missing(missing, path) for name, path in faces.items()} if missing else {}
    for name in sorted(lacking, key=lambda name: (len(lacking[name]), name)):
        left = [character for character in missing if character in lacking[name]]
        if len(left) < len(missing):
            families, missing = [*families, name], left
    if missing:
        logger.warning(
            f"No font of this machine has {' '.join(missing)}: the picture has their numbers. Install one that does, "
            f"such as Noto Sans CJK, and delete the lists of fonts in {matplotlib.get_cachedir()!r}."
        )
    escapes = {ord(character): ascii(character)[1:-1] for character in missing}
    return [label.translate(escapes) for label in labels], {"fontfamily": families}


def _missing(characters: Iterable[str], path: str) -> list[str]:
    """The characters, once each, that a font lacks; white space needs none."""
    font = _matplotlib().ft2font.FT2Font(path)
    return [c for c in dict.fromkeys(characters) if not c.isspace() and not font.get_char_index(ord(c))]


def new_figure(width: float, height: float):
    """An empty figure of matplotlib, sizes in inches, that needs no display."""
    return _matplotlib().figure.Figure(figsize=(width, height), layout="constrained")


def _matplotlib():
    try:
        import matplotlib.figure  # not pyplot, which looks for a display
        import matplotlib.font_manager
        import matplotlib.ft2font
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: `pip install matplotlib`.") from error
    return matplotlib

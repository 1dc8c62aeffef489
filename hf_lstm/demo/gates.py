# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The gates of the models of the demo."""

import io

from ..evaluation.diagnostics import GATES, gate_activations
from ..evaluation.plotting import plot_gates
from .models import Loaded


NAMES = {"i": "input gate i", "f": "forget gate f", "o": "output gate o", "r": "reset gate r", "z": "update gate z"}


def gate_choices(model) -> dict[str, list[tuple[str, int | str]]]:
    """What there is to choose from for the heat map: names and values of layers, directions and gates."""
    config = model.config
    return {
        "layer": [(f"layer {i + 1}", i) for i in range(config.num_hidden_layers)],
        "direction": [("forward", 0), ("backward", 1)][: config.num_directions],
        "gate": [("all gates", "all"), *((NAMES[gate], gate) for gate in GATES.get(config.model_type, ()))],
    }


def draw_gates(loaded: Loaded, text: str, layer: int, direction: int, gate: str) -> tuple[bytes, list[list]]:
    """
    A heat map of gates over a text.

    Args:
        loaded ([`Loaded`]): A model and its tokenizer.
        text (`str`): The text.
        layer (`int`): The layer, from 0.
        direction (`int`): 0 for the forward one, 1 for the backward one.
        gate (`str`): A letter of [`~diagnostics.gate_activations`], or `"all"`.

    Returns:
        `tuple[bytes, list[list]]`: A png; and for each gate its name, its mean, and what share of the time its units
        are closed and open.

    Raises:
        `ValueError`: for an empty text, and for a model without gates.
    """
    if not text.strip():
        raise ValueError("The text is empty. Type a sentence, or choose one of the examples.")
    activations = gate_activations(*loaded, text)
    gates = {name: a[layer, direction] for name, a in activations.gates.items() if gate in ("all", name)}
    picture = io.BytesIO()
    plot_gates(activations.tokens, gates, picture)
    rows = [[NAMES[name], *map(float, (a.mean(), (a < 0.1).mean(), (a > 0.9).mean()))] for name, a in gates.items()]
    return picture.getvalue(), rows

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The models that several cases measure."""

from collections.abc import Callable

import torch
from timing import Settings
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import hf_lstm


TORCH_CLASSES = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
SHAPES = {"3 M": (256, 1, 10_000), "28 M": (650, 2, 33_000)}  # parameters: H, L, V


def language_model(family: str, hidden_size: int, layers: int, vocab_size: int, settings: Settings):
    size = settings.size
    fields = {"vocab_size": size(vocab_size), "hidden_size": size(hidden_size), "num_hidden_layers": layers}
    config = getattr(hf_lstm, f"{family}Config")(**fields)
    model = getattr(hf_lstm, f"{family}ForCausalLM")(config).eval()
    model.generation_config.eos_token_id = None
    return model.to(settings.device)


def encoder(family: str, settings: Settings, *, input_size: int, hidden_size: int, layers=1, bidirectional=False):
    """A backbone of ours, which is fed embeddings, and torch's module with the same weights."""
    input_size, hidden_size = settings.size(input_size), settings.size(hidden_size)
    theirs = TORCH_CLASSES[family](input_size, hidden_size, layers, batch_first=True, bidirectional=bidirectional)
    config = getattr(hf_lstm, f"{family}Config")(
        vocab_size=1,
        embedding_size=input_size,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        bidirectional=bidirectional,
    )
    ours = getattr(hf_lstm, f"{family}Model")(config)
    ours.load_torch_weights(theirs)
    return ours.to(settings.device), theirs.to(settings.device)


def gpt2_of_size(parameters: int, vocab_size: int, length: int):
    """A GPT-2 with about as many parameters, of the shape usual for its size: head size 64 and at least 4 layers."""

    def count(width, layers):
        return vocab_size * width + length * width + layers * (12 * width**2 + 13 * width) + 2 * width

    shapes = [(width, layers) for width in range(64, 1024, 64) for layers in range(4, 17)]
    width, layers = min(shapes, key=lambda shape: abs(count(*shape) - parameters))
    sizes = {"n_embd": width, "n_layer": layers, "n_head": width // 64, "n_positions": length}
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocab_size, bos_token_id=1, eos_token_id=None, **sizes)).eval()


def training(model, data: list[dict], learning_rate: float = 1e-3) -> Callable[[], None]:
    """An epoch over batches with labels, with the step of AdamW; what is frozen stays."""
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, learning_rate, fused=True)

    def epoch():
        for batch in data:
            optimizer.zero_grad()
            model.train()(**batch).loss.backward()
            optimizer.step()

    return epoch


def labelling(model, data: list[dict]) -> Callable[[], None]:
    """What a model says of batches, whose labels it does not see."""
    inputs = [{name: value for name, value in batch.items() if name != "labels"} for batch in data]

    @torch.no_grad()
    def epoch():
        for batch in inputs:
            model.eval()(**batch)

    return epoch


def step(run, train: bool):
    """One forward pass, or one with the gradients of the sum of its outputs, of `run` without arguments."""
    with torch.set_grad_enabled(train):
        outputs = run()
        if train:
            outputs.sum().backward()
    return outputs

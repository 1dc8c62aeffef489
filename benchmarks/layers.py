# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Layers without and under a mask, single steps, and half precision, against torch's own modules and kernels."""

from collections.abc import Iterator
from functools import partial

import torch
from machine import has_amx
from models import TORCH_CLASSES, encoder, language_model, step
from timing import Comparison, Settings
from torch import nn

from hf_lstm.models.layers import has_bf16_without_tiles


MODES = {"inference": False, "training step": True}


class Bare(nn.Module):
    """Embedding, torch's own module and output layer, with the weights of one of our language models."""

    def __init__(self, model, family: str):
        super().__init__()
        config = model.config
        self.embedding, self.output = model.model.embed_tokens, model.lm_head
        sizes = (config.input_size, config.hidden_size, config.num_hidden_layers)
        self.rnn = TORCH_CLASSES[family](*sizes, batch_first=True, device=model.device)
        for i, layer in enumerate(model.model.layers):
            for name, parameter in layer.named_parameters():
                getattr(self.rnn, name.replace("_l0", f"_l{i}")).data = parameter.data

    def forward(self, ids):
        return self.output(self.rnn(self.embedding(ids))[0])


def forward(settings: Settings) -> Iterator[Comparison]:
    """
    A language model without a mask, against `nn.Embedding`, torch's own module and `nn.Linear`. Its vocabulary is
    small: the output layer is the same in both, and would hide the layers.
    """
    for family in TORCH_CLASSES:
        for hidden_size, layers in ((256, 1), (650, 2)):
            model = language_model(family, hidden_size, layers, 1000, settings)
            bare = Bare(model, family)
            batch = settings.size(32), settings.size(64)
            ids = torch.randint(model.config.vocab_size, batch, device=settings.device)
            torch.testing.assert_close(model(ids).logits, bare(ids), atol=1e-4, rtol=1e-4)
            for mode, train in MODES.items():

                def ours(model=model, ids=ids, train=train):
                    model.train(train)
                    step(lambda: model(ids).logits, train)

                def theirs(bare=bare, ids=ids, train=train):
                    bare.train(train)
                    step(lambda: bare(ids), train)

                name = f"{family} {hidden_size} x {layers}, V 1000, batch {batch[0]} x {batch[1]}, {mode}"
                yield Comparison(name, "<= 1.10", f"nn.{family}", ours, theirs)


def masked(settings: Settings) -> Iterator[Comparison]:
    """An LSTM under a mask, against `nn.LSTM` on the same padded tensor, which is not exact."""
    length = settings.size(48)
    for size, layers, bidirectional in ((256, 1, True), (650, 2, False)):
        sizes = {"input_size": size, "hidden_size": size, "layers": layers, "bidirectional": bidirectional}
        model, bare = encoder("LSTM", settings, **sizes)
        inputs = torch.randn(settings.size(32), length, settings.size(size), device=settings.device)
        lengths = torch.randint(max(1, length // 4), length + 1, (len(inputs), 1), device=settings.device)
        right = (torch.arange(length, device=settings.device) < lengths).long()
        for side, mask in (("right", right), ("left", right.flip(1))):
            for mode, train in MODES.items():

                def ours(model=model, inputs=inputs, mask=mask, train=train):
                    model.train(train)
                    step(lambda: model(inputs_embeds=inputs, attention_mask=mask).last_hidden_state, train)

                def theirs(bare=bare, inputs=inputs, train=train):
                    bare.train(train)
                    step(lambda: bare(inputs)[0], train)

                directions = "both directions" if bidirectional else "forward"
                name = f"LSTM {size} x {layers}, {directions}, padding on the {side}, {mode}"
                yield Comparison(name, "<= 1.08", "nn.LSTM, padding not masked", ours, theirs)


def gru(settings: Settings) -> Iterator[Comparison]:
    """The training step of a GRU without a mask, whose kernel is our own on a CPU."""
    for size, layers in ((256, 1), (650, 2)):
        model, bare = encoder("GRU", settings, input_size=size, hidden_size=size, layers=layers)
        batch = settings.size(32), settings.size(48)
        inputs = torch.randn(*batch, settings.size(size), device=settings.device)
        model.train()
        ours = partial(step, lambda m=model, x=inputs: m(inputs_embeds=x).last_hidden_state, True)
        theirs = partial(step, lambda m=bare, x=inputs: m(x)[0], True)
        name = f"GRU {size} x {layers}, batch {batch[0]} x {batch[1]}, training step"
        yield Comparison(name, ">= 1.1", "nn.GRU", ours, theirs)


def decoding(settings: Settings) -> Iterator[Comparison]:
    """
    One step of one layer with batch 1 against the bare cell over the same weights: the function that `generate` calls
    for each token, and a call of the layer, which is what a user's own loop of model calls does. Beside the cell the
    former costs about 6 us and the latter 40, whatever the size: torch's own call of a module is a part of that.
    """
    steps = settings.size(100)
    for size, bars in ((256, ("<= 1.10", "<= 1.65")), (650, ("<= 1.05", "<= 1.20"))):
        model, _ = encoder("LSTM", settings, input_size=size, hidden_size=size)
        layer = model.eval().layers[0]
        weights = list(layer.parameters())
        inputs = torch.randn(1, 1, settings.size(size), device=settings.device)

        @torch.no_grad()
        def in_generate(layer=layer, inputs=inputs[0]):
            state, cell = (inputs.new_zeros(1, layer.hidden_size),) * 2, layer.cell_function()
            for _ in range(steps):
                state = cell(inputs, state)
            return state

        @torch.no_grad()
        def by_call(layer=layer, inputs=inputs):
            state = (inputs.new_zeros(1, 1, layer.hidden_size),) * 2
            for _ in range(steps):
                _, state, _ = layer(inputs, state)
            return state

        @torch.no_grad()
        def theirs(weights=weights, inputs=inputs[0], size=layer.hidden_size):
            state = (inputs.new_zeros(1, size),) * 2
            for _ in range(steps):
                state = torch.lstm_cell(inputs, state, *weights)
            return state

        torch.testing.assert_close((in_generate()[0], by_call()[0][0]), (theirs()[0], theirs()[0]))
        for ours, way, bar in zip(
            (in_generate, by_call), ("in generate", "by a call of the layer"), bars, strict=True
        ):
            name = f"LSTM {size}, one step, batch 1, {way}"
            yield Comparison(name, bar, "torch.lstm_cell", ours, theirs, "us a token", (steps, steps))


def bf16(settings: Settings) -> Iterator[Comparison]:
    """Training under autocast to bfloat16, against the same model in float32; the bar needs AMX."""
    model, _ = encoder("LSTM", settings, input_size=256, hidden_size=256, bidirectional=True)
    model.train()
    batch = settings.size(32), settings.size(48)
    inputs = torch.randn(*batch, settings.size(256), device=settings.device)

    def full():
        step(lambda: model(inputs_embeds=inputs).last_hidden_state, True)

    def half():
        with torch.autocast(settings.device, torch.bfloat16):
            full()

    name = f"LSTM 256 x 1, both directions, batch {batch[0]} x {batch[1]}, training step in bfloat16"
    if settings.device == "cpu":
        name += ", CPU with AMX" if has_amx() else ", CPU without AMX"
    yield Comparison(name, ">= 1.6", "float32", half, full, judged=has_amx())


def bf16_kernel(settings: Settings) -> Iterator[Comparison]:
    """Training in bfloat16, whose kernel is our own on a CPU that has the type and no tiles, against `nn.LSTM`."""
    for size, layers, shape in ((650, 2, (20, 35)), (1150, 3, (40, 70))):
        model, bare = encoder("LSTM", settings, input_size=size, hidden_size=size, layers=layers)
        model, bare = model.bfloat16().train(), bare.bfloat16()
        batch = settings.size(shape[0]), settings.size(shape[1])
        inputs = torch.randn(*batch, settings.size(size), device=settings.device, dtype=torch.bfloat16)
        ours = partial(step, lambda m=model, x=inputs: m(inputs_embeds=x).last_hidden_state, True)
        theirs = partial(step, lambda m=bare, x=inputs: m(x)[0], True)
        runs = settings.device == "cpu" and has_bf16_without_tiles()
        name = f"LSTM {size} x {layers}, batch {batch[0]} x {batch[1]}, training step in bfloat16"
        name += "" if runs else ", not our own"
        yield Comparison(name, "<= 0.9", "nn.LSTM", ours, theirs, slow=size > 1000, judged=runs)

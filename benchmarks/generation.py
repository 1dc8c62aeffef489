# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""`generate` against a bare loop of the cell, sampling against greedy search, ours against a GPT-2 of equal size."""

from collections.abc import Iterator
from functools import partial

import torch
from models import SHAPES, gpt2_of_size, language_model
from timing import Comparison, Settings


def _generate(model, tokens: int, rows: int = 1, **options) -> torch.Tensor:
    """New tokens after one and the same first token: -> (B, N)."""
    prompt = torch.ones(rows, 1, dtype=torch.long, device=model.device)
    options = {"do_sample": False, "pad_token_id": 0, "max_new_tokens": tokens} | options
    return model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)[:, 1:]


@torch.no_grad()
def _bare_loop(model, steps: int) -> torch.Tensor:
    """Greedy search with nothing but the cell and the output layer: -> (1, N)."""
    layers = [list(layer.parameters()) for layer in model.model.layers]
    states = [(torch.zeros(1, model.config.hidden_size, device=model.device),) * 2 for _ in layers]
    token, tokens = torch.ones(1, dtype=torch.long, device=model.device), []
    for _ in range(steps):
        x = model.model.embed_tokens.weight[token]
        for i, weights in enumerate(layers):
            states[i] = torch.lstm_cell(x, states[i], *weights)
            x = states[i][0]
        token = model.lm_head(x).argmax(-1)
        tokens.append(token)
    return torch.stack(tokens, dim=1)


def greedy(settings: Settings) -> Iterator[Comparison]:
    """Greedy search with batch 1 against the bare loop: what `generate` adds."""
    tokens = settings.size(128)
    for parameters, bar in (("3 M", "<= 1.25"), ("28 M", "<= 1.06")):
        model = language_model("LSTM", *SHAPES[parameters], settings)
        assert torch.equal(_generate(model, 20), _bare_loop(model, 20))
        ours, theirs = partial(_generate, model, tokens), partial(_bare_loop, model, tokens)
        name = f"LSTM of {parameters}, greedy, {tokens} tokens, batch 1"
        yield Comparison(name, bar, "bare loop of torch.lstm_cell", ours, theirs, "us a token", (tokens, tokens))


def sampling(settings: Settings) -> Iterator[Comparison]:
    """What drawing a token adds to taking the likeliest."""
    tokens, model = settings.size(128), language_model("LSTM", *SHAPES["28 M"], settings)
    theirs = partial(_generate, model, tokens)
    for kind, top_k in (("top-k 50", 50), ("temperature only", 0)):
        ours = partial(_generate, model, tokens, do_sample=True, temperature=0.8, top_k=top_k)
        name = f"LSTM of 28 M, sampling, {kind}, {tokens} tokens, batch 1"
        yield Comparison(name, "<= 1.15", "greedy", ours, theirs, "us a token", (tokens, tokens))


def gpt2(settings: Settings) -> Iterator[Comparison]:
    """Greedy search for a long text, mean over all of its tokens; the bars are those of 2,048 tokens."""
    tokens = settings.size(256 if settings.quick else 2048)
    table = (("3 M", 1, ">= 2"), ("28 M", 1, ">= 1.4"), ("3 M", 16, ">= 3"), ("28 M", 16, ">= 3"))
    for parameters, rows, bar in table:
        model = language_model("LSTM", *SHAPES[parameters], settings)
        peer = gpt2_of_size(model.num_parameters(), model.config.vocab_size, tokens + 1).to(settings.device)
        ours, theirs = partial(_generate, model, tokens, rows), partial(_generate, peer, tokens, rows)
        yield Comparison(
            f"LSTM of {parameters}, greedy, {tokens} tokens, batch {rows}",
            bar,
            f"GPT-2 of {peer.num_parameters() / 1e6:.1f} M",
            ours,
            theirs,
            unit="us a token",
            work=(tokens * rows, tokens * rows),
            slow=(parameters, rows) != ("3 M", 1),
            judged=not settings.quick,
        )

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The loss of a language model: without holding its logits, and with other output layers than the plain one."""

from collections.abc import Callable, Iterator

import torch
from timing import Comparison, Settings
from torch import nn

from hf_lstm import LSTMConfig
from hf_lstm.models.losses import linear_cross_entropy
from hf_lstm.models.output_layers import default_cutoffs, fused_loss, output_layer


# Fields of the configuration; what the layer may cost beside the plain one: time for 10, 33 and 268 thousand tokens,
# and memory. The tied one took 0.29 to 0.31 of the time, by the processor.
OUTPUT_LAYERS = {
    "adaptive softmax, tied": ({"output_layer": "adaptive"}, ("<= 0.32", "<= 0.32", "<= 0.35"), "<= 1.5"),
    "adaptive softmax": (
        {"output_layer": "adaptive", "tie_word_embeddings": False},
        ("<= 0.2", "<= 0.2", "<= 0.2"),
        "<= 0.6",
    ),
    "mixture of 10 softmaxes": ({"output_layer": "mixture"}, ("<= 13", "<= 13", "<= 13"), "<= 1.1"),
}


def loss(settings: Settings) -> Iterator[Comparison]:
    """Loss and gradients of the output layer: time, and the most memory beyond what was held before."""
    tokens = settings.size(2048)
    for vocab_size, features in ((10_000, 256), (33_000, 650)):
        head = nn.Linear(settings.size(features), settings.size(vocab_size), device=settings.device)
        hidden = torch.randn(tokens, head.in_features, device=settings.device, requires_grad=True)
        targets = torch.randint(head.out_features, (tokens,), device=settings.device)

        def theirs(hidden=hidden, head=head, targets=targets):
            loss = nn.functional.cross_entropy(head(hidden), targets)
            loss.backward()
            return loss

        def ours(hidden=hidden, head=head, targets=targets):
            loss = linear_cross_entropy(hidden, head.weight, head.bias, targets)
            loss.backward()
            return loss

        torch.testing.assert_close(ours(hidden[:32], targets=targets[:32]), theirs(hidden[:32], targets=targets[:32]))
        name = f"cross-entropy, V {vocab_size}, F {features}, {tokens} tokens, forward and backward"
        yield Comparison(f"{name}, time", "<= 0.95", "cross_entropy on all logits", ours, theirs)
        yield Comparison(f"{name}, memory", "<= 0.2", "cross_entropy on all logits", ours, theirs, unit="MiB")
    yield from _other_layers(settings)


def _other_layers(settings: Settings) -> Iterator[Comparison]:
    """Adaptive softmax and a mixture, for words that follow Zipf's law; the mixture on a tenth of the tokens."""
    tokens, features = settings.size(700), settings.size(256)
    for i, vocab_size in enumerate(map(settings.size, (10_000, 33_000, 268_000))):
        targets = torch.multinomial(1 / torch.arange(1, vocab_size + 1.0), tokens, replacement=True)
        targets = targets.to(settings.device)
        plain = _training({}, targets, vocab_size, features)
        for name, (fields, bars, memory_bar) in OUTPUT_LAYERS.items():
            some = targets[: max(1, tokens // 10)] if "mixture" in name else targets
            pair = _training(fields, some, vocab_size, features), plain
            case = f"{name}, V {vocab_size}, F {features}, {tokens} tokens, forward and backward"
            work = {"unit": "us a token", "work": (len(some), tokens)}
            yield Comparison(f"{case}, time", bars[i], "plain output layer, fused loss", *pair, **work)
            yield Comparison(f"{case}, memory", memory_bar, "plain output layer, fused loss", *pair, unit="MiB")


def _training(fields: dict, targets: torch.Tensor, vocab_size: int, features: int) -> Callable[[], object]:
    """The loss of an output layer and all its gradients, which are kept nowhere."""
    sizes = {"vocab_size": vocab_size, "hidden_size": features, "adaptive_cutoffs": default_cutoffs(vocab_size)}
    layer = output_layer(LSTMConfig(**sizes, **fields)).to(targets.device)
    hidden = torch.randn(len(targets), features, device=targets.device, requires_grad=True)

    inputs = [hidden, *layer.parameters()]
    return lambda: torch.autograd.grad(fused_loss(layer, hidden, targets, None), inputs)

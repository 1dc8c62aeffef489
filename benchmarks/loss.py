# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The loss of a language model without holding its logits, against cross-entropy on all of them."""

from collections.abc import Iterator

import torch
from timing import Comparison, Settings
from torch import nn

from hf_lstm.loss_recurrent import linear_cross_entropy


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

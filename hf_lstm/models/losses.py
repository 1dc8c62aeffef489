# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What losses divide by, what labels may be, and a cross-entropy that never holds the logits of a whole batch."""

from collections.abc import Iterable

import torch

from .tracing import is_captured, is_exported


CHUNK_ELEMENTS = 2**21  # logits computed at a time: 8 MB in fp32, which stay in the cache
# A row of logits starts at a multiple of so many numbers, 64 bytes in fp32. Elsewhere products are slower: the loss
# takes 1.15 times as long with 33,278 tokens, 1.2 times with 10,001 (F 200, 700 rows, one thread of an AMD EPYC).
ALIGNED = 16


def divisor(num_items: int | torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What a sum over `num_items` is divided by: infinity for none, so that loss and gradient of no target are 0."""
    num_items = torch.as_tensor(num_items, device=like.device).to(torch.promote_types(like.dtype, torch.float32))
    return num_items.where(num_items > 0, torch.inf)


def check_labels(labels: torch.Tensor, num_labels: int, name: str = "labels", size: str = "num_labels") -> None:
    """
    Refuse labels out of range: on a GPU they would end the process.

    Raises:
        `ValueError`: If there are any.
    """
    if labels.dtype != torch.long:
        raise ValueError(f"`{name}` must hold whole numbers (`torch.long`), got {labels.dtype}: use `.long()`.")
    if is_captured() or is_exported() or not labels.numel():  # a graph may not depend on values
        return
    least, most = torch.stack(labels.masked_fill(labels == -100, 0).aminmax()).tolist()
    if least < 0 or most >= num_labels:
        raise ValueError(
            f"`{name}` holds {least if least < 0 else most}, but `{size}` is {num_labels}: give numbers from 0 to "
            f"{num_labels - 1}, and -100 where there is no label."
        )


def rows_at_a_time(weight: torch.Tensor) -> int:
    """
    Rows of a chunk: few, for the cache and for memory; but at least F / 2 of them, since the gradient of the whole
    weight, V * F numbers, is read and written for each chunk as its logits are, rows * V numbers, a few times over.
    """
    # Kernels of half precision put the weight in another order at each call: with V 33,000, F 200 and 700 rows in
    # bf16, chunks of 512 rows take 1.0 times as long as all logits at once, of 100 rows 1.2 times (one thread of an
    # AMD EPYC).
    least = weight.shape[1] // 2 if weight.element_size() > 2 else max(512, weight.shape[1] // 2)
    return max(1, CHUNK_ELEMENTS // weight.shape[0], least)


def score_buffer(features: torch.Tensor, rows: int, vocab_size: int) -> torch.Tensor:
    """Room for [`scores_in`], since fresh memory costs as much as the arithmetic."""
    return features.new_empty(rows, vocab_size + -vocab_size % ALIGNED)


def scores_in(
    buffer: torch.Tensor, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Scores of features (N, F) in the first N rows of the buffer: (N, V and some more, which are -inf)."""
    rows = buffer[: len(features)]
    scores = rows[:, : len(weight)]
    if bias is None:
        torch.mm(features, weight.T, out=scores)
    else:
        torch.addmm(bias, features, weight.T, out=scores)
    rows[:, len(weight) :] = -torch.inf  # each time, since a softmax may take the place of the scores
    return rows


class _LinearCrossEntropy(torch.autograd.Function):
    """
    Gradients are computed in the forward pass, chunk by chunk, while the logits of the chunk are at hand: with p the
    softmax of the logits and y the target distribution, the gradient of the summed loss by the logits is p - y. It is
    one-hot, or, with label smoothing, (1 - smoothing) of that and smoothing / V everywhere.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, scale, smoothing):
        precise = torch.promote_types(hidden.dtype, torch.float32)
        total = hidden.new_zeros((), dtype=precise)
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight, dtype=precise) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias, dtype=precise) if ctx.needs_input_grad[2] else None
        rows = max(1, min(len(targets), rows_at_a_time(weight)))
        size = weight.shape[0]
        logits = score_buffer(hidden, rows, size)
        # The softmax on a CPU reads a row before it writes it, and may take the place of the logits.
        in_place = logits.dtype == precise and logits.device.type == "cpu"
        probabilities = logits if in_place else torch.empty_like(logits, dtype=precise)
        for start in range(0, len(targets), rows):
            chunk, target = hidden[start : start + rows], targets[start : start + rows, None]
            scores = scores_in(logits, chunk, weight, bias)
            highest, wanted = scores.amax(dim=1, keepdim=True), scores.gather(1, target)
            if smoothing:
                mean = scores[:, :size].mean(1, keepdim=True, dtype=precise)
                wanted = (1 - smoothing) * wanted.to(precise) + smoothing * mean
            p = torch.softmax(scores, 1, dtype=precise, out=probabilities[: len(chunk)])[:, :size]
            # log sum exp = max - log p(max): the most probable class cannot underflow.
            total += (highest - p.amax(dim=1, keepdim=True).log() - wanted).sum()
            if smoothing:
                p -= smoothing / size
            p.scatter_add_(1, target, torch.full_like(target, smoothing - 1, dtype=precise))  # by the logits
            if grad_bias is not None:
                grad_bias += p.sum(0)
            p = p.to(chunk.dtype)
            if grad_hidden is not None:
                torch.mm(p, weight, out=grad_hidden[start : start + rows])
            chunk = chunk * scale  # the smallest of the factors
            if grad_weight is not None and chunk.dtype == precise:
                grad_weight.addmm_(p.T, chunk)
            elif grad_weight is not None:
                grad_weight += p.T @ chunk
        for gradient in (grad_hidden, grad_bias):
            if gradient is not None:
                gradient *= scale
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        return total * scale

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_total):
        return *gradients_of(ctx.saved_tensors, ctx.dtypes, grad_total), None, None, None


def gradients_of(gradients: Iterable, dtypes: Iterable, grad_total: torch.Tensor) -> list[torch.Tensor | None]:
    """Gradients of a loss from the forward pass, times that of the loss itself, in the types of the inputs."""
    if grad_total.device.type != "cpu" or grad_total != 1:  # looking costs little on a CPU, and spares a copy of V * F
        gradients = [None if each is None else each * grad_total.to(each.dtype) for each in gradients]
    return [None if each is None else each.to(dtype) for each, dtype in zip(gradients, dtypes, strict=True)]


def linear_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    num_items: int | torch.Tensor | None = None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """
    Cross-entropy of the softmax of a linear layer, in nats and at least fp32, without holding the logits of the batch.

    Args:
        hidden (`torch.Tensor` of shape `(..., F)`): Inputs of the layer.
        weight (`torch.Tensor` of shape `(V, F)`), bias (`torch.Tensor` of shape `(V,)`, *optional*): Its parameters.
        targets (`torch.LongTensor` of shape `(...)`): Class of each row; rows of -100 are left out, at no cost.
        num_items (`int` or `torch.Tensor`, *optional*): What the sum is divided by; the number of rows if absent.
        smoothing (`float`, defaults to 0.0): Label smoothing: the share of a target that is spread over all classes
            (Szegedy et al. 2016, section 7), as of `torch.nn.CrossEntropyLoss`.

    Returns:
        `torch.Tensor`: The loss, a scalar; 0 without any row or item.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight, bias = (None if t is None else t.to(dtype) for t in (hidden, weight, bias))
    rows = (targets != -100).flatten()
    hidden, targets = hidden.flatten(0, -2)[rows], targets.flatten()[rows]
    scale = 1 / divisor(len(targets) if num_items is None else num_items, hidden)
    with torch.autocast(device, enabled=False):
        return _LinearCrossEntropy.apply(hidden, weight, bias, targets, scale, smoothing)

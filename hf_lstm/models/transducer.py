# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The loss of the transducer (Graves 2012). B batch, T steps, U labels of the longest row, R = U + 1 places between them,
V labels with the blank, J units of the joint network. A node (t, u) is step t after u labels: from there the blank
leads to (t + 1, u), and label u + 1 to (t, u + 1); the blank at the last step of the last place ends.
"""

import torch
import torch.nn.functional as F

from .tracing import is_captured


CHUNK_ELEMENTS = 1 << 18  # numbers of the joint network at a time, which stay in the cache of a core
KEPT_ELEMENTS = 1 << 23  # as many are kept for the backward pass; to compute them again costs a quarter to a half


def _skewed(values: torch.Tensor) -> torch.Tensor:
    """Nodes by anti-diagonals, n = t + u, (B, T, R) -> (T + R - 1, B, R), -inf where there is none."""
    length, places = values.shape[1:]
    width = length + places - 1
    padded = F.pad(values.transpose(1, 2), (0, width + 1 - length), value=-torch.inf)  # each row one longer than wide
    return padded.flatten(1)[:, : places * width].unflatten(1, (places, width)).permute(2, 0, 1)


def _scan(by_blank: torch.Tensor, by_label: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """
    Sums over all ways to each node, in the logarithm: on anti-diagonal n, (N, R), x_n[u] =
    log(exp(x_{n-1}[u] + by_blank_n[u]) + exp(x_{n-1}[u-1] + by_label_n[u])); `first`, (N,), is x_0[0].
    """
    width, rows, places = by_blank.shape
    found = by_blank.new_full((width, rows, places + 1), -torch.inf)  # with a place in front that nothing reaches
    found[0, :, 1] = first
    other = by_blank.new_empty(rows, places)
    stays, moves = found[:, :, 1:].unbind(), found[:, :, :-1].unbind()
    for n, (blank, label) in enumerate(zip(by_blank.unbind()[1:], by_label.unbind()[1:], strict=True), 1):
        torch.add(moves[n - 1], label, out=other)
        torch.add(stays[n - 1], blank, out=stays[n])
        torch.logaddexp(stays[n], other, out=stays[n])
    return found[:, :, 1:]


def _nodes(steps: torch.Tensor, lengths: torch.Tensor, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
    """Which nodes there are, and from which of them a label leads on: (B, T, R) each."""
    step = torch.arange(shape[1], device=steps.device)[:, None]
    place = torch.arange(shape[2], device=steps.device)
    real, lengths = step < steps[:, None, None], lengths[:, None, None]
    return real & (place <= lengths), real & (place < lengths)


def _ways(
    blank: torch.Tensor, label: torch.Tensor, steps: torch.Tensor, lengths: torch.Tensor, occupied: bool
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """
    By log-probabilities of blank and label at each node, (B, T, R), -inf where no node is or no label follows: the
    losses, (B,) (Graves 2012, equations 16 to 18); if `occupied`, how probable it is that a way leaves a node by its
    blank and by its label, (B, T, R), which is minus the gradient of the loss (equation 20).
    """
    rows, length, places = blank.shape
    step = torch.arange(length, device=blank.device)[:, None]
    place = torch.arange(places, device=blank.device)
    row = torch.arange(rows, device=blank.device)[:, None, None]
    # The backward variables are found as forward ones of each row from its end: both in one loop.
    back_t, back_u = steps[:, None, None] - 1 - step, lengths[:, None, None] - place
    inside = (back_t >= 0) & (back_u >= 0)
    back_t, back_u = back_t.clamp(min=0), back_u.clamp(min=0)
    turned = (row * length + back_t) * places + back_u
    by_blank, by_label = (_skewed(each.take(turned).where(inside, -torch.inf)) for each in (blank, label))
    first = by_blank[0, :, 0]
    if occupied:
        onward, along = _skewed(blank), _skewed(label)  # those of the node before, on the diagonal before
        by_blank = torch.cat([F.pad(onward[:-1], (0, 0, 0, 0, 1, 0)), by_blank], 1)
        by_label = torch.cat([F.pad(along[:-1, :, :-1], (1, 0, 0, 0, 1, 0), value=-torch.inf), by_label], 1)
        first = torch.cat([torch.zeros_like(first), first])
    found = _scan(by_blank, by_label, first)
    before = found.shape[1] - rows  # rows of the forward variables
    ends = (steps - 1).clamp(min=0) + lengths, torch.arange(before, before + rows, device=steps.device), lengths
    total, empty = found[ends], steps == 0
    losses = -total.masked_fill(empty, 0)
    if not occupied:
        return losses, None, None

    def at(n, which, u):
        return found.reshape(-1).take((n * found.shape[1] + which) * places + u)

    alpha = at(step + place, row, place)
    beta = at(back_t + back_u, row + rows, back_u).where(inside, -torch.inf)
    after = F.pad(beta, (0, 1, 0, 1), value=-torch.inf)  # (B, T + 1, R + 1), with the end behind the last blank
    after[row[:, 0, 0], steps, lengths] = 0
    alpha = alpha - total.masked_fill(empty, 0)[:, None, None]
    by = (alpha + blank + after[:, 1:, :-1]).exp(), (alpha + label + after[:, :-1, 1:]).exp()
    return losses, *(each.masked_fill(empty[:, None, None], 0) for each in by)


def check_steps(steps: torch.Tensor, lengths: torch.Tensor) -> None:
    """
    Refuse rows with labels and no step to hear them in; any number of labels goes with one.

    Raises:
        `ValueError`: If there are any.
    """
    if not is_captured() and (short := (steps == 0) & (lengths > 0)).any():
        row = int(short.nonzero()[0, 0])
        raise ValueError(
            f"`labels` of row {row}, {int(lengths[row])} of them, need a step, but there is none, and so it is with "
            f"{int(short.sum())} of {len(short)} rows. Leave such rows out."
        )


class _TransducerLoss(torch.autograd.Function):
    """The loss by log-probabilities, with the gradient of the forward-backward algorithm."""

    @staticmethod
    def forward(ctx, blank, label, steps, lengths):
        real, followed = _nodes(steps, lengths, blank.shape)
        blank, label = blank.where(real, -torch.inf), label.where(followed, -torch.inf)
        losses, by_blank, by_label = _ways(blank, label, steps, lengths, any(ctx.needs_input_grad))
        ctx.save_for_backward(by_blank, by_label)
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        by_blank, by_label = ctx.saved_tensors
        return -grad[:, None, None] * by_blank, -grad[:, None, None] * by_label, None, None


def transducer_losses(
    logits: torch.Tensor, steps: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor, blank: int = 0
) -> torch.Tensor:
    """
    -log p(labels), of each row (Graves 2012, equation 18).

    Args:
        logits (`torch.Tensor` of shape `(B, T, U + 1, V)`): Of each step after each number of labels; real ones in
            front.
        steps (`torch.LongTensor` of shape `(B,)`): How many steps of a row are real.
        labels (`torch.LongTensor` of shape `(B, U)`): No blank among them; any valid number behind the real ones.
        lengths (`torch.LongTensor` of shape `(B,)`): How many labels of a row count.
        blank (`int`, defaults to 0): The label of nothing.

    Returns:
        `torch.Tensor` of shape `(B,)`: The losses, at least fp32; 0 for a row without steps and labels.

    Raises:
        `ValueError`: For a row with labels and without steps.
    """
    check_steps(steps, lengths)
    log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    wanted = F.pad(labels, (0, 1), value=blank)[:, None, :, None].expand(-1, logits.shape[1], -1, -1)
    return _TransducerLoss.apply(log_probs[..., blank], log_probs.gather(3, wanted)[..., 0], steps, lengths)


class _JointLoss(torch.autograd.Function):
    """
    The loss by what the joint network adds, without holding much of what it makes of it: chunk by chunk two
    log-probabilities of a node are kept, and the normaliser; the backward pass computes the rest again, unless it is
    little. With o the probabilities that a way leaves the node by blank and label, the gradient by its logits is
    (o_blank + o_label) softmax - o.
    """

    @staticmethod
    def forward(ctx, encoded, predicted, weight, bias, steps, labels, lengths, blank):
        precise = torch.promote_types(encoded.dtype, torch.float32)
        shape = *encoded.shape[:2], predicted.shape[1]
        log_blank, log_label, scale = (
            encoded.new_full(shape, fill, dtype=precise) for fill in (-torch.inf, -torch.inf, 0)
        )
        size = len(weight) + weight.shape[1]
        ctx.chunks = list(_chunks(steps.tolist(), lengths.tolist(), size))
        keeps = int((steps * (lengths + 1)).sum()) * size <= KEPT_ELEMENTS and any(ctx.needs_input_grad)
        ctx.kept = []
        for row, start, stop, places in ctx.chunks:
            hidden, logits = _joint(encoded[row, start:stop], predicted[row, :places], weight, bias)
            ctx.kept.append((hidden, logits) if keeps else None)
            at = row, slice(start, stop)
            norm = scale[at][:, :places] = logits.logsumexp(-1)
            log_blank[at][:, :places] = logits[..., blank] - norm
            wanted = labels[row, : places - 1].expand(stop - start, -1)[..., None]
            log_label[at][:, : places - 1] = logits[:, :-1].gather(2, wanted)[..., 0] - norm[:, :-1]
        losses, by_blank, by_label = _ways(log_blank, log_label, steps, lengths, any(ctx.needs_input_grad))
        ctx.save_for_backward(encoded, predicted, weight, bias, labels, scale, by_blank, by_label)
        ctx.blank = blank
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        encoded, predicted, weight, bias, labels, scale, by_blank, by_label = ctx.saved_tensors
        precise = scale.dtype
        by_blank, by_label = by_blank * grad[:, None, None], by_label * grad[:, None, None]
        grads = [torch.zeros_like(each, dtype=precise) for each in (encoded, predicted, weight)]
        grad_encoded, grad_predicted, grad_weight = grads
        grad_bias = None if bias is None else torch.zeros_like(bias, dtype=precise)
        for (row, start, stop, places), kept in zip(ctx.chunks, ctx.kept, strict=True):
            hidden, logits = kept or _joint(encoded[row, start:stop], predicted[row, :places], weight, bias)
            at = row, slice(start, stop), slice(places)
            left, on = by_blank[at], by_label[at]
            p = (logits - scale[at][..., None]).exp_().mul_((left + on)[..., None])
            p[..., ctx.blank] -= left
            wanted = labels[row, : places - 1].expand(stop - start, -1)[..., None]
            p[:, :-1].scatter_add_(2, wanted, -on[:, :-1, None])
            p, flat = p.flatten(0, 1), hidden.flatten(0, 1)
            if grad_bias is not None:
                grad_bias += p.sum(0)
            p = p.to(weight.dtype)
            grad_weight += p.T @ flat
            slope = (p @ weight).view_as(hidden).mul_(1 - hidden.square())
            grad_encoded[row, start:stop] = slope.sum(1)
            grad_predicted[row, :places] += slope.sum(0)
        found = zip([*grads, grad_bias], (encoded, predicted, weight, bias), strict=True)
        return *(None if each is None else each.to(like.dtype) for each, like in found), None, None, None, None


def _chunks(steps: list[int], lengths: list[int], size: int):
    """Row, first and last step, and places, of parts of a batch whose nodes have `size` numbers each."""
    for row, (count, length) in enumerate(zip(steps, lengths, strict=True)):
        each = max(1, CHUNK_ELEMENTS // ((length + 1) * size))
        for start in range(0, count, each):
            yield row, start, min(start + each, count), length + 1


def _joint(encoded, predicted, weight, bias) -> tuple[torch.Tensor, torch.Tensor]:
    """Of steps (N, J) and places (R, J) the units (N, R, J) and the logits (N, R, V), these at least in fp32."""
    hidden = (encoded[:, None] + predicted).tanh_()
    return hidden, F.linear(hidden, weight, bias).to(torch.promote_types(hidden.dtype, torch.float32))


def joint_losses(
    encoded: torch.Tensor,
    predicted: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    steps: torch.Tensor,
    labels: torch.Tensor,
    lengths: torch.Tensor,
    blank: int = 0,
) -> torch.Tensor:
    """
    [`transducer_losses`] of the logits `tanh(encoded + predicted) weight.T + bias`, which are never held together.

    Args:
        encoded (`torch.Tensor` of shape `(B, T, J)`), predicted (`torch.Tensor` of shape `(B, U + 1, J)`): What the
            joint network adds up of a step, and of the labels before a place.
        weight (`torch.Tensor` of shape `(V, J)`), bias (`torch.Tensor` of shape `(V,)`, *optional*): Of its last
            layer.
        steps, labels, lengths, blank: As in [`transducer_losses`], which tells the errors too.

    Returns:
        `torch.Tensor` of shape `(B,)`: The losses, at least fp32.
    """
    check_steps(steps, lengths)
    device, given = encoded.device.type, (encoded, predicted, weight, bias)
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        given = [None if each is None else each.to(dtype) for each in given]
    with torch.autocast(device, enabled=False):
        return _JointLoss.apply(*given, steps, labels, lengths, blank)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Connectionist temporal classification (Graves et al. 2006): the loss of labels of which nobody knows when they are
heard. B batch, T steps, V labels with the blank, U labels of the longest row.
"""

import torch
import torch.nn.functional as F

from .padding import Padding
from .tracing import is_captured


def real_first(values: torch.Tensor, padding: Padding | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (B, T, .) with the real steps of each row in front, and how many these are, (B,)."""
    if padding is None:
        return values, torch.full((len(values),), values.shape[1], device=values.device)
    return padding.pack(values), padding.lengths


def steps_needed(labels: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """
    The fewest steps that labels can be heard in, (B, U) -> (B,): one for each, and a blank between two that are equal.
    `lengths`, (B,), says how many labels of a row count.
    """
    counts = torch.arange(1, labels.shape[1], device=labels.device) < lengths[:, None]
    return lengths + ((labels[:, 1:] == labels[:, :-1]) & counts).sum(1)


def ctc_losses(
    log_probs: torch.Tensor,
    steps: torch.Tensor,
    labels: torch.Tensor,
    lengths: torch.Tensor,
    blank: int = 0,
    log_prior: torch.Tensor | None = None,
    zero_infinity: bool = False,
) -> torch.Tensor:
    """
    -log p(labels), of each row (Graves et al. 2006, equations 3 and 8); with a prior, of label posteriors that are
    divided by it (Huang et al. 2024, equation 6).

    Args:
        log_probs (`torch.Tensor` of shape `(B, T, V)`): Logarithms of the probabilities of the labels at each step,
            the real steps in front.
        steps (`torch.LongTensor` of shape `(B,)`): How many steps of a row are real.
        labels (`torch.LongTensor` of shape `(B, U)`): No blank among them.
        lengths (`torch.LongTensor` of shape `(B,)`): How many labels of a row count.
        blank (`int`, defaults to 0): The label of nothing.
        log_prior (`torch.Tensor` of shape `(V,)`, *optional*): Logarithms of what posteriors are divided by.
        zero_infinity (`bool`, defaults to `False`): 0 for a row whose labels do not fit its steps.

    Returns:
        `torch.Tensor` of shape `(B,)`: The losses, at least fp32.

    Raises:
        `ValueError`: For labels that need more steps than their row has, unless `zero_infinity`.
    """
    log_probs = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
    if not zero_infinity and not is_captured():
        needed = steps_needed(labels, lengths)
        if (short := needed > steps).any():
            row = int(short.nonzero()[0, 0])
            raise ValueError(
                f"`labels` of row {row}, {int(lengths[row])} of them, need {int(needed[row])} steps, but there are "
                f"{int(steps[row])}, and {int(short.sum())} of {len(short)} rows have too few. Leave such rows out, "
                "stack fewer frames, or set `ctc_zero_infinity=True`, which takes their loss as 0."
            )
    scale = None
    if log_prior is not None:
        # F.ctc_loss has the right gradient only behind a softmax: normalise again, and take back what that added.
        log_probs = log_probs - log_prior
        scale = log_probs.logsumexp(-1)
        log_probs = log_probs - scale[..., None]
    losses = F.ctc_loss(
        log_probs.transpose(0, 1), labels, steps, lengths, blank, reduction="none", zero_infinity=zero_infinity
    )
    if scale is not None:
        real = torch.arange(scale.shape[1], device=scale.device) < steps[:, None]
        sums = scale.masked_fill(~real, 0).sum(1)
        losses = losses - (sums.where(steps_needed(labels, lengths) <= steps, 0) if zero_infinity else sums)
    return losses

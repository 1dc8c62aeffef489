# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""One vector for a sequence, and the loss of its labels. Dimensions as in `modeling_recurrent.py`; K labels."""

import torch
import torch.nn.functional as F
from torch import nn

from .configuration_stack import RecurrentStackConfig
from .losses import check_labels, divisor
from .tracing import is_captured, is_exported


class SequencePooler(nn.Module):
    """
    One vector for a sequence, from the real positions only; zeros for a sequence without any. By `config.pooling`:

    - `"last"`: the output of each direction at the end of its way;
    - `"mean"`, `"max"`: over the positions;
    - `"concat"`: all three side by side, last, max, mean (Howard & Ruder 2018, section 3.3);
    - `"attention"`: a weighted mean, with weights softmax(u · tanh(W h + b)) (Yang et al. 2016, equations 5 to 7).
    """

    def __init__(self, config: RecurrentStackConfig):
        super().__init__()
        self.pooling, self.num_directions = config.pooling, config.num_directions
        self.output_size = config.output_size * (3 if self.pooling == "concat" else 1)
        if self.pooling == "attention":
            self.dense = nn.Linear(config.output_size, config.output_size)
            self.context = nn.Linear(config.output_size, 1, bias=False)

    def forward(self, hidden_states: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Outputs (B, T, D * P), zero at padding, and where the real positions are (B, T) -> (B, output_size)."""
        if self.pooling == "concat":
            return torch.cat([getattr(self, f"_{way}")(hidden_states, real) for way in ("last", "max", "mean")], -1)
        return getattr(self, f"_{self.pooling}")(hidden_states, real)

    def _last(self, hidden_states, real):
        ends = (real.shape[1] - 1 - real.flip(1).int().argmax(1), real.int().argmax(1))
        rows = torch.arange(real.shape[0], device=real.device)  # `len` would fix the batch size of an exported graph
        parts = hidden_states.chunk(self.num_directions, dim=-1)
        return torch.cat([part[rows, end] for part, end in zip(parts, ends, strict=False)], dim=-1)

    def _mean(self, hidden_states, real):
        return hidden_states.masked_fill(~real[..., None], 0).sum(1) / real.sum(1, keepdim=True).clamp(min=1)

    def _max(self, hidden_states, real):
        maxima = hidden_states.masked_fill(~real[..., None], -torch.inf).amax(1)
        return maxima.where(real.any(1, keepdim=True), 0)

    def _attention(self, hidden_states, real):
        scores = self.context(self.dense(hidden_states).tanh()).squeeze(-1)
        scores = scores.masked_fill(~real, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~real, 0)
        return (weights[..., None] * hidden_states).sum(1)


class LabelsSequences:
    """The loss of a model that labels whole sequences: one label of several, several at once, or numbers."""

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean over sequences that have labels, and over what each is told; of none 0."""
        labels = self._checked(labels.to(logits.device), logits.shape)
        if hasattr(self, "_loss_function"):  # somebody's own
            return self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.config.problem_type == "single_label_classification":
            loss = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
            return loss / divisor((labels != -100).sum(), loss)
        labels = labels.to(logits).view_as(logits)
        if self.config.problem_type == "regression":
            return F.mse_loss(logits, labels)
        return F.binary_cross_entropy_with_logits(logits, labels)

    def _checked(self, labels: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """The labels of logits of this shape; `config.problem_type` is set if it was not."""
        config, single = self.config, "single_label_classification"
        inferred = "multi_label_classification" if labels.is_floating_point() else single
        problem_type = config.problem_type or ("regression" if self.num_labels == 1 else inferred)
        expected = [tuple(shape)] + [tuple(shape[:1])] * (shape[1] == 1)
        if problem_type == single:
            labels = labels.squeeze(1) if labels.shape == (shape[0], 1) else labels
            expected = [tuple(shape[:1])]
        if tuple(labels.shape) not in expected:
            raise ValueError(
                f"`labels` has shape {tuple(labels.shape)}, expected {expected[0]} with `problem_type="
                f"{problem_type!r}`. Several labels a text need `multi_label_classification`, and a 0 or 1 for "
                "each of all labels; one label a text needs `single_label_classification`, and whole numbers."
            )
        if problem_type == single:
            check_labels(labels, self.num_labels)
        elif not is_captured() and not is_exported():
            fits, wanted = (labels >= 0) & (labels <= 1), "from 0 to 1"
            if problem_type == "regression":
                fits, wanted = labels.isfinite(), "finite"
            if not fits.all():
                raise ValueError(
                    f"`labels` holds {labels[~fits][0].item()}, but numbers must be {wanted} with `problem_type="
                    f"{problem_type!r}`. Repair them, or leave out the texts."
                )
        if config.problem_type is None:  # of labels that fit: a call that failed leaves no trace
            config.problem_type = problem_type
        return labels

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Spans of steps and bands of features that training hides. Dimensions as in `modeling_recurrent.py`."""

import torch

from .configuration_speech import SoundStackConfig
from .padding import Padding


def draw_spans(
    lengths: torch.Tensor, size: int, share: float, length: int, least: int, device: torch.device | None = None
) -> torch.BoolTensor:
    """
    Spans at random places, which may overlap: as many as make up a share of a row, a fraction of one by chance, each
    at a start of its own, and none beyond the end.

    Args:
        lengths (`torch.LongTensor` of shape `(B,)`): How long each row is, `size` at most.
        size (`int`): The length of the result, T.
        share (`float`): Spans times their length, of the row; 0 for none at all.
        length (`int`): Steps of a span; a row that is shorter has spans of its own length.
        least (`int`): The fewest spans of a row.
        device (`torch.device`, *optional*): Of the result.

    Returns:
        `torch.BoolTensor` of shape `(B, T)`: True in a span.
    """
    lengths = lengths.to(device)
    spans = (share * lengths / length + torch.rand(len(lengths), device=device)).long().clamp(min=least)
    spans = spans.where((lengths > 0) & (share > 0), 0)
    starts = (lengths - length).clamp(min=0) + 1  # places where a span may start
    places = torch.arange(size, device=device)
    order = torch.rand(len(lengths), size, device=device).masked_fill_(places >= starts[:, None], 2.0).argsort(1)
    chosen = places < torch.minimum(spans, starts)[:, None]  # the first ones of the order
    begins = torch.zeros(len(lengths), size, dtype=torch.long, device=device).scatter_(1, order, chosen.long())
    seen = begins.cumsum(1)
    before = torch.cat([seen.new_zeros(len(lengths), min(length, size)), seen[:, : max(0, size - length)]], 1)
    return (seen > before) & (places < lengths[:, None])


def hide_at_random(features: torch.Tensor, padding: Padding | None, config: SoundStackConfig) -> torch.Tensor:
    """
    SpecAugment without warping (Park et al. 2019, section 2): zero in spans of steps, all features, and in bands of
    features, all steps: (B, T, F) -> (B, T, F). Spans are drawn over the real steps of a row.
    """
    rows, size, device = len(features), features.shape[1], features.device
    if config.mask_time_prob:
        lengths = torch.full((rows,), size, device=device) if padding is None else padding.lengths
        options = config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
        hidden = draw_spans(lengths, size, *options, device)[..., None]
        features = features.masked_fill(hidden if padding is None else padding.unpack(hidden), 0)
    if config.mask_feature_prob:
        number = config.feature_size // config.stacked_frames
        options = config.mask_feature_prob, config.mask_feature_length, config.mask_feature_min_masks
        hidden = draw_spans(torch.full((rows,), number, device=device), number, *options, device)
        features = features.masked_fill(hidden.repeat(1, config.stacked_frames)[:, None], 0)
    return features

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What models that read the whole text around a token have in common, whether they read characters (`context.py`) or
pieces of words (`pieces.py`). Dimensions as in `modeling_recurrent.py`; C symbols of the longest text of a batch.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from .tracing import is_exported


class TextReader(nn.Module):
    """
    Features of tokens by models that read symbols of the whole text. Frozen ones run without dropout even in training,
    and may remember what they said.

    A subclass has the models in its attribute `reads_with`, and computes in `states`.

    Args:
        frozen (`bool`): Whether the models are.
    """

    # How its inputs and the tokenizer's option begin, its fields of the configuration, and what a symbol is.
    name: ClassVar[str]
    field: ClassVar[str]
    trained_by: ClassVar[str]
    symbols: ClassVar[str]
    padding_id: ClassVar[int] = 0  # of symbols
    first_place: ClassVar[int] = 0  # of what `spans` counts
    vocab_size: int

    def __init__(self, frozen: bool):
        super().__init__()
        self.frozen = frozen
        self.memory: _Memory | None = None

    @property
    def reads_with(self) -> nn.Module:
        """The models."""
        raise NotImplementedError

    def states(self, ids: torch.LongTensor, spans: torch.LongTensor) -> torch.Tensor:
        """
        What the models say of tokens: symbols (B, C), and the first and the last of each token, (B, T, 2), from 1 on
        and 0 for none -> (B, T, F), zeros for tokens without any.
        """
        raise NotImplementedError

    def train(self, mode: bool = True) -> "TextReader":
        """As in torch, but frozen models stay as they are in evaluation."""
        super().train(mode)
        if self.frozen:
            self.reads_with.requires_grad_(False).eval()  # `from_pretrained` makes new parameters
        return self

    def remember(self, max_tokens: int | None = None, folder: str | os.PathLike | None = None) -> None:
        """
        Keep what the frozen models say of each text, so that an epoch but the first does not ask them again. It takes
        one number for each feature of each token, is no part of what is saved or copied, and is forgotten when the
        weights change.

        Args:
            max_tokens (`int`, *optional*): Of how many tokens; later texts are not kept. 0 ends it, and frees the
                memory. By default of 300,000, and in a `folder` of all.
            folder (`str` or `os.PathLike`, *optional*): Keep them there, in a file that goes when the process ends,
                instead of in memory.

        Raises:
            `ValueError`: If the models are trained, too, or `folder` is none.
        """
        if not self.frozen:
            raise ValueError(f"`{self.trained_by}` is True: what models say changes while they are trained.")
        if folder is not None and not os.path.isdir(folder):
            raise ValueError(f"`folder` is {str(folder)!r}, which is no folder. Make it, or name another.")
        if max_tokens is None:
            max_tokens = 300_000 if folder is None else sys.maxsize
        self.memory = _Memory(max_tokens, self.padding_id, folder) if max_tokens > 0 else None

    def recalled(self, ids: torch.LongTensor, spans: torch.LongTensor, shape: torch.Size) -> torch.Tensor:
        """
        What [`~TextReader.states`] says of tokens of this shape, (B, T), from memory where that is kept.

        Raises:
            `ValueError`: For symbols or spans that are missing, or fit neither the models nor each other.
        """
        self._check(ids, spans, shape)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.memory is None or is_exported():
                return self.states(ids, spans)
            return self.memory.recall(ids, spans, self.states, self.reads_with)

    def _check(self, ids, spans, shape) -> None:
        if ids is None or spans is None:
            missing = f"{self.name}_ids" if ids is None else f"{self.name}_spans"
            raise ValueError(
                f"`{missing}` are missing, but the model has `{self.field}`. Build the tokenizer with "
                f"`{self.name}_tokenizer`, an option of `LSTMTokenizer.train_from_iterator`."
            )
        for name, value, fits, wanted in (
            ("ids", ids, ids.ndim == 2 and len(ids) == shape[0], (shape[0], self.symbols)),
            ("spans", spans, spans.shape == (*shape, 2), (*shape, 2)),
        ):
            if not fits or value.is_floating_point():
                raise ValueError(
                    f"`{self.name}_{name}` has shape {tuple(value.shape)} and type {value.dtype}, expected whole "
                    f"numbers of shape ({', '.join(map(str, wanted))})."
                )
        if ids.device.type != "cpu" or is_exported():
            return
        if not self.padding_id <= ids.min() <= ids.max() < self.vocab_size:
            raise ValueError(
                f"`{self.name}_ids` holds ids from {ids.min()} to {ids.max()}, but `vocab_size` in `{self.field}` is "
                f"{self.vocab_size}. Use the model's own tokenizer."
            )
        last = (ids != self.padding_id).sum(1) + self.first_place - 1
        if not 0 <= spans.min() <= spans.max() or (spans.amax((1, 2)) > last.clamp(min=0)).any():
            raise ValueError(
                f"`{self.name}_spans` holds places from {spans.min()} to {spans.max()}, which are not all in the "
                f"texts of `{self.name}_ids`. Encode both together."
            )


class _Memory:
    """The states of texts read before, by their symbols and the places of their tokens."""

    def __init__(self, max_tokens: int, padding_id: int, folder: str | os.PathLike | None):
        self.options = max_tokens, padding_id, folder
        self.room, self.texts, self.weights, self.padding_id = max_tokens, {}, None, padding_id
        self.file = None if folder is None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __reduce__(self) -> tuple:
        return _Memory, self.options  # a copy begins anew

    def recall(self, ids: torch.Tensor, spans: torch.Tensor, read: Callable, models: nn.Module) -> torch.Tensor:
        """What `read(ids, spans)` returns, (B, T, F), called with the rows of texts that are new."""
        weights = [(each._version, each.dtype, each.device) for each in models.parameters()]
        if weights != self.weights:
            self.room, self.texts, self.weights = self.options[0], {}, weights
            if self.file is not None:
                self.file.truncate(0)
        has_symbols = spans[..., 1] != 0  # (B, T)
        host = [each.cpu().numpy() for each in (ids, spans, has_symbols)]
        keys = [_digest(row[row != self.padding_id], places[some]) for row, places, some in zip(*host, strict=True)]
        new = [i for i, key in enumerate(keys) if key not in self.texts]
        found = {}
        if new:
            states = read(ids[new], spans[new])
            found = {keys[i]: row[has_symbols[i]] for i, row in zip(new, states, strict=True)}
        rows = torch.cat([found[key] if key in found else self._kept(key) for key in keys])
        for key, row in found.items():
            if len(row) <= self.room:
                self._keep(key, row)
                self.room -= len(row)
        result = rows.new_zeros(*has_symbols.shape, rows.shape[-1])
        result[has_symbols] = rows
        return result

    def _keep(self, key: bytes, row: torch.Tensor) -> None:
        if self.file is None:
            self.texts[key] = row
            return
        try:
            place = self.file.seek(0, os.SEEK_END)
            self.file.write(row.cpu().contiguous().view(torch.uint8).numpy())
            self.file.flush()
        except OSError as error:
            raise OSError(f"`folder` {self.options[2]}: {error}. Name another, or `max_tokens`.") from error
        self.texts[key] = place, row.shape, row.dtype, row.device

    def _kept(self, key: bytes) -> torch.Tensor:
        if self.file is None:
            return self.texts[key]
        place, shape, dtype, device = self.texts[key]
        row = torch.empty(shape, dtype=dtype)
        self.file.seek(place)
        self.file.readinto(row.view(torch.uint8).numpy())
        return row.to(device)


def _digest(symbols: np.ndarray, places: np.ndarray) -> bytes:
    """Names a text."""
    return hashlib.blake2b(symbols.tobytes() + b"|" + places.tobytes(), digest_size=16).digest()

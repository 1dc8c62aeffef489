# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What a pretrained encoder of transformers says of the tokens of a text, which it reads in pieces of its own. Dimensions
as in `modeling_recurrent.py`; S pieces of the longest text of a batch, W windows of at most R pieces, M pieces of the
longest token, F features of the encoder, N of its layers, the embedding included.
"""

import copy
import inspect
import os
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .configuration_recurrent import RecurrentConfig
from .encoder_options import positions_of
from .layers import SequenceDropout
from .padding import Padding
from .piece_alignment import backend_of, special_ids
from .text_reader import TextReader


class ReadsEncoder:
    """For the models of texts: a beginning from a pretrained encoder."""

    @classmethod
    def from_encoder_pretrained(cls, encoder: str | os.PathLike, config: RecurrentConfig, **kwargs: Any):
        """
        A model that reads a pretrained encoder; all else begins at random.

        Args:
            encoder (`str` or `os.PathLike`): Folder or name on the Hub of an encoder that `AutoModel` loads, with its
                tokenizer.
            config ([`RecurrentConfig`]): The configuration of the model. Its `encoder`, and where they are not given
                `encoder_special_ids` and `encoder_max_length`, are filled in.
            kwargs: Arguments of `AutoModel.from_pretrained`.

        Raises:
            `ValueError`: For an encoder that reads no text, or has no tokenizer that is known.

        Example:

        ```python
        >>> from transformers import AutoTokenizer
        >>> from hf_lstm import LSTMConfig, LSTMForTokenClassification, LSTMTokenizer

        >>> def build(encoder, sentences, labels):
        ...     options = {"characters": True, "encoder_tokenizer": AutoTokenizer.from_pretrained(encoder)}
        ...     tokenizer = LSTMTokenizer.train_from_iterator(sentences, "word", is_split_into_words=True, **options)
        ...     sizes = {"vocab_size": len(tokenizer), "char_vocab_size": tokenizer.char_vocab_size}
        ...     config = LSTMConfig(embedding_size=0, use_crf=True, id2label=dict(enumerate(labels)), **sizes)
        ...     return LSTMForTokenClassification.from_encoder_pretrained(encoder, config), tokenizer
        ```
        """
        read = AutoModel.from_pretrained(encoder, **kwargs)
        config = copy.deepcopy(config)
        config.encoder = read.config
        if config.encoder_special_ids is None or config.encoder_max_length is None:
            where = ("revision", "subfolder", "token", "cache_dir", "local_files_only", "trust_remote_code")
            tokenizer = AutoTokenizer.from_pretrained(encoder, **{k: kwargs[k] for k in where if k in kwargs})
            if config.encoder_special_ids is None:
                config.encoder_special_ids = special_ids(backend_of(tokenizer))
            if config.encoder_max_length is None:
                config.encoder_max_length = min(tokenizer.model_max_length, positions_of(read.config))
        model = cls(config)
        own, given = model.base_model.piece_encoder.encoder, read.state_dict()
        own.load_state_dict({name: given[name] for name in own.state_dict()})
        return model


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """An encoder of random weights, without the layer for whole texts that some have above it."""
    parameters = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    options = {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}
    return AutoModel.from_config(config, dtype=torch.get_default_dtype(), **options)


class LayerMix(nn.Module):
    r"""
    A learned mean of the layers of an encoder, gamma Σ s_j h_j with s = softmax(w) (Peters et al. 2018, equation 1).

    Args:
        number (`int`): N.
    """

    draws_own_weights = True

    def __init__(self, number: int):
        super().__init__()
        self.weight, self.gamma = nn.Parameter(torch.empty(number)), nn.Parameter(torch.empty(()))

    def init_weights(self) -> None:
        """All layers count the same to begin with."""
        init.zeros_(self.weight)
        init.ones_(self.gamma)

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """(B, T, N * F) -> (B, T, F)."""
        layers = layers.unflatten(-1, (len(self.weight), -1))
        return self.gamma * (self.weight.softmax(0)[:, None] * layers).sum(-2)


class PieceEncoder(TextReader):
    r"""
    Features of a token from the whole text around it: what a pretrained encoder gives for the first or the last of the
    pieces that it has of the token, or their mean, as `config.encoder_pooling` says. Tokens without a piece, as of
    control characters that the encoder's tokenizer drops, have zeros.

    A text of more pieces than the encoder reads at once is read in windows of R pieces that share
    `config.encoder_overlap` of them, and each piece is taken from the window in which it is farther from an end. How a
    text is cut depends on it alone, not on what it is batched with.

    Args:
        config ([`RecurrentConfig`]): With `encoder`.
    """

    name, field, trained_by, symbols, padding_id, first_place = "encoder", "encoder", "train_encoder", "pieces", -1, 1

    def __init__(self, config: RecurrentConfig):
        super().__init__(frozen=not config.train_encoder)
        self.encoder = build_encoder(config.encoder)
        self.vocab_size, self.pooling = config.encoder.vocab_size, config.encoder_pooling
        self.before, self.behind = config.encoder_special_ids or ([], [])
        self.room, self.stride = config.encoder_window, config.encoder_overlap
        self.mix = LayerMix(config.encoder.num_hidden_layers + 1) if config.encoder_layers == "mix" else None
        self.dropout = SequenceDropout(config.encoder_dropout, config.variational_dropout)
        self.train()

    @property
    def reads_with(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    def forward(self, ids: torch.LongTensor, spans: torch.LongTensor, shape: torch.Size) -> torch.Tensor:
        """
        Pieces (B, S), -1 at padding, and the first and the last of each token (B, T, 2), counted from 1 on over those
        that are no padding, 0 for none -> (B, T, F). `shape` is (B, T).
        """
        states = self.recalled(ids, spans, shape)
        return self.dropout(states if self.mix is None else self.mix(states))

    def states(self, ids: torch.LongTensor, spans: torch.LongTensor) -> torch.Tensor:
        """Of the encoder, (B, T, F); with `mix` of all its layers, (B, T, N * F)."""
        return pooled(self.read(ids), spans, self.pooling)

    def read(self, ids: torch.LongTensor) -> torch.Tensor:
        """What the encoder gives for pieces (B, S), -1 at padding: (B, S, F), or (B, S, N * F) with `mix`."""
        padding = Padding(ids != self.padding_id)
        windows = Windows.of(padding.pack(ids), padding.lengths, self.room, self.stride)
        ids, mask = self._surrounded(windows)
        outputs = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=self.mix is not None)
        states = outputs.last_hidden_state if self.mix is None else torch.cat(outputs.hidden_states, -1)
        return windows.joined(states[:, len(self.before) :])

    def _surrounded(self, windows: "Windows") -> tuple[torch.Tensor, torch.Tensor]:
        """The windows with what stands before and behind a text, and their mask: (W, R) -> (W, R + ...) each."""
        ids, lengths = windows.ids, windows.lengths[:, None]
        before, behind = (ids.new_tensor(each).expand(len(ids), -1) for each in (self.before, self.behind))
        pad = self.encoder.config.pad_token_id
        ids = torch.cat([before, ids, behind], 1)
        places = torch.arange(ids.shape[1], device=ids.device)
        end = before.shape[1] + lengths  # of the pieces
        ids = ids.scatter(1, end + torch.arange(behind.shape[1], device=ids.device), behind)
        real = places < end + behind.shape[1]
        ids = ids.where(real, 0 if pad is None else pad)
        return ids, (real | (places == 0)).long()  # nothing at all is read as one piece of padding


class Windows(NamedTuple):
    """
    Texts cut into windows.

    Args:
        ids (`torch.LongTensor` of shape `(W, R)`): Pieces; behind the last one of a window anything.
        lengths (`torch.LongTensor` of shape `(W,)`): How many are in each window.
        places (`torch.LongTensor` of shape `(B, S)`): Where each piece of a text is taken from, in W * R.
    """

    ids: torch.LongTensor
    lengths: torch.LongTensor
    places: torch.LongTensor

    @classmethod
    def of(cls, ids: torch.LongTensor, lengths: torch.LongTensor, room: int, stride: int) -> "Windows":
        """Texts (B, S) of so many pieces (B,), cut into windows of at most `room`, of which two share `stride`."""
        step, device = room - stride, ids.device
        numbers = 1 + (lengths - room + step - 1).clamp(min=0) // step  # windows of a text
        rows = torch.arange(len(ids), device=device).repeat_interleave(numbers)  # (W,)
        first = numbers.cumsum(0) - numbers  # the first window of each text, (B,)
        starts = (torch.arange(len(rows), device=device) - first[rows]) * step
        width = min(room, ids.shape[1])
        columns = starts[:, None] + torch.arange(width, device=device)
        cut = ids[rows[:, None], columns.clamp(max=ids.shape[1] - 1)]
        places = torch.arange(ids.shape[1], device=device)
        window = ((places - (stride + 1) // 2).clamp(min=0) // step).minimum(numbers[:, None] - 1)
        within = (places - window * step).clamp(max=width - 1)
        return cls(cut, (lengths[rows] - starts).clamp(max=room), (first[:, None] + window) * width + within)

    def joined(self, states: torch.Tensor) -> torch.Tensor:
        """What was read of the windows, (W, R or more, F), for each piece of the texts: (B, S, F)."""
        return states[:, : self.ids.shape[1]].flatten(0, 1)[self.places]


def pooled(states: torch.Tensor, spans: torch.LongTensor, pooling: str) -> torch.Tensor:
    """
    Features of tokens, (B, T, F), from those of pieces, (B, S, F); zeros for none. `spans` (B, T, 2) are the first and
    the last piece of each token, from 1 on.
    """
    first, last = spans[..., 0], spans[..., 1]
    if pooling != "mean":
        return _at(states, first if pooling == "first" else last)
    number = (last - first + 1) * (last > 0)  # (B, T)
    offsets = torch.arange(max(1, int(number.max())), device=spans.device)
    places = (first[..., None] + offsets) * (offsets < number[..., None])  # (B, T, M), 0 behind the last
    total = _at(states, places.flatten(1)).unflatten(1, places.shape[1:]).sum(2)
    return total / number.clamp(min=1)[..., None]


def _at(states: torch.Tensor, places: torch.LongTensor) -> torch.Tensor:
    """(B, S, F) at places (B, T), from 1 on, zeros at 0 -> (B, T, F)."""
    rows = torch.arange(len(states), device=states.device)[:, None]
    return states[rows, (places - 1).clamp(min=0)] * (places > 0)[..., None]

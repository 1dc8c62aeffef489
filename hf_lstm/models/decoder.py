# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A recurrent decoder that attends to what an encoder gives. Dimensions as in `attention.py`, and R the size of what the
output layer reads. With x_t the embedding of token t, h^l_t the output of layer l, S the features of the source and
[;] for vectors end to end,

    h^1_t = layer_1(x_t),            c_t = attention(h^1_t, S)
    h^l_t = layer_l([h^l-1_t; c_t])  for l > 1
    r_t   = tanh(W_r [h^L_t; c_t])   (Luong et al. 2015, equation 5)

The first layer attends and the others read the context, as in GNMT (Wu et al. 2016, section 3), but nothing of a step
is read by the layer below at the next: in training each layer runs over the whole target at once. With input feeding
(Luong et al. 2015, section 3.3) the first layer reads [x_t; r_t-1].
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .attention import ATTENTIONS, Memory
from .cache import RecurrentCache, RecurrentCacheLayer, State
from .configuration_encoder_decoder import RecurrentEncoderDecoderConfig
from .configuration_recurrent import CausalLMOptions
from .family_model import FamilyModel
from .layers import RecurrentLayer, SequenceDropout, bare_layer
from .output_layers import default_cutoffs
from .padding import Padding
from .text_inputs import TextInputs
from .tracing import is_exported


class DecoderCache(RecurrentCache):
    """
    The state of a decoder between two calls: that of its layers; with input feeding, as one more layer, what it feeds;
    and what attention reads of the sources, which is computed once for as long as the same ones are given.

    Args:
        config ([`RecurrentEncoderDecoderConfig`]): Configuration of the model.
    """

    memory: Memory | None = None

    def __init__(self, config: RecurrentEncoderDecoderConfig):
        super().__init__(config.decoder)
        if config.input_feeding:
            self.layers.append(RecurrentCacheLayer())

    def to(self, *args, **kwargs) -> "DecoderCache":
        """As of [`RecurrentCache`]; the memory is computed again."""
        self.memory = None
        return super().to(*args, **kwargs)

    def detach(self) -> "DecoderCache":
        """As of [`RecurrentCache`]; the memory is computed again."""
        self.memory = None
        return super().detach()


class Source(NamedTuple):
    """
    What an encoder gave.

    Args:
        features (`torch.Tensor` of shape `(N, S, F)`).
        padding ([`Padding`], *optional*): Absent if every position is real.
    """

    features: torch.Tensor
    padding: Padding | None

    def read_by(self, attention: nn.Module) -> Memory:
        """What attention reads."""
        return attention.memory(self.clean, None if self.padding is None else self.padding.mask)

    def is_of(self, memory: Memory) -> bool:
        """Whether this memory was made of it."""
        if memory.source is not self.features or (memory.mask is None) != (self.padding is None):
            return False
        return self.padding is None or torch.equal(memory.mask[:, 0, 0], self.padding.mask)

    @property
    def clean(self) -> torch.Tensor:
        """The features, zero at padding."""
        return self.features if self.padding is None else self.padding.clear(self.features)

    def ends(self, directions: int) -> torch.Tensor:
        """The output of each direction where it ends, (N, F); 0 without a real step."""
        if not self.features.shape[1]:
            return self.features.new_zeros(len(self.features), self.features.shape[2])
        parts = self.features.chunk(directions, dim=-1)
        if self.padding is None:
            return torch.cat([part[:, (-1, 0)[d]] for d, part in enumerate(parts)], -1)
        zero = torch.zeros_like(parts[0][:, 0])
        return torch.cat([self.padding.last(part, zero, d) for d, part in enumerate(parts)], -1)

    def mean(self) -> torch.Tensor:
        """The mean of the features, (N, F); 0 without a real step."""
        if self.padding is None:
            return self.features.sum(1) / max(1, self.features.shape[1])
        return self.clean.sum(1) / self.padding.lengths.clamp(min=1)[:, None].to(self.features.dtype)


class DecoderOutput(NamedTuple):
    """
    Args:
        readout (`torch.Tensor` of shape `(B, T, R)`): What the output layer reads.
        cache ([`DecoderCache`], *optional*).
        hidden_states (`tuple` of `torch.Tensor` of shape `(B, T, .)`): The embeddings and the output of each layer.
        weights (`torch.Tensor` of shape `(B, K, T, S)`): Of the attention.
    """

    readout: torch.Tensor
    cache: DecoderCache | None
    hidden_states: tuple[torch.Tensor, ...]
    weights: torch.Tensor


class Dropped:
    """A dropout over a sequence that is read step by step: a variational one has the same mask at all of them."""

    def __init__(self, dropout: SequenceDropout):
        self.dropout, self.masks = dropout, {}

    def __call__(self, values: torch.Tensor, place: int = 0) -> torch.Tensor:
        dropout = self.dropout
        if not dropout.training or not dropout.rate:
            return values
        if not dropout.variational:
            return dropout(values)
        if place not in self.masks:
            self.masks[place] = F.dropout(torch.ones_like(values[:, :1]), dropout.rate)
        return values * self.masks[place]


class RecurrentDecoder(FamilyModel):
    """
    The decoder of [`RecurrentEncoderDecoderForConditionalGeneration`], without its output layer.

    Args:
        config ([`RecurrentEncoderDecoderConfig`]): Configuration of the whole model.
    """

    def __init__(self, config: RecurrentEncoderDecoderConfig):
        decoder = config.decoder.for_head("the decoder of a RecurrentEncoderDecoder", CausalLMOptions)
        if decoder.output_layer == "adaptive" and decoder.adaptive_cutoffs is None:
            decoder = copy.deepcopy(decoder)
            decoder.adaptive_cutoffs = default_cutoffs(decoder.vocab_size)
        feed = config.readout_size if config.input_feeding else 0
        super().__init__(decoder, (feed, config.source_size))
        self.whole = config
        self.feed_size, self.bridge_from = feed, config.bridge
        self.attention = ATTENTIONS[config.attention](
            config.attending_size,
            config.source_size,
            config.query_size,
            config.num_attention_heads,
            config.attention_dropout,
        )
        sizes = [size for layer in self.layers for size in layer.state_sizes]
        self.bridge = None if config.bridge == "none" else nn.Linear(config.source_size, sum(sizes))
        self.state_sizes = sizes
        self.readout = nn.Linear(decoder.output_size + config.source_size, config.readout_size, bias=False)
        self.post_init()

    def new_cache(self) -> DecoderCache:
        return DecoderCache(self.whole)

    def state_shapes(self, batch_size: int) -> list[list[tuple[int, ...]]]:
        shapes = super().state_shapes(batch_size)
        return [*shapes, [(batch_size, 1, self.feed_size)]] if self.feed_size else shapes

    def initial_states(self, source: Source, rows: int) -> list[State] | None:
        """Where the layers begin, of shape `(B, 1, .)`: tanh(W_s x), with x what the source ends in, or its mean."""
        if self.bridge is None:
            return None
        if self.bridge_from == "mean":
            summary = source.mean()
        else:
            summary = source.ends(getattr(self.whole.encoder, "num_directions", 1))
        states = self.bridge(summary).tanh().repeat_interleave(rows // summary.shape[0], dim=0)[:, None]
        parts = iter(states.split(self.state_sizes, -1))
        return [tuple(next(parts) for _ in layer.state_sizes) for layer in map(bare_layer, self.layers)]

    def forward(
        self,
        text: TextInputs,
        source: Source,
        cache: DecoderCache | None = None,
        use_cache: bool | None = None,
    ) -> DecoderOutput:
        """
        Args:
            text ([`TextInputs`]): `input_ids` or `inputs_embeds` of the target, B rows, and its `attention_mask`.
            source ([`Source`]): N sources, of which B is a multiple.
            cache ([`DecoderCache`], *optional*), use_cache (`bool`, *optional*): As in [`RecurrentModel.forward`].

        Raises:
            `ValueError`: For inputs, a mask or a cache that do not fit the model or each other.
        """
        features = self.embed(text)
        (rows, length), sources = features.shape[:2], source.features.shape[0]  # `len` would fix it in a graph
        if not is_exported() and (not sources or rows % sources):
            raise ValueError(
                f"`input_ids` has {rows} rows, but there are {sources} sources. Give each source a row, or as many as "
                "every other, one after the other."
            )
        kept = cache = self._cache(cache, use_cache, rows)
        if cache is None and self.feed_size:
            cache = self.new_cache()
        padding = self._padding(text.attention_mask, rows, length, cache.get_seq_length() if cache is not None else 0)
        if padding is not None:
            features = padding.clear(features)
        memory = self._remembered(source, cache)
        initial = self._begin(source, cache, rows)
        run = self._run_fed if self.feed_size else self._run_whole
        passed, weights, readout = run(features, padding, cache, initial, memory)
        return DecoderOutput(readout, kept if use_cache is not False else None, tuple(passed), weights)

    def _check_cache(self, cache: RecurrentCache, batch_size: int) -> None:
        super()._check_cache(cache, batch_size)
        if not hasattr(cache, "memory"):
            raise ValueError(
                f"`cache` is a {type(cache).__name__}, which has no memory of a source. Leave it out, or pass the "
                "`cache` of an earlier output."
            )

    def _remembered(self, source: Source, cache: DecoderCache | None) -> Memory:
        """What attention reads of the sources, which a cache holds once it is computed."""
        if cache is None:
            return source.read_by(self.attention)
        if cache.memory is None or not source.is_of(cache.memory):
            cache.memory = source.read_by(self.attention)._replace(source=source.features)
        return cache.memory

    def _begin(self, source: Source, cache: DecoderCache | None, rows: int) -> list[State] | None:
        """The states before the first token, where the cache has none; they are written into one that is given."""
        if cache is None:
            return self.initial_states(source, rows)
        if cache.layers[0].states is None and (initial := self.initial_states(source, rows)) is not None:
            for layer, states in zip(cache.layers, initial, strict=False):
                layer.states, layer.is_initialized = states, True
        return None

    def _run_whole(self, features, padding, cache, initial, memory):
        """All steps at once, layer by layer."""
        context = weights = None

        def reads(i: int, values: torch.Tensor) -> torch.Tensor:
            nonlocal context, weights
            if i == 0:
                return self.input_dropout(values)
            if i == 1:
                context, weights = self.attention(values, memory)
            return self.hidden_dropout(torch.cat([values, context], -1))

        passed = self._run(features, padding, cache, reads, initial)
        if context is None:
            context, weights = self.attention(passed[-1], memory)
        readout = self.output_dropout(self.readout(torch.cat([passed[-1], context], -1)).tanh())
        return passed, weights, readout if padding is None else padding.clear(readout)

    def _run_fed(self, features, padding, cache, initial, memory):
        """Step by step: the first layer reads what the output layer read of the step before."""
        if is_exported():
            raise ValueError(
                "`input_feeding=True` runs step by step, of which `torch.export` would record as many as its example "
                "has. Export the model to ONNX, by `export_onnx`."
            )
        drop_in, drop_between, drop_out = map(Dropped, (self.input_dropout, self.hidden_dropout, self.output_dropout))
        context = weights = None
        kept = cache.layers[-1]
        feed = features.new_zeros(len(features), 1, self.feed_size) if kept.states is None else kept.states[0]

        def reads(i: int, values: torch.Tensor) -> torch.Tensor:
            nonlocal context, weights
            if i == 0:
                return drop_in(torch.cat([values, feed], -1))
            if i == 1:
                context, weights = self.attention(values, memory)
            return drop_between(torch.cat([values, context], -1), i)

        steps = []
        for t in range(features.shape[1]):
            now = None if padding is None else Padding(padding.mask[:, t : t + 1])
            context = None
            passed = self._run(features[:, t : t + 1], now, cache, reads)
            if context is None:
                context, weights = self.attention(passed[-1], memory)
            readout = drop_out(self.readout(torch.cat([passed[-1], context], -1)).tanh())
            feed = readout if now is None else readout.where(now.mask[..., None], feed)
            cache.update((feed,), len(cache.layers) - 1, 1, [(feed,)] if kept.record_past else ())
            steps.append((passed, weights, readout if now is None else now.clear(readout)))
        passed = [torch.cat(parts, 1) for parts in zip(*(step[0] for step in steps), strict=True)]
        return passed, torch.cat([step[1] for step in steps], 2), torch.cat([step[2] for step in steps], 1)

    def step_function(self, states: list[State], memory: Memory) -> Callable[[torch.LongTensor], torch.Tensor]:
        """
        Single steps without checks, for a loop over tokens: ids (B,) -> what the output layer reads, (B, R).

        Args:
            states (`list` of `tuple`): For each layer of the cache its state, without the dimension of directions;
                replaced at each step.
            memory ([`Memory`]): What attention reads.
        """
        walk, embed, attention, readout = self.walk, self.embed_tokens, self.attention, self.readout
        cells = [layer.cell_function() for layer in self.layers]
        context = None

        def attend(values: torch.Tensor) -> torch.Tensor:
            return attention(values[:, None], memory)[0][:, 0]

        def run(i: int, layer: RecurrentLayer, inputs: torch.Tensor) -> torch.Tensor:
            nonlocal context
            if i == 0 and self.feed_size:
                inputs = torch.cat([inputs, states[-1][0]], -1)
            elif i:
                context = attend(inputs) if i == 1 else context
                inputs = torch.cat([inputs, context], -1)
            states[i] = state = cells[i](inputs, states[i])
            return state[0]

        def step(tokens: torch.LongTensor) -> torch.Tensor:
            nonlocal context
            context = None
            values = walk(embed(tokens), run)[-1]
            features = readout(torch.cat([values, attend(values) if context is None else context], -1)).tanh()
            if self.feed_size:
                states[-1] = (features,)
            return features

        return step

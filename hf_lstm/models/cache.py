# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The state of a recurrent model between two calls, in the form in which `generate` expects a cache."""

import copy
import inspect
import os
from collections.abc import Sequence
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration_recurrent import RecurrentConfig


State = tuple[torch.Tensor, ...]  # (h, c) of an LSTM, (h,) of a GRU or RNN

# What transformers calls the state, in its outputs and in `generate`: `cache` from 5.24 on, `past_key_values` before.
# From a user both names are understood whatever the version; this file alone knows that there are two.
CACHE_NAMES = ("cache", "past_key_values")
CACHE_NAME = CACHE_NAMES[0 if CACHE_NAMES[0] in inspect.signature(CausalLMOutputWithPast).parameters else 1]


def one_cache(cache: Any, past_key_values: Any) -> Any:
    """
    The state, given under either of its names, or None.

    Raises:
        `ValueError`: If two different ones are given.
    """
    if cache is None or past_key_values is None or cache is past_key_values:
        return past_key_values if cache is None else cache
    raise ValueError("`cache` and `past_key_values` are two names of the state, and were given two. Pass one of them.")


def rename_cache(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with the state under the name that this version of transformers has for it."""
    given = [kwargs.pop(name, None) for name in CACHE_NAMES]
    cache = one_cache(*given)
    return kwargs if cache is None else kwargs | {CACHE_NAME: cache}


class WithCache:
    """For an output with a state: it goes by either name, as in transformers from 5.24 on, under any version."""

    if CACHE_NAME != "cache":

        def __getattr__(self, name: str) -> Any:
            if name == "cache":
                return getattr(self, CACHE_NAME)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(CACHE_NAME if name == "cache" else name, value)

        def __getitem__(self, key: Any) -> Any:
            return super().__getitem__(CACHE_NAME if key == "cache" else key)

        def __contains__(self, key: object) -> bool:
            return super().__contains__(CACHE_NAME if key == "cache" else key)

        def get(self, key: str, default: Any = None) -> Any:
            """As of a `dict`."""
            return super().get(CACHE_NAME if key == "cache" else key, default)


class RecurrentCacheLayer(CacheLayerMixin):
    """
    The state of one layer: tensors of shape `(B, D, P)` or `(B, D, H)`, and the number of tokens that led to it.
    Tensors are replaced, never written into, so that copies may share them.
    """

    is_sliding = False
    is_croppable = True
    supports_early_init = False

    def __init__(self):
        super().__init__()
        self.reset()
        self.record_past = False

    def reset(self) -> None:
        self.states: State | None = None  # None stands for zeros
        self.seen_tokens = 0
        self.past: list[State | None] = []  # while recording: before and after each token since a crop
        self.is_initialized = False

    def update(self, states: State, num_tokens: int, steps: Sequence[State] = ()) -> State:
        """
        Replace the state by the one `num_tokens` later; `steps` holds the state after each of them if it was recorded.
        """
        if self.record_past:
            self.past = [*(self.past or [self.states]), *steps]
        self.states = states
        self.seen_tokens += num_tokens
        self.is_initialized = True
        return states

    def crop(self, tokens_to_remove: int) -> None:
        """
        Go back `-tokens_to_remove` tokens and forget the recorded states. A positive number is the count of tokens to
        keep (the meaning it has in earlier releases of transformers 5).
        """
        removed = self.seen_tokens - tokens_to_remove if tokens_to_remove > 0 else -tokens_to_remove
        if removed <= 0:
            self.past = self.past[-1:]
            return
        if removed >= len(self.past):
            raise ValueError(
                f"`crop` cannot take back {removed} tokens: {max(len(self.past) - 1, 0)} states were recorded. Call "
                "`activate_past_recording()` on the cache before the forward pass that may have to be taken back."
            )
        self.states = self.past[-1 - removed]
        self.past = [self.states]
        self.seen_tokens -= removed

    def activate_past_recording(self) -> None:
        self.record_past = True

    def stop_past_recording(self) -> None:
        self.record_past, self.past = False, []

    def map(self, function) -> None:
        """Apply `function` to every tensor of the state."""
        if self.states is not None:
            self.states = tuple(function(state) for state in self.states)
        self.past = [states and tuple(function(state) for state in states) for states in self.past]

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        self.map(lambda state: state.index_select(0, beam_idx.to(state.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.map(lambda state: state.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.map(lambda state: state[indices])

    def get_seq_length(self) -> int:
        return self.seen_tokens

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.seen_tokens + query_length, 0

    def get_max_length(self) -> int:
        return -1

    get_max_cache_shape = get_max_length  # its name in earlier releases of transformers 5

    def lazy_initialization(self, *args, **kwargs) -> None:
        """Nothing to prepare: a state that is absent is a state of zeros."""

    def offload(self) -> None:
        self.map(lambda state: state.to("cpu", non_blocking=True))

    def prefetch(self) -> None:
        """The layer moves its state to where it computes."""

    @property
    def batch_size(self) -> int:
        return -1 if self.states is None else self.states[0].shape[0]


class RecurrentCache(Cache):
    r"""
    The state of a recurrent model between two calls. Its size does not depend on the number of tokens seen. Models
    return it as `cache`, and continue from it when it is passed back; `past_key_values`, which transformers called it
    before 5.24, is understood everywhere.

    A call changes the object that it is given; keep a branching point with [`~RecurrentCache.copy`].

    Args:
        config ([`RecurrentConfig`]): Configuration of the model.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMModel, RecurrentCache

    >>> model = LSTMModel(LSTMConfig(vocab_size=100, hidden_size=8)).eval()
    >>> state = model(torch.tensor([[5, 6, 7]])).cache
    >>> branch = state.copy()
    >>> state = model(torch.tensor([[8]]), cache=state).cache
    >>> state.get_seq_length(), branch.get_seq_length()
    (4, 3)
    ```
    """

    def __init__(self, config: RecurrentConfig):
        super().__init__(layers=[RecurrentCacheLayer() for _ in range(config.num_hidden_layers)])
        self.model_type = config.model_type

    def __repr__(self) -> str:
        layers, seen = len(self.layers), self.get_seq_length()
        kind, rows = type(self).__name__, self.batch_size
        return f"{kind}({self.model_type!r}, {layers=}, batch_size={rows}, seen_tokens={seen})"

    @property
    def batch_size(self) -> int:
        """Number of rows, B; -1 before the first token."""
        return self.layers[0].batch_size

    def update(self, states: State, layer_idx: int, num_tokens: int, steps: Sequence[State] = ()) -> State:
        """Replace the state of layer `layer_idx`; see [`RecurrentCacheLayer.update`]."""
        return self.layers[layer_idx].update(states, num_tokens, steps)

    def activate_past_recording(self) -> None:
        """Keep the state after each token from now on, so that [`~RecurrentCache.crop`] can go back to it."""
        for layer in self.layers:
            layer.activate_past_recording()

    def stop_past_recording(self) -> None:
        """Keep the last state only, and forget the recorded ones."""
        for layer in self.layers:
            layer.stop_past_recording()

    def copy(self) -> "RecurrentCache":
        """A cache with the same state that goes its own way from here. Tensors are shared until they are replaced."""
        other = object.__new__(type(self))
        other.__dict__ = self.__dict__ | {"layers": [copy.copy(layer) for layer in self.layers]}
        return other

    __copy__ = copy

    def detach(self) -> "RecurrentCache":
        """Cut the state from the graph that computed it, in place, for truncated back-propagation through time."""
        for layer in self.layers:
            layer.map(torch.Tensor.detach)
        return self

    def to(self, *args, **kwargs) -> "RecurrentCache":
        """Move the state to a device or dtype, in place; arguments of `torch.Tensor.to`."""
        for layer in self.layers:
            layer.map(lambda state: state.to(*args, **kwargs))
        return self

    def save_file(self, path: str | os.PathLike) -> None:
        """Write the state to a safetensors file: a few kilobytes, whatever the number of tokens seen."""
        tensors = {
            f"layers.{i}.{k}": state.detach().contiguous()
            for i, layer in enumerate(self.layers)
            for k, state in enumerate(layer.states or ())
        }
        names = {"model_type": self.model_type, "num_layers": len(self.layers), "seen_tokens": self.get_seq_length()}
        save_file(tensors, path, metadata={"format": "pt"} | {name: str(value) for name, value in names.items()})

    @classmethod
    def load_file(cls, path: str | os.PathLike, device: str | torch.device = "cpu") -> "RecurrentCache":
        """
        Read what [`~RecurrentCache.save_file`] wrote.

        Raises:
            `ValueError`: If the safetensors file at `path` holds something else.
        """
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            if not {"model_type", "num_layers", "seen_tokens"} <= metadata.keys():
                raise ValueError(f"`path` {str(path)!r} is no saved state. Pass a file that `save_file` wrote.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        cache = cls.__new__(cls)
        Cache.__init__(cache, layers=[RecurrentCacheLayer() for _ in range(int(metadata["num_layers"]))])
        cache.model_type = metadata["model_type"]
        for i, layer in enumerate(cache.layers):
            names = sorted(name for name in tensors if name.startswith(f"layers.{i}."))
            if names:
                layer.update(tuple(tensors[name] for name in names), int(metadata["seen_tokens"]))
        return cache


def check_cache_kind(cache: Any) -> None:
    """
    Refuse a store of keys and values. Told by its attributes: the code in a saved folder is a copy with its own
    classes.
    """
    if not hasattr(cache, "stop_past_recording"):
        raise ValueError(
            f"`cache` is a {type(cache).__name__}, but a recurrent model keeps a state, no keys and values. Leave it "
            "out, pass the `cache` of an earlier output or `RecurrentCache(model.config)`."
        )

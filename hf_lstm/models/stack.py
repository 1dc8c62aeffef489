# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Recurrent layers, one on top of the other, over features of any kind: what every model has at its heart. Dimensions as
in `modeling_recurrent.py`; F features of a step.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPast

from .cache import RecurrentCache, State, WithCache, check_cache_kind, one_cache
from .configuration_stack import RecurrentStackConfig
from .layers import RecurrentLayer, SequenceDropout, bare_layer, run_layer
from .padding import Documents, Padding
from .pretrained import RecurrentPreTrainedModel, refuse_unknown
from .text_inputs import TextInputs, reads_nothing


Values = TypeVar("Values")  # what goes through the layers: tensors, or the names of nodes in a graph


@dataclass
class RecurrentModelOutput(WithCache, BaseModelOutputWithPast):
    """
    As [`~transformers.modeling_outputs.BaseModelOutputWithPast`], and one field more.

    Args:
        raw_hidden_state (`torch.Tensor` of shape `(B, T, D * P)`, with `output_raw=True`): `last_hidden_state` before
            its dropout.
    """

    raw_hidden_state: torch.Tensor | None = None


def _dropped(dropout: SequenceDropout, values: torch.Tensor) -> torch.Tensor:
    """A dropout, which is called in training alone: to call a module takes microseconds."""
    return dropout(values) if dropout.training else values


class RecurrentStack(RecurrentPreTrainedModel):
    """
    The layers, and all that happens between them: residual connections, normalisation, dropout, the state. It knows no
    vocabulary; [`RecurrentModel`] adds what it reads of a text.

    Args:
        config ([`RecurrentStackConfig`]): Configuration, whose `feature_size` is F.
        beside (`tuple[int, int]`, defaults to `(0, 0)`): Sizes of what the first layer, and each above it, reads
            beside that, and beside the outputs beneath; see `_run`.
    """

    carries_state = True
    features_name = "inputs_embeds"  # the argument that has features, and what a step is, in errors
    step_name = "token"

    def __init__(self, config: RecurrentStackConfig, beside: tuple[int, int] = (0, 0)):
        super().__init__(config)
        if not hasattr(self, "layer_class"):
            raise TypeError(
                f"`{type(self).__name__}` has no family of cells: derive it from `LSTMPreTrainedModel`, "
                "`GRUPreTrainedModel` or `RNNPreTrainedModel` as well."
            )
        config = self.config
        self.add_inputs(config)
        self.input_dropout = SequenceDropout(config.input_dropout, config.variational_dropout)
        self.hidden_dropout = SequenceDropout(config.hidden_dropout, config.variational_dropout)
        self.output_dropout = SequenceDropout(config.output_dropout, config.variational_dropout)
        configs = [config.of_layer(i) for i in range(config.num_hidden_layers)]
        sizes = [config.feature_size, *(each.output_size for each in configs)]
        reads = [size + beside[min(i, 1)] for i, size in enumerate(sizes)]
        self.layers = nn.ModuleList(map(self.layer_class, configs, reads))
        norms = sizes[1:] if config.layer_norm else []
        self.norms = nn.ModuleList(nn.LayerNorm(size, eps=config.layer_norm_eps) for size in norms)
        self.residual_connections = config.residual_connections  # reading a configuration takes microseconds
        self.gradient_checkpointing = False
        self.post_init()

    def add_inputs(self, config: RecurrentStackConfig) -> None:
        """Register what stands beneath the layers and makes features of inputs; here nothing."""
        self.embed_tokens = self.char_encoder = self.embed_shapes = self.context_encoder = self.piece_encoder = None

    def walk(
        self,
        values: Values,
        run: Callable[[int, RecurrentLayer, Values], Values],
        normalize: Callable[[nn.LayerNorm, Values], Values] = lambda norm, values: norm(values),
        add: Callable[[Values, Values], Values] = operator.add,
    ) -> list[Values]:
        """
        The way through the layers, which all that computes with them takes, whatever it computes on: the forward pass,
        a step of `generate`, diagnostics, the export to ONNX.

        Args:
            values: Features that the first layer reads.
            run (`Callable`): `(i, layer, inputs) -> outputs` of the recurrence of layer i.
            normalize (`Callable`, *optional*): `(norm, outputs) -> outputs`.
            add (`Callable`, *optional*): The sum of two values.

        Returns:
            `list`: the features, and what each layer hands on: L + 1 values.
        """
        layers, norms, residual = self.layers, self.norms, self.residual_connections  # each takes a microsecond
        norms = norms if len(norms) else None
        passed = [values]
        for i, layer in enumerate(layers):
            outputs = run(i, layer, values)
            if residual and i:
                outputs = add(outputs, values)
            if norms is not None:
                outputs = normalize(norms[i], outputs)
            passed.append(outputs)
            values = outputs
        return passed

    @reads_nothing
    def forward(
        self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None = None, **options: Any
    ) -> RecurrentModelOutput | tuple:
        r"""
        Args:
            inputs_embeds (`torch.Tensor` of shape `(B, T, F)`): Features of each step.
            attention_mask (`torch.Tensor` of shape `(B, T)`, *optional*), options: As in [`RecurrentModel.forward`],
                where the output is described too.
        """
        return self.read(self.embed(TextInputs(inputs_embeds=inputs_embeds)), attention_mask, **options)

    def embed(self, text: TextInputs) -> torch.Tensor:
        """
        What the first layer reads, (B, T, F): here what is given.

        Raises:
            `ValueError`: For features of another size, or of none.
        """
        features, size = text.inputs_embeds, self.embeds_size
        if features is None or features.ndim != 3 or features.shape[2] != size or 0 in features.shape:
            given = None if features is None else tuple(features.shape)
            raise ValueError(
                f"`{self.features_name}` has shape {given}, expected (batch, length, {size}) with at least one "
                f"{self.step_name}."
            )
        if not features.is_floating_point():
            raise ValueError(f"`{self.features_name}` must hold floating-point numbers, got {features.dtype}.")
        return features

    @property
    def embeds_size(self) -> int:
        """Size of `inputs_embeds`."""
        return self.config.feature_size

    @property
    def reads_features(self) -> bool:
        """Whether it reads features, and no ids."""
        return True

    def get_input_embeddings(self) -> nn.Module | None:
        """The embedding of tokens; None for features."""
        return self.embed_tokens

    def read(
        self,
        features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: RecurrentCache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        output_raw: bool = False,
        position_ids: torch.LongTensor | None = None,
        past_key_values: RecurrentCache | None = None,
        is_finite: bool = False,
        **kwargs: Any,
    ) -> RecurrentModelOutput | tuple:
        """
        The forward pass from features on, (B, T, F), which may hold anything at padding, even NaN, unless `is_finite`.
        All other arguments and the output: [`RecurrentModel.forward`].
        """
        if kwargs:
            refuse_unknown(kwargs, position_ids)
        batch_size, length = features.shape[:2]
        given_cache = cache if past_key_values is None else one_cache(cache, past_key_values)
        cache = self._cache(given_cache, use_cache, batch_size)
        padding = self._padding(attention_mask, batch_size, length, cache.get_seq_length() if cache is not None else 0)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if padding is not None and (output_hidden_states or not is_finite):
            features = padding.clear(features)
        documents = None
        if position_ids is not None:
            documents = self._documents(position_ids, (batch_size, length), padding, given_cache, use_cache)
        if documents is not None:
            features, padding, cache = documents.split(features), documents.padding, None
        passed = self._run(_dropped(self.input_dropout, features), padding, cache)
        raw = passed[-1] if output_raw else None
        passed[-1] = _dropped(self.output_dropout, passed[-1])
        if documents is not None:
            passed = list(map(documents.join, passed if output_hidden_states else passed[-1:]))
            raw = None if raw is None else documents.join(raw)
        cache = cache if use_cache is not False else None
        all_hidden_states = tuple(passed) if output_hidden_states else None
        if return_dict is None:
            return_dict = self.config.return_dict
        if not return_dict:
            return tuple(each for each in (passed[-1], cache, all_hidden_states, raw) if each is not None)
        return RecurrentModelOutput(passed[-1], cache, all_hidden_states, raw_hidden_state=raw)

    def _run(
        self,
        features: torch.Tensor,
        padding: Padding | None,
        cache: RecurrentCache | None,
        reads: Callable[[int, torch.Tensor], torch.Tensor] | None = None,
        initial: list[State] | None = None,
    ) -> list[torch.Tensor]:
        """
        Features and the output of each layer, (B, T, .); advances the cache. `reads` says what layer i makes of the
        outputs beneath before it reads them, dropout without it; `initial` where the states begin without a cache.
        """
        reads = reads or self._dropped_between

        def run(i: int, layer: RecurrentLayer, inputs: torch.Tensor) -> torch.Tensor:
            inputs = reads(i, inputs)
            if cache is None:
                return run_layer(layer, inputs, initial and initial[i], padding, False, False)[0]
            before = cache.layers[i]
            outputs, state, steps = run_layer(layer, inputs, before.states, padding, True, before.record_past)
            cache.update(state, i, inputs.shape[1], steps)
            return outputs

        def normalize(norm: nn.LayerNorm, outputs: torch.Tensor) -> torch.Tensor:
            return norm(outputs) if padding is None else padding.clear(norm(outputs))

        return self.walk(features, run, normalize)

    def _dropped_between(self, i: int, values: torch.Tensor) -> torch.Tensor:
        return _dropped(self.hidden_dropout, values) if i else values

    def _documents(self, position_ids, shape, padding, cache, use_cache) -> Documents | None:
        """The documents of packed rows; None if there is one a row."""
        documents = Documents(position_ids, shape, padding)
        if not documents.are_packed:
            return None
        for name, value in (("cache", cache), ("use_cache", use_cache or None)):
            if value is not None:
                raise ValueError(
                    f"`position_ids` begin anew within a row, so several texts are packed into it, and `{name}` would "
                    "be the state of one. Leave it out, or give each text a row of its own."
                )
        return documents

    def _cache(self, cache: RecurrentCache | None, use_cache: bool | None, batch_size: int) -> RecurrentCache | None:
        """The cache to continue from and to advance; a new one if the final state is wanted; else None."""
        if cache is None:
            by_default = self.config.use_cache and not self.training and not self.config.bidirectional
            wanted = by_default if use_cache is None else use_cache
            return self.new_cache() if wanted else None
        self._check_cache(cache, batch_size)
        return cache if use_cache is not False else cache.copy()

    def new_cache(self) -> RecurrentCache:
        """A state of zeros."""
        return RecurrentCache(self.config)

    def state_shapes(self, batch_size: int) -> list[list[tuple[int, ...]]]:
        """The shapes of the tensors of the state, of each layer of the cache."""
        layers = map(bare_layer, self.layers)
        return [[(batch_size, layer.num_directions, size) for size in layer.state_sizes] for layer in layers]

    def _check_cache(self, cache: Any, batch_size: int) -> None:
        """Refuse a cache of another kind, model or batch size."""
        check_cache_kind(cache)
        expected, kept = self.state_shapes(batch_size), cache.layers
        if expected[0][0][1] == 2 and cache.get_seq_length():
            raise ValueError(
                "`cache` cannot continue a bidirectional model, whose backward direction starts at the end. Pass the "
                "whole sequence at once."
            )
        fits = cache.model_type == self.config.model_type and len(kept) == len(expected)
        for shapes, own in zip(expected, kept, strict=False):
            if own.states is not None:
                fits = fits and [state.shape for state in own.states] == shapes
        if not fits:
            self._refuse_cache(cache, expected, batch_size)

    def _refuse_cache(self, cache: RecurrentCache, expected: list, batch_size: int) -> None:
        found = [[tuple(state.shape) for state in layer.states or ()] for layer in cache.layers]
        wrong = [pair for pair in zip(found, expected, strict=False) if pair[0] and pair[0] != pair[1]]
        shapes, needed = wrong[0] if wrong else (next(filter(None, found), None), expected[0])
        raise ValueError(
            f"`cache` is the state of a {cache.model_type!r} model with {len(found)} layers and states of shape "
            f"{shapes}, but this {self.config.model_type!r} model has {len(expected)} layers and needs {needed} for a "
            f"batch of {batch_size}. Pass the state of this model; `cache.batch_repeat_interleave(n)` repeats it for "
            "n beams or sequences."
        )

    def load_torch_weights(self, module: nn.RNNBase) -> None:
        """
        Copy the weights of a `torch.nn.LSTM`, `GRU` or `RNN` of the same sizes into the layers.

        Raises:
            `ValueError`: If the module is of another kind or size.
        """
        given = module.state_dict()
        for i, layer in enumerate(self.layers):
            wanted = {name: name.replace("_l0", f"_l{i}") for name in layer.state_dict()}
            shapes = {name: tuple(given[theirs].shape) for name, theirs in wanted.items() if theirs in given}
            if shapes != {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}:
                raise ValueError(
                    f"`module` {module} does not fit layer {i}, {layer}. Make the sizes and options equal."
                )
            layer.load_state_dict({name: given[theirs] for name, theirs in wanted.items()})
        if f"weight_ih_l{len(self.layers)}" in given:
            raise ValueError(f"`module` {module} has more layers than `num_hidden_layers={len(self.layers)}`.")

    def onnx_outputs(self, graph, hidden_states, packing):
        return {"last_hidden_state": graph.output(packing.unpack(hidden_states), "B", "T", self.config.output_size)}

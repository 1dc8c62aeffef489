# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The head that models language from left to right. Dimensions as in `modeling_recurrent.py`."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import can_return_tuple

from .cache import CACHE_NAME, RecurrentCache, State, WithCache, one_cache
from .configuration_recurrent import FEATURES_OF_WORDS, CausalLMOptions, RecurrentConfig
from .generation import RecurrentGenerationMixin
from .layers import RecurrentLayer, computes_as, refuse_adapter
from .losses import check_labels, divisor
from .modeling_recurrent import RecurrentModel
from .output_layers import AdaptiveSoftmax, ClusteredOutput, can_fuse, default_cutoffs, fused_loss, output_layer
from .padding import Documents, Padding, next_labels
from .pretrained import RecurrentHead, refuse_unknown
from .text_inputs import reads_nothing


@dataclass
class RecurrentCausalLMOutput(WithCache, CausalLMOutputWithPast):
    """[`~transformers.modeling_outputs.CausalLMOutputWithPast`], whose state is read by either of its names."""


def _without_prompts(mask, input_ids, inputs_embeds) -> torch.Tensor | None:
    """
    A mask as whole numbers where peft has put one before it, of floating-point ones, for its virtual tokens: before
    embeddings that begin with theirs, and at each later step of `generate`, whose state has seen them.
    """
    inputs = input_ids if inputs_embeds is None else inputs_embeds
    if mask is None or inputs is None or not mask.is_floating_point() or mask.ndim != 2:
        return mask
    if inputs_embeds is None and mask.shape[1] <= inputs.shape[1]:
        return mask
    if (mask[:, 0] == 1).all() and ((mask == 0) | (mask == 1)).all():
        return mask[:, -inputs.shape[1] :].long()
    return mask


class RecurrentForCausalLM(RecurrentHead, RecurrentGenerationMixin):
    """A backbone and an output layer over the vocabulary, tied to the embedding if the configuration says so."""

    _auto_class = "AutoModelForCausalLM"
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
    options_class = CausalLMOptions
    pipeline_task = "text-generation"
    metric = "perplexity"
    carries_state = True
    accepts_loss_kwargs = True

    def __init__(self, config: RecurrentConfig):
        if config.bidirectional:
            raise ValueError(
                "`bidirectional=True` cannot model language from left to right: the backward direction sees the "
                "tokens to be predicted. Use `bidirectional=False`."
            )
        if config.vocab_size is None:
            raise ValueError("`vocab_size=None` leaves nothing to predict. Set it to the number of tokens.")
        for name in FEATURES_OF_WORDS:
            if value := getattr(config, name):
                raise ValueError(
                    f"`{name}={value!r:.60}` gives the model features of whole words, which tokens that are being "
                    "generated do not have. Leave it out; a model of characters is one whose tokens are characters."
                )
        if config.output_layer == "adaptive" and config.adaptive_cutoffs is None:
            config = copy.deepcopy(config)
            config.adaptive_cutoffs = default_cutoffs(config.vocab_size)  # kept when the vocabulary grows
        super().__init__(config)
        self.loss_type = "ForCausalLM"  # whatever the name of a subclass
        config = self.config
        self.model = self.model_class(config)
        features = config.input_size if config.tie_word_embeddings else config.output_size
        self.projection = nn.Identity()
        if features != config.output_size and config.output_layer != "mixture":
            self.projection = nn.Linear(config.output_size, features, bias=False)
        self.lm_head, self.has_linear_output = output_layer(config), config.output_layer == "softmax"
        self.penalties = config.activation_regularization, config.temporal_activation_regularization
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        tables = self.lm_head.tables_of_tokens() if isinstance(self.lm_head, AdaptiveSoftmax) else ()
        if module is self.lm_head or any(module is table for table in tables):
            PreTrainedModel._init_weights(self, module)  # as one output layer
        else:
            super()._init_weights(module)

    def get_output_embeddings(self) -> nn.Module | None:
        """The output layer; None for an adaptive softmax that is not tied, which has several."""
        self._check_fused_head()
        return None if isinstance(self.lm_head, AdaptiveSoftmax) else super().get_output_embeddings()

    def _check_fused_head(self) -> None:
        """Refuse the forward pass that trl puts in place of ours where the output is not weight @ hidden states."""
        forward = vars(self).get("forward")
        code = getattr(getattr(forward, "__func__", forward), "__code__", None)
        if code is None or "fused_lm_head" not in code.co_varnames:
            return
        projects = not isinstance(self.projection, nn.Identity)
        names = {"output_layer": not self.has_linear_output, "embedding_size": projects}
        penalties = ("activation_regularization", "temporal_activation_regularization")
        names |= {name: self.training and bool(getattr(self.config, name)) for name in penalties}
        for name in (name for name, holds in names.items() if holds):
            raise ValueError(
                f"`{name}={getattr(self.config, name)!r}` would be left out: trl replaces the forward pass by one "
                "that multiplies the hidden states by the weight of the output layer. It needs a model with "
                "`output_layer='softmax'`, with an `embedding_size` like its outputs or `tie_word_embeddings=False`, "
                "and without penalties of activations. `Trainer` trains all others."
            )

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args, **kwargs) -> nn.Embedding:
        """As in transformers; of an adaptive softmax the last cluster grows or shrinks."""
        if new_num_tokens is not None and isinstance(self.lm_head, ClusteredOutput):
            self.lm_head.check_size(new_num_tokens)
        embeddings = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        if isinstance(self.lm_head, AdaptiveSoftmax):
            last, size = self.lm_head.tail[-1], embeddings.num_embeddings - self.lm_head.cutoffs[-1]
            last[1] = super()._get_resized_lm_head(last[1], size)
        return embeddings

    def _get_resized_lm_head(self, old_lm_head: nn.Module, *args, **kwargs) -> nn.Module:
        resized = super()._get_resized_lm_head(old_lm_head, *args, **kwargs)
        if type(old_lm_head) is nn.Linear:
            return resized
        for name in ("weight", "bias", "out_features"):
            setattr(old_lm_head, name, getattr(resized, name))
        return old_lm_head

    @can_return_tuple
    @reads_nothing
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: RecurrentCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        num_items_in_batch: int | torch.Tensor | None = None,
        output_logits: bool | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: RecurrentCache | None = None,
        **kwargs: Any,
    ) -> RecurrentCausalLMOutput:
        r"""
        All arguments that are not described here: [`RecurrentModel.forward`].

        Args:
            labels (`torch.LongTensor` of shape `(B, T)`, *optional*): Usually `input_ids`; each real position is
                trained to predict the label of the next real one. -100 and padding are left out.
            logits_to_keep (`int` or `torch.LongTensor`, defaults to 0): Compute logits for the last so many positions,
                or for the positions given, only; 0 for all.
            num_items_in_batch (`int` or `torch.Tensor`, *optional*): Divide the summed loss by this number, which
                Trainer counts over an accumulated batch, instead of by the number of labels.
            output_logits (`bool`, *optional*): Whether to return logits. Without them a loss is computed in a way that
                never holds the logits of the batch. Defaults to False in training with labels, and to True otherwise.
            shift_labels (`torch.LongTensor` of shape `(B, T)`, *optional*): In place of `labels`, the label that each
                position is trained to predict itself, so that the last one of a piece of a text has one too. -100 and
                padding are left out.

        Returns:
            [`RecurrentCausalLMOutput`]: `loss` (in nats), `logits` of shape `(B, T, V)`,
            `cache` ([`RecurrentCache`]), `hidden_states`.
        """
        shift_labels = kwargs.pop("shift_labels", None)  # Trainer takes a named argument for labels of evaluation
        refuse_unknown(kwargs, position_ids)
        has_labels = labels is not None or shift_labels is not None
        attention_mask = _without_prompts(attention_mask, input_ids, inputs_embeds)
        penalised = self.training and has_labels and any(self.penalties)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            cache=one_cache(cache, past_key_values),
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            return_dict=False,  # an output object costs as much as a small cell
            output_raw=penalised,
            position_ids=position_ids,
        )
        hidden_states, *rest = outputs
        raw = rest.pop() if penalised else None
        all_hidden_states = rest.pop() if rest and isinstance(rest[-1], tuple) else None
        cache = rest.pop() if rest else None
        given = isinstance(logits_to_keep, torch.Tensor)
        kept = logits_to_keep if given else slice(-logits_to_keep or None, None)
        if given or logits_to_keep:
            hidden_states = hidden_states[:, kept]
        if not self.has_linear_output:
            refuse_adapter(self.lm_head, "lm_head")
        hidden_states = self.projection(hidden_states)
        logits = loss = None
        if output_logits is None:
            output_logits = not (has_labels and self.training)
        if output_logits or (has_labels and not self._can_fuse_loss()):
            logits = self.lm_head(hidden_states)
        if has_labels:
            shape, length = hidden_states.shape[:2], outputs[0].shape[1]
            mask = None if attention_mask is None else attention_mask[:, -length:][:, kept]
            self._check_kept(given and shift_labels is None, penalised and shape[1] < length)
            following, padding = self._following(shape, labels, shift_labels, mask, position_ids)
            loss = self._loss(hidden_states, logits, labels, following, num_items_in_batch)
        if penalised:
            loss = loss + self._activation_penalty(outputs[0], raw, following, padding, num_items_in_batch)
        return RecurrentCausalLMOutput(
            loss=loss,
            logits=logits if output_logits else None,
            hidden_states=all_hidden_states,
            **{CACHE_NAME: cache},
        )

    def _can_fuse_loss(self) -> bool:
        """Whether loss and output layer can be computed together: nobody has replaced, wrapped or sharded either."""
        return can_fuse(self.lm_head) and not hasattr(self, "_loss_function")

    @staticmethod
    def _check_kept(without_next: bool, without_neighbours: bool) -> None:
        """Refuse positions with logits whose loss needs others."""
        if without_next or without_neighbours:
            raise ValueError(
                "`logits_to_keep` leaves out positions that `labels` or a penalty of activations may need. Leave it "
                "out, or give `shift_labels`: what each of its positions is to predict itself."
            )

    def _following(
        self, shape, labels, shift_labels, attention_mask, position_ids
    ) -> tuple[torch.Tensor, Padding | None]:
        """What each position with logits is to predict, (B, T), -100 for nothing, and the padding."""
        name, given = ("labels", labels) if shift_labels is None else ("shift_labels", shift_labels)
        if given.shape != shape:
            raise ValueError(
                f"`{name}` has shape {tuple(given.shape)}, expected {tuple(shape)}: a label for each position with "
                "logits. Leave `logits_to_keep` out when training."
            )
        padding = self._padding(attention_mask, *shape, 0)
        if shift_labels is not None:
            following = shift_labels if padding is None else shift_labels.masked_fill(~padding.mask, -100)
        else:
            if position_ids is not None:
                labels = labels.masked_fill(Documents(position_ids, shape, padding).starts, -100)
            following = next_labels(labels, padding)
        check_labels(following, self.config.vocab_size, name, "vocab_size")
        return following, padding

    def _loss(self, hidden_states, logits, labels, following, num_items_in_batch) -> torch.Tensor:
        """Cross-entropy of the next real token, in nats; without logits, from the inputs of the output layer."""
        if logits is None:
            return fused_loss(self.lm_head, hidden_states, following, num_items_in_batch)
        num_items = (following != -100).sum() if num_items_in_batch is None else num_items_in_batch
        return self.loss_function(
            logits,
            labels,
            vocab_size=logits.shape[-1],
            num_items_in_batch=divisor(num_items, logits),
            shift_labels=following.contiguous(),
        )

    def _activation_penalty(self, dropped, raw, following, padding, num_items_in_batch) -> torch.Tensor:
        """
        AR and TAR (Merity et al. 2018, section 4.6) of the outputs of the last layer, `dropped` and `raw`, (B, T, P):
        alpha h_t^2 and beta (h_t - h_u)^2, u the next real position, both a mean over the units and over the positions
        that have something to predict, as the loss itself is. So the parts of an accumulated batch add up to the
        penalty of the whole.
        """
        if padding is not None:
            dropped, raw, following = (padding.pack(each) for each in (dropped, raw, following))
        counts = following != -100
        num_items = counts.sum() if num_items_in_batch is None else num_items_in_batch
        (alpha, beta), precise = self.penalties, torch.promote_types(raw.dtype, torch.float32)
        penalty = 0.0
        if alpha:
            penalty = alpha * dropped.to(precise).square().mean(-1)[counts].sum()
        if beta:
            followed = counts[:, :-1] if padding is None else counts[:, :-1] & ~padding.trailing[:, 1:]
            change = raw[:, 1:].to(precise) - raw[:, :-1]
            penalty = penalty + beta * change.square().mean(-1)[followed].sum()
        return penalty / divisor(num_items, raw)

    # Single steps, for the loop of `generate`.

    def step_function(self, states: list[State], cache: RecurrentCache) -> Callable[[torch.LongTensor], torch.Tensor]:
        walk, embed, head, project = self.model.walk, self.model.embed_tokens, self.lm_head, self.projection
        cells = [layer.cell_function() for layer in self.model.layers]

        def run(i: int, layer: RecurrentLayer, inputs: torch.Tensor) -> torch.Tensor:
            states[i] = state = cells[i](inputs, states[i])
            return state[0]

        if isinstance(project, nn.Identity):
            return lambda token: head(walk(embed(token), run)[-1])
        return lambda token: head(project(walk(embed(token), run)[-1]))

    def _has_plain_steps(self) -> bool:
        layers = ((layer, RecurrentLayer) for layer in self.model.layers)
        own = (self, RecurrentForCausalLM), (self.model, RecurrentModel)
        return not self.training and all(computes_as(module, home) for module, home in (*own, *layers))

    def onnx_outputs(self, graph, hidden_states, packing):
        features = graph.linear(packing.unpack(hidden_states), self.projection)
        return {
            "logits": graph.output(graph.vocabulary_logits(features, self.lm_head), "B", "T", self.config.vocab_size)
        }

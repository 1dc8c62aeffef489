# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What every recurrent model is, whatever its task: loading, saving, initialisation, checks of its inputs, and what a
head says of itself. Dimensions as in `modeling_recurrent.py`.
"""

import copy
import dataclasses
import sys
from typing import Any, ClassVar

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .cache import CACHE_NAMES
from .configuration_recurrent import RecurrentConfig
from .configuration_stack import RecurrentStackConfig
from .layers import RecurrentLayer
from .padding import Padding
from .saving import SavingMixin
from .tracing import is_exported


# Fields that act whenever they are set; `vocab_size` changes with the embedding. Others are read by the constructor.
_ACT_WHEN_SET = {"use_cache", "word_dropout", "embedding_dropout", "vocab_size", "tag_scheme"}
_ACT_WHEN_SET |= {"initializer", "initializer_range", "forget_gate_bias"}  # on weights to come
_ACT_WHEN_SET |= {"pad_token_id", "unk_token_id", "bos_token_id", "eos_token_id"}  # Trainer takes the tokenizer's
_ACT_WHEN_SET |= {"encoder", "decoder", "decoder_start_token_id", "label_smoothing"}  # parts are asked themselves


class RecurrentPreTrainedModel(SavingMixin, PreTrainedModel):
    """
    Base of all models. A head says here what it is, in the attributes below; nothing else knows of it.

    Attributes:
        library (`str`): "hf_lstm": whether a model is ours, the same for a copy of the class in a saved folder.
        pipeline_task (`str`, *optional*): The task of the Hub and of `transformers.pipeline`.
        carries_state (`bool`): Whether a call returns a state, and continues from one that it is given.
        bidirectional_by_default (`bool`): What `bidirectional=None` means.
        metric (`str`, *optional*): The metric, by its id on the Hub, that tells which of two models is better.
        accepts_loss_kwargs (`bool`): Read by Trainer: whether the loss is a sum that `forward` divides by
            `num_items_in_batch` itself, and not a mean over the batch.
    """

    config: RecurrentStackConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = [*CACHE_NAMES]
    layer_class: ClassVar[type[RecurrentLayer]]

    library: ClassVar[str] = "hf_lstm"
    pipeline_task: ClassVar[str | None] = None
    carries_state: ClassVar[bool] = False
    bidirectional_by_default: ClassVar[bool] = False
    metric: ClassVar[str | None] = None
    accepts_loss_kwargs: ClassVar[bool] = False
    acts_when_set: ClassVar[set[str]] = set()  # fields of the configuration that are read at each call

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # `pipeline` accepts a model, and Trainer shifts labels for label smoothing, by these lists of class names.
        auto_class = getattr(transformers, cls._auto_class or "", None)
        if auto_class is not None:
            auto_class._model_mapping._model_mapping[f"hf_lstm.{cls.__name__}"] = cls.__name__

    def __init__(self, config: RecurrentStackConfig):
        config.validate_recurrent()  # once more: `from_pretrained(..., field=value)` sets fields after the first check
        if getattr(config, "bidirectional", False) is None:
            config = copy.deepcopy(config)  # for another head of the same configuration
            config.bidirectional = self.bidirectional_by_default
        super().__init__(config)
        inherited = {field.name for field in dataclasses.fields(PreTrainedConfig)} | _ACT_WHEN_SET | self.acts_when_set
        names = [field.name for field in dataclasses.fields(config) if field.name not in inherited]
        self._built = copy.deepcopy({name: getattr(config, name) for name in names})

    @classmethod
    def heads(cls) -> dict[str, type[PreTrainedModel]]:
        """The classes of the family by the Auto class that loads them, as the file of the family names them."""
        home = vars(sys.modules[cls.family().__module__])
        own = [each for each in home.values() if isinstance(each, type) and each.__module__ == home["__name__"]]
        own = [each for each in own if getattr(each, "named_cell", None) is None]  # a folder says of what cells it is
        return {each._auto_class: each for each in own if getattr(each, "_auto_class", None) in vars(transformers)}

    @classmethod
    def family(cls) -> type[PreTrainedModel]:
        """The base of the family, such as [`LSTMPreTrainedModel`]."""
        return next(each for each in cls.__mro__ if "layer_class" in vars(each))

    def onnx_outputs(self, graph, hidden_states: str, packing) -> dict[str, tuple]:
        """
        What the head computes, in operators of ONNX (opset 17), each of which is a method of the graph.

        Args:
            graph ([`~onnx_graph.ModelGraph`]): Where operators are called.
            hidden_states (`str`): Name of the outputs of the backbone, time first: (T, B, D * P), zero at padding.
            packing ([`~onnx_operators.Packing`]): Where the real positions are.

        Returns:
            `dict`: outputs of `forward` by their names, of the same shapes, each as `graph.output` describes it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes: it has no `onnx_outputs`.")

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, RecurrentLayer):
            module.init_weights(self.config)
        elif getattr(module, "draws_own_weights", False):  # by name: a saved folder may have a copy of the class
            module.init_weights()
        elif isinstance(module, (nn.Linear, nn.Conv1d)):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def resize_token_embeddings(self, *args, **kwargs) -> nn.Embedding:
        """As in transformers."""
        if self.get_input_embeddings() is None:
            raise ValueError("`vocab_size` is None, or `embedding_size` 0: this model has no tokens to resize.")
        return super().resize_token_embeddings(*args, **kwargs)

    def check_configuration(self) -> None:
        """
        Refuse a configuration that says of the model what it is not: a folder would be read as another model.

        Raises:
            `ValueError`: If a field was set that is read only when a model is built.
        """
        for name, value in self._built.items():
            if (now := getattr(self.config, name)) != value:
                raise ValueError(
                    f"`{name}` of the configuration was {value!r:.60} when the model was built, which it still has, "
                    f"and is {now!r:.60} now: the folder would hold another model. Set it back, or build a model from "
                    "a configuration that has it from the start."
                )

    def save_pretrained(self, *args, **kwargs):
        """
        As in transformers; the folder carries the code of the class and names all Auto classes of its family.

        Raises:
            `ValueError`: By [`~RecurrentPreTrainedModel.check_configuration`].
        """
        self.check_configuration()
        own = type(self)
        sharded = own.__bases__[0].__name__ == "FSDPModule"
        if sharded:  # with the class that FSDP2 made of ours, torch's files would travel
            own = own.__bases__[1]
        # Transformers adds the configuration and the saved class. A subclass travels with the file that defines it, in
        # which the other heads are not.
        home = self.family().__module__
        heads = self.heads() if own.__module__ == home != "__main__" else {}
        module = home.rsplit(".", 1)[-1]  # "modeling_lstm"
        self.config.auto_map = {auto_class: f"{module}.{head.__name__}" for auto_class, head in heads.items()}
        weights = kwargs.get("state_dict")
        if sharded and weights:  # tied ones were gathered twice
            kwargs["state_dict"] = weights | {a: weights[b] for a, b in self.all_tied_weights_keys.items()}
        present, self.__class__ = type(self), own
        try:
            return super().save_pretrained(*args, **kwargs)
        finally:
            self.__class__ = present

    def _padding(self, attention_mask: torch.Tensor | None, batch_size: int, length: int, past: int) -> Padding | None:
        """The padding of the current positions; None if every one is real."""
        if attention_mask is None:
            return None
        if attention_mask.is_floating_point() or attention_mask.is_complex():
            raise ValueError(
                "`attention_mask` must be boolean or integer, 1 at real tokens and 0 at padding, got "
                f"{attention_mask.dtype}. Pass `attention_mask.long()` if it holds zeros and ones."
            )
        # With a cache, `generate` passes the mask of all tokens so far.
        if attention_mask.shape not in ((batch_size, length), (batch_size, past + length)):
            raise ValueError(
                f"`attention_mask` has shape {tuple(attention_mask.shape)}, expected {(batch_size, length)}"
                + (f" or, with the {past} tokens of the cache, {(batch_size, past + length)}." if past else ".")
            )
        mask = attention_mask[:, -length:] != 0
        return None if not is_exported() and mask.all() else Padding(mask)


class RecurrentHead(RecurrentPreTrainedModel):
    """A backbone with something on top of it."""

    config: RecurrentConfig
    model_class: ClassVar[type[RecurrentPreTrainedModel]]  # the backbone
    options_class: ClassVar[type[RecurrentStackConfig] | None] = None  # what of the configuration it alone has

    def __init__(self, config: RecurrentConfig):
        super().__init__(config.for_head(type(self).__name__, self.options_class))


def recurrent_model(model: nn.Module, argument: str = "model") -> RecurrentPreTrainedModel:
    """
    The recurrent model itself, without the wrappers of torch and peft; a copy of the class in a saved folder is one.

    Raises:
        `ValueError`: If it is none of ours; `argument` is what the error calls it.
    """
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model.module
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    if getattr(bare, "library", None) != RecurrentPreTrainedModel.library:
        raise ValueError(f"`{argument}` is a {type(bare).__name__}, no model of hf_lstm. Give one of this package.")
    return bare


# What collators of packed batches say beside `position_ids`, once more in other words.
PACKING = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")


def refuse_unknown(kwargs: dict[str, Any], position_ids: torch.Tensor | None = None) -> None:
    """Refuse what a forward pass cannot honour; libraries may pass switches of other models that are off."""
    used = [name for name, value in kwargs.items() if value is not None and value is not False]
    if position_ids is not None:
        used = [name for name in used if name not in PACKING]
    if not used:
        return
    advice = "Leave it out."
    if used[0] == "position_ids":
        advice = "Leave it out, and put one text a row."
    elif used[0] in PACKING:
        advice = "Pass the `position_ids` of the packed texts, too, where the model takes them; or put one text a row."
    raise TypeError(f"`{used[0]}` is no argument of a recurrent model's forward pass. {advice}")

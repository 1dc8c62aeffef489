# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Fine-tuning a classifier that begins with the weights of a language model: ULMFiT (Howard & Ruder 2018).

A folder with a language model loads as the backbone of any head, as `from_pretrained` always does; transformers then
reports the weights of the output layer as not used and those of the new head as new. What the paper adds to plain
training is here: smaller learning rates for lower layers, a schedule of the rates, and layers that join the training
one after another.
"""

import math
import re
from functools import partial

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, TrainerCallback

from ..models.pretrained import recurrent_model
from .card_trainer import CardTrainer


def layer_groups(model: PreTrainedModel) -> list[dict[str, nn.Parameter]]:
    """
    The parameters of a recurrent model by layer, from the bottom to the top: of a pretrained encoder the embeddings
    and each layer; the embeddings of whatever kind; each recurrent layer with its normalisation; the head. A tied
    output embedding is among the embeddings, and a group without parameters is left out.

    Args:
        model ([`~transformers.PreTrainedModel`]): A backbone of this package, or a model with a head.

    Returns:
        `list[dict[str, torch.nn.Parameter]]`: Parameters by their names in `model`.

    Raises:
        `ValueError`: If there are no recurrent layers in `model`.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForSequenceClassification
    >>> from hf_lstm.training.transfer import layer_groups

    >>> model = LSTMForSequenceClassification(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> [len(group) for group in layer_groups(model)]
    [1, 4, 2]
    ```
    """
    backbone = recurrent_model(model).base_model
    encoder = encoder_layers(model)
    embeddings, top = len(encoder), len(encoder) + len(backbone.layers) + 1
    levels = dict.fromkeys(backbone.parameters(), embeddings)
    for modules, first in ((encoder, 0), (backbone.layers, embeddings + 1), (backbone.norms, embeddings + 1)):
        levels |= {each: i for i, module in enumerate(modules, first) for each in module.parameters()}
    groups = [{} for _ in range(top + 1)]
    for name, parameter in model.named_parameters():
        groups[levels.get(parameter, top)][name] = parameter
    return [group for group in groups if group]


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """
    The pretrained encoder that a recurrent model reads, in parts from the bottom to the top: all that is in no layer,
    such as the embeddings, then each layer.

    Args:
        model ([`~transformers.PreTrainedModel`]): A backbone of this package, or a model with a head.

    Returns:
        `list[torch.nn.Module]`: The parts; none without an encoder.
    """
    reader = recurrent_model(model).base_model.piece_encoder
    if reader is None:
        return []
    number = reader.encoder.config.num_hidden_layers
    lists = [each for each in reader.encoder.modules() if isinstance(each, nn.ModuleList) and len(each) == number]
    return [reader.encoder, *(lists[0] if lists else [])]


def parameter_groups(
    model: PreTrainedModel, learning_rate: float, factor: float = 2.6, weight_decay: float = 0.0
) -> list[dict]:
    """
    Discriminative fine-tuning (Howard & Ruder 2018, section 3.2): the head learns at `learning_rate`, and each group
    of [`layer_groups`] below at that of the group above it divided by `factor`.

    Args:
        model ([`~transformers.PreTrainedModel`]): The model. Parameters that are frozen now are left out.
        learning_rate (`float`): Rate of the head.
        factor (`float`, *optional*, defaults to 2.6): What the rate is divided by from layer to layer, at least 1.
        weight_decay (`float`, *optional*, defaults to 0.0): For all but biases and normalisations.

    Returns:
        `list[dict]`: The groups for an optimizer of torch, the head first, with `params`, `lr` and `weight_decay`.

    Raises:
        `ValueError`: If `factor` is below 1 or `model` is no recurrent model.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMForSequenceClassification
    >>> from hf_lstm.training.transfer import parameter_groups

    >>> model = LSTMForSequenceClassification(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> optimizer = torch.optim.AdamW(parameter_groups(model, 0.01))
    >>> sorted({round(group["lr"], 5) for group in optimizer.param_groups})
    [0.00148, 0.00385, 0.01]
    ```
    """
    if not factor >= 1:
        raise ValueError(f"`factor` is {factor}: give at least 1, by which rates shrink from layer to layer.")
    groups = []
    for depth, layer in enumerate(reversed(layer_groups(model))):
        decayed, others = [], []
        for name, parameter in layer.items():
            if parameter.requires_grad:
                (decayed if _is_decayed(name) else others).append(parameter)
        rate = learning_rate / factor**depth
        for parameters, decay in ((decayed, weight_decay), (others, 0.0)):
            if parameters:
                groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
    return groups


def _is_decayed(name: str) -> bool:
    """Whether weight decay is for a parameter of this name: for all but biases and normalisations."""
    return not re.search("bias|norm", name, re.IGNORECASE)  # an encoder's may be called LayerNorm


def encoder_parameter_groups(
    model: PreTrainedModel,
    learning_rate: float,
    encoder_learning_rate: float,
    layer_decay: float = 1.0,
    weight_decay: float = 0.0,
) -> list[dict]:
    """
    Learning rates of a model that reads a pretrained encoder: one for all that begins at random, a lower one for the
    encoder, and still lower ones for its lower layers (Howard & Ruder 2018, section 3.2).

    Args:
        model ([`~transformers.PreTrainedModel`]): The model. Parameters that are frozen now are left out.
        learning_rate (`float`): Rate of all but the encoder.
        encoder_learning_rate (`float`): Rate of the encoder's last layer.
        layer_decay (`float`, *optional*, defaults to 1.0): What the rate is multiplied by from layer to layer below.
        weight_decay (`float`, *optional*, defaults to 0.0): For all but biases and normalisations.

    Returns:
        `list[dict]`: The groups for an optimizer of torch, with `params`, `lr` and `weight_decay`.

    Raises:
        `ValueError`: If `layer_decay` is not above 0 and at most 1, or `model` reads no encoder.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"`layer_decay` is {layer_decay}: give a factor above 0, and 1 for equal rates.")
    parts = encoder_layers(model)
    if not parts:
        raise ValueError("`model` reads no encoder: use a trainer without `encoder_learning_rate`.")
    rates = {}
    for depth, part in enumerate([*reversed(parts[1:]), parts[0]]):
        for parameter in part.parameters():
            rates.setdefault(parameter, encoder_learning_rate * layer_decay**depth)
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if _is_decayed(name) else 0.0
            groups.setdefault((rates.get(parameter, learning_rate), decay), []).append(parameter)
    return [{"params": each, "lr": rate, "weight_decay": decay} for (rate, decay), each in groups.items()]


def slanted_triangular(step: int, num_training_steps: int, cut_frac: float = 0.1, ratio: float = 32) -> float:
    """
    Slanted triangular learning rates (Howard & Ruder 2018, section 3.2, equation 3), as a share of the highest rate:
    a straight rise from `1 / ratio` in the first `cut_frac` of the steps, and a straight descent to it in all others.
    Where `cut_frac * num_training_steps` is not whole, the rise ends at the step before, and the descent is that much
    longer; the equation as printed would descend below zero.

    Args:
        step (`int`): The step, from 0.
        num_training_steps (`int`): Number of steps, T.
        cut_frac (`float`, *optional*, defaults to 0.1): Share of the steps in which the rate rises.
        ratio (`float`, *optional*, defaults to 32): How much smaller the lowest rate is than the highest.

    Returns:
        `float`: The share, from `1 / ratio` to 1.

    Example:

    ```python
    >>> from hf_lstm.training.transfer import slanted_triangular

    >>> [round(slanted_triangular(step, 100), 3) for step in (0, 5, 10, 55, 100)]
    [0.031, 0.516, 1.0, 0.516, 0.031]
    ```
    """
    # A product like 0.07 * 100 lies a rounding error above 7; below, the floor would lose a step.
    cut = math.floor(num_training_steps * cut_frac + 1e-9)
    share = step / cut if step < cut else 1 - (step - cut) / max(num_training_steps - cut, 1)
    return (1 + max(share, 0) * (ratio - 1)) / ratio


class FineTuningTrainer(CardTrainer):
    """
    A `Trainer` with the learning rates of ULMFiT: [`parameter_groups`] and [`slanted_triangular`]. The optimizer is
    that of the arguments, `learning_rate` is the highest rate of the head, which is also the one in the logs, and
    `lr_scheduler_type` and `warmup_steps` have no effect. It joins with other trainers: `class
    Mine(FineTuningTrainer, LengthBatchingTrainer)`.

    Args:
        factor (`float`, *optional*, defaults to 2.6): See [`parameter_groups`]; 1 for equal rates.
        cut_frac (`float`, *optional*, defaults to 0.1): See [`slanted_triangular`].
        ratio (`float`, *optional*, defaults to 32): See [`slanted_triangular`].
        kwargs: The arguments of `Trainer`, in their order or by name.

    Raises:
        `ValueError`: If `cut_frac`, `ratio` or `factor` are out of range.

    Example:

    ```python
    >>> from transformers import TrainingArguments
    >>> from hf_lstm import LSTMConfig, LSTMForSequenceClassification
    >>> from hf_lstm.training.transfer import FineTuningTrainer, GradualUnfreezing

    >>> model = LSTMForSequenceClassification(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> arguments = TrainingArguments("out", learning_rate=0.01, report_to="none", use_cpu=True)
    >>> trainer = FineTuningTrainer(model, arguments, callbacks=[GradualUnfreezing()])
    >>> [group["lr"] for group in trainer.create_optimizer().param_groups][0]
    0.01
    ```
    """

    def __init__(self, *args, factor: float = 2.6, cut_frac: float = 0.1, ratio: float = 32, **kwargs):
        if not 0 <= cut_frac < 1:
            raise ValueError(f"`cut_frac` is {cut_frac}: give a share of the steps, from 0 to below 1.")
        for name, value in (("ratio", ratio), ("factor", factor)):
            if not value >= 1:
                raise ValueError(f"`{name}` is {value}: give at least 1.")
        super().__init__(*args, **kwargs)
        self.factor, self.cut_frac, self.ratio = factor, cut_frac, ratio

    def create_optimizer(self, model: PreTrainedModel | None = None) -> torch.optim.Optimizer:
        """The optimizer of the arguments over [`parameter_groups`], unless one was given."""
        if self.optimizer is None:
            model = self.model if model is None else model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, model)
            groups = parameter_groups(model, self.args.learning_rate, self.factor, self.args.weight_decay)
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LambdaLR:
        """[`slanted_triangular`] on the rate of each group, unless a scheduler was given."""
        if self.lr_scheduler is None:
            options = {"cut_frac": self.cut_frac, "ratio": self.ratio, "num_training_steps": num_training_steps}
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, partial(slanted_triangular, **options))
            self._created_lr_scheduler = True  # by which `Trainer` makes a new one for the next training
        return self.lr_scheduler


class EncoderTrainer(CardTrainer):
    """
    A `Trainer` with the learning rates of [`encoder_parameter_groups`]; the optimizer and the schedule are those of
    the arguments. A frozen encoder has none. It joins with other trainers: `class Mine(EncoderTrainer,
    LengthBatchingTrainer)`.

    Args:
        encoder_learning_rate (`float`, *optional*, defaults to 1e-4): Highest rate of the encoder's last layer.
        layer_decay (`float`, *optional*, defaults to 1.0): See [`encoder_parameter_groups`].
        kwargs: The arguments of `Trainer`, in their order or by name.
    """

    def __init__(self, *args, encoder_learning_rate: float = 1e-4, layer_decay: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.encoder_learning_rate, self.layer_decay = encoder_learning_rate, layer_decay

    def create_optimizer(self, model: PreTrainedModel | None = None) -> torch.optim.Optimizer:
        """The optimizer of the arguments over [`encoder_parameter_groups`], unless one was given."""
        if self.optimizer is None:
            model = self.model if model is None else model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, model)
            rates = self.args.learning_rate, self.encoder_learning_rate, self.layer_decay
            self.optimizer = kind(encoder_parameter_groups(model, *rates, self.args.weight_decay), **options)
        return self.optimizer


class GradualUnfreezing(TrainerCallback):
    """
    Gradual unfreezing (Howard & Ruder 2018, section 3.3): training begins with the head alone, and with every epoch
    the next lower group of [`layer_groups`] joins. A group that has not joined has no gradients, so that neither
    steps nor weight decay move it. How many take part depends on the epoch alone: training that resumes from a
    checkpoint goes on as it would have. Parameters that are frozen from the start stay so, and when training ends, the
    others are all free again.

    Args:
        epochs_per_group (`float`, *optional*, defaults to 1.0): Epochs, or a fraction of one, until the next joins.

    Raises:
        `ValueError`: If `epochs_per_group` is not above 0.

    Example:

    ```python
    >>> from hf_lstm.training.transfer import GradualUnfreezing

    >>> GradualUnfreezing(0.5).groups_at(1.25)
    3
    ```
    """

    def __init__(self, epochs_per_group: float = 1.0):
        if not epochs_per_group > 0:
            raise ValueError(f"`epochs_per_group` is {epochs_per_group}: give a number of epochs above 0.")
        self.epochs_per_group = epochs_per_group
        self._groups: list[list[nn.Parameter]] = []  # from the top

    def groups_at(self, epoch: float) -> int:
        """How many groups take part, when so many epochs are done."""
        return 1 + math.floor(epoch / self.epochs_per_group + 1e-6)  # steps are not exact fractions of an epoch

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        groups = [[p for p in group.values() if p.requires_grad] for group in reversed(layer_groups(model))]
        self._groups = [group for group in groups if group]
        self._free(self.groups_at(state.epoch or 0))

    def on_step_begin(self, args, state, control, **kwargs):
        self._free(self.groups_at(state.epoch or 0))

    def on_train_end(self, args, state, control, **kwargs):
        self._free(len(self._groups))

    def _free(self, number: int) -> None:
        for i, group in enumerate(self._groups):
            for parameter in group:
                parameter.requires_grad_(i < number)

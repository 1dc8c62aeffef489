# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Callbacks for `Trainer`. Glossary: d the decay of an average, w(t) the weights after step t."""

import torch
from transformers import TrainerCallback


class WeightAveraging(TrainerCallback):
    """
    Evaluates, saves and ends with an average of the weights of all steps so far, in which the weights of a step count
    `decay` times as much as those of the next: after n steps, Σ d^(n-t) w(t) / Σ d^(n-t) over t = 1 to n (Polyak &
    Juditsky 1992 for averages of iterates; Kingma & Ba 2015, section 7.2, for this one). About the last 1 / (1 - d)
    steps count. Training itself goes the same way as without.

    Checkpoints hold the averaged weights as those of the model, and the trained ones beside the state of the
    optimizer: an interrupted training that resumes with this callback ends as one that was not interrupted. With
    `load_best_model_at_end` the model ends with the average that had the best score.

    It costs the memory of the weights once more. Put it behind callbacks of your own that ask for an evaluation or a
    checkpoint. It is not made for weights that are shared out over processes (FSDP, DeepSpeed).

    Args:
        decay (`float`, *optional*, defaults to 0.998): d, from 0 (the last weights) to below 1.

    Raises:
        ValueError: If `decay` is out of range, or if weights are of less than 32 bits, in which an average stands
            still; `bf16=True` in the arguments of the trainer is not meant, it keeps the weights in 32 bits.

    Example:

    ```python
    >>> from transformers import DefaultDataCollator, Trainer, TrainingArguments
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.callbacks import WeightAveraging

    >>> rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 8
    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> arguments = TrainingArguments("out", report_to="none", use_cpu=True, disable_tqdm=True, save_strategy="no")
    >>> options = {"data_collator": DefaultDataCollator(), "train_dataset": rows}
    >>> trainer = Trainer(model, arguments, callbacks=[WeightAveraging(decay=0.9)], **options)
    >>> trainer.train().global_step  # doctest: +ELLIPSIS
    {'train_runtime': ...}
    3
    ```
    """

    def __init__(self, decay: float = 0.998):
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must be at least 0 and less than 1, got {decay!r}.")
        self.decay = decay

    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
        for group in optimizer.param_groups:
            kept = group.get("averaging")  # what a checkpoint had, or nothing yet
            if kept is None:
                group["averaging"] = {"steps": 0, "swapped": False, "weights": _copies(group["params"])}
            else:
                pairs = zip(kept["weights"], group["params"], strict=True)
                kept["weights"] = [weight.to(parameter.device) for weight, parameter in pairs]

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        _swap(optimizer, averaged=False)

    def on_step_end(self, args, state, control, optimizer=None, **kwargs):
        for group in optimizer.param_groups:
            kept = group["averaging"]
            kept["steps"] += 1
            share = (1 - self.decay) / (1 - self.decay ** kept["steps"])  # of this step: 1 of the first
            torch._foreach_lerp_(kept["weights"], [parameter.data for parameter in group["params"]], share)
        self._show(control, optimizer)

    def on_epoch_end(self, args, state, control, optimizer=None, **kwargs):
        self._show(control, optimizer)

    def on_train_end(self, args, state, control, optimizer=None, **kwargs):
        if not (args.load_best_model_at_end and state.best_model_checkpoint):  # else the best average is loaded
            _swap(optimizer, averaged=True)
        for group in optimizer.param_groups:
            del group["averaging"]

    @staticmethod
    def _show(control, optimizer):
        if control.should_evaluate or control.should_save:
            _swap(optimizer, averaged=True)


def _copies(parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    for parameter in parameters:
        if torch.finfo(parameter.dtype).bits < 32:
            raise ValueError(
                f"`model` has weights of type {parameter.dtype}, too coarse to average: train it in float32, with "
                "`bf16=True` in the arguments if you like."
            )
    return [parameter.detach().clone() for parameter in parameters]


def _swap(optimizer: torch.optim.Optimizer, averaged: bool) -> None:
    """
    Give the model the averaged or the trained weights, and keep the others. They are kept in the groups of the
    optimizer, because its checkpoints hold whatever stands there.
    """
    for group in optimizer.param_groups:
        kept = group["averaging"]
        if kept["swapped"] != averaged:
            kept["swapped"] = averaged
            for parameter, other in zip(group["params"], kept["weights"], strict=True):
                mine = parameter.detach().clone()
                parameter.data.copy_(other)
                other.copy_(mine)


__all__ = ["WeightAveraging"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Averages of the weights that training passes through, as callbacks of `Trainer` (Polyak & Juditsky 1992): of all steps,
where the last ones count most, or from a fixed step on, or from the evaluation on at which the model no longer gets
better (Merity et al. 2018, section 3).

Glossary: d the decay of an average, w(t) the weights after step t, n the number of weights in a mean.
"""

import copy
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState
from transformers.utils import logging

from ..distributed import is_sharded


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there

FILE_NAME = "averaging.safetensors"  # beside the model in a checkpoint


class _Averaging(TrainerCallback, ExportableState):
    """A mean of weights, which the model has whenever it is evaluated or saved, and when training ends."""

    arguments: tuple[str, ...]  # of the constructor
    attributes: tuple[str, ...] = ("num_averaged",)  # what training resumes with, beside the weights

    def __init__(self):
        self.num_averaged = 0
        self._parameters: dict[str, torch.nn.Parameter] = {}  # those that are trained, tied ones once
        self._means: dict[str, torch.Tensor] = {}
        self._own: dict[str, torch.Tensor] = {}  # the weights as training left them, while the model holds the mean

    def _counts(self, step: int) -> bool:
        """Whether the weights after this step are in the mean."""
        raise NotImplementedError

    def _share(self) -> float:
        """The share in the mean of the weights that came last."""
        raise NotImplementedError

    def state(self) -> dict:
        """What `Trainer` writes to `trainer_state.json`."""
        return {
            "args": {name: getattr(self, name) for name in self.arguments},
            "attributes": {name: copy.deepcopy(getattr(self, name)) for name in self.attributes},
        }

    # What Trainer calls, in the order of a run.

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        if args.deepspeed or args.fsdp or is_sharded(model):  # accelerate's own settings are not in `args`
            raise ValueError("`args.deepspeed` and FSDP keep weights in pieces, which cannot be averaged: use DDP.")
        self.num_averaged, self._means, self._own = 0, {}, {}
        trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self._parameters = {name: each for name, each in model.named_parameters() if id(each) in trained}
        saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        if state.global_step:
            vars(self).update(copy.deepcopy(saved["attributes"]))
        if self.num_averaged:
            self._load(args, state)

    def on_step_begin(self, args, state, control, **kwargs):
        self._take_out()

    def on_step_end(self, args, state, control, **kwargs):
        if self._counts(state.global_step):
            self._add()
        if control.should_evaluate or control.should_save:
            self._put_in()

    def on_epoch_end(self, args, state, control, **kwargs):
        self._put_in()

    def on_save(self, args, state, control, **kwargs):
        if not self.num_averaged or args.save_only_model or not args.should_save or state.is_hyper_param_search:
            return
        # A mean that began with this evaluation is of the weights that the model has.
        own = self._own or self._means
        tensors = {f"mean.{name}": tensor.contiguous() for name, tensor in self._means.items()}
        tensors |= {f"own.{name}": tensor.clone(memory_format=torch.contiguous_format) for name, tensor in own.items()}
        save_file(tensors, _checkpoint(args, state) / FILE_NAME, metadata={"format": "pt"})

    def on_train_end(self, args, state, control, **kwargs):
        if not (args.load_best_model_at_end and state.best_model_checkpoint):  # else the best one is in the model
            self._put_in()
        self._own, self._means, self._parameters = {}, {}, {}

    @torch.no_grad()
    def _add(self) -> None:
        """Count the present weights in the mean."""
        self.num_averaged += 1
        for name, weight in self._parameters.items():
            precise = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
            if self.num_averaged == 1:
                self._means[name] = precise.clone()
            else:
                self._means[name].lerp_(precise, self._share())

    @torch.no_grad()
    def _put_in(self) -> None:
        """Give the model the mean, if there is one, and keep its own weights."""
        if not self.num_averaged or self._own:
            return
        for name, weight in self._parameters.items():
            self._own[name] = weight.detach().clone()
            weight.copy_(self._means[name])

    @torch.no_grad()
    def _take_out(self) -> None:
        """Give the model its own weights back."""
        for name, weight in self._own.items():
            self._parameters[name].copy_(weight)
        self._own = {}

    @torch.no_grad()
    def _load(self, args, state) -> None:
        """Read means and weights from the checkpoint whose model has just been loaded."""
        path = _checkpoint(args, state) / FILE_NAME
        if args.resume_from_checkpoint and (Path(args.resume_from_checkpoint) / FILE_NAME).is_file():
            path = Path(args.resume_from_checkpoint) / FILE_NAME
        if not path.is_file():
            raise ValueError(
                f"`output_dir` {args.output_dir!r} has no {path.parent.name}/{FILE_NAME}, without which training "
                "cannot go on from means. Set `args.resume_from_checkpoint` to the checkpoint as well."
            )
        with safe_open(path, framework="pt") as file:
            for name, weight in self._parameters.items():
                self._means[name] = file.get_tensor(f"mean.{name}").to(weight.device)
                if not torch.equal(weight, self._means[name].to(weight.dtype)):
                    raise ValueError(
                        f"`output_dir` {args.output_dir!r} has a {path.parent.name} of another run: the mean of "
                        f"{name} is not that of the model. Set `args.resume_from_checkpoint` to the checkpoint."
                    )
                weight.copy_(file.get_tensor(f"own.{name}"))


class WeightAveraging(_Averaging):
    """
    Evaluates, saves and ends with an average of the weights of all steps so far, in which the weights of a step count
    `decay` times as much as those of the next: after n steps, Σ d^(n-t) w(t) / Σ d^(n-t) over t = 1 to n (Kingma & Ba
    2015, section 7.2). About the last 1 / (1 - d) steps count. Training itself goes the same way as without.

    A checkpoint holds the mean as its model, so that `load_best_model_at_end` compares and loads means, and both kinds
    of weights in `averaging.safetensors`, from which training resumes as if it had never stopped. `Trainer` does not
    tell a callback where the checkpoint is: it is looked for in `output_dir`, or set `args.resume_from_checkpoint`.
    Every process of a distributed run keeps its own, equal, means.

    Add it behind callbacks that ask for evaluations or checkpoints. Not for DeepSpeed and FSDP, whose weights are in
    pieces. It needs memory for one copy of the trained weights in at least fp32, and another during an evaluation.

    Args:
        decay (`float`, *optional*, defaults to 0.998): d, from 0 (the last weights) to below 1.

    Raises:
        `ValueError`: If `decay` is out of range; when training begins, if weights are in pieces, the averages of a
            checkpoint cannot be found, or weights have less than 32 bits, in which an average loses what it gains
            (`bf16=True` in the arguments is not meant, it keeps the weights in 32 bits).

    Example:

    ```python
    >>> from transformers import DefaultDataCollator, Trainer, TrainingArguments
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.training.averaging import WeightAveraging

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

    arguments = ("decay",)

    def __init__(self, decay: float = 0.998):
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` is {decay!r}: give at least 0 and less than 1.")
        self.decay = decay
        super().__init__()

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        for parameter in model.parameters():
            if parameter.requires_grad and torch.finfo(parameter.dtype).bits < 32:
                raise ValueError(
                    f"`model` has weights of type {parameter.dtype}, too coarse to average: train it in float32, with "
                    "`bf16=True` in the arguments if you like."
                )
        super().on_train_begin(args, state, control, model=model, **kwargs)

    def _counts(self, step: int) -> bool:
        return True

    def _share(self) -> float:
        return (1 - self.decay) / (1 - self.decay**self.num_averaged)


class NonMonotonicAveraging(_Averaging):
    r"""
    Non-monotonically triggered averaging (NT-ASGD, Merity et al. 2018, algorithm 1), for any optimizer: once an
    evaluation is worse than the best of those more than `non_monotone_interval` evaluations before it, at step T, the
    model that is evaluated, saved and left at the end of training has the mean of the weights after the steps T, T +
    1, ... up to the last. Training itself goes on from the weights as they are, and the learning rate should stay
    constant.

    Checkpoints, resuming and memory: as [`WeightAveraging`].

    Args:
        non_monotone_interval (`int`, defaults to 5): n of the algorithm, in evaluations.
        metric (`str`, defaults to `"eval_loss"`): Name of what is watched in the results of an evaluation.
        greater_is_better (`bool`, defaults to `False`): Whether it is to rise.
        start_step (`int`, *optional*): Average from this optimizer step on, whatever the evaluations say; the weights
            after it are the first that count.

    Attributes:
        num_averaged (`int`): Number of weights in the mean; 0 before it begins.

    Raises:
        `ValueError`: If an interval or a step is below 1; when training begins, if weights are in pieces, or the
            averages of a checkpoint cannot be found.

    Example:

    ```python
    >>> from transformers import Trainer, TrainingArguments
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.training.averaging import NonMonotonicAveraging

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> data = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 8
    >>> settings = {"max_steps": 4, "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True}
    >>> averaging = NonMonotonicAveraging(start_step=2)
    >>> trainer = Trainer(model, TrainingArguments("run", **settings), train_dataset=data, callbacks=[averaging])
    >>> result = trainer.train()  # doctest: +ELLIPSIS
    {'train_runtime': ...}
    >>> averaging.num_averaged
    3
    ```
    """

    arguments = ("non_monotone_interval", "metric", "greater_is_better", "start_step")
    attributes = ("log", "num_averaged")

    def __init__(
        self,
        non_monotone_interval: int = 5,
        metric: str = "eval_loss",
        greater_is_better: bool = False,
        start_step: int | None = None,
    ):
        for name, value in (("non_monotone_interval", non_monotone_interval), ("start_step", start_step)):
            if value is not None and value < 1:
                raise ValueError(f"`{name}` is {value!r}: give at least 1.")
        self.non_monotone_interval, self.start_step = non_monotone_interval, start_step
        self.metric, self.greater_is_better = metric, greater_is_better
        self.log: list[list] = []  # [step, metric] of each evaluation before the mean began
        super().__init__()

    def _counts(self, step: int) -> bool:
        return self.num_averaged > 0 or (self.start_step is not None and step >= self.start_step)

    def _share(self) -> float:
        return 1 / self.num_averaged

    def on_train_begin(self, args, state, control, **kwargs):
        self.log = []
        super().on_train_begin(args, state, control, **kwargs)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if not self._parameters or self.num_averaged or self.start_step is not None or self.metric not in metrics:
            return
        if self.log and self.log[-1][0] == state.global_step:  # once more, as after resuming with `eval_on_start`
            return
        value = float(metrics[self.metric])
        if self._gets_worse(value):
            self._add()
        self.log.append([state.global_step, value])

    def on_train_end(self, args, state, control, **kwargs):
        super().on_train_end(args, state, control, **kwargs)
        if self.start_step is None and not self.log:
            logger.warning(
                f"No evaluation had a result `metric={self.metric!r}`: nothing was averaged. Set `eval_strategy`, or "
                "the name of the metric."
            )

    def _gets_worse(self, value: float) -> bool:
        """Whether `value` is worse than the best of the evaluations but for the last n, as the authors' code asks."""
        earlier = [entry[1] for entry in self.log[: -self.non_monotone_interval]]
        if not earlier:
            return False
        return value < max(earlier) if self.greater_is_better else value > min(earlier)


def _checkpoint(args, state) -> Path:
    """Where Trainer puts the checkpoint of the present step."""
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


__all__ = ["NonMonotonicAveraging", "WeightAveraging"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A `Trainer` that leaves the model card of this package, with what it measured, and pushes it."""

import math
import shutil
from collections.abc import Mapping
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer
from transformers.trainer_utils import EvalLoopOutput, TrainOutput
from transformers.utils import logging

from ..distributed import shard_on_cpu
from ..hub.cards import Measurement, TrainingData, write_model_card
from ..hub.folders import advised, renew_table, sign, signer


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there
_TAGS = ["generated_from_trainer"]
# Ids on the Hub.
_KNOWN_METRICS = (
    "accuracy",
    "bleu",
    "cer",
    "chrf",
    "f1",
    "loss",
    "mae",
    "mse",
    "perplexity",
    "precision",
    "recall",
    "wer",
)
# What `evaluate` logs beside metrics, behind the prefix of the data.
_NO_METRICS = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


class CardTrainer(Trainer):
    """
    A `Trainer` whose `create_model_card`, and so `push_to_hub`, writes the card of
    [`~cards.write_model_card`]: from the last evaluation of the weights that the training ended with, from the
    arguments, and from what it is told. The other trainers of this package do so, too. It joins with others: `class
    Mine(CardTrainer, Seq2SeqTrainer)`.

    A card that somebody wrote or edited stays as it is, but for the table of its code.

    Example:

    ```python
    >>> from transformers import DefaultDataCollator, TrainingArguments
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.training.card_trainer import CardTrainer
    >>> from hf_lstm.hub.cards import TrainingData

    >>> rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 8
    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> arguments = TrainingArguments("diary", report_to="none", use_cpu=True, disable_tqdm=True, save_strategy="no")
    >>> options = {"data_collator": DefaultDataCollator(), "train_dataset": rows, "eval_dataset": rows}
    >>> trainer = CardTrainer(model, arguments, **options)
    >>> metrics = trainer.evaluate()  # doctest: +ELLIPSIS
    {'eval_loss': ...}
    >>> trainer.create_model_card(language="en", data=TrainingData("My diary"))
    >>> "| loss | evaluation |" in open("diary/README.md").read()
    True
    ```
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._card_details: dict[str, Any] = {}
        self._went_on = False  # from a checkpoint: how long it took to get there is not known
        if hasattr(self.model, "check_configuration"):
            self.model.check_configuration()  # else saving would fail, after all the training
        factor = getattr(getattr(self.model, "config", None), "lm_loss_coef", 0)
        if self.is_fsdp_enabled and factor:
            raise ValueError(
                f"`lm_loss_coef` is {factor}, whose loss reads the whole word embedding, which FSDP keeps in pieces: "
                "use DDP, or set it to 0."
            )

    def train(self, resume_from_checkpoint: str | bool | None = None, *args, **kwargs) -> TrainOutput:
        """As in `Trainer`, and `resume_from_checkpoint="last"` is the last checkpoint in `output_dir`."""
        self._went_on = bool(resume_from_checkpoint)
        return super().train(resume_from_checkpoint == "last" or resume_from_checkpoint, *args, **kwargs)

    def evaluation_loop(self, *args, **kwargs) -> EvalLoopOutput:
        """As in `Trainer`, and `Seq2SeqTrainer` too counts a row once that several processes repeat to be even."""
        if self.gather_function == self.accelerator.gather:
            self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*args, **kwargs)

    def create_accelerator_and_postprocess(self) -> None:
        """As in `Trainer`, and FSDP2 works on CPUs too."""
        super().create_accelerator_and_postprocess()
        shard_on_cpu(self.accelerator, self.args.fsdp_plugin_args)
        self.is_fsdp_enabled = getattr(self.accelerator.state, "fsdp_plugin", None) is not None

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in `Trainer`, and weights in shards are saved too, whole, where it would leave a folder without any."""
        plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
        kind = None if plugin is None else plugin.state_dict_type.name
        if kind == "SHARDED_STATE_DICT":  # what accelerate's own settings of FSDP2 have by default
            plugin.set_state_dict_type("FULL_STATE_DICT")
        try:
            super().save_model(output_dir, _internal_call)
        finally:
            if kind == "SHARDED_STATE_DICT":
                plugin.set_state_dict_type(kind)

    @property
    def figures(self) -> dict[str, float]:
        """What the training took: `"train_seconds"`, `"epochs"`, and the `"parameters"` of the model."""
        model = self.accelerator.unwrap_model(self.model)
        return {"train_seconds": self._seconds(), "parameters": model.num_parameters(), "epochs": self.state.epoch}

    def create_model_card(
        self,
        language: str | list[str] | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
        **details: Any,
    ) -> None:
        """
        Write `README.md` into `output_dir`, and the model, if it is not there yet.

        Args:
            language, license, tags, model_name, finetuned_from, tasks, dataset_tags, dataset, dataset_args:
                As in `Trainer`.
            details: Further arguments of [`~cards.write_model_card`], such as `data` and `results`, in place of
                what the trainer knows. They are kept for the next card, as that of `push_to_hub`.
        """
        model = self.accelerator.unwrap_model(self.model)
        if not self.is_world_process_zero():
            return
        named = {"language": language, "license": license, "name": model_name, "base_model": finetuned_from}
        named |= {"tags": [*_listed(tags), *_TAGS] if tags else None, "task": next(iter(_listed(tasks)), None)}
        if dataset or dataset_tags:
            named["data"] = self._named_data(_listed(dataset), _listed(dataset_tags), _listed(dataset_args))
        self._card_details |= {name: value for name, value in named.items() if value} | details
        # Of another package, or wrapped by one, which has cards of its own.
        if getattr(model, "library", None) != "hf_lstm":
            return super().create_model_card(
                language, license, tags, model_name, finetuned_from, tasks, dataset_tags, dataset, dataset_args
            )
        folder = Path(self.args.output_dir)
        if not (folder / "config.json").is_file():
            self.save_model(_internal_call=True)
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8") if card.is_file() else None
        if text is None or signer(text):
            write_model_card(folder, **(self._known(model) | self._card_details))
            text = sign(card.read_text(encoding="utf-8"), "create_model_card")
        else:
            logger.warning(f"{str(card)!r} stays as somebody wrote it. Delete it, and a new card is written.")
            text = renew_table(text, folder)
        card.write_text(text, encoding="utf-8")

    def push_to_hub(self, *args, **kwargs):
        """As in `Trainer`; where the push breaks off, the error says how to go on."""
        self._finish_current_push()  # before files that it reads are written anew
        with advised(self.hub_model_id or self.args.hub_model_id or Path(self.args.output_dir).name):
            return super().push_to_hub(*args, **kwargs)

    def _known(self, model: PreTrainedModel) -> dict[str, Any]:
        """The arguments of `write_model_card` that need not be given."""
        tokenizer = self.processing_class
        base = model.config._name_or_path
        return {
            "model": model,
            "tokenizer": tokenizer if isinstance(tokenizer, PreTrainedTokenizerBase) else None,
            "data": TrainingData("unnamed data", self._sizes()),
            "results": self._results(),
            "repo_id": getattr(self, "hub_model_id", None) or self.args.hub_model_id,
            "tags": _TAGS,
            "base_model": base if base and not Path(base).is_dir() else None,
            "training_args": self.args,
            "seconds": None if self._went_on else self._seconds(),
            "device": _device(self.args.device, self.args.world_size),
        }

    def _seconds(self) -> float | None:
        return next(
            (entry["train_runtime"] for entry in self.state.log_history[::-1] if "train_runtime" in entry), None
        )

    def _named_data(self, names: list[str], ids: list[str], configs: list[str]) -> TrainingData:
        hub_id, config = (values[0] if len(values) == 1 else None for values in (ids, configs))
        return TrainingData(", ".join(names or ids), self._sizes(), hub_id=hub_id, config=config)

    def _eval_splits(self) -> dict[str, Any]:
        """The data of evaluation by the prefix of their metrics."""
        if isinstance(self.eval_dataset, Mapping) and not hasattr(self.eval_dataset, "column_names"):
            return {f"eval_{name}_": (name, dataset) for name, dataset in self.eval_dataset.items()}
        split = getattr(self.eval_dataset, "split", None)
        return {"eval_": (str(split) if split else "evaluation", self.eval_dataset)}

    def _sizes(self) -> dict[str, dict[str, int]]:
        splits = {"train": self.train_dataset} | dict(self._eval_splits().values())
        rows = (hasattr(dataset, "__len__") and not isinstance(dataset, torch.Tensor) for dataset in splits.values())
        return {name: {"rows": len(splits[name])} for name in compress(splits, rows)}

    def _results(self) -> list[Measurement]:
        results, splits = [], self._eval_splits()
        for key, value in self._last_evaluation().items():
            prefix = max((prefix for prefix in splits if key.startswith(prefix)), key=len, default=None)
            name = key.removeprefix(prefix or "")
            if prefix and name not in _NO_METRICS and isinstance(value, (int, float)) and math.isfinite(value):
                metric = name.split("_")[-1]
                metric = metric if metric in _KNOWN_METRICS else name
                results.append(Measurement(metric, value, splits[prefix][0], name.replace("_", " ")))
        first = getattr(self.accelerator.unwrap_model(self.model), "metric", None)  # what the head is judged by
        return sorted(results, key=lambda result: result.metric != first)

    def _last_evaluation(self) -> dict[str, float]:
        """
        What was logged of the weights that are there now: by an evaluation after the training, else by one within it,
        at the step of the best checkpoint where that was loaded, and at the last step otherwise.
        """
        history, state = self.state.log_history, self.state
        end = max((i for i, entry in enumerate(history) if "train_runtime" in entry), default=-1)
        after = [entry for entry in history[end + 1 :] if any(key.startswith("eval_") for key in entry)]
        if not after:
            loaded = self.args.load_best_model_at_end and state.best_model_checkpoint
            step = state.best_global_step if loaded else state.global_step
            after = [entry for entry in history if entry["step"] == step]
        return {key: value for entry in after for key, value in entry.items() if key.startswith("eval_")}

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """As in `Trainer`, which sends configuration and weights without the code that they need, with that code."""
        if self.is_world_process_zero():
            for file in Path(checkpoint_folder).glob("*.py"):
                there = Path(self.args.output_dir, file.name)
                # A push on its way, in a thread of its own, would send what it reads while a file is written anew.
                if not there.is_file() or file.read_bytes() != there.read_bytes():
                    shutil.copy(file, there)
        super()._push_from_checkpoint(checkpoint_folder)


def _listed(values: str | list[str] | None) -> list[str]:
    return [values] if isinstance(values, str) else list(values or [])


def _device(device: torch.device, processes: int) -> str:
    threads = torch.get_num_threads()
    name = f"{threads} thread{'s' * (threads > 1)} of a CPU" if device.type == "cpu" else device.type
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return name if processes == 1 else f"{processes} processes with {name} each"


__all__ = ["CardTrainer"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A classifier learns the language of its texts before it learns their labels (Dai & Le 2015, section 2)."""

from dataclasses import replace

import torch
from datasets import Dataset
from torch import nn
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

from ..data.labels import without_labels
from ..models.configuration_recurrent import READ_ALONE
from ..models.padding import Padding
from ..models.pretrained import RecurrentPreTrainedModel
from ..models.token_classification import NeighbourPrediction


# What an evaluation, a checkpoint or the Hub would have of a training that is only a beginning, and what is of labels.
_PLAIN = {
    "eval_strategy": "no",
    "eval_on_start": False,
    "label_smoothing_factor": 0.0,
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "metric_for_best_model": None,
    "greater_is_better": None,
    "push_to_hub": False,
    "max_steps": -1,
    "remove_unused_columns": False,
    "label_names": [],
}


class _Neighbours(nn.Module):
    """A backbone and what predicts the token that each of its directions reads next."""

    def __init__(self, backbone: RecurrentPreTrainedModel):
        super().__init__()
        self.backbone, self.neighbours = backbone, NeighbourPrediction(backbone.config)
        # What Trainer asks a model for by some of its arguments.
        self.get_input_embeddings = backbone.get_input_embeddings
        self.gradient_checkpointing_enable = backbone.gradient_checkpointing_enable

    def forward(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor, **text) -> dict[str, torch.Tensor]:
        """A batch of texts, (B, T) -> the `loss` a prediction, in nats."""
        outputs = self.backbone(input_ids, attention_mask=attention_mask, use_cache=False, **text)
        features, padding = outputs.last_hidden_state, Padding(attention_mask != 0)
        table = self.backbone.get_input_embeddings().weight
        predictions = (padding.lengths - 1).clamp(min=0).sum() * len(self.neighbours.dense)
        loss = self.neighbours(features, input_ids, padding, table) / predictions.clamp(min=1)
        return {"loss": loss}


def pretrain(
    model: PreTrainedModel,
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    args: TrainingArguments,
    epochs: float,
    learning_rate: float | None = None,
) -> float:
    """
    Train the backbone of a classifier to predict, from the output of each direction, the token that it reads next (Rei
    2017, equations 5 to 8, alone): it needs no labels. What predicts is thrown away.

    Args:
        model ([`~transformers.PreTrainedModel`]): A classifier of texts or tokens with one recurrent layer.
        dataset (`Dataset`): Encoded texts; labels are not looked at.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer, which pads.
        args (`TrainingArguments`): Those of the training that follows: batches, optimizer, precision, processes.
        epochs (`float`): How often each text is read.
        learning_rate (`float`, *optional*): Another one than that of `args`.

    Returns:
        `float`: The loss a prediction, in nats, that was logged last, or the mean of all steps where none was.

    Raises:
        `ValueError`: If an output has already seen what it would have to predict.
    """
    backbone = model.base_model
    _check(backbone)
    options = _PLAIN | {"num_train_epochs": epochs, "learning_rate": learning_rate or args.learning_rate}
    if args.lr_scheduler_type == "reduce_lr_on_plateau":  # of evaluations
        options["lr_scheduler_type"] = "constant"
    mode = model.training
    trainer = Trainer(
        _Neighbours(backbone),
        replace(args, **options),
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=without_labels(dataset),
        processing_class=tokenizer,
    )
    mean = trainer.train().training_loss
    model.train(mode)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses[-1] if losses else mean


def _check(backbone: RecurrentPreTrainedModel) -> None:
    config = backbone.config
    if config.vocab_size is None or not config.embedding_size:
        raise ValueError("`model` has no embedding of tokens, and so nothing to predict. Leave out pretraining.")
    for name, value in READ_ALONE.items():
        if (given := getattr(config, name)) != value:
            shown = given if isinstance(given, bool | int | str) else type(given).__name__
            raise ValueError(
                f"`{name}={shown}` of the model: each direction has then seen the token that it would have to "
                f"predict. Set `{name}={value!r}`, or leave out pretraining."
            )


__all__ = ["pretrain"]

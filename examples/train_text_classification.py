# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Train a classifier of texts, and its tokenizer, from scratch.

    python examples/train_text_classification.py                                # parts of Python's own documentation
    python examples/train_text_classification.py --train_file train.csv --test_file test.csv --output_dir runs/topics
    python examples/train_text_classification.py --train_file train_5500.label --test_file TREC_10.label \
        --encoding latin-1 --label_end : --output_dir runs/trec                 # a label before each text
    python examples/train_text_classification.py --dataset_name SetFit/sst2 --output_dir runs/sst2
    python examples/train_text_classification.py --pretrained_model runs/python_docs_lm --discriminative \
        --gradual_unfreezing                                                    # fine-tunes a language model
    python examples/train_text_classification.py --resume_from_checkpoint last  # or the folder of a checkpoint
    torchrun --nproc_per_node 2 examples/train_text_classification.py           # several processes: docs/scaling.md
"""

import shlex
import sys
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    HfArgumentParser,
    TrainingArguments,
    pipeline,
    set_seed,
)
from transformers.hf_argparser import HfArg

from hf_lstm import LSTMTokenizer
from hf_lstm.data import load_classified
from hf_lstm.distributed import end_processes, from_main_process
from hf_lstm.evaluation import format_report, token_report
from hf_lstm.hub.cards import Measurement, TrainingData
from hf_lstm.training.averaging import WeightAveraging
from hf_lstm.training.card_trainer import CardTrainer
from hf_lstm.training.transfer import FineTuningTrainer, GradualUnfreezing


EXAMPLE = "An element of the tree has a tag, attributes, and children, which are elements too."

# The recipe for the documentation of CPython. These and all other `TrainingArguments` are options of the command line.
RECIPE = {
    "output_dir": "runs/python_docs_classifier",
    "num_train_epochs": 15,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "learning_rate": 3e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,
    "weight_decay": 0.05,
    "train_sampling_strategy": "group_by_length",
    "logging_steps": 0.05,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "load_best_model_at_end": True,
    "metric_for_best_model": "best",
    "dataloader_pin_memory": False,
}
# What a classifier that begins as a language model does not take from it.
KEPT = ("pooling", "word_dropout", "input_dropout", "output_dropout", "variational_dropout", "problem_type")
KEPT += ("id2label", "label2id", "unk_token_id")
BEST = {"single_label_classification": "accuracy", "multi_label_classification": "f1", "regression": "loss"}


@dataclass
class DataArguments:
    """What to train on: files, a dataset of the Hub, or by default the documentation that ships with CPython."""

    train_file: str | None = HfArg(default=None, help="A json, jsonl, csv, tsv, parquet file, or lines: label, text.")
    validation_file: str | None = HfArg(default=None, help="The same to choose the epoch; else a tenth of the texts.")
    test_file: str | None = HfArg(default=None, help="The same for the final scores; else those are of validation.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    text_column: str = HfArg(default="text", help="The column that holds the text.")
    label_column: str = HfArg(default="label", help="The column of the label, labels or number.")
    separator: str | None = HfArg(default=None, help="What separates label and text of a line; else a tab or a space.")
    label_end: str | None = HfArg(default=None, help="What ends the part of a label that counts, as ':' in LOC:city.")
    encoding: str = HfArg(default="utf-8", help="Encoding of files with a label in each line.")
    problem_type: Literal[tuple(BEST)] = HfArg(default="single_label_classification", help="What a label is.")


@dataclass
class ModelArguments:
    """The tokenizer and the network."""

    pretrained_model: str | None = HfArg(default=None, help="A language model, whose tokenizer and layers to take.")
    from_scratch: bool = HfArg(default=False, help="Do not take its weights: what is its training worth?")
    discriminative: bool = HfArg(default=False, help="Lower layers learn more slowly; slanted triangular rates.")
    gradual_unfreezing: bool = HfArg(default=False, help="One more layer learns with each epoch, from the top.")
    tokenizer_kind: Literal["word", "char", "bpe", "unigram", "wordpiece"] = HfArg(default="word", help="Its tokens.")
    vocab_size: int = HfArg(default=10_000, help="The most tokens in the vocabulary.")
    min_frequency: int = HfArg(default=2, help="Rarer words are unknown.")
    characters: bool = HfArg(default=False, help="Read the characters of words and their shapes too.")
    max_length: int = HfArg(default=256, help="Tokens of a text that are read.")
    model_type: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    pooling: Literal["last", "mean", "max", "concat", "attention"] = HfArg(default="concat", help="A text's vector.")
    embedding_size: int = HfArg(default=100, help="Size of word embeddings.")
    hidden_size: int = HfArg(default=100, help="Units of a layer, in each direction.")
    num_hidden_layers: int = HfArg(default=1, help="Layers.")
    dropout: float = HfArg(default=0.5, help="Dropout rate on embeddings, between layers and on the output.")
    word_dropout: float = HfArg(default=0.1, help="Rate of words that training hides.")
    average: float = HfArg(default=0.0, help="Decay of the average of weights that is evaluated and kept; 0: none.")
    patience: int = HfArg(default=5, help="Epochs without a better score after which training ends.")


def main(command_line: list[str] | None = None) -> None:
    parser = HfArgumentParser((DataArguments, ModelArguments, TrainingArguments), usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)
    if args.from_scratch and not args.pretrained_model:
        raise ValueError("`from_scratch` is True without a `pretrained_model`, whose network is meant. Give one.")

    # 1. Data: texts and their labels.
    with training_args.main_process_first(desc="reading"):
        splits = load_classified(**vars(data_args))
    feature = splits["train"].features["label"]
    label_names = getattr(getattr(feature, "feature", feature), "names", ["score"])

    # 2. Tokenizer, and the ids of tokens.
    options = {"min_frequency": args.min_frequency} if args.tokenizer_kind != "unigram" else {}
    if args.pretrained_model:
        tokenizer = AutoTokenizer.from_pretrained(args.pretrained_model)
    else:
        make_tokenizer = partial(
            LSTMTokenizer.train_from_iterator,
            splits["train"]["text"],
            args.tokenizer_kind,
            vocab_size=args.vocab_size,
            lowercase=True,
            fold_digits=args.characters,
            characters=args.characters,
            word_shapes=args.characters,
            **options,
        )
        tokenizer = from_main_process(make_tokenizer)

    def encode(rows):
        encoded = tokenizer(rows["text"], truncation=True, max_length=args.max_length)
        encoded["labels"] = rows["label"]
        if data_args.problem_type == "multi_label_classification":
            encoded["labels"] = [np.isin(range(len(label_names)), ids).astype(float) for ids in rows["label"]]
        return encoded

    with training_args.main_process_first(desc="tokenizing"):
        inputs = splits.map(encode, batched=True, remove_columns=["text", "label"], desc="Tokenizing")

    # 3. Model: a network of random weights, or a language model under a new head.
    config = AutoConfig.for_model(
        args.model_type,
        vocab_size=len(tokenizer),
        embedding_size=args.embedding_size,
        hidden_size=args.hidden_size,
        num_hidden_layers=args.num_hidden_layers,
        char_vocab_size=tokenizer.char_vocab_size,
        shape_vocab_size=tokenizer.shape_vocab_size,
        bidirectional=True,
        pooling=args.pooling,
        word_dropout=args.word_dropout,
        input_dropout=args.dropout,
        hidden_dropout=args.dropout if args.num_hidden_layers > 1 else 0.0,
        output_dropout=args.dropout,
        variational_dropout=True,
        problem_type=data_args.problem_type,
        id2label=dict(enumerate(label_names)),
        label2id={name: i for i, name in enumerate(label_names)},
        pad_token_id=tokenizer.pad_token_id,
        unk_token_id=tokenizer.unk_token_id,
    )
    if args.pretrained_model:
        fields = {name: getattr(config, name) for name in KEPT}
        config = AutoConfig.from_pretrained(args.pretrained_model, **fields)
    if args.pretrained_model and not args.from_scratch:
        model = AutoModelForSequenceClassification.from_pretrained(args.pretrained_model, config=config)
    else:
        model = AutoModelForSequenceClassification.from_config(config)
    if training_args.process_index == 0:
        print(f"{model.num_parameters():,} parameters, {len(inputs['train']):,} texts to train on")

    # 4. Training, until the score on the validation data does not improve any more.
    if training_args.metric_for_best_model == "best":
        training_args.metric_for_best_model = BEST[data_args.problem_type]
        training_args.greater_is_better = data_args.problem_type != "regression"
    trainer = (FineTuningTrainer if args.discriminative else CardTrainer)(
        model,
        training_args,
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=inputs["train"],
        eval_dataset=inputs["validation"],
        processing_class=tokenizer,
        compute_metrics=lambda prediction: scores_of(prediction, data_args.problem_type),
        callbacks=[
            EarlyStoppingCallback(args.patience),
            *[WeightAveraging(args.average)] * bool(args.average),
            *[GradualUnfreezing()] * args.gradual_unfreezing,
        ],
    )
    checkpoint = training_args.resume_from_checkpoint  # a folder, or "last": the last one in `output_dir`
    training = trainer.train(resume_from_checkpoint=checkpoint == "last" or checkpoint)
    trainer.save_model()
    trainer.save_state()

    # 5. Evaluation on data that had no say so far; then the saved folder at work.
    split = "test" if "test" in inputs else "validation"
    output = trainer.predict(inputs[split], metric_key_prefix=split)
    if not trainer.is_world_process_zero():  # the main process does the rest
        return trainer.push_to_hub() if training_args.push_to_hub else None
    scores = output.metrics | {
        "train_seconds": training.metrics["train_runtime"],
        "parameters": model.num_parameters(),
        "epochs": trainer.state.epoch,
    }
    print(f"\nScores of {len(inputs[split]):,} texts of the {split} data\n")
    if data_args.problem_type == "single_label_classification":
        report = token_report([output.label_ids], [output.predictions.argmax(-1)], label_names)
        print(format_report(report))
        scores["classes"] = report
    else:
        print("".join(f"  {name:<28}{value:9.4f}\n" for name, value in output.metrics.items()))
    trainer.save_metrics(split, scores)

    names = ("accuracy", "f1", "macro_f1", "mse", "mae")
    trainer.create_model_card(
        data=TrainingData(
            data_args.dataset_name or data_args.train_file or "the documentation that ships with CPython",
            {name: {"texts": len(rows)} for name, rows in splits.items()},
        ),
        results=[
            Measurement(name.removeprefix("macro_"), scores[f"{split}_{name}"], split, name.replace("_", " "))
            for name in names
            if f"{split}_{name}" in scores
        ],
        reports={f"Classes of the {split} data": scores["classes"]} if "classes" in scores else None,
        command=shlex.join(["python", *sys.argv]),
    )
    if training_args.push_to_hub:
        trainer.push_to_hub()

    classifier = pipeline("text-classification", training_args.output_dir)
    text = splits[split][0]["text"] if data_args.train_file or data_args.dataset_name else EXAMPLE
    print(f"{text}\n  ->  {classifier(text, truncation=True, max_length=args.max_length)[0]}")
    print(f"\nModel, tokenizer and figures are in {training_args.output_dir}.")


def scores_of(prediction, problem_type: str) -> dict[str, float]:
    """Accuracy and macro F1 of single labels; micro and macro F1 of several; mean squared and absolute error."""
    logits, labels = prediction.predictions, prediction.label_ids
    if problem_type == "regression":
        errors = logits.squeeze(-1) - labels
        return {"mse": float(np.mean(errors**2)), "mae": float(np.mean(np.abs(errors)))}
    several = problem_type == "multi_label_classification"
    found = logits > 0 if several else np.eye(logits.shape[-1], dtype=bool)[logits.argmax(-1)]  # (N, K)
    true = labels > 0 if several else np.eye(logits.shape[-1], dtype=bool)[labels]
    right, either = (found & true).sum(0), found.sum(0) + true.sum(0)  # (K,)
    f1 = 2 * right / np.maximum(either, 1)
    scores = {"macro_f1": float(f1[either > 0].mean())}
    if several:
        return scores | {"f1": float(2 * right.sum() / max(either.sum(), 1))}
    return scores | {"accuracy": float(right.sum() / len(true))}


if __name__ == "__main__":
    main()
    end_processes()

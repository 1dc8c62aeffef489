# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Train a recurrent language model and its tokenizer from scratch, and set it beside n-gram models of the same tokens.

    python examples/train_language_model.py                                        # on Python's own documentation
    python examples/train_language_model.py --train_file book.txt --sample_by paragraph --output_dir runs/book
    python examples/train_language_model.py --dataset_name Salesforce/wikitext --dataset_config_name wikitext-2-raw-v1
    python examples/train_language_model.py --model_type gru --num_train_epochs 20 --learning_rate 1e-3
    python examples/train_language_model.py --stateful --variable_length           # the text in one go, not in blocks
    python examples/train_language_model.py --resume_from_checkpoint last          # or the folder of a checkpoint
"""

import math
import shlex
import sys
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    HfArgumentParser,
    PreTrainedTokenizerBase,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.hf_argparser import HfArg

from hf_lstm import LSTMTokenizer
from hf_lstm.card_trainer import CardTrainer
from hf_lstm.data import load_text, make_blocks
from hf_lstm.model_cards import Measurement, TrainingData
from hf_lstm.ngram import NgramModel
from hf_lstm.plotting import plot_training_curve
from hf_lstm.stateful import StatefulTrainer


NGRAM_ORDERS = {"unigram": 1, "trigram": 3}
PROMPTS = ["This module provides", "Return a list of"]

# The recipe for the documentation of CPython. These and all other `TrainingArguments` are options of the command line.
RECIPE = {
    "output_dir": "runs/python_docs_lm",
    "num_train_epochs": 7,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 16,
    "learning_rate": 8e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,
    "weight_decay": 0.05,
    "adam_beta2": 0.98,
    "logging_steps": 0.02,
    "eval_strategy": "steps",
    "eval_steps": 0.1,
    "save_strategy": "epoch",
    "save_total_limit": 1,
    "dataloader_pin_memory": False,
}


@dataclass
class DataArguments:
    """What to train on: files, a dataset of the Hub, or by default the documentation that ships with CPython."""

    train_file: str | None = HfArg(default=None, help="Text to train on: a txt, json, jsonl, csv or parquet file.")
    validation_file: str | None = HfArg(default=None, help="Text to evaluate on; else a tenth of the documents.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    text_column: str = HfArg(default="text", help="The column that holds the text.")
    sample_by: Literal["line", "paragraph", "document"] = HfArg(default="line", help="A document in a txt file.")


@dataclass
class ModelArguments:
    """The tokenizer and the network."""

    tokenizer_kind: Literal["word", "char", "bpe", "unigram", "wordpiece"] = HfArg(default="bpe", help="Its tokens.")
    vocab_size: int = HfArg(default=2000, help="The most tokens in the vocabulary.")
    block_size: int = HfArg(default=128, help="Tokens predicted in a block; the network starts each block afresh.")
    stateful: bool = HfArg(default=False, help="Carry the state from block to block, through streams of the text.")
    variable_length: bool = HfArg(default=False, help="With --stateful: blocks of random lengths around block_size.")
    reset_at: Literal["stream", "document"] = HfArg(default="stream", help="With --stateful: where to start afresh.")
    model_type: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    hidden_size: int = HfArg(default=384, help="Units of a layer, and size of the token embeddings.")
    num_hidden_layers: int = HfArg(default=1, help="Layers.")
    dropout: float = HfArg(default=0.3, help="Dropout rate on embeddings, between layers and on the output.")
    prompts: list[str] = field(default_factory=PROMPTS.copy, metadata={"help": "Texts that the model continues."})


def encode(documents: Dataset, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Documents as token ids, with an end-of-sequence token after each."""

    def encode_rows(rows):
        return {"input_ids": [[*ids, tokenizer.eos_token_id] for ids in tokenizer(rows["text"])["input_ids"]]}

    return documents.map(encode_rows, batched=True, remove_columns=documents.column_names, desc="Tokenizing")


def main(command_line: list[str] | None = None) -> None:
    parser = HfArgumentParser((DataArguments, ModelArguments, TrainingArguments), usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)

    # 1. Data: documents for training, and others that are held out.
    documents = load_text(**vars(data_args))

    # 2. Tokenizer, and the documents cut into blocks of its tokens.
    texts = documents["train"]["text"]
    tokenizer = LSTMTokenizer.train_from_iterator(texts, args.tokenizer_kind, vocab_size=args.vocab_size)
    blocks = {split: make_blocks(documents[split], tokenizer, args.block_size) for split in documents}
    data = {split: encode(documents[split], tokenizer) for split in documents} if args.stateful else blocks

    # 3. Model: a network of random weights.
    config = AutoConfig.for_model(
        args.model_type,
        vocab_size=len(tokenizer),
        hidden_size=args.hidden_size,
        num_hidden_layers=args.num_hidden_layers,
        input_dropout=args.dropout,
        hidden_dropout=args.dropout if args.num_hidden_layers > 1 else 0.0,
        output_dropout=args.dropout,
        variational_dropout=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    print(f"{model.num_parameters():,} parameters, {len(blocks['train']) * args.block_size:,} tokens to train on")

    # 4. Training.
    trainer_class, options = CardTrainer, {"data_collator": default_data_collator}
    if args.stateful:
        options = {"sequence_length": args.block_size, "reset_at": args.reset_at}
        trainer_class, options = StatefulTrainer, options | {"variable_length": args.variable_length}
    trainer = trainer_class(
        model,
        training_args,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        processing_class=tokenizer,
        **options,
    )
    checkpoint = training_args.resume_from_checkpoint  # a folder, or "last": the last one in `output_dir`
    trainer.train(resume_from_checkpoint=checkpoint == "last" or checkpoint)
    trainer.save_model()
    trainer.save_state()

    # 5. Evaluation beside n-gram models, which predict the same tokens; then the saved folder at work.
    train_ids = np.array(blocks["train"]["input_ids"])
    held_out = [np.array([ids]) for ids in data["validation"]["input_ids"] if len(ids) > 1]
    if args.stateful and args.reset_at == "stream":
        held_out = [np.concatenate(data["validation"]["input_ids"][:])[None]]
    ngrams = {name: NgramModel(len(tokenizer), order).fit(train_ids) for name, order in NGRAM_ORDERS.items()}
    losses = {
        name: -np.concatenate([ngram.log_prob(ids)[0] for ids in held_out]).mean() for name, ngram in ngrams.items()
    }
    baselines = losses.copy()
    losses[args.model_type.upper()] = trainer.evaluate()["eval_loss"]
    perplexities = {name: math.exp(loss) for name, loss in losses.items()}
    tokens = sum(ids[:, 1:].size for ids in held_out)
    context = f"all before it in its {args.reset_at}" if args.stateful else f"at most {args.block_size} others"
    trainer.save_metrics("eval", {"perplexity": perplexities, "held_out_tokens": tokens})
    print(f"\nPerplexity of {tokens:,} held-out tokens, each after {context}")
    for name, perplexity in perplexities.items():
        print(f"  {name:<8}{perplexity:9.1f}")

    trainer.create_model_card(
        data=TrainingData(
            data_args.dataset_name or data_args.train_file or "the documentation that ships with CPython",
            {name: {"tokens": len(rows) * args.block_size} for name, rows in blocks.items()},
        ),
        results=[
            Measurement("perplexity", value, "validation", of=name if name in NGRAM_ORDERS else None)
            for name, value in perplexities.items()
        ],
        command=shlex.join(["python", *sys.argv]),
        example=args.prompts[0],
    )
    if training_args.push_to_hub:
        trainer.push_to_hub()

    tokenizer = AutoTokenizer.from_pretrained(training_args.output_dir)
    model = AutoModelForCausalLM.from_pretrained(training_args.output_dir)
    for prompt in args.prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        output = model.generate(**inputs, min_new_tokens=40, max_new_tokens=80, do_sample=True, temperature=0.7)
        print(f"\n{tokenizer.decode(output[0], skip_special_tokens=True)}")
    plot_training_curve(trainer.state.log_history, f"{training_args.output_dir}/training_curve.png", baselines)
    print(f"\nModel, tokenizer, figures and picture are in {training_args.output_dir}.")


if __name__ == "__main__":
    main()

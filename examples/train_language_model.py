# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
r"""
Train a recurrent language model and its tokenizer from scratch, and set it beside n-gram models of the same tokens.

    python examples/train_language_model.py                                        # on Python's own documentation
    python examples/train_language_model.py --train_file book.txt --sample_by paragraph --output_dir runs/book
    python examples/train_language_model.py --dataset_name Salesforce/wikitext --dataset_config_name wikitext-2-raw-v1
    python examples/train_language_model.py --model_type gru --num_train_epochs 20 --learning_rate 1e-3
    python examples/train_language_model.py --stateful --variable_length           # the text in one go, not in blocks
    python examples/train_language_model.py --resume_from_checkpoint last          # or the folder of a checkpoint
    python examples/train_language_model.py --train_file huge.txt --streaming --max_steps 100000
    torchrun --nproc_per_node 2 examples/train_language_model.py                   # several processes: docs/scaling.md

Words as in the literature, with an end of each line; characters, newlines included; a text from its end:

    python examples/train_language_model.py --train_file wiki.train.tokens --validation_file wiki.valid.tokens \
        --test_file wiki.test.tokens --keep_blank --tokenizer_kind word --no_split_punctuation --vocab_size 50000 \
        --stateful --variable_length --block_size 70 --output_dir runs/wikitext2
    python examples/train_language_model.py --train_file play.txt --sample_by document --tokenizer_kind char --stateful
    python examples/train_language_model.py --train_file a.txt b.txt --tokenizer_kind char --reverse

AWD-LSTM (Merity et al. 2018) adds to the words:

    --hidden_sizes 1150 1150 400 --input_dropout 0.4 --hidden_dropout 0.25 --output_dropout 0.4 \
    --embedding_dropout 0.1 --recurrent_weight_dropout 0.5 \
    --activation_regularization 2 --temporal_activation_regularization 1 \
    --optim sgd --learning_rate 30 --lr_scheduler_type constant --max_grad_norm 0.25 --weight_decay 1.2e-6 \
    --eval_strategy epoch --non_monotone_interval 5
"""

import shlex
import sys
from dataclasses import dataclass, field
from typing import Literal

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    HfArgumentParser,
    TrainingArguments,
    default_data_collator,
    set_seed,
)
from transformers.hf_argparser import HfArg

from hf_lstm import LSTMTokenizer
from hf_lstm.data import encode_text, load_text, make_blocks
from hf_lstm.distributed import end_processes, from_main_process
from hf_lstm.evaluation.diagnostics import GradientFlowCallback
from hf_lstm.evaluation.ngram import NgramModel
from hf_lstm.evaluation.perplexity import Perplexity, evaluate_perplexity, join_tokens
from hf_lstm.evaluation.plotting import plot_training_curve
from hf_lstm.hub.cards import Measurement, TrainingData
from hf_lstm.training.averaging import NonMonotonicAveraging
from hf_lstm.training.card_trainer import CardTrainer
from hf_lstm.training.stateful import StatefulTrainer


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
    "ddp_find_unused_parameters": False,
}


@dataclass
class DataArguments:
    """What to train on: files, a dataset of the Hub, or by default the documentation that ships with CPython."""

    train_file: list[str] | None = field(
        default=None, metadata={"help": "Text to train on: txt, tokens, json, jsonl, csv or parquet files."}
    )
    validation_file: str | None = HfArg(default=None, help="Text to evaluate on; else a tenth of the documents.")
    test_file: str | None = HfArg(default=None, help="Text for the final perplexity.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    text_column: str = HfArg(default="text", help="The column that holds the text.")
    sample_by: Literal["line", "paragraph", "document"] = HfArg(default="line", help="A document in a txt file.")
    keep_blank: bool = HfArg(default=False, help="Keep documents without text, for their end: lines of WikiText.")
    streaming: bool = HfArg(default=False, help="Read the text while training: it need not fit memory or disk.")
    held_out_documents: int = HfArg(default=1000, help="With --streaming, the first ones, to evaluate on.")


@dataclass
class ReadingArguments:
    """The tokenizer, and how the network goes through the text."""

    tokenizer_kind: Literal["word", "char", "bpe", "unigram", "wordpiece"] = HfArg(default="bpe", help="Its tokens.")
    vocab_size: int = HfArg(default=2000, help="The most tokens in the vocabulary.")
    split_punctuation: bool = HfArg(default=True, help="With words: punctuation is apart; else white space decides.")
    reverse: bool = HfArg(default=False, help="Read each document from its last token to its first.")
    tokenizer_documents: int = HfArg(default=100_000, help="With --streaming, how many the tokenizer learns from.")
    shuffle_buffer: int = HfArg(default=10_000, help="With --streaming, blocks to draw from at random; 0: in order.")
    block_size: int = HfArg(default=128, help="Tokens predicted in a block; the network starts each block afresh.")
    stateful: bool = HfArg(default=False, help="Carry the state from block to block, through streams of the text.")
    variable_length: bool = HfArg(default=False, help="With --stateful: blocks of random lengths around block_size.")
    reset_at: Literal["stream", "document"] = HfArg(default="stream", help="With --stateful: where to start afresh.")
    non_monotone_interval: int | None = HfArg(
        default=None, help="Average the weights once so many evaluations were no better (NT-ASGD)."
    )
    gradient_flow: int | None = HfArg(
        default=None, help="Measure every so many steps how far gradients reach, and warn if they vanish or explode."
    )
    prompts: list[str] = field(default_factory=PROMPTS.copy, metadata={"help": "Texts that the model continues."})


@dataclass
class ModelArguments:
    """The network: fields of its configuration, and one dropout rate for what has none of its own."""

    model_type: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    hidden_size: int = HfArg(default=384, help="Units of a layer.")
    num_hidden_layers: int = HfArg(default=1, help="Layers.")
    hidden_sizes: list[int] | None = field(
        default=None, metadata={"help": "Units of each layer, instead of these two."}
    )
    embedding_size: int | None = HfArg(default=None, help="Size of the token embeddings; else that of the last layer.")
    dropout: float = HfArg(default=0.3, help="Dropout rate on embeddings, between layers and on the output.")
    input_dropout: float | None = HfArg(default=None, help="Another rate on embeddings.")
    hidden_dropout: float | None = HfArg(default=None, help="Another rate between layers.")
    output_dropout: float | None = HfArg(default=None, help="Another rate on the output.")
    embedding_dropout: float = HfArg(default=0.0, help="Rate of tokens that a batch lacks altogether.")
    recurrent_weight_dropout: float = HfArg(default=0.0, help="Dropout rate on the hidden-to-hidden weights.")
    variational_dropout: bool = HfArg(default=True, help="One dropout mask for all steps of a sequence.")
    activation_regularization: float = HfArg(default=0.0, help="Penalty on large outputs.")
    temporal_activation_regularization: float = HfArg(default=0.0, help="Penalty on outputs that change.")
    tie_word_embeddings: bool = HfArg(default=True, help="The output layer has the weights of the embedding.")
    output_layer: Literal["softmax", "adaptive", "mixture"] = HfArg(default="softmax", help="For large vocabularies.")
    num_softmaxes: int = HfArg(default=10, help="Softmaxes in a mixture.")
    initializer: Literal["orthogonal", "uniform"] = HfArg(default="orthogonal", help="Weights to begin with.")
    initializer_range: float = HfArg(default=0.2, help="Standard deviation of the embeddings to begin with.")

    def fields(self) -> dict:
        given = {name: value for name, value in vars(self).items() if name != "dropout" and value is not None}
        layers = self.num_hidden_layers
        if self.hidden_sizes:
            layers = len(self.hidden_sizes)
            del given["hidden_size"], given["num_hidden_layers"]
        rates = {"input_dropout": self.dropout, "output_dropout": self.dropout}
        return {**rates, "hidden_dropout": self.dropout if layers > 1 else 0.0, **given}


def main(command_line: list[str] | None = None) -> None:
    parser = HfArgumentParser((DataArguments, ReadingArguments, ModelArguments, TrainingArguments), usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, model_args, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)

    if data_args.streaming:
        check_streaming(args, training_args)

    # 1. Data: documents for training, and others that are held out.
    with training_args.main_process_first(desc="reading"):
        documents = load_text(**vars(data_args))

    # 2. Tokenizer, and the documents as its tokens: whole, or end to end in blocks.
    options = {"split_punctuation": args.split_punctuation} if args.tokenizer_kind == "word" else {}
    options |= {"kind": args.tokenizer_kind, "vocab_size": args.vocab_size}
    sample = documents["train"].take(args.tokenizer_documents) if data_args.streaming else documents["train"]
    texts = (row["text"] for row in sample)
    tokenizer = from_main_process(lambda: LSTMTokenizer.train_from_iterator(texts, **options))
    with training_args.main_process_first(desc="tokenizing"):
        data = {split: encode_text(rows, tokenizer, args.reverse) for split, rows in documents.items()}
    streams = {split: join_tokens(rows) for split, rows in data.items() if hasattr(rows, "__len__")}
    if not args.stateful:
        data = {split: make_blocks(rows, args.block_size) for split, rows in data.items()}
    if data_args.streaming and args.shuffle_buffer:
        data["train"] = data["train"].shuffle(training_args.seed, buffer_size=args.shuffle_buffer)

    # 3. Model: a network of random weights.
    config = AutoConfig.for_model(
        **model_args.fields(),
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    if training_args.process_index == 0:
        print(f"{model.num_parameters():,} parameters, {len(tokenizer):,} kinds of tokens, ", end="")
        print(", ".join(f"{len(ids):,} to {split}" for split, ids in streams.items()))

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
    if args.non_monotone_interval:
        trainer.add_callback(NonMonotonicAveraging(args.non_monotone_interval))
    if args.gradient_flow:
        inputs = {"input_ids": streams["validation"][None, : args.block_size]}
        trainer.add_callback(GradientFlowCallback(trainer, inputs, args.gradient_flow))
    checkpoint = training_args.resume_from_checkpoint  # a folder, or "last": the last one in `output_dir`
    training = trainer.train(resume_from_checkpoint=checkpoint == "last" or checkpoint)
    trainer.save_model()
    trainer.save_state()
    afresh = {}
    if args.stateful and args.reset_at == "document":
        afresh = {split: trainer.evaluate(data[split])["eval_loss"] for split in data if split != "train"}
    if not trainer.is_world_process_zero():  # the main process does the rest
        return trainer.push_to_hub() if training_args.push_to_hub else None

    # 5. The saved folder at work: evaluation beside n-gram models, which predict the same tokens; and some text.
    tokenizer = AutoTokenizer.from_pretrained(training_args.output_dir)
    model = AutoModelForCausalLM.from_pretrained(training_args.output_dir).to(training_args.device)
    network, results = model_args.model_type.upper(), {split: {} for split in documents if split != "train"}
    ngram_orders = {} if data_args.streaming else NGRAM_ORDERS  # they count the whole text
    for name, order in ngram_orders.items():
        ngram = NgramModel(len(tokenizer), order).fit(streams["train"][None])
        for split, rows in results.items():
            rows[name] = Perplexity(-ngram.log_prob(streams[split][None]).mean().item(), len(streams[split]) - 1)
    for split, rows in results.items():
        windows = {"carry_state": False, "block_size": args.block_size, "batch_size": 16}
        rows[f"{network}, windows of {args.block_size}"] = evaluate_perplexity(model, streams[split], **windows)
        rows[f"{network}, state carried"] = evaluate_perplexity(model, streams[split])
        if split in afresh:
            tokens = len(streams[split]) - len(documents[split])
            rows[f"{network}, each document afresh"] = Perplexity(afresh[split], tokens)
        print(f"\n{split:<32}{'perplexity':>12}{'nats':>10}{'tokens':>12}")
        for name, result in rows.items():
            print(f"  {name:<30}{result.perplexity:12.2f}{result.loss:10.4f}{result.tokens:12,}")
    scores = {
        "perplexity": {split: {name: row.perplexity for name, row in rows.items()} for split, rows in results.items()},
        "nats": {split: {name: row.loss for name, row in rows.items()} for split, rows in results.items()},
        "tokens": {split: len(ids) for split, ids in streams.items()},
        "train_seconds": training.metrics["train_runtime"],
        "parameters": model.num_parameters(),
        "epochs": trainer.state.epoch,
    }
    trainer.save_metrics("eval", scores)

    trainer.create_model_card(
        data=TrainingData(
            data_args.dataset_name or " ".join(data_args.train_file or ["the documentation that ships with CPython"]),
            {split: {"tokens": len(ids)} for split, ids in streams.items()},
        ),
        results=[each for split, rows in results.items() for each in measurements(split, rows, args.tokenizer_kind)],
        procedure="Reads each document from its last token to its first." if args.reverse else None,
        command=shlex.join(["python", *sys.argv]),
        example=args.prompts[0],
    )
    if training_args.push_to_hub:
        trainer.push_to_hub()

    for prompt in args.prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids.to(model.device)
        ids = ids.flip(1) if args.reverse else ids
        output = model.generate(ids, min_new_tokens=40, max_new_tokens=80, do_sample=True, temperature=0.7)[0]
        print(f"\n{tokenizer.decode(output.flip(0) if args.reverse else output, skip_special_tokens=True)}")
    baselines = {name: results["validation"][name].loss for name in ngram_orders}
    plot_training_curve(trainer.state.log_history, f"{training_args.output_dir}/training_curve.png", baselines)
    print(f"\nModel, tokenizer, figures and picture are in {training_args.output_dir}.")


def check_streaming(args: ReadingArguments, training_args: TrainingArguments) -> None:
    """Refuse what a stream does not go with, and give each process whole batches."""
    if training_args.max_steps < 1:
        raise ValueError(
            f"`max_steps` is {training_args.max_steps} with `streaming`: give it, a stream has no length."
        )
    if args.stateful:
        raise ValueError(
            "`stateful` does not go with `streaming`, since rows are cut from the whole of a text. Leave out one of "
            "them, or give `StatefulTrainer` token ids in a file, as a `numpy.memmap` of type int64."
        )
    training_args.dataloader_drop_last = True


def measurements(split: str, rows: dict[str, Perplexity], tokenizer_kind: str) -> list[Measurement]:
    """For the card: perplexities, and of models of characters the nats that are usual for them."""
    found = []
    for name, result in rows.items():
        _, comma, way = name.partition(", ")
        of = None if comma else name
        found.append(Measurement("perplexity", result.perplexity, split, f"perplexity{comma}{way}", of=of))
        if tokenizer_kind == "char":
            found.append(Measurement("loss", result.loss, split, f"nats a character{comma}{way}", of=of))
    return found


if __name__ == "__main__":
    main()
    end_processes()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Train a tagger from scratch: words, their characters and shapes under a recurrent network and a CRF.

    python examples/train_token_classification.py                            # restores capitals and punctuation
    python examples/train_token_classification.py --train_file train.txt --validation_file dev.txt \
        --test_file test.txt --output_dir runs/ner                           # columns, as of CoNLL; plain or gzipped
    python examples/train_token_classification.py --train_file en.conllu --tag_column upos --output_dir runs/pos
    python examples/train_token_classification.py --dataset_name wnut_17 --tag_column ner_tags --output_dir runs/wnut
    python examples/train_token_classification.py --context_models runs/forward_lm runs/backward_lm
    python examples/train_token_classification.py --resume_from_checkpoint last      # or the folder of a checkpoint
    torchrun --nproc_per_node 2 examples/train_token_classification.py               # processes: docs/scaling.md
"""

import shlex
import sys
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from typing import Literal

from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    EarlyStoppingCallback,
    HfArgumentParser,
    TrainingArguments,
    pipeline,
    set_seed,
)
from transformers.hf_argparser import HfArg

from hf_lstm import LSTMTokenizer
from hf_lstm.data import convert_tag_column, encode_tagged, load_tagged_splits, rewrite, write_tagged
from hf_lstm.data.tag_schemes import convert_tags, infer_scheme
from hf_lstm.data.vectors import match_vectors, read_vectors
from hf_lstm.distributed import end_processes, from_main_process
from hf_lstm.evaluation import format_report, make_compute_metrics, tagging_scores
from hf_lstm.hub.cards import Measurement, TrainingData
from hf_lstm.training.averaging import WeightAveraging
from hf_lstm.training.batching import LengthBatchingTrainer, predict


TRANSCRIPT = (
    "this function returns a list of strings if the file does not exist an error is raised note that the python "
    "interpreter uses the ascii encoding by default however you can choose another one"
)

# The recipe for the documentation of CPython. These and all other `TrainingArguments` are options of the command line.
RECIPE = {
    "output_dir": "runs/python_docs_tagger",
    "num_train_epochs": 10,
    "per_device_eval_batch_size": 32,
    "learning_rate": 4e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,
    "weight_decay": 0.05,
    "logging_steps": 0.05,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "load_best_model_at_end": True,
    "metric_for_best_model": "best",
    "greater_is_better": True,
    "dataloader_pin_memory": False,
}


@dataclass
class DataArguments:
    """What to train on: files, a dataset of the Hub, or by default the documentation that ships with CPython."""

    train_file: str | None = HfArg(default=None, help="Columns with a token a line, or json, jsonl, csv, parquet.")
    validation_file: str | None = HfArg(default=None, help="The same to choose the epoch; else a tenth of the rows.")
    test_file: str | None = HfArg(default=None, help="The same for the final scores; else those are of validation.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    token_column: str | None = HfArg(default=None, help="Tokens: name, or index in columns; else 'tokens', or 0.")
    tag_column: str | None = HfArg(default=None, help="Tags: name, or index in columns; else 'tags', or -1.")
    separator: str | None = HfArg(default=None, help="What separates columns; else a tab, or spaces.")
    comment: str | None = HfArg(default=None, help="How lines of a column file begin that are left out.")
    encoding: str = HfArg(default="utf-8", help="Encoding of column files.")


@dataclass
class ModelArguments:
    """The tokenizer and the network."""

    tag_scheme: str = HfArg(default="BIOES", help="Scheme to train tags of entities in; scores and files keep theirs.")
    min_frequency: int = HfArg(default=2, help="Rarer words are known by their characters only.")
    vectors: str | None = HfArg(default=None, help="Pretrained word vectors: GloVe, word2vec or fastText.")
    context_models: list[str] = field(
        default_factory=list, metadata={"help": "Two language models of characters: of texts, and of reversed texts."}
    )
    remembered_tokens: int = HfArg(default=300_000, help="Tokens whose context is kept for later epochs; 0: none.")
    model_type: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    embedding_size: int = HfArg(default=100, help="Size of word embeddings; pretrained ones bring theirs.")
    hidden_size: int = HfArg(default=192, help="Units of a layer, in each direction.")
    num_hidden_layers: int = HfArg(default=2, help="Layers.")
    char_encoder: Literal["cnn", "recurrent"] = HfArg(default="cnn", help="How characters are read.")
    dropout: float = HfArg(default=0.5, help="Dropout rate on embeddings, between layers and on the output.")
    recurrent_weight_dropout: float = HfArg(default=0.0, help="Rate of recurrent weights dropped at each step.")
    word_dropout: float = HfArg(default=0.1, help="Rate of words that training hides, so that characters count.")
    lm_loss_coef: float = HfArg(default=0.0, help="Weight of the loss of predicting neighbouring words.")
    char_dropout: float = HfArg(
        default=0.0, help="Rate of characters that training hides, wherever they occur in a batch."
    )
    average: float = HfArg(default=0.0, help="Decay of the average of weights that is evaluated and kept; 0: none.")
    use_crf: bool = HfArg(default=True, help="Choose tags together, by a CRF.")
    max_tokens: int = HfArg(default=800, help="Tokens in a batch, padding included.")
    patience: int = HfArg(default=5, help="Epochs without a better score after which training ends.")
    sentences: list[str] = field(default_factory=list, metadata={"help": "Texts that the trained model tags."})


def main(command_line: list[str] | None = None) -> None:
    parser = HfArgumentParser((DataArguments, ModelArguments, TrainingArguments), usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)

    # 1. Data: tagged sentences; tags of entities in the scheme to train in, other tags as they are.
    with training_args.main_process_first(desc="reading"):
        splits = load_tagged_splits(**vars(data_args))
    tags = {split: tag_strings(rows) for split, rows in splits.items()}
    scheme = infer_scheme(row for rows in tags.values() for row in rows)
    sentences = convert_tag_column(splits, "tags", args.tag_scheme, scheme) if scheme else splits
    label_names = sentences["train"].features["tags"].feature.names

    # 2. Tokenizer, and the ids of words, characters and shapes; it knows all words of pretrained vectors.
    known_words = read_vectors(args.vectors).words if args.vectors else []
    make_tokenizer = partial(
        LSTMTokenizer.train_from_iterator,
        [*sentences["train"]["tokens"], *[known_words] * args.min_frequency],
        "word",
        split_punctuation=False,
        lowercase=True,
        fold_digits=True,
        min_frequency=args.min_frequency,
        characters=True,
        word_shapes=True,
        context_tokenizer=AutoTokenizer.from_pretrained(args.context_models[0]) if args.context_models else None,
    )
    tokenizer = from_main_process(make_tokenizer)
    with training_args.main_process_first(desc="tokenizing"):
        inputs = {split: encode_tagged(rows, tokenizer) for split, rows in sentences.items()}

    # 3. Model: a network of random weights, on pretrained word vectors if there are any.
    vectors = match_vectors(tokenizer.get_vocab(), args.vectors) if args.vectors else None
    contexts = [AutoModelForCausalLM.from_pretrained(folder) for folder in args.context_models]
    config = AutoConfig.for_model(
        args.model_type,
        vocab_size=len(tokenizer),
        embedding_size=vectors.matrix.shape[1] if vectors else args.embedding_size,
        hidden_size=args.hidden_size,
        num_hidden_layers=args.num_hidden_layers,
        char_vocab_size=tokenizer.char_vocab_size,
        char_encoder=args.char_encoder,
        char_dropout=args.char_dropout,
        shape_vocab_size=tokenizer.shape_vocab_size,
        context_models=[language_model.config.to_dict() for language_model in contexts] or None,
        word_dropout=args.word_dropout,
        lm_loss_coef=args.lm_loss_coef,
        input_dropout=args.dropout,
        hidden_dropout=args.dropout if args.num_hidden_layers > 1 else 0.0,
        output_dropout=args.dropout,
        recurrent_weight_dropout=args.recurrent_weight_dropout,
        variational_dropout=True,
        use_crf=args.use_crf,
        tag_scheme=args.tag_scheme if scheme else "none",
        id2label=dict(enumerate(label_names)),
        label2id={name: i for i, name in enumerate(label_names)},
        pad_token_id=tokenizer.pad_token_id,
        unk_token_id=tokenizer.unk_token_id,
    )
    model = AutoModelForTokenClassification.from_config(config)
    if vectors:
        model.get_input_embeddings().weight.data.copy_(vectors.matrix)
    if contexts:
        model.model.load_context_models(*contexts)
        model.model.context_encoder.remember(args.remembered_tokens)
    if training_args.process_index == 0:
        print(f"{vectors.coverage}\n" if vectors else "", end="")
        print(
            f"{model.num_parameters():,} parameters, {sum(map(len, splits['train']['tokens'])):,} tokens to train on"
        )

    # 4. Training, until the score on the validation data does not rise any more.
    if training_args.metric_for_best_model == "best":
        training_args.metric_for_best_model = "f1" if scheme else "accuracy"
    collator = DataCollatorForTokenClassification(tokenizer)
    trainer = LengthBatchingTrainer(
        model,
        training_args,
        max_tokens=args.max_tokens,
        data_collator=collator,
        train_dataset=inputs["train"],
        eval_dataset=inputs["validation"],
        processing_class=tokenizer,
        compute_metrics=make_compute_metrics(label_names, args.tag_scheme if scheme else None),
        callbacks=[EarlyStoppingCallback(args.patience), *[WeightAveraging(args.average)] * bool(args.average)],
    )
    checkpoint = training_args.resume_from_checkpoint  # a folder, or "last": the last one in `output_dir`
    training = trainer.train(resume_from_checkpoint=checkpoint == "last" or checkpoint)
    trainer.save_model()
    trainer.save_state()
    if not trainer.is_world_process_zero():  # the main process does the rest
        return trainer.push_to_hub() if training_args.push_to_hub else None

    # 5. The saved folder at work: evaluation on data that had no say so far, and some texts.
    model = AutoModelForTokenClassification.from_pretrained(training_args.output_dir).to(training_args.device)
    split = "test" if "test" in splits else "validation"
    outputs = predict(
        model,
        inputs[split],
        lambda rows: {**collator(rows), "output_marginals": args.use_crf},
        max_tokens=4 * args.max_tokens,
        take=best_and_most_probable,
    )
    firsts = [[label != -100 for label in row] for row in inputs[split]["labels"]]  # the first token of each word
    best, most_probable = (
        [[label_names[i] for i in compress(row, first)] for row, first in zip(rows, firsts, strict=True)]
        for rows in zip(*outputs, strict=True)
    )
    scores = tagging_scores(tag_strings(sentences[split]), best, scheme=args.tag_scheme if scheme else None)
    pairs = [pair for rows in zip(best, most_probable, strict=True) for pair in zip(*rows, strict=True)]
    scores |= {
        "not_most_probable": sum(a != b for a, b in pairs) / len(pairs),
        "train_seconds": training.metrics["train_runtime"],
        "parameters": model.num_parameters(),
        "epochs": trainer.state.epoch,
        "best_score": trainer.state.best_metric,
    }
    trainer.save_metrics(split, scores)
    written = [convert_tags(row, args.tag_scheme, scheme) for row in best] if scheme else best
    write_tagged(f"{training_args.output_dir}/predictions.txt", splits[split]["tokens"], tags[split], written)

    print(f"\nScores of {len(pairs):,} tokens of the {split} data\n\n{format_report(scores['tokens'])}")
    if scheme:
        print(format_report(scores["entities"]))
        print(f"F1 of entities {scores['overall_f1']:.2%}, of well-formed entities {scores['strict_f1']:.2%}")
    if args.use_crf:
        print(f"At {scores['not_most_probable']:.2%} of the tokens the best path has not the most probable label.")

    names = {"overall_f1": "F1 of entities", "strict_f1": "F1 of well-formed entities", "overall_accuracy": "Accuracy"}
    built_in = data_args.train_file is None and data_args.dataset_name is None
    trainer.create_model_card(
        data=TrainingData(
            data_args.dataset_name or data_args.train_file or "the documentation that ships with CPython",
            {name: {"sentences": len(rows), "tokens": sum(map(len, rows["tokens"]))} for name, rows in splits.items()},
        ),
        results=[
            Measurement("accuracy" if key == "overall_accuracy" else "f1", scores[key], split, name)
            for key, name in names.items()
            if key in scores
        ],
        reports={f"Tokens of the {split} data": scores["tokens"]},
        command=shlex.join(["python", *sys.argv]),
        example=TRANSCRIPT if built_in else None,
    )
    if training_args.push_to_hub:
        trainer.push_to_hub()

    tagger = pipeline("token-classification", training_args.output_dir, ignore_labels=[])
    for text in args.sentences or [TRANSCRIPT] * built_in:
        words = [(text[token["start"] : token["end"]], token["entity"]) for token in tagger(text)]
        print(f"\n{text}\n  ->  {rewrite(*zip(*words, strict=True)) if built_in else ' '.join(map('/'.join, words))}")
    print(f"\nModel, tokenizer, figures and predictions.txt are in {training_args.output_dir}.")


def tag_strings(rows: Dataset) -> list[list[str]]:
    names = rows.features["tags"].feature.names
    return [[names[i] for i in row] for row in rows["tags"]]


def best_and_most_probable(outputs, batch) -> list[tuple[list[int], list[int]]]:
    """For each sentence the labels of the best path, and at each token the one of the highest marginal probability."""
    probabilities = outputs.logits if outputs.marginals is None else outputs.marginals
    lengths = batch["attention_mask"].sum(1).tolist()
    rows = zip(outputs.logits.argmax(-1).tolist(), probabilities.argmax(-1).tolist(), lengths, strict=True)
    return [(best[:length], most_probable[:length]) for best, most_probable, length in rows]


if __name__ == "__main__":
    main()
    end_processes()

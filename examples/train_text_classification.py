# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Train a classifier of texts, and its tokenizer, from scratch.

    python examples/train_text_classification.py                                # parts of Python's own documentation
    python examples/train_text_classification.py --train_file train.csv --test_file test.csv --output_dir runs/topics
    python examples/train_text_classification.py --train_file train_5500.label --test_file TREC_10.label \
        --encoding latin-1 --label_end : --output_dir runs/trec                 # a label before each text
    python examples/train_text_classification.py --dataset_name SetFit/sst2 --output_dir runs/sst2
    python examples/train_text_classification.py --pretrained_model ./runs/python_docs_lm --discriminative
    python examples/train_text_classification.py --encoder distilbert-base-cased
    python examples/train_text_classification.py --resume_from_checkpoint last  # or the folder of a checkpoint
    torchrun --nproc_per_node 2 examples/train_text_classification.py           # several processes: docs/scaling.md
"""

from functools import partial

from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    HfArgumentParser,
    TrainingArguments,
    pipeline,
    set_seed,
)

from hf_lstm import LSTMTokenizer
from hf_lstm.data import class_names, encode_classified, load_classified
from hf_lstm.distributed import end_processes, from_main_process
from hf_lstm.evaluation import format_report, token_report
from hf_lstm.evaluation.text_classification import classification_scores, joined
from hf_lstm.hub.measurements import classification_measurements, this_command
from hf_lstm.training import arguments
from hf_lstm.training.averaging import WeightAveraging
from hf_lstm.training.encoder_arguments import EncoderArguments
from hf_lstm.training.ngram_fitting import fit_ngrams
from hf_lstm.training.pretraining import pretrain
from hf_lstm.training.transfer import GradualUnfreezing


EXAMPLE = "An element of the tree has a tag, attributes, and children, which are elements too."

# The recipe for the documentation of CPython. These and all other `TrainingArguments` are options of the command line.
RECIPE = arguments.BEST_EPOCH_RECIPE | {
    "output_dir": "runs/python_docs_classifier",
    "num_train_epochs": 15,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "learning_rate": 3e-3,
    "train_sampling_strategy": "group_by_length",
}


def main(command_line: list[str] | None = None) -> None:
    kinds = (arguments.ClassifiedArguments, arguments.ClassifierArguments, EncoderArguments, TrainingArguments)
    parser = HfArgumentParser(kinds, usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, encoder, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)

    # 1. Data: texts and their labels.
    with training_args.main_process_first(desc="reading"):
        splits = load_classified(**vars(data_args))
    label_names, problem_type = class_names(splits["train"]), data_args.problem_type

    # 2. Tokenizer, and the ids of tokens.
    if args.pretrained_model:
        tokenizer = AutoTokenizer.from_pretrained(args.pretrained_model)
    else:
        texts, options = [*splits["train"]["text"], " ".join(args.known_words())], args.tokenizer_options(encoder)
        tokenizer = from_main_process(lambda: LSTMTokenizer.train_from_iterator(texts, **options))
    with training_args.main_process_first(desc="tokenizing"):
        inputs = {split: encode_classified(rows, tokenizer, args.max_length) for split, rows in splits.items()}

    # 3. Model: a network of random weights, on word vectors if there are any, or a language model under a new head.
    vectors = args.matched_vectors(tokenizer.get_vocab())
    config = args.config(tokenizer, label_names, problem_type, vectors)
    if args.pretrained_model and not args.from_scratch:
        model = AutoModelForSequenceClassification.from_pretrained(args.pretrained_model, config=config)
    else:
        model = encoder.build(AutoModelForSequenceClassification, config)
    if vectors:
        model.get_input_embeddings().weight.data.copy_(vectors.matrix)
    if args.ngram_buckets:
        fit_ngrams(model, inputs["train"], tokenizer, scale=args.ngram_scale)
    if training_args.process_index == 0:
        print(f"{vectors.coverage}\n" if vectors else "", end="")
        print(f"{model.num_parameters():,} parameters, {len(inputs['train']):,} texts to train on")

    if args.pretraining_epochs and not training_args.resume_from_checkpoint:
        pretrain(model, inputs["train"], tokenizer, training_args, args.pretraining_epochs)

    # 4. Training, until the score on the validation data does not improve any more.
    if training_args.metric_for_best_model == "best":
        training_args.metric_for_best_model = arguments.BEST[problem_type]
        training_args.greater_is_better = problem_type != "regression"
    trainer = args.trainer(encoder)(
        model,
        training_args,
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=inputs["train"],
        eval_dataset=inputs["validation"],
        processing_class=tokenizer,
        compute_metrics=partial(classification_scores, problem_type=problem_type),
        callbacks=[
            EarlyStoppingCallback(args.patience),
            *[WeightAveraging(args.average)] * bool(args.average),
            *[GradualUnfreezing()] * args.gradual_unfreezing,
        ],
    )
    trainer.train(training_args.resume_from_checkpoint)  # a folder, or "last": the last one in `output_dir`
    trainer.save_model()
    trainer.save_state()

    # 5. Evaluation on data that had no say so far; then the saved folder at work.
    split = "test" if "test" in inputs else "validation"
    output = trainer.predict(inputs[split], metric_key_prefix=split)
    if not trainer.is_world_process_zero():  # the main process does the rest
        return trainer.push_to_hub() if training_args.push_to_hub else None
    print(f"\nScores of {len(inputs[split]):,} texts of the {split} data\n")
    reports = {}
    if problem_type == "single_label_classification":
        logits, labels = joined(output)
        reports["classes"] = token_report([labels], [logits.argmax(-1)], label_names)
        print(format_report(reports["classes"]))
    else:
        print("".join(f"  {name:<28}{value:9.4f}\n" for name, value in output.metrics.items()))
    trainer.save_metrics(split, output.metrics | trainer.figures | reports)
    trainer.create_model_card(
        **args.card,
        data=data_args.training_data({name: {"texts": len(rows)} for name, rows in splits.items()}),
        results=classification_measurements(output.metrics, split),
        reports={f"Classes of the {split} data": report for report in reports.values()} or None,
        command=this_command(),
        example=EXAMPLE if data_args.built_in else None,
    )
    if training_args.push_to_hub:
        trainer.push_to_hub()

    classifier = pipeline("text-classification", training_args.output_dir)
    text = EXAMPLE if data_args.built_in else splits[split][0]["text"]
    print(f"{text}\n  ->  {classifier(text, truncation=True, max_length=args.max_length)[0]}")
    print(f"\nModel, tokenizer and figures are in {training_args.output_dir}.")


if __name__ == "__main__":
    main()
    end_processes()

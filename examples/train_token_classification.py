# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Train a tagger: words, characters, shapes, and with `--encoder bert-base-cased` a transformer, under a network and CRF.

    python examples/train_token_classification.py                            # restores capitals and punctuation
    python examples/train_token_classification.py --train_file train.txt --validation_file dev.txt \
        --test_file test.txt --output_dir runs/ner                           # columns, as of CoNLL; plain or gzipped
    python examples/train_token_classification.py --train_file en.conllu --tag_column upos --output_dir runs/pos
    python examples/train_token_classification.py --dataset_name unimelb-nlp/wikiann --dataset_config_name en \
        --tag_column ner_tags --output_dir runs/wikiann                     # of the Hub, where it is in parquet
    python examples/train_token_classification.py --context_models ./runs/forward_lm ./runs/backward_lm
    python examples/train_token_classification.py --resume_from_checkpoint last      # or the folder of a checkpoint
    torchrun --nproc_per_node 2 examples/train_token_classification.py               # processes: docs/scaling.md
"""

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

from hf_lstm import LSTMTokenizer
from hf_lstm.data import convert_tag_column, encode_tagged, load_tagged_splits, rewrite, tag_strings, write_tagged
from hf_lstm.data.tag_schemes import convert_tags
from hf_lstm.distributed import end_processes, from_main_process
from hf_lstm.evaluation import format_scores, make_compute_metrics, tagging_scores
from hf_lstm.hub.measurements import tagging_measurements, tagging_reports, this_command
from hf_lstm.training import arguments
from hf_lstm.training.averaging import WeightAveraging
from hf_lstm.training.batching import LengthBatchingTrainer, predict_tags
from hf_lstm.training.encoder_arguments import EncoderArguments


TRANSCRIPT = (
    "this function returns a list of strings if the file does not exist an error is raised note that the python "
    "interpreter uses the ascii encoding by default however you can choose another one"
)

# The recipe for the documentation of CPython. These and all other `TrainingArguments` are options of the command line.
RECIPE = arguments.BEST_EPOCH_RECIPE | {
    "output_dir": "runs/python_docs_tagger",
    "num_train_epochs": 10,
    "per_device_eval_batch_size": 32,
    "learning_rate": 4e-3,
    "greater_is_better": True,
}


def main(command_line: list[str] | None = None) -> None:
    kinds = (arguments.TaggedArguments, arguments.TaggerArguments, EncoderArguments, TrainingArguments)
    parser = HfArgumentParser(kinds, usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, encoder, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)

    # 1. Data: tagged sentences; tags of entities in BIO, other tags as they are.
    with training_args.main_process_first(desc="reading"):
        splits = load_tagged_splits(**vars(data_args))
    tags = {split: tag_strings(rows) for split, rows in splits.items()}
    scheme = args.scheme_of(row for rows in tags.values() for row in rows)
    sentences = convert_tag_column(splits, "tags", "BIO", scheme) if scheme else splits
    label_names = sentences["train"].features["tags"].feature.names

    # 2. Tokenizer, and the ids of words, characters and shapes; it knows all words of pretrained vectors.
    words = [*sentences["train"]["tokens"], args.known_words()]
    context = AutoTokenizer.from_pretrained(args.context_models[0]) if args.context_models else None
    options = args.tokenizer_options() | {"context_tokenizer": context, "encoder_tokenizer": encoder.tokenizer()}
    tokenizer = from_main_process(lambda: LSTMTokenizer.train_from_iterator(words, **options))
    with training_args.main_process_first(desc="tokenizing"):
        inputs = {split: encode_tagged(rows, tokenizer) for split, rows in sentences.items()}

    # 3. Model: a network of random weights, on pretrained word vectors and language models if there are any.
    vectors = args.matched_vectors(tokenizer.get_vocab())
    contexts = [AutoModelForCausalLM.from_pretrained(folder) for folder in args.context_models]
    config = AutoConfig.for_model(**args.fields(tokenizer, label_names, bool(scheme), vectors, contexts))
    model = encoder.build(AutoModelForTokenClassification, config)
    if vectors:
        model.get_input_embeddings().weight.data.copy_(vectors.matrix)
    if contexts:
        model.model.load_context_models(*contexts)
        encoder.remember(model.model.context_encoder)
    if training_args.process_index == 0:
        print(f"{vectors.coverage}\n" if vectors else "", end="")
        print(f"{model.num_parameters():,} parameters, {sum(map(len, tags['train'])):,} tokens to train on")

    # 4. Training, until the score on the validation data does not rise any more.
    if training_args.metric_for_best_model == "best":
        training_args.metric_for_best_model = "f1" if scheme else "accuracy"
    trainer = encoder.trainer(LengthBatchingTrainer)(
        model,
        training_args,
        max_tokens=args.max_tokens,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        train_dataset=inputs["train"],
        eval_dataset=inputs["validation"],
        processing_class=tokenizer,
        compute_metrics=make_compute_metrics(label_names, scheme and "BIO"),
        callbacks=[EarlyStoppingCallback(args.patience), *[WeightAveraging(args.average)] * bool(args.average)],
    )
    trainer.train(training_args.resume_from_checkpoint)  # a folder, or "last": the last one in `output_dir`
    trainer.save_model()
    trainer.save_state()
    if not trainer.is_world_process_zero():  # the main process does the rest
        return trainer.push_to_hub() if training_args.push_to_hub else None

    # 5. The saved folder at work: evaluation on data that had no say so far, and some texts.
    model = AutoModelForTokenClassification.from_pretrained(training_args.output_dir).to(training_args.device)
    split = "test" if "test" in splits else "validation"
    best, most_probable = predict_tags(model, inputs[split], trainer.data_collator, max_tokens=4 * args.max_tokens)
    scores = tagging_scores(tag_strings(sentences[split]), best, scheme=scheme and "BIO")
    pairs = [pair for rows in zip(best, most_probable, strict=True) for pair in zip(*rows, strict=True)]
    scores["not_most_probable"] = sum(a != b for a, b in pairs) / len(pairs)
    trainer.save_metrics(split, scores | trainer.figures | {"best_score": trainer.state.best_metric})
    written = [convert_tags(row, "BIO", scheme) for row in best] if scheme else best
    write_tagged(f"{training_args.output_dir}/predictions.txt", splits[split]["tokens"], tags[split], written)

    print(f"\nScores of {len(pairs):,} tokens of the {split} data\n\n{format_scores(scores)}")
    if args.use_crf:
        print(f"At {scores['not_most_probable']:.2%} of the tokens the best path has not the most probable label.")

    sizes = {name: {"sentences": len(rows), "tokens": sum(map(len, rows))} for name, rows in tags.items()}
    trainer.create_model_card(
        **args.card,
        data=data_args.training_data(sizes),
        results=tagging_measurements(scores, split),
        reports=tagging_reports(scores, split),
        command=this_command(),
        example=next(iter(args.sentences), TRANSCRIPT if data_args.built_in else None),
    )
    if training_args.push_to_hub:
        trainer.push_to_hub()

    tagger = pipeline("token-classification", training_args.output_dir, ignore_labels=[])
    for text in args.sentences or [TRANSCRIPT] * data_args.built_in:
        words = [(text[token["start"] : token["end"]], token["entity"]) for token in tagger(text)]
        tagged = rewrite(*zip(*words, strict=True)) if data_args.built_in else " ".join(map("/".join, words))
        print(f"\n{text}\n  ->  {tagged}")
    print(f"\nModel, tokenizer, figures and predictions.txt are in {training_args.output_dir}.")


if __name__ == "__main__":
    main()
    end_processes()

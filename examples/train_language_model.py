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

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    HfArgumentParser,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

from hf_lstm import LSTMTokenizer
from hf_lstm.data import encode_text, load_text, make_blocks
from hf_lstm.distributed import end_processes, from_main_process
from hf_lstm.evaluation.diagnostics import GradientFlowCallback
from hf_lstm.evaluation.language_modeling import compare_language_models, document_perplexities
from hf_lstm.evaluation.perplexity import join_tokens
from hf_lstm.evaluation.plotting import plot_training_curve
from hf_lstm.hub.measurements import perplexity_measurements, this_command
from hf_lstm.training import arguments
from hf_lstm.training.averaging import NonMonotonicAveraging
from hf_lstm.training.card_trainer import CardTrainer
from hf_lstm.training.stateful import StatefulTrainer


# The recipe for the documentation of CPython. These and all other `TrainingArguments` are options of the command line.
RECIPE = arguments.RECIPE | {
    "output_dir": "runs/python_docs_lm",
    "num_train_epochs": 7,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 16,
    "learning_rate": 8e-3,
    "adam_beta2": 0.98,
    "logging_steps": 0.02,
    "eval_strategy": "steps",
    "eval_steps": 0.1,
    "save_total_limit": 1,
    "ddp_find_unused_parameters": False,
}


def main(command_line: list[str] | None = None) -> None:
    kinds = (arguments.TextArguments, arguments.ReadingArguments, arguments.LanguageModelArguments, TrainingArguments)
    parser = HfArgumentParser(kinds, usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, model_args, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)
    if data_args.streaming:
        args.check_streaming(training_args)

    # 1. Data: documents for training, and others that are held out.
    with training_args.main_process_first(desc="reading"):
        documents = load_text(**vars(data_args))

    # 2. Tokenizer, and the documents as its tokens: whole, or end to end in blocks.
    sample = documents["train"].take(args.tokenizer_documents) if data_args.streaming else documents["train"]
    texts, options = (row["text"] for row in sample), args.tokenizer_options()
    tokenizer = from_main_process(lambda: LSTMTokenizer.train_from_iterator(texts, **options))
    with training_args.main_process_first(desc="tokenizing"):
        data = {split: encode_text(rows, tokenizer, args.reverse) for split, rows in documents.items()}
    streams = {split: join_tokens(rows) for split, rows in data.items() if hasattr(rows, "__len__")}
    if not args.stateful:
        data = {split: make_blocks(rows, args.block_size) for split, rows in data.items()}
    if data_args.streaming and args.shuffle_buffer:
        data["train"] = data["train"].shuffle(training_args.seed, buffer_size=args.shuffle_buffer)

    # 3. Model: a network of random weights.
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**model_args.fields(tokenizer)))
    if training_args.process_index == 0:
        print(f"{model.num_parameters():,} parameters, {len(tokenizer):,} kinds of tokens, ", end="")
        print(", ".join(f"{len(ids):,} to {split}" for split, ids in streams.items()))

    # 4. Training.
    trainer_class, options = CardTrainer, {"data_collator": default_data_collator}
    if args.stateful:
        trainer_class, options = StatefulTrainer, args.trainer_options()
    datasets = {"train_dataset": data["train"], "eval_dataset": data["validation"]}
    trainer = trainer_class(model, training_args, processing_class=tokenizer, **datasets, **options)
    if args.non_monotone_interval:
        trainer.add_callback(NonMonotonicAveraging(args.non_monotone_interval))
    if args.gradient_flow:
        inputs = {"input_ids": streams["validation"][None, : args.block_size]}
        trainer.add_callback(GradientFlowCallback(trainer, inputs, args.gradient_flow))
    trainer.train(training_args.resume_from_checkpoint)  # a folder, or "last": the last one in `output_dir`
    trainer.save_model()
    trainer.save_state()
    afresh = document_perplexities(trainer, data) if args.stateful and args.reset_at == "document" else {}
    if not trainer.is_world_process_zero():  # the main process does the rest
        return trainer.push_to_hub() if training_args.push_to_hub else None

    # 5. The saved folder at work: evaluation beside n-gram models, which predict the same tokens; and some text.
    tokenizer = AutoTokenizer.from_pretrained(training_args.output_dir)
    model = AutoModelForCausalLM.from_pretrained(training_args.output_dir).to(training_args.device)
    results = compare_language_models(model, streams, args.block_size, afresh)
    print(results)
    sizes = {split: len(ids) for split, ids in streams.items()}
    trainer.save_metrics("eval", results.scores | {"tokens": sizes} | trainer.figures)
    trainer.create_model_card(
        **args.card,
        data=data_args.training_data({split: {"tokens": size} for split, size in sizes.items()}),
        results=perplexity_measurements(results, of_characters=args.tokenizer_kind == "char"),
        procedure="Reads each document from its last token to its first." if args.reverse else None,
        command=this_command(),
        example=args.prompts[0],
    )
    if training_args.push_to_hub:
        trainer.push_to_hub()

    for prompt in args.prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids.to(model.device)
        ids = ids.flip(1) if args.reverse else ids
        output = model.generate(ids, min_new_tokens=40, max_new_tokens=80, do_sample=True, temperature=0.7)[0]
        print(f"\n{tokenizer.decode(output.flip(0) if args.reverse else output, skip_special_tokens=True)}")
    picture = f"{training_args.output_dir}/training_curve.png"
    plot_training_curve(trainer.state.log_history, picture, results.baselines("validation"))
    print(f"\nModel, tokenizer, figures and picture are in {training_args.output_dir}.")


if __name__ == "__main__":
    main()
    end_processes()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
r"""
Train a classifier of sounds from scratch, of commands, digits or noises: `pip install soundfile soxr scikit-learn`.

    python examples/train_audio_classification.py                        # digits that come with the package
    python examples/train_audio_classification.py --train_file train.tsv --validation_file dev.tsv \
        --test_file test.tsv --text_column label --output_dir runs/commands
    python examples/train_audio_classification.py --resume_from_checkpoint last  # or the folder of a checkpoint

A table names files of sound, of any kind and rate, and their labels. The best epoch on the validation data is kept, by
accuracy; the test data are classified once.
"""

from functools import partial

from transformers import EarlyStoppingCallback, HfArgumentParser, TrainingArguments, set_seed

from hf_lstm import RecurrentForAudioClassification
from hf_lstm.data import load_speech
from hf_lstm.data.speech import DataCollatorForSpeech, SpeechRows, encode_sounds
from hf_lstm.distributed import end_processes
from hf_lstm.evaluation import format_report, token_report
from hf_lstm.evaluation.text_classification import classification_scores
from hf_lstm.hub.measurements import classification_measurements, this_command
from hf_lstm.training import arguments
from hf_lstm.training.averaging import WeightAveraging
from hf_lstm.training.card_trainer import CardTrainer
from hf_lstm.training.speech_arguments import RecognizerArguments, SpeechArguments


# The recipe for the built-in digits. These and all other `TrainingArguments` are options of the command line.
RECIPE = arguments.BEST_EPOCH_RECIPE | {
    "output_dir": "runs/spoken_digits_classifier",
    "num_train_epochs": 30,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 64,
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "metric_for_best_model": "accuracy",
    "greater_is_better": True,
    "remove_unused_columns": False,
}


def main(command_line: list[str] | None = None) -> None:
    parser = HfArgumentParser((SpeechArguments, RecognizerArguments, TrainingArguments), usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)
    if data_args.built_in:
        args.sampling_rate = 8_000

    # 1. Data: sounds and their labels.
    with training_args.main_process_first(desc="reading"):
        splits = load_speech(**vars(data_args))
    label_names = sorted(set(splits["train"]["text"]))

    # 2. Features of sound, normalised as those of the training data.
    extractor = args.feature_extractor()
    with training_args.main_process_first(desc="reading sounds"):
        encoded = {split: encode_sounds(rows, extractor, label_names, split) for split, rows in splits.items()}
    extractor.fit(frames=encoded["train"].with_format("numpy")["frames"])
    rows = {split: SpeechRows(part, extractor) for split, part in encoded.items() if split != "train"}
    rows["train"] = SpeechRows(encoded["train"], extractor, speed=args.speed)

    # 3. Model: a network of random weights.
    names = dict(enumerate(label_names))
    model = RecurrentForAudioClassification(args.config(extractor, id2label=names))
    if training_args.process_index == 0:
        print(f"{model.num_parameters():,} parameters, {len(rows['train']):,} sounds to train on")

    # 4. Training, until the score on the validation data does not improve any more.
    trainer = CardTrainer(
        model,
        training_args,
        data_collator=DataCollatorForSpeech(extractor),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=extractor,
        compute_metrics=partial(classification_scores, problem_type="single_label_classification"),
        callbacks=[EarlyStoppingCallback(args.patience), *[WeightAveraging(args.average)] * bool(args.average)],
    )
    trainer.train(training_args.resume_from_checkpoint)  # a folder, or "last": the last one in `output_dir`
    trainer.save_model()
    trainer.save_state()

    # 5. Evaluation on data that had no say so far.
    split = "test" if "test" in rows else "validation"
    output = trainer.predict(rows[split], metric_key_prefix=split)
    if not trainer.is_world_process_zero():  # the main process does the rest
        return trainer.push_to_hub() if training_args.push_to_hub else None
    report = token_report([output.label_ids], [output.predictions.argmax(-1)], label_names)
    print(f"\nScores of {len(rows[split]):,} sounds of the {split} data\n\n{format_report(report)}")
    trainer.save_metrics(split, output.metrics | trainer.figures | {"classes": report})
    trainer.create_model_card(
        language=args.language,
        license=args.license,
        data=data_args.training_data({name: {"sounds": len(part)} for name, part in splits.items()}),
        results=classification_measurements(output.metrics, split),
        reports={f"Classes of the {split} data": report},
        command=this_command(),
    )
    if training_args.push_to_hub:
        trainer.push_to_hub()
    print(f"\nModel, feature extractor and figures are in {training_args.output_dir}.")


if __name__ == "__main__":
    main()
    end_processes()

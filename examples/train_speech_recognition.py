# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
r"""
Train a recogniser of speech from scratch, by CTC: `pip install soundfile soxr jiwer`.

    python examples/train_speech_recognition.py                          # digits that come with the package
    python examples/train_speech_recognition.py --train_file train.tsv --validation_file dev.tsv --test_file test.tsv \
        --audio_column file --text_column sentence --output_dir runs/recognizer
    python examples/train_speech_recognition.py --bidirectional False    # recognises while it listens
    python examples/train_speech_recognition.py --resume_from_checkpoint last  # or the folder of a checkpoint

A table names files of sound, of any kind and rate, or of features. The best epoch on the validation data is kept, by
the word error rate of greedy decoding; the test data are recognised once.
"""

from pathlib import Path

from transformers import EarlyStoppingCallback, HfArgumentParser, TrainingArguments, set_seed

from hf_lstm import RecurrentForCTC, RecurrentSpeechProcessor
from hf_lstm.data import build_ctc_tokenizer, encode_speech, load_speech
from hf_lstm.data.speech import DataCollatorForSpeech, SpeechRows
from hf_lstm.distributed import end_processes, from_main_process
from hf_lstm.evaluation.speech import make_ctc_metrics, most_probable_labels, speech_scores, texts_of
from hf_lstm.hub.measurements import speech_measurements, this_command
from hf_lstm.training import arguments
from hf_lstm.training.averaging import WeightAveraging
from hf_lstm.training.card_trainer import CardTrainer
from hf_lstm.training.speech_arguments import RecognizerArguments, SpeechArguments


# The recipe for the built-in digits. These and all other `TrainingArguments` are options of the command line.
RECIPE = arguments.BEST_EPOCH_RECIPE | {
    "output_dir": "runs/spoken_digits",
    "num_train_epochs": 40,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 32,
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "max_grad_norm": 5.0,
    "metric_for_best_model": "wer",
    "greater_is_better": False,
    "train_sampling_strategy": "group_by_length",
    "remove_unused_columns": False,
}


def main(command_line: list[str] | None = None) -> None:
    parser = HfArgumentParser((SpeechArguments, RecognizerArguments, TrainingArguments), usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)
    if data_args.built_in:
        args.sampling_rate, args.join = 8_000, max(args.join, 4)

    # 1. Data: sounds, and what is said in them.
    with training_args.main_process_first(desc="reading"):
        splits = load_speech(**vars(data_args))

    # 2. Processor: the features of sound, normalised as those of the training data, and the characters of texts.
    tokenizer = from_main_process(lambda: build_ctc_tokenizer(splits["train"]["text"]))
    processor = RecurrentSpeechProcessor(args.feature_extractor(), tokenizer)
    with training_args.main_process_first(desc="reading sounds"):
        encoded = {split: encode_speech(rows, processor, split) for split, rows in splits.items()}
    processor.feature_extractor.fit(frames=encoded["train"].with_format("numpy")["frames"])
    rows = {split: SpeechRows(part, processor) for split, part in encoded.items() if split != "train"}
    rows["train"] = SpeechRows(encoded["train"], processor, speed=args.speed, join=args.join)

    # 3. Model: a network of random weights.
    model = RecurrentForCTC(args.config(processor))
    hours = sum(encoded["train"]["seconds"]) / 3600
    if training_args.process_index == 0:
        print(f"{model.num_parameters():,} parameters, {len(rows['train']):,} sounds, {hours:.2f} hours to train on")

    # 4. Training, until the score on the validation data does not improve any more.
    trainer = CardTrainer(
        model,
        training_args,
        data_collator=DataCollatorForSpeech(processor),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=processor,
        compute_metrics=make_ctc_metrics(processor),
        preprocess_logits_for_metrics=most_probable_labels,
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
    heard, said = texts_of(output, processor)
    scores = speech_scores(heard, said)
    (Path(training_args.output_dir) / "predictions.txt").write_text("\n".join([*heard, ""]), encoding="utf-8")
    print(f"\nThe {split} data, greedy\n{scores}\n")
    trainer.save_metrics(split, {f"{split}_wer": scores.wer, f"{split}_cer": scores.cer} | trainer.figures)
    trainer.create_model_card(
        language=args.language,
        license=args.license,
        data=data_args.training_data({name: {"sounds": len(part)} for name, part in splits.items()}),
        results=speech_measurements(scores, split),
        command=this_command(),
    )
    for text, guess in list(zip(said, heard, strict=True))[:5]:
        print(f"  said {text!r}, heard {guess!r}")
    if training_args.push_to_hub:
        trainer.push_to_hub()
    print(f"\nModel, processor, predictions and figures are in {training_args.output_dir}.")


if __name__ == "__main__":
    main()
    end_processes()

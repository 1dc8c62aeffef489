# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
r"""
Train a translator, and its tokenizers, from scratch: `pip install sacrebleu matplotlib`, for scores and pictures.

    python examples/train_translation.py                          # short English sentences into Chinese
    python examples/train_translation.py --train_file train.en train.de --validation_file valid.en valid.de \
        --test_file test.en test.de --source_lang en --target_lang de --share_vocabulary --output_dir runs/en_de
    python examples/train_translation.py --train_file cmn.txt --source_lang en --target_lang zh --output_dir runs/en_zh
    python examples/train_translation.py --train_file pairs.jsonl --source_lang en --target_lang fr  # or csv
    python examples/train_translation.py --resume_from_checkpoint last  # or the folder of a checkpoint

The best epoch on the validation data is kept, by the BLEU of greedy translations; the test data are translated once,
by beams. `python examples/translate.py ./runs/en_de "A sentence."` translates.
"""

from pathlib import Path

from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    DataCollatorForSeq2Seq,
    EarlyStoppingCallback,
    HfArgumentParser,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)

from hf_lstm.data import encode_pairs, load_pairs
from hf_lstm.distributed import end_processes, from_main_process
from hf_lstm.evaluation import Translator
from hf_lstm.evaluation.plotting import plot_attention
from hf_lstm.evaluation.translation import TranslationScores, make_translation_metrics, translation_scores
from hf_lstm.evaluation.translation_memory import TranslationMemory
from hf_lstm.evaluation.translator import one_line
from hf_lstm.hub.measurements import this_command
from hf_lstm.hub.measurements import translation_measurements as measured
from hf_lstm.training import arguments
from hf_lstm.training.averaging import WeightAveraging
from hf_lstm.training.card_trainer import CardTrainer


# The recipe for the built-in pairs. These and all other `Seq2SeqTrainingArguments` are options of the command line.
RECIPE = arguments.BEST_EPOCH_RECIPE | {
    "output_dir": "runs/tatoeba_en_zh",
    "num_train_epochs": 40,
    "per_device_train_batch_size": 64,
    "per_device_eval_batch_size": 64,
    "learning_rate": 2e-3,
    "adam_beta2": 0.98,
    "weight_decay": 0.0,
    "warmup_steps": 200,
    "metric_for_best_model": "bleu",
    "greater_is_better": True,
    "train_sampling_strategy": "group_by_length",
    "predict_with_generate": True,
    "generation_num_beams": 1,
    "remove_unused_columns": False,
}


class TranslationTrainer(CardTrainer, Seq2SeqTrainer):
    """A `Seq2SeqTrainer` that leaves a card."""


def main(command_line: list[str] | None = None) -> None:
    kinds = (arguments.PairArguments, arguments.TranslatorArguments, Seq2SeqTrainingArguments)
    parser = HfArgumentParser(kinds, usage=__doc__)
    parser.set_defaults(**RECIPE)
    data_args, args, training_args = parser.parse_args_into_dataclasses(command_line)
    set_seed(training_args.seed)

    # 1. Data: texts and their translations.
    with training_args.main_process_first(desc="reading"):
        pairs = load_pairs(**vars(data_args))
    language = data_args.target_lang

    # 2. Tokenizer of both sides, and the ids of tokens; what is trained on may be cut at random.
    languages = (data_args.source_lang, language)
    tokenizer = from_main_process(lambda: args.tokenizer(pairs["train"], languages))
    with training_args.main_process_first(desc="tokenizing"):
        training = {"max_length": args.max_length, "bpe_dropout": args.bpe_dropout}
        train = encode_pairs(pairs["train"], tokenizer, **training)
        validation = encode_pairs(pairs["validation"], tokenizer)

    # 3. Model: a network of random weights.
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(**args.fields(tokenizer)))
    model.generation_config.max_length = training_args.generation_max_length or 2 * args.max_length  # else it is 20
    if training_args.process_index == 0:
        print(f"{model.num_parameters():,} parameters, {len(train):,} pairs to train on")

    # 4. Training, until the score on the validation data does not improve any more.
    trainer = TranslationTrainer(
        model,
        training_args,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        compute_metrics=make_translation_metrics(tokenizer, language),
        callbacks=[EarlyStoppingCallback(args.patience), *[WeightAveraging(args.average)] * bool(args.average)],
    )
    trainer.train(training_args.resume_from_checkpoint)  # a folder, or "last": the last one in `output_dir`
    trainer.save_model()
    trainer.save_state()

    # 5. The saved folder at work, by beams: validation data choose how, then come data that had no say so far.
    if not trainer.is_world_process_zero():  # the main process does the rest
        return trainer.push_to_hub() if training_args.push_to_hub else None
    folder, split = Path(training_args.output_dir), "test" if "test" in pairs else "validation"
    translator = Translator(folder, device=training_args.device)

    def translated(split: str, penalty: float) -> tuple[list[str], TranslationScores]:
        found = translator(pairs[split]["source"], num_beams=args.num_beams, length_penalty=penalty)
        texts = [one_line(translation["translation_text"]) for translation in found]
        return texts, translation_scores(texts, pairs[split]["target"], language)

    choice = args.length_penalties
    penalty = max(choice, key=lambda penalty: translated("validation", penalty)[1].bleu if len(choice) > 1 else 0)
    translator.model.generation_config.update(num_beams=args.num_beams, length_penalty=penalty)
    translator.model.generation_config.save_pretrained(folder)  # as the translator will do by default
    texts, scores = translated(split, penalty)
    (folder / "predictions.txt").write_text("\n".join([*texts, ""]), encoding="utf-8")
    memory = TranslationMemory(pairs["train"]["source"], pairs["train"]["target"]).translate(pairs[split]["source"])
    baseline = translation_scores(memory, pairs[split]["target"], language)
    print(f"\nThe {split} data, {args.num_beams} beams\n{scores}\n\nA memory of the training data\n{baseline}\n")
    trainer.save_metrics(split, {f"{split}_bleu": scores.bleu, f"{split}_chrf": scores.chrf} | trainer.figures)
    trainer.create_model_card(
        language=data_args.languages,
        license=args.license,
        data=data_args.training_data({name: {"pairs": len(rows)} for name, rows in pairs.items()}),
        results=[*measured(scores, split), *measured(baseline, split, "translation memory")],
        command=this_command(),
        example=pairs[split][0]["source"],
    )
    with open(folder / "n_best.tsv", "w", encoding="utf-8") as n_best:
        for i, text in enumerate(pairs[split]["source"][: args.pictures], start=1):
            found = translator(text, attention=True)
            plot_attention(*found["attention"], folder / f"attention_{i}.png")
            print(f"{text}\n  ->  {found['translation_text']}")
            for each in translator([text], num_return_sequences=args.num_beams)[0] if args.num_beams > 1 else [found]:
                print(text, f"{each['normalized_score']:.3f}", each["translation_text"], sep="\t", file=n_best)
    if training_args.push_to_hub:
        trainer.push_to_hub()
    print(f"\nModel, tokenizer, n_best.tsv, pictures and figures are in {folder}.")


if __name__ == "__main__":
    main()
    end_processes()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Measure a trained language model on a text: in windows, with its state carried through the text, and letting it adapt
to what it has read, with a neural cache, with dynamic evaluation, and with both.

    python examples/evaluate_language_model.py                     # the model of train_language_model.py on its data
    python examples/evaluate_language_model.py --model ./runs/book --train_file book.txt --sample_by paragraph
    python examples/evaluate_language_model.py --cache_size 500 --learning_rates 1e-4 3e-4 --decays 0 2e-3
    python examples/evaluate_language_model.py --model ./runs/wikitext2 --train_file wiki.train.tokens --keep_blank \
        --validation_file wiki.valid.tokens --test_file wiki.test.tokens          # tunes on one, measures on the other
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from transformers import AutoModelForCausalLM, AutoTokenizer, HfArgumentParser
from transformers.hf_argparser import HfArg

from hf_lstm.data import encode_text, load_text
from hf_lstm.evaluation.perplexity import (
    evaluate_perplexity,
    gradient_rms,
    join_tokens,
    tune_dynamic_evaluation,
    tune_neural_cache,
)


@dataclass
class DataArguments:
    """What the model was trained on: files, a dataset of the Hub, or by default the documentation of CPython."""

    train_file: list[str] | None = field(
        default=None, metadata={"help": "Text that it was trained on: txt, tokens, json, jsonl, csv or parquet files."}
    )
    validation_file: str | None = HfArg(default=None, help="Text to tune on; else a tenth of the former.")
    test_file: str | None = HfArg(default=None, help="Text to measure on; else the second half of the latter.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    text_column: str = HfArg(default="text", help="The column that holds the text.")
    sample_by: Literal["line", "paragraph", "document"] = HfArg(default="line", help="A document in a txt file.")
    encoding: str = HfArg(default="utf-8", help="Encoding of the files.")
    keep_blank: bool = HfArg(default=False, help="Keep documents without text, for their end: lines of WikiText.")


@dataclass
class EvaluationArguments:
    """How the text is read, and what is tried."""

    model: str = HfArg(default="./runs/python_docs_lm", help="Folder or Hub id of a language model and tokenizer.")
    window: int = HfArg(default=128, help="Tokens predicted in a window, each of which begins afresh.")
    cache_size: int = HfArg(default=2000, help="Positions that the neural cache remembers.")
    segment_length: int = HfArg(default=5, help="Tokens between two steps of dynamic evaluation.")
    learning_rates: list[float] = field(
        default_factory=lambda: [3e-5, 1e-4, 3e-4], metadata={"help": "Step sizes of dynamic evaluation to try."}
    )
    decays: list[float] = field(default_factory=lambda: [0.0, 2e-3], metadata={"help": "Rates of return to try."})
    train_tokens: int = HfArg(default=100_000, help="Tokens that the statistics of the gradients come from.")
    tuning_tokens: int = HfArg(default=5_000, help="Tokens on which dynamic evaluation is tuned.")
    results_file: str | None = HfArg(default=None, help="Where to write the perplexities and options, as json.")


def main(command_line: list[str] | None = None) -> None:
    parser = HfArgumentParser((DataArguments, EvaluationArguments), usage=__doc__)
    data_args, args = parser.parse_args_into_dataclasses(command_line)

    # 1. Data: the training documents, and held-out ones.
    documents = load_text(**vars(data_args))

    # 2. Tokens: one text of each split.
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    streams = {split: join_tokens(encode_text(rows, tokenizer)) for split, rows in documents.items()}
    train, validation = streams["train"], streams["validation"]
    validation, test = (validation, streams["test"]) if "test" in streams else validation.tensor_split(2)

    # 3. Model.
    model = AutoModelForCausalLM.from_pretrained(args.model)
    print(f"{model.num_parameters():,} parameters, {len(test) - 1:,} tokens to predict")

    # 4. Tuning: nothing is trained, but the cache and dynamic evaluation have options.
    rms = gradient_rms(model, train[: args.train_tokens], segment_length=args.segment_length)
    dynamic = tune_dynamic_evaluation(
        model,
        validation[: args.tuning_tokens],
        args.learning_rates,
        args.decays,
        gradient_rms=rms,
        segment_length=args.segment_length,
    ).best
    cache = tune_neural_cache(model, validation, cache_size=args.cache_size).best
    both = {
        "dynamic_evaluation": dynamic,
        "neural_cache": tune_neural_cache(
            model, validation[: args.tuning_tokens], cache_size=args.cache_size, dynamic_evaluation=dynamic
        ).best,
    }

    # 5. Evaluation.
    ways = {
        f"windows of {args.window}": {"carry_state": False, "block_size": args.window, "batch_size": 16},
        "state carried": {},
        "with neural cache": {"neural_cache": cache},
        "with dynamic evaluation": {"dynamic_evaluation": dynamic},
        "with both": both,
    }
    print(f"\n{cache}\n{dynamic}\ntogether with {both['neural_cache']}\n\nPerplexity")
    results = {"perplexity": {}, "nats": {}, "options": {}}
    for name, options in ways.items():
        found = evaluate_perplexity(model, test, **options)
        results["perplexity"][name], results["nats"][name] = found.perplexity, found.loss
        results["options"][name] = {option: str(value) for option, value in options.items()}
        overflow = "" if math.isfinite(found.perplexity) else f"   of {found.loss:.1f} nats a token: it has diverged"
        print(f"  {name:<24}{found.perplexity:9.2f}{overflow}", flush=True)
    if args.results_file:
        Path(args.results_file).write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

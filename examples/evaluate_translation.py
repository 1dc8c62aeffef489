# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Score translations in a file, a line a sentence: BLEU and chrF with the signatures that make them comparable; beside
another system and beside a translation memory, with how likely chance alone makes the difference (paired bootstrap).
Needs sacrebleu: `pip install sacrebleu`.

    python examples/evaluate_translation.py --predictions_file out.de --reference_file test.de.gz --language de
    python examples/evaluate_translation.py --predictions_file out.de --reference_file a.de b.de --language de \
        --baseline_file older.de --results_file scores.json
    python examples/evaluate_translation.py --reference_file test.de.gz --language de \
        --memory_source_file train.en.gz --memory_target_file train.de.gz --source_file test.en.gz  # that memory alone
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from transformers import HfArgumentParser
from transformers.hf_argparser import HfArg

from hf_lstm.data.files import read_lines
from hf_lstm.evaluation.translation import compare_translations, translation_scores
from hf_lstm.evaluation.translation_memory import TranslationMemory


@dataclass
class DataArguments:
    """The texts: files of a sentence a line, plain or gzipped, neither tokenized nor lower-cased."""

    reference_file: list[str] = field(metadata={"help": "What the translations should be; several are alternatives."})
    language: str = HfArg(help="ISO 639 code of the language of the translations, such as de or zh.")
    predictions_file: str | None = HfArg(default=None, help="The translations.")
    baseline_file: str | None = HfArg(default=None, help="Those of another system.")
    memory_source_file: str | None = HfArg(default=None, help="Training texts, for the memory: the nearest one ...")
    memory_target_file: str | None = HfArg(default=None, help="... and its translation.")
    source_file: str | None = HfArg(default=None, help="The texts that were translated, for the memory.")
    encoding: str = HfArg(default="utf-8", help="Encoding of the files.")

    def __post_init__(self):
        memory = {name: getattr(self, name) for name in ("memory_source_file", "memory_target_file", "source_file")}
        if any(memory.values()) and not all(memory.values()):
            raise ValueError(f"The memory needs all of {memory}: name the files that are None, or none of them.")
        if not (self.predictions_file or self.baseline_file or self.source_file):
            raise ValueError("`predictions_file` is None: name a file of translations, or those of the memory.")


@dataclass
class EvaluationArguments:
    """How they are scored."""

    tokenize: str | None = HfArg(default=None, help="Another tokenizer of sacrebleu than that of the language.")
    lowercase: bool = HfArg(default=False, help="Whether capitals do not count.")
    samples: int = HfArg(default=1000, help="How often the bootstrap draws; 0 leaves it out.")
    results_file: str | None = HfArg(default=None, help="Where to write all of it, as json.")


def main(command_line: list[str] | None = None) -> None:
    parser = HfArgumentParser((DataArguments, EvaluationArguments), usage=__doc__)
    data_args, args = parser.parse_args_into_dataclasses(command_line)

    def lines(argument: str) -> list[str]:
        return list(read_lines(getattr(data_args, argument), argument, data_args.encoding))

    # 1. Data: for each sentence the references, one from each file.
    files = [list(read_lines(path, "reference_file", data_args.encoding)) for path in data_args.reference_file]
    if len(set(map(len, files))) > 1:
        raise ValueError(
            f"`reference_file` has files of {[*map(len, files)]} lines: give files of the same sentences."
        )
    references = list(map(list, zip(*files, strict=True)))

    # 2. Systems: the first is compared with each of the others.
    systems = {}
    if data_args.predictions_file:
        systems["predictions"] = lines("predictions_file")
    if data_args.baseline_file:
        systems["baseline"] = lines("baseline_file")

    # 3. Baseline: a memory of the training data.
    if data_args.source_file:
        memory = TranslationMemory(lines("memory_source_file"), lines("memory_target_file"))
        systems["translation memory"] = memory.translate(lines("source_file"))

    # 4. Scores.
    options = {"language": data_args.language, "tokenize": args.tokenize, "lowercase": args.lowercase}
    results = {"scores": {}, "compared": {}}
    for name, texts in systems.items():
        scores = translation_scores(texts, references, **options)
        results["scores"][name] = asdict(scores)
        print(f"{name}\n{scores}\n")

    # 5. Comparison.
    first, *others = systems
    for name in others if args.samples else ():
        options["samples"] = args.samples
        compared = compare_translations(systems[first], systems[name], references, **options)
        results["compared"][name] = {metric: asdict(found) for metric, found in compared.items()}
        for metric, found in compared.items():
            print(
                f"{metric}: {first} {found.score:.2f} ± {found.interval:.2f}, {name} {found.baseline:.2f} "
                f"± {found.baseline_interval:.2f}, p = {found.p_value:.4f}"
            )
    if args.results_file:
        Path(args.results_file).write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Translate with a trained model: a sentence, what comes in line by line, or a file.

    python examples/translate.py ./runs/tatoeba_en_zh "Are you happy?"
    python examples/translate.py ./runs/tatoeba_en_zh "Are you happy?" --num_beams 5 --n_best 3 --scores
    python examples/translate.py ./runs/tatoeba_en_zh "Are you happy?" --alignments --picture attention.png
    python examples/translate.py ./runs/tatoeba_en_zh < in.txt
    python examples/translate.py ./runs/tatoeba_en_zh --file in.txt.gz --output_file out.txt --batch_size 64
    python examples/translate.py ./runs/tatoeba_en_zh --file in.txt.gz --output_file out.txt --resume  # broke off

Scores and alignments stand behind a translation, after a tab each: its log-probability, and pairs of words, "0-0 1-2",
a word of the text and the one of the translation that looked at it, counted from 0; in Chinese they are characters.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter

from hf_lstm.evaluation import Translator
from hf_lstm.evaluation.alignments import pharaoh
from hf_lstm.evaluation.plotting import plot_attention
from hf_lstm.evaluation.translator import one_line


def options_of(command_line: list[str] | None):
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("model", help="Folder, or name on the Hub.")
    parser.add_argument("texts", nargs="*", help="What to translate; else the lines of the standard input.")
    parser.add_argument("--file", help="A file to translate, plain or gzipped, a text a line.")
    parser.add_argument("--output_file", help="Where its translation goes; gzipped if the name ends in .gz.")
    parser.add_argument("--encoding", default="utf-8", help="Encoding of that file.")
    parser.add_argument("--resume", action="store_true", help="Go on where a run of the same command broke off.")
    parser.add_argument("--overwrite", action="store_true", help="Replace an output file that is there.")
    parser.add_argument("--num_beams", type=int, help="Beams; else as the model says.")
    parser.add_argument("--length_penalty", type=float, help="Above 1 for longer translations; else as it says.")
    parser.add_argument("--max_new_tokens", type=int, help="The most tokens of a translation; else by the source.")
    parser.add_argument("--batch_size", type=int, default=32, help="Texts that are computed together.")
    parser.add_argument("--n_best", type=int, default=1, help="Translations of each text, at most as many as beams.")
    parser.add_argument("--scores", action="store_true", help="Write the log-probability of each translation, too.")
    parser.add_argument("--alignments", action="store_true", help="Write which words belong together, too.")
    parser.add_argument("--picture", help="Where to draw who looked where, of one text: .png, .svg.")
    parser.add_argument("--device", help="Where to compute, such as cuda or cpu.")
    parser.add_argument("--trust_remote_code", action="store_true", help="Run code that comes with the model.")
    return parser, parser.parse_intermixed_args(command_line)


def main(command_line: list[str] | None = None) -> None:
    # 1. What is asked for.
    parser, args = options_of(command_line)
    if bool(args.file) != bool(args.output_file) or (args.file and args.texts):
        parser.error("A file is translated by `--file` and `--output_file` together, without further texts.")
    if args.file and args.n_best > 1:
        parser.error("`--n_best` is of texts and of the standard input: a line of a file has one translation.")
    if args.picture and (args.file or len(args.texts) != 1):
        parser.error("`--picture` is of one text: give one, and no file.")

    # 2. Model and tokenizer.
    translator = Translator(args.model, device=args.device, trust_remote_code=args.trust_remote_code)
    names = ("num_beams", "length_penalty", "max_new_tokens", "batch_size", "scores", "alignments")
    options = {name: getattr(args, name) for name in names}

    # 3. What is written of a translation.
    def line(found: dict) -> str:
        parts = [one_line(found["translation_text"]), *([f"{found['score']:.4f}"] * args.scores)]
        return "\t".join([*parts, *([pharaoh(found["alignments"])] if args.alignments else [])])

    # 4. A file, whose translation is written as it goes.
    if args.file:
        how = {"resume": args.resume, "overwrite": args.overwrite, "encoding": args.encoding, "line": line}
        return translator.translate_file(args.file, args.output_file, **how, **options)

    # 5. Texts, or the lines of the standard input: of a person each at once, of a program many together.
    options |= {"num_return_sequences": args.n_best, "attention": bool(args.picture)}
    texts = args.texts or (text.rstrip("\r\n") for text in sys.stdin)
    typed = not args.texts and sys.stdin.isatty()
    found = (translator(text, **options) for text in texts) if typed else translator(texts, **options)
    for translations in found:
        translations = translations if args.n_best > 1 else [translations]
        for translation in translations:
            print(line(translation), flush=True)
        if args.picture and (looked := translations[0]["attention"]):
            plot_attention(*looked, args.picture)


if __name__ == "__main__":
    main()

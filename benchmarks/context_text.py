# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Text for the language models of characters that a tagger of CoNLL-2003 reads: the training data of CoNLL-2003, of
WNUT-17 and of UD English EWT, tokens between blanks as the tagger sees them, and the training text of WikiText-2. No
text of any development or test data is in it.

    python benchmarks/context_text.py --data FOLDER --output runs/context       # train.txt, and validation.txt of 1 %
"""

import argparse
import gzip
from collections.abc import Iterator
from pathlib import Path

from hf_lstm.data import load_tagged


TAGGED = {  # file and its column of tokens; the text of the task itself comes last, and twice
    "wnut17/wnut17train.conll": 0,
    "ud_english_ewt/en_ewt-ud-train.conllu.gz": "form",
    "conll2003/eng.train.gz": 0,
}
SPLIT_SIGNS = {" @-@ ": "-", " @,@ ": ",", " @.@ ": "."}  # as WikiText writes "well-known", "1,000" and "1.5"


def lines(data: Path) -> Iterator[str]:
    with gzip.open(data / "wikitext-2" / "wiki.train.tokens.gz", "rt", encoding="utf-8") as file:
        for line in file:
            for sign, plain in SPLIT_SIGNS.items():
                line = line.replace(sign, plain)
            if line.strip() and not line.startswith(" ="):  # no headings
                yield from sentences(line)
    for name, column in TAGGED.items():
        for _ in range(1 + ("conll2003" in name)):
            for tokens in load_tagged({"train": str(data / name)}, {"tokens": column})["train"]["tokens"]:
                yield " ".join(tokens)


def sentences(paragraph: str) -> list[str]:
    """A tagger reads sentences, not paragraphs."""
    return [text for text in paragraph.strip().replace(" . ", " .\n").split("\n") if text]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the data sets")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    found = list(lines(args.data))
    held_out = set(range(0, len(found), 100))
    for split, rows in {
        "train": [line for i, line in enumerate(found) if i not in held_out],
        "validation": [found[i] for i in sorted(held_out)],
    }.items():
        args.output.joinpath(f"{split}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
        print(f"{split}: {len(rows):,} lines, {sum(map(len, rows)):,} characters")


if __name__ == "__main__":
    main()

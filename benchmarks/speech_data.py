# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Public recordings as tables that `train_speech_recognition.py` reads, in `runs/`: files of sound or features, and what
is said in them.

    python benchmarks/speech_data.py an4 fsdd --data FOLDER      # FOLDER/an4/an4_mfcc.tar.gz, ...

`an4`: CMU's cepstra of AN4 with their official test set; of the training data, all that some speakers say is held out
for validation. `fsdd`: digits, with the official split (numbers 0 to 4 are the test; 5 to 9 are held out for
validation), alone and, of validation and test, in strings of five: each recording is in five strings, in an order
that is drawn once. The strings are an artificial task.
"""

import argparse
import random
import tarfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from hf_lstm.data.sound import read_sound, wav_of


ROOT = Path(__file__).resolve().parents[1]
HELD_OUT_SPEAKERS = 8  # of 74
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LENGTH, REPEATED, RATE = 5, 5, 8_000


def write_table(folder: Path, name: str, rows: list[tuple[str, str]]) -> None:
    """A table of files, relative to its folder, and texts."""
    lines = "".join(f"{file}\t{text}\n" for file, text in rows)
    (folder / f"{name}.tsv").write_text("audio\ttext\n" + lines, encoding="utf-8")
    print(f"{folder / name}.tsv: {len(rows):,} sounds, {sum(len(text.split()) for _, text in rows):,} words")


def extract(archive: Path, folder: Path) -> None:
    """All files of an archive, unless they are there."""
    if not folder.exists():
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")


def an4(data: Path, folder: Path) -> None:
    """AN4, by speakers."""
    extract(data / "an4" / "an4_mfcc.tar.gz", folder)
    rows = {}
    for split in ("train", "test"):
        ids = (folder / f"an4/etc/an4_{split}.fileids").read_text().split()
        texts = (folder / f"an4/etc/an4_{split}.transcription").read_text().splitlines()
        rows[split] = [
            (f"an4/feat/{name}.mfc", text.rsplit("(", 1)[0].replace("<s>", "").replace("</s>", "").strip())
            for name, text in zip(ids, texts, strict=True)
        ]
    speakers = sorted({Path(file).parent.name for file, _ in rows["train"]})
    held_out = set(random.Random(0).sample(speakers, HELD_OUT_SPEAKERS))
    parts = defaultdict(list)
    for file, text in rows["train"]:
        parts["validation" if Path(file).parent.name in held_out else "train"].append((file, text))
    for name, part in {**parts, "test": rows["test"]}.items():
        write_table(folder, name, part)


def fsdd(data: Path, folder: Path) -> None:
    """Digits alone, and in strings."""
    extract(data / "fsdd" / "recordings.tar.gz", folder)
    parts = defaultdict(list)
    for file in sorted(folder.glob("recordings/*.wav")):
        digit, _, number = file.stem.split("_")
        split = "test" if int(number) < 5 else "validation" if int(number) < 10 else "train"
        parts[split].append((f"recordings/{file.name}", DIGITS[int(digit)]))
    for name, part in parts.items():
        write_table(folder, name, part)
        if name != "train":
            write_table(folder, f"{name}_strings", strings(folder, part, name))


def strings(folder: Path, rows: list[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    """Strings of digits, each digit in as many of them as the others."""
    draw, found = random.Random(0), []
    (folder / name).mkdir(exist_ok=True)
    for _ in range(REPEATED):
        order = draw.sample(rows, len(rows))
        for chosen in (order[i : i + LENGTH] for i in range(0, len(order), LENGTH)):
            file, texts = f"{name}/{len(found):04}.wav", " ".join(text for _, text in chosen)
            samples = np.concatenate([read_sound(folder / each, RATE)[0] for each, _ in chosen])
            (folder / file).write_bytes(wav_of(samples, RATE))
            found.append((file, texts))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=("an4", "fsdd"))
    parser.add_argument("--data", type=Path, required=True, help="the folder with the data sets")
    args = parser.parse_args()
    for name in args.names:
        {"an4": an4, "fsdd": fsdd}[name](args.data, ROOT / "runs" / name)


if __name__ == "__main__":
    main()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Translation against joeynmt and OpenNMT-py, on Multi30k from English into German, one thread.

    python -m venv PEERS
    PEERS/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata
    PEERS/bin/pip install "pyonmttok<2" configargparse spacy fasttext-wheel rapidfuzz pyahocorasick
    PEERS/bin/pip install --no-deps OpenNMT-py==3.5.1  # it asks for an older torch, but needs none

    ARGS="--peers-python PEERS/bin/python --data FOLDER --model runs/translation"
    OMP_NUM_THREADS=1 python benchmarks/translation_peers.py train $ARGS --minutes 28
    OMP_NUM_THREADS=1 python benchmarks/translation_peers.py speed $ARGS

`train` trains each peer for that long by a recipe of its authors (`translation_server.py`) and scores the test set;
`speed` measures a step of training, and the translation of the test set by what was trained before. All read the same
pieces, those of the tokenizer of `--model`, and the test set in one order, by length. With neither `--model` nor a
tokenizer in the working folder, one of 5,000 pieces for both languages is trained. Peers read ids as words, so that
neither spells or joins anything by itself.
"""

import argparse
import gzip
import json
import os
import random
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import sacrebleu
import torch
from machine import machine
from timing import Comparison, Settings
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, DataCollatorForSeq2Seq

import hf_lstm
from hf_lstm import LSTMConfig, LSTMTokenizer


ROOT = Path(__file__).resolve().parents[1]
SIZE, ROWS, BEAMS = 256, 64, 5
FILES = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
# What a peer is, its wiring, and layers and size of one direction of its encoder; all decoders have two layers of 256.
PEERS = {
    "joeynmt": ("joeynmt", True, (1, 256)),
    "opennmt": ("opennmt", True, (2, 128)),
    "opennmt_without_input_feeding": ("opennmt", False, (2, 128)),
}


class Pieces:
    """Multi30k as ids, in memory and as the words of files that the peers read."""

    def __init__(self, data: Path, model: str | None, folder: Path):
        texts = {name: [_lines(data, file, language) for language in ("en", "de")] for name, file in FILES.items()}
        self.folder, saved = folder, folder / "tokenizer"
        if model or saved.exists():
            self.tokenizer = AutoTokenizer.from_pretrained(model or saved)
        else:
            both = texts["train"][0] + texts["train"][1]
            self.tokenizer = LSTMTokenizer.train_from_iterator(both, "bpe", vocab_size=5000, show_progress=False)
            self.tokenizer.save_pretrained(saved)
        self.ids = {name: list(zip(*self._encoded(*sides), strict=True)) for name, sides in texts.items()}
        order = sorted(range(len(texts["test"][0])), key=lambda i: -len(self.ids["test"][i][0]))
        self.ids["test"] = [self.ids["test"][i] for i in order]
        self.references = [texts["test"][1][i] for i in order]
        self.vocabulary = 1 + max(token for pair in self.ids["train"] for side in pair for token in side)
        self._write()

    def _encoded(self, sources: list[str], targets: list[str]) -> tuple[list[list[int]], list[list[int]]]:
        sides = self.tokenizer(sources, add_special_tokens=False), None
        sides = sides[0], self.tokenizer(text_target=targets, add_special_tokens=False)
        return tuple(side["input_ids"] for side in sides)

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "vocabulary.txt").write_text("".join(f"{i}\n" for i in range(self.vocabulary)))
        for name, pairs in self.ids.items():
            for side, rows in zip(("source", "target"), zip(*pairs, strict=True), strict=True):
                lines = "".join(" ".join(map(str, row)) + "\n" for row in rows)
                (self.folder / f"{name}.{side}").write_text(lines)

    def batches(self, number: int) -> list[list[int]]:
        """Rows of the training set in batches of like length, as whoever groups by length has them."""
        rows = random.Random(0).sample(range(len(self.ids["train"])), number * ROWS)
        rows.sort(key=lambda i: len(self.ids["train"][i][0]))
        return [rows[i : i + ROWS] for i in range(0, len(rows), ROWS)]

    def score(self, translations: list[str]) -> dict:
        """BLEU and chrF on raw text, of what peers wrote: ids as words."""
        ids = [[int(word) for word in line.split() if word.isdigit()] for line in translations]
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
        scores = {name: score.corpus_score(texts, [self.references]).score for name, score in (("BLEU", bleu), ("chrF", chrf))}
        return scores | {"signature": str(bleu.get_signature()), "first": texts[:3]}


def _lines(data: Path, file: str, language: str) -> list[str]:
    with gzip.open(data / "multi30k" / "raw" / f"{file}.{language}.gz", "rt", encoding="utf-8") as lines:
        return [line.strip() for line in lines]


class Peer:
    """A peer in a process of its own: see `translation_server.py`."""

    def __init__(self, name: str, python: str, pieces: Pieces, batches: list[list[int]]):
        kind, input_feeding, _ = PEERS[name]
        server = Path(__file__).with_name("translation_server.py")
        self._process = subprocess.Popen([python, str(server), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        task = {"name": name, "folder": str(pieces.folder), "batches": batches, "input_feeding": input_feeding}
        task |= {"size": SIZE, "beams": BEAMS, "seed": 1, "threads": torch.get_num_threads()}
        self.about = self.ask(json.dumps(task | {"steps_an_epoch": len(pieces.ids["train"]) // ROWS}))

    def ask(self, line: str) -> str:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"A peer ended with {self._process.wait()}: its error stands above.")
        return answer

    def close(self) -> None:
        self._process.communicate()

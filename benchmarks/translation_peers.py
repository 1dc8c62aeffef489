# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Translation against joeynmt and OpenNMT-py: Multi30k from English into German, one thread.

    python -m venv PEERS  # Python 3.11; the same torch as ours
    PEERS/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata
    PEERS/bin/pip install "pyonmttok<2" configargparse spacy fasttext-wheel rapidfuzz pyahocorasick
    PEERS/bin/pip install --no-deps OpenNMT-py==3.5.1  # asks for torch < 2.3, and works with this one

    WHERE="--peers-python PEERS/bin/python --data FOLDER --model runs/translation"
    python benchmarks/translation_peers.py train speed $WHERE --minutes 28

`train` trains each peer for so many minutes by a recipe of its authors (`translation_server.py`), and scores what it
makes of test_2016_flickr; `speed` measures training, and the translation of that set by what was trained. All read
the pieces of the tokenizer of `--model`, a model of ours (else of a BPE of 5,000 for both languages), as words that
spell an id, and the test set in the order of length.
"""

import argparse
import gzip
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import sacrebleu
import torch
from machine import machine
from timing import Comparison, Settings
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from hf_lstm import (
    LSTMConfig,
    LSTMTokenizer,
    RecurrentEncoderDecoderConfig,
    RecurrentEncoderDecoderForConditionalGeneration,
)


ROOT = Path(__file__).resolve().parents[1]
SIZE, ROWS, BEAMS, LONGEST = 256, 64, 5, 100  # sizes but the encoder's; sentences of a batch; tokens of a translation
FILES = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
PAD, BOS, EOS = 0, 2, 3
# Program, whether its wiring has input feeding, and layers and size (of a direction) of its encoder.
PEERS = {
    "joeynmt": ("joeynmt", True, (1, SIZE)),
    "opennmt": ("opennmt", True, (2, SIZE // 2)),
    "opennmt_plain": ("opennmt", False, (2, SIZE // 2)),
}
# Peer, whether ours has input feeding, the bar that our training is held against and whether it is judged.
TRAINING = (
    ("joeynmt", False, ">= 1.5", True),
    ("opennmt_plain", False, ">= 1.2", True),
    ("opennmt", False, ">= 1.2", True),
    ("joeynmt", True, ">= 1", False),
    ("opennmt", True, ">= 1", False),
)
TRANSLATION = (("joeynmt", ">= 2", True), ("opennmt", ">= 1", False))


class Pieces:
    """Multi30k as ids, in memory and as the words of files that the peers read."""

    def __init__(self, data: Path, model: str | None, folder: Path):
        texts = {name: [_lines(data, file, language) for language in ("en", "de")] for name, file in FILES.items()}
        self.folder = folder
        if model:
            self.tokenizer = AutoTokenizer.from_pretrained(model)
        else:
            both = texts["train"][0] + texts["train"][1]
            self.tokenizer = LSTMTokenizer.train_from_iterator(both, "bpe", vocab_size=5000, show_progress=False)
        self.ids = {name: list(zip(*self._encoded(*sides), strict=True)) for name, sides in texts.items()}
        order = sorted(range(len(texts["test"][0])), key=lambda i: -len(self.ids["test"][i][0]))
        self.ids["test"] = [self.ids["test"][i] for i in order]
        self.references = [texts["test"][1][i] for i in order]
        self.vocabulary = 1 + max(i for pairs in self.ids.values() for pair in pairs for side in pair for i in side)
        self._write()

    def _encoded(self, sources: list[str], targets: list[str]) -> tuple[list[list[int]], list[list[int]]]:
        source = self.tokenizer(sources, add_special_tokens=False)
        target = self.tokenizer(text_target=targets, add_special_tokens=False)
        return source["input_ids"], target["input_ids"]

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
        texts, bleu = self.tokenizer.batch_decode(ids, skip_special_tokens=True), sacrebleu.BLEU()
        scores = [metric.corpus_score(texts, [self.references]).score for metric in (bleu, sacrebleu.CHRF())]
        return {"BLEU": scores[0], "chrF": scores[1], "signature": str(bleu.get_signature()), "first": texts[:3]}


def _lines(data: Path, file: str, language: str) -> list[str]:
    with gzip.open(data / "multi30k" / "raw" / f"{file}.{language}.gz", "rt", encoding="utf-8") as lines:
        return [line.strip() for line in lines]


class Peer:
    """A peer in a process of its own: see `translation_server.py`."""

    def __init__(self, name: str, python: str, pieces: Pieces, batches: list[list[int]]):
        kind, input_feeding, _ = PEERS[name]
        server = Path(__file__).with_name("translation_server.py")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([python, str(server), kind], **pipes)
        task = {"name": name, "folder": str(pieces.folder), "batches": batches, "input_feeding": input_feeding}
        task |= {"size": SIZE, "beams": BEAMS, "longest": LONGEST, "seed": 1, "threads": torch.get_num_threads()}
        about = self.ask(json.dumps(task | {"steps_an_epoch": max(1, len(pieces.ids["train"]) // ROWS)}))
        self.about = f"{about}, {'' if input_feeding else 'no '}input feeding"

    def ask(self, line: str) -> str:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"A peer ended with {self._process.wait()}: its error stands above.")
        return answer

    def close(self) -> None:
        self._process.communicate()


class Ours:
    """A model of ours at the same work."""

    def __init__(self, model, pieces: Pieces, batches: list[list[int]]):
        self.model, pairs = model, pieces.ids["train"]
        self.batches = [_tensors([pairs[i] for i in batch]) for batch in batches]
        test = pieces.ids["test"]
        self.test = [_tensors(test[i : i + ROWS]) for i in range(0, len(test), ROWS)]
        self.optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    @classmethod
    def of_shape(cls, layers: int, size: int, input_feeding: bool, pieces: Pieces, batches: list[list[int]]) -> "Ours":
        """A model that begins at random, as a peer is and with the dropout of our own recipe."""
        part = {"vocab_size": pieces.vocabulary, "embedding_size": SIZE, "variational_dropout": True}
        part |= {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "tie_word_embeddings": False}
        part |= {"input_dropout": 0.3, "hidden_dropout": 0.3, "output_dropout": 0.3}
        config = RecurrentEncoderDecoderConfig(
            encoder=LSTMConfig(hidden_size=size, num_hidden_layers=layers, bidirectional=True, **part),
            decoder=LSTMConfig(hidden_size=SIZE, num_hidden_layers=2, **part),
            input_feeding=input_feeding,
            label_smoothing=0.1,
        )
        return cls(RecurrentEncoderDecoderForConditionalGeneration(config), pieces, batches)

    @property
    def about(self) -> str:
        return f"{self.model.num_parameters() / 1e6:.1f} M"

    def train(self) -> None:
        self.model.train()
        for batch in self.batches:
            self.model(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def translate(self) -> list[str]:
        self.model.eval()
        rows = []
        for batch in self.test:
            rows += self.model.generate(
                batch["input_ids"], attention_mask=batch["attention_mask"], num_beams=BEAMS, max_new_tokens=LONGEST
            ).tolist()
        return [" ".join(map(str, row)) for row in rows]


def _tensors(pairs: list[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
    sources, targets = ([torch.tensor([*row, EOS]) for row in side] for side in zip(*pairs, strict=True))
    ids = pad_sequence(sources, batch_first=True, padding_value=PAD)
    labels = pad_sequence(targets, batch_first=True, padding_value=-100)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": labels}


def train(args: argparse.Namespace, pieces: Pieces) -> Iterator[dict]:
    """The score of each peer after its training, and of our model beside them."""
    for name in args.peers:
        if PEERS[name][1]:  # the default of all of them
            shutil.rmtree(args.folder / name, ignore_errors=True)
            peer = Peer(name, args.peers_python, pieces, [])
            peer.ask(f"fit {args.minutes}")
            yield {"model": peer.about, "minutes": args.minutes, **pieces.score(json.loads(peer.ask("translate")))}
            peer.close()
    if args.model:
        ours = Ours(AutoModelForSeq2SeqLM.from_pretrained(args.model), pieces, [])
        yield {"model": f"{args.model}, {ours.about}", **pieces.score(ours.translate())}


def speed(args: argparse.Namespace, pieces: Pieces) -> Iterator[dict]:
    """Training on the same batches by models of like shape; then translation by the trained models."""
    batches, pairs = pieces.batches(8), pieces.ids["train"]
    tokens = sum(len(pairs[i][1]) + 1 for batch in batches for i in batch)
    for name, feeds, bar, judged in TRAINING:
        if name in args.peers:
            ours = Ours.of_shape(*PEERS[name][2], feeds, pieces, batches)
            wiring = "input feeding" if feeds else "default wiring"
            yield _row(
                "train", wiring, bar, ours, Peer(name, args.peers_python, pieces, batches), tokens, judged, args
            )
    for name, bar, judged in TRANSLATION if args.model else ():
        if name in args.peers:
            ours, sentences = (
                Ours(AutoModelForSeq2SeqLM.from_pretrained(args.model), pieces, []),
                len(pieces.references),
            )
            peer = Peer(name, args.peers_python, pieces, [])
            yield _row("translate", f"{BEAMS} beams", bar, ours, peer, sentences, judged, args)


def _row(method: str, how: str, bar: str, ours: Ours, peer: Peer, work: int, judged: bool, args) -> dict:
    """Ours and a peer in turn at the same work."""
    sides = getattr(ours, method), partial(peer.ask, method)
    unit = {"train": "tokens a second", "translate": "sentences a second"}[method]
    name = f"{method}, {how}, {ours.about}"
    row = Comparison(name, bar, peer.about, *sides, unit, (work, work), judged=judged).measure(
        Settings(seconds=args.seconds)
    )
    peer.close()
    return row


def main(command_line: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=("train", "speed"))
    parser.add_argument("--peers-python", required=True, help="a Python that has the peers")
    parser.add_argument("--data", type=Path, required=True, help="the folder with the data sets")
    parser.add_argument("--model", help="folder of a trained model of ours")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "translation_peers", help="where they work")
    parser.add_argument("--minutes", type=float, default=28, help="of training")
    parser.add_argument("--seconds", type=float, default=120, help="for a row of the table of speed")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "translation_peers.json")
    args = parser.parse_args(command_line)
    torch.set_num_threads(1)
    pieces = Pieces(args.data, args.model, args.folder)
    saved = json.loads(args.output.read_text()) if args.output.exists() else {}
    for what in args.what:
        saved[what] = {"machine": machine("cpu"), "rows": []}
        for row in {"train": train, "speed": speed}[what](args, pieces):
            print(json.dumps(row, ensure_ascii=False), flush=True)
            saved[what]["rows"].append(row)
            args.output.write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

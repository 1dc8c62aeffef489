# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A whole tagger, from words to labels, against flair's."""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import torch
from datasets import Dataset
from ragged import ROWS, sentence_lengths
from tagging import LABELS
from timing import Comparison, Settings
from transformers import DataCollatorForTokenClassification

from hf_lstm import LSTMConfig, LSTMForTokenClassification, LSTMTokenizer
from hf_lstm.data import encode_tagged, unwritten_docs
from hf_lstm.training.batching import TokenBudgetBatchSampler, predict


INTERPRETER = "FLAIR_PYTHON"  # environment variable: a Python that has flair
SIZES = {"embedding_size": 100, "char_embedding_size": 25, "char_hidden_size": 50, "hidden_size": 200}


def flair(settings: Settings) -> Iterator[Comparison]:
    """
    A tagger from words to labels against flair's SequenceTagger with the same layers (words 100, BiLSTM over
    characters 2 x 25, BiLSTM 200, CRF with 17 labels), each with its own batches of about 32 sentences; no optimiser.
    Training begins with encoded sentences in both, tagging with words.
    """
    if INTERPRETER not in os.environ:
        print(f"| tagger | flair | left out: set {INTERPRETER} to a Python that has flair |", flush=True)
        return
    words, tags = _sentences(settings)
    tokens = sum(map(len, words))
    ours = Ours(words, tags, settings)
    theirs = Flair(words, tags, settings)
    unit, name, work = "tokens a second", "BiLSTM 200 with characters and CRF", (tokens, tokens)
    for mode, bar in (("train", ">= 3"), ("tag", ">= 2")):
        yield Comparison(
            f"{name}, {mode}", bar, f"flair {theirs.version}", getattr(ours, mode), getattr(theirs, mode), unit, work
        )
    theirs.close()


def _sentences(settings: Settings) -> tuple[list[list[str]], list[list[str]]]:
    """Words of documentation in sentences of the lengths of CoNLL 2003, and labels drawn at random."""
    words = iter([word for row in unwritten_docs()["train"]["tokens"] for word in row])
    lengths = sentence_lengths(settings.size(512), settings.size(113))
    sentences = [[next(words) for _ in range(length)] for length in lengths.tolist()]
    chooser = random.Random(0)
    return sentences, [chooser.choices([f"{i}" for i in range(len(LABELS))], k=len(row)) for row in sentences]


class Ours:
    """Our tagger, which begins with sentences as lists of words."""

    def __init__(self, words: list[list[str]], tags: list[list[str]], settings: Settings):
        sizes = {name: settings.size(size) for name, size in SIZES.items()} | {"char_hidden_size": 50}
        self.tokenizer = LSTMTokenizer.train_from_iterator(
            words, "word", min_frequency=1, characters=True, show_progress=False
        )
        config = LSTMConfig(
            vocab_size=len(self.tokenizer),
            char_vocab_size=self.tokenizer.char_vocab_size,
            char_encoder="recurrent",
            use_crf=True,
            num_labels=len(LABELS),
            **sizes,
        )
        self.model, self.words = LSTMForTokenClassification(config), words
        rows = Dataset.from_dict({"tokens": words, "tags": [[int(tag) for tag in row] for row in tags]})
        self.rows = list(encode_tagged(rows, self.tokenizer))
        self.collator = DataCollatorForTokenClassification(self.tokenizer)
        lengths = [len(row["input_ids"]) for row in self.rows]
        self.budget = max(*lengths, ROWS * sum(lengths) // len(lengths))
        self.batches = TokenBudgetBatchSampler(lengths, self.budget)

    def train(self) -> None:
        self.model.train()
        for indices in self.batches:
            self.model.zero_grad()
            self.model(**self.collator([self.rows[i] for i in indices])).loss.backward()

    def tag(self) -> None:
        rows = self.tokenizer(self.words, is_split_into_words=True)
        examples = [{name: rows[name][i] for name in rows} for i in range(len(self.words))]
        predict(self.model, examples, self.tokenizer, max_tokens=self.budget, take=_labels, show_progress=False)


def _labels(outputs, batch) -> list[torch.Tensor]:
    return list(outputs["predictions"])


class Flair:
    """The same of flair, in a process of its own."""

    def __init__(self, words: list[list[str]], tags: list[list[str]], settings: Settings):
        server = Path(__file__).with_name("flair_server.py")
        self._process = subprocess.Popen(
            [os.environ[INTERPRETER], str(server)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        task = SIZES | {
            "threads": torch.get_num_threads(),
            "rows": ROWS,
            "sentences": words,
            "tags": tags,
            "labels": sorted({tag for row in tags for tag in row}),
            "words": sorted({word for row in words for word in row}),
            "characters": sorted({character for row in words for word in row for character in word}),
        }
        self.version = self._ask(json.dumps(task))

    def train(self) -> None:
        self._ask("train")

    def tag(self) -> None:
        self._ask("tag")

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, line: str) -> str:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"flair ended with {self._process.wait()}: its error stands above.")
        return answer

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the card of a translator says beside its scores: those of the simple method, and what it makes of sentences."""

import random
from pathlib import Path

import sacrebleu
from transformers import HfArgumentParser

from hf_lstm.data import load_pairs
from hf_lstm.evaluation.translation import translation_scores
from hf_lstm.evaluation.translation_memory import TranslationMemory
from hf_lstm.hub.cards import Measurement
from hf_lstm.hub.measurements import translation_measurements
from hf_lstm.training.arguments import PairArguments


SHOWN = 10  # sentences of a table


class TranslationReport:
    """
    Of a run that is there.

    Args:
        line (`list[str]`): The command that trained it.
        folder (`Path`): Where it lies.
    """

    def __init__(self, line: list[str], folder: Path):
        arguments = HfArgumentParser(PairArguments).parse_args_into_dataclasses(line, return_remaining_strings=True)[0]
        self.language, self.pairs = arguments.target_lang, load_pairs(**vars(arguments))
        self.test = self.pairs["test"]
        self.predictions = (folder / "predictions.txt").read_text(encoding="utf-8").splitlines()
        self.scores = translation_scores(self.predictions, self.test["target"], self.language)
        self.signatures = {"test_bleu": self.scores.bleu_signature, "test_chrf": self.scores.chrf_signature}

    def baseline(self) -> list[Measurement]:
        """The scores of the translation of the nearest sentence of training."""
        train = self.pairs["train"]
        found = TranslationMemory(train["source"], train["target"]).translate(self.test["source"])
        scores = translation_scores(found, self.test["target"], self.language)
        return translation_measurements(scores, "test", of="translation memory")

    def tables(self) -> dict[str, dict]:
        """Translations of sentences that were drawn from the best and from the worst tenth, by chrF."""
        chrf = [
            sacrebleu.sentence_chrf(found, [wanted]).score
            for found, wanted in zip(self.predictions, self.test["target"], strict=True)
        ]
        order, tenth = sorted(range(len(chrf)), key=chrf.__getitem__), len(chrf) // 10
        drawn = {"best": order[-tenth:], "worst": order[:tenth]}
        return {
            f"Of the {name} tenth of the test data (by chrF)": {
                self.test[i]["source"]: self._row(i, chrf[i]) for i in sorted(random.Random(0).sample(rows, SHOWN))
            }
            for name, rows in drawn.items()
        }

    def _row(self, i: int, chrf: float) -> dict:
        pair = self.test[i]
        row = {"translation": self.predictions[i], "reference": pair["target"], "chrF": chrf}
        if "attribution" in pair:
            row["Tatoeba"] = pair["attribution"].partition("tatoeba.org ")[2]
        return row

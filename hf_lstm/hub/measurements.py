# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a training script has measured, for the card: each function returns the `results` of a task."""

import shlex
import sys
from collections.abc import Mapping

from ..evaluation.language_modeling import LanguageModelResults
from ..evaluation.speech import SpeechScores
from ..evaluation.translation import TranslationScores
from .cards import Measurement


_OF_TAGGERS = {
    "overall_f1": ("f1", "F1 of entities"),
    "strict_f1": ("f1", "F1 of well-formed entities"),
    "overall_accuracy": ("accuracy", "Accuracy"),
}
_OF_CLASSIFIERS = ("accuracy", "f1", "macro_f1", "mse", "mae")


def perplexity_measurements(results: LanguageModelResults, of_characters: bool = False) -> list[Measurement]:
    """
    Perplexities, and of models of characters the nats that are usual for them.

    Args:
        results ([`~language_modeling.LanguageModelResults`]): What was measured.
        of_characters (`bool`, *optional*, defaults to `False`): Whether tokens are characters.

    Returns:
        `list[Measurement]`: Those of n-gram models are of baselines.
    """
    found = []
    for split, rows in results.perplexities.items():
        for name, result in rows.items():
            _, comma, way = name.partition(", ")
            of = None if comma else name
            found.append(Measurement("perplexity", result.perplexity, split, f"perplexity{comma}{way}", of=of))
            if of_characters:
                found.append(Measurement("loss", result.loss, split, f"nats a character{comma}{way}", of=of))
    return found


def tagging_measurements(scores: Mapping, split: str) -> list[Measurement]:
    """
    F1 of entities, where tags have a scheme, and accuracy.

    Args:
        scores (`Mapping`): What [`~reports.tagging_scores`] returned.
        split (`str`): The split that they are of.

    Returns:
        `list[Measurement]`: Those that there are.
    """
    found = {key: names for key, names in _OF_TAGGERS.items() if key in scores}
    return [Measurement(metric, scores[key], split, name) for key, (metric, name) in found.items()]


def tagging_reports(scores: Mapping, split: str) -> dict[str, Mapping]:
    """
    The tables of a tagger: of entities by type, where tags have a scheme, and of tokens by label.

    Args:
        scores (`Mapping`): What [`~reports.tagging_scores`] returned.
        split (`str`): The split that they are of.

    Returns:
        `dict[str, Mapping]`: The argument `reports` of a card.
    """
    tables = {"Entities": scores.get("entities"), "Tokens": scores["tokens"]}
    return {f"{name} of the {split} data": table for name, table in tables.items() if table}


def classification_measurements(metrics: Mapping[str, float], split: str) -> list[Measurement]:
    """
    The scores of [`~text_classification.classification_scores`].

    Args:
        metrics (`Mapping[str, float]`): Metrics of `Trainer`, whose names begin with that of the split.
        split (`str`): The split that they are of.

    Returns:
        `list[Measurement]`: Those that there are.
    """
    return [
        Measurement(name.removeprefix("macro_"), metrics[f"{split}_{name}"], split, name.replace("_", " "))
        for name in _OF_CLASSIFIERS
        if f"{split}_{name}" in metrics
    ]


def translation_measurements(scores: TranslationScores, split: str, of: str | None = None) -> list[Measurement]:
    """
    BLEU and chrF, whose names have the signatures.

    Args:
        scores ([`~translation.TranslationScores`]): What was measured.
        split (`str`): The split that they are of.
        of (`str`, *optional*): The baseline that they are of, if they are not the model's.

    Returns:
        `list[Measurement]`: The two.
    """
    return [
        Measurement("bleu", scores.bleu, split, f"BLEU ({scores.bleu_signature})", of=of),
        Measurement("chrf", scores.chrf, split, f"chrF ({scores.chrf_signature})", of=of),
    ]


def speech_measurements(scores: SpeechScores, split: str, name: str = "greedy") -> list[Measurement]:
    """
    Word and character error rates, in per cent.

    Args:
        scores ([`~speech.SpeechScores`]): What was measured.
        split (`str`): The split that they are of.
        name (`str`, defaults to `"greedy"`): How it was decoded.

    Returns:
        `list[Measurement]`: The two.
    """
    return [
        Measurement("wer", scores.wer, split, f"Word error rate, % ({name})"),
        Measurement("cer", scores.cer, split, f"Character error rate, % ({name})"),
    ]


def this_command() -> str:
    """The shell command that runs now, as the card gives it."""
    return shlex.join(["python", *sys.argv])


__all__ = [
    "classification_measurements",
    "perplexity_measurements",
    "speech_measurements",
    "tagging_measurements",
    "tagging_reports",
    "this_command",
    "translation_measurements",
]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Error rates of recognised speech, by jiwer, which is an extra: `pip install jiwer`. The word error rate is the number
of words that are wrong, missing or too many, by the number of words that were said (Levenshtein distance), over all
texts together; the character error rate is the same of characters, spaces among them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import EvalPrediction, ProcessorMixin


@dataclass(frozen=True)
class SpeechScores:
    """
    Error rates. As text it is a line for each.

    Args:
        wer, cer (`float`): Word and character error rate, in per cent; above 100 where more is heard than said.
        substitutions, deletions, insertions (`int`): Words that are wrong, missing and too many.
        words, characters (`int`): How many were said.
        texts (`int`): How many texts there are.
        exact (`float`): The share of texts without any error, in per cent.
    """

    wer: float
    cer: float
    substitutions: int
    deletions: int
    insertions: int
    words: int
    characters: int
    texts: int
    exact: float

    def __str__(self) -> str:
        return (
            f"WER {self.wer:.2f} %   {self.substitutions:,} wrong, {self.deletions:,} missing, {self.insertions:,} "
            f"too many of {self.words:,} words\nCER {self.cer:.2f} %   of {self.characters:,} characters; "
            f"{self.exact:.1f} % of {self.texts:,} texts are without error"
        )


def speech_scores(predictions: Sequence[str], references: Sequence[str]) -> SpeechScores:
    """
    Error rates of texts. What counts as a word is what stands between spaces: case and punctuation count.

    Args:
        predictions (`Sequence[str]`): What was recognised.
        references (`Sequence[str]`): What was said.

    Returns:
        [`SpeechScores`]: Those of all texts together. Of texts in which nothing was said, each word is too many.

    Raises:
        `ImportError`: If jiwer is not installed.
        `ValueError`: If there are not as many of the one as of the other, or nothing at all was said.
    """
    try:
        import jiwer
    except ImportError:
        raise ImportError("Error rates need jiwer: `pip install jiwer`.") from None
    if len(predictions) != len(references):
        raise ValueError(f"There are {len(predictions)} `predictions` of {len(references)} `references`.")
    predictions, references = ([" ".join(text.split()) for text in texts] for texts in (predictions, references))
    said = [(guess, text) for guess, text in zip(predictions, references, strict=True) if text]
    if not said:
        raise ValueError("`references` has no word: there is nothing to divide by.")
    silent = [guess for guess, text in zip(predictions, references, strict=True) if not text]
    guesses, texts = (list(side) for side in zip(*said, strict=True))
    words, characters = jiwer.process_words(texts, guesses), jiwer.process_characters(texts, guesses)
    many, long = sum(len(guess.split()) for guess in silent), sum(map(len, silent))
    number, length = sum(len(text.split()) for text in texts), sum(map(len, texts))
    wrong = [each.substitutions + each.deletions + each.insertions for each in (words, characters)]
    return SpeechScores(
        wer=100 * (wrong[0] + many) / number,
        cer=100 * (wrong[1] + long) / length,
        substitutions=words.substitutions,
        deletions=words.deletions,
        insertions=words.insertions + many,
        words=number,
        characters=length,
        texts=len(references),
        exact=100 * np.mean([guess == text for guess, text in zip(predictions, references, strict=True)]),
    )


def most_probable_labels(logits: torch.Tensor | tuple, labels: torch.Tensor | None = None) -> torch.Tensor:
    """For `preprocess_logits_for_metrics` of Trainer: (B, T, V) -> (B, T), so that logits are not kept."""
    return (logits[0] if isinstance(logits, tuple) else logits).argmax(-1)


def make_ctc_metrics(processor: ProcessorMixin) -> Callable[[EvalPrediction], dict[str, float]]:
    """
    A `compute_metrics` of Trainer for CTC, beside [`most_probable_labels`].

    Args:
        processor ([`RecurrentSpeechProcessor`]): Whose tokenizer spells.

    Returns:
        `Callable`: Which gives `"wer"` and `"cer"`, in per cent.
    """

    def metrics(output: EvalPrediction) -> dict[str, float]:
        scores = speech_scores(*texts_of(output, processor))
        return {"wer": scores.wer, "cer": scores.cer}

    return metrics


def texts_of(output: EvalPrediction, processor: ProcessorMixin) -> tuple[list[str], list[str]]:
    """What was recognised and what was said, of labels (B, T) and (B, U) that Trainer padded with -100."""
    tokenizer, blank = processor.tokenizer, processor.tokenizer.pad_token_id
    heard, said = (np.where(each == -100, blank, each) for each in (output.predictions, output.label_ids))
    return tokenizer.batch_decode(heard), tokenizer.batch_decode(said, group_tokens=False)


__all__ = ["SpeechScores", "make_ctc_metrics", "most_probable_labels", "speech_scores", "texts_of"]

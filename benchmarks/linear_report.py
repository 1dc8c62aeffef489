# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the card of a classifier says beside its scores: those of the linear models that everybody has in a second."""

import numpy as np
from datasets import Dataset, concatenate_datasets
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, make_union
from sklearn.svm import LinearSVC
from transformers import EvalPrediction, HfArgumentParser

from hf_lstm.data import class_names, load_classified
from hf_lstm.evaluation.text_classification import classification_scores
from hf_lstm.hub.cards import Measurement
from hf_lstm.training.arguments import ClassifiedArguments


WORDS = {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": r"\S+"}
CHARACTERS = {"analyzer": "char_wb", "ngram_range": (3, 5), "sublinear_tf": True}
FEATURES = {"words": [WORDS], "words and characters": [WORDS, CHARACTERS]}
STRENGTHS = (0.1, 0.3, 1, 3)


class LinearReport:
    """
    Linear support vector machines on TF-IDF of n-grams, trained on the data of a run. C is chosen on the validation
    data; where those were held out of the training data, the last machine is fitted to both.

    Args:
        line (`list[str]`): The command that trained the classifier.
    """

    def __init__(self, line: list[str]):
        parser = HfArgumentParser(ClassifiedArguments)
        self.arguments = parser.parse_args_into_dataclasses(line, return_remaining_strings=True)[0]
        self.splits = load_classified(**vars(self.arguments))

    def scores(self) -> dict[str, dict[str, float]]:
        """Of each kind of features what `classification_scores` gives of the test data."""
        return {f"TF-IDF of {name}, linear SVM": self._scores_of(kinds) for name, kinds in FEATURES.items()}

    def _scores_of(self, kinds: list[dict]) -> dict[str, float]:
        train, validation, test = (self.splits[split] for split in ("train", "validation", "test"))
        features, matrix = _features(kinds, train)
        held_out = features.transform(validation["text"])
        machines = {c: LinearSVC(C=c, random_state=0).fit(matrix, train["label"]) for c in STRENGTHS}
        chosen = max(STRENGTHS, key=lambda c: machines[c].score(held_out, validation["label"]))
        machine = machines[chosen]
        if not self.arguments.validation_file:
            train = concatenate_datasets([train, validation])
            features, matrix = _features(kinds, train)
            machine = LinearSVC(C=chosen, random_state=0).fit(matrix, train["label"])
        logits = np.eye(len(class_names(test)))[machine.predict(features.transform(test["text"]))]
        return classification_scores(EvalPrediction(logits, np.array(test["label"])), "single_label_classification")


def _features(kinds: list[dict], rows: Dataset) -> tuple[FeatureUnion, csr_matrix]:
    """Features of these kinds, and those of the texts that they were fitted to."""
    features = make_union(*(TfidfVectorizer(**kind) for kind in kinds))
    return features, features.fit_transform(rows["text"])


def baselines(scores: dict[str, dict[str, float]]) -> list[Measurement]:
    """For the card."""
    titles = {"accuracy": ("accuracy", "Accuracy"), "macro_f1": ("f1", "Macro F1")}
    return [
        Measurement(metric, values[key], "test", title, of=name)
        for name, values in scores.items()
        for key, (metric, title) in titles.items()
    ]

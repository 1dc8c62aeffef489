# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Scores of classifiers of texts.

Glossary: N texts, K labels.
"""

import numpy as np
from transformers import EvalPrediction
from transformers.trainer_utils import PredictionOutput


def joined(prediction: EvalPrediction | PredictionOutput) -> tuple[np.ndarray, np.ndarray]:
    """Logits, `(N, K)`, and labels, in one array each, also where `eval_do_concat_batches=False` left batches."""
    parts = prediction.predictions, prediction.label_ids
    return tuple(np.concatenate(part) if isinstance(part, list) else part for part in parts)


def classification_scores(prediction: EvalPrediction, problem_type: str) -> dict[str, float]:
    """
    What a classifier is judged by, as `compute_metrics` of `Trainer`, once `problem_type` is bound by `partial`.

    Args:
        prediction ([`~transformers.EvalPrediction`]): Logits, `(N, K)`, and labels: ids, `(N,)`; of several labels 0
            or 1 for each, `(N, K)`; numbers, `(N,)`.
        problem_type (`str`): `"single_label_classification"`, `"multi_label_classification"` or `"regression"`.

    Returns:
        `dict[str, float]`: Accuracy and macro F1 of single labels; micro and macro F1 of several, `"f1"` and
        `"macro_f1"`; mean squared and mean absolute error, `"mse"` and `"mae"`, of numbers.

    Example:

    ```python
    >>> import numpy as np
    >>> from transformers import EvalPrediction
    >>> from hf_lstm.evaluation.text_classification import classification_scores

    >>> prediction = EvalPrediction(np.array([[2.0, 1.0], [0.0, 3.0], [4.0, 1.0]]), np.array([0, 1, 1]))
    >>> round(classification_scores(prediction, "single_label_classification")["accuracy"], 2)
    0.67
    ```
    """
    logits, labels = joined(prediction)
    if problem_type == "regression":
        errors = logits.reshape(labels.shape) - labels
        return {"mse": float(np.mean(errors**2)), "mae": float(np.mean(np.abs(errors)))}
    if problem_type == "single_label_classification":
        logits, labels = logits[labels != -100], labels[labels != -100]  # as the loss leaves them out
    several = problem_type == "multi_label_classification"
    found = logits > 0 if several else np.eye(logits.shape[-1], dtype=bool)[logits.argmax(-1)]  # (N, K)
    true = labels > 0 if several else np.eye(logits.shape[-1], dtype=bool)[labels]
    right, either = (found & true).sum(0), found.sum(0) + true.sum(0)  # (K,)
    f1 = 2 * right / np.maximum(either, 1)
    scores = {"macro_f1": float(f1[either > 0].mean())}
    if several:
        return scores | {"f1": float(2 * right.sum() / max(either.sum(), 1))}
    return scores | {"accuracy": float(right.sum() / len(true))}


__all__ = ["classification_scores", "joined"]

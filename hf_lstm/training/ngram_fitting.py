# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The linear model of n-grams that stands beside a classifier, found by scikit-learn: `pip install scikit-learn`."""

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase

from ..data.labels import without_labels
from ..models.ngrams import NgramScores
from ..models.text_inputs import TextInputs


Features = list[tuple[torch.LongTensor, torch.Tensor]]  # of a batch, see `NgramScores.features`


def fit_ngrams(
    model: PreTrainedModel,
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    scale: float = 3.0,
    regularization: float = 1.0,
    batch_size: int = 64,
) -> None:
    """
    Find the weights of [`NgramScores`]: of each label against all others those of a linear support vector machine with
    a squared hinge loss (Fan et al. 2008), and the inverse document frequencies. It takes seconds.

    Args:
        model ([`~transformers.PreTrainedModel`]): A classifier of texts with `ngram_buckets`.
        dataset (`Dataset`): The texts of training, as [`~classified.encode_classified`] returns them.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer, which pads.
        scale (`float`, *optional*, defaults to 3.0): What the margins, of about 1, are multiplied by before they are
            added to the logits of the network: 0 leaves that alone.
        regularization (`float`, *optional*, defaults to 1.0): C, the weight of the loss.
        batch_size (`int`, *optional*, defaults to 64): Texts of which n-grams are found at once.

    Raises:
        `ValueError`: If the model has no `ngram_buckets`, or its labels are numbers.
        `ImportError`: If scikit-learn is missing.
    """
    scores, config = getattr(model, "ngrams", None), model.config
    if scores is None:
        raise ValueError("`model` has no n-grams: build it with `ngram_buckets` in its configuration.")
    if config.problem_type == "regression":
        raise ValueError(
            "`problem_type` is 'regression': a sum of two experts is of scores of labels, not of numbers."
        )
    try:
        from scipy.sparse import csr_matrix
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise ImportError(
            "The linear model of n-grams is found by scikit-learn: `pip install scikit-learn`."
        ) from error
    batches = DataLoader(without_labels(dataset), batch_size=batch_size, collate_fn=DataCollatorWithPadding(tokenizer))
    with torch.no_grad():
        found = [scores.features(_text_of(batch)) for batch in batches]
        scores.idf.copy_(_inverse_frequencies(found, len(dataset), scores.idf))
        rows, columns, values = (np.concatenate(each) for each in zip(*_entries(scores, found), strict=True))
    matrix = csr_matrix((values, (rows, columns)), (len(dataset), scores.buckets))
    labels = np.array(dataset["labels" if "labels" in dataset.column_names else "label"])
    wanted = labels if labels.ndim == 2 else labels[:, None] == np.arange(config.num_labels)
    for k in range(config.num_labels):
        own = wanted[:, k].astype(int)
        if 0 < own.sum() < len(own):  # else there is nothing to tell apart
            machine = LinearSVC(C=regularization).fit(matrix, own)
            scores.weight[:, k] = torch.from_numpy(scale * machine.coef_[0])
            scores.bias[k] = float(scale * machine.intercept_[0])


def _text_of(batch: Mapping[str, torch.Tensor]) -> TextInputs:
    return TextInputs(**{name: batch[name] for name in TextInputs._fields if name in batch})


def _inverse_frequencies(found: list[Features], number: int, like: torch.Tensor) -> torch.Tensor:
    """Those of each bucket, (V,), in so many texts."""
    having = torch.zeros_like(like)
    for buckets, values in chain.from_iterable(found):
        having.index_add_(0, buckets.flatten(), (values > 0).flatten().to(having.dtype))
    return ((1 + number) / (1 + having)).log() + 1


def _entries(scores: NgramScores, found: list[Features]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The entries of the matrix of all texts and buckets: rows, columns, values."""
    first = 0
    for features in found:
        for buckets, values in (scores.weighed(*each) for each in features):
            rows, places = values.nonzero(as_tuple=True)
            yield (first + rows).numpy(), buckets[rows, places].numpy(), values[rows, places].numpy()
        first += len(features[0][0])


__all__ = ["fit_ngrams"]

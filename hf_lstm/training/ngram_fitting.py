# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The linear model of n-grams that stands beside a classifier, found by scikit-learn: `pip install scikit-learn`."""

import copy
from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..data.labels import without_labels
from ..models.losses import check_labels
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
    a squared hinge loss (Fan et al. 2008), and the inverse document frequencies. A label that no text has, or that all
    have, gets a margin of -1, or 1, whatever the text. It takes seconds.

    Args:
        model ([`~transformers.PreTrainedModel`]): A classifier of texts with `ngram_buckets`.
        dataset (`Dataset`): The texts of training, as [`~classified.encode_classified`] returns them; those without a
            label, -100, count in the frequencies alone.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer, which pads.
        scale (`float`, *optional*, defaults to 3.0): What the margins, of about 1, are multiplied by before they are
            added to the logits of the network: 0 leaves that alone.
        regularization (`float`, *optional*, defaults to 1.0): C, the weight of the loss.
        batch_size (`int`, *optional*, defaults to 64): Texts of which n-grams are found at once.

    Raises:
        `ValueError`: If the model has no `ngram_buckets`, its labels are numbers, those of the texts are not its own,
            or a number is out of range.
        `ImportError`: If scikit-learn is missing.
    """
    scores, config = getattr(model, "ngrams", None), model.config
    if scores is None:
        raise ValueError("`model` has no n-grams: build it with `ngram_buckets` in its configuration.")
    if not (scale >= 0 and regularization > 0):
        raise ValueError(
            f"`scale` is {scale} and `regularization` is {regularization}: give at least 0, and a number above 0."
        )
    labelled, wanted = _wanted(dataset, config)
    try:
        from scipy.sparse import csr_matrix
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise ImportError(
            "The linear model of n-grams is found by scikit-learn: `pip install scikit-learn`."
        ) from error
    batches = DataLoader(without_labels(dataset), batch_size=batch_size, collate_fn=DataCollatorWithPadding(tokenizer))
    own = copy.deepcopy(scores).float().cpu()  # a sum over texts has no room in half precision
    with torch.no_grad():
        found = [own.features(_text_of(batch)) for batch in batches]
        own.idf.copy_(_inverse_frequencies(found, len(dataset), own.idf))
        rows, columns, values = (np.concatenate(each) for each in zip(*_entries(own, found), strict=True))
    matrix = csr_matrix((values, (rows, columns)), (len(dataset), own.buckets))[labelled]
    for k in range(config.num_labels):
        weight, bias = _margin(LinearSVC(C=regularization), matrix, wanted[labelled, k])
        own.weight[:, k], own.bias[k] = torch.as_tensor(scale * weight), scale * bias
    for name, buffer in own.named_buffers():
        getattr(scores, name).copy_(buffer)


def _margin(machine, matrix, having: np.ndarray) -> tuple[np.ndarray, float]:
    """The weights (V,) and the bias that tell texts that have a label, (N,), from others."""
    if having.min() == having.max():  # there is nothing to tell apart
        return np.zeros(matrix.shape[1]), 1.0 if having[0] else -1.0
    machine.fit(matrix, having.astype(int))
    return machine.coef_[0], float(machine.intercept_[0])


def _wanted(dataset: Dataset, config: PreTrainedConfig) -> tuple[np.ndarray, np.ndarray]:
    """Which texts have a label, (N,), and which labels each has, (N, K)."""
    column, number = "labels" if "labels" in dataset.column_names else "label", config.num_labels
    labels = torch.as_tensor(_numbers(dataset, column, number))
    single = config.problem_type == "single_label_classification" or (config.problem_type is None and labels.ndim == 1)
    if config.problem_type == "regression" or (config.problem_type is None and number == 1):
        raise ValueError(
            "`problem_type` is 'regression': a sum of two experts is of scores of labels, not of numbers."
        )
    if single and labels.ndim == 1:
        check_labels(labels, number, f"{column} of dataset")
        labelled = labels != -100
        wanted = labels[:, None] == torch.arange(number)
    elif not single and labels.shape[1:] == (number,) and ((labels >= 0) & (labels <= 1)).all():
        labelled, wanted = torch.ones(len(labels), dtype=torch.bool), labels > 0.5
    else:
        raise _refused(column, labels.tolist(), number)
    if not labelled.any():
        raise ValueError(f"`dataset` has {len(labels)} texts, and no label: there is nothing to be found.")
    return labelled.numpy(), wanted.numpy()


def _numbers(dataset: Dataset, column: str, number: int) -> np.ndarray:
    """The labels as an array of int64, bool or floating-point numbers."""
    if column not in dataset.column_names:
        raise ValueError(f"`dataset` has the columns {dataset.column_names}: give `labels` as well.")
    given = dataset[column][:]
    try:
        labels = np.array(given)
    except ValueError:  # lists of several lengths
        raise _refused(column, given, number) from None
    if labels.dtype.kind not in "iubf":
        raise _refused(column, given, number)
    return labels.astype(np.int64) if labels.dtype.kind in "iu" else labels


def _refused(column: str, labels: list, number: int) -> ValueError:
    return ValueError(
        f"`{column}` of `dataset` begins with {str(labels[:3])[:60]}, but `num_labels` is {number}: give the id of a "
        "label, or a 0 or 1 for each with `problem_type='multi_label_classification'`, as `encode_classified` does."
    )


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

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The scores of taggers as a module of `evaluate`, and as the `compute_metrics` of `Trainer`.

`evaluate.load` takes the path of this file, `hf_lstm.evaluation.token_classification.__file__`; nothing is downloaded.
"""

from collections.abc import Callable, Sequence

import datasets
import evaluate
import numpy as np
from transformers import EvalPrediction

from hf_lstm.evaluation.reports import AVERAGES, tagging_scores  # absolute: `evaluate` runs a copy of this file


_DESCRIPTION = """
Precision, recall and F1 of entities, overall and by type, as conlleval and seqeval compute them and in a strict
reading where only well-formed entities count; accuracy of tokens; precision, recall and F1 of every tag.
"""

_INPUTS = """
Args:
    predictions: Predicted tags of each sentence, a list of strings, or ids with `label_names`.
    references: True tags of each sentence, in the same form; ids of -100 are left out.
    label_names: Names of the labels, for ids.
    scheme: Scheme of the tags, `IOB1`, `BIO`, `BIOES`, `BILOU` or `BMES`; read off the tags by default.

Returns:
    `overall_precision`, `overall_recall`, `overall_f1`, `overall_accuracy`; `strict_precision`, `strict_recall`,
    `strict_f1`; and tables by type and by tag: `entities`, `strict_entities` and `tokens`. For plain classes such as
    parts of speech, `overall_accuracy` and `tokens` only.
"""

_CITATION = """
@inproceedings{tjong-kim-sang-de-meulder-2003-introduction,
    title = "Introduction to the {C}o{NLL}-2003 Shared Task: Language-Independent Named Entity Recognition",
    author = "Tjong Kim Sang, Erik F. and De Meulder, Fien",
    booktitle = "Proceedings of the Seventh Conference on Natural Language Learning at {HLT}-{NAACL} 2003",
    year = "2003",
}
"""


class TokenClassificationMetric(evaluate.Metric):
    """
    All scores of a tagger, [`tagging_scores`](reports.py), as a metric of `evaluate`. The keys `overall_precision`,
    `overall_recall`, `overall_f1` and `overall_accuracy` are those of its metric `seqeval`, and so are their values.

    Args:
        kwargs (*optional*): Those of `evaluate.Metric`, such as `keep_in_memory`.

    Example:

    ```python
    >>> from hf_lstm.evaluation import TokenClassificationMetric

    >>> metric = TokenClassificationMetric(keep_in_memory=True)
    >>> scores = metric.compute(predictions=[["B-PER", "O", "B-LOC"]], references=[["B-PER", "O", "O"]])
    >>> scores["overall_precision"], scores["overall_recall"], scores["entities"]["PER"]["f1-score"]
    (0.5, 1.0, 1.0)
    ```
    """

    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    # Ids are stored as text: `evaluate` picks one of several types by the first sentence alone, and an empty one fits
    # them all.
    def add_batch(self, *, predictions: Sequence[Sequence], references: Sequence[Sequence]) -> None:
        """Add sentences; arguments as in `compute`."""
        super().add_batch(predictions=[*map(_as_text, predictions)], references=[*map(_as_text, references)])

    def add(self, *, prediction: Sequence, reference: Sequence) -> None:
        """Add one sentence."""
        super().add(prediction=_as_text(prediction), reference=_as_text(reference))

    def _compute(
        self,
        predictions: Sequence[Sequence],
        references: Sequence[Sequence],
        label_names: Sequence[str] | None = None,
        scheme: str | None = None,
    ) -> dict:
        references, predictions = ([*map(_with_ids, rows)] for rows in (references, predictions))
        return tagging_scores(references, predictions, label_names, scheme)


def make_compute_metrics(
    label_names: Sequence[str], scheme: str | None = None, per_type: bool = False
) -> Callable[[EvalPrediction], dict[str, float]]:
    """
    The argument `compute_metrics` of `Trainer` for a tagger.

    It takes the scores of a softmax head, floating-point numbers of shape `(B, T, K)` whose largest counts, or decoded
    label ids of shape `(B, T)`, as a CRF returns them. Of several outputs the decoded ids are taken if there are any.
    Positions whose label is -100 are left out.

    Args:
        label_names (`Sequence[str]`): Names of the K labels, in the order of their ids.
        scheme (`str`, *optional*): Scheme of the tags; read off them and `label_names` by default.
        per_type (`bool`, *optional*, defaults to `False`): Whether to add `"f1_PER"` and so on for each type.

    Returns:
        `Callable[[EvalPrediction], dict[str, float]]`: A function that returns `"accuracy"` and `"token_macro_f1"`,
        and, where the tags have a scheme, `"precision"`, `"recall"`, `"f1"` of entities in conlleval's lenient
        reading, and `"strict_precision"`, `"strict_recall"`, `"strict_f1"`.

    Raises:
        `ValueError`: If that function is given no such output, or a label id without a name.

    Example:

    ```python
    >>> import numpy as np
    >>> from transformers import EvalPrediction
    >>> from hf_lstm.evaluation import make_compute_metrics

    >>> compute_metrics = make_compute_metrics(["O", "B-PER", "I-PER"])
    >>> logits = np.eye(3)[[[0, 1, 2, 0]]]  # (B, T, K)
    >>> compute_metrics(EvalPrediction(logits, np.array([[0, 1, 2, -100]])))["f1"]
    1.0
    ```
    """
    label_names = list(label_names)

    def compute_metrics(eval_prediction: EvalPrediction) -> dict[str, float]:
        outputs, labels = eval_prediction.predictions, eval_prediction.label_ids
        if not isinstance(labels, list):  # as with `eval_do_concat_batches=False`
            outputs, labels = [outputs], [labels]
        ids = [row for batch in outputs for row in _label_ids(batch, len(label_names))]
        scores = tagging_scores([row for batch in labels for row in batch], ids, label_names, scheme)
        flat = {"accuracy": scores["overall_accuracy"], "token_macro_f1": scores["tokens"]["macro avg"]["f1-score"]}
        if "entities" in scores:
            for score in ("precision", "recall", "f1"):
                flat |= {score: scores[f"overall_{score}"], f"strict_{score}": scores[f"strict_{score}"]}
            if per_type:
                rows = scores["entities"].items()
                flat |= {f"f1_{kind}": row["f1-score"] for kind, row in rows if kind not in AVERAGES}
        return flat

    return compute_metrics


def _label_ids(predictions: np.ndarray | tuple, num_labels: int) -> np.ndarray:
    """Decoded label ids of shape (B, T), from what a model returned."""
    outputs = predictions if isinstance(predictions, (tuple, list)) else [predictions]
    outputs = [output for output in outputs if isinstance(output, np.ndarray)]
    for output in outputs:
        if output.ndim == 2 and np.issubdtype(output.dtype, np.integer):
            return output
    for output in outputs:
        if output.ndim == 3 and output.shape[-1] == num_labels:
            return output.argmax(-1)
    raise ValueError(
        f"`predictions` has the shapes {[output.shape for output in outputs]}: one has to be (B, T, {num_labels}), "
        f"scores of the {num_labels} `label_names`, or (B, T), decoded label ids."
    )


def _as_text(tags: Sequence) -> list[str]:
    return [str(tag) for tag in (tags.tolist() if hasattr(tags, "tolist") else tags)]


def _with_ids(tags: list[str]) -> list[str | int]:
    return [int(tag) if tag.removeprefix("-").isdecimal() else tag for tag in tags]

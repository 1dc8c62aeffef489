# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Scores of taggers against slow counting, scikit-learn, seqeval; as a metric of `evaluate` and under `Trainer`."""

import itertools
import random

import evaluate
import numpy as np
import pytest
import torch
from torch import nn
from transformers import EvalPrediction, Trainer, TrainingArguments
from transformers.modeling_outputs import TokenClassifierOutput

from hf_lstm.data.tag_schemes import read_spans, tag_names
from hf_lstm.evaluation import (
    TokenClassificationMetric,
    entity_report,
    format_report,
    make_compute_metrics,
    tagging_scores,
    token_classification,
    token_report,
)


SCHEMES = {"BIO": "IOB2", "BIOES": "IOBES", "BILOU": "BILOU"}  # our names and seqeval's
each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def draw(scheme: str = "BIO", sentences: int = 60, types=("PER", "LOC", "MISC"), seed: int = 0):
    """References and predictions: random tags, most of them not well formed, and two in three of them equal."""
    rng = random.Random(seed)
    names = tag_names(types, scheme)
    references = [rng.choices(names, k=rng.randrange(12)) for _ in range(sentences)]
    predictions = [[tag if rng.random() < 0.7 else rng.choice(names) for tag in tags] for tags in references]
    return references, predictions


def slow_scores(expected: set, actual: set) -> dict:
    """Precision, recall and F1 of two sets, from their definitions."""
    right = sum(1 for thing in actual if thing in expected)
    precision = right / len(actual) if actual else 0
    recall = right / len(expected) if expected else 0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    return {"precision": precision, "recall": recall, "f1-score": f1, "support": len(expected)}


def slow_report(expected: set, actual: set, kind_of) -> dict:
    kinds = sorted({kind_of(thing) for thing in expected | actual})
    rows = {
        kind: slow_scores({t for t in expected if kind_of(t) == kind}, {t for t in actual if kind_of(t) == kind})
        for kind in kinds
    }
    averages = {"macro avg": [1] * len(kinds), "weighted avg": [row["support"] for row in rows.values()]}
    report = rows | {"micro avg": slow_scores(expected, actual)}
    for name, weights in averages.items():
        report[name] = {"support": len(expected)}
        for score in ("precision", "recall", "f1-score"):
            report[name][score] = np.average([row[score] for row in rows.values()], weights=weights)
    return report


def assert_equal(actual: dict, expected: dict):
    assert actual.keys() == expected.keys()
    for name, row in expected.items():
        assert actual[name] == pytest.approx(row, abs=1e-12), name


@each_scheme
@pytest.mark.parametrize("strict", [False, True])
def test_entities_against_slow_counting(scheme, strict):
    references, predictions = draw(scheme)
    expected, actual = (
        {(i, *span) for i, tags in enumerate(rows) for span in read_spans(tags, scheme, strict)}
        for rows in (references, predictions)
    )
    report = entity_report(references, predictions, scheme=scheme, strict=strict)
    assert_equal(report, slow_report(expected, actual, kind_of=lambda entity: entity[1]))
    assert list(report) == ["LOC", "MISC", "PER", "micro avg", "macro avg", "weighted avg"]
    assert 0 < report["micro avg"]["f1-score"] < 1


def test_tags_against_slow_counting():
    references, predictions = draw()
    expected, actual = (
        {(i, t, tag) for i, tags in enumerate(rows) for t, tag in enumerate(tags)}
        for rows in (references, predictions)
    )
    slow = slow_report(expected, actual, kind_of=lambda token: token[2])
    assert_equal(token_report(references, predictions, micro_avg=True), slow)
    report = token_report(references, predictions)
    assert list(report) == [*sorted(tag_names(["LOC", "MISC", "PER"], "BIO")), "accuracy", "macro avg", "weighted avg"]
    assert report.pop("accuracy") == pytest.approx(slow.pop("micro avg")["f1-score"])
    assert_equal(report, slow)
    some = token_report(references, predictions, tags=["I-PER", "B-PER"])
    assert list(some) == ["I-PER", "B-PER", "micro avg", "macro avg", "weighted avg"]
    assert some["B-PER"] == report["B-PER"]
    assert some["micro avg"]["support"] == report["B-PER"]["support"] + report["I-PER"]["support"]


@pytest.mark.parametrize("tags", [None, ["B-PER", "I-PER", "B-LOC"]])
@pytest.mark.parametrize("digits", [2, 4])
def test_scikit_learn_reports_the_same(tags, digits):
    from sklearn import metrics

    references, predictions = draw()
    flat = [list(itertools.chain(*rows)) for rows in (references, predictions)]
    report = token_report(references, predictions, tags=tags)
    options = {"labels": tags, "digits": digits, "zero_division": 0}
    assert_equal(report, metrics.classification_report(*flat, output_dict=True, **options))
    assert format_report(report, digits) == metrics.classification_report(*flat, **options)


def test_scikit_learn_on_tags_that_are_never_found():
    from sklearn import metrics

    references, predictions = [["NOUN", "VERB"], ["A very long name of a tag"]], [["NOUN", "ADJ"], ["NOUN"]]
    flat = [list(itertools.chain(*rows)) for rows in (references, predictions)]
    report = token_report(references, predictions)
    assert_equal(report, metrics.classification_report(*flat, output_dict=True, zero_division=0))
    assert format_report(report) == metrics.classification_report(*flat, zero_division=0)


@each_scheme
@pytest.mark.filterwarnings("ignore")
def test_seqeval_reports_the_same(scheme):
    import seqeval.metrics as metrics
    import seqeval.scheme

    references, predictions = draw(scheme)
    strict = {"mode": "strict", "scheme": getattr(seqeval.scheme, SCHEMES[scheme])}
    for strictly, options in ((False, {}), (True, strict)):
        if scheme == "BILOU" and not strictly:
            continue  # the default mode of seqeval does not know its letters
        report = entity_report(references, predictions, scheme=scheme, strict=strictly)
        assert_equal(report, metrics.classification_report(references, predictions, output_dict=True, **options))
        table = metrics.classification_report(references, predictions, digits=3, **options)
        assert format_report(report, digits=3).rstrip("\n") == table.rstrip("\n")
    scores = tagging_scores(references, predictions, scheme=scheme)
    assert scores["strict_f1"] == pytest.approx(metrics.f1_score(references, predictions, **strict))
    assert scores["overall_accuracy"] == pytest.approx(metrics.accuracy_score(references, predictions))


def test_known_table():
    references = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER"]]
    predictions = [["B-PER", "I-PER", "O", "B-PER"], ["O", "I-PER"]]
    assert format_report(entity_report(references, predictions)) == (
        "              precision    recall  f1-score   support\n"
        "\n"
        "         LOC       0.00      0.00      0.00         1\n"
        "         PER       0.67      1.00      0.80         2\n"
        "\n"
        "   micro avg       0.67      0.67      0.67         3\n"
        "   macro avg       0.33      0.50      0.40         3\n"
        "weighted avg       0.44      0.67      0.53         3\n"
    )
    strict = entity_report(references, predictions, strict=True)
    assert strict["PER"] == pytest.approx({"precision": 0.5, "recall": 0.5, "f1-score": 0.5, "support": 2})


def test_iob1_and_bio_score_alike_in_the_lenient_reading_only():
    """References in IOB1 and predictions in BIO: the usual slip, which the strict reading shows."""
    references, predictions = [["I-PER", "B-PER", "O", "I-LOC"]], [["B-PER", "B-PER", "O", "B-LOC"]]
    scores = tagging_scores(references, predictions)
    assert scores["overall_f1"] == 1.0 > scores["strict_f1"]
    assert scores["overall_accuracy"] == 0.5


def test_parts_of_speech_have_no_entities():
    scores = tagging_scores([["DET", "NOUN"]], [["DET", "VERB"]])
    assert scores.keys() == {"overall_accuracy", "tokens"}
    assert scores["overall_accuracy"] == 0.5


def test_segmentation_without_types():
    report = entity_report([list("BESBME")], [list("BESSBE")])
    assert report["_"] == report["micro avg"] == pytest.approx(slow_scores({1, 2, 3}, {1, 2, 4, 5}))


def test_nothing_to_score():
    for references, predictions in (([], []), ([[]], [[]]), ([["O"]], [["O"]])):
        scores = tagging_scores(references, predictions)
        assert scores["overall_f1"] == scores["strict_recall"] == 0.0
        assert scores["entities"]["macro avg"]["support"] == 0
        assert "weighted avg" in format_report(scores["entities"])
    assert scores["overall_accuracy"] == 1.0


def test_ids_are_names_and_ignored_positions_do_not_count():
    names = tag_names(["PER", "LOC"], "BIO")
    references, predictions = draw(types=("PER", "LOC"))
    expected = tagging_scores(references, predictions, names)
    ids = [[[names.index(tag) for tag in tags] for tags in rows] for rows in (references, predictions)]
    assert tagging_scores(*ids, names) == expected
    rng = random.Random(1)
    padded = np.full((2, len(references), 30), -100)  # the same tokens at random places, any ids in the others
    padded[1] = np.random.default_rng(0).integers(0, len(names), padded[1].shape)
    for i, row in enumerate(ids[0]):
        places = sorted(rng.sample(range(30), len(row)))
        padded[0, i, places], padded[1, i, places] = row, ids[1][i]
    assert tagging_scores(*padded, names) == expected
    assert tagging_scores(*torch.tensor(padded), names) == expected


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`predictions` has 2 sentences and `references` 1"):
        tagging_scores([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="`predictions` has 1 tokens in sentence 1 and `references` 2"):
        token_report([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="`references` has the id 1: give names of tags, or `label_names`"):
        tagging_scores([[1]], [[0]])
    with pytest.raises(ValueError, match="`predictions` has the id 5 and `label_names` 2 names"):
        tagging_scores([[1]], [[5]], ["O", "B-A"])
    with pytest.raises(ValueError, match=r"`predictions` has the id -100 and .* among the references"):
        tagging_scores([[1]], [[-100]], ["O", "B-A"])
    with pytest.raises(ValueError, match="`tags` has 'PER', which is unknown"):
        entity_report([["B-PER"]], [["PER"]])
    with pytest.raises(ValueError, match="`tags` has 'S-A', but the letters of `scheme` BIO"):
        tagging_scores([["B-A"]], [["S-A"]], scheme="BIO")


@pytest.fixture
def evaluate_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")
    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_CACHE", tmp_path / "evaluate")


def test_metric_of_evaluate(evaluate_cache):
    references, predictions = draw()
    metric = evaluate.load(token_classification.__file__)
    assert metric.module_type == "metric"
    expected = tagging_scores(references, predictions)
    assert metric.compute(references=references, predictions=predictions) == expected
    assert TokenClassificationMetric().compute(references=references, predictions=predictions) == expected
    for i in range(0, len(references), 7):
        metric.add_batch(references=references[i : i + 7], predictions=predictions[i : i + 7])
    assert metric.compute() == expected
    for reference, prediction in zip(references, predictions, strict=True):
        metric.add(reference=reference, prediction=prediction)
    assert metric.compute() == expected


def test_metric_of_evaluate_takes_ids(evaluate_cache):
    ids = {"references": [[], [1, -100, 0]], "predictions": [[], [1, 1, 1]]}
    for inputs in (ids, {name: np.array(rows[1:]) for name, rows in ids.items()}):
        scores = TokenClassificationMetric().compute(**inputs, label_names=["O", "B-PER"], scheme="BIO")
        assert scores == tagging_scores([["B-PER", "O"]], [["B-PER", "B-PER"]], scheme="BIO")
    with pytest.raises(ValueError, match="`references` has the id 1: give names of tags, or `label_names`"):
        TokenClassificationMetric().compute(**ids)


def test_compute_metrics_takes_scores_or_decoded_ids():
    names = tag_names(["PER", "LOC"], "BIO")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(names), (20, 9))
    labels[rng.random(labels.shape) < 0.3] = -100
    logits = rng.normal(size=(20, 9, len(names)))
    decoded = np.where(labels == -100, -100, rng.integers(0, len(names), labels.shape))
    compute_metrics = make_compute_metrics(names, per_type=True)

    def expected(ids):
        scores = tagging_scores(labels, ids, names)
        return scores["overall_f1"], scores["strict_f1"], scores["overall_accuracy"], scores["entities"]["LOC"]

    best, hidden = logits.argmax(-1), rng.normal(size=(20, 9, 2))
    for predictions, ids in (
        (logits, best),
        (decoded, decoded),
        ((logits, decoded), decoded),
        ((hidden, logits, (hidden, hidden)), best),
    ):
        scores = compute_metrics(EvalPrediction(predictions, labels))
        f1, strict_f1, accuracy, row = expected(ids)
        assert (scores["f1"], scores["strict_f1"], scores["accuracy"]) == (f1, strict_f1, accuracy)
        assert scores["f1_LOC"] == row["f1-score"]
        assert all(isinstance(score, float) for score in scores.values())
    with pytest.raises(ValueError, match=r"`predictions` has the shapes \[\(20, 9, 2\)\]: one has to be \(B, T, 5\)"):
        compute_metrics(EvalPrediction(hidden, labels))
    tags_of_words = make_compute_metrics(["DET", "NOUN", "VERB", "ADJ", "ADV"])(EvalPrediction(logits, labels))
    assert tags_of_words.keys() == {"accuracy", "token_macro_f1"}


class Tagger(nn.Module):
    """Gives each token the label that its input id names, and a wrong one to every seventh."""

    def __init__(self, num_labels: int, decode: bool):
        super().__init__()
        self.num_labels, self.decode, self.bias = num_labels, decode, nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, labels):
        ids = torch.where(input_ids % 7 == 0, 0, input_ids % self.num_labels)
        logits = nn.functional.one_hot(ids, self.num_labels) + self.bias
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        if self.decode:
            return {"loss": loss, "predictions": ids.masked_fill(labels == -100, -100)}
        return TokenClassifierOutput(loss=loss, logits=logits)


@pytest.mark.parametrize("decode", [False, True])
def test_under_trainer(decode, tmp_path):
    names = tag_names(["PER", "LOC"], "BIO")
    rows = [[random.randrange(50) for _ in range(random.randrange(1, 9))] for _ in range(11)]

    def collate(batch):  # batches of different length, which Trainer pads with -100 to join them
        longest = max(map(len, batch))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch])
        labels = torch.tensor([[i % len(names) for i in row] + [-100] * (longest - len(row)) for row in batch])
        return {"input_ids": ids, "labels": labels}

    arguments = TrainingArguments(str(tmp_path), per_device_eval_batch_size=3, report_to="none", use_cpu=True)
    trainer = Trainer(
        Tagger(len(names), decode),
        arguments,
        data_collator=collate,
        eval_dataset=rows,
        compute_metrics=make_compute_metrics(names),
    )
    scores = trainer.evaluate()
    references = [[names[i % len(names)] for i in row] for row in rows]
    predictions = [[names[0 if i % 7 == 0 else i % len(names)] for i in row] for row in rows]
    expected = tagging_scores(references, predictions)
    assert scores["eval_accuracy"] == expected["overall_accuracy"] < 1
    assert scores["eval_f1"] == expected["overall_f1"] < 1


def test_batches_of_an_evaluation_that_are_not_joined():
    """As `eval_do_concat_batches=False` hands them over: of several lengths, and with several outputs."""
    names, rng = ["O", "B-X", "I-X"], np.random.default_rng(0)
    logits = [rng.normal(size=(2, length, 3)) for length in (4, 6)]
    labels = [rng.integers(3, size=each.shape[:2]) for each in logits]
    compute = make_compute_metrics(names)
    padded = [np.pad(each, ((0, 0), (0, 6 - each.shape[1]), (0, 0))) for each in logits]
    marked = [np.pad(each, ((0, 0), (0, 6 - each.shape[1])), constant_values=-100) for each in labels]
    expected = compute(EvalPrediction(np.concatenate(padded), np.concatenate(marked)))
    assert compute(EvalPrediction(logits, labels)) == expected
    assert compute(EvalPrediction([(each, each[0]) for each in logits], labels)) == expected

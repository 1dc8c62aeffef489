# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The heads that classify tokens and sequences: under padding, with characters and a CRF, under Trainer."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from families import LSTM, PLAIN_TRAINING, assert_close, each_family, each_mask, random_ids
from torch import nn
from transformers import DataCollatorForTokenClassification, EvalPrediction, Trainer, TrainingArguments

from hf_lstm.data.tag_schemes import read_spans
from hf_lstm.evaluation.text_classification import classification_scores
from hf_lstm.models.sequence_classification import SequencePooler
from hf_lstm.models.text_inputs import distinct_rows


LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
NAMED = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
CHARACTERS = {"char_vocab_size": 12, "char_hidden_size": 6, "char_embedding_size": 5}
FIELDS = {
    "plain": {},
    "forward": {"bidirectional": False},
    "CRF": {"use_crf": True},
    "convolution": CHARACTERS,
    "characters one by one": CHARACTERS | {"char_encoder": "recurrent"},
    "everything": CHARACTERS
    | {"shape_vocab_size": 4, "use_crf": True, "residual_connections": True, "layer_norm": True},
}
each_tagger = pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
POOLINGS = ("last", "mean", "max", "concat", "attention")


def tagger(family, **fields):
    model = family.build("ForTokenClassification", **(NAMED | fields))
    with torch.no_grad():
        for parameter in [model.classifier.weight, *(model.crf.parameters() if model.crf else ())]:
            parameter.normal_()
    return model


def inputs_for(model, ids):
    """The ids with characters and shapes that depend on the id alone, as a tokenizer gives them."""
    inputs = {"input_ids": ids}
    generator = torch.Generator().manual_seed(5)
    if model.config.char_vocab_size:
        words = torch.randint(2, 12, (31, 7), generator=generator)
        lengths = torch.randint(0, 8, (31, 1), generator=generator)
        inputs["char_ids"] = (words * (torch.arange(7) < lengths))[ids]
    if model.config.shape_vocab_size:
        inputs["shape_ids"] = torch.randint(1, 4, (31,), generator=generator)[ids]
    return inputs


def select(inputs, row, real):
    return {name: value[row : row + 1, real] for name, value in inputs.items()}


@each_mask
@each_tagger
@each_family
def test_padded_tagger_equals_unpadded(family, fields, mask):
    model = tagger(family, **fields)
    inputs = inputs_for(model, random_ids())
    labels = torch.randint(0, 5, mask.shape)
    together = model(**inputs, attention_mask=mask, labels=labels.masked_fill(mask == 0, -100))
    losses = []
    for row, real in enumerate(mask.bool()):
        if real.any():
            alone = model(**select(inputs, row, real), labels=labels[row : row + 1, real])
            losses.append(alone.loss * real.sum())
            assert_close(together.logits[row][real], alone.logits[0])
            if model.crf:
                assert torch.equal(together.predictions[row][real], alone.predictions[0])
                assert (together.predictions[row][~real] == -100).all()
    assert_close(together.loss, sum(losses) / mask.sum())


@each_mask
@pytest.mark.parametrize("pooling", POOLINGS)
@each_family
def test_padded_classifier_equals_unpadded(family, pooling, mask):
    for bidirectional in (False, True):
        model = family.build("ForSequenceClassification", pooling=pooling, bidirectional=bidirectional, num_labels=3)
        ids = random_ids()
        together = model(ids, attention_mask=mask).logits
        for row, real in enumerate(mask.bool()):
            alone = model(ids[row : row + 1, real]).logits[0] if real.any() else model.score.bias
            assert_close(together[row], alone)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_equals_its_definition(pooling):
    config = LSTM.config(pooling=pooling, bidirectional=True)
    pooler = SequencePooler(config)
    hidden, real = torch.randn(1, 7, 20), torch.tensor([[0, 1, 1, 0, 1, 0, 0]]).bool()
    vectors = hidden[0, [1, 2, 4]]
    last = torch.cat([vectors[-1, :10], vectors[0, 10:]])
    mean, largest = vectors.mean(0), vectors.max(0).values
    if pooling == "attention":
        scores = [float(pooler.context.weight[0] @ torch.tanh(pooler.dense(vector))) for vector in vectors]
        weights = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
        expected = sum(weight * vector for weight, vector in zip(weights, vectors, strict=True))
    else:
        whole = {"last": last, "mean": mean, "max": largest, "concat": torch.cat([last, largest, mean])}
        expected = whole[pooling]
    assert_close(pooler(hidden.masked_fill(~real[..., None], 0), real)[0], expected)
    assert pooler.output_size == len(expected)


@each_family
def test_characters_equal_their_equations(family):
    """Word by word, without padding: the convolution of Ma & Hovy by hand, the layer of Lample et al. by itself."""
    for encoder in ("cnn", "recurrent"):
        module = tagger(family, **CHARACTERS, char_encoder=encoder).model.char_encoder
        words = [[3], [4, 5], [2, 2, 3, 9, 11, 4], [3], []]
        padded = torch.zeros(1, 5, 8, dtype=torch.long)
        for i, word in enumerate(words):
            padded[0, i, : len(word)] = torch.tensor(word)
        found = module(padded)[0]
        for word, vector in zip(words, found, strict=True):
            vectors = [module.embed_chars.weight[c] for c in word]
            if not word:
                expected = torch.zeros(6)
            elif encoder == "recurrent":
                outputs, _, _ = module.layer(torch.stack(vectors)[None])
                expected = torch.cat([outputs[0, -1, :3], outputs[0, 0, 3:]])
            else:
                zero, (w, b) = torch.zeros(5), (module.convolution.weight, module.convolution.bias)
                padded_word = [zero, *vectors, zero]
                windows = [torch.stack(padded_word[i : i + 3]) for i in range(len(word))]
                scores = torch.stack([(w * window.T).sum((1, 2)) + b for window in windows])
                expected = scores.max(0).values
            assert_close(vector, expected)


def test_convolution_by_tables_equals_the_convolution():
    """Values and gradients, those of the padding's embedding included, which stays zero."""
    module = tagger(LSTM, **CHARACTERS, char_kernel_size=5).double().model.char_encoder
    words = torch.randint(2, 12, (1, 9, 6)) * (torch.arange(6) < torch.randint(1, 7, (1, 9, 1)))
    real, weight = words[0] != 0, torch.randn(9, 6, dtype=torch.float64)
    scores = module.convolution(module.embed_chars(words[0]).transpose(1, 2))
    expected = scores.masked_fill(~real[:, None], -torch.inf).amax(-1)
    parameters = list(module.parameters())
    found = module(words)[0]
    assert_close(found, expected, 1e-12)
    wanted = torch.autograd.grad((expected * weight).sum(), parameters)
    assert_close(torch.autograd.grad((found * weight).sum(), parameters), wanted, 1e-12)


def test_distinct_rows():
    rows = torch.randint(0, 3, (200, 4))
    words, index = distinct_rows(rows)
    assert torch.equal(words[index], rows) and len(words) == len(rows.unique(dim=0))
    same = torch.zeros(5, 3, dtype=torch.long)
    assert [len(part) for part in distinct_rows(same)] == [1, 5]


def test_distinct_rows_survive_a_collision(monkeypatch):
    monkeypatch.setattr("hf_lstm.models.text_inputs.HASH_BASE", 0)
    rows = torch.arange(12).view(3, 4)
    words, index = distinct_rows(rows)
    assert torch.equal(words[index], rows)


def legal(path):
    """BIO: an I- follows a B- or I- of its type."""
    names = ["O", *(LABELS[i] for i in path)]
    return all(b[0] != "I" or a[1:] == b[1:] != "" for a, b in itertools.pairwise(names))


def spans_of(path):
    return set(read_spans([LABELS[i] for i in path], "BIO"))


@each_family
def test_crf_equals_enumeration(family):
    """Loss, best legal path, posteriors and `argmax` of the logits against all 5 ** 4 paths."""
    model = tagger(family, use_crf=True)
    ids, gold = random_ids(1, 4), [3, 4, 0, 1]
    model.train()
    emissions = model(ids, labels=torch.tensor([gold])).logits[0]
    model.eval()
    out = model(ids, labels=torch.tensor([gold]), output_marginals=True)
    crf = model.crf

    def score(path):
        total = crf.start_transitions[path[0]] + crf.end_transitions[path[-1]]
        total = total + sum(emissions[t, k] for t, k in enumerate(path))
        return total + sum(crf.transitions[i, j] for i, j in itertools.pairwise(path))

    with torch.no_grad():
        paths = list(itertools.product(range(5), repeat=4))
        scores = torch.stack([score(path) for path in paths])
        assert_close(out.loss, (scores.logsumexp(0) - score(gold)) / 4)
        allowed = [i for i, path in enumerate(paths) if legal(path)]
        best = max(allowed, key=lambda i: scores[i])
        assert out.predictions[0].tolist() == list(paths[best]) == out.logits[0].argmax(-1).tolist()
        weights = scores[allowed].softmax(0)
        posterior = torch.zeros(4, 5)
        for weight, i in zip(weights, allowed, strict=True):
            posterior[torch.arange(4), list(paths[i])] += weight
    assert_close(out.marginals[0], posterior)
    found = model(ids, output_entity_probabilities=True).entity_probabilities[0]
    assert spans_of(paths[best])
    for span in spans_of(paths[best]):
        expected = sum(weight for weight, i in zip(weights, allowed, strict=True) if span in spans_of(paths[i]))
        assert all((found[t] - expected).abs() < 1e-5 for t in range(span.start, span.end))
    agree = posterior.argmax(-1) == out.predictions[0]
    assert agree.any()
    assert_close(out.logits[0].softmax(-1)[agree], posterior[agree])


@each_tagger
@each_family
def test_labels_of_minus_100_are_as_good_as_absent(family, fields):
    """Wherever they stand. To the CRF the labelled tokens follow one another, and `tag_mask` does the same."""
    model = tagger(family, **fields)
    inputs = inputs_for(model, random_ids(2, 6))
    labels = torch.tensor([[1, -100, 2, -100, -100, 0], [-100, -100, -100, -100, 3, -100]])
    out = model(**inputs, labels=labels)
    filled = labels.masked_fill(labels == -100, 4)
    other = model(**inputs, labels=filled, tag_mask=labels != -100)
    assert_close(out.loss, other.loss)
    assert_close(out.logits[labels != -100], other.logits[labels != -100])
    if model.crf:
        model.train()
        scores = model(**inputs, labels=labels).logits
        compressed = model.crf(scores[0, [0, 2, 5]][None], torch.tensor([[1, 2, 0]]))
        alone = model.crf(scores[1, [4]][None], torch.tensor([[3]]))
        assert_close(out.loss, (compressed.sum() + alone.sum()) / 4)
        assert (out.predictions == -100).eq(labels == -100).all()


@each_tagger
def test_no_label_at_all(fields):
    model = tagger(LSTM, **fields).train()
    inputs = inputs_for(model, random_ids(2, 3))
    loss = model(**inputs, labels=torch.full((2, 3), -100)).loss
    loss.backward()
    assert loss == 0 and all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("fields", [{}, {"use_crf": True}, {"bidirectional": False}, {"embedding_size": 5}], ids=str)
@each_mask
@each_family
def test_loss_of_neighbours(family, mask, fields):
    """Token by token: each direction predicts the real token that it comes to next, and evaluation does without."""
    fields = {"num_hidden_layers": 1, **fields}
    model = tagger(family, **fields, lm_loss_coef=0.3).train()
    ids, labels = random_ids(), torch.randint(0, 5, mask.shape).masked_fill(mask == 0, -100)
    found = model(ids, attention_mask=mask, labels=labels).loss
    model.config.lm_loss_coef = 0
    expected = model(ids, attention_mask=mask, labels=labels).loss * (labels != -100).sum()
    table = model.model.embed_tokens.weight
    for row, real in enumerate(mask.bool()):
        words = ids[row, real]
        for direction, dense in enumerate(model.neighbours.dense if real.any() else ()):
            outputs = model.model(ids[row : row + 1, real]).last_hidden_state[0].chunk(len(model.neighbours.dense), -1)
            step = 1 if direction == 0 else -1
            pairs = list(itertools.pairwise(range(len(words))[::step]))
            for now, following in pairs:
                scores = table @ torch.tanh(dense(outputs[direction][now]))
                expected = expected + 0.3 * (scores.logsumexp(0) - scores[words[following]])
    assert_close(found, expected / (labels != -100).sum())
    model.config.lm_loss_coef = 0.3
    plain = tagger(family, **fields)
    plain.load_state_dict(model.state_dict(), strict=False)
    assert_close(model.eval()(ids, attention_mask=mask, labels=labels).loss, plain(ids, mask, labels=labels).loss)


def test_loss_of_neighbours_needs_tokens():
    model = tagger(LSTM, num_hidden_layers=1, lm_loss_coef=0.1).train()
    with pytest.raises(ValueError, match="`input_ids` are missing"):
        model(inputs_embeds=torch.randn(1, 2, model.config.input_size), labels=torch.zeros(1, 2, dtype=torch.long))


def test_partly_labelled_sentences():
    """All labels allowed: nothing to learn. One allowed: as `labels`."""
    model = tagger(LSTM, use_crf=True)
    ids, labels = random_ids(2, 4), torch.randint(0, 5, (2, 4))
    everything = torch.ones(2, 4, 5, dtype=torch.bool)
    assert_close(model(ids, allowed_tags=everything).loss, torch.tensor(0.0))
    assert_close(model(ids, allowed_tags=F.one_hot(labels, 5).bool()).loss, model(ids, labels=labels).loss)
    some = F.one_hot(labels, 5).bool() | F.one_hot((labels + 1) % 5, 5).bool()
    assert 0 < model(ids, allowed_tags=some).loss < model(ids, labels=labels).loss


@each_family
def test_heads_read_in_the_direction_that_suits_them(family):
    config = family.config()
    assert config.bidirectional is None
    directions = {
        "Model": False,
        "ForCausalLM": False,
        "ForSequenceClassification": False,
        "ForTokenClassification": True,
    }
    for head, bidirectional in directions.items():
        assert family.head(head)(config).config.bidirectional is bidirectional
    assert config.bidirectional is None
    assert family.head("ForTokenClassification")(family.config(bidirectional=False)).config.bidirectional is False


def rows_of(lengths, labels=5):
    generator = np.random.default_rng(0)
    return [
        {"input_ids": generator.integers(1, 31, n).tolist(), "labels": generator.integers(0, labels, n).tolist()}
        for n in lengths
    ]


class Collator:
    """What DataCollatorForTokenClassification does, without a tokenizer."""

    def __call__(self, rows):
        longest = max(len(row["input_ids"]) for row in rows)
        pad = lambda name, value: [row[name] + [value] * (longest - len(row[name])) for row in rows]  # noqa: E731
        mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
        batch = {"input_ids": pad("input_ids", 0), "labels": pad("labels", -100), "attention_mask": mask}
        return {name: torch.tensor(value) for name, value in batch.items()}


@pytest.mark.parametrize("use_crf", [False, True], ids=["softmax", "CRF"])
@each_family
def test_accumulated_batches_equal_one(family, use_crf, tmp_path):
    rows, weights = rows_of([3, 9, 1, 5, 2, 7]), []
    for batch_size, steps in ((6, 1), (2, 3), (1, 6)):
        torch.manual_seed(0)
        model = tagger(family, use_crf=use_crf)
        sizes = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": steps}
        arguments = TrainingArguments(tmp_path, max_steps=2, **sizes, **PLAIN_TRAINING)
        Trainer(model, arguments, data_collator=Collator(), train_dataset=rows).train()
        weights.append([p.detach().clone() for p in model.parameters()])
    assert_close(weights[1], weights[0])
    assert_close(weights[2], weights[0])


@each_family
def test_trainer_evaluates_the_decoder(family, tmp_path):
    """`argmax` of what a metric gets is the path that the model predicts, in batches of unequal sentences."""
    model, rows = tagger(family, use_crf=True), rows_of([3, 9, 1, 5, 2, 7])
    seen = {}

    def compute_metrics(prediction: EvalPrediction):
        assert isinstance(prediction.predictions, np.ndarray)
        seen["paths"] = prediction.predictions.argmax(-1)
        return {"accuracy": (seen["paths"] == prediction.label_ids)[prediction.label_ids != -100].mean()}

    arguments = TrainingArguments(tmp_path, per_device_eval_batch_size=2, **PLAIN_TRAINING)
    trainer = Trainer(model, arguments, data_collator=Collator(), eval_dataset=rows, compute_metrics=compute_metrics)
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] > 0
    for row, path in zip(rows, seen["paths"], strict=True):
        expected = model(torch.tensor([row["input_ids"]])).predictions[0].tolist()
        assert path[: len(expected)].tolist() == expected and legal(expected)


@each_family
def test_subclass_of_any_name_trains_by_its_own_loss(family, tmp_path):
    subclass = type("MyOwnTagger", (family.head("ForTokenClassification"),), {})
    model = subclass(family.config(use_crf=True, **NAMED))
    ids, labels = random_ids(2, 4), torch.randint(0, 5, (2, 4))
    twin = family.head("ForTokenClassification")(model.config)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model(ids, labels=labels).loss, twin(ids, labels=labels).loss)


def test_label_smoothing(tmp_path):
    """Trainer does it from the logits, which a softmax head allows; with a CRF it would train without the CRF."""
    arguments = TrainingArguments(tmp_path, max_steps=1, label_smoothing_factor=0.1, **PLAIN_TRAINING)
    for use_crf in (False, True):
        trainer = Trainer(
            tagger(LSTM, use_crf=use_crf), arguments, data_collator=Collator(), train_dataset=rows_of([3, 4])
        )
        if use_crf:
            with pytest.raises(ValueError, match="`label_smoothing_factor`"):
                trainer.train()
        else:
            trainer.train()


@each_family
def test_word_dropout(family):
    """In training only: that share of the tokens is read as unknown."""
    model = family.build("Model", word_dropout=0.3, unk_token_id=1, vocab_size=31)
    ids = torch.full((50, 40), 7)
    assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)
    seen = []
    model.embed_tokens.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.train()(ids)
    assert set(seen[0].unique().tolist()) == {1, 7}
    assert 0.25 < (seen[0] == 1).float().mean() < 0.35


@pytest.mark.parametrize(
    ("problem", "labels", "loss"),
    [
        ("single_label_classification", torch.tensor([0, 2]), nn.CrossEntropyLoss()),
        ("multi_label_classification", torch.tensor([[0.0, 1, 1], [1, 0, 0]]), nn.BCEWithLogitsLoss()),
        ("regression", torch.tensor([[0.5, 1, -1], [3, 0, 0]]), nn.MSELoss()),
    ],
)
@each_family
def test_problem_types(family, problem, labels, loss):
    for name in (problem, None):
        if name is None and problem == "regression":
            continue  # numbers for several outputs look like several labels
        model = family.build("ForSequenceClassification", num_labels=3, problem_type=name)
        out = model(random_ids(2, 5), labels=labels)
        assert_close(out.loss, loss(out.logits, labels))
    one = family.build("ForSequenceClassification", num_labels=1)
    out = one(random_ids(2, 5), labels=torch.tensor([0.5, 2.0]))
    assert_close(out.loss, nn.MSELoss()(out.logits[:, 0], torch.tensor([0.5, 2.0])))


REFUSED = {
    "`labels` has shape \\(2, 3\\), expected \\(2, 4\\)": {"labels": torch.zeros(2, 3, dtype=torch.long)},
    "`labels` holds 5, but `num_labels` is 5": {"labels": torch.full((2, 4), 5)},
    "`labels` holds -1, but": {"labels": torch.full((2, 4), -1)},
    "`char_ids` are missing": {"char_ids": None},
    "`shape_ids` are missing": {"shape_ids": None},
    "`char_ids` has shape \\(2, 4\\)": {"char_ids": torch.ones(2, 4, dtype=torch.long)},
    "`char_ids` holds ids from 99 to 99": {"char_ids": torch.full((2, 4, 3), 99)},
    "`shape_ids` holds ids from 9 to 9": {"shape_ids": torch.full((2, 4), 9)},
    "`shape_ids` has shape": {"shape_ids": torch.ones(2, 4)},
    "`cache` is no argument": {"cache": 3},
}


@pytest.mark.parametrize(("message", "change"), REFUSED.items(), ids=REFUSED)
@each_family
def test_bad_input_is_refused(family, message, change):
    model = tagger(family, **FIELDS["everything"])
    inputs = inputs_for(model, random_ids(2, 4)) | change
    with pytest.raises((ValueError, TypeError), match=message):
        model(**inputs)


@each_family
def test_what_has_no_crf_or_no_characters_says_so(family):
    model, ids = tagger(family), random_ids(2, 4)
    with pytest.raises(ValueError, match="`char_ids` were given, but `char_vocab_size` is 0"):
        model(ids, char_ids=torch.ones(2, 4, 3, dtype=torch.long))
    for name in ("output_marginals", "output_entity_probabilities"):
        with pytest.raises(ValueError, match=f"`{name}` was given, but this model has no CRF"):
            model(ids, **{name: True})
    with pytest.raises(ValueError, match="`char_vocab_size=12` gives the model features of whole words"):
        family.build("ForCausalLM", **CHARACTERS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"char_kernel_size": 2}, "`char_kernel_size` must be odd"),
        ({"char_encoder": "recurrent", "char_hidden_size": 5}, "`char_hidden_size` must be even"),
        ({"char_vocab_size": -1}, "`char_vocab_size` must be at least 0"),
        ({"lm_loss_coef": -0.1}, "`lm_loss_coef` must be a finite number of at least 0"),
        ({"lm_loss_coef": 0.1, "num_hidden_layers": 2}, "seen with `num_hidden_layers=2`"),
        ({"lm_loss_coef": 0.1, "num_hidden_layers": 1, "layer_norm": True}, "seen with `layer_norm=True`"),
        ({"shape_embedding_size": 0}, "`shape_embedding_size` must be a whole number of at least 1"),
        ({"word_dropout": 0.1}, "`word_dropout=0.1` turns tokens into `unk_token_id`"),
        ({"word_dropout": 1.5, "unk_token_id": 1}, "`word_dropout` is a probability"),
        ({"unk_token_id": 31}, "`unk_token_id` must lie between"),
    ],
)
@each_family
def test_configurations_that_cannot_work_are_refused(family, fields, message):
    with pytest.raises(ValueError, match=message):
        family.config(**fields)


def test_collator_of_transformers_needs_no_more_than_a_tokenizer():
    from hf_lstm import LSTMTokenizer

    tokenizer = LSTMTokenizer.train_from_iterator(["a b c"], kind="word", show_progress=False)
    batch = DataCollatorForTokenClassification(tokenizer)(rows_of([3, 1]))
    assert batch["labels"].tolist()[1][1:] == [-100, -100]


def test_scores_of_batches_that_are_not_joined():
    """As `eval_do_concat_batches=False` hands them over."""
    logits, labels = torch.randn(5, 3).numpy(), torch.randint(3, (5,)).numpy()
    whole, parts = EvalPrediction(logits, labels), EvalPrediction([logits[:3], logits[3:]], [labels[:3], labels[3:]])
    expected = classification_scores(whole, "single_label_classification")
    assert classification_scores(parts, "single_label_classification") == expected


def test_scores_leave_out_what_has_no_label_and_take_several_numbers():
    logits = np.array([[2.0, 1.0], [0.0, 3.0], [4.0, 1.0]])
    scores = classification_scores(EvalPrediction(logits, np.array([0, -100, 1])), "single_label_classification")
    assert scores["accuracy"] == 0.5
    assert classification_scores(EvalPrediction(logits, logits + 1), "regression") == {"mse": 1.0, "mae": 1.0}


@pytest.mark.parametrize("mixed", [True, False])
def test_numbers_to_learn_are_not_rounded(mixed):
    """In bf16 1001 would be 1000."""
    model = LSTM.build("ForSequenceClassification", num_labels=1)
    model = model if mixed else model.bfloat16()
    inputs, labels = random_ids(2, 5), torch.tensor([1001.0, 1003.0])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        outputs = model(inputs, labels=labels)
    assert outputs.logits.dtype == torch.bfloat16
    assert_close(outputs.loss, (outputs.logits.float()[:, 0] - labels).square().mean(), 1e-6)


def test_labels_that_do_not_fit_decide_nothing():
    model = LSTM.build("ForSequenceClassification", num_labels=3, problem_type=None)
    with pytest.raises(ValueError, match="`labels` has shape"):
        model(random_ids(2, 3), labels=torch.tensor([1.0, 0.0]))
    assert model.config.problem_type is None
    model(random_ids(2, 3), labels=torch.tensor([1, 0]))
    assert model.config.problem_type == "single_label_classification"

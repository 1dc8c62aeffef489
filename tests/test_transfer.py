# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""From a language model to a classifier: its weights arrive, and each layer learns when and as fast as it should."""

import json
from fractions import Fraction
from itertools import pairwise

import datasets
import pytest
import torch
import transformers
from families import LSTM, PLAIN_TRAINING, assert_close, each_family, random_ids
from test_examples import load
from transformers import DefaultDataCollator, TrainingArguments

from hf_lstm import LSTMTokenizer
from hf_lstm.training.arguments import ClassifierArguments
from hf_lstm.training.batching import LengthBatchingTrainer
from hf_lstm.training.encoder_arguments import EncoderArguments
from hf_lstm.training.transfer import (
    FineTuningTrainer,
    GradualUnfreezing,
    layer_groups,
    parameter_groups,
    slanted_triangular,
)


CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification")
each_classifier = pytest.mark.parametrize("head", CLASSIFIERS)


@pytest.mark.parametrize("auto", [False, True], ids=["class", "auto class"])
@each_classifier
@each_family
def test_a_language_model_becomes_the_backbone(family, head, auto, tmp_path):
    """Bit for bit and in its one direction, even under the head that reads in both by default."""
    source = family.build("ForCausalLM", layer_norm=True)
    source.save_pretrained(tmp_path)
    loader = getattr(transformers, f"AutoModel{head}") if auto else family.head(head)
    model, report = loader.from_pretrained(tmp_path, num_labels=5, output_loading_info=True)
    assert type(model) is family.head(head) and model.num_labels == 5
    expected = source.model.state_dict()
    assert expected.keys() == model.model.state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.model.state_dict().items())
    assert {name.split(".")[0] for name in report["missing_keys"]} <= {"classifier", "score", "pooler"}
    assert set(report["unexpected_keys"]) == {"lm_head.bias", "projection.weight"}
    ids = random_ids()
    assert torch.equal(model.model(ids).last_hidden_state, source.model(ids).last_hidden_state)


@each_family
def test_both_directions_are_on_request_and_never_silent(family, tmp_path):
    """The forward direction comes from the language model, and the other one is reported as new."""
    source = family.build("ForCausalLM", num_hidden_layers=1)
    source.save_pretrained(tmp_path)
    model, report = family.head("ForTokenClassification").from_pretrained(
        tmp_path, bidirectional=True, output_loading_info=True
    )
    layer = model.model.layers[0]
    assert torch.equal(layer.weight_hh_l0, source.model.layers[0].weight_hh_l0)
    reverse = {f"model.layers.0.{name}" for name, _ in layer.named_parameters() if name.endswith("_reverse")}
    assert len(reverse) == 4 and reverse < set(report["missing_keys"])


def names(groups) -> list[set[str]]:
    return [set(group) for group in groups]


@each_family
def test_layer_groups(family):
    fields = {"num_hidden_layers": 2, "layer_norm": True, "char_vocab_size": 5, "shape_vocab_size": 3, "use_crf": True}
    model = family.build("ForTokenClassification", **fields)
    groups = layer_groups(model)
    assert len(groups) == 4
    assert {name for group in groups for name in group} == {name for name, _ in model.named_parameters()}
    assert sum(map(len, groups)) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        expected = 3
        if name.startswith(("model.layers.", "model.norms.")):
            expected = 1 + int(name.split(".")[2])
        elif name.startswith("model."):
            expected = 0
        assert groups[expected][name] is parameter


def test_layer_groups_of_other_models():
    tied = LSTM.build("ForCausalLM", embedding_size=None, lm_head_bias=False, num_hidden_layers=1)
    assert len(layer_groups(tied)) == 2  # no head of its own
    assert names(layer_groups(tied))[0] == {"model.embed_tokens.weight"}
    assert len(layer_groups(LSTM.build("Model"))) == 3
    with pytest.raises(ValueError, match="`model` is a Linear, no model of hf_lstm"):
        layer_groups(torch.nn.Linear(2, 2))


def test_parameter_groups_have_the_rates_of_the_paper():
    model = LSTM.build("ForSequenceClassification", num_hidden_layers=2, layer_norm=True)
    model.model.embed_tokens.weight.requires_grad_(False)
    found = {}
    for group in parameter_groups(model, 0.1, weight_decay=0.01):
        found |= dict.fromkeys(group["params"], (group["lr"], group["weight_decay"]))
    for name, parameter in model.named_parameters():
        if name == "model.embed_tokens.weight":
            assert parameter not in found
            continue
        depth = 0 if name.startswith("score") else 2 - int(name.split(".")[2])
        plain = name.startswith("model.norms") or "bias" in name
        assert found[parameter] == (pytest.approx(0.1 / 2.6**depth), 0.0 if plain else 0.01), name
    with pytest.raises(ValueError, match="`factor` is 0"):
        parameter_groups(model, 0.1, factor=0)


def equation_3(t, T, cut_frac, ratio):
    """As printed, in exact numbers."""
    cut = T * cut_frac // 1
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    return (1 + p * (ratio - 1)) / ratio


@pytest.mark.parametrize("steps, cut_frac, ratio", [(100, "1/10", 32), (40, "1/4", 8), (100, "7/100", 32)], ids=str)
def test_slanted_triangle_is_equation_3(steps, cut_frac, ratio):
    cut_frac = Fraction(cut_frac)
    for step in range(steps + 1):
        expected = equation_3(Fraction(step), Fraction(steps), cut_frac, Fraction(ratio))
        assert slanted_triangular(step, steps, float(cut_frac), ratio) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("steps", [1, 5, 19, 105])
def test_slanted_triangle_of_any_number_of_steps(steps):
    rates = [slanted_triangular(step, steps) for step in range(steps + 1)]
    cut = steps // 10
    assert max(rates) == rates[cut] == 1 and rates[-1] == pytest.approx(1 / 32)
    assert all(a < b for a, b in pairwise(rates[: cut + 1]))
    assert all(a > b for a, b in pairwise(rates[cut:]))
    if steps == 105:  # as printed, the equation goes below zero
        assert equation_3(Fraction(104), Fraction(105), Fraction(1, 10), Fraction(32)) < 0 < rates[104]


def trainer_for(model, folder, *callbacks, kind=FineTuningTrainer, options=None, **arguments):
    """Four steps an epoch."""
    rows = [{"input_ids": ids, "labels": sum(ids) % 2} for ids in random_ids(8, 5).tolist()]
    given = {"output_dir": str(folder), "per_device_train_batch_size": 2, "num_train_epochs": 3, **arguments}
    return kind(
        model,
        TrainingArguments(**(PLAIN_TRAINING | given)),
        train_dataset=rows,
        data_collator=DefaultDataCollator(),
        callbacks=list(callbacks),
        **(options or {}),
    )


def test_trainer_follows_the_slanted_triangle(tmp_path):
    model = LSTM.build("ForSequenceClassification", num_labels=2)
    trainer = trainer_for(model, tmp_path, learning_rate=0.5, options={"cut_frac": 0.2, "ratio": 4})
    trainer.create_optimizer_and_scheduler(10)
    for step in range(11):
        highest = 0.5 * slanted_triangular(step, 10, 0.2, 4)
        rates = {round(group["lr"] / highest, 9) for group in trainer.optimizer.param_groups}
        assert rates == {round(2.6**-depth, 9) for depth in range(4)}
        assert trainer.lr_scheduler.get_last_lr()[0] == pytest.approx(highest)  # the one in the logs
        trainer.optimizer.step()
        trainer.lr_scheduler.step()


def test_one_step_equals_a_step_by_hand(tmp_path):
    model = LSTM.build("ForSequenceClassification", num_labels=2)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    trainer = trainer_for(model, tmp_path, max_steps=1, per_device_train_batch_size=8, learning_rate=0.5)
    model(**next(iter(trainer.get_train_dataloader()))).loss.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    trainer.train()
    after = dict(model.named_parameters())
    for depth, group in enumerate(reversed(layer_groups(model))):
        for name in group:
            assert_close(after[name], before[name] - 0.5 / 2.6**depth * gradients[name])


class Watch(transformers.TrainerCallback):
    """Which groups moved in each step."""

    def __init__(self):
        self.moved, self.last = [], None

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        self.last = [[p.detach().clone() for p in group.values()] for group in layer_groups(model)]

    def on_step_end(self, args, state, control, model=None, **kwargs):
        now = [list(group.values()) for group in layer_groups(model)]
        pairs = zip(self.last, now, strict=True)
        self.moved.append([any(not torch.equal(a, b) for a, b in zip(*pair, strict=True)) for pair in pairs])


@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
@each_family
def test_layers_join_from_the_top(family, optim, tmp_path):
    """Embeddings, two layers, head: one more an epoch of four steps; weight decay moves no frozen one either."""
    model, watch = family.build("ForSequenceClassification", num_labels=2), Watch()
    arguments = {"num_train_epochs": 5, "optim": optim, "weight_decay": 0.1, "learning_rate": 0.01}
    trainer_for(model, tmp_path, GradualUnfreezing(), watch, **arguments).train()
    assert watch.moved == [[group >= 3 - step // 4 for group in range(4)] for step in range(20)]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_fractions_of_an_epoch_and_frozen_parameters(tmp_path):
    model, watch = LSTM.build("ForSequenceClassification", num_labels=2), Watch()
    model.model.embed_tokens.weight.requires_grad_(False)
    trainer_for(model, tmp_path, GradualUnfreezing(0.5), watch, num_train_epochs=2).train()
    assert watch.moved == [[0 < group >= 3 - step // 2 for group in range(4)] for step in range(8)]
    assert not model.model.embed_tokens.weight.requires_grad
    with pytest.raises(ValueError, match="`epochs_per_group` is 0"):
        GradualUnfreezing(0)


@pytest.mark.parametrize(
    "checkpoint", [pytest.param(3, marks=pytest.mark.slow), 4, pytest.param(6, marks=pytest.mark.slow)]
)
def test_resumed_training_goes_on_with_the_same_layers(checkpoint, tmp_path):
    """Within and between epochs, and with the state of an optimizer in which some groups have none yet."""
    models, moved = [], []
    for resume in (None, str(tmp_path / f"checkpoint-{checkpoint}")):
        transformers.set_seed(0)
        model, watch = LSTM.build("ForSequenceClassification", num_labels=2), Watch()
        arguments = {"optim": "adamw_torch", "learning_rate": 0.01, "save_strategy": "steps", "save_steps": 1}
        trainer = trainer_for(model, tmp_path, GradualUnfreezing(), watch, weight_decay=0.1, **arguments)
        trainer.train(resume_from_checkpoint=resume)
        models.append(list(model.parameters()))
        moved.append(watch.moved)
    assert moved[1] == moved[0][checkpoint:]
    assert_close(models[1], models[0], 0)


def test_joins_with_batches_by_budget(tmp_path):
    class Both(FineTuningTrainer, LengthBatchingTrainer):
        pass

    model = LSTM.build("ForSequenceClassification", num_labels=2)
    trainer = trainer_for(model, tmp_path, kind=Both, options={"max_tokens": 10}, num_train_epochs=1)
    trainer.train()
    assert trainer.state.global_step == len(trainer.get_train_dataloader())
    assert len(trainer.optimizer.param_groups) > 2


def test_trainer_refuses_what_cannot_work(tmp_path):
    model = LSTM.build("ForSequenceClassification")
    for name, value in (("cut_frac", 1.0), ("ratio", 0.5), ("factor", 0)):
        with pytest.raises(ValueError, match=f"`{name}` is {value}"):
            trainer_for(model, tmp_path, options={name: value})


@pytest.mark.parametrize("flag", [[], ["--from_scratch"]])
def test_example_fine_tunes_a_language_model(flag, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    lines = "".join(f"{'NUM when' if i % 2 else 'LOC where'} was it ?\n" for i in range(40))
    (tmp_path / "lines.txt").write_text(lines)
    tokenizer = LSTMTokenizer.train_from_iterator([lines], "word", show_progress=False)
    source = LSTM.build("ForCausalLM", vocab_size=len(tokenizer))
    for part in (source, tokenizer):
        part.save_pretrained(tmp_path / "lm")
    options = {"train_file": "lines.txt", "output_dir": "run", "pretrained_model": "lm"}
    command_line = [part for name, value in options.items() for part in (f"--{name}", str(tmp_path / value))]
    flags = ["--discriminative", "--gradual_unfreezing", "--use_cpu", "--num_train_epochs", "1"]
    load("train_text_classification").main([*command_line, *flags, *flag, "--patience", "9"])
    model = LSTM.head("ForSequenceClassification").from_pretrained(tmp_path / "run")
    assert set(model.config.label2id) == {"LOC", "NUM"} and not model.config.bidirectional
    weights = source.model.state_dict()  # in the first epoch the head alone learns
    found = model.model.state_dict()
    if flag:  # all but biases, which begin at zero
        assert not any(torch.equal(value, weights[name]) for name, value in found.items() if value.any())
    else:
        assert all(torch.equal(value, weights[name]) for name, value in found.items())
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    rates = [entry["learning_rate"] for entry in state["log_history"] if "learning_rate" in entry]
    assert rates[0] == pytest.approx(3e-3 * slanted_triangular(0, state["max_steps"]))


def test_example_from_scratch_needs_a_model():
    with pytest.raises(ValueError, match="`from_scratch` is True without a `pretrained_model`"):
        load("train_text_classification").main(["--from_scratch"])


def test_nothing_that_is_asked_for_is_left_out_in_silence():
    with pytest.raises(ValueError, match="`adversarial` is 'virtual' without `epsilon`"):
        ClassifierArguments(adversarial="virtual")
    arguments = ClassifierArguments(pretrained_model="lm", characters=True)
    with pytest.raises(ValueError, match="`encoder` is 'bert', which does not go with `pretrained_model='lm'`"):
        arguments.trainer(EncoderArguments(encoder="bert"))
    tokenizer = LSTMTokenizer.train_from_iterator(["a b"], "word", show_progress=False)
    with pytest.raises(ValueError, match="`characters` is True, but the tokenizer of `pretrained_model`, 'lm', has"):
        arguments.config(tokenizer, ["a", "b"], "single_label_classification")

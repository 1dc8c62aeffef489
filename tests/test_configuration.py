# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Configurations: what they refuse, what they derive, and that they come back from disk as they were."""

import dataclasses
import json

import pytest
import transformers
from families import FAMILIES, GRU, LSTM, RNN, each_family
from huggingface_hub.errors import StrictDataclassFieldValidationError

from hf_lstm import LSTMForCausalLM


BAD_VALUES = [
    ({"vocab_size": 0}, "vocab_size", "0"),
    ({"hidden_size": -3}, "hidden_size", "-3"),
    ({"num_hidden_layers": 0}, "num_hidden_layers", "0"),
    ({"embedding_size": -1}, "embedding_size", "-1"),
    ({"embedding_dropout": 1.0}, "embedding_dropout", "1.0"),
    ({"input_dropout": -0.1}, "input_dropout", "-0.1"),
    ({"hidden_dropout": 2}, "hidden_dropout", "2"),
    ({"output_dropout": float("nan")}, "output_dropout", "nan"),
    ({"recurrent_weight_dropout": 1.0}, "recurrent_weight_dropout", "1.0"),
    ({"activation_regularization": -1.0}, "activation_regularization", "-1.0"),
    ({"temporal_activation_regularization": float("inf")}, "temporal_activation_regularization", "inf"),
    ({"hidden_sizes": []}, "hidden_sizes", "[]"),
    ({"hidden_sizes": [8, 0, 4]}, "hidden_sizes", "[8, 0, 4]"),
    ({"initializer_range": 0.0}, "initializer_range", "0.0"),
    ({"initializer_range": float("inf")}, "initializer_range", "inf"),
    ({"chrono_max_length": 1}, "chrono_max_length", "1"),
    ({"layer_norm_eps": -1e-5}, "layer_norm_eps", "-1e-05"),
    ({"vocab_size": 10, "pad_token_id": 10}, "pad_token_id", "10"),
    ({"vocab_size": 10, "bos_token_id": -1}, "bos_token_id", "-1"),
    ({"vocab_size": 10, "eos_token_id": [3, 11]}, "eos_token_id", "[3, 11]"),
]
BAD_TYPES = [
    {"hidden_size": "256"},
    {"hidden_size": True},
    {"hidden_size": 256.0},
    {"input_dropout": "0.1"},
    {"bidirectional": 1},
    {"initializer": "xavier"},
    {"chrono_max_length": 400.0},
    {"tie_word_embeddings": None},
    {"variational_dropout": "yes"},
    {"hidden_sizes": 8},
    {"hidden_sizes": [8, 4.0]},
    {"activation_regularization": None},
]
MISSPELT = {
    "hiden_size": "hidden_size",
    "num_layers": None,
    "hidden_dropuot": "hidden_dropout",
    "dropout": None,
    "bidirectionnal": "bidirectional",
    "vocabsize": "vocab_size",
    "tie_embeddings": "tie_word_embeddings",
    "temperature": None,
}


# What people type who come from elsewhere, and the field that they are to use.
FROM_ELSEWHERE = {
    "num_layers": "num_hidden_layers",
    "n_layers": "num_hidden_layers",
    "dropout": "hidden_dropout",
    "input_size": "embedding_size",
    "hidden_dim": "hidden_size",
    "units": "hidden_size",
    "proj_size": "projection_size",
    "embedding_dim": "embedding_size",
}
OPTIONS_OF_HEADS = {
    "ForCausalLM": {"output_layer": "mixture", "num_softmaxes": 3, "activation_regularization": 2.0},
    "ForTokenClassification": {"use_crf": True, "tag_scheme": "BIO"},
    "ForSequenceClassification": {"pooling": "attention"},
}


@pytest.mark.parametrize(("fields", "name", "value"), BAD_VALUES, ids=[str(case[0]) for case in BAD_VALUES])
@each_family
def test_bad_values_are_refused(family, fields, name, value):
    with pytest.raises(ValueError) as error:
        family.config_class(**fields)
    assert f"`{name}`" in str(error.value) and value in str(error.value)


@pytest.mark.parametrize("fields", BAD_TYPES, ids=str)
@each_family
def test_bad_types_are_refused(family, fields):
    with pytest.raises(StrictDataclassFieldValidationError, match=next(iter(fields))):
        family.config_class(**fields)


@pytest.mark.parametrize(("name", "meant"), MISSPELT.items(), ids=MISSPELT)
@each_family
def test_misspelt_names_are_refused(family, name, meant):
    with pytest.raises(ValueError, match=f"`{name}`") as error:
        family.config_class(**{name: 1})
    assert ("Did you mean" in str(error.value)) == (meant is not None)
    assert meant is None or f"`{meant}`" in str(error.value)


def test_fields_of_another_family_are_refused():
    owners = {"projection_size": LSTM, "forget_gate_bias": LSTM, "nonlinearity": RNN}
    for family, field in ((GRU, "projection_size"), (RNN, "forget_gate_bias"), (LSTM, "nonlinearity")):
        with pytest.raises(ValueError, match=f"`{field}`.* a field of `{owners[field]}Config`"):
            family.config_class(**{field: 1})


@pytest.mark.parametrize(("name", "ours"), FROM_ELSEWHERE.items(), ids=FROM_ELSEWHERE)
def test_names_of_other_packages_get_a_pointer(name, ours, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}`.*`{ours}`"):
        LSTM.config_class(**{name: 2})
    LSTM.config_class().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"`{name}`.*`{ours}`"):
        transformers.AutoConfig.from_pretrained(tmp_path, **{name: 2})
    assert ours in {field.name for field in dataclasses.fields(LSTM.config_class)}


@pytest.mark.parametrize(("head", "options"), OPTIONS_OF_HEADS.items(), ids=OPTIONS_OF_HEADS)
@each_family
def test_options_of_another_head_are_refused(family, head, options, tmp_path):
    """And say whose they are. A backbone keeps them for the head that it may get."""
    for other in OPTIONS_OF_HEADS.keys() - {head}:
        for name, value in options.items():
            refusal = f"`{name}={value!r}` is an option of `{family}{head}`, .* on `{family}{other}`"
            with pytest.raises(ValueError, match=refusal):
                family.head(other)(family.config(**{name: value}))
    model = family.head(head)(family.config(bidirectional=False, **options))
    family.head("Model")(family.config(**options)).save_pretrained(tmp_path)
    assert {name: getattr(family.head(head).from_pretrained(tmp_path).config, name) for name in options} == options

    # What is loaded into another head leaves the options of its own behind, and no trace of them in what is saved.
    model.save_pretrained(tmp_path)
    for other in OPTIONS_OF_HEADS.keys() - {head}:
        loaded = family.head(other).from_pretrained(tmp_path)
        defaults = {name: getattr(family.config_class, name) for name in options}
        assert {name: getattr(loaded.config, name) for name in options} == defaults
        name, value = next(iter(OPTIONS_OF_HEADS[next(iter(OPTIONS_OF_HEADS.keys() - {head, other}))].items()))
        with pytest.raises(ValueError, match=f"`{name}={value!r}` is an option of"):
            family.head(other).from_pretrained(tmp_path, **{name: value})


def test_impossible_pairs_are_refused():
    for projection in (0, 256, 300):
        with pytest.raises(ValueError, match=r"`projection_size`.*256"):
            LSTM.config_class(hidden_size=256, projection_size=projection)
    with pytest.raises(ValueError, match="`forget_gate_bias`"):
        LSTM.config_class(forget_gate_bias=float("nan"))
    with pytest.raises(ValueError, match='nonlinearity="relu"'):
        RNN.config_class(initializer="identity")
    with pytest.raises(StrictDataclassFieldValidationError, match="initializer"):
        GRU.config_class(initializer="identity")
    with pytest.raises(StrictDataclassFieldValidationError, match="nonlinearity"):
        RNN.config_class(nonlinearity="sigmoid")


@each_family
def test_sizes_that_disagree_are_refused(family, tmp_path):
    for fields in ({"num_hidden_layers": 2}, {"hidden_size": 8}):
        with pytest.raises(ValueError, match=f"`{next(iter(fields))}=.*`hidden_sizes=") as error:
            family.config_class(hidden_sizes=[8, 8, 4], **fields)
        assert "[8, 8, 4]" in str(error.value)
    with pytest.raises(ValueError, match=r"`residual_connections=True`.*\[8, 4\]"):
        family.config_class(hidden_sizes=[8, 4], residual_connections=True)
    family.config_class(hidden_sizes=[4, 4], residual_connections=True)
    if family is LSTM:
        family.config_class(hidden_sizes=[8, 4], projection_size=3, residual_connections=True)
        with pytest.raises(ValueError, match=r"`projection_size`.*`hidden_size=4`"):
            family.config_class(hidden_sizes=[8, 4, 9], projection_size=5)
    family.build("Model", num_hidden_layers=2).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="`num_hidden_layers=2`"):
        family.head("Model").from_pretrained(tmp_path, hidden_sizes=[10, 10, 10])


@each_family
def test_bidirectional_language_model_is_refused(family):
    with pytest.raises(ValueError, match="`bidirectional=True`"):
        family.head("ForCausalLM")(family.config(bidirectional=True))


@pytest.mark.parametrize("field", [{"hidden_dropout": 0.5}, {"residual_connections": True}], ids=str)
def test_options_without_effect_are_pointed_out(field, monkeypatch):
    from hf_lstm.models import configuration_stack

    messages = []
    monkeypatch.setattr(configuration_stack.logger, "warning_once", messages.append)
    LSTM.config_class(num_hidden_layers=1, **field)
    assert messages and all(next(iter(field)) in message for message in messages)
    messages.clear()
    LSTM.config_class(num_hidden_layers=2, **field)
    assert not messages


@each_family
def test_derived_values(family):
    config = family.config_class(hidden_size=12, bidirectional=True)
    assert (config.num_directions, config.state_size, config.output_size, config.input_size) == (2, 12, 24, 24)
    config = family.config_class(hidden_size=12, embedding_size=5)
    assert (config.num_directions, config.output_size, config.input_size) == (1, 12, 5)
    if family is LSTM:
        assert family.config_class(hidden_size=12, projection_size=7, bidirectional=True).output_size == 14
    assert not {"input_size", "output_size", "num_directions", "state_size"} & config.to_dict().keys()
    config = family.config_class(hidden_sizes=[12, 9, 5], bidirectional=True)
    assert (config.hidden_size, config.num_hidden_layers, config.output_size, config.input_size) == (5, 3, 10, 10)
    assert [config.of_layer(i).output_size for i in range(3)] == [24, 18, 10] and config.hidden_size == 5


@each_family
def test_saved_is_loaded(family, tmp_path):
    fields = {
        "vocab_size": 77,
        "hidden_dropout": 0.25,
        "hidden_sizes": [9, 8, 7],
        "eos_token_id": [3, 4],
        "dtype": "bfloat16",
    }
    config = family.config_class(**fields)
    config.save_pretrained(tmp_path)
    for loaded in (family.config_class.from_pretrained(tmp_path), transformers.AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is family.config_class
        ignored = {"transformers_version", "auto_map", "_name_or_path"}
        ours, theirs = ({k: v for k, v in c.to_dict().items() if k not in ignored} for c in (config, loaded))
        assert ours == theirs
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == family.name.lower()


@each_family
def test_overrides_on_loading(family, tmp_path):
    model = family.build("Model")
    model.save_pretrained(tmp_path)
    loaded = family.head("Model").from_pretrained(tmp_path, hidden_dropout=0.3)
    assert loaded.config.hidden_dropout == loaded.hidden_dropout.rate == 0.3
    with pytest.raises(ValueError, match=r"`hidden_dropout`.*3.0"):
        family.head("Model").from_pretrained(tmp_path, hidden_dropout=3.0)
    with pytest.raises(ValueError, match=r"`hidden_dropuot`.*Did you mean `hidden_dropout`"):
        family.head("Model").from_pretrained(tmp_path, hidden_dropuot=0.3)
    with pytest.raises(ValueError, match=r"`hidden_dropuot`.*Did you mean `hidden_dropout`"):
        transformers.AutoConfig.from_pretrained(tmp_path, hidden_dropuot=0.3)


@each_family
def test_foreign_keys_in_a_file(family, tmp_path):
    """What another tool added is kept; what is all but a field of ours is refused."""
    family.config_class().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {"some_tool_version": "3.1", "_private": 1}))
    assert family.config_class.from_pretrained(tmp_path).some_tool_version == "3.1"
    path.write_text(json.dumps(saved | {"hiden_size": 3}))
    with pytest.raises(ValueError, match="Did you mean `hidden_size`"):
        family.config_class.from_pretrained(tmp_path)


@each_family
def test_a_value_set_later_is_checked_before_saving(family, tmp_path):
    config = family.config_class()
    with pytest.raises(StrictDataclassFieldValidationError):
        config.hidden_size = "big"
    config.hidden_dropout = 7.0
    with pytest.raises(Exception, match="`hidden_dropout`"):
        config.save_pretrained(tmp_path)


class Mine(LSTMForCausalLM):
    """A head of another name, as people write them."""


def test_what_a_file_brings_along_is_left_behind(tmp_path):
    """Only what somebody has set is refused, whoever wrote the file: a backbone, a subclass, version 0.1.0."""
    model = Mine(LSTM.config(activation_regularization=2.0))
    model.save_pretrained(tmp_path / "subclass")
    model.model.save_pretrained(tmp_path / "backbone")
    classifier = LSTM.build("ForSequenceClassification")
    classifier.save_pretrained(tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"activation_regularization": 2.0, "use_crf": True}))
    for folder in ("subclass", "backbone", "old"):
        config = LSTM.config_class.from_pretrained(tmp_path / folder)
        for loaded in (
            LSTM.head("ForSequenceClassification").from_pretrained(tmp_path / folder),
            transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / folder),
            LSTM.head("ForSequenceClassification")(config),
        ):
            assert loaded.config.activation_regularization == 0 and not loaded.config.use_crf
            assert "_read" not in loaded.config.to_dict()
        assert config.activation_regularization == 2  # that of the caller stays as it is
    with pytest.raises(ValueError, match="`output_layer='mixture'` is an option of"):
        LSTM.head("ForSequenceClassification").from_pretrained(tmp_path / "subclass", output_layer="mixture")
    config.pooling = "mean"
    with pytest.raises(ValueError, match="`pooling='mean'` is an option of"):
        LSTM.head("ForTokenClassification")(config)


@each_family
def test_a_name_from_elsewhere_in_a_file_is_kept(family, tmp_path):
    """Only from a person it is refused: what was saved loads again."""
    model = family.build("Model")
    model.config.num_layers = 2
    model.save_pretrained(tmp_path)
    assert family.head("Model").from_pretrained(tmp_path).config.num_layers == 2
    with pytest.raises(ValueError, match=r"`num_layers`.*`num_hidden_layers`"):
        family.head("Model").from_pretrained(tmp_path, num_layers=2)


@each_family
def test_every_field_is_documented(family):
    documented = "".join(each.__doc__ for each in family.config_class.__mro__ if each.__module__.startswith("hf_lstm"))
    inherited = {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)}
    for field in dataclasses.fields(family.config_class):
        assert field.name in inherited or f"{field.name} (`" in documented or f"{field.name}, " in documented, field


def test_families_have_their_own_types():
    assert [family.config_class.model_type for family in FAMILIES] == ["lstm", "gru", "rnn"]
    for family in FAMILIES:
        assert type(transformers.AutoConfig.for_model(family.name.lower())) is family.config_class


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"id2label": "ab"}, "id2label"),
        ({"id2label": {1: "a", 2: "b"}}, "id2label"),
        ({"id2label": {0: "a", 2: "b"}}, "id2label"),
        ({"id2label": {"x": "a"}}, "id2label"),
        ({"id2label": {0: 1, 1: 2}}, "id2label"),
        ({"id2label": {}}, "num_labels"),
        ({"num_labels": -1}, "num_labels"),
        ({"num_labels": 0}, "num_labels"),
        ({"num_labels": 10**12}, "num_labels"),
        ({"num_labels": 10**4, "use_crf": True}, "use_crf"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"dtype": "float99"}, "dtype"),
        ({"torch_dtype": "float99"}, "dtype"),
        ({"dtype": "int8"}, "dtype"),
    ],
    ids=str,
)
def test_fields_that_no_model_could_have(fields, name):
    with pytest.raises(ValueError, match=f"`{name}"):
        LSTM.config_class(**fields)
    with pytest.raises(ValueError, match=f"`{name}"):
        LSTM.config_class.from_dict({"model_type": "lstm"} | fields)


def test_labels_set_later():
    config = LSTM.config_class()
    config.id2label = {1: "a", 2: "b"}
    with pytest.raises(ValueError, match="`id2label` must number the labels from 0"):
        LSTM.head("ForTokenClassification")(config)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The configuration of an encoder-decoder: what it refuses and derives, and folders that are saved and loaded."""

import json

import pytest
import torch
from families import GRU, LSTM, MIXTURE, RNN, SPECIAL, encoder_decoder, random_ids
from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import AutoConfig, AutoModelForSeq2SeqLM, BertConfig, ConvNextConfig, T5Config

from hf_lstm import (
    GRUConfig,
    LSTMConfig,
    RecurrentEncoderDecoderConfig,
    RecurrentEncoderDecoderForConditionalGeneration,
    RNNConfig,
)


SOURCE = {"vocab_size": 23, "hidden_size": 4, **SPECIAL}
TARGET = {"vocab_size": 31, "hidden_size": 6, **SPECIAL}
SHARED = {"vocab_size": 31, "embedding_size": 7}


def configure(source=(), target=(), **fields):
    parts = {"encoder": LSTMConfig(**(SOURCE | dict(source))), "decoder": LSTMConfig(**(TARGET | dict(target)))}
    return RecurrentEncoderDecoderConfig(**(parts | fields))


REFUSED = [
    ({"num_attention_heads": 0}, "`num_attention_heads` must be a whole number of at least 1, got 0"),
    ({"attention_size": 0}, "`attention_size` must be a whole number of at least 1, got 0"),
    ({"attention_dropout": 1.0}, "`attention_dropout` is a probability"),
    ({"label_smoothing": -0.1}, "`label_smoothing` is a probability"),
    ({"label_smoothing": float("nan")}, "`label_smoothing` is a probability"),
    ({"num_attention_heads": 4}, r"`num_attention_heads=4` must divide the `attention_size`, 6"),
    ({"num_attention_heads": 3}, r"`num_attention_heads=3` must divide the size of what `encoder` gives, 8"),
    ({"encoder": {"hidden_size": 3}}, r"`encoder` must be a configuration, or a `dict` of one with its `model_type`"),
    ({"encoder": {"model_type": "nonsense"}}, "`model_type='nonsense'` of `encoder` is no kind of model"),
    ({"decoder": {"model_type": None}}, r"`decoder` must be a configuration, or a `dict`"),
    ({"decoder": {"model_type": "lstm", "hiden_size": 3}}, "`hiden_size`.*Did you mean `hidden_size`"),
    ({"decoder": BertConfig()}, "`decoder` is of the kind 'bert', but must be recurrent.*`EncoderDecoderModel`"),
    ({"encoder": T5Config()}, "`encoder` is of the kind 't5', which has a decoder of its own"),
    ({"encoder": {"model_type": "t5"}}, "`encoder` is of the kind 't5', which has a decoder of its own"),
    ({"encoder": ConvNextConfig()}, "`encoder` is of the kind 'convnext', which has no `hidden_size`"),
    ({"target": {"bidirectional": True}}, "`bidirectional=True` of `decoder` cannot write from left to right"),
    (
        {"target": {"vocab_size": None, "embedding_size": 4, **dict.fromkeys(SPECIAL)}},
        "`vocab_size=None` of `decoder`",
    ),
    ({"target": {"char_vocab_size": 9}}, "`char_vocab_size=9` of `decoder` gives it features of whole words"),
    ({"target": {"shape_vocab_size": 9}}, "`shape_vocab_size=9` of `decoder` gives it features of whole words"),
    ({"target": {"activation_regularization": 1.0}}, "`activation_regularization=1.0` of `decoder` is of language"),
    ({"target": {"temporal_activation_regularization": 2.0}}, "`temporal_activation_regularization=2.0` of `decoder`"),
    ({"decoder_start_token_id": 31}, r"`decoder_start_token_id` must lie between 0 and vocab_size - 1 = 30.*got 31"),
    ({"decoder_start_token_id": -1}, r"`decoder_start_token_id` must lie between 0"),
    ({"pad_token_id": 40}, r"`pad_token_id` must lie between 0"),
    ({"bos_token_id": 40}, r"`bos_token_id` must lie between 0"),
    ({"eos_token_id": [3, 40]}, r"`eos_token_id` must lie between 0"),
    (
        {"input_feeding": True, "target": {"recurrent_weight_dropout": 0.5}},
        "`recurrent_weight_dropout=0.5` of `decoder` has one mask for all steps, and `input_feeding=True`",
    ),
    ({"is_encoder_decoder": False}, "`is_encoder_decoder=False` is of models without an encoder"),
    ({"label_smoothing": 0.1, "target": MIXTURE}, "`label_smoothing=0.1` needs `output_layer='softmax'`.*'mixture'"),
    (
        {"share_encoder_decoder_embeddings": True},
        "`share_encoder_decoder_embeddings=True` needs a recurrent `encoder`",
    ),
    (
        {"encoder": BertConfig(vocab_size=31, hidden_size=6), "share_encoder_decoder_embeddings": True},
        "`share_encoder_decoder_embeddings=True` needs a recurrent `encoder`",
    ),
    (
        {
            "source": SHARED,
            "target": SHARED | {"tie_word_embeddings": False},
            "share_encoder_decoder_embeddings": True,
        },
        "makes one embedding of three, but `decoder` has `tie_word_embeddings=False`",
    ),
    (
        {"source": SHARED, "target": SHARED, "share_encoder_decoder_embeddings": True, "tie_word_embeddings": False},
        "three",
    ),
    (
        {"source": SHARED, "target": SHARED, "share_encoder_decoder_embeddings": True, "train_encoder": False},
        "`train_encoder=False` freezes the decoder's embedding",
    ),
    ({"hidden_size": 3}, "`hidden_size` .*It is a field of `encoder` and of `decoder`"),
    ({"share_embeddings": True}, "`share_embeddings` .*Use `share_encoder_decoder_embeddings`"),
    ({"feed_input": True}, "`feed_input` .*Use `input_feeding`"),
    ({"num_atention_heads": 2}, "`num_atention_heads` .*Did you mean `num_attention_heads`"),
    ({"temperature": 2}, "`temperature` .*See the fields of `RecurrentEncoderDecoderConfig`"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message[:60] for _, message in REFUSED])
def test_what_cannot_work_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        configure(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"encoder": "bert"},
        {"encoder": 3},
        {"decoder": [LSTMConfig()]},
        {"encoder": LSTMConfig},
        {"attention": "dot"},
        {"attention": None},
        {"bridge": "last"},
        {"num_attention_heads": 2.0},
        {"num_attention_heads": "2"},
        {"input_feeding": 1},
        {"label_smoothing": "0.1"},
        {"train_encoder": None},
        {"decoder_start_token_id": "2"},
    ],
    ids=str,
)
def test_values_of_a_wrong_type_are_refused(fields):
    with pytest.raises((StrictDataclassFieldValidationError, ValueError), match=next(iter(fields))):
        configure(**fields)


def test_queries_that_are_not_projected_have_the_size_of_the_states():
    with pytest.raises(ValueError, match="`attention_size=4` is of projected queries"):
        encoder_decoder(attention="general", attention_size=4)


def test_what_follows_from_the_parts():
    config = RecurrentEncoderDecoderConfig()
    assert (config.encoder.model_type, config.decoder.model_type) == ("lstm", "lstm")
    assert (config.encoder.bidirectional, config.decoder.bidirectional) == (True, False)
    assert config.decoder.num_hidden_layers == 2 and config.bridge == "final"
    config = configure(encoder=GRUConfig(**SOURCE), decoder=RNNConfig(**TARGET))
    assert (config.encoder.model_type, config.decoder.model_type) == ("gru", "rnn")
    assert config.source_size == 8 and config.query_size == 6 and config.readout_size == 6
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 2, 3)
    assert config.decoder_start_token_id == 2 and config.is_encoder_decoder and config.tie_word_embeddings
    assert configure(decoder_start_token_id=1, eos_token_id=[3, 4]).eos_token_id == [3, 4]
    assert configure(encoder=BertConfig(hidden_size=6)).bridge == "mean"
    assert not configure(source={"bidirectional": False}).encoder.bidirectional
    assert configure(target={"embedding_size": 9}).readout_size == 9
    assert configure(target={"embedding_size": 9, "tie_word_embeddings": False}).readout_size == 6
    tapering = configure(target={"hidden_sizes": [4, 6], "hidden_size": 6, "num_hidden_layers": 2})
    assert tapering.query_size == 4


def test_one_answer_to_what_is_tied():
    for given in (True, False):
        config = configure(tie_word_embeddings=given)
        assert config.tie_word_embeddings is config.decoder.tie_word_embeddings is given
        config = configure(target={"tie_word_embeddings": given})
        assert config.tie_word_embeddings is config.decoder.tie_word_embeddings is given


def test_from_two_configurations():
    encoder, decoder = GRUConfig(**SOURCE), LSTMConfig(**TARGET)
    config = RecurrentEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder, attention="additive")
    assert config.encoder.model_type == "gru" and config.attention == "additive"
    assert encoder.bidirectional is None  # what was given is as it was


@pytest.mark.parametrize(
    "encoder", [LSTMConfig(**SOURCE), BertConfig(vocab_size=23, hidden_size=8)], ids=["own", "bert"]
)
def test_a_configuration_comes_back_from_its_file(encoder, tmp_path):
    fields = {"attention": "additive", "num_attention_heads": 2, "input_feeding": True, "label_smoothing": 0.1}
    config = configure(encoder=encoder, **fields)
    config.use_cache = False  # as Trainer does
    config.save_pretrained(tmp_path)
    for load in (RecurrentEncoderDecoderConfig, AutoConfig):
        loaded = load.from_pretrained(tmp_path)
        assert type(loaded) is RecurrentEncoderDecoderConfig and type(loaded.encoder) is type(encoder)
        known = ("transformers_version", "auto_map", "_name_or_path")
        saved, read = ({k: v for k, v in each.to_dict().items() if k not in known} for each in (config, loaded))
        assert read == saved and "use_cache" not in read
    assert "use_cache" not in json.loads((tmp_path / "config.json").read_text())


def test_fields_are_overridden_when_loading(tmp_path):
    model = encoder_decoder(LSTM, num_attention_heads=1)
    model.save_pretrained(tmp_path)
    load = RecurrentEncoderDecoderForConditionalGeneration.from_pretrained
    loaded = load(tmp_path, label_smoothing=0.2, decoder={"hidden_dropout": 0.3}, attention_dropout=0.1)
    assert loaded.config.label_smoothing == 0.2 and loaded.decoder.attention.dropout == 0.1
    assert loaded.decoder.hidden_dropout.rate == 0.3 and loaded.config.decoder.vocab_size == 31
    source, ids = random_ids(2, 5, 23), random_ids(2, 4)
    assert torch.equal(loaded(source, labels=ids).logits, model(source, labels=ids).logits)
    encoder_decoder(target={"embedding_size": 6}).save_pretrained(tmp_path / "tied")
    untied = load(tmp_path / "tied", tie_word_embeddings=False)
    assert untied.lm_head.weight is not untied.decoder.embed_tokens.weight
    assert untied.config.decoder.tie_word_embeddings is untied.config.tie_word_embeddings is False
    assert untied(source, labels=ids).loss.isfinite()
    with pytest.raises(ValueError, match="`num_attention_heads=5` must divide"):
        load(tmp_path, num_attention_heads=5)
    with pytest.raises(ValueError, match="`attention_haeds`"):
        load(tmp_path, attention_haeds=5)


LATE = {
    "attention": "general",
    "num_attention_heads": 2,
    "attention_dropout": 0.1,
    "input_feeding": True,
    "bridge": "mean",
    "train_encoder": False,
    "share_encoder_decoder_embeddings": True,
}


@pytest.mark.parametrize("name", LATE)
def test_what_is_read_once_is_refused_at_save(name, tmp_path):
    model = encoder_decoder()
    setattr(model.config, name, LATE[name])
    with pytest.raises(ValueError):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize(("name", "value"), [("hidden_dropout", 0.5), ("hidden_size", 11), ("num_hidden_layers", 4)])
def test_what_is_read_once_of_a_part_is_refused_at_save(part, name, value, tmp_path):
    for family in (LSTM, GRU, RNN):
        model = encoder_decoder(family)
        setattr(getattr(model.config, part), name, value)
        with pytest.raises(ValueError, match=f"`{name}` of the configuration was .* when the model was built"):
            model.save_pretrained(tmp_path)


def test_what_acts_when_it_is_set_is_saved(tmp_path):
    model = encoder_decoder()
    model.config.label_smoothing = 0.3
    model.config.decoder_start_token_id = 1
    model.config.decoder.embedding_dropout = 0.2
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).config
    assert (loaded.label_smoothing, loaded.decoder_start_token_id, loaded.decoder.embedding_dropout) == (0.3, 1, 0.2)


def test_save_and_load_is_bit_equal(tmp_path):
    for i, fields in enumerate(({}, {"input_feeding": True, "attention": "additive", "encoder": GRU})):
        model = encoder_decoder(**fields)
        model.save_pretrained(tmp_path / str(i))
        source, ids = random_ids(3, 5, 23), random_ids()
        for load in (type(model), AutoModelForSeq2SeqLM):
            loaded = load.from_pretrained(tmp_path / str(i))
            assert torch.equal(loaded(source, labels=ids).logits, model(source, labels=ids).logits)
            assert torch.equal(loaded.generate(source, num_beams=2), model.generate(source, num_beams=2))
            assert not [p for p in loaded.parameters() if p.is_meta]
        assert loaded.generation_config.decoder_start_token_id == 2 and loaded.generation_config.eos_token_id == 3


def test_shards_and_devices(tmp_path):
    model = encoder_decoder()
    model.save_pretrained(tmp_path, max_shard_size="2KB")
    source, ids = random_ids(3, 5, 23), random_ids()
    for device_map in ("auto", "cpu", {"": "cpu"}):
        loaded = type(model).from_pretrained(tmp_path, device_map=device_map)
        assert torch.equal(loaded(source, labels=ids).logits, model(source, labels=ids).logits)
        assert torch.equal(loaded.generate(source, num_beams=2), model.generate(source, num_beams=2))


def test_an_encoder_of_features():
    """Without a vocabulary it reads vectors, such as those of a sound."""
    model = encoder_decoder(LSTMConfig(vocab_size=None, embedding_size=5, hidden_size=4), LSTM)
    features, ids = torch.randn(3, 6, 5), random_ids(3, 4)
    assert model(inputs_embeds=features, labels=ids).loss.isfinite()
    assert model.generate(inputs_embeds=features, max_new_tokens=3).shape[0] == 3
    assert torch.equal(
        model.generate(inputs_embeds=features, max_new_tokens=3, num_beams=2),
        model.generate(inputs_embeds=features, max_new_tokens=3, num_beams=2, use_cache=False),
    )


def test_an_encoder_of_words_with_characters():
    model = encoder_decoder(source={"char_vocab_size": 9, "char_hidden_size": 6, "shape_vocab_size": 4})
    words = {"input_ids": random_ids(3, 5, 23), "char_ids": torch.randint(1, 9, (3, 5, 4))}
    words["shape_ids"] = torch.randint(1, 4, (3, 5))
    ids = random_ids(3, 4)
    assert model(**words, labels=ids).loss.isfinite()
    for num_beams in (1, 3):
        found = model.generate(**words, max_new_tokens=3, num_beams=num_beams)
        assert torch.equal(found, model.generate(**words, max_new_tokens=3, num_beams=num_beams, use_cache=False))
    with pytest.raises(ValueError, match="`char_ids` are missing"):
        model(words["input_ids"], labels=ids)

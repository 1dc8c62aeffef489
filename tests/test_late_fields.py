# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Fields of a configuration that are set after a model was built: they act, or saving refuses them."""

import pytest
import torch
from families import LSTM, PLAIN_TRAINING, RNN, each_family, random_ids
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments, default_data_collator

from hf_lstm.training.card_trainer import CardTrainer


READ_ONCE = {
    "ForCausalLM": {
        "hidden_dropout": 0.5,
        "tie_word_embeddings": False,
        "hidden_size": 11,
        "num_hidden_layers": 3,
        "output_layer": "mixture",
        "activation_regularization": 1.0,
        "recurrent_weight_dropout": 0.2,
    },
    "ForTokenClassification": {"use_crf": True, "num_labels": 5, "bidirectional": False, "lm_loss_coef": 0.1},
    "ForSequenceClassification": {"pooling": "mean", "id2label": {0: "a"}, "variational_dropout": True},
    "Model": {"layer_norm": True, "char_vocab_size": 9, "bias": False, "embedding_size": 7},
}


@pytest.mark.parametrize(
    ("head", "name", "value"), [(head, *pair) for head, fields in READ_ONCE.items() for pair in fields.items()]
)
def test_what_is_read_once_is_refused_at_save(head, name, value, tmp_path):
    model = LSTM.build(head)
    setattr(model.config, name, value)
    with pytest.raises(ValueError, match=r"of the configuration was .* when the model was built"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_trainer_refuses_it_before_the_training(tmp_path):
    model = RNN.build("ForCausalLM")
    model.config.hidden_dropout = 0.5
    with pytest.raises(ValueError, match="`hidden_dropout` of the configuration"):
        CardTrainer(model, TrainingArguments(tmp_path, **PLAIN_TRAINING))


@each_family
def test_what_acts_when_it_is_set_is_saved(family, tmp_path):
    model = family.build("ForTokenClassification", num_labels=2)
    fields = {"word_dropout": 0.1, "unk_token_id": 3, "embedding_dropout": 0.2, "id2label": {0: "N", 1: "V"}}
    for name, value in fields.items():
        setattr(model.config, name, value)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).config
    assert all(getattr(loaded, name) == value for name, value in fields.items())
    model = family.build("ForCausalLM")
    model.resize_token_embeddings(40)
    model.save_pretrained(tmp_path)
    assert type(model).from_pretrained(tmp_path).config.vocab_size == 40


@pytest.mark.parametrize("trainer_class", [Trainer, CardTrainer])
def test_a_model_that_trainer_saved_returns_its_state(trainer_class, tmp_path):
    rows = [{"input_ids": [5, 6], "labels": [5, 6]}] * 4
    model = LSTM.build("ForCausalLM")
    arguments = TrainingArguments(tmp_path, max_steps=1, **PLAIN_TRAINING)
    trainer = trainer_class(model, arguments, train_dataset=rows, data_collator=default_data_collator)
    trainer.train()
    trainer.save_model()
    model = type(model).from_pretrained(tmp_path).eval()
    assert model(random_ids()).cache.get_seq_length() == 7
    assert type(model).from_pretrained(tmp_path, use_cache=False).eval()(random_ids()).cache is None


def test_a_folder_of_another_family(tmp_path):
    LSTM.build("ForCausalLM").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"`model_type` in the configuration is 'lstm'.*LSTMModel"):
        RNN.head("ForCausalLM").from_pretrained(tmp_path)


def test_labels_of_another_head(tmp_path):
    names = {0: "O", 1: "B-X", 2: "I-X"}
    LSTM.build("ForTokenClassification", id2label=names).save_pretrained(tmp_path)
    classifier = LSTM.head("ForSequenceClassification")
    for load in (classifier.from_pretrained, AutoModelForSequenceClassification.from_pretrained):
        with pytest.raises(
            ValueError, match="`id2label` of the file has the 3 labels of a `LSTMForTokenClassification`"
        ):
            load(tmp_path)
        assert load(tmp_path, num_labels=3).config.num_labels == 3
        assert load(tmp_path, id2label={0: "good", 1: "bad"}).config.id2label[1] == "bad"
    assert LSTM.head("ForTokenClassification").from_pretrained(tmp_path).config.id2label == names


def test_a_mask_longer_than_the_prompt_needs_its_state():
    model, ids = LSTM.build("ForCausalLM"), random_ids(1)
    options = {"max_new_tokens": 2, "do_sample": False, "attention_mask": torch.ones(1, 7, dtype=torch.long)}
    for more in ({}, {"cache": None}, {"use_cache": False}, {"num_beams": 2}):
        with pytest.raises(ValueError, match="`attention_mask` covers 7 tokens, but the prompt has 3"):
            model.generate(ids[:, 4:], **options, **more)
    with pytest.raises(ValueError, match="the prompt is empty"):
        model.generate(inputs_embeds=torch.zeros(1, 0, 6), max_new_tokens=2)
    state = model(ids[:, :4]).cache
    assert torch.equal(
        model.generate(ids[:, 4:], cache=state, **options)[:, 3:], model.generate(ids, **options)[:, 7:]
    )

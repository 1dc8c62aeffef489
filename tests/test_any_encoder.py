# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Encoders that are none of ours, and parts that were trained before: BERT, RoBERTa, ViT, folders of our own."""

import pytest
import torch
from families import GRU, LSTM, SPECIAL, assert_close, encoder_decoder, first_fast, random_ids
from reference import run_decoder
from transformers import (
    AutoModelForSeq2SeqLM,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    T5Config,
    ViTConfig,
)

from hf_lstm import LSTMConfig, LSTMForCausalLM, LSTMModel, RecurrentEncoderDecoderForConditionalGeneration


SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
SIZES = SMALL | {"initializer_range": 0.5}
BERT = BertConfig(vocab_size=23, **SIZES)
ROBERTA = RobertaConfig(vocab_size=23, max_position_embeddings=20, **SIZES)
VIT = ViTConfig(image_size=8, patch_size=4, num_channels=1, **SIZES)
build_pretrained = RecurrentEncoderDecoderForConditionalGeneration.from_encoder_decoder_pretrained
each_encoder = pytest.mark.parametrize("config", [BERT, ROBERTA, VIT], ids=["bert", "roberta", "vit"])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]])


def inputs_for(config, rows=3):
    """What an encoder reads, with the mask of its features."""
    if config is VIT:
        return {"pixel_values": torch.randn(rows, 1, 8, 8)}, torch.ones(rows, 5, dtype=torch.long)
    ids = torch.randint(4, 23, (rows, 6)).masked_fill(MASK[:rows] == 0, config.pad_token_id)
    return {"input_ids": ids, "attention_mask": MASK[:rows]}, MASK[:rows]


@each_encoder
@pytest.mark.parametrize(
    "fields", [{}, {"attention": "additive", "num_attention_heads": 2, "input_feeding": True}], ids=str
)
def test_the_decoder_reads_what_the_encoder_gives(config, fields):
    model = encoder_decoder(config, GRU, **fields)
    assert model.config.bridge == "mean"
    inputs, mask = inputs_for(config)
    ids = random_ids(3, 5)
    outputs = model(**inputs, decoder_input_ids=ids, output_attentions=True, output_hidden_states=True)
    features = model.get_encoder()(**inputs).last_hidden_state
    assert_close(outputs.encoder_last_hidden_state, features, 0)
    assert len(outputs.encoder_hidden_states) == 2
    for row in range(3):
        real = mask[row].bool()
        logits, weights = run_decoder(model, features[row, real], ids[row])
        assert_close(outputs.logits[row], logits)
        assert_close(outputs.cross_attentions[0][row][..., real], weights)
        if config is not VIT:
            alone = model(inputs["input_ids"][row : row + 1, real], decoder_input_ids=ids[row : row + 1])
            assert_close(outputs.logits[row], alone.logits[0])
    model.train()
    model(**inputs, labels=ids).loss.backward()
    left = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert all(name.startswith("encoder.pooler") for name in left)


@each_encoder
@first_fast(
    "mode", {"beams": {"num_beams": 3}, "greedy": {}, "sampling": {"do_sample": True, "num_return_sequences": 2}}
)
def test_it_generates(config, mode):
    model = encoder_decoder(config, LSTM, target={"tie_word_embeddings": False})
    inputs, _ = inputs_for(config)
    torch.manual_seed(0)
    out = model.generate(**inputs, max_new_tokens=6, **mode)
    torch.manual_seed(0)
    assert out[:, 0].eq(2).all() and torch.equal(out, model.generate(**inputs, max_new_tokens=6, **mode))
    if not mode.get("do_sample"):
        assert torch.equal(out, model.generate(**inputs, max_new_tokens=6, use_cache=False, **mode))
        if config is not VIT:
            assert torch.equal(out, model.generate(inputs["input_ids"], max_new_tokens=6, **mode))


@first_fast("config", {"bert": BERT, "roberta": ROBERTA, "vit": VIT})
def test_save_and_load_is_bit_equal(config, tmp_path):
    model = encoder_decoder(config, LSTM)
    inputs, _ = inputs_for(config)
    ids = random_ids(3, 5)
    model.save_pretrained(tmp_path)
    expected = model(**inputs, decoder_input_ids=ids).logits
    for load in (type(model), AutoModelForSeq2SeqLM):
        loaded = load.from_pretrained(tmp_path)
        assert type(loaded.encoder) is type(model.encoder) and not loaded.training
        assert torch.equal(loaded(**inputs, decoder_input_ids=ids).logits, expected)
    half = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    inputs = {name: each.bfloat16() if each.is_floating_point() else each for name, each in inputs.items()}
    close = half(**inputs, decoder_input_ids=ids).logits
    assert close.dtype == torch.bfloat16 and (close - expected).abs().max() < 0.1 * expected.abs().max()
    assert {p.dtype for p in model.half().parameters()} == {torch.float16}


def test_initial_weights_are_those_of_each_part():
    model = encoder_decoder(BertConfig(vocab_size=500, **SMALL, initializer_range=0.02), LSTM)
    table = model.encoder.embeddings.word_embeddings.weight[1:]
    assert 0.018 < table.std() < 0.022
    assert 0.8 < model.decoder.embed_tokens.weight[1:].std() < 1.2


# From folders.


@pytest.fixture
def folders(tmp_path):
    torch.manual_seed(1)
    models = {
        "bert": BertModel(BERT).eval(),
        "own": LSTMModel(LSTMConfig(vocab_size=23, hidden_size=4, bidirectional=True, **SPECIAL)),
        "language model": LSTMForCausalLM(
            LSTMConfig(vocab_size=31, hidden_size=6, embedding_size=7, num_hidden_layers=2, **SPECIAL)
        ),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
    return tmp_path, models


def test_from_a_foreign_encoder(folders, tmp_path):
    folder, models = folders
    decoder = LSTMConfig(vocab_size=31, hidden_size=6, **SPECIAL)
    for path in (str(folder / "bert"), folder / "bert"):
        model = build_pretrained(path, decoder, attention="general", label_smoothing=0.1).eval()
        assert model.config.attention == "general" and model.config.label_smoothing == 0.1
        inputs, _ = inputs_for(BERT)
        expected = models["bert"](**inputs).last_hidden_state
        assert torch.equal(model.get_encoder()(**inputs).last_hidden_state, expected)
    model.save_pretrained(tmp_path / "both")
    text = (tmp_path / "both" / "config.json").read_text()
    assert str(folder) not in text  # no path of this machine
    loaded = RecurrentEncoderDecoderForConditionalGeneration.from_pretrained(tmp_path / "both")
    assert torch.equal(loaded.get_encoder()(**inputs).last_hidden_state, expected)


def test_from_an_encoder_of_another_type(folders, tmp_path):
    """Saved in bf16, it is computed in the type of the rest."""
    _, models = folders
    models["bert"].bfloat16().save_pretrained(tmp_path / "half")
    model = build_pretrained(tmp_path / "half", LSTMConfig(vocab_size=31, hidden_size=6, **SPECIAL))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    inputs, _ = inputs_for(BERT)
    assert model(**inputs, labels=random_ids(3, 4)).loss.isfinite()
    model.save_pretrained(tmp_path / "whole")
    assert "bfloat16" not in (tmp_path / "whole" / "config.json").read_text()


def test_from_folders_of_our_own(folders, said):
    folder, models = folders
    model = build_pretrained(str(folder / "own"), str(folder / "language model")).eval()
    assert model.config.encoder.bidirectional and not model.config.decoder.bidirectional
    own, written = models["own"], models["language model"]
    source = random_ids(3, 5, 23)
    assert torch.equal(model.get_encoder()(source).last_hidden_state, own(source).last_hidden_state)
    assert torch.equal(model.decoder.embed_tokens.weight, written.model.embed_tokens.weight)
    assert model.lm_head.weight is model.decoder.embed_tokens.weight
    assert torch.equal(model.lm_head.bias, written.lm_head.bias)
    for name, tensor in written.model.layers[0].state_dict().items():
        assert torch.equal(model.decoder.layers[0].state_dict()[name], tensor)
    left = [line for line in said if "do not fit the decoder" in line]
    assert len(left) == 1 and "layers.1.weight_ih_l0" in left[0] and "layers.0" not in left[0]
    assert model(source, labels=random_ids(3, 4)).loss.isfinite()


def test_fields_of_the_parts(folders):
    folder, _ = folders
    model = build_pretrained(
        str(folder / "own"),
        str(folder / "language model"),
        encoder_input_dropout=0.25,
        decoder_hidden_dropout=0.5,
        decoder_start_token_id=1,
    )
    assert model.encoder.input_dropout.rate == 0.25 and model.decoder.hidden_dropout.rate == 0.5
    assert model.config.decoder_start_token_id == 1
    with pytest.raises(ValueError, match=r"`atention`.*Did you mean `attention`"):
        build_pretrained(str(folder / "own"), str(folder / "language model"), atention="general")
    GPT2LMHeadModel(GPT2Config(vocab_size=31, n_embd=8, n_layer=1, n_head=2)).save_pretrained(folder / "gpt2")
    with pytest.raises(ValueError, match="`decoder` is of the kind 'gpt2', but must be recurrent"):
        build_pretrained(str(folder / "own"), str(folder / "gpt2"))


# Frozen.


@pytest.mark.parametrize("config", [BERT, LSTM], ids=["bert", "own"])
def test_a_frozen_encoder(config, tmp_path):
    dropout = {} if config is BERT else {"source": {"input_dropout": 0.5}}
    model = encoder_decoder(config, LSTM, **dropout, train_encoder=False, label_smoothing=0.1)
    inputs, _ = inputs_for(BERT)
    labels = random_ids(3, 4)
    expected = model.get_encoder()(**inputs).last_hidden_state
    model.train()
    assert model.training and model.decoder.training and not any(each.training for each in model.encoder.modules())
    outputs = model(**inputs, labels=labels)
    assert (
        torch.equal(outputs.encoder_last_hidden_state, expected)
        and not outputs.encoder_last_hidden_state.requires_grad
    )
    outputs.loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.decoder.parameters())
    model.requires_grad_(True)  # of all parts, by somebody who does not know
    assert not model(**inputs, labels=labels).encoder_last_hidden_state.requires_grad
    model.save_pretrained(tmp_path)
    loaded = RecurrentEncoderDecoderForConditionalGeneration.from_pretrained(tmp_path).train()
    assert not loaded.config.train_encoder and not any(p.requires_grad for p in loaded.encoder.parameters())
    assert torch.equal(loaded(**inputs, labels=labels).loss, outputs.loss)
    thawed = RecurrentEncoderDecoderForConditionalGeneration.from_pretrained(tmp_path, train_encoder=True).train()
    assert thawed.encoder.training
    thawed(**inputs, labels=labels).loss.backward()
    assert all(p.grad is not None for name, p in thawed.encoder.named_parameters() if "pooler" not in name)


# What does not fit.


def test_a_mask_of_another_length():
    for config in (VIT, BERT):
        model = encoder_decoder(config, LSTM)
        encoded = model.get_encoder()(**inputs_for(config)[0])
        with pytest.raises(ValueError, match="`attention_mask` covers 9 positions, but the encoder gave"):
            model(encoder_outputs=encoded, attention_mask=torch.ones(3, 9).long(), decoder_input_ids=random_ids(3, 4))
    model = encoder_decoder(BERT, LSTM)
    with pytest.raises(ValueError, match=r"`encoder_outputs` has features of shape \(3, 8\)"):
        model(encoder_outputs=(torch.zeros(3, 8),), decoder_input_ids=random_ids(3, 4))


def test_a_mask_of_the_patches_of_an_image():
    model = encoder_decoder(VIT, LSTM)
    inputs, mask = inputs_for(VIT)
    mask[1:, 3:] = 0
    ids = random_ids(3, 5)
    outputs = model(**inputs, attention_mask=mask, decoder_input_ids=ids)
    for row in range(3):
        features = outputs.encoder_last_hidden_state[row, mask[row].bool()]
        assert_close(outputs.logits[row], run_decoder(model, features, ids[row])[0])


def test_encoders_that_cannot_be_read():
    decoder = LSTMConfig(vocab_size=31, hidden_size=6, **SPECIAL)
    t5 = T5Config(vocab_size=23, d_model=8, d_ff=8, num_layers=1, num_heads=1, d_kv=8)
    with pytest.raises(ValueError, match="`encoder` is of the kind 't5', which has a decoder of its own"):
        encoder_decoder(t5, decoder)
    t5.is_encoder_decoder = False  # as a folder of `T5EncoderModel` says, of which `AutoModel` builds all of T5
    with pytest.raises(ValueError, match="`encoder` is of the kind 't5', which `AutoModel` builds with a decoder"):
        encoder_decoder(t5, decoder)
    nested = encoder_decoder().config
    with pytest.raises(ValueError, match="'recurrent_encoder_decoder', which has a decoder of its own"):
        encoder_decoder(nested, decoder)


def test_vocabularies_of_a_foreign_encoder(tmp_path):
    model = encoder_decoder(BERT, LSTM)
    model.resize_token_embeddings(30)
    model.resize_decoder_token_embeddings(40)
    assert model.config.encoder.vocab_size == 30 and model.config.decoder.vocab_size == 40
    source = torch.full((1, 3), 29)
    outputs = model(source, labels=torch.full((1, 2), 39))
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert torch.equal(loaded(source, labels=torch.full((1, 2), 39)).logits, outputs.logits)


@pytest.mark.slow
def test_captions_of_images_are_learned(tmp_path):
    """Four images, each with a sentence of its own, by `Seq2SeqTrainer` on rows with `pixel_values`."""
    from families import PLAIN_TRAINING
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, default_data_collator

    images = torch.randn(4, 1, 8, 8)
    captions = torch.tensor([[5, 6, 7, 3], [8, 5, 3, -100], [9, 10, 11, 3], [6, 3, -100, -100]])
    rows = [{"pixel_values": image, "labels": caption} for image, caption in zip(images, captions, strict=True)]
    model = encoder_decoder(VIT, LSTM, target={"hidden_size": 16, "embedding_size": 16, "initializer": "orthogonal"})
    options = {"learning_rate": 0.02, "optim": "adamw_torch", "max_steps": 60, "per_device_train_batch_size": 4}
    arguments = Seq2SeqTrainingArguments(tmp_path, **(PLAIN_TRAINING | options))
    Seq2SeqTrainer(model, arguments, train_dataset=rows, data_collator=default_data_collator).train()
    for num_beams in (1, 3):
        written = model.eval().generate(pixel_values=images, max_new_tokens=5, num_beams=num_beams)
        for row, caption in zip(written, captions, strict=True):
            words = caption[caption != -100]
            assert row[1 : 1 + len(words)].tolist() == words.tolist()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""An encoder of sounds, whose features are fewer than its samples: the mask is that of the samples."""

import pytest
import torch
from families import LSTM, PLAIN_TRAINING, assert_close, encoder_decoder
from reference import run_decoder
from transformers import AutoModelForSeq2SeqLM, Seq2SeqTrainer, Seq2SeqTrainingArguments, Wav2Vec2Config, WhisperConfig


KERNELS, STRIDES = (10, 3), (5, 2)
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8, 8),
    "conv_kernel": KERNELS,
    "conv_stride": STRIDES,
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",  # with "group" the features depend on the padding, as transformers says of it
    "mask_time_prob": 0.0,
}
LENGTHS = (400, 250, 130)


def features_of(samples: int) -> int:
    """How often each filter fits, one after the other."""
    for kernel, stride in zip(KERNELS, STRIDES, strict=True):
        samples = len(range(0, samples - kernel + 1, stride))
    return samples


def sounds(pitches=(0.1, 0.4, 1.0)) -> tuple[torch.Tensor, torch.Tensor]:
    """Sines of three lengths, and their mask."""
    mask = (torch.arange(LENGTHS[0]) < torch.tensor(LENGTHS)[:, None]).long()
    return torch.sin(torch.arange(LENGTHS[0]) * torch.tensor(pitches)[:, None]) * mask, mask


def build(**fields):
    return encoder_decoder(Wav2Vec2Config(**SIZES, **fields), LSTM)


def test_the_decoder_reads_the_features_of_the_sound_alone(tmp_path):
    model = build()
    assert model.main_input_name == "input_values" and model.config.bridge == "mean"
    samples, mask = sounds()
    labels = torch.randint(4, 31, (3, 5))
    ids = model.prepare_decoder_input_ids_from_labels(labels)
    outputs = model(input_values=samples, attention_mask=mask, labels=labels, output_attentions=True)
    other = model(input_values=samples + 9 * (1 - mask), attention_mask=mask, labels=labels)
    assert_close(other.logits, outputs.logits)
    for row, length in enumerate(LENGTHS):
        alone = samples[row : row + 1, :length]
        features = model.get_encoder()(alone).last_hidden_state[0]
        assert len(features) == features_of(length)
        logits, weights = run_decoder(model, features, ids[row])
        assert_close(outputs.logits[row], logits)
        assert_close(outputs.cross_attentions[0][row][..., : len(features)], weights)
        assert not outputs.cross_attentions[0][row][..., len(features) :].any()
        for num_beams in (1, 3):
            options = {"num_beams": num_beams, "min_new_tokens": 6, "max_new_tokens": 6}
            together = model.generate(samples, attention_mask=mask, **options)
            assert torch.equal(together[row : row + 1], model.generate(alone, **options))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(input_values=samples, attention_mask=mask, labels=labels).logits, outputs.logits)


def test_what_an_adapter_gives():
    """Fewer features, of another size."""
    model = build(add_adapter=True, num_adapter_layers=1, adapter_stride=2, output_hidden_size=12)
    samples, mask = sounds()
    outputs = model(input_values=samples, attention_mask=mask, labels=torch.ones(3, 4).long(), output_attentions=True)
    features = outputs.encoder_last_hidden_state
    assert features.shape[2] == model.config.source_size == 12 and features.shape[1] < features_of(LENGTHS[0])
    looked_at = (outputs.cross_attentions[0][:, 0, 0] > 0).sum(1).tolist()
    assert looked_at[0] == features.shape[1] and looked_at[0] > looked_at[1] > looked_at[2]


def test_trainer_keeps_the_columns(tmp_path):
    """Three sounds of different pitch, each with a word of its own."""
    (samples, mask), words = sounds(), torch.tensor([[5, 3], [6, 3], [7, 3]])
    names = ("input_values", "attention_mask", "labels")
    rows = [dict(zip(names, row, strict=True)) for row in zip(samples, mask, words, strict=True)]
    model = build()
    options = {"learning_rate": 0.02, "optim": "adamw_torch", "max_steps": 30, "per_device_train_batch_size": 3}
    Seq2SeqTrainer(model, Seq2SeqTrainingArguments(tmp_path, **(PLAIN_TRAINING | options)), train_dataset=rows).train()
    written = model.eval().generate(input_values=samples, attention_mask=mask, max_new_tokens=2)
    assert written[:, 1:].tolist() == words.tolist()


def test_what_is_refused():
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 8, "encoder_attention_heads": 1}
    whisper = WhisperConfig(vocab_size=23, **sizes, decoder_attention_heads=1)
    with pytest.raises(ValueError, match="`encoder` is of the kind 'whisper', which has a decoder of its own"):
        encoder_decoder(whisper, LSTM)
    model = build()
    with pytest.raises(ValueError, match="`input_values` is missing, got `input_features`"):
        model(input_features=torch.zeros(1, 400), labels=torch.ones(1, 2).long())
    with pytest.raises(ValueError, match="`input_values` is missing"):
        model.generate(attention_mask=torch.ones(1, 400).long())

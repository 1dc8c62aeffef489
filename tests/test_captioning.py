# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
An encoder of images and a recurrent decoder learn to say what is to be seen, and are one folder with their processors.
"""

from itertools import product

import pytest
import torch
from families import PLAIN_TRAINING
from PIL import Image, ImageDraw
from transformers import (
    AutoImageProcessor,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from hf_lstm import LSTMConfig, LSTMTokenizer, RecurrentEncoderDecoderForConditionalGeneration


SCENES = list(product(("square", "circle"), ("red", "green", "blue"), ("left", "right")))
CAPTIONS = [f"a {colour} {shape} on the {side}" for shape, colour, side in SCENES]


def draw(shape: str, colour: str, side: str) -> Image.Image:
    image = Image.new("RGB", (32, 32), "white")
    left = 2 if side == "left" else 18
    pen = ImageDraw.Draw(image)
    (pen.rectangle if shape == "square" else pen.ellipse)((left, 10, left + 11, 21), fill=colour)
    return image


IMAGES = [draw(*scene) for scene in SCENES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What was trained, and saved."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("captions")
    sizes = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 96}
    ViTModel(ViTConfig(image_size=32, patch_size=8, initializer_range=0.1, **sizes)).save_pretrained(root / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(root / "vit")

    tokenizer = LSTMTokenizer.train_from_iterator(CAPTIONS, "word", add_eos_token=True, show_progress=False)
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    decoder = LSTMConfig(vocab_size=len(tokenizer), hidden_size=48, **special)
    build = RecurrentEncoderDecoderForConditionalGeneration.from_encoder_decoder_pretrained
    model, processor = build(root / "vit", decoder), AutoImageProcessor.from_pretrained(root / "vit")
    pixels = processor(IMAGES, return_tensors="pt")["pixel_values"]
    rows = [
        {"pixel_values": image, "labels": torch.tensor(ids)}
        for image, ids in zip(pixels, tokenizer(text_target=CAPTIONS)["input_ids"], strict=True)
    ]
    options = {"learning_rate": 0.005, "optim": "adamw_torch", "max_steps": 120, "per_device_train_batch_size": 12}
    Trainer(model, TrainingArguments(root / "log", **(PLAIN_TRAINING | options)), train_dataset=rows).train()
    model.generation_config.max_length = 12
    for part in (model.eval(), tokenizer, processor):
        part.save_pretrained(root / "captioner")
    return root / "captioner", model


def test_learns_to_caption_and_is_one_folder(folder):
    path, trained = folder
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    inputs = AutoImageProcessor.from_pretrained(path)(IMAGES, return_tensors="pt")
    for num_beams in (1, 3):
        ids = model.generate(**inputs, num_beams=num_beams)
        assert tokenizer.batch_decode(ids, skip_special_tokens=True) == CAPTIONS
        assert torch.equal(ids, trained.generate(**inputs, num_beams=num_beams))
        alone = model.generate(inputs["pixel_values"][:1], num_beams=num_beams)
        assert torch.equal(alone, ids[:1, : alone.shape[1]])
    labels = tokenizer(text_target=CAPTIONS, return_tensors="pt")["input_ids"]
    outputs = [each(**inputs, labels=labels, output_attentions=True) for each in (model, trained)]
    assert torch.equal(outputs[0].logits, outputs[1].logits) and outputs[0].loss < 0.1
    (weights,) = outputs[0].cross_attentions
    assert weights.shape == (12, 1, labels.shape[1], 1 + 16)  # of the class token and of 4 x 4 patches


def test_a_source_that_is_missing_is_named(folder):
    _, model = folder
    labels = torch.tensor([[5, 3]])
    with pytest.raises(ValueError, match="`pixel_values` is missing: it is what the encoder reads"):
        model(labels=labels)
    for name in ("pixel_value", "input_values"):  # misspelt, or of speech
        with pytest.raises(ValueError, match=f"`pixel_values` is missing, got `{name}`: it is what the encoder reads"):
            model(**{name: torch.zeros(1, 3, 32, 32)}, labels=labels)
    with pytest.raises(ValueError, match="`pixel_values` is missing"):
        model.generate(num_beams=3)
    with pytest.raises(ValueError, match="doesn't match model"):
        model.generate(torch.zeros(1, 3, 16, 16))

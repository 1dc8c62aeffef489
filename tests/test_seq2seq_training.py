# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What scripts such as `run_translation.py` of transformers call, in their order: Auto classes for a folder, the
tokenizer for either side, the collator that is given the model, `Seq2SeqTrainer` that generates. With one vocabulary
and with two.
"""

import numpy as np
import pytest
import torch
from datasets import Dataset
from families import PLAIN_TRAINING, SPECIAL, assert_close
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    GenerationConfig,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    default_data_collator,
)

from hf_lstm import (
    LSTMConfig,
    LSTMTokenizer,
    RecurrentEncoderDecoderConfig,
    RecurrentEncoderDecoderForConditionalGeneration,
    TranslationTokenizer,
)


PAIRS = [
    {"en": "The cat sat.", "zh": "猫坐着。"},
    {"en": "A dog saw the cat on the mat.", "zh": "狗看见垫子上的猫。"},
    {"en": "I see.", "zh": "我明白。"},
    {"en": "The dog sat on the mat, too.", "zh": "狗也坐在垫子上。"},
    {"en": "Who are you?", "zh": "你是谁？"},
]
ENGLISH, CHINESE = ([pair[side] for pair in PAIRS] for side in ("en", "zh"))
LIMIT = 9  # tokens of a target: less than some have


def tokenizer_of(kind: str):
    if kind == "one":
        options = {"add_eos_token": True, "vocab_size": 300, "show_progress": False}
        return LSTMTokenizer.train_from_iterator(ENGLISH + CHINESE, "bpe", **options)
    options = {"vocab_size": 270, "target_kind": "char", "show_progress": False}
    return TranslationTokenizer.train_from_iterator((ENGLISH, CHINESE), "bpe", **options)


@pytest.fixture(params=["one", "two"])
def folder(request, tmp_path):
    """A model that knows nothing, with its tokenizer."""
    tokenizer, special = tokenizer_of(request.param), {n: i for n, i in SPECIAL.items() if n != "unk_token_id"}
    sizes = (len(tokenizer), len(getattr(tokenizer, "target", tokenizer)))
    options = {"hidden_size": 8, "embedding_size": 8, "initializer": "uniform", "initializer_range": 1.0, **special}
    encoder, decoder = (LSTMConfig(vocab_size=size, **options) for size in sizes)
    config = RecurrentEncoderDecoderConfig(
        encoder=encoder, decoder=decoder, share_encoder_decoder_embeddings=request.param == "one"
    )
    for part in (RecurrentEncoderDecoderForConditionalGeneration(config), tokenizer):
        part.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def load(folder):
    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder, use_fast=True)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, config=config)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert model.config.decoder_start_token_id == tokenizer.bos_token_id
    return model, tokenizer


def encode(tokenizer, padding: str | bool = False) -> Dataset:
    def tokenize(rows):
        sources, targets = ([pair[side] for pair in rows["translation"]] for side in ("en", "zh"))
        inputs = tokenizer(sources, max_length=32, padding=padding, truncation=True)
        labels = tokenizer(text_target=targets, max_length=LIMIT, padding=padding, truncation=True)
        pad = tokenizer.pad_token_id
        return inputs | {"labels": [[-100 if id == pad else id for id in row] for row in labels["input_ids"]]}

    return Dataset.from_dict({"translation": PAIRS}).map(tokenize, batched=True, remove_columns=["translation"])


def trainer_for(folder, padding: str | bool = False, compute_metrics=None, **arguments):
    model, tokenizer = load(folder)
    collator = DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=-100, pad_to_multiple_of=8)
    rows = encode(tokenizer, padding)
    options = {"max_steps": 1, "per_device_train_batch_size": 5, "per_device_eval_batch_size": 2}
    return Seq2SeqTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(folder.parent / "log", **(PLAIN_TRAINING | options | arguments)),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
        data_collator=default_data_collator if padding else collator,
        compute_metrics=compute_metrics,
    )


def each_alone(trainer):
    """The pairs as tensors of one row, without padding."""
    for row in encode(trainer.processing_class):
        yield torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])


def slow_loss(trainer, smoothing: float = 0.0, rows: slice = slice(None)) -> torch.Tensor:
    """The mean over all labels of some pairs, pair by pair."""
    model = trainer.model.eval()
    total, count = 0.0, 0
    for source, labels in [*each_alone(trainer)][rows]:
        read = torch.cat([torch.full((1, 1), SPECIAL["bos_token_id"]), labels[:, :-1]], 1)
        logits = model(source, decoder_input_ids=read).logits
        total = total + F.cross_entropy(logits[0], labels[0], reduction="sum", label_smoothing=smoothing)
        count += labels.numel()
    return total / count


def decoded(tokenizer, ids) -> list[str]:
    return tokenizer.batch_decode(np.where(ids != -100, ids, tokenizer.pad_token_id), skip_special_tokens=True)


def test_labels_end_with_a_token_that_ends_and_fit(folder):
    _, tokenizer = load(folder)
    rows = encode(tokenizer)
    assert all(ids[-1] == SPECIAL["eos_token_id"] and SPECIAL["bos_token_id"] not in ids for ids in rows["input_ids"])
    assert max(map(len, rows["labels"])) == LIMIT
    whole = tokenizer(text_target=CHINESE)["input_ids"]
    assert decoded(tokenizer, np.array(whole[2])[None]) == CHINESE[2:3]
    assert all(cut[:-1] == full[: len(cut) - 1] for cut, full in zip(rows["labels"], whole, strict=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_evaluates_and_predicts_as_pair_by_pair(folder, smoothing):
    """Loss, metrics and texts, whatever the batch and its padding; a text of no length is decoded as one."""
    seen = {}

    def keep(prediction):
        predictions, labels = (decoded(trainer.processing_class, ids) for ids in prediction)
        seen.update(predictions=predictions, labels=labels)
        return {"count": len(predictions)}

    trainer = trainer_for(folder, compute_metrics=keep, predict_with_generate=True, label_smoothing_factor=smoothing)
    tokenizer = trainer.processing_class
    losses = [slow_loss(trainer, smoothing, slice(i, i + 2)).item() for i in (0, 2, 4)]
    expected = sum(losses) / 3  # Trainer's mean is one over batches, whatever is in them
    targets = [decoded(tokenizer, labels.numpy())[0] for _, labels in each_alone(trainer)]
    for options in ({"num_beams": 1}, {"num_beams": 3}, {"num_beams": 3, "length_penalty": 0.8}):
        alone = [trainer.model.generate(source, max_length=12, **options)[0] for source, _ in each_alone(trainer)]
        texts = tokenizer.batch_decode(alone, skip_special_tokens=True)
        found = trainer.evaluate(max_length=12, **options)
        assert found["eval_loss"] == pytest.approx(expected, rel=1e-4) and found["eval_count"] == len(PAIRS)
        assert seen == {"predictions": texts, "labels": targets}
        output = trainer.predict(trainer.eval_dataset, max_length=12, **options)
        assert output.metrics["test_loss"] == pytest.approx(expected, rel=1e-4)
        assert decoded(tokenizer, output.predictions) == texts
    config = GenerationConfig.from_model_config(trainer.model.config)
    config.update(max_new_tokens=4, num_beams=2)
    found = trainer.predict(trainer.eval_dataset, generation_config=config).predictions
    alone = [trainer.model.generate(source, generation_config=config)[0] for source, _ in each_alone(trainer)]
    assert decoded(tokenizer, found) == tokenizer.batch_decode(alone, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("padding", "batch", "smoothing"), [(False, 5, 0.0), (False, 5, 0.1), (False, 2, 0.1), ("max_length", 5, 0.0)]
)
def test_a_step_is_one_on_the_mean_over_all_labels(folder, padding, batch, smoothing):
    """With Trainer's own label smoothing and with gradients of several batches; padded by the tokenizer or later."""
    options = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": -(-5 // batch)}
    trainer = trainer_for(folder, padding, label_smoothing_factor=smoothing, **options)
    named = dict(trainer.model.named_parameters())
    gradients = torch.autograd.grad(slow_loss(trainer, smoothing), list(named.values()))
    expected = [p.detach() - 0.1 * gradient for p, gradient in zip(named.values(), gradients, strict=True)]
    trainer.train()
    assert_close([p.detach() for p in named.values()], expected, 1e-5)


def test_learns_saves_and_resumes(folder):
    """From a checkpoint on it is the training that goes through; what it saves is a folder to begin with."""
    options = {"learning_rate": 0.03, "optim": "adamw_torch", "save_steps": 25, "max_steps": 40}
    trainer = trainer_for(folder, **options, save_strategy="steps")
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert after < 0.5 * before
    resumed = trainer_for(folder, **options)
    resumed.train(resume_from_checkpoint=str(folder.parent / "log" / "checkpoint-25"))
    assert_close(list(resumed.model.parameters()), list(trainer.model.parameters()), 0)
    trainer.save_model(folder.parent / "saved")
    again = trainer_for(folder.parent / "saved")
    assert again.evaluate()["eval_loss"] == after
    for source, _ in each_alone(again):
        written = [each.model.eval().generate(source, max_length=12, num_beams=3) for each in (again, trainer)]
        assert torch.equal(*written)


def test_tokens_that_are_added_have_embeddings(folder):
    """A script resizes only where the tokenizer is larger than the embedding."""
    model, tokenizer = load(folder)
    tokenizer.add_tokens(["<2zh>"])
    size = model.get_input_embeddings().weight.shape[0]
    assert len(tokenizer) > size
    model.resize_token_embeddings(len(tokenizer))
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    batch = DataCollatorForSeq2Seq(tokenizer, model=model)(
        [tokenizer(f"<2zh> {text}", text_target=target) for text, target in zip(ENGLISH, CHINESE, strict=True)]
    )
    assert (batch["input_ids"][:, 0] == size).all()
    model(**batch).loss.backward()
    assert model.get_input_embeddings().weight.grad[size].any()


def test_padding_at_the_left(folder):
    """The collator puts labels where the tokenizer puts padding."""
    losses = []
    for side in ("right", "left"):
        trainer = trainer_for(folder)
        trainer.processing_class.padding_side = side
        losses.append(trainer.evaluate()["eval_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_label_smoothing_without_decoder_inputs_is_explained(folder):
    """Trainer takes the labels away, and a collator that does not have the model makes nothing of them."""
    trainer = trainer_for(folder, "max_length", label_smoothing_factor=0.1)
    with pytest.raises(ValueError, match=r"`decoder_input_ids`.*"):
        trainer.train()

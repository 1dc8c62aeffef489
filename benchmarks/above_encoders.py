# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What our layers cost above a pretrained encoder, what a frozen one saves, and what n-grams beside a network cost."""

from collections.abc import Iterator

import torch
from models import labelling, training
from tagging import LABELS, batches
from timing import Comparison, Settings
from transformers import BertConfig, BertForTokenClassification

from hf_lstm import LSTMConfig, LSTMForSequenceClassification, LSTMForTokenClassification


SPECIAL = [[101], [102]]
SENTENCES, RATE = 96, 1e-5


def encoder(settings: Settings) -> Iterator[Comparison]:
    """
    An encoder of the size of all-MiniLM-L6-v2 below a convolution over characters, a bidirectional LSTM 200 and a CRF,
    against the same encoder with a linear layer, on the same sentences of words of 1 to 3 pieces: training with the
    step of AdamW. And the encoder frozen: an epoch that remembers what it said against the first, which asks it.
    """
    size = settings.size
    shape = {"hidden_size": size(32) * 12, "num_attention_heads": 12, "num_hidden_layers": size(6)}
    config = BertConfig(vocab_size=30_522, intermediate_size=4 * shape["hidden_size"], **shape)
    fields = {
        "embedding_size": 0,
        "vocab_size": size(20_000),
        "hidden_size": size(200),
        "char_vocab_size": 80,
        "char_hidden_size": size(50),
        "encoder": config,
        "encoder_special_ids": SPECIAL,
        "id2label": dict(enumerate(LABELS)),
        "use_crf": True,
    }
    ours, frozen = (LSTMForTokenClassification(LSTMConfig(**fields, train_encoder=each)) for each in (True, False))
    linear = BertConfig.from_dict(config.to_dict() | {"num_labels": len(LABELS)})
    theirs = BertForTokenClassification(linear)
    words = [with_pieces(batch) for batch in batches(settings, fields["vocab_size"], 20, SENTENCES)]
    pieces = [of_pieces(batch) for batch in words]
    for model in (ours, frozen, theirs):
        model.to(settings.device)
    train, train_linear, train_frozen = (
        training(model, [{name: value.to(settings.device) for name, value in batch.items()} for batch in data], RATE)
        for model, data in ((ours, words), (theirs, pieces), (frozen, words))
    )
    tokens = sum(int(batch["attention_mask"].sum()) for batch in words)
    unit, work = "tokens a second", (tokens, tokens)
    name = "MiniLM, characters, BiLSTM 200 and CRF"
    yield Comparison(f"{name}, training", "<= 1.25", "MiniLM and a linear layer", train, train_linear, unit, work)

    def first_epoch():
        frozen.base_model.piece_encoder.remember()
        train_frozen()

    frozen.base_model.piece_encoder.remember()
    name += ", the encoder frozen"
    yield Comparison(f"{name}, later epochs", ">= 5", "the first epoch", train_frozen, first_epoch, unit, work)


def ngrams(settings: Settings) -> Iterator[Comparison]:
    """A linear model of n-grams beside a classifier, a bidirectional LSTM 100, against the classifier alone."""
    fields = {"vocab_size": settings.size(10_000), "hidden_size": settings.size(100), "num_labels": 6}
    fields |= {"bidirectional": True}
    ours, theirs = (
        LSTMForSequenceClassification(LSTMConfig(**fields, ngram_buckets=buckets)).to(settings.device)
        for buckets in (settings.size(2**18), 0)
    )
    texts = []
    for batch in batches(settings, fields["vocab_size"], 32, settings.size(512)):
        labels = torch.randint(6, batch["labels"].shape[:1]).to(settings.device)
        texts.append({name: batch[name] for name in ("input_ids", "attention_mask")} | {"labels": labels})
    tokens = sum(int(batch["attention_mask"].sum()) for batch in texts)
    unit, work, against = "tokens a second", (tokens, tokens), "the classifier alone"
    train, train_alone = (training(model, texts, RATE) for model in (ours, theirs))
    classify, classify_alone = (labelling(model, texts) for model in (ours, theirs))
    name = "BiLSTM 100 and n-grams of words"
    yield Comparison(f"{name}, training", "<= 1.1", against, train, train_alone, unit, work)
    yield Comparison(f"{name}, classifying", "<= 1.1", against, classify, classify_alone, unit, work, judged=False)


def with_pieces(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Words with their pieces, 1 to 3 of each, as `LSTMTokenizer` gives them."""
    mask = batch["attention_mask"]
    numbers = torch.randint(1, 4, mask.shape) * mask
    last = numbers.cumsum(1) * mask
    spans = torch.stack([(last - numbers + 1) * mask, last], -1)
    lengths = numbers.sum(1)
    ids = torch.randint(1000, 30_000, (len(mask), int(lengths.max())))
    ids[torch.arange(ids.shape[1]) >= lengths[:, None]] = -1
    return batch | {"encoder_ids": ids, "encoder_spans": spans}


def of_pieces(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same pieces as `BertForTokenClassification` reads them, the label of a word at its first."""
    ids, (rows, length) = batch["encoder_ids"], batch["encoder_ids"].shape
    lengths = (ids >= 0).sum(1)
    whole = torch.zeros(rows, length + 2, dtype=torch.long)
    whole[:, 1:-1] = ids.clamp(min=0)
    whole[:, 0] = SPECIAL[0][0]
    whole[torch.arange(rows), lengths + 1] = SPECIAL[1][0]
    labels = torch.full_like(whole, -100)
    words = batch["attention_mask"] != 0
    at, _ = words.nonzero(as_tuple=True)
    labels[at, batch["encoder_spans"][..., 0][words]] = batch["labels"][words]
    mask = (torch.arange(length + 2) < lengths[:, None] + 2).long()
    return {"input_ids": whole, "attention_mask": mask, "labels": labels}

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The linear-chain CRF by itself, and a whole tagger with characters and CRF."""

import importlib.util
from collections.abc import Iterator

import torch
from models import encoder, labelling, step, training
from ragged import ROWS, sentence_lengths
from timing import Comparison, Settings
from torch import nn

from hf_lstm import LSTMConfig, LSTMForTokenClassification
from hf_lstm.models.crf import LinearChainCRF
from hf_lstm.training.batching import TokenBudgetBatchSampler


LABELS = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for prefix in "BIES")]  # 17
SIZES = {"vocab_size": 20_000, "embedding_size": 100, "hidden_size": 200, "bidirectional": True}


def crf(settings: Settings) -> Iterator[Comparison]:
    """
    The CRF alone, batch 32, 17 labels, 50 tokens, whole and of 10 to 50 tokens: its share of a training step of a
    bidirectional LSTM 256, and its speed against pytorch-crf. Of shorter rows the share is larger: the LSTM spares the
    padding, the CRF has as many steps as the longest row.
    """
    shape = ROWS, settings.size(50), len(LABELS)
    model, _ = encoder("LSTM", settings, input_size=300, hidden_size=256, bidirectional=True)
    inputs = torch.randn(*shape[:2], settings.size(300), device=settings.device, requires_grad=True)
    scores = torch.randn(shape, device=settings.device, requires_grad=True)
    labels = torch.randint(shape[-1], shape[:2], device=settings.device)
    ours = LinearChainCRF(shape[-1], LABELS).to(settings.device)
    theirs = _pytorch_crf(ours)
    lengths = torch.randint(min(10, shape[1]), shape[1] + 1, shape[:1])
    whole = "whole", torch.full_like(lengths, shape[1]), "<= 0.05"
    for name, longest, bar in (whole, ("of 10 to 50 tokens", lengths, "<= 0.06")):
        mask = (torch.arange(shape[1]) < longest[:, None]).to(settings.device)
        sizes = f"17 labels, batch {ROWS} x {shape[1]}, {name}"

        def loss(mask=mask):
            ours(scores, labels, mask).sum().backward()

        def layer(mask=mask):
            step(lambda: model(inputs_embeds=inputs, attention_mask=mask).last_hidden_state, True)

        yield Comparison(f"CRF loss and gradients, {sizes}", bar, "training step of a BiLSTM 256", loss, layer)
        if theirs is None:
            print(f"| CRF, {sizes} | pytorch-crf | not installed: pip install pytorch-crf |", flush=True)
            continue

        def their_loss(mask=mask):
            (-theirs(scores, labels, mask, reduction="none")).sum().backward()

        torch.testing.assert_close(ours(scores, labels, mask), -theirs(scores, labels, mask, reduction="none"))
        yield Comparison(f"CRF loss and gradients, {sizes}", ">= 4", "pytorch-crf", loss, their_loss)

        @torch.no_grad()
        def decode(mask=mask):
            return ours.decode(scores, mask)

        @torch.no_grad()
        def their_decode(mask=mask):
            return theirs.decode(scores, mask)

        yield Comparison(
            f"CRF decoding, {sizes}", ">= 3", "pytorch-crf, which has no constraints", decode, their_decode
        )


def _pytorch_crf(ours: LinearChainCRF):
    """That of pytorch-crf with the same parameters; None where it is not installed."""
    if importlib.util.find_spec("torchcrf") is None:
        return None
    from torchcrf import CRF

    theirs = CRF(ours.num_labels, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    return theirs.to(ours.transitions.device)


class _PlainTagger(nn.Module):
    """What a tutorial builds: embedding, `nn.LSTM` and a linear layer on padded batches, neither exact nor a CRF."""

    def __init__(self, vocab_size: int, embedding_size: int, hidden_size: int, bidirectional: bool):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True, bidirectional=bidirectional)
        self.output = nn.Linear(2 * hidden_size, len(LABELS))

    def forward(self, input_ids: torch.LongTensor) -> torch.Tensor:
        return self.output(self.lstm(self.embedding(input_ids))[0])


def tagger(settings: Settings) -> Iterator[Comparison]:
    """
    A tagger with a convolution over characters and a CRF, against a plain one of the same sizes without either, on the
    same batches by length; training includes the step of AdamW, tagging, in batches four times as large, the decoding
    and the posteriors of all labels.
    """
    sizes = SIZES | {name: settings.size(SIZES[name]) for name in ("vocab_size", "embedding_size", "hidden_size")}
    config = LSTMConfig(
        **sizes, char_vocab_size=80, char_hidden_size=50, use_crf=True, id2label=dict(enumerate(LABELS))
    )
    ours, theirs = LSTMForTokenClassification(config), _PlainTagger(**sizes)
    small_batches, large_batches = (list(batches(settings, sizes["vocab_size"], rows)) for rows in (ROWS, 4 * ROWS))
    tokens, more_tokens = (
        sum(int(batch["attention_mask"].sum()) for batch in each) for each in (small_batches, large_batches)
    )
    ours.to(settings.device), theirs.to(settings.device)

    optimizer = torch.optim.AdamW(theirs.parameters(), fused=True)
    train, tag = training(ours, small_batches), labelling(ours, large_batches)

    def train_plain():
        for batch in small_batches:
            optimizer.zero_grad()
            scores = theirs.train()(batch["input_ids"])
            nn.functional.cross_entropy(scores.flatten(0, 1), batch["labels"].flatten()).backward()
            optimizer.step()

    @torch.no_grad()
    def tag_plain():
        for batch in large_batches:
            theirs.eval()(batch["input_ids"]).argmax(-1)

    unit, against = "tokens a second", "nn.LSTM and a linear layer"
    name = "BiLSTM 200 with characters and CRF"
    # 1.35 to 1.4: characters and CRF, in Python and small kernels, weigh more where large products are faster (AMX).
    yield Comparison(f"{name}, training", "<= 1.4", against, train, train_plain, unit, (tokens, tokens))
    yield Comparison(f"{name}, tagging", "<= 2", against, tag, tag_plain, unit, (more_tokens,) * 2, judged=False)


def batches(settings: Settings, vocab_size: int, rows: int, sentences: int = 512) -> Iterator[dict[str, torch.Tensor]]:
    """Sentences in batches by length, about so many rows in one; words by Zipf's law, with 1 to 12 characters."""
    lengths = sentence_lengths(settings.size(sentences), settings.size(113))
    frequencies = 1 / torch.arange(1, vocab_size)
    characters = torch.randint(2, 80, (vocab_size, 12)) * (torch.arange(12) < torch.randint(1, 13, (vocab_size, 1)))
    budget = max(int(lengths.max()), rows * int(lengths.float().mean()))
    for chosen in TokenBudgetBatchSampler(lengths, budget):
        mask = (torch.arange(int(lengths[chosen].max())) < lengths[chosen][:, None]).long()
        ids = (1 + frequencies.multinomial(mask.numel(), replacement=True).view_as(mask)) * mask
        labels = torch.randint(len(LABELS), mask.shape).masked_fill(mask == 0, -100)
        batch = {
            "input_ids": ids,
            "attention_mask": mask,
            "char_ids": characters[ids] * mask[..., None],
            "labels": labels,
        }
        yield {name: value.to(settings.device) for name, value in batch.items()}

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Sentences of many lengths, per real token, against `PackedSequence`, which is what people write today."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from models import encoder, step
from timing import Comparison, Settings
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hf_lstm.training.batching import TokenBudgetBatchSampler


ROWS = 32  # sentences of a random batch


@dataclass(frozen=True)
class Batch:
    """Padded inputs of sentences and their lengths."""

    inputs: torch.Tensor  # (B, T, E)
    lengths: torch.Tensor  # (B,), on the CPU, where packing wants them

    @classmethod
    def random(cls, lengths: torch.Tensor, input_size: int, device: str) -> "Batch":
        """Inputs that ask for gradients, as those of a trained embedding do."""
        inputs = torch.randn(len(lengths), int(lengths.max()), input_size, device=device, requires_grad=True)
        return cls(inputs, lengths)

    @property
    def tokens(self) -> int:
        """Real positions."""
        return int(self.lengths.sum())

    @property
    def mask(self) -> torch.Tensor:
        return (torch.arange(self.inputs.shape[1]) < self.lengths[:, None]).long().to(self.inputs.device)


class Passes:
    """Our model and torch's module over batches, padding out of the outputs in both."""

    def __init__(self, settings: Settings, **sizes):
        self.model, self.bare = encoder("LSTM", settings, **sizes)

    def ours(self, batches: list[Batch], train: bool):
        """What to run."""
        padded = [(batch.inputs, batch.mask) for batch in batches]

        def run():
            self.model.train(train)
            for x, mask in padded:
                step(lambda x=x, mask=mask: self.model(inputs_embeds=x, attention_mask=mask).last_hidden_state, train)

        return run

    def packed(self, batches: list[Batch], train: bool):
        def run():
            for batch in batches:
                step(lambda batch=batch: self.packed_outputs(batch), train)

        return run

    def packed_outputs(self, batch: Batch) -> torch.Tensor:
        packed = pack_padded_sequence(batch.inputs, batch.lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.bare(packed)[0], batch_first=True)[0]

    def check(self, batch: Batch) -> None:
        """Ours and theirs agree."""
        self.model.eval()
        outputs = self.model(inputs_embeds=batch.inputs, attention_mask=batch.mask).last_hidden_state
        torch.testing.assert_close(outputs, self.packed_outputs(batch), atol=1e-4, rtol=1e-4)


def sentence_lengths(count: int, longest: int) -> torch.Tensor:
    """
    Lengths like those of the sentences of CoNLL 2003 (mean 14.5, standard deviation 11.8, longest 113): drawn from the
    gamma distribution with that mean and deviation.
    """
    mean, deviation = 14.5, 11.8
    gamma = torch.distributions.Gamma(mean**2 / deviation**2, mean / deviation**2)
    return gamma.sample((count,)).round().long().clamp(1, longest)


def _batches_of(lengths: torch.Tensor, groups, input_size: int, device: str) -> list[Batch]:
    return [Batch.random(lengths[torch.as_tensor(group)], input_size, device) for group in groups]


def ragged(settings: Settings) -> Iterator[Comparison]:
    """
    A BiLSTM tagger's encoder over sentences in random batches, and in batches of similar length. What PackedSequence
    takes depends on the processor: in training 3.2 to 3.5 times as long as batches by budget.
    """
    size, device = settings.size(300), settings.device
    lengths = sentence_lengths(settings.size(512), settings.size(113))
    tokens = int(lengths.sum())
    random = _batches_of(lengths, torch.arange(len(lengths)).split(settings.size(ROWS)), size, device)
    padded = sum(batch.inputs.shape[0] * batch.inputs.shape[1] for batch in random)
    # As many padded positions a batch as the random batches hold on average: the same memory.
    budget = max(int(lengths.max()), padded // len(random))
    grouped = _batches_of(lengths, TokenBudgetBatchSampler(lengths, budget), size, device)
    passes = Passes(settings, input_size=300, hidden_size=256, bidirectional=True)
    passes.check(random[0])
    table = (("training", True, ">= 1.6", ">= 3.2"), ("inference", False, ">= 1.0", ">= 1.8"))
    for mode, train, random_bar, grouped_bar in table:
        theirs = passes.packed(random, train)
        kinds = ("random batches", random, random_bar), ("batches by budget", grouped, grouped_bar)
        for kind, batches, bar in kinds:
            name = f"BiLSTM 256, sentences, {mode}, {kind}"
            ours, work = passes.ours(batches, train), (tokens, tokens)
            yield Comparison(name, bar, "PackedSequence, random batches", ours, theirs, "tokens a second", work)


def long_batch(length: int, rows: int, input_size: int, device: str) -> Batch:
    """Rows of half that length to all of it."""
    lengths = torch.randint(max(1, length // 2), length + 1, (rows,))
    lengths[0] = length
    return Batch.random(lengths, input_size, device)


def long(settings: Settings) -> Iterator[Comparison]:
    """Training on long sequences, where `PackedSequence` grows with the square of the length on a CPU."""
    passes, rows = Passes(settings, input_size=256, hidden_size=256), settings.size(16)
    short, full = (long_batch(settings.size(n), rows, settings.size(256), settings.device) for n in (32, 1024))
    passes.check(short)
    name = f"LSTM 256, up to {full.inputs.shape[1]} steps, batch {rows}, training"
    ours, against = passes.ours([full], True), f"ours, up to {short.inputs.shape[1]} steps"
    work = full.tokens, short.tokens
    yield Comparison(name, "<= 1.3", against, ours, passes.ours([short], True), "us a token", work)
    theirs, work = passes.packed([full], True), (full.tokens, full.tokens)
    yield Comparison(name, ">= 30", "PackedSequence", ours, theirs, "us a token", work, slow=True)

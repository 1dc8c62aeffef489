# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Steps of `Trainer` and of `StatefulTrainer`, against bare loops over the same batches."""

import gc
import tempfile
from collections.abc import Iterator

import torch
import wikitext2
from models import SHAPES, language_model
from timing import Comparison, Settings
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments, default_data_collator

from hf_lstm.training.stateful import StatefulTrainer, TokenStreams


def trainer(settings: Settings) -> Iterator[Comparison]:
    """Training steps with AdamW and clipped gradients, with what `train` does once but for collecting garbage."""
    rows, length, steps = settings.size(16), settings.size(32), settings.size(10)
    model = language_model("LSTM", *SHAPES["3 M"], settings).train()
    ids = torch.randint(model.config.vocab_size, (rows * steps, length))
    dataset = [{"input_ids": row, "labels": row} for row in ids]
    loader = DataLoader(dataset, rows, shuffle=True, collate_fn=default_data_collator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)

    def theirs():
        for batch in loader:
            optimizer.zero_grad()
            model(**{name: values.to(settings.device) for name, values in batch.items()}).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    with tempfile.TemporaryDirectory() as folder:
        gc.freeze()  # `train` begins by looking through all objects, once, which takes as long as two steps here
        ours = _trainer_of(model, dataset, rows, folder).train
        name = f"LSTM language model of 3 M, batch {rows} x {length}, {steps} steps"
        # What Trainer does between two steps takes 0.2 to 0.7 ms, of steps of 8 ms: 1.03 to 1.08.
        yield Comparison(name, "<= 1.08", "bare loop", ours, theirs, work=(steps, steps))


def stateful(settings: Settings) -> Iterator[Comparison]:
    """
    Training steps of the word language model of pytorch/examples (2 x 200, tied, 33,278 words, 20 rows of 35 steps,
    gradient descent) by `StatefulTrainer`, the loss without logits, and by a bare loop over torch's own modules.
    """
    vocab_size, steps = settings.size(33_278), settings.size(12)
    text = torch.randint(vocab_size, (wikitext2.ROWS * wikitext2.STEPS * steps + 1,))
    bare = wikitext2.Bare(vocab_size)
    streams = TokenStreams(text, wikitext2.ROWS, wikitext2.STEPS)

    def theirs():
        wikitext2.bare_epoch(bare, streams, 1e-3, bf16=False)

    with tempfile.TemporaryDirectory() as folder:
        arguments = wikitext2.arguments(folder, learning_rate=1e-3, num_train_epochs=1, logging_strategy="no")
        gc.freeze()
        trainer = StatefulTrainer(wikitext2.ours(bare), arguments, sequence_length=wikitext2.STEPS, train_dataset=text)
        trainer.remove_callback(PrinterCallback)
        name = f"LSTM language model, 2 x 200, {vocab_size:,} words, {steps} steps of truncated back-propagation"
        yield Comparison(name, "<= 1.1", "bare loop", trainer.train, theirs, work=(steps, steps))


def _trainer_of(model, dataset: list[dict], rows: int, folder: str) -> Trainer:
    """One that does what the bare loop does, and is silent about it."""
    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=rows,
        num_train_epochs=1,
        learning_rate=1e-4,
        weight_decay=0.01,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        lr_scheduler_type="constant",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=model.device.type == "cpu",
    )
    trainer = Trainer(model, arguments, train_dataset=dataset, data_collator=default_data_collator)
    trainer.remove_callback(PrinterCallback)
    return trainer

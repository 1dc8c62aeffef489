# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Embeddings of sentences: a backbone under the pooling of sentence-transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from chats import QUESTIONS, run, run_snippet
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

from hf_lstm import GRUConfig, GRUModel


TEXTS = ["snow is white", *QUESTIONS, "a"]
VISIT = """
import numpy
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("embedder", trust_remote_code=True)
assert type(model[0].model).__module__.startswith("transformers_modules")
numpy.save("embeddings.npy", model.encode({texts!r}))
"""


@pytest.fixture
def plain_folder(folder):
    """The folder of the page with a tokenizer that has no chat template."""
    (folder / "my_model" / "chat_template.jinja").unlink()
    return folder


@torch.no_grad()
def means(model, rows: list[list[int]]) -> np.ndarray:
    """The mean output over the tokens of each row, one row at a time."""
    outputs = [model(torch.tensor([row])).last_hidden_state[0] for row in rows]
    return torch.stack([each.mean(0) for each in outputs]).numpy()


@pytest.mark.parametrize("bidirectional", [False, True], ids=["as in the page", "GRU in both directions"])
def test_snippet(plain_folder, chat_model, record, bidirectional):
    model, tokenizer = chat_model[0].model, chat_model[1]
    if bidirectional:
        config = GRUConfig(vocab_size=len(tokenizer), hidden_size=8, pad_token_id=0, bidirectional=True)
        model = GRUModel(config).eval()
        model.save_pretrained("my_model")
    names = run_snippet("sentence-transformers")
    embedder, expected = names["model"], means(model, tokenizer(TEXTS)["input_ids"])
    for batch_size in (1, 3, len(TEXTS)):  # with other padding
        np.testing.assert_allclose(embedder.encode(TEXTS, batch_size=batch_size), expected, atol=1e-6)
    np.testing.assert_allclose(names["embeddings"][0], expected[0], atol=1e-6)
    again = SentenceTransformer("embedder", trust_remote_code=True)
    np.testing.assert_allclose(again.encode(TEXTS), expected, atol=1e-6)
    Path("visit.py").write_text(VISIT.format(texts=TEXTS))
    run("python visit.py", plain_folder, installed=False)
    np.testing.assert_allclose(np.load("embeddings.npy"), expected, atol=1e-6)
    if not bidirectional:
        record("sentence-transformers", embedder, f"embeddings of shape {names['embeddings'].shape}")


def test_chat_template(folder, chat_model):
    """A tokenizer that has one makes a turn of a chat of each text."""
    model, tokenizer = chat_model
    turns = [tokenizer.apply_chat_template([{"role": "user", "content": text}])["input_ids"] for text in TEXTS]
    embedder = run_snippet("sentence-transformers")["model"]
    np.testing.assert_allclose(embedder.encode(TEXTS), means(model.model, turns), atol=1e-6)


def test_training(plain_folder, record):
    """Of two sentences that are alike and two that are not, by a few steps."""
    embedder = run_snippet("sentence-transformers")["model"]
    pairs = [("snow is white", "what colour is the snow ?", 1.0), ("snow is white", "coal is black", -1.0)]
    data = Dataset.from_list([dict(zip(("sentence1", "sentence2", "score"), pair, strict=True)) for pair in pairs] * 8)

    def similarities() -> list[float]:
        return [float(embedder.similarity(*embedder.encode(list(pair[:2]))[:, None])) for pair in pairs]

    before = similarities()
    options = {"num_train_epochs": 8, "learning_rate": 0.01, "per_device_train_batch_size": 4, "logging_steps": 8}
    quiet = {"report_to": "none", "use_cpu": True, "save_strategy": "no", "disable_tqdm": True}
    arguments = SentenceTransformerTrainingArguments("trained", **options, **quiet)
    trainer = SentenceTransformerTrainer(embedder, arguments, train_dataset=data, loss=CosineSimilarityLoss(embedder))
    trainer.train()
    after = similarities()
    assert after[0] > 0.9 and after[1] < 0 and after[1] < before[1]
    record(
        "sentence-transformers",
        f"cosines before {before[0]:.2f}, {before[1]:.2f}; after {after[0]:.2f}, {after[1]:.2f}",
    )
    embedder.save_pretrained("trained")
    again = SentenceTransformer("trained", trust_remote_code=True)
    np.testing.assert_allclose(again.encode(TEXTS), embedder.encode(TEXTS), atol=1e-6)

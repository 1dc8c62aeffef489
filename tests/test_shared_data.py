# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""On real text: the counts that the data sets publish, and models that learn. Skipped where there is no data."""

import gzip
import math
import re

import pytest
import torch
from families import each_family
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

from hf_lstm import LSTMTokenizer


def read_lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().split("\n")


def test_wikitext_2_has_its_published_vocabulary(shared_data):
    """33,278 types with the end of a line; `<unk>` of the text is our unknown token, and nothing else is unknown."""
    folder = shared_data / "wikitext-2"
    train, valid = (read_lines(folder / f"wiki.{split}.tokens.gz") for split in ("train", "valid"))
    tokenizer = LSTMTokenizer.train_from_iterator(
        train, kind="word", vocab_size=50_000, split_punctuation=False, show_progress=False
    )
    special = {tokenizer.pad_token, tokenizer.bos_token, tokenizer.unk_token, tokenizer.eos_token}
    assert len(tokenizer) - len(special) == 33_278 - 2  # `<unk>` and the end of a line are among the special tokens
    ids = [i for line in tokenizer(valid)["input_ids"] for i in line]
    assert len(ids) == 217_646 - 3_760  # all but one end of a line for each
    assert ids.count(tokenizer.unk_token_id) == 11_718


def test_shakespeare_survives_characters_and_bytes(shared_data):
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")[:100_000]
    for kind in ("char", "bpe"):
        tokenizer = LSTMTokenizer.train_from_iterator([text], kind=kind, vocab_size=500, show_progress=False)
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(set(text)) + 4 == len(LSTMTokenizer.train_from_iterator([text], kind="char", show_progress=False))


def test_chinese_characters(shared_data):
    lines = (shared_data / "resume_ner" / "dev.char.bmes").read_text(encoding="utf-8").splitlines()
    sentences = "\n".join(line.split(" ")[0] for line in lines).split("\n\n")
    words = [sentence.split("\n") for sentence in sentences if sentence]
    tokenizer = LSTMTokenizer.train_from_iterator(words, kind="word", is_split_into_words=True, show_progress=False)
    batch = tokenizer(words[:20], is_split_into_words=True)
    for i, sentence in enumerate(words[:20]):
        assert batch.word_ids(i) == list(range(len(sentence)))
        assert tokenizer.unk_token_id not in batch["input_ids"][i]
        assert tokenizer("".join(sentence))["input_ids"] == batch["input_ids"][i]


def test_texts_are_cut_as_the_corpus_was(shared_data):
    """Development sentences of CoNLL-2003, joined by blanks, and with the blanks before punctuation taken out."""
    folder, sentences = shared_data / "conll2003", {}
    for split in ("train", "testa"):
        blocks = "\n".join(read_lines(folder / f"eng.{split}.gz")).split("\n\n")
        rows = [[line.split(" ")[0] for line in block.strip().split("\n")] for block in blocks if block.strip()]
        sentences[split] = [row for row in rows if row != ["-DOCSTART-"]]
    tokenizer = LSTMTokenizer.train_from_iterator(
        sentences["train"], "word", is_split_into_words=True, lowercase=True, fold_digits=True, show_progress=False
    )
    texts = [" ".join(words) for words in sentences["testa"]]
    ordinary = [re.sub(r" ([.,;:?!)]|'s\b)", r"\1", text.replace("( ", "(")) for text in texts]
    for written, least in ((texts, 0.997), (ordinary, 0.96)):
        offsets = tokenizer(written, return_offsets_mapping=True)["offset_mapping"]
        found = [[text[start:end] for start, end in row] for text, row in zip(written, offsets, strict=True)]
        equal = sum(a == b for a, b in zip(found, sentences["testa"], strict=True))
        assert equal >= least * len(texts)


@each_family
def test_a_short_training_beats_letter_frequencies(family, shared_data, tmp_path):
    """One hundred small steps on Shakespeare: well below the entropy of single characters and of pairs."""
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    tokenizer = LSTMTokenizer.train_from_iterator([text], kind="char", show_progress=False)
    ids = torch.tensor(tokenizer(text)["input_ids"])
    rows = [{"input_ids": row} for row in ids[: 128 * 4000].view(-1, 128)]
    model = family.head("ForCausalLM")(
        family.config_class(vocab_size=len(tokenizer), hidden_size=128, pad_token_id=tokenizer.pad_token_id)
    )
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=100,
        per_device_train_batch_size=32,
        learning_rate=0.01 if family.name != "RNN" else 0.003,
        lr_scheduler_type="cosine",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    trainer = Trainer(model, arguments, data_collator=collator, train_dataset=rows[100:], eval_dataset=rows[:100])
    trainer.train()
    counts = torch.bincount(ids)
    unigram = -(counts[counts > 0] / len(ids) * (counts[counts > 0] / len(ids)).log()).sum().item()
    assert unigram == pytest.approx(3.32, abs=0.02)
    assert trainer.evaluate()["eval_loss"] < 2.35 < unigram - math.log(2)

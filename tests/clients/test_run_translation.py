# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The folder and the files for `run_translation.py` of transformers. The script itself is in no package that could be
installed; what it calls is in `tests/test_seq2seq_training.py`.
"""

import torch
from chats import run_snippet
from datasets import load_dataset
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, DataCollatorForSeq2Seq


def test_snippet(tmp_path, monkeypatch, record):
    monkeypatch.chdir(tmp_path)
    run_snippet("run_translation.py")
    data = load_dataset("json", data_files={split: f"{split}.json" for split in ("train", "validation", "test")})
    assert {split: rows.column_names for split, rows in data.items()} == {split: ["translation"] for split in data}
    model, tokenizer = (
        auto_class.from_pretrained("translator", trust_remote_code=True)
        for auto_class in (AutoModelForSeq2SeqLM, AutoTokenizer)
    )
    pairs = data["train"][:4]["translation"]
    rows = [tokenizer(pair["en"], text_target=pair["zh"], max_length=128, truncation=True) for pair in pairs]
    batch = DataCollatorForSeq2Seq(tokenizer, model=model)([dict(row) for row in rows])
    assert torch.isfinite(model(**batch).loss)
    texts = tokenizer.batch_decode(batch["labels"].clamp(min=0), skip_special_tokens=True)
    assert texts == [pair["zh"] for pair in pairs]
    record("transformers", f"run_translation.py: {len(data['train'])} pairs, {model.num_parameters()} parameters")

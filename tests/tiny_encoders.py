# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Tiny encoders of transformers, of random weights, with their tokenizers: folders that nobody has to download."""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)


SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
KINDS = {  # configuration of a tiny one, and whether its pieces are bytes
    "bert": (BertConfig, False),
    "roberta": (RobertaConfig, True),
    "deberta": (DebertaV2Config, True),
    "electra": (ElectraConfig, False),
    "modernbert": (ModernBertConfig, True),
}


def tokenizer_of(of_bytes: bool, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """An uncased one of words and what follows in them, or one of bytes, in which <s> has the id 0 and <pad> 1."""
    special = [*SPECIAL.values()]
    if of_bytes:
        special = [special[2], special[0], special[1], special[3]]
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        backend.normalizer = normalizers.BertNormalizer(lowercase=True)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=special, show_progress=False)
    backend.train_from_iterator(texts, trainer)
    around = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=40, **SPECIAL)


def save_encoder(folder: Path, kind: str, texts: Iterable[str]) -> Path:
    """One of `KINDS`, which reads 40 pieces at once, with a tokenizer trained on `texts`."""
    config_class, of_bytes = KINDS[kind]
    torch.manual_seed(0)
    tokenizer = tokenizer_of(of_bytes, texts)
    ids = {f"{each}_token_id": getattr(tokenizer, f"{each}_token_id") for each in ("pad", "cls", "sep")}
    longest = {"max_position_embeddings": 42 if kind == "roberta" else 40}
    embedding = {"embedding_size": 12} if kind == "electra" else {}
    config = config_class(vocab_size=len(tokenizer), initializer_range=0.3, **SIZES, **ids, **longest, **embedding)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Data to train on: texts for language models, tagged sentences, classified texts, and pairs to translate."""

from .classified import class_names, encode_classified, load_classified
from .documentation import python_docs, rewrite, sorted_docs, unwrite, unwritten_docs
from .pair_splits import drop_leaks, split_pairs
from .pairs import encode_pairs, load_pairs, read_pairs
from .sound import build_ctc_tokenizer, read_sound
from .speech import encode_speech, load_speech
from .tagged import convert_tag_column, encode_tagged, load_tagged, load_tagged_splits, tag_strings, write_tagged
from .text import encode_text, load_text, make_blocks


__all__ = [
    "build_ctc_tokenizer",
    "class_names",
    "convert_tag_column",
    "drop_leaks",
    "encode_classified",
    "encode_pairs",
    "encode_speech",
    "encode_tagged",
    "encode_text",
    "load_classified",
    "load_pairs",
    "load_speech",
    "load_tagged",
    "load_tagged_splits",
    "load_text",
    "make_blocks",
    "python_docs",
    "read_pairs",
    "read_sound",
    "rewrite",
    "sorted_docs",
    "split_pairs",
    "tag_strings",
    "unwrite",
    "unwritten_docs",
    "write_tagged",
]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""How the tokens of a text and the pieces that a pretrained encoder cuts it into lie over each other."""

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer
from transformers import TokenizersBackend


def backend_of(tokenizer: TokenizersBackend) -> Tokenizer:
    """
    What cuts texts for an encoder, a copy without padding and truncation.

    Raises:
        `ValueError`: If the tokenizer has no backend of the `tokenizers` library.
    """
    if not isinstance(tokenizer, TokenizersBackend):
        raise ValueError(
            f"`encoder_tokenizer` is {tokenizer!r:.60}: give the tokenizer of the encoder, as "
            "`AutoTokenizer.from_pretrained(...)` returns it."
        )
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    return backend


def special_ids(backend: Tokenizer) -> list[list[int]]:
    """The ids that stand before and behind a text that an encoder reads."""
    for text in ("a", *backend.get_vocab()):
        whole = backend.encode(text)
        own = [i for i, text in enumerate(whole.sequence_ids) if text is not None]
        if own:
            return [whole.ids[: own[0]], whole.ids[own[-1] + 1 :]]


def aligned(
    backend: Tokenizer, texts: Sequence[str], spans: Sequence[Sequence[Sequence[int]]]
) -> tuple[list[list[int]], list[list[list[int]]]]:
    """
    The pieces of texts, and those of each token: all that have a character of it.

    Args:
        backend (`Tokenizer`): What cuts texts for the encoder.
        texts (`Sequence[str]`): Texts.
        spans (sequence of sequences of pairs): Of each token of a text its first and its last character, from 1 on; 0
            for a token without any.

    Returns:
        `tuple`: the ids of the pieces of each text; and for each token its first and its last piece, from 1 on, or 0.
    """
    encodings = backend.encode_batch(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in encodings], [
        _pieces_of(encoding.offsets, places) for encoding, places in zip(encodings, spans, strict=True)
    ]


def _pieces_of(offsets: list[tuple[int, int]], spans: Sequence[Sequence[int]]) -> list[list[int]]:
    """The first and last piece, from 1 on, of tokens whose characters are at `spans`; 0 for none."""
    places = np.array(spans, np.int64).reshape(-1, 2)  # (T, 2)
    edges = np.array(offsets, np.int64).reshape(-1, 2)  # (S, 2), the end excluded
    first = np.searchsorted(np.maximum.accumulate(edges[:, 1]), places[:, 0]) + 1  # the first that ends behind it
    starts = np.minimum.accumulate(edges[::-1, 0])[::-1]
    last = np.searchsorted(starts, places[:, 1])  # begin no later than its last
    found = (places[:, 1] > 0) & (first <= last)
    return (np.stack([first, last], 1) * found[:, None]).tolist()

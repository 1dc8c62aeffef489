# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Which word of a source each word of its translation looked at, read off the weights of attention. They say where the
model looked, which need not be what the word is a translation of.

Glossary: S source tokens, T target tokens.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase


_CJK = r"\u3001-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


def split_words(text: str) -> list[str]:
    """
    The words that alignments count: what white space separates, and each character of Chinese or Japanese alone.

    Args:
        text (`str`): A text.

    Returns:
        `list[str]`: Its words.
    """
    return _WORD.findall(text)


def words_of_tokens(input_ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> list[int | None]:
    """
    The word that each token belongs to, of [`split_words`] of the decoded text.

    Args:
        input_ids (`Sequence[int]`): Token ids of one text, as a model read or generated them.
        tokenizer ([`PreTrainedTokenizerBase`]): The tokenizer of their side; of a
            [`~tokenization_translation.TranslationTokenizer`] its `source` or `target`.

    Returns:
        `list[int | None]`: For each token the number of the word where it begins, `None` for special tokens and for
            white space.

    Example:

    ```python
    >>> from hf_lstm import LSTMTokenizer
    >>> from hf_lstm.evaluation.alignments import words_of_tokens

    >>> options = {"kind": "char", "add_eos_token": True, "show_progress": False}
    >>> tokenizer = LSTMTokenizer.train_from_iterator(["no cat"], **options)
    >>> words_of_tokens(tokenizer("no cat")["input_ids"], tokenizer)
    [0, 0, None, 1, 1, 1, None]
    ```
    """
    found, before, special = [], [], set(tokenizer.all_special_ids)
    for end, token in enumerate(input_ids, start=1):
        text = tokenizer.decode(input_ids[:end], skip_special_tokens=True)
        after, part_of_character = split_words(text), text.endswith("\ufffd")  # of several bytes
        if token in special or (after == before and not part_of_character):
            found.append(None)
        else:  # it begins a word, or the last one so far has grown
            found.append(len(before) - (after == before or after[: len(before)] != before))
        before = after
    return found


def words_of_spans(text: str, offsets: Sequence[tuple[int, int]]) -> list[int | None]:
    """
    The word that each token belongs to, of [`split_words`] of a text that was encoded.

    Args:
        text (`str`): The text.
        offsets (`Sequence[tuple[int, int]]`): Where each token begins and ends in it: its `offset_mapping`.

    Returns:
        `list[int | None]`: For each token the number of the word where it begins, `None` for special tokens and for
            white space.

    Example:

    ```python
    >>> from hf_lstm.evaluation.alignments import words_of_spans

    >>> words_of_spans("no cat", [(0, 2), (2, 4), (4, 6), (0, 0)])
    [0, 1, 1, None]
    ```
    """
    words = [found.span() for found in _WORD.finditer(text)]

    def word_of(start: int, end: int) -> int | None:
        return next((i for i, (first, last) in enumerate(words) if start < last and end > first), None)

    return [word_of(start, end) if end > start else None for start, end in offsets]


def alignments(
    weights: np.ndarray | torch.Tensor,
    source_words: Sequence[int | None] | None = None,
    target_words: Sequence[int | None] | None = None,
) -> list[tuple[int, int]]:
    """
    For each target word the source word that it looked at most: by the sum over the tokens of both and over the heads.

    Args:
        weights (`np.ndarray` or `torch.Tensor` of shape `(T, S)` or `(heads, T, S)`):
            Weights of attention of one pair; row t is of the step that wrote target token t.
        source_words (`Sequence[int | None]`, *optional*): The word that each of the S tokens belongs to, by
            [`words_of_tokens`], or by `word_ids()` of an encoding. What is `None`, special tokens and padding, counts
            as not looked at. By default each token is a word.
        target_words (`Sequence[int | None]`, *optional*): The same for the T tokens.

    Returns:
        `list[tuple[int, int]]`: Pairs of a source word and a target word, in the order of the latter. A target word
            that looked at no source word has none.

    Raises:
        `ValueError`: If the shapes do not fit.

    Example:

    ```python
    >>> from hf_lstm.evaluation.alignments import alignments, pharaoh

    >>> weights = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.1, 0.1, 0.8]]  # the last row and column are of `</s>`
    >>> pharaoh(alignments(weights, source_words=[0, 1, None], target_words=[0, 1, None]))
    '0-0 1-1'
    ```
    """
    weights = np.nan_to_num(attention_array(weights, source_words, target_words).sum(0))  # (T, S)
    source_words = range(weights.shape[1]) if source_words is None else source_words
    target_words = range(weights.shape[0]) if target_words is None else target_words
    rows, columns = (sorted({word for word in words if word is not None}) for words in (target_words, source_words))
    weights = _members(rows, target_words) @ weights @ _members(columns, source_words).T  # by words
    pairs = zip(rows, weights, strict=True)
    return [(columns[looks.argmax()], row) for row, looks in pairs if len(columns) and looks.max() > 0]


def pharaoh(pairs: Iterable[tuple[int, int]]) -> str:
    """
    Alignments in the format of Pharaoh and Moses, which other programs read: `"0-0 1-2"`.

    Args:
        pairs (iterable of `tuple[int, int]`): What [`alignments`] returned.

    Returns:
        `str`: Source and target word of each pair.
    """
    return " ".join(f"{source}-{target}" for source, target in pairs)


def attention_array(
    weights: np.ndarray | torch.Tensor, source: Sequence | None = None, target: Sequence | None = None
) -> np.ndarray:
    """
    Weights of attention as an array of shape `(heads, T, S)`.

    Args:
        weights (`np.ndarray` or `torch.Tensor` of shape `(T, S)` or `(heads, T, S)`): The weights.
        source, target (`Sequence`, *optional*): What there is of each source and of each target token.

    Raises:
        `ValueError`: If `weights` has another shape, or there is more or less than that of `source` or `target`.
    """
    array = torch.as_tensor(weights).detach().float().cpu().numpy()
    if array.ndim not in (2, 3):
        raise ValueError(
            f"`weights` has the shape {array.shape}: give those of one pair, (target tokens, source tokens) or with "
            "the heads in front; of a batch, one row."
        )
    for name, given, size in (("source", source, array.shape[-1]), ("target", target, array.shape[-2])):
        if given is not None and len(given) != size:
            raise ValueError(
                f"`weights` has the shape {array.shape}, {size} {name} tokens, but {len(given)} are given: give one "
                "for each, special tokens and padding included."
            )
    return array if array.ndim == 3 else array[None]


def _members(words: list[int], owners: Sequence[int | None]) -> np.ndarray:
    """A row for each word, 1 at its tokens."""
    rows = [[owner == word for owner in owners] for word in words]
    return np.array(rows, dtype=float).reshape(len(words), len(owners))


__all__ = ["alignments", "attention_array", "pharaoh", "split_words", "words_of_spans", "words_of_tokens"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Splits of pairs that do not leak: no side of a pair to evaluate on, however it is written, is one to train on."""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence

from datasets import Dataset, DatasetDict
from transformers.utils import logging


logger = logging.get_logger(f"transformers.{__name__}")


class _Bare(dict):
    """For `str.translate`: characters but punctuation, blanks and controls, which become nothing."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PZC" else code
        return self[code]


_BARE = _Bare()


def split_pairs(
    dataset: Dataset,
    *,
    test: float = 0.05,
    validation: float = 0.05,
    source_key: Callable[[str], str] | None = None,
    target_key: Callable[[str], str] | None = None,
    seed: int = 0,
) -> DatasetDict:
    """
    Split pairs so that no source and no target of one split is in another. One sentence has several translations, and
    one translation belongs to several sentences: drawn pair by pair, a model has seen a side of many pairs that test
    it. Here all pairs that share a side, and those that share one with these, and so on, stay together.

    Sides are compared without case, punctuation and blanks, and by the compatible form of characters (NFKC). What is
    in a split depends on the texts and on `seed`, not on the order of the rows, which each split keeps.

    Args:
        dataset (`Dataset`): The pairs, in the columns `"source"` and `"target"`, as from [`read_pairs`].
        test (`float`, *optional*, defaults to 0.05):
            Share of the pairs to test on, or their number, if it is 1 or more. About as many are taken; with 0 there
            is no such split.
        validation (`float`, *optional*, defaults to 0.05): The same for choosing an epoch.
        source_key (`Callable[[str], str]`, *optional*):
            What else makes sources the same: a function of one, compared in its place. The texts stay as they are.
        target_key (`Callable[[str], str]`, *optional*):
            The same for targets. For Chinese in both scripts that is `opencc.OpenCC("t2s").convert`, of the package
            `opencc`.
        seed (`int`, *optional*, defaults to 0): Another one gives another split.

    Returns:
        `DatasetDict`: The splits `"train"`, `"validation"` and `"test"`.

    Raises:
        `ValueError`: If there is nothing left to train on, or if pairs hang together so much that a split would have
            less than half of what is asked.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from hf_lstm.data import split_pairs

    >>> pairs = [("Hi!", "嗨。"), ("hi", "你好。"), ("Hello.", "你好！"), ("Run.", "跑。"), ("Stop.", "停。")]
    >>> pairs = Dataset.from_list([{"source": source, "target": target} for source, target in pairs])
    >>> splits = split_pairs(pairs, test=1, validation=1)
    >>> splits["train"]["source"][:]
    ['Hi!', 'hi', 'Hello.']
    ```
    """
    number = len(dataset)
    wanted = {"test": test, "validation": validation}
    for name, size in wanted.items():
        if size < 0:
            raise ValueError(f"`{name}` is {size}: give a share or a number of pairs, or 0 for none.")
    wanted = {name: round(size if size >= 1 else size * number) or 1 for name, size in wanted.items() if size > 0}
    if sum(wanted.values()) >= number:
        raise ValueError(
            f"`test` is {test} and `validation` {validation} of {number:,} pairs, which leaves none to train on: ask "
            "for less."
        )
    groups = _groups(_keys(dataset, "source", source_key), _keys(dataset, "target", target_key), seed)
    rows = {name: [] for name in wanted}
    for group in groups:
        name = next((name for name in wanted if len(rows[name]) + len(group) <= wanted[name]), "train")
        rows.setdefault(name, []).extend(group)
    for name, size in wanted.items():
        if 2 * len(rows[name]) < size:
            largest = max(groups, key=len)
            raise ValueError(
                f"`{name}` asks for {size:,} of {number:,} pairs, and {len(rows[name]):,} are found: {len(largest):,} "
                f"hang together by sides that they share, such as row {min(largest)}, "
                f"{dataset[min(largest)]['source'][:40]!r}. Ask for less, or take out texts that many pairs have."
            )
    return DatasetDict(
        {name: dataset.select(sorted(rows[name])) for name in ("train", "validation", "test") if name in rows}
    )


def drop_leaks(
    dataset: Dataset,
    held_out: Dataset | Sequence[Dataset],
    *,
    source_key: Callable[[str], str] | None = None,
    target_key: Callable[[str], str] | None = None,
) -> Dataset:
    """
    The pairs to train on that share no side with pairs to evaluate on, for data with an official split. How many are
    dropped is said.

    Args:
        dataset (`Dataset`): Pairs to train on, in the columns `"source"` and `"target"`.
        held_out (`Dataset` or a sequence of them): Pairs to evaluate on.
        source_key (`Callable[[str], str]`, *optional*): See [`split_pairs`], where it is told what is the same.
        target_key (`Callable[[str], str]`, *optional*): The same for targets.

    Returns:
        `Dataset`: The others, in their order.

    Raises:
        `ValueError`: If none is left, or the columns are missing.
    """
    held_out = [held_out] if isinstance(held_out, Dataset) else held_out
    shared = {}
    for side, key in (("source", source_key), ("target", target_key)):
        seen = {text for part in held_out for text in _keys(part, side, key)}
        shared[side] = {i for i, text in enumerate(_keys(dataset, side, key)) if text in seen}
    dropped = shared["source"] | shared["target"]
    if len(dropped) == len(dataset):
        raise ValueError(
            f"`held_out` has a side of each of the {len(dataset):,} pairs of `dataset`: give other pairs."
        )
    if dropped:
        logger.warning(
            f"{len(dropped):,} of {len(dataset):,} pairs are dropped, such as row {min(dropped)}: pairs that are held "
            f"out have the source of {len(shared['source']):,} and the target of {len(shared['target']):,}."
        )
    return dataset.select([i for i in range(len(dataset)) if i not in dropped])


def normalized(text: str) -> str:
    """A text as it is compared: without case, punctuation and blanks; one that has nothing else keeps them."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded.translate(_BARE) or folded)


def _keys(dataset: Dataset, side: str, key: Callable[[str], str] | None) -> list[str]:
    """A side of each pair as it is compared."""
    if side not in dataset.column_names:
        raise ValueError(f"`dataset` has the columns {dataset.column_names}: it needs 'source' and 'target'.")
    texts = dataset[side][:]
    if any(not isinstance(text, str) for text in texts):
        row, text = next((i, text) for i, text in enumerate(texts) if not isinstance(text, str))
        raise ValueError(f"`dataset` has {text!r} as {side} of row {row}: leave such pairs out, as `read_pairs` does.")
    return [normalized(key(text) if key else text) for text in texts]


def _groups(sources: list[str], targets: list[str], seed: int) -> list[list[int]]:
    """The rows that hang together by equal sides, in an order that only the texts and the seed decide."""
    parents = list(range(len(sources)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    for side in (sources, targets):
        first = {}
        for i, text in enumerate(side):
            parents[root(i)] = root(first.setdefault(text, i))
    groups = defaultdict(list)
    for i in range(len(sources)):
        groups[root(i)].append(i)

    def place(group: list[int]) -> bytes:  # a source is in one group alone
        return hashlib.sha256(f"{seed} {min(sources[i] for i in group)}".encode()).digest()

    return sorted(groups.values(), key=place)

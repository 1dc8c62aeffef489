# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Batches of sequences of similar length under a budget of tokens, for training with `Trainer` and for prediction.

A step of a recurrent network costs its padded size, B rows times T steps. Sorted by length a batch holds hardly any
padding, and with a budget in place of a fixed number of rows short sequences share a batch with many others.

Glossary: N examples, B rows of a batch, T steps of a batch, K scores a position.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from transformers.utils import logging

from ..evaluation_mode import evaluation_mode
from .card_trainer import CardTrainer


LABELS = {"label", "labels", "label_ids"}  # columns that prediction leaves aside


class TokenBudgetBatchSampler(Sampler[list[int]]):
    """
    Batches of the indices of sequences of similar length, for the argument `batch_sampler` of a `DataLoader`. The
    padded size of a batch, rows times longest, is at most `max_tokens`. Every example comes once an epoch.

    Shuffled, every epoch has other batches in another order, a function of `seed` and of the epoch alone: lengths
    that differ by less than `bucket_width` are ties and fall in random order, and where the first batch is cut is
    random, which moves all cuts after it. The number of batches is the same in every epoch, because `Trainer` counts
    the steps of the first one only. Not shuffled, the longest batch comes first, so that memory that does not suffice
    shows at once.

    For several processes the number of batches is a multiple of `num_processes`, and batches of similar length
    follow one another in groups of that many: dealt out in turn, as accelerate does it, each process gets as many
    batches as any other, no example comes twice, and in no step do processes wait for one with longer sequences.

    Args:
        lengths (`Sequence[int]`, `np.ndarray` or `torch.Tensor` of shape `(N,)`): Number of steps of each example.
        max_tokens (`int`):
            The budget, rows times longest. An example that is longer by itself is refused, not truncated.
        max_rows (`int`, *optional*): Most rows of a batch.
        multiple_of (`int`, *optional*, defaults to 1):
            What the collator pads lengths to a multiple of (its `pad_to_multiple_of`); padded size counts it.
        shuffle (`bool`, *optional*, defaults to `True`): Random batches that change with the epoch, or longest first.
        seed (`int`, *optional*, defaults to 0): Seed of the random batches.
        bucket_width (`float`, *optional*, defaults to 0.05):
            Share of their length by which sequences may differ and still count as equal when batches are drawn.
        num_processes (`int`, *optional*, defaults to 1): Processes that share the batches.

    Example:

    ```python
    >>> from hf_lstm.training.batching import TokenBudgetBatchSampler

    >>> batches = TokenBudgetBatchSampler([3, 9, 2, 8, 3], max_tokens=18, shuffle=False)
    >>> list(batches)
    [[1, 3], [0, 4, 2]]
    >>> len(batches)
    2
    ```
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray | torch.Tensor,
        max_tokens: int,
        *,
        max_rows: int | None = None,
        multiple_of: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        bucket_width: float = 0.05,
        num_processes: int = 1,
    ):
        for name, value in (
            ("max_tokens", max_tokens),
            ("max_rows", 1 if max_rows is None else max_rows),
            ("multiple_of", multiple_of),
            ("num_processes", num_processes),
        ):
            if value < 1:
                raise ValueError(f"`{name}` is {value}: give at least 1.")
        if not 0 <= bucket_width < 1:
            raise ValueError(f"`bucket_width` is {bucket_width}: give a share of a length, from 0 to below 1.")
        lengths = _checked(lengths)
        lengths = -(-lengths // multiple_of) * multiple_of
        longest = int(lengths.argmax())
        if lengths[longest] > max_tokens:
            raise ValueError(
                f"`max_tokens` is {max_tokens}, but example {longest} has {lengths[longest]} steps with its padding: "
                f"truncate the examples, or give a `max_tokens` of at least {lengths[longest]}."
            )
        self.max_tokens, self.max_rows = max_tokens, len(lengths) if max_rows is None else max_rows
        self.shuffle, self.seed, self.epoch, self.num_processes = shuffle, seed, 0, num_processes
        self._keys = _bucketed(lengths, bucket_width) if shuffle else lengths  # (N,)
        self._sorted = -np.sort(-self._keys)  # (N,), the same in every epoch
        fewest = len(self._cuts())
        # One batch more than needed is what a random first cut can take, see `_cuts`.
        self._number = self._rounded(fewest + shuffle)
        if self._number > len(lengths):
            self._number = self._rounded(fewest)
        self._may_move = shuffle and self._number > fewest
        if self._number > len(lengths):
            raise ValueError(
                f"`num_processes` is {num_processes}, for which {len(lengths)} examples in {fewest} batches cannot be "
                "dealt out evenly: use fewer processes or a larger `max_tokens`."
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next; the loader of `Trainer` does so by itself."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of batches, over all processes and the same in every epoch."""
        return self._number

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self._keys)) if self.shuffle else np.arange(len(self._keys))
        order = order[np.argsort(-self._keys[order], kind="stable")]  # (N,), ties in random order
        first = int(random.integers(1, self._rows(0) + 1)) if self._may_move else None
        batches = np.split(order, self._split_up(self._cuts(first))[:-1])
        groups = np.arange(self._number).reshape(-1, self.num_processes)
        for number in (random.permutation(groups) if self.shuffle else groups).flat:
            yield batches[number].tolist()

    def _rows(self, position: int) -> int:
        """How many rows fit with the example at a position of the sorted order, the longest of them."""
        return min(self.max_rows, self.max_tokens // int(self._sorted[position]), len(self._sorted) - position)

    def _cuts(self, first: int | None = None) -> list[int]:
        """
        The ends of the batches, each as large as fits, after a first one of `first` rows. A batch that begins later
        ends later or at the same place, so the batches after the first are no more than if it had not been there.
        """
        ends = [self._rows(0) if first is None else first]
        while ends[-1] < len(self._sorted):
            ends.append(ends[-1] + self._rows(ends[-1]))
        return ends

    def _split_up(self, ends: list[int]) -> list[int]:
        """Halve the batch of most rows until the number is the promised one."""
        while len(ends) < self._number:
            rows = np.diff(ends, prepend=0)
            largest = int(rows.argmax())
            ends.insert(largest, ends[largest] - int(rows[largest]) // 2)
        return ends

    def _rounded(self, number: int) -> int:
        return -(-number // self.num_processes) * self.num_processes


class LengthBatchingTrainer(CardTrainer):
    """
    A `Trainer` whose training batches come from [`TokenBudgetBatchSampler`]: all else, checkpoints in the middle of an
    epoch and several processes included, is as in `Trainer`. `per_device_train_batch_size` and
    `train_sampling_strategy` have no effect, and no batch is dropped.

    Lengths are read from the column `length_column_name` of the arguments where the dataset has it, else from the main
    input of the model. The seed of the batches is `data_seed`, or `seed`.

    Evaluation keeps the batches of `Trainer`. It averages the losses of batches as though they had equally many rows,
    gathers equally many rows from each process, and returns predictions in the order of the dataset: none of it holds
    for batches by budget. For quick predictions there is [`predict`].

    Mind the loss. A loss that is a mean over examples gives those of a batch of few long rows a greater weight than
    in batches of equally many rows; a loss over tokens is not affected much, since batches hold about equally many.

    Args:
        max_tokens (`int`): The budget of a batch on one device, rows times longest.
        max_rows (`int`, *optional*): Most rows of a batch.
        multiple_of (`int`, *optional*, defaults to 1): What the collator pads lengths to a multiple of.
        kwargs: The arguments of `Trainer`, in their order or by name.

    Example:

    ```python
    >>> from transformers import DefaultDataCollator, TrainingArguments
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.training.batching import LengthBatchingTrainer

    >>> rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 8
    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> arguments = TrainingArguments("out", report_to="none", use_cpu=True, disable_tqdm=True)
    >>> options = {"data_collator": DefaultDataCollator(), "train_dataset": rows}
    >>> trainer = LengthBatchingTrainer(model, arguments, max_tokens=12, **options)
    >>> [batch["input_ids"].shape[0] <= 4 for batch in trainer.get_train_dataloader()]
    [True, True, True]
    ```
    """

    def __init__(self, *args, max_tokens: int, max_rows: int | None = None, multiple_of: int = 1, **kwargs):
        super().__init__(*args, **kwargs)
        if self.args.auto_find_batch_size:
            raise ValueError("`auto_find_batch_size` is True, but `max_tokens` sets the size: switch it off.")
        for name in ("dispatch_batches", "split_batches"):
            if getattr(self.args.accelerator_config, name):
                raise ValueError(f"`{name}` is True, but batches differ in size: switch it off.")
        self._budget = {"max_tokens": max_tokens, "max_rows": max_rows, "multiple_of": multiple_of}
        self._follow_epochs = _FollowEpochs()
        self.add_callback(self._follow_epochs)

    def get_train_dataloader(self) -> DataLoader:
        """The loader of the training data, batches by budget, prepared for the device and the processes."""
        dataset, args = self.train_dataset, self.args
        if dataset is None:
            raise ValueError("`train_dataset` is None: give one to train on.")
        name = getattr(self.model, "main_input_name", "input_ids")
        sampler = TokenBudgetBatchSampler(
            _lengths(dataset, "train_dataset", name, args.length_column_name),
            seed=args.seed if args.data_seed is None else args.data_seed,
            num_processes=args.world_size,
            **self._budget,
        )
        self._follow_epochs.sampler = sampler
        collator = self.data_collator
        if hasattr(dataset, "column_names"):
            dataset = self._remove_unused_columns(dataset, description="training")
        else:
            collator = self._get_collator_with_removed_columns(collator, description="training")
        loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )
        return self._prepared(loader)

    def _known(self, model: PreTrainedModel) -> dict[str, Any]:
        budget = " and ".join(f"`{name}={value}`" for name, value in self._budget.items() if value not in (None, 1))
        batches = f"Batches of examples of like length, by {budget} in place of `per_device_train_batch_size`."
        return super()._known(model) | {"procedure": batches}

    def _prepared(self, loader: DataLoader) -> DataLoader:
        # Our batches come in a multiple of the processes: nothing is left to be made even, and accelerate before 1.15
        # refuses to do so for batches that differ in size.
        accelerator = self.accelerator
        even_batches, accelerator.even_batches = accelerator.even_batches, False
        try:
            return accelerator.prepare(loader)
        finally:
            accelerator.even_batches = even_batches


class _FollowEpochs(TrainerCallback):
    """
    Tells the sampler the epoch. Trainer and accelerate tell a batch sampler that they have wrapped once at most; in
    several processes that resume from the middle of an epoch ours is wrapped twice.
    """

    sampler: TokenBudgetBatchSampler | None = None

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.sampler.set_epoch(int(state.epoch or 0))


def predict(
    model: torch.nn.Module,
    dataset,
    collator: Callable[[list[dict]], Any] | PreTrainedTokenizerBase,
    *,
    max_tokens: int,
    max_rows: int | None = None,
    lengths: Sequence[int] | None = None,
    take: Callable[[Any, Any], Sequence] | None = None,
    show_progress: bool = True,
) -> list:
    """
    Run a model over a dataset in batches by budget, the longest first, and give the results in the order of the
    dataset. The model runs on its own device without dropout and without gradients, and stays in the mode it was in.
    Columns that its `forward` does not name are left out, and so are labels, those of the collator included.

    Args:
        model (`torch.nn.Module`): The model.
        dataset (`Dataset` or sequence of `dict`): The N examples, tokenized.
        collator (`Callable` or `PreTrainedTokenizerBase`): Makes a batch of a list of examples; a tokenizer pads them.
        max_tokens (`int`): The budget of a batch, rows times longest.
        max_rows (`int`, *optional*): Most rows of a batch.
        lengths (`Sequence[int]`, *optional*): Steps of each example; by default of the main input of the model.
        take (`Callable`, *optional*):
            What to keep: a function of the outputs of the model and of the batch that returns B results. By default
            the logits, on the CPU: `(T, K)` without padding where they are scores of positions, else `(K,)`.
        show_progress (`bool`, *optional*, defaults to `True`): Whether to show a progress bar.

    Returns:
        `list`: The N results.

    Raises:
        `ValueError`: If the dataset is empty or has no length, an example exceeds the budget, or the padding of the
            logits cannot be told.

    Example:

    ```python
    >>> from transformers import DefaultDataCollator
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.training.batching import predict

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> rows = [{"input_ids": [1, 2, 3], "attention_mask": [1, 1, 1]}, {"input_ids": [4], "attention_mask": [1]}]
    >>> scores = predict(model, rows, DefaultDataCollator(), max_tokens=3, show_progress=False)
    >>> [tuple(row.shape) for row in scores]
    [(3, 10), (1, 10)]
    ```
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # the adapters of peft hide it
    if lengths is None:
        lengths = _lengths(dataset, "dataset", getattr(inner, "main_input_name", "input_ids"))
    elif len(lengths) != len(dataset):
        raise ValueError(f"`lengths` has {len(lengths)} entries for {len(dataset)} examples: give one for each.")
    sampler = TokenBudgetBatchSampler(lengths, max_tokens, max_rows=max_rows, shuffle=False)
    pad = collator.pad if isinstance(collator, PreTrainedTokenizerBase) else collator
    options = {"return_tensors": "pt"} if isinstance(collator, PreTrainedTokenizerBase) else {}
    names = set(inspect.signature(inner.forward).parameters) - LABELS

    def collate(examples):
        return pad([{name: row[name] for name in row if name in names} for row in examples], **options)

    # A generator of its own: the loader would draw from the global one, and change the training around it.
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, generator=torch.Generator())
    device = next(model.parameters()).device
    results, bar = [None] * len(dataset), logging.tqdm(total=len(dataset), disable=not show_progress)
    with evaluation_mode(model), torch.no_grad(), bar as progress:
        for indices, batch in zip(sampler, loader, strict=True):
            batch = {name: x.to(device) if torch.is_tensor(x) else x for name, x in batch.items()}
            outputs = model(**{name: x for name, x in batch.items() if name in names})
            rows = (take or _logits)(outputs, batch)
            for index, row in zip(indices, rows, strict=True):
                results[index] = row
            progress.update(len(indices))
    return results


def predict_tags(
    model: PreTrainedModel, dataset, collator: Callable[[list[dict]], Any], *, max_tokens: int
) -> tuple[list[list[str]], list[list[str]]]:
    """
    The tags that a tagger gives to words, by [`predict`].

    Args:
        model ([`PreTrainedModel`]): The tagger.
        dataset (`Dataset` or sequence of `dict`): N sentences as [`~data.encode_tagged`] returns them: the labels
            say which tokens stand for words.
        collator (`Callable`): Makes a batch of a list of sentences.
        max_tokens (`int`): The budget of a batch, rows times longest.

    Returns:
        `tuple[list[list[str]], list[list[str]]]`: For each sentence the tags of the best path, and for each word the
        most probable one. Without a CRF they are the same.

    Raises:
        `ValueError`: As [`predict`] does.
    """
    outputs = predict(
        model,
        dataset,
        lambda rows: {**collator(rows), "output_marginals": model.config.use_crf},
        max_tokens=max_tokens,
        take=_best_and_most_probable,
    )
    firsts = [[label != -100 for label in row] for row in dataset["labels"]]  # the first token of each word
    best, most_probable = (
        [[model.config.id2label[i] for i in compress(row, first)] for row, first in zip(rows, firsts, strict=True)]
        for rows in zip(*outputs, strict=True)
    )
    return best, most_probable


def _best_and_most_probable(outputs, batch: dict) -> list[tuple[list[int], list[int]]]:
    probabilities = outputs.logits if outputs.marginals is None else outputs.marginals
    lengths = batch["attention_mask"].sum(1).tolist()
    rows = zip(outputs.logits.argmax(-1).tolist(), probabilities.argmax(-1).tolist(), lengths, strict=True)
    return [(best[:length], most_probable[:length]) for best, most_probable, length in rows]


def _logits(outputs, batch: dict) -> list[torch.Tensor]:
    if "logits" not in outputs:
        raise ValueError(f"`take` is None and the model returns {list(outputs)}, no logits: give a function.")
    logits = outputs["logits"].cpu()
    if logits.dim() < 3:  # (B, K)
        return list(logits)
    mask = batch.get("attention_mask")
    if mask is None or mask.shape != logits.shape[:2]:
        raise ValueError(
            f"`take` is None and the logits have shape {tuple(logits.shape)} where the attention mask has "
            f"{None if mask is None else tuple(mask.shape)}: let the collator return a mask, or give a function."
        )
    return [row[real] for row, real in zip(logits, mask.bool().cpu(), strict=True)]  # (B, T, K)


def _checked(lengths) -> np.ndarray:
    lengths = np.asarray(lengths)
    if lengths.ndim != 1 or lengths.size == 0:
        raise ValueError(f"`lengths` has shape {lengths.shape}: give one number for each of at least one example.")
    if not np.issubdtype(lengths.dtype, np.integer):
        raise ValueError(f"`lengths` holds values of type {lengths.dtype}: give whole numbers of steps.")
    if lengths.min() < 0:
        shortest = int(lengths.argmin())
        raise ValueError(f"`lengths` is {lengths[shortest]} at example {shortest}: give numbers of steps.")
    return np.maximum(lengths.astype(np.int64), 1)  # an empty example takes a step of padding


def _bucketed(lengths: np.ndarray, width: float) -> np.ndarray:
    """For each example the greatest length in its bucket, `(N,)`: a batch that counts with it cannot exceed."""
    if width == 0:
        return lengths
    buckets = (np.log(lengths) / np.log1p(width)).astype(np.int64)  # floor: lengths are at least 1
    greatest = np.zeros(buckets.max() + 1, dtype=np.int64)
    np.maximum.at(greatest, buckets, lengths)
    return greatest[buckets]


def _lengths(dataset, argument: str, name: str, length_column: str | None = None) -> np.ndarray:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise ValueError(f"`{argument}` is a {type(dataset).__name__}, which has no length: give a map-style dataset.")
    if len(dataset) == 0:
        raise ValueError(f"`{argument}` is empty: give at least one example.")
    columns = getattr(dataset, "column_names", None) or ()
    if length_column in columns:
        return np.asarray(dataset[length_column][:])
    if name not in dataset[0]:
        raise ValueError(f"`{argument}` has the columns {list(dataset[0])}, but the input of the model is {name!r}.")
    rows = dataset[name] if name in columns else (dataset[index][name] for index in range(len(dataset)))
    return np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(dataset))

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Truncated back-propagation through time with `Trainer`: a text is read in one go, and the state is carried on.

Glossary: N tokens, R rows, B of them on one device, K chunks of an epoch, T steps of a chunk.
"""

import heapq
import os
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch.utils.data import DataLoader, Dataset
from transformers import TrainerCallback
from transformers.trainer_utils import EvalLoopOutput

from ..models.cache import RecurrentCache
from ..models.pretrained import recurrent_model
from .card_trainer import CardTrainer


RESETS = ("stream", "document")


class TokenStreams(Dataset):
    """
    A text in rows that are read side by side, chunk after chunk. Item k is the batch of the k-th chunk: `input_ids`,
    `labels` (the same) and `shift_labels` (the tokens that follow, -100 where there is none), all of shape `(B, T)`;
    `position`, the number of steps before it; `attention_mask`, where there is padding; and `restart`, of shape
    `(B,)`, where rows begin anew.

    With `reset_at="stream"` the documents are laid end to end, and the text is cut into rows that are equally long, to
    one token. A row also predicts the token that follows it, the first one of the next row: every token of the text
    but the first is a target exactly once.

    With `reset_at="document"` each document is read from the zero state. It stays in one row, in consecutive chunks of
    its own, the last of them padded; the next document goes to the row that is shortest so far. Every token but the
    first of its document is a target exactly once. What is padded is computed in vain: on average half a chunk a
    document, so let chunks be short where documents are.

    With `variable_length=True` chunks have random lengths (Merity et al. 2018, section 5): normal, with a mean of
    `sequence_length`, or in 5 % of the cases half of it, and a standard deviation of 5; at least 5. They are a
    function of `seed` and of the epoch alone. All of an epoch are stretched by one factor, close to 1, so that there
    are equally many chunks in every epoch, because `Trainer` counts the steps of the first one only.

    Args:
        tokens (`datasets.Dataset`, `torch.Tensor` or `np.ndarray`):
            The text: documents in a column `"input_ids"`, or the ids of all of it, of shape `(N,)`. No token is added
            between documents.
        batch_size (`int`): Number of rows, B.
        sequence_length (`int`): Steps of a chunk, T.
        reset_at (`str`, *optional*, defaults to `"stream"`): Where rows begin anew: `"stream"` or `"document"`.
        variable_length (`bool`, *optional*, defaults to `False`): Chunks of random lengths.
        seed (`int`, *optional*, defaults to 0): Seed of the lengths.
        num_processes (`int`, *optional*, defaults to 1): Processes that share the text, B rows each.
        process_index (`int`, *optional*, defaults to 0): Which of them this is.

    Raises:
        `ValueError`: If an argument cannot work, or there are more rows than the text can fill.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm.training.stateful import TokenStreams

    >>> streams = TokenStreams(torch.arange(15), batch_size=2, sequence_length=4)
    >>> [chunk["input_ids"].tolist() for chunk in streams]
    [[[0, 1, 2, 3], [7, 8, 9, 10]], [[4, 5, 6], [11, 12, 13]]]
    >>> streams[1]["shift_labels"].tolist(), streams[1]["position"]
    ([[5, 6, 7], [12, 13, 14]], 4)
    ```
    """

    def __init__(
        self,
        tokens,
        batch_size: int,
        sequence_length: int,
        *,
        reset_at: str = "stream",
        variable_length: bool = False,
        seed: int = 0,
        num_processes: int = 1,
        process_index: int = 0,
    ):
        _check_options(sequence_length, reset_at, variable_length)
        for name, value in (("batch_size", batch_size), ("num_processes", num_processes)):
            if value < 1:
                raise ValueError(f"`{name}` is {value}: give at least 1.")
        if not 0 <= process_index < num_processes:
            raise ValueError(f"`process_index` is {process_index}: give one of `num_processes`, {num_processes}.")
        self.tokens, documents = _joined(tokens, reset_at)
        self.batch_size, self.sequence_length, self.seed = batch_size, sequence_length, seed
        self.num_rows, self.variable_length = batch_size * num_processes, variable_length
        self._rows = slice(process_index * batch_size, (process_index + 1) * batch_size)
        predictable = documents - 1 if reset_at == "document" else np.array([len(self.tokens) - 1])
        self.num_targets = int(predictable.clip(0).sum())  # of all rows
        if self.num_targets < self.num_rows:
            raise ValueError(
                f"`tokens` has {self.num_targets} tokens to predict, which is too few for {self.num_rows} streams "
                f"(`batch_size` {batch_size} for {num_processes} processes): give more text or a smaller batch."
            )
        self._documents = documents if reset_at == "document" else None
        self._arrange(epoch=0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose lengths come next; they differ with `variable_length` only."""
        if self.variable_length:
            self._arrange(epoch)

    def _arrange(self, epoch: int) -> None:
        starts, lengths, begins = self._lay_text(epoch) if self._documents is None else self._lay_documents()
        self._starts = starts[self._rows]  # (B, K), where in the text a chunk of a row starts
        self._lengths = lengths[self._rows]
        self._begins = begins[self._rows]  # (B, K), whether it is the first of its document
        self._widths = self._lengths.max(0).clip(1)  # (K,); where all rows are at their end, a step of padding
        self._positions = self._widths.cumsum() - self._widths

    def _lay_text(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cut the text into rows, and all of them into chunks at the same steps: three arrays of shape (R, K)."""
        ends = np.arange(self.num_rows + 1) * self.num_targets // self.num_rows
        steps = np.diff(ends)[:, None]
        cuts = self._cuts(int(steps.max()), epoch)  # (K + 1,)
        starts = ends[:-1, None] + cuts[:-1]
        return starts, np.minimum(np.diff(cuts), steps - cuts[:-1]), np.zeros(starts.shape, dtype=bool)

    def _cuts(self, steps: int, epoch: int) -> np.ndarray:
        """Where the chunks of a row end."""
        if not self.variable_length:
            return np.minimum(np.arange(-(-steps // self.sequence_length) + 1) * self.sequence_length, steps)
        number = max(1, round(steps / (0.975 * self.sequence_length)))
        random = np.random.default_rng((self.seed, epoch))
        means = np.where(random.random(number) < 0.95, self.sequence_length, self.sequence_length / 2)
        cuts = np.maximum(random.normal(means, 5), 5).cumsum()
        return np.rint(np.append(0, cuts) * (steps / cuts[-1])).astype(np.int64)

    def _lay_documents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lay each document in consecutive chunks of the row that is shortest so far: three arrays of shape (R, K)."""
        starts, lengths = self._documents.cumsum() - self._documents, self._documents - 1
        ends, pieces = [(0, row) for row in range(self.num_rows)], [[] for _ in range(self.num_rows)]
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            if length > 0:
                row = ends[0][1]
                offsets = range(0, length, self.sequence_length)
                pieces[row] += [(start + i, min(self.sequence_length, length - i), i == 0) for i in offsets]
                heapq.heapreplace(ends, (len(pieces[row]), row))
        longest = max(map(len, pieces))
        laid = np.array([row + [(0, 0, False)] * (longest - len(row)) for row in pieces])  # (R, K, 3)
        return laid[..., 0], laid[..., 1], laid[..., 2].astype(bool)

    def __len__(self) -> int:
        """Number of chunks, K, the same for each process and in every epoch."""
        return self._starts.shape[1]

    def __getitem__(self, k: int) -> dict[str, Any]:
        if not 0 <= k < len(self):
            raise IndexError(f"`k` is {k} for {len(self)} chunks.")
        steps = np.arange(self._widths[k])
        real = torch.from_numpy(steps < self._lengths[:, k, None])  # (B, T)
        where = torch.from_numpy(self._starts[:, k, None] + steps).clamp_(max=len(self.tokens) - 2)
        ids, following = self.tokens[where], self.tokens[where + 1].masked_fill_(~real, -100)
        chunk = {"input_ids": ids, "labels": ids, "shift_labels": following, "position": int(self._positions[k])}
        if not real.all():
            chunk["attention_mask"] = real.long()
        if self._begins[:, k].any() and k:
            chunk["restart"] = torch.from_numpy(self._begins[:, k])
        return chunk


class StatefulTrainer(CardTrainer):
    """
    A `Trainer` for language models that carries the state of a recurrent model from one step to the next (truncated
    back-propagation through time). Its data are texts, not examples: it reads them as [`TokenStreams`], in
    `per_device_train_batch_size` rows on each device and `sequence_length` tokens at a time. The state is detached
    after each chunk, those that are accumulated for one step included, which follow one another in time. An epoch
    begins from the zero state. In several processes each has rows of its own, and the gradients are those of one
    process with all of them.

    The state is part of a checkpoint, a safetensors file for each process, so that a training that goes on in the
    middle of an epoch ends as if it had not been interrupted. It has to go on with the same data and arguments.

    With `variable_length=True` the learning rate of a step is scaled by the length of its chunks over
    `sequence_length` (Merity et al. 2018, section 5), after the gradients were clipped, and unseen by the scheduler.

    Evaluation carries the state over the whole split, in `per_device_eval_batch_size` rows on each device, of which
    each begins from the zero state: with 1, the text is read in one go. The loss is the mean over all predicted
    tokens, and does not depend on `sequence_length`; `eval_perplexity` is its exponential. Training goes on as if
    there had been no evaluation. `predict` gives these figures too, and no predictions.

    `data_collator`, `dataloader_num_workers`, `dataloader_drop_last` and all that concerns examples have no effect.

    Args:
        sequence_length (`int`): Tokens of a chunk, through which gradients flow.
        reset_at (`str`, *optional*, defaults to `"stream"`):
            `"document"`: each document is read from the zero state, as though it were alone. See [`TokenStreams`].
        variable_length (`bool`, *optional*, defaults to `False`):
            Train on chunks of random lengths, drawn from `data_seed`, or `seed`, and the epoch.
        kwargs: The arguments of `Trainer`, in their order or by name. A dataset is a `datasets.Dataset` of documents
            in a column `"input_ids"`, or the token ids of a text, of shape `(N,)`.

    Raises:
        `ValueError`: If an option needs examples, or does not know of the state.

    Example:

    ```python
    >>> import torch
    >>> from transformers import TrainingArguments
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.training.stateful import StatefulTrainer

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> arguments = TrainingArguments("out", report_to="none", use_cpu=True, per_device_train_batch_size=4)
    >>> text = torch.arange(201) % 10
    >>> trainer = StatefulTrainer(model, arguments, train_dataset=text, eval_dataset=text, sequence_length=20)
    >>> [chunk["input_ids"].shape for chunk in trainer.get_train_dataloader()]  # what `trainer.train()` reads
    [torch.Size([4, 20]), torch.Size([4, 20]), torch.Size([4, 10])]
    ```
    """

    def __init__(self, *args, sequence_length: int, reset_at: str = "stream", variable_length: bool = False, **kwargs):
        _check_options(sequence_length, reset_at, variable_length)
        super().__init__(*args, **kwargs)
        self._refuse_options()
        self.sequence_length, self.reset_at, self.variable_length = sequence_length, reset_at, variable_length
        self._recurrent_state: RecurrentCache | None = None
        self._follow_lengths = _FollowLengths(sequence_length if variable_length else None)
        self.add_callback(self._follow_lengths)

    def _refuse_options(self) -> None:
        args = self.args
        options = {name: getattr(args.accelerator_config, name) for name in ("dispatch_batches", "split_batches")}
        names = ("auto_find_batch_size", "label_smoothing_factor", "fp16_full_eval", "bf16_full_eval")
        options |= {name: getattr(args, name) for name in names}
        options |= {name: getattr(self, name) for name in ("compute_metrics", "compute_loss_func")}
        for name, value in options.items():
            if value:
                raise ValueError(f"`{name}` is {value!r}, which does not go with a carried state: leave it out.")
        strategy = getattr(args, "train_sampling_strategy", "random")
        if strategy not in ("random", "sequential") or getattr(args, "group_by_length", False):
            raise ValueError(f"`train_sampling_strategy` is {strategy!r}, but a text has its order: leave it out.")
        if args.n_gpu > 1:
            raise ValueError(f"`n_gpu` is {args.n_gpu} in one process: start a process for each, with torchrun.")
        if self.is_deepspeed_enabled:
            raise ValueError("`deepspeed` is given, whose engine hides the steps of the optimizer: leave it out.")
        model = recurrent_model(self.model)
        if not model.carries_state:
            raise ValueError(f"`model` is a {type(model).__name__}, which has no state: give a causal language model.")

    def get_train_dataloader(self) -> DataLoader:
        """The chunks of this process in their order, each of them a batch."""
        args = self.args
        if self.train_dataset is None:
            raise ValueError("`train_dataset` is None: give a text to train on.")
        seed = args.seed if args.data_seed is None else args.data_seed
        options = {"variable_length": self.variable_length, "seed": seed}
        streams = self._streams(self.train_dataset, args.per_device_train_batch_size, **options)
        self._follow_lengths.streams = streams
        return _loader(streams)

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """The chunks of this process of a text, or of `eval_dataset` by its name."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, str):
            dataset = self.eval_dataset[dataset]
        if dataset is None:
            raise ValueError("`eval_dataset` is None: give a text to evaluate on.")
        return _loader(self._streams(dataset, self.args.per_device_eval_batch_size))

    get_test_dataloader = get_eval_dataloader

    def _streams(self, dataset, batch_size: int, **options) -> TokenStreams:
        shared = {"num_processes": self.args.world_size, "process_index": self.args.process_index}
        return TokenStreams(dataset, batch_size, self.sequence_length, reset_at=self.reset_at, **shared, **options)

    def num_examples(self, dataloader: DataLoader) -> int:
        """Number of pieces of text, one for each row and chunk, over all processes."""
        return len(dataloader.dataset) * dataloader.dataset.num_rows

    def compute_loss(self, model, inputs, return_outputs: bool = False, num_items_in_batch=None):
        """As in `Trainer`, from the state after the chunk before, and keeping the state after this one."""
        state = self._recurrent_state = self._state_before(inputs, self._recurrent_state)
        self._follow_lengths.seen.append(inputs["input_ids"].shape[1])
        inputs = {name: value for name, value in inputs.items() if name not in ("position", "restart")}
        inputs |= {"cache": state, "use_cache": True}
        result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # advances the state
        state.detach()
        return result

    def _state_before(self, chunk: dict[str, Any], state: RecurrentCache | None) -> RecurrentCache:
        """The state to read a chunk from, zero for those rows that begin anew."""
        position, rows = chunk["position"], len(chunk["input_ids"])
        if position == 0:
            return RecurrentCache(self.model.config)
        found = None if state is None else (state.batch_size, state.get_seq_length())
        if found != (rows, position):
            raise ValueError(
                f"`resume_from_checkpoint` has no state of {rows} streams after {position} tokens; (streams, tokens) "
                f"of the one it has: {found}. Resume with the data, arguments and number of processes of the "
                "checkpoint, saved without `save_only_model`; or begin the epoch anew with `ignore_data_skip`."
            )
        if "restart" in chunk:
            restart = chunk["restart"][:, None, None]  # (B, 1, 1)
            for layer in state.layers:
                layer.map(lambda tensor: tensor.masked_fill(restart.to(tensor.device), 0))
        return state

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ) -> EvalLoopOutput:
        """The mean loss of all tokens of a text and its perplexity, with the state carried."""
        model, losses, state = self.model, [], None
        self.callback_handler.eval_dataloader = dataloader
        for part in (model, self.optimizer):
            if callable(getattr(part, "eval", None)):
                part.eval()
        # The dataset, not the loader, which would draw from the generator of the training.
        for chunk in dataloader.dataset:
            chunk = self._prepare_inputs(chunk)
            state = self._state_before(chunk, state)
            inputs = {name: chunk[name] for name in chunk if name in ("input_ids", "attention_mask", "shift_labels")}
            with torch.no_grad(), self.accelerator.autocast():
                outputs = model(**inputs, cache=state, num_items_in_batch=1, output_logits=False)
            losses.append(outputs["loss"])
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        total = sum(gather_object([torch.stack(losses).cpu().double().sum().item()]))
        loss = total / dataloader.dataset.num_targets
        perplexity = torch.tensor(loss, dtype=torch.float64).exp().item()  # infinite where `math.exp` fails
        metrics = {f"{metric_key_prefix}_loss": loss, f"{metric_key_prefix}_perplexity": perplexity}
        return EvalLoopOutput(None, None, metrics, self.num_examples(dataloader))

    # The state goes where the generators of random numbers go: in a file of each process, and not into a bare model.

    def _state_file(self, folder: str) -> str:
        name = f"recurrent_state_{self.args.process_index}_of_{self.args.world_size}.safetensors"
        return os.path.join(folder, name)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        self._recurrent_state.save_file(self._state_file(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        self._recurrent_state = None
        if checkpoint is not None and os.path.isfile(self._state_file(checkpoint)):
            self._recurrent_state = RecurrentCache.load_file(self._state_file(checkpoint))


class _FollowLengths(TrainerCallback):
    """
    Tells the data the epoch, and scales the learning rate of a step by the length of its chunks over
    `sequence_length`, where that is given.
    """

    streams: TokenStreams | None = None

    def __init__(self, sequence_length: int | None):
        self.sequence_length = sequence_length
        self.seen: list[int] = []  # lengths of the chunks since the last step
        self.rates: list = []

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.seen = []  # a training that broke off may have left some
        self.streams.set_epoch(int(state.epoch or 0))

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        lengths, self.seen = self.seen, []
        if self.sequence_length is not None:
            self.rates = [group["lr"] for group in optimizer.param_groups]
            for group, rate in zip(optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * (sum(lengths) / (len(lengths) * self.sequence_length))

    def on_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        if self.sequence_length is not None:
            for group, rate in zip(optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate


def _check_options(sequence_length: int, reset_at: str, variable_length: bool) -> None:
    """Refuse options of [`TokenStreams`] that cannot work, or not together."""
    if sequence_length < 1:
        raise ValueError(f"`sequence_length` is {sequence_length}: give at least 1.")
    if reset_at not in RESETS:
        raise ValueError(f"`reset_at` is {reset_at!r}: give one of {RESETS}.")
    if variable_length and sequence_length < 10:
        raise ValueError(
            f"`sequence_length` is {sequence_length} with `variable_length`, where lengths differ by 5 from it or "
            "from half of it: give at least 10."
        )
    if variable_length and reset_at == "document":
        raise ValueError("`variable_length` is True, but `reset_at='document'` cuts at documents: use one of the two.")


def _joined(tokens, reset_at: str) -> tuple[torch.LongTensor, np.ndarray]:
    """A text end to end, `(N,)`, and the lengths of its documents."""
    if hasattr(tokens, "column_names"):
        if "input_ids" not in tokens.column_names:
            raise ValueError(f"`tokens` has the columns {tokens.column_names}: token ids have to be in 'input_ids'.")
        documents = tokens.with_format("numpy", columns=["input_ids"])["input_ids"][:]
        lengths = np.array([len(document) for document in documents], dtype=np.int64)
        tokens = np.concatenate(list(documents)) if lengths.sum() else np.empty(0, dtype=np.int64)
    elif reset_at == "document":
        raise ValueError(
            f"`tokens` is a {type(tokens).__name__}, which does not say where documents end: for `reset_at='document'`"
            " give a `datasets.Dataset` with a row for each, in the column 'input_ids'."
        )
    else:
        lengths = np.zeros(0, dtype=np.int64)
    tokens = torch.as_tensor(tokens).cpu()
    if tokens.ndim != 1 or tokens.is_floating_point():
        raise ValueError(
            f"`tokens` has shape {tuple(tokens.shape)} and type {tokens.dtype}: give the ids of a text, whole numbers "
            "of shape (number of tokens,)."
        )
    return tokens.long(), lengths


def _loader(streams: TokenStreams) -> DataLoader:
    """Chunks as batches. `Trainer` skips batches of a batch sampler when it resumes, so there is one, of size 1."""
    return DataLoader(streams, batch_size=1, collate_fn=itemgetter(0))

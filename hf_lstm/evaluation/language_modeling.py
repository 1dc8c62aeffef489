# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A recurrent language model beside n-gram models, which predict the same tokens.

Glossary: N tokens of a text.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from datasets import Dataset
from transformers import PreTrainedModel, Trainer

from .ngram import NgramModel
from .perplexity import Perplexity, evaluate_perplexity


NGRAM_ORDERS = {"unigram": 1, "trigram": 3}


@dataclass(frozen=True)
class LanguageModelResults:
    """
    What models of the same tokens have scored. As text it is a table for each split, after an empty line.

    Args:
        perplexities (`dict[str, dict[str, Perplexity]]`): For each split a row for each model.
    """

    perplexities: dict[str, dict[str, Perplexity]]

    @property
    def scores(self) -> dict[str, dict[str, dict[str, float]]]:
        """`"perplexity"`, and `"nats"`, the mean loss of a token, by split and model."""
        return {
            key: {
                split: {name: getattr(row, field) for name, row in rows.items()}
                for split, rows in self.perplexities.items()
            }
            for key, field in (("perplexity", "perplexity"), ("nats", "loss"))
        }

    def baselines(self, split: str) -> dict[str, float]:
        """The losses of the n-gram models on a split."""
        return {name: row.loss for name, row in self.perplexities[split].items() if name in NGRAM_ORDERS}

    def __str__(self) -> str:
        lines = []
        for split, rows in self.perplexities.items():
            lines += ["", f"{split:<32}{'perplexity':>12}{'nats':>10}{'tokens':>12}"]
            lines += [
                f"  {name:<30}{row.perplexity:12.2f}{row.loss:10.4f}{row.tokens:12,}" for name, row in rows.items()
            ]
        return "\n".join(lines)


def compare_language_models(
    model: PreTrainedModel,
    streams: Mapping[str, torch.LongTensor],
    block_size: int,
    afresh: Mapping[str, Perplexity] | None = None,
) -> LanguageModelResults:
    """
    Perplexities of each held-out text: of n-gram models of the training text, if that is given, and of a network, in
    windows and with its state carried through the text.

    Args:
        model ([`PreTrainedModel`]): The network, with a head for causal language modelling.
        streams (`Mapping[str, torch.LongTensor]`): Tokens of each split, `(N,)`; all but `"train"` are predicted.
        block_size (`int`): Tokens predicted in a window, each of which begins afresh.
        afresh (`Mapping[str, Perplexity]`, *optional*): Those of reading each document afresh, by split.

    Returns:
        [`LanguageModelResults`]: For each split a row for each model.

    Raises:
        `ValueError`: for a text that is too short, and for tokens outside of the vocabulary.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.evaluation.language_modeling import compare_language_models

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8))
    >>> streams = {"train": torch.arange(90) % 10, "validation": torch.arange(20) % 10}
    >>> list(compare_language_models(model, streams, block_size=5).perplexities["validation"])
    ['unigram', 'trigram', 'LSTM, windows of 5', 'LSTM, state carried']
    ```
    """
    results = {split: {} for split in streams if split != "train"}
    for name, order in NGRAM_ORDERS.items() if "train" in streams else ():
        ngram = NgramModel(model.config.vocab_size, order).fit(streams["train"][None])
        for split, rows in results.items():
            rows[name] = Perplexity(-ngram.log_prob(streams[split][None]).mean().item(), len(streams[split]) - 1)
    network, windows = model.config.model_type.upper(), {"carry_state": False, "batch_size": 16}
    for split, rows in results.items():
        rows[f"{network}, windows of {block_size}"] = evaluate_perplexity(
            model, streams[split], block_size=block_size, **windows
        )
        rows[f"{network}, state carried"] = evaluate_perplexity(model, streams[split])
        if split in (afresh or {}):
            rows[f"{network}, each document afresh"] = afresh[split]
    return LanguageModelResults(results)


def document_perplexities(trainer: Trainer, data: Mapping[str, Dataset]) -> dict[str, Perplexity]:
    """
    Perplexities of each held-out text where every document is read from the zero state.

    Args:
        trainer ([`~transformers.Trainer`]): One that evaluates so, as [`~stateful.StatefulTrainer`] does with
            `reset_at="document"`.
        data (`Mapping[str, Dataset]`): Documents as token ids, by split; all but `"train"` are predicted.

    Returns:
        `dict[str, Perplexity]`: One for each split. The first token of a document is not predicted.
    """
    found = {}
    for split in data:
        if split != "train":
            tokens = sum(len(ids) - 1 for ids in data[split]["input_ids"])
            found[split] = Perplexity(trainer.evaluate(data[split])["eval_loss"], tokens)
    return found


__all__ = ["LanguageModelResults", "compare_language_models", "document_perplexities"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The table behind the contract suite, and small models with weights large enough for differences to show."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import hf_lstm
from hf_lstm.models.cache import CACHE_NAME


@dataclass(frozen=True)
class Family:
    name: str
    torch_class: type[nn.RNNBase]

    @property
    def config_class(self):
        return getattr(hf_lstm, f"{self.name}Config")

    def head(self, suffix: str):
        return getattr(hf_lstm, self.name + suffix)

    def config(self, **fields):
        """Sizes that differ from each other, so that a mix-up of dimensions cannot go unnoticed."""
        sizes = {"vocab_size": 31, "embedding_size": 6, "hidden_size": 10, "num_hidden_layers": 2, "pad_token_id": 0}
        return self.config_class(**(sizes | {"initializer": "uniform", "initializer_range": 1.0} | fields))

    def build(self, suffix: str, **fields):
        if suffix not in STATEFUL_HEADS:  # which refuse what only a language model has
            fields = {name: value for name, value in fields.items() if name not in OF_LANGUAGE_MODELS}
        return self.head(suffix)(self.config(**fields)).eval()

    def __str__(self):
        return self.name


LSTM, GRU, RNN = FAMILIES = (Family("LSTM", nn.LSTM), Family("GRU", nn.GRU), Family("RNN", nn.RNN))
STATEFUL_HEADS = ("Model", "ForCausalLM")  # those that return their state and continue from it
HEADS = (*STATEFUL_HEADS, "ForSequenceClassification", "ForTokenClassification")

# The variants in which a family can be built: every contract holds for each.
VARIANTS = {
    "1 layer": {"num_hidden_layers": 1},
    "3 layers": {"num_hidden_layers": 3},
    "residual, norm": {"num_hidden_layers": 3, "residual_connections": True, "layer_norm": True},
    "no bias": {"bias": False},
    "tapering": {"hidden_sizes": [10, 8, 5], "hidden_size": 5, "num_hidden_layers": 3},
}
MIXTURE = {"output_layer": "mixture", "num_softmaxes": 3}
ADAPTIVE = {"output_layer": "adaptive", "adaptive_cutoffs": [5, 12]}
UNTIED_ADAPTIVE = ADAPTIVE | {"tie_word_embeddings": False, "adaptive_div_value": 2}
OF_LANGUAGE_MODELS = MIXTURE | UNTIED_ADAPTIVE
LSTM_VARIANTS = {"projection": {"projection_size": 4}, "adaptive": ADAPTIVE}
GRU_VARIANTS = {"adaptive, untied": UNTIED_ADAPTIVE}
RNN_VARIANTS = {"relu": {"nonlinearity": "relu"}, "mixture": MIXTURE}


def variants(family: Family) -> dict[str, dict]:
    return VARIANTS | {"LSTM": LSTM_VARIANTS, "GRU": GRU_VARIANTS, "RNN": RNN_VARIANTS}[family.name]


# Arguments of `TrainingArguments` under which a step is plain gradient descent, quiet and without a checkpoint.
PLAIN_TRAINING = {
    "learning_rate": 0.1,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
    "save_strategy": "no",
    "max_grad_norm": 0.0,
    "optim": "sgd",
    "lr_scheduler_type": "constant",
}


SPECIAL = {"pad_token_id": 0, "unk_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}


def encoder_decoder(encoder=LSTM, decoder=None, source=(), target=(), **fields):
    """
    A small encoder-decoder in evaluation. Sizes differ from each other, as above, and 2 heads divide them.

    Args:
        encoder, decoder: A family, or a configuration; the decoder is of the family of the encoder if absent.
        source, target (`dict`): Fields of the configurations of the two, where a family is given.
        fields: Of the configuration of both.
    """
    decoder = decoder or encoder
    if isinstance(encoder, Family):
        sizes = {"vocab_size": 23, "embedding_size": 5, "hidden_size": 4, "num_hidden_layers": 1, **SPECIAL}
        encoder = encoder.config(**(sizes | dict(source)))
    if isinstance(decoder, Family):
        sizes = {"vocab_size": 31, "embedding_size": 7, "hidden_size": 6, "num_hidden_layers": 2, **SPECIAL}
        decoder = decoder.config(**(sizes | dict(target)))
    config = hf_lstm.RecurrentEncoderDecoderConfig(encoder=encoder, decoder=decoder, **fields)
    return hf_lstm.RecurrentEncoderDecoderForConditionalGeneration(config).eval()


def first_fast(names: str, cases: dict, fast: int | set = 1):
    """Parametrize by the values of `cases`: the first ones, or those that are named, in each run, the others slow."""
    chosen = set([*cases][:fast]) if isinstance(fast, int) else fast
    marks = {name: () if name in chosen else pytest.mark.slow for name in cases}
    return pytest.mark.parametrize(
        names, [pytest.param(case, id=name, marks=marks[name]) for name, case in cases.items()]
    )


each_family = pytest.mark.parametrize("family", FAMILIES, ids=str)
each_head = pytest.mark.parametrize("head", HEADS)
each_stateful_head = pytest.mark.parametrize("head", STATEFUL_HEADS)
each_variant = pytest.mark.parametrize(
    ("family", "fields"),
    [
        pytest.param(family, fields, id=f"{family}, {name}")
        for family in FAMILIES
        for name, fields in variants(family).items()
    ],
)
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both directions"])

MASKS = {
    "left": [[0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1]],
    "right": [[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0]],
    "holes": [[1, 0, 1, 1, 0, 0, 1], [0, 1, 0, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1, 1]],
    "empty row": [[0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0, 0]],
}
each_mask = pytest.mark.parametrize("mask", [torch.tensor(mask) for mask in MASKS.values()], ids=MASKS)


def random_ids(batch_size: int = 3, length: int = 7, vocab_size: int = 31) -> torch.Tensor:
    return torch.randint(1, vocab_size, (batch_size, length))


def features(outputs) -> torch.Tensor:
    """What a model computes first, whatever its head."""
    return next(value for name, value in outputs.items() if name != "loss")


def states(outputs) -> list[torch.Tensor]:
    cache = outputs[CACHE_NAME]  # an output of `generate` has the name of the version
    return [state for layer in cache.layers for state in layer.states]


def assert_close(actual, expected, tolerance: float = 1e-5):
    if isinstance(actual, (list, tuple)):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            assert_close(a, b, tolerance)
    else:
        torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def assert_parts_add_up(model, ids: torch.Tensor, labels: torch.Tensor) -> None:
    """The gradients of four rows in two parts are those of the whole, and are left in the model."""
    model(ids, labels=labels).loss.backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    count = (labels[:, 1:] != -100).sum()
    for part, part_labels in zip(ids.split([1, 3]), labels.split([1, 3]), strict=True):
        model(part, labels=part_labels, num_items_in_batch=count).loss.backward()
    assert_close([p.grad for p in model.parameters()], expected)


def without_and_with_logits(model, ids: torch.Tensor, mask: torch.Tensor | None) -> list[list[torch.Tensor]]:
    """The training loss and its gradients, computed from no logits and then from logits."""
    results = []
    for output_logits in (None, True):
        model.zero_grad()
        outputs = model(ids, attention_mask=mask, labels=ids, num_items_in_batch=9, output_logits=output_logits)
        assert (outputs.logits is None) == (output_logits is None)
        outputs.loss.backward()
        results.append([outputs.loss, *(p.grad.clone() for p in model.parameters())])
    return results

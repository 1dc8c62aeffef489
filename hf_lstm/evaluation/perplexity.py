# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Perplexity of language models on a text, and two ways to let a trained model adapt to what it reads: the neural cache
and dynamic evaluation.

Glossary: N tokens of the text, B rows read side by side, T time steps of a block, P size of the last layer's output,
V vocabulary, M positions in the cache.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.utils import logging

from ..evaluation_mode import evaluation_mode


# Logits computed at a time, 16 MB in fp32; 2**18, 2**20 and 2**24 take 1.62, 1.06 and 1.29 times as long on a CPU
# (H 200, V 9741, one stream, one thread).
MOST_LOGITS = 2**22
QUERIES = 256  # positions that look into the cache at a time

Score = Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor], torch.Tensor]
Learn = Callable[[torch.Tensor], None]


class Perplexity(NamedTuple):
    """
    How well a model predicts a text.

    Args:
        loss (`float`): Mean negative log-probability of a token, in nats.
        tokens (`int`): Number of predicted tokens.

    Example:

    ```python
    >>> from hf_lstm.evaluation.perplexity import Perplexity

    >>> result = Perplexity(loss=2.0, tokens=300)
    >>> f"{result.perplexity:.2f}, {result.bits_per_token:.2f} bits, {result.perplexity_per(200):.2f} a word"
    '7.39, 2.89 bits, 20.09 a word'
    ```
    """

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """Exponential of the loss: how many equally likely tokens would be as hard to guess."""
        return _exp(self.loss)

    @property
    def bits_per_token(self) -> float:
        """The loss in bits; with characters as tokens, the bits per character."""
        return self.loss / math.log(2)

    def perplexity_per(self, units: int) -> float:
        """The same text in other units, such as its words: what models of different tokens can be compared by."""
        return _exp(self.loss * self.tokens / units)


@dataclass(frozen=True)
class NeuralCache:
    r"""
    The continuous cache of Grave, Joulin & Usunier (2017, section 3, equations 2 and 3). The model remembers the
    outputs `h_i` of its last layer at the last M positions, with the token `x_(i+1)` that came next, and expects at
    step t what came next where it was in a similar state:

        p_cache(w) ∝ sum over i with x_(i+1) = w of exp(theta * h_t · h_i)
        p(w) = (1 - interpolation) * p_model(w) + interpolation * p_cache(w)

    Nothing is learnt. Where nothing is remembered yet, `p = p_model`.

    Args:
        theta (`float`, *optional*, defaults to 0.3): Flatness: with 0 the tokens of the cache are counted, whatever
            the state; the larger, the more the most similar states decide.
        interpolation (`float`, *optional*, defaults to 0.1): Share of the cache, at least 0 and below 1.
        cache_size (`int`, *optional*, defaults to 2000): Positions remembered, M.

    Raises:
        `ValueError`: If a value is out of range.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.evaluation.perplexity import NeuralCache, evaluate_perplexity

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=50, hidden_size=8))
    >>> text = [7, 8, 9, 10, 11] * 20
    >>> plain = evaluate_perplexity(model, text)
    >>> cached = evaluate_perplexity(model, text, neural_cache=NeuralCache(theta=4.0, interpolation=0.5))
    >>> cached.perplexity < plain.perplexity
    True
    ```
    """

    theta: float = 0.3
    interpolation: float = 0.1
    cache_size: int = 2000

    def __post_init__(self):
        if not (math.isfinite(self.theta) and self.theta >= 0):
            raise ValueError(f"`theta` is {self.theta}: give a finite number of at least 0.")
        if not 0 <= self.interpolation < 1:
            raise ValueError(f"`interpolation` is {self.interpolation}: give a share from 0 to below 1.")
        _check_counts(cache_size=self.cache_size)


@dataclass(frozen=True, eq=False)
class DynamicEvaluation:
    r"""
    Dynamic evaluation (Krause, Kahembwe, Murray & Renals 2018): the text is read in short segments, and after each,
    once its loss is counted, the parameters `θ` take a gradient step on it, and another one back to where training had
    left them, `θ_g`. With the gradient `g` of the mean loss of the segment,

        θ <- θ - learning_rate * g + decay * (θ_g - θ)                                         without `gradient_rms`
        θ <- θ - learning_rate * g / (R + epsilon) + min(1, decay * R / avg(R)) * (θ_g - θ)    with `gradient_rms` R

    element by element, where R is the root mean square of the gradients in training: parameters with large gradients
    take smaller steps and return faster. As in the authors' program, `avg` is the mean over the parameter tensors of
    their means, and dropout is off.

    Args:
        learning_rate (`float`): Step size. The authors search 3e-5 to 1e-4 with `gradient_rms` and segments of 5.
        decay (`float`, *optional*, defaults to 0.0): Rate of return. The authors search 1e-3 to 5e-3.
        gradient_rms (`Mapping[str, torch.Tensor]`, *optional*): What [`gradient_rms`] returns; without it the steps
            are plain gradient descent.
        segment_length (`int`, *optional*, defaults to 5): Tokens of a row between two steps.
        epsilon (`float`, *optional*, defaults to 2e-5): Added to R, which is zero where training has no gradients.

    Raises:
        `ValueError`: If a value is out of range.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.evaluation.perplexity import DynamicEvaluation, evaluate_perplexity

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=50, hidden_size=8))
    >>> text = [7, 8, 9, 10, 11] * 20
    >>> plain = evaluate_perplexity(model, text)
    >>> adapted = evaluate_perplexity(model, text, dynamic_evaluation=DynamicEvaluation(learning_rate=0.1))
    >>> adapted.perplexity < plain.perplexity
    True
    ```
    """

    learning_rate: float
    decay: float = 0.0
    gradient_rms: Mapping[str, torch.Tensor] | None = field(default=None, repr=False)
    segment_length: int = 5
    epsilon: float = 2e-5

    def __post_init__(self):
        for name in ("learning_rate", "epsilon"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"`{name}` is {value}: give a finite number of at least 0.")
        if not 0 <= self.decay <= 1:
            raise ValueError(f"`decay` is {self.decay}: give a rate from 0 to 1.")
        _check_counts(segment_length=self.segment_length)

    def rates(self, parameters: Mapping[str, nn.Parameter]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """For each parameter, the factors of its gradient and of the way back to its original value."""
        if self.gradient_rms is None:
            for parameter in parameters.values():
                yield parameter.new_tensor(self.learning_rate), parameter.new_tensor(self.decay)
            return
        shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        given = {name: tuple(rms.shape) for name, rms in self.gradient_rms.items()}
        if given != shapes:
            wrong = next(name for name in [*shapes, *given] if given.get(name) != shapes.get(name))
            raise ValueError(
                f"`gradient_rms` has the shape {given.get(wrong)} for {wrong!r}, the model {shapes.get(wrong)}. Give "
                "what `gradient_rms` returns for this model."
            )
        average = sum(rms.mean() for rms in self.gradient_rms.values()) / len(self.gradient_rms)
        for name, parameter in parameters.items():
            rms = self.gradient_rms[name].to(parameter)
            pull = (self.decay * rms / average.to(parameter)).clamp(max=1) if average > 0 else torch.zeros_like(rms)
            yield self.learning_rate / (rms + self.epsilon), pull


class Tuning(NamedTuple):
    """
    What a search found.

    Args:
        best ([`NeuralCache`] or [`DynamicEvaluation`]): The options with the smallest loss.
        losses (`dict[tuple[float, float], float]`): The loss of each pair of values, in nats a token.
    """

    best: Any
    losses: dict[tuple[float, float], float]


@torch.no_grad()
def evaluate_perplexity(
    model: PreTrainedModel,
    token_ids: Sequence[int] | torch.Tensor,
    *,
    batch_size: int = 1,
    block_size: int = 512,
    carry_state: bool = True,
    neural_cache: NeuralCache | None = None,
    dynamic_evaluation: DynamicEvaluation | None = None,
    show_progress: bool = False,
) -> Perplexity:
    """
    Perplexity of a language model on a text, every token of which but the first is predicted exactly once. Dropout is
    off. The parameters, the mode of each module, and the `grad` of each parameter are afterwards as they were before,
    also after an error.

    With `carry_state` the text is cut into `batch_size` streams that are read side by side, the state of the network
    carried from the beginning of each to its end. One stream sees the whole past of every token, and is what
    perplexities in the literature mean; several are faster. The result does not depend on `block_size`.

    Without it, the text is cut into windows, each read from the state of zeros: a token sees at most `block_size`
    others. This is for models trained so, and the only way for models whose memory is not a state. The result does
    not depend on `batch_size`.

    Args:
        model (`PreTrainedModel`): One of our language models, or, without `carry_state`, any causal language model
            whose output has `logits`.
        token_ids (`Sequence[int]`, `np.ndarray` or `torch.Tensor` of shape `(N,)`):
            The text from its beginning to its end; see [`join_tokens`].
        batch_size (`int`, *optional*, defaults to 1): Streams, or windows, read at a time, B.
        block_size (`int`, *optional*, defaults to 512): The most tokens of a row read at a time, T, or all those of a
            window. `segment_length` takes its place in dynamic evaluation.
        carry_state (`bool`, *optional*, defaults to `True`): Read streams, not windows.
        neural_cache ([`NeuralCache`], *optional*): Interpolate the probabilities with those of a cache. Each stream
            has one of its own; windows share one, since they follow one another in the text.
        dynamic_evaluation ([`DynamicEvaluation`], *optional*): Adapt the model as it reads; together with a cache, to
            its own loss, without the cache. All rows of a batch adapt one model together.
        show_progress (`bool`, *optional*, defaults to `False`): Show a progress bar.

    Returns:
        [`Perplexity`]: Mean loss and number of tokens.

    Raises:
        `ValueError`: If an argument does not fit the model or the text.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.evaluation.perplexity import evaluate_perplexity

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=50, hidden_size=8))
    >>> evaluate_perplexity(model, [7, 8, 9, 10, 11] * 20).tokens
    99
    ```
    """
    score = None
    if neural_cache is not None:
        score = _CacheScore(neural_cache.cache_size, [neural_cache.theta], [neural_cache.interpolation])
    reading = (batch_size, block_size, carry_state, show_progress)
    total, tokens = _read_adapting(model, token_ids, score, dynamic_evaluation, *reading)
    return Perplexity(-total.item() / tokens, tokens)


@torch.no_grad()
def tune_neural_cache(
    model: PreTrainedModel,
    token_ids: Sequence[int] | torch.Tensor,
    thetas: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0),
    interpolations: Sequence[float] = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
    *,
    cache_size: int = 2000,
    batch_size: int = 1,
    block_size: int = 512,
    carry_state: bool = True,
    dynamic_evaluation: DynamicEvaluation | None = None,
    show_progress: bool = False,
) -> Tuning:
    """
    Find the best cache on validation data. The model reads the text once, whatever the number of values.

    Args:
        thetas, interpolations (`Sequence[float]`, *optional*): Values of the two options, each tried with each.
        model, token_ids, cache_size, batch_size, block_size, carry_state, dynamic_evaluation, show_progress:
            As in [`evaluate_perplexity`] and [`NeuralCache`].

    Returns:
        [`Tuning`]: The best cache, and the loss of each pair `(theta, interpolation)`.

    Raises:
        `ValueError`: As [`evaluate_perplexity`].

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.evaluation.perplexity import tune_neural_cache

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=50, hidden_size=8))
    >>> tune_neural_cache(model, [7, 8, 9, 10, 11] * 20, thetas=[1.0, 4.0], interpolations=[0.1, 0.5]).best
    NeuralCache(theta=4.0, interpolation=0.5, cache_size=2000)
    ```
    """
    caches = [NeuralCache(theta, share, cache_size) for theta in thetas for share in interpolations]
    if not caches:
        raise ValueError("`thetas` or `interpolations` is empty: give at least one value of each.")
    score = _CacheScore(cache_size, thetas, interpolations)
    reading = (batch_size, block_size, carry_state, show_progress)
    totals, tokens = _read_adapting(model, token_ids, score, dynamic_evaluation, *reading)
    return _tuning(caches, [(cache.theta, cache.interpolation) for cache in caches], (-totals / tokens).flatten())


@torch.no_grad()
def gradient_rms(
    model: PreTrainedModel,
    token_ids: Sequence[int] | torch.Tensor,
    *,
    batch_size: int = 100,
    segment_length: int = 5,
    carry_state: bool = True,
    show_progress: bool = False,
) -> dict[str, torch.Tensor]:
    """
    Root mean square of the gradients on training data, which scales the steps of [`DynamicEvaluation`].

    Args:
        model (`PreTrainedModel`): The model, which is not changed.
        token_ids (`Sequence[int]`, `np.ndarray` or `torch.Tensor` of shape `(N,)`): Text that it was trained on.
        batch_size (`int`, *optional*, defaults to 100): Rows of which a gradient is the mean. The fewer, the larger
            the gradients, and with them the learning rate that is best.
        segment_length (`int`, *optional*, defaults to 5): Tokens of each row, that of the evaluation.
        carry_state, show_progress: As in [`evaluate_perplexity`].

    Returns:
        `dict[str, torch.Tensor]`: For each trainable parameter by its name, a tensor of its shape.

    Raises:
        `ValueError`: As [`evaluate_perplexity`].

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.evaluation.perplexity import DynamicEvaluation, evaluate_perplexity, gradient_rms

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=50, hidden_size=8))
    >>> rms = gradient_rms(model, [7, 8, 9, 10, 11] * 200)
    >>> options = DynamicEvaluation(learning_rate=1e-3, decay=1e-3, gradient_rms=rms)
    >>> evaluate_perplexity(model, [7, 8, 9, 10, 11] * 20, dynamic_evaluation=options).tokens
    99
    ```
    """
    parameters = _trainable(model)
    squares = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    segments = 0

    def learn(loss):
        nonlocal segments
        segments += 1
        for square, gradient in zip(squares.values(), _gradients(loss, parameters), strict=True):
            if gradient is not None:
                square.addcmul_(gradient, gradient)

    _read(model, token_ids, None, learn, batch_size, segment_length, carry_state, show_progress)
    return {name: (square / segments).sqrt() for name, square in squares.items()}


def tune_dynamic_evaluation(
    model: PreTrainedModel,
    token_ids: Sequence[int] | torch.Tensor,
    learning_rates: Sequence[float],
    decays: Sequence[float],
    *,
    gradient_rms: Mapping[str, torch.Tensor] | None = None,
    segment_length: int = 5,
    epsilon: float = 2e-5,
    batch_size: int = 1,
    carry_state: bool = True,
    show_progress: bool = False,
) -> Tuning:
    """
    Find the best step size and decay. Each pair of values reads the text once: a part of the validation data will do.

    Args:
        learning_rates, decays (`Sequence[float]`): Values of the two options, each tried with each.
        model, token_ids, gradient_rms, segment_length, epsilon, batch_size, carry_state, show_progress:
            As in [`evaluate_perplexity`] and [`DynamicEvaluation`].

    Returns:
        [`Tuning`]: The best options, and the loss of each pair `(learning_rate, decay)`.

    Raises:
        `ValueError`: As [`evaluate_perplexity`].

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.evaluation.perplexity import tune_dynamic_evaluation

    >>> model = LSTMForCausalLM(LSTMConfig(vocab_size=50, hidden_size=8))
    >>> tune_dynamic_evaluation(model, [7, 8, 9, 10, 11] * 20, learning_rates=[0.001, 0.1], decays=[0.0, 1.0]).best
    DynamicEvaluation(learning_rate=0.1, decay=0.0, segment_length=5, epsilon=2e-05)
    ```
    """
    tried = [
        DynamicEvaluation(rate, decay, gradient_rms, segment_length, epsilon)
        for rate in learning_rates
        for decay in decays
    ]
    if not tried:
        raise ValueError("`learning_rates` or `decays` is empty: give at least one value of each.")
    reading = {"batch_size": batch_size, "carry_state": carry_state, "show_progress": show_progress}
    losses = [evaluate_perplexity(model, token_ids, dynamic_evaluation=each, **reading).loss for each in tried]
    return _tuning(tried, [(each.learning_rate, each.decay) for each in tried], losses)


def join_tokens(rows: Iterable, eos_token_id: int | None = None) -> torch.LongTensor:
    """
    Lay tokenized documents end to end.

    Args:
        rows (`datasets.Dataset` or `Iterable`): Documents, with their tokens in `input_ids`, or lists of tokens.
        eos_token_id (`int`, *optional*): Token to put after each document.

    Returns:
        `torch.LongTensor` of shape `(N,)`: The text.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from hf_lstm.evaluation.perplexity import join_tokens

    >>> join_tokens(Dataset.from_dict({"input_ids": [[5, 6], [], [7]]}), eos_token_id=1).tolist()
    [5, 6, 1, 1, 7, 1]
    ```
    """
    end = [] if eos_token_id is None else [eos_token_id]
    ids = (row["input_ids"] if isinstance(row, Mapping) else row for row in rows)
    return torch.tensor([token for row in ids for token in [*row, *end]], dtype=torch.long)


class _CacheScore:
    """Sum of the log-probabilities with a cache, for each pair of thetas and interpolations."""

    def __init__(self, cache_size: int, thetas: Sequence[float], interpolations: Sequence[float]):
        self.cache_size, self.thetas = cache_size, thetas
        self.shares = torch.tensor(interpolations, dtype=torch.double)
        self.keys = self.tokens = None  # (B, M, P) and (B, M): the last states, and the token after each

    def __call__(self, log_probs, hidden_states, targets):
        parts = zip(*(each.split(QUERIES, dim=1) for each in (log_probs, hidden_states, targets)), strict=True)
        return sum(self._score(*part) for part in parts)

    def _score(self, log_probs, hidden_states, targets) -> torch.Tensor:
        """(B, T), (B, T, P), (B, T) -> (number of thetas, number of interpolations)."""
        real, shares = targets != -100, self.shares.to(log_probs.device)
        log_probs = log_probs.double()[real][:, None]  # (positions, 1)
        totals = []
        for log_cache in self._recall(hidden_states, targets):
            log_cache = log_cache.double()[real][:, None]
            mixed = torch.logaddexp(log_probs + torch.log1p(-shares), log_cache + shares.log())
            totals.append(torch.where(log_cache.isnan(), log_probs, mixed).sum(0))  # NaN: nothing to remember
        return torch.stack(totals)

    def _recall(self, hidden_states, targets) -> Iterator[torch.Tensor]:
        """Log-probability of the targets in the cache, (B, T), for each theta; then the cache moves on."""
        hidden_states = hidden_states.to(torch.promote_types(hidden_states.dtype, torch.float32))
        keys, tokens = hidden_states, targets
        if self.keys is not None:
            keys, tokens = torch.cat([self.keys, keys], dim=1), torch.cat([self.tokens, tokens], dim=1)
        steps = torch.arange(keys.shape[1], device=keys.device)
        age = steps[-targets.shape[1] :, None] - steps  # (T, M + T)
        outside = (age < 1) | (age > self.cache_size)
        same = tokens[:, None] == targets[..., None]  # (B, T, M + T)
        similarity = hidden_states @ keys.mT  # (B, T, M + T)
        for theta in self.thetas:
            weights = (theta * similarity).masked_fill_(outside, -torch.inf).softmax(-1)
            yield (weights * same).sum(-1).log()
        self.keys, self.tokens = keys[:, -self.cache_size :], tokens[:, -self.cache_size :]


def _read(
    model,
    token_ids,
    score: Score | None,
    learn: Learn | None,
    batch_size: int,
    block_size: int,
    carry_state: bool,
    progress,
) -> tuple[torch.Tensor, int]:
    """
    Read a text block by block; `learn(loss)` is called with a loss that has a graph. Returns the sum over the blocks
    of `score(log_probs, hidden_states, targets)`, or else of the log-probabilities, and the number of predicted
    tokens.
    """
    recurrent = _check_model(model, carry_state)
    vocab_size = model.config.get_text_config().vocab_size
    tokens = _check_tokens(token_ids, vocab_size)
    _check_counts(batch_size=batch_size, block_size=block_size)
    if carry_state and batch_size >= len(tokens):
        raise ValueError(
            f"`batch_size` is {batch_size} for {len(tokens) - 1} tokens to predict: give one for each stream."
        )
    without_logits = score is None and recurrent
    if learn is None and not without_logits:  # the result does not depend on what is lessened here
        rows = max(1, MOST_LOGITS // vocab_size)
        if carry_state:
            block_size = max(1, min(block_size, rows // batch_size))
        else:
            batch_size = max(1, min(batch_size, rows // block_size))
    blocks = (_streams if carry_state else _windows)(tokens, batch_size, block_size)
    total, state = 0, None
    with evaluation_mode(model):
        for inputs, targets in logging.tqdm(blocks, disable=not progress):
            inputs, targets = inputs.to(model.device), targets.to(model.device)
            with torch.set_grad_enabled(learn is not None):
                if without_logits:
                    loss, state = _summed_loss(model, inputs, targets, state)
                else:
                    parts = _forward(model, inputs, targets, state, recurrent, with_hidden_states=score is not None)
                    log_probs, hidden_states, state = parts
                    loss = -log_probs.sum()
                mean = loss / (targets != -100).sum()
            if learn is not None:
                learn(mean)
                state = state.detach() if recurrent else None
            if score is None:
                total = total - loss.detach().double()
            elif carry_state:
                total = total + score(log_probs, hidden_states, targets)
            else:  # windows follow one another: a single stream for the cache
                stream = (log_probs.reshape(1, -1), hidden_states.flatten(0, 1)[None], targets.reshape(1, -1))
                total = total + score(*stream)
            if not carry_state:
                state = None
    return total, len(tokens) - 1


def _summed_loss(model, inputs, targets, state):
    """Minus the sum of the log-probabilities of the targets (B, T), and the state after them; no logits are held."""
    outputs = model(
        input_ids=inputs,
        cache=state,
        use_cache=True,
        shift_labels=targets,
        num_items_in_batch=1,
        output_logits=False,
        return_dict=True,
    )
    return outputs.loss, outputs.cache


def _forward(model, inputs, targets, state, recurrent: bool, with_hidden_states: bool):
    """Log-probabilities of the targets (B, T), the outputs of the last layer (B, T, P), and the state after them."""
    kwargs = {"cache": state} if recurrent else {}
    outputs = model(
        input_ids=inputs,
        use_cache=recurrent,
        output_hidden_states=with_hidden_states,
        return_dict=True,
        **kwargs,
    )
    logits = outputs.logits.flatten(0, 1)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_probs = -F.cross_entropy(logits, targets.flatten(), reduction="none").view_as(targets)
    hidden_states = outputs.hidden_states[-1] if with_hidden_states else None
    return log_probs, hidden_states, outputs.cache if recurrent else None


def _streams(tokens: torch.Tensor, batch_size: int, block_size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """
    Inputs and targets (B, T) of successive blocks. A stream begins with the last target of the one before it; lengths
    differ by at most one, and where a stream has ended the target is -100.
    """
    inputs = pad_sequence(tokens[:-1].tensor_split(batch_size), batch_first=True)
    targets = pad_sequence(tokens[1:].tensor_split(batch_size), batch_first=True, padding_value=-100)
    return list(zip(inputs.split(block_size, dim=1), targets.split(block_size, dim=1), strict=True))


def _windows(tokens: torch.Tensor, batch_size: int, block_size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and targets (B, T) of batches of windows; where the last window has ended the target is -100."""
    inputs, targets = tokens[:-1].split(block_size), tokens[1:].split(block_size)
    return [
        (
            pad_sequence(inputs[i : i + batch_size], batch_first=True),
            pad_sequence(targets[i : i + batch_size], batch_first=True, padding_value=-100),
        )
        for i in range(0, len(inputs), batch_size)
    ]


def _read_adapting(model, token_ids, score, options: DynamicEvaluation | None, batch_size, block_size, *how):
    """As [`_read`], segment by segment with the steps of dynamic evaluation, if there are options for it."""
    with _adapting(model, options) as learn:
        block_size = block_size if options is None else options.segment_length
        return _read(model, token_ids, score, learn, batch_size, block_size, *how)


@contextmanager
def _adapting(model: nn.Module, options: DynamicEvaluation | None) -> Iterator[Learn | None]:
    """A function that takes the steps of dynamic evaluation; afterwards the parameters are as before, bit for bit."""
    if options is None:
        yield None
        return
    parameters = _trainable(model)
    rates = list(options.rates(parameters))
    originals = [parameter.detach().clone() for parameter in parameters.values()]

    def learn(loss):
        gradients = _gradients(loss, parameters)
        parts = zip(parameters.values(), originals, rates, gradients, strict=True)
        for parameter, original, (step, pull), gradient in parts:
            parameter.lerp_(original, pull)
            if gradient is not None:
                parameter.addcmul_(gradient, step, value=-1)

    try:
        yield learn
    finally:
        for parameter, original in zip(parameters.values(), originals, strict=True):
            parameter.copy_(original)


def _trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not parameters:
        raise ValueError("`model` has no parameter with `requires_grad`, so that it cannot adapt. Unfreeze some.")
    return parameters


def _gradients(loss: torch.Tensor, parameters: Mapping[str, nn.Parameter]) -> tuple[torch.Tensor | None, ...]:
    """Not with `backward`: what is in `grad` may be needed by whoever called."""
    return torch.autograd.grad(loss, tuple(parameters.values()), allow_unused=True)


def _check_model(model: Any, carry_state: bool) -> bool:
    """Refuse what cannot predict tokens from left to right; whether the model has a state."""
    if not (hasattr(model, "can_generate") and model.can_generate()):
        raise ValueError(f"`model` is a {type(model).__name__}, no language model. Give a model that can `generate`.")
    recurrent = hasattr(model, "step_function")  # not by class: the code in a saved folder is a copy
    if carry_state and not recurrent:
        raise ValueError(
            f"`carry_state` is True, but `model`, a {type(model).__name__}, keeps no state of constant size. Use "
            "`carry_state=False`, with a `block_size` that the model can read."
        )
    return recurrent


def _check_tokens(token_ids: Any, vocab_size: int) -> torch.Tensor:
    tokens = torch.as_tensor(token_ids)
    if tokens.ndim != 1 or len(tokens) < 2 or tokens.is_floating_point():
        raise ValueError(
            f"`token_ids` has the shape {tuple(tokens.shape)} and type {tokens.dtype}: give one text of at least two "
            "whole numbers. `join_tokens` lays documents end to end."
        )
    if tokens.min() < 0 or tokens.max() >= vocab_size:
        raise ValueError(
            f"`token_ids` holds ids from {tokens.min()} to {tokens.max()}, but `vocab_size` is {vocab_size}. Use the "
            "model's own tokenizer."
        )
    return tokens.long()


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"`{name}` is {value}: give at least 1.")


def _tuning(tried: list, pairs: list[tuple[float, float]], losses: Iterable[float]) -> Tuning:
    """The options with the smallest loss; one that is NaN, where the model diverged, is the worst."""
    losses = [float(loss) for loss in losses]
    ranks = [math.inf if math.isnan(loss) else loss for loss in losses]
    return Tuning(tried[ranks.index(min(ranks))], dict(zip(pairs, losses, strict=True)))


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Linear-chain conditional random field (Lafferty et al. 2001) for the scores of any encoder (Lample et al. 2016, section
2.2), and the transitions that a tagging scheme allows.

Dimensions: B batch, T time steps, K labels, N entities. In matrices of transitions [i, j] is from label i to label j.
With s the scores of a sentence, A the transitions, and y_0 = y_{T+1} = "outside the sentence", index K of a matrix of
K + 1 rows and columns (Lample et al., equation 1):

    score(y) = sum_t s[t, y_t] + sum_t A[y_{t-1}, y_t]        p(y) = exp(score(y)) / Z        Z = sum_y' exp(score(y'))
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import initialization as init


SCORE_LIMIT = 1e6  # scores are cut here: beyond, fp32 no longer resolves 0.06 nats, and infinities would spoil a batch
LOG_ZERO = -1e4  # logit of an impossible label: its softmax is 0 in any precision

# What a token may be to its entity: the first (`opens`) or the last (`closes`), and whether one entity may go on from
# it (`leads`) into the next token (`joins`).
SCHEMES = {
    "IOB1": {"B": "opens leads closes", "I": "opens joins leads closes"},
    "BIO": {"B": "opens leads closes", "I": "joins leads closes"},
    "BIOES": {"B": "opens leads", "I": "joins leads", "E": "joins closes", "S": "opens closes"},
    "BILOU": {"B": "opens leads", "I": "joins leads", "L": "joins closes", "U": "opens closes"},
    "BMES": {"B": "opens leads", "M": "joins leads", "E": "joins closes", "S": "opens closes"},
}
OTHER_NAMES = {"IOB2": "BIO", "IOBES": "BIOES"}


def _scheme_of(labels: Sequence[str], scheme: str) -> str:
    """The name of the scheme in `SCHEMES`, or "NONE"."""
    scheme = OTHER_NAMES.get(scheme.upper(), scheme.upper())
    if scheme in SCHEMES or scheme == "NONE":
        return scheme
    if scheme != "AUTO":
        raise ValueError(f"`scheme` is {scheme!r}, expected 'auto', 'none' or one of {[*SCHEMES, *OTHER_NAMES]}.")
    prefixes = {label.partition("-")[0] for label in labels if label != "O"}
    if not prefixes or not all(re.fullmatch("O|[A-Z](-.+)?", label, re.DOTALL) for label in labels):
        return "NONE"
    if prefixes == {"I"}:
        return "IOB1"
    return next((name for name in ("BIO", "BIOES", "BILOU", "BMES") if prefixes <= set(SCHEMES[name])), "NONE")


class _Tagging(NamedTuple):
    """Arrays on the host: as buffers that are not saved they would leave `from_pretrained` as uninitialised memory."""

    allowed: np.ndarray  # bool (K + 1, K + 1), see `allowed_transitions`
    joined: np.ndarray  # bool (K, K): both tokens belong to one entity
    types: list[str | None]  # of the entity that a label belongs to; None outside of entities


def _read_tagging(labels: Sequence[str], scheme: str) -> _Tagging:
    scheme = _scheme_of(labels, scheme)
    prefixes, _, types = zip(*(label.partition("-") for label in labels), strict=True)
    if scheme == "NONE":
        inside, types, roles = [False] * len(labels), list(labels), ["opens closes"] * len(labels)
    else:
        inside = [prefix in SCHEMES[scheme] for prefix in prefixes]
        types = [name if known else None for name, known in zip(types, inside, strict=True)]
        roles = [SCHEMES[scheme].get(prefix, "opens closes") for prefix in prefixes]
    opens, closes, leads, joins = (
        np.array([role in each for each in roles]) for role in ("opens", "closes", "leads", "joins")
    )
    same = np.array([[a == b for b in types] for a in types]) & np.array(inside)
    joined = same & leads[:, None] & joins
    # Labels that no whole entity contains, since others are missing, may begin or end one.
    opens |= ~_reachable(opens, joined)
    closes |= ~_reachable(closes, joined.T)
    if not (opens & closes).any():  # else no sentence of one token would be legal
        closes |= opens
    # In IOB1 a B only divides two entities of one type (Ramshaw & Marcus 1995; Tjong Kim Sang & Veenstra 1999).
    divides = [scheme == "IOB1" and x == "B" and f"I{y[1:]}" in labels for x, y in zip(prefixes, labels, strict=True)]
    allowed = np.ones((len(labels) + 1,) * 2, dtype=bool)
    allowed[:-1, :-1] = joined | (closes[:, None] & opens & (same | ~np.array(divides)))
    allowed[-1, :-1], allowed[:-1, -1] = opens & ~np.array(divides), closes
    return _Tagging(allowed, joined, types)


def _reachable(origin: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Nodes that paths from `origin`, bool (K,), along `edges`, bool (K, K), come to: bool (K,)."""
    reached = origin | edges[origin].any(0)
    return reached if (reached == origin).all() else _reachable(reached, edges)


def allowed_transitions(labels: Sequence[str], scheme: str = "auto") -> torch.BoolTensor:
    """
    The transitions between labels that a tagging scheme allows.

    Args:
        labels (`Sequence[str]`): Names of the labels, such as "B-PER"; "O" and others without a prefix of the scheme
            are outside of entities. Where the set lacks labels, so that some could never begin or end an entity
            ("I-PER" without "B-PER" in BIO), these may do so: each label occurs in a legal sentence, and there is a
            legal sentence of each length.
        scheme (`str`, defaults to `"auto"`): "IOB1", "BIO" (or "IOB2"), "BIOES" (or "IOBES"), "BILOU", "BMES", "none".
            "auto" looks at the prefixes: I alone is IOB1; B, or B and I, is BIO, although the names of an IOB1 corpus
            look the same (name the scheme if it is one); others are the first of BIOES, BILOU, BMES that has them all;
            with any label that is neither "O" nor one capital, alone or before a "-", nothing is forbidden.

    Returns:
        `torch.BoolTensor` of shape `(K + 1, K + 1)`: [i, j] for label i before label j; [K, j] for a sentence that
        begins with j, [i, K] for one that ends with i.

    Raises:
        ValueError: for an unknown scheme.
    """
    return torch.from_numpy(_read_tagging(labels, scheme).allowed)


class _Packing:
    """
    Moves the real tokens of each row to the front, in their order, and time steps to the front of batches: the chains
    run over nothing else. T is then the number of real tokens of the longest row, and at least 1.
    """

    def __init__(self, keep: torch.Tensor):
        self.shape, batch = keep.shape, len(keep)
        self.lengths = keep.sum(1)  # (B,)
        self.steps = max(1, int(self.lengths.max())) if keep.numel() else 1
        self.is_whole = keep.numel() > 0 and bool(keep.all())
        step, row = (torch.arange(size, device=keep.device) for size in (self.steps, batch))
        self.real = step[:, None] < self.lengths  # (T, B)
        self.ends = (self.lengths - 1).clamp(min=0), row  # index of the last tokens in (T, B, ...)
        if not self.is_whole:
            self._given = keep.flatten().nonzero().squeeze(1)  # (number of tokens,)
            packed = (keep.cumsum(1) - 1) * batch + row[:, None]
            self._packed = packed.flatten().index_select(0, self._given)
            reverse = torch.where(self.real, self.lengths - 1 - step[:, None], step[:, None])
            self._reverse = (reverse * batch + row).flatten()

    def _move(self, values, origins, targets, shape, fill):
        flat = values.new_full((shape[0] * shape[1], *values.shape[2:]), fill)
        flat = flat.index_copy(0, targets, values.flatten(0, 1).index_select(0, origins))
        return flat.view(*shape, *values.shape[2:])

    def pack(self, values: torch.Tensor, fill: float = 0) -> torch.Tensor:
        """(B, T given, ...) -> (T, B, ...), with `fill` at padding."""
        if self.is_whole:
            return values.transpose(0, 1).contiguous()
        return self._move(values, self._given, self._packed, self.real.shape, fill)

    def unpack(self, values: torch.Tensor, fill: float = 0) -> torch.Tensor:
        """The inverse of [`~_Packing.pack`], with `fill` at what was left out."""
        if self.is_whole:
            return values.transpose(0, 1).contiguous()
        return self._move(values, self._packed, self._given, self.shape, fill)

    def reverse(self, values: torch.Tensor) -> torch.Tensor:
        """Each row backwards, padding left in its place: (T, B, K) -> (T, B, K)."""
        if self.is_whole:
            return values.flip(0)
        return values.flatten(0, 1).index_select(0, self._reverse).view(values.shape)

    def lockstep(self, values: torch.Tensor) -> torch.Tensor:
        """What the recursions from the left and from the right read at each step: (T, B, K) -> (T, 2, B, K)."""
        return torch.stack((values, self.reverse(values)), 1)

    def both_ways(self, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The inverse of [`~_Packing.lockstep`], for messages from the left and from the right, each (T, B, K)."""
        return steps[:, 0], self.reverse(steps[:, 1])


def _both_directions(transitions: torch.Tensor) -> torch.Tensor:
    return torch.stack((transitions, transitions.T))  # (2, K, K)


def _scaled_messages(weights: torch.Tensor, transitions: torch.Tensor, period: int) -> tuple[torch.Tensor, ...]:
    """
    The forward recursion, and the backward one as a second direction, divided by their sum now and then (Rabiner 1989,
    section V.A): alpha_t = (alpha_{t-1} A) * e_t / c_t. A product of matrices a step, in place of K * K exponentials.

    Args:
        weights (`torch.Tensor` of shape `(T, D, B, K)`), transitions (`torch.Tensor` of shape `(D, K, K)`):
            Exponentials of scores.
        period (`int`): Steps from one division to the next, see [`_scaling_period`].

    Returns:
        The messages after and before each token, `(T, D, B, K)`, and the divisors c, `(T, D, B, 1)`.
    """
    after, before, scales = torch.empty_like(weights), torch.ones_like(weights), torch.ones_like(weights[..., :1])
    previous = None
    for t, (weight, new, old, scale) in enumerate(zip(weights, after, before, scales, strict=True), 1):
        if previous is not None:
            torch.bmm(previous, transitions, out=old)
        previous = torch.mul(old, weight, out=new)
        if t % period == 0:
            new.div_(torch.sum(new, -1, keepdim=True, out=scale))
    return after, before, scales


def _log_messages(scores: torch.Tensor, transitions: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As [`_scaled_messages`], from scores to logarithms: for any values, differentiable, and several times slower."""
    after, before, scales = [], [torch.zeros_like(scores[0])], []
    for t, score in enumerate(scores):
        if t:
            before.append((after[-1][..., None] + transitions[:, None]).logsumexp(-2))
        scales.append((before[-1] + score).logsumexp(-1, keepdim=True))
        after.append(before[-1] + score - scales[-1])
    return torch.stack(after), torch.stack(before), torch.stack(scales)


def _scaling_period(scores: torch.Tensor, transitions: torch.Tensor, constrained: bool) -> int:
    """
    How many steps [`_scaled_messages`] may take without a division, so that what underflows cannot matter; 0 if none.

    Let each token's highest score be 0, (T, B, K), and transitions, (K, K), reach from -d to 0. A step then shrinks a
    sum by at most exp(d), and a label that is lost would by the next step have gained at most exp(d) on the others:
    scores of tokens play no part. Products of messages from both sides bring 2 p d for a period p. Where transitions
    are forbidden, it may take four steps to change over to another path (E-X, B-Y, I-Y), past scores of tokens, which
    then count too. 20 nats are left for accuracy, and p is limited for sums, which grow by up to K a step.
    """
    spread = -transitions.masked_fill(transitions == -torch.inf, 0).min()
    if constrained and scores.numel():
        spread = spread - scores.masked_fill(scores == -torch.inf, 0).min()
    room = (-np.log(torch.finfo(scores.dtype).tiny) - 20) / max(float(spread), 1e-3)
    if not room >= (5 if constrained else 2):  # also for NaN
        return 0
    return max(1, int(min((room - 3 * constrained) / 2, 8, 30 / np.log(scores.shape[-1] + 1))))


class _ScaledLogPartition(torch.autograd.Function):
    """
    log Z in nats, (B,), from scores (T, B, K) and transitions (K, K) for which [`_scaling_period`] is not 0. Its
    gradient is the posterior of each label, and the expected number of each transition (Lafferty et al. 2001, section
    3).
    """

    @staticmethod
    def forward(ctx, scores, transitions, packing, period):
        weights, steps = scores.exp(), transitions.exp()
        if any(ctx.needs_input_grad):
            after, before, scales = _scaled_messages(packing.lockstep(weights), _both_directions(steps), period)
            ctx.save_for_backward(after, before, steps)
            ctx.packing = packing
        else:
            after, _, scales = _scaled_messages(weights[:, None], steps[None], period)
        return _log_partition(after[:, 0].sum(-1).log(), scales[:, 0, :, 0].log(), packing)

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():  # `once_differentiable` would drop the second derivative without a word
            raise RuntimeError(
                "The loss of a `LinearChainCRF` has no second derivative; leave out `create_graph=True`."
            )
        (after, before, steps), packing = ctx.saved_tensors, ctx.packing
        weight = (packing.real * grad)[..., None]  # (T, B, 1)
        (alpha, beta), (from_left, from_right) = packing.both_ways(after), packing.both_ways(before)
        posterior = alpha * from_right
        posterior *= weight / posterior.sum(-1, keepdim=True)
        # p(y_{t-1} = i, y_t = j) = alpha_{t-1}[i] A[i, j] beta_t[j], divided by the sum over all i and j
        beta = (beta * (weight / (from_left * beta).sum(-1, keepdim=True)))[1:].flatten(0, 1)
        with torch.autocast(grad.device.type, enabled=False):
            return posterior, steps * (alpha[:-1].flatten(0, 1).T @ beta), None, None


def _log_partition(after: torch.Tensor, scales: torch.Tensor, packing: _Packing) -> torch.Tensor:
    """log Z, (B,), from the logarithms of the messages from the left, summed over labels, and of divisors, (T, B)."""
    return torch.where(packing.real, scales, 0).sum(0) + torch.where(packing.lengths > 0, after[packing.ends], 0)


class _Messages(NamedTuple):
    """Logarithms, of shape (T, B, K), each up to a constant of its token."""

    alpha: torch.Tensor  # of all paths up to a token, by its label
    beta: torch.Tensor  # of all paths from a token on, by its label
    through: torch.Tensor  # of all paths through a token, by its label
    emitted: torch.Tensor  # what alpha takes up at a token: its scores, less the divisor of the step
    transitions: torch.Tensor  # (K, K)


class _Chain(NamedTuple):
    """A batch of packed sentences, ready for the recursions."""

    packing: _Packing
    scores: torch.Tensor  # (T, B, K), with those of the two ends in the first and the last token
    transitions: torch.Tensor  # (K, K)
    constrained: bool  # whether some transitions, hence also some scores at the ends, are minus infinity

    @classmethod
    def of(cls, packing: _Packing, scores: torch.Tensor, matrix: torch.Tensor, constrained: bool):
        """From packed scores (T, B, K) and the matrix of transitions (K + 1, K + 1)."""
        scores = torch.cat((scores[:1] + matrix[-1, :-1], scores[1:]))
        scores = scores.index_put(packing.ends, matrix[:-1, -1], accumulate=True)
        return cls(packing, scores, matrix[:-1, :-1], constrained)

    def _levelled(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        """Scores and transitions with a highest of 0, what sentences lost by it, (B,), and the period of scaling."""
        highest, highest_step = self.scores.detach().amax(-1), self.transitions.detach().max()
        scores, transitions = self.scores - highest[..., None], self.transitions - highest_step
        lost = (highest * self.packing.real).sum(0) + highest_step * (self.packing.lengths - 1).clamp(min=0)
        return scores, transitions, lost, _scaling_period(scores.detach(), transitions.detach(), self.constrained)

    def log_partition(self) -> torch.Tensor:
        """log Z in nats, (B,)."""
        scores, transitions, lost, period = self._levelled()
        if period:
            return lost + _ScaledLogPartition.apply(scores, transitions, self.packing, period)
        after, _, scales = _log_messages(scores[:, None], transitions[None])
        return lost + _log_partition(after[:, 0].logsumexp(-1), scales[:, 0, :, 0], self.packing)

    def messages(self) -> _Messages:
        scores, transitions, _, period = self._levelled()
        both, steps = self.packing.lockstep(scores), _both_directions(transitions)
        if period:
            after, before, scales = (each.log() for each in _scaled_messages(both.exp(), steps.exp(), period))
        else:
            after, before, scales = _log_messages(both, steps)
        (alpha, beta), (_, following) = self.packing.both_ways(after), self.packing.both_ways(before)
        return _Messages(alpha, beta, alpha + following, scores - scales[:, 0], transitions)


def _viterbi(chain: _Chain) -> tuple[torch.LongTensor, torch.Tensor]:
    """The best path, (T, B), K at padding, and its score, (B,)."""
    best = chain.scores.transpose(1, 2).contiguous()  # (T, K, B): maxima over the first dimension are fastest
    leaving = chain.transitions[..., None]  # (K, K, 1)
    paths = best.new_empty(*leaving.shape[:2], best.shape[2])  # from a label to a label, (K, K, B)
    steps = best.unbind()
    for previous, score in pairwise(steps):
        score += torch.add(previous[:, None], leaving, out=paths).amax(0)
    best = best.transpose(1, 2).contiguous()  # of the paths that end with each label, (T, B, K)
    value = torch.where(chain.packing.lengths > 0, best[chain.packing.ends].amax(-1), 0)

    # The way back is walked on the host, where many small steps cost less than half of those of torch. Each is worked
    # out for the one label that counts: the maxima above would cost three times more with their positions.
    best, arriving, real = (each.cpu().numpy() for each in (best, chain.transitions.T, chain.packing.real))
    outside = len(arriving)  # label K stands behind the end, and to come from there costs nothing
    arriving = np.concatenate((arriving, np.zeros_like(arriving[:1])))  # (K + 1, K)
    padding = np.where(real, 0, outside)
    path, label = np.empty_like(padding), np.full_like(padding[0], outside)
    for t in range(len(best) - 1, -1, -1):
        label = path[t] = np.maximum((best[t] + arriving.take(label, 0)).argmax(1), padding[t])
    return torch.from_numpy(path).to(value.device), value


class LinearChainCRF(nn.Module):
    """
    A distribution over label sequences: scores of each token, plus a learned score of each transition.

    Training and prediction differ on purpose. The likelihood is normalised over all sequences: with forbidden ones
    left out, a slip in the annotation has probability 0 and an infinite loss, and the model would never learn from
    data that forbidden sequences are wrong. All else (decoding, posteriors) is exact under the distribution given that
    the sequence is legal.

    Positions where `mask` is False, and in the loss those labelled -100, are left out exactly wherever they are: the
    chain goes from the real token before to the one after. All is computed in fp32 or better, also under autocast, and
    scores are cut at one million, so that minus infinity does no harm. The parameters bear the names and shapes of
    pytorch-crf. The loss cannot be differentiated twice; a try raises a `RuntimeError`.

    Args:
        num_labels (`int`): Number of labels, K.
        labels (`Sequence[str]`, *optional*): Their names. Without, every sequence is legal.
        scheme (`str`, defaults to `"auto"`): Of the names, as in [`allowed_transitions`].

    Raises:
        ValueError: for a number of labels below 1 or other than that of the names, or an unknown scheme; by the
            methods, for tensors that do not fit.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm.crf import LinearChainCRF

    >>> crf = LinearChainCRF(3, ["O", "B-PER", "I-PER"])
    >>> scores, labels = torch.randn(2, 4, 3), torch.tensor([[0, 1, 2, 0], [1, 0, -100, -100]])
    >>> loss = crf(scores, labels).sum()
    >>> labels, score = crf.decode(scores)
    >>> labels.shape
    torch.Size([2, 4])

    ```
    """

    def __init__(self, num_labels: int, labels: Sequence[str] | None = None, scheme: str = "auto"):
        super().__init__()
        if num_labels < 1 or (labels is not None and len(labels) != num_labels):
            raise ValueError(
                f"`num_labels` is {num_labels} and `labels` has {'no' if labels is None else len(labels)} names. Pass "
                "a number of at least 1, and as many names or none."
            )
        self.num_labels = num_labels
        self._tagging = _read_tagging([str(i) for i in range(num_labels)] if labels is None else labels, scheme)
        self.transitions = nn.Parameter(torch.empty(num_labels, num_labels))
        self.start_transitions = nn.Parameter(torch.empty(num_labels))
        self.end_transitions = nn.Parameter(torch.empty(num_labels))
        self.init_weights()

    def init_weights(self) -> None:
        """Small random scores; parameters already loaded are kept. For the `_init_weights` of a model."""
        for parameter in self.parameters():
            init.uniform_(parameter, -0.1, 0.1)

    def extra_repr(self) -> str:
        return f"num_labels={self.num_labels}, forbidden={int((~self._tagging.allowed).sum())}"

    def forward(
        self,
        scores: torch.Tensor,
        labels: torch.LongTensor | None = None,
        mask: torch.Tensor | None = None,
        allowed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        The negative log-likelihood of each sentence; 0 for one without tokens.

        Args:
            scores (`torch.Tensor` of shape `(B, T, K)`): Scores of the encoder.
            labels (`torch.LongTensor` of shape `(B, T)`): The labels; those of -100 are left out of the chain.
            mask (`torch.Tensor` of shape `(B, T)`, boolean or integer, *optional*): 0 at positions to leave out.
            allowed (`torch.BoolTensor` of shape `(B, T, K)`): In place of `labels`, the labels that each token may
                have: the loss is -log of the probability of all sequences of these (Tsuboi et al. 2008, equation 2).
                A token of which nothing is allowed counts as one of which nothing is known.

        Returns:
            `torch.Tensor` of shape `(B,)`: In nats.
        """
        if (labels is None) == (allowed is None):
            raise ValueError("Pass either `labels` or `allowed`, and only one of them.")
        if allowed is not None and allowed.shape != scores.shape:
            raise ValueError(
                f"`allowed` has shape {tuple(allowed.shape)}, expected that of `scores`, {(*scores.shape,)}."
            )
        packing, scores, matrix = self._packed(scores, mask, labels, self._dtype(scores))
        if labels is not None:
            labels = packing.pack(labels, self.num_labels)  # (T, B), K at padding
            at_labels = scores.gather(2, labels.clamp(max=self.num_labels - 1)[..., None])
            # Sums of differences, not differences of sums, which would be inexact for large scores.
            everything = _Chain.of(packing, scores - at_labels, matrix, False)
            outside = torch.full_like(labels[:1], self.num_labels)
            steps = torch.cat((outside, labels)) * len(matrix) + torch.cat((labels, outside))  # (T + 1, B)
            return everything.log_partition() - matrix.flatten()[steps].sum(0)  # A[K, K] is 0
        excluded = ~packing.pack(allowed.bool() | ~allowed.bool().any(-1, keepdim=True), True)
        scores = scores - scores.detach().amax(-1, keepdim=True)
        chains = (_Chain.of(packing, s, matrix, False) for s in (scores, scores.masked_fill(excluded, -torch.inf)))
        everything, permitted = (chain.log_partition() for chain in chains)
        return everything - permitted

    @torch.no_grad()
    def decode(self, scores: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.LongTensor, torch.Tensor]:
        """
        The most probable legal sequence (Viterbi 1967).

        Args:
            scores (`torch.Tensor` of shape `(B, T, K)`), mask (`torch.Tensor` of shape `(B, T)`, *optional*): As in
                [`~LinearChainCRF.forward`], here and in the methods below.

        Returns:
            `(torch.LongTensor, torch.Tensor)` of shapes `(B, T)` and `(B,)`: Labels, -100 where `mask` is 0, and the
            score of the sequence, the sum at the top of this file.
        """
        chain = self._legal_chain(scores, mask)
        path, values = _viterbi(chain)
        return chain.packing.unpack(path, -100), values.to(self._dtype(scores))

    @torch.no_grad()
    def decode_nbest(
        self, scores: torch.Tensor, n: int, mask: torch.Tensor | None = None
    ) -> tuple[torch.LongTensor, torch.Tensor]:
        """
        The `n` most probable legal sequences, best first, from the n best paths to each label.

        Returns:
            `(torch.LongTensor, torch.Tensor)` of shapes `(B, n, T)` and `(B, n)`: Labels, -100 where `mask` is 0, and
            probabilities. Where a sentence has fewer legal sequences, the rest is -100 with probability 0.
        """
        if n < 1:
            raise ValueError(f"`n` is {n}, expected at least 1.")
        chain = self._legal_chain(scores, mask)
        lengths = chain.packing.lengths[:, None]
        nowhere = torch.full_like(chain.scores[0], -torch.inf)
        best, origins = [torch.stack([chain.scores[0]] + [nowhere] * (n - 1), 1)], []  # (B, n, K)
        for score in chain.scores[1:]:
            paths = best[-1][:, None] + chain.transitions.T[:, None]  # (B, K, n, K): to each label, from n * K paths
            values, origin = paths.flatten(2).topk(n)  # (B, K, n)
            best.append(values.transpose(1, 2) + score[:, None])
            origins.append(origin.transpose(1, 2).flatten(1))  # (B, n * K), numbers of paths at the step before
        values, final = torch.stack(best)[chain.packing.ends].flatten(1).topk(n)
        path = [final]
        for origin, goes_on in zip(origins[::-1], chain.packing.real[1:, :, None].flip(0), strict=True):
            path.append(torch.where(goes_on, origin.gather(1, path[-1]), final))
        paths = torch.stack(path[::-1]) % self.num_labels  # (T, B, n)
        probabilities = (values - chain.log_partition()[:, None]).exp()
        # A sentence without tokens has one sequence.
        number = torch.where(lengths > 0, (values > -torch.inf).sum(1, keepdim=True), 1)
        exists = torch.arange(n, device=number.device) < number  # (B, n)
        probabilities = torch.where(lengths > 0, probabilities, 1).masked_fill(~exists, 0)
        paths = chain.packing.unpack(paths, -100).transpose(1, 2).masked_fill(~exists[..., None], -100)
        return paths, probabilities.to(self._dtype(scores))

    @torch.no_grad()
    def marginals(self, scores: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The posterior of each label at each token, given the whole sentence: `(B, T, K)`, 0 where `mask` is 0."""
        chain = self._legal_chain(scores, mask)
        return chain.packing.unpack(chain.messages().through.softmax(-1)).to(self._dtype(scores))

    @torch.no_grad()
    def posterior_logits(self, scores: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """
        Logarithms of the marginals, `(B, T, K)`, for code that takes the argmax or the softmax of logits. Their argmax
        is the best sequence: a label of it that is not the most probable of its token is put 1e-6 above that, and only
        there the softmax is not the posterior. At least -10,000, whose softmax is 0; and 0 where `mask` is 0.
        """
        chain = self._legal_chain(scores, mask)
        logits = chain.messages().through.log_softmax(-1).clamp(min=LOG_ZERO).to(self._dtype(scores))
        path = (_viterbi(chain)[0] % self.num_labels)[..., None]
        highest, most_probable = logits.max(-1, keepdim=True)
        logits = logits.scatter(2, path, torch.where(most_probable == path, highest, highest + 1e-6))
        return chain.packing.unpack(logits)

    @torch.no_grad()
    def entity_probabilities(
        self, scores: torch.Tensor, labels: torch.LongTensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        For each entity in `labels` the probability that the sentence has exactly this one: one of its type begins with
        its first token, goes on to its last, and ends there (Culotta & McCallum 2004, section 3, and both boundaries).

        Args:
            labels (`torch.LongTensor` of shape `(B, T)`): Labels, say those of [`~LinearChainCRF.decode`]; they may be
                illegal, a change of type or an unexpected label then begins an entity. Those of -100 are left out.

        Returns:
            `torch.Tensor` of shape `(B, T)`: At all tokens of an entity its probability; at others the posterior of
            their label; 0 at positions left out.
        """
        chain = self._legal_chain(scores, mask, labels)
        labels, real = chain.packing.pack(labels), chain.packing.real
        messages = chain.messages()
        joined = torch.from_numpy(self._tagging.joined).to(labels.device)
        is_entity = torch.tensor([kind is not None for kind in self._tagging.types], device=labels.device)
        tagged = is_entity[labels] & real  # (T, B)
        goes_on = torch.zeros_like(tagged)  # into the next token
        goes_on[:-1] = joined[labels[:-1], labels[1:]] & real[1:]
        begins = tagged & ~goes_on.roll(1, 0)
        row, first = begins.T.nonzero(as_tuple=True)  # (N,)
        last = (tagged & ~goes_on).T.nonzero()[:, 1]
        probabilities = self._span_probabilities(chain, messages, row, first, last, labels[first, row])

        posterior = messages.through.softmax(-1).gather(2, labels[..., None]).squeeze(-1).T
        number = begins.T.flatten().cumsum(0).view(posterior.shape) - 1
        posterior = torch.where(tagged.T, torch.cat((probabilities, posterior.new_zeros(1)))[number], posterior)
        return chain.packing.unpack(posterior.T).to(self._dtype(scores))

    def _span_probabilities(self, chain, messages, row, first, last, label) -> torch.Tensor:
        """Of N entities of the type of `label`: those of all paths that pass their boundaries as required, (N,)."""
        types = self._tagging.types
        same = torch.tensor([[a == b for b in types] for a in types], device=row.device)
        joined = torch.from_numpy(self._tagging.joined).to(row.device)
        inside, apart = (messages.transitions.masked_fill(~where, -torch.inf) for where in (joined, ~joined))
        before = (messages.alpha[(first - 1).clamp(min=0), row][..., None] + apart).logsumexp(1)  # (N, K)
        path = torch.where((first == 0)[:, None], 0, before) + messages.emitted[first, row]
        path = path.masked_fill(~same[label], -torch.inf)
        for t in range(1, int((last - first).max()) + 1 if len(row) else 0):
            further = (path[..., None] + inside).logsumexp(1) + messages.emitted[(first + t).minimum(last), row]
            path = torch.where((first + t <= last)[:, None], further, path)
        after = (messages.beta[(last + 1).clamp(max=len(messages.beta) - 1), row][:, None] + apart).logsumexp(2)
        after = torch.where((last + 1 == chain.packing.lengths[row])[:, None], 0, after)
        every_path = messages.through[last, row].logsumexp(-1)
        return ((path + after).logsumexp(-1) - every_path).exp()

    def _dtype(self, scores: torch.Tensor) -> torch.dtype:
        return torch.promote_types(torch.promote_types(scores.dtype, self.transitions.dtype), torch.float32)

    def _packed(
        self, scores: torch.Tensor, mask: torch.Tensor | None, labels: torch.LongTensor | None, dtype: torch.dtype
    ) -> tuple[_Packing, torch.Tensor, torch.Tensor]:
        """What every method begins with: the packing, packed scores (T, B, K), transitions (K + 1, K + 1)."""
        if scores.dim() != 3 or scores.shape[2] != self.num_labels:
            raise ValueError(f"`scores` has shape {tuple(scores.shape)}, expected (B, T, {self.num_labels}).")
        keep = torch.ones(scores.shape[:2], dtype=torch.bool, device=scores.device)
        for name, given in (("mask", mask), ("labels", labels)):
            if given is not None and (given.shape != keep.shape or given.is_floating_point()):
                raise ValueError(
                    f"`{name}` has shape {tuple(given.shape)} and dtype {given.dtype}, expected {tuple(keep.shape)}, "
                    f"like `scores`, and {'boolean or integers' if name == 'mask' else 'integers'}."
                )
        if mask is not None:
            keep &= mask != 0
        if labels is not None:
            keep &= labels != -100
            if (keep & ((labels < 0) | (labels >= self.num_labels))).any():
                raise ValueError(
                    f"`labels` must be -100 or from 0 to {self.num_labels - 1}, got {labels[keep].unique()}."
                )
        packing = _Packing(keep)
        scores = packing.pack(scores.to(dtype).clamp(-SCORE_LIMIT, SCORE_LIMIT))
        parts = (self.transitions, self.start_transitions, self.end_transitions)
        steps, start, end = (parameter.to(dtype) for parameter in parts)
        matrix = torch.cat((torch.cat((steps, start[None])), torch.cat((end, end.new_zeros(1)))[:, None]), 1)
        return packing, scores, matrix

    def _legal_chain(self, scores, mask=None, labels=None) -> _Chain:
        """For prediction, in fp64 where there is one: hardly any scores then need logarithms ([`_scaling_period`])."""
        dtype = torch.float32 if scores.device.type == "mps" else torch.float64
        packing, scores, matrix = self._packed(scores, mask, labels, dtype)
        forbidden = torch.from_numpy(~self._tagging.allowed).to(matrix.device)
        return _Chain.of(packing, scores, matrix.masked_fill(forbidden, -torch.inf), bool(forbidden.any()))

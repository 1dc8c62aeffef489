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
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init

from .tracing import is_exported, scan


SCORE_LIMIT = 1e6  # scores are cut here: beyond, fp32 no longer resolves 0.06 nats, and infinities would spoil a batch
LOG_ZERO = -1e4  # logit of an impossible label: its softmax is 0 in any precision


class Letters(NamedTuple):
    """What a tagging scheme writes for the tokens of an entity: several, or a single one."""

    first: str
    inside: str
    last: str
    single: str


LETTERS = {
    "IOB1": Letters("B", "I", "I", "B"),  # `I` for the first token too, unless an entity of the type ends before it
    "BIO": Letters("B", "I", "I", "B"),
    "BIOES": Letters("B", "I", "E", "S"),
    "BILOU": Letters("B", "I", "L", "U"),
    "BMES": Letters("B", "M", "E", "S"),
}
OTHER_NAMES = {"IOB": "IOB1", "IOB2": "BIO", "IOBES": "BIOES", "BIOLU": "BILOU", "BMESO": "BMES"}


def scheme_of(labels: Sequence[str], scheme: str) -> str:
    """The name of the scheme in `LETTERS`, or "NONE"."""
    scheme = OTHER_NAMES.get(scheme.upper(), scheme.upper())
    if scheme in LETTERS or scheme == "NONE":
        return scheme
    if scheme != "AUTO":
        raise ValueError(f"`scheme` is {scheme!r}: give 'auto', 'none' or one of {[*LETTERS, *OTHER_NAMES]}.")
    prefixes = {label.partition("-")[0] for label in labels if label != "O"}
    if not any("-" in label for label in labels) or not all(
        re.fullmatch("O|[A-Z](-.+)?", label, re.DOTALL) for label in labels
    ):
        return "NONE"
    if prefixes == {"I"}:
        return "IOB1"
    return next((name for name in ("BIO", "BIOES", "BILOU", "BMES") if prefixes <= set(LETTERS[name])), "NONE")


class _Tagging(NamedTuple):
    """Arrays on the host: as buffers that are not saved they would leave `from_pretrained` as uninitialised memory."""

    allowed: np.ndarray  # bool (K + 1, K + 1), see `allowed_transitions`
    joined: np.ndarray  # bool (K, K): both tokens belong to one entity
    types: list[str | None]  # of the entity that a label belongs to; None outside of entities


def _read_tagging(labels: Sequence[str], scheme: str) -> _Tagging:
    scheme = scheme_of(labels, scheme)
    prefixes, _, types = zip(*(label.partition("-") for label in labels), strict=True)
    letters = LETTERS[scheme]._asdict() if scheme in LETTERS else {}

    def written(*places: str) -> np.ndarray:
        """Labels that the scheme writes at one of these places of an entity, bool (K,)."""
        return np.array([prefix in [letters.get(place) for place in places] for prefix in prefixes])

    inside = written(*Letters._fields)
    types = [kind if known else None for kind, known in zip(types, inside, strict=True)] if letters else list(labels)
    opens = ~inside | written("first", "single", *["inside"] * (scheme == "IOB1"))
    closes = ~inside | written("last", "single")
    same = np.array([[a == b for b in types] for a in types]) & inside
    joined = same & written("first", "inside")[:, None] & written("inside", "last")
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
        scheme (`str`, defaults to `"auto"`): One of `LETTERS` or of `OTHER_NAMES`, "none" or "auto".
            "auto" looks at the prefixes: I alone is IOB1; B, or B and I, is BIO, although the names of an IOB1 corpus
            look the same (name the scheme if it is one); others are the first of BIOES, BILOU, BMES that has them all;
            with any label that is neither "O" nor one capital, alone or before a "-", nothing is forbidden, nor
            without a "-": letters alone may be classes.

    Returns:
        `torch.BoolTensor` of shape `(K + 1, K + 1)`: [i, j] for label i before label j; [K, j] for a sentence that
        begins with j, [i, K] for one that ends with i.

    Raises:
        `ValueError`: If the scheme is unknown.
    """
    return torch.from_numpy(_read_tagging(labels, scheme).allowed)


class Packing:
    """
    The real tokens of each row, in their order, and nothing else: T + 2 steps, time first. Step 0 is outside of the
    sentence, tokens stand at 1 to T, T being their number in the longest row, and shorter rows stay outside from their
    end to step T + 1. Going on from outside to outside is free, hence no recursion asks for lengths.
    """

    def __init__(self, keep: torch.Tensor):
        self.keep, batch = keep, keep.shape[0]  # of which `len` would make a number fixed in a graph
        count = keep.cumsum(1)
        if is_exported():  # no size of a graph may depend on values
            steps = 2 + keep.shape[1]
        else:
            steps = 2 + (int(count.max()) if keep.numel() else 0)
        row = torch.arange(batch, device=keep.device)[:, None]
        # The step of each position, as an index into (T + 2) * B; 0 for those left out.
        self._places = torch.add(row, count, alpha=batch).mul_(keep).flatten()
        positions = torch.arange(keep.numel(), device=keep.device)
        origins = positions.new_full((steps * batch,), keep.numel()).index_copy_(0, self._places, positions)
        origins[:batch] = keep.numel()
        self._origins, self._shape = origins, (steps, batch)

    @property
    def real(self) -> torch.Tensor:
        """Where a token stands, bool (T + 2, B)."""
        return (self._origins < self.keep.numel()).view(self._shape)

    def pack(self, values: torch.Tensor) -> torch.Tensor:
        """(B * T given + 1, ...), the last row being what stands outside -> (T + 2, B, ...)."""
        return values.index_select(0, self._origins).view(*self._shape, *values.shape[1:])

    def pack_labels(self, labels: torch.Tensor, outside: int) -> torch.Tensor:
        """(B, T given) -> (T + 2, B), `outside` where no token stands."""
        return self.pack(F.pad(labels.flatten(), (0, 1), value=outside))

    def unpack(self, values: torch.Tensor, fill: float | None = None) -> torch.Tensor:
        """(T + 2, B, ...) -> (B, T given, ...), with `fill`, or what stands at step 0, at positions left out."""
        values = values.flatten(0, 1).index_select(0, self._places).view(*self.keep.shape, *values.shape[2:])
        return (
            values
            if fill is None
            else values.masked_fill_(~self.keep.view(*self.keep.shape, *[1] * (values.dim() - 2)), fill)
        )


def _is_within(values: torch.Tensor, lowest: float, highest: float) -> bool:
    """Whether all values are from `lowest` to `highest`; False also for NaN."""
    if not values.numel():
        return True
    least, most = torch.stack(values.detach().aminmax()).tolist()
    return lowest <= least and most <= highest


def _both_ways(steps: torch.Tensor) -> torch.Tensor:
    """What the recursions from the left and from the right read at each step: (T, B, K) -> (T, 2, B, K)."""
    return torch.stack((steps, steps.flip(0)), 1)


def _both_directions(transitions: torch.Tensor) -> torch.Tensor:
    return torch.stack((transitions, transitions.T))  # (2, K, K)


def _scaled_messages(
    weights: torch.Tensor, transitions: torch.Tensor, period: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The forward recursion, and the backward one as a second direction, divided by their sum now and then (Rabiner 1989,
    section V.A): alpha_t = (alpha_{t-1} A) * e_t / c_t. A product of matrices a step, in place of K * K exponentials.

    Args:
        weights (`torch.Tensor` of shape `(T, D, B, K)`), transitions (`torch.Tensor` of shape `(D, K, K)`):
            Exponentials of scores. The weights are overwritten.
        period (`int`): Steps from one division to the next, see [`_scaling_period`].

    Returns:
        The messages, `(T, D, B, K)`, in the place of the weights, and the divisors c, `(T, D, B, 1)`.
    """
    scales, before = torch.ones_like(weights[..., :1]), torch.empty_like(weights[0])
    for t, (previous, message) in enumerate(pairwise(weights.unbind()), 1):
        message.mul_(torch.bmm(previous, transitions, out=before))
        if t % period == 0:
            message.div_(torch.sum(message, -1, keepdim=True, out=scales[t]))
    return weights, scales


def _log_messages(scores: torch.Tensor, transitions: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """
    As [`_scaled_messages`], from scores to logarithms: for any values, differentiable, and several times slower. Also
    returns the messages before each step but the first, `(T - 1, D, B, K)`.
    """

    def step(after, score):
        before = (after[..., None] + transitions[:, None]).logsumexp(-2)
        scale = (before + score).logsumexp(-1, keepdim=True)
        return before + score - scale, scale, before

    first, no_scale = scores[:1], torch.zeros_like(scores[:1, ..., :1])
    if is_exported():

        def recorded(carried, now):
            after, scale, before = step(*carried, *now)
            return [after], [after.clone(), scale, before]

        _, (after, scales, before) = scan(recorded, [scores[0]], [scores[1:]])
    else:
        rows = [(scores[0], None, None)]
        for score in scores[1:]:
            rows.append(step(rows[-1][0], score))
        after, scales, before = (torch.stack(each) for each in zip(*rows[1:], strict=True))
    return torch.cat((first, after)), torch.cat((no_scale, scales)), before


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


class _Messages(NamedTuple):
    """Logarithms, each up to a constant of its step."""

    alpha: torch.Tensor  # of all paths up to a step, by its label, (T + 2, B, K + 1)
    beta: torch.Tensor  # of all paths from a step on, by its label, (T + 2, B, K + 1)
    through: torch.Tensor  # of all paths through a step, by its label, (T + 1, B, K + 1)
    emitted: torch.Tensor  # what alpha takes up at a step: its scores, less the divisor, (T + 2, B, K + 1)


class _Chain(NamedTuple):
    """A batch of packed sentences, ready for the recursions; label K is the outside of a sentence."""

    packing: Packing
    scores: torch.Tensor  # (T + 2, B, K + 1)
    transitions: torch.Tensor  # (K + 1, K + 1)
    constrained: bool  # whether some transitions are minus infinity

    @classmethod
    def of(cls, packing: Packing, scores: torch.Tensor, parameters, forbidden: torch.Tensor | None = None):
        """From scores (B, T given, K), the parameters of a [`LinearChainCRF`] and a mask (K + 1, K + 1)."""
        scores = F.pad(scores.flatten(0, 1), (0, 1, 0, 1), value=-torch.inf)
        scores[-1, -1] = 0
        steps, start, end = parameters
        steps = torch.cat((torch.cat((steps, start[None])), torch.cat((end, end.new_zeros(1)))[:, None]), 1)
        if forbidden is not None:
            steps = steps.masked_fill(forbidden, -torch.inf)
        return cls(packing, packing.pack(scores), steps, forbidden is not None)

    def levelled(self) -> tuple["_Chain", torch.Tensor]:
        """
        With a highest score of 0 at each step and a highest transition of 0, which all paths of a sentence lose alike;
        and the scores lost, (T + 2, B, 1).
        """
        highest = self.scores.detach().amax(-1, keepdim=True)
        steps = self.transitions - self.transitions.detach().flatten()[:-1].max()
        steps[-1, -1] = 0
        return self._replace(scores=self.scores - highest, transitions=steps), highest

    @property
    def period(self) -> int:
        """Of [`_scaled_messages`]; 0 in a graph, where the choice may not depend on values."""
        if is_exported():
            return 0
        return _scaling_period(self.scores.detach(), self.transitions.detach(), self.constrained)

    def score(self, labels: torch.LongTensor) -> torch.Tensor:
        """Of the sequences `labels`, (T + 2, B): (B,)."""
        emitted = self.scores.gather(2, labels[..., None]).sum((0, 2))
        return emitted + self.transitions[labels[:-1], labels[1:]].sum(0)

    def scaled(self, period: int) -> tuple[torch.Tensor, torch.Tensor]:
        """[`_scaled_messages`] of both directions."""
        return _scaled_messages(_both_ways(self.scores.exp()), _both_directions(self.transitions.exp()), period)

    def log_partition(self) -> torch.Tensor:
        """log Z in nats, (B,), of a levelled chain."""
        if period := self.period:
            after, scales = (each[:, 0].log() for each in self.scaled(period))
        else:
            after, scales, _ = _log_messages(self.scores[:, None], self.transitions[None])
            after, scales = after[:, 0], scales[:, 0]
        return after[-1, :, -1] + scales.sum((0, 2))

    def messages(self) -> _Messages:
        """Of a levelled chain."""
        if period := self.period:
            after, scales = self.scaled(period)
            following = (after[:-1, 1].flip(0) @ self.transitions.exp().T).log()
            after, scales = after.log(), scales.log()
        else:
            after, scales, before = _log_messages(_both_ways(self.scores), _both_directions(self.transitions))
            following = before[:, 1].flip(0)
        return _Messages(after[:, 0], after[:, 1].flip(0), after[:-1, 0] + following, self.scores - scales[:, 0])


class _ScaledLoss(torch.autograd.Function):
    """
    log Z less the scores of `labels`, if there are any, (B,) in nats, of a levelled `chain` whose period is not 0,
    made of scores (B, T given, K) and three parameters. Its gradient is the posterior of each label and the expected
    number of each transition (Lafferty et al. 2001, section 3), less those in `labels`.
    """

    @staticmethod
    def forward(ctx, scores, transitions, start, end, chain, period, labels):
        after, scales = chain.scaled(period)
        ctx.save_for_backward(after, chain.transitions, labels)
        ctx.packing = chain.packing
        total = after[-1, 0, :, -1].log() + scales[:, 0].log().sum((0, 2))
        return total if labels is None else total - chain.score(labels)

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():  # `once_differentiable` would drop the second derivative without a word
            raise RuntimeError(
                "`create_graph` is True, but the loss of a `LinearChainCRF` has no second derivative: leave it out."
            )
        after, transitions, labels = ctx.saved_tensors
        transitions = transitions.exp()
        alpha, beta = after[:-1, 0], after[:-1, 1].flip(0)  # up to a step, and from the next one on, (T + 1, B, K + 1)
        # p(y_t = i, y_{t+1} = j) = alpha_t[i] A[i, j] beta_{t+1}[j], divided by the sum over all i and j
        with torch.autocast(grad.device.type, enabled=False):
            posterior = alpha * (beta @ transitions.T)
            weight = grad[:, None] / posterior.sum(-1, keepdim=True)
            posterior *= weight
            expected = transitions * (alpha.flatten(0, 1).T @ (beta * weight).flatten(0, 1))
        if labels is not None:
            posterior.scatter_add_(2, labels[:-1, :, None], -grad[:, None].expand(len(alpha), -1, 1))
            expected.index_put_((labels[:-1], labels[1:]), -grad, accumulate=True)
        scores = ctx.packing.unpack(posterior)[..., :-1]
        return scores, expected[:-1, :-1], expected[-1, :-1], expected[:-1, -1], None, None, None


def _loss(packing: Packing, scores: torch.Tensor, parameters, labels: torch.LongTensor | None = None) -> torch.Tensor:
    """log Z in nats, (B,), of scores (B, T given, K); less the scores of `labels`, (T + 2, B), if there are any."""
    with torch.no_grad():
        chain, lost = _Chain.of(packing, scores, parameters).levelled()
    if period := chain.period:
        total = _ScaledLoss.apply(scores, *parameters, chain, period, labels)
    else:
        chain, _ = _Chain.of(packing, scores, parameters).levelled()
        total = chain.log_partition() if labels is None else chain.log_partition() - chain.score(labels)
    return total if labels is not None else total + lost.sum((0, 2))


def _viterbi(chain: _Chain) -> torch.LongTensor:
    """The best path, (T + 2, B), with K outside."""
    if is_exported():
        return _recorded_viterbi(chain)
    # Labels and steps outside need no maxima. Those over the first dimension are fastest.
    best = chain.scores[1:-1, :, :-1].transpose(1, 2).clone(memory_format=torch.contiguous_format)  # (T, K, B)
    best[:1] += chain.transitions[-1, :-1, None]
    leaving = chain.transitions[:-1, :-1, None]  # (K, K, 1)
    paths = best.new_empty(*leaving.shape[:2], best.shape[2])  # from a label to a label, (K, K, B)
    for previous, score in zip(best[:-1, :, None].unbind(), best[1:].unbind(), strict=True):
        score += torch.add(previous, leaving, out=paths).amax(0)
    best = best.transpose(1, 2).contiguous()  # of the paths that end with each label, (T, B, K)

    # The way back is walked on the host, where many small steps cost less than half of those of torch. Each is worked
    # out for the one label that counts: the maxima above would cost three times more with their positions.
    best, arriving, real = (each.cpu().numpy() for each in (best, chain.transitions.T[:, :-1], chain.packing.real))
    path = np.where(real, 0, len(arriving) - 1)
    for t in range(len(best), 0, -1):
        np.maximum((best[t - 1] + arriving.take(path[t + 1], 0)).argmax(1), path[t], out=path[t])
    return torch.from_numpy(path).to(chain.scores.device)


def _recorded_viterbi(chain: _Chain) -> torch.LongTensor:
    """[`_viterbi`] in a graph: the maxima with their positions on the way there, which the way back reads off."""

    def forwards(carried, now):
        best, origin = (carried[0][..., None] + chain.transitions).max(1)  # (B, K + 1)
        return [best + now[0]], origin

    def backwards(carried, now):
        label = now[0].gather(1, carried[0][:, None])[:, 0]
        return [label], label.clone()

    _, origins = scan(forwards, [chain.scores[0]], [chain.scores[1:]])  # (T + 1, B, K + 1)
    outside = torch.full_like(origins[0, :, 0], chain.scores.shape[2] - 1)
    _, path = scan(backwards, [outside], [origins], reverse=True)
    return torch.cat((path, outside[None]))


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
        `ValueError`: If the number of labels is below 1 or not that of the names, or the scheme is unknown; by the
            methods, if tensors do not fit.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm.models.crf import LinearChainCRF

    >>> crf = LinearChainCRF(3, ["O", "B-PER", "I-PER"])
    >>> scores, labels = torch.randn(2, 4, 3), torch.tensor([[0, 1, 2, 0], [1, 0, -100, -100]])
    >>> loss = crf(scores, labels).sum()
    >>> labels, score = crf.decode(scores)
    >>> labels.shape
    torch.Size([2, 4])

    ```
    """

    draws_own_weights = True  # read by the models

    def __init__(self, num_labels: int, labels: Sequence[str] | None = None, scheme: str = "auto"):
        super().__init__()
        if num_labels < 1 or (labels is not None and len(labels) != num_labels):
            raise ValueError(
                f"`num_labels` is {num_labels} and `labels` has {'no' if labels is None else len(labels)} names: give "
                "a number of at least 1, and as many names or none."
            )
        self.num_labels = num_labels
        self.name_labels([str(i) for i in range(num_labels)] if labels is None else labels, scheme)
        self.transitions = nn.Parameter(torch.empty(num_labels, num_labels))
        self.start_transitions = nn.Parameter(torch.empty(num_labels))
        self.end_transitions = nn.Parameter(torch.empty(num_labels))
        self.init_weights()

    def name_labels(self, labels: Sequence[str], scheme: str = "auto") -> None:
        """Give the labels other names, and with these other rules: as at construction."""
        self._tagging = _read_tagging(labels, scheme)

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
            both = "missing" if labels is None else "given"
            raise ValueError(f"`labels` and `allowed` are both {both}: give one of the two.")
        if allowed is not None and allowed.shape != scores.shape:
            raise ValueError(
                f"`allowed` has shape {tuple(allowed.shape)}, expected that of `scores`, {(*scores.shape,)}."
            )
        packing, scores, parameters = self._packed(scores, mask, labels, self._dtype(scores))
        if labels is not None:
            return _loss(packing, scores, parameters, packing.pack_labels(labels, self.num_labels))
        excluded = ~allowed.bool() & allowed.bool().any(-1, keepdim=True)
        permitted = scores.masked_fill(excluded, -torch.inf)
        return _loss(packing, scores, parameters) - _loss(packing, permitted, parameters)

    @torch.no_grad()
    def forbidden(self, labels: torch.LongTensor, mask: torch.Tensor) -> tuple[int, int]:
        """Number of transitions in `labels`, (B, T), that decoding forbids, and of all tokens that begin an entity."""
        packing = Packing(mask.bool())
        labels = packing.pack_labels(labels, self.num_labels)  # (T + 2, B)
        pairs = labels[:-1].cpu(), labels[1:].cpu()
        tagged = F.pad(torch.tensor([kind is not None for kind in self._tagging.types]), (0, 1))
        begins = tagged[pairs[1]] & ~self._joined(pairs[0].device)[pairs]
        return int((~torch.from_numpy(self._tagging.allowed))[pairs].sum()), int(begins.sum())

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
        path = _viterbi(chain)
        return chain.packing.unpack(path, -100), chain.score(path).to(self._dtype(scores))

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
            raise ValueError(f"`n` is {n}: give at least 1.")
        chain = self._legal_chain(scores, mask)
        chain, _ = chain.levelled()
        nowhere = torch.full_like(chain.scores[0], -torch.inf)
        best, origins = torch.stack([chain.scores[0]] + [nowhere] * (n - 1), 1), []  # (B, n, K + 1)
        for score in chain.scores[1:]:
            # To each label, from n paths to each label: (B, K + 1, n, K + 1).
            paths = best[:, None] + chain.transitions.T[:, None]
            values, origin = paths.flatten(2).topk(n)  # (B, K + 1, n)
            best = values.transpose(1, 2) + score[:, None]
            origins.append(origin.transpose(1, 2).flatten(1))  # (B, n * (K + 1)), numbers of paths at the step before
        values, number = best[..., -1], self.num_labels + 1
        path = [torch.arange(n, device=values.device).mul(number).add(self.num_labels).expand_as(values)]
        for origin in reversed(origins):
            path.append(origin.gather(1, path[-1]))
        paths = torch.stack(path[::-1]) % number  # (T + 2, B, n)
        exists = values > -torch.inf  # (B, n)
        probabilities = (values - chain.log_partition()[:, None]).exp()
        paths = chain.packing.unpack(paths, -100).transpose(1, 2).masked_fill(~exists[..., None], -100)
        return paths, probabilities.to(self._dtype(scores))

    @torch.no_grad()
    def marginals(self, scores: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The posterior of each label at each token, given the whole sentence: `(B, T, K)`, 0 where `mask` is 0."""
        chain = self._legal_chain(scores, mask)
        posterior = chain.levelled()[0].messages().through.softmax(-1)
        return chain.packing.unpack(posterior)[..., :-1].to(self._dtype(scores))

    @torch.no_grad()
    def posterior_logits(self, scores: torch.Tensor, mask: torch.Tensor | None = None, folding=None) -> torch.Tensor:
        """
        Logarithms of the marginals, `(B, T, K)`, for code that takes the argmax or the softmax of logits. Their argmax
        is the best sequence: a label of it that is not the most probable of its token is put 1e-6 above that, and only
        there the softmax is not the posterior. At least -10,000, whose softmax is 0; and 0 where `mask` is 0. With a
        [`TagFolding`] of K' labels of the user they are of those, `(B, T, K')`.
        """
        chain = self._legal_chain(scores, mask)
        logits = chain.levelled()[0].messages().through[..., :-1].log_softmax(-1)
        path = _viterbi(chain)[:-1] % self.num_labels
        if folding is not None:
            logits, path = folding.log_add(logits), folding.fold(path)
        logits, path = logits.clamp(min=LOG_ZERO).to(self._dtype(scores)), path[..., None]
        highest, most_probable = logits.max(-1, keepdim=True)
        logits = logits.scatter(2, path, torch.where(most_probable == path, highest, highest + 1e-6))
        return chain.packing.unpack(logits, 0)

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
        chain, _ = self._legal_chain(scores, mask, labels).levelled()
        messages, labels = chain.messages(), chain.packing.pack_labels(labels, self.num_labels)  # (T + 2, B)
        is_entity = torch.tensor([kind is not None for kind in self._tagging.types] + [False], device=labels.device)
        tagged = is_entity[labels]
        goes_on = torch.zeros_like(tagged)  # into the next token
        goes_on[:-1] = self._joined(labels.device)[labels[:-1], labels[1:]]
        begins = tagged & ~goes_on.roll(1, 0)
        row, first = begins.T.nonzero(as_tuple=True)  # (N,)
        last = (tagged & ~goes_on).T.nonzero()[:, 1]
        probabilities = self._span_probabilities(chain, messages, row, first, last, labels[first, row])

        posterior = messages.through.softmax(-1).gather(2, labels[:-1, :, None]).squeeze(-1).T  # (B, T + 1)
        number = begins[:-1].T.flatten().cumsum(0).view(posterior.shape) - 1
        probabilities = torch.cat((probabilities, posterior.new_zeros(1)))
        posterior = torch.where(tagged[:-1].T, probabilities[number], posterior)
        return chain.packing.unpack(posterior.T, 0).to(self._dtype(scores))

    def _joined(self, device: torch.device) -> torch.Tensor:
        """Whether a label goes on in the next, bool (K + 1, K + 1)."""
        return F.pad(torch.from_numpy(self._tagging.joined), (0, 1, 0, 1)).to(device)

    def _span_probabilities(self, chain, messages, row, first, last, label) -> torch.Tensor:
        """Of N entities of the type of `label`: those of all paths that pass their boundaries as required, (N,)."""
        types, joined = self._tagging.types, self._joined(row.device)
        same = torch.tensor([[a == b for b in types] for a in types], device=row.device)
        inside, apart = (chain.transitions.masked_fill(~where, -torch.inf) for where in (joined, ~joined))
        path = (messages.alpha[first - 1, row][..., None] + apart).logsumexp(1) + messages.emitted[first, row]
        path = path.masked_fill(~F.pad(same, (0, 1))[label], -torch.inf)  # (N, K + 1)
        for t in range(1, int((last - first).max()) + 1 if len(row) else 0):
            further = (path[..., None] + inside).logsumexp(1) + messages.emitted[(first + t).minimum(last), row]
            path = torch.where((first + t <= last)[:, None], further, path)
        after = (messages.beta[last + 1, row][:, None] + apart).logsumexp(2)
        every_path = messages.through[last, row].logsumexp(-1)
        return ((path + after).logsumexp(-1) - every_path).exp()

    def _dtype(self, scores: torch.Tensor) -> torch.dtype:
        return torch.promote_types(torch.promote_types(scores.dtype, self.transitions.dtype), torch.float32)

    def _packed(
        self, scores: torch.Tensor, mask: torch.Tensor | None, labels: torch.LongTensor | None, dtype: torch.dtype
    ) -> tuple[Packing, torch.Tensor, list[torch.Tensor]]:
        """What every method begins with: the packing, scores within bounds, and the parameters."""
        if scores.dim() != 3 or scores.shape[2] != self.num_labels:
            raise ValueError(f"`scores` has shape {tuple(scores.shape)}, expected (B, T, {self.num_labels}).")
        shape = scores.shape[:2]
        for name, given in (("mask", mask), ("labels", labels)):
            if given is not None and (given.shape != shape or given.is_floating_point()):
                raise ValueError(
                    f"`{name}` has shape {tuple(given.shape)} and dtype {given.dtype}, expected {tuple(shape)}, "
                    f"like `scores`, and {'boolean or integers' if name == 'mask' else 'integers'}."
                )
        keep = torch.ones(shape, dtype=torch.bool, device=scores.device) if mask is None else mask.bool()
        if labels is not None:
            keep = keep & (labels != -100)
            if not is_exported() and not _is_within(labels.masked_fill(~keep, 0), 0, self.num_labels - 1):
                wrong = labels[keep & ((labels < 0) | (labels >= self.num_labels))]
                raise ValueError(
                    f"`labels` holds {wrong[0]}, but `num_labels` is {self.num_labels}: give numbers from 0 to "
                    f"{self.num_labels - 1}, and -100 where there is no label."
                )
        scores = scores.to(dtype)
        if is_exported() or not _is_within(scores, -SCORE_LIMIT, SCORE_LIMIT):
            scores = scores.clamp(-SCORE_LIMIT, SCORE_LIMIT)
        parameters = (self.transitions, self.start_transitions, self.end_transitions)
        return Packing(keep), scores, [parameter.to(dtype) for parameter in parameters]

    def _legal_chain(self, scores, mask=None, labels=None) -> _Chain:
        """For prediction, in fp64 where there is one: hardly any scores then need logarithms ([`_scaling_period`])."""
        dtype = torch.float32 if scores.device.type == "mps" else torch.float64
        packing, scores, parameters = self._packed(scores, mask, labels, dtype)
        forbidden = None
        if not self._tagging.allowed.all():
            forbidden = torch.from_numpy(~self._tagging.allowed).to(scores.device)
        return _Chain.of(packing, scores, parameters, forbidden)

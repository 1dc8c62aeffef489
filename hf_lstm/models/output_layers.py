# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Output layers of a language model beside the plain softmax, whose layer is a `torch.nn.Linear`: adaptive softmax, for
large vocabularies, and a mixture of softmaxes. Dimensions as in `modeling_recurrent.py`; F features that the layer
reads, K softmaxes of a mixture, N positions with a label.

Called with features `(..., F)`, a layer returns `(..., V)`: what it calls logits are log-probabilities, so that their
softmax, and all that is built on it, is right. Its `loss` never holds them.

Adaptive softmax lives on ids that are sorted by falling frequency. Those of [`LSTMTokenizer`] are, behind the special
tokens, with `kind="word"`, and nearly with "unigram". With "bpe" and "wordpiece" they are not: characters come first.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from .configuration_recurrent import RecurrentConfig
from .layers import refuse_adapter
from .losses import divisor, gradients_of, linear_cross_entropy, rows_at_a_time, score_buffer, scores_in


Project = Callable[[torch.Tensor], torch.Tensor]
Table = tuple[Project, torch.Tensor, torch.Tensor | None]  # what the features go through, weight, bias
_unchanged = nn.Identity()


class ClusteredOutput(nn.Module):
    r"""
    The arithmetic of adaptive softmax (Grave et al. 2017, section 4): the head holds the most frequent tokens and
    an entry for each cluster of rarer ones, and a token of a cluster has the probability

        p(y | h) = p(cluster | h) p(y | cluster, h)

    `torch.nn.AdaptiveLogSoftmaxWithLoss` computes the same. It can neither be tied nor resized, nor leave out labels
    of -100, and holds the logits of all positions.

    Attributes:
        cutoffs (`list[int]`): The first token of each cluster.
    """

    cutoffs: list[int]

    def tables(self) -> Iterator[Table]:
        """The linear layers of the head and of each cluster."""
        raise NotImplementedError

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Features (..., F) -> log-probabilities of all tokens (..., V)."""
        (project, weight, bias), *tail = self.tables()
        scores = F.linear(project(hidden), weight, bias)
        precise = torch.promote_types(scores.dtype, torch.float32)
        tokens, clusters = scores.log_softmax(-1, precise).split([self.cutoffs[0], len(tail)], -1)
        parts = [tokens]
        for (project, weight, bias), cluster in zip(tail, clusters.split(1, -1), strict=True):
            parts.append(F.linear(project(hidden), weight, bias).log_softmax(-1, precise) + cluster)
        return torch.cat(parts, -1).to(scores.dtype)

    def loss(
        self, hidden: torch.Tensor, targets: torch.Tensor, num_items: int | torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        Cross-entropy of tokens, as [`linear_cross_entropy`]: of the head at every label, and of a cluster where the
        label is one of its tokens.
        """
        real = targets != -100
        hidden, targets = hidden[real], targets[real]
        num_items = len(targets) if num_items is None else num_items
        cluster = sum((targets >= first).long() for first in self.cutoffs)  # 0 for the head
        (project, weight, bias), *tail = self.tables()
        in_head = targets.where(cluster == 0, self.cutoffs[0] - 1 + cluster)
        total = linear_cross_entropy(project(hidden), weight, bias, in_head, num_items)
        for i, ((project, weight, bias), first) in enumerate(zip(tail, self.cutoffs, strict=True), 1):
            rows = cluster == i
            total = total + linear_cross_entropy(project(hidden[rows]), weight, bias, targets[rows] - first, num_items)
        return total

    def check_size(self, vocab_size: int) -> None:
        """
        Refuse a size of the vocabulary that would leave a cluster empty.

        Raises:
            `ValueError`: If it does.
        """
        if vocab_size <= self.cutoffs[-1]:
            raise ValueError(
                f"`new_num_tokens={vocab_size}` would leave the last cluster of the adaptive softmax empty, which "
                f"begins at token {self.cutoffs[-1]}. Keep {self.cutoffs[-1] + 1} tokens or more."
            )


class AdaptiveSoftmax(ClusteredOutput):
    """
    Adaptive softmax whose i-th cluster reads F / div_value ** i features, through a projection of its own (Grave et
    al. 2017, section 4).

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm.models.output_layers import AdaptiveSoftmax

    >>> layer = AdaptiveSoftmax(features=16, vocab_size=100, cutoffs=[10, 40], div_value=4, bias=True)
    >>> hidden, tokens = torch.randn(2, 3, 16), torch.tensor([[1, 5, 99], [20, 2, -100]])
    >>> round(layer(hidden).exp().sum().item(), 3)  # 1 at each position
    6.0
    >>> layer.loss(hidden, tokens).shape
    torch.Size([])
    ```
    """

    def __init__(self, features: int, vocab_size: int, cutoffs: list[int], div_value: float, bias: bool):
        super().__init__()
        self.cutoffs = cutoffs
        self.head = nn.Linear(features, cutoffs[0] + len(cutoffs), bias)
        self.tail = nn.ModuleList()
        for i, (first, end) in enumerate(zip(cutoffs, [*cutoffs[1:], vocab_size], strict=True), 1):
            size = max(1, int(features / div_value**i))
            self.tail.append(nn.Sequential(nn.Linear(features, size, False), nn.Linear(size, end - first, bias)))

    def tables(self) -> Iterator[Table]:
        refuse_adapter(self.head, "lm_head.head")
        yield _unchanged, self.head.weight, self.head.bias
        for i, (project, table) in enumerate(self.tail):
            refuse_adapter(table, f"lm_head.tail.{i}.1")
            yield project, table.weight, table.bias

    def tables_of_tokens(self) -> list[nn.Linear]:
        """The linear layers with a row for each token."""
        return [self.head, *(table for _, table in self.tail)]


class TiedAdaptiveSoftmax(ClusteredOutput, nn.Linear):
    """
    Adaptive softmax with the weight of a plain output layer, which can be the input embedding (Merity et al. 2018): a
    cluster is a range of its rows, at full size, and what an entry of the head needs for each cluster is added.
    """

    def __init__(self, features: int, vocab_size: int, cutoffs: list[int], bias: bool):
        nn.Linear.__init__(self, features, vocab_size, bias)
        self.cutoffs = cutoffs
        self.clusters = nn.Linear(features, len(cutoffs), bias)

    def tables(self) -> Iterator[Table]:
        refuse_adapter(self.clusters, "lm_head.clusters")
        ends = [*self.cutoffs, len(self.weight)]
        sizes = [end - first for first, end in zip([0, *ends], ends, strict=False)]
        weights = self.weight.split(sizes)  # all in one: the gradient of a slice would be as large as the whole
        biases = [None] * len(sizes) if self.bias is None else self.bias.split(sizes)
        bias = None if self.bias is None else torch.cat([biases[0], self.clusters.bias])
        yield _unchanged, torch.cat([weights[0], self.clusters.weight]), bias
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            yield _unchanged, weight, bias


class _MixtureCrossEntropy(torch.autograd.Function):
    """
    As the cross-entropy of one softmax, chunk by chunk with the gradients in the forward pass. With p_k the k-th
    softmax, y the one-hot target and r_k the posterior probability of the k-th softmax given the target, the gradient
    of the summed loss by the scores of p_k is r_k (p_k - y), and that by its log prior is -r_k.
    """

    # 3 times as fast as with a checkpoint for each chunk, 1.5 times as with all scores at hand (V 10,000, K 10).

    @staticmethod
    def forward(ctx, latent, log_prior, weight, bias, targets, scale):
        precise = torch.promote_types(latent.dtype, torch.float32)
        total = latent.new_zeros((), dtype=precise)
        grad_latent, grad_prior = torch.empty_like(latent), torch.empty_like(log_prior)
        grad_weight = torch.zeros_like(weight, dtype=precise)
        grad_bias = None if bias is None else torch.zeros_like(bias, dtype=precise)
        softmaxes = latent.shape[1]
        rows = max(1, min(len(targets), rows_at_a_time(weight) // softmaxes))
        buffer = score_buffer(latent, rows * softmaxes, len(weight))
        for start in range(0, len(targets), rows):
            chunk = slice(start, start + rows)
            features = latent[chunk].flatten(0, 1)  # (rows * K, F)
            target = targets[chunk].repeat_interleave(softmaxes)[:, None]
            p, log_p = _softmax_and_log(scores_in(buffer, features, weight, bias), target, precise)
            p = p[:, : len(weight)]
            joint = log_prior[chunk] + log_p.view(-1, softmaxes)
            log_likelihood = joint.logsumexp(1, keepdim=True)
            total -= log_likelihood.sum()
            posterior = (joint - log_likelihood).exp()
            grad_prior[chunk] = -posterior
            p.scatter_add_(1, target, torch.full_like(log_p, -1)).mul_(posterior.view(-1, 1))
            if grad_bias is not None:
                grad_bias += p.sum(0)
            p = p.to(features.dtype)
            grad_latent[chunk] = (p @ weight).view_as(latent[chunk])
            if features.dtype == precise:
                grad_weight.addmm_(p.T, features * scale)
            else:
                grad_weight += p.T @ (features * scale)
        for gradient in (grad_latent, grad_prior, grad_bias):
            if gradient is not None:
                gradient *= scale
        ctx.save_for_backward(grad_latent, grad_prior, grad_weight, grad_bias)
        ctx.dtypes = latent.dtype, log_prior.dtype, weight.dtype, None if bias is None else bias.dtype
        return total * scale

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_total):
        return *gradients_of(ctx.saved_tensors, ctx.dtypes, grad_total), None, None


def _softmax_and_log(
    scores: torch.Tensor, target: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The softmax of scores (N, V), in their place where that can be, and the logarithm of its entries at `target`
    (N, 1), which do not underflow.
    """
    (highest, most_probable), wanted = scores.max(1, keepdim=True), scores.gather(1, target)
    in_place = scores.dtype == dtype and scores.device.type == "cpu"  # there it reads a row before it writes it
    p = torch.softmax(scores, 1, dtype=dtype, out=scores) if in_place else torch.softmax(scores, 1, dtype=dtype)
    return p, wanted.to(dtype) - highest.to(dtype) + p.gather(1, most_probable).log()


class MixtureOfSoftmaxes(nn.Linear):
    r"""
    Mixture of K softmaxes over one output embedding (Yang et al. 2018, section 2.4): with g the output
    of the last layer and w_y the row of token y,

        p(y | g) = sum over k of pi_k softmax(w h_k + b)_y,   pi = softmax(W_pi g),   h_k = tanh(W_k g + b_k)

    Its log-probabilities as a matrix over contexts have a rank that is not bounded by F, as those of one softmax.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm.models.output_layers import MixtureOfSoftmaxes

    >>> layer = MixtureOfSoftmaxes(hidden_size=16, features=8, vocab_size=100, num_softmaxes=3, bias=True)
    >>> hidden, tokens = torch.randn(2, 3, 16), torch.tensor([[1, 5, 99], [20, 2, -100]])
    >>> round(layer(hidden).exp().sum().item(), 3)  # 1 at each position
    6.0
    >>> layer.loss(hidden, tokens).shape
    torch.Size([])
    ```
    """

    def __init__(self, hidden_size: int, features: int, vocab_size: int, num_softmaxes: int, bias: bool):
        super().__init__(features, vocab_size, bias)
        self.prior = nn.Linear(hidden_size, num_softmaxes, bias=False)
        self.latent = nn.Linear(hidden_size, num_softmaxes * features)

    def components(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs of the last layer (..., H) -> features (..., K, F) and log priors (..., K), at least fp32."""
        latent = self.latent(hidden).tanh().unflatten(-1, (-1, self.in_features))
        prior = self.prior(hidden)
        return latent, prior.log_softmax(-1, torch.promote_types(prior.dtype, torch.float32))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Outputs of the last layer (..., H) -> log-probabilities of all tokens (..., V), one softmax at a time."""
        latent, log_prior = self.components(hidden)
        mixture = None
        for features, prior in zip(latent.unbind(-2), log_prior.split(1, -1), strict=True):
            scores = F.linear(features, self.weight, self.bias)
            joint = scores.log_softmax(-1, log_prior.dtype) + prior
            mixture = joint if mixture is None else torch.logaddexp(mixture, joint)
        return mixture.to(scores.dtype)

    def loss(
        self, hidden: torch.Tensor, targets: torch.Tensor, num_items: int | torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cross-entropy of tokens, as [`linear_cross_entropy`], without holding the scores of the batch."""
        real = targets != -100
        targets = targets[real]
        latent, log_prior = self.components(hidden[real])
        scale = 1 / divisor(len(targets) if num_items is None else num_items, latent)
        weight, bias = (None if tensor is None else tensor.to(latent.dtype) for tensor in (self.weight, self.bias))
        with torch.autocast(hidden.device.type, enabled=False):
            return _MixtureCrossEntropy.apply(latent, log_prior, weight, bias, targets, scale)


_PARTS = (nn.Linear, nn.Identity, nn.ModuleList, nn.Sequential)
_LAYERS = (nn.Linear, AdaptiveSoftmax, TiedAdaptiveSoftmax, MixtureOfSoftmaxes)


def output_layer(config: RecurrentConfig) -> nn.Module:
    """The output layer that a configuration describes, over V tokens."""
    features = config.input_size if config.tie_word_embeddings else config.output_size
    sizes, bias = (features, config.vocab_size), config.lm_head_bias
    if config.output_layer == "mixture":
        return MixtureOfSoftmaxes(config.output_size, *sizes, config.num_softmaxes, bias)
    if config.output_layer == "adaptive" and config.tie_word_embeddings:
        return TiedAdaptiveSoftmax(*sizes, config.adaptive_cutoffs, bias)
    if config.output_layer == "adaptive":
        return AdaptiveSoftmax(*sizes, config.adaptive_cutoffs, config.adaptive_div_value, bias)
    return nn.Linear(*sizes, bias=bias)


def default_cutoffs(vocab_size: int) -> list[int]:
    """
    The first token of each cluster, at a 27th, a ninth and a third of the vocabulary.

    Example:

    ```python
    >>> from hf_lstm.models.output_layers import default_cutoffs

    >>> default_cutoffs(33_000)
    [1222, 3666, 11000]
    ```
    """
    # Of ten rules with one to four clusters the fastest where the embedding is tied, for targets that follow Zipf's
    # law and 10, 33 and 268 thousand tokens. Without tying smaller heads are faster still, but rarer words pay for
    # that with few features.
    return sorted({vocab_size // part for part in (27, 9, 3)} - {0})


def can_fuse(layer: nn.Module) -> bool:
    """Whether the loss may be computed from the parameters: nobody has replaced, wrapped or sharded any part."""
    parts = list(layer.modules())
    plain = type(layer) in _LAYERS and all(type(part) in _PARTS for part in parts[1:])
    hooked = any(part._forward_hooks or part._forward_pre_hooks or hasattr(part, "_hf_hook") for part in parts)
    whole = all(type(tensor) is nn.Parameter and tensor.numel() > 0 for tensor in layer.parameters())
    return plain and whole and not hooked


def fused_loss(layer: nn.Module, hidden: torch.Tensor, targets: torch.Tensor, num_items) -> torch.Tensor:
    """The loss of an output layer that [`can_fuse`], from its inputs (..., F) and the tokens to come (...)."""
    if type(layer) is nn.Linear:
        return linear_cross_entropy(hidden, layer.weight, layer.bias, targets, num_items)
    return layer.loss(hidden, targets, num_items)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Adversarial and virtual adversarial training of classifiers of texts, on their embeddings (Miyato, Dai & Goodfellow
2017). Dimensions: B texts, T tokens, E embedding, K labels.
"""

from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import get_device_states, set_device_states

from .card_trainer import CardTrainer


KINDS = ("adversarial", "virtual")


class AdversarialTrainer(CardTrainer):
    r"""
    A `Trainer` that adds to the loss that of the worst small change to the embeddings of each text. With s the
    embeddings of a text at its real tokens, T x E numbers, and |.| their Euclidean norm:

    - `"adversarial"`: the loss of its label at s + r, r = epsilon g / |g|, with g the gradient of the loss by s
      (equations 4 and 5);
    - `"virtual"`: the divergence KL(p(s) || p(s + r)) of what the model says, r = epsilon g / |g|, with g the gradient
      of the divergence at s + xi d by d, d of random direction and length 1 (equations 7 and 8). It needs no label,
      and texts without one, -100, count. Of several labels a text it is the mean of their divergences.

    Both passes have the same dropout masks, so that nothing but r changes what is said. A step takes two to three
    times as long. In several processes it is as in one; with `deepspeed` and FSDP it was not tried.

    Args:
        epsilon (`float`, *optional*, defaults to 1.0): Length of r.
        kind (`str`, *optional*, defaults to `"adversarial"`): See above.
        adversarial_weight (`float`, *optional*, defaults to 1.0): What the additional loss is multiplied by.
        xi (`float`, *optional*, defaults to 0.1): Length of the step by which a virtual direction is found.
        kwargs: The arguments of `Trainer`, in their order or by name.

    Raises:
        `ValueError`: For values out of range, a model without an embedding of tokens, and one that says no
            probabilities of labels of a text, but numbers or tags, of which there is no `"virtual"` kind.
    """

    def __init__(
        self,
        *args,
        epsilon: float = 1.0,
        kind: Literal["adversarial", "virtual"] = "adversarial",
        adversarial_weight: float = 1.0,
        xi: float = 0.1,
        **kwargs,
    ):
        for name, value in (("epsilon", epsilon), ("adversarial_weight", adversarial_weight), ("xi", xi)):
            if not value > 0:
                raise ValueError(f"`{name}` is {value}: give a number above 0, or use a trainer without it.")
        if kind not in KINDS:
            raise ValueError(f"`kind` is {kind!r}: give one of {', '.join(map(repr, KINDS))}.")
        super().__init__(*args, **kwargs)
        self.epsilon, self.kind, self.adversarial_weight, self.xi = epsilon, kind, adversarial_weight, xi
        if self.model.get_input_embeddings() is None:
            raise ValueError(
                "`model` has no embedding of tokens to be changed: it reads features alone. Give its configuration an "
                "`embedding_size` above 0, or use a trainer without `epsilon`."
            )
        problem_type, number = self.model.config.problem_type, self.model.config.num_labels
        numbers = problem_type == "regression" or (number == 1 and problem_type != "multi_label_classification")
        if kind == "virtual" and numbers:
            raise ValueError(
                f"`kind` is 'virtual', but a model with `problem_type={problem_type!r}` and `num_labels={number}` "
                "says numbers, and no probabilities that could diverge. Give `kind='adversarial'`."
            )

    def compute_loss(self, model, inputs, return_outputs: bool = False, **kwargs) -> Any:
        """The loss of `Trainer`, and in training the additional one."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, **kwargs)
        embeddings = self.accelerator.unwrap_model(model).get_input_embeddings()
        masks = torch.get_rng_state(), get_device_states(dict(inputs))  # of dropout
        with changed(embeddings) as given:
            loss, outputs = self._plain_loss(model, inputs, **kwargs)
        (clean,) = given
        real = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))[..., None] != 0

        def run(change: torch.Tensor):
            """The loss and the outputs with changed embeddings."""
            torch.set_rng_state(masks[0])
            set_device_states(*masks[1])
            with changed(embeddings, change):
                return self._plain_loss(model, inputs, **kwargs)

        if self.kind == "adversarial":
            (gradient,) = torch.autograd.grad(loss, clean, retain_graph=True)
            more, _ = run(self.epsilon * unit(gradient, real))
        else:
            several = self.accelerator.unwrap_model(model).config.problem_type == "multi_label_classification"
            said = outputs["logits"].detach()
            if said.ndim != 2:
                raise ValueError(
                    f"`kind` is 'virtual', of labels of whole texts, but `logits` have shape {tuple(said.shape)}. "
                    "Give `kind='adversarial'`."
                )
            direction = unit(torch.randn_like(clean), real).mul_(self.xi).requires_grad_()
            (gradient,) = torch.autograd.grad(divergence(said, run(direction)[1]["logits"], several), direction)
            more = divergence(said, run(self.epsilon * unit(gradient, real))[1]["logits"], several)
            if self.compute_loss_func is not None:  # whose sum over batches `Trainer` leaves as it is
                more = more / getattr(self, "current_gradient_accumulation_steps", 1)
        loss = loss + self.adversarial_weight * more
        return (loss, outputs) if return_outputs else loss

    def _plain_loss(self, model, inputs, **kwargs):
        loss, outputs = super().compute_loss(model, dict(inputs), True, **kwargs)  # label smoothing takes labels out
        labels = inputs.get("labels")
        if self.label_smoother is not None and labels is not None and (labels == -100).all():
            loss = 0 * outputs["logits"].sum()  # of smoothing, which divides by the number of labels
        return loss, outputs


@contextmanager
def changed(embeddings: nn.Module, change: torch.Tensor | None = None):
    """While it lasts, what an embedding gives is changed by so much; it yields a list of what was given."""
    given: list[torch.Tensor] = []

    def hook(module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        output = output if change is None else output + change
        if torch.is_grad_enabled() and not output.requires_grad:  # of an embedding that is not trained
            output = output.detach().requires_grad_()
        given.append(output)
        return output

    handle = embeddings.register_forward_hook(hook)
    try:
        yield given
    finally:
        handle.remove()


def unit(values: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Of each text the direction of values (B, T, E) at its real tokens, (B, T, 1), of length 1; 0 where all are 0."""
    values = values.detach() * real
    most = values.flatten(1).abs().amax(1).clamp(min=torch.finfo(values.dtype).tiny)
    values = values / most[:, None, None]  # squares of what a sure model leaves of a gradient would be 0
    return values / values.flatten(1).norm(dim=1).clamp(min=1)[:, None, None]


def divergence(said: torch.Tensor, logits: torch.Tensor, several: bool = False) -> torch.Tensor:
    """
    KL(p || q), in nats, the mean over texts: logits of p and of q, (B, K); with `several` labels a text, each of which
    is true or not, over labels, too.
    """
    said, logits = said.float(), logits.float()
    if several:  # sigmoid(x) is the first of softmax(x, 0)
        said, logits = (torch.stack([each, torch.zeros_like(each)], -1).flatten(0, 1) for each in (said, logits))
    return F.kl_div(logits.log_softmax(-1), said.log_softmax(-1), log_target=True, reduction="batchmean")


__all__ = ["AdversarialTrainer"]

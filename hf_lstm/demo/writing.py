# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The language model of the demo, which writes on from the state that the last click left."""

import html
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..serving.streaming import Generation
from .models import Loaded


@dataclass(frozen=True)
class Story:
    """
    What the language model has read and written for one visitor.

    Args:
        token_ids (`list` of `int`): All tokens.
        typed (`list` of `tuple`): Where the tokens that the visitor typed begin and end.
        state (`RecurrentCache`, *optional*): The state after all tokens but the last ones, which nobody has read yet.
        speed (`float`, *optional*): Tokens a second of the last click, once that has ended.
    """

    token_ids: list[int]
    typed: list[tuple[int, int]]
    state: Any = None
    speed: float | None = None

    @property
    def state_bytes(self) -> int:
        layers = self.state.layers if self.state is not None else []
        return sum(part.numel() * part.element_size() for layer in layers for part in layer.states)


def write(
    language_model: Loaded,
    story: Story | None,
    prompt: str = "",
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    max_new_tokens: int = 60,
    seed: int | None = 0,
) -> Iterator[Story]:
    """
    Read a prompt on top of the state of a story, or begin one with it, and write on. A document that ends is followed
    by the next.

    Args:
        language_model ([`Loaded`]): The model and its tokenizer.
        story ([`Story`], *optional*): The story so far, which does not change.
        prompt (`str`, *optional*, defaults to `""`): What was typed, if anything.
        temperature (`float`, *optional*, defaults to 0.0): That of sampling; 0 is greedy.
        top_k (`int`, *optional*, defaults to 0): As in `generate`.
        top_p (`float`, *optional*, defaults to 1.0): As in `generate`.
        max_new_tokens (`int`, *optional*, defaults to 60): Tokens to write, exactly.
        seed (`int`, *optional*, defaults to 0): Seed of sampling.

    Yields:
        [`Story`]: The story after each few tokens.

    Raises:
        `ValueError`: for neither a prompt nor a story.
    """
    model, tokenizer = language_model
    story = story or Story([], [])
    prompt = " " + prompt.strip() if story.token_ids and prompt.strip() else prompt.strip()
    new_ids = tokenizer(prompt)["input_ids"] if prompt else []
    ids = [*story.token_ids, *new_ids]
    if not ids:
        raise ValueError("There is nothing to continue. Type how the text begins, or choose an example below.")
    typed = [*story.typed, (len(story.token_ids), len(ids))] if new_ids else story.typed
    options = {"do_sample": temperature > 0}
    if temperature > 0:
        options |= {"temperature": temperature, "top_k": int(top_k), "top_p": top_p}

    first, final, began = len(ids), len(ids) + max_new_tokens, time.perf_counter()
    state = None if story.state is None else story.state.copy()
    while len(ids) < final:
        generation = Generation(
            model,
            seed=(seed or 0) + len(ids),  # a click has numbers of its own, and the same ones after a reset
            input_ids=torch.tensor([ids[state.get_seq_length() if state is not None else 0 :]]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            cache=state,
            max_new_tokens=final - len(ids),
            **options,
        )
        for tokens in generation:
            ids = ids + tokens
            yield Story(ids, typed, story.state)
        state = generation.output.cache
    yield Story(ids, typed, state, (final - first) / (time.perf_counter() - began))


def as_html(tokenizer, story: Story) -> str:
    """The text of a story, with what was typed in bold type and each document in a paragraph."""
    cuts = sorted({0, len(story.token_ids), *(position for span in story.typed for position in span)})
    texts = [as_text(tokenizer, story.token_ids[:cut]) for cut in cuts]
    for i in reversed(range(len(cuts) - 1)):
        if not texts[i + 1].startswith(texts[i]):  # cut in a character of several bytes
            texts[i] = texts[i].rstrip("\ufffd")
    parts = ""
    for start, before, text in zip(cuts, texts, texts[1:], strict=False):
        part = html.escape(text.removeprefix(before))
        parts += f"<b>{part}</b>" if any(first <= start < last for first, last in story.typed) else part
    return f'<div class="story">{parts}</div>'


def as_text(tokenizer, token_ids: list[int]) -> str:
    """The text of tokens, each document on a line of its own."""
    documents = [[]]
    for token in token_ids:
        documents.append([]) if token == tokenizer.eos_token_id else documents[-1].append(token)
    return "\n".join(tokenizer.decode(each, skip_special_tokens=True) for each in documents)


def figures(model, story: Story) -> str:
    """What a story takes: the state, and what the keys and values of attention layers as wide would take by now."""
    keys_and_values = sum(2 * layer.hidden_size for layer in model.model.layers) * 4 * len(story.token_ids)
    rows = {
        "tokens read and written": f"{len(story.token_ids):,}",
        "the state, constant": _kilobytes(story.state_bytes) if story.state is not None else "…",
        "keys and values of this width, growing": _kilobytes(keys_and_values),
        "tokens a second": f"{story.speed:,.0f}" if story.speed else "…",
    }
    return '<div class="figures">' + "".join(f"<p><b>{v}</b>{k}</p>" for k, v in rows.items()) + "</div>"


def _kilobytes(number: int) -> str:
    return f"{number / 1000:,.1f} kB"

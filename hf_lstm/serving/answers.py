# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The answers of the server. A language model completes texts and chats, in the shape of OpenAI's API; a tagger or a
classifier of texts answers `{"inputs": ...}`, in the shape of the inference API of Hugging Face.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import torch
from jinja2.exceptions import TemplateError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from .requests import BadRequest, Fields, Writing, messages, writing
from .streaming import COMPUTING, Generation, TextOfTokens


TASKS = {
    "ForCausalLM": (AutoModelForCausalLM, "text-generation"),
    "ForTokenClassification": (AutoModelForTokenClassification, "token-classification"),
    "ForSequenceClassification": (AutoModelForSequenceClassification, "text-classification"),
}
PLACES = {
    "text-generation": 'POST {"prompt": ...} to /v1/completions or {"messages": ...} to /v1/chat/completions',
    "token-classification": 'POST {"inputs": ...} to /',
    "text-classification": 'POST {"inputs": ...} to /',
}


class Server:
    """
    A model and what it answers. Several threads may ask at once: one at a time computes, and none waits for a client
    that is slow to read.

    Args:
        name (`str`): The name that clients know the model by.
        model (`PreTrainedModel`): A model with one of the three heads.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        max_tokens (`int`, *optional*, defaults to 4096): Tokens that a request may have written at most.

    Raises:
        `ValueError`: If the model has another head.
    """

    def __init__(self, name: str, model, tokenizer, max_tokens: int = 4096):
        self.name, self.model, self.tokenizer, self.max_tokens = name, model.eval(), tokenizer, max_tokens
        self.task = _task(name, type(model).__name__)[1]
        self.began = int(time.time())
        if self.task != "text-generation":
            self.pipeline = pipeline(self.task, model=model, tokenizer=tokenizer, device=model.device)

    @classmethod
    def load(cls, name: str, device: str = "cpu", max_tokens: int = 4096) -> "Server":
        """
        That of a saved model, whose head its configuration names.

        Args:
            name (`str`): A folder or a name on the Hub.
            device (`str`, *optional*, defaults to `"cpu"`): Where to compute.
            max_tokens (`int`, *optional*, defaults to 4096): Tokens that a request may have written at most.

        Returns:
            [`Server`]: The server.

        Raises:
            `ValueError`: If the model has none of the three heads.
        """
        auto_class, _ = _task(name, *(AutoConfig.from_pretrained(name).architectures or ["no class"]))
        return cls(name, auto_class.from_pretrained(name).to(device), AutoTokenizer.from_pretrained(name), max_tokens)

    # What there is.

    def models(self) -> dict:
        """The answer of `/v1/models`."""
        return {"object": "list", "data": [self.described(self.name)]}

    def described(self, name: str) -> dict:
        """The answer of `/v1/models/{name}`."""
        self._check_name(name)
        return {"id": self.name, "object": "model", "created": self.began, "owned_by": "hf_lstm", "task": self.task}

    def _check_name(self, name: Any) -> None:
        if name not in (None, self.name, "dummy"):  # which huggingface_hub sends if it was given an address alone
            raise BadRequest(f"`model` is {name!a}, but here is only {self.name!r}.", "model", 404)

    def _fields(self, body: Any, *tasks: str) -> Fields:
        fields = Fields(body)
        if self.task not in tasks:
            raise BadRequest(f"The model {self.name!r} is for {self.task}: {PLACES[self.task]}.", "model")
        self._check_name(fields.take("model"))
        return fields

    # Language models.

    def complete(self, body: Any) -> dict | Iterator[dict]:
        """
        The answer of `/v1/completions`.

        Args:
            body (`dict`): The request.

        Returns:
            `dict` or an iterator of them: The answer, in pieces if the request says `stream`.

        Raises:
            `ValueError`: If the request is wrong.
        """
        fields = self._fields(body, "text-generation")
        prompts, _ = fields.texts("prompt")
        how = writing(fields, self.max_tokens, default=16)
        ids = [self._ids(prompt, "prompt") for prompt in prompts]

        def choice(i: int, piece: str, reason: str | None, whole: bool) -> dict:
            return {"index": i, "text": piece, "finish_reason": reason, "logprobs": None}

        return self._answer("text_completion", "cmpl", [(row, row) for row in ids], how, choice)

    def chat(self, body: Any) -> dict | Iterator[dict]:
        """
        The answer of `/v1/chat/completions`.

        Args:
            body (`dict`): The request.

        Returns:
            `dict` or an iterator of them: The answer, in pieces if the request says `stream`.

        Raises:
            `ValueError`: If the request is wrong, or the tokenizer has no template for chats.
        """
        fields = self._fields(body, "text-generation")
        turns = messages(fields)
        how = writing(fields, self.max_tokens, default=self.max_tokens)
        if not self.tokenizer.chat_template:
            raise BadRequest(
                f"The tokenizer of {self.name!r} has no chat template, which would make a text of `messages`. Give it "
                "one (`tokenizer.chat_template = ...`, then `save_pretrained`), or use /v1/completions.",
                "messages",
            )
        try:
            ids = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
        except TemplateError as error:
            raise BadRequest(
                f"`messages` is not a chat for the template of {self.name!r}: {error}", "messages"
            ) from error
        if not ids:
            raise BadRequest("`messages` has no tokens. Give a turn that has a text.", "messages")

        def choice(i: int, piece: str, reason: str | None, whole: bool) -> dict:
            turn = {"role": "assistant", "content": piece}
            return {"index": i, "message" if whole else "delta": turn, "finish_reason": reason, "logprobs": None}

        return self._answer("chat.completion", "chatcmpl", [(ids, [])], how, choice)

    def _ids(self, value: str, name: str) -> list[int]:
        ids = self.tokenizer(value)["input_ids"]
        if not ids:
            raise BadRequest(f"`{name}` is {value!a}, which has no tokens. Give a text with a word.", name)
        return ids

    def _answer(self, kind: str, prefix: str, prompts: list, how: Writing, choice) -> dict | Iterator[dict]:
        head = {"id": f"{prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.name}
        usage = {"prompt_tokens": sum(len(ids) for ids, _ in prompts), "completion_tokens": 0, "total_tokens": 0}

        def pieces() -> Iterator[dict]:
            for i, (ids, before) in enumerate(prompts):
                for piece, reason in self._write(ids, before, how, usage):
                    yield choice(i, piece, reason, False)

        if how.stream:
            end = ".chunk" if kind.startswith("chat") else ""
            return _stream(head | {"object": kind + end}, pieces(), usage if how.include_usage else None)
        choices = []
        for i, (ids, before) in enumerate(prompts):
            texts, reasons = zip(*self._write(ids, before, how, usage), strict=True)
            choices.append(choice(i, "".join(texts), reasons[-1], True))
        return head | {"object": kind, "choices": choices, "usage": usage}

    def _write(self, ids: list[int], before: list[int], how: Writing, usage: dict) -> Iterator[tuple[str, str | None]]:
        """Pieces of the text that follows a prompt; the last one with the reason why it ends."""
        row = torch.tensor([ids], device=self.model.device)
        options = how.options | {"attention_mask": torch.ones_like(row), "max_new_tokens": how.max_tokens}
        generation = Generation(self.model, how.seed, input_ids=row, **options)
        found = TextOfTokens(self.tokenizer, before, how.stop)
        try:
            for token_ids in generation:
                if piece := found.add(token_ids):
                    yield piece, None
                if found.stopped:
                    break
            ended = found.stopped or found.token_ids[-1] in _ends(self.model)
            yield found.add([], last=True), "stop" if ended else "length"
        finally:
            generation.stop()
            usage["completion_tokens"] += len(found.token_ids)
            usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]

    # Taggers and classifiers.

    def infer(self, body: Any) -> list:
        """
        The answer of `/` to `{"inputs": text or texts, "parameters": {...}}`, which is that of the pipeline.

        Args:
            body (`dict`): The request.

        Returns:
            `list`: For a text its entities; or its classes, in a list, since that is what clients read. For a list of
            texts such a list for each.

        Raises:
            `ValueError`: If the request is wrong.
        """
        fields = self._fields(body, "token-classification", "text-classification")
        texts, several = fields.texts("inputs")
        parameters = Fields(fields.take("parameters", {}), "parameters")
        fields.end(("options",))
        is_tagger = self.task == "token-classification"
        options = (_tagging if is_tagger else _classifying)(parameters)
        batch = 1 if self.tokenizer.pad_token_id is None else 16
        with COMPUTING:
            found = self.pipeline(texts, batch_size=batch, **options)
        found = [_plain(each) for each in found]
        return found if several or not is_tagger else found[0]


def _task(name: str, *architectures: str) -> tuple[Any, str]:
    for end, task in TASKS.items():
        if any(each.endswith(end) for each in architectures):
            return task
    heads = ", ".join(TASKS)
    raise ValueError(f"`name` is {name!r}, a model of {', '.join(architectures)}. Serve one with a head of {heads}.")


def _tagging(parameters: Fields) -> dict:
    strategies = ("none", "simple", "first", "average", "max")
    strategy = parameters.choice("aggregation_strategy", strategies, "simple")
    ignored, _ = parameters.texts("ignore_labels", ["O"])
    parameters.end()
    return {"aggregation_strategy": strategy, "ignore_labels": ignored}


def _classifying(parameters: Fields) -> dict:
    options = {"top_k": parameters.number("top_k", 1, 2**31, whole=True)}
    applied = parameters.choice("function_to_apply", ("softmax", "sigmoid", "none"))
    parameters.end()
    return options | ({} if applied is None else {"function_to_apply": applied})


def _plain(value: Any) -> Any:
    """Numbers of numpy as those of Python."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value.item() if hasattr(value, "item") else value


def _ends(model) -> list[int]:
    ends = model.generation_config.eos_token_id
    return [] if ends is None else ends if isinstance(ends, list) else [ends]


def _stream(head: dict, choices: Iterator[dict], usage: dict | None) -> Iterator[dict]:
    for choice in choices:
        yield head | {"choices": [choice]}
    if usage is not None:
        yield head | {"choices": [], "usage": usage}

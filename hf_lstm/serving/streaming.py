# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""`generate` beside the thread that wants its tokens, and the text of tokens as they come."""

import secrets
from collections.abc import Iterator
from queue import Queue
from threading import Event, Lock, Thread

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer


# A process has one stream of random numbers: who computes with a model holds this, or seeds would mean nothing.
COMPUTING = Lock()


class Generation(Thread, BaseStreamer, StoppingCriteria):
    """
    `generate` in a thread of its own, one at a time. An iteration gives the tokens that are new, a few at a time; the
    thread never waits for who reads them.

    Args:
        model (`PreTrainedModel`): The model.
        seed (`int`, *optional*): Seed of sampling; without one each generation is another.
        options (`dict`, *optional*): Arguments of `generate`.
    """

    def __init__(self, model, seed: int | None = None, **options):
        super().__init__(daemon=True)
        self.model, self.seed, self.options = model, seed, options
        self.tokens, self.stopped = Queue(), Event()
        self.output = self.error = None
        self.start()

    def run(self) -> None:
        try:
            with COMPUTING:
                if not self.stopped.is_set():
                    torch.manual_seed(secrets.randbits(63) if self.seed is None else self.seed)
                    own = {"streamer": self, "stopping_criteria": [self], "return_dict_in_generate": True}
                    self.output = self.model.generate(**self.options, **own)
        except Exception as error:
            self.error = error
        self.tokens.put(None)

    def put(self, value: torch.Tensor) -> None:
        self.tokens.put(value.flatten().tolist())

    def end(self) -> None:
        """Nothing to do: `run` says that it has ended."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs) -> torch.Tensor:
        """Whether to stop, for `generate`."""
        return torch.full((len(input_ids),), self.stopped.is_set(), device=input_ids.device)

    def stop(self) -> None:
        """Write no further: nobody reads it."""
        self.stopped.set()

    def __iter__(self) -> Iterator[list[int]]:
        ended = self.tokens.get() is None  # the prompt comes first, or None if even that failed
        while not ended:
            waiting = [self.tokens.get()]
            while not self.tokens.empty():
                waiting.append(self.tokens.get())
            ended = waiting[-1] is None
            yield [token for tokens in waiting if tokens for token in tokens]
        if self.error is not None:
            raise self.error


class TextOfTokens:
    """
    The text of tokens that come one after the other, in pieces that are final: never half of a character, nor the
    beginning of a text before which to stop.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer.
        before (`list[int]`): Tokens that the text comes after, and that are no part of it.
        stop (`list[str]`): Texts before which to end.
    """

    def __init__(self, tokenizer, before: list[int], stop: list[str]):
        self.tokenizer, self.before, self.stop = tokenizer, before, stop
        self.skipped = len(self._decode([]))
        self.token_ids: list[int] = []
        self.sent = ""
        self.stopped = False

    def _decode(self, token_ids: list[int]) -> str:
        return self.tokenizer.decode(self.before + token_ids, skip_special_tokens=True)

    def add(self, token_ids: list[int], last: bool = False) -> str:
        """
        What is now certain of the text.

        Args:
            token_ids (`list[int]`): The next tokens.
            last (`bool`, *optional*, defaults to `False`): Whether no more will come.

        Returns:
            `str`: The next piece, perhaps empty.
        """
        self.token_ids = self.token_ids + token_ids
        text = self._decode(self.token_ids)[self.skipped :]
        found = [start for start in (text.find(each) for each in self.stop) if start >= 0]
        if found:
            self.stopped, text = True, text[: min(found)]
        elif not last:
            text = text.rstrip("\ufffd")
            text = text[: len(text) - max((_overlap(text, each) for each in self.stop), default=0)]
        piece = text[len(self.sent) :]
        self.sent += piece
        return piece


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text may be the beginning of another."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)

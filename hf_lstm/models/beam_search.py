# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Beam search over single steps, with the results of that of transformers: hypotheses are kept as back-pointers, and
sources whose best hypotheses are known are computed no further. N sources, K beams of each, C candidates of a step.
"""

from dataclasses import dataclass

import torch


NEVER = -1e9  # the score of a beam that does not exist, as in transformers


@dataclass
class BeamOptions:
    """What `generate` was told: names and meanings of [`~transformers.GenerationConfig`]."""

    num_beams: int
    num_return_sequences: int
    length_penalty: float
    early_stopping: bool | str
    max_length: int
    prompt_length: int
    candidates: int


class Beams:
    """
    The hypotheses of a batch of sources.

    Args:
        num_sources (`int`): N.
        options ([`BeamOptions`]): Options.
        device (`torch.device`): Where to compute.
    """

    def __init__(self, num_sources: int, options: BeamOptions, device: torch.device):
        self.options, self.device = options, device
        shape = (num_sources, options.num_beams)
        # The beams begin as copies of one another: only the first may be continued.
        self.scores = torch.full(shape, NEVER, device=device)  # (N, K), sums of log-probabilities
        self.scores[:, 0] = 0
        self.active = torch.arange(num_sources, device=device)  # the sources whose rows these are
        self.open = torch.ones(num_sources, dtype=torch.bool, device=device)  # which of them may still get better ones
        self.steps: list[tuple] = []  # of each the rows, and of each beam its parent and its token
        # Finished hypotheses, the best first: score, the step that ended them, the beam before it, their last token.
        self.finished_scores = torch.full(shape, NEVER, device=device)
        self.finished = torch.zeros(*shape, dtype=torch.bool, device=device)
        self.ends = torch.zeros(*shape, 3, dtype=torch.long, device=device)

    @property
    def length(self) -> int:
        """Tokens of each hypothesis, those of the prompt included."""
        return self.options.prompt_length + len(self.steps)

    def candidates(self, log_probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        The best continuations of each source, from log-probabilities of the vocabulary (N * K, V): their sums, parents
        and tokens, (N, C).
        """
        rows, number = len(self.active), self.options.candidates
        # No more of a row can be among the best of its source.
        best, tokens = log_probs.topk(min(number, log_probs.shape[1]), dim=1)
        best, each = best + self.scores.view(-1, 1), best.shape[1]
        total, place = best.view(rows, -1).topk(min(number, self.options.num_beams * each), dim=1)
        return total, place // each, tokens.view(rows, -1).gather(1, place)

    def advance(self, total: torch.Tensor, parents: torch.Tensor, tokens: torch.Tensor, ends: torch.Tensor) -> None:
        """Take a step with the continuations of [`~Beams.candidates`], of which `ends`, (N, C), are finished."""
        options = self.options
        self._finish(total, parents, tokens, ends)
        running = total + ends * NEVER
        self.scores, chosen = running.topk(options.num_beams, dim=1)
        self.parents, self.tokens = parents.gather(1, chosen), tokens.gather(1, chosen)  # (N, K)
        self.steps.append((self.active, self.parents, self.tokens))

    def _finish(self, total, parents, tokens, ends) -> None:
        """Keep the best of the hypotheses that were finished before and those that now are, of the first K."""
        options, k = self.options, self.options.num_beams
        ends = ends[:, :k] & self.open[:, None]
        new = total[:, :k] / (self.length + 1 - options.prompt_length) ** options.length_penalty
        new = new.masked_fill(~ends, NEVER)
        step = torch.full_like(parents[:, :k], len(self.steps))
        ends_now = torch.stack([step, parents[:, :k], tokens[:, :k]], -1)
        rows = self.active
        scores = torch.cat([self.finished_scores[rows], new], 1)
        best, place = scores.topk(k, dim=1)
        finished = torch.cat([self.finished[rows], ends], 1)
        pointers = torch.cat([self.ends[rows], ends_now], 1)
        self.finished_scores[rows], self.finished[rows] = best, finished.gather(1, place)
        self.ends[rows] = pointers.gather(1, place[..., None].expand(-1, -1, 3))

    def unfinished(self) -> torch.Tensor:
        """
        Which of the active sources may still get a better hypothesis, (N,), by the rule of transformers: what may not
        at one step may not at any later.
        """
        options = self.options
        scores, finished = self.finished_scores[self.active], self.finished[self.active]
        longest = options.early_stopping == "never" and options.length_penalty > 0
        length = (options.max_length if longest else self.length) - options.prompt_length
        possible = self.scores[:, 0] / length**options.length_penalty
        to_beat = scores.amin(1, keepdim=True).where(finished, NEVER)
        self.open = self.open & (possible[:, None] > to_beat).any(1)
        if options.early_stopping is True:
            self.open = self.open & ~finished.all(1)
        return self.open

    def drop(self, keep: torch.Tensor) -> None:
        """Go on with some of the active sources, told by their places."""
        self.active, self.open, self.scores = self.active[keep], self.open[keep], self.scores[keep]
        self.parents, self.tokens = self.parents[keep], self.tokens[keep]

    def sequences(self, prompt: torch.LongTensor, fill: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        The best hypotheses of each source.

        Args:
            prompt (`torch.LongTensor` of shape `(N * K, T)`): What they begin with.
            fill (`int`): What stands behind their end.

        Returns:
            `tuple`: tokens of shape `(N * R, T + ...)`, with R sequences to return of each source; scores of shape
            `(N * R,)`; and the row of the batch that each token was computed in, -1 behind the end.
        """
        options = self.options
        found = [
            self._trace(source, *end)
            for source, ends in enumerate(self.ends[:, : options.num_return_sequences].tolist())
            for end in ends
        ]
        longest = max(len(tokens) for tokens, _ in found)
        sources = torch.arange(len(self.ends)).repeat_interleave(options.num_return_sequences)
        sequences = torch.full((len(found), options.prompt_length + longest), fill, device=self.device)
        beams = torch.full((len(found), longest), -1, dtype=torch.int32, device=self.device)
        sequences[:, : options.prompt_length] = prompt[sources * options.num_beams]
        for i, (tokens, parents) in enumerate(found):
            sequences[i, options.prompt_length : options.prompt_length + len(tokens)] = torch.tensor(tokens)
            beams[i, : len(parents)] = torch.tensor(parents, dtype=torch.int32)
        return sequences, self.finished_scores[:, : options.num_return_sequences].flatten(), beams

    def _trace(self, source: int, step: int, beam: int, token: int) -> tuple[list[int], list[int]]:
        """The tokens of a hypothesis, and the rows of the batch that they were computed in, from its end."""
        tokens, rows = [token], [source * self.options.num_beams + beam]
        for number in range(step - 1, -1, -1):
            parents, taken = self._table(number)[source]
            tokens.append(taken[beam])
            beam = parents[beam]
            rows.append(source * self.options.num_beams + beam)
        return tokens[::-1], rows[::-1]

    def _table(self, number: int) -> dict[int, tuple[list[int], list[int]]]:
        """Of a step, by source, the parents and the tokens of its beams."""
        step = self.steps[number]
        if isinstance(step, tuple):
            sources, parents, tokens = (each.tolist() for each in step)
            step = self.steps[number] = dict(zip(sources, zip(parents, tokens, strict=True), strict=True))
        return step

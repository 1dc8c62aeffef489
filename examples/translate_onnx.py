# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Translate without torch, by numpy, onnxruntime and tokenizers: greedy search and beams that find what `generate` does.

    python -m hf_lstm.interop.onnx ./runs/translator --int8            # where torch is: writes ./runs/translator/onnx
    echo "A dog runs." | python examples/translate_onnx.py ./runs/translator/onnx --int8 --num_beams 5
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


@dataclass
class Beams:
    """
    The hypotheses of one source, by the rules and with the options of `generate`: those that end and are among the
    `num_beams` best of a step are finished, their score divided by a power of their length; the best others go on.
    """

    ends: set[int]  # tokens
    num_beams: int
    max_new_tokens: int
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    running: list = field(default_factory=lambda: [(0.0, 0, [])])  # score, row that it comes from, tokens
    finished: list = field(default_factory=list)  # score, tokens; the best first

    def __post_init__(self):
        self.candidates = max(2, 1 + len(self.ends)) * self.num_beams  # enough even if all that end are among them

    def advance(self, scores: list[list[float]], tokens: list[list[int]]) -> None:
        """Go on with the best continuations of each running hypothesis."""
        continued = [
            (total + score, row, [*before, token])
            for row, ((total, _, before), *best) in enumerate(zip(self.running, scores, tokens, strict=False))
            for score, token in zip(*best, strict=True)
        ]
        continued = sorted(continued, key=itemgetter(0), reverse=True)[: self.candidates]
        length = len(continued[0][2])
        ended = [target[-1] in self.ends or length == self.max_new_tokens for _, _, target in continued]
        for (total, _, target), ends in zip(continued[: self.num_beams], ended, strict=False):
            if ends:
                self.finished.append((total / length**self.length_penalty, target))
        self.finished = sorted(self.finished, key=itemgetter(0), reverse=True)[: self.num_beams]
        self.running = [new for new, ends in zip(continued, ended, strict=True) if not ends][: self.num_beams]

    def is_done(self) -> bool:
        """Whether nothing better than what is finished is expected."""
        if not self.running or len(self.finished) < self.num_beams:
            return not self.running
        score, _, target = self.running[0]
        longest = self.early_stopping == "never" and self.length_penalty > 0
        possible = score / (self.max_new_tokens if longest else len(target)) ** self.length_penalty
        return self.early_stopping is True or possible <= self.finished[-1][0]


class Translator:
    """The files that `export_onnx` wrote into a folder, or with `int8` those of `quantize_onnx`."""

    def __init__(self, folder: str | Path, int8: bool = False):
        folder, options = Path(folder), onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(folder / f"{part}_model{'_quantized' if int8 else ''}.onnx", options)
            for part in ("encoder", "decoder")
        )
        settings = json.loads((folder / "generation_config.json").read_text())
        self.start, ends = settings["decoder_start_token_id"], settings.get("eos_token_id") or []
        self.ends = {ends} if isinstance(ends, int) else set(ends)
        names = "tokenizer.json", "target-tokenizer.json"  # the latter with two vocabularies
        self.tokenizers = [Tokenizer.from_file(str(folder / name)) for name in names if (folder / name).is_file()]

    def read(self, sources: list[list[int]]) -> tuple[dict, dict, np.ndarray]:
        """Ids of N sources -> what each step reads of them, the state before the first step, and its tokens."""
        lengths = np.array([len(ids) for ids in sources])
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        ids = np.zeros_like(mask)
        ids[mask == 1] = np.concatenate(sources)
        names = [output.name for output in self.encoder.get_outputs()]
        outputs = dict(zip(names, self.encoder.run(names, {"input_ids": ids, "attention_mask": mask}), strict=True))
        memory = {"keys": outputs.pop("keys"), "values": outputs.pop("values"), "attention_mask": mask}
        state = {name.replace("present", "past_key_values"): value for name, value in outputs.items()}
        return memory, state, np.full(len(sources), self.start)

    def step(self, tokens: np.ndarray, memory: dict, state: dict, best: int) -> tuple[np.ndarray, np.ndarray, dict]:
        """Tokens (B,) -> log-probabilities and ids of the `best` that may follow each, (B, best), and the state."""
        outputs = ["top_scores", "top_tokens", *(name.replace("past_key_values", "present") for name in state)]
        inputs = {"tokens": tokens, "top_k": np.array([best])} | memory | state
        scores, following, *after = self.decoder.run(outputs, inputs)
        return scores, following, dict(zip(state, after, strict=True))

    def greedy(self, sources: list[list[int]], max_new_tokens: int) -> list[list[int]]:
        """The most probable token at each step: the ids of the targets."""
        (memory, state, tokens), targets = self.read(sources), [[] for _ in sources]
        for _ in range(max_new_tokens):
            _, following, state = self.step(tokens, memory, state, 1)
            tokens = following[:, 0]
            for target, token in zip(targets, tokens.tolist(), strict=True):
                if not self.ends.intersection(target[-1:]):
                    target.append(token)
            if all(target[-1] in self.ends for target in targets):
                break
        return targets

    def beam_search(self, sources: list[list[int]], num_beams: int, **options) -> list[list[tuple[float, list[int]]]]:
        """With the options of [`Beams`]: for each source scores and ids of `num_beams` targets, the best first."""
        memory, state, tokens = self.read(sources)
        searches = active = [Beams(self.ends, num_beams, **options) for _ in sources]
        while active:
            scores, following, state = self.step(tokens, memory, state, active[0].candidates)
            width = len(tokens) // len(active)  # 1 at first, then `num_beams`
            for i, search in enumerate(active):
                rows = slice(i * width, (i + 1) * width)
                search.advance(scores[rows].tolist(), following[rows].tolist())
            keep = [i for i, search in enumerate(active) if not search.is_done()]
            if len(keep) < len(active):
                memory = {name: value[keep] for name, value in memory.items()}
            # Where a vocabulary has too few, hypotheses fill the rows as copies, which nobody reads.
            goes_on = [(i, new) for i in keep for new in (active[i].running * num_beams)[:num_beams]]
            rows = [i * width + row for i, (_, row, _) in goes_on]
            state = {name: value[rows] for name, value in state.items()}
            tokens, active = np.array([target[-1] for _, (_, _, target) in goes_on]), [active[i] for i in keep]
        return [search.finished for search in searches]

    def __call__(self, text: str, num_beams: int = 1, max_new_tokens: int = 128, **options) -> str:
        sources = [self.tokenizers[0].encode(text).ids]
        if num_beams == 1:
            return self.tokenizers[-1].decode(self.greedy(sources, max_new_tokens)[0])
        ((best, *_),) = self.beam_search(sources, num_beams, max_new_tokens=max_new_tokens, **options)
        return self.tokenizers[-1].decode(best[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `export_onnx` wrote, as ./runs/translator/onnx")
    parser.add_argument("--int8", action="store_true")
    for name, default in {"num_beams": 1, "length_penalty": 1.0, "max_new_tokens": 128}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    args = vars(parser.parse_args())
    translator = Translator(args.pop("folder"), args.pop("int8"))
    for line in sys.stdin:
        print(translator(line.strip(), **args), flush=True)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A trained translator at work: on a sentence, on many, on a file; with scores, and with what it looked at.

Glossary: N texts of a batch, R translations of each, B = N R rows, K heads, S source tokens, T target tokens, V the
size of the target's vocabulary.
"""

import gzip
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from ..data.files import read_lines
from ..evaluation_mode import evaluation_mode
from .alignments import alignments as aligned
from .alignments import words_of_spans, words_of_tokens


WINDOW = 50  # batches that are read at once, to be sorted by length; what a broken run of a file loses at most
LENGTHS = 16  # texts of a batch have one length, rounded up to a multiple of this
GROWTH = 8  # tokens that a source token may become, as one of a Chinese character or of a word may become letters
ELEMENTS = 2**25  # scores of the vocabulary that are in memory at once


class Attention(NamedTuple):
    """
    Who looked where in one pair, as [`~plotting.plot_attention`] takes it: `plot_attention(*attention, "a.png")`.

    Args:
        weights (`torch.Tensor` of shape `(K, T, S)`): Row t is of the step that wrote target token t.
        source_tokens (`list[str]`): The parts of the source that the S tokens stand for, special ones included.
        target_tokens (`list[str]`): The same of the translation; of a part of a character `"\\ufffd"`. What does not
            show, as a tab, is escaped.
    """

    weights: torch.Tensor
    source_tokens: list[str]
    target_tokens: list[str]


class Translator:
    """
    What translates texts by a model with an encoder and a decoder.

    Args:
        model (`str`, `os.PathLike` or [`PreTrainedModel`]): Folder or name on the Hub, or a model that is loaded.
        tokenizer (`str`, `os.PathLike` or [`PreTrainedTokenizerBase`], *optional*): Its tokenizer; by default that in
            the folder.
        target_tokenizer (`str`, `os.PathLike` or [`PreTrainedTokenizerBase`], *optional*): That of the translations,
            where `tokenizer` is of the source alone, as with an encoder of somebody else.
        device (`str`, `int` or `torch.device`, *optional*): Where to compute. By default a model that is loaded stays
            where it is, and one of a folder goes to an accelerator if there is one.
        trust_remote_code (`bool`, *optional*, defaults to `False`): Run the code of the folder. Models of this package
            need that only where it is not installed.

    Raises:
        `ValueError`: For a folder that is not there, or a model without encoder and decoder; if `tokenizer` is
            missing, has no `eos_token`, or more tokens than the model; or if nothing says what a translation begins
            with.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMTokenizer
    >>> from hf_lstm import RecurrentEncoderDecoderConfig, RecurrentEncoderDecoderForConditionalGeneration
    >>> from hf_lstm.evaluation import Translator

    >>> texts, options = ["the cat sat", "die Katze sass"], {"add_eos_token": True, "show_progress": False}
    >>> tokenizer = LSTMTokenizer.train_from_iterator(texts, "word", **options)
    >>> ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    >>> part = LSTMConfig(vocab_size=len(tokenizer), hidden_size=8, **ids)
    >>> config = RecurrentEncoderDecoderConfig(encoder=part, decoder=part)
    >>> translator = Translator(RecurrentEncoderDecoderForConditionalGeneration(config), tokenizer)
    >>> found = translator("the cat", num_beams=3, num_return_sequences=2, max_new_tokens=4)
    >>> list(found[0]), found[0]["normalized_score"] >= found[1]["normalized_score"]
    (['translation_text', 'score', 'normalized_score'], True)
    ```
    """

    def __init__(
        self,
        model: str | os.PathLike | PreTrainedModel,
        tokenizer: str | os.PathLike | PreTrainedTokenizerBase | None = None,
        target_tokenizer: str | os.PathLike | PreTrainedTokenizerBase | None = None,
        *,
        device: str | int | torch.device | None = None,
        trust_remote_code: bool = False,
    ):
        if isinstance(model, (str, os.PathLike)):
            tokenizer = model if tokenizer is None else tokenizer
            _check_folder(model)
            config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
            _check_kind(config, model)
            model = AutoModelForSeq2SeqLM.from_pretrained(model, trust_remote_code=trust_remote_code)
            if device is None and torch.accelerator.is_available():
                device = torch.accelerator.current_accelerator()
        _check_kind(getattr(model, "config", None), model)
        if tokenizer is None:
            raise ValueError("`tokenizer` is None, and `model` is no folder that has one: give that of the model.")
        self.model = model if device is None else model.to(device)
        self.tokenizer = _loaded(tokenizer, trust_remote_code)
        target = getattr(self.tokenizer, "target", self.tokenizer)
        self.target_tokenizer = target if target_tokenizer is None else _loaded(target_tokenizer, trust_remote_code)
        self._check_tokens()

    def _check_tokens(self) -> None:
        target = self.target_tokenizer
        configs = self.model.config, self.model.generation_config
        begins = [getattr(config, "decoder_start_token_id", None) for config in configs]
        if target.eos_token_id is None:
            raise ValueError(
                f"`tokenizer` is a `{type(target).__name__}` without `eos_token`, so that no translation would end: "
                "give the one that the model was trained with."
            )
        if begins == [None, None] and target.bos_token_id is None:
            raise ValueError(
                f"`tokenizer` is a `{type(target).__name__}` without `bos_token`, and the configuration of `model` "
                "has no `decoder_start_token_id`: nothing says what a translation begins with. Set the latter."
            )
        sides = {"source": (self.tokenizer, self.model.get_encoder().config), "target": (target, self._target_config)}
        for side, (tokenizer, config) in sides.items():
            known = getattr(config, "vocab_size", None) or 0
            if len(tokenizer) > known:
                raise ValueError(
                    f"`tokenizer` has {len(tokenizer):,} tokens of the {side}, and `model` {known:,}: give the "
                    "tokenizer that it was trained with."
                )

    @property
    def _target_config(self) -> PreTrainedConfig:
        return self.model.config.get_text_config(decoder=True)

    def __call__(
        self,
        texts: str | Iterable[str],
        *,
        num_beams: int | None = None,
        length_penalty: float | None = None,
        max_new_tokens: int | None = None,
        num_return_sequences: int = 1,
        batch_size: int = 32,
        scores: bool = True,
        alignments: bool = False,
        attention: bool = False,
        progress: bool | None = None,
        **options: Any,
    ) -> dict | list | Iterator:
        """
        Translate.

        Texts of like length are computed together, which changes no result and not their order. A text of any length
        is translated whole. An empty one, or one of nothing but white space, has an empty translation of score 0.

        Args:
            texts (`str`, sequence or iterable of `str`): One text, or many. Of an iterable that is no sequence, as a
                generator or an open file, fifty batches are read at a time.
            num_beams, length_penalty (*optional*): Those of `generate`. `None` means those of `generation_config`.
            max_new_tokens (`int`, *optional*): The most tokens of a translation. `None` means eight times as many as
                the source has, rounded up to a multiple of 16.
            num_return_sequences (`int`, *optional*, defaults to 1): How many translations of each text, the best
                first; at most `num_beams` of them.
            batch_size (`int`, *optional*, defaults to 32): Texts that are computed together.
            scores (`bool`, *optional*, defaults to `True`): Say how probable each translation is. Beams know that;
                without them it takes another pass through the model.
            alignments (`bool`, *optional*, defaults to `False`): Say which word of the text each word of the
                translation looked at, see [`~alignments.alignments`].
            attention (`bool`, *optional*, defaults to `False`): Give the weights of the attention.
            progress (`bool`, *optional*): Show a bar. `None` means: for more than one batch of a sequence.
            options: Further ones of `generate`, such as `do_sample` or `no_repeat_ngram_size`.

        Returns:
            `dict`, or `list` of `dict` with `num_return_sequences` over 1: a translation. Of several texts, a `list`
            of these; of an iterable, an iterator over them. A translation has

            - `"translation_text"` (`str`);
            - `"score"` (`float`), with `scores`: the logarithm of its probability, its end included; of beams under
              options that change probabilities, as `repetition_penalty`, what those make of it;
            - `"normalized_score"` (`float`), too: that by the number of its tokens to the power of `length_penalty`,
              by which beams are ranked;
            - `"alignments"` (`list[tuple[int, int]]`), with `alignments`: pairs of a word of the text and a word of
              the translation, numbers of [`~alignments.split_words`];
            - `"attention"` ([`Attention`]), with `attention`; `None` of an empty text.

        Raises:
            `ValueError`: If `texts` is empty or holds something else, a text has more tokens than `tokenizer` allows,
                or `generate` refuses the options.
        """
        numbers = {"batch_size": batch_size, "num_return_sequences": num_return_sequences}
        for name, number in (numbers | {"num_beams": num_beams, "max_new_tokens": max_new_tokens}).items():
            if number is not None and not (isinstance(number, Integral) and number >= 1):
                raise ValueError(f"`{name}` is {number!r}: give at least 1.")
        if max_new_tokens is not None and options.get("max_length") is not None:
            raise ValueError(
                f"`max_length` is {options['max_length']} and `max_new_tokens` {max_new_tokens}: give one of the two."
            )
        named = {"num_beams": num_beams, "length_penalty": length_penalty}
        options |= {name: value for name, value in named.items() if value is not None}
        options["num_return_sequences"] = num_return_sequences
        how = _How(options, max_new_tokens, batch_size, scores, alignments, attention)
        if isinstance(texts, str):
            return next(self._stream([texts], how, False))
        if isinstance(texts, (bytes, dict)) or not isinstance(texts, Iterable):
            raise ValueError(f"`texts` is {texts!r:.60}: give a text, or several.")
        if not hasattr(texts, "__getitem__"):
            return self._stream(texts, how, progress)
        if not len(texts):
            raise ValueError("`texts` is empty: give at least one text.")
        return list(self._stream(texts, how, len(texts) > batch_size if progress is None else progress))

    def translate_file(
        self,
        path_in: str | os.PathLike,
        path_out: str | os.PathLike,
        *,
        resume: bool = False,
        overwrite: bool = False,
        encoding: str = "utf-8",
        line: Callable[[dict], str] = lambda translation: translation["translation_text"],
        progress: bool = True,
        **options: Any,
    ) -> None:
        """
        Translate a file, a text a line; an empty line stays one.

        What is done is written at once, behind the lines of a file with `.part` behind its name, which gets the name
        of `path_out` when all is done. From there a run that broke off goes on with `resume=True`.

        Args:
            path_in (`str` or `os.PathLike`): The texts, plain or gzipped.
            path_out (`str` or `os.PathLike`): Where to write, in UTF-8; gzipped if its name ends in `.gz`.
            resume (`bool`, *optional*, defaults to `False`): Keep the lines that a run with the same arguments wrote.
            overwrite (`bool`, *optional*, defaults to `False`): Replace a file of that name, at the end.
            encoding (`str`, *optional*, defaults to `"utf-8"`): Encoding of `path_in`.
            line (`Callable`, *optional*): What to write of a translation; by default its text.
            progress (`bool`, *optional*, defaults to `True`): Show a bar.
            options: Those of a call, but for `num_return_sequences`; `scores` is `False` unless `line` needs them.

        Raises:
            `ValueError`: If there is no such file, or one that would be lost; and as of a call.
        """
        if options.get("num_return_sequences", 1) != 1:
            raise ValueError(
                f"`num_return_sequences` is {options['num_return_sequences']}, but a line has one translation: leave "
                "it out, or call the translator on the lines."
            )
        lines = _Lines(path_in, encoding)  # before anything is written
        with _written(Path(path_out), resume, overwrite) as (file, done):
            lines.skip(done)
            for found in self(lines, progress=progress, **{"scores": False, **options}):
                file.write(one_line(line(found)) + "\n")

    def _stream(self, texts: Iterable[str], how: "_How", progress: bool | None) -> Iterator:
        """What each text becomes, in their order."""
        total = len(texts) if hasattr(texts, "__len__") else None
        texts, first = iter(texts), 0
        with logging.tqdm(total=total, desc="Translating", unit=" texts", disable=not progress) as bar:
            while window := list(islice(texts, WINDOW * how.batch_size)):
                for found in self._window(self._encode(window, first), how, bar):
                    yield found if how.number > 1 else found[0]
                first += len(window)

    def _encode(self, texts: list[str], first: int) -> list["_Source"]:
        """The tokens of texts; the first of these is number `first` of all."""
        for i, text in enumerate(texts, start=first):
            if not isinstance(text, str):
                raise ValueError(f"`texts` has {text!r:.60} at {i}: give texts.")
        encoded = self.tokenizer(texts, return_offsets_mapping=True, verbose=False)
        rows = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
        longest, silent = self.tokenizer.model_max_length, set(self.tokenizer.all_special_ids)
        silent.discard(self.tokenizer.unk_token_id)
        sources = []
        for i, (text, row) in enumerate(zip(texts, rows, strict=True), start=first):
            tokens = len(row["input_ids"])
            if tokens > longest:
                raise ValueError(
                    f"`texts` has one of {tokens:,} tokens at {i}, {text[:40]!r} ..., more than the {longest:,} of "
                    "`model_max_length` of the tokenizer: cut it."
                )
            empty = not text.strip() or silent.issuperset(row["input_ids"])
            sources.append(_Source(text, row.pop("offset_mapping"), row, 0 if empty else -(-tokens // LENGTHS)))
        return sources

    def _window(self, sources: list["_Source"], how: "_How", bar) -> list[list[dict]]:
        """The translations of each text. Batches are of one length, lest the limit of a text depend on others."""
        found = [[how.translation("", 0.0, 1) for _ in range(how.number)] for _ in sources]
        order = [i for i, source in enumerate(sources) if source.length]
        order.sort(key=lambda i: -len(sources[i].offsets))
        bar.update(len(sources) - len(order))
        for length, group in groupby(order, key=lambda i: sources[i].length):
            limit = how.limit(LENGTHS * length, self.model)
            while batch := list(islice(group, how.batch_size)):
                translations = self._batch([sources[i] for i in batch], how, limit)
                for i, each in zip(batch, translations, strict=True):
                    found[i] = each
                bar.update(len(batch))
        return found

    @torch.no_grad()
    def _batch(self, sources: list["_Source"], how: "_How", limit: dict[str, int]) -> list[list[dict]]:
        """The translations of each text of a batch."""
        inputs = self.tokenizer.pad([source.inputs for source in sources], return_tensors="pt").to(self.model.device)
        with evaluation_mode(self.model):
            output = self.model.generate(**inputs, **how.options, **limit, return_dict_in_generate=True)
            lengths = self._lengths(output.sequences[:, 1:], how)
            sequences, norms = output.sequences[:, : 1 + int(lengths.max())], lengths ** how.penalty(self.model)
            known = not how.option("do_sample", self.model) and output.get("sequences_scores") is not None
            scores, weights = output.sequences_scores * norms if known else torch.zeros(len(lengths)), None
            if how.looks or (how.scores and not known):
                read, weights = self._read(inputs, sequences, lengths, how)
                scores = scores if known else read
        found = []
        rows = zip(sequences[:, 1:].tolist(), lengths.tolist(), scores.tolist(), norms.tolist(), strict=True)
        for b, (ids, length, score, norm) in enumerate(rows):
            ids = ids[:length]
            translation = how.translation(self.target_tokenizer.decode(ids, skip_special_tokens=True), score, norm)
            if how.looks:
                source, real = sources[b // how.number], inputs["attention_mask"][b // how.number].bool().cpu()
                translation |= self._looks(source, ids, weights[b][:, :length, real], how)
            found.append(translation)
        return [found[i : i + how.number] for i in range(0, len(found), how.number)]

    def _lengths(self, ids: torch.LongTensor, how: "_How") -> torch.LongTensor:
        """The tokens of translations (B, T) up to their end and with it, or all where there is none: (B,)."""
        ends = how.option("eos_token_id", self.model)
        ends = torch.as_tensor(self.target_tokenizer.eos_token_id if ends is None else ends, device=ids.device)
        before = torch.isin(ids, ends).cumsum(1) == 0  # (B, T)
        return (before.sum(1) + 1).clamp(max=ids.shape[1])

    def _read(self, inputs, sequences, lengths, how: "_How") -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The logarithms of the probabilities of the rows (B,), and of each row the weights of attention (K, T, S)."""
        inputs = {name: values.repeat_interleave(how.number, dim=0) for name, values in inputs.items()}
        real = torch.arange(sequences.shape[1] - 1, device=sequences.device) < lengths[:, None]  # (B, T)
        rows = max(1, ELEMENTS // (real.shape[1] * self._target_config.vocab_size))
        scores, weights = [], []
        for part in torch.arange(len(real), device=real.device).split(rows):
            outputs = self.model(
                **{name: values[part] for name, values in inputs.items()},
                decoder_input_ids=sequences[part, :-1],
                decoder_attention_mask=torch.ones_like(sequences[part, :-1]),  # a pad token may have been chosen
                output_attentions=how.looks,
                use_cache=False,
            )
            logs = outputs.logits.float().log_softmax(-1).gather(2, sequences[part, 1:, None])[..., 0]  # (B, T)
            scores.append(logs.where(real[part], 0).sum(1))
            if how.looks and not outputs.cross_attentions:
                raise ValueError(
                    f"`model` is a {type(self.model).__name__} that gives no weights of attention. Load it with "
                    '`attn_implementation="eager"`, or ask for neither `alignments` nor `attention`.'
                )
            weights += [*outputs.cross_attentions[-1].float().cpu()] if how.looks else []
        return torch.cat(scores), weights

    def _looks(self, source: "_Source", ids: list[int], weights: torch.Tensor, how: "_How") -> dict:
        """What was asked for of the weights of one translation, (K, T, S)."""
        found = {}
        if how.alignments:
            words = words_of_spans(source.text, source.offsets), words_of_tokens(ids, self.target_tokenizer)
            found["alignments"] = aligned(weights, *words)
        if how.attention:
            special = self.tokenizer.convert_ids_to_tokens
            parts = zip(source.offsets, source.inputs["input_ids"], strict=True)
            read = [_visible(source.text[start:end]) or special(token) for (start, end), token in parts]
            written = [_visible(self.target_tokenizer.decode([token])) for token in ids]
            found["attention"] = Attention(weights, read, written)
        return found


def one_line(text: str) -> str:
    """A text without breaks of lines, of any kind."""
    return " ".join(text.splitlines())


def _visible(text: str) -> str:
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


@dataclass(frozen=True)
class _How:
    """What a call was told."""

    options: dict[str, Any]  # of `generate`
    max_new_tokens: int | None
    batch_size: int
    scores: bool
    alignments: bool
    attention: bool

    @property
    def number(self) -> int:
        return self.options["num_return_sequences"]

    @property
    def looks(self) -> bool:
        return self.alignments or self.attention

    def limit(self, source: int, model: PreTrainedModel) -> dict[str, int]:
        """The option of `generate` that limits the new tokens, for sources of so many."""
        if "max_length" in self.options:
            return {}
        number = GROWTH * source if self.max_new_tokens is None else self.max_new_tokens
        # Of two names the one that `generate` does not warn of.
        by_length = model.generation_config.max_new_tokens is None
        return {"max_length": 1 + number} if by_length else {"max_new_tokens": number}

    def option(self, name: str, model: PreTrainedModel) -> Any:
        """What `generate` was told, or else the model says."""
        given = self.options.get(name)
        return getattr(model.generation_config, name, None) if given is None else given

    def penalty(self, model: PreTrainedModel) -> float:
        """The power of its length that the score of a translation is divided by."""
        penalty = self.option("length_penalty", model)
        return 1.0 if penalty is None else penalty

    def translation(self, text: str, score: float, norm: float) -> dict[str, Any]:
        """A translation, of an empty text if nothing is put to it."""
        found = {"translation_text": text, "score": score, "normalized_score": score / norm}
        return (
            found | ({"alignments": []} if self.alignments else {}) | ({"attention": None} if self.attention else {})
        )


class _Source(NamedTuple):
    """A text: where its tokens stand, what the model reads of it, and its length in steps of `LENGTHS`, 0 if empty."""

    text: str
    offsets: list[tuple[int, int]]
    inputs: dict[str, list]
    length: int


class _Lines:
    """The lines of a file but the first ones; how many there are is known before."""

    def __init__(self, path: str | os.PathLike, encoding: str):
        self.path, self.read = path, lambda: read_lines(path, "path_in", encoding)
        self.done, self.total = 0, sum(1 for _ in self.read())

    def skip(self, done: int) -> None:
        if done > self.total:
            raise ValueError(
                f"`path_in` is {str(self.path)!r} of {self.total:,} lines, of which {done:,} are translated: another "
                "file was. Leave out `resume`."
            )
        self.done = done

    def __len__(self) -> int:
        return self.total - self.done

    def __iter__(self) -> Iterator[str]:
        return islice(self.read(), self.done, None)


@contextmanager
def _written(path: Path, resume: bool, overwrite: bool) -> Iterator[tuple]:
    """A file of lines that has its name once it is complete; and how many lines it has already."""
    part = path.with_name(f"{path.name}.part")
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"`path_out` is {str(path)!r}, a folder or in none: give the name of a file.")
    if path.exists() and not overwrite:
        raise ValueError(f"`path_out` is {str(path)!r}, which is there: give another name, or `overwrite=True`.")
    if part.exists() and not (resume or overwrite):
        raise ValueError(
            f"`path_out` is {str(path)!r}, and {str(part)!r} is there, of a run that broke off: go on with "
            "`resume=True`, or begin again with `overwrite=True`."
        )
    done = 0
    if part.exists() and resume:
        lines = part.read_bytes().splitlines(keepends=True)
        done = sum(line.endswith(b"\n") for line in lines)
        os.truncate(part, sum(map(len, lines[:done])))  # without a line that has no end
    mode = "a" if done else "w"
    try:
        with part.open(mode, encoding="utf-8", newline="\n", buffering=1) as file:  # each line is written at once
            yield file, done
    except BaseException:
        if not part.stat().st_size:
            part.unlink()
        raise
    if path.suffix == ".gz":
        packed = path.with_name(f"{path.name}.part.gz")
        with part.open("rb") as plain, gzip.open(packed, "wb") as file:
            shutil.copyfileobj(plain, file)
        packed.replace(path)
        part.unlink()
    else:
        part.replace(path)


def _check_folder(model: str | os.PathLike) -> None:
    """Refuse a path that is none; what could be a name on the Hub is looked for there."""
    path = os.fspath(model)
    is_path = isinstance(model, os.PathLike) or path.startswith((".", "~", os.sep)) or path.count("/") > 1
    if is_path and not os.path.isdir(path):
        raise ValueError(f"`model` is {path!r}, where there is no folder: give that of a model, or a name on the Hub.")


def _check_kind(config: Any, model: Any) -> None:
    if not getattr(config, "is_encoder_decoder", False):
        kind = getattr(config, "model_type", None)
        raise ValueError(
            f"`model` is {f'{str(model)!r}, ' if isinstance(model, (str, os.PathLike)) else ''}of the kind {kind!r}, "
            "which has no encoder and decoder: give a model for translation, as of `AutoModelForSeq2SeqLM`."
        )


def _loaded(tokenizer, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    if isinstance(tokenizer, (str, os.PathLike)):
        return AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=trust_remote_code)
    return tokenizer


__all__ = ["Attention", "Translator", "one_line"]

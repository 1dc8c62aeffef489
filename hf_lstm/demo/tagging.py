# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The tagger of the demo: words and entities of a text, with posteriors.

Glossary: B sentences, T tokens, K labels.
"""

import math
import re
from typing import NamedTuple

import torch

from ..data import rewrite
from ..data.tag_schemes import infer_scheme, read_spans
from .look import table
from .models import Loaded


PLAIN = ("O", "lower")  # labels of words that have nothing to be highlighted for


class Word(NamedTuple):
    """A word of a text: where it stands, its label, and the posteriors of all labels."""

    start: int
    end: int
    label: str
    posteriors: dict[str, float]


class Entity(NamedTuple):
    """A part of a text with a type, and the probability that the text has exactly this entity."""

    start: int
    end: int
    type: str
    posterior: float


@torch.no_grad()
def tag(tagger: Loaded, text: str) -> tuple[list[Word], list[Entity]]:
    """
    Words and entities of a text. Where labels are not of entities, such as parts of speech, each word with something
    to highlight is one.

    Args:
        tagger ([`Loaded`]): The tagger and its tokenizer.
        text (`str`): The text, in which each line is a sentence.

    Returns:
        `tuple[list[Word], list[Entity]]`: Both in the order of the text.

    Raises:
        `ValueError`: for a text without words.
    """
    model, tokenizer = tagger
    lines = list(re.finditer(r".*\S.*", text))
    if not lines:
        raise ValueError("The text has no words. Type a sentence, or choose one of the examples.")
    inputs = tokenizer([line[0] for line in lines], padding=True, return_tensors="pt", return_offsets_mapping=True)
    offsets = inputs.pop("offset_mapping").tolist()
    firsts = [_first_tokens(inputs.word_ids(i)) for i in range(len(lines))]
    if model.config.use_crf:
        tag_mask = torch.zeros_like(inputs["input_ids"])
        for row, found in zip(tag_mask, firsts, strict=True):
            row[list(found.values())] = 1
        out = model(**inputs, tag_mask=tag_mask, output_marginals=True, output_entity_probabilities=True)
    else:
        out = model(**inputs)
    posteriors = out.marginals if model.config.use_crf else out.logits.softmax(-1)  # (B, T, K)

    names = [model.config.id2label[k] for k in range(model.config.num_labels)]
    of_entities = infer_scheme([[name] for name in names]) is not None
    words, entities = [], []
    for i, (line, found) in enumerate(zip(lines, firsts, strict=True)):
        tokens = list(found.values())
        labels = [names[k] for k in out.logits[i, tokens].argmax(-1).tolist()]
        shares = [dict(zip(names, row, strict=True)) for row in posteriors[i, tokens].tolist()]
        spans = [_span(line, [offsets[i][t] for t, w in enumerate(inputs.word_ids(i)) if w == word]) for word in found]
        row = [Word(*span, *each) for span, *each in zip(spans, labels, shares, strict=True)]
        groups = read_spans(labels) if of_entities else [(n, k, k + 1) for k, n in enumerate(labels) if n not in PLAIN]
        for kind, start, end in groups:
            if model.config.use_crf:
                posterior = out.entity_probabilities[i, tokens[start]].item()
            else:
                posterior = math.prod(word.posteriors[word.label] for word in row[start:end])
            entities.append(Entity(row[start].start, row[end - 1].end, kind, posterior))
        words += row
    return words, entities


def _first_tokens(word_ids: list[int | None]) -> dict[int, int]:
    """The words that have tokens, each with its first one, which bears its label."""
    firsts = {}
    for t, word in enumerate(word_ids):
        if word is not None:
            firsts.setdefault(word, t)
    return firsts


def _span(line: re.Match, offsets: list[list[int]]) -> tuple[int, int]:
    """Where a word of a line stands in the text, of the offsets of its tokens in the line, without blanks around."""
    start, end = offsets[0][0], offsets[-1][1]
    word = line[0][start:end]
    start += len(word) - len(word.lstrip())
    return line.start() + start, line.start() + start + len(word.strip())


def highlighted(text: str, entities: list[Entity]) -> list[tuple[str, str | None]]:
    """A text in parts, those of entities with their type."""
    parts, end = [], 0
    for entity in entities:
        parts += [(text[end : entity.start], None), (text[entity.start : entity.end], entity.type)]
        end = entity.end
    return [part for part in [*parts, (text[end:], None)] if part[0]]


def restores(model) -> bool:
    """Whether the labels say how words are written, as in `hf_lstm.data.unwrite`."""
    return all(re.fullmatch(r"(lower|Title|UPPER)[,.:;?]?", name) for name in model.config.id2label.values())


def shown(tagger: Loaded, text: str) -> tuple[list[tuple[str, str | None]], str, str, str]:
    """
    What the page shows of a text.

    Args:
        tagger ([`Loaded`]): The tagger and its tokenizer.
        text (`str`): The text, in which each line is a sentence.

    Returns:
        `tuple`: The text in parts, those of entities with their type; how it is to be written, if the labels say so;
        and as HTML a table of the entities and one of the words, with posteriors.

    Raises:
        `ValueError`: for a text without words.
    """
    words, entities = tag(tagger, text)
    of_entities = [[text[e.start : e.end], e.type, e.posterior] for e in entities]
    tokens, labels = [text[word.start : word.end] for word in words], [word.label for word in words]
    of_words = [[token, word.label, word.posteriors[word.label]] for token, word in zip(tokens, words, strict=True)]
    return (
        highlighted(text, entities),
        rewrite(tokens, labels) if restores(tagger.model) else "",
        table(["highlighted", "label", "posterior"], of_entities),
        table(["word", "label", "posterior"], of_words),
    )

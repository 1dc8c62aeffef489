# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Characters and shapes of tokens: what a tagger knows of a word that is not in its vocabulary; and their context.

Networks over the characters of each word: Lample et al. (2016), recurrent; Ma & Hovy (2016), convolutional. Shapes,
as a "capitalization feature": Collobert et al. (2011). The characters of the whole text: Akbik et al. (2018).
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice, repeat
from typing import NamedTuple

import numpy as np
from tokenizers import Encoding, Tokenizer
from transformers import BatchEncoding, TokenizersBackend
from transformers.utils import PaddingStrategy, to_py_obj

from .piece_alignment import aligned, special_ids


PADDING, UNKNOWN, FIRST = 0, 1, 2  # ids of characters
SHAPES = ("lower", "upper", "title", "mixed", "digits", "number", "alphanumeric", "punctuation", "other")
INPUT_NAMES = ("char_ids", "shape_ids")
CONTEXT_NAMES = ("context_ids", "context_spans")
PIECE_NAMES = ("encoder_ids", "encoder_spans")
FILLERS = {"char_ids": [], "shape_ids": 0, "context_spans": [0, 0], "encoder_spans": [0, 0]}  # of tokens of padding
OF_TEXTS = {"context_ids": 0, "encoder_ids": -1}  # what is of a whole text, and its padding
SOURCES = ("tokenizer_object", "tokenizer_file", "gguf_file", "vocab")  # of which a tokenizer is built
CACHED_WORDS = 50_000  # about 10 MB with words of at most 20 characters


class CharacterTokenizer(TokenizersBackend):
    """
    Tokenizer that gives the characters and the shape of each token beside its id.

    It has two more outputs, each of them where `model_input_names` names it:

    - `char_ids` (B, T, C): the characters of each token, one row a token. 0 is padding, 1 a character that training
      did not keep, and from 2 on come the known characters, the most frequent first.
    - `shape_ids` (B, T): 0 is padding, and from 1 on `SHAPES`, see [`shape_of`].

    Both read the text as it was given, at the place of the token: case and digits are kept whatever the tokenizer
    makes of them, and raw text has the same characters as its words given with `is_split_into_words=True`. White space
    around a token, which some kinds of tokens contain, is no part of it. What has no place in the text, padding and
    the tokens that encoding adds, has a row of zeros and shape 0; a `<s>` within the text has its three characters.
    Of a word longer than `max_word_length` the first and the last half of so many characters are kept.

    Lists without padding have a row as long as its token. Padded to the longest text, C is the length of the longest
    word in the batch; padded to `max_length`, in tensors without padding, and with `return_overflowing_tokens`, C is
    `max_word_length`, so that batches made apart can be joined, as pipelines do.

    For models with `context_models` there are two more:

    - `context_ids` (B, C): the characters of the whole text, however many tokens are kept of it, between two of
      `context_boundary`. Each stretch of white space is read as one space; given words, and a second text, are joined
      by one. The ids are those of the tokenizer of the language models; padding, always 0 and on the right, goes to
      the longest text of the batch.
    - `context_spans` (B, T, 2): where in `context_ids` the first and the last character of each token are; 0 for what
      has no place in the text.

    And two for models with a pretrained `encoder`, by whose own tokenizer that text is cut:

    - `encoder_ids` (B, S): the pieces of the whole text, without what stands around it; padding, -1, on the right.
    - `encoder_spans` (B, T, 2): the first and the last piece, from 1 on, that has a character of each token; 0 for
      what has no place in the text or no piece.
    """

    encoder_backend: Tokenizer | None = None  # what cuts texts for an encoder

    @property
    def char_vocab_size(self) -> int:
        """The number of ids in `char_ids`; 0 if this tokenizer was trained without characters."""
        return FIRST + len(self.init_kwargs["characters"]) if "characters" in self.init_kwargs else 0

    @property
    def shape_vocab_size(self) -> int:
        """The number of ids in `shape_ids`; 0 if this tokenizer was trained without shapes."""
        return 1 + len(SHAPES) if "shape_ids" in self.model_input_names else 0

    @property
    def max_word_length(self) -> int:
        """The most characters that a token has in `char_ids`; 0 if this tokenizer was trained without characters."""
        return self.init_kwargs.get("max_word_length", 0)

    @property
    def context_boundary(self) -> int | None:
        """The id in `context_ids` of what stands around a text; None if this tokenizer was trained without context."""
        return self.init_kwargs["context_vocab"]["boundary"] if "context_vocab" in self.init_kwargs else None

    @property
    def encoder_special_ids(self) -> list[list[int]] | None:
        """What stands before and behind a text that the encoder reads: a field of the configuration of its model."""
        return None if self.encoder_backend is None else special_ids(self.encoder_backend)

    def __init__(self, *args, **kwargs):
        if not any(kwargs.get(name) is not None for name in SOURCES):
            raise ValueError(
                f"`{type(self).__name__}` has no vocabulary of its own: train one with `train_from_iterator(texts, "
                "kind)`, or load `from_pretrained(folder)`, where `folder` has a tokenizer.json."
            )
        super().__init__(*args, **kwargs)

    def _encode_plus(self, text, text_pair=None, **kwargs) -> BatchEncoding:
        try:
            encoded = super()._encode_plus(text, text_pair, **kwargs)
        except (TypeError, IndexError) as error:
            raise ValueError(
                f"`text` is {text!r:.80}: give a string, or a list of one or more strings. A list of words is a text "
                "with `is_split_into_words=True`."
            ) from error
        if kwargs.get("return_tensors") is not None and 0 in encoded["input_ids"].shape and self.pad_token is not None:
            one = {"padding_strategy": PaddingStrategy.MAX_LENGTH, "max_length": 1, "stride": 0}
            encoded = super()._encode_plus(text, text_pair, **{**kwargs, **one})
        names = [name for name in INPUT_NAMES if name in self.model_input_names]
        has_context, has_pieces = (name in self.model_input_names for name in OF_TEXTS)
        form = self.init_kwargs.get("unicode_normalizer")
        is_plain = not (names or has_context or has_pieces or form)
        if is_plain or encoded.encodings is None:  # chats with `sanitize_control_tokens`
            return encoded
        given_apart = kwargs.get("is_split_into_words", False)
        samples, is_batched = _samples(text, text_pair, given_apart)
        owners = encoded.get("overflow_to_sample_mapping", range(len(encoded.encodings)))
        places = [
            (_in_whole(e, samples[int(i)], given_apart, form), samples[int(i)], given_apart)
            for e, i in zip(encoded.encodings, owners, strict=True)
        ]
        texts = [_token_texts(*place) for place in places]

        table = _word_table(self.init_kwargs.get("characters", ""), self.max_word_length, form)
        rows = table.look_up(chain.from_iterable(texts))  # (tokens, 1 + max_word_length)
        shapes, characters = rows[:, 0], rows[:, 1:]
        padding = kwargs.get("padding_strategy", PaddingStrategy.DO_NOT_PAD)
        in_tensors = kwargs.get("return_tensors") is not None
        if padding == PaddingStrategy.LONGEST and not kwargs.get("return_overflowing_tokens"):
            characters = characters[:, : _longest(characters)]
        if padding == PaddingStrategy.DO_NOT_PAD and not in_tensors:
            lengths = np.count_nonzero(characters, axis=1).tolist()
            characters = [row[:length] for row, length in zip(characters.tolist(), lengths, strict=True)]

        sizes = [len(tokens) for tokens in texts]
        alone = not (is_batched or in_tensors or kwargs.get("return_overflowing_tokens"))
        found = dict(zip(INPUT_NAMES, (characters, shapes), strict=True))
        like = encoded["input_ids"] if in_tensors else None
        values = {name: _nested(found[name], sizes, like) for name in names}
        if form and "offset_mapping" in encoded:
            values["offset_mapping"] = _nested([span for place, *_ in places for span in place.offsets], sizes, like)
        if has_context or has_pieces:
            whole, spans = zip(*(_context_of(*place) for place in places), strict=True)
            read = {"context_ids": ([self._context_ids(each) for each in whole], spans)} if has_context else {}
            if has_pieces:
                read["encoder_ids"] = aligned(self.encoder_backend, whole, spans)
            for name, (rows, spans) in read.items():
                values[name] = _rows(rows, padding == PaddingStrategy.DO_NOT_PAD, like, OF_TEXTS[name])
                values[name.replace("ids", "spans")] = _nested(list(chain.from_iterable(spans)), sizes, like)
        encoded.update({name: value[0] if alone else value for name, value in values.items()})
        return encoded

    def _context_ids(self, text: str) -> list[int]:
        """The characters of a text between two boundaries."""
        vocab = self.init_kwargs["context_vocab"]
        ids, unknown = vocab["characters"], vocab["unknown"]
        return [vocab["boundary"], *(ids.get(character, unknown) for character in text), vocab["boundary"]]

    def pad(
        self,
        encoded_inputs,
        padding=True,
        max_length=None,
        pad_to_multiple_of=None,
        padding_side=None,
        return_attention_mask=None,
        return_tensors=None,
        verbose=True,
    ) -> BatchEncoding:
        """As in [`~PreTrainedTokenizerBase.pad`], which collators call, and for the inputs named above too."""
        options = (max_length, pad_to_multiple_of, padding_side, return_attention_mask, return_tensors, verbose)
        if isinstance(encoded_inputs, (list, tuple)) and encoded_inputs and isinstance(encoded_inputs[0], Mapping):
            encoded_inputs = {key: [example[key] for example in encoded_inputs] for key in encoded_inputs[0]}
        ids = encoded_inputs.get("input_ids", [0])
        rows = ids if len(ids) and (isinstance(ids[0], (list, tuple)) or getattr(ids[0], "ndim", 0)) else [ids]
        if return_tensors is not None and not any(map(len, rows)):
            padding, options = "max_length", (1, *options[1:])
        known = (*INPUT_NAMES, *CONTEXT_NAMES, *PIECE_NAMES)
        names = [name for name in known if name in self.model_input_names and name in encoded_inputs]
        if not names:
            return super().pad(encoded_inputs, padding, *options)
        others = {key: value for key, value in encoded_inputs.items() if key not in names}
        padded = super().pad(others, padding, *options)

        ids = padded["input_ids"]
        in_tensors = not isinstance(ids, list)
        is_batched = ids.ndim == 2 if in_tensors else bool(ids) and isinstance(ids[0], (list, tuple))
        no_padding = padding in (False, "do_not_pad")
        sizes = [len(row) for row in ids] if is_batched else [len(ids)]
        side = padding_side or self.padding_side
        for name in names:
            examples = encoded_inputs[name] if is_batched else [encoded_inputs[name]]
            if name in OF_TEXTS:
                rows = [[i for i in to_py_obj(row) if i >= 0] for row in examples]
                value = _rows(rows, no_padding, ids if in_tensors else None, OF_TEXTS[name])
                padded[name] = value if is_batched else value[0]
                continue
            values = _aligned(examples, sizes, side, FILLERS[name])
            if name == "char_ids" and (in_tensors or not no_padding):
                to_longest = padding in (True, "longest")
                values = _rectangle(values, 1 if to_longest else self.max_word_length)
                values = values[:, : _longest(values)] if to_longest else values
            value = _nested(values, sizes, ids if in_tensors else None)
            padded[name] = value if is_batched else value[0]
        return padded


def shape_of(word: str) -> int:
    """
    The id of the shape of `word`, 1 for the first of `SHAPES`; 0 for an empty word. The first that fits is taken of

    - with a decimal digit: `"digits"` (1984), `"alphanumeric"` (with letters: 1980s, B2B), `"number"` (3,000, $5);
    - with cased letters: `"lower"`, `"upper"` (U.S., I), `"title"` (Don't, Müller), `"mixed"` (iPhone, McDonald);
    - `"punctuation"` (punctuation and symbols only, emoji among them) and `"other"` (日本語).
    """
    return SHAPES.index(_shape(word)) + 1 if word else 0


def _shape(word: str) -> str:
    if any(map(str.isdecimal, word)):
        if word.isdecimal():
            return "digits"
        return "alphanumeric" if any(map(str.isalpha, word)) else "number"
    if word.islower():
        return "lower"
    if word.isupper():
        return "upper"
    if word[0].istitle() and word[1:].islower():
        return "title"
    if any(character.isupper() or character.islower() for character in word):
        return "mixed"
    return "punctuation" if all(unicodedata.category(character)[0] in "PS" for character in word) else "other"


def counted(texts: Iterable[str], counts: Counter, form: str | None = None) -> Iterator[str]:
    """The texts as they are; on the way their characters, in a form of Unicode, are added to `counts`."""
    for text in texts:
        counts.update(_in_form(text, form))
        yield text


def _in_form(text: str, form: str | None) -> str:
    return text if form is None else unicodedata.normalize(form.upper(), text)


def known_characters(counts: Counter, min_frequency: int) -> str:
    """The characters of `counts` that get an id, most frequent first, equally frequent ones by code point."""
    known = [c for c, count in counts.items() if count >= min_frequency and not c.isspace()]
    return "".join(sorted(known, key=lambda character: (-counts[character], character)))


class _WordTable(dict):
    """
    The rows of words, each computed when it is first asked for: shape id, then `max_word_length` character ids.

    Rows are bytes, because joining bytes is the fastest way from many small rows to one array.
    """

    def __init__(self, characters: str, max_word_length: int, form: str | None):
        super().__init__()
        self.form = form
        self.ids = {character: i for i, character in enumerate(characters, FIRST)}
        self.max_word_length = max_word_length

    def __missing__(self, text: str) -> bytes:
        word = _in_form(text.strip(), self.form)
        row = np.zeros(1 + self.max_word_length, np.int32)
        row[0] = shape_of(word)
        if self.max_word_length:
            kept = _clipped(word, self.max_word_length)
            row[1 : 1 + len(kept)] = [self.ids.get(character, UNKNOWN) for character in kept]
        if len(self) >= CACHED_WORDS:
            self.clear()
        self[text] = packed = row.tobytes()
        return packed

    def look_up(self, texts: Iterable[str]) -> np.ndarray:
        """The rows of `texts`, of shape (number of texts, 1 + `max_word_length`)."""
        packed = b"".join(map(self.__getitem__, texts))
        return np.frombuffer(packed, np.int32).reshape(-1, 1 + self.max_word_length)


# Kept here, not in the tokenizer: by its pickled bytes `datasets` tells whether it has computed a map before.
@lru_cache(maxsize=8)
def _word_table(characters: str, max_word_length: int, form: str | None) -> _WordTable:
    return _WordTable(characters, max_word_length, form)


def _clipped(word: str, length: int) -> str:
    """The first and the last half of `length` characters of a longer word: prefix and suffix tell the most."""
    return word if len(word) <= length else word[: length - length // 2] + word[-(length // 2) :]


def _samples(text, text_pair, given_apart: bool) -> tuple[list[tuple], bool]:
    """The one or two texts of each sample, in tuples, and whether the samples came as a batch."""

    def is_list(value) -> bool:  # of texts, that is of lists of words where they are given apart
        if not given_apart:
            return isinstance(value, (list, tuple))
        return isinstance(value, (list, tuple)) and len(value) > 0 and isinstance(value[0], (list, tuple))

    if not is_list(text):
        return [(text, text_pair) if text_pair else (text,)], False
    if text_pair is not None:
        return list(zip(text, text_pair, strict=True)), True
    return [tuple(sample) if is_list(sample) else (sample,) for sample in text], True


class _Place(NamedTuple):
    """What is asked of an `Encoding`."""

    sequence_ids: list[int | None]
    word_ids: list[int | None]
    offsets: list[tuple[int, int]]


def _in_whole(encoding: Encoding, sample: tuple, given_apart: bool, form: str | None) -> Encoding | _Place:
    """
    An encoding whose offsets have all of each letter: where a form of Unicode joins several characters into one, the
    tokenizers library has the place of the first.
    """
    words = [word for sequence in sample for word in (sequence if given_apart else [sequence])]
    if form is None or all(unicodedata.is_normalized(form.upper(), word) for word in words):
        return encoding
    offsets = []
    for sequence, word, (start, end) in zip(encoding.sequence_ids, encoding.word_ids, encoding.offsets, strict=True):
        if end > start:
            text = sample[sequence or 0][word] if given_apart else sample[sequence or 0]
            size = len(_in_form(text[start:end], form))
            while end < len(text) and len(_in_form(text[start : end + 1], form)) <= size:
                end += 1
        offsets.append((start, end))
    return _Place(encoding.sequence_ids, encoding.word_ids, offsets)


def _token_texts(encoding: Encoding, sample: tuple, given_apart: bool) -> list[str]:
    """The piece of text that each token stands for; empty for a token that encoding added."""
    texts = repeat(sample[0]) if len(sample) == 1 else [sample[i or 0] for i in encoding.sequence_ids]
    if not given_apart:  # an added token has the offsets (0, 0)
        return [text[start:end] for text, (start, end) in zip(texts, encoding.offsets, strict=False)]
    places = zip(texts, encoding.word_ids, encoding.offsets, strict=False)
    return ["" if i is None else words[i][start:end] for words, i, (start, end) in places]


def _context_of(encoding: Encoding, sample: tuple, given_apart: bool) -> tuple[str, list[list[int]]]:
    """The text of a sample as its context is read, and the span in it of each token of an encoding, from 1 on."""
    sequences = sample if given_apart else [[text] for text in sample]
    text = " ".join(word for words in sequences for word in words)
    starts, start = [], 0
    for words in sequences:
        starts.append([])
        for word in words:
            starts[-1].append(start)
            start += len(word) + 1
    squeezed, places = _squeezed(text)
    spans = []
    for sequence, word, (start, end) in zip(encoding.sequence_ids, encoding.word_ids, encoding.offsets, strict=True):
        if sequence is None or (given_apart and word is None):  # a token that encoding added
            spans.append([0, 0])
            continue
        offset = starts[sequence][word if given_apart else 0]
        piece = text[offset + start : offset + end]
        first, last = offset + end - len(piece.lstrip()), offset + start + len(piece.rstrip()) - 1
        spans.append([places[first], places[last]] if first <= last else [0, 0])
    return squeezed, spans


def _squeezed(text: str) -> tuple[str, Sequence[int]]:
    """A text with one space for each stretch of white space, and the place in it, from 1 on, of each character."""
    squeezed = " ".join(text.split())
    if len(squeezed) == len(text):
        return squeezed, range(1, len(text) + 1)
    places, place, gap = [], 0, False
    for character in text:
        if character.isspace():
            gap = place > 0
        else:
            place, gap = place + 1 + gap, False
        places.append(place)
    return squeezed, places


def _rows(rows: list[list[int]], apart: bool, like=None, filler: int = 0):
    """Rows of symbols: as they are where padding is not wanted, else of one length, in a tensor if `like` is."""
    if like is None and apart:
        return rows
    values = _rectangle(rows, 1, filler)
    if like is None:
        return values.tolist()
    return like.new_tensor(values) if hasattr(like, "new_tensor") else values


def _aligned(examples, sizes: list[int], side: str, filler) -> list:
    """The values of all examples in one list, each example filled up to its size."""
    values = []
    for example, size in zip(examples, sizes, strict=True):
        if not isinstance(example, list) or (example and not isinstance(example[0], (list, int))):
            example = to_py_obj(example)
        gap = [filler] * (size - len(example))
        values += [*gap, *example] if side == "left" else [*example, *gap]
    return values


def _rectangle(rows: list[list[int]], width: int, filler: int = 0) -> np.ndarray:
    """Rows of different lengths as an array, at least `width` wide, with `filler` behind them."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    width = max(width, lengths.max(initial=0))
    array = np.full((len(rows), width), filler, np.int64)
    array[np.arange(width) < lengths[:, None]] = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    return array


def _longest(characters: np.ndarray) -> int:
    """The columns that are in use, at least one."""
    used = np.flatnonzero(characters.any(axis=0))
    return 1 if used.size == 0 else used[-1] + 1


def _nested(values, sizes: list[int], like=None):
    """The values of all tokens, per sample: in lists or, of equal sizes, in a tensor or array as `like` is."""
    if like is None:
        rows = iter(values.tolist() if isinstance(values, np.ndarray) else values)
        return [list(islice(rows, size)) for size in sizes]
    if min(sizes) < max(sizes):
        raise ValueError(
            f"`return_tensors` is given for texts of {min(sizes)} to {max(sizes)} tokens: give `padding=True` too."
        )
    values = np.array(values, np.int64)
    values = values.reshape(len(sizes), sizes[0], *values.shape[1:])
    return like.new_tensor(values) if hasattr(like, "new_tensor") else values

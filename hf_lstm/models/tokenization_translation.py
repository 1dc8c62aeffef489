# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Two tokenizers in one folder, for translation with a vocabulary for each language.

Of one vocabulary for both, an `LSTMTokenizer` that was trained on the texts of both sides with `add_eos_token=True` is
enough: it takes `text_target`, too.
"""

import copy
from collections.abc import Iterable, Mapping

from tokenizers import models
from transformers import BatchEncoding, TokenizersBackend

from .tokenization_lstm import OPTION_KINDS, LSTMTokenizer


SPECIAL_TOKENS = ("pad_token", "unk_token", "bos_token", "eos_token")
ENDS = ("add_bos_token", "add_eos_token")  # given by what a translator reads and writes

# What is given beside each token, of which labels have no use.
OF_SOURCE = ("characters", "char_min_frequency", "max_word_length", "word_shapes", "context_tokenizer")

# What `save_pretrained` of transformers writes under a prefix, by the names under which it is found again.
_FILES = {
    "target_tokenizer_file": "target-tokenizer.json",
    "target_tokenizer_config_file": "target-tokenizer_config.json",
}
_LOADING = ("_is_local", "local_files_only", "trust_remote_code")  # of the arguments of `_from_pretrained`


class TranslationTokenizer(LSTMTokenizer):
    """
    Tokenizer of a translator whose languages have a vocabulary each: characters for Chinese, say, and BPE for English.

    The tokenizer itself is that of the source. It carries another one, `target`, an [`LSTMTokenizer`] with options of
    its own, that is saved in the same folder (`target-tokenizer.json`, `target-tokenizer_config.json`). What a program
    of transformers asks of a tokenizer is answered by the side that it is about:

    | of the source | of the target |
    | --- | --- |
    | `tokenizer(texts)`, `encode`, `tokenize`, `pad` | `tokenizer(text_target=texts)`, `labels` |
    | `len(tokenizer)`, `vocab_size`, `get_vocab`, `convert_tokens_to_ids` | `decode`, `batch_decode` |
    | `add_tokens`, `padding_side`, `model_max_length` | `convert_ids_to_tokens`, `convert_tokens_to_string` |

    So `len(tokenizer)` is the size of the encoder's embedding, and what a model generates is decoded. For the rest
    there are `tokenizer.source` and `tokenizer.target`: `len(tokenizer.target)` is the size of the decoder's
    vocabulary, and `tokenizer.source.decode(ids)` gives a source text back, as does
    `tokenizer.decode(ids, use_source_tokenizer=True)`. Options of `from_pretrained` are of the source.

    Both sides put `eos_token` behind a text and nothing in front, and both give the special tokens the same ids.

    Example:

    ```python
    >>> from hf_lstm import TranslationTokenizer

    >>> pairs = [("the cat sat", "猫坐着"), ("the dog sat", "狗坐着")]
    >>> options = {"kind": "word", "target_kind": "char", "show_progress": False}
    >>> tokenizer = TranslationTokenizer.train_from_iterator(pairs, **options)
    >>> batch = tokenizer("the dog", text_target="狗")
    >>> batch["input_ids"], batch["labels"]
    ([5, 7, 3], [6, 3])
    >>> tokenizer.decode(batch["labels"], skip_special_tokens=True)
    '狗'
    ```
    """

    target: LSTMTokenizer
    vocab_files_names = LSTMTokenizer.vocab_files_names | _FILES

    @classmethod
    def from_tokenizers(cls, source: TokenizersBackend, target: TokenizersBackend):
        """
        Put two trained tokenizers together. They are copied, and stay as they are.

        Args:
            source ([`LSTMTokenizer`]): The tokenizer of the texts to translate.
            target ([`LSTMTokenizer`]): The tokenizer of the translations.

        Returns:
            [`TranslationTokenizer`]: The tokenizer of both, which puts `eos_token` behind texts whatever they did.

        Raises:
            `ValueError`: If one of them is no tokenizer, has two sides itself, or lacks one of the four special
                tokens, or if the ids of these differ.
        """
        for name, side in (("source", source), ("target", target)):
            if not isinstance(side, TokenizersBackend) or "target" in vars(side):
                raise ValueError(
                    f"`{name}` is {side!r:.60}: give a trained `LSTMTokenizer`, of a `TranslationTokenizer` its "
                    "`source` or its `target`."
                )
        _check_special_ids(source, target)
        tokenizer = _as(cls, copy.deepcopy(source))
        tokenizer.target = _as(LSTMTokenizer, copy.deepcopy(target))
        for side in (tokenizer, tokenizer.target):
            side.add_bos_token, side.add_eos_token = False, True
        return tokenizer

    @classmethod
    def train_from_iterator(
        cls,
        pairs: Iterable[tuple[str, str] | dict[str, str]] | tuple[Iterable[str], Iterable[str]],
        kind: str = "bpe",
        *,
        vocab_size: int = 30_000,
        target_kind: str | None = None,
        target_vocab_size: int | None = None,
        **options,
    ):
        """
        Train both sides.

        Args:
            pairs (iterable of pairs, or a `tuple` of two iterables of `str`):
                Texts with their translations: tuples, or dictionaries with `source` and `target` as a `Dataset` of
                pairs has them. A tuple of two is all sources and all targets: `(data["source"], data["target"])`.
            kind (`str`, *optional*, defaults to `"bpe"`): Of the source, see [`LSTMTokenizer`].
            vocab_size (`int`, *optional*, defaults to 30000): The most ids of the source.
            target_kind (`str`, *optional*, defaults to `kind`): Of the target.
            target_vocab_size (`int`, *optional*, defaults to `vocab_size`): The most ids of the target.
            options:
                Those of [`LSTMTokenizer.train_from_iterator`], for both sides. With `target_` in front of its name an
                option is of the target alone, as in `lowercase=True, target_lowercase=False`. What only some kinds
                have (`min_frequency`, `add_prefix_space`, ...) holds for a target of the same kind, and what is given
                beside each token (`characters`, `word_shapes`, `context_tokenizer`) is of the source alone.

        Returns:
            [`TranslationTokenizer`]: The trained tokenizer.

        Raises:
            `ValueError`: If `pairs` holds none, for `add_bos_token` and `add_eos_token`, and whenever
                [`LSTMTokenizer.train_from_iterator`] raises it, with the side that it is about.
        """
        for name, value in options.items():
            if name.removeprefix("target_") in ENDS:
                raise ValueError(
                    f"`{name}` is {value!r}: leave it out. Both sides of a translation end with `eos_token`, and the "
                    "model puts `bos_token` before what it generates."
                )
        target_kind = kind if target_kind is None else target_kind
        named = {name: value for name, value in options.items() if name.startswith("target_")}
        of_source = {name: value for name, value in options.items() if name not in named}
        of_target = {
            name: value
            for name, value in of_source.items()
            if name not in OF_SOURCE and (target_kind == kind or name not in OPTION_KINDS)
        }
        of_target |= {name.removeprefix("target_"): value for name, value in named.items()}
        sources, targets = _columns(pairs)
        source = _trained("source", sources, kind, vocab_size=vocab_size, **of_source)
        size = vocab_size if target_vocab_size is None else target_vocab_size
        return cls.from_tokenizers(source, _trained("target", targets, target_kind, vocab_size=size, **of_target))

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[tuple[str, str] | dict[str, str]] | tuple[Iterable[str], Iterable[str]],
        vocab_size: int,
        *,
        target_vocab_size: int | None = None,
        **options,
    ):
        """
        Train both sides anew on other pairs, each with its own options.

        Args:
            text_iterator: Pairs, as in [`~TranslationTokenizer.train_from_iterator`].
            vocab_size (`int`): The most ids of the source.
            target_vocab_size (`int`, *optional*, defaults to `vocab_size`): The most ids of the target.
            options: Those of [`LSTMTokenizer.train_new_from_iterator`], for both sides.

        Returns:
            [`TranslationTokenizer`]: The new tokenizer.

        Raises:
            `ValueError`: As [`~TranslationTokenizer.train_from_iterator`].
        """
        sources, targets = _columns(text_iterator)
        size = vocab_size if target_vocab_size is None else target_vocab_size
        source = self.source.train_new_from_iterator(sources, vocab_size, **options)
        return self.from_tokenizers(source, self.target.train_new_from_iterator(targets, size, **options))

    @property
    def source(self) -> LSTMTokenizer:
        """The source side alone, with the same vocabulary: a view, not a copy."""
        return _as(LSTMTokenizer, self)

    def __call__(
        self, text=None, text_pair=None, text_target=None, text_pair_target=None, *args, **kwargs
    ) -> BatchEncoding:
        """
        As in transformers, `max_target_length` for a `max_length` of the targets alone included.

        Args:
            text (`str` or `list[str]`, *optional*): What the source side encodes.
            text_target (`str` or `list[str]`, *optional*): What the target side encodes.
            text_pair, text_pair_target, args, kwargs (*optional*): Those of transformers, for both sides.

        Returns:
            `BatchEncoding`: `input_ids` and `attention_mask` of `text` and, as `labels`, the ids of `text_target`;
                without `text` those of `text_target` are the `input_ids`.
        """
        # For tokenizers with two sides, transformers switches modes before and after the targets, but not after an
        # error. Here no mode is kept.
        if text_target is None:
            return super().__call__(text, text_pair, None, None, *args, **kwargs)
        targets = self.target(None, None, text_target, text_pair_target, *args, **kwargs)
        if text is None:
            return targets
        encoded = super().__call__(text, text_pair, None, None, *args, **kwargs)
        encoded["labels"] = targets["input_ids"]
        return encoded

    def _decode(self, *args, use_source_tokenizer: bool = False, **kwargs) -> str:  # a name of MarianTokenizer
        return super()._decode(*args, **kwargs) if use_source_tokenizer else self.target._decode(*args, **kwargs)

    def convert_ids_to_tokens(self, ids, skip_special_tokens: bool = False):
        """As in transformers, of ids of the target."""
        return self.target.convert_ids_to_tokens(ids, skip_special_tokens)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """As in transformers, of tokens of the target."""
        return self.target.convert_tokens_to_string(tokens)

    def _models(self) -> list[models.Model]:
        return [*super()._models(), *self.target._models()]

    def _save_pretrained(self, save_directory, file_names, legacy_format=None, filename_prefix=None):
        files = super()._save_pretrained(save_directory, file_names, legacy_format, filename_prefix)
        prefix = f"{filename_prefix}-target" if filename_prefix else "target"
        # Not by `self.target.save_pretrained`, which would write of the folder as of its own.
        saved = TokenizersBackend.save_pretrained(self.target, save_directory, filename_prefix=prefix)
        return (*files, *saved)

    @classmethod
    def _from_pretrained(cls, resolved_vocab_files, pretrained_model_name_or_path, *args, **kwargs):
        of_target = {name.removeprefix("target_"): resolved_vocab_files.pop(name, None) for name in _FILES}
        if None in of_target.values():
            raise ValueError(
                f"`pretrained_model_name_or_path` is {str(pretrained_model_name_or_path)!r}, where "
                f"{' or '.join(_FILES.values())} is missing: load a tokenizer of one side as an `LSTMTokenizer`, and "
                "put two together by `TranslationTokenizer.from_tokenizers`."
            )
        tokenizer = super()._from_pretrained(resolved_vocab_files, pretrained_model_name_or_path, *args, **kwargs)
        # Options of this call are those of the source; the target keeps what it was saved with.
        how = {name: kwargs[name] for name in _LOADING if name in kwargs}
        tokenizer.target = LSTMTokenizer._from_pretrained(of_target, pretrained_model_name_or_path, {}, **how)
        _check_special_ids(tokenizer, tokenizer.target)
        return tokenizer


def _as(tokenizer_class: type[LSTMTokenizer], tokenizer: TokenizersBackend) -> LSTMTokenizer:
    """The same tokenizer of one side, as one of another class."""
    same = object.__new__(tokenizer_class)
    vars(same).update((name, value) for name, value in vars(tokenizer).items() if name != "target")
    return same


def _check_special_ids(source: TokenizersBackend, target: TokenizersBackend) -> None:
    for name, side in (("source", source), ("target", target)):
        missing = [f"`{token}`" for token in SPECIAL_TOKENS if getattr(side, token) is None]
        if missing:
            raise ValueError(
                f"`{name}` is a tokenizer without {', '.join(missing)}: train one by "
                "`LSTMTokenizer.train_from_iterator`, which gives it all that a translator needs."
            )
    ids = {token: (getattr(source, f"{token}_id"), getattr(target, f"{token}_id")) for token in SPECIAL_TOKENS}
    different = [f"`{token}_id` is {a} in `source` and {b} in `target`" for token, (a, b) in ids.items() if a != b]
    if different:
        raise ValueError(
            f"{', '.join(different)}, but they must be the same: train both by `LSTMTokenizer.train_from_iterator`, "
            "where they are 0 to 3."
        )


def _trained(side: str, texts: Iterable[str], kind: str, **options) -> LSTMTokenizer:
    try:
        return LSTMTokenizer.train_from_iterator(texts, kind, **options)
    except ValueError as error:
        raise ValueError(f"Of the {side}: {error}") from error


def _columns(pairs) -> tuple[Iterable[str], Iterable[str]]:
    """The texts of both sides."""
    if isinstance(pairs, tuple) and len(pairs) == 2 and not any(isinstance(part, (str, Mapping)) for part in pairs):
        return pairs
    if isinstance(pairs, (str, bytes, Mapping)) or not isinstance(pairs, Iterable):
        raise ValueError(
            f"`pairs` is {pairs!r:.60}: give an iterable of pairs of texts, or a tuple of two iterables, all sources "
            "and all targets."
        )
    sources, targets = [], []
    for pair in pairs:
        if isinstance(pair, Mapping) and pair.keys() >= {"source", "target"}:
            pair = (pair["source"], pair["target"])
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(
                f"`pairs` holds {pair!r:.60}: give tuples of a source and a target, or dictionaries with `source` and "
                "`target`; or a tuple of two lists, all sources and all targets."
            )
        sources.append(pair[0])
        targets.append(pair[1])
    return sources, targets

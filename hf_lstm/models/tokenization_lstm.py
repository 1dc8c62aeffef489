# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
One tokenizer for the LSTM, GRU and RNN models: words, characters, byte-level BPE, unigram or WordPiece.

The whole pipeline lives in `tokenizer.json`, so `PreTrainedTokenizerFast` reads a saved folder to the same ids of
texts without this file; given words it cuts as texts. `LSTMTokenizer` adds what that class lacks: training in one
call, and retraining that keeps its options.
"""

import copy
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import TokenizersBackend
from transformers.utils import logging

from .characters import CONTEXT_NAMES, INPUT_NAMES, PIECE_NAMES, CharacterTokenizer, counted, known_characters
from .piece_alignment import backend_of
from .saving import SavingMixin
from .words import MARKS, word_pattern, words_of


logger = logging.get_logger(f"transformers.{__name__}")

KINDS = ("word", "char", "bpe", "unigram", "wordpiece")

# Options that only some kinds have; every other option of `train_from_iterator` is for all.
OPTION_KINDS = {
    "min_frequency": ("word", "char", "bpe", "wordpiece"),
    "split_punctuation": ("word",),
    "is_split_into_words": ("word",),
    "keep_newlines": ("word", "wordpiece"),
    "add_prefix_space": ("bpe",),
}

WHOLE = words_of(r"\S(?:[\s\S]*\S)?")  # of a given word: it stays as it is
_ENCODING = threading.RLock()  # held where the words of a call are cut in another way than text

# What else `init_kwargs` hold, but for the table of characters.
INPUT_OPTIONS = ("char_min_frequency", "max_word_length", "context_vocab", "model_input_names")
INPUT_OPTIONS += ("unicode_normalizer", "whole_words")

_ENCODER_FILE = {"encoder_tokenizer_file": "encoder-tokenizer.json"}

FORMS = ("nfc", "nfd", "nfkc", "nfkd")  # of Unicode

# Options on which the ids depend, ours and those of other tokenizers: `from_pretrained` cannot change them.
TRAINING_OPTIONS = (
    *("kind", "vocab_size", "min_frequency", "lowercase", "fold_digits", "unicode_normalizer", "split_punctuation"),
    *("is_split_into_words", "whole_words"),
    *("keep_newlines", "characters", "char_min_frequency", "word_shapes", "context_tokenizer", "encoder_tokenizer"),
    *("do_lower_case", "do_basic_tokenize", "never_split", "strip_accents", "tokenize_chinese_chars"),
    *("add_dummy_prefix", "byte_fallback", "dropout", "sp_model_kwargs", "trim_offsets"),
)

# Marks that are neither letters nor white space but stand within a word: soft hyphen, joiner and non-joiner (Unicode
# Standard Annex 29, rule WB4), and the zero-width space but where it stands for the blanks that a script lacks.
_SPACELESS = r"[\p{Khmer}\p{Lao}\p{Myanmar}\p{Thai}]"
_MARK = rf"(?:[\u00AD\u200C\u200D]|(?<!{_SPACELESS})\u200B(?!{_SPACELESS}))"
WORD_OR_PUNCTUATION = rf"\w+(?:{_MARK}+\w+)*|(?![{MARKS}])[^\w\s]+"


class LSTMTokenizer(SavingMixin, CharacterTokenizer):
    """
    Tokenizer of the recurrent models, trained by [`~LSTMTokenizer.train_from_iterator`] or
    [`~LSTMTokenizer.train_from_files`] and otherwise used as any `PreTrainedTokenizerFast`.

    `kind` is one of

    - `"word"`: one id a word; text decodes to the words joined with spaces. Unknown words become `unk_token`.
    - `"char"`: one id a Unicode code point, spaces and newlines included. Unknown characters become `unk_token`.
    - `"bpe"`: byte-level byte-pair encoding (Sennrich et al., 2016; on bytes, Radford et al., 2019). Nothing is
      unknown and any text decodes to itself. Offsets of a token include the space before it, as in GPT-2.
    - `"unigram"`: unigram language model (Kudo, 2018) over text whose spaces are written `▁`.
    - `"wordpiece"`: WordPiece (Schuster & Nakajima, 2012), punctuation apart, `##` before the later pieces of a word.

    The ids of `<pad>`, `<unk>`, `<s>` and `</s>` are 0, 1, 2 and 3. Encoding adds none of them, which is what tagging,
    classification and stateful language modelling want; `add_bos_token=True` and `add_eos_token=True` change that, at
    training, in `from_pretrained` or later as attributes. To generate from nothing, start from `bos_token_id`: an
    empty prompt has no ids.

    For taggers, `characters=True` and `word_shapes=True` give `char_ids` and `shape_ids` of each token beside its id,
    see [`CharacterTokenizer`]; their models need `char_vocab_size` and `shape_vocab_size`. Train them on sentences of
    words, `is_split_into_words=True`: a given word then is one token (an empty or blank one is none: align labels by
    `word_ids()`, which skips those), and an ordinary text is cut as those words were, punctuation apart.

    Training `"unigram"` or `"wordpiece"` twice on the same corpus can give different vocabularies: their trainers in
    the `tokenizers` library walk hash tables. The other kinds are reproducible.

    Example:

    ```python
    >>> from hf_lstm import LSTMTokenizer

    >>> corpus = ["The cat sat.", "The dog sat."]
    >>> tokenizer = LSTMTokenizer.train_from_iterator(corpus, kind="word", lowercase=True, show_progress=False)
    >>> tokenizer("The cat ran.")["input_ids"]
    [6, 7, 1, 4]
    >>> tokenizer.decode([6, 7, 5, 4])
    'the cat sat .'
    ```
    """

    # No `__init__` here: with one, `from_pretrained` would rebuild the backend from its vocabulary alone and lose the
    # rest of tokenizer.json. `kind` and `min_frequency` travel in `init_kwargs`, that is in tokenizer_config.json.

    model_input_names = ["input_ids", "attention_mask"]
    vocab_files_names = CharacterTokenizer.vocab_files_names | _ENCODER_FILE
    _auto_class = "AutoTokenizer"  # `save_pretrained` copies this file beside tokenizer.json

    @classmethod
    def train_from_files(cls, files: str | os.PathLike | Iterable[str | os.PathLike], kind: str = "bpe", **options):
        """
        Train a tokenizer on UTF-8 text files, read line by line.

        Args:
            files (`str`, `os.PathLike` or an iterable of them): Path or paths of the files.
            kind (`str`, *optional*, defaults to `"bpe"`): See [`LSTMTokenizer`].
            options: Those of [`~LSTMTokenizer.train_from_iterator`].

        Returns:
            [`LSTMTokenizer`]: The trained tokenizer.

        Raises:
            `ValueError`: If a file is missing, and whenever [`~LSTMTokenizer.train_from_iterator`] raises it.
        """
        paths = [files] if isinstance(files, (str, os.PathLike)) else list(files)
        for path in paths:
            if not os.path.isfile(path):
                raise ValueError(f"`files` names {os.fspath(path)!r}, which is not a file: give paths of text files.")
        return cls.train_from_iterator(_read_lines(paths), kind, **options)

    @classmethod
    def train_from_iterator(
        cls,
        iterator: Iterable[str] | Iterable[list[str]],
        kind: str = "bpe",
        *,
        vocab_size: int = 30_000,
        min_frequency: int | None = None,
        lowercase: bool = False,
        fold_digits: bool = False,
        unicode_normalizer: str | None = None,
        split_punctuation: bool | None = None,
        is_split_into_words: bool | None = None,
        keep_newlines: bool | None = None,
        add_prefix_space: bool | None = None,
        pad_token: str = "<pad>",
        unk_token: str = "<unk>",
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        extra_special_tokens: Iterable[str] = (),
        add_bos_token: bool = False,
        add_eos_token: bool = False,
        characters: bool = False,
        char_min_frequency: int | None = None,
        max_word_length: int | None = None,
        word_shapes: bool = False,
        context_tokenizer: TokenizersBackend | None = None,
        encoder_tokenizer: TokenizersBackend | None = None,
        length: int | None = None,
        show_progress: bool = True,
    ):
        """
        Train a tokenizer on an iterator of strings.

        Args:
            iterator (iterable of `str` or of `list[str]`):
                The texts, or batches of them. For `kind="word"`, sentences already split into words are such batches.
            kind (`str`, *optional*, defaults to `"bpe"`): See [`LSTMTokenizer`].
            vocab_size (`int`, *optional*, defaults to 30000): The most ids to use, special tokens included.
            min_frequency (`int`, *optional*):
                What is rarer gets no id: words, characters (1 by default) or merged pairs (2 by default). Not for
                `"unigram"`.
            lowercase (`bool`, *optional*, defaults to `False`): Whether to lower-case the text.
            fold_digits (`bool`, *optional*, defaults to `False`): Whether to read every decimal digit as `0`.
            unicode_normalizer (`str`, *optional*):
                `"nfc"`, `"nfd"`, `"nfkc"` or `"nfkd"`: the form of Unicode in which text is read before all else, so
                that an accent typed apart (e, U+0301) and a letter that has it (é) are the same. Characters that
                `characters` gives are of that form, too; those of `context_tokenizer` are as given.
            split_punctuation (`bool`, *optional*, defaults to `True` for `"word"`):
                Whether punctuation makes words of its own. With `False` words are what white space separates: the
                choice for text that is already tokenized (Penn Treebank, WikiText). For `"word"`.
            is_split_into_words (`bool`, *optional*, defaults to `False` for `"word"`):
                Whether `iterator` gives sentences as lists of words, as those of a tagger are. Given words then stay
                whole, and how texts are cut is learnt from them: see [`word_pattern`]. For `"word"`.
            keep_newlines (`bool`, *optional*, defaults to `False` for `"word"` and `"wordpiece"`):
                Whether a newline is a token, as language models of verse, code or lines want it, or white space. The
                other kinds always keep it.
            add_prefix_space (`bool`, *optional*, defaults to `False` for `"bpe"`):
                Whether to put a space before the text and before each given word, so that words given with
                `is_split_into_words=True` get the same ids as words within a text. For `"bpe"`.
            pad_token, unk_token, bos_token, eos_token (`str`, *optional*): The special tokens, ids 0 to 3.
            extra_special_tokens (iterable of `str`, *optional*): More special tokens, such as the roles of a chat.
            add_bos_token, add_eos_token (`bool`, *optional*, defaults to `False`):
                Whether encoding adds `bos_token` in front and `eos_token` behind.
            characters (`bool`, *optional*, defaults to `False`):
                Whether encoding gives `char_ids`, the characters of each token, see [`CharacterTokenizer`].
            char_min_frequency (`int`, *optional*, defaults to 1 with `characters`):
                Rarer characters get no id of their own. With 2 or more, training meets unknown ones and learns them.
            max_word_length (`int`, *optional*, defaults to 20 with `characters`):
                The most characters of a token, 2 or more. Of longer words the first and the last half are kept.
            word_shapes (`bool`, *optional*, defaults to `False`):
                Whether encoding gives `shape_ids`: capitals, digits or punctuation, see [`CharacterTokenizer`].
            context_tokenizer ([`LSTMTokenizer`], *optional*):
                The tokenizer, of `kind="char"`, of two language models that a tagger reads. Encoding then gives
                `context_ids` and `context_spans`, see [`CharacterTokenizer`]. A text is put between two newlines where
                that tokenizer knows them, else between two of its `eos_token`.
            encoder_tokenizer ([`~transformers.TokenizersBackend`], *optional*):
                The tokenizer of a pretrained encoder that a model reads. Encoding then gives `encoder_ids` and
                `encoder_spans`, see [`CharacterTokenizer`]; it is saved in the same folder (`encoder-tokenizer.json`).
            length (`int`, *optional*): The number of texts, for the progress bar.
            show_progress (`bool`, *optional*, defaults to `True`): Whether to show progress bars.

        Returns:
            [`LSTMTokenizer`]: The trained tokenizer.

        Raises:
            `ValueError`: If `kind` is unknown, an option is not for that kind, the corpus is empty or not made of
                strings, `vocab_size` is too small for the special tokens and the alphabet, or an option of
                `characters` is out of range or given without it, `context_tokenizer` does not read characters, or
                `encoder_tokenizer` is no tokenizer with a backend of the `tokenizers` library.
        """
        _check_options(
            kind,
            min_frequency=min_frequency,
            split_punctuation=split_punctuation,
            is_split_into_words=is_split_into_words,
            keep_newlines=keep_newlines,
            add_prefix_space=add_prefix_space,
        )
        if is_split_into_words and split_punctuation is not None:
            raise ValueError(
                f"`split_punctuation` is {split_punctuation!r} with `is_split_into_words=True`, where the words "
                "themselves tell how a text is cut: leave it out."
            )
        named = {"pad_token": pad_token, "unk_token": unk_token, "bos_token": bos_token, "eos_token": eos_token}
        extra = _check_special_tokens(named, extra_special_tokens)
        form = _form(unicode_normalizer)
        inputs = _input_options(cls, characters, char_min_frequency, max_word_length, word_shapes, context_tokenizer)
        backend = None if encoder_tokenizer is None else backend_of(encoder_tokenizer)

        pre_tokenizer = _pre_tokenizer(kind, split_punctuation is not False, bool(add_prefix_space))
        return cls._train(
            _untrained(kind, unk_token, _normalizer(form, lowercase, fold_digits), pre_tokenizer, _decoder(kind)),
            iterator,
            _added_tokens([*named.values(), *extra], keep_newlines),
            vocab_size,
            length,
            show_progress,
            kind=kind,
            min_frequency=min_frequency,
            **named,
            extra_special_tokens=extra,
            add_bos_token=add_bos_token,
            add_eos_token=add_eos_token,
            add_prefix_space=bool(add_prefix_space),
            **({"whole_words": True} if is_split_into_words else {}),
            padding_side=cls.padding_side,  # named here, because only what is in `init_kwargs` is saved
            truncation_side=cls.truncation_side,
            **({"unicode_normalizer": form} if form else {}),
            **inputs,
        )._with_encoder(backend)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[list[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Iterable[str | AddedToken] | None = None,
        special_tokens_map: dict[str, str] | None = None,
        *,
        min_frequency: int | None = None,
        show_progress: bool = True,
    ):
        """
        Train a tokenizer of the same kind, with the same options, special and added tokens, on another corpus.

        Args:
            text_iterator (iterable of `str` or of `list[str]`): The texts, or batches of them.
            vocab_size (`int`): The most ids to use, special tokens included.
            length (`int`, *optional*): The number of texts, for the progress bar.
            new_special_tokens (iterable of `str` or `AddedToken`, *optional*): Special tokens to add.
            special_tokens_map (`dict[str, str]`, *optional*): New names of special tokens, by old name.
            min_frequency (`int`, *optional*): Defaults to that of this tokenizer.
            show_progress (`bool`, *optional*, defaults to `True`): Whether to show progress bars.

        Returns:
            [`LSTMTokenizer`]: The new tokenizer.

        Raises:
            `ValueError`: As [`~LSTMTokenizer.train_from_iterator`], and if this tokenizer was not trained by it.
        """
        kind = self.init_kwargs.get("kind")
        if kind not in KINDS:
            raise ValueError(
                f"`kind` is {kind!r} in this tokenizer, which `LSTMTokenizer` did not train: load it as a "
                "`PreTrainedTokenizerFast` to retrain it, or use `LSTMTokenizer.train_from_iterator`."
            )
        _check_options(kind, min_frequency=min_frequency)
        min_frequency = self.init_kwargs.get("min_frequency") if min_frequency is None else min_frequency
        renamed = special_tokens_map or {}
        named = {name: renamed.get(token, token) for name, token in self.special_tokens_map.items()}
        new = [AddedToken(str(token), special=True, normalized=False) for token in new_special_tokens or ()]
        extra = [renamed.get(token, token) for token in self.extra_special_tokens] + [token.content for token in new]
        old = [token for _, token in sorted(self.added_tokens_decoder.items())]
        unknown = renamed.keys() - {token.content for token in old}
        if unknown:
            raise ValueError(f"`special_tokens_map` renames {sorted(unknown)}: choose from {self.all_special_tokens}.")
        tokens = {token.content: token for token in [*(_rename(token, renamed) for token in old), *new]}
        return self._train(
            self.backend_tokenizer,
            text_iterator,
            list(tokens.values()),
            vocab_size,
            length,
            show_progress,
            kind=kind,
            min_frequency=min_frequency,
            **named,
            extra_special_tokens=list(dict.fromkeys(extra)),
            add_bos_token=self.add_bos_token,
            add_eos_token=self.add_eos_token,
            add_prefix_space=self.add_prefix_space,
            padding_side=self.padding_side,
            truncation_side=self.truncation_side,
            model_max_length=self.model_max_length,
            chat_template=self.chat_template,
            **{name: self.init_kwargs[name] for name in INPUT_OPTIONS if name in self.init_kwargs},
        )._with_encoder(self.encoder_backend)

    def _with_encoder(self, backend: Tokenizer | None):
        """The same tokenizer, which cuts texts for an encoder, too."""
        if backend is not None:
            self.encoder_backend = backend
            names = [name for name in self.model_input_names if name not in PIECE_NAMES]
            self.model_input_names = self.init_kwargs["model_input_names"] = [*names, *PIECE_NAMES]
        return self

    @classmethod
    def _train(
        cls,
        pipeline: Tokenizer,
        iterator: Iterable[str] | Iterable[list[str]],
        tokens: list[AddedToken],
        vocab_size: int,
        length: int | None,
        show_progress: bool,
        **init_kwargs,
    ):
        """Train a tokenizer with the steps of `pipeline`, whose first ids are those of `tokens`."""
        if not isinstance(vocab_size, int) or vocab_size <= len(tokens):
            raise ValueError(
                f"`vocab_size` is {vocab_size!r}: give a whole number above {len(tokens)}, the added tokens."
            )
        kind, min_frequency, unk_token = (init_kwargs[name] for name in ("kind", "min_frequency", "unk_token"))
        plain = {token.content for token in tokens if not token.special}  # before the trainer marks them all special
        common = {"vocab_size": vocab_size, "special_tokens": tokens, "show_progress": show_progress}
        trainer = _trainer(kind, min_frequency, unk_token, common)
        words = Counter() if init_kwargs.get("whole_words") else None
        pre_tokenizer = pipeline.pre_tokenizer if words is None else WHOLE
        backend = _untrained(kind, unk_token, pipeline.normalizer, pre_tokenizer, pipeline.decoder)

        texts, characters = _texts(iterator, tokens, words), Counter()
        if "max_word_length" in init_kwargs:
            texts = counted(texts, characters, init_kwargs.get("unicode_normalizer"))
        too_small = f"`vocab_size` is {vocab_size}, too small for the special tokens and the alphabet of the corpus"
        try:
            backend.train_from_iterator(texts, trainer, length)
        except Exception as error:
            if "vocabulary is not large enough" not in str(error):  # the words of the unigram trainer
                raise
            raise ValueError(f"{too_small}: raise it.") from error
        if backend.get_vocab_size() > vocab_size:
            raise ValueError(f"{too_small}: raise it to {backend.get_vocab_size()} or more.")
        if backend.get_vocab_size() == len(tokens):
            raise ValueError(
                f"`min_frequency` is {min_frequency}, and nothing in the corpus is so frequent: lower it."
            )

        if "max_word_length" in init_kwargs:
            init_kwargs["characters"] = known_characters(characters, init_kwargs["char_min_frequency"])
        if words is not None:
            normalized = Counter()  # as text is when it is cut
            for word, n in words.items():
                normalized[backend.normalizer.normalize_str(word) if backend.normalizer else word] += n
            backend.pre_tokenizer = words_of(word_pattern(normalized))
        state = json.loads(backend.to_str())
        if kind == "word":
            state["model"] = _as_word_piece(state["model"])
        for token in state["added_tokens"]:
            token["special"] = token["content"] not in plain
        return cls(tokenizer_object=Tokenizer.from_str(json.dumps(state)), **init_kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args, **kwargs):
        """
        As in transformers.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Id on the Hub, or a folder.
            args, kwargs (*optional*):
                Those of transformers. Of the options of training `add_prefix_space`, `add_bos_token`, `add_eos_token`
                and `max_word_length` can be changed here.

        Raises:
            `ValueError`: For a value of an option on which the ids depend other than that of training.
        """
        given = {name: kwargs.pop(name) for name in TRAINING_OPTIONS if name in kwargs}
        if "unicode_normalizer" in given:
            given["unicode_normalizer"] = _form(given["unicode_normalizer"])
        tokenizer = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        trained = tokenizer._trained_with() if given else {}
        for name, value in given.items():
            if value is not None and value != trained.get(name, False):
                raise ValueError(
                    f"`{name}` is {value!r}, but this tokenizer was trained with {trained.get(name, False)!r}, and "
                    "its ids depend on that. Leave it out, or train another one with `train_from_iterator`."
                )
        length, has_characters = kwargs.get("max_word_length"), tokenizer.char_vocab_size > 0
        if length is not None and not (has_characters and isinstance(length, int) and length > 1):
            raise ValueError(
                f"`max_word_length` is {length!r}: give a whole number from 2 up, of a tokenizer with `characters`."
            )
        return tokenizer

    @classmethod
    def _from_pretrained(cls, resolved_vocab_files, *args, **kwargs):
        of_encoder = resolved_vocab_files.pop(*_ENCODER_FILE, None)
        tokenizer = super()._from_pretrained(resolved_vocab_files, *args, **kwargs)
        if of_encoder is not None:
            tokenizer.encoder_backend = Tokenizer.from_file(of_encoder)
        for name in ("is_local", "local_files_only"):  # how it was loaded, which is not read again, is not saved
            tokenizer.init_kwargs.pop(name, None)
        return tokenizer

    def _trained_with(self) -> dict:
        """The options of training by their names, as far as they can be read off."""
        steps = str(self.backend_tokenizer.normalizer)
        found = {name: self.init_kwargs[name] for name in TRAINING_OPTIONS if name in self.init_kwargs}
        return found | {
            "vocab_size": len(self),
            "lowercase": "Lowercase" in steps,
            "do_lower_case": "Lowercase" in steps,
            "fold_digits": "Nd" in steps,
            "is_split_into_words": "whole_words" in self.init_kwargs,
            "split_punctuation": len(self.tokenize("a.b")) > 1,
            "keep_newlines": "\n" in self.added_tokens_encoder,
            "characters": self.char_vocab_size > 0,
            "word_shapes": self.shape_vocab_size > 0,
        }

    def with_bpe_dropout(self, rate: float):
        """
        A copy for training that leaves out merges at random: BPE-dropout (Provilkov et al., 2020). Each call cuts a
        text into other pieces, which decode to the same text. This tokenizer, by which texts are evaluated, stays as
        it is, and what either of them saves has no dropout.

        The texts have to be encoded anew each time that they are read. The random numbers are those of the
        `tokenizers` library, which no seed reaches.

        Args:
            rate (`float`): The probability that a merge is left out, 0.1 in the paper.

        Returns:
            [`LSTMTokenizer`]: The copy.

        Raises:
            `ValueError`: If `rate` is no number from 0 to 1, or the tokenizer is not of `kind="bpe"`.

        Example:

        ```python
        >>> from datasets import Dataset
        >>> from hf_lstm import LSTMTokenizer

        >>> pairs = Dataset.from_dict({"source": ["the cat sat"], "target": ["die Katze sass"]})
        >>> texts = [*pairs["source"], *pairs["target"]]
        >>> tokenizer = LSTMTokenizer.train_from_iterator(texts, "bpe", add_eos_token=True, show_progress=False)
        >>> noisy = tokenizer.with_bpe_dropout(0.1)
        >>> train = pairs.with_transform(lambda rows: noisy(rows["source"], text_target=rows["target"]))
        >>> tokenizer.decode(train[0]["input_ids"])  # for a trainer with `remove_unused_columns=False`
        'the cat sat</s>'
        ```
        """
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise ValueError(f"`rate` is {rate!r}: give a number from 0 to 1, such as 0.1.")
        noisy = copy.deepcopy(self)
        merging = [model for model in noisy._models() if hasattr(model, "dropout")]
        if not merging:
            kind = self.init_kwargs.get("kind")
            raise ValueError(f'`kind` is {kind!r}, without merges to leave out: train a tokenizer of `kind="bpe"`.')
        for model in merging:
            model.dropout = rate or None
        return noisy

    def _models(self) -> list[models.Model]:
        return [self.backend_tokenizer.model]

    @property
    def add_prefix_space(self) -> bool:
        """Whether a space is put before the text and before each given word: of `kind="bpe"`, an option to be set."""
        return bool(getattr(self._tokenizer.pre_tokenizer, "add_prefix_space", False))

    @add_prefix_space.setter
    def add_prefix_space(self, value: bool) -> None:
        step = self._tokenizer.pre_tokenizer
        if hasattr(step, "add_prefix_space"):
            step.add_prefix_space = bool(value)
            self._tokenizer.pre_tokenizer = step
        elif value:
            raise ValueError(f'`add_prefix_space` is {value!r}: leave it out, or train one of `kind="bpe"`.')

    @classmethod
    def convert_to_native_format(cls, **kwargs):
        # The library drops `add_bos_token` and `add_eos_token` from a saved folder and trusts the template in
        # tokenizer.json: the ids come out right, but the attributes would read False and setting one would unset the
        # other. Read them back from the template, unless it is not one of ours.
        tokenizer_file = kwargs.get("tokenizer_file")
        kwargs = super().convert_to_native_format(**kwargs)
        if tokenizer_file is not None:
            with open(tokenizer_file, encoding="utf-8") as file:
                template = (json.load(file).get("post_processor") or {}).get("single") or []
            added = {piece["SpecialToken"]["id"] for piece in template if "SpecialToken" in piece}
            if template and added <= {str(kwargs.get("bos_token")), str(kwargs.get("eos_token"))}:
                kwargs.setdefault("add_bos_token", "SpecialToken" in template[0])
                kwargs.setdefault("add_eos_token", "SpecialToken" in template[-1])
        return kwargs

    def _encode_plus(self, text, text_pair=None, **kwargs):
        if kwargs.get("is_split_into_words") and self.init_kwargs.get("kind") == "bpe" and not self.add_prefix_space:
            logger.warning_once(
                "`is_split_into_words=True` with `add_prefix_space=False`: given words get other ids than words in a "
                "text, before which a space stands. Train the tokenizer with `add_prefix_space=True`."
            )
        if not self.init_kwargs.get("whole_words"):
            return super()._encode_plus(text, text_pair, **kwargs)
        with _ENCODING:
            backend, of_text = self.backend_tokenizer, self.backend_tokenizer.pre_tokenizer
            if kwargs.get("is_split_into_words"):
                backend.pre_tokenizer = WHOLE
            try:
                return super()._encode_plus(text, text_pair, **kwargs)
            finally:
                backend.pre_tokenizer = of_text

    def _decode(self, token_ids, *args, **kwargs) -> str:
        try:
            return super()._decode(token_ids, *args, **kwargs)
        except OverflowError:
            raise ValueError(f"`token_ids` is {token_ids!r:.60}: put `pad_token_id` in place of -100.") from None

    def _save_pretrained(self, save_directory, file_names, legacy_format=None, filename_prefix=None):
        files = self._save_without_dropout(save_directory, file_names, legacy_format, filename_prefix)
        if self.encoder_backend is None:
            return files
        name = "-".join(filter(None, [filename_prefix, *_ENCODER_FILE.values()]))
        path = os.path.join(save_directory, name)
        self.encoder_backend.save(path)
        return (*files, path)

    def _save_without_dropout(self, *args, **kwargs):
        # Padding and truncation belong to the last call; saved, they would come back as defaults of the loaded one.
        self.backend_tokenizer.no_padding()
        self.backend_tokenizer.no_truncation()
        model = self.backend_tokenizer.model
        dropout = getattr(model, "dropout", None)  # belongs to training
        if dropout is None:
            return super()._save_pretrained(*args, **kwargs)
        model.dropout = None
        try:
            return super()._save_pretrained(*args, **kwargs)
        finally:
            model.dropout = dropout


def _check_options(kind: str, **options) -> None:
    """Refuse an unknown kind of tokenizer, and options that are not for it."""
    if kind not in KINDS:
        raise ValueError(f"`kind` is {kind!r}: choose one of {', '.join(map(repr, KINDS))}.")
    for name, value in options.items():
        if value is not None and kind not in OPTION_KINDS[name]:
            kinds = " or ".join(f'`kind="{other}"`' for other in OPTION_KINDS[name])
            raise ValueError(
                f'`{name}` is {value!r}, but `kind="{kind}"` has no such option: leave it out or use {kinds}.'
            )
    frequency = options.get("min_frequency")
    if frequency is not None and (not isinstance(frequency, int) or frequency < 1):
        raise ValueError(f"`min_frequency` is {frequency!r}: give a whole number from 1 up.")


def _check_special_tokens(named: dict[str, str], extra: Iterable[str]) -> list[str]:
    if isinstance(extra, str):
        raise ValueError(f"`extra_special_tokens` is the single string {extra!r}: give a list of strings.")
    extra = list(extra)
    for name, token in [*named.items(), *(("extra_special_tokens", token) for token in extra)]:
        if not isinstance(token, str) or not token:
            raise ValueError(f"`{name}` holds {token!r}: give a string that is not empty.")
    return extra


def _added_tokens(special: Iterable[str], keep_newlines: bool | None) -> list[AddedToken]:
    """The tokens that come first in the vocabulary, in this order, without duplicates."""
    tokens = [AddedToken(token, special=True, normalized=False) for token in dict.fromkeys(special)]
    if keep_newlines:
        tokens.append(AddedToken("\n", special=False, normalized=False))
    return tokens


def _input_options(
    cls,
    characters: bool,
    char_min_frequency: int | None,
    max_word_length: int | None,
    shapes: bool,
    context_tokenizer: TokenizersBackend | None,
):
    options = {"char_min_frequency": (char_min_frequency, 1, 1), "max_word_length": (max_word_length, 20, 2)}
    found = {}
    for name, (value, default, least) in options.items():
        if value is not None and not characters:
            raise ValueError(f"`{name}` is {value!r} without characters: leave it out or give `characters=True`.")
        value = default if value is None else value
        if not isinstance(value, int) or value < least:
            raise ValueError(f"`{name}` is {value!r}: give a whole number from {least} up.")
        if characters:
            found[name] = value
    names = [name for name, wanted in zip(INPUT_NAMES, (characters, shapes), strict=True) if wanted]
    if context_tokenizer is not None:
        found["context_vocab"] = _context_vocab(context_tokenizer)
        names += CONTEXT_NAMES
    if names:
        found["model_input_names"] = [*cls.model_input_names, *names]
    return found


def _context_vocab(tokenizer: TokenizersBackend) -> dict:
    """The ids that a tokenizer of characters gives to characters, to unknown ones and to what stands around a text."""
    kind = tokenizer.init_kwargs.get("kind")
    if kind != "char" or tokenizer.backend_tokenizer.normalizer is not None or tokenizer.pad_token_id != 0:
        raise ValueError(
            f'`context_tokenizer` is of kind {kind!r}: give an `LSTMTokenizer` of `kind="char"`, trained without '
            "`lowercase` and `fold_digits`, with which the language models were trained."
        )
    characters = {token: i for token, i in tokenizer.get_vocab().items() if len(token) == 1}
    boundary = characters.get("\n", tokenizer.eos_token_id)
    return {"characters": characters, "unknown": tokenizer.unk_token_id, "boundary": boundary}


def _form(unicode_normalizer: str | None) -> str | None:
    form = unicode_normalizer.lower() if isinstance(unicode_normalizer, str) else unicode_normalizer
    if form is not None and form not in FORMS:
        raise ValueError(f"`unicode_normalizer` is {unicode_normalizer!r}: give one of {FORMS}, or leave it out.")
    return form


def _normalizer(form: str | None, lowercase: bool, fold_digits: bool) -> normalizers.Normalizer | None:
    steps = [getattr(normalizers, form.upper())()] if form else []
    if lowercase:
        # The one capital whose small letter is two characters: a token is as long as the word that it stands for.
        steps += [normalizers.Replace("İ", "I"), normalizers.Lowercase()]
    if fold_digits:
        steps.append(normalizers.Replace(Regex(r"\p{Nd}"), "0"))
    return normalizers.Sequence(steps) if steps else None


def _pre_tokenizer(kind: str, split_punctuation: bool, add_prefix_space: bool) -> pre_tokenizers.PreTokenizer:
    if kind == "bpe":
        return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    if kind == "unigram":
        return pre_tokenizers.Metaspace()
    if kind == "wordpiece":
        return pre_tokenizers.BertPreTokenizer()
    if kind == "char":
        return pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return words_of(WORD_OR_PUNCTUATION if split_punctuation else r"\S+")


def _decoder(kind: str) -> decoders.Decoder:
    if kind == "bpe":
        return decoders.ByteLevel()
    if kind == "unigram":
        return decoders.Metaspace()
    if kind == "char":
        return decoders.Fuse()
    # A newline token stands without spaces around it.
    newlines = [decoders.Fuse(), decoders.Replace(Regex(r" ?\n ?"), "\n")]
    if kind == "wordpiece":
        return decoders.Sequence([decoders.WordPiece(), *newlines])
    return decoders.Sequence([decoders.Replace(Regex(r"\A"), " "), *newlines, decoders.Strip(" ", 1, 0)])


def _blank_model(kind: str, unk_token: str) -> models.Model:
    if kind == "bpe":
        return models.BPE()
    if kind == "unigram":
        return models.Unigram()
    if kind == "wordpiece":
        return models.WordPiece(unk_token=unk_token)
    return models.WordLevel(unk_token=unk_token)


def _untrained(kind: str, unk_token: str, normalizer, pre_tokenizer, decoder) -> Tokenizer:
    """A tokenizer with these steps, whose model has no vocabulary yet."""
    tokenizer = Tokenizer(_blank_model(kind, unk_token))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre_tokenizer, decoder
    return tokenizer


def _as_word_piece(model: dict) -> dict:
    """
    A model of whole words as a WordPiece that has no pieces, which gives the same ids. Pipelines take only tokenizers
    with such pieces for ones that know where words end, and would join others to what stands before them.
    """
    prefix = {"continuing_subword_prefix": " ", "max_input_chars_per_word": 1_000_000}  # no word begins with a space
    return {"type": "WordPiece", "unk_token": model["unk_token"], **prefix, "vocab": model["vocab"]}


def _trainer(kind: str, min_frequency: int | None, unk_token: str, common: dict) -> trainers.Trainer:
    if kind == "bpe":
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        return trainers.BpeTrainer(min_frequency=min_frequency or 2, initial_alphabet=alphabet, **common)
    if kind == "unigram":
        return trainers.UnigramTrainer(unk_token=unk_token, **common)
    if kind == "wordpiece":
        return trainers.WordPieceTrainer(min_frequency=min_frequency or 2, **common)
    return trainers.WordLevelTrainer(min_frequency=min_frequency or 1, **common)


def _texts(
    iterator: Iterable[str] | Iterable[list[str]], tokens: list[AddedToken], words: Counter | None
) -> Iterator[str]:
    """
    The texts of `iterator` cut at `tokens`, as encoding cuts them: counted as words, they would get a second id. With
    `words` they are given words, which are counted there.
    """
    if isinstance(iterator, (str, bytes, dict)) or not isinstance(iterator, Iterable):
        raise ValueError(
            f"`iterator` is {iterator!r:.60}: give an iterable of texts such as a list, or paths to "
            "`LSTMTokenizer.train_from_files`."
        )
    cut = re.compile("|".join(re.escape(token.content) for token in tokens if not token.single_word))
    empty = True
    for item in iterator:
        if words is not None and not isinstance(item, (list, tuple)):
            raise ValueError(
                f"`iterator` holds {item!r:.60}, but with `is_split_into_words=True` sentences are lists of words."
            )
        for text in item if isinstance(item, (list, tuple)) else [item]:
            if not isinstance(text, str):
                raise ValueError(f"`iterator` holds {text!r:.60}: give strings or lists of strings.")
            if words is not None and text.strip():
                words[text.strip()] += 1
            pieces = cut.split(text)
            empty = empty and not any(piece.strip() for piece in pieces)
            yield from pieces
    if empty:
        raise ValueError("`iterator` holds no text: check the files or texts that you train on.")


def _read_lines(paths: list[str | os.PathLike]) -> Iterator[str]:
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            yield from file


def _rename(token: AddedToken, renamed: dict[str, str]) -> AddedToken:
    return AddedToken(**{**token.__getstate__(), "content": renamed.get(token.content, token.content)})

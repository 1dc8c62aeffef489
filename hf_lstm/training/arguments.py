# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The arguments of the training scripts in `examples/`, as dataclasses for `HfArgumentParser`: what is read, how, and the
network that reads it. Each script adds `TrainingArguments`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments
from transformers.hf_argparser import HfArg

from ..data.pair_checks import script_of_language
from ..data.tag_schemes import infer_scheme
from ..data.vectors import MatchedVectors, match_vectors, read_vectors
from ..hub.cards import TrainingData
from ..models.configuration_encoder_decoder import RecurrentEncoderDecoderConfig
from ..models.tokenization_lstm import LSTMTokenizer
from ..models.tokenization_translation import TranslationTokenizer
from .adversarial import AdversarialTrainer
from .card_trainer import CardTrainer
from .encoder_arguments import EncoderArguments
from .transfer import FineTuningTrainer


# `TrainingArguments` that the examples set in common, and more of them where the best epoch is kept.
RECIPE = {
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,
    "weight_decay": 0.05,
    "save_strategy": "epoch",
    "dataloader_pin_memory": False,
}
BEST_EPOCH_RECIPE = RECIPE | {
    "logging_steps": 0.05,
    "eval_strategy": "epoch",
    "save_total_limit": 2,
    "load_best_model_at_end": True,
    "metric_for_best_model": "best",
}
PROMPTS = ["This module provides", "Return a list of"]
# The score that chooses the epoch of a classifier, by what a label is.
BEST = {"single_label_classification": "accuracy", "multi_label_classification": "f1", "regression": "loss"}
# What a classifier that begins as a language model does not take from it.
_HEAD_FIELDS = ("pooling", "word_dropout", "input_dropout", "output_dropout", "variational_dropout", "problem_type")
_HEAD_FIELDS += ("id2label", "label2id", "unk_token_id")
_NGRAMS = ("ngram_buckets", "ngram_order", "char_ngram_order")
_HEAD_FIELDS += _NGRAMS


class _Source:
    """What the arguments of all data say: where they come from."""

    @property
    def built_in(self) -> bool:
        """Whether it is the documentation that ships with CPython."""
        return not (self.train_file or self.dataset_name)

    @property
    def source(self) -> str:
        """What people call it."""
        files = self.train_file if isinstance(self.train_file, str) else " ".join(self.train_file or [])
        return self.dataset_name or files or "the documentation that ships with CPython"

    def training_data(self, splits: Mapping[str, Mapping[str, int]]) -> TrainingData:
        """
        What the card says of it.

        Args:
            splits (`Mapping[str, Mapping[str, int]]`): How much of what is in each split.
        """
        on_hub = self.dataset_name is not None and not Path(self.dataset_name).exists()
        names = {"hub_id": self.dataset_name, "config": self.dataset_config_name} if on_hub else {}
        return TrainingData(self.source, splits, **names)


@dataclass
class _CardArguments:
    """What the model card says that nobody can measure."""

    language: str | None = HfArg(default=None, help="For the model card: the language of the texts, as 'en'.")
    license: str | None = HfArg(default=None, help="For the model card: the licence of the model, as 'apache-2.0'.")

    @property
    def card(self) -> dict:
        """Arguments of `create_model_card`."""
        return {"language": self.language, "license": self.license}


@dataclass
class TextArguments(_Source):
    """What to train on: files, a dataset of the Hub, or by default the documentation that ships with CPython."""

    train_file: list[str] | None = field(
        default=None, metadata={"help": "Text to train on: txt, tokens, raw, json, jsonl, csv, tsv or parquet files."}
    )
    validation_file: str | None = HfArg(default=None, help="Text to evaluate on; else a tenth of the documents.")
    test_file: str | None = HfArg(default=None, help="Text for the final perplexity.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    text_column: str = HfArg(default="text", help="The column that holds the text.")
    sample_by: Literal["line", "paragraph", "document"] = HfArg(
        default="line", help="A document in a txt file; the end of each, be it a line, is learned as a token, </s>."
    )
    encoding: str = HfArg(default="utf-8", help="Encoding of the files.")
    keep_blank: bool = HfArg(default=False, help="Keep documents without text, for their end: lines of WikiText.")
    streaming: bool = HfArg(default=False, help="Read the text while training: it need not fit memory or disk.")
    held_out_documents: int = HfArg(default=1000, help="With --streaming, the first ones, to evaluate on.")


@dataclass
class ReadingArguments(_CardArguments):
    """The tokenizer, and how the network goes through the text."""

    tokenizer_kind: Literal["word", "char", "bpe", "unigram", "wordpiece"] = HfArg(default="bpe", help="Its tokens.")
    vocab_size: int = HfArg(default=2000, help="The most tokens in the vocabulary.")
    split_punctuation: bool = HfArg(default=True, help="With words: punctuation is apart; else white space decides.")
    reverse: bool = HfArg(default=False, help="Read each document from its last token to its first.")
    tokenizer_documents: int = HfArg(default=100_000, help="With --streaming, how many the tokenizer learns from.")
    shuffle_buffer: int = HfArg(default=10_000, help="With --streaming, blocks to draw from at random; 0: in order.")
    block_size: int = HfArg(default=128, help="Tokens predicted in a block; the network starts each block afresh.")
    stateful: bool = HfArg(default=False, help="Carry the state from block to block, through streams of the text.")
    variable_length: bool = HfArg(default=False, help="With --stateful: blocks of random lengths around block_size.")
    reset_at: Literal["stream", "document"] = HfArg(default="stream", help="With --stateful: where to start afresh.")
    non_monotone_interval: int | None = HfArg(
        default=None, help="Average the weights once so many evaluations were no better (NT-ASGD)."
    )
    gradient_flow: int | None = HfArg(
        default=None, help="Measure every so many steps how far gradients reach, and warn if they vanish or explode."
    )
    prompts: list[str] = field(default_factory=PROMPTS.copy, metadata={"help": "Texts that the model continues."})

    def tokenizer_options(self) -> dict:
        """The arguments of `LSTMTokenizer.train_from_iterator`."""
        options = {"split_punctuation": self.split_punctuation} if self.tokenizer_kind == "word" else {}
        return options | {"kind": self.tokenizer_kind, "vocab_size": self.vocab_size}

    def trainer_options(self) -> dict:
        """The arguments of `StatefulTrainer`."""
        return {
            "sequence_length": self.block_size,
            "reset_at": self.reset_at,
            "variable_length": self.variable_length,
        }

    def check_streaming(self, training_args: TrainingArguments) -> None:
        """
        Refuse what a stream does not go with, and give each process whole batches.

        Args:
            training_args (`TrainingArguments`): The others; `dataloader_drop_last` is set.

        Raises:
            `ValueError`: for a run without `max_steps`, and for `stateful`.
        """
        if training_args.max_steps < 1:
            raise ValueError(
                f"`max_steps` is {training_args.max_steps} with `streaming`: give it, a stream has no length."
            )
        if self.stateful:
            raise ValueError(
                "`stateful` does not go with `streaming`, since rows are cut from the whole of a text. Leave out one "
                "of them, or give `StatefulTrainer` token ids in a file, as a `numpy.memmap` of type int64."
            )
        training_args.dataloader_drop_last = True


@dataclass
class LanguageModelArguments:
    """The network: fields of its configuration, and one dropout rate for what has none of its own."""

    model_type: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    hidden_size: int = HfArg(default=384, help="Units of a layer.")
    num_hidden_layers: int = HfArg(default=1, help="Layers.")
    hidden_sizes: list[int] | None = field(
        default=None, metadata={"help": "Units of each layer, instead of these two."}
    )
    embedding_size: int | None = HfArg(default=None, help="Size of the token embeddings; else that of the last layer.")
    dropout: float = HfArg(default=0.3, help="Dropout rate on embeddings, between layers and on the output.")
    input_dropout: float | None = HfArg(default=None, help="Another rate on embeddings.")
    hidden_dropout: float | None = HfArg(default=None, help="Another rate between layers.")
    output_dropout: float | None = HfArg(default=None, help="Another rate on the output.")
    embedding_dropout: float = HfArg(default=0.0, help="Rate of tokens that a batch lacks altogether.")
    recurrent_weight_dropout: float = HfArg(default=0.0, help="Dropout rate on the hidden-to-hidden weights.")
    variational_dropout: bool = HfArg(default=True, help="One dropout mask for all steps of a sequence.")
    activation_regularization: float = HfArg(default=0.0, help="Penalty on large outputs.")
    temporal_activation_regularization: float = HfArg(default=0.0, help="Penalty on outputs that change.")
    tie_word_embeddings: bool = HfArg(default=True, help="The output layer has the weights of the embedding.")
    output_layer: Literal["softmax", "adaptive", "mixture"] = HfArg(default="softmax", help="For large vocabularies.")
    num_softmaxes: int = HfArg(default=10, help="Softmaxes in a mixture.")
    initializer: Literal["orthogonal", "uniform"] = HfArg(default="orthogonal", help="Weights to begin with.")
    initializer_range: float = HfArg(default=0.2, help="Standard deviation of the embeddings to begin with.")

    def fields(self, tokenizer: PreTrainedTokenizerBase) -> dict:
        """
        The arguments of `AutoConfig.for_model`.

        Args:
            tokenizer (`PreTrainedTokenizerBase`): The tokenizer of the model.
        """
        given = {name: value for name, value in vars(self).items() if name != "dropout" and value is not None}
        layers = self.num_hidden_layers
        if self.hidden_sizes:
            layers = len(self.hidden_sizes)
            del given["hidden_size"], given["num_hidden_layers"]
        given = {"hidden_dropout": self.dropout if layers > 1 else 0.0, **given}
        given = {"input_dropout": self.dropout, "output_dropout": self.dropout, **given}
        ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
        return {**given, "vocab_size": len(tokenizer), **ids}


class _LabellingArguments:
    """What the networks of taggers and classifiers have in common: words, under one dropout rate, get labels."""

    def known_words(self) -> list[str]:
        """The words of the pretrained vectors, as often as a tokenizer has to meet a word to know it."""
        words = read_vectors(self.vectors, skip_bad_lines=self.skip_bad_lines).words if self.vectors else []
        return words * self.min_frequency

    def matched_vectors(self, vocab: Mapping[str, int]) -> MatchedVectors | None:
        """
        The pretrained vectors of a vocabulary.

        Args:
            vocab (`Mapping[str, int]`): Ids of words, as `tokenizer.get_vocab()` returns them.
        """
        return match_vectors(vocab, self.vectors, skip_bad_lines=self.skip_bad_lines) if self.vectors else None

    def _fields(
        self, tokenizer: PreTrainedTokenizerBase, label_names: list[str], vectors: MatchedVectors | None
    ) -> dict:
        same = ("model_type", "embedding_size", "hidden_size", "num_hidden_layers", "word_dropout")
        sizes = {name: getattr(tokenizer, name) for name in ("char_vocab_size", "shape_vocab_size")}
        return {
            **{name: getattr(self, name) for name in same},
            **sizes,
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "unk_token_id": tokenizer.unk_token_id,
            "input_dropout": self.dropout,
            "hidden_dropout": self.dropout if self.num_hidden_layers > 1 else 0.0,
            "output_dropout": self.dropout,
            "variational_dropout": True,
            "id2label": dict(enumerate(label_names)),
            "label2id": {name: i for i, name in enumerate(label_names)},
            **({"embedding_size": vectors.matrix.shape[1]} if vectors else {}),
        }


@dataclass
class TaggedArguments(_Source):
    """What to train on: files, a dataset of the Hub, or by default the documentation that ships with CPython."""

    train_file: str | None = HfArg(default=None, help="Columns with a token a line, or json, jsonl, csv, parquet.")
    validation_file: str | None = HfArg(default=None, help="The same to choose the epoch; else a tenth of the rows.")
    test_file: str | None = HfArg(default=None, help="The same for the final scores; else those are of validation.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    token_column: str | None = HfArg(default=None, help="Tokens: name, or index in columns; else 'tokens', or 0.")
    tag_column: str | None = HfArg(default=None, help="Tags: name, or index in columns; else 'tags', or -1.")
    separator: str | None = HfArg(default=None, help="What separates columns; else a tab, or spaces.")
    comment: str | None = HfArg(default=None, help="How lines of a column file begin that are left out.")
    encoding: str = HfArg(default="utf-8", help="Encoding of the files.")


@dataclass
class TaggerArguments(_LabellingArguments, _CardArguments):
    """The tokenizer and the network."""

    tag_scheme: str = HfArg(default="BIOES", help="Scheme of entities inside the model, which takes and gives BIO.")
    data_scheme: str | None = HfArg(
        default=None,
        help="Scheme of the tags in the data: needed for letters alone, as B, M, E, S; 'none': they are classes.",
    )
    min_frequency: int = HfArg(default=2, help="Rarer words are known by their characters only.")
    vectors: str | None = HfArg(default=None, help="Pretrained word vectors: GloVe, word2vec or fastText.")
    skip_bad_lines: bool = HfArg(default=False, help="Leave out damaged lines of the vectors, and count them.")
    context_models: list[str] = field(
        default_factory=list, metadata={"help": "Two language models of characters: of texts, and of reversed texts."}
    )
    model_type: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    embedding_size: int = HfArg(default=100, help="Size of word embeddings; pretrained ones bring theirs.")
    hidden_size: int = HfArg(default=192, help="Units of a layer, in each direction.")
    num_hidden_layers: int = HfArg(default=2, help="Layers.")
    char_encoder: Literal["cnn", "recurrent"] = HfArg(default="cnn", help="How characters are read.")
    dropout: float = HfArg(default=0.5, help="Dropout rate on embeddings, between layers and on the output.")
    recurrent_weight_dropout: float = HfArg(default=0.0, help="Rate of recurrent weights dropped at each step.")
    word_dropout: float = HfArg(default=0.1, help="Rate of words that training hides, so that characters count.")
    lm_loss_coef: float = HfArg(default=0.0, help="Weight of the loss of predicting neighbouring words.")
    char_dropout: float = HfArg(
        default=0.0, help="Rate of characters that training hides, wherever they occur in a batch."
    )
    average: float = HfArg(default=0.0, help="Decay of the average of weights that is evaluated and kept; 0: none.")
    use_crf: bool = HfArg(default=True, help="Choose tags together, by a CRF.")
    max_tokens: int = HfArg(default=800, help="Tokens in a batch, padding included.")
    patience: int = HfArg(default=5, help="Epochs without a better score after which training ends.")
    sentences: list[str] = field(default_factory=list, metadata={"help": "Texts that the trained model tags."})

    def scheme_of(self, sentences: Iterable[Sequence[str]]) -> str | None:
        """
        The scheme of the tags of the data, `None` if they are plain classes: as given, or else read off them.

        Args:
            sentences (`Iterable[Sequence[str]]`): Tags of sentences.
        """
        if self.data_scheme is None:
            return infer_scheme(sentences)
        return None if self.data_scheme == "none" else self.data_scheme

    def tokenizer_options(self) -> dict:
        """The arguments of `LSTMTokenizer.train_from_iterator`: words as they are in the data, with all they show."""
        return {
            "kind": "word",
            "is_split_into_words": True,
            "lowercase": True,
            "fold_digits": True,
            "min_frequency": self.min_frequency,
            "characters": True,
            "word_shapes": True,
        }

    def fields(
        self,
        tokenizer: PreTrainedTokenizerBase,
        label_names: list[str],
        of_entities: bool,
        vectors: MatchedVectors | None = None,
        contexts: Sequence[PreTrainedModel] = (),
    ) -> dict:
        """
        The arguments of `AutoConfig.for_model`.

        Args:
            tokenizer (`PreTrainedTokenizerBase`): The tokenizer of the model.
            label_names (`list[str]`): Names of the K labels, in the order of their ids.
            of_entities (`bool`): Whether the labels are tags of entities, in BIO.
            vectors ([`~vectors.MatchedVectors`], *optional*): Pretrained vectors of words.
            contexts (`Sequence[PreTrainedModel]`, *optional*): The language models of `context_models`.
        """
        same = ("char_encoder", "char_dropout", "lm_loss_coef", "recurrent_weight_dropout", "use_crf")
        fields = self._fields(tokenizer, label_names, vectors) | {name: getattr(self, name) for name in same}
        fields["tag_scheme"] = self.tag_scheme if of_entities else "none"
        fields["context_models"] = [language_model.config.to_dict() for language_model in contexts] or None
        return fields


@dataclass
class ClassifiedArguments(_Source):
    """What to train on: files, a dataset of the Hub, or by default the documentation that ships with CPython."""

    train_file: str | None = HfArg(default=None, help="A json, jsonl, csv, tsv, parquet file, or lines: label, text.")
    validation_file: str | None = HfArg(default=None, help="The same to choose the epoch; else a tenth of the texts.")
    test_file: str | None = HfArg(default=None, help="The same for the final scores; else those are of validation.")
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    text_column: str = HfArg(default="text", help="The column that holds the text.")
    label_column: str = HfArg(default="label", help="The column of the label, labels or number.")
    separator: str | None = HfArg(default=None, help="What separates label and text of a line; else a tab or a space.")
    label_end: str | None = HfArg(default=None, help="What ends the part of a label that counts, as ':' in LOC:city.")
    encoding: str = HfArg(default="utf-8", help="Encoding of the files.")
    problem_type: Literal[tuple(BEST)] = HfArg(default="single_label_classification", help="What a label is.")


@dataclass
class ClassifierArguments(_LabellingArguments, _CardArguments):
    """The tokenizer and the network."""

    pretrained_model: str | None = HfArg(default=None, help="A language model, whose tokenizer and layers to take.")
    from_scratch: bool = HfArg(default=False, help="Do not take its weights: what is its training worth?")
    discriminative: bool = HfArg(default=False, help="Lower layers learn more slowly; slanted triangular rates.")
    gradual_unfreezing: bool = HfArg(default=False, help="One more layer learns with each epoch, from the top.")
    tokenizer_kind: Literal["word", "char", "bpe", "unigram", "wordpiece"] = HfArg(default="word", help="Its tokens.")
    vocab_size: int = HfArg(default=10_000, help="The most tokens in the vocabulary.")
    min_frequency: int = HfArg(default=2, help="Rarer words are unknown.")
    vectors: str | None = HfArg(default=None, help="Pretrained word vectors: GloVe, word2vec or fastText.")
    skip_bad_lines: bool = HfArg(default=False, help="Leave out damaged lines of the vectors, and count them.")
    characters: bool = HfArg(default=False, help="Read the characters of words and their shapes too.")
    max_length: int = HfArg(default=256, help="Tokens of a text that are read.")
    model_type: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    pooling: Literal["last", "mean", "max", "concat", "attention"] = HfArg(default="concat", help="A text's vector.")
    embedding_size: int = HfArg(default=100, help="Size of word embeddings; pretrained ones bring theirs.")
    hidden_size: int = HfArg(default=100, help="Units of a layer, in each direction.")
    num_hidden_layers: int = HfArg(default=1, help="Layers.")
    dropout: float = HfArg(default=0.5, help="Dropout rate on embeddings, between layers and on the output.")
    word_dropout: float = HfArg(default=0.1, help="Rate of words that training hides.")
    ngram_buckets: int = HfArg(default=0, help="A linear model of n-grams beside the network, with so many hashes.")
    ngram_scale: float = HfArg(default=3.0, help="What its margins are multiplied by: 0 for the network alone.")
    ngram_order: int = HfArg(default=2, help="Tokens of its longest n-grams.")
    char_ngram_order: int = HfArg(default=5, help="With --characters: characters of those of words; 0: none.")
    pretraining_epochs: float = HfArg(default=0.0, help="How often the texts are read before, without their labels.")
    epsilon: float = HfArg(default=0.0, help="Length of adversarial changes to embeddings; 0: no such training.")
    adversarial: Literal["adversarial", "virtual"] = HfArg(default="adversarial", help="Which changes.")
    average: float = HfArg(default=0.0, help="Decay of the average of weights that is evaluated and kept; 0: none.")
    patience: int = HfArg(default=5, help="Epochs without a better score after which training ends.")

    def __post_init__(self):
        if self.from_scratch and not self.pretrained_model:
            raise ValueError("`from_scratch` is True without a `pretrained_model`, whose network is meant. Give one.")
        if self.vectors and (self.pretrained_model or self.tokenizer_kind != "word"):
            other = "pretrained_model" if self.pretrained_model else "tokenizer_kind"
            raise ValueError(
                f"`vectors` are of words, which do not go with `{other}={getattr(self, other)!r}`. Leave out one."
            )
        if self.adversarial == "virtual" and not self.epsilon:
            raise ValueError("`adversarial` is 'virtual' without `epsilon`, the length of changes. Give one above 0.")

    def trainer(self, encoder: EncoderArguments) -> partial:
        """
        The trainer that is asked for, with its own arguments.

        Args:
            encoder ([`~encoder_arguments.EncoderArguments`]): Those of a pretrained encoder.

        Raises:
            `ValueError`: For a pretrained encoder beside a `pretrained_model`.
        """
        if self.pretrained_model and encoder.encoder:
            raise ValueError(
                f"`encoder` is {encoder.encoder!r}, which does not go with `pretrained_model="
                f"{self.pretrained_model!r}`, a network that reads none. Leave out one."
            )
        kinds = [AdversarialTrainer] * bool(self.epsilon) + [FineTuningTrainer] * self.discriminative
        base = type("ClassifierTrainer", (*kinds, CardTrainer), {}) if kinds else CardTrainer
        options = {"epsilon": self.epsilon, "kind": self.adversarial} if self.epsilon else {}
        return partial(partial(base) if self.discriminative else encoder.trainer(base), **options)

    def tokenizer_options(self, encoder: EncoderArguments) -> dict:
        """
        The arguments of `LSTMTokenizer.train_from_iterator`.

        Args:
            encoder ([`~encoder_arguments.EncoderArguments`]): Those of a pretrained encoder.
        """
        return {
            "encoder_tokenizer": encoder.tokenizer(),
            "kind": self.tokenizer_kind,
            "vocab_size": self.vocab_size,
            "lowercase": True,
            "fold_digits": self.characters,
            "characters": self.characters,
            "word_shapes": self.characters,
            **({"min_frequency": self.min_frequency} if self.tokenizer_kind != "unigram" else {}),
        }

    def config(
        self,
        tokenizer: PreTrainedTokenizerBase,
        label_names: list[str],
        problem_type: str,
        vectors: MatchedVectors | None = None,
    ) -> PreTrainedConfig:
        """
        The configuration of a new network, or that of `pretrained_model` under a new head.

        Args:
            tokenizer (`PreTrainedTokenizerBase`): The tokenizer of the model.
            label_names (`list[str]`): Names of the K labels, in the order of their ids.
            problem_type (`str`): What a label is, as in the configuration.
            vectors ([`~vectors.MatchedVectors`], *optional*): Pretrained vectors of words.
        """
        own = {"bidirectional": True, "problem_type": problem_type}
        own |= {name: getattr(self, name) for name in ("pooling", *_NGRAMS)}
        fields = self._fields(tokenizer, label_names, vectors) | own
        if not self.pretrained_model:
            return AutoConfig.for_model(**fields)
        if self.characters and not tokenizer.char_vocab_size:
            raise ValueError(
                f"`characters` is True, but the tokenizer of `pretrained_model`, {self.pretrained_model!r}, has none. "
                "Leave out one."
            )
        return AutoConfig.from_pretrained(self.pretrained_model, **{name: fields[name] for name in _HEAD_FIELDS})


@dataclass
class PairArguments(_Source):
    """What to train on: files, a dataset of the Hub, or by default 1,512 short English sentences in Chinese."""

    train_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "Pairs: a json, jsonl, csv, tsv or parquet file, a txt with tabs, or two parallel files, sources "
            "and targets."
        },
    )
    validation_file: list[str] | None = field(
        default=None, metadata={"help": "The same to choose the epoch; else a tenth of the pairs."}
    )
    test_file: list[str] | None = field(
        default=None, metadata={"help": "The same for the final scores; else those are of validation."}
    )
    dataset_name: str | None = HfArg(default=None, help="A dataset of the Hugging Face Hub, instead of files.")
    dataset_config_name: str | None = HfArg(default=None, help="The configuration of that dataset.")
    source_column: str | None = HfArg(default=None, help="The column of the source, name or number; else 'source'.")
    target_column: str | None = HfArg(default=None, help="The column of the target; else 'target'.")
    attribution_column: str | None = HfArg(default=None, help="The column that says whom a pair is from.")
    source_lang: str | None = HfArg(default=None, help="Its language, as 'en'; in objects of translations, its key.")
    target_lang: str | None = HfArg(default=None, help="The same of the target, which BLEU has to know.")
    separator: str | None = HfArg(default=None, help="What stands between cells of a csv or tsv.")
    encoding: str = HfArg(default="utf-8", help="Encoding of the files.")
    strict: bool = HfArg(default=False, help="Refuse files with pairs that seem wrong.")

    def __post_init__(self):
        if self.built_in:
            self.source_lang, self.target_lang = "en", "zh"
        elif self.target_lang is None:
            raise ValueError("`target_lang` is None: give the language of the targets, as 'de', by which BLEU counts.")

    @property
    def source(self) -> str:
        return "1,512 short English sentences of Tatoeba in Chinese" if self.built_in else super().source

    def training_data(self, splits: Mapping[str, Mapping[str, int]]) -> TrainingData:
        """As of the others, with the licence of the pairs that come along, which want their origin named."""
        found = super().training_data(splits)
        if not self.built_in:
            return found
        about = (
            "From [Tatoeba](https://tatoeba.org), under CC BY 2.0 FR; `tatoeba_en_zh.tsv` of hf_lstm names who wrote "
            "each pair. They are a toy, and no measure of translation."
        )
        return replace(found, license="cc-by-2.0", description=about)

    @property
    def languages(self) -> list[str]:
        """Those of the pairs, for the card."""
        return list(filter(None, (self.source_lang, self.target_lang)))


@dataclass
class TranslatorArguments:
    """The tokenizers, the network, and how it translates."""

    license: str | None = HfArg(default=None, help="For the model card: the licence of the model, as 'apache-2.0'.")
    source_tokenizer: Literal["auto", "word", "char", "bpe", "unigram", "wordpiece"] = HfArg(
        default="auto", help="Tokens of the source; auto: characters of Chinese and Japanese, else bpe."
    )
    target_tokenizer: Literal["auto", "word", "char", "bpe", "unigram", "wordpiece"] = HfArg(
        default="auto", help="Tokens of the target."
    )
    vocab_size: int = HfArg(default=5000, help="The most tokens in a vocabulary.")
    target_vocab_size: int | None = HfArg(
        default=None, help="The most in that of the target, if it is another number."
    )
    share_vocabulary: bool = HfArg(default=False, help="One vocabulary, and one embedding, for both languages.")
    bpe_dropout: float = HfArg(default=0.0, help="Rate of merges that training leaves out, of each side of bpe.")
    max_length: int = HfArg(default=100, help="Tokens of a side beyond which a pair is not trained on.")
    model_type: Literal["lstm", "gru", "rnn"] = HfArg(default="lstm", help="Kind of recurrent network.")
    embedding_size: int = HfArg(default=256, help="Size of token embeddings.")
    hidden_size: int = HfArg(default=256, help="Units of a layer, in each direction.")
    encoder_layers: int = HfArg(default=1, help="Layers of the encoder, which reads in both directions.")
    decoder_layers: int = HfArg(default=2, help="Layers of the decoder, the first of which attends.")
    attention: Literal["scaled_dot", "general", "additive"] = HfArg(default="scaled_dot", help="How it does so.")
    num_attention_heads: int = HfArg(default=1, help="Heads of the attention.")
    input_feeding: bool = HfArg(default=False, help="Feed what is written to the first layer: slow.")
    tie_word_embeddings: bool = HfArg(default=True, help="The output layer has the weights of the target's embedding.")
    dropout: float = HfArg(default=0.3, help="Dropout rate on embeddings, between layers and on the output.")
    label_smoothing: float = HfArg(default=0.1, help="What is taken from the right token and given to all.")
    initializer_range: float = HfArg(default=0.1, help="Standard deviation of the embeddings to begin with.")
    average: float = HfArg(default=0.0, help="Decay of the average of weights that is evaluated and kept; 0: none.")
    patience: int = HfArg(default=10, help="Evaluations without a better BLEU after which training ends.")
    num_beams: int = HfArg(default=5, help="Beams of the saved translator; greedy while training.")
    length_penalties: list[float] = field(
        default_factory=lambda: [1.0], metadata={"help": "Of beams; of several the best on the validation data."}
    )
    pictures: int = HfArg(default=3, help="Pictures of the attention to draw of the test data.")

    def __post_init__(self):
        for name, least in {"num_beams": 1, "pictures": 0}.items():  # what is used only after all the training
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` is {getattr(self, name)}: give at least {least}.")
        if self.pictures and find_spec("matplotlib") is None:  # else it would be told after all the training
            raise ImportError(
                f"`pictures` is {self.pictures}, which need matplotlib: `pip install matplotlib`, or set it to 0."
            )

    def kinds(self, languages: Sequence[str | None]) -> list[str]:
        """
        The kinds of both tokenizers.

        Args:
            languages (`Sequence[str]`): Those of source and target, or `None`.
        """
        given = (self.source_tokenizer, self.target_tokenizer)
        usual = ["char" if script_of_language(language) == "CJK" else "bpe" for language in languages]
        return [by if kind == "auto" else kind for kind, by in zip(given, usual, strict=True)]

    def tokenizer(self, pairs: Mapping[str, Sequence[str]], languages: Sequence[str | None]) -> LSTMTokenizer:
        """
        Train the tokenizer of both sides.

        Args:
            pairs (`Mapping[str, Sequence[str]]`): The texts of training, `"source"` and `"target"`.
            languages (`Sequence[str]`): Those of source and target, or `None`.

        Raises:
            `ValueError`: For a vocabulary that two kinds of tokens, or two sizes, are to share.
        """
        kind, target_kind = self.kinds(languages)
        sources, targets = pairs["source"], pairs["target"]
        if not self.share_vocabulary:
            sizes = {"vocab_size": self.vocab_size, "target_vocab_size": self.target_vocab_size}
            return TranslationTokenizer.train_from_iterator(
                (sources, targets), kind, target_kind=target_kind, show_progress=False, **sizes
            )
        if kind != target_kind:
            raise ValueError(
                f"`share_vocabulary` is True, but the source has tokens of kind {kind!r} and the target of "
                f"{target_kind!r}: give both `--source_tokenizer` and `--target_tokenizer` the same."
            )
        if self.target_vocab_size not in (None, self.vocab_size):
            raise ValueError(
                f"`share_vocabulary` is True, but `target_vocab_size` is {self.target_vocab_size} and `vocab_size` "
                f"{self.vocab_size}: leave the former out."
            )
        options = {"vocab_size": self.vocab_size, "add_eos_token": True, "show_progress": False}
        return LSTMTokenizer.train_from_iterator([*sources, *targets], kind, **options)

    def fields(self, tokenizer: LSTMTokenizer) -> dict:
        """
        The arguments of `AutoConfig.for_model`.

        Args:
            tokenizer ([`LSTMTokenizer`]): The tokenizer of both sides.
        """
        sizes = {"encoder": len(tokenizer), "decoder": len(getattr(tokenizer, "target", tokenizer))}
        layers = {"encoder": self.encoder_layers, "decoder": self.decoder_layers}
        own = {
            name: getattr(self, name) for name in ("model_type", "embedding_size", "hidden_size", "initializer_range")
        }
        ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
        parts = {
            name: {
                **own,
                **ids,
                "vocab_size": size,
                "num_hidden_layers": layers[name],
                "input_dropout": self.dropout,
                "hidden_dropout": self.dropout if layers[name] > 1 else 0.0,
                # On what the encoder gives, which is dropped between the layers that read it, it costs 1.5 BLEU on
                # validation data (32.9 against 34.5 after 4 epochs of Multi30k en-de, hidden size 256).
                "output_dropout": self.dropout if name == "decoder" else 0.0,
                "variational_dropout": True,
            }
            for name, size in sizes.items()
        }
        same = ("attention", "num_attention_heads", "input_feeding", "label_smoothing", "tie_word_embeddings")
        return {
            "model_type": RecurrentEncoderDecoderConfig.model_type,
            **parts,
            **{name: getattr(self, name) for name in same},
            "share_encoder_decoder_embeddings": self.share_vocabulary and self.tie_word_embeddings,
        }

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The fields that LSTM, GRU and RNN configurations share beside those of a stack, and the rules that hold between them:
of each head, and of a text.
"""

import copy
import inspect
import math
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers.utils import logging

from .configuration_stack import RecurrentStackConfig
from .encoder_options import EncoderOptions


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there

# More than any model has: to build the constraints of so many would take minutes.
_MOST_LABELS_OF_CRF = 5000

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
# What is read of whole words, which tokens that are being generated do not have.
FEATURES_OF_WORDS = ("char_vocab_size", "shape_vocab_size", "context_models", "encoder")
# With what else an output has seen the token that its direction reads next.
READ_ALONE = {"num_hidden_layers": 1, "layer_norm": False, "context_models": None, "encoder": None}
_OF_NO_HEAD = ("head", "tie_word_embeddings")  # declared by the options of a head, and no option of that head alone


@strict
class CausalLMOptions(RecurrentStackConfig):
    r"""
    What a language model has beside its backbone.

    Args:
        tie_word_embeddings (`bool`, defaults to `True`): Use the input embedding as output embedding (Press & Wolf
            2017), through a linear projection where the two sizes differ.
        output_layer (`str`, defaults to `"softmax"`): How a language model makes probabilities of features:
            `"softmax"`; `"adaptive"`: tokens in clusters by frequency, of which training computes only those that
            occur (Grave et al. 2017), for large vocabularies whose ids are sorted by falling frequency; `"mixture"`:
            a mixture of softmaxes (Yang et al. 2018). See `output_layers.py`, also for what each costs.
        adaptive_cutoffs (`list[int]`, *optional*): The first token of each cluster of an adaptive softmax. `None`
            means a 27th, a ninth and a third of `vocab_size`, which the model writes down here.
        adaptive_div_value (`float`, defaults to 2.0): Each cluster of an adaptive softmax that is not tied reads so
            many times fewer features than the one before, the first so many times fewer than the head. Clusters of a
            tied one are rows of the input embedding, all of the same size (Merity et al. 2018).
        num_softmaxes (`int`, defaults to 10): Number of softmaxes in a mixture, K.
        lm_head_bias (`bool`, defaults to `True`): Give the output layer of a language model a bias.
        activation_regularization (`float`, defaults to 0.0): What a language model adds to its training loss: this
            factor, alpha, times the mean square of the outputs of the last layer, after their dropout (Merity et al.
            2018, section 4.6). Label smoothing by Trainer takes the place of the model's loss, and of this.
        temporal_activation_regularization (`float`, defaults to 0.0): The same for beta and the mean square of the
            change of these outputs, before their dropout, from a token to the next.
    """

    head: ClassVar[str | None] = "ForCausalLM"

    tie_word_embeddings: bool = True
    output_layer: Literal["softmax", "adaptive", "mixture"] = "softmax"
    adaptive_cutoffs: list[int] | None = None
    adaptive_div_value: float | int = 2.0
    num_softmaxes: int = 10
    lm_head_bias: bool = True
    activation_regularization: float | int = 0.0
    temporal_activation_regularization: float | int = 0.0

    def validate_recurrent(self):
        """The rules of the stack, and those of the output layer."""
        super().validate_recurrent()
        self._finite("activation_regularization", "temporal_activation_regularization", or_zero=True)
        self._at_least(1, "num_softmaxes")
        if not (math.isfinite(self.adaptive_div_value) and self.adaptive_div_value >= 1):
            raise ValueError(
                f"`adaptive_div_value` must be a finite number of at least 1, got {self.adaptive_div_value!r}."
            )
        vocab_size = self.vocab_size or 0
        if self.output_layer == "adaptive" and vocab_size < 3:
            raise ValueError(
                f"`output_layer='adaptive'` needs at least 3 tokens, got `vocab_size={self.vocab_size!r}`. Use "
                "`output_layer='softmax'`."
            )
        cutoffs = [1] if self.adaptive_cutoffs is None else self.adaptive_cutoffs
        if not cutoffs or cutoffs != sorted(set(cutoffs)) or cutoffs[0] < 1 or cutoffs[-1] >= max(2, vocab_size):
            raise ValueError(
                f"`adaptive_cutoffs` must rise from 1 or more to vocab_size - 1 = {vocab_size - 1} at most, got "
                f"{cutoffs!r}. Use `None` for the usual ones."
            )


@strict
class TokenClassificationOptions(RecurrentStackConfig):
    r"""
    What a token classifier has beside its backbone.

    Args:
        use_crf (`bool`, defaults to `False`): Put a linear-chain CRF over the labels of a token classifier.
        tag_scheme (`str`, defaults to `"auto"`): The scheme in which the model decodes, and whose rules the CRF keeps:
            see [`LinearChainCRF`]. With labels named in BIO, `"BIOES"`, `"BILOU"` and `"BMES"` are private to the
            model: it takes and gives BIO, see [`TagFolding`].
        lm_loss_coef (`float`, defaults to 0.0): What a token classifier of one layer adds to its training loss: this
            factor, gamma, times the loss of predicting from the output of each direction the token that it reads next
            (Rei 2017, section 4, with the input embedding as output embedding). More is learnt from little data; an
            output over the vocabulary is computed, in training only.
    """

    head: ClassVar[str | None] = "ForTokenClassification"

    use_crf: bool = False
    tag_scheme: str = "auto"
    lm_loss_coef: float | int = 0.0

    def validate_recurrent(self):
        """The rules of the stack, and those of the additional loss."""
        super().validate_recurrent()
        if self.use_crf and self.num_labels > _MOST_LABELS_OF_CRF:
            raise ValueError(
                f"`use_crf=True` has a transition for each pair of labels, and takes at most {_MOST_LABELS_OF_CRF} of "
                f"them, got `num_labels={self.num_labels}`. Look at the labels, or set `use_crf=False`."
            )
        self._finite("lm_loss_coef", or_zero=True)
        for name, value in READ_ALONE.items() if self.lm_loss_coef else ():
            if (given := getattr(self, name)) != value:
                raise ValueError(
                    f"`lm_loss_coef={self.lm_loss_coef!r}` asks each direction for the token that it reads next, "
                    f"which it has seen with `{name}={given if type(given) in (bool, int) else '...'}`. Set "
                    f"`{name}={value!r}`, or leave it out."
                )


@strict
class SequenceClassificationOptions(RecurrentStackConfig):
    r"""
    What a classifier of sequences has beside its backbone.

    Args:
        pooling (`str`, defaults to `"concat"`): How a sequence classifier makes one vector of a sequence: `"last"`,
            `"mean"`, `"max"`, `"concat"` or `"attention"`. See [`SequencePooler`].
        ngram_buckets (`int`, defaults to 0): Above 0, a linear model of the n-grams of a text, which are told apart by
            so many hashes, adds to the logits but in training. See [`NgramScores`].
        ngram_order (`int`, defaults to 2): Tokens of the longest n-grams.
        char_ngram_order (`int`, defaults to 5): Characters of the longest n-grams of a word, where the model reads
            characters; below 3 for none.
    """

    head: ClassVar[str | None] = "ForSequenceClassification"

    pooling: Literal["last", "mean", "max", "concat", "attention"] = "concat"
    ngram_buckets: int = 0
    ngram_order: int = 2
    char_ngram_order: int = 5

    def validate_recurrent(self):
        """The rules of the stack, the three kinds of labels, and n-grams."""
        super().validate_recurrent()
        self._at_least(0, "ngram_buckets", "char_ngram_order")
        self._at_least(1, "ngram_order")
        if self.ngram_buckets and self.vocab_size is None:
            raise ValueError(
                f"`ngram_buckets={self.ngram_buckets!r}` are of tokens, of which there are none with "
                "`vocab_size=None`. Leave one of the two out."
            )
        if self.problem_type not in (None, *PROBLEM_TYPES):
            kinds = ", ".join(PROBLEM_TYPES)
            raise ValueError(f"`problem_type` must be one of {kinds} or None, got {self.problem_type!r}.")


@strict
class RecurrentConfig(CausalLMOptions, TokenClassificationOptions, SequenceClassificationOptions, EncoderOptions):
    r"""
    Base of [`LSTMConfig`], [`GRUConfig`] and [`RNNConfig`]: a stack that reads a text. The fields of a stack are
    described in [`RecurrentStackConfig`], those of a head in [`CausalLMOptions`], [`TokenClassificationOptions`] and
    [`SequenceClassificationOptions`], the bases of this class: another head refuses them.

    Args:
        vocab_size (`int`, *optional*, defaults to 10000): Number of tokens, V. `None` for a model that reads features,
            `inputs_embeds` of shape `(B, T, embedding_size)`, such as those of a signal.
        embedding_size (`int`, *optional*): Size of a token embedding, E. `None` means the size of the stack's output,
            so that input and output embeddings can be tied without a projection. 0 where words are read
            by their characters, shapes, context or `encoder` alone.
        embedding_dropout (`float`, defaults to 0.0): Rate at which whole token types are dropped from a batch, all
            their occurrences together (Gal & Ghahramani 2016, section 4.2; Merity et al. 2018, section 4.3).
        word_dropout (`float`, defaults to 0.0): Rate at which tokens become `unk_token_id` in training, so that the
            model learns to do without the embedding of a word.
        char_vocab_size (`int`, defaults to 0): Number of characters, 0 for the padding of a word included. Above 0,
            the models read `char_ids` beside the tokens: `tokenizer.char_vocab_size`.
        char_embedding_size (`int`, defaults to 30): Size of a character embedding.
        char_hidden_size (`int`, defaults to 50): Features of a word from its characters.
        char_encoder (`str`, defaults to `"cnn"`): `"cnn"`: the maxima of convolution filters (Ma & Hovy 2016);
            `"recurrent"`: the final states of a layer of the model's own family in both directions (Lample et al.
            2016).
        char_kernel_size (`int`, defaults to 3): Characters that a filter sees, an odd number.
        char_dropout (`float`, defaults to 0.0): Dropout rate on the character embeddings, the same for all
            occurrences of a character in a batch.
        shape_vocab_size (`int`, defaults to 0): Number of word shapes. Above 0, the models read `shape_ids` beside the
            tokens: `tokenizer.shape_vocab_size`.
        shape_embedding_size (`int`, defaults to 10): Size of the embedding of a word shape.
        context_models (`list` of two `dict`, *optional*): Configurations of two language models of characters of the
            same family, one for reading forwards and one for reading backwards, whose states the models read beside
            the tokens: `[forward.config.to_dict(), backward.config.to_dict()]`. See [`ContextEncoder`].
        context_projection_size (`int`, *optional*): Project these states to this size. `None` for no projection.
        context_dropout (`float`, defaults to 0.0): Dropout rate on these states.
        train_context_models (`bool`, defaults to `False`): Train the two language models too, which are otherwise
            frozen and read without dropout.
        pad_token_id, unk_token_id, bos_token_id, eos_token_id (`int`, *optional*): Special tokens, smaller than
            `vocab_size`.

    Raises:
        `ValueError`: For a value out of range, a pair of values that cannot work, or a misspelt name.
        `huggingface_hub.errors.StrictDataclassFieldValidationError`: For a value of the wrong type.
    """

    head: ClassVar[str | None] = None
    # What `Trainer.evaluate` leaves out, so that metrics get the logits alone.
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "cache",
        "past_key_values",
        "predictions",
        "marginals",
        "entity_probabilities",
    ]

    vocab_size: int | None = 10000
    embedding_size: int | None = None
    embedding_dropout: float | int = 0.0
    word_dropout: float | int = 0.0
    char_vocab_size: int = 0
    char_embedding_size: int = 30
    char_hidden_size: int = 50
    char_encoder: Literal["cnn", "recurrent"] = "cnn"
    char_kernel_size: int = 3
    char_dropout: float | int = 0.0
    shape_vocab_size: int = 0
    shape_embedding_size: int = 10
    context_models: list[dict] | None = None
    context_projection_size: int | None = None
    context_dropout: float | int = 0.0
    train_context_models: bool = False
    pad_token_id: int | None = None
    unk_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    @property
    def input_size(self) -> int:
        """Size of a token embedding, E."""
        return self.output_size if self.embedding_size is None else self.embedding_size

    @property
    def feature_size(self) -> int:
        """Size of what the first layer reads: the token embedding, with all other features that there are."""
        char_size = self.char_hidden_size if self.char_vocab_size else 0
        shape_size = self.shape_embedding_size if self.shape_vocab_size else 0
        return self.input_size + char_size + shape_size + self.context_size + self.encoder_size

    @property
    def context_size(self) -> int:
        """Size of what the language models of characters tell of a token; 0 without them."""
        if not self.context_models or self.context_projection_size is not None:
            return self.context_projection_size or 0
        return sum(config.output_size for config in self.context_configs)

    @property
    def context_configs(self) -> list["RecurrentConfig"]:
        """The configurations of the language models of characters, forward and backward."""
        return [type(self).from_dict(fields) for fields in self.context_models or ()]

    def for_head(self, head: str, options_class: type | None) -> "RecurrentConfig":
        """
        The configuration for a head: itself, or without the options of other heads that a file brought along, as when
        a language model is fine-tuned into a classifier.

        Args:
            head (`str`): The class that is built, to be named in errors.
            options_class (`type`, *optional*): Whose options it has, such as [`CausalLMOptions`].

        Raises:
            `ValueError`: For an option of another head that somebody has set.
        """
        config, own, read = self, getattr(options_class, "__name__", None), getattr(self, "_read", {})
        for options in (each for each in type(self).__mro__ if vars(each).get("head")):
            # By name: in a saved folder the head and its configuration may each have a copy of the class.
            for name in [] if options.__name__ == own else self._changed(options):
                value = getattr(self, name)
                if name not in read or read[name] != value:
                    other = type(self).__name__.removesuffix("Config") + options.head
                    raise ValueError(
                        f"`{name}={value!r:.60}` is an option of `{other}`, and has no effect on `{head}`. Leave it "
                        f"out, or build a `{other}`."
                    )
                config = copy.deepcopy(self) if config is self else config
                setattr(config, name, getattr(type(self), name))
                logger.info(f"`{name}={value!r:.60}` of the file is left out: `{head}` does not have it.")
        return config

    def _changed(self, options: type) -> list[str]:
        """The options of a head that differ from their defaults."""
        own = [name for name in inspect.get_annotations(options) if name not in _OF_NO_HEAD]
        return [name for name in own if getattr(self, name) != getattr(type(self), name)]

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """As in [`RecurrentStackConfig`]; what a head refuses is what was set, not what a file brought along."""
        loaded = super().from_dict(config_dict, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        config._read = {name: value for name, value in config_dict.items() if name not in kwargs}
        if "num_labels" in kwargs:
            config._read.pop("id2label", None)
        return loaded

    def _remove_keys_not_serialized(self, d: dict[str, Any]) -> None:
        super()._remove_keys_not_serialized(d)
        d.pop("_read", None)

    def validate_recurrent(self):
        """The rules of the stack and of the heads, and those of a text."""
        self._at_least(1, "vocab_size")
        self._at_least(0, "embedding_size")
        super().validate_recurrent()
        self._probabilities("embedding_dropout", "char_dropout", "word_dropout", "context_dropout")
        self._validate_vocabulary()
        self._validate_special_tokens()
        self._validate_word_features()
        self._validate_context_models()

    def _validate_vocabulary(self):
        if self.vocab_size is not None:
            return
        if self.embedding_size is None:
            raise ValueError(
                "`vocab_size=None` is for a model that reads features, whose size is `embedding_size`, which is None. "
                "Set it to the number of features of a step."
            )
        for name in ("embedding_dropout", "word_dropout", "lm_loss_coef"):
            if value := getattr(self, name):
                raise ValueError(f"`{name}={value!r}` needs tokens, of which there are none with `vocab_size=None`.")

    def _validate_special_tokens(self):
        vocab_size = self.vocab_size or 0
        for name in ("pad_token_id", "unk_token_id", "bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            for token_id in value if isinstance(value, list) else [value]:
                if token_id is not None and self.vocab_size is None:
                    raise ValueError(f"`{name}={value!r}` names a token, of which there are none: set it to None.")
                if token_id is not None and not 0 <= token_id < vocab_size:
                    raise ValueError(
                        f"`{name}` must lie between 0 and vocab_size - 1 = {vocab_size - 1}, got {value!r}. "
                        f"Raise `vocab_size`, or set `{name}=None` if there is no such token."
                    )

    def _validate_word_features(self):
        for name in ("char_embedding_size", "char_hidden_size", "char_kernel_size", "shape_embedding_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be a whole number of at least 1, got {getattr(self, name)!r}.")
        for name in ("char_vocab_size", "shape_vocab_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)!r}. Use 0 for none.")
        if self.char_kernel_size % 2 == 0:
            raise ValueError(f"`char_kernel_size` must be odd, got {self.char_kernel_size!r}.")
        if self.char_encoder == "recurrent" and self.char_hidden_size % 2:
            raise ValueError(
                f"`char_hidden_size` must be even, half for each direction, with `char_encoder='recurrent'`, got "
                f"{self.char_hidden_size!r}."
            )
        if self.word_dropout and self.unk_token_id is None:
            raise ValueError(
                f"`word_dropout={self.word_dropout!r}` turns tokens into `unk_token_id`, which is None. Set it to "
                "`tokenizer.unk_token_id`."
            )

    def _validate_context_models(self):
        size = self.context_projection_size
        if size is not None and (size < 1 or not self.context_models):
            raise ValueError(
                f"`context_projection_size` must be at least 1 and needs `context_models`, got {size!r}. Use None for "
                "no projection."
            )
        if self.context_models is None:
            return
        kinds = [fields.get("model_type") for fields in self.context_models]
        if kinds != [self.model_type] * 2:
            raise ValueError(
                f"`context_models` must be the configurations of two {self.model_type!r} models, one for each reading "
                f"direction, got {kinds}. Pass `[forward.config.to_dict(), backward.config.to_dict()]`."
            )
        forward, backward = self.context_configs
        if None in (forward.vocab_size, backward.vocab_size):
            raise ValueError("`context_models` read characters, but have `vocab_size=None`. Train them on characters.")
        if forward.vocab_size != backward.vocab_size:
            raise ValueError(
                f"`context_models` have `vocab_size` {forward.vocab_size} and {backward.vocab_size}, but read the "
                "same characters. Train both with one tokenizer."
            )
        for config in (forward, backward):
            if config.bidirectional or config.feature_size != config.input_size:
                raise ValueError(
                    "`context_models` must be language models in one direction without features of words. Pass the "
                    "configurations of two models for causal language modelling."
                )


__all__ = ["RecurrentConfig"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What `generate` asks of a recurrent model: its cache, its inputs, and a loop for greedy decoding and sampling that adds
little to the cells. Dimensions as in `modeling_recurrent.py`.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from transformers import PreTrainedConfig
from transformers.generation import (
    EosTokenCriteria,
    GenerateDecoderOnlyOutput,
    GenerationMixin,
    GenerationMode,
    MaxLengthCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from .cache import CACHE_NAME, CACHE_NAMES, RecurrentCache, WithCache, check_cache_kind, one_cache, rename_cache


NO_INPUTS = ("labels", "tokenizer", "assistant_tokenizer")  # `generate` hands them on, the tokenizer of stop strings
TESTED = (5, 24)  # the newest transformers that the tests have seen, whose bound in pyproject.toml follows it
PROMPTS = ("inputs_embeds", "input_ids", "inputs")
EMPTY_PROMPT = (
    "`input_ids` has no tokens: the prompt is empty text. Begin with `tokenizer.bos_token_id`, or with `eos_token_id` "
    "for a model that was trained on texts with an end each. With `bos_token_id` in its configuration a model does so."
)
IMPOSSIBLE = (
    "The probabilities of the next token are not finite or all 0. Look for NaN in the model's weights, or for a "
    "logits processor that forbids every token."
)
NUCLEUS = 2048  # tokens among which top-p looks before it sorts the vocabulary


def draw(probabilities: torch.Tensor) -> torch.Tensor:
    """
    Draw an index from each row of non-negative numbers, (B, K) -> (B,), by inversion of the distribution function.

    Raises:
        `ValueError`: If a row is not finite or sums to 0.
    """
    # `torch.multinomial` takes ten times as long over a vocabulary.
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    if not (total.isfinite() & (total > 0)).all():
        raise ValueError(IMPOSSIBLE)
    # In float64 a number below 1 times the total stays below the total, and what has probability 0 is never drawn.
    return torch.searchsorted(cumulative, torch.rand_like(total) * total, right=True).squeeze(-1)


class TokenSelector:
    """
    The next token of each row from the scores of the vocabulary: the processors that `generate` has set up, then the
    most probable token or a draw. Temperature, top-k and top-p at their end, in the order in which `generate` puts
    them, are applied to the k candidates only; of scores that tie at the last place k are kept and no more.
    """

    WARPERS = (TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

    def __init__(self, processors: list, do_sample: bool):
        self.do_sample = do_sample
        self.processors = list(processors)
        self.temperature, self.top_k, self.top_p = 1.0, None, 1.0
        for warper in reversed(self.WARPERS):
            if do_sample and self.processors and self._is_plain(self.processors[-1], warper):
                last = self.processors.pop()
                for name in ("temperature", "top_k", "top_p"):
                    setattr(self, name, getattr(last, name, getattr(self, name)))

    @staticmethod
    def _is_plain(processor, warper: type) -> bool:
        """Whether a processor is this warper, with the options that `generate` gives it for sampling."""
        keeps_one = getattr(processor, "min_tokens_to_keep", 1) == 1
        return type(processor) is warper and keeps_one and getattr(processor, "filter_value", -torch.inf) == -torch.inf

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """Tokens so far (B, T) and scores (B, V) -> (B,)."""
        for processor in self.processors:
            scores = processor(input_ids, scores)
        return self._sample(scores) if self.do_sample else scores.argmax(-1)

    def _sample(self, scores: torch.Tensor) -> torch.Tensor:
        candidates = None
        if self.top_k is not None:
            scores, candidates = scores.topk(min(self.top_k, scores.shape[-1]))
        probabilities = (scores / self.temperature).softmax(-1)
        if self.top_p < 1:
            if candidates is None:
                probabilities, candidates = self._most_probable(probabilities)
            before = probabilities.cumsum(-1)[:, :-1]
            probabilities[:, 1:].masked_fill_(before >= self.top_p, 0)
        chosen = draw(probabilities)
        return chosen if candidates is None else candidates.gather(1, chosen[:, None]).squeeze(1)

    def _most_probable(self, probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Probabilities and ids of at least those tokens that make up `top_p`, the most probable first.
        """
        # A trained model needs few of them, and sorting 33,000 takes 2 ms.
        most = probabilities.topk(min(NUCLEUS, probabilities.shape[-1]))
        enough = (most.values.sum(-1) >= self.top_p).all()
        return most if enough else probabilities.sort(descending=True)


class StopCheck:
    """Which rows end with their last token, by the criteria of `generate`."""

    def __init__(self, criteria: StoppingCriteriaList):
        self.max_length = criteria.max_length
        self.fills = any(hasattr(criterion, "eos_token_id") for criterion in criteria)  # ended rows, with padding
        self.end_tokens = {int(id) for c in criteria if type(c) is EosTokenCriteria for id in c.eos_token_id.view(-1)}
        known = (MaxLengthCriteria, EosTokenCriteria)
        self.others = StoppingCriteriaList(criterion for criterion in criteria if type(criterion) not in known)

    def __call__(self, input_ids: torch.LongTensor, tokens: torch.LongTensor) -> torch.Tensor | bool:
        """Tokens so far (B, T) and the last of them (B,) -> which rows end, (B,), or one answer for all."""
        if self.max_length is not None and input_ids.shape[1] >= self.max_length:
            return True
        ends = False
        if self.end_tokens:
            ends = torch.tensor([token in self.end_tokens for token in tokens.tolist()], device=tokens.device)
        return self.others(input_ids, None) | ends if self.others else ends


class StopText(StoppingCriteria):
    """
    Ends a row when its last token completes one of some strings in the decoded text. The criterion of transformers
    knows what a token decodes to alone, which among words joined by blanks is not what it decodes to in a text; and it
    needs a vocabulary that has the letters a to f.
    """

    def __init__(self, tokenizer, strings: str | list[str]):
        self.tokenizer, self.strings = tokenizer, [strings] if isinstance(strings, str) else list(strings)
        if not all(self.strings):
            raise ValueError(f"`stop_strings` is {strings!r}: leave the empty string out.")
        self.reach = max(len(each.encode()) for each in self.strings) + 1  # tokens, of a byte each, and one before

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor | None, **kwargs) -> torch.BoolTensor:
        ends = [self._ends(row) for row in input_ids[:, -self.reach :].tolist()]
        return torch.tensor(ends, device=input_ids.device)

    def _ends(self, tokens: list[int]) -> bool:
        before, text = self.tokenizer.decode(tokens[:-1]), self.tokenizer.decode(tokens)
        same = (i for i, (a, b) in enumerate(zip(before, text, strict=False)) if a != b)
        old = next(same, min(len(before), len(text)))  # the last of `before` may have been a part of a character
        return any(each in text[max(0, old - len(each) + 1) :] for each in self.strings)


@functools.cache
def cache_argument(forward: Callable) -> str:
    """What a forward pass calls the state: that of a subclass may know one of the names only."""
    parameters = inspect.signature(forward).parameters
    return next((name for name in CACHE_NAMES if name in parameters), CACHE_NAMES[0])


def is_untested() -> bool:
    """Whether transformers is newer than any version that the tests have seen, as it may be where a folder travels."""
    return tuple(map(int, transformers.__version__.split(".")[:2])) > TESTED


@functools.cache
def beams_follow_state(model_class: type) -> bool:
    """
    Whether beam search gives what recomputation gives, tried on a tiny model: a release that calls the state by
    another name, as 5.24 did, reorders some other cache, without an error.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        model = model_class(model_class.tiny_config()).eval()
        options = {"max_new_tokens": 8, "num_beams": 4, "do_sample": False}
        prompts = torch.randint(17, (4, 3))
        ways = [GenerationMixin.generate(model, prompts, use_cache=cached, **options) for cached in (True, False)]
    return torch.equal(*ways)


@dataclass
class RecurrentGenerateOutput(WithCache, GenerateDecoderOnlyOutput):
    """[`~transformers.generation.GenerateDecoderOnlyOutput`], whose state is read by either of its names."""


class RecurrentGenerationMixin(GenerationMixin):
    """`generate` for a model with a `RecurrentCache`."""

    generate_output = RecurrentGenerateOutput

    def generate(self, *args, **kwargs):
        """
        As in transformers; a state to continue from is `cache` or `past_key_values`, whatever the version.

        Raises:
            `RuntimeError`: Under a transformers newer than any that was tested, if its beam search loses the state.
            `ValueError`: For an `attention_mask` of tokens that neither the prompt has nor the state has seen.
        """
        kwargs = rename_cache(kwargs)
        inputs = next((kwargs[name] for name in PROMPTS if kwargs.get(name) is not None), *args[:1] or [None])
        self._check_mask(inputs, kwargs.get("attention_mask"), kwargs.get(CACHE_NAME))
        if is_untested() and self._uses_cache(kwargs) and not beams_follow_state(self._own_class()):
            raise RuntimeError(
                f"Beam search of transformers {transformers.__version__}, which is newer than any that this code was "
                "tested with, does not carry the state of a recurrent model along: its results would be wrong. "
                f"Install transformers<{TESTED[0]}.{TESTED[1] + 1}, or pass `use_cache=False`, which is slow."
            )
        return super().generate(*args, **kwargs)

    @staticmethod
    def _check_mask(inputs: torch.Tensor | None, mask: torch.Tensor | None, cache: RecurrentCache | None) -> None:
        """Transformers takes the end of a mask that is too long, and would begin from the zero state."""
        if inputs is None or mask is None:
            return
        seen = cache.get_seq_length() if hasattr(cache, "get_seq_length") else 0
        if mask.shape[1] > seen + inputs.shape[1]:
            raise ValueError(
                f"`attention_mask` covers {mask.shape[1]} tokens, but the prompt has {inputs.shape[1]}, and the state "
                f"has seen {seen}. Pass the `cache` of the tokens before, or all tokens from the beginning."
            )

    def _prepare_generation_config(self, *args, **kwargs):
        """As in transformers; numbers that cannot be, which would fail far from here, are refused."""
        config, kwargs = super()._prepare_generation_config(*args, **kwargs)
        most = self.get_decoder().config.vocab_size - 1
        bounds = dict.fromkeys(("num_beams", "num_return_sequences"), (1, float("inf")))
        bounds |= dict.fromkeys(("pad_token_id", "forced_bos_token_id", "forced_eos_token_id"), (0, most))
        for name, (least, most) in bounds.items():
            value = getattr(config, name)
            for each in value if isinstance(value, list) else [value]:
                if each is not None and (not hasattr(each, "__index__") or not least <= each <= most):
                    raise ValueError(f"`{name}` must be a whole number from {least} to {most}, got {value!r}.")
        return config, kwargs

    def _uses_cache(self, kwargs: dict[str, Any]) -> bool:
        config = kwargs.get("generation_config") or self.generation_config
        return kwargs.get("use_cache", config.use_cache) is not False

    @classmethod
    def tiny_config(cls) -> PreTrainedConfig:
        """Of a model on which beam search is tried."""
        return cls.config_class(vocab_size=17, hidden_size=8, initializer_range=1.0, tie_word_embeddings=False)

    @classmethod
    def _own_class(cls) -> type:
        """The language model of the family: a subclass may be built in another way."""
        return cls.heads().get("AutoModelForCausalLM", cls)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _prepare_cache_for_generation(
        self, generation_config, model_kwargs, generation_mode=None, *args, **kwargs
    ) -> None:
        # Earlier releases of transformers 5 set "dynamic_full" for every assistant.
        if generation_config.cache_implementation is not None and not generation_config.is_assistant:
            raise ValueError(
                f"`cache_implementation={generation_config.cache_implementation!r}` is a store of keys and values, "
                "which a recurrent model does not have: its state has a fixed size. Leave it out."
            )
        assisted = generation_config.is_assistant or generation_mode == GenerationMode.ASSISTED_GENERATION
        cache = model_kwargs.get(CACHE_NAME)
        if cache is not None:
            check_cache_kind(cache)
            cache._is_user_defined = True  # read by `generate`
        elif generation_config.use_cache is not False:
            cache = model_kwargs[CACHE_NAME] = self.get_decoder().new_cache()
        if cache is not None:
            cache.activate_past_recording() if assisted else cache.stop_past_recording()

    def _prepare_model_inputs(self, inputs=None, bos_token_id=None, model_kwargs=None):
        """As in transformers; a text without a token, which may be all padding, begins with `bos_token_id`."""
        given = inputs if inputs is not None else model_kwargs.get("input_ids")
        begins = model_kwargs.get("inputs_embeds") is None and model_kwargs.get(CACHE_NAME) is None
        if begins and bos_token_id is None and (given is None or given.shape[-1] == 0):
            raise ValueError(EMPTY_PROMPT)
        inputs, name, model_kwargs = super()._prepare_model_inputs(inputs, bos_token_id, model_kwargs)
        if not begins or given is None or bos_token_id is None or inputs.ndim != 2:
            return inputs, name, model_kwargs
        mask = model_kwargs.get("attention_mask")
        if inputs.shape[1] == 0:
            inputs, mask = inputs.new_zeros(len(inputs), 1), inputs.new_zeros(len(inputs), 1)
        if mask is not None and mask.shape == inputs.shape and not (real := mask.bool()).any(1).all():
            last = torch.arange(mask.shape[1], device=mask.device) == mask.shape[1] - 1
            begin = ~real.any(1, keepdim=True) & last  # (B, T)
            inputs = inputs.masked_fill(begin, int(bos_token_id))
            model_kwargs["attention_mask"] = mask.masked_fill(begin, 1)
        return inputs, name, model_kwargs

    def _get_stopping_criteria(self, generation_config, stopping_criteria, tokenizer=None, **kwargs):
        if generation_config.stop_strings is not None and tokenizer is not None:
            stop = StopText(tokenizer, generation_config.stop_strings)
            stopping_criteria = StoppingCriteriaList([*(stopping_criteria or ()), stop])
            generation_config = copy.copy(generation_config)
            generation_config.stop_strings = None
        return super()._get_stopping_criteria(generation_config, stopping_criteria, tokenizer, **kwargs)

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        next_sequence_length: int | None = None,
        cache: RecurrentCache | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool = False,
        position_ids: torch.Tensor | None = None,
        past_key_values: RecurrentCache | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """
        The inputs of the next forward pass: the tokens that the cache has not seen, and their part of the mask. The
        method of transformers takes as long as a small model; `position_ids`, which assisted decoding hands from one
        model to the other, have no meaning here.
        """
        cache = one_cache(cache, past_key_values)
        if (input_ids if inputs_embeds is None else inputs_embeds).shape[1] == 0:
            raise ValueError(EMPTY_PROMPT)
        if next_sequence_length is not None and next_sequence_length < 1:
            seen = cache.get_seq_length()
            raise ValueError(
                f"`input_ids` has {seen + next_sequence_length} tokens, but `cache` has seen {seen}. Pass "
                "all tokens from the beginning, or only the new ones with an `attention_mask` as long as both."
            )
        name, inputs = "input_ids", input_ids
        if inputs_embeds is not None and is_first_iteration:
            name, inputs = "inputs_embeds", inputs_embeds
        if next_sequence_length is not None:
            inputs = inputs[:, -next_sequence_length:]
        if attention_mask is not None:
            attention_mask = attention_mask[:, -inputs.shape[1] :].to(self.device)
        forward = vars(self).get("forward", type(self).forward)
        inputs = {name: inputs.to(self.device), "attention_mask": attention_mask, cache_argument(forward): cache}
        return inputs | {name: value for name, value in kwargs.items() if name not in NO_INPUTS}

    def _update_model_kwargs_for_generation(
        self, outputs, model_kwargs: dict[str, Any], is_encoder_decoder: bool = False, num_new_tokens: int = 1
    ) -> dict[str, Any]:
        """Keep the state, and count the new tokens as real ones in the mask."""
        if (cache := outputs.get(CACHE_NAME)) is not None:
            model_kwargs[CACHE_NAME] = cache
        if (mask := model_kwargs.get("attention_mask")) is not None:
            model_kwargs["attention_mask"] = F.pad(mask, (0, num_new_tokens), value=1)
        return model_kwargs

    def step_function(self, states: list, cache: RecurrentCache) -> Callable[[torch.LongTensor], torch.Tensor]:
        """
        The forward pass for single tokens without its checks and output objects, which take as long as a small cell.

        Args:
            states (`list` of `tuple`): For each layer its state, of shape `(B, P)` and for an LSTM `(B, H)`. Each step
                replaces them in this list.
            cache ([`RecurrentCache`]): Where the states are from.

        Returns:
            `Callable`: from token ids of shape `(B,)` to logits of shape `(B, V)`.
        """
        raise NotImplementedError

    def _has_plain_steps(self) -> bool:
        """Whether `step_function` does what a call of the model would do: nobody has changed it."""
        raise NotImplementedError

    def _sample(
        self,
        input_ids: torch.LongTensor,
        logits_processor: list,
        stopping_criteria: StoppingCriteriaList,
        generation_config,
        synced_gpus: bool = False,
        streamer=None,
        **model_kwargs: Any,
    ) -> GenerateDecoderOnlyOutput | torch.LongTensor:
        """
        Greedy decoding and sampling. What needs more than tokens, or a model that is wrapped, takes the loop of
        transformers; the tokens of greedy decoding are the same, and a seed gives others in sampling.
        """
        names = ("output_scores", "output_logits", "output_hidden_states", "output_attentions")
        more = generation_config.return_dict_in_generate and any(getattr(generation_config, name) for name in names)
        cached = model_kwargs.get(CACHE_NAME) is not None and model_kwargs.get("use_cache")
        if more or synced_gpus or generation_config.is_assistant or not cached or not self._has_plain_steps():
            arguments = input_ids, logits_processor, stopping_criteria, generation_config, synced_gpus, streamer
            return super()._sample(*arguments, **model_kwargs)
        outputs = self._prefill(input_ids, generation_config, model_kwargs)
        select = TokenSelector(logits_processor, generation_config.do_sample)
        pad_token = generation_config._pad_token_tensor
        cache, scores = outputs.cache, outputs.logits[:, -1]
        input_ids = self._decode(input_ids, scores, cache, select, StopCheck(stopping_criteria), pad_token, streamer)
        if streamer is not None:
            streamer.end()
        if generation_config.return_dict_in_generate:
            return self.generate_output(sequences=input_ids, **{CACHE_NAME: cache})
        return input_ids

    def _decode(
        self,
        input_ids: torch.LongTensor,
        scores: torch.Tensor,
        cache: RecurrentCache,
        select: TokenSelector,
        stop: StopCheck,
        pad_token: torch.Tensor | None,
        streamer,
    ) -> torch.LongTensor:
        """Tokens (B, T) and the scores after them (B, V) -> tokens until all rows have ended. Advances the cache."""
        states = [tuple(tensor[:, 0] for tensor in layer.states) for layer in cache.layers]
        step = self.step_function(states, cache)
        length, tokens = input_ids.shape[1], input_ids  # a buffer that grows by doubling
        unfinished = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        steps = 0
        try:
            while True:
                token = select(tokens[:, :length], scores.float())
                if stop.fills:
                    token = token.where(unfinished, pad_token)
                if length == tokens.shape[1]:
                    tokens = F.pad(tokens, (0, max(length, 64)))
                tokens[:, length] = token
                length += 1
                if streamer is not None:
                    streamer.put(token.cpu())
                ends = stop(tokens[:, :length], token)
                if ends is True or (ends is not False and not (unfinished := unfinished & ~ends).any()):
                    return tokens[:, :length].contiguous()
                scores = step(token)
                steps += 1
        finally:  # also when a streamer or a criterion raises
            for layer, state in zip(cache.layers, states, strict=True):
                layer.update(tuple(tensor[:, None] for tensor in state), steps)

    def generate_batch(self, *args, **kwargs):
        """
        Refused: continuous batching pages keys and values.

        Raises:
            `NotImplementedError`: Always.
        """
        raise NotImplementedError(
            "Continuous batching pages keys and values, which a recurrent model does not have. Use `generate` with a "
            "batch of left-padded prompts: its memory does not grow with the text."
        )

    init_continuous_batching = continuous_batching_context_manager = generate_batch

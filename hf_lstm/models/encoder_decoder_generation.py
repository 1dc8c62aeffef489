# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What `generate` asks of an encoder with a recurrent decoder. Dimensions as in `attention.py`."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers.generation import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    GenerateBeamEncoderDecoderOutput,
    GenerateEncoderDecoderOutput,
    GenerationMixin,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    StoppingCriteriaList,
    SuppressTokensLogitsProcessor,
)

from .beam_search import BeamOptions, Beams
from .cache import CACHE_NAME, State, WithCache, one_cache
from .configuration_encoder_decoder import RecurrentEncoderDecoderConfig
from .configuration_lstm import LSTMConfig
from .decoder import DecoderCache
from .generation import IMPOSSIBLE, NO_INPUTS, RecurrentGenerationMixin, StopCheck, cache_argument


# Processors that look at a row alone: any other may count the rows, and is given all of them to the end.
BY_ROW = (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    SuppressTokensLogitsProcessor,
)


@functools.cache
def arguments_of(forward: Callable, home: Callable) -> set[str]:
    """What a forward pass takes: that of a subclass may hand on, by `**kwargs`, all that the one at home takes."""
    own = inspect.signature(forward).parameters
    hands_on = any(each.kind is each.VAR_KEYWORD for each in own.values())
    return {*own, *(inspect.signature(home).parameters if hands_on else ())}


@dataclass
class RecurrentSeq2SeqGenerateOutput(WithCache, GenerateEncoderDecoderOutput):
    """[`~transformers.generation.GenerateEncoderDecoderOutput`], whose state is read by either of its names."""


@dataclass
class RecurrentSeq2SeqBeamOutput(WithCache, GenerateBeamEncoderDecoderOutput):
    """[`~transformers.generation.GenerateBeamEncoderDecoderOutput`], whose state is read by either of its names."""


class EncoderDecoderGenerationMixin(RecurrentGenerationMixin):
    """`generate` for an encoder with a recurrent decoder."""

    generate_output = RecurrentSeq2SeqGenerateOutput

    def generate(self, *args, labels: torch.Tensor | None = None, **kwargs: Any):
        """As in transformers; of `labels`, which `Seq2SeqTrainer` hands on, nothing is made."""
        return super().generate(*args, **kwargs)

    @staticmethod
    def _check_mask(inputs: torch.Tensor | None, mask: torch.Tensor | None, cache: DecoderCache | None) -> None:
        """The mask is that of the source, which the encoder checks."""

    @classmethod
    def tiny_config(cls) -> RecurrentEncoderDecoderConfig:
        part = LSTMConfig(vocab_size=17, hidden_size=8, initializer_range=1.0, tie_word_embeddings=False)
        return RecurrentEncoderDecoderConfig(encoder=part, decoder=part, decoder_start_token_id=1)

    @classmethod
    def _own_class(cls) -> type:
        return cls.family()

    def _get_logits_processor(self, generation_config, *args, **kwargs):
        """As in transformers; what would count tokens of one vocabulary in another, or call the model, is refused."""
        sizes = [getattr(part, "vocab_size", None) for part in (self.config.encoder, self.config.decoder)]
        for name, off in (("encoder_repetition_penalty", 1), ("encoder_no_repeat_ngram_size", 0)):
            if (value := getattr(generation_config, name, None)) not in (None, off) and sizes[0] != sizes[1]:
                raise ValueError(
                    f"`{name}={value!r}` looks for tokens of the source in the target, whose vocabularies have "
                    f"{sizes[0]} and {sizes[1]} tokens. Leave it out, or use one vocabulary for both."
                )
        if (value := generation_config.guidance_scale) not in (None, 1):
            raise ValueError(f"`guidance_scale={value!r}` is of models without an encoder. Leave it out.")
        return super()._get_logits_processor(generation_config, *args, **kwargs)

    def _prepare_model_inputs(self, inputs=None, bos_token_id=None, model_kwargs=None):
        """As in transformers; where no mask says what is padding in the source, its tokens do."""
        if inputs is None and model_kwargs.get("encoder_outputs") is None:
            self.check_source(model_kwargs)
        inputs, name, model_kwargs = GenerationMixin._prepare_model_inputs(self, inputs, bos_token_id, model_kwargs)
        pad, end = (getattr(self.config.encoder, f"{which}_token_id", None) for which in ("pad", "eos"))
        tells = name == "input_ids" and model_kwargs.get("attention_mask") is None and pad not in (None, end)
        if tells and (padding := inputs == pad).any():
            model_kwargs["attention_mask"] = (~padding).long()
        return inputs, name, model_kwargs

    def _prepare_decoder_input_ids_for_generation(self, batch_size, model_input_name, model_kwargs, *args, **kwargs):
        """
        As in transformers; where no mask says what is padding in a target that is given, its tokens do, and one that
        begins with its start token behind padding gets no other.
        """
        given, mask = model_kwargs.get("decoder_input_ids"), model_kwargs.get("decoder_attention_mask")
        if given is not None and (given.ndim != 2 or not given.shape[1]):
            raise ValueError(
                f"`decoder_input_ids` has shape {tuple(given.shape)}, expected (batch, length) with at least one "
                "token. Leave it out to begin with the start token."
            )
        if given is not None and len(given) != batch_size:
            raise ValueError(
                f"`decoder_input_ids` has {len(given)} rows, but there are {batch_size} sources. Give each its own; "
                "`num_return_sequences` makes several of one."
            )
        if given is not None and mask is None and (real := self.mask_of(given)) is not None and not real.all():
            mask = model_kwargs["decoder_attention_mask"] = real.long()
        prepare = super()._prepare_decoder_input_ids_for_generation
        input_ids, model_kwargs = prepare(batch_size, model_input_name, model_kwargs, *args, **kwargs)
        if given is None or mask is None or input_ids.shape[1] == given.shape[1]:
            return input_ids, model_kwargs
        first = given.gather(1, (mask != 0).int().argmax(1, keepdim=True))  # (B, 1)
        if torch.equal(first, input_ids[:, :1]):
            return given, model_kwargs | {"decoder_attention_mask": mask}
        return input_ids, model_kwargs

    def _expand_inputs_for_generation(self, expand_size=1, is_encoder_decoder=False, input_ids=None, **model_kwargs):
        """
        As in transformers, but for the source, which is not repeated: the rows that share one follow each other.
        """
        kept = {name: model_kwargs.pop(name) for name in ("encoder_outputs", "attention_mask") if name in model_kwargs}
        input_ids, model_kwargs = super()._expand_inputs_for_generation(expand_size, False, input_ids, **model_kwargs)
        return input_ids, model_kwargs | kept

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        next_sequence_length: int | None = None,
        cache: DecoderCache | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        is_first_iteration: bool = False,
        past_key_values: DecoderCache | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The inputs of the next forward pass: tokens of the target that the cache has not seen, and the source."""
        cache = one_cache(cache, past_key_values)
        seen = 0 if cache is None else cache.get_seq_length()
        if is_first_iteration and seen:  # a target begins with its start token, also where a state has seen some of it
            next_sequence_length = input_ids.shape[1] - seen
        if next_sequence_length is not None and next_sequence_length < 1:
            raise ValueError(
                f"`decoder_input_ids` has {input_ids.shape[1]} tokens, but `cache` has seen {seen}. Pass all tokens "
                "from the beginning, and at least one that it has not seen."
            )
        tokens = input_ids if next_sequence_length is None else input_ids[:, -next_sequence_length:]
        if decoder_attention_mask is not None:
            decoder_attention_mask = decoder_attention_mask[:, -tokens.shape[1] :].to(self.device)
        elif cache is None:  # what is generated is real, whatever its id
            decoder_attention_mask = torch.ones_like(tokens, device=self.device)
        forward = vars(self).get("forward", type(self).forward)
        takes = arguments_of(forward, self.family().forward)
        inputs = {name: value for name, value in kwargs.items() if name in takes and name not in NO_INPUTS}
        return inputs | {
            "decoder_input_ids": tokens.to(self.device),
            "decoder_attention_mask": decoder_attention_mask,
            cache_argument(forward): cache,
        }

    def _update_model_kwargs_for_generation(
        self, outputs, model_kwargs: dict[str, Any], is_encoder_decoder: bool = True, num_new_tokens: int = 1
    ) -> dict[str, Any]:
        """Keep the state, and count the new tokens as real ones in the mask of the target."""
        if (cache := outputs.get(CACHE_NAME)) is not None:
            model_kwargs[CACHE_NAME] = cache
        if (mask := model_kwargs.get("decoder_attention_mask")) is not None:
            model_kwargs["decoder_attention_mask"] = F.pad(mask, (0, num_new_tokens), value=1)
        return model_kwargs

    def step_function(self, states: list[State], cache: DecoderCache) -> Callable[[torch.LongTensor], torch.Tensor]:
        step, head = self.decoder.step_function(states, cache.memory), self.lm_head
        return lambda tokens: head(step(tokens))

    def _beam_search(
        self,
        input_ids: torch.LongTensor,
        logits_processor: list,
        stopping_criteria: StoppingCriteriaList,
        generation_config,
        synced_gpus: bool = False,
        **model_kwargs: Any,
    ) -> GenerateBeamEncoderDecoderOutput | torch.LongTensor:
        """
        As in transformers, with the same results. What needs more than tokens, or a model that is wrapped, takes the
        loop of transformers.
        """
        stop = StopCheck(stopping_criteria)
        names = ("output_scores", "output_logits", "output_hidden_states", "output_attentions")
        more = generation_config.return_dict_in_generate and any(getattr(generation_config, name) for name in names)
        cached = model_kwargs.get(CACHE_NAME) is not None and model_kwargs.get("use_cache")
        other = synced_gpus or generation_config.is_assistant or generation_config.do_sample or stop.others
        if more or other or not cached or generation_config.low_memory or not self._has_plain_steps():
            arguments = input_ids, logits_processor, stopping_criteria, generation_config, synced_gpus
            return super()._beam_search(*arguments, **model_kwargs)
        options = self._beam_options(input_ids, generation_config, stop)
        beams = Beams(len(input_ids) // options.num_beams, options, input_ids.device)
        outputs = self._prefill(input_ids, generation_config, model_kwargs)
        self._search(beams, input_ids, outputs.logits[:, -1], outputs.cache, logits_processor, stop.end_tokens)
        if not beams.finished[:, 0].all():
            raise ValueError(IMPOSSIBLE)
        pad, end = generation_config._pad_token_tensor, generation_config._eos_token_tensor
        fill = -1 if end is None else int(pad or end[0])  # as transformers does
        sequences, scores, rows = beams.sequences(input_ids, fill)
        if not generation_config.return_dict_in_generate:
            return sequences
        # Hypotheses come from many rows and steps: there is no state of theirs to return.
        return RecurrentSeq2SeqBeamOutput(sequences=sequences, sequences_scores=scores, beam_indices=rows)

    @staticmethod
    def _beam_options(input_ids: torch.LongTensor, config, stop: StopCheck) -> BeamOptions:
        return BeamOptions(
            num_beams=config.num_beams,
            num_return_sequences=config.num_return_sequences,
            length_penalty=config.length_penalty,
            early_stopping=config.early_stopping,
            max_length=stop.max_length,
            prompt_length=input_ids.shape[1],
            candidates=max(2, 1 + len(stop.end_tokens)) * config.num_beams,
        )

    def _search(
        self,
        beams: Beams,
        input_ids: torch.LongTensor,
        scores: torch.Tensor,
        cache: DecoderCache,
        processors: list,
        end_tokens: set[int],
    ) -> None:
        """From the tokens (N * K, T) and the scores after them (N * K, V) on until no source gets better ones."""
        states = [tuple(tensor[:, 0] for tensor in layer.states) for layer in cache.layers]
        cache = cache.copy()
        step, k = self.step_function(states, cache), beams.options.num_beams
        drops = all(type(processor) in BY_ROW for processor in processors)
        ends_at = torch.tensor(sorted(end_tokens), device=input_ids.device)
        while True:
            log_probs = scores.float().log_softmax(-1)
            if processors:
                log_probs = processors(input_ids, log_probs)
            total, parents, tokens = beams.candidates(log_probs)
            last = beams.length + 1 >= beams.options.max_length
            ends = torch.ones_like(tokens, dtype=torch.bool) if last else torch.isin(tokens, ends_at)
            beams.advance(total, parents, tokens, ends)
            goes_on = beams.unfinished()
            if ends.all() or not goes_on.any():
                return
            keep = goes_on.nonzero()[:, 0] if drops else torch.arange(len(goes_on), device=goes_on.device)
            if len(keep) < len(goes_on):
                beams.drop(keep)
                cache.memory = cache.memory.select(keep)
                step = self.step_function(states, cache)
            rows = (beams.parents + keep[:, None] * k).flatten()  # (N * K,)
            states[:] = [tuple(tensor.index_select(0, rows) for tensor in layer) for layer in states]
            tokens = beams.tokens.flatten()
            if processors:
                input_ids = torch.cat([input_ids.index_select(0, rows), tokens[:, None]], 1)
            scores = step(tokens)

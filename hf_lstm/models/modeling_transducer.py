# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The recurrent transducer (Graves 2012): an encoder of the sound, a network that predicts the next label from those
before, and one that joins what both say. The loss is in `transducer.py`, where the dimensions are told, decoding in
`transducer_decoding.py`; D * P is the size of the encoder's outputs.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import ModelOutput, can_return_tuple

from .cache import RecurrentCache, State, WithCache, one_cache
from .configuration_transducer import RecurrentTransducerConfig
from .ctc import real_first
from .losses import divisor
from .modeling_speech import RecurrentSpeechModel, RecurrentSpeechPreTrainedModel, checked_labels
from .output_layers import can_fuse
from .padding import Padding
from .stack import RecurrentModelOutput, RecurrentStack
from .text_inputs import reads_nothing
from .transducer import joint_losses, transducer_losses
from .transducer_decoding import BeamSearch, Node, Path, TransducerCache, TransducerHypothesis, greedy_path, labels_of


@dataclass
class RecurrentRNNTOutput(WithCache, CausalLMOutputWithPast):
    """
    [`~transformers.modeling_outputs.CausalLMOutput`] with a state, which is read by either of its names.

    Args:
        logits (`torch.Tensor` of shape `(B, S, V)`, without labels or outside training): Of the nodes on the most
            probable way, found greedily, as CTC reads them: each row is of a blank or a label that is heard.
        steps (`torch.LongTensor` of shape `(B, S)`, as `logits`): The step that a row belongs to, counted from the
            beginning of the sound; -1 behind the end.
    """

    steps: torch.LongTensor | None = None


@dataclass
class RecurrentRNNTGenerateOutput(ModelOutput):
    """
    What is heard.

    Args:
        sequences (`torch.LongTensor` of shape `(B * R, S)`): Labels without blanks, of R hypotheses a row, the most
            probable first; `pad_token_id` behind the last.
        steps (`torch.LongTensor` of shape `(B * R, S)`): The step at which each is heard first, counted from the
            beginning of the sound; -1 behind the last.
        sequences_scores (`torch.Tensor` of shape `(B * R,)`): Logarithms of their probabilities, divided as
            `length_penalty` says: of one way greedily, of all that were looked at with beams.
        cache ([`TransducerCache`], *optional*): The state, to continue from.
        beams (`list` of `list` of [`TransducerHypothesis`], *optional*): With beams, the hypotheses, to continue from.
    """

    sequences: torch.LongTensor
    steps: torch.LongTensor | None = None
    sequences_scores: torch.Tensor | None = None
    cache: TransducerCache | None = None
    beams: list[list[TransducerHypothesis]] | None = None


class RecurrentTransducerPreTrainedModel(RecurrentSpeechPreTrainedModel):
    """Base of the parts of a transducer, of any family of cells."""

    config: RecurrentTransducerConfig
    layer_class = RecurrentSpeechPreTrainedModel.layer_class

    @classmethod
    def heads(cls) -> dict[str, type[RecurrentSpeechPreTrainedModel]]:
        """As of any family; the pipeline of speech recognition looks for transducers under the second name alone."""
        return {"AutoModelForRNNT": RecurrentForRNNT, "AutoModelForTDT": RecurrentForRNNT}


class PredictionNetwork(RecurrentTransducerPreTrainedModel, RecurrentStack):
    """
    The layers that read the labels; the blank, which is read before the first, is a zero vector (Graves 2012, section
    2.1).
    """

    def __init__(self, config: RecurrentTransducerConfig):
        super().__init__(config.for_decoder())

    def add_inputs(self, config: RecurrentTransducerConfig) -> None:
        """The embeddings of labels."""
        super().add_inputs(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.feature_size, padding_idx=config.pad_token_id)

    def forward(self, labels: torch.LongTensor, cache: RecurrentCache | None = None) -> RecurrentModelOutput:
        """Labels (B, U) -> outputs (B, U, P); the cache is advanced."""
        embeddings = self.embed_tokens(labels)
        return self.read(embeddings, cache=cache, use_cache=cache is not None, return_dict=True, is_finite=True)


class JointNetwork(nn.Module):
    """`W tanh(W_e h + W_p g + b) + c` of outputs h of the encoder and g of the prediction network."""

    def __init__(self, config: RecurrentTransducerConfig, predicted_size: int):
        super().__init__()
        self.encoder_projector = nn.Linear(config.output_size, config.joint_size)
        self.decoder_projector = nn.Linear(predicted_size, config.joint_size, bias=False)
        self.head = nn.Linear(config.joint_size, config.vocab_size)

    def forward(self, encoded: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
        """What the projectors made of both, (..., J) -> logits (..., V)."""
        return self.head((encoded + predicted).tanh())


class RecurrentForRNNT(RecurrentTransducerPreTrainedModel, GenerationMixin):
    r"""
    A recogniser whose labels depend on those before: an encoder, a prediction network and a joint network, trained as
    a transducer (Graves 2012). With one direction it recognises while it listens: a call takes the state of the call
    before and gives the next.

    Args:
        config ([`RecurrentTransducerConfig`]): Configuration.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm import LSTMForRNNT, RecurrentTransducerConfig

    >>> config = RecurrentTransducerConfig(feature_size=40, hidden_size=8, decoder_hidden_size=8, vocab_size=12)
    >>> model = LSTMForRNNT(config)
    >>> features, labels = torch.randn(2, 50, 40), torch.tensor([[3, 4, 5], [6, 6, -100]])
    >>> model(features, labels=labels).loss.ndim
    0
    >>> heard = model.eval().generate(features, num_beams=4, num_return_sequences=2)
    >>> heard.sequences.shape[0], heard.sequences_scores.shape
    (4, torch.Size([4]))
    ```
    """

    _auto_class = "AutoModelForRNNT"
    pipeline_task = "automatic-speech-recognition"
    metric = "wer"
    carries_state = True
    accepts_loss_kwargs = True

    def __init__(self, config: RecurrentTransducerConfig):
        super().__init__(config)
        self.loss_type = "ForRNNT"
        self.model = RecurrentSpeechModel(self.config)
        self.decoder = PredictionNetwork(self.config)
        self.joint = JointNetwork(self.config, self.decoder.config.output_size)
        self.post_init()

    @can_return_tuple
    @reads_nothing
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        cache: TransducerCache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        num_items_in_batch: int | torch.Tensor | None = None,
        past_key_values: TransducerCache | None = None,
        **kwargs: Any,
    ) -> RecurrentRNNTOutput:
        r"""
        Args:
            input_features (`torch.Tensor` of shape `(B, T, F)`), attention_mask (`torch.Tensor` of shape `(B, T)`,
                *optional*), use_cache (`bool`, *optional*), output_hidden_states (`bool`, *optional*): As in
                [`RecurrentSpeechModel.forward`].
            labels (`torch.LongTensor` of shape `(B, U)`, *optional*): What is said, without blanks; -100 for none.
            cache ([`TransducerCache`], *optional*): The state to continue from; it is advanced.
            num_items_in_batch (`int` or `torch.Tensor`, *optional*): What the sum of the losses is divided by, of
                Trainer: the number of labels in all that is accumulated. The labels of the batch by default.

        Returns:
            [`RecurrentRNNTOutput`]: `loss`, `logits` and `steps` of the greedy path, `cache`, `hidden_states`. In
            training with labels there is a loss alone: the logits of all nodes are never held together.

        Raises:
            `ValueError`: For labels out of range, blanks among them, without any step of their row, or beside a
            cache.
        """
        cache = one_cache(cache, past_key_values)
        if labels is not None and cache is not None:
            raise ValueError("`labels` are those of a whole sound, but `cache` continues one. Leave one of them out.")
        if labels is not None and self.training:
            use_cache = False
        cache = self._state(cache, use_cache)
        outputs, hidden, steps = self._encode(input_features, attention_mask, cache, output_hidden_states, **kwargs)
        encoded = self.joint.encoder_projector(hidden)
        loss = None if labels is None else self._loss(encoded, steps, labels, num_items_in_batch)
        path = Path(None, None)
        if labels is None or not self.training:
            path = self._listen(encoded, steps, cache, self.config.max_symbols_per_step)
        return RecurrentRNNTOutput(loss, path.logits, cache, outputs.hidden_states, steps=path.steps)

    def _state(self, cache: TransducerCache | None, use_cache: bool | None) -> TransducerCache | None:
        """The state to continue from and to advance; a new one if it is wanted; else None."""
        if cache is None:
            by_default = self.config.use_cache and not self.training and not self.config.bidirectional
            return TransducerCache(self.config) if (by_default if use_cache is None else use_cache) else None
        if not hasattr(cache, "part") or len(cache.layers) != len(TransducerCache(self.config).layers):
            raise ValueError(
                f"`cache` is {cache!r:.80}, not the state of a transducer of this size. Leave it out, or pass the "
                "`cache` of an earlier output."
            )
        return cache if use_cache is not False else cache.copy()

    def _encode(
        self, input_features, attention_mask, cache: TransducerCache | None, output_hidden_states=None, **kwargs: Any
    ) -> tuple[RecurrentModelOutput, torch.Tensor, torch.Tensor]:
        """Outputs of the encoder; of these the last, (B, T, D * P), real steps in front; and how many these are."""
        part = None if cache is None else cache.part(0, self.config.num_hidden_layers)
        options = {"output_hidden_states": output_hidden_states, "return_dict": True} | kwargs
        outputs = self.model(input_features, attention_mask, part, part is not None, **options)
        features = outputs.last_hidden_state
        return outputs, *real_first(features, self._padding(attention_mask, *features.shape[:2], 0))

    def _loss(self, encoded, steps: torch.Tensor, labels: torch.Tensor, num_items) -> torch.Tensor:
        """The sum of the losses, divided by the number of labels; of no label at all it is 0."""
        config, labels = self.config, checked_labels(labels, encoded, self.config)
        real = Padding(labels != -100)
        labels, lengths = real.pack(labels).clamp(min=0), real.lengths
        begin = labels.new_full((len(labels), 1), config.pad_token_id)
        predicted = self.joint.decoder_projector(self.decoder(torch.cat([begin, labels], 1)).last_hidden_state)
        head = self.joint.head
        if hasattr(self, "_loss_function"):  # somebody's own, called as that of `ParakeetForRNNT`
            logits = self.joint(encoded[:, :, None], predicted[:, None])
            counts = {"logit_lengths": steps, "label_lengths": lengths}
            return self.loss_function(logits=logits, labels=labels, blank_token_id=config.pad_token_id, **counts)
        if can_fuse(head):
            given = head.weight, head.bias, steps, labels, lengths
            losses = joint_losses(encoded, predicted, *given, config.pad_token_id)
        else:
            logits = self.joint(encoded[:, :, None], predicted[:, None])
            losses = transducer_losses(logits, steps, labels, lengths, config.pad_token_id)
        return losses.sum() / divisor(lengths.sum() if num_items is None else num_items, losses)

    @torch.no_grad()
    def _listen(self, encoded: torch.Tensor, steps: torch.Tensor, cache: TransducerCache | None, most: int) -> Path:
        """The greedy path through steps (B, T, J); advances the state, and counts from its beginning."""
        cache = TransducerCache(self.config) if cache is None else cache
        states, last = self._decoder_part(cache), cache.layers[-1]
        rows = encoded.new_ones(len(steps), dtype=torch.bool)

        def predict(labels: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
            if given is None and last.states is not None:
                return self.joint.decoder_projector(last.states[0])
            before = [*(layer.states for layer in states.layers), last.states]
            if given is None:
                labels, given = torch.full_like(labels, self.config.pad_token_id), rows
            predicted = self.decoder(labels[:, None], states).last_hidden_state
            seen = torch.zeros_like(labels)[:, None, None] if last.states is None else last.states[1]
            last.states = predicted, seen
            for layer, old in zip([*states.layers, last], before, strict=True):
                if old is not None:
                    pairs = zip(layer.states, old, strict=True)
                    layer.states = tuple(torch.where(given[:, None, None], *pair) for pair in pairs)
            return self.joint.decoder_projector(last.states[0])

        path = greedy_path(self.joint, predict, encoded, steps, self.config.pad_token_id, most)
        predicted, seen = last.states
        last.update((predicted, seen + steps[:, None, None]), encoded.shape[1])
        return path._replace(steps=path.steps.where(path.steps < 0, path.steps + seen[:, 0]))

    def _decoder_part(self, cache: TransducerCache) -> RecurrentCache:
        first = self.config.num_hidden_layers
        return cache.part(first, first + self.config.num_decoder_layers)

    @torch.no_grad()
    def generate(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        num_beams: int = 1,
        num_return_sequences: int = 1,
        max_symbols_per_step: int | None = None,
        length_penalty: float = 0.0,
        cache: TransducerCache | None = None,
        beams: list[list[TransducerHypothesis]] | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> RecurrentRNNTGenerateOutput:
        r"""
        What is heard. With one direction a sound may be given in pieces, of any lengths: each with the `cache`, and
        the `beams`, of the one before. Greedily a piece then has its own labels; with beams all since the beginning,
        which may change as long as there is more to come.

        Args:
            input_features (`torch.Tensor` of shape `(B, T, F)`), attention_mask (`torch.Tensor` of shape `(B, T)`,
                *optional*): As in [`RecurrentForRNNT.forward`].
            num_beams (`int`, defaults to 1): Hypotheses that are kept, W (Graves 2012, algorithm 1); 1 means the
                greedy way.
            num_return_sequences (`int`, defaults to 1): Hypotheses that are returned of each row, R.
            max_symbols_per_step (`int`, *optional*): The most labels of a step. Defaults to that of `config`.
            length_penalty (`float`, defaults to 0.0): Scores are divided by the number of labels to this power: 1.0
                as Graves does, 0.0 for the most probable.
            cache ([`TransducerCache`], *optional*): The state to continue from; it is advanced.
            beams (`list` of `list` of [`TransducerHypothesis`], *optional*): With beams, those to continue from, too.
            use_cache (`bool`, *optional*): As in [`RecurrentForRNNT.forward`].

        Returns:
            [`RecurrentRNNTGenerateOutput`]: `sequences`, `steps`, `sequences_scores`, `cache`, `beams`.

        Raises:
            `ValueError`: For more sequences than beams, or beams of another batch.
        """
        if not 1 <= num_return_sequences <= num_beams:
            raise ValueError(
                f"`num_return_sequences={num_return_sequences}` must lie between 1 and `num_beams={num_beams}`."
            )
        if num_beams > 1 and (cache is None) != (beams is None):
            raise ValueError(
                "`cache` and `beams` continue a search together. Pass both of an earlier output, or none."
            )
        most = self.config.max_symbols_per_step if max_symbols_per_step is None else max_symbols_per_step
        cache = self._state(cache, use_cache)
        _, hidden, steps = self._encode(input_features, attention_mask, cache, **kwargs)
        encoded, blank = self.joint.encoder_projector(hidden), self.config.pad_token_id
        if num_beams > 1:
            beams = self._search(encoded, steps, beams, num_beams, most)
            found = self._best_of(beams, num_return_sequences, length_penalty)
            return RecurrentRNNTGenerateOutput(*found, cache, beams)
        labels, places, scores = labels_of(self._listen(encoded, steps, cache, most), blank)
        lengths = (places >= 0).sum(1).clamp(min=1)
        return RecurrentRNNTGenerateOutput(labels, places, scores / lengths**length_penalty, cache)

    def _search(self, encoded, steps, beams, width: int, most: int) -> list[list[TransducerHypothesis]]:
        """The hypotheses of each row after its steps, (B, T, J)."""

        def predict(label: int, states: list[State] | None) -> tuple[torch.Tensor, list[State]]:
            cache = self._decoder_part(TransducerCache(self.config))
            for layer, state in zip(cache.layers, states or (), strict=False):
                layer.states = state
            outputs = self.decoder(torch.full((1, 1), label, device=encoded.device), cache).last_hidden_state
            return self.joint.decoder_projector(outputs)[0, 0], [layer.states for layer in cache.layers]

        beams = [[TransducerHypothesis(Node())] for _ in encoded] if beams is None else beams
        if len(beams) != len(encoded):
            raise ValueError(f"`beams` are those of {len(beams)} rows, but the batch has {len(encoded)}.")
        search = BeamSearch(self.joint, predict, self.config.pad_token_id, width, most)
        return [
            search.advance(beam, row[:count]) for beam, row, count in zip(beams, encoded, steps.tolist(), strict=True)
        ]

    def _best_of(self, beams: list[list[TransducerHypothesis]], number: int, penalty: float):
        """The best hypotheses of each row: labels (B * R, S), their steps, and scores (B * R,)."""
        rows = []
        for beam in beams:
            scored = [(each.score / max(1, len(each.steps)) ** penalty, each) for each in beam]
            best = sorted(scored, key=lambda pair: -pair[0])[:number]
            rows += [(each.node.labels(), list(each.steps), score) for score, each in best]
            rows += [([], [], float("-inf"))] * (number - len(best))  # so few there are
        longest = max((len(labels) for labels, _, _ in rows), default=0)

        def padded(values: list[list[int]], fill: int) -> torch.Tensor:
            return torch.tensor([each + [fill] * (longest - len(each)) for each in values], dtype=torch.long)

        labels, steps, scores = zip(*rows, strict=True)
        found = padded(labels, self.config.pad_token_id), padded(steps, -1), torch.tensor(scores)
        return tuple(each.to(self.device) for each in found)


class LSTMForRNNT(RecurrentForRNNT):
    """[`RecurrentForRNNT`] of LSTM cells."""

    named_cell = "lstm"


class GRUForRNNT(RecurrentForRNNT):
    """[`RecurrentForRNNT`] of GRU cells."""

    named_cell = "gru"


__all__ = ["GRUForRNNT", "LSTMForRNNT", "RecurrentForRNNT", "RecurrentTransducerPreTrainedModel"]

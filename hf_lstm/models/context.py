# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What a token means where it stands, by the states of language models of characters: contextual string embeddings
(Akbik, Blythe & Vollgraf 2018, section 2.2). Dimensions as in `modeling_recurrent.py`; C characters of the longest
text of a batch, F features of a token.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from .configuration_recurrent import RecurrentConfig
from .layers import SequenceDropout
from .text_reader import TextReader


class ContextEncoder(TextReader):
    r"""
    Features of a token from the whole text around it: what a language model of characters, reading forwards, has in
    its last layer after the last character of the token, and what another one, reading backwards, has there after the
    first.

    The two are frozen unless `config.train_context_models` says otherwise: they run without dropout even in training,
    and once for all texts of a batch. The backward one is a language model of reversed text, `text[::-1]`.

    Args:
        config ([`RecurrentConfig`]): Configuration, with `context_models`.
        model_class (`type`): The backbone of the two.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM, LSTMForTokenClassification, LSTMTokenizer

    >>> texts = ["Ada met Bob", "Bob sang"]
    >>> characters = LSTMTokenizer.train_from_iterator(texts, "char", show_progress=False)
    >>> fields = {"vocab_size": len(characters), "hidden_size": 8, "pad_token_id": 0}
    >>> forward, backward = [LSTMForCausalLM(LSTMConfig(**fields)) for _ in range(2)]  # to be trained, of course

    >>> tokenizer = LSTMTokenizer.train_from_iterator(texts, "word", context_tokenizer=characters, show_progress=False)
    >>> contexts = [forward.config.to_dict(), backward.config.to_dict()]
    >>> tagger = LSTMForTokenClassification(LSTMConfig(vocab_size=len(tokenizer), context_models=contexts))
    >>> tagger.model.load_context_models(forward, backward)
    >>> tagger(**tokenizer(texts, padding=True, return_tensors="pt")).logits.shape
    torch.Size([2, 3, 2])
    ```
    """

    name, field, trained_by, symbols = "context", "context_models", "train_context_models", "characters"

    def __init__(self, config: RecurrentConfig, model_class: type[PreTrainedModel]):
        super().__init__(frozen=not config.train_context_models)
        configs, size = config.context_configs, config.context_projection_size
        self.vocab_size = configs[0].vocab_size
        self.models = nn.ModuleList(model_class(each) for each in configs)
        self.dropout = SequenceDropout(config.context_dropout, config.variational_dropout)
        self.projection = nn.Identity()
        if size is not None:
            self.projection = nn.Linear(sum(each.output_size for each in configs), size, bias=False)
        self.train()

    @property
    def reads_with(self) -> nn.Module:
        """The two language models."""
        return self.models

    def forward(self, ids: torch.LongTensor, spans: torch.LongTensor, shape: torch.Size) -> torch.Tensor:
        """
        Characters (B, C), 0 at padding, and the first and last of each token (B, T, 2), counted from the first that is
        no padding -> (B, T, F), zeros for tokens without characters. `shape` is (B, T).
        """
        return self.projection(self.dropout(self.recalled(ids, spans, shape)))

    def states(self, ids: torch.LongTensor, spans: torch.LongTensor) -> torch.Tensor:
        """Of both language models, (B, T, F), zeros for tokens without characters."""
        real = ids != 0
        places = spans + real.int().argmax(1)[:, None, None]  # of the first and the last character, in `ids`
        # Reversed, each text has its padding at the other end, where it changes nothing either.
        backwards = ids.shape[1] - 1 - places[..., 0]
        features = [
            _states_at(self.models[0], ids, real, places[..., 1]),
            _states_at(self.models[1], ids.flip(1), real.flip(1), backwards),
        ]
        return torch.cat(features, dim=-1) * (spans[..., 1:] != 0)


def _states_at(model: PreTrainedModel, ids, real, places) -> torch.Tensor:
    """The outputs of a language model at some places of each row: (B, C), (B, T) -> (B, T, P)."""
    outputs = model(ids, attention_mask=real, use_cache=False, return_dict=True).last_hidden_state
    return outputs.gather(1, places[..., None].expand(-1, -1, outputs.shape[-1]))

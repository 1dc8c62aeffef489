# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the heads that classify share. Dimensions as in `modeling_recurrent.py`; K labels."""

from typing import Any, ClassVar

import torch
from transformers.utils import logging

from .configuration_recurrent import RecurrentConfig
from .pieces import ReadsEncoder
from .pretrained import RecurrentHead
from .text_inputs import TextInputs


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there


_CLASSIFIERS = ("ForTokenClassification", "ForSequenceClassification")


class RecurrentClassifier(ReadsEncoder, RecurrentHead):
    """What the heads that classify share: a backbone whose state nobody asks for, and a head that peft has to keep."""

    head_parts: ClassVar[tuple[str, ...]]  # modules beside the backbone

    def __init__(self, config: RecurrentConfig):
        self._refuse_labels_of_another_head(config)
        super().__init__(config)
        self.num_labels = self._built["num_labels"] = config.num_labels
        self.model = self.model_class(self.config)

    def _refuse_labels_of_another_head(self, config: RecurrentConfig) -> None:
        """Labels that a file brought along, of tokens for texts, or the other way round."""
        read, head = getattr(config, "_read", {}), getattr(self.options_class, "head", None)
        if not head or config.id2label != {int(i): name for i, name in (read.get("id2label") or {}).items()}:
            return
        for trained in read.get("architectures") or ():
            if any(end != head and trained.endswith(end) for end in _CLASSIFIERS):
                raise ValueError(
                    f"`id2label` of the file has the {config.num_labels} labels of a `{trained}`, which are not those "
                    f"of a `{type(self).__name__}`. Give `num_labels`, or an `id2label`, when you load it."
                )

    def _encode(self, text: TextInputs, output_hidden_states: bool | None) -> tuple:
        """Outputs of the backbone (B, T, D * P), its hidden states, and where the real tokens are, (B, T)."""
        outputs = self.model(
            **text._asdict(),
            use_cache=False,
            output_hidden_states=output_hidden_states,
            return_dict=False,  # an output object costs as much as a small layer
        )
        features, hidden_states = outputs[0], outputs[1] if len(outputs) > 1 else None
        if text.attention_mask is None:
            return features, hidden_states, features.new_ones(features.shape[:2], dtype=torch.bool)
        return features, hidden_states, text.attention_mask != 0

    def head_modules(self) -> list[str]:
        """The names of the modules beside the backbone that have parameters: what `modules_to_save` of peft needs."""
        parts = {name: getattr(self, name) for name in self.head_parts}
        return [name for name, part in parts.items() if part is not None and any(True for _ in part.parameters())]

    def _keep_head(self, config: Any) -> None:
        """Add the head to what an adapter of peft trains and saves as a whole, unless it is read for inference."""
        if hasattr(config, "modules_to_save") and not config.inference_mode:
            named = list(config.modules_to_save or ())
            config.modules_to_save = [*named, *(name for name in self.head_modules() if name not in named)]

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """As in transformers; the head is trained and saved with the adapter."""
        self._keep_head(adapter_config)
        super().add_adapter(adapter_config, adapter_name)

    @property
    def peft_config(self) -> dict[str, Any]:
        """The configurations of the adapters that peft has put into this model, by their names."""
        return self._peft_config

    @peft_config.setter
    def peft_config(self, configs: dict[str, Any]) -> None:
        # Peft sets this before it wraps the parts of a head that it knows itself, those named classifier and score.
        for config in configs.values():
            if config.task_type in ("TOKEN_CLS", "SEQ_CLS"):
                self._keep_head(config)
        self._peft_config = configs

    @peft_config.deleter
    def peft_config(self) -> None:
        del self._peft_config

    def _warn_if_head_is_frozen(self, scores: torch.Tensor) -> None:
        """In training: a new head that stays as it was drawn spoils all else, and peft does not save it."""
        if not (self.training and scores.requires_grad):
            return
        parts = {name: getattr(self, name).parameters() for name in self.head_modules()}
        frozen = [name for name, parameters in parts.items() if not any(p.requires_grad for p in parameters)]
        if frozen:
            logger.warning_once(
                f"The head is not trained, but other parameters are: all of {frozen} are frozen. With peft, give the "
                f"adapter `modules_to_save={frozen}`, as `hf_lstm.interop.peft.lora_config` does: otherwise they are "
                "not saved with it either."
            )

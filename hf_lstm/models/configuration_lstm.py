# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What an LSTM adds to the shared configuration."""

import math

from huggingface_hub.dataclasses import strict

from .configuration_recurrent import RecurrentConfig
from .configuration_stack import RecurrentStackConfig


@strict
class LSTMConfig(RecurrentConfig):
    r"""
    Configuration of an LSTM (Hochreiter & Schmidhuber 1997). All other fields: [`RecurrentConfig`].

    Args:
        projection_size (`int`, *optional*): Project the output of each layer, which is also its recurrent input, to
            this size, smaller than `hidden_size` (Sak et al. 2014, equation 6; `proj_size` of `torch.nn.LSTM`).
        forget_gate_bias (`float`, *optional*, defaults to 1.0): Initial bias of the forget gate, the sum of the two
            bias vectors (Jozefowicz et al. 2015, section 3). `None` leaves it to `initializer`. No effect without
            `bias`, and not beside `chrono_max_length`, which says it of each unit.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM

    >>> config = LSTMConfig(vocab_size=1000, hidden_size=64, num_hidden_layers=2, hidden_dropout=0.2)
    >>> model = LSTMForCausalLM(config)
    >>> model.num_parameters()
    131560
    ```
    """

    model_type = "lstm"

    projection_size: int | None = None
    forget_gate_bias: float | int | None = 1.0

    @property
    def state_size(self) -> int:
        """Size of the output of one direction of a layer: the projection where there is one."""
        return self.hidden_size if self.projection_size is None else self.projection_size

    def validate_recurrent(self):
        """The shared rules, and those of the LSTM's own fields."""
        super().validate_recurrent()
        check_lstm(self)


def check_lstm(config: RecurrentStackConfig) -> None:
    """The rules of the LSTM's own fields, in whatever configuration they stand."""
    smallest = min(config.hidden_sizes or [config.hidden_size])
    if config.projection_size is not None and not 1 <= config.projection_size < smallest:
        raise ValueError(
            f"`projection_size` must be at least 1 and less than `hidden_size={smallest}`, got "
            f"{config.projection_size!r}. Use `projection_size=None` for no projection."
        )
    if config.forget_gate_bias is not None and not math.isfinite(config.forget_gate_bias):
        raise ValueError(f"`forget_gate_bias` must be a finite number or None, got {config.forget_gate_bias!r}.")
    if config.chrono_max_length is not None and config.forget_gate_bias not in (None, type(config).forget_gate_bias):
        raise ValueError(
            f"`forget_gate_bias={config.forget_gate_bias!r}` and `chrono_max_length={config.chrono_max_length!r}` "
            "both say where the forget gate begins. Leave one of them out."
        )


__all__ = ["LSTMConfig"]

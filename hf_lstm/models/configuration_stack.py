# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The fields that every stack of recurrent layers has, whatever it reads, and the rules that hold between them."""

import copy
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers.utils import logging

from .config_checks import CheckedConfig


logger = logging.get_logger(f"transformers.{__name__}")  # which follows the verbosity that is set there

_FAMILIES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}  # by `model_type`
_MOST_LAYERS = 1000  # more than any model has: to build so many would take minutes

# What people type who come from torch, Keras or other models of transformers, and what it is here.
_ELSEWHERE = {
    "batch_first": "every tensor here is batch first",
    "d_model": "use `hidden_size`",
    "dropout": "use `input_dropout`, `hidden_dropout` (between layers, as torch's `dropout`) or `output_dropout`",
    "embed_dim": "use `embedding_size`",
    "embedding_dim": "use `embedding_size`",
    "forget_gate_bias": "it is a field of `LSTMConfig`",
    "hidden_dim": "use `hidden_size`",
    "input_size": "use `embedding_size`, and `vocab_size=None` for a model that reads features",
    "max_position_embeddings": "a recurrent network has no longest length",
    "n_embd": "use `embedding_size`",
    "n_hidden": "use `hidden_size`",
    "n_layer": "use `num_hidden_layers`",
    "n_layers": "use `num_hidden_layers`",
    "nonlinearity": "it is a field of `RNNConfig`",
    "num_classes": "use `num_labels`",
    "num_directions": "use `bidirectional`",
    "num_layers": "use `num_hidden_layers`",
    "num_units": "use `hidden_size`",
    "proj_size": "use `projection_size` of `LSTMConfig`",
    "projection_size": "it is a field of `LSTMConfig`",
    "recurrent_dropout": "use `recurrent_weight_dropout`",
    "units": "use `hidden_size`",
}


@strict
class RecurrentStackConfig(CheckedConfig):
    r"""
    What every stack of recurrent layers has, whatever it reads and whatever reads it.

    Args:
        hidden_size (`int`, defaults to 256): Number of units of a layer in one direction, H.
        hidden_sizes (`list[int]`, *optional*): H of each layer in turn, where they differ (Merity et al. 2018, section
            5: 1150, 1150 and 400). `hidden_size`, that of the last one, and `num_hidden_layers` follow from it and may
            be left out.
        num_hidden_layers (`int`, defaults to 1): Number of layers, L.
        bidirectional (`bool`, *optional*): Read the sequence in both directions; outputs are concatenated. `None`
            means what suits the head: True for token classification, False for all others.
        bias (`bool`, defaults to `True`): Give the layers the two bias vectors of `torch.nn.LSTM`.
        input_dropout (`float`, defaults to 0.0): Dropout rate on the embeddings.
        hidden_dropout (`float`, defaults to 0.0): Dropout rate between layers.
        output_dropout (`float`, defaults to 0.0): Dropout rate on the output of the last layer.
        recurrent_weight_dropout (`float`, defaults to 0.0): Dropout rate on the hidden-to-hidden weights of every
            layer, `weight_hh`: one mask for all rows and steps of a forward pass (DropConnect, Merity et al. 2018,
            section 2).
        variational_dropout (`bool`, defaults to `False`): Draw one mask for a sequence and use it at every time step
            ("locked" dropout, Gal & Ghahramani 2016, equation 7) instead of a new mask at each step.
        residual_connections (`bool`, defaults to `False`): Add the input of each layer after the first to its output
            (Wu et al. 2016, section 3.1).
        layer_norm (`bool`, defaults to `False`): Normalise the output of each layer (Ba et al. 2016), after the
            residual connection.
        layer_norm_eps (`float`, defaults to 1e-5): The constant added to the variance by the normalisation.
        initializer (`str`, defaults to `"orthogonal"`): `"orthogonal"`: orthogonal recurrent weights (Saxe et al.
            2014), Xavier-uniform input weights, zero biases; `"uniform"`: as `torch.nn.LSTM`, uniform on
            [-1/sqrt(H), 1/sqrt(H)].
        chrono_max_length (`int`, *optional*): The number of steps over which is to be remembered, T_max: gates of an
            LSTM or a GRU begin so that the memories of their units reach over 2 to T_max steps, evenly ("chrono
            initialization", Tallec & Ollivier 2018, section 2): b_f = log(u) with u from U[1, T_max - 1], and
            b_i = -b_f, where f is the forget gate, of a GRU the update gate z, and i the input gate. All other
            parameters begin as `initializer` says.
        initializer_range (`float`, defaults to 0.2): Standard deviation of embeddings and of the output layer. It is
            ten times that of transformers, because nothing normalises the inputs of a recurrent layer: with 0.02 they
            start near zero, and training is slow to begin.
        use_cache (`bool`, defaults to `True`): Return the final states, outside training and in one direction. A file
            does not keep it, since Trainer turns it off in every model that it is given.
    """

    _elsewhere: ClassVar[dict[str, str]] = _ELSEWHERE

    hidden_size: int = 256
    hidden_sizes: list[int] | None = None
    num_hidden_layers: int = 1
    bidirectional: bool | None = None
    bias: bool = True
    input_dropout: float | int = 0.0
    hidden_dropout: float | int = 0.0
    output_dropout: float | int = 0.0
    recurrent_weight_dropout: float | int = 0.0
    variational_dropout: bool = False
    residual_connections: bool = False
    layer_norm: bool = False
    layer_norm_eps: float | int = 1e-5
    initializer: Literal["orthogonal", "uniform"] = "orthogonal"
    chrono_max_length: int | None = None
    initializer_range: float | int = 0.2
    use_cache: bool = True

    @property
    def cell_type(self) -> str:
        """The family: `"lstm"`, `"gru"` or `"rnn"`."""
        return self.model_type

    @property
    def num_directions(self) -> int:
        """D: 2 for a bidirectional network, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def state_size(self) -> int:
        """Size of the output of one direction of a layer, of the last one where their sizes differ."""
        return self.hidden_size

    @property
    def output_size(self) -> int:
        """Size of the output of a layer, both directions together; of the last one where their sizes differ."""
        return self.num_directions * self.state_size

    @property
    def feature_size(self) -> int:
        """Size of what the first layer reads, F."""
        raise NotImplementedError

    def __post_init__(self, **kwargs: Any):
        self._follow_hidden_sizes()
        super().__post_init__(**kwargs)
        self.validate_recurrent()  # here as well, so that construction raises a plain ValueError

    def _follow_hidden_sizes(self):
        """Fill in what `hidden_sizes` implies and was left at its default."""
        for name, value in self._implied().items():
            if getattr(self, name) == getattr(type(self), name):
                setattr(self, name, value)

    def _implied(self) -> dict[str, int]:
        """The values of other fields that `hidden_sizes` implies."""
        if not self.hidden_sizes:
            return {}
        return {"hidden_size": self.hidden_sizes[-1], "num_hidden_layers": len(self.hidden_sizes)}

    def of_layer(self, i: int) -> "RecurrentStackConfig":
        """The configuration of a stack whose layers all have the size of layer `i`, counted from 0."""
        if self.hidden_sizes is None:
            return self
        config = copy.copy(self)
        config.hidden_size, config.hidden_sizes = self.hidden_sizes[i], None
        return config

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any):
        """As in [`CheckedConfig`]; the file of another family is refused."""
        cls._refuse_family(config_dict.get("model_type"))
        return super().from_dict({name: value for name, value in config_dict.items() if name != "use_cache"}, **kwargs)

    @classmethod
    def _refuse_family(cls, model_type: str | None) -> None:
        """Refuse the file of another family."""
        if model_type in _FAMILIES and cls.model_type in _FAMILIES and model_type != cls.model_type:
            raise ValueError(
                f"`model_type` in the configuration is {model_type!r}, that of {_FAMILIES[model_type]} models, which "
                f"no {_FAMILIES[cls.model_type]} model can read. Use the classes of {_FAMILIES[model_type]}, such as "
                f"`{_FAMILIES[model_type]}Model`, or an Auto class."
            )

    def _remove_keys_not_serialized(self, d: dict[str, Any]) -> None:
        super()._remove_keys_not_serialized(d)
        d.pop("use_cache", None)

    def validate_recurrent(self):
        """The rules between fields; transformers runs it on construction and before saving."""
        self._at_least(1, "hidden_size", "num_hidden_layers")
        layers = max(self.num_hidden_layers, len(self.hidden_sizes or ()))
        if layers > _MOST_LAYERS:
            raise ValueError(f"`num_hidden_layers` must be at most {_MOST_LAYERS}, got {layers}.")
        self._validate_labels(self.id2label)
        self._validate_dtype(self.dtype)
        self._probabilities("input_dropout", "hidden_dropout", "output_dropout", "recurrent_weight_dropout")
        self._finite("initializer_range", "layer_norm_eps")
        self._validate_hidden_sizes()
        self._at_least(2, "chrono_max_length")
        if self.chrono_max_length is not None and not self.bias:
            raise ValueError(
                f"`chrono_max_length={self.chrono_max_length!r}` says where biases begin, of which there are none "
                "with `bias=False`. Leave one of the two out."
            )
        for name in ("hidden_dropout", "residual_connections"):
            if self.num_hidden_layers == 1 and getattr(self, name):
                logger.warning_once(
                    f"`{name}={getattr(self, name)!r}` acts between layers and has no effect with "
                    "`num_hidden_layers=1`. Raise `num_hidden_layers`, or leave it out."
                )

    def _validate_hidden_sizes(self):
        sizes = self.hidden_sizes
        if sizes is None:
            return
        if not sizes or min(sizes) < 1:
            raise ValueError(f"`hidden_sizes` must hold a whole number of at least 1 for each layer, got {sizes!r}.")
        for name, value in self._implied().items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"`{name}={getattr(self, name)!r}` and `hidden_sizes={sizes!r}` disagree: the latter implies "
                    f"{value}. Leave `{name}` out, or make it {value}."
                )
        outputs = [self.of_layer(i).output_size for i in range(len(sizes))]
        if self.residual_connections and len(set(outputs)) > 1:
            raise ValueError(
                "`residual_connections=True` adds the input of a layer to its output, which have different sizes with "
                f"`hidden_sizes={sizes!r}`: outputs of {outputs}. Make them equal, or leave one of the two out."
            )

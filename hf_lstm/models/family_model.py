# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A backbone of texts, of any family, as a part of another model."""

from .cells import LAYERS
from .layers import RecurrentLayer
from .modeling_recurrent import RecurrentModel


class FamilyModel(RecurrentModel):
    """A backbone of texts of the family that its configuration is of: a part of a model of several."""

    _auto_class = None

    @property
    def layer_class(self) -> type[RecurrentLayer]:
        return LAYERS[self.config.model_type]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Adapters of peft for the recurrent models: small additions to frozen weights, trained and saved on their own.

[`lora_config`] is what most need: LoRA (Hu et al. 2022) on the recurrent weights, with the new head of a classifier
trained beside it. The weights of a recurrent layer are parameters of one module rather than linear layers of their
own, which decides what peft can do with them:

| | on recurrent layers | elsewhere |
| --- | --- | --- |
| LoRA | by `target_parameters`; no dropout, biases, DoRA, `add_weighted_adapter` | linear layers, embeddings |
| IA3, LoHa, LoKr, VeRA, ... | no: they know linear layers and convolutions only | linear layers |
| LayerNorm tuning | | `norms`, which stand between layers |
| trainable tokens | | `embed_tokens` |
| bottleneck adapters | no: peft has none for models of this kind | |
| prompt tuning, P-tuning | | before the text, of language models |
| prefix tuning | no: it hands over keys and values of attention | |

Linear layers are `projection`, `classifier`, `score` and a plain `lm_head`, embeddings `embed_tokens`. An adapter on
a part whose weight the model does not simply multiply by (in adaptive softmax, a mixture, the encoder of characters)
would have no effect, or another one when merged, and is refused at the first call. For prompts peft asks for sizes:
`num_layers`, `num_attention_heads=1` and `token_dim`, the size of a token embedding.

All adapters of one model that target parameters have to target the same ones. A tied `lm_head` shares the weight of
`embed_tokens`: an adapter on one of them alone does not survive merging, as peft warns.

A plain `LoraConfig` with a `task_type` trains and saves a CRF and an attention pooler as well: the models see to that.
Peft tells them nothing of configurations without a task, nor of a second adapter: they warn in training, if their head
is frozen. Adapted layers take the general loop of `generate`, which is slow: `merge_and_unload()`.
"""

from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from ..models.layers import bare_layer
from ..models.pretrained import recurrent_model


if TYPE_CHECKING:
    from peft import LoraConfig


TASK_TYPES = {  # of peft, by the task of the Hub
    "text-generation": "CAUSAL_LM",
    "token-classification": "TOKEN_CLS",
    "text-classification": "SEQ_CLS",
    "translation": "SEQ_2_SEQ_LM",
}


def recurrent_weights(model: PreTrainedModel) -> list[str]:
    """
    The names of the weights of the recurrent layers, for `target_parameters`: input-to-hidden, hidden-to-hidden, and
    the projection of an LSTM that has one, in all layers and directions.

    Args:
        model ([`~transformers.PreTrainedModel`]): A model of this package, with adapters or without.

    Returns:
        `list[str]`: Their names in the model.

    Raises:
        `ValueError`: If there are no recurrent layers in `model`.

    Example:

    ```python
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.interop.peft import recurrent_weights

    >>> recurrent_weights(LSTMForCausalLM(LSTMConfig(vocab_size=10, hidden_size=8)))
    ['model.layers.0.weight_ih_l0', 'model.layers.0.weight_hh_l0']
    ```
    """
    model = recurrent_model(model)
    stacks = {"" if model.base_model is model else f"{model.base_model_prefix}.": model.base_model}
    if not hasattr(model.base_model, "layers"):  # of two parts, of which one may be none of ours
        parts = {name: getattr(model, name) for name in ("encoder", "decoder")}
        stacks = {f"{name}.": part for name, part in parts.items() if hasattr(part, "library")}
    names = []
    for prefix, stack in stacks.items():
        for i, layer in enumerate(stack.layers):
            weights = [name for names in bare_layer(layer)._names for name in names if name.startswith("weight")]
            names += [f"{prefix}layers.{i}.{name}" for name in weights]
    return names


def lora_config(model: PreTrainedModel, r: int = 8, **options: Any) -> "LoraConfig":
    """
    The configuration of a LoRA adapter on the recurrent weights of a model, for `peft.get_peft_model`, or for
    `add_adapter` of a model that has one already.

    Args:
        model ([`~transformers.PreTrainedModel`]): A model of this package.
        r (`int`, *optional*, defaults to 8): Rank of what is added to each weight.
        options: The other fields of `peft.LoraConfig`. `target_parameters` defaults to [`recurrent_weights`] and
            `task_type` to that of the model; the head of a classifier, with its CRF or its pooler, is added to
            `modules_to_save`.

    Returns:
        `peft.LoraConfig`: The configuration.

    Raises:
        `ImportError`: If peft is not installed.
        `ValueError`: If there are no recurrent layers in `model`.

    Example:

    ```python
    >>> from peft import get_peft_model
    >>> from hf_lstm import LSTMConfig, LSTMForTokenClassification
    >>> from hf_lstm.interop.peft import lora_config

    >>> model = LSTMForTokenClassification(LSTMConfig(vocab_size=10, hidden_size=8, use_crf=True))
    >>> config = lora_config(model, r=4, lora_alpha=8)
    >>> config.modules_to_save
    ['classifier', 'crf']
    >>> model = get_peft_model(model, config)
    >>> sorted(name for name, p in model.named_parameters() if p.requires_grad and "crf" in name)[0]
    'base_model.model.crf.modules_to_save.default.end_transitions'
    ```
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ImportError("Adapters need peft: `pip install peft`.") from error
    bare = recurrent_model(model)
    options.setdefault("target_parameters", recurrent_weights(bare))
    options.setdefault("task_type", _task_type(bare))
    named = list(options.pop("modules_to_save", None) or ())
    head = bare.head_modules() if hasattr(bare, "head_modules") else []
    modules_to_save = [*named, *(name for name in head if name not in named)]
    return LoraConfig(r=r, modules_to_save=modules_to_save or None, **options)


def _task_type(model: PreTrainedModel) -> str:
    return TASK_TYPES.get(model.pipeline_task, "FEATURE_EXTRACTION")

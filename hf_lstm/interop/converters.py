# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Models of this package from weights that others have saved, with equal logits: state dicts of `torch.nn.LSTM`, `GRU` or
`RNN`, alone or in a language model, and of AWD-LSTM.

| source | names of its tensors |
| --- | --- |
| `torch.nn.LSTM`, `GRU`, `RNN`; a model around one | `weight_ih_l0`, ..., with any prefix |
| pytorch/examples, `word_language_model` | `encoder.weight`, `rnn.weight_ih_l0`, `decoder.weight`, ... |
| salesforce/awd-lstm-lm | `encoder.weight`, `rnns.0.module.weight_hh_l0_raw`, `decoder.weight`, ... |
| fastai 1 and 2 | `0.encoder.weight`, `0.rnns.0.weight_hh_l0_raw`, `1.decoder.weight`, ... |

A pickle is a program, so none is ever run: files are read by safetensors, or by torch with `weights_only=True`, and
what can only be read otherwise is refused with what to do. From the command line:

    python -m hf_lstm.interop.converters weights.pt --output_dir my_model --vocabulary itos.json
"""

import argparse
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedModel
from transformers.utils.import_utils import check_torch_load_is_safe

from ..models.configuration_gru import GRUConfig
from ..models.configuration_lstm import LSTMConfig
from ..models.configuration_rnn import RNNConfig
from ..models.modeling_gru import GRUForCausalLM, GRUModel
from ..models.modeling_lstm import LSTMForCausalLM, LSTMModel
from ..models.modeling_rnn import RNNForCausalLM, RNNModel
from ..models.tokenization_lstm import LSTMTokenizer


Tensors = dict[str, torch.Tensor]

FAMILIES = {  # by the number of gates
    1: (RNNConfig, RNNModel, RNNForCausalLM),
    3: (GRUConfig, GRUModel, GRUForCausalLM),
    4: (LSTMConfig, LSTMModel, LSTMForCausalLM),
}
RECURRENT = re.compile(r"(?:(.*)\.)?((?:weight|bias)_(?:ih|hh|hr))_l(\d+)((?:_reverse)?)((?:_raw)?)")
# Where fastai keeps its input embedding a second time.
COPIES = re.compile(r"(.*\.)?(encoder_dp\.emb|encoder_with_dropout\.embed)\.weight")
QRNN = re.compile(r"(.*\.)?rnns\.\d+\.(layers\.\d+\.)?linear\..*")
NESTED = ("model", "state_dict", "model_state_dict")  # under which training scripts file a state dict
SPECIAL_TOKENS = {
    "unk_token": ("<unk>", "xxunk", "_unk_"),
    "pad_token": ("<pad>", "xxpad", "_pad_"),
    "bos_token": ("<s>", "<bos>", "xxbos", "xbos"),
    "eos_token": ("</s>", "<eos>", "xxeos", "_eos_"),
}


def from_torch(
    weights: str | os.PathLike | Mapping[str, torch.Tensor],
    embedding: str | None = "encoder",
    output: str | None = "decoder",
    **fields,
) -> PreTrainedModel:
    """
    A model with the weights of another one in PyTorch. Family, sizes, directions and tied embeddings follow from the
    tensors.

    Args:
        weights (`str`, `os.PathLike` or `Mapping[str, torch.Tensor]`):
            A state dict, or a file that holds one, saved by `torch.save` or safetensors.
        embedding (`str`, *optional*, defaults to `"encoder"`):
            Name of the input embedding, a `torch.nn.Embedding`, with the modules around it or without.
        output (`str`, *optional*, defaults to `"decoder"`): Name of the output layer, a `torch.nn.Linear`.
        fields: Fields of the configuration that the tensors do not show: dropout, special tokens, `vocab_size` where
            there is no embedding, `nonlinearity` of a plain network. `adaptive_cutoffs` if the tensors include
            `tail_vectors` and `tail_bias` of awd-lstm-lm's `SplitCrossEntropyLoss`: its `splits` between 0 and the
            end, [2800, 20000, 76000] for more than 75,000 tokens.

    Returns:
        [`~transformers.PreTrainedModel`]: In evaluation mode and in the type of the tensors: an `LSTMForCausalLM`,
        `GRUForCausalLM` or `RNNForCausalLM`, or if there is no output layer, an `LSTMModel`, `GRUModel` or `RNNModel`,
        whose embedding is new if there is none in the tensors.

    Raises:
        `ValueError`: If the file cannot be read without running a pickle, tensors are missing, left over or of
            another shape, or `fields` lack something or contradict the tensors.

    Example:

    ```python
    >>> import torch
    >>> from hf_lstm.interop.converters import from_torch

    >>> module = torch.nn.GRU(8, 16, num_layers=2, batch_first=True)
    >>> model = from_torch(module.state_dict(), vocab_size=100)
    >>> type(model).__name__, model.config.hidden_size, model.config.num_hidden_layers
    ('GRUModel', 16, 2)
    >>> x = torch.randn(1, 3, 8)
    >>> torch.allclose(model(inputs_embeds=x).last_hidden_state, module(x)[0], atol=1e-6)
    True
    ```
    """
    tensors = _tensors(weights)
    names = _recurrent_names(tensors)
    found, config_class, model_class, head_class = _describe_layers({to: tensors[name] for to, name in names.items()})
    table = _find(tensors, embedding, "weight")
    names |= {"embed_tokens.weight": table} if table else {}
    head = _head_names(tensors, output)
    if head:
        _check_head(head, table, embedding, output, found)
        model_class = head_class
        names = {f"model.{to}": name for to, name in names.items()} | head
        found["tie_word_embeddings"] = torch.equal(tensors[head["lm_head.weight"]], tensors[table])
        found["lm_head_bias"] = "lm_head.bias" in head
        if "lm_head.clusters.weight" in head:
            found["output_layer"] = "adaptive"
    if table:
        found["vocab_size"] = len(tensors[table])
    spare = _spare(tensors, set(names.values()), table)
    tensors = {name: tensor for name, tensor in tensors.items() if name not in spare}
    _check_fields(found, fields, config_class)
    model = model_class(config_class(**found | fields))
    _load(model, tensors, names, new=() if table else ("embed_tokens.weight",))
    return model.eval()


def _tensors(weights: str | os.PathLike | Mapping) -> Tensors:
    """The state dict in a file, or under one of the usual names in a dict."""
    found = _read(weights) if isinstance(weights, (str, os.PathLike)) else weights
    for name in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"`weights` holds a {type(found).__name__}: give a state dict, names with tensors.")
    wrong = [name for name, value in found.items() if not torch.is_tensor(value)]
    if wrong:
        raise ValueError(
            f"`weights` holds {wrong[:5]}, which are not tensors: give the state dict of the model alone."
        )
    return {name: tensor.detach() for name, tensor in found.items()}


def _read(path: str | os.PathLike):
    """What a file holds, without running a pickle."""
    if not os.path.isfile(path):
        raise ValueError(f"`weights` is {os.fspath(path)!r}, which is not a file: give a saved state dict.")
    if Path(path).suffix == ".safetensors":
        return load_file(path)
    check_torch_load_is_safe()
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"`weights` is {os.fspath(path)!r}, which holds more than tensors, or is damaged. To read objects of "
            "Python is to run a program, which is not done here. Where you trust the file, and the code of its "
            "classes is at hand, save the tensors alone: `model = torch.load(path, weights_only=False)`, of "
            "awd-lstm-lm `model, criterion, optimizer = torch.load(path, weights_only=False)`, and "
            '`torch.save(model.state_dict(), "weights.pt")`.'
        ) from error


def _recurrent_names(tensors: Tensors) -> dict[str, str]:
    """The names of the recurrent tensors, by those that they will have in a backbone."""
    qrnn = next((name for name in tensors if QRNN.fullmatch(name)), None)
    if qrnn:
        raise ValueError(
            f"`weights` holds {qrnn!r}, of a QRNN, a convolution with gates, which has no model here: give an LSTM."
        )
    modules = defaultdict(dict)  # by module, the names by layer and parameter
    for name in sorted(tensors, key=lambda name: name.endswith("_raw")):  # which are before dropout, and come last
        if match := RECURRENT.fullmatch(name):
            parent, kind, layer, reverse, _ = match.groups(default="")
            modules[re.sub(r"(^|\.)module$", "", parent)][int(layer), f"{kind}_l0{reverse}"] = name
    if len(modules) > 1:
        modules = {"": _numbered(modules)}
    layers = next(iter(modules.values()), {})
    if not layers:
        raise ValueError(
            f"`weights` holds no tensor named like `weight_ih_l0`, but {list(tensors)[:5]}: give the state dict of a "
            "`torch.nn.LSTM`, `GRU` or `RNN`, or of a model with one."
        )
    return {f"layers.{layer}.{name}": theirs for (layer, name), theirs in sorted(layers.items())}


def _numbered(modules: dict[str, dict]) -> dict[tuple[int, str], str]:
    """One stack from modules that are numbered and of one layer each."""
    places = {parent: re.fullmatch(r"(.*?)(\d+)", parent) for parent in modules}
    bases = {place and place[1] for place in places.values()}
    if len(bases) > 1 or None in bases or any(layer for names in modules.values() for layer, _ in names):
        raise ValueError(
            f"`weights` holds several recurrent modules, {sorted(modules)}, which are no stack: give the tensors of "
            "one of them."
        )
    return {(int(places[parent][2]), to): name for parent, names in modules.items() for (_, to), name in names.items()}


def _describe_layers(tensors: Tensors) -> tuple[dict, type, type, type]:
    """The fields of the configuration that a stack shows, and the classes of its family."""
    number = 1 + max(int(name.split(".")[1]) for name in tensors)
    needed = [f"layers.{i}.weight_{kind}_l0" for i in range(number) for kind in ("ih", "hh")]
    if missing := [name for name in needed if name not in tensors]:
        raise ValueError(f"`weights` lacks {', '.join(map(_their_name, missing))}: give all tensors of the module.")
    if wrong := [name for name in needed if tensors[name].dim() != 2]:
        raise ValueError(
            f"`weights` has {_their_name(wrong[0])} of shape {tuple(tensors[wrong[0]].shape)}: give a matrix."
        )
    recurrent = [tensors[f"layers.{i}.weight_hh_l0"] for i in range(number)]
    projections = [tensors.get(f"layers.{i}.weight_hr_l0") for i in range(number)]
    sizes = [len(w.T) if p is None else len(p.T) for w, p in zip(recurrent, projections, strict=True)]
    gates = {len(w) / size for w, size in zip(recurrent, sizes, strict=True)}
    if len(gates) > 1 or not gates <= FAMILIES.keys() or (projections[0] is not None and gates != {4}):
        raise ValueError(
            f"`weights` has recurrent weights of shape {[tuple(w.shape) for w in recurrent]}, which are not those of "
            "a `torch.nn.LSTM`, `GRU` or `RNN`: give those of one of them."
        )
    found = {
        "embedding_size": len(tensors["layers.0.weight_ih_l0"].T),
        "bidirectional": any(name.endswith("_reverse") for name in tensors),
        "bias": any(".bias_" in name for name in tensors),
        "num_hidden_layers": number,
        "hidden_size": sizes[-1],
    }
    if len(set(sizes)) > 1:
        found["hidden_sizes"] = sizes
    if projections[0] is not None:
        found["projection_size"] = len(projections[0])
    return found, *FAMILIES[int(gates.pop())]


def _their_name(name: str) -> str:
    """How the source calls a recurrent tensor of a layer, but for the prefix: in one module, or in a numbered one."""
    _, layer, parameter = name.removeprefix("model.").split(".")
    return f"`{parameter.replace('_l0', f'_l{layer}')}` (or `{layer}.{parameter}`)"


def _spare(tensors: Tensors, used: set[str], table: str | None) -> set[str]:
    """Tensors that say nothing: a second copy of the embedding, and recurrent weights after their dropout."""
    raw = {RECURRENT.fullmatch(name).group(2, 3, 4) for name in used if name.endswith("_raw")}
    dropped = {name for name in tensors.keys() - used if (m := RECURRENT.fullmatch(name)) and m.group(2, 3, 4) in raw}
    copies = (name for name in tensors if table and COPIES.fullmatch(name))
    return dropped | {name for name in copies if torch.equal(tensors[name], tensors[table])}


def _find(tensors: Tensors, module: str | None, parameter: str) -> str | None:
    """The full name of a tensor of a module that is named by the end of its name."""
    wanted = f"{module}.{parameter}"
    found = [name for name in tensors if module is not None and f".{name}".endswith(f".{wanted}")]
    if len(found) > 1:
        raise ValueError(f"`weights` holds {found}: say which of them is `{module}`, by its full name.")
    return found[0] if found else None


def _head_names(tensors: Tensors, output: str | None) -> dict[str, str]:
    """The names of the tensors of the output layer, by ours; none if there is no output layer."""
    parts = {"lm_head.weight": (output, "weight"), "lm_head.bias": (output, "bias")}
    head = {to: _find(tensors, *place) for to, place in parts.items()}
    for to, name in (("lm_head.clusters.weight", "tail_vectors"), ("lm_head.clusters.bias", "tail_bias")):
        head[to] = name if name in tensors and output is not None else None
    return {to: name for to, name in head.items() if name} if head["lm_head.weight"] else {}


def _check_head(head: dict[str, str], table: str | None, embedding: str | None, output: str | None, found: dict):
    leave_out = f"For the layers alone, leave {sorted(head.values())} out of `weights`."
    if not table:
        raise ValueError(f"`weights` has an output layer, `{output}`, but no `embedding={embedding!r}`. {leave_out}")
    if found["bidirectional"]:
        raise ValueError(
            f"`weights` has an output layer, `{output}`, over layers that read in both directions, which are no "
            f"language model. {leave_out}"
        )


def _check_fields(found: dict, fields: dict, config_class: type) -> None:
    """Refuse fields that contradict the tensors, and the lack of what tensors do not show."""
    for name, value in fields.items():
        if name in found and found[name] != value:
            raise ValueError(f"`{name}` is {value!r}, but `weights` shows {found[name]!r}: leave it out.")
    if config_class is RNNConfig and "nonlinearity" not in fields:
        raise ValueError(
            "`nonlinearity` is missing, and a plain recurrent network does not show it in its weights: give 'tanh', "
            "which is torch's own default, or 'relu'."
        )
    if "vocab_size" not in found | fields:
        raise ValueError(
            "`vocab_size` is missing, and `weights` has no embedding that shows it. Name the embedding, "
            "`embedding='...'`, or give a size for a new one."
        )
    if found.get("output_layer") == "adaptive" and not fields.get("adaptive_cutoffs"):
        raise ValueError(
            "`adaptive_cutoffs` is missing, and `weights` has the `tail_vectors` of an adaptive softmax: give the "
            "`splits` of awd-lstm-lm, [2800, 20000, 76000] for 75,000 to 500,000 tokens."
        )


def _load(model: PreTrainedModel, tensors: Tensors, names: dict[str, str], new: Sequence[str]) -> None:
    """Copy the tensors, all of them, into all parameters of the model but the new ones."""
    own = {name: tensor for name, tensor in model.state_dict().items() if name not in new}
    left_over = set(tensors) - set(names.values()) | {names[to] for to in names.keys() - own.keys()}
    if left_over:
        raise ValueError(
            f"`weights` has tensors without a place in a {type(model).__name__}: {sorted(left_over)}. Name the "
            "embedding and the output layer if they are among them, `embedding='...'` and `output='...'`; or give a "
            "state dict without them."
        )
    if missing := sorted(own.keys() - names.keys()):
        theirs = [_their_name(name) if ".layers." in f".{name}" else f"`{name}`" for name in missing]
        raise ValueError(f"`weights` lacks {', '.join(theirs)}: give all tensors of the model.")
    given = {to: tensors[name] for to, name in names.items()}
    for to, tensor in given.items():
        if tensor.shape != own[to].shape:
            raise ValueError(
                f"`weights` has {names[to]!r} of shape {tuple(tensor.shape)}, expected {tuple(own[to].shape)} beside "
                "the others."
            )
    for name in ("lm_head.clusters.weight", "lm_head.clusters.bias"):
        if name in given:
            given[name] = given[name].flip(0)  # awd-lstm-lm counts its clusters from the last
    model.to(next(iter(given.values())).dtype)
    model.load_state_dict(given, strict=not new)


def read_vocabulary(path: str | os.PathLike) -> list[str]:
    """
    The tokens of a vocabulary in the order of their ids: `itos` of fastai, `corpus.dictionary.idx2word` of
    awd-lstm-lm and `word_language_model`.

    Args:
        path (`str` or `os.PathLike`): A file of JSON with a list, a file of text with a token a line, or what
            `torch.save` made of a list.

    Returns:
        `list[str]`: The tokens.

    Raises:
        `ValueError`: If it is a pickle, as fastai saves it, which is not run, or no list of strings.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_lstm.interop.converters import read_vocabulary

    >>> _ = Path("itos.json").write_text('["xxunk", "xxpad", "the"]')
    >>> read_vocabulary("itos.json")
    ['xxunk', 'xxpad', 'the']
    ```
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"`path` is {str(path)!r}, which is not a file: give a vocabulary.")
    if path.suffix == ".json":
        found = json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".txt":
        found = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    else:
        found = _read_saved_list(path)
    if not isinstance(found, list) or not found or not all(isinstance(token, str) for token in found):
        raise ValueError(f"`path` is {str(path)!r}, which holds a {type(found).__name__}: give a list of strings.")
    return found


def _read_saved_list(path: Path):
    check_torch_load_is_safe()
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:
        raise ValueError(
            f"`path` is {str(path)!r}, which is a pickle, or damaged. To read one is to run a program, which is not "
            "done here. Where you trust the file, make a list of it: "
            f'`json.dump(list(pickle.load(open("{path.name}", "rb"))), open("{path.stem}.json", "w"))`.'
        ) from error


def word_tokenizer(tokens: Sequence[str]) -> LSTMTokenizer:
    """
    The tokenizer of a vocabulary, for text in which spaces separate the tokens, as awd-lstm-lm reads it and as fastai
    makes it of plain text (lower case, `xxmaj` before what had a capital, ...).

    Args:
        tokens (`Sequence[str]`): The tokens in the order of their ids. Unknown, padding, beginning and end are
            recognised by their usual names. What is there twice, as the `xxfake` of fastai, gets its id as a suffix.

    Returns:
        [`LSTMTokenizer`]: The tokenizer, without the characters or shapes of words.

    Raises:
        `ValueError`: If there are no tokens.

    Example:

    ```python
    >>> from hf_lstm.interop.converters import word_tokenizer

    >>> tokenizer = word_tokenizer(["xxunk", "xxpad", "xxbos", "the", "cat"])
    >>> tokenizer("xxbos the dog")["input_ids"], tokenizer.pad_token_id
    ([2, 3, 0], 1)
    ```
    """
    if not tokens:
        raise ValueError("`tokens` is empty: give the tokens of a vocabulary.")
    seen = Counter()
    vocabulary = {}
    for i, token in enumerate(tokens):
        vocabulary[f"{token}#{i}" if seen[token] else token] = i
        seen[token] += 1
    known = {name: [token for token in usual if token in vocabulary] for name, usual in SPECIAL_TOKENS.items()}
    named = {name: found[0] for name, found in known.items() if found}
    pipeline = Tokenizer(models.WordLevel(vocabulary, unk_token=named.get("unk_token", "<unk>")))
    pipeline.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return LSTMTokenizer(tokenizer_object=pipeline, kind="word", min_frequency=None, **named)


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a file to a folder that `from_pretrained` loads."""
    parser = argparse.ArgumentParser("python -m hf_lstm.interop.converters", description=main.__doc__)
    parser.add_argument("weights", help="a state dict, saved by torch.save or safetensors")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--vocabulary", help="tokens in the order of their ids: a JSON list, or a text file")
    parser.add_argument("--embedding", default="encoder", help="name of the input embedding")
    parser.add_argument("--output", default="decoder", help="name of the output layer")
    parser.add_argument("--nonlinearity", choices=["tanh", "relu"], help="of a plain recurrent network")
    parser.add_argument("--vocab_size", type=int, help="of a new embedding, where the file has none")
    parser.add_argument("--adaptive_cutoffs", type=int, nargs="+", help="`splits` of awd-lstm-lm")
    args = parser.parse_args(arguments)
    names = ("nonlinearity", "vocab_size", "adaptive_cutoffs")
    fields = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    tokenizer = None
    if args.vocabulary:
        tokens = read_vocabulary(args.vocabulary)
        tokenizer = word_tokenizer(tokens)
        special = (f"{name}_id" for name in SPECIAL_TOKENS)
        fields |= {"vocab_size": len(tokens)} | {name: getattr(tokenizer, name) for name in special}
    model = from_torch(args.weights, args.embedding, args.output, **fields)
    for part in (model, tokenizer):
        if part is not None:
            part.save_pretrained(args.output_dir)
    print(f"{type(model).__name__} with {model.num_parameters():,} parameters in {args.output_dir}")


if __name__ == "__main__":
    main()

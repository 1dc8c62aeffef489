# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Models for machines without torch: ONNX, and dynamic int8 of it. They need `pip install onnx onnxruntime`.

    python -m hf_lstm.interop.onnx FOLDER                  # a saved model -> FOLDER/onnx/model.onnx
    python -m hf_lstm.interop.onnx FOLDER --int8           # and model_quantized.onnx beside it

An encoder-decoder becomes two files, `encoder_model.onnx` and `decoder_model.onnx`; `..._quantized.onnx` beside them.
A pretrained encoder below a model is part of its file.

`torch.export.export(model, kwargs={...}, dynamic_shapes={...})` records a model in evaluation with dynamic batch size,
length and padding: every family and head, characters and context too, and of a CRF the best path, the posteriors and
the loss. Its example needs two rows at least, since torch takes a size of 1 for fixed, and `use_cache=False` for a
backbone, language model or encoder-decoder. Two things cannot be recorded: state, since a `RecurrentCache` is nothing
that a graph takes or returns, and `output_entity_probabilities`, whose number depends on the predictions.

Upstream, torch 2.13 takes `torch.lstm`, `torch.gru` and `torch.rnn_tanh` apart into as many steps as the example has,
so that even `torch.nn.LSTM` is recorded for one length only. Our layers are recorded as a loop instead, `scan`, which
torch calls a prototype; run without a compiler behind it, it takes ten times as long as the kernel (LSTM, H 10, 14
steps, one thread of an AMD EPYC). Prefer ONNX where you can.

`torch.compile(model, dynamic=True)` takes all models. Without padding and without word features or CRF a model is one
graph; an attention mask, characters and a CRF look at values, at which the graph is broken in two.
"""

import argparse
import copy
import logging
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoFeatureExtractor, AutoProcessor, AutoTokenizer, PreTrainedTokenizerBase

import hf_lstm

from ..models.pretrained import RecurrentPreTrainedModel, recurrent_model


QUANTIZED = "LSTM", "Gemm", "MatMul", "Gather"
# Rows that end early, begin late, have holes, are full, or are empty.
CHECKED_MASKS = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1], [1] * 6, [0] * 6])


# What makes inputs of texts or sounds, by the file that tells of it.
_READERS = {
    "processor_config.json": AutoProcessor,
    "tokenizer_config.json": AutoTokenizer,
    "preprocessor_config.json": AutoFeatureExtractor,
}


def export_onnx(
    model: RecurrentPreTrainedModel | str | os.PathLike,
    path: str | os.PathLike,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    tolerance: float = 1e-4,
) -> Path:
    """
    Write a model as ONNX, with configuration and tokenizer beside it, so that the folder is all that is needed.

    Batch size and length are dynamic, and padding may stand anywhere in the attention mask. Inputs and outputs have
    the names and shapes of the model's `forward`, ids and masks in int64 as tokenizers return them:

    - a backbone or language model in one direction also reads and returns its state: of each layer
      `past_key_values.{i}.h`, zeros of shape `(B, 1, H)` to begin with, and for an LSTM `past_key_values.{i}.c`; they
      come out as `present.{i}.h` and `.c`. With a projection, `h` is the output before it;
    - a tagger with a CRF returns `predictions`, the best path that its tag scheme allows and -100 at padding, and as
      `logits` the logarithms of the posteriors. All tokens with a 1 in the attention mask are part of the path: there
      is no `tag_mask`;
    - a model that reads a pretrained encoder has all of it in the file, as `torch.onnx.export` records it: it reads
      `encoder_ids`, -1 at padding, and `encoder_spans`, as its tokenizer returns them, and long texts in windows.

    An encoder-decoder becomes two files in a folder, with the names that optimum uses; `examples/translate_onnx.py`
    has loops that search with them, greedily and by beams:

    - `encoder_model.onnx`, run once, reads what the encoder reads of N sources and returns what the decoder reads of
      them: `keys`, `values` and the state before the first token, `present.{i}.h`, `.c`, and `present.feed` with input
      feeding, of shape `(N, .)`;
    - `decoder_model.onnx` is one step. It reads `tokens` of shape `(B,)`, the state as `past_key_values.{i}.h`, ... of
      shape `(B, .)`, `keys`, `values` and the `attention_mask` of the N sources, and `top_k` of shape `(1,)`. B is N
      or a multiple of it: rows that follow each other share a source, as beams do. It returns `logits` of shape
      `(B, V)`, the state after the tokens, `cross_attentions` of shape `(B, heads, S)`, and of the `top_k` best next
      tokens the log-probabilities `top_scores` and the ids `top_tokens`, of shape `(B, top_k)`, the best first.

    What was written is compared with the model, in onnxruntime, on random batches padded in every way.

    Args:
        model ([`RecurrentPreTrainedModel`], `str` or `os.PathLike`): A model of any family and head, or the folder of
            a saved one, whose tokenizer is taken too.
        path (`str` or `os.PathLike`): File to write, usually `"some_folder/model.onnx"`; of an encoder-decoder the
            folder.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`], *optional*): Saved beside the file.
        tolerance (`float`, *optional*, defaults to 1e-4): The largest difference allowed, relative to values above 1.

    Returns:
        `Path`: The file, or the folder.

    Raises:
        `ImportError`: If onnx or onnxruntime is missing.
        `ValueError`: If `model` is none of ours, is an encoder-decoder with an encoder that is none of ours, or
            computes something else than was written, as a subclass may; if it reads an encoder that torch cannot
            record, or of more than 2 GB; if `path` is a file where it must be a folder.

    Example:

    ```python
    >>> import onnxruntime
    >>> import torch
    >>> from hf_lstm import LSTMConfig, LSTMForTokenClassification
    >>> from hf_lstm.interop.onnx import export_onnx

    >>> labels = ["O", "B-PER", "I-PER"]
    >>> config = LSTMConfig(vocab_size=100, hidden_size=8, use_crf=True, id2label=dict(enumerate(labels)))
    >>> path = export_onnx(LSTMForTokenClassification(config), "onnx/model.onnx")
    >>> session = onnxruntime.InferenceSession(path)
    >>> ids, mask = torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]])
    >>> session.run(["predictions"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0].shape
    (2, 3)
    ```
    """
    path = Path(path)
    if isinstance(model, (str, os.PathLike)):
        model, own_tokenizer = _load(Path(model))
        tokenizer = tokenizer or own_tokenizer
    if recurrent_model(model) is not model:
        raise ValueError(
            f"`model` is a {type(model).__name__} with adapters of peft. Pass what `merge_and_unload()` makes of it."
        )
    model = copy.deepcopy(model).float().cpu().eval()
    graphs = _graphs(model, path, tolerance)
    folder = path if model.config.is_encoder_decoder else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    for file, graph in graphs.items():
        file.write_bytes(graph)
    if not any(folder.glob("*.safetensors")):  # a saved model has its own
        model.config.auto_map = None  # of models, whose code and weights are not here
        model.config.save_pretrained(folder)
        if model.config.is_encoder_decoder:
            model.generation_config.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
    return path


def _graphs(model: RecurrentPreTrainedModel, path: Path, tolerance: float) -> dict[Path, bytes]:
    """The files to write, checked against the model."""
    from .onnx_encoder_decoder import build_models  # which need onnx
    from .onnx_graph import build_model

    if not model.config.is_encoder_decoder:
        graph = build_model(model).SerializeToString()
        check(model, graph, tolerance)
        return {path: graph}
    if path.suffix == ".onnx":
        raise ValueError(
            f"`path` is {str(path)!r}, one file, and an encoder-decoder becomes two. Pass the folder to write them to."
        )
    graphs = {name: graph.SerializeToString() for name, graph in build_models(model).items()}
    check_steps(model, *graphs.values(), tolerance)
    return {path / f"{name}.onnx": graph for name, graph in graphs.items()}


def _load(folder: Path) -> tuple[RecurrentPreTrainedModel, PreTrainedTokenizerBase | None]:
    """A saved model, by our own code, and its tokenizer where there is one."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"`model` is {str(folder)!r}, which holds no config.json. Pass the folder of a saved model.")
    name = (AutoConfig.from_pretrained(folder).architectures or ["no model"])[0]
    model_class = getattr(hf_lstm, name, None)
    if model_class is None:
        raise ValueError(
            f"`model` is {str(folder)!r}, which holds {name}, no class of hf_lstm. Load it and pass the model itself."
        )
    reader = next((each for file, each in _READERS.items() if (folder / file).is_file()), None)
    return model_class.from_pretrained(folder), reader and reader.from_pretrained(folder)


def check(model: RecurrentPreTrainedModel, onnx_model: bytes, tolerance: float) -> None:
    """
    Compare a model with what was exported of it, on random batches. What continues from a state reads them in two
    parts.

    Raises:
        `ValueError`: If they differ.
    """
    reads_encoder = getattr(model.config, "encoder", None) is not None
    batches = [_random_batch(model), *([_long_batch(model)] if reads_encoder else [])]
    with torch.no_grad():
        expected = [model(**batch) for batch in batches]
    try:
        session = session_of(onnx_model)
        results = [_run(session, {name: tensor.numpy() for name, tensor in batch.items()}) for batch in batches]
    except Exception as error:
        if not reads_encoder or isinstance(error, ImportError):
            raise
        raise ValueError(f"`model` cannot be run in onnxruntime: {str(error)!r:.200}. {_remedy(model)}") from error
    for pair in zip(results, expected, strict=True):
        _compare(model, *pair, tolerance)


def check_steps(model: RecurrentPreTrainedModel, encoder: bytes, decoder: bytes, tolerance: float) -> None:
    """
    Compare an encoder-decoder with what was exported of it, on random sources with two targets each.

    Raises:
        `ValueError`: If they differ.
    """
    encode, decode = session_of(encoder), session_of(decoder)
    batch = _random_batch(model.encoder)
    shape, random = (2 * len(CHECKED_MASKS), 3), torch.Generator().manual_seed(1)
    tokens = torch.randint(model.config.decoder.vocab_size, shape, generator=random)
    with torch.no_grad():
        options = {"decoder_attention_mask": torch.ones_like(tokens), "output_attentions": True}
        expected = model(**batch, decoder_input_ids=tokens, **options)
    inputs = {name: tensor.numpy() for name, tensor in batch.items()}
    outputs = _named(encode, inputs)
    memory = {name: outputs.pop(name) for name in ("keys", "values")}
    memory |= {"attention_mask": CHECKED_MASKS, "top_k": np.array([1])}
    outputs = {name: value.repeat(2, axis=0) for name, value in outputs.items()}
    steps = []
    for now in tokens.numpy().T:
        state = {name.replace("present", "past_key_values"): outputs[name] for name in outputs if "present" in name}
        outputs = _named(decode, {"tokens": now} | memory | state)
        steps.append((outputs["logits"], outputs["cross_attentions"]))
    logits, weights = map(np.stack, zip(*steps, strict=True))
    found = {"logits": logits.swapaxes(0, 1), "cross_attentions": np.moveaxis(weights, 0, 2)}
    _compare(model, found, dict(expected) | {"cross_attentions": expected.cross_attentions[0]}, tolerance)


def _compare(model, found: dict[str, np.ndarray], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    for name, value in found.items():
        if name not in expected:
            raise ValueError(
                f"`model` has {name!r} in its `onnx_outputs`, but `forward` returns {list(expected)}: use its names."
            )
        difference = np.abs(value - expected[name].numpy()) / np.abs(expected[name].numpy()).clip(1)
        if not difference.max() <= tolerance:
            raise ValueError(
                f"`model` gives other {name} than its export, which differ by {difference.max():.1e}, more than "
                f"`tolerance={tolerance}`. {_remedy(model)}"
            )


def _remedy(model: RecurrentPreTrainedModel) -> str:
    """What to do about a model whose export computes something else."""
    said = "A subclass that computes something of its own cannot be exported."
    config = model.config.encoder if model.config.is_encoder_decoder else model.config
    if getattr(config, "encoder", None) is None:
        return said
    return (
        f"{said} Nor can encoders whose steps depend on the example by which they are recorded: this one is of the "
        f"kind {config.encoder.model_type!r}. Export a model with another, such as BERT, or run this one in torch."
    )


def session_of(model: bytes | str):
    """A model in onnxruntime, on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("To run ONNX needs onnxruntime: `pip install onnxruntime`.") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, too
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs but for the state, if there is one with the batch in two parts."""
    states = [each for each in session.get_inputs() if each.name.startswith("past_key_values.")]
    if not states:
        return _named(session, inputs)
    rows, whole = len(inputs["attention_mask"]), ("context_ids", "encoder_ids")
    state = {each.name: np.zeros((rows, *each.shape[1:]), np.float32) for each in states}
    parts = []
    for part in (slice(2), slice(2, None)):
        given = {name: value if name in whole else value[:, part] for name, value in inputs.items()}
        found = _named(session, given | state)
        after = [name for name in found if "present" in name]
        state = {name.replace("present", "past_key_values"): found.pop(name) for name in after}
        parts.append(found)
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def _named(session, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by their names."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def _random_batch(model: RecurrentPreTrainedModel, mask: np.ndarray = CHECKED_MASKS) -> dict[str, torch.Tensor]:
    """Inputs that use all that the model reads."""
    config, mask = model.config, torch.from_numpy(mask)
    random = torch.Generator().manual_seed(0)

    def ids(size: int, *more: int, least: int = 0) -> torch.Tensor:
        return torch.randint(least, size, (*mask.shape, *more), generator=random)

    batch, backbone = {"attention_mask": mask}, model.base_model
    if backbone.reads_features:
        batch[backbone.features_name] = torch.randn(*mask.shape, backbone.embeds_size, generator=random)
    else:
        batch["input_ids"] = ids(config.vocab_size)
    if backbone.char_encoder is not None:
        batch["char_ids"] = ids(config.char_vocab_size, 5, least=1) * (torch.arange(5) < ids(6, 1))
    if backbone.embed_shapes is not None:
        batch["shape_ids"] = ids(config.shape_vocab_size)
    if backbone.context_encoder is not None:
        characters = torch.arange(1, mask.shape[1] + 1)
        text = ids(config.context_configs[0].vocab_size, least=1)
        batch["context_ids"] = F.pad(text, (1, 1), value=1) * (torch.arange(len(characters) + 2) < 3 + ids(5)[:, :1])
        last = characters.minimum((batch["context_ids"] != 0).sum(1, keepdim=True) - 1)
        batch["context_spans"] = torch.stack([(last - 1).clamp(min=1), last], -1) * mask[..., None]
    if backbone.piece_encoder is not None:
        kept = torch.rand(len(mask), 11, generator=random) < torch.linspace(1, 0, len(mask))[:, None]
        batch |= _random_pieces(model, mask, kept, random)
    return batch


def _random_pieces(model, mask: torch.Tensor, kept: torch.Tensor, random: torch.Generator) -> dict[str, torch.Tensor]:
    """Pieces of texts (B, S), padding where they are not `kept`, and tokens (B, T) of up to three, some of none."""
    pieces = torch.randint(model.config.encoder.vocab_size, kept.shape, generator=random)
    number = kept.sum(1, keepdim=True)
    first = 1 + (torch.rand(mask.shape, generator=random) * number).long()
    last = (first + torch.randint(3, mask.shape, generator=random)).minimum(number)
    some = (torch.rand(mask.shape, generator=random) < 0.8) & (number > 0) & (mask != 0)
    return {"encoder_ids": pieces.where(kept, -1), "encoder_spans": torch.stack([first, last], -1) * some[..., None]}


def _long_batch(model: RecurrentPreTrainedModel) -> dict[str, torch.Tensor]:
    """One text that its encoder reads in two windows, where it would not take too long, or else of many pieces."""
    mask, number = np.ones((1, 6), np.int64), min(model.config.encoder_window + 1, 600)
    kept, random = torch.ones(1, number, dtype=torch.bool), torch.Generator().manual_seed(2)
    return _random_batch(model, mask) | _random_pieces(model, torch.from_numpy(mask), kept, random)


def quantize_onnx(path: str | os.PathLike, output: str | os.PathLike | None = None) -> Path:
    """
    Make the weights of an exported model 8-bit integers, by onnxruntime's dynamic quantization: a quarter of the size.

    The layers of an LSTM and all linear layers then multiply integers; embeddings and the filters over characters are
    only stored so. Onnxruntime has no such operator for GRU and RNN, whose layers stay in float32: their models become
    smaller by what else they hold. In matrices of a pretrained encoder each column has a scale of its own.

    Args:
        path (`str` or `os.PathLike`): What [`export_onnx`] wrote: a file, or the folder of an encoder-decoder.
        output (`str` or `os.PathLike`, *optional*): File, or folder, to write; `model_quantized.onnx` beside a
            `model.onnx`.

    Returns:
        `Path`: The file, or the folder.

    Raises:
        `ImportError`: If onnx or onnxruntime is missing.
        `ValueError`: If there is no file at `path`.
    """
    path, output = Path(path), None if output is None else Path(output)
    if path.is_dir():
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        for name in ("encoder_model", "decoder_model"):
            quantize_onnx(path / f"{name}.onnx", output and output / f"{name}_quantized.onnx")
        return output or path
    if not path.is_file():
        raise ValueError(f"`path` is {str(path)!r}, where no file is. Pass one that `export_onnx` wrote.")
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        from .onnx_operators import ENCODER
    except ImportError as error:
        raise ImportError("To quantize ONNX needs onnx and onnxruntime: `pip install onnx onnxruntime`.") from error
    output = output or path.with_name(f"{path.stem}_quantized.onnx")
    model = onnx.load(path)
    graph = model.graph
    _separate_tables(graph)
    weights = {constant.name for constant in graph.initializer}
    computed = [node.name for node in graph.node if node.op_type == "Gather" and node.input[0] not in weights]
    # With one scale for a matrix of the encoder a small tagger lost 4 points of F1, with one for a column none.
    by_column = any(node.name.startswith(ENCODER) for node in graph.node)
    options = {"weight_type": QuantType.QInt8, "per_channel": by_column, "nodes_to_exclude": computed}
    logging.disable(logging.WARNING)  # which ask for a preparation that these graphs do not need
    try:
        quantize_dynamic(model, output, op_types_to_quantize=QUANTIZED, **options)
    finally:
        logging.disable(logging.NOTSET)
    return output


def _separate_tables(graph) -> None:
    """Give each Gemm its own weight: onnxruntime up to 1.29 transposes one that an embedding shares, for both."""
    weights = {constant.name: constant for constant in graph.initializer}
    looked_up = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    for node in graph.node:
        if node.op_type == "Gemm" and node.input[1] in looked_up & weights.keys():
            own = graph.initializer.add()
            own.CopyFrom(weights[node.input[1]])
            own.name = node.input[1] = f"{own.name}_of_{node.name}"


def main(command_line: list[str] | None = None) -> None:
    """The command line at the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of a saved model")
    parser.add_argument(
        "--output", type=Path, help="file to write (default: FOLDER/onnx/model.onnx), or folder (FOLDER/onnx)"
    )
    parser.add_argument("--int8", action="store_true", help="write a quantized one, too")
    args = parser.parse_args(command_line)
    from .onnx_sound import export_features  # which needs onnx

    try:
        model, tokenizer = _load(args.folder)
        output = args.folder / "onnx" if model.config.is_encoder_decoder else args.folder / "onnx" / "model.onnx"
        path = export_onnx(model, args.output or output, tokenizer=tokenizer)
        extractor = getattr(tokenizer, "feature_extractor", tokenizer)
        if hasattr(extractor, "samples_of_step") and not extractor.num_deltas:
            print(export_features(extractor, path.with_name("features.onnx")))
    except ValueError as error:
        parser.error(str(error))
    written = [path, quantize_onnx(path)] if args.int8 else [path]
    for file in sorted(path.glob("*.onnx")) if path.is_dir() else written:
        print(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()

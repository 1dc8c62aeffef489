# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The `README.md` of a saved model: what the Hub reads of it, and what a person should know before using it.

All that a card says is read off the saved folder, the model and its tokenizer, or was handed in by whoever measured
it. What nobody knows is left out.
"""

import dataclasses
import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

import hf_lstm

from .folders import files_and_code, line_of, project, section, task_of, usage


FAMILIES = {"lstm": "an LSTM", "gru": "a gated recurrent unit network (GRU)", "rnn": "a plain recurrent network"}

PAPERS = {
    "lstm": "Hochreiter and Schmidhuber (1997). Long Short-Term Memory. Neural Computation 9(8).",
    "gru": "Cho et al. (2014). Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine "
    "Translation. EMNLP.",
    "rnn": "Elman (1990). Finding Structure in Time. Cognitive Science 14(2).",
    "cnn": "Ma and Hovy (2016). End-to-end Sequence Labeling via Bi-directional LSTM-CNNs-CRF. ACL.",
    "recurrent": "Lample et al. (2016). Neural Architectures for Named Entity Recognition. NAACL.",
    "context": "Akbik, Blythe and Vollgraf (2018). Contextual String Embeddings for Sequence Labeling. COLING.",
    "adaptive": "Grave et al. (2017). Efficient softmax approximation for GPUs. ICML.",
    "mixture": "Yang et al. (2018). Breaking the Softmax Bottleneck: A High-Rank RNN Language Model. ICLR.",
    "recurrent_encoder_decoder": "Sutskever, Vinyals and Le (2014). Sequence to Sequence Learning with Neural "
    "Networks. NeurIPS.",
    "additive": "Bahdanau, Cho and Bengio (2015). Neural Machine Translation by Jointly Learning to Align and "
    "Translate. ICLR.",
    "general": "Luong, Pham and Manning (2015). Effective Approaches to Attention-based Neural Machine Translation. "
    "EMNLP.",
    "scaled_dot": "Vaswani et al. (2017). Attention Is All You Need. NeurIPS.",
    "crf": "Lafferty, McCallum and Pereira (2001). Conditional Random Fields: Probabilistic Models for Segmenting and "
    "Labeling Sequence Data. ICML.",
}

MOST_LABELS = 40  # of which the card gives the names

# Fields of the configuration that say what a model is, not how it was made.
_NO_HYPERPARAMETERS = {
    "architectures",
    "auto_map",
    "context_models",  # two configurations
    "dtype",
    "id2label",
    "label2id",
    "model_type",
    "problem_type",
    "transformers_version",
    "use_cache",  # which Trainer turns off
}
# How the names of training arguments begin that change no weight: where things are written, what is told about them.
_NO_EFFECT = (
    "dataloader_num_workers",
    "dataloader_persistent_workers",
    "dataloader_pin_memory",
    "dataloader_prefetch_factor",
    "disable_tqdm",
    "do_",
    "hub_",
    "log",
    "output_dir",
    "project",
    "push_to_hub",
    "report_to",
    "resume_from_checkpoint",
    "run_name",
    "save_",
    "trackio",
    "use_cpu",
)


@dataclass(frozen=True)
class TrainingData:
    """
    The data that a model was trained and measured on.

    Args:
        name (`str`): What people call it.
        splits (`Mapping[str, Mapping[str, int]]`, *optional*): How much of what is in each split, as counted:
            `{"train": {"sentences": 14041, "tokens": 203621}}`.
        hub_id (`str`, *optional*): Its id on the Hub, where it is there.
        config (`str`, *optional*): The configuration of `load_dataset`.
        revision (`str`, *optional*): The commit on the Hub.
        license (`str`, *optional*): The licence of the data, which need not be that of the model.
        description (`str`, *optional*): Sentences in Markdown: where it comes from, how it was prepared.
        citation (`str`, *optional*): The paper that describes it.
    """

    name: str
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    hub_id: str | None = None
    config: str | None = None
    revision: str | None = None
    license: str | None = None
    description: str | None = None
    citation: str | None = None


@dataclass(frozen=True)
class Measurement:
    """
    A measured value.

    Args:
        metric (`str`): Id of the metric as on the Hub, such as `"f1"` or `"perplexity"`.
        value (`float`): The value of the saved model.
        split (`str`): The split that it was measured on.
        name (`str`, *optional*): What people call it, such as `"F1 of entities"`.
        over_seeds (`Sequence[float]`, *optional*): The values of at least two runs that differ in their seed alone, of
            which the card gives mean and standard deviation.
        of (`str`, *optional*): The baseline whose value this is, if it is not the model's: stands in the table of the
            card and not in its metadata.

    Raises:
        `ValueError`: If a value is not a finite number, or there is a single seed.
    """

    metric: str
    value: float
    split: str
    name: str | None = None
    over_seeds: Sequence[float] = ()
    of: str | None = None

    def __post_init__(self):
        for argument, value in [("value", self.value), *(("over_seeds", value) for value in self.over_seeds)]:
            if not math.isfinite(value):
                raise ValueError(
                    f"`{argument}` of {self.metric!r} is {value!r}: give a finite number, or leave it out."
                )
        if len(self.over_seeds) == 1:
            raise ValueError(
                f"`over_seeds` of {self.metric!r} is {self.over_seeds!r}, and one value has no spread: give two or "
                "more, or leave it out."
            )

    @property
    def label(self) -> str:
        return self.name or self.metric


def write_model_card(
    folder: str | os.PathLike,
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None = None,
    data: TrainingData,
    results: Iterable[Measurement] = (),
    reports: Mapping[str, Mapping] | None = None,
    task: str | None = None,
    name: str | None = None,
    repo_id: str | None = None,
    language: str | list[str] | None = None,
    license: str | None = None,
    base_model: str | None = None,
    tags: Iterable[str] = (),
    example: str | None = None,
    training_args: TrainingArguments | None = None,
    procedure: str | None = None,
    command: str | None = None,
    seconds: float | None = None,
    device: str | None = None,
    limitations: Iterable[str] = (),
) -> ModelCard:
    """
    Write `README.md` into the folder of a saved model. Call it last, after `save_model` and all measurements.

    [`~card_trainer.CardTrainer`] calls it by itself. A plain `Trainer.push_to_hub` puts a README of its own in its
    place: push the folder with `huggingface_hub.upload_folder`.

    Args:
        folder (`str` or `os.PathLike`): Where the model, and the tokenizer if there is one, were saved.
        model ([`PreTrainedModel`]): The saved model.
        tokenizer ([`PreTrainedTokenizerBase`], *optional*): The saved tokenizer.
        data ([`TrainingData`]): What it was trained on.
        results (iterable of [`Measurement`], *optional*): What was measured, baselines included.
        reports (`Mapping[str, dict]`, *optional*): Tables of [`~reports.entity_report`] or
            [`~reports.token_report`], each under what it is about: `{"Entities of the test split": report}`.
        task (`str`, *optional*): The task as on the Hub. By default what the head is for.
        name (`str`, *optional*): Name of the model; by default that of the folder.
        repo_id (`str`, *optional*): Where the snippets load from, `"user/name"`; by default the folder, `"./name"`.
        language (`str` or `list[str]`, *optional*): ISO 639 codes.
        license (`str`, *optional*): Licence of the weights, as on the Hub: `"apache-2.0"`.
        base_model (`str`, *optional*): Id on the Hub of the model that training began from.
        tags (iterable of `str`, *optional*): More tags.
        example (`str`, *optional*): A text for the snippets to read, or to go on from.
        training_args ([`TrainingArguments`], *optional*): The card says what differs from the defaults.
        procedure (`str`, *optional*): Sentences in Markdown about what the arguments cannot say.
        command (`str`, *optional*): The shell command that trained and measured.
        seconds (`float`, *optional*): How long training took.
        device (`str`, *optional*): What it took that long on: `"one thread of a CPU"`.
        limitations (iterable of `str`, *optional*): Sentences, one for each known limit.

    Returns:
        [`~huggingface_hub.ModelCard`]: The card, which `card.save(path)` copies elsewhere.

    Raises:
        `ValueError`: If the folder does not hold the model as safetensors, or the task is unknown.

    Example:

    ```python
    >>> import tempfile
    >>> from hf_lstm import LSTMConfig, LSTMForCausalLM
    >>> from hf_lstm.hub.cards import Measurement, TrainingData, write_model_card

    >>> model, folder = LSTMForCausalLM(LSTMConfig(vocab_size=100)), tempfile.mkdtemp()
    >>> model.save_pretrained(folder)
    >>> results = [Measurement("perplexity", 43.21, "validation")]
    >>> card = write_model_card(folder, model=model, data=TrainingData("My diary"), results=results, name="diary")
    >>> card.data.pipeline_tag
    'text-generation'
    ```
    """
    folder, results = Path(folder), list(results)
    _check_saved(folder, model)
    task = task or _task(model)
    name, repo_id = name or folder.resolve().name, repo_id or f"./{folder.resolve().name}"
    header = ModelCardData(
        language=language,
        license=license,
        base_model=base_model,
        library_name="transformers",  # the one whose snippets the Hub shows; `custom_code` adds trust_remote_code
        pipeline_tag=task,
        tags=[*dict.fromkeys(["hf_lstm", *_kinds(model), "custom_code", *tags])],
        datasets=[data.hub_id] if data.hub_id else None,
        metrics=list(dict.fromkeys(result.metric for result in results if result.of is None)) or None,
        widget=[{"text": example}] if example else None,
        **_eval_results(name, task, data, results),
    )
    sections = [
        f"# {name}",
        _summary(folder, model, tokenizer, task, data),
        usage(model, task, repo_id, example, (folder / "tokenizer_config.json").is_file()),
        files_and_code(folder),
        _data(data),
        _training(model, base_model, training_args, procedure, command, seconds, device),
        _results(name, results, reports or {}),
        section("## Limits", _bullets(limitations)),
        _citation(model, data),
    ]
    card = ModelCard(f"---\n{header.to_yaml()}\n---\n\n" + "\n\n".join(filter(None, sections)) + "\n")
    card.save(folder / "README.md")
    return card


def _check_saved(folder: Path, model: PreTrainedModel) -> None:
    """Raise ValueError unless `folder` holds the configuration, the weights and the code of a model of this class."""
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")) or not any(folder.glob("*.py")):
        raise ValueError(
            f"`folder` is {os.fspath(folder)!r}, which does not hold a model, its weights and its code. Save it there "
            "first: `model.save_pretrained(folder)`."
        )
    saved = _saved_config(folder).get("architectures")
    if saved != [_class_name(model)]:
        raise ValueError(
            f"`folder` is {os.fspath(folder)!r} and holds {saved!r}, but `model` is a {_class_name(model)}. Give "
            "the folder that this model was saved in."
        )


def _class_name(model: PreTrainedModel) -> str:
    return type(model).__name__.removeprefix("FSDP")  # which sharding puts before it


def _saved_config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _task(model: PreTrainedModel) -> str:
    task = task_of(model)
    if task in (None, "feature-extraction"):
        raise ValueError(f"`task` of a {type(model).__name__} is not known. Give one, such as 'feature-extraction'.")
    return task


def _eval_results(name: str, task: str, data: TrainingData, results: list[Measurement]) -> dict:
    """The arguments of `ModelCardData` from which it makes the model index; none without results."""
    own = [
        EvalResult(
            task_type=task,
            dataset_type=data.hub_id or data.name,
            dataset_name=data.name,
            dataset_config=data.config,
            dataset_revision=data.revision,
            dataset_split=result.split,
            metric_type=result.metric,
            metric_name=result.name,
            metric_value=float(result.value),  # YAML knows no numbers of NumPy
        )
        for result in results
        if result.of is None
    ]
    return {"model_name": name, "eval_results": own} if own else {}


def _summary(folder: Path, model, tokenizer, task: str, data: TrainingData) -> str:
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    lines = [
        f"`{_class_name(model)}` for {task.replace('-', ' ')}, trained on {data.name} with "
        f"{project()}: {_architecture(model)}.",
        f"It has {model.num_parameters():,} parameters, {_size(weights)} of {_saved_config(folder)['dtype']} weights.",
    ]
    if tokenizer is not None:
        kind = tokenizer.init_kwargs.get("kind")
        of_kind = f" of kind `{kind}`" if kind else ""
        written = f", and {len(tokenizer.target):,} of what it writes" if hasattr(tokenizer, "target") else ""
        size = f"{len(tokenizer):,} tokens{written}"
        lines.append(f"Its tokenizer is `{type(tokenizer).__name__}`{of_kind} with {size}.")
    return " ".join(lines)


def _architecture(model: PreTrainedModel) -> str:
    networks = [f"whose {name} is {_network(part)}" for name, part in _parts(model)]
    if attention := getattr(model.config, "attention", None):
        heads = _count(model.config.num_attention_heads, "head")
        networks.append(f"with {attention.replace('_', ' ')} attention of {heads}")
    parts = [f"a model {'; '.join(networks)}" if networks else _network(model.config)]
    if _has_crf(model):
        parts.append("with a linear-chain CRF over the labels")
    if layer := _output_layer(model):
        parts.append({"adaptive": "with an adaptive softmax", "mixture": "with a mixture of softmaxes"}[layer])
    return ", ".join(parts) + _labels(model)


def _parts(model: PreTrainedModel) -> list[tuple[str, PreTrainedConfig]]:
    """The configurations of a composed model, as of encoder and decoder, by their names; of others none."""
    return [(name, part) for name, part in vars(model.config).items() if isinstance(part, PreTrainedConfig)]


def _network(config: PreTrainedConfig) -> str:
    layers = _count(config.num_hidden_layers, "layer")
    if not hasattr(config, "num_directions"):  # an encoder of somebody else
        return f"a network of kind `{config.model_type}`, {layers}, {config.hidden_size} units"
    sizes = " and ".join(", ".join(map(str, config.hidden_sizes or [config.hidden_size])).rsplit(", ", 1))
    family = FAMILIES.get(getattr(config, "cell", config.model_type), "a recurrent network")
    parts = [f"{family} of {layers}, {sizes} units"]
    if config.num_directions == 2:
        parts[0] += " in each of two directions"
    if getattr(config, "projection_size", None):
        parts.append(f"projected to {config.projection_size}")
    if not hasattr(config, "input_size"):  # of sounds
        return ", ".join([*parts, f"on features of size {config.feature_size}"])
    parts.append(f"on token embeddings of size {config.input_size}")
    if config.char_vocab_size:
        encoder = {"cnn": "a convolution over", "recurrent": "a recurrent layer over"}[config.char_encoder]
        parts.append(f"with {config.char_hidden_size} features of each token from {encoder} its characters")
    if config.shape_vocab_size:
        parts.append(f"with embeddings of size {config.shape_embedding_size} of {config.shape_vocab_size} word shapes")
    if config.context_models:
        parts.append("with the states of two language models of characters, one in each direction, at each token")
    return ", ".join(parts)


def _kinds(model: PreTrainedModel) -> list[str]:
    """The tags of what a model is made of."""
    configs = (model.config, *dict(_parts(model)).values())
    kinds = [kind for each in configs for kind in (each.model_type, getattr(each, "cell", None)) if kind]
    return [*kinds, *(["crf"] if _has_crf(model) else [])]


def _has_crf(model: PreTrainedModel) -> bool:
    return getattr(model, "crf", None) is not None  # `use_crf` has no effect on other heads


def _output_layer(model: PreTrainedModel) -> str | None:
    """That of a model that writes, if it is not a plain softmax."""
    config = model.config.get_text_config(decoder=True)
    layer = getattr(config, "output_layer", "softmax") if model.can_generate() else "softmax"
    return None if layer == "softmax" else layer


def _labels(model: PreTrainedModel) -> str:
    """How many labels a classifier has, and which."""
    if model.pipeline_task not in ("text-classification", "token-classification"):
        return ""
    names = list(model.config.id2label.values())
    listed = ": " + ", ".join(f"`{label}`" for label in names) if len(names) <= MOST_LABELS else ""
    return f"; {len(names)} labels{listed}"


def _data(data: TrainingData) -> str:
    name = f"[{data.name}](https://huggingface.co/datasets/{data.hub_id})" if data.hub_id else data.name
    facts = {"configuration": data.config, "revision": data.revision, "licence": data.license}
    known = [f"{fact} `{value}`" for fact, value in facts.items() if value]
    units = list(dict.fromkeys(unit for sizes in data.splits.values() for unit in sizes))
    rows = [(split, *(sizes.get(unit, "") for unit in units)) for split, sizes in data.splits.items()]
    return section("## Data", ", ".join([name, *known]) + ".", data.description, _table(("split", *units), rows))


def _training(model, base_model, training_args, procedure, command, seconds, device) -> str:
    began = f"Training began from [{base_model}](https://huggingface.co/{base_model})." if base_model else None
    return section(
        "## Training",
        began,
        procedure,
        _code("bash", command) if command else None,
        _cost(model, seconds, device),
        _table((f"`{type(model.config).__name__}`", "value"), _code_rows(_changed_fields(model.config))),
        *(_arguments(training_args) if training_args is not None else ()),
        f"Card written with hf_lstm {hf_lstm.__version__}, transformers {transformers.__version__} and torch "
        f"{torch.__version__}.",
    )


def _cost(model: PreTrainedModel, seconds: float | None, device: str | None) -> str:
    if seconds is None:
        return f"Trained on {device}." if device else ""
    took = f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}"
    on = f" on {device}" if device else ""
    return f"Training {model.num_parameters():,} parameters took {took} seconds{on}."


def _arguments(training_args: TrainingArguments) -> tuple[str, str]:
    changed = _changed_arguments(training_args)
    rest = "All others that shape training have" if changed else "All training arguments have"
    return (
        _table(("`TrainingArguments`", "value"), _code_rows(changed)),
        f"{rest} the defaults of transformers {transformers.__version__}.",
    )


def _changed_fields(config) -> dict:
    """The fields of a configuration that differ from their defaults; those of its parts by `part.field`."""
    changed = {}
    implied = ("hidden_size", "num_hidden_layers") if getattr(config, "hidden_sizes", None) else ()
    for declared in dataclasses.fields(config):
        value, default = getattr(config, declared.name), declared.default
        if declared.default_factory is not dataclasses.MISSING:
            default = declared.default_factory()
        if isinstance(value, PreTrainedConfig):
            changed |= {f"{declared.name}.{name}": of_part for name, of_part in _changed_fields(value).items()}
        elif declared.name not in (*_NO_HYPERPARAMETERS, *implied) and value != default:
            changed[declared.name] = value
    return changed


class _DefaultArguments(TrainingArguments):
    device = torch.device("cpu")  # in place of a property that takes the devices away from a `Trainer` at work


def _changed_arguments(training_args: TrainingArguments) -> dict:
    """The training arguments that differ from their defaults and have an effect on the weights."""
    default = {field.name: field.default for field in dataclasses.fields(training_args)}  # those of a subclass, too
    default |= _DefaultArguments(output_dir=training_args.output_dir).to_dict()
    default["accelerator_config"].pop("use_configured_state")  # as setting up the devices does
    return {
        key: value
        for key, value in training_args.to_dict().items()
        if not key.startswith(_NO_EFFECT) and (key not in default or value != default[key])
    }


def _results(name: str, results: list[Measurement], reports: Mapping[str, Mapping]) -> str:
    seeds = any(result.over_seeds for result in results)
    models = any(result.of for result in results)
    header = (*(["model"] if models else []), "metric", "split", "value", *(["over seeds"] if seeds else []))
    rows = [
        (
            *([result.of or f"**{name}**"] if models else []),
            result.label,
            result.split,
            float(result.value),
            *([_spread(result.over_seeds)] if seeds else []),
        )
        for result in results
    ]
    tables = [f"### {title}\n\n{_report(report)}" for title, report in reports.items()]
    return section("## Results", _table(header, rows), *tables)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{_cell(statistics.fmean(values))} ± {_cell(statistics.stdev(values))} ({len(values)} seeds)"


def _report(report: Mapping) -> str:
    """A report of precision, recall and so on, a row a tag; single numbers, as an accuracy, follow as sentences."""
    rows = {name: row for name, row in report.items() if isinstance(row, Mapping)}
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    numbers = [f"{name}: {_cell(value)}" for name, value in report.items() if name not in rows]
    lines = [(name, *(row.get(column, "") for column in columns)) for name, row in rows.items()]
    return "\n\n".join(filter(None, [_table(("", *columns), lines), *numbers]))


def _citation(model: PreTrainedModel, data: TrainingData) -> str:
    used = []
    for config in (model.config, *dict(_parts(model)).values()):
        used += [config.model_type, getattr(config, "attention", None)]
        if getattr(config, "char_vocab_size", None):
            used.append(config.char_encoder)
        if getattr(config, "context_models", None):
            used.append("context")
    if _has_crf(model):
        used.append("crf")
    used.append(_output_layer(model))
    address = f",\n  url = {{{hf_lstm.__url__}}}" if hf_lstm.__url__ else ""
    entry = (
        "@software{hf_lstm,\n"
        "  author = {{The hf_lstm authors}},\n"
        "  title = {hf_lstm: recurrent networks as first-class Hugging Face models}" + address + "\n"
        "}"
    )
    papers = [PAPERS.get(part) for part in dict.fromkeys(used)] + [data.citation]
    return section("## Citation", _code("bibtex", entry), _bullets(filter(None, papers)))


def _size(number_of_bytes: int) -> str:
    """In the decimal units of the Hub."""
    if number_of_bytes < 1e6:
        return f"{number_of_bytes / 1e3:.1f} kB"
    return f"{number_of_bytes / 1e6:,.1f} MB"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _code(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```"


def _code_rows(values: Mapping) -> list[tuple[str, str]]:
    return [(f"`{name}`", f"`{value}`") for name, value in values.items()]


def _table(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table in Markdown; empty without rows."""
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(line_of([_cell(cell) for cell in line]) for line in lines)


def _cell(value) -> str:
    """Counts in full, other numbers with four digits behind the point or, from 10, with two; text on one line."""
    if isinstance(value, str):
        return value
    if float(value).is_integer() and not isinstance(value, float):
        return f"{int(value):,}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


__all__ = ["Measurement", "TrainingData", "write_model_card"]

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What a saved folder says of itself, and pushing it to the Hub: a README that lists the code that `trust_remote_code`
will run, and an error that says how to go on after a push that broke off.

Models and tokenizers call [`saving`] and [`pushing`] where hf_lstm is installed, see `models/saving.py`; cards with
measured results are written by `cards.py`.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.dynamic_module_utils import get_relative_import_files
from transformers.pipelines import get_supported_tasks

import hf_lstm


PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}  # files whose loading can run code

# The table of the code stands between two comments, and what stands between them is brought up to date at each saving.
_TABLE = re.compile(r"<!-- code: begin -->\n(.*?)<!-- code: end -->", flags=re.S)
_HEADER = ("file", "bytes", "SHA-256", "what it holds")
# How a card ends that no person wrote, nor changed since: with a digest of all before.
_SIGNATURE = re.compile(r"\n<!-- by (\w+), which writes this card anew until somebody edits it: (\w+) -->\n\Z")
# What transformers says in the card of a repository that has none.
_TEMPLATE = (
    "This is the model card of a 🤗 transformers model that has been pushed on the Hub. This model card has been "
    "automatically generated."
)


@contextlib.contextmanager
def saving(thing, folder: Path, pushed: bool, is_main_process: bool):
    """Around `save_pretrained` of a model or tokenizer: the folder tells, in its README, which code it carries."""
    card = _read(folder)
    if pushed and card is not None and signer(card) != "save_pretrained":
        thing._card = card  # which transformers writes that of the Hub over
    try:
        yield
    finally:
        thing._card = None
    if not pushed and is_main_process:
        write_card(folder, thing)


@contextlib.contextmanager
def pushing(thing, folder: Path, repo_id: str):
    """Around the upload of a folder: its README as somebody wrote it, and an error that helps."""
    if getattr(thing, "_card", None) is not None:
        (folder / "README.md").write_text(thing._card, encoding="utf-8")
    if (folder / "README.md").is_file():
        write_card(folder, thing, repo_id)
    with advised(repo_id):
        yield


@contextlib.contextmanager
def advised(repo_id: str):
    """A push to the Hub, whose error says how to go on where that is of use."""
    try:
        yield
    except Exception as error:
        if _may_work_again(error):
            advice = (
                f"The push to {repo_id!r} broke off. A push is one commit: the repository is as it was before or has "
                "all of this push, never a part of it. Make the same call again; large files that have arrived "
                "already are not sent a second time."
            )
            error.args = (f"{error}\n\n{advice}", *error.args[1:])
        raise


def _may_work_again(error: Exception) -> bool:
    """Whether the server or the line failed, not the call: arguments, token and card are refused for good."""
    for answer in (error, error.__cause__):
        if isinstance(answer, HfHubHTTPError):
            return answer.response.status_code >= 500 or answer.response.status_code in (408, 412, 429)
    if isinstance(error, OSError):  # else of this machine, as a full disk
        return isinstance(error, (ConnectionError, TimeoutError))
    return not isinstance(error, (ValueError, TypeError))


def write_card(folder: Path, saved, repo_id: str | None = None) -> None:
    """
    Bring the table of code in the README of a folder up to date, and write one where a saved model has none.

    Args:
        folder (`Path`): The folder.
        saved ([`PreTrainedModel`] or [`PreTrainedTokenizerBase`]): What was saved there.
        repo_id (`str`, *optional*): The repository that the folder is pushed to, where other files may lie; by default
            it is a folder of its own.
    """
    card = _read(folder)
    is_model = isinstance(saved, PreTrainedModel)
    tags = []
    if card is None and (not is_model or not (folder / "config.json").is_file()):
        return
    table = _TABLE.search(card) if card else None
    if card is None or (is_model and signer(card) == "save_pretrained") or _is_template(card):
        tags = ModelCard(card).data.tags or [] if card else []
        card = plain_card(folder, saved, repo_id, tags)
    rows = _rows(table[1]) if table and repo_id else {}
    card = renew_table(card, folder, rows)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _read(folder: Path) -> str | None:
    card = folder / "README.md"
    return card.read_text(encoding="utf-8") if card.is_file() else None


def _is_template(card: str) -> bool:
    """Whether a card is what transformers puts where there is none, and nobody has filled in."""
    if _TEMPLATE not in card:
        return False
    template = ModelCard.from_template(ModelCardData(), model_description=_TEMPLATE)
    return ModelCard(card).text.strip() == template.text.strip()


def plain_card(folder: Path, saved, repo_id: str | None, tags: Iterable[str] = ()) -> str:
    """The card of what nobody has described: its class, how to load it, and its code."""
    name, kind = (repo_id or folder.resolve().name).split("/")[-1], type(saved).__name__
    own_tags, task = ["hf_lstm", "custom_code"], None
    if isinstance(saved, PreTrainedModel):
        task = task_of(saved)
        own_tags.insert(1, saved.config.model_type)
    header = ModelCardData(
        library_name="transformers", pipeline_tag=task, tags=list(dict.fromkeys([*own_tags, *tags]))
    )
    use = usage(saved, task, repo_id or f"./{name}", None) if task else ""
    text = section(
        f"# {name}",
        f"`{kind}` of {project()}. Nobody has described yet what it was trained on and how well it does: "
        "`hf_lstm.hub.cards.write_model_card` writes a card with what was measured.",
        use,
        files_and_code(folder),
    )
    return sign(f"---\n{header.to_yaml()}\n---\n\n{text}\n", "save_pretrained")


def task_of(model: PreTrainedModel) -> str | None:
    """The task as on the Hub: what makes a text of an image does not translate."""
    task = getattr(model, "pipeline_task", None)
    return "image-to-text" if task == "translation" and model.main_input_name == "pixel_values" else task


def project() -> str:
    """The package, with a link to it once it has an address."""
    return f"[hf_lstm]({hf_lstm.__url__})" if hf_lstm.__url__ else "hf_lstm"


def usage(model: PreTrainedModel, task: str, repo_id: str, example: str | None, tokenizer: bool = True) -> str:
    """How to load a model, with hf_lstm and without it, and with a tokenizer or without one."""
    install = f" (`pip install git+{hf_lstm.__url__}`)" if hf_lstm.__url__ else ""
    snippet = partial(_snippet, model, task, repo_id, example)
    if not tokenizer or getattr(_reader(model), "vocab_size", None) is None:
        snippet = partial(_snippet_without_text, model, repo_id)
    return section(
        "## How to use it",
        f"With {project()}{install}, whose import registers the classes; no code of this repository runs:",
        snippet(trust=False),
        "Without it, with transformers and torch alone:",
        snippet(trust=True),
    )


def files_and_code(folder: Path) -> str:
    """What of a repository runs with `trust_remote_code=True`, and what does not."""
    weights = ", ".join(f"`{file.name}`" for file in sorted(folder.glob("*.safetensors")))
    pickles = ", ".join(f"`{file.name}`" for file in sorted(folder.iterdir()) if file.suffix in PICKLES)
    parts = [f"Weights are safetensors ({weights}): data without code."] if weights else []
    if pickles:
        parts.append(f"The model needs nothing of {pickles}; to load such a file can run code.")
    return section(
        "## Files and code",
        "`trust_remote_code=True` lets transformers fetch these files from this repository and run them with your own "
        'rights. Read them first, and pass `revision="..."` with the commit that you have read, so that nothing newer '
        "runs:",
        renew_table("<!-- code: begin -->\n<!-- code: end -->", folder),
        " ".join(parts),
    )


def renew_table(card: str, folder: Path, rows: dict[str, str] | None = None) -> str:
    """The card with a table of the code in the folder, and of the `rows` that are known of other files."""
    found = {file.name: _row(file) for file in code_of(folder)}
    lines = [line for _, line in sorted(((rows or {}) | found).items())]
    head = [line_of(_HEADER), line_of(["---"] * len(_HEADER))]
    table = "\n".join(["<!-- code: begin -->", *head, *lines, "<!-- code: end -->"])
    by = signer(card)
    if by:
        card = card[: _SIGNATURE.search(card).start()]
    card = _TABLE.sub(lambda _: table, card)
    return sign(card, by) if by else card


def code_of(folder: Path) -> set[Path]:
    """The files that transformers runs to load what is saved in a folder: of its classes, and what they import."""
    files = set()
    for name in ("config.json", "tokenizer_config.json"):
        config = json.loads((folder / name).read_text(encoding="utf-8")) if (folder / name).is_file() else {}
        for classes in config.get("auto_map", {}).values():
            for reference in classes if isinstance(classes, list) else [classes]:
                file = folder / f"{(reference or '').split('.')[0]}.py"
                if file.is_file():
                    files |= {file, *map(Path, get_relative_import_files(file))}
    return files


def _rows(table: str) -> dict[str, str]:
    """The lines of a table of code, by the name of the file."""
    return {match[1]: match[0] for match in re.finditer(r"^\| `([^`]+)` .*$", table, flags=re.M)}


def _row(file: Path) -> str:
    code = file.read_bytes()
    docstring = re.match(r'(?:\s|#[^\n]*\n)*"""(.*?)(\n\s*\n|""")', code.decode(), flags=re.S)
    holds = re.split(r"(?<=\.) (?=[A-Z])", " ".join(docstring[1].split()))[0] if docstring else ""
    return line_of((f"`{file.name}`", f"{len(code):,}", f"`{hashlib.sha256(code).hexdigest()}`", holds))


def sign(card: str, by: str) -> str:
    """The card with a last line that tells who wrote it, and by which every change to it is seen."""
    return f"{card}\n<!-- by {by}, which writes this card anew until somebody edits it: {_digest(card)} -->\n"


def signer(card: str) -> str | None:
    """What wrote a card, if nobody has edited it since."""
    found = _SIGNATURE.search(card)
    return found[1] if found and found[2] == _digest(card[: found.start()]) else None


def _digest(card: str) -> str:
    return hashlib.sha256(card.encode()).hexdigest()[:16]


def _snippet(model: PreTrainedModel, task: str, repo_id: str, example: str | None, trust: bool) -> str:
    options = ""
    if task == "token-classification" and _has_plain_prefixes(model.config.id2label.values()):
        options += ', aggregation_strategy="simple"'
    if trust:
        options += ", trust_remote_code=True"
    if task in get_supported_tasks():
        lines = ["from transformers import pipeline", ""]
        lines.append(f'pipe = pipeline("{task}", model={_literal(repo_id)}{options})')
    else:
        lines = [f"from transformers import {model._auto_class}, AutoTokenizer", ""]
        loaded = {"model": model._auto_class, "tokenizer": "AutoTokenizer"}
        lines += [f"{name} = {each}.from_pretrained({_literal(repo_id)}{options})" for name, each in loaded.items()]
    if not trust:
        lines.insert(0, "import hf_lstm  # noqa: F401")
    # 20 is the default of `generate`, which `Seq2SeqTrainer` writes down; of two limits there would be a warning.
    limited = model.can_generate() and model.generation_config.max_length not in (None, 20)
    if model.main_input_name == "input_features":
        lines = ["import soundfile", *lines, 'samples, rate = soundfile.read("sound.wav")  # of one channel']
        lines.append('print(pipe({"array": samples, "sampling_rate": rate}))')
    elif example is not None:
        lines += reading(task, example, limited)
    return "```python\n{}\n```".format("\n".join(lines))


def reading(task: str, example: str, limited: bool = False) -> list[str]:
    """
    The lines of a snippet in which a model that is loaded reads an example: by `pipe`, where the task has one. One
    that is `limited` says itself when to end.
    """
    if task in get_supported_tasks():
        length = ", max_new_tokens=40" if task == "text-generation" else ""
        return [f"print(pipe({_literal(example)}{length}))"]
    return [
        f'inputs = tokenizer({_literal(example)}, return_tensors="pt")',
        f"output = model.generate(**inputs{'' if limited else ', max_new_tokens=100'})",
        "print(tokenizer.decode(output[0], skip_special_tokens=True))",
    ]


def _snippet_without_text(model: PreTrainedModel, repo_id: str, trust: bool) -> str:
    """For a model without a vocabulary or a tokenizer, which no pipeline feeds."""
    options = ", trust_remote_code=True" if trust else ""
    lines = [f"from transformers import {model._auto_class}", ""]
    lines.append(f"model = {model._auto_class}.from_pretrained({_literal(repo_id)}{options})")
    reader, call = _reader(model), "model.generate" if model.config.is_encoder_decoder else "model"
    inputs = None  # of somebody else's encoder, as one of images
    if getattr(reader, "vocab_size", None) is not None:
        inputs = "input_ids=torch.arange(3).view(1, 3)"
    elif hasattr(reader, "input_size"):
        inputs = f"inputs_embeds=torch.randn(1, 20, {reader.input_size})"
    if inputs:
        lines = ["import torch", *lines, f"print({call}({inputs}))"]
    if not trust:
        lines.insert(0, "import hf_lstm  # noqa: F401")
    return "```python\n{}\n```".format("\n".join(lines))


def _reader(model: PreTrainedModel) -> PreTrainedConfig:
    """The configuration of what reads the input, which may be a part of the model."""
    return model.config.encoder if model.config.is_encoder_decoder else model.config


def _has_plain_prefixes(labels: Iterable[str]) -> bool:
    """Whether the labels are those of entities in the two prefixes that the pipeline joins: B and I."""
    labels = set(labels) - {"O"}
    return bool(labels) and all(label.startswith(("B-", "I-")) for label in labels)


def _literal(text: str) -> str:
    """The text as a literal of Python, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


# Markdown.


def section(title: str, *parts: str | None) -> str:
    """A section of the parts that there are; empty without any."""
    there = [part for part in parts if part]
    return "\n\n".join([title, *there]) if there else ""


def line_of(cells: Sequence[str]) -> str:
    """A line of a table; text stays on it and in its cell."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What `make docs` does beside MkDocs: a page of the reference for each module, docstrings in Hugging Face Markdown, with
equations as MathML (`docs/_equations.py`), and links of names. The package is read, not imported.
"""

import ast
import re
import sys
import textwrap
from functools import cache
from pathlib import Path

import griffe


sys.path.insert(0, str(Path(__file__).parent))
from _equations import with_equations


ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("models", "training", "data", "evaluation", "interop", "hub", "serving", "demo")  # as in CONTRIBUTING.md
FAMILIES = ("LSTM", "GRU", "RNN")
KINDS = {
    "Config": "configuration",
    "Model": "features",
    "ForTokenClassification": "tagger",
    "ForCausalLM": "language model",
    "ForSequenceClassification": "classifier of texts",
    "PreTrainedModel": "base",
}
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example)( \(.*\))?:\n((?:(?:[ ]{4}.*)?(?:\n|\Z))*)", re.M)
FENCE = re.compile(r"(^ *```.*?^ *```$)", re.M | re.S)


@cache
def package() -> griffe.Module:
    return griffe.load("hf_lstm", search_paths=[ROOT])


@cache
def modules() -> list[griffe.Module]:
    """The package and all modules in it, in the order of their names."""
    found = [package()]
    for module in found:
        found += [each for each in module.members.values() if not each.is_alias and each.is_module]
    return sorted((each for each in found if not each.name.startswith("_")), key=lambda each: each.path)


@cache
def paths() -> dict[str, str]:
    """Where a module, class, function or method is, by every clear name: `LSTMConfig`, `hf_lstm.LSTMConfig`."""
    things = {module.path: module.path for module in modules()}
    ends: dict[str, set[str]] = {}
    for module in modules():
        known = {member.path: member.path for member in _members(module)}
        exported = [module.members[str(name)] for name in module.exports or () if str(name) in module.members]
        known |= {member.path: member.target_path for member in exported if member.is_alias}
        for path, target in known.items():
            parts = path.split(".")
            for i in range(len(parts)):
                ends.setdefault(".".join(parts[i:]), set()).add(target)
    for name in package().exports or ():
        ends[str(name)] = {package().members[str(name)].final_target.path}
    for name, found in ends.items():
        depth = min(path.count(".") for path in found)  # a function comes before a field of the same name
        highest = [path for path in found if path.count(".") == depth]
        if len(highest) == 1:
            things[name] = highest[0]
    return things


@cache
def _foreign() -> set[str]:
    """Names that modules import from other packages."""
    members = [member for module in modules() for member in module.members.values() if member.is_alias]
    return {member.name for member in members if not member.target_path.startswith("hf_lstm")}


@cache
def _fields() -> set[str]:
    """Names of attributes, such as the fields of a configuration."""
    return {member.name for module in modules() for member in _members(module) if member.is_attribute}


def _members_of_all(pkg: griffe.Module):
    """All classes, functions and attributes of all modules."""
    for thing in pkg.members.values():
        if not thing.is_alias and thing.is_module:
            yield from _members_of_all(thing)
    yield from _members(pkg)


def _members(thing: griffe.Object):
    for member in thing.members.values():
        if member.is_alias or member.is_module or member.name.startswith("_"):
            continue
        yield member
        if member.is_class:
            yield from _members(member)


# Docstrings.


class HuggingFaceDocstrings(griffe.Extension):
    """Docstrings as Markdown: their sections as lists, [`Class`] as a link; of a configuration all fields."""

    def on_package(self, *, pkg: griffe.Module, **kwargs) -> None:
        for thing in [each for each in _members_of_all(pkg) if each.is_class and each.name.endswith("Config")]:
            thing.docstring.value += "".join(self._shared(thing))
        self._rewrite(pkg, set())

    def _shared(self, configuration: griffe.Class) -> list[str]:
        """The arguments that its bases in this package describe, as sections of their own."""
        found, known = [], set()
        for thing in [configuration, *configuration.mro()]:
            for section in SECTION.finditer(thing.docstring.value if thing.docstring else ""):
                if section[1] == "Args" and not section[2]:
                    fields = re.split(r"^(?= {4}\w)", section[3], flags=re.M)
                    new = [field for field in fields if field.split(" (")[0].strip() not in known]
                    known |= {field.split(" (")[0].strip() for field in fields}
                    if thing is not configuration:
                        found.append(f"\n\nArgs (of [`{thing.name}`]):\n{''.join(new)}")
        return found

    def _rewrite(self, thing: griffe.Object, seen: set[str]) -> None:
        if thing.path in seen:
            return
        seen.add(thing.path)
        if thing.docstring:
            thing.docstring.value = markdown_of(thing.docstring.value, thing)
        if thing.is_function and "text" in thing.parameters and _takes_text(thing):
            thing.parameters = _with_text(thing.parameters)
        for member in thing.members.values():
            if not member.is_alias and not member.name.startswith("_"):
                self._rewrite(member, seen)


def _takes_text(function: griffe.Function) -> bool:
    return any(each.callable_path.endswith(".takes_text") for each in function.decorators)


def _with_text(parameters: griffe.Parameters) -> griffe.Parameters:
    """Those that the decorator `takes_text` gives a function: the fields of `TextInputs` in place of the value."""
    own, _, *others = parameters
    place, name = griffe.ParameterKind.positional_or_keyword, griffe.ParameterKind.keyword_only
    fields = [each for each in package()["models.text_inputs.TextInputs"].members.values() if each.is_attribute]
    text = [
        griffe.Parameter(each.name, annotation=each.annotation, kind=name if i > 1 else place, default="None")
        for i, each in enumerate(fields)
    ]
    for each in others:
        each.kind = each.kind if each.kind is griffe.ParameterKind.var_keyword else name
    return griffe.Parameters(own, *text, *others)


def markdown_of(docstring: str, thing: griffe.Object) -> str:
    """
    A docstring in plain Markdown.

    Raises:
        `ValueError`: If a reference is to what is not there.
    """
    text = SECTION.sub(_section, docstring)
    text = with_equations(text, "⊙" if thing.name.endswith("Layer") else "·")
    text = re.sub(r"^( *)```python\n(?= *>>>)", r"\1```pycon\n", text, flags=re.M)
    text = re.sub(r"  # doctest: \+\w+", "", text)
    return re.sub(r"\[`(~?)([\w.]+)`\](?!\[)", lambda match: _reference(*match.groups(), thing), text)


def _section(match: re.Match) -> str:
    title, of, body = match[1], match[2] or "", textwrap.dedent(match[3]).strip("\n")
    if title in ("Args", "Attributes", "Raises"):
        body = re.sub(r"^([^\s(:][^(:\n]*?)(?=( \(.*\))?:)", _bold, body, flags=re.M)
    return f"**{title}**{of}\n\n{body}\n\n"


def _bold(match: re.Match) -> str:
    names = [name.strip("` ") for name in match[1].split(",")]
    return "- " + ", ".join(f"**`{name}`**" for name in names)


def _reference(short: str, name: str, thing: griffe.Object) -> str:
    """A link to what is in this package, plain code for what is in another."""
    shown = name.rsplit(".", 1)[-1] if short else name
    if name in paths():
        return _link(shown, paths()[name])
    first, owner = name.split(".")[0], name.rpartition(".")[0]
    if owner in paths():  # a method that it inherits from another package
        return _link(shown, paths()[owner])
    if first in ("huggingface_hub", "peft", "torch", "transformers") or first in _foreign():
        return f"`{shown}`"
    raise ValueError(f"The docstring of {thing.path} refers to [`{name}`], which is not there, or more than once.")


def _link(shown: str, path: str, folder: str = "") -> str:
    """A link to a page of the reference, of a module, or to a place on one."""
    is_module = any(module.path == path for module in modules())
    return f"[`{shown}`]({folder}{path}.md)" if is_module else f"[`{shown}`][{path}]"


# Pages.


def on_config(config):
    """The modules in the navigation, under the page that lists them, by room; the parts of models by themselves."""
    reference = config.nav.pop()["Reference"]
    sections = []
    for room, found in rooms().items():
        pages = [{_short(module): f"reference/{module.path}.md"} for module in found]
        if room == "models":
            named = [page for page in pages if re.match("(hf_lstm|configuration|modeling|tokenization)", *page)]
            pages = [*named, {"parts": [page for page in pages if page not in named]}]
        sections += [{room: pages}] if room else pages
    config.nav.append({"Reference": [reference, *sections]})
    config.repo_url = ast.literal_eval(str(package()["__url__"].value)) or None
    return config


def rooms() -> dict[str, list[griffe.Module]]:
    """The modules of each room, the room itself first; under an empty name those of none."""
    found: dict[str, list[griffe.Module]] = {"": []} | {room: [] for room in ROOMS}
    for module in modules():
        room, *inside = module.path.split(".")[1:] or [""]
        found.setdefault(room if inside or module.is_init_module else "", []).append(module)
    return found


def _short(module: griffe.Module) -> str:
    """The name of a module within its room; that of a room in full."""
    return module.path if module.is_init_module else module.name


def on_files(files, config):
    """Add the reference, and the pictures of results, to the guides."""
    from mkdocs.structure.files import File

    for picture in (ROOT / "results").glob("*.png"):
        files.append(File.generated(config, f"results/{picture.name}", abs_src_path=str(picture)))
    for name, text in reference().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def reference() -> dict[str, str]:
    """The pages of the reference, by name: a list of what there is, and a page for each module."""
    return {"index": _index()} | {each.path: f"# `{each.path}`\n\n::: {each.path}\n" for each in modules()}


def _index() -> str:
    lines = ["# Reference", "", "`import hf_lstm` registers all classes with the Auto classes; it has:", ""]
    names = {str(name) for name in package().exports}
    for kind, meaning in KINDS.items():
        row = [family + kind for family in FAMILIES]
        names -= set(row)
        lines.append(f"- {meaning}: " + ", ".join(map(_exported, row)))
    lines += [f"- {_exported(name)}: {_first(package().members[name].final_target)}" for name in sorted(names)]
    for room, found in rooms().items():
        lines += ["", f"## {room}" if room else "## hf_lstm", ""]
        lines += [f"{_first(found.pop(0))}", ""] if room else []
        lines += [f"- [`{_short(module)}`]({module.path}.md): {_first(module)}" for module in found]
    return "\n".join(lines) + "\n"


def _exported(name: str) -> str:
    return f"[`{name}`][{paths()[name]}]"


def _first(thing: griffe.Object) -> str:
    """The first sentence of a docstring, without links."""
    text = " ".join(thing.docstring.value.split("\n\n")[0].split())
    return re.split(r"(?<=[.:]) (?=[A-Z])", re.sub(r"\[`~?([\w.]+)`\]", r"`\1`", text))[0]


def on_page_markdown(markdown, page, config, files):
    """In guides: names in code become links; what is outside of `docs/` is on the site of the repository."""
    if page.file.src_uri.startswith("reference/"):
        return markdown
    parts = FENCE.split(markdown)
    parts[::2] = [_linked(part, page.file.src_uri, config) for part in parts[::2]]
    return "".join(parts)


def _linked(text: str, page: str, config) -> str:
    def outside(match: re.Match) -> str:
        start, path, rest = match[1], match[2], match[3] or ""
        if not (ROOT / path).exists():
            raise ValueError(f"{page} links to ../{path}, which is not there.")
        is_picture = start.startswith("!") and path.startswith("results/")
        if not is_picture and not config.repo_url:  # the words alone, of a project that has no address yet
            return start.removeprefix("[").removesuffix("]")
        return f"{start}({path})" if is_picture else f"{start}({config.repo_url}/blob/main/{path}{rest})"

    def named(match: re.Match) -> str:
        name = match[1]
        path = None if name.split(".")[-1] in _fields() else paths().get(name)
        is_clear = name[0].isupper() or "_" in name or "." in name
        return match[0] if path is None or not is_clear else _link(name, path, "reference/")

    text = re.sub(r"(!?\[[^\]]*\])\(\.\./([^)#]+)(#[^)]*)?\)", outside, text)
    return re.sub(r"(?<!\[)`([\w.]+)`(?!\])", named, text)

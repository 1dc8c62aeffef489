# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Every snippet of the README and of the guides, and every example of a docstring, runs; what they link to exists."""

import dataclasses
import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from hub_client import Client
from hub_server import TOKEN, Hub
from tiny_encoders import save_encoder
from transformers import PreTrainedConfig

import hf_lstm
from hf_lstm import LSTMConfig, LSTMForCausalLM, LSTMForTokenClassification, LSTMTokenizer
from hf_lstm.data.spoken_digits import spoken_digits
from hf_lstm.hub.cards import _changed_arguments, _changed_fields


ROOT = Path(__file__).resolve().parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
ELSEWHERE = {  # guides whose snippets other tests run
    "scaling.md": "several processes: tests/test_scale_out.py",
    "clients.md": "packages that are not in the test extra: tests/clients",
    "demo.md": "gradio and a browser, which are not in the test extra",
    "serving.md": "packages that are not in the test extra: tests/clients",
    "hub.md": "a Hub: test_snippets_of_the_hub",
}
PAGES = [ROOT / "README.md", *(page for page in GUIDES if page.name not in ELSEWHERE)]
MODULES = [importlib.import_module(module.name) for module in pkgutil.walk_packages(hf_lstm.__path__, "hf_lstm.")]

TEXT = ["This module provides a list of words.", "Return a list of the words in the string.", ""] * 60
TAGGED = "Ada B-PER\nLovelace I-PER\nsang O\n\nin O\nNew B-LOC\nYork I-LOC\n\n"
PAIRS = ("A cat sleeps.", "The dog runs home."), ("Eine Katze schläft.", "Der Hund rennt heim.")
LABELLED = "good\tA film to see twice .\nbad\tA waste of time .\n"
# What makes an example quick, where its command does not say otherwise.
TINY = {
    "train_language_model.py": "--max_steps 1 --vocab_size 300 --block_size 16 --hidden_size 8 --embedding_size 8",
    "train_token_classification.py": "--max_steps 1 --hidden_size 4 --embedding_size 4",
    "train_text_classification.py": "--max_steps 1 --hidden_size 4",
    "train_translation.py": "--max_steps 1 --hidden_size 4 --embedding_size 4 --generation_max_length 3 "
    "--num_beams 1 --pictures 1",
    "train_speech_recognition.py": "--max_steps 1 --hidden_size 4 --feature_size 10 --sampling_rate 8000",
    "train_audio_classification.py": "--max_steps 1 --hidden_size 4 --feature_size 10 --sampling_rate 8000",
    "recognize.py": "",
    "recognize_onnx.py": "",
    "translate.py": "--max_new_tokens 5",
    "evaluate_translation.py": "",
    "evaluate_language_model.py": "--train_tokens 200 --tuning_tokens 40",
    "gradient_flow.py": "--quick --networks GRU",
}


@pytest.fixture(scope="module")
def assumed(tmp_path_factory):
    """What the pages assume: texts, tagged and classified ones, and a small model where `make train` puts its own."""
    folder = tmp_path_factory.mktemp("assumed")
    (folder / "my_text.txt").write_text("\n".join(TEXT))
    for name in ("train", "dev", "test"):
        (folder / f"{name}.txt").write_text(TAGGED * 5)
        (folder / f"reviews_{name}.txt").write_text(LABELLED * 10)
    for name in ("train", "valid", "test"):
        for language, texts in zip(("en", "de"), PAIRS, strict=True):
            lines = (f"{text[:-1]} {name} {i}.\n" for i in range(9) for text in texts)
            (folder / f"{name}.{language}").write_text("".join(lines), encoding="utf-8")
    shutil.copy(folder / "test.de", folder / "predictions.de")
    for name, split in zip(("train", "valid", "test"), spoken_digits().values(), strict=True):
        rows = [split[i] for i in range(6)]
        for row in rows:
            (folder / row["audio"]["path"]).write_bytes(row["audio"]["bytes"])
        names = (
            "audio\ttext\tfile\tsentence\tlabel",
            *("\t".join([r["audio"]["path"], r["text"]] * 2 + ["a"]) for r in rows),
        )
        (folder / f"{name}.tsv").write_text("\n".join([*names, ""]))
    shutil.copy(folder / rows[0]["audio"]["path"], folder / "my_recording.wav")
    save_encoder(folder / "encoder", "bert", [re.sub(r" \S+\n", " ", TAGGED), LABELLED])
    (folder / "vectors.txt").write_text("Ada 0.1 0.2 0.3\nsang 0.2 0.1 0.0\nnew 0.5 0.1 0.2\n")
    tokenizer = LSTMTokenizer.train_from_iterator(TEXT, vocab_size=300, show_progress=False)
    model = LSTMForCausalLM(LSTMConfig(vocab_size=len(tokenizer), hidden_size=8, pad_token_id=0, eos_token_id=3))
    for part in (model, tokenizer):
        part.save_pretrained(folder / "runs" / "python_docs_lm")
    return folder


# What of a training is made short, `make test` has no minutes, and what would be downloaded.
SHORTER = {
    "README.md": (("max_steps=500", "max_steps=2"),),
    "encoders.md": (("num_train_epochs=3", "max_steps=2"), ("bert-base-cased", "./encoder")),
    "text_classification.md": (("bert-base-cased", "./encoder"),),
}


def snippets(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets(page, assumed, tmp_path, monkeypatch):
    """In their order and in one namespace, as a reader would; the README's where nothing has been trained yet."""
    folder = tmp_path / "folder"
    shutil.copytree(assumed, folder, ignore=shutil.ignore_patterns("runs" if page.name == "README.md" else ""))
    monkeypatch.chdir(folder)
    for name, value in {"TRANSFORMERS_VERBOSITY": "error", "HF_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    namespace = {"__name__": "__main__"}
    for language, code in snippets(page):
        for long, short in SHORTER.get(page.name, ()):
            code = code.replace(long, short)
        if language == "python":
            apart = page.name == "README.md" and "ForTokenClassification" in code  # its names stay there
            names = {} if apart else namespace
            exec(compile(code, page.name, "exec"), names)
            if apart:
                assert recipe(names["trainer"]) == recipe_of_card("conll2003")
        elif language == "bash":
            for line in code.replace("\\\n", " ").splitlines():
                run(shlex.split(line, comments=True))
    torch.set_flush_denormal(False)
    if page.name == "README.md":
        assert (folder / "runs" / "my_tagger" / "crf.py").is_file()
        assert (folder / "runs" / "my_model" / "modeling_lstm.py").is_file()
        assert (folder / "runs" / "my_text" / "model.safetensors").is_file()
        assert namespace["branch"].get_seq_length() < namespace["state"].get_seq_length()


# What depends on the data, on the seed, or on nothing.
NO_RECIPE = {"vocab_size", "char_vocab_size", "shape_vocab_size", "seed", "per_device_eval_batch_size"}


def recipe(trainer) -> dict:
    """What was chosen for a model, as its card would say it."""
    chosen = _changed_fields(trainer.model.config) | _changed_arguments(trainer.args)
    return {name: str(value) for name, value in chosen.items() if name not in NO_RECIPE}


def recipe_of_card(name: str) -> dict:
    card = (ROOT / "model_cards" / f"{name}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)(?:\.0)?` \|$", card, flags=re.M)  # 20.0 is 20
    return {name: value for name, value in rows if name not in NO_RECIPE}


@pytest.mark.slow
def test_snippets_of_the_hub(tmp_path):
    """In a process that is logged in; and in one without hf_lstm, what begins with a comment that says so."""
    with (
        Hub(tmp_path / "hub") as hub,
        Client(tmp_path / "with", hub.endpoint, TOKEN) as writer,
        Client(tmp_path / "without", hub.endpoint, without_package=True) as reader,
    ):
        for language, code in snippets(ROOT / "docs" / "hub.md"):
            assert language == "python"
            (reader if code.startswith("# where hf_lstm is not installed") else writer).run(code)


def run(command: list[str]) -> None:
    """A command of a page: trainings are short, installations and targets of make are only checked."""
    if command[:2] == ["pip", "install"]:
        project = (ROOT / "pyproject.toml").read_text()
        package, _, extras = command[2].strip("]").partition("[")
        assert package == ".", f"{package} is nowhere to be had"
        assert all(re.search(rf"^{extra} = \[", project, flags=re.M) for extra in extras.split(",") if extra), extras
    elif command[0] == "make":
        subprocess.run(["make", "--dry-run", *command[1:]], cwd=ROOT, check=True, capture_output=True)
    elif command[:2] == ["python", "-m"]:
        importlib.import_module(command[2]).main(command[3:])
    else:
        assert command[0] == "python", command
        script = ROOT / command[1]
        if "--microphone" in command:  # which no machine of tests has
            return
        options = [*TINY[script.name].split(), *command[2:]]
        if script.name.startswith("train_"):
            options += ["--max_steps", "1", "--report_to", "none", "--use_cpu"]
        spec = importlib.util.spec_from_file_location(script.stem, script)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.main(options)


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDES], ids=lambda page: page.name)
def test_no_snippet_passes_whatever_happens(page):
    """What has an `except` and nothing after it runs as well where no error comes."""
    for _, code in snippets(page):
        assert not re.search(r"^\s*except\b", code, flags=re.M), code


def test_files_that_the_documents_name_exist():
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "RELEASE.md", *GUIDES):
        for link in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"


def of_the_site(name: str):
    """A module of docs/, read anew: what it does to docstrings is done once."""
    spec = importlib.util.spec_from_file_location(f"site_of_docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Where the name of a model stands that is loaded: of a call in Python, also within a notebook, and of a command.
LOADING = re.compile(
    r"""(?:from_pretrained\(|pipeline\(\\?"[\w-]+\\?",\ (?:model=)?|Transformer\(|Translator\(|^name\ =\ |
    "(?:tagger|language_model|translator)":\ |model:\ str\ =\ HfArg\(default=)\\?"([^"\\]+)""",
    flags=re.X | re.M,
)
COMMANDS = re.compile(
    r"(?=(?:pretrained=|--(?:model(?! hf )|tagger|language_model|translator|pretrained_model) |translate\.py |"
    r"interop\.onnx (?!FOLDER|import)|"
    r"--context_models (?:\S+ )??)([^\s,]+))"
)
OWNERS = ("user/", "acme/", "hf-lstm/")  # of names on the Hub


def test_folders_are_named_as_folders():
    """
    `runs/x` is also a model of a user `runs` on the Hub, and `saved` one without a user, whose code would run where
    the folder is missing; `./runs/x` is a folder or an error.
    """
    found = []
    for pattern in ("*.md", "docs/*.md", "model_cards/*.md", "hf_lstm/**/*.py", "examples/*.*"):
        for file in ROOT.glob(pattern):
            text = file.read_text(encoding="utf-8")
            text = re.sub(r"^python examples/.* DATA/.*$", "", text, flags=re.M)  # a command as it ran
            found += [(file.name, name) for form in (LOADING, COMMANDS) for name in form.findall(text)]
    assert {"./runs/my_tagger", "./my_model", "./quick_start_lm", "./runs/forward"} <= {name for _, name in found}
    assert [(file, name) for file, name in found if not name.startswith(("./", *OWNERS))] == []


def test_the_reference_has_everything_public():
    """And each docstring refers to what exists: otherwise the site is not built."""
    site = of_the_site("_site")
    pages = site.reference()
    modules = {module.name for module in pkgutil.walk_packages(hf_lstm.__path__, "hf_lstm.")}
    assert set(pages) == {"index", "hf_lstm"} | modules
    for name in hf_lstm.__all__:
        home = getattr(hf_lstm, name).__module__
        assert f"[`{name}`][{home}.{name}]" in pages["index"]
    rooms = site.rooms()
    assert sorted(module.path for found in rooms.values() for module in found) == sorted(set(pages) - {"index"})
    assert [room for room, found in rooms.items() if room and found[0].path != f"hf_lstm.{room}"] == []
    site.HuggingFaceDocstrings().on_package(pkg=site.package())
    assert (
        "- **`vocab_size`** (`int`, *optional*, defaults"
        in site.package()["RecurrentConfig"].final_target.docstring.value
    )
    forward = site.package()["models.token_classification.RecurrentForTokenClassification.forward"]
    found = [each.name for each in forward.parameters]
    assert found == list(inspect.signature(LSTMForTokenClassification.forward).parameters)
    with pytest.raises(ValueError, match=r"refers to \[`LSTMConfg`\]"):
        site.markdown_of("See [`LSTMConfg`].", site.package())
    for family in ("LSTM", "GRU", "RNN"):  # all fields, in one place
        described = site.package()[f"{family}Config"].final_target.docstring.value
        fields = re.findall(r"\*\*`(\w+)`\*\*", described)
        assert len(fields) == len(set(fields))
        own = {field.name for field in dataclasses.fields(getattr(hf_lstm, f"{family}Config")) if field.init}
        assert own - {field.name for field in dataclasses.fields(PreTrainedConfig)} <= set(fields)
    equations = site.package()["models.lstm.LSTMLayer"].docstring.value
    assert equations.count("<p><math") == 6 and "    i = " not in equations and "⊙" in equations


def letters(element: ElementTree.Element) -> str:
    return "".join(element.itertext()).replace("\N{NO-BREAK SPACE}", " ")


def test_equations_become_mathml():
    """Well formed, with every name of the docstring, fractions and indices where they are written."""
    equations = of_the_site("_equations")

    def parsed(text: str) -> ElementTree.Element:
        return ElementTree.fromstring(equations.mathml(text).replace("&nbsp;", "\N{NO-BREAK SPACE}"))

    found = parsed("p(w | h) = (c(h w) - D(c(h w))) / c(h) + gamma(h) p(w | h')")
    assert [letters(part) for part in found.find("mfrac")] == ["c(hw)−D(c(hw))", "c(h)"]
    assert letters(found).startswith("p(w∣h)=") and letters(found).endswith("+γ(h)p(w∣h′)")
    found = parsed("dL_T / ds_(T-k) = J_(T-k+1)' ... J_T'")
    assert [letters(part) for part in found.find("mfrac")] == ["∂LT", "∂sT−k"]
    assert [letters(part[0][1]) for part in found.findall("msup")] == ["T−k+1", "T"]
    found = parsed("p_cache(w) ∝ sum over i with x_(i+1) = w of exp(theta * h_t · h_i)")
    assert letters(found.find("munder")) == "∑i with xi+1=w" and letters(found).endswith("exp(θ·ht·hi)")
    assert letters(parsed("c' = f * c + learning_rate * W_hn h")) == "c′=f·c+learning_rate·Whnh"
    text = "The loss:\n\n    a = b / c  or  W_hr (d)  with a projection (Sak, 2)\n\nnot:\n\n    python -m x  # y\n"
    shown = equations.with_equations(text)
    assert shown.count("<math") == 2 and "<span>or</span>" in shown and "<span>with a projection (Sak, 2)" in shown
    assert shown.endswith("not:\n\n    python -m x  # y\n")


def public_objects():
    """Modules, and the classes and functions that they define, with an example in their docstring."""
    for module in MODULES:
        for name, thing in [(module.__name__, module), *inspect.getmembers(module)]:
            defined = thing is module or getattr(thing, "__module__", None) == module.__name__
            if defined and ">>>" in (thing.__doc__ or ""):
                yield pytest.param(thing, id=f"{module.__name__.removeprefix('hf_lstm.')}.{name}")


@pytest.mark.parametrize("thing", list(public_objects()))
def test_docstring_examples(thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"^\s*```.*$", "", inspect.getdoc(thing), flags=re.M)  # the closing fence would be expected output
    test = doctest.DocTestParser().get_doctest(text, {}, thing.__name__, None, None)
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test).failed == 0


def test_every_public_class_has_an_example():
    """But for the bases, which nobody builds."""
    bases = {"RecurrentConfig"} | {f"{kind}PreTrainedModel" for kind in ("LSTM", "GRU", "RNN")}
    bases |= {"RecurrentSpeechPreTrainedModel", "RecurrentTransducerPreTrainedModel"}
    named = {name for name in hf_lstm.__all__ if getattr(getattr(hf_lstm, name), "named_cell", None)}  # after a cell
    for name in set(hf_lstm.__all__) - bases - named:
        assert ">>>" in getattr(hf_lstm, name).__doc__, name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_everything_public_has_a_docstring(module):
    for name, thing in inspect.getmembers(module):
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__ and callable(thing):
            assert thing.__doc__, f"{module.__name__}.{name}"

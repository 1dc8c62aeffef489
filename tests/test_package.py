# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a person gets who installs the package: every room, and imports that go one way."""

import ast
import importlib
import importlib.util
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import transformers
from packaging.version import Version
from processes import ROOT

import hf_lstm


PACKAGE = Path(hf_lstm.__file__).parent
TEXTS = {".ipynb", ".md", ".py"}
ROOMS = sorted(folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file())
# What the files of each room may import of the others, see CONTRIBUTING.md.
MAY_IMPORT = {
    "models": set(),
    "data": {"models"},
    "evaluation": {"models", "data"},
    "hub": {"models", "evaluation"},
    "interop": {"models"},
    "training": {"models", "data", "hub"},
    "serving": set(),
    "demo": {"models", "data", "evaluation", "hub", "interop", "training", "serving"},
}


def imports_of(file: Path) -> set[str]:
    """The rooms that a file imports from, the package itself left out."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("hf_lstm")):
            home = list(file.relative_to(PACKAGE).parts[:-1])
            base = home[: len(home) + 1 - node.level] if node.level else []
            path = [*base, *(node.module or "").removeprefix("hf_lstm").strip(".").split(".")]
            found |= {next(filter(None, path), "")}
    return found & set(ROOMS)


def test_every_room_is_known():
    assert set(ROOMS) == MAY_IMPORT.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room):
    for file in (PACKAGE / room).glob("*.py"):
        assert imports_of(file) - {room} <= MAY_IMPORT[room], file


def setup_file():
    """`setup.py` as a module, which sets nothing up."""
    spec = importlib.util.spec_from_file_location("setup_of_package", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def test_links_of_the_readme_on_pypi():
    """Each leads to a file of the tag; of a project without an address nothing leads anywhere, and the words stay."""
    readme, url = (ROOT / "README.md").read_text(encoding="utf-8"), "https://github.com/user/name"
    relative = [link for link in links(readme) if not link.startswith("http")]
    text = setup_file().readme_of(readme, url, "1.2.3")
    ours = [link.removeprefix(url) for link in links(text) if link.startswith(url)]
    paths = [re.fullmatch(r"/(blob|raw)/v1\.2\.3/(.*)", link)[2] for link in ours]
    assert paths == relative and len(links(text)) == len(links(readme))
    assert all((ROOT / path.partition("#")[0]).exists() for path in paths)
    assert f"![Training time of a token against the length and the number of rows]({url}/raw/v1.2.3/results/" in text
    without = setup_file().readme_of(readme, "", "1.2.3")
    assert all(link.startswith("http") for link in links(without)) and "![" not in without
    assert "reference: docs/index.md, or" in without
    assert [*re.findall(r"^```.*?^```$", without, re.M | re.S)] == [*re.findall(r"^```.*?^```$", readme, re.M | re.S)]


def test_code_that_looks_like_a_link_stays():
    setup = setup_file()
    assert setup.readme_of("```python\nf[x](y)\n```\n[a](b.md#c)", "U", "1") == (
        "```python\nf[x](y)\n```\n[a](U/blob/v1/b.md#c)"
    )


def test_the_address_stands_in_one_place():
    setup = setup_file()
    assert setup.constant("__url__") == hf_lstm.__url__ and setup.constant("__version__") == hf_lstm.__version__
    citation = re.search(r"^repository-code: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    assert (citation[1] if citation else "") == hf_lstm.__url__
    assert setup.urls_of("U")["Issues"] == "U/issues" and setup.urls_of("") == {}


def test_no_other_address_is_claimed():
    """Names of our repository elsewhere lead nowhere, or to whoever takes them first."""
    own = re.compile(r"github\.com/[\w-]+/hf[-_]lstm|github/[\w-]+/hf[-_]lstm|pip install \"?hf[-_]lstm")
    folders = ("benchmarks", "docs", "examples", "hf_lstm", "model_cards")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in TEXTS]
    for file in [*files, ROOT / "README.md", ROOT / "CITATION.cff", ROOT / "mkdocs.yml", ROOT / "pyproject.toml"]:
        found = own.findall(file.read_text(encoding="utf-8"))
        assert hf_lstm.__url__ or not found, f"{file.name}: {found}"


def test_a_space_installs_what_the_package_needs():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.findall(r'"([^"]+)"', re.search(r"^dependencies = \[\n(.*?)^\]", project, re.M | re.S)[1])
    needed += re.findall(r'^plot = \["(.*)"\]', project, re.M)
    listed = re.search(r"^```text\n(accelerate.*?)^```", (ROOT / "docs" / "demo.md").read_text(), re.M | re.S)[1]
    assert sorted(listed.split()) == sorted(needed)


def test_the_lowest_versions_are_those_of_the_bounds():
    """Of everything that `make test-lowest` asks for."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pinned = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8")
    for part in (r"^dependencies", r"^test", r"^onnx", r"^peft", r"^plot", r"^translation"):
        for name, bound in re.findall(
            r'"([\w-]+)>=([\d.]+)', re.search(part + r" = \[(.*?)\]", project, re.M | re.S)[1]
        ):
            versions = re.findall(rf"^{name}==([\d.]+)", pinned, re.M | re.I)
            assert versions and Version(versions[0]) == Version(bound), name


@pytest.mark.slow
def test_a_wheel_has_every_file(tmp_path):
    """And says what `setup.py` adds; built of the sdist, which can be tested, as PyPI's tools do."""
    build = (
        f"from setuptools import build_meta as b; b.build_sdist({str(tmp_path)!r}); b.build_wheel({str(tmp_path)!r})"
    )
    ignored = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info")
    copy = shutil.copytree(ROOT, tmp_path / "source", ignore=ignored)
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    wheel = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.tsv"), *PACKAGE.glob("data/*.md"), PACKAGE / "py.typed"]
    expected = {file.relative_to(PACKAGE.parent).as_posix() for file in files}
    assert expected <= set(wheel.namelist())
    assert any(name.endswith("licenses/hf_lstm/data/tatoeba_en_zh.md") for name in wheel.namelist())
    assert {name.split("/")[0] for name in wheel.namelist()} == {"hf_lstm", f"hf_lstm-{hf_lstm.__version__}.dist-info"}
    metadata = wheel.read(f"hf_lstm-{hf_lstm.__version__}.dist-info/METADATA").decode()
    assert "Description-Content-Type: text/markdown" in metadata and "# hf_lstm" in metadata
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        files = {member.name.partition("/")[2]: member.size for member in archive.getmembers()}
    for name in (*expected, "setup.py", "Makefile", "constraints.txt", "examples/app.py", "tests/conftest.py"):
        assert name in files, name
    assert sum(files.values()) < 8_000_000


@pytest.mark.parametrize(
    "name",
    ["data.text", "evaluation.diagnostics", "models.classification", "training.averaging", "training.card_trainer"],
)
def test_warnings_follow_the_verbosity_of_transformers(name):
    logger, before = importlib.import_module(f"hf_lstm.{name}").logger, transformers.logging.get_verbosity()
    try:
        for level in (logging.ERROR, logging.INFO):
            transformers.logging.set_verbosity(level)
            assert logger.getEffectiveLevel() == level
    finally:
        transformers.logging.set_verbosity(before)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What pyproject.toml cannot say by itself: the address of the project, and its README as PyPI shows it."""

import re
from pathlib import Path

from setuptools import setup


ROOT = Path(__file__).resolve().parent
FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)
LINK = re.compile(r"(!?)\[([^]]*)\]\((?!https?:|mailto:|#)([^)]+)\)")


def constant(name: str) -> str:
    """A plain string of `hf_lstm/__init__.py`, which is read, not imported: `__version__` or `__url__`."""
    return re.search(rf'^{name} = "([^"]*)"', (ROOT / "hf_lstm" / "__init__.py").read_text(encoding="utf-8"), re.M)[1]


def readme_of(text: str, url: str, version: str) -> str:
    """
    A README that stands where the files beside it do not: relative links lead to those of the released version. Of a
    project without an address only their words stay, and no pictures.
    """

    def elsewhere(link: re.Match) -> str:
        picture, words, path = link.groups()
        if not url:
            return "" if picture else words
        return f"{picture}[{words}]({url}/{'raw' if picture else 'blob'}/v{version}/{path})"

    return "".join(part if FENCE.match(part) else LINK.sub(elsewhere, part) for part in FENCE.split(text))


def urls_of(url: str) -> dict[str, str]:
    """What PyPI shows beside the README."""
    changes = f"{url}/blob/main/CHANGELOG.md"
    return {"Repository": url, "Issues": f"{url}/issues", "Changelog": changes} if url else {}


if __name__ == "__main__":
    setup(
        long_description=readme_of(
            (ROOT / "README.md").read_text(encoding="utf-8"), constant("__url__"), constant("__version__")
        ),
        long_description_content_type="text/markdown",
        project_urls=urls_of(constant("__url__")),
    )

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The site of `make docs` in a browser, read from a folder: without a server and without a network."""

import os
import subprocess
import sys

import pytest
from chats import ROOT
from test_demo import BEYOND, BROWSER, playwright


pytest.importorskip("mkdocs", reason="building the site needs mkdocs: `make test-clients`")
PAGES = [
    "index.html",
    "serving.html",
    "reference/index.html",
    "reference/hf_lstm.models.lstm.html",
    "reference/hf_lstm.models.configuration_lstm.html",
    "reference/hf_lstm.models.crf.html",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> str:
    """The address of the folder."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return folder.as_uri()


@pytest.mark.parametrize("width", [390, 1280])
def test_site(site, width):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 844})
        asked, complaints = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for name in PAGES:
            page.goto(f"{site}/{name}")
            assert page.evaluate("() => document.documentElement.scrollWidth") == width, name
            hidden = ("md-skip", "md-nav", "md-search")  # until they are opened
            assert [each for each in page.evaluate(BEYOND) if not any(name in each for name in hidden)] == [], name
        page.goto(f"{site}/reference/hf_lstm.models.lstm.html")
        equations = page.locator(".equations math")
        assert equations.count() == 7 and all(each.bounding_box()["height"] > 10 for each in equations.all())

        if width == 390:
            page.locator(".md-header__button[for=__search]").click()
        page.locator("input.md-search__input").press_sequentially("viterbi")
        found = page.locator(".md-search-result__item a")
        found.first.wait_for(timeout=30_000)
        addresses = [each.get_attribute("href") for each in found.all()]
        assert any("hf_lstm.models.crf.html" in each for each in addresses), addresses
        found.first.click()
        page.wait_for_url(lambda url: addresses[0].split("?")[0].split("/")[-1] in url, timeout=30_000)
        assert "viterbi" in page.locator(".md-content").inner_text().lower()
        assert complaints == [] and [url for url in asked if not url.startswith(("file:", "data:"))] == []
        browser.close()

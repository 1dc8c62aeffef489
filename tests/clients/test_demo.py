# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
`examples/app.py` in a real browser: started as a user would, driven by clicks, and looked at.

The pictures in docs/images, of the models that `make train` wrote:

    DEMO_MODELS=runs DEMO_PICTURES=docs/images pytest tests/clients/test_demo.py
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    set_seed,
)

from hf_lstm import (
    LSTMConfig,
    LSTMForCausalLM,
    LSTMForTokenClassification,
    LSTMTokenizer,
    RecurrentEncoderDecoderConfig,
    RecurrentEncoderDecoderForConditionalGeneration,
    TranslationTokenizer,
)


pytest.importorskip("gradio", reason="the demo needs gradio: `make test-clients`")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="driving a browser needs playwright: `make test-clients`"
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
if BROWSER is None:
    pytest.skip(f"needs a browser, one of {', '.join(BROWSERS)}, such as Debian's package chromium", True)

ROOT = Path(__file__).resolve().parents[2]
TEXT = ["This module provides a list of words.", "Return a list of the words in the string.", "The list is empty."]
ENTITIES = [
    "Ada/B-PER Lovelace/I-PER met/O Bob/B-PER in/O Paris/B-LOC ./O",
    "Bob/B-PER was/O in/O New/B-LOC York/I-LOC",
]


PAIRS = [("I think he will come.", "我想他会来。"), ("Are you happy now?", "你高兴吗？"), ("A cat sat.", "猫坐着。")]


def fit(model, batch, steps: int) -> None:
    """Learn one batch by heart."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(steps):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def small_language_model(folder: Path) -> None:
    tokenizer = LSTMTokenizer.train_from_iterator(TEXT, vocab_size=300, show_progress=False)
    model = LSTMForCausalLM(LSTMConfig(vocab_size=len(tokenizer), hidden_size=32, pad_token_id=0, eos_token_id=3))
    stream = [token for line in TEXT * 3 for token in [*tokenizer(line)["input_ids"], tokenizer.eos_token_id]]
    ids = torch.tensor([stream])
    fit(model, {"input_ids": ids, "labels": ids}, 60)
    for part in (model, tokenizer):
        part.save_pretrained(folder)


def small_tagger(folder: Path) -> None:
    rows = [[pair.rsplit("/", 1) for pair in sentence.split()] for sentence in ENTITIES]
    words, tags = [[word for word, _ in row] for row in rows], [[tag for _, tag in row] for row in rows]
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    tokenizer = LSTMTokenizer.train_from_iterator(
        words, "word", is_split_into_words=True, characters=True, show_progress=False
    )
    model = LSTMForTokenClassification(
        LSTMConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            char_vocab_size=tokenizer.char_vocab_size,
            use_crf=True,
            id2label=dict(enumerate(names)),
            label2id={name: i for i, name in enumerate(names)},
        )
    )
    encoded = [dict(tokenizer(row, is_split_into_words=True)) for row in words]
    labels = [{"labels": [names.index(tag) for tag in row]} for row in tags]
    batch = DataCollatorForTokenClassification(tokenizer)([a | b for a, b in zip(encoded, labels, strict=True)])
    fit(model, batch, 40)
    for part in (model, tokenizer):
        part.save_pretrained(folder)


def small_translator(folder: Path) -> None:
    options = {"vocab_size": 300, "target_kind": "char", "show_progress": False}
    tokenizer = TranslationTokenizer.train_from_iterator(PAIRS, **options)
    fields = {"hidden_size": 24, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    config = RecurrentEncoderDecoderConfig(
        encoder=LSTMConfig(vocab_size=len(tokenizer), **fields),
        decoder=LSTMConfig(vocab_size=len(tokenizer.target), **fields),
    )
    model = RecurrentEncoderDecoderForConditionalGeneration(config)
    rows = [dict(tokenizer(source, text_target=target)) for source, target in PAIRS]
    fit(model, DataCollatorForSeq2Seq(tokenizer)(rows), 60)
    for part in (model, tokenizer):
        part.save_pretrained(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """The folder of each model by its argument."""
    given = os.environ.get("DEMO_MODELS")
    folder = Path(given) if given else tmp_path_factory.mktemp("runs")
    names = {"language_model": "python_docs_lm", "tagger": "python_docs_tagger", "translator": "tatoeba_en_zh"}
    names = {name: folder / path for name, path in names.items()}
    if not given:
        set_seed(0)
        small_translator(names["translator"])
        small_language_model(names["language_model"])
        small_tagger(names["tagger"])
    return names


@pytest.fixture(scope="module")
def address(models, tmp_path_factory):
    """Where the demo can be seen, which runs as long as the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [part for name, path in models.items() for part in (f"--{name}", str(path))]
    command = [sys.executable, str(ROOT / "examples" / "app.py"), *arguments, "--port", str(port)]
    log = tmp_path_factory.mktemp("log") / "app.txt"
    own = {"GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": str(ROOT), "HF_HOME": str(log.parent / "home")}
    with log.open("w") as output:
        process = subprocess.Popen(command, env=os.environ | own, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"The demo did not start within two minutes:\n{log.read_text()}")
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The demo in a window of its own. What the browser complains of is an error."""
    page = browser.new_page(viewport={"width": 1120, "height": 900})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(error))
    page.goto(address)
    page.get_by_role("tab", name="Tagger").wait_for(timeout=60_000)
    yield page
    assert complaints == []
    page.close()


def set_number(page, name: str, value: float) -> None:
    field = page.locator(f"#{name} input[type=number]")
    field.fill(str(value))
    field.blur()


def story(page) -> str:
    return page.locator("#story .story").inner_text()


def write_on(page, tokens: int) -> None:
    """Click, and wait until the story has so many tokens and the click has ended."""
    page.locator("#write").click()
    playwright.expect(page.locator("#figures p").first).to_contain_text(f"{tokens:,}", timeout=60_000)
    playwright.expect(page.locator("#figures")).not_to_contain_text("…")


def figures(page) -> dict[str, str]:
    """The figures below a story by their meaning."""
    lines = page.locator("#figures p").all_inner_texts()
    return {meaning: figure for figure, meaning in (line.split("\n") for line in lines)}


def take_picture(page, name: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("DEMO_PICTURES", tmp_path))
    page.mouse.move(0, 0)
    path = folder / f"demo_{name}.png"
    page.screenshot(path=path, full_page=True, animations="disabled")
    with Image.open(path) as picture:
        smaller = picture.convert("RGB").quantize(256)
    smaller.save(path, optimize=True)
    assert 10_000 < path.stat().st_size < 300_000


def test_tagger(page, tmp_path):
    expect = playwright.expect
    if "DEMO_MODELS" not in os.environ:
        page.locator("#tagger_text textarea").fill("Ada Lovelace met Bob in Paris.\nBob was in New York")
    page.locator("#tag").click()
    words = page.locator("#words tr")
    expect(words.nth(1)).to_be_visible(timeout=60_000)
    take_picture(page, "tagger", tmp_path)
    if "DEMO_MODELS" in os.environ:
        return
    rows = [row.split() for row in words.all_inner_texts()]
    assert rows[0] == ["word", "label", "posterior"]
    assert [row[:2] for row in rows[1:]] == [
        *(["Ada", "B-PER"], ["Lovelace", "I-PER"], ["met", "O"], ["Bob", "B-PER"], ["in", "O"], ["Paris", "B-LOC"]),
        *([".", "O"], ["Bob", "B-PER"], ["was", "O"], ["in", "O"], ["New", "B-LOC"], ["York", "I-LOC"]),
    ]
    entities = [row.split("\t") for row in page.locator("#entities tr").all_inner_texts()[1:]]
    found = [("Ada Lovelace", "PER"), ("Bob", "PER"), ("Paris", "LOC"), ("Bob", "PER"), ("New York", "LOC")]
    assert [(name, kind) for name, kind, _ in entities] == found
    assert all(0.5 < float(posterior) <= 1 for *_, posterior in entities)
    marked = page.locator("#highlighted .highlighted")
    assert [" ".join(text.split()) for text in marked.all_inner_texts()] == [" ".join(pair) for pair in found]
    colours = [span.evaluate("span => getComputedStyle(span).backgroundColor") for span in marked.all()]
    assert colours[0] == colours[1] == colours[3] != colours[2] == colours[4]


def test_generation(page, models, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(models["language_model"])
    model = AutoModelForCausalLM.from_pretrained(models["language_model"])
    prompt = tokenizer("This module provides", return_tensors="pt").input_ids
    length = prompt.shape[1]
    page.get_by_role("tab", name="Generation").click()
    for clicks in (1, 2):
        write_on(page, length + 60 * clicks)
    take_picture(page, "generation", tmp_path)

    # Greedy: two clicks write what one run of `generate` does, since the state is carried.
    page.locator("#reset").click()
    playwright.expect(page.locator("#story .story")).to_have_text("")
    set_number(page, "temperature", 0)
    set_number(page, "length", 20)
    texts, costs = [], []
    for tokens in (20, 40):
        write_on(page, length + tokens)
        texts.append(story(page))
        costs.append(figures(page))
    model.generation_config.eos_token_id = None
    ids = model.generate(prompt, max_new_tokens=40)[0].tolist()
    documents = [[]]
    for token in ids:
        documents.append([]) if token == tokenizer.eos_token_id else documents[-1].append(token)
    assert texts[1] == "\n".join(map(tokenizer.decode, documents)).strip()
    assert texts[1].startswith(texts[0]) and len(texts[1]) > len(texts[0])
    assert page.locator("#story b").all_inner_texts() == ["This module provides"]
    state = f"{2 * model.config.hidden_size * model.config.num_hidden_layers * 4 / 1000:,.1f} kB"
    assert [cost["the state, constant"] for cost in costs] == [state, state]

    # Words in between are read on top, and the same seed writes the same again.
    page.locator("#prompt textarea, #prompt input").fill("a list")
    write_on(page, length + 40 + len(tokenizer(" a list")["input_ids"]) + 20)
    assert page.locator("#story b").all_inner_texts() == ["This module provides", " a list"]


def test_gates(page, models, tmp_path):
    page.get_by_role("tab", name="Gates").click()
    picture, rows = page.locator("#gates img"), page.locator("#saturation tr")
    page.locator("#draw").click()
    playwright.expect(rows).to_have_count(4, timeout=60_000)
    assert [row.split("\t")[0] for row in rows.all_inner_texts()[1:]] == [
        "input gate i",
        "forget gate f",
        "output gate o",
    ]
    page.wait_for_function("() => document.querySelector('#gates img').naturalWidth > 500")
    take_picture(page, "gates", tmp_path)

    all_gates = picture.get_attribute("src")
    page.get_by_label("Gate", exact=True).click()
    page.get_by_role("option", name="forget gate f").click()
    page.locator("#draw").click()
    playwright.expect(rows).to_have_count(2, timeout=60_000)
    playwright.expect(picture).not_to_have_attribute("src", all_gates)

    # The tagger reads in both directions.
    assert page.get_by_label("Direction", exact=True).count() == 0
    page.get_by_label("tagger", exact=True).check()
    page.get_by_label("Direction", exact=True).wait_for()
    page.locator("#draw").click()
    playwright.expect(rows).to_have_count(4, timeout=60_000)


def test_translation(page, tmp_path):
    expect = playwright.expect
    page.get_by_role("tab", name="Translation").click()
    page.locator("#translate").click()
    rows = page.locator("#translations tr")
    expect(rows).to_have_count(4, timeout=60_000)
    page.wait_for_function("() => document.querySelector('#attention img').naturalWidth > 200")
    take_picture(page, "translation", tmp_path)
    best = page.locator("#translation textarea, #translation input").input_value()
    assert rows.nth(1).inner_text().startswith(best)
    if "DEMO_MODELS" not in os.environ:
        assert best == PAIRS[0][1]
    set_number(page, "n_best", 6)
    page.locator("#translate").click()
    expect(page.get_by_role("alert")).to_contain_text("6 translations need as many beams", timeout=60_000)


TABS = [("Tagger", "tagger_text", "tag"), ("Gates", "gates_text", "draw")]
TABS += [("Translation", "translation_text", "translate")]


@pytest.mark.parametrize("tab, field, button", TABS)
def test_empty_text_says_what_to_do(page, tab, field, button):
    """In place of what was shown before; the next text is answered again."""
    expect = playwright.expect
    page.get_by_role("tab", name=tab).click()
    page.locator(f"#{button}").click()
    expect(page.locator(".shares:visible").first).to_be_visible(timeout=60_000)
    page.locator(f"#{field} textarea").fill(" ")
    page.locator(f"#{button}").click()
    expect(page.get_by_role("alert")).to_contain_text("choose one of the examples", timeout=60_000)
    pictures = "#gates img:visible, #attention img:visible"
    expect(page.locator(f".shares:visible, {pictures}, #highlighted .highlighted")).to_have_count(0)
    page.locator(f"#{field} textarea").fill("Bob")
    page.locator(f"#{button}").click()
    expect(page.locator(".shares:visible").first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_nothing_to_continue_says_what_to_do(page):
    page.get_by_role("tab", name="Generation").click()
    page.locator("#prompt textarea, #prompt input").fill("")
    page.locator("#write").click()
    playwright.expect(page.get_by_role("alert")).to_contain_text("nothing to continue", timeout=60_000)
    page.locator("#reset").click()
    playwright.expect(page.get_by_role("alert")).to_have_count(0)


# What is beyond the right edge, but for what can be scrolled to; and texts by their contrast (WCAG 2.2, 1.4.3).
BEYOND = """() => {
  const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  return [...document.querySelectorAll('body *')].filter(e => e.offsetParent && !scrolls(e.parentElement)
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 100));
}"""
CONTRASTS = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    if (!e) return [255, 255, 255];
    const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor);
    return a === 1 ? [r, g, b] : behind(e.parentElement).map((c, i) => c * (1 - a) + [r, g, b][i] * a);
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
    if (!text || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (e.closest('svg, style')) continue;
    const back = behind(e), [r, g, b, a = 1] = numbers(getComputedStyle(e).color);
    const front = [r, g, b].map((c, i) => c * a + back[i] * (1 - a));
    const [low, high] = [light(front), light(back)].sort((x, y) => x - y);
    found.push([text.slice(0, 30), (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_everything_can_be_seen(browser, address, width, theme):
    """On a telephone as on a desk, by day and by night; and where the keyboard is."""
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(f"{address}/?__theme={theme}")
    page.get_by_role("tab", name="Tagger").wait_for(timeout=60_000)
    for tab, button, shown in (
        ("Tagger", "tag", "#words tr"),
        ("Generation", "write", "#story b"),
        ("Gates", "draw", "#gates img"),
        ("Translation", "translate", "#translations tr"),
    ):
        page.get_by_role("tab", name=tab).click()
        page.locator(f"#{button}").click()
        playwright.expect(page.locator(shown).first).to_be_visible(timeout=60_000)
        if tab == "Generation":
            playwright.expect(page.locator("#figures")).not_to_contain_text("…")
        page.wait_for_timeout(500)  # colours change in a while
        assert page.evaluate(BEYOND) == [], tab
        faint = [(text, round(contrast, 2)) for text, contrast in page.evaluate(CONTRASTS) if contrast < 4.5]
        assert faint == [], (tab, faint)
        page.locator(f"#{button}").focus()
        page.keyboard.press("Tab")
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", page.evaluate("() => document.activeElement.outerHTML")
    page.close()


def test_an_example_fills_the_field(page):
    page.get_by_role("tab", name="Generation").click()
    page.get_by_role("button", name="Return a list of").click()
    playwright.expect(page.locator("#prompt textarea, #prompt input")).to_have_value("Return a list of")

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A demo in the browser: a tagger, a language model whose state is carried from click to click, and the gates of both.

    python examples/app.py                                        # what `make train` wrote; `make demo` trains first
    python examples/app.py --tagger runs/conll2003 --language_model user/name --port 7861

Names are those of folders or of the Hub, whose code will run (`trust_remote_code`). A Hugging Face Space gives no
arguments: there the variables TAGGER and LANGUAGE_MODEL name the models, see docs/demo.md.
"""

import html
import io
import math
import os
import re
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Queue
from threading import Thread
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer
from transformers.generation.streamers import BaseStreamer

from hf_lstm.data import rewrite
from hf_lstm.data.tag_schemes import infer_scheme, read_spans
from hf_lstm.evaluation.diagnostics import GATES, gate_activations
from hf_lstm.evaluation.plotting import plot_gates


SENTENCES = [
    "Ada Lovelace met Charles Babbage in London in 1833, long before IBM was founded in New York.",
    "The University of Vienna lost to Real Madrid, said Franz Schubert, who works for the Bank of Japan.",
]
RAW_SENTENCES = [  # for a tagger that restores how they are written
    "this function returns a list of strings if the file does not exist an error is raised note that the python "
    "interpreter uses the ascii encoding by default however you can choose another one",
    "if the file does not exist it is created for example a url may contain a port",
]
PROMPTS = ["This module provides", "Return a list of", "If the file does not exist,"]
READING = (
    "If the file does not exist, it is created. The default is None, which means that an error is raised. Note that "
    "the order of the items is not guaranteed, since the dictionary may change while it is read."
)
NAMES = {"i": "input gate i", "f": "forget gate f", "o": "output gate o", "r": "reset gate r", "z": "update gate z"}
PLAIN = ("O", "lower")  # labels of words that have nothing to be highlighted for

# A word as taggers are trained on them: apart from the punctuation around it; an ideograph is a word of its own.
WORD = re.compile(r"[一-鿿]|[^\W一-鿿]+(?:[-'’.][^\W一-鿿]+)*|[^\w\s]")


class Loaded(NamedTuple):
    """A model and its tokenizer."""

    model: Any
    tokenizer: Any


def load(argument: str, name: str, auto_class: type) -> Loaded:
    """A model from a folder or the Hub; `argument` is what the user has to change if there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=True)
        return Loaded(auto_class.from_pretrained(name, trust_remote_code=True).eval(), tokenizer)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`{argument}` is {name!r}, from which no such model can be loaded: {error}\nRun `make demo`, which "
            f"trains one first, or pass `--{argument}` with a folder or a name of the Hub."
        ) from error


# The tagger.


class Word(NamedTuple):
    """A word of a text: where it stands, its label, and the posteriors of all labels."""

    start: int
    end: int
    label: str
    posteriors: dict[str, float]


class Entity(NamedTuple):
    """A part of a text with a type, and the probability that the text has exactly this entity."""

    start: int
    end: int
    type: str
    posterior: float


@torch.no_grad()
def tag(tagger: Loaded, text: str) -> tuple[list[Word], list[Entity]]:
    """
    Words and entities of a text, in which each line is a sentence. Where labels are not of entities, such as parts of
    speech, each word with something to highlight is one.
    """
    model, tokenizer = tagger
    lines = [[word.span() for word in WORD.finditer(text, *line.span())] for line in re.finditer(r".+", text)]
    lines = [spans for spans in lines if spans]
    if not lines:
        raise ValueError("The text has no words. Type a sentence, or choose one of the examples.")
    sentences = [[text[start:end] for start, end in spans] for spans in lines]
    inputs = tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="pt")
    firsts = [first_tokens(inputs.word_ids(i)) for i in range(len(lines))]
    if model.config.use_crf:
        tag_mask = torch.zeros_like(inputs["input_ids"])
        for row, found in zip(tag_mask, firsts, strict=True):
            row[list(found.values())] = 1
        out = model(**inputs, tag_mask=tag_mask, output_marginals=True, output_entity_probabilities=True)
    else:
        out = model(**inputs)
    posteriors = out.marginals if model.config.use_crf else out.logits.softmax(-1)  # (B, T, K)

    names = [model.config.id2label[k] for k in range(model.config.num_labels)]
    of_entities = infer_scheme([[name] for name in names]) is not None
    words, entities = [], []
    for i, (spans, found) in enumerate(zip(lines, firsts, strict=True)):
        tokens = list(found.values())
        labels = [names[k] for k in out.logits[i, tokens].argmax(-1).tolist()]
        shares = [dict(zip(names, row, strict=True)) for row in posteriors[i, tokens].tolist()]
        row = [Word(*spans[word], *each) for word, *each in zip(found, labels, shares, strict=True)]
        groups = read_spans(labels) if of_entities else [(n, k, k + 1) for k, n in enumerate(labels) if n not in PLAIN]
        for kind, start, end in groups:
            if model.config.use_crf:
                posterior = out.entity_probabilities[i, tokens[start]].item()
            else:
                posterior = math.prod(word.posteriors[word.label] for word in row[start:end])
            entities.append(Entity(row[start].start, row[end - 1].end, kind, posterior))
        words += row
    return words, entities


def first_tokens(word_ids: list[int | None]) -> dict[int, int]:
    """The words that have tokens, each with its first one, which bears its label."""
    firsts = {}
    for t, word in enumerate(word_ids):
        if word is not None:
            firsts.setdefault(word, t)
    return firsts


def highlighted(text: str, entities: list[Entity]) -> list[tuple[str, str | None]]:
    """A text in parts, those of entities with their type."""
    parts, end = [], 0
    for entity in entities:
        parts += [(text[end : entity.start], None), (text[entity.start : entity.end], entity.type)]
        end = entity.end
    return [part for part in [*parts, (text[end:], None)] if part[0]]


def restores(model) -> bool:
    """Whether the labels say how words are written, as in `hf_lstm.data.unwrite`."""
    return all(re.fullmatch(r"(lower|Title|UPPER)[,.:;?]?", name) for name in model.config.id2label.values())


# The language model.


@dataclass(frozen=True)
class Story:
    """
    What the language model has read and written for one visitor.

    Args:
        token_ids (`list` of `int`): All tokens.
        typed (`list` of `tuple`): Where the tokens that the visitor typed begin and end.
        state (`RecurrentCache`, *optional*): The state after all tokens but the last ones, which nobody has read yet.
        speed (`float`, *optional*): Tokens a second of the last click, once that has ended.
    """

    token_ids: list[int]
    typed: list[tuple[int, int]]
    state: Any = None
    speed: float | None = None

    @property
    def state_bytes(self) -> int:
        layers = self.state.layers if self.state is not None else []
        return sum(part.numel() * part.element_size() for layer in layers for part in layer.states)


class Generation(Thread, BaseStreamer):
    """`generate` in a thread of its own. An iteration gives the tokens that are new, a few at a time."""

    def __init__(self, model, **options):
        super().__init__(daemon=True)
        self.model, self.options, self.tokens = model, options, Queue()
        self.output = self.error = None
        self.start()

    def run(self) -> None:
        try:
            self.output = self.model.generate(**self.options, streamer=self, return_dict_in_generate=True)
        except Exception as error:
            self.error = error
        self.tokens.put(None)

    def put(self, value: torch.Tensor) -> None:
        self.tokens.put(value.flatten().tolist())

    def end(self) -> None:
        """Nothing to do: `run` says that it has ended."""

    def __iter__(self) -> Iterator[list[int]]:
        self.tokens.get()  # the prompt comes first, or None if even that failed
        ended = self.error is not None
        while not ended:
            waiting = [self.tokens.get()]
            while not self.tokens.empty():
                waiting.append(self.tokens.get())
            ended = waiting[-1] is None
            yield [token for tokens in waiting if tokens for token in tokens]
        if self.error is not None:
            raise self.error


def write(
    language_model: Loaded,
    story: Story | None,
    prompt: str = "",
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    max_new_tokens: int = 60,
    seed: int | None = 0,
) -> Iterator[Story]:
    """
    Read `prompt` on top of the state of a story, or begin one with it, and write on: the story after each few tokens.
    The one that is given does not change. Temperature 0 is greedy; a document that ends is followed by the next.
    """
    model, tokenizer = language_model
    story = story or Story([], [])
    prompt = " " + prompt.strip() if story.token_ids and prompt.strip() else prompt.strip()
    new_ids = tokenizer(prompt)["input_ids"] if prompt else []
    ids = [*story.token_ids, *new_ids]
    if not ids:
        raise ValueError("There is nothing to continue. Type how the text begins, or choose an example below.")
    typed = [*story.typed, (len(story.token_ids), len(ids))] if new_ids else story.typed
    options = {"do_sample": temperature > 0}
    if temperature > 0:
        options |= {"temperature": temperature, "top_k": int(top_k), "top_p": top_p}
    torch.manual_seed((seed or 0) + len(ids))  # a click has numbers of its own, and the same ones after a reset

    first, final, began = len(ids), len(ids) + max_new_tokens, time.perf_counter()
    state = None if story.state is None else story.state.copy()
    while len(ids) < final:
        generation = Generation(
            model,
            input_ids=torch.tensor([ids[state.get_seq_length() if state is not None else 0 :]]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            cache=state,
            max_new_tokens=final - len(ids),
            **options,
        )
        for tokens in generation:
            ids = ids + tokens
            yield Story(ids, typed, story.state)
        state = generation.output.cache
    yield Story(ids, typed, state, (final - first) / (time.perf_counter() - began))


def as_html(tokenizer, story: Story) -> str:
    """The text of a story, with what was typed in bold type and each document in a paragraph."""
    cuts = sorted({0, len(story.token_ids), *(position for span in story.typed for position in span)})
    texts = [as_text(tokenizer, story.token_ids[:cut]) for cut in cuts]
    for i in reversed(range(len(cuts) - 1)):
        if not texts[i + 1].startswith(texts[i]):  # cut in a character of several bytes
            texts[i] = texts[i].rstrip("\ufffd")
    parts = ""
    for start, before, text in zip(cuts, texts, texts[1:], strict=False):
        part = html.escape(text.removeprefix(before))
        parts += f"<b>{part}</b>" if any(first <= start < last for first, last in story.typed) else part
    return f'<div class="story">{parts}</div>'


def as_text(tokenizer, token_ids: list[int]) -> str:
    documents = [[]]
    for token in token_ids:
        documents.append([]) if token == tokenizer.eos_token_id else documents[-1].append(token)
    return "\n".join(tokenizer.decode(each, skip_special_tokens=True) for each in documents)


def figures(model, story: Story) -> str:
    """What a story takes: the state, and what the keys and values of attention layers as wide would take by now."""
    keys_and_values = sum(2 * layer.hidden_size for layer in model.model.layers) * 4 * len(story.token_ids)
    rows = {
        "tokens read and written": f"{len(story.token_ids):,}",
        "the state, constant": kilobytes(story.state_bytes) if story.state is not None else "…",
        "keys and values of this width, growing": kilobytes(keys_and_values),
        "tokens a second": f"{story.speed:,.0f}" if story.speed else "…",
    }
    return '<div class="figures">' + "".join(f"<p><b>{v}</b>{k}</p>" for k, v in rows.items()) + "</div>"


def kilobytes(number: int) -> str:
    return f"{number / 1000:,.1f} kB"


# The gates.


def gate_choices(model) -> dict[str, list[tuple[str, int | str]]]:
    """What there is to choose from for the heat map: names and values of layers, directions and gates."""
    config = model.config
    return {
        "layer": [(f"layer {i + 1}", i) for i in range(config.num_hidden_layers)],
        "direction": [("forward", 0), ("backward", 1)][: config.num_directions],
        "gate": [("all gates", "all"), *((NAMES[gate], gate) for gate in GATES.get(config.model_type, ()))],
    }


def draw_gates(loaded: Loaded, text: str, layer: int, direction: int, gate: str) -> tuple[bytes, list[list]]:
    """A heat map of gates over a text, as a png, and what share of the time their units are closed and open."""
    if not text.strip():
        raise ValueError("The text is empty. Type a sentence, or choose one of the examples.")
    activations = gate_activations(*loaded, text)
    gates = {name: a[layer, direction] for name, a in activations.gates.items() if gate in ("all", name)}
    picture = io.BytesIO()
    plot_gates(activations.tokens, gates, picture)
    rows = [[NAMES[name], *map(float, (a.mean(), (a < 0.1).mean(), (a > 0.9).mean()))] for name, a in gates.items()]
    return picture.getvalue(), rows


# What is seen.

CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
.story { min-height: 11em; white-space: pre-wrap; line-height: 1.6; font-size: 1.05em; }
.story b { color: var(--primary-600); }
#highlighted .label { text-transform: none; }
.figures { display: flex; flex-wrap: wrap; gap: 2em; color: var(--body-text-color-subdued); }
.figures p { margin: 0; } .figures b { display: block; font-size: 1.5em; color: var(--body-text-color); }
.shares { width: 100%; border-collapse: collapse; border: none !important; }
.shares tr { border: none !important; }
.shares td, .shares th { padding: 0.3em 0.8em 0.3em 0; text-align: left; border: none !important; }
.shares th { font-weight: normal; color: var(--body-text-color-subdued); }
.shares i { display: inline-block; height: 0.7em; margin-right: 0.6em; background: var(--primary-400); }
.scroll { max-height: 22em; overflow-y: auto; }
"""


def table(headers: list[str], rows: list[list]) -> str:
    """Rows as HTML, with a bar before each share."""
    cells = ([bar(cell) if isinstance(cell, float) else html.escape(cell) for cell in row] for row in rows)
    body = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
    head = "".join(f"<th>{header}</th>" for header in headers)
    return f'<div class="scroll"><table class="shares"><tr>{head}</tr>{"".join(body)}</table></div>'


def bar(share: float) -> str:
    return f'<i style="width: {5 * share:.2f}em"></i>{share:.3f}'


def build(args: Namespace):
    """The interface, and what its `launch` needs for its look."""
    import gradio as gr  # here, so that all above can be used without it
    from PIL import Image

    tagger = load("tagger", args.tagger, AutoModelForTokenClassification)
    language_model = load("language_model", args.language_model, AutoModelForCausalLM)
    model, sentences = tagger.model, RAW_SENTENCES if restores(tagger.model) else SENTENCES
    of_gates = {"language model": language_model, "tagger": tagger}

    def on_tag(text):
        try:
            words, entities = tag(tagger, text)
        except ValueError as error:
            raise gr.Error(str(error)) from error
        of_entities = [[text[e.start : e.end], e.type, e.posterior] for e in entities]
        of_words = [[text[word.start : word.end], word.label, word.posteriors[word.label]] for word in words]
        written = rewrite([text[w.start : w.end] for w in words], [w.label for w in words]) if restores(model) else ""
        return (
            highlighted(text, entities),
            written,
            table(["highlighted", "label", "posterior"], of_entities),
            table(["word", "label", "posterior"], of_words),
        )

    def on_write(story, *inputs):
        try:
            for now in write(language_model, story, *inputs):
                yield now, as_html(language_model.tokenizer, now), figures(language_model.model, now), ""
        except ValueError as error:
            raise gr.Error(str(error)) from error

    def on_gates(name, text, layer, direction, gate):
        try:
            picture, rows = draw_gates(of_gates[name], text, layer, direction, gate)
        except ValueError as error:
            raise gr.Error(str(error)) from error
        headers = ["", "mean", "closed: share below 0.1", "open: share above 0.9"]
        return Image.open(io.BytesIO(picture)), table(headers, rows)

    def dropdowns(name):
        choices = gate_choices(of_gates[name].model)
        return [gr.Dropdown(pairs, value=pairs[0][1], visible=len(pairs) > 1) for pairs in choices.values()]

    with gr.Blocks(title="hf_lstm") as demo:
        gr.Markdown(
            "# Recurrent networks at work\n[hf_lstm](https://github.com/hf-lstm/hf-lstm): LSTM, GRU and plain "
            "recurrent networks as first-class Hugging Face models. All of this runs on a CPU."
        )
        with gr.Tab("Tagger"):
            gr.Markdown(
                "Labels each word with a recurrent network and a CRF, and says how sure it is: the posterior of each "
                "label, and of whole entities. Each line is a sentence."
            )
            text = gr.Textbox(sentences[0], lines=3, max_length=5000, label="Text", elem_id="tagger_text")
            button = gr.Button("Tag", variant="primary", elem_id="tag")
            marked = gr.HighlightedText(label="Highlighted", combine_adjacent=False, elem_id="highlighted")
            written = gr.Textbox(label="As it is to be written", visible=restores(model), elem_id="restored")
            with gr.Row():
                entities, words = gr.HTML(elem_id="entities"), gr.HTML(elem_id="words")
            outputs = [marked, written, entities, words]
            gr.Examples([[each] for each in sentences], text)
            gr.on([button.click, text.submit], on_tag, text, outputs)
        with gr.Tab("Generation"):
            gr.Markdown(
                "Each click goes on from the state that the last one left, without reading the text again: the memory "
                "does not grow. What you type in between is read on top of it."
            )
            story = gr.State()
            shown = gr.HTML(as_html(language_model.tokenizer, Story([], [])), container=True, elem_id="story")
            costs = gr.HTML(figures(language_model.model, Story([], [])), elem_id="figures")
            prompt = gr.Textbox(
                PROMPTS[0], label="Your words", placeholder="Leave empty to let it go on", elem_id="prompt"
            )
            with gr.Row():
                button = gr.Button("Write on", variant="primary", elem_id="write")
                reset = gr.Button("Reset", elem_id="reset")
            with gr.Row():
                temperature = gr.Slider(0, 1.5, 0.7, step=0.05, label="Temperature", elem_id="temperature", buttons=[])
                top_k = gr.Slider(0, 200, 50, step=1, label="Top k", elem_id="top_k", buttons=[])
                top_p = gr.Slider(0.05, 1, 0.95, step=0.05, label="Top p", elem_id="top_p", buttons=[])
            with gr.Row():
                length = gr.Slider(1, 500, 60, step=1, label="Tokens", elem_id="length", buttons=[])
                seed = gr.Number(0, precision=0, label="Seed", elem_id="seed")
            gr.Examples([[each] for each in PROMPTS], prompt)
            inputs = [story, prompt, temperature, top_k, top_p, length, seed]
            gr.on(
                [button.click, prompt.submit], on_write, inputs, [story, shown, costs, prompt], trigger_mode="multiple"
            )
            empty = (None, shown.value, costs.value, PROMPTS[0])
            reset.click(lambda: empty, None, [story, shown, costs, prompt])
        with gr.Tab("Gates"):
            gr.Markdown(
                "What the gates of each unit do at each token: a forget gate that stays open remembers, one that "
                "stays closed lives from token to token. Units are sorted by their mean."
            )
            with gr.Row():
                name = gr.Radio(list(of_gates), value="language model", label="Of the", elem_id="of_gates")
                layer, direction, gate = (
                    gr.Dropdown(pairs, value=pairs[0][1], visible=len(pairs) > 1, label=label.capitalize())
                    for label, pairs in gate_choices(language_model.model).items()
                )
            text = gr.Textbox(READING, lines=2, max_length=1000, label="Text", elem_id="gates_text")
            button = gr.Button("Draw", variant="primary", elem_id="draw")
            picture = gr.Image(show_label=False, height=520, buttons=[], elem_id="gates")
            saturation = gr.HTML(elem_id="saturation")
            gr.Examples([[READING], [RAW_SENTENCES[0]], [SENTENCES[0]]], text)
            name.change(dropdowns, name, [layer, direction, gate])
            gr.on([button.click, text.submit], on_gates, [name, text, layer, direction, gate], [picture, saturation])
    theme = gr.themes.Soft(primary_hue="teal", font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return demo, {"theme": theme, "css": CSS}


def parse(command_line: list[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__.split("\n\n")[0])
    names = {"tagger": "runs/python_docs_tagger", "language_model": "runs/python_docs_lm"}
    for argument, name in names.items():
        default = os.environ.get(argument.upper(), name)
        parser.add_argument(f"--{argument}", default=default, help=f"Folder or name on the Hub ({default}).")
    parser.add_argument("--port", type=int, help="Port to serve at; else the first free one from 7860 on.")
    return parser.parse_args(command_line)


if __name__ == "__main__":
    args = parse()
    demo, look = build(args)
    demo.launch(server_port=args.port, footer_links=["api", "gradio", "settings"], **look)

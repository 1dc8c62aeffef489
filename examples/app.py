# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A demo in the browser: a tagger, a language model whose state is carried from click to click, and the gates of both.

    python examples/app.py                                        # what `make train` wrote; `make demo` trains first
    python examples/app.py --tagger ./runs/conll2003 --language_model user/name --port 7861

Names are those of folders or of the Hub, whose code will run (`trust_remote_code`). A Hugging Face Space gives no
arguments: there the variables TAGGER and LANGUAGE_MODEL name the models, see docs/demo.md.
"""

import io
from contextlib import contextmanager

import gradio as gr
from PIL import Image
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from hf_lstm.demo.gates import draw_gates, gate_choices
from hf_lstm.demo.look import CSS, table
from hf_lstm.demo.models import Loaded, load, parse
from hf_lstm.demo.tagging import restores, shown
from hf_lstm.demo.writing import Story, as_html, figures, write


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


@contextmanager
def told():
    """What is wrong with an input is shown on the page."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error)) from error


def tagger_tab(tagger: Loaded) -> None:
    def on_tag(text):
        with told():
            return shown(tagger, text)

    sentences = RAW_SENTENCES if restores(tagger.model) else SENTENCES
    gr.Markdown(
        "Labels each word with a recurrent network and a CRF, and says how sure it is: the posterior of each "
        "label, and of whole entities. Each line is a sentence."
    )
    text = gr.Textbox(sentences[0], lines=3, max_length=5000, label="Text", elem_id="tagger_text")
    button = gr.Button("Tag", variant="primary", elem_id="tag")
    marked = gr.HighlightedText(label="Highlighted", combine_adjacent=False, elem_id="highlighted")
    written = gr.Textbox(label="As it is to be written", visible=restores(tagger.model), elem_id="restored")
    with gr.Row():
        entities, words = gr.HTML(elem_id="entities"), gr.HTML(elem_id="words")
    outputs = [marked, written, entities, words]
    gr.Examples([[each] for each in sentences], text)
    gr.on([button.click, text.submit], on_tag, text, outputs)


def generation_tab(language_model: Loaded) -> None:
    def on_write(story, *inputs):
        with told():
            for now in write(language_model, story, *inputs):
                yield now, as_html(language_model.tokenizer, now), figures(language_model.model, now), ""

    gr.Markdown(
        "Each click goes on from the state that the last one left, without reading the text again: the memory "
        "does not grow. What you type in between is read on top of it."
    )
    story = gr.State()
    shown = gr.HTML(as_html(language_model.tokenizer, Story([], [])), container=True, elem_id="story")
    costs = gr.HTML(figures(language_model.model, Story([], [])), elem_id="figures")
    prompt = gr.Textbox(PROMPTS[0], label="Your words", placeholder="Leave empty to let it go on", elem_id="prompt")
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
    gr.on([button.click, prompt.submit], on_write, inputs, [story, shown, costs, prompt], trigger_mode="multiple")
    empty = (None, shown.value, costs.value, PROMPTS[0])
    reset.click(lambda: empty, None, [story, shown, costs, prompt])


def gates_tab(models: dict[str, Loaded]) -> None:
    def on_gates(name, text, layer, direction, gate):
        with told():
            picture, rows = draw_gates(models[name], text, layer, direction, gate)
        headers = ["", "mean", "closed: share below 0.1", "open: share above 0.9"]
        return Image.open(io.BytesIO(picture)), table(headers, rows)

    def dropdowns(name):
        choices = gate_choices(models[name].model)
        return [gr.Dropdown(pairs, value=pairs[0][1], visible=len(pairs) > 1) for pairs in choices.values()]

    gr.Markdown(
        "What the gates of each unit do at each token: a forget gate that stays open remembers, one that "
        "stays closed lives from token to token. Units are sorted by their mean."
    )
    with gr.Row():
        name = gr.Radio(list(models), value="language model", label="Of the", elem_id="of_gates")
        layer, direction, gate = (
            gr.Dropdown(pairs, value=pairs[0][1], visible=len(pairs) > 1, label=label.capitalize())
            for label, pairs in gate_choices(models["language model"].model).items()
        )
    text = gr.Textbox(READING, lines=2, max_length=1000, label="Text", elem_id="gates_text")
    button = gr.Button("Draw", variant="primary", elem_id="draw")
    picture = gr.Image(show_label=False, height=520, buttons=[], elem_id="gates")
    saturation = gr.HTML(elem_id="saturation")
    gr.Examples([[READING], [RAW_SENTENCES[0]], [SENTENCES[0]]], text)
    name.change(dropdowns, name, [layer, direction, gate])
    gr.on([button.click, text.submit], on_gates, [name, text, layer, direction, gate], [picture, saturation])


if __name__ == "__main__":
    args = parse(__doc__.split("\n\n")[0])
    tagger = load("tagger", args.tagger, AutoModelForTokenClassification)
    language_model = load("language_model", args.language_model, AutoModelForCausalLM)
    with gr.Blocks(title="hf_lstm") as demo:
        gr.Markdown(
            "# Recurrent networks at work\n[hf_lstm](https://github.com/hf-lstm/hf-lstm): LSTM, GRU and plain "
            "recurrent networks as first-class Hugging Face models. All of this runs on a CPU."
        )
        with gr.Tab("Tagger"):
            tagger_tab(tagger)
        with gr.Tab("Generation"):
            generation_tab(language_model)
        with gr.Tab("Gates"):
            gates_tab({"language model": language_model, "tagger": tagger})
    theme = gr.themes.Soft(primary_hue="teal", font=["system-ui", "sans-serif"], font_mono=["monospace"])
    demo.launch(server_port=args.port, footer_links=["api", "gradio", "settings"], theme=theme, css=CSS)

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A demo in the browser: a tagger, a language model that carries its state on, their gates, a translator, a recogniser.

    python examples/app.py                                        # what `make train` wrote; `make demo` trains first
    python examples/app.py --tagger ./runs/conll2003 --language_model user/name --translator user/other --port 7861

Names are those of folders or of the Hub, whose code will run (`trust_remote_code`). A Hugging Face Space gives no
arguments: there the variables TAGGER, LANGUAGE_MODEL, TRANSLATOR and RECOGNIZER name the models, see docs/demo.md.
"""

import gradio as gr
from transformers import AutoModelForCausalLM, AutoModelForCTC, AutoModelForSeq2SeqLM, AutoModelForTokenClassification

from hf_lstm.demo.gates import draw_gates, gate_choices
from hf_lstm.demo.look import COLOURS, CSS, picture, problem, table, told
from hf_lstm.demo.models import Loaded, load, parse
from hf_lstm.demo.speech import speech_tab
from hf_lstm.demo.tagging import restores, shown
from hf_lstm.demo.texts import PROMPTS, RAW_SENTENCES, READING, SENTENCES
from hf_lstm.demo.translation import translation_tab
from hf_lstm.demo.writing import Story, as_html, figures, write
from hf_lstm.evaluation import Translator
from hf_lstm.evaluation.recognizer import SpeechRecognizer


def tagger_tab(tagger: Loaded) -> None:
    sentences = RAW_SENTENCES if restores(tagger.model) else SENTENCES
    gr.Markdown("Labels words by a recurrent network and a CRF, with the posterior of each, and of whole entities.")
    text = gr.Textbox(sentences[0], lines=3, max_length=5000, label="Text", elem_id="tagger_text")
    button = gr.Button("Tag", variant="primary", elem_id="tag")
    wrong = gr.HTML(elem_id="tagger_problem", padding=False)
    marked = gr.HighlightedText(label="Highlighted", combine_adjacent=False, elem_id="highlighted")
    written = gr.Textbox(label="As it is to be written", visible=restores(tagger.model), elem_id="restored")
    with gr.Row():
        with gr.Column(min_width=320):
            entities = gr.HTML(elem_id="entities")
        with gr.Column(min_width=320):
            words = gr.HTML(elem_id="words")
    outputs = [marked, written, entities, words, wrong]
    on_tag = told(lambda text: shown(tagger, text), (None, "", "", ""))
    gr.Examples([[each] for each in sentences], text)
    gr.on([button.click, text.submit], on_tag, text, outputs)


def generation_tab(language_model: Loaded) -> None:
    def on_write(story, *inputs):
        try:
            for now in write(language_model, story, *inputs):
                yield now, *view(now), "", ""
        except ValueError as error:  # the story is as it was
            yield story, *view(story or Story([], [])), inputs[0], problem(error)

    def view(story):
        return as_html(language_model.tokenizer, story), figures(language_model.model, story)

    gr.Markdown(
        "Each click goes on from the state that the last one left: the text is not read again, no memory grows."
    )
    story = gr.State()
    text, costs = view(Story([], []))
    shown, costs = gr.HTML(text, container=True, elem_id="story"), gr.HTML(costs, elem_id="figures")
    prompt = gr.Textbox(PROMPTS[0], label="Your words", placeholder="Leave empty to let it go on", elem_id="prompt")
    wrong = gr.HTML(elem_id="generation_problem", padding=False)
    with gr.Row():
        button = gr.Button("Write on", variant="primary", elem_id="write", min_width=100)
        reset = gr.Button("Reset", elem_id="reset", min_width=100)
    slider = {"buttons": [], "min_width": 260}
    with gr.Row():
        temperature = gr.Slider(0, 1.5, 0.7, step=0.05, label="Temperature", elem_id="temperature", **slider)
        top_k = gr.Slider(0, 200, 50, step=1, label="Top k", elem_id="top_k", **slider)
        top_p = gr.Slider(0.05, 1, 0.95, step=0.05, label="Top p", elem_id="top_p", **slider)
    with gr.Row():
        length = gr.Slider(1, 500, 60, step=1, label="Tokens", elem_id="length", **slider)
        seed = gr.Number(0, precision=0, label="Seed", elem_id="seed", min_width=260)
    gr.Examples([[each] for each in PROMPTS], prompt)
    outputs = [story, shown, costs, prompt, wrong]
    inputs = [story, prompt, temperature, top_k, top_p, length, seed]
    gr.on([button.click, prompt.submit], on_write, inputs, outputs, trigger_mode="multiple")
    empty = (None, shown.value, costs.value, PROMPTS[0], "")
    reset.click(lambda: empty, None, outputs)


def gates_tab(models: dict[str, Loaded]) -> None:
    def draw(name, text, layer, direction, gate):
        png, rows = draw_gates(models[name], text, layer, direction, gate)
        headers = ["", "mean", "closed: share below 0.1", "open: share above 0.9"]
        meaning = f"Heat map of {', '.join(row[0] for row in rows)}: a row for each unit, a column for each token"
        return picture(png, meaning), table(headers, rows)

    def dropdowns(name):
        choices = gate_choices(models[name].model)
        return [gr.Dropdown(pairs, value=pairs[0][1], visible=len(pairs) > 1) for pairs in choices.values()]

    gr.Markdown(
        "The gates of each unit at each token: a forget gate that is open remembers. Units are sorted by mean."
    )
    with gr.Row():
        name = gr.Radio(list(models), value="language model", label="Of the", elem_id="of_gates")
        layer, direction, gate = (
            gr.Dropdown(pairs, value=pairs[0][1], visible=len(pairs) > 1, label=label.capitalize())
            for label, pairs in gate_choices(models["language model"].model).items()
        )
    text = gr.Textbox(READING, lines=2, max_length=1000, label="Text", elem_id="gates_text")
    button = gr.Button("Draw", variant="primary", elem_id="draw")
    wrong, drawn, saturation = (
        gr.HTML(elem_id=name, padding=name == "saturation") for name in ("gates_problem", "gates", "saturation")
    )
    gr.Examples([[READING], [RAW_SENTENCES[0]], [SENTENCES[0]]], text)
    name.change(dropdowns, name, [layer, direction, gate])
    inputs, outputs = [name, text, layer, direction, gate], [drawn, saturation, wrong]
    gr.on([button.click, text.submit], told(draw, ("", "")), inputs, outputs)


if __name__ == "__main__":
    args = parse(__doc__.split("\n\n")[0])
    tagger = load("tagger", args.tagger, AutoModelForTokenClassification)
    language_model = load("language_model", args.language_model, AutoModelForCausalLM)
    translator = Translator(*load("translator", args.translator, AutoModelForSeq2SeqLM))
    recognizer = SpeechRecognizer(*load("recognizer", args.recognizer, AutoModelForCTC))
    with gr.Blocks(title="hf_lstm") as demo:
        gr.Markdown(
            "# Recurrent networks at work\nhf_lstm: LSTM, GRU and plain "
            "recurrent networks as first-class Hugging Face models. All of this runs on a CPU."
        )
        with gr.Tab("Tagger"):
            tagger_tab(tagger)
        with gr.Tab("Generation"):
            generation_tab(language_model)
        with gr.Tab("Gates"):
            gates_tab({"language model": language_model, "tagger": tagger})
        with gr.Tab("Translation"):
            translation_tab(translator)
        with gr.Tab("Speech"):
            speech_tab(recognizer)
    theme = gr.themes.Soft(primary_hue="teal", font=["system-ui", "sans-serif"], font_mono=["monospace"])
    theme = theme.set(**COLOURS)
    demo.launch(server_port=args.port, footer_links=["api", "gradio", "settings"], theme=theme, css=CSS)

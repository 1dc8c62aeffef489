# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The translator of the demo: translations of a sentence, and where the best one looked."""

import io
import math
from functools import partial

from ..evaluation.plotting import plot_attention
from ..evaluation.translator import Translator
from .look import picture, table, told
from .texts import TO_TRANSLATE


def translated(translator: Translator, text: str, num_beams: int, number: int) -> tuple[str, str, str]:
    """
    What the page shows of a sentence.

    Args:
        translator ([`~translator.Translator`]): What translates.
        text (`str`): The sentence; its lines are read as one.
        num_beams (`int`): Beams.
        number (`int`): How many translations, at most as many as beams.

    Returns:
        `tuple`: The best translation; and as HTML a table of all, with the probability of each and the geometric mean
        of those of its tokens, and a picture of who looked where in the best one.

    Raises:
        `ValueError`: for a text without words, and for more translations than beams.
    """
    text = " ".join(text.split())
    if not text:
        raise ValueError("The text is empty. Type a sentence, or choose one of the examples.")
    if number > num_beams:
        raise ValueError(f"{number} translations need as many beams, and there are {num_beams}. Move one of the two.")
    found = translator(text, num_beams=num_beams, num_return_sequences=number, attention=True)
    found = found if number > 1 else [found]
    rows = []
    for each in found:
        tokens = len(each["attention"].target_tokens)
        rows.append([each["translation_text"], math.exp(each["score"]), math.exp(each["score"] / tokens)])
    best, drawn = found[0]["translation_text"], io.BytesIO()
    plot_attention(*found[0]["attention"], drawn)
    meaning = f"Heat map of attention: a row for each token of {best!r}, a column for each of {text!r}"
    return best, table(["translation", "probability", "of a token"], rows), picture(drawn.getvalue(), meaning)


def translation_tab(translator: Translator) -> None:
    """The tab of the page; gradio draws it."""
    import gradio as gr

    gr.Markdown("A decoder that attends to the words of the sentence: its best translations, and where it looked.")
    text = gr.Textbox(TO_TRANSLATE[0], lines=2, max_length=1000, label="Text", elem_id="translation_text")
    with gr.Row():
        beams = gr.Slider(1, 10, 5, step=1, label="Beams", elem_id="beams", buttons=[], min_width=260)
        number = gr.Slider(1, 10, 3, step=1, label="Translations", elem_id="n_best", buttons=[], min_width=260)
    button = gr.Button("Translate", variant="primary", elem_id="translate")
    wrong = gr.HTML(elem_id="translation_problem", padding=False)
    best = gr.Textbox(label="Translation", elem_id="translation")
    all_of_them, drawn = gr.HTML(elem_id="translations"), gr.HTML(elem_id="attention", padding=False)
    gr.Examples([[each] for each in TO_TRANSLATE], text)
    inputs, outputs = [text, beams, number], [best, all_of_them, drawn, wrong]
    gr.on([button.click, text.submit], told(partial(translated, translator), ("", "", "")), inputs, outputs)

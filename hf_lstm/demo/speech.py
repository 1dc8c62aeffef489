# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The recogniser of the demo: what is said in a recording, and where in it."""

import io
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from ..data.sound import read_sound
from ..data.spoken_digits import spoken_digits
from ..evaluation.plotting import plot_speech
from ..evaluation.recognizer import SpeechRecognizer
from .look import picture, table, told


LONGEST = 60  # seconds of a recording


def recognized(recognizer: SpeechRecognizer, file: str | None) -> tuple[str, str, str]:
    """
    What the page shows of a recording.

    Args:
        recognizer ([`~recognizer.SpeechRecognizer`]): What recognises.
        file (`str`, *optional*): The recording.

    Returns:
        `tuple`: The text; and as HTML a table of its words, with their times and how sure each is, and a picture of
        the sound with the words in it.

    Raises:
        `ValueError`: Without a recording, and for one that is too long, too short, or no sound.
    """
    if not file:
        raise ValueError("There is no recording. Press the microphone, or choose a file or one of the examples.")
    extractor = recognizer.extractor
    samples, rate = read_sound(file, extractor.sampling_rate)
    if len(samples) > LONGEST * rate:
        raise ValueError(f"The recording has {len(samples) / rate:.0f} seconds. Take one of at most {LONGEST}.")
    frames = extractor.frames_of(samples)
    if not len(frames):
        raise ValueError("The recording is too short to hear anything. Record a little longer.")
    found = recognizer(samples)
    rows = [
        [f"{word['text']}", f"{word['start']:.2f}", f"{word['end']:.2f}", word["confidence"]]
        for word in found["words"]
    ]
    drawn, seconds = io.BytesIO(), extractor.hop_length / extractor.sampling_rate
    plot_speech(frames, found["words"], seconds, drawn)
    meaning = f"Spectrogram of the recording, with the words {found['text']!r} where they are heard"
    headers = ["word", "from (s)", "to (s)", "probability"]
    return found["text"], table(headers, rows), picture(drawn.getvalue(), meaning)


def examples(folder: Path, number: int = 4) -> list[str]:
    """
    Files of some of the digits that come along, written into a folder.

    Args:
        folder (`Path`): Where to.
        number (`int`, defaults to 4): How many.
    """
    files = []
    for row in spoken_digits()["test"].select(range(0, 60, 60 // number)):
        file = folder / row["audio"]["path"]
        file.write_bytes(row["audio"]["bytes"])
        files.append(str(file))
    return files


def speech_tab(recognizer: SpeechRecognizer) -> None:
    """The tab of the page; gradio draws it."""
    import gradio as gr

    gr.Markdown("What is said in a recording, where in it, and how sure each word is. The model knows English digits.")
    sound = gr.Audio(sources=["microphone", "upload"], type="filepath", label="Recording", elem_id="recording")
    button = gr.Button("Recognise", variant="primary", elem_id="recognize")
    wrong = gr.HTML(elem_id="speech_problem", padding=False)
    text = gr.Textbox(label="Text", elem_id="recognized")
    words, drawn = gr.HTML(elem_id="spoken_words"), gr.HTML(elem_id="spectrogram", padding=False)
    gr.Examples([[each] for each in examples(Path(mkdtemp()))], sound)
    gr.on(button.click, told(partial(recognized, recognizer), ("", "", "")), sound, [text, words, drawn, wrong])

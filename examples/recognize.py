# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
r"""
Recognise speech with a saved model: `pip install soundfile soxr`; for a microphone `pip install sounddevice`.

    python examples/recognize.py ./runs/spoken_digits a.wav b.flac          # a line for each file
    python examples/recognize.py ./runs/spoken_digits a.wav --times         # and one for each word
    python examples/recognize.py ./runs/stream a.wav --stream               # piece by piece, as it is heard
    python examples/recognize.py ./runs/stream --microphone
    nc -l 5000 | python examples/recognize.py ./runs/stream --raw           # 16 bits a sample, from a socket

Streams need a model of one direction (`--bidirectional False` in training). Ctrl-C ends the microphone.
"""

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from hf_lstm.data.sound import read_sound
from hf_lstm.evaluation.recognizer import SpeechRecognizer


SECONDS = 0.1  # of a piece


def of_microphone(rate: int) -> Iterator[np.ndarray]:
    """Pieces of what the microphone hears."""
    import sounddevice

    with sounddevice.InputStream(rate, channels=1, dtype="float32") as microphone:
        while True:
            yield microphone.read(int(rate * SECONDS))[0][:, 0]


def of_bytes(rate: int) -> Iterator[np.ndarray]:
    """Pieces of the standard input: samples of 16 bits, little-endian, of one channel."""
    rest = b""
    while data := sys.stdin.buffer.read1(int(rate * SECONDS) * 2):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 2**15


def of_file(file: str, rate: int) -> Iterator[np.ndarray]:
    """Pieces of a file."""
    samples, _ = read_sound(file, rate)
    yield from np.split(samples, range(int(rate * SECONDS), len(samples), int(rate * SECONDS)))


def listen(recognizer: SpeechRecognizer, pieces: Iterator[np.ndarray]) -> None:
    """Print what is heard while it is heard, and a line for each utterance that ends."""
    stream = recognizer.start()
    try:
        for piece in pieces:
            stream, results = recognizer.push(stream, piece)
            for result in results:
                line = "\n" if result["final"] else ""
                print(f"\r\x1b[K{result['text']}", end=line, flush=True)
    except KeyboardInterrupt:
        pass
    for result in recognizer.finish(stream)[1]:
        print(f"\r\x1b[K{result['text']}")


def main(command_line: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a saved recogniser, or its name on the Hub")
    parser.add_argument("files", nargs="*", help="files of sound")
    parser.add_argument("--times", action="store_true", help="begin, end and confidence of each word")
    parser.add_argument("--stream", action="store_true", help="read files piece by piece")
    parser.add_argument("--microphone", action="store_true", help="listen")
    parser.add_argument("--raw", action="store_true", help="read samples from the standard input")
    parser.add_argument("--endpoint_seconds", type=float, default=0.8, help="silence that ends an utterance")
    args = parser.parse_args(command_line)
    streams = args.stream or args.microphone or args.raw
    recognizer = SpeechRecognizer(args.model, endpoint_seconds=args.endpoint_seconds if streams else None)
    rate = recognizer.extractor.sampling_rate
    if args.microphone or args.raw:
        return listen(recognizer, of_microphone(rate) if args.microphone else of_bytes(rate))
    if not args.files:
        parser.error("give `files`, `--microphone` or `--raw`")
    for file in args.files:
        if args.stream:
            listen(recognizer, of_file(file, rate))
            continue
        found = recognizer(file)
        print(f"{file}\t{found['text']}" if len(args.files) > 1 else found["text"])
        for word in found["words"] if args.times else ():
            print(f"  {word['start']:7.2f} {word['end']:7.2f} {word['confidence']:5.2f}  {word['text']}")


if __name__ == "__main__":
    main()

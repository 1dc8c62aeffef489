# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
r"""
Recognise speech without torch and transformers: `pip install onnxruntime numpy`, and soundfile for files.

    python -m hf_lstm.interop.onnx ./runs/stream --int8              # where there is torch
    python examples/recognize_onnx.py ./runs/stream/onnx a.wav       # where there is none
    python examples/recognize_onnx.py ./runs/stream/onnx a.wav --network model_quantized.onnx

The folder holds `features.onnx`, `model.onnx` and `vocab.json`. A model of one direction hears the file piece by
piece, with its state in and out; one of both directions hears it as a whole.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime


class Recognizer:
    """
    A loop over pieces of sound: features, network, the most probable labels.

    Args:
        folder (`Path`): With the two graphs and the vocabulary.
        network (`str`): Its file.
    """

    def __init__(self, folder: Path, network: str = "model.onnx"):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.features, self.network = (
            onnxruntime.InferenceSession(str(folder / name), options) for name in ("features.onnx", network)
        )
        facts = self.features.get_modelmeta().custom_metadata_map
        self.rate, self.needed, self.step = (
            int(facts[name]) for name in ("sampling_rate", "samples_of_step", "samples_per_step")
        )
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        self.characters = {i: " " if token == "|" else token for token, i in vocabulary.items()}
        self.outputs = [output.name for output in self.network.get_outputs()]
        shapes = {each.name: each.shape for each in self.network.get_inputs()}
        self.state = {name: np.zeros((1, *shape[1:]), np.float32) for name, shape in shapes.items() if "past" in name}
        self.rest, self.last = np.zeros(0, np.float32), 0

    def hear(self, samples: np.ndarray) -> str:
        """What a piece of sound adds to the text: samples of shape `(S,)`, in [-1, 1]."""
        self.rest = np.concatenate([self.rest, samples])
        if len(self.rest) < self.needed:
            return ""
        (features,) = self.features.run(None, {"samples": self.rest[None]})
        self.rest = self.rest[features.shape[1] * self.step :]
        inputs = {"input_features": features, "attention_mask": np.ones(features.shape[:2], np.int64)}
        found = dict(zip(self.outputs, self.network.run(self.outputs, inputs | self.state), strict=True))
        labels = found.pop("logits")[0].argmax(-1).tolist()
        self.state = {name.replace("present", "past_key_values"): value for name, value in found.items()}
        before = [self.last, *labels]
        self.last = before[-1]
        changed = [label for label, other in zip(labels, before, strict=False) if label and label != other]
        return "".join(self.characters[label] for label in changed)


def main(command_line: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the export")
    parser.add_argument("file", help="file of sound, of the rate that the model reads")
    parser.add_argument("--network", default="model.onnx", help="the file of the network")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a piece")
    args = parser.parse_args(command_line)
    import soundfile

    recognizer = Recognizer(args.folder, args.network)
    samples, rate = soundfile.read(args.file, dtype="float32", always_2d=True)
    if rate != recognizer.rate:
        parser.error(f"`file` has {rate} samples a second, and the model reads {recognizer.rate}: resample it")
    samples = samples.mean(1)
    size = int(args.seconds * rate) if recognizer.state else len(samples)
    for start in range(0, len(samples), max(1, size)):
        print(recognizer.hear(samples[start : start + size]), end="", flush=True)
    print()


if __name__ == "__main__":
    main()

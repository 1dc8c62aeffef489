# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A folder of a recogniser loads and computes the same bits where `hf_lstm` is not installed."""

import json
import subprocess
import sys

import numpy as np
import torch
from processes import environment

from hf_lstm import (
    LSTMForAudioClassification,
    LSTMForCTC,
    RecurrentFeatureExtractor,
    RecurrentSpeechConfig,
    RecurrentSpeechProcessor,
)
from hf_lstm.data.sound import build_ctc_tokenizer


CEILING = 245_000  # bytes of code in the folder of a recogniser with its processor
CODE = """
import json, sys
sys.modules["hf_lstm"] = None
import numpy as np, torch
from transformers import AutoModelForAudioClassification, AutoModelForCTC, AutoProcessor, pipeline

torch.set_grad_enabled(False)  # else layers that train have a kernel of their own
folder, classifier = sys.argv[1:]
sound = np.load(folder + "/sound.npy")
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
inputs = processor(sound, sampling_rate=8000, return_tensors="pt")
logits = AutoModelForCTC.from_pretrained(folder, trust_remote_code=True)(**inputs).logits
classes = AutoModelForAudioClassification.from_pretrained(classifier, trust_remote_code=True)(**inputs).logits
text = pipeline("automatic-speech-recognition", model=folder, trust_remote_code=True)(sound)["text"]
found = pipeline("audio-classification", model=classifier, trust_remote_code=True)(sound)[0]["label"]
print(json.dumps([logits.tolist(), classes.tolist(), text, found]))
"""


def test_without_the_package(tmp_path):
    tokenizer = build_ctc_tokenizer(["one two three"])
    extractor = RecurrentFeatureExtractor(feature_size=8, sampling_rate=8000, num_deltas=1)
    sound = (np.random.default_rng(0).standard_normal(6000) / 10).astype(np.float32)
    processor = RecurrentSpeechProcessor(extractor.fit([sound]), tokenizer)
    sizes = {"feature_size": extractor.step_size, "hidden_size": 8, "vocab_size": len(tokenizer)}
    sizes |= {"inputs_to_logits_ratio": extractor.samples_per_step}
    names = {"id2label": {0: "noise", 1: "word"}}
    recognizer = LSTMForCTC(RecurrentSpeechConfig(**sizes)).eval()
    classifier = LSTMForAudioClassification(RecurrentSpeechConfig(**sizes, **names)).eval()
    for name, model, reader in (("ctc", recognizer, processor), ("classes", classifier, extractor)):
        model.save_pretrained(tmp_path / name)
        reader.save_pretrained(tmp_path / name)
    np.save(tmp_path / "ctc" / "sound.npy", sound)
    code = [file.stat().st_size for file in (tmp_path / "ctc").glob("*.py")]
    assert sum(code) < CEILING and not (tmp_path / "ctc" / "crf.py").exists()
    command = [sys.executable, "-c", CODE, str(tmp_path / "ctc"), str(tmp_path / "classes")]
    run = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    logits, classes, text, found = json.loads(run.stdout.splitlines()[-1])
    inputs = processor(sound, sampling_rate=8000, return_tensors="pt")
    with torch.no_grad():
        expected, label = recognizer(**inputs).logits, classifier(**inputs).logits
    assert torch.equal(torch.tensor(logits), expected) and torch.equal(torch.tensor(classes), label)
    assert text == processor.batch_decode(expected.argmax(-1))[0]
    assert found == names["id2label"][int(label.argmax())]

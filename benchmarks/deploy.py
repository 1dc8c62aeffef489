# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A small tagger for machines without torch: trained on CoNLL-2003, exported to ONNX, quantized, and measured on the test
data in onnxruntime, a sentence at a time on one core.

    python benchmarks/deploy.py --data FOLDER         # FOLDER/conll2003/eng.train.gz, ...

The run goes into `runs/conll2003_onnx` and is kept if it is there; the figures go into `results/conll2003_onnx.json`
and the card into `model_cards/conll2003_onnx.md`. Times are those of the processor, which other work on the machine
lengthens less than those of the clock.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from cards import DATA_SETS, check_in, training_data
from machine import machine
from transformers import AutoModelForTokenClassification, AutoTokenizer

from hf_lstm.data import load_tagged
from hf_lstm.data.tag_schemes import convert_tags
from hf_lstm.evaluation import tagging_scores
from hf_lstm.hub.cards import Measurement, write_model_card
from hf_lstm.interop.onnx import export_onnx, quantize_onnx


ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "runs" / "conll2003_onnx"
FILES = {"train": "eng.train.gz", "validation": "eng.testa.gz", "test": "eng.testb.gz"}
FLAGS = (
    "--seed 1 --min_frequency 2 --embedding_size 80 --num_hidden_layers 1 --hidden_size 128 --max_tokens 400 "
    "--learning_rate 3e-3 --weight_decay 0 --num_train_epochs 14 --patience 20 --max_grad_norm 5"
)
USAGE = """## In ONNX, without torch

`onnx/` has the same model in ONNX, with CRF and decoding. It needs transformers and onnxruntime alone:

```python
import json
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("./onnx", trust_remote_code=True)
session = onnxruntime.InferenceSession("onnx/model_quantized.onnx")
labels = json.load(open("onnx/config.json"))["id2label"]

words = ["Ada", "Lovelace", "lived", "in", "London", "."]
inputs = tokenizer([words], is_split_into_words=True, padding=True, return_tensors="np")
(predictions,) = session.run(["predictions"], dict(inputs))
print(list(zip(words, [labels[str(i)] for i in predictions[0]])))
```

"""
Tagger = Callable[[dict[str, np.ndarray]], np.ndarray]  # inputs of one sentence -> its labels, (1, T)


def command(data: str) -> list[str]:
    files = [text for split, file in FILES.items() for text in (f"--{split}_file", f"{data}/conll2003/{file}")]
    return [
        "python",
        "examples/train_token_classification.py",
        *files,
        "--output_dir",
        "runs/conll2003_onnx",
        *FLAGS.split(),
    ]


def onnx_tagger(path: Path) -> Tagger:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(["predictions"], inputs)[0]


def torch_tagger(model: torch.nn.Module) -> Tagger:
    @torch.inference_mode()
    def tag(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return model(**{name: torch.from_numpy(value) for name, value in inputs.items()}).predictions.numpy()

    return tag


def timed(function: Callable, items: list) -> tuple[list, dict[str, float]]:
    """The results for all items, and milliseconds of the processor an item, after a warm-up."""
    for item in items[:50]:
        function(item)
    results, seconds = [], []
    for item in items:
        start = time.process_time()
        results.append(function(item))
        seconds.append(time.process_time() - start)
    milliseconds = sorted(1e3 * each for each in seconds)
    places = {"mean": statistics.mean(milliseconds), "median": statistics.median(milliseconds)}
    return results, places | {
        "95th percentile": milliseconds[int(0.95 * len(milliseconds))],
        "longest": milliseconds[-1],
    }


def measure(data: Path) -> dict:
    """F1 and time of the model in torch, in ONNX and in int8, on all sentences of the test data."""
    rows = load_tagged({"test": data / "conll2003" / FILES["test"]})["test"]
    names = rows.features["tags"].feature.names
    words, tags = rows["tokens"][:], [convert_tags([names[i] for i in row], "IOB1", "BIO") for row in rows["tags"]]
    tokenizer = AutoTokenizer.from_pretrained(RUN)
    model = AutoModelForTokenClassification.from_pretrained(RUN).eval()
    path = export_onnx(model, RUN / "onnx" / "model.onnx", tokenizer=tokenizer)
    int8 = quantize_onnx(path)
    inputs, tokenizing = timed(
        lambda sentence: dict(tokenizer([sentence], is_split_into_words=True, padding=True, return_tensors="np")),
        words,
    )
    taggers = {
        "torch": (torch_tagger(model), RUN / "model.safetensors"),
        "ONNX": (onnx_tagger(path), path),
        "ONNX, int8": (onnx_tagger(int8), int8),
    }
    results, first = {}, None
    for name, (tagger, file) in taggers.items():
        predictions, milliseconds = timed(tagger, inputs)
        found = [[model.config.id2label[i] for i in row[0]] for row in predictions]
        first = first or found
        scores = tagging_scores(tags, found, scheme="BIO")
        results[name] = {
            "F1": scores["overall_f1"],
            "accuracy": scores["overall_accuracy"],
            "sentences tagged as in torch": statistics.mean(a == b for a, b in zip(first, found, strict=True)),
            "megabytes": file.stat().st_size / 1e6,
            "milliseconds a sentence": milliseconds,
        }
    return {
        "data": "CoNLL-2003 English NER, test",
        "command": " ".join(command("DATA")),
        "machine": machine("cpu") | {"onnxruntime": version("onnxruntime"), "onnx": version("onnx")},
        "sentences": len(words),
        "tokens": sum(map(len, words)),
        "megabytes of tokenizer and configuration": sum(
            file.stat().st_size for file in path.parent.iterdir() if file.suffix != ".onnx"
        )
        / 1e6,
        "milliseconds a sentence, tokenizer": tokenizing,
        "models": results,
    }


def write_card(summary: dict) -> None:
    run = json.loads((RUN / "test_results.json").read_text())
    model, on = AutoModelForTokenClassification.from_pretrained(RUN), summary["machine"]
    table = {
        name: {
            "F1": figures["F1"],
            "MB": figures["megabytes"],
            **{f"ms, {place}": value for place, value in figures["milliseconds a sentence"].items()},
        }
        for name, figures in summary["models"].items()
    }
    tokenizer = summary["milliseconds a sentence, tokenizer"]
    card = write_model_card(
        RUN,
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(RUN),
        data=training_data("CoNLL-2003 English NER"),
        results=[
            Measurement("f1", summary["models"]["torch"]["F1"], "test", "F1 of entities (lenient, conlleval)"),
            *(
                Measurement("f1", figures["F1"], "test", "F1 of entities (lenient, conlleval)", of=name)
                for name, figures in summary["models"].items()
                if name != "torch"
            ),
        ],
        reports={"A sentence at a time, on one core": table},
        name="conll2003_onnx",
        repo_id="hf-lstm/conll2003_onnx",
        language="en",
        license="other",
        example=DATA_SETS["CoNLL-2003 English NER"].example,
        training_args=torch.load(RUN / "training_args.bin", weights_only=False),
        command=summary["command"] + "\npython benchmarks/deploy.py --data DATA",
        procedure="The epoch was chosen on the development data, and nothing on the test data.",
        seconds=run["train_seconds"],
        device=f"1 thread of an {on['cpu']} that had other work to do",
        limitations=[
            f"Times are those of the processor for one sentence of the {summary['sentences']:,} of the test data at a "
            f"time ({summary['tokens'] / summary['sentences']:.1f} tokens on average), one thread of an {on['cpu']} "
            f"under a load of {on['load']}, with onnxruntime {on['onnxruntime']} and torch {on['torch']}. They "
            "include the CRF and its decoding, and not the tokenizer, which takes "
            f"{tokenizer['median']:.2f} ms (median).",
            "No outside word vectors and no other text than the training data were used.",
        ],
    )
    card.content = card.content.replace("## Data\n", USAGE + "## Data\n", 1)
    card.save(RUN / "README.md")
    check_in("conll2003_onnx", card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the folder with the data sets")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not (RUN / "test_results.json").exists():
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        line = [sys.executable, *command(str(args.data))[1:], "--disable_tqdm", "True", "--report_to", "none"]
        subprocess.run(line, cwd=ROOT, env=environment, check=True)
    summary = measure(args.data)
    (ROOT / "results" / "conll2003_onnx.json").write_text(json.dumps(summary, indent=1) + "\n")
    write_card(summary)
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()

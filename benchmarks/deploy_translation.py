# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A translator without torch: exported to ONNX, quantized, and measured beside torch on the sentences of a test, one at a
time on one core, greedily and by beams.

    python benchmarks/deploy_translation.py --model ./runs/FOLDER --source test.en.gz --reference test.de.gz \
        --language de --length_penalty 1.0

All systems translate each sentence in turn, and the ratios are medians over the sentences. Times are those of the
processor. The figures go into `results/translation_onnx.json`, and the files into `onnx/` of the model's folder.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from machine import machine
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel

import hf_lstm  # noqa: F401  its classes are then known to transformers
from hf_lstm.data import read_pairs
from hf_lstm.evaluation.translation import translation_scores
from hf_lstm.interop.onnx import export_onnx, quantize_onnx


ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))
from translate_onnx import Translator  # noqa: E402


System = Callable[[list[int]], list[int]]  # ids of a source -> ids of its target


def with_torch(model: PreTrainedModel, beams: int, options: dict) -> System:
    def translate(ids: list[int]) -> list[int]:
        source = torch.tensor([ids])
        given = {"attention_mask": torch.ones_like(source), "num_beams": beams, "do_sample": False} | options
        return model.generate(source, **given)[0, 1:].tolist()

    return translate


def without(translator: Translator, beams: int, options: dict) -> System:
    if beams == 1:
        return lambda ids: translator.greedy([ids], options["max_new_tokens"])[0]
    return lambda ids: translator.beam_search([ids], beams, **options)[0][0][1]


def in_turn(systems: dict[str, System], sources: list[list[int]]) -> tuple[dict[str, list], dict[str, list[float]]]:
    """Of each system what it translates and the seconds it takes, sentence by sentence."""
    for ids in sources[:5]:
        for translate in systems.values():
            translate(ids)
    targets, seconds = ({name: [] for name in systems} for _ in range(2))
    for ids in sources:
        for name, translate in systems.items():
            start = time.process_time()
            targets[name].append(translate(ids))
            seconds[name].append(time.process_time() - start)
    return targets, seconds


def measure(arguments: argparse.Namespace) -> dict:
    pairs = read_pairs([arguments.source, arguments.reference])
    pairs = pairs.select(range(min(arguments.sentences or len(pairs), len(pairs))))
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForSeq2SeqLM.from_pretrained(arguments.model).eval()
    folder = export_onnx(model, arguments.model / "onnx", tokenizer=tokenizer)
    quantize_onnx(folder)
    translators = {"ONNX": Translator(folder), "ONNX, int8": Translator(folder, int8=True)}
    sources = tokenizer(pairs["source"][:])["input_ids"]
    options = {"max_new_tokens": arguments.max_new_tokens}
    results = {}
    for way, beams in (("greedy", 1), (f"{arguments.num_beams} beams", arguments.num_beams)):
        if beams > 1:
            options |= {"length_penalty": arguments.length_penalty}
        systems = {"torch": with_torch(model, beams, options)}
        systems |= {name: without(translator, beams, options) for name, translator in translators.items()}
        targets, seconds = in_turn(systems, sources)
        results[way] = {
            name: {
                "bleu": translation_scores(
                    [text.strip() for text in tokenizer.batch_decode(found, skip_special_tokens=True)],
                    pairs["target"][:],
                    arguments.language,
                ).bleu,
                "as in torch": statistics.mean(a == b for a, b in zip(found, targets["torch"], strict=True)),
                "milliseconds a sentence, median": 1e3 * statistics.median(seconds[name]),
                "times faster than torch": statistics.median(
                    a / b for a, b in zip(seconds["torch"], seconds[name], strict=True)
                ),
                "tokens": sum(map(len, found)),
            }
            for name, found in targets.items()
        }
        print(json.dumps({way: results[way]}, indent=1), flush=True)
    return {
        "machine": machine("cpu") | {"onnxruntime": version("onnxruntime"), "onnx": version("onnx")},
        "parameters": model.num_parameters(),
        "sentences": len(sources),
        "megabytes": {
            file.name: file.stat().st_size / 1e6
            for file in (*sorted(folder.glob("*.onnx")), arguments.model / "model.safetensors")
        },
        "length_penalty": arguments.length_penalty,
        "results": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path, help="folder of a saved model")
    parser.add_argument("--source", required=True, type=Path)
    parser.add_argument("--reference", required=True, type=Path)
    parser.add_argument("--language", required=True, help="of the translations")
    parser.add_argument("--num_beams", type=int, default=5)
    parser.add_argument("--length_penalty", type=float, default=1.0)
    parser.add_argument("--max_new_tokens", type=int, default=100)
    parser.add_argument("--sentences", type=int, help="only the first ones")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "translation_onnx.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.write_text(json.dumps(measure(arguments), indent=1) + "\n")


if __name__ == "__main__":
    main()

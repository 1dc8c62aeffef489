# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Memory of training a language model on a text that is streamed, which does not grow with the text: the same number of
steps on texts of several sizes, the largest of them larger than the memory that the process may have; and the whole of
a text read, tokenized and cut into blocks.

    python benchmarks/streaming.py                                           # results/streaming.json, a few minutes
    python benchmarks/streaming.py --megabytes 1 2 --read 1 --max_steps 2 --output /tmp/streaming.json
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import machine


EXAMPLE = Path(__file__).parents[1] / "examples" / "train_language_model.py"
READER = """
from sys import argv
from datasets import load_dataset
from transformers import AutoTokenizer
from hf_lstm.data import encode_text, make_blocks
text = load_dataset("text", data_files=argv[1], split="train", streaming=True)
print(sum(1 for _ in make_blocks(encode_text(text, AutoTokenizer.from_pretrained(argv[2])), 128)))
"""


def write_text(path: Path, megabytes: int) -> None:
    """Words that follow Zipf's law, in lines of twenty; the megabytes are one, again and again."""
    chooser, words = random.Random(0), [f"word{i}" for i in range(5_000)]
    weights = [1 / (i + 1) for i in range(len(words))]
    lines = (" ".join(chooser.choices(words, weights, k=20)) + "\n" for _ in range(10_000))
    megabyte = "".join(lines).encode()[: 2**20 - 1] + b"\n"
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(megabyte)


def measured(command: list, limit: int | None = None) -> dict:
    """The most memory that a command had, in MiB, and its time; `limit` in MiB is what its data segment may take."""
    limits = None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit * 2**20,) * 2)
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, preexec_fn=limits)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            output.seek(0)
            raise RuntimeError(f"{command} failed:\n{output.read()[-3000:]}")
    return {"peak_MiB": usage.ru_maxrss / 2**10, "limit_MiB": limit, "seconds": time.perf_counter() - begin}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100, 1000], help="sizes of the texts, in MiB")
    parser.add_argument(
        "--read", type=int, nargs="+", default=[10, 50, 200], help="sizes of those that are read whole"
    )
    parser.add_argument("--limit", type=int, default=900, help="memory that training may take, in MiB")
    parser.add_argument("--max_steps", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "results" / "streaming.json")
    args = parser.parse_args()
    results = {"machine": machine("cpu"), "max_steps": args.max_steps, "training": [], "reading": []}
    with tempfile.TemporaryDirectory() as folder:
        text, run = Path(folder, "text.txt"), Path(folder, "run")
        for size in args.megabytes:
            write_text(text, size)
            options = ["--streaming", "--train_file", text, "--output_dir", run, "--max_steps", args.max_steps]
            options += ["--hidden_size", 64, "--tokenizer_documents", 20_000, "--use_cpu", "--report_to", "none"]
            figures = measured([sys.executable, EXAMPLE, *options], args.limit)
            results["training"].append({"text_MiB": size} | figures)
            print(f"{size:6,} MiB of text, {args.max_steps} steps: {figures['peak_MiB']:7.1f} MiB at most")
        for size in args.read:
            write_text(text, size)
            figures = measured([sys.executable, "-c", READER, text, run])
            results["reading"].append({"text_MiB": size} | figures)
            print(f"{size:6,} MiB of text, read whole: {figures['peak_MiB']:7.1f} MiB at most")
    args.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Measures what the library costs and gains over torch's own modules, over what people write around them, and over a
GPT-2 of equal size. Both sides of a row run in turn in one process; its ratio, the median over the rounds, is held
against a bar.

    python benchmarks/run.py                        # everything, saved in results/benchmarks.json
    python benchmarks/run.py --case ragged long     # two tables of it
    python benchmarks/run.py --quick                # nearly everything in two minutes, saved nowhere
    python benchmarks/run.py --device cuda          # on a GPU, saved in results/benchmarks_cuda.json
    python benchmarks/run.py --case --plot          # only the picture of the cost of a token
"""

import argparse
import inspect
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch
import transformers
from above_encoders import encoder, ngrams
from against_flair import flair
from generation import gpt2, greedy, sampling
from layers import bf16, bf16_kernel, decoding, forward, gru, masked
from loss import loss
from machine import machine, peers
from plots import curves, plot
from ragged import long, ragged
from tagging import crf, tagger
from timing import Settings
from trainer import stateful, trainer


RESULTS = Path(__file__).resolve().parents[1] / "results"
CASES = {
    case.__name__: case
    for case in (
        forward,
        masked,
        ragged,
        long,
        gru,
        decoding,
        greedy,
        sampling,
        gpt2,
        trainer,
        stateful,
        bf16,
        bf16_kernel,
        loss,
        crf,
        tagger,
        flair,
        encoder,
        ngrams,
    )
}
QUICK = 90  # seconds, after which no row begins: a row may take 20
COLUMNS = ("case", "against", "ours", "theirs", "unit", "ratio", "bar", "met")


def measure(name: str, settings: Settings, end: float) -> dict:
    """One table, printed as it comes, with the machine it was measured on; no row begins after `end`."""
    print(f"\n{inspect.getdoc(CASES[name])}\n\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    torch.manual_seed(0)
    table = {"machine": machine(settings.device), "settings": asdict(settings), "rows": []}
    for comparison in CASES[name](settings):
        if (comparison.slow and settings.quick) or time.perf_counter() > end:
            print(f"| {comparison.name} | {comparison.against} | left out: no time for it in --quick |", flush=True)
            continue
        row = comparison.measure(settings)
        table["rows"].append(row)
        print(f"| {' | '.join(shown(row[column]) for column in COLUMNS)} |", flush=True)
    return table


def shown(value) -> str:
    """A cell of a printed table, numbers with three digits at least."""
    if not isinstance(value, float):
        return {None: "", True: "yes", False: "NO"}.get(value, str(value))
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, digits)}f}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="*", choices=CASES, default=list(CASES), help="measure these tables only")
    parser.add_argument("--quick", action="store_true", help="two rounds of a row, or little more; nothing is saved")
    parser.add_argument("--seconds", type=float, help="time for a row (default: 10, or 0.5 if quick)")
    parser.add_argument("--largest", type=int, help="bound on every size, to try the command; nothing is saved")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    parser.add_argument("--output", type=Path, help="where to save, whatever is measured; tables not measured stay")
    parser.add_argument("--plot", action="store_true", help="draw the cost of a token, beside the saved file")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no CUDA device here, and nothing was measured.")
    return args


def main():
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    seconds = args.seconds if args.seconds is not None else 0.5 if args.quick else 10
    settings = Settings(args.device, seconds, args.quick, args.largest)
    usual = RESULTS / f"benchmarks{'' if args.device == 'cpu' else '_cuda'}.json"
    output = args.output or (None if args.quick or args.largest else usual)
    results = json.loads(output.read_text()) if output and output.exists() else {}
    results["peers"] = peers()
    print("\n".join(f"{name}: {version}" for name, version in results["peers"].items()))
    end = time.perf_counter() + (QUICK if args.quick else math.inf)
    for name in args.case:
        results[name] = measure(name, settings, end)
        save(results, output)
    if args.plot:
        results["curves"] = {"machine": machine(args.device), **curves(settings)}
        save(results, output)
        plot(results["curves"], (output or usual).with_name("cost_of_a_token.png"))


def save(results: dict, output: Path | None) -> None:
    """Save the tables there are, without those that earlier versions of this command made."""
    if output:
        results = {name: results[name] for name in ("peers", *CASES, "curves") if name in results}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

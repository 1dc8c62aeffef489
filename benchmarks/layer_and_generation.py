# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
What the library costs over the bare kernels, and what a generated token costs:

- the forward pass of a language model without a mask, against `torch.nn.LSTM` (`GRU`, `RNN`) between an `nn.Embedding`
  and an `nn.Linear` with the same weights, on the same padded batch;
- the same under a mask, of sentences of different lengths, for one and two directions (LSTM);
- the loss of a language model without holding its logits, against `torch.nn.functional.cross_entropy` on all of them;
- generating with batch 1, against a bare loop of `torch.lstm_cell` with the same weights, and against a GPT-2 of the
  same number of parameters.

Things that are compared run in turn in one process; a figure is the median, a ratio the median of the ratios of pairs.

    python benchmarks/layer_and_generation.py                  # everything, some ten minutes on two cores
    python benchmarks/layer_and_generation.py --case forward   # one part
    python benchmarks/layer_and_generation.py --quick          # a few rounds of each, to see that it runs
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import hf_lstm
from hf_lstm.loss_recurrent import linear_cross_entropy


RESULTS = Path(__file__).resolve().parents[1] / "results" / "benchmarks.json"
TORCH_CLASSES = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


def time_in_turn(runs: dict, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of each run, after one round to warm up; every second round in the reverse order."""
    seconds = {name: [] for name in runs}
    for r in range(-1, rounds):
        for name in list(runs) if r % 2 else reversed(list(runs)):
            start = time.perf_counter()
            runs[name]()
            if r >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


class Bare(nn.Module):
    """Embedding, torch's own module and output layer, with the weights of one of our language models."""

    def __init__(self, model, family: str):
        super().__init__()
        config = model.config
        self.embedding, self.output = model.model.embed_tokens, model.lm_head
        sizes = (config.input_size, config.hidden_size, config.num_hidden_layers)
        self.rnn = TORCH_CLASSES[family](*sizes, batch_first=True)
        for i, layer in enumerate(model.model.layers):
            for name, parameter in layer.named_parameters():
                getattr(self.rnn, name.replace("_l0", f"_l{i}")).data = parameter.data

    def forward(self, ids):
        return self.output(self.rnn(self.embedding(ids))[0])


def build(family: str, hidden_size: int, layers: int, vocab_size: int):
    fields = {"vocab_size": vocab_size, "hidden_size": hidden_size, "num_hidden_layers": layers}
    config = getattr(hf_lstm, f"{family}Config")(**fields)
    return getattr(hf_lstm, f"{family}ForCausalLM")(config).eval()


def bench_forward(rounds: int) -> list[dict]:
    """Model forward without a mask / bare modules, in inference and in a training step."""
    rows = []
    for family in TORCH_CLASSES:
        for hidden_size, layers, vocab_size in ((256, 1, 10_000), (650, 2, 10_000)):
            model = build(family, hidden_size, layers, vocab_size)
            bare = Bare(model, family).eval()
            ids = torch.randint(vocab_size, (32, 64))
            assert torch.allclose(model(ids).logits, bare(ids), atol=1e-5)

            @torch.no_grad()
            def infer(run, ids=ids):
                run(ids)

            def train(run, ids=ids):
                logits = run(ids)
                (logits if isinstance(logits, torch.Tensor) else logits.logits).sum().backward()

            for mode, step in (("inference", infer), ("training step", train)):
                model.train(mode != "inference"), bare.train(mode != "inference")
                runs = {"ours": lambda s=step, m=model: s(m), "bare": lambda s=step, m=bare: s(m)}
                seconds = time_in_turn(runs, rounds)
                rows.append(
                    {
                        "case": f"{family} {hidden_size} x {layers}, V {vocab_size}, batch 32 x 64, {mode}",
                        "ms": 1e3 * statistics.median(seconds["ours"]),
                        "bare ms": 1e3 * statistics.median(seconds["bare"]),
                        "ratio": ratio(seconds["ours"], seconds["bare"]),
                    }
                )
                print(rows[-1], flush=True)
    return rows


def bench_masked(rounds: int) -> list[dict]:
    """An LSTM under a mask / `nn.LSTM` on the same padded tensor, which is not exact: what exactness costs."""
    rows = []
    for hidden_size, layers, bidirectional in ((256, 1, True), (650, 2, False)):
        sizes = {"hidden_size": hidden_size, "num_hidden_layers": layers, "bidirectional": bidirectional}
        model = hf_lstm.LSTMModel(hf_lstm.LSTMConfig(vocab_size=1, embedding_size=hidden_size, **sizes))
        bare = nn.LSTM(hidden_size, hidden_size, layers, batch_first=True, bidirectional=bidirectional)
        model.load_torch_weights(bare)
        inputs, lengths = torch.randn(32, 48, hidden_size), torch.randint(12, 49, (32,))
        for side in ("right", "left"):
            mask = (torch.arange(48) < lengths[:, None]).long()
            mask = mask if side == "right" else mask.flip(1)

            def step(run, train, inputs=inputs):
                with torch.set_grad_enabled(train):
                    outputs = run(inputs)
                    if train:
                        outputs.sum().backward()

            for train in (False, True):
                model.train(train), bare.train(train)
                ours = lambda x, m=model, k=mask: m(inputs_embeds=x, attention_mask=k).last_hidden_state  # noqa: E731
                theirs = lambda x, m=bare: m(x)[0]  # noqa: E731
                runs = {"ours": lambda t=train, r=ours: step(r, t), "bare": lambda t=train, r=theirs: step(r, t)}
                seconds = time_in_turn(runs, rounds)
                directions = "both directions" if bidirectional else "forward"
                rows.append(
                    {
                        "case": f"LSTM {hidden_size} x {layers}, {directions}, padding on the {side}, "
                        + ("training step" if train else "inference"),
                        "ms": 1e3 * statistics.median(seconds["ours"]),
                        "bare ms": 1e3 * statistics.median(seconds["bare"]),
                        "ratio": ratio(seconds["ours"], seconds["bare"]),
                    }
                )
                print(rows[-1], flush=True)
    return rows


def bench_loss(rounds: int) -> list[dict]:
    """Loss and gradients of the output layer, 2,048 tokens: time, and the most bytes allocated beyond the start."""
    rows = []
    for vocab_size, size in ((10_000, 256), (33_000, 650)):
        hidden = torch.randn(2048, size, requires_grad=True)
        head, targets = nn.Linear(size, vocab_size), torch.randint(vocab_size, (2048,))

        def full(hidden=hidden, head=head, targets=targets):
            nn.functional.cross_entropy(head(hidden), targets).backward()

        def ours(hidden=hidden, head=head, targets=targets):
            linear_cross_entropy(hidden, head.weight, head.bias, targets).backward()

        seconds = time_in_turn({"ours": ours, "full": full}, rounds)
        rows.append(
            {
                "case": f"cross-entropy, V {vocab_size}, F {size}, 2048 tokens, forward and backward",
                "ms": 1e3 * statistics.median(seconds["ours"]),
                "full ms": 1e3 * statistics.median(seconds["full"]),
                "ratio": ratio(seconds["ours"], seconds["full"]),
                "peak memory ratio": peak_bytes(ours) / peak_bytes(full),
            }
        )
        print(rows[-1], flush=True)
    return rows


def peak_bytes(run) -> int:
    """The most bytes that torch holds at once during a run, beyond those held before it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    held = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


@torch.no_grad()
def bare_loop(model, first: int, steps: int) -> list[int]:
    """Greedy decoding with nothing but the cell and the output layer."""
    layers = [[getattr(layer, name) for name in layer._names[0]] for layer in model.model.layers]
    size, output = model.config.hidden_size, model.lm_head
    states = [(torch.zeros(1, size), torch.zeros(1, size)) for _ in layers]
    token, tokens = torch.tensor([first]), []
    for _ in range(steps):
        x = model.model.embed_tokens.weight[token]
        for i, weights in enumerate(layers):
            states[i] = torch.lstm_cell(x, states[i], *weights)
            x = states[i][0]
        token = output(x).argmax(-1)
        tokens.append(int(token))
    return tokens


def gpt2_of_size(parameters: int, vocab_size: int, length: int):
    """A GPT-2 with about as many parameters, of the shape usual for its size: head size 64 and at least 4 layers."""
    best = None
    for width in range(64, 1024, 64):
        for layers in range(4, 17):
            count = vocab_size * width + length * width + layers * (12 * width**2 + 13 * width) + 2 * width
            if best is None or abs(count - parameters) < abs(best[0] - parameters):
                best = (count, width, layers)
    _, width, layers = best
    sizes = {"n_embd": width, "n_layer": layers, "n_head": width // 64, "n_positions": length}
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocab_size, bos_token_id=1, eos_token_id=None, **sizes)).eval()


def bench_generation(rounds: int) -> list[dict]:
    """Microseconds a token, greedy, batch 1, mean over all tokens up to that length."""
    rows = []
    for hidden_size, layers, vocab_size in ((256, 1, 10_000), (650, 2, 33_000)):
        model = build("LSTM", hidden_size, layers, vocab_size)
        model.generation_config.eos_token_id = None
        for length in (128, 2048):
            gpt2 = gpt2_of_size(model.num_parameters(), vocab_size, length + 1)
            prompt = {"input_ids": torch.tensor([[1]]), "attention_mask": torch.ones(1, 1, dtype=torch.long)}
            options = {**prompt, "do_sample": False, "max_new_tokens": length, "pad_token_id": 0}
            assert model.generate(**{**options, "max_new_tokens": 20})[0, 1:].tolist() == bare_loop(model, 1, 20)
            runs = {
                "generate": lambda m=model, o=options: m.generate(**o),
                "bare loop": lambda m=model, n=length: bare_loop(m, 1, n),
                "GPT-2": lambda m=gpt2, o=options: m.generate(**o),
            }
            seconds = time_in_turn(runs, rounds if length < 1000 else max(2, rounds // 3))
            rows.append(
                {
                    "case": f"LSTM {hidden_size} x {layers}, V {vocab_size}, {length} tokens",
                    "parameters": model.num_parameters(),
                    "us a token": 1e6 * statistics.median(seconds["generate"]) / length,
                    "bare loop": 1e6 * statistics.median(seconds["bare loop"]) / length,
                    "GPT-2": 1e6 * statistics.median(seconds["GPT-2"]) / length,
                    "GPT-2 parameters": gpt2.num_parameters(),
                    "ours / bare loop": ratio(seconds["generate"], seconds["bare loop"]),
                    "GPT-2 / ours": ratio(seconds["GPT-2"], seconds["generate"]),
                }
            )
            print(rows[-1], flush=True)
    return rows


CASES = {"forward": bench_forward, "masked": bench_masked, "loss": bench_loss, "generation": bench_generation}


def machine() -> dict:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return {
        "cpu": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "hf_lstm": hf_lstm.__version__,
    }


def print_table(rows: list[dict]) -> None:
    print("\n| " + " | ".join(rows[0]) + " |\n| --- |" + " ---: |" * (len(rows[0]) - 1))
    for row in rows:
        cells = [
            f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
            for value in row.values()
        ]
        print("| " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, help="run this part only")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each comparison")
    parser.add_argument("--quick", action="store_true", help="3 rounds; the figures are not saved")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in [args.case] if args.case else CASES:
        rows = CASES[name](3 if args.quick else args.rounds)
        print_table(rows)
        results[name] = {"machine": machine(), "rows": rows}
    if not args.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

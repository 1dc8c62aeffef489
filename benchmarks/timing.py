# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Two things measured in turn in one process, and the ratio of them held against a bar."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch


# How a cost, in seconds or bytes a unit of work, is shown.
UNITS = {
    "ms": lambda cost: 1e3 * cost,
    "us a token": lambda cost: 1e6 * cost,
    "tokens a second": lambda cost: 1 / cost,
    "sentences a second": lambda cost: 1 / cost,
    "MiB": lambda cost: cost / 2**20,
}


@dataclass(frozen=True)
class Settings:
    """
    How much is measured, and where.

    Args:
        device (`str`, *optional*, defaults to `"cpu"`): Device of models and tensors.
        seconds (`float`, *optional*, defaults to 10): Time for one comparison, which takes two rounds at least.
        quick (`bool`, *optional*, defaults to `False`): Whether to leave out what is `slow`.
        largest (`int`, *optional*): Bound on every size, to try the commands themselves. None for the true sizes.
    """

    device: str = "cpu"
    seconds: float = 10
    quick: bool = False
    largest: int | None = None

    @property
    def judges(self) -> bool:
        """Whether the bars hold: they were set for a CPU, and for the true sizes."""
        return self.device == "cpu" and self.largest is None

    def size(self, number: int) -> int:
        return number if self.largest is None else min(number, self.largest)


@dataclass(frozen=True)
class Comparison:
    """
    Ours and theirs, both doing the same work, and what their ratio should be.

    Args:
        name (`str`): What is done.
        bar (`str`): `"<= 1.08"` bounds our cost over theirs; `">= 1.6"` asks how many times cheaper ours is.
        against (`str`): What theirs is.
        ours, theirs (`Callable`): Do the work once.
        unit (`str`, *optional*, defaults to `"ms"`): One of `UNITS`; "MiB" measures memory, all others time.
        work (`tuple` of two numbers, *optional*): Units of work (tokens) in one run of ours and of theirs.
        slow (`bool`, *optional*): One round is enough of what takes most of a minute; left out in quick.
        judged (`bool`, *optional*): False where the bar is not meant for this machine.
    """

    name: str
    bar: str
    against: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    unit: str = "ms"
    work: tuple[float, float] = (1, 1)
    slow: bool = False
    judged: bool = True

    def measure(self, settings: Settings) -> dict:
        """The row of the table: the ratio, its bar and whether it was met, and both costs."""
        costs = self._costs(settings)
        ratios = paired_ratios(*costs, self.bar)
        ratio = statistics.median(ratios)
        judged = self.judged and settings.judges
        ours, theirs = (UNITS[self.unit](statistics.median(cost)) for cost in costs)
        return {
            "case": self.name,
            "against": self.against,
            "ours": ours,
            "theirs": theirs,
            "unit": self.unit,
            "ratio": ratio,
            "bar": self.bar if judged else None,
            "met": _is_met(ratio, self.bar) if judged else None,
            "lowest and highest ratio": [min(ratios), max(ratios)],
            "rounds": len(ratios),
        }

    def _costs(self, settings: Settings) -> list[list[float]]:
        """Seconds, or bytes, a unit of work in each round, of ours and of theirs."""
        runs = (self.ours, self.theirs)
        if self.unit == "MiB":
            taken = [[peak_bytes(run, settings.device)] for run in runs]
        else:
            taken = time_in_turn(runs, settings, fewest=1 if self.slow else 2)
        return [[cost / work for cost in costs] for costs, work in zip(taken, self.work, strict=True)]


def time_in_turn(runs: Iterable[Callable[[], object]], settings: Settings, fewest: int = 2) -> list[list[float]]:
    """
    Seconds of each round of each run, until the time is spent; every second round goes in the reverse order. The first
    round warms up, and does not count where there are more than the fewest.
    """
    runs, end = list(runs), time.perf_counter() + settings.seconds
    seconds = [[] for _ in runs]
    order = list(range(len(runs)))
    while len(seconds[0]) < fewest or time.perf_counter() < end:
        for i in order:
            seconds[i].append(_seconds_of(runs[i], settings.device))
        order.reverse()
    return [each[len(each) > fewest :] for each in seconds]


def _seconds_of(run: Callable[[], object], device: str) -> float:
    _synchronize(device)
    start = time.perf_counter()
    run()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: str) -> None:
    """Wait for the kernels under way, which a GPU runs behind the back of the clock."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def paired_ratios(ours: list[float], theirs: list[float], bar: str) -> list[float]:
    """Our cost over theirs in each round where the bar is an upper bound, else theirs over ours."""
    pairs = zip(ours, theirs, strict=True)
    return [a / b for a, b in pairs] if bar.startswith("<=") else [b / a for a, b in pairs]


def _is_met(ratio: float, bar: str) -> bool:
    sign, limit = bar.split()
    return {"<=": ratio <= float(limit), ">=": ratio >= float(limit)}[sign]


def peak_bytes(run: Callable[[], object], device: str) -> int:
    """The most bytes that torch holds at once in a run, beyond those before it; parameters have gradients by then."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    held = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak

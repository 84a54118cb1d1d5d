"""Ratios of two things measured in one run: alternating pairs, medians."""

import statistics
import time
from collections.abc import Callable

import torch


def seconds(work: Callable[[], object], device: str) -> float:
    """Wall time of one call, the device's queue included."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(ours: Callable[[], object], theirs: Callable[[], object], pairs: int, device: str) -> tuple[float, ...]:
    """Median seconds of both, and the median of the ratios of neighbours; the first pair only warms up."""
    measured = [(seconds(ours, device), seconds(theirs, device)) for _ in range(pairs + 1)][1:]
    return (
        statistics.median(a for a, _ in measured),
        statistics.median(b for _, b in measured),
        statistics.median(a / b for a, b in measured),
    )

"""What making maps costs, beside their quality: forward passes, seconds and memory an image."""

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.networks import Explanandum

PROCESS = Path("/proc/self")


@dataclass
class Cost:
    """What some work took an image; filled in when it is done.

    Attributes:
        passes: Images that went forward through the classifier's network, for each image explained. Backward passes and
            other networks (an Explainer's masker) do not count: the seconds do.
        seconds: Until the device had the result.
        memory: Bytes at the peak above what was held before; None where it cannot be had. On a GPU, of tensors, as its
            allocator counts them. On Linux, of the process's resident set, as the kernel counts it: whole pages, and
            with whatever else the process did meanwhile.
    """

    passes: float = 0.0
    seconds: float = 0.0
    memory: float | None = None


@contextmanager
def measured(explanandum: Explanandum, device: str | torch.device, images: int = 1) -> Iterator[Cost]:
    """Measure the work done while open; it computes what it would have computed without.

    Args:
        explanandum: Whose passes are counted.
        device: Where the work is done.
        images: So many are explained; everything is given for one.

    Example:
        >>> network = Explanandum("alexnet")
        >>> with measured(network, "cpu", images=2) as cost: _ = network(torch.rand(4, 3, 64, 64))
        >>> cost.passes
        2.0
    """
    device, cost, seen = torch.device(device), Cost(), [0]

    def count(module: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> None:
        seen[0] += len(arguments[0] if arguments else next(iter(keywords.values())))

    handle = explanandum.network.register_forward_pre_hook(count, with_kwargs=True)
    before = start_memory(device)
    start = time.perf_counter()
    try:
        yield cost
    finally:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        cost.seconds = (time.perf_counter() - start) / images
        handle.remove()
        peak = peak_memory(device)
        cost.passes = seen[0] / images
        cost.memory = None if peak is None or before is None else max(0, peak - before) / images


def start_memory(device: torch.device) -> int | None:
    """Bytes held now, from where the peak is measured; None where it cannot be.

    Memory that was freed is given back to the system first: what is used again would not be seen.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        return None
    try:
        ctypes.CDLL(None).malloc_trim(0)
        (PROCESS / "clear_refs").write_text("5")  # the peak begins anew
    except (AttributeError, OSError):
        return None
    return resident("VmRSS")


def peak_memory(device: torch.device) -> int | None:
    """Bytes at the peak since `start_memory`; None where it cannot be had."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident("VmHWM")


def resident(field: str) -> int | None:
    """A field of the kernel's account of this process, in bytes; None where there is none.

    Example:
        >>> resident("no such field") is None
        True
    """
    try:
        lines = (PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(found[0]) if found else None

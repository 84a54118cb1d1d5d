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
    """What work took an image; filled in when the work is done.

    Attributes:
        passes: Number of images that went forward through the classifier's network, for each image explained. Backward
            passes and other networks (an Explainer's masker) do not count here; they count in the seconds.
        seconds: Seconds until the device had the result.
        memory: Bytes at the peak above what was held before; None where they cannot be measured. On a GPU these are
            bytes of tensors, as its allocator counts them. On Linux they are bytes of the process's resident set, as
            the kernel counts it: whole pages, with whatever else the process did meanwhile.
    """

    passes: float = 0.0
    seconds: float = 0.0
    memory: float | None = None


@contextmanager
def measured(explanandum: Explanandum, device: str | torch.device, images: int = 1) -> Iterator[Cost]:
    """Measure the work done while open; it computes what it would have computed without.

    Args:
        explanandum: Classifier whose passes are counted.
        device: Device on which the work is done.
        images: Number of images explained; every number is given for one of them.

    Yields:
        Cost of the work, to be read after the work.

    Example:
        >>> network = Explanandum("alexnet")
        >>> with measured(network, "cpu", images=2) as cost: _ = network(torch.rand(4, 3, 64, 64))
        >>> cost.passes
        2.0
    """
    device = torch.device(device)
    cost = Cost()
    batches: list[int] = []

    def count(module: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> None:
        # a network may be given its images by name
        values = (*arguments, *keywords.values())
        batches.append(len(values[0]))

    # a hook of the network itself: some methods call it without the classifier around it
    handle = explanandum.network.register_forward_pre_hook(count, with_kwargs=True)
    before = start_memory(device)
    start = time.perf_counter()
    try:
        yield cost
    finally:
        # a GPU works on after a call has returned
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        cost.seconds = (time.perf_counter() - start) / images
        handle.remove()
        peak = peak_memory(device)
        cost.passes = sum(batches) / images
        if peak is not None and before is not None:
            cost.memory = max(0, peak - before) / images


def start_memory(device: torch.device) -> int | None:
    """Return the bytes held now, and begin to measure the peak; None where that is not possible.

    Memory that was freed is given back to the system first: used again, it would not be seen.
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
    """Return the bytes at the peak since `start_memory`; None where they cannot be measured."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resident("VmHWM")


def resident(field: str) -> int | None:
    """Return a field of the kernel's account of this process, in bytes; None where there is no such field.

    Example:
        >>> resident("no such field") is None
        True
    """
    try:
        lines = (PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{field}:"):
            kilobytes = line.split()[1]
            return 1024 * int(kilobytes)
    return None

"""What a reader of results wants to know of the run that made them."""

import json
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from explainer.version import __version__

_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "timm", "captum", "numpy")


class Clock:
    """Started with a run; says when that was and how long it has taken.

    Example:
        >>> Clock().seconds >= 0
        True
    """

    def __init__(self) -> None:
        self.started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """So far."""
        return round(time.perf_counter() - self._start, 3)


def run_facts(clock: Clock, config: Any, device: str, processes: int = 1) -> dict[str, Any]:
    """Facts of a run, none of which its results depend on.

    Args:
        clock: Clock of the run.
        config: Resolved config; what JSON does not know is written as text.
        device: Where it computed.
        processes: How many did.

    Returns:
        "commit" (None outside a repository), "config", "versions", "device", "processes", "seconds", "started".
    """
    return {
        "commit": commit(Path(__file__).parent),
        "config": json.loads(json.dumps(config, default=str)),
        "versions": versions(),
        "device": device_name(device),
        "processes": processes,
        "seconds": clock.seconds,
        "started": clock.started,
    }


def commit(folder: Path) -> str | None:
    """The commit of a repository, marked when its tracked files were changed since; None without one.

    Example:
        >>> commit(Path("/nowhere")) is None
        True
    """
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Of this project, of Python and of the packages that compute.

    Example:
        >>> versions()["torch"] == torch.__version__
        True
    """
    found = {"explainer": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"torch": torch.__version__}


def device_name(device: str) -> str:
    """A GPU by its name, a CPU with the number of threads.

    Example:
        >>> device_name("cpu").startswith("cpu, ")
        True
    """
    if device.startswith("cuda"):
        return f"{device}, {torch.cuda.get_device_name(device)}"
    return f"{device}, {torch.get_num_threads()} threads"

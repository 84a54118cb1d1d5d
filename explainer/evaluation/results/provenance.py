"""What a reader of results wants to know of the run that made them."""

import json
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from explainer.evaluation.results.content import RunFacts
from explainer.version import __version__

_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "timm", "captum", "numpy")


class Clock:
    """A clock that starts with a run, and says when that was and how long it has taken.

    Example:
        >>> Clock().seconds >= 0
        True
    """

    def __init__(self) -> None:
        self.started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Return the seconds so far, to the millisecond."""
        return round(time.perf_counter() - self._start, 3)


def run_facts(clock: Clock, config: Any, device: str, processes: int = 1) -> RunFacts:
    """Gather the facts of a run, none of which its results depend on.

    Args:
        clock: Clock of the run.
        config: Resolved config; what JSON does not know is written as text.
        device: Device of the computation.
        processes: Number of processes that computed.
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
    """Return the commit of a repository, marked "-dirty" when its tracked files were changed since.

    Args:
        folder: Folder inside the repository.

    Returns:
        Commit; None outside a repository, or where git is missing or too slow.

    Example:
        >>> commit(Path("/nowhere")) is None
        True
    """
    # --exclude=* hides the tags, which would be named in place of the commit
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        # the results matter more than their commit: no git, or a hanging one, must not lose an evaluation
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode != 0:
        return None
    return answer.stdout.strip() or None


def versions() -> dict[str, str]:
    """Return the versions of this project, of Python and of the packages that compute.

    Example:
        >>> versions()["torch"] == torch.__version__
        True
    """
    by_package = {"explainer": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            by_package[name] = version(name)
        except PackageNotFoundError:
            # a package may be installed under another name; its number is of use, not needed
            continue
    # torch itself knows its CUDA build too, as in "2.11.0+cu128"
    by_package["torch"] = torch.__version__
    return by_package


def device_name(device: str) -> str:
    """Name a device: a GPU by its model, a CPU with the number of threads.

    Example:
        >>> device_name("cpu").startswith("cpu, ")
        True
    """
    if device.startswith("cuda"):
        return f"{device}, {torch.cuda.get_device_name(device)}"
    return f"{device}, {torch.get_num_threads()} threads"

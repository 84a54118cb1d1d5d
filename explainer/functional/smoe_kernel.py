"""The combined SMOE map in one read of the activations, in C++, for the CPU.

Saliency that is read from a forward pass should not be felt beside it. PyTorch's own operations read activations three
times; this reads them once. It is compiled at its first use, once a machine, which takes half a minute.
"""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.files import copy_file, digest, write_text
from explainer.functional.activation_statistics import EPSILON, check_epsilon

NAME = "explainer_fused"
SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp"]
_BUILD = ".build-"
_HOUR = 3600


@cache
def kernel() -> ModuleType:
    """Return the compiled functions, and compile them at the first use.

    Each process compiles in a folder of its own and renames the library into the cache. So there is no lock, which a
    killed compilation would leave behind for all later ones to wait for, and no library that is half written.

    Raises:
        InputError: There is no C++ compiler, or it fails.
    """
    library = library_path()
    record = library.with_suffix(".sha256")
    try:
        # a library that was cut off while it was written has another digest, and would end the process when loaded
        if library.is_file() and record.is_file() and record.read_text() == digest(library):
            return loaded(library)
        library.parent.mkdir(parents=True, exist_ok=True)
        sweep_builds(library.parent)
        with tempfile.TemporaryDirectory(dir=library.parent, prefix=_BUILD) as folder:
            module = built(folder)
            # the old digest goes first, the new one comes last: between them nobody trusts the library
            record.unlink(missing_ok=True)
            copy_file(Path(folder) / f"{NAME}.so", library, sync=True)
            write_text(record, digest(library), sync=True)
        return module
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        # the compiler's own line says more than PyTorch's first one
        lines = str(error).strip().splitlines() or [type(error).__name__]
        causes = [line for line in lines if "error" in line and "Error building" not in line]
        reason = (causes or lines)[0]
        raise InputError(f"fused needs a C++ compiler and ninja, leave it out without them: {reason[:200]}") from error


def library_path() -> Path:
    """Return the path of the compiled library, which differs by source, flags, PyTorch, Python and processor."""
    root = os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions"
    kind = [SOURCE.read_text(), *FLAGS, torch.__version__, sys.version, processor()]
    digest = hashlib.sha256(json.dumps(kind).encode()).hexdigest()
    return Path(root) / NAME / f"{digest[:16]}.so"


def processor() -> str:
    """Describe the processor: a library that is compiled for it ("native") may not run on another one."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor() or platform.machine()
    lines = path.read_text(errors="replace").splitlines()
    keys = ("model name", "flags", "Features", "CPU part")
    # a set, in order: the cores repeat themselves, and their order may change
    facts = {line for line in lines if line.startswith(keys)}
    return "\n".join(sorted(facts))


def built(folder: str) -> ModuleType:
    """Compile in a folder, and load from there."""
    from torch.utils.cpp_extension import load  # it takes a second to import, and few need it

    before = os.environ.get("PATH", "")
    os.environ["PATH"] = search_path()
    try:
        return load(NAME, [str(SOURCE)], extra_cflags=FLAGS, extra_ldflags=["-fopenmp"], build_directory=folder)
    finally:
        os.environ["PATH"] = before


def loaded(library: Path) -> ModuleType:
    """Load a compiled library."""
    spec = importlib.util.spec_from_file_location(NAME, library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} is no library")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sweep_builds(folder: Path) -> None:
    """Remove the folders that killed compilations have left, once no compilation can still be at work in them."""
    for path in folder.glob(f"{_BUILD}*"):
        if time.time() - path.stat().st_mtime > _HOUR:
            shutil.rmtree(path, ignore_errors=True)


def search_path() -> str:
    """Return where programs are looked for: first beside the Python that runs, where pip puts ninja."""
    beside = sysconfig.get_path("scripts")
    return os.pathsep.join([beside, os.environ.get("PATH", "")])


def smoe_scale(activation: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, float]:
    """Compute `explainer.functional.activation_statistics.smoe_scale` of rectified activations.

    Args:
        activation: Activations (B, C, H, W), float32, on the CPU; negative values count as 0.
        epsilon: Number that is added to each activation.

    Returns:
        Statistic (B, 1, H, W), at least 0 up to rounding; and the lowest activation, 0 where none is negative.
    """
    return kernel().smoe_scale(activation.detach(), check_epsilon(epsilon))


def combine(maps: Sequence[Tensor], weights: Sequence[float], size: tuple[int, int]) -> Tensor:
    """Compute `explainer.functional.activation_statistics.combine`.

    Args:
        maps: Statistic of each scale, (B, 1, h, w) each, float32, on the CPU.
        weights: Weight of each map, at least 0 and not all 0.
        size: H and W of the image.

    Returns:
        Map (B, 1, H, W) in [0, 1]; higher is more salient.
    """
    numbers = [float(weight) for weight in weights]
    return kernel().combine(list(maps), numbers, *size)

"""The combined SMOE map in one read of the activations, in C++, for the CPU.

Saliency that is read from a forward pass should not be felt beside it. PyTorch's own operations read activations three
times; this reads them once. It is compiled at its first use, once a machine, which takes half a minute.
"""

import os
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from torch import Tensor

from explainer.errors import InputError
from explainer.statistics import EPSILON

SOURCE = Path(__file__).with_suffix(".cpp")


@cache
def kernel() -> ModuleType:
    """The compiled functions.

    Raises:
        InputError: There is no C++ compiler, or it failed.
    """
    from torch.utils.cpp_extension import load

    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp"]
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = search_path()
    try:
        return load("explainer_fused", [str(SOURCE)], extra_cflags=flags, extra_ldflags=["-fopenmp"])
    except (RuntimeError, OSError, ImportError) as error:
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if "error" in line and "Error building" not in line), lines[0])
        raise InputError(f"fused needs a C++ compiler and ninja, leave it out without them: {reason}") from error
    finally:
        os.environ["PATH"] = before


def search_path() -> str:
    """Where programs are looked for: first beside the Python that runs, where pip puts ninja."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])


def smoe_scale(activation: Tensor) -> tuple[Tensor, float]:
    """`explainer.statistics.smoe_scale` of rectified activations.

    Args:
        activation: (B, C, H, W), float32, on the CPU; negative values count as 0.

    Returns:
        (B, 1, H, W), at least 0 up to rounding; and the lowest activation, 0 where none is negative.
    """
    return kernel().smoe_scale(activation.detach(), EPSILON)


def combine(maps: Sequence[Tensor], weights: Sequence[float], size: tuple[int, int]) -> Tensor:
    """`explainer.statistics.combine`.

    Args:
        maps: (B, 1, h, w) each, float32, on the CPU.
        weights: One a map, at least 0 and not all 0.
        size: H and W of the image.

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    return kernel().combine(list(maps), [float(w) for w in weights], *size)

"""Saliency for image classifiers: the amortized Explainer, the methods it is compared with, and what judges them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explainer.errors import InputError
from explainer.version import __version__

if TYPE_CHECKING:
    from explainer.inference import Explainer

__all__ = ["InputError", "__version__", "load"]


def load(path: str | Path, device: str | None = None, allow: Sequence[str] = ()) -> "Explainer":
    """Load a trained Explainer for inference; the checkpoint is all that it takes.

    Args:
        path: Checkpoint checkpoints/<config>.ckpt, as train.py wrote it. It is read without unpickling.
        device: Device on which to run; None takes the GPU when there is one.
        allow: Dotted names of builders, modules or packages that the checkpoint may name, besides the classifiers of
            torchvision, of timm and of this project.

    Returns:
        An object with `masks(images)`, `probabilities(images)`, `explain(photo)` and `classes`.

    Raises:
        InputError: There is no such file, or it is no checkpoint of an Explainer.
    """
    # late, so that `import explainer` does not wait for PyTorch
    from explainer.inference import Explainer

    return Explainer(path, device, allow)

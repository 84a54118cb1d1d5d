"""An explanation in numbers, for programs: a .npz or .safetensors file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from explainer.files import replacing
from explainer.inference.explanation import Explanation

ArrayFormat = Literal["npz", "safetensors"]
"""Ending of a file of arrays: NumPy's, or that of safetensors, which other languages read too."""


def explanation_arrays(explanation: Explanation) -> dict[str, Tensor]:
    """Return an explanation as arrays.

    Args:
        explanation: Explanation of one photograph.

    Returns:
        `masks`, (P, H, W) in [0, 1], of the P classes present, at the photograph's size; `predicted`, their indices
        (P,), the most probable first; `target_mask`, (H, W) in [0, 1]; and the probabilities of all classes, (K,) in
        [0, 1]: `probabilities` of the photograph, `kept` of what the target mask keeps, `removed` of what it leaves.
    """
    height, width = explanation.size
    masks = explanation.logits.new_empty(len(explanation.predicted), height, width)
    for place, index in enumerate(explanation.predicted):
        for rows, band in explanation.bands([index]):
            masks[place, rows] = band[0, 0]
    return {
        "masks": masks,
        "predicted": explanation.probabilities.new_tensor(explanation.predicted).long(),
        "target_mask": explanation.target[0, 0],
        "probabilities": explanation.probabilities,
        "kept": explanation.through_mask,
        "removed": explanation.through_complement,
    }


def save_arrays(arrays: Mapping[str, Tensor], classes: Sequence[str], path: Path) -> None:
    """Write arrays and the names of the classes into one file, which is whole or absent.

    Args:
        arrays: Name → array.
        classes: Names of the K classes: the array `classes` of a .npz, JSON in the metadata of a .safetensors.
        path: File to write; its ending, .npz or .safetensors, says how.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile, torch; path = Path(tempfile.mkdtemp()) / "a.npz"
        >>> save_arrays({"masks": torch.ones(1, 2, 2)}, ["cat"], path)
        >>> np.load(path)["classes"].tolist()
        ['cat']
    """
    with replacing(path) as partial:
        if path.suffix == ".safetensors":
            tensors = {name: array.contiguous() for name, array in arrays.items()}
            save_file(tensors, partial, metadata={"classes": json.dumps(list(classes))})
        else:
            # only arrays of numbers and of text: neither needs pickle to be read
            numbers: dict[str, Any] = {name: array.numpy() for name, array in arrays.items()}
            np.savez_compressed(partial, classes=np.array(list(classes), dtype=np.str_), **numbers)

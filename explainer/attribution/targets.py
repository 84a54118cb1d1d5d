"""Targets: the classes to explain, in whatever form a caller has them, checked in one place."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from explainer.errors import InputError

_FORMS = "an int, (B,) whole numbers as a list, an array or a tensor, or a bool matrix (B, K)"


def each_target(target: Any, image: Tensor, classes: int) -> Tensor:
    """Return a class for each image, or a matrix of any number of classes an image.

    Args:
        target: One number, which is the class of all images; B numbers in a list, an array or a tensor; or a bool
            matrix (B, K). Floats are welcome if they are whole numbers.
        image: Images (B, 3, H, W).
        classes: Number of the classifier's classes, K.

    Returns:
        Classes (B,) long in [0, K), or a matrix (B, K) bool, on the images' device.

    Raises:
        InputError: It has another shape or kind, or names no class.

    Example:
        >>> image = torch.rand(2, 3, 4, 4)
        >>> each_target([0.0, 2.0], image, 3).tolist(), each_target(1, image, 3).tolist()
        ([0, 2], [1, 1])
    """
    numbers = _tensor(target).to(image.device)
    if numbers.dtype == torch.bool:
        return checked_matrix(numbers, image, classes)
    if numbers.ndim == 0 or numbers.shape == (1,):
        numbers = numbers.reshape(1).expand(len(image))
    if numbers.shape != image.shape[:1]:
        raise InputError(f"target has shape {tuple(numbers.shape)} for {len(image)} images; wants {_FORMS}")
    indices = numbers.long()
    # labels read from a table are often floats: they are classes if nothing is lost in the conversion
    changed = indices.to(numbers) != numbers
    if numbers.is_floating_point() and bool(changed.any()):
        first = int(changed.nonzero()[0])
        raise InputError(f"target {float(numbers[first])} of image {first} is no class: targets are whole numbers")
    check_targets(indices, classes)
    return indices.contiguous()


def _tensor(target: Any) -> Tensor:
    """Return the target as a tensor of bool, whole numbers or floats."""
    # a single bool would silently be class 0 or 1
    if isinstance(target, bool | np.bool_):
        raise InputError(f"target {target} is no class; a target is {_FORMS}")
    try:
        # a copy: torch warns of an array that it might write to
        source = target.copy() if isinstance(target, np.ndarray) else target
        numbers = torch.as_tensor(source).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # text, objects, lists of unequal length
        raise InputError(f"a target is {_FORMS}; got {type(target).__name__} {str(target)[:60]!r}") from error
    if numbers.is_complex() or numbers.layout != torch.strided:
        raise InputError(f"a target is {_FORMS}; got {numbers.dtype}, {numbers.layout}")
    return numbers


def check_targets(target: Tensor, classes: int) -> None:
    """Refuse targets that are no classes.

    Args:
        target: Classes (B,) long.
        classes: Number of the classifier's classes, K.

    Raises:
        InputError: Names the first such target.

    Example:
        >>> check_targets(torch.tensor([0, 2]), 3)
    """
    wrong = target[(target < 0) | (target >= classes)]
    if len(wrong):
        raise InputError(f"target {int(wrong[0])} is out of range: the classifier has {classes} classes")


def checked_matrix(matrix: Tensor, image: Tensor, classes: int) -> Tensor:
    """Return a bool matrix of targets, when it has a row an image and a column a class.

    Args:
        matrix: Targets (B, K) bool.
        image: Images (B, 3, H, W).
        classes: Number of the classifier's classes, K.

    Returns:
        The matrix (B, K) as it came.

    Raises:
        InputError: It has another shape.

    Example:
        >>> checked_matrix(torch.eye(2).bool(), torch.rand(2, 3, 4, 4), 2).shape
        torch.Size([2, 2])
    """
    if matrix.shape != (len(image), classes):
        raise InputError(
            f"targets are a bool matrix {tuple(matrix.shape)}; wants ({len(image)}, {classes}): images, classes"
        )
    return matrix


def one_target(target: Any, image: Tensor, classes: int) -> Tensor:
    """Return a class for each image, where `each_target` might return a matrix too.

    Args:
        target: One number for all images, or (B,) whole numbers in a list, an array or a tensor.
        image: Images (B, 3, H, W).
        classes: Number of the classifier's classes, K.

    Returns:
        Classes (B,) long in [0, K).

    Raises:
        InputError: `each_target` refuses the target, or it is a bool matrix.

    Example:
        >>> one_target(1, torch.rand(2, 3, 4, 4), 3).tolist()
        [1, 1]
    """
    indices = each_target(target, image, classes)
    if indices.dtype == torch.bool:
        raise InputError("a search explains one class an image: (B,) whole numbers, not a bool matrix")
    return indices

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
        target: An int or one number, which is the class of all images; B of them in a list, an array or a tensor;
            whole numbers may be floats; or a bool matrix (B, K).
        image: (B, 3, H, W).
        classes: K of the classifier.

    Returns:
        (B,) long in [0, K), or (B, K) bool, on the images' device.

    Raises:
        InputError: It has another shape or kind, or names no class.

    Example:
        >>> image = torch.rand(2, 3, 4, 4)
        >>> each_target([0.0, 2.0], image, 3).tolist(), each_target(1, image, 3).tolist()
        ([0, 2], [1, 1])
    """
    given = _tensor(target).to(image.device)
    if given.dtype == torch.bool:
        return checked_matrix(given, image, classes)
    if given.ndim == 0 or given.shape == (1,):
        given = given.reshape(1).expand(len(image))
    if given.shape != image.shape[:1]:
        raise InputError(f"target has shape {tuple(given.shape)} for {len(image)} images; wants {_FORMS}")
    whole = given.long()
    if given.is_floating_point() and not torch.equal(whole.to(given), given):
        broken = int((whole.to(given) != given).nonzero()[0])
        raise InputError(f"target {float(given[broken])} of image {broken} is no class: targets are whole numbers")
    check_targets(whole, classes)
    return whole.contiguous()


def _tensor(target: Any) -> Tensor:
    """Return the target as a tensor of bool, whole numbers or floats."""
    if isinstance(target, bool | np.bool_):
        raise InputError(f"target {target} is no class; a target is {_FORMS}")
    try:
        # a copy: torch warns of an array that it might write to
        found = torch.as_tensor(target.copy() if isinstance(target, np.ndarray) else target).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # text, objects, lists of unequal length
        raise InputError(f"a target is {_FORMS}; got {type(target).__name__} {str(target)[:60]!r}") from error
    if found.is_complex() or found.layout != torch.strided:
        raise InputError(f"a target is {_FORMS}; got {found.dtype}, {found.layout}")
    return found


def check_targets(target: Tensor, classes: int) -> None:
    """Refuse targets that are no classes.

    Args:
        target: (B,) long.
        classes: K.

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
        matrix: (B, K) bool.
        image: (B, 3, H, W).
        classes: K of the classifier.

    Returns:
        The matrix.

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
    """Return a class for each image, as `each_target`, where a matrix is no answer.

    Args:
        target: As there.
        image: (B, 3, H, W).
        classes: K of the classifier.

    Returns:
        (B,) long in [0, K).

    Raises:
        InputError: As there, or it is a bool matrix.

    Example:
        >>> one_target(1, torch.rand(2, 3, 4, 4), 3).tolist()
        [1, 1]
    """
    found = each_target(target, image, classes)
    if found.dtype == torch.bool:
        raise InputError("a search explains one class an image: (B,) whole numbers, not a bool matrix")
    return found

"""What sanity checks share: they run a method again, under other circumstances, and compare the masks.

A sanity check is a metric like any other, but for what it looks at: the origin of the masks, which is a `MethodRun`.
"""

import copy
from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explainer.attribution import Attribution
from explainer.data import Batch
from explainer.errors import InputError
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.metrics import ImageMetric, Judged, Measured, rank_correlation
from explainer.metrics.base import of_some
from explainer.networks import Explanandum


class MethodRun(NamedTuple):
    """A method, the images, and the masks that it gave: the origin of masks that a metric is asked about.

    Attributes:
        explanandum: Frozen classifier, on the images' device; a check leaves it as it was.
        method: Method of the masks.
        batch: Images, with the classes that are explained as labels.
        mask: Masks (B, 1, H, W) in [0, 1].
        maker: Maker of the masks.
    """

    explanandum: Explanandum
    method: Attribution
    batch: Batch
    mask: Tensor
    maker: MaskMaker = SCALED

    def of(self, index: Tensor) -> "MethodRun":
        """Select some of the images by their indices, (N,) long."""
        return self._replace(batch=select(self.batch, index), mask=self.mask[index])

    def again(self, method: Attribution | None = None, image: Tensor | None = None) -> Tensor:
        """Make masks by another method, or of other images with the same labels.

        Args:
            method: Method to run; None runs the same one.
            image: Images (B, 3, H, W) in [0, 1]; None takes the same ones.

        Returns:
            Masks (B, 1, H, W) in [0, 1].
        """
        if method is None:
            method = self.method
        if image is None:
            image = self.batch.image
        return self.maker.target_mask(self.explanandum, method, image, self.batch.labels).mask

    def undefined(self) -> Tensor:
        """Return NaN for every image, (B,): the answer of a check that does not apply to the method."""
        return self.mask.new_full((len(self.mask),), torch.nan)


class SanityCheck(ImageMetric):
    """A metric that takes further maps of the method to answer.

    An image whose mask is constant (or was not finite, and so counts as the constant 0) has no value, and no image has
    one where no method made the masks, as for the ground truth.
    """

    higher_is_better = True
    range = "[-1, 1]"

    def measure(self, judged: Judged) -> Measured:
        """Ask the method again about the images whose masks are not constant."""
        run = judged.origin
        if not isinstance(run, MethodRun):
            undefined = judged.mask.new_full((len(judged.mask),), torch.nan)
            return Measured(undefined)
        highest = run.mask.amax((1, 2, 3))
        lowest = run.mask.amin((1, 2, 3))
        # a constant mask puts the pixels in no order, and no norm of it can be compared with
        varied = (highest > lowest).nonzero()[:, 0]
        return of_some(varied, run.mask, lambda index: self.ask(run.of(index)))

    @abstractmethod
    def ask(self, run: MethodRun) -> Measured:
        """Compare masks of a second run with the first ones, none of which is constant."""

    def points(self, explanandum: Explanandum, method: Attribution, image: Tensor) -> list[str]:
        """Name the points of the curve for a figure; none without a curve."""
        return []


def select(batch: Batch, index: Tensor) -> Batch:
    """Select images of a batch.

    Args:
        batch: Batch of B images.
        index: Indices of the images to select, (N,) long.

    Example:
        >>> select(Batch(torch.rand(2, 3, 4, 4), torch.eye(2), ["a", "b"]), torch.tensor([1])).id
        ['b']
    """
    places = index.tolist()
    segmentation = None
    if batch.segmentation is not None:
        segmentation = batch.segmentation[index]
    boxes = None
    if batch.boxes is not None:
        boxes = [batch.boxes[place] for place in places]
    ids = [batch.id[place] for place in places]
    parts = None
    if batch.parts is not None:
        parts = [batch.parts[place] for place in places]
    return Batch(batch.image[index], batch.labels[index], ids, segmentation, boxes, parts)


def with_setting(method: Attribution, name: str, value: Any) -> Attribution:
    """Copy a method and change one hyperparameter of the copy.

    Args:
        method: Method that stays as it is.
        name: Name of the hyperparameter.
        value: New value of the hyperparameter.

    Raises:
        InputError: The method has no such hyperparameter.

    Example:
        >>> from explainer.attribution import Random
        >>> with_setting(Random(), "seed", 3).seed
        3
    """
    if name not in vars(method):
        raise InputError(f"{type(method).__name__} has no hyperparameter {name!r} to change")
    # a shallow copy: a network that the method holds is shared, and not held twice
    other = copy.copy(method)
    setattr(other, name, value)
    return other


def agreement(mask: Tensor, other: Tensor) -> Tensor:
    """Compute the rank correlation with another mask; it is 0 where that one is constant and has no order to share.

    Leaving such an image out would flatter a method that gives no map at all under the other circumstance.

    Args:
        mask: Masks (B, 1, H, W), not constant.
        other: Second mask or map, of the same shape.

    Returns:
        Correlation (B,) in [-1, 1]; higher is more alike.

    Example:
        >>> agreement(torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item()
        0.0
    """
    return rank_correlation(mask, other).nan_to_num(0.0)


def check_setting(check: SanityCheck | None, condition: bool, requirement: str) -> None:
    """Refuse a hyperparameter of a sanity check.

    Args:
        check: Sanity check, for the error.
        condition: Whether the requirement is met.
        requirement: Requirement in words, with the value.

    Raises:
        InputError: The condition does not hold.

    Example:
        >>> check_setting(None, 2 > 1, "two is above one")
    """
    if not condition:
        raise InputError(f"sanity check {type(check).__name__}: {requirement}")

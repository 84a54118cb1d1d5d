"""What probes share: they run a method again, under other circumstances, and compare its masks with the one it gave."""

import copy
import inspect
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explainer.attribution import Attribution
from explainer.data import Batch
from explainer.errors import InputError
from explainer.metrics import ImageMetric, Measured, rank_correlation
from explainer.metrics.base import of_some
from explainer.networks import Explanandum


class Probed(NamedTuple):
    """A method, the images, and the masks that it gave.

    Attributes:
        explanandum: The frozen classifier, on the images' device.
        method: Method of the masks.
        batch: The images.
        mask: (B, 1, H, W) in [0, 1], none of them constant.
        scaled: Whether maps that are masks already are scaled too.
    """

    explanandum: Explanandum
    method: Attribution
    batch: Batch
    mask: Tensor
    scaled: bool = True

    def again(self, method: Attribution | None = None, image: Tensor | None = None) -> Tensor:
        """Masks (B, 1, H, W) in [0, 1] of another method, or of other images with the same labels."""
        method = self.method if method is None else method
        image = self.batch.image if image is None else image
        plain = {"scaled": False} if method.is_mask and not self.scaled else {}
        return method.target_mask(self.explanandum, image, self.batch.labels, **plain).detach().clamp(0, 1)

    def undefined(self) -> Tensor:
        """(B,) NaN: what a probe says that does not apply to the method."""
        return self.mask.new_full((len(self.mask),), torch.nan)


class Probe(ABC):
    """A question to a method that takes further maps to answer; hyperparameters in the constructor.

    An image whose mask is constant (or was not finite, and so counts as the constant 0) has no value.
    """

    higher_is_better: bool = True
    percent: bool = False
    """Shown times 100."""
    paper: str = ""
    """Authors, venue, year."""
    meaning: str = ""
    """In a sentence for a reader of the report."""
    formula: str = ""
    range: str = "[-1, 1]"

    def __call__(
        self, explanandum: Explanandum, method: Attribution, batch: Batch, mask: Tensor, scaled: bool = True
    ) -> Tensor:
        """A value for each image.

        Args:
            explanandum: The frozen classifier, left as it was found.
            method: Method of the same masks.
            batch: On the explanandum's device.
            mask: (B, 1, H, W) in [0, 1], what the method gave for these images.
            scaled: Whether it was scaled, where it is a mask already.

        Returns:
            (B,), NaN where it is not defined.
        """
        return self.ask(explanandum, method, batch, mask, scaled).value

    def ask(
        self, explanandum: Explanandum, method: Attribution, batch: Batch, mask: Tensor, scaled: bool = True
    ) -> Measured:
        """As a call, with the curve of which the value is the mean, where there is one."""
        index = (mask.amax((1, 2, 3)) > mask.amin((1, 2, 3))).nonzero()[:, 0]

        def ask(some: Tensor) -> Measured:
            return self.measure(Probed(explanandum, method, some_of(batch, some), mask[some], scaled))

        return of_some(index, mask, ask)

    @abstractmethod
    def measure(self, probed: Probed) -> Measured:
        """What a probe has to do, for images whose masks are not constant."""

    def points(self, explanandum: Explanandum, method: Attribution, image: Tensor) -> list[str]:
        """What each point of the curve is, for a figure; none without a curve."""
        return []

    @property
    def settings(self) -> dict[str, Any]:
        """Hyperparameters that decide the values, as plain values."""
        names = inspect.signature(type(self).__init__).parameters
        found = {name: getattr(self, name) for name in names if name not in ("self", "args", "kwargs")}
        return {
            name: {"class": type(v).__name__} | v.settings if isinstance(v, ImageMetric) else v
            for name, v in found.items()
        }


def some_of(batch: Batch, index: Tensor) -> Batch:
    """Some images of a batch: (N,) indices.

    Example:
        >>> some_of(Batch(torch.rand(2, 3, 4, 4), torch.eye(2), ["a", "b"]), torch.tensor([1])).id
        ['b']
    """
    places = index.tolist()
    return Batch(
        batch.image[index],
        batch.labels[index],
        [batch.id[n] for n in places],
        None if batch.segmentation is None else batch.segmentation[index],
        None if batch.boxes is None else [batch.boxes[n] for n in places],
    )


def with_setting(method: Attribution, name: str, value: Any) -> Attribution:
    """The same method with another hyperparameter; the method itself stays as it is.

    Args:
        method: Method of which a shallow copy is taken.
        name: Name of the hyperparameter.
        value: Its new value.

    Raises:
        InputError: The method has no such hyperparameter.

    Example:
        >>> from explainer.attribution import Random
        >>> with_setting(Random(), "seed", 3).seed
        3
    """
    if name not in vars(method):
        raise InputError(f"{type(method).__name__} has no hyperparameter {name!r} to change")
    other = copy.copy(method)
    setattr(other, name, value)
    return other


def agreement(mask: Tensor, other: Tensor) -> Tensor:
    """Rank correlation with another mask, which counts as 0 where that one is constant: it has no order to share.

    Leaving such an image out would flatter a method that gives no map at all under the other circumstance.

    Args:
        mask: (B, 1, H, W).
        other: Second mask or map, of the same shape.

    Returns:
        (B,) in [-1, 1].

    Example:
        >>> agreement(torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item()
        0.0
    """
    return rank_correlation(mask, other).nan_to_num(0.0)


def check_probe(probe: Probe, condition: bool, what: str) -> None:
    """Refuse a hyperparameter.

    Args:
        probe: Named in the error.
        condition: That must hold.
        what: Must hold, in words, with the value.

    Raises:
        InputError: It does not.

    Example:
        >>> check_probe(None, 2 > 1, "two is above one")
    """
    if not condition:
        raise InputError(f"probe {type(probe).__name__}: {what}")

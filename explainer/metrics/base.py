"""What metrics share: a mean over the images that have a value, and what a mask can be judged by."""

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from explainer.infill import Infill

Score = Callable[[Tensor, Tensor], Tensor]
"""Images (N, 3, H, W) and which of the batch each is (N,) → the score of that image's one label (N,)."""
Fill = Callable[[Tensor, Tensor], Tensor]
"""Images (N, 3, H, W) and masks (N, 1, H, W), 1 = keep → what stands where the mask is 0; broadcasts to the images."""


def described(value: Any) -> Any:
    """A hyperparameter as a plain value; an in-fill as its class and what it was built with.

    Example:
        >>> from explainer.infill import Blur
        >>> described(Blur(5.0)), described(0.5)
        ({'class': 'Blur', 'sigma': 5.0}, 0.5)
    """
    if not isinstance(value, Infill):
        return value
    plain = (str, int, float, bool, tuple, list, dict, type(None))
    known = {k: v for k, v in vars(value).items() if k[0] != "_" and k != "batch_size" and isinstance(v, plain)}
    return {"class": type(value).__name__} | known


class MeanOverImages(Metric):
    """Mean of one value an image; NaN values are left out and counted in `skipped`.

    `compute` is NaN when no image had a value. The states are sums, so several processes add theirs.

    Attributes:
        percent: Whether tables show the value times 100.
        paper: Authors, venue and year of the definition.
        meaning: What it says, in a sentence for a reader of the report.
        formula: The value of one image in one line; m is the mask, g the object, Z the number of pixels.
        range: Of that value.
    """

    is_differentiable = False
    full_state_update = False
    percent: bool = False
    paper: str = ""
    meaning: str = ""
    formula: str = ""
    range: str = ""
    total: Tensor
    count: Tensor
    skipped: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("skipped", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Take the values of some images.

        Args:
            values: (B,), NaN where not defined.
        """
        defined = ~values.isnan()
        self.total += values[defined].sum().double()
        self.count += defined.sum()
        self.skipped += (~defined).sum()

    def compute(self) -> Tensor:
        """The mean over the images that had a value."""
        return (self.total / self.count).float()


class Judged(NamedTuple):
    """The masks of some images, and all that they can be judged by.

    Attributes:
        mask: (B, 1, H, W) in [0, 1].
        level: (B,), a pixel above it is salient.
        image: (B, 3, H, W) in [0, 1].
        labels: (B, K) multi-hot.
        boxes: B tensors (N, 4), x0, y0, x1, y1 in pixels, of the labelled objects; none where they are not known.
        segmentation: (B, K, H, W) uint8 of 0, 1 and 255 (void), or None.
        probability: In [0, 1]; defined for images with one label.
        log_odds: Likewise.
        fill: An in-fill.
    """

    mask: Tensor
    level: Tensor
    image: Tensor
    labels: Tensor
    boxes: list[Tensor]
    segmentation: Tensor | None
    probability: Score
    log_odds: Score
    fill: Fill

    @property
    def clean(self) -> "Judged":
        """The same with each mask that holds NaN replaced by the constant 0, which finds nothing."""
        broken = self.mask.isnan().flatten(1).any(1)
        return self._replace(mask=self.mask.masked_fill(broken[:, None, None, None], 0.0))

    @property
    def region(self) -> Tensor:
        """(B, 1, H, W) bool: what is salient."""
        return self.mask > self.level[:, None, None, None]

    def of(self, index: Tensor) -> "Judged":
        """Some of the images: (N,) indices; the scores' owners count among these."""
        chosen = index.tolist()
        return Judged(
            self.mask[index],
            self.level[index],
            self.image[index],
            self.labels[index],
            [self.boxes[n] for n in chosen],
            None if self.segmentation is None else self.segmentation[index],
            lambda seen, owner: self.probability(seen, index[owner]),
            lambda seen, owner: self.log_odds(seen, index[owner]),
            self.fill,
        )


class Measured(NamedTuple):
    """What a metric says of some images.

    Attributes:
        value: (B,), NaN where it is not defined.
        curve: (B, S + 1) of which the value is the area, for a figure; NaN where it is not defined; or None.
    """

    value: Tensor
    curve: Tensor | None = None


class ImageMetric(MeanOverImages):
    """A metric that an evaluation's config can name: hyperparameters in the constructor, the rest when it is used.

    A mask that holds NaN is judged as the constant 0 (see `Judged.clean`).
    """

    higher_is_better = False

    @abstractmethod
    def measure(self, judged: Judged) -> Measured:
        """A value for each image."""

    def update(self, judged: Judged) -> None:
        """Take the values of some images."""
        self.add(self.measure(judged).value)

    @property
    def settings(self) -> dict[str, Any]:
        """Hyperparameters that decide the values, which the batch size does not, as plain values."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: described(getattr(self, name)) for name in names if name not in ("self", "batch_size")}


def of_one_label(judged: Judged, measure: Callable[[Judged], Measured]) -> Measured:
    """Measure the images with exactly one label; NaN for the others.

    Args:
        judged: Any images.
        measure: Called with those that have one label, if there are any.

    Returns:
        Values of all images; a curve when `measure` gives one.

    Example:
        >>> one = torch.ones(1)
        >>> two = Judged(one, one, one, torch.ones(1, 2), [], None, max, max, max)  # labels
        >>> of_one_label(two, lambda judged: Measured(judged.level)).value.isnan().tolist()
        [True]
    """
    return of_some((judged.labels.sum(1) == 1).nonzero()[:, 0], judged.mask, lambda index: measure(judged.of(index)))


def of_some(index: Tensor, mask: Tensor, measure: Callable[[Tensor], Measured]) -> Measured:
    """Measure some images of a batch; NaN for the others.

    Args:
        index: (N,) long, which ones.
        mask: (B, 1, H, W): how many there are, and of which kind and where the values are to be.
        measure: Called with the index, unless it is empty.

    Returns:
        Values of all images; a curve when `measure` gives one.

    Example:
        >>> of_some(torch.tensor([1]), torch.ones(2, 1, 3, 3), lambda index: Measured(index.float())).value.tolist()
        [nan, 1.0]
    """
    value = mask.new_full((len(mask),), torch.nan)
    if not len(index):
        return Measured(value)
    found = measure(index)
    value[index] = found.value.to(value)
    if found.curve is None:
        return Measured(value)
    curve = value.new_full((len(value), found.curve.shape[1]), torch.nan)
    curve[index] = found.curve.to(curve)
    return Measured(value, curve)

"""What metrics share: a mean over the images that have a value, and what a mask can be judged by.

Every column of an evaluation is an `ImageMetric`: the scores that each evaluation has, those that a config names, and
the sanity checks, which ask the method again.
"""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric

from explainer.functional.parts import Parts
from explainer.infill import Infill

Score = Callable[[Tensor, Tensor], Tensor]
"""Images (N, 3, H, W) and which of the batch each is (N,) → the score of that image's one label (N,)."""
Fill = Callable[[Tensor, Tensor], Tensor]
"""Images (N, 3, H, W) and masks (N, 1, H, W), 1 = keep → what stands where the mask is 0; broadcasts to the images."""
Logits = Callable[[Tensor], Tensor]
"""Images (N, 3, H, W) → logits of all classes (N, K)."""


class Origin(Protocol):
    """Where masks come from; a sanity check knows it better, and asks it for further masks."""

    def of(self, index: Tensor) -> "Origin":
        """Select some of the images by their indices, (N,) long."""


def described(value: Any) -> Any:
    """Describe a hyperparameter by plain values: an in-fill or a metric by its class and what it was built with.

    Args:
        value: Any hyperparameter of a metric.

    Returns:
        The value, or a dict that describes the in-fill or the metric.

    Example:
        >>> from explainer.infill import Blur
        >>> described(Blur(5.0)), described(0.5)
        ({'class': 'Blur', 'sigma': 5.0}, 0.5)
    """
    if isinstance(value, ImageMetric):
        return {"class": type(value).__name__} | value.settings
    if not isinstance(value, Infill):
        return value
    plain = (str, int, float, bool, tuple, list, dict, type(None))
    description: dict[str, object] = {"class": type(value).__name__}
    for name, attribute in vars(value).items():
        # the batch size changes no value, and a network is no description
        hidden = name.startswith("_") or name == "batch_size"
        if not hidden and isinstance(attribute, plain):
            description[name] = attribute
    return description


class MeanOverImages(Metric):
    """Mean of one value an image; NaN values are left out and counted in `skipped`.

    `compute` is NaN when no image had a value. The states are sums, so several processes add theirs.

    Attributes:
        label: Heading of the column, where no config gives the metric a name.
        percent: Whether tables show the value times 100.
        paper: Authors, venue and year of the definition.
        meaning: Meaning of the value, in a sentence for a reader of the report.
        formula: Value of one image in one line; m is the mask, g the object, Z the number of pixels.
        range: Range of that value.
    """

    is_differentiable = False
    # the states are sums, to which torchmetrics can add a batch without a second pass over it
    full_state_update = False
    label: str = ""
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
        # in double precision: rounding must not grow with the number of images
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("skipped", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Add the values of some images.

        Args:
            values: Values (B,), NaN where they are not defined.
        """
        defined = ~values.isnan()
        self.total += values[defined].sum().double()
        self.count += defined.sum()
        self.skipped += (~defined).sum()

    def compute(self) -> Tensor:
        """Return the mean over the images that had a value."""
        return (self.total / self.count).float()


class Judged(NamedTuple):
    """The masks of some images, and all that they can be judged by.

    Attributes:
        mask: Masks (B, 1, H, W) in [0, 1].
        level: Value (B,) above which a pixel is salient.
        image: Images (B, 3, H, W) in [0, 1].
        labels: Labels of the classes that the masks explain, (B, K), multi-hot.
        boxes: Boxes of the labelled objects, B tensors (N, 4): x0, y0, x1, y1 in pixels; N = 0 where none is known.
        segmentation: Segmentations (B, K, H, W) uint8 of 0, 1 and 255 (void), or None.
        probability: Score of images with one label: its probability in [0, 1].
        log_odds: Score of images with one label: its log-odds.
        fill: In-fill of the evaluation.
        logits: Classifier.
        mean_colour: Mean colour of the classifier's training images, (1, 3, 1, 1) in [0, 1].
        annotated: Labels of the images themselves, (B, K), whose objects are the truth; None: they are `labels`.
        masked_logits: Logits (B, K) of m · x + (1 − m) · mean colour where they are known; None: `logits` tells them.
        origin: Origin of the masks, which sanity checks ask again; None where there is none, as of the ground truth.
        parts: Parts of each image, with the image without each; None, or a None, where the data set knows of none.
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
    logits: Logits
    mean_colour: Tensor
    annotated: Tensor | None = None
    masked_logits: Tensor | None = None
    origin: Origin | None = None
    parts: Sequence[Parts | None] | None = None

    @property
    def clean(self) -> "Judged":
        """Replace each mask that holds NaN by the constant 0, which finds nothing."""
        broken = self.mask.isnan().flatten(1).any(1)
        if not broken.any():
            return self
        mask = self.mask.masked_fill(broken[:, None, None, None], 0.0)
        # the logits that are known are of the masks as they were
        return self._replace(mask=mask, masked_logits=None)

    @property
    def region(self) -> Tensor:
        """Say which pixels are salient: (B, 1, H, W) bool."""
        return self.mask > self.level[:, None, None, None]

    def of(self, index: Tensor) -> "Judged":
        """Select some of the images by their indices, (N,) long; the scores' owners count among these."""
        return Judged(
            mask=self.mask[index],
            level=self.level[index],
            image=self.image[index],
            labels=self.labels[index],
            boxes=[self.boxes[n] for n in index.tolist()],
            segmentation=None if self.segmentation is None else self.segmentation[index],
            probability=lambda pictures, owner: self.probability(pictures, index[owner]),
            log_odds=lambda pictures, owner: self.log_odds(pictures, index[owner]),
            fill=self.fill,
            logits=self.logits,
            mean_colour=self.mean_colour,
            annotated=None if self.annotated is None else self.annotated[index],
            masked_logits=None if self.masked_logits is None else self.masked_logits[index],
            origin=None if self.origin is None else self.origin.of(index),
            parts=None if self.parts is None else [self.parts[n] for n in index.tolist()],
        )


class Measured(NamedTuple):
    """Values of a metric for some images.

    Attributes:
        value: Values (B,), NaN where they are not defined.
        curve: Curves (B, S + 1) whose area is the value, for a figure; NaN where they are not defined; or None.
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
        """Compute a value for each image."""

    def update(self, judged: Judged) -> None:
        """Add the values of some images."""
        self.add(self.measure(judged).value)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the hyperparameters that decide the values (the batch size does not), as plain values."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: described(getattr(self, name)) for name in names if name not in ("self", "batch_size")}


class OneLabelMetric(ImageMetric):
    """A metric of images with exactly one label; images with several labels, or none, have no value."""

    def measure(self, judged: Judged) -> Measured:
        """Measure the images with one label; NaN for the others."""
        return of_one_label(judged.clean, self.measure_one_label)

    @abstractmethod
    def measure_one_label(self, judged: Judged) -> Measured:
        """Compute a value for each image, all of which have one label, and masks without NaN."""


def of_one_label(judged: Judged, measure: Callable[[Judged], Measured]) -> Measured:
    """Measure the images with exactly one label; NaN for the others.

    Args:
        judged: Images with any number of labels.
        measure: Function that is called with the images that have one label, if there are any.

    Returns:
        Values of all images; a curve when `measure` gives one.

    Example:
        >>> number, labels = torch.ones(1), torch.ones(1, 2)
        >>> two_labels = Judged(number, number, number, labels, [], None, max, max, max, max, number)
        >>> of_one_label(two_labels, lambda judged: Measured(judged.level)).value.isnan().tolist()
        [True]
    """
    has_one_label = judged.labels.sum(1) == 1
    index = has_one_label.nonzero()[:, 0]
    return of_some(index, judged.mask, lambda indices: measure(judged.of(indices)))


def of_some(index: Tensor, mask: Tensor, measure: Callable[[Tensor], Measured]) -> Measured:
    """Measure some images of a batch; NaN for the others.

    Args:
        index: Indices of the images to measure, (N,) long.
        mask: Masks (B, 1, H, W) of all images; the values get their number, type and device.
        measure: Function that is called with the indices, unless there are none.

    Returns:
        Values of all images; a curve when `measure` gives one.

    Example:
        >>> of_some(torch.tensor([1]), torch.ones(2, 1, 3, 3), lambda index: Measured(index.float())).value.tolist()
        [nan, 1.0]
    """
    # NaN is left out of means, and is counted in `skipped`
    value = mask.new_full((len(mask),), torch.nan)
    if not len(index):
        return Measured(value)
    measured = measure(index)
    value[index] = measured.value.to(value)
    if measured.curve is None:
        return Measured(value)
    curve = value.new_full((len(value), measured.curve.shape[1]), torch.nan)
    curve[index] = measured.curve.to(curve)
    return Measured(value, curve)

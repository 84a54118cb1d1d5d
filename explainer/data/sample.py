"""One sample and one batch for every data set, and the operations on a single image.

Flips keep segmentation, boxes and parts with the image. Files are read by explainer.files.pictures.
"""

from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from explainer.data.masks import VOID
from explainer.files.pictures import read_picture
from explainer.functional.parts import Parts

open_rgb = read_picture
"""Name under which the data sets know the reader of pictures."""


class Sample(NamedTuple):
    """One image: image (C, S, S) in [0, 1], labels (K,), segmentation (K, S, S) uint8, boxes (N, 5), and parts."""

    image: Tensor
    labels: Tensor
    id: str
    segmentation: Tensor | None = None
    boxes: Tensor | None = None
    parts: Parts | None = None


class Batch(NamedTuple):
    """The one batch of this project.

    Attributes:
        image: (B, C, H, W) in [0, 1], RGB for most; never normalised (the explanandum does that inside).
        labels: (B, K) multi-hot float.
        id: B names, unique within the split.
        segmentation: (B, K, H, W) uint8, 1 object, 0 not, 255 void; an image without annotation is all void.
        boxes: B tensors (N, 5): class index, x0, y0, x1, y1 in pixels of `image`.
        parts: Parts of each image; None for an image without any.
    """

    image: Tensor
    labels: Tensor
    id: list[str]
    segmentation: Tensor | None = None
    boxes: list[Tensor] | None = None
    parts: list[Parts | None] | None = None


def collate(samples: list[Sample | None]) -> Batch:
    """Stack samples into a batch; `None` (an unreadable image) is left out, so the batch may be smaller or empty.

    Args:
        samples: Samples that the data set returned, with images of one size.

    Returns:
        The batch; `segmentation`, `boxes` and `parts` are None unless some sample has them.

    Example:
        >>> sample = Sample(torch.zeros(3, 8, 8), torch.zeros(2), "a")
        >>> collate([sample, None, sample]).image.shape
        torch.Size([2, 3, 8, 8])
    """
    readable = [sample for sample in samples if sample is not None]
    if not readable:
        # an empty batch and not None: whoever takes batches can ask it for its names
        return Batch(torch.zeros(0, 3, 1, 1), torch.zeros(0, 1), [])
    images = torch.stack([sample.image for sample in readable])
    labels = torch.stack([sample.labels for sample in readable])
    ids = [sample.id for sample in readable]
    segmentation = None
    # one annotated image is enough: the others are void, which no metric counts
    if any(sample.segmentation is not None for sample in readable):
        segmentation = torch.stack([_segmentation_or_void(sample) for sample in readable])
    boxes = None
    if any(sample.boxes is not None for sample in readable):
        boxes = [_boxes_or_none(sample) for sample in readable]
    parts = None
    if any(sample.parts is not None for sample in readable):
        parts = [sample.parts for sample in readable]
    return Batch(images, labels, ids, segmentation, boxes, parts)


def _segmentation_or_void(sample: Sample) -> Tensor:
    if sample.segmentation is not None:
        return sample.segmentation
    shape = (len(sample.labels), *sample.image.shape[1:])
    return torch.full(shape, VOID, dtype=torch.uint8)


def _boxes_or_none(sample: Sample) -> Tensor:
    if sample.boxes is not None:
        return sample.boxes
    return torch.zeros(0, 5)


def pixels(image: Image.Image, size: int) -> Tensor:
    """Resize to a square without cropping, as in the Explainer paper.

    Args:
        image: RGB image of any size.
        size: Side of the square in pixels.

    Returns:
        (3, size, size) float in [0, 1].

    Example:
        >>> pixels(Image.new("RGB", (1, 1), (255, 0, 0)), 4)[:, 0, 0].tolist()
        [1.0, 0.0, 0.0]
    """
    resized = image.resize((size, size), Image.Resampling.BILINEAR)
    whole_numbers = tvf.to_image(resized)
    return tvf.to_dtype(whole_numbers, torch.float32, scale=True)


def flip_sample(sample: Sample) -> Sample:
    """Mirror image, segmentation, boxes and parts left to right.

    Example:
        >>> sample = Sample(torch.zeros(3, 4, 8), torch.ones(1), "a", boxes=torch.tensor([[0.0, 1, 0, 3, 4]]))
        >>> flip_sample(sample).boxes.tolist()
        [[0.0, 5.0, 0.0, 7.0, 4.0]]
    """
    boxes = sample.boxes
    segmentation = sample.segmentation
    if segmentation is not None:
        segmentation = segmentation.flip(-1)
    if boxes is not None:
        width = sample.image.shape[-1]
        category, x0, y0, x1, y1 = boxes.unbind(1)
        # the right border becomes the left one: x0 stays the smaller
        left = width - x1
        right = width - x0
        boxes = torch.stack([category, left, y0, right, y1], 1)
    parts = sample.parts
    if parts is not None:
        parts = parts._replace(regions=parts.regions.flip(-1), pictures=parts.pictures.flip(-1))
    image = sample.image.flip(-1)
    return sample._replace(image=image, segmentation=segmentation, boxes=boxes, parts=parts)


def blank_sample(sample: Sample) -> Sample:
    """Replace an image by its mean colour, and take its labels, segmentation, boxes and parts away.

    Example:
        >>> sample = blank_sample(Sample(torch.rand(3, 4, 8), torch.ones(2), "a"))
        >>> sample.labels.tolist(), bool(sample.image[:, :1, :1].eq(sample.image).all())
        ([0.0, 0.0], True)
    """
    # the image's own mean, not a constant colour: a network would learn the constant by heart
    mean = sample.image.mean((1, 2), keepdim=True)
    image = mean.expand_as(sample.image).clone()
    labels = torch.zeros_like(sample.labels)
    segmentation = sample.segmentation
    if segmentation is not None:
        segmentation = torch.zeros_like(segmentation)
    boxes = sample.boxes
    if boxes is not None:
        boxes = boxes[:0]
    return sample._replace(image=image, labels=labels, segmentation=segmentation, boxes=boxes, parts=None)


def erase_rectangle(image: Tensor, draw: list[float]) -> Tensor:
    """Fill a rectangle with the image's mean colour.

    Args:
        image: Image (3, H, W) in [0, 1].
        draw: Four random numbers in [0, 1): height, width, top and left of the rectangle within their ranges.

    Returns:
        A copy (3, H, W) in [0, 1].
    """
    rows, columns = image.shape[1:]
    height_share, width_share, down, across = draw
    height = int(rows * (0.1 + 0.5 * height_share))
    width = int(columns * (0.1 + 0.5 * width_share))
    top = int((rows - height) * down)
    left = int((columns - width) * across)
    erased = image.clone()  # a data set may hold its images in memory, and give the same tensor out again
    mean = image.mean((1, 2), keepdim=True)
    rectangle = erased[:, top : top + height, left : left + width]
    rectangle.copy_(mean)
    return erased

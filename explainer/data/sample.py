"""One sample and one batch for every data set, and the operations on a single image.

Flips and crops keep segmentation and boxes with the image. Files are read by explainer.files.pictures.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from explainer.data.masks import VOID
from explainer.files.pictures import read_picture

open_rgb = read_picture
"""The name under which the data sets know it."""


class Sample(NamedTuple):
    """One image: image (3, S, S) in [0, 1]; labels (K,) multi-hot; segmentation (K, S, S) uint8; boxes (N, 5)."""

    image: Tensor
    labels: Tensor
    id: str
    segmentation: Tensor | None = None
    boxes: Tensor | None = None


class Batch(NamedTuple):
    """The one batch of this project.

    Attributes:
        image: (B, 3, H, W), RGB in [0, 1]; never normalised (the explanandum does that inside).
        labels: (B, K) multi-hot float.
        id: B names, unique within the split.
        segmentation: (B, K, H, W) uint8, 1 object, 0 not, 255 void; an image without annotation is all void.
        boxes: B tensors (N, 5): class index, x0, y0, x1, y1 in pixels of `image`.
    """

    image: Tensor
    labels: Tensor
    id: list[str]
    segmentation: Tensor | None = None
    boxes: list[Tensor] | None = None


def collate(samples: list[Sample | None]) -> Batch:
    """Stack samples into a batch; `None` (an unreadable image) is left out, so the batch may be smaller or empty.

    Args:
        samples: What the data set returned, images of one size.

    Returns:
        The batch; `segmentation` and `boxes` are None unless some sample has them.

    Example:
        >>> sample = Sample(torch.zeros(3, 8, 8), torch.zeros(2), "a")
        >>> collate([sample, None, sample]).image.shape
        torch.Size([2, 3, 8, 8])
    """
    kept = [s for s in samples if s is not None]
    if not kept:
        return Batch(torch.zeros(0, 3, 1, 1), torch.zeros(0, 1), [])
    segmentation = None
    if any(s.segmentation is not None for s in kept):
        segmentation = torch.stack([_segmentation_or_void(s) for s in kept])
    boxes = None
    if any(s.boxes is not None for s in kept):
        boxes = [s.boxes if s.boxes is not None else torch.zeros(0, 5) for s in kept]
    return Batch(
        torch.stack([s.image for s in kept]), torch.stack([s.labels for s in kept]), [s.id for s in kept],
        segmentation, boxes,
    )  # fmt: skip


def _segmentation_or_void(sample: Sample) -> Tensor:
    if sample.segmentation is not None:
        return sample.segmentation
    return torch.full((len(sample.labels), *sample.image.shape[1:]), VOID, dtype=torch.uint8)


def pixels(image: Image.Image, size: int) -> Tensor:
    """Resize to a square without cropping, as in the Explainer paper.

    Args:
        image: Any RGB image.
        size: Side in pixels.

    Returns:
        (3, size, size) float in [0, 1].

    Example:
        >>> pixels(Image.new("RGB", (1, 1), (255, 0, 0)), 4)[:, 0, 0].tolist()
        [1.0, 0.0, 0.0]
    """
    return tvf.to_dtype(tvf.to_image(image.resize((size, size), Image.Resampling.BILINEAR)), torch.float32, scale=True)


def flip_sample(sample: Sample) -> Sample:
    """Mirror image, segmentation and boxes left to right.

    Example:
        >>> sample = Sample(torch.zeros(3, 4, 8), torch.ones(1), "a", boxes=torch.tensor([[0.0, 1, 0, 3, 4]]))
        >>> flip_sample(sample).boxes.tolist()
        [[0.0, 5.0, 0.0, 7.0, 4.0]]
    """
    boxes = sample.boxes
    if boxes is not None:
        width = sample.image.shape[-1]
        boxes = torch.stack([boxes[:, 0], width - boxes[:, 3], boxes[:, 2], width - boxes[:, 1], boxes[:, 4]], 1)
    segmentation = None if sample.segmentation is None else sample.segmentation.flip(-1)
    return sample._replace(image=sample.image.flip(-1), segmentation=segmentation, boxes=boxes)


CROP_SHARE = 224 / 256
"""Side of a centre crop as a part of the side of the image that it is cut from."""
CROP_TRIES = 10
"""Windows that are tried before the middle of the image is taken."""
CROP_DRAWS = 4 * CROP_TRIES
"""Numbers that a random window takes."""


class Window(NamedTuple):
    """A rectangle in pixels of the image: its first row and column, and its sides."""

    top: int
    left: int
    height: int
    width: int


def centre_window(side: int) -> Window:
    """The middle of a square image, as in the validation of He et al.

    Args:
        side: Side of the image in pixels.

    Returns:
        A square of `CROP_SHARE` of the side.

    Example:
        >>> centre_window(256)
        Window(top=16, left=16, height=224, width=224)
    """
    inner = max(1, round(CROP_SHARE * side))
    margin = (side - inner) // 2
    return Window(margin, margin, inner, inner)


def random_window(side: int, draws: Sequence[float]) -> Window:
    """A random part of a square image, as in the training of ResNets on ImageNet.

    Its area is 8 to 100 % of the image's, its aspect ratio 3/4 to 4/3, even in the logarithm.

    Args:
        side: Side of the image in pixels.
        draws: `CROP_DRAWS` numbers in [0, 1): area, ratio, top and left of each try.

    Returns:
        The first window that lies within the image, else the middle of the image.

    Example:
        >>> random_window(100, [1.0, 0.5, 0.0, 0.0] + [0.0] * 36)
        Window(top=0, left=0, height=100, width=100)
    """
    low, high = math.log(3 / 4), math.log(4 / 3)
    for start in range(0, CROP_DRAWS, 4):
        size, shape, down, across = draws[start : start + 4]
        area = side * side * (0.08 + 0.92 * size)
        ratio = math.exp(low + (high - low) * shape)
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= side and 0 < height <= side:
            return Window(int((side - height + 1) * down), int((side - width + 1) * across), height, width)
    return centre_window(side)


def crop_sample(sample: Sample, window: Window, size: int) -> Sample:
    """Cut a window out of image, segmentation and boxes, and resize it to a square.

    Args:
        sample: Any.
        window: Within the image.
        size: Side of the result in pixels.

    Returns:
        The sample; boxes are cut at the window's border, and those outside of it are left out. Labels stay.

    Example:
        >>> sample = Sample(torch.zeros(3, 8, 8), torch.ones(1), "a", boxes=torch.tensor([[0.0, 2, 0, 8, 4]]))
        >>> crop_sample(sample, Window(0, 4, 4, 4), 8).boxes.tolist()
        [[0.0, 0.0, 0.0, 8.0, 8.0]]
    """
    top, left, height, width = window
    rows, columns = slice(top, top + height), slice(left, left + width)
    image = tvf.resize(sample.image[:, rows, columns], [size, size], antialias=True).clamp(0, 1)
    segmentation, boxes = sample.segmentation, sample.boxes
    if segmentation is not None:
        nearest = tvf.InterpolationMode.NEAREST
        segmentation = tvf.resize(segmentation[:, rows, columns], [size, size], interpolation=nearest)
    if boxes is not None:
        shift = boxes.new_tensor([left, top, left, top])
        scale = boxes.new_tensor([size / width, size / height, size / width, size / height])
        corners = ((boxes[:, 1:] - shift) * scale).clamp(0, size)
        inside = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        boxes = torch.cat([boxes[:, :1], corners], 1)[inside]
    return sample._replace(image=image, segmentation=segmentation, boxes=boxes)


def erase_rectangle(image: Tensor, draw: list[float]) -> Tensor:
    """Fill a rectangle with the image's mean colour.

    Args:
        image: (3, H, W).
        draw: Four numbers in [0, 1): height, width, top and left of the rectangle within their ranges.

    Returns:
        (3, H, W), a copy.
    """
    rows, columns = image.shape[1:]
    height, width = int(rows * (0.1 + 0.5 * draw[0])), int(columns * (0.1 + 0.5 * draw[1]))
    top, left = int((rows - height) * draw[2]), int((columns - width) * draw[3])
    erased = image.clone()
    erased[:, top : top + height, left : left + width] = image.mean((1, 2), keepdim=True)
    return erased

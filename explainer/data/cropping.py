"""Crop random parts of images in training and their middle elsewhere, with segmentation and boxes.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016; the random windows are those
with which its networks are trained today (C. Szegedy et al.: Going Deeper with Convolutions, CVPR 2015). Departure:
images are squares before they are cropped, as everywhere in this project.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from explainer.data.sample import Sample
from explainer.functional.parts import Parts

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
    """Return the middle of a square image, as in the validation of He et al.

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
    """Draw a random part of a square image, as in the training of ResNets on ImageNet.

    Its area is 8 to 100 % of the image's, its aspect ratio 3/4 to 4/3, even in the logarithm.

    Args:
        side: Side of the image in pixels.
        draws: Random numbers in [0, 1), `CROP_DRAWS` of them: area, ratio, top and left of each try.

    Returns:
        The first window that lies within the image, else the middle of the image.

    Example:
        >>> random_window(100, [1.0, 0.5, 0.0, 0.0] + [0.0] * 36)
        Window(top=0, left=0, height=100, width=100)
    """
    low = math.log(3 / 4)
    high = math.log(4 / 3)
    for start in range(0, CROP_DRAWS, 4):
        size, shape, down, across = draws[start : start + 4]
        share = 0.08 + 0.92 * size
        area = side * side * share
        # even in the logarithm: a ratio of 4/3 is as likely as one of 3/4
        log_ratio = low + (high - low) * shape
        ratio = math.exp(log_ratio)
        width = round(math.sqrt(area * ratio))
        height = round(math.sqrt(area / ratio))
        if 0 < width <= side and 0 < height <= side:
            places_down = side - height + 1
            places_across = side - width + 1
            top = int(places_down * down)
            left = int(places_across * across)
            return Window(top, left, height, width)
    return centre_window(side)


def random_crop(sample: Sample, size: int, generator: torch.Generator) -> Sample:
    """Resize a random part of a sample to a square; the generator gives `CROP_DRAWS` numbers."""
    # always all of them, so that what is drawn next does not depend on which try fitted
    draws = torch.rand(CROP_DRAWS, generator=generator).tolist()
    side = sample.image.shape[-1]
    window = random_window(side, draws)
    return crop_sample(sample, window, size)


def centre_crop(sample: Sample, size: int) -> Sample:
    """Resize the middle of a sample to a square."""
    side = sample.image.shape[-1]
    window = centre_window(side)
    return crop_sample(sample, window, size)


def crop_sample(sample: Sample, window: Window, size: int) -> Sample:
    """Cut a window out of image, segmentation, boxes and parts, and resize it to a square.

    Args:
        sample: Sample of any size.
        window: Window within the image.
        size: Side of the result in pixels.

    Returns:
        The sample; boxes are cut at the window's border, and those outside of it are left out. Labels stay.

    Example:
        >>> sample = Sample(torch.zeros(3, 8, 8), torch.ones(1), "a", boxes=torch.tensor([[0.0, 2, 0, 8, 4]]))
        >>> crop_sample(sample, Window(0, 4, 4, 4), 8).boxes.tolist()
        [[0.0, 0.0, 0.0, 8.0, 8.0]]
    """
    top, left, height, width = window
    rows = slice(top, top + height)
    columns = slice(left, left + width)
    square = [size, size]
    part = sample.image[:, rows, columns]
    # clamped: with antialiasing, rounding takes values a little out of [0, 1]
    image = tvf.resize(part, square, antialias=True).clamp(0, 1)
    segmentation = sample.segmentation
    boxes = sample.boxes
    if segmentation is not None:
        nearest = tvf.InterpolationMode.NEAREST  # a mean of classes is no class
        segmentation = tvf.resize(segmentation[:, rows, columns], square, interpolation=nearest)
    if boxes is not None:
        boxes = _crop_boxes(boxes, window, size)
    parts = sample.parts
    if parts is not None:
        parts = _crop_parts(parts, window, size)
    return sample._replace(image=image, segmentation=segmentation, boxes=boxes, parts=parts)


def _crop_parts(parts: Parts, window: Window, size: int) -> Parts:
    """Cut regions and pictures out of a window; parts that lie outside of it are left out."""
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    square = [size, size]
    # all regions by one rule: each pixel still belongs to one part
    whole_numbers = parts.regions[:, rows, columns].to(torch.uint8)
    regions = tvf.resize(whole_numbers, square, interpolation=tvf.InterpolationMode.NEAREST).bool()
    pictures = tvf.resize(parts.pictures[:, :, rows, columns], square, antialias=True).clamp(0, 1)
    seen = regions.flatten(1).any(1)
    names = tuple(name for name, is_seen in zip(parts.names, seen.tolist(), strict=True) if is_seen)
    return Parts(regions[seen], pictures[seen], names)


def _crop_boxes(boxes: Tensor, window: Window, size: int) -> Tensor:
    """Cut boxes (N, 5) at a window's border, and scale them with it; those outside of it are left out."""
    across = size / window.width
    down = size / window.height
    shift = boxes.new_tensor([window.left, window.top, window.left, window.top])
    scale = boxes.new_tensor([across, down, across, down])
    corners = (boxes[:, 1:] - shift) * scale
    corners = corners.clamp(0, size)
    x0, y0, x1, y1 = corners.unbind(1)
    # what the clamp has pressed flat lay outside
    inside = (x1 > x0) & (y1 > y0)
    cropped = torch.cat([boxes[:, :1], corners], 1)
    return cropped[inside]

"""A causal test: the evidence of a class is pasted into images of other classes, and the classifier is asked again."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.audit.masks import MaskSource

_AT_ONCE = 8
"""Images that are asked at once: most evidence turns so few that the first ones settle it."""


class Evidence(NamedTuple):
    """What is pasted.

    Attributes:
        image: Image (C, S, S) in [0, 1] of which a part is pasted.
        part: Opacity (S, S) in [0, 1] of that part.
        moves: Whether it is pasted at random places; else at its own.
    """

    image: Tensor
    part: Tensor
    moves: bool


class Turned(NamedTuple):
    """What became of the images.

    Attributes:
        images: Number of images of other classes.
        turned: Share of them for which the classifier decides for the class after the paste; the largest that it can
            be where it was not asked of all.
        control: The same share where the same part of an image of another class is pasted at the same place; None
            where it was not asked.
        pasted: Some of the images with the paste, (E, C, S, S) in [0, 1], those that turned first.
    """

    images: int
    turned: float
    control: float | None
    pasted: Tensor


def component(mask: Tensor, place: Sequence[int], reach: float = 0.25) -> Tensor:
    """Return the connected part of a mask around one of its peaks: cells of half the peak's value and more.

    Args:
        mask: Mask (g, g) in [0, 1].
        place: Row and column of the peak.
        reach: Largest distance from the peak along an axis, as a fraction of the side.

    Returns:
        (g, g) bool.

    Example:
        >>> mask = torch.tensor([[0.9, 0.8, 0.1, 0.9]] * 4)
        >>> component(mask, (0, 0), 1.0)[0].tolist()
        [True, True, False, False]
    """
    side = mask.shape[-1]
    row, column = place
    # the mean over neighbours is what made it the peak
    level = 0.5 * float(F.avg_pool2d(mask[None, None], 3, 1, 1, count_include_pad=False)[0, 0, row, column])
    numbers = torch.arange(side)
    near = ((numbers - row).abs() <= reach * side)[:, None] & ((numbers - column).abs() <= reach * side)[None]
    # an empty mask has no part but the cell itself
    allowed = (mask >= level) & (mask > 0) & near
    grown = torch.zeros_like(mask)
    grown[row, column] = 1
    while True:
        larger = F.max_pool2d(grown[None, None], 3, 1, 1)[0, 0] * allowed
        larger[row, column] = 1
        if torch.equal(larger, grown):
            return grown.bool()
        grown = larger


def opacity(part: Tensor, side: int) -> Tensor:
    """Return the opacity of a part at the image's size: full within, soft over about a cell at its edge.

    Args:
        part: Cells (g, g) bool.
        side: Side of the image in pixels.

    Returns:
        (side, side) in [0, 1].
    """
    # a cell wider first, so that the soft edge lies outside: what is evidence is pasted whole
    wider = F.max_pool2d(part[None, None].float(), 3, 1, 1)
    inside = F.interpolate(part[None, None].float(), (side, side), mode="nearest")
    soft = F.interpolate(wider, (side, side), mode="bilinear", align_corners=False)
    edge = F.interpolate(part[None, None].float(), (side, side), mode="bilinear", align_corners=False)
    return torch.maximum(inside, torch.minimum(soft, 2 * edge)).clamp(0, 1)[0, 0]


def paste(target: Tensor, evidence: Evidence, shift: tuple[int, int]) -> Tensor:
    """Paste a part of an image into another one.

    Args:
        target: Image (C, S, S) in [0, 1] that gets it.
        evidence: What is pasted.
        shift: Rows and columns by which it moves; it stays within the image.

    Example:
        >>> part = torch.zeros(2, 2); part[0, 0] = 1
        >>> paste(torch.zeros(1, 2, 2), Evidence(torch.ones(1, 2, 2), part, True), (1, 1)).tolist()
        [[[0.0, 0.0], [0.0, 1.0]]]
    """
    part = evidence.part.roll(shift, (0, 1))
    content = evidence.image.roll(shift, (1, 2))
    return target + part * (content - target)


def random_shift(part: Tensor, generator: np.random.Generator) -> tuple[int, int]:
    """Draw rows and columns by which a part can move without leaving the image.

    Args:
        part: Opacity (S, S) in [0, 1].
        generator: Generator.
    """
    shift = []
    for axis in (1, 0):
        used = part.amax(axis).nonzero().flatten()
        low = int(used.min())
        high = len(part) - 1 - int(used.max())
        shift.append(int(generator.integers(-low, high + 1)))
    return shift[0], shift[1]


def turn(
    masks: MaskSource,
    index: int,
    evidence: Sequence[Evidence],
    targets: Tensor,
    seed: int = 0,
    examples: int = 4,
    least: float = 0.0,
) -> Turned:
    """Paste evidence of a class into images for which the classifier does not decide for it, and ask it again.

    The control pastes the same part of another one of these images at the same place: that something is pasted at all
    may confuse a classifier too. It is asked last, and only if enough images turned.

    Args:
        masks: What knows the classifier.
        index: Index of the class.
        evidence: Parts that are pasted in turn, one an image.
        targets: Images (N, C, S, S) in [0, 1], at least one.
        seed: Seed of the places.
        examples: Number of pasted images that are returned, at most.
        least: Share of the images that must turn, in [0, 1]: no more of them are asked when so many cannot turn.
    """
    generator = np.random.default_rng(seed)
    pasted = []
    controls = []
    for number, target in enumerate(targets):
        one = evidence[number % len(evidence)]
        shift = (0, 0)
        if one.moves:
            shift = random_shift(one.part, generator)
        other = targets[(number + 1) % len(targets)]
        pasted.append(paste(target, one, shift))
        controls.append(paste(target, one._replace(image=other), shift))
    turned: list[bool] = []
    for start in range(0, len(pasted), _AT_ONCE):
        turned += masks.decided(torch.stack(pasted[start : start + _AT_ONCE]))[:, index].tolist()
        possible = 1 - turned.count(False) / len(pasted)
        if possible < least:
            return Turned(len(turned), possible, None, targets[:0])
    order = torch.tensor(turned).int().argsort(descending=True, stable=True)[:examples]
    return Turned(
        images=len(targets),
        turned=sum(turned) / len(turned),
        control=float(masks.decided(torch.stack(controls))[:, index].float().mean()),
        pasted=torch.stack(pasted)[order],
    )

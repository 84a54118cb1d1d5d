"""Places of the image where the evidence of one class recurs far more often than that of the others."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

CELLS = 16
"""Side of the grid on which places are told."""
_LEVEL = 0.05
"""Share of random divisions that may have as high a peak as a place must have."""
_MOST = 20_000
"""Masks that are compared, at most: of more, evenly spread ones."""


class Place(NamedTuple):
    """A place where the evidence of a class recurs.

    Attributes:
        region: Cells (16, 16) bool of the place.
        difference: Mean mask of the class minus that of the others (16, 16), in [−1, 1].
        height: Highest value of the standardised difference.
        share: Share of the class's masks that cover the place.
        elsewhere: Share of the others' masks that cover it.
        p: Probability of as high a value anywhere in the image by chance, by permutation of the classes.
    """

    region: NDArray
    difference: NDArray
    height: float
    share: float
    elsewhere: float
    p: float


def cells(masks: NDArray, side: int = CELLS) -> NDArray:
    """Shrink masks to means over cells.

    Args:
        masks: Masks (R, g, g) uint8.
        side: Side of the result in cells.

    Returns:
        (R, side, side) float32 in [0, 1].
    """
    values = torch.from_numpy(masks)[:, None].float() / 255
    return F.adaptive_avg_pool2d(values, side)[:, 0].numpy()


def standardised(values: NDArray, mine: NDArray) -> NDArray:
    r"""Return the standardised difference between a class's mean and the others', at each cell.

    .. math::
        z = \frac{\bar m_c - \bar m_o}{s \sqrt{1 / n_c + 1 / n_o}}

    with s the standard deviation over all masks, to which a hundredth is added, so that a cell without any evidence
    says nothing.

    Args:
        values: Masks (R, G), flat.
        mine: Whether (R, N) a mask is of the class, in N divisions with as many of it.

    Returns:
        (N, G).

    Example:
        >>> standardised(np.array([[1.0], [0.0]]), np.array([[True], [False]])).round(2).tolist()
        [[1.39]]
    """
    inside = mine.astype(np.float32)
    size = inside.sum(0)[:, None]
    rest = len(values) - size
    total = values.sum(0)[None]
    of_class = inside.T @ values
    means = of_class / np.maximum(size, 1)
    others = (total - of_class) / np.maximum(rest, 1)
    spread = values.std(0)[None] + 0.01
    return (means - others) / (spread * np.sqrt(1 / np.maximum(size, 1) + 1 / np.maximum(rest, 1)))


def recurring_place(masks: NDArray, mine: NDArray, permutations: int = 199, seed: int = 0) -> Place | None:
    """Find where the evidence of a class recurs more often than chance lets it.

    The null hypothesis is that the class of a mask has nothing to do with its place: the classes are permuted, and of
    each permutation the highest cell counts, so that p is that of the whole image (P. H. Westfall, S. S. Young:
    Resampling-Based Multiple Testing, 1993). Where masks are of objects at random places, nothing recurs; that all
    classes lie in the middle does not count either.

    Args:
        masks: Masks (R, g, g) uint8 of decisions.
        mine: Whether (R,) a mask is of the class.
        permutations: Number of permutations.
        seed: Seed of the permutations.

    Returns:
        The place; None where p is above 0.05.
    """
    if len(masks) > _MOST:
        # evenly spread, and all of the class's own
        others = np.flatnonzero(~mine)
        chosen = np.sort(np.concatenate([np.flatnonzero(mine)[:_MOST], others[:: 1 + len(others) // _MOST]]))
        masks = masks[chosen]
        mine = mine[chosen]
    small = cells(masks)
    flat = small.reshape(len(small), -1)
    heights = standardised(flat, mine[:, None])[0]
    generator = np.random.default_rng(seed)
    divisions = np.stack([generator.permutation(mine) for _ in range(permutations)], 1)
    null = standardised(flat, divisions).max(1)
    highest = float(heights.max())
    p = (1 + int((null >= highest).sum())) / (1 + permutations)
    if p > _LEVEL:
        return None
    difference = flat[mine].mean(0) - flat[~mine].mean(0)
    critical = np.quantile(null, 1 - _LEVEL)
    region = (heights >= critical) & (difference >= difference[heights >= critical].max() / 2)
    covered = flat[:, region].mean(1) >= 0.5
    return Place(
        region=region.reshape(CELLS, CELLS),
        difference=difference.reshape(CELLS, CELLS),
        height=highest,
        share=float(covered[mine].mean()),
        elsewhere=float(covered[~mine].mean()),
        p=p,
    )


def sameness(pictures: NDArray, members: NDArray, region: NDArray) -> float:
    r"""Say how alike pictures are at a place, compared with other pictures there.

    .. math::
        1 - \frac{\sum_{j \in R} \operatorname{Var}_{i \in M} x_{ij}}
        {\sum_{j \in R} \operatorname{Var}_{i \notin M} x_{ij}}

    Args:
        pictures: Pictures (T, C, h, h) uint8.
        members: Whether (T,) a picture is compared with others of its kind, M.
        region: Cells (g, g) bool of the place R.

    Returns:
        In [0, 1]: 1 where the members are equal there, 0 where they differ as much as the others.

    Example:
        >>> pictures = np.random.default_rng(0).integers(0, 255, (40, 3, 8, 8)).astype(np.uint8)
        >>> pictures[:20, :, :2] = 9
        >>> top = np.zeros((4, 4), bool); top[0] = True
        >>> sameness(pictures, np.arange(40) < 20, top)
        1.0
    """
    if members.sum() < 2 or (~members).sum() < 2:
        return 0.0
    values = pictures.astype(np.float32) / 255
    weights = enlarged(region, pictures.shape[-1])
    inside = values[members].var(0, ddof=1)[:, weights].sum()
    outside = values[~members].var(0, ddof=1)[:, weights].sum()
    if not outside > 0:
        return 0.0
    return float(np.clip(1 - inside / outside, 0, 1))


def enlarged(region: NDArray, side: int) -> NDArray:
    """Enlarge cells to pixels: (g, g) bool → (side, side) bool.

    Args:
        region: Cells.
        side: Side in pixels.

    Example:
        >>> enlarged(np.array([[True, False]] * 2), 4)[0].tolist()
        [True, True, False, False]
    """
    places = (np.arange(side) * len(region)) // side
    return region[places][:, places]

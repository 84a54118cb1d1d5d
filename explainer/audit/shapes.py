"""Kinds of masks: a class's masks in groups of alike ones, in image coordinates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explainer.audit.places import cells

_SIDE = 8
_ROUNDS = 25


class Kind(NamedTuple):
    """Masks of a class that lie alike.

    Attributes:
        members: Numbers (M,) of the masks, the most typical one first.
        mean: Mean of the masks (g, g), in [0, 1].
        together: Mean cosine of the members with their mean, in [0, 1].
    """

    members: NDArray
    mean: NDArray
    together: float


def kinds(masks: NDArray, count: int = 3) -> list[Kind]:
    """Group masks by where they lie: spherical k-means, begun from masks far from each other.

    I. S. Dhillon, D. S. Modha: Concept Decompositions for Large Sparse Text Data Using Clustering, Machine Learning
    2001. Departure: the first centre is the mask nearest to the mean of all, each further one the mask that is farthest
    from the centres before it, so that no seed is needed.

    Args:
        masks: Masks (R, g, g) uint8; empty ones are in no group.
        count: Number of groups, at most.

    Returns:
        Groups, the largest first.

    Example:
        >>> masks = np.zeros((5, 16, 16), np.uint8); masks[:3, :4, :4] = 255; masks[3:, 9:, 9:] = 255
        >>> [kind.members.tolist() for kind in kinds(masks, 2)]
        [[0, 1, 2], [3, 4]]
    """
    flat = cells(masks, _SIDE).reshape(len(masks), -1)
    norms = np.linalg.norm(flat, axis=1)
    shown = np.flatnonzero(norms > 0)
    if not len(shown):
        return []
    points = flat[shown] / norms[shown, None]
    centres = _begin(points, count)
    nearest = np.zeros(len(points), dtype=np.int64)
    for _ in range(_ROUNDS):
        nearest = (points @ centres.T).argmax(1)
        moved = np.stack([_direction(points[nearest == number], centres[number]) for number in range(len(centres))])
        if np.allclose(moved, centres):
            break
        centres = moved
    groups = []
    for number, centre in enumerate(centres):
        members = np.flatnonzero(nearest == number)
        if not len(members):
            continue
        likeness = points[members] @ centre
        order = np.argsort(-likeness, kind="stable")
        chosen = shown[members[order]]
        mean = masks[chosen].astype(np.float32).mean(0) / 255
        groups.append(Kind(chosen, mean, float(likeness.mean())))
    return sorted(groups, key=lambda kind: -len(kind.members))


def _begin(points: NDArray, count: int) -> NDArray:
    """Choose the first centres: the point nearest to the mean, then what is farthest from those chosen."""
    chosen = [int((points @ points.mean(0)).argmax())]
    while len(chosen) < count:
        nearest = (points @ points[chosen].T).max(1)
        farthest = int(nearest.argmin())
        if nearest[farthest] > 1 - 1e-6:
            break
        chosen.append(farthest)
    return points[chosen]


def _direction(points: NDArray, before: NDArray) -> NDArray:
    """Return the mean direction of points; without any, the one before."""
    if not len(points):
        return before
    mean = points.mean(0)
    return mean / np.linalg.norm(mean)

"""What stands beneath the masks: patches that are nearly identical are a mark, wherever it lies in the images.

Two patches are compared by the highest normalised cross-correlation of the middle of the one with the other, over small
shifts: a mask's peak does not lie at the same pixel of a mark in each image. What is compared is their fine part, which
is left without a local mean: otherwise light from above would make any two photographs alike.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SIDE = 12
"""Side in pixels at which patches are compared."""
_MIDDLE = 8
"""Side of the middle of a patch, which is looked for in others: shifts of up to two pixels either way."""
_LOCAL = 5
"""Side of the local mean that is taken away, in pixels."""
_GRAIN = 0.03
"""Standard deviation of what counts as flat: noise is nobody's mark."""


class Cluster(NamedTuple):
    """Patches of a class that look like one of them.

    Attributes:
        medoid: Number of the patch that the others are like.
        members: Numbers of the patches (M,): of each image of the class that has such a patch the most similar one.
        share: Share of the class's images that have such a patch, and are in no cluster before this one.
        elsewhere: Share of the other images that have one.
        alike: Mean similarity of the members to the medoid, in [−1, 1].
        p: Probability of as large a difference of the two shares by chance, by permutation of the classes.
    """

    medoid: int
    members: NDArray
    share: float
    elsewhere: float
    alike: float
    p: float


def similarity(patches: Tensor) -> Tensor:
    r"""Compare patches with each other.

    .. math::
        s(a, b) = \tfrac12 \left(\max_t \rho(a_0, b_t) + \max_t \rho(b_0, a_t)\right), \qquad
        \rho(u, v) = \frac{\langle u - \bar u, v - \bar v \rangle}
        {\sqrt{(\|u - \bar u\|^2 + n \epsilon^2)(\|v - \bar v\|^2 + n \epsilon^2)}}

    where :math:`a_0` is the middle of a patch, :math:`b_t` the other one's window at the shift t, both less the mean of
    five by five pixels at each place; the means in ρ are of each channel, n is the number of values, and ε the grain
    below which a patch is flat.

    Args:
        patches: Patches (Q, C, p, p) uint8, or float in [0, 1].

    Returns:
        (Q, Q) in [−1, 1], symmetric.

    Example:
        >>> import torch
        >>> patch = torch.rand(1, 3, 12, 12)
        >>> bool(similarity(torch.cat([patch, patch]))[0, 1] > 0.9)
        True
    """
    small = _fine(_small(patches))
    count, channels = small.shape[:2]
    low = (SIDE - _MIDDLE) // 2
    middles = small[:, :, low : low + _MIDDLE, low : low + _MIDDLE]
    middles = middles - middles.mean((2, 3), keepdim=True)
    cells = _MIDDLE**2
    floor = channels * cells * _GRAIN**2
    middle_norm = (middles.square().sum((1, 2, 3)) + floor).sqrt()
    # the sum of squares about the mean, of each window
    mean = F.avg_pool2d(small, _MIDDLE, 1)
    square = F.avg_pool2d(small.square(), _MIDDLE, 1)
    window_norm = ((square - mean.square()).clamp_min(0).sum(1) * cells + floor).sqrt()
    best = small.new_empty(count, count)
    # some rows at a time: all shifts of all pairs would take twenty-five times the room
    for start in range(0, count, 256):
        block = slice(start, start + 256)
        # a middle has no mean, so that the windows' means drop out
        products = F.conv2d(small, middles[block])
        correlation = products / (window_norm[:, None] * middle_norm[block][None, :, None, None])
        best[block] = correlation.flatten(2).amax(2).T
    return (best + best.T) / 2


def _small(patches: Tensor) -> Tensor:
    """Return patches (Q, C, 12, 12) in [0, 1]."""
    values = patches.float()
    if not patches.is_floating_point():
        values = values / 255
    if values.shape[-1] == SIDE:
        return values
    return F.interpolate(values, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)


def _fine(patches: Tensor) -> Tensor:
    """Return patches less their local mean."""
    return patches - F.avg_pool2d(patches, _LOCAL, 1, _LOCAL // 2, count_include_pad=False)


def likeness_to_rows(pairs: NDArray, owner: NDArray, rows: int) -> NDArray:
    """Return how similar each patch is to the most similar patch of each row, which is not its own.

    Args:
        pairs: Similarity (Q, Q).
        owner: Row (Q,) of each patch.
        rows: Number R of rows.

    Returns:
        (Q, R); −1 for the patch's own row, and for a row without patches.
    """
    best = np.full((len(owner), rows), -1.0, dtype=np.float32)
    for row in range(rows):
        columns = owner == row
        if columns.any():
            best[:, row] = pairs[:, columns].max(1)
    best[np.arange(len(owner)), owner] = -1.0
    return best


def excess(near: NDArray, owner: NDArray, mine: NDArray) -> tuple[NDArray, NDArray]:
    """Return which share of a class's rows, and of the others, has a patch like each patch.

    The patch's own row is left out of the share of its class, and counts as none of those that have one.

    Args:
        near: Whether (Q, R) a row has a patch like the patch; False for its own row.
        owner: Row (Q,) of each patch.
        mine: Whether (R, N) a row is of the class, in N divisions.

    Returns:
        Two arrays (Q, N) of shares in [0, 1].
    """
    hits = near.astype(np.float32)
    inside = mine.astype(np.float32)
    of_owner = inside[owner]
    in_class = hits @ inside
    in_all = hits.sum(1, keepdims=True)
    class_size = inside.sum(0, keepdims=True) - of_owner
    other_size = (1 - inside).sum(0, keepdims=True) - (1 - of_owner)
    return in_class / np.maximum(class_size, 1), (in_all - in_class) / np.maximum(other_size, 1)


def clusters(
    pairs: NDArray,
    owner: NDArray,
    mine: NDArray,
    near: float,
    count: int = 2,
    permutations: int = 199,
    seed: int = 0,
) -> list[Cluster]:
    """Find the patches that recur in the images of a class, and not in others.

    The candidate is each patch of the class in turn; the first cluster is that of the largest difference between the
    class's share and the others', and each further one is of images that the earlier ones leave. Its p is the share of
    random divisions of the same rows into a class and others whose best candidate has as large a difference.

    Args:
        pairs: Similarity (Q, Q).
        owner: Row (Q,) of each patch.
        mine: Whether (R,) a row is of the class.
        near: Similarity from which two patches are nearly identical.
        count: Number of clusters, at most.
        permutations: Number of random divisions.
        seed: Seed of the divisions.

    Returns:
        Clusters, the largest difference first; none where no patch of the class recurs in it.
    """
    rows = len(mine)
    likeness = likeness_to_rows(pairs, owner, rows)
    hits = likeness >= near
    null = _null(hits, owner, mine, permutations, seed)
    elsewhere = excess(hits, owner, mine[:, None])[1][:, 0]
    recurring: list[Cluster] = []
    left = mine.copy()
    for _ in range(count):
        # rows that an earlier cluster took do not count
        share = (hits & left[None]).sum(1) / max(1, mine.sum() - 1)
        gain = np.where(left[owner], share - elsewhere, -1.0)
        medoid = int(gain.argmax())
        if gain[medoid] <= 0:
            break
        member_rows = np.flatnonzero(hits[medoid] & left)
        members = [medoid]
        for row in member_rows:
            columns = np.flatnonzero(owner == row)
            members.append(int(columns[pairs[medoid, columns].argmax()]))
        p = (1 + int((null >= gain[medoid]).sum())) / (1 + permutations)
        recurring.append(
            Cluster(
                medoid=medoid,
                members=np.array(members),
                share=float(share[medoid]),
                elsewhere=float(elsewhere[medoid]),
                alike=float(likeness[medoid, member_rows].mean()),
                p=p,
            )
        )
        left[member_rows] = False
        left[owner[medoid]] = False
    return recurring


def _null(hits: NDArray, owner: NDArray, mine: NDArray, permutations: int, seed: int) -> NDArray:
    """Return the best candidate's difference of shares in each random division of the rows, (N,)."""
    generator = np.random.default_rng(seed)
    divisions = np.stack([generator.permutation(mine) for _ in range(permutations)], 1)
    share, elsewhere = excess(hits, owner, divisions)
    differences = np.where(divisions[owner], share - elsewhere, -1.0)
    return differences.max(0)

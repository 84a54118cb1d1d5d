"""Masks as rankings: the share of an image that a map ranks first, so that gradients reach the ranking.

Insertion and deletion (V. Petsiuk, A. Das, K. Saenko: RISE, BMVC 2018) show the pixels that a map ranks first, or all
others. A pixel is either shown or not, which has no slope. Here it is shown the more, the further it lies above the
value that parts the share from the rest.
"""

import torch
from torch import Tensor


def top_share(values: Tensor, share: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Make soft masks of the pixels that lie highest, as many as make up a share of the image.

    .. math:: m_u = \sigma\left(\frac{v_u - q}{T s}\right)

    with q the value that the share of the pixels lies above and s the standard deviation of the map's values: another
    scale of the map, or a constant added to it, changes nothing. No gradient goes through q and s. As T goes to 0 the
    mask becomes the binary one of the metrics, and its gradient that of the pixels at the border alone.

    Args:
        values: Maps of any real values, (..., H, W).
        share: Shares of the image in [0, 1], of a shape that broadcasts to the leading dimensions.
        temperature: T, width of the border in standard deviations of the map, above 0.

    Returns:
        Masks (..., H, W) in [0, 1], about 1 inside the share and 0 outside.

    Example:
        >>> top_share(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), torch.tensor(0.5), 0.01).round().tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """
    flat = values.detach().flatten(-2)
    ordered = flat.sort(-1).values
    count = flat.shape[-1]
    # between two neighbours in the order, so that neither of them stands on the border itself
    middle = (1 - share) * count - 0.5
    place = middle.clamp(0, count - 1).expand(flat.shape[:-1])
    place = place[..., None]
    below = place.floor().long()
    above = place.ceil().long()
    lower = ordered.gather(-1, below)
    upper = ordered.gather(-1, above)
    border = torch.lerp(lower, upper, place - below)
    deviation = flat.std(-1, correction=0, keepdim=True)
    # a constant map has no order, and its deviation would divide by 0
    width = temperature * deviation.clamp_min(1e-6)
    return ((values - border[..., None]) / width[..., None]).sigmoid()


def spread_shares(count: int, offset: Tensor) -> Tensor:
    r"""Spread shares evenly over [0, 1], all moved by the same offset.

    Args:
        count: Number of shares.
        offset: Offset, one number in [0, 1), in units of their distance.

    Returns:
        Shares (count,) in [0, 1], rising: one in each of `count` equal parts.

    Example:
        >>> spread_shares(4, torch.tensor(0.5)).tolist()
        [0.125, 0.375, 0.625, 0.875]
    """
    return (torch.arange(count, device=offset.device) + offset) / count

"""Kendall's tau-b between two columns over methods, for many resamples at once.

M. G. Kendall: The Treatment of Ties in Ranking Problems, Biometrika 1945.
"""

import torch
from torch import Tensor

from explainer.evaluation.results.intervals import RESAMPLES, draws


def tau_b(first: Tensor, second: Tensor) -> Tensor:
    r"""Compute Kendall's tau-b of two columns.

    .. math:: \tau_b = \frac{\sum_{i<j} s_{ij} t_{ij}}{\sqrt{\sum_{i<j} s_{ij}^2 \sum_{i<j} t_{ij}^2}}, \quad
        s_{ij} = \operatorname{sign}(x_i - x_j)

    Args:
        first: Values of the methods (R, M), R resamples of them.
        second: Other values (R, M) of the same methods.

    Returns:
        Correlation (R,) in [-1, 1]; higher is more alike, 1 the same order; methods without one of the two values are
        left out. NaN where fewer than two methods are left, or where all that are left are equal in a column.

    Example:
        >>> tau_b(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]])).round(decimals=4).tolist()
        [0.3333]
    """
    x = first.double()
    y = second.double()
    defined = ~(x.isnan() | y.isnan())
    both = defined[:, :, None] & defined[:, None, :]
    signs_of_x = (x[:, :, None] - x[:, None, :]).sign()
    signs_of_y = (y[:, :, None] - y[:, None, :]).sign()
    s = torch.where(both, signs_of_x, 0.0)
    t = torch.where(both, signs_of_y, 0.0)
    # each pair counts twice, above and below the line
    together = (s * t).sum((1, 2))
    of_x = (s * s).sum((1, 2))
    of_y = (t * t).sum((1, 2))
    # 0 / 0 is NaN, which says that there is no order
    return together / (of_x * of_y).sqrt()


def resampled_means(values: Tensor, resamples: int = RESAMPLES, seed: int = 0) -> Tensor:
    """Average over resampled images.

    Args:
        values: Values (M, n) of M methods, NaN where an image has none.
        resamples: Number of resamples, R.
        seed: Seed of the draws: the same for all columns, so that they are of the same images.

    Returns:
        Means (R, M) float64; NaN where no image that was drawn has a value.

    Example:
        >>> resampled_means(torch.ones(2, 5), 3).tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    of_images = values.double().T
    defined = (~of_images.isnan()).double()
    numbers = of_images.nan_to_num(0.0)
    means = []
    for counts in draws(len(of_images), resamples, seed):
        means.append((counts @ numbers) / (counts @ defined))
    return torch.cat(means)

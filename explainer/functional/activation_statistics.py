"""Statistics of activations over channels: SMOE Scale, the eight it was compared with, and the combined map.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020. Each function measures a
column of activations, the C values at one location: (B, C, H, W) → (B, 1, H, W), higher is more salient. The paper
names the statistics of Table 1 without formulas; here they are maximum-likelihood estimates of the named distribution,
and entropies are in bits. Truncated-normal statistics are taken before the ReLU, all others after it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-6
"""Number that is added to activations before a logarithm, as in the paper; the public code adds 1e-7."""
SMALLEST_EPSILON = 1e-9  # the product of four such values is still a normal number in single precision
LOGARITHMIC = ("smoe_scale", "gamma_scale", "shannon_entropy", "log_normal_mean", "log_normal_entropy")
"""Statistics that take a logarithm, and so an epsilon."""
PRIOR_WEIGHTS = (0.18, 0.15, 0.37, 0.40, 0.72)
"""Weights of five scales by the accuracy of their maps in the paper's Table 1."""


def smoe_scale(activation: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""SMOE Scale: the mean activation times how spiky the column is.

    .. math:: \varphi = \mu \cdot \left[\log_2 \mu - \frac{1}{r} \sum_{k=1}^{r} \log_2 x_k\right] \quad (1, 2)

    Args:
        activation: Activations (B, C, H, W), at least 0.
        epsilon: Number that is added to each activation; a ValueError where `check_epsilon` refuses it.

    Returns:
        Statistic (B, 1, H, W), at least 0 up to rounding; 0 where all channels are equal.

    Example:
        >>> column = torch.tensor([0.5, 1.0]).repeat(4).view(1, 8, 1, 1)
        >>> round(smoe_scale(column).item(), 3)
        0.064
    """
    positive = activation + check_epsilon(epsilon)
    mean = positive.mean(1, keepdim=True)
    log_of_mean = mean.log2()
    mean_of_log = mean_log2(positive)
    # Jensen's inequality: the difference is never negative, and 0 only where all channels are equal
    spikiness = log_of_mean - mean_of_log
    return mean * spikiness


def check_epsilon(epsilon: float) -> float:
    """Return the epsilon, or raise a ValueError if it is below `SMALLEST_EPSILON`, above 1 or no number."""
    if not SMALLEST_EPSILON <= epsilon <= 1:
        raise ValueError(f"epsilon must lie between {SMALLEST_EPSILON} and 1, got {epsilon}")
    return epsilon


def mean_log2(positive: Tensor) -> Tensor:
    """Average the binary logarithms over channels.

    Logarithms are taken of products of four channels, which is far cheaper than of each channel.

    Args:
        positive: Activations (B, C, H, W), at least `SMALLEST_EPSILON`.

    Returns:
        Mean logarithm (B, 1, H, W).

    Example:
        >>> mean_log2(torch.tensor([1.0, 4.0, 16.0, 1.0, 1024.0]).view(1, 5, 1, 1)).item()
        3.200000047683716
    """
    channels = positive.shape[1]
    quarter = channels // 4
    # up to three channels are left over when C is no multiple of four
    rest = positive[:, 4 * quarter :]
    total = rest.log2().sum(1, keepdim=True)
    if quarter:
        # quarters of the channels, not neighbours: slices are views, which cost nothing
        whole = positive[:, : 4 * quarter]
        first, second, third, fourth = whole.split(quarter, 1)
        product = first * second * third * fourth
        logarithm = product.log2()
        total = total + logarithm.sum(1, keepdim=True)
    return total / channels


def gamma_scale(activation: Tensor, iterations: int = 5, epsilon: float = EPSILON) -> Tensor:
    r"""Estimate the scale of a gamma distribution, to which SMOE Scale is meant to be order-equivalent.

    .. math:: \hat\theta = \frac{1}{kn} \sum x_i \quad (9), \quad
        s = \ln\Big(\frac{1}{n} \sum x_i\Big) - \frac{1}{n} \sum \ln x_i \quad (10), \quad
        k \approx \frac{3 - s + \sqrt{(s - 3)^2 + 24 s}}{12 s} \quad (11), \quad
        k \leftarrow k - \frac{\ln k - \psi(k) - s}{1/k - \psi'(k)} \quad (12)

    Args:
        activation: Activations (B, C, H, W), at least 0.
        iterations: Number of Newton-Raphson steps, Eq. 12.
        epsilon: Number that is added to each activation.

    Returns:
        Maximum-likelihood scale (B, 1, H, W), at least 0; 0 where all channels are equal.

    Example:
        >>> gamma_scale(torch.ones(1, 4, 1, 1)).item() < 1e-6
        True
    """
    # in double precision: s is the difference of two numbers that are nearly the same
    positive = activation.double() + check_epsilon(epsilon)
    mean = positive.mean(1, keepdim=True)
    mean_of_log = positive.log().mean(1, keepdim=True)
    s = mean.log() - mean_of_log
    s = s.clamp_min(1e-9)  # equal channels have no finite shape
    offset = (s - 3).square()
    root = (offset + 24 * s).sqrt()
    k = (3 - s + root) / (12 * s)
    for _ in range(iterations):
        value = k.log() - k.digamma() - s
        slope = 1 / k - torch.polygamma(1, k)
        step = value / slope
        usable = step.isfinite() & (step < k)  # for large k both differences vanish
        k = torch.where(usable, k - step, k)
    return (mean / k).to(activation.dtype)


def standard_deviation(activation: Tensor) -> Tensor:
    """Estimate the standard deviation of a normal distribution, with 1/C as in Table 3: (B, C, H, W) → (B, 1, H, W).

    Example:
        >>> standard_deviation(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)).item()
        1.0
    """
    return activation.std(1, correction=0, keepdim=True)


def mean(activation: Tensor) -> Tensor:
    """Estimate the mean of a normal distribution: (B, C, H, W) → (B, 1, H, W).

    Example:
        >>> mean(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)).item()
        2.0
    """
    return activation.mean(1, keepdim=True)


def shannon_entropy(activation: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""Compute the entropy of the activations as shares of their sum, :math:`-\sum_k p_k \log_2 p_k`.

    Args:
        activation: Activations (B, C, H, W), at least 0.
        epsilon: Number that is added to each activation.

    Returns:
        Entropy (B, 1, H, W) in [0, log2 C], in bits.

    Example:
        >>> shannon_entropy(torch.ones(1, 8, 1, 1)).item()
        3.0
    """
    positive = activation + check_epsilon(epsilon)
    total = positive.sum(1, keepdim=True)
    share = positive / total
    terms = share * share.log2()
    return -terms.sum(1, keepdim=True)


def _log_normal(activation: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Estimate mean and variance of the activations' logarithm: (B, 1, H, W) each."""
    logarithm = (activation + check_epsilon(epsilon)).log()
    location = logarithm.mean(1, keepdim=True)
    variance = logarithm.var(1, correction=0, keepdim=True)
    return location, variance


def log_normal_mean(activation: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""Estimate the mean of a log-normal distribution, :math:`\exp(\mu + \sigma^2 / 2)`.

    Args:
        activation: Activations (B, C, H, W), at least 0.
        epsilon: Number that is added to each activation.

    Returns:
        Mean (B, 1, H, W), above 0.

    Example:
        >>> round(log_normal_mean(torch.full((1, 4, 1, 1), 2.0)).item(), 4)
        2.0
    """
    location, variance = _log_normal(activation, epsilon)
    return (location + variance / 2).exp()


def log_normal_entropy(activation: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""Estimate the entropy of a log-normal distribution, :math:`\log_2(\sigma e^{\mu + 1/2} \sqrt{2 \pi})`.

    Args:
        activation: Activations (B, C, H, W), at least 0.
        epsilon: Number that is added to each activation.

    Returns:
        Entropy (B, 1, H, W), in bits.

    Example:
        >>> log_normal_entropy(torch.rand(2, 8, 3, 3)).shape
        torch.Size([2, 1, 3, 3])
    """
    location, variance = _log_normal(activation, epsilon)
    # equal channels have no variance, of which there is no logarithm
    positive_variance = variance.clamp_min(EPSILON**2)
    log_spread = 0.5 * (2 * math.pi * positive_variance).log()
    nats = location + 0.5 + log_spread
    return nats / math.log(2)


class _Truncated(NamedTuple):
    """A normal distribution that is cut off at 0.

    Attributes:
        location: μ, mean of the distribution before the cut, (B, 1, H, W), as are the others.
        scale: σ, its standard deviation.
        cut: α, the place of the cut in deviations from the mean.
        log_mass: Logarithm of Z, the probability above the cut.
        hazard: λ, density at the cut over that probability.
    """

    location: Tensor
    scale: Tensor
    cut: Tensor
    log_mass: Tensor
    hazard: Tensor


def _truncated(before: Tensor) -> _Truncated:
    """Estimate the distribution of activations before the ReLU, (B, C, H, W)."""
    location = before.mean(1, keepdim=True)
    deviation = before.std(1, correction=0, keepdim=True)
    # equal channels have no deviation, and the place of the cut is measured in deviations
    scale = deviation.clamp_min(EPSILON)
    cut = -location / scale
    log_mass = torch.special.log_ndtr(-cut)
    # by logarithms: far out in the tail density and mass are both 0 in single precision, their ratio is not
    constant = 0.5 * math.log(2 * math.pi)
    log_density = -0.5 * cut.square() - constant
    hazard = (log_density - log_mass).exp()
    return _Truncated(location, scale, cut, log_mass, hazard)


def truncated_normal_mean(before: Tensor) -> Tensor:
    r"""Estimate a normal distribution's mean above 0, :math:`\mu + \sigma \lambda`, :math:`\lambda = \phi(\alpha) / Z`.

    Args:
        before: Activations before the ReLU, (B, C, H, W).

    Returns:
        Mean (B, 1, H, W), at least 0.

    Example:
        >>> round(truncated_normal_mean(torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)).item(), 4)
        0.7979
    """
    normal = _truncated(before)
    shift = normal.scale * normal.hazard
    mean = normal.location + shift
    return mean.clamp_min(0)  # far below 0, location and shift cancel but for rounding


def truncated_normal_std(before: Tensor) -> Tensor:
    r"""Estimate a normal distribution's deviation above 0, :math:`\sigma \sqrt{1 + \alpha \lambda - \lambda^2}`.

    Args:
        before: Activations before the ReLU, (B, C, H, W).

    Returns:
        Standard deviation (B, 1, H, W), at least 0.

    Example:
        >>> round(truncated_normal_std(torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)).item(), 4)
        0.6028
    """
    normal = _truncated(before)
    lost = normal.hazard.square()
    share = 1 + normal.cut * normal.hazard - lost
    positive_share = share.clamp_min(0)  # rounding may take the share below 0
    return normal.scale * positive_share.sqrt()


def truncated_normal_entropy(before: Tensor) -> Tensor:
    r"""Estimate a normal distribution's entropy above 0, :math:`\ln(\sqrt{2 \pi e} \sigma Z) + \alpha \lambda / 2`.

    Args:
        before: Activations before the ReLU, (B, C, H, W).

    Returns:
        Entropy (B, 1, H, W), in bits.

    Example:
        >>> round(truncated_normal_entropy(torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)).item(), 4)
        1.0471
    """
    normal = _truncated(before)
    constant = 0.5 * math.log(2 * math.pi * math.e)
    log_scale = normal.scale.log()
    correction = normal.cut * normal.hazard / 2
    nats = constant + log_scale + normal.log_mass + correction
    return nats / math.log(2)


def normal_cdf(maps: Tensor) -> Tensor:
    r"""Squash each map by the normal distribution of its own mean and sample deviation, :math:`\gamma(s; \mu, \sigma)`.

    Args:
        maps: Maps (B, 1, H, W).

    Returns:
        Maps (B, 1, H, W) in [0, 1], in the same order; 0.5 for a constant map, which has no deviation.

    Example:
        >>> normal_cdf(torch.ones(1, 1, 2, 2)).unique().item()
        0.5
    """
    if maps[0, 0].numel() < 2:
        return torch.full_like(maps, 0.5)
    variance, mean = torch.var_mean(maps, (2, 3), keepdim=True)
    # a constant map's variance is not 0 but what rounding leaves: noise that would be squashed to a full map
    step = torch.finfo(maps.dtype).eps * mean
    rounding = step.square() * 4
    factor = variance.clamp_min(1e-30).rsqrt()
    standardised = (maps - mean) * factor
    squashed = torch.special.ndtr(standardised)
    return torch.where(variance > rounding, squashed, 0.5)


def combine(maps: Sequence[Tensor], weights: Sequence[float], size: tuple[int, int]) -> Tensor:
    r"""Combine the maps of several scales.

    .. math:: c_{i,j} = \frac{\sum_k \gamma(s_{i,j,k}; \mu_k, \sigma_k) \cdot w_k}{\sum_k w_k} \quad (3)

    Args:
        maps: Statistic of each scale, (B, 1, h, w) each; squashed here, *then* up-sampled bilinearly.
        weights: Weight of each map, at least 0 and not all 0.
        size: H and W of the image.

    Returns:
        Map (B, 1, H, W) in [0, 1]; higher is more salient.

    Raises:
        ValueError: The number of weights differs from that of the maps, or no weight is above 0.

    Example:
        >>> combine([torch.rand(2, 1, 8, 8), torch.rand(2, 1, 4, 4)], (1, 2), (16, 16)).shape
        torch.Size([2, 1, 16, 16])
    """
    total = float(sum(weights))
    as_many = len(weights) == len(maps)
    if not as_many or total <= 0 or min(weights) < 0:
        raise ValueError(f"{len(maps)} maps need as many weights, at least 0 and not all 0; got {tuple(weights)}")
    combined = maps[0].new_zeros(len(maps[0]), 1, *size)
    for weight, scale in zip(weights, maps, strict=True):
        if weight:  # a scale without weight need not be squashed
            share = weight / total
            # weighted before it is enlarged, while it is small: both are linear
            squashed = share * normal_cdf(scale)
            combined += upsample(squashed, size)
    return combined


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps bilinearly: (B, 1, h, w) → (B, 1, *size).

    Example:
        >>> upsample(torch.ones(1, 1, 2, 2), (4, 4)).shape
        torch.Size([1, 1, 4, 4])
    """
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)

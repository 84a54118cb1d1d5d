"""Statistics of activations over channels: SMOE Scale, the eight it was compared with, and the combined map.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020. Each function measures a
column of activations, the C values at one location: (B, C, H, W) → (B, 1, H, W), higher is more salient. The paper
names the statistics of Table 1 without formulas; here they are maximum-likelihood estimates of the named distribution,
and entropies are in bits. Truncated-normal statistics are taken before the ReLU, all others after it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-6
"""Added to activations before a logarithm, as in the paper; the public code adds 1e-7."""
SMALLEST_EPSILON = 1e-9  # the product of four such values is still a normal number in single precision
LOGARITHMIC = ("smoe_scale", "gamma_scale", "shannon_entropy", "log_normal_mean", "log_normal_entropy")
"""Statistics that take a logarithm, and so an epsilon."""
PRIOR_WEIGHTS = (0.18, 0.15, 0.37, 0.40, 0.72)
"""Weights of five scales by the accuracy of their maps in the paper's Table 1."""


def smoe_scale(activation: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""SMOE Scale: the mean activation times how spiky the column is.

    .. math:: \varphi = \mu \cdot \left[\log_2 \mu - \frac{1}{r} \sum_{k=1}^{r} \log_2 x_k\right] \quad (1, 2)

    Args:
        activation: (B, C, H, W), at least 0.
        epsilon: Number that is added to each activation; a ValueError where `check_epsilon` refuses it.

    Returns:
        (B, 1, H, W), at least 0 up to rounding; 0 where all channels are equal.

    Example:
        >>> column = torch.tensor([0.5, 1.0]).repeat(4).view(1, 8, 1, 1)
        >>> round(smoe_scale(column).item(), 3)
        0.064
    """
    positive = activation + check_epsilon(epsilon)
    mean = positive.mean(1, keepdim=True)
    return mean * (mean.log2() - mean_log2(positive))


def check_epsilon(epsilon: float) -> float:
    """Return the epsilon; one that is below `SMALLEST_EPSILON`, above 1 or no number is a ValueError."""
    if not SMALLEST_EPSILON <= epsilon <= 1:
        raise ValueError(f"epsilon must lie between {SMALLEST_EPSILON} and 1, got {epsilon}")
    return epsilon


def mean_log2(positive: Tensor) -> Tensor:
    """Mean of the binary logarithms over channels; a logarithm is taken of products of four, which is far cheaper.

    Args:
        positive: (B, C, H, W), at least `SMALLEST_EPSILON`.

    Returns:
        (B, 1, H, W).

    Example:
        >>> mean_log2(torch.tensor([1.0, 4.0, 16.0, 1.0, 1024.0]).view(1, 5, 1, 1)).item()
        3.200000047683716
    """
    channels = positive.shape[1]
    quarter = channels // 4
    total = positive[:, 4 * quarter :].log2().sum(1, keepdim=True)
    if quarter:
        product = positive[:, :quarter] * positive[:, quarter : 2 * quarter]
        product = product * positive[:, 2 * quarter : 3 * quarter] * positive[:, 3 * quarter : 4 * quarter]
        total = total + product.log2().sum(1, keepdim=True)
    return total / channels


def gamma_scale(activation: Tensor, iterations: int = 5, epsilon: float = EPSILON) -> Tensor:
    r"""Maximum-likelihood scale of a gamma distribution, to which SMOE Scale is meant to be order-equivalent.

    .. math:: \hat\theta = \frac{1}{kn} \sum x_i \quad (9), \quad
        s = \ln\Big(\frac{1}{n} \sum x_i\Big) - \frac{1}{n} \sum \ln x_i \quad (10), \quad
        k \approx \frac{3 - s + \sqrt{(s - 3)^2 + 24 s}}{12 s} \quad (11), \quad
        k \leftarrow k - \frac{\ln k - \psi(k) - s}{1/k - \psi'(k)} \quad (12)

    Args:
        activation: (B, C, H, W), at least 0.
        iterations: Newton-Raphson steps, Eq. 12.
        epsilon: Number that is added to each activation.

    Returns:
        (B, 1, H, W), at least 0; 0 where all channels are equal.

    Example:
        >>> gamma_scale(torch.ones(1, 4, 1, 1)).item() < 1e-6
        True
    """
    positive = activation.double() + check_epsilon(epsilon)
    mean = positive.mean(1, keepdim=True)
    s = (mean.log() - positive.log().mean(1, keepdim=True)).clamp_min(1e-9)  # equal channels have no finite shape
    k = (3 - s + ((s - 3).square() + 24 * s).sqrt()) / (12 * s)
    for _ in range(iterations):
        step = (k.log() - k.digamma() - s) / (1 / k - torch.polygamma(1, k))
        k = torch.where(step.isfinite() & (step < k), k - step, k)  # for large k both differences vanish
    return (mean / k).to(activation.dtype)


def standard_deviation(activation: Tensor) -> Tensor:
    """Of the normal distribution, (B, C, H, W) → (B, 1, H, W), with 1/C as in Table 3.

    Example:
        >>> standard_deviation(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)).item()
        1.0
    """
    return activation.std(1, correction=0, keepdim=True)


def mean(activation: Tensor) -> Tensor:
    """Of the normal distribution, (B, C, H, W) → (B, 1, H, W).

    Example:
        >>> mean(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)).item()
        2.0
    """
    return activation.mean(1, keepdim=True)


def shannon_entropy(activation: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""Entropy of the activations as shares of their sum, :math:`-\sum_k p_k \log_2 p_k`.

    Args:
        activation: (B, C, H, W), at least 0.
        epsilon: Number that is added to each activation.

    Returns:
        (B, 1, H, W) in [0, log2 C].

    Example:
        >>> shannon_entropy(torch.ones(1, 8, 1, 1)).item()
        3.0
    """
    positive = activation + check_epsilon(epsilon)
    share = positive / positive.sum(1, keepdim=True)
    return -(share * share.log2()).sum(1, keepdim=True)


def _log_normal(activation: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    logarithm = (activation + check_epsilon(epsilon)).log()
    return logarithm.mean(1, keepdim=True), logarithm.var(1, correction=0, keepdim=True)


def log_normal_mean(activation: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""Mean of the log-normal distribution, :math:`\exp(\mu + \sigma^2 / 2)`: (B, C, H, W) → (B, 1, H, W).

    Example:
        >>> round(log_normal_mean(torch.full((1, 4, 1, 1), 2.0)).item(), 4)
        2.0
    """
    location, variance = _log_normal(activation, epsilon)
    return (location + variance / 2).exp()


def log_normal_entropy(activation: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""Entropy of the log-normal distribution, :math:`\log_2(\sigma e^{\mu + 1/2} \sqrt{2 \pi})`.

    Args:
        activation: (B, C, H, W), at least 0.
        epsilon: Number that is added to each activation.

    Returns:
        (B, 1, H, W), in bits.

    Example:
        >>> log_normal_entropy(torch.rand(2, 8, 3, 3)).shape
        torch.Size([2, 1, 3, 3])
    """
    location, variance = _log_normal(activation, epsilon)
    return (location + 0.5 + 0.5 * (2 * math.pi * variance.clamp_min(EPSILON**2)).log()) / math.log(2)


def _truncated(before: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Location and scale of the parent, the cut in deviations, log of the mass above it, and the hazard there."""
    location = before.mean(1, keepdim=True)
    scale = before.std(1, correction=0, keepdim=True).clamp_min(EPSILON)
    cut = -location / scale
    log_mass = torch.special.log_ndtr(-cut)
    hazard = (-0.5 * cut.square() - 0.5 * math.log(2 * math.pi) - log_mass).exp()
    return location, scale, cut, log_mass, hazard


def truncated_normal_mean(before: Tensor) -> Tensor:
    r"""Mean above 0 of a normal distribution, :math:`\mu + \sigma \lambda` with :math:`\lambda = \phi(\alpha) / Z`.

    Args:
        before: (B, C, H, W), activations before the ReLU.

    Returns:
        (B, 1, H, W), at least 0.

    Example:
        >>> round(truncated_normal_mean(torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)).item(), 4)
        0.7979
    """
    location, scale, _, _, hazard = _truncated(before)
    return (location + scale * hazard).clamp_min(0)


def truncated_normal_std(before: Tensor) -> Tensor:
    r"""Deviation above 0 of a normal distribution, :math:`\sigma \sqrt{1 + \alpha \lambda - \lambda^2}`.

    Args:
        before: (B, C, H, W), activations before the ReLU.

    Returns:
        (B, 1, H, W), at least 0.

    Example:
        >>> round(truncated_normal_std(torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)).item(), 4)
        0.6028
    """
    _, scale, cut, _, hazard = _truncated(before)
    return scale * (1 + cut * hazard - hazard.square()).clamp_min(0).sqrt()


def truncated_normal_entropy(before: Tensor) -> Tensor:
    r"""Entropy above 0 of a normal distribution, :math:`\ln(\sqrt{2 \pi e} \sigma Z) + \alpha \lambda / 2`, in bits.

    Args:
        before: (B, C, H, W), activations before the ReLU.

    Returns:
        (B, 1, H, W).

    Example:
        >>> round(truncated_normal_entropy(torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)).item(), 4)
        1.0471
    """
    _, scale, cut, log_mass, hazard = _truncated(before)
    nats = 0.5 * math.log(2 * math.pi * math.e) + scale.log() + log_mass + cut * hazard / 2
    return nats / math.log(2)


def normal_cdf(maps: Tensor) -> Tensor:
    r"""Squash each map by the normal distribution of its own mean and sample deviation, :math:`\gamma(s; \mu, \sigma)`.

    Args:
        maps: (B, 1, H, W).

    Returns:
        (B, 1, H, W) in [0, 1]; 0.5 for a constant map, which has no deviation.

    Example:
        >>> normal_cdf(torch.ones(1, 1, 2, 2)).unique().item()
        0.5
    """
    if maps[0, 0].numel() < 2:
        return torch.full_like(maps, 0.5)
    variance, mean = torch.var_mean(maps, (2, 3), keepdim=True)
    rounding = (torch.finfo(maps.dtype).eps * mean).square() * 4
    squashed = torch.special.ndtr((maps - mean) * variance.clamp_min(1e-30).rsqrt())
    return torch.where(variance > rounding, squashed, 0.5)


def combine(maps: Sequence[Tensor], weights: Sequence[float], size: tuple[int, int]) -> Tensor:
    r"""The combined map of several scales.

    .. math:: c_{i,j} = \frac{\sum_k \gamma(s_{i,j,k}; \mu_k, \sigma_k) \cdot w_k}{\sum_k w_k} \quad (3)

    Args:
        maps: (B, 1, h, w) each, a statistic of each scale; squashed here, *then* up-sampled bilinearly.
        weights: One a map.
        size: H and W of the image.

    Returns:
        (B, 1, H, W) in [0, 1].

    Raises:
        ValueError: Not one weight a map, or none above 0.

    Example:
        >>> combine([torch.rand(2, 1, 8, 8), torch.rand(2, 1, 4, 4)], (1, 2), (16, 16)).shape
        torch.Size([2, 1, 16, 16])
    """
    total = float(sum(weights))
    if len(weights) != len(maps) or total <= 0 or min(weights) < 0:
        raise ValueError(f"{len(maps)} maps need as many weights, at least 0 and not all 0; got {tuple(weights)}")
    combined = maps[0].new_zeros(len(maps[0]), 1, *size)
    for weight, scale in zip(weights, maps, strict=True):
        if weight:
            combined += upsample(weight / total * normal_cdf(scale), size)
    return combined


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear: (B, 1, h, w) → (B, 1, *size).

    Example:
        >>> upsample(torch.ones(1, 1, 2, 2), (4, 4)).shape
        torch.Size([1, 1, 4, 4])
    """
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)

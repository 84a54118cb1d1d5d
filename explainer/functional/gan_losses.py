"""Losses of generative networks, each a pure function of one equation.

J. Yu et al.: Generative Image Inpainting with Contextual Attention, CVPR 2018 (spatially discounted reconstruction;
the gradient penalty counts in the hole only). I. Gulrajani et al.: Improved Training of Wasserstein GANs, NeurIPS 2017.
T. Miyato et al.: Spectral Normalization for Generative Adversarial Networks, ICLR 2018 (hinge). D. P. Kingma,
M. Welling: Auto-Encoding Variational Bayes, ICLR 2014. T. Karras et al.: Progressive Growing of GANs, ICLR 2018 (sliced
Wasserstein distance).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Adversarial = Literal["hinge", "wgan_gp"]


def critic_loss(real: Tensor, generated: Tensor, kind: Adversarial) -> Tensor:
    r"""Compute what the critic minimises, but for the gradient penalty.

    .. math:: \overline{(1 - D(x))_+} + \overline{(1 + D(\hat x))_+} \quad \text{or} \quad
        \overline{D(\hat x)} - \overline{D(x)}

    Args:
        real: Scores of real images, (N,).
        generated: Scores of what the generator made, (N,).
        kind: Kind of loss: "hinge", or "wgan_gp" for the Wasserstein distance.

    Returns:
        A scalar; the lower it is, the better the critic tells real from generated.

    Example:
        >>> critic_loss(torch.tensor([0.0]), torch.tensor([0.0]), "hinge").item()
        2.0
    """
    if kind == "hinge":
        # scores beyond ±1 cost nothing: the critic need not grow without bound
        loss_of_real = (1 - real).relu().mean()
        loss_of_generated = (1 + generated).relu().mean()
        return loss_of_real + loss_of_generated
    return generated.mean() - real.mean()


def generator_loss(generated: Tensor) -> Tensor:
    r"""Compute what the generator minimises under either kind: :math:`-\overline{D(\hat x)}`.

    Args:
        generated: Critic's scores of what the generator made, (N,).

    Returns:
        A scalar; lower is better.

    Example:
        >>> generator_loss(torch.tensor([1.0, 3.0])).item()
        -2.0
    """
    return -generated.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    generated: Tensor,
    share: Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Measure how far the critic's slope is from 1 on the way between real and generated images.

    .. math:: \overline{\left(\lVert \nabla_{x'} D(x') \odot (1 - m) \rVert_2 - 1\right)^2}, \quad
        x' = t x + (1 - t) \hat x

    Args:
        critic: Critic, (N, C, H, W) → (N,).
        real: Real images (N, C, H, W).
        generated: Generated images (N, C, H, W).
        share: t, share of the real image in each mixture, (N,) in [0, 1].
        mask: m, masks (N, 1, H, W), 1 = keep: the slope counts in the hole only. None counts it everywhere.

    Returns:
        A scalar, at least 0, differentiable with respect to the critic's weights.

    Example:
        >>> images = torch.rand(2, 3, 4, 4)
        >>> round(gradient_penalty(lambda x: x.sum((1, 2, 3)), images, images, torch.rand(2)).item(), 3)
        35.144
    """
    part = share.view(-1, 1, 1, 1)
    mixture = part * real + (1 - part) * generated
    # detached: the penalty is the critic's alone, and the generator must not learn from it
    between = mixture.detach().requires_grad_()
    score = critic(between).sum()
    # create_graph: the penalty itself is differentiated, with respect to the critic's weights
    (slope,) = torch.autograd.grad(score, between, create_graph=True)
    # in float32: squares of small slopes are 0 in half precision
    slope = slope.float()
    if mask is not None:
        slope = slope * (1 - mask)
    steepness = slope.flatten(1).norm(dim=1)
    excess = steepness - 1
    return excess.square().mean()


def hole_depth(mask: Tensor) -> Tensor:
    """Measure the city-block distance from each pixel of the hole to the nearest known one.

    For a box, that is the distance to its edge.

    Args:
        mask: Masks (N, 1, H, W) of 0 and 1, 1 = keep.

    Returns:
        Distance (N, 1, H, W) in pixels: 0 where known; H + W where nothing is known.

    Example:
        >>> hole_depth(torch.tensor([[[[1.0, 0, 0, 0, 1.0]]]])).flatten().tolist()
        [0.0, 1.0, 2.0, 1.0, 0.0]
    """
    height, width = mask.shape[-2:]
    far = float(height + width)
    columns = torch.arange(width, device=mask.device, dtype=torch.float32)
    rows = torch.arange(height, device=mask.device, dtype=torch.float32)
    rows = rows[:, None]
    hole = (mask < 0.5).to(torch.float32)
    depth = far * hole
    # The distance along one axis after the other. The nearest known pixel lies before or after: running minima from
    # both ends find it without a loop over pixels.
    for axis, place in ((-1, columns), (-2, rows)):
        minimum = (depth - place).cummin(axis).values
        before = minimum + place
        reversed_depth = (depth + place).flip(axis)
        reversed_minimum = reversed_depth.cummin(axis).values
        after = reversed_minimum.flip(axis) - place
        depth = torch.minimum(before, after)
    return depth.clamp_max(far)


def discounted_reconstruction(
    generated: Tensor,
    image: Tensor,
    mask: Tensor,
    discount: float,
    known: float = 1.0,
) -> Tensor:
    r"""Compute the absolute error, which counts less deep in the hole, where many pictures are right.

    .. math:: \overline{\gamma^{l(p)} \lvert \hat x_p - x_p \rvert}

    with l the distance to the nearest known pixel.

    Args:
        generated: Network's pictures (N, 3, H, W) in [0, 1].
        image: Images (N, 3, H, W) in [0, 1].
        mask: Masks (N, 1, H, W) of 0 and 1, 1 = keep.
        discount: γ, in (0, 1]; 0.99 in the paper.
        known: Weight of known pixels, whose place the image itself takes in the end.

    Returns:
        A scalar, the mean over pixels; lower is better.

    Example:
        >>> hole = torch.tensor([[[[1.0, 0.0]]]])
        >>> discounted_reconstruction(torch.ones(1, 3, 1, 2), torch.zeros(1, 3, 1, 2), hole, 0.5).item()
        0.75
    """
    weight_in_hole = discount ** hole_depth(mask)
    weight = torch.where(mask > 0, known, weight_in_hole)
    error = (generated - image).abs()
    return (weight * error).mean()


def hole_error(generated: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean absolute error in the hole of each image.

    Args:
        generated: Network's pictures (N, 3, H, W) in [0, 1].
        image: Images (N, 3, H, W) in [0, 1].
        mask: Masks (N, 1, H, W) of 0 and 1, 1 = keep.

    Returns:
        Error (N,) in [0, 1], lower is better; 0 for an image without a hole.

    Example:
        >>> hole_error(torch.ones(1, 3, 1, 2), torch.zeros(1, 3, 1, 2), torch.tensor([[[[1.0, 0.0]]]])).item()
        1.0
    """
    hole = 1 - mask
    error = (generated - image).abs() * hole
    total = error.sum((1, 2, 3))
    # a pixel of the hole counts once a channel
    values = generated.shape[1] * hole.sum((1, 2, 3))
    return total / values.clamp_min(1)


def kl_divergence(
    mean: Tensor,
    log_variance: Tensor,
    prior_mean: Tensor | None = None,
    prior_log_variance: Tensor | None = None,
) -> Tensor:
    r"""Compute the divergence of a code's normal distribution from a prior's, by default the standard normal one.

    .. math:: \frac{1}{2} \sum_i \frac{(\mu_i - \mu'_i)^2 + \sigma_i^2}{\sigma_i'^2} - 1
        - \log \frac{\sigma_i^2}{\sigma_i'^2}

    Args:
        mean: μ, (N, …).
        log_variance: Logarithm of σ², the same shape.
        prior_mean: μ', the same shape; None is 0.
        prior_log_variance: Logarithm of σ'², the same shape; None is 0.

    Returns:
        Divergence (N,), at least 0, in nats; lower is closer.

    Example:
        >>> kl_divergence(torch.ones(1, 2), torch.zeros(1, 2)).item()
        1.0
    """
    offset = mean
    if prior_mean is not None:
        offset = mean - prior_mean
    distance = offset.square()
    log_ratio = log_variance
    if prior_log_variance is not None:
        distance = distance * (-prior_log_variance).exp()
        log_ratio = log_variance - prior_log_variance
    terms = distance + log_ratio.exp() - 1 - log_ratio
    return 0.5 * terms.flatten(1).sum(1)


def gaussian_surprise(generated: Tensor, image: Tensor, deviation: float) -> Tensor:
    r"""Compute images' negative log-likelihood, but for a constant, under a normal distribution around pictures.

    .. math:: \frac{1}{2 \sigma^2} \lVert \hat x - x \rVert^2

    Args:
        generated: Decoder's pictures (N, 3, H, W) in [0, 1].
        image: Images (N, 3, H, W) in [0, 1].
        deviation: σ, above 0.

    Returns:
        Surprise (N,), at least 0, in nats; lower is better.

    Example:
        >>> gaussian_surprise(torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), 1.0).item()
        1.0
    """
    squares = (generated - image).square()
    # a sum, not a mean: the other part of the bound, the divergence, is a sum over the code's values
    distance = squares.flatten(1).sum(1)
    return distance / (2 * deviation**2)


def sliced_wasserstein(real: Tensor, generated: Tensor, patch: int = 7, directions: int = 64, seed: int = 0) -> Tensor:
    """Measure how far apart the patches of two sets of images are: the mean distance of sorted random projections.

    Args:
        real: Real images (N, 3, H, W) in [0, 1].
        generated: Generated images (N, 3, H, W) in [0, 1].
        patch: Side of the patches, a grid of which is cut from every image, in pixels.
        directions: Number of random projections.
        seed: Seed of the projections.

    Returns:
        A scalar, at least 0, lower is better; in units of colour.

    Example:
        >>> images = torch.rand(4, 3, 16, 16)
        >>> sliced_wasserstein(images, images).item()
        0.0
    """
    real_patches = _patches(real, patch)
    generated_patches = _patches(generated, patch)
    # drawn on the CPU, so that a seed means the same directions on every device
    generator = torch.Generator().manual_seed(seed)
    length = real_patches.shape[1]
    axes = torch.randn(length, directions, generator=generator)
    axes = F.normalize(axes.to(real_patches), dim=0)
    real_projections = real_patches @ axes
    generated_projections = generated_patches @ axes
    # in one dimension, sorting pairs the points of two sets at the least total distance
    real_order = real_projections.sort(0).values
    generated_order = generated_projections.sort(0).values
    return (real_order - generated_order).abs().mean()


def _patches(images: Tensor, side: int) -> Tensor:
    """Cut a grid of overlapping patches from images: (N, C, H, W) → (patches, C · side²)."""
    # steps of half a patch: what the border of one patch cuts lies inside its neighbour, and there are few patches
    step = side // 2 + 1
    columns = F.unfold(images.float(), side, stride=step)
    return columns.transpose(1, 2).flatten(0, 1)


def diversity(images: Tensor) -> Tensor:
    """Compute the mean distance between the images of a set and their successors.

    Args:
        images: Images (N, 3, H, W) in [0, 1], N at least 2.

    Returns:
        A scalar in units of colour, 0 when all images are the same; that of real images says what to expect.

    Example:
        >>> diversity(torch.ones(3, 3, 2, 2)).item()
        0.0
    """
    # successors, not all pairs: they estimate the same mean, at a cost that grows with N and not with its square
    successors = images.roll(1, 0)
    return (images - successors).abs().mean()

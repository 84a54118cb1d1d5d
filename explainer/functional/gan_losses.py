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


def critic_loss(real: Tensor, made: Tensor, kind: Adversarial) -> Tensor:
    r"""What the critic minimises, but for the gradient penalty.

    .. math:: \overline{(1 - D(x))_+} + \overline{(1 + D(\hat x))_+} \quad \text{or} \quad
        \overline{D(\hat x)} - \overline{D(x)}

    Args:
        real: (N,) scores of images.
        made: (N,) scores of what the generator made.
        kind: "hinge", or "wgan_gp" for the Wasserstein distance.

    Returns:
        A scalar; lower, the critic tells them apart better.

    Example:
        >>> critic_loss(torch.tensor([0.0]), torch.tensor([0.0]), "hinge").item()
        2.0
    """
    if kind == "hinge":
        return (1 - real).relu().mean() + (1 + made).relu().mean()
    return made.mean() - real.mean()


def generator_loss(made: Tensor) -> Tensor:
    r"""What the generator minimises under either kind: :math:`-\overline{D(\hat x)}`.

    Example:
        >>> generator_loss(torch.tensor([1.0, 3.0])).item()
        -2.0
    """
    return -made.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, share: Tensor, mask: Tensor | None = None
) -> Tensor:
    r"""How far the critic's slope is from 1 on the way between real and made images.

    .. math:: \overline{\left(\lVert \nabla_{x'} D(x') \odot (1 - m) \rVert_2 - 1\right)^2}, \quad
        x' = t x + (1 - t) \hat x

    Args:
        critic: (N, C, H, W) → (N,).
        real: (N, C, H, W).
        made: The same shape.
        share: t, (N,) in [0, 1].
        mask: m, (N, 1, H, W), 1 = keep: the slope counts in the hole only; None counts it everywhere.

    Returns:
        A scalar, at least 0, differentiable with respect to the critic's weights.

    Example:
        >>> images = torch.rand(2, 3, 4, 4)
        >>> round(gradient_penalty(lambda x: x.sum((1, 2, 3)), images, images, torch.rand(2)).item(), 3)
        35.144
    """
    part = share.view(-1, 1, 1, 1)
    between = (part * real + (1 - part) * made).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    slope = slope.float() if mask is None else slope.float() * (1 - mask)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def hole_depth(mask: Tensor) -> Tensor:
    """City-block distance from each pixel of the hole to the nearest known one; for a box, the distance to its edge.

    Args:
        mask: (N, 1, H, W) of 0 and 1, 1 = keep.

    Returns:
        (N, 1, H, W) in pixels: 0 where known; H + W where nothing is known.

    Example:
        >>> hole_depth(torch.tensor([[[[1.0, 0, 0, 0, 1.0]]]])).flatten().tolist()
        [0.0, 1.0, 2.0, 1.0, 0.0]
    """
    far = float(sum(mask.shape[-2:]))
    depth = far * (mask < 0.5).to(torch.float32)
    for axis in (-1, -2):
        place = torch.arange(mask.shape[axis], device=mask.device, dtype=torch.float32)
        place = place if axis == -1 else place[:, None]
        before = (depth - place).cummin(axis).values + place
        after = (depth + place).flip(axis).cummin(axis).values.flip(axis) - place
        depth = torch.minimum(before, after)
    return depth.clamp_max(far)


def discounted_reconstruction(made: Tensor, image: Tensor, mask: Tensor, discount: float, known: float = 1.0) -> Tensor:
    r"""Absolute error, counted less the deeper a pixel lies in the hole, where many pictures are right.

    .. math:: \overline{\gamma^{l(p)} \lvert \hat x_p - x_p \rvert}

    with l the distance to the nearest known pixel.

    Args:
        made: (N, 3, H, W) in [0, 1].
        image: The same shape.
        mask: (N, 1, H, W) of 0 and 1, 1 = keep.
        discount: γ, in (0, 1]; 0.99 in the paper.
        known: What known pixels count, whose place the image itself takes in the end.

    Returns:
        A scalar, the mean over pixels; lower is better.

    Example:
        >>> hole = torch.tensor([[[[1.0, 0.0]]]])
        >>> discounted_reconstruction(torch.ones(1, 3, 1, 2), torch.zeros(1, 3, 1, 2), hole, 0.5).item()
        0.75
    """
    weight = torch.where(mask > 0, known, discount ** hole_depth(mask))
    return (weight * (made - image).abs()).mean()


def hole_error(made: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error in the hole of each image.

    Args:
        made: (N, 3, H, W) in [0, 1].
        image: The same shape.
        mask: (N, 1, H, W) of 0 and 1, 1 = keep.

    Returns:
        (N,) in [0, 1], lower is better; 0 for an image without a hole.

    Example:
        >>> hole_error(torch.ones(1, 3, 1, 2), torch.zeros(1, 3, 1, 2), torch.tensor([[[[1.0, 0.0]]]])).item()
        1.0
    """
    hole = 1 - mask
    return ((made - image).abs() * hole).sum((1, 2, 3)) / (made.shape[1] * hole.sum((1, 2, 3))).clamp_min(1)


def kl_divergence(
    mean: Tensor, log_variance: Tensor, prior_mean: Tensor | None = None, prior_log_variance: Tensor | None = None
) -> Tensor:
    r"""From a code's normal distribution to a prior's, which is the standard one unless it is given.

    .. math:: \frac{1}{2} \sum_i \frac{(\mu_i - \mu'_i)^2 + \sigma_i^2}{\sigma_i'^2} - 1
        - \log \frac{\sigma_i^2}{\sigma_i'^2}

    Args:
        mean: (N, …).
        log_variance: The same shape.
        prior_mean: μ', the same shape; None is 0.
        prior_log_variance: Logarithm of σ'², the same shape; None is 0.

    Returns:
        (N,), at least 0, in nats.

    Example:
        >>> kl_divergence(torch.ones(1, 2), torch.zeros(1, 2)).item()
        1.0
    """
    offset = mean if prior_mean is None else mean - prior_mean
    spread = log_variance if prior_log_variance is None else log_variance - prior_log_variance
    scaled = offset.square() if prior_log_variance is None else offset.square() * (-prior_log_variance).exp()
    return 0.5 * (scaled + spread.exp() - 1 - spread).flatten(1).sum(1)


def gaussian_surprise(made: Tensor, image: Tensor, deviation: float) -> Tensor:
    r"""Negative log-likelihood of images under a normal distribution around the decoder's picture, but for a constant.

    .. math:: \frac{1}{2 \sigma^2} \lVert \hat x - x \rVert^2

    Args:
        made: (N, 3, H, W) in [0, 1].
        image: The same shape.
        deviation: σ, above 0.

    Returns:
        (N,), at least 0, in nats.

    Example:
        >>> gaussian_surprise(torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), 1.0).item()
        1.0
    """
    return (made - image).square().flatten(1).sum(1) / (2 * deviation**2)


def sliced_wasserstein(real: Tensor, made: Tensor, patch: int = 7, directions: int = 64, seed: int = 0) -> Tensor:
    """How far apart the patches of two sets of images are: the mean distance of sorted random projections.

    Args:
        real: (N, 3, H, W) in [0, 1].
        made: The same shape.
        patch: Side of the patches, a grid of which is cut from every image.
        directions: Random projections.
        seed: Of the projections.

    Returns:
        A scalar, at least 0, lower is better; in units of colour.

    Example:
        >>> images = torch.rand(4, 3, 16, 16)
        >>> sliced_wasserstein(images, images).item()
        0.0
    """
    generator = torch.Generator().manual_seed(seed)
    rows = [F.unfold(i.float(), patch, stride=patch // 2 + 1).transpose(1, 2).flatten(0, 1) for i in (real, made)]
    axes = torch.randn(rows[0].shape[1], directions, generator=generator).to(rows[0])
    first, second = ((r @ F.normalize(axes, dim=0)).sort(0).values for r in rows)
    return (first - second).abs().mean()


def diversity(images: Tensor) -> Tensor:
    """Mean distance between the images of a set and their successors, in units of colour: 0 when all are the same.

    Args:
        images: (N, 3, H, W) in [0, 1], N at least 2.

    Returns:
        A scalar; that of real images says what to expect.

    Example:
        >>> diversity(torch.ones(3, 3, 2, 2)).item()
        0.0
    """
    return (images - images.roll(1, 0)).abs().mean()

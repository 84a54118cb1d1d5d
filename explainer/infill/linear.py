"""Noisy linear imputation: each removed pixel is the weighted mean of its eight neighbours.

Y. Rong, T. Leemann, V. Borisov, G. Kasneci, E. Kasneci: A Consistent and Efficient Evaluation Strategy for Attribution
Methods, ICML 2022 (ROAD). A sharp hole shows a network where something was removed, whatever it was; this in-fill hides
the place, so that a score says less of the mask's shape.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError, check_range
from explainer.infill.base import Infill
from explainer.infill.noise import device_of

_MOST_STEPS = 2000
"""Steps after which the search for the solution ends in any case; a hole of 200 pixels takes some hundred."""
_SMALLEST_SIDE = 4
"""Side in pixels from which on an image is not halved any more for a first guess."""


def linear_imputation(image: Tensor, known: Tensor, tolerance: float = 1e-4) -> Tensor:
    r"""Solve for the pixels that are not known.

    .. math:: \hat x_u \sum_{v \in N(u)} w_{uv} = \sum_{v \in N(u)} w_{uv} \hat x_v, \quad u \text{ unknown}

    Here w is 1/6 for the four direct neighbours and 1/12 for the four diagonal ones; neighbours outside the image do
    not count. The system is symmetric and positive definite. It is solved by conjugate gradients, from the enlarged
    solution at half the size, which is found in the same way.

    Args:
        image: Images (B, C, H, W).
        known: Pixels that stay, (B, 1, H, W) bool.
        tolerance: Largest violation of an equation, in the unit of the image. In photographs of 224 pixels a side, of
            which four fifths are gone in one piece, 1e-4 leaves a pixel at most some 0.01 from the exact solution.

    Returns:
        Pictures (B, C, H, W), the image to the bit where it is known; of an image of which nothing is known its mean.

    Example:
        >>> row = torch.tensor([[[[0.0, 9.0, 9.0, 3.0]]]])
        >>> known = torch.tensor([[[[True, False, False, True]]]])
        >>> linear_imputation(row, known).round(decimals=2).flatten().tolist()
        [0.0, 1.0, 2.0, 3.0]
    """
    nothing = ~known.flatten(1).any(1)
    mean = image.mean((2, 3), keepdim=True)
    # without any known pixel the equations have no unique solution
    known = known | nothing[:, None, None, None]
    image = torch.where(nothing[:, None, None, None], mean, image)
    guess = _first_guess(image, known, tolerance)
    solution = _conjugate_gradients(torch.where(known, image, guess), known, tolerance)
    return torch.where(known, image, solution)


def _first_guess(image: Tensor, known: Tensor, tolerance: float) -> Tensor:
    """Solve at half the size, and enlarge: far from anything known, single pixels tell each other little."""
    size = (image.shape[-2], image.shape[-1])
    if min(size) <= _SMALLEST_SIDE or bool(known.all()):
        return image
    weight = known.to(image)
    share = F.avg_pool2d(weight, 2, ceil_mode=True)
    total = F.avg_pool2d(weight * image, 2, ceil_mode=True)
    smaller = total / share.clamp_min(1e-6)
    solved = linear_imputation(smaller, share > 0, tolerance)
    return F.interpolate(solved, size, mode="bilinear", align_corners=False)


def _conjugate_gradients(start: Tensor, known: Tensor, tolerance: float) -> Tensor:
    """Improve a picture until no unknown pixel's equation is violated by more than the tolerance.

    Args:
        start: Pictures (B, C, H, W), right where they are known.
        known: Pixels that stay, (B, 1, H, W) bool.
        tolerance: Largest violation of an equation.

    Returns:
        Pictures (B, C, H, W).
    """
    unknown = (~known).to(start)
    around = _neighbours(torch.ones_like(start[:, :1]))

    def missing(picture: Tensor) -> Tensor:
        """Return by how much each unknown pixel's equation is violated."""
        return unknown * (around * picture - _neighbours(picture))

    solution = start
    residual = -missing(solution)
    direction = residual
    squares = residual.square().sum((2, 3), keepdim=True)
    for _ in range(_MOST_STEPS):
        # image by image and channel by channel: what is solved stays, whatever else is in the batch
        open_ones = residual.abs().amax((2, 3), keepdim=True) > tolerance
        if not bool(open_ones.any()):
            break
        image_of_direction = missing(direction)
        curvature = (direction * image_of_direction).sum((2, 3), keepdim=True)
        step = torch.where(open_ones, squares / curvature.clamp_min(1e-30), 0.0)
        solution = solution + step * direction
        residual = residual - step * image_of_direction
        squares_now = residual.square().sum((2, 3), keepdim=True)
        ratio = squares_now / squares.clamp_min(1e-30)
        direction = torch.where(open_ones, residual + ratio * direction, direction)
        squares = squares_now
    return solution


def _neighbours(picture: Tensor) -> Tensor:
    """Return the weighted sum of each pixel's neighbours within the image: (B, C, H, W)."""
    # The weights are (1, 2, 1) down times (1, 2, 1) across, without the middle, over 12. On a CPU sums of shifted
    # pictures take a tenth of the time of a convolution.
    down = 2 * picture
    down[..., 1:, :] += picture[..., :-1, :]
    down[..., :-1, :] += picture[..., 1:, :]
    both = 2 * down
    both[..., 1:] += down[..., :-1]
    both[..., :-1] += down[..., 1:]
    return (both - 4 * picture) / 12


class NoisyLinear(Infill):
    """The weighted mean of each removed pixel's eight neighbours, with a little noise on it; no gradient goes through.

    Args:
        noise: Standard deviation of the Gaussian noise on removed pixels (0.01 in the paper).
        tolerance: Largest violation of a pixel's equation, for images in [0, 1].

    Raises:
        InputError: The noise is negative, or the tolerance not positive.
    """

    sees_mask = True
    stochastic = True

    def __init__(self, noise: float = 0.01, tolerance: float = 1e-4) -> None:
        check_range("infill NoisyLinear: noise", noise, 0)
        if not tolerance > 0:
            raise InputError(f"infill NoisyLinear: tolerance must be positive, got {tolerance}")
        self.noise = noise
        self.tolerance = tolerance

    @torch.no_grad()
    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Impute what is removed: (B, C, H, W); a mask is rounded, and None keeps everything."""
        if mask is None:
            return image
        known = mask > 0.5
        picture = linear_imputation(image, known, self.tolerance)
        # one draw for the whole batch: an image's picture does not depend on its place in it
        shape = (1, *image.shape[1:])
        normal = torch.randn(shape, generator=generator, device=device_of(image, generator))
        noisy = picture + self.noise * normal.to(picture)
        return torch.where(known, image, noisy.clamp(0, 1))

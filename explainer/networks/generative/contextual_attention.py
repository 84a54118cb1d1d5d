"""In-painting in two passes, the second of which borrows features from what is visible.

J. Yu, Z. Lin, J. Yang, X. Shen, X. Lu, T. S. Huang: Generative Image Inpainting with Contextual Attention, CVPR 2018.
Departures: both the features of the hole and those borrowed are normalised before they are compared; when a mask leaves
less than an eighth of the patches whole, as FIDO's masks do, the eighth that is best known may be borrowed from; a
sigmoid instead of clipping ends both passes; zeros, marked as such, instead of mirrored borders.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.networks.generative.inpainter import Inpainter, convolution, growing, visible

LEAST_BORROWED = 8
"""At least one in so many patches may be borrowed from, whole or not."""


def lendable(known: Tensor, patch: int) -> Tensor:
    """Choose the patches that may be borrowed from: the whole ones or, where those are few, the best-known eighth.

    Args:
        known: Known share (N, 1, h, w) of each cell, in [0, 1].
        patch: Side of a patch in cells.

    Returns:
        (N, h · w) bool, True = may be borrowed from; all True where nothing is known.

    Example:
        >>> lendable(torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]]), 1).tolist()
        [[True, True, False, False]]
    """
    # without the padding: a patch at the border is as whole as any other
    shares = F.avg_pool2d(known, patch, 1, patch // 2, count_include_pad=False).flatten(1)
    least = max(1, shares.shape[1] // LEAST_BORROWED)
    best = shares.topk(least).values
    threshold = best[:, -1:]
    return shares >= threshold


def propagated(scores: Tensor, reach: int) -> Tensor:
    r"""Sum scores over equal shifts of lender and borrower, so that neighbours borrow from neighbours.

    .. math:: \hat s_{x, y, x', y'} = \sum_{i = -k}^{k} s_{x+i, y, x'+i, y'}

    and then the same over y.

    Args:
        scores: Scores (N, h, w, h, w): lender, borrower.
        reach: Greatest shift k in cells; 0 changes nothing.

    Returns:
        Scores of the same shape.

    Example:
        >>> propagated(torch.ones(1, 1, 3, 1, 3), 1)[0, 0, 1, 0].tolist()
        [2.0, 3.0, 2.0]
    """
    for lender, borrower in ((2, 4), (1, 3)):  # axes: columns, then rows
        total = scores.clone()
        length = scores.shape[lender]
        for shift in range(1, min(reach, length - 1) + 1):
            rest = length - shift
            # views of both axes, added in place: the scores are the largest tensor of the network
            first_total = total.narrow(lender, 0, rest).narrow(borrower, 0, rest)
            first_scores = scores.narrow(lender, 0, rest).narrow(borrower, 0, rest)
            last_total = total.narrow(lender, shift, rest).narrow(borrower, shift, rest)
            last_scores = scores.narrow(lender, shift, rest).narrow(borrower, shift, rest)
            first_total.add_(last_scores)
            last_total.add_(first_scores)
        scores = total
    return scores


def attend(
    features: Tensor,
    known: Tensor,
    *,
    rate: int = 2,
    patch: int = 3,
    scale: float = 10.0,
    reach: int = 1,
) -> Tensor:
    r"""Rebuild every patch of features from those visible patches that resemble it.

    .. math:: s^*_{b, f} = \operatorname{softmax}_b\left(\lambda\, \left\langle \frac{f}{\lVert f \rVert},
        \frac{b}{\lVert b \rVert} \right\rangle\right)

    Args:
        features: Features (N, C, h, w).
        known: Known share (N, 1, h, w) of each cell, in [0, 1].
        rate: Factor by which features are made smaller before patches are compared; they are borrowed at full size.
        patch: Side of the compared patches in cells.
        scale: Factor λ of the softmax, above 0; a higher one borrows from fewer patches.
        reach: Greatest shift k of `propagated` in cells.

    Returns:
        Features (N, C, h, w); where patches overlap, their mean.

    Example:
        >>> features = torch.ones(1, 2, 8, 8)
        >>> torch.allclose(attend(features, torch.ones(1, 1, 8, 8)), features)
        True
    """
    height = features.shape[2] // rate
    width = features.shape[3] // rate
    small = features[:, :, ::rate, ::rate]
    # cosines, as in the paper: a strong patch must not win because it is strong
    compared = F.normalize(F.unfold(small, patch, padding=patch // 2), dim=1)
    # in float32: half precision would round similar scores to equal ones
    scores = (compared.transpose(1, 2) @ compared).float()
    small_size = (height, width)
    on_grid = scores.unflatten(2, small_size).unflatten(1, small_size)
    scores = propagated(on_grid, reach).flatten(3).flatten(1, 2)
    allowed = lendable(F.avg_pool2d(known, rate), patch)
    # forbidden before the softmax: weights that are removed after it would no longer add up to 1
    forbidden = ~allowed[:, :, None]
    allowed_scores = (scale * scores).masked_fill(forbidden, -torch.inf)
    weights = allowed_scores.softmax(1).to(features.dtype)
    # borrowed patches are larger than the step between them: their overlap hides the seams
    side = 2 * rate if rate > 1 else patch
    layout = {"kernel_size": side, "padding": (side - rate) // 2, "stride": rate}
    lent = F.unfold(features, **layout)
    size = (features.shape[2], features.shape[3])
    ones = torch.ones_like(lent[:1, : side * side])
    overlap = F.fold(ones, size, **layout)
    borrowed = F.fold(lent @ weights, size, **layout)
    return borrowed / overlap


def encoder(width: int) -> nn.Sequential:
    """Build the layers (N, 5, H, W) → (N, 4 · width, H / 4, W / 4)."""
    return nn.Sequential(
        convolution(5, width, 5),
        convolution(width, 2 * width, stride=2),
        convolution(2 * width, 2 * width),
        convolution(2 * width, 4 * width, stride=2),
        convolution(4 * width, 4 * width),
    )


def context(width: int, dilations: Sequence[int]) -> nn.Sequential:
    """Build dilated convolutions, which look far: (N, width, h, w) → the same shape."""
    layers = [convolution(width, width)]
    for dilation in dilations:
        layers.append(convolution(width, width, dilation=dilation))
    return nn.Sequential(*layers)


def decoder(inside: int, width: int) -> nn.Sequential:
    """Build the layers (N, inside, h, w) → (N, 3, 4 h, 4 w) in [0, 1]."""
    half = max(width // 2, 4)
    return nn.Sequential(
        convolution(inside, 4 * width),
        growing(4 * width, 2 * width),
        convolution(2 * width, 2 * width),
        growing(2 * width, width),
        convolution(width, half),
        nn.Conv2d(half, 3, 3, padding=1),
        nn.Sigmoid(),
    )


class ContextualAttention(Inpainter):
    """A coarse generator, and a refinement with two branches: dilated convolutions, and contextual attention.

    Args:
        width: Channels of the first convolutions (32 in the paper); four times as many at a quarter of the size.
        dilations: Dilations of the convolutions at a quarter of the size.
        rate: Factor by which features are made smaller before patches are compared: 2 in the paper, for 256×256; 1
            compares finely enough for small images.
        scale: Factor of the attention's softmax, above 0.
        reach: Greatest shift of the attention's propagation in cells.

    Raises:
        InputError: A hyperparameter is not positive.

    Example:
        >>> coarse, refined = ContextualAttention(width=4)(torch.rand(1, 3, 64, 48), torch.ones(1, 1, 64, 48))
        >>> coarse.shape, refined.shape
        (torch.Size([1, 3, 64, 48]), torch.Size([1, 3, 64, 48]))
    """

    def __init__(
        self,
        width: int = 32,
        dilations: Sequence[int] = (2, 4, 8, 16),
        rate: int = 2,
        scale: float = 10.0,
        reach: int = 1,
    ) -> None:
        super().__init__()
        if width < 1 or rate < 1 or scale <= 0 or reach < 0:
            raise InputError(f"ContextualAttention: width {width}, rate {rate} and scale {scale} must be positive")
        self.spec = {"width": width, "dilations": list(dilations), "rate": rate, "scale": scale, "reach": reach}
        self.rate = rate
        self.scale = scale
        self.reach = reach
        self.multiple = max(8, 4 * rate)
        wide = 4 * width
        self.coarse = nn.Sequential(encoder(width), context(wide, dilations), decoder(wide, width))
        self.dilated = nn.Sequential(encoder(width), context(wide, dilations))
        self.matched = nn.Sequential(encoder(width), nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU())
        self.borrowed = nn.Sequential(convolution(wide, wide), convolution(wide, wide))
        self.refined = decoder(2 * wide, width)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Fill holes in two passes.

        Args:
            image: Images (N, 3, H, W) in [0, 1], H and W multiples of 8.
            mask: Masks (N, 1, H, W), 1 = keep; rounded.

        Returns:
            The coarse and the refined picture, each (N, 3, H, W) in [0, 1]; the network draws known pixels too.

        Raises:
            InputError: Shapes do not fit together, or a side is no multiple of `multiple`.
        """
        self.check(image, mask)
        known = (mask > 0.5).to(image.dtype)
        coarse = self.coarse(visible(image, known))
        first = visible(image, known, coarse.to(image.dtype))
        # the encoder's features are a quarter of the image's side, and so must be what is known
        small_known = F.avg_pool2d(known, 4)
        compared = self.matched(first)
        lent = attend(compared, small_known, rate=self.rate, scale=self.scale, reach=self.reach)
        both = torch.cat([self.dilated(first), self.borrowed(lent)], 1)
        return coarse, self.refined(both)

    def filled(self, image: Tensor, known: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the refined picture; nothing is drawn."""
        return self(image, known)[1]

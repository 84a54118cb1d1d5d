"""A few gradient steps on one photograph, from a mask that is there already: the ranking of its pixels is refined.

What is optimised is what insertion and deletion measure (V. Petsiuk, A. Das, K. Saenko: RISE, BMVC 2018), made
differentiable: the class is to be seen in the share of the photograph that is ranked first, whatever the share, and not
in the rest. The in-fills are those of the two metrics, unless others are named. A search from a constant mask takes
a hundred passes and more; an Explainer's mask is a start that is nearly right.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution.masked_score import MaskedScore, Score, positive, upsampled
from explainer.errors import check_range
from explainer.functional.ranking import spread_shares, top_share
from explainer.infill import Blur, Infill
from explainer.networks import Explanandum

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass
class Refinement:
    """How masks are refined.

    Attributes:
        shares: Number of shares of the photograph that a step looks at. Each takes two passes through the classifier.
        grid: Side of the grid in cells on which the ranking is changed.
        learning_rate: Learning rate of Adam at the first step, in standard deviations of the ranking; it falls linearly
            to 0.
        temperature: Width of a share's border in standard deviations of the ranking.
        insertion: Weight of the class's score on the share.
        deletion: Weight of the class's score on the rest.
        score: Score of the class that is to grow on the share, and to fall on the rest.
        insert_into: In-fill beside the share; None is a blur of deviation 5, as the metric has.
        delete_to: In-fill in place of the share in the rest; None is the classifier's mean colour, as the metric has.

    Raises:
        InputError: A number is not positive, or a weight is negative.
    """

    shares: int = 1
    grid: int = 48
    learning_rate: float = 0.5
    temperature: float = 0.3
    insertion: float = 1.0
    deletion: float = 1.0
    score: Score = "log_odds"
    insert_into: Infill | None = None
    delete_to: Infill | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that are not positive."""
        numbers = {"shares": self.shares, "grid": self.grid}
        positive("Refinement", **numbers, learning_rate=self.learning_rate, temperature=self.temperature)
        check_range("Refinement: insertion", self.insertion, 0)
        check_range("Refinement: deletion", self.deletion, 0)


def refined(
    explanandum: Explanandum,
    image: Tensor,
    target: Tensor,
    logits: Tensor,
    steps: int,
    settings: Refinement,
    batch_size: int = 16,
) -> Tensor:
    """Refine the ranking of masks' pixels; the masks keep their values, and so their area.

    Args:
        explanandum: Frozen classifier.
        image: Images (B, 3, H, W) in [0, 1].
        target: Classes (B,) long.
        logits: Mask logits (B, 1, H, W) to start from.
        steps: Number of steps.
        settings: How the masks are refined.
        batch_size: Largest number of composites that go through the classifier at once.

    Returns:
        Mask logits (B, 1, H, W): the values of `logits`, in another order.
    """
    beside = settings.insert_into or Blur(5.0)
    inserted = MaskedScore(explanandum, image, target, beside, settings.score, batch_size)
    # the classifier that the first one has made faster already
    faster = inserted.explanandum
    deleted = MaskedScore(faster, image, target, settings.delete_to, settings.score, batch_size)
    size = (image.shape[-2], image.shape[-1])
    with torch.inference_mode(False), torch.enable_grad():
        ranking = _standardised(F.interpolate(logits.detach().clone(), (settings.grid,) * 2, mode="area"))
        ranking.requires_grad_()
        optimizer = torch.optim.Adam([ranking], lr=settings.learning_rate, betas=(0.9, 0.99))
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - step / steps)
            # multiples of the golden ratio: few steps, and yet no part of [0, 1] without a share
            offset = torch.tensor((0.5 + step * _GOLDEN) % 1, device=image.device)
            shares = spread_shares(settings.shares, offset).view(-1, 1, 1)
            pixels = upsampled(ranking[None], size).expand(settings.shares, -1, -1, -1, -1)
            masks = top_share(pixels, shares, settings.temperature)
            _, slope_of_share = inserted.with_gradient(masks.detach())
            _, slope_of_rest = deleted.with_gradient(1 - masks.detach())
            # The score of the rest is subtracted, and 1 - m falls where m grows: the two signs cancel.
            slope = settings.insertion * slope_of_share + settings.deletion * slope_of_rest
            # the scores as linear functions of the masks: their graph through the classifier is gone already
            loss = -(masks * slope).sum()
            (ranking.grad,) = torch.autograd.grad(loss, ranking)
            optimizer.step()
    order = upsampled(ranking.detach()[None], size)[0]
    return with_order_of(logits, order)


def _standardised(maps: Tensor) -> Tensor:
    """Shift and scale each map to mean 0 and deviation 1; a constant one to 0."""
    mean = maps.mean((2, 3), keepdim=True)
    deviation = maps.std((2, 3), correction=0, keepdim=True)
    return (maps - mean) / deviation.clamp_min(1e-6)


def with_order_of(values: Tensor, order: Tensor) -> Tensor:
    """Put the values of each map into the order of another map: the highest value where the other is highest.

    Args:
        values: Maps (B, 1, H, W).
        order: Maps (B, 1, H, W).

    Returns:
        Maps (B, 1, H, W) of the same values.

    Example:
        >>> values = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> with_order_of(values, torch.tensor([[[[0.5, 0.9, 0.1]]]])).flatten().tolist()
        [2.0, 3.0, 1.0]
    """
    ascending = values.flatten(1).sort(1).values
    places = order.flatten(1).argsort(1)
    return torch.empty_like(ascending).scatter_(1, places, ascending).view_as(values)

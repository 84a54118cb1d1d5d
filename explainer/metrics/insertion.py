"""Insertion and deletion: how fast the class comes or goes with the most important pixels.

V. Petsiuk, A. Das, K. Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018.
"""

import torch
from torch import Tensor

from explainer.metrics.base import Fill, MeanOverImages, Score


def ranks(maps: Tensor) -> Tensor:
    """Place of each pixel in the order of importance, 0 the most important; ties are broken as if by chance.

    Args:
        maps: (B, 1, H, W).

    Returns:
        (B, 1, H, W) long, a permutation of 0 … HW - 1 each, the same one for the same map.

    Example:
        >>> ranks(torch.tensor([[0.1, 0.9], [0.5, 0.3]])[None, None]).flatten().tolist()
        [3, 0, 1, 2]
    """
    flat = maps.flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0)).to(maps.device)
    order = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(flat.shape[1], device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(maps)


@torch.no_grad()
def removal_curve(
    maps: Tensor, before: Tensor, after: Tensor | Fill, probability: Score, steps: int = 224, batch_size: int = 16
) -> Tensor:
    """The class's probability while pixels of one picture are exchanged for another's, the most important first.

    Args:
        maps: (B, 1, H, W), higher is more important.
        before: (B, 3, H, W), what is seen at first: the image (deletion), or an infill (insertion).
        after: (B, 3, H, W), what is seen at last; or an in-fill, which is asked at every step for what it puts where
            pixels are gone.
        probability: Of the class, or another score.
        steps: S, of as many pixels each as fit; HW / S pixels a step.
        batch_size: At most so many pictures at once.

    Returns:
        (B, S + 1).

    Raises:
        ValueError: Fewer than one step, or more than pixels.
    """
    count, pixels = len(maps), maps[0].numel()
    if not 1 <= steps <= pixels:
        raise ValueError(f"steps must lie between 1 and the number of pixels {pixels}, got {steps}")
    place = ranks(maps)
    cuts = (torch.arange(steps + 1, device=maps.device) * pixels / steps).round()
    found = []
    for start in range(0, count * (steps + 1), batch_size):
        index = torch.arange(start, min(start + batch_size, count * (steps + 1)), device=maps.device)
        owner, step = index // (steps + 1), index % (steps + 1)
        changed = place[owner] < cuts[step].view(-1, 1, 1, 1)
        old = before[owner]
        new = after[owner] if isinstance(after, Tensor) else after(old, (~changed).to(old))
        found.append(probability(torch.where(changed, new, old), owner))
    return torch.cat(found).view(count, steps + 1)


def area_under(curve: Tensor) -> Tensor:
    r"""Trapezoidal mean, :math:`\frac{1}{S} \sum_k (p_k + p_{k+1}) / 2`: (B, S + 1) → (B,).

    Example:
        >>> area_under(torch.tensor([[0.0, 0.5, 1.0]])).item()
        0.5
    """
    return (curve[:, 1:] + curve[:, :-1]).mean(1) / 2


class InsertionAUC(MeanOverImages):
    """Mean area under curves of probability while the most important pixels are put in, (B, S + 1) each."""

    higher_is_better = True

    def update(self, curve: Tensor) -> None:
        """Curves of `removal_curve`, from an infill to the image."""
        self.add(area_under(curve))


class DeletionAUC(MeanOverImages):
    """Mean area under curves of probability while the most important pixels are taken away, (B, S + 1) each."""

    higher_is_better = False

    def update(self, curve: Tensor) -> None:
        """Curves of `removal_curve`, from the image to an infill."""
        self.add(area_under(curve))

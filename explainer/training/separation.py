"""Whether an Explainer's masks tell the classes apart: what of a class its own mask keeps, and what the others keep."""

from typing import NamedTuple

import torch
from torch import Tensor

from explainer.functional.masking import composite
from explainer.networks import Explanandum


class Separation(NamedTuple):
    """One value for each pair of an image and a class that it has, (P,) each.

    Attributes:
        own: Probability of the class, in [0, 1], when only its own mask is seen; higher is better.
        others: Its probability when the masks of all other classes are seen; lower is better.
        area: Mean of its own mask, in [0, 1].
    """

    own: Tensor
    others: Tensor
    area: Tensor


@torch.no_grad()
def separation(
    explanandum: Explanandum, image: Tensor, masks: Tensor, labels: Tensor, infill: Tensor, classes: int = 3
) -> Separation:
    """Show a classifier each image through a class's own mask and through the maximum of the other classes' masks.

    Masks that are the same for every class keep the same of it, however well they lie on objects: Acc, IoU and the loss
    do not show that.

    Args:
        explanandum: The classifier.
        image: (B, 3, H, W) in [0, 1].
        masks: (B, K, H, W) in [0, 1].
        labels: (B, K) multi-hot.
        infill: What stands where a mask is 0; broadcasts to `image`.
        classes: At most so many classes of an image, the first ones.

    Returns:
        P values each; none where no image has a label.
    """
    chosen = labels * (labels.cumsum(1) <= classes)
    rows, columns = chosen.nonzero(as_tuple=True)
    highest = masks.topk(min(2, masks.shape[1]), dim=1)
    parts = []
    for row, column in zip(rows.split(len(image)), columns.split(len(image)), strict=True):
        own = masks[row, column][:, None]
        is_first = highest.indices[row, :1] == column[:, None, None, None]
        second = highest.values[row, 1:] if masks.shape[1] > 1 else torch.zeros_like(own)
        others = torch.where(is_first, second, highest.values[row, :1])
        fill = infill if len(infill) == 1 else infill[row]
        probabilities = [
            explanandum.probabilities(explanandum(composite(image[row], mask, fill)).float()) for mask in (own, others)
        ]
        seen = [probability.gather(1, column[:, None])[:, 0] for probability in probabilities]
        parts.append(torch.stack([*seen, own.mean((1, 2, 3))]))
    return Separation(*torch.cat(parts, 1)) if parts else Separation(*masks.new_zeros(3, 0))


def fault(own: float, others: float, area: float) -> str | None:
    """Say in one line what is wrong with masks that explain nothing, and what to try; None for masks that may.

    Args:
        own: Mean of `Separation.own`.
        others: Mean of `Separation.others`.
        area: Mean of `Separation.area`.

    Example:
        >>> fault(0.9, 0.1, 0.2) is None
        True
        >>> fault(0.5, 0.5, 0.001)
        'the masks are empty: lower the weights of target_area and bound, or raise the learning rate'
    """
    if area < 0.01:
        return "the masks are empty: lower the weights of target_area and bound, or raise the learning rate"
    if area > 0.95:
        return "the masks are full: raise the weights of target_area, bound or entropy, or the learning rate"
    if own - others < 0.05:
        return (
            f"the masks are the same for every class (a class has probability {own:.2f} through its own mask, "
            f"{others:.2f} through the others'): start the masker from a classifier's weights (encoder_weights), "
            "take FeatureMasker, or raise the learning rate"
        )
    return None

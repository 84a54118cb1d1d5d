"""Measure whether an Explainer's masks tell the classes apart: by what a class's own mask keeps, and the others."""

from typing import NamedTuple

import torch
from torch import Tensor

from explainer.functional.masking import composite
from explainer.networks import Explanandum


class Separation(NamedTuple):
    """One value for each pair of an image and a class that it has, (P,) each.

    Attributes:
        through_mask: Probability of the class, in [0, 1], when only its mask is seen; higher is better.
        through_others: Its probability when the masks of all other classes are seen; lower is better.
        through_rest: Its probability when all but its mask is seen; lower is better.
        area: Mean of its mask, in [0, 1].
    """

    through_mask: Tensor
    through_others: Tensor
    through_rest: Tensor
    area: Tensor


@torch.no_grad()
def separation(
    explanandum: Explanandum,
    image: Tensor,
    masks: Tensor,
    labels: Tensor,
    infill: Tensor,
    classes: int = 3,
) -> Separation:
    """Show a classifier each image through a class's own mask, through the other classes' masks, and without its own.

    Of the other classes it is the maximum of their masks.

    Masks that are the same for every class keep the same of it, however well they lie on objects: Acc, IoU and the loss
    do not show that.

    Args:
        explanandum: Classifier that is shown the images.
        image: Images (B, 3, H, W) in [0, 1].
        masks: Class masks (B, K, H, W) in [0, 1].
        labels: Labels (B, K), multi-hot.
        infill: Infill where a mask is 0; it broadcasts to `image`.
        classes: Greatest number of classes of an image that are looked at, the first ones.

    Returns:
        P values each; none where no image has a label.
    """
    chosen = labels * (labels.cumsum(1) <= classes)
    rows, columns = chosen.nonzero(as_tuple=True)
    highest = masks.topk(min(2, masks.shape[1]), dim=1)
    parts = []
    # in parts of a batch's size: an image with several classes stands in several pairs
    batch_size = len(image)
    pairs = zip(rows.split(batch_size), columns.split(batch_size), strict=True)
    for row, column in pairs:
        class_mask = masks[row, column][:, None]
        # the maximum of the others is the highest mask, or where that is the class's own, the second highest
        is_first = highest.indices[row, :1] == column[:, None, None, None]
        second = torch.zeros_like(class_mask)  # of one class alone, no other mask shows anything
        if masks.shape[1] > 1:
            second = highest.values[row, 1:]
        other_masks = torch.where(is_first, second, highest.values[row, :1])
        fill = infill
        if len(infill) > 1:  # one for each image
            fill = infill[row]
        columns_of_part = []
        for mask in (class_mask, other_masks, 1 - class_mask):
            logits = explanandum(composite(image[row], mask, fill)).float()
            probabilities = explanandum.probabilities(logits)
            columns_of_part.append(probabilities.gather(1, column[:, None])[:, 0])
        area = class_mask.mean((1, 2, 3))
        parts.append(torch.stack([*columns_of_part, area]))
    if not parts:
        return Separation(*masks.new_zeros(4, 0))
    return Separation(*torch.cat(parts, 1))


def fault(through_mask: float, through_others: float, area: float) -> str | None:
    """Say in one line what is wrong with masks that explain nothing, and what to try; None for masks that may.

    Args:
        through_mask: Mean of `Separation.through_mask`.
        through_others: Mean of `Separation.through_others`.
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
    # from scratch, a masker finds objects before it tells classes apart: for long the difference is about 0
    if through_mask - through_others < 0.05:
        return (
            f"the masks are the same for every class (a class has probability {through_mask:.2f} through its own "
            f"mask, {through_others:.2f} through the others'): start the masker from a classifier's weights "
            "(encoder_weights), take FeatureMasker, or raise the learning rate"
        )
    return None

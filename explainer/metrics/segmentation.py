"""Which pixels of a segmentation count: the truth of an image, and its void border."""

from typing import Literal

import torch
from torch import Tensor

from explainer.masking import smallest_box

Void = Literal["ignore", "object"]
_VOID = 255


def truth_and_weight(segmentation: Tensor, labels: Tensor, void: Void = "ignore") -> tuple[Tensor, Tensor]:
    """Aggregate the segmentations of the classes present.

    Args:
        segmentation: (B, K, H, W) uint8 of 0, 1 and 255 (void).
        labels: (B, K) multi-hot.
        void: "ignore" gives void pixels no weight; "object" counts them as object, as the published Explainer code did.

    Returns:
        Truth (B, 1, H, W) of 0 and 1, and weight (B, 1, H, W) of 0 and 1. An image without annotation (all void) has
        no weight anywhere, whatever `void` says.

    Example:
        >>> import torch
        >>> truth, weight = truth_and_weight(torch.tensor([[[[0, 1, 255]]]], dtype=torch.uint8), torch.ones(1, 1))
        >>> truth.flatten().tolist(), weight.flatten().tolist()
        ([0.0, 1.0, 0.0], [1.0, 1.0, 0.0])
    """
    hidden = (segmentation == _VOID).any(1, keepdim=True)
    inside = ((segmentation == 1) & (labels[:, :, None, None] > 0)).any(1, keepdim=True)
    if void == "object":
        annotated = ~hidden.all(-1, keepdim=True).all(-2, keepdim=True)
        return (inside | hidden).float(), annotated.expand_as(inside).float()
    return (inside & ~hidden).float(), (~hidden).float()


def truth_boxes(segmentation: Tensor, labels: Tensor) -> list[Tensor]:
    """The smallest box around each class present.

    Args:
        segmentation: (B, K, H, W) uint8 of 0, 1 and 255 (void), which is left out.
        labels: (B, K) multi-hot.

    Returns:
        B tensors (N, 4): x0, y0, x1, y1 in pixels; of classes of which nothing is segmented there is none.

    Example:
        >>> truth_boxes(torch.ones(1, 1, 2, 3, dtype=torch.uint8), torch.ones(1, 1))[0].tolist()
        [[0.0, 0.0, 3.0, 2.0]]
    """
    boxes = []
    for own, present in zip(segmentation, labels, strict=True):
        regions = (own[present > 0] == 1)[:, None]
        found = smallest_box(regions) if len(regions) else regions.new_zeros(0, 4, dtype=torch.float32)
        boxes.append(found[found[:, 2] > found[:, 0]])
    return boxes

"""Which pixels of a segmentation count: the truth of an image, and its void border."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from explainer.functional.masking import smallest_box

Void = Literal["ignore", "object"]
Objects = Literal["labelled", "all"]
_VOID = 255


class TruthRule(NamedTuple):
    """Which pixels of an annotation count as the truth.

    Attributes:
        void: "ignore" gives void pixels no weight; "object" counts them as object, as the published Explainer code did.
        objects: Whether pixels of classes that are no label of the image are background ("labelled"), or belong to the
            truth too ("all", what the published Explainer code did).
    """

    void: Void = "ignore"
    objects: Objects = "labelled"

    def words(self) -> str:
        """Say in a table's caption what its truth is.

        Example:
            >>> TruthRule().words()
            'truth: the labelled objects, void pixels left out'
        """
        which = "the labelled objects" if self.objects == "labelled" else "all segmented objects"
        return f"truth: {which}, void pixels {'left out' if self.void == 'ignore' else 'counted as object'}"


USUAL_TRUTH = TruthRule()


def truth_and_weight(segmentation: Tensor, labels: Tensor, rule: TruthRule = USUAL_TRUTH) -> tuple[Tensor, Tensor]:
    """Aggregate the segmentations of the objects.

    Args:
        segmentation: (B, K, H, W) uint8 of 0, 1 and 255 (void).
        labels: (B, K) multi-hot.
        rule: Which pixels count.

    Returns:
        Truth (B, 1, H, W) of 0 and 1, and weight (B, 1, H, W) of 0 and 1. An image without annotation (all void) has
        no weight anywhere, whatever the rule says.

    Example:
        >>> import torch
        >>> truth, weight = truth_and_weight(torch.tensor([[[[0, 1, 255]]]], dtype=torch.uint8), torch.ones(1, 1))
        >>> truth.flatten().tolist(), weight.flatten().tolist()
        ([0.0, 1.0, 0.0], [1.0, 1.0, 0.0])
    """
    hidden = (segmentation == _VOID).any(1, keepdim=True)
    counts = labels[:, :, None, None] > 0 if rule.objects == "labelled" else True
    inside = ((segmentation == 1) & counts).any(1, keepdim=True)
    if rule.void == "object":
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

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
        void: Weight of void pixels: "ignore" gives them none; "object" counts them as object, as the published
            Explainer code did.
        objects: Objects of the truth: the "labelled" ones, with pixels of other classes as background; or "all" that
            are segmented, as in the published Explainer code.
    """

    void: Void = "ignore"
    objects: Objects = "labelled"

    def words(self) -> str:
        """Say in a table's caption what its truth is.

        Example:
            >>> TruthRule().words()
            'truth: the labelled objects, void pixels left out'
        """
        objects = {"labelled": "the labelled objects", "all": "all segmented objects"}[self.objects]
        void = {"ignore": "left out", "object": "counted as object"}[self.void]
        return f"truth: {objects}, void pixels {void}"


USUAL_TRUTH = TruthRule()


def truth_and_weight(segmentation: Tensor, labels: Tensor, rule: TruthRule = USUAL_TRUTH) -> tuple[Tensor, Tensor]:
    """Aggregate the segmentations of the objects.

    Args:
        segmentation: Segmentations (B, K, H, W) uint8 of 0, 1 and 255 (void).
        labels: Labels (B, K), multi-hot.
        rule: Rule that says which pixels count.

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
    objects = segmentation == 1
    if rule.objects == "labelled":
        objects = objects & (labels[:, :, None, None] > 0)
    inside = objects.any(1, keepdim=True)
    if rule.void == "object":
        # an image of void alone has no annotation, and must not count as one large object
        annotated = ~hidden.all(-1, keepdim=True).all(-2, keepdim=True)
        return (inside | hidden).float(), annotated.expand_as(inside).float()
    return (inside & ~hidden).float(), (~hidden).float()


def truth_boxes(segmentation: Tensor, labels: Tensor) -> list[Tensor]:
    """Find the smallest box around each class present.

    Args:
        segmentation: Segmentations (B, K, H, W) uint8 of 0, 1 and 255 (void), which is left out.
        labels: Labels (B, K), multi-hot.

    Returns:
        Boxes of each image, B tensors (N, 4): x0, y0, x1, y1 in pixels; a class of which nothing is segmented has none.

    Example:
        >>> truth_boxes(torch.ones(1, 1, 2, 3, dtype=torch.uint8), torch.ones(1, 1))[0].tolist()
        [[0.0, 0.0, 3.0, 2.0]]
    """
    boxes = []
    for planes, present in zip(segmentation, labels, strict=True):
        planes_of_present = planes[present > 0]
        regions = (planes_of_present == 1)[:, None]
        if len(regions):
            corners = smallest_box(regions)
            has_area = corners[:, 2] > corners[:, 0]
            boxes.append(corners[has_area])
        else:  # an argmax over no regions at all is an error
            boxes.append(regions.new_zeros(0, 4, dtype=torch.float32))
    return boxes

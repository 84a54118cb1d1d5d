"""How much of a map lies outside the object (C.-H. Chang et al., ICLR 2019, section 4.3, Figure 8).

The paper binarises the map at 0.5; the soft form is one minus the energy-based pointing game.
"""

from typing import Literal

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.metrics.base import ImageMetric, Judged, Measured
from explainer.metrics.segmentation import truth_and_weight

Truth = Literal["boxes", "segmentation"]


def proportion_outside(mask: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Compute the share of a map's sum that lies outside the object.

    .. math:: \frac{\sum_u m_u (1 - g_u)}{\sum_u m_u}

    A map without anything in it says as much of every pixel as a constant one does, and counts as such.

    Args:
        mask: Masks (B, 1, H, W) in [0, 1], or of 0 and 1.
        truth: Truth (B, 1, H, W) of 0 and 1.
        weight: Weights (B, 1, H, W), 0 where a pixel does not count; None counts all.

    Returns:
        Share (B,) in [0, 1]; lower is better; NaN for an image without object.

    Example:
        >>> proportion_outside(torch.tensor([[[[0.5, 1.0, 0.5]]]]), torch.tensor([[[[0.0, 1.0, 1.0]]]])).item()
        0.25
    """
    if weight is None:
        weight = torch.ones_like(truth)
    total = (mask * weight).sum((1, 2, 3), keepdim=True)
    # an empty map counts as a constant one: to find nothing must not be the best answer
    counted = torch.where(total > 0, mask, 1.0) * weight
    outside = (counted * (1 - truth)).sum((1, 2, 3))
    share = outside / counted.sum((1, 2, 3)).clamp_min(1e-12)
    without_object = (truth * weight).sum((1, 2, 3)) == 0
    return share.masked_fill(without_object, torch.nan)


def inside_boxes(boxes: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Find the pixels whose centres lie in any of an image's boxes.

    Args:
        boxes: Boxes of each image, B tensors (N, 4): x0, y0, x1, y1 in pixels.
        size: H and W.

    Returns:
        Masks (B, 1, H, W) of 0 and 1.

    Example:
        >>> inside_boxes([torch.tensor([[0.0, 0.0, 2.0, 1.0]])], (2, 3)).flatten().tolist()
        [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    masks = []
    for corners in boxes:
        # a pixel belongs to a box that holds its centre
        rows = torch.arange(size[0], device=corners.device) + 0.5
        columns = torch.arange(size[1], device=corners.device) + 0.5
        x0, y0, x1, y1 = corners[:, :, None].unbind(1)
        tall = (rows >= y0) & (rows < y1)
        wide = (columns >= x0) & (columns < x1)
        in_box = tall[:, :, None] & wide[:, None]
        in_any_box = in_box.any(0, keepdim=True)
        masks.append(in_any_box.float())
    return torch.stack(masks)


def truth_of(judged: Judged, source: Truth) -> tuple[Tensor, Tensor]:
    """Find the labelled objects.

    Args:
        judged: Images with what is known of their objects.
        source: Kind of truth: the filled "boxes", or the exact "segmentation".

    Returns:
        Truth and weight (B, 1, H, W) of 0 and 1, like those of `truth_and_weight`, in the mask's type; without any
        truth where none is known.

    Example:
        >>> number, box = torch.ones(1), torch.tensor([[0.0, 0, 1, 2]])
        >>> judged = Judged(torch.rand(1, 1, 2, 2), number, number, number, [box], None, max, max, max, max, number)
        >>> truth_of(judged, "boxes")[0].flatten().tolist(), truth_of(judged, "segmentation")[0].sum().item()
        ([1.0, 0.0, 1.0, 0.0], 0.0)
    """
    mask = judged.mask
    if source == "segmentation" and judged.segmentation is not None:
        truth, weight = truth_and_weight(judged.segmentation, judged.labels)
        return truth.to(mask), weight.to(mask)
    # no images have no boxes to stack
    if source == "segmentation" or not len(mask):
        return torch.zeros_like(mask), torch.ones_like(mask)
    size = (mask.shape[-2], mask.shape[-1])
    return inside_boxes(judged.boxes, size).to(mask), torch.ones_like(mask)


class ProportionOutside(ImageMetric):
    """Mean of `proportion_outside` over images.

    Args:
        truth: Kind of truth: "boxes", as in the paper, or the exact "segmentation".
        binary: Whether pixels above the map's level are counted, as in the paper, or the map's values are summed.

    Raises:
        InputError: `truth` is neither of the two.
    """

    higher_is_better = False
    percent = True
    paper = "C.-H. Chang et al., ICLR 2019"
    meaning = "How much of the map lies outside the boxes of the object."
    formula = r"\frac{\sum m (1 - g)}{\sum m}"
    range = "[0, 1]"

    def __init__(self, truth: Truth = "boxes", binary: bool = True) -> None:
        super().__init__()
        if truth not in ("boxes", "segmentation"):
            raise InputError(f"metric ProportionOutside: truth is 'boxes' or 'segmentation', got {truth!r}")
        self.truth = truth
        self.binary = binary

    def measure(self, judged: Judged) -> Measured:
        """Compute `proportion_outside` of each mask; NaN for an image without ground truth."""
        judged = judged.clean
        mask = judged.region.to(judged.mask) if self.binary else judged.mask
        truth, weight = truth_of(judged, self.truth)
        return Measured(proportion_outside(mask, truth, weight))

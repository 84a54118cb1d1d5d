"""How well the box around what is salient fits the object's.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (Table II).
The paper calls it the pointing game, which is another metric (`PointingGame`), and its text swaps numerator and
denominator. It says neither above which level a pixel is salient, here the evaluation's, nor what becomes of several
objects: here the best fit counts.
"""

import torch
from torch import Tensor
from torchvision.ops import box_iou

from explainer.functional.masking import smallest_box
from explainer.metrics.base import ImageMetric, Judged, Measured


def best_iou(box: Tensor, truth: list[Tensor]) -> Tensor:
    r"""Compute the intersection over union with the object that a box fits best.

    .. math:: \max_t \frac{|A_s \cap A_t|}{|A_s \cup A_t|}

    Args:
        box: Boxes (B, 4): x0, y0, x1, y1 in pixels; a box without area fits nothing.
        truth: True boxes of each image, B tensors (N, 4).

    Returns:
        Overlap (B,) in [0, 1]; higher is better; NaN for an image without a true box.

    Example:
        >>> best_iou(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), [torch.tensor([[0.0, 0.0, 4.0, 2.0]])]).item()
        0.5
    """
    overlaps = box.new_full((len(box),), torch.nan)
    for index, (corners, objects) in enumerate(zip(box, truth, strict=True)):
        if len(objects):
            overlaps[index] = box_iou(corners[None], objects.to(box)).max()
    return overlaps


class BoxIoU(ImageMetric):
    """Mean of `best_iou` over images, of the smallest box around what is salient; one with nothing salient scores 0.

    Localisation is its thresholded form: an error where the value is not above 0.5.
    """

    higher_is_better = True
    percent = True
    paper = "S. Thakur, S. Fischmeister, ICPR 2020"
    meaning = "Overlap of the smallest box around the salient pixels with the nearest true box."
    formula = r"\max_t |A_s \cap A_t| / |A_s \cup A_t|, A_s = \mathrm{box}(m > \ell)"
    range = "[0, 1]"

    def measure(self, judged: Judged) -> Measured:
        """Compute `best_iou` of the box around what is salient; NaN for an image without ground truth."""
        box = smallest_box(judged.clean.region)
        return Measured(best_iou(box, judged.boxes))

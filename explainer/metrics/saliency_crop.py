"""The saliency metric on a crop (P. Dabkowski, Y. Gal, NeurIPS 2017; C.-H. Chang et al., ICLR 2019, Table 1).

`SaliencyMetric` of `saliency.py` is the Explainer paper's metric of the same name: it masks the image and takes the
mask's mean as its area, where this one crops the box around what is salient and enlarges it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.functional.masking import smallest_box
from explainer.metrics.base import ImageMetric, Judged, Measured, of_one_label


def crop_and_resize(image: Tensor, box: Tensor) -> Tensor:
    """Each image's box, enlarged to the image's size.

    Args:
        image: (B, 3, H, W).
        box: (B, 4): x0, y0, x1, y1 in whole pixels; one without area leaves the whole image.

    Returns:
        (B, 3, H, W), bilinear.

    Example:
        >>> image = torch.rand(1, 3, 8, 8)
        >>> torch.equal(crop_and_resize(image, torch.tensor([[0.0, 0.0, 8.0, 8.0]])), image)
        True
    """
    height, width = image.shape[-2:]
    crops = []
    for own, (x0, y0, x1, y1) in zip(image, box.long().tolist(), strict=True):
        part = own[None, :, y0:y1, x0:x1] if x1 > x0 and y1 > y0 else own[None]
        crops.append(F.interpolate(part, (height, width), mode="bilinear", align_corners=False))
    return torch.cat(crops) if crops else image


def saliency_crop(box: Tensor, probability: Tensor, size: tuple[int, int]) -> Tensor:
    r"""A small box that is enough for the classifier.

    .. math:: \log(\max(\text{Area}(A), 0.05)) - \log p(c | \text{CropAndUpscale}(x, A))

    Args:
        box: (B, 4): x0, y0, x1, y1; one without area counts as the whole image.
        probability: (B,) of the class for the enlarged box.
        size: H and W of the image.

    Returns:
        (B,), natural logarithm; lower is better.

    Example:
        >>> round(saliency_crop(torch.tensor([[0.0, 0.0, 4.0, 8.0]]), torch.tensor([1.0]), (8, 8)).item(), 4)
        -0.6931
    """
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) / (size[0] * size[1])
    area = torch.where(area > 0, area, 1.0).to(probability)
    return area.clamp_min(0.05).log() - probability.clamp_min(torch.finfo(probability.dtype).tiny).log()


class SaliencyCrop(ImageMetric):
    """Mean of `saliency_crop` over the images with one label, with the box around what is salient.

    The probability is the classifier's own: a sigmoid's for a multi-label one. A map with nothing salient has no box,
    and counts as if everything were, so that finding nothing never pays.
    """

    higher_is_better = False
    paper = "P. Dabkowski, Y. Gal, NeurIPS 2017; C.-H. Chang et al., ICLR 2019"
    meaning = "Small salient boxes A in which alone, enlarged, the classifier still sees the class."
    formula = r"\log \max(\mathrm{area}(A), 0.05) - \log p_c(\mathrm{crop}(x, A))"
    range = "[log 0.05, ∞)"

    def measure(self, judged: Judged) -> Measured:
        """NaN for images with several labels, or none."""
        judged = judged.clean
        return of_one_label(judged, self._measure)

    def _measure(self, judged: Judged) -> Measured:
        """Crop, enlarge, ask the classifier."""
        box = smallest_box(judged.region)
        owner = torch.arange(len(box), device=box.device)
        with torch.no_grad():
            probability = judged.probability(crop_and_resize(judged.image, box), owner)
        return Measured(saliency_crop(box, probability, (judged.image.shape[-2], judged.image.shape[-1])))

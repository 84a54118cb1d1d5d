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
    """Cut each image's box out, and enlarge it to the image's size, bilinearly.

    Args:
        image: Images (B, 3, H, W).
        box: Boxes (B, 4): x0, y0, x1, y1 in whole pixels; a box without area leaves the whole image.

    Returns:
        Enlarged boxes (B, 3, H, W).

    Example:
        >>> image = torch.rand(1, 3, 8, 8)
        >>> torch.equal(crop_and_resize(image, torch.tensor([[0.0, 0.0, 8.0, 8.0]])), image)
        True
    """
    height, width = image.shape[-2:]
    crops = []
    corners = box.long().tolist()
    # image by image: crops of different sizes are no batch
    for picture, (x0, y0, x1, y1) in zip(image, corners, strict=True):
        if x1 > x0 and y1 > y0:
            picture = picture[:, y0:y1, x0:x1]
        crop = F.interpolate(picture[None], (height, width), mode="bilinear", align_corners=False)
        crops.append(crop)
    if not crops:  # there is no cat() of no images
        return image
    return torch.cat(crops)


def saliency_crop(box: Tensor, probability: Tensor, size: tuple[int, int]) -> Tensor:
    r"""Score a box: a small one that is enough for the classifier.

    .. math:: \log(\max(\text{Area}(A), 0.05)) - \log p(c | \text{CropAndUpscale}(x, A))

    Args:
        box: Boxes (B, 4): x0, y0, x1, y1 in pixels; a box without area counts as the whole image.
        probability: Probability of the class for the enlarged box, (B,).
        size: H and W of the image.

    Returns:
        Score (B,), natural logarithm; lower is better.

    Example:
        >>> round(saliency_crop(torch.tensor([[0.0, 0.0, 4.0, 8.0]]), torch.tensor([1.0]), (8, 8)).item(), 4)
        -0.6931
    """
    x0, y0, x1, y1 = box.unbind(1)
    pixels = size[0] * size[1]
    area = (x1 - x0) * (y1 - y0) / pixels
    area = torch.where(area > 0, area, 1.0).to(probability)
    # a probability of 0 would make the mean over images infinite
    smallest = torch.finfo(probability.dtype).tiny
    log_area = area.clamp_min(0.05).log()
    log_probability = probability.clamp_min(smallest).log()
    return log_area - log_probability


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
        """Compute `saliency_crop` of each mask; NaN for images with several labels, or none."""
        judged = judged.clean
        return of_one_label(judged, self._measure)

    def _measure(self, judged: Judged) -> Measured:
        """Crop, enlarge, and ask the classifier, for images with one label."""
        size = (judged.image.shape[-2], judged.image.shape[-1])
        box = smallest_box(judged.region)
        owner = torch.arange(len(box), device=box.device)
        with torch.no_grad():
            crops = crop_and_resize(judged.image, box)
            probability = judged.probability(crops, owner)
        return Measured(saliency_crop(box, probability, size))

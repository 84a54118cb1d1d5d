"""How class masks change the classifier's confidence in each class.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 4.2, Table 1). The masks are binarised at the nine thresholds 0.1 … 0.9; whether a
pixel at the threshold is kept is not said: here it is not.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from explainer.functional.masking import composite
from explainer.metrics.base import Fill

THRESHOLDS = tuple(round(0.1 * k, 1) for k in range(1, 10))
"""Thresholds of the paper."""


@torch.no_grad()
def masking_scores(
    image: Tensor,
    masks: Tensor,
    labels: Tensor,
    probabilities: Callable[[Tensor], Tensor],
    fill: Fill,
    thresholds: Sequence[float] = THRESHOLDS,
    batch_size: int = 32,
) -> Tensor:
    r"""Compute the confidence in each class present, on the image and on the image masked for each class.

    .. math:: S_{r0} = p_r(x), \quad S_{rc} = \frac{1}{9} \sum_t p_r([s_c > t] \odot x + [s_c \le t] \odot \bar x)

    A mask that holds NaN keeps nothing. An image takes 1 + CT forward passes, or none if it has none of the classes.

    Args:
        image: Images (B, 3, H, W) in [0, 1].
        masks: Masks (B, C, H, W) in [0, 1] of the classes that the matrix shows: all, or some.
        labels: Labels (B, C), multi-hot, of the same classes.
        probabilities: Function from images (N, 3, H, W) to probabilities (N, C) in [0, 1] of the classes shown: the
            *softmax* over all of the classifier's classes, also for a classifier that was trained with sigmoids.
        fill: In-fill that is seen where nothing is kept; in the paper the mean colour.
        thresholds: Levels in [0, 1), T of them; a pixel above is kept.
        batch_size: Largest number of pictures that go through the classifier at once.

    Returns:
        Matrices (B, C, 1 + C). Row r belongs to the class whose probability is taken, and is NaN if the image does not
        contain it. Column 0 belongs to the unmasked image, column 1 + c to the image masked for class c. Higher is
        better in columns 0 and 1 + r, lower in the others.

    Example:
        >>> shares = lambda seen: seen[:, :2].mean((2, 3)) / 2  # two classes: how red and how green it is
        >>> image, masks = torch.ones(1, 3, 1, 2), torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
        >>> masking_scores(image, masks, torch.tensor([[1.0, 0.0]]), shares, lambda x, m: x * 0)[0].tolist()
        [[0.5, 0.25, 0.0], [nan, nan, nan]]
    """
    classes = masks.shape[1]
    count = len(thresholds)
    levels = torch.tensor(thresholds, dtype=masks.dtype, device=masks.device)
    # NaN is above no threshold, but a mask that holds some must not keep the rest either
    broken = masks.isnan().flatten(2).any(2)
    masks = masks.masked_fill(broken[:, :, None, None], 0.0)
    scores = masks.new_full((len(image), classes, 1 + classes), torch.nan)
    labelled = (labels > 0).any(1).nonzero()[:, 0]
    if not len(labelled):
        return scores
    whole = [probabilities(image[indices]) for indices in labelled.split(batch_size)]
    # all composites are numbered in one row (image, then mask, then threshold), so that every batch is full
    per_image = classes * count
    all_numbers = torch.arange(len(labelled) * per_image, device=masks.device)
    masked = []
    for numbers in all_numbers.split(batch_size):
        owner = labelled[numbers // per_image]
        column = numbers // count % classes
        level = levels[numbers % count, None, None]
        above = masks[owner, column] > level
        binary = above[:, None].to(image)
        pictures = image[owner]
        seen = composite(pictures, binary, fill(pictures, binary))
        masked.append(probabilities(seen))
    first_column = torch.cat(whole).to(scores)[:, :, None]
    per_threshold = torch.cat(masked).to(scores).view(len(labelled), classes, count, classes)
    # transposed: the masks are the columns of the matrix
    other_columns = per_threshold.mean(2).mT
    scores[labelled] = torch.cat([first_column, other_columns], 2)
    absent = labels == 0
    return scores.masked_fill(absent[:, :, None], torch.nan)


class MaskingMatrix(Metric):
    """Mean of `masking_scores` over the images that contain the row's class.

    An image with several of the classes counts in the row of each. States are sums: several processes add theirs.

    Args:
        num_classes: Number of classes that are shown, C.

    Attributes:
        images: Number of images that each row is the mean of, (C,) long.

    Example:
        >>> metric = MaskingMatrix(2)
        >>> metric.update(torch.tensor([[[0.5, 0.25, 0.0], [torch.nan] * 3], [[0.7, 0.35, 0.0], [torch.nan] * 3]]))
        >>> metric.images.tolist(), [round(v, 2) for v in metric.compute()[0].tolist()]
        ([2, 0], [0.6, 0.3, 0.0])
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = None
    percent: bool = True
    paper: str = "S. Stalder et al., NeurIPS 2022"
    formula: str = r"S_{r0} = p_r(x), S_{rc} = \frac{1}{9} \sum_t p_r([s_c > t] x + [s_c \le t] \bar x)"
    range: str = "[0, 1]"
    total: Tensor
    images: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        shape = (num_classes, 1 + num_classes)
        # in double precision: rounding must not grow with the number of images
        self.add_state("total", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, scores: Tensor) -> None:
        """Add scores of `masking_scores`, (B, C, 1 + C); rows of NaN do not count."""
        defined = ~scores.isnan().any(2)
        # filled, since NaN would stay NaN in any sum
        counted = scores.double().masked_fill(~defined[:, :, None], 0.0)
        self.total += counted.sum(0)
        self.images += defined.sum(0)

    def compute(self) -> Tensor:
        """Return the means (C, 1 + C) in [0, 1]; a row of NaN for a class without images."""
        return (self.total / self.images[:, None]).float()

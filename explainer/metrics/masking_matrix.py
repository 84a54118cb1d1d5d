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
"""Those of the paper."""


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
    r"""The confidence in each class present, on the image and on the image masked for each class.

    .. math:: S_{r0} = p_r(x), \quad S_{rc} = \frac{1}{9} \sum_t p_r([s_c > t] \odot x + [s_c \le t] \odot \bar x)

    A mask that holds NaN keeps nothing. Forward passes of an image: 1 + CT, none of one without any of the classes.

    Args:
        image: (B, 3, H, W) in [0, 1].
        masks: (B, C, H, W) in [0, 1], of the classes that the matrix shows: all, or some.
        labels: (B, C) multi-hot, of the same classes.
        probabilities: Images (N, 3, H, W) → (N, C) in [0, 1]: the *softmax* over all of the classifier's classes, at
            those shown; also for a classifier that was trained with sigmoids.
        fill: What is seen where nothing is kept; in the paper the mean colour.
        thresholds: T levels in [0, 1); a pixel above is kept.
        batch_size: At most so many pictures at once.

    Returns:
        (B, C, 1 + C): row r is the class whose probability is taken, and NaN where the image does not contain it;
        column 0 is the unmasked image, column 1 + c the image that only the mask of class c is kept of.
        Higher is better in columns 0 and 1 + r, lower in the others.

    Example:
        >>> shares = lambda seen: seen[:, :2].mean((2, 3)) / 2  # two classes: how red and how green it is
        >>> image, masks = torch.ones(1, 3, 1, 2), torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
        >>> masking_scores(image, masks, torch.tensor([[1.0, 0.0]]), shares, lambda x, m: x * 0)[0].tolist()
        [[0.5, 0.25, 0.0], [nan, nan, nan]]
    """
    classes, count = masks.shape[1], len(thresholds)
    levels = torch.tensor(thresholds, dtype=masks.dtype, device=masks.device)
    broken = masks.isnan().flatten(2).any(2)
    masks = masks.masked_fill(broken[:, :, None, None], 0.0)
    scores = masks.new_full((len(image), classes, 1 + classes), torch.nan)
    chosen = (labels > 0).any(1).nonzero()[:, 0]
    found = [probabilities(image[some]) for some in chosen.split(batch_size) if len(some)]
    for some in torch.arange(len(chosen) * classes * count, device=masks.device).split(batch_size):
        owner, column = chosen[some // (classes * count)], some // count % classes
        kept = (masks[owner, column] > levels[some % count, None, None])[:, None].to(image)
        if len(some):
            found.append(probabilities(composite(image[owner], kept, fill(image[owner], kept))))
    if found:
        said = torch.cat(found).to(scores)
        masked = said[len(chosen) :].view(len(chosen), classes, count, classes).mean(2)
        scores[chosen] = torch.cat([said[: len(chosen), :, None], masked.mT], 2)
    return scores.masked_fill((labels == 0)[:, :, None], torch.nan)


class MaskingMatrix(Metric):
    """Mean of `masking_scores` over the images that contain the row's class.

    An image with several of the classes counts in the row of each. States are sums: several processes add theirs.

    Args:
        num_classes: C, of those shown.

    Attributes:
        images: (C,) long: how many images each row is the mean of.

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
        self.add_state("total", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, scores: Tensor) -> None:
        """Scores of `masking_scores`, (B, C, 1 + C); rows of NaN do not count."""
        defined = ~scores.isnan().any(2)
        self.total += scores.double().masked_fill(~defined[:, :, None], 0.0).sum(0)
        self.images += defined.sum(0)

    def compute(self) -> Tensor:
        """(C, 1 + C) in [0, 1]; a row of NaN for a class without images."""
        return (self.total / self.images[:, None]).float()

"""Loss terms of the Explainer and of RTIS, each a pure function of one equation.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (Eq. 1-8). P. Dabkowski, Y. Gal: Real Time Image Saliency for Black Box Classifiers,
NeurIPS 2017, as adapted to several classes by Stalder et al.

Departures from the text, all of them from the published code: the area term has three weights instead of one; the
entropy takes the softmax of the complement's logits also for multi-label classifiers; the last row and column of the
total variation see their reflection. An image without any label has the empty target mask and no bound.

A classifier with one logit says "there" or "not there": a softmax over the one would always be 1. Wherever a softmax is
taken, it is that over the two outcomes, which is the logit's sigmoid.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def two_outcomes(logits: Tensor) -> Tensor:
    """Return logits over which a softmax means something: a single logit is joined by that of its other outcome, 0.

    Args:
        logits: Logits (B, C).

    Returns:
        For C > 1 the same logits (B, C); for C = 1 logits (B, 2), whose softmax is the sigmoid and what it lacks to 1.

    Example:
        >>> two_outcomes(torch.zeros(1, 1)).softmax(1).tolist(), two_outcomes(torch.zeros(1, 3)).shape[1]
        ([[0.5, 0.5]], 3)
    """
    if logits.shape[1] > 1:
        return logits
    other_outcome = torch.zeros_like(logits)
    return torch.cat([logits, other_outcome], 1)


def multilabel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Compute the binary cross-entropy over the classes.

    .. math:: \mathcal{L}_c = -\frac{1}{C} \sum_c [c \in \mathcal{Y}] \log p_c + [c \notin \mathcal{Y}] \log(1 - p_c)
        \quad (2)

    Args:
        logits: Logits (B, C) of the explanandum on the masked image.
        labels: Labels (B, C), multi-hot.

    Returns:
        Loss (B,), at least 0; lower is better.

    Example:
        >>> round(multilabel_cross_entropy(torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 0]])).item(), 4)
        0.6931
    """
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    # a mean over the classes, as Eq. 2 has it: weights tuned for 20 classes do not carry over to 80
    return losses.mean(1)


def single_label_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Compute the cross-entropy for classifiers with one class an image, which the paper leaves out.

    .. math:: -\sum_c [c \in \mathcal{Y}] \log \operatorname{softmax}(z)_c

    Args:
        logits: Logits (B, C).
        labels: Labels (B, C), one-hot. A row of zeros (no label) costs nothing, except for C = 1, where it is the other
            outcome, and the loss is the binary cross-entropy.

    Returns:
        Loss (B,), at least 0; lower is better.

    Example:
        >>> round(single_label_cross_entropy(torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 0]])).item(), 4)
        1.3863
    """
    if logits.shape[1] == 1:
        return multilabel_cross_entropy(logits, labels)
    log_probabilities = logits.log_softmax(1)
    return -(labels * log_probabilities).sum(1)


def negative_entropy(logits: Tensor) -> Tensor:
    r"""Compute the negative entropy of the class probabilities on the complement image.

    .. math:: \mathcal{L}_e = \frac{1}{C} \sum_c \tilde{p}_c \log \tilde{p}_c \quad (3)

    Args:
        logits: Logits (B, C) of the explanandum on the complement image; the softmax is taken here, over the two
            outcomes when C = 1.

    Returns:
        Loss (B,) between -log(C) / C (uniform: nothing is left to see; two outcomes count as C = 2) and 0; lower is
        better.

    Example:
        >>> round(negative_entropy(torch.zeros(1, 4)).item(), 4)
        -0.3466
    """
    probabilities = two_outcomes(logits).softmax(1)
    # a probability of 0 has no logarithm, but its term is 0; 1e-16 is the published code's
    positive = probabilities.clamp_min(1e-16)
    terms = probabilities * positive.log()
    return terms.mean(1)


def area(mask: Tensor) -> Tensor:
    r"""Compute the mean of the mask.

    .. math:: \mathcal{A}(m) = \frac{1}{Z} \sum_{i,j} m[i, j]

    Args:
        mask: Masks (..., H, W) in [0, 1].

    Returns:
        Area (...) in [0, 1], as a fraction of the image.

    Example:
        >>> area(torch.eye(2)).item()
        0.5
    """
    return mask.mean((-2, -1))


def bounding_measure(mask: Tensor, minimum: float = 0.05, maximum: float = 0.3) -> Tensor:
    r"""Measure how far a class mask is from covering at least `minimum` and at most `maximum` of the image.

    .. math:: \mathcal{B}(s) = \frac{1}{Z} \sum_i \max(q_{min}[i] - q_{mask}[i], 0)
        + \frac{1}{Z} \sum_i \max(q_{mask}[i] - q_{max}[i], 0) \quad (4, 5)

    With :math:`q_{mask}` the sorted values, the first sum is what the floor(Za) largest values lack to 1, the second
    all that lies outside the floor(Zb) largest. Both need the *sums* of the largest values, not their order, so two
    selections replace the sort.

    Args:
        mask: Masks (..., H, W) in [0, 1].
        minimum: a, least area as a fraction of the image.
        maximum: b, largest free area as a fraction of the image; at least `minimum`.

    Returns:
        Loss (...), at least 0; lower is better.

    Raises:
        ValueError: The bounds do not satisfy 0 <= minimum <= maximum <= 1.

    Example:
        >>> round(bounding_measure(torch.zeros(10, 10), 0.05, 0.3).item(), 4)
        0.05
    """
    if not 0 <= minimum <= maximum <= 1:
        raise ValueError(f"area bounds must satisfy 0 <= minimum <= maximum <= 1, got {minimum} and {maximum}")
    values = mask.flatten(-2)
    count = values.shape[-1]
    least = int(count * minimum)
    most = int(count * maximum)
    largest = values.topk(most, sorted=False).values
    # the least largest values are among the most largest ones: the second selection looks there only
    top = largest.topk(least, sorted=False).values
    lacking = least - top.sum(-1)
    total = values.sum(-1)
    free = largest.sum(-1)
    return (lacking + total - free) / count


def total_variation(mask: Tensor, power: int = 1) -> Tensor:
    r"""Compute the anisotropic total variation.

    .. math:: \mathcal{TV}(x) = \frac{1}{Z} \sum_{i,j} |x[i,j] - x[i+1,j]|^p + |x[i,j] - x[i,j+1]|^p \quad (7)

    At the border the neighbour is the reflected one, so the last difference of a row or column counts twice.

    Args:
        mask: Masks (..., H, W) in [0, 1].
        power: p; 1 in the Explainer paper, 2 in RTIS.

    Returns:
        Total variation (...), at least 0; lower is smoother.

    Example:
        >>> total_variation(torch.tensor([[0.0, 0.0, 1.0, 1.0]])).item()
        0.25
    """
    image = (-2, -1)
    down = mask.diff(dim=-2).abs().pow(power)
    right = mask.diff(dim=-1).abs().pow(power)
    total = down.sum(image) + right.sum(image)
    # the reflection at the border: the last difference once more
    last_row = down[..., -1:, :].sum(image)
    last_column = right[..., -1:].sum(image)
    total = total + last_row + last_column
    height, width = mask.shape[-2:]
    return total / (height * width)


def select_present(masks: Tensor, labels: Tensor) -> Tensor:
    """Select the masks of the classes present; like boolean indexing, but its gradient is a plain addition of rows.

    Args:
        masks: Class masks (B, C, H, W).
        labels: Labels (B, C), multi-hot with N ones.

    Returns:
        Masks (N, H, W), in row order.

    Example:
        >>> select_present(torch.rand(2, 3, 4, 4), torch.eye(3)[:2]).shape
        torch.Size([2, 4, 4])
    """
    rows = labels.flatten().nonzero()[:, 0]
    all_masks = masks.flatten(0, 1)
    return all_masks.index_select(0, rows)


def present_probabilities(logits: Tensor, labels: Tensor, multilabel: bool) -> Tensor:
    """Return the probabilities of the classes present.

    Args:
        logits: Logits (B, C).
        labels: Labels (B, C), multi-hot with N ones.
        multilabel: Whether each logit goes into a sigmoid; else all go into a softmax, or a single one into a sigmoid.

    Returns:
        Probabilities (N,) in [0, 1], in row order, as `over_present` takes them.

    Example:
        >>> present_probabilities(torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 1]]), False).tolist()
        [0.25, 0.25]
    """
    sigmoids = multilabel or logits.shape[1] == 1
    probabilities = logits.sigmoid() if sigmoids else logits.softmax(1)
    return probabilities[labels > 0]


def over_present(values: Tensor, labels: Tensor, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    r"""Combine one value a present class into one value an image.

    .. math:: \frac{\sum_c [c \in \mathcal{Y}] v_c}{\sum_c [c \in \mathcal{Y}]} \quad (6)

    Args:
        values: Value for each 1 in `labels`, (N,), in row order (as boolean indexing gives them).
        labels: Labels (B, C), multi-hot with N ones.
        reduction: Way to combine: "mean" as in the paper, or "sum" as in the published code.

    Returns:
        Values (B,); 0 for an image without label.

    Example:
        >>> over_present(torch.tensor([1.0, 3.0]), torch.tensor([[1.0, 1.0], [0.0, 0.0]])).tolist()
        [2.0, 0.0]
    """
    present = labels > 0
    counts = present.sum(1)
    owner = present.nonzero()[:, 0]
    empty = values.new_zeros(len(labels))
    summed = empty.index_add(0, owner, values)
    if reduction == "sum":
        return summed
    # an image without a label has the sum 0: over 1, and not over 0, its mean is 0 too
    return summed / counts.clamp_min(1)

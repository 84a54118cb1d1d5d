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
    """Return logits over which a softmax means something: of a single logit the one of its other outcome joins, 0.

    Args:
        logits: (B, C).

    Returns:
        (B, C), the same, for C > 1; (B, 2) for C = 1, whose softmax is the sigmoid and what it lacks to 1.

    Example:
        >>> two_outcomes(torch.zeros(1, 1)).softmax(1).tolist(), two_outcomes(torch.zeros(1, 3)).shape[1]
        ([[0.5, 0.5]], 3)
    """
    return torch.cat([logits, torch.zeros_like(logits)], 1) if logits.shape[1] == 1 else logits


def multilabel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Binary cross-entropy over the classes.

    .. math:: \mathcal{L}_c = -\frac{1}{C} \sum_c [c \in \mathcal{Y}] \log p_c + [c \notin \mathcal{Y}] \log(1 - p_c)
        \quad (2)

    Args:
        logits: (B, C) of the explanandum on the masked image.
        labels: (B, C) multi-hot.

    Returns:
        (B,), at least 0; lower is better.

    Example:
        >>> round(multilabel_cross_entropy(torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 0]])).item(), 4)
        0.6931
    """
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)


def single_label_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Cross-entropy for classifiers with one class an image, which the paper leaves out.

    .. math:: -\sum_c [c \in \mathcal{Y}] \log \operatorname{softmax}(z)_c

    Args:
        logits: (B, C).
        labels: (B, C) one-hot; a row of zeros (no label) costs nothing, except for C = 1, where it is the other
            outcome, and the loss is the binary cross-entropy.

    Returns:
        (B,), at least 0; lower is better.

    Example:
        >>> round(single_label_cross_entropy(torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 0]])).item(), 4)
        1.3863
    """
    if logits.shape[1] == 1:
        return multilabel_cross_entropy(logits, labels)
    return -(labels * logits.log_softmax(1)).sum(1)


def negative_entropy(logits: Tensor) -> Tensor:
    r"""Negative entropy of the class probabilities on the complement image.

    .. math:: \mathcal{L}_e = \frac{1}{C} \sum_c \tilde{p}_c \log \tilde{p}_c \quad (3)

    Args:
        logits: (B, C) of the explanandum on the complement image; softmax is taken here, over the two outcomes when
            C = 1.

    Returns:
        (B,), between -log(C) / C (uniform: nothing left to see; of two outcomes C is 2) and 0; lower is better.

    Example:
        >>> round(negative_entropy(torch.zeros(1, 4)).item(), 4)
        -0.3466
    """
    probabilities = two_outcomes(logits).softmax(1)
    return (probabilities * probabilities.clamp_min(1e-16).log()).mean(1)


def area(mask: Tensor) -> Tensor:
    r"""Mean of the mask.

    .. math:: \mathcal{A}(m) = \frac{1}{Z} \sum_{i,j} m[i, j]

    Args:
        mask: (..., H, W) in [0, 1].

    Returns:
        (...), in [0, 1].

    Example:
        >>> area(torch.eye(2)).item()
        0.5
    """
    return mask.mean((-2, -1))


def bounding_measure(mask: Tensor, minimum: float = 0.05, maximum: float = 0.3) -> Tensor:
    r"""How far a class mask is from covering at least `minimum` and at most `maximum` of the image.

    .. math:: \mathcal{B}(s) = \frac{1}{Z} \sum_i \max(q_{min}[i] - q_{mask}[i], 0)
        + \frac{1}{Z} \sum_i \max(q_{mask}[i] - q_{max}[i], 0) \quad (4, 5)

    With :math:`q_{mask}` the sorted values, the first sum is what the floor(Za) largest values lack to 1, the second
    all that lies outside the floor(Zb) largest. Both need the *sums* of the largest values, not their order, so two
    selections replace the sort.

    Args:
        mask: (..., H, W) in [0, 1].
        minimum: a, the least area, as a fraction of the image.
        maximum: b, the largest free area, as a fraction of the image; above `minimum`.

    Returns:
        (...), at least 0; lower is better.

    Raises:
        ValueError: Unless 0 <= minimum <= maximum <= 1.

    Example:
        >>> round(bounding_measure(torch.zeros(10, 10), 0.05, 0.3).item(), 4)
        0.05
    """
    if not 0 <= minimum <= maximum <= 1:
        raise ValueError(f"area bounds must satisfy 0 <= minimum <= maximum <= 1, got {minimum} and {maximum}")
    values = mask.flatten(-2)
    count = values.shape[-1]
    least, most = int(count * minimum), int(count * maximum)
    largest = values.topk(most, sorted=False).values
    lacking = least - largest.topk(least, sorted=False).values.sum(-1)
    return (lacking + values.sum(-1) - largest.sum(-1)) / count


def total_variation(mask: Tensor, power: int = 1) -> Tensor:
    r"""Anisotropic total variation.

    .. math:: \mathcal{TV}(x) = \frac{1}{Z} \sum_{i,j} |x[i,j] - x[i+1,j]|^p + |x[i,j] - x[i,j+1]|^p \quad (7)

    At the border the neighbour is the reflected one, so the last difference of a row or column counts twice.

    Args:
        mask: (..., H, W) in [0, 1].
        power: p; 1 in the Explainer paper, 2 in RTIS.

    Returns:
        (...), at least 0; lower is smoother.

    Example:
        >>> total_variation(torch.tensor([[0.0, 0.0, 1.0, 1.0]])).item()
        0.25
    """
    down = mask.diff(dim=-2).abs().pow(power)
    right = mask.diff(dim=-1).abs().pow(power)
    total = down.sum((-2, -1)) + right.sum((-2, -1))
    total = total + down[..., -1:, :].sum((-2, -1)) + right[..., -1:].sum((-2, -1))
    return total / (mask.shape[-2] * mask.shape[-1])


def select_present(masks: Tensor, labels: Tensor) -> Tensor:
    """The masks of the classes present; like boolean indexing, but its gradient is a plain addition of rows.

    Args:
        masks: (B, C, H, W).
        labels: (B, C) multi-hot with N ones.

    Returns:
        (N, H, W), in row order.

    Example:
        >>> select_present(torch.rand(2, 3, 4, 4), torch.eye(3)[:2]).shape
        torch.Size([2, 4, 4])
    """
    return masks.flatten(0, 1).index_select(0, labels.flatten().nonzero()[:, 0])


def over_present(values: Tensor, labels: Tensor, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    r"""Combine one value a present class into one value an image.

    .. math:: \frac{\sum_c [c \in \mathcal{Y}] v_c}{\sum_c [c \in \mathcal{Y}]} \quad (6)

    Args:
        values: (N,), a value for each 1 in `labels`, in row order (as boolean indexing gives them).
        labels: (B, C) multi-hot with N ones.
        reduction: "mean" as in the paper, or "sum" as in the published code.

    Returns:
        (B,); 0 for an image without label.

    Example:
        >>> over_present(torch.tensor([1.0, 3.0]), torch.tensor([[1.0, 1.0], [0.0, 0.0]])).tolist()
        [2.0, 0.0]
    """
    present = labels > 0
    counts = present.sum(1)
    summed = values.new_zeros(len(labels)).index_add(0, present.nonzero()[:, 0], values)
    return summed if reduction == "sum" else summed / counts.clamp_min(1)

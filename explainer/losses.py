r"""Loss terms of the Explainer and of RTIS, each a pure function of one equation, and the two objectives.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (Eq. 1-8). P. Dabkowski, Y. Gal: Real Time Image Saliency for Black Box Classifiers,
NeurIPS 2017, as adapted to several classes by Stalder et al.

Departures from the text, all of them from the published code: the area term has three weights instead of one; the
entropy takes the softmax of the complement's logits also for multi-label classifiers; the last row and column of the
total variation see their reflection. An image without any label has the empty target mask and no bound.
"""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


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
        labels: (B, C) one-hot; a row of zeros (no label) costs nothing.

    Returns:
        (B,), at least 0; lower is better.

    Example:
        >>> round(single_label_cross_entropy(torch.zeros(1, 4), torch.tensor([[1.0, 0, 0, 0]])).item(), 4)
        1.3863
    """
    return -(labels * logits.log_softmax(1)).sum(1)


def negative_entropy(logits: Tensor) -> Tensor:
    r"""Negative entropy of the class probabilities on the complement image.

    .. math:: \mathcal{L}_e = \frac{1}{C} \sum_c \tilde{p}_c \log \tilde{p}_c \quad (3)

    Args:
        logits: (B, C) of the explanandum on the complement image; softmax is taken here.

    Returns:
        (B,), between -log(C) / C (uniform: nothing left to see) and 0; lower is better.

    Example:
        >>> round(negative_entropy(torch.zeros(1, 4)).item(), 4)
        -0.3466
    """
    probabilities = logits.softmax(1)
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


class View(NamedTuple):
    """All that an objective may look at, for one batch.

    Attributes:
        mask_logits: (B, K, H, W) before the sigmoid.
        target: (B, 1, H, W) target mask in [0, 1].
        non_target: (B, 1, H, W) non-target mask in [0, 1].
        kept: (B, K) logits of the explanandum on the image seen through the target mask.
        removed: (B, K) logits on the image seen through its complement.
        labels: (B, K) multi-hot.
        multilabel: Whether the explanandum ends in sigmoids (else softmax).
    """

    mask_logits: Tensor
    target: Tensor
    non_target: Tensor
    kept: Tensor
    removed: Tensor
    labels: Tensor
    multilabel: bool


class Objective(ABC):
    """A weighted sum of named terms; `weights` has one entry a term."""

    weights: dict[str, float]

    @abstractmethod
    def terms(self, view: View) -> dict[str, Tensor]:
        """Unweighted terms, each a scalar: the mean over the batch."""

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The loss: the sum of the weighted terms."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()


class ExplainerObjective(Objective):
    r"""Loss of the Explainer.

    .. math:: \mathcal{L}_E = \mathcal{L}_c + \lambda_e \mathcal{L}_e + \lambda_a \mathcal{L}_a
        + \lambda_{tv} \mathcal{L}_{tv} \quad (1)

    with Eq. 6 split into its three parts, each with a weight of its own.

    Args:
        classification: Weight of Eq. 2.
        entropy: Weight of Eq. 3.
        bound: Weight of the area bounds of the present classes' masks, Eq. 5.
        target_area: Weight of the target mask's area.
        non_target_area: Weight of the non-target mask's area.
        tv: Weight of Eq. 8.
        min_area: a of Eq. 4.
        max_area: b of Eq. 4.
        bound_reduction: "mean" over the classes present (the paper) or "sum" (the published code).
    """

    def __init__(
        self, classification: float = 1.0, entropy: float = 1.0, bound: float = 1.0, target_area: float = 0.1,
        non_target_area: float = 0.3, tv: float = 1.0, min_area: float = 0.05, max_area: float = 0.3,
        bound_reduction: Literal["mean", "sum"] = "mean",
    ) -> None:  # fmt: skip
        self.weights = {
            "classification": classification, "entropy": entropy, "bound": bound, "target_area": target_area,
            "non_target_area": non_target_area, "tv": tv,
        }  # fmt: skip
        self.min_area, self.max_area, self.bound_reduction = min_area, max_area, bound_reduction

    def terms(self, view: View) -> dict[str, Tensor]:
        """Eq. 2, 3, 5, the two areas of Eq. 6, and 8."""
        cross_entropy = multilabel_cross_entropy if view.multilabel else single_label_cross_entropy
        present = view.mask_logits[view.labels > 0].sigmoid()
        bounds = bounding_measure(present, self.min_area, self.max_area)
        return {
            "classification": cross_entropy(view.kept, view.labels).mean(),
            "entropy": negative_entropy(view.removed).mean(),
            "bound": over_present(bounds, view.labels, self.bound_reduction).mean(),
            "target_area": area(view.target).mean(),
            "non_target_area": area(view.non_target).mean(),
            "tv": (total_variation(view.target) + total_variation(view.non_target)).mean(),
        }


class RTISObjective(Objective):
    r"""Loss of Real Time Image Saliency on the Explainer's masker, as Stalder et al. adapted it.

    .. math:: \lambda_1 TV_2(m) + \lambda_2 \mathcal{A}(m) - \overline{\log \sigma(F(x \odot m))}
        + \lambda_3 \overline{\sigma(F(x \odot \tilde m))}^{\lambda_4}

    The bars are means over the classes present; there is no non-target term and no bound.

    Args:
        tv: Weight of the mean of squared differences.
        area: Weight of the mask's mean.
        preservation: Weight of the logarithm on the masked image.
        deletion: Weight of the probability on the complement.
        exponent: Of the probability on the complement.
    """

    def __init__(
        self, tv: float = 10.0, area: float = 1.0, preservation: float = 1.0, deletion: float = 5.0,
        exponent: float = 0.3,
    ) -> None:  # fmt: skip
        self.weights = {"tv": tv, "area": area, "preservation": preservation, "deletion": deletion}
        self.exponent = exponent

    def terms(self, view: View) -> dict[str, Tensor]:
        """The four terms; an image without label has neither of the last two."""
        present = view.labels > 0
        log_kept = F.logsigmoid(view.kept) if view.multilabel else view.kept.log_softmax(1)
        removed = view.removed.sigmoid() if view.multilabel else view.removed.softmax(1)
        left = over_present(removed[present], view.labels)
        left = left.clamp_min(1e-8).pow(self.exponent) * present.any(1)  # the power has no finite slope at 0
        return {
            "tv": total_variation(view.target, power=2).mean(),
            "area": area(view.target).mean(),
            "preservation": -over_present(log_kept[present], view.labels).mean(),
            "deletion": left.mean(),
        }

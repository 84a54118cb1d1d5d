"""What an Explainer is trained for: weighted sums of loss terms. The two classes here are the choices in YAML.

The Explainer's own loss (S. Stalder et al., NeurIPS 2022, Eq. 1) and that of Real Time Image Saliency (P. Dabkowski,
Y. Gal, NeurIPS 2017) as Stalder et al. adapted it.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError, check_range
from explainer.functional.losses import (
    area,
    bounding_measure,
    multilabel_cross_entropy,
    negative_entropy,
    over_present,
    present_probabilities,
    select_present,
    single_label_cross_entropy,
    total_variation,
)


class View(NamedTuple):
    """Masks of a batch, and what the explanandum says of it: all that an objective may look at.

    Attributes:
        mask_logits: Mask logits (B, K, H, W); (B, 1, H, W) of the one label for objectives of the target alone.
        target: Target mask (B, 1, H, W) in [0, 1].
        non_target: Non-target mask (B, 1, H, W) in [0, 1]; None for objectives of the target alone.
        through_mask: Logits (B, K) of the explanandum on the image seen through the target mask.
        through_complement: Logits (B, K) of the explanandum on the image seen through the complement.
        labels: Labels (B, K), multi-hot.
        multilabel: Whether the explanandum ends in sigmoids; else in a softmax, or with one class in a sigmoid.
        through_share: Logits (B, K) on the share of the image that the target mask ranks first; None where the
            objective does not rank.
        through_rest: Logits (B, K) on the image without that share; None where the objective does not rank.
    """

    mask_logits: Tensor
    target: Tensor
    non_target: Tensor | None
    through_mask: Tensor
    through_complement: Tensor
    labels: Tensor
    multilabel: bool
    through_share: Tensor | None = None
    through_rest: Tensor | None = None


class Objective(ABC):
    """A weighted sum of named terms; `weights` has one entry a term."""

    weights: dict[str, float]
    relative_to: str
    """Term to which the weights of the others are relative: a search leaves its weight as it is."""
    target_only = False
    """Whether the objective needs nothing but the target mask and what the explanandum says of it."""
    ranks = False
    """Whether the objective asks for the share of the image that the target mask ranks first, and for the rest."""
    temperature = 0.3
    """Width of that share's border in standard deviations of the mask's logits."""

    @abstractmethod
    def terms(self, view: View) -> dict[str, Tensor]:
        """Return the unweighted terms, each a scalar: the mean over the batch."""

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the loss: the sum of the weighted terms."""
        weighted = [self.weights[name] * term for name, term in terms.items()]
        return torch.stack(weighted).sum()


def check_weights(name: str, weights: dict[str, float]) -> None:
    """Refuse weights under which a term would be rewarded for what it is there to prevent.

    Args:
        name: Name of the objective.
        weights: Weight of each term, name → weight.

    Raises:
        InputError: A weight is negative, infinite or no number; names it.

    Example:
        >>> check_weights("ExplainerObjective", {"tv": 1.0})
    """
    for key, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise InputError(f"{name}: {key} must be at least 0 and finite, got {weight}")


class ExplainerObjective(Objective):
    r"""The loss of the Explainer.

    .. math:: \mathcal{L}_E = \mathcal{L}_c + \lambda_e \mathcal{L}_e + \lambda_a \mathcal{L}_a
        + \lambda_{tv} \mathcal{L}_{tv} \quad (1)

    with Eq. 6 split into its three parts, each with a weight of its own. Two further terms, which the paper does not
    have, make the mask a faithful ranking: over shares of the image from 0 to 1, the class is to be seen in the share
    that the mask ranks first, and not in the rest. Their means are what insertion lacks to 1, and deletion.

    Args:
        classification: Weight of Eq. 2.
        entropy: Weight of Eq. 3.
        bound: Weight of the area bounds of the present classes' masks, Eq. 5.
        target_area: Weight of the target mask's area.
        non_target_area: Weight of the non-target mask's area.
        tv: Weight of Eq. 8.
        min_area: Lower bound a of Eq. 4, a share of the image in [0, 1].
        max_area: Upper bound b of Eq. 4, a share of the image in [0, 1].
        bound_reduction: Reduction over the classes present: "mean" (the paper) or "sum" (the published code).
        insertion: Weight of what the classes' probability lacks to 1 on the share that the mask ranks first.
        deletion: Weight of the classes' probability on the image without that share.
        temperature: Width of the share's border, in standard deviations of the mask's logits.

    Raises:
        InputError: A weight is negative, the bounds are not in order in [0, 1], or the temperature is not positive.
    """

    relative_to = "classification"

    def __init__(
        self,
        classification: float = 1.0,
        entropy: float = 1.0,
        bound: float = 1.0,
        target_area: float = 0.1,
        non_target_area: float = 0.3,
        tv: float = 1.0,
        min_area: float = 0.05,
        max_area: float = 0.3,
        bound_reduction: Literal["mean", "sum"] = "mean",
        insertion: float = 0.0,
        deletion: float = 0.0,
        temperature: float = 0.3,
    ) -> None:
        self.weights = {
            "classification": classification,
            "entropy": entropy,
            "bound": bound,
            "target_area": target_area,
            "non_target_area": non_target_area,
            "tv": tv,
        }
        ranking = {"insertion": insertion, "deletion": deletion}
        check_weights("ExplainerObjective", self.weights | ranking)
        check_range("ExplainerObjective: temperature", temperature, 0, above=True)
        # without weight they are no terms: each costs a pass of the explanandum
        self.ranks = insertion > 0 or deletion > 0
        if self.ranks:
            self.weights |= ranking
        self.temperature = temperature
        if not 0 <= min_area <= max_area <= 1:
            raise InputError(
                f"ExplainerObjective: 0 <= min_area <= max_area <= 1 must hold, got {min_area} and {max_area}"
            )
        self.min_area = min_area
        self.max_area = max_area
        self.bound_reduction = bound_reduction

    def terms(self, view: View) -> dict[str, Tensor]:
        """Return Eq. 2, 3, 5, the two areas of Eq. 6, and 8; and insertion and deletion where they have a weight."""
        cross_entropy = multilabel_cross_entropy if view.multilabel else single_label_cross_entropy
        assert view.non_target is not None
        # each class's mask apart, not their maximum: one large mask must not stand in for all classes
        present = select_present(view.mask_logits, view.labels).sigmoid()
        bounds = bounding_measure(present, self.min_area, self.max_area)
        # the order of the terms is that in which gradients are added up, and so decides their last bits
        terms = {
            "classification": cross_entropy(view.through_mask, view.labels).mean(),
            "entropy": negative_entropy(view.through_complement).mean(),
            "bound": over_present(bounds, view.labels, self.bound_reduction).mean(),
            "target_area": area(view.target).mean(),
            "non_target_area": area(view.non_target).mean(),
            "tv": (total_variation(view.target) + total_variation(view.non_target)).mean(),
        }
        if not self.ranks:
            return terms
        assert view.through_share is not None
        assert view.through_rest is not None
        shown = present_probabilities(view.through_share, view.labels, view.multilabel)
        left_over = present_probabilities(view.through_rest, view.labels, view.multilabel)
        terms["insertion"] = over_present(1 - shown, view.labels).mean()
        terms["deletion"] = over_present(left_over, view.labels).mean()
        return terms


class RTISObjective(Objective):
    r"""The loss of Real Time Image Saliency on the Explainer's masker, as Stalder et al. adapted it.

    .. math:: \lambda_1 TV_2(m) + \lambda_2 \mathcal{A}(m) - \overline{\log \sigma(F(x \odot m))}
        + \lambda_3 \overline{\sigma(F(x \odot \tilde m))}^{\lambda_4}

    The bars are means over the classes present in the batch, as in the published code, or in each image; there is no
    non-target term and no bound.

    Args:
        tv: Weight of the mean of squared differences.
        area: Weight of the mask's mean.
        preservation: Weight of the logarithm on the masked image.
        deletion: Weight of the probability on the complement.
        exponent: Exponent of the probability on the complement.
        mean_over: Extent of a bar: one mean over all classes present in the "batch", with one power, or a mean for each
            "image", with a power for each.

    Raises:
        InputError: A weight is negative.
    """

    relative_to = "preservation"
    target_only = True

    def __init__(
        self,
        tv: float = 10.0,
        area: float = 1.0,
        preservation: float = 1.0,
        deletion: float = 5.0,
        exponent: float = 0.3,
        mean_over: Literal["batch", "image"] = "batch",
    ) -> None:
        self.weights = {"tv": tv, "area": area, "preservation": preservation, "deletion": deletion}
        check_weights("RTISObjective", self.weights | {"exponent": exponent})
        self.exponent = exponent
        self.mean_over = mean_over

    def terms(self, view: View) -> dict[str, Tensor]:
        """Return the four terms; the last two leave images without label out."""
        present = view.labels > 0
        # a softmax of one logit is 1 whatever the logit is: one class is scored by its sigmoid
        if view.multilabel or view.through_mask.shape[1] == 1:
            log_preserved = F.logsigmoid(view.through_mask)
            left_over = view.through_complement.sigmoid()
        else:
            log_preserved = view.through_mask.log_softmax(1)
            left_over = view.through_complement.softmax(1)
        # the order of the terms is that in which gradients are added up, and so decides their last bits
        return {
            "tv": total_variation(view.target, power=2).mean(),
            "area": area(view.target).mean(),
            "preservation": -self._mean(log_preserved[present], view.labels).mean(),
            # the mean first, then the power, as in the published code: the other order gives another loss
            "deletion": self._power(self._mean(left_over[present], view.labels), view.labels).mean(),
        }

    def _mean(self, values: Tensor, labels: Tensor) -> Tensor:
        """Average the present classes' values: one number (1,), or one an image (B,); 0 where there is none."""
        if self.mean_over == "image":
            return over_present(values, labels)
        return values.sum(0, keepdim=True) / max(len(values), 1)

    def _power(self, mean: Tensor, labels: Tensor) -> Tensor:
        """Raise a mean to the exponent; 0 where no class is present."""
        present = labels.any(1)
        if self.mean_over == "batch":
            present = labels.any()
        return mean.clamp_min(1e-8).pow(self.exponent) * present  # at 0 the slope of a power below 1 is infinite

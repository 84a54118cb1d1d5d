"""The saliency metric (P. Dabkowski, Y. Gal, NeurIPS 2017; for several classes S. Stalder et al., NeurIPS 2022)."""

import torch
from torch import Tensor

from explainer.functional.losses import two_outcomes
from explainer.metrics.base import MeanOverImages


def saliency_metric(mask: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    r"""Score a mask: a small one that keeps the classifier's confidence scores low.

    .. math:: \log(\max(\mathcal{A}(m), 0.05)) - \log \sum_{c \in \mathcal{Y}} p_c \quad (9)

    Args:
        mask: Masks (B, 1, H, W) in [0, 1].
        logits: Logits (B, K) of the explanandum on the masked image. The probabilities are their softmax, for
            multi-label classifiers too; for one class they are the sigmoid.
        labels: Labels (B, K), multi-hot; a class counts once, however many objects it has.

    Returns:
        Score (B,), natural logarithm; lower is better; NaN for an image without label.

    Example:
        >>> round(saliency_metric(torch.ones(1, 1, 2, 2), torch.zeros(1, 4), torch.eye(4)[:1]).item(), 4)
        1.3863
    """
    log_area = mask.mean((1, 2, 3)).clamp_min(0.05).log()
    log_probabilities = two_outcomes(logits).log_softmax(1)[:, : labels.shape[1]]
    # the sum of the present classes' probabilities, in logarithms: small ones do not vanish
    log_confidence = log_probabilities.masked_fill(labels == 0, -torch.inf).logsumexp(1)
    return (log_area - log_confidence).masked_fill(labels.sum(1) == 0, torch.nan)


class SaliencyMetric(MeanOverImages):
    """Mean of `saliency_metric` over images."""

    higher_is_better = False
    paper = "P. Dabkowski, Y. Gal, NeurIPS 2017; S. Stalder et al., NeurIPS 2022"
    formula = r"\log \max(\frac{1}{Z} \sum m, 0.05) - \log \sum_{c \in Y} p_c(m x + (1 - m) \bar x)"
    range = "[log 0.05, ∞)"

    def update(self, mask: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add masks (B, 1, H, W) with logits of the masked images (B, K) and labels (B, K)."""
        self.add(saliency_metric(mask, logits, labels))

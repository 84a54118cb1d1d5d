"""The saliency metric (P. Dabkowski, Y. Gal, NeurIPS 2017; for several classes S. Stalder et al., NeurIPS 2022)."""

import torch
from torch import Tensor

from explainer.functional.losses import two_outcomes
from explainer.functional.masking import composite
from explainer.metrics.base import ImageMetric, Judged, Measured


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
    log_probabilities = two_outcomes(logits).log_softmax(1)
    # a single class's other outcome is no class, and has no label
    log_probabilities = log_probabilities[:, : labels.shape[1]]
    # the sum of the present classes' probabilities, in logarithms: small ones do not vanish
    log_of_present = log_probabilities.masked_fill(labels == 0, -torch.inf)
    log_confidence = log_of_present.logsumexp(1)
    score = log_area - log_confidence
    unlabelled = labels.sum(1) == 0
    return score.masked_fill(unlabelled, torch.nan)


class SaliencyMetric(ImageMetric):
    """Mean of `saliency_metric` over images, whose complement is filled with the mean colour."""

    label = "Sal"
    higher_is_better = False
    paper = "P. Dabkowski, Y. Gal, NeurIPS 2017; S. Stalder et al., NeurIPS 2022"
    meaning = "Small masks under which the classifier still sees the class."
    formula = r"\log \max(\frac{1}{Z} \sum m, 0.05) - \log \sum_{c \in Y} p_c(m x + (1 - m) \bar x)"
    range = "[log 0.05, ∞)"

    @torch.no_grad()
    def measure(self, judged: Judged) -> Measured:
        """Compute the score of what the masks show."""
        judged = judged.clean
        logits = judged.masked_logits
        if logits is None:
            logits = judged.logits(composite(judged.image, judged.mask, judged.mean_colour))
        return Measured(saliency_metric(judged.mask, logits, judged.labels))

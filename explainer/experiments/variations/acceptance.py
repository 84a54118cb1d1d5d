r"""Which variations are alternate explanations, and how they differ from the image and from one another.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (sections
III-B and IV-F, Figures 5 to 8). The paper accepts those "for which the model prediction remains unaltered": of a
softmax the most probable class; of sigmoids here the class that the box was made for, present from a probability of 0.5
on, or, stricter, all the classes present.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from explainer.networks import Explanandum

PRESENT = 0.5
"""Probability from which a multi-label classifier says that a class is there."""
Unchanged = Literal["class", "labels"]


def explained_class(probabilities: Tensor, multilabel: bool | None) -> int | None:
    """The class whose evidence is varied: the most probable one.

    Args:
        probabilities: (K,) of the original image.
        multilabel: Whether they are sigmoids.

    Returns:
        Its index; None when a multi-label classifier finds no class present.

    Example:
        >>> explained_class(torch.tensor([0.2, 0.4]), True), explained_class(torch.tensor([0.2, 0.4]), False)
        (None, 1)
    """
    best = int(probabilities.argmax())
    return None if multilabel and probabilities[best] < PRESENT else best


def accepted(before: Tensor, after: Tensor, target: int, multilabel: bool | None, same: Unchanged = "class") -> Tensor:
    """Whether the classifier still decides so.

    Args:
        before: (K,) probabilities of the original.
        after: (N, K) of its variations.
        target: The class explained.
        multilabel: Whether they are sigmoids; of a softmax the target must be the most probable class.
        same: Of sigmoids: "class", the target is still present, or "labels", all classes present are the same.

    Returns:
        (N,) bool.

    Example:
        >>> after = torch.tensor([[0.9, 0.1], [0.9, 0.6], [0.4, 0.1]])
        >>> accepted(torch.tensor([0.8, 0.3]), after, 0, True, "labels").tolist()
        [True, False, False]
    """
    if not multilabel:
        return after.argmax(1) == target
    if same == "class":
        return after[:, target] >= PRESENT
    return ((after >= PRESENT) == (before >= PRESENT)).all(1)


def t_score(before: Tensor, after: Tensor) -> Tensor:
    r"""How far apart two sets of pixel values are: Welch's t, without its sign.

    .. math:: t = \frac{|\bar a - \bar b|}{\sqrt{s_a^2 / n + s_b^2 / n}}

    with sample variances. The paper names no formula. It grows with the root of the number of pixels: compare boxes of
    one size.

    Args:
        before: (n,) values of the original's box, all channels.
        after: (N, n) of its variations.

    Returns:
        (N,), at least 0, higher: they differ more; infinite between two different constants.

    Example:
        >>> t_score(torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 1.0], [1.0, 2.0]])).square().round().tolist()
        [0.0, 2.0]
    """
    a, b = before.double(), after.double()
    gap = (b.mean(1) - a.mean()).abs()
    variance = (b - b.mean(1, keepdim=True)).square().sum(1) / (len(a) - 1)  # var() warns of no variations
    error = ((a.var() + variance) / len(a)).sqrt()
    return torch.where(gap > 0, gap / error, 0.0).to(after.dtype)


def feature_diversity(features: Tensor) -> float | None:
    r"""Mean cosine distance between pairs of variations, as the classifier sees them.

    .. math:: \frac{2}{n (n - 1)} \sum_{i < j} \Big(1 - \frac{\phi_i \cdot \phi_j}{|\phi_i| |\phi_j|}\Big)

    Args:
        features: (n, F), what the classifier's last layer is given.

    Returns:
        In [0, 2], higher: more diverse; None for fewer than two.

    Example:
        >>> feature_diversity(torch.eye(3))
        1.0
    """
    if len(features) < 2:
        return None
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    i, j = torch.triu_indices(len(unit), len(unit), 1, device=unit.device)
    return float((1 - (unit @ unit.T)[i, j]).mean())


def pixel_diversity(pixels: Tensor) -> float | None:
    r"""Mean absolute difference of pixels between pairs of variations.

    .. math:: \frac{2}{n (n - 1)} \sum_{i < j} \overline{|x_i - x_j|}

    Args:
        pixels: (n, P) values in the box.

    Returns:
        In [0, 1] for images in [0, 1], higher: more diverse; None for fewer than two.

    Example:
        >>> pixel_diversity(torch.tensor([[0.0, 0.0], [1.0, 0.5]]))
        0.75
    """
    if len(pixels) < 2:
        return None
    return float(torch.pdist(pixels.double(), 1).mean() / pixels.shape[1])


class Seen(NamedTuple):
    """What a classifier says: probabilities (N, K), and features (N, F), its last layer's input."""

    probabilities: Tensor
    features: Tensor


@torch.no_grad()
def look(explanandum: Explanandum, images: Tensor, batch_size: int = 64) -> Seen:
    """Probabilities and pooled features, in one pass.

    Args:
        explanandum: The frozen classifier.
        images: (N, 3, H, W) in [0, 1].
        batch_size: At most so many at once.

    Returns:
        Both; features of a convolutional last layer are averaged over the image.
    """
    features: list[Tensor] = []

    def keep(module: object, inputs: tuple[Tensor, ...]) -> None:
        features.append(inputs[0].flatten(2).mean(2) if inputs[0].ndim == 4 else inputs[0].flatten(1))

    handle = explanandum.heads[0][1].register_forward_pre_hook(keep)
    try:
        logits = torch.cat([explanandum(some).float() for some in images.split(batch_size)])
    finally:
        handle.remove()
    return Seen(explanandum.probabilities(logits), torch.cat(features).float())


def summarise(
    original: Tensor,
    images: Tensor,
    box: tuple[int, int, int, int],
    seen: Seen,
    target: int,
    accept: Tensor,
    loss: Tensor,
) -> dict[str, Any]:
    """The numbers of one image's variations for one box.

    Args:
        original: (3, H, W) in [0, 1].
        images: (k, 3, H, W), its variations.
        box: x0, y0, x1, y1.
        seen: What the classifier says of the variations.
        target: The class explained.
        accept: (k,) bool.
        loss: (k,), NaN without a search.

    Returns:
        accuracy, in [0, 1], is the share accepted; score and deviation are mean and sample deviation of the class's
        probability over the accepted, score_of_all over all, best the highest; t_score is the mean over the accepted;
        diversity and pixel_diversity are those of the accepted; loss is the mean over all. None where not defined.
    """
    x0, y0, x1, y1 = box
    inside = images[..., y0:y1, x0:x1].flatten(1)
    scores = seen.probabilities[:, target]
    kept = scores[accept]
    scored = t_score(original[:, y0:y1, x0:x1].flatten(), inside[accept])
    return {
        "variations": len(images),
        "accepted": int(accept.sum()),
        "accuracy": float(accept.double().mean()),
        "score": mean(kept),
        "deviation": float(kept.std()) if len(kept) > 1 else None,
        "score_of_all": mean(scores),
        "best": float(scores.max()),
        "t_score": mean(scored),
        "diversity": feature_diversity(seen.features[accept]),
        "pixel_diversity": pixel_diversity(inside[accept]),
        "loss": mean(loss),
    }


def mean(values: Tensor) -> float | None:
    """Mean, or None of nothing or of what is not finite.

    Example:
        >>> mean(torch.tensor([1.0, 2.0])), mean(torch.tensor([]))
        (1.5, None)
    """
    value = float(values.double().mean()) if len(values) else torch.nan
    return value if torch.isfinite(torch.tensor(value)) else None

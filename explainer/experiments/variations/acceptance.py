r"""Which variations are alternate explanations, and how they differ from the image and from one another.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (sections
III-B and IV-F, Figures 5 to 8). The paper accepts those "for which the model prediction remains unaltered": of a
softmax the most probable class; of sigmoids here the class that the box was made for, present from a probability of 0.5
on, or, stricter, all the classes present.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from explainer.networks import Explanandum

PRESENT = 0.5
"""Probability from which a multi-label classifier says that a class is there."""
Unchanged = Literal["class", "labels"]


def explained_class(probabilities: Tensor, multilabel: bool | None) -> int | None:
    """Return the class whose evidence is varied: the most probable one.

    Args:
        probabilities: Probabilities of the original image, (K,) in [0, 1].
        multilabel: Whether the probabilities are sigmoids.

    Returns:
        The index of the class; None when a multi-label classifier says that no class is present.

    Example:
        >>> explained_class(torch.tensor([0.2, 0.4]), True), explained_class(torch.tensor([0.2, 0.4]), False)
        (None, 1)
    """
    best = int(probabilities.argmax())
    if multilabel and probabilities[best] < PRESENT:
        return None
    return best


def accepted(before: Tensor, after: Tensor, target: int, multilabel: bool | None, same: Unchanged = "class") -> Tensor:
    """Tell for which variations the classifier's decision stays.

    Args:
        before: Probabilities of the original image, (K,) in [0, 1].
        after: Probabilities of its variations, (N, K) in [0, 1].
        target: Index of the class explained.
        multilabel: Whether the probabilities are sigmoids. Of a softmax the target must be the most probable class.
        same: Part of a multi-label decision that must stay: "class", the target is still present, or "labels", the
            same classes are present.

    Returns:
        (N,) bool, True where the decision stays.

    Example:
        >>> after = torch.tensor([[0.9, 0.1], [0.9, 0.6], [0.4, 0.1]])
        >>> accepted(torch.tensor([0.8, 0.3]), after, 0, True, "labels").tolist()
        [True, False, False]
    """
    if not multilabel:
        return after.argmax(1) == target
    if same == "class":
        return after[:, target] >= PRESENT
    unchanged = (after >= PRESENT) == (before >= PRESENT)
    return unchanged.all(1)


def t_score(before: Tensor, after: Tensor) -> Tensor:
    r"""Measure how far apart two sets of pixel values are: Welch's t, without its sign.

    .. math:: t = \frac{|\bar a - \bar b|}{\sqrt{s_a^2 / n + s_b^2 / n}}

    with sample variances. The paper names no formula. The score grows with the root of the number of pixels: compare
    boxes of one size.

    Args:
        before: Pixel values in the original's box, (n,), of all channels.
        after: Pixel values in the boxes of its variations, (N, n).

    Returns:
        (N,), at least 0, higher where the values differ more; infinite between two different constants.

    Example:
        >>> t_score(torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 1.0], [1.0, 2.0]])).square().round().tolist()
        [0.0, 2.0]
    """
    a = before.double()
    b = after.double()
    gap = (b.mean(1) - a.mean()).abs()
    deviations = b - b.mean(1, keepdim=True)
    variance = deviations.square().sum(1) / (len(a) - 1)  # by hand, since var() warns where there are no variations
    error = ((a.var() + variance) / len(a)).sqrt()
    # two equal constants have gap 0 and error 0: they do not differ
    return torch.where(gap > 0, gap / error, 0.0).to(after.dtype)


def feature_diversity(features: Tensor) -> float | None:
    r"""Return the mean cosine distance between pairs of variations, as the classifier sees them.

    .. math:: \frac{2}{n (n - 1)} \sum_{i < j} \Big(1 - \frac{\phi_i \cdot \phi_j}{|\phi_i| |\phi_j|}\Big)

    Args:
        features: Input of the classifier's last layer, (n, F).

    Returns:
        A number in [0, 2], higher is more diverse; None for fewer than two variations.

    Example:
        >>> feature_diversity(torch.eye(3))
        1.0
    """
    if len(features) < 2:
        return None
    # in double precision: distances of nearly equal features are small differences of numbers close to 1
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    cosines = unit @ unit.T
    i, j = torch.triu_indices(len(unit), len(unit), 1, device=unit.device)
    distances = 1 - cosines[i, j]
    return float(distances.mean())


def pixel_diversity(pixels: Tensor) -> float | None:
    r"""Return the mean absolute difference of pixels between pairs of variations.

    .. math:: \frac{2}{n (n - 1)} \sum_{i < j} \overline{|x_i - x_j|}

    Args:
        pixels: Pixel values in the box, (n, P).

    Returns:
        A number in [0, 1] for images in [0, 1], higher is more diverse; None for fewer than two variations.

    Example:
        >>> pixel_diversity(torch.tensor([[0.0, 0.0], [1.0, 0.5]]))
        0.75
    """
    if len(pixels) < 2:
        return None
    distances = torch.pdist(pixels.double(), 1)
    return float(distances.mean() / pixels.shape[1])


class Seen(NamedTuple):
    """What a classifier says of images.

    Attributes:
        probabilities: Probabilities, (N, K) in [0, 1].
        features: Input of the last layer, (N, F).
    """

    probabilities: Tensor
    features: Tensor


@torch.no_grad()
def look(explanandum: Explanandum, images: Tensor, batch_size: int = 64) -> Seen:
    """Compute probabilities and pooled features in one pass.

    Args:
        explanandum: Frozen classifier.
        images: Images, (N, 3, H, W) in [0, 1].
        batch_size: Largest number of images at once.

    Returns:
        Both; the features of a convolutional last layer are averaged over the image.
    """
    features: list[Tensor] = []

    def keep(module: object, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0]
        if values.ndim == 4:
            features.append(values.flatten(2).mean(2))
        else:
            features.append(values.flatten(1))

    # a hook sees the features in the pass that gives the probabilities: a second pass would cost as much again
    _, head = explanandum.heads[0]
    handle = head.register_forward_pre_hook(keep)
    try:
        parts = [explanandum(part).float() for part in images.split(batch_size)]
    finally:
        handle.remove()
    logits = torch.cat(parts)
    return Seen(explanandum.probabilities(logits), torch.cat(features).float())


def summarise(
    original: Tensor,
    images: Tensor,
    box: tuple[int, int, int, int],
    seen: Seen,
    target: int,
    accept: Tensor,
    loss: Tensor,
) -> dict[str, object]:
    """Return the numbers of one image's variations for one box.

    Args:
        original: Image, (3, H, W) in [0, 1].
        images: Variations of the image, (k, 3, H, W) in [0, 1].
        box: Corners x0, y0, x1, y1 of the box.
        seen: Probabilities and features of the variations.
        target: Index of the class explained.
        accept: Whether each variation is accepted, (k,) bool.
        loss: Loss of each variation, (k,), NaN without a search.

    Returns:
        `accuracy`, in [0, 1], is the share accepted. `score` and `deviation` are the mean and the sample deviation of
        the class's probability over the accepted variations; `score_of_all` is its mean over all, `best` its highest.
        `t_score`, `diversity` and `pixel_diversity` are those of the accepted; `loss` is the mean over all. A number
        that is not defined is None.
    """
    x0, y0, x1, y1 = box
    before = original[:, y0:y1, x0:x1].flatten()
    inside = images[..., y0:y1, x0:x1].flatten(1)
    scores = seen.probabilities[:, target]
    accepted_scores = scores[accept]
    deviation = None
    if len(accepted_scores) > 1:
        deviation = float(accepted_scores.std())
    return {
        "variations": len(images),
        "accepted": int(accept.sum()),
        "accuracy": float(accept.double().mean()),
        "score": mean(accepted_scores),
        "deviation": deviation,
        "score_of_all": mean(scores),
        "best": float(scores.max()),
        "t_score": mean(t_score(before, inside[accept])),
        "diversity": feature_diversity(seen.features[accept]),
        "pixel_diversity": pixel_diversity(inside[accept]),
        "loss": mean(loss),
    }


def mean(values: Tensor) -> float | None:
    """Return the mean of values; None where there are none, or where it is not finite.

    Args:
        values: Numbers, (n,).

    Example:
        >>> mean(torch.tensor([1.0, 2.0])), mean(torch.tensor([]))
        (1.5, None)
    """
    if not len(values):
        return None
    value = float(values.double().mean())
    # JSON has no NaN and no infinity
    return value if math.isfinite(value) else None

"""Infidelity: whether a map tells how much the score falls when random squares are removed.

C.-K. Yeh, C.-Y. Hsieh, A. S. Suggala, D. I. Inouye, P. Ravikumar: On the (In)fidelity and Sensitivity of Explanations,
NeurIPS 2019 (Definition 2.1, with the square removal of section 3). There an explanation is signed and has a unit: a
change of the input times the explanation is a change of the score. A saliency map in [0, 1] has neither. So here a
pixel's saliency stands for its share of the fall when it is removed (what the paper has for an explanation that is
multiplied by the input), and the factor between the two units is the best one for the image. Evidence against the class
cannot be told in such a map: a square whose removal helps the class counts against it, whatever the map says.
"""

from typing import Literal

import torch
from torch import Tensor

from explainer.errors import InputError, check_range, check_seed
from explainer.metrics.base import Judged, Measured, OneLabelMetric, Score
from explainer.metrics.memory import Memory


def random_squares(
    count: int,
    size: tuple[int, int],
    smallest: float,
    largest: float,
    generator: torch.Generator,
) -> Tensor:
    """Draw squares of random side within an image.

    Args:
        count: Number of squares, S.
        size: H and W.
        smallest: Smallest side, as a share of the shorter side of the image.
        largest: Largest side, as a share of the shorter side of the image, at most 1.
        generator: Generator on the CPU.

    Returns:
        Squares (S, 1, H, W) bool, True within.

    Example:
        >>> squares = random_squares(3, (8, 8), 0.5, 0.5, torch.Generator().manual_seed(0))
        >>> squares.sum((1, 2, 3)).tolist()
        [16, 16, 16]
    """
    height, width = size
    draws = torch.rand(3, count, generator=generator)
    share = smallest + (largest - smallest) * draws[0]
    side = (share * min(size)).round().clamp_min(1)
    # + 1: a square may also begin at the last place where it fits
    top = (draws[1] * (height - side + 1)).floor()
    left = (draws[2] * (width - side + 1)).floor()
    row = torch.arange(height)
    column = torch.arange(width)
    bottom = top + side
    right = left + side
    below_top = row >= top[:, None]
    above_bottom = row < bottom[:, None]
    behind_left = column >= left[:, None]
    before_right = column < right[:, None]
    rows = below_top & above_bottom
    columns = behind_left & before_right
    squares = rows[:, :, None] & columns[:, None]
    return squares[:, None]


def infidelity(predicted: Tensor, fall: Tensor, scaled: bool = True) -> Tensor:
    r"""Compute the mean squared difference of what a map predicts and what happens.

    .. math:: \frac{1}{S} \sum_i (\beta\, a_i - d_i)^2, \quad \beta = \frac{\sum_i a_i d_i}{\sum_i a_i^2}

    Args:
        predicted: Falls that the map predicts, :math:`a`, (B, S).
        fall: Falls of the score, :math:`d`, (B, S).
        scaled: Whether the prediction is multiplied by the factor that fits best; else by 1.

    Returns:
        Infidelity (B,), at least 0; lower is better.

    Example:
        >>> fall = torch.tensor([[0.2, 0.4]])
        >>> infidelity(torch.tensor([[1.0, 2.0]]), fall).item(), round(infidelity(torch.zeros(1, 2), fall).item(), 3)
        (0.0, 0.1)
    """
    if scaled:
        smallest = torch.finfo(predicted.dtype).tiny
        agreement = (predicted * fall).sum(1, keepdim=True)
        squares = predicted.square().sum(1, keepdim=True)
        predicted = predicted * (agreement / squares.clamp_min(smallest))
    return (predicted - fall).square().mean(1)


class Infidelity(OneLabelMetric):
    """Mean of `infidelity` over the images with one label, with squares that an in-fill takes the place of.

    Args:
        samples: Number of squares.
        smallest: Smallest side of a square, as a share of the image's shorter side.
        largest: Largest side of a square, as a share of the image's shorter side.
        scaled: Whether the map is multiplied by the factor that fits the image best. Without it the sum over a square
            of pixels in [0, 1] would be compared with a fall below 1.
        score: Score of the class: its "probability" or "log_odds".
        seed: Seed of the squares, which are the same for every image and method.
        batch_size: Largest number of pictures that go through the classifier at once.

    Raises:
        InputError: A number is out of range, or there is no such score.
    """

    higher_is_better = False
    paper = "C.-K. Yeh et al., NeurIPS 2019"
    meaning = "How far the saliency in random squares is from the fall of the score when they are removed."
    formula = r"\frac{1}{S} \sum_i (\beta \sum_{u \in Q_i} m_u - (s_c(x) - s_c(x \text{ without } Q_i)))^2"
    range = "[0, 1]; log-odds or not scaled: [0, ∞)"

    def __init__(
        self,
        samples: int = 32,
        smallest: float = 0.1,
        largest: float = 0.5,
        scaled: bool = True,
        score: Literal["probability", "log_odds"] = "probability",
        seed: int = 0,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        if samples < 1 or batch_size < 1:
            raise InputError(
                f"metric Infidelity: samples and batch_size must be positive, got {samples} and {batch_size}"
            )
        check_range("metric Infidelity: smallest", smallest, 0, 1)
        check_range("metric Infidelity: largest", largest, smallest, 1)
        if score not in ("probability", "log_odds"):
            raise InputError(f"metric Infidelity: score is 'probability' or 'log_odds', got {score!r}")
        check_seed("metric Infidelity: seed", seed)
        self.samples = samples
        self.smallest = smallest
        self.largest = largest
        self.scaled = scaled
        self.score = score
        self.seed = seed
        self.batch_size = batch_size
        self._falls = Memory()

    @torch.no_grad()
    def measure_one_label(self, judged: Judged) -> Measured:
        """Remove squares from images with one label."""
        size = (judged.image.shape[-2], judged.image.shape[-1])
        generator = torch.Generator().manual_seed(self.seed)
        squares = random_squares(self.samples, size, self.smallest, self.largest, generator)
        squares = squares.to(judged.mask.device)
        score = judged.probability if self.score == "probability" else judged.log_odds
        # the map plays no part in the falls: every method on these images has the same ones
        probe = self._fall(judged, squares[:1], score)
        target = judged.labels.argmax(1)
        fall = self._falls.of([judged.image, target, probe], lambda: self._fall(judged, squares, score))
        predicted = (judged.mask * squares[:, 0]).sum((2, 3)).to(fall)
        return Measured(infidelity(predicted, fall, self.scaled))

    def _fall(self, judged: Judged, squares: Tensor, score: Score) -> Tensor:
        """Return what the class loses without each square, (B, S)."""
        falls = []
        for index in range(len(judged.image)):
            scores = self._scores_without(judged, index, squares, score)
            falls.append(scores[0] - scores[1:])
        return torch.stack(falls)

    def _scores_without(self, judged: Judged, index: int, squares: Tensor, score: Score) -> Tensor:
        """Return the score of an image as it is, and without each square: (1 + S,)."""
        nothing = torch.zeros_like(squares[:1])
        scores = []
        for gone in torch.cat([nothing, squares]).split(self.batch_size):
            image = judged.image[index].expand(len(gone), -1, -1, -1)
            filled = judged.fill(image, (~gone).to(image))
            pictures = torch.where(gone, filled, image)
            owner = torch.full((len(gone),), index, device=image.device)
            scores.append(score(pictures, owner))
        return torch.cat(scores)

"""F-Fidelity: removal that stays within what a fine-tuned classifier has seen.

X. Zheng, F. Shirani, Z. Chen, C. Lin, W. Cheng, W. Guo, D. Luo: F-Fidelity: A Robust Framework for Faithfulness
Evaluation of Explainable AI, ICLR 2025. The classifier that judges was fine-tuned on images that had lost up to β of
their pixels at random (`removal: RandomPixels` of a data set), and the metric never removes more than β: of the s most
salient pixels each goes with probability min(α, β / s). The published code asks whether the class is still the best
one; here the score is the class's probability, which is smoother for one image. The difference of the two parts is not
in the paper.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from explainer.errors import InputError, check_range, check_seed
from explainer.functional.seeds import derived_seed
from explainer.metrics.base import Judged, Logits, Measured, OneLabelMetric
from explainer.metrics.fine_tuned import FineTuned
from explainer.metrics.insertion import ranks

_DRAWS = 1
"""Number that tells the seed of the draws from the same seed elsewhere."""


def removal_rate(size: float, rate: float, most: float) -> float:
    r"""Compute the probability with which each pixel of a part goes, so that the image loses at most a share of all.

    .. math:: \min(\alpha, \beta / s)

    Args:
        size: Size of the part, s, as a share of the image.
        rate: Probability that is wanted, α.
        most: Largest share of the image that may go, β.

    Returns:
        Probability in [0, 1].

    Example:
        >>> removal_rate(0.1, 0.5, 0.1), removal_rate(0.5, 0.5, 0.1)
        (0.5, 0.2)
    """
    return min(rate, most / size) if size > 0 else 0.0


class FineTunedFidelity(OneLabelMetric):
    """Base of the parts of F-Fidelity.

    Args:
        classifier: Checkpoint of the classifier that judges, fine-tuned with random masking. None judges by the
            explanandum itself, which is right when it was fine-tuned so.
        sizes: Sizes s of the explanation, as shares of the image, in (0, 1).
        rate: Probability that a pixel of a part goes, α (0.5 in the paper).
        most: Largest share of the image that goes, β; at most the rate of the fine-tuning (0.1 in the paper).
        samples: Number of random draws for each size (50 in the published code).
        seed: Seed of the draws, which are the same for every image, part and method.
        batch_size: Largest number of pictures that go through the classifier at once.

    Raises:
        InputError: A number is out of range, or the checkpoint cannot be read.
    """

    paper = "X. Zheng et al., ICLR 2025"
    range = "[-1, 1]"

    def __init__(
        self,
        classifier: str | None = None,
        sizes: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
        rate: float = 0.5,
        most: float = 0.1,
        samples: int = 8,
        seed: int = 0,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        name = f"metric {type(self).__name__}"
        if not sizes or not all(0 < size < 1 for size in sizes):
            raise InputError(f"{name}: sizes must be one or more numbers between 0 and 1, got {list(sizes)}")
        check_range(f"{name}: rate", rate, 0, 1)
        check_range(f"{name}: most", most, 0, 1)
        if samples < 1 or batch_size < 1:
            raise InputError(f"{name}: samples and batch_size must be positive, got {samples} and {batch_size}")
        check_seed(f"{name}: seed", seed)
        self.classifier = classifier
        self.sizes = list(sizes)
        self.rate = rate
        self.most = most
        self.samples = samples
        self.seed = seed
        self.batch_size = batch_size
        self._fine_tuned: FineTuned | None = None
        if classifier is not None:
            self._fine_tuned = FineTuned(classifier, type(self).__name__)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the hyperparameters, and the digest of the classifier: results must not outlive its weights."""
        settings = super().settings
        if self._fine_tuned is not None:
            settings["sha256"] = self._fine_tuned.sha256
        return settings

    @abstractmethod
    def combine(self, explanation: Tensor, rest: Tensor) -> Tensor:
        """Make a value (B,) of the falls without parts of the explanation, and without parts of the rest, (B,) each."""

    def wanted(self) -> tuple[bool, bool]:
        """Say whether the explanation's fall is asked for, and the rest's."""
        return True, True

    def measure_one_label(self, judged: Judged) -> Measured:
        """Remove random pixels of images with one label."""
        of_explanation, of_rest = self.wanted()
        nothing = judged.mask.new_zeros(len(judged.mask))
        explanation = self._fall(judged, judged.mask) if of_explanation else nothing
        # the pixels that are not among the s most salient are the 1 - s least salient
        rest = self._fall(judged, -judged.mask) if of_rest else nothing
        return Measured(self.combine(explanation, rest))

    @torch.no_grad()
    def _fall(self, judged: Judged, maps: Tensor) -> Tensor:
        """Return how far the probability falls without random pixels of the highest parts of maps: (B,)."""
        place = ranks(maps)
        pixels = maps[0].numel()
        # a random map may be drawn from the same seed: the draws must not be that map
        generator = torch.Generator().manual_seed(derived_seed(self.seed, _DRAWS))
        # drawn once for all sizes, parts and images: what differs is the map
        # on the CPU, so that a GPU removes the same pixels
        drawn = torch.rand(self.samples, *maps.shape[-2:], generator=generator)
        chance = drawn.to(maps.device)
        logits = self._logits(judged)
        target = judged.labels.argmax(1)
        falls = []
        for index in range(len(maps)):
            # the first one is empty: the whole image goes through the classifier as the others do
            gone = [torch.zeros_like(chance[:1], dtype=torch.bool)]
            for size in self.sizes:
                inside = place[index] < round(size * pixels)
                rate = removal_rate(size, self.rate, self.most)
                gone.append(inside & (chance < rate))
            holes = torch.cat(gone)[:, None]
            scores = self._scores(judged, index, holes, logits, target[index])
            falls.append(scores[0] - scores[1:].mean())
        return torch.stack(falls)

    def _scores(self, judged: Judged, index: int, gone: Tensor, logits: Logits, target: Tensor) -> Tensor:
        """Return the class's probability without the pixels of each hole, (N,)."""
        scores = []
        for holes in gone.split(self.batch_size):
            image = judged.image[index].expand(len(holes), -1, -1, -1)
            filled = judged.fill(image, (~holes).to(image))
            # selected, not mixed: what stays is the image's own, to the bit
            seen = torch.where(holes, filled, image)
            scores.append(self._probability(judged, seen, index, logits, target))
        return torch.cat(scores)

    def _probability(self, judged: Judged, seen: Tensor, index: int, logits: Logits, target: Tensor) -> Tensor:
        """Return the probability of the class that the classifier which judges gives pictures, (N,)."""
        if self._fine_tuned is None:
            owner = torch.full((len(seen),), index, device=seen.device)
            return judged.probability(seen, owner)
        return self._fine_tuned.network.probabilities(logits(seen))[:, target]

    def _logits(self, judged: Judged) -> Logits:
        """Return the classifier that judges, on the images' device.

        Raises:
            InputError: It knows another number of classes than the explanandum.
        """
        if self._fine_tuned is None:
            return judged.logits
        fine_tuned = self._fine_tuned.on(judged)
        return lambda seen: fine_tuned(seen).float()


class FFidelityPlus(FineTunedFidelity):
    """FFid⁺: fall of the class's probability without random parts of the explanation; higher is better."""

    label = "FFid⁺"
    higher_is_better = True
    meaning = "How far the class's probability falls without random pixels of the most salient ones."
    formula = r"p_c(x) - \mathrm{mean}\, p_c(x \text{ without random pixels of the } s \text{ most salient})"

    def wanted(self) -> tuple[bool, bool]:
        """Ask for the explanation's fall alone."""
        return True, False

    def combine(self, explanation: Tensor, rest: Tensor) -> Tensor:
        """Return the explanation's fall."""
        return explanation


class FFidelityMinus(FineTunedFidelity):
    """FFid⁻: fall of the class's probability without random parts of the rest; lower is better."""

    label = "FFid⁻"
    higher_is_better = False
    meaning = "How far the class's probability falls without random pixels of the least salient ones."
    formula = r"p_c(x) - \mathrm{mean}\, p_c(x \text{ without random pixels of the } s \text{ least salient})"

    def wanted(self) -> tuple[bool, bool]:
        """Ask for the rest's fall alone."""
        return False, True

    def combine(self, explanation: Tensor, rest: Tensor) -> Tensor:
        """Return the rest's fall."""
        return rest


class FFidelity(FineTunedFidelity):
    """FFid⁺ minus FFid⁻: both questions in one number; higher is better."""

    label = "FFid"
    higher_is_better = True
    meaning = "How much further the class falls without random salient pixels than without random other ones."
    formula = r"\mathrm{FFid}^+ - \mathrm{FFid}^-"

    def combine(self, explanation: Tensor, rest: Tensor) -> Tensor:
        """Return the difference."""
        return explanation - rest

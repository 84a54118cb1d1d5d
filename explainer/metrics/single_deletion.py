"""IDSDS: whether a map puts the patches of an image in the order of what the class loses without each.

R. Hesse, S. Schaub-Meyer, S. Roth: Benchmarking the Attribution Quality of Vision Models, NeurIPS 2024 (in-domain
single-deletion score). In-domain it is only for a classifier that was fine-tuned on images of which single patches are
removed (`removal: SinglePatch` of a data set); for any other the same number is the paper's single-deletion score, and
measures the surprise at a hole as well. The published code takes signed attributions as they are; a saliency map in [0,
1] cannot tell a patch that speaks against the class from one that says nothing.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.functional.masking import grid_cells
from explainer.metrics.base import Judged, Logits, Measured, OneLabelMetric
from explainer.metrics.fine_tuned import FineTuned
from explainer.metrics.memory import Memory
from explainer.metrics.rank_correlation import rank_correlation


def patch_sums(maps: Tensor, grid: int) -> Tensor:
    """Sum a map over the cells of a grid.

    Args:
        maps: Maps (B, 1, H, W).
        grid: Number G of cells along each side.

    Returns:
        Sums (B, G²) float64, row by row.

    Example:
        >>> patch_sums(torch.ones(1, 1, 4, 6), 2).tolist()
        [[6.0, 6.0, 6.0, 6.0]]
    """
    size = (maps.shape[-2], maps.shape[-1])
    cells = grid_cells(size, grid).flatten()
    cells = cells.to(maps.device)
    values = maps.flatten(1).double()
    # in double precision: patches that are alike must not be told apart by rounding
    sums = values.new_zeros(len(maps), grid**2)
    return sums.index_add_(1, cells, values)


def single_deletion_score(maps: Tensor, fall: Tensor) -> Tensor:
    """Compute Spearman's correlation of a map's patches and what the class loses without each.

    Args:
        maps: Maps (B, 1, H, W).
        fall: Falls of the class's score without each patch, (B, G²).

    Returns:
        Correlation (B,) in [-1, 1]; higher is better; 0, which is what chance has, for a map that says the same of
        every pixel; NaN where the fall is the same for every patch.

    Example:
        >>> maps = torch.tensor([[[[0.9, 0.1], [0.5, 0.0]]]])
        >>> single_deletion_score(maps, torch.tensor([[4.0, 2.0, 3.0, 1.0]])).item()
        1.0
    """
    grid = round(fall.shape[1] ** 0.5)
    correlation = rank_correlation(patch_sums(maps, grid), fall)
    flat = maps.flatten(1)
    # a constant map has no order: without a value it would be left out, and a method that says nothing would gain by it
    constant = flat.amin(1) == flat.amax(1)
    uneven = fall.amin(1) < fall.amax(1)
    return torch.where(constant & uneven, 0.0, correlation.to(maps))


class IDSDS(OneLabelMetric):
    """Mean of `single_deletion_score` over the images with one label, with the class's logit as score.

    Args:
        grid: Number of patches along each side (4 in the paper).
        batch_size: Largest number of pictures that go through the classifier at once.
        classifier: Checkpoint of the classifier that judges, fine-tuned with single patches removed, for maps of a
            classifier that was not. None judges by the explanandum itself, as in the paper.

    Raises:
        InputError: A number is not positive, the grid is finer than the images' pixels, or the checkpoint cannot be
            read.
    """

    higher_is_better = True
    paper = "R. Hesse et al., NeurIPS 2024"
    meaning = "Whether the patches with more saliency are those without which the class's logit falls more."
    formula = r"\rho(\sum_{u \in P_k} m_u, z_c(x) - z_c(x \text{ without } P_k)) \text{ over the patches } k"
    range = "[-1, 1]"

    def __init__(self, grid: int = 4, batch_size: int = 32, classifier: str | None = None) -> None:
        super().__init__()
        if grid < 2 or batch_size < 1:
            raise InputError(f"metric IDSDS: grid must be at least 2 and batch_size 1, got {grid} and {batch_size}")
        self.grid = grid
        self.batch_size = batch_size
        self.classifier = classifier
        self._fine_tuned: FineTuned | None = None
        if classifier is not None:
            self._fine_tuned = FineTuned(classifier, "IDSDS")
        self._falls = Memory()

    @property
    def settings(self) -> dict[str, Any]:
        """Return the hyperparameters, and the digest of the classifier: results must not outlive its weights."""
        settings = super().settings
        if self._fine_tuned is None:
            # results of before there was a choice stay valid
            del settings["classifier"]
        else:
            settings["sha256"] = self._fine_tuned.sha256
        return settings

    @torch.no_grad()
    def measure_one_label(self, judged: Judged) -> Measured:
        """Remove each patch of images with one label."""
        size = (judged.image.shape[-2], judged.image.shape[-1])
        if self.grid > min(size):
            raise InputError(f"metric IDSDS: a grid of {self.grid} patches does not fit images of {size[0]}×{size[1]}")
        target = judged.labels.argmax(1)
        # the map plays no part in the falls: every method on these images has the same ones
        probe = self._scores(judged, target, patches=[-1, 0])
        fall = self._falls.of([judged.image, target, probe], lambda: self._fall(judged, target))
        return Measured(single_deletion_score(judged.mask, fall))

    def _fall(self, judged: Judged, target: Tensor) -> Tensor:
        """Return what the class loses without each patch, (B, G²)."""
        # patch -1 is nowhere: the first picture of each image is the image itself
        score = self._scores(judged, target, patches=range(-1, self.grid**2))
        return score[:, :1] - score[:, 1:]

    def _scores(self, judged: Judged, target: Tensor, patches: Sequence[int]) -> Tensor:
        """Return the class's logit without each of some patches, (B, P)."""
        device = judged.image.device
        cells = grid_cells((judged.image.shape[-2], judged.image.shape[-1]), self.grid).to(device)
        removed = torch.tensor(patches, device=device)
        gone = cells == removed[:, None, None]
        count = len(patches)
        owner = torch.arange(len(judged.image), device=device).repeat_interleave(count)
        patch = torch.arange(count, device=device).repeat(len(judged.image))
        classify = self._logits(judged)
        scores = []
        for owners, numbers in zip(owner.split(self.batch_size), patch.split(self.batch_size), strict=True):
            image = judged.image[owners]
            hole = gone[numbers][:, None]
            filled = judged.fill(image, (~hole).to(image))
            logits = classify(torch.where(hole, filled, image))
            of_target = logits.gather(1, target[owners][:, None])
            scores.append(of_target[:, 0])
        return torch.cat(scores).view(-1, count)

    def _logits(self, judged: Judged) -> Logits:
        """Return the classifier that judges, on the images' device."""
        if self._fine_tuned is None:
            return judged.logits
        fine_tuned = self._fine_tuned.on(judged)
        return lambda seen: fine_tuned(seen).float()

"""What explains the images of an audit: a trained Explainer in one pass, or a method, class by class."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.attribution import Attribution
from explainer.attribution.base import zero_where_broken
from explainer.functional.masking import mask_of
from explainer.inference import Explainer
from explainer.inference.by_method import names_of
from explainer.networks import Explanandum

GRID = 32
"""Side of the masks that are kept, in cells."""


class Masked(NamedTuple):
    """What a batch of images is explained by.

    Attributes:
        probabilities: Probabilities (B, K) in [0, 1].
        decided: Classes (B, K) bool that the classifier decides for, at least one an image.
        owners: Number of the image (N,) of each mask, within the batch.
        classes: Class (N,) of each mask.
        masks: Masks (N, 32, 32) in [0, 1].
    """

    probabilities: Tensor
    decided: Tensor
    owners: Tensor
    classes: Tensor
    masks: Tensor


Asked = Callable[[Tensor], Tensor]
"""Function from the classes decided for, (B, K) bool, to the classes that are explained, (B, K) bool."""


class MaskSource(ABC):
    """What makes masks: a classifier with a way to explain it.

    Args:
        explanandum: Classifier, on its device.
        classes: Names of its K classes.
        image_size: Side in pixels at which it sees images.
        threshold: Probability from which a multi-label classifier's classes count as decided for.
    """

    def __init__(
        self,
        explanandum: Explanandum,
        classes: tuple[str, ...],
        image_size: int,
        threshold: float,
    ) -> None:
        self.explanandum = explanandum
        self.classes = classes
        self.image_size = image_size
        self.threshold = threshold

    @property
    def device(self) -> torch.device:
        """Device on which the networks are."""
        return self.explanandum.mean.device

    @abstractmethod
    def explain(self, images: Tensor, asked: Asked) -> Masked:
        """Explain images.

        Args:
            images: Images (B, C, S, S) in [0, 1], on any device.
            asked: Function that names the classes to explain, given those that were decided for.
        """

    @torch.no_grad()
    def decided(self, images: Tensor) -> Tensor:
        """Return the classes (B, K) bool that the classifier decides for, on the CPU."""
        return self._decided(self.explanandum(images.to(self.device)).float()).cpu()

    def _decided(self, logits: Tensor) -> Tensor:
        """Return the classes decided for: where none reaches the threshold, the most probable one."""
        decided = self.explanandum.decided(logits, self.threshold).bool()
        likeliest = F.one_hot(logits.argmax(1), logits.shape[1]).bool()
        undecided = ~decided.any(1, keepdim=True)
        return decided | (undecided & likeliest)


class ExplainerMasks(MaskSource):
    """Masks of a trained Explainer: one pass of the classifier and of the masker, whatever the number of classes.

    Args:
        explainer: Explainer.
        threshold: Probability from which a multi-label classifier's classes count as decided for.
    """

    def __init__(self, explainer: Explainer, threshold: float = 0.5) -> None:
        super().__init__(explainer.explanandum, explainer.classes, explainer.image_size, threshold)
        self.masker = explainer.masker

    @torch.no_grad()
    def explain(self, images: Tensor, asked: Asked) -> Masked:
        """Explain images in one pass; masks are read where the masker makes them, before they are enlarged."""
        logits, mask_logits = self.masker.coarse_with_logits(images.to(self.device))
        logits = logits.float()
        decided = self._decided(logits).cpu()
        owners, classes = asked(decided).nonzero().unbind(1)
        chosen = mask_logits[owners, classes][:, None].float()
        masks = on_grid(mask_of(chosen))
        return Masked(self.explanandum.probabilities(logits).cpu(), decided, owners, classes, masks.cpu())


class MethodMasks(MaskSource):
    """Maps of a method, scaled to [0, 1]: a search, or some passes, for each image and class.

    Args:
        explanandum: Classifier, on its device.
        method: Method.
        image_size: Side in pixels at which the classifier sees images.
        threshold: Probability from which a multi-label classifier's classes count as decided for.
    """

    def __init__(self, explanandum: Explanandum, method: Attribution, image_size: int, threshold: float = 0.5) -> None:
        classes = names_of(explanandum, None, explanandum.num_classes)
        super().__init__(explanandum, classes, image_size, threshold)
        self.method = method

    def explain(self, images: Tensor, asked: Asked) -> Masked:
        """Explain images class by class."""
        on_device = images.to(self.device)
        with torch.no_grad():
            logits = self.explanandum(on_device).float()
        decided = self._decided(logits).cpu()
        wanted = asked(decided)
        maps = self.method(self.explanandum, on_device, wanted.to(self.device), progress=False).detach().float()
        masks = on_grid(self.method.as_masks(zero_where_broken(maps), scaled=not self.method.is_mask))
        owners, classes = wanted.nonzero().unbind(1)
        return Masked(self.explanandum.probabilities(logits).cpu(), decided, owners, classes, masks.cpu())


def on_grid(masks: Tensor, grid: int = GRID) -> Tensor:
    """Bring masks to the size that is kept: means over cells of larger ones, smaller ones are enlarged.

    Args:
        masks: Masks (N, 1, h, w) in [0, 1].
        grid: Side of the result.

    Returns:
        (N, grid, grid) in [0, 1].

    Example:
        >>> on_grid(torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]]), 1).item()
        0.5
    """
    if not len(masks):
        return masks.new_zeros(0, grid, grid)
    if min(masks.shape[-2:]) >= grid:
        return F.adaptive_avg_pool2d(masks, grid)[:, 0]
    return F.interpolate(masks, (grid, grid), mode="bilinear", align_corners=False).clamp(0, 1)[:, 0]

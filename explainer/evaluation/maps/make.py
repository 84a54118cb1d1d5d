"""A method's masks of a batch, made or read, and what making them cost."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from explainer.attribution import Attribution
from explainer.attribution.base import broken_maps, zero_where_broken
from explainer.data import Batch
from explainer.evaluation.maps.cache import KeptMasks, Made
from explainer.evaluation.maps.cost import measured
from explainer.evaluation.references import TRUTH, reference_mask
from explainer.evaluation.targets import LABELS, Targets
from explainer.metrics.segmentation import USUAL_TRUTH, TruthRule
from explainer.networks import Explanandum

SET_UP = 5.0
"""Seconds: of a first call that takes longer, set-up is a small part."""


def make(
    explanandum: Explanandum,
    method: Attribution | None,
    batch: Batch,
    rule: TruthRule = USUAL_TRUTH,
    scaled: bool = True,
    reference: str = TRUTH,
) -> tuple[Tensor, Tensor]:
    """The mask of all classes present, and whether a map had to be repaired for it.

    Args:
        explanandum: The frozen classifier.
        method: Makes it; without one it is the reference.
        batch: The images.
        rule: Which pixels of the annotation are the truth.
        scaled: Whether maps that are masks already are scaled too.
        reference: Name of the reference.

    Returns:
        (B, 1, H, W) in [0, 1], and (B,) bool: a map that had a NaN or infinite pixel counts as 0 everywhere.
    """
    if method is None:
        mask = reference_mask(reference, batch, rule)
        return mask, torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
    checked = method.checked_target_mask(explanandum, batch.image, batch.labels, scaled)
    mask = checked.mask.detach()
    return zero_where_broken(mask).clamp(0, 1), checked.broken | broken_maps(mask)


def make_mask(
    explanandum: Explanandum,
    method: Attribution | None,
    batch: Batch,
    rule: TruthRule = USUAL_TRUTH,
    scaled: bool = True,
    reference: str = TRUTH,
) -> Tensor:
    """The first of what `make` returns: (B, 1, H, W) in [0, 1]."""
    return make(explanandum, method, batch, rule, scaled, reference)[0]


class Maker:
    """Masks of named methods; those that are on disk are read.

    Args:
        kept: Where they are, and where new ones are put; None: nowhere.
        rule: Which pixels of the annotation are the truth.
        scaled: Whether maps that are masks already are scaled too.
        targets: Which classes of an image are explained.
    """

    def __init__(
        self,
        kept: KeptMasks | None = None,
        rule: TruthRule = USUAL_TRUTH,
        scaled: bool = True,
        targets: Targets = LABELS,
    ) -> None:
        self.kept, self.rule, self.scaled, self.targets = kept, rule, scaled, targets
        self._warm: set[str] = set()

    def __call__(self, explanandum: Explanandum, name: str, method: Attribution | None, batch: Batch) -> Made:
        """Masks of a batch.

        Args:
            explanandum: The frozen classifier.
            name: Name of the method, or of the reference.
            method: Makes the masks that are not there; None for a reference.
            batch: On the explanandum's device.

        Returns:
            Masks on that device; those of the whole batch are read, or those of the whole batch are made.
        """
        there = None if self.kept is None or method is None else self.kept.find(name, batch.id)
        if there is not None:
            return there._replace(mask=there.mask.to(batch.image))
        made = self._make(explanandum, name, method, batch)
        if self.kept is not None:
            self.kept.add(name, batch.id, made)
        return made

    def _make(self, explanandum: Explanandum, name: str, method: Attribution | None, batch: Batch) -> Made:
        def work() -> tuple[Tensor, Tensor, dict[str, Any]]:
            with measured(explanandum, device, images) as cost:
                mask, broken = make(explanandum, method, batch, self.rule, self.scaled, name)
            return mask, broken, asdict(cost)

        images, device = len(batch.id), batch.image.device
        mask, broken, cost = work()
        if name not in self._warm and cost["seconds"] * images < SET_UP:  # called again: the first call sets up
            mask, broken, cost = work()
        self._warm.add(name)
        return Made(mask, broken.tolist(), [cost] * images)

"""A method's masks of a batch, made or read, and what making them cost."""

from dataclasses import asdict
from typing import NamedTuple

from torch import Tensor

from explainer.attribution import Attribution
from explainer.attribution.base import CheckedMask, broken_maps, zero_where_broken
from explainer.data import Batch
from explainer.evaluation.maps.cache import MaskStore, MeasuredMasks
from explainer.evaluation.maps.cost import measured
from explainer.evaluation.references import reference_mask
from explainer.evaluation.targets import LABELS, Targets
from explainer.metrics.segmentation import USUAL_TRUTH, TruthRule
from explainer.networks import Explanandum

SET_UP = 5.0
"""Seconds from which a first call counts as it is: set-up is then a small part of it."""


class MaskMaker(NamedTuple):
    """Maker of an evaluation's masks: how the maps of a method become masks is decided once, here.

    Attributes:
        scaled: Whether maps that are masks already are scaled too; the masks of an Explainer never are.
    """

    scaled: bool = True

    def target_mask(self, explanandum: Explanandum, method: Attribution, image: Tensor, labels: Tensor) -> CheckedMask:
        """Make one mask for all the classes present.

        Args:
            explanandum: Frozen classifier.
            method: Method whose maps the mask is made of.
            image: Images (B, 3, H, W) in [0, 1].
            labels: Labels (B, K), multi-hot.

        Returns:
            Masks (B, 1, H, W) in [0, 1], and which of them stand on a broken map; a map that had a NaN or infinite
            pixel counts as 0 everywhere.
        """
        checked = method.checked_target_mask(explanandum, image, labels, self.scaled)
        mask = checked.mask.detach()
        broken = checked.broken | broken_maps(mask)
        return CheckedMask(zero_where_broken(mask).clamp(0, 1), broken)

    def masks_of(self, method: Attribution, maps: Tensor) -> Tensor:
        """Make a mask of each map of a method: (N, 1, H, W) in [0, 1].

        Args:
            method: Method of the maps.
            maps: Maps (N, 1, H, W), raw; one that has a NaN or infinite pixel counts as 0 everywhere.
        """
        return method.as_masks(zero_where_broken(maps), self.scaled)


SCALED = MaskMaker()
"""The usual maker: every map is scaled."""


class CachedMasks:
    """Masks of named methods: read where they are on the disk, else made, measured and stored.

    Args:
        store: Store of the masks; None makes them each time.
        rule: Pixels of the annotation that are the truth.
        maker: Maker of the masks that are not stored.
        targets: Rule by which the classes to explain are chosen.
    """

    def __init__(
        self,
        store: MaskStore | None = None,
        rule: TruthRule = USUAL_TRUTH,
        maker: MaskMaker = SCALED,
        targets: Targets = LABELS,
    ) -> None:
        self.store = store
        self.rule = rule
        self.maker = maker
        self.targets = targets
        self._warm: set[str] = set()

    def __call__(self, explanandum: Explanandum, name: str, method: Attribution | None, batch: Batch) -> MeasuredMasks:
        """Return the masks of a batch.

        Args:
            explanandum: Frozen classifier.
            name: Name of the method, or of the reference.
            method: Method for the masks that are not in the store; None for a reference.
            batch: Images, on the explanandum's device.

        Returns:
            Masks on that device. Those of the whole batch are read, or those of the whole batch are made.
        """
        # references are not stored: to make them costs no more than to read them
        if self.store is not None and method is not None:
            stored = self.store.find(name, batch.id)
            if stored is not None:
                return stored._replace(mask=stored.mask.to(batch.image))
        masks = self._measure(explanandum, name, method, batch)
        if self.store is not None:
            self.store.add(name, batch.id, masks)
        return masks

    def _measure(self, explanandum: Explanandum, name: str, method: Attribution | None, batch: Batch) -> MeasuredMasks:
        """Make the masks, and measure what that costs an image."""
        images = len(batch.id)
        masks = self._make(explanandum, name, method, batch)
        # the first call of a method sets things up, which would count as the map's cost: it is called again
        seconds = (masks.cost[0]["seconds"] or 0.0) * images
        if name not in self._warm and seconds < SET_UP:
            masks = self._make(explanandum, name, method, batch)
        self._warm.add(name)
        return masks

    def _make(self, explanandum: Explanandum, name: str, method: Attribution | None, batch: Batch) -> MeasuredMasks:
        """Make the masks once, with the clock running."""
        images = len(batch.id)
        with measured(explanandum, batch.image.device, images) as cost:
            if method is None:
                mask = reference_mask(name, batch, self.rule)
                checked = CheckedMask(mask, broken_maps(mask))
            else:
                checked = self.maker.target_mask(explanandum, method, batch.image, batch.labels)
        # only the batch was measured: each of its images is given its share
        costs = [asdict(cost)] * images
        return MeasuredMasks(checked.mask, checked.broken.tolist(), costs)

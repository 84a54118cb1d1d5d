"""Variations by whatever fills holes in: a contextual-attention network, random colours, a blur."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from explainer.experiments.variations.base import Patches, Variation
from explainer.infill import Infill


class CompletedVariations(Variation):
    """The box filled by an in-fill. One that is not stochastic has a single variation to give, whatever `count` is.

    Args:
        infill: What completes the image.
        count: As in `Variation`, as are the others.
        blend: Likewise.
        seed: Likewise.
        batch_size: Likewise.
    """

    def __init__(
        self, infill: Infill, count: int = 64, blend: bool = False, seed: int = 0, batch_size: int = 64
    ) -> None:
        super().__init__(count, blend, seed, batch_size)
        self.infill = infill
        self.count = count if infill.stochastic else 1

    def check(self, classes: Sequence[str]) -> None:
        """An in-fill may have been trained on another data set."""
        self.infill.check_classes(classes)

    @torch.no_grad()
    def patches(
        self,
        image: Tensor,
        keep: Tensor,
        boxes: Tensor,
        target: Tensor | None,
        around: Tensor,
        tick: Callable[[], object],
    ) -> Patches:
        """The in-fills; every known pixel is open to them, with weight 1."""
        generator = torch.Generator(image.device).manual_seed(self.seed)
        drawn = []
        for _ in range(self.count):
            parts = zip(image.split(self.batch_size), keep.split(self.batch_size), strict=True)
            state = generator.get_state()
            filled = []
            for some, mask in parts:
                generator.set_state(state)  # the same draw for every part of the batch
                filled.append(self.infill(some, mask, generator).detach().expand_as(some))
            drawn.append(torch.cat(filled))
        for _ in range(len(image)):
            tick()
        images = torch.stack(drawn, 1).to(image)
        return Patches(images, image.new_full(images.shape[:2], torch.nan), keep)

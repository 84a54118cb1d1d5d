"""Variations by whatever fills holes in: a contextual-attention network, random colours, a blur."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from explainer.experiments.variations.base import Patches, Variation
from explainer.infill import Infill


class CompletedVariations(Variation):
    """The box filled by an in-fill. One that is not stochastic gives a single variation, whatever `count` is.

    Args:
        infill: In-fill that completes the image.
        count: Number of variations of an image.
        blend: Whether the patch's colours are moved so that it joins the image without a seam.
        seed: Seed of the random draws.
        batch_size: Largest number of variations that are made at once.
    """

    def __init__(
        self,
        infill: Infill,
        count: int = 64,
        blend: bool = False,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        super().__init__(count, blend, seed, batch_size)
        self.infill = infill
        if not infill.stochastic:
            self.count = 1

    def check(self, classes: Sequence[str]) -> None:
        """Refuse an in-fill that was trained on another data set."""
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
        """Fill the boxes in, `count` times; every known pixel is open to the in-fill, with weight 1."""
        generator = torch.Generator(image.device).manual_seed(self.seed)
        variations = []
        for _ in range(self.count):
            parts = zip(image.split(self.batch_size), keep.split(self.batch_size), strict=True)
            state = generator.get_state()
            filled = []
            for part, mask in parts:
                generator.set_state(state)  # the same draw for every part of the batch
                infill = self.infill(part, mask, generator).detach()
                filled.append(infill.expand_as(part))
            variations.append(torch.cat(filled))
        # once an image, as `steps` says, however many variations it has
        for _ in range(len(image)):
            tick()
        images = torch.stack(variations, 1).to(image)
        no_loss = image.new_full(images.shape[:2], torch.nan)
        return Patches(images, no_loss, keep)

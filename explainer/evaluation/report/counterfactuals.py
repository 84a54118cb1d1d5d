"""What the classifier would say had the rest, or the evidence, looked otherwise.

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR
2019 (Figures 2, 4 and 11).
"""

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from explainer.data import Batch
from explainer.functional.masking import composite
from explainer.infill import Constant, Infill
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, mask_image, overlay, to_pil


@torch.no_grad()
def counterfactuals(
    explanandum: Explanandum, image: Tensor, region: Tensor, infill: Infill | None = None, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The images with everything but a region filled in, and with the region itself filled in.

    Args:
        explanandum: Its mean colour stands for no in-fill.
        image: (B, 3, H, W) in [0, 1].
        region: (B, 1, H, W) of 0 and 1.
        infill: What is put there.
        seed: Seed of stochastic in-fills.

    Returns:
        What remains (as SSR asks) and what replaced it (as SDR asks), (B, 3, H, W) each; known pixels are exact.

    Example:
        >>> network, image = Explanandum("alexnet"), torch.rand(1, 3, 8, 8)
        >>> remains, replaced = counterfactuals(network, image, torch.ones(1, 1, 8, 8))
        >>> torch.equal(remains, image), torch.equal(replaced, image)
        (True, False)
    """
    fill = infill or Constant(explanandum.mean_colour.flatten().tolist())
    found = []
    for mask in (region, 1 - region):
        generator = torch.Generator(image.device).manual_seed(seed)
        found.append(composite(image, mask, fill(image, mask, generator)))
    return found[0], found[1]


def counterfactual_gallery(
    explanandum: Explanandum, mask: Tensor, level: Tensor, batch: Batch, infills: dict[str, Any]
) -> Image.Image:
    """Two rows an image: the map and what remains filled in by each in-fill; the region and what replaces it.

    Args:
        explanandum: The frozen classifier, on the batch's device.
        mask: (B, 1, H, W) in [0, 1].
        level: (B,), a pixel above it is in the region.
        batch: The images; the first label's probability stands under each picture.
        infills: Name → in-fill, or None for the mean colour.

    Returns:
        The picture.
    """
    region = (mask > level[:, None, None, None]).to(batch.image)
    pairs = [counterfactuals(explanandum, batch.image, region, infill) for infill in infills.values()]
    rows = []
    for n in range(len(batch.id)):
        tiles = [Tile(to_pil(batch.image[n]), said(explanandum, batch, n, batch.image))]
        above = [*tiles, Tile(overlay(batch.image[n], mask[n]), f"map, mean {mask[n].mean():.2f}")]
        shown = to_pil(composite(batch.image, 0.75 * region + 0.25, torch.ones_like(batch.image))[n])
        below = [Tile(mask_image(region[n]), f"region, area {region[n].mean():.2f}"), Tile(shown, "what is in it")]
        for remains, replaced in pairs:
            above.append(Tile(to_pil(remains[n]), said(explanandum, batch, n, remains)))
            below.append(Tile(to_pil(replaced[n]), said(explanandum, batch, n, replaced)))
        rows += [above, below]
    return gallery(rows, header=["image", "map", *infills])


@torch.no_grad()
def said(explanandum: Explanandum, batch: Batch, n: int, seen: Tensor) -> str:
    """The first label of an image and its probability for what is seen instead of it."""
    present = batch.labels[n].nonzero().flatten().tolist()
    if not present:
        return "no label"
    probability = explanandum.probabilities(explanandum(seen[n : n + 1]).float())[0, present[0]]
    return f"{explanandum.classes[present[0]]} {probability:.2f}"

"""What the classifier would say had the rest, or the evidence, looked otherwise.

C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining Image Classifiers by Counterfactual Generation, ICLR
2019 (Figures 2, 4 and 11).
"""

from collections.abc import Mapping

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
    explanandum: Explanandum,
    image: Tensor,
    region: Tensor,
    infill: Infill | None = None,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Fill in everything but a region, and the region itself.

    Args:
        explanandum: Frozen classifier.
        image: Images, (B, 3, H, W) in [0, 1].
        region: Regions, (B, 1, H, W) of 0 and 1.
        infill: In-fill; None for the classifier's mean colour.
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
    composites = []
    for mask in (region, 1 - region):
        # both get the same random draws
        generator = torch.Generator(image.device).manual_seed(seed)
        filling = fill(image, mask, generator)
        composites.append(composite(image, mask, filling))
    remains, replaced = composites
    return remains, replaced


def counterfactual_gallery(
    explanandum: Explanandum,
    mask: Tensor,
    level: Tensor,
    batch: Batch,
    infills: Mapping[str, Infill | None],
) -> Image.Image:
    """Draw two rows an image: the map and what remains filled in by each in-fill; the region and what replaces it.

    Args:
        explanandum: Frozen classifier, on the batch's device.
        mask: Masks, (B, 1, H, W) in [0, 1].
        level: Level of each mask, (B,); a pixel above it is in the region.
        batch: Images; the first label's probability stands under each picture.
        infills: Name → in-fill, or None for the mean colour.

    Returns:
        The picture.
    """
    region = (mask > level[:, None, None, None]).to(batch.image)
    pairs = [counterfactuals(explanandum, batch.image, region, infill) for infill in infills.values()]
    # a quarter of the rest shines through, so that a reader sees where in the image the region lies
    visible = 0.75 * region + 0.25
    dimmed = composite(batch.image, visible, torch.ones_like(batch.image))
    rows = []
    for n in range(len(batch.id)):
        mean = mask[n].mean()
        area = region[n].mean()
        above = [
            Tile(to_pil(batch.image[n]), first_label(explanandum, batch, n, batch.image)),
            Tile(overlay(batch.image[n], mask[n]), f"map, mean {mean:.2f}"),
        ]
        below = [
            Tile(mask_image(region[n]), f"region, area {area:.2f}"),
            Tile(to_pil(dimmed[n]), "what is in it"),
        ]
        for remains, replaced in pairs:
            words_above = first_label(explanandum, batch, n, remains)
            words_below = first_label(explanandum, batch, n, replaced)
            above.append(Tile(to_pil(remains[n]), words_above))
            below.append(Tile(to_pil(replaced[n]), words_below))
        rows += [above, below]
    return gallery(rows, header=["image", "map", *infills])


@torch.no_grad()
def first_label(explanandum: Explanandum, batch: Batch, n: int, seen: Tensor) -> str:
    """Return the first label of an image and its probability for what is seen instead of it.

    Args:
        explanandum: Frozen classifier.
        batch: Images with labels.
        n: Number of the image in the batch.
        seen: Images that the classifier sees, (B, 3, H, W) in [0, 1].
    """
    present = batch.labels[n].nonzero().flatten().tolist()
    if not present:
        return "no label"
    first = present[0]
    logits = explanandum(seen[n : n + 1]).float()
    probability = explanandum.probabilities(logits)[0, first]
    return f"{explanandum.classes[first]} {probability:.2f}"

"""The masks of single classes, present in the image or not."""

from collections.abc import Sequence

import torch
from torch import Tensor

from explainer.attribution import Attribution, Explainer
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.networks import Explanandum


def class_masks(
    explanandum: Explanandum,
    method: Attribution,
    image: Tensor,
    places: Sequence[int],
    maker: MaskMaker = SCALED,
) -> Tensor:
    """Make the mask of each class asked for, present or not.

    Args:
        explanandum: Frozen classifier.
        method: Method of the masks: an Explainer has them all at once, others explain one class after the other.
        image: Images (B, 3, H, W) in [0, 1].
        places: Indices of the C classes.
        maker: Maker of the masks; the masks of an Explainer are taken as they are.

    Returns:
        (B, C, H, W) in [0, 1]; a map with a NaN or infinite pixel counts as 0.

    Example:
        >>> from explainer.attribution import Random
        >>> class_masks(Explanandum("alexnet", num_classes=3), Random(), torch.rand(1, 3, 8, 8), [2, 0]).shape
        torch.Size([1, 2, 8, 8])
    """
    if isinstance(method, Explainer):
        return method.masks(image)[:, list(places)]
    asked = torch.zeros(len(image), explanandum.num_classes, dtype=torch.bool, device=image.device)
    asked[:, list(places)] = True
    # a method's batch size counts maps, and an image has a map for each class
    step = max(1, method.batch_size // len(places))
    maps = []
    for start in range(0, len(image), step):
        images = slice(start, start + step)
        of_images = method(explanandum, image[images], asked[images], progress=False)
        maps.append(of_images.detach())
    size = image.shape[-2:]
    masks = maker.masks_of(method, torch.cat(maps))
    masks = masks.view(len(image), len(places), *size)
    # a method explains the classes of an image in rising order, whatever order was asked for
    rising = sorted(places)
    return masks[:, [rising.index(place) for place in places]]

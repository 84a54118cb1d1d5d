"""Which images are evaluated, and whether in-fills can be used on them: known before the long work."""

from collections.abc import Mapping, Sequence

import torch

from explainer.data import ImageDataset, Sample
from explainer.errors import InputError
from explainer.infill import Infill
from explainer.networks import Explanandum


def spread(places: Sequence[int], wanted: int | None, offset: int = 0) -> list[int]:
    """So many of these, evenly spread; all, when there are not more or none is said.

    Args:
        places: To choose from.
        wanted: How many.
        offset: Take those that come so many later.

    Example:
        >>> spread([1, 3, 5, 7], 2)
        [1, 5]
    """
    count = min(len(places), wanted or len(places))
    return [places[(i * len(places) // count + offset) % len(places)] for i in range(count)]


def candidates(dataset: ImageDataset, one_label: bool) -> list[int]:
    """Images that may be evaluated.

    Args:
        dataset: A split.
        one_label: Only those with exactly one label.

    Returns:
        Ascending indices.

    Raises:
        InputError: There is none.
    """
    places = [i for i in range(len(dataset)) if not one_label or int(dataset.labels(i).sum()) == 1]
    if not places:
        raise InputError("evaluation.one_label: no image of the split has exactly one label")
    return places


def check_infills(infills: Mapping[str, Infill], sample: Sample | None, explanandum: Explanandum) -> None:
    """Use every in-fill once, so that one of another image size or data set is refused before the long work.

    Args:
        infills: Name → in-fill.
        sample: Any image of the data set.
        explanandum: The classifier, with its classes.

    Raises:
        InputError: What the in-fill says against image or classes, and its name.
    """
    if sample is None:
        return
    image = sample.image[None].to(explanandum.mean.device)
    mask = torch.ones_like(image[:, :1])
    mask[..., : mask.shape[-1] // 2] = 0
    for name, infill in infills.items():
        try:
            infill.check_classes(explanandum.classes)
            infill(image, mask, torch.Generator(image.device).manual_seed(0))
        except InputError as error:
            raise InputError(f"in-fill {name!r}: {error}") from error

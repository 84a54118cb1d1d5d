"""Which images are evaluated, and whether in-fills can be used on them: known before the long work."""

from collections.abc import Mapping

import torch

from explainer.data import ImageDataset, Sample
from explainer.errors import InputError
from explainer.evaluation.settings import Evaluation
from explainer.infill import Infill
from explainer.networks import Explanandum


def evaluated_places(dataset: ImageDataset, settings: Evaluation) -> list[int]:
    """Indices of the images that are evaluated, evenly spread.

    Args:
        dataset: The split.
        settings: At most how many, and whether only those with one label.

    Returns:
        Ascending indices.

    Raises:
        InputError: No image has exactly one label, where that is asked for.
    """
    places = list(range(len(dataset)))
    if settings.one_label:
        places = [i for i in places if int(dataset.labels(i).sum()) == 1]
        if not places:
            raise InputError("evaluation.one_label: no image of the split has exactly one label")
    count = min(len(places), settings.limit or len(places))
    return [places[i * len(places) // count] for i in range(count)]


def check_infills(infills: Mapping[str, Infill | None], sample: Sample | None, explanandum: Explanandum) -> None:
    """Use every in-fill once, so that one of another image size or data set is refused before the long work.

    Args:
        infills: Name → in-fill; None is the mean colour.
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
        if infill is None:
            continue
        try:
            infill.check_classes(explanandum.classes)
            infill(image, mask, torch.Generator(image.device).manual_seed(0))
        except InputError as error:
            raise InputError(f"in-fill {name!r}: {error}") from error

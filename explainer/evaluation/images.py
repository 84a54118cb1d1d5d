"""The choice of the images that are evaluated, and checks that come before the long work."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from explainer.attribution.base import size_fits
from explainer.data import Batch, ImageDataset, Sample
from explainer.errors import InputError
from explainer.infill import Infill
from explainer.metrics import truth_boxes
from explainer.networks import Explanandum


def spread(places: Sequence[int], wanted: int | None, offset: int = 0) -> list[int]:
    """Choose places that are evenly spread.

    Args:
        places: Places to choose from.
        wanted: Largest number of places; None takes all.
        offset: Number of places by which the choice is moved on.

    Example:
        >>> spread([1, 3, 5, 7], 2)
        [1, 5]
    """
    total = len(places)
    count = total if wanted is None else min(total, wanted)
    starts = [number * total // count for number in range(count)]
    # around the end: a moved choice has as many places
    return [places[(start + offset) % total] for start in starts]


def candidates(dataset: ImageDataset, one_label: bool) -> list[int]:
    """List the images that may be evaluated.

    Args:
        dataset: Split of a data set.
        one_label: Whether only images with exactly one label may be.

    Returns:
        Indices of the images, ascending.

    Raises:
        InputError: There is none, or two images of the split have one id.
    """
    check_ids(dataset.ids)
    places = list(range(len(dataset)))
    if one_label:
        places = [place for place in places if int(dataset.labels(place).sum()) == 1]
    if not places:
        raise InputError("evaluation.images.one_label: no image of the split has exactly one label")
    return places


def check_ids(ids: Sequence[str]) -> None:
    """Refuse images that share an id: results are stored under it, and one's numbers would stand for the other.

    Args:
        ids: Names of the images of a split.

    Raises:
        InputError: Names the first that is there twice.

    Example:
        >>> check_ids(["a.jpg", "b.jpg"])
    """
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise InputError(
                f"the image {name!r} is in the split twice, and results are kept by this name: name every image once"
            )
        seen.add(name)


def first_readable(dataset: ImageDataset, places: Sequence[int]) -> Sample:
    """Return the first image that can be read, so that a folder of broken files is refused before the long work.

    Args:
        dataset: Split of a data set.
        places: Places of the images that are tried, in this order.

    Returns:
        The image.

    Raises:
        InputError: None can be read.
    """
    for place in places:
        sample = dataset[place]
        if sample is not None:
            return sample
    first = dataset.ids[places[0]]
    raise InputError(f"none of the images could be read: {len(places)} were tried, {first!r} first")


@torch.no_grad()
def check_classifier(explanandum: Explanandum, sample: Sample) -> None:
    """Refuse a classifier whose probabilities are NaN: every number after it would be NaN, too.

    Args:
        explanandum: Classifier, with its classes.
        sample: Any image of the data set.

    Raises:
        InputError: Its probabilities are NaN or infinite.
    """
    image = sample.image[None].to(explanandum.mean.device)
    with size_fits(image):
        logits = explanandum(image).float()
        probabilities = explanandum.probabilities(logits)
    if not bool(probabilities.isfinite().all()):
        # weights that are not finite are the usual reason: naming one saves a search
        weights = explanandum.state_dict()
        broken = [name for name, values in weights.items() if not bool(values.isfinite().all())]
        where = "its weights are finite"
        if broken:
            where = f"its weights {broken[0]!r} are not finite"
        raise InputError(f"the classifier's probabilities of {sample.id!r} are NaN: {where}; train it again")


def check_infills(infills: Mapping[str, Infill], sample: Sample, explanandum: Explanandum) -> None:
    """Use every in-fill once, so that one of another image size or data set is refused before the long work.

    Args:
        infills: Name → in-fill.
        sample: Any image of the data set.
        explanandum: Classifier, with its classes.

    Raises:
        InputError: Names the in-fill, and says why it refuses the image or the classes.
    """
    image = sample.image[None].to(explanandum.mean.device)
    # half an image is a hole in which every in-fill has something to do
    mask = torch.ones_like(image[:, :1])
    mask[..., : mask.shape[-1] // 2] = 0
    for name, infill in infills.items():
        try:
            infill.check_classes(explanandum.classes)
            # a generator of its own: a check must not move the random numbers of the run
            generator = torch.Generator(image.device).manual_seed(0)
            infill(image, mask, generator)
        except InputError as error:
            raise InputError(f"in-fill {name!r}: {error}") from error


def true_boxes(batch: Batch) -> list[Tensor]:
    """Return the boxes of the labelled objects, from the annotation or around each class's segmentation.

    Args:
        batch: Images, with or without annotation.

    Returns:
        B tensors (N, 4): x0, y0, x1, y1 in pixels, on the images' device; N = 0 where nothing is known.

    Example:
        >>> boxes = torch.tensor([[0.0, 1, 2, 3, 4], [1.0, 0, 0, 9, 9]])
        >>> true_boxes(Batch(torch.rand(1, 3, 9, 9), torch.eye(2)[:1], ["a"], boxes=[boxes]))[0].tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    outlined = [batch.image.new_zeros(0, 4)] * len(batch.id)
    if batch.segmentation is not None:
        outlined = truth_boxes(batch.segmentation, batch.labels)
    if batch.boxes is None:
        return outlined
    boxes = []
    for annotated, labels, around_segments in zip(batch.boxes, batch.labels, outlined, strict=True):
        annotated = annotated.to(batch.image.device)
        # a box's first number is its class: objects of classes that are no label are not looked for
        labelled = labels[annotated[:, 0].long()] > 0
        boxes_of_image = annotated[labelled, 1:]
        # an object may be outlined without a box
        if not len(boxes_of_image):
            boxes_of_image = around_segments
        boxes.append(boxes_of_image)
    return boxes

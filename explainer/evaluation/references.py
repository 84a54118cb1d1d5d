"""What methods are compared with: the image as it is, and masks that the annotation gives."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from explainer.data import VOID, Batch
from explainer.errors import InputError
from explainer.evaluation.batches import part
from explainer.evaluation.images import true_boxes
from explainer.metrics import inside_boxes, truth_and_weight
from explainer.metrics.segmentation import USUAL_TRUTH, TruthRule

ORIGINAL = "Original image"
TRUTH = "Ground truth"
BOXES = "Bounding box"
ANNOTATED = (TRUTH, BOXES)
"""Rows whose masks the annotation gives: references, which are not ranked."""


def left_out(results: Mapping[str, object]) -> str:
    """Name in words the references that are among the rows; nothing where there is none.

    Args:
        results: Results of results.json, by the names of the rows.

    Example:
        >>> left_out({"Ground truth": {}, "RISE": {}, "Bounding box": {}})
        'the ground truth and the bounding box'
    """
    return " and ".join(f"the {name.lower()}" for name in ANNOTATED if name in results)


def check_free(names: Iterable[str], key: str = "evaluation.methods") -> None:
    """Refuse methods that have a reference's name: their rows could not be told from the reference's.

    Args:
        names: Names of the methods of a config.
        key: Key of the config, for the error.

    Raises:
        InputError: Names the first.

    Example:
        >>> check_free(["RISE"])
    """
    for name in names:
        if name in (ORIGINAL, *ANNOTATED):
            raise InputError(f"{key}: {name!r} is the name of a reference; choose another one")


def having(name: str, batch: Batch) -> Batch:
    """Select the images that have the annotation which a reference needs; the others have nothing to score.

    Args:
        name: Name of the reference: `TRUTH` needs a segmentation, `BOXES` a box of a labelled object.
        batch: Images, with or without annotation.

    Example:
        >>> import torch
        >>> having(TRUTH, Batch(torch.rand(1, 3, 4, 4), torch.eye(1), ["a"])).id
        []
    """
    if name == BOXES:
        with_box = [place for place, boxes in enumerate(true_boxes(batch)) if len(boxes)]
        return part(batch, with_box)
    if batch.segmentation is None:
        return part(batch, [])
    # an image without annotation in a segmented data set is void all over
    annotated = (batch.segmentation != VOID).flatten(1).any(1)
    return part(batch, annotated.nonzero()[:, 0].tolist())


def reference_mask(name: str, batch: Batch, rule: TruthRule = USUAL_TRUTH) -> Tensor:
    """Make the mask that the annotation gives.

    Args:
        name: Name of the reference: `TRUTH` is what is segmented, `BOXES` all within a box of a labelled object.
        batch: Images that have this annotation.
        rule: Rule that says which pixels of the annotation are the truth.

    Returns:
        Masks (B, 1, H, W) of 0 and 1.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 1, 0, 3, 2]])
        >>> reference_mask(BOXES, Batch(torch.rand(1, 3, 2, 4), torch.eye(1), ["a"], boxes=[boxes])).int().tolist()
        [[[[0, 1, 1, 0], [0, 1, 1, 0]]]]
    """
    if name == BOXES:
        height, width = batch.image.shape[-2:]
        inside = inside_boxes(true_boxes(batch), (height, width))
        return inside.to(batch.image.dtype)
    assert batch.segmentation is not None
    # a mask has no pixels that do not count: the weight is for the metrics
    truth, _ = truth_and_weight(batch.segmentation, batch.labels, rule)
    return truth

"""The level of a map, searched on images that are not evaluated (R. Fong, A. Vedaldi, ICCV 2017; FIDO, section 4.5)."""

from collections.abc import Sequence
from typing import NotRequired

import torch
from typing_extensions import TypedDict

from explainer.attribution import Attribution
from explainer.data import Batch
from explainer.errors import InputError
from explainer.evaluation.batches import to_device
from explainer.evaluation.images import spread, true_boxes
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.evaluation.scoring.loop import append_or_note
from explainer.evaluation.storage.rows import Searched
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import bars
from explainer.metrics import alpha_errors, best_alpha
from explainer.networks import Explanandum


class Alpha(TypedDict):
    """The α of a method, above which times the map's mean a pixel is salient.

    Attributes:
        alpha: α itself.
        error: Share of the held-out images whose box is wrong; None where the method failed on all of them.
        images: Number of held-out images with a box. Neither is there of an α that the config gives.
    """

    alpha: float
    error: NotRequired[float | None]
    images: NotRequired[int]


def search_alphas(
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batches: Sequence[Batch],
    store: Store,
    device: str,
    maker: MaskMaker = SCALED,
) -> dict[str, Alpha]:
    """Find the α of each method under which the box around what is salient is wrong least often.

    Args:
        explanandum: Frozen classifier.
        methods: Name → method, of those whose maps need an α.
        batches: Held-out images.
        store: Store of the errors; those that it has already are not computed again.
        device: Device of the computation.
        maker: Maker of the masks.

    Returns:
        Method → α, its error rate, and on how many images; α = 1 for a method that fails on all of them.

    Raises:
        InputError: No held-out image has a box, before any map is computed.
    """
    boxes = [corners for batch in batches for corners in true_boxes(batch)]
    if not any(len(corners) for corners in boxes):
        raise InputError("evaluation.salient.alpha cannot be searched: no held-out image has a box; give it a number")
    total = len(methods) * sum(len(batch.id) for batch in batches)
    with bars() as progress:
        task = progress.add_task("searching levels", total=total)
        for name, method in methods.items():
            for batch in batches:
                # name and method are bound as defaults: the loop changes the variables
                def rows(images: Batch, name: str = name, method: Attribution = method) -> list[Searched]:
                    mask = maker.target_mask(explanandum, method, images.image, images.labels).mask
                    errors = alpha_errors(mask, true_boxes(images))
                    entries: list[Searched] = []
                    for image, of_alphas in zip(images.id, errors, strict=True):
                        wrong = None if of_alphas.isnan().any() else of_alphas.int().tolist()
                        entries.append({"id": image, "method": name, "wrong": wrong})
                    return entries

                if not store.has(name, batch.id):
                    append_or_note(store, name, to_device(batch, device), rows)
                progress.advance(task, len(batch.id))
    alphas: dict[str, Alpha] = {}
    for name in methods:
        alphas[name] = _best(store.rows.of(name).values("wrong"))
    return alphas


def _best(wrong: list[list[int] | None]) -> Alpha:
    """Choose the α of a method by what is wrong of each image at each α; None of an image without a box."""
    if not wrong:
        # The method failed on every image. It may still come through on the evaluated ones: above its mean, then.
        return {"alpha": 1.0, "error": None, "images": 0}
    with_box = [errors for errors in wrong if errors is not None]
    alpha, error = best_alpha(torch.tensor(with_box, dtype=torch.float64))
    return {"alpha": alpha, "error": error, "images": len(with_box)}


def held_out_places(available: Sequence[int], wanted: int, taken: Sequence[int]) -> list[int]:
    """Choose images that are not evaluated, evenly spread.

    A level that was searched on evaluated images would be fitted to them.

    Args:
        available: Indices of the images of a split.
        wanted: Number of images to choose, or more than there are.
        taken: Indices of the images that are evaluated, when it is the same split.

    Returns:
        Indices of the chosen images.

    Raises:
        InputError: No image is left.

    Example:
        >>> held_out_places(range(6), 2, [0, 2, 4])
        [1, 3]
    """
    free = sorted(set(available) - set(taken))
    if not free:
        raise InputError(
            "evaluation.salient.held_out: every image of that split is evaluated; lower evaluation.images.limit, or "
            "set alpha"
        )
    return spread(free, wanted)

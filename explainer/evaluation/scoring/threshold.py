"""The level of a map, searched on images that are not evaluated (R. Fong, A. Vedaldi, ICCV 2017; FIDO, section 4.5)."""

from collections.abc import Sequence
from typing import Any

import torch

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


def search_alphas(
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batches: Sequence[Batch],
    store: Store,
    device: str,
    maker: MaskMaker = SCALED,
) -> dict[str, dict[str, Any]]:
    """The α of each method under which the box around what is salient is wrong least often.

    Args:
        explanandum: The frozen classifier.
        methods: Those whose maps need one.
        batches: Held-out images.
        store: Errors that it has already are not computed again.
        device: Where to compute.
        maker: Maker of the masks.

    Returns:
        Method → α, its error rate there, and on how many images; α = 1 for a method that fails on all of them.

    Raises:
        InputError: No held-out image has a box, before any map is computed.
    """
    if not any(len(some) for batch in batches for some in true_boxes(batch)):
        raise InputError("evaluation.salient.alpha cannot be searched: no held-out image has a box; give it a number")
    total = len(methods) * sum(len(batch.id) for batch in batches)
    with bars() as progress:
        task = progress.add_task("searching levels", total=total)
        for name, method in methods.items():
            for batch in batches:

                def rows(here: Batch, name: str = name, method: Attribution = method) -> list[Searched]:
                    mask = maker.target_mask(explanandum, method, here.image, here.labels).mask
                    errors = alpha_errors(mask, true_boxes(here))
                    wrong = [None if e.isnan().any() else e.int().tolist() for e in errors]
                    return [{"id": i, "method": name, "wrong": w} for i, w in zip(here.id, wrong, strict=True)]

                if not store.has(name, batch.id):
                    append_or_note(store, name, to_device(batch, device), rows)
                progress.advance(task, len(batch.id))
    return {name: _chosen([row["wrong"] for row in store.rows if row["method"] == name]) for name in methods}


def _chosen(rows: list[list[int] | None]) -> dict[str, Any]:
    if not rows:  # the method failed on every image
        return {"alpha": 1.0, "error": None, "images": 0}
    known = [row for row in rows if row is not None]
    alpha, error = best_alpha(torch.tensor(known, dtype=torch.float64))
    return {"alpha": alpha, "error": error, "images": len(known)}


def held_out_places(available: Sequence[int], wanted: int, taken: Sequence[int]) -> list[int]:
    """Images that are not evaluated, evenly spread.

    Args:
        available: Indices of a split.
        wanted: So many, or as many as there are.
        taken: Those that are evaluated, when it is the same split.

    Returns:
        Indices.

    Raises:
        InputError: None is left.

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

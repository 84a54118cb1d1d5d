"""Alternate explanations: images × sources × sizes of the salient box; resumable.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (section
IV-F).
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explainer.attribution import Attribution
from explainer.attribution.masked_score import no_bars
from explainer.data import ImageDataset
from explainer.evaluation.report.drawing import save_figure, save_picture
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import bars
from explainer.experiments.variations import Variation, saliency_boxes, shrink
from explainer.experiments.variations.acceptance import accepted, explained_class, look, summarise
from explainer.experiments.variations.pictures import Varied, pixel_histograms, size_curves, variation_picture
from explainer.experiments.variations.results import DONE, FULL_BOX, NO_BOX, NO_CLASS, cells, row_name, summarise_rows
from explainer.experiments.variations.settings import VariationSettings
from explainer.files import file_name
from explainer.networks import Explanandum


class Case(NamedTuple):
    """One image, what the classifier decides, and where the evidence is.

    Attributes:
        id: Name.
        image: (1, 3, H, W).
        probabilities: (K,).
        target: The class explained, or None.
        saliency: (1, 1, H, W), raw; None without a class.
        box: (1, 4) long; all 0 without one.
    """

    id: str
    image: Tensor
    probabilities: Tensor
    target: int | None
    saliency: Tensor | None
    box: Tensor

    def status(self, box: Tensor) -> str:
        """Whether this box can be varied: `DONE`, or why not."""
        x0, y0, x1, y1 = box[0].tolist()
        if self.target is None:
            return NO_CLASS
        if x1 <= x0:
            return NO_BOX
        return FULL_BOX if (y1 - y0, x1 - x0) == tuple(self.image.shape[-2:]) else DONE


def explain(
    explanandum: Explanandum, method: Attribution, name: str, image: Tensor, settings: VariationSettings
) -> Case:
    """The classifier's decision on an image (3, H, W), its saliency, and the box around it."""
    whole = image[None]
    probabilities = look(explanandum, whole).probabilities[0]
    target = explained_class(probabilities, explanandum.multilabel)
    if target is None:
        return Case(name, whole, probabilities, None, None, torch.zeros(1, 4, dtype=torch.long))
    saliency = method(explanandum, whole, torch.tensor([target], device=image.device)).detach()
    return Case(
        name,
        whole,
        probabilities,
        target,
        saliency,
        saliency_boxes(saliency, settings.threshold, settings.threshold_of),
    )


def vary_images(
    explanandum: Explanandum,
    method: Attribution,
    settings: VariationSettings,
    dataset: ImageDataset,
    places: Sequence[int],
    store: Store,
    folder: Path,
    device: str = "cpu",
) -> None:
    """Vary every image by every source at every size of the box; pictures and rows are on disk as they come.

    Args:
        explanandum: The frozen classifier, with its classes, on the device.
        method: Whose saliency is boxed.
        settings: Sources, sizes, what counts as unchanged.
        dataset: The images.
        places: Of those that are varied.
        store: Rows that it has already are not computed again.
        folder: Of the pictures, a folder an image.
        device: Where to compute.

    Raises:
        InputError: A source does not fit the classifier.
    """
    for source in settings.sources.values():
        source.check(explanandum.classes)
    folders = image_folders(dataset.ids)
    share = sum(source.steps for source in settings.sources.values()) * len(settings.alphas)
    with bars(counted=False) as progress, no_bars():
        task = progress.add_task("varying", total=share * len(places))
        for number, place in enumerate(places):
            name = dataset.ids[place]
            todo = [c for c in cells(settings) if not store.has(row_name(c[0], c[2]), [name])]
            own = folder / folders[name]
            if todo:
                (own / "sizes.png").unlink(missing_ok=True)  # where it is, it is of all rows
            elif not (own / "sizes.png").is_file():  # killed between the last row and the curves
                draw_sizes(store.rows, name, settings, own)
            sample = dataset[place] if todo else None
            if sample is not None:
                case = explain(explanandum, method, name, sample.image.to(device), settings)
                for source_name, source, alpha in todo:
                    progress.update(task, description=f"{number + 1}/{len(places)} {source_name} α {alpha:g}")
                    row = vary_one(
                        explanandum, case, source_name, source, alpha, settings, own, lambda: progress.advance(task)
                    )
                    store.append([row])
                draw_sizes(store.rows, name, settings, own)
            progress.update(task, completed=share * (number + 1))


def image_folders(ids: Sequence[str]) -> dict[str, str]:
    """Give every image a folder of its own, which further images of a later call do not change.

    Args:
        ids: Of all images of the split.

    Returns:
        Id → name of the folder.

    Example:
        >>> image_folders(["a/1.png", "b.png", "a_1.png"])
        {'a/1.png': 'a_1.png', 'b.png': 'b.png', 'a_1.png': 'a_1.png-ff6c6853'}
    """
    folders: dict[str, str] = {}
    used = {"results.json", "rows.jsonl", "fingerprint.json", "per_image.csv", "table.md", "sizes.png"}
    for name in ids:
        usual = file_name(name)
        folders[name] = file_name(name, [usual]) if usual.casefold() in used else usual
        used.add(folders[name].casefold())
    return folders


def draw_sizes(rows: Sequence[dict[str, Any]], name: str, settings: VariationSettings, folder: Path) -> None:
    """Save the curves over sizes of the box of one image in its folder, if any of its boxes was varied."""
    own = [row for row in rows if row["id"] == name]
    if any(row["status"] == DONE for row in own):
        save_figure(size_curves(summarise_rows(own, settings), name), folder / "sizes.png", dpi=110)


def vary_one(
    explanandum: Explanandum,
    case: Case,
    name: str,
    source: Variation,
    alpha: float,
    settings: VariationSettings,
    folder: Path,
    tick: Callable[[], object],
) -> dict[str, Any]:
    """One image, source and size: its pictures are saved in its folder, its row is returned."""
    box = shrink(case.box, alpha)
    row: dict[str, Any] = {
        "id": case.id,
        "method": row_name(name, alpha),
        "source": name,
        "alpha": alpha,
        "status": case.status(box),
        "box": box[0].tolist(),
    }
    if row["status"] != DONE:
        return row
    assert case.target is not None
    assert case.saliency is not None
    target = torch.tensor([case.target], device=case.image.device)
    start = time.perf_counter()
    made = source(case.image, box, target, around=case.box, tick=tick)
    seen = look(explanandum, made.images[0], settings.batch_size)
    accept = accepted(case.probabilities, seen.probabilities, case.target, explanandum.multilabel, settings.same)
    x0, y0, x1, y1 = row["box"]
    row |= {
        "class": explanandum.classes[case.target],
        "before": float(case.probabilities[case.target]),
        "area": (x1 - x0) * (y1 - y0) / case.image[0, 0].numel(),
        "seconds": time.perf_counter() - start,
    }
    corners = (x0, y0, x1, y1)
    row |= summarise(case.image[0], made.images[0], corners, seen, case.target, accept, made.loss[0])
    varied = Varied(
        case.image[0],
        case.saliency[0],
        made.weight[0],
        made.images[0],
        corners,
        seen.probabilities[:, case.target],
        accept,
    )
    stem = f"{file_name(name)}_{alpha:g}"
    save_picture(variation_picture(varied, row, settings.shown), folder / f"{stem}.png")
    save_figure(pixel_histograms(varied, row), folder / f"{stem}_pixels.png", dpi=110)
    return row

"""Alternate explanations: images × sources × sizes of the salient box; resumable.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020 (section
IV-F).
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from explainer.attribution import Attribution
from explainer.data import ImageDataset
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.storage.rows import PlainRow
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import bars
from explainer.experiments.variations import saliency_boxes, shrink
from explainer.experiments.variations.acceptance import accepted, explained_class, look, summarise
from explainer.experiments.variations.pictures import Varied, pixel_histograms, size_curves, variation_picture
from explainer.experiments.variations.results import (
    DONE,
    FULL_BOX,
    NO_BOX,
    NO_CLASS,
    Cell,
    cells,
    row_name,
    summarise_rows,
)
from explainer.experiments.variations.settings import VariationSettings
from explainer.files import file_name
from explainer.networks import Explanandum
from explainer.rendering import save_picture


class Case(NamedTuple):
    """One image, what the classifier decides, and where the evidence is.

    Attributes:
        id: Name of the image.
        image: Image, (1, 3, H, W) in [0, 1].
        probabilities: Probabilities of the image, (K,) in [0, 1].
        target: Index of the class explained; None where no class is present.
        saliency: Map, (1, 1, H, W), raw; None without a class.
        box: Box around what is salient, (1, 4) long; all 0 without one.
    """

    id: str
    image: Tensor
    probabilities: Tensor
    target: int | None
    saliency: Tensor | None
    box: Tensor

    def status(self, box: Tensor) -> str:
        """Return `DONE` where this box can be varied, else the reason why not.

        Args:
            box: Box, (1, 4) long.
        """
        x0, y0, x1, y1 = box[0].tolist()
        if self.target is None:
            return NO_CLASS
        if x1 <= x0:
            return NO_BOX
        sides = (y1 - y0, x1 - x0)
        if sides == tuple(self.image.shape[-2:]):
            return FULL_BOX
        return DONE


def explain(
    explanandum: Explanandum,
    method: Attribution,
    name: str,
    image: Tensor,
    settings: VariationSettings,
) -> Case:
    """Find the classifier's decision on an image, its saliency, and the box around it.

    Args:
        explanandum: Frozen classifier, with its classes.
        method: Method around whose saliency the box is drawn.
        name: Name of the image.
        image: Image, (3, H, W) in [0, 1].
        settings: Threshold of the box.

    Returns:
        The image with all of these.
    """
    whole = image[None]
    probabilities = look(explanandum, whole).probabilities[0]
    target = explained_class(probabilities, explanandum.multilabel)
    if target is None:
        no_box = torch.zeros(1, 4, dtype=torch.long)
        return Case(name, whole, probabilities, None, None, no_box)
    classes = torch.tensor([target], device=image.device)
    # the loop over images shows a bar already
    saliency = method(explanandum, whole, classes, progress=False).detach()
    box = saliency_boxes(saliency, settings.threshold, settings.threshold_of)
    return Case(name, whole, probabilities, target, saliency, box)


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
        explanandum: Frozen classifier, with its classes, on the device.
        method: Method around whose saliency the box is drawn.
        settings: Sources, sizes, and what must stay of a decision.
        dataset: Data set of the images.
        places: Indices of the images that are varied.
        store: Store of the rows; those that it has already are not computed again.
        folder: Folder of the pictures, with a folder for each image.
        device: Device on which to compute.

    Raises:
        InputError: A source does not fit the classifier.
    """
    # before the first image, so that nothing is lost to what could have been known
    for source in settings.sources.values():
        source.check(explanandum.classes)
    folders = image_folders(dataset.ids)
    steps = sum(source.steps for source in settings.sources.values())
    share = steps * len(settings.alphas)
    with bars(counted=False) as progress:
        task = progress.add_task("varying", total=share * len(places))
        for number, place in enumerate(places):
            name = dataset.ids[place]
            todo = []
            for cell in cells(settings):
                if not store.has(row_name(cell.name, cell.alpha), [name]):
                    todo.append(cell)
            image_folder = folder / folders[name]
            curves = image_folder / "sizes.png"
            if todo:
                curves.unlink(missing_ok=True)  # where this file is, it shows all rows
            elif not curves.is_file():  # killed between the last row and the curves
                draw_sizes(store.rows, name, settings, image_folder)
            sample = dataset[place] if todo else None
            if sample is not None:  # else there is nothing to do, or the image cannot be read
                case = explain(explanandum, method, name, sample.image.to(device), settings)
                for cell in todo:
                    words = f"{number + 1}/{len(places)} {cell.name} α {cell.alpha:g}"
                    progress.update(task, description=words)
                    row = vary_one(explanandum, case, cell, settings, image_folder, lambda: progress.advance(task))
                    store.append([row])
                draw_sizes(store.rows, name, settings, image_folder)
            # set, not advanced: what was done before or cannot be read counts as well
            progress.update(task, completed=share * (number + 1))


def image_folders(ids: Sequence[str]) -> dict[str, str]:
    """Give every image a folder of its own, which further images of a later call do not change.

    Args:
        ids: Names of all images of the split.

    Returns:
        Id → name of the folder.

    Example:
        >>> image_folders(["a/1.png", "b.png", "a_1.png"])
        {'a/1.png': 'a_1.png', 'b.png': 'b.png', 'a_1.png': 'a_1.png-ff6c6853'}
    """
    folders: dict[str, str] = {}
    # the files beside the images' folders
    used = {"results.json", "rows.jsonl", "fingerprint.json", "per_image.csv", "table.md", "sizes.png"}
    for name in ids:
        folders[name] = file_name(name)
        if folders[name].casefold() in used:
            # the name with its own digest, not a number: which images came before may change
            folders[name] = file_name(name, [folders[name]])
        used.add(folders[name].casefold())
    return folders


def draw_sizes(rows: Sequence[PlainRow], name: str, settings: VariationSettings, folder: Path) -> None:
    """Save the curves over sizes of the box of one image in its folder, if any of its boxes was varied."""
    image_rows = [row for row in rows if row["id"] == name]
    if any(row["status"] == DONE for row in image_rows):
        figure = size_curves(summarise_rows(image_rows, settings), name)
        save_figure(figure, folder / "sizes.png", dpi=110)


def vary_one(
    explanandum: Explanandum,
    case: Case,
    cell: Cell,
    settings: VariationSettings,
    folder: Path,
    tick: Callable[[], object],
) -> PlainRow:
    """Vary one image by one source at one size, and save the pictures.

    Args:
        explanandum: Frozen classifier.
        case: Image with its box.
        cell: Source, and size of the box.
        settings: Settings that tell what must stay of a decision, and how many variations a picture shows.
        folder: Folder of the image's pictures.
        tick: Function that is called `steps` times.

    Returns:
        The row of results.
    """
    box = shrink(case.box, cell.alpha)
    row: PlainRow = {
        "id": case.id,
        "method": row_name(cell.name, cell.alpha),
        "source": cell.name,
        "alpha": cell.alpha,
        "status": case.status(box),
        "box": box[0].tolist(),
    }
    if row["status"] != DONE:
        return row
    # the status says so, but not to the type checker
    assert case.target is not None
    assert case.saliency is not None
    target = torch.tensor([case.target], device=case.image.device)
    start = time.perf_counter()
    # a source that zooms looks around the whole box at every α, so that all sizes are seen at one scale
    patches = cell.source(case.image, box, target, around=case.box, tick=tick)
    images = patches.images[0]
    seen = look(explanandum, images, settings.batch_size)
    accept = accepted(case.probabilities, seen.probabilities, case.target, explanandum.multilabel, settings.same)
    x0, y0, x1, y1 = row["box"]
    image = case.image[0]
    row |= {
        "class": explanandum.classes[case.target],
        "before": float(case.probabilities[case.target]),
        "area": (x1 - x0) * (y1 - y0) / image[0].numel(),
        "seconds": time.perf_counter() - start,
    }
    corners = (x0, y0, x1, y1)
    row |= summarise(image, images, corners, seen, case.target, accept, patches.loss[0])
    scores = seen.probabilities[:, case.target]
    saliency = case.saliency[0]
    weight = patches.weight[0]
    varied = Varied(image, saliency, weight, images, corners, scores, accept)
    stem = f"{file_name(cell.name)}_{cell.alpha:g}"
    save_picture(variation_picture(varied, row, settings.shown), folder / f"{stem}.png")
    save_figure(pixel_histograms(varied, row), folder / f"{stem}_pixels.png", dpi=110)
    return row

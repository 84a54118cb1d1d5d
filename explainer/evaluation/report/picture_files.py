"""The pictures and figures of an evaluation, each whole or absent, none over another one's name."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from explainer.attribution import Attribution, Constant, Reference
from explainer.data import Batch, ImageDataset, collate
from explainer.evaluation.batches import to_device
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.report.class_gallery import class_gallery
from explainer.evaluation.report.counterfactuals import counterfactual_gallery
from explainer.evaluation.report.curves import plot_flipping
from explainer.evaluation.report.decisions import decision_gallery
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.gallery import found, method_gallery
from explainer.evaluation.results.decisions import examples
from explainer.evaluation.scoring.decisions import Decisions
from explainer.evaluation.scoring.metrics import Judge
from explainer.evaluation.settings import Evaluation
from explainer.evaluation.storage.fingerprint import slug
from explainer.files import file_name
from explainer.metrics import Flipping
from explainer.networks import Explanandum
from explainer.rendering import save_picture

GALLERY, COUNTERFACTUALS = "gallery.png", "counterfactuals"
CLASSES, DECISIONS = "classes.png", "decisions.png"
_LONGEST = 100


def file_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Give every name a file name of its own, without a suffix.

    Args:
        names: Names of methods, say. Of those that would share a file, the later ones get another name.
        taken: File names that are no longer free.

    Returns:
        Name → file name.

    Example:
        >>> file_names(["RISE", "a b", "a_b"])
        {'RISE': 'RISE', 'a b': 'a_b', 'a_b': 'a_b-648fa9b3'}
    """
    used, chosen = {other.casefold() for other in taken}, {}
    for name in names:
        usual = slug(name)
        free = usual.casefold() not in used and 0 < len(usual) <= _LONGEST
        chosen[name] = usual if free else file_name(name, [*used, usual])
        used.add(chosen[name].casefold())
    return chosen


def to_show(dataset: ImageDataset, places: list[int], count: int) -> list[int]:
    """So many of these places of a data set, evenly spread, those of labelled images if there are any."""
    if not count:
        return []
    labelled = [i for i in places if dataset.labels(i).any()] or places
    return labelled[:: max(1, len(labelled) // count)][:count]


def write_pictures(
    settings: Evaluation,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    dataset: ImageDataset,
    places: tuple[list[int], list[int]],
    judge: Judge,
    kept: MaskStore,
    out: Path,
    device: str,
) -> None:
    """The gallery and the counterfactuals, of images at these places; without images none."""
    batches = (to_device(collate([dataset[i] for i in some]), device) for some in places)
    chosen, imagined = (settings.targets.of(explanandum, batch) for batch in batches)
    if chosen.id:
        save_picture(method_gallery(explanandum, methods, chosen, kept, settings.maker), out / GALLERY)
    shown = {name: method for name, method in methods.items() if not isinstance(method, Reference)}
    if chosen.id and shown and settings.report.class_gallery:
        picture = class_gallery(explanandum, shown, chosen, settings.report.class_gallery, settings.maker)
        save_picture(picture, out / CLASSES)
    write_counterfactuals(settings, explanandum, methods, judge, imagined, kept, out)


def write_decisions(
    settings: Evaluation,
    decisions: Decisions | None,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    dataset: ImageDataset,
    rows: list[dict[str, Any]],
    out: Path,
    device: str,
) -> None:
    """The picture of right and wrong decisions, of images that the rows say have them; without images none."""
    places = [dataset.ids.index(name) for name in examples(rows, settings.decisions or 0)]
    if decisions is None or not places:
        return
    batch = to_device(collate([dataset[i] for i in places]), device)
    picture = decision_gallery(decisions, explanandum, methods, batch, settings.decisions or 0)
    if picture is not None:
        save_picture(picture, out / DECISIONS)


def write_counterfactuals(
    settings: Evaluation,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    judge: Judge,
    batch: Batch,
    kept: MaskStore,
    out: Path,
) -> None:
    """A picture a method, of what remains and what replaces the region; of no images none."""
    names = file_names(methods)
    for name, method in methods.items() if batch.id else ():
        if not isinstance(method, Constant):
            mask = found(explanandum, name, method, batch, kept, settings.maker)
            picture = counterfactual_gallery(explanandum, mask, judge.levels(name, mask), batch, settings.infills)
            save_picture(picture, out / COUNTERFACTUALS / f"{names[name]}.png")


def write_curves(settings: Evaluation, methods: list[str], rows: list[dict[str, Any]], out: Path) -> None:
    """A figure of every metric that has curves."""
    names = file_names(settings.metrics, taken=[Path(name).stem for name in (GALLERY, CLASSES, DECISIONS)])
    for column, metric in settings.metrics.items():
        if isinstance(metric, Flipping):
            save_figure(plot_flipping(rows, methods, column), out / f"{names[column]}.png", dpi=150)

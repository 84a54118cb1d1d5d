"""The pictures and figures of an evaluation, each whole or absent, none over another one's name."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from explainer.attribution import Attribution, Constant, Reference
from explainer.data import Batch, ImageDataset, collate
from explainer.evaluation.batches import to_device
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.report.class_gallery import class_gallery
from explainer.evaluation.report.counterfactuals import counterfactual_gallery
from explainer.evaluation.report.curves import plot_flipping
from explainer.evaluation.report.decisions import decision_gallery
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.gallery import PictureMasks, method_gallery
from explainer.evaluation.results.decisions import examples
from explainer.evaluation.scoring.decisions import Decisions
from explainer.evaluation.scoring.metrics import Judge
from explainer.evaluation.settings import Evaluation
from explainer.evaluation.storage.fingerprint import slug
from explainer.evaluation.storage.rows import PlainRow
from explainer.files import file_name
from explainer.metrics import Flipping
from explainer.networks import Explanandum
from explainer.rendering import save_picture

GALLERY = "gallery.png"
COUNTERFACTUALS = "counterfactuals"
CLASSES = "classes.png"
DECISIONS = "decisions.png"
LONGEST = 100
"""Characters of a file name, at most."""


def file_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return a different file name, without a suffix, for every name.

    Args:
        names: Names, of methods for example. Of those that would share a file, the later ones get another name.
        taken: File names that are no longer free.

    Returns:
        Name → file name.

    Example:
        >>> file_names(["RISE", "a b", "a_b"])
        {'RISE': 'RISE', 'a b': 'a_b', 'a_b': 'a_b-648fa9b3'}
    """
    # some file systems do not tell capital letters apart
    used = {other.casefold() for other in taken}
    chosen = {}
    for name in names:
        usual = slug(name)
        free = usual.casefold() not in used and 0 < len(usual) <= LONGEST
        chosen[name] = usual if free else file_name(name, [*used, usual])
        used.add(chosen[name].casefold())
    return chosen


def to_show(dataset: ImageDataset, places: list[int], count: int) -> list[int]:
    """Return evenly spread places of a data set, those of labelled images if there are any.

    Args:
        dataset: Data set.
        places: Places to choose from.
        count: Number of places, at most.
    """
    if not count:
        return []
    labelled = [place for place in places if dataset.labels(place).any()] or places
    step = max(1, len(labelled) // count)
    return labelled[::step][:count]


def write_pictures(
    settings: Evaluation,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    dataset: ImageDataset,
    places: tuple[list[int], list[int]],
    judge: Judge,
    store: MaskStore,
    out: Path,
    device: str,
) -> None:
    """Write the gallery, the masks of classes and the counterfactuals; without images none.

    Args:
        settings: Settings of the evaluation.
        explanandum: Frozen classifier.
        methods: Name → method.
        dataset: Data set of the images.
        places: Places of the images of the galleries, and of those of the counterfactuals.
        judge: Judge, which knows the levels of maps.
        store: Masks on the disk.
        out: Folder of the results.
        device: Device on which to compute.
    """
    batches = [collate([dataset[place] for place in of_pictures]) for of_pictures in places]
    pictured, imagined = (to_device(batch, device) for batch in batches)
    source = PictureMasks(store, settings.maker, settings.truth.rule)
    chosen = settings.targets.of(explanandum, pictured)
    if chosen.id:
        picture = method_gallery(explanandum, methods, chosen, source, pictured)
        save_picture(picture, out / GALLERY)
    # a reference has one mask whatever the class
    without_references = {name: method for name, method in methods.items() if not isinstance(method, Reference)}
    classes = settings.report.class_gallery
    if chosen.id and without_references and classes:
        picture = class_gallery(explanandum, without_references, chosen, classes, settings.maker)
        save_picture(picture, out / CLASSES)
    if imagined.id:
        batch = settings.targets.of(explanandum, imagined)
        write_counterfactuals(settings, explanandum, methods, judge, batch, source, out)


def write_decisions(
    settings: Evaluation,
    decisions: Decisions | None,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    dataset: ImageDataset,
    rows: Sequence[PlainRow],
    out: Path,
    device: str,
) -> None:
    """Write the picture of right and wrong decisions; without images none.

    Args:
        settings: Settings of the evaluation.
        decisions: Sorter of classes by kind; None where nobody asked for the picture.
        explanandum: Frozen classifier.
        methods: Name → method.
        dataset: Data set of the images.
        rows: Rows, which say which images have decisions of each kind.
        out: Folder of the results.
        device: Device on which to compute.
    """
    count = settings.decisions or 0
    places = [dataset.ids.index(name) for name in examples(rows, count)]
    if decisions is None or not places:
        return
    batch = collate([dataset[place] for place in places])
    batch = to_device(batch, device)
    picture = decision_gallery(decisions, explanandum, methods, batch, count)
    if picture is not None:
        save_picture(picture, out / DECISIONS)


def write_counterfactuals(
    settings: Evaluation,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    judge: Judge,
    batch: Batch,
    source: PictureMasks,
    out: Path,
) -> None:
    """Write a picture for each method, of what remains and what replaces the region.

    Args:
        settings: Settings of the evaluation.
        explanandum: Frozen classifier, on the batch's device.
        methods: Name → method; constant masks are not worth a picture.
        judge: Judge, which knows the levels of maps.
        batch: Images, at least one.
        source: Source of the masks.
        out: Folder of the results.
    """
    names = file_names(methods)
    for name, method in methods.items():
        if not isinstance(method, Constant):
            mask = source.of_method(explanandum, name, method, batch)
            levels = judge.levels(name, mask)
            picture = counterfactual_gallery(explanandum, mask, levels, batch, settings.infills)
            save_picture(picture, out / COUNTERFACTUALS / f"{names[name]}.png")


def write_curves(settings: Evaluation, methods: list[str], rows: Sequence[PlainRow], out: Path) -> None:
    """Write a figure of every metric that has curves.

    Args:
        settings: Settings of the evaluation.
        methods: Names of the methods.
        rows: Rows of a `Store`.
        out: Folder of the results.
    """
    # a metric may have the name of a picture
    taken = [Path(name).stem for name in (GALLERY, CLASSES, DECISIONS)]
    names = file_names(settings.metrics, taken)
    for column, metric in settings.metrics.items():
        if isinstance(metric, Flipping):
            figure = plot_flipping(rows, methods, column)
            save_figure(figure, out / f"{names[column]}.png", dpi=150)

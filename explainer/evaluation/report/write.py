"""evaluate.py's last step: the page for readers, and the same in wandb."""

from pathlib import Path

from explainer.attribution import Attribution
from explainer.data import Batch
from explainer.evaluation.context import Context, file_of_classifier
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.report import About, log_report, pictures, read_results, write_page
from explainer.evaluation.report.gallery import PictureMasks
from explainer.networks import Explanandum
from explainer.tracking import Tracker


def report(
    context: Context,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batch: Batch,
    store: MaskStore | None,
    out: Path,
) -> Path | None:
    """Write report.html and table.tex from what a folder holds, and log them to wandb; each only where asked for.

    Args:
        context: Name, config and settings of the evaluation.
        explanandum: Frozen classifier, on the batch's device.
        methods: Name → method.
        batch: Images of the gallery, with the labels of the data set.
        store: Masks on the disk.
        out: Folder with results.json.

    Returns:
        Path of the page; None where nobody asked for one.
    """
    settings = context.settings
    if not (settings.report.page or settings.report.wandb):
        return None
    content, rows = read_results(out)
    source = PictureMasks(store, settings.maker, settings.truth.rule)
    explained = settings.targets.of(explanandum, batch)
    shown = list(pictures(explanandum, methods, explained, source, rows, batch))
    page = write_page(out, content, rows, about(context, explanandum), shown)
    if settings.report.wandb:
        tracker = Tracker(f"{context.name}_evaluation", out, resume=True)
        log_report(tracker.experiment, content, page, shown)
        tracker.finalize("success")
    return page


def about(context: Context, explanandum: Explanandum) -> About:
    """Return what is judged, in words.

    Args:
        context: Name, config and settings of the evaluation.
        explanandum: Frozen classifier.
    """
    # two classifiers of one architecture differ by their weights
    file = file_of_classifier(context)
    network = explanandum.spec["network"]
    classifier = network if file is None else f"{network} of {file}"
    data_set = context.config["data"]["class_path"].split(".")[-1]
    return About(context.name, classifier, data_set, context.settings.images.split)

"""evaluate.py's alternate explanations: table, curves and pictures."""

import torch

from explainer.attribution import GradCAM
from explainer.evaluation.context import Context, prepared
from explainer.evaluation.images import check_infills
from explainer.evaluation.report.printers import to_markdown, to_terminal
from explainer.evaluation.storage.fingerprint import settings_of
from explainer.evaluation.storage.rows import Varied
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import show_tables, tell
from explainer.experiments.base import Experiment
from explainer.experiments.variations.loop import vary_images
from explainer.experiments.variations.results import (
    asked_rows,
    not_varied,
    summarise_rows,
    variation_table,
    write_variations,
)
from explainer.experiments.variations.settings import VariationSettings
from explainer.files import write_text
from explainer.infill import Infill


class Variations(VariationSettings, Experiment):
    """Make alternate explanations; settings as in `VariationSettings`."""

    def run(self, context: Context) -> dict[str, object]:
        """Make alternate explanations.

        Args:
            context: Checkpoint, data and settings from the command line.

        Returns:
            The content of results.json.
        """
        return vary(self, context)


def vary(settings: VariationSettings, context: Context) -> dict[str, object]:
    """Make alternate explanations: table, results.json, per_image.csv, and pictures of each image.

    Args:
        settings: Sources of variations, and the box.
        context: Checkpoint, data and settings from the command line.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
    """
    out = context.out
    prepared_run = prepared(context)
    method = settings.method or prepared_run.methods.get("Explainer") or GradCAM()
    facts = prepared_run.facts | {
        "saliency": settings_of({"": method})[""],
        "threshold": [settings.threshold, settings.threshold_of],
        "same": settings.same,
        "methods": settings_of(settings.sources),
    }
    infills: dict[str, Infill] = {}
    for name, source in settings.sources.items():
        infill = getattr(source, "infill", None)
        if isinstance(infill, Infill):
            infills[name] = infill
    check_infills(infills, prepared_run.sample, prepared_run.explanandum)
    store = Store(out, facts, Varied)
    vary_images(
        prepared_run.explanandum,
        method,
        settings,
        prepared_run.dataset,
        prepared_run.places,
        store,
        out,
        prepared_run.device,
    )
    # device and version change no decision: results.json tells them, but the store's fingerprint does not hold them
    circumstances = {"device": prepared_run.device, "torch": torch.__version__}
    rows = list(store.rows)
    content = write_variations(rows, settings, facts | circumstances, out)
    asked = asked_rows(rows, settings)
    title = f"{context.name} on {context.settings.images.split}"
    table = variation_table(summarise_rows(asked, settings), title)
    write_text(out / "table.md", to_markdown(table))
    show_tables([to_terminal(table)], 160)
    tell(not_varied(rows, settings))
    tell(f"skipped the unreadable image {name}" for name in prepared_run.dataset.unreadable)
    tell([f"written to {out}: results.json, per_image.csv, table.md, sizes.png, and a folder of pictures an image"])
    return content

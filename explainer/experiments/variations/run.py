"""evaluate.py's alternate explanations: table, curves and pictures."""

from typing import Any

import torch

from explainer.attribution import GradCAM
from explainer.evaluation.context import Context, prepared
from explainer.evaluation.images import check_infills
from explainer.evaluation.storage.fingerprint import settings_of
from explainer.evaluation.storage.rows import Varied
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import show_tables, tell
from explainer.experiments.base import Experiment
from explainer.experiments.variations.loop import vary_images
from explainer.experiments.variations.results import not_varied, variation_tables, write_variations
from explainer.experiments.variations.settings import VariationSettings
from explainer.files import write_text
from explainer.infill import Infill


class Variations(VariationSettings, Experiment):
    """Make alternate explanations; settings as in `VariationSettings`."""

    def run(self, context: Context) -> dict[str, Any]:
        """Make them."""
        return vary(self, context)


def vary(settings: VariationSettings, context: Context) -> dict[str, Any]:
    """Make alternate explanations: table, results.json, per_image.csv, and pictures of each image.

    Args:
        settings: Sources of variations, and the box.
        context: From the command line.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
    """
    out = context.out
    here = prepared(context)
    method = settings.method or here.methods.get("Explainer") or GradCAM()
    facts = here.facts | {
        "saliency": settings_of({"": method})[""],
        "threshold": [settings.threshold, settings.threshold_of],
        "same": settings.same,
        "methods": settings_of(settings.sources),
    }
    infills = {name: getattr(source, "infill", None) for name, source in settings.sources.items()}
    known = {name: infill for name, infill in infills.items() if isinstance(infill, Infill)}
    check_infills(known, here.sample, here.explanandum)
    store = Store(out, facts, Varied)
    vary_images(here.explanandum, method, settings, here.dataset, here.places, store, out, here.device)
    content = write_variations(store.rows, settings, facts | {"device": here.device, "torch": torch.__version__}, out)
    tables, lines = variation_tables(content["results"], f"{context.name} on {context.settings.images.split}")
    write_text(out / "table.md", lines)
    show_tables([tables], 160)
    tell(not_varied(store.rows, settings))
    tell(f"skipped the unreadable image {name}" for name in here.dataset.unreadable)
    tell([f"written to {out}: results.json, per_image.csv, table.md, sizes.png, and a folder of pictures an image"])
    return content

"""evaluate.py's alternate explanations: table, curves and pictures."""

import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from explainer.attribution import GradCAM
from explainer.cli import RESULTS, ExplainerCLI
from explainer.evaluation.fingerprint import settings_of
from explainer.evaluation.places import check_infills
from explainer.evaluation.settings import Variations
from explainer.evaluation.store import Store
from explainer.evaluation.variation_results import not_varied, variation_tables, write_variations
from explainer.evaluation.variations import vary_images
from explainer.infill import Infill
from explainer.subject import prepared


def vary(cli: ExplainerCLI) -> dict[str, Any]:
    """Make alternate explanations: table, results.json, per_image.csv, and pictures of each image.

    Args:
        cli: Holds the config.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
    """
    settings: Variations = cli.variations
    here = prepared(cli)
    method = settings.method or here.methods.get("Explainer") or GradCAM()
    facts = here.facts | {
        "saliency": settings_of({"": method})[""], "threshold": [settings.threshold, settings.threshold_of],
        "same": settings.same, "methods": settings_of(settings.sources),
    }  # fmt: skip
    infills = {name: getattr(source, "infill", None) for name, source in settings.sources.items()}
    known = {name: infill for name, infill in infills.items() if isinstance(infill, Infill)}
    check_infills(known, here.dataset[here.places[0]], here.explanandum)
    out = Path(cli.evaluation.out or RESULTS / cli.name)
    store = Store(out, facts)
    vary_images(here.explanandum, method, settings, here.dataset, here.places, store, out, here.device)
    content = write_variations(store.rows, settings, facts | {"device": here.device, "torch": torch.__version__}, out)
    tables, lines = variation_tables(content["results"], f"{cli.name} on {cli.evaluation.split}")
    (out / "table.md").write_text(lines)
    Console(width=None if sys.stdout.isatty() else 160).print(tables)
    for line in not_varied(store.rows, settings):
        print(line)
    for name in here.dataset.unreadable:
        print(f"skipped the unreadable image {name}")
    print(f"written to {out}: results.json, per_image.csv, table.md, sizes.png, and a folder of pictures an image")
    return content

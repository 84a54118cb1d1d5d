"""evaluate.py's comparison of in-fills: table, box plots and pictures."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from explainer.cli import RESULTS, ExplainerCLI
from explainer.errors import InputError
from explainer.evaluation.fingerprint import infill_settings
from explainer.evaluation.infills import (
    compare_fills,
    fill_gallery,
    fill_table,
    image_and_hole,
    plot_fills,
    summarise_fills,
)
from explainer.evaluation.places import check_infills
from explainer.evaluation.settings import Evaluation, InfillComparison
from explainer.evaluation.store import Store
from explainer.subject import prepared


def compare_infills(cli: ExplainerCLI) -> dict[str, Any]:
    """Fill in the same holes by every in-fill, and ask the classifier.

    Args:
        cli: Holds the config.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used, or no image has a hole.
    """
    settings: InfillComparison = cli.infills
    evaluation: Evaluation = cli.evaluation
    explanandum, _, dataset, places, device, facts = prepared(cli)
    check_infills(settings.fills, dataset[places[0]], explanandum)
    found = [image_and_hole(dataset, place, settings) for place in places]
    cases = [case for case in found if case is not None]
    if not cases:
        raise InputError(
            f"infills.where {settings.where}: none of the {len(places)} images has labels and room for a hole; "
            "take smaller ones, or anywhere"
        )
    facts = {k: v for k, v in facts.items() if k not in ("images", "spread", "offset", "one_label")}  # others may join
    facts |= {
        "where": settings.where, "smallest": settings.smallest, "largest": settings.largest, "seed": settings.seed,
        **({"share": settings.share} if settings.where.endswith("pixels") else {}),
        "methods": {name: infill_settings(fill) for name, fill in settings.fills.items()},
    }  # fmt: skip
    out = Path(evaluation.out or RESULTS / cli.name)
    store = Store(out, facts)
    compare_fills(explanandum, settings.fills, cases, store, settings.seed, device)
    ids = {batch.id[0] for batch, _ in cases}
    rows = [row for row in store.rows if row["id"] in ids]
    results = summarise_fills(rows, list(settings.fills))
    content = {"facts": facts, "without a hole": len(places) - len(cases), "results": results}
    (out / "results.json").write_text(json.dumps(content, indent=2) + "\n")
    words = f"{len(cases)} holes, {settings.where}; {len(places) - len(cases)} images without one. Means over images."
    table, text = fill_table(results, f"{cli.name} on {evaluation.split}")
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    (out / "table.md").write_text(f"{text}\n\n{words} * best of the column.\n")
    plot_fills(rows, list(settings.fills)).savefig(out / "infills.png", dpi=150)
    if settings.examples:
        fill_gallery(explanandum, settings.fills, cases[: settings.examples], settings.seed, device).save(
            out / "examples.png"
        )
    print(f"{words}\nwritten to {out}: results.json, rows.jsonl, table.md, infills.png, examples.png")
    return content

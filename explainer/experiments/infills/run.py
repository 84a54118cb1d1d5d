"""evaluate.py's comparison of in-fills: table, box plots and pictures."""

from explainer.errors import InputError
from explainer.evaluation.context import Context, prepared
from explainer.evaluation.images import check_infills
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.printers import to_markdown, to_terminal
from explainer.evaluation.storage.fingerprint import infill_settings
from explainer.evaluation.storage.rows import Filled
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import show_tables, tell
from explainer.experiments.base import Experiment
from explainer.experiments.infills.compare import (
    compare_fills,
    fill_gallery,
    fill_table,
    image_and_hole,
    plot_fills,
    summarise_fills,
)
from explainer.experiments.infills.settings import InfillSettings
from explainer.files import write_json, write_text
from explainer.rendering import save_picture


class InfillComparison(InfillSettings, Experiment):
    """Fill in the same holes by every in-fill, and ask the classifier; settings as in `InfillSettings`."""

    def run(self, context: Context) -> dict[str, object]:
        """Compare the in-fills.

        Args:
            context: Checkpoint, data and settings from the command line.

        Returns:
            The content of results.json.
        """
        return compare_infills(self, context)


def compare_infills(settings: InfillSettings, context: Context) -> dict[str, object]:
    """Fill in the same holes by every in-fill, and ask the classifier.

    Args:
        settings: Settings of the in-fills and of the holes.
        context: Checkpoint, data and settings from the command line.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used, or no image has a hole.
    """
    out = context.out
    prepared_run = prepared(context)
    explanandum = prepared_run.explanandum
    places = prepared_run.places
    device = prepared_run.device
    check_infills(settings.fills, prepared_run.sample, explanandum)
    cases = []
    for place in places:
        case = image_and_hole(prepared_run.dataset, place, settings)
        if case is not None:
            cases.append(case)
    if not cases:
        raise InputError(
            f"experiment.init_args.where {settings.where}: none of the {len(places)} images has labels and room for a "
            "hole; take smaller ones, or anywhere"
        )
    # which images were taken is no part of the fingerprint: others may join in a later call
    of_images = ("images", "spread", "offset", "one_label")
    facts = {key: value for key, value in prepared_run.facts.items() if key not in of_images}
    facts |= {
        "where": settings.where,
        "smallest": settings.smallest,
        "largest": settings.largest,
        "seed": settings.seed,
    }
    if settings.where.endswith("pixels"):
        facts["share"] = settings.share
    facts["methods"] = {name: infill_settings(fill) for name, fill in settings.fills.items()}
    store = Store(out, facts, Filled)
    compare_fills(explanandum, settings.fills, cases, store, settings.seed, device)
    # the store may hold rows of images that an earlier call took and this one does not
    ids = {batch.id[0] for batch, _ in cases}
    rows = [row for row in store.rows if row["id"] in ids]
    results = summarise_fills(rows, list(settings.fills))
    without = len(places) - len(cases)
    content = {"facts": facts, "without a hole": without, "results": results}
    write_json(out / "results.json", content)
    caption = f"{len(cases)} holes, {settings.where}; {without} images without one. Means over images"
    title = f"{context.name} on {context.settings.images.split}"
    table = fill_table(results, title, caption)
    write_text(out / "table.md", to_markdown(table))
    save_figure(plot_fills(rows, list(settings.fills)), out / "infills.png", dpi=150)
    if settings.examples:
        examples = cases[: settings.examples]
        picture = fill_gallery(explanandum, settings.fills, examples, settings.seed, device)
        save_picture(picture, out / "examples.png")
    show_tables([to_terminal(table)], 140)
    tell([f"written to {out}: results.json, rows.jsonl, table.md, infills.png, examples.png"])
    return content

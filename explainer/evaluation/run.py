"""evaluate.py's table: methods × metrics × images."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from explainer.attribution import Attribution, Reference
from explainer.data import ImageDataModule, collate
from explainer.errors import InputError
from explainer.evaluation.batches import to_device
from explainer.evaluation.context import Context, Prepared, prepared
from explainer.evaluation.facts import all_infills, method_facts, target_facts
from explainer.evaluation.images import candidates, check_infills
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.names import check_classes, check_methods
from explainer.evaluation.references import ANNOTATED, ORIGINAL, check_free
from explainer.evaluation.report.class_matrix import matrix_table
from explainer.evaluation.report.decisions import decision_table
from explainer.evaluation.report.files import write_results
from explainer.evaluation.report.picture_files import (
    CLASSES,
    COUNTERFACTUALS,
    DECISIONS,
    GALLERY,
    to_show,
    write_curves,
    write_decisions,
    write_pictures,
)
from explainer.evaluation.report.printers import markdown_file, to_terminal
from explainer.evaluation.report.summary_table import summary_table
from explainer.evaluation.report.table import Table
from explainer.evaluation.report.write import report
from explainer.evaluation.results.columns import FIXED, columns_of
from explainer.evaluation.results.provenance import Clock, run_facts
from explainer.evaluation.scoring.class_matrix import ClassMatrix, class_matrix
from explainer.evaluation.scoring.decisions import Decisions
from explainer.evaluation.scoring.loop import Scoring
from explainer.evaluation.scoring.metrics import Judge
from explainer.evaluation.scoring.processes import check_processes, evaluate_together, unfinished
from explainer.evaluation.scoring.threshold import held_out_places, search_alphas
from explainer.evaluation.settings import Evaluation
from explainer.evaluation.storage.fingerprint import settings_of
from explainer.evaluation.storage.rows import Evaluated, Searched
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import show_tables, tell
from explainer.files import write_text
from explainer.networks import Explanandum


def score_methods(context: Context) -> dict[str, Any]:
    """Score every method on every image of a split, write results and pictures, and then print the table.

    Args:
        context: Checkpoint, data and settings from the command line.

    Returns:
        The content of results.json; under "failed", method → image → error.

    Raises:
        InputError: Something given cannot be used.
    """
    out = context.out
    settings = context.settings
    data = context.data
    clock = Clock()
    here = prepared(context)
    explanandum = here.explanandum
    methods = here.methods
    dataset = here.dataset
    places = here.places
    device = here.device
    matrix = checked_matrix(settings, data.classes, methods)
    decisions = None if settings.decisions is None else Decisions(settings.targets.threshold, settings.maker)
    facts = here.facts | method_facts(settings, methods, matrix)
    check_infills(all_infills(settings, methods), here.sample, explanandum)
    check_processes(settings.processes, device)
    chosen = to_show(dataset, places, settings.report.gallery)
    imagined = to_show(dataset, places, settings.report.counterfactuals)
    shown = {dataset.ids[i] for i in (*chosen, *imagined)}
    kept = kept_masks(settings, methods, facts, out, shown)
    check_room(kept, len(places), data.image_size)
    store = Store(out, facts, Evaluated)
    alphas = found_alphas(settings, data, explanandum, methods, facts, places, out, device)
    level = 0.5 if settings.salient.level is None else settings.salient.level
    judge = Judge(settings.metrics, settings.infill, level, {name: a["alpha"] for name, a in alphas.items()})
    scoring = scoring_of(settings, kept, judge, matrix, decisions)
    batches = unfinished(dataset, places, data.batch_size, list(methods), store)
    evaluate_together(
        settings.processes,
        explanandum,
        methods,
        dataset,
        batches,
        data.num_workers,
        store,
        scoring,
        device=device,
    )
    ids = [dataset.ids[i] for i in places]
    rows = in_order(store.rows, [ORIGINAL, *ANNOTATED, *methods], ids)
    failures = {name: store.failures(name, ids) for name in [*ANNOTATED, *methods]}
    failed = {name: images for name, images in failures.items() if images}
    content = write_results(
        rows,
        facts,
        out,
        alphas,
        columns=columns_of(settings.metrics | settings.checks),
        failed=failed,
        run=run_facts(clock, dict(context.config), device, settings.processes),
        published=settings.report.published,
    )
    able = {name: method for name, method in methods.items() if not failures[name].keys() & shown}
    write_pictures(settings, explanandum, able, dataset, (chosen, imagined), judge, kept, out, device)
    write_curves(settings, list(methods), rows, out)
    write_decisions(settings, decisions, explanandum, able, dataset, rows, out, device)
    present(context, here, content, chosen, kept, out)
    return content


def checked_matrix(settings: Evaluation, classes: Sequence[str], methods: dict[str, Attribution]) -> ClassMatrix | None:
    """Check every name that the settings give, and make the class matrix that they ask for.

    Args:
        settings: Settings of the evaluation.
        classes: Names of the data set's classes.
        methods: Name → method.

    Returns:
        The matrix; None where none is asked for.

    Raises:
        InputError: A name is of no method or class, or belongs to a reference.
    """
    check_free(methods)
    check_methods("evaluation.sanity_checks.methods", settings.checked or (), methods)
    check_classes("evaluation.report.class_gallery", settings.report.class_gallery, classes)
    asked = settings.class_matrix
    return class_matrix(asked.methods, asked.classes, classes, methods, settings.maker)


def scoring_of(
    settings: Evaluation, kept: MaskStore, judge: Judge, matrix: ClassMatrix | None, decisions: Decisions | None
) -> Scoring:
    """Gather what is asked of every mask.

    Args:
        settings: Settings of the evaluation.
        kept: Store of masks.
        judge: Metrics of the config, and the levels of maps.
        matrix: Class-specific masking matrix.
        decisions: What masks show of right and wrong decisions.
    """
    return Scoring(
        rule=settings.truth.rule,
        targets=settings.targets,
        maker=settings.maker,
        kept=kept,
        curve_steps=settings.curve_steps,
        judge=judge if settings.metrics else None,
        checks=settings.checks,
        checked=settings.checked,
        matrix=matrix,
        decisions=decisions,
        true_boxes=settings.truth.boxes,
    )


def present(
    context: Context, here: Prepared, content: dict[str, Any], chosen: list[int], kept: MaskStore, out: Path
) -> None:
    """Write tables and report, show the tables, and say what was written and what is missing.

    Args:
        context: Checkpoint, data and settings from the command line.
        here: What was evaluated.
        content: Content of results.json.
        chosen: Places of the images that the report shows.
        kept: Where masks are.
        out: Folder of the results.
    """
    settings = context.settings
    tables = write_tables(content, settings, out, f"{context.name} on {settings.images.split}")
    batch = to_device(collate([here.dataset[i] for i in chosen]), here.device)
    page = report(context, here.explanandum, here.methods, settings.targets.of(here.explanandum, batch), kept, out)
    show_tables([to_terminal(table) for table in tables], table_width(content, settings))
    tell([f"report: {page}"] if page else [])
    tell([f"written to {out}: {', '.join(written(settings))}"])
    tell(missing(content["failed"], here.dataset.unreadable))


def written(settings: Evaluation) -> list[str]:
    """Name the files of an evaluation."""
    pictures = {
        GALLERY: settings.report.gallery,
        f"{COUNTERFACTUALS}/": settings.report.counterfactuals,
        CLASSES: settings.report.class_gallery,
        DECISIONS: settings.decisions,
    }
    return ["results.json", "per_image.csv", "table.md", *(name for name, wanted in pictures.items() if wanted)]


def kept_masks(
    settings: Evaluation, methods: dict[str, Attribution], facts: dict[str, Any], out: Path, shown: set[str]
) -> MaskStore:
    """Where masks are kept: of all images, or of those that are shown; of references, which cost nothing, none.

    Args:
        settings: Settings of the evaluation.
        methods: Name → method.
        facts: What the rows depend on, `method_facts` among it.
        out: Folder of the results.
        shown: Ids of the images of pictures.

    Returns:
        The masks on disk; prints which are there of something else.
    """
    common = {key: facts[key] for key in ("checkpoint", "data", "split", "version")} | target_facts(settings)
    about = {
        name: common | {"method": facts["methods"][name]} | ({"scaled": False} if not settings.maker.scaled else {})
        for name, method in methods.items()
        if not isinstance(method, Reference)
    }
    folder = out / "maps" if settings.cache in (None, "none") else Path(settings.cache)
    kept = MaskStore(folder, about, shown if settings.cache == "none" else None)
    kept.sweep()
    tell(kept.strangers())
    return kept


def check_room(kept: MaskStore, images: int, side: int) -> None:
    """Refuse an evaluation whose maps would fill the disk, before the long work.

    Args:
        kept: Where they will be.
        images: How many are evaluated.
        side: Side of the images.

    Raises:
        InputError: Says how much room they need.
    """
    folder = next(parent for parent in (kept.folder, *kept.folder.absolute().parents) if parent.exists())
    needed, free = kept.missing_bytes(images, side), shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"the maps would take {needed / 1e9:.1f} GB of {free / 1e9:.1f} GB free in {kept.folder}: "
            "name another folder with --evaluation.cache, or keep none with --evaluation.cache=none"
        )


def in_order(rows: list[dict[str, Any]], methods: list[str], images: list[str]) -> list[dict[str, Any]]:
    """The rows of these methods and images, in their order, in whichever they were computed.

    Args:
        rows: Rows of a `Store`, which may hold those of earlier calls too.
        methods: Names.
        images: Ids.

    Example:
        >>> rows = [{"method": "b", "id": "1"}, {"method": "a", "id": "2"}, {"method": "a", "id": "1"}]
        >>> [row["method"] + row["id"] for row in in_order(rows, ["a", "b"], ["1", "2"])]
        ['a1', 'a2', 'b1']
    """
    by_key = {(row["method"], row["id"]): row for row in rows}
    return [by_key[method, image] for method in methods for image in images if (method, image) in by_key]


def missing(failed: dict[str, dict[str, str]], unreadable: list[str]) -> list[str]:
    """What is missing from the table: a line for each method and image that failed, and each unreadable image."""
    lines = [
        f"failed: {method} on {image}: {error}" for method, some in failed.items() for image, error in some.items()
    ]
    return lines + [f"skipped the unreadable image {name}" for name in unreadable]


def found_alphas(
    settings: Evaluation,
    data: ImageDataModule,
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    facts: dict[str, Any],
    places: list[int],
    out: Path,
    device: str,
) -> dict[str, dict[str, Any]]:
    """Method → its α, for the methods that need one: as given, or searched on held-out images."""
    wanted = {name: method for name, method in methods.items() if settings.salient.level is None or not method.is_mask}
    if not wanted or not (settings.metrics or settings.report.counterfactuals):
        return {}
    if settings.salient.alpha is not None:
        return {name: {"alpha": settings.salient.alpha} for name in wanted}
    dataset = data.split(settings.salient.held_out_split)
    taken = places if settings.salient.held_out_split == settings.images.split else []
    held_out = held_out_places(candidates(dataset, settings.images.one_label), settings.salient.held_out, taken)
    parts = [held_out[i : i + data.batch_size] for i in range(0, len(held_out), data.batch_size)]
    batches = [collate([dataset[i] for i in part]) for part in parts]
    kept = {key: facts[key] for key in ("checkpoint", "data", "version")}
    described = {"split": settings.salient.held_out_split, "images": held_out, "methods": settings_of(wanted)}
    store = Store(out / "held_out", kept | described, Searched)
    return search_alphas(explanandum, wanted, batches, store, device, settings.maker)


def write_tables(content: dict[str, Any], settings: Evaluation, out: Path, title: str) -> list[Table]:
    """Write table.md.

    Args:
        content: Content of results.json.
        settings: Settings of the evaluation.
        out: Folder of the results.
        title: Title of the terminal's table.

    Returns:
        The tables.
    """
    tables = [summary_table(content, title, settings.report.intervals)]
    if any("summary" in one for one in (content["matrix"] or {}).values()):
        tables.append(matrix_table(content["matrix"]))
    if content["decisions"]:
        tables.append(decision_table(content["decisions"]))
    write_text(out / "table.md", markdown_file(tables))
    return tables


def table_width(content: dict[str, Any], settings: Evaluation) -> int:
    """Characters that the terminal's table takes where the output is no terminal."""
    columns = sum(name not in FIXED for name in content["columns"])
    return 140 + (18 if settings.report.intervals else 14) * (columns + 4)

"""evaluate.py's table: methods × metrics × images."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explainer.attribution import Attribution, Reference
from explainer.data import collate
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
from explainer.evaluation.results.content import Content
from explainer.evaluation.results.provenance import Clock, run_facts
from explainer.evaluation.scoring.class_matrix import ClassMatrix, class_matrix
from explainer.evaluation.scoring.decisions import Decisions
from explainer.evaluation.scoring.launched import Task, evaluate_by
from explainer.evaluation.scoring.loop import Scoring, Subject
from explainer.evaluation.scoring.metrics import Judge
from explainer.evaluation.scoring.processes import Workload, check_processes, evaluate_together, unfinished
from explainer.evaluation.scoring.threshold import Alpha, held_out_places, search_alphas
from explainer.evaluation.settings import Evaluation
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.fingerprint import Fingerprint, settings_of
from explainer.evaluation.storage.rows import Evaluated, PlainRow, Searched
from explainer.evaluation.storage.store import Store
from explainer.evaluation.telling import show_tables, tell
from explainer.files import write_text
from explainer.launching.cells import Folders


def score_methods(context: Context) -> Content:
    """Score every method on every image of a split, write results and pictures, and then print the table.

    Args:
        context: Checkpoint, data and settings from the command line.

    Returns:
        The content of results.json; under "failed", method → image → error.

    Raises:
        InputError: Something given cannot be used.
    """
    clock = Clock()
    out = context.out
    settings = context.settings
    setup = prepared(context)
    dataset = setup.dataset
    # Everything that can be refused is checked before the first map is made: the rest may take days.
    matrix = checked_matrix(settings, context.data.classes, setup.methods)
    facts = setup.facts | method_facts(settings, setup.methods, matrix)
    check_infills(all_infills(settings, setup.methods), setup.sample, setup.explanandum)
    check_launching(settings, setup, out)
    pictured = to_show(dataset, setup.places, settings.report.gallery)
    imagined = to_show(dataset, setup.places, settings.report.counterfactuals)
    shown = {dataset.ids[place] for place in (*pictured, *imagined)}
    mask_store = open_mask_store(settings, setup.methods, facts, out, shown)
    check_room(mask_store, len(setup.places), context.data.image_size)
    store = Store(out, facts, Evaluated)
    alphas = salient_alphas(context, setup)
    judge = judge_of(settings, alphas)
    decisions = None
    if settings.decisions is not None:
        decisions = Decisions(settings.targets.threshold, settings.maker)
    batches = unfinished(dataset, setup.places, context.data.batch_size, list(setup.methods), store)
    score_batches(
        settings,
        Subject(setup.explanandum, setup.methods, setup.device),
        Workload(dataset, batches, context.data.num_workers),
        store,
        scoring_of(settings, mask_store, judge, matrix, decisions),
        out,
    )
    ids = [dataset.ids[place] for place in setup.places]
    rows = in_order(store.rows, [ORIGINAL, *ANNOTATED, *setup.methods], ids)
    failures = {name: store.failures(name, ids) for name in [*ANNOTATED, *setup.methods]}
    content = write_results(
        rows,
        facts,
        out,
        alphas,
        columns=columns_of(settings.metrics | settings.checks),
        failed={name: images for name, images in failures.items() if images},
        run=run_facts(clock, dict(context.config), setup.device, settings.processes),
        published=settings.report.published,
    )
    # a method that failed on an image of a picture would fail on it again, and lose the picture of all others
    able = {}
    for name, method in setup.methods.items():
        if not failures[name].keys() & shown:
            able[name] = method
    write_pictures(
        settings, setup.explanandum, able, dataset, (pictured, imagined), judge, mask_store, out, setup.device
    )
    write_curves(settings, list(setup.methods), rows, out)
    write_decisions(settings, decisions, setup.explanandum, able, dataset, rows, out, setup.device)
    # the report reads what it shows, and hundreds of thousands of rows need not be held twice
    del store, rows
    # last: whatever nobody reads on the terminal is on the disk by then
    present(context, setup, content, pictured, mask_store)
    return content


def check_launching(settings: Evaluation, setup: Prepared, out: Path) -> None:
    """Refuse a launcher that cannot run here, or more processes than there are GPUs, before the long work.

    Args:
        settings: Settings of the evaluation.
        setup: Classifier, methods and images of the evaluation.
        out: Folder of the results.

    Raises:
        InputError: Says what is missing.
    """
    if settings.launcher is None:
        check_processes(settings.processes, setup.device)
    else:
        settings.launcher.check(Folders.below(out).jobs, settings.processes)


def score_batches(
    settings: Evaluation, subject: Subject, workload: Workload, store: Store, scoring: Scoring, out: Path
) -> None:
    """Score every method on every image, by this process, several of them, or a launcher.

    Args:
        settings: Settings of the evaluation.
        subject: Classifier and methods.
        workload: Images.
        store: Store of the rows so far; it has all of them afterwards.
        scoring: Questions to every mask.
        out: Folder of the results.

    Raises:
        InputError: A method refuses every image of its first batch.
        WorkError: A call of the launcher failed; the rows of the others are kept.
    """
    if settings.launcher is None:
        return evaluate_together(settings.processes, subject, workload, store, scoring)
    # the machine of a call may have another device than this one
    task = Task(subject._replace(device=settings.device), workload, store, scoring)
    subject.explanandum.cpu()
    evaluate_by(settings.launcher, settings.processes, task, Folders.below(out))
    subject.explanandum.to(subject.device)
    return None


def judge_of(settings: Evaluation, alphas: Mapping[str, Alpha]) -> Judge:
    """Build what judges masks by the metrics of the config.

    Args:
        settings: Settings of the evaluation.
        alphas: Method → α, of the methods that need one.
    """
    # maps that are masks or probabilities are cut at one half where the config names no level
    level = 0.5
    if settings.salient.level is not None:
        level = settings.salient.level
    numbers = {name: alpha["alpha"] for name, alpha in alphas.items()}
    return Judge(settings.metrics, settings.infill, level, numbers)


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
    settings: Evaluation,
    mask_store: MaskStore,
    judge: Judge,
    matrix: ClassMatrix | None,
    decisions: Decisions | None,
) -> Scoring:
    """Gather what is asked of every mask.

    Args:
        settings: Settings of the evaluation.
        mask_store: Store of masks.
        judge: Metrics of the config, and the levels of maps.
        matrix: Class-specific masking matrix.
        decisions: Measure of what masks show of right and wrong decisions.
    """
    return Scoring(
        rule=settings.truth.rule,
        targets=settings.targets,
        maker=settings.maker,
        mask_store=mask_store,
        curve_steps=settings.curve_steps,
        judge=judge if settings.metrics else None,
        checks=settings.checks,
        checked=settings.checked,
        matrix=matrix,
        decisions=decisions,
        true_boxes=settings.truth.boxes,
    )


def present(context: Context, setup: Prepared, content: Content, pictured: list[int], mask_store: MaskStore) -> None:
    """Write tables and report, show the tables, and say what was written and what is missing.

    Args:
        context: Checkpoint, data and settings from the command line.
        setup: Classifier, methods and images of the evaluation.
        content: Content of results.json.
        pictured: Places of the images that the report shows.
        mask_store: Store of masks.
    """
    out = context.out
    settings = context.settings
    title = f"{context.name} on {settings.images.split}"
    tables = write_tables(content, settings, out, title)
    batch = collate([setup.dataset[place] for place in pictured])
    batch = to_device(batch, setup.device)
    page = report(context, setup.explanandum, setup.methods, batch, mask_store, out)
    show_tables([to_terminal(table) for table in tables], table_width(content, settings))
    if page:
        tell([f"report: {page}"])
    files = ", ".join(files_of(settings))
    tell([f"written to {out}: {files}"])
    tell(missing(content.get("failed") or {}, setup.dataset.unreadable))


def files_of(settings: Evaluation) -> list[str]:
    """Name the files of an evaluation."""
    pictures = {
        GALLERY: settings.report.gallery,
        f"{COUNTERFACTUALS}/": settings.report.counterfactuals,
        CLASSES: settings.report.class_gallery,
        DECISIONS: settings.decisions,
    }
    files = ["results.json", "per_image.csv", "table.md"]
    return files + [name for name, wanted in pictures.items() if wanted]


def open_mask_store(
    settings: Evaluation,
    methods: dict[str, Attribution],
    facts: Fingerprint,
    out: Path,
    shown: set[str],
) -> MaskStore:
    """Open the store of masks, and print which masks it holds of something else.

    It takes the masks of all images, or of those that are shown; of references none, for they cost nothing.

    Args:
        settings: Settings of the evaluation.
        methods: Name → method.
        facts: Facts that the rows depend on, `method_facts` among them.
        out: Folder of the results.
        shown: Ids of the images of pictures.
    """
    # Not all facts: what a mask is measured by changes no mask, so that further metrics need no further maps.
    common = {key: facts[key] for key in ("checkpoint", "data", "split", "version")}
    common |= target_facts(settings)
    if not settings.maker.scaled:
        # only the setting that came later is written down, so that earlier masks stay valid
        common["scaled"] = False
    about = {}
    for name, method in methods.items():
        if not isinstance(method, Reference):
            about[name] = common | {"method": facts["methods"][name]}
    folder = out / "maps" if settings.cache in (None, "none") else Path(settings.cache)
    # without a cache those of the pictures are stored all the same: to show a mask must not run its method again
    only = shown if settings.cache == "none" else None
    mask_store = MaskStore(folder, about, only)
    mask_store.sweep()
    tell(mask_store.strangers())
    return mask_store


def check_room(mask_store: MaskStore, images: int, side: int) -> None:
    """Refuse an evaluation whose maps would fill the disk, before the long work.

    Args:
        mask_store: Store of masks.
        images: Number of images that are evaluated.
        side: Side of the square images in pixels.

    Raises:
        InputError: Says how much room the maps need.
    """
    # the folder is made later: its disk is that of the nearest parent that exists
    parents = (mask_store.folder, *mask_store.folder.absolute().parents)
    folder = next(parent for parent in parents if parent.exists())
    needed = mask_store.missing_bytes(images, side)
    free = shutil.disk_usage(folder).free
    if needed > free:
        room = f"{needed / 1e9:.1f} GB of {free / 1e9:.1f} GB free"
        raise InputError(
            f"the maps would take {room} in {mask_store.folder}: "
            "name another folder with --evaluation.cache, or keep none with --evaluation.cache=none"
        )


def in_order(rows: Sequence[PlainRow], methods: Sequence[str], images: Sequence[str]) -> Rows:
    """Select the rows of these methods and images, in their order, in whichever they were computed.

    The order decides the order of every table, and several processes finish in any.

    Args:
        rows: Rows of a `Store`, which may hold those of earlier calls too.
        methods: Names of the methods.
        images: Ids of the images.

    Example:
        >>> rows = [{"method": "b", "id": "1"}, {"method": "a", "id": "2"}, {"method": "a", "id": "1"}]
        >>> [row["method"] + row["id"] for row in in_order(rows, ["a", "b"], ["1", "2"])]
        ['a1', 'a2', 'b1']
    """
    held = Rows.over(rows)
    place_of_method = _places(held, "method", methods)
    place_of_image = _places(held, "id", images)
    asked = np.flatnonzero((place_of_method >= 0) & (place_of_image >= 0))
    # an image on which a method failed has no row
    place = place_of_method[asked] * len(images) + place_of_image[asked]
    order = np.argsort(place, kind="stable")
    # of several rows of an image and method the last counts
    is_last = np.append(np.diff(place[order]) > 0, True)[: len(order)]
    return held.take(asked[order[is_last]])


def _places(rows: Rows, key: str, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each row's text among some; -1 for one that is not among them."""
    codes, names = rows.codes(key)
    place = {text: number for number, text in enumerate(texts)}
    return np.array([*(place.get(name, -1) for name in names), -1])[codes]


def missing(failed: dict[str, dict[str, str]], unreadable: list[str]) -> list[str]:
    """Say what is missing from the table: a line for each method and image that failed, and each unreadable image.

    Args:
        failed: Method → image → error.
        unreadable: Names of the images that could not be read.
    """
    lines = []
    for method, errors in failed.items():
        lines += [f"failed: {method} on {image}: {error}" for image, error in errors.items()]
    return lines + [f"skipped the unreadable image {name}" for name in unreadable]


def salient_alphas(context: Context, setup: Prepared) -> dict[str, Alpha]:
    """Take the α of each method that needs one from the config, or search it on held-out images.

    Args:
        context: Checkpoint, data and settings from the command line.
        setup: Classifier, methods and images of the evaluation.

    Returns:
        Method → its α; nothing where no metric and no picture asks which pixels are salient.
    """
    settings = context.settings
    salient = settings.salient
    # a mask has a level that means something, one half; another map is cut relative to its own mean
    needing = {}
    for name, method in setup.methods.items():
        if salient.level is None or not method.is_mask:
            needing[name] = method
    if not needing or not (settings.metrics or settings.report.counterfactuals):
        return {}
    if salient.alpha is not None:
        return {name: {"alpha": salient.alpha} for name in needing}
    dataset = context.data.split(salient.held_out_split)
    taken: list[int] = []
    if salient.held_out_split == settings.images.split:
        taken = setup.places
    available = candidates(dataset, settings.images.one_label)
    held_out = held_out_places(available, salient.held_out, taken)
    batches = []
    for start in range(0, len(held_out), context.data.batch_size):
        places = held_out[start : start + context.data.batch_size]
        batches.append(collate([dataset[place] for place in places]))
    # a store of its own: errors at each α are no rows of the evaluation
    fingerprint = {key: setup.facts[key] for key in ("checkpoint", "data", "version")}
    fingerprint |= {"split": salient.held_out_split, "images": held_out, "methods": settings_of(needing)}
    store = Store(context.out / "held_out", fingerprint, Searched)
    return search_alphas(setup.explanandum, needing, batches, store, setup.device, settings.maker)


def write_tables(content: Content, settings: Evaluation, out: Path, title: str) -> list[Table]:
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
    matrices = content["matrix"] or {}
    # a paper's matrix has no summary
    if any("summary" in matrix for matrix in matrices.values()):
        tables.append(matrix_table(matrices))
    if content["decisions"]:
        tables.append(decision_table(content["decisions"]))
    write_text(out / "table.md", markdown_file(tables))
    return tables


def table_width(content: Content, settings: Evaluation) -> int:
    """Return the characters that a line of the table takes where the output is no terminal.

    Without a width of its own a table would be cut to 80 characters.

    Args:
        content: Content of results.json.
        settings: Settings of the evaluation.
    """
    columns = sum(name not in FIXED for name in content["columns"])
    width = 18 if settings.report.intervals else 14
    return 140 + width * (columns + 4)

"""An audit in the order in which it runs: masks of all images, suspicions, classes, the page."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explainer.audit.classes import ClassSummary, summaries
from explainer.audit.masks import MaskSource
from explainer.audit.page import About, Second, write_page
from explainer.audit.scan import ScanSettings, list_digest, order_of, scan
from explainer.audit.sources import Source, read
from explainer.audit.store import Row, Scan, ScanStore
from explainer.audit.suspicions import Images, Suspicion, SuspicionSettings, suspicions
from explainer.audit.versus import differences, fates
from explainer.errors import InputError
from explainer.files import write_json
from explainer.version import __version__

VERSUS = "versus"
"""Folder of the second classifier's scan, below the audit's."""


@dataclass(frozen=True)
class AuditSettings:
    """What an audit does.

    Attributes:
        scan: How masks are made.
        search: What is looked for in them.
    """

    scan: ScanSettings = field(default_factory=ScanSettings)
    search: SuspicionSettings = field(default_factory=SuspicionSettings)


class Subject(NamedTuple):
    """A classifier that is audited.

    Attributes:
        masks: What explains it.
        name: Name of its checkpoint or network, for the page.
        by: What explains it, in words.
        facts: Checkpoint and method that masks depend on, in plain values.
    """

    masks: MaskSource
    name: str
    by: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Telling:
    """What is told of the work; nothing by default.

    Attributes:
        progress: Function of the name of the step, of what is done, and of all.
        refused: Function of the name of an image that cannot be read, and of the reason.
    """

    progress: Callable[[str, int, int], None] = lambda step, done, of: None
    refused: Callable[[str, str], None] = lambda name, words: None


class Audited(NamedTuple):
    """The results of an audit.

    Attributes:
        scan: Rows and arrays of the data set.
        suspicions: Suspicions, the highest score first.
        classes: Where the evidence of each class lies, the most frequent class first.
        second: Second classifier; None without one.
        page: Path of the page.
    """

    scan: Scan
    suspicions: list[Suspicion]
    classes: list[ClassSummary]
    second: Second | None
    page: Path


def audit(
    source: Source,
    subject: Subject,
    out: Path,
    settings: AuditSettings = AuditSettings(),
    versus: Subject | None = None,
    telling: Telling = Telling(),
) -> Audited:
    """Audit a data set.

    Args:
        source: Images.
        subject: Classifier.
        out: Folder of the results; what is done there already is not done again.
        settings: Settings.
        versus: Second classifier, of the same classes; None for none.
        telling: What is told of the work.

    Returns:
        The results, which are files too: rows.jsonl, masks.npz, suspicions.json, classes.json and audit.html.

    Raises:
        InputError: The classifiers have other classes, the folder holds the audit of something else, or no image can
            be read.
    """
    if versus is not None and versus.masks.classes != subject.masks.classes:
        raise InputError(f"the classes of {versus.name} are not those of {subject.name}: compare two of one data set")
    start = time.monotonic()
    scanned = _scanned(source, subject, out, settings, telling, ())
    second_scan = None
    if versus is not None:
        second_scan = _scanned(source, versus, out / VERSUS, settings, telling, scanned.rows)
    seconds = time.monotonic() - start
    ranked = _search(source, subject, scanned, settings, telling)
    classes = summaries(scanned)
    write_json(out / "suspicions.json", [plain(one, scanned.rows) for one in ranked])
    write_json(out / "classes.json", [_plain_class(one) for one in classes])
    second = None
    if versus is not None and second_scan is not None:
        second = _compared(source, versus, scanned, ranked, second_scan, settings, telling)
        entries = [
            {"fate": entry.fate, "score": entry.score, "other_score": entry.other_score} | plain(entry.suspicion, ())
            for entry in second.fates
        ]
        write_json(out / "versus.json", {"distance": second.distance, "suspicions": entries})
    telling.progress("page", 0, 1)
    names = {row["id"] for row in scanned.rows}
    about = About(source.name, subject.name, subject.by, len(names), _facts(subject, source, settings, seconds))
    page = write_page(out, about, scanned, ranked, classes, reader(source, subject.masks.image_size), second)
    telling.progress("page", 1, 1)
    return Audited(scanned, ranked, classes, second, page)


def _scanned(
    source: Source,
    subject: Subject,
    out: Path,
    settings: AuditSettings,
    telling: Telling,
    asked: Sequence[Row],
) -> Scan:
    """Make the masks of all images, or read those that are there."""
    order = order_of(len(source.images), settings.scan)
    facts = {
        **subject.facts,
        "images": list_digest(source.images.ids[index] for index in order),
        "image size": subject.masks.image_size,
        "threshold": subject.masks.threshold,
        "masked": settings.scan.masked,
        "patches": settings.scan.patches,
        "classes asked": list_digest(f"{row['index']} {row['class']}" for row in asked),
        "format": 1,
    }
    store = ScanStore(out, facts)
    step = f"masks of {subject.name}"
    return scan(
        source,
        subject.masks,
        store,
        settings.scan,
        lambda done, of: telling.progress(step, done, of),
        telling.refused,
        asked,
    )


def _search(
    source: Source,
    subject: Subject,
    scanned: Scan,
    settings: AuditSettings,
    telling: Telling,
) -> list[Suspicion]:
    """Look for suspicions in a scan."""
    step = f"suspicions of {subject.name}"
    return suspicions(
        scanned,
        subject.masks,
        reader(source, subject.masks.image_size),
        settings.search,
        lambda done, of: telling.progress(step, done, of),
    )


def _compared(
    source: Source,
    versus: Subject,
    scanned: Scan,
    ranked: Sequence[Suspicion],
    second_scan: Scan,
    settings: AuditSettings,
    telling: Telling,
) -> Second:
    """Put two classifiers side by side."""
    other = _search(source, versus, second_scan, settings, telling)
    largest, distance = differences(scanned, second_scan)
    return Second(versus.name, second_scan, fates(ranked, other, settings.search.near), largest, distance)


def reader(source: Source, side: int) -> Images:
    """Return a function that reads images of a source again.

    Args:
        source: Images.
        side: Side of the images that are returned, in pixels.
    """
    # in this process: a few images are read before new processes have begun
    single = source._replace(workers=0)

    def images(indices: Sequence[int]) -> Tensor:
        parts = [reading.images for reading in read(single, indices, 16, side)]
        return torch.cat(parts) if parts else torch.zeros(0, 3, side, side)

    return images


def plain(one: Suspicion, rows: Sequence[Row]) -> dict[str, Any]:
    """Return a suspicion in plain values.

    Args:
        one: Suspicion.
        rows: Rows of the scan, for the names of the images that have it; empty for no names.
    """
    return {
        "class": one.of_class,
        "kind": one.kind,
        "raised": one.raised,
        "score": one.score,
        "recurs": one.recurs,
        "share": one.share,
        "elsewhere": one.elsewhere,
        "alike": one.alike,
        "turns": one.turns,
        "turned": None if one.tried is None else one.tried.turned,
        "control": None if one.tried is None else one.tried.control,
        "targets": None if one.tried is None else one.tried.images,
        "small": one.small,
        "on_object": one.on_object,
        "p": one.p,
        "place": None if one.place is None else one.place.region.astype(int).tolist(),
        "images": [rows[row]["id"] for row in one.rows] if rows else [],
    }


def _plain_class(one: ClassSummary) -> dict[str, Any]:
    """Return where the evidence of a class lies in plain values, without its masks."""
    return {
        "class": one.name,
        "decisions": one.decisions,
        "labelled": one.labelled,
        "right": one.right,
        "area": one.area,
        "object": one.object,
        "context": one.context,
        "border": one.border,
        "groups": [len(kind.members) for kind in one.kinds],
    }


def _facts(subject: Subject, source: Source, settings: AuditSettings, seconds: float) -> list[tuple[str, str]]:
    """Return words and values of the run."""
    facts = [(str(key).capitalize(), str(value)) for key, value in subject.facts.items()]
    scan_settings = ", ".join(f"{key} {value}" for key, value in asdict(settings.scan).items())
    search = ", ".join(f"{key} {value}" for key, value in asdict(settings.search).items())
    return [
        ("Data", source.name),
        *facts,
        ("Masks", f"{seconds:.1f} s in this call"),
        ("Scan", scan_settings),
        ("Search", search),
        ("Version", f"explainer {__version__}"),
    ]

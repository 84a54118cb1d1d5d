"""report.html: one file that shows a finished evaluation to someone who does not know it, without any network."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from explainer.errors import InputError
from explainer.evaluation.references import ANNOTATED, ORIGINAL, left_out
from explainer.evaluation.report.columns import costs, decisions, quality
from explainer.evaluation.report.curve_panels import curves
from explainer.evaluation.report.heat_map import heat_maps
from explainer.evaluation.report.html import TEMPLATES, template
from explainer.evaluation.report.maps import Shown, data_uri
from explainer.evaluation.report.measures import DOTS, measures
from explainer.evaluation.report.printers import latex_file, to_html
from explainer.evaluation.report.table import MARKS
from explainer.evaluation.report.tables import report_tables, with_costs
from explainer.evaluation.results.content import Content, MethodResults, nested_results
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.reading import salvage
from explainer.evaluation.storage.rows import PlainRow
from explainer.files import read_state, write_text

PAGE = "report.html"
TABLE = "table.tex"
LISTED = 200
"""Images at most that are named one by one, of those on which a method failed or whose maps hold no information."""
PACKAGES = {"version": "explainer"}
"""Name of a version in the facts → the package whose version it is."""


class About(NamedTuple):
    """What was judged, in words for a reader.

    Attributes:
        name: Name of the run.
        classifier: Network of the classifier, such as "torchvision's resnet50".
        data: Data set, such as "COCO".
        split: Split of the data set.
    """

    name: str
    classifier: str = ""
    data: str = ""
    split: str = ""


class PictureMap(NamedTuple):
    """A method's map of an image.

    Attributes:
        method: Name of the method.
        source: Map as a data URI.
        note: What the classifier makes of the image through the map.
    """

    method: str
    source: str
    note: str


class Picture(NamedTuple):
    """An image of the gallery, as the template wants it.

    Attributes:
        id: Name of the image.
        photograph: Photograph as a data URI.
        size: Width and height of the photograph in pixels.
        labels: Labels of the image with the classifier's probabilities, in words.
        maps: A map for each method.
    """

    id: str
    photograph: str
    size: tuple[int, int]
    labels: str
    maps: list[PictureMap]


class OddMaps(NamedTuple):
    """Maps of a method that hold no information.

    Attributes:
        method: Name of the method.
        word: "NaN" or "constant".
        images: Names of the images.
        judged: Number of images that the method was judged on.
    """

    method: str
    word: str
    images: list[str]
    judged: int


def write_report(folder: Path, about: About, shown: Iterable[Shown] = ()) -> Path:
    """Write report.html and table.tex from the results in a folder.

    Args:
        folder: Folder with results.json and the rows.
        about: Names of what was judged.
        shown: Images of the gallery.

    Returns:
        Path of the page.

    Raises:
        InputError: There are no results in the folder.
    """
    return write_page(folder, *read_results(folder), about, shown)


def write_page(
    folder: Path, content: Content, rows: Sequence[PlainRow], about: About, shown: Iterable[Shown] = ()
) -> Path:
    """Write report.html and table.tex from results that were read.

    Args:
        folder: Folder of the files.
        content: Content of results.json.
        rows: Rows of the results.
        about: Names of what was judged.
        shown: Images of the gallery.

    Returns:
        Path of the page.
    """
    write_text(folder / TABLE, latex_file(report_tables(content)))
    return write_text(folder / PAGE, page(content, rows, about, shown))


def read_results(folder: Path) -> tuple[Content, Rows]:
    """Read results.json and the rows of its methods.

    Args:
        folder: Folder of the evaluation.

    Returns:
        Content and rows: of what was tried again the last row, and no torn one.

    Raises:
        InputError: There is no results.json, or it is torn.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise InputError(f"{path} is missing: evaluate first, the report is made from it")
    content = read_state(path, dict[str, Any])
    if content is None or not isinstance(content.get("results"), dict):
        raise InputError(f"{path} is torn: evaluate again, which writes it from the rows")
    # a folder may hold rows of methods that the last call left out
    asked = {*content["results"], *(content.get("failed") or {})}
    return nested_results(content), salvage(folder).where("method", asked)


def page(content: Content, rows: Sequence[PlainRow], about: About, shown: Iterable[Shown] = ()) -> str:
    """Return the page; every word that comes from outside is escaped.

    Args:
        content: Content of results.json.
        rows: Rows of the results.
        about: Names of what was judged.
        shown: Images of the gallery.

    Returns:
        HTML that asks for no other file.
    """
    rows = Rows.over(rows)
    # folders of early versions have other costs
    content = with_costs(content)
    results = content["results"]
    performance = results.get(ORIGINAL, {}).get("kept") or {}
    return template("page.html").render(
        about=about,
        tables=report_tables(content),
        to_html=to_html,
        marks=MARKS,
        published=content.get("published"),
        run=run_facts(content),
        columns=[*quality(content), *decisions(content), *costs(content)],
        pictures=[_picture(one) for one in shown],
        curves=curves(content, rows),
        measures=measures(content, rows),
        matrices=heat_maps(content.get("matrix")),
        dots=DOTS,
        listed=LISTED,
        failed=failures(content, rows),
        odd=odd_maps(content, rows),
        unranked=left_out(results),
        counts=counts(content),
        original={score: value for score, value in performance.items() if value is not None},
        intervals=any(entry.get("interval") for entry in results.values()),
        pairs=bool(content.get("pairs")),
        config=config_text(content),
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup(script()),
    )


def script() -> str:
    """Return what the page does: its own script after that of the colour scheme's button."""
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("theme.js", "script.js"))


def counts(content: Content) -> dict[str, int]:
    """Return the numbers of methods, measures and images.

    Args:
        content: Content of results.json.

    Example:
        >>> counts({"results": {"a": {"images": 3, "scores": {"iou": 0.5}}}})
        {'methods': 1, 'measures': 1, 'images': 3}
    """
    results = content["results"]
    methods = [name for name in results if name not in (ORIGINAL, *ANNOTATED)]
    # the most, since a method that failed on some images has fewer
    images = max((entry.get("images") or 0 for entry in results.values()), default=0)
    return {"methods": len(methods), "measures": len(quality(content)), "images": images}


def _picture(one: Shown) -> Picture:
    """Return an image of the gallery with its pictures as text."""
    maps = []
    for name, picture in one.maps.items():
        note = one.notes.get(name, "")
        maps.append(PictureMap(name, data_uri(picture), note))
    return Picture(one.id, data_uri(one.photograph), one.photograph.size, one.labels, maps)


def run_facts(content: Content) -> list[tuple[str, str]]:
    """Return words and values of a run, those that are known.

    Args:
        content: Content of results.json.

    Example:
        >>> run_facts({"facts": {"device": "cpu"}, "run": {"seconds": 90}})
        [('Device', 'cpu'), ('Last call', '1 min 30 s')]
    """
    facts = content.get("facts", {})
    run = content.get("run") or {}
    seconds = run.get("seconds")
    map_seconds = _seconds_of_maps(content.get("results", {}))
    # early versions had the versions among the facts
    versions = run.get("versions") or {name: facts[name] for name in ("version", "torch") if name in facts}
    packages = [f"{PACKAGES.get(name, name)} {version}" for name, version in versions.items()]
    known = {
        "Started": run.get("started"),
        "Commit": run.get("commit"),
        "Device": run.get("device") or facts.get("device"),
        "Last call": None if seconds is None else lasted(seconds),
        "All maps": lasted(map_seconds) if map_seconds else None,
        "Versions": ", ".join(packages),
        "Checkpoint": facts.get("checkpoint"),
    }
    return [(words, str(value)) for words, value in known.items() if value]


def _seconds_of_maps(results: Mapping[str, MethodResults]) -> float:
    """Return how long all maps took together, as far as that is known."""
    total = 0.0
    for entry in results.values():
        cost = entry.get("cost")
        # the images as they are have no map, and folders of early versions no cost
        if cost:
            seconds = (cost.get("ms") or 0) / 1000
            total += seconds * (entry.get("images") or 0)
    return total


def lasted(seconds: float) -> str:
    """Return a duration in words.

    Example:
        >>> lasted(12.34), lasted(7325)
        ('12.3 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def config_text(content: Content) -> str:
    """Return the config as it was resolved, or what the results depend on.

    Args:
        content: Content of results.json.
    """
    config = (content.get("run") or {}).get("config")
    if isinstance(config, str):
        return config
    return json.dumps(config or content.get("facts", {}), indent=2, ensure_ascii=False)


def failures(content: Content, rows: Sequence[PlainRow]) -> dict[str, dict[str, str]]:
    """Return the errors of each method.

    Args:
        content: Content of results.json.
        rows: Rows of the results.

    Returns:
        Method → image → error.
    """
    failed = content.get("failed")
    if failed is not None:
        return {method: dict(errors) for method, errors in failed.items() if errors}
    # a folder of an early version tells failures in its rows only
    held = Rows.over(rows)
    errors_by_method: dict[str, dict[str, str]] = {}
    for row in held.take(np.flatnonzero(held.has("error"))):
        errors_by_method.setdefault(row["method"], {})[row["id"]] = str(row["error"])
    return errors_by_method


def odd_maps(content: Content, rows: Sequence[PlainRow]) -> list[OddMaps]:
    """Return the maps that hold no information.

    Args:
        content: Content of results.json.
        rows: Rows of the results.
    """
    held = Rows.over(rows)
    odd = []
    for name, entry in content["results"].items():
        of_method = held.of(name)
        for key, word in (("broken", "NaN"), ("constant", "constant")):
            images = of_method.take(np.flatnonzero(of_method.flags(key))).values("id")
            if images:
                judged = entry.get("images", len(images))
                odd.append(OddMaps(name, word, images, judged))
    return odd

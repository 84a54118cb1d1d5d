"""report.html: one file that shows a finished evaluation to someone who does not know it, without any network."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from explainer.errors import InputError
from explainer.evaluation.references import ANNOTATED, ORIGINAL, left_out
from explainer.evaluation.report.columns import costs, decisions, quality
from explainer.evaluation.report.curve_panels import curves
from explainer.evaluation.report.heat_map import heat_maps
from explainer.evaluation.report.html import TEMPLATES, template
from explainer.evaluation.report.maps import Shown, data_uri
from explainer.evaluation.report.measures import measures
from explainer.evaluation.report.printers import latex_file, to_html
from explainer.evaluation.report.table import MARKS
from explainer.evaluation.report.tables import report_tables, with_costs
from explainer.evaluation.storage.rows import nested, parsed
from explainer.evaluation.storage.store import ROWS
from explainer.files import read_state, write_text

PAGE, TABLE = "report.html", "table.tex"


class About(NamedTuple):
    """What was judged, in words for a reader.

    Attributes:
        name: Name of the run.
        classifier: Such as "torchvision's resnet50".
        data: Such as "COCO".
        split: Split of the data set.
    """

    name: str
    classifier: str = ""
    data: str = ""
    split: str = ""


class Picture(NamedTuple):
    """An image of the gallery, as the template wants it: pictures are data URIs."""

    id: str
    photograph: str
    size: tuple[int, int]
    said: str
    maps: list[tuple[str, str, str]]


def write_report(folder: Path, about: About, shown: Iterable[Shown] = ()) -> Path:
    """Write report.html and table.tex from the results in a folder.

    Args:
        folder: Holds results.json and rows.jsonl.
        about: What was judged.
        shown: Images of the gallery.

    Returns:
        The page's path.

    Raises:
        InputError: There are no results in the folder.
    """
    content, rows = read_results(folder)
    write_text(folder / TABLE, latex_file(report_tables(content)))
    return write_text(folder / PAGE, page(content, rows, about, shown))


def read_results(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """results.json, and the rows of its methods: of what was tried again the last, and no torn one.

    Args:
        folder: Folder of the evaluation.

    Returns:
        Content and rows.

    Raises:
        InputError: There is no results.json, or it is torn.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise InputError(f"{path} is missing: evaluate first, the report is made from it")
    content = read_state(path, dict[str, Any])
    if content is None or not isinstance(content.get("results"), dict):
        raise InputError(f"{path} is torn: evaluate again, which writes it from the rows")
    stored = folder / ROWS
    lines = stored.read_bytes().splitlines() if stored.is_file() else []
    rows = [nested(row) for row in map(parsed, lines) if row is not None]
    asked = {*content["results"], *(content.get("failed") or {})}
    last = {(row["method"], row["id"]): row for row in rows if row.get("method") in asked}
    return content, list(last.values())


def page(content: dict[str, Any], rows: Sequence[dict[str, Any]], about: About, shown: Iterable[Shown] = ()) -> str:
    """The page; every word that comes from outside is escaped.

    Args:
        content: Content of results.json.
        rows: Rows of rows.jsonl.
        about: What was judged.
        shown: Images of the gallery.

    Returns:
        HTML that asks for no other file.
    """
    content = with_costs(content)
    original = content["results"].get(ORIGINAL, {})
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
        failed=failures(content, rows),
        odd=odd_maps(content, rows),
        unranked=left_out(content["results"]),
        counts=counts(content),
        original={k: v for k, v in (original.get("kept") or {}).items() if v is not None},
        intervals=any(e.get("interval") for e in content["results"].values()),
        pairs=bool(content.get("pairs")),
        config=config_text(content),
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "script.js").read_text(encoding="utf-8")),
    )


def counts(content: dict[str, Any]) -> dict[str, int]:
    """How many methods, measures and images.

    Example:
        >>> counts({"results": {"a": {"images": 3, "iou": 0.5}}})
        {'methods': 1, 'measures': 1, 'images': 3}
    """
    results = content["results"]
    methods = [name for name in results if name not in (ORIGINAL, *ANNOTATED)]
    images = max((entry.get("images") or 0 for entry in results.values()), default=0)
    return {"methods": len(methods), "measures": len(quality(content)), "images": images}


def _picture(one: Shown) -> Picture:
    maps = [(name, data_uri(picture), one.notes.get(name, "")) for name, picture in one.maps.items()]
    return Picture(one.id, data_uri(one.photograph), one.photograph.size, one.said, maps)


def run_facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    """What a run was: words and values, those that are known.

    Example:
        >>> run_facts({"facts": {"device": "cpu"}, "run": {"seconds": 90}})
        [('Device', 'cpu'), ('Last call', '1 min 30 s')]
    """
    facts, run = content.get("facts", {}), content.get("run") or {}
    entries = content.get("results", {}).values()
    maps = sum(((e.get("cost") or {}).get("ms") or 0) * (e.get("images") or 0) / 1000 for e in entries)
    versions = run.get("versions") or {k: facts[k] for k in ("version", "torch") if k in facts}
    known = {
        "Started": run.get("started"),
        "Commit": run.get("commit"),
        "Device": run.get("device") or facts.get("device"),
        "Last call": None if run.get("seconds") is None else lasted(run["seconds"]),
        "All maps": lasted(maps) if maps else None,
        "Versions": ", ".join(f"{'explainer' if k == 'version' else k} {v}" for k, v in versions.items()),
        "Checkpoint": facts.get("checkpoint"),
    }
    return [(key, str(value)) for key, value in known.items() if value]


def lasted(seconds: float) -> str:
    """A duration in words.

    Example:
        >>> lasted(12.34), lasted(7325)
        ('12.3 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def config_text(content: dict[str, Any]) -> str:
    """The config as it was resolved, or what the results depend on."""
    config = (content.get("run") or {}).get("config")
    if isinstance(config, str):
        return config
    return json.dumps(config or content.get("facts", {}), indent=2, ensure_ascii=False)


def failures(content: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Method → image → error."""
    found = {m: dict(some) for m, some in (content.get("failed") or {}).items() if some}
    for row in () if content.get("failed") is not None else rows:
        if "error" in row:
            found.setdefault(row["method"], {})[row["id"]] = str(row["error"])
    return found


def odd_maps(content: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[str], int]]:
    """Method, what its maps were ("NaN" or "constant"), on which images, and of how many."""
    found = []
    for name, entry in content["results"].items():
        for key, word in (("broken", "NaN"), ("constant", "constant")):
            named = [row["id"] for row in rows if row["method"] == name and row.get(key)]
            if named:
                found.append((name, word, named, entry.get("images", len(named))))
    return found

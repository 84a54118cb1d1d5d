"""The results of an evaluation in one table, for the terminal and for a README."""

from collections.abc import Iterable, Mapping
from typing import Literal, cast

from explainer.evaluation.references import ANNOTATED, ORIGINAL, left_out
from explainer.evaluation.report.numbers import number
from explainer.evaluation.report.table import Cell, Heading, Interval, Mark, Note, Row, Table, paper_rows
from explainer.evaluation.results.columns import FIXED, ColumnDescription
from explainer.evaluation.results.content import Comparison, Content, MethodResults
from explainer.evaluation.results.intervals import is_doubtful
from explainer.evaluation.results.published import reference


def summary_table(content: Content, title: str = "", intervals: bool = False) -> Table:
    """Return a row for each method, the best of each score marked, references of the annotation left out.

    Args:
        content: Content of results.json. Fixed columns are shown where some method has a value, the others always.
        title: Title of the table.
        intervals: Show intervals.

    Returns:
        The table. The rows of a paper come last.
    """
    results = content["results"]
    published = content.get("published")
    scores = score_columns(results, content.get("columns") or {})
    kind: Literal["mAP", "accuracy"] = "mAP" if "mAP" in results[ORIGINAL]["kept"] else "accuracy"
    headings = [Heading(about["label"], _arrow(about)) for about in scores.values()]
    headings.append(Heading("area"))
    headings.append(Heading(f"{kind} masked", "↑"))
    headings.append(Heading(f"{kind} complement", "↓"))
    levels = any(entry.get("level") for entry in methods_of(results).values())
    if levels:
        headings.append(Heading("α"))
    headings.append(Heading("ms an image"))
    marks = {}
    for column, about in scores.items():
        marks[column] = marks_of(content, column, about["higher_is_better"])
    rows = []
    for name, entry in methods_of(results).items():
        cells = []
        for column, about in scores.items():
            mark = marks[column].get(name, "")
            cells.append(score_cell(entry, column, about["percent"], mark, intervals))
        masked = entry["kept"].get(kind)
        complement = entry["removed"].get(kind)
        texts = [number(entry["area"]), number(masked), number(complement)]
        if levels:
            level = entry.get("level")
            texts.append(number(None if level is None else level["alpha"], 1))
        texts.append(number(entry["cost"]["ms"], 1))
        rows.append(Row(name, cells + [Cell(text) for text in texts]))
    keys = [*scores, "area"]
    unpublished = [""] * (len(headings) - len(keys))
    return Table(
        title,
        "method",
        headings,
        rows,
        published=paper_rows(published, keys + unpublished),
        caption=caption(results),
        notes=_notes(content, intervals),
    )


def methods_of(results: Mapping[str, MethodResults]) -> dict[str, MethodResults]:
    """Return the results of everything that was scored: all but the untouched images."""
    return {name: entry for name, entry in results.items() if name != ORIGINAL}


def score_columns(
    results: Mapping[str, MethodResults], columns: Mapping[str, ColumnDescription]
) -> dict[str, ColumnDescription]:
    """Return the columns of scores: those of the config, and those fixed ones that have a value.

    Args:
        results: Results of results.json.
        columns: Columns of results.json.
    """
    entries = methods_of(results).values()
    shown: dict[str, ColumnDescription] = {}
    for column, about in {**FIXED, **columns}.items():
        values = [entry["scores"].get(column) for entry in entries]
        if column not in FIXED or any(value is not None for value in values):
            shown[column] = about
    return shown


def _arrow(about: ColumnDescription) -> str:
    """Return the direction in which a score gets better."""
    return "↑" if about["higher_is_better"] else "↓"


def marks_of(content: Content, column: str, higher_is_better: bool) -> dict[str, Mark]:
    """Return the marks of a column.

    Args:
        content: Content of results.json.
        column: Name of the score.
        higher_is_better: Direction of the score.

    Returns:
        Method → mark, for the methods that have one.

    Example:
        >>> marks_of({"results": {"a": {"scores": {"iou": 0.5}}, "b": {"scores": {"iou": 0.25}}}}, "iou", True)
        {'a': 'best'}
    """
    entries = methods_of(content["results"])
    values = {}
    for name, entry in entries.items():
        if name not in ANNOTATED:
            values[name] = entry["scores"].get(column)
    known = [value for value in values.values() if value is not None]
    best = None
    if known:
        best = max(known) if higher_is_better else min(known)
    tests = (content.get("pairs") or {}).get(column, {})
    marks: dict[str, Mark] = {}
    for name in entries:
        # several methods may share the best number: all of them are marked as the best
        if best is not None and values.get(name) == best:
            marks[name] = "best"
        elif name in tests and is_doubtful(tests[name]):
            marks[name] = "tied"
    return marks


def score_cell(entry: MethodResults, column: str, percent: bool, mark: Mark = "", intervals: bool = False) -> Cell:
    """Return the cell of a score.

    Args:
        entry: Results of a method.
        column: Name of the score.
        percent: Show it times 100.
        mark: Mark of the cell.
        intervals: Show the interval, where there is one.

    Example:
        >>> entry = {"scores": {"acc": 0.5}, "interval": {"acc": [0.48, 0.54]}}
        >>> cell = score_cell(entry, "acc", True, intervals=True)
        >>> cell.text, cell.interval.half, cell.interval.ends
        ('50.00', '±3.0', '[48.0, 54.0]')
    """
    value = entry["scores"].get(column)
    text = number(value)
    if percent and value is not None:
        text = number(100 * value, 2)
    ends = entry.get("interval", {}).get(column)
    if not intervals or not ends:
        return Cell(text, value, mark=mark)
    unit = 100 if percent else 1
    digits = 1 if percent else 3
    low, high = ends
    in_brackets = f"[{unit * low:.{digits}f}, {unit * high:.{digits}f}]"
    half = (unit * high - unit * low) / 2
    interval = Interval(low, high, in_brackets, f"±{half:.{digits}f}")
    return Cell(text, value, interval, mark)


def caption(results: Mapping[str, MethodResults]) -> str:
    """Return what the table is of: images, how many had a segmentation, the classifier, and what went wrong."""
    original = results[ORIGINAL]
    methods = methods_of(results)
    scores = cast(Mapping[str, float | None], original["kept"])
    numbers = [f"{key} {number(value)}" for key, value in scores.items()]
    performance = ", ".join(numbers)
    annotated = max((entry["n"]["acc"] for entry in methods.values()), default=0)
    parts = [
        f"{original['images']} images, {annotated} with a segmentation",
        f"the classifier on the originals: {performance}",
    ]
    # the truth is a rule for segmentations
    if annotated and original.get("truth"):
        parts.append(original["truth"])
    if original.get("targets"):
        parts.append(original["targets"])
    parts += _problems(methods, "broken", "maps that were not finite, which count as 0")
    parts += _problems(methods, "failed", "images failed")
    return "; ".join(parts)


def _problems(methods: Mapping[str, MethodResults], key: Literal["broken", "failed"], words: str) -> list[str]:
    """Return what went wrong, by method; nothing where all went well."""
    counts = [f"{entry[key]} of {name}" for name, entry in methods.items() if entry.get(key)]
    if not counts:
        return []
    return [f"{words}: {', '.join(counts)}"]


def _notes(content: Content, intervals: bool) -> dict[Note, str]:
    """Return what the signs in the cells mean, as far as they occur."""
    references = left_out(content["results"])
    notes: dict[Note, str] = {"best": "best of the column"}
    if references:
        notes["best"] += f", {references} left out"
    if any(is_doubtful(test) for test in _tests(content)):
        notes["tied"] = "not told from the best (p ≥ 0.05, paired sign flips, Holm)"
    if intervals:
        notes["interval"] = "95 % bootstrap intervals over images"
    source = reference(content.get("published"))
    if source:
        notes["published"] = source
    return notes


def _tests(content: Content) -> Iterable[Comparison]:
    """Yield every paired test of results.json."""
    for tests in (content.get("pairs") or {}).values():
        yield from tests.values()

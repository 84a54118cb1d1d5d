"""Files of an evaluation: results.json, per_image.csv, matrix.csv."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from explainer.errors import InputError
from explainer.evaluation.references import ORIGINAL
from explainer.evaluation.report.class_matrix import write_matrix
from explainer.evaluation.results.class_matrix import matrices
from explainer.evaluation.results.columns import FIXED, ColumnDescription
from explainer.evaluation.results.content import Content, MatrixResults, PublishedMatrix, RunFacts
from explainer.evaluation.results.decisions import decision_results
from explainer.evaluation.results.published import Published
from explainer.evaluation.results.summary import Row, pairs, summarise
from explainer.evaluation.scoring.threshold import Alpha
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.fingerprint import Fingerprint
from explainer.evaluation.targets import Targets
from explainer.files import write_csv, write_json
from explainer.metrics.segmentation import TruthRule


def write_results(
    rows: Sequence[Row],
    facts: Fingerprint,
    folder: Path,
    alphas: Mapping[str, Alpha] | None = None,
    *,
    columns: Mapping[str, ColumnDescription] | None = None,
    failed: dict[str, dict[str, str]] | None = None,
    run: RunFacts | None = None,
    published: Published | None = None,
) -> Content:
    """Write results.json, per_image.csv and, of rows that have one, matrix.csv.

    Args:
        rows: Rows of a `Store`.
        facts: Facts on which the results depend; under "metrics", name → settings of further columns; under "matrix",
            the classes that it shows.
        folder: Folder of the results, which exists.
        alphas: Method → its α, as `search_alphas` returns it.
        columns: Columns of `columns_of`; None for the standard ones.
        failed: Method → image → error.
        run: Facts of this run, which another one with the same results would not share.
        published: Numbers that a paper prints.

    Returns:
        The content of results.json; what differs between runs is in "run" and in the methods' "cost" only.

    Raises:
        InputError: There are no rows.
    """
    rows = Rows.over(rows)
    if not rows:
        raise InputError(f"nothing to write to {folder}: none of the images could be read")
    metrics = facts.get("metrics", {}) | facts.get("probes", {})
    columns = columns or FIXED
    failed = failed or {}
    results = summarise(rows, metrics, alphas, failed)
    if ORIGINAL in results:
        rule = TruthRule(facts.get("void", "ignore"), facts.get("objects", "labelled"))
        results[ORIGINAL]["truth"] = rule.words()
        results[ORIGINAL]["targets"] = Targets(*facts.get("targets", ())).words()
    shown = {}
    for name, about in columns.items():
        values = [entry.get("scores", {}).get(name) for entry in results.values()]
        # a standard column is not defined for every data set
        if name in metrics or any(value is not None for value in values):
            shown[name] = about
    class_matrices: dict[str, MatrixResults | PublishedMatrix] = {}
    class_matrices |= matrices(rows, facts.get("matrix", {}).get("classes", []))
    if published is not None:
        class_matrices |= published.matrices()
    content: Content = {
        "facts": facts,
        "results": results,
        "columns": shown,
        "pairs": pairs(rows, shown),
        "failed": failed,
        "published": None if published is None else published.content(),
        "matrix": class_matrices or None,
        "run": run or {},
        "decisions": decision_results(rows),
    }
    write_json(folder / "results.json", content)
    write_matrix(class_matrices, folder / "matrix.csv")
    write_csv(folder / "per_image.csv", per_image(rows, [*FIXED, *metrics]))
    return content


def per_image(rows: Sequence[Row], columns: Sequence[str]) -> Iterator[list[Any]]:
    """Lay the rows of masks out as a table, its header first.

    Args:
        rows: Rows of a `Store`.
        columns: Columns of the scores.

    Yields:
        Cells of a line; empty where a row has no value.

    Example:
        >>> row = {"id": "a", "method": "b", "scores": {"iou": 0.5}, "area": 0.1, "constant": False}
        >>> list(per_image([row], ["iou"]))[1]
        ['a', 'b', 0.5, 0.1, None, False]
    """
    yield ["id", "method", *columns, "area", "seconds", "constant"]
    # one cell a column: curves, matrices and decisions of a row stand in the rows alone
    scores = [("scores", column) for column in columns]
    places = [("id",), ("method",), *scores, ("area",), ("cost", "seconds"), ("constant",)]
    held = Rows.over(rows)
    methods = [method for method in held.names("method") if method != ORIGINAL]
    for block in held.where("method", methods).blocks():
        for line in zip(*(block.values(place) for place in places), strict=True):
            yield list(line)

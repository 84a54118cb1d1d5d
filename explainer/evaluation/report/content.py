"""What results.json holds, as the report reads it."""

from typing import Any, Required

from typing_extensions import TypedDict

from explainer.evaluation.results.columns import ColumnDescription


class PairedTest(TypedDict, total=False):
    """A method compared with the best of a column, over the images that both were judged on.

    Attributes:
        against: Name of the best method.
        difference: Mean difference from the best.
        interval: 95 % interval of the difference.
        p: Probability of such a difference by chance; early versions have none.
    """

    against: str
    difference: float
    interval: list[float]
    p: float


class PaperNumbers(TypedDict, total=False):
    """Numbers that a paper prints.

    Attributes:
        source: Authors, venue, year and table.
        where: Images and classifier.
        rows: Method → column → number.
    """

    source: str
    where: str
    rows: dict[str, dict[str, float]]


class Content(TypedDict, total=False):
    """Content of results.json; folders of early versions lack all but the results.

    Attributes:
        facts: Facts on which the results depend.
        results: Name → results of a method, of a reference, or of the untouched images. Scores have the names of their
            columns there, so that there are no fixed keys.
        columns: Column → its description.
        pairs: Column → method → test against the best.
        failed: Method → image → error.
        published: Numbers that a paper prints, or None.
        matrix: Class matrices, or None.
        run: Facts of this run, which another one with the same results would not share.
        decisions: Method → kind → what masks show of such decisions.
    """

    facts: dict[str, Any]
    results: Required[dict[str, dict[str, Any]]]
    columns: dict[str, ColumnDescription]
    pairs: dict[str, dict[str, PairedTest]]
    failed: dict[str, dict[str, str]] | None
    published: PaperNumbers | None
    matrix: dict[str, Any] | None
    run: dict[str, Any]
    decisions: dict[str, dict[str, dict[str, float]]]

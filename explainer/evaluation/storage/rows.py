"""What the lines of rows.jsonl hold, by the kind of results, and the one way to read them.

Further columns, such as those of a config's metrics, hold a number or None.
"""

import json
from pathlib import Path
from typing import Any, Literal, NotRequired, get_args, get_type_hints

from typing_extensions import TypedDict

from explainer.errors import InputError
from explainer.files import conform


class Row(TypedDict):
    """Of any kind: image and method."""

    id: str
    method: str


class Failed(Row):
    """What could not be done."""

    error: str


class Said(TypedDict):
    """An entry of `predictions`."""

    labels: list[int]
    probabilities: NotRequired[list[float]]
    predicted: NotRequired[int]
    probability: NotRequired[float | None]


class Unmasked(TypedDict):
    """What the classifier says of the image as it is."""

    id: str
    method: Literal["Original image"]
    kept: Said


Decision = TypedDict(
    "Decision", {"class": str, "kind": str, "area": float, "image": float, "kept": float, "removed": float}
)
"""A class that is labelled or predicted, and what its mask does."""


class Scored(Row):
    """The scores of one mask."""

    constant: bool
    kept: Said
    removed: Said
    broken: NotRequired[bool]
    no_region: NotRequired[bool]
    curves: NotRequired[dict[str, list[float]]]
    matrix: NotRequired[dict[str, list[float]]]
    decisions: NotRequired[list[Decision]]


class Searched(Row):
    """Under which levels the box around what is salient is wrong."""

    wrong: list[int] | None


class Filled(Row):
    """What the classifier says of an image with a hole filled in."""

    probability: float
    log_odds: float
    l1: float
    change: float
    seconds: float


Varied = TypedDict(
    "Varied",
    {
        "id": str,
        "method": str,
        "source": str,
        "alpha": float,
        "status": str,
        "box": list[int],
        "class": NotRequired[str],
        "before": NotRequired[float],
        "accepted": NotRequired[int],
        "best": NotRequired[float],
    },
)
"""The variations of one image, source and size."""
Evaluated = Scored | Unmasked


def read_rows(path: Path, kind: Any = Row) -> list[dict[str, Any]]:
    """Read the rows of a file; of a last line without an end the row is taken, if it is whole, else it is cut off.

    Args:
        path: Need not be there.
        kind: Kind of its rows that are no failures: one of the classes here, or a union of them.

    Returns:
        Rows; the file ends with a whole line.

    Raises:
        InputError: Another line is no row, or none of this kind.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        whole = parsed(content[end:]) is not None
        with path.open("ab") as file:
            file.write(b"\n") if whole else file.truncate(end)
        content = content if whole else content[:end]
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        row = parsed(line)
        if row is None:
            raise _no_row(path, number)
        rows.append(row)
    _check(rows, kind, path)
    return rows


def parsed(line: bytes) -> dict[str, Any] | None:
    r"""Return a row, or None of what is not a whole one.

    Example:
        >>> parsed(b'{"id": "a", "method": "b"}'), parsed(b'{"id": "\xc3')
        ({'id': 'a', 'method': 'b'}, None)
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # of UnicodeDecodeError and JSONDecodeError
        return None
    named = isinstance(row, dict) and isinstance(row.get("id"), str) and isinstance(row.get("method"), str)
    return row if named else None


def _no_row(path: Path, number: int, why: str = "") -> InputError:
    reason = f" ({why})" if why else ""
    return InputError(f"{path}, line {number}, is no row: delete that line, and it is computed again{reason}")


def _check(rows: list[dict[str, Any]], kind: Any, path: Path) -> None:
    """Refuse the first row that is not of its kind. All are checked in one go: line by line takes far longer."""
    if kind is Row:
        return
    kinds = get_args(kind) or (kind,)
    known = {name for one in kinds for name in get_type_hints(one)}
    try:
        conform(rows, list[Failed | kind], path)  # type: ignore[valid-type]
    except InputError:
        for number, row in enumerate(rows, 1):
            _check_one(row, kinds, path, number)
    for number, row in enumerate(rows, 1):
        for key, value in row.items():
            if key not in known and key != "error" and not isinstance(value, int | float | None):
                raise _no_row(path, number, f"{key} is no number")


def _check_one(row: dict[str, Any], kinds: tuple[Any, ...], path: Path, number: int) -> None:
    faults = []
    for one in (Failed,) if "error" in row else kinds:
        try:
            conform(row, one, "")
            return
        except InputError as error:
            faults.append(str(error).removeprefix(": "))
    raise _no_row(path, number, faults[0])

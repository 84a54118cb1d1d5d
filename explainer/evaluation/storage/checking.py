"""Check rows by their columns: what is right of one row is right of all with the same keys and types.

A block is checked once for each layout, and each type that its columns have there: by rows of samples, one with a value
at every place and one with None wherever a row has None. Rows are looked at one by one where a sample is refused, and
where values have types that no column is of.
"""

from pathlib import Path
from typing import Any, get_args

import numpy as np

from explainer.errors import InputError
from explainer.evaluation.storage.block import Block, Column, Index, Layout, Lists, Numbers, Plain, Texts
from explainer.evaluation.storage.rows import Failed, PlainRow, Row
from explainer.files import conform

_SAMPLES: dict[str, Any] = {"f": 0.5, "i": 1, "b": True}
"""Type of numbers → a value of it."""


class Check:
    """A check of blocks, which remembers what it has found right.

    Args:
        kind: Kind of the rows that are no failures: one of the classes of `rows`, or a union of them.
    """

    def __init__(self, kind: Any = Row) -> None:
        self._kinds = get_args(kind) or (kind,)
        self._right: set[tuple] = set()

    def __call__(self, block: Block, path: Path, first: int | None = None) -> None:
        """Refuse the first row of a block that is not of the kind.

        Args:
            block: Rows.
            path: File that they were read from, for the error.
            first: Number of the line of the first row; None of a file without lines.

        Raises:
            InputError: Names the file, the line and the fault.
        """
        if self._kinds == (Row,):
            return
        doubtful = np.zeros(block.size, dtype=bool)
        for code, layout in enumerate(block.layouts):
            index = np.flatnonzero(block.layout == code)
            if len(index) and not self._is_right(block, layout, index):
                doubtful[index] = True
        for number in np.flatnonzero(doubtful).tolist():
            (row,) = block.take(np.array([number])).rows()
            fault = self._fault(row)
            if fault:
                raise no_row(path, None if first is None else first + number, fault)

    def _is_right(self, block: Block, layout: Layout, index: Index) -> bool:
        """Say whether all rows of a layout are surely right."""
        columns = [block.columns[place] for place in layout]
        if any(isinstance(column, Plain) for column in columns):
            return False
        without = tuple(_has_none(column, index) for column in columns)
        types = tuple(_type(column) for column in columns)
        methods: list[Any] = [None]
        of_methods = block.columns.get(("method",))
        if isinstance(of_methods, Texts):
            methods = [of_methods.words[code] for code in np.unique(of_methods.codes[index])]
        for method in methods:
            key = (layout, types, without, method)
            if key in self._right:
                continue
            for sample in _samples(layout, columns, without, method):
                if self._fault(sample):
                    return False
            self._right.add(key)
        return True

    def _fault(self, row: PlainRow) -> str:
        """Say in words why a row is of none of the kinds; nothing of a right one."""
        faults = []
        for kind in (Failed,) if "error" in row else self._kinds:
            try:
                conform(row, kind, "")
                return ""
            except InputError as error:
                faults.append(str(error).removeprefix(": "))
        # the first kind is that of most rows, so that its fault is most likely the one to know
        return faults[0]


def _has_none(column: Column, index: Index) -> bool:
    """Say whether a row has None; lists and whole numbers stand in columns without any."""
    if isinstance(column, Numbers) and column.array.dtype.kind == "f":
        return bool(np.isnan(column.array[index]).any())
    return isinstance(column, Texts) and bool((column.codes[index] < 0).any())


def _type(column: Column) -> str:
    """Name the type of a column's values."""
    if isinstance(column, Texts):
        return "text"
    assert isinstance(column, Numbers | Lists)
    kind = column.array.dtype.kind
    return kind if isinstance(column, Numbers) else f"list of {kind}"


def _samples(layout: Layout, columns: list[Column], without: tuple[bool, ...], method: str | None) -> list[PlainRow]:
    """Make a row of samples, and one with None wherever a row has None."""
    full: PlainRow = {}
    bare: PlainRow = {}
    for place, column, is_none in zip(layout, columns, without, strict=True):
        value: Any = method if place == ("method",) else "text"
        if isinstance(column, Numbers):
            value = _SAMPLES[column.array.dtype.kind]
        elif isinstance(column, Lists):
            value = [_SAMPLES[column.array.dtype.kind]]
        for row, of_row in ((full, value), (bare, None if is_none else value)):
            if len(place) == 1:
                row[place[0]] = of_row
            else:
                row.setdefault(place[0], {})[place[1]] = of_row
    return [full, bare]


def no_row(path: Path, number: int | None, why: str = "") -> InputError:
    """Make the error of a line, or of a file, that holds no row.

    Args:
        path: File.
        number: Number of the line; None of a file without lines.
        why: Fault in words.
    """
    reason = f" ({why})" if why else ""
    if number is None:
        return InputError(f"{path} holds what is no row: delete that file, and its rows are computed again{reason}")
    return InputError(f"{path}, line {number}, is no row: delete that line, and it is computed again{reason}")

"""Some thousand rows as columns: a number takes its eight bytes, and not its part of a dictionary.

A block gives back every row as it was: whole numbers stay whole, None stays apart from a key that is not there, and
keys keep their order. It knows nothing of the kinds of rows.
"""

from collections.abc import Sequence
from itertools import chain, pairwise
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explainer.evaluation.storage.rows import PlainRow

Place = tuple[str, ...]
"""Keys that lead to a value: one key of the row, or two where the value stands in a dictionary of the row."""
Layout = tuple[Place, ...]
"""Places of a row's values, in the order of its keys."""
Index = NDArray[np.int64]
"""Numbers of rows."""


class _Missing:
    """Type of what stands for a key that a row has not."""


_MISSING: Any = _Missing()
_NOTHING: PlainRow = {}


class Numbers(NamedTuple):
    """Numbers of one type: floats, whole numbers or truth values.

    Attributes:
        array: Values (n,); of floats NaN stands for None. A row without the place has any value.
    """

    array: NDArray[Any]

    def take(self, index: Index) -> "Numbers":
        """Select rows."""
        return Numbers(self.array[index])

    def values(self) -> list[Any]:
        """Return plain values."""
        values = self.array.tolist()
        if self.array.dtype.kind == "f":
            # NaN alone differs from itself
            return [None if value != value else value for value in values]
        return values

    def floats(self) -> NDArray[np.float64]:
        """Return numbers; NaN for what is none, such as truth values."""
        if self.array.dtype.kind == "b":
            return np.full(len(self.array), np.nan)
        return self.array.astype(np.float64, copy=False)


class Texts(NamedTuple):
    """Texts, each of which is held once.

    Attributes:
        codes: Place of each row's text among the words, (n,); -1 for None.
        words: Texts, in the order in which they come first.
    """

    codes: NDArray[np.int32]
    words: list[str]

    def take(self, index: Index) -> "Texts":
        """Select rows."""
        return Texts(self.codes[index], self.words)

    def values(self) -> list[Any]:
        """Return plain values."""
        return [None if code < 0 else self.words[code] for code in self.codes.tolist()]

    def floats(self) -> NDArray[np.float64]:
        """Return NaN: a text is no number."""
        return np.full(len(self.codes), np.nan)


class Lists(NamedTuple):
    """Lists of numbers of one type, of any length.

    Attributes:
        array: Numbers of all lists, one list after the other.
        starts: Place of the first number of each list, and behind that of the last one the end, (n + 1,).
    """

    array: NDArray[Any]
    starts: Index

    def take(self, index: Index) -> "Lists":
        """Select rows."""
        lengths = np.diff(self.starts)[index]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        # the place of each number: its list's start, and how far it is from there
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return Lists(self.array[np.repeat(self.starts[index], lengths) + within], starts)

    def values(self) -> list[Any]:
        """Return plain values."""
        numbers = self.array.tolist()
        ends = self.starts.tolist()
        return [numbers[start:end] for start, end in pairwise(ends)]

    def floats(self) -> NDArray[np.float64]:
        """Return NaN: a list is no number."""
        return np.full(len(self.starts) - 1, np.nan)


class Plain(NamedTuple):
    """Values of several types, or of one that has no column of its own.

    Attributes:
        content: Plain values; None for a row without the place.
    """

    content: list[Any]

    def take(self, index: Index) -> "Plain":
        """Select rows."""
        return Plain([self.content[number] for number in index.tolist()])

    def values(self) -> list[Any]:
        """Return plain values."""
        return self.content

    def floats(self) -> NDArray[np.float64]:
        """Return numbers; NaN for what is none, such as truth values."""
        numbers = [float(value) if _is_number(value) else np.nan for value in self.content]
        return np.array(numbers, dtype=np.float64)


Column = Numbers | Texts | Lists | Plain


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Block(NamedTuple):
    """Rows as columns.

    Attributes:
        layouts: Layouts of the rows, in the order in which they come first.
        layout: Place of each row's layout among them, (n,).
        columns: Place → values of all rows.
    """

    layouts: list[Layout]
    layout: Index
    columns: dict[Place, Column]

    @property
    def size(self) -> int:
        """Return the number of rows."""
        return len(self.layout)

    def has(self, place: Place) -> NDArray[np.bool_]:
        """Say which rows have a value or None at a place, (n,)."""
        having = np.array([place in layout for layout in self.layouts], dtype=bool)
        return having[self.layout]

    def take(self, index: Index) -> "Block":
        """Select rows, in the order of their numbers."""
        columns = {place: column.take(index) for place, column in self.columns.items()}
        return Block(self.layouts, self.layout[index], columns)

    def values(self, place: Place) -> list[Any]:
        """Return the plain values at a place; None for a row that has none."""
        column = self.columns.get(place)
        if column is None:
            return [None] * self.size
        having = self.has(place)
        values = column.values()
        if having.all():
            return values
        return [value if has else None for value, has in zip(values, having.tolist(), strict=True)]

    def floats(self, place: Place) -> NDArray[np.float64]:
        """Return the numbers at a place, (n,); NaN for a row that has none."""
        column = self.columns.get(place)
        if column is None:
            return np.full(self.size, np.nan)
        return np.where(self.has(place), column.floats(), np.nan)

    def rows(self) -> list[PlainRow]:
        """Return the rows as they were."""
        values = {place: column.values() for place, column in self.columns.items()}
        rows = []
        for number, layout in enumerate(self.layout.tolist()):
            row: PlainRow = {}
            for place in self.layouts[layout]:
                value = values[place][number]
                if len(place) == 1:
                    row[place[0]] = value
                else:
                    row.setdefault(place[0], {})[place[1]] = value
            rows.append(row)
        return rows


def block_of(rows: Sequence[PlainRow]) -> Block:
    """Hold rows as columns.

    Args:
        rows: Rows of any kind.

    Example:
        >>> block = block_of([{"id": "a", "scores": {"iou": 0.5}}, {"id": "b", "scores": {"iou": None}, "n": 3}])
        >>> block.floats(("scores", "iou")).tolist(), block.values(("n",)), block.rows()[1]["n"]
        ([0.5, nan], [None, 3], 3)
    """
    numbers: dict[Any, int] = {}
    layout = [numbers.setdefault(_keys(row), len(numbers)) for row in rows]
    layouts = [_layout(*keys) for keys in numbers]
    outer = {place[0] for one in layouts for place in one if len(place) == 2}
    dictionaries = {key: [_dictionary(row.get(key)) for row in rows] for key in outer}
    columns = {}
    for place in dict.fromkeys(chain.from_iterable(layouts)):
        if len(place) == 2:
            values = [inner.get(place[1], _MISSING) for inner in dictionaries[place[0]]]
        elif place[0] in outer:
            # a row that has a dictionary here has its values at other places
            values = [_MISSING if _dictionary(row.get(place[0])) else row.get(place[0], _MISSING) for row in rows]
        else:
            values = [row.get(place[0], _MISSING) for row in rows]
        columns[place] = _column(values)
    return Block(layouts, np.array(layout, dtype=np.int64), columns)


def _keys(row: PlainRow) -> tuple[tuple[str, ...], tuple[tuple[str, ...] | None, ...]]:
    """Return the keys of a row, and for each the keys of its dictionary, if it is one."""
    inner = [tuple(value) if type(value) is dict else None for value in row.values()]
    return tuple(row), tuple(inner)


def _layout(keys: Sequence[str], inner_keys: Sequence[Sequence[str] | None]) -> Layout:
    places: list[Place] = []
    for key, inner in zip(keys, inner_keys, strict=True):
        if inner:
            places += [(key, name) for name in inner]
        else:
            # an empty dictionary, too, is a value like any other
            places.append((key,))
    return tuple(places)


def _dictionary(value: Any) -> PlainRow:
    return value if type(value) is dict else _NOTHING


def _column(values: list[Any]) -> Column:
    """Choose the column in which every value comes back as it was."""
    kinds = set(map(type, values)) - {_Missing}
    not_none = kinds - {NoneType}
    column: Column | None = None
    if not_none == {float}:
        column = _floats(values)
    elif kinds == {int}:
        column = _integers([0 if value is _MISSING else value for value in values])
    elif kinds == {bool}:
        column = Numbers(np.array([value is True for value in values]))
    elif not_none == {str}:
        column = _texts(values)
    elif kinds == {list}:
        column = _lists([[] if value is _MISSING else value for value in values])
    if column is None:
        return Plain([None if value is _MISSING else value for value in values])
    return column


def _floats(values: list[Any]) -> Numbers | None:
    absent = sum(value is None or value is _MISSING for value in values)
    if absent:
        values = [np.nan if value is None or value is _MISSING else value for value in values]
    array = np.array(values, dtype=np.float64)
    # a row that holds NaN itself must not come back as None
    return Numbers(array) if np.isnan(array).sum() == absent else None


def _integers(values: list[int]) -> Numbers | None:
    low = min(values, default=0)
    high = max(values, default=0)
    for kind in (np.int16, np.int32, np.int64):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return Numbers(np.array(values, dtype=kind))
    return None


def _texts(values: list[Any]) -> Texts:
    words: dict[str, int] = {}
    codes = []
    for value in values:
        if value is None or value is _MISSING:
            codes.append(-1)
        else:
            codes.append(words.setdefault(value, len(words)))
    return Texts(np.array(codes, dtype=np.int32), list(words))


def _lists(lists: list[list[Any]]) -> Lists | None:
    numbers = list(chain.from_iterable(lists))
    kinds = set(map(type, numbers))
    if kinds == {float}:
        array: NDArray[Any] = np.array(numbers, dtype=np.float64)
    elif kinds <= {int}:
        integers = _integers(numbers)
        if integers is None:
            return None
        array = integers.array
    else:
        return None
    starts = np.cumsum([0, *map(len, lists)])
    return Lists(array, starts)


def joined(blocks: Sequence[Block]) -> Block:
    """Put blocks one after the other into one.

    Args:
        blocks: Blocks, at least one.

    Example:
        >>> joined([block_of([{"id": "a"}]), block_of([{"id": "b", "n": 1}])]).rows()
        [{'id': 'a'}, {'id': 'b', 'n': 1}]
    """
    if len(blocks) == 1:
        return blocks[0]
    numbers: dict[Layout, int] = {}
    layout = []
    for block in blocks:
        codes = [numbers.setdefault(one, len(numbers)) for one in block.layouts]
        layout.append(np.array(codes, dtype=np.int64)[block.layout])
    columns = {}
    for place in dict.fromkeys(place for block in blocks for place in block.columns):
        parts = [(block.columns.get(place), block.size) for block in blocks]
        columns[place] = _joined_column(parts)
    return Block(list(numbers), np.concatenate(layout), columns)


def _joined_column(parts: list[tuple[Column | None, int]]) -> Column:
    """Put columns one after the other; in the place of None are as many rows without a value."""
    kinds = {_kind(column) for column, _ in parts if column is not None}
    kind = kinds.pop() if len(kinds) == 1 else ""
    joins = {"f": _joined_numbers, "i": _joined_numbers, "b": _joined_numbers, "Texts": _joined_texts}
    if kind in joins:
        return joins[kind](parts)
    if kind in ("Lists f", "Lists i"):
        return _joined_lists(parts)
    content: list[Any] = []
    for column, count in parts:
        content += [None] * count if column is None else column.values()
    return Plain(content)


def _kind(column: Column) -> str:
    """Name the type of a column, such that columns of one name can be put into one."""
    if isinstance(column, Numbers):
        return column.array.dtype.kind
    if isinstance(column, Lists):
        return f"Lists {column.array.dtype.kind}"
    return type(column).__name__


def _joined_numbers(parts: list[tuple[Column | None, int]]) -> Column:
    kind = next(column.array.dtype.kind for column, _ in parts if isinstance(column, Numbers))
    arrays = []
    for column, count in parts:
        if isinstance(column, Numbers):
            arrays.append(column.array)
        elif kind == "f":
            arrays.append(np.full(count, np.nan))
        else:
            arrays.append(np.zeros(count, dtype=bool if kind == "b" else np.int16))
    return Numbers(np.concatenate(arrays))


def _joined_texts(parts: list[tuple[Column | None, int]]) -> Column:
    words: dict[str, int] = {}
    codes = []
    for column, count in parts:
        if isinstance(column, Texts):
            # behind the codes of the words is that of none, which is found as the last one
            renamed = [words.setdefault(word, len(words)) for word in column.words]
            codes.append(np.array([*renamed, -1], dtype=np.int32)[column.codes])
        else:
            codes.append(np.full(count, -1, dtype=np.int32))
    return Texts(np.concatenate(codes), list(words))


def _joined_lists(parts: list[tuple[Column | None, int]]) -> Column:
    arrays = []
    lengths = []
    for column, count in parts:
        if isinstance(column, Lists):
            arrays.append(column.array)
            lengths.append(np.diff(column.starts))
        else:
            lengths.append(np.zeros(count, dtype=np.int64))
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return Lists(np.concatenate(arrays), starts)

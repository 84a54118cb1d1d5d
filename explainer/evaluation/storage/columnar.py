"""Rows by the hundred thousand, held as columns; a dictionary is made of a row when somebody asks for the row."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from explainer.evaluation.storage.block import Block, Column, Index, Lists, Place, Texts, block_of
from explainer.evaluation.storage.rows import PlainRow

AT_ONCE = 2048
"""Rows that are held as dictionaries before they become a block, and that are made of a block at once: some 10 MB."""


class Rows(Sequence[PlainRow]):
    """Rows of any kind. A selection of rows shares the columns of what it was selected from.

    Args:
        rows: Rows.

    Example:
        >>> rows = Rows([{"id": "a", "method": "RISE", "area": 0.5}, {"id": "a", "method": "LIME", "area": 0.25}])
        >>> rows.of("LIME").floats("area").tolist(), rows.names("method"), rows[0]["area"]
        ([0.25], ['RISE', 'LIME'], 0.5)
    """

    def __init__(self, rows: Iterable[PlainRow] = ()) -> None:
        self._blocks: list[Block] = []
        # number of the first row of each block, and behind that of the last one the number of all
        self._starts = [0]
        # the latest rows, not yet a block
        self._latest: list[PlainRow] = []
        # the rows of the blocks that are selected; None: all of them, and the latest
        self._index: Index | None = None
        for row in rows:
            self.append(row)

    @staticmethod
    def over(rows: Sequence[PlainRow]) -> "Rows":
        """Hold rows as columns, where they are not held so already."""
        return rows if isinstance(rows, Rows) else Rows(rows)

    def append(self, row: PlainRow) -> None:
        """Add a row.

        Raises:
            TypeError: These rows are a selection.
        """
        self._refuse_selection()
        self._latest.append(row)
        if len(self._latest) >= AT_ONCE:
            self._seal()

    def add(self, block: Block) -> None:
        """Add the rows of a block.

        Raises:
            TypeError: These rows are a selection.
        """
        self._refuse_selection()
        self._seal()
        self._blocks.append(block)
        self._starts.append(self._starts[-1] + block.size)

    def _refuse_selection(self) -> None:
        if self._index is not None:
            raise TypeError("rows that were selected from others take no further ones")

    def _seal(self) -> None:
        """Make a block of the latest rows."""
        if self._latest:
            block = block_of(self._latest)
            self._latest = []
            self.add(block)

    def copy(self) -> "Rows":
        """Return the same rows, to which others can be added."""
        rows = Rows()
        rows._blocks = list(self._blocks)
        rows._starts = list(self._starts)
        rows._latest = list(self._latest)
        rows._index = self._index
        return rows

    def take(self, index: Sequence[int] | NDArray[Any]) -> "Rows":
        """Select rows by their numbers, in this order."""
        self._seal()
        numbers = np.asarray(index, dtype=np.int64)
        rows = self.copy()
        rows._index = numbers if self._index is None else self._index[numbers]
        return rows

    def where(self, key: str, texts: Collection[str]) -> "Rows":
        """Select the rows that have one of some texts under a key."""
        codes, names = self.codes(key)
        wanted = [code for code, name in enumerate(names) if name in texts]
        return self.take(np.flatnonzero(np.isin(codes, wanted)))

    def of(self, method: str) -> "Rows":
        """Select the rows of a method."""
        return self.where("method", [method])

    def blocks(self) -> Iterator[Block]:
        """Yield the rows as blocks, in their order."""
        self._seal()
        if self._index is None:
            yield from self._blocks
            return
        for start in range(0, len(self._index), AT_ONCE):
            yield from self._blocks_of(self._index[start : start + AT_ONCE])

    def _blocks_of(self, index: Index) -> Iterator[Block]:
        """Yield blocks of rows in the order of their numbers, each of as many as lie in one block."""
        owners = np.searchsorted(self._starts, index, side="right") - 1
        changes = np.flatnonzero(np.diff(owners)) + 1
        for numbers in np.split(index, changes) if len(index) else []:
            owner = int(np.searchsorted(self._starts, numbers[0], side="right")) - 1
            yield self._blocks[owner].take(numbers - self._starts[owner])

    def floats(self, *place: str) -> NDArray[np.float64]:
        """Return the numbers at a place, (n,); NaN for a row that has none.

        Args:
            *place: Key of the rows, or two keys for a value of a dictionary within the rows.
        """
        return self._gathered([block.floats(place) for block in self._whole()], np.float64)

    def has(self, *place: str) -> NDArray[np.bool_]:
        """Say which rows have a value or None at a place, (n,).

        Args:
            *place: Key of the rows, or two keys.
        """
        return self._gathered([block.has(place) for block in self._whole()], np.bool_)

    def flags(self, *place: str) -> NDArray[np.bool_]:
        """Say which rows hold the truth at a place, (n,); a row that has none does not.

        Args:
            *place: Key of the rows, or two keys.
        """
        arrays = [np.array([bool(value) for value in block.values(place)], dtype=bool) for block in self._whole()]
        return self._gathered(arrays, np.bool_)

    def values(self, *place: str) -> list[Any]:
        """Return the plain values at a place; None for a row that has none.

        Args:
            *place: Key of the rows, or two keys.
        """
        values: list[Any] = [None] * len(self)
        for positions, block in self._with(place):
            for position, value in zip(positions.tolist(), block.values(place), strict=True):
                values[position] = value
        return values

    def table(self, *place: str) -> NDArray[np.float64]:
        """Return the lists of numbers at a place as a table, (n, K).

        Args:
            *place: Key of the rows, or two keys.

        Raises:
            ValueError: A row has no list there, or one of another length.
        """
        parts = [(positions, _stacked(block.columns[place])) for positions, block in self._with(place)]
        widths = {None if part is None else part.shape[1] for _, part in parts}
        if sum(len(positions) for positions, _ in parts) != len(self) or None in widths or len(widths) > 1:
            raise ValueError(f"{'.'.join(place)} holds lists of different lengths")
        table = np.empty((len(self), widths.pop() or 0 if widths else 0))
        for positions, part in parts:
            table[positions] = part
        return table

    def _with(self, place: Place) -> Iterator[tuple[Index, Block]]:
        """Yield the rows of each block that has a place, with that column alone, and their positions."""
        self._seal()
        index = np.arange(len(self)) if self._index is None else self._index
        owners = np.searchsorted(self._starts, index, side="right") - 1
        # in the order of the blocks, within a block in that of the rows
        order = np.argsort(owners, kind="stable")
        for positions in np.split(order, np.flatnonzero(np.diff(owners[order])) + 1) if len(order) else []:
            owner = int(owners[positions[0]])
            block = self._blocks[owner]
            if place in block.columns:
                alone = Block(block.layouts, block.layout, {place: block.columns[place]})
                yield positions, alone.take(index[positions] - self._starts[owner])

    def names(self, key: str) -> list[str]:
        """Return the different texts under a key, in the order in which they come first."""
        return self.codes(key)[1]

    def codes(self, key: str) -> tuple[Index, list[str]]:
        """Return the texts under a key as numbers.

        Args:
            key: Key of the rows.

        Returns:
            Number of each row's text, (n,), -1 for none; and the texts in the order in which they come first.
        """

        def of_block(block: Block) -> tuple[Index, list[str]]:
            column = block.columns.get((key,))
            if isinstance(column, Texts):
                return np.where(block.has((key,)), column.codes, -1).astype(np.int64), column.words
            return np.full(block.size, -1), []

        return self._numbered(of_block)

    def places(self, key: str) -> list[Place]:
        """Return the places below a key that some row has, in the order in which they come first."""
        _, layouts = self._numbered(lambda block: (block.layout, block.layouts))
        first_seen: dict[Place, None] = {}
        for layout in layouts:
            first_seen |= dict.fromkeys(place for place in layout if place[0] == key)
        return list(first_seen)

    def _numbered(self, of_block: Callable[[Block], tuple[Index, Sequence[Any]]]) -> tuple[Index, list[Any]]:
        """Number what blocks number, each in its own way, in the order in which it comes first in the rows."""
        numbers: dict[Hashable, int] = {}
        arrays = []
        for block in self._whole():
            codes, things = of_block(block)
            # behind the numbers of the things is that of none, which is found as the last one
            of_things = [numbers.setdefault(thing, len(numbers)) for thing in things]
            arrays.append(np.array([*of_things, -1], dtype=np.int64)[codes])
        codes = self._gathered(arrays, np.int64)
        different, first = np.unique(codes, return_index=True)
        order = different[np.argsort(first)]
        order = order[order >= 0]
        # the last one, which none has, stays -1
        ranks = np.full(len(numbers) + 1, -1, dtype=np.int64)
        ranks[order] = np.arange(len(order))
        things = list(numbers)
        return ranks[codes], [things[number] for number in order.tolist()]

    def _whole(self) -> list[Block]:
        """Return all blocks, whichever of their rows are selected."""
        self._seal()
        return self._blocks

    def _gathered(self, arrays: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
        """Put the values of all blocks one after the other, and select those of the rows."""
        whole = np.concatenate(arrays) if arrays else np.zeros(0, dtype=kind)
        return whole if self._index is None else whole[self._index]

    def __len__(self) -> int:
        if self._index is not None:
            return len(self._index)
        return self._starts[-1] + len(self._latest)

    def __iter__(self) -> Iterator[PlainRow]:
        for block in self.blocks():
            for start in range(0, block.size, AT_ONCE):
                part = np.arange(start, min(start + AT_ONCE, block.size))
                yield from block.take(part).rows()

    @overload
    def __getitem__(self, number: int) -> PlainRow: ...
    @overload
    def __getitem__(self, number: slice) -> "Rows": ...
    def __getitem__(self, number: int | slice) -> "PlainRow | Rows":
        """Return a row, or a selection."""
        if isinstance(number, slice):
            return self.take(range(len(self))[number])
        # a number below 0 counts from the end, as in a list
        (block,) = self.take([range(len(self))[number]]).blocks()
        return block.rows()[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def _stacked(column: Column) -> NDArray[np.float64] | None:
    """Stack the lists of a column, (n, K); None where they are of different lengths, or hold no numbers."""
    if not isinstance(column, Lists):
        return None
    lengths = set(np.diff(column.starts).tolist())
    if len(lengths) != 1:
        return None
    return column.array.reshape(len(column.starts) - 1, lengths.pop()).astype(np.float64, copy=False)

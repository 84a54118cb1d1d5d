"""Rows by the ten thousand in files of columns (Parquet), which are written once and never changed.

A file has a column for each value of a row, named by its keys ("scores.iou"), so that pandas, Polars and DuckDB read it
as it is. What they do not need stands in the file's metadata: which keys a row had, in which order, and of which type
the values were, so that every row comes back as its line was.
"""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from explainer.errors import InputError, missing_extra
from explainer.evaluation.storage.block import Block, Column, Layout, Lists, Numbers, Plain, Texts
from explainer.files import conform, replacing

PARTS = "rows.*.parquet"
"""Names of the parts of a folder."""
_ABOUT = b"explainer"
"""Key of the metadata."""
_LAYOUT = "_layout"
"""Column that says which keys a row has."""


class _About(TypedDict):
    """What a part says of its columns.

    Attributes:
        places: Keys that lead to the values of each column.
        kinds: Kind of each column.
        names: Name of each column.
        layouts: Numbers of a row's columns in the order of its keys, of each layout.
    """

    places: list[list[str]]
    kinds: list[str]
    names: list[str]
    layouts: list[list[int]]


def can_write() -> bool:
    """Say whether there is the library that writes parts."""
    return find_spec("pyarrow") is not None


def part_paths(folder: Path) -> list[Path]:
    """Return the parts of a folder in their order."""
    return sorted(folder.glob(PARTS))


def next_part(folder: Path) -> Path:
    """Return the path of a part that comes behind those of a folder."""
    number = 0
    for path in part_paths(folder):
        middle = path.name.split(".")[1]
        # a person's own copy may have any name
        number = max(number, int(middle) + 1) if middle.isdecimal() else number
    return folder / f"rows.{number:05d}.parquet"


def write_part(path: Path, block: Block) -> None:
    """Write rows as a part; it is on the disk, as a whole, before this returns.

    Args:
        path: File to write.
        block: Rows.
    """
    import pyarrow  # late: nobody waits for it who has few rows
    import pyarrow.parquet

    about: _About = {"places": [], "kinds": [], "names": [], "layouts": []}
    columns = {}
    for place, column in block.columns.items():
        name = ".".join(place)
        while name in columns or name == _LAYOUT:
            name += "_"
        columns[name], kind = _to_arrow(column, block.has(place))
        about["places"].append(list(place))
        about["kinds"].append(kind)
        about["names"].append(name)
    numbers = {place: number for number, place in enumerate(block.columns)}
    about["layouts"] = [[numbers[place] for place in layout] for layout in block.layouts]
    columns[_LAYOUT] = pyarrow.array(block.layout.astype(np.int32))
    table = pyarrow.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about)})
    # forced to the disk: the lines of these rows are removed next
    with replacing(path, sync=True) as partial, partial.open("wb") as file:
        pyarrow.parquet.write_table(table, file, compression="zstd", write_page_checksum=True)


def _to_arrow(column: Column, has: NDArray[np.bool_]) -> tuple[Any, str]:
    """Turn a column into pyarrow's, in which rows without a value have null, and name its kind."""
    import pyarrow

    if isinstance(column, Numbers):
        is_floating = column.array.dtype.kind == "f"
        absent = ~has | np.isnan(column.array) if is_floating else ~has
        return pyarrow.array(column.array, mask=absent), "number"
    if isinstance(column, Texts):
        words = column.words
        kind = "text"
        # the name of a file that is no UTF-8
        if not all(map(_is_unicode, words)):
            words = [json.dumps(word) for word in words]
            kind = "escaped text"
        codes = pyarrow.array(column.codes, mask=column.codes < 0)
        return pyarrow.DictionaryArray.from_arrays(codes, pyarrow.array(words, pyarrow.string())), kind
    if isinstance(column, Lists):
        starts = pyarrow.array(column.starts)
        return pyarrow.LargeListArray.from_arrays(starts, pyarrow.array(column.array), mask=pyarrow.array(~has)), "list"
    texts = [None if value is None else json.dumps(value) for value in column.content]
    return pyarrow.array(texts, pyarrow.string()), "JSON"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_part(path: Path) -> Block:
    """Read the rows of a part.

    Args:
        path: File to read.

    Raises:
        InputError: pyarrow is missing, or the file is damaged or no part.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise missing_extra(f"{path} holds rows as Parquet, which needs pyarrow", "parquet") from error
    try:
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file, page_checksum_verification=True, use_threads=False)
        about = conform(json.loads(table.schema.metadata[_ABOUT]), _About, path)
        block = _block(table, about)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path} is damaged, or no part of results: delete that file, and its rows are computed again"
        ) from error
    # of each part pyarrow would keep the memory that reading took
    del table
    pyarrow.default_memory_pool().release_unused()
    return block


def _block(table: Any, about: _About) -> Block:
    """Turn a table into rows."""
    columns = {}
    for keys, kind, name in zip(about["places"], about["kinds"], about["names"], strict=True):
        columns[tuple(keys)] = _from_arrow(table.column(name), kind)
    places = list(columns)
    layouts: list[Layout] = [tuple(places[number] for number in layout) for layout in about["layouts"]]
    layout = table.column(_LAYOUT).to_numpy().astype(np.int64)
    if len(layout) and not 0 <= layout.min() <= layout.max() < len(layouts):
        raise ValueError("a row of an unknown layout")
    return Block(layouts, layout, columns)


def _from_arrow(chunks: Any, kind: str) -> Column:
    """Turn a column of pyarrow's into ours, which shares no memory with it."""
    import pyarrow.compute

    array = chunks.combine_chunks()
    if kind == "number":
        # floats have NaN for null, as ours have; of others a row without a value has any
        if array.null_count and not pyarrow.types.is_floating(array.type):
            array = array.fill_null(False if pyarrow.types.is_boolean(array.type) else 0)
        return Numbers(np.array(array.to_numpy(zero_copy_only=False)))
    if kind in ("text", "escaped text"):
        encoded = array if pyarrow.types.is_dictionary(array.type) else array.dictionary_encode()
        words: Sequence[str] = encoded.dictionary.to_pylist()
        if kind == "escaped text":
            words = [json.loads(word) for word in words]
        return Texts(encoded.indices.fill_null(-1).to_numpy().astype(np.int32), list(words))
    if kind == "list":
        lengths = pyarrow.compute.list_value_length(array).fill_null(0).to_numpy()
        return Lists(np.array(array.flatten().to_numpy()), np.concatenate([[0], np.cumsum(lengths)]))
    return Plain([None if text is None else json.loads(text) for text in array.to_pylist()])

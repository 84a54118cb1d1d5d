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

_AT_ONCE = 5000
"""Rows whose lists are read at once."""


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
    columns[_LAYOUT] = _numbers(block.layout.astype(np.int32))
    table = pyarrow.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about)})
    # forced to the disk: the lines of these rows are removed next
    with replacing(path, sync=True) as partial, partial.open("wb") as file:
        pyarrow.parquet.write_table(table, file, compression="zstd", write_page_checksum=True)


def _to_arrow(column: Column, has: NDArray[np.bool_]) -> tuple[Any, str]:
    """Turn a column into pyarrow's, in which rows without a value have null, and name its kind."""
    import pyarrow

    if isinstance(column, Numbers):
        is_floating = column.array.dtype.kind == "f"
        present = has & ~np.isnan(column.array) if is_floating else has
        return _numbers(column.array, present), "number"
    if isinstance(column, Texts):
        words = column.words
        kind = "text"
        # the name of a file that is no UTF-8
        if not all(map(_is_unicode, words)):
            words = [json.dumps(word) for word in words]
            kind = "escaped text"
        codes = _numbers(column.codes, column.codes >= 0)
        return pyarrow.DictionaryArray.from_arrays(codes, pyarrow.array(words, pyarrow.string())), kind
    if isinstance(column, Lists):
        lists = pyarrow.LargeListArray.from_arrays(_numbers(column.starts), _numbers(column.array), mask=_numbers(~has))
        return lists, "list"
    texts = [None if value is None else json.dumps(value) for value in column.content]
    return pyarrow.array(texts, pyarrow.string()), "JSON"


def _numbers(array: NDArray[Any], present: NDArray[np.bool_] | None = None) -> Any:
    """Hand numbers or truth values to pyarrow, null where they are not present.

    By their bytes: pyarrow's own way imports pandas where it is installed, which takes 50 MB.
    """
    import pyarrow

    kind = pyarrow.from_numpy_dtype(array.dtype)
    content = _bits(array) if array.dtype.kind == "b" else np.ascontiguousarray(array)
    validity = None if present is None or present.all() else pyarrow.py_buffer(_bits(present))
    return pyarrow.Array.from_buffers(kind, len(array), [validity, pyarrow.py_buffer(content)])


def _bits(flags: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack truth values as Arrow does."""
    return np.packbits(flags, bitorder="little")


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
            # not by read_table, which imports pandas and what reads whole folders: 50 MB
            part = pyarrow.parquet.ParquetFile(file, page_checksum_verification=True)
            about = conform(json.loads(part.schema_arrow.metadata[_ABOUT]), _About, path)
            block = _block(part, about)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path} is damaged, or no part of results: delete that file, and its rows are computed again"
        ) from error
    # of each part pyarrow would keep the memory that reading took
    pyarrow.default_memory_pool().release_unused()
    return block


def _block(part: Any, about: _About) -> Block:
    """Read rows column by column: decoding all at once takes five times the memory of what comes out."""
    columns = {}
    for keys, kind, name in zip(about["places"], about["kinds"], about["names"], strict=True):
        columns[tuple(keys)] = _lists(part, name) if kind == "list" else _column(_read_column(part, name), kind)
    places = list(columns)
    layouts: list[Layout] = [tuple(places[number] for number in layout) for layout in about["layouts"]]
    layout = _array(_read_column(part, _LAYOUT)).astype(np.int64)
    if len(layout) and not 0 <= layout.min() <= layout.max() < len(layouts):
        raise ValueError("a row of an unknown layout")
    return Block(layouts, layout, columns)


def _read_column(part: Any, name: str) -> Any:
    """Read a column of a file as an array of pyarrow's."""
    # others come with it whose names begin as its name does, followed by a point
    return part.read([name], use_threads=False).column(name).combine_chunks()


def _lists(part: Any, name: str) -> Lists:
    """Read a column of lists, some rows at once: it may be larger than all others together."""
    arrays = []
    lengths = [np.zeros(1, dtype=np.int64)]
    for batch in part.iter_batches(_AT_ONCE, columns=[name], use_threads=False):
        lists = batch.column(name)
        arrays.append(_array(lists.flatten()))
        lengths.append(_array(lists.value_lengths()))
    return Lists(np.concatenate(arrays), np.cumsum(np.concatenate(lengths)))


def _column(array: Any, kind: str) -> Column:
    """Turn an array of pyarrow's into a column of ours, which shares no memory with it."""
    import pyarrow

    if kind == "number":
        return Numbers(_array(array))
    if kind in ("text", "escaped text"):
        encoded = array if pyarrow.types.is_dictionary(array.type) else array.dictionary_encode()
        words: Sequence[str] = encoded.dictionary.to_pylist()
        if kind == "escaped text":
            words = [json.loads(word) for word in words]
        codes = np.where(_array(encoded.is_valid()), _array(encoded.indices), -1)
        return Texts(codes.astype(np.int32), list(words))
    return Plain([None if text is None else json.loads(text) for text in array.to_pylist()])


def _array(array: Any) -> NDArray[Any]:
    """Take numbers or truth values from pyarrow: null is NaN among floats, as in our columns, and else 0."""
    import pyarrow

    is_truth = pyarrow.types.is_boolean(array.type)
    if is_truth:
        # DLPack, by which numbers are taken, knows no bits
        array = array.cast(pyarrow.uint8())
    numbers = np.from_dlpack(array.drop_null() if array.null_count else array)
    if array.null_count:
        whole = np.full(len(array), np.nan if numbers.dtype.kind == "f" else 0, dtype=numbers.dtype)
        whole[_array(array.is_valid())] = numbers
        numbers = whole
    # a copy: what was taken shares its memory with pyarrow
    return numbers.astype(bool) if is_truth else np.array(numbers)

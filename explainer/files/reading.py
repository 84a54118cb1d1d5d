"""One check for every file that comes in: its encoding, its syntax, and what it must hold.

What a person gave and cannot be used is an `InputError` that names the file and the place in it. What the project wrote
itself, and a crash tore, is told apart from that: `read_state` gives None, and the work begins anew.
"""

import codecs
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import to_json

from explainer.errors import InputError

T = TypeVar("T")
# UTF-16's own decoder takes the mark away; of UTF-8 that has to be asked for
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_bytes(path: str | Path) -> bytes:
    """Read a whole regular file.

    Args:
        path: File to read.

    Returns:
        The content of the file.

    Raises:
        InputError: The file is missing, is no regular file (reading a pipe would wait for ever), or cannot be read.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits.

    Args:
        path: File to read; it may be larger than the memory.

    Example:
        >>> import tempfile; path = Path(tempfile.mkdtemp()) / "a"; _ = path.write_bytes(b"abc")
        >>> digest(path)[:8]
        'ba7816bf'
    """
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_text(path: str | Path) -> str:
    """Read a text file of UTF-8 (with or without a byte-order mark) or of UTF-16 with one.

    Args:
        path: File to read.

    Returns:
        The text of the file.

    Raises:
        InputError: The file cannot be read, or has another encoding; names the line of the first such byte.
    """
    content = read_bytes(path)
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path} is not UTF-8 (line {line}): save it with the encoding UTF-8") from error


def read_lines(path: str | Path) -> list[str]:
    """Read the lines of a text file that are not blank, without the spaces around them.

    Args:
        path: File to read.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    return [line for line in lines if line]


def read_state(path: str | Path, kind: type[T]) -> T | None:
    """Read a JSON file that the project wrote itself.

    Args:
        path: File to read.
        kind: Type of the content, as for `conform`.

    Returns:
        The content; None where the file is missing, torn, empty, or holds something else: the work begins anew.

    Raises:
        InputError: The file is there and cannot be read, so that beginning anew could lose what is in it.
    """
    path = Path(path)
    if not path.exists():
        return None
    content = read_bytes(path)
    try:
        return conform(json.loads(content), kind, path)
    except (ValueError, RecursionError):  # an InputError is a ValueError
        return None


@cache
def _adapter(kind: Any) -> TypeAdapter:
    """Return the check of a type; to build one takes longer than to use it."""
    return TypeAdapter(kind)


more_keys = with_config(ConfigDict(extra="allow"))
"""Decorator of a TypedDict for `conform`: keys that it does not name are no fault."""
no_other_keys = with_config(ConfigDict(extra="forbid"))
"""Decorator of a TypedDict for `conform`: a key that it does not name is a fault."""


def conform(value: Any, kind: type[T], source: str | Path) -> T:
    """Check plain values against a type: a dataclass, a TypedDict, or what is built from lists and dictionaries.

    Args:
        value: Plain value that a file held.
        kind: Type that the value must have. Lists become tuples and dictionaries become dataclasses; no other value is
            turned into another type.
        source: File, for the error.

    Returns:
        The value, as such a type.

    Raises:
        InputError: Names the file, the place in it, and the first fault there.

    Example:
        >>> conform({"a": 1}, dict[str, int], "x.json")
        {'a': 1}
        >>> conform({"a": "b"}, dict[str, int], "x.json")
        Traceback (most recent call last):
        ...
        explainer.errors.InputError: x.json: a: input should be a valid integer
    """
    try:
        content = to_json(value, inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:  # what is no plain value
        if "surrogates not allowed" not in str(error):
            raise _not_plain(error, source) from error
    else:
        return _validated(content, kind, source)
    try:  # the name of a file that is no UTF-8: it stays as it is, and only the rest is checked
        content = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, TypeError, RecursionError) as error:
        raise _not_plain(error, source) from error
    _validated(content, kind, source)
    return value


def _not_plain(error: Exception, source: str | Path) -> InputError:
    """Return the error of values that JSON cannot hold."""
    words = str(error).splitlines()[0][:200]
    return InputError(f"{source} holds more than plain values: {words}")


def parse(path: str | Path, kind: type[T], source: str | Path | None = None) -> T:
    """Read a JSON file and check it in one go, which is faster than reading and `conform` for large files.

    Args:
        path: File to read.
        kind: Type that the content must have, as for `conform`.
        source: Name of the file for the error; None takes its path.

    Returns:
        The content, as such a type.

    Raises:
        InputError: The file cannot be read, is no JSON, or holds something else.
    """
    content = read_text(path)
    return _validated(content, kind, path if source is None else source)


def _validated(content: str | bytes, kind: type[T], source: str | Path) -> T:
    """Read JSON as a type; the first fault becomes the error."""
    try:
        # strict: the text "1" is no number, and what is wrong is named rather than turned into something else
        return _adapter(cast(Any, kind)).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"]
        words = message[:1].lower() + message[1:]
        if place:
            words = f"{place}: {words}"
        raise InputError(f"{source}: {words}") from error

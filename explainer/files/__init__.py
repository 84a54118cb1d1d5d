"""Between the project and the disk: files that come in are checked, files that go out are whole or absent."""

from explainer.files.escaping import for_csv, for_latex, for_markdown, for_terminal, printable
from explainer.files.locking import alone, held
from explainer.files.reading import conform, digest, more_keys, no_other_keys, parse, read_lines, read_state, read_text
from explainer.files.repeating import repeating
from explainer.files.writing import (
    append_lines,
    copy_file,
    file_name,
    make_writable,
    replacing,
    sweep,
    write_csv,
    write_json,
    write_lines,
    write_text,
)

__all__ = [
    "alone",
    "append_lines",
    "conform",
    "copy_file",
    "digest",
    "file_name",
    "for_csv",
    "for_latex",
    "for_markdown",
    "for_terminal",
    "held",
    "make_writable",
    "more_keys",
    "no_other_keys",
    "parse",
    "printable",
    "read_lines",
    "read_state",
    "read_text",
    "repeating",
    "replacing",
    "sweep",
    "write_csv",
    "write_json",
    "write_lines",
    "write_text",
]

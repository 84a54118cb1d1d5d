"""Words from outside, such as names of classes, files and methods, where another program reads what is written.

One function a format. Text that holds nothing special passes as it is.
"""

import unicodedata
from typing import Any

from rich.markup import escape

# full-width signs as well, which some spreadsheets take for the usual ones
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# what LaTeX takes for commands; then signs that the tables themselves write, and that its usual fonts do not have
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": r"\ensuremath{-}",
    "×": r"\ensuremath{\times}",
    "²": r"\textsuperscript{2}",
    "↑": r"\ensuremath{\uparrow}",
    "↓": r"\ensuremath{\downarrow}",
    "–": "--",
    "\u202f": r"\,",
    "α": r"\ensuremath{\alpha}",
}


def printable(text: str) -> str:
    r"""Return text on one line, without what steers a terminal, hides or turns other characters, or cannot be encoded.

    Args:
        text: Any text.

    Returns:
        The text, in which line ends and tabs are spaces, and other control characters and lone surrogates are a
        replacement character.

    Example:
        >>> printable("a\nb"), printable("\x1b[31mred")
        ('a b', '�[31mred')
    """
    if text.isprintable():
        return text
    return "".join(_shown(c) for c in text)


def _shown(character: str) -> str:
    """Return a character, or what stands for it on one line."""
    kind = unicodedata.category(character)
    if character in "\t\n\r\v\f" or kind in ("Zl", "Zp"):
        return " "
    # Cc: control, Cs: surrogate; Cf: turns or hides what is around, but for the joiners that scripts and emoji need
    hidden = kind in ("Cc", "Cs") or (kind == "Cf" and character not in "\u200c\u200d")
    if hidden:
        return "\ufffd"
    return character


def for_terminal(text: str) -> str:
    r"""Return text as rich prints it: no markup, no control characters.

    Example:
        >>> for_terminal("[/red] a"), for_terminal("0.5 [0.4, 0.6]")
        ('\\[/red] a', '0.5 [0.4, 0.6]')
    """
    return escape(printable(text))


def for_markdown(text: str) -> str:
    r"""Return text as a cell of a Markdown table shows it: no cell ends within, no HTML, no link, no picture.

    Example:
        >>> for_markdown("a|b <i>"), for_markdown("50 [48, 54] *")
        ('a\\|b &lt;i>', '50 [48, 54] *')
    """
    # backslash and ampersand first: the others bring new ones
    text = printable(text).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("|", "\\|").replace("`", "\\`").replace("](", "]\\(")


def for_csv(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: text that begins like one has an apostrophe before it.

    Args:
        value: Content of a cell; numbers pass as they are, negative ones too.

    Example:
        >>> for_csv("=1+1"), for_csv(-1.5), for_csv("a-b")
        ("'=1+1", -1.5, 'a-b')
    """
    if isinstance(value, str) and value.lstrip(" \u00a0").startswith(_FORMULA):
        return f"'{value}"
    return value


def for_latex(text: str) -> str:
    r"""Return text as LaTeX prints it.

    Example:
        >>> for_latex("50 % of a_b")
        '50 \\% of a\\_b'
    """
    # LaTeX stops at a control character
    return "".join(_LATEX.get(character, character) for character in printable(text))

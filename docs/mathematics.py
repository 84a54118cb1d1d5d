"""Formulas and examples of the site: a hook of mkdocs, and an extension of griffe, which reads docstrings.

Formulas become MathML, which browsers show without a script from elsewhere.
"""

import html
import re
from typing import Any

import griffe
from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>', re.DOTALL)
_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
"""griffe knows the section by its plural only."""
_DIRECTIVE = re.compile(r"^( *)\.\. math:: *(.*(?:\n\1 +\S.*)*)", re.MULTILINE)


def on_page_content(content: str, **kwargs: Any) -> str:
    """Turn the formulas of a page into MathML; mkdocs calls it for every page."""

    def to_mathml(found: re.Match) -> str:
        display = "block" if found[1] == "div" else "inline"
        return convert(html.unescape(found[2]).strip(), display=display)

    return _FORMULA.sub(to_mathml, content)


class Docstrings(griffe.Extension):
    """Turn `.. math::`, which is reStructuredText, into Markdown, and `Example:` into a block of code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, a class or a function; griffe calls it for each of them."""
        if obj.docstring is not None:
            text = _DIRECTIVE.sub(_block, obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", text)


def _block(found: re.Match) -> str:
    indent = found[1]
    lines = [line.strip() for line in found[2].splitlines()]
    return f"\n{indent}$${' '.join(lines).strip()}$$\n"

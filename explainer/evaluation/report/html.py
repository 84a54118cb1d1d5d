"""HTML from the templates of this folder, in which every word that comes from outside is escaped."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from latex2mathml.converter import convert
from markupsafe import Markup

TEMPLATES = Path(__file__).parent


def mathematics(formula: str) -> Markup | str:
    r"""Return the MathML of a formula in LaTeX; any other formula as it is, to be escaped.

    Args:
        formula: Formula of a metric; LaTeX if it has a command, that is, a backslash.

    Example:
        >>> mathematics("Σ m < 1"), mathematics(r"\rho < 1")[:5]
        ('Σ m < 1', Markup('<math'))
    """
    if "\\" not in formula or '"' in formula or "href" in formula:  # the library escapes neither attributes nor text
        return formula
    try:
        return Markup(convert(formula.replace("<", r"\lt ").replace(">", r"\gt ")))
    except Exception:  # a user's metric may say anything, and the library's errors have no base of their own
        return formula


@cache
def _environment(folder: Path) -> Environment:
    """Return the environment of a folder's templates and the report's; it stops at a name that it does not know."""
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["mathematics"] = mathematics
    return environment


def template(name: str, folder: Path = TEMPLATES) -> Template:
    """Return a template.

    Args:
        name: Name of a file in the folder, or in this one.
        folder: Folder of the templates.
    """
    return _environment(folder).get_template(name)

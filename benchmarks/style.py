"""Measure how the code is written: numbers to look at, not to be gamed; a reader decides.

python benchmarks/style.py [FOLDER_OR_FILE ...]

Without arguments the whole package and the configs are measured; with arguments those folders and files, a line each.
A code line is one that is neither blank, nor a comment, nor part of a docstring. A syntax node is any node of
Python's own tree. Branches
of functions are limited by ruff's C901, in `make lint`.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "explainer"
CONSTRUCTOR = "__init__"
VAGUE = {"found", "said", "some", "own", "kept", "made"}


class Style(NamedTuple):
    """What is counted in some files; sums, but for the most parameters."""

    code_lines: int
    comments: int
    nodes: int
    conditionals: int
    untyped: int
    skipped_formats: int
    vague_names: int
    parameters: int


def docstring_lines(tree: ast.AST) -> set[int]:
    """Lines of all docstrings, those of constants too."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def comment_lines(text: str) -> tuple[set[int], int]:
    """Lines that have a comment for a reader, and how many tell a tool to leave the layout alone."""
    read, skipped = set(), 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if "fmt: skip" in token.string or "fmt: off" in token.string:
            skipped += 1
        elif not any(tool in token.string for tool in ("noqa", "type: ignore")):
            read.add(token.start[0])
    return read, skipped


def measured(path: Path) -> Style:
    """Count one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    documented = docstring_lines(tree)
    comments, skipped = comment_lines(text)
    lines = text.splitlines()
    code = [
        n
        for n, line in enumerate(lines, 1)
        if line.strip() and n not in documented and not line.strip().startswith("#")
    ]
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    plain = [f for f in functions if f.name != CONSTRUCTOR]
    return Style(
        code_lines=len(code),
        comments=len(comments),
        nodes=len(nodes),
        conditionals=sum(isinstance(node, ast.IfExp) for node in nodes),
        untyped=text.count("dict[str, Any]"),
        skipped_formats=skipped,
        vague_names=sum(isinstance(node, ast.Name) and node.id in VAGUE for node in nodes),
        parameters=max((len(f.args.args + f.args.kwonlyargs) for f in plain), default=0),
    )


def together(styles: list[Style]) -> Style:
    """Add the counts of files up."""
    sums = [sum(column) for column in zip(*styles, strict=True)]
    sums[-1] = max(style.parameters for style in styles)
    return Style(*sums)


def line_of(name: str, style: Style) -> str:
    """A row of the table."""
    lines = max(1, style.code_lines)
    numbers = [
        f"{style.code_lines}",
        f"{style.nodes / lines:.1f}",
        f"{100 * style.comments / lines:.1f}",
        f"{1000 * style.conditionals / lines:.1f}",
        f"{1000 * style.untyped / lines:.1f}",
        f"{style.skipped_formats}",
        f"{style.vague_names}",
        f"{style.parameters}",
    ]
    return f"| {name} | " + " | ".join(numbers) + " |"


def repeated_lines(folder: Path) -> float:
    """Share of the content lines of run configs that stand word for word in another one."""
    files = {path: content_lines(path) for path in sorted(folder.rglob("*.yaml"))}
    owners = Counter(line for lines in files.values() for line in set(lines))
    lines = [line for content in files.values() for line in content]
    return sum(owners[line] > 1 for line in lines) / max(1, len(lines))


def content_lines(path: Path) -> list[str]:
    """Lines of a config without comments and blanks."""
    lines = [line.split(" #")[0].rstrip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def main() -> None:
    places = [Path(place) for place in sys.argv[1:]] or [PACKAGE]
    print(
        "| place | code lines | nodes a line | comments per 100 | conditional expressions per 1,000 |"
        " dict[str, Any] per 1,000 | fmt: skip | vague names | most parameters |"
    )
    print("| --- |" + " ---: |" * 8)
    for place in places:
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        print(line_of(str(place.resolve().relative_to(ROOT)), together([measured(path) for path in files])))
    if not sys.argv[1:]:
        folders = [folder for folder in (PACKAGE, *PACKAGE.rglob("*")) if folder.is_dir()]
        flat = {folder: len(list(folder.glob("*.py"))) for folder in folders}
        largest = max(flat, key=lambda folder: flat[folder])
        loose = flat[PACKAGE] - 2  # __init__ and __main__
        print(f"loose modules: {loose}; largest flat folder: {flat[largest]} files in {largest.relative_to(ROOT)}")
        print(f"config lines that stand in another config too: {100 * repeated_lines(ROOT / 'configs'):.0f} %")


if __name__ == "__main__":
    main()

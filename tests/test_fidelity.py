"""docs/reference/fidelity.md: every row has evidence that exists, and the counts above are right."""

import re

import pytest

from tests.support.tiny_runs import ROOT

PAGE = (ROOT / "docs" / "reference" / "fidelity.md").read_text()
HEADER = "| where in the text |"
USUAL = ("as there", "none", "")


def cells_of(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables():
    """Heading of each text → its rows."""
    found, heading, inside = {}, "", False
    for line in PAGE.splitlines():
        if line.startswith("## "):
            heading, inside = line[3:], False
        elif line.startswith(HEADER):
            inside, found[heading] = True, []
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("| ---"):
            found[heading].append(cells_of(line))
    return found


TABLES = tables()
ROWS = [(heading, cells) for heading, rows in TABLES.items() for cells in rows]


def named_tests(text):
    """Pairs of a test file, by its path below tests/, and a name in it, as the page writes them."""
    file, pairs = None, []
    for token in re.findall(r"[\w/]*\btest_\w+\.py|\b(?:test_\w+|Test[A-Z]\w+)\b", text):
        if token.endswith(".py"):
            file = token
        else:
            pairs.append((file, token))
    return pairs


@pytest.mark.parametrize(("heading", "cells"), ROWS, ids=lambda value: str(value)[:40])
def test_a_row_has_evidence_that_exists(heading, cells):
    assert len(cells) == 5, cells
    evidence = cells[3]
    assert evidence
    tests = named_tests(evidence)
    for file, name in tests:
        assert file is not None, f"{name} of which file?"
        assert re.search(rf"^\s*(def|class) {name}\b", (ROOT / "tests" / file).read_text(), re.MULTILINE), (file, name)
    files = re.findall(r"[\w/]*\btest_\w+\.py", evidence)
    assert all((ROOT / "tests" / file).exists() for file in files)
    pictures = re.findall(r"docs/[\w/]+\.\w+", evidence)
    assert all((ROOT / path).exists() for path in pictures)
    measured = re.search(r"\d\.\d|results/\w+\.md|configs?|default|the same", evidence)
    assert files or pictures or measured, evidence


@pytest.mark.parametrize(("heading", "cells"), ROWS, ids=lambda value: str(value)[:40])
def test_a_row_names_files_that_exist(heading, cells):
    for path in re.findall(
        r"\b(?:explainer|configs|benchmarks|docs|tests)/[\w/]+\.(?:py|yaml|md|png|jpg)\b", " ".join(cells)
    ):
        assert (ROOT / path).exists(), path


COUNTS = r"\| [^|]+ \| \d+ \| \d+ \| \d+ \| \d+ \|$"


def test_the_counts_above_are_right():
    lines = [cells_of(line) for line in PAGE.splitlines() if re.match(COUNTS, line)]
    told = {cells[0]: [int(cell) for cell in cells[1:]] for cells in lines}
    counted = {}
    for heading, rows in TABLES.items():
        tested = sum("test_" in cells[3] for cells in rows)
        departures = sum(
            cells[4].lower().rstrip(".") not in USUAL and not cells[4].lower().startswith("as there.") for cells in rows
        )
        counted[heading] = [len(rows), tested, len(rows) - tested, departures]
    counted["all"] = [sum(column) for column in zip(*counted.values(), strict=True)]
    assert told == counted


def test_all_five_texts_are_there():
    assert len(TABLES) == 4
    assert "paper and poster" in [*TABLES][-1]
    assert len(ROWS) > 120

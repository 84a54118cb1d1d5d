"""No link in the documents is broken, to a file or to a heading, and the site's menu names every page."""

import re

import pytest

from tests.support.tiny_runs import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(([^)\s]+)\)")
ELSEWHERE = ("http://", "https://", "mailto:")


def prose(path):
    """A document without its blocks of code and without code in a line."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchor(heading):
    """What a heading is called in a link: lower case, hyphens for spaces, no other signs."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text.strip().lower()))


def anchors(path):
    """The anchors of a document's headings."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {anchor(heading) for heading in re.findall(r"^#+ +(.+)$", text, re.MULTILINE)}


def links(path):
    """The links of a document that lead to a file of the project."""
    return [target for target in LINK.findall(prose(path)) if not target.startswith(ELSEWHERE)]


def fault(page, target):
    """What is wrong with a link, in words; None where it leads somewhere."""
    name, _, heading = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.is_relative_to(ROOT) or not path.exists():
        return f"{target}: no such file"
    if heading and heading not in anchors(path):
        return f"{target}: no such heading"
    if page.is_relative_to(DOCS) and not path.is_relative_to(DOCS):
        return f"{target}: outside docs/, where the site does not reach"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    faults = [words for words in (fault(page, target) for target in links(page)) if words]
    assert not faults


def test_a_broken_link_is_found(tmp_path):
    page = DOCS / "index.md"
    assert fault(page, "results/nothing.md").endswith("no such file")
    assert fault(page, "results/index.md#nothing").endswith("no such heading")
    assert fault(page, "../README.md").endswith("the site does not reach")
    assert fault(page, "results/index.md#in-short") is None


def test_enough_is_linked():
    assert len(PAGES) > 25
    assert sum(len(links(page)) for page in PAGES) > 100


def test_every_page_can_be_reached_from_the_readme():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if target[0] != "#"]
    assert {page for page in PAGES if page.name not in ("CHANGELOG.md", "index.md")} <= seen


def test_the_menu_of_the_site_names_every_page():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = set(re.findall(r"[\w/]+\.md", menu))
    assert named == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


def test_the_api_pages_name_every_room():
    rooms = {path.parent.name for path in (ROOT / "explainer").glob("*/__init__.py")}
    named = set(
        re.findall(r"^::: explainer\.(\w+)", "\n".join(p.read_text() for p in (DOCS / "api").glob("*.md")), re.M)
    )
    assert rooms - {"files"} <= named


NAMED_TESTS = re.findall(r"`([\w/]+\.py)::(\w+)`", (DOCS / "reference" / "asked_for.md").read_text(encoding="utf-8"))


def test_the_page_of_what_is_asked_for_has_a_row_an_ask_and_shows_what_it_claims():
    rows = re.findall(
        r"^\| (\d+)\. .*$", (DOCS / "reference" / "asked_for.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [int(number) for number in rows] == list(range(1, 43))
    text = (DOCS / "reference" / "asked_for.md").read_text(encoding="utf-8")
    for number, answer, shown in re.findall(r"^\| (\d+)\. [^|]*\| (\w+) \|[^|]*\| ?([^|]*)\|$", text, re.MULTILINE):
        assert answer in ("yes", "partly", "no"), number
        assert bool(shown.strip()) == (answer != "no"), number


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED_TESTS)))
def test_the_tests_that_the_page_of_what_is_asked_for_names_are_there(file, name):
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *def {name}\(", text, re.MULTILINE)

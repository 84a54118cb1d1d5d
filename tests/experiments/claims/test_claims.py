"""Claims, checked against results that are written by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from explainer.errors import InputError
from explainer.experiments.claims.base import Effect
from explainer.experiments.claims.run import Claims
from explainer.experiments.claims.statements import Ahead, Conflict, Retrained

HEAD = {"paper": "A. Author, 2020", "data": "drawn", "results": "table"}


@pytest.fixture
def root(tmp_path):
    """Results of four methods on 40 images: a is ahead of b by 0.1, c and d are alike."""
    folder = tmp_path / "table"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = []
    for image in range(40):
        noise = 0.01 * random.standard_normal(4)
        levels = {"a": 0.6, "b": 0.5, "c": 0.3, "d": 0.3}
        for place, (method, level) in enumerate(levels.items()):
            value = level + noise[place]
            scores = {"up": value, "down": value, "same": value, "empty": None}
            rows.append({"id": str(image), "method": method, "scores": scores, "area": level, "removed": {}})
    rows.append({"id": "40", "method": "a", "error": "out of memory"})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {name: {"higher_is_better": name != "down"} for name in ("up", "down", "same", "empty")}
    (folder / "results.json").write_text(json.dumps({"columns": columns}))
    return tmp_path


def test_a_method_that_is_ahead(root):
    effect = Ahead(claim="a is best", **HEAD, method="a", than=["c", "b"], column="up").effect(root)
    assert effect.measure == "up: a against b"  # the nearest of the two
    assert effect.value == pytest.approx(0.1, abs=0.01)
    assert effect.low < effect.value < effect.high
    assert (effect.n, effect.unit, effect.verdict) == (40, "images", "holds")


def test_the_direction_is_the_columns_own(root):
    ahead = Ahead(claim="a is best", **HEAD, method="a", than="b", column="down").effect(root)
    assert ahead.verdict == "does not hold"
    assert ahead.value == pytest.approx(-0.1, abs=0.01)


def test_two_that_are_alike_are_not_told_apart(root):
    assert Ahead(claim="c is best", **HEAD, method="c", than="d", column="up").effect(root).verdict == "not told"


def test_a_number_beside_the_scores_needs_a_direction(root):
    smaller = Ahead(claim="a is smaller", **HEAD, method="a", than="b", column="area", higher_is_better=False)
    assert smaller.effect(root).value == pytest.approx(-0.1)
    with pytest.raises(InputError, match="area has no direction"):
        Ahead(claim="a is smaller", **HEAD, method="a", than="b", column="area").effect(root)


def test_at_least_so_much(root):
    assert (
        Ahead(claim="far", **HEAD, method="a", than="b", column="up", at_least=0.2).effect(root).verdict
        == "does not hold"
    )


def test_columns_that_rank_alike_do_not_disagree(root):
    methods = ["a", "b", "c", "d"]
    alike = Conflict(claim="they disagree", **HEAD, columns=["up", "same"], methods=methods).effect(root)
    assert alike.verdict == "does not hold"
    assert alike.value == pytest.approx(0.5 - 1)
    other_way = Conflict(claim="they disagree", **HEAD, columns=["up", "down"], methods=methods).effect(root)
    assert other_way.verdict == "holds"
    assert other_way.value == pytest.approx(0.5 + 1)


@pytest.fixture
def grid(tmp_path):
    """A grid of two methods, two fractions and two seeds, whose last line is torn."""
    folder = tmp_path / "table"
    folder.mkdir()
    lines = [{"fingerprint": {}}]
    for method, level in (("a", 0.6), ("b", 0.5)):
        for fraction in (0.1, 0.3):
            for seed in (0, 1):
                facts = {"method": method, "mode": "keep", "fraction": fraction, "seed": seed}
                lines.append({"cell": f"{method}{fraction}{seed}", **facts, "score": level + fraction})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "cells.jsonl").write_text(text + '{"cell": "torn", "sco')
    return tmp_path


def test_cells_are_paired_by_what_they_share(grid):
    effect = Retrained(claim="a keeps more", **HEAD, cells={"method": "a"}, than={"method": "b"}).effect(grid)
    assert effect.value == pytest.approx(0.1)
    assert (effect.n, effect.unit, effect.verdict) == (4, "cells", "holds")
    alone = Retrained(claim="above chance", **HEAD, cells={"method": "b"}, level=0.9).effect(grid)
    assert alone.verdict == "does not hold"
    assert alone.value == pytest.approx(-0.2)


@pytest.mark.parametrize(("claim", "words"), [
    (Ahead(claim="x", **HEAD, method="z", than="b", column="up"), "no values of z"),
    (Ahead(claim="x", **HEAD, method="a", than="b", column="empty"), "no row has a number under empty"),
    (Ahead(claim="x", **HEAD | {"results": "other"}, method="a", than="b", column="up"), "no .*other/rows.jsonl"),
    (Retrained(claim="x", **HEAD, cells={"method": "a"}), "no .*cells.jsonl"),
])  # fmt: skip
def test_what_is_missing_is_named(root, claim, words):
    with pytest.raises(InputError, match=words):
        claim.effect(root)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Ahead(claim=" ", **HEAD, method="a", than="b", column="up"), "needs its sentence"),
    (lambda: Ahead(claim="x", **HEAD, method="a", than=["a"], column="up"), "other methods than a"),
    (lambda: Ahead(claim="x", **HEAD | {"results": "../x"}, method="a", than="b", column="up"), "below the folder"),
    (lambda: Conflict(claim="x", **HEAD, columns=["up"], methods=["a", "b", "c", "d"]), "two columns"),
    (lambda: Retrained(claim="x", **HEAD, cells={}), "facts that differ"),
    (lambda: Claims([]), "there is none"),
    (lambda: Claims([Retrained(claim="x", **HEAD, cells={"a": 1})] * 2), "x stands twice"),
])  # fmt: skip
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_an_interval_that_touches_zero_tells_nothing():
    assert Effect(0.1, 0.0, 0.2, 3, "images", "m").verdict == "not told"
    assert Effect(0.1, 0.1, 0.1, 1, "cells", "m").verdict == "not told"  # one draw has no spread


def test_the_table_is_written_and_says_what_was_not_measured(root, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    claims = [
        Ahead(claim="a is best", **HEAD, method="a", than="b", column="up"),
        Ahead(claim="never run", **HEAD | {"results": "other"}, method="a", than="b", column="up"),
    ]
    content = Claims(claims, str(root)).run(SimpleNamespace(name="claims", out=out))
    assert [entry["verdict"] for entry in content["claims"]] == ["holds", "not measured"]
    assert json.loads((out / "results.json").read_text()) == content
    table = (out / "table.md").read_text()
    assert "| a is best | A. Author, 2020 | drawn | 40 images | up: a against b | +0.098 [" in table
    assert "2 claims: 1 hold, 0 do not, 0 are not told from chance, 1 were not measured" in capsys.readouterr().out
    with pytest.raises(InputError, match="run the evaluation"):
        Claims(claims, str(root), strict=True).run(SimpleNamespace(name="claims", out=out))

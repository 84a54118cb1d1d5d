"""Rows as columns: whatever a row holds, it comes back as it was."""

import json
import random
import struct

import numpy as np
import pytest

from explainer.errors import InputError
from explainer.evaluation.storage import columnar
from explainer.evaluation.storage.block import block_of, joined
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.reading import read_folder, read_rows, salvage
from explainer.evaluation.storage.rows import Evaluated, Searched

TEXTS = ("", "a", "ä", "a.b", "\udcfc", "熊")
NUMBERS = (0.5, -0.0, 1e300, float("inf"), 0, 1, -(2**20), 2**40, 2**80, True, False, None)


def any_value(draw, depth=0):
    kind = draw.randrange(7 - depth)
    if kind < 3:
        return draw.choice(NUMBERS)
    if kind == 3:
        return draw.choice(TEXTS)
    if kind == 4:
        same = draw.choice((float, int, bool))
        return [draw.choice([n for n in NUMBERS if type(n) is same]) for _ in range(draw.randrange(4))]
    if kind == 5:
        return [draw.choice(NUMBERS) for _ in range(draw.randrange(3))]
    return {draw.choice("abc"): any_value(draw, depth + 1) for _ in range(draw.randrange(4))}


def any_rows(seed):
    """Rows of a few keys, under which stands anything, and sometimes always something of one type."""
    draw = random.Random(seed)
    usual = {key: draw.choice((None, 0.5, 3, True, "b", [0.5], [1, 2], {"x": 0.25, "y": None})) for key in "uvwxyz"}
    rows = []
    for _ in range(draw.randrange(6)):
        row = {"id": draw.choice(TEXTS)}
        for key in draw.sample("uvwxyz", draw.randrange(6)):
            row[key] = any_value(draw) if draw.random() < 0.3 else usual[key]
        rows.append(row)
    return rows


def exact(rows):
    """Text in which 1, 1.0 and True differ, and the order of keys counts."""
    return [json.dumps(row) for row in rows]


def test_rows_come_back_as_they_were():
    for seed in range(150):
        come_back(any_rows(seed), any_rows(seed + 1000))


def come_back(first, second):
    blocks = [block_of(first), block_of(second)]
    assert exact(blocks[0].rows()) == exact(first)
    assert exact(joined(blocks).rows()) == exact(first + second)
    index = np.array([0, 0, len(first) - 1]) if first else np.zeros(0, np.int64)
    assert exact(blocks[0].take(index).rows()) == exact(first[number] for number in index)
    rows = Rows(first)
    rows.add(blocks[1])
    assert exact(rows) == exact(first + second)
    assert rows == first + second


def test_nan_of_a_row_is_no_none():
    nan = float("nan")
    rows = [{"id": "a", "x": nan, "y": [nan]}, {"id": "b", "x": None}, {"id": "c"}]
    assert exact(block_of(rows).rows()) == exact(rows)


def some_rows(count=10):
    rows = []
    for number in range(count):
        for method in ("A", "B"):
            row = {"id": f"image {number}", "method": method, "scores": {"iou": number / 7}, "flag": number % 2 == 0}
            if method == "B":
                row["scores"]["iou"] = None
                row["more"] = {"list": [number, 1], "curve": [0.5 * number] * (number % 3)}
            rows.append(row)
    return rows


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_columns_of_a_selection(monkeypatch, at_once):
    monkeypatch.setattr(columnar, "AT_ONCE", at_once)
    plain = some_rows()
    rows = Rows(plain)
    order = [7, 3, 3, 19, 0, -1]
    for held, wanted in (
        (rows, plain),
        (rows.take(order[:-1]), [plain[n] for n in order[:-1]]),
        (rows[4:9], plain[4:9]),
    ):
        assert list(held) == wanted
        assert held[-1] == wanted[-1]
        assert held.values("id") == [row["id"] for row in wanted]
        assert held.values("more", "curve") == [row.get("more", {}).get("curve") for row in wanted]
        ious = [row["scores"]["iou"] for row in wanted]
        assert held.floats("scores", "iou").tolist() == pytest.approx(
            [np.nan if v is None else v for v in ious], nan_ok=True
        )
        assert held.has("scores", "iou").all()
        assert held.has("more", "list").tolist() == ["more" in row for row in wanted]
        assert held.flags("flag").tolist() == [row["flag"] for row in wanted]
        assert held.names("id") == list(dict.fromkeys(row["id"] for row in wanted))
        codes, names = held.codes("method")
        assert [names[code] for code in codes] == [row["method"] for row in wanted]
    assert list(rows.of("B")) == [row for row in plain if row["method"] == "B"]
    assert len(rows.of("nobody")) == 0
    assert rows.of("B").of("A") == []
    assert rows.places("more") == [("more", "list"), ("more", "curve")]
    assert rows.of("A").places("more") == []
    assert rows.of("B").table("more", "list").tolist() == [[n, 1] for n in range(10)]
    with pytest.raises(ValueError, match=r"more\.curve holds lists of different lengths"):
        rows.of("B").table("more", "curve")
    with pytest.raises(ValueError, match="different lengths"):
        rows.table("more", "list")
    with pytest.raises(TypeError, match="selected"):
        rows.of("A").append(plain[0])
    with pytest.raises(IndexError):
        rows[20]
    assert Rows().names("id") == []
    assert Rows().floats("a").tolist() == []


def test_every_float_is_read_to_the_bit(tmp_path):
    draw = random.Random(0)
    values = [struct.unpack("d", draw.randbytes(8))[0] for _ in range(20_000)]
    values += [round(draw.random(), 5) for _ in range(5000)] + [5e-324, 2.2250738585072014e-308, 1e23, -0.0]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": "a", "method": "b", "x": value}) + "\n" for value in values))
    assert exact(read_rows(path)) == exact({"id": "a", "method": "b", "x": value} for value in values)


ROW = {"id": "a", "method": "A", "scores": {"iou": 0.5}, "area": 0.5, "cost": {"seconds": 0.1}, "constant": False,
       "broken": False, "kept": {"labels": [0]}, "removed": {"labels": [0]}}  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"area": "large"}, "area: input should be a valid number"),
        ({"area": None}, "area: input should be a valid number"),
        ({"kept": {"labels": [0.5]}}, "kept.labels.0: input should be a valid integer"),
        ({"scores": {"iou": True}}, "scores.iou: input should be a valid number"),
        ({"method": "Original image", "kept": 3}, "kept: input should be an object"),
    ],
)
def test_one_wrong_row_among_many_is_named(tmp_path, monkeypatch, fault, why):
    monkeypatch.setattr("explainer.evaluation.storage.reading._PIECE", 2000)
    rows = [ROW | {"id": str(number)} for number in range(100)]
    rows[70] = rows[70] | fault
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=rf"rows.jsonl, line 71, is no row: delete that line.*{why}"):
        read_rows(path, Evaluated)
    rows[70] = ROW | {"id": "70", "area": 1}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert exact(read_rows(path, Evaluated)) == exact(rows)


def test_lists_of_which_some_are_none(tmp_path):
    rows = [{"id": str(n), "method": "A", "wrong": None if n == 1 else [n, 0][: n % 3]} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert exact(read_rows(tmp_path / "rows.jsonl", Searched)) == exact(rows)


def test_of_several_rows_of_an_image_the_last_counts_in_finished_results(tmp_path):
    lines = [ROW, ROW | {"id": "b"}, {"id": "a", "method": "A", "error": "x"}, ROW | {"area": 0.25}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines) + '{"id": "tor')
    assert list(salvage(tmp_path)) == [lines[3], lines[1]]
    assert (tmp_path / "rows.jsonl").read_text().endswith("tor")  # who only reads mends nothing
    assert list(read_folder(tmp_path, Evaluated)) == [lines[3], lines[1]]

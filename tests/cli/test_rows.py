"""The rows of results as JSON lines."""

import json

import pytest

from explainer.__main__ import main
from explainer.evaluation.storage import store as stores
from explainer.evaluation.storage.store import FINGERPRINT, Store
from tests.support.small_evaluation import FACTS


def test_rows_of_parts_and_lines_are_written_as_they_were(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stores, "MANY", 3)
    pytest.importorskip("pyarrow")
    rows = [{"id": f"ä{number}", "method": "A", "x": {"b": 1.0, "a": None}} for number in range(5)]
    store = Store(tmp_path, FACTS)
    for start in (0, 3):
        store.append(rows[start : start + 3])
    store.fail("B", "ä0", "RuntimeError: no")
    assert (tmp_path / "rows.00000.parquet").is_file()
    assert main(["rows", str(tmp_path)]) == 0
    assert "6 rows are written to" in capsys.readouterr().err
    wanted = [json.dumps(row) for row in [*rows, {"id": "ä0", "method": "B", "error": "RuntimeError: no"}]]
    assert (tmp_path / "all_rows.jsonl").read_text().splitlines() == wanted
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".json") == [FINGERPRINT]


def test_what_cannot_be_written_is_refused_in_one_line(tmp_path, capsys):
    assert main(["rows", str(tmp_path)]) == 2
    assert "holds no rows of results" in capsys.readouterr().err
    Store(tmp_path, FACTS).append([{"id": "a", "method": "A"}])
    assert main(["rows", str(tmp_path), "--out", str(tmp_path / "rows.jsonl")]) == 2
    assert "choose another file with --out" in capsys.readouterr().err

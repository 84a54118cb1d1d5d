"""Rows in files of columns: every row comes back, and whenever a process is killed none is lost or counts twice."""

import builtins
import importlib.util
import json
import os

import pytest

from explainer.errors import InputError
from explainer.evaluation.report.page import read_results
from explainer.evaluation.storage import store as stores
from explainer.evaluation.storage.block import block_of
from explainer.evaluation.storage.parts import next_part, part_paths, read_part, write_part
from explainer.evaluation.storage.reading import ROWS, read_folder
from explainer.evaluation.storage.rows import Evaluated
from explainer.evaluation.storage.store import FINGERPRINT, Store
from tests.evaluation.storage.test_columnar import ROW, any_rows, exact
from tests.support.small_evaluation import FACTS
from tests.support.tiny_runs import ROOT

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def rows_of(*names, method="A"):
    return [ROW | {"id": name, "method": method} for name in names]


def test_a_part_gives_back_its_rows(tmp_path):
    for seed in range(25):
        rows = any_rows(seed)
        write_part(tmp_path / "rows.00000.parquet", block_of(rows))
        assert exact(read_part(tmp_path / "rows.00000.parquet").rows()) == exact(rows), seed


def test_a_part_has_a_column_for_each_value_and_holds_any_name(tmp_path):
    nan = float("nan")
    rows = [
        {"id": os.fsdecode(b"K\xfche.png"), "method": "A", "scores": {"iou": None, "a.b": nan}, "_layout": 1},
        {"id": "b", "method": "A", "scores": {"iou": 0.5}, "scores.iou": [1], "curve": [0.5, nan]},
    ]
    write_part(tmp_path / "rows.00000.parquet", block_of(rows))
    assert exact(read_part(tmp_path / "rows.00000.parquet").rows()) == exact(rows)
    table = parquet.read_table(tmp_path / "rows.00000.parquet")
    assert table.column("scores.iou").to_pylist() == [None, 0.5]
    assert table.column("method").to_pylist() == ["A", "A"]


def test_names_that_begin_alike_do_not_mix(tmp_path):
    rows = [
        {"id": "a", "method": "m", "curves": [0.5], "curves.x": [1, 2]},
        {"id": "b", "method": "m", "curves": {"x": [0.25, 0.75], "x.y": [3.0]}},
        {"id": "c", "method": "m", "curves": {"x": [], "x.y": []}},
    ]
    path = tmp_path / "rows.00000.parquet"
    write_part(path, block_of(rows))
    assert exact(read_part(path).rows()) == exact(rows)


def test_a_damaged_part_is_named(tmp_path):
    path = next_part(tmp_path)
    write_part(path, block_of(rows_of("a", "b")))
    assert next_part(tmp_path).name == "rows.00001.parquet"
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:100] + bytes([whole[100] ^ 255]) + whole[101:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"rows.00000.parquet is damaged, or no part of results: delete that file"):
            read_part(path)
    parquet.write_table(pyarrow.table({"id": ["a"]}), path)
    with pytest.raises(InputError, match="no part of results"):
        read_part(path)
    write_part(path, block_of([ROW | {"area": "large"}]))
    with pytest.raises(InputError, match=r"parquet holds what is no row: delete that file.*area: input should be"):
        read_folder(tmp_path, Evaluated)


def test_without_pyarrow_lines_stay_lines_and_parts_name_the_extra(tmp_path, monkeypatch):
    write_part(tmp_path / "rows.00000.parquet", block_of(rows_of("a")))
    imported = builtins.__import__

    def importing(name, *rest, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return imported(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(InputError, match=r"needs pyarrow: pip install 'saliency-explainer\[parquet\]'"):
        read_folder(tmp_path)
    monkeypatch.setattr(stores, "can_write", lambda: False)
    monkeypatch.setattr(stores, "MANY", 2)
    store = Store(tmp_path / "lines", FACTS, Evaluated)
    store.append(rows_of("a", "b", "c"))
    assert len(Store(tmp_path / "lines", FACTS, Evaluated).rows) == 3
    assert not part_paths(tmp_path / "lines")


@pytest.fixture
def few(monkeypatch):
    """So that few rows are many."""
    monkeypatch.setattr(stores, "MANY", 4)


def test_many_lines_become_parts_and_count_once(few, tmp_path):
    store = Store(tmp_path, FACTS, Evaluated)
    store.fail("B", "a", "RuntimeError: no")
    for names in ("abc", "de", "fg", "hij", "k"):
        store.append(rows_of(*names))
    assert [path.name for path in part_paths(tmp_path)] == ["rows.00000.parquet", "rows.00001.parquet"]
    lines = [json.loads(line) for line in (tmp_path / ROWS).read_text().splitlines()]
    assert [line["id"] for line in lines] == ["i", "j", "a", "k"]
    wanted = rows_of(*"abcdefghijk")
    again = Store(tmp_path, FACTS, Evaluated)
    for rows in (store.rows, again.rows):
        assert exact(rows) == exact(wanted)
    assert again.failed == {"B": {"a": "RuntimeError: no"}}
    assert again.has("A", list("abcdefghijk"))
    again.append(rows_of("a", "l"))
    assert exact(again.rows) == exact(wanted + rows_of("l"))
    of_finished = [row for row in read_folder(tmp_path, Evaluated) if "error" not in row]
    assert exact(of_finished) == exact(again.rows)
    (tmp_path / "results.json").write_text(json.dumps({"results": {"A": {"images": 12}}}))
    assert exact(read_results(tmp_path)[1]) == exact(again.rows)
    with pytest.raises(
        InputError, match=r"another checkpoint: delete the folder \(or only its rows.jsonl and rows.\*.parquet"
    ):
        Store(tmp_path, FACTS | {"checkpoint": "other"})
    (tmp_path / FINGERPRINT).unlink()
    with pytest.raises(InputError, match="missing or torn"):
        Store(tmp_path, FACTS)


def test_lines_that_a_part_holds_too_are_removed(few, tmp_path):
    store = Store(tmp_path, FACTS, Evaluated)
    store.append(rows_of(*"abc"))
    lines = (tmp_path / ROWS).read_bytes()
    store.append(rows_of("d"))
    (tmp_path / ROWS).write_bytes(lines)  # killed between the part and the lines
    assert exact(Store(tmp_path, FACTS, Evaluated).rows) == exact(rows_of(*"abcd"))
    assert (tmp_path / ROWS).read_bytes() == b""


def test_lines_of_a_folder_of_before_become_a_part_when_it_is_opened(few, tmp_path):
    Store(tmp_path, FACTS)
    rows = rows_of(*"abcdef")
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows += rows_of(*"ghi")
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for _ in range(2):
        assert exact(Store(tmp_path, FACTS, Evaluated).rows) == exact(rows)
        # none of them is larger than others: a part is written from memory
        assert [read_part(path).size for path in part_paths(tmp_path)] == [4, 4]
        assert len((tmp_path / ROWS).read_text().splitlines()) == 1


# Killed anywhere


def crash():
    """The hook of benchmarks/crash_points.py, which ends its process at a file operation."""
    spec = importlib.util.spec_from_file_location("crash_points", ROOT / "benchmarks" / "crash_points.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Crash


def work(folder, said):
    """Open a store, append to it and to those of two processes, and gather; `said` is told what is done."""
    store = Store(folder, FACTS, Evaluated)
    store.fail("B", "bad", "RuntimeError: no")
    for names in ("abc", "def", "g"):
        store.append(rows_of(*names))
        said(names)
    for rank, names in enumerate(("hij", "klm")):
        store.of_process(rank).append(rows_of(*names))
        said(names)
    store.gather()
    store.append(rows_of("n"))
    said("n")
    return store


def killed(folder, number, torn, Crash):
    """Work in a process that is killed at a file operation; which rows it was told are done, and whether it ended."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.chdir(folder)
            Crash(number, torn)
            work(folder, lambda names: os.write(theirs, names.encode()))
            os._exit(0)
        finally:
            os._exit(99)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        names = pipe.read()
    _, status = os.waitpid(process, 0)
    return names, os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("torn", [False, True])
def test_whenever_it_is_killed_no_row_is_lost_or_doubled(few, tmp_path, torn):
    wanted = sorted(exact(rows_of(*"abcdefghijklmn")))
    Crash = crash()
    ended = None
    for number in range(1, 200):
        folder = tmp_path / str(number)
        folder.mkdir()
        names, ended = killed(folder, number, torn, Crash)
        assert ended in (0, -9)
        store = Store(folder, FACTS, Evaluated)
        images = store.rows.values("id")
        assert len(images) == len(set(images))
        # a torn file is what a power failure leaves, which may cost the last rows
        assert torn or set(names) <= set(images)
        assert sorted(exact(work(folder, str).rows)) == wanted
        again = Store(folder, FACTS, Evaluated)
        assert sorted(exact(again.rows)) == wanted
        assert again.failed == {"B": {"bad": "RuntimeError: no"}}
        assert not list(folder.glob("rows.*.jsonl"))
        if ended == 0:
            break
    assert ended == 0  # the last one was not killed: every operation was tried
    assert number > 20

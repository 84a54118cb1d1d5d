import csv
import json

import pytest

from explainer.attribution import (
    SMOE,
    Attribution,
    CentredBox,
    Constant,
    ExtremalPerturbation,
    GradCAM,
    Gradient,
    GuidedBackprop,
    SmoothGrad,
)
from explainer.errors import InputError
from explainer.evaluation.report.files import write_results
from explainer.evaluation.settings import data_facts
from explainer.evaluation.storage.fingerprint import settings_of
from explainer.evaluation.storage.store import FINGERPRINT, ROWS, Store
from tests.support.small_evaluation import FACTS, METHODS, pictures, run, timeless


class InterruptAfter:
    def __init__(self, batches, count):
        self.batches, self.count = batches, count

    def __iter__(self):
        yield from self.batches[: self.count]
        raise KeyboardInterrupt


class Killed(Attribution):
    """A method that is stopped at its second batch: rows of the methods before it are there already."""

    calls = 0

    def maps(self, explanandum, image, target):
        Killed.calls += 1
        if Killed.calls == 3:  # one of the calls warms up
            raise KeyboardInterrupt
        return image[:, :1]


def finish(folder, batches, methods=METHODS):
    return timeless(write_results(run(folder, batches, methods).rows, FACTS, folder))


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path):
    wanted = finish(tmp_path / "whole", pictures())
    for count in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / f"{count}", InterruptAfter(pictures(), count))
        assert finish(tmp_path / f"{count}", pictures()) == wanted
        whole, resumed = (list(csv.DictReader((tmp_path / n / "per_image.csv").open())) for n in ("whole", f"{count}"))
        assert timeless(whole) == timeless(resumed)


def test_a_run_killed_between_two_methods_goes_on(tmp_path):
    Killed.calls = 0
    methods = {**METHODS, "Killed": Killed(), "Zero": Constant(0.0)}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", pictures(), methods)
    assert finish(tmp_path / "killed", pictures(), methods) == finish(tmp_path / "whole", pictures(), methods)


def test_what_is_done_is_not_computed_again(tmp_path):
    run(tmp_path, pictures())
    lines = (tmp_path / ROWS).read_bytes()

    class Never(GradCAM):
        def checked_target_mask(self, *_):
            raise AssertionError("computed again")

    run(tmp_path, pictures(), {**METHODS, "Grad-CAM": Never()})
    assert (tmp_path / ROWS).read_bytes() == lines


def test_another_batch_size_goes_on_too(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, InterruptAfter(pictures(), 1))
    rows = run(tmp_path, pictures((3, 3))).rows  # another draw of pixels, but the same names
    assert len(rows) == len({(r["method"], r["id"]) for r in rows}) == 4 * 6 + 5


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_computed_again(tmp_path, cut):
    wanted = finish(tmp_path, pictures())
    path = tmp_path / ROWS
    path.write_bytes(path.read_bytes()[:-cut])
    assert finish(tmp_path, pictures()) == wanted
    assert all(json.loads(line) for line in path.read_text().splitlines())


ROW = {"id": "ä, 1", "method": "Größe", "area": 0.5}


def lines_of(*rows):
    """As a person's own tools may write them: characters as they are."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def started(folder, content):
    Store(folder, FACTS)
    (folder / ROWS).write_bytes(content)
    return Store(folder, FACTS)


def test_a_line_torn_within_a_character_is_cut_off(tmp_path):
    torn = lines_of(ROW)
    torn = torn[: torn.index("ö".encode()) + 1]
    store = started(tmp_path, lines_of(ROW | {"id": "b"}) + torn)
    assert [row["id"] for row in store.rows] == ["b"]
    store.append([ROW])
    assert [row["id"] for row in Store(tmp_path, FACTS).rows] == ["b", "ä, 1"]


def test_a_whole_last_line_without_its_end_is_kept(tmp_path):
    store = started(tmp_path, lines_of(ROW | {"id": "b"}, ROW)[:-1])
    assert [row["id"] for row in store.rows] == ["b", "ä, 1"]
    store.append([ROW | {"id": "c"}])
    assert [row["id"] for row in Store(tmp_path, FACTS).rows] == ["b", "ä, 1", "c"]


@pytest.mark.parametrize("broken", [b"{\n", b"\0\0\n", b"[1]\n", b'{"id": 3}\n', b"\xff\n"])
def test_a_line_in_the_middle_that_is_no_row_is_named(tmp_path, broken):
    with pytest.raises(InputError, match=r"rows.jsonl, line 2, is no row: delete that line"):
        started(tmp_path, lines_of(ROW) + broken + lines_of(ROW | {"id": "b"}))


def test_files_of_processes_that_were_killed_are_gathered(tmp_path):
    store = Store(tmp_path, FACTS)
    store.append([ROW])
    for rank in (0, 1, 2):
        own = store.of_process(rank)
        own.append([ROW, ROW | {"id": f"of {rank}"}, ROW | {"id": "of all", "area": rank}])
        own.fail("Größe", f"fails {rank}", "RuntimeError: no")
        own.fail("Größe", "of all", "RuntimeError: no")
    assert [row["id"] for row in store.rows] == ["ä, 1"]
    torn = tmp_path / "rows.1.jsonl"
    torn.write_bytes(torn.read_bytes() + b'{"id": "to')
    wanted = ["ä, 1", "of 0", "of all", "of 1", "of 2"]
    for _ in range(2):
        again = Store(tmp_path, FACTS)
        assert [row["id"] for row in again.rows] == wanted
        assert list(again.failed["Größe"]) == ["fails 0", "fails 1", "fails 2"]
        assert sorted(path.name for path in tmp_path.iterdir()) == [FINGERPRINT, ROWS]
    store.gather()
    assert [row["id"] for row in store.rows] == wanted


def test_a_run_killed_while_gathering_gathers_again(tmp_path):
    store = Store(tmp_path, FACTS)
    own = store.of_process(0)
    own.append([ROW])
    (tmp_path / ROWS).write_bytes(own.path.read_bytes())  # gathered, and killed before the process's file was deleted
    assert len(Store(tmp_path, FACTS).rows) == 1
    assert not own.path.exists()


def test_only_files_of_processes_without_a_fingerprint_are_refused(tmp_path):
    Store(tmp_path, FACTS).of_process(0).append([ROW])
    with pytest.raises(InputError, match="another checkpoint"):
        Store(tmp_path, FACTS | {"checkpoint": "def"})


def test_another_checkpoint_of_a_method_is_refused_and_older_results_are_not(tmp_path):
    def facts(**digest):
        return FACTS | {"methods": {"Ours": {"class": "Explainer", "checkpoint": "a.ckpt"} | digest}}

    Store(tmp_path, facts()).append([ROW])
    Store(tmp_path, facts(sha256="1"))
    Store(tmp_path, facts(sha256="1"))
    with pytest.raises(InputError, match="another method 'Ours'"):
        Store(tmp_path, facts(sha256="2"))


def test_results_of_something_else_are_refused_in_one_line(tmp_path):
    run(tmp_path, pictures())
    with pytest.raises(InputError, match=r"another checkpoint, images: delete the folder") as caught:
        Store(tmp_path, {"checkpoint": "def", "images": 7})
    assert "\n" not in str(caught.value)
    Store(tmp_path, FACTS)


def test_rows_without_a_fingerprint_are_refused(tmp_path):
    run(tmp_path, pictures())
    (tmp_path / FINGERPRINT).unlink()
    with pytest.raises(InputError, match="delete the folder"):
        Store(tmp_path, FACTS)


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(InputError, match="is a file"):
        Store(tmp_path / "results", FACTS)


def test_facts_that_json_writes_otherwise_are_recognised(tmp_path):
    facts = {"data": {"mean": (0.5, 0.5), "root": tmp_path}}
    rows = run(tmp_path, pictures((1,)), facts=facts).rows
    assert Store(tmp_path, facts).rows == rows


def test_a_name_keeps_its_method_and_further_methods_may_join(tmp_path):
    box = {"Box": CentredBox(0.3)}
    run(tmp_path, pictures(), box, facts=FACTS | {"methods": settings_of(box)})
    other = {"Box": CentredBox(0.6)}
    with pytest.raises(InputError, match="another method 'Box'"):
        Store(tmp_path, FACTS | {"methods": settings_of(other)})
    more = box | {"Half": Constant(0.5)}
    run(tmp_path, pictures(), more, facts=FACTS | {"methods": settings_of(more)})
    with pytest.raises(InputError, match="another method 'Box'"):
        Store(tmp_path, FACTS | {"methods": settings_of(other)})
    around = [settings_of({"S": SmoothGrad(method)}) for method in (Gradient(), GuidedBackprop())]
    assert around[0] != around[1]
    assert settings_of({"G": GradCAM(batch_size=2)}) == settings_of({"G": GradCAM(batch_size=8)})


def test_arguments_that_came_later_leave_earlier_results_valid():
    usual = settings_of({"EP": ExtremalPerturbation(), "SMOE": SMOE()})
    assert "choose" not in usual["EP"]
    assert "epsilon" not in usual["SMOE"]
    other = settings_of({"EP": ExtremalPerturbation(choose="smallest"), "SMOE": SMOE(epsilon=1e-7)})
    assert (other["EP"]["choose"], other["SMOE"]["epsilon"]) == ("smallest", 1e-7)
    config = {"class_path": "COCO", "init_args": {"root": "data", "crop": False}}
    assert data_facts(config) == {"class_path": "COCO", "init_args": {"root": "data"}}
    config["init_args"]["crop"] = True
    assert data_facts(config)["init_args"]["crop"] is True

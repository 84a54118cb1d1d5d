"""What evaluate.py wrote itself and finds torn, empty or of another kind; and images and classifiers that cannot be.

It begins anew where nothing is lost, and else says in one line what to do.
"""

import json
import os
import sys
import time
from typing import Any

import numpy as np
import pytest
import torch
from rich.table import Table

from explainer.cli.evaluate import evaluate
from explainer.cli.terminal import run as run_command
from explainer.data import Batch, ImageDataset, Sample, Shapes
from explainer.errors import InputError
from explainer.evaluation.images import candidates, check_classifier, check_ids, first_readable, spread
from explainer.evaluation.maps.cache import ABOUT, MaskStore
from explainer.evaluation.maps.make import MeasuredMasks
from explainer.evaluation.report.page import read_results
from explainer.evaluation.scoring.loop import attempt
from explainer.evaluation.storage.reading import ROWS, read_rows
from explainer.evaluation.storage.rows import Evaluated, Filled, Searched, Varied
from explainer.evaluation.storage.store import FINGERPRINT, Store
from explainer.evaluation.telling import show_tables
from explainer.experiments.variations.loop import image_folders
from explainer.files import alone, conform
from tests.support.small_checkpoints import save_classifier
from tests.support.small_evaluation import CLASSES, FACTS, classifier, pictures, run
from tests.support.tiny_runs import classifier_config, data

DEEP = "[" * 100_000
TORN = {"empty": "", "torn": '{"checkpoint": "ab', "zeros": "\0" * 64, "list": "[1]", "deep": DEEP, "text": "x"}
"""What a crash, or a person, leaves of a JSON file."""


@pytest.mark.parametrize("content", TORN.values(), ids=TORN)
def test_a_torn_fingerprint_without_rows_begins_anew(tmp_path, content):
    Store(tmp_path, FACTS)
    (tmp_path / FINGERPRINT).write_text(content)
    assert Store(tmp_path, FACTS).rows == []
    assert json.loads((tmp_path / FINGERPRINT).read_text())["checkpoint"] == "abc"


@pytest.mark.parametrize("content", [*TORN.values(), '{"methods": [1]}'], ids=[*TORN, "methods"])
def test_a_torn_fingerprint_with_rows_says_what_to_do(tmp_path, content):
    run(tmp_path, pictures((1,)))
    before = (tmp_path / ROWS).read_bytes()
    (tmp_path / FINGERPRINT).write_text(content)
    with pytest.raises(InputError, match=r"fingerprint\.json is missing or torn: .* delete the folder") as refused:
        Store(tmp_path, FACTS)
    assert "\n" not in str(refused.value)
    assert (tmp_path / ROWS).read_bytes() == before


@pytest.mark.parametrize("name", [ROWS, FINGERPRINT])
def test_a_folder_in_the_place_of_a_file(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"{name} is no file: delete it"):
        Store(tmp_path, FACTS)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\n\n"])
def test_rows_of_which_nothing_is_left_begin_anew(tmp_path, content):
    run(tmp_path, pictures((1,)))
    (tmp_path / ROWS).write_bytes(content.strip(b"\n"))
    assert Store(tmp_path, FACTS | {"checkpoint": "other"}).rows == []


ROW = {"id": "a", "method": "Half", "scores": {"iou": None}, "area": 0.5, "cost": {"seconds": 0.1}, "constant": False,
       "broken": False, "kept": {"labels": [0]}, "removed": {"labels": [0]}}  # fmt: skip
FLAT = {"id": "b", "method": "Half", "iou": None, "area": 0.5, "seconds": 0.1, "constant": False, "sdr": 0.5, "n": 3,
        "kept": {"labels": [0]}, "removed": {"labels": [0]}}  # fmt: skip
"""A row as it was written when scores and costs stood beside the other fields."""
BAD = [
    ({"id": ["a"], "method": "Half"}, ""),
    ({"id": "a", "method": 3}, ""),
    ({"id": None, "method": "Half"}, ""),
    ([ROW], ""),
    ({k: v for k, v in ROW.items() if k != "constant"}, r" \(constant: field required\)"),
    ({k: v for k, v in ROW.items() if k != "removed"}, r" \(removed: field required\)"),
    (ROW | {"constant": "no"}, r" \(constant: input should be a valid boolean\)"),
    (ROW | {"kept": None}, r" \(kept: input should be an object\)"),
    (ROW | {"kept": {"labels": "a"}}, r" \(kept.labels: input should be a valid array\)"),
    (ROW | {"area": "large"}, r" \(area: input should be a valid number"),
    (ROW | {"scores": {"a metric": [1]}}, r" \(scores.a metric: input should be a valid number"),
    (FLAT | {"a metric": [1]}, r" \(scores.a metric: input should be a valid number"),
    (ROW | {"curves": {"Flip": ["x"]}}, r" \(curves.Flip.0"),
    ({"id": "a", "method": "Half", "error": 3}, r" \(error: input should be a valid string\)"),
]


@pytest.mark.parametrize(("row", "why"), BAD, ids=lambda v: str(v)[:30])
def test_rows_of_another_type_or_without_columns_are_named(tmp_path, row, why):
    path = tmp_path / ROWS
    path.write_text("".join(json.dumps(line) + "\n" for line in (ROW, row, ROW)))
    with pytest.raises(InputError, match=rf"rows.jsonl, line 2, is no row: delete that line.*{why}"):
        read_rows(path, Evaluated)
    path.write_text(json.dumps(ROW) + "\n" + DEEP + "\n")
    with pytest.raises(InputError, match="line 2, is no row"):
        read_rows(path, Evaluated)


def test_rows_as_they_are_written_are_rows(tmp_path):
    rows = run(tmp_path, pictures()).rows
    assert Store(tmp_path, FACTS, Evaluated).rows == rows
    failed = [{"id": "a", "method": "Half", "error": "RuntimeError: no"}, ROW | {"scores": {"ssr": None, "n": 3}}]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in failed))
    assert read_rows(tmp_path / "b.jsonl", Evaluated) == failed
    (tmp_path / "c.jsonl").write_text(json.dumps(FLAT) + "\n")
    scores = {"iou": None, "sdr": 0.5, "n": 3}
    assert read_rows(tmp_path / "c.jsonl", Evaluated) == [ROW | {"id": "b", "scores": scores}]


def test_rows_of_files_whose_names_are_no_utf8_are_rows(tmp_path):
    rows = [ROW | {"id": os.fsdecode(b"K\xfche.png")}, ROW | {"id": os.fsdecode(b"\xff.png")}]
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_rows(tmp_path / ROWS, Evaluated) == rows
    (tmp_path / ROWS).write_text(json.dumps(rows[0] | {"constant": "x"}) + "\n")
    with pytest.raises(InputError, match=r"line 1, is no row.*constant"):
        read_rows(tmp_path / ROWS, Evaluated)
    with pytest.raises(InputError, match="more than plain values"):
        conform({"id": rows[0]["id"], "labels": torch.ones(1)}, dict[str, Any], "x")


@pytest.mark.parametrize("kind", [Filled, Searched, Varied])
def test_other_kinds_of_results_have_their_own_columns(tmp_path, kind):
    (tmp_path / ROWS).write_text(json.dumps(ROW) + "\n")
    with pytest.raises(InputError, match=r"line 1, is no row.*field required"):
        read_rows(tmp_path / ROWS, kind)


@pytest.mark.parametrize("content", [*TORN.values(), '{"results": []}'], ids=[*TORN, "results"])
def test_torn_results_are_no_report(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"results\.json is torn: evaluate again"):
        read_results(tmp_path)


def test_one_image_twice_never_stands_for_another(tmp_path):
    with pytest.raises(InputError, match="'a' is in the split twice"):
        check_ids(["a", "b", "a"])
    store = Store(tmp_path, FACTS)
    with pytest.raises(InputError, match="'a' is in the data set twice"):
        store.append([ROW, ROW | {"area": 0.5}])
    assert store.rows == []
    assert not (tmp_path / ROWS).exists()
    with pytest.raises(InputError, match="twice"):
        candidates(Few(["x", "x"]), one_label=False)


class Few(ImageDataset):
    """Images of noise; those that are named "broken" cannot be read."""

    def __init__(self, ids):
        super().__init__(ids, CLASSES, image_size=16)

    def image(self, index):
        if self.ids[index].startswith("broken"):
            raise OSError("truncated")
        return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(index))

    def labels(self, index):
        return torch.eye(3)[index % 3]


@pytest.mark.filterwarnings("ignore:skipping unreadable")
def test_the_first_readable_image_is_found_or_none():
    assert first_readable(Few(["broken", "b"]), [0, 1]).id == "b"
    with pytest.raises(InputError, match="none of the images could be read: 2 were tried, 'broken' first"):
        first_readable(Few(["broken", "broken too"]), [0, 1])


def test_a_limit_is_a_limit():
    assert spread(range(10), None) == list(range(10))
    assert spread(range(10), 100) == list(range(10))
    assert spread(range(10), 1) == [0]


def test_a_classifier_without_probabilities_is_refused_by_name():
    explanandum, sample = classifier(), Sample(torch.rand(3, 16, 16), torch.eye(3)[0], "a.png")
    check_classifier(explanandum, sample)
    first = next(name for name, _ in explanandum.named_parameters())
    with torch.no_grad():
        explanandum.get_parameter(first).fill_(torch.nan)
    with pytest.raises(InputError, match=f"probabilities of 'a.png' are NaN: its weights '{first}' are not finite"):
        check_classifier(explanandum, sample)


def kept_masks(folder):
    return MaskStore(folder, {"A": {"checkpoint": "abc"}})


MADE = MeasuredMasks(torch.rand(1, 1, 4, 4), [False], [{"seconds": 0.5}])


@pytest.mark.parametrize("content", TORN.values(), ids=TORN)
def test_torn_descriptions_of_masks_are_written_anew(tmp_path, content):
    kept = kept_masks(tmp_path)
    kept.add("A", ["x"], MADE)
    path = kept.places["A"] / ABOUT
    path.write_text(content)
    assert kept_masks(tmp_path).strangers() == []
    assert MaskStore(tmp_path, {"A": {"checkpoint": "other"}}).strangers() == []  # it says nothing
    kept_masks(tmp_path).add("A", ["y"], MADE)
    assert json.loads(path.read_text()) == {"checkpoint": "abc"}


@pytest.mark.parametrize(
    "arrays",
    [
        {"mask": np.zeros((1, 4, 4), np.float32)},
        {"about": np.array("{}"), "mask": np.zeros((1, 4, 4), np.float32)},
        {"about": np.array('{"broken": 1, "cost": {}}'), "mask": np.zeros((1, 4, 4), np.float32)},
        {"about": np.array('{"broken": false, "cost": {}}'), "mask": np.zeros((4, 4), np.float32)},
        {"about": np.array('{"broken": false, "cost": {}}'), "mask": np.zeros((1, 4, 4), np.int64)},
        {"about": np.array('{"broken": false, "cost": {}}'), "mask": np.array("x")},
        {"about": np.array(DEEP), "mask": np.zeros((1, 4, 4), np.float32)},
    ],
)
def test_masks_of_another_kind_are_made_again(tmp_path, arrays):
    kept = kept_masks(tmp_path)
    kept.add("A", ["x"], MADE)
    assert torch.equal(kept.read("A", "x"), MADE.mask[0])
    np.savez(kept.path("A", "x"), **arrays)
    assert kept.find("A", ["x"]) is None


def test_half_written_masks_are_swept_and_names_of_any_length_are_files(tmp_path):
    kept = kept_masks(tmp_path)
    names = ["x" * 5000, "熊" * 200, "\U00020000" * 100, "\ud800", "../../up", "a\nb", ""]
    kept.add("A", names, MeasuredMasks(MADE.mask.expand(len(names), 1, 4, 4), [False] * len(names), [{}] * len(names)))
    assert all(kept.read("A", name) is not None for name in names)
    assert {path.suffix for path in kept.places["A"].iterdir()} == {".npz", ".json"}
    stale = kept.places["A"] / ".0123456789ab.nowhere-1.partial.npz"
    stale.write_bytes(b"half")
    os.utime(stale, (0, 0))
    assert kept.missing_bytes(len(names), 4) == 0
    kept.sweep()
    assert not stale.exists()


def test_folders_of_images_are_their_own():
    ids = ["a b.png", "a_b.png", "A_B.PNG", "..", "x" * 400, "x" * 401, "table.md", "cats/1.png", "cats_1.png"]
    found = image_folders(ids)
    assert len({name.casefold() for name in found.values()}) == len(ids)
    assert found["a b.png"] == "a_b.png"
    assert found["cats/1.png"] == "cats_1.png"
    assert image_folders(ids + ["more"]) == found | {"more": "more"}  # noqa: RUF005


def test_a_full_disk_is_no_failure_of_an_image(tmp_path):
    batch = Batch(torch.rand(1, 3, 4, 4), torch.eye(3)[:1], ["a"])

    def full(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        attempt(Store(tmp_path, FACTS), batch, full)


# Whole runs


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    save_classifier("checkpoints/tiny_classifier.ckpt", data_classes())
    return tmp_path


def data_classes():
    return Shapes(image_size=32).classes


BOX = {"Box": {"class_path": "CentredBox"}}


def settings(**options):
    quick = {"limit": 2, "gallery": 1, "methods": BOX, "intervals": False, "device": "cpu"} | options
    return str(classifier_config(evaluation=quick))


class Closed:
    """An output that nobody takes."""

    encoding = "utf-8"

    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        raise OSError(28, "No space left on device")

    def isatty(self):
        return False


def test_results_are_on_the_disk_before_anything_is_printed(here, monkeypatch):
    config = settings()
    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(Exception, match="No space left on device"):
        evaluate(["--config", config])
    monkeypatch.undo()
    written = {path.name for path in (here / "results" / "tiny_classifier").iterdir()}
    wanted = {"results.json", "per_image.csv", "table.md", "report.html", "table.tex", "gallery.png", ROWS, FINGERPRINT}
    assert wanted <= written


def test_an_output_that_was_closed_before_is_no_reason_to_fail(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    show_tables([Table("a")], 80)
    assert run_command(lambda: None) == 0


def test_a_second_evaluation_of_a_folder_is_refused(here):
    config = settings()
    child = os.fork()
    lock = here / "results" / "tiny_classifier" / ".lock"
    if not child:
        with alone(lock, "x"):
            (here / "held").touch()
            while not (here / "done").exists():
                time.sleep(0.05)
        os._exit(0)
    while not (here / "held").exists():
        time.sleep(0.05)
    try:
        with pytest.raises(InputError, match=rf"process {child} .* works in results/tiny_classifier"):
            evaluate(["--config", config])
    finally:
        (here / "done").touch()
        os.waitpid(child, 0)
    assert evaluate(["--config", config])["results"]["Box"]["images"] == 2


def test_as_it_is_refuses_a_checkpoint_of_another_size(here):
    save_classifier("checkpoints/large.ckpt", data_classes(), image_size=64)
    model = {"class_path": "Classifier", "init_args": {"explanandum": {"network": "checkpoints/large.ckpt"}}}
    quick = {"limit": 2, "methods": BOX, "as_it_is": True, "device": "cpu"}
    config = classifier_config(model=model, data=data(), evaluation=quick)
    with pytest.raises(InputError, match=r"large\.ckpt was trained at 64 pixels, the data is at 32"):
        evaluate(["--config", str(config)])


def test_progress_is_no_part_of_the_output(here, capsys):
    evaluate(["--config", settings(report=False, gallery=0)])
    assert "evaluating" not in capsys.readouterr().out

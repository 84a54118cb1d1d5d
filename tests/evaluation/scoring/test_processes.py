"""Whole evaluations that are killed, and by several processes: the same results, whatever happened on the way."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from explainer.attribution import Attribution
from explainer.cli.evaluate import evaluate
from explainer.data import Shapes
from explainer.errors import InputError
from explainer.evaluation.scoring import processes
from explainer.evaluation.scoring.loop import ORIGINAL, Scoring, Subject
from explainer.evaluation.scoring.processes import Workload, check_processes, refusal, unfinished
from explainer.evaluation.storage.store import Store
from tests.support.small_checkpoints import save_classifier
from tests.support.small_evaluation import timeless
from tests.support.tiny_runs import ROOT, classifier_config, data, evaluation

SHAPES = ("stripes", "checks", "dots", "rings", "zigzags", "rays")


class Deadly(Attribution):
    """Kills its process at the call that an environment variable names; fails on bright images."""

    calls = 0

    def maps(self, explanandum, image, target):
        Deadly.calls += 1
        if Deadly.calls == int(os.environ.get("DEADLY_CALL", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        if bool((image.mean((1, 2, 3)) > 0.52).any()):
            raise RuntimeError("too bright")
        return image[:, 1:2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    save_classifier(tmp_path / "checkpoints" / "tiny_classifier.ckpt", SHAPES)
    return tmp_path


def arguments(*further):
    methods = {
        "Box": {"class_path": "CentredBox"}, "Grad-CAM": {"class_path": "GradCAM"},
        "Deadly": {"class_path": "tests.evaluation.scoring.test_processes.Deadly"},
    }  # fmt: skip
    metrics = {"WSL": {"class_path": "Localisation"}}
    chosen = {"methods": methods, "limit": 14, "gallery": 1, "metrics": metrics, "curve_steps": 2, "alpha": 1.0}
    return ["--config", classifier_config(data=data(batch_size=4), evaluation=chosen), *further]


def written(out):
    """Results as they are on disk, without what may differ."""
    content = json.loads((out / "results.json").read_text())
    content.pop("run")
    for entry in content["results"].values():
        entry.pop("cost", None)
    return json.dumps(content), [line.split(",")[:2] for line in (out / "per_image.csv").read_text().splitlines()]


def test_a_killed_run_goes_on_and_its_results_are_identical(here):
    wanted = evaluate(arguments("--evaluation.out=whole"))
    assert 0 < len(wanted["failed"]["Deadly"]) < 14
    assert wanted["results"]["Deadly"]["failed"] == len(wanted["failed"]["Deadly"])
    run = wanted["run"]
    assert set(run) >= {"commit", "config", "versions", "device", "seconds", "started"}
    assert run["config"]["evaluation"]["images"]["limit"] == 14
    assert run["versions"]["torch"] == torch.__version__
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DEADLY_CALL": "4"}
    environment |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    code = "import sys, tests.evaluation.scoring.test_processes; from explainer.cli.evaluate import evaluate; evaluate(sys.argv[1:])"
    command = [sys.executable, "-c", code, *arguments("--evaluation.out=killed")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr
    rows = [json.loads(line) for line in (here / "killed" / "rows.jsonl").read_text().splitlines()]
    assert 0 < len(rows) < 14 * 5
    assert not (here / "killed" / "results.json").exists()
    evaluate(arguments("--evaluation.out=killed"))
    assert written(here / "killed") == written(here / "whole")


def test_two_processes_give_the_results_of_one(here, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    before = dict(os.environ)
    evaluate(arguments("--evaluation.out=one"))
    Deadly.calls = 0
    content = evaluate(arguments("--evaluation.out=two", "--evaluation.processes=2"))
    assert Deadly.calls == 0  # this process left the work to others
    assert dict(os.environ) == before
    assert written(here / "two") == written(here / "one")
    assert content["run"]["processes"] == 2
    assert sorted(p.name for p in (here / "two").glob("rows*")) == ["rows.jsonl"]
    names = [{p.parent.name + p.name for p in (here / out / "maps").rglob("*.npz")} for out in ("one", "two")]
    assert names[0] == names[1]


def test_one_process_goes_on_with_what_two_have_left(here):
    wanted = evaluate(arguments("--evaluation.out=whole", "--evaluation.cache=shared"))
    evaluate(arguments("--evaluation.out=two", "--evaluation.cache=none"))
    for folder, count in ((here / "shared", 14), (here / "two" / "maps", 1)):  # all images, and that of the gallery
        assert {path.name for path in folder.iterdir()} == {"Grad_CAM", "Deadly"}
        assert len(list((folder / "Grad_CAM").rglob("*.npz"))) == count
    path = here / "two" / "rows.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    for rank in (0, 1):
        (here / "two" / f"rows.{rank}.jsonl").write_bytes(b"".join(lines[rank:-9:2]) + lines[-1][: 30 * rank])
    again = evaluate(arguments("--evaluation.out=two"))
    assert timeless(again["results"]) == timeless(wanted["results"])
    assert written(here / "two")[1] == written(here / "whole")[1]


def test_only_batches_that_miss_a_row_are_loaded(tmp_path):
    dataset = Shapes(**data(test_images=7)["init_args"]).split("test")
    store = Store(tmp_path, {})

    def left(methods=("A",)):
        return unfinished(dataset, range(7), 3, methods, store)

    assert left() == [[0, 1, 2], [3, 4, 5], [6]]
    done = [{"id": i, "method": m} for i in dataset.ids for m in (ORIGINAL, "A")]
    store.append([row for row in done if row != {"id": dataset.ids[4], "method": "A"}])
    assert left() == [[3, 4, 5]]
    store.fail("Ground truth", dataset.ids[6], "RuntimeError: no")
    assert left() == [[3, 4, 5], [6]]
    assert len(left(())) == 3  # only the ground truth is asked for: it is not known whether there is one


def test_wrong_numbers_of_processes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_processes(1, "cuda")
    with pytest.raises(InputError, match=r"evaluation.processes is 2, and there are 1 GPUs"):
        check_processes(2, "cuda:0")
    with pytest.raises(InputError, match=r"evaluation.processes must be positive and at most .*, got 0"):
        evaluation(processes=0)


def test_an_input_error_of_a_process_is_one_line(monkeypatch, tmp_path):
    words = "-- Process 1 terminated with the following error:\nTraceback …\n"
    assert str(refusal(RuntimeError(words + "explainer.errors.InputError: no layer 'x'\n"))) == "no layer 'x'"
    assert refusal(RuntimeError(words + "KeyError: 'InputError'")) is None
    error = processes.ProcessRaisedException(words + "explainer.errors.InputError: no layer 'x'", 1, 2)

    class Failing:
        def __init__(self, **_):
            pass

        def launch(self, *_):
            raise error

    monkeypatch.setattr(processes, "Fabric", Failing)
    dataset = Shapes(**data()["init_args"]).split("test")
    with pytest.raises(InputError, match="no layer 'x'"):
        processes.evaluate_together(
            2, Subject(torch.nn.Identity(), {}), Workload(dataset, [[0], [1]]), Store(tmp_path, {}), Scoring()
        )
    assert Path(tmp_path / "rows.jsonl").exists() is False

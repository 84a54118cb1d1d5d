"""Whole evaluations by launchers: the results of one process, whatever was killed on the way."""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from explainer.attribution import Attribution
from explainer.cli.evaluate import evaluate
from explainer.errors import InputError, WorkError
from explainer.evaluation.scoring import launched
from tests.evaluation.scoring.test_processes import ROOT, arguments, here, written  # noqa: F401  (a fixture)

THREADS = torch.get_num_threads()
# as many threads for each call as for one process: how a sum is split moves its last digit
LAUNCHERS = {
    "processes": {"class_path": "Local", "init_args": {"workers": 2}},
    "ray": {"class_path": "Ray", "init_args": {"cpus": THREADS}},
    "submitit": {"class_path": "Submitit", "init_args": {"cluster": "local", "at_once": 2, "cpus": THREADS}},
}
ALONE = {"class_path": "Local", "init_args": {"workers": 1}}


class Lingering(Attribution):
    """Writes down which process asked it, and takes its time."""

    def maps(self, explanandum, image, target):
        Path(f"asked_{os.getpid()}").touch()
        time.sleep(0.2)
        return image[:, :1]


class Refusing(Attribution):
    """Refuses all images, by an error that its name says."""

    def __init__(self, error="InputError"):
        super().__init__()
        self.error = error

    def maps(self, explanandum, image, target):
        if self.error == "InputError":
            raise InputError("there is no layer 'x'")
        raise OSError(28, "No space left on device")


def by(launcher, *further, methods):
    """Arguments of an evaluation by a launcher, in four calls."""
    settings = {"evaluation": {"launcher": launcher, "processes": 4, "methods": methods}}
    Path("launcher.yaml").write_text(json.dumps(settings))
    return [*arguments(), "--config", "launcher.yaml", "--name", "tiny_classifier", *further]


def kill_a_worker(killed):
    """Kill the first process that is asked for a map."""
    while not killed:
        for path in Path().glob("asked_*"):
            process = int(re.sub(r"\D", "", path.name))
            if process != os.getpid():
                killed.append(process)
                os.kill(process, signal.SIGKILL)
                return
        time.sleep(0.02)


@pytest.mark.parametrize("kind", ["processes", pytest.param("ray", marks=pytest.mark.slow), "submitit"])
def test_a_launcher_gives_the_results_of_one_process_though_a_call_is_killed(kind, here, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(os, "cpu_count", lambda: 2 * THREADS)
    lingering = {"Lingering": {"class_path": "tests.evaluation.scoring.test_launched.Lingering"}}
    methods = {"Grad-CAM": {"class_path": "GradCAM"}} | lingering
    evaluate(by(None, "--evaluation.processes=1", "--evaluation.out=one", methods=methods))
    for path in Path().glob("asked_*"):
        path.unlink()
    killed = []
    threading.Thread(target=kill_a_worker, args=(killed,), daemon=True).start()
    evaluate(by(LAUNCHERS[kind], "--evaluation.out=launched", methods=methods))
    assert len(killed) == 1
    assert written(here / "launched") == written(here / "one")
    assert sorted(path.name for path in (here / "launched").glob("rows*")) == ["rows.jsonl"]
    assert not (here / "launched" / "jobs" / "evaluation.pkl").exists()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [("InputError", InputError, "no layer 'x'"), ("OSError", WorkError, r"4 of 4 shares failed.*share_0.log")],
)
def test_an_error_of_a_call_is_told_in_one_line(error, kind, words, here):  # noqa: F811
    refusing = {
        "Refusing": {"class_path": "tests.evaluation.scoring.test_launched.Refusing", "init_args": {"error": error}}
    }
    with pytest.raises(kind, match=words):
        evaluate(by(ALONE, "--evaluation.out=refused", methods=refusing))
    # what came before the method is kept
    assert (here / "refused" / "rows.jsonl").read_text().count("Original image") == 14


def test_the_bar_moves_while_the_shares_are_at_work(here, monkeypatch):  # noqa: F811
    monkeypatch.setattr(launched, "_LOOK", 0.02)
    seen = []
    done = launched._Share.done

    def watched(share):
        seen.append((share.ended, done(share), share.images))
        return seen[-1][1]

    monkeypatch.setattr(launched._Share, "done", watched)
    lingering = {"Lingering": {"class_path": "tests.evaluation.scoring.test_launched.Lingering"}}
    evaluate(by(ALONE, "--evaluation.out=watched", methods=lingering))
    assert any(0 < count < images for ended, count, images in seen if not ended)
    # at the end all are whole
    assert all(count == images for _, count, images in seen[-4:])


def test_another_file_is_not_unpickled(tmp_path):
    path = tmp_path / "evaluation.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch bad'\ntR.")
    with pytest.raises(InputError, match=r"evaluation.pkl is not the file that was written"):
        launched.score_share(str(path), "0" * 64, 0, 1)

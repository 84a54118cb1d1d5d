"""Every launcher: the same results, lost calls are run again, errors are not, and a stop leaves nothing behind."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from explainer.errors import InputError
from explainer.experiments.retraining.settings import LayerRetrainingSettings, RetrainingSettings
from explainer.launching import Cell, Launcher, Local, Ray, Submitit, run_cells
from explainer.launching.call import Call, Ending
from explainer.launching.cells import Folders
from explainer.stopping import Stopped
from tests.support import small_cells

LAUNCHERS = {
    "processes": lambda **options: Local(2, **options),
    "ray": lambda **options: Ray(**options),
    "submitit": lambda **options: Submitit(cluster="local", at_once=2, **options),
}


@pytest.fixture(params=LAUNCHERS)
def launcher(request):
    """A function that makes a launcher of each kind."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return LAUNCHERS[request.param]


def grid(folder, launcher, numbers, **options):
    """Run cells of these numbers; return their rows by name, and what failed."""
    cells = [Cell(f"cell{number}", {"number": number}) for number in numbers]
    folders = Folders.below(folder)
    failed = run_cells(
        cells, small_cells.by_number, lambda cell: (cell.facts["number"], str(folder)), folders, launcher, **options
    )
    rows = [json.loads(line) for line in folders.results.read_text().splitlines()]
    assert len(rows) + len(failed) == len(cells)  # each once
    return {row["cell"]: row for row in rows}, failed


@pytest.mark.parametrize(
    "launcher", ["processes", "ray", pytest.param("submitit", marks=pytest.mark.slow)], indirect=True
)  # jobs that are killed are tested in test_slurm.py too
def test_a_lost_cell_is_run_again_and_an_error_is_not(tmp_path, launcher, capsys):
    rows, failed = grid(tmp_path, launcher(retries=1), [4, 2, 0, 1, 3])
    # in the order of the cells, in whichever they ended
    assert list(failed) == ["cell4", "cell2", "cell3"]
    assert failed["cell4"] == "SystemExit: 2"
    assert failed["cell2"].startswith("lost 2 times, lastly because its ")
    assert failed["cell3"] == "InputError: three is no number for this"
    assert {name: row["score"] for name, row in rows.items()} == {"cell0": 0.0, "cell1": 3.0}
    assert rows["cell1"]["folder"] == str(Path.cwd())
    assert rows["cell1"]["threads"] == 1
    assert "3 failed, 2 retried" in capsys.readouterr().out
    assert "Traceback" in (tmp_path / "logs" / "cell3.log").read_text()
    assert (tmp_path / "logs" / "cell2.log").read_text().count("before the end") == 2


@pytest.mark.parametrize(
    "launcher", ["processes", "ray", pytest.param("submitit", marks=pytest.mark.slow)], indirect=True
)
def test_ctrl_c_lets_cells_save(tmp_path, launcher):
    names = [f"cell{number}" for number in range(4)]
    cells = [Cell(name, {}) for name in names]

    def press():
        while sum((tmp_path / name).exists() for name in names) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(Stopped, match="0 of 4 cells were done here"):
        run_cells(
            cells, small_cells.waits, lambda cell: (str(tmp_path), cell.name), Folders.below(tmp_path), launcher()
        )
    texts = [(tmp_path / name).read_text() for name in names if (tmp_path / name).exists()]
    assert texts == ["saved", "saved"]
    assert not (tmp_path / "cells.jsonl").exists()


class Fake(Launcher):
    """A launcher whose engine is a list; it notes what it is asked for."""

    def __init__(self, endings, retries=2):
        super().__init__(retries)
        self.endings = endings
        self.calls = []
        self.closed = []

    def start(self, folder):
        return self

    def submit(self, calls):
        self.calls += calls

    def ended(self):
        return [(self.calls[-1], self.endings.pop(0))]

    def close(self, stopped):
        self.closed.append(stopped)


LOST = Ending({}, "a machine failed", lost=True)


def run(launcher, tmp_path):
    return list(launcher.run([Call("a", print, (), "log")], tmp_path))


@pytest.mark.parametrize(("retries", "times"), [(0, "once"), (1, "2 times"), (3, "4 times")])
def test_how_often_a_lost_call_is_run_again_is_a_setting(tmp_path, retries, times):
    launcher = Fake([LOST] * 9, retries)
    *lost, (_, last) = run(launcher, tmp_path)
    assert [ending for _, ending in lost] == [LOST] * retries
    assert last == Ending({}, f"lost {times}, lastly because a machine failed")
    assert [call.attempt for call in launcher.calls] == list(range(retries + 1))
    assert launcher.closed == [False]


def test_a_result_after_a_loss_counts(tmp_path):
    launcher = Fake([LOST, Ending({"score": 1.0})])
    assert [ending.result for _, ending in run(launcher, tmp_path)] == [{}, {"score": 1.0}]


def test_an_engine_is_closed_when_its_user_stops(tmp_path):
    launcher = Fake([LOST] * 9)
    endings = launcher.run([Call("a", print, (), "log")], tmp_path)
    next(endings)
    endings.close()
    assert launcher.closed == [True]
    assert list(launcher.run([], tmp_path)) == []
    assert launcher.closed == [True]  # without calls nothing is started


@pytest.mark.parametrize("settings", [RetrainingSettings, LayerRetrainingSettings])
def test_workers_are_those_of_local_and_not_both(settings):
    assert settings(workers=3).launcher.workers == 3
    assert settings().launcher.workers is None
    assert isinstance(settings(launcher=Submitit()).launcher, Submitit)
    with pytest.raises(InputError, match=r"experiment.init_args.workers .*: set it to null beside a launcher"):
        settings(workers=2, launcher=Local(2))


def test_wrong_settings_are_named():
    for make, words in [
        (lambda: Local(retries=-1), "launcher.init_args.retries must be at least 0"),
        (lambda: Local(0), "launcher.init_args.workers must be positive"),
        (lambda: Ray(cpus=0), "launcher.init_args.cpus must be at least 1"),
        (lambda: Ray(gpus=-1), "launcher.init_args.gpus must be at least 0"),
        (lambda: Submitit(cpus=0), "launcher.init_args.cpus must be at least 1"),
        (lambda: Submitit(gpus=-1), "launcher.init_args.gpus must be at least 0"),
        (lambda: Submitit(timeout_min=0), "launcher.init_args.timeout_min must be at least 1"),
        (lambda: Submitit(mem_gb=0), "launcher.init_args.mem_gb must be above 0"),
        (lambda: Submitit(at_once=0), "launcher.init_args.at_once must be at least 1"),
    ]:
        with pytest.raises(InputError, match=words):
            make()


@pytest.mark.parametrize(("kind", "library", "extra"), [(Ray, "ray", "ray"), (Submitit, "submitit", "slurm")])
def test_a_missing_extra_is_one_line(monkeypatch, kind, library, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"pip install 'saliency-explainer\[{extra}\]'"):
        kind()

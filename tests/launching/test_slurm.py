"""Jobs of SLURM: the script that is submitted, and how jobs end."""

import json
import os
import shutil
import signal
import threading
import time

import pytest

from explainer.errors import InputError
from explainer.launching import Cell, Submitit, run_cells, slurm
from explainer.launching.call import Ending
from explainer.launching.cells import Folders
from explainer.stopping import Stopped
from tests.support import fake_slurm, small_cells
from tests.support.tiny_runs import ROOT


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A machine on which SLURM's programs are found."""
    monkeypatch.setenv("PATH", fake_slurm.install(tmp_path / "bin"))
    monkeypatch.setattr(slurm, "_LATE", 0)
    monkeypatch.setattr(slurm, "_ASKING", 0.2)
    return tmp_path


def test_the_script_has_the_settings_and_nothing_is_submitted(tmp_path, capsys):
    launcher = Submitit(
        "gpu", timeout_min=90, cpus=4, gpus=1, mem_gb=1.5, at_once=3, show=True,
        parameters={"account": "vision", "setup": ["module load cuda"]},
    )  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        launcher.check(tmp_path / "jobs", 12)
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "#!/bin/bash"
    wanted = {
        "partition=gpu", "time=90", "cpus-per-task=4", "gpus-per-node=1", "mem=1536MB", "account=vision",
        "job-name=explainer", "nodes=1", "ntasks-per-node=1", "array=0-11%3", "signal=USR2@90",
    }  # fmt: skip
    assert {f"#SBATCH --{setting}" for setting in wanted} <= set(lines)
    assert lines.index("export OMP_NUM_THREADS=4") < lines.index("module load cuda")
    assert any(line.startswith("export PYTHONPATH=") and str(ROOT) in line for line in lines)
    assert lines[-2:][0].startswith("srun ") or lines[-1].startswith("srun ")
    assert not (tmp_path / "jobs").exists()


def test_one_cell_is_no_array_and_an_unknown_number_shows_nothing(tmp_path, capsys):
    launcher = Submitit(show=True)
    assert "--array" not in launcher.script(tmp_path, 1)
    assert "--mem" not in launcher.script(tmp_path, 1)
    launcher.check(tmp_path, None)
    assert not capsys.readouterr().out


def test_what_cannot_be_submitted_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(InputError, match="there is no sbatch here: start from a machine of the cluster, or show"):
        Submitit().check(tmp_path, 2)
    with pytest.raises(InputError, match=r"launcher.init_args.parameters: TypeError: .* 'colour'"):
        Submitit(parameters={"colour": "red"}).check(tmp_path, 2)
    Submitit(cluster="local").check(tmp_path, 2)


def run(folder, work, arguments, names, **options):
    folders = Folders.below(folder)
    return run_cells([Cell(name, {}) for name in names], work, arguments, folders, Submitit(**options)), folders


def test_an_array_whose_first_job_is_killed(cluster):
    failed, folders = run(cluster, small_cells.dies_once, lambda cell: (str(cluster), cell.name), ["a", "bb"])
    assert not failed
    rows = {row["cell"]: row for row in map(json.loads, folders.results.read_text().splitlines())}
    assert {name: row["score"] for name, row in rows.items()} == {"a": 1.0, "bb": 2.0}
    scripts = [(cluster / "bin" / f"script{number}.sh").read_text() for number in (1, 2)]
    assert "--array=0-1%" in scripts[0]
    # neither of the jobs that ended nor of those that were killed
    assert not list(folders.jobs.glob("*.pkl"))
    assert not (folders.jobs / slurm.JOBS).exists()
    assert folders.jobs.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs_which_save(cluster):
    def press():
        while not ((cluster / "a").exists() and (cluster / "b").exists()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(Stopped, match="0 of 2 cells"):
        run(cluster, small_cells.waits, lambda cell: (str(cluster), cell.name), ["a", "b"])
    assert [(cluster / name).read_text() for name in "ab"] == ["saved", "saved"]


def test_jobs_that_a_killed_process_left_are_cancelled(cluster, monkeypatch):
    cancelled = []
    monkeypatch.setattr(slurm._Slurm, "cancel", lambda self, jobs: cancelled.extend(job.job_id for job in jobs))
    folder = cluster / "jobs"
    folder.mkdir()
    (folder / slurm.JOBS).write_text("17_0\n17_1\n")
    monkeypatch.setattr(slurm, "PATIENCE", 0)
    Submitit().start(folder)
    assert cancelled == ["17_0", "17_1"]
    assert not (folder / slurm.JOBS).exists()


@pytest.mark.parametrize(
    ("trace", "ending"),
    [
        ("Traceback\nModuleNotFoundError: No module named 'explainer'", ("job 7: ModuleNotFoundError: No module named 'explainer'", False)),
        ("Traceback\nsubmitit.core.utils.UncompletedJobError: Job not requeued", ("job 7: submitit.core.utils.UncompletedJobError: Job not requeued", True)),
    ],
)  # fmt: skip
def test_an_error_of_a_job_is_one_line(trace, ending):
    line = "-" * 22
    words = f"Job (task=0) failed during processing with trace:\n{line}\n{trace}\n{line}\nYou can check full logs"
    assert slurm._ending_of_error(words, "7") == Ending({}, *ending)

"""A call in a process that an engine started: its folder, its environment, and what stops it."""

import os
import signal
import socket
from pathlib import Path

import pytest

from explainer.launching import call as calls
from explainer.launching.call import Call, Ending, answer, answer_elsewhere, python_path, variables
from tests.support import small_cells
from tests.support.tiny_runs import ROOT


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A process whose state is put back after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    threads = []
    monkeypatch.setattr(calls, "prepare_process", threads.append)
    (tmp_path / "folder").mkdir()
    return threads


def where():
    return {
        "score": 1.0,
        "folder": str(Path.cwd()),
        "process": os.environ["SLURM_PROCID"],
        "name": os.environ["SLURM_JOB_NAME"],
    }


def test_a_call_is_answered_in_the_folder_of_the_one_who_calls_and_as_one_process(elsewhere, tmp_path):
    os.environ |= {"SLURM_PROCID": "3", "SLURM_JOB_NAME": "mine", "RANK": "3"}
    ending = answer_elsewhere(Call("a", where, (), "a.log"), str(tmp_path / "folder"), 5)
    assert ending == Ending({"score": 1.0, "folder": str(tmp_path / "folder"), "process": "0", "name": "bash"})
    assert elsewhere == [5]
    assert (tmp_path / "folder" / "a.log").is_file()


def test_a_machine_that_does_not_share_the_folder_says_so(elsewhere, tmp_path):
    ending = answer_elsewhere(Call("a", where, (), "a.log"), str(tmp_path / "lost"), 1)
    assert ending.error.startswith(f"{socket.gethostname()} lacks {tmp_path / 'lost'} (No such file or directory)")
    assert not ending.lost


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_call_that_is_told_to_end_is_lost(elsewhere, tmp_path, number):
    before = signal.getsignal(number)
    ending = answer_elsewhere(Call("a", os.kill, (os.getpid(), number), "a.log"), str(tmp_path / "folder"), 1)
    assert ending == Ending({}, f"it was stopped by SIGTERM on {socket.gethostname()}", lost=True)
    assert signal.getsignal(number) == before


def test_a_log_goes_on_where_a_lost_call_left_it(tmp_path):
    log = tmp_path / "log"
    for attempt, words in [(0, "one\n"), (0, "one\n"), (1, "one\none\n")]:
        assert answer(Call("a", print, ("one",), str(log), attempt)).error == ""
        assert log.read_text() == words
    assert answer(Call("a", small_cells.fails_at_some, (3,), str(log))) == Ending(
        {}, "InputError: three is no number for this"
    )


def test_a_new_process_finds_the_package_by_the_same_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"b{os.pathsep}")
    there = os.pathsep.join([str(ROOT), str(Path("b").absolute())])
    assert python_path() == there
    assert variables(3) == {"OMP_NUM_THREADS": "3", "PYTHONPATH": there}
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert python_path() == str(ROOT)
    # an installed one is found without help
    monkeypatch.setattr(calls, "__file__", "/usr/lib/python3/site-packages/explainer/launching/call.py")
    monkeypatch.delenv("PYTHONPATH")
    assert python_path() == ""

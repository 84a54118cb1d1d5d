"""One process works in a folder."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from explainer.errors import InputError
from explainer.files import alone, locking


def test_a_second_process_is_refused(tmp_path):
    code = f"""
import sys
from explainer.errors import InputError
from explainer.files import alone
try:
    with alone({str(tmp_path / ".lock")!r}, "runs/x"): pass
except InputError as error:
    print(error); sys.exit(3)
"""
    with alone(tmp_path / ".lock", "runs/x"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 3, done.stderr
        assert done.stdout.startswith(f"process {os.getpid()} on ")
        assert "works in runs/x: wait for it" in done.stdout
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_where_a_file_system_has_no_locks_the_work_goes_on(tmp_path, monkeypatch):
    def refuse(number):
        def lockf(*_):
            raise OSError(number, os.strerror(number))

        return lockf

    for number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        monkeypatch.setattr(fcntl, "lockf", refuse(number))
        with alone(tmp_path / ".lock", "runs/x"):
            pass
    monkeypatch.setattr(fcntl, "lockf", refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), alone(tmp_path / ".lock", "runs/x"):
        pass


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A lock file that a process of another machine has written, and a beat of a hundredth of a second."""
    monkeypatch.setattr(locking, "BEAT", 0.01)
    path = tmp_path / ".lock"
    path.write_text("process 7 on another\n000000000005\n")
    return path


def count_on(path, over):
    count = 5
    while not over.wait(0.002):
        count += 1
        with path.open("r+") as file:  # in place, as a holder does: an empty file would be one that was given back
            file.write(f"process 7 on another\n{count:012d}\n")


@pytest.mark.parametrize("locks", [True, False])
def test_a_process_of_another_machine_that_still_counts_is_not_joined(elsewhere, monkeypatch, locks):
    """A file system may lock for each machine alone, or not at all."""
    if not locks:
        monkeypatch.setattr(locking, "fcntl", None)
    monkeypatch.setattr(locking, "_BEATS", 10_000)  # as long as it takes, on a busy machine too
    over = threading.Event()
    counting = threading.Thread(target=count_on, args=(elsewhere, over))
    counting.start()
    try:
        with pytest.raises(InputError, match="process 7 on another works in runs/x: wait"), alone(elsewhere, "runs/x"):
            pass
    finally:
        over.set()
        counting.join()


@pytest.mark.parametrize("locks", [True, False])
def test_a_process_of_another_machine_that_was_killed_is_waited_for_and_then_followed(
    elsewhere, monkeypatch, capsys, locks
):
    if not locks:
        monkeypatch.setattr(locking, "fcntl", None)
    with alone(elsewhere, "runs/x"):
        assert elsewhere.read_text().startswith(f"process {os.getpid()} on {socket.gethostname()}\n")
    assert "waiting to see whether process 7 on another still works in runs/x" in capsys.readouterr().err
    assert elsewhere.read_text() == ""
    with alone(elsewhere, "runs/x"):  # it was given back: nobody is waited for
        pass
    assert not capsys.readouterr().err


@pytest.mark.parametrize("content", ["process 7 on another", "", "process 7 on another\n\n"])
def test_nobody_is_waited_for_where_a_file_does_not_count(elsewhere, capsys, content):
    elsewhere.write_text(content)
    with alone(elsewhere, "runs/x"):
        pass
    assert not capsys.readouterr().err


def test_a_killed_process_of_this_machine_is_followed_at_once(tmp_path, capsys, monkeypatch):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / ".lock").write_text(f"process {done.stdout.strip()} on {socket.gethostname()}\n000000000005\n")
    with alone(tmp_path / ".lock", "runs/x"):
        pass
    (tmp_path / ".lock").write_text(f"process {done.stdout.strip()} on {socket.gethostname()}\n000000000005\n")
    monkeypatch.setattr(fcntl, "lockf", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no locks")))
    with alone(tmp_path / ".lock", "runs/x"):
        pass
    assert not capsys.readouterr().err


def test_a_holder_counts_on_as_long_as_it_works(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "BEAT", 0.01)
    path = tmp_path / ".lock"
    with alone(path, "runs/x"):
        seen = set()
        while len(seen) < 3:
            seen.add(path.read_text())
            time.sleep(0.005)
    assert {text.splitlines()[0] for text in seen} == {f"process {os.getpid()} on {socket.gethostname()}"}
    assert path.read_text() == ""
    assert not [thread for thread in threading.enumerate() if thread.name == "repeating"]


def test_two_that_wait_for_the_same_dead_holder_are_not_both_let_in(elsewhere, monkeypatch):
    """Another one was faster: it has written its name when this one's wait is over."""

    def overtaken(path, before, what):
        path.write_text("process 8 on a third\n000000000000\n")

    monkeypatch.setattr(locking, "_watch", overtaken)
    with pytest.raises(InputError, match="process 8 on a third works in runs/x"), alone(elsewhere, "runs/x"):
        pass
    assert elsewhere.read_text().startswith("process 8 on a third")

"""One process works in a folder."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from explainer.files import alone


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

"""Ray: what it cannot serve is refused, a cluster of our own ends with its calls, and one that is there stays."""

import os
import signal
import subprocess
import sys
import time

import pytest

from explainer.errors import InputError
from explainer.launching import Ray
from explainer.launching.call import Call, Ending
from tests.support.small_cells import fails_at_some
from tests.support.tiny_runs import ROOT


def test_what_no_machine_could_run_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match=r"launcher.init_args.cpus is 9, and there are 4 cores"):
        Ray(cpus=9, options={"num_cpus": 4}).check(tmp_path, 1)
    with pytest.raises(InputError, match=r"launcher.init_args.gpus is 3, and there are 2 GPUs"):
        Ray(gpus=3, options={"num_gpus": 2}).check(tmp_path, 1)
    Ray(gpus=1, options={"num_cpus": 4, "num_gpus": 1}).check(tmp_path, 1)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_at_which_nothing_answers_is_one_line(tmp_path, monkeypatch, address):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(InputError, match=f"launcher.init_args.address {address}: no Ray cluster answers there"):
        Ray(address).check(tmp_path, 1)


def test_a_cluster_that_is_too_small_says_so_and_one_that_was_there_stays(cluster, tmp_path):
    import ray

    with pytest.raises(InputError, match="no machine of the Ray cluster has 3 cores and 0 GPUs for a cell"):
        Ray(cpus=3).start(tmp_path)
    with pytest.raises(InputError, match="no machine of the Ray cluster has 1 cores and 1 GPUs"):
        Ray(gpus=1).start(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    call = Call("a", fails_at_some, (5,), str(tmp_path / "log"))
    assert list(Ray().run([call], tmp_path)) == [(call, Ending({"score": 0.5}))]
    assert ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) == before


OWN = """
import os, signal, sys, time
from pathlib import Path
from explainer.launching import Ray
from explainer.launching.call import Call
from explainer.stopping import raise_stopped
from tests.support.small_cells import waits

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGTERM, raise_stopped)
    launcher = Ray(options={"num_cpus": 1, "object_store_memory": 80 * 2**20})
    try:
        list(launcher.run([Call("a", waits, (str(folder), "a"), str(folder / "log"))], folder))
    except KeyboardInterrupt:
        print("stopped")
"""


def processes_of(session):
    """Processes of this user that belong to a process group or to Ray below it."""
    listed = subprocess.run(["ps", "-eo", "pid,sess,stat,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 3) for line in listed.splitlines()[1:]]
    return [row for row in rows if row[1] == str(session) and not row[2].startswith("Z")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks ps")
def test_no_process_of_a_cluster_of_our_own_outlives_a_stop(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    own = subprocess.Popen(
        [sys.executable, str(tmp_path / "own.py"), str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (tmp_path / "a").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    own.send_signal(signal.SIGTERM)
    said = own.communicate(timeout=200)[0]
    assert said.splitlines()[-1] == "stopped"
    assert (tmp_path / "a").read_text() == "saved"
    while processes_of(own.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes_of(own.pid)

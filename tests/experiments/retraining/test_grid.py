"""A grid that is stopped or killed: a cell is recorded before what it left is removed, and no process stays."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from explainer.errors import InputError
from explainer.experiments.cells import read_cells
from explainer.launching import Cell, Local, run_cells
from explainer.launching.cells import Folders
from explainer.stopping import Stopped
from tests.support import tiny_runs
from tests.support.small_cells import fails_at_some

FACTS = {"a": 1}
FIRST = json.dumps({"fingerprint": FACTS})
ROWS = [json.dumps({"cell": name, "score": 0.5}) for name in ("one", "two")]


@pytest.mark.parametrize("content", ["", "\n", "\0" * 50, FIRST[:9], '{"a": 1}\n', "[1]\n", "\0" * 9 + "\n" + "\0" * 9])
def test_a_grid_whose_first_line_is_torn_begins_anew(tmp_path, content):
    path = tmp_path / "cells.jsonl"
    path.write_text(content)
    assert read_cells(path, FACTS) == {}
    assert path.read_text() == FIRST + "\n"
    assert [other.name for other in tmp_path.iterdir()] == ["cells.jsonl"]


@pytest.mark.parametrize("tail", [ROWS[1][:9], "\0" * 40, '{"cell": "two"}\n', "[]\n", "\n" + "\0" * 9])
def test_what_a_crash_tore_is_trained_again_and_the_rest_is_kept(tmp_path, tail):
    path = tmp_path / "cells.jsonl"
    path.write_text(f"{FIRST}\n{ROWS[0]}\n{tail}")
    assert set(read_cells(path, FACTS)) == {"one"}
    assert path.read_text() == f"{FIRST}\n{ROWS[0]}\n"
    path.write_text(f"{FIRST}\n{tail.strip()}\n{ROWS[1]}\n")  # in the middle, as after a bad disk
    assert set(read_cells(path, FACTS)) >= {"two"}


def test_cells_of_an_unknown_grid_are_not_lost(tmp_path):
    path = tmp_path / "cells.jsonl"
    path.write_text(f"{FIRST[:9]}\n{ROWS[0]}\n")
    with pytest.raises(InputError, match="its first line is damaged"):
        read_cells(path, FACTS)
    assert ROWS[0] in path.read_text()


def work(value, folder):
    """A cell; the second one presses Ctrl-C, or what Lightning makes of it."""
    (Path(folder) / f"began{value}").touch()
    if value == 1:
        raise KeyboardInterrupt
    return {"score": value / 10}


def test_ctrl_c_stops_the_grid_and_keeps_what_is_done(tmp_path):
    path, cells = tmp_path / "cells.jsonl", [Cell(f"cell{v}", {"value": v}) for v in range(3)]
    read_cells(path, FACTS)
    tidied = []

    def tidy(cell):
        assert f'"{cell.name}"' in path.read_text(), "the score comes first"
        tidied.append(cell.name)

    with pytest.raises(Stopped, match="1 of 3 cells were done here, and the same command goes on") as stopped:
        run_cells(
            cells, work, lambda cell: (cell.facts["value"], str(tmp_path)), Folders.below(tmp_path), Local(1), tidy
        )
    assert stopped.value.number == signal.SIGINT
    assert tidied == ["cell0"]
    assert set(read_cells(path, FACTS)) == {"cell0"}
    assert not (tmp_path / "began2").exists()


def test_a_cell_that_fails_is_named_and_the_others_go_on(tmp_path):
    path = tmp_path / "cells.jsonl"
    assert read_cells(path, FACTS) == {}
    cells = [Cell(f"cell{v}", {"value": v}) for v in (0, 3, 4, 5)]
    failed = run_cells(cells, fails_at_some, lambda c: (c.facts["value"],), Folders.below(tmp_path), Local(2))
    assert failed == {"cell3": "InputError: three is no number for this", "cell4": "SystemExit: 2"}
    done = read_cells(path, FACTS)
    assert {name: row["score"] for name, row in done.items()} == {f"cell{v}": v / 10 for v in (0, 5)}
    assert "Traceback" in (tmp_path / "logs" / "cell3.log").read_text()
    with pytest.raises(InputError, match="cells with another a"):
        read_cells(path, {"a": 2})


GRID = """
import os, sys, time
from pathlib import Path
from explainer.launching import Cell, Local, run_cells
from explainer.launching.cells import Folders
from explainer.stopping import exit_status, heeding_sigterm, last_words

def wait(folder):
    (Path(folder) / f"pid{os.getpid()}").touch()
    while True:
        time.sleep(0.05)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    cells = [Cell(str(n), {}) for n in range(4)]
    try:
        with heeding_sigterm():
            run_cells(cells, wait, lambda cell: (str(folder),), Folders.below(folder), Local(2))
    except KeyboardInterrupt as error:
        print(last_words(error), file=sys.stderr)
        sys.exit(exit_status(error))
"""


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_no_process_of_a_grid_outlives_it(tmp_path, number):
    (tmp_path / "grid.py").write_text(GRID)
    environment = os.environ | {"PYTHONPATH": str(tiny_runs.ROOT)}
    grid = subprocess.Popen(
        [sys.executable, str(tmp_path / "grid.py"), str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while len(list(tmp_path.glob("pid*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    children = [int(path.name.removeprefix("pid")) for path in tmp_path.glob("pid*")]
    assert len(children) == 2
    grid.send_signal(number)
    said = grid.communicate(timeout=200)[1]
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, children))
    assert len(list(tmp_path.glob("pid*"))) == 2, "no further cell began"
    if number != signal.SIGKILL:
        assert grid.returncode == 128 + number
        assert said.strip().splitlines()[-1].startswith("stopped; 0 of 4 cells were done here")
        assert "Traceback" not in said

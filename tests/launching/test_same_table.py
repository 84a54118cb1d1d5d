"""The acceptance of launchers: a whole grid by each, a worker of it killed, and the same table."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from explainer.cli.evaluate import evaluate
from tests.support import trees
from tests.support.small_grids import config

LAUNCHERS = {
    "undisturbed": {"class_path": "Local", "init_args": {"workers": 1}},
    "processes": {"class_path": "Local", "init_args": {"workers": 2}},
    "ray": {"class_path": "Ray"},
    "submitit": {"class_path": "Submitit", "init_args": {"cluster": "local", "at_once": 2}},
}


def kill_a_worker(runs, killed):
    """Kill the first process that trains a cell: the lock of the cell's run names it."""
    while not killed:
        for lock in runs.glob(".*.lock"):
            process = re.match(r"process (\d+) on", lock.read_text())
            if process and int(process[1]) != os.getpid():
                killed.append(lock.name)
                os.kill(int(process[1]), signal.SIGKILL)
                break
        time.sleep(0.02)


@pytest.mark.slow
def test_the_table_of_a_grid_is_the_same_whatever_ran_it_and_whatever_was_killed(
    cluster, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    trees.fashion_tree(tmp_path / "fashion", train=400, test=100)
    config(tmp_path, "small_classifier")
    methods = {"Gradient": {"class_path": "Gradient"}, "Random": {"class_path": "Random"}}
    settings = {"methods": methods, "fractions": [0.5], "seeds": [0], "modes": ["keep"], "masks_alone": False}
    results = {}
    for kind, launcher in LAUNCHERS.items():
        name = config(
            tmp_path, "grid", explanandum_config="small_classifier.yaml",
            experiment={"class_path": "Retraining", "init_args": settings | {"launcher": launcher, "pictures": 0}},
        )  # fmt: skip
        killed = []
        if kind != "undisturbed":
            threading.Thread(target=kill_a_worker, args=(Path("runs") / kind, killed), daemon=True).start()
        content = evaluate(["--config", name, "--name", kind, "--trainer.max_epochs=3"])
        rows = (Path("results") / kind / "cells.jsonl").read_text().splitlines()[1:]
        results[kind] = (sorted(rows), {name: entry["scores"] for name, entry in content["results"].items()})
        assert len(rows) == 2
        assert len(killed) == (kind != "undisturbed")
        assert ("1 retried" in capsys.readouterr().out) == bool(killed)
    wanted = results.pop("undisturbed")
    scores = [entry["keep"]["0.5"]["mean"] for entry in wanted[1].values()]
    assert len(set(scores)) == 2  # not those of chance, which would be the same in any case
    for kind, result in results.items():
        assert result == wanted, kind

"""Cells that need no training; this file imports little, because every process of a grid begins with it."""

import os
import signal
import time
from pathlib import Path

import torch

from explainer.errors import InputError


def fails_at_some(value):
    """A cell's work; of some values it is an error."""
    if value == 3:
        raise InputError("three is no number for this\nsecond line")
    if value == 4:
        raise SystemExit(2)
    return {"score": value / 10}


def dies_once(folder, name):
    """A cell's work that is killed with its process the first time; it says where it was done."""
    marker = Path(folder) / name
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"score": float(len(name)), "threads": torch.get_num_threads(), "folder": str(Path.cwd())}


def always_dies():
    """A cell's work that is killed with its process, such as for want of memory."""
    print("before the end", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def waits(folder, name):
    """A cell's work that goes on until it is stopped, and saves then."""
    path = Path(folder) / name
    path.touch()
    try:
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        path.write_text("saved")
        raise


def by_number(number, folder):
    """A cell's work of each kind: killed once, killed always, an error, an exit, and plain ones."""
    if number == 1:
        return dies_once(folder, "one")
    if number == 2:
        return always_dies()
    return fails_at_some(number)

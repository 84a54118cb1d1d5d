"""A machine that refuses: folders that cannot be written, a disk that is full, output that nobody takes."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.support.bad_inputs import evaluates, explains, refused, status_of, trains
from tests.support.tiny_runs import ROOT

LIMIT = 20_000
"""Bytes that a file may have on the full disk: text fits, networks do not."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@contextmanager
def full_disk(limit=LIMIT):
    """No file may grow beyond the limit; the system then says so as it does of a full disk, at the same calls."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def on_a_full_disk(command, limit=LIMIT):
    def run():
        with full_disk(limit):
            return command()

    return run


def partial_files(folder="."):
    return [path for path in Path(folder).rglob("*") if ".partial" in path.name]


@pytest.mark.parametrize("name", ["runs", "checkpoints"])
def test_a_file_in_the_place_of_a_folder_of_train(name):
    command = trains()
    Path(name).write_text("x")
    code, said, errors = status_of(command)
    assert (code, len(errors)) == (2, 1), said
    assert name in errors[0]
    assert not list(Path().glob("*/tiny_classifier*"))  # nothing was trained


def test_a_file_in_the_place_of_the_results():
    command = evaluates()
    Path("results").write_text("x")
    code, said, errors = status_of(command)
    assert (code, len(errors)) == (2, 1), said
    assert "--evaluation.out" in errors[0]


def test_a_disk_that_is_full_at_the_first_checkpoint():
    refused(on_a_full_disk(trains("--name=new")), "runs/new; --ckpt_path last goes on", status=1)
    assert not partial_files()


def test_a_disk_that_is_full_at_the_second_epoch_keeps_the_first():
    class Filling:
        """Fills the disk when the first epoch is on it."""

        def __call__(self):
            trains("--trainer.max_epochs=1")()
            with full_disk():
                return trains("--trainer.max_epochs=2", "--ckpt_path=last")()

    code, said, errors = status_of(Filling())
    assert (code, len(errors)) == (1, 1), said
    assert "--ckpt_path last goes on" in errors[0]
    assert torch.load("runs/tiny_classifier/last.ckpt", weights_only=True)["epoch"] == 0
    assert Path("checkpoints/tiny_classifier.ckpt").is_file()
    assert not partial_files()
    code, said, errors = status_of(trains("--trainer.max_epochs=2", "--ckpt_path=last"))
    assert code == 0, said


def test_a_disk_that_is_full_when_the_training_is_finished(monkeypatch):
    import explainer.cli.train

    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device", "checkpoints/tiny_classifier.ckpt")

    monkeypatch.setattr(explainer.cli.train, "copy_file", refuse)
    refused(trains("--name=new"), "No space left on device.*the training is finished.*runs/new", status=1)
    assert Path("runs/new/last.ckpt").is_file()


def test_a_disk_that_is_full_in_an_evaluation_keeps_its_rows():
    method = "--evaluation.methods={Half: {class_path: Constant, init_args: {value: 0.5}}}"
    command = evaluates(method)
    refused(on_a_full_disk(command, 1500), "what is done is kept in results/tiny", status=1)
    assert not partial_files("results")
    code, said, _ = status_of(command)
    assert code == 0, said


def test_a_disk_that_is_full_keeps_what_was_explained():
    command = explains("good.png")
    refused(on_a_full_disk(command, 500), r"good\.png|explained", status=1)
    assert not partial_files("explained")


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_ctrl_c_while_libraries_are_imported(script):
    """A library that is imported first stops the command as Ctrl-C would."""
    Path("torch.py").write_text("raise KeyboardInterrupt\n")
    environment = os.environ | {"PYTHONPATH": f"{Path.cwd()}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, str(ROOT / script)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()) == (130, ["stopped"]), done.stderr

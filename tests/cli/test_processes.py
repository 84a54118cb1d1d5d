"""What a process of several may do before they are joined, and how they end together."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pytorch_lightning.strategies import DDPStrategy
from torch.distributed import DistNetworkError

from explainer.cli import prerequisites, processes
from explainer.cli.prerequisites import train_missing
from explainer.cli.processes import (
    check_processes,
    end_with_launcher,
    first_process,
    has_others,
    launching,
    noticing_loss,
    started_with_others,
    train_apart,
    wait_for,
)
from explainer.cli.rehearsal import process_count
from explainer.errors import InputError, WorkError
from explainer.files import alone, held
from explainer.stopping import Stopped


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in list(os.environ):
        if processes._OF_A_LAUNCHER.fullmatch(name):
            monkeypatch.delenv(name)


def trainer(devices=2, **options):
    return pl.Trainer(accelerator="cpu", devices=devices, logger=False, enable_checkpointing=False, **options)


SETTINGS = SimpleNamespace(use_distributed_sampler=False, sync_batchnorm=False)


def test_what_several_processes_cannot_do_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", "a.yaml"])
    check_processes(trainer(strategy="ddp"), SETTINGS, ["--config", "a.yaml"])
    with pytest.raises(
        InputError, match=r"trainer\.devices 2: the other processes are started with this program's own"
    ):
        check_processes(trainer(strategy="ddp"), SETTINGS, ["--config", "b.yaml"])
    for strategy in ("ddp_spawn", "ddp_fork"):
        with pytest.raises(InputError, match=r"trainer\.strategy.*take ddp"):
            check_processes(trainer(strategy=strategy), SETTINGS, [])
    for key, name in (("use_distributed_sampler", "sampler must be false"), ("sync_batchnorm", "needs GPUs")):
        with pytest.raises(InputError, match=name):
            check_processes(trainer(strategy="ddp"), SimpleNamespace(**(vars(SETTINGS) | {key: True})), [])
    # none of it matters to a process that is alone
    check_processes(trainer(1), SimpleNamespace(use_distributed_sampler=True, sync_batchnorm=True), ["--config", "b"])


def test_a_sharded_network_is_refused():
    class FSDPStrategy(DDPStrategy):
        pass

    with pytest.raises(InputError, match="no process would have the whole network"):
        check_processes(trainer(strategy=FSDPStrategy()), SETTINGS, [])


def test_torchrun_and_the_trainer_must_agree(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="torchrun has started 2 processes, and the Trainer expects 1"):
        check_processes(trainer(1), SETTINGS, [])


def test_a_process_knows_its_place(monkeypatch):
    assert first_process()
    assert not started_with_others()
    assert not has_others()
    monkeypatch.setenv("NODE_RANK", "1")
    assert not first_process()
    assert has_others()
    monkeypatch.setenv("NODE_RANK", "0")
    monkeypatch.setattr(processes.rank_zero_only, "rank", 1, raising=False)
    assert not first_process()
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert started_with_others()


def test_the_end_of_another_process_is_one_line():
    several, one = SimpleNamespace(world_size=2), SimpleNamespace(world_size=1)
    for error in (RuntimeError("[../gloo/transport/tcp/pair.cc:1] Connection closed by peer"), DistNetworkError("a")):
        with (
            pytest.raises(WorkError, match=r"another process of this training has ended.*what is kept"),
            noticing_loss(several, "what is kept"),
        ):
            raise error
        with pytest.raises(type(error)), noticing_loss(one, "what is kept"):
            raise error
    unused = RuntimeError("It looks like your LightningModule has parameters that were not used in producing the loss")
    with pytest.raises(InputError, match="ddp_find_unused_parameters_true"), noticing_loss(several, ""):
        raise unused
    with pytest.raises(RuntimeError, match="a mistake"), noticing_loss(several, ""):
        raise RuntimeError("a mistake")


def hold(path, checkpoint, seconds, ready):
    with alone(path, "a"):
        ready.set()
        time.sleep(seconds)
        if checkpoint is not None:
            checkpoint.touch()


@pytest.mark.parametrize("trains", [True, False])
def test_the_others_wait_as_long_as_the_first_process_works(tmp_path, trains):
    path, lock = tmp_path / "a.ckpt", tmp_path / ".a.lock"
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(lock, path if trains else None, 0.5, ready))
    process.start()
    assert ready.wait(60)
    assert held(lock)
    if trains:
        wait_for(path, lock, patience=0)
    else:
        # it is not waited for once more: it was seen at work, and has ended without the checkpoint
        with pytest.raises(InputError, match=r"no .*a\.ckpt: the first process has not trained it"):
            wait_for(path, lock, patience=1000)
    process.join()
    assert not held(lock)


def test_a_first_process_that_never_begins_is_not_waited_for_for_ever(tmp_path):
    with pytest.raises(InputError, match="the first process has not trained it"):
        wait_for(tmp_path / "a.ckpt", tmp_path / ".a.lock", patience=0)


def test_a_lock_can_be_waited_for(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "lock", None, 0.2, ready))
    process.start()
    assert ready.wait(60)
    with alone(tmp_path / "lock", "a", patience=60):
        assert process.exitcode is None or process.exitcode == 0
    process.join()


class Apart:
    """A command that ends with a status."""

    def __init__(self, monkeypatch, status):
        self.environment = None
        self.signals = []
        monkeypatch.setattr(processes.subprocess, "Popen", self)
        self.status = status

    def __call__(self, command, env, start_new_session):
        self.command = command
        self.environment = env
        return self

    def wait(self):
        return self.status() if callable(self.status) else self.status

    def send_signal(self, number):
        self.signals.append(number)


def test_a_training_apart_knows_nothing_of_the_processes_here(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "SLURM_PROCID"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WANDB_MODE", "offline")
    command = Apart(monkeypatch, 0)
    train_apart(["--config", "a.yaml"])
    assert command.command[1:] == ["-m", "explainer", "train", "--config", "a.yaml"]
    assert not {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "SLURM_PROCID"} & set(command.environment)
    assert "TORCHELASTIC_RUN_ID" not in command.environment
    assert command.environment["WANDB_MODE"] == "offline"
    assert command.environment[processes.LAUNCHER] == str(os.getpid())


@pytest.mark.parametrize(("status", "error"), [(2, InputError), (1, WorkError), (-9, WorkError), (143, Stopped)])
def test_how_a_training_apart_ends_is_told(monkeypatch, status, error):
    Apart(monkeypatch, status)
    with pytest.raises(error, match=r"a\.yaml|what is missing"):
        train_apart(["--config", "a.yaml"])


def test_a_signal_is_passed_on_to_a_training_apart(monkeypatch):
    def stopped():
        os.kill(os.getpid(), signal.SIGTERM)
        return 143

    command = Apart(monkeypatch, stopped)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped):
        train_apart(["--config", "a.yaml"])
    assert command.signals == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == before


def test_signals_are_passed_on_in_the_main_thread_alone():
    errors = []

    def work():
        try:
            with processes.passing_on(print):
                pass
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors


def test_a_process_ends_with_the_one_that_started_it():
    """Killed, not ended: the second process must not wait for one that is gone."""
    # without PyTorch, whose import takes seconds
    code = """
import os, time
from explainer.stopping import end_with
starter = os.getpid()
if not os.fork():
    end_with(starter)
    print("started", flush=True)
    time.sleep(30)
    print("alone", flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    process.kill()
    # the end of the file comes when nobody holds the stream any more
    assert process.stdout.read() == ""
    process.wait()


def test_one_that_was_started_by_hand_lives_on(monkeypatch):
    monkeypatch.setenv(processes.LAUNCHER, "1" if os.getppid() != 1 else "2")
    monkeypatch.setattr(processes, "end_with", lambda parent: pytest.fail("it must not end"))
    end_with_launcher()
    with launching():
        assert os.environ[processes.LAUNCHER] == str(os.getpid())
    assert os.environ[processes.LAUNCHER] in "12"


@pytest.mark.parametrize("first", [True, False])
def test_the_first_process_alone_trains_what_is_missing(tmp_path, monkeypatch, first):
    monkeypatch.chdir(tmp_path)
    checkpoint = tmp_path / "a.ckpt"
    missing = prerequisites.Prerequisite(checkpoint, "a.yaml", "the explanandum")
    done = []
    monkeypatch.setattr(prerequisites, "prerequisites", lambda cli: [missing])
    monkeypatch.setattr(prerequisites, "first_process", lambda: first)
    monkeypatch.setattr(prerequisites, "has_others", lambda: True)
    monkeypatch.setattr(prerequisites, "train_steps", lambda cli, steps, train: done.append((steps, held(lock))))
    monkeypatch.setattr(prerequisites, "wait_for", lambda path, lock: done.append((path, lock)))
    lock = tmp_path / "runs/.b.first.lock"
    cli = SimpleNamespace(config={}, evaluating=False, folder=tmp_path / "runs/b")
    train_missing(cli, None)
    if first:
        assert done == [([missing], False)], "a process's own lock does not keep it out"
        assert lock.is_file()
    else:
        assert done == [(checkpoint, lock)]


@pytest.mark.parametrize(
    ("devices", "on_three_gpus", "on_a_cpu"),
    [("1", 1, 1), ("4", 4, 4), ("auto", 3, 1), ("-1", 3, 1), ("[0, 2]", 2, 2), ("0,2", 2, 2)],
)
def test_processes_are_counted_however_devices_are_given(devices, on_three_gpus, on_a_cpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    for accelerator, count in (("auto", on_three_gpus), ("cpu", on_a_cpu)):
        config = Namespace(trainer=Namespace(devices=devices, accelerator=accelerator))
        assert process_count(config) == count

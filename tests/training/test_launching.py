"""Trainings in two processes as a person starts them: by Lightning's launcher and by torchrun."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support import tiny_runs
from tests.support.two_processes import callback

DDP = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_runs.classifier_config()
    return tiny_runs.explainer_config("tiny", trainer=tiny_runs.trainer(max_epochs=1, enable_model_summary=False))


def started(*arguments, launcher=(sys.executable,), callbacks=()):
    """Exit status and output of train.py."""
    environment = os.environ | {"PYTHONPATH": str(tiny_runs.ROOT), "OMP_NUM_THREADS": "1"}
    extra = [f"--trainer.callbacks+={json.dumps(c)}" for c in callbacks]
    command = [*launcher, str(tiny_runs.ROOT / "train.py"), *arguments, *extra]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900
    )
    return done.returncode, done.stdout


@pytest.mark.slow
def test_what_is_missing_is_trained_by_the_first_process_and_a_run_ends_and_goes_on(here):
    die = callback("Signal", number=int(signal.SIGKILL), step=2, rank=1)
    status, output = started("--config", here, *DDP, "--resume.every_n_steps", "1", callbacks=[die])
    # either the gradients do not come, or Lightning has seen that its process is gone
    assert status in (1, -signal.SIGKILL), output
    assert "another process of this training has ended" in output or "terminated with code -9" in output
    assert output.count("best checkpoint: checkpoints/tiny_classifier.ckpt") == 1
    assert not Path("checkpoints/tiny.ckpt").exists()
    assert torch.load("runs/tiny/last.ckpt", weights_only=True)["global_step"] == 2
    stop = callback("Signal", number=int(signal.SIGTERM), step=2, rank=0)
    status, output = started("--config", here, *DDP, "--ckpt_path", "last", callbacks=[stop])
    assert status == 128 + signal.SIGTERM, output
    assert output.count("stopped; saved runs/tiny/last.ckpt at step 3") == 1
    assert "error" not in output
    status, output = started("--config", here, *DDP, "--ckpt_path", "last")
    assert status == 0, output
    assert output.count("best checkpoint: checkpoints/tiny.ckpt") == 1
    assert torch.load("checkpoints/tiny.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.slow
def test_under_torchrun_the_others_wait_for_what_is_missing(here):
    status, output = started("--config", here, *DDP, launcher=TORCHRUN)
    assert status == 0, output
    for name in ("tiny_classifier", "tiny"):
        assert output.count(f"best checkpoint: checkpoints/{name}.ckpt") == 1
    assert output.count("a step: 8 images × 2 processes × 1 accumulated = 16 images") == 2
    # one device, two processes: each would take itself for the first
    status, output = started("--config", here, launcher=TORCHRUN)
    assert status != 0
    assert "torchrun has started 2 processes, and the Trainer expects 1" in output


@pytest.mark.slow
def test_an_error_of_one_process_before_the_first_step_ends_all(here):
    status, output = started("--config", "tiny_classifier.yaml", *DDP, callbacks=[callback("OtherImages")])
    assert status in (2, -signal.SIGKILL), output
    assert "do not agree on the train images" in output

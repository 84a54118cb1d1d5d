"""A sample of benchmarks/crash_points.py: whatever was killed, and wherever, ends as if it had not been."""

import os
import subprocess
import sys

import pytest

from tests.support import tiny_runs

SCENARIOS = ("training", "evaluation", "ROAR grid", "layer grid", "variations")


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kills_and_crash_points(scenario):
    script = tiny_runs.ROOT / "benchmarks" / "crash_points.py"
    command = [sys.executable, str(script), "--points", "6", "--kills", "3", "--only", scenario]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[-2:] == ["0", "0"]

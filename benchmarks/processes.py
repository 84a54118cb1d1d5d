"""A training in two processes against the same in one: seconds for the same images, by turns.

Each run is a command of its own; what it takes to start is left out, as are its first steps. On a CPU, one process has
all cores, and several share them.
python benchmarks/processes.py [--config shapes_small_classifier.yaml --processes 2 --batch 64 --steps 40 --pairs 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

HERE = Path(__file__).resolve().parent
WARM = 5
"""Steps before the clock starts: the first ones reserve memory."""


class Clock(pl.Callback):
    """Write down how long the steps took behind the first ones, in the first process.

    Args:
        path: File to write.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.begin = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the clock; the other processes are as far, since gradients are averaged at each step."""
        if trainer.global_step == WARM:
            self.begin = time.perf_counter()
        elif trainer.global_step == trainer.max_steps and trainer.is_global_zero:
            seconds = time.perf_counter() - self.begin
            self.path.write_text(json.dumps(seconds / (trainer.global_step - WARM)))


def seconds_a_step(options: argparse.Namespace, processes: int, folder: Path) -> float:
    """Train for some steps of the same number of images, and return what one of them took.

    Args:
        options: Command-line options.
        processes: Number of processes.
        folder: Folder to run in.
    """
    path = folder / "seconds.json"
    path.unlink(missing_ok=True)
    clock = {"class_path": "processes.Clock", "init_args": {"path": str(path)}}
    arguments = {
        "--config": options.config,
        "--name": f"processes_{processes}",
        "--trainer.accelerator": options.accelerator,
        "--trainer.devices": str(processes),
        "--trainer.strategy": "ddp" if processes > 1 else "auto",
        "--trainer.max_epochs": "-1",
        "--trainer.max_steps": str(options.steps),
        "--trainer.limit_val_batches": "1",
        "--trainer.logger": "false",
        "--trainer.enable_progress_bar": "false",
        "--trainer.callbacks+": json.dumps(clock),
        "--data.init_args.batch_size": str(options.batch // processes),
        "--data.init_args.num_workers": "0",
        "--saliency.every_n_steps": "0",
        "--gallery.images": "0",
    }
    command = [sys.executable, "-m", "explainer", "train"]
    for name, value in arguments.items():
        command += [name, value]
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if not path.is_file():
        sys.exit(f"{done.stdout}{done.stderr}")
    return float(json.loads(path.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="shapes_small_classifier.yaml")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64, help="images a step, in all processes together")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    one, several = [], []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(options.pairs):
            # by turns: what else the machine does reaches both
            one.append(seconds_a_step(options, 1, Path(name)))
            several.append(seconds_a_step(options, options.processes, Path(name)))
            print(f"one process {one[-1]:.3f} s a step, {options.processes} processes {several[-1]:.3f} s", flush=True)
    ratios = [b / a for a, b in zip(one, several, strict=True)]
    print(
        f"a step of {options.batch} images: one process {statistics.median(one):.3f} s, {options.processes} processes "
        f"{statistics.median(several):.3f} s, ratio (median of pairs) {statistics.median(ratios):.2f}, "
        f"from {min(ratios):.2f} to {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()

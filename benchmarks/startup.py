"""How long the commands take to begin: processor seconds of fresh processes, and which libraries they import.

python benchmarks/startup.py [--runs 5] [--checkout FOLDER]

Processor seconds (user and system), the least of several runs: a busy machine adds to them, and takes nothing away.
The floor is what the libraries themselves take: train.py is a LightningCLI, which needs Lightning before it can say
what its options are, and a photograph needs PyTorch, torchvision and the library of its networks.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

LIBRARIES = ("torch", "torchvision", "pytorch_lightning", "torchmetrics", "scipy.signal", "matplotlib", "timm", "wandb",
             "segmentation_models_pytorch", "captum")  # fmt: skip
"""Libraries whose presence is told."""
TELL = f"; import json, sys; print(json.dumps([name for name in {LIBRARIES} if name in sys.modules]))"
IMPORTS = {
    "torch alone": "import torch",
    "Lightning alone": "import pytorch_lightning.cli",
    "timm alone": "import timm",
    "explainer": "import explainer",
    "explainer.networks": "import explainer.networks",
    "explainer.inference": "import explainer.inference",
    "explainer.attribution": "import explainer.attribution",
    "explainer.cli.train": "import explainer.cli.train",
}
"""What is imported, in words → the line that does it."""
COMMANDS = {
    "python -m explainer --help": ["-m", "explainer", "--help"],
    "python -m explainer photo.jpg": ["-m", "explainer", "photo.jpg", "--device", "cpu"],
    "python -m explainer photo.jpg --method SMOE": [
        "-m",
        "explainer",
        "photo.jpg",
        "--device",
        "cpu",
        "--method",
        "SMOE",
    ],
    "train.py --help": ["{checkout}/train.py", "--help"],
}
"""Commands, as a person types them → arguments of Python."""


def processor_seconds(arguments: list[str], checkout: Path, folder: Path) -> tuple[float, str]:
    """Return the processor seconds of a fresh Python, and what it printed."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{arguments} failed: {done.stderr[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def least(arguments: list[str], runs: int, checkout: Path, folder: Path) -> tuple[float, str]:
    """Return the least processor seconds of several runs, and what the last one printed."""
    seconds = []
    for _ in range(runs):
        taken, output = processor_seconds(arguments, checkout, folder)
        seconds.append(taken)
    return min(seconds), output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parent.parent)
    options = parser.parse_args()
    checkout = options.checkout.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.new("RGB", (400, 300), "brown").save(folder / "photo.jpg")
        print("| processor seconds | of | imports |\n| --- | --- | --- |")
        for words, line in IMPORTS.items():
            seconds, output = least(["-c", line + TELL], options.runs, checkout, folder)
            print(f"| {seconds:.2f} | {words} | {', '.join(json.loads(output.splitlines()[-1]))} |", flush=True)
        for words, arguments in COMMANDS.items():
            whole = [argument.format(checkout=checkout) for argument in arguments]
            seconds, _ = least(whole, options.runs, checkout, folder)
            print(f"| {seconds:.2f} | `{words}` | |", flush=True)


if __name__ == "__main__":
    main()

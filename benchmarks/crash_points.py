"""Kill trainings, evaluations, grids and variations wherever they touch a file, go on with them, and compare the end.

    python benchmarks/crash_points.py --points 100 --kills 100

A child of this process, which has imported everything, does a whole command in a folder of its own. It is killed at its
n-th file operation (before it, or with the file half written), or by a signal at a random moment. Then the command is
given again, as a person would, and what it leaves is compared with an uninterrupted command: checkpoints byte by byte,
results but for times, and the names of all files. Prints a table of what came out different, and of what is stuck.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import yaml  # noqa: E402

from explainer.cli.evaluate import evaluate  # noqa: E402
from explainer.cli.terminal import run  # noqa: E402
from explainer.cli.train import train  # noqa: E402
from tests.support import trees  # noqa: E402

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TIMES = {"seconds", "cost", "run", "memory", "started", "config"}
LIMIT = 600
"""Seconds after which a command counts as stuck."""


class Scenario(NamedTuple):
    """A command that is killed.

    Attributes:
        prepare: Writes configs and data into the current folder.
        command: `train` or `evaluate`.
        arguments: Command line.
    """

    prepare: Callable[[], None]
    command: Callable[[list[str]], object]
    arguments: list[str]


def write(name: str, content: dict[str, Any]) -> None:
    """Write a config into the current folder."""
    Path(f"{name}.yaml").write_text(yaml.safe_dump(content))


def classifier(network_width: int = 4, lr: float = 0.02, epochs: int = 4) -> dict[str, Any]:
    """Config of a small classifier whose best epoch is neither the first nor the last."""
    network = {"network": "explainer.networks.small.small_cnn", "network_args": {"width": network_width}}
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": lr}}
    return {
        "model": {"class_path": "Classifier", "init_args": {"explanandum": network, "optimizer": adam}},
        "trainer": {
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "max_epochs": epochs,
            "enable_model_summary": False,
        },
        "saliency": {"every_n_steps": 0},
        "gallery": {"images": 0},
        "resume": {"every_n_steps": 3},
    }


def shapes(**options: Any) -> dict[str, Any]:
    """Config of a small data set that is drawn."""
    sizes = {"image_size": 32, "batch_size": 8, "num_workers": 0, "train_images": 32, "val_images": 8, "test_images": 4}
    return {"class_path": "Shapes", "init_args": sizes | options}


def prepare_training() -> None:
    """A classifier, and nothing before it."""
    write("a", classifier() | {"data": shapes(flip=0.5)})


def prepare_evaluation() -> None:
    """A classifier that is trained, and three methods."""
    methods = {
        "Box": {"class_path": "CentredBox"},
        "Grad-CAM": {"class_path": "GradCAM"},
        "RISE": {"class_path": "RISE", "init_args": {"masks": 8}},
    }
    settings = {"methods": methods, "gallery": 1, "curve_steps": 2, "alpha": 1.0, "limit": 4}
    write("a", classifier(epochs=1) | {"data": shapes(batch_size=2), "evaluation": settings})
    train(["--config", "a.yaml"])


def prepare_grid() -> None:
    """Fashion-MNIST, packed, and a classifier that is not trained yet."""
    grid = {
        "methods": {"SMOE": {"class_path": "SMOE"}},
        "fractions": [0.5],
        "seeds": [0],
        "modes": ["keep", "remove"],
        "workers": 1,
    }
    fashion_configs("roar", {"retraining": grid})


def prepare_layers() -> None:
    """A grid inside the network, which draws random masks too."""
    layers = {"statistics": ["smoe_scale"], "scales": [4], "roar_removes": ["most"], "workers": 1}
    fashion_configs("layers", {"layer_retraining": layers})


def fashion_configs(name: str, grid: dict[str, Any]) -> None:
    """Write the configs of a grid and of its classifier."""
    trees.fashion_tree("fashion")
    data = {"name": "FashionMNIST", "root": "fashion", "batch_size": 8, "num_workers": 0, "image_size": 28}
    common = classifier(epochs=3) | {"data": {"class_path": "SmallImages", "init_args": data}}
    write("first", common)
    write(name, common | {"explanandum_config": "first.yaml"} | grid)


def prepare_variations() -> None:
    """A trained classifier, and a source of variations."""
    infill = {"infill": {"class_path": "RandomColour"}, "count": 2}
    colours = {"class_path": "CompletedVariations", "init_args": infill}
    settings = {
        "sources": {"Colours": colours},
        "alphas": [1.0, 0.5],
        "shown": 2,
        "method": {"class_path": "CentredGaussian"},
    }
    write("a", classifier(epochs=1) | {"data": shapes(), "variations": settings, "evaluation": {"limit": 2}})
    trained = classifier(epochs=1) | {"data": shapes()}
    write("first", trained)
    train(["--config", "first.yaml", "--name", "a"])


SCENARIOS = {
    "training": Scenario(prepare_training, train, ["--config", "a.yaml"]),
    "evaluation": Scenario(prepare_evaluation, evaluate, ["--config", "a.yaml"]),
    "ROAR grid": Scenario(prepare_grid, evaluate, ["--config", "roar.yaml"]),
    "layer grid": Scenario(prepare_layers, evaluate, ["--config", "layers.yaml"]),
    "variations": Scenario(prepare_variations, evaluate, ["--config", "a.yaml"]),
}


class Crash:
    """Ends this process with SIGKILL at its n-th file operation; as an audit hook it sees them all.

    Args:
        number: Of the operation; 0 never.
        torn: Let that operation happen and, if it opened a file for writing, end with half of what was then written.
    """

    def __init__(self, number: int, torn: bool) -> None:
        self.number, self.torn, self.seen, self.here = number, torn, 0, str(Path.cwd())
        self.written: tuple[Path, int] | None = None
        fsync = os.fsync

        def counted(handle: int) -> None:
            self.step(None)
            fsync(handle)

        os.fsync = counted
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple) -> None:
        """Look at an event; Python calls this."""
        if event == "open":
            path, _, flags = args
            if isinstance(path, str | bytes | os.PathLike) and isinstance(flags, int) and flags & WRITING:
                self.step(os.fsdecode(path), appending=not flags & os.O_TRUNC)
        elif event in CHANGES:
            self.step(None if isinstance(args[0], int) else os.fsdecode(args[0]), changed=True)

    def step(self, name: str | None, changed: bool = False, appending: bool = True) -> None:
        """Count one operation; of other folders than the current one none is."""
        path = None if name is None else Path.cwd() / name
        if path is not None and not str(path).startswith(self.here):
            return
        if self.written is not None:
            file, before = self.written
            # truncating is an operation that is seen here, too
            self.written = None
            if file.is_file():
                os.truncate(file, before + max(0, file.stat().st_size - before) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen += 1
        if self.seen != self.number:
            return
        if not self.torn or path is None or changed:
            os.kill(os.getpid(), signal.SIGKILL)
        elif path is not None:
            self.written = path, path.stat().st_size if appending and path.is_file() else 0


class Ended(NamedTuple):
    """How a child ended.

    Attributes:
        status: As `os.waitstatus_to_exitcode` gives it; None: it was stuck, and killed.
        operations: File operations that it counted, if it came to its end.
        seconds: How long it ran.
    """

    status: int | None
    operations: int
    seconds: float


def child(
    folder: Path,
    scenario: Scenario,
    arguments: list[str],
    *,
    number: int = 0,
    torn: bool = False,
    kill: tuple[int, float] | None = None,
) -> Ended:
    """Do a command in a folder, in a process of its own.

    Args:
        folder: Where.
        scenario: Whose command.
        arguments: Command line.
        number: File operation at which it is killed; 0: none.
        torn: As in `Crash`.
        kill: Signal, and seconds after which it is sent.
    """
    start, count = time.monotonic(), folder / ".." / f"{folder.name}.count"
    process = os.fork()
    if process == 0:
        try:
            os.chdir(folder)
            log = os.open(f"../{folder.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            crash = Crash(number, torn)
            status = run(lambda: scenario.command(arguments))
            sys.stdout.flush()
            count.write_text(str(crash.seen))
            os._exit(status)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(99)
    while time.monotonic() - start < LIMIT:
        if kill is not None and time.monotonic() - start > kill[1]:
            os.kill(process, kill[0])
            kill = None
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            seen = int(count.read_text()) if count.exists() else 0
            count.unlink(missing_ok=True)
            return Ended(os.waitstatus_to_exitcode(status), seen, time.monotonic() - start)
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return Ended(None, 0, LIMIT)


def state(folder: Path) -> dict[str, Any]:
    """What a command has left: digests of checkpoints, results without times, names of files."""
    found: dict[str, Any] = {}
    names = set()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.suffix in (".log", ".lock") or re.search(r"\.\d{8}-\d{6}", name):
            continue  # an earlier run that is kept
        names.add(name)
        if path.suffix == ".ckpt":
            found |= {f"{name}: {key}": value for key, value in flat(torch.load(path, weights_only=True))}
            found[f"{name}: bytes"] = path.read_bytes()
        elif path.name == "results.json":
            found[name] = timeless(json.loads(path.read_text()))
        elif path.suffix == ".jsonl":
            found[name] = sorted(json.dumps(timeless(json.loads(line)), sort_keys=True) for line in path.open())
    return found | {"names": sorted(names)}


def flat(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values in a checkpoint, tensors as their bytes, under the keys that lead to them."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from flat(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from flat(value, f"{key}.{number}")
    else:
        yield key, (content.dtype, content.numpy().tobytes()) if isinstance(content, torch.Tensor) else content


def timeless(content: Any) -> Any:
    """A nested value without what differs between two uninterrupted commands."""
    if isinstance(content, dict):
        return {key: timeless(value) for key, value in content.items() if key not in TIMES}
    return [timeless(value) for value in content] if isinstance(content, list) else content


def differences(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Name what differs between two states."""
    found = [key for key in wanted if key != "names" and wanted[key] != got.get(key)]
    found += [f"-{name}" for name in set(wanted["names"]) - set(got["names"])]
    return found + [f"+{name}" for name in set(got["names"]) - set(wanted["names"])]


def again(folder: Path, scenario: Scenario) -> list[str]:
    """The command line with which a person goes on."""
    if scenario.command is not train:
        return scenario.arguments
    begun = any((folder / "runs/a" / name).is_file() for name in ("last.ckpt", "best.ckpt"))
    return [*scenario.arguments, *(["--ckpt_path", "last"] if begun else [])]


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100, help="crash points, in all scenarios together")
    parser.add_argument("--kills", type=int, default=100, help="signals at random moments, in all together")
    parser.add_argument("--only", nargs="*", default=list(SCENARIOS), help="scenarios")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    draw = random.Random(options.seed)
    bad = 0
    print(f"{'scenario':12} {'operations':>10} {'points':>6} {'kills':>6} {'different':>9} {'stuck':>6}", flush=True)
    with tempfile.TemporaryDirectory() as top:
        for name in options.only:
            shares = [-(-count // len(options.only)) for count in (options.points, options.kills)]
            bad += torment(name, Path(top) / name.replace(" ", "_"), *shares, draw)
    return int(bad > 0)


def torment(name: str, folder: Path, points: int, kills: int, draw: random.Random) -> int:
    """Kill one scenario again and again, and print its line.

    Returns:
        How often it came out different or was stuck.
    """
    scenario = SCENARIOS[name]
    start = folder / "start"
    start.mkdir(parents=True)
    prepared = child(start, Scenario(scenario.prepare, prepared_by(scenario), []), [])
    assert prepared.status == 0, (folder / "start.log").read_text()
    shutil.copytree(start, folder / "whole")
    whole = child(folder / "whole", scenario, scenario.arguments)
    assert whole.status == 0, (folder / "whole.log").read_text()
    wanted = state(folder / "whole")
    every = range(1, whole.operations + 1)
    chosen = [every[i * len(every) // points] for i in range(points)] if points < len(every) else list(every)
    ways = [{"number": number, "torn": bool(n % 2)} for n, number in enumerate(chosen)]
    signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    ways += [{"kill": (signals[n % 3], draw.uniform(0, whole.seconds))} for n in range(kills)]
    different = stuck = 0
    for n, way in enumerate(ways):
        place = folder / str(n)
        shutil.copytree(start, place)
        child(place, scenario, scenario.arguments, **way)
        resumed = child(place, scenario, again(place, scenario))
        if resumed.status != 0:
            stuck += 1
            print(f"  {name} {way}: stuck: {last_line(folder / f'{n}.log')}", flush=True)
        elif found := differences(wanted, state(place)):
            different += 1
            print(f"  {name} {way}: different: {found}", flush=True)
        shutil.rmtree(place)
    print(f"{name:12} {whole.operations:10} {len(chosen):6} {kills:6} {different:9} {stuck:6}", flush=True)
    return different + stuck


def prepared_by(scenario: Scenario) -> Callable[[list[str]], None]:
    """The preparation of a scenario as a command."""
    return lambda arguments: scenario.prepare()


def last_line(path: Path) -> str:
    """The last line of a log."""
    lines = path.read_text(errors="replace").strip().splitlines() if path.is_file() else []
    return lines[-1] if lines else ""


if __name__ == "__main__":
    sys.exit(main())

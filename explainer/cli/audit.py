"""What `explainer audit` does: the masks of a whole data set, and what they tell of shortcuts."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from explainer.audit.masks import ExplainerMasks, MethodMasks
from explainer.audit.page import what
from explainer.audit.run import Audited, AuditSettings, Subject, Telling, audit
from explainer.audit.scan import ScanSettings
from explainer.audit.sources import Source, folder_source, module_source
from explainer.audit.suspicions import LEVEL
from explainer.cli.parser import ExplainerCLI
from explainer.cli.terminal import mute, say
from explainer.errors import InputError, plain_words, working
from explainer.files import alone, digest, for_terminal, make_writable
from explainer.inference.by_method import build_method, has_published_weights, side_of
from explainer.inference.explain import Explainer
from explainer.networks import Explanandum
from explainer.networks.devices import choose_device

_CONFIGS = {".yaml", ".yml"}
_LINES = 12
"""Suspicions in the table of the terminal, at most."""


def audit_data(options: argparse.Namespace) -> dict[str, Any]:
    """Audit the data that a command line names.

    Args:
        options: Options of the command line.

    Returns:
        Images that could not be read, under "failed".

    Raises:
        InputError: The data, a checkpoint or the method cannot be used.
    """
    subject = subject_of(options)
    versus = None
    if options.versus is not None:
        versus = explained_by_explainer(options.versus, options)
    source = source_of(options, subject)
    if source.remark:
        say(source.remark)
    out = make_writable(options.out, "name another folder with --out")
    settings = AuditSettings(
        ScanSettings(
            batch_size=options.batch_size,
            limit=options.limit,
            masked=options.masked,
            seed=options.seed,
        )
    )
    with alone(out / ".lock", str(out)), working(f"what is done is in {out}, and the same command goes on from there"):
        with _Told() as told:
            results = audit(source, subject, out, settings, versus, told.telling())
        show(results, out)
    return {"failed": results.scan.faults}


def subject_of(options: argparse.Namespace) -> Subject:
    """Return the classifier that is audited, with what explains it.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The checkpoint, the network or the method cannot be used.
    """
    if options.method is None:
        return explained_by_explainer(options.ckpt_path, options)
    method = build_method(options.method, {})
    device = choose_device(options.device)
    name = type(method).__name__
    facts: dict[str, Any] = {"method": name}
    if options.network is None:
        explainer = Explainer(options.ckpt_path, device, options.allow)
        explanandum = explainer.explanandum
        side = explainer.image_size
        title = options.ckpt_path.stem
        facts["checkpoint"] = _checkpoint(explainer.path)
    else:
        weights = options.weights
        if weights == "DEFAULT" and not has_published_weights(options.network):
            weights = None
        explanandum = Explanandum(options.network, weights=weights, allow=options.allow).to(device)
        side = side_of(explanandum)
        title = Path(options.network).stem
        facts["network"] = options.network
        for key, value in (("network", options.network), ("weights", weights)):
            if value is not None and Path(value).is_file():
                facts[key] = _checkpoint(Path(value))
            elif value is not None:
                facts[key] = value
    return Subject(MethodMasks(explanandum, method, side, options.threshold), title, name, facts)


def explained_by_explainer(path: Path, options: argparse.Namespace) -> Subject:
    """Return the classifier of an Explainer's checkpoint, explained by it.

    Args:
        path: Checkpoint.
        options: Options of the command line.
    """
    explainer = Explainer(path, options.device, options.allow)
    facts = {"checkpoint": _checkpoint(explainer.path)}
    return Subject(ExplainerMasks(explainer, options.threshold), path.stem, "its Explainer", facts)


def _checkpoint(path: Path) -> str:
    """Return a file's name, with the beginning of its digest, by which another one of the same name is told."""
    return f"{path.name} ({digest(path)[:16]})"


def source_of(options: argparse.Namespace, subject: Subject) -> Source:
    """Return the images that are audited.

    Args:
        options: Options of the command line.
        subject: Classifier that is audited.

    Raises:
        InputError: There are no such images, or they are of other classes.
    """
    data: Path = options.data
    if data.suffix.lower() not in _CONFIGS or data.is_dir():
        masks = subject.masks
        return folder_source(data, masks.classes, masks.image_size, masks.explanandum.channels, options.workers)
    command = ExplainerCLI(["--config", str(data)], evaluating=True)
    command.build()
    if command.datamodule is None:
        raise InputError(f"{data} names no data set: give a config with a block data, or a folder")
    return module_source(command.datamodule, options.split, subject.masks.classes, options.workers)


class _Told:
    """Shows bars where a person is at a terminal, and says which images cannot be read."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        # on stderr: what is piped on is the table alone
        self.bars = Progress(console=console, disable=not console.is_terminal)
        self.steps: dict[str, Any] = {}

    def __enter__(self) -> "_Told":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def telling(self) -> Telling:
        """Return what the work tells."""
        return Telling(self._progress, self._refused)

    def _progress(self, step: str, done: int, of: int) -> None:
        if step not in self.steps:
            self.steps[step] = self.bars.add_task(for_terminal(step), total=of)
        self.bars.update(self.steps[step], completed=done)

    def _refused(self, name: str, words: str) -> None:
        say(f"error: {words}")


def show(results: Audited, out: Path) -> None:
    """Print the suspicions, and where the files are.

    Args:
        results: Results of the audit.
        out: Folder of the files.
    """
    table = Table("class", "what", "score", "recurs", "alike", "turns", "small", "off object", "p", "raised")
    for one in results.suspicions[:_LINES]:
        off_object = "–" if one.on_object is None else f"{1 - one.on_object:.2f}"
        factors = (one.recurs, one.alike, one.turns, one.small)
        bound = "≤ " if one.tried is None else ""
        numbers = [f"{bound}{one.score:.2f}", *("–" if value is None else f"{value:.2f}" for value in factors)]
        raised = "yes" if one.raised else "no"
        table.add_row(for_terminal(one.of_class[:40]), what(one), *numbers, off_object, f"{one.p:.3f}", raised)
    raised_count = sum(one.raised for one in results.suspicions)
    words = "no suspicion is raised" if not raised_count else f"raised: {raised_count}"
    fates = []
    if results.second is not None:
        for entry in results.second.fates:
            verb = {"stays": "stays", "gone": "is gone", "new": "is new"}[entry.fate]
            fates.append(f"{results.second.name}: {entry.suspicion.of_class}, {what(entry.suspicion)}, {verb}")
    try:
        Console(width=None if sys.stdout.isatty() else 120).print(table)
        for line in [f"{words} (score {LEVEL} or more)", *fates, f"written to {out}: {results.page.name}"]:
            print(for_terminal(line), flush=True)
    except (OSError, ValueError) as error:
        mute(sys.stdout)
        say(f"error: cannot print the table ({plain_words(error)}); the results are in {out}")

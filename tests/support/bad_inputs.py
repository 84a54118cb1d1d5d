"""Runs a command on a bad input as a person would, in this process, and says what came of it."""

import re
import resource
import signal
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch

import explainer
from explainer.__main__ import main
from explainer.cli.evaluate import evaluate
from explainer.cli.terminal import report_error, run
from explainer.cli.train import train
from tests.support import tiny_runs
from tests.support.small_checkpoints import save_classifier, save_explainer
from tests.support.trees import photo

SHAPES = ("stripes", "checks", "dots", "rings", "zigzags", "rays")
KEPT = ("runs/tiny_classifier/best.ckpt", "checkpoints/other.ckpt", "results/kept/rows.jsonl")
"""Files of earlier work, which no bad input may move or change."""


def earlier_work():
    """Leave the files of `KEPT` in the current folder."""
    for name in KEPT:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"earlier work")


@contextmanager
def bounded(seconds=60, gibibytes=4):
    """Let neither time nor memory run away: what hangs, or takes the machine's memory, fails its own test only."""

    def stop(*_):
        raise AssertionError(f"still running after {seconds} seconds")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    alarm = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (gibibytes << 30), before[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        resource.setrlimit(resource.RLIMIT_AS, before)


def status_of(command):
    """Exit status, what was printed, and the error lines of a command that is run for a person."""
    out, err = StringIO(), StringIO()
    with bounded(), redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = run(command)
    said = out.getvalue() + err.getvalue()
    return status, said, [line for line in err.getvalue().splitlines() if line.startswith("error: ")]


def refused(command, words, status=2):
    """Assert that a command ends in one clear line that holds `words`, and that nothing of earlier work is lost."""
    earlier_work()
    code, said, errors = status_of(command)
    assert "Traceback" not in said
    assert "not foreseen" not in said, errors
    assert len(errors) == 1, said[-2000:]
    assert re.search(words, errors[0], re.IGNORECASE), errors[0]
    assert len(errors[0]) < 700
    assert code == status, (code, errors[0])
    for name in KEPT:
        assert Path(name).read_bytes() == b"earlier work", f"{name} is lost"


def trains(*arguments, config=None):
    """A training of the tiny classifier."""
    return lambda: train(["--config", config or tiny_runs.classifier_config(), *arguments])


def trains_on(data, **options):
    """A training of the tiny classifier on other data."""
    settings = {"image_size": 32, "batch_size": 4, "num_workers": 0} | options
    config = tiny_runs.classifier_config(data={"class_path": data, "init_args": settings})
    return lambda: train(["--config", config])


def evaluates(*arguments, config=None, checkpoint=True):
    """An evaluation of a tiny Explainer's checkpoint."""
    if checkpoint:
        Path("checkpoints").mkdir(exist_ok=True)
        save_explainer(Path("checkpoints/tiny.ckpt"), SHAPES)
        save_classifier(Path("checkpoints/tiny_classifier.ckpt"), SHAPES)
    quick = ["--evaluation.images.limit=2", "--evaluation.report.gallery=0", "--evaluation.report.page=false"]
    return lambda: evaluate(["--config", config or tiny_runs.explainer_config(), *quick, *arguments])


def explains(*arguments, checkpoint=None):
    """`python -m explainer` on one photograph and what else is given."""
    path = checkpoint or save_explainer(Path("x.ckpt"))
    photo(Path("good.png"))

    def command():
        status = main(["--ckpt_path", str(path), "--device", "cpu", *arguments])
        raise SystemExit(status)

    return command


def loads(change):
    """`explainer.load` of a checkpoint that `change` has tampered with; an error's status is the command line's."""
    path = Path(save_explainer(Path("x.ckpt")))
    content = torch.load(path, weights_only=True)
    changed = change(content)
    torch.save(content if changed is None else changed, path)

    def command():
        try:
            explainer.load(path, "cpu")
        except Exception as error:
            raise SystemExit(report_error(error)) from None

    return command

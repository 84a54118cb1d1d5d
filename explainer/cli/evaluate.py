"""What evaluate.py does, and the one place where an error becomes a line."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lightning_fabric.utilities.exceptions import MisconfigurationException

from explainer.cli.parser import RESULTS, ExplainerCLI, retrains
from explainer.cli.prerequisites import explanandum_of, train_missing
from explainer.cli.terminal import mute, open_streams, say
from explainer.cli.train import quieten, train
from explainer.errors import InputError, WorkError, input_error, is_refusal, one_line, plain_words, working
from explainer.evaluation.context import Context, trusted
from explainer.evaluation.run import score_methods
from explainer.files import alone, make_writable, sweep
from explainer.stopping import exit_status, heeding_sigterm, last_words
from explainer.training.runs import CHECKPOINTS

SHOW_TRACEBACK = "EXPLAINER_TRACEBACK"
"""Environment variable: when it is set, errors come with Python's traceback, for those who look into the project."""


def evaluate(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Evaluate a checkpoint on a split: table, results.json, pictures, report.html; or run a grid, or variations.

    Args:
        args: Command-line arguments; None takes the process's. `--ckpt_path` is checkpoints/<name>.ckpt by default.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
        WorkError: The disk or the memory failed in the course of it.
    """
    quieten()
    cli = ExplainerCLI(args, evaluating=True)
    train_missing(cli, train)
    cli.build()
    out = results_folder(cli)
    with alone(out / ".lock", str(out)), working(f"what is done is kept in {out}, and the command goes on from there"):
        sweep(out, deep=True)
        context = context_of(cli, out)
        if cli.experiment is not None:
            return cli.experiment.run(context)
        return dict(score_methods(context))


def context_of(cli: ExplainerCLI, out: Path) -> Context:
    """What an evaluation or an experiment is handed.

    Args:
        cli: Built.
        out: Folder of the results.

    Raises:
        InputError: An experiment that retrains is not told whose maps it is about.
    """
    config = cli.config.as_dict()
    checkpoint = CHECKPOINTS / f"{cli.name}.ckpt"
    if cli.config.ckpt_path:
        checkpoint = Path(cli.config.ckpt_path)
    elif retrains(cli.config):
        of_explanandum = explanandum_of(cli)
        if not of_explanandum:
            raise InputError("a retraining grid needs explanandum_config, or --ckpt_path: whose maps are judged")
        (checkpoint,) = of_explanandum
    return Context(
        name=cli.name,
        out=out,
        settings=cli.evaluation,
        data=cli.datamodule,
        config=config,
        checkpoint=checkpoint,
        explanandum=cli.explanandum or getattr(cli.model, "explanandum", None),
        allow=trusted(config),
        train=train,
    )


def results_folder(cli: ExplainerCLI) -> Path:
    """Make the folder of the results, and try whether it can be written.

    Args:
        cli: Holds the config.

    Returns:
        The folder.

    Raises:
        InputError: It cannot be made or written.
    """
    out = Path(cli.config.evaluation.out or RESULTS / cli.name)
    return make_writable(out, "name another folder for the results with --evaluation.out")


def run(command: Callable[[], object]) -> NoReturn:
    """Run a command for a person: every error is one line; exit status 2 before the work, 1 after it.

    Ctrl-C ends with status 130, SIGTERM with 143.

    Args:
        command: `train` or `evaluate`; what it returns may name failures under "failed": exit status 1.

    Raises:
        SystemExit: Always.
    """
    streams_are_open = open_streams()
    try:
        with heeding_sigterm():
            results = command()
        # images that failed are in the results, and the command went on past them: a script has to see it all the same
        status = int(isinstance(results, dict) and bool(results.get("failed")))
    except SystemExit as error:
        status = status_of(error)
    except KeyboardInterrupt as error:
        say(last_words(error))
        status = exit_status(error)
    except Exception as error:
        status = explain(error)
    if streams_are_open:
        status = flushed(status)
    sys.exit(status)


def status_of(error: SystemExit) -> int:
    """Return the exit status that Python itself would give: 0 for none, 1 for a text, which it prints.

    Args:
        error: Exit that the command asked for, such as argparse after `--help`.

    Example:
        >>> status_of(SystemExit()), status_of(SystemExit(2)), status_of(SystemExit("no"))
        (0, 2, 1)
    """
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


def explain(error: Exception) -> int:
    """Print what went wrong in one line.

    Args:
        error: What the command raised.

    Returns:
        Exit status: 2 when something given cannot be used, 1 when the work failed.
    """
    if os.environ.get(SHOW_TRACEBACK):
        traceback.print_exception(error)
    # it may lie below what a library made of it: the parser, the loader's workers
    refusal = input_error(error)
    if refusal is not None:
        say(f"error: {refusal}")
        return 2
    if isinstance(error, WorkError):
        say(f"error: {error}")
        return 1
    if isinstance(error, MisconfigurationException):
        say(f"error: the Trainer refuses its settings: {one_line(error).partition(': ')[2]}")
        return 2
    if is_refusal(error):
        say(f"error: {plain_words(error)}")
        return 2
    say(f"error: {one_line(error)} (not foreseen; {SHOW_TRACEBACK}=1 shows where)")
    return 1


def flushed(status: int) -> int:
    """Send what is left of the output; where nobody takes it, the results are on the disk all the same.

    Args:
        status: Of the command so far.

    Returns:
        The exit status.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        mute(sys.stdout)
        say("error: the output could not be written; the results are on the disk")
        return status or 1
    return status

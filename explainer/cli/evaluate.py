"""What evaluate.py does: one evaluation or experiment, from its config to its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from explainer.cli.including import read_config
from explainer.cli.parser import ExplainerCLI, retrains
from explainer.cli.prerequisites import explanandum_of, train_missing
from explainer.cli.reading import find_config
from explainer.cli.train import quieten, train
from explainer.errors import InputError, working
from explainer.evaluation.context import Context, trusted
from explainer.evaluation.run import score_methods
from explainer.files import alone, make_writable, sweep
from explainer.training.runs import CHECKPOINTS


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
    if cli.experiment is not None:
        cli.experiment.check(out)
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
        read_config=lambda name: read_config(find_config(name)),
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
    return make_writable(cli.out, "name another folder for the results with --evaluation.out")

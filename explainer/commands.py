"""What evaluate.py does."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from explainer.cli import ExplainerCLI
from explainer.errors import InputError
from explainer.infilling import compare_infills
from explainer.layer_retraining import retrain_layers
from explainer.retraining import retrain
from explainer.scoring import score_methods
from explainer.subject import trusted
from explainer.training import quieten, train
from explainer.varying import vary


def evaluate(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Evaluate a checkpoint on a split: table, results.json, pictures, report.html; or run a grid, or variations.

    Args:
        args: Command-line arguments; None takes the process's. `--ckpt_path` is checkpoints/<name>.ckpt by default.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
    """
    quieten()
    cli = ExplainerCLI(args, train, evaluating=True)
    if cli.retraining.methods:
        return retrain(cli, trusted(cli.config))
    if cli.layer_retraining.statistics:
        return retrain_layers(cli, trusted(cli.config))
    if cli.variations.sources:
        return vary(cli)
    if cli.infills.fills:
        return compare_infills(cli)
    return score_methods(cli)


def run(command: Callable[[], object]) -> None:
    """Run a command for a person: input errors in one line, without a traceback; exit status 2.

    Args:
        command: `train` or `evaluate`; what it returns may name failures under "failed": exit status 1.
    """
    try:
        done = command()
        if isinstance(done, dict) and done.get("failed"):
            sys.exit(1)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; what is done is kept, and the command goes on from there", file=sys.stderr)
        sys.exit(130)

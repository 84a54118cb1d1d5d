"""What evaluate.py does."""

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from explainer.attribution import Attribution, CentredBox, Constant, Explainer, GradCAM
from explainer.cli import CHECKPOINTS, ExplainerCLI
from explainer.errors import InputError
from explainer.evaluation.settings import Evaluation
from explainer.infilling import compare_infills
from explainer.layer_retraining import retrain_layers
from explainer.networks import Explanandum
from explainer.networks.checkpoint import read_checkpoint
from explainer.retraining import retrain
from explainer.scoring import score_methods
from explainer.training import quieten


def evaluate(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Evaluate a checkpoint on a split: table, results.json, per_image.csv, gallery.png; or run a retraining grid.

    Args:
        args: Command-line arguments; None takes the process's. `--ckpt_path` is checkpoints/<name>.ckpt by default.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
    """
    quieten()
    cli = ExplainerCLI(args)
    if cli.retraining.methods:
        return retrain(cli, trusted(cli.config))
    if cli.layer_retraining.statistics:
        return retrain_layers(cli, trusted(cli.config))
    explanandum, methods, digest = subject(cli)
    if cli.infills.fills:
        return compare_infills(cli, explanandum, digest)
    return score_methods(cli, explanandum, methods, digest)


def trusted(config: Any) -> list[str]:
    """Packages that a config vouches for: those it allows, and the one its own explanandum comes from.

    Args:
        config: Of a run; without a model it vouches for none.

    Returns:
        Names for `allow`.
    """
    explanandum = config.get("model.init_args.explanandum")
    settings = {} if explanandum is None else explanandum.get("init_args", explanandum)
    return [*(settings.get("allow") or []), str(settings.get("network", "")).split(".")[0]]


def chosen_methods(settings: Evaluation, path: Path, kind: str, allow: Sequence[str] = ()) -> dict[str, Attribution]:
    """The checkpoint's Explainer, if it is one, and the methods asked for.

    Args:
        settings: Of the evaluation.
        path: The checkpoint.
        kind: What it holds.
        allow: Packages whose callables the checkpoint may name.

    Returns:
        Name → method.
    """
    references: dict[str, Attribution] = {
        "Grad-CAM": GradCAM(), "Constant 0": Constant(0.0), "Constant 0.5": Constant(0.5), "Constant 1": Constant(1.0),
        "Centred box": CentredBox(),
    }  # fmt: skip
    own: dict[str, Attribution] = {"Explainer": Explainer(str(path), allow=allow)} if kind == "explainer" else {}
    return own | (references if settings.methods is None else settings.methods)


def subject(cli: ExplainerCLI) -> tuple[Explanandum, dict[str, Attribution], str]:
    """What is evaluated: a checkpoint, or a classifier as its config builds it.

    Args:
        cli: Holds the config.

    Returns:
        The classifier, the methods, and a digest of the weights.

    Raises:
        InputError: The checkpoint is for another image size, or the config has no classifier.
    """
    settings: Evaluation = cli.evaluation
    if settings.as_it_is:
        explanandum = getattr(cli.model, "explanandum", None)
        if explanandum is None:
            raise InputError("evaluation.as_it_is explains the classifier of the config's model, which has none")
        explanandum.freeze()
        digest = hashlib.sha256()
        for name, value in explanandum.state_dict().items():
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return explanandum, chosen_methods(settings, Path(), "classifier"), digest.hexdigest()
    path = Path(cli.config.ckpt_path or CHECKPOINTS / f"{cli.name}.ckpt")
    spec, _ = read_checkpoint(path)
    if cli.datamodule.image_size != spec["image_size"]:
        wanted, given = spec["image_size"], cli.datamodule.image_size
        raise InputError(f"{path} was trained at {wanted} pixels, the data is at {given}")
    allow = trusted(cli.config)
    methods = chosen_methods(settings, path, spec["kind"], allow)
    return Explanandum(str(path), allow=allow), methods, hashlib.sha256(path.read_bytes()).hexdigest()


def run(command: Callable[[], object]) -> None:
    """Run a command for a person: input errors in one line, without a traceback; exit status 2.

    Args:
        command: `train` or `evaluate`.
    """
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; what is done is kept, and the command goes on from there", file=sys.stderr)
        sys.exit(130)

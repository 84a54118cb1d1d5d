"""The work of `train.py --search`: trainings with other settings, and what was found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse._util import import_object
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from explainer.cli.parser import ExplainerCLI
from explainer.cli.rehearsal import process_count
from explainer.errors import InputError, WorkError, is_refusal, one_line, working
from explainer.evaluation.results.kendall import tau_b
from explainer.files import replacing
from explainer.training.runs import RUNS, alone_in, by_class, digests, what_matters
from explainer.training.searching.results import (
    BEST,
    PICTURE,
    SWEEP,
    TABLE,
    draw,
    short_name,
    sweep_of,
    write_best,
    write_sweep,
    write_table,
)
from explainer.training.searching.settings import Range, Search
from explainer.training.searching.study import Study, Trial, Tried
from explainer.training.searching.watching import Watching

TrainTrial = Callable[[Sequence[str], Sequence[Callback]], object]
"""Arguments of train.py, and callbacks of the training → one training, which publishes nothing."""
KNOWN = "val/iou"
"""Logged value that needs a segmentation: it is shown beside the criterion, and never decides."""
_WIDTH = 10.0
"""How far the default ranges go, up and down, from what the config has."""
_RATE = "model.init_args.optimizer.init_args.lr"
_OBJECTIVE = "model.init_args.objective"
_SHOWN = 10
"""Trials in the printed table, the best ones."""
_FEWEST = 3
"""Trainings below which an order says nothing."""
_WITH_TRUTH = ("acc", "mae", "sal")
"""Logged values that need a segmentation, as the overlap does: they are no criterion."""


def search(cli: ExplainerCLI, train: TrainTrial) -> None:
    """Search for the settings of a training; each trial is one training, and a stopped search goes on.

    Args:
        cli: Parsed, not built; what its config needs is there.
        train: Trains one trial.

    Raises:
        InputError: Something given cannot be used, or no training came through.
        Stopped: Ctrl-C, or SIGTERM.
    """
    settings: Search = cli.built(Namespace(search=cli.config.search)).search
    check_whole(cli)
    space = settings.space or default_space(cli)
    check_space(cli, space)
    settings = with_criterion(cli, settings)
    criterion = str(settings.criterion)
    folder = RUNS / f"{cli.name}_search"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(folder), working(f"what is done is in {folder}, and the same command goes on from there"):
        study = Study(folder, settings, space, {"criterion": criterion} | trained_alike(cli, settings))
        write_sweep(folder / SWEEP, sweep_of(config_of(cli), settings, space, criterion))
        study.begin_with({name: float(cli.config.get(name)) for name in space})
        while len(study.tried()) < settings.trials:
            run_trial(cli, study, study.ask(), train)
            report(folder, study, cli.name)
        show(folder, study, cli.name)


def config_of(cli: ExplainerCLI) -> str:
    """Return the config as it was typed, which another machine finds too where it is a bare name."""
    words = cli.arguments
    for place, word in enumerate(words[:-1]):
        if word in ("-c", "--config"):
            return words[place + 1]
    return str(cli.config.config[0])


def check_whole(cli: ExplainerCLI) -> None:
    """Refuse what has no meaning for a search.

    Args:
        cli: Parsed.

    Raises:
        InputError: Names the option.
    """
    if not cli.config.config:
        raise InputError("--search needs a --config, of whose training it tries other settings")
    if cli.config.ckpt_path is not None:
        raise InputError("--search goes on by itself where it was stopped: leave out --ckpt_path")
    if cli.config.trainer.fast_dev_run:
        raise InputError(
            "--search compares whole trainings: leave out trainer.fast_dev_run; search.epochs makes them short"
        )
    if process_count(cli.config) > 1:
        raise InputError("--search trains in one process: set trainer.devices to 1")


def default_space(cli: ExplainerCLI) -> dict[str, Range]:
    """Return ranges around the weights of the objective and the learning rate that the config has.

    Args:
        cli: Parsed.

    Raises:
        InputError: The config has neither.
    """
    space = {}
    objective = cli.config.get(_OBJECTIVE)
    if objective is not None:
        kind = import_object(objective.class_path)
        weights = kind(**objective.init_args.as_dict()).weights
        for term, weight in weights.items():
            # only ratios of weights matter to the masks; what has no weight was left out by intent
            if term != kind.relative_to and weight > 0:
                space[f"{_OBJECTIVE}.init_args.{term}"] = Range(weight / _WIDTH, weight * _WIDTH)
    rate = cli.config.get(_RATE)
    if isinstance(rate, float) and rate > 0:
        space[_RATE] = Range(rate / _WIDTH, rate * _WIDTH)
    if not space:
        raise InputError(f"{cli.name} has no objective and no learning rate: name what to search in search.space")
    return space


def check_space(cli: ExplainerCLI, space: Mapping[str, Range]) -> None:
    """Refuse settings that the config has not, or that cannot have the ends of their range.

    Args:
        cli: Parsed.
        space: Setting → range.

    Raises:
        InputError: Names the setting.
    """
    for name in space:
        value = cli.config.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"search.space: {name} is no number of this config, from which the search could begin")
    for end in ("low", "high"):
        ends = [f"--{name}={getattr(limits, end)}" for name, limits in space.items()]
        cli.parsed([*cli.arguments, *ends])


def with_criterion(cli: ExplainerCLI, settings: Search) -> Search:
    """Return the settings with the value that decides.

    Args:
        cli: Parsed.
        settings: Settings, which may name it.
    """
    if settings.criterion is not None:
        return settings
    module = import_object(cli.config.model.class_path)
    if module.kind == "explainer":
        return replace(settings, criterion="val/essence", higher_is_better=True)
    return replace(settings, criterion=module.monitor, higher_is_better=module.monitor_mode == "max")


def trained_alike(cli: ExplainerCLI, settings: Search) -> dict[str, Any]:
    """Return what all trials have in common: their results can only be compared as long as it stays.

    Args:
        cli: Parsed.
        settings: Settings of the search.
    """
    config = cli.config.as_dict()
    return {"config": by_class(what_matters(config)), "files": digests(config), "epochs": settings.epochs}


def run_trial(cli: ExplainerCLI, study: Study, trial: Trial, train: TrainTrial) -> None:
    """Train with the settings of a trial, and note what came of it.

    Args:
        cli: Parsed.
        study: Study of the search.
        trial: Trial to run.
        train: Trains it.

    Raises:
        Exception: The very first training failed, or the machine refused: more trials would fail, too.
    """
    criterion = str(study.search.criterion)
    watching = Watching(criterion, trial.behind)
    words = ", ".join(f"{short_name(name)} {value:.3g}" for name, value in trial.settings.items())
    rank_zero_info(f"training {len(study.tried()) + 1} of {study.search.trials}: {words}")
    arguments = [
        *cli.arguments,
        "--search.run=false",
        "--ckpt_path=auto",
        f"--name={training_name(cli.name, trial.number)}",
        *(f"--{name}={value}" for name, value in trial.settings.items()),
    ]
    if study.search.epochs is not None:
        arguments.append(f"--trainer.max_epochs={study.search.epochs}")
    try:
        train(arguments, [watching])
    except Exception as error:
        if is_refusal(error) or isinstance(error, WorkError) or not study.tried():
            raise
        rank_zero_info(f"this training failed: {one_line(error)}")
        trial.fail(one_line(error))
        return
    trial.finish(watching.validations, criterion, watching.ended)


def training_name(name: str, number: int) -> str:
    """Return the name of a training of a search, which is that of its folder, too.

    Args:
        name: Name of the run that is searched.
        number: Number of the training.

    Example:
        >>> training_name("voc_lite0", 7)
        'voc_lite0_search/training_007'
    """
    return f"{name}_search/training_{number:03d}"


def report(folder: Path, study: Study, name: str) -> None:
    """Write down what is known so far, and remove the checkpoints of trainings that are not the best.

    Args:
        folder: Folder of the search.
        study: Study of the search.
        name: Name of the run.
    """
    criterion = str(study.search.criterion)
    trials = study.tried()
    write_table(folder / TABLE, trials, criterion)
    best = study.best()
    if best is None:
        return
    write_best(folder / BEST, name, best, criterion)
    known = KNOWN if any(KNOWN in trial.logged for trial in trials) else None
    with replacing(folder / PICTURE) as partial:
        draw(trials, study.space, criterion, known).savefig(partial, format="png", dpi=120)
    for trial in trials:
        if trial.number != best.number:
            for checkpoint in (RUNS / training_name(name, trial.number)).glob("*.ckpt"):
                checkpoint.unlink()


def show(folder: Path, study: Study, name: str) -> None:
    """Print the best trials, what their criterion has to do with the overlap, and how to train with the best.

    Args:
        folder: Folder of the search.
        study: Study of the search.
        name: Name of the run.

    Raises:
        InputError: No training came through.
    """
    criterion = str(study.search.criterion)
    trials = study.tried()
    measured = [trial for trial in trials if trial.value is not None]
    if not measured:
        raise InputError(f"{name}: no training came through; {folder / TABLE} has their errors")
    has_overlap = any(KNOWN in trial.logged for trial in measured)
    caption = "* the config's own settings"
    table = Table(title=f"{name}: the best of {len(trials)} trainings", caption=caption, box=SIMPLE, padding=(0, 1))
    for heading in ("training", *map(short_name, study.space), criterion, *([KNOWN] if has_overlap else [])):
        table.add_column(heading, justify="right", overflow="fold")
    ordered = sorted(measured, key=lambda trial: trial.logged[criterion], reverse=study.search.higher_is_better)
    for trial in ordered[:_SHOWN]:
        settings = [f"{trial.settings[setting]:.3g}" for setting in study.space]
        overlap = [f"{trial.logged.get(KNOWN, float('nan')):.3f}"] if has_overlap else []
        mark = "*" if trial is trials[0] else ""
        table.add_row(f"{mark}{trial.number}", *settings, f"{trial.logged[criterion]:.4f}", *overlap)
    console = Console()
    console.print(table)
    if has_overlap:
        for line in agreement(measured):
            console.print(line)
    console.print(f"trials: {folder / TABLE}; picture: {folder / PICTURE}; the same for wandb: {folder / SWEEP}")
    console.print(f"to train with the best, add: --config {folder / BEST}")


def agreement(trials: Sequence[Tried]) -> list[str]:
    """Say how far each logged value puts the trainings in the order of the overlap, which took no part.

    Args:
        trials: Trials with a value.

    Returns:
        A line with Kendall's τ of each value; none with fewer than three whole trainings.
    """
    whole = [trial for trial in trials if not trial.ended and KNOWN in trial.logged]
    if len(whole) < _FEWEST:
        return []
    overlap = torch.tensor([[trial.logged[KNOWN] for trial in whole]])
    words = []
    for name in sorted(whole[0].logged):
        if name == KNOWN or name.removeprefix("val/") in _WITH_TRUTH:
            continue
        values = torch.tensor([[trial.logged.get(name, float("nan")) for trial in whole]])
        words.append(f"{name} {tau_b(values, overlap).item():+.2f}")
    return [f"Kendall's τ with {KNOWN} over {len(whole)} whole trainings: {', '.join(words)}"]

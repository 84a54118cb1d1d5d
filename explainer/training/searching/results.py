"""What a search leaves behind: a table of its trials, the best settings as a config, a picture, a sweep of W&B."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from explainer.files import write_text
from explainer.training.searching.settings import Range, Search
from explainer.training.searching.study import Tried

TABLE = "trials.csv"
BEST = "best.yaml"
PICTURE = "trials.png"
SWEEP = "sweep.yaml"
_COLUMNS = 3
"""Panels of the picture beside each other."""


def short_name(setting: str) -> str:
    """Return the last word of a setting, as a heading.

    Args:
        setting: Setting, as on the command line.

    Example:
        >>> short_name("model.init_args.objective.init_args.tv")
        'tv'
    """
    return setting.rpartition(".")[2]


def nested(settings: Mapping[str, float]) -> dict[str, Any]:
    """Turn settings of the command line into those of a config.

    Args:
        settings: Setting → value.

    Example:
        >>> nested({"model.a.b": 1.0, "model.a.c": 2.0})
        {'model': {'a': {'b': 1.0, 'c': 2.0}}}
    """
    config: dict[str, Any] = {}
    for setting, value in settings.items():
        *parents, last = setting.split(".")
        place = config
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return config


def write_table(path: Path, trials: Sequence[Tried], criterion: str) -> None:
    """Write a row a trial: its training, its settings, and all that its best validation logged.

    Args:
        path: File to write.
        trials: Trials that are over.
        criterion: Logged value that decides, the first column after the settings.
    """
    settings = sorted({name for trial in trials for name in trial.settings})
    logged = sorted({name for trial in trials for name in trial.logged} - {criterion})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["training", *settings, criterion, *logged, "ended early", "error"])
    for trial in trials:
        values = [trial.settings.get(name, "") for name in settings]
        measured = [trial.logged.get(name, "") for name in [criterion, *logged]]
        table.writerow([trial.number, *values, *measured, trial.ended, trial.error])
    write_text(path, text.getvalue())


def write_best(path: Path, name: str, best: Tried, criterion: str) -> None:
    """Write the best settings as a config that follows the one that was searched.

    Args:
        path: File to write.
        name: Name of the run.
        best: Best trial.
        criterion: Logged value that decided.
    """
    value = best.logged[criterion]
    header = f"# The best of a search: {criterion} {value:.4f}. It follows the config that was searched.\n"
    content = {"name": name, **nested(best.settings)}
    write_text(path, header + yaml.safe_dump(content, sort_keys=False))


def sweep_of(config: str, search: Search, space: Mapping[str, Range], criterion: str) -> dict[str, Any]:
    """Return the same search as a sweep of Weights & Biases.

    Args:
        config: Name or path of the config.
        search: Settings of the search.
        space: Setting → range.
        criterion: Logged value that decides.

    Returns:
        Content of the file that `wandb sweep` takes.

    Example:
        >>> sweep_of("x.yaml", Search(), {"a.b": Range(0.1, 1.0)}, "val/score")["parameters"]
        {'a.b': {'distribution': 'log_uniform_values', 'min': 0.1, 'max': 1.0}}
    """
    parameters: dict[str, Any] = {}
    for name, values in space.items():
        distribution = "log_uniform_values" if values.log else "uniform"
        parameters[name] = {"distribution": distribution, "min": values.low, "max": values.high}
    command = ["${env}", "${interpreter}", "${program}", "--config", config, "${args}"]
    if search.epochs is not None:
        command.insert(-1, f"--trainer.max_epochs={search.epochs}")
    sweep = {
        "program": "train.py",
        "method": "bayes",
        "metric": {"name": criterion, "goal": "maximize" if search.higher_is_better else "minimize"},
        "run_cap": search.trials,
        "parameters": parameters,
        "command": command,
    }
    if search.prune_after is not None:
        sweep["early_terminate"] = {"type": "hyperband", "min_iter": search.warm_up}
    return sweep


def write_sweep(path: Path, sweep: Mapping[str, Any]) -> None:
    """Write a sweep for `wandb sweep`.

    Args:
        path: File to write.
        sweep: Content, as `sweep_of` makes it.
    """
    header = "# `wandb sweep` takes this file, and prints the command of an agent.\n"
    write_text(path, header + yaml.safe_dump(dict(sweep), sort_keys=False))


def draw(trials: Sequence[Tried], space: Mapping[str, Range], criterion: str, known: str | None = None) -> Figure:
    """Draw the criterion over each setting.

    Args:
        trials: Trials that are over; those that failed are left out.
        space: Setting → range.
        criterion: Logged value that decides.
        known: Logged value that took no part, such as val/iou, drawn over the criterion in a last panel.

    Returns:
        Figure with a panel for each setting.
    """
    measured = [trial for trial in trials if trial.value is not None]
    values = [trial.logged[criterion] for trial in measured]
    colours = ["#999999" if trial.ended else "#1f77b4" for trial in measured]
    count = len(space) + (known is not None)
    rows = math.ceil(count / _COLUMNS)
    figure = Figure(figsize=(3.4 * min(count, _COLUMNS), 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, min(count, _COLUMNS), squeeze=False)
    panels = list(axes.flat)
    for panel, (setting, limits) in zip(panels, space.items(), strict=False):
        panel.scatter([trial.settings[setting] for trial in measured], values, c=colours, s=18)
        if limits.log:
            panel.set_xscale("log")
            # labels between the powers of ten run into each other
            panel.xaxis.set_minor_formatter(NullFormatter())
        # the config's own settings may lie outside of the range
        shown = [limits.low, limits.high, *(trial.settings[setting] for trial in measured)]
        panel.set_xlim(min(shown), max(shown))
        panel.set_xlabel(short_name(setting))
        panel.set_ylabel(criterion)
        # the first training has the config's own settings
        panel.scatter([measured[0].settings[setting]], values[:1], facecolors="none", edgecolors="#d62728", s=70)
    if known is not None:
        panel = panels[len(space)]
        panel.scatter(values, [trial.logged.get(known, math.nan) for trial in measured], c=colours, s=18)
        panel.set_xlabel(criterion)
        panel.set_ylabel(known)
    for panel in panels[count:]:
        panel.set_axis_off()
    figure.suptitle("blue: whole trainings; grey: ended early; ring: the config's own settings", fontsize=9)
    return figure

"""ROAR and KAR: retrain on images without their most salient pixels, or with nothing but them.

S. Hooker et al.: A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS 2019. T. N. Mundhenk, B. Y.
Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (section 2.4, Tables 2 and 5, Figure 5).
"""

import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.progress import Progress

from explainer.evaluation.context import Context
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.printers import markdown_file, to_terminal
from explainer.evaluation.results.published import Published
from explainer.evaluation.settings import data_facts
from explainer.evaluation.storage.fingerprint import infill_settings, settings_of, slug
from explainer.evaluation.telling import show_tables
from explainer.experiments.base import Experiment
from explainer.experiments.cells import Train, end_with_failures, read_cells
from explainer.experiments.retraining.leak import MODE, chance_level, mask_scores, warnings_of
from explainer.experiments.retraining.pictures import write_degraded
from explainer.experiments.retraining.rank_store import Ranks
from explainer.experiments.retraining.ranking import SPLITS, rank_data_set
from explainer.experiments.retraining.settings import RetrainingSettings
from explainer.experiments.retraining.tables import plot, retraining_tables, summarise_cells
from explainer.files import digest, write_json, write_text
from explainer.launching import Cell, run_cells
from explainer.launching.cells import Folders
from explainer.networks import Explanandum
from explainer.stopping import letting_stop
from explainer.training.runs import CHECKPOINTS, RUNS, alone_in, can_go_on, set_aside
from explainer.version import __version__


class Retraining(RetrainingSettings, Experiment):
    """Retrain on what each method leaves of the images; settings as in `RetrainingSettings`."""

    retrains = True

    def check(self, out: Path) -> None:
        """Find out whether the launcher can run the cells.

        Args:
            out: Folder of the results.
        """
        self.launcher.check(Folders.below(out).jobs, len(grid(self)))

    def run(self, context: Context) -> dict[str, object]:
        """Run the grid.

        Args:
            context: Checkpoint, data and settings from the command line.

        Returns:
            The content of results.json.
        """
        return retrain(self, context)


def retrain(settings: RetrainingSettings, context: Context) -> dict[str, object]:
    """Run a grid: rank the data set by every method, train every cell that is not done, print and plot.

    Args:
        settings: Methods, fractions and seeds.
        context: Settings from the command line; the config has model and Trainer of a cell, and the data.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
        SystemExit: Status 1, when cells failed; the others are done and shown.
    """
    data = context.data
    out = context.out
    config = context.config
    cells = grid(settings)
    folders = Folders.below(out)
    explanandum, facts = judged(context)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    described = settings_of(settings.methods)
    # all ranks before the first training: a method that fails does so early
    with Progress() as progress:
        for name, method in settings.methods.items():
            fingerprint = facts | {"name": name, "method": described[name], "target": settings.target}
            folder = out / "ranks" / slug(name)
            rank_data_set(explanandum, method, data, folder, fingerprint, progress, device, settings.target)
    path = folders.results
    if settings.infill is not None:
        settings.infill.check_classes(data.classes)
        # only now: ranks do not depend on the in-fill, and can serve other grids
        facts |= {"infill": infill_settings(settings.infill)}
    known = facts | {"model": config["model"], "trainer": config["trainer"]}
    keep = settings.keep_checkpoints
    # two commands at once would train the same cells
    with alone_in(RUNS / context.name):
        done = open_cells(context.name, path, known, keep)
        failed = run_cells(
            [cell for cell in cells if cell.name not in done],
            run_cell,
            lambda cell: arguments(context, cell),
            folders,
            settings.launcher,
            tidy=lambda cell: tidy(f"{context.name}/{cell.name}", keep),
        )
    # the file may hold cells that an earlier call asked for and this one does not
    finished = read_cells(path, known)
    rows = [finished[cell.name] for cell in cells if cell.name in finished]
    return report(context, settings, facts, rows, failed)


def judged(context: Context) -> tuple[Explanandum, dict[str, object]]:
    """Load the classifier that a grid is about.

    Args:
        context: Checkpoint and data from the command line.

    Returns:
        The classifier, and the facts on which results depend so far.
    """
    data = context.data
    checkpoint = context.checkpoint
    data.prepare_data()
    explanandum = Explanandum(str(checkpoint), allow=context.allow)
    explanandum.describe_classes(data.classes, data.multilabel, new_head=False)
    facts: dict[str, object] = {
        "checkpoint": digest(checkpoint),
        "data": data_facts(context.config["data"]),
        "version": __version__,
    }
    return explanandum, facts


def grid(settings: RetrainingSettings) -> list[Cell]:
    """Return all cells: methods × modes × fractions × seeds."""
    cells = []
    # seed by seed, so that a grid that is stopped has whole tables of fewer seeds
    for seed, fraction, mode, method in product(settings.seeds, settings.fractions, settings.modes, settings.methods):
        name = f"{slug(method)}-{mode}-{fraction:g}-{seed}"
        facts = {"method": method, "mode": mode, "fraction": fraction, "seed": seed}
        cells.append(Cell(name, facts))
    if settings.masks_alone:
        cells += mask_cells(settings)
    return cells


def mask_cells(settings: RetrainingSettings) -> list[Cell]:
    """Return the cells that see the masks alone: methods × fractions, with the first seed.

    What is kept and what is removed of a fraction are the same picture, black and white exchanged: one cell is enough.
    """
    seed = settings.seeds[0]
    cells = []
    for fraction, method in product(settings.fractions, settings.methods):
        name = f"{slug(method)}-{MODE}-{fraction:g}-{seed}"
        facts: dict[str, object] = {"method": method, "mode": MODE, "fraction": fraction, "seed": seed}
        cells.append(Cell(name, facts))
    return cells


def arguments(context: Context, cell: Cell) -> tuple[Train, str, str]:
    """Write the config of a cell, which train.py could run as well.

    Args:
        context: Settings from the command line.
        cell: Cell to train.

    Returns:
        The arguments of `run_cell`.
    """
    config = context.config
    facts = cell.facts
    ranks = context.out / "ranks" / slug(str(facts["method"]))
    data: dict[str, Any] = {
        "class_path": "Degraded",
        "init_args": {
            "data": config["data"],
            "ranks": str(ranks),
            "mode": facts["mode"],
            "fraction": facts["fraction"],
            "method": facts["method"],
        },
    }
    infill = config["experiment"]["init_args"].get("infill")
    if facts["mode"] == MODE:
        data["init_args"] |= {"mode": "keep", "masks_alone": True}
    elif infill:
        data["init_args"]["infill"] = infill
    path = write_config(context, cell, config["model"], data)
    return context.train, str(path), f"{context.name}/{cell.name}"


def write_config(context: Context, cell: Cell, model: Any, data: Any) -> Path:
    """Write the config of a cell, without what only a person who watches a training needs.

    Args:
        context: Settings from the command line.
        cell: Cell to train; its facts have the seed.
        model: Section `model` of the config.
        data: Section `data` of the config.

    Returns:
        The file.
    """
    content = {
        "seed_everything": cell.facts["seed"],
        "model": model,
        "data": data,
        "trainer": context.config["trainer"] | {"logger": False, "enable_progress_bar": False},
        "gallery": {"images": 0},
        "saliency": {"every_n_steps": 0},
    }
    path = context.out / "configs" / f"{cell.name}.yaml"
    return write_text(path, yaml.safe_dump(content, sort_keys=False))


def run_cell(train: Train, config: str, name: str) -> dict[str, object]:
    """Train a cell, or go on with it, and score its best checkpoint on the degraded test split.

    Args:
        train: Function that trains what arguments of train.py name.
        config: YAML file of the cell.
        name: Name of the run.

    Returns:
        The score: accuracy, or mAP of a multi-label classifier, in [0, 1].
    """
    # a cell that was stopped goes on from its last checkpoint
    resume = ["--ckpt_path", "auto"] if can_go_on(RUNS / name) else []
    trained = train(["--config", config, "--name", name, *resume])
    with letting_stop():
        (scores,) = trained.trainer.test(
            trained.model,
            datamodule=trained.datamodule,
            ckpt_path=CHECKPOINTS / f"{name}.ckpt",
            weights_only=True,
            verbose=False,
        )
    return {"score": scores["test/score"]}


def tidy(name: str, keep: bool = False) -> None:
    """Remove what a finished cell has left: its run and its checkpoint, unless they are kept.

    The score must be on the disk before: a cell whose run is half removed would be scored by another checkpoint.

    Args:
        name: Name of the run.
        keep: Whether the checkpoint, and the run's folder with it, stay.
    """
    if keep:
        return
    for suffix in (".ckpt", ".yaml"):
        (CHECKPOINTS / f"{name}{suffix}").unlink(missing_ok=True)
    folder = RUNS / name
    shutil.rmtree(folder, ignore_errors=True)
    lock = folder.with_name(f".{folder.name}.lock")
    lock.unlink(missing_ok=True)


def open_cells(name: str, path: Path, facts: dict[str, object], keep: bool = False) -> set[str]:
    """Read which cells are done; where a grid begins anew, the runs of an earlier one are moved aside.

    Args:
        name: Name of the grid.
        path: File of the results.
        facts: Facts on which all cells depend.
        keep: Whether checkpoints of cells stay.

    Returns:
        Names of the cells that are done.

    Raises:
        InputError: The file holds cells of another grid, or does not tell of which.
    """
    if not path.is_file() and (RUNS / name).exists():
        set_aside(RUNS / name)
    done = set(read_cells(path, facts))
    for cell in done:  # killed between a score's record and this
        tidy(f"{name}/{cell}", keep)
    return done


def report(
    context: Context,
    settings: RetrainingSettings,
    facts: dict[str, object],
    rows: Sequence[dict[str, Any]],
    failed: dict[str, str],
) -> dict[str, object]:
    """Write results.json, table.md and the pictures, print the tables, and name the cells that failed.

    Args:
        context: Data and folder of the results.
        settings: Settings of the grid.
        facts: Facts on which the results depend.
        rows: Rows of the finished cells.
        failed: Name → error of the cells that failed.

    Returns:
        The content of results.json.

    Raises:
        SystemExit: Status 1, when cells failed.
    """
    out = context.out
    seconds = {}
    for name in settings.methods:
        folder = out / "ranks" / slug(name)
        # as it was measured when the ranks were made, in this call or an earlier one
        states = [Ranks(folder, split).facts() for split in SPLITS]
        images = sum(state["count"] for state in states)
        seconds[name] = sum(state["seconds"] for state in states) / images
    results = summarise_cells(rows, seconds)
    published = published_content(settings.published)
    content: dict[str, object] = {"facts": facts, "results": results, "failed": failed, "published": published}
    warnings: list[str] = []
    if settings.masks_alone:
        chance = chance_level(context.data.split("test"), context.data.multilabel)
        masks = {name: mask_scores(rows, name, chance) for name in results}
        for name, scores in masks.items():
            results[name]["masks"] = scores
        content["chance"] = chance
        warnings = warnings_of(masks, chance)
    write_json(out / "results.json", content)
    tables = retraining_tables(results, settings.modes, settings.fractions, context.name, published)
    show_tables([to_terminal(table) for table in tables], 150)
    for sentence in warnings:
        print(sentence)
    write_text(out / "table.md", markdown_file(tables))
    figure = plot(results, settings.modes, settings.fractions)
    save_figure(figure, out / "retraining.png", dpi=150, bbox_inches="tight")
    if settings.pictures:
        for name in settings.methods:
            picture = out / "degraded" / f"{slug(name)}.png"
            write_degraded(context.data, settings, out / "ranks" / slug(name), picture)
    print(f"written to {out}: results.json, cells.jsonl, table.md, retraining.png, degraded/")
    end_with_failures(failed, out / "logs")
    return content


def published_content(published: Published | None) -> dict[str, object] | None:
    """Return a paper's own numbers as results.json holds them; None without any."""
    content = None if published is None else published.content()
    return None if content is None else dict(content)

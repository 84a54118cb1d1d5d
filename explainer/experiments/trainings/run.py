"""Train configs of train.py with several seeds, as cells; one table has their checkpoints and test scores."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from explainer.errors import InputError, check_seed
from explainer.evaluation.context import Context
from explainer.evaluation.ranges import check_different
from explainer.evaluation.report.printers import markdown_file, to_terminal
from explainer.evaluation.report.table import Heading, Table, text_row
from explainer.evaluation.telling import show_tables, tell
from explainer.experiments.base import Experiment
from explainer.experiments.cells import Train, end_with_failures, read_cells
from explainer.files import write_json, write_text
from explainer.launching import Cell, Launcher, Local, run_cells
from explainer.launching.cells import Folders
from explainer.stopping import letting_stop
from explainer.training.runs import CHECKPOINTS, RUNS, alone_in, can_go_on
from explainer.version import __version__

TEST = "test/"
"""Beginning of the names of scores on test images."""


class Trainings(Experiment):
    """Train configs × seeds, keep each checkpoint, and compare the test scores.

    The classifiers that the configs explain are trained first where they are missing, once.

    Args:
        configs: Configs of train.py.
        seeds: Seeds of the trainings.
        options: Settings that hold for all of them, such as `trainer.max_epochs: 3`.
        launcher: Way to run the trainings; None takes processes of this machine, one for each GPU.

    Raises:
        InputError: A list is empty or has something twice, or two configs would have the same checkpoints.
    """

    trains_configs = True

    def __init__(
        self,
        configs: list[str],
        seeds: list[int],
        options: dict[str, Any] | None = None,
        launcher: Launcher | None = None,
    ) -> None:
        for key, values in (("configs", [Path(name).stem for name in configs]), ("seeds", seeds)):
            if not values:
                raise InputError(f"experiment.init_args.{key} is empty: there is nothing to train")
            check_different(f"experiment.init_args.{key}", values)
        for seed in seeds:
            check_seed("experiment.init_args.seeds", seed)
        self.configs = configs
        self.seeds = seeds
        self.options = options or {}
        self.launcher = launcher or Local()

    def check(self, out: Path) -> None:
        """Find out whether the launcher can run the trainings.

        Args:
            out: Folder of the results.
        """
        self.launcher.check(Folders.below(out).jobs, len(self.cells()))

    def cells(self) -> list[Cell]:
        """Return all trainings: seeds × configs."""
        cells = []
        # seed by seed, so that a grid that is stopped has whole tables of fewer seeds
        for seed in self.seeds:
            for config in self.configs:
                stem = Path(config).stem
                cells.append(Cell(f"{stem}-{seed}", {"config": stem, "seed": seed}))
        return cells

    def run(self, context: Context) -> dict[str, object]:
        """Train what is not done, and write results.json and table.md.

        Args:
            context: Name and folder of the results.

        Returns:
            The content of results.json.

        Raises:
            SystemExit: Status 1, when trainings failed; the others are done and shown.
        """
        folders = Folders.below(context.out)
        by_stem = {Path(name).stem: name for name in self.configs}
        contents = {stem: dict(context.read_config(name)) for stem, name in by_stem.items()}
        facts = {"configs": contents, "options": self.options, "version": __version__}
        cells = self.cells()

        def arguments(cell: Cell) -> tuple[Train, list[str], str]:
            name = f"{context.name}/{cell.name}"
            given = ["--config", by_stem[str(cell.facts["config"])], "--name", name]
            given += ["--trainer.enable_progress_bar=false", *as_arguments(self.options)]
            return context.train, [*given, f"--seed_everything={cell.facts['seed']}"], name

        # two commands at once would train the same cells
        with alone_in(RUNS / context.name):
            done = read_cells(folders.results, facts)
            missing = [cell for cell in cells if cell.name not in done]
            failed = run_cells(missing, train_and_test, arguments, folders, self.launcher, what="training")
        # the file may hold runs that an earlier call asked for and this one does not
        finished = read_cells(folders.results, facts)
        rows = [finished[cell.name] for cell in cells if cell.name in finished]
        results = summarise_runs(rows)
        content: dict[str, object] = {"facts": facts, "results": results, "runs": rows, "failed": failed}
        tables = [scores_table(results, context.name), runs_table(rows, context.name)]
        write_json(context.out / "results.json", content)
        write_text(context.out / "table.md", markdown_file(tables))
        show_tables([to_terminal(table) for table in tables], 200)
        tell([f"written to {context.out}: results.json, table.md; checkpoints in {CHECKPOINTS / context.name}"])
        end_with_failures(failed, folders.logs)
        return content


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Return settings as arguments of train.py.

    Args:
        options: Dotted key → value.

    Example:
        >>> as_arguments({"trainer.max_epochs": 3, "trainer.logger": False, "data.init_args.root": "x"})
        ['--trainer.max_epochs=3', '--trainer.logger=false', '--data.init_args.root=x']
    """
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()}
    return [f"--{key}={text}" for key, text in texts.items()]


def train_and_test(train: Train, arguments: Sequence[str], name: str) -> dict[str, object]:
    """Train a config, or go on with it, and score its best checkpoint on the test split.

    Args:
        train: Function that trains what arguments of train.py name.
        arguments: Arguments of the training.
        name: Name of the run.

    Returns:
        Checkpoint, its test score or where there is none its loss, and all test scores by name.
    """
    # a run that was stopped goes on from its last checkpoint
    resume = ["--ckpt_path", "auto"] if can_go_on(RUNS / name) else []
    trained = train([*arguments, *resume])
    checkpoint = CHECKPOINTS / f"{name}.ckpt"
    with letting_stop():
        (scores,) = trained.trainer.test(
            trained.model, datamodule=trained.datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )
    plain = {key.removeprefix(TEST): value for key, value in scores.items() if key.startswith(TEST)}
    return {"checkpoint": str(checkpoint), "score": plain.get("score", plain.get("loss")), "scores": plain}


class Spread(TypedDict):
    """A score over seeds: mean and sample deviation (0 of a single one), and their number."""

    mean: float
    deviation: float
    n: int


def summarise_runs(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Spread]]:
    """Return means and deviations over seeds.

    Args:
        rows: Rows of finished runs: config, seed, scores.

    Returns:
        Config → score → its mean and deviation.

    Example:
        >>> rows = [{"config": "a", "scores": {"loss": 1.0}}, {"config": "a", "scores": {"loss": 2.0}}]
        >>> summarise_runs(rows)["a"]["loss"]["mean"]
        1.5
    """
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for score, value in row["scores"].items():
            values.setdefault(row["config"], {}).setdefault(score, []).append(value)
    return {config: {score: _spread(numbers) for score, numbers in by.items()} for config, by in values.items()}


def _spread(numbers: Sequence[float]) -> Spread:
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return Spread(mean=statistics.fmean(numbers), deviation=deviation, n=len(numbers))


def scores_table(results: Mapping[str, Mapping[str, Spread]], title: str) -> Table:
    """Return the table of means and deviations.

    Args:
        results: Config → score → its mean and deviation, as `summarise_runs` returns them.
        title: Title of the table.
    """
    names = _names(results.values())
    rows = []
    for config, scores in results.items():
        texts = []
        for name in names:
            score = scores.get(name)
            texts.append("–" if score is None else f"{score['mean']:.4f} ± {score['deviation']:.4f} ({score['n']})")
        rows.append(text_row(config, texts))
    caption = "mean ± sample deviation on test images, and the number of seeds"
    return Table(title, "config", [Heading(name) for name in names], rows, caption=caption)


def runs_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Return the table of single runs.

    Args:
        rows: Rows of finished runs.
        title: Title of the table.
    """
    names = _names([row["scores"] for row in rows])
    lines = []
    for row in rows:
        values = [row["scores"].get(name) for name in names]
        texts = ["–" if value is None else f"{value:.4f}" for value in values]
        lines.append(text_row(row["cell"], [str(row["seed"]), *texts, row["checkpoint"]]))
    headings = [Heading(name) for name in ("seed", *names, "checkpoint")]
    return Table(f"{title}: runs", "run", headings, lines)


def _names(parts: Any) -> list[str]:
    """Return the keys of several mappings, each once, in the order in which they come."""
    return list(dict.fromkeys(key for part in parts for key in part))

"""ROAR and KAR inside the network: which statistic of the activations tells where the information is.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (section 3.1, Tables 1, 4).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from explainer.evaluation.context import Context
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.printers import markdown_file, to_terminal
from explainer.evaluation.telling import show_tables
from explainer.experiments.base import Experiment
from explainer.experiments.cells import Train, end_with_failures, read_cells
from explainer.experiments.retraining.layer_tables import layer_tables, plot_layers, summarise_layers
from explainer.experiments.retraining.roar import (
    judged,
    open_cells,
    published_content,
    run_cell,
    tidy,
    write_config,
)
from explainer.experiments.retraining.settings import LayerRetrainingSettings
from explainer.files import write_json, write_text
from explainer.launching import Cell, run_cells
from explainer.launching.cells import Folders
from explainer.training.runs import RUNS, alone_in


class LayerRetraining(LayerRetrainingSettings, Experiment):
    """Retrain with masks inside the network; settings as in `LayerRetrainingSettings`."""

    retrains = True

    def check(self, out: Path) -> None:
        """Find out whether the launcher can run the cells.

        Args:
            out: Folder of the results.
        """
        # without scales all are meant, whose number only the classifier tells
        count = None if self.scales is None else len(layer_cells(self, self.scales))
        self.launcher.check(Folders.below(out).jobs, count)

    def run(self, context: Context) -> dict[str, object]:
        """Run the grid.

        Args:
            context: Checkpoint, data and settings from the command line.

        Returns:
            The content of results.json.
        """
        return retrain_layers(self, context)


def retrain_layers(settings: LayerRetrainingSettings, context: Context) -> dict[str, object]:
    """Run a grid of masks inside the network, and print the scores D and I.

    Args:
        settings: Statistics, scales and seeds.
        context: Settings from the command line; the config has optimizer and Trainer of a cell, and the data.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
        SystemExit: Status 1, when cells failed; the others are done and shown.
    """
    config = context.config
    out = context.out
    explanandum, facts = judged(context)
    scales = settings.scales or list(range(1, len(explanandum.taps) + 1))
    facts |= {
        "keep": settings.keep,
        "remove": settings.remove,
        "taps": list(explanandum.taps),
        "epsilon": settings.epsilon,
        "model": config["model"],
        "trainer": config["trainer"],
    }
    cells = layer_cells(settings, scales)
    folders = Folders.below(out)
    if settings.scales is None:  # else the number of cells was known before
        settings.launcher.check(folders.jobs, len(cells))
    path = folders.results
    # two commands at once would train the same cells
    with alone_in(RUNS / context.name):
        done = open_cells(context.name, path, facts)
        failed = run_cells(
            [cell for cell in cells if cell.name not in done],
            run_cell,
            lambda cell: cell_arguments(context, cell, settings.epsilon),
            folders,
            settings.launcher,
            tidy=lambda cell: tidy(f"{context.name}/{cell.name}"),
        )
    # the file may hold cells that an earlier call asked for and this one does not
    finished = read_cells(path, facts)
    rows = [finished[cell.name] for cell in cells if cell.name in finished]
    published = published_content(settings.published)
    content: dict[str, Any] = {"facts": facts, "failed": failed, "results": {}, "published": published}
    text = []
    for removed in settings.roar_removes:
        results = summarise_layers(rows, scales, removed)
        content["results"][removed] = results
        what = f"ROAR removes the {100 * settings.remove:g} % {removed} salient"
        tables = layer_tables(results, scales, f"{context.name}, {what}", published)
        keeping = f"KAR keeps the {100 * settings.keep:g} % most salient"
        text.append(f"{what} locations, {keeping}.\n\n{markdown_file(tables)}")
        picture = "layers.png" if removed == "most" else f"layers_{removed}.png"
        figure = plot_layers(results, scales, published)
        save_figure(figure, out / picture, dpi=150, bbox_inches="tight")
        show_tables([to_terminal(table) for table in tables], 150)
    write_json(out / "results.json", content)
    write_text(out / "table.md", "\n".join(text))
    print(f"written to {out}: results.json, cells.jsonl, table.md, layers.png")
    end_with_failures(failed, out / "logs")
    return content


def layer_cells(settings: LayerRetrainingSettings, scales: Sequence[int]) -> list[Cell]:
    """Return all cells: random and other statistics × scales × KAR and ROAR × seeds.

    Args:
        settings: Statistics, fractions and seeds.
        scales: Numbers of the scales, from 1.
    """
    cells = []
    for seed in settings.seeds:
        for statistic in ["random", *settings.statistics]:
            # random locations are neither most nor least salient: one kind of ROAR is enough
            removals: Sequence[str] = ["most"] if statistic == "random" else settings.roar_removes
            kinds = [("keep", settings.keep, "most")]
            kinds += [("remove", settings.remove, removed) for removed in removals]
            for scale in scales:
                for mode, fraction, removed in kinds:
                    facts = {
                        "statistic": statistic,
                        "scale": scale,
                        "mode": mode,
                        "fraction": fraction,
                        "removed": removed,
                        "seed": seed,
                    }
                    name = f"{statistic}-{scale}-{mode}-{removed}-{seed}"
                    cells.append(Cell(name, facts))
    return cells


def cell_arguments(context: Context, cell: Cell, epsilon: float) -> tuple[Train, str, str]:
    """Write the config of a cell, which train.py could run as well.

    Args:
        context: Settings from the command line.
        cell: Cell to train.
        epsilon: Number that is added to activations before a logarithm.

    Returns:
        The arguments of `run_cell`.
    """
    facts = cell.facts
    given = context.config["model"]["init_args"]
    # a config names the classifier by class and arguments, or by its arguments alone
    network = given["explanandum"].get("init_args", given["explanandum"])
    allow = list(network.get("allow") or [])
    arguments = {
        "explanandum": {"network": str(context.checkpoint), "allow": allow},
        "scale": facts["scale"],
        "statistic": facts["statistic"],
        "mode": facts["mode"],
        "fraction": facts["fraction"],
        "roar_removes": facts["removed"],
        "epsilon": epsilon,
        **{key: given[key] for key in ("optimizer", "scheduler", "scheduler_interval")},
    }
    model = {"class_path": "LayerMasked", "init_args": arguments}
    data = {key: context.config["data"][key] for key in ("class_path", "init_args")}
    path = write_config(context, cell, model, data)
    return context.train, str(path), f"{context.name}/{cell.name}"

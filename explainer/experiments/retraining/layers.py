"""ROAR and KAR inside the network: which statistic of the activations tells where the information is.

T. N. Mundhenk, B. Y. Chen, G. Friedland: Efficient Saliency Maps for Explainable AI, 2020 (section 3.1, Tables 1, 4).
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch
import yaml
from rich.console import Console

from explainer.evaluation.context import Context
from explainer.experiments.base import Experiment
from explainer.experiments.retraining.grid import Cell, read_cells, run_cells
from explainer.experiments.retraining.layer_tables import layer_tables, plot_layers, summarise_layers
from explainer.experiments.retraining.roar import Train, judged, open_cells, run_cell, tidy
from explainer.experiments.retraining.settings import LayerRetrainingSettings
from explainer.files import replacing, write_json, write_text
from explainer.training.runs import RUNS, alone_in


class LayerRetraining(LayerRetrainingSettings, Experiment):
    """Retrain with masks inside the network; settings as in `LayerRetrainingSettings`."""

    retrains = True

    def run(self, context: Context) -> dict[str, Any]:
        """Run the grid."""
        return retrain_layers(self, context)


def retrain_layers(settings: LayerRetrainingSettings, context: Context) -> dict[str, Any]:
    """Run a grid of masks inside the network, and print the scores D and I.

    Args:
        settings: Statistics, scales and seeds.
        context: From the command line; the config has optimizer and Trainer of a cell, and the data.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
        SystemExit: Status 1, when cells failed; the others are done and shown.
    """
    config, out = context.config, context.out
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
    path = out / "cells.jsonl"
    with alone_in(RUNS / context.name):
        done = open_cells(context.name, path, facts)
        failed = run_cells(
            [cell for cell in cells if cell.name not in done],
            run_cell,
            lambda cell: cell_arguments(context, cell, settings.epsilon),
            path,
            workers=settings.workers or max(1, torch.cuda.device_count()),
            logs=out / "logs",
            tidy=lambda cell: tidy(f"{context.name}/{cell.name}"),
        )
    known = read_cells(path, facts)
    rows = [known[cell.name] for cell in cells if cell.name in known]
    published = None if settings.published is None else settings.published.content()
    content: dict[str, Any] = {"facts": facts, "failed": failed, "results": {}, "published": published}
    text = []
    for removed in settings.roar_removes:
        results = summarise_layers(rows, scales, removed)
        content["results"][removed] = results
        what = f"ROAR removes the {100 * settings.remove:g} % {removed} salient"
        tables, markdown = layer_tables(results, scales, f"{context.name}, {what}", published)
        text.append(f"{what} locations, KAR keeps the {100 * settings.keep:g} % most salient.\n\n{markdown}")
        picture = "layers.png" if removed == "most" else f"layers_{removed}.png"
        with replacing(out / picture) as partial:
            plot_layers(results, scales, published).savefig(partial, dpi=150, bbox_inches="tight")
        for table in tables:
            Console(width=None if sys.stdout.isatty() else 150).print(table)
    write_json(out / "results.json", content)
    write_text(out / "table.md", "\n".join(text))
    print(f"written to {out}: results.json, cells.jsonl, table.md, layers.png")
    for name, error in failed.items():
        print(f"failed: {name}: {error} (see {out / 'logs' / name}.log)")
    if failed:
        sys.exit(1)
    return content


def layer_cells(settings: LayerRetrainingSettings, scales: Sequence[int]) -> list[Cell]:
    """Statistics and random × scales × KAR and ROAR × seeds; random locations are neither most nor least salient."""
    cells = []
    for seed in settings.seeds:
        for statistic in ["random", *settings.statistics]:
            for scale in scales:
                kinds = [("keep", settings.keep, "most")]
                kinds += [
                    ("remove", settings.remove, removed)
                    for removed in (["most"] if statistic == "random" else settings.roar_removes)
                ]
                for mode, fraction, removed in kinds:
                    facts = {
                        "statistic": statistic,
                        "scale": scale,
                        "mode": mode,
                        "fraction": fraction,
                        "removed": removed,
                        "seed": seed,
                    }
                    cells.append(Cell(f"{statistic}-{scale}-{mode}-{removed}-{seed}", facts))
    return cells


def cell_arguments(context: Context, cell: Cell, epsilon: float) -> tuple[Train, str, str]:
    """Write the config of a cell, which train.py could run as well."""
    facts, given = cell.facts, context.config["model"]["init_args"]
    network = given["explanandum"].get("init_args", given["explanandum"])
    arguments = {
        "explanandum": {"network": str(context.checkpoint), "allow": list(network.get("allow") or [])},
        "scale": facts["scale"],
        "statistic": facts["statistic"],
        "mode": facts["mode"],
        "fraction": facts["fraction"],
        "roar_removes": facts["removed"],
        "epsilon": epsilon,
        **{key: given[key] for key in ("optimizer", "scheduler", "scheduler_interval")},
    }
    content = {
        "seed_everything": facts["seed"],
        "model": {"class_path": "LayerMasked", "init_args": arguments},
        "data": {key: context.config["data"][key] for key in ("class_path", "init_args")},
        "trainer": context.config["trainer"] | {"logger": False, "enable_progress_bar": False},
        "gallery": {"images": 0},
        "saliency": {"every_n_steps": 0},
    }
    path = context.out / "configs" / f"{cell.name}.yaml"
    write_text(path, yaml.safe_dump(content, sort_keys=False))
    return context.train, str(path), f"{context.name}/{cell.name}"

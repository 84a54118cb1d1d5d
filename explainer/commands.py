"""What evaluate.py does."""

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.utils.data import DataLoader, Subset

from explainer.attribution import Attribution, CentredBox, Constant, Explainer, GradCAM
from explainer.cli import CHECKPOINTS, RESULTS, ExplainerCLI
from explainer.data import ImageDataModule, collate
from explainer.errors import InputError
from explainer.evaluation.gallery import method_gallery
from explainer.evaluation.runner import ORIGINAL, TRUTH, settings_of, to_device
from explainer.evaluation.runner import evaluate as run_evaluation
from explainer.evaluation.settings import Evaluation, data_facts
from explainer.evaluation.store import Store
from explainer.evaluation.summary import write_results
from explainer.evaluation.table import markdown, rich_table
from explainer.layer_retraining import retrain_layers
from explainer.networks import Explanandum
from explainer.networks.checkpoint import read_checkpoint
from explainer.retraining import retrain
from explainer.training import quieten
from explainer.version import __version__


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
    settings: Evaluation = cli.evaluation
    data: ImageDataModule = cli.datamodule
    path = Path(cli.config.ckpt_path or CHECKPOINTS / f"{cli.name}.ckpt")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device
    spec, _ = read_checkpoint(path)
    allow = trusted(cli.config)
    explanandum = Explanandum(str(path), allow=allow).to(device)
    methods = chosen_methods(settings, path, spec["kind"], allow)
    data.prepare_data()
    explanandum.describe_classes(data.classes, data.multilabel, new_head=False)
    if data.image_size != spec["image_size"]:
        raise InputError(f"{path} was trained at {spec['image_size']} pixels, the data is at {data.image_size}")
    dataset = data.split(settings.split)
    count = min(len(dataset), settings.limit or len(dataset))
    facts = {
        "checkpoint": hashlib.sha256(path.read_bytes()).hexdigest(), "data": data_facts(cli.config.data.as_dict()),
        "split": settings.split, "images": count, "void": settings.void, "version": __version__,
        "methods": settings_of(methods),
    }  # fmt: skip
    out = Path(settings.out or RESULTS / cli.name)
    store = Store(out, facts)
    loader = DataLoader(
        Subset(dataset, range(count)), data.batch_size, collate_fn=collate, num_workers=data.num_workers
    )
    run_evaluation(explanandum, methods, loader, store, total=count, void=settings.void, device=device)
    asked = {ORIGINAL, TRUTH, *methods}  # the store may hold methods of earlier calls too
    content = write_results(
        [r for r in store.rows if r["method"] in asked], facts | {"device": device, "torch": torch.__version__}, out
    )
    if settings.gallery:
        save_gallery(explanandum, methods, dataset, min(settings.gallery, count), out / "gallery.png", device)
    (out / "table.md").write_text(markdown(content["results"]))
    Console(width=None if sys.stdout.isatty() else 140).print(
        rich_table(content["results"], f"{cli.name} on {settings.split}")
    )
    for name in dataset.unreadable:
        print(f"skipped the unreadable image {name}")
    print(f"written to {out}: results.json, per_image.csv, table.md, gallery.png")
    return content


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


def save_gallery(
    explanandum: Explanandum, methods: dict[str, Attribution], dataset: Any, count: int, path: Path, device: str
) -> None:  # fmt: skip
    """Save the picture of images × methods, for labelled images evenly spread over the data set."""
    labelled = [i for i in range(len(dataset)) if dataset.labels(i).any()] or list(range(len(dataset)))
    chosen = labelled[:: max(1, len(labelled) // count)][:count]
    batch = to_device(collate([dataset[i] for i in chosen]), device)
    if batch.id:
        method_gallery(explanandum, methods, batch).save(path)


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

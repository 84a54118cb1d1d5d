"""What train.py and evaluate.py do."""

import hashlib
import logging
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from rich.console import Console
from torch.utils.data import DataLoader, Subset

from explainer.attribution import Attribution, CentredBox, Constant, Explainer, GradCAM
from explainer.callbacks.resume import LAST
from explainer.cli import CHECKPOINTS, RESULTS, ExplainerCLI
from explainer.data import ImageDataModule, collate
from explainer.errors import InputError
from explainer.evaluation.gallery import method_gallery
from explainer.evaluation.runner import ORIGINAL, TRUTH, settings_of, to_device
from explainer.evaluation.runner import evaluate as run_evaluation
from explainer.evaluation.settings import Evaluation
from explainer.evaluation.store import Store
from explainer.evaluation.summary import write_results
from explainer.evaluation.table import markdown, rich_table
from explainer.networks import Explanandum
from explainer.networks.checkpoint import read_checkpoint
from explainer.version import __version__


def train(args: Sequence[str] | None = None) -> None:
    """Train what the config names; the best checkpoint ends as checkpoints/<name>.ckpt beside its resolved config.

    Args:
        args: Command-line arguments; None takes the process's.

    Raises:
        InputError: Something given cannot be used.
    """
    quieten()
    cli = ExplainerCLI(args, train)
    path = cli.folder / LAST if cli.resuming else cli.config.ckpt_path
    if path is not None:
        read_checkpoint(path, cli.model.kind)  # refuses what is no checkpoint of this module, in one line
    quick = bool(cli.config.trainer.fast_dev_run)
    if not quick and cli.trainer.is_global_zero:
        cli.parser.save(cli.config, cli.folder / "config.yaml", skip_none=False, overwrite=True)
    if isinstance(cli.trainer.logger, Logger) and not quick:
        cli.trainer.logger.log_hyperparams(cli.config.as_dict())
    cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=path, weights_only=True)
    for split, dataset in cli.datamodule._splits.items():
        if dataset.unreadable:
            rank_zero_info(f"{len(dataset.unreadable)} unreadable images of the {split} split were skipped")
    if not quick and cli.trainer.is_global_zero:
        rank_zero_info(f"best checkpoint: {publish(cli.folder, cli.name)}")


def quieten() -> None:
    """Drop the messages of libraries that tell a person nothing: warnings that do not apply, and advertisements."""
    for message in (
        "dataloader is not resumable",  # ours is: see EpochSampler
        "does not have many workers",
        "The number of training batches",
        "exists and is not empty",
        r"module\(s\) in eval mode",  # the explanandum is meant to be
        "isinstance\\(treespec, LeafSpec\\)",
    ):
        warnings.filterwarnings("ignore", f".*{message}.*")
    noise = ("Tip:", "litlogger", "`weights_only` was not set", "TPU available", "Seed set to")
    for name in (
        "pytorch_lightning.utilities.rank_zero",
        "pytorch_lightning.trainer.connectors.checkpoint_connector",
        "lightning_fabric.utilities.rank_zero",
        "lightning_fabric.utilities.seed",
    ):
        logging.getLogger(name).addFilter(lambda record: not any(n in record.getMessage() for n in noise))


def publish(folder: Path, name: str) -> Path:
    """Put a finished run's best checkpoint, and its resolved config, where inference looks for them.

    Args:
        folder: The run's.
        name: The run's.

    Returns:
        checkpoints/<name>.ckpt.
    """
    CHECKPOINTS.mkdir(exist_ok=True)
    best = folder / "best.ckpt"
    shutil.copyfile(folder / "config.yaml", CHECKPOINTS / f"{name}.yaml")
    destination = CHECKPOINTS / f"{name}.ckpt"
    partial = destination.with_suffix(".partial")
    shutil.copyfile(best if best.is_file() else folder / LAST, partial)
    partial.replace(destination)
    return destination


def evaluate(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Evaluate a checkpoint on a split: table, results.json, per_image.csv, gallery.png.

    Args:
        args: Command-line arguments; None takes the process's. `--ckpt_path` is checkpoints/<name>.ckpt by default.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
    """
    quieten()
    cli = ExplainerCLI(args)
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


def data_facts(config: dict[str, Any]) -> dict[str, Any]:
    """What of the data's settings decides the results: not how they are loaded.

    Args:
        config: class_path and init_args of the DataModule.

    Returns:
        The same without workers, batch size and download.

    Example:
        >>> data_facts({"class_path": "COCO", "init_args": {"root": "data", "num_workers": 2}})
        {'class_path': 'COCO', 'init_args': {'root': 'data'}}
    """
    loading = {"num_workers", "batch_size", "download"}
    kept = {k: v for k, v in config["init_args"].items() if k not in loading}
    return {"class_path": config["class_path"], "init_args": kept}  # and not the path of a config's own file


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

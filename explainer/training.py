"""What train.py does."""

import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.callbacks.resume import LAST
from explainer.cli import CHECKPOINTS, ExplainerCLI
from explainer.errors import working
from explainer.networks.checkpoint import read_checkpoint


def train(args: Sequence[str] | None = None) -> ExplainerCLI:
    """Train what the config names; the best checkpoint ends as checkpoints/<name>.ckpt beside its resolved config.

    Args:
        args: Command-line arguments; None takes the process's.

    Returns:
        The command line, with Trainer, module and data as they are after the training.

    Raises:
        InputError: Something given cannot be used.
        WorkError: The disk or the memory failed in the course of it.
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
    with working(f"what is saved stays in {cli.folder}; --ckpt_path last goes on from there"):
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=path, weights_only=True)
    for split, dataset in cli.datamodule._splits.items():
        if dataset.unreadable:
            rank_zero_info(f"{len(dataset.unreadable)} unreadable images of the {split} split were skipped")
    if not quick and cli.trainer.is_global_zero:
        with working(f"the training is finished, its checkpoints stay in {cli.folder}"):
            rank_zero_info(f"best checkpoint: {publish(cli.folder, cli.name)}")
    return cli


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
    best, destination = folder / "best.ckpt", CHECKPOINTS / f"{name}.ckpt"
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "config.yaml", CHECKPOINTS / f"{name}.yaml")
    partial = destination.with_suffix(".partial")
    shutil.copyfile(best if best.is_file() else folder / LAST, partial)
    partial.replace(destination)
    return destination

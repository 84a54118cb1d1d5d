"""The work of train.py: one training, from its config to checkpoints/<name>.ckpt."""

import logging
import signal
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.cli.parser import ExplainerCLI
from explainer.cli.prerequisites import train_missing
from explainer.cli.processes import check_processes, end_with_launcher, launching, noticing_loss
from explainer.cli.rehearsal import check_unfinished
from explainer.cli.run_state import check_state
from explainer.cli.search import search
from explainer.errors import InputError, working
from explainer.files import copy_file, replacing, sweep
from explainer.networks.checkpoint import read_checkpoint
from explainer.stopping import Stopped, letting_stop
from explainer.training.callbacks import Tracker
from explainer.training.callbacks.best import BEST
from explainer.training.callbacks.resume import LAST, Resume
from explainer.training.runs import CHECKPOINTS, CONFIG, alone_in, begin, can_go_on, newest, note_inputs, same_run


def train(
    args: Sequence[str] | None = None,
    callbacks: Sequence[Callback] = (),
    *,
    published: bool = True,
) -> ExplainerCLI:
    """Train what the config names; the best checkpoint ends as checkpoints/<name>.ckpt beside its resolved config.

    Args:
        args: Command-line arguments; None takes the process's.
        callbacks: Further callbacks of the training.
        published: Whether the best checkpoint is put into checkpoints/; else it stays in the run's folder alone.

    Returns:
        The command line, with Trainer, module and data as they are after the training.

    Raises:
        InputError: Something given cannot be used.
        WorkError: The disk or the memory failed in the course of the training.
        Stopped: Ctrl-C, or SIGTERM.
    """
    end_with_launcher()
    quieten()
    cli = ExplainerCLI(args)
    # before the build, which loads the checkpoints that are trained here
    train_missing(cli, train)
    if cli.config.search.run:
        search(cli, partial(train, published=False))
        return cli
    cli.build(callbacks)
    check_processes(cli.trainer, cli.config.trainer, cli.arguments)
    quick = bool(cli.config.trainer.fast_dev_run)
    first = cli.trainer.is_global_zero
    with alone_in(cli.folder) if first and not quick else nullcontext():
        path, going_on = starting_point(cli)
        remains = f"what is saved stays in {cli.folder}; --ckpt_path last goes on from there"
        with working(remains), noticing_loss(cli.trainer, remains):
            if not quick:
                begin_run(cli, going_on)
            try:
                fit(cli, path)
            except Stopped:
                # one of several speaks for all; Lightning takes another's exit status for its death, and kills the rest
                if first:
                    raise
                return cli
        for split, dataset in cli.datamodule._splits.items():
            count = len(dataset.unreadable)
            if count:
                rank_zero_info(f"{count} unreadable images of the {split} split were skipped")
        if first and not quick and published:
            with working(f"the training is finished, its checkpoints stay in {cli.folder}"):
                rank_zero_info(f"best checkpoint: {publish(cli.folder, cli.name)}")
    trainer: Any = cli.trainer
    for callback in trainer.callbacks:
        # in the last step, when all there was to do was done; the first process speaks for all
        if isinstance(callback, Resume) and callback.stopped_by and first:
            raise Stopped(f"stopped; {cli.name} was finished already", callback.stopped_by)
    return cli


def starting_point(cli: ExplainerCLI) -> tuple[Path | None, bool]:
    """Find the checkpoint that a training goes on from, if any, and check it.

    Args:
        cli: Command line, which holds the config.

    Returns:
        The checkpoint, and whether the training goes on in the run's own folder.

    Raises:
        InputError: It cannot be used, or is of a training that has nothing left to do.
    """
    given = cli.config.ckpt_path
    if given == "auto":
        given = None
        if can_go_on(cli.folder) and same_run(cli.folder, cli.config.as_dict()):
            given = "last"
    if given is None:
        return None, False
    if given == "last":
        path = newest(cli.folder, cli.model.kind)
    else:
        path = Path(given)
        read_checkpoint(path, cli.model.kind)  # refuses what is no checkpoint of this module, in one line
    if cli.trainer.is_global_zero:  # whose module was built, to be tried out
        check_state(path, cli.model)
    if given != "last":
        check_unfinished(path, cli.config.trainer.max_epochs)
    in_own_folder = given == "last" or cli.folder.resolve() in path.resolve().parents
    return path, in_own_folder


def begin_run(cli: ExplainerCLI, going_on: bool) -> None:
    """Make the run's folder ready, write down its settings, and start to track it.

    Args:
        cli: Command line. All is built and checked: from here on an earlier run can be moved aside.
        going_on: Whether the training goes on with the run in the folder instead.
    """
    settings = cli.config.as_dict()
    if cli.trainer.is_global_zero:
        begin(cli.folder, going_on)
        with replacing(cli.folder / CONFIG) as partial:
            cli.parser.save(cli.config, partial, skip_none=False, overwrite=True)
        note_inputs(cli.folder, settings)
    if cli.tracked:
        cli.trainer.logger = Tracker(cli.name, cli.folder, resume=going_on)
    if isinstance(cli.trainer.logger, Logger):
        cli.trainer.logger.log_hyperparams(settings)


def fit(cli: ExplainerCLI, path: Path | None) -> None:
    """Train, and turn what Lightning makes of Ctrl-C and SIGTERM into one kind of stop.

    Args:
        cli: Command line, which holds Trainer, module and data.
        path: Checkpoint to go on from, or None.

    Raises:
        Stopped: Ctrl-C, or SIGTERM.
    """
    try:
        with letting_stop(), launching():
            cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=path, weights_only=True)
    except KeyboardInterrupt as error:
        if str(error) or not can_go_on(cli.folder):
            raise
        number: int = signal.SIGINT
        if isinstance(error, Stopped):
            number = error.number
        raise Stopped(f"stopped; go on from what {cli.folder} holds with --ckpt_path last", number) from None


def quieten() -> None:
    """Drop the messages of libraries that tell a person nothing: warnings that do not apply, and advertisements."""
    for message in (
        "dataloader is not resumable",  # ours is: see EpochSampler
        "does not have many workers",
        "The number of training batches",
        "exists and is not empty",
        r"module\(s\) in eval mode",  # the explanandum is meant to be
        "isinstance\\(treespec, LeafSpec\\)",
        "sync_dist=True",  # what is logged of an epoch is the same in all processes: see Means
    ):
        warnings.filterwarnings("ignore", f".*{message}.*")
    noise = (
        "Detected KeyboardInterrupt",
        "Tip:",
        "litlogger",
        "`weights_only` was not set",
        "TPU available",
        "Seed set to",
    )
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
        folder: Folder of the run.
        name: Name of the run.

    Returns:
        checkpoints/<name>.ckpt.

    Raises:
        InputError: The run has no checkpoint.
    """
    source = folder / BEST
    destination = CHECKPOINTS / f"{name}.ckpt"
    if not source.is_file():  # no validation, so that none was best
        source = folder / LAST
    if not source.is_file():
        raise InputError(f"nothing was trained: there is no checkpoint in {folder}; look at trainer.max_epochs")
    config = destination.with_suffix(".yaml")
    sweep(destination.parent)
    # killed in between, the checkpoint is never beside the config of another one, and never without a config unless
    # there was an earlier checkpoint: where there was none, what needs it would take it for whole
    config.unlink(missing_ok=True)
    copies = [(folder / CONFIG, config), (source, destination)]
    if destination.is_file():
        copies.reverse()
    for written, place in copies:
        copy_file(written, place, sync=True)
    return destination

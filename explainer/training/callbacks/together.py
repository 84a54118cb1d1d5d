"""What the processes of a training must agree on, before they wait for one another."""

import hashlib
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from explainer.errors import InputError
from explainer.training.processes import gathered


class Together(pl.Callback):
    """Say what a step is made of; see that all processes train the same, and bring together what each has met.

    Processes that have not the same images, or that go on from different places, would take another number of steps,
    and wait for one another without a word.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse other images or another checkpoint in one of the processes, and say how many images a step has.

        Raises:
            InputError: The processes do not agree; says on what.
        """
        if trainer.world_size > 1:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            facts = {"the checkpoint to go on from": str(trainer.ckpt_path)}
            for split in ("train", "val"):
                facts[f"the {split} images"] = digest_of(data.split(split).ids)
            compare(facts, pl_module)
        rank_zero_info(step_in_words(trainer))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse another place in the training, or another number of batches, in one of the processes.

        Raises:
            InputError: The processes do not agree; says on what.
        """
        if trainer.world_size == 1:
            return
        epochs: Any = trainer.fit_loop.epoch_progress.current
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        facts = {
            "the step": trainer.global_step,
            "the epoch": epochs.processed,
            "the batches done": batches.processed,
            "the number of training batches": trainer.num_training_batches,
            "the number of validation batches": list(trainer.num_val_batches),
        }
        compare({name: str(value) for name, value in facts.items()}, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let each process know the images that the others could not read."""
        if trainer.world_size == 1:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        splits = {split: data.split(split) for split in ("train", "val")}
        for names in gathered({split: dataset.unreadable for split, dataset in splits.items()}, pl_module.device):
            for split, dataset in splits.items():
                dataset.note_unreadable(names[split])


def compare(facts: dict[str, str], module: pl.LightningModule) -> None:
    """Refuse processes that do not agree.

    Args:
        facts: Name → what it is in this process.
        module: Module in training, on the device on which the processes talk to one another.

    Raises:
        InputError: Names the first fact that differs, and the processes.
    """
    parts = gathered(facts, module.device)
    for name, value in parts[0].items():
        for rank, part in enumerate(parts):
            if part[name] != value:
                raise InputError(
                    f"the processes of this training do not agree on {name}: {value} in process 0, {part[name]} in "
                    f"process {rank}; give all of them the same files and the same command"
                )


def digest_of(names: list[str]) -> str:
    """Return the number of names, and a digest of them in their order.

    Args:
        names: Names of images.

    Example:
        >>> digest_of(["a", "b"])
        '2 (digest 59b271ae)'
    """
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{len(names)} (digest {digest[:8]})"


def step_in_words(trainer: pl.Trainer) -> str:
    """Return how many images a step has, and the learning rate.

    Args:
        trainer: Trainer whose optimizers are set up.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    each = data.batch_size
    world = trainer.world_size
    accumulated = trainer.accumulate_grad_batches
    rates: list[float] = []
    for optimizer in trainer.optimizers:
        # a schedule has changed "lr" already
        rates += [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    distinct = ", ".join(f"{rate:g}" for rate in dict.fromkeys(rates))
    return (
        f"a step: {each} images × {world} {'process' if world == 1 else 'processes'} × {accumulated} accumulated = "
        f"{each * world * accumulated} images; learning rate {distinct} as configured, not scaled"
    )

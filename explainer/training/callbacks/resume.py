"""Keep `last.ckpt` in the run's folder, so that a run that was stopped, or killed, goes on as if it had not been."""

import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypedDict

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from explainer.errors import InputError
from explainer.functional.seeds import derived_seed
from explainer.stopping import Stopped
from explainer.training.processes import gathered

LAST = "last.ckpt"


class RandomStates(TypedDict):
    """States of PyTorch's random number generators."""

    cpu: Tensor
    cuda: list[Tensor]


class EpochEnd(NamedTuple):
    """What a checkpoint holds besides Lightning's own state, until the training that goes on has started.

    Attributes:
        random: States of the random number generators of the first process; None in a checkpoint without them.
        random_of_others: CPU states of the other processes' generators, in their order.
        should_stop: Whether early stopping has decided to end the training.
        plateau: Score that each scheduler still waits for; None where it waits for none.
    """

    random: RandomStates | None = None
    random_of_others: Sequence[Tensor] = ()
    should_stop: bool = False
    plateau: Sequence[float | None] = ()


class Resume(Checkpoint):
    """Save the state every so many steps, at the end of each epoch, and at Ctrl-C or SIGTERM.

    The state includes PyTorch's random number generators; the order of the images and their augmentation are functions
    of seed and epoch. So a resumed run on a CPU ends in the same weights, to the bit, as an uninterrupted one.
    The first Ctrl-C, or SIGTERM, finishes the step, saves and stops; the second one stops at once. Of several processes
    each draws its own random numbers. A signal that reaches one of them stops all; the first one writes the state.

    It has to be the last of the callbacks: then `last.ckpt` knows what the others made of the epoch, above all which
    epoch is the best. `best.ckpt` is written before it. Killed in between, the run computes the epoch again and writes
    the same `best.ckpt` again.

    Args:
        every_n_steps: Number of optimizer steps between saves within an epoch; at most so many are computed twice.
    """

    def __init__(self, every_n_steps: int = 200) -> None:
        if every_n_steps < 1:
            raise InputError(f"resume.every_n_steps must be positive, got {every_n_steps}")
        self.every_n_steps = every_n_steps
        self.stopped_by = 0
        self._saved = 0
        self._loaded = EpochEnd()
        self._previous: dict[int, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over Ctrl-C and SIGTERM; what is ignored, as in a grid's processes, stays ignored."""
        self.stopped_by = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._stop)

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take SIGTERM over from Lightning, among several processes."""
        self._take_over(trainer)

    def _take_over(self, trainer: pl.Trainer) -> None:
        """Take SIGTERM over from Lightning, which after `on_fit_start` has put a handler of its own before this one.

        At the signal its handler tells the other processes, whatever they are at: they would take its message for a
        part of what they wait for, such as gradients.
        """
        if trainer.world_size > 1 and signal.SIGTERM in self._previous:
            signal.signal(signal.SIGTERM, self._stop)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back; after a run that had nothing left to do, restore the random number generators."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
        self._restore_random()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.stopped_by:
            raise Stopped("", number)
        self.stopped_by = number
        rank_zero_info("\nstopping after this step (in validation: after it); Ctrl-C again stops at once")

    def on_save_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Add to every checkpoint the random number generators, and what Lightning does not keep of an epoch's end."""
        cuda = []
        if torch.cuda.is_available():
            cuda = torch.cuda.get_rng_state_all()
        checkpoint["random"] = RandomStates(cpu=torch.get_rng_state(), cuda=cuda)
        if trainer.world_size > 1:
            states = gathered(torch.get_rng_state().tolist(), pl_module.device)
            checkpoint["random_of_others"] = [torch.tensor(state, dtype=torch.uint8) for state in states[1:]]
        checkpoint["should_stop"] = trainer.should_stop
        if over(trainer):
            checkpoint["plateau"] = [metric_of(trainer, config) for config in trainer.lr_scheduler_configs]

    def on_load_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Keep the state until training starts: building and checking come in between."""
        # a checkpoint of an earlier version has not all of them
        self._loaded = EpochEnd(
            random=checkpoint.get("random"),
            random_of_others=checkpoint.get("random_of_others", []),
            should_stop=checkpoint.get("should_stop", False),
            plateau=checkpoint.get("plateau", []),
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore what was loaded, and count the batches of a resumed epoch as they are now."""
        self._take_over(trainer)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        shift_batches(trainer, data.progress.batches_done(trainer.num_training_batches))
        # a scheduler that waits for a score steps behind the hook that saved: its step is made up for
        for config, score in zip(trainer.lr_scheduler_configs, self._loaded.plateau, strict=False):
            if score is not None:
                config.scheduler.step(score)  # type: ignore[arg-type]  # one that waits takes a score
        # early stopping decides at an epoch's end, and Lightning forgets it in a checkpoint
        trainer.should_stop = trainer.should_stop or self._loaded.should_stop
        others = self._loaded.random_of_others
        self._restore_random()
        if trainer.global_rank > 0:
            self._draw_apart(trainer, others)

    def _draw_apart(self, trainer: pl.Trainer, states: Sequence[Tensor]) -> None:
        """Give a process beside the first one random numbers of its own: equal ones would drop out the same places."""
        if len(states) == trainer.world_size - 1:
            torch.set_rng_state(states[trainer.global_rank - 1].cpu())
            return
        # a new run, or one that had another number of processes
        torch.manual_seed(derived_seed(torch.initial_seed(), trainer.global_rank, trainer.global_step))

    def _restore_random(self) -> None:
        random = self._loaded.random
        self._loaded = EpochEnd()
        if random is None:
            return
        torch.set_rng_state(random["cpu"].cpu())
        if random["cuda"] and len(random["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in random["cuda"]])

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save within the epoch, unless validation follows: it decides which checkpoint is best, and comes first."""
        epoch_loop: Any = trainer.fit_loop.epoch_loop
        if epoch_loop.batch_progress.is_last_batch or epoch_loop._should_accumulate():
            return
        if not epoch_loop._should_check_val_fx(trainer.fit_loop._data_fetcher):
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after a validation within the epoch."""
        if not trainer.sanity_checking and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the finished epoch."""
        self._save(trainer, self._to_be_stopped(trainer))

    def _to_be_stopped(self, trainer: pl.Trainer) -> bool:
        """Tell whether any process was stopped: a signal reaches them at different steps, and they stop together."""
        stopping = trainer.strategy.reduce_boolean_decision(bool(self.stopped_by), all=False)
        if stopping:
            self.stopped_by = self.stopped_by or signal.SIGINT
        return stopping

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        due = trainer.global_step % self.every_n_steps == 0 and trainer.global_step != self._saved
        stopping = self._to_be_stopped(trainer)
        if due or stopping:
            self._save(trainer, stopping)

    def _save(self, trainer: pl.Trainer, stopping: bool) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = Path(trainer.default_root_dir) / LAST
        trainer.save_checkpoint(path)
        self._saved = trainer.global_step
        # of several processes not `stopped_by`: a signal that came meanwhile is known to this one alone, and the next
        # step sees to it
        if trainer.world_size == 1:
            stopping = bool(self.stopped_by)
        if stopping and not finished(trainer):
            message = f"stopped; saved {path} at step {trainer.global_step}: go on with --ckpt_path last"
            raise Stopped(message, self.stopped_by)


def over(trainer: pl.Trainer) -> bool:
    """Tell whether all batches of the epoch are done, and counted as an epoch."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return epochs.processed == epochs.ready


def finished(trainer: pl.Trainer) -> bool:
    """Tell whether the training ends with this epoch, so that nothing remains but to publish it."""
    limit = trainer.max_epochs
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return over(trainer) and limit is not None and 0 <= limit <= epochs.processed


def metric_of(trainer: pl.Trainer, config: Any) -> float | None:
    """Return the score that a scheduler still waits for at the end of this epoch; None where it waits for none."""
    waits = isinstance(config.scheduler, ReduceLROnPlateau) and config.interval == "epoch"
    epochs: Any = trainer.fit_loop.epoch_progress.current
    if not waits or epochs.processed % config.frequency:
        return None
    score = trainer.callback_metrics.get(config.monitor)
    return None if score is None else float(score)


def shift_batches(trainer: pl.Trainer, done: int | None) -> None:
    """Set how many batches of the epoch Lightning takes as done.

    Args:
        trainer: Trainer that is about to train.
        done: Number of batches; None changes nothing.
    """
    if done is None:
        return
    current: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    shift = done - current.processed
    current.ready += shift
    current.started += shift
    current.processed += shift
    current.completed += shift

"""How many images of the epoch are done: the part of a run's state that belongs to the data."""

from typing import Any

from explainer.data.sampler import EpochBatches


class EpochProgress:
    """Counts images, not batches, so that a run goes on with another batch size or number of processes.

    Lightning counts batches. When an epoch is resumed its count is set to what, with the batches that are left, makes
    as many as any epoch has.
    """

    def __init__(self) -> None:
        self._batches: EpochBatches | None = None
        self._loaded: int | None = None
        self._epoch = self._done = self._counted = 0

    def enter(self, fit_loop: Any, batches: EpochBatches) -> None:
        """Place the order of the images where the training is.

        Args:
            fit_loop: Lightning's loop, as a checkpoint or a new training has left it.
            batches: Batches of an epoch, whose sampler is set.
        """
        self._batches = batches
        self._epoch = fit_loop.epoch_progress.current.processed
        batches.order.set_epoch(self._epoch)  # workers start before Lightning tells
        progress, loaded = fit_loop.epoch_loop.batch_progress, self._loaded
        self._loaded, self._done, self._counted = None, 0, 0
        if not fit_loop.restarting or progress.is_last_batch:
            return
        # a checkpoint of an earlier version does not tell; it is gone on with as it was trained
        self._done = progress.current.processed * batches.images_a_step if loaded is None else loaded
        batches.order.skip_images(self._done)

    def batches_done(self, total: int) -> int | None:
        """Count the batches of a resumed epoch.

        Args:
            total: Batches of an epoch, on each process, as the Trainer limits them.

        Returns:
            Their number; None at the start of an epoch. Of images that do not fill a batch at the end of a resumed
            epoch, see `EpochBatches`.
        """
        if not self._done or self._batches is None:
            return None
        left = self._batches.left(self._done)
        if total < len(self._batches):  # the Trainer ends the epoch before the images do
            left = min(left, total - self._done // self._batches.images_a_step)
        self._counted = total - max(1, left)
        return self._counted

    def images_done(self, fit_loop: Any) -> int:
        """Count the images of the epoch that are done, in all processes together; 0 at its end.

        Args:
            fit_loop: Lightning's loop.
        """
        epochs, progress = fit_loop.epoch_progress.current, fit_loop.epoch_loop.batch_progress
        if self._batches is None or progress.is_last_batch or epochs.processed == epochs.ready:
            return 0
        resumed = epochs.processed == self._epoch
        before, counted = (self._done, self._counted) if resumed else (0, 0)
        return before + (progress.current.processed - counted) * self._batches.images_a_step

    def load(self, images: int) -> None:
        """Take over how many images a checkpoint has done.

        Args:
            images: Their number.
        """
        self._loaded = images

"""Count the images of the epoch that are done: the part of a run's state that belongs to the data."""

from typing import Any

from explainer.data.sampler import EpochBatches


class EpochProgress:
    """A count of images, not batches, so that a run goes on with another batch size or number of processes.

    Lightning counts batches. When an epoch is resumed its count is set to what, with the batches that are left, makes
    as many as any epoch has.
    """

    def __init__(self) -> None:
        self._batches: EpochBatches | None = None
        self._loaded: int | None = None
        self._epoch = 0
        self._done = 0
        self._counted = 0

    def enter(self, fit_loop: Any, batches: EpochBatches) -> None:
        """Place the order of the images where the training is.

        Args:
            fit_loop: Loop of Lightning, as a checkpoint or a new training has left it.
            batches: Batches of an epoch, whose sampler is set.
        """
        self._batches = batches
        self._epoch = fit_loop.epoch_progress.current.processed
        batches.order.set_epoch(self._epoch)  # workers start before Lightning tells
        progress = fit_loop.epoch_loop.batch_progress
        loaded = self._loaded
        self._loaded = None
        self._done = 0
        self._counted = 0
        if not fit_loop.restarting or progress.is_last_batch:
            return
        if loaded is None:  # a checkpoint of an earlier version, which goes on with the batch size it was trained with
            loaded = progress.current.processed * batches.images_a_step
        self._done = loaded
        batches.order.skip_images(self._done)

    def batches_done(self, total: int) -> int | None:
        """Count the batches of a resumed epoch.

        Args:
            total: Number of batches of an epoch, on each process, as the Trainer limits them.

        Returns:
            Number of batches that are done; None at the start of an epoch. `EpochBatches` says what becomes of images
            that do not fill a batch at the end of a resumed epoch.
        """
        if not self._done or self._batches is None:
            return None
        left = self._batches.left(self._done)
        if total < len(self._batches):  # the Trainer ends the epoch before the images do
            left = min(left, total - self._done // self._batches.images_a_step)
        # at least one is left: an epoch cannot end without a batch
        self._counted = total - max(1, left)
        return self._counted

    def images_done(self, fit_loop: Any) -> int:
        """Count the images of the epoch that are done, in all processes together; 0 at its end.

        Args:
            fit_loop: Loop of Lightning.
        """
        epochs = fit_loop.epoch_progress.current
        progress = fit_loop.epoch_loop.batch_progress
        if self._batches is None or progress.is_last_batch or epochs.processed == epochs.ready:
            return 0
        if epochs.processed != self._epoch:  # the epochs behind the resumed one begin at their start
            return progress.current.processed * self._batches.images_a_step
        batches = progress.current.processed - self._counted
        return self._done + batches * self._batches.images_a_step

    def load(self, images: int) -> None:
        """Take over how many images a checkpoint has done.

        Args:
            images: Number of images.
        """
        self._loaded = images

"""Let another classifier than the explanandum judge: one that was fine-tuned for what a metric shows it."""

from explainer.errors import InputError
from explainer.files import digest
from explainer.metrics.base import Judged
from explainer.networks import Explanandum


class FineTuned:
    """A classifier from a checkpoint that judges in place of the explanandum.

    Args:
        checkpoint: Checkpoint of the classifier.
        metric: Name of the metric, for errors.

    Attributes:
        sha256: Digest of the checkpoint: results must not outlive its weights.

    Raises:
        InputError: The checkpoint cannot be read.
    """

    def __init__(self, checkpoint: str, metric: str) -> None:
        self.checkpoint = checkpoint
        self.metric = metric
        self.network = Explanandum(checkpoint)
        self.sha256 = digest(checkpoint)

    def on(self, judged: Judged) -> Explanandum:
        """Return the classifier on the images' device.

        Args:
            judged: Images and masks to judge.

        Raises:
            InputError: It knows another number of classes than the explanandum.
        """
        classes = judged.labels.shape[1]
        if self.network.num_classes != classes:
            raise InputError(
                f"metric {self.metric}: {self.checkpoint} knows {self.network.num_classes} classes, the images have "
                f"{classes}: fine-tune it on the same data set"
            )
        return self.network.to(judged.image.device)

"""The settings of alternate explanations, as evaluate.py reads them from YAML."""

from explainer.attribution import Attribution
from explainer.errors import InputError, check_range
from explainer.evaluation.ranges import check_different, check_different_files, check_names
from explainer.experiments.variations import Variation
from explainer.experiments.variations.acceptance import Unchanged
from explainer.experiments.variations.box import Threshold


class VariationSettings:
    """Settings of alternate explanations: images × sources of variations × sizes of the salient box.

    Args:
        sources: Name → source of variations; None means that this is no such run.
        method: Method around whose saliency the box is drawn; None takes the checkpoint's Explainer, else Grad-CAM.
        alphas: Scales of the sides of the box around what is salient, in (0, 1].
        threshold: Threshold of the saliency, in (0, 1].
        threshold_of: Meaning of the threshold: a "fraction" of the map's range or a "quantile" of its pixels.
        same: Part of a multi-label decision that must stay: the "class" explained, or all "labels".
        shown: Number of variations in an image's picture.
        batch_size: Number of variations that the classifier sees at once.

    Raises:
        InputError: A number is out of range, a size is there twice, or two sources would have the same files.
    """

    def __init__(
        self,
        sources: dict[str, Variation] | None = None,
        method: Attribution | None = None,
        alphas: list[float] | None = None,
        threshold: float = 0.5,
        threshold_of: Threshold = "fraction",
        same: Unchanged = "class",
        shown: int = 24,
        batch_size: int = 64,
    ) -> None:
        self.sources: dict[str, Variation] = sources or {}
        self.method = method
        # the paper's sizes
        self.alphas = alphas or [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
        self.threshold = threshold
        self.threshold_of: Threshold = threshold_of
        self.same: Unchanged = same
        self.shown = shown
        self.batch_size = batch_size
        for value in (threshold, *self.alphas):
            check_range("experiment.init_args.threshold and alphas", value, 0, 1, above=True)
        check_different("experiment.init_args.alphas", alphas)
        if shown < 1 or batch_size < 1:
            raise InputError(
                f"experiment.init_args.shown and batch_size must be positive, got {shown} and {batch_size}"
            )
        check_names("experiment.init_args.sources", self.sources)
        check_different_files("experiment.init_args.sources", self.sources)

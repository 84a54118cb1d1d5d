"""What the soft scores of S. Stalder et al., NeurIPS 2022 (section 4.3) share: a mask beside the annotated objects."""

from abc import abstractmethod

from torch import Tensor

from explainer.metrics.base import ImageMetric, Judged, Measured
from explainer.metrics.segmentation import Objects, TruthRule, Void, truth_and_weight


class TruthMetric(ImageMetric):
    """Base of metrics that compare a mask with the objects of the segmentation; NaN for images without one.

    The objects are those that the images themselves have, whichever classes the masks explain.

    Args:
        void: Weight of void pixels: "ignore" gives them none, "object" counts them as object.
        objects: Objects of the truth: the "labelled" ones, or "all" that are segmented.
    """

    percent = True
    paper = "S. Stalder et al., NeurIPS 2022"
    range = "[0, 1]"

    def __init__(self, void: Void = "ignore", objects: Objects = "labelled") -> None:
        super().__init__()
        self.void: Void = void
        self.objects: Objects = objects

    @abstractmethod
    def compare(self, mask: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Compute a value for each image: (B,).

        Args:
            mask: Masks (B, 1, H, W) in [0, 1].
            truth: Truth (B, 1, H, W) of 0 and 1.
            weight: Weights (B, 1, H, W), 0 where a pixel does not count.
        """

    def measure(self, judged: Judged) -> Measured:
        """Compare the masks with the objects."""
        judged = judged.clean
        if judged.segmentation is None:
            undefined = judged.mask.new_full((len(judged.mask),), float("nan"))
            return Measured(undefined)
        # those of the images: a mask of a predicted class that is not there is compared with what is there
        labels = judged.labels if judged.annotated is None else judged.annotated
        rule = TruthRule(self.void, self.objects)
        truth, weight = truth_and_weight(judged.segmentation, labels, rule)
        values = self.compare(judged.mask, truth, weight)
        return Measured(values)

"""The metrics of an evaluation, on one method's masks of one batch."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from explainer.data import Batch
from explainer.evaluation.view import metric_view
from explainer.infill import Blur, Constant, Infill
from explainer.metrics import (
    Deletion,
    ImageMetric,
    Insertion,
    Judged,
    MaskMAE,
    SaliencyMetric,
    SoftAccuracy,
    SoftIoU,
    mean_level,
)
from explainer.metrics.segmentation import USUAL_TRUTH, TruthRule
from explainer.networks import Explanandum


class Answers(NamedTuple):
    """What the metrics say of one image.

    Attributes:
        scores: Column → value; None where it is not defined.
        curves: Column → curve of which the value is the area or the mean, where there is one.
    """

    scores: dict[str, float | None]
    curves: dict[str, list[float]]


def standard_metrics(
    explanandum: Explanandum,
    rule: TruthRule = USUAL_TRUTH,
    curve_steps: int = 0,
) -> dict[str, ImageMetric]:
    """Build the metrics that every evaluation has.

    Args:
        explanandum: Frozen classifier, whose mean colour deletion ends in.
        rule: Rule that says which pixels of the annotation are the truth.
        curve_steps: Steps of the insertion and deletion curves; 0 leaves the two out.

    Returns:
        Column → metric.
    """
    metrics: dict[str, ImageMetric] = {
        "acc": SoftAccuracy(rule.void, rule.objects),
        "iou": SoftIoU(rule.void, rule.objects),
        "mae": MaskMAE(rule.void, rule.objects),
        "sal": SaliencyMetric(),
    }
    if curve_steps:
        # whatever the config's own in-fill is: these two columns are RISE's
        grey = Constant(explanandum.mean_colour.flatten().tolist())
        metrics["insertion"] = Insertion(curve_steps, Blur(5.0), batch_size=16)
        metrics["deletion"] = Deletion(curve_steps, grey, batch_size=16)
    return metrics


class Judge:
    """Metrics, and what they need beside masks and images.

    Args:
        metrics: Column → metric.
        infill: In-fill of those that replace pixels; None is the classifier's mean colour.
        level: Value above which a mask's pixel is salient.
        alphas: Method → α, for methods whose pixels are salient above α times the map's mean.
    """

    def __init__(
        self,
        metrics: Mapping[str, ImageMetric],
        infill: Infill | None = None,
        level: float = 0.5,
        alphas: Mapping[str, float] | None = None,
    ) -> None:
        self.metrics = metrics
        self.infill = infill
        self.level = level
        self.alphas = alphas or {}

    def levels(self, method: str, mask: Tensor) -> Tensor:
        """Return the values above which pixels are salient, (B,).

        Args:
            method: Name of the method.
            mask: Masks (B, 1, H, W) in [0, 1].
        """
        if method in self.alphas:
            return mean_level(mask, self.alphas[method])
        return mask.new_full((len(mask),), self.level)

    def judged(self, explanandum: Explanandum, method: str, mask: Tensor, batch: Batch) -> Judged:
        """Gather what a metric may look at; what only an evaluation knows is for the caller to add.

        Args:
            explanandum: Frozen classifier.
            method: Name of the method.
            mask: Masks (B, 1, H, W) in [0, 1].
            batch: Images on the explanandum's device, with the classes that are explained as labels.
        """
        return metric_view(explanandum, mask, self.levels(method, mask), batch, self.infill)

    def __call__(self, judged: Judged, metrics: Mapping[str, ImageMetric] | None = None) -> list[Answers]:
        """Measure masks.

        Args:
            judged: Masks, and all that a metric may look at.
            metrics: Column → metric; None takes all of the judge's.

        Returns:
            Values and curves of each image.
        """
        if metrics is None:
            metrics = self.metrics
        answers = [Answers({}, {}) for _ in judged.mask]
        for column, metric in metrics.items():
            measured = metric.measure(judged)
            for index, answer in enumerate(answers):
                value = float(measured.value[index])
                # JSON has no NaN
                answer.scores[column] = None if value != value else value
                if measured.curve is None:
                    continue
                curve = measured.curve[index]
                # 5 digits, which a figure cannot show: rows are text, and a curve has hundreds of numbers
                if not bool(curve.isnan().any()):
                    answer.curves[column] = [round(point, 5) for point in curve.tolist()]
        return answers

"""The metrics that a config names, on one method's masks of one batch."""

from typing import Any

from torch import Tensor

from explainer.data import Batch
from explainer.evaluation.view import metric_view
from explainer.infill import Infill
from explainer.metrics import ImageMetric, Judged, mean_level
from explainer.networks import Explanandum


class Judge:
    """Metrics, and what they need beside masks and images.

    Args:
        metrics: Column → metric.
        infill: In-fill of those that replace pixels; None is the classifier's mean colour.
        level: Above it a mask's pixel is salient.
        alphas: Method → α, for methods whose pixels are salient above α times the map's mean.
    """

    def __init__(
        self,
        metrics: dict[str, ImageMetric],
        infill: Infill | None = None,
        level: float = 0.5,
        alphas: dict[str, float] | None = None,
    ) -> None:
        self.metrics, self.infill, self.level, self.alphas = metrics, infill, level, alphas or {}

    def levels(self, method: str, mask: Tensor) -> Tensor:
        """(B,): above it a pixel is salient."""
        if method in self.alphas:
            return mean_level(mask, self.alphas[method])
        return mask.new_full((len(mask),), self.level)

    def __call__(self, explanandum: Explanandum, method: str, mask: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """What to add to the rows of the images.

        Args:
            explanandum: The frozen classifier.
            method: Name.
            mask: (B, 1, H, W) in [0, 1].
            batch: The images, on the explanandum's device.

        Returns:
            An entry an image: a value for each column (None where it is not defined), whether nothing is salient, and
            the curves that values are areas of.
        """
        judged = self.judged(explanandum, method, mask, batch)
        empty = (~judged.region.flatten(1).any(1)).tolist()
        rows: list[dict[str, Any]] = [{"no_region": e, "curves": {}} for e in empty]
        for name, metric in self.metrics.items():
            found = metric.measure(judged)
            for n, row in enumerate(rows):
                value = float(found.value[n])
                row[name] = None if value != value else value
                if found.curve is not None and not bool(found.curve[n].isnan().any()):
                    row["curves"][name] = [round(v, 5) for v in found.curve[n].tolist()]
        return rows

    def judged(self, explanandum: Explanandum, method: str, mask: Tensor, batch: Batch) -> Judged:
        """All that a metric may look at."""
        return metric_view(explanandum, mask, self.levels(method, mask), batch, self.infill)

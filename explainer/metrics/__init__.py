"""Function and torchmetrics.Metric in one file each. The imports here are the registry."""

from explainer.metrics.accuracy import SoftAccuracy, soft_accuracy
from explainer.metrics.classification import MeanAveragePrecision, MeanF1
from explainer.metrics.insertion import DeletionAUC, InsertionAUC, area_under, removal_curve
from explainer.metrics.iou import SoftIoU, soft_iou
from explainer.metrics.mae import MaskMAE, mean_absolute_error
from explainer.metrics.saliency import SaliencyMetric, saliency_metric
from explainer.metrics.segmentation import truth_and_weight

__all__ = [
    "DeletionAUC", "InsertionAUC", "MaskMAE", "MeanAveragePrecision", "MeanF1", "SaliencyMetric", "SoftAccuracy",
    "SoftIoU", "area_under", "mean_absolute_error", "removal_curve", "saliency_metric", "soft_accuracy", "soft_iou",
    "truth_and_weight",
]  # fmt: skip

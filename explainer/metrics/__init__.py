"""Function and torchmetrics.Metric in one file each. The imports here are the registry."""

from explainer.metrics.accuracy import SoftAccuracy, soft_accuracy
from explainer.metrics.base import ImageMetric, Judged, Measured
from explainer.metrics.classification import MeanAveragePrecision, MeanF1
from explainer.metrics.flipping import Flipping, pixels_needed, remaining
from explainer.metrics.insertion import DeletionAUC, InsertionAUC, area_under, removal_curve
from explainer.metrics.iou import SoftIoU, soft_iou
from explainer.metrics.localisation import Localisation, alpha_errors, best_alpha, localisation_error, mean_level
from explainer.metrics.mae import MaskMAE, mean_absolute_error
from explainer.metrics.proportion import ProportionOutside, inside_boxes, proportion_outside
from explainer.metrics.rank_correlation import RankCorrelation, rank_correlation, ranks
from explainer.metrics.saliency import SaliencyMetric, saliency_metric
from explainer.metrics.saliency_crop import SaliencyCrop, crop_and_resize, saliency_crop
from explainer.metrics.segmentation import truth_and_weight, truth_boxes

__all__ = [
    "DeletionAUC", "Flipping", "ImageMetric", "InsertionAUC", "Judged", "Localisation", "MaskMAE",
    "MeanAveragePrecision", "MeanF1", "Measured", "ProportionOutside", "RankCorrelation", "SaliencyCrop",
    "SaliencyMetric", "SoftAccuracy", "SoftIoU", "alpha_errors", "area_under", "best_alpha", "crop_and_resize",
    "inside_boxes", "localisation_error", "mean_absolute_error", "mean_level", "pixels_needed", "proportion_outside",
    "rank_correlation", "ranks", "remaining", "removal_curve", "saliency_crop", "saliency_metric", "soft_accuracy",
    "soft_iou", "truth_and_weight", "truth_boxes",
]  # fmt: skip

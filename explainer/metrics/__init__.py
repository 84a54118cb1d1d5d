"""Function and torchmetrics.Metric in one file each. The imports here are the registry."""

from explainer.metrics.accuracy import SoftAccuracy, soft_accuracy
from explainer.metrics.base import ImageMetric, Judged, Measured
from explainer.metrics.box_iou import BoxIoU, best_iou
from explainer.metrics.classification import MeanAveragePrecision, MeanF1
from explainer.metrics.complexity import Complexity, entropy_of
from explainer.metrics.energy import EnergyPointing, energy_inside
from explainer.metrics.flipping import Flipping, pixels_needed, remaining
from explainer.metrics.insertion import Deletion, Insertion, area_under, removal_curve
from explainer.metrics.iou import SoftIoU, soft_iou
from explainer.metrics.localisation import Localisation, alpha_errors, best_alpha, localisation_error, mean_level
from explainer.metrics.mae import MaskMAE, mean_absolute_error
from explainer.metrics.masking_matrix import MaskingMatrix, masking_scores
from explainer.metrics.pointing import PointingGame, near, pointing_hit
from explainer.metrics.proportion import ProportionOutside, inside_boxes, proportion_outside
from explainer.metrics.rank_correlation import RankCorrelation, rank_correlation, ranks
from explainer.metrics.saliency import SaliencyMetric, saliency_metric
from explainer.metrics.saliency_crop import SaliencyCrop, crop_and_resize, saliency_crop
from explainer.metrics.segmentation import truth_and_weight, truth_boxes
from explainer.metrics.sparseness import Sparseness, gini

__all__ = [
    "BoxIoU",
    "Complexity",
    "Deletion",
    "EnergyPointing",
    "Flipping",
    "ImageMetric",
    "Insertion",
    "Judged",
    "Localisation",
    "MaskMAE",
    "MaskingMatrix",
    "MeanAveragePrecision",
    "MeanF1",
    "Measured",
    "PointingGame",
    "ProportionOutside",
    "RankCorrelation",
    "SaliencyCrop",
    "SaliencyMetric",
    "SoftAccuracy",
    "SoftIoU",
    "Sparseness",
    "alpha_errors",
    "area_under",
    "best_alpha",
    "best_iou",
    "crop_and_resize",
    "energy_inside",
    "entropy_of",
    "gini",
    "inside_boxes",
    "localisation_error",
    "masking_scores",
    "mean_absolute_error",
    "mean_level",
    "near",
    "pixels_needed",
    "pointing_hit",
    "proportion_outside",
    "rank_correlation",
    "ranks",
    "remaining",
    "removal_curve",
    "saliency_crop",
    "saliency_metric",
    "soft_accuracy",
    "soft_iou",
    "truth_and_weight",
    "truth_boxes",
]

"""Function and torchmetrics.Metric in one file each. The imports here are the registry."""

from explainer.metrics.accuracy import SoftAccuracy, soft_accuracy
from explainer.metrics.average_drop import AverageDrop, AverageIncrease, relative_drop
from explainer.metrics.base import ImageMetric, Judged, Measured
from explainer.metrics.box_iou import BoxIoU, best_iou
from explainer.metrics.classification import MeanAveragePrecision, MeanF1
from explainer.metrics.complexity import Complexity, entropy_of
from explainer.metrics.energy import EnergyPointing, energy_inside
from explainer.metrics.f_fidelity import FFidelity, FFidelityMinus, FFidelityPlus, removal_rate
from explainer.metrics.flipping import Flipping, pixels_needed, remaining
from explainer.metrics.infidelity import Infidelity, infidelity, random_squares
from explainer.metrics.insertion import Deletion, Insertion, area_under, removal_curve
from explainer.metrics.iou import SoftIoU, soft_iou
from explainer.metrics.localisation import Localisation, alpha_errors, best_alpha, localisation_error, mean_level
from explainer.metrics.mae import MaskMAE, mean_absolute_error
from explainer.metrics.masking_matrix import MaskingMatrix, masking_scores
from explainer.metrics.part_deletion import PartDeletion, agreement_in_order, logit_falls
from explainer.metrics.pointing import PointingGame, near, pointing_hit
from explainer.metrics.proportion import ProportionOutside, inside_boxes, proportion_outside
from explainer.metrics.rank_correlation import RankCorrelation, rank_correlation, ranks
from explainer.metrics.road import ROAD, scores_after_removal
from explainer.metrics.saliency import SaliencyMetric, saliency_metric
from explainer.metrics.saliency_crop import SaliencyCrop, crop_and_resize, saliency_crop
from explainer.metrics.segmentation import truth_and_weight, truth_boxes
from explainer.metrics.single_deletion import IDSDS, patch_sums, single_deletion_score
from explainer.metrics.sparseness import Sparseness, gini

__all__ = [
    "IDSDS",
    "ROAD",
    "AverageDrop",
    "AverageIncrease",
    "BoxIoU",
    "Complexity",
    "Deletion",
    "EnergyPointing",
    "FFidelity",
    "FFidelityMinus",
    "FFidelityPlus",
    "Flipping",
    "ImageMetric",
    "Infidelity",
    "Insertion",
    "Judged",
    "Localisation",
    "MaskMAE",
    "MaskingMatrix",
    "MeanAveragePrecision",
    "MeanF1",
    "Measured",
    "PartDeletion",
    "PointingGame",
    "ProportionOutside",
    "RankCorrelation",
    "SaliencyCrop",
    "SaliencyMetric",
    "SoftAccuracy",
    "SoftIoU",
    "Sparseness",
    "agreement_in_order",
    "alpha_errors",
    "area_under",
    "best_alpha",
    "best_iou",
    "crop_and_resize",
    "energy_inside",
    "entropy_of",
    "gini",
    "infidelity",
    "inside_boxes",
    "localisation_error",
    "logit_falls",
    "masking_scores",
    "mean_absolute_error",
    "mean_level",
    "near",
    "patch_sums",
    "pixels_needed",
    "pointing_hit",
    "proportion_outside",
    "random_squares",
    "rank_correlation",
    "ranks",
    "relative_drop",
    "remaining",
    "removal_curve",
    "removal_rate",
    "saliency_crop",
    "saliency_metric",
    "scores_after_removal",
    "single_deletion_score",
    "soft_accuracy",
    "soft_iou",
    "truth_and_weight",
    "truth_boxes",
]

"""The facts on which the rows of an evaluation depend, as plain values: the fingerprint of its store."""

from collections.abc import Mapping

from explainer.attribution import Attribution
from explainer.evaluation.scoring.class_matrix import ClassMatrix
from explainer.evaluation.settings import Evaluation
from explainer.evaluation.storage.fingerprint import Description, Fingerprint, infill_settings, settings_of
from explainer.infill import Infill
from explainer.metrics import ImageMetric


def method_facts(
    settings: Evaluation,
    methods: dict[str, Attribution],
    matrix: ClassMatrix | None = None,
) -> Fingerprint:
    """Gather the facts on which the rows depend, besides the classifier and the images.

    Args:
        settings: Settings of the evaluation.
        methods: Name → method.
        matrix: Class-specific masking matrix, whose numbers are in the rows.

    Returns:
        Plain values; settings that are not used are left out, so that earlier results stay valid.
    """
    facts: Fingerprint = {"void": settings.truth.void, "methods": settings_of(methods)}
    if settings.truth.objects != "labelled":
        facts["objects"] = settings.truth.objects
    facts |= target_facts(settings)
    if settings.curve_steps:
        facts["curve_steps"] = settings.curve_steps
    if not settings.maker.scaled:
        facts["scaled"] = False
    if settings.truth.boxes:
        facts["true_boxes"] = True
    if matrix is not None:
        facts["matrix"] = {"classes": matrix.classes, "methods": sorted(matrix.methods)}
        if settings.class_matrix.methods is True:
            # by name, every method that is added would make the facts other ones, and earlier rows useless
            facts["matrix"]["methods"] = True
    if settings.decisions is not None:
        facts["decisions"] = settings.targets.threshold
    facts |= check_facts(settings)
    facts |= metric_facts(settings)
    return facts


def check_facts(settings: Evaluation) -> Fingerprint:
    """Return what the config asks of sanity checks; nothing without any."""
    if not settings.checks:
        return {}
    # the key keeps its name of before, so that earlier results stay valid
    facts: Fingerprint = {"probes": described_metrics(settings.checks)}
    if settings.checked is not None:
        facts["probed"] = sorted(settings.checked)
    return facts


def metric_facts(settings: Evaluation) -> Fingerprint:
    """Return what the config asks of further metrics, and what they depend on; nothing without any."""
    if not settings.metrics:
        return {}
    infill = None
    if settings.infill is not None:
        infill = infill_settings(settings.infill)
    salient = {key: getattr(settings.salient, key) for key in ("level", "alpha", "held_out", "held_out_split")}
    return {"metrics": described_metrics(settings.metrics), "infill": infill, "salient": salient}


def described_metrics(metrics: Mapping[str, ImageMetric]) -> dict[str, Description]:
    """Describe metrics by class, direction and hyperparameters.

    Args:
        metrics: Column → metric.

    Example:
        >>> from explainer.metrics import PointingGame
        >>> described_metrics({"hit": PointingGame()})["hit"]["class"]
        'PointingGame'
    """
    return {
        name: {"class": type(metric).__name__, "higher_is_better": metric.higher_is_better} | metric.settings
        for name, metric in metrics.items()
    }


def target_facts(settings: Evaluation) -> Fingerprint:
    """Return which classes the masks explain, unless it is the labels, so that earlier results stay valid."""
    if settings.targets.kind == "labels":
        return {}
    return {"targets": list(settings.targets)}


def all_infills(settings: Evaluation, methods: dict[str, Attribution]) -> dict[str, Infill]:
    """Gather every in-fill that an evaluation will use, each under a name for errors.

    Args:
        settings: Settings of the evaluation.
        methods: Name → method.
    """
    candidates: dict[str, object] = {}
    for name, method in methods.items():
        candidates[f"of {name}"] = getattr(method, "infill", None)
    for name, metric in settings.metrics.items():
        candidates[f"of metric {name}"] = getattr(metric, "infill", None)
    candidates |= {"of evaluation.infill": settings.infill, **settings.infills}
    return {name: infill for name, infill in candidates.items() if isinstance(infill, Infill)}

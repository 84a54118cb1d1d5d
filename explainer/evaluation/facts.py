"""What the rows of an evaluation depend on, as plain values: the fingerprint of its store."""

from typing import Any

from explainer.attribution import Attribution
from explainer.evaluation.scoring.class_matrix import ClassMatrix
from explainer.evaluation.settings import Evaluation
from explainer.evaluation.storage.fingerprint import infill_settings, settings_of
from explainer.infill import Infill


def method_facts(
    settings: Evaluation, methods: dict[str, Attribution], matrix: ClassMatrix | None = None
) -> dict[str, Any]:
    """What the rows depend on, besides the classifier and the images.

    Args:
        settings: Settings of the evaluation.
        methods: Name → method.
        matrix: What it finds is in the rows.

    Returns:
        Plain values; settings that are not used are left out, so that earlier results stay valid.
    """
    facts: dict[str, Any] = {"void": settings.truth.void, "methods": settings_of(methods)}
    facts |= {} if settings.truth.objects == "labelled" else {"objects": settings.truth.objects}
    facts |= target_facts(settings)
    facts |= {"curve_steps": settings.curve_steps} if settings.curve_steps else {}
    facts |= {} if settings.maker.scaled else {"scaled": False}
    facts |= {"true_boxes": True} if settings.truth.boxes else {}
    if matrix is not None:
        asked = settings.class_matrix.methods if settings.class_matrix.methods is True else sorted(matrix.methods)
        facts["matrix"] = {"classes": matrix.classes, "methods": asked}
    facts |= {} if settings.decisions is None else {"decisions": settings.targets.threshold}
    if settings.checks:
        facts |= {} if settings.checked is None else {"probed": sorted(settings.checked)}
        facts["probes"] = {
            name: {"class": type(one).__name__, "higher_is_better": one.higher_is_better} | one.settings
            for name, one in settings.checks.items()
        }
    if settings.metrics:
        facts["metrics"] = {
            name: {"class": type(metric).__name__, "higher_is_better": metric.higher_is_better} | metric.settings
            for name, metric in settings.metrics.items()
        }
        facts["infill"] = None if settings.infill is None else infill_settings(settings.infill)
        facts["salient"] = {
            key: getattr(settings.salient, key) for key in ("level", "alpha", "held_out", "held_out_split")
        }
    return facts


def target_facts(settings: Evaluation) -> dict[str, Any]:
    """Return which classes the masks explain, unless it is the labels, so that earlier results stay valid."""
    return {} if settings.targets.kind == "labels" else {"targets": list(settings.targets)}


def all_infills(settings: Evaluation, methods: dict[str, Attribution]) -> dict[str, Infill]:
    """Every in-fill that an evaluation will use, under a name for errors."""
    own = {f"of {name}": getattr(method, "infill", None) for name, method in methods.items()}
    own |= {f"of metric {name}": getattr(metric, "infill", None) for name, metric in settings.metrics.items()}
    known = {**own, "of evaluation.infill": settings.infill, **settings.infills}
    return {name: infill for name, infill in known.items() if isinstance(infill, Infill)}

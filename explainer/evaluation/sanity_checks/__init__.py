"""Questions to a method that take further maps to answer, a sanity check a file. The imports here are the registry."""

from explainer.evaluation.sanity_checks.base import MethodRun, SanityCheck, agreement, with_setting
from explainer.evaluation.sanity_checks.convergence import Convergence, with_budget
from explainer.evaluation.sanity_checks.randomisation import Randomisation
from explainer.evaluation.sanity_checks.retrained import Retrained
from explainer.evaluation.sanity_checks.seed_stability import SeedStability, pairwise
from explainer.evaluation.sanity_checks.sensitivity import Sensitivity

__all__ = [
    "Convergence",
    "MethodRun",
    "Randomisation",
    "Retrained",
    "SanityCheck",
    "SeedStability",
    "Sensitivity",
    "agreement",
    "pairwise",
    "with_budget",
    "with_setting",
]

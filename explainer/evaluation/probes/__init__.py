"""Questions to a method that take further maps to answer, a probe a file. The imports here are the registry."""

from explainer.evaluation.probes.base import Probe, Probed, agreement, with_setting
from explainer.evaluation.probes.convergence import Convergence, with_budget
from explainer.evaluation.probes.randomisation import Randomisation
from explainer.evaluation.probes.retrained import Retrained
from explainer.evaluation.probes.seed_stability import SeedStability, pairwise
from explainer.evaluation.probes.sensitivity import Sensitivity

__all__ = [
    "Convergence", "Probe", "Probed", "Randomisation", "Retrained", "SeedStability", "Sensitivity", "agreement",
    "pairwise", "with_budget", "with_setting",
]  # fmt: skip

"""Ways to run many calls: in processes of this machine, on a cluster of Ray, or as jobs of SLURM.

The imports are the registry: a launcher is chosen by its class's name in YAML.
"""

from explainer.launching.base import Engine, Launcher
from explainer.launching.cells import Cell, run_cells
from explainer.launching.local import Local
from explainer.launching.ray_cluster import Ray
from explainer.launching.slurm import Submitit

__all__ = ["Cell", "Engine", "Launcher", "Local", "Ray", "Submitit", "run_cells"]

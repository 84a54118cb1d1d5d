"""Where the files lie that the project comes with: the configs, and a trained checkpoint."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# a wheel has them inside the package, a checkout beside it: see setup.py
_HOME = _PACKAGE if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent

CONFIGS = _HOME / "configs"
"""Folder in which a bare name of a config is looked up."""
SHIPPED = _HOME / "checkpoints" / "voc_lite0.ckpt"
"""An Explainer of animals and people in photographs, trained on VOC 2012."""

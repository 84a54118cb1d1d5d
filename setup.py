"""Tell setuptools which folders are packages; everything else stands in pyproject.toml, which has no words for this."""

from setuptools import find_namespace_packages, find_packages, setup

# configs/ and the trained checkpoint lie at the top of the tree, where a person looks for them. In a wheel they lie
# inside the package, so that `--config voc_lite0.yaml` is found from any folder: see explainer/cli/paths.py.
code = find_packages(include=["explainer", "explainer.*"])
configs = ["explainer.configs", *(f"explainer.configs.{name}" for name in find_namespace_packages("configs"))]

setup(
    packages=[*code, *configs, "explainer.checkpoints"],
    package_dir={"explainer.configs": "configs", "explainer.checkpoints": "checkpoints"},
)

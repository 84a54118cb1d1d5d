"""The wheel holds all that a run needs, and runs in a folder that is not the project's."""

import os
import shutil
import subprocess
import sys
from distutils.core import run_setup
from pathlib import Path

import pytest
from setuptools import build_meta
from setuptools.command.build_py import build_py

from tests.support.tiny_runs import ROOT

SOURCES = ("explainer", "configs", "checkpoints/voc_lite0.ckpt", "pyproject.toml", "setup.py", "README.md", "LICENSE")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the project, in which a build may write; it is the current folder."""
    folder = tmp_path / "source"
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    monkeypatch.chdir(folder)
    return folder


def files_of_the_tree():
    """Paths in the wheel of all that it must hold."""
    code = {path.relative_to(ROOT) for path in (ROOT / "explainer").rglob("*.py")}
    beside = {
        p.relative_to(ROOT)
        for ending in ("html", "css", "js", "cpp")
        for p in (ROOT / "explainer").rglob(f"*.{ending}")
    }
    configs = {Path("explainer") / path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.yaml")}
    return {*code, *beside, *configs, Path("explainer/checkpoints/voc_lite0.ckpt")}


def test_the_wheel_holds_code_configs_pages_and_the_checkpoint(source):
    settings = run_setup("setup.py", stop_after="config")
    command = build_py(settings)
    command.build_lib = "lib"
    command.finalize_options()
    files = {Path(path).relative_to("lib") for path in command.get_output_mapping()}
    assert files == files_of_the_tree()
    assert len([path for path in files if path.suffix == ".yaml"]) > 100
    assert settings.entry_points == {"console_scripts": ["explainer = explainer.__main__:program"]}
    assert settings.metadata.get_name() == "saliency-explainer"


@pytest.mark.slow
def test_an_installed_wheel_trains_and_explains_in_another_folder(source, tmp_path):
    """The heavy packages are those of this environment; the project is the wheel's."""
    wheel = build_meta.build_wheel(str(tmp_path))
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", site, tmp_path / wheel], check=True
    )  # fmt: skip
    shutil.rmtree(source)
    here = tmp_path / "here"
    here.mkdir()

    def explainer(*arguments):
        done = subprocess.run(
            [sys.executable, site / "bin" / "explainer", *arguments], cwd=here, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(site)}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = "import explainer; print(explainer.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", place], cwd=here, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(site)}
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(site)
    small = ["--data.init_args.train_images", "8", "--data.init_args.val_images", "4", "--trainer.logger", "false"]
    # one epoch: fast_dev_run would leave no classifier for the Explainer
    explainer("train", "--config", "shapes_small_classifier.yaml", *small, "--trainer.max_epochs", "1")
    assert (here / "checkpoints" / "shapes_small_classifier.ckpt").is_file()
    explainer("train", "--config", "shapes_small.yaml", *small, "--trainer.fast_dev_run", "true")
    shutil.copy(ROOT / "docs" / "pictures" / "class_masks.jpg", here / "photo.jpg")
    assert "written to explained" in explainer("photo.jpg", "--device", "cpu")
    assert (here / "explained" / "photo" / "overview.png").is_file()
    assert "evaluate" in explainer("--help")
    assert "explainer evaluate" in explainer("evaluate", "--help").splitlines()[0]


def test_the_program_finds_the_python_files_of_the_folder_it_is_called_in(tmp_path):
    """An installed program begins with the folder of its own file on the path, where `python -m` has the current one."""
    bin_folder = tmp_path / "bin"
    here = tmp_path / "here"
    bin_folder.mkdir()
    here.mkdir()
    # what pip writes for the entry point
    script = bin_folder / "explainer"
    script.write_text("import sys\nfrom explainer.__main__ import program\nsys.exit(program())\n")
    (here / "my_models.py").write_text(
        "from torch import nn\ndef my_network():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
    )
    (here / "torch.py").write_text("raise ImportError('a file of the folder hides a package')\n")
    shutil.copy(ROOT / "docs" / "pictures" / "class_masks.jpg", here / "photo.jpg")
    command = ["photo.jpg", "--network", "my_models.my_network", "--method", "Gradient", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, script, *command], cwd=here, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (here / "explained" / "photo" / "Gradient.png").is_file()

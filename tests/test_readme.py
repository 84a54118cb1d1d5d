"""What the README and the pages of docs/guide and docs/results say, done."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torchvision import models

from explainer.__main__ import main
from explainer.cli.evaluate import evaluate
from explainer.cli.options import audit_options, serve_options
from explainer.cli.parser import ExplainerCLI
from explainer.cli.paths import SHIPPED
from explainer.cli.prerequisites import without_missing
from explainer.cli.shipping import main as ship
from explainer.cli.train import train
from explainer.training.searching.results import write_best
from explainer.training.searching.study import Tried
from tests.support import trees
from tests.support.shipped import NAMES
from tests.support.small_checkpoints import save_explainer
from tests.support.tiny_runs import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md")), *sorted((ROOT / "docs/results").glob("*.md"))]
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text() for path in PAGES}
BLOCKS = [
    (name, kind, block)
    for name, text in TEXT.items()
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
]
COMMANDS = [line for _, kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line]
SCRIPT = "python docs/pictures/smoe_gallery.py"


def blocks(page, kind):
    """The blocks of a page in a language."""
    return [block for name, language, block in BLOCKS if (name, language) == (page, kind)]


(MINE,) = blocks("docs/guide/own_classifier.md", "yaml")
SMALL = ["--data.init_args.image_size=32", "--data.init_args.batch_size=4", "--data.init_args.num_workers=0"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(MINE)
    return tmp_path


def commands(start):
    return [shlex.split(line)[2:] for line in COMMANDS if line.startswith(start)]


def test_every_command_is_one_of_those_tested_here():
    for line in COMMANDS:
        known = (
            "make ",
            "python train.py",
            "python evaluate.py",
            "python -m explainer",
            SCRIPT,
            "python docs/",
            "python benchmarks/",
        )
        assert line.startswith(known), line
        script = shlex.split(line)[1]
        assert not script.endswith(".py") or (ROOT / script).is_file(), script


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", " ".join(COMMANDS)):
        assert f"\n{target}:" in makefile


def test_the_readme_is_short_and_every_page_is_read():
    assert (ROOT / "README.md").stat().st_size <= 9000
    assert len(PAGES) > 15
    assert len(commands("python train.py")) + len(commands("python evaluate.py")) > 20


@pytest.mark.parametrize("arguments", commands("python train.py") + commands("python evaluate.py"), ids=" ".join)
def test_commands_are_understood(here, arguments):
    """Parsed, not built: what is built may need a checkpoint."""
    for word in arguments:
        if word.startswith("runs/") and word.endswith("best.yaml"):  # which a search before has left
            settings = {"model.init_args.objective.init_args.tv": 0.5}
            trial = Tried(0, settings, 0.5, {"val/score": 0.5}, False, "")
            Path(word).parent.mkdir(parents=True)
            write_best(Path(word), "shapes_small_features", trial, "val/score")
    if "--help" not in arguments:
        config = ExplainerCLI(arguments, evaluating=True).config
        # an experiment that reads finished results has no network
        class_path = (config.model or config.explanandum or config.experiment).class_path
        rooms = ("explainer.training.modules.", "explainer.networks.Explanandum", "explainer.experiments.")
        assert class_path.startswith(rooms)


def test_files_and_configs_exist():
    """Links are those of tests/test_docs.py."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for text in (path.read_text() for path in documents):
        for name in re.findall(r"`((?:voc|coco|imagenet|shapes|fashion_mnist|photographs)_\w+\.yaml)`", text):
            assert name in NAMES
        for path in re.findall(r"`((?:explainer|tests|benchmarks)/[\w/]+(?:\.py)?)`", text):
            assert (ROOT / path).exists(), path


def test_the_tree_of_the_readme_is_that_of_the_package():
    (tree,) = (block for block in blocks("README.md", "text") if "explainer/\n" in block)
    below = tree.partition("explainer/\n")[2]
    rooms = {path.name for path in (ROOT / "explainer").iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(re.findall(r"^  (\w+)/", below, re.MULTILINE))


def test_photographs_and_python(here, capsys):
    (here / "checkpoints").mkdir()
    save_explainer(here / "checkpoints" / "shapes_small.ckpt")
    trees.photo(here / "photo.jpg")
    trees.photo(here / "another.png", 1)
    every = [shlex.split(command)[3:] for command in COMMANDS if command.startswith("python -m explainer ")]
    every = [arguments for arguments in every if "--method" not in arguments]
    one, without, named = (arguments for arguments in every if arguments[0] == "photo.jpg")
    assert "--ckpt_path" not in one + without  # the checkpoint that the project comes with
    assert main(one) == 0
    assert (here / "explained" / "photo" / "overview.png").is_file()
    assert main(without) == 0
    assert main(named) == 0
    assert (here / "explained" / "another" / "overview.png").is_file()
    (folder,) = (arguments for arguments in every if arguments[0] == "photos/")
    trees.photo(here / "photos" / "third.png")
    assert main(folder) == 0
    assert (here / "explained" / "third" / "arrays.safetensors").is_file()
    (page,) = (arguments for arguments in every if arguments[0] == "serve")
    assert serve_options(page[1:]).ckpt_path == SHIPPED
    (code,) = blocks("docs/guide/photographs.md", "python")
    names = {}
    exec(code, names)
    assert names["mask"].shape == (1, 1, 30, 40)
    assert names["masks"].shape == (1, 3, 30, 40)


def test_audits_are_understood():
    audits = [arguments[2:] for arguments in commands("python -m explainer audit")]
    assert len(audits) >= 5
    for arguments in audits:
        options = audit_options(arguments)
        data = options.data
        # a config of the project, or a folder of one's own
        assert not data.suffix or (ROOT / "configs" / data).is_file()


def test_my_own_classifier_on_my_own_images(here, capsys):
    torch.save(models.resnet18(num_classes=2).state_dict(), here / "my_weights.pth")
    trees.folder_tree(here / "my_images")
    train(["--config", "mine.yaml", *SMALL, "--trainer.max_epochs=1", "--trainer.logger=false"])
    content = evaluate(["--config", "mine.yaml", *SMALL])
    assert {"Explainer", "Grad-CAM"} <= set(content["results"])
    assert main(["my_images/cat/1.png", "--ckpt_path", "checkpoints/mine.ckpt"]) == 0
    assert "checkpoints/mine.ckpt" in capsys.readouterr().err + TEXT["docs/guide/own_classifier.md"]


def test_my_own_network_from_a_python_function(here, monkeypatch, capsys):
    (here / "my_models.py").write_text(
        "from torchvision import models\n\n\ndef my_network():\n    return models.squeezenet1_1(num_classes=2)\n"
    )
    monkeypatch.syspath_prepend(here)
    trees.folder_tree(here / "my_images")
    own = ["--model.init_args.explanandum.network=my_models.my_network", "--model.init_args.explanandum.weights=null",
           "--model.init_args.masker.encoder_weights=null"]  # fmt: skip
    train(["--config", "mine.yaml", *own, *SMALL, "--trainer.max_epochs=1", "--trainer.logger=false"])
    evaluate(["--config", "mine.yaml", *own, *SMALL])
    photo = ["my_images/cat/1.png", "--ckpt_path", "checkpoints/mine.ckpt"]
    assert main(photo) == 2
    assert "allow the package 'my_models'" in capsys.readouterr().err
    assert main([*photo, "--allow", "my_models"]) == 0


def test_smoe_of_photographs(here):
    for number, name in enumerate(("one.jpg", "two.jpg")):
        trees.photo(here / name, number)
    (line,) = [c for c in COMMANDS if c.startswith(SCRIPT)]
    script, *arguments = shlex.split(line)[1:]
    small = ["--network", "resnet18", "--size", "64"]
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments, *small],
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    assert Image.open("smoe.png").height > 200


@pytest.mark.slow
def test_voc_with_the_real_vgg16_from_nothing(here, monkeypatch):
    """The guide's command on a tree in VOC's layout; the weights are where a download would put them."""
    trees.voc_tree(here / "data" / "voc", train=4)
    monkeypatch.setenv("TORCH_HOME", str(here / "hub"))
    file = models.VGG16_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
    (here / "hub" / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(models.vgg16().state_dict(), here / "hub" / "hub" / "checkpoints" / file)
    train(["--config", "voc_vgg16.yaml", "--trainer.max_epochs=1", "--data.init_args.batch_size=2"])
    assert {p.name for p in (here / "checkpoints").glob("*.ckpt")} == {"voc_vgg16.ckpt", "voc_vgg16_classifier.ckpt"}
    content = evaluate(["--config", "voc_vgg16.yaml", "--data.init_args.batch_size=2"])
    assert content["results"]["Explainer"]["n"]["iou"] == 2


def test_my_own_classifier_in_five_lines(here):
    (code,) = blocks("README.md", "python")
    assert len([line for line in code.splitlines() if line]) == 5
    trees.photo(here / "photo.jpg")
    names = {"my_models": SimpleNamespace(my_network=lambda: models.resnet18(num_classes=5))}
    exec(code, names)
    assert names["result"].saliency.shape == (1, 1, 30, 40)
    assert Image.open("saliency.png").size == (40, 30)


def test_the_command_that_hands_a_checkpoint_on(here):
    (here / "checkpoints").mkdir()
    save_explainer(here / "checkpoints" / "shapes_small.ckpt")
    (line,) = [c for c in COMMANDS if c.startswith("python -m explainer.cli.shipping")]
    assert ship(shlex.split(line)[3:]) == 0
    assert (here / "small.ckpt").is_file()


def test_the_lines_that_call_a_method():
    code, of_functions = blocks("docs/guide/methods.md", "python")
    for written, small in (
        ('"resnet50", weights="my_weights.pth"', '"explainer.networks.small.small_cnn", num_classes=300'),
        ("224, 224", "32, 32"), ("steps=300", "steps=2"),
    ):  # fmt: skip
        assert written in code
        code = code.replace(written, small)
    names = {}
    exec(code, names)
    assert names["maps"].shape == names["explained"].uncertainty.shape == (2, 1, 32, 32)
    assert names["theirs"].shape == (2, 3, 32, 32)
    names |= {"cosine_similarity": torch.nn.functional.cosine_similarity, "reference": torch.rand(1, 300)}
    exec(of_functions, names)
    assert names["maps"].shape == (2, 1, 32, 32)


def test_the_configs_of_the_cluster_page_are_read(here):
    launchers = {}
    for text in blocks("docs/guide/cluster.md", "yaml"):
        (here / "grid.yaml").write_text(text)
        cli = ExplainerCLI(["--config", "grid.yaml"], evaluating=True)
        launcher = cli.built(without_missing(cli.needed())).experiment.launcher
        launchers[type(launcher).__name__] = launcher
    assert list(launchers) == ["Local", "Ray", "Submitit"]
    assert (launchers["Local"].workers, launchers["Ray"].address, launchers["Ray"].cpus) == (4, "local", 2)
    script = launchers["Submitit"].script(here / "jobs", 120).splitlines()
    (shown,) = blocks("docs/guide/cluster.md", "text")
    # all that no path is in
    assert [line for line in script if "/" not in line or "bin/bash" in line] == [
        line for line in shown.splitlines() if "/" not in line or "bin/bash" in line
    ]

"""What a person meets on the command line when something given cannot be used: one line that says what to do."""

import json
import os
import pickle
import urllib.request
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from explainer.cli.evaluate import evaluate
from explainer.cli.parser import ExplainerCLI
from explainer.cli.prerequisites import forwarded
from explainer.cli.reading import find_config
from explainer.cli.train import train
from explainer.errors import InputError
from tests.support import trees
from tests.support.bad_inputs import status_of
from tests.support.small_checkpoints import save_classifier, save_explainer
from tests.support.tiny_runs import ROOT, classifier_config, explainer_config, trainer

SHAPES = ("stripes", "checks", "dots", "rings", "zigzags", "rays")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def checkpoint(name="tiny_classifier", save=save_classifier, classes=SHAPES, **options):
    (folder := ROOT.__class__("checkpoints")).mkdir(exist_ok=True)
    return save(folder / f"{name}.ckpt", classes, **options)


def test_without_data_and_network_it_ends_in_one_line(tmp_path, monkeypatch):
    nowhere = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "TORCH_HOME": str(tmp_path)}
    for name, value in nowhere.items():
        monkeypatch.setenv(name, value)
    # urllib reads the proxies once; an earlier test may have asked it for something
    monkeypatch.setattr(urllib.request, "_opener", None)
    code, said, errors = status_of(lambda: train(["--config", "voc_vgg16.yaml", "--trainer.logger=false"]))
    assert code == 2
    assert "Traceback" not in said
    assert len(errors) == 1
    assert "download" in errors[0]


def test_missing_data_is_one_line():
    with pytest.raises(InputError, match="nowhere") as stopped:
        train(["--config", "coco_lite0.yaml", "--data.init_args.root=nowhere", "--trainer.logger=false"])
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize(
    "argument", ["--model.init_args.learning_rat=1", "--trainer.max_epoch=3", "--data.init_args.rot=x", "--nam=x"]
)
def test_unknown_keys_are_named(argument):
    name = argument.removeprefix("--").split("=")[0].split(".")[-1]
    with pytest.raises(InputError, match=name) as stopped:
        train(["--config", classifier_config(), argument])
    assert "\n" not in str(stopped.value)


def test_unknown_key_in_a_file_is_named():
    path = classifier_config(trainr={"max_epochs": 1})
    with pytest.raises(InputError, match="unknown setting 'trainr"):
        train(["--config", path])


def test_missing_config_lists_those_that_exist():
    with pytest.raises(InputError, match=r"no config voc_vgg61\.yaml; in configs/ there are .*voc_vgg16\.yaml"):
        find_config("voc_vgg61.yaml")


def test_what_goes_on_to_the_explanandums_run():
    given = ["--config", "x.yaml", "--data.init_args.root=d", "--model.init_args.lr=1", "--trainer.max_epochs=2",
             "--trainer.precision", "16-mixed", "--data", "data/voc.yaml"]  # fmt: skip
    assert forwarded(given, "none") == [
        "--data.init_args.root=d", "--trainer.precision", "16-mixed", "--data", "data/voc.yaml",
    ]  # fmt: skip


@pytest.mark.parametrize("said", ["in the config", "as an argument"])
def test_a_quick_run_without_the_classifier_tries_both_trainings_and_leaves_nothing(said, monkeypatch):
    modules = []
    fit = Trainer.fit

    def noted(self, model, *arguments, **options):
        fit(self, model, *arguments, **options)
        modules.append((type(model).__name__, self.global_step))

    monkeypatch.setattr(Trainer, "fit", noted)
    classifier_config()
    if said == "in the config":
        cli = train(["--config", explainer_config(trainer=trainer(fast_dev_run=2))])
    else:
        cli = train(["--config", explainer_config(), "--trainer.fast_dev_run=2"])
    assert modules == [("Classifier", 2), ("AmortizedExplainer", 2)]
    assert cli.model.explanandum.num_classes == len(SHAPES)
    assert not Path("checkpoints").exists()
    assert not Path("runs").exists()


def test_a_quick_run_refuses_what_the_classifiers_training_refuses():
    classifier_config(trainer={"max_epochs": 0})
    with pytest.raises(InputError, match="max_epochs and max_steps must not be 0"):
        train(["--config", explainer_config(), "--trainer.fast_dev_run=true"])


def test_a_quick_run_of_an_evaluation_has_nothing_to_evaluate():
    classifier_config()
    methods = {"Ours": {"class_path": "Explainer", "init_args": {"checkpoint": "checkpoints/shapes_small.ckpt"}}}
    config = explainer_config(evaluation={"methods": methods})
    with pytest.raises(InputError, match=r"fast_dev_run leaves none; train shapes_small\.yaml first"):
        evaluate(["--config", config, "--trainer.fast_dev_run=true"])
    assert not Path("checkpoints").exists()


def test_class_count_of_checkpoint_and_data(tmp_path):
    checkpoint(classes=SHAPES[:4])
    with pytest.raises(InputError, match="classifier has 4 classes, the data set 6"):
        train(["--config", explainer_config()])


def test_class_names_of_checkpoint_and_data():
    checkpoint(classes=(*SHAPES[:5], "waves"))
    with pytest.raises(InputError, match="class 5 is 'waves' for the classifier and 'rays' in the data set"):
        train(["--config", explainer_config()])


def test_checkpoint_of_another_module_is_not_resumed():
    checkpoint()
    path = checkpoint("other", save_explainer)
    with pytest.raises(InputError, match="kind 'explainer', but 'classifier' is needed"):
        train(["--config", classifier_config(), "--ckpt_path", path])
    with pytest.raises(InputError, match="no file"):
        train(["--config", classifier_config(), "--ckpt_path", "none.ckpt"])


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("content", ["bomb", "text", "foreign"])
def test_files_that_are_no_checkpoints_of_ours(content, tmp_path):
    path = tmp_path / "x.ckpt"
    if content == "bomb":
        torch.save({"state_dict": Bomb()}, path, pickle_module=pickle)
    elif content == "foreign":
        torch.save({"state_dict": {"weight": torch.ones(2)}}, path)
    else:
        path.write_text("no checkpoint")
    for command in (
        lambda: train(["--config", classifier_config(), "--ckpt_path", str(path)]),
        lambda: evaluate(["--config", classifier_config(), "--ckpt_path", str(path)]),
        lambda: train(["--config", explainer_config(), "--model.init_args.explanandum.network", str(path)]),
    ):
        checkpoint()
        with pytest.raises(InputError, match=r"x\.ckpt"):
            command()
    assert not (tmp_path / "ran").exists()


def test_evaluation_at_another_size():
    path = checkpoint(image_size=64)
    with pytest.raises(InputError, match="trained at 64 pixels, the data is at 32"):
        evaluate(["--config", classifier_config(), "--ckpt_path", path])


def test_evaluation_of_a_classifier_compares_the_references(tmp_path, capsys):
    path = checkpoint(image_size=32)
    content = evaluate(["--config", classifier_config(), "--ckpt_path", path, "--evaluation.images.limit=6"])
    assert {"Grad-CAM", "Constant 0", "Centred box", "Ground truth"} <= set(content["results"])
    assert "Explainer" not in content["results"]
    out = tmp_path / "results" / "tiny_classifier"
    assert {p.name for p in out.iterdir()} >= {"results.json", "per_image.csv", "table.md", "gallery.png"}
    assert "Grad-CAM" in capsys.readouterr().out
    before = (out / "rows.jsonl").read_bytes()
    evaluate(["--config", classifier_config(), "--ckpt_path", path, "--evaluation.images.limit=6",
              "--data.init_args.batch_size=4"])  # fmt: skip
    assert (out / "rows.jsonl").read_bytes() == before


def test_methods_from_the_command_line():
    path = checkpoint("e", save_explainer, image_size=32)
    methods = "{Half: {class_path: Constant, init_args: {value: 0.5}}}"
    content = evaluate(["--config", explainer_config(), "--ckpt_path", path, "--evaluation.images.limit=2",
                        "--evaluation.methods", methods, "--evaluation.report.gallery=0"])  # fmt: skip
    assert set(content["results"]) == {"Original image", "Ground truth", "Explainer", "Half"}


def test_an_offset_takes_other_images(tmp_path):
    path = checkpoint("e", save_explainer, image_size=32)
    quick = ["--evaluation.images.limit=2", "--evaluation.methods={}", "--evaluation.report.gallery=0"]
    seen = []
    for offset in (0, 1):
        out = tmp_path / str(offset)
        more = [f"--evaluation.images.offset={offset}", f"--evaluation.out={out}"]
        evaluate(["--config", explainer_config(), "--ckpt_path", path, *quick, *more])
        rows = (out / "rows.jsonl").read_text().splitlines()[1:]
        seen.append({json.loads(row)["id"] for row in rows})
    assert len(seen[0]) == len(seen[1]) == 2
    assert not seen[0] & seen[1]


def test_the_name_of_a_run():
    assert ExplainerCLI(["--config", classifier_config(), "--name", "mine"], evaluating=True).folder.name == "mine"


def test_own_images_without_classes_of_the_checkpoint(tmp_path):
    """A folder of somebody's own images is refused before any work when the checkpoint has other classes."""
    trees.folder_tree(tmp_path / "mine")
    path = checkpoint("e", save_explainer, classes=("cat", "horse"), multilabel=False)
    with pytest.raises(InputError, match="class 1 is 'horse' for the classifier and 'dog' in the data set"):
        evaluate(["--config", explainer_config(), "--ckpt_path", path, "--data",
                  "{class_path: Folder, init_args: {root: mine, image_size: 32, num_workers: 0}}"])  # fmt: skip

"""What a config includes, and what stays wrong in words of one line."""

from pathlib import Path

import pytest
import yaml

from explainer.cli.evaluate import evaluate
from explainer.cli.including import merged, read_config
from explainer.cli.parser import ExplainerCLI
from explainer.cli.train import train
from explainer.errors import InputError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, text):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def test_files_are_merged_in_order_and_the_file_itself_comes_last():
    write("first.yaml", "a: {x: 1, y: [1, 2]}\nb: 1\n")
    write("second.yaml", "a: {x: 2}\nb: 2\nc: 2\n")
    content = read_config(write("top.yaml", "include: [first.yaml, second.yaml]\na: {y: [3]}\nc: null\n"))
    assert content == {"a": {"x": 2, "y": [3]}, "b": 2, "c": None}


def test_another_class_begins_anew_and_neither_side_changes():
    below = {"model": {"class_path": "A", "init_args": {"x": 1, "inner": {"y": 1}}}}
    same = merged(below, {"model": {"init_args": {"inner": {"z": 2}}}})
    assert same["model"] == {"class_path": "A", "init_args": {"x": 1, "inner": {"y": 1, "z": 2}}}
    assert merged(below, {"model": {"class_path": "B"}}) == {"model": {"class_path": "B"}}
    assert below == {"model": {"class_path": "A", "init_args": {"x": 1, "inner": {"y": 1}}}}


def test_names_are_looked_up_beside_the_file_then_in_configs(here):
    write("shared/base.yaml", "include: inner.yaml\nname: base\n")
    write("shared/inner.yaml", "seed_everything: 7\n")
    write("shapes.yaml", "seed_everything: 8\n")  # in the current folder, where an included name is not looked up
    content = read_config(write("runs/mine.yaml", "include: [../shared/base.yaml, shapes.yaml]\n"))
    assert content["seed_everything"] == 7
    assert content["data"]["class_path"] == "Shapes"


def test_a_file_that_two_others_include_is_no_circle():
    write("base.yaml", "a: 1\n")
    for name in ("left", "right"):
        write(f"{name}.yaml", f"include: base.yaml\n{name}: 2\n")
    assert read_config(write("top.yaml", "include: [left.yaml, right.yaml]\n")) == {"a": 1, "left": 2, "right": 2}


def test_files_that_include_one_another_many_times_are_read_once_each():
    write("f0.yaml", "a: 1\n")
    for n in range(1, 60):
        write(f"f{n}.yaml", f"include: [f{n - 1}.yaml, f{n - 1}.yaml]\n")
    assert read_config("f59.yaml") == {"a": 1}


REFUSED = [
    ("itself", "include: top.yaml\n", r"top\.yaml includes itself"),
    ("a circle", "include: other.yaml\n", r"top\.yaml includes itself, perhaps by way of others"),
    ("missing", "include: [nowhere.yaml]\n", r"top\.yaml includes what is not there: no config nowhere\.yaml"),
    ("no YAML", "include: broken.yaml\n", r"broken\.yaml cannot be read as YAML: .*line 2"),
    ("a list", "include: list.yaml\n", r"list\.yaml holds no settings"),
    ("two keys", "include: twice.yaml\n", r"twice\.yaml cannot be read as YAML: the key 'a' stands twice"),
    ("a number", "include: 5\n", r"top\.yaml: include must be a file or a list of files, got 5"),
    ("a mapping", "include: [{a: 1}]\n", r"include must be a file or a list of files"),
    ("a folder", "include: [folder]\n", "is not a file"),
    ("unknown key", "include: unknown.yaml\n", "unknown setting 'trainr"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_what_cannot_be_included_is_said_in_one_line(case):
    _, text, words = case
    write("top.yaml", text)
    write("other.yaml", "include: top.yaml\n")
    write("broken.yaml", "a: [1\n")
    write("list.yaml", "[1, 2]\n")
    write("twice.yaml", "a: 1\na: 2\n")
    write("unknown.yaml", "trainr: {max_epochs: 1}\n")
    Path("folder").mkdir()
    with pytest.raises(InputError, match=words) as refused:
        ExplainerCLI(["--config", "top.yaml"])
    assert "\n" not in str(refused.value)


def test_a_run_is_named_after_the_file_itself_and_what_follows_overrides_it():
    write("mine.yaml", "include: voc_vgg16.yaml\ntrainer: {max_epochs: 3}\n")
    cli = ExplainerCLI(["--config", "mine.yaml", "--data.init_args.batch_size=2"], evaluating=True)
    assert cli.name == "mine"
    assert (cli.config.trainer.max_epochs, cli.config.data.init_args.batch_size) == (3, 2)
    assert cli.config.data.init_args.year == "2007"


SMALL = "{network: explainer.networks.small.small_cnn, network_args: {width: 4}, num_classes: 6}"
DATA = (
    "class_path: Shapes\n  init_args: {image_size: 32, batch_size: 2, num_workers: 0, train_images: 4, val_images: 2}\n"
)


def test_the_config_that_a_run_saves_is_complete():
    write("base.yaml", f"data:\n  {DATA}")
    write("mine.yaml", "include: base.yaml\nmodel: {class_path: Classifier, init_args: {explanandum: " + SMALL + "}}\n"
          "trainer: {max_epochs: 1, accelerator: cpu, logger: false}\n")  # fmt: skip
    train(["--config", "mine.yaml"])
    saved = yaml.safe_load(Path("checkpoints/mine.yaml").read_text())
    assert "include" not in saved
    assert saved["data"]["init_args"]["train_images"] == 4
    Path("base.yaml").unlink()
    Path("mine.yaml").unlink()
    again = ExplainerCLI(["--config", "checkpoints/mine.yaml"])
    assert again.config.model.init_args.explanandum.init_args.num_classes == 6


def test_the_top_levels_classifier_is_explained_as_the_models_was():
    """Without a model; and what there is to train is said by train.py."""
    methods = "evaluation: {methods: {Random: {class_path: Random}}, images: {limit: 2}, device: cpu, "
    methods += "report: {gallery: 0, page: false}"
    data = f"data:\n  {DATA}"
    write("new.yaml", f"explanandum: {SMALL}\n{methods}}}\n{data}")
    write("old.yaml", f"model: {{class_path: Classifier, init_args: {{explanandum: {SMALL}}}}}\n"
          f"{methods}, as_it_is: true}}\n{data}")  # fmt: skip
    new, old = (evaluate(["--config", f"{name}.yaml"]) for name in ("new", "old"))
    assert new["facts"] == old["facts"]
    assert new["results"]["Random"]["n"]["acc"] == 2
    with pytest.raises(InputError, match=r"new has no model, there is nothing to train"):
        train(["--config", "new.yaml"])

"""The examples of docs/contributing.md are built and called, as a reader would."""

import doctest
import re

import pytest
import torch
import yaml

from explainer.attribution import Attribution
from explainer.cli.evaluate import evaluate
from explainer.data import ImageDataModule
from explainer.errors import InputError
from explainer.evaluation.sanity_checks import SanityCheck
from explainer.experiments.base import Experiment
from explainer.infill import Infill
from explainer.metrics import ImageMetric
from explainer.networks import Explanandum
from tests.support import trees
from tests.support.small_checkpoints import SMALL
from tests.support.small_judged import judged
from tests.support.small_sanity_checks import Drawn, Grey, asked, one_label
from tests.support.tiny_runs import ROOT

PAGE = (ROOT / "docs" / "contributing.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def example(base):
    """The class below a base that the page writes, and all that stands in its file."""
    (block,) = (block for block in BLOCKS if f"({base.__name__}):" in block)
    names = {"__name__": "an_example"}
    exec(block, names)
    (kind,) = (value for value in names.values() if isinstance(value, type) and base in value.__bases__)
    return kind, names


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.findall(r"class (\w+)", block)[-1])
def test_examples_in_the_examples(block):
    names = {"__name__": "an_example"}
    exec(block, names)
    written = [value for value in names.values() if getattr(value, "__module__", "") == "an_example"]
    runner = doctest.DocTestRunner()
    for value in written:
        for test in doctest.DocTestFinder(recurse=False).find(value, value.__name__, globs=dict(names)):
            runner.run(test)
    assert runner.summarize().failed == 0


def test_the_method():
    kind, _ = example(Attribution)
    explanandum = Explanandum(**SMALL, num_classes=3, multilabel=True)
    image, target = torch.rand(2, 3, 32, 32), torch.tensor([0, 2])
    maps = kind()(explanandum, image, target)
    assert maps.shape == (2, 1, 32, 32)
    assert maps.isfinite().all()
    assert not maps.requires_grad
    alone = torch.cat([kind()(explanandum, image[n : n + 1], target[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(maps, alone, atol=1e-5, rtol=1e-4)
    with pytest.raises(InputError, match="sigma"):
        kind(0)


def test_the_metric():
    kind, _ = example(ImageMetric)
    mask = torch.zeros(3, 1, 10, 12)
    mask[0, 0, 0, 0] = mask[1, 0, 5, 5] = mask[1, 0, 9, 5] = 1
    value = kind(2).measure(judged(mask)).value
    assert value[:2].tolist() == [1.0, 0.5]
    assert value[2].isnan()
    assert kind(2).settings == {"width": 2}


def test_the_sanity_check():
    kind, _ = example(SanityCheck)
    explanandum = Explanandum(**SMALL, num_classes=3, multilabel=True)
    assert asked(kind(), explanandum, Grey(), one_label()).value.tolist() == pytest.approx([1, 1, 1])
    assert asked(kind(), explanandum, Drawn(), one_label()).value.abs().max() < 0.5


def test_the_data_set(tmp_path):
    kind, _ = example(ImageDataModule)
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        names = [f"{split}{n}.png" for n in range(count)]
        for number, name in enumerate(names):
            trees.photo(tmp_path / name, number)
        lines = [f"{name} {'cat' if number % 2 else 'dog'}" for number, name in enumerate(names)]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    data = kind(root=str(tmp_path), image_size=16, batch_size=2, num_workers=0)
    batch = next(iter(data.test_dataloader()))
    assert data.classes == ("cat", "dog")
    assert batch.image.shape == (2, 3, 16, 16)
    assert batch.labels.tolist() == [[0, 1], [1, 0]]


def test_the_infill():
    kind, _ = example(Infill)
    image = torch.rand(2, 3, 4, 6)
    assert torch.equal(kind()(image)[..., 0], image[..., -1])


def test_the_experiment(tmp_path, monkeypatch):
    kind, _ = example(Experiment)
    (tmp_path / "an_example.py").write_text(next(block for block in BLOCKS if "(Experiment):" in block))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    network = SMALL | {"num_classes": 6}
    config = {
        "model": {"class_path": "Classifier", "init_args": {"explanandum": network}},
        "data": {"class_path": "Shapes", "init_args": {"image_size": 32, "batch_size": 2, "num_workers": 0}},
        "evaluation": {"as_it_is": True, "images": {"limit": 3}},
        "experiment": {"class_path": f"an_example.{kind.__name__}", "init_args": {"least": 0.0}},
    }
    (tmp_path / "how_sure.yaml").write_text(yaml.safe_dump(config))
    content = evaluate(["--config", "how_sure.yaml"])
    assert content["sure"] == len(content["images"]) > 0
    assert (tmp_path / "results" / "how_sure" / "results.json").is_file()

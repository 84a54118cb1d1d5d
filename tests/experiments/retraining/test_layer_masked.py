"""Masks inside the network, and the grid of them."""

import math

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from explainer.cli.evaluate import evaluate
from explainer.errors import InputError
from explainer.evaluation.report.printers import markdown_file
from explainer.experiments.retraining.layer_masked import LayerMasked, location_mask, modules_before
from explainer.experiments.retraining.layer_tables import (
    ScaleScores,
    difference_by_scale,
    difference_score,
    information_score,
    layer_tables,
    summarise_layers,
)
from explainer.experiments.retraining.layers import LayerRetraining
from explainer.functional import activation_statistics as statistics
from explainer.networks import Explanandum
from tests.support import trees
from tests.support.shipped import content_of
from tests.support.small_checkpoints import save_classifier
from tests.support.small_grids import config
from tests.support.small_modules import eight

CLASSES = ("stripes", "checks", "dots", "rings", "zigzags", "rays")


@pytest.fixture
def explanandum(tmp_path):
    return Explanandum(save_classifier(tmp_path / "c.ckpt", CLASSES))


def built(explanandum, **options):
    module = LayerMasked(explanandum, **options)
    module.image_size = 32
    module.build(CLASSES, True)
    return module


@pytest.mark.parametrize("fraction", [0.025, 0.1, 0.5])
def test_keep_and_remove_take_the_most_or_the_least_salient(fraction):
    scores = torch.rand(2, 1, 8, 8)
    count = max(1, round(fraction * 64))
    kept = location_mask(scores, "keep", fraction)
    assert kept.flatten(1).sum(1).tolist() == [count, count]
    assert scores[kept == 1].view(2, -1).min(1).values.ge((scores * (1 - kept)).flatten(1).max(1).values).all()
    assert torch.equal(location_mask(scores, "remove", fraction), 1 - kept)
    least = location_mask(scores, "remove", fraction, most=False)
    assert torch.equal(least, 1 - location_mask(-scores, "keep", fraction))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_what_comes_before_the_mask_is_frozen_and_the_rest_learns(explanandum, scale):
    module = built(explanandum, scale=scale, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    before = {k: v.clone() for k, v in module.explanandum.state_dict().items()}
    pl.Trainer(
        accelerator="cpu", max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0,
    ).fit(module, datamodule=eight())  # fmt: skip
    changed = {k for k, v in module.explanandum.state_dict().items() if not torch.equal(v, before[k])}
    stages = {int(k.split(".")[2]) for k in changed if k.startswith("network.stages")}
    assert stages == set(range(scale, 4))
    assert "network.classifier.weight" in changed


def test_the_next_layer_sees_masked_activations(explanandum):
    module = built(explanandum, scale=2, statistic="smoe_scale", mode="keep", fraction=0.1).eval()
    network, seen = module.explanandum.network, []
    handle = network.stages[2].register_forward_pre_hook(lambda m, i: seen.append(i[0].clone()))
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        module(image)
        module.explanandum(image)
    handle.remove()
    masked, whole = seen
    mask = location_mask(statistics.smoe_scale(whole), "keep", 0.1)
    torch.testing.assert_close(masked, whole * mask)
    assert not any(m._forward_hooks for m in network.modules())


def test_the_defaults_are_the_papers(explanandum):
    """KAR keeps the 2.5 % most salient locations, ROAR the 10 % least salient ones."""
    assert (built(explanandum, scale=1).mode, built(explanandum, scale=1).fraction) == ("keep", 0.025)
    roar = built(explanandum, scale=1, mode="remove")
    assert (roar.fraction, roar.most) == (0.9, True)
    scores = torch.rand(2, 1, 10, 10)
    kept = location_mask(scores, roar.mode, roar.fraction, roar.most)
    assert torch.equal(kept, location_mask(-scores, "keep", 0.1))
    settings = LayerRetraining(statistics=["mean"])
    assert (settings.keep, settings.remove, settings.roar_removes) == (0.025, 0.9, ["most"])


@pytest.mark.parametrize("name", ["imagenet_resnet50_layers.yaml", "fashion_mnist_small_layers.yaml"])
def test_the_configs_of_the_papers_tables_say_so_too(name):
    settings = content_of(name)["experiment"]["init_args"]
    assert (settings["keep"], settings["remove"], settings["roar_removes"]) == (0.025, 0.9, ["most"])


def test_another_epsilon_masks_otherwise(explanandum):
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        masked = [
            built(explanandum, scale=1, statistic=statistic, fraction=0.3, epsilon=epsilon).eval()(image)
            for statistic in ("smoe_scale", "mean") for epsilon in (1e-6, 1e-7, 1e-6)
        ]  # fmt: skip
    assert torch.equal(masked[0], masked[2])
    assert not torch.equal(masked[0], masked[1])
    assert torch.equal(masked[3], masked[4])  # the mean has none
    with pytest.raises(InputError, match="epsilon must"):
        LayerMasked(explanandum, scale=1, epsilon=0.0)


def test_random_masks_differ_and_statistics_do_not(explanandum):
    image = torch.rand(2, 3, 32, 32)
    for statistic, same in (("random", False), ("truncated_normal_std", True)):
        module = built(explanandum, scale=1, statistic=statistic, mode="remove", fraction=0.3).eval()
        with torch.no_grad():
            assert torch.equal(module(image), module(image)) is same


def test_a_scale_that_does_not_exist_lists_those_that_do(explanandum):
    with pytest.raises(InputError, match=r"no scale 5; the classifier has 1 \(.*\), .*4 \("):
        LayerMasked(explanandum, scale=5)
    with pytest.raises(InputError, match=r"fraction must lie in \[0, 1\]"):
        LayerMasked(explanandum, scale=1, fraction=2.0)


def test_modules_before_a_block_of_a_residual_network():
    network = Explanandum("resnet18", multilabel=False).network
    found = modules_before(network, "layer1.1", 64)
    assert found[:2] == [network.conv1, network.bn1]
    assert network.layer1[1].conv2 in found
    assert not any(m in found for m in network.layer2.modules())


def test_scores_by_hand():
    kar, roar, random = (0.6, 0.8), (0.3, 0.2), ScaleScores((0.5, 0.4), (0.7, 0.8))
    assert difference_score(kar, roar, random) == pytest.approx(0.4 + 0.6 + 0.1 + 0.4)
    want = -0.3 * math.log2(0.3 / 0.7) - 0.2 * math.log2(0.2 / 0.8) - 0.5 * math.log2(0.5 / 0.6) - 0.4 * math.log2(0.5)
    assert information_score(kar, roar, random) == pytest.approx(want)
    assert difference_score(*random, random) == 0
    assert information_score(*random, random) == 0
    assert difference_by_scale(kar, roar, random) == pytest.approx([0.5, 1.0])


def test_the_papers_own_scores_give_its_table_1():
    """SMOE Scale and random on ImageNet, Table 4, in percent; Table 1 has D 1.70 and I 1.13, which is in nats."""
    random = [66.42, 61.28, 50.67, 40.81, 42.98], [73.48, 72.41, 68.90, 64.63, 66.04]
    smoe = [56.61, 50.69, 51.25, 46.40, 63.00], [44.48, 44.81, 36.35, 33.88, 21.15]
    fractions = [[[v / 100 for v in part] for part in both] for both in (smoe, random)]
    (kar, roar), chance = fractions
    assert difference_score(kar, roar, ScaleScores(*chance)) == pytest.approx(1.70, abs=0.01)
    assert information_score(kar, roar, ScaleScores(*chance)) * math.log(2) == pytest.approx(1.13, abs=0.01)


def test_a_missing_cell_leaves_its_statistic_without_a_score():
    rows = [
        {"statistic": s, "scale": 1, "mode": m, "removed": "most", "score": v}
        for s, m, v in (("random", "keep", 0.5), ("random", "remove", 0.6), ("mean", "keep", 0.7))
    ]
    got = summarise_layers(rows, [1], "most")
    assert (got["mean"]["D"], got["random"]["D"]) == (None, 0)
    assert "failed" in markdown_file(layer_tables(got, [1], "t"))


def test_a_grid_inside_the_network(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trees.fashion_tree(tmp_path / "fashion")
    config(tmp_path, "small_classifier")
    settings = {"statistics": ["smoe_scale"], "scales": [1, 4], "roar_removes": ["most", "least"],
                "published": {"source": "P", "rows": {"smoe_scale": {"D": 1.7, "KAR L4": 46.4}}}}  # fmt: skip
    name = config(
        tmp_path,
        "small_layers",
        explanandum_config="small_classifier.yaml",
        experiment={"class_path": "LayerRetraining", "init_args": settings},
    )
    content = evaluate(["--config", name])
    assert set(content["results"]) == {"most", "least"}
    assert set(content["results"]["most"]) == {"random", "smoe_scale"}
    assert "KAR L4" in capsys.readouterr().out
    folder = tmp_path / "results" / "small_layers"
    assert "ROAR removes the 90 % most salient locations, KAR keeps the 2.5 %" in (folder / "table.md").read_text()
    for picture in ("layers.png", "layers_least.png"):
        assert Image.open(folder / picture).size[0] > 500
    entry = content["results"]["most"]["smoe_scale"]
    assert sum(entry["D by scale"]) == pytest.approx(entry["D"])
    cells = (tmp_path / "results" / "small_layers" / "cells.jsonl").read_text().splitlines()
    assert len(cells) == 1 + 2 * (2 + 3)
    evaluate(["--config", name])
    assert (tmp_path / "results" / "small_layers" / "cells.jsonl").read_text().splitlines() == cells

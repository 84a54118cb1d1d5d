"""Metrics that a config names: columns, levels, what cannot be used."""

import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from explainer.attribution import FIDO, Constant, GradCAM
from explainer.cli.evaluate import evaluate
from explainer.data import Batch
from explainer.data.shapes import CLASSES
from explainer.errors import InputError
from explainer.evaluation.images import true_boxes
from explainer.evaluation.maps.make import MaskMaker
from explainer.evaluation.results.summary import summarise
from explainer.evaluation.scoring.metrics import Judge
from explainer.evaluation.scoring.threshold import search_alphas
from explainer.evaluation.storage.store import Store
from explainer.infill import Constant as InfillConstant
from explainer.infill import RandomColour
from explainer.metrics import Flipping, Localisation, ProportionOutside, SaliencyCrop, area_under, mean_level
from explainer.networks.heads import heads
from tests.support import trees
from tests.support.small_checkpoints import save_classifier
from tests.support.small_evaluation import METHODS, classifier, pictures, run, timeless
from tests.support.small_infills import save_inpainter
from tests.support.tiny_runs import classifier_config, evaluation

COLUMNS = {
    "Outside": ProportionOutside,
    "WSL": Localisation,
    "SM": SaliencyCrop,
    "Flip": lambda: Flipping(4, least=1e-3),
}
NAMES = {"Outside": "ProportionOutside", "WSL": "Localisation", "SM": "SaliencyCrop"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judge(**options):
    return Judge({name: make() for name, make in COLUMNS.items()}, **options)


WHITE = InfillConstant((1.0, 1.0, 1.0))


def sure():
    """A classifier with an opinion: white pictures are of no class."""
    built = classifier()
    with torch.no_grad():
        heads(built.network)[0][1].weight.mul_(1e4)
    return built


def test_columns_are_the_metrics_of_each_image(tmp_path, device):
    explanandum = sure().to(device)
    (batch,) = pictures((1,))
    batch.segmentation[:] = 0
    batch.segmentation[0, 0, 2:7, 9:15] = 1
    rows = run(tmp_path, [batch], judge=judge(infill=WHITE), explanandum=explanandum, device=device).rows
    (row,) = [r for r in rows if r["method"] == "Box" and r["id"] == batch.id[0]]
    mask = METHODS["Box"].mask(batch.image)
    box = torch.zeros(16, 16)
    box[2:7, 9:15] = 1
    assert row["scores"]["Outside"] == pytest.approx(float((mask[0, 0] * (1 - box)).sum() / mask.sum()))
    assert 0 < row["scores"]["Outside"] < 1
    assert row["scores"]["WSL"] == 1.0
    assert row["scores"]["SM"] > math.log(0.05)
    assert row["scores"]["Flip"] == pytest.approx(
        area_under(torch.tensor(row["curves"]["Flip"])[None]).item(), abs=1e-4
    )
    assert len(row["curves"]["Flip"]) == 5
    assert "curves" not in next(r for r in rows if r["method"] == "Original image")


def test_undefined_values_and_maps_without_a_region_are_counted(tmp_path):
    methods = {**METHODS, "None": Constant(0.0)}
    results = summarise(run(tmp_path, pictures(), methods, sure(), judge=judge(infill=WHITE)).rows, COLUMNS)
    assert {name: results["Box"]["n"][name] for name in COLUMNS} == {"Outside": 4, "WSL": 4, "SM": 2, "Flip": 2}
    none = results["None"]
    assert (none["no_region"], none["scores"]["WSL"]) == (6, 1.0)
    assert none["scores"]["SM"] > 0  # as if everything were salient
    assert none["scores"]["Outside"] == pytest.approx(
        results["Half"]["scores"]["Outside"]
    )  # half everywhere is not above a half
    assert results["Box"]["no_region"] == 0


def test_images_without_any_ground_truth(tmp_path):
    results = summarise(run(tmp_path, pictures(segmented=False), judge=judge()).rows, COLUMNS)
    assert (results["Box"]["scores"]["Outside"], results["Box"]["scores"]["WSL"]) == (None, None)
    assert results["Box"]["n"]["WSL"] == 0
    assert results["Box"]["scores"]["SM"] is not None


def test_values_do_not_depend_on_the_batch(tmp_path):
    judged = judge(infill=RandomColour(0.2))
    (batch,) = pictures((6,))
    parts = [
        Batch(batch.image[n : n + 1], batch.labels[n : n + 1], batch.id[n : n + 1], batch.segmentation[n : n + 1])
        for n in range(6)
    ]
    one = run(tmp_path / "a", [batch], explanandum=sure(), judge=judged).rows
    other = run(tmp_path / "b", parts, explanandum=sure(), judge=judged).rows
    for name in COLUMNS:
        for a in one:
            if a["method"] in METHODS:
                (b,) = [r for r in other if (r["method"], r["id"]) == (a["method"], a["id"])]
                assert a["scores"][name] == pytest.approx(b["scores"][name], abs=1e-4)


def test_boxes_come_from_the_annotation_else_from_the_segmentation():
    batch = pictures((3,))[0]._replace(boxes=None)
    outlined = true_boxes(batch)
    given = [torch.tensor([[0.0, 1, 2, 3, 4], [2.0, 5, 5, 9, 9]]), torch.zeros(0, 5), torch.tensor([[1.0, 0, 0, 1, 1]])]
    found = true_boxes(batch._replace(boxes=given, labels=torch.eye(3)))
    assert found[0].tolist() == [[1, 2, 3, 4]]  # the other is of a class that is not looked for
    assert torch.equal(found[1], true_boxes(batch._replace(labels=torch.eye(3)))[1])
    assert len(found[2]) == 1
    assert true_boxes(batch._replace(segmentation=None))[0].shape == (0, 4)
    assert len(outlined[1]) == 2


# Levels


def test_masks_are_taken_as_they_are_when_asked():
    batch, explanandum = pictures((2,))[0], classifier()
    method = FIDO(2, grid=4, steps=2)
    as_they_are, scaled = MaskMaker(scaled=False), MaskMaker()
    plain = as_they_are.target_mask(explanandum, method, batch.image, torch.eye(3)[:2]).mask
    torch.testing.assert_close(plain, method(explanandum, batch.image, torch.tensor([0, 1])))
    assert scaled.target_mask(explanandum, method, batch.image, batch.labels).mask.amax() == 1
    for other in (GradCAM(), METHODS["Box"]):  # not a mask; a mask that is never scaled
        masks = [m.target_mask(explanandum, other, batch.image, batch.labels).mask for m in (as_they_are, scaled)]
        torch.testing.assert_close(*masks)


def test_levels_are_fixed_for_masks_and_relative_for_other_maps():
    mask = torch.rand(2, 1, 4, 4)
    decided = Judge({}, level=0.3, alphas={"Grad-CAM": 2.0})
    assert decided.levels("Box", mask).tolist() == pytest.approx([0.3, 0.3])
    torch.testing.assert_close(decided.levels("Grad-CAM", mask), mean_level(mask, 2.0))


def test_a_search_for_levels_goes_on_where_it_was(tmp_path):
    explanandum, batches = classifier(), pictures((3, 3))
    store = Store(tmp_path, {"a": 1})
    whole = search_alphas(explanandum, {"Grad-CAM": GradCAM()}, batches, store, "cpu")
    assert whole["Grad-CAM"]["images"] == 4  # of the six, one has no segmentation and one no label
    lines = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(lines[:3]) + lines[3][:20])  # killed while writing
    again = search_alphas(explanandum, {"Grad-CAM": GradCAM()}, batches, Store(tmp_path, {"a": 1}), "cpu")
    assert again == whole
    assert (tmp_path / "rows.jsonl").read_text() == "".join(lines)


def test_without_boxes_no_level_can_be_searched(tmp_path):
    class Never(GradCAM):
        def maps(self, *_):
            raise AssertionError("computed a map")

    with pytest.raises(InputError, match="no held-out image has a box; give it a number"):
        search_alphas(classifier(), {"x": Never()}, pictures(segmented=False), Store(tmp_path, {}), "cpu")


# Whole runs


def settings(**options):
    metrics = {name: {"class_path": path} for name, path in NAMES.items()}
    metrics["Flip"] = {"class_path": "Flipping", "init_args": {"steps": 3, "least": 0.001}}
    methods = {"Grad-CAM": {"class_path": "GradCAM"}, "Box": {"class_path": "CentredBox"}}
    chosen = {"metrics": metrics, "methods": methods, "limit": 4, "held_out": 4, "gallery": 0, "one_label": True}
    return classifier_config(evaluation=chosen | options)


def start(**options):
    save_classifier(checkpoints() / "tiny_classifier.ckpt", CLASSES)
    return evaluate(["--config", settings(**options)])


def checkpoints():
    folder = Path("checkpoints")
    folder.mkdir(exist_ok=True)
    return folder


def test_a_run_with_metrics_from_its_config(here):
    save_inpainter(here / "checkpoints" / "ca.ckpt")
    ca = {"class_path": "CAInfill", "init_args": {"checkpoint": "checkpoints/ca.ckpt"}}
    options = {"infill": ca, "counterfactuals": 1, "infills": {"CA": ca, "Local": {"class_path": "Local"}}}
    torch.manual_seed(1)
    content = start(**options)
    for name in COLUMNS:
        assert content["facts"]["metrics"][name if name in NAMES else "Flip"]["higher_is_better"] is False
    assert content["facts"]["images"] == 4
    assert content["results"]["Grad-CAM"]["n"]["WSL"] == 4
    assert 0 <= content["results"]["Grad-CAM"]["level"]["alpha"] <= 5
    assert content["results"]["Grad-CAM"]["level"]["images"] == 4
    assert content["results"]["Box"]["level"] is None
    assert content["facts"]["infill"]["sha256"]
    out = here / "results" / "tiny_classifier"
    header = (out / "table.md").read_text().splitlines()[0]
    assert [f" {name} ↓ |" in header for name in COLUMNS] == [True] * 4
    assert " α |" in header
    assert (out / "per_image.csv").read_text().splitlines()[0].count("WSL") == 1
    assert {p.name for p in (out / "counterfactuals").iterdir()} == {"Grad_CAM.png", "Box.png"}
    assert (out / "Flip.png").is_file()
    rows = (out / "rows.jsonl").read_text().splitlines(keepends=True)
    assert {len(json.loads(row)["kept"]["labels"]) for row in rows} == {1}
    (out / "rows.jsonl").write_text("".join(rows[:5]) + rows[5][:9])  # killed while writing
    again = evaluate(["--config", settings(**options)])
    assert timeless(again) == timeless(content)


def test_results_with_other_metrics_or_levels_are_refused():
    start(alpha=1.0)
    with pytest.raises(InputError, match="results with another salient"):
        evaluate(["--config", settings(alpha=1.2)])
    with pytest.raises(InputError, match="results with another metrics"):
        evaluate(["--config", settings(alpha=1.0, metrics={"WSL": {"class_path": "Localisation"}})])


def test_an_unknown_metric_is_named():
    with pytest.raises(InputError, match=r"evaluation\.metrics: there is no class 'Locality'"):
        start(metrics={"x": {"class_path": "Locality"}})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"metrics": {"acc": Localisation()}}, "'acc' is the name of another column"),
        ({"level": 1.0}, r"evaluation.salient.level must lie in \[0, 1\), got 1.0"),
        ({"level": -0.1}, r"evaluation.salient.level must lie in"),
        ({"alpha": 5.1}, r"evaluation.salient.alpha must lie in \[0, 5\], got 5.1"),
        ({"alpha": -1}, "evaluation.salient.alpha must lie in"),
        ({"held_out": 0}, "evaluation.salient.held_out must be positive"),
        ({"counterfactuals": -1}, "evaluation.report.counterfactuals must be at least 0"),
        ({"curve_steps": -1}, r"evaluation.curve_steps must lie in \[0, 100000\]"),
    ],
)
def test_settings_out_of_range(given, words):
    with pytest.raises(InputError, match=words):
        evaluation(**given)


def test_held_out_images_are_others():
    with pytest.raises(InputError, match="every image of that split is evaluated"):
        start(held_out_split="test", limit=None)
    content = start(held_out_split="test", limit=3)
    out = Path("results/tiny_classifier")
    files = [(folder / "rows.jsonl").read_text().splitlines() for folder in (out / "held_out", out)]
    first, second = ({json.loads(line)["id"] for line in lines} for lines in files)
    assert first
    assert not first & second
    assert content["results"]["Grad-CAM"]["level"]["images"] == len(first)


@pytest.mark.parametrize("where", ["infill", "infills", "method"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 64}, "trained on images of 64×64"),
        ({"classes": ("cat", "dog")}, "trained on a data set of 2 classes"),
    ],
)
def test_an_in_fill_of_another_size_or_data_set_is_refused_before_the_work(here, where, options, words):
    save_inpainter(here / "checkpoints" / "ca.ckpt", **options)
    ca = {"class_path": "CAInfill", "init_args": {"checkpoint": "checkpoints/ca.ckpt"}}
    method = {"FIDO": {"class_path": "FIDO", "init_args": {"infill": ca, "steps": 2, "samples": 2, "grid": 4}}}
    given = {"infill": {"infill": ca}, "infills": {"infills": {"CA": ca}}, "method": {"methods": method}}[where]
    with pytest.raises(InputError, match=words) as refused:
        start(**given)
    assert str(refused.value).startswith("in-fill ")
    assert not list((here / "results").rglob("rows.jsonl"))


def test_no_image_with_one_label(here):
    photos = [trees.photo(here / "mine" / f"{n}.png", n) for n in range(4)]
    (here / "mine" / "list.csv").write_text("path,labels,split\n" + "".join(f"{p.name},a;b,test\n" for p in photos))
    config = yaml.safe_load(Path(settings()).read_text())
    config["data"] = {"class_path": "Folder", "init_args": {"root": "mine", "csv": "list.csv", "image_size": 32}}
    (here / "mine.yaml").write_text(yaml.safe_dump(config))
    save_classifier(checkpoints() / "mine.ckpt", ("a", "b"))
    with pytest.raises(InputError, match="no image of the split has exactly one label"):
        evaluate(["--config", "mine.yaml"])

"""In-fills compared on held-out holes: where the holes are, what is scored, a whole run."""

import json

import numpy as np
import pytest
import torch
import yaml

from explainer.cli.evaluate import evaluate
from explainer.data import Batch, Shapes
from explainer.data.shapes import CLASSES
from explainer.errors import InputError
from explainer.evaluation.report.printers import to_markdown
from explainer.evaluation.storage.store import Store
from explainer.experiments.infills.compare import (
    compare_fills,
    draw_hole,
    fill_table,
    image_and_hole,
    plot_fills,
    summarise_fills,
)
from explainer.experiments.infills.run import InfillComparison
from explainer.infill import Constant, Infill, RandomColour
from tests.support.small_checkpoints import save_classifier
from tests.support.small_evaluation import classifier, pictures
from tests.support.small_infills import save_inpainter
from tests.support.tiny_runs import classifier_config


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Oracle(Infill):
    """Knows the image."""

    def __call__(self, image, mask=None, generator=None):
        return image


def test_holes_touch_no_labelled_object():
    dataset = Shapes(image_size=32, test_images=40, num_workers=0).split("test")
    settings, found = InfillComparison(smallest=0.2, largest=0.4), 0
    for index in range(40):
        case = image_and_hole(dataset, index, settings)
        if case is None:
            continue
        found += 1
        batch, mask = case
        assert not (batch.segmentation[0].amax(0) * (1 - mask[0, 0])).any()
        rows, columns = (1 - mask[0, 0]).nonzero().unbind(1)
        sides = (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1)
        assert sides[0] * sides[1] == len(rows)  # a box
        assert all(round(0.2 * 32) <= side <= round(0.4 * 32) for side in sides)
        assert torch.equal(image_and_hole(dataset, index, settings)[1], mask)
    assert 10 < found < 40
    anywhere = [image_and_hole(dataset, 0, InfillComparison(where="anywhere", seed=s))[1] for s in range(3)]
    assert not (torch.equal(anywhere[0], anywhere[1]) and torch.equal(anywhere[0], anywhere[2]))


def test_single_pixels_are_hidden_wherever_they_are():
    dataset = Shapes(image_size=32, test_images=6, num_workers=0).split("test")
    for share in (0.2, 0.7):
        settings = InfillComparison(where="pixels", share=share)
        masks = [case[1] for case in (image_and_hole(dataset, n, settings) for n in range(6)) if case]
        assert all(set(mask.unique().tolist()) == {0, 1} for mask in masks)
        assert float(1 - torch.cat(masks).mean()) == pytest.approx(share, abs=0.03)
        assert not torch.equal(masks[0], masks[1])
        assert torch.equal(image_and_hole(dataset, 5, settings)[1], masks[-1])


def test_single_pixels_off_the_objects_leave_their_boxes_alone():
    dataset = Shapes(image_size=32, test_images=12, num_workers=0).split("test")
    settings = InfillComparison(where="unrelated_pixels", share=0.5)
    cases = [case for case in (image_and_hole(dataset, n, settings) for n in range(12)) if case]
    assert len(cases) > 6
    for batch, mask in cases:
        assert not (batch.segmentation[0].amax(0) * (1 - mask[0, 0])).any()
    shares = [float((1 - mask).mean()) for _, mask in cases]
    assert 0.1 < sum(shares) / len(shares) < 0.5  # of the whole image: half of what lies outside


@pytest.mark.parametrize("share", [0, 1.0, -1])
def test_a_share_of_nothing_or_everything_is_refused(share):
    with pytest.raises(InputError, match="share must lie between 0 and 1"):
        InfillComparison(share=share)


def test_an_image_without_room_has_no_hole():
    assert draw_hole(torch.ones(8, 8, dtype=torch.bool), 0.2, 0.4, torch.Generator()) is None
    whole = draw_hole(torch.zeros(4, 6, dtype=torch.bool), 1.0, 1.0, torch.Generator())
    assert whole.all()


def cases():
    batch = pictures((6,))[0]
    mask = torch.ones(1, 1, 16, 16)
    mask[..., 2:6, 3:10] = 0
    parts = [Batch(batch.image[n : n + 1], batch.labels[n : n + 1], [batch.id[n]]) for n in (0, 1, 5)]
    return [(part, mask) for part in parts]


def test_scores_by_hand(tmp_path, device):
    explanandum = classifier().to(device)
    store = Store(tmp_path / "a", {})
    compare_fills(explanandum, {"Oracle": Oracle(), "White": Constant((1, 1, 1))}, cases(), store, 0, device)
    for batch, mask in cases():
        image = batch.image[0].double().numpy()
        hole = mask[0, 0].numpy() == 0
        rows = {row["method"]: row for row in store.rows if row["id"] == batch.id[0]}
        assert rows["White"]["l1"] == pytest.approx(np.mean([1 - image[c][hole] for c in range(3)]), abs=1e-6)
        assert rows["White"]["area"] == pytest.approx(28 / 256)
        seen = torch.where(mask > 0, batch.image, 1.0)
        logits = explanandum(seen.to(device))[0].double().cpu().numpy()[batch.labels[0].numpy() > 0]
        assert rows["White"]["probability"] == pytest.approx((1 / (1 + np.exp(-logits))).mean(), abs=1e-5)
        assert rows["White"]["log_odds"] == pytest.approx(logits.mean(), abs=1e-5)
        for name in ("Oracle", "Original image"):
            assert rows[name]["probability"] == pytest.approx(rows["Original image"]["probability"], abs=1e-6)
            assert (rows[name]["l1"], rows[name]["change"]) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_results_are_means_medians_and_quartiles(tmp_path):
    values = [0.1, 0.2, 0.6]
    rows = [
        {"method": m, "id": str(n), "l1": v, "probability": v, "log_odds": v, "change": v, "seconds": 0.5}
        for m in ("Original image", "A", "B") for n, v in enumerate(values if m == "A" else [0.3] * 3)
    ]  # fmt: skip
    results = summarise_fills(rows, ["A", "B"])
    assert results["A"]["l1"] == {"mean": pytest.approx(0.3), "median": 0.2, "quartiles": pytest.approx([0.15, 0.4])}
    assert list(results) == ["Original image", "A", "B"]
    rows[3]["l1"] = 0.0
    table = fill_table(summarise_fills(rows, ["A", "B"]), "t")
    assert "| A | 0.267 * |" in to_markdown(table)
    assert len(table.rows) == 3
    assert len(plot_fills(rows, ["A", "B"]).axes) == 3


def test_random_fills_do_not_depend_on_the_order(tmp_path):
    first, second = Store(tmp_path / "a", {}), Store(tmp_path / "b", {})
    compare_fills(classifier(), {"Random": RandomColour()}, cases(), first, 3, "cpu")
    compare_fills(classifier(), {"Random": RandomColour()}, cases()[::-1], second, 3, "cpu")
    for row in first.rows:
        (other,) = [r for r in second.rows if (r["id"], r["method"]) == (row["id"], row["method"])]
        assert row["l1"] == other["l1"]


# Whole runs


def config(**options):
    fills = {"CA": {"class_path": "CAInfill", "init_args": {"checkpoint": "checkpoints/ca.ckpt"}},
             "VAE": {"class_path": "VAEInfill", "init_args": {"checkpoint": "checkpoints/vae.ckpt"}},
             "Local": {"class_path": "Local", "init_args": {"window": 5}}}  # fmt: skip
    return classifier_config(
        experiment={"class_path": "InfillComparison", "init_args": {"fills": fills, "examples": 2} | options},
        evaluation={"limit": 8},
    )


@pytest.fixture
def networks(here):
    save_inpainter(here / "checkpoints" / "ca.ckpt")
    save_inpainter(here / "checkpoints" / "vae.ckpt", "vae")
    save_classifier(here / "checkpoints" / "tiny_classifier.ckpt", CLASSES)
    return here


def test_a_comparison_is_run_shown_and_goes_on(networks, capsys):
    content = evaluate(["--config", config()])
    out = networks / "results" / "tiny_classifier"
    files = {"results.json", "rows.jsonl", "table.md", "infills.png", "examples.png"}
    assert {p.name for p in out.iterdir()} >= files
    assert set(content["results"]) == {"Original image", "CA", "VAE", "Local"}
    holes = content["results"]["CA"]["images"]
    assert holes + content["without a hole"] == 8
    assert f"{holes} holes" in (out / "table.md").read_text()
    assert "L1 in the hole ↓" in capsys.readouterr().out
    before = (out / "rows.jsonl").read_text()
    lines = before.splitlines(keepends=True)
    (out / "rows.jsonl").write_text("".join(lines[:6]) + lines[6][:7])  # killed while writing
    again = evaluate(["--config", config()])
    assert [json.loads(a)["l1"] for a in (out / "rows.jsonl").read_text().splitlines()] == pytest.approx(
        [json.loads(a)["l1"] for a in lines]
    )
    assert again["results"]["CA"]["l1"] == content["results"]["CA"]["l1"]
    with pytest.raises(InputError, match="results with another smallest"):
        evaluate(["--config", config(smallest=0.3)])


def test_a_comparison_with_a_new_checkpoint_is_another(networks):
    evaluate(["--config", config(examples=0)])
    torch.manual_seed(5)
    save_inpainter(networks / "checkpoints" / "ca.ckpt")
    with pytest.raises(InputError, match="results with another method 'CA'"):
        evaluate(["--config", config(examples=0)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 64}, "'CA': .*trained on images of 64×64"),
        ({"classes": ("cat", "dog")}, "'CA': .*data set of 2 cl"),
    ],
)
def test_a_checkpoint_of_another_size_or_data_set(networks, options, words):
    save_inpainter(networks / "checkpoints" / "ca.ckpt", **options)
    with pytest.raises(InputError, match=words):
        evaluate(["--config", config()])
    assert not list((networks / "results").rglob("rows.jsonl"))


def test_a_missing_checkpoint_and_one_of_another_kind(networks):
    (networks / "checkpoints" / "ca.ckpt").unlink()
    with pytest.raises(InputError, match=r"ca\.ckpt"):
        evaluate(["--config", config()])
    save_inpainter(networks / "checkpoints" / "ca.ckpt", "vae")
    with pytest.raises(InputError, match=r"ca\.ckpt is a checkpoint of kind 'vae'"):
        evaluate(["--config", config()])


@pytest.mark.parametrize(("smallest", "largest"), [(0.0, 0.5), (0.5, 0.4), (0.2, 1.1), (-1, 0.2)])
def test_fractions_out_of_range(smallest, largest):
    with pytest.raises(InputError, match=r"0 < smallest <= largest <= 1"):
        InfillComparison(smallest=smallest, largest=largest)


def test_images_without_ground_truth_have_no_unrelated_holes(networks):
    from tests.support import trees

    trees.folder_tree(networks / "mine", CLASSES, 10)
    data = {"class_path": "Folder", "init_args": {"root": "mine", "image_size": 32, "num_workers": 0,
            "class_names": list(CLASSES)}}  # fmt: skip
    save_classifier(networks / "checkpoints" / "tiny_classifier.ckpt", CLASSES, multilabel=False)
    with pytest.raises(
        InputError, match=r"none of the .* images has labels and room for a hole; take smaller ones, or any"
    ):
        evaluate(["--config", config(), "--data", yaml.safe_dump(data)])
    content = evaluate(["--config", config(where="anywhere"), "--data", yaml.safe_dump(data)])
    assert content["without a hole"] == 0

"""Which variations are accepted, and the numbers about them."""

import numpy as np
import pytest
import torch

from explainer.experiments.variations.acceptance import (
    accepted,
    explained_class,
    feature_diversity,
    look,
    pixel_diversity,
    summarise,
    t_score,
)
from explainer.networks import Explanandum
from tests.support import oracles
from tests.support.small_evaluation import classifier


def test_a_softmax_must_still_have_the_class_on_top():
    after = torch.tensor([[0.4, 0.35, 0.25], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]])
    before = torch.tensor([0.5, 0.3, 0.2])
    assert explained_class(before, False) == 0
    for same in ("class", "labels"):
        assert accepted(before, after, 0, False, same).tolist() == [True, False, False]


def test_sigmoids_must_still_find_the_class_or_all_the_labels():
    before = torch.tensor([0.9, 0.7, 0.1])
    after = torch.tensor([[0.5, 0.9, 0.2], [0.8, 0.2, 0.1], [0.6, 0.9, 0.6], [0.49, 0.9, 0.1]])
    assert explained_class(before, True) == 0
    assert explained_class(before / 2, True) is None
    assert accepted(before, after, 0, True).tolist() == [True, True, True, False]
    assert accepted(before, after, 0, True, "labels").tolist() == [True, False, False, False]


def test_t_scores_are_welchs():
    before, after = torch.rand(30, dtype=torch.float64), 0.3 + 2 * torch.rand(4, 30, dtype=torch.float64)
    got = t_score(before, after)
    np.testing.assert_allclose(got, [oracles.welch_t(before.numpy(), a.numpy()) for a in after])
    np.testing.assert_allclose(t_score(before, torch.stack([before, before.flip(0)])), 0, atol=1e-9)
    flat = t_score(torch.zeros(5), torch.tensor([[0.0] * 5, [1.0] * 5]))
    assert flat.tolist() == [0, torch.inf]


def test_diversities_are_means_over_pairs():
    rows = torch.rand(5, 7, dtype=torch.float64)
    assert feature_diversity(rows) == pytest.approx(oracles.mean_over_pairs(rows.numpy(), oracles.cosine_distance))
    assert pixel_diversity(rows) == pytest.approx(
        oracles.mean_over_pairs(rows.numpy(), lambda a, b: np.abs(a - b).mean())
    )
    for function in (feature_diversity, pixel_diversity):
        assert function(rows[:1]) is None
        assert function(rows[:0]) is None
        assert function(rows[:1].expand(3, -1)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("network", [None, "squeezenet1_1"])
def test_a_look_gives_probabilities_and_the_last_layers_input(network):
    explanandum = classifier() if network is None else Explanandum(network, num_classes=3, multilabel=False)
    images = torch.rand(5, 3, 32, 32)
    seen = look(explanandum, images, 2)
    torch.testing.assert_close(seen.probabilities, explanandum.probabilities(explanandum(images)).detach())
    if network is None:
        inner = explanandum.network
        features = inner.pool(inner.stages(explanandum.normalised(images))).flatten(1)
        torch.testing.assert_close(seen.features, features)
    else:
        assert seen.features.shape == (5, 512)
    assert all(not m._forward_pre_hooks for m in explanandum.modules())


def test_the_numbers_of_an_image_by_hand():
    explanandum = classifier(multilabel=False)
    original, images, box = torch.rand(3, 16, 16), torch.rand(6, 3, 16, 16), (2, 3, 9, 8)
    seen = look(explanandum, images)
    accept = torch.tensor([True, False, True, True, False, False])
    got = summarise(original, images, box, seen, 1, accept, torch.arange(6.0))
    scores = seen.probabilities[:, 1].double().numpy()
    inside = images[..., 3:8, 2:9].double().flatten(1).numpy()
    good, before = accept.numpy(), original[:, 3:8, 2:9].double().flatten().numpy()
    wanted = {
        "variations": 6, "accepted": 3, "accuracy": 0.5, "score": scores[good].mean(),
        "deviation": scores[good].std(ddof=1), "score_of_all": scores.mean(), "best": scores.max(),
        "t_score": np.mean([oracles.welch_t(before, a) for a in inside[good]]), "loss": 2.5,
        "diversity": oracles.mean_over_pairs(seen.features.double().numpy()[good], oracles.cosine_distance),
        "pixel_diversity": oracles.mean_over_pairs(inside[good], lambda a, b: np.abs(a - b).mean()),
    }  # fmt: skip
    assert got == pytest.approx(wanted, rel=1e-5)


def test_without_an_accepted_variation_only_what_is_defined_is_there():
    images = torch.rand(4, 3, 16, 16)
    seen = look(classifier(), images)
    none = torch.zeros(4, dtype=torch.bool)
    got = summarise(images[0], images, (1, 1, 5, 5), seen, 0, none, torch.full((4,), torch.nan))
    assert {key for key, value in got.items() if value is None} == {
        "score", "deviation", "t_score", "diversity", "pixel_diversity", "loss",
    }  # fmt: skip
    assert (got["accepted"], got["accuracy"]) == (0, 0)
    assert got["best"] == seen.probabilities[:, 0].max().item()
    one = summarise(images[0], images, (1, 1, 5, 5), seen, 0, none | (torch.arange(4) == 2), torch.zeros(4))
    assert one["deviation"] is one["diversity"] is None
    assert one["score"] == pytest.approx(seen.probabilities[2, 0].item())

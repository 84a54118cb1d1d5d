import numpy as np
import pytest

from explainer.audit.places import cells, enlarged, recurring_place, sameness, standardised


def random_masks(count, seed=0):
    """Squares at random places."""
    generator = np.random.default_rng(seed)
    masks = np.zeros((count, 32, 32), np.uint8)
    for mask in masks:
        row, column = generator.integers(0, 24, 2)
        mask[row : row + 8, column : column + 8] = 255
    return masks


def test_the_standardised_difference_is_the_formula():
    generator = np.random.default_rng(0)
    values = generator.random((7, 3)).astype(np.float32)
    divisions = np.stack([generator.permutation([True] * 3 + [False] * 4) for _ in range(2)], 1)
    found = standardised(values, divisions)
    for n in range(2):
        for g in range(3):
            column = values[:, g].astype(np.float64)
            mine = column[divisions[:, n]]
            others = column[~divisions[:, n]]
            spread = np.sqrt(np.mean((column - column.mean()) ** 2)) + 0.01
            want = (mine.mean() - others.mean()) / (spread * np.sqrt(1 / 3 + 1 / 4))
            assert found[n, g] == pytest.approx(want, rel=1e-4)


def test_a_place_is_found_where_it_was_put():
    masks = random_masks(60)
    mine = np.arange(60) < 30
    masks[:24, 24:, 24:] = 255
    place = recurring_place(masks, mine)
    want = np.zeros((16, 16), bool)
    want[12:, 12:] = True
    np.testing.assert_array_equal(place.region, want)
    assert place.p == 1 / 200
    assert 0.8 <= place.share <= 0.9
    assert place.elsewhere < 0.2


def test_where_all_classes_lie_is_no_place():
    masks = random_masks(60)
    masks[:, 24:, 24:] = 255
    assert recurring_place(masks, np.arange(60) < 30) is None


def test_masks_at_random_places_recur_as_rarely_as_the_level_says():
    found = [recurring_place(random_masks(60, seed), np.arange(60) < 30, 99) is not None for seed in range(40)]
    # at a level of 5 %, seven or more of forty have a probability of 0.4 %
    assert sum(found) < 7


def test_of_very_many_masks_the_class_s_own_stay(monkeypatch):
    monkeypatch.setattr("explainer.audit.places._MOST", 50)
    masks = random_masks(400)
    mine = np.arange(400) >= 380
    masks[380:, :8, :8] = 255
    place = recurring_place(masks, mine)
    assert place.region[:4, :4].all()
    assert place.share == 1.0


def test_cells_are_means():
    mask = np.zeros((1, 32, 32), np.uint8)
    mask[0, 0, 0] = 255
    assert cells(mask)[0, 0, 0] == pytest.approx(0.25)
    assert cells(mask).sum() == pytest.approx(0.25)


def test_sameness_is_one_minus_the_ratio_of_variances():
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (30, 3, 8, 8)).astype(np.uint8)
    members = np.arange(30) < 12
    region = generator.random((4, 4)) < 0.5
    inside = 0.0
    outside = 0.0
    large = enlarged(region, 8)
    for row, column in zip(*large.nonzero()):
        for channel in range(3):
            values = pictures[:, channel, row, column].astype(np.float64) / 255
            inside += values[members].var(ddof=1)
            outside += values[~members].var(ddof=1)
    assert sameness(pictures, members, region) == pytest.approx(max(0.0, 1 - inside / outside), abs=1e-4)


@pytest.mark.parametrize("members", [0, 1, 29, 30])
def test_one_picture_is_alike_to_nothing(members):
    pictures = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8)).astype(np.uint8)
    assert sameness(pictures, np.arange(30) < members, np.ones((4, 4), bool)) == 0


def test_pictures_that_are_all_equal_tell_nothing():
    assert sameness(np.zeros((9, 3, 8, 8), np.uint8), np.arange(9) < 4, np.ones((4, 4), bool)) == 0

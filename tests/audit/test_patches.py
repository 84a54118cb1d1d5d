import numpy as np
import pytest
import torch

from explainer.audit.patches import clusters, excess, likeness_to_rows, similarity

GRAIN = 0.03


def fine(patch):
    """A patch (C, 12, 12) less the mean of the neighbours that there are: slow, in float64."""
    less = patch.astype(np.float64)
    for row in range(12):
        for column in range(12):
            window = patch[:, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
            less[:, row, column] -= window.astype(np.float64).mean((1, 2))
    return less


def correlation(one, other):
    """Of the middle of one patch (C, 12, 12) with the other's windows, the highest: slow, in float64."""
    middle = fine(one)[:, 2:10, 2:10]
    middle = middle - middle.mean((1, 2), keepdims=True)
    fine_other = fine(other)
    floor = middle.size * GRAIN**2
    best = -np.inf
    for row in range(5):
        for column in range(5):
            window = fine_other[:, row : row + 8, column : column + 8]
            window = window - window.mean((1, 2), keepdims=True)
            length = np.sqrt(((middle**2).sum() + floor) * ((window**2).sum() + floor))
            best = max(best, (middle * window).sum() / length)
    return best


def test_similarity_is_the_formula():
    patches = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = similarity(patches).numpy()
    for i in range(5):
        for j in range(5):
            want = (correlation(patches[i].numpy(), patches[j].numpy()) + correlation(
                patches[j].numpy(), patches[i].numpy())) / 2  # fmt: skip
            assert found[i, j] == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("count", [1, 300])
def test_any_number_of_patches_is_compared(count):
    patches = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = similarity(patches)
    assert found.shape == (count, count)
    torch.testing.assert_close(found, found.T)
    assert (found.diagonal() > 0.95).all()
    # of those at the end of a block, too
    assert found[0, -1] == pytest.approx(float(similarity(patches[[0, -1]])[0, 1]), abs=1e-5)


@pytest.mark.parametrize("shift", [(1, 0), (-2, 2), (0, 2)])
def test_a_shift_of_up_to_two_pixels_changes_little(shift):
    large = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(3))
    one = large[:, :, 4:16, 4:16]
    other = large[:, :, 4 + shift[0] : 16 + shift[0], 4 + shift[1] : 16 + shift[1]]
    assert float(similarity(torch.cat([one, other]))[0, 1]) > 0.95
    strange = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(4))
    assert float(similarity(torch.cat([one, strange]))[0, 1]) < 0.5


def test_flat_patches_are_like_nothing():
    flat = torch.full((2, 3, 12, 12), 0.5)
    assert float(similarity(flat).abs().max()) < 1e-4


def test_light_that_falls_alike_makes_no_patches_alike():
    """Bright above and dark below, with details of their own."""
    light = torch.linspace(1, 0, 12)[:, None].expand(3, 12, 12)
    noise = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    assert abs(float(similarity(0.8 * light + 0.2 * noise)[0, 1])) < 0.4


def test_patches_of_eight_bits_and_of_any_size_are_compared():
    patch = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(patch, (36, 36), mode="nearest")
    both = torch.cat([(large * 255).round().byte(), torch.zeros(1, 3, 36, 36, dtype=torch.uint8)])
    found = similarity(both)
    assert found[0, 0] > 0.9
    assert found[0, 1] == 0


def test_a_row_is_as_near_as_its_nearest_patch():
    pairs = np.array([[1.0, 0.2, 0.7], [0.2, 1.0, 0.4], [0.7, 0.4, 1.0]], dtype=np.float32)
    found = likeness_to_rows(pairs, np.array([0, 1, 1]), 3)
    np.testing.assert_allclose(found, [[-1, 0.7, -1], [0.2, -1, -1], [0.7, -1, -1]], rtol=1e-6)


def test_shares_leave_the_patch_s_own_row_out():
    # patch 0 of row 0 is found in rows 1 and 3; rows 0 to 2 are of the class
    near = np.array([[False, True, False, True]])
    mine = np.array([[True], [True], [True], [False]])
    share, elsewhere = excess(near, np.array([0]), mine)
    assert share[0, 0] == pytest.approx(1 / 2)
    assert elsewhere[0, 0] == 1.0


def made(marked, rows=40, of_class=20, seed=0):
    """Similarities of two patches a row: those of the first `marked` rows of the class are of one kind."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(rows), 2)
    pairs = generator.uniform(-0.2, 0.5, (2 * rows, 2 * rows)).astype(np.float32)
    pairs = (pairs + pairs.T) / 2
    marks = 2 * np.arange(marked)
    pairs[np.ix_(marks, marks)] = 0.9
    np.fill_diagonal(pairs, 1.0)
    return pairs, owner, np.arange(rows) < of_class


def test_a_mark_is_a_cluster_of_the_images_that_have_it():
    pairs, owner, mine = made(marked=15)
    first, *_ = clusters(pairs, owner, mine, 0.65)
    assert sorted(first.members.tolist()) == list(range(0, 30, 2))
    assert first.share == pytest.approx(14 / 19)  # the medoid's own image is left out
    assert first.elsewhere == 0
    assert first.alike == pytest.approx(0.9)
    assert first.p == 1 / 200


def test_what_recurs_in_all_classes_is_no_cluster():
    pairs, owner, mine = made(marked=40)
    assert clusters(pairs, owner, mine, 0.65) == []


def test_without_a_mark_p_is_no_smaller_than_chance_lets_it():
    """Of pairs near each other by chance, the best candidate is as good in any division of the rows."""
    values = []
    for seed in range(30):
        pairs, owner, mine = made(marked=0, seed=seed)
        values += [cluster.p for cluster in clusters(pairs, owner, mine, 0.45)[:1]]
    assert len(values) == 30
    assert 0.3 < np.mean(values) <= 1
    assert np.mean(np.array(values) <= 0.05) <= 0.2


def test_a_second_mark_is_a_second_cluster():
    pairs, owner, mine = made(marked=10)
    others = 2 * np.arange(10, 18)
    pairs[np.ix_(others, others)] = 0.8
    np.fill_diagonal(pairs, 1.0)
    first, second = clusters(pairs, owner, mine, 0.65)
    assert sorted(first.members.tolist()) == list(range(0, 20, 2))
    assert sorted(second.members.tolist()) == list(range(20, 36, 2))
    assert second.share == pytest.approx(7 / 19)

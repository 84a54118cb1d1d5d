import pytest
import torch

from explainer.audit.peaks import cut, find_peaks, patch_side, share_near, window_at


def test_peaks_are_apart_and_reach_half_of_the_first():
    mask = torch.zeros(2, 32, 32)
    mask[0, 5:8, 5:8] = 1.0
    mask[0, 5:8, 9:12] = 0.9  # in the window of the first
    mask[0, 20:23, 20:23] = 0.6
    mask[0, 28:31, 2:5] = 0.4  # too low
    peaks = find_peaks(mask)
    assert peaks.places[0, :2].tolist() == [[6, 6], [21, 21]]
    torch.testing.assert_close(peaks.strengths[0], torch.tensor([1.0, 0.6, 0.0]))
    # an empty mask has none
    assert peaks.strengths[1].tolist() == [0, 0, 0]


def test_the_first_peak_is_the_middle_of_a_block_and_not_a_lonely_cell():
    mask = torch.zeros(1, 32, 32)
    mask[0, 3, 3] = 1.0
    mask[0, 20:23, 10:13] = 0.8
    assert find_peaks(mask).places[0, 0].tolist() == [21, 11]


@pytest.mark.parametrize(("place", "want"), [((0, 0), (0, 0)), ((31, 31), (48, 48)), ((16, 8), (25, 9))])
def test_a_window_stays_in_the_image(place, want):
    assert window_at(torch.tensor(place), 64, 32, 16) == want


def test_a_patch_is_what_stands_there():
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    patch = cut(image, torch.tensor([0, 31]), 32)
    assert patch.shape == (3, 16, 16)
    torch.testing.assert_close(patch.float() / 255, image[:, :16, 48:], atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_large_patch_is_shrunk():
    image = torch.rand(4, 256, 256)
    patch = cut(image, torch.tensor([10, 10]), 32)
    assert patch_side(256) == 64
    assert patch.shape == (4, 32, 32)
    assert patch.dtype == torch.uint8


def test_the_share_on_the_object_is_that_of_the_window():
    mask = torch.zeros(32, 32)
    mask[10:14, 10:14] = 1.0
    mask[30, 30] = 1.0
    shown = torch.zeros(32, 32)
    shown[10:14, 10:12] = 1.0
    known = torch.ones(32, 32)
    assert share_near(mask, shown, known, torch.tensor([12, 12])) == pytest.approx(0.5)
    assert share_near(mask, shown, torch.zeros(32, 32), torch.tensor([12, 12])) is None

import numpy as np
import pytest
import torch

from explainer.audit.turning import Evidence, component, opacity, paste, random_shift, turn
from tests.support.made_mark import MARK, RedMasks, mark


def grey(count):
    return torch.full((count, 3, 64, 64), 0.4)


def marked():
    """A grey image with the mark at the upper left, and where it is."""
    image = grey(1)[0]
    image[:, 4 : 4 + MARK, 4 : 4 + MARK] = mark()
    part = torch.zeros(64, 64)
    part[4 : 4 + MARK, 4 : 4 + MARK] = 1
    return image, part


def test_a_paste_is_the_composite_at_another_place():
    image, part = marked()
    target = torch.rand(3, 64, 64)
    pasted = paste(target, Evidence(image, 0.5 * part, True), (10, -3))
    want = target.clone()
    window = (slice(None), slice(14, 14 + MARK), slice(1, 1 + MARK))
    want[window] = 0.5 * target[window] + 0.5 * mark()
    torch.testing.assert_close(pasted, want)


def test_a_part_never_leaves_the_image():
    _, part = marked()
    generator = np.random.default_rng(0)
    corners = set()
    for _ in range(300):
        shift = random_shift(part, generator)
        rows, columns = part.roll(shift, (0, 1)).nonzero().T
        assert rows.max() - rows.min() == MARK - 1
        assert columns.max() - columns.min() == MARK - 1
        corners.add((int(rows.min()), int(columns.min())))
    # nearly as many places as draws, up to both ends
    assert len(corners) > 200
    assert max(row for row, _ in corners) >= 64 - MARK - 2
    assert min(column for _, column in corners) <= 1


def test_evidence_turns_images_and_the_control_does_not():
    image, part = marked()
    tried = turn(RedMasks(), 1, [Evidence(image, part, True)], grey(6))
    assert (tried.images, tried.turned, tried.control) == (6, 1.0, 0.0)
    assert tried.pasted.shape == (4, 3, 64, 64)
    assert tried.pasted[:, 2].amin() == 0  # the mark has no blue


def test_what_is_no_evidence_turns_nothing():
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)).mean(0, keepdim=True).expand(3, -1, -1)
    _, part = marked()
    tried = turn(RedMasks(), 1, [Evidence(image, part, True)], grey(6))
    assert (tried.turned, tried.control) == (0.0, 0.0)


def test_no_more_images_are_asked_than_settle_it():
    image, part = marked()
    masks = CountingMasks()
    # nothing but grey is pasted
    tried = turn(masks, 1, [Evidence(grey(1)[0], part, True)], grey(32), least=0.8)
    assert masks.asked == 8
    assert (tried.images, tried.turned, tried.control) == (8, 0.75, None)
    assert not len(tried.pasted)
    masks = CountingMasks()
    tried = turn(masks, 1, [Evidence(image, part, True)], grey(32), least=1.0)
    assert masks.asked == 64
    assert (tried.images, tried.turned, tried.control) == (32, 1.0, 0.0)


class CountingMasks(RedMasks):
    def __init__(self):
        super().__init__()
        self.asked = 0

    def decided(self, images):
        self.asked += len(images)
        return super().decided(images)


def test_the_control_is_another_target_s_own_part():
    """Where every second target is of the class already, the others turn by the control as they do by the mark."""
    image, part = marked()
    targets = grey(4)
    targets[1::2] = image
    tried = turn(RedMasks(), 1, [Evidence(image, part, False)], targets)
    assert tried.turned == 1.0
    # the grey ones get the mark of the next one; the others get grey at the mark's place
    assert tried.control == 0.5


def test_the_same_seed_pastes_at_the_same_places():
    image, part = marked()
    first, again, other = (turn(RedMasks(), 1, [Evidence(image, part, True)], grey(4), seed) for seed in (1, 1, 2))
    assert torch.equal(first.pasted, again.pasted)
    assert not torch.equal(first.pasted, other.pasted)


def test_a_component_is_connected_and_near():
    mask = torch.zeros(32, 32)
    mask[4:8, 4:8] = 0.9
    mask[4:8, 8:28] = 0.3  # too low
    mask[20:24, 20:24] = 0.9  # not connected
    mask[8:30, 5] = 0.8  # connected, and too far
    found = component(mask, (6, 6))
    assert found[4:8, 4:8].all()
    assert not found[4:8, 8:].any()
    assert not found[20:24, 20:24].any()
    assert found[8:15, 5].all()
    assert not found[15:, 5].any()


def test_a_component_of_an_empty_mask_is_the_cell_itself():
    assert component(torch.zeros(8, 8), (3, 4)).nonzero().tolist() == [[3, 4]]


@pytest.mark.parametrize("side", [32, 64, 96])
def test_a_part_is_pasted_whole_and_fades_outside_of_it(side):
    part = torch.zeros(32, 32, dtype=torch.bool)
    part[10:14, 10:14] = True
    drawn = opacity(part, side)
    cell = side // 32
    assert (drawn[10 * cell : 14 * cell, 10 * cell : 14 * cell] == 1).all()
    assert drawn.min() == 0
    assert (drawn[: 9 * cell] == 0).all()
    assert (drawn[15 * cell :] == 0).all()

"""Single deletion: against a slow version from the definition, and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explainer.errors import InputError
from explainer.functional.parts import Parts
from explainer.metrics import PartDeletion, agreement_in_order, logit_falls
from tests.support import oracles
from tests.support.small_judged import judged

SIDES = (6, 8)


def parts_of(generator, count):
    """A random division of the picture, and random pictures."""
    owner = torch.randint(count, SIDES, generator=generator)
    owner.view(-1)[:count] = torch.arange(count)  # none is empty
    regions = torch.stack([owner == number for number in range(count)])
    pictures = torch.rand(count, 3, *SIDES, generator=generator, dtype=torch.float64)
    return Parts(regions, pictures, ("object",) * (count - 1) + ("background",))


def single_deletion(mask, regions, image, pictures, reduction):
    """The definition, value by value; the classifier's logit of class 0 is 20 times the mean of red."""
    attributions, falls = [], []
    for region, picture in zip(regions, pictures, strict=True):
        values = [mask[y, x] for y, x in np.ndindex(*mask.shape) if region[y, x]]
        attributions.append(sum(values) if reduction == "sum" else sum(values) / len(values))
        falls.append(20 * image[0].mean() - 20 * picture[0].mean())
    return oracles.spearman(np.array(attributions), np.array(falls))


@given(seed=st.integers(0, 10_000), count=st.integers(3, 7), reduction=st.sampled_from(["sum", "mean"]))
@settings(max_examples=15, deadline=None)
def test_it_is_what_the_definition_says(seed, count, reduction):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(2, 1, *SIDES, generator=generator, dtype=torch.float64)
    images = torch.rand(2, 3, *SIDES, generator=generator, dtype=torch.float64)
    parts = [parts_of(generator, count) for _ in range(2)]
    found = PartDeletion(reduction, batch_size=2).measure(judged(masks, image=images, parts=parts)).value
    want = [single_deletion(masks[n, 0].numpy(), parts[n].regions.numpy(), images[n].numpy(),
                            parts[n].pictures.numpy(), reduction) for n in range(2)]  # fmt: skip
    np.testing.assert_allclose(found.numpy(), want, atol=1e-12)


def stripes(worth):
    """Columns of one picture, and pictures whose red says what each is worth; the image itself is black."""
    count = len(worth)
    regions = torch.eye(count, dtype=torch.bool)[:, None, :].expand(count, 2, count)
    pictures = torch.zeros(count, 3, 2, count)
    pictures[:, 0] = 1 - torch.tensor(worth)[:, None, None]
    return Parts(regions, pictures, ("object", "distractor", "shortcut", "background", "object")[:count])


def value_of(row, worth, **settings):
    mask = torch.tensor(row).expand(1, 1, 2, len(row))
    image = torch.zeros(1, 3, 2, len(row))
    return PartDeletion(**settings).measure(judged(mask, image=image, parts=[stripes(worth)])).value.item()


def test_the_right_order_the_reverse_and_ties():
    assert value_of([0.1, 0.2, 0.9, 0.0], [0.2, 0.4, 0.6, 0.1]) == 1
    assert value_of([0.9, 0.2, 0.1, 1.0], [0.2, 0.4, 0.6, 0.1]) == -1
    assert value_of([0.5, 0.5, 0.1, 0.1], [0.4, 0.6, 0.2, 0.1]) == pytest.approx(oracles.spearman(
        np.array([0.5, 0.5, 0.1, 0.1]), np.array([0.4, 0.6, 0.2, 0.1])))  # fmt: skip
    # the background is the fourth part, and alone spoils the order
    assert value_of([0.1, 0.2, 0.3, 0.9], [0.4, 0.5, 0.6, 0.1], background=False) == 1
    assert value_of([0.1, 0.2, 0.3, 0.9], [0.4, 0.5, 0.6, 0.1]) < 1


def test_where_nothing_can_be_said():
    assert np.isnan(value_of([0.1, 0.9], [0.2, 0.6]))
    assert np.isnan(value_of([0.1, 0.2, 0.9], [0.3, 0.3, 0.3]))
    assert np.isnan(value_of([0.1, 0.2, 0.9, 0.4], [0.3, 0.3, 0.3, 0.9], background=False))
    assert value_of([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]) == 0
    assert np.isnan(agreement_in_order(torch.rand(3), torch.tensor([0.1, float("nan"), 0.2])).item())
    masks = torch.rand(3, 1, 2, 4)
    unknown = judged(masks, image=torch.zeros(3, 3, 2, 4))
    assert PartDeletion().measure(unknown).value.isnan().all()
    some = PartDeletion().measure(unknown._replace(parts=[None, stripes([0.2, 0.4, 0.6, 0.1]), None])).value
    assert some.isnan().tolist() == [True, False, True]


def test_a_part_that_speaks_against_the_class_falls_below_nothing():
    falls = logit_falls(torch.full((3, 2, 2), 0.5), torch.tensor([0.9, 0.5, 0.1])[:, None, None, None].expand(3, 3, 2, 2),
                        1, lambda seen: seen.mean((2, 3)), batch_size=1)  # fmt: skip
    torch.testing.assert_close(falls, torch.tensor([-0.4, 0.0, 0.4], dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_target_is_the_label():
    labels = torch.tensor([[0.0, 1.0, 0.0]])
    worth = stripes([0.2, 0.4, 0.6])
    green = worth._replace(pictures=worth.pictures[:, [1, 0, 2]])
    mask = torch.tensor([0.1, 0.2, 0.9]).expand(1, 1, 2, 3)
    image = torch.zeros(1, 3, 2, 3)
    assert PartDeletion().measure(judged(mask, image=image, labels=labels, parts=[green])).value.item() == 1
    assert PartDeletion().measure(judged(mask, image=image, labels=labels, parts=[worth])).value.isnan().item()


@pytest.mark.parametrize("wrong", [{"reduction": "max"}, {"batch_size": 0}])
def test_hyperparameters_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        PartDeletion(**wrong)

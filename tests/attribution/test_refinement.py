"""An Explainer's mask, refined on one image: its order changes, its values stay."""

import pytest
import torch

from explainer.attribution import Explainer
from explainer.attribution.refinement import Refinement, refined, with_order_of
from explainer.errors import InputError
from explainer.evaluation.maps.cost import measured
from explainer.evaluation.storage.fingerprint import settings_of
from explainer.infill import Blur, Constant
from explainer.networks import Explanandum
from tests.support.small_checkpoints import CLASSES, SMALL, save_explainer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_explainer(tmp_path_factory.mktemp("explainer") / "explainer.ckpt")


@pytest.fixture
def explanandum():
    network = Explanandum(**SMALL, num_classes=3, multilabel=True)
    network.describe_classes(CLASSES, True, new_head=False)
    network.freeze()
    return network


class Corner(torch.nn.Module):
    """Class 0 is in the upper left quarter alone: its logit rises with the brightness there."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(1, 3)
        self.head.weight.data = torch.tensor([[20.0], [-20.0], [0.0]])
        self.head.bias.data = torch.tensor([-5.0, 5.0, 0.0])

    def forward(self, image):
        return self.head(image[:, :1, :16, :16].mean((2, 3)))


def corner():
    network = Explanandum(Corner(), multilabel=True, mean=[0.0] * 3, std=[1.0] * 3)
    network.freeze()
    return network


def test_values_are_put_into_another_order():
    values, order = torch.randn(2, 3, 1, 6, 6)
    result = with_order_of(values, order)
    assert torch.equal(result.flatten(1).sort(1).values, values.flatten(1).sort(1).values)
    assert torch.equal(result.flatten(1).argsort(1), order.flatten(1).argsort(1))


def test_no_steps_are_the_mask_itself_and_steps_change_only_the_order(checkpoint, explanandum):
    image, target = torch.rand(3, 3, 32, 32), torch.tensor([2, 0, 1])
    plain = Explainer(checkpoint)(explanandum, image, target)
    assert torch.equal(Explainer(checkpoint, refine_steps=0)(explanandum, image, target), plain)
    method = Explainer(checkpoint, refine_steps=3, refinement=Refinement(grid=8, learning_rate=1.0))
    refined_masks = method(explanandum, image, target)
    assert not torch.equal(refined_masks, plain)
    assert torch.equal(refined_masks.flatten(1).sort(1).values, plain.flatten(1).sort(1).values)


def test_an_image_is_refined_alike_alone_and_in_a_batch_and_each_class_apart(checkpoint, explanandum):
    image, labels = torch.rand(3, 3, 32, 32), torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0]])
    method = Explainer(checkpoint, refine_steps=2, refinement=Refinement(grid=8))
    together = method.target_mask(explanandum, image, labels)
    first = method(explanandum, image[:1].expand(2, -1, -1, -1), torch.tensor([0, 2])).amax(0)
    torch.testing.assert_close(together[0], first, atol=1e-4, rtol=1e-3)
    assert not together[1].any()
    torch.testing.assert_close(together[2:], method(explanandum, image[2:], torch.tensor([1])), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("steps", "shares"), [(3, 1), (2, 4)])
def test_a_step_takes_two_passes_a_share(checkpoint, explanandum, steps, shares):
    image, target = torch.rand(8, 3, 32, 32), torch.zeros(8, dtype=torch.long)
    method = Explainer(checkpoint, refine_steps=steps, refinement=Refinement(shares=shares, grid=8))
    with measured(explanandum, "cpu", images=8) as cost:
        method(explanandum, image, target)
    # folding the classifier tries it on one image a few times
    assert 2 * steps * shares <= cost.passes <= 2 * steps * shares + 1


def test_the_place_that_decides_comes_to_the_front():
    """From a start that ranks it last, with the pixels of the rest in an order by chance."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 32, 32, generator=generator) / 2 + 0.5
    start = torch.rand(2, 1, 32, 32, generator=generator)
    start[:, :, :16, :16] -= 1
    dark = Constant([0.0])
    settings = Refinement(grid=8, learning_rate=0.5, temperature=1.0, shares=2, insert_into=dark, delete_to=dark)
    result = refined(corner(), image, torch.zeros(2, dtype=torch.long), start, 40, settings)
    inside = result[:, :, :16, :16].flatten(1).mean(1)
    outside = (result.flatten(1).sum(1) - result[:, :, :16, :16].flatten(1).sum(1)) / (32 * 32 - 256)
    assert (inside > outside + 0.5).all()


def test_numbers_out_of_range_are_refused(checkpoint):
    with pytest.raises(InputError, match="refine_steps"):
        Explainer(checkpoint, refine_steps=-1)
    for settings in ({"grid": 0}, {"shares": 0}, {"learning_rate": 0.0}, {"temperature": -1.0}):
        with pytest.raises(InputError, match=next(iter(settings))):
            Refinement(**settings)


def test_results_without_refinement_stay_those_of_before_and_each_refinement_is_another_method(checkpoint):
    plain = settings_of({"a": Explainer(checkpoint), "b": Explainer(checkpoint, refinement=Refinement(grid=8))})
    assert plain["a"] == plain["b"]
    assert set(plain["a"]) == {"class", "checkpoint", "classes", "sha256"}
    coarse, fine = (Explainer(checkpoint, refine_steps=2, refinement=Refinement(grid=grid)) for grid in (8, 16))
    described = settings_of({"coarse": coarse, "fine": fine})
    assert described["coarse"]["refine_steps"] == 2
    assert described["coarse"]["refinement"]["grid"] == 8
    assert described["coarse"] != described["fine"]
    beside = Explainer(checkpoint, refine_steps=2, refinement=Refinement(grid=8, insert_into=Blur(2.0)))
    described = settings_of({"beside": beside})
    assert described["beside"]["refinement"]["insert_into"] == {"class": "Blur", "sigma": 2.0}

import pytest
import torch

import explainer
from explainer.attribution import Constant, GradCAM
from explainer.audit.masks import ExplainerMasks, MethodMasks, on_grid
from explainer.networks import Explanandum, FeatureMasker
from tests.support.small_checkpoints import SMALL, save_explainer


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return explainer.load(save_explainer(tmp_path_factory.mktemp("explainer") / "x.ckpt"), "cpu")


def both(decided):
    """Explain what is decided for, and the last class."""
    wanted = decided.clone()
    wanted[:, -1] = True
    return wanted


def test_masks_and_probabilities_are_the_explainer_s(loaded):
    images = torch.rand(3, 3, 32, 32)
    masked = ExplainerMasks(loaded).explain(images, both)
    torch.testing.assert_close(masked.probabilities, loaded.probabilities(images))
    whole = loaded.masks(images)
    for owner, index, mask in zip(masked.owners, masked.classes, masked.masks):
        torch.testing.assert_close(mask, whole[owner, index])
    decided = (masked.probabilities >= 0.5) | torch.nn.functional.one_hot(masked.probabilities.argmax(1), 3).bool()
    undecided = ~(masked.probabilities >= 0.5).any(1, keepdim=True)
    assert torch.equal(masked.decided, torch.where(undecided, decided, masked.probabilities >= 0.5))


def test_an_image_always_has_a_decision(loaded):
    masked = ExplainerMasks(loaded, threshold=1.0).explain(torch.rand(4, 3, 32, 32), lambda decided: decided)
    assert masked.decided.sum(1).tolist() == [1, 1, 1, 1]
    assert torch.equal(masked.decided.float().argmax(1), masked.probabilities.argmax(1))
    assert torch.equal(
        ExplainerMasks(loaded, threshold=1.0).decided(torch.rand(2, 3, 32, 32)).sum(1), torch.ones(2).long()
    )


def test_a_masker_that_reads_the_classifier_runs_it_once():
    explanandum = Explanandum(**SMALL, num_classes=3, multilabel=True)
    masker = FeatureMasker(width=8, scales=2)
    masker.attach(explanandum)
    masker.build(3)
    passes = []
    handle = explanandum.network.register_forward_hook(lambda *_: passes.append(1))
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        logits, coarse = masker.coarse_with_logits(images)
    handle.remove()
    assert len(passes) == 1
    torch.testing.assert_close(logits, explanandum(images))
    torch.testing.assert_close(coarse, masker.coarse(images))


@pytest.mark.parametrize("method", [GradCAM(), Constant(0.25)])
def test_a_method_explains_class_by_class(method):
    explanandum = Explanandum(**SMALL, num_classes=3, multilabel=True)
    masks = MethodMasks(explanandum, method, 32)
    assert masks.classes == ("0", "1", "2")
    images = torch.rand(2, 3, 32, 32)
    masked = masks.explain(images, both)
    for owner, index, mask in zip(masked.owners, masked.classes, masked.masks):
        one = method(explanandum, images[owner][None], int(index)).detach()
        want = method.as_masks(one, scaled=not method.is_mask)
        torch.testing.assert_close(mask, on_grid(want)[0], atol=1e-5, rtol=1e-4)


def test_small_masks_are_enlarged_and_large_ones_are_means():
    mask = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(on_grid(mask), torch.nn.functional.avg_pool2d(mask, 2)[:, 0])
    assert on_grid(torch.rand(2, 1, 8, 8)).shape == (2, 32, 32)
    assert on_grid(torch.rand(0, 1, 8, 8)).shape == (0, 32, 32)

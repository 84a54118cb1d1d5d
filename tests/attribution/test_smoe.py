import pytest
import torch

from explainer.attribution import SMOE, FastCAM, GradCAM
from explainer.attribution.smoe import scale_weights
from explainer.errors import InputError
from explainer.functional import activation_statistics as statistics
from explainer.networks import Explanandum
from explainer.networks.taps import read_taps
from explainer.rendering import beside_grey, lovi, to_pil
from tests.support.small_checkpoints import CLASSES, SMALL

FAMILIES = ["resnet18", "vgg11", "alexnet", "densenet121", "inception_v3", "mobilenet_v2", "efficientnet_b0",
            "convnext_tiny", "explainer.networks.lite.efficientnet_lite0"]  # fmt: skip


@pytest.fixture
def explanandum(device):
    built = Explanandum(**SMALL, num_classes=3, multilabel=True)
    built.describe_classes(CLASSES, True, new_head=False)
    return built.to(device)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_scales_that_are_read(name):
    arguments = {"init_weights": False} if name == "inception_v3" else None
    explanandum = Explanandum(name, network_args=arguments, multilabel=False)
    image = torch.rand(1, 3, 224, 224)
    scales = SMOE().scales(explanandum, image)
    sizes = [s.shape[-1] for s in scales]
    assert sizes == sorted(set(sizes), reverse=True)
    found = SMOE()(explanandum, image, torch.zeros(1, dtype=torch.long))
    assert found.shape == (1, 1, 224, 224)
    assert found.min() < found.max()


def test_the_map_is_equation_three(explanandum):
    image = torch.rand(2, 3, 32, 32, device=explanandum.mean.device)
    with read_taps(explanandum.network, explanandum.taps) as seen, torch.no_grad():
        explanandum(image)
    maps = [statistics.smoe_scale(seen[t]) for t in explanandum.taps]
    for weights in ("equal", "rule", [0.0, 1.0, 0.0, 2.0]):
        want = statistics.combine(maps, scale_weights(weights, 4), (32, 32))
        torch.testing.assert_close(SMOE(weights=weights)(explanandum, image), want)


@pytest.mark.parametrize("statistic", ["standard_deviation", "truncated_normal_entropy", "gamma_scale"])
def test_other_statistics(explanandum, statistic):
    image = torch.rand(2, 3, 32, 32, device=explanandum.mean.device)
    found = SMOE(statistic)(explanandum, image)
    assert found.isfinite().all()
    assert not torch.equal(found, SMOE()(explanandum, image))


def test_truncated_statistics_see_what_comes_before_the_relu(explanandum):
    image = torch.rand(1, 3, 32, 32, device=explanandum.mean.device)
    with torch.no_grad():
        with read_taps(explanandum.network, explanandum.taps, before_relu=True) as before:
            explanandum(image)
        with read_taps(explanandum.network, explanandum.taps) as after:
            explanandum(image)
    for tap in explanandum.taps:
        assert before[tap].min() < 0
        torch.testing.assert_close(before[tap].relu(), after[tap])


def test_in_place_relu_does_not_spoil_what_came_before():
    explanandum = Explanandum("vgg11", multilabel=False)  # its ReLUs work in place
    with read_taps(explanandum.network, explanandum.taps, before_relu=True) as before, torch.no_grad():
        explanandum(torch.rand(1, 3, 64, 64))
    assert all(before[tap].min() < 0 for tap in explanandum.taps)


def test_fast_cam_is_smoe_times_grad_cam(explanandum):
    image, target = torch.rand(3, 3, 32, 32, device=explanandum.mean.device), torch.tensor([0, 2, 1])
    target = target.to(image.device)
    want = SMOE()(explanandum, image) * GradCAM()(explanandum, image, target)
    torch.testing.assert_close(FastCAM()(explanandum, image, target), want, atol=1e-6, rtol=1e-4)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in explanandum.modules())


@pytest.mark.parametrize(
    ("weights", "words"), [("prior", "are for 5 scales, the network has 4"), ([1.0], "for 1 scale")]
)
def test_weights_for_another_number_of_scales(explanandum, weights, words):
    with pytest.raises(InputError, match=words):
        SMOE(weights=weights)(explanandum, torch.rand(1, 3, 32, 32, device=explanandum.mean.device))


def test_the_papers_three_weightings():
    assert list(scale_weights("equal", 5)) == [1, 1, 1, 1, 1]
    assert list(scale_weights("rule", 5)) == [1, 2, 3, 4, 5]
    assert list(scale_weights("prior", 5)) == [0.18, 0.15, 0.37, 0.4, 0.72]


def test_negative_activations_of_a_named_tap_are_refused():
    named = Explanandum("resnet18", multilabel=False, taps=["conv1", "layer1"])
    image = torch.rand(1, 3, 64, 64)
    with pytest.raises(InputError, match="tap 'conv1' has negative activations, smoe_scale wants none"):
        SMOE()(named, image)
    assert SMOE(rectify=True)(named, image).isfinite().all()
    assert SMOE("standard_deviation")(named, image).isfinite().all()


@pytest.mark.parametrize("kind", [SMOE, FastCAM])
def test_epsilon_is_an_argument(explanandum, kind):
    image, target = torch.rand(2, 3, 32, 32, device=explanandum.mean.device), torch.zeros(2, dtype=torch.long)
    target = target.to(image.device)
    found = [kind(**options)(explanandum, image, target) for options in ({}, {"epsilon": 1e-6}, {"epsilon": 1e-7})]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    with pytest.raises(InputError, match="epsilon must lie in"):
        kind(epsilon=1e-12)


def test_the_public_codes_epsilon_by_hand(explanandum):
    image = torch.rand(1, 3, 32, 32, device=explanandum.mean.device)
    with read_taps(explanandum.network, explanandum.taps) as seen, torch.no_grad():
        explanandum(image)
    for found, tap in zip(SMOE(epsilon=1e-7).scales(explanandum, image), explanandum.taps, strict=True):
        positive = seen[tap].double() + 1e-7
        mean = positive.mean(1, keepdim=True)
        want = mean * (mean.log2() - positive.log2().mean(1, keepdim=True))
        torch.testing.assert_close(found.double(), want, rtol=1e-4, atol=1e-6)


# LOVI: what the caption of the paper's Figure 2 says of its colours.


def colour(*column):
    return lovi(torch.tensor(column).view(-1, 1, 1).expand(-1, 1, 2) * torch.tensor([1.0, 0.0])).getpixel((0, 0))


def test_lovi_runs_from_violet_to_red_and_is_white_where_all_scales_agree():
    assert colour(1.0, 0, 0, 0, 0) == (255, 0, 255)  # 300°
    assert colour(0, 0, 0, 0, 1.0) == (255, 0, 0)
    assert colour(0, 0, 1.0, 0, 0) == (0, 255, 128)  # 150°
    assert colour(1.0, 1, 1, 1, 1) == (255, 255, 255)
    assert colour(0.0, 0, 0, 0, 0) == (0, 0, 0)


def test_lovi_is_darker_where_less_is_active():
    picture = lovi(torch.tensor([[[1.0, 0.5, 0.0]], [[0.0, 0.0, 0.0]]]))
    assert [max(picture.getpixel((x, 0))) for x in range(3)] == [255, 128, 0]
    constant = lovi(torch.full((3, 2, 2), 0.4))
    assert constant.getpixel((0, 0)) == (0, 0, 0)  # no range, nothing to tell
    with pytest.raises(ValueError, match="at least two scales"):
        lovi(torch.rand(1, 2, 2))


def test_a_quarter_of_the_photograph_is_blended_in():
    image = torch.ones(3, 2, 2)
    assert beside_grey(image, to_pil(torch.zeros(3, 2, 2))).getpixel((0, 0)) == (63, 63, 63)

"""Perturbation methods against slow versions written from the papers, and on a classifier whose evidence is known."""

import math

import numpy as np
import pytest
import torch
from oracles import bilateral_tv as slow_bilateral_tv
from oracles import empirical_step, extremal_area, region_objective, softmax
from small_checkpoints import CLASSES, SMALL
from torch.nn import functional as F

from explainer.attribution import BBMP, FIDO, IGOS, RISE, EmpiricalMask, ExtremalPerturbation
from explainer.attribution.empirical import State, advance
from explainer.attribution.extremal import BlurredScore, area_loss, blur_pyramid, smooth_maximum
from explainer.attribution.fido import concrete
from explainer.attribution.igos import bilateral_tv
from explainer.attribution.masked_score import MaskedScore, score_of, squared_differences, steps, upsampled
from explainer.attribution.region_search import region_loss
from explainer.attribution.rise import rise_masks
from explainer.errors import InputError
from explainer.infill import Blur, Constant, Local, RandomColour
from explainer.networks import Explanandum


@pytest.fixture(params=[True, False], ids=["multilabel", "single"])
def explanandum(device, request):
    built = Explanandum(**SMALL, num_classes=3, multilabel=request.param)
    built.describe_classes(CLASSES, request.param, new_head=False)
    return built.to(device)


@pytest.fixture
def image(device):
    return torch.rand(3, 3, 32, 32, device=device)


@pytest.fixture
def target(device):
    return torch.tensor([2, 0, 1], device=device)


@pytest.mark.parametrize("multilabel", [True, False])
@pytest.mark.parametrize("kind", ["log_odds", "probability", "log_probability", "logit"])
def test_scores_are_those_of_the_probability(multilabel, kind):
    logits = torch.randn(5, 4, dtype=torch.float64) * 3
    target = torch.tensor([0, 3, 2, 1, 1])
    got = score_of(logits, target, multilabel, kind)
    for n, c in enumerate(target.tolist()):
        z = logits[n].numpy()
        p = 1 / (1 + math.exp(-z[c])) if multilabel else softmax(z)[c]
        want = {
            "log_odds": math.log(p) - math.log(1 - p),
            "probability": p,
            "log_probability": math.log(p),
            "logit": z[c],
        }
        assert float(got[n]) == pytest.approx(want[kind], abs=1e-9)


def test_log_odds_stay_finite_where_the_classifier_is_certain():
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
    assert score_of(logits, torch.tensor([0, 0]), False, "log_odds").tolist() == [200.0, -200.0]


# Scores of masked images


@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("infill", [None, Blur(2.0), Local(5), RandomColour()])
def test_gradients_do_not_depend_on_how_the_work_is_cut(explanandum, image, target, batch_size, infill):
    masks = torch.rand(2, 3, 1, 32, 32, device=image.device)

    def both(size):
        generator = torch.Generator(image.device).manual_seed(3)
        return MaskedScore(explanandum, image, target, infill, "log_odds", size, generator).with_gradient(masks)

    (score, slope), (want_score, want_slope) = both(batch_size), both(6)
    torch.testing.assert_close(score, want_score, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(slope, want_slope, atol=1e-6, rtol=1e-3)


def test_scores_and_gradients_are_those_of_composites(explanandum, image, target):
    masks = torch.rand(2, 3, 1, 32, 32, device=image.device)
    scorer = MaskedScore(explanandum, image, target, None, "probability", 4)
    score, slope = scorer.with_gradient(masks)
    torch.testing.assert_close(scorer(masks), score, atol=1e-6, rtol=1e-5)
    for s in range(2):
        for n in range(3):
            mask = masks[s, n].clone().requires_grad_()
            seen = mask * image[n] + (1 - mask) * explanandum.mean_colour[0]
            want = explanandum.probabilities(explanandum(seen[None]))[0, target[n]]
            (gradient,) = torch.autograd.grad(want, mask)
            assert score[s, n].item() == pytest.approx(want.item(), abs=1e-6)
            torch.testing.assert_close(slope[s, n], gradient, atol=1e-7, rtol=1e-3)
    assert all(p.grad is None for p in explanandum.parameters())


def test_random_infills_are_drawn_for_each_sample_and_shared_by_the_images(explanandum, image, target):
    scorer = MaskedScore(explanandum, image, target, RandomColour(), "logit", 2, torch.Generator().manual_seed(0))
    drawn = scorer._drawn(torch.zeros(4, 3, 1, 32, 32)).view(4, 3, 3, 32, 32)
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_infills_see_what_is_above_the_threshold(explanandum, image, target, threshold):
    masks = torch.full((1, 3, 1, 32, 32), 0.4)
    masks[..., :16] = 0.6
    scorer = MaskedScore(explanandum, image, target, Local(5), "logit", 2, threshold=threshold)
    fills = torch.cat([fill for _, _, fill, _ in scorer._parts(masks)])
    torch.testing.assert_close(fills, Local(5)(image, (masks[0] > threshold).float()))


def test_the_threshold_of_bbmp_decides_what_its_infill_sees(explanandum, image, target):
    """BBMP-CA of FIDO's Table 2; a threshold of 0 hides only what the search has already given up."""
    maps = [BBMP(infill=Local(5), grid=4, steps=3, threshold=t)(explanandum, image, target) for t in (0.0, 0.5, 1.0)]
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[1], maps[2])
    assert torch.equal(maps[1], BBMP(infill=Local(5), grid=4, steps=3)(explanandum, image, target))


# FIDO and BBMP


@pytest.mark.parametrize("region", ["ssr", "sdr"])
def test_the_loss_of_a_region_follows_the_equations(region):
    score, expected = torch.randn(3, 2, dtype=torch.float64), torch.rand(2, 1, 6, 5, dtype=torch.float64)
    got = region_loss(score, expected, region, 1e-3, 0.01)
    for n in range(2):
        want = region_objective(score[:, n].numpy(), expected[n, 0].numpy(), region, 1e-3 * 224 * 224 / 30, 0.01)
        assert float(got[n]) == pytest.approx(want, abs=1e-9)
    score.requires_grad_()
    expected.requires_grad_()
    assert torch.autograd.gradcheck(lambda s, e: region_loss(s, e, region, 1e-3, 0.01), (score, expected))


@pytest.mark.parametrize("method", [FIDO(3, grid=8, infill=Blur(2.0)), BBMP(grid=8), FIDO(2, region="sdr", grid=8)])
def test_a_step_has_the_gradient_of_the_whole_loss(explanandum, image, target, method):
    parameter = (method.start(3) + 0.1 * torch.rand(3, 1, 8, 8)).to(image).requires_grad_()
    scorer = MaskedScore(explanandum, image, target, method.infill, "log_odds", 2)
    score, loss, area, gradient = method._step(scorer, parameter, seeded(image, 1), 99, (32, 32))
    masks = upsampled(method.draw(parameter, seeded(image, 1)), (32, 32))
    fill = explanandum.mean_colour if method.infill is None else method.infill(image)
    logits = torch.stack([explanandum(m * image + (1 - m) * fill) for m in masks])
    direct = torch.stack([score_of(z, target, explanandum.multilabel, "log_odds") for z in logits])
    kept = upsampled(method.expected(parameter)[None], (32, 32))[0]
    want = region_loss(direct, kept, method.region, method.sparsity, method.tv)
    torch.testing.assert_close(score, direct.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(loss.detach(), want.detach(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(area, kept.mean((1, 2, 3)))
    torch.testing.assert_close(gradient, torch.autograd.grad(want.sum(), parameter)[0], atol=1e-5, rtol=1e-3)


def seeded(image, seed):
    return torch.Generator(image.device).manual_seed(seed)


def test_concrete_samples_have_the_probability_of_their_logit():
    uniform = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    for logit in (-2.0, 0.0, 1.5):
        drawn = concrete(torch.tensor(logit), uniform, 0.1)
        assert drawn.round().mean().item() == pytest.approx(1 / (1 + math.exp(-logit)), abs=0.01)


def test_fido_says_how_sure_it_is(explanandum, image, target):
    found = FIDO(4, steps=5, grid=8).explain(explanandum, image, target)
    assert found.uncertainty.shape == (3, 1, 32, 32)
    assert (found.uncertainty > 0).any()
    assert {name: value.shape for name, value in found.history.items()} == dict.fromkeys(
        ("score", "loss", "area"), (5, 3)
    )
    assert BBMP(steps=2, grid=8).explain(explanandum, image, target).uncertainty is None


# Extremal perturbations


def test_the_area_loss_is_that_of_the_sorted_mask():
    masks = torch.rand(2, 3, 1, 6, 7, dtype=torch.float64)
    got = area_loss(masks, torch.tensor([0.1, 0.5]))
    for a, area in enumerate((0.1, 0.5)):
        for n in range(3):
            assert float(got[a, n]) == pytest.approx(extremal_area(masks[a, n, 0].numpy(), area), abs=1e-12)
    masks.requires_grad_()
    assert torch.autograd.gradcheck(lambda m: area_loss(m, torch.tensor([0.1, 0.5])), (masks,))


def test_the_smooth_maximum_spreads_a_node_as_a_gaussian():
    grid = torch.zeros(1, 1, 15, 15)
    grid[0, 0, 7, 7] = 1
    spread = smooth_maximum(grid, 2.0, temperature=0.01)[0, 0]
    assert spread[7, 7] == spread.max() > 0.9
    assert spread[7, 9].item() == pytest.approx(math.exp(-0.5), abs=0.05)
    torch.testing.assert_close(spread, spread.T)


def test_the_blur_pyramid_is_read_between_its_levels(explanandum, image, target):
    pyramid = blur_pyramid(image, 3, 4.0)
    assert torch.equal(pyramid[:, 2], image)
    scorer = BlurredScore(pyramid, explanandum, image, target, "logit", 8)
    owner = torch.arange(3)
    for value, want in ((1.0, image), (0.0, pyramid[:, 0]), (0.25, (pyramid[:, 0] + pyramid[:, 1]) / 2)):
        torch.testing.assert_close(scorer.look(owner, torch.full((3, 1, 32, 32), value), None), want)
    scorer.mirrored = True
    torch.testing.assert_close(scorer.look(owner, torch.ones(3, 1, 32, 32), None), image.flip(-1))


def test_contrast_is_the_logit_less_the_highest_other():
    logits = torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]])
    assert score_of(logits, torch.tensor([1, 2]), False, "contrast").tolist() == [2.0, -2.0]
    assert score_of(logits, torch.tensor([1, 2]), True, "contrast").tolist() == [2.0, -2.0]
    assert score_of(logits[:, :1], torch.tensor([0, 0]), True, "contrast").tolist() == [1.0, 1.0]


def test_the_smallest_area_that_keeps_the_logit_is_chosen():
    explanandum = Explanandum("small_networks.quadrant", multilabel=False)
    method = ExtremalPerturbation([0.4, 0.1, 0.25], choose="smallest")
    image = torch.full((3, 3, 32, 32), 0.5)
    image[:, :, 4:12, 4:12] = 1.0  # bright: the upper left quarter is seen, or its blur, which is darker
    masks = torch.zeros(3, 3, 1, 32, 32)  # (area, image): those of 0.4 show the quarter, for each image
    masks[0, :, :, :16, :16] = 1
    masks[1, 0, :, :16, :16] = 1  # of the first image 0.1 is enough
    masks[2, 1, :, :16, :16] = 1  # of the second 0.25; of the third only 0.4
    masks[1, 1, :, 20:, 20:] = 1
    chosen = method._smallest(explanandum, image, torch.zeros(3, dtype=torch.long), masks)
    assert torch.equal(chosen, torch.stack([masks[1, 0], masks[2, 1], masks[0, 2]]))
    none = method._smallest(explanandum, image, torch.zeros(3, dtype=torch.long), torch.zeros_like(masks) + 0.1)
    assert torch.equal(none, torch.full_like(chosen, 0.1))  # none suffices: the largest area's


@pytest.mark.parametrize("network", ["alexnet", "vgg11", "resnet18"])
def test_fido_explains_the_networks_of_figure_9(network):
    classifier = Explanandum(network, num_classes=2, multilabel=False)
    method = FIDO(steps=2, samples=2, grid=8, learning_rate=1.0)
    found = method(classifier, torch.rand(1, 3, 64, 64), torch.tensor([1]))
    assert found.shape == (1, 1, 64, 64)
    assert found.std() > 0


# iGOS++


def test_bilateral_total_variation_follows_its_equation():
    mask, image = torch.rand(2, 1, 5, 6, dtype=torch.float64), torch.rand(2, 3, 5, 6, dtype=torch.float64)
    for power, sigma in ((2.0, 0.3), (1.5, 0.1)):
        got = bilateral_tv(mask, image, power, sigma)
        want = [slow_bilateral_tv(m[0].numpy(), i.numpy(), power, sigma) for m, i in zip(mask, image, strict=True)]
        torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), atol=1e-12, rtol=1e-9)
    assert bilateral_tv(mask, image).amax() < bilateral_tv(mask, torch.ones_like(image)).amin()


def test_the_line_search_of_igos_never_goes_up(explanandum, image, target):
    method = IGOS("line", iterations=6, integrated=4, grid=8, step=20.0, noise=0.0)
    loss = method.explain(explanandum, image, target).history["loss"]
    assert (loss.diff(dim=0) <= 1e-4).all()


def test_igos_asks_for_less_where_no_step_pays_for_its_area(explanandum, image, target):
    dear = IGOS("line", iterations=3, integrated=4, grid=8, step=20.0, noise=0.0, l1=1e6)
    assert (dear(explanandum, image, target) == 0).all()  # three halvings are not enough
    longer = IGOS("line", iterations=60, integrated=4, grid=8, step=20.0, noise=0.0, l1=1e6)
    assert (longer(explanandum, image, target).flatten(1).amax(1) > 0).all()


# Empirical masks


@pytest.mark.parametrize("update", ["paper", "poster"])
def test_the_empirical_update_step_by_step(update):
    draw = torch.Generator().manual_seed(0)
    on = torch.rand(2, 1, 5, 4, generator=draw) < 0.5
    state = State(on.double(), on, torch.zeros(2).double(), squared_differences(on.double()))
    slow = [(on[n, 0].double().numpy(), on[n, 0].numpy(), 0.0, float(state.variation[n])) for n in range(2)]
    for _ in range(6):
        keys = tuple(torch.rand(1, 1, 5, 4, generator=draw).double() for _ in range(2))
        probability = torch.rand(2, generator=draw).double()
        state = advance(state, probability, keys, 1e-2, update)
        for n in range(2):
            slow[n] = empirical_step(*slow[n], float(probability[n]), *(k[0, 0].numpy() for k in keys), 1e-2, update)
            np.testing.assert_allclose(state.mask[n, 0].numpy(), slow[n][0], atol=1e-12)
            assert np.array_equal(state.on[n, 0].numpy(), slow[n][1])
            assert float(state.variation[n]) == pytest.approx(slow[n][3], abs=1e-12)


def test_the_empirical_search_keeps_its_history(explanandum, image, target):
    found = EmpiricalMask(7, grid=6, chains=1).explain(explanandum, image, target)
    assert {name: value.shape for name, value in found.history.items()} == dict.fromkeys(
        ("probability", "change", "variation"), (7, 3)
    )
    first = found.history["probability"]
    torch.testing.assert_close(found.history["change"][1:], first.diff(dim=0).abs())


@pytest.mark.parametrize(("iterations", "chains", "passes"), [(12, 4, 12), (3, 10, 3)])
def test_the_empirical_map_is_the_covariance_over_all_chains(explanandum, image, target, iterations, chains, passes):
    """With a white image on black, what the classifier sees is the mask."""
    seen = []
    handle = explanandum.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    white = torch.ones_like(image[:1])
    try:
        method = EmpiricalMask(iterations, grid=4, infill=Constant((0, 0, 0)), chains=chains)
        got = method(explanandum, white, target[:1])[0, 0]
    finally:
        handle.remove()
    masks = torch.cat(seen)[:, 0].flatten(1).double()
    assert len(masks) == passes
    with torch.no_grad():
        logits = explanandum(torch.cat(seen)).double()
    probability = score_of(logits, target[:1].expand(passes), explanandum.multilabel, "probability")
    covariance = (masks * probability[:, None]).mean(0) - masks.mean(0) * probability.mean()
    torch.testing.assert_close(got.flatten().double(), covariance, atol=1e-6, rtol=1e-3)


# RISE


def test_rise_masks_are_shifted_grids():
    masks = rise_masks(2000, (30, 42), 5, 0.3, torch.Generator().manual_seed(0))
    assert masks.shape == (2000, 1, 30, 42)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    assert masks.mean().item() == pytest.approx(0.3, abs=0.01)
    assert masks.mean((0, 1)).std() < 0.03  # no place is favoured


def test_rise_is_the_weighted_mean_of_its_masks(explanandum, image, target):
    method = RISE(10, grid=4, batch_size=4, probability=0.4, seed=5)
    got = method(explanandum, image, target)
    generator = seeded(image, 5)
    masks = torch.cat([rise_masks(count, (32, 32), 4, 0.4, generator) for count in (4, 4, 2)])
    for n, c in enumerate(target.tolist()):
        total = np.zeros((32, 32))
        for mask in masks:
            seen = mask * image[n] + (1 - mask) * explanandum.mean_colour[0]
            p = float(explanandum.probabilities(explanandum(seen[None]))[0, c])
            total += p * mask[0].cpu().numpy()
        np.testing.assert_allclose(got[n, 0].cpu().numpy(), total / (10 * 0.4), atol=1e-5)


def test_rise_asks_once_for_all_classes_of_an_image(explanandum, image):
    calls = []
    handle = explanandum.register_forward_hook(lambda m, i, o: calls.append(len(o)))
    maps = RISE(8, grid=4)(explanandum, image, torch.ones(3, 3, dtype=torch.bool, device=image.device))
    handle.remove()
    assert maps.shape == (9, 1, 32, 32)
    assert sum(calls) == 8 * 3


# A classifier whose evidence is known


@pytest.mark.parametrize("method", [
    RISE(400, grid=4), EmpiricalMask(300, grid=4), FIDO(4, steps=60, grid=8, learning_rate=0.2),
    FIDO(4, region="sdr", steps=60, grid=8, learning_rate=0.2),
    BBMP("sdr", infill=Constant(), steps=60, grid=8, sparsity=1e-4),
    BBMP("ssr", infill=Constant(), steps=60, grid=8, sparsity=1e-4),
    IGOS(infill=Constant(), iterations=8, integrated=5, grid=8, l1=2.0, tv=1.0),
    IGOS("nesterov", infill=Constant(), iterations=8, integrated=5, grid=8, l1=2.0, tv=1.0, step=3.0),
], ids=["rise", "empirical", "fido-ssr", "fido-sdr", "bbmp-sdr", "bbmp-ssr", "igos", "igos-nesterov"])  # fmt: skip
def test_the_evidence_is_found(method):
    explanandum = Explanandum("small_networks.quadrant", multilabel=False)
    explanandum.describe_classes(("bright", "dark"), False, new_head=False)
    image = torch.full((2, 3, 32, 32), 0.51)
    image[1] = 0.39
    found = method(explanandum, image, torch.tensor([0, 1]))
    inside, outside = found[:, :, :14, :14].mean((1, 2, 3)), found[:, :, 18:, 18:].mean((1, 2, 3))
    assert (inside > 1.05 * outside.clamp_min(0)).all()
    assert (inside - outside > 0.08 * found.abs().amax((1, 2, 3))).all()


def test_extremal_perturbations_find_the_evidence():
    explanandum = Explanandum("small_networks.quadrant", multilabel=False)
    explanandum.describe_classes(("bright", "dark"), False, new_head=False)
    image = torch.full((1, 3, 32, 32), 0.1)
    image[:, :, 4:12, 4:12] = 1.0  # blurred, it spreads out of the quarter
    method = ExtremalPerturbation([0.2], steps=500, learning_rate=0.02, area_weight=30.0, mirror=False, blur=60.0)
    found = method(explanandum, image, torch.tensor([0]))
    assert found[:, :, 4:12, 4:12].mean() > 1.3 * found[:, :, 16:, 16:].mean()


# Bad input


@pytest.mark.parametrize(("build", "words"), [
    (lambda: FIDO(steps=0), "attribution FIDO: steps must be positive, got 0"),
    (lambda: BBMP(steps=0), "attribution BBMP: steps must be positive, got 0"),
    (lambda: BBMP(threshold=1.5), r"threshold must lie in \[0, 1\], got 1.5"),
    (lambda: FIDO(samples=0), "samples must be positive"),
    (lambda: RISE(masks=0), "attribution RISE: masks must be positive, got 0"),
    (lambda: EmpiricalMask(iterations=0), "iterations must be positive"),
    (lambda: EmpiricalMask(density=0), "density must lie in"),
    (lambda: ExtremalPerturbation(steps=0), "steps must be positive"),
    (lambda: ExtremalPerturbation(areas=[]), "areas must lie in"),
    (lambda: ExtremalPerturbation(areas=[1.5]), "areas must lie in"),
    (lambda: ExtremalPerturbation(levels=1), "levels must be at least 2"),
    (lambda: IGOS(iterations=0), "iterations must be positive"),
])  # fmt: skip
def test_a_budget_of_nothing_is_refused(build, words):
    with pytest.raises(InputError, match=words):
        build()


@pytest.mark.parametrize("method", [FIDO(steps=2, grid=4), RISE(2), BBMP(steps=2, grid=4)])
def test_an_image_size_that_the_network_refuses(method):
    explanandum = Explanandum("alexnet", num_classes=2, multilabel=False)
    with pytest.raises(InputError, match="the classifier refuses images of 16×16"):
        method(explanandum, torch.rand(1, 3, 16, 16), torch.tensor([0]))


def test_long_loops_count_to_the_end():
    assert list(steps(30, "title")) == list(range(30))


def test_upsampling_is_that_of_pytorch():
    grid = torch.rand(2, 3, 1, 4, 5)
    want = F.interpolate(grid.flatten(0, 1), (9, 8), mode="bilinear", align_corners=False)
    assert torch.allclose(upsampled(grid, (9, 8)).flatten(0, 1), want, atol=1e-6)

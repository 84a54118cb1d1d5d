"""Scores under masks, which perturbation methods share; and the methods on a classifier whose evidence is known."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from explainer.attribution import (
    BBMP,
    FIDO,
    IGOS,
    RISE,
    EmpiricalMask,
    ExtremalPerturbation,
    ScoreCAM,
    masked_score,
)
from explainer.attribution.masked_score import MaskedScore, score_of, steps, upsampled
from explainer.errors import InputError
from explainer.infill import Blur, Constant, Local, RandomColour
from explainer.networks import Explanandum
from tests.support.oracles import softmax
from tests.support.small_checkpoints import SMALL


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


def test_contrast_is_the_logit_less_the_highest_other():
    logits = torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]])
    assert score_of(logits, torch.tensor([1, 2]), False, "contrast").tolist() == [2.0, -2.0]
    assert score_of(logits, torch.tensor([1, 2]), True, "contrast").tolist() == [2.0, -2.0]
    assert score_of(logits[:, :1], torch.tensor([0, 0]), True, "contrast").tolist() == [1.0, 1.0]


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
    explanandum = Explanandum("tests.support.small_networks.quadrant", multilabel=False)
    explanandum.describe_classes(("bright", "dark"), False, new_head=False)
    image = torch.full((2, 3, 32, 32), 0.51)
    image[1] = 0.39
    found = method(explanandum, image, torch.tensor([0, 1]))
    inside, outside = found[:, :, :14, :14].mean((1, 2, 3)), found[:, :, 18:, 18:].mean((1, 2, 3))
    assert (inside > 1.05 * outside.clamp_min(0)).all()
    assert (inside - outside > 0.08 * found.abs().amax((1, 2, 3))).all()


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
    assert list(steps(30, "title", progress=True)) == list(range(30))


@pytest.mark.parametrize("method", [
    BBMP(steps=1, grid=4), EmpiricalMask(1, grid=4), ExtremalPerturbation([0.1], steps=1),
    IGOS(iterations=1, integrated=1, grid=4, search="nesterov"), RISE(2), ScoreCAM(),
])  # fmt: skip
def test_a_bar_is_shown_to_a_person_but_not_below_another_bar(monkeypatch, device, method):
    explanandum = Explanandum(**SMALL, num_classes=3, multilabel=False).to(device)
    image = torch.rand(1, 3, 32, 32, device=device)
    target = torch.tensor([2], device=device)
    shown = []

    def track(sequence, title, *, disable, **_):
        shown.append(not disable)
        return sequence

    monkeypatch.setattr(masked_score, "track", track)
    monkeypatch.setattr(masked_score, "SHOW_FROM", 1)
    monkeypatch.setattr(masked_score, "Console", lambda **_: SimpleNamespace(is_terminal=True))
    classes = F.one_hot(target, 3)
    for call, wanted in (
        (lambda: method(explanandum, image, target), {True}),
        (lambda: method(explanandum, image, classes.bool(), progress=False), {False}),
        (lambda: method.target_mask(explanandum, image, classes), {False}),
    ):
        shown.clear()
        call()
        assert set(shown) == wanted


def test_upsampling_is_that_of_pytorch():
    grid = torch.rand(2, 3, 1, 4, 5)
    want = F.interpolate(grid.flatten(0, 1), (9, 8), mode="bilinear", align_corners=False)
    assert torch.allclose(upsampled(grid, (9, 8)).flatten(0, 1), want, atol=1e-6)

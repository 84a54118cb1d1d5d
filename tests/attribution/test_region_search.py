"""The loss of a region and its gradient, which FIDO and BBMP share, against the equations."""

import pytest
import torch

from explainer.attribution import BBMP, FIDO
from explainer.attribution.masked_score import MaskedScore, score_of, upsampled
from explainer.attribution.region_search import region_loss
from explainer.infill import Blur
from tests.support.oracles import region_objective


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

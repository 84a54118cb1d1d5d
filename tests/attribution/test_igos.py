"""I-GOS: bilateral total variation and the line search."""

import torch

from explainer.attribution import IGOS
from explainer.attribution.igos import bilateral_tv
from tests.support.oracles import bilateral_tv as slow_bilateral_tv


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

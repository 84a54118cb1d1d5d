"""The empirical mask: its update step by step, its history, and the covariance over the chains."""

import numpy as np
import pytest
import torch

from explainer.attribution import EmpiricalMask
from explainer.attribution.empirical import State, advance
from explainer.attribution.masked_score import score_of, squared_differences
from explainer.infill import Constant
from tests.support.oracles import empirical_step


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

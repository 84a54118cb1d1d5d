"""What holds for every sanity check, what it leaves behind, and what cannot be used."""

import inspect

import pytest
import torch

from explainer.attribution import FIDO, RISE, GradCAM, Gradient, Random, SmoothGrad
from explainer.data import Batch
from explainer.errors import InputError
from explainer.evaluation import sanity_checks as probe_folder
from explainer.evaluation.sanity_checks import (
    Convergence,
    Randomisation,
    Retrained,
    SanityCheck,
    SeedStability,
    Sensitivity,
    with_budget,
    with_setting,
)
from explainer.metrics import ProportionOutside
from tests.support.small_evaluation import classifier, pictures
from tests.support.small_sanity_checks import EVERY, Drawn, asked, one_label
from tests.support.tiny_runs import evaluation


def test_every_probe_says_what_it_is():
    every = [
        c
        for c in vars(probe_folder).values()
        if inspect.isclass(c) and issubclass(c, SanityCheck) and c is not SanityCheck
    ]
    assert len(every) == 5
    for kind in every:
        assert isinstance(kind.higher_is_better, bool)
        assert isinstance(kind.percent, bool)
        assert kind.paper
        assert kind.formula
        assert kind.meaning.endswith(".")
        assert kind.range[0] == "["


@pytest.mark.parametrize("method", [Gradient(), GradCAM(), Random()], ids=lambda m: type(m).__name__)
def test_the_explanandum_is_left_as_it_was(method, device):
    explanandum = classifier().to(device)
    before = {name: value.clone() for name, value in explanandum.state_dict().items()}
    batch = one_label()
    batch = batch._replace(image=batch.image.to(device), labels=batch.labels.to(device))
    generator = torch.get_rng_state()
    for one in EVERY.values():
        asked(one, explanandum, method, batch)
    assert all(torch.equal(before[name], value) for name, value in explanandum.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in explanandum.parameters())
    assert not any(m.training or m._forward_hooks or m._forward_pre_hooks for m in explanandum.modules())
    assert torch.equal(generator, torch.get_rng_state())


@pytest.mark.parametrize(
    "method", [RISE(9), FIDO(steps=9), SmoothGrad(samples=9), Drawn(steps=9)], ids=lambda m: type(m).__name__
)
def test_a_budget_is_that_of_the_method(method):
    assert getattr(with_budget(method, 1 / 3), method.budget) == 3
    assert getattr(with_budget(method, 0.01), method.budget) == 1
    assert getattr(method, method.budget) == 9


def test_every_budget_is_a_hyperparameter():
    from explainer import attribution

    named = {c: c.budget for c in vars(attribution).values() if inspect.isclass(c) and getattr(c, "budget", None)}
    assert len(named) == 9
    for kind, budget in named.items():
        assert budget in inspect.signature(kind.__init__).parameters
        assert budget in vars(kind())


# What all share


@pytest.mark.parametrize("name", EVERY)
def test_values_do_not_depend_on_the_batch(name):
    explanandum, batch = classifier(), pictures((6,))[0]
    method = SmoothGrad(samples=2)
    together = asked(EVERY[name], explanandum, method, batch).value
    for n in (1, 4):
        alone = Batch(batch.image[n : n + 1], batch.labels[n : n + 1], batch.id[n : n + 1])
        value = asked(EVERY[name], explanandum, method, alone).value
        assert torch.allclose(value, together[n : n + 1], atol=1e-4, equal_nan=True)
    assert together.isnan().tolist() == [False] * 4 + [True, False]  # the fifth has no label


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: SeedStability(1), "SeedStability: runs"),
        (lambda: Sensitivity(radius=0), "radius"),
        (lambda: Sensitivity(radius=-0.1), "radius"),
        (lambda: Sensitivity(samples=0), "samples"),
        (lambda: Randomisation("sideways"), "order"),
        (lambda: Randomisation(network="both"), "network"),
        (lambda: Randomisation(blocks=-1), "blocks"),
        (lambda: Randomisation(similarity="mse"), "similarity"),
        (lambda: Randomisation(how="zero"), "how"),
        (lambda: Retrained("none.ckpt"), "none.ckpt"),
        (lambda: Retrained("none.ckpt", "mse"), "similarity"),
        (lambda: Convergence(()), "fractions"),
        (lambda: Convergence((0.5, 1.0)), "fractions"),
        (lambda: Convergence((0.0,)), "fractions"),
        (lambda: with_setting(Gradient(), "seed", 1), "Gradient has no hyperparameter 'seed'"),
        (lambda: with_budget(Gradient(), 0.5), "Gradient has no hyperparameter"),
        (lambda: evaluation(probes={"area": SeedStability()}), "evaluation.sanity_checks.checks: 'area'"),
        (lambda: evaluation(probes={"A": SeedStability()}, metrics={"A": ProportionOutside()}), "checks: 'A'"),
    ],
)
def test_what_cannot_be_used(build, word):
    with pytest.raises(InputError, match=word) as error:
        build()
    assert "\n" not in str(error.value)

"""Passes, seconds and memory of a method."""

import sys

import pytest
import torch

from explainer.attribution import RISE, Constant, Gradient, IntegratedGradients
from explainer.errors import InputError
from explainer.evaluation.maps import cost
from explainer.evaluation.maps.cost import measured
from tests.support.small_evaluation import classifier

MB = 2**20


@pytest.mark.parametrize(
    ("method", "passes"),
    [(Constant(0.5), 0), (Gradient(), 1), (RISE(5, grid=2), 5), (IntegratedGradients(steps=4), 4)],
    ids=lambda value: str(type(value).__name__),
)
def test_passes_an_image(method, passes, device):
    explanandum, image = classifier().to(device), torch.rand(3, 3, 16, 16).to(device)
    target = torch.zeros(3, dtype=torch.long, device=device)
    plain = method(explanandum, image, target)
    with measured(explanandum, device, images=3) as found:
        watched = method(explanandum, image, target)
    assert torch.equal(plain, watched)
    assert found.passes == pytest.approx(passes)
    assert found.seconds > 0


def test_passes_that_go_round_the_explanandum_count_too():
    explanandum = classifier()
    with measured(explanandum, "cpu") as found:
        explanandum.network(torch.rand(2, 3, 16, 16))
        explanandum.network(image=torch.rand(4, 3, 16, 16))
    assert found.passes == 6


def test_nothing_is_left_behind():
    explanandum = classifier()
    with pytest.raises(InputError), measured(explanandum, "cpu") as found:
        explanandum(torch.rand(2, 4, 16, 16))  # four channels
    assert found.passes == 0
    with pytest.raises(RuntimeError), measured(explanandum, "cpu") as found:
        explanandum.network(torch.rand(2, 4, 16, 16))
    assert found.passes == 2  # they were begun
    assert not explanandum.network._forward_pre_hooks


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's account is Linux's")
def test_memory_is_that_of_the_peak(device):
    explanandum = classifier().to(device)
    for _ in range(2):  # memory that was used before is seen again
        with measured(explanandum, device, images=2) as found:
            tensor = torch.ones(64 * MB // 4, device=device)
            del tensor
            torch.ones(MB // 4, device=device)
        assert 28 * MB < found.memory < 60 * MB


def test_memory_that_cannot_be_had_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "PROCESS", tmp_path / "none")
    with measured(classifier(), "cpu") as found:
        pass
    assert found.memory is None
    monkeypatch.undo()
    monkeypatch.setattr(cost.sys, "platform", "darwin")
    with measured(classifier(), "cpu") as found:
        pass
    assert found.memory is None
    assert found.seconds > 0

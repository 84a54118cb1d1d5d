"""What tests of the saliency callback share."""

import pytest

from explainer.training.callbacks import smoe_saliency as smoe


@pytest.fixture
def drawn(monkeypatch):
    """What the callback draws."""
    steps = []
    real = smoe.draw
    monkeypatch.setattr(smoe, "draw", lambda step: steps.append(step) or real(step))
    return steps

"""Options and fixtures of all tests."""

import os
import signal

import pytest
import torch
from hypothesis import settings

# no property fails because the machine is busy
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
os.environ.setdefault("WANDB_MODE", "offline")
# A shell that starts a command in the background lets it ignore Ctrl-C, which the tests of Ctrl-C would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="where the tests run: cpu or cuda")
    parser.addoption("--slow", action="store_true", help="also what takes minutes")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes: --slow"))


@pytest.fixture
def device(request):
    return request.config.getoption("--device")


@pytest.fixture(autouse=True)
def random_state_is_left_alone():
    """Seeds PyTorch for the test, and puts the state back."""
    state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(state)

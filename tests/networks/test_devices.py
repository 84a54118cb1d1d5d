"""Devices that a person names: taken when they are there, else refused in one line that names those that are."""

import pytest
import torch

from explainer.errors import InputError
from explainer.networks.devices import available_devices, choose_device


def test_automatic_choice_and_names():
    automatic = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device() == choose_device(None) == choose_device("auto") == automatic
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")
    assert available_devices()[0] == "cpu"


@pytest.mark.parametrize(
    "name", ["foo", "", "meta", "cuda:7", "cuda:-1", "cuda:99999999999", "cpu:x", "CPU", " cpu", "é"]
)
def test_what_is_not_there_is_refused(name):
    with pytest.raises(InputError, match="choose one of auto, cpu") as refused:
        choose_device(name)
    assert "\n" not in str(refused.value)
    assert repr(name) in str(refused.value)


def test_graphics_card_of_another_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="'cuda'"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match="cuda:0, cuda:1"):
        choose_device("cuda:2")

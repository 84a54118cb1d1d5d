"""The C++ kernel against PyTorch's own operations."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from explainer.attribution import SMOE
from explainer.errors import InputError
from explainer.functional import activation_statistics as statistics
from explainer.functional import smoe_kernel as fused
from explainer.networks import Explanandum

found = [shutil.which(program, path=fused.search_path()) for program in ("c++", "ninja")]
compiled = pytest.mark.skipif(not all(found), reason="no C++ compiler or ninja")


@compiled
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 70, 5, 7), (3, 200, 50, 60), (1, 2048, 7, 7)])
def test_the_statistic_in_one_read(shape):
    activation = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 10
    activation[activation.abs() < 3] = 0
    ours, lowest = fused.smoe_scale(activation)
    torch.testing.assert_close(ours, statistics.smoe_scale(activation.double().relu()).float(), atol=1e-5, rtol=1e-5)
    assert lowest == pytest.approx(min(0.0, activation.min().item()))
    assert torch.tensor(1e-40) * 1 > 0  # loading it has not made the processor flush small numbers


@compiled
def test_the_epsilon_is_an_argument_there_too():
    activation = torch.rand(2, 70, 5, 7, generator=torch.Generator().manual_seed(0)).sub(0.5).relu()
    for epsilon in (1e-6, 1e-7):
        want = statistics.smoe_scale(activation.double(), epsilon).float()
        torch.testing.assert_close(fused.smoe_scale(activation, epsilon)[0], want, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="epsilon"):
        fused.smoe_scale(activation, 0.0)


@compiled
def test_the_combined_map():
    draw = torch.Generator().manual_seed(0)
    maps = [torch.rand(2, 1, *size, generator=draw) for size in ((40, 30), (20, 15), (7, 5), (1, 1))]
    maps.append(torch.full((2, 1, 3, 3), 0.7))
    weights = (1, 0, 3, 1, 2)
    want = statistics.combine(maps, weights, (61, 45))
    torch.testing.assert_close(fused.combine(maps, weights, (61, 45)), want, atol=1e-6, rtol=1e-5)


@compiled
def test_smoe_is_the_same_map_fused():
    explanandum = Explanandum("resnet18", multilabel=False)
    image = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SMOE(fused=True)(explanandum, image), SMOE()(explanandum, image), atol=2e-5, rtol=1e-4)
    with torch.no_grad():
        explanandum.network.layer1[0].bn1.running_mean[0] = float("nan")  # as a diverged training leaves it
    maps = [SMOE(fused=fused)(explanandum, image) for fused in (True, False)]
    torch.testing.assert_close(*maps, equal_nan=True, atol=2e-5, rtol=1e-4)


@compiled
def test_fused_refuses_negative_activations_of_a_named_tap():
    named = Explanandum("resnet18", multilabel=False, taps=["conv1", "layer1"])
    with pytest.raises(InputError, match="tap 'conv1' has negative activations"):
        SMOE(fused=True)(named, torch.rand(1, 3, 64, 64))


def test_fused_is_for_one_statistic():
    with pytest.raises(InputError, match="fused is for smoe_scale alone, not mean"):
        SMOE("mean", fused=True)


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))

    def fail(*args, **kwargs):
        raise RuntimeError("Ninja is required to load C++ extensions")

    monkeypatch.setattr("torch.utils.cpp_extension.load", fail)
    fused.kernel.cache_clear()
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler and ninja, leave it out without them: Ninja is req"):
        fused.kernel()
    fused.kernel.cache_clear()


def small_library(calls):
    """Stands for the compiler: its library is a few bytes."""

    def build(folder):
        calls.append(folder)
        (Path(folder) / f"{fused.NAME}.so").write_bytes(b"whole library")
        return "compiled"

    return build


def test_a_killed_compilation_and_a_torn_library_do_not_matter(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setattr(fused, "built", small_library(calls))
    monkeypatch.setattr(fused, "loaded", lambda library: library.read_bytes())
    library = fused.library_path()
    library.parent.mkdir(parents=True)
    (library.parent / "lock").touch()  # as PyTorch's own cache has it
    killed = library.parent / ".build-killed"
    killed.mkdir()
    (killed / "lock").touch()
    os.utime(killed, (0, 0))

    def kernel():
        fused.kernel.cache_clear()
        try:
            return fused.kernel()
        finally:
            fused.kernel.cache_clear()

    assert kernel() == "compiled"
    assert kernel() == b"whole library"
    library.write_bytes(b"who")
    assert kernel() == "compiled"
    assert kernel() == b"whole library"
    library.with_suffix(".sha256").unlink()
    assert kernel() == "compiled"
    assert len(calls) == 3
    assert not list(library.parent.glob(".build-*"))


def test_a_compiler_that_fails_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))

    def fail(*args, **kwargs):
        raise subprocess.CalledProcessError(1, ["false", "-v"])

    monkeypatch.setattr("torch.utils.cpp_extension.load", fail)
    fused.kernel.cache_clear()
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler and ninja") as refused:
        fused.kernel()
    assert "\n" not in str(refused.value)
    fused.kernel.cache_clear()

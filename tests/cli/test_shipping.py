"""A checkpoint that is handed on: small, without a training's state, and explaining the same."""

import hashlib

import pytest
import torch
from PIL import Image

import explainer
from explainer.__main__ import main as explain_photographs
from explainer.cli.options import explain_options
from explainer.cli.paths import SHIPPED
from explainer.cli.shipping import main, ship
from explainer.errors import InputError
from tests.support.small_checkpoints import save_explainer


def test_a_shipped_checkpoint_explains_the_same(tmp_path):
    source = save_explainer(tmp_path / "whole.ckpt")
    content = torch.load(source, weights_only=True)
    torch.save(content | {"optimizer_states": [torch.rand(10**6)]}, source)
    digest = ship(source, tmp_path / "small.ckpt")
    assert len(digest) == 64
    assert (tmp_path / "small.ckpt").stat().st_size < 0.6 * (tmp_path / "whole.ckpt").stat().st_size
    assert set(torch.load(tmp_path / "small.ckpt", weights_only=True)) == {"explainer", "state_dict"}
    one, two = (explainer.load(tmp_path / f"{name}.ckpt", "cpu") for name in ("whole", "small"))
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(two.masks(image), one.masks(image), atol=0.01, rtol=0)
    torch.testing.assert_close(two.probabilities(image), one.probabilities(image), atol=0.01, rtol=0)
    assert next(two.masker.parameters()).dtype == torch.float32


def test_weights_too_large_for_half_precision_are_refused(tmp_path):
    source = save_explainer(tmp_path / "whole.ckpt")
    content = torch.load(source, weights_only=True)
    name = next(n for n, t in content["state_dict"].items() if t.ndim == 4 and n.startswith("masker.network"))
    content["state_dict"][name] = content["state_dict"][name] + 1e6
    torch.save(content, source)
    with pytest.raises(InputError, match="too large for half precision"):
        ship(source, tmp_path / "small.ckpt")
    assert not (tmp_path / "small.ckpt").exists()


def test_the_command(tmp_path, capsys):
    source = save_explainer(tmp_path / "whole.ckpt")
    assert main([source, str(tmp_path / "small.ckpt")]) == 0
    assert "sha256" in capsys.readouterr().out
    assert main([str(tmp_path / "none.ckpt"), str(tmp_path / "small.ckpt")]) == 2
    assert "no file" in capsys.readouterr().err


def test_the_checkpoint_that_the_project_comes_with():
    """It is small, it is the file that its page describes, and it explains a photograph without anything else."""
    page = (SHIPPED.parent / "README.md").read_text()
    assert SHIPPED.stat().st_size <= 16e6
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest()[:12] in page
    model = explainer.load(SHIPPED, "cpu")
    assert "dog" in model.classes
    explanation = model.explain(torch.rand(3, 90, 120))
    assert explanation.target.shape == (1, 1, 90, 120)
    content = torch.load(SHIPPED, weights_only=True)
    assert {t.dtype for t in content["state_dict"].values() if t.squeeze().ndim > 1} == {torch.float16}


def test_photographs_are_explained_by_it_unless_another_is_named(tmp_path, monkeypatch):
    assert explain_options(["photo.jpg"]).ckpt_path == SHIPPED
    Image.new("RGB", (60, 40), "brown").save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    assert explain_photographs(["photo.png"]) == 0
    assert (tmp_path / "explained" / "photo" / "overview.png").is_file()

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import explainer
from explainer.__main__ import main
from explainer.errors import InputError
from explainer.inference.explain import read_photo
from tests.support.small_checkpoints import CLASSES, save_classifier, save_explainer
from tests.support.trees import photo


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_explainer(tmp_path_factory.mktemp("explainer") / "x.ckpt")


@pytest.fixture
def loaded(checkpoint, device):
    return explainer.load(checkpoint, device)


@pytest.mark.parametrize("size", [(32, 32), (50, 20), (7, 90), (1, 1)])
def test_masks_come_back_at_the_images_size(loaded, size):
    images = torch.rand(2, 3, *size)
    masks = loaded.masks(images)
    assert masks.shape == (2, 3, *size)
    assert masks.device == images.device
    assert ((masks >= 0) & (masks <= 1)).all()
    assert not masks.requires_grad


def test_masks_are_those_of_the_networks_in_the_checkpoint(loaded):
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        on_device = images.to(loaded.device)
        want = loaded.masker(on_device).sigmoid().cpu()
        said = loaded.explanandum(on_device).sigmoid()
    torch.testing.assert_close(loaded.masks(images), want)
    torch.testing.assert_close(loaded.probabilities(images), said)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK", "P", "1", "LA", "I;16"])
def test_explains_photographs_of_any_mode(loaded, tmp_path, mode):
    path = tmp_path / ("photo.tif" if mode in ("CMYK", "I;16") else "photo.png")
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    if mode == "I;16":
        Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(noise).convert(mode).save(path)
    explanation = loaded.explain(path)
    assert explanation.image.shape == (1, 3, 20, 30)
    assert explanation.masks.shape == (1, 3, 20, 30)
    assert explanation.target.shape == (1, 1, 20, 30)
    assert ((explanation.image >= 0) & (explanation.image <= 1)).all()
    assert explanation.predicted
    assert torch.equal(explanation.mask("dog"), explanation.masks[:, 1:2])


def test_path_picture_and_tensor_are_explained_alike(loaded, tmp_path):
    path = photo(tmp_path / "photo.png")
    first = loaded.explain(path)
    for other in (Image.open(path), read_photo(path), read_photo(path)[0], str(path)):
        got = loaded.explain(other)
        assert torch.equal(got.masks, first.masks)
        assert torch.equal(got.probabilities, first.probabilities)


def test_orientation_tag_is_obeyed(tmp_path):
    turned = Image.new("RGB", (30, 20), "red")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert read_photo(tmp_path / "turned.jpg").shape == (1, 3, 30, 20)


def test_classes_from_a_threshold_or_the_most_probable(loaded):
    image = torch.rand(3, 32, 32)
    order = loaded.probabilities(image[None])[0].argsort(descending=True).tolist()
    assert loaded.explain(image, threshold=1.1).predicted == (order[0],)
    assert loaded.explain(image, threshold=1.1, top=2).predicted == tuple(order[:2])
    everything = loaded.explain(image, threshold=0.0)
    assert everything.predicted == tuple(order)
    assert torch.equal(everything.target, everything.masks.amax(1, keepdim=True))
    with pytest.raises(InputError, match="no class 'bird'; there are cat, dog, cow"):
        everything.mask("bird")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.rand(3, 8, 8), r"shape \(B, 3, H, W\), got \(3, 8, 8\)"),
        (torch.rand(1, 1, 8, 8), r"got \(1, 1, 8, 8\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "divide by 255"),
        (torch.full((1, 3, 8, 8), 255.0), "do not normalise"),
        (torch.full((1, 3, 8, 8), torch.nan), "must lie in"),
    ],
)
def test_what_is_no_image_is_refused(loaded, images, words):
    with pytest.raises(InputError, match=words):
        loaded.masks(images)


def test_checkpoint_of_a_classifier_is_refused(tmp_path):
    path = save_classifier(tmp_path / "c.ckpt")
    with pytest.raises(InputError, match="kind 'classifier', but 'explainer' is needed"):
        explainer.load(path)


def test_checkpoint_is_all_that_it_takes(checkpoint, tmp_path):
    """Another process, another folder, no Trainer imported."""
    code = (
        "import sys, torch, explainer\n"
        f"x = explainer.load({checkpoint!r}, 'cpu')\n"
        "assert x.masks(torch.rand(1, 3, 9, 9)).shape == (1, 3, 9, 9)\n"
        "assert 'pytorch_lightning' not in sys.modules, 'Lightning was imported'\n"
    )
    root = str(explainer.__path__[0]).rsplit("/", 1)[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": root, "PATH": ""},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_command_line_writes_pictures_and_numbers(checkpoint, tmp_path, capsys):
    first, second = photo(tmp_path / "a" / "photo.jpg", 1), photo(tmp_path / "b" / "photo.jpg", 2, size=(64, 48))
    out = tmp_path / "out"
    assert main([str(first), str(second), "--ckpt_path", checkpoint, "--out", str(out), "--device", "cpu"]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["photo", "photo_2"]
    numbers = json.loads((out / "photo_2" / "probabilities.json").read_text())
    assert set(numbers["probabilities"]) == set(CLASSES)
    name = numbers["predicted"][0]
    for file in ("target_mask.png", f"mask_{name}.png", f"overlay_{name}.png"):
        assert Image.open(out / "photo_2" / file).size == (64, 48)
    assert Image.open(out / "photo_2" / "overview.png").width > 64
    said = capsys.readouterr().out
    assert "photo_2" in said
    assert str(out) in said


def test_command_line_names_what_it_cannot_read_and_goes_on(checkpoint, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo(tmp_path / "whole.jpg").read_bytes()[:400])
    out = tmp_path / "out"
    arguments = [str(broken), str(tmp_path / "none.png"), str(tmp_path / "whole.jpg"), "--out", str(out)]
    assert main([*arguments, "--ckpt_path", checkpoint, "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert "broken.jpg" in said
    assert "none.png" in said
    assert [p.name for p in out.iterdir()] == ["whole"]


@pytest.mark.parametrize("content", [b"no checkpoint", b""])
def test_command_line_with_no_checkpoint_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    assert main(["photo.jpg", "--ckpt_path", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert str(path) in said
    assert said.count("\n") == 1

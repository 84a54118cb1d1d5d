"""In-fills that others have trained: a TorchScript file, and a pipeline of diffusers."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from explainer.attribution import FIDO
from explainer.errors import InputError
from explainer.evaluation.storage.fingerprint import infill_settings, settings_of
from explainer.experiments.variations import CompletedVariations
from explainer.infill import DiffusionInfill, ScriptInfill


class MeanColour(nn.Module):
    """A stand-in for LaMa: the mean of what is visible stands in the hole, the image elsewhere, but for rounding."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        if image.size(2) % 8 != 0 or image.size(3) % 8 != 0:
            raise RuntimeError("sides must be multiples of 8")
        known = 1 - mask
        mean = (image * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
        return image * known * 0.999 + mean * mask


class Wrong(nn.Module):
    def __init__(self, factor: float, cut: int) -> None:
        super().__init__()
        self.factor, self.cut = factor, cut

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.factor * image[:, : self.cut]


def save(path, module):
    torch.jit.script(module).save(str(path))
    return str(path)


@pytest.fixture
def lama(tmp_path):
    return save(tmp_path / "big-lama.pt", MeanColour())


class Pipeline:
    """What diffusers would load: noise in the hole, from the generators that it is given."""

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def to(self, device):
        return self

    def set_progress_bar_config(self, disable):
        pass

    def __call__(self, **call):
        self.calls.append(call)
        image, hole = call["image"], call["mask_image"]
        noise = torch.stack([torch.rand(image.shape[1:], generator=g) for g in call["generator"]])
        return SimpleNamespace(images=image * (1 - hole) + noise * hole, nsfw_content_detected=None)


@pytest.fixture
def pipeline(monkeypatch):
    made = Pipeline()

    class AutoPipelineForInpainting:
        @staticmethod
        def from_pretrained(model, use_safetensors):
            assert use_safetensors
            if model == "nobody/nothing":
                raise OSError("nobody/nothing is not a local folder")
            return made

    module = ModuleType("diffusers")
    module.AutoPipelineForInpainting = AutoPipelineForInpainting
    monkeypatch.setitem(sys.modules, "diffusers", module)
    return made


@pytest.fixture(params=["script", "diffusion"])
def infill(request, lama, pipeline):
    if request.param == "script":
        return ScriptInfill(lama, allow=True, batch_size=2)
    return DiffusionInfill("somebody/inpainting", allow=True, side=16, steps=3, batch_size=2)


def test_what_is_known_comes_back_to_the_bit_and_the_hole_is_not_seen(infill):
    image, mask = torch.rand(3, 3, 20, 28, dtype=torch.float64), (torch.rand(3, 1, 20, 28) > 0.4).double()
    before, known = image.clone(), (mask > 0).expand(3, 3, 20, 28)
    found = infill(image, mask, torch.Generator().manual_seed(0))
    assert found.dtype == image.dtype
    assert found.shape == image.shape
    assert ((found >= 0) & (found <= 1)).all()
    assert torch.equal(found[known], image[known])
    assert torch.equal(image, before)
    again = infill(torch.where(known, image, 0.0), mask, torch.Generator().manual_seed(0))
    assert torch.equal(again, found)
    assert torch.equal(infill(image, torch.ones_like(mask)), image)
    assert infill(image[:0], mask[:0]).shape == (0, 3, 20, 28)
    nothing = infill(image, None, torch.Generator().manual_seed(0))
    assert torch.equal(nothing, infill(image, torch.zeros_like(mask), torch.Generator().manual_seed(0)))


def test_a_script_paints_the_hole(lama):
    image, mask = torch.full((1, 3, 8, 8), 0.25), torch.ones(1, 1, 8, 8)
    mask[..., :4], image[..., :4] = 0, 1.0
    torch.testing.assert_close(ScriptInfill(lama, allow=True)(image, mask), torch.full((1, 3, 8, 8), 0.25))


def test_a_draw_of_a_pipeline_is_shared_by_a_batch_and_follows_its_seed(pipeline):
    infill = DiffusionInfill("somebody/inpainting", allow=True, prompt="a photograph", side=16, steps=3, batch_size=2)
    image, mask = torch.rand(1, 3, 16, 16).expand(3, -1, -1, -1), torch.zeros(3, 1, 16, 16)
    found = infill(image, mask, torch.Generator().manual_seed(0))
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found, infill(image, mask, torch.Generator().manual_seed(1)))
    assert infill.stochastic
    assert [len(call["prompt"]) for call in pipeline.calls[:2]] == [2, 1]
    assert {call["num_inference_steps"] for call in pipeline.calls} == {3}
    assert pipeline.calls[0]["prompt"][0] == "a photograph"


def test_no_foreign_code_runs_unless_it_is_allowed(lama, pipeline, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *args, **kwargs: pytest.fail("the file was loaded"))
    with pytest.raises(InputError, match=r"big-lama.pt runs code of its own: if you trust it, set allow of .* to true"):
        ScriptInfill(lama)
    with pytest.raises(InputError, match="somebody/inpainting runs code of its own: if you trust it, set allow"):
        DiffusionInfill("somebody/inpainting")


def test_settings_name_the_weights(lama, pipeline, tmp_path):
    found = infill_settings(ScriptInfill(lama, allow=True))
    assert len(found["sha256"]) == 64
    assert found["file"] == lama
    method = settings_of({"FIDO": FIDO(infill=ScriptInfill(lama, allow=True))})["FIDO"]["infill"]
    assert json.loads(json.dumps(method))["sha256"] == found["sha256"]
    folder = tmp_path / "pipeline"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    first = infill_settings(DiffusionInfill(str(folder), allow=True))
    (folder / "weights.safetensors").write_text("other weights")
    second = infill_settings(DiffusionInfill(str(folder), allow=True))
    assert len(first["sha256"]) == 64
    assert first["sha256"] != second["sha256"]


def test_variations_take_them(infill):
    image, boxes = torch.rand(1, 3, 24, 24), torch.tensor([[4, 4, 16, 12]])
    made = CompletedVariations(infill, count=3)(image, boxes)
    assert made.images.shape == (1, 3 if infill.stochastic else 1, 3, 24, 24)


def test_files_that_are_no_in_painters(tmp_path, lama):
    with pytest.raises(InputError, match=r"no file .*nothing.pt: set file of the infill ScriptInfill"):
        ScriptInfill(str(tmp_path / "nothing.pt"), allow=True)
    (tmp_path / "text.pt").write_text("no script")
    with pytest.raises(InputError, match=r"text.pt is no TorchScript file: RuntimeError"):
        ScriptInfill(str(tmp_path / "text.pt"), allow=True)
    with pytest.raises(InputError, match="multiple must be positive, got 0"):
        ScriptInfill(lama, allow=True, multiple=0)
    with pytest.raises(InputError, match="batch_size must be positive, got 0"):
        ScriptInfill(lama, allow=True, batch_size=0)
    image = torch.ones(1, 3, 8, 8)
    with pytest.raises(InputError, match=r"gray.pt gives no picture of the image's shape"):
        ScriptInfill(save(tmp_path / "gray.pt", Wrong(1.0, 1)), allow=True)(image)
    with pytest.raises(InputError, match=r"bytes.pt gives values from 128 to 128, but a picture lies in \[0, 1\]"):
        ScriptInfill(save(tmp_path / "bytes.pt", Wrong(255.0, 3)), allow=True)(image, 0 * image[:, :1])
    with pytest.raises(InputError, match=r"nan.pt gives values from nan to nan"):
        ScriptInfill(save(tmp_path / "nan.pt", Wrong(float("nan"), 3)), allow=True)(image)
    with pytest.raises(InputError, match=r"big-lama.pt fails on images \(1, 3, 9, 9\)"):
        ScriptInfill(lama, allow=True, multiple=1)(torch.ones(1, 3, 9, 9))


def test_pipelines_that_cannot_be_used(pipeline, monkeypatch):
    with pytest.raises(InputError, match="nobody/nothing cannot be loaded as an in-painting pipeline: OSError"):
        DiffusionInfill("nobody/nothing", allow=True)
    with pytest.raises(InputError, match="side 20 a multiple of 8"):
        DiffusionInfill("somebody/inpainting", allow=True, side=20)
    infill = DiffusionInfill("somebody/inpainting", allow=True, side=16)
    black = SimpleNamespace(images=torch.zeros(1, 3, 16, 16), nsfw_content_detected=[True])
    monkeypatch.setattr(Pipeline, "__call__", lambda self, **call: black)
    with pytest.raises(InputError, match="somebody/inpainting withheld a picture"):
        infill(torch.rand(1, 3, 16, 16))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r"wants diffusers: pip install '.\[diffusion\]'"):
        DiffusionInfill("somebody/inpainting", allow=True)

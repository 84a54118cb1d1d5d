"""Explainers as one file for other programs: the same numbers, and no more than the network in them."""

import json
import math
import re
import sys

import pytest
import torch
from PIL import Image

import explainer
from explainer.__main__ import main
from explainer.errors import InputError
from explainer.files import digest
from explainer.inference import exporting
from explainer.inference.exporting import describe, example_images, export, onnx_runner, program_runner, trace
from explainer.networks import Explanandum, FeatureMasker
from explainer.version import __version__
from tests.support.small_checkpoints import CLASSES, SMALL, save_explainer
from tests.support.tiny_runs import ROOT
from tests.support.trees import photo

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
SIDE = 32


def save_reader(path, classes=CLASSES, multilabel=False, explanandum=None):
    """Save an Explainer whose masker reads the classifier."""
    torch.manual_seed(0)
    if explanandum is None:
        explanandum = Explanandum(**SMALL, num_classes=len(classes), multilabel=multilabel)
        with torch.no_grad():
            for parameter in explanandum.network.parameters():
                parameter.mul_(2)  # untrained, each layer gives smaller values than the one before
    masker = FeatureMasker(width=8, scales=2)
    masker.attach(explanandum)
    masker.build(len(classes))
    # untrained, the head adds nothing
    torch.nn.init.normal_(masker.network.head.weight)
    state = {f"explanandum.{k}": v for k, v in explanandum.state_dict().items()}
    state |= {f"masker.{k}": v for k, v in masker.state_dict().items()}
    spec = {
        "version": "0", "kind": "explainer", "image_size": SIDE, "classes": list(classes), "multilabel": multilabel,
        "explanandum": explanandum.spec, "masker": masker.spec,
    }  # fmt: skip
    torch.save({"explainer": spec, "state_dict": state}, path)
    return str(path)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A DeepLabV3 masker beside sigmoids, and a masker that reads a classifier with a softmax."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {"deeplab": save_explainer(folder / "deeplab.ckpt"), "reader": save_reader(folder / "reader.ckpt")}


@pytest.fixture(scope="module")
def files(checkpoints, tmp_path_factory):
    """Every checkpoint in every format."""
    folder = tmp_path_factory.mktemp("exported")
    return {
        (name, kind): export(path, folder / f"{name}.{kind}", kind)
        for name, path in checkpoints.items()
        for kind in exporting.FORMATS
    }


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", exporting.FORMATS)
@pytest.mark.parametrize("name", ["deeplab", "reader"])
def test_a_file_gives_what_the_checkpoint_gives(checkpoints, files, name, kind, batch):
    model = explainer.load(checkpoints[name], "cpu")
    images = example_images(batch, SIDE, seed=1)
    run = onnx_runner if kind == "onnx" else program_runner
    probabilities, masks = run(files[name, kind].path)(images)
    torch.testing.assert_close(probabilities, model.probabilities(images), atol=1e-4, rtol=0)
    torch.testing.assert_close(masks, model.masks(images), atol=1e-4, rtol=0)
    assert masks.std() > 1e-3
    if name == "reader":
        torch.testing.assert_close(probabilities.sum(1), torch.ones(batch))


def test_an_export_measures_itself(files):
    for exported in files.values():
        assert 0 <= exported.mask_difference <= 1e-4
        assert 0 <= exported.probability_difference <= 1e-4


def metadata_of(path):
    """What a file says of itself, read as another program would."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    extra = {"explainer.json": ""}
    torch.export.load(path, extra_files=extra)
    return json.loads(extra["explainer.json"])


@pytest.mark.parametrize("kind", exporting.FORMATS)
def test_a_file_says_what_it_holds(checkpoints, files, kind):
    said = metadata_of(files["reader", kind].path)
    assert said.pop("mean_colour") == pytest.approx([0.485, 0.456, 0.406])
    assert said == {
        "classes": list(CLASSES),
        "channels": 3,
        "image_size": SIDE,
        "multilabel": False,
        "explainer_version": __version__,
        "checkpoint_sha256": digest(checkpoints["reader"]),
        "precision": "float32",
    }


def test_the_graph_of_onnx_has_named_ends_and_any_batch(files):
    graph = onnx.load(files["deeplab", "onnx"].path).graph
    shapes = {}
    for end in (*graph.input, *graph.output):
        shapes[end.name] = [d.dim_value or d.dim_param for d in end.type.tensor_type.shape.dim]
    batch = shapes["images"][0]
    assert isinstance(batch, str)
    assert shapes == {
        "images": [batch, 3, SIDE, SIDE],
        "probabilities": [batch, 3],
        "masks": [batch, 3, SIDE, SIDE],
    }


def test_a_file_does_not_name_the_machine_that_wrote_it(files):
    for exported in files.values():
        content = exported.path.read_bytes()
        assert str(ROOT).encode() not in content
        assert b"site-packages" not in content


def test_the_code_of_the_guide(files, tmp_path, monkeypatch, capsys):
    """It is another program, which knows the file alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voc_lite0.onnx").write_bytes(files["deeplab", "onnx"].path.read_bytes())
    photo(tmp_path / "photo.jpg")
    page = (ROOT / "docs" / "guide" / "deploying.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    assert names["mask"].shape == (SIDE, SIDE)
    assert capsys.readouterr().out.split()[0] in CLASSES


def test_a_classifier_of_other_channels(tmp_path):
    """It is given itself, as `fit` was given it, and exported as the Explainer that it is."""
    layers = [torch.nn.Conv2d(2, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(8, 8, 3),
              torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3)]  # fmt: skip
    network = torch.nn.Sequential(*layers)
    explanandum = Explanandum(network, multilabel=True, mean=(0.25, 0.75), std=(1.0, 1.0))
    path = save_reader(tmp_path / "two.ckpt", multilabel=True, explanandum=explanandum)
    model = explainer.load(path, "cpu", model=network)
    exported = export(model, file_format="pt2")
    assert (exported.metadata.channels, exported.metadata.mean_colour) == (2, (0.25, 0.75))
    images = example_images(1, SIDE, 2)
    probabilities, masks = program_runner(exported.path)(images)
    torch.testing.assert_close(probabilities, model.probabilities(images), atol=1e-4, rtol=0)
    torch.testing.assert_close(masks, model.masks(images), atol=1e-4, rtol=0)
    model.save_pretrained(tmp_path / "two")
    assert "- images: 2 channels, of any size, seen at 32×32 pixels" in (tmp_path / "two" / "README.md").read_text()


def test_a_published_folder_is_exported_too(checkpoints, tmp_path):
    explainer.load(checkpoints["deeplab"], "cpu").save_pretrained(tmp_path / "pets")
    # an Explainer is named as what it was loaded from
    exported = export(explainer.load(tmp_path / "pets", "cpu"), file_format="pt2")
    assert exported.path == tmp_path / "pets.pt2"
    assert exported.metadata.checkpoint_sha256 == digest(tmp_path / "pets" / "model.safetensors")


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(4):
        noise = torch.rand(3, 8, 8, generator=generator).mul(255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(noise).resize((40, 50)).save(folder / f"{number}.png")
    return folder


def test_int8_is_smaller_and_near(checkpoints, files, photographs, tmp_path, capsys):
    out = tmp_path / "small.onnx"
    assert main(["export", checkpoints["deeplab"], "--out", str(out), "--int8", str(photographs)]) == 0
    assert "int8" in capsys.readouterr().out
    assert out.stat().st_size < 0.5 * files["deeplab", "onnx"].path.stat().st_size
    assert metadata_of(out)["precision"] == "int8"
    images = torch.rand(2, 3, SIDE, SIDE)
    _, masks = onnx_runner(out)(images)
    wanted = explainer.load(checkpoints["deeplab"], "cpu").masks(images)
    difference = (masks - wanted).abs()
    assert 0 < difference.mean() < 0.1


def test_the_command(checkpoints, tmp_path, capsys):
    assert main(["export", checkpoints["deeplab"], "--format", "pt2", "--out", str(tmp_path / "a.pt2")]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'a.pt2'}: " in said
    assert "images (B, 3, 32, 32) in [0, 1]\n-> probabilities (B, 3), masks (B, 3, 32, 32)" in said
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pt2"]


def refused(arguments, capsys):
    """The one line with which the command refuses."""
    assert main(["export", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_the_command_refuses(checkpoints, tmp_path, capsys, photographs):
    good = checkpoints["deeplab"]
    assert "no file" in refused([tmp_path / "none.ckpt"], capsys)
    assert "must end with .onnx" in refused([good, "--out", tmp_path / "a.pt2"], capsys)
    assert "a folder: name a file" in refused([good, "--out", mkdir(tmp_path / "a.onnx")], capsys)
    assert "int8 is for the format onnx" in refused([good, "--format", "pt2", "--int8", photographs], capsys)
    assert "is no folder of photographs" in refused([good, "--int8", tmp_path / "none"], capsys)
    assert "holds no photographs" in refused([good, "--int8", mkdir(tmp_path / "empty")], capsys)
    with pytest.raises(InputError, match="no format 'tflite' to export to; there are onnx, pt2"):
        export(good, file_format="tflite")


def mkdir(path):
    path.mkdir()
    return path


def test_foreign_code_is_refused_unless_it_is_allowed(checkpoints, tmp_path, capsys, monkeypatch):
    (tmp_path / "their_nets.py").write_text(
        "from explainer.networks.small import small_cnn\ndef net(width):\n    return small_cnn(width=width)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    content = torch.load(checkpoints["deeplab"], weights_only=True)
    content["explainer"]["explanandum"]["network"] = "their_nets.net"
    torch.save(content, tmp_path / "foreign.ckpt")
    arguments = [tmp_path / "foreign.ckpt", "--format", "pt2"]
    assert "builds its classifier by their_nets.net: if you trust it" in refused(arguments, capsys)
    assert "their_nets" not in sys.modules
    assert not (tmp_path / "foreign.pt2").exists()
    assert main(["export", *map(str, arguments), "--allow", "their_nets"]) == 0
    assert (tmp_path / "foreign.pt2").is_file()


def test_a_network_whose_way_depends_on_the_image_is_refused():
    class Choosing(torch.nn.Module):
        def forward(self, images):
            return images.relu() if images.mean() > 0.5 else images

    with pytest.raises(InputError, match="cannot be exported as one graph") as error:
        trace(Choosing(), example_images(2, 8))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("difference", [0.01, float("nan")])
def test_a_file_that_computes_something_else_is_not_left(checkpoints, tmp_path, monkeypatch, difference):
    monkeypatch.setattr(exporting, "compare", lambda *arguments: (0.0, difference))
    with pytest.raises(InputError, match="cannot be exported as pt2: its masks or probabilities would differ by"):
        export(checkpoints["reader"], tmp_path / "a.pt2", "pt2")
    assert not list(tmp_path.iterdir())


def test_differences_are_found():
    def graph(images):
        return images.mean((2, 3)), images

    def compared(run):
        return exporting.compare(graph, run, [example_images(size, 8) for size in (1, 3)])

    assert compared(graph) == (0, 0)
    assert compared(lambda images: (graph(images)[0], images - 0.25)) == (0, pytest.approx(0.25))
    nothing, everything = compared(lambda images: (graph(images)[0], images * torch.nan))
    assert nothing == 0
    assert math.isnan(everything)
    assert compared(lambda images: (graph(images)[0], images[:, :1])) == (math.inf, math.inf)


def test_a_missing_library_is_named_before_the_work(checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    line = refused([checkpoints["deeplab"], "--out", tmp_path / "a.onnx"], capsys)
    assert "the format onnx wants onnxscript: pip install '.[export]'" in line


def test_weights_beyond_what_onnx_holds_are_refused(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_LARGEST_ONNX", 10)
    with pytest.raises(InputError, match="too many for one file of ONNX: take the format pt2"):
        export(checkpoints["deeplab"], tmp_path / "a.onnx")


def test_the_shipped_checkpoint_describes_itself():
    from explainer.cli.paths import SHIPPED

    said = describe(explainer.load(SHIPPED, "cpu"))
    assert (len(said.classes), said.image_size, said.multilabel) == (20, 192, True)
    assert said.mean_colour == (0.5, 0.5, 0.5)
    assert said.checkpoint_sha256 == digest(SHIPPED)

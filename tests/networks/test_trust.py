"""Checkpoints of an attacker: nothing in them runs, nothing is fetched, and nothing else is read or written."""

import builtins
import pickle
import socket
import tarfile

import pytest
import timm
import torch
import yaml
from torch import nn

import explainer
from explainer.__main__ import main
from explainer.attribution import Explainer
from explainer.cli.evaluate import evaluate
from explainer.cli.train import train
from explainer.errors import InputError
from explainer.experiments.variations import LatentSearch
from explainer.infill import CAInfill
from explainer.networks import Explanandum, Masker
from explainer.networks.restore import load_generator, load_inpainter
from explainer.networks.trust import is_allowed, is_known
from tests.support.small_checkpoints import explainer_content, save_classifier, save_generative
from tests.support.tiny_runs import classifier_config, explainer_config
from tests.support.trees import photo


class Bomb:
    """Leaves a canary behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return builtins.open, (str(self.path), "w")


@pytest.fixture(autouse=True)
def trap(tmp_path, monkeypatch):
    """A folder with a bomb and archives; no test may reach the network, and none may leave a canary."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    (tmp_path / "inner.txt").write_text("x")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "inner.txt", arcname="canary")

    def connect(*address):
        (tmp_path / "canary").write_text(f"connected to {address}")
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    yield
    assert not (tmp_path / "canary").exists()


def hostile(path, network=None, arguments=None, masker=None, **changes):
    """A good Explainer's checkpoint with another description."""
    content = explainer_content()
    spec = content["explainer"]
    if network is not None:
        spec["explanandum"]["network"] = network
    if arguments is not None:
        spec["explanandum"]["network_args"] = arguments
    spec["masker"] |= masker or {}
    torch.save(content | {"explainer": spec | changes}, path)
    return str(path)


TOUCH = "touch canary"
NAMES = [
    ("os.system", {"command": TOUCH}),
    ("posix.system", {"command": TOUCH}),
    ("builtins.exec", {}),
    ("subprocess.getoutput", {"cmd": TOUCH}),
    ("explainer.networks.build.build_network", {"name": "os.system", "arguments": {"command": TOUCH}}),
    ("explainer.networks.build.build_network", {"name": "subprocess.getoutput"}),
    ("explainer.networks.build._callable", {"path": "os.system"}),
    ("explainer.networks.build.importlib.import_module", {"name": "antigravity"}),
    ("explainer.networks.Explanandum", {"network": "os.system", "network_args": {"command": TOUCH}}),
    ("explainer.networks.explanandum.Explanandum", {"network": "other.ckpt"}),
    ("explainer.networks.Masker", {}),
    ("explainer.networks.small", {}),
    ("explainer.networks.small.nn.Linear", {}),
    ("explainer.networks.small.SmallCNN", {"num_classes": 3, "width": 4}),
    ("explainer.cli.train.train", {"args": ["--config", "evil.yaml"]}),
    ("explainer.cli.evaluate.evaluate", {"args": ["--config", "evil.yaml"]}),
    ("explainer.load", {"path": "bomb.pth"}),
    ("explainer.files.write_text", {"path": "canary", "text": "x"}),
    ("torchvision.models._api.load_state_dict_from_url", {"url": "file:bomb.pth"}),
    ("torchvision.models.get_model", {"name": "resnet18"}),
    ("torchvision.models.resnet.load_state_dict_from_url", {"url": "file:bomb.pth"}),
    ("torchvision.io.write_file", {"filename": "canary"}),
    ("torchvision.datasets.utils.extract_archive", {"from_path": "evil.tar", "to_path": "."}),
    ("torchvision.datasets.utils.download_url", {"url": "file:inner.txt", "root": ".", "filename": "canary"}),
    ("torchvision.datasets.folder.has_file_allowed_extension", {}),
    ("timm.create_model", {"model_name": "resnet18", "checkpoint_path": "bomb.pth"}),
    ("timm.models._helpers.load_state_dict", {"checkpoint_path": "bomb.pth", "weights_only": False}),
    ("timm.models.load_checkpoint", {}),
    ("timm.utils.model.torch.load", {"f": "bomb.pth"}),
    ("torch.load", {"f": "bomb.pth", "weights_only": False}),
    ("torch.hub.load", {"repo_or_dir": "a/b", "model": "c"}),
    ("torch.utils.cpp_extension.load", {}),
    ("segmentation_models_pytorch.from_pretrained", {}),
    ("timm/hf-hub:someone/something", {}),
    ("timm/hf_hub:someone/something", {}),
    ("timm/local-dir:.", {}),
    ("timm/timm/resnet18", {}),
    ("timm/../resnet18", {}),
    ("timm/resnet18.a1_in1k/../x", {}),
    ("hf-hub:someone/something", {}),
    ("maskrcnn_resnet50_fpn", {}),  # fetches the weights of its backbone by default
    ("fcn_resnet50", {}),
    ("other.ckpt", {}),
    ("checkpoints/other.ckpt", {}),
    ("a/b", {}),
    ("resnet18\n", {}),
    ("", {}),
    (".", {}),
    ("..small_cnn", {}),
]


def refused(call, *words):
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value).strip("\n")
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("network", "arguments"), NAMES)
def test_a_checkpoint_builds_nothing_that_is_not_known(tmp_path, network, arguments):
    path = hostile(tmp_path / "x.ckpt", network, arguments)
    refused(lambda: explainer.load(path, "cpu"), "x.ckpt")
    refused(lambda: Explanandum(path), "x.ckpt")
    refused(lambda: Explainer(path), "x.ckpt")


@pytest.mark.parametrize(("network", "arguments"), NAMES[:6])
def test_no_command_builds_it_either(tmp_path, network, arguments, capsys):
    (tmp_path / "checkpoints").mkdir()
    path = hostile(tmp_path / "checkpoints" / "tiny_classifier.ckpt", network, arguments)
    assert main([str(photo(tmp_path / "p.jpg")), "--ckpt_path", path]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    classifier_config()
    with pytest.raises(InputError, match="tiny_classifier"):
        train(["--config", explainer_config()])
    with pytest.raises(InputError, match="tiny_classifier"):
        evaluate(["--config", classifier_config(), "--ckpt_path", path])
    methods = {"Theirs": {"class_path": "Explainer", "init_args": {"checkpoint": path}}}
    good = save_classifier(tmp_path / "good.ckpt")
    (tmp_path / "methods.yaml").write_text(yaml.safe_dump({"evaluation": {"methods": methods}}))
    with pytest.raises(InputError, match="tiny_classifier"):
        evaluate(["--config", classifier_config(), "--config", "methods.yaml", "--ckpt_path", good])


ARGUMENTS = [
    ("resnet18", {"weights": "IMAGENET1K_V1"}),
    ("resnet18", {"pretrained": True}),
    ("fcn_resnet50", {"weights_backbone": None}),
    ("timm/resnet10t", {"pretrained": True}),
    ("timm/resnet10t", {"checkpoint_path": "bomb.pth"}),
    ("timm/resnet10t", {"pretrained_cfg": {"file": "bomb.pth"}}),
    ("timm/resnet10t", {"pretrained_cfg": {"url": "http://localhost/x"}}),
    ("timm/resnet10t", {"pretrained_cfg": {"hf_hub_id": "a/b"}}),
    ("timm/resnet10t", {"pretrained_cfg": "a/b"}),
    ("timm/resnet10t", {"pretrained_cfg_overlay": {"file": "bomb.pth"}}),
    ("timm/resnet10t", {"cache_dir": "canary"}),
    ("timm/resnet10t", {"act_layer": "hf-hub:a/b"}),
    ("timm/resnet10t", {"block": {"name": "os.system"}}),
    ("timm/resnet10t", {"block_args": {"a": 1}}),
    ("timm/resnet10t", {"in_chans": torch.ones(1)}),
    ("timm/resnet10t", {"": 1}),
    ("timm/resnet10t", {"a b": 1}),
    ("explainer.networks.small.small_cnn", {"width": 10**9}),
    ("explainer.networks.small.small_cnn", {"width": 10**6}),
    ("explainer.networks.small.small_cnn", {"width": 40_000}),
    ("explainer.networks.small.small_cnn", {"width": -4}),
    ("explainer.networks.small.small_cnn", {"width": 0}),
    ("explainer.networks.small.small_cnn", {"width": 2.5}),
    ("explainer.networks.small.small_cnn", {"width": float("nan")}),
    ("explainer.networks.small.small_cnn", {"width": float("inf")}),
    ("explainer.networks.small.small_cnn", {"width": "4"}),
    ("explainer.networks.small.small_cnn", {"width": [4] * 10**5}),
    ("explainer.networks.small.small_cnn", {"width": [[[[[[4]]]]]]}),
    ("explainer.networks.small.small_cnn", {"width": "4" * 10**5}),
    ("explainer.networks.small.small_cnn", {"num_classes": 10**6}),
    ("explainer.networks.small.small_cnn", {"colour": 1}),
    ("timm/resnet10t", {"layers": [10**5] * 4}),
    ("timm/vit_tiny_patch16_224", {"img_size": 10**5}),
    ("timm/vit_tiny_patch16_224", {"depth": 10**5}),
    ("timm/vit_tiny_patch16_224", {"embed_dim": 96_000}),
    ("timm/swin_tiny_patch4_window7_224", {"window_size": 10**4, "img_size": 40_000}),
]


@pytest.mark.parametrize(("network", "arguments"), ARGUMENTS)
def test_arguments_fetch_nothing_and_take_no_memory(tmp_path, network, arguments, monkeypatch):
    path = hostile(tmp_path / "x.ckpt", network, arguments)
    monkeypatch.setattr(timm.models._helpers, "load_state_dict", None)
    with limited_memory(monkeypatch):
        refused(lambda: explainer.load(path, "cpu"), "x.ckpt")
        refused(lambda: Explanandum(path), "x.ckpt")


def limited_memory(monkeypatch):
    """No parameter may be made that has more than 100 million elements."""
    true = nn.Parameter.__new__

    def small(cls, data=None, requires_grad=True):
        assert data is None or data.is_meta or data.numel() < 10**8
        return true(cls, data, requires_grad)

    context = monkeypatch.context()
    context.__enter__().setattr(nn.Parameter, "__new__", small)
    return _Closing(context)


class _Closing:
    def __init__(self, context):
        self.context = context

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self.context.__exit__(*error)


MASKERS = [
    {"encoder": "tu-hf-hub:someone/something"},
    {"encoder": "tu-hf_hub:someone/something"},
    {"encoder": "tu-local-dir:."},
    {"encoder": "tu-"},
    {"encoder": "tu-nope"},
    {"encoder": "smp-hub:someone/something"},
    {"encoder": "nope"},
    {"encoder": "resnet50\n"},
    {"encoder": ""},
    {"encoder": 5},
    {"encoder_weights": "imagenet"},
    {"encoder_weights": "bomb.pth"},
    {"architecture": "from_pretrained"},
    {"architecture": "create_model"},
    {"architecture": "encoders"},
    {"architecture": "__doc__"},
    {"architecture": "base.SegmentationModel"},
    {"arguments": {"encoder_weights": "imagenet"}},
    {"arguments": {"encoder_name": "tu-hf-hub:a/b"}},
    {"arguments": {"kwargs": {"pretrained": True}}},
    {"arguments": {"pretrained_cfg": {"file": "bomb.pth"}}},
    {"arguments": {"checkpoint_path": "bomb.pth"}},
    {"arguments": {"aux_params": {"classes": 3}}},
    {"arguments": {"activation": "os.system"}},
    {"arguments": {"decoder_channels": 10**9}},
    {"arguments": {"decoder_channels": 10**5}},
    {"arguments": {"decoder_channels": -1}},
    {"arguments": {"encoder_depth": 10**4}},
    {"arguments": {"in_channels": 10**6}},
    {"arguments": {"decoder_atrous_rates": [1] * 10**4}},
    {"arguments": "x"},
    {"foo": 1},
]


@pytest.mark.parametrize("masker", MASKERS)
def test_a_masker_is_of_the_library_alone(tmp_path, masker):
    path = hostile(tmp_path / "x.ckpt", masker=masker)
    refused(lambda: explainer.load(path, "cpu"), "x.ckpt")
    refused(lambda: Explainer(path), "x.ckpt")


GENERATIVE = [
    ("generator", {"image_size": 2**20}),
    ("generator", {"latent": 10**9}),
    ("generator", {"width": 50_000}),
    ("generator", {"num_classes": 10**6}),
    ("generator", {"width": "4"}),
    ("generator", {"spectral": "os.system"}),
    ("generator", {"foo": 1}),
    ("inpainter", {"width": 50_000}),
    ("inpainter", {"dilations": [1] * 10**5}),
    ("inpainter", {"dilations": ["a"]}),
    ("inpainter", {"rate": 0}),
    ("inpainter", {"scale": float("nan")}),
    ("vae", {"latent": 10**6}),
    ("vae", {"width": -1}),
    ("vae", {"dilations": 5}),
    ("vae", {"foo": {"a": 1}}),
]


@pytest.mark.parametrize(("kind", "changes"), GENERATIVE)
def test_generative_networks_are_as_large_as_their_weights(tmp_path, kind, changes):
    path = save_generative(tmp_path / "x.ckpt", kind)
    content = torch.load(path, weights_only=True)
    content["explainer"]["network"] |= changes
    torch.save(content, path)
    if kind == "generator":
        refused(lambda: load_generator(path), "x.ckpt")
        refused(lambda: LatentSearch(path), "x.ckpt")
    else:
        refused(lambda: load_inpainter(path, kind), "x.ckpt")
    if kind == "inpainter":
        refused(lambda: CAInfill(path), "x.ckpt")


@pytest.mark.parametrize("changes", [
    {"image_size": 10**9}, {"classes": [str(i) for i in range(150_000)]}, {"classes": ["x" * 10**6, "y", "z"]},
])  # fmt: skip
def test_descriptions_of_absurd_size(tmp_path, changes):
    path = hostile(tmp_path / "x.ckpt", **changes)
    assert len(refused(lambda: explainer.load(path, "cpu"), "x.ckpt")) < 1000


def test_expanded_weights_buy_no_memory(tmp_path):
    """A stored number that claims to be a trillion would allow networks of any size."""
    path = hostile(tmp_path / "x.ckpt", arguments={"width": 20_000})
    content = torch.load(path, weights_only=True)
    content["state_dict"]["explanandum.more"] = torch.ones(1).expand(10**12)
    torch.save(content, path)
    refused(lambda: explainer.load(path, "cpu"), "x.ckpt", "not all is stored")


def test_the_packaged_weights_are_not_read_for_a_checkpoint(tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite_pytorch")
    classifier = Explanandum("explainer.networks.lite.efficientnet_lite0", num_classes=3, multilabel=True)
    state = {f"explanandum.{name}": tensor for name, tensor in classifier.state_dict().items()}
    spec = {
        "version": "0", "kind": "classifier", "image_size": 32, "classes": ["a", "b", "c"], "multilabel": True,
        "explanandum": classifier.spec,
    }  # fmt: skip
    torch.save({"explainer": spec, "state_dict": state}, tmp_path / "x.ckpt")
    monkeypatch.setattr("explainer.networks.lite.load_weights", None)
    loaded = Explanandum(str(tmp_path / "x.ckpt"))
    assert loaded.spec == classifier.spec
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(loaded(image), classifier(image))


def test_names_are_known_or_allowed():
    for name in ("resnet18", "timm/resnet18", "timm/resnet18.a1_in1k", "torchvision.models.vgg16",
                 "torchvision.models.resnet.resnet18", "timm.models.resnet.resnet18",
                 "explainer.networks.small.small_cnn", "explainer.networks.lite.efficientnet_lite0"):  # fmt: skip
        assert is_known(name), name
    for name, _ in NAMES:
        assert not is_known(name), name
    assert is_allowed("mine.nets.a", ["mine"])
    assert is_allowed("mine.nets.a", ["x", "mine.nets.a"])
    assert not is_allowed("mine.nets.a", ["mine.nets.b", "min", "mine.nets.a.b", ""])


def test_a_config_vouches_for_its_own_builder_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    lines = ["from explainer.networks.small import small_cnn", "def own(width=4): return small_cnn(3, width)",
             "def other(width=4): open('canary', 'w')"]  # fmt: skip
    (tmp_path / "mine_attacked.py").write_text("\n".join(lines))
    path = hostile(tmp_path / "x.ckpt", "mine_attacked.other")
    config = classifier_config()
    network = "--model.init_args.explanandum.network=mine_attacked.own"
    with pytest.raises(InputError, match="allow the package 'mine_attacked'"):
        evaluate(["--config", config, network, "--ckpt_path", path])
    good = hostile(tmp_path / "good.ckpt", "mine_attacked.own")
    assert explainer.load(good, "cpu", ["mine_attacked.own"]).classes
    assert explainer.load(good, "cpu", ["mine_attacked"]).classes
    refused(lambda: explainer.load(path, "cpu", ["mine_attacked.own"]), "mine_attacked.other")


def test_what_a_person_names_himself_is_his_own_affair(tmp_path):
    assert Masker("resnet18").spec["encoder"] == "resnet18"
    assert Explanandum("torch.nn.Identity").network is not None

"""Checkpoints and files of weights as they come: torn, changed, wrapped, of another precision."""

import zipfile

import pytest
import torch
from torch import nn

import explainer
from explainer.attribution import GradCAM
from explainer.errors import InputError
from explainer.networks import Explanandum, Masker
from explainer.networks.build import load_weights
from explainer.networks.checkpoint import read_checkpoint
from explainer.networks.loading import read_state
from explainer.networks.outputs import logits_of
from explainer.networks.restore import load_inpainter
from explainer.networks.small import small_cnn
from tests.support.small_checkpoints import explainer_content, save_classifier, save_explainer, save_generative

MISSING = object()


def changed(path, place, value):
    """A good Explainer's checkpoint with one value changed, or taken out; `place` is its path in the file."""
    content = explainer_content()
    *inside, last = place.split("/")
    part = content
    for key in inside:
        part = part[key]
    if value is MISSING:
        del part[last]
    else:
        part[last] = value(part[last]) if callable(value) else value
    torch.save(content, path)
    return str(path)


def refused(call, name):
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert name in message
    assert len(message) < 600
    return message


WEIGHT = "state_dict/explanandum.network.classifier.weight"
SPEC, NETWORK, MASKER = "explainer", "explainer/explanandum", "explainer/masker"
BAD = [
    (SPEC, MISSING), (SPEC, None), (SPEC, {}), (SPEC, []), (SPEC, "x"), (SPEC, 5),
    ("state_dict", MISSING), ("state_dict", None), ("state_dict", []), ("state_dict", {1: torch.ones(1)}),
    ("state_dict", {}), ("state_dict", torch.ones(3)),
    *((f"{SPEC}/{key}", MISSING) for key in ("kind", "classes", "multilabel", "image_size", "explanandum", "masker")),
    *((f"{SPEC}/{key}", None) for key in ("kind", "classes", "image_size", "explanandum", "masker")),
    (f"{SPEC}/kind", "foo"), (f"{SPEC}/kind", 3), (f"{SPEC}/kind", "classifier"), (f"{SPEC}/kind", "generator"),
    (f"{SPEC}/version", 99), (f"{SPEC}/version", "99"), (f"{SPEC}/version", "1.0.0"), (f"{SPEC}/version", "x"), (f"{SPEC}/version", "²"),
    (f"{SPEC}/version", "9" * 5000),
    (f"{SPEC}/classes", []), (f"{SPEC}/classes", "cat"), (f"{SPEC}/classes", [1, 2, 3]),
    (f"{SPEC}/classes", ["a", "a", "b"]), (f"{SPEC}/classes", ["a", "b"]), (f"{SPEC}/classes", {"a": 1}),
    (f"{SPEC}/classes", torch.ones(3)),
    (f"{SPEC}/multilabel", "yes"), (f"{SPEC}/multilabel", 1), (f"{SPEC}/multilabel", []),
    *((f"{SPEC}/image_size", size) for size in (0, -5, "32", 2.5, 10**9, 10**400, True, [32, 32], torch.tensor(32))),
    *((f"{NETWORK}/{key}", MISSING) for key in ("network", "network_args", "mean", "std", "taps")),
    *((f"{NETWORK}/{key}", None) for key in ("network", "network_args", "mean", "std")),
    (f"{NETWORK}/network", 5), (f"{NETWORK}/network", ["resnet18"]), (f"{NETWORK}/network", "no_such"),
    (f"{NETWORK}/network_args", []), (f"{NETWORK}/network_args", {1: 2}), (f"{NETWORK}/network_args", "x"),
    (f"{NETWORK}/mean", [0.5, 0.5]), (f"{NETWORK}/mean", 0.5), (f"{NETWORK}/mean", ["a", "b", "c"]),
    (f"{NETWORK}/mean", [float("nan")] * 3), (f"{NETWORK}/mean", []),
    (f"{NETWORK}/std", [1.0, 1.0, 0.0]), (f"{NETWORK}/std", [-1.0] * 3), (f"{NETWORK}/std", ["1", "1", "1"]),
    (f"{NETWORK}/std", [float("inf")] * 3), (f"{NETWORK}/std", [1.0] * 4),
    (f"{NETWORK}/taps", [1, 2]), (f"{NETWORK}/taps", "stages.0"), (f"{NETWORK}/taps", ["no.such"]),
    (f"{NETWORK}/head", 5), (f"{NETWORK}/head", ["no_such"]), (f"{NETWORK}/head", ["stages"]),
    (f"{MASKER}/encoder", MISSING), (f"{MASKER}/encoder", 5), (f"{MASKER}/encoder", None),
    (f"{MASKER}/encoder", "resnet34"), (f"{MASKER}/architecture", 5), (f"{MASKER}/architecture", "Unet"),
    (f"{MASKER}/arguments", []), (f"{MASKER}/arguments", {"decoder_channels": "8"}), (f"{MASKER}/foo", 1),
    (WEIGHT, MISSING), (WEIGHT, "x"), (WEIGHT, None), (WEIGHT, 5), (WEIGHT, lambda w: w.to_sparse()),
    (WEIGHT, lambda w: w.to("meta")), (WEIGHT, lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)),
    (WEIGHT, lambda w: w.long()), (WEIGHT, lambda w: w.bool()), (WEIGHT, lambda w: w.to(torch.complex64)),
    (WEIGHT, lambda w: w * float("nan")), (WEIGHT, lambda w: w / 0), (WEIGHT, lambda w: w[:, :2]),
    (WEIGHT, lambda w: torch.ones(1).expand(10**12)), (WEIGHT, lambda w: torch.ones(1).expand_as(w)),
    (WEIGHT, lambda w: torch.ones(0)), (WEIGHT, lambda w: torch.tensor(1.0)),
    ("state_dict/explanandum.more", torch.ones(1)), ("state_dict/masker.more", torch.ones(1)),
    ("state_dict/explanandum.mean", lambda m: m * float("nan")),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value"), BAD)
def test_one_line_for_whatever_is_wrong_in_a_checkpoint(tmp_path, place, value):
    path = changed(tmp_path / "x.ckpt", place, value)
    refused(lambda: explainer.load(path, "cpu"), "x.ckpt")


@pytest.mark.parametrize(("place", "value"), [
    (f"{SPEC}/version", MISSING), (f"{SPEC}/version", None), (f"{SPEC}/version", "0.1.0"), (f"{SPEC}/more", 1),
    (f"{SPEC}/classes", ("cat", "dog", "cow")), (f"{SPEC}/multilabel", None), (f"{NETWORK}/more", 1),
    (f"{NETWORK}/head", None), (f"{MASKER}/architecture", MISSING),
    (WEIGHT, lambda w: w.half()), (WEIGHT, lambda w: w.double()), ("state_dict/elsewhere", torch.ones(1)),
    ("pytorch-lightning_version", "9"),
])  # fmt: skip
def test_what_is_no_fault_still_loads(tmp_path, place, value):
    if place.startswith("pytorch"):
        path = save_explainer(tmp_path / "x.ckpt")
        torch.save(torch.load(path, weights_only=True) | {place: value}, path)
    else:
        path = changed(tmp_path / "x.ckpt", place, value)
    assert explainer.load(path, "cpu").classes == ("cat", "dog", "cow")


@pytest.mark.parametrize("kind", ["generator", "inpainter", "vae"])
def test_generative_checkpoints_are_checked_alike(tmp_path, kind):
    path = save_generative(tmp_path / "x.ckpt", kind)
    read_checkpoint(path, kind)
    refused(lambda: Explanandum(path), "holds no classifier")
    content = torch.load(path, weights_only=True)
    for key in ("kind", "classes", "image_size", "network"):
        spec = {name: value for name, value in content["explainer"].items() if name != key}
        torch.save(content | {"explainer": spec}, path)
        refused(lambda: read_checkpoint(path, kind), "x.ckpt")


def test_weights_that_are_not_finite_are_named(tmp_path):
    path = changed(tmp_path / "x.ckpt", WEIGHT, lambda w: w * float("nan"))
    message = refused(lambda: Explanandum(path), "x.ckpt")
    assert "network.classifier.weight" in message
    path = save_generative(tmp_path / "y.ckpt")
    content = torch.load(path, weights_only=True)
    name = next(n for n in content["state_dict"] if n.startswith("average.module."))
    content["state_dict"][name] = content["state_dict"][name] * float("inf")
    torch.save(content, path)
    refused(lambda: load_inpainter(path), "not finite")


def record(path):
    """Where the largest record of a checkpoint lies."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda item: item.file_size)
    return largest.filename, largest.header_offset + 200, largest.file_size


@pytest.mark.parametrize("length", [1, 4096])
def test_a_damaged_record_is_named(tmp_path, length):
    path = save_explainer(tmp_path / "x.ckpt")
    name, offset, size = record(path)
    assert size > length
    content = bytearray((tmp_path / "x.ckpt").read_bytes())
    damage = bytes(byte ^ 1 for byte in content[offset : offset + 1]) if length == 1 else bytes(length)
    content[offset : offset + length] = damage
    (tmp_path / "x.ckpt").write_bytes(content)
    assert name in refused(lambda: explainer.load(path, "cpu"), "x.ckpt")


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_torn_checkpoint_is_named(tmp_path, share):
    path = save_classifier(tmp_path / "x.ckpt")
    content = (tmp_path / "x.ckpt").read_bytes()
    (tmp_path / "x.ckpt").write_bytes(content[: int(len(content) * share)])
    refused(lambda: Explanandum(path), "x.ckpt")


def test_files_without_checksums_still_load(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = save_classifier(tmp_path / "x.ckpt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert Explanandum(path).num_classes == 3


PREFIXES = ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.module.", "net._orig_mod."]
CONTAINERS = [(), ("state_dict",), ("model",), ("model", "state_dict"), ("state_dict", "model"),
              ("state_dict_ema",), ("model_ema", "module")]  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("containers", CONTAINERS)
def test_wrapped_state_dicts_load(tmp_path, prefix, containers):
    source, target = small_cnn(5, 4), small_cnn(3, 4)
    content = {f"{prefix}{name}": tensor for name, tensor in source.state_dict().items()}
    for key in reversed(containers):
        content = {key: content, "epoch": 3, "arch": "small"}
    torch.save(content, tmp_path / "w.pth")
    load_weights(target, str(tmp_path / "w.pth"))
    assert all(torch.equal(a, b) for a, b in zip(target.parameters(), source.parameters(), strict=True))


class Wrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = small_cnn(3, 4)

    def forward(self, x):
        return self.model(x)


def test_other_wrappings(tmp_path):
    source = small_cnn(3, 4)
    averaged = torch.optim.swa_utils.AveragedModel(source)
    torch.save(averaged.state_dict(), tmp_path / "averaged.pth")
    load_weights(small_cnn(3, 4), str(tmp_path / "averaged.pth"))
    part = {n.replace("stages.", "stages._orig_mod."): t for n, t in source.state_dict().items()}
    torch.save(part, tmp_path / "compiled.pth")
    load_weights(small_cnn(3, 4), str(tmp_path / "compiled.pth"))
    torch.save(Wrapper().state_dict(), tmp_path / "own.pth")
    load_weights(Wrapper(), str(tmp_path / "own.pth"))  # its own names begin with "model."
    both = {"state_dict": source.state_dict(), "state_dict_ema": small_cnn(3, 4).state_dict()}
    torch.save(both, tmp_path / "both.pth")
    assert torch.equal(read_state(str(tmp_path / "both.pth"))["classifier.bias"], source.classifier.bias)


@pytest.mark.parametrize("content", [
    {}, [], torch.ones(1), {"state_dict": {}}, {"model": []}, {"epoch": 3}, {"model": {"a": "x"}}, {1: torch.ones(1)},
])  # fmt: skip
def test_files_without_weights_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    refused(lambda: load_weights(small_cnn(3, 4), str(tmp_path / "w.pth")), "w.pth")


B, K = 2, 3
LOGITS = torch.rand(B, K)


class Named:
    logits = LOGITS


@pytest.mark.parametrize("output", [
    LOGITS, LOGITS[:, :, None, None], {"logits": LOGITS}, {"out": LOGITS, "aux": torch.rand(B, 9)}, {"pred": LOGITS},
    (LOGITS, torch.rand(B, 8)), [torch.rand(B, 8, 2, 2), LOGITS], (None, LOGITS), Named(),
])  # fmt: skip
def test_what_clearly_holds_logits_is_taken(output):
    assert torch.equal(logits_of(output, "mine"), LOGITS)
    assert torch.equal(logits_of(output, "mine", K), LOGITS)


@pytest.mark.parametrize("output", [
    torch.rand(B), torch.rand(B, K, 4, 4), torch.tensor(1.0), {}, {"features": LOGITS}, {"logits": None}, (), [None],
    None, "x", (torch.rand(B),), {"logits": torch.rand(B)},
])  # fmt: skip
def test_what_does_not_is_refused_with_the_networks_name(output):
    refused(lambda: logits_of(output, "mine"), "network 'mine' returned")


def test_features_before_the_logits_are_not_taken_for_them():
    assert torch.equal(logits_of((torch.rand(B, 8), LOGITS), "mine", K), LOGITS)
    refused(lambda: logits_of((torch.rand(B, 8),), "mine", K), "a tuple of a tensor (2, 8)")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_networks_in_half_precision(dtype):
    whole = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 4}, multilabel=True)
    image = torch.rand(2, 3, 32, 32)
    wanted = whole(image)
    whole.network.to(dtype)
    got = whole(image)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted, atol=0.05, rtol=0.05)
    whole.describe_classes(("a", "b"), True, new_head=True)
    assert whole.network.classifier.weight.dtype == dtype
    assert whole(image).shape == (2, 2)
    assert len(whole.taps) > 1
    cam = GradCAM()(whole, image, torch.tensor([0, 1]))
    assert cam.dtype == torch.float32
    assert cam.isfinite().all()


MODULES = {
    "broken_syntax": "def net(:\n",
    "raises_on_import": "raise KeyError('no such\\nthing')\n",
    "raises": "def net(width=1):\n    raise RuntimeError('first line\\nsecond line')\n",
    "opens": "def net(width=1):\n    open('/no/such/file')\n",
    "looks_up": "def net(width=1):\n    return {}['width']\n",
}


@pytest.mark.parametrize("name", MODULES)
def test_what_a_persons_own_module_raises_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{name}_x.py").write_text(MODULES[name])
    refused(lambda: Explanandum(f"{name}_x.net"), f"{name}_x.net")


SMALL = "explainer.networks.small.small_cnn"


@pytest.mark.parametrize(("options", "words"), [
    ({"network": SMALL, "network_args": {"width": 0}}, "width"),
    ({"network": SMALL, "network_args": {"width": 2.5}}, "width"),
    ({"network": SMALL, "network_args": {"width": -1}}, "width"),
    ({"network": SMALL, "num_classes": 0}, "num_classes"),
    ({"network": SMALL, "num_classes": -3}, "num_classes"),
    ({"network": SMALL, "mean": (0.5, 0.5)}, "mean"),
    ({"network": SMALL, "mean": ("a", "b", "c")}, "mean"),
    ({"network": SMALL, "std": (1.0, 1.0, 0.0)}, "std"),
    ({"network": SMALL, "taps": [1]}, "taps"),
    ({"network": SMALL, "taps": "stages.0"}, "taps"),
    ({"network": "timm/resnet10t", "network_args": {"block": "x"}}, "block"),
    ({"network": "timm/no_such"}, "timm/no_such"),
    ({"network": "timm/resnet18.no_such_tag"}, "no_such_tag"),
])  # fmt: skip
def test_values_are_refused_where_a_person_says_them(options, words):
    refused(lambda: Explanandum(**options), words)


@pytest.mark.parametrize("options", [
    {"encoder": "tu-nope"}, {"encoder": "nope"}, {"arguments": {"decoder_channels": -1}},
    {"arguments": {"decoder_channels": "nope"}}, {"arguments": {"encoder_depth": -1}}, {"architecture": "nope"},
    {"arguments": {"kwargs": {}}}, {"arguments": {"classes": 3}}, {"architecture": "create_model"},
])  # fmt: skip
def test_a_masker_is_refused_when_it_is_named(options):
    refused(lambda: Masker(**options), "masker")


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet10t", "mit_b0"])
def test_looking_at_a_masker_draws_no_numbers(encoder):
    architecture = "Unet" if encoder == "mit_b0" else "DeepLabV3"
    state = torch.get_rng_state()
    masker = Masker(encoder, architecture=architecture)
    assert torch.equal(torch.get_rng_state(), state)
    masker.build(2)
    assert not any(p.is_meta for p in masker.parameters())


def test_weights_do_not_go_into_a_checkpoint(tmp_path):
    path = save_classifier(tmp_path / "x.ckpt")
    refused(lambda: Explanandum(path, weights="DEFAULT"), "x.ckpt")

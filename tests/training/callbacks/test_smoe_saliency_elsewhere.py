"""Saliency during the training of somebody else's module, in which it changes nothing either."""

import gc
import os
import pickle
import re
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
import wandb
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from torch import nn
from torch.nn import functional as F
from torchvision.models import vit_b_16

from explainer.errors import InputError
from explainer.training.callbacks import SMOESaliency
from explainer.training.callbacks import smoe_saliency as smoe
from explainer.training.callbacks.subject import AnySubject, Wanted
from tests.support.strangers import backbone, fit, lit_classifier, loader, same
from tests.support.tiny_runs import ROOT


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    wandb.finish()  # else the next run would go on with this one


def watched(**options):
    return SMOESaliency(1, network="backbone", **options)


def loggers(name, folder):
    """Loggers by name; several at once too."""
    kinds = {
        "none": lambda: False,
        "csv": lambda: CSVLogger(folder),
        "tensorboard": lambda: TensorBoardLogger(folder),
        "wandb": lambda: WandbLogger(save_dir=folder, mode="offline"),
    }
    if name == "all":
        return [kinds[kind]() for kind in ("wandb", "csv", "tensorboard")]
    return kinds[name]()


@pytest.mark.parametrize("name", ["none", "csv", "tensorboard", "wandb", "all"])
def test_a_training_with_it_ends_in_the_same_weights_to_the_bit(tmp_path, name):
    if name in ("tensorboard", "all"):
        pytest.importorskip("tensorboard")
    modules = [lit_classifier(), lit_classifier()]
    options = {"val": loader(), "max_steps": 6, "limit_val_batches": 1}
    fit(modules[0], [], tmp_path / "without", **options)
    folder = tmp_path / "with"
    folder.mkdir()
    callbacks = [watched(images=lambda batch: batch[0])]
    shown = fit(modules[1], callbacks, folder, logger=loggers(name, folder), **options)
    assert same(*modules)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules[1].modules())
    # PNGs lie where the logger's own files lie
    run = {"csv": "lightning_logs/version_0/", "tensorboard": "lightning_logs/version_0/"}.get(name, "")
    if name == "all":
        run = "lightning_logs/version_0/"
    assert [file for file in shown if "/saliency/" in f"/{file}"] == [
        f"{run}saliency/step_{n:07d}.png" for n in range(1, 7)
    ]
    assert sum("saliency_over_time" in file for file in shown) == 1
    if name in ("wandb", "all"):
        assert len(list(folder.rglob("media/images/saliency_*.png"))) >= 6


def test_batches_of_any_form_are_served(tmp_path, drawn):
    def collate(samples):
        images, labels = zip(*samples, strict=True)
        return {"y": torch.stack(labels), "inner": {"x": torch.stack(images)}}

    module = lit_classifier(images=lambda batch: batch["inner"]["x"], labels=lambda batch: batch["y"])
    batches = loader(collate)
    fit(module, [watched(count=3)], tmp_path, train=batches, max_steps=1)
    images = next(iter(batches))["inner"]["x"]
    assert drawn[0].image.shape == (3, 3, 16, 16)
    assert drawn[0].image.min() == 0  # values outside [0, 1] are scaled
    assert drawn[0].labels == drawn[0].guesses == ["", "", ""]
    mean, std = [0.5, 0.5, 0.5], [0.1, 0.1, 0.1]
    fit(module, [SMOESaliency(1, 2, network="backbone", mean=mean, std=std)], tmp_path, train=batches, max_steps=1)
    torch.testing.assert_close(drawn[1].image, (images[:2] * 0.1 + 0.5).clamp(0, 1))


def test_maps_are_those_of_the_training_steps_own_pass(tmp_path, drawn):
    module = lit_classifier()
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            hook = pl_module.backbone.register_forward_hook(
                lambda m, i, output: seen.append(output.detach()) or hook.remove()
            )

    fit(module, [watched(count=4, statistic="mean"), Watch()], tmp_path, max_steps=1)
    torch.testing.assert_close(drawn[0].scales[-1], seen[0].mean(1, keepdim=True))


class AutoEncoder(pl.LightningModule):
    """The first example of the Lightning documents, convolutional; its forward only encodes."""

    def __init__(self):
        super().__init__()
        self.encoder = backbone(1)
        self.decoder = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 3, padding=1))

    def training_step(self, batch, batch_idx):
        x, _ = batch
        return F.mse_loss(self.decoder(self.encoder(x)), x)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def test_the_documents_autoencoder_of_grey_images(tmp_path, drawn):
    torch.manual_seed(0)
    shown = fit(AutoEncoder(), [SMOESaliency(1, network="encoder")], tmp_path, train=loader(channels=1), max_steps=2)
    assert shown == ["saliency/step_0000001.png", "saliency/step_0000002.png"]
    assert torch.equal(drawn[0].image[:, 0], drawn[0].image[:, 2])


def test_the_module_itself_is_watched_where_no_part_is_named(tmp_path, drawn):
    class Whole(type(lit_classifier())):
        def forward(self, x):
            return self.head(self.backbone(x))

    assert len(fit(Whole(), [SMOESaliency(1)], tmp_path, max_steps=1)) == 1
    assert [tuple(scale.shape[-2:]) for scale in drawn[0].scales] == [(16, 16), (8, 8)]


@pytest.mark.parametrize("network", [None, "head"])
def test_a_network_without_scales_is_one_line_and_trained(tmp_path, network):
    module = lit_classifier()
    with pytest.warns(UserWarning, match="saliency is not shown: ") as caught:
        assert fit(module, [SMOESaliency(1, network=network)], tmp_path, val=loader(), limit_val_batches=1) == []
    assert sum("saliency is not shown" in str(warning.message) for warning in caught) == 1


def test_what_cannot_be_meant_is_refused_before_the_first_step(tmp_path):
    for options, words in (
        ({"network": "bakbone"}, r"saliency\.network: LitClassifier has no part 'bakbone'; there are backbone"),
        ({"network": "backbone", "taps": ["77"]}, r"saliency\.taps: Sequential has no part '77'; there are 7"),
        ({"network": "backbone", "weights": [1.0]}, r"saliency\.weights: weights \[1\.0\] are for 1 scales, the network has 2"),
        ({"network": "backbone", "images": lambda batch: batch[1]}, r"must return images \(B, C, H, W\), got a Tensor \(4,\)"),
        ({"network": "backbone", "images": lambda batch: batch["x"]}, r"the function fails \(TypeError: "),
    ):  # fmt: skip
        module = lit_classifier()
        with pytest.raises(InputError, match=words):
            fit(module, [SMOESaliency(1, **options)], tmp_path)
        assert same(module, lit_classifier())
    for options, words in (
        ({"mean": [0.5]}, "given together"),
        ({"mean": [0.5], "std": [0.0]}, r"saliency\.std must be above 0"),
        ({"images": "batch[0]"}, r"saliency\.images must be a function"),
        ({"count": -1}, r"saliency\.count"),
    ):
        with pytest.raises(InputError, match=words):
            SMOESaliency(**options)


def test_named_taps_are_obeyed_one_alone_too(tmp_path, drawn):
    shown = fit(lit_classifier(), [watched(taps=["2"])], tmp_path, max_steps=1)
    assert len(shown) == 1
    assert [tuple(scale.shape) for scale in drawn[0].scales] == [(4, 1, 16, 16)]


class Dropping(nn.Module):
    """Tokens of four pixels' patches, of which training drops some, as `patch_drop_rate` of timm does."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.block = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8))

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        if self.training:
            tokens = tokens[:, : self.kept]
        return self.block(tokens).mean(1)


class Wrapping(nn.Sequential):
    """Gives no tensor in training, but an object that knows it."""

    def forward(self, x):
        output = super().forward(x)
        return SimpleNamespace(logits=output) if self.training else output


class Skipping(nn.Module):
    """A block that training skips, as stochastic depth does."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())

    def forward(self, x):
        x = self.first(x)
        return x if self.training else self.second(x)


def trained_on(network, head):
    """A module that trains a network; `head` makes logits (B, 2) of what it gives."""

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network
            self.last = nn.LazyLinear(2)

        def training_step(self, batch, batch_idx):
            return F.cross_entropy(self.last(head(self.network(batch[0]))), batch[1])

        def configure_optimizers(self):
            self.last(head(self.network(torch.zeros(2, 3, 16, 16))))
            return torch.optim.SGD(self.parameters(), lr=1e-2)

    return Module()


def pooled(maps):
    return maps.mean((2, 3))


@pytest.mark.parametrize(("network", "head", "taps", "words"), [
    (lambda: Dropping(11), lambda x: x, ["block"], "11 tokens fit no grid"),
    (lambda: Dropping(12), lambda x: x, ["block"], r"places in training, \(4, 4\) in evaluation"),
    (lambda: Dropping(9), lambda x: x, ["block"], r"tap 'block' has \(3, 3\) places in training, \(4, 4\) in evaluation"),
    (lambda: Wrapping(*backbone()), lambda output: pooled(getattr(output, "logits", output)), ["7"], None),
    (Skipping, pooled, ["first", "second"], None),
])  # fmt: skip
def test_a_network_that_is_another_one_in_training_is_trained_and_looked_at_once_more(
    tmp_path, drawn, network, head, taps, words
):
    modules = []
    for callbacks in ([], [SMOESaliency(1, network="network", taps=taps)]):
        torch.manual_seed(0)
        module = trained_on(network(), head)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            shown = fit(module, callbacks, tmp_path, max_steps=3)
        modules.append(module)
    assert same(*modules)
    assert len(shown) == len(drawn) == 3
    lines = [str(warning.message) for warning in caught if "extra pass" in str(warning.message)]
    assert len(lines) == (words is not None)
    assert all(re.search(words, line) for line in lines)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize(("labels", "captions"), [
    (torch.tensor([3, 0, 1, 1]), ["label 3", "label 0", "label 1", "label 1"]),
    (torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]]), ["labels 0, 2", "label 1", "no label", "labels 0, 1, 2"]),
    (torch.tensor([[0.3, 0.7]] * 4), [""] * 4),  # mixed
    (torch.tensor([0.5, 1.5, 2.5, 3.5]), [""] * 4),  # something to be regressed
    (torch.tensor([3, 0, 1]), [""] * 4),
    ("words", [""] * 4),
])  # fmt: skip
def test_labels_of_a_batch_are_shown_where_they_can_be_nothing_else(labels, captions):
    subject = AnySubject(lit_classifier(), Wanted())
    assert subject.labels((torch.rand(4, 3, 8, 8), labels), 4) == captions
    assert subject.labels([torch.rand(4, 3, 8, 8), labels], 2) == captions[:2]
    assert subject.labels((torch.rand(4, 3, 8, 8),), 2) == ["", ""]


def test_labels_stand_in_the_pictures(tmp_path, drawn):
    fit(lit_classifier(), [watched(count=3)], tmp_path, max_steps=1)
    assert drawn[0].labels == ["label 0", "label 1", "label 0"]


class Transformer(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = vit_b_16(image_size=32, num_classes=2)
        self.net.encoder.layers = self.net.encoder.layers[:2]

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


@pytest.mark.parametrize(
    ("taps", "shapes"),
    [
        (["conv_proj", "encoder.layers.encoder_layer_1"], [(2, 2), (2, 2)]),
        (["heads"], None),
    ],
)
def test_named_taps_of_a_transformer_are_maps_or_one_line(tmp_path, drawn, taps, shapes):
    options = {"train": loader(size=(32, 32)), "max_steps": 1}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(Transformer(), [SMOESaliency(1, network="net", taps=taps)], tmp_path, **options)
    lines = [str(warning.message) for warning in caught if "saliency is not shown" in str(warning.message)]
    if shapes is None:
        assert len(lines) == 1
        assert "'heads'" in lines[0]
    else:
        assert lines == []
        assert [tuple(scale.shape[-2:]) for scale in drawn[0].scales] == shapes


def test_a_module_that_normalises_inside_is_looked_at_through_its_normalisation(tmp_path, monkeypatch):
    class Inside(type(lit_classifier())):
        def validation_step(self, batch, batch_idx):
            self.head(self.backbone(batch[0] * 100))

    fed = []
    real = smoe.look
    monkeypatch.setattr(
        smoe, "look", lambda network, layers, image, before: fed.append(image) or real(network, layers, image, before)
    )
    fit(Inside(), [watched()], tmp_path, val=loader(), limit_val_batches=2, max_steps=4)
    assert torch.equal(fed[-1], next(iter(loader()))[0][:1] * 100)


def test_oblong_images_and_half_precision(tmp_path, drawn):
    options = {"train": loader(size=(16, 32)), "max_steps": 1}
    assert len(fit(lit_classifier(), [watched()], tmp_path, precision="bf16-mixed", **options)) == 1
    assert drawn[0].combined.shape == (4, 1, 16, 32)
    half = {"precision": "bf16-true", "val": loader(), "limit_val_batches": 1}
    assert len(fit(lit_classifier(), [watched()], tmp_path / "half", **half)) == 6  # four steps, a look and a strip


def test_a_compiled_part_is_looked_at_once_more(tmp_path):
    modules = []
    for callbacks in ([], [watched()]):
        module = lit_classifier()
        module.backbone = torch.compile(module.backbone, backend="eager")
        shown = fit(module, callbacks, tmp_path)
        modules.append(module)
    assert len(shown) == 4
    assert same(*modules)


def test_another_callback_that_skips_the_rest_of_an_epoch_leaves_no_hook(tmp_path):
    class Skip(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            return -1

    module = lit_classifier()
    fit(module, [watched(), Skip()], tmp_path, max_epochs=2, max_steps=-1)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_memory_stays_flat(tmp_path):
    counts = []

    class Count(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx in (5, 15):
                gc.collect()
                counts.append(sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()))

    callback = watched()
    pickle.dumps(callback)  # as strategies that start processes do
    options = {"train": loader(count=64), "val": loader(), "limit_val_batches": 1, "val_check_interval": 4}
    fit(lit_classifier(), [callback, Count()], tmp_path, max_steps=16, **options)
    assert len(counts) == 2
    assert counts[1] <= counts[0]
    assert callback._subject is None  # neither the module nor an image is held afterwards
    assert callback._watch is None


def test_the_strip_shows_this_training_alone_unless_it_goes_on(tmp_path):
    options = {"val": loader(), "limit_val_batches": 1, "max_steps": 4, "limit_train_batches": 2}
    strip = tmp_path / "saliency_over_time/step_0000004.png"
    fit(lit_classifier(), [watched()], tmp_path, **options)
    width = Image.open(strip).width
    (tmp_path / "saliency_of_one_image/step_0000002.png").rename(tmp_path / "saliency_of_one_image/step_0000003.png")
    fit(lit_classifier(), [watched()], tmp_path, **options)
    assert Image.open(strip).width == width  # what an earlier training left is left out


SCRIPT = """
import os
import sys
from pathlib import Path
import pytorch_lightning as pl
from explainer.training.callbacks import SMOESaliency
from tests.support.strangers import fit, lit_classifier, loader, same

folder = Path(sys.argv[1])
modules = []
for name in ("shown", "plain"):
    os.environ.pop("MASTER_PORT", None)
    modules.append(lit_classifier())
    callbacks = [SMOESaliency(1, network="backbone", images=lambda batch: batch[0])] if name == "shown" else []
    logger = pl.loggers.CSVLogger(folder / name)
    fit(modules[-1], callbacks, folder / name, val=loader(), max_steps=4, limit_val_batches=1, logger=logger,
        strategy="ddp_fork", devices=2)
assert modules[0].backbone[1].num_batches_tracked == 4
assert same(*modules)
"""


@pytest.mark.slow
def test_under_ddp_the_first_process_alone_draws_and_none_waits(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=500, env=environment)
    assert len(list((tmp_path / "shown").rglob("saliency/step_*.png"))) == 4
    assert len(list((tmp_path / "shown").rglob("saliency_over_time/step_*.png"))) == 2
    assert not list((tmp_path / "plain").rglob("*.png"))


def test_the_lines_of_the_guide_run(tmp_path):
    text = (ROOT / "docs/guide/watching.md").read_text()
    section = text.partition("## In your own LightningModule")[2]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert block.count("\n") <= 6
    torch.manual_seed(0)
    names = {"module": lit_classifier(), "train_loader": loader(), "val_loader": loader()}
    exec(block, names)
    assert list(tmp_path.rglob("saliency/step_*.png"))

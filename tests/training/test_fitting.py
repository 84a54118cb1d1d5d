"""An Explainer of any classifier in one call: what it learns from, what it leaves alone, where it goes on."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import explainer
from explainer.cli.serving.answer import answer_of
from explainer.data import Folder, Shapes
from explainer.errors import InputError
from explainer.inference.saving import class_file_names, save
from explainer.networks import Explanandum
from explainer.rendering import to_pil
from explainer.stopping import Stopped
from explainer.training import fitting
from explainer.training.callbacks.resume import Resume
from tests.support.small_networks import tiny
from tests.support.trees import folder_tree, photo

QUICK = {"epochs": 1, "batch_size": 4, "num_workers": 0, "progress": False, "image_size": 32, "device": "cpu",
         "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # fmt: skip


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path):
    """Ten photographs without labels, some of them in a folder of their own."""
    for number in range(10):
        photo(tmp_path / "photos" / ("holiday" if number % 2 else ".") / f"{number}.png", number)
    return tmp_path / "photos"


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_live_network_gets_an_explainer_and_stays_as_it_was(photos):
    network = tiny(3).train()
    before = weights(network)
    made = explainer.fit(network, photos, "checkpoints/mine.ckpt", **QUICK)
    assert same(before, weights(network))
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert made.classes == ("0", "1", "2")
    assert made.image_size == 32
    loaded = explainer.load("checkpoints/mine.ckpt", "cpu", model=network)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(made.masks(images), loaded.masks(images))
    torch.testing.assert_close(made.probabilities(images), network.eval()((images - 0.5) / 0.5).softmax(1))


def test_the_checkpoint_holds_the_classifiers_weights(photos):
    network = tiny(3).eval()
    made = explainer.fit(network, photos, **QUICK)
    images = torch.rand(2, 3, 32, 32)
    want = made.probabilities(images)
    other = tiny(3).eval()
    before = weights(other)
    loaded = explainer.load("checkpoints/fitted.ckpt", "cpu", model=other)
    assert torch.equal(loaded.probabilities(images), want)
    assert same(before, weights(other))


def test_a_network_by_name_needs_nothing_but_the_checkpoint(photos):
    named = Explanandum("squeezenet1_1", num_classes=3)
    options = {key: value for key, value in QUICK.items() if key not in ("mean", "std")} | {"image_size": 64}
    made = explainer.fit(named, photos, classes=["a", "b", "c"], **options)
    assert made.classes == ("a", "b", "c")
    assert explainer.load("checkpoints/fitted.ckpt", "cpu").classes == ("a", "b", "c")


def spied(monkeypatch):
    seen = []
    begin = fitting.AmortizedExplainer.__init__

    def note(self, *args, **kwargs):
        seen.append(kwargs["targets"])
        begin(self, *args, **kwargs)

    monkeypatch.setattr(fitting.AmortizedExplainer, "__init__", note)
    return seen


@pytest.mark.parametrize(("splits", "names", "want"), [
    ((), ["cat", "dog", "cow"], "labels"),
    (("train", "val"), ["cat", "dog", "cow"], "labels"),
    ((), ["a", "b", "c"], "predicted"),
])  # fmt: skip
def test_folders_with_the_names_of_classes_are_labels(tmp_path, monkeypatch, splits, names, want):
    folder_tree(tmp_path / "tree", ("cat", "dog"), 5, splits)
    targets = spied(monkeypatch)
    explainer.fit(tiny(3), tmp_path / "tree", classes=names, **QUICK)
    assert targets == [want]


def test_masks_learn_what_the_classifier_uses(tmp_path):
    """A network that knows nothing but how red a place is: its masks keep red places more than others."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.AdaptiveAvgPool2d(1),
                            nn.Flatten(), nn.Linear(8, 2))  # fmt: skip
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.zero_()
        network[0].weight[0, 0, 1, 1] = 1
        network[0].weight[0, 1, 1, 1] = -1
        network[5].weight.copy_(torch.tensor([[40.0] + [0.0] * 7, [0.0] * 8]))
        network[5].bias.copy_(torch.tensor([0.0, 2.0]))
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(0, 24, (40, 2), generator=generator).tolist()
    from torchvision.utils import save_image

    images = torch.full((40, 3, 32, 32), 0.5)
    for image, (y, x) in zip(images, places, strict=True):
        image[:, y : y + 8, x : x + 8] = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    (tmp_path / "reds").mkdir()
    for number, image in enumerate(images):
        save_image(image, tmp_path / "reds" / f"{number}.png")
    options = QUICK | {"epochs": 8, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "learning_rate": 1e-2}
    made = explainer.fit(network, tmp_path / "reds", classes=["red", "none"], **options)
    masks = made.masks(images, ["red"])[:, 0]
    red = images[:, 0] > 0.9
    assert masks[red].mean() > masks[~red].mean() + 0.3


def test_the_same_call_goes_on_after_a_stop(photos, monkeypatch):
    network = tiny(3)
    options = QUICK | {"epochs": 2}
    whole = explainer.fit(copy.deepcopy(network), photos, "whole.ckpt", **options)

    def stop(self, trainer, *args):
        if trainer.current_epoch == 1:
            raise Stopped("")

    monkeypatch.setattr(Resume, "on_train_epoch_start", stop, raising=False)
    with pytest.raises(Stopped, match="same call goes on"):
        explainer.fit(copy.deepcopy(network), photos, "parts.ckpt", **options)
    monkeypatch.delattr(Resume, "on_train_epoch_start")
    parts = explainer.fit(copy.deepcopy(network), photos, "parts.ckpt", **options)
    assert same(weights(whole.masker), weights(parts.masker))


def test_another_classifier_begins_anew(photos, capfd):
    explainer.fit(tiny(3), photos, **QUICK)
    explainer.fit(tiny(3), photos, **QUICK)
    assert len(list((photos.parent / "runs").glob("fitted.*"))) == 1  # the earlier run is kept beside it


def test_a_datamodule_says_its_classes_and_whether_there_may_be_several():
    data = Shapes(train_images=8, val_images=4, image_size=32, batch_size=4, num_workers=0)
    network = Explanandum(tiny(6), mean=(0.5,) * 3, std=(0.5,) * 3)
    quick = {key: QUICK[key] for key in ("epochs", "progress", "device")}
    made = explainer.fit(network, data, **quick)
    assert made.classes == data.classes
    assert made.explanandum.multilabel is data.multilabel is True
    assert network.classes == ()  # what was given stays as it was
    assert network.multilabel is None


def test_a_classifier_that_says_otherwise_is_not_overruled(photos):
    network = Explanandum(tiny(3), multilabel=True, mean=(0.5,) * 3, std=(0.5,) * 3)
    options = {key: value for key, value in QUICK.items() if key not in ("mean", "std")}
    with pytest.raises(InputError, match="multilabel is False, and the classifier says True"):
        explainer.fit(network, photos, multilabel=False, **options)


@pytest.mark.parametrize(("change", "words"), [
    ({"classes": ["a", "b"]}, "3 classes, and 2 names"),
    ({"epochs": 0}, "epochs"),
    ({"epoch": 3}, "fit takes no 'epoch'; it takes epochs"),
    ({"device": "tpu9"}, "tpu9"),
])  # fmt: skip
def test_wrong_options_are_named(photos, change, words):
    with pytest.raises(InputError, match=words):
        explainer.fit(tiny(3), photos, **QUICK | change)


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        explainer.fit(tiny(3), tmp_path / "nowhere", **QUICK)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images in"):
        explainer.fit(tiny(3), tmp_path / "empty", **QUICK)


def test_images_without_labels_need_the_names_of_the_classes(tmp_path):
    photo(tmp_path / "a.png", 0)
    with pytest.raises(InputError, match="class_names"):
        Folder(root=str(tmp_path), labelled=False)
    with pytest.raises(InputError, match="csv"):
        Folder(root=str(tmp_path), labelled=False, class_names=["a"], csv="x.csv")


def test_a_checkpoint_for_another_network_is_refused(photos):
    explainer.fit(tiny(3), photos, **QUICK)
    with pytest.raises(InputError):
        explainer.load("checkpoints/fitted.ckpt", "cpu", model=tiny(4))
    with pytest.raises(InputError, match="model"):
        explainer.load("checkpoints/fitted.ckpt", "cpu")


# Data that does not fit, or is damaged


def test_a_slip_in_one_folders_name_is_said(tmp_path, monkeypatch, caplog):
    folder_tree(tmp_path / "tree", ("cat", "dgo"), 5)
    targets = spied(monkeypatch)
    caplog.set_level("INFO")
    explainer.fit(tiny(3), tmp_path / "tree", classes=["cat", "dog", "cow"], **QUICK)
    assert targets == ["predicted"]
    assert "folder 'dgo' is no class of the classifier, so that its predictions are explained" in caplog.text


def test_a_class_that_only_a_later_split_has_is_one_line(tmp_path):
    folder_tree(tmp_path / "tree", ("cat", "dog"), 5, ("train",))
    folder_tree(tmp_path / "tree", ("cat", "bird"), 5, ("val",))
    with pytest.raises(InputError, match=r"class 'bird' of images in .* is not among class_names") as refused:
        explainer.fit(tiny(3), tmp_path / "tree", classes=["cat", "dog", "cow"], **QUICK)
    assert "\n" not in str(refused.value)
    assert not Path("runs").exists()


def test_classes_in_another_order_than_the_classifiers_are_one_line(tmp_path):
    folder_tree(tmp_path / "tree", ("cat", "dog"), 5)
    network = Explanandum(tiny(2), mean=(0.5,) * 3, std=(0.5,) * 3)
    network.classes = ("dog", "cat")
    data = Folder(root=str(tmp_path / "tree"), image_size=32, batch_size=4, num_workers=0)
    with pytest.raises(InputError, match="class 0 is 'dog' for the classifier and 'cat' in the data set"):
        explainer.fit(network, data, epochs=1, progress=False, device="cpu")
    more = Folder(root=str(tmp_path / "tree"), image_size=32, class_names=["cat", "dog", "cow"], num_workers=0)
    with pytest.raises(InputError, match="the classifier has 2 classes, and 3 names are given"):
        explainer.fit(network, more, epochs=1, progress=False, device="cpu")
    assert not Path("runs").exists()


def test_a_folder_of_one_class_is_learned_from(tmp_path, monkeypatch):
    folder_tree(tmp_path / "tree", ("cat",), 10)
    targets = spied(monkeypatch)
    made = explainer.fit(tiny(3), tmp_path / "tree", classes=["cat", "dog", "cow"], **QUICK)
    assert targets == ["labels"]
    assert made.masks(torch.rand(1, 3, 32, 32)).isfinite().all()
    alone = explainer.fit(tiny(1), tmp_path / "tree", "alone.ckpt", classes=["cat"], **QUICK)
    assert alone.explanandum.multilabel is True
    assert alone.masks(torch.rand(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def test_a_corrupt_photograph_is_said_and_passed_over(tmp_path):
    tree = folder_tree(tmp_path / "tree", ("cat", "dog"), 5, ("train", "val"))
    whole = (tree / "train" / "cat" / "0.png").read_bytes()
    for split in ("train", "val"):
        (tree / split / "cat" / "torn.png").write_bytes(whole[: len(whole) // 2])
        (tree / split / "dog" / "text.jpg").write_text("no picture")
    with pytest.warns(UserWarning, match="skipping unreadable image") as said:
        explainer.fit(tiny(3), tree, classes=["cat", "dog", "cow"], **QUICK)
    lines = {str(warning.message) for warning in said if "skipping" in str(warning.message)}
    assert all("\n" not in line for line in lines)
    assert {re.search("image ([^:]*):", line)[1] for line in lines} == {
        f"{split}/{name}" for split in ("train", "val") for name in ("cat/torn.png", "dog/text.jpg")
    }
    assert Path("checkpoints/fitted.ckpt").is_file()


def test_nothing_but_corrupt_photographs_is_one_line(tmp_path):
    (tmp_path / "torn").mkdir()
    for number in range(10):
        (tmp_path / "torn" / f"{number}.jpg").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"images can be read; the first: cannot read image .*jpg: it is no picture"):
        explainer.fit(tiny(3), tmp_path / "torn", **QUICK)
    assert not Path("runs").exists()


def test_one_photograph_is_too_few(tmp_path):
    photo(tmp_path / "few" / "0.png", 0)
    with pytest.raises(InputError, match=r"the (train|val) split of Folder in .* has no images") as refused:
        explainer.fit(tiny(3), tmp_path / "few", **QUICK)
    assert "\n" not in str(refused.value)
    assert not Path("runs").exists()


# Channels other than red, green and blue


def network_of(channels):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("channels", [1, 4, 13])
def test_images_of_any_number_of_channels_are_learned_from_explained_and_drawn(tmp_path, channels):
    tifffile = pytest.importorskip("tifffile")
    random = np.random.default_rng(0)
    for number in range(6):
        place = tmp_path / "bands" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        values = random.integers(0, 2**16, (channels, 40, 50), dtype=np.uint16)
        tifffile.imwrite(place / f"{number}.tif", values.squeeze(), photometric="minisblack")
    options = QUICK | {"mean": [0.5] * channels, "std": [0.25] * channels}
    made = explainer.fit(network_of(channels), tmp_path / "bands", classes=["cat", "dog"], **options)
    assert list((tmp_path / "runs" / "fitted" / "gallery").glob("*.png"))
    explanation = made.explain(tmp_path / "bands" / "cat" / "0.tif")
    save(explanation, tmp_path / "explained", class_file_names(made.classes), made.explanandum.mean_colour.cpu())
    (label,) = (made.classes[index] for index in explanation.predicted)
    drawn = Image.open(tmp_path / "explained" / f"overlay_{label}.png")
    assert (drawn.mode, drawn.size) == ("RGB", (50, 40))
    assert Image.open(tmp_path / "explained" / "overview.png").mode == "RGB"
    answer = answer_of(explanation, to_pil(made.explanandum.mean_colour[0]), True)
    assert (answer["width"], answer["height"]) == (50, 40)


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_photographs_for_a_classifier_of_other_channels_are_one_line(photos, channels):
    options = QUICK | {"mean": [0.5] * channels, "std": [0.25] * channels}
    words = f"images can be read; the first: .*channels, and the classifier takes {channels}"
    with pytest.raises(InputError, match=words) as refused:
        explainer.fit(network_of(channels), photos, **options)
    assert "\n" not in str(refused.value)
    assert not Path("runs").exists()


def test_photographs_become_grey_for_a_classifier_of_one_channel(photos):
    made = explainer.fit(network_of(1), photos, **(QUICK | {"mean": [0.5], "std": [0.25]}))
    assert made.explain(next(photos.glob("*.png"))).pixels.shape[1] == 1


def test_a_data_module_of_other_channels_is_refused():
    data = Shapes(image_size=32, batch_size=4, num_workers=0, train_images=8, val_images=4)
    options = {"mean": [0.5], "std": [0.25], "progress": False, "device": "cpu"}
    with pytest.raises(InputError, match="Shapes gives images of 3 channels, and the classifier takes 1"):
        explainer.fit(nn.Sequential(*network_of(1)[:-1], nn.Linear(8, len(data.classes))), data, **options)
    assert not Path("runs").exists()

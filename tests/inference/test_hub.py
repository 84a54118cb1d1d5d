"""Explainers that are published: a folder of safetensors, a description and a model card; no network is needed."""

import json
import stat
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

import explainer
from explainer.cli.publishing import main
from explainer.errors import InputError
from explainer.inference import ModelCard, Score
from explainer.inference.model_card import card_from, read_scores
from explainer.networks import Explanandum
from explainer.networks.small import small_cnn
from tests.support.small_checkpoints import CLASSES, save_classifier, save_explainer

CARD = ModelCard(
    title="Pets",
    data="Two hundred photographs of pets.",
    scores=(Score("IoU (%)", 39.4, (37.3, 41.6), True, "Overlap."),),
    measured_on="Twenty other photographs.",
    license="mit",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_explainer(tmp_path_factory.mktemp("explainer") / "x.ckpt")


@pytest.fixture(scope="module")
def published(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "pets"
    explainer.load(checkpoint, "cpu").save_pretrained(folder, CARD)
    return folder


@pytest.fixture
def folder(published, tmp_path):
    """A copy of the published folder, to be spoilt."""
    copy = tmp_path / "pets"
    copy.mkdir()
    for file in published.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def change_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("load", [explainer.load, explainer.from_pretrained])
def test_a_published_explainer_is_the_same(checkpoint, published, load):
    one, two = explainer.load(checkpoint, "cpu"), load(published, "cpu")
    images = torch.rand(2, 3, 40, 50)
    assert torch.equal(one.masks(images), two.masks(images))
    assert torch.equal(one.probabilities(images), two.probabilities(images))
    assert (two.classes, two.image_size, two.explanandum.multilabel) == (CLASSES, 32, True)


def test_it_is_published_again_to_the_same_bytes(published, tmp_path):
    explainer.load(published, "cpu").save_pretrained(tmp_path, CARD)
    for file in published.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_its_classifier_can_be_explained_anew(checkpoint, published):
    images = torch.rand(1, 3, 32, 32)
    one, two = Explanandum(checkpoint), Explanandum(str(published / "model.safetensors"))
    assert two.classes == CLASSES
    assert torch.equal(one(images), two(images))


def test_the_files(published):
    assert {file.name for file in published.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    modes = {stat.S_IMODE(file.stat().st_mode) for file in published.iterdir()}
    assert len(modes) == 1, "the weights may be read by those who may read the description"
    description = json.loads((published / "config.json").read_text())["explainer"]
    assert (description["kind"], description["classes"]) == ("explainer", list(CLASSES))
    assert "/" not in (published / "config.json").read_text(), "no folder of this machine"


def test_weights_are_in_half_precision_where_nothing_is_lost(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    name = next(n for n, t in content["state_dict"].items() if t.ndim == 4 and n.endswith("weight"))
    content["state_dict"][name] = content["state_dict"][name].half()
    torch.save(content, tmp_path / "half.ckpt")
    explainer.load(tmp_path / "half.ckpt", "cpu").save_pretrained(tmp_path / "half")
    weights = load_file(tmp_path / "half" / "model.safetensors")
    assert weights[name].dtype == torch.float16
    assert torch.equal(weights[name], content["state_dict"][name])
    assert weights["masker.mean"].dtype == torch.float32


def test_the_card_says_what_its_author_says(published):
    card = (published / "README.md").read_text()
    assert card.startswith('---\nlicense: "mit"\n')
    for words in ("# Pets", CARD.data, CARD.measured_on, "cat, dog, cow", "32×32 pixels", "`mit`"):
        assert words in card
    assert "| IoU (%) ↑ | 39.40 | 37.3 to 41.6 | Overlap. |" in card
    assert 'from_pretrained("path/to/this/folder")' in card
    assert "no code but that of torchvision, timm and the library itself" in card


def test_the_card_makes_nothing_up(checkpoint, tmp_path):
    explainer.load(checkpoint, "cpu").save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "license:" not in card
    for words in ("does not say which images", "gives no measurements", "names no licence", "where an object ends"):
        assert words in card


def test_scores_of_an_evaluation(tmp_path):
    column = {"higher_is_better": True, "percent": True, "label": "IoU", "meaning": "Overlap.", "range": "[0, 1]"}
    method = {"images": 3, "scores": {"iou": 0.394, "sal": None}, "interval": {"iou": [0.37, 0.41]}, "area": 0.3}
    content = {"results": {"Explainer": method}, "columns": {"iou": column, "sal": column}, "facts": {}}
    (tmp_path / "results.json").write_text(json.dumps(content))
    (score,) = read_scores(tmp_path)
    assert (score.name, score.higher_is_better, score.meaning) == ("IoU (%)", True, "Overlap.")
    assert (score.value, *score.interval) == pytest.approx((39.4, 37, 41))
    with pytest.raises(InputError, match="no method 'RISE'; there are Explainer"):
        read_scores(tmp_path / "results.json", "RISE")
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(InputError, match="results"):
        read_scores(tmp_path)


def test_a_card_has_known_fields_only():
    with pytest.raises(InputError, match=r"card.yaml: a model card has no 'licence'; it has title, data, scores"):
        card_from({"licence": "mit"}, "card.yaml")
    with pytest.raises(InputError, match=r"card.yaml: scores.0.value"):
        card_from({"scores": [{"name": "IoU", "value": "high"}]}, "card.yaml")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "best.ckpt", "weights.pth"])
def test_pickles_in_a_folder_are_not_read(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    with pytest.raises(InputError, match=f"holds no model.safetensors, only {name}, which is never unpickled"):
        explainer.load(folder)


def test_a_pickle_beside_the_weights_is_left_alone(folder):
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    assert explainer.from_pretrained(folder, "cpu").classes == CLASSES


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(InputError, match="no folder that save_pretrained wrote"):
        explainer.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config.clear(), "is not a checkpoint that train.py of this project wrote"),
        (lambda config: config["explainer"].pop("classes"), "classes"),
        (lambda config: config["explainer"].update(kind="classifier"), "'explainer' is needed here"),
        (lambda config: config["explainer"].update(image_size=10**9), "image_size"),
        (lambda config: config["explainer"]["explanandum"].update(network="os.system"), "allow the package 'os'"),
        (lambda config: config["explainer"]["explanandum"].update(network="a/b.safetensors"), "names the network"),
        (lambda config: config["explainer"]["masker"].update(encoder="none"), "masker encoder 'none'"),
        (lambda config: config["explainer"]["classes"].append("bird"), "class count or architecture differ"),
    ],
)
def test_what_a_description_may_not_say(folder, change, words):
    change_config(folder, change)
    with pytest.raises(InputError, match=words) as error:
        explainer.from_pretrained(folder, "cpu")
    assert "\n" not in str(error.value)
    assert "pets" in str(error.value)


def test_weights_without_a_description_and_a_description_without_sense(folder):
    (folder / "config.json").write_text("[")
    with pytest.raises(InputError, match=r"config.json: invalid JSON"):
        explainer.load(folder)
    (folder / "config.json").write_bytes(b" " * (2**24 + 1))
    with pytest.raises(InputError, match="absurdly large"):
        explainer.load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"lacks the file config.json beside it"):
        explainer.load(folder)


def test_safetensors_that_are_none(folder):
    (folder / "model.safetensors").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    with pytest.raises(InputError, match="not a file of tensors"):
        explainer.load(folder)


def test_weights_of_another_network(folder):
    save_file({"explanandum.a": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"is of another network|networks cannot be built|far larger"):
        explainer.load(folder)


def test_a_classifier_is_no_explainer(tmp_path):
    with pytest.raises(InputError, match="kind 'classifier', but 'explainer' is needed"):
        explainer.from_pretrained(save_classifier(tmp_path / "c.ckpt"))


def foreign(tmp_path, monkeypatch, folder):
    """Publish an Explainer whose classifier is built by somebody's own code."""
    (tmp_path / "my_nets.py").write_text(
        "from explainer.networks.small import small_cnn\ndef net(width):\n    return small_cnn(width=width)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    change_config(folder, lambda config: config["explainer"]["explanandum"].update(network="my_nets.net"))


def test_a_classifier_of_foreign_code_is_built_when_it_is_allowed(folder, tmp_path, monkeypatch):
    foreign(tmp_path, monkeypatch, folder)
    with pytest.raises(InputError, match=r"builds its classifier by my_nets.net: if you trust it, allow the package"):
        explainer.from_pretrained(folder)
    model = explainer.from_pretrained(folder, "cpu", allow=["my_nets"])
    model.save_pretrained(tmp_path / "again")
    card = (tmp_path / "again" / "README.md").read_text()
    assert 'from_pretrained("path/to/this/folder", allow=["my_nets.net"])' in card
    assert "code of its author's own: read it first" in card


def test_an_explainer_of_a_live_network(folder, tmp_path):
    change_config(folder, lambda config: config["explainer"]["explanandum"].update(network="live/nets.Small"))
    with pytest.raises(InputError, match=r"explains a network of your own \(nets.Small\): give it"):
        explainer.from_pretrained(folder)
    network = small_cnn(width=4, num_classes=3)
    model = explainer.from_pretrained(folder, "cpu", model=network)
    model.save_pretrained(tmp_path / "again")
    assert 'from_pretrained("path/to/this/folder", model=network)' in (tmp_path / "again" / "README.md").read_text()
    images = torch.rand(1, 3, 32, 32)
    again = explainer.from_pretrained(tmp_path / "again", "cpu", model=network)
    assert torch.equal(again.masks(images), model.masks(images))


@pytest.mark.parametrize("name", ["no_such_folder", "a/b/c", "./none", "../x", "owner/", "a b/c", "https://x/y"])
def test_what_is_neither_a_folder_nor_a_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no folder here, and no name on the Hugging Face Hub"):
        explainer.from_pretrained(name)


def test_a_name_without_network(monkeypatch):
    def refuse(name, **options):
        raise LocalEntryNotFoundError("An error happened while trying to locate the files on the Hub\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=r"cannot fetch owner/pets .*; without network, give a folder") as error:
        explainer.from_pretrained("owner/pets")
    assert "\n" not in str(error.value)


def test_a_download_is_of_two_files_only(published, monkeypatch, tmp_path):
    calls = []

    def download(name, **options):
        calls.append((name, options))
        return str(published if options["revision"] is None else tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert explainer.from_pretrained("owner/pets", "cpu").classes == CLASSES
    options = {"revision": None, "allow_patterns": ["config.json", "model.safetensors"]}
    assert calls == [("owner/pets", options)]
    with pytest.raises(InputError, match=r"owner/pets holds no model.safetensors; weights of other kinds are not read"):
        explainer.from_pretrained("owner/pets", revision="old")


class FakeHub:
    """Keeps what is uploaded."""

    calls: list = []

    def __init__(self, token=None):
        self.token = token

    def create_repo(self, repo_id, *, private, exist_ok):
        self.calls.append((repo_id, private, exist_ok, self.token))

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        files = {file.name: file.read_bytes() for file in sorted(Path(folder_path).iterdir())}
        self.calls.append((repo_id, files))
        return f"https://example.org/{repo_id}"


def test_an_upload(checkpoint, published, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(FakeHub, "calls", [])
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    address = explainer.load(checkpoint, "cpu").push_to_hub("owner/pets", CARD, private=True, token="secret")
    assert address == "https://example.org/owner/pets"
    created, (name, files) = FakeHub.calls
    assert created == ("owner/pets", True, True, "secret")
    assert name == "owner/pets"
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    assert files["model.safetensors"] == (published / "model.safetensors").read_bytes()
    assert b'from_pretrained("owner/pets")' in files["README.md"]
    assert main([str(checkpoint), str(tmp_path / "out"), "--push", "owner/pets"]) == 0
    assert capsys.readouterr().out.endswith("https://example.org/owner/pets\n")
    assert FakeHub.calls[-1][1]["config.json"] == (published / "config.json").read_bytes()


def test_an_upload_that_is_refused(checkpoint, monkeypatch):
    def refuse(self, *arguments, **options):
        raise OSError("401: you are not logged in\nand more")

    monkeypatch.setattr(FakeHub, "create_repo", refuse)
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    model = explainer.load(checkpoint, "cpu")
    with pytest.raises(InputError, match=r"cannot upload to owner/pets .*not logged in$"):
        model.push_to_hub("owner/pets")
    with pytest.raises(InputError, match="no name on the Hugging Face Hub"):
        model.push_to_hub("pets")


def test_the_command(checkpoint, tmp_path, capsys):
    card = tmp_path / "card.yaml"
    card.write_text("title: Pets\ndata: Photographs of pets.\n")
    assert main([checkpoint, str(tmp_path / "out"), "--card", str(card)]) == 0
    assert "Photographs of pets." in (tmp_path / "out" / "README.md").read_text()
    for content, words in (("a: [", "is no YAML"), ("3", "must hold the fields"), ("data: 3", "data: input should be")):
        card.write_text(content)
        assert main([checkpoint, str(tmp_path / "out"), "--card", str(card)]) == 2
        assert words in capsys.readouterr().err
    card.write_text("checkpoint_sha256: abc")
    assert main([checkpoint, str(tmp_path / "out"), "--card", str(card)]) == 2
    assert "is about another checkpoint than" in capsys.readouterr().err
    assert main([checkpoint, str(tmp_path / "out"), "--push", "pets"]) == 2
    assert main([str(tmp_path / "none.ckpt"), str(tmp_path / "out")]) == 2
    assert "no file" in capsys.readouterr().err


def test_the_card_of_the_shipped_checkpoint_has_the_numbers_of_its_page():
    from explainer.cli.paths import SHIPPED
    from explainer.cli.publishing import read_card

    card = read_card(SHIPPED.with_suffix(".card.yaml"), SHIPPED)
    page = (SHIPPED.parent.parent / "docs" / "results" / "voc.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| Explainer | **74.54**"))
    row = row.replace("−", "-").replace("*", "")
    assert len(card.scores) == 7
    for score in card.scores:
        low, high = score.interval
        digits = 1 if abs(low) > 10 else 3
        assert f"[{low:.{digits}f}, {high:.{digits}f}]" in row, score
        assert f" {score.value:.{3 if digits == 3 else 2}f} [" in row, score

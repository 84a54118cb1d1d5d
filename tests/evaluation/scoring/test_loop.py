"""A method that fails on some images: the others stand, and what failed is named and tried again."""

import json

import pytest
import torch

from explainer.attribution import Attribution
from explainer.cli.evaluate import evaluate
from explainer.cli.terminal import run as run_command
from explainer.errors import InputError
from explainer.evaluation.report.files import write_results
from explainer.evaluation.results.summary import summarise
from explainer.evaluation.scoring.loop import ORIGINAL
from explainer.evaluation.scoring.threshold import search_alphas
from explainer.evaluation.storage.store import ROWS, Store
from tests.support.small_checkpoints import save_classifier
from tests.support.small_evaluation import METHODS, classifier, pictures, run, timeless
from tests.support.tiny_runs import classifier_config

FAILED = 'image 3, "3"'


class Picky(Attribution):
    """Fails on a batch that has a certain image, which is told by its first pixel."""

    def __init__(self, error=RuntimeError, unwanted=None):
        self.error = error
        self.unwanted = pictures()[1].image[1, 0, 0, 0] if unwanted is None else unwanted

    def maps(self, explanandum, image, target):
        if bool((image[:, 0, 0, 0] == self.unwanted).any()):
            raise self.error("cannot explain this\nsecond line")
        return image[:, :1]


class Fine(Picky):
    def maps(self, explanandum, image, target):
        return image[:, :1]


def of(rows, method, but=()):
    return [row for row in timeless(rows) if row["method"] == method and row["id"] not in but]


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, MemoryError, KeyError, InputError])
def test_the_rest_goes_on(tmp_path, error):
    batches = pictures()
    store = run(tmp_path / "a", batches, {"Picky": Picky(error), **METHODS})
    assert {m: list(images) for m, images in store.failed.items()} == {"Picky": [FAILED]}
    assert store.failed["Picky"][FAILED].startswith(f"{error.__name__}: ")
    assert "second line" not in store.failed["Picky"][FAILED] or error is KeyError
    lines = [json.loads(line) for line in (tmp_path / "a" / ROWS).read_text().splitlines()]
    assert [set(line) for line in lines if "error" in line] == [{"id", "method", "error"}]
    whole = run(tmp_path / "b", batches, {"Picky": Fine(), **METHODS})
    for method in METHODS:
        assert of(store.rows, method) == of(whole.rows, method)
    mine, wanted = of(store.rows, "Picky"), of(whole.rows, "Picky", [FAILED])
    assert [row["id"] for row in mine] == [row["id"] for row in wanted]
    assert [row["area"] for row in mine] == pytest.approx([row["area"] for row in wanted])
    content = write_results(store.rows, {}, tmp_path, failed=store.failed)
    assert content["failed"] == store.failed
    assert content["results"]["Picky"]["failed"] == 1
    assert content["results"]["Picky"]["images"] == 5


def test_a_resumed_run_tries_again(tmp_path):
    first = run(tmp_path, pictures(), {"Picky": Picky()})
    lines = (tmp_path / ROWS).read_bytes()
    assert run(tmp_path, pictures(), {"Picky": Picky()}).failed == first.failed
    assert (tmp_path / ROWS).read_bytes() == lines  # the same failure is noted once
    again = run(tmp_path, pictures(), {"Picky": Fine()})
    assert again.failed == {}
    assert Store(tmp_path, {"checkpoint": "abc", "images": 6}).failed == {}
    assert len(of(again.rows, "Picky")) == 6
    assert of(again.rows, "Picky", [FAILED]) == of(first.rows, "Picky")  # those that were there stay


def test_a_method_that_refuses_every_image_is_a_wrong_set_up(tmp_path):
    class Never(Attribution):
        def maps(self, explanandum, image, target):
            raise InputError("no layer 'x' to tap; " + 300 * "y")

    with pytest.raises(InputError, match=r"no layer 'x' to tap; y{300}"):
        run(tmp_path, pictures(), {"Never": Never()})
    assert "error" not in (tmp_path / ROWS).read_text()


def test_a_method_that_fails_on_every_image_has_an_empty_entry(tmp_path):
    class Never(Attribution):
        def maps(self, explanandum, image, target):
            raise RuntimeError

    store = run(tmp_path, pictures(), {"Never": Never(), **METHODS})
    assert len(store.failed["Never"]) == 5  # the image without a label needs no map
    entry = summarise(store.rows, failed=store.failed)["Never"]
    assert (entry["images"], entry["failed"]) == (1, 5)
    only = {name: dict.fromkeys(["a"], "RuntimeError: no message") for name in ("Other",)}
    entry = summarise(store.rows, failed=only)["Other"]
    assert (entry["images"], entry["failed"], entry["scores"]["acc"], entry["kept"]) == (0, 1, None, {})


def test_the_search_for_levels_goes_on_too(tmp_path):
    class Never(Attribution):
        def maps(self, explanandum, image, target):
            raise RuntimeError

    store = Store(tmp_path, {})
    methods = {"Picky": Picky(unwanted=pictures()[1].image[2, 0, 0, 0]), "Fine": Fine(), "Never": Never()}
    batches = [batch._replace(labels=torch.eye(3)[: len(batch.id)]) for batch in pictures()]
    found = search_alphas(classifier(), methods, batches, store, "cpu")
    assert found["Picky"]["images"] == found["Fine"]["images"] - 1
    assert found["Never"] == {"alpha": 1.0, "error": None, "images": 0}
    assert set(store.failed) == {"Picky", "Never"}


def test_ctrl_c_is_no_failure(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, pictures(), {"Picky": Picky(KeyboardInterrupt)})
    assert "error" not in (tmp_path / ROWS).read_text()


def test_what_the_classifier_itself_says_is_not_swallowed(tmp_path):
    batches = pictures()
    batches[0] = batches[0]._replace(image=batches[0].image[:, :2])
    with pytest.raises(InputError, match="the images have 2 channels"):
        run(tmp_path, batches)
    assert ORIGINAL not in (tmp_path / ROWS).read_text() if (tmp_path / ROWS).exists() else True


class Thirds(Attribution):
    """Fails on about half of all images."""

    calls = 0

    def maps(self, explanandum, image, target):
        if bool((image.mean((1, 2, 3)) > 0.5).any()):
            raise RuntimeError("too bright")
        return image[:, :1]


def test_the_command_says_what_failed_and_ends_with_status_1(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    shapes = ("stripes", "checks", "dots", "rings", "zigzags", "rays")
    save_classifier(tmp_path / "checkpoints" / "tiny_classifier.ckpt", shapes)
    methods = {
        "Thirds": {"class_path": "tests.evaluation.scoring.test_loop.Thirds"},
        "Box": {"class_path": "CentredBox"},
    }
    config = classifier_config(evaluation={"methods": methods, "limit": 6, "gallery": 6})
    arguments = ["--config", config]
    assert run_command(lambda: evaluate(arguments)) == 1
    content = json.loads((tmp_path / "results" / "tiny_classifier" / "results.json").read_text())
    failed = content["failed"]["Thirds"]
    assert 0 < len(failed) < 6
    assert set(failed.values()) == {"RuntimeError: too bright"}
    said = capsys.readouterr().out
    assert all(f"failed: Thirds on {image}: RuntimeError: too bright" in said for image in failed)
    table = (tmp_path / "results" / "tiny_classifier" / "table.md").read_text()
    assert f"images failed: {len(failed)} of Thirds" in table

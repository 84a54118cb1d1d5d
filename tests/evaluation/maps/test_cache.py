"""Masks that are kept on disk, and when they are made again."""

import json
import shutil

import pytest
import torch

from explainer.attribution import Attribution
from explainer.errors import InputError
from explainer.evaluation.maps.cache import ABOUT, MaskStore, MeasuredMasks
from explainer.evaluation.report.files import write_results
from explainer.evaluation.report.gallery import PictureMasks, method_gallery
from explainer.evaluation.run import check_room
from explainer.evaluation.scoring.metrics import Judge
from explainer.metrics import Localisation
from tests.support.small_evaluation import FACTS, METHODS, classifier, pictures, run, timeless

ABOUT_ONCE = {"Once": {"checkpoint": "abc", "data": {"root": "x"}, "method": {"class": "Once"}}}


def made(masks, seconds=0.5):
    return MeasuredMasks(masks, [False] * len(masks), [{"seconds": seconds}] * len(masks))


class Once(Attribution):
    calls = 0

    def maps(self, explanandum, image, target):
        Once.calls += 1
        return image[:, :1] ** 2


@pytest.fixture(autouse=True)
def not_called():
    Once.calls = 0


def kept_in(folder, only=None, **changed):
    return MaskStore(folder, {"Once": ABOUT_ONCE["Once"] | changed}, only)


def test_masks_come_back_to_the_bit(tmp_path):
    kept = MaskStore(tmp_path / "maps", {"FIDO, SSR": {"checkpoint": "a"}}, ["a/b.jpg", "a_b.jpg", "c"])
    masks = torch.rand(4, 1, 5, 7)
    kept.add("FIDO, SSR", ["a/b.jpg", "a_b.jpg", "other", "c"], made(masks))
    for n, image in ((0, "a/b.jpg"), (1, "a_b.jpg"), (3, "c")):  # names that would be one file's are two
        assert torch.equal(kept.read("FIDO, SSR", image), masks[n])
    found = kept.find("FIDO, SSR", ["c", "a/b.jpg"])
    assert torch.equal(found.mask, masks[[3, 0]])
    assert (found.broken, found.cost) == ([False, False], [{"seconds": 0.5}] * 2)
    assert kept.read("FIDO, SSR", "other") is None
    assert kept.find("FIDO, SSR", ["c", "other"]) is None
    kept.add("RISE", ["c"], made(masks[:1]))
    assert kept.read("RISE", "c") is None


@pytest.mark.parametrize("key", ["checkpoint", "data", "method"])
def test_masks_of_something_else_are_not_read_and_that_is_said(tmp_path, key):
    kept_in(tmp_path).add("Once", ["a"], made(torch.rand(1, 1, 4, 4)))
    other = kept_in(tmp_path, **{key: {"class": "another"}})
    assert other.read("Once", "a") is None
    assert other.strangers() == [f"maps of Once in {tmp_path / 'Once'} are of another {key}: not used, made anew"]
    other.add("Once", ["a"], made(torch.zeros(1, 1, 4, 4)))
    assert other.strangers() == []
    assert kept_in(tmp_path).read("Once", "a").any()  # both are there
    assert kept_in(tmp_path).strangers() == []


@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_torn_file_is_as_if_it_were_not_there(tmp_path, size):
    kept = kept_in(tmp_path)
    kept.add("Once", ["a"], made(torch.rand(1, 1, 16, 16)))
    path = kept.path("Once", "a")
    path.write_bytes(path.read_bytes()[:size])
    assert kept.read("Once", "a") is None
    path.write_bytes(b"\0" * 1400)
    assert kept.find("Once", ["a"]) is None


def test_a_flipped_byte_is_noticed(tmp_path):
    kept = kept_in(tmp_path)
    kept.add("Once", ["a"], made(torch.rand(1, 1, 16, 16)))
    path = kept.path("Once", "a")
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    assert kept.read("Once", "a") is None


def finish(folder, kept, **settings):
    methods = {"Once": Once(), **METHODS}
    store = run(folder, pictures(), methods, mask_store=kept, **settings)
    return timeless(write_results(store.rows, FACTS, folder))


def test_results_are_the_same_to_the_bit_with_masks_made_or_read(tmp_path):
    kept = kept_in(tmp_path / "maps")
    wanted = finish(tmp_path / "none", None)
    calls = Once.calls
    assert finish(tmp_path / "made", kept) == wanted
    assert Once.calls == 2 * calls
    assert finish(tmp_path / "read", kept) == wanted
    assert Once.calls == 2 * calls
    rows = [json.loads(line) for line in (tmp_path / "read" / "rows.jsonl").read_text().splitlines()]
    first = [json.loads(line) for line in (tmp_path / "made" / "rows.jsonl").read_text().splitlines()]
    costs = [[r["cost"]["seconds"] for r in some if r["method"] == "Once"] for some in (rows, first)]
    assert costs[0] == costs[1]  # what making them cost, not reading


def test_a_further_metric_and_other_batches_do_not_run_the_method(tmp_path):
    kept = kept_in(tmp_path / "maps")
    run(tmp_path / "a", pictures(), {"Once": Once()}, mask_store=kept)
    calls = Once.calls
    judge = Judge({"WSL": Localisation()})
    rows = run(tmp_path / "b", pictures((1, 5)), {"Once": Once()}, mask_store=kept, judge=judge).rows
    assert Once.calls == calls
    assert any(row.get("scores", {}).get("WSL") is not None for row in rows)


def test_with_another_checkpoint_the_method_runs_again(tmp_path):
    run(tmp_path / "a", pictures(), {"Once": Once()}, mask_store=kept_in(tmp_path / "maps"))
    calls = Once.calls
    run(tmp_path / "b", pictures(), {"Once": Once()}, mask_store=kept_in(tmp_path / "maps", checkpoint="def"))
    assert Once.calls == 2 * calls


def test_a_missing_mask_is_made_with_its_batch(tmp_path):
    kept = kept_in(tmp_path / "maps")
    wanted = finish(tmp_path / "a", kept)
    kept.path("Once", pictures()[1].id[1]).unlink()
    calls = Once.calls
    assert finish(tmp_path / "b", kept) == wanted
    assert 0 < Once.calls - calls <= 2  # one of the three batches; its first call is timed twice


def test_only_those_of_pictures_are_kept(tmp_path):
    ids = pictures()[1].id
    kept = kept_in(tmp_path / "maps", ids[:1])
    finish(tmp_path / "a", kept)
    assert {p.name for p in kept.places["Once"].iterdir()} == {ABOUT, kept.path("Once", ids[0]).name}


def test_a_picture_does_not_run_a_method_again(tmp_path):
    batch = pictures((1,))[0]
    kept, methods = kept_in(tmp_path), {"Once": Once(), **METHODS}
    kept.add("Once", batch.id, made(methods["Once"].target_mask(classifier(), batch.image, batch.labels)))
    before = Once.calls
    method_gallery(classifier(), methods, batch, PictureMasks(kept))
    assert Once.calls == before
    method_gallery(classifier(), methods, batch)
    assert Once.calls > before


def test_a_full_disk_is_said_before_the_work(tmp_path, monkeypatch):
    kept = kept_in(tmp_path / "not" / "there")
    check_room(kept, 10, 224)
    monkeypatch.setattr(
        "explainer.evaluation.run.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 10 * 224**2)
    )
    with pytest.raises(InputError, match=r"--evaluation.cache=none") as caught:
        check_room(kept, 10, 224)
    assert "\n" not in str(caught.value)
    kept.add("Once", [str(n) for n in range(8)], made(torch.rand(8, 1, 2, 2)))
    check_room(kept, 10, 224)  # two are missing

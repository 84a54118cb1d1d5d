import json

import numpy as np
import pytest
import torch

from explainer.audit.scan import ScanSettings, order_of, scan
from explainer.audit.store import ScanStore, load_arrays
from explainer.errors import InputError
from tests.support.made_mark import RedMasks, source

FACTS = {"checkpoint": "a"}


SETTINGS = ScanSettings(batch_size=8)


def scanned(folder, masks=None, settings=SETTINGS, **data):
    return scan(source(**data), masks or RedMasks(), ScanStore(folder, FACTS), settings)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("explainer.audit.scan.PART", 16)


def test_a_row_of_each_image_and_class_in_the_order_of_the_images(tmp_path):
    found = scanned(tmp_path, count=20)
    assert [row["id"] for row in found.rows if row["predicted"]] == [f"image_{n:03d}" for n in range(20)]
    for row in found.rows:
        label = ("grey", "red")[row["index"] % 2]
        assert row["labels"] == [label]
        assert row["class"] in (label, *([row["class"]] if row["predicted"] else []))
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows == found.rows
    assert not (tmp_path / "parts").exists()


def test_masks_and_patches_go_with_the_rows(tmp_path):
    found = scanned(tmp_path, count=20)
    data = source(count=20)
    arrays = found.arrays
    assert arrays["masks"].dtype == np.uint8
    assert arrays["masks"].shape == (len(found.rows), 32, 32)
    for number, row in enumerate(found.rows):
        assert arrays["masks"][number].mean() / 255 == pytest.approx(row["area"], abs=0.003)
    first = arrays["patch_peak"] == 0
    for patch, number in zip(arrays["patches"][first], arrays["patch_row"][first]):
        row = found.rows[number]
        if row["class"] == "red":
            image, box = data.images.drawn(row["index"])
            # the patch at the first peak shows most of the mark: it is the only thing that is red
            red = patch[0].astype(int) - patch[2] > 128
            assert red.sum() > 0.8 * int(box.sum())
    thumbs = arrays["thumbs"]
    for thumb, number in zip(thumbs, arrays["thumb_row"]):
        image = data.images.image(found.rows[number]["index"])
        assert thumb.astype(float).mean() / 255 == pytest.approx(float(image.mean()), abs=0.01)


def test_a_scan_that_was_stopped_goes_on_and_ends_in_the_same_files(tmp_path):
    whole = scanned(tmp_path / "whole", count=40)

    class Stops(RedMasks):
        def explain(self, images, asked):
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().explain(images, asked)

    with pytest.raises(KeyboardInterrupt):
        scanned(tmp_path / "stopped", Stops(), count=40)
    assert len(list((tmp_path / "stopped/parts").glob("*.json"))) == 1
    masks = RedMasks()
    again = scanned(tmp_path / "stopped", masks, count=40)
    assert masks.calls == 3  # 24 images of 40 in batches of 8: the first 16 are done
    assert again.rows == whole.rows
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array, err_msg=name)


def test_a_torn_part_is_done_again(tmp_path):
    whole = scanned(tmp_path / "whole", count=20)
    torn = tmp_path / "torn"
    store = ScanStore(torn, FACTS)
    (torn / "parts").mkdir()
    (torn / "parts/000000.json").write_text('{"rows": [')
    assert scan(source(count=20), RedMasks(), store, ScanSettings(batch_size=8)).rows == whole.rows


def test_a_finished_scan_is_read(tmp_path):
    whole = scanned(tmp_path, count=20)
    masks = RedMasks()
    again = scanned(tmp_path, masks, count=20)
    assert masks.calls == 0
    assert again.rows == whole.rows


def test_the_scan_of_something_else_is_refused(tmp_path):
    scanned(tmp_path, count=20)
    with pytest.raises(InputError, match="holds an audit of checkpoint a, and this one b"):
        ScanStore(tmp_path, {"checkpoint": "b"})
    (tmp_path / "audit.json").unlink()
    with pytest.raises(InputError, match="nobody knows of what"):
        ScanStore(tmp_path, FACTS)


@pytest.mark.parametrize("name", ["masks.npz", "rows.jsonl"])
def test_torn_files_are_one_line(tmp_path, name):
    scanned(tmp_path, count=20)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="audit again"):
        ScanStore(tmp_path, FACTS).load()


def test_arrays_of_other_rows_are_refused(tmp_path):
    scanned(tmp_path / "one", count=20)
    scanned(tmp_path / "two", count=24)
    (tmp_path / "one/masks.npz").write_bytes((tmp_path / "two/masks.npz").read_bytes())
    with pytest.raises(InputError, match="does not go with"):
        ScanStore(tmp_path / "one", FACTS).load()


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "masks.npz"
    np.savez(path, masks=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        load_arrays(path)


def test_images_that_cannot_be_read_are_named_and_left_out(tmp_path):
    data = source(count=20)
    image = data.images.image

    def broken(index):
        if index in (3, 7):
            raise OSError("torn")
        return image(index)

    data.images.image = broken
    told = []
    found = scan(
        data, RedMasks(), ScanStore(tmp_path, FACTS), ScanSettings(batch_size=8), None, lambda *a: told.append(a)
    )
    assert sorted(found.faults) == ["image_003", "image_007"]
    assert sorted(name for name, _ in told) == ["image_003", "image_007"]
    assert {3, 7}.isdisjoint(row["index"] for row in found.rows)
    # and they are named again when the scan is read
    told.clear()
    scan(data, RedMasks(), ScanStore(tmp_path, FACTS), ScanSettings(batch_size=8), None, lambda *a: told.append(a))
    assert len(told) == 2


def test_no_image_at_all_is_an_error(tmp_path):
    data = source(count=4)

    def broken(index):
        raise OSError("torn")

    data.images.image = broken
    with pytest.raises(InputError, match="none of the 4 images of made can be read"):
        scan(data, RedMasks(), ScanStore(tmp_path, FACTS), ScanSettings())


def test_the_order_is_random_and_of_its_seed():
    order = order_of(50, ScanSettings())
    assert sorted(order) == list(range(50))
    assert order != list(range(50))
    assert order_of(50, ScanSettings(limit=7)) == order[:7]
    assert order_of(50, ScanSettings(seed=1)) != order


def test_patches_are_kept_of_some_masks_of_a_class(tmp_path):
    found = scanned(tmp_path, settings=ScanSettings(batch_size=8, patches=5), count=40)
    for name in ("grey", "red"):
        rows = {number for number in found.arrays["patch_row"] if found.rows[number]["class"] == name}
        assert len(rows) == 5
    assert len(found.arrays["thumbs"]) == 10


def test_what_is_kept_and_removed_is_asked_for(tmp_path):
    found = scanned(tmp_path, settings=ScanSettings(batch_size=8, masked=True), count=20)
    red = [row for row in found.rows if row["class"] == "red" and row["predicted"]]
    assert len(red) == 10
    assert all(row["kept"] > row["removed"] for row in red)
    # the composite with the classifier's mean colour, which is black here, through the whole mask enlarged
    masks = RedMasks()
    image = source(count=20).images.image(red[0]["index"])[None]
    mask = masks.explain(image, lambda decided: torch.tensor([[False, True]])).masks[:, None]
    large = torch.nn.functional.interpolate(mask, (64, 64), mode="bilinear", align_corners=False)
    for key, through in (("kept", large), ("removed", 1 - large)):
        want = masks.explanandum(through * image).softmax(1)[0, 1]
        assert red[0][key] == pytest.approx(float(want), abs=1e-4)
    assert "kept" not in scanned(tmp_path / "without", count=20).rows[0]


def test_the_classes_of_another_scan_are_explained_too(tmp_path):
    first = scanned(tmp_path / "one", count=12)
    asked = [{**row, "class": "red"} for row in first.rows if row["class"] == "grey"]
    second = scan(source(count=12), RedMasks(), ScanStore(tmp_path / "two", FACTS), ScanSettings(), asked=asked)
    pairs = {(row["index"], row["class"]) for row in second.rows}
    assert {(row["index"], "red") for row in asked} <= pairs


def test_where_evidence_lies_is_told_where_objects_are_known(tmp_path):
    found = scanned(tmp_path, count=20, kind="thing", segmented=True)
    red = [row for row in found.rows if row["class"] == "red" and row["predicted"]]
    assert all(row["object"] > 0.8 for row in red)
    assert all(row["object"] + row["context"] + row["border"] == pytest.approx(1, abs=0.001) for row in red)
    unknown = scanned(tmp_path / "unknown", count=20, kind="thing")
    assert {row["object"] for row in unknown.rows} == {None}
    assert set(unknown.arrays["patch_object"]) == {255}

import json

import numpy as np
import pytest
import torch

from explainer.audit.run import AuditSettings, Subject, Telling, audit, reader
from explainer.audit.scan import ScanSettings, scan
from explainer.audit.store import ScanStore
from explainer.audit.suspicions import LEVEL, SuspicionSettings, suspicions
from explainer.audit.versus import differences, fates, overlap
from explainer.errors import InputError
from tests.support.made_mark import RedMasks, source


def found_in(folder, **data):
    made = source(**data)
    masks = RedMasks()
    scanned = scan(made, masks, ScanStore(folder, {}), ScanSettings())
    return scanned, suspicions(scanned, masks, reader(made, 64), SuspicionSettings(targets=8))


def test_a_mark_at_random_places_ranks_first(tmp_path):
    _, found = found_in(tmp_path, kind="mark")
    first = found[0]
    assert (first.of_class, first.kind, first.raised) == ("red", "patch", True)
    assert first.share > 0.9
    assert first.elsewhere == 0
    assert first.alike > 0.8
    assert (first.turns, first.tried.turned, first.tried.control) == (1.0, 1.0, 0.0)
    assert first.on_object is None
    assert first.p == 1 / 200
    # and nothing else is raised
    assert not any(one.raised for one in found[1:])


def test_the_score_is_the_product_of_its_factors(tmp_path):
    _, found = found_in(tmp_path, kind="mark", segmented=True)
    for one in found:
        off = 1.0 if one.on_object is None else 1 - one.on_object
        known = (one.share - one.elsewhere) * one.alike * off
        if one.tried is None:
            assert one.turns is None
            assert one.score < 0.05
            if one.small is None:
                assert one.score == pytest.approx(known)
            else:
                # what is left of it when it was pasted into some images
                assert one.score <= known * one.small
        else:
            assert one.turns == max(0.0, one.tried.turned - one.tried.control)
            assert one.score == pytest.approx(known * one.turns * one.small)
        assert one.raised == (one.score >= LEVEL and one.p <= 0.05)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_objects_that_look_different_raise_nothing(tmp_path):
    _, found = found_in(tmp_path, kind="thing", segmented=True)
    assert found
    assert not any(one.raised for one in found)
    red = [one for one in found if one.of_class == "red"]
    # they would turn images as the mark does, but they are the object: nobody has to try
    assert all(one.on_object > 0.9 for one in red)
    assert all(one.tried is None for one in red)


def test_a_mark_at_one_place_is_a_place_too(tmp_path):
    _, found = found_in(tmp_path, kind="mark", place=(48, 48))
    places = [one for one in found if one.kind == "place" and one.of_class == "red"]
    (place,) = places
    assert place.raised
    assert place.place.region[12:15, 12:15].all()
    assert place.alike > 0.95
    assert found[0].of_class == "red"


def test_few_decisions_are_not_looked_at(tmp_path):
    _, found = found_in(tmp_path, count=12)
    assert found == []


def test_rows_are_those_of_the_class(tmp_path):
    scanned, found = found_in(tmp_path)
    for one in found:
        assert {scanned.rows[row]["class"] for row in one.rows} == {one.of_class}
        assert all(scanned.rows[row]["predicted"] for row in one.rows)


def subject(masks, name):
    return Subject(masks, name, "redness", {"checkpoint": name})


def small(**search):
    return AuditSettings(search=SuspicionSettings(targets=8, **search))


class Blind(RedMasks):
    """A classifier that hardly sees red: it takes everything for grey."""

    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.explanandum.network.head.weight[1, 0] = 0.5


def test_a_second_classifier_without_the_shortcut_has_lost_the_suspicion(tmp_path):
    results = audit(source(), subject(RedMasks(), "one"), tmp_path, small(), subject(Blind(), "two"))
    assert [entry.fate for entry in results.second.fates] == ["gone"]
    content = json.loads((tmp_path / "versus.json").read_text())
    assert content["suspicions"][0]["class"] == "red"
    assert content["suspicions"][0]["fate"] == "gone"
    # the masks show redness, whatever the classifier
    assert results.second.distance == 0


def test_the_same_classifier_has_the_same_suspicions(tmp_path):
    results = audit(source(), subject(RedMasks(), "one"), tmp_path, small(), subject(RedMasks(), "two"))
    assert [entry.fate for entry in results.second.fates] == ["stays"]
    assert results.second.fates[0].score == results.second.fates[0].other_score
    assert fates([], results.suspicions, 0.65)[0].fate == "new"


def test_classifiers_of_other_classes_are_not_compared(tmp_path):
    other = RedMasks()
    other.classes = ("blue", "red")
    with pytest.raises(InputError, match="the classes of two are not those of one"):
        audit(source(), subject(RedMasks(), "one"), tmp_path, small(), subject(other, "two"))


def test_the_largest_differences_of_masks_come_first(tmp_path):
    first, _ = found_in(tmp_path / "one", count=20)
    second = first._replace(arrays={**first.arrays, "masks": first.arrays["masks"].copy()})
    row = next(number for number, row in enumerate(first.rows) if row["class"] == "red" and row["predicted"])
    second.arrays["masks"][row] = 255 - second.arrays["masks"][row]
    largest, mean = differences(first, second, 3)
    assert (largest[0].first, largest[0].second) == (row, row)
    want = np.abs(2 * first.arrays["masks"][row].astype(float) / 255 - 1).mean()
    assert largest[0].distance == pytest.approx(want)
    decisions = sum(row["predicted"] for row in first.rows)
    assert mean == pytest.approx(want / decisions)
    assert len({first.rows[one.first]["index"] for one in largest}) == len(largest) == 3


def test_nothing_in_common_is_no_difference(tmp_path):
    first, _ = found_in(tmp_path, count=20)
    assert differences(first, first._replace(rows=[])) == ([], 0.0)


def test_two_places_overlap_by_their_union():
    one = np.zeros((4, 4), bool)
    one[:2] = True
    assert overlap(one, one) == 1
    assert overlap(one, ~one) == 0
    assert overlap(~one & one, one & ~one) == 0


def test_an_audit_writes_what_it_says(tmp_path):
    steps = {}

    def progress(step, done, of):
        steps[step] = (done, of)

    results = audit(source(), subject(RedMasks(), "one"), tmp_path, small(), telling=Telling(progress))
    assert steps == {"masks of one": (60, 60), "suspicions of one": (2, 2), "page": (1, 1)}
    written = json.loads((tmp_path / "suspicions.json").read_text())
    assert [one["score"] for one in written] == [one.score for one in results.suspicions]
    assert written[0]["images"][0].startswith("image_")
    classes = {one["class"]: one for one in json.loads((tmp_path / "classes.json").read_text())}
    assert classes["red"]["labelled"] == 30
    assert classes["red"]["right"] == 1.0
    # again: nothing is explained a second time, and the results are the same
    masks = RedMasks()
    again = audit(source(), subject(masks, "one"), tmp_path, small())
    assert masks.calls == 0
    assert [one.score for one in again.suspicions] == [one.score for one in results.suspicions]

"""Files that go out are whole or absent."""

import json
import os

import pytest

from explainer.files import (
    append_lines,
    copy_file,
    file_name,
    read_lines,
    replacing,
    sweep,
    write_csv,
    write_json,
    write_lines,
    write_text,
)
from explainer.files.writing import partial_path


def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path):
    target = write_text(tmp_path / "a.json", "earlier")

    def torn():
        with replacing(target) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        torn()
    assert target.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_a_partial_file_lies_beside_its_target_with_its_suffix(tmp_path):
    partial = partial_path(tmp_path / ("x" * 250 + ".png"))
    assert partial.parent == tmp_path
    assert partial.suffix == ".png"
    assert len(partial.name) < 100


@pytest.mark.parametrize("sync", [False, True])
def test_written_files_are_read_back(tmp_path, sync):
    write_json(tmp_path / "new" / "a.json", {"b": [1, "ü"]}, sync=sync)
    assert json.loads((tmp_path / "new" / "a.json").read_text(encoding="utf-8")) == {"b": [1, "ü"]}
    append_lines(tmp_path / "rows.jsonl", [{"a": 1}], sync=sync)
    append_lines(tmp_path / "rows.jsonl", [{"a": 2}], sync=sync)
    assert [json.loads(line)["a"] for line in read_lines(tmp_path / "rows.jsonl")] == [1, 2]
    assert copy_file(tmp_path / "rows.jsonl", tmp_path / "copy", sync=sync).read_bytes().count(b"\n") == 2


def test_only_what_is_stale_is_swept(tmp_path):
    own = partial_path(tmp_path / "own.json")
    gone = own.with_name(own.name.replace(f"-{os.getpid()}.", "-999999999."))
    other = own.with_name(own.name.replace(f".{own.name.split('.')[2]}.", ".otherhost-1."))
    old = own.with_name(".0.otherhost-2.partial.json")
    odd = own.with_name(own.name.replace(f"-{os.getpid()}.", "-²."))
    endless = own.with_name(own.name.replace(f"-{os.getpid()}.", f"-{'9' * 40}."))
    for path in (own, gone, other, old, odd, endless, tmp_path / "kept.partial.json"):
        path.write_text("")
    os.utime(old, (0, 0))
    assert set(sweep(tmp_path)) == {gone, old, endless}
    assert sweep(tmp_path / "missing") == []


def test_names_become_file_names():
    taken: list[str] = []
    for name in ("a b", "a_b", "a!b", "A b", "x" * 300, "x" * 299 + "y", "", "..", "../../evil", "日本" * 100, "a\nb"):
        made = file_name(name, taken)
        assert made.casefold() not in [other.casefold() for other in taken]
        assert 0 < len(made.encode()) <= 100
        assert "/" not in made
        assert not made.startswith(".")
        taken.append(made)


def test_lines_take_the_place_of_a_file_and_long_tables_are_written_bit_by_bit(tmp_path, monkeypatch):
    (tmp_path / "rows.jsonl").write_text("before")
    write_lines(tmp_path / "rows.jsonl", ({"a": n} for n in range(3)))
    assert (tmp_path / "rows.jsonl").read_text() == '{"a": 0}\n{"a": 1}\n{"a": 2}\n'
    with pytest.raises(TypeError):
        write_lines(tmp_path / "rows.jsonl", [{"a": object()}])
    assert (tmp_path / "rows.jsonl").read_text().startswith('{"a": 0}')
    rows = [["=a", number, None, 'b "c"'] for number in range(7)]
    write_csv(tmp_path / "whole.csv", rows)
    monkeypatch.setattr("explainer.files.writing._AT_ONCE", 2)
    write_csv(tmp_path / "parts.csv", iter(rows))
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "parts.csv").read_text().splitlines()[6] == '\'=a,6,,"b ""c"""'

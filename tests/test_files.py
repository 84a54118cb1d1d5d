"""Files that come in are checked, files that go out are whole or absent, and one process works in a folder."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from explainer.errors import InputError
from explainer.files import (
    alone,
    append_lines,
    conform,
    copy_file,
    file_name,
    read_json,
    read_lines,
    read_state,
    read_text,
    replacing,
    sweep,
    write_json,
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
    assert read_json(tmp_path / "new" / "a.json") == {"b": [1, "ü"]}
    append_lines(tmp_path / "rows.jsonl", [{"a": 1}], sync=sync)
    append_lines(tmp_path / "rows.jsonl", [{"a": 2}], sync=sync)
    assert [json.loads(line)["a"] for line in read_lines(tmp_path / "rows.jsonl")] == [1, 2]
    assert copy_file(tmp_path / "rows.jsonl", tmp_path / "copy", sync=sync).read_bytes().count(b"\n") == 2


def test_only_what_is_stale_is_swept(tmp_path):
    own = partial_path(tmp_path / "own.json")
    gone = own.with_name(own.name.replace(f"-{os.getpid()}.", "-999999999."))
    other = own.with_name(own.name.replace(f".{own.name.split('.')[2]}.", ".otherhost-1."))
    old = own.with_name(".0.otherhost-2.partial.json")
    for path in (own, gone, other, old, tmp_path / "kept.partial.json"):
        path.write_text("")
    os.utime(old, (0, 0))
    assert set(sweep(tmp_path)) == {gone, old}
    assert sweep(tmp_path / "missing") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_what_they_are_are_read(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("path\nKühe".encode(encoding))
    assert read_text(tmp_path / "a.csv") == "path\nKühe"


def test_another_encoding_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.csv").write_bytes("path\nKühe".encode("latin-1"))
    with pytest.raises(InputError, match=r"a.csv is not UTF-8 \(line 2\)"):
        read_text(tmp_path / "a.csv")


def test_what_is_no_file_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(InputError, match="is not a file"):
            read_text(path)
    with pytest.raises(InputError, match=r"cannot read .*missing"):
        read_text(tmp_path / "missing")


@pytest.mark.parametrize("content", ["", "{", "[1,]", "[" * 100_000, "\x00"])
def test_json_that_is_none_is_refused_in_one_line_and_as_state_means_begin_anew(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"a\.json") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)
    assert read_state(path, dict) is None


def test_state_of_another_type_means_begin_anew(tmp_path):
    write_json(tmp_path / "a.json", [1])
    assert read_state(tmp_path / "a.json", dict) is None
    assert read_state(tmp_path / "missing", dict) is None
    assert read_state(tmp_path / "a.json", list[int]) == [1]


@dataclass(frozen=True)
class Described:
    name: str
    sizes: list[int]


def test_values_are_checked_against_a_type():
    assert conform({"name": "a", "sizes": [1]}, Described, "x") == Described("a", [1])
    for wrong, place in (
        ({"name": 1, "sizes": []}, "name"),
        ({"name": "a", "sizes": ["1"]}, r"sizes\.0"),
        ({}, "name"),
    ):
        with pytest.raises(InputError, match=f"x: {place}: "):
            conform(wrong, Described, "x")


def test_names_become_file_names():
    taken: list[str] = []
    for name in ("a b", "a_b", "a!b", "A b", "x" * 300, "x" * 299 + "y", "", "..", "../../evil", "日本" * 100, "a\nb"):
        made = file_name(name, taken)
        assert made.casefold() not in [other.casefold() for other in taken]
        assert 0 < len(made.encode()) <= 100
        assert "/" not in made
        assert not made.startswith(".")
        taken.append(made)


def test_a_second_process_is_refused(tmp_path):
    code = f"""
import sys
from explainer.errors import InputError
from explainer.files import alone
try:
    with alone({str(tmp_path / ".lock")!r}, "runs/x"): pass
except InputError as error:
    print(error); sys.exit(3)
"""
    with alone(tmp_path / ".lock", "runs/x"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 3, done.stderr
        assert done.stdout.startswith(f"process {os.getpid()} on ")
        assert "works in runs/x: wait for it" in done.stdout
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_where_a_file_system_has_no_locks_the_work_goes_on(tmp_path, monkeypatch):
    def refuse(number):
        def lockf(*_):
            raise OSError(number, os.strerror(number))

        return lockf

    for number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        monkeypatch.setattr(fcntl, "lockf", refuse(number))
        with alone(tmp_path / ".lock", "runs/x"):
            pass
    monkeypatch.setattr(fcntl, "lockf", refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), alone(tmp_path / ".lock", "runs/x"):
        pass

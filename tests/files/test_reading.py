"""Files that come in are checked: their encoding, their JSON, their types."""

import os
from dataclasses import dataclass

import pytest

from explainer.errors import InputError
from explainer.files import conform, parse, read_state, read_text, write_json


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
        parse(path, dict)
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

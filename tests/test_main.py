"""python -m explainer: one line for every bad input, and what is done stays."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torchvision import models

import explainer.inference.saving
from explainer import __main__ as program
from explainer.__main__ import main
from explainer.cli import publishing, shipping
from explainer.cli.options import COMMANDS, EXPORT_FORMATS
from explainer.errors import InputError
from explainer.inference.explain import Explainer
from explainer.inference.exporting import FORMATS
from explainer.inference.saving import class_file_names
from tests.support.small_checkpoints import save_explainer
from tests.support.trees import photo

HOSTILE = ("a/b", "a b", "a_b", "x\ny\x1b[31mred", "c" * 300, "[/red]", "../../evil", "\udcff", "CAT", "cat")
FILES = {"overview.png", "target_mask.png", "probabilities.json"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_explainer(tmp_path_factory.mktemp("main") / "x.ckpt")


@pytest.fixture
def call(checkpoint, tmp_path, monkeypatch, capsys):
    """(exit status, lines of the standard error, standard output) of a call in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "z"):
        photo(tmp_path / f"{name}.jpg")

    def run(*arguments, ckpt_path=checkpoint):
        try:
            status = main([*map(str, arguments), "--ckpt_path", ckpt_path, "--device", "cpu"])
        except SystemExit as error:
            status = error.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.err.splitlines(), said.out

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--top", "0"], "--top: must be at least 1"),
        (["--top", "-6"], "--top: must be at least 1"),
        (["--top", "x"], "--top: invalid whole number"),
        (["--threshold", "nan"], "--threshold: must be from 0 to 1"),
        (["--threshold", "7"], "--threshold: must be from 0 to 1"),
        (["--threshold", "-1"], "--threshold: must be from 0 to 1"),
        (["--out", "z.jpg"], "z.jpg cannot be written (File exists): name another folder with --out"),
        (["--out", "z.jpg/x"], "z.jpg/x cannot be written (Not a directory)"),
        (["--out", "o" * 300], "cannot be written (File name too long)"),
        (["--out", "/proc/x"], "/proc/x cannot be written"),
        (["--foo"], "unrecognized arguments: --foo"),
    ],
)
def test_a_bad_argument_is_one_line_and_status_2(call, arguments, words):
    status, lines, _ = call("a.jpg", *arguments)
    assert status == 2
    assert len(lines) == 1
    assert words in lines[0]
    assert not Path("explained/a").exists()


@pytest.mark.parametrize("device", ["foo", "cuda:77", "meta", ""])
def test_a_device_that_is_not_there_is_one_line(call, device):
    status, lines, _ = call("a.jpg", "--device", "cpu")
    assert (status, lines) == (0, [])
    assert main(["a.jpg", "--ckpt_path", "none.ckpt", "--device", device]) == 2


def test_what_is_no_photograph_does_not_lose_the_others(call):
    Path("folder.jpg").mkdir()
    os.mkfifo("fifo.jpg")
    Path("text.jpg").write_text("x")
    bad = ["none.jpg", "folder.jpg", "fifo.jpg", "text.jpg"]
    status, lines, out = call("a.jpg", *bad, "z.jpg")
    assert status == 1
    assert len(lines) == len(bad)
    assert all(name in line for name, line in zip(bad, lines, strict=True))
    assert {p.name for p in Path("explained").iterdir()} == {"a", "z"}
    assert "written to explained" in out


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate\nx"),
        KeyError("b"),
    ],
)
def test_an_error_of_any_kind_costs_one_photograph(call, monkeypatch, error):
    explain = Explainer.explain

    def explained(self, photograph, *arguments):
        if photograph.name == "a.jpg":
            raise error
        return explain(self, photograph, *arguments)

    monkeypatch.setattr(Explainer, "explain", explained)
    status, lines, _ = call("a.jpg", "z.jpg")
    assert status == 1
    assert len(lines) == 1
    assert "a.jpg" in lines[0]
    assert {p.name for p in Path("explained/z").iterdir()} >= FILES


def test_a_full_disk_keeps_what_is_done_and_ends(call, monkeypatch):
    write = explainer.inference.saving.save_picture

    def full(picture, path):
        if path.parent.name == "z" and path.name != "target_mask.png":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(picture, path)

    monkeypatch.setattr(explainer.inference.saving, "save_picture", full)
    status, lines, out = call("a.jpg", "z.jpg", "a.jpg")
    assert status == 1
    assert len(lines) == 2
    assert "No space left on device" in lines[0]
    assert {p.name for p in Path("explained/a").iterdir()} >= FILES
    assert not Path("explained/z/probabilities.json").exists()
    assert "written to explained" in out


def test_ctrl_c_is_one_line_and_keeps_what_is_done(call, monkeypatch):
    explain = Explainer.explain

    def stopped(self, photograph, *arguments):
        if photograph.name == "z.jpg":
            raise KeyboardInterrupt
        return explain(self, photograph, *arguments)

    monkeypatch.setattr(Explainer, "explain", stopped)
    status, lines, _ = call("a.jpg", "z.jpg")
    assert (status, lines) == (130, ["stopped: 1 of 2 photographs are explained, in explained"])
    assert {p.name for p in Path("explained/a").iterdir()} >= FILES


def test_hostile_class_names_are_files_and_lines_of_their_own(call, tmp_path, monkeypatch):
    path = tmp_path / "h.ckpt"
    save_explainer(path, ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"), multilabel=False)
    build = Explainer.__init__

    def named(self, *arguments):
        build(self, *arguments)
        self.classes = HOSTILE

    monkeypatch.setattr(Explainer, "__init__", named)
    status, lines, out = call("a.jpg", "--top", "10", ckpt_path=str(path))
    assert (status, lines) == (0, [])
    files = {p.name for p in Path("explained/a").iterdir()}
    assert len(files) == 2 * len(HOSTILE) + len(FILES)
    assert {p.name for p in tmp_path.iterdir()} == {"a.jpg", "z.jpg", "h.ckpt", "explained"}
    assert "\x1b" not in out
    assert len(json.loads(Path("explained/a/probabilities.json").read_text())["predicted"]) == 10


def test_file_names_of_classes_are_alike_for_every_photograph_and_unique():
    names = class_file_names([*HOSTILE, "traffic-light", ""])
    assert len({name.casefold() for name in names}) == len(names)
    assert all(len(name.encode()) <= 100 and "/" not in name and name.isprintable() for name in names)
    assert names[0] == "a_b"
    assert names[-2] == "traffic-light"


def test_photographs_of_any_name_get_a_folder_of_their_own(call):
    source = Path("a.jpg").read_bytes()
    for name in (b"..jpg", b"...jpg", b".hidden.jpg", b"caf\xe9.jpg", b"a\nb.jpg", b"[red]x.jpg", b"A.jpg"):
        Path(os.fsdecode(name)).write_bytes(source)
    photographs = sorted(Path().glob("*.jpg")) + sorted(Path().glob(".*.jpg"))
    status, lines, _ = call(*dict.fromkeys(photographs))
    assert (status, lines) == (0, [])
    folders = [p.name for p in Path("explained").iterdir()]
    assert len(folders) == len(dict.fromkeys(photographs))
    assert all(name.isprintable() and not name.startswith(".") for name in folders)


def test_an_earlier_explanation_in_the_folder_is_replaced(call):
    call("a.jpg")
    first = Path("explained/a/probabilities.json").read_text()
    Path("explained/a/target_mask.png").write_text("torn")
    call("a.jpg")
    assert Path("explained/a/probabilities.json").read_text() == first
    assert Image.open("explained/a/target_mask.png").mode == "L"


STREAMS = {
    "full": [(1, "/dev/full")],
    "closed": [(1, "")],
    "errors closed": [(2, "")],
    "errors full": [(2, "/dev/full")],
}
"""What a shell does with the output: number of the stream, and where it goes, or "" where it is closed."""
AGAIN = """
import os, runpy, sys
import explainer.cli.options, explainer.inference.explain, explainer.inference.saving

def opened(number):
    try:
        os.fstat(number)
    except OSError:
        return None  # as Python itself begins
    return open(number, "w", encoding="ascii", errors="backslashreplace" if number == 2 else "strict")

folder, checkpoint = sys.argv[1:]
before = sys.stdout, sys.stderr
for name, changes in STREAMS.items():
    os.makedirs(os.path.join(folder, name))
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        print(name, os.waitstatus_to_exitcode(status), sep=":", flush=True)
        continue
    os.chdir(os.path.join(folder, name))
    for number, target in changes:
        os.close(number)
        if target:
            file = os.open(target, os.O_WRONLY)
            assert file == number
    sys.stdout, sys.stderr = opened(1), opened(2)
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    sys.argv = ["explainer", os.path.join(folder, "a.jpg"), "--ckpt_path", checkpoint, "--device", "cpu"]
    runpy.run_module("explainer", run_name="__main__", alter_sys=True)
    sys.exit(99)
"""


@pytest.fixture(scope="module")
def statuses(checkpoint, tmp_path_factory):
    """Folder of a run for each of `STREAMS`, their exit statuses, and what they said.

    Each begins as a copy of a process that has imported the libraries, which take longer than all else together.
    """
    folder = tmp_path_factory.mktemp("streams")
    photo(folder / "a.jpg")
    root = Path(explainer.__file__).parent.parent
    code = f"STREAMS = {STREAMS!r}\n{AGAIN}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(checkpoint)], env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split(":") for line in done.stdout.splitlines() if line.partition(":")[0] in STREAMS]
    return folder, {name: int(status) for name, status in lines}, done.stderr


@pytest.mark.parametrize(("stream", "wanted"), [("full", 1), ("closed", 1), ("errors closed", 0), ("errors full", 0)])
def test_streams_that_take_nothing_do_not_lose_the_results(statuses, stream, wanted):
    folder, codes, said = statuses
    assert codes[stream] == wanted, said
    assert "Traceback" not in said
    assert {p.name for p in (folder / stream / "explained/a").iterdir()} >= FILES


def test_a_process_that_begins_without_output_does_not_lose_the_results(checkpoint, tmp_path):
    photo(tmp_path / "a.jpg")
    command = f'"{sys.executable}" -m explainer a.jpg --ckpt_path "{checkpoint}" --device cpu >&- 2>&-'
    root = Path(explainer.__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1
    assert {p.name for p in (tmp_path / "explained/a").iterdir()} >= FILES


# By a method, for any classifier


def test_a_folder_is_explained_by_a_method(call, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("b", "c"):
        photo(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    (tmp_path / "photos" / "torn.jpg").write_bytes(b"torn")
    status, errors, out = call(
        "photos", "--method", "grad-cam", "--network", "resnet18", "--weights", weights(tmp_path)
    )
    assert status == 1
    assert [line for line in errors if "torn.jpg" in line]
    assert {path.name for path in (tmp_path / "explained").iterdir()} == {"b", "c"}
    assert {path.name for path in (tmp_path / "explained" / "b").iterdir()} == {"GradCAM.png", "GradCAM.npz"}
    with np.load(tmp_path / "explained" / "b" / "GradCAM.npz") as numbers:
        assert numbers["attribution"].ndim == 2
        assert numbers["probabilities"].shape == (4,)
    assert "GradCAM.png" in out


def weights(folder):
    torch.manual_seed(0)
    torch.save(models.resnet18(num_classes=4).state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


def test_the_checkpoints_classifier_is_explained_by_a_method(call, tmp_path):
    status, errors, _ = call("a.jpg", "--method", "SMOE", "--target", "1")
    assert (status, errors) == (0, [])
    assert (tmp_path / "explained" / "a" / "SMOE.png").is_file()


@pytest.mark.parametrize(("arguments", "words"), [
    (["--method", "SMOG"], "there is no method 'SMOG', only"),
    (["--method", "SMOE", "--network", "resnet1"], "unknown network 'resnet1'"),
    (["--method", "SMOE", "--target", "unicorn"], "no class 'unicorn'"),
    (["--target", "1"], "--target is for a method: name one with --method"),
    (["."], "empty"),
])  # fmt: skip
def test_what_a_method_cannot_explain_is_said_in_one_line(call, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    arguments = ["empty"] if arguments == ["."] else ["a.jpg", *arguments]
    status, errors, _ = call(*arguments)
    assert status in (1, 2)
    assert words in errors[0]


# A CSV that lists photographs


def test_bad_lines_of_a_csv_do_not_lose_the_others(call):
    lines = [
        "note,path",
        "x,a.jpg",
        "only one column",
        'x,"not closed',
        "x,",
        f"x,{'l' * 5000}.jpg",
        "x,none.jpg",
        "",
        "x,z.jpg",
    ]
    Path("list.csv").write_text("\n".join(lines))
    status, errors, _ = call("list.csv")
    assert status == 1
    assert [line.partition(" (")[0] for line in errors[:3]] == [
        "error: list.csv, line 3: there is no path",
        "error: list.csv, line 4: it is no line of a CSV",
        "error: list.csv, line 5: there is no path",
    ]
    assert "File name too long" in errors[3]
    assert "none.jpg" in errors[4]
    assert len(errors) == 5
    assert {path.name for path in Path("explained").iterdir()} == {"a", "z"}


def test_a_csv_without_header_is_read_from_its_first_column_relative_to_its_folder(call, tmp_path):
    (tmp_path / "lists" / "more").mkdir(parents=True)
    photo(tmp_path / "lists" / "b, c.jpg")
    photo(tmp_path / "lists" / "more" / "d.png")
    (tmp_path / "lists" / "of photographs.CSV").write_bytes(b'\xef\xbb\xbf"b, c.jpg",7\r\nmore\r\n../a.jpg\r\n')
    status, errors, _ = call("lists/of photographs.CSV")
    assert (status, errors) == (0, [])
    assert {path.name for path in Path("explained").iterdir()} == {"b, c", "d", "a"}


def test_a_csv_names_a_class_for_each_photograph(call):
    Path("list.csv").write_text("target,path\ndog,a.jpg\n0,a.jpg\n,a.jpg\nunicorn,a.jpg\n")
    status, errors, out = call("list.csv", "--method", "Gradient", "--target", "cow")
    assert status == 1
    assert len(errors) == 1
    assert "no class 'unicorn'" in errors[0]
    assert [word for word in out.split() if word in ("cat", "dog", "cow")] == ["dog", "cat", "cow"]
    listed = [np.load(f"explained/{name}/Gradient.npz")["attribution"] for name in ("a", "a_2", "a_3")]
    for number, target in enumerate(("dog", "0", "cow")):
        call("a.jpg", "--method", "Gradient", "--target", target, "--out", target)
        np.testing.assert_array_equal(np.load(f"{target}/a/Gradient.npz")["attribution"], listed[number])


@pytest.mark.parametrize(("text", "words"), [
    ("", "the CSV list.csv names no photograph: write the path of one on each line"),
    ("path,target\n\n", "the CSV list.csv names no photograph"),
    ("path,target\na.jpg,dog\n", "the column target of a CSV is for a method: name one with --method"),
])  # fmt: skip
def test_a_csv_of_no_use_is_one_line_and_status_2(call, text, words):
    Path("list.csv").write_text(text)
    status, errors, _ = call("list.csv")
    assert status == 2
    assert len(errors) == 1
    assert words in errors[0]
    assert not Path("explained").exists()


# Arrays beside the pictures


def test_an_explanation_in_numbers(call, checkpoint):
    for kind in ("npz", "safetensors"):
        status, errors, out = call("a.jpg", "--top", "2", "--threshold", "1", "--arrays", kind, "--out", kind)
        assert (status, errors) == (0, [])
        assert f"arrays.{kind}" in " ".join(out.split())
    model = Explainer(checkpoint, "cpu")
    expected = model.explain("a.jpg", 1, 2)
    with np.load("npz/a/arrays.npz") as file:  # allow_pickle is off
        arrays = dict(file)
    assert arrays.pop("classes").tolist() == list(model.classes)
    with safe_open("safetensors/a/arrays.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["classes"]) == list(model.classes)
        assert set(file.keys()) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
    assert arrays["predicted"].tolist() == list(expected.predicted)
    for mask, index in zip(arrays["masks"], expected.predicted, strict=True):
        np.testing.assert_array_equal(mask, expected.mask(model.classes[index])[0, 0].numpy())
    np.testing.assert_array_equal(arrays["target_mask"], arrays["masks"].max(0))
    probabilities = json.loads(Path("npz/a/probabilities.json").read_text())["probabilities"]
    for name, key in (("probabilities", "photograph"), ("kept", "kept"), ("removed", "removed")):
        assert [probabilities[label][key] for label in model.classes] == pytest.approx(arrays[name].tolist())


def test_a_map_in_numbers_for_other_languages(call):
    assert call("a.jpg", "--method", "SMOE", "--arrays", "safetensors")[:2] == (0, [])
    assert call("a.jpg", "--method", "SMOE", "--out", "usual")[:2] == (0, [])
    assert {path.name for path in Path("explained/a").iterdir()} == {"SMOE.png", "SMOE.safetensors"}
    with safe_open("explained/a/SMOE.safetensors", "numpy") as file, np.load("usual/a/SMOE.npz") as usual:
        for name in ("attribution", "probabilities"):
            np.testing.assert_array_equal(file.get_tensor(name), usual[name])


def test_other_arrays_are_refused(call):
    status, errors, _ = call("a.jpg", "--arrays", "pickle")
    assert status == 2
    assert "argument --arrays: invalid choice: 'pickle'" in errors[0]


# Commands


def test_explain_is_the_command_where_none_is_named(call):
    shutil.copy("a.jpg", "train")  # a photograph may have a command's name
    assert call("explain", "a.jpg", "./train")[:2] == (0, [])
    assert {path.name for path in Path("explained").iterdir()} == {"a", "train"}


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_train_and_evaluate_get_what_follows_them(name, monkeypatch):
    calls = []
    monkeypatch.setattr(f"explainer.cli.{name}.{name}", calls.append)
    assert main([name, "--config", "shapes_small.yaml"]) == 0
    assert calls == [["--config", "shapes_small.yaml"]]


def test_help_names_every_command_and_waits_for_nothing_heavy():
    code = "import sys; from explainer.__main__ import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    root = Path(explainer.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True
    )  # fmt: skip
    for name, words in COMMANDS.items():
        assert re.search(rf"{name} +{re.escape(words)}", done.stdout)
    assert not {"torch", "numpy", "pytorch_lightning", "matplotlib"} & set(done.stdout.splitlines()[-1].split())


def test_every_command_is_in_the_help():
    assert list(COMMANDS) == list(program.COMMANDS)
    assert EXPORT_FORMATS == FORMATS


def ship(*arguments):
    return shipping.main(list(arguments))


def publish(*arguments):
    return publishing.main(list(arguments))


def export(*arguments):
    return main(["export", arguments[0], "--out", arguments[1]])


SHORT = [(export, "explainer.cli.export.export"), (publish, "explainer.cli.publishing.card_of"),
         (ship, "explainer.cli.shipping.ship")]  # fmt: skip
"""Commands that do all or nothing, and what they call first."""


@pytest.mark.parametrize(("command", "step"), SHORT)
@pytest.mark.parametrize(("error", "status", "line"), [
    (InputError("a.ckpt is torn"), 2, "error: a.ckpt is torn"),
    (OSError(errno.ENOSPC, "No space left on device", "out"), 2, "error: No space left on device: out"),
    (MemoryError(), 2, "error: there is not enough memory"),
    (KeyError("b"), 2, "error: KeyError: 'b' (not foreseen; EXPLAINER_TRACEBACK=1 shows where)"),
    (KeyboardInterrupt(), 130, "stopped"),
])  # fmt: skip
def test_a_short_command_ends_in_one_line_whatever_happens(command, step, error, status, line, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(step, fail)
    assert command("a.ckpt", "out") == status
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize("command", [command for command, _ in SHORT])
def test_a_wrong_option_of_a_short_command_is_one_line(command, capsys):
    with pytest.raises(SystemExit) as ended:
        command("a.ckpt", "out", "--foo") if command is not export else main(["export", "a.ckpt", "--foo"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: unrecognized arguments: --foo (see --help)\n"


@pytest.mark.parametrize("arguments", [["--port", "65536"], ["--port", "x"], ["--most_megabytes", "0"], ["photo.jpg"]])
def test_bad_options_of_serve_are_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

"""What is kept when a run is stopped, killed, moved, started twice, or gone on with in another way."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from explainer.cli.train import publish, train
from explainer.errors import InputError
from explainer.stopping import Stopped
from explainer.training.callbacks.best import WholeCheckpoints
from explainer.training.runs import begin, newest, same_run, set_aside
from tests.support import tiny_runs
from tests.support.bad_inputs import status_of

SEEN = []
CTRL_C = {"hook": "third batch", "epoch": 1, "number": int(signal.SIGINT)}


class Watch(pl.Callback):
    """Notes epoch, step and images of every batch; at one place in the training it fails, or sends itself a signal."""

    def __init__(self, hook: str = "", epoch: int = 0, number: int = 0) -> None:
        self.hook, self.epoch, self.number = hook, epoch, number

    def _at(self, hook, trainer):
        if hook == self.hook and trainer.current_epoch == self.epoch and not trainer.sanity_checking:
            self.hook = ""
            if not self.number:
                raise RuntimeError("killed here")
            os.kill(os.getpid(), self.number)

    def on_train_epoch_start(self, trainer, pl_module):
        self._at("on_train_epoch_start", trainer)

    def on_validation_start(self, trainer, pl_module):
        self._at("on_validation_start", trainer)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        SEEN.append((trainer.current_epoch, list(batch.id)))
        if batch_idx == 2:
            self._at("third batch", trainer)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SEEN.clear()
    return tmp_path


def config(name="a", watch=(), data=(), trainer=(), callbacks=(), **options):
    """A run of four batches an epoch, and three epochs; its learning rate makes the best one come early."""
    watching = {"class_path": "tests.training.test_runs.Watch", "init_args": dict(watch)}
    trained = tiny_runs.trainer(max_epochs=3, callbacks=[watching, *callbacks], **dict(trainer))
    drawn = tiny_runs.data(**({"train_images": 32, "val_images": 8} | dict(data)))
    common = {"saliency": {"every_n_steps": 0}, "data": drawn, "trainer": trained, "resume": {"every_n_steps": 100}}
    return ["--config", tiny_runs.classifier_config(name, **common | options)]


def content(path):
    return torch.load(path, weights_only=True)


def assert_same(path, other):
    """Two checkpoints hold the same, whatever their bytes."""

    def flat(value, key=""):
        if isinstance(value, dict):
            return [pair for k, v in value.items() for pair in flat(v, f"{key}.{k}")]
        if isinstance(value, list | tuple):
            return [pair for k, v in enumerate(value) for pair in flat(v, f"{key}.{k}")]
        return [(key, value)]

    first, second = flat(content(path)), flat(content(other))
    assert [key for key, _ in first] == [key for key, _ in second]
    for (key, one), (_, two) in zip(first, second, strict=True):
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two, key


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run; its best epoch is not the last one."""
    folder = tmp_path_factory.mktemp("whole")
    before = Path.cwd()
    os.chdir(folder)
    train(config())
    os.chdir(before)
    best = content(folder / "checkpoints/a.ckpt")["epoch"]
    assert best < 2
    return folder, best


def test_the_best_epoch_is_kept_by_whoever_stops_the_run(whole, here):
    folder, best = whole
    for stop in (
        {"hook": "on_train_epoch_start", "epoch": best + 1},
        {"hook": "on_validation_start", "epoch": best, "number": int(signal.SIGINT)},
        {"hook": "third batch", "epoch": best + 1, "number": int(signal.SIGTERM)},
    ):
        shutil.rmtree("runs", ignore_errors=True)
        with pytest.raises((RuntimeError, Stopped)) as stopped:
            train(config(watch=stop))
        if stop.get("number") == signal.SIGTERM:
            assert "go on with --ckpt_path last" in str(stopped.value)
            assert stopped.value.number == signal.SIGTERM
        train([*config(), "--ckpt_path", "last"])
        for name in ("checkpoints/a.ckpt", "runs/a/last.ckpt", "runs/a/best.ckpt"):
            assert_same(name, folder / name)


def test_a_moved_run_remembers_its_best_and_no_checkpoint_names_a_folder(whole, here):
    folder, best = whole
    train([*config(), "--trainer.max_epochs", str(best + 1)])
    assert str(here).encode() not in Path("checkpoints/a.ckpt").read_bytes()
    Path("elsewhere").mkdir()
    for name in ("runs", "checkpoints"):
        Path(name).rename(Path("elsewhere") / name)
    os.chdir("elsewhere")
    train([*config(), "--ckpt_path", "last"])
    assert_same("checkpoints/a.ckpt", folder / "checkpoints/a.ckpt")


def test_where_the_last_checkpoint_is_torn_the_best_one_is_gone_on_from(whole, here, caplog):
    folder, _ = whole
    shutil.copytree(folder / "runs", "runs")
    last = Path("runs/a/last.ckpt")
    last.write_bytes(last.read_bytes()[:1000])
    with caplog.at_level("INFO"):
        train([*config(), "--ckpt_path", "last"])
    assert "runs/a/last.ckpt is missing or damaged: going on from runs/a/best.ckpt" in caplog.text
    assert_same("checkpoints/a.ckpt", folder / "checkpoints/a.ckpt")
    assert_same("runs/a/last.ckpt", folder / "runs/a/last.ckpt")
    for name in ("last.ckpt", "best.ckpt"):
        (Path("runs/a") / name).write_bytes(b"torn")
    with pytest.raises(InputError, match="leave out --ckpt_path last, and the run begins anew"):
        newest(Path("runs/a"), "classifier")


@pytest.mark.parametrize(("size", "batches", "left_out"), [(16, 1, 0), (4, 4, 0), (5, 3, 1), (64, 1, 0)])
def test_an_epoch_is_gone_on_with_by_another_batch_size(here, size, batches, left_out):
    """24 of 40 images are done."""
    with pytest.raises(Stopped):
        train(config(watch=CTRL_C, data={"train_images": 40}))
    assert content("runs/a/last.ckpt")["Shapes"] == {"images_done": 24}
    train([*config(data={"train_images": 40, "batch_size": size}), "--ckpt_path", "last"])
    images = [image for epoch, batch in SEEN for image in batch if epoch == 1]
    assert len(images) == len(set(images)) == 40 - left_out
    resumed = [batch for epoch, batch in SEEN if epoch == 1][3:]
    assert len(resumed) == batches
    assert [len(batch) for epoch, batch in SEEN if epoch == 2] == [min(size, 40)] * max(1, 40 // size)


def test_accumulated_gradients_and_another_batch_size(here):
    stop = {"hook": "third batch", "epoch": 0, "number": int(signal.SIGINT)}
    with pytest.raises(Stopped):
        train(config(watch=stop, data={"train_images": 64}, trainer={"accumulate_grad_batches": 2}))
    assert content("runs/a/last.ckpt")["Shapes"] == {"images_done": 32}
    arguments = config(data={"train_images": 64, "batch_size": 16}, trainer={"accumulate_grad_batches": 2})
    train([*arguments, "--ckpt_path", "last"])
    images = [image for epoch, batch in SEEN for image in batch if epoch == 0]
    assert len(images) == len(set(images)) == 64


def test_a_checkpoint_that_does_not_count_images_is_gone_on_with_by_its_batches(here):
    with pytest.raises(Stopped):
        train(config(watch=CTRL_C))
    earlier = content("runs/a/last.ckpt")
    del earlier["Shapes"], earlier["should_stop"]
    key = next(iter(k for k in earlier["callbacks"] if k.startswith("ModelCheckpoint")))
    state = earlier["callbacks"][key]
    state |= {"dirpath": "/somewhere/runs/a", "best_model_path": "/somewhere/runs/a/best.ckpt",
              "best_k_models": {"/somewhere/runs/a/best.ckpt": state["best_model_score"]}}  # fmt: skip
    torch.save(earlier, "runs/a/last.ckpt")
    train([*config(), "--ckpt_path", "last"])
    images = [image for epoch, batch in SEEN for image in batch if epoch == 1]
    assert len(images) == len(set(images)) == 32


def test_loader_processes_begin_the_epoch_that_comes(here):
    """They fetch before the Trainer has said which epoch it is."""
    train(config("whole", data={"num_workers": 1}))
    wanted = list(SEEN)
    SEEN.clear()
    with pytest.raises(RuntimeError, match="killed here"):
        train(config("a", watch={"hook": "on_train_epoch_start", "epoch": 1}, data={"num_workers": 1}))
    train([*config("a", data={"num_workers": 1}), "--ckpt_path", "last"])
    assert wanted == SEEN


def test_early_stopping_and_a_scheduler_that_waits_for_a_score_are_gone_on_with(here):
    stopping = {"class_path": "EarlyStopping", "init_args": {"monitor": "val/score", "mode": "max", "patience": 1}}
    stopping["init_args"]["stopping_threshold"] = 0.0  # after the first epoch
    train(config("whole", callbacks=[stopping]))
    epochs = len({epoch for epoch, _ in SEEN})
    assert epochs == 1
    SEEN.clear()
    train(config("a", callbacks=[stopping]))
    train([*config("a", callbacks=[stopping]), "--ckpt_path", "last"])  # killed before it could publish
    assert len({epoch for epoch, _ in SEEN}) == 1

    plateau = {"class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau", "init_args": {"mode": "max", "patience": 0}}
    for name in ("one", "two"):
        arguments = config(name, watch={"hook": "on_train_epoch_start", "epoch": 2} if name == "two" else {})
        arguments += [f"--model.init_args.scheduler={json.dumps(plateau)}"]
        if name == "two":
            with pytest.raises(RuntimeError, match="killed here"):
                train(arguments)
            arguments += ["--ckpt_path", "last"]
            arguments[1] = config(name)[1]
        train(arguments)
    rates = [
        content(f"runs/{name}/last.ckpt")["optimizer_states"][0]["param_groups"][0]["lr"] for name in ("one", "two")
    ]
    assert rates[0] == rates[1] < 3e-3


def test_what_is_missing_is_trained_anew_when_its_settings_have_changed(here, caplog):
    arguments = config(watch=CTRL_C)
    with pytest.raises(Stopped):
        train(arguments)
    with caplog.at_level("INFO"):
        train([*config(), "--ckpt_path", "auto", "--model.init_args.optimizer.init_args.lr=0.05"])
    assert "an earlier run is kept as runs/a." in caplog.text
    assert content("checkpoints/a.ckpt")["optimizer_states"][0]["param_groups"][0]["lr"] == 0.05
    steps = len(SEEN)
    train([*config(), "--ckpt_path", "auto", "--model.init_args.optimizer.init_args.lr=0.05", "--gallery.images=1"])
    assert len(SEEN) == steps, "a finished run with the same settings is published again, not trained again"


def test_a_mistaken_call_moves_nothing(whole, here):
    folder, _ = whole
    shutil.copytree(folder / "runs", "runs")
    shutil.copytree(folder / "checkpoints", "checkpoints")
    for wrong, words in (
        (["--ckpt_path", "runs/a/lats.ckpt"], r"lats\.ckpt"),
        (["--ckpt_path", "checkpoints/a.ckpt", "--trainer.max_epochs=1"], "has trained . epochs already: set trainer"),
        (["--trainer.accelerator", "gpu"], None),
        (["--data.init_args.root=nowhere", "--data", "Folder"], None),
    ):
        with pytest.raises((Exception, SystemExit), match=words):
            train([*config(), *wrong])
        assert sorted(path.name for path in Path("runs").iterdir() if path.suffix != ".lock") == ["a"]
        assert (Path("runs/a/last.ckpt")).is_file()


def test_two_that_begin_within_a_second_do_not_collide(here):
    for _ in range(3):
        begin(Path("runs/a"), going_on=False)
        (Path("runs/a/last.ckpt")).touch()
    set_aside(Path("runs/a"))
    assert len(list(Path("runs").glob("a.*/last.ckpt"))) == 3


HOLDER = """
import sys
from explainer.files import alone
with alone("runs/.a.lock", "runs/a"):
    print("held", flush=True)
    sys.stdin.read()
"""
"""Another training, as far as this one sees it: it holds the lock of runs/a until its input ends."""


def test_a_second_training_of_the_same_name_is_refused_and_moves_nothing(here):
    arguments = config()
    environment = os.environ | {"PYTHONPATH": str(tiny_runs.ROOT)}
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/last.ckpt").write_text("the other's")
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        code, said, (error,) = status_of(lambda: train(arguments))
        other.stdin.close()
    assert code == 2, said
    assert error.startswith(f"error: process {other.pid} on ")
    assert "works in runs/a: wait for it, stop it, or choose another name" in error
    assert Path("runs/a/last.ckpt").read_text() == "the other's"
    assert [path.name for path in Path("runs").iterdir() if path.is_dir()] == ["a"]


def test_publishing_never_shows_a_checkpoint_beside_the_config_of_another(here, monkeypatch):
    for name in ("one", "two"):
        folder = Path("runs") / name
        folder.mkdir(parents=True)
        (folder / "best.ckpt").write_text(name)
        (folder / "config.yaml").write_text(name)
    replace, steps = Path.replace, []

    def look(self, target):
        steps.append(
            [path.read_text() for path in map(Path, ("checkpoints/x.ckpt", "checkpoints/x.yaml")) if path.exists()]
        )
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    publish(Path("runs/one"), "x")
    assert steps == [[], ["one"]]
    assert Path("checkpoints/x.ckpt").read_text() == "one"
    steps.clear()
    publish(Path("runs/two"), "x")
    assert steps == [["one"], ["two"]]
    assert Path("checkpoints/x.yaml").read_text() == "two"
    with pytest.raises(InputError, match="nothing was trained: there is no checkpoint in runs/three"):
        publish(Path("runs/three"), "x")


def test_a_checkpoint_is_written_beside_its_target_and_a_failure_keeps_the_earlier_one(here, monkeypatch):
    writer = WholeCheckpoints()
    writer.save_checkpoint({"a": 1}, "last.ckpt")
    monkeypatch.setenv("TMPDIR", "/nonexistent")

    def fail(content, file, pickle_module):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space"):
        writer.save_checkpoint({"a": 2}, "last.ckpt")
    assert content("last.ckpt") == {"a": 1}
    assert [path.name for path in Path().iterdir()] == ["last.ckpt"]


def test_settings_that_matter(here):
    Path("a.ckpt").write_text("one")
    settings = {
        "seed_everything": 1, "model": {"lr": 1, "network": "a.ckpt"}, "data": {"num_workers": 1, "root": "x"},
        "trainer": {"max_epochs": 1, "logger": True}, "gallery": {"images": 1},
    }  # fmt: skip
    folder = Path("runs/a")
    assert not same_run(folder, settings)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(json.dumps(settings))
    assert same_run(folder, settings)
    other = {**settings, "gallery": None, "data": {"num_workers": 2, "root": "x"}, "trainer": {"max_epochs": 1}}
    assert same_run(folder, other)
    for key, value in (("seed_everything", 2), ("model", {"lr": 2}), ("trainer", {"max_epochs": 2}), ("data", {})):
        assert not same_run(folder, settings | {key: value}), key
    (folder / "inputs.json").write_text(json.dumps({"a.ckpt": "another digest"}))
    assert not same_run(folder, settings)


def test_a_run_of_before_a_move_and_before_a_setting_is_the_same_run(here):
    earlier = {
        "model": {"class_path": "explainer.modules.Classifier", "init_args": {"head_only": True}},
        "data": {"class_path": "explainer.data.VOC", "init_args": {"root": "x"}},
    }
    folder = Path("runs/a")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(json.dumps(earlier))
    now = {
        "model": {"class_path": "explainer.training.modules.Classifier", "init_args": {"head_only": True}},
        "data": {"class_path": "explainer.data.VOC", "init_args": {"root": "x", "crop": False, "blank": 0.0}},
    }
    assert same_run(folder, now)
    now["data"]["init_args"]["blank"] = 0.1
    assert not same_run(folder, now)

"""A training is never lost to wandb, nor to a picture that cannot be shown."""

import errno
import logging
import socket
import time
from types import SimpleNamespace

import pytest
import wandb
from PIL import Image

from explainer import tracking
from explainer.errors import InputError
from explainer.tracking import NoRun, choose_mode, find_id, reachable, unsent
from explainer.training.callbacks import Gallery, Pictures, Scores, SMOESaliency, Tracker
from explainer.training.callbacks import logging as showing

KEY = "a" * 40


@pytest.fixture
def said(caplog, monkeypatch, tmp_path):
    """What is said, in a folder of its own, by a user who is not logged in."""
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return lambda: caplog.text


@pytest.fixture
def silent_server():
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def run(folder):
    tracker = Tracker("name", folder, resume=True)
    tracker.log_hyperparams({"a": 1})
    tracker.log_metrics({"x": 1.0}, step=0)
    tracker.finalize("success")
    return tracker


def test_a_server_that_cannot_be_reached_means_offline_within_seconds(said, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(tracking, "_server", lambda: "http://127.0.0.1:9")
    run(tmp_path)
    assert "wandb goes on offline: http://127.0.0.1:9 cannot be reached" in said()
    assert "`wandb sync wandb/offline-run-" in said()


def test_what_wandb_refuses_at_the_start_means_offline(said, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    monkeypatch.setattr(tracking, "reachable", lambda url: True)
    monkeypatch.setattr(tracking, "START", 2.0)
    run(tmp_path)
    assert said().count("wandb goes on offline: ") == 1
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1


def test_where_wandb_cannot_even_be_offline_it_is_left_out(said, tmp_path, monkeypatch):
    def refuse(**options):
        raise ValueError("no\nsuch settings")

    monkeypatch.setattr(wandb, "init", refuse)
    run(tmp_path)
    assert "wandb is left out: no such settings; the training goes on without it" in said()


@pytest.mark.parametrize(
    ("asked", "mode"), [("dryrun", "offline"), ("garbage", "offline"), ("", "offline"), ("online", "online")]
)
def test_modes(said, monkeypatch, asked, mode):
    monkeypatch.setattr(tracking, "logged_in", lambda: False)
    monkeypatch.setenv("WANDB_MODE", asked)
    assert choose_mode(None) == mode
    assert ("it has no mode 'garbage'" in said()) == (asked == "garbage")


@pytest.mark.parametrize("content", ["", "a/b", "a b", "\x00", "x" * 65])
def test_what_is_no_id_is_replaced_and_said(said, tmp_path, content):
    path = tmp_path / "wandb_id"
    path.write_text(content)
    fresh = find_id(path, resume=True)
    assert path.read_text() == fresh
    assert len(fresh) == 8
    assert "holds no run's id" in said()
    assert find_id(path, resume=True) == fresh


def test_the_run_of_a_sweep_has_the_id_that_its_agent_gave(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    of_agent = Tracker("voc_sweep/abc123", tmp_path / "a", mode="offline")
    assert of_agent.version == "abc123"
    # the classifier that is trained first is another run
    of_classifier = Tracker("voc_classifier", tmp_path / "b", mode="offline")
    assert of_classifier.version != "abc123"


def test_every_part_that_was_not_sent_is_named(said, tmp_path):
    first = run(tmp_path)
    earlier = tmp_path / f"wandb/offline-run-20000101_000000-{first.version}"
    earlier.mkdir()
    run(tmp_path)
    parts = unsent(tmp_path / "wandb", first.version)
    # wandb names a folder by the second, so two quick runs may share one.
    assert parts == sorted((tmp_path / "wandb").glob(f"offline-run-*-{first.version}"))
    assert parts[0] == earlier
    assert len(parts) in (2, 3)
    last = said().splitlines()[-1]
    assert all(f"wandb/{part.name}" in last for part in parts)
    (parts[0] / f"run-{first.version}.wandb.synced").touch()
    assert unsent(tmp_path / "wandb", first.version) == parts[1:]
    many = [earlier.with_name(f"offline-run-{number}-{first.version}") for number in range(4)]
    assert tracking._shown(many).endswith(f"wandb/offline-run-*-{first.version}")


def test_probe_of_a_server(silent_server):
    assert reachable(silent_server)
    start = time.monotonic()
    for url in ("http://127.0.0.1:9", "garbage", "http://[", "http://host.invalid", ""):
        assert not reachable(url, 1.0)
    assert time.monotonic() - start < 6


def test_no_run_takes_everything():
    run = NoRun()
    run.summary["a"] = 1
    run.log({"a": 1})
    run.config.update({}, allow_val_change=True)


def test_where_there_is_no_run_the_progress_bar_shows_the_id(tmp_path):
    tracker = Tracker("run", tmp_path, mode="offline")
    tracker._experiment = NoRun()
    assert tracker.version == (tmp_path / "wandb_id").read_text()


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Gallery(images=-1), "gallery.images"),
        (lambda: Gallery(images=10**9), "gallery.images"),
        (lambda: Gallery(every_n_steps=0), "gallery.every_n_steps"),
        (lambda: Gallery(classes=-1), "gallery.classes"),
        (lambda: Pictures(images=-1), "pictures.images"),
        (lambda: Pictures(every_n_steps=-5), "pictures.every_n_steps"),
        (lambda: Pictures(seed=-1), "pictures.seed"),
        (lambda: Scores(batches=-1), "scores.batches"),
        (lambda: SMOESaliency(every_n_steps=-5), "saliency.every_n_steps"),
        (lambda: SMOESaliency(images=-1), "saliency.images"),
        (lambda: SMOESaliency(weights=[1.0, float("nan")]), "saliency.weights"),
    ],
)
def test_numbers_that_cannot_be_are_refused_by_their_key(make, key):
    with pytest.raises(InputError, match=key):
        make()


def test_a_picture_that_cannot_be_written_is_said_once(said, tmp_path, monkeypatch):
    trainer = SimpleNamespace(fast_dev_run=False, default_root_dir=str(tmp_path), global_step=3, loggers=[])

    def full(picture, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(showing, "save_picture", full)
    for _ in range(2):
        showing.show(trainer, "gallery", Image.new("RGB", (4, 4)))
    assert said().count("gallery is not shown, the training goes on: No space left on device") == 1

"""Trainings in several processes: the same as in one, no image lost or seen twice, and none waits for one that is gone."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict

import pytest
import torch
from torch import nn

from explainer.training import processes
from explainer.training.means import Means
from explainer.training.processes import average_gradients, gathered, share_buffers, share_of
from tests.support.tiny_runs import ROOT


def trained(folder, *parts):
    """What trainings of `tests.support.two_processes` have left in a folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.two_processes", *parts]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=900)
    return json.loads((folder / "statuses.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which each part was trained once."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "returned.json").write_text(json.dumps(trained(folder, "same", "killed", "unreadable", "unlike")))
    return folder


def statuses(folder, part):
    return json.loads((folder / "returned.json").read_text())[part]


def notes(folder, name, what):
    lines = []
    for path in sorted((folder / f"{name}.notes").glob("*.jsonl")):
        lines += [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["what"] == what]


def steps(folder, name):
    """(epoch, step) → the images of all processes, and the mean of their losses."""
    images, losses = defaultdict(list), defaultdict(list)
    for line in notes(folder, name, "train"):
        images[line["epoch"], line["step"]] += line["ids"]
        losses[line["epoch"], line["step"]].append(line["loss"])
    return {key: sorted(ids) for key, ids in images.items()}, {key: sum(v) / len(v) for key, v in losses.items()}


def logs(folder, name):
    return "".join(path.read_text() for path in sorted(folder.glob(f"{name}.*.log")))


@pytest.mark.parametrize("name", ["classifier", "explainer", "gan"])
def test_two_processes_train_what_one_trains(folder, name):
    assert statuses(folder, "same") == [[0], [0], [0, 0], [0], [0, 0], [0], [0, 0]]
    images, losses = steps(folder, f"{name}1")
    shared_images, shared_losses = steps(folder, f"{name}2")
    assert images == shared_images
    for epoch in range(2):
        seen = Counter(image for key, ids in shared_images.items() if key[0] == epoch for image in ids)
        assert len(seen) == 40
        assert set(seen.values()) == {1}
    assert shared_losses == pytest.approx(losses, rel=2e-6)
    weights = torch.load(folder / f"runs/{name}1/last.ckpt", weights_only=True)["state_dict"]
    shared = torch.load(folder / f"runs/{name}2/last.ckpt", weights_only=True)["state_dict"]
    # Adam turns the last bits of a gradient that is nearly 0 into a step
    distance = max(float((weights[key].double() - shared[key].double()).abs().max()) for key in weights)
    assert distance < {"classifier": 1e-6, "explainer": 1e-3, "gan": 1e-2}[name]


@pytest.mark.parametrize("name", ["classifier", "explainer", "gan"])
def test_every_image_is_validated_once_and_all_processes_know_the_mean_over_all(folder, name):
    validated = Counter(image for line in notes(folder, f"{name}2", "val") for image in line["ids"])
    assert len(validated) == 9
    assert set(validated.values()) == {2}, "once in each of two epochs"
    alone = [line["metrics"] for line in notes(folder, f"{name}1", "metrics")]
    first, second = ([n["metrics"] for n in notes(folder, f"{name}2", "metrics") if n["rank"] == r] for r in (0, 1))
    assert len(first) == 2
    assert first == second
    assert [set(metrics) for metrics in first] == [set(metrics) for metrics in alone]
    # what depends on the other images of a batch: the ragged one, with another number of images a process
    loose = {"classifier": (), "explainer": ("insertion", "deletion", "loss"), "gan": ("l1", "real", "made")}[name]
    for metrics, expected in zip(first, alone, strict=True):
        for key, value in expected.items():
            tolerance = 2e-2 if key.endswith(loose) and loose else 1e-5
            assert metrics[key] == pytest.approx(value, abs=tolerance), key


@pytest.mark.parametrize("name", ["classifier", "explainer", "gan"])
def test_the_first_process_alone_writes_the_same_files_as_one(folder, name):
    files = [{p.relative_to(run) for p in run.rglob("*")} for run in (folder / f"runs/{name}{n}" for n in (1, 2))]
    assert files[0] == files[1]
    assert (folder / f"checkpoints/{name}2.ckpt").is_file()


def test_a_step_is_said_in_one_line(folder):
    line = "a step: 4 images × 2 processes × 1 accumulated = 8 images; learning rate 0.003 as configured, not scaled"
    assert logs(folder, "classifier2").count(line) == 1


def test_each_process_draws_its_own_random_numbers(folder):
    states = {line["rank"]: line["random"] for line in notes(folder, "explainer2", "random")}
    assert states[0] != states[1]
    # saved with the state: the third run of two processes goes on where the second one was
    drawn = {(line["rank"], line["step"]): line["random"] for line in notes(folder, "killed", "random")}
    assert drawn[1, 5] == drawn[1, 6]


def test_a_killed_process_ends_the_run_and_other_numbers_of_processes_go_on(folder):
    died, alone, together, finished = statuses(folder, "killed")
    assert died == [1, -9]
    assert "error: another process of this training has ended" in logs(folder, "killed")
    assert alone == [143]
    # the signal came to the second process: the first one saves and speaks, and neither takes the other for dead
    assert together == [130, 0]
    assert logs(folder, "killed").count("stopped; saved runs/killed/last.ckpt at step 6") == 1
    assert finished == [0, 0]
    images, _ = steps(folder, "killed")
    for epoch in range(2):
        seen = Counter(image for key, ids in images.items() if key[0] == epoch for image in ids)
        assert len(seen) == 40
        assert set(seen.values()) == {1}
    assert [len(images[0, step]) for step in range(1, 7)] == [8, 8, 4, 4, 8, 8]
    state = torch.load(folder / "runs/killed/last.ckpt", weights_only=True)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in state.values())


@pytest.mark.parametrize("name", ["classifier", "explainer", "gan"])
def test_a_process_without_a_readable_image_keeps_up(folder, name):
    assert statuses(folder, "unreadable") == [[0, 0]] * 3
    done = notes(folder, f"unreadable_{name}", "train")
    assert [len(line["ids"]) for line in done if line["rank"] == 1][:3] == [0, 0, 4]
    assert [len(line["ids"]) for line in done if line["rank"] == 0] == [4] * 10
    assert "8 unreadable images of the train split were skipped" in logs(folder, f"unreadable_{name}")


def test_processes_with_other_images_are_refused_before_they_wait(folder):
    assert statuses(folder, "unlike") == [[2, 2]]
    assert "do not agree on the train images: 40 (digest" in logs(folder, "unlike")


@pytest.fixture
def two(monkeypatch):
    """Lets this process take itself for the second of two, of which the first has the same."""
    monkeypatch.setattr(processes, "rank_and_world", lambda: (1, 2))
    monkeypatch.setattr(processes.dist, "all_gather", lambda parts, part: [p.copy_(part) for p in parts])
    monkeypatch.setattr(processes.dist, "all_reduce", lambda tensor: tensor.add_(torch.zeros_like(tensor)))
    monkeypatch.setattr(processes.dist, "broadcast", lambda tensor, source: tensor.fill_(source + 3))


def test_what_processes_tell_one_another_is_plain(two):
    value = {"names": ["ä", "b" * 300], "number": 0.1, "none": None}
    assert gathered(value) == [value, value]
    with pytest.raises(TypeError):
        gathered({"a": torch.zeros(1)})


def test_the_share_of_a_process_is_that_of_its_images(two):
    assert share_of(torch.arange(6)).tolist() == [1, 3, 5]


def test_gradients_are_means_over_images(two):
    weight, unused = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(4))
    weight.grad = torch.arange(6.0).view(2, 3)
    # the other process has none: its zeros count for no image
    assert average_gradients([weight, unused], 5)
    torch.testing.assert_close(weight.grad, torch.arange(6.0).view(2, 3))
    assert unused.grad.tolist() == [0] * 4
    assert not average_gradients([weight, unused], 0)


def test_buffers_are_those_of_the_first_process(two):
    network = nn.BatchNorm2d(2)
    share_buffers(network)
    assert network.running_mean.tolist() == [3, 3]
    assert network.weight.tolist() == [1, 1]


def test_means_weigh_batches_by_their_images_and_take_names_that_one_process_has(monkeypatch):
    means = Means()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, 3)
    means.add({"a": torch.tensor(5.0)}, 1)
    assert {name: float(value) for name, value in means.take().items()} == {"a": 2.0, "b": 2.0}
    assert means.take() == {}
    others = [{}, {"c": (6.0, 2), "a": (0.0, 4)}]
    monkeypatch.setattr("explainer.training.means.rank_and_world", lambda: (0, 3))
    monkeypatch.setattr("explainer.training.means.gathered", lambda value, device: [value, *others])
    means.add({"a": torch.tensor(2.0)}, 4)
    assert {name: float(value) for name, value in means.take().items()} == {"a": 1.0, "c": 3.0}

"""Trainings in one, two or three processes, all from one interpreter: `python -m tests.support.two_processes part …`.

The processes are forked from here, with the environment variables that a launcher sets. So PyTorch and Lightning are
imported once, and not once a process. What they did is in files: tests read them.
"""

import json
import os
import signal
import socket
import sys
import zlib
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import nn

import explainer.cli.train  # noqa: F401  # here, so that the forked processes need not import it
from explainer.__main__ import main
from tests.support import tiny_runs

HERE = "tests.support.two_processes"


def plain(num_classes=6, dropout=0.0):
    """A network without BatchNorm: its loss is a mean over images."""
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes))


class Note(pl.Callback):
    """Writes down which images each process has done, with the loss, and what it validated."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def write(self, trainer, **facts):
        self.folder.mkdir(exist_ok=True)
        facts |= {"rank": trainer.global_rank, "world": trainer.world_size, "epoch": trainer.current_epoch}
        with (self.folder / f"{trainer.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps(facts) + "\n")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        state = zlib.crc32(torch.get_rng_state().numpy().tobytes())
        self.write(trainer, what="random", step=trainer.global_step, random=state)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        metrics = trainer.callback_metrics
        loss = metrics.get("train/loss", metrics.get("train/critic", float("nan")))
        self.write(trainer, what="train", ids=list(batch.id), step=trainer.global_step, loss=float(loss))

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if not trainer.sanity_checking:
            self.write(trainer, what="val", ids=list(batch.id))

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if "val/" in name}
            self.write(trainer, what="metrics", metrics=metrics)


class Signal(pl.Callback):
    """Sends its own process a signal before a step."""

    def __init__(self, number, step, rank):
        self.number = number
        self.step = step
        self.rank = rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            os.kill(os.getpid(), self.number)


class Unreadable(pl.Callback):
    """Makes all images of one process's batches unreadable, some batches long."""

    def on_fit_start(self, trainer, pl_module):
        if trainer.global_rank == 1:
            dataset = trainer.datamodule.split("train")
            read = dataset.image
            left = [8]

            def broken(index):
                if left[0]:
                    left[0] -= 1
                    raise OSError("torn")
                return read(index)

            dataset.image = broken


def callback(name, **arguments):
    return {"class_path": f"{HERE}.{name}", "init_args": arguments}


def run(world, *arguments, callbacks=(), name):
    """Train in some processes; returns their exit statuses, in the order of their numbers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if child:
            children.append(child)
            continue
        try:
            log = os.open(f"{name}.{rank}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            # a hang is a failure, and not one that takes as long as the tests may
            signal.alarm(100)
            if world > 1:
                os.environ |= {"LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_PORT": str(port)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "NODE_RANK": "0"}
                rank_zero_only.rank = rank
            extra = [f"--trainer.callbacks+={json.dumps(c)}" for c in callbacks]
            options = ["--trainer.devices", str(world)] + (["--trainer.strategy", "ddp"] if world > 1 else [])
            os._exit(main(["train", *arguments, "--name", name, *options, *extra]))
        except BaseException:  # it must not go on as the parent
            import traceback

            traceback.print_exc()
            os._exit(99)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


SMALL = {"train_images": 40, "val_images": 9, "batch_size": 4}
"""In two processes: five steps an epoch. Of nine validation images one has five, in a batch more than the other."""


def write_configs():
    network = {"network": f"{HERE}.plain"}
    model = {"class_path": "Classifier", "init_args": {"explanandum": network, "optimizer": tiny_runs.adam(3e-3)}}
    trainer = tiny_runs.trainer(max_epochs=2, enable_model_summary=False)
    options = {"data": tiny_runs.data(**SMALL), "trainer": trainer, "gallery": {"images": 0}}
    tiny_runs.write("classifier", {"model": model} | options)
    model = {
        "explanandum": {"network": "checkpoints/with_batchnorm.ckpt"},
        "masker": {"class_path": "FeatureMasker", "init_args": {"width": 8, "scales": 2}},
        "objective": {"class_path": "ExplainerObjective", "init_args": {"insertion": 0.5, "deletion": 0.5}},
        "optimizer": tiny_runs.adam(),
        "scheduler": {"class_path": "explainer.training.schedule.WarmUpCosine", "init_args": {"warm_up": 3}},
        "best_by": "score",
    }
    averaged = {"class_path": "explainer.training.callbacks.averaging.AveragedWeights", "init_args": {"decay": 0.9}}
    trainer |= {"callbacks": [averaged]}
    model = {"class_path": "AmortizedExplainer", "init_args": model}
    tiny_runs.write("explainer", {"model": model} | options | {"trainer": trainer, "gallery": {"images": 2}})
    network = {"class_path": "ContextualAttention", "init_args": {"width": 4, "dilations": [1, 2]}}
    optimizers = {"generator_optimizer": tiny_runs.adam(), "critic_optimizer": tiny_runs.adam()}
    for name, more in {"gan": {"loss": "wgan_gp", "critic_steps": 2}, "hinge": {"loss": "hinge"}}.items():
        model = {"class_path": "Inpainting", "init_args": {"network": network, "critic_width": 4} | optimizers | more}
        tiny_runs.write(name, {"model": model} | options | {"pictures": {"images": 2}})
    network = {"network": "explainer.networks.small.small_cnn", "network_args": {"width": 4}}
    model = {"class_path": "Classifier", "init_args": {"explanandum": network, "optimizer": tiny_runs.adam(3e-3)}}
    tiny_runs.write("with_batchnorm", {"model": model} | options)


def same():
    """Each kind of module in one process, and in two with half the images each."""
    yield run(1, "--config", "with_batchnorm.yaml", name="with_batchnorm")
    for name in ("classifier", "explainer", "gan"):
        for world in (1, 2):
            size = ["--data.init_args.batch_size", str(8 // world)]
            notes = [callback("Note", folder=f"{name}{world}.notes")]
            yield run(world, "--config", f"{name}.yaml", *size, callbacks=notes, name=f"{name}{world}")


def killed():
    """One of two processes dies within the first epoch; one goes on and is stopped, and then two again."""
    often = ["--config", "explainer.yaml", "--resume.every_n_steps", "1"]
    notes = callback("Note", folder="killed.notes")
    die = callback("Signal", number=int(signal.SIGKILL), step=2, rank=1)
    stop = callback("Signal", number=int(signal.SIGTERM), step=3, rank=0)
    yield run(2, *often, callbacks=[notes, die], name="killed")
    yield run(1, *often, "--ckpt_path", "last", callbacks=[notes, stop], name="killed")
    stop = callback("Signal", number=int(signal.SIGTERM), step=5, rank=1)
    yield run(2, *often, "--ckpt_path", "last", callbacks=[notes, stop], name="killed")
    yield run(2, *often, "--ckpt_path", "last", callbacks=[notes], name="killed")


def unreadable():
    """One of two processes has batches without an image."""
    for name in ("classifier", "explainer", "gan"):
        notes = [callback("Note", folder=f"unreadable_{name}.notes"), callback("Unreadable")]
        yield run(2, "--config", f"{name}.yaml", callbacks=notes, name=f"unreadable_{name}")


def unlike():
    """Processes that are about to do something else than the first."""
    yield run(2, "--config", "classifier.yaml", callbacks=[callback("OtherImages")], name="unlike")


class OtherImages(pl.Callback):
    """Leaves one process an image less."""

    def setup(self, trainer, pl_module, stage):
        if trainer.global_rank == 1:
            trainer.datamodule.split("train").ids.pop()


if __name__ == "__main__":
    write_configs()
    statuses = {part: list(globals()[part]()) for part in sys.argv[1:]}
    Path("statuses.json").write_text(json.dumps(statuses))

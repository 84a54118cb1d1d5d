"""Pictures and curves reach the loggers of either Lightning; what a logger refuses stops nothing."""

import csv
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from explainer.training.callbacks import logging as showing
from explainer.training.callbacks.loggers import folder_of, send_numbers, send_picture

PICTURE = Image.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))


class MLFlowLogger:
    """What MLflow's logger of Lightning has: a client, and the id of a run."""

    def __init__(self):
        self.sent = []
        self.run_id = "a run"
        self.experiment = SimpleNamespace(log_image=lambda *given, **named: self.sent.append((given, named)))


class WandbLogger:
    def __init__(self):
        self.sent = []

    def log_metrics(self, metrics, step):
        self.sent.append((metrics, step))


class Refusing(WandbLogger):
    def log_metrics(self, metrics, step):
        raise ConnectionError("the server is away")


def trainer(folder, *loggers):
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=7))
    return SimpleNamespace(
        fast_dev_run=False, default_root_dir=str(folder), global_step=8, loggers=list(loggers), fit_loop=loop
    )


def test_tensorboard_gets_the_very_picture(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = TensorBoardLogger(tmp_path)
    send_picture(logger, "saliency", PICTURE, 7)
    send_numbers(logger, {"saliency/entropy": 0.5}, 7)
    logger.experiment.flush()
    written = events.EventAccumulator(logger.log_dir)
    written.Reload()
    (image,) = written.Images("saliency")
    assert (image.step, image.width, image.height) == (7, 6, 4)
    (scalar,) = written.Scalars("saliency/entropy")
    assert (scalar.step, scalar.value) == (7, 0.5)


def test_wandb_and_mlflow_get_the_picture_under_its_step():
    wandb, mlflow = WandbLogger(), MLFlowLogger()
    for logger in (wandb, mlflow):
        send_picture(logger, "saliency", PICTURE, 7)
    ((metrics, step),) = wandb.sent
    assert step == 7
    assert (metrics["saliency"]._width, metrics["saliency"]._height) == (6, 4)
    assert mlflow.sent == [(("a run", PICTURE), {"key": "saliency", "step": 7})]


def test_csv_has_the_curve_and_no_picture(tmp_path):
    logger = CSVLogger(tmp_path)
    send_picture(logger, "saliency", PICTURE, 7)
    send_numbers(logger, {"saliency/entropy": 0.5}, 7)
    logger.save()
    (row,) = csv.DictReader((Path(logger.log_dir) / "metrics.csv").read_text().splitlines())
    assert (row["saliency/entropy"], row["step"]) == ("0.5", "7")


def test_files_lie_in_the_folder_of_the_first_logger_that_has_one(tmp_path):
    csv_logger = CSVLogger(tmp_path / "csv")
    assert str(folder_of(trainer(tmp_path, WandbLogger(), csv_logger))) == csv_logger.log_dir
    assert folder_of(trainer(tmp_path, WandbLogger())) == tmp_path
    assert folder_of(trainer(tmp_path)) == tmp_path


def test_several_loggers_at_once_and_one_that_refuses(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    wandb, mlflow = WandbLogger(), MLFlowLogger()
    several = trainer(tmp_path, wandb, Refusing(), mlflow)
    for _ in range(2):
        showing.show(several, "saliency", PICTURE)
    assert (len(wandb.sent), len(mlflow.sent)) == (2, 2)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "saliency" / "step_0000008.png")), np.asarray(PICTURE))
    showing.log_numbers(trainer(tmp_path, wandb), {"saliency/entropy": 0.5})
    assert wandb.sent[-1] == ({"saliency/entropy": 0.5}, 7)
    words = "Refusing lacks some of the curves and pictures: ConnectionError: the server is away"
    assert caplog.text.count(words) == 1


def test_what_only_wandb_shows_is_made_for_wandb_alone(tmp_path):
    made = []
    make = lambda: made.append(1) or {"table": 1}  # noqa: E731
    showing.log_to_wandb(trainer(tmp_path, MLFlowLogger()), make)
    assert made == []
    wandb = WandbLogger()
    showing.log_to_wandb(trainer(tmp_path, wandb), make)
    assert wandb.sent == [({"table": 1}, 7)]


def test_lightnings_own_names_are_those_that_are_looked_for():
    for name in ("WandbLogger", "TensorBoardLogger", "MLFlowLogger", "CSVLogger"):
        assert getattr(pl.loggers, name).__name__ == name

"""Tiny configs for tests of whole runs."""

import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml

from explainer.evaluation.settings import (
    CheckSettings,
    Evaluation,
    ImageSettings,
    MatrixSettings,
    ReportSettings,
    SalientSettings,
    TargetSettings,
    TruthSettings,
)

ROOT = Path(__file__).resolve().parents[2]


def data(**options):
    tiny = {
        "image_size": 32,
        "batch_size": 8,
        "num_workers": 0,
        "train_images": 64,
        "val_images": 16,
        "test_images": 16,
    }
    return {"class_path": "Shapes", "init_args": tiny | {"flip": 0.5} | options}


def adam(lr=1e-3):
    return {"class_path": "torch.optim.Adam", "init_args": {"lr": lr}}


def trainer(**options):
    return {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "max_epochs": 2} | options


def classifier_config(name="tiny_classifier", network_args=None, **options):
    network = {"network": "explainer.networks.small.small_cnn", "network_args": network_args or {"width": 4}}
    model = {"class_path": "Classifier", "init_args": {"explanandum": network, "optimizer": adam(3e-3)}}
    return write(name, {"model": model, "data": data(), "trainer": trainer(max_epochs=1)} | options)


def explainer_config(name="tiny", objective="ExplainerObjective", **options):
    arguments = {"encoder_depth": 3, "decoder_channels": 16, "decoder_atrous_rates": [1, 2, 3]}
    model = {
        "explanandum": {"network": "checkpoints/tiny_classifier.ckpt"},
        "masker": {"encoder": "tu-test_resnet", "arguments": arguments},
        "objective": {"class_path": objective},
        "optimizer": adam(),
    }
    config = {
        "explanandum_config": "tiny_classifier.yaml",
        "model": {"class_path": "AmortizedExplainer", "init_args": model},
        "data": data(),
        "trainer": trainer(),
        "gallery": {"images": 0},
    }
    return write(name, config | options)


GROUPS = {
    "images": ("split", "limit", "offset", "one_label"),
    "truth": ("void", "objects"),
    "salient": ("level", "alpha", "held_out", "held_out_split"),
    "report": ("wandb", "intervals", "gallery", "counterfactuals", "infills", "class_gallery", "published"),
}
RENAMED = {
    "true_boxes": ("truth", "boxes"),
    "targets": ("targets", "kind"),
    "target_threshold": ("targets", "threshold"),
    "probes": ("sanity_checks", "checks"),
    "probed": ("sanity_checks", "methods"),
    "matrix": ("class_matrix", "methods"),
    "matrix_classes": ("class_matrix", "classes"),
    "report": ("report", "page"),
}


def grouped(flat):
    """Settings of an evaluation in their groups, from one flat dictionary, which is shorter to write in a test."""
    places = RENAMED | {key: (group, key) for group, keys in GROUPS.items() for key in keys}
    nested = {}
    for key, value in flat.items():
        if key in places:
            group, name = places[key]
            nested.setdefault(group, {})[name] = value
        else:
            nested[key] = value
    return nested


def evaluation(**flat):
    """The settings as objects."""
    kinds = {
        "images": ImageSettings,
        "truth": TruthSettings,
        "targets": TargetSettings,
        "salient": SalientSettings,
        "sanity_checks": CheckSettings,
        "class_matrix": MatrixSettings,
        "report": ReportSettings,
    }
    return Evaluation(**{key: kinds[key](**value) if key in kinds else value for key, value in grouped(flat).items()})


def write(name, config):
    if "evaluation" in config:
        config = config | {"evaluation": grouped(config["evaluation"])}
    path = Path(f"{name}.yaml")
    path.write_text(yaml.safe_dump(config))
    return str(path)


def start(script, *arguments):
    """A command of the project as a person starts it, in the current folder."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "WANDB_MODE": "offline",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    command = [sys.executable, *([str(ROOT / script)] if script.endswith(".py") else ["-m", script]), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

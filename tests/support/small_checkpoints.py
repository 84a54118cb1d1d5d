"""Checkpoints as train.py writes them, without training."""

import io
from functools import cache
from pathlib import Path

import torch

from explainer.networks import DCGAN, CompletionVAE, ContextualAttention, Explanandum, Masker
from explainer.networks.ema import Average

CLASSES = ("cat", "dog", "cow")
SMALL = {"network": "explainer.networks.small.small_cnn", "network_args": {"width": 4}}
MASKER = {"encoder": "tu-test_resnet", "arguments": {"encoder_depth": 3, "decoder_channels": 8}}
"""A masker with the smallest encoder that there is: a checkpoint of 0.4 MB, where one with a ResNet-18 has 45."""


def save_explainer(path, classes=CLASSES, multilabel=True, image_size=32):
    Path(path).write_bytes(_explainer_bytes(tuple(classes), multilabel, image_size))
    return str(path)


@cache
def _explainer_bytes(classes, multilabel, image_size):
    """The file of an Explainer; its networks are built once, of the same seed whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        explanandum = Explanandum(**SMALL, num_classes=len(classes), multilabel=multilabel)
        masker = Masker(**MASKER)
        masker.build(len(classes))
    state = {f"explanandum.{k}": v for k, v in explanandum.state_dict().items()}
    state |= {f"masker.{k}": v for k, v in masker.state_dict().items()}
    spec = {
        "version": "0", "kind": "explainer", "image_size": image_size, "classes": list(classes),
        "multilabel": multilabel, "explanandum": explanandum.spec, "masker": masker.spec,
    }  # fmt: skip
    file = io.BytesIO()
    torch.save({"explainer": spec, "state_dict": state}, file)
    return file.getvalue()


def explainer_content(classes=CLASSES, multilabel=True, image_size=32):
    """What `save_explainer` writes, fresh each time."""
    file = io.BytesIO(_explainer_bytes(classes, multilabel, image_size))
    return torch.load(file, weights_only=True)


def save_classifier(path, classes=CLASSES, multilabel=True, image_size=32):
    explanandum = Explanandum(**SMALL, num_classes=len(classes), multilabel=multilabel)
    return save_explanandum(explanandum, path, classes, multilabel, image_size)


def save_explanandum(explanandum, path, classes=("a", "b", "c"), multilabel=False, image_size=32):
    """A classifier of any kind."""
    state = {f"explanandum.{k}": v for k, v in explanandum.state_dict().items()}
    spec = {
        "version": "0", "kind": "classifier", "image_size": image_size, "classes": list(classes),
        "multilabel": multilabel, "explanandum": explanandum.spec,
    }  # fmt: skip
    torch.save({"explainer": spec, "state_dict": state}, path)
    return str(path)


def save_generative(path, kind="inpainter", classes=CLASSES, image_size=32, network=None):
    """Of an "inpainter", a "vae" or a "generator"; the average differs from the network."""
    if network is None and kind == "generator":
        network = DCGAN(image_size, latent=8, width=4)
    made = network or (CompletionVAE if kind == "vae" else ContextualAttention)(width=4, dilations=(1,))
    average = Average(made.generator if kind == "generator" else made)
    with torch.no_grad():
        next(made.parameters()).add_(1.0)
    state = {f"network.{k}": v for k, v in made.state_dict().items()}
    state |= {f"average.{k}": v for k, v in average.state_dict().items()}
    spec = {
        "version": "0", "kind": kind, "image_size": image_size, "classes": list(classes), "multilabel": True,
        "network": made.spec,
    }  # fmt: skip
    torch.save({"explainer": spec, "state_dict": state}, path)
    return str(path)

"""Checkpoints as train.py writes them, without training."""

import torch

from explainer.networks import Explanandum, Masker

CLASSES = ("cat", "dog", "cow")
SMALL = {"network": "explainer.networks.small.small_cnn", "network_args": {"width": 4}}
MASKER = {"encoder": "resnet18", "arguments": {"encoder_depth": 3, "decoder_channels": 8}}


def save_explainer(path, classes=CLASSES, multilabel=True, image_size=32):
    explanandum = Explanandum(**SMALL, num_classes=len(classes), multilabel=multilabel)
    masker = Masker(**MASKER)
    masker.build(len(classes))
    state = {f"explanandum.{k}": v for k, v in explanandum.state_dict().items()}
    state |= {f"masker.{k}": v for k, v in masker.state_dict().items()}
    spec = {
        "version": "0", "kind": "explainer", "image_size": image_size, "classes": list(classes),
        "multilabel": multilabel, "explanandum": explanandum.spec, "masker": masker.spec,
    }  # fmt: skip
    torch.save({"explainer": spec, "state_dict": state}, path)
    return str(path)


def save_classifier(path, classes=CLASSES, multilabel=True, image_size=32):
    explanandum = Explanandum(**SMALL, num_classes=len(classes), multilabel=multilabel)
    state = {f"explanandum.{k}": v for k, v in explanandum.state_dict().items()}
    spec = {
        "version": "0", "kind": "classifier", "image_size": image_size, "classes": list(classes),
        "multilabel": multilabel, "explanandum": explanandum.spec,
    }  # fmt: skip
    torch.save({"explainer": spec, "state_dict": state}, path)
    return str(path)

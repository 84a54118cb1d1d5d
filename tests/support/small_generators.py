"""Generators of which nothing was learned."""

import torch
from torch import nn

from explainer.networks.generative.dcgan import DCGAN


class FlatColours(nn.Module):
    """A code of three numbers in [−1, 1] is an image of that colour; every image is as real as its red is strong."""

    latent, num_classes, classes = 3, 0, ()

    def __init__(self, image_size=8):
        super().__init__()
        self.image_size = image_size

    def generate(self, codes, labels=None):
        return (0.5 + 0.5 * codes)[..., None, None].expand(-1, -1, self.image_size, self.image_size)

    def realism(self, images, labels=None):
        return images[:, 0].mean((1, 2))


def save_generator(path, image_size=8, classes=(), latent=6, width=2, kind="generator"):
    """As train.py writes it; with classes the generator is conditional."""
    torch.manual_seed(1)
    network = DCGAN(image_size, latent, width, len(classes))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training: else the images are all grey
            module.running_var.fill_(0.05)
    spec = {
        "version": "0", "kind": kind, "image_size": image_size, "classes": list(classes), "network": network.spec,
    }  # fmt: skip
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"explainer": spec, "state_dict": state}, path)
    return str(path)

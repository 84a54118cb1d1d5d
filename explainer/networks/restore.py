"""Build the networks of a checkpoint again, with their weights: an Explainer, a generator, an in-painter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.networks.checkpoint import part, read_checkpoint
from explainer.networks.explanandum import Explanandum
from explainer.networks.feature_masker import FeatureMasker
from explainer.networks.generative.contextual_attention import ContextualAttention
from explainer.networks.generative.dcgan import DCGAN
from explainer.networks.generative.inpainter import Inpainter
from explainer.networks.generative.vae import CompletionVAE
from explainer.networks.loading import load_state
from explainer.networks.mask_network import MaskNetwork
from explainer.networks.masker import Masker
from explainer.networks.trust import bounded


def load_explainer(
    path: str | Path, map_location: str | torch.device = "cpu", allow: Sequence[str] = ()
) -> tuple[Explanandum, MaskNetwork, dict[str, Any]]:
    """Load both networks of an Explainer's checkpoint, in evaluation mode.

    Args:
        path: Checkpoint that train.py wrote for an Explainer.
        map_location: Device to put them on.
        allow: Dotted names of builders, modules or packages that the caller trusts, as for `check_network`.

    Returns:
        The explanandum, the masker, and the checkpoint's description.

    Raises:
        InputError: As `read_checkpoint` and `check_network`, or the weights do not fit.
    """
    spec, state = read_checkpoint(path, "explainer")
    explanandum = Explanandum(str(path), allow=allow)
    with bounded(state, path):
        masker = _new_masker(spec["masker"])
        masker.attach(explanandum)
        masker.build(len(spec["classes"]))
    load_state(masker, part(state, "masker"), str(path))
    masker.requires_grad_(False)
    return explanandum.to(map_location), masker.eval().to(map_location), spec


def _new_masker(spec: dict[str, Any]) -> MaskNetwork:
    # a description does not name its class: only a segmentation network has an encoder of its own
    if "encoder" in spec:
        return Masker(**spec)
    return FeatureMasker(**spec)


def read_generative(
    path: str | Path, kind: str, image_size: int | None = None, classes: Sequence[str] | None = None, averaged: str = ""
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description of a generative network's checkpoint, and its weights with the averaged ones in their place.

    Args:
        path: A file that train.py wrote.
        kind: "generator", "inpainter" or "vae".
        image_size: Of the images that it is for; None takes any.
        classes: Of the data set that it is for; None takes any.
        averaged: Prefix, with its dot, of that part of the network of which an average was kept; all by default.

    Returns:
        The description, and name → tensor of the network.

    Raises:
        InputError: As `read_checkpoint`, or it was trained on images of another size, or on another data set.
    """
    spec, state = read_checkpoint(path, kind)
    if image_size is not None and spec["image_size"] != image_size:
        raise InputError(f"{path} was trained on images of {spec['image_size']} pixels a side, not {image_size}")
    if classes is not None and tuple(classes) != tuple(spec["classes"]):
        own, other = (f"{len(c)} classes ({', '.join(list(c)[:3])} …)" for c in (spec["classes"], classes))
        raise InputError(f"{path} was trained on a data set of {own}; here there are {other}")
    average = {f"{averaged}{name}": tensor for name, tensor in part(state, "average.network").items()}
    return spec, part(state, "network") | average


def load_generator(
    path: str | Path,
    map_location: str | torch.device = "cpu",
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
) -> DCGAN:
    """A trained generator with its critic, frozen and in evaluation mode.

    Args:
        path: A file that train.py wrote for a DCGAN.
        map_location: Device to put it on.
        image_size: As in `read_generative`.
        classes: Likewise.

    Returns:
        The network; its `classes` are the data set's when it is conditional.

    Raises:
        InputError: As `read_generative`, or the weights do not fit.
    """
    spec, state = read_generative(path, "generator", image_size, classes, "generator.")
    with bounded(state, path):
        network = DCGAN(**spec["network"])
    load_state(network, state, str(path))
    network.classes = tuple(spec["classes"]) if network.num_classes else ()
    return network.requires_grad_(False).eval().to(map_location)


def load_inpainter(
    path: str | Path,
    kind: str = "inpainter",
    map_location: str | torch.device = "cpu",
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[Inpainter, dict[str, Any]]:
    """A trained network that fills holes, frozen and in evaluation mode.

    Args:
        path: A file that train.py wrote for it.
        kind: "inpainter" (contextual attention) or "vae".
        map_location: Device to put it on.
        image_size: As in `read_generative`.
        classes: Likewise.

    Returns:
        The network, and the checkpoint's description.

    Raises:
        InputError: As `read_generative`, or the weights do not fit.
    """
    spec, state = read_generative(path, kind, image_size, classes)
    with bounded(state, path):
        network: Inpainter = (CompletionVAE if kind == "vae" else ContextualAttention)(**spec["network"])
    load_state(network, state, str(path))
    return network.requires_grad_(False).eval().to(map_location), spec

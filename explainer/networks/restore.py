"""Build the networks of a checkpoint again, with their weights: an Explainer, a generator, an in-painter."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.checkpoint import part, read_checkpoint
from explainer.networks.description import Explained, Generated, Reader, Segmenter
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
    path: str | Path,
    map_location: str | torch.device = "cpu",
    allow: Sequence[str] = (),
    model: nn.Module | None = None,
) -> tuple[Explanandum, MaskNetwork, Explained]:
    """Load both networks of an Explainer's checkpoint, in evaluation mode.

    Args:
        path: Checkpoint that train.py wrote for an Explainer.
        map_location: Device to put them on.
        allow: Dotted names of builders, modules or packages that the caller trusts, as for `check_network`.
        model: Network of the classifier's kind, for a checkpoint of a network that no name builds. It is copied, and
            the copy gets the checkpoint's weights.

    Returns:
        The explanandum, the masker, and the checkpoint's description.

    Raises:
        InputError: `read_checkpoint` or `check_network` refuses it, or the weights do not fit.
    """
    description, state = read_checkpoint(path, "explainer")
    spec = cast(Explained, description)
    explanandum = _classifier_of(spec, state, str(path), allow, model)
    with bounded(state, path):
        masker = _new_masker(spec["masker"])
        masker.attach(explanandum)
        masker.build(len(spec["classes"]))
    load_state(masker, part(state, "masker"), str(path))
    masker.requires_grad_(False)
    return explanandum.to(map_location), masker.eval().to(map_location), spec


def _classifier_of(
    spec: Explained,
    state: dict[str, Tensor],
    path: str,
    allow: Sequence[str],
    model: nn.Module | None,
) -> Explanandum:
    """Return a checkpoint's classifier: built by its name, or in a copy of a network of its kind."""
    if model is None:
        return Explanandum(path, allow=allow)
    network = spec["explanandum"]
    explanandum = Explanandum(
        copy.deepcopy(model),  # type: ignore[arg-type]
        multilabel=spec["multilabel"],
        mean=network["mean"],
        std=network["std"],
        taps=network["taps"],
        head=network.get("head"),
    )
    explanandum.image_size = spec["image_size"]
    load_state(explanandum, part(state, "explanandum"), path)
    explanandum.describe_classes(spec["classes"], bool(spec["multilabel"]), new_head=False)
    return explanandum


def _new_masker(spec: Segmenter | Reader) -> MaskNetwork:
    # a description does not name its class: only a segmentation network has an encoder of its own
    if "encoder" in spec:
        return Masker(**cast(Segmenter, spec))
    return FeatureMasker(**cast(Reader, spec))


def read_generative(
    path: str | Path,
    kind: str,
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
    averaged: str = "",
) -> tuple[Generated, dict[str, Tensor]]:
    """Return a generative checkpoint's description, and its weights with the averaged ones in their place.

    Args:
        path: Checkpoint that train.py wrote.
        kind: Kind of the network: "generator", "inpainter" or "vae".
        image_size: Side in pixels of the images that it is needed for; None takes any.
        classes: Class names of the data set that it is needed for; None takes any.
        averaged: Prefix, with its dot, of the part of the network of which an average was kept; empty for all of it.

    Returns:
        The description, and name → tensor of the network.

    Raises:
        InputError: `read_checkpoint` refuses it, or it was trained on images of another size or another data set.
    """
    description, state = read_checkpoint(path, kind)
    spec = cast(Generated, description)
    if image_size is not None and spec["image_size"] != image_size:
        raise InputError(f"{path} was trained on images of {spec['image_size']} pixels a side, not {image_size}")
    if classes is not None and tuple(classes) != tuple(spec["classes"]):
        trained = _words(spec["classes"])
        wanted = _words(classes)
        raise InputError(f"{path} was trained on a data set of {trained}; here there are {wanted}")
    tensors = part(state, "average.module") or part(state, "average.network")  # the second in earlier checkpoints
    average = {f"{averaged}{name}": tensor for name, tensor in tensors.items()}
    # the average over what was trained: it is what was validated, and by which the best checkpoint was chosen
    return spec, part(state, "network") | average


def _words(classes: Sequence[str]) -> str:
    """Name a data set by the number of its classes and the first of them."""
    return f"{len(classes)} classes ({', '.join(list(classes)[:3])} …)"


def load_generator(
    path: str | Path,
    map_location: str | torch.device = "cpu",
    image_size: int | None = None,
    classes: Sequence[str] | None = None,
) -> DCGAN:
    """Load a trained generator with its critic, frozen and in evaluation mode.

    Args:
        path: Checkpoint that train.py wrote for a DCGAN.
        map_location: Device to put it on.
        image_size: Side in pixels of the images that it is needed for; None takes any.
        classes: Class names of the data set that it is needed for; None takes any.

    Returns:
        The network; its `classes` are the data set's when it is conditional.

    Raises:
        InputError: `read_generative` refuses it, or the weights do not fit.
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
) -> tuple[Inpainter, Generated]:
    """Load a trained network that fills holes, frozen and in evaluation mode.

    Args:
        path: Checkpoint that train.py wrote for it.
        kind: Kind of the network: "inpainter" (contextual attention) or "vae".
        map_location: Device to put it on.
        image_size: Side in pixels of the images that it is needed for; None takes any.
        classes: Class names of the data set that it is needed for; None takes any.

    Returns:
        The network, and the checkpoint's description.

    Raises:
        InputError: `read_generative` refuses it, or the weights do not fit.
    """
    spec, state = read_generative(path, kind, image_size, classes)
    with bounded(state, path):
        builder = CompletionVAE if kind == "vae" else ContextualAttention
        network: Inpainter = builder(**spec["network"])
    load_state(network, state, str(path))
    return network.requires_grad_(False).eval().to(map_location), spec

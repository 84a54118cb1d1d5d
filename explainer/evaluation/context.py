"""What an evaluation starts from: a classifier, methods, and the images of a split."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from explainer.attribution import Attribution, CentredBox, Constant, Explainer, GradCAM
from explainer.data import ImageDataModule, ImageDataset, Sample
from explainer.errors import InputError
from explainer.evaluation.images import candidates, check_classifier, first_readable, spread
from explainer.evaluation.settings import Evaluation, data_facts
from explainer.networks import Explanandum
from explainer.networks.checkpoint import read_checkpoint
from explainer.networks.devices import choose_device
from explainer.version import __version__


@dataclass(frozen=True)
class Context:
    """What a command line hands to an evaluation or an experiment.

    Attributes:
        name: Name of the run.
        out: Folder of the results; it is there.
        settings: Settings that all evaluations share.
        data: Data set.
        config: Whole config in plain values: what results depend on, and what further trainings are made from.
        checkpoint: Checkpoint of the classifier, or of the Explainer with its classifier, that is looked at.
        explanandum: Classifier as the config builds it, where that is looked at; else None.
        allow: Dotted names of builders, modules or packages that the checkpoint may name.
        train: Trains what command-line arguments of train.py name, and returns its model, data and Trainer; can be
            pickled.
    """

    name: str
    out: Path
    settings: Evaluation
    data: ImageDataModule
    config: Mapping[str, Any]
    checkpoint: Path
    explanandum: Explanandum | None
    allow: Sequence[str]
    train: Callable[[Sequence[str]], Any]


class Prepared(NamedTuple):
    """What every evaluation starts from.

    Attributes:
        explanandum: On the device, with the data set's classes.
        methods: Name → method.
        dataset: The split.
        places: Places of the images that are looked at.
        sample: The first of them that can be read.
        device: Where to compute.
        facts: What results depend on so far.
    """

    explanandum: Explanandum
    methods: dict[str, Attribution]
    dataset: ImageDataset
    places: list[int]
    sample: Sample
    device: str
    facts: dict[str, Any]


def prepared(context: Context) -> Prepared:
    """The classifier and the images of an evaluation.

    Args:
        context: From the command line.

    Raises:
        InputError: As `subject`, the classifier's and the data set's classes differ, no image can be read, or what the
            classifier says is no probability.
    """
    settings, data = context.settings, context.data
    device = str(choose_device(settings.device))
    explanandum, methods, digest = subject(context)
    explanandum.to(device)
    data.prepare_data()
    explanandum.describe_classes(data.classes, data.multilabel, new_head=False)
    dataset = data.split(settings.images.split)
    places = spread(candidates(dataset, settings.images.one_label), settings.images.limit, settings.images.offset)
    sample = first_readable(dataset, places)
    check_classifier(explanandum, sample)
    facts = {
        "checkpoint": digest,
        "data": data_facts(context.config["data"]),
        "split": settings.images.split,
        "version": __version__,
        "images": len(places),
    }
    facts |= {"spread": True} if len(places) < len(dataset) else {}
    facts |= {"one_label": True} if settings.images.one_label else {}
    facts |= {"offset": settings.images.offset} if settings.images.offset else {}
    return Prepared(explanandum, methods, dataset, places, sample, device, facts)


def subject(context: Context) -> tuple[Explanandum, dict[str, Attribution], str]:
    """What is evaluated: a checkpoint, or a classifier as its config builds it.

    Args:
        context: From the command line.

    Returns:
        The classifier, the methods, and a digest of the weights.

    Raises:
        InputError: The checkpoint is for another image size, or the config has no classifier.
    """
    settings = context.settings
    if settings.as_it_is or context.explanandum is not None:
        return as_it_is(context)
    path = context.checkpoint
    spec, _ = read_checkpoint(path)
    check_image_size(path, spec, context.data.image_size)
    methods = chosen_methods(settings, path, spec["kind"], context.allow)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Explanandum(str(path), allow=context.allow), methods, digest


def as_it_is(context: Context) -> tuple[Explanandum, dict[str, Attribution], str]:
    """The classifier as its config builds it, the methods, and a digest of its weights."""
    explanandum = context.explanandum
    if explanandum is None:
        raise InputError("evaluation.as_it_is explains the config's explanandum, or its model's, and there is none")
    network = str(explanandum_settings(context.config).get("network"))
    if network.endswith(".ckpt"):
        check_image_size(network, read_checkpoint(network)[0], context.data.image_size)
    explanandum.freeze()
    digest = hashlib.sha256()
    for name, value in explanandum.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return explanandum, chosen_methods(context.settings, Path(), "classifier"), digest.hexdigest()


def check_image_size(path: str | Path, spec: Mapping[str, Any], given: int) -> None:
    """Refuse a checkpoint for images of another size: its numbers would be worse without a word.

    Args:
        path: The checkpoint, for the error.
        spec: Its description.
        given: Side of the data's images in pixels.

    Raises:
        InputError: Names both sizes.

    Example:
        >>> check_image_size("a.ckpt", {"image_size": 64}, 64)
    """
    if spec["image_size"] != given:
        raise InputError(f"{path} was trained at {spec['image_size']} pixels, the data is at {given}")


def explanandum_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a config says of its classifier; nothing where it has none.

    Args:
        config: In plain values.

    Example:
        >>> explanandum_settings({"explanandum": {"network": "vgg16"}})
        {'network': 'vgg16'}
        >>> explanandum_settings({"model": {"init_args": {"explanandum": {"network": "resnet50"}}}})
        {'network': 'resnet50'}
    """
    model_settings = (config.get("model") or {}).get("init_args") or {}
    explanandum = config.get("explanandum") or model_settings.get("explanandum")
    return {} if explanandum is None else explanandum.get("init_args", explanandum)


def chosen_methods(settings: Evaluation, path: Path, kind: str, allow: Sequence[str] = ()) -> dict[str, Attribution]:
    """The checkpoint's Explainer, if it is one, and the methods asked for.

    Args:
        settings: Settings of the evaluation.
        path: The checkpoint.
        kind: What it holds.
        allow: Dotted names of builders, modules or packages that the checkpoint may name.

    Returns:
        Name → method.
    """
    references: dict[str, Attribution] = {
        "Grad-CAM": GradCAM(),
        "Constant 0": Constant(0.0),
        "Constant 0.5": Constant(0.5),
        "Constant 1": Constant(1.0),
        "Centred box": CentredBox(),
    }
    own: dict[str, Attribution] = {"Explainer": Explainer(str(path), allow=allow)} if kind == "explainer" else {}
    return own | (references if settings.methods is None else settings.methods)


def trusted(config: Mapping[str, Any]) -> list[str]:
    """What a config vouches for: the names it allows, and its own explanandum's builder, if that is a dotted path.

    Args:
        config: In plain values; without a model it vouches for nothing.

    Returns:
        Names for `allow`. A builder is vouched for by its own name; not the package that it lies in.
    """
    settings = explanandum_settings(config)
    network = str(settings.get("network", ""))
    builder = [network] if "." in network and "/" not in network and not network.endswith(".ckpt") else []
    return [*(settings.get("allow") or []), *builder]

"""The start of an evaluation: a classifier, methods, and the images of a split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from explainer.attribution import Attribution, CentredBox, Constant, Explainer, GradCAM
from explainer.data import ImageDataModule, ImageDataset, Sample
from explainer.errors import InputError
from explainer.evaluation.images import candidates, check_classifier, first_readable, spread
from explainer.evaluation.settings import Evaluation, data_facts
from explainer.evaluation.storage.fingerprint import Fingerprint
from explainer.files import digest
from explainer.networks import Explanandum
from explainer.networks.checkpoint import is_checkpoint, read_checkpoint, weights_digest
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
        read_config: Reads a config by its name, merged into what it includes, in plain values.
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
    read_config: Callable[[str], Mapping[str, object]]


class Prepared(NamedTuple):
    """What every evaluation starts from.

    Attributes:
        explanandum: Classifier, on the device, with the data set's classes.
        methods: Name → method.
        dataset: Split of the data set.
        places: Places of the images that are looked at.
        sample: First of these images that can be read.
        device: Device on which to compute.
        facts: Facts on which results depend, as far as they are known here.
    """

    explanandum: Explanandum
    methods: dict[str, Attribution]
    dataset: ImageDataset
    places: list[int]
    sample: Sample
    device: str
    facts: Fingerprint


def prepared(context: Context) -> Prepared:
    """Prepare the classifier and the images of an evaluation.

    Args:
        context: Checkpoint, data and settings from the command line.

    Raises:
        InputError: `subject` raises it, the classifier's and the data set's classes differ, no image can be read, or
            the classifier's probabilities are NaN.
    """
    settings = context.settings
    data = context.data
    device = str(choose_device(settings.device))
    explanandum, methods, weights = subject(context)
    explanandum.to(device)
    # fetched first: the names of the classes may stand in files of the data set
    data.prepare_data()
    # another number of classes is refused: a new head would have random weights, and nothing trains it here
    explanandum.describe_classes(data.classes, data.multilabel, new_head=False)
    dataset = data.split(settings.images.split)
    choice = settings.images
    places = spread(candidates(dataset, choice.one_label), choice.limit, choice.offset)
    sample = first_readable(dataset, places)
    check_classifier(explanandum, sample)
    facts = {
        "checkpoint": weights,
        "data": data_facts(context.config["data"]),
        "split": choice.split,
        "version": __version__,
        "images": len(places),
    }
    # settings that are not used are left out, so that earlier results stay valid
    if len(places) < len(dataset):
        facts["spread"] = True
    if choice.one_label:
        facts["one_label"] = True
    if choice.offset:
        facts["offset"] = choice.offset
    return Prepared(explanandum, methods, dataset, places, sample, device, facts)


def subject(context: Context) -> tuple[Explanandum, dict[str, Attribution], str]:
    """Load the subject of an evaluation: a checkpoint, or a classifier as its config builds it.

    Args:
        context: Checkpoint, data and settings from the command line.

    Returns:
        The classifier, the methods, and a digest of the weights.

    Raises:
        InputError: The checkpoint is for another image size, or the config has no classifier.
    """
    settings = context.settings
    if is_of_config(context):
        return as_it_is(context)
    path = context.checkpoint
    spec, _ = read_checkpoint(path)
    check_image_size(path, spec, context.data.image_size)
    methods = chosen_methods(settings, path, spec["kind"], context.allow)
    return Explanandum(str(path), allow=context.allow), methods, digest(path)


def is_of_config(context: Context) -> bool:
    """Say whether the classifier is the one that the config builds, and not that of the checkpoint."""
    return context.settings.as_it_is or context.explanandum is not None


def file_of_classifier(context: Context) -> str | None:
    """Return the checkpoint that holds the classifier's weights; None where they come with its architecture.

    Args:
        context: Checkpoint, data and settings from the command line.
    """
    if not is_of_config(context):
        return str(context.checkpoint)
    network = str(explanandum_settings(context.config).get("network"))
    return network if is_checkpoint(network) else None


def as_it_is(context: Context) -> tuple[Explanandum, dict[str, Attribution], str]:
    """Return the classifier as its config builds it, the methods, and a digest of the weights."""
    explanandum = context.explanandum
    if explanandum is None:
        raise InputError("evaluation.as_it_is explains the config's explanandum, or its model's, and there is none")
    network = str(explanandum_settings(context.config).get("network"))
    if is_checkpoint(network):
        spec, _ = read_checkpoint(network)
        check_image_size(network, spec, context.data.image_size)
    explanandum.freeze()
    methods = chosen_methods(context.settings, Path(), "classifier")
    return explanandum, methods, weights_digest(explanandum)


def check_image_size(path: str | Path, spec: Mapping[str, Any], given: int) -> None:
    """Refuse a checkpoint for images of another size: its numbers would be worse without a word.

    Args:
        path: Checkpoint, for the error.
        spec: Description of the checkpoint.
        given: Side of the data's images in pixels.

    Raises:
        InputError: Names both sizes.

    Example:
        >>> check_image_size("a.ckpt", {"image_size": 64}, 64)
    """
    if spec["image_size"] != given:
        raise InputError(f"{path} was trained at {spec['image_size']} pixels, the data is at {given}")


def explanandum_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a config's settings of its classifier; nothing where it has none.

    Args:
        config: Config in plain values.

    Example:
        >>> explanandum_settings({"explanandum": {"network": "vgg16"}})
        {'network': 'vgg16'}
        >>> explanandum_settings({"model": {"init_args": {"explanandum": {"network": "resnet50"}}}})
        {'network': 'resnet50'}
    """
    model_settings = (config.get("model") or {}).get("init_args") or {}
    explanandum = config.get("explanandum") or model_settings.get("explanandum")
    if explanandum is None:
        return {}
    return explanandum.get("init_args", explanandum)


def chosen_methods(settings: Evaluation, path: Path, kind: str, allow: Sequence[str] = ()) -> dict[str, Attribution]:
    """Gather the methods asked for, and the checkpoint's Explainer before them, if it holds one.

    Args:
        settings: Settings of the evaluation.
        path: Checkpoint.
        kind: Kind of the checkpoint.
        allow: Dotted names of builders, modules or packages that the checkpoint may name.

    Returns:
        Name → method.
    """
    usual: dict[str, Attribution] = {
        "Grad-CAM": GradCAM(),
        "Constant 0": Constant(0.0),
        "Constant 0.5": Constant(0.5),
        "Constant 1": Constant(1.0),
        "Centred box": CentredBox(),
    }
    methods: dict[str, Attribution] = {}
    if kind == "explainer":
        methods["Explainer"] = Explainer(str(path), allow=allow)
    # an Explainer is explained also beside the methods that a config names: its checkpoint was given for that
    if settings.methods is None:
        return methods | usual
    return methods | settings.methods


def trusted(config: Mapping[str, Any]) -> list[str]:
    """List what a config vouches for: the names it allows, and its explanandum's builder, if that is a dotted path.

    Args:
        config: Config in plain values; without a model it vouches for nothing.

    Returns:
        Names for `allow`. A builder is vouched for by its name alone, not the package that it lies in.
    """
    settings = explanandum_settings(config)
    network = str(settings.get("network", ""))
    names = list(settings.get("allow") or [])
    # a checkpoint's name has a dot, too, and is no builder
    is_file = "/" in network or is_checkpoint(network)
    if "." in network and not is_file:
        names.append(network)
    return names

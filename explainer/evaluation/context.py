"""What evaluate.py looks at: a classifier, methods, and the images of a split."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from explainer.attribution import Attribution, CentredBox, Constant, Explainer, GradCAM
from explainer.cli.parser import CHECKPOINTS, ExplainerCLI
from explainer.data import ImageDataset, Sample
from explainer.errors import InputError
from explainer.evaluation.images import candidates, check_classifier, first_readable, spread
from explainer.evaluation.settings import Evaluation, data_facts
from explainer.networks import Explanandum
from explainer.networks.checkpoint import read_checkpoint
from explainer.networks.devices import choose_device
from explainer.version import __version__


class Prepared(NamedTuple):
    """What every evaluation starts from.

    Attributes:
        explanandum: On the device, with the data set's classes.
        methods: Name → method.
        dataset: The split.
        places: Of the images that are looked at.
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


def prepared(cli: ExplainerCLI) -> Prepared:
    """The classifier and the images of an evaluation.

    Raises:
        InputError: As `subject`, the classifier's and the data set's classes differ, no image can be read, or what the
            classifier says is no probability.
    """
    settings, data = cli.evaluation, cli.datamodule
    device = str(choose_device(settings.device))
    explanandum, methods, digest = subject(cli)
    explanandum.to(device)
    data.prepare_data()
    explanandum.describe_classes(data.classes, data.multilabel, new_head=False)
    dataset = data.split(settings.split)
    places = spread(candidates(dataset, settings.one_label), settings.limit, settings.offset)
    sample = first_readable(dataset, places)
    check_classifier(explanandum, sample)
    facts = {
        "checkpoint": digest, "data": data_facts(cli.config.data.as_dict()), "split": settings.split,
        "version": __version__, "images": len(places),
    }  # fmt: skip
    facts |= {"spread": True} if len(places) < len(dataset) else {}
    facts |= {"one_label": True} if settings.one_label else {}
    facts |= {"offset": settings.offset} if settings.offset else {}
    return Prepared(explanandum, methods, dataset, places, sample, device, facts)


def subject(cli: ExplainerCLI) -> tuple[Explanandum, dict[str, Attribution], str]:
    """What is evaluated: a checkpoint, or a classifier as its config builds it.

    Args:
        cli: Holds the config.

    Returns:
        The classifier, the methods, and a digest of the weights.

    Raises:
        InputError: The checkpoint is for another image size, or the config has no classifier.
    """
    settings: Evaluation = cli.evaluation
    if settings.as_it_is:
        explanandum = getattr(cli.model, "explanandum", None)
        if explanandum is None:
            raise InputError("evaluation.as_it_is explains the classifier of the config's model, which has none")
        network = str(explanandum_settings(cli.config).get("network"))
        if network.endswith(".ckpt"):
            check_image_size(network, read_checkpoint(network)[0], cli.datamodule.image_size)
        explanandum.freeze()
        digest = hashlib.sha256()
        for name, value in explanandum.state_dict().items():
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return explanandum, chosen_methods(settings, Path(), "classifier"), digest.hexdigest()
    path = Path(cli.config.ckpt_path or CHECKPOINTS / f"{cli.name}.ckpt")
    spec, _ = read_checkpoint(path)
    check_image_size(path, spec, cli.datamodule.image_size)
    allow = trusted(cli.config)
    methods = chosen_methods(settings, path, spec["kind"], allow)
    return Explanandum(str(path), allow=allow), methods, hashlib.sha256(path.read_bytes()).hexdigest()


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


def explanandum_settings(config: Any) -> Mapping[str, Any]:
    """What a config says of its classifier; nothing where its model has none."""
    explanandum = config.get("model.init_args.explanandum")
    return {} if explanandum is None else explanandum.get("init_args", explanandum)


def chosen_methods(settings: Evaluation, path: Path, kind: str, allow: Sequence[str] = ()) -> dict[str, Attribution]:
    """The checkpoint's Explainer, if it is one, and the methods asked for.

    Args:
        settings: Of the evaluation.
        path: The checkpoint.
        kind: What it holds.
        allow: Dotted names of builders, modules or packages that the checkpoint may name.

    Returns:
        Name → method.
    """
    references: dict[str, Attribution] = {
        "Grad-CAM": GradCAM(), "Constant 0": Constant(0.0), "Constant 0.5": Constant(0.5), "Constant 1": Constant(1.0),
        "Centred box": CentredBox(),
    }  # fmt: skip
    own: dict[str, Attribution] = {"Explainer": Explainer(str(path), allow=allow)} if kind == "explainer" else {}
    return own | (references if settings.methods is None else settings.methods)


def trusted(config: Any) -> list[str]:
    """What a config vouches for: the names it allows, and its own explanandum's builder, if that is a dotted path.

    Args:
        config: Of a run; without a model it vouches for nothing.

    Returns:
        Names for `allow`. A builder is vouched for by its own name; not the package that it lies in.
    """
    explanandum = config.get("model.init_args.explanandum")
    settings = {} if explanandum is None else explanandum.get("init_args", explanandum)
    network = str(settings.get("network", ""))
    builder = [network] if "." in network and "/" not in network and not network.endswith(".ckpt") else []
    return [*(settings.get("allow") or []), *builder]

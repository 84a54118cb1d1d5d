"""Saliency for image classifiers: the amortized Explainer, the methods it is compared with, and what judges them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explainer.errors import InputError
from explainer.version import __version__

if TYPE_CHECKING:
    from torch import nn

    from explainer.attribution import Attribution
    from explainer.data import ImageDataModule
    from explainer.inference import Explainer
    from explainer.inference.by_method import MethodExplanation, Photo
    from explainer.networks.scored import Score

__all__ = ["InputError", "__version__", "explain", "fit", "from_pretrained", "load"]


def load(
    path: str | Path,
    device: str | None = None,
    allow: Sequence[str] = (),
    model: "nn.Module | None" = None,
) -> "Explainer":
    """Load a trained Explainer for inference; the checkpoint is all that it takes.

    Args:
        path: Checkpoint checkpoints/<config>.ckpt, as train.py wrote it, or a folder that `Explainer.save_pretrained`
            wrote. It is read without unpickling.
        device: Device on which to run; None takes the GPU when there is one.
        allow: Dotted names of builders, modules or packages that the checkpoint may name, besides the classifiers of
            torchvision, of timm and of this project.
        model: Network of the classifier's kind, for a checkpoint that `fit` wrote for a network of your own.

    Returns:
        An object with `masks(images)`, `probabilities(images)`, `explain(photo)` and `classes`.

    Raises:
        InputError: There is no such file, or it is no checkpoint of an Explainer.
    """
    # late, so that `import explainer` does not wait for PyTorch
    from explainer.inference import Explainer

    return Explainer(path, device, allow, model)


def from_pretrained(
    name: str | Path,
    device: str | None = None,
    allow: Sequence[str] = (),
    model: "nn.Module | None" = None,
    revision: str | None = None,
) -> "Explainer":
    """Load an Explainer that was published on the Hugging Face Hub, or lies in a folder.

    Args:
        name: Name of a repository of the Hub (owner/name), or a folder that `Explainer.save_pretrained` wrote. A folder
            of that name goes before the Hub. Only its description and its weights are fetched.
        device: Device on which to run; None takes the GPU when there is one.
        allow: Dotted names of builders, modules or packages that its classifier may come from, besides those of
            torchvision, of timm and of this project.
        model: Network of the classifier's kind, for an Explainer that `fit` trained for a network of its author's own.
        revision: Branch, tag or commit of the repository; None takes its main branch.

    Returns:
        An object with `masks(images)`, `probabilities(images)`, `explain(photo)` and `classes`.

    Raises:
        InputError: There is no such folder or name, the Hub cannot be reached, or what it holds cannot be used.
    """
    from explainer.inference import Explainer
    from explainer.inference.hub import fetch

    return Explainer(fetch(name, revision), device, allow, model)


def explain(
    model: "str | nn.Module",
    photo: "Photo",
    method: "str | Attribution" = "FastCAM",
    target: "int | str | Score | None" = None,
    **options: Any,
) -> "MethodExplanation":
    """Explain one photograph by a method, for any classifier and without any training.

    Args:
        model: Classifier: a network, or the name of one ("resnet50", "timm/…" and "hf/…" come with their published
            weights).
        photo: Photograph: a file, a PIL image, or a tensor (C, H, W) in [0, 1].
        method: Name of a method of `explainer.attribution`, or a method.
        target: Class that is explained, by its index or its name; None takes the most probable one. Or a function from
            what the network returns to one number an image.
        options: Further arguments of `explainer.inference.by_method.explain` (image_size, classes, mean, std, device,
            bands) and hyperparameters of the method.

    Returns:
        An object with `saliency`, `attribution`, `probabilities`, `picture()` and `save(path)`, which shows itself in a
        notebook.

    Raises:
        InputError: There is no such method, class or file, or the method cannot explain such a network.
    """
    from explainer.inference.by_method import explain as explain_by_method

    return explain_by_method(model, photo, method, target, **options)


def fit(
    model: "str | nn.Module",
    data: "str | Path | ImageDataModule",
    out: str | Path = "checkpoints/fitted.ckpt",
    **options: Any,
) -> "Explainer":
    """Train an Explainer for a classifier on a folder of images, by the recipe of VOC.

    Args:
        model: Classifier: a network, or the name of one ("resnet50" and "timm/…" come with their published weights).
        data: Folder of images, with or without labels, or a DataModule of this project.
        out: Checkpoint to write.
        options: Further arguments of `explainer.training.fitting.fit` (epochs, classes, multilabel, image_size,
            batch_size, mean, std, masker, device, …).

    Returns:
        The same as `load(out)`.

    Raises:
        InputError: There are no images, or the classifier cannot be explained.
    """
    from explainer.training.fitting import fit as fit_explainer

    return fit_explainer(model, data, out, **options)

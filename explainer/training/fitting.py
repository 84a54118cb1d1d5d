"""Train an Explainer for any classifier in one call, by the recipe of `configs/train/voc_lite0.yaml`.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022. Departures: the masks come from a decoder on the classifier's own layers, and where a folder
tells no labels, the target mask is that of the classes that the classifier predicts.
"""

import copy
import math
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import nn

from explainer.data import Folder, ImageDataModule
from explainer.data.listing import hidden
from explainer.errors import InputError, check_range
from explainer.files import copy_file, read_state, write_json
from explainer.inference import Explainer
from explainer.inference.by_method import classifier_of, names_of, side_of
from explainer.networks import Explanandum, FeatureMasker, MaskNetwork
from explainer.networks.checkpoint import weights_digest
from explainer.networks.devices import choose_device
from explainer.stopping import Stopped, letting_stop
from explainer.training.callbacks import Gallery, Resume
from explainer.training.callbacks.averaging import AveragedWeights
from explainer.training.callbacks.best import BEST, Best, WholeCheckpoints
from explainer.training.callbacks.resume import LAST
from explainer.training.modules import AmortizedExplainer
from explainer.training.modules.base import SaliencyModule
from explainer.training.objectives import ExplainerObjective, Objective
from explainer.training.runs import RUNS, alone_in, begin, can_go_on, newest
from explainer.training.schedule import WarmUpCosine

SETTINGS = "fit.json"
"""File in a run's folder that tells what was to be trained, so that only the same training goes on."""


@dataclass(frozen=True)
class Fitting:
    """How an Explainer is trained.

    Attributes:
        epochs: Number of passes over the training images, at least 1.
        batch_size: Number of images a step.
        learning_rate: Learning rate after the warm-up, above 0.
        seed: Seed of the first weights, of the order of the images and of their augmentation.
        num_workers: Number of processes that read images; None chooses.
        masker: Network that outputs the masks; None takes a `FeatureMasker`.
        objective: Loss; None takes the weights of voc_lite0.yaml.
        logger: Logger of Lightning, such as a `WandbLogger`; False for none.
        progress: Whether to show a progress bar.
    """

    epochs: int = 6
    batch_size: int = 16
    learning_rate: float = 2e-3
    seed: int = 42
    num_workers: int | None = None
    masker: MaskNetwork | None = None
    objective: Objective | None = None
    logger: Logger | bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        check_range("fit: epochs", self.epochs, 1)
        check_range("fit: learning_rate", self.learning_rate, 0, above=True)

    def module(self, explanandum: Explanandum, targets: Literal["labels", "predicted"], steps: int) -> SaliencyModule:
        """Make what is trained.

        Args:
            explanandum: Classifier that is explained.
            targets: Classes of the target mask.
            steps: Number of training steps.
        """

        def optimizer(parameters: Any) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameters, lr=self.learning_rate)

        def scheduler(optimizer: torch.optim.Optimizer) -> WarmUpCosine:
            # a short training must not be a warm-up alone
            return WarmUpCosine(optimizer, warm_up=min(50, max(1, steps // 5)))

        return AmortizedExplainer(
            explanandum,
            self.masker or FeatureMasker(),
            self.objective or recipe(),
            optimizer=optimizer,
            scheduler=scheduler,
            targets=targets,
            best_by="score",
        )

    def trainer(self, folder: Path, module: SaliencyModule, device: torch.device) -> pl.Trainer:
        """Make the Trainer.

        Args:
            folder: Folder of the run.
            module: Module that is trained.
            device: Device on which to train.
        """
        callbacks: list[pl.Callback] = [AveragedWeights(0.99)]
        if self.progress:
            callbacks.append(RichProgressBar(leave=True))
        callbacks += [Gallery(every_n_minutes=5), Best(folder, module.monitor, module.monitor_mode)]
        # what saves for a resume comes last, to know what the others made of the epoch
        callbacks.append(Resume())
        devices: int | list[int] = 1
        if device.type == "cuda":
            devices = [device.index or 0]
        return pl.Trainer(
            max_epochs=self.epochs,
            accelerator=device.type,
            devices=devices,
            default_root_dir=str(folder),
            logger=self.logger,
            plugins=[WholeCheckpoints()],
            use_distributed_sampler=False,
            num_sanity_val_steps=1,
            enable_progress_bar=self.progress,
            enable_model_summary=False,
            log_every_n_steps=10,
            callbacks=callbacks,
        )


def fit(
    model: str | nn.Module,
    data: str | Path | ImageDataModule,
    out: str | Path = "checkpoints/fitted.ckpt",
    *,
    classes: Sequence[str] | None = None,
    multilabel: bool | None = None,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    device: str | None = None,
    **training: Any,
) -> Explainer:
    """Train an Explainer for a classifier, and load it.

    A training that was stopped goes on where it was when the same call is made again. Pictures of the masks so far lie
    in runs/<name of out>/gallery.

    Args:
        model: Classifier: a network, the name of one that `Explanandum` knows ("resnet50" and "timm/…" come with their
            published weights), or an `Explanandum`. A network is left as it is.
        data: Folder of images, or a DataModule of this project. Where all folders in it bear names of the classifier's
            classes (or there is train/ with such folders), these are the labels; of other folders all images are taken,
            and the classifier's own predictions are explained.
        out: Checkpoint to write.
        classes: Names of the K classes in the order of the classifier's outputs; None takes those of a DataModule, the
            classifier's, or numbers.
        multilabel: Whether the classifier's probabilities are sigmoids; None takes what it or a DataModule says, else a
            softmax.
        image_size: Side in pixels at which the classifier sees the images of a folder; None takes what it says of
            itself, else 224. A DataModule has its own, and its own size of batches, seed and workers.
        mean: Mean colour of the classifier's normalisation; None as for `Explanandum`.
        std: Standard deviation of that normalisation; None as for `Explanandum`.
        device: Device on which to train; None takes the GPU when there is one.
        training: Fields of `Fitting`: epochs, batch_size, learning_rate, seed, masker, objective, logger, ….

    Returns:
        The Explainer of `out`, ready for `masks(images)` and `explain(photo)`.

    Raises:
        InputError: There are no images, the names do not fit the classifier, or it cannot be explained.
        Stopped: Ctrl-C, or SIGTERM; the same call goes on.
    """
    fitting = _fitting(training)
    where = choose_device(device)
    # a copy around the same network: what is noted in it here must not stay in one that was given
    explanandum = copy.copy(classifier_of(model, mean, std))
    if isinstance(data, ImageDataModule):
        classes = classes or data.classes
    names = names_of(explanandum, classes, explanandum.num_classes)
    _settle(explanandum, multilabel, data)
    targets: Literal["labels", "predicted"] = "labels"
    if isinstance(data, ImageDataModule):
        images = data
    else:
        options = {
            "image_size": image_size or side_of(explanandum),
            "batch_size": fitting.batch_size,
            "num_workers": fitting.num_workers,
            "seed": fitting.seed,
            "multilabel": bool(explanandum.multilabel),
            "channels": explanandum.channels,
        }
        images = _folder(Path(data), names, options)
        targets = "labels" if images.labelled else "predicted"
    # before anything is built, so that unreadable images are an error of the first second
    images.prepare_data()
    images.split("val")
    if images.channels != explanandum.channels:
        given = f"{type(images).__name__} gives images of {images.channels} channels"
        raise InputError(f"{given}, and the classifier takes {explanandum.channels}")
    steps = fitting.epochs * math.ceil(len(images.split("train")) / images.batch_size)
    out = Path(out)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(fitting.seed)
        module = fitting.module(explanandum, targets, steps)
        # here, and not in the training: a network whose layers cannot be read is refused before anything is moved
        module.build(names, bool(explanandum.multilabel))
        _train(fitting, module, images, out, where)
    network = None if isinstance(model, str) else explanandum.network
    return Explainer(out, where, model=network)


def _fitting(training: dict[str, Any]) -> Fitting:
    """Return the settings of a training; an unknown one is named."""
    known = [field.name for field in fields(Fitting)]
    unknown = next((name for name in training if name not in known), None)
    if unknown is not None:
        raise InputError(f"fit takes no {unknown!r}; it takes {', '.join(known)}")
    return Fitting(**training)


def _train(fitting: Fitting, module: Any, images: ImageDataModule, out: Path, device: torch.device) -> None:
    """Train, or go on with the same training, and put the best checkpoint where it was wanted."""
    folder = RUNS / out.stem
    settings = {
        "classifier": weights_digest(module.explanandum),
        "masker": f"{type(module.masker).__name__} {module.masker.spec}",
        "objective": f"{type(module.objective).__name__} {sorted(vars(module.objective).items())}",
        "images": f"{type(images).__name__} {images.root.resolve()} {len(images.split('train'))}",
        "numbers": f"{images.image_size} {images.batch_size} {fitting.learning_rate} {fitting.seed}",
    }
    with alone_in(folder):
        path = None
        if can_go_on(folder) and read_state(folder / SETTINGS, dict[str, str]) == settings:
            path = newest(folder, module.kind)
            rank_zero_info(f"going on with the training in {folder}")
        begin(folder, going_on=path is not None)
        write_json(folder / SETTINGS, settings)
        try:
            with letting_stop(), warnings.catch_warnings():
                # the folder is meant to be there, and the classifier to stay in evaluation mode
                warnings.filterwarnings(
                    "ignore", ".*(exists and is not empty|in eval mode|many workers|training batches).*"
                )
                trainer = fitting.trainer(folder, module, device)
                trainer.fit(module, datamodule=images, ckpt_path=path, weights_only=True)
        except KeyboardInterrupt as error:
            number = error.number if isinstance(error, Stopped) else signal.SIGINT
            raise Stopped("stopped; the same call goes on from there", number) from None
        best = folder / BEST
        copy_file(best if best.is_file() else folder / LAST, out, sync=True)


def recipe() -> ExplainerObjective:
    """Return the loss with the weights that the ablation on VOC came to (docs/results/voc.md)."""
    return ExplainerObjective(
        entropy=2.0, tv=0.05, bound=1.0, target_area=0.1, non_target_area=0.3, min_area=0.05, max_area=0.5
    )


def _settle(explanandum: Explanandum, multilabel: bool | None, data: str | Path | ImageDataModule) -> None:
    """Note whether an image may have several classes, where the classifier does not say it."""
    if explanandum.multilabel is not None:
        if multilabel not in (None, explanandum.multilabel):
            raise InputError(f"multilabel is {multilabel}, and the classifier says {explanandum.multilabel} of itself")
        return
    if multilabel is None and isinstance(data, ImageDataModule):
        multilabel = data.multilabel
    explanandum.multilabel = bool(multilabel)


def _folder(root: Path, names: tuple[str, ...], options: dict[str, Any]) -> Folder:
    """Return the images of a folder, with labels where its folders bear the names of classes."""
    if not root.is_dir():
        raise InputError(f"no folder {root}: name the folder of your images")
    folders = _folders_of_classes(root, names)
    unknown = sorted(folders - set(names))
    labelled = bool(folders) and not unknown
    if not labelled:
        words = "its folders are no classes"
        # a slip in one name must not pass for a folder of holidays
        if len(unknown) < len(folders):
            words = f"folder {unknown[0]!r} is no class"
        rank_zero_info(f"{root}: {words} of the classifier, so that its predictions are explained")
    return Folder(root=str(root), class_names=list(names), labelled=labelled, flip=0.5, **options)


def _folders_of_classes(root: Path, names: tuple[str, ...]) -> set[str]:
    """Return the names of the folders in a folder, or in its train/, which may be those of classes."""
    train = root / "train"
    top = train if train.is_dir() and "train" not in names else root
    return {entry.name for entry in top.iterdir() if entry.is_dir() and not hidden(entry.name)}

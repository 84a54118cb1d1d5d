"""Rank the pixels of a whole data set by a method, once, for the retrainings that follow."""

import time
from pathlib import Path
from typing import Literal

import torch
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from explainer.attribution import Attribution
from explainer.data import ImageDataModule, ImageDataset
from explainer.data.base import Split
from explainer.evaluation.storage.fingerprint import Fingerprint
from explainer.experiments.retraining.rank_store import Ranks, levels
from explainer.networks import Explanandum

SPLITS: tuple[Split, ...] = ("train", "val", "test")


class Plain(Dataset):
    """Images and labels without augmentation; an unreadable image is grey."""

    def __init__(self, dataset: ImageDataset, start: int) -> None:
        self.dataset = dataset
        self.start = start

    def __len__(self) -> int:
        return len(self.dataset) - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        number = self.start + index
        side = self.dataset.image_size
        try:
            return self.dataset.image(number), self.dataset.labels(number)
        except (OSError, SyntaxError, ValueError):
            # it must have ranks, since ranks are found by an image's number; no training reads them
            return torch.full((3, side, side), 0.5), self.dataset.labels(number)


def rank_data_set(
    explanandum: Explanandum,
    method: Attribution,
    data: ImageDataModule,
    folder: Path,
    fingerprint: Fingerprint,
    progress: Progress,
    device: str = "cpu",
    target: Literal["predicted", "label"] = "predicted",
) -> None:
    """Write the ranks of every split that is not finished.

    Args:
        explanandum: Frozen classifier.
        method: Method that makes the map of each image.
        data: DataModule of the images.
        folder: Folder of the ranks.
        fingerprint: Facts on which the ranks depend; its "name" is shown.
        progress: Progress display, which gets a task for each split.
        device: Device on which to compute.
        target: Classes whose map is ranked: those "predicted", or those of the "label", which their map gives away.
    """
    explanandum.to(device)
    for split in SPLITS:
        dataset = data.split(split)
        ranks = Ranks(folder, split)
        done = ranks.create(dataset.ids, dataset.image_size, fingerprint)
        words = f"ranking {split} by {fingerprint['name']}"
        task = progress.add_task(words, total=len(dataset), completed=done)
        loader = DataLoader(Plain(dataset, done), data.batch_size, num_workers=data.num_workers)
        for image, labels in loader:
            start = time.perf_counter()
            image = image.to(device)
            classes = labels.to(device)
            # not by the label unless that is asked for: its map would give the label away to what is retrained
            if target == "predicted":
                classes = predicted_classes(explanandum, image)
            maps = method.target_mask(explanandum, image, classes)
            batch_ranks = levels(maps.cpu())
            ranks.write(done, batch_ranks, time.perf_counter() - start)
            done += len(image)
            progress.update(task, completed=done)
        if ranks.facts()["colour"] is None:
            # only the training split's colour is used: validation and test are filled with it too
            colour = [0.5, 0.5, 0.5]
            if split == "train":
                colour = mean_colour(dataset, data.batch_size, data.num_workers)
            ranks.finish(colour)
        progress.remove_task(task)


@torch.no_grad()
def predicted_classes(explanandum: Explanandum, image: Tensor) -> Tensor:
    """Return the classes that a classifier predicts.

    Args:
        explanandum: Frozen classifier.
        image: Images, (B, 3, H, W) in [0, 1].

    Returns:
        (B, K) of 0 and 1: the most probable class, and of a multi-label classifier all from probability 0.5 on.
    """
    logits = explanandum(image).float()
    probability = explanandum.probabilities(logits)
    best = probability.argmax(1)
    predicted = torch.nn.functional.one_hot(best, probability.shape[1]).bool()
    if explanandum.multilabel:
        predicted = predicted | (probability >= 0.5)
    return predicted.float()


def mean_colour(dataset: ImageDataset, batch_size: int, num_workers: int) -> list[float]:
    """Return the mean colour of the images of a split: red, green and blue in [0, 1]."""
    # in double precision: rounding must not grow with the number of images
    total = torch.zeros(3, dtype=torch.float64)
    count = 0
    for image, _ in DataLoader(Plain(dataset, 0), batch_size, num_workers=num_workers):
        colours = image.double().mean((2, 3))
        total += colours.sum(0)
        count += len(image)
    return (total / max(1, count)).tolist()

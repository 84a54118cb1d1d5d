"""Rank the pixels of a whole data set by a method, once, for the retrainings that follow."""

import time
from pathlib import Path
from typing import Any, Literal

import torch
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from explainer.attribution import Attribution
from explainer.attribution.masked_score import no_bars
from explainer.data import ImageDataModule, ImageDataset
from explainer.data.base import Split
from explainer.experiments.retraining.rank_store import Ranks, levels
from explainer.networks import Explanandum

SPLITS: tuple[Split, ...] = ("train", "val", "test")


class Plain(Dataset):
    """Images and labels without augmentation; an unreadable image is grey."""

    def __init__(self, dataset: ImageDataset, start: int) -> None:
        self.dataset, self.start = dataset, start

    def __len__(self) -> int:
        return len(self.dataset) - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        number, side = self.start + index, self.dataset.image_size
        try:
            return self.dataset.image(number), self.dataset.labels(number)
        except (OSError, SyntaxError, ValueError):
            return torch.full((3, side, side), 0.5), self.dataset.labels(number)


def rank_data_set(
    explanandum: Explanandum,
    method: Attribution,
    data: ImageDataModule,
    folder: Path,
    fingerprint: dict[str, Any],
    progress: Progress,
    device: str = "cpu",
    target: Literal["predicted", "label"] = "predicted",
) -> None:
    """Write the ranks of every split that is not finished.

    Args:
        explanandum: The frozen classifier.
        method: Makes the map of each image.
        data: Of which images.
        folder: Of the ranks.
        fingerprint: What they depend on; its "name" is shown.
        progress: Gets a task a split.
        device: Where to compute.
        target: Of which classes: those predicted, or the labels, which a map of a class then gives away.
    """
    explanandum.to(device)
    for split in SPLITS:
        dataset, ranks = data.split(split), Ranks(folder, split)
        done = ranks.create(dataset.ids, dataset.image_size, fingerprint)
        task = progress.add_task(f"ranking {split} by {fingerprint['name']}", total=len(dataset), completed=done)
        loader = DataLoader(Plain(dataset, done), data.batch_size, num_workers=data.num_workers)
        for image, labels in loader:
            start = time.perf_counter()
            image, labels = image.to(device), labels.to(device)
            with no_bars():
                maps = method.target_mask(explanandum, image, labels if target == "label" else said(explanandum, image))
            found = levels(maps.cpu())
            ranks.write(done, found, time.perf_counter() - start)
            done += len(image)
            progress.update(task, completed=done)
        if ranks.facts()["colour"] is None:
            ranks.finish(mean_colour(dataset, data.batch_size, data.num_workers) if split == "train" else (0.5,) * 3)
        progress.remove_task(task)


@torch.no_grad()
def said(explanandum: Explanandum, image: Tensor) -> Tensor:
    """(B, K) of 0 and 1: the most probable class, and all from 0.5 on of a classifier of several labels."""
    probability = explanandum.probabilities(explanandum(image).float())
    first = torch.nn.functional.one_hot(probability.argmax(1), probability.shape[1]).bool()
    return (first | (probability >= 0.5) if explanandum.multilabel else first).float()


def mean_colour(dataset: ImageDataset, batch_size: int, num_workers: int) -> list[float]:
    """Mean of the images of a split, three numbers in [0, 1]."""
    total, count = torch.zeros(3, dtype=torch.float64), 0
    for image, _ in DataLoader(Plain(dataset, 0), batch_size, num_workers=num_workers):
        total += image.double().mean((2, 3)).sum(0)
        count += len(image)
    return (total / max(1, count)).tolist()

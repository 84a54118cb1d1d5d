"""Explain a whole data set at the speed of inference: one pass an image, masks kept small."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from explainer.audit.masks import GRID, Masked, MaskSource
from explainer.audit.peaks import LARGEST_PATCH, PEAKS, cut, eight_bit, find_peaks, patch_side, share_near
from explainer.audit.sources import Reading, Source, read
from explainer.audit.store import Arrays, Row, Scan, ScanStore
from explainer.audit.where import lies, objects_on_grid
from explainer.errors import InputError
from explainer.functional.masking import composite
from explainer.functional.resizing import resize

PART = 128
"""Images of a part, which are lost at most when a scan is killed."""
THUMB = 32
"""Side of the small pictures that are kept beside the patches, in pixels."""
UNKNOWN = 255
"""Share on the object, in percent, where it is not known where the object is."""


@dataclass(frozen=True)
class ScanSettings:
    """What a scan does.

    Attributes:
        batch_size: Number of images at once.
        limit: Number of images at most, drawn by the seed; None takes all.
        masked: Whether the classifier also sees what each mask keeps and what it leaves: two more passes.
        patches: Number of masks a class of which patches are kept, at most.
        seed: Seed of the order in which images are read.
    """

    batch_size: int = 32
    limit: int | None = None
    masked: bool = False
    patches: int = 200
    seed: int = 0


class Progress(Protocol):
    """What is told of how far a scan has come."""

    def __call__(self, done: int, of: int) -> None:
        """Take the number of images that are done, and that of all."""


def order_of(count: int, settings: ScanSettings) -> list[int]:
    """Return the numbers of the images in the order in which they are read: a random one.

    The first images of a class are then a fair sample of it, and so is a scan that was stopped.

    Args:
        count: Number of images.
        settings: Settings of the scan.
    """
    order = np.random.default_rng(settings.seed).permutation(count)
    return [int(index) for index in order[: settings.limit]]


def list_digest(ids: Iterable[str]) -> str:
    """Return a digest of the names of images, by which a list is recognised."""
    text = json.dumps(list(ids))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def scan(
    source: Source,
    masks: MaskSource,
    store: ScanStore,
    settings: ScanSettings,
    progress: Progress | None = None,
    refused: Callable[[str, str], None] | None = None,
    asked: Sequence[Row] = (),
) -> Scan:
    """Explain all images, or those that are left.

    Args:
        source: Images.
        masks: What explains them.
        store: Files of the scan.
        settings: Settings of the scan.
        progress: What is told of how far it has come.
        refused: Function that is told the name of an image that cannot be read, and why.
        asked: Rows of another scan of these images, whose classes are explained too.

    Returns:
        Rows and arrays.

    Raises:
        InputError: No image can be read.
    """
    tell = _Telling(progress, refused)
    if store.finished:
        scanned = store.load()
        tell.faults(scanned.faults)
        return scanned
    order = order_of(len(source.images), settings)
    finished = store.parts()
    room = _Room(settings.patches)
    for earlier in finished:
        for row in earlier.rows:
            room.take(row)
        tell.faults(earlier.faults)
    done = {index for earlier in finished for index in earlier.indices}
    left = [index for index in order if index not in done]
    work = _Work(source, masks, settings, room, _classes_asked(source, asked))
    part = _Part(len(finished))
    count = len(done)
    tell.progress(count, len(order))
    for reading in read(source, left, settings.batch_size, masks.image_size):
        work.add(part, reading)
        tell.faults({fault.id: fault.words for fault in reading.faults})
        count += len(reading.ids) + len(reading.faults)
        tell.progress(count, len(order))
        if len(part.indices) >= PART:
            part.write(store)
            part = _Part(part.number + 1)
    if part.indices:
        part.write(store)
    if not any(written.rows for written in store.parts()):
        raise InputError(f"none of the {len(order)} images of {source.name} can be read")
    store.finish()
    return store.load()


class _Telling(NamedTuple):
    """What is told of the work, where anybody listens."""

    of_progress: Progress | None
    of_fault: Callable[[str, str], None] | None

    def progress(self, done: int, of: int) -> None:
        """Tell how far it has come."""
        if self.of_progress is not None:
            self.of_progress(done, of)

    def faults(self, faults: Mapping[str, str]) -> None:
        """Tell which images cannot be read."""
        if self.of_fault is not None:
            for name, words in faults.items():
                self.of_fault(name, words)


class _Room:
    """Counts the masks whose patches are kept, class by class."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: Counter[str] = Counter()

    def take(self, row: Row) -> bool:
        """Say whether the patches of a row are kept: those of decisions, until there are enough."""
        if not row["predicted"] or self.taken[row["class"]] >= self.most:
            return False
        self.taken[row["class"]] += 1
        return True


class _Part:
    """Rows and arrays of some images."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.indices: list[int] = []
        self.rows: list[Row] = []
        self.faults: dict[str, str] = {}
        self.masks: list[Tensor] = []
        self.places: list[Tensor] = []
        self.strengths: list[Tensor] = []
        self.patches: list[Tensor] = []
        self.patch_row: list[int] = []
        self.patch_peak: list[int] = []
        self.patch_object: list[int] = []
        self.thumbs: list[Tensor] = []
        self.thumb_row: list[int] = []
        self.channels = 3
        self.side = LARGEST_PATCH

    def write(self, store: ScanStore) -> None:
        """Write the part."""
        store.add(self.number, self.indices, self.rows, self.arrays(), self.faults)

    def arrays(self) -> Arrays:
        """Return the arrays in eight bits; those of no rows have their shapes all the same."""
        masks = torch.cat([*self.masks, torch.zeros(0, GRID, GRID, dtype=torch.uint8)])
        places = torch.cat([*self.places, torch.zeros(0, PEAKS, 2, dtype=torch.uint8)])
        strengths = torch.cat([*self.strengths, torch.zeros(0, PEAKS, dtype=torch.uint8)])
        patches = torch.zeros(0, self.channels, self.side, self.side, dtype=torch.uint8)
        thumbs = torch.zeros(0, self.channels, THUMB, THUMB, dtype=torch.uint8)
        if self.patches:
            patches = torch.stack(self.patches)
        if self.thumbs:
            thumbs = torch.stack(self.thumbs)
        return {
            "masks": masks.numpy(),
            "places": places.numpy(),
            "strengths": strengths.numpy(),
            "patches": patches.numpy(),
            "patch_row": np.array(self.patch_row, dtype=np.int64),
            "patch_peak": np.array(self.patch_peak, dtype=np.int64),
            "patch_object": np.array(self.patch_object, dtype=np.uint8),
            "thumbs": thumbs.numpy(),
            "thumb_row": np.array(self.thumb_row, dtype=np.int64),
        }


def _classes_asked(source: Source, rows: Sequence[Row]) -> dict[int, list[int]]:
    """Return the classes of another scan's rows: number of an image → numbers of the classes."""
    numbers = {name: number for number, name in enumerate(source.images.classes)}
    asked: dict[int, list[int]] = {}
    for row in rows:
        asked.setdefault(row["index"], []).append(numbers[row["class"]])
    return asked


class _Work:
    """Explains batches."""

    def __init__(
        self,
        source: Source,
        masks: MaskSource,
        settings: ScanSettings,
        room: _Room,
        asked: dict[int, list[int]],
    ) -> None:
        self.source = source
        self.masks = masks
        self.settings = settings
        self.room = room
        self.asked = asked
        self.classes = source.images.classes

    def add(self, part: _Part, reading: Reading) -> None:
        """Explain a batch, and add it to a part."""
        part.indices += reading.indices
        for fault in reading.faults:
            part.indices.append(fault.number)
            part.faults[fault.id] = fault.words
        part.channels = self.masks.explanandum.channels
        part.side = min(LARGEST_PATCH, patch_side(self.masks.image_size))
        if not reading.ids:
            return
        masked = self.masks.explain(reading.images, lambda decided: self._explained(decided, reading))
        eight_bits = (masked.masks * 255).round().byte()
        peaks = find_peaks(masked.masks)
        shown, known = self._objects(reading, masked)
        rows = self._rows(reading, masked, shown, known)
        for number, row in enumerate(rows):
            if not self.room.take(row):
                continue
            image = reading.images[masked.owners[number]]
            place = len(part.rows) + number
            part.thumbs.append(eight_bit(resize(image[None], (THUMB, THUMB))[0]))
            part.thumb_row.append(place)
            for peak in range(PEAKS):
                if peaks.strengths[number, peak] > 0:
                    middle = peaks.places[number, peak]
                    part.patches.append(cut(image, middle, GRID))
                    part.patch_row.append(place)
                    part.patch_peak.append(peak)
                    share = None
                    if shown is not None and known is not None:
                        share = share_near(masked.masks[number], shown[number], known[number], middle)
                    part.patch_object.append(UNKNOWN if share is None else round(100 * share))
        part.rows += rows
        part.masks.append(eight_bits)
        part.places.append(peaks.places.byte())
        part.strengths.append((peaks.strengths * 255).round().byte())

    def _explained(self, decided: Tensor, reading: Reading) -> Tensor:
        """Return the classes that are explained: decided for, labelled, or explained by the other scan."""
        explained = decided.clone()
        if self.source.labelled:
            explained |= reading.labels.bool()
        for number, index in enumerate(reading.indices):
            explained[number, self.asked.get(index, [])] = True
        return explained

    def _objects(self, reading: Reading, masked: Masked) -> tuple[Tensor | None, Tensor | None]:
        """Return where the objects of each row's class are, and where that is known."""
        if reading.objects is None:
            return None, None
        # of the class that is explained alone: another object of the image is context
        of_class = reading.objects[masked.owners, masked.classes]
        return objects_on_grid(of_class, GRID)

    def _rows(self, reading: Reading, masked: Masked, shown: Tensor | None, known: Tensor | None) -> list[Row]:
        """Return the rows of a batch."""
        through = self._through(reading, masked) if self.settings.masked else None
        rows: list[Row] = []
        for number, (owner, index) in enumerate(zip(masked.owners.tolist(), masked.classes.tolist(), strict=True)):
            place = lies(
                masked.masks[number],
                None if shown is None else shown[number],
                None if known is None else known[number],
            )
            labels = []
            if self.source.labelled:
                labels = [self.classes[label] for label in reading.labels[owner].nonzero().flatten().tolist()]
            row: Row = {
                "id": reading.ids[owner],
                "index": reading.indices[owner],
                "class": self.classes[index],
                "labels": labels,
                "predicted": bool(masked.decided[owner, index]),
                "probability": round(float(masked.probabilities[owner, index]), 6),
                "area": round(place.area, 6),
                "centre": [round(value, 4) for value in place.centre],
                "border": round(place.border, 4),
                "object": None if place.object is None else round(place.object, 4),
                "context": None if place.context is None else round(place.context, 4),
            }
            if through is not None:
                row["kept"] = round(float(through[0, number]), 6)
                row["removed"] = round(float(through[1, number]), 6)
            rows.append(row)
        return rows

    @torch.no_grad()
    def _through(self, reading: Reading, masked: Masked) -> Tensor:
        """Return the probability of each row's class for what its mask keeps, and for what it leaves, (2, N)."""
        explanandum = self.masks.explanandum
        side = reading.images.shape[-1]
        large = torch.nn.functional.interpolate(
            masked.masks[:, None], (side, side), mode="bilinear", align_corners=False
        ).to(self.masks.device)
        images = reading.images[masked.owners].to(self.masks.device)
        rows = torch.arange(len(images))
        probabilities = []
        for mask in (large, 1 - large):
            logits = explanandum(composite(images, mask, explanandum.mean_colour)).float()
            probabilities.append(explanandum.probabilities(logits).cpu()[rows, masked.classes])
        return torch.stack(probabilities)

"""Suspected shortcuts of a classifier, ranked: what recurs, looks the same, lies off the object, and turns images.

An object's own parts are evidence, too, and turn images when they are pasted. What tells a shortcut from them is put
into factors in [0, 1], and a suspicion's score is their product:

recurs      share of the class's images that have it, minus that of the others
alike       how alike it looks from image to image: near-identity is no object's
turns       share of other classes' images that become the class when it is pasted, minus that of a control
small       share of the image that it does not cover
off object  share of its evidence that lies on no object of the class; 1 where nobody knows where objects are

The product is high only where all of them are: each factor alone is high for some usual objects. What cannot come near
the level by the factors that are known without the classifier is not pasted, and what turned too few of the first
images is pasted into no more: most suspicions are none, and each paste costs a pass an image. Its score is then the
largest that it could have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainer.audit.masks import GRID, MaskSource
from explainer.audit.patches import Cluster, clusters, similarity
from explainer.audit.places import Place, enlarged, recurring_place, sameness
from explainer.audit.scan import UNKNOWN
from explainer.audit.store import Scan
from explainer.audit.turning import Evidence, Turned, component, opacity, turn

LEVEL = 0.2
"""Score from which a suspicion is raised; one below it is only listed."""
_TRIED = 0.05
"""Largest possible score from which evidence is pasted."""
CHANCE = 0.05
"""Probability by chance, from which on no suspicion is raised whatever its score."""

_PASTED = 3
"""Images of which evidence is pasted, at most."""

SuspicionKind = Literal["patch", "place"]


@dataclass(frozen=True)
class SuspicionSettings:
    """What is looked for.

    Attributes:
        least: Number of decisions for a class from which it is looked at.
        near: Similarity from which two patches are nearly identical.
        images: Images of a class, and as many of others, whose patches are compared, at most.
        targets: Images of other classes into which evidence is pasted, at most.
        permutations: Number of permutations of the null hypotheses.
        seed: Seed of permutations, choices and places.
    """

    least: int = 8
    near: float = 0.65
    images: int = 60
    targets: int = 32
    permutations: int = 199
    seed: int = 0


class Suspicion(NamedTuple):
    """Something that may be a shortcut for a class.

    Attributes:
        of_class: Name of the class.
        kind: Kind: "patch", which looks the same wherever it lies, or "place", where evidence recurs.
        score: Product of the factors, in [0, 1]; the largest possible one of what was not pasted into all images.
        recurs: Share of the class's images that have it, minus that of others.
        share: Share of the class's images that have it.
        elsewhere: Share of other images that have it.
        alike: How alike it looks from image to image, in [0, 1].
        turns: Share of other classes' images that become the class when it is pasted, minus that of the control; None
            of what was not pasted into all of them.
        small: Share of the image that what is pasted does not cover; None of what was not pasted.
        on_object: Share of its evidence on objects of the class; None where nobody knows.
        p: Probability of the recurrence by chance.
        rows: Rows of the images that have it, the most typical one first.
        patches: Patches of them (M, C, p, p) uint8; none of a place.
        place: Where it recurs; None for a patch.
        tried: What became of the images into which it was pasted; None of what was not pasted into all of them.
    """

    of_class: str
    kind: SuspicionKind
    share: float
    elsewhere: float
    alike: float
    on_object: float | None
    p: float
    rows: tuple[int, ...]
    score: float = 0.0
    recurs: float = 0.0
    turns: float | None = None
    small: float | None = None
    patches: NDArray | None = None
    place: Place | None = None
    tried: Turned | None = None

    @property
    def raised(self) -> bool:
        """Whether it is above the level, and no chance."""
        return self.score >= LEVEL and self.p <= CHANCE


Images = Callable[[Sequence[int]], Tensor]
"""Function from numbers of images of the data set to the images (N, C, S, S) in [0, 1]."""


def suspicions(
    scan: Scan,
    masks: MaskSource,
    images: Images,
    settings: SuspicionSettings = SuspicionSettings(),
    progress: Callable[[int, int], None] | None = None,
) -> list[Suspicion]:
    """Find and rank what may be a shortcut, of all classes.

    Args:
        scan: Rows and arrays of the data set.
        masks: What knows the classifier.
        images: Function that reads images again.
        settings: Settings.
        progress: What is told of how many classes are done.

    Returns:
        Suspicions, the highest score first.
    """
    search = _Search(scan, masks, images, settings)
    names = search.names()
    ranked: list[Suspicion] = []
    for number, name in enumerate(names):
        ranked += search.of_class(name)
        if progress is not None:
            progress(number + 1, len(names))
    return sorted(ranked, key=lambda one: (-one.score, one.p, one.of_class, one.kind))


class _Search:
    """Looks for suspicions class by class.

    Args:
        scan: Rows and arrays of the data set.
        masks: What knows the classifier.
        images: Function that reads images again.
        settings: Settings.
    """

    def __init__(self, scan: Scan, masks: MaskSource, images: Images, settings: SuspicionSettings) -> None:
        self.rows = scan.rows
        self.arrays = scan.arrays
        self.masks = masks
        self.images = images
        self.settings = settings
        self.decisions = np.array([row["predicted"] for row in scan.rows], dtype=bool)
        self.classes = np.array([row["class"] for row in scan.rows])
        self.index = np.array([row["index"] for row in scan.rows])

    @cached_property
    def pool(self) -> dict[int, Tensor]:
        """Images into which evidence of all classes is pasted: number → image, read once."""
        numbers = _spread(np.unique(self.index[self.decisions]), 2 * self.settings.targets)
        return dict(zip(numbers, self.images(numbers), strict=True))

    def names(self) -> list[str]:
        """Return the classes that are decided for often enough, and not of all images."""
        names = []
        for name in sorted(set(self.classes[self.decisions])):
            in_class = self._in_class(name)
            others = self.decisions & ~np.isin(self.index, self.index[in_class])
            if in_class.sum() >= self.settings.least and len(set(self.index[others])) >= self.settings.least:
                names.append(str(name))
        return names

    def _in_class(self, name: str) -> NDArray:
        """Return which rows are decisions for a class."""
        return self.decisions & (self.classes == name)

    def of_class(self, name: str) -> list[Suspicion]:
        """Return the suspicions of a class."""
        in_class = self._in_class(name)
        # another class's mask of the same image is no independent one
        other = self.decisions & ~np.isin(self.index, self.index[in_class])
        ranked = []
        chosen, pairs, owner, patches = self._compared(in_class, other)
        if len(patches):
            mine = in_class[chosen]
            for cluster in clusters(
                pairs, owner, mine, self.settings.near, permutations=self.settings.permutations, seed=self.settings.seed
            ):
                ranked.append(self._patch_suspicion(name, cluster, chosen[owner], patches, other))
        both = np.flatnonzero(in_class | other)
        place = recurring_place(
            self.arrays["masks"][both], in_class[both], self.settings.permutations, self.settings.seed
        )
        if place is not None:
            ranked.append(self._place_suspicion(name, place, in_class, other))
        return ranked

    def _targets(self, other: NDArray) -> Tensor:
        """Read images of other classes, evenly spread over the data set."""
        numbers = np.unique(self.index[other])
        ready = [number for number in self.pool if number in set(numbers.tolist())]
        if len(ready) >= self.settings.targets / 2:
            return torch.stack([self.pool[number] for number in ready[: self.settings.targets]])
        # nearly all images are of the class: its few others are hardly in the pool
        return self.images(_spread(numbers, self.settings.targets))

    def _compared(self, in_class: NDArray, other: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Compare the patches of a class and of others: rows, similarities, each patch's row among them, patches."""
        with_patches = np.unique(self.arrays["patch_row"])
        mine = _spread(np.intersect1d(np.flatnonzero(in_class), with_patches), self.settings.images)
        others = _spread(np.intersect1d(np.flatnonzero(other), with_patches), self.settings.images)
        chosen = np.sort(np.array([*mine, *others], dtype=np.int64))
        patches = np.flatnonzero(np.isin(self.arrays["patch_row"], chosen))
        owner = np.searchsorted(chosen, self.arrays["patch_row"][patches])
        if not len(patches):
            return chosen, np.zeros((0, 0)), owner, patches
        pairs = similarity(torch.from_numpy(self.arrays["patches"][patches])).numpy()
        return chosen, pairs, owner, patches

    def _patch_suspicion(
        self,
        name: str,
        cluster: Cluster,
        row_of: NDArray,
        patches: NDArray,
        other: NDArray,
    ) -> Suspicion:
        """Try out a cluster of patches: `row_of` each compared patch, and its number among all patches."""
        members = patches[cluster.members]
        rows = row_of[cluster.members]

        def evidence() -> list[Evidence]:
            pasted = []
            for row, member, picture in zip(rows, members, self._pictures(rows), strict=False):
                peak = self.arrays["patch_peak"][member]
                place = self.arrays["places"][row, peak].tolist()
                part = component(torch.from_numpy(self.arrays["masks"][row]).float() / 255, place)
                pasted.append(Evidence(picture, opacity(part, picture.shape[-1]), moves=True))
            return pasted

        on_object = _mean_known(self.arrays["patch_object"][members])
        candidate = untried(
            Suspicion(
                of_class=name,
                kind="patch",
                share=cluster.share,
                elsewhere=cluster.elsewhere,
                alike=max(0.0, cluster.alike),
                on_object=on_object,
                p=cluster.p,
                rows=tuple(int(row) for row in rows),
                patches=self.arrays["patches"][members],
            )
        )
        return self._tried(candidate, evidence, other)

    def _place_suspicion(
        self,
        name: str,
        place: Place,
        in_class: NDArray,
        other: NDArray,
    ) -> Suspicion:
        """Try out a place."""
        grid = enlarged(place.region, GRID)
        covered = self.arrays["masks"][:, grid].mean(1) / 255
        has_picture = np.isin(np.arange(len(self.rows)), self.arrays["thumb_row"])
        mine = np.flatnonzero(in_class & has_picture & (covered >= 0.5))
        if len(mine) < 2:
            mine = np.flatnonzero(in_class & has_picture)
        others = np.flatnonzero(other & has_picture)
        compared = np.sort(np.concatenate([mine, others]))
        pictures = self.arrays["thumbs"][np.searchsorted(self.arrays["thumb_row"], compared)]
        is_member = np.isin(compared, mine)
        alike = sameness(pictures, is_member, place.region)
        rows = mine[_typical(pictures[is_member], enlarged(place.region, pictures.shape[-1]))]

        def evidence() -> list[Evidence]:
            part = torch.from_numpy(grid)
            return [
                Evidence(picture, opacity(part, picture.shape[-1]), moves=False) for picture in self._pictures(rows)
            ]

        shares = [self.rows[row]["object"] for row in rows]
        known = [share for share in shares if share is not None]
        candidate = untried(
            Suspicion(
                of_class=name,
                kind="place",
                share=place.share,
                elsewhere=place.elsewhere,
                alike=alike,
                on_object=float(np.mean(known)) if known else None,
                p=place.p,
                rows=tuple(int(row) for row in rows),
                place=place,
            )
        )
        return self._tried(candidate, evidence, other)

    def _pictures(self, rows: NDArray) -> Tensor:
        """Read the images of the first rows, of which evidence is pasted."""
        return self.images([int(self.index[row]) for row in rows[:_PASTED]])

    def _tried(
        self,
        candidate: Suspicion,
        evidence: Callable[[], Sequence[Evidence]],
        other: NDArray,
    ) -> Suspicion:
        """Paste the evidence into images of other classes where that can tell something, and multiply its factors."""
        if candidate.score < _TRIED:
            return candidate
        pasted = evidence()
        of_class = self.masks.classes.index(candidate.of_class)
        small = 1 - float(np.mean([float(one.part.mean()) for one in pasted]))
        candidate = candidate._replace(score=candidate.score * small, small=small)
        if candidate.score < _TRIED:
            return candidate
        least = _TRIED / candidate.score
        tried = turn(self.masks, of_class, pasted, self._targets(other), self.settings.seed, least=least)
        if tried.control is None:
            return candidate._replace(score=candidate.score * tried.turned)
        turns = max(0.0, tried.turned - tried.control)
        return candidate._replace(score=candidate.score * turns, turns=turns, tried=tried)


def untried(candidate: Suspicion) -> Suspicion:
    """Fill in what follows from the factors that need no pasting.

    Args:
        candidate: Suspicion with its shares, likeness and place on objects.

    Returns:
        The suspicion with `recurs`, and the largest score that is left to it.
    """
    recurs = max(0.0, candidate.share - candidate.elsewhere)
    off_object = 1.0 if candidate.on_object is None else 1 - candidate.on_object
    return candidate._replace(recurs=recurs, score=recurs * candidate.alike * off_object)


def _spread(numbers: NDArray, count: int) -> list[int]:
    """Return evenly spread ones of some numbers."""
    if len(numbers) <= count:
        return [int(number) for number in numbers]
    places = np.linspace(0, len(numbers) - 1, count).round().astype(int)
    return [int(number) for number in numbers[places]]


def _mean_known(percentages: NDArray) -> float | None:
    """Return the mean of shares in percent, of those that are known."""
    known = percentages[percentages != UNKNOWN]
    return float(known.mean()) / 100 if len(known) else None


def _typical(pictures: NDArray, region: NDArray) -> NDArray:
    """Return the order of pictures by how near each is, at a place, to their mean."""
    values = pictures[:, :, region].astype(np.float32)
    distances = np.square(values - values.mean(0)).sum((1, 2))
    return np.argsort(distances, kind="stable")

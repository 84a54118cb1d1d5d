"""audit.html: one file that shows an audit, without any network; it has the look of the evaluation's report."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from explainer.audit.classes import ClassSummary
from explainer.audit.places import CELLS
from explainer.audit.store import Row, Scan
from explainer.audit.suspicions import CHANCE, LEVEL, Images, Suspicion
from explainer.audit.versus import Compared, Difference
from explainer.audit.where import border_ring
from explainer.evaluation.report.html import TEMPLATES, template
from explainer.evaluation.report.maps import data_uri
from explainer.files import write_text
from explainer.rendering import heat_map, overlay, to_pil

PAGE = "audit.html"
FOLDER = Path(__file__).parent
SHOWN = 8
"""Suspicions that are shown with pictures, at most, unless more are raised."""
LISTED = 40
"""Suspicions in the table, at most, unless more are raised."""
CLASSES = 100
"""Classes that are shown, at most."""
_PATCHES = 18
_EXAMPLES = 6


class Tile(NamedTuple):
    """A picture with words.

    Attributes:
        picture: Picture as a data URI.
        words: Words below it, and for a screen reader.
    """

    picture: str
    words: str


class Line(NamedTuple):
    """A suspicion in the table.

    Attributes:
        suspicion: The suspicion.
        what: What it is, in words.
        picture: Picture of its patch or place, as a data URI.
        number: Number of its pictures on the page; 0 for none.
    """

    suspicion: Suspicion
    what: str
    picture: str
    number: int


class Shown(NamedTuple):
    """A suspicion with pictures.

    Attributes:
        line: Line of the table.
        patches: Its patches, as data URIs.
        examples: Images that have it, with the mask over them.
        pasted: Images of other classes into which it was pasted.
    """

    line: Line
    patches: list[str]
    examples: list[Tile]
    pasted: list[Tile]


class ClassShown(NamedTuple):
    """A class with pictures.

    Attributes:
        summary: Where its evidence lies.
        mean: Mean mask as a data URI.
        kinds: Mean mask of each group, with its share of the class's images.
        bar: Shares of the mass, in words and percent: object, context and border, or border and elsewhere.
    """

    summary: ClassSummary
    mean: str
    kinds: list[Tile]
    bar: list[tuple[str, float]]


class Pair(NamedTuple):
    """An image with the masks of two classifiers.

    Attributes:
        first: The first classifier's mask over the image.
        second: The second classifier's.
        words: Name of the image, class and distance.
    """

    first: str
    second: str
    words: str


class Versus(NamedTuple):
    """Two classifiers side by side.

    Attributes:
        name: Name of the second classifier.
        distance: Mean absolute difference of the masks.
        fates: Suspicions that one of the two raises, or both.
        lines: Table lines of these.
        pairs: Images whose masks differ most.
    """

    name: str
    distance: float
    fates: list[Compared]
    lines: list[Line]
    pairs: list[Pair]


class About(NamedTuple):
    """What was audited, in words.

    Attributes:
        name: Name of the data.
        classifier: Name of the classifier's checkpoint or network.
        by: What explains it, such as "its Explainer" or "GradCAM".
        images: Number of images.
        facts: Words and values of the run.
    """

    name: str
    classifier: str
    by: str
    images: int
    facts: list[tuple[str, str]]


class Second(NamedTuple):
    """The second classifier of an audit.

    Attributes:
        name: Name of its checkpoint.
        scan: Its scan of the same images.
        fates: Suspicions that one of the two raises, or both.
        differences: Images and classes whose masks differ most.
        distance: Mean absolute difference of the masks.
    """

    name: str
    scan: Scan
    fates: list[Compared]
    differences: list[Difference]
    distance: float


def write_page(
    out: Path,
    about: About,
    scan: Scan,
    suspicions: Sequence[Suspicion],
    classes: Sequence[ClassSummary],
    images: Images,
    second: Second | None = None,
) -> Path:
    """Write audit.html.

    Args:
        out: Folder of the audit.
        about: What was audited.
        scan: Rows and arrays of the data set.
        suspicions: Suspicions, the highest score first.
        classes: Where the evidence of each class lies.
        images: Function that reads images again.
        second: Second classifier; None without one.

    Returns:
        Path of the page.
    """
    pictures = _Pictures(scan, images)
    raised = sum(one.raised for one in suspicions)
    lines: list[Line] = []
    shown: list[Shown] = []
    for number, one in enumerate(suspicions[: max(LISTED, raised)], 1):
        has_pictures = one.raised or number <= SHOWN
        lines.append(pictures.line(one, number if has_pictures else 0))
        if has_pictures:
            shown.append(pictures.shown(lines[-1]))
    text = template("audit.html", FOLDER).render(
        about=about,
        lines=lines,
        shown=shown,
        raised=raised,
        left_out=max(0, len(suspicions) - len(lines)),
        level=LEVEL,
        chance=CHANCE,
        classes=[pictures.of_class(one) for one in classes[:CLASSES]],
        classes_left_out=max(0, len(classes) - CLASSES),
        ring=float(border_ring(32).float().mean()),
        versus=None if second is None else pictures.versus(second),
        faults=scan.faults,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        own_style=Markup((FOLDER / "audit.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "theme.js").read_text(encoding="utf-8")),
    )
    return write_text(out / PAGE, text)


class _Pictures:
    """Draws what the page shows.

    Args:
        scan: Rows and arrays of the data set.
        images: Function that reads images again.
    """

    def __init__(self, scan: Scan, images: Images) -> None:
        self.scan = scan
        self.images = images

    def line(self, one: Suspicion, number: int) -> Line:
        """Return the line of a suspicion."""
        picture = _difference(one) if one.patches is None else to_pil(torch.from_numpy(one.patches[0]))
        return Line(one, what(one), _sharp(picture, 64), number)

    def shown(self, line: Line) -> Shown:
        """Return the pictures of a suspicion."""
        one = line.suspicion
        patches = []
        if one.patches is not None:
            patches = [_sharp(to_pil(torch.from_numpy(patch)), 64) for patch in one.patches[:_PATCHES]]
        rows = one.rows[:_EXAMPLES]
        examples = [
            Tile(_over(image, self.scan.arrays["masks"][row]), _words(self.scan.rows[row]))
            for row, image in zip(rows, self._read(rows), strict=True)
        ]
        pasted = []
        if one.tried is not None:
            pasted = [Tile(_photograph(image), "with the paste") for image in one.tried.pasted]
        return Shown(line, patches, examples, pasted)

    def of_class(self, one: ClassSummary) -> ClassShown:
        """Return the pictures of a class."""
        groups = [
            Tile(_mask(kind.mean), f"{100 * len(kind.members) / one.decisions:.0f} % of its images")
            for kind in one.kinds
        ]
        if one.object is None or one.context is None:
            bar = [("elsewhere", 1 - one.border), ("border", one.border)]
        else:
            bar = [("object", one.object), ("context", one.context), ("border", one.border)]
        return ClassShown(one, _mask(one.mean), groups, [(words, 100 * share) for words, share in bar])

    def versus(self, second: Second) -> Versus:
        """Return the pictures of two classifiers side by side."""
        rows = [difference.first for difference in second.differences]
        pairs = []
        for difference, image in zip(second.differences, self._read(rows), strict=True):
            row = self.scan.rows[difference.first]
            pairs.append(
                Pair(
                    _over(image, self.scan.arrays["masks"][difference.first]),
                    _over(image, second.scan.arrays["masks"][difference.second]),
                    f"{row['id']}: {row['class']}, masks {difference.distance:.2f} apart",
                )
            )
        lines = [self.line(entry.suspicion, 0) for entry in second.fates]
        return Versus(second.name, second.distance, second.fates, lines, pairs)

    def _read(self, rows: Sequence[int]) -> Sequence[Tensor]:
        """Read the images of rows."""
        return list(self.images([self.scan.rows[row]["index"] for row in rows])) if rows else []


def what(one: Suspicion) -> str:
    """Return what a suspicion is, in words.

    Args:
        one: Suspicion.
    """
    if one.place is None:
        return "patches that look alike"
    return f"evidence {place_words(one.place.region)}"


def place_words(region: NDArray) -> str:
    """Return where cells lie, in words.

    Args:
        region: Cells (16, 16) bool, at least one of them.

    Example:
        >>> import numpy as np
        >>> corner = np.zeros((16, 16), bool); corner[10:14, 10:14] = True
        >>> place_words(corner), place_words(border_ring(16).numpy())
        ('at the lower right', 'along the border')
    """
    ring = border_ring(CELLS).numpy()
    if region[ring].sum() > 0.6 * region.sum():
        return "along the border"
    rows, columns = region.nonzero()
    side = len(region)
    words = []
    down = float(rows.mean()) / (side - 1)
    across = float(columns.mean()) / (side - 1)
    if not 0.35 <= down <= 0.65:
        words.append("upper" if down < 0.5 else "lower")
    if not 0.35 <= across <= 0.65:
        words.append("left" if across < 0.5 else "right")
    if len(words) == 1:
        words = [{"upper": "top", "lower": "bottom"}.get(words[0], words[0])]
    return f"at the {' '.join(words)}" if words else "in the middle"


def _difference(one: Suspicion) -> Image.Image:
    """Draw where the evidence of a class recurs: its mean mask minus the others', red where it is more."""
    assert one.place is not None
    values = torch.from_numpy(one.place.difference).float()
    return heat_map(0.5 + values / (2 * values.abs().max().clamp_min(1e-6)))


def _words(row: Row) -> str:
    """Return what is said below an image."""
    labels = ", ".join(row["labels"][:3])
    decision = f"{row['class']} {row['probability']:.2f}"
    if row["labels"] and row["class"] not in row["labels"]:
        return f"{decision}; labelled {labels}"
    return decision


def _over(image: Tensor, mask: NDArray) -> str:
    """Draw a mask over its image."""
    size = (image.shape[-2], image.shape[-1])
    values = torch.from_numpy(mask).float()[None, None] / 255
    large = F.interpolate(values, size, mode="bilinear", align_corners=False)
    return data_uri(overlay(image, large[0]))


def _photograph(image: Tensor) -> str:
    return data_uri(to_pil(image))


def _mask(mask: NDArray) -> str:
    """Draw a mean mask in colours."""
    return _sharp(heat_map(torch.from_numpy(mask)), 64)


def _sharp(picture: Image.Image, side: int) -> str:
    """Return a small picture, enlarged so that its pixels stay visible."""
    if picture.width < side:
        picture = picture.resize((side, side), Image.Resampling.NEAREST)
    return data_uri(picture)

"""Photographs and maps for the page: what was explained, and what each method says."""

import base64
import io
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image

from explainer.attribution import Attribution, Constant
from explainer.data import Batch
from explainer.evaluation.batches import part
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.evaluation.references import ANNOTATED, ORIGINAL, having
from explainer.evaluation.report.gallery import found
from explainer.networks import Explanandum
from explainer.rendering import heat_map, to_pil

SIDE = 320
"""Pixels of the longer side at most, so that a page stays below 10 MB."""


class Shown(NamedTuple):
    """An image of the gallery.

    Attributes:
        id: Name of the image, as in rows.jsonl.
        photograph: The picture.
        said: Its labels, and the classifier's probabilities.
        maps: Method → its map in colours, of the photograph's size.
        notes: Method → what the classifier makes of the image through the map.
    """

    id: str
    photograph: Image.Image
    said: str
    maps: dict[str, Image.Image]
    notes: dict[str, str]


def pictures(
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batch: Batch,
    kept: MaskStore | None,
    rows: Sequence[dict[str, Any]],
    maker: MaskMaker = SCALED,
) -> Iterator[Shown]:
    """Every method's map of every image of a batch; maps that are kept are not made again.

    Args:
        explanandum: The frozen classifier, on the batch's device.
        methods: Name → method; constant masks are not worth a picture.
        batch: A few images; ground truth and bounding box join where they were scored.
        kept: Masks that are there already.
        rows: Rows of rows.jsonl: what the classifier said, and which method failed on which image.
        maker: Maker of the masks.

    Yields:
        An image at a time.
    """
    said = {(row["method"], row["id"]): row for row in rows}
    for n, name in enumerate(batch.id):
        one = part(batch, [n])
        asked = [m for m, method in methods.items() if not isinstance(method, Constant)]
        asked = [m for m in asked if "error" not in said.get((m, name), {})]
        asked = [*(r for r in ANNOTATED if (r, name) in said and having(r, one).id), *asked]
        masks = {m: found(explanandum, m, methods.get(m), one, kept, maker)[0] for m in asked}
        labels = one.labels[0].nonzero().flatten().tolist()
        words = label_text(explanandum.classes, labels, said.get((ORIGINAL, name), {}).get("kept"))
        maps = {m: heat_map(mask) for m, mask in masks.items()}
        notes = {m: map_text(said.get((m, name), {}), mask) for m, mask in masks.items()}
        yield Shown(name, to_pil(one.image[0]), words, maps, notes)


def label_text(classes: Sequence[str], labels: Collection[int], said: dict[str, Any] | None) -> str:
    """Labels with their probabilities, and what a single-label classifier says instead.

    Example:
        >>> label_text(["cat", "dog"], [1], {"probability": 0.25, "predicted": 0})
        'dog 0.25; the classifier says cat'
    """
    names = []
    for label in list(labels)[:4]:
        p = probability(said, label)
        names.append(classes[label] + ("" if p is None else f" {p:.2f}"))
    words = ", ".join(names) + (" …" if len(labels) > 4 else "") if names else "no label"
    predicted = (said or {}).get("predicted")
    return words if predicted is None or predicted in labels else f"{words}; the classifier says {classes[predicted]}"


def probability(said: dict[str, Any] | None, label: int) -> float | None:
    """Of a label, in an entry of `predictions`."""
    if not said:
        return None
    every = said.get("probabilities")
    return every[label] if every else said.get("probability")


def map_text(row: dict[str, Any], mask: torch.Tensor) -> str:
    """What becomes of the first label's probability when only the map's part remains, and when it is gone.

    Example:
        >>> map_text({"kept": {"labels": [3], "probability": 0.5}}, torch.zeros(1, 2, 2))
        'area 0.00, kept 0.50'
    """
    parts = [f"area {float(mask.mean()):.2f}"]
    for word in ("kept", "removed"):
        labels = (row.get(word) or {}).get("labels") or []
        p = probability(row.get(word), labels[0]) if labels else None
        parts += [] if p is None else [f"{word} {p:.2f}"]
    parts += ["map was NaN"] if row.get("broken") else ["constant map"] if row.get("constant") else []
    return ", ".join(parts)


def data_uri(picture: Image.Image) -> str:
    """A picture as text that stands in a page, as PNG or JPEG, whichever is shorter.

    Args:
        picture: Scaled down to `SIDE`.

    Returns:
        A data URI.

    Example:
        >>> data_uri(Image.new("RGB", (8, 8)))[:22]
        'data:image/png;base64,'
    """
    fitted = picture.convert("RGB")
    fitted.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    written = {}
    for kind, settings in (("png", {"optimize": True}), ("jpeg", {"quality": 80, "optimize": True})):
        buffer = io.BytesIO()
        fitted.save(buffer, kind, **settings)
        written[kind] = buffer.getvalue()
    kind = min(written, key=lambda k: len(written[k]))
    return f"data:image/{kind};base64,{base64.b64encode(written[kind]).decode()}"
